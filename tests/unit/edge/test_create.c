/* Setting the edge up where something is short. */
#include "edge.h"
#include "test.h"

#include <openssl/crypto.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static bool memory_is_out;

static void *take(size_t len, const char *file, int line)
{
	(void)file;
	(void)line;
	return memory_is_out ? NULL : malloc(len);
}

static void *resize(void *memory, size_t len, const char *file, int line)
{
	(void)file;
	(void)line;
	return memory_is_out ? NULL : realloc(memory, len);
}

static void give(void *memory, const char *file, int line)
{
	(void)file;
	(void)line;
	free(memory);
}

static void edge_without_tls_is_refused_and_closes_only_its_own(void **state)
{
	const struct edge_setup setup = {.n_threads = 2};
	char error[256] = "";
	struct edge *edge = NULL;

	(void)state;
	if (fcntl(0, F_GETFD) < 0) /* the test may have been started without */
		assert_int_equal(open("/dev/null", O_RDONLY | O_CLOEXEC), 0);
	/* What OpenSSL makes once, it makes here. */
	assert_int_equal(edge_create(&setup, &edge, error, sizeof(error)), 0);
	edge_destroy(edge);
	edge = NULL;
	memory_is_out = true;
	assert_true(edge_create(&setup, &edge, error, sizeof(error)) < 0);
	memory_is_out = false;
	assert_memory_equal(error, "setting up TLS failed", strlen("setting up TLS failed"));
	assert_null(edge);
	assert_true(fcntl(0, F_GETFD) >= 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(edge_without_tls_is_refused_and_closes_only_its_own),
	};

	if (CRYPTO_set_mem_functions(take, resize, give) != 1)
		return 1;
	return cmocka_run_group_tests_name("edge/create", tests, NULL, NULL);
}

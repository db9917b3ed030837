/* control/store, published services and their certificates. */
#include "store_lab.h"
#include "store_service.h"

#include <errno.h>
#include <stdlib.h>

static int collect_service(void *arg, const struct store_service *service)
{
	struct store_service *out = arg;

	out[0] = out[1];
	out[1] = *service;
	return 0;
}

static void services_and_certificates_come_back(void **state)
{
	struct store *store = open_good();
	struct store_service blog = {"blog", "blog.example.org", "home", 8080, 17};
	struct store_service api = {"api", "api.example.org", "office", 80, 18};
	struct store_service seen[2] = {0};
	char *pem = NULL;

	(void)state;
	assert_int_equal(store_service_add(store, &blog), 0);
	assert_int_equal(store_service_add(store, &api), 0);
	assert_int_equal(store_service_add(store, &api), -EEXIST);
	strcpy(api.name, "other");
	assert_int_equal(store_service_add(store, &api), -EEXIST); /* host */
	assert_int_equal(store_service_each(store, collect_service, seen), 0);
	assert_string_equal(seen[0].name, "api");
	assert_memory_equal(&seen[1], &blog, sizeof(blog));
	assert_int_equal(store_service_drop(store, "blog"), 0);
	assert_int_equal(store_service_drop(store, "blog"), -ENOENT);

	assert_int_equal(store_certificate_get(store, "blog.example.org", &pem), -ENOENT);
	assert_int_equal(store_certificate_put(store, "blog.example.org", "old"), 0);
	assert_int_equal(store_certificate_put(store, "blog.example.org", "-----BEGIN"), 0);
	assert_int_equal(store_certificate_get(store, "blog.example.org", &pem), 0);
	assert_string_equal(pem, "-----BEGIN");
	free(pem);
	assert_int_equal(store_certificate_drop(store, "blog.example.org"), 0);
	assert_int_equal(store_certificate_get(store, "blog.example.org", &pem), -ENOENT);
	store_close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(services_and_certificates_come_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

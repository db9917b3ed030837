/* The dataplane's end of tables that are handed over: what is refused changes nothing, what is taken is
 * answered for when every worker has it, and the old one goes then and not before. */
#include "base_hugepage.h"
#include "base_log.h"
#include "blob.h"
#include "block_build.h"
#include "policy_build.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define N_WORKERS 2U

static struct state_blobs published;
static struct state_routes *routes;
static struct blob_store *store;

static int set_up(void **state)
{
	(void)state;
	memset(&published, 0, sizeof(published));
	if (state_routes_create(N_WORKERS, 16, &routes) < 0
	    || blob_store_create(&published, routes, &store) < 0)
		return -1;
	for (uint32_t i = 0; i < N_WORKERS; i++)
		state_route_online(routes, i);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	blob_store_destroy(store);
	state_routes_destroy(routes);
	return 0;
}

/* A policy table of this generation; caller frees. */
static void *make_table(uint32_t generation, size_t *len)
{
	const struct policy_grant grant = {
		.id = generation,
		.from = {.kind = POLICY_END_HUB},
		.to = {.kind = POLICY_END_ANY},
	};
	const struct policy_source source = {
		.generation = generation,
		.n_grants = 1,
		.grants = &grant,
	};
	void *table;

	assert_int_equal(policy_build(&source, &table, len, NULL), 0);
	return table;
}

static struct abi_blob_message name_of(enum abi_blob kind, uint64_t generation)
{
	return (struct abi_blob_message){.kind = kind, .generation = generation};
}

static void put_table(uint32_t generation)
{
	struct abi_blob_message message = name_of(ABI_BLOB_POLICY, generation);
	size_t len;
	void *table = make_table(generation, &len);

	blob_store_put(store, &message, abi_blob_make("test", table, len));
	free(table);
}

/* The next answer: 0, or the errno of a refusal with this word in its reason. */
static void expect_answer(uint64_t generation, uint32_t err, const char *word)
{
	struct abi_blob_message answer;

	assert_true(blob_store_answer(store, &answer));
	assert_int_equal(answer.generation, generation);
	assert_int_equal(answer.err, err);
	if (strstr(answer.reason, word) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", answer.reason, word);
}

static void expect_no_answer(void)
{
	struct abi_blob_message answer;

	assert_false(blob_store_answer(store, &answer));
}

/* All workers pass between two bursts. */
static void all_quiet(void)
{
	for (uint32_t i = 0; i < N_WORKERS; i++)
		state_route_quiet(routes, i);
}

static uint64_t generation_in_force(void)
{
	const struct state_blob *blob = state_blob_get(&published, ABI_BLOB_POLICY);

	if (!blob)
		return 0;
	assert_int_equal(policy_table_generation(blob->data), blob->generation);
	assert_int_equal(blob->hash, abi_blob_hash(blob->data, blob->len));
	return blob->generation;
}

static void table_is_answered_for_when_every_worker_has_it(void **state)
{
	(void)state;
	assert_false(blob_store_waits(store));
	put_table(3);
	assert_int_equal(generation_in_force(), 3);
	assert_true(blob_store_waits(store));
	expect_no_answer();
	state_route_quiet(routes, 0);
	expect_no_answer();
	state_route_quiet(routes, 1);
	expect_answer(3, 0, "");
	expect_no_answer();
	assert_false(blob_store_waits(store));
}

static void sleeping_worker_is_not_waited_for(void **state)
{
	(void)state;
	state_route_offline(routes, 1);
	put_table(3);
	state_route_quiet(routes, 0);
	expect_answer(3, 0, "");
}

static void old_table_can_be_read_until_all_were_quiet(void **state)
{
	const struct state_blob *old;

	(void)state;
	put_table(3);
	all_quiet();
	expect_answer(3, 0, "");
	old = state_blob_get(&published, ABI_BLOB_POLICY);
	put_table(4);
	state_route_quiet(routes, 0); /* worker 1 is in a burst with the old one */
	expect_no_answer();
	assert_int_equal(policy_table_generation(old->data), 3);
	assert_int_equal(generation_in_force(), 4);
	all_quiet();
	expect_answer(4, 0, "");
	assert_false(blob_store_waits(store));
}

static void refused(enum abi_blob kind, uint64_t generation, int fd, uint32_t err, const char *word)
{
	struct abi_blob_message message = name_of(kind, generation);

	assert_true(fd >= 0);
	blob_store_put(store, &message, fd);
	expect_answer(generation, err, word); /* at once */
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(generation_in_force(), 3);
}

static int make_unsealed(const void *data, size_t len, int seals)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_int_equal(write(fd, data, len), (ssize_t)len);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void what_is_refused_leaves_the_old_one_in_force(void **state)
{
	size_t len, other_len;
	uint8_t *table = make_table(5, &len);
	void *other = make_table(6, &other_len);

	(void)state;
	put_table(3);
	all_quiet();
	expect_answer(3, 0, "");
	refused(ABI_BLOB_POLICY, 5, make_unsealed(table, len, 0), EPERM, "not sealed");
	refused(ABI_BLOB_POLICY, 5, make_unsealed(table, len, F_SEAL_SHRINK | F_SEAL_WRITE), EPERM,
	        "not sealed");
	refused(ABI_BLOB_POLICY, 5, make_unsealed(table, len, F_SEAL_SHRINK | F_SEAL_GROW), EPERM,
	        "not sealed");
	refused(ABI_BLOB_POLICY, 5, dup(0), EBADF, "not a memfd");
	refused(ABI_BLOB_POLICY, 5, abi_blob_make("test", "", 0), EFBIG, "0 bytes");
	refused(ABI_BLOB_POLICY, 5, abi_blob_make("test", table, len - 1), EPROTO, "malformed");
	refused(ABI_BLOB_POLICY, 0, abi_blob_make("test", table, len), EINVAL, "generation 0");
	refused(ABI_BLOB_POLICY, 3, abi_blob_make("test", other, other_len), EEXIST,
	        "generation 3 is in force with another content");
	/* workers would write to it, and this one is sealed against that */
	refused(ABI_BLOB_CAPTURE, 5, abi_blob_make("test", table, len), EPERM, "mapped");
	table[0] ^= 1;
	refused(ABI_BLOB_POLICY, 5, abi_blob_make("test", table, len), EPROTO,
	        "not a policy table");
	free(table);
	free(other);
}

/* As a control does that comes back. */
static void same_table_again_is_no_mistake(void **state)
{
	(void)state;
	put_table(3);
	put_table(3);
	all_quiet();
	expect_answer(3, 0, "");
	assert_int_equal(generation_in_force(), 3);
}

static void table_may_be_taken_away(void **state)
{
	struct abi_blob_message none = name_of(ABI_BLOB_POLICY, 0);

	(void)state;
	put_table(3);
	all_quiet();
	expect_answer(3, 0, "");
	blob_store_put(store, &none, -1);
	assert_int_equal(generation_in_force(), 0);
	expect_no_answer();
	all_quiet();
	expect_answer(0, 0, "");
}

static void worker_that_hangs_ends_in_a_refusal_and_not_in_a_heap(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 5; i++)
		put_table(3 + i);
	put_table(8);
	expect_answer(8, EBUSY, "has not moved");
	assert_int_equal(generation_in_force(), 7);
	all_quiet();
	expect_no_answer(); /* frees all the same */
	put_table(9);
	all_quiet();
	expect_answer(9, 0, "");
}

/* A drop list of many hosts: longer than what is left in its memfd. */
static void *make_list(uint32_t n, size_t *len)
{
	struct block_prefix *prefixes = calloc(n, sizeof(*prefixes));
	struct block_source source = {.generation = 1, .prefixes = prefixes, .n = n};
	void *list;

	assert_non_null(prefixes);
	for (uint32_t i = 0; i < n; i++)
		prefixes[i] = (struct block_prefix){.high = (uint64_t)(i * 2654435761U) << 32,
		                                    .family = BASE_IP_V4,
		                                    .len = 32,
		                                    .scopes = BLOCK_ALL};
	assert_int_equal(block_build(&source, &list, len), 0);
	free(prefixes);
	return list;
}

static void long_table_lies_where_large_pages_can_be(void **state)
{
	const struct {
		uint32_t n_hosts;
		bool is_copied;
	} cases[] = {{1000, false}, {300000, true}};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct abi_blob_message message = name_of(ABI_BLOB_BLOCK, 1 + i);
		const struct state_blob *blob;
		size_t len;
		void *list = make_list(cases[i].n_hosts, &len);

		assert_int_equal(len >= BASE_HUGEPAGE_LEN / 2, cases[i].is_copied);
		blob_store_put(store, &message, abi_blob_make("test", list, len));
		all_quiet();
		expect_answer(1 + i, 0, "");
		blob = state_blob_get(&published, ABI_BLOB_BLOCK);
		assert_int_equal(blob->len, len);
		assert_memory_equal(blob->data, list, len);
		if (cases[i].is_copied)
			assert_int_equal((uintptr_t)blob->data % BASE_HUGEPAGE_LEN, 0);
		free(list);
	}
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(table_is_answered_for_when_every_worker_has_it),
		CASE(sleeping_worker_is_not_waited_for),
		CASE(old_table_can_be_read_until_all_were_quiet),
		CASE(what_is_refused_leaves_the_old_one_in_force),
		CASE(same_table_again_is_no_mistake),
		CASE(table_may_be_taken_away),
		CASE(long_table_lies_where_large_pages_can_be),
		CASE(worker_that_hangs_ends_in_a_refusal_and_not_in_a_heap),
	};

	/* Refusals are meant, and say so in the log. */
	base_log_init("test", BASE_LOG_ERR);
	return cmocka_run_group_tests_name("blob", tests, NULL, NULL);
}

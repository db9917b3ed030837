/* One writer, readers in other threads, and a table whose memory runs out. Built with
 * -Db_sanitize=thread it shows that readers need no lock; with address, that nothing they may look at
 * is reused too early (the test scribbles over what was given back by filling it anew). */
#include "test.h"
#include "wg_allowedips_private.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

enum { N_READERS = 2, N_NETS = 512, N_STEPS = 60000, HOST_BYTE = 7 };
enum { STABLE = 1, MOVING_A = 2, MOVING_B = 3, COMING = 4, DEFAULT = 5, HOST = 6 };

/* ---- the smallest QSBR: a number that only grows, and what each reader saw of it last ------------- */

struct grace {
	_Atomic uint64_t now;
	_Atomic uint64_t seen[N_READERS];
};

static uint64_t grace_begin(void *arg)
{
	struct grace *grace = arg;

	return atomic_fetch_add(&grace->now, 1) + 1;
}

static bool grace_passed(void *arg, uint64_t token)
{
	struct grace *grace = arg;

	for (unsigned int i = 0; i < N_READERS; i++)
		if (atomic_load_explicit(&grace->seen[i], memory_order_acquire) < token)
			return false;
	return true;
}

static void grace_quiet(struct grace *grace, unsigned int reader)
{
	uint64_t now = atomic_load_explicit(&grace->now, memory_order_acquire);

	atomic_store_explicit(&grace->seen[reader], now, memory_order_release);
}

/* ---- prefixes ------------------------------------------------------------------------------------ */

/* Net i is 10.x.y.0/24 or fd00:x:y::/48; by i % 3 it stays, moves, or comes and goes. */
static struct base_prefix net_prefix(uint32_t i, uint8_t family)
{
	struct base_prefix p = {.ip = {.family = family}, .len = family == BASE_IP_V4 ? 24 : 48};

	p.ip.bytes[0] = family == BASE_IP_V4 ? 10 : 0xfd;
	p.ip.bytes[family == BASE_IP_V4 ? 1 : 3] = (uint8_t)(i >> 8);
	p.ip.bytes[family == BASE_IP_V4 ? 2 : 4] = (uint8_t)i;
	return p;
}

/* A single address in net i that comes and goes; in it, of another kind, is HOST or what the net
 * gives. */
static struct base_prefix host_prefix(uint32_t i, uint8_t family)
{
	struct base_prefix p = net_prefix(i, family);

	p.len = (uint8_t)(8 * base_ip_len(family));
	p.ip.bytes[base_ip_len(family) - 1] = HOST_BYTE;
	return p;
}

static bool right_for_net(uint32_t i, uint32_t value)
{
	switch (i % 3) {
	case 0:
		return value == STABLE;
	case 1:
		return value == MOVING_A || value == MOVING_B;
	default:
		return value == COMING || value == DEFAULT;
	}
}

struct shared {
	struct grace grace;
	struct wg_allowedips *table;
	_Atomic bool stop;
	_Atomic uint64_t n_wrong;
	_Atomic uint64_t n_lookups;
};

struct reader {
	struct shared *shared;
	unsigned int number;
};

static void look_at_all(struct shared *shared, struct test_random *random)
{
	struct base_ip ips[32];
	const uint8_t *addresses[32];
	uint8_t families[32];
	uint32_t values[32];
	uint32_t nets[32];

	for (unsigned int i = 0; i < 32; i++) {
		bool v6 = test_random_below(random, 2) != 0;

		nets[i] = (uint32_t)test_random_below(random, N_NETS);
		ips[i] = host_prefix(nets[i], v6 ? BASE_IP_V6 : BASE_IP_V4).ip;
		ips[i].bytes[base_ip_len(ips[i].family) - 1] = i % 2 != 0 ? HOST_BYTE : 1;
		addresses[i] = ips[i].bytes;
		families[i] = ips[i].family;
	}
	wg_allowedips_lookup_burst(shared->table, addresses, families, values, 32);
	for (unsigned int i = 0; i < 32; i++) {
		uint32_t alone = wg_allowedips_lookup(shared->table, &ips[i]);

		if (!right_for_net(nets[i], values[i]) && !(i % 2 != 0 && values[i] == HOST))
			atomic_fetch_add(&shared->n_wrong, 1);
		if (!right_for_net(nets[i], alone) && !(i % 2 != 0 && alone == HOST))
			atomic_fetch_add(&shared->n_wrong, 1);
	}
	atomic_fetch_add(&shared->n_lookups, 64);
}

static void *read_on(void *arg)
{
	struct reader *reader = arg;
	struct test_random random = {.state = reader->number + 1};

	while (!atomic_load(&reader->shared->stop)) {
		look_at_all(reader->shared, &random);
		grace_quiet(&reader->shared->grace, reader->number);
	}
	grace_quiet(&reader->shared->grace, reader->number);
	return NULL;
}

static void put(struct wg_allowedips *table, struct base_prefix p, uint32_t value)
{
	assert_int_equal(wg_allowedips_insert(table, &p, value, NULL), 0);
}

static void fill(struct wg_allowedips *table)
{
	struct base_prefix all = {.ip = {.family = BASE_IP_V4}};

	put(table, all, DEFAULT);
	all.ip.family = BASE_IP_V6;
	put(table, all, DEFAULT);
	for (uint32_t i = 0; i < N_NETS; i++) {
		if (i % 3 == 2)
			continue;
		put(table, net_prefix(i, BASE_IP_V4), i % 3 == 0 ? STABLE : MOVING_A);
		put(table, net_prefix(i, BASE_IP_V6), i % 3 == 0 ? STABLE : MOVING_A);
	}
}

/* What the writer does in one step: move, come, go; nets and single addresses. */
static void change(struct wg_allowedips *table, struct test_random *random)
{
	uint8_t family = test_random_below(random, 2) ? BASE_IP_V6 : BASE_IP_V4;
	uint32_t i = (uint32_t)test_random_below(random, N_NETS);
	struct base_prefix net = net_prefix(i, family);
	struct base_prefix host = host_prefix(i, family);
	uint32_t what = (uint32_t)test_random_below(random, 1000);

	if (what < 300)
		put(table, host, HOST);
	else if (what < 600)
		(void)wg_allowedips_remove(table, &host, HOST);
	else if (what == 600)
		(void)wg_allowedips_remove_value(table, COMING);
	else if (i % 3 == 1)
		put(table, net, what % 2 ? MOVING_A : MOVING_B);
	else if (i % 3 == 2 && what % 2)
		put(table, net, COMING);
	else if (i % 3 == 2)
		(void)wg_allowedips_remove(table, &net, COMING);
}

static void readers_see_each_prefix_before_or_after_a_change(void **state)
{
	static struct shared shared;
	const struct wg_allowedips_grace grace = {&shared.grace, grace_begin, grace_passed};
	struct test_random random = test_random_start();
	struct reader readers[N_READERS];
	pthread_t threads[N_READERS];

	(void)state;
	shared.table = wg_allowedips_create(&grace);
	assert_non_null(shared.table);
	fill(shared.table);
	for (unsigned int i = 0; i < N_READERS; i++) {
		readers[i] = (struct reader){&shared, i};
		assert_int_equal(pthread_create(&threads[i], NULL, read_on, &readers[i]), 0);
	}
	for (unsigned int i = 0; i < N_STEPS; i++)
		change(shared.table, &random);
	while (atomic_load(&shared.n_lookups) < 10000)
		change(shared.table, &random);
	atomic_store(&shared.stop, true);
	for (unsigned int i = 0; i < N_READERS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&shared.n_wrong), 0);
	wg_allowedips_destroy(shared.table);
}

/* ---- readers that hold on, and memory that runs out ----------------------------------------------- */

static uint64_t n_begun;

static uint64_t count_begin(void *arg)
{
	(void)arg;
	return ++n_begun;
}

static bool ask_holder(void *arg, uint64_t token)
{
	(void)token;
	return !*(bool *)arg;
}

static uint32_t lookup_in_net(const struct wg_allowedips *table, uint32_t i)
{
	struct base_prefix p = net_prefix(i, BASE_IP_V4);

	p.ip.bytes[3] = 1;
	return wg_allowedips_lookup_v4(table, p.ip.bytes);
}

static void nothing_is_reused_while_a_reader_holds_on(void **state)
{
	bool held = true;
	const struct wg_allowedips_grace grace = {&held, count_begin, ask_holder};
	struct wg_allowedips *table = wg_allowedips_create(&grace);
	struct base_prefix p = net_prefix(1, BASE_IP_V4);
	size_t before, after = 0;

	(void)state;
	fill(table);
	before = wg_allowedips_memory(table);
	for (uint32_t round = 0; round < 100; round++) {
		assert_int_equal(wg_allowedips_remove(table, &p, MOVING_A), 0);
		put(table, p, MOVING_A);
	}
	assert_true(wg_allowedips_memory(table) >= before + 100 * sizeof(struct wg_node));
	held = false;
	for (uint32_t round = 0; round < 10000; round++) {
		assert_int_equal(wg_allowedips_remove(table, &p, MOVING_A), 0);
		put(table, p, MOVING_A);
		after = round < 4 ? wg_allowedips_memory(table) : after;
	}
	assert_int_equal(wg_allowedips_memory(table), after);
	wg_allowedips_destroy(table);
}

/* With no block to be had inserting is refused and changes nothing; removing still works, and leaves
 * holes that are filled again when readers let go. */
static void removing_works_without_memory(void **state)
{
	bool held = true;
	const struct wg_allowedips_grace grace = {&held, count_begin, ask_holder};
	struct wg_allowedips *table = wg_allowedips__create(&grace, 2048);
	struct base_prefix all = {.ip = {.family = BASE_IP_V4}};
	uint32_t n = 0, refused;

	(void)state;
	put(table, all, DEFAULT);
	for (int rc = 0; rc == 0; n += rc == 0) {
		struct base_prefix p = net_prefix(n, BASE_IP_V4);

		assert_true(n < N_NETS);
		rc = wg_allowedips_insert(table, &p, n, NULL);
		assert_true(rc == 0 || rc == -ENOMEM);
	}
	refused = n;
	assert_int_equal(wg_allowedips_count(table), n + 1);
	assert_int_equal(lookup_in_net(table, refused), DEFAULT);
	for (uint32_t i = 0; i < n; i++) {
		struct base_prefix p = net_prefix(i, BASE_IP_V4);

		assert_int_equal(lookup_in_net(table, i), i);
		assert_int_equal(wg_allowedips_remove(table, &p, i), 0);
		assert_int_equal(wg_allowedips_remove(table, &p, i), -ENOENT);
		assert_int_equal(lookup_in_net(table, i), DEFAULT);
	}
	assert_int_equal(wg_allowedips_count(table), 1);
	held = false;
	(void)wg_allowedips_remove_value(table, 0);
	for (int round = 0; round < 2; round++)
		for (uint32_t i = 0; i < n; i++)
			put(table, net_prefix(i, BASE_IP_V4), i + 7);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(lookup_in_net(table, i), i + 7);
	wg_allowedips_destroy(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(readers_see_each_prefix_before_or_after_a_change),
		cmocka_unit_test(nothing_is_reused_while_a_reader_holds_on),
		cmocka_unit_test(removing_works_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Buckets by source against a naive list of all sources that ever came, and what a full table does. */
#include "base_source.h"
#include "base_time.h"
#include "test.h"

#include <string.h>

#define S         BASE_NS_PER_S
#define MS        BASE_NS_PER_MS
#define N_ENTRIES (BASE_SOURCE_SETS * BASE_SOURCE_WAYS)
#define PER_S     20U
#define BURST     5U
#define NAIVE_MAX 4096U

static struct base_source_table table;

static void start(uint64_t seed)
{
	memset(&table, 0, sizeof(table));
	table.key = (struct base_siphash_key){seed, ~seed};
	table.rate = base_bucket_rate(PER_S, BURST);
}

static struct base_ip v4(uint32_t n)
{
	struct base_ip ip = {.family = BASE_IP_V4};

	for (uint32_t i = 0; i < 4; i++)
		ip.bytes[i] = (uint8_t)(n >> (24 - 8 * i));
	return ip;
}

static struct base_ip v6(uint64_t net, uint8_t host)
{
	struct base_ip ip = {.family = BASE_IP_V6};

	for (uint32_t i = 0; i < 8; i++)
		ip.bytes[i] = (uint8_t)(net >> (56 - 8 * i));
	ip.bytes[15] = host;
	return ip;
}

static uint32_t n_ok(struct base_ip ip, uint32_t n, uint64_t now_ns)
{
	uint32_t ok = 0;

	for (uint32_t i = 0; i < n; i++)
		ok += base_source_take(&table, &ip, now_ns) == BASE_SOURCE_OK;
	return ok;
}

static void a_source_has_a_burst_of_5_and_20_a_second(void **state)
{
	struct base_ip ip = v4(0xc0000201);

	(void)state;
	start(1);
	assert_int_equal(n_ok(ip, 50, S), BURST);
	assert_int_equal(base_source_take(&table, &ip, S), BASE_SOURCE_OVER);
	assert_int_equal(n_ok(ip, 50, S + 49 * MS), 0);
	assert_int_equal(n_ok(ip, 50, S + 50 * MS), 1);
	assert_int_equal(n_ok(ip, 50, S + 300 * MS), BURST);
	for (uint64_t ms = 0; ms < 1000; ms += 10)
		(void)n_ok(ip, 1, 2 * S + ms * MS);
	assert_int_equal(n_ok(ip, 50, 3 * S), 1);
}

/* 20 and 5 for each address of IPv4, for each /64 of IPv6: what is behind the 64th bit makes no other. */
static void ipv6_counts_by_its_64(void **state)
{
	(void)state;
	start(2);
	assert_int_equal(n_ok(v4(0x0a000001), 9, S), BURST);
	assert_int_equal(n_ok(v4(0x0a000002), 9, S), BURST);
	assert_int_equal(n_ok(v6(7, 1), 3, S), 3);
	assert_int_equal(n_ok(v6(7, 2), 9, S), BURST - 3);
	assert_int_equal(n_ok(v6(7, 3), 9, S), 0);
	assert_int_equal(n_ok(v6(8, 1), 9, S), BURST);
}

static void a_port_can_count_for_itself(void **state)
{
	struct base_endpoint source = {.ip = v6(7, 1), .port = 1};
	uint32_t n = 0;

	(void)state;
	start(6);
	for (uint32_t i = 0; i < 20; i++) {
		source.port = (uint16_t)(1 + i % 2);
		n += base_source_take_port(&table, &source, S) == BASE_SOURCE_OK;
	}
	assert_int_equal(n, 2 * BURST);
}

/* Everybody that has an entry keeps it; others are told that there is none; time makes room again. */
static void a_full_table_refuses_who_comes_later(void **state)
{
	uint32_t n_in = 0, n_full = 0;

	(void)state;
	start(3);
	for (uint32_t i = 0; i < 4 * N_ENTRIES; i++) {
		struct base_ip ip = v4(i);
		enum base_source_verdict verdict = base_source_take(&table, &ip, S);

		assert_int_not_equal(verdict, BASE_SOURCE_OVER);
		n_in += verdict == BASE_SOURCE_OK;
		n_full += verdict == BASE_SOURCE_FULL;
	}
	assert_int_equal(n_in, N_ENTRIES);
	assert_int_equal(n_full, 3 * N_ENTRIES);
	assert_int_equal(n_ok(v4(0), 9, S + 49 * MS), BURST - 1);
	assert_int_equal(n_ok(v4(4 * N_ENTRIES), 1, S + 50 * MS), 1);
}

/* Under one key this set of addresses meets; under another it does not. */
static void who_shares_a_set_depends_on_the_key(void **state)
{
	struct base_ip meet[BASE_SOURCE_WAYS + 1];
	uint32_t n = 0;

	(void)state;
	start(4);
	for (uint32_t i = 0; n < BASE_SOURCE_WAYS + 1; i++) {
		struct base_endpoint source = {.ip = v4(i)};

		if (base_siphash(table.key, &source, sizeof(source)) % BASE_SOURCE_SETS == 0)
			meet[n++] = source.ip;
	}
	for (uint32_t i = 0; i < BASE_SOURCE_WAYS; i++)
		assert_int_equal(base_source_take(&table, &meet[i], S), BASE_SOURCE_OK);
	assert_int_equal(base_source_take(&table, &meet[BASE_SOURCE_WAYS], S), BASE_SOURCE_FULL);
	start(5);
	for (uint32_t i = 0; i <= BASE_SOURCE_WAYS; i++)
		assert_int_equal(base_source_take(&table, &meet[i], S), BASE_SOURCE_OK);
}

/* The dumb version: a list with a count of tokens for each, in nanoseconds' worth. */
struct naive {
	struct base_ip ip;
	uint64_t tokens_ns;
	uint64_t at_ns;
};

static bool naive_take(struct naive *list, uint32_t *n, const struct base_ip *ip, uint64_t now_ns)
{
	const uint64_t cost_ns = S / PER_S;
	struct naive *entry = list;
	size_t len = ip->family == BASE_IP_V4 ? 4 : 8;

	while (entry < list + *n
	       && (entry->ip.family != ip->family || memcmp(entry->ip.bytes, ip->bytes, len) != 0))
		entry++;
	if (entry == list + *n) {
		assert_true(*n < NAIVE_MAX);
		list[(*n)++] = (struct naive){*ip, BURST * cost_ns, now_ns};
	}
	entry->tokens_ns += now_ns - entry->at_ns;
	if (entry->tokens_ns > BURST * cost_ns)
		entry->tokens_ns = BURST * cost_ns;
	entry->at_ns = now_ns;
	if (entry->tokens_ns < cost_ns)
		return false;
	entry->tokens_ns -= cost_ns;
	return true;
}

/* Few enough sources that no set ever overflows: then the table is exact. */
static void random_sources_agree_with_a_list(void **state)
{
	struct test_random random = test_random_start();
	static struct naive list[NAIVE_MAX];

	(void)state;
	for (uint32_t round = 0; round < 20; round++) {
		uint32_t n = 0;
		uint64_t now_ns = S;

		start(test_random_next(&random));
		for (uint32_t i = 0; i < 20000; i++) {
			uint32_t who = (uint32_t)test_random_below(&random, 60);
			struct base_ip ip = test_random_below(&random, 2) == 0
			                            ? v4(0x0a000000 + who)
			                            : v6(who, (uint8_t)test_random_next(&random));
			enum base_source_verdict verdict;

			now_ns += test_random_below(&random, 2 * MS);
			verdict = base_source_take(&table, &ip, now_ns);
			assert_int_equal(verdict, naive_take(list, &n, &ip, now_ns)
			                                  ? BASE_SOURCE_OK
			                                  : BASE_SOURCE_OVER);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_source_has_a_burst_of_5_and_20_a_second),
		cmocka_unit_test(ipv6_counts_by_its_64),
		cmocka_unit_test(a_port_can_count_for_itself),
		cmocka_unit_test(a_full_table_refuses_who_comes_later),
		cmocka_unit_test(who_shares_a_set_depends_on_the_key),
		cmocka_unit_test(random_sources_agree_with_a_list),
	};

	return cmocka_run_group_tests_name("base/source", tests, NULL, NULL);
}

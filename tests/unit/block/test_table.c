/* The compiled drop list: a list told by hand, then a million random look-ups against the naive one,
 * then tables that were tampered with. */
#include "base_bytes.h"
#include "block_naive.h"
#include "block_private.h"

#include <errno.h>

#define N_LOOKUPS 1000000U
#define SEED      UINT64_C(0x5eed)

static struct block_prefix listed(const char *text, uint8_t scopes)
{
	struct base_prefix prefix;

	assert_int_equal(base_prefix_parse(text, &prefix), 0);
	return block_prefix_make(&prefix, scopes);
}

static const struct block_table *build(struct block_prefix *prefixes, size_t n, void **blob)
{
	struct block_source source = {.generation = 7,
	                              .seed = SEED,
	                              .prefixes = prefixes,
	                              .n = n,
	                              .ports = {{443, 6, 0}, {53, 17, 0}},
	                              .n_ports = 2};
	const struct block_table *table;
	const char *why = "";
	size_t len;

	assert_int_equal(block_build(&source, blob, &len), 0);
	table = block_table_check(*blob, len, &why);
	if (!table)
		fail_msg("refused: %s", why);
	assert_int_equal(block_table_len(table), len);
	return table;
}

/* Both builds of the loops must say the same. */
static uint8_t find(const struct block_table *table, uint8_t family, uint64_t high, uint64_t low)
{
	uint32_t v4 = (uint32_t)(high >> 32);
	uint8_t scopes = 0xff, plain = 0xff;

	if (family == BASE_IP_V4) {
		block_find_v4(table, &v4, &scopes, 1);
		block__find_plain(table, &(const struct block_sources){
						 .v4 = &v4, .v4_scopes = &plain, .n_v4 = 1});
	} else {
		block_find_v6(table, &high, &low, &scopes, 1);
		block__find_plain(
			table, &(const struct block_sources){
				       .high = &high, .low = &low, .v6_scopes = &plain, .n_v6 = 1});
	}
	assert_int_equal(scopes, plain);
	return scopes;
}

static uint8_t find_text(const struct block_table *table, const char *text)
{
	struct block_prefix address = listed(text, BLOCK_ALL);

	return find(table, address.family, address.high, address.low);
}

#define A BLOCK_ALL
#define W BLOCK_WIREGUARD
#define P BLOCK_PUBLISHED

static const struct {
	const char *prefix;
	uint8_t scopes;
} by_hand[] = {
	{"203.0.113.7/32", A},
	{"203.0.113.0/24", W},
	{"203.0.112.0/20", P},
	{"198.51.100.0/24", A},
	{"198.51.100.128/25", W}, /* says less than what contains it */
	{"255.255.255.255/32", W},
	{"0.0.0.0/32", P},
	{"10.0.0.0/8", W},
	{"10.0.0.0/8", P}, /* twice */
	{"2001:db8::/32", W},
	{"2001:db8:1::/48", P},
	{"2001:db8:1:2::/64", A},
	{"2001:db8:5::7/128", A},
	{"2001:db8:5::/127", P},
	{"2001:db8:5:0:8000::/65", P},
	{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", W},
	{"::/128", P},
};

static const struct {
	const char *address;
	uint8_t scopes;
} answers[] = {
	{"203.0.113.7", A},
	{"203.0.113.6", W | P},
	{"203.0.113.8", W | P},
	{"203.0.112.255", P},
	{"203.0.127.255", P},
	{"203.0.128.0", 0},
	{"203.0.111.255", 0},
	{"198.51.100.0", A},
	{"198.51.100.200", A},
	{"198.51.101.0", 0},
	{"255.255.255.255", W},
	{"255.255.255.254", 0},
	{"0.0.0.0", P},
	{"0.0.0.1", 0},
	{"10.255.255.255", W | P},
	{"11.0.0.0", 0},
	{"9.255.255.255", 0},
	{"2001:db8::1", W},
	{"2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", 0},
	{"2001:db9::", 0},
	{"2001:db8:1::1", W | P},
	{"2001:db8:1:2:ffff::", A},
	{"2001:db8:1:3::", W | P},
	{"2001:db8:5::7", A},
	{"2001:db8:5::6", W},
	{"2001:db8:5::1", W | P},
	{"2001:db8:5::2", W},
	{"2001:db8:5:0:7fff:ffff:ffff:ffff", W},
	{"2001:db8:5:0:8000::", W | P},
	{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", W},
	{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", 0},
	{"::", P},
	{"::1", 0},
};

static void scopes_of_all_prefixes_that_contain_the_source_are_joined(void **state)
{
	struct block_prefix prefixes[BASE_ARRAY_LEN(by_hand)];
	const struct block_table *table;
	void *blob;

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(by_hand); i++)
		prefixes[i] = listed(by_hand[i].prefix, by_hand[i].scopes);
	table = build(prefixes, BASE_ARRAY_LEN(prefixes), &blob);
	assert_int_equal(block_table_entries(table), BASE_ARRAY_LEN(by_hand));
	assert_int_equal(block_table_generation(table), 7);
	for (size_t i = 0; i < BASE_ARRAY_LEN(answers); i++) {
		uint8_t scopes = find_text(table, answers[i].address);

		if (scopes != answers[i].scopes)
			fail_msg("%s: %u, expected %u", answers[i].address, scopes,
			         answers[i].scopes);
	}
	free(blob);
}

static void everything_and_nothing_can_be_listed(void **state)
{
	struct block_prefix all[] = {listed("0.0.0.0/0", W), listed("::/0", A)};
	const struct block_table *table;
	void *blob;

	(void)state;
	table = build(all, 2, &blob);
	assert_int_equal(find_text(table, "192.0.2.1"), W);
	assert_int_equal(find_text(table, "2001:db8::1"), A);
	free(blob);
	table = build(NULL, 0, &blob);
	assert_int_equal(find_text(table, "192.0.2.1"), 0);
	assert_int_equal(find_text(table, "2001:db8::1"), 0);
	/* What a small machine pays for the feature. */
	assert_true(block_table_len(table) < 300000);
	free(blob);
}

static void published_ports_are_told_by_protocol_and_number(void **state)
{
	const struct block_table *table;
	void *blob;

	(void)state;
	table = build(NULL, 0, &blob);
	assert_true(block_table_publishes(table, 6, 443));
	assert_true(block_table_publishes(table, 17, 53));
	assert_false(block_table_publishes(table, 17, 443));
	assert_false(block_table_publishes(table, 6, 22));
	free(blob);
}

static void a_source_that_cannot_be_is_refused(void **state)
{
	struct block_prefix good = listed("192.0.2.0/24", A);
	struct block_prefix bad[4] = {good, good, good, good};
	struct block_source source = {.generation = 1, .n = 1};
	void *blob;
	size_t len;

	(void)state;
	bad[0].family = 5;
	bad[1].len = 33;
	bad[2].scopes = 0;
	bad[3].scopes = 8;
	for (size_t i = 0; i < BASE_ARRAY_LEN(bad); i++) {
		source.prefixes = &bad[i];
		assert_int_equal(block_build(&source, &blob, &len), -EINVAL);
		assert_null(blob);
	}
	source.prefixes = &good;
	source.generation = 0;
	assert_int_equal(block_build(&source, &blob, &len), -EINVAL);
}

/* ---- order --------------------------------------------------------------------------------------- */

static void sorting_keeps_every_prefix_and_puts_the_wider_first(void **state)
{
	struct test_random random = test_random_start();
	uint64_t sum = 0;

	(void)state;
	for (size_t n = 0; n < 400; n += 1 + n / 8) {
		struct naive_shape shape = naive_random_shape(&random);
		struct block_prefix prefixes[400];
		uint64_t sum_after = 0;

		sum = 0;
		for (size_t i = 0; i < n; i++) {
			prefixes[i] = naive_random_prefix(&random, &shape);
			sum += prefixes[i].high ^ prefixes[i].low ^ prefixes[i].len;
		}
		/* Two runs, now and then. */
		if (n % 3 == 0)
			assert_int_equal(block_prefix_sort(prefixes, n / 2), 0);
		assert_int_equal(block_prefix_sort(prefixes, n), 0);
		for (size_t i = 0; i < n; i++) {
			sum_after += prefixes[i].high ^ prefixes[i].low ^ prefixes[i].len;
			if (i > 0)
				assert_true(block_prefix_compare(&prefixes[i - 1], &prefixes[i])
				            <= 0);
		}
		assert_int_equal(sum, sum_after);
	}
}

static void a_prefix_survives_being_written_and_read(void **state)
{
	struct test_random random = test_random_start();

	(void)state;
	for (size_t i = 0; i < 10000; i++) {
		struct naive_shape shape = naive_random_shape(&random);
		struct block_prefix p = naive_random_prefix(&random, &shape);
		struct base_prefix as_text = block_prefix_text(&p);
		struct block_prefix again = block_prefix_make(&as_text, p.scopes);

		assert_memory_equal(&p, &again, sizeof(p));
	}
}

/* ---- random -------------------------------------------------------------------------------------- */

/* Lists of one to some thousand: the longer ones have runs and branches, the naive way takes its time. */
static size_t random_size(struct test_random *random)
{
	return 1 + test_random_next(random) % ((size_t)1 << test_random_below(random, 12));
}

/* Half of them the first, last or some address of a prefix, or just outside. */
static struct block_prefix random_source(struct test_random *random,
                                         const struct naive_shape *shape,
                                         const struct block_prefix *prefixes, size_t n,
                                         uint8_t family)
{
	struct block_prefix p = naive_random_address(random, shape, family);
	const struct block_prefix *near = &prefixes[test_random_below(random, n)];

	if (near->family == family && test_random_below(random, 2) == 0) {
		p.high = near->high;
		p.low = near->low;
		if (family == BASE_IP_V4)
			p.high += (test_random_below(random, 3) - 1) << 32;
		else
			p.low += test_random_below(random, 3) - 1;
	}
	return p;
}

static void expect_naive(const struct block_prefix *prefixes, size_t n, uint8_t family,
                         uint64_t high, uint64_t low, uint8_t scopes, uint8_t plain)
{
	uint8_t expected = naive_find(prefixes, n, family, high, low);

	if (scopes != expected || plain != expected)
		fail_msg("family %u, %016llx %016llx: %u and %u, expected %u (%zu prefixes)",
		         family, (unsigned long long)high, (unsigned long long)low, scopes, plain,
		         expected, n);
}

/* A burst of both families, or of one: each up to the most that there can be. */
static void ask(struct test_random *random, const struct naive_shape *shape,
                const struct block_table *table, const struct block_prefix *prefixes, size_t n)
{
	uint64_t high[BLOCK_BURST_MAX], low[BLOCK_BURST_MAX];
	uint32_t v4[BLOCK_BURST_MAX];
	uint8_t scopes[2][BLOCK_BURST_MAX], plain[2][BLOCK_BURST_MAX];
	uint32_t which = 1 + (uint32_t)test_random_below(random, 3);
	struct block_sources sources = {
		.v4 = v4, .v4_scopes = scopes[0], .high = high, .low = low, .v6_scopes = scopes[1]};

	if (which & 1)
		sources.n_v4 = 1 + (uint32_t)test_random_below(random, BLOCK_BURST_MAX);
	if (which & 2)
		sources.n_v6 = 1 + (uint32_t)test_random_below(random, BLOCK_BURST_MAX);
	for (uint32_t i = 0; i < sources.n_v4; i++)
		v4[i] = (uint32_t)(random_source(random, shape, prefixes, n, BASE_IP_V4).high
		                   >> 32);
	for (uint32_t i = 0; i < sources.n_v6; i++) {
		struct block_prefix p = random_source(random, shape, prefixes, n, BASE_IP_V6);

		high[i] = p.high;
		low[i] = p.low;
	}
	block_find(table, &sources);
	sources.v4_scopes = plain[0];
	sources.v6_scopes = plain[1];
	block__find_plain(table, &sources);
	for (uint32_t i = 0; i < sources.n_v4; i++)
		expect_naive(prefixes, n, BASE_IP_V4, (uint64_t)v4[i] << 32, 0, scopes[0][i],
		             plain[0][i]);
	for (uint32_t i = 0; i < sources.n_v6; i++)
		expect_naive(prefixes, n, BASE_IP_V6, high[i], low[i], scopes[1][i], plain[1][i]);
}

static size_t count_full(const struct block_table *table)
{
	const struct block_bucket *buckets = block__at(table, table->buckets_at);
	size_t n_full = 0;

	for (uint32_t i = 0; i < table->n_buckets; i++)
		n_full += buckets[i].words[BLOCK_BUCKET_WORDS - 1] != 0;
	return n_full;
}

static size_t count_pairs(const struct block_table *table)
{
	const struct block_bucket *buckets = block__at(table, table->buckets_at);
	size_t n_pairs = 0;

	for (uint32_t i = 0; i < table->n_buckets; i++)
		for (uint32_t j = 0; j < BLOCK_BUCKET_WORDS; j += 2)
			n_pairs += (buckets[i].words[j] & BLOCK_ANSWER_PAIR) != 0;
	return n_pairs;
}

static void random_sources_are_found_as_by_the_naive_list(void **state)
{
	struct test_random random = test_random_start();
	uint32_t n_lookups = 0;
	size_t n_runs = 0, n_levels = 0, n_pairs = 0, n_full = 0, n_lists = 0;

	(void)state;
	while (n_lookups < N_LOOKUPS) {
		struct naive_shape shape = naive_random_shape(&random);
		size_t n = random_size(&random);
		struct block_prefix *prefixes = calloc(n, sizeof(*prefixes));
		const struct block_table *table;
		void *blob;

		assert_non_null(prefixes);
		for (size_t i = 0; i < n; i++)
			prefixes[i] = naive_random_prefix(&random, &shape);
		table = build(prefixes, n, &blob);
		n_runs += table->n_runs;
		n_levels += table->v6_levels;
		n_full += count_full(table);
		n_pairs += count_pairs(table);
		for (uint32_t i = 0; i < 64; i++)
			ask(&random, &shape, table, prefixes, n);
		n_lookups += 64 * BLOCK_BURST_MAX / 2;
		n_lists++;
		free(blob);
		free(prefixes);
	}
	printf("# %zu lists, %zu runs, %zu levels, %zu full buckets, %zu pairs\n", n_lists, n_runs,
	       n_levels, n_full, n_pairs);
	assert_true(n_runs > 0 && n_levels > 0 && n_full > 0 && n_pairs > 0);
}

/* ---- buckets ------------------------------------------------------------------------------------- */

#define N_NEAR 14U

/* /64s whose search begins in one bucket, however many there are. */
static void nets_of_one_bucket(uint64_t first_bits, uint64_t high[N_NEAR])
{
	uint64_t next = UINT64_C(0x20010db800000000);

	for (uint32_t i = 0; i < N_NEAR; i++, next++) {
		while (block__mix(SEED, next) >> 48 != first_bits)
			next++;
		high[i] = next;
	}
}

static struct block_prefix listed_v6(uint64_t high, uint64_t low, uint8_t len, uint8_t scopes)
{
	return (struct block_prefix){
		.high = high, .low = low, .family = BASE_IP_V6, .len = len, .scopes = scopes};
}

static void expect_near(const struct block_table *table, const struct block_prefix *prefixes,
                        size_t n, uint64_t high)
{
	static const uint64_t lows[] = {0, 1, 2, 7, 0x17, 0x10, 0x100, UINT64_MAX};

	for (size_t i = 0; i < BASE_ARRAY_LEN(lows); i++) {
		uint8_t scopes = find(table, BASE_IP_V6, high, lows[i]);

		expect_naive(prefixes, n, BASE_IP_V6, high, lows[i], scopes, scopes);
	}
}

/* Two of them are not listed; n_pairs are hosts or trees, the others whole /64s. */
static void expect_all_near(const uint64_t high[N_NEAR], uint32_t n_pairs)
{
	struct block_prefix prefixes[2 * N_NEAR];
	const struct block_table *table;
	size_t n = 0;
	void *blob;

	for (uint32_t i = 0; i < N_NEAR - 2; i++) {
		uint8_t scopes = (uint8_t)(1U << i % 3);

		if (i < n_pairs)
			prefixes[n++] = listed_v6(high[i], 0x07 | i % 2 << 4, 128, scopes);
		else
			prefixes[n++] = listed_v6(high[i], 0, 64, scopes);
		if (i < n_pairs && i % 4 == 2)
			prefixes[n++] = listed_v6(high[i], 0, 120, BLOCK_PUBLISHED);
	}
	table = build(prefixes, n, &blob);
	assert_true(count_full(table) >= 1);
	for (uint32_t i = 0; i < N_NEAR; i++)
		expect_near(table, prefixes, n, high[i]);
	free(blob);
}

/* Also where the last bucket goes on in the first, and what fills it is of either kind. */
static void nets_for_which_a_bucket_has_no_room_are_found_behind_it(void **state)
{
	static const uint64_t first_bits[] = {0, 0x8000, 0xffff};
	uint64_t high[N_NEAR];

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(first_bits); i++) {
		nets_of_one_bucket(first_bits[i], high);
		for (uint32_t n_pairs = 0; n_pairs <= N_NEAR - 2; n_pairs++)
			expect_all_near(high, n_pairs);
	}
}

/* A host's low half stands beside the nets of its bucket: here it is what another of them is found by, with
 * every answer there can be. */
static void a_low_half_that_looks_like_a_net_is_not_taken_for_one(void **state)
{
	uint64_t high[N_NEAR];

	(void)state;
	nets_of_one_bucket(0x8000, high);
	for (uint32_t i = 0; i < 2 * BLOCK_ANSWERS; i++) {
		uint64_t low = block__key(block__mix(SEED, high[1])) | i / 2;
		struct block_prefix prefixes[] = {listed_v6(high[0], low, 128, W),
		                                  listed_v6(high[1], 0, 64, P)};
		bool both = i % 2 == 1;
		const struct block_table *table;
		void *blob;

		table = build(prefixes, both ? 2 : 1, &blob);
		assert_int_equal(find(table, BASE_IP_V6, high[0], low), W);
		assert_int_equal(find(table, BASE_IP_V6, high[0], low ^ BLOCK_ANSWER_PAIR), 0);
		assert_int_equal(find(table, BASE_IP_V6, high[0], low ^ 1), 0);
		assert_int_equal(find(table, BASE_IP_V6, high[1], 0), both ? P : 0);
		assert_int_equal(find(table, BASE_IP_V6, high[1], low), both ? P : 0);
		free(blob);
	}
}

/* ---- tampering ----------------------------------------------------------------------------------- */

/* Whatever the check lets through can be asked (ASan looks on), and answers are scopes. */
static void tampered_tables_are_refused_or_harmless(void **state)
{
	struct test_random random = test_random_start();
	struct naive_shape shape = naive_random_shape(&random);
	struct block_prefix prefixes[600];
	const struct block_table *table;
	void *blob, *copy;
	size_t len, n_refused = 0;

	(void)state;
	shape.fixed_v4 = 18;
	shape.fixed_v6 = 60;
	for (size_t i = 0; i < BASE_ARRAY_LEN(prefixes); i++)
		prefixes[i] = naive_random_prefix(&random, &shape);
	table = build(prefixes, BASE_ARRAY_LEN(prefixes), &blob);
	len = block_table_len(table);
	copy = aligned_alloc(64, len);
	assert_non_null(copy);
	for (size_t i = 0; i < 2000; i++) {
		uint8_t *bytes = copy;
		size_t at = test_random_below(&random,
		                              i % 2 == 0 ? sizeof(struct block_table) : len);

		memcpy(copy, blob, len);
		bytes[at] ^= (uint8_t)(1 + test_random_below(&random, 255));
		/* The trees lie at the end. */
		if (i % 4 == 0)
			bytes[len - 1 - test_random_below(&random, len / 16)] = 0xff;
		table = block_table_check(copy, len, NULL);
		n_refused += table == NULL;
		for (uint32_t j = 0; j < 50 && table; j++) {
			struct block_prefix p = naive_random_address(
				&random, &shape, j % 2 == 0 ? BASE_IP_V4 : BASE_IP_V6);

			assert_true(find(table, p.family, p.high, p.low) <= BLOCK_SCOPES);
		}
	}
	printf("# %zu of 2000 refused\n", n_refused);
	assert_true(n_refused > 200
	            && n_refused < 1800); /* else nothing was asked, or nothing looked at */
	for (size_t cut = 0; cut < len; cut += 1 + cut / 2)
		assert_null(block_table_check(blob, cut, NULL));
	free(copy);
	free(blob);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scopes_of_all_prefixes_that_contain_the_source_are_joined),
		cmocka_unit_test(everything_and_nothing_can_be_listed),
		cmocka_unit_test(published_ports_are_told_by_protocol_and_number),
		cmocka_unit_test(a_source_that_cannot_be_is_refused),
		cmocka_unit_test(sorting_keeps_every_prefix_and_puts_the_wider_first),
		cmocka_unit_test(a_prefix_survives_being_written_and_read),
		cmocka_unit_test(random_sources_are_found_as_by_the_naive_list),
		cmocka_unit_test(nets_for_which_a_bucket_has_no_room_are_found_behind_it),
		cmocka_unit_test(a_low_half_that_looks_like_a_net_is_not_taken_for_one),
		cmocka_unit_test(tampered_tables_are_refused_or_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

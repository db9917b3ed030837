/* The trie: a table, how prefixes move and go, and random tables against a list. */
#include "base_bytes.h"
#include "test.h"
#include "wg_allowedips_private.h"

#include <errno.h>
#include <stdio.h>

static struct base_prefix prefix(const char *text)
{
	struct base_prefix p;

	if (base_prefix_parse(text, &p) < 0)
		fail_msg("bad prefix in test: %s", text);
	return p;
}

static void insert(struct wg_allowedips *table, const char *text, uint32_t value)
{
	struct base_prefix p = prefix(text);

	assert_int_equal(wg_allowedips_insert(table, &p, value, NULL), 0);
}

static uint32_t lookup(const struct wg_allowedips *table, const char *text)
{
	struct base_ip ip;

	assert_int_equal(base_ip_parse(text, &ip), 0);
	return wg_allowedips_lookup(table, &ip);
}

#define NONE WG_ALLOWEDIPS_NONE

static const struct {
	const char *prefix;
	uint32_t value;
} table_prefixes[] = {
	{"192.168.4.0/24", 1},
	{"192.168.4.4/32", 2},
	{"192.168.0.0/16", 3},
	{"10.0.0.0/8", 4},
	{"10.1.0.0/22", 5},
	{"10.1.0.20/29", 6},
	{"10.1.0.20/30", 7},
	{"64.15.112.0/20", 8},
	{"64.15.123.211/25", 9},
	{"255.255.255.255/32", 10},
	{"0.0.0.0/32", 11},
	{"2607:5300:60:6b0::c05f:543/128", 20},
	{"2607:5300:60:6b0::/64", 21},
	{"2607:5300:60:6b00::/56", 22},
	{"2607::/16", 23},
	{"::1/128", 24},
	{"fe80::/65", 25},
	{"fe80:0:0:0:8000::/65", 26},
	{"fe80::/63", 27},
};

static const struct {
	const char *address;
	uint32_t expected;
} table_cases[] = {
	/* 0 */ {"192.168.4.20", 1},
	/* 1 */ {"192.168.4.4", 2},
	/* 2 */ {"192.168.5.4", 3},
	/* 3 */ {"192.169.0.1", NONE},
	/* 4 */ {"10.255.255.255", 4},
	/* 5 */ {"10.1.3.255", 5},
	/* 6 */ {"10.1.4.0", 4},
	/* 7 */ {"10.1.0.16", 6},
	/* 8 */ {"10.1.0.20", 7},
	/* 9 */ {"10.1.0.24", 5},
	/* 10 */ {"64.15.116.26", 8},
	/* 11 */ {"64.15.123.128", 9},
	/* 12 */ {"64.15.123.127", 8},
	/* 13 */ {"64.15.128.0", NONE},
	/* 14 */ {"255.255.255.255", 10},
	/* 15 */ {"255.255.255.254", NONE},
	/* 16 */ {"0.0.0.0", 11},
	/* 17 */ {"0.0.0.1", NONE},
	/* 18 */ {"2607:5300:60:6b0::c05f:543", 20},
	/* 19 */ {"2607:5300:60:6b0::c02e:1ee", 21},
	/* 20 */ {"2607:5300:60:6b01::", 22},
	/* 21 */ {"2607:f00::", 23},
	/* 22 */ {"::1", 24},
	/* 23 */ {"::", NONE},
	/* 24 */ {"fe80::7fff:0:0:0", 25},
	/* 25 */ {"fe80::8000:0:0:0", 26},
	/* 26 */ {"fe80:0:0:1::", 27},
	/* 27 */ {"fe80:0:0:2::", NONE},
	/* 28: the same bits in the other family */ {"c0a8:404::", NONE},
};

static struct wg_allowedips *make_table(void)
{
	struct wg_allowedips *table = wg_allowedips_create(NULL);

	assert_non_null(table);
	for (size_t i = 0; i < BASE_ARRAY_LEN(table_prefixes); i++)
		insert(table, table_prefixes[i].prefix, table_prefixes[i].value);
	return table;
}

static void lookup_finds_the_longest_match(void **state)
{
	struct wg_allowedips *table = make_table();

	(void)state;
	assert_int_equal(wg_allowedips_count(table), BASE_ARRAY_LEN(table_prefixes));
	for (size_t i = 0; i < BASE_ARRAY_LEN(table_cases); i++) {
		uint32_t got = lookup(table, table_cases[i].address);

		if (got != table_cases[i].expected)
			fail_msg("case %zu: %s gives %u, expected %u", i, table_cases[i].address,
			         got, table_cases[i].expected);
	}
	wg_allowedips_destroy(table);
}

static void default_routes_are_held_by_family(void **state)
{
	struct wg_allowedips *table = wg_allowedips_create(NULL);

	(void)state;
	insert(table, "0.0.0.0/0", 1);
	assert_int_equal(lookup(table, "9.9.9.9"), 1);
	assert_int_equal(lookup(table, "2000::"), NONE);
	insert(table, "::/0", 2);
	assert_int_equal(lookup(table, "2000::"), 2);
	assert_int_equal(lookup(table, "255.1.1.1"), 1);
	wg_allowedips_destroy(table);
}

static void empty_table_and_no_family_match_nothing(void **state)
{
	struct wg_allowedips *table = wg_allowedips_create(NULL);
	struct base_ip nobody = {0};

	(void)state;
	assert_int_equal(lookup(table, "1.2.3.4"), NONE);
	assert_int_equal(lookup(table, "::"), NONE);
	assert_int_equal(wg_allowedips_lookup(table, &nobody), NONE);
	assert_int_equal(wg_allowedips_remove_value(table, 1), 0);
	wg_allowedips_destroy(table);
	wg_allowedips_destroy(NULL);
}

static void insert_of_a_held_prefix_moves_it_and_says_from_whom(void **state)
{
	struct wg_allowedips *table = make_table();
	size_t count = wg_allowedips_count(table);
	struct base_prefix p = prefix("192.168.4.77/24"); /* host bits do not count */
	uint32_t from = 99;

	(void)state;
	assert_int_equal(wg_allowedips_insert(table, &p, 50, &from), 0);
	assert_int_equal(from, 1);
	assert_int_equal(lookup(table, "192.168.4.20"), 50);
	assert_int_equal(wg_allowedips_insert(table, &p, 50, &from), 0);
	assert_int_equal(from, NONE); /* it had it already */
	assert_int_equal(wg_allowedips_count(table), count);
	p = prefix("192.168.4.0/23"); /* a fork until now, or new: nobody's */
	assert_int_equal(wg_allowedips_insert(table, &p, 50, &from), 0);
	assert_int_equal(from, NONE);
	assert_int_equal(wg_allowedips_count(table), count + 1);
	wg_allowedips_destroy(table);
}

static void insert_refuses_what_is_no_prefix_and_changes_nothing(void **state)
{
	struct wg_allowedips *table = make_table();
	size_t count = wg_allowedips_count(table);
	struct base_prefix p = prefix("1.2.3.0/24");
	uint32_t from = 99;

	(void)state;
	assert_int_equal(wg_allowedips_insert(table, &p, NONE, &from), -EINVAL);
	assert_int_equal(wg_allowedips_insert(table, &p, WG_ALLOWEDIPS_VALUE_MAX + 1, &from),
	                 -EINVAL);
	p.len = 33;
	assert_int_equal(wg_allowedips_insert(table, &p, 1, &from), -EINVAL);
	p = prefix("::/0");
	p.len = 129;
	assert_int_equal(wg_allowedips_insert(table, &p, 1, &from), -EINVAL);
	p.len = 0;
	p.ip.family = BASE_IP_NONE;
	assert_int_equal(wg_allowedips_insert(table, &p, 1, &from), -EINVAL);
	p.ip.family = 9;
	assert_int_equal(wg_allowedips_insert(table, &p, 1, &from), -EINVAL);
	assert_int_equal(from, 99);
	assert_int_equal(wg_allowedips_count(table), count);
	assert_int_equal(lookup(table, "1.2.3.4"), NONE);
	wg_allowedips_destroy(table);
}

static void remove_takes_exactly_the_holders_prefix(void **state)
{
	struct wg_allowedips *table = make_table();
	size_t count = wg_allowedips_count(table);
	struct base_prefix p = prefix("192.168.4.0/24");

	(void)state;
	assert_int_equal(wg_allowedips_remove(table, &p, 2), -ENOENT);
	p.len = 25;
	assert_int_equal(wg_allowedips_remove(table, &p, 1), -ENOENT);
	p.len = 23;
	assert_int_equal(wg_allowedips_remove(table, &p, 1), -ENOENT);
	assert_int_equal(wg_allowedips_remove(table, &p, NONE), -ENOENT);
	assert_int_equal(wg_allowedips_count(table), count);
	p.len = 24;
	assert_int_equal(wg_allowedips_remove(table, &p, 1), 0);
	assert_int_equal(wg_allowedips_remove(table, &p, 1), -ENOENT);
	assert_int_equal(wg_allowedips_count(table), count - 1);
	assert_int_equal(lookup(table, "192.168.4.20"), 3);
	assert_int_equal(lookup(table, "192.168.4.4"), 2);
	wg_allowedips_destroy(table);
}

static void remove_value_takes_all_of_it_and_nothing_else(void **state)
{
	struct wg_allowedips *table = make_table();

	(void)state;
	insert(table, "172.16.0.0/12", 2);
	insert(table, "2001:db8::/32", 2);
	insert(table, "::/0", 2);
	assert_int_equal(wg_allowedips_remove_value(table, 2), 4);
	assert_int_equal(wg_allowedips_remove_value(table, 2), 0);
	assert_int_equal(wg_allowedips_remove_value(table, NONE), 0);
	assert_int_equal(wg_allowedips_count(table), BASE_ARRAY_LEN(table_prefixes) - 1);
	assert_int_equal(lookup(table, "192.168.4.4"), 1);
	assert_int_equal(lookup(table, "2001:db8::1"), NONE);
	wg_allowedips_destroy(table);
}

struct collected {
	char text[2000];
	size_t len;
	int stop_after;
};

static int collect(void *arg, const struct base_prefix *p, uint32_t value)
{
	struct collected *c = arg;
	char buf[BASE_PREFIX_STRLEN];

	c->len += (size_t)snprintf(c->text + c->len, sizeof(c->text) - c->len, "%s=%u ",
	                           base_prefix_format(p, buf), value);
	return --c->stop_after == 0 ? 7 : 0;
}

static void each_goes_up_ipv4_first_and_stops_when_told(void **state)
{
	struct wg_allowedips *table = wg_allowedips_create(NULL);
	struct collected c = {0};

	(void)state;
	insert(table, "fe80::/10", 5);
	insert(table, "10.0.0.0/8", 1);
	insert(table, "192.168.1.0/24", 3);
	insert(table, "::/0", 4);
	insert(table, "10.0.0.0/9", 2);
	insert(table, "10.128.0.0/9", 2);
	assert_int_equal(wg_allowedips_each(table, collect, &c), 0);
	assert_string_equal(c.text, "10.0.0.0/8=1 10.0.0.0/9=2 10.128.0.0/9=2 192.168.1.0/24=3 "
	                            "::/0=4 fe80::/10=5 ");
	c = (struct collected){.stop_after = 2};
	assert_int_equal(wg_allowedips_each(table, collect, &c), 7);
	assert_string_equal(c.text, "10.0.0.0/8=1 10.0.0.0/9=2 ");
	wg_allowedips_destroy(table);
}

/* ---- against a list ------------------------------------------------------------------------------ */

struct naive_entry {
	struct base_prefix prefix;
	uint32_t value;
};

struct naive {
	struct naive_entry *entries;
	size_t n;
};

static uint32_t naive_insert(struct naive *naive, struct base_prefix p, uint32_t value)
{
	uint32_t from;

	base_prefix_mask(&p);
	for (size_t i = 0; i < naive->n; i++) {
		if (!base_prefix_equal(&naive->entries[i].prefix, &p))
			continue;
		from = naive->entries[i].value;
		naive->entries[i].value = value;
		return from == value ? NONE : from;
	}
	naive->entries[naive->n++] = (struct naive_entry){.prefix = p, .value = value};
	return NONE;
}

static int naive_remove(struct naive *naive, struct base_prefix p, uint32_t value)
{
	base_prefix_mask(&p);
	for (size_t i = 0; i < naive->n; i++) {
		if (base_prefix_equal(&naive->entries[i].prefix, &p)
		    && naive->entries[i].value == value) {
			naive->entries[i] = naive->entries[--naive->n];
			return 0;
		}
	}
	return -ENOENT;
}

static size_t naive_remove_value(struct naive *naive, uint32_t value)
{
	size_t before = naive->n;

	for (size_t i = 0; i < naive->n;) {
		if (naive->entries[i].value == value)
			naive->entries[i] = naive->entries[--naive->n];
		else
			i++;
	}
	return before - naive->n;
}

static uint32_t naive_lookup(const struct naive *naive, const struct base_ip *ip)
{
	const struct naive_entry *best = NULL;

	for (size_t i = 0; i < naive->n; i++)
		if (base_prefix_contains(&naive->entries[i].prefix, ip)
		    && (!best || naive->entries[i].prefix.len > best->prefix.len))
			best = &naive->entries[i];
	return best ? best->value : NONE;
}

/* Addresses that share long heads, or prefixes would hardly ever nest. */
static struct base_ip random_ip(struct test_random *random)
{
	bool v6 = test_random_below(random, 2);
	struct base_ip ip = {.family = v6 ? BASE_IP_V6 : BASE_IP_V4};
	size_t len = base_ip_len(ip.family);

	test_random_bytes(random, ip.bytes, len);
	for (size_t i = 0; i < len && test_random_below(random, v6 ? 24 : 5) != 0; i++)
		ip.bytes[i] = (uint8_t)(test_random_below(random, 2) * 0x81);
	return ip;
}

static struct base_prefix random_prefix(struct test_random *random)
{
	struct base_prefix p = {.ip = random_ip(random)};
	uint32_t whole = (uint32_t)base_ip_len(p.ip.family) * 8;

	/* Whole addresses are held in a hash besides: there must be many. */
	if (test_random_below(random, 2))
		p.len = (uint8_t)whole;
	else
		p.len = (uint8_t)test_random_below(random, whole + 1);
	return p;
}

static struct base_prefix pick_prefix(struct test_random *random, const struct naive *naive)
{
	if (naive->n == 0 || test_random_below(random, 3) == 0)
		return random_prefix(random);
	return naive->entries[test_random_below(random, (uint32_t)naive->n)].prefix;
}

/* An address in, or one bit outside, some prefix; or any. */
static struct base_ip pick_ip(struct test_random *random, const struct naive *naive)
{
	struct base_prefix p = pick_prefix(random, naive);
	struct base_ip noise = {.family = p.ip.family};
	struct base_prefix host = p;
	uint32_t n_bits = (uint32_t)base_ip_len(p.ip.family) * 8;
	uint32_t bit = test_random_below(random, n_bits);

	test_random_bytes(random, noise.bytes, n_bits / 8);
	base_prefix_mask(&p);
	host.ip = noise;
	base_prefix_mask(&host);
	for (size_t i = 0; i < n_bits / 8; i++)
		p.ip.bytes[i] = (uint8_t)(p.ip.bytes[i] | (noise.bytes[i] ^ host.ip.bytes[i]));
	if (test_random_below(random, 2))
		p.ip.bytes[bit / 8] = (uint8_t)(p.ip.bytes[bit / 8] ^ (0x80 >> bit % 8));
	return p.ip;
}

static void compare_lookups(struct test_random *random, const struct wg_allowedips *table,
                            const struct naive *naive, int n)
{
	assert_int_equal(wg_allowedips_count(table), naive->n);
	for (int i = 0; i < n; i++) {
		struct base_ip ip = pick_ip(random, naive);

		assert_int_equal(wg_allowedips_lookup(table, &ip), naive_lookup(naive, &ip));
	}
}

static void compare_burst(struct test_random *random, const struct wg_allowedips *table,
                          const struct naive *naive)
{
	enum { N = WG_ALLOWEDIPS_BURST_MAX };
	struct base_ip ips[N];
	const uint8_t *addresses[N] = {NULL};
	uint8_t families[N] = {0};
	uint32_t values[N];
	unsigned int n = (unsigned int)test_random_below(random, N + 1);

	for (unsigned int i = 0; i < n; i++) {
		ips[i] = pick_ip(random, naive);
		addresses[i] = ips[i].bytes;
		families[i] = test_random_below(random, 20) == 0 ? 9 : ips[i].family;
	}
	wg_allowedips_lookup_burst(table, addresses, families, values, n);
	for (unsigned int i = 0; i < n; i++)
		assert_int_equal(values[i], families[i] == 9 ? NONE : naive_lookup(naive, &ips[i]));
}

struct walk {
	const struct naive *naive;
	size_t n;
};

static int check_listed(void *arg, const struct base_prefix *p, uint32_t value)
{
	struct walk *walk = arg;

	for (size_t i = 0; i < walk->naive->n; i++) {
		if (base_prefix_equal(&walk->naive->entries[i].prefix, p)) {
			assert_int_equal(walk->naive->entries[i].value, value);
			walk->n++;
			return 0;
		}
	}
	return -ENOENT;
}

static void compare_all(const struct wg_allowedips *table, const struct naive *naive)
{
	struct walk walk = {.naive = naive};

	assert_int_equal(wg_allowedips_each(table, check_listed, &walk), 0);
	assert_int_equal(walk.n, naive->n);
}

static void random_tables_agree_with_a_list(void **state)
{
	enum { N_PREFIXES = 2000, N_STEPS = 6000, N_VALUES = 2000 };
	struct test_random random = test_random_start();
	struct wg_allowedips *table = wg_allowedips_create(NULL);
	struct naive naive = {.entries = calloc(N_STEPS, sizeof(struct naive_entry))};

	(void)state;
	assert_non_null(naive.entries);
	for (int i = 0; i < N_STEPS; i++) {
		struct base_prefix p = pick_prefix(&random, &naive);
		uint32_t value = test_random_below(&random, N_VALUES);
		uint32_t what = test_random_below(&random, 100);
		uint32_t from = 0;

		if (i < N_PREFIXES || what < 45) {
			p = i < N_PREFIXES ? random_prefix(&random) : p;
			assert_int_equal(wg_allowedips_insert(table, &p, value, &from), 0);
			assert_int_equal(from, naive_insert(&naive, p, value));
		} else if (what < 95) {
			for (size_t j = 0; j < naive.n; j++)
				if (base_prefix_equal(&naive.entries[j].prefix, &p))
					value = naive.entries[j].value;
			assert_int_equal(wg_allowedips_remove(table, &p, value),
			                 naive_remove(&naive, p, value));
		} else {
			assert_int_equal(wg_allowedips_remove_value(table, value),
			                 naive_remove_value(&naive, value));
		}
		compare_lookups(&random, table, &naive, 5);
		if (i % 500 == 0) {
			compare_all(table, &naive);
			compare_burst(&random, table, &naive);
		}
	}
	compare_lookups(&random, table, &naive, 5000);
	for (uint32_t value = 0; value < N_VALUES; value++)
		assert_int_equal(wg_allowedips_remove_value(table, value),
		                 naive_remove_value(&naive, value));
	compare_lookups(&random, table, &naive, 10);
	free(naive.entries);
	wg_allowedips_destroy(table);
}

struct overlaps {
	const struct base_prefix *prefix;
	size_t n;
};

static int check_overlap(void *arg, const struct base_prefix *p, uint32_t value)
{
	struct overlaps *overlaps = arg;

	(void)value;
	assert_true(base_prefix_overlap(p, overlaps->prefix));
	overlaps->n++;
	return 0;
}

static void an_ordered_table_finds_what_overlaps(void **state)
{
	enum { N_PREFIXES = 1500, N_STEPS = 4000 };
	struct test_random random = test_random_start();
	struct wg_allowedips *table = wg_allowedips_create_ordered();
	struct naive naive = {.entries = calloc(N_STEPS, sizeof(struct naive_entry))};

	(void)state;
	assert_non_null(naive.entries);
	for (uint32_t i = 0; i < N_STEPS; i++) {
		struct base_prefix p = i < N_PREFIXES ? random_prefix(&random)
		                                      : pick_prefix(&random, &naive);
		struct overlaps overlaps = {.prefix = &p};
		size_t expected = 0;

		if (i < N_PREFIXES || i % 2 != 0) {
			assert_int_equal(wg_allowedips_insert(table, &p, i, NULL), 0);
			naive_insert(&naive, p, i);
		} else {
			assert_int_equal(wg_allowedips_remove(table, &p, i - 1),
			                 naive_remove(&naive, p, i - 1));
		}
		compare_lookups(&random, table, &naive, 3);
		base_prefix_mask(&p);
		for (size_t k = 0; k < naive.n; k++)
			expected += base_prefix_overlap(&naive.entries[k].prefix, &p);
		assert_int_equal(
			wg_allowedips_each_overlapping(table, &p, check_overlap, &overlaps), 0);
		assert_int_equal(overlaps.n, expected);
	}
	compare_all(table, &naive);
	free(naive.entries);
	wg_allowedips_destroy(table);
}

static void filling_and_emptying_again_and_again_needs_no_more_memory(void **state)
{
	struct wg_allowedips *table = wg_allowedips_create(NULL);

	(void)state;
	for (int round = 0; round < 200; round++) {
		for (uint32_t i = 0; i < 1000; i++) {
			struct base_prefix p = prefix("10.0.0.0/32");

			p.ip.bytes[2] = (uint8_t)(i >> 8);
			p.ip.bytes[3] = (uint8_t)i;
			assert_int_equal(wg_allowedips_insert(table, &p, i % 7, NULL), 0);
		}
		for (uint32_t value = 0; value < 7; value++)
			wg_allowedips_remove_value(table, value);
		assert_int_equal(wg_allowedips_count(table), 0);
	}
	/* 1000 addresses need fewer than 2000 nodes of 32 bytes and 4000 slots of 4. */
	assert_true(wg_allowedips_memory(table) <= 2048 * 32 + 4096 * 4 + 256);
	wg_allowedips_destroy(table);
}

/* Many addresses under a default route come and go: a removed one must not stay anywhere, where it
 * would hide the default route. The dumb version is an array with a value for each address. */
static void addresses_that_come_and_go_leave_nothing_behind(void **state)
{
	enum { N_ADDRESSES = 4096, N_VALUES = 9, N_STEPS = 300, DEFAULT = 100 };
	struct test_random random = test_random_start();
	struct wg_allowedips *table = wg_allowedips_create(NULL);
	static uint32_t expected[N_ADDRESSES];

	(void)state;
	insert(table, "0.0.0.0/0", DEFAULT);
	insert(table, "::/0", DEFAULT);
	for (uint32_t i = 0; i < N_ADDRESSES; i++)
		expected[i] = DEFAULT;
	for (int step = 0; step < N_STEPS; step++) {
		uint32_t gone = (uint32_t)test_random_below(&random, N_VALUES);

		for (int i = 0; i < 100; i++) {
			uint32_t at = (uint32_t)test_random_below(&random, N_ADDRESSES);
			struct base_prefix p = prefix(at % 2 == 0 ? "10.0.0.0/32" : "fd00::/128");

			base_store_be16(p.ip.bytes + base_ip_len(p.ip.family) - 2, (uint16_t)at);
			expected[at] = (uint32_t)test_random_below(&random, N_VALUES);
			assert_int_equal(wg_allowedips_insert(table, &p, expected[at], NULL), 0);
		}
		wg_allowedips_remove_value(table, gone);
		for (uint32_t at = 0; at < N_ADDRESSES; at++) {
			struct base_prefix p = prefix(at % 2 == 0 ? "10.0.0.0/32" : "fd00::/128");

			base_store_be16(p.ip.bytes + base_ip_len(p.ip.family) - 2, (uint16_t)at);
			expected[at] = expected[at] == gone ? DEFAULT : expected[at];
			assert_int_equal(wg_allowedips_lookup(table, &p.ip), expected[at]);
		}
	}
	wg_allowedips_destroy(table);
}

/* Forks go with the prefixes that needed them, one by one too; kept, new places would need new ones. */
static void removing_one_by_one_gives_every_node_back(void **state)
{
	struct wg_allowedips *table = wg_allowedips_create(NULL);
	size_t memory = 0;

	(void)state;
	for (uint32_t round = 0; round < 250; round++) {
		struct base_prefix p = prefix("10.0.0.0/32");

		p.ip.bytes[1] = (uint8_t)round;
		for (uint32_t i = 0; i < 200; i++) {
			p.ip.bytes[3] = (uint8_t)i;
			assert_int_equal(wg_allowedips_insert(table, &p, i, NULL), 0);
		}
		for (uint32_t i = 0; i < 200; i++) {
			p.ip.bytes[3] = (uint8_t)(i * 77 % 200);
			assert_int_equal(wg_allowedips_remove(table, &p, i * 77 % 200), 0);
		}
		assert_int_equal(wg_allowedips_count(table), 0);
		memory = round == 0 ? wg_allowedips_memory(table) : memory;
		assert_int_equal(wg_allowedips_memory(table), memory);
	}
	wg_allowedips_destroy(table);
}

/* As a hub gives them to its peers, and the first of many networks: half of all slots are taken, as after a
 * move, and no bucket has more than it holds, so that each search ends in its first. */
static void addresses_in_a_row_fill_buckets_evenly(void **state)
{
	static const uint32_t first[] = {0x0a400000, 0x0a3f0002, 0x64400001, 0xc0a80001};
	uint32_t n_in[1 << 12];

	(void)state;
	for (uint32_t bits = 3; bits <= 12; bits++) {
		const struct wg_hosts hosts = {.bits = bits};

		for (size_t i = 0; i < BASE_ARRAY_LEN(first); i++) {
			memset(n_in, 0, sizeof(n_in));
			for (uint32_t j = 0; j < WG_BUCKET_V4 / 2 << bits; j++) {
				struct wg_key key = {.high = (uint64_t)(first[i] + j) << 32};

				assert_true(++n_in[wg__hosts_start(&hosts, key)] <= WG_BUCKET_V4);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lookup_finds_the_longest_match),
		cmocka_unit_test(default_routes_are_held_by_family),
		cmocka_unit_test(empty_table_and_no_family_match_nothing),
		cmocka_unit_test(insert_of_a_held_prefix_moves_it_and_says_from_whom),
		cmocka_unit_test(insert_refuses_what_is_no_prefix_and_changes_nothing),
		cmocka_unit_test(remove_takes_exactly_the_holders_prefix),
		cmocka_unit_test(remove_value_takes_all_of_it_and_nothing_else),
		cmocka_unit_test(each_goes_up_ipv4_first_and_stops_when_told),
		cmocka_unit_test(random_tables_agree_with_a_list),
		cmocka_unit_test(an_ordered_table_finds_what_overlaps),
		cmocka_unit_test(filling_and_emptying_again_and_again_needs_no_more_memory),
		cmocka_unit_test(removing_one_by_one_gives_every_node_back),
		cmocka_unit_test(addresses_that_come_and_go_leave_nothing_behind),
		cmocka_unit_test(addresses_in_a_row_fill_buckets_evenly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Addresses, prefixes and endpoints as text, and how they compare. */
#include "base_bytes.h"
#include "base_ip.h"
#include "test.h"

#include <errno.h>

static const struct {
	const char *in;
	const char *out; /* NULL = refused */
} ips[] = {
	/* 0 */ {"1.2.3.4", "1.2.3.4"},
	/* 1 */ {"255.255.255.255", "255.255.255.255"},
	/* 2 */ {"0.0.0.0", "0.0.0.0"},
	/* 3 */ {"::", "::"},
	/* 4 */ {"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
	/* 5 */ {"::ffff:1.2.3.4", "::ffff:1.2.3.4"},
	/* 6 */
	{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
	/* 7 */ {"", NULL},
	/* 8 */ {"1.2.3", NULL},
	/* 9 */ {"1.2.3.256", NULL},
	/* 10 */ {"1.2.3.4 ", NULL},
	/* 11 */ {" 1.2.3.4", NULL},
	/* 12 */ {"01.2.3.4", NULL},
	/* 13 */ {"1.2.3.4.5", NULL},
	/* 14 */ {"[::1]", NULL},
	/* 15 */ {"fe80::1%eth0", NULL},
	/* 16 */ {":::", NULL},
	/* 17 */ {"1::2::3", NULL},
	/* 18 */ {"12345::", NULL},
	/* 19 */ {"localhost", NULL},
},
  prefixes[] = {
	  /* 0 */ {"10.0.0.0/8", "10.0.0.0/8"},
	  /* 1 */ {"10.1.2.3", "10.1.2.3/32"},
	  /* 2 */ {"10.1.2.3/0", "10.1.2.3/0"},
	  /* 3 */ {"::1", "::1/128"},
	  /* 4 */ {"2001:db8::/127", "2001:db8::/127"},
	  /* 5 */ {"10.0.0.0/33", NULL},
	  /* 6 */ {"::/129", NULL},
	  /* 7 */ {"10.0.0.0/", NULL},
	  /* 8 */ {"10.0.0.0/-1", NULL},
	  /* 9 */ {"10.0.0.0/+8", NULL},
	  /* 10 */ {"10.0.0.0/ 8", NULL},
	  /* 11 */ {"10.0.0.0/8 ", NULL},
	  /* 12 */ {"10.0.0.0/8/8", NULL},
	  /* 13 */ {"/8", NULL},
	  /* 14 */ {"10.0.0.0/99999999999999999999", NULL},
	  /* 15 */ {"10.0.0.0/255.0.0.0", NULL},
	  /* 16 */ {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/8", NULL},
},
  endpoints[] = {
	  /* 0 */ {"1.2.3.4:51820", "1.2.3.4:51820"},
	  /* 1 */ {"[::1]:1", "[::1]:1"},
	  /* 2 */ {"[2001:db8::1]:65535", "[2001:db8::1]:65535"},
	  /* 3 */ {"1.2.3.4:0", NULL},
	  /* 4 */ {"1.2.3.4:65536", NULL},
	  /* 5 */ {"1.2.3.4:", NULL},
	  /* 6 */ {"1.2.3.4", NULL},
	  /* 7 */ {":51820", NULL},
	  /* 8 */ {"::1:51820", NULL},
	  /* 9 */ {"[1.2.3.4]:51820", NULL},
	  /* 10 */ {"[::1]", NULL},
	  /* 11 */ {"[::1]51820", NULL},
	  /* 12 */ {"[::1:51820", NULL},
	  /* 13 */ {"::1]:51820", NULL},
	  /* 14 */ {"[]:51820", NULL},
	  /* 15 */ {"[:51820", NULL},
	  /* 16 */ {"[", NULL},
	  /* 17 */ {"]:1", NULL},
	  /* 18 */ {"", NULL},
	  /* 19 */ {":", NULL},
	  /* 20 */ {"1.2.3.4:+5", NULL},
	  /* 21 */
	  {"[aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]:1", NULL},
};

static void check_text(size_t i, int result, const char *got, const char *in, const char *expected)
{
	if (result != (expected ? 0 : -EINVAL))
		fail_msg("case %zu: %s gives %d", i, in, result);
	if (expected && strcmp(got, expected) != 0)
		fail_msg("case %zu: %s gives %s, expected %s", i, in, got, expected);
}

static void addresses_are_read_and_written(void **state)
{
	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(ips); i++) {
		struct base_ip ip = {.family = 77};
		char buf[BASE_IP_STRLEN] = "";
		int result = base_ip_parse(ips[i].in, &ip);

		if (result == 0)
			base_ip_format(&ip, buf);
		else
			assert_int_equal(ip.family, 77);
		check_text(i, result, buf, ips[i].in, ips[i].out);
	}
}

static void prefixes_are_read_and_written(void **state)
{
	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(prefixes); i++) {
		struct base_prefix prefix = {.len = 77};
		char buf[BASE_PREFIX_STRLEN] = "";
		int result = base_prefix_parse(prefixes[i].in, &prefix);

		if (result == 0)
			base_prefix_format(&prefix, buf);
		else
			assert_int_equal(prefix.len, 77);
		check_text(i, result, buf, prefixes[i].in, prefixes[i].out);
	}
}

static void endpoints_are_read_and_written(void **state)
{
	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(endpoints); i++) {
		struct base_endpoint endpoint = {.port = 77};
		char buf[BASE_ENDPOINT_STRLEN] = "";
		int result = base_endpoint_parse(endpoints[i].in, &endpoint);

		if (result == 0)
			base_endpoint_format(&endpoint, buf);
		else
			assert_int_equal(endpoint.port, 77);
		check_text(i, result, buf, endpoints[i].in, endpoints[i].out);
	}
}

static void longest_texts_fit_their_buffers(void **state)
{
	struct base_endpoint endpoint = {.port = 65535};
	struct base_prefix prefix = {.len = 128};
	char buf[BASE_ENDPOINT_STRLEN];

	(void)state;
	assert_int_equal(base_ip_parse("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", &prefix.ip),
	                 0);
	endpoint.ip = prefix.ip;
	assert_string_equal(base_endpoint_format(&endpoint, buf),
	                    "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
	assert_string_equal(base_prefix_format(&prefix, buf),
	                    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128");
}

static void what_has_no_family_is_called_none_and_matches_nothing(void **state)
{
	static const uint8_t families[] = {BASE_IP_NONE, 1, 5, 255};
	char buf[BASE_ENDPOINT_STRLEN];

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(families); i++) {
		struct base_endpoint endpoint = {.ip.family = families[i], .port = 1};
		struct base_prefix prefix = {.ip.family = families[i]};

		assert_int_equal(base_ip_len(families[i]), 0);
		assert_string_equal(base_ip_format(&endpoint.ip, buf), "none");
		assert_string_equal(base_endpoint_format(&endpoint, buf), "none");
		assert_false(base_prefix_contains(&prefix, &endpoint.ip));
		assert_false(base_prefix_overlap(&prefix, &prefix));
	}
}

static void made_addresses_equal_parsed_ones_to_the_byte(void **state)
{
	const uint8_t v4[4] = {1, 2, 3, 4};
	const uint8_t v6[16] = {0x20, 1, [15] = 9};
	struct base_ip a, b;

	(void)state;
	a = base_ip_make(BASE_IP_V4, v4);
	assert_int_equal(base_ip_parse("1.2.3.4", &b), 0);
	assert_memory_equal(&a, &b, sizeof(a));
	assert_true(base_ip_equal(&a, &b));
	a = base_ip_make(BASE_IP_V6, v6);
	assert_false(base_ip_equal(&a, &b));
	assert_int_equal(base_ip_parse("2001::9", &b), 0);
	assert_memory_equal(&a, &b, sizeof(a));
	b.bytes[15] = 8;
	assert_false(base_ip_equal(&a, &b));
}

static void endpoints_are_equal_in_address_and_port_only(void **state)
{
	struct base_endpoint a, b;

	(void)state;
	assert_int_equal(base_endpoint_parse("1.2.3.4:5", &a), 0);
	b = a;
	assert_true(base_endpoint_equal(&a, &b));
	b.port++;
	assert_false(base_endpoint_equal(&a, &b));
	b = a;
	b.ip.bytes[3]++;
	assert_false(base_endpoint_equal(&a, &b));
	b = a;
	b.ip.family = BASE_IP_V6;
	assert_false(base_endpoint_equal(&a, &b));
}

static bool bit_of(const struct base_ip *ip, unsigned int i)
{
	return ip->bytes[i / 8] >> (7 - i % 8) & 1;
}

/* mask, contains and overlap against the definition, bit by bit. */
static void prefixes_compare_bit_by_bit(void **state)
{
	struct test_random random = test_random_start();

	(void)state;
	for (int i = 0; i < 20000; i++) {
		uint8_t family = test_random_below(&random, 2) ? BASE_IP_V4 : BASE_IP_V6;
		unsigned int n_bits = (unsigned int)base_ip_len(family) * 8;
		struct base_prefix a = {.ip.family = family}, b, masked;
		unsigned int common = 0;
		bool host_bits = false;

		test_random_bytes(&random, a.ip.bytes, n_bits / 8);
		b = a;
		if (test_random_below(&random, 4)) {
			unsigned int flip = (unsigned int)test_random_below(&random, n_bits);

			b.ip.bytes[flip / 8] ^= (uint8_t)(0x80 >> flip % 8);
		}
		a.len = (uint8_t)test_random_below(&random, n_bits + 1);
		b.len = (uint8_t)test_random_below(&random, n_bits + 1);
		while (common < n_bits && bit_of(&a.ip, common) == bit_of(&b.ip, common))
			common++;
		assert_int_equal(base_prefix_contains(&a, &b.ip), common >= a.len);
		assert_int_equal(base_prefix_overlap(&a, &b),
		                 common >= (a.len < b.len ? a.len : b.len));

		masked = a;
		for (unsigned int j = 0; j < n_bits; j++)
			host_bits |= j >= a.len && bit_of(&a.ip, j);
		assert_int_equal(base_prefix_mask(&masked), host_bits);
		assert_int_equal(base_prefix_equal(&a, &masked), !host_bits);
		for (unsigned int j = 0; j < n_bits; j++)
			assert_int_equal(bit_of(&masked.ip, j), j < a.len && bit_of(&a.ip, j));
	}
}

static void random_endpoints_and_prefixes_survive_the_round_trip(void **state)
{
	struct test_random random = test_random_start();

	(void)state;
	for (int i = 0; i < 5000; i++) {
		struct base_endpoint endpoint = {0}, endpoint_back;
		struct base_prefix prefix = {0}, prefix_back;
		char buf[BASE_ENDPOINT_STRLEN];

		endpoint.ip.family = test_random_below(&random, 2) ? BASE_IP_V4 : BASE_IP_V6;
		for (size_t j = 0; j < base_ip_len(endpoint.ip.family); j++)
			endpoint.ip.bytes[j] = (uint8_t)(test_random_below(&random, 3)
			                                 * test_random_below(&random, 128));
		endpoint.port = (uint16_t)(1 + test_random_below(&random, 65535));
		prefix.ip = endpoint.ip;
		prefix.len = (uint8_t)test_random_below(&random,
		                                        base_ip_len(prefix.ip.family) * 8 + 1);
		assert_int_equal(base_endpoint_parse(base_endpoint_format(&endpoint, buf),
		                                     &endpoint_back),
		                 0);
		assert_memory_equal(&endpoint, &endpoint_back, sizeof(endpoint));
		assert_int_equal(base_prefix_parse(base_prefix_format(&prefix, buf), &prefix_back),
		                 0);
		assert_memory_equal(&prefix, &prefix_back, sizeof(prefix));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_read_and_written),
		cmocka_unit_test(prefixes_are_read_and_written),
		cmocka_unit_test(endpoints_are_read_and_written),
		cmocka_unit_test(longest_texts_fit_their_buffers),
		cmocka_unit_test(what_has_no_family_is_called_none_and_matches_nothing),
		cmocka_unit_test(made_addresses_equal_parsed_ones_to_the_byte),
		cmocka_unit_test(endpoints_are_equal_in_address_and_port_only),
		cmocka_unit_test(prefixes_compare_bit_by_bit),
		cmocka_unit_test(random_endpoints_and_prefixes_survive_the_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

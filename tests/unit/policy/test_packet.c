/* Reading packets: a case each, cut off at every length, and bytes at random. */
#include "policy_packet.h"
#include "test.h"

#define V4(proto, fragment)                                                                        \
	0x45, 0, 0, 0, 0x12, 0x34, (fragment) >> 8, (fragment)&255, 64, proto, 0, 0, 10, 0, 0, 1,  \
		10, 0, 0, 2
#define V4_BACK(proto) 0x45, 0, 0, 0, 0x12, 0x34, 0, 0, 64, proto, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1
#define ADDRESS6(last) 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last
#define V6(next)       0x60, 0, 0, 0, 0, 0, next, 64, ADDRESS6(1), ADDRESS6(2)
#define TCP(flags)     0x04, 0, 0x01, 0xbb, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, flags, 0, 0, 0, 0, 0, 0
#define UDP            0x1b, 0x58, 0, 53, 0, 8, 0, 0
#define UDP_BACK       0, 53, 0x1b, 0x58, 0, 8, 0, 0
#define ICMP(type)     type, 0, 0, 0, 0, 77, 0, 1

static const struct {
	const char *name;
	uint8_t len;
	uint8_t bytes[128];
	uint8_t parse, kind, proto, is_fragment;
	uint16_t sport, dport;
	uint8_t need; /* bytes without which it must not parse */
} cases[] = {
	{"tcp", 40, {V4(6, 0), TCP(0x02)}, POLICY_PARSE_OK, POLICY_KIND_TCP, 6, 0, 1024, 443, 40},
	{"udp", 28, {V4(17, 0), UDP}, POLICY_PARSE_OK, POLICY_KIND_UDP, 17, 0, 7000, 53, 28},
	{"gre", 28, {V4(47, 0)}, POLICY_PARSE_OK, POLICY_KIND_OTHER, 47, 0, 0, 0, 20},
	{"dont-fragment",
         40,
         {V4(6, 0x4000), TCP(0x10)},
         POLICY_PARSE_OK,
         POLICY_KIND_TCP,
         6,
         0,
         1024,
         443,
         40},
	{"ping",
         28,
         {V4(1, 0), ICMP(8)},
         POLICY_PARSE_OK,
         POLICY_KIND_ECHO_REQUEST,
         1,
         0,
         77,
         0,
         28},
	{"pong", 28, {V4(1, 0), ICMP(0)}, POLICY_PARSE_OK, POLICY_KIND_ECHO_REPLY, 1, 0, 0, 77, 28},
	{"redirect",
         56,
         {V4(1, 0), ICMP(5), V4_BACK(17), UDP_BACK},
         POLICY_PARSE_ICMP,
         0,
         1,
         0,
         0,
         0,
         20},
	{"unreachable",
         56,
         {V4(1, 0), ICMP(3), V4_BACK(17), UDP_BACK},
         POLICY_PARSE_OK,
         POLICY_KIND_ERROR,
         17,
         0,
         7000,
         53,
         52},
	{"about a ping",
         56,
         {V4(1, 0), ICMP(11), V4_BACK(1), ICMP(8)},
         POLICY_PARSE_OK,
         POLICY_KIND_ERROR,
         1,
         0,
         0,
         77,
         56},
	{"about an error",
         56,
         {V4(1, 0), ICMP(3), V4_BACK(1), ICMP(3)},
         POLICY_PARSE_ICMP,
         0,
         1,
         0,
         0,
         0,
         20},
	{"about somebody else's",
         56,
         {V4(1, 0), ICMP(3), V4(17, 0), UDP},
         POLICY_PARSE_ICMP,
         0,
         1,
         0,
         0,
         0,
         20},
	{"first fragment",
         28,
         {V4(17, 0x2000), UDP},
         POLICY_PARSE_OK,
         POLICY_KIND_UDP,
         17,
         1,
         7000,
         53,
         28},
	{"later fragment",
         28,
         {V4(17, 0x2001), UDP},
         POLICY_PARSE_OK,
         POLICY_KIND_FRAGMENT,
         17,
         1,
         0,
         0,
         20},
	{"last fragment",
         28,
         {V4(6, 0x0003), UDP},
         POLICY_PARSE_OK,
         POLICY_KIND_FRAGMENT,
         6,
         1,
         0,
         0,
         20},
	/* to byte 65535, and one further */
	{"longest datagram",
         28,
         {V4(17, 0x1ffc), UDP},
         POLICY_PARSE_OK,
         POLICY_KIND_FRAGMENT,
         17,
         1,
         0,
         0,
         20},
	{"beyond a datagram",
         28,
         {V4(17, 0x1ffd), UDP},
         POLICY_PARSE_FRAGMENT,
         POLICY_KIND_FRAGMENT,
         17,
         1,
         0,
         0,
         20},
	{"over the flags",
         28,
         {V4(6, 0x2001), UDP},
         POLICY_PARSE_FRAGMENT,
         POLICY_KIND_FRAGMENT,
         6,
         1,
         0,
         0,
         20},
	{"small first", 28, {V4(6, 0x2000), UDP}, POLICY_PARSE_SHORT, 0, 6, 1, 0, 0, 20},
	{"icmp error in fragments",
         56,
         {V4(1, 0x2000), ICMP(3), V4_BACK(17), UDP_BACK},
         POLICY_PARSE_ICMP,
         0,
         1,
         1,
         0,
         0,
         20},
	{"icmpv6 in ipv4", 28, {V4(58, 0), ICMP(128)}, POLICY_PARSE_ICMP, 0, 58, 0, 0, 0, 20},
	{"header too short", 40, {0x44}, POLICY_PARSE_HEADER, 0, 0, 0, 0, 0, 0},
	{"version 5", 40, {0x55}, POLICY_PARSE_HEADER, 0, 0, 0, 0, 0, 0},
	{"tcp6", 60, {V6(6), TCP(0x12)}, POLICY_PARSE_OK, POLICY_KIND_TCP, 6, 0, 1024, 443, 60},
	{"ping6",
         48,
         {V6(58), ICMP(128)},
         POLICY_PARSE_OK,
         POLICY_KIND_ECHO_REQUEST,
         58,
         0,
         77,
         0,
         48},
	{"options6",
         64,
         {V6(0), 60, 0, 0, 0, 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0, UDP},
         POLICY_PARSE_OK,
         POLICY_KIND_UDP,
         17,
         0,
         7000,
         53,
         64},
	{"first fragment6",
         56,
         {V6(44), 17, 0, 0, 1, 0, 0, 0, 9, UDP},
         POLICY_PARSE_OK,
         POLICY_KIND_UDP,
         17,
         1,
         7000,
         53,
         56},
	{"later fragment6",
         56,
         {V6(44), 17, 0, 0, 9, 0, 0, 0, 9, UDP},
         POLICY_PARSE_OK,
         POLICY_KIND_FRAGMENT,
         17,
         1,
         0,
         0,
         48},
	{"longest datagram6",
         55,
         {V6(44), 17, 0, 0xff, 0xf8, 0, 0, 0, 9, UDP},
         POLICY_PARSE_OK,
         POLICY_KIND_FRAGMENT,
         17,
         1,
         0,
         0,
         48},
	{"beyond a datagram6",
         56,
         {V6(44), 17, 0, 0xff, 0xf8, 0, 0, 0, 9, UDP},
         POLICY_PARSE_FRAGMENT,
         POLICY_KIND_FRAGMENT,
         17,
         1,
         0,
         0,
         48},
	{"atomic fragment6",
         56,
         {V6(44), 17, 0, 0, 0, 0, 0, 0, 9, UDP},
         POLICY_PARSE_OK,
         POLICY_KIND_UDP,
         17,
         0,
         7000,
         53,
         56},
	{"extensions without end", 120, {V6(0)}, POLICY_PARSE_HEADER, 0, 0, 0, 0, 0, 40},
	{"mapped",
         48,
         {0x60, 0, 0, 0, 0, 0, 17, 64, [18] = 0xff, 0xff, 10, 0, 0, 1, ADDRESS6(2)},
         POLICY_PARSE_HEADER,
         0,
         17,
         0,
         0,
         0,
         40},
};

static void each_packet_is_read_as_what_it_is(void **state)
{
	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++) {
		struct policy_packet p = {.in_peer = 5, .out_peer = 6};
		enum policy_parse parse = policy_packet_parse(cases[i].bytes, cases[i].len, &p);

		if (parse != cases[i].parse)
			fail_msg("%s: %d", cases[i].name, parse);
		assert_int_equal(p.in_peer, 5);
		assert_int_equal(p.out_peer, 6);
		assert_int_equal(p.proto, cases[i].proto);
		assert_int_equal(p.is_fragment, cases[i].is_fragment);
		if (parse != POLICY_PARSE_OK)
			continue;
		if (p.kind != cases[i].kind || p.sport != cases[i].sport
		    || p.dport != cases[i].dport)
			fail_msg("%s: kind %u, ports %u %u", cases[i].name, p.kind, p.sport,
			         p.dport);
		if (policy_address_is_v4(p.src)) {
			assert_int_equal((uint32_t)p.src.low, 0x0a000001);
			assert_int_equal((uint32_t)p.dst.low, 0x0a000002);
		}
	}
}

/* Each length in memory of exactly that size, so that ASan sees a byte too far. */
static void packet_cut_off_is_refused_and_not_read_beyond(void **state)
{
	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++) {
		for (size_t len = 0; len < cases[i].len; len++) {
			struct policy_packet p = {0};
			uint8_t *copy = malloc(len + (len == 0));
			enum policy_parse parse;

			assert_non_null(copy);
			memcpy(copy, cases[i].bytes, len);
			parse = policy_packet_parse(copy, len, &p);
			if (parse == POLICY_PARSE_OK && len < cases[i].need)
				fail_msg("%s: taken at %zu bytes", cases[i].name, len);
			free(copy);
		}
	}
}

static void random_packets_do_no_harm(void **state)
{
	struct test_random random = test_random_start();
	uint32_t n_taken = 0;

	(void)state;
	for (uint32_t i = 0; i < 200000; i++) {
		size_t which = test_random_below(&random, BASE_ARRAY_LEN(cases));
		size_t len = test_random_below(&random, cases[which].len + 1U);
		struct policy_packet p = {0};
		uint8_t *copy = malloc(len + 1);

		assert_non_null(copy);
		memcpy(copy, cases[which].bytes, len);
		for (uint32_t n = 0; n < 3 && len > 0; n++)
			copy[test_random_below(&random, len)] = (uint8_t)test_random_next(&random);
		if (policy_packet_parse(copy, len, &p) == POLICY_PARSE_OK) {
			assert_true(p.kind < POLICY_N_KINDS);
			n_taken++;
		}
		free(copy);
	}
	assert_true(n_taken > 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_packet_is_read_as_what_it_is),
		cmocka_unit_test(packet_cut_off_is_refused_and_not_read_beyond),
		cmocka_unit_test(random_packets_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

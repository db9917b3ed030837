#include "base_time.h"
#include "port_limit.h"
#include "test.h"
#include "test_packet.h"

#include <stdlib.h>

static struct port_limit limit;
static uint8_t frame[2048];

static uint32_t arp(void)
{
	memset(frame, 0xff, 12);
	base_store_be16(frame + 12, 0x0806);
	memset(frame + 14, 0, 28);
	return 42;
}

static uint32_t icmp6(uint8_t type)
{
	struct test_packet p = test_packet_tcp(6, 14);
	uint32_t l4, len = test_packet_build(&p, frame, &l4);

	frame[14 + 6] = 58;
	frame[54] = type;
	return len;
}

static uint32_t tcp(uint8_t version, uint8_t flags, uint8_t host)
{
	struct test_packet p = test_packet_tcp(version, 14);
	uint32_t l4;

	p.flags = flags;
	p.host = host;
	return test_packet_build(&p, frame, &l4);
}

static void limit_knows_the_classes(void **state)
{
	uint32_t len;

	(void)state;
	/* 1 */ assert_int_equal(port_limit_classify(frame, arp()), PORT_LIMIT_NEIGHBOUR);
	/* 2 */ assert_int_equal(port_limit_classify(frame, icmp6(135)), PORT_LIMIT_NEIGHBOUR);
	/* 3 */ assert_int_equal(port_limit_classify(frame, icmp6(128)), PORT_LIMIT_ICMP);
	/* 4 */ assert_int_equal(port_limit_classify(frame, tcp(4, 0x02, 1)), PORT_LIMIT_SYN);
	/* 5 */ assert_int_equal(port_limit_classify(frame, tcp(6, 0x02, 1)), PORT_LIMIT_SYN);
	/* 6 */ assert_int_equal(port_limit_classify(frame, tcp(4, 0x12, 1)), PORT_LIMIT_OTHER);
	/* 7 */ assert_int_equal(port_limit_classify(frame, tcp(6, 0x10, 1)), PORT_LIMIT_OTHER);
	len = tcp(4, 0x02, 1);
	frame[14 + 9] = 1;
	/* 8 */ assert_int_equal(port_limit_classify(frame, len), PORT_LIMIT_ICMP);
	/* 9: every truncation is some class, and reads nothing behind the end (ASan) */
	for (uint32_t i = 0; i < 80; i++) {
		uint8_t *exact = malloc(i + 1);

		len = tcp(i % 2 ? 4 : 6, 0x02, 1);
		memcpy(exact, frame, i);
		assert_in_range(port_limit_classify(exact, i), 0, PORT_LIMIT_N_CLASSES - 1);
		(void)port_limit_pass(&limit, exact, i, 1);
		free(exact);
	}
}

/* Offer n frames of one kind at now_ns; how many pass. */
static uint32_t offer(uint32_t n, uint32_t len, uint64_t now_ns)
{
	uint32_t passed = 0;

	for (uint32_t i = 0; i < n; i++)
		passed += port_limit_pass(&limit, frame, len, now_ns);
	return passed;
}

static void limit_holds_a_source_to_burst_and_rate(void **state)
{
	uint64_t now = 10 * BASE_NS_PER_S;
	uint32_t len, passed = 0;

	(void)state;
	port_limit_init(&limit, 1);
	len = tcp(4, 0x02, 1);
	assert_int_equal(offer(5000, len, now), PORT_LIMIT_SOURCE_SYN_BURST);
	for (int ms = 1; ms <= 1000; ms++)
		passed += offer(100, len, now + (uint64_t)ms * BASE_NS_PER_MS);
	assert_in_range(passed, PORT_LIMIT_SOURCE_SYN_RATE - 2, PORT_LIMIT_SOURCE_SYN_RATE + 2);
	/* silent for long: the whole burst again, not more */
	assert_int_equal(offer(5000, len, now + 100 * BASE_NS_PER_S), PORT_LIMIT_SOURCE_SYN_BURST);
}

static void limit_leaves_other_sources_and_classes_alone(void **state)
{
	uint64_t now = 10 * BASE_NS_PER_S;

	(void)state;
	port_limit_init(&limit, 1);
	offer(5000, tcp(4, 0x02, 1), now);
	assert_int_equal(offer(100, tcp(4, 0x02, 2), now), 100);
	assert_int_equal(offer(100, tcp(4, 0x10, 1), now), 100);
	assert_int_equal(offer(100, arp(), now), 100);
}

static void limit_counts_an_ipv6_64_as_one_source(void **state)
{
	uint64_t now = 10 * BASE_NS_PER_S;
	uint32_t passed = 0;

	(void)state;
	port_limit_init(&limit, 1);
	for (uint32_t i = 0; i < 5000; i++) {
		uint32_t len = tcp(6, 0x02, (uint8_t)i);

		passed += port_limit_pass(&limit, frame, len, now);
	}
	assert_int_equal(passed, PORT_LIMIT_SOURCE_SYN_BURST);
}

static void limit_of_the_class_holds_against_invented_sources(void **state)
{
	struct test_random random = test_random_start();
	uint64_t now = 10 * BASE_NS_PER_S;
	uint32_t passed = 0, len = tcp(4, 0x02, 1);

	(void)state;
	port_limit_init(&limit, test_random_next(&random));
	for (uint32_t i = 0; i < 100000; i++) {
		base_store_be32(frame + 26, (uint32_t)test_random_next(&random));
		passed += port_limit_pass(&limit, frame, len, now);
	}
	assert_int_equal(passed, PORT_LIMIT_SYN_BURST);
	for (uint32_t i = 0; i < 100000; i++) {
		base_store_be32(frame + 26, (uint32_t)test_random_next(&random));
		passed += port_limit_pass(&limit, frame, len, now + i * UINT64_C(10000));
	}
	assert_in_range(passed, PORT_LIMIT_SYN_BURST + PORT_LIMIT_SYN_RATE - 2,
	                PORT_LIMIT_SYN_BURST + PORT_LIMIT_SYN_RATE + 2);
}

static void limit_refusal_changes_nothing(void **state)
{
	static struct port_limit before;
	uint64_t now = 10 * BASE_NS_PER_S;
	uint32_t len = tcp(4, 0x02, 1);

	(void)state;
	port_limit_init(&limit, 1);
	offer(PORT_LIMIT_SOURCE_SYN_BURST, len, now);
	before = limit;
	assert_int_equal(offer(1, len, now), 0);
	assert_memory_equal(&before, &limit, sizeof(limit));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limit_knows_the_classes),
		cmocka_unit_test(limit_holds_a_source_to_burst_and_rate),
		cmocka_unit_test(limit_leaves_other_sources_and_classes_alone),
		cmocka_unit_test(limit_counts_an_ipv6_64_as_one_source),
		cmocka_unit_test(limit_of_the_class_holds_against_invented_sources),
		cmocka_unit_test(limit_refusal_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

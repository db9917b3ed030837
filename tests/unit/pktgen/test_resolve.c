#include "base_bytes.h"
#include "pktgen_resolve.h"
#include "test.h"

#include <string.h>

#define ARP 42U

static const uint8_t our_mac[6] = {2, 0, 0, 0, 0, 1}, their_mac[6] = {2, 0, 0, 0, 0, 2};

/* Two ends of a wire, each the other's next hop. */
static struct base_ip own_a[2], own_b[1];
static struct pktgen_resolve a, b;

static void wire(const char *first, const char *second, const char *other)
{
	assert_int_equal(base_ip_parse(first, &own_a[0]), 0);
	assert_int_equal(base_ip_parse(second, &own_a[1]), 0);
	assert_int_equal(base_ip_parse(other, &own_b[0]), 0);
	a = (struct pktgen_resolve){.own = own_a, .n_own = 2, .next_hop = own_b[0]};
	b = (struct pktgen_resolve){.own = own_b, .n_own = 1, .next_hop = own_a[1]};
	memcpy(a.mac, our_mac, 6);
	memcpy(b.mac, their_mac, 6);
}

/* a asks, b answers, a knows. */
static void ask_and_answer(void)
{
	uint8_t frame[PKTGEN_RESOLVE_FRAME_MAX], reply[PKTGEN_RESOLVE_FRAME_MAX];
	uint8_t none[PKTGEN_RESOLVE_FRAME_MAX];
	uint32_t len = pktgen_resolve_ask(&a, 0, frame);

	assert_true((frame[0] & 1) != 0); /* to more than one */
	len = pktgen_resolve_take(&b, frame, len, reply);
	assert_int_not_equal(len, 0);
	assert_memory_equal(reply, our_mac, 6);
	assert_int_equal(pktgen_resolve_take(&a, reply, len, none), 0);
	assert_true(a.is_known);
	assert_memory_equal(a.next_mac, their_mac, 6);
}

static void arp_finds_the_next_hop(void **state)
{
	(void)state;
	wire("192.0.2.100", "192.0.2.101", "192.0.2.2");
	ask_and_answer();
}

static void neighbour_discovery_finds_the_next_hop(void **state)
{
	(void)state;
	wire("2001:db8::100", "2001:db8::101", "2001:db8::2");
	ask_and_answer();
}

static void any_own_address_may_ask(void **state)
{
	uint8_t frame[PKTGEN_RESOLVE_FRAME_MAX], reply[PKTGEN_RESOLVE_FRAME_MAX];
	uint32_t len;

	(void)state;
	wire("192.0.2.100", "192.0.2.101", "192.0.2.2");
	len = pktgen_resolve_ask(&a, 1, frame);
	assert_int_equal(pktgen_resolve_take(&b, frame, len, reply), ARP);
	assert_memory_equal(reply + 14 + 24, own_a[1].bytes, 4);
}

static void every_own_address_is_answered_for_and_no_other(void **state)
{
	uint8_t frame[PKTGEN_RESOLVE_FRAME_MAX], reply[PKTGEN_RESOLVE_FRAME_MAX];
	uint32_t len;

	(void)state;
	wire("192.0.2.100", "192.0.2.101", "192.0.2.2");
	len = pktgen_resolve_ask(&b, 0, frame); /* for the second of a */
	assert_int_equal(pktgen_resolve_take(&a, frame, len, reply), ARP);
	assert_memory_equal(reply + 14 + 8, our_mac, 6);
	assert_memory_equal(reply + 14 + 14, own_a[1].bytes, 4);
	frame[14 + 27] = 102;
	assert_int_equal(pktgen_resolve_take(&a, frame, len, reply), 0);
}

static void an_answer_about_somebody_else_teaches_nothing(void **state)
{
	uint8_t frame[PKTGEN_RESOLVE_FRAME_MAX], reply[PKTGEN_RESOLVE_FRAME_MAX];
	uint32_t len;

	(void)state;
	wire("192.0.2.100", "192.0.2.101", "192.0.2.2");
	len = pktgen_resolve_ask(&a, 0, frame);
	len = pktgen_resolve_take(&b, frame, len, reply);
	reply[14 + 17]++; /* sender's address */
	assert_int_equal(pktgen_resolve_take(&a, reply, len, frame), 0);
	assert_false(a.is_known);
}

static void whoever_checks_for_a_duplicate_is_answered_at_all_nodes(void **state)
{
	uint8_t frame[PKTGEN_RESOLVE_FRAME_MAX], reply[PKTGEN_RESOLVE_FRAME_MAX];
	uint32_t len;

	(void)state;
	wire("2001:db8::100", "2001:db8::101", "2001:db8::2");
	len = pktgen_resolve_ask(&b, 0, frame);
	memset(frame + 14 + 8, 0, 16);
	assert_int_not_equal(pktgen_resolve_take(&a, frame, len, reply), 0);
	assert_int_equal(reply[0], 0x33);
	assert_int_equal(reply[14 + 24], 0xff);
}

/* Any cut and any bytes: no read past the end (ASan), no answer longer than its room. */
static void junk_is_survived(void **state)
{
	struct test_random random = test_random_start();
	uint8_t frame[PKTGEN_RESOLVE_FRAME_MAX], reply[PKTGEN_RESOLVE_FRAME_MAX];

	(void)state;
	wire("2001:db8::100", "192.0.2.101", "2001:db8::2");
	for (uint32_t i = 0; i < 100000; i++) {
		uint32_t len = (uint32_t)test_random_below(&random, sizeof(frame) + 1);
		uint8_t *exact = malloc(len > 0 ? len : 1);

		(void)pktgen_resolve_ask(&b, 0, frame);
		for (uint32_t n = (uint32_t)test_random_below(&random, 6); n > 0; n--)
			frame[test_random_below(&random, sizeof(frame))] = (uint8_t)
				test_random_next(&random);
		assert_non_null(exact);
		memcpy(exact, frame, len);
		assert_true(pktgen_resolve_take(&a, exact, len, reply) <= sizeof(reply));
		free(exact);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arp_finds_the_next_hop),
		cmocka_unit_test(neighbour_discovery_finds_the_next_hop),
		cmocka_unit_test(any_own_address_may_ask),
		cmocka_unit_test(every_own_address_is_answered_for_and_no_other),
		cmocka_unit_test(an_answer_about_somebody_else_teaches_nothing),
		cmocka_unit_test(whoever_checks_for_a_duplicate_is_answered_at_all_nodes),
		cmocka_unit_test(junk_is_survived),
	};

	return cmocka_run_group_tests_name("pktgen_resolve", tests, NULL, NULL);
}

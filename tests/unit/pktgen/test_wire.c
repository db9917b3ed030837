#include "pktgen_wire.h"
#include "test.h"

#include <string.h>

#define ROOM 2048U

static struct pktgen_options options;
static struct pktgen_wire wire;
static struct pktgen_flows flows;
static uint8_t packet[ROOM];

static void begin(const char *inner, enum pktgen_pattern pattern)
{
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};

	options = (struct pktgen_options){
		.n_queues = 1, .n_peers = 10, .n_flows = 2, .pattern = pattern};
	assert_int_equal(base_ip_parse(inner, &options.inner), 0);
	options.inner_hub = options.inner;
	assert_int_equal(base_endpoint_parse("192.0.2.2:51820", &options.hub), 0);
	pktgen_wire_init(&wire, &options, mac);
	assert_int_equal(pktgen_flows_init(&flows, &options), 0);
}

static void fill(uint32_t flow, uint64_t seq, uint32_t len)
{
	const struct pktgen_stamp stamp = {flow, seq, 12345};

	memset(packet, 0, sizeof(packet));
	pktgen_wire_fill(&wire, &flows.flow[flow], &stamp, packet, len);
}

static enum pktgen_wire_verdict check(uint32_t to, uint32_t room)
{
	struct pktgen_stamp stamp;
	uint32_t len;

	return pktgen_wire_check(&wire, &flows, to, packet, room, &stamp, &len);
}

static void round_trip(const char *inner, uint32_t smallest)
{
	begin(inner, PKTGEN_RING);
	for (uint32_t len = smallest; len <= 1500; len++) {
		struct pktgen_stamp stamp;
		uint32_t got;

		fill(len % flows.n, len, len);
		assert_int_equal(pktgen_wire_check(&wire, &flows,
		                                   flows.flow[len % flows.n].destination, packet,
		                                   (len + 15) & ~15U, &stamp, &got),
		                 PKTGEN_WIRE_OK);
		assert_int_equal(got, len);
		assert_int_equal(stamp.seq, len);
		assert_int_equal(stamp.sent_ns, 12345);
	}
	pktgen_flows_fini(&flows);
}

static void every_length_comes_back_over_ipv4(void **state)
{
	(void)state;
	round_trip("10.77.0.2", 64);
}

static void every_length_comes_back_over_ipv6(void **state)
{
	(void)state;
	round_trip("fd77::2", 80);
}

static void ipv4_header_has_a_valid_sum(void **state)
{
	uint32_t sum = 0;

	(void)state;
	begin("10.77.0.250", PKTGEN_RING);
	fill(9, 1, 100);
	for (uint32_t i = 0; i < 20; i += 2)
		sum += base_load_be16(packet + i);
	assert_int_equal((sum & 0xffff) + (sum >> 16), 0xffff);
	pktgen_flows_fini(&flows);
}

/* A hub changes the hop limit and the header's sum, and nothing else. */
static void any_other_changed_byte_is_found(void **state)
{
	uint32_t to;

	(void)state;
	begin("10.77.0.2", PKTGEN_RING);
	to = flows.flow[3].destination;
	for (uint32_t i = 0; i < 200; i++) {
		fill(3, 99, 200);
		packet[i] ^= 0x40;
		if (i == 1 || (i >= 4 && i <= 8) || i == 10 || i == 11 || (i >= 20 && i < 28))
			continue; /* fields that a router may change, and the UDP header */
		assert_int_not_equal(check(to, 208), PKTGEN_WIRE_OK);
	}
	pktgen_flows_fini(&flows);
}

static void a_packet_for_another_peer_is_misdelivered(void **state)
{
	(void)state;
	begin("10.77.0.2", PKTGEN_RING);
	fill(3, 99, 200);
	assert_int_equal(check(flows.flow[3].destination + 1, 208), PKTGEN_WIRE_MISDELIVERED);
	pktgen_flows_fini(&flows);
}

static void a_length_that_lies_is_not_ours(void **state)
{
	uint32_t to;

	(void)state;
	begin("10.77.0.2", PKTGEN_RING);
	to = flows.flow[3].destination;
	fill(3, 99, 200);
	assert_int_equal(check(to, 199), PKTGEN_WIRE_OTHER);
	assert_int_equal(check(to, 10), PKTGEN_WIRE_OTHER);
	base_store_be16(packet + 2, 30);
	assert_int_equal(check(to, 208), PKTGEN_WIRE_OTHER);
	pktgen_flows_fini(&flows);
}

static void echoes_come_back_to_whoever_asked(void **state)
{
	(void)state;
	begin("10.77.0.2", PKTGEN_HUB);
	fill(4, 7, 100);
	assert_int_equal(check(4, 112), PKTGEN_WIRE_OTHER); /* a request is not an answer */
	packet[20] = 0;
	assert_int_equal(check(4, 112), PKTGEN_WIRE_CORRUPTED); /* addresses not exchanged */
	for (uint32_t i = 0; i < 4; i++) {
		uint8_t byte = packet[12 + i];

		packet[12 + i] = packet[16 + i];
		packet[16 + i] = byte;
	}
	assert_int_equal(check(4, 112), PKTGEN_WIRE_OK);
	assert_int_equal(check(5, 112), PKTGEN_WIRE_MISDELIVERED);
	pktgen_flows_fini(&flows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_length_comes_back_over_ipv4),
		cmocka_unit_test(every_length_comes_back_over_ipv6),
		cmocka_unit_test(ipv4_header_has_a_valid_sum),
		cmocka_unit_test(any_other_changed_byte_is_found),
		cmocka_unit_test(a_packet_for_another_peer_is_misdelivered),
		cmocka_unit_test(a_length_that_lies_is_not_ours),
		cmocka_unit_test(echoes_come_back_to_whoever_asked),
	};

	return cmocka_run_group_tests_name("pktgen_wire", tests, NULL, NULL);
}

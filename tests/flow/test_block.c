/* Drop lists: what a listed source may not send, by scope, and that its twin beside it may. */
#include "base_bytes.h"
#include "block_build.h"
#include "flow.h"
#include "state_blob.h"

#include <string.h>

#define IP4       14U
#define IP6_UPPER 54U
#define TCP       6U
#define UDP       17U

/* ---- the list ------------------------------------------------------------------------------------ */

struct listing {
	const char *prefix;
	uint8_t scopes;
};

static void *blob;
static struct state_blob published;

/* Peer 1 is listed, peer 2 is its twin. */
static void list(struct flow *flow, const struct listing *listings, size_t n)
{
	struct state_blobs *blobs = worker_shared_blobs(flow->shared);
	struct block_prefix prefixes[8];
	struct block_source source = {.generation = published.generation + 1,
	                              .prefixes = prefixes,
	                              .n = n,
	                              .ports = {{443, TCP, 0}},
	                              .n_ports = 1};
	void *old = blob;
	size_t len;

	for (size_t i = 0; i < n; i++) {
		struct base_prefix prefix;

		assert_int_equal(base_prefix_parse(listings[i].prefix, &prefix), 0);
		prefixes[i] = block_prefix_make(&prefix, listings[i].scopes);
	}
	assert_int_equal(block_build(&source, &blob, &len), 0);
	assert_non_null(block_table_check(blob, len, NULL));
	published = (struct state_blob){.data = blob, .len = len, .generation = source.generation};
	blobs->current[ABI_BLOB_BLOCK] = &published;
	flow_turn(flow); /* no worker has the old one any more */
	free(old);
}

#define LIST(flow, ...)                                                                            \
	list(flow, (const struct listing[]){__VA_ARGS__},                                          \
	     sizeof((const struct listing[]){__VA_ARGS__}) / sizeof(struct listing))

static void list_nothing(struct flow *flow)
{
	worker_shared_blobs(flow->shared)->current[ABI_BLOB_BLOCK] = NULL;
	flow_turn(flow);
	free(blob);
	blob = NULL;
}

/* ---- frames -------------------------------------------------------------------------------------- */

/* A segment or datagram for a port of the hub's; returns the frame's length. */
static uint32_t frame_for(uint8_t *frame, const char *from, uint8_t protocol, uint16_t port)
{
	struct base_endpoint source = flow_endpoint(from);
	uint8_t payload[32] = {0};
	uint32_t len = flow_frame_to_hub(frame, &source, payload, sizeof(payload));

	if (source.ip.family == BASE_IP_V4) {
		frame[IP4 + 9] = protocol;
		base_store_be16(frame + IP4 + 22, port);
		flow_mend_sum(frame);
	} else {
		frame[IP4 + 6] = protocol;
		base_store_be16(frame + IP6_UPPER + 2, port);
	}
	return len;
}

/* It is dropped under this name, or (RX_WAN) the kernel gets it. */
static void expect(struct flow *flow, const uint8_t *frame, uint32_t len, enum abi_counter counter)
{
	uint8_t out[FLOW_FRAME_MAX];
	uint16_t port;

	flow_rx(flow, 0, 0, frame, len);
	flow_turn(flow);
	if (counter == ABI_COUNTER_RX_WAN) {
		FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_TO_TAP, 1});
		assert_int_equal(flow_to_kernel(flow, 0, &port, out), len);
		assert_memory_equal(out, frame, len);
		return;
	}
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {counter, 1});
	flow_expect_silence(flow);
	flow_expect_no_event(flow);
}

#define PASSES ABI_COUNTER_RX_WAN

static void expect_for(struct flow *flow, const char *from, uint8_t protocol, uint16_t port,
                       enum abi_counter counter)
{
	uint8_t frame[FLOW_FRAME_MAX];
	uint32_t len = frame_for(frame, from, protocol, port);

	expect(flow, frame, len, counter);
}

static struct flow *world(void)
{
	struct flow *flow = flow_create(NULL);

	flow_cmd_world(flow);
	flow_turn(flow);
	flow_reset(flow);
	return flow;
}

/* A handshake message comes to control, or is dropped under this name. */
static void expect_handshake(struct flow *flow, const char *from, enum abi_counter counter)
{
	struct base_endpoint source = flow_endpoint(from);
	struct abi_event_handshake event;
	uint8_t frame[FLOW_FRAME_MAX];
	uint32_t len = flow_handshake_to_hub(frame, &source, 1, true);

	flow_rx(flow, 0, 0, frame, len);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {counter, 1});
	if (counter == ABI_COUNTER_TO_CONTROL)
		flow_expect_event(flow, 0, ABI_EVENT_HANDSHAKE, &event, sizeof(event));
	flow_expect_no_event(flow);
}

/* ---- tests --------------------------------------------------------------------------------------- */

static void scope_all_drops_everything_of_the_source_and_nothing_of_its_neighbour(void **state)
{
	struct flow *flow = world();
	uint8_t frame[FLOW_FRAME_MAX];
	uint32_t len;

	(void)state;
	LIST(flow, {"198.51.100.7", BLOCK_ALL}, {"2001:db8:1::/48", BLOCK_ALL});
	expect_handshake(flow, "198.51.100.7:7777", ABI_COUNTER_DROP_BLOCK_ALL);
	expect_handshake(flow, "198.51.100.8:7777", ABI_COUNTER_TO_CONTROL);
	expect_handshake(flow, "[2001:db8:1::7]:7777", ABI_COUNTER_DROP_BLOCK_ALL);
	expect_handshake(flow, "[2001:db8:2::7]:7777", ABI_COUNTER_TO_CONTROL);
	expect_for(flow, "198.51.100.7:7777", TCP, 443, ABI_COUNTER_DROP_BLOCK_ALL);
	expect_for(flow, "198.51.100.8:7777", TCP, 443, PASSES);
	expect_for(flow, "198.51.100.7:7777", TCP, 22, ABI_COUNTER_DROP_BLOCK_ALL);
	expect_for(flow, "198.51.100.7:7777", 1, 0, ABI_COUNTER_DROP_BLOCK_ALL);
	expect_for(flow, "[2001:db8:1::7]:7777", 58, 0, ABI_COUNTER_DROP_BLOCK_ALL);
	expect_for(flow, "[2001:db8:2::7]:7777", 58, 0, PASSES);
	/* What it is for does not matter. */
	len = frame_for(frame, "198.51.100.7:7777", TCP, 22);
	frame[IP4 + 19]++;
	flow_mend_sum(frame);
	expect(flow, frame, len, ABI_COUNTER_DROP_BLOCK_ALL);
	/* ARP has no such source. */
	base_store_be16(frame + 12, 0x0806);
	expect(flow, frame, len, PASSES);
	list_nothing(flow);
	expect_for(flow, "198.51.100.7:7777", TCP, 443, PASSES);
	flow_destroy(flow);
}

static void scope_wireguard_drops_the_wireguard_port_only(void **state)
{
	struct flow *flow = world();
	uint8_t frame[FLOW_FRAME_MAX];
	uint32_t len;

	(void)state;
	LIST(flow, {"198.51.100.7", BLOCK_WIREGUARD}, {"2001:db8:1::7", BLOCK_WIREGUARD});
	expect_handshake(flow, "198.51.100.7:7777", ABI_COUNTER_DROP_BLOCK_WIREGUARD);
	expect_handshake(flow, "[2001:db8:1::7]:7777", ABI_COUNTER_DROP_BLOCK_WIREGUARD);
	expect_handshake(flow, "198.51.100.8:7777", ABI_COUNTER_TO_CONTROL);
	expect_handshake(flow, "[2001:db8:1::8]:7777", ABI_COUNTER_TO_CONTROL);
	expect_for(flow, "198.51.100.7:7777", TCP, 443, PASSES);
	expect_for(flow, "198.51.100.7:7777", TCP, FLOW_PORT, PASSES);
	expect_for(flow, "198.51.100.7:7777", UDP, 53, PASSES);
	expect_for(flow, "[2001:db8:1::7]:7777", TCP, 443, PASSES);
	/* To somebody behind the hub it is not the hub's WireGuard. */
	len = frame_for(frame, "198.51.100.7:7777", UDP, FLOW_PORT);
	frame[IP4 + 19]++;
	flow_mend_sum(frame);
	expect(flow, frame, len, PASSES);
	list_nothing(flow);
	flow_destroy(flow);
}

static void scope_published_drops_the_ports_of_services_only(void **state)
{
	struct flow *flow = world();

	(void)state;
	LIST(flow, {"198.51.100.0/29", BLOCK_PUBLISHED}, {"2001:db8:1::7", BLOCK_PUBLISHED});
	expect_for(flow, "198.51.100.7:7777", TCP, 443, ABI_COUNTER_DROP_BLOCK_PUBLISHED);
	expect_for(flow, "[2001:db8:1::7]:7777", TCP, 443, ABI_COUNTER_DROP_BLOCK_PUBLISHED);
	expect_for(flow, "198.51.100.8:7777", TCP, 443, PASSES);
	expect_for(flow, "[2001:db8:1::8]:7777", TCP, 443, PASSES);
	expect_for(flow, "198.51.100.7:7777", UDP, 443, PASSES);
	expect_for(flow, "198.51.100.7:7777", TCP, 22, PASSES);
	expect_for(flow, "198.51.100.7:7777", 1, 0, PASSES);
	expect_handshake(flow, "198.51.100.7:7777", ABI_COUNTER_TO_CONTROL);
	list_nothing(flow);
	flow_destroy(flow);
}

static void scopes_of_overlapping_prefixes_are_joined(void **state)
{
	struct flow *flow = world();

	(void)state;
	LIST(flow, {"198.51.100.0/24", BLOCK_PUBLISHED}, {"198.51.100.7", BLOCK_WIREGUARD});
	expect_for(flow, "198.51.100.7:7777", TCP, 443, ABI_COUNTER_DROP_BLOCK_PUBLISHED);
	expect_handshake(flow, "198.51.100.7:7777", ABI_COUNTER_DROP_BLOCK_WIREGUARD);
	expect_handshake(flow, "198.51.100.8:7777", ABI_COUNTER_TO_CONTROL);
	expect_for(flow, "198.51.100.7:7777", TCP, 22, PASSES);
	list_nothing(flow);
	flow_destroy(flow);
}

/* A fragment behind the first names no port; it is dropped where the first one would have been. */
static void fragments_tags_and_extension_headers_hide_nothing(void **state)
{
	struct flow *flow = world();
	uint8_t frame[FLOW_FRAME_MAX];
	uint32_t len;

	(void)state;
	LIST(flow, {"198.51.100.7", BLOCK_PUBLISHED}, {"2001:db8:1::7", BLOCK_PUBLISHED},
	     {"198.51.100.6", BLOCK_ALL});
	len = frame_for(frame, "198.51.100.7:7777", TCP, 22);
	base_store_be16(frame + IP4 + 6, 100);
	flow_mend_sum(frame);
	expect(flow, frame, len, ABI_COUNTER_DROP_BLOCK_PUBLISHED);

	/* a tag in front of it */
	len = frame_for(frame, "198.51.100.6:7777", TCP, 443);
	memmove(frame + 16, frame + 12, len - 12);
	base_store_be16(frame + 12, 0x8100);
	base_store_be16(frame + 14, 5);
	expect(flow, frame, len + 4, ABI_COUNTER_DROP_BLOCK_ALL);

	/* destination options, then a fragment header, first and later */
	len = frame_for(frame, "[2001:db8:1::7]:7777", TCP, 443);
	memmove(frame + IP6_UPPER + 8, frame + IP6_UPPER, len - IP6_UPPER);
	memcpy(frame + IP6_UPPER, (const uint8_t[8]){TCP, 0, 1, 4, 0, 0, 0, 0}, 8);
	frame[IP4 + 6] = 60;
	base_store_be16(frame + IP4 + 4, (uint16_t)(len + 8 - IP6_UPPER));
	expect(flow, frame, len + 8, ABI_COUNTER_DROP_BLOCK_PUBLISHED);
	memcpy(frame + IP6_UPPER, (const uint8_t[8]){TCP, 0, 0, 1, 0, 0, 0, 9}, 8);
	frame[IP4 + 6] = 44;
	expect(flow, frame, len + 8, ABI_COUNTER_DROP_BLOCK_PUBLISHED);
	base_store_be16(frame + IP6_UPPER + 2, 0x80);
	base_store_be16(frame + IP6_UPPER + 10, 22);
	expect(flow, frame, len + 8, ABI_COUNTER_DROP_BLOCK_PUBLISHED);
	list_nothing(flow);
	flow_destroy(flow);
}

static void a_session_that_stands_is_cut_and_goes_on_when_its_source_is_let_through(void **state)
{
	struct flow *flow = world();
	struct flow_session blocked = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct flow_session twin = flow_session(flow, 0, 2, 2, BASE_IP_V4);
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len = flow_inner_between(inner, 1, 2, BASE_IP_V4, 64);
	uint8_t back[FLOW_FRAME_MAX];
	uint32_t back_len = flow_inner_between(back, 2, 1, BASE_IP_V4, 64);
	uint8_t frame[FLOW_FRAME_MAX];

	(void)state;
	flow_rx_data(flow, &blocked, inner, len);
	flow_turn(flow);
	assert_true(flow_tx(flow, 0, 0, frame) > 0);
	flow_reset(flow);

	LIST(flow, {"198.51.100.1", BLOCK_WIREGUARD});
	flow_rx_data(flow, &blocked, inner, len);
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 1}, {ABI_COUNTER_DROP_BLOCK_WIREGUARD, 1});
	flow_expect_silence(flow);

	/* What others send to it still goes out: the list is about what comes in. */
	flow_rx_data(flow, &twin, back, back_len);
	flow_turn(flow);
	assert_true(flow_tx(flow, 0, 0, frame) > 0);
	flow_reset(flow);

	list_nothing(flow);
	flow_rx_data(flow, &blocked, inner, len);
	flow_turn(flow);
	assert_true(flow_tx(flow, 0, 0, frame) > 0);
	assert_int_equal(flow_counter(flow, ABI_COUNTER_DROP_BLOCK_WIREGUARD), 1);
	flow_destroy(flow);
}

static void a_burst_of_listed_and_others_keeps_the_others_in_order(void **state)
{
	struct flow *flow = world();
	struct test_random random = test_random_start();
	uint8_t frames[60][FLOW_FRAME_MAX];
	uint32_t lens[60];
	bool is_listed[60];
	uint32_t n_listed = 0;
	uint8_t out[FLOW_FRAME_MAX];
	uint16_t port;

	(void)state;
	LIST(flow, {"198.51.100.7", BLOCK_ALL}, {"2001:db8:1::7", BLOCK_ALL});
	for (uint32_t i = 0; i < 60; i++) {
		static const char *const from[] = {"198.51.100.7:1", "198.51.100.8:1",
		                                   "[2001:db8:1::7]:1", "[2001:db8:1::8]:1"};
		uint64_t which = test_random_below(&random, 4);

		is_listed[i] = which % 2 == 0;
		n_listed += is_listed[i];
		lens[i] = frame_for(frames[i], from[which], TCP, (uint16_t)(1000 + i));
		flow_rx(flow, 0, 0, frames[i], lens[i]);
	}
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_RX_WAN, 60}, {ABI_COUNTER_DROP_BLOCK_ALL, n_listed},
	            {ABI_COUNTER_TO_TAP, 60 - n_listed});
	for (uint32_t i = 0; i < 60; i++) {
		if (is_listed[i])
			continue;
		assert_int_equal(flow_to_kernel(flow, 0, &port, out), lens[i]);
		assert_memory_equal(out, frames[i], lens[i]);
	}
	list_nothing(flow);
	flow_destroy(flow);
}

/* Frames of all lengths, each cut where it likes: nothing is read beyond it (ASan looks on). */
static void cut_frames_are_looked_at_no_further_than_they_go(void **state)
{
	struct flow *flow = world();
	static const char *const from[] = {"198.51.100.7:1", "[2001:db8:1::7]:1"};
	uint8_t frame[FLOW_FRAME_MAX];

	(void)state;
	LIST(flow, {"198.51.100.7", BLOCK_PUBLISHED | BLOCK_WIREGUARD},
	     {"2001:db8:1::7", BLOCK_PUBLISHED | BLOCK_WIREGUARD});
	for (uint32_t i = 0; i < BASE_ARRAY_LEN(from); i++) {
		uint32_t len = frame_for(frame, from[i], TCP, 443);

		for (uint32_t cut = 1; cut <= len; cut++) {
			struct rte_mbuf *mbuf = flow_mbuf(frame, cut);

			flow_rx_mbuf(flow, 0, 0, mbuf);
			flow_turn(flow);
		}
	}
	flow_expect_balance(flow);
	while (flow_to_kernel(flow, 0, &(uint16_t){0}, frame) > 0)
		;
	list_nothing(flow);
	flow_destroy(flow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			scope_all_drops_everything_of_the_source_and_nothing_of_its_neighbour),
		cmocka_unit_test(scope_wireguard_drops_the_wireguard_port_only),
		cmocka_unit_test(scope_published_drops_the_ports_of_services_only),
		cmocka_unit_test(scopes_of_overlapping_prefixes_are_joined),
		cmocka_unit_test(fragments_tags_and_extension_headers_hide_nothing),
		cmocka_unit_test(
			a_session_that_stands_is_cut_and_goes_on_when_its_source_is_let_through),
		cmocka_unit_test(a_burst_of_listed_and_others_keeps_the_others_in_order),
		cmocka_unit_test(cut_frames_are_looked_at_no_further_than_they_go),
	};

	return cmocka_run_group_tests(tests, flow_start, NULL);
}

/* ABI_CMD_CHECK: a worker shows control what it holds. */
#include "abi_check.h"
#include "base_bytes.h"
#include "flow.h"

#define KEY_0     UINT64_C(0x0123456789abcdef)
#define KEY_1     UINT64_C(0xfedcba9876543210)
#define SHOWN_MAX 4096U

/* All that a worker said of itself. */
struct shown {
	uint64_t sums[ABI_CHECK_N_PARTS];
	uint32_t n_sums;
	struct {
		uint16_t type;
		uint8_t entry[ABI_CHECK_ENTRIES_LEN];
	} entries[SHOWN_MAX];
	uint32_t n;
	struct abi_event_check_end end;
	uint32_t n_turns;
};

static const struct flow_options two = {.n_workers = 2};

static void ask(struct flow *flow, uint32_t worker, const struct abi_cmd_check *cmd)
{
	FLOW_CMD(flow, worker, ABI_CMD_CHECK, *cmd);
}

static void take_sums(struct shown *shown, const uint8_t *payload)
{
	struct abi_event_check_sums event;

	memcpy(&event, payload, sizeof(event));
	assert_int_equal(event.first, shown->n_sums);
	assert_true(event.first + event.n <= ABI_CHECK_N_PARTS);
	memcpy(&shown->sums[event.first], event.sums, event.n * sizeof(event.sums[0]));
	shown->n_sums += event.n;
}

static void take_entries(struct shown *shown, const uint8_t *payload)
{
	struct abi_event_check_entries event;

	memcpy(&event, payload, sizeof(event));
	for (uint32_t i = 0; i < event.n; i++) {
		uint16_t len = abi_check_entry_len(event.type);

		assert_true(shown->n < SHOWN_MAX);
		shown->entries[shown->n].type = event.type;
		memcpy(shown->entries[shown->n++].entry, &event.entries[(size_t)i * len], len);
	}
}

/* Events up to the end of the check, while the worker turns. Other events go by. */
static void hear(struct flow *flow, uint32_t worker, struct shown *shown)
{
	uint8_t payload[ABI_PAYLOAD_MAX];
	uint16_t type;

	*shown = (struct shown){0};
	while (shown->end.token == 0) {
		assert_true(shown->n_turns++ < 10000);
		worker_turn(flow->workers[worker], ++flow->now_ns);
		while (flow_event(flow, worker, &type, payload, sizeof(payload))) {
			if (type == ABI_EVENT_CHECK_SUMS)
				take_sums(shown, payload);
			if (type == ABI_EVENT_CHECK_ENTRIES)
				take_entries(shown, payload);
			if (type == ABI_EVENT_CHECK_END)
				memcpy(&shown->end, payload, sizeof(shown->end));
		}
	}
}

static struct shown *show_sums(struct flow *flow, uint32_t worker)
{
	static struct shown shown;

	ask(flow, worker, &(struct abi_cmd_check){.token = 5, .key = {KEY_0, KEY_1}});
	hear(flow, worker, &shown);
	assert_int_equal(shown.end.token, 5);
	assert_int_equal(shown.n_sums, ABI_CHECK_N_PARTS);
	assert_int_equal(shown.n, 0);
	return &shown;
}

/* part ABI_CHECK_N_PARTS: all. */
static struct shown *show_entries(struct flow *flow, uint32_t worker, uint32_t part)
{
	static struct shown shown;
	struct abi_cmd_check cmd = {.token = 6, .dump = 1};

	for (uint32_t i = 0; i < ABI_CHECK_N_PARTS; i++)
		if (part == ABI_CHECK_N_PARTS || i == part)
			abi_check_want(cmd.wanted, i);
	ask(flow, worker, &cmd);
	hear(flow, worker, &shown);
	assert_int_equal(shown.end.token, 6);
	assert_int_equal(shown.n_sums, 0);
	return &shown;
}

static uint32_t peer_of(uint16_t type, const uint8_t *entry)
{
	struct abi_cmd_peer peer;
	struct abi_cmd_route route;

	memcpy(&peer, entry, sizeof(peer));
	memcpy(&route, entry, sizeof(route));
	return type == ABI_CMD_ROUTE_PUT ? route.peer : peer.peer;
}

static uint32_t count(const struct shown *shown, uint16_t type)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < shown->n; i++)
		n += shown->entries[i].type == type;
	return n;
}

static bool has(const struct shown *shown, uint16_t type, const void *entry)
{
	for (uint32_t i = 0; i < shown->n; i++)
		if (shown->entries[i].type == type
		    && memcmp(shown->entries[i].entry, entry, abi_check_entry_len(type)) == 0)
			return true;
	return false;
}

static struct abi_cmd_route route_of(uint32_t peer, const char *text)
{
	struct abi_cmd_route route = {.peer = peer};

	assert_int_equal(base_prefix_parse(text, &route.prefix), 0);
	return route;
}

static void a_worker_shows_what_it_was_told(void **state)
{
	struct flow *flow = flow_create(&two);
	struct abi_cmd_address tunnel = {
		.ip = flow_ip("fd00::1"), .port = ABI_PORTS_MAX, .present = 1};
	struct abi_cmd_route route = route_of(3, "10.50.0.0/16");
	struct abi_cmd_peer peer = {.peer = 4, .keepalive_s = 25};
	/* rates one way, and a quota; of what is not limited nothing is shown */
	struct abi_cmd_peer_limit limit = {
		.peer = 4,
		.rx = {.packets = 100, .packets_burst = 32, .bytes = 3, .bytes_burst = 9217},
		.rx_until = ABI_QUOTA_NONE,
		.tx_until = 12345,
		.total_until = ABI_QUOTA_NONE,
	};
	const struct shown *shown;

	(void)state;
	FLOW_CMD_ALL(flow, ABI_CMD_PEER_PUT, peer);
	FLOW_CMD_ALL(flow, ABI_CMD_PEER_LIMIT, limit);
	FLOW_CMD(flow, 0, ABI_CMD_ROUTE_PUT, route);
	for (uint32_t worker = 0; worker < 2; worker++) {
		shown = show_entries(flow, worker, ABI_CHECK_N_PARTS);
		assert_int_equal(shown->end.is_stale, 0);
		assert_int_equal(shown->end.n_entries, shown->n);
		assert_int_equal(count(shown, ABI_CMD_HUB), 1);
		assert_int_equal(count(shown, ABI_CMD_ADDRESS), 4);
		assert_true(has(shown, ABI_CMD_ADDRESS, &tunnel));
		assert_int_equal(count(shown, ABI_CMD_PEER_PUT), 8);
		assert_true(has(shown, ABI_CMD_PEER_PUT, &peer));
		assert_int_equal(count(shown, ABI_CMD_PEER_LIMIT), 1);
		assert_true(has(shown, ABI_CMD_PEER_LIMIT, &limit));
		assert_int_equal(count(shown, ABI_CMD_WAN_ROUTE_PUT), 2);
		assert_int_equal(count(shown, ABI_CMD_NEIGHBOUR_PUT), 2);
		/* The one table of routes is shown by who writes it. */
		assert_int_equal(count(shown, ABI_CMD_ROUTE_PUT), worker == 0 ? 17 : 0);
		assert_int_equal(has(shown, ABI_CMD_ROUTE_PUT, &route), worker == 0);
	}
	flow_destroy(flow);
}

static void sums_are_those_of_the_entries(void **state)
{
	struct flow *flow = flow_create(&two);
	uint64_t sums[ABI_CHECK_N_PARTS] = {0};
	const struct shown *shown = show_entries(flow, 0, ABI_CHECK_N_PARTS);

	(void)state;
	for (uint32_t i = 0; i < shown->n; i++) {
		uint16_t type = shown->entries[i].type;
		const uint8_t *entry = shown->entries[i].entry;

		sums[abi_check_part(type, peer_of(type, entry))] += abi_check_hash(
			(struct base_siphash_key){KEY_0, KEY_1}, type, entry);
	}
	assert_memory_equal(show_sums(flow, 0)->sums, sums, sizeof(sums));
	flow_destroy(flow);
}

static void a_part_is_shown_alone(void **state)
{
	struct flow *flow = flow_create(&two);
	const struct shown *shown = show_entries(flow, 0, abi_check_peer_part(5));

	(void)state;
	assert_int_equal(shown->n, 3);
	assert_int_equal(count(shown, ABI_CMD_PEER_PUT), 1);
	assert_int_equal(count(shown, ABI_CMD_ROUTE_PUT), 2);
	for (uint32_t i = 0; i < shown->n; i++)
		assert_int_equal(peer_of(shown->entries[i].type, shown->entries[i].entry), 5);
	flow_destroy(flow);
}

/* Which parts have another sum than before. */
static void expect_changed(const uint64_t *before, const struct shown *after, uint32_t a,
                           uint32_t b)
{
	for (uint32_t i = 0; i < ABI_CHECK_N_PARTS; i++)
		assert_int_equal(before[i] != after->sums[i], i == a || i == b);
}

static void a_change_shows_in_the_sums_of_its_parts_and_no_others(void **state)
{
	struct flow *flow = flow_create(&two);
	struct abi_cmd_address address = {
		.ip = flow_ip("10.0.0.9"), .port = ABI_PORTS_MAX, .present = 1};
	struct abi_cmd_route route = {.peer = 2,
	                              .prefix = {.ip = flow_inner_ip(7, BASE_IP_V4), .len = 32}};
	uint64_t before[ABI_CHECK_N_PARTS];

	(void)state;
	memcpy(before, show_sums(flow, 0)->sums, sizeof(before));
	FLOW_CMD(flow, 0, ABI_CMD_ROUTE_PUT, route); /* from 7 to 2 */
	expect_changed(before, show_sums(flow, 0), 2, 7);
	route.peer = 7;
	FLOW_CMD(flow, 0, ABI_CMD_ROUTE_PUT, route);
	expect_changed(before, show_sums(flow, 0), UINT32_MAX, UINT32_MAX);
	FLOW_CMD(flow, 0, ABI_CMD_PEER_PUT, (struct abi_cmd_peer){.peer = 6, .keepalive_s = 9});
	FLOW_CMD(flow, 0, ABI_CMD_ADDRESS, address);
	expect_changed(before, show_sums(flow, 0), 6, ABI_CHECK_ADDRESSES);
	flow_destroy(flow);
}

/* What an older control left in the region comes back with its session, until the sync ends. */
static void a_peer_of_an_older_region_shows(void **state)
{
	struct flow *flow = flow_create(&two);
	struct flow_session old = flow_session(flow, 0, 1, 8, BASE_IP_V4);
	struct abi_cmd_peer peer = {.peer = 8};
	const struct shown *shown;

	(void)state;
	(void)old;
	flow_restart(flow);
	shown = show_entries(flow, 0, ABI_CHECK_N_PARTS);
	assert_int_equal(shown->n, 1);
	assert_true(has(shown, ABI_CMD_PEER_PUT, &peer));
	flow_cmd_all(flow, ABI_CMD_SYNC_BEGIN, NULL, 0);
	flow_cmd_all(flow, ABI_CMD_SYNC_END, NULL, 0);
	assert_int_equal(show_entries(flow, 0, ABI_CHECK_N_PARTS)->n, 0);
	flow_destroy(flow);
}

static void put_many_routes(struct flow *flow, uint32_t n)
{
	struct abi_cmd_route route = {.peer = 3, .prefix = {.ip.family = BASE_IP_V4, .len = 32}};

	for (uint32_t i = 0; i < n; i++) {
		base_store_be32(route.prefix.ip.bytes, 0x0b000000 + i * 2);
		FLOW_CMD(flow, 0, ABI_CMD_ROUTE_PUT, route);
		if (i % 512 == 511)
			for (uint32_t k = 0; k < 17; k++)
				worker_turn(flow->workers[0], ++flow->now_ns);
	}
}

static void a_large_table_is_walked_in_slices(void **state)
{
	struct flow *flow = flow_create(&two);
	const struct shown *shown;

	(void)state;
	put_many_routes(flow, 2048);
	shown = show_sums(flow, 0);
	assert_true(shown->end.n_entries > 2048);
	assert_true(shown->n_turns > 2048 / 32);
	shown = show_entries(flow, 0, abi_check_peer_part(3));
	assert_int_equal(count(shown, ABI_CMD_ROUTE_PUT), 2048 + 2);
	flow_destroy(flow);
}

/* A sync replaces the table of routes under the walk. */
static void a_table_that_was_replaced_is_told_as_stale(void **state)
{
	struct flow *flow = flow_create(&two);
	struct shown *shown = calloc(1, sizeof(*shown));

	(void)state;
	assert_non_null(shown);
	put_many_routes(flow, 1024);
	ask(flow, 0, &(struct abi_cmd_check){.token = 5});
	for (uint32_t i = 0; i < 30; i++)
		worker_turn(flow->workers[0], ++flow->now_ns);
	flow_cmd(flow, 0, ABI_CMD_SYNC_BEGIN, NULL, 0);
	flow_cmd(flow, 0, ABI_CMD_SYNC_END, NULL, 0);
	hear(flow, 0, shown);
	assert_int_equal(shown->end.is_stale, 1);
	assert_int_equal(show_sums(flow, 0)->end.is_stale, 0);
	free(shown);
	flow_destroy(flow);
}

static void another_check_ends_one_that_is_under_way(void **state)
{
	struct flow *flow = flow_create(&two);
	struct shown *shown = calloc(1, sizeof(*shown));

	(void)state;
	assert_non_null(shown);
	put_many_routes(flow, 1024);
	ask(flow, 0, &(struct abi_cmd_check){.token = 4});
	for (uint32_t i = 0; i < 10; i++)
		worker_turn(flow->workers[0], ++flow->now_ns);
	ask(flow, 0, &(struct abi_cmd_check){.token = 5});
	hear(flow, 0, shown);
	assert_int_equal(shown->end.token, 5);
	assert_int_equal(shown->n_sums, ABI_CHECK_N_PARTS);
	free(shown);
	flow_destroy(flow);
}

/* Control does not read: the worker leaves three quarters of the ring to other events, and goes on with
 * packets. */
static void a_full_ring_holds_up_the_check_and_nothing_else(void **state)
{
	struct flow *flow = flow_create(&two);
	struct flow_session from = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct flow_session to = flow_session(flow, 0, 2, 2, BASE_IP_V4);
	struct abi_cmd_check cmd = {.token = 6, .dump = 1};
	struct shown *shown = calloc(1, sizeof(*shown));
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len = flow_inner_between(inner, 1, 2, BASE_IP_V4, 100);

	(void)state;
	assert_non_null(shown);
	put_many_routes(flow, 2500);
	abi_check_want(cmd.wanted, abi_check_peer_part(3));
	ask(flow, 0, &cmd);
	for (uint32_t i = 0; i < 1000; i++)
		worker_turn(flow->workers[0], ++flow->now_ns);
	assert_true(abi_ring_depth(&flow->event[0]) <= ABI_EVENT_SLOTS / 4);
	flow_rx_data(flow, &from, inner, len);
	flow_turn(flow);
	flow_hop(inner);
	flow_expect_data(flow, &to, 0, inner, len);
	hear(flow, 0, shown);
	assert_int_equal(count(shown, ABI_CMD_ROUTE_PUT), 2500 + 2);
	free(shown);
	flow_destroy(flow);
}

/* With packets to move there is at most one slice in 100 us. */
static void a_busy_worker_takes_its_time(void **state)
{
	struct flow *flow = flow_create(&two);
	struct flow_session from = flow_session(flow, 0, 1, 1, BASE_IP_V4);
	struct flow_session to = flow_session(flow, 0, 2, 2, BASE_IP_V4);
	struct shown *shown = calloc(1, sizeof(*shown));
	uint8_t frame[FLOW_FRAME_MAX];
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len = flow_inner_between(inner, 1, 2, BASE_IP_V4, 100);

	(void)state;
	(void)to;
	assert_non_null(shown);
	put_many_routes(flow, 1024);
	ask(flow, 0, &(struct abi_cmd_check){.token = 5});
	for (uint32_t i = 0; i < 200; i++) {
		flow_rx_data(flow, &from, inner, len);
		worker_turn(flow->workers[0], flow->now_ns += 1000);
		assert_true(flow_tx(flow, 0, 0, frame) > 0);
	}
	while (flow_event(flow, 0, &(uint16_t){0}, NULL, 0))
		continue;
	hear(flow, 0, shown);
	assert_true(shown->n_turns > 1024 / 32 - 4);
	assert_int_equal(shown->n_sums, ABI_CHECK_N_PARTS);
	free(shown);
	flow_destroy(flow);
}

static void a_check_that_makes_no_sense_is_refused(void **state)
{
	struct flow *flow = flow_create(&two);

	(void)state;
	flow_reset(flow);
	ask(flow, 0, &(struct abi_cmd_check){.token = 0});
	ask(flow, 0, &(struct abi_cmd_check){.token = 1, .dump = 2});
	flow_turn(flow);
	FLOW_EXPECT(flow, {ABI_COUNTER_CMD_BAD, 2});
	flow_expect_no_event(flow);
	flow_destroy(flow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_worker_shows_what_it_was_told),
		cmocka_unit_test(sums_are_those_of_the_entries),
		cmocka_unit_test(a_part_is_shown_alone),
		cmocka_unit_test(a_change_shows_in_the_sums_of_its_parts_and_no_others),
		cmocka_unit_test(a_peer_of_an_older_region_shows),
		cmocka_unit_test(a_large_table_is_walked_in_slices),
		cmocka_unit_test(a_table_that_was_replaced_is_told_as_stale),
		cmocka_unit_test(another_check_ends_one_that_is_under_way),
		cmocka_unit_test(a_full_ring_holds_up_the_check_and_nothing_else),
		cmocka_unit_test(a_busy_worker_takes_its_time),
		cmocka_unit_test(a_check_that_makes_no_sense_is_refused),
	};

	return cmocka_run_group_tests(tests, flow_start, NULL);
}

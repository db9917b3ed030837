/* Wanted against found: the worker is another desired state, which was told the same and then bent. */
#include "base_bytes.h"
#include "program_compare.h"
#include "test.h"

#include <errno.h>
#include <string.h>

#define N_PEERS 40U

struct world {
	struct program_desired wanted;
	struct program_desired held; /* by the worker */
	struct program_compare compare;
	struct program_difference difference;
};

static struct base_ip ip_of(uint32_t i)
{
	uint8_t bytes[4];

	base_store_be32(bytes, i);
	return base_ip_make(BASE_IP_V4, bytes);
}

static struct abi_cmd_route route_of(uint32_t i, uint32_t peer)
{
	return (struct abi_cmd_route){.prefix = {.ip = ip_of(0x0a000000 + i), .len = 32},
	                              .peer = peer};
}

static struct abi_cmd_hub hub_of(uint16_t mtu)
{
	return (struct abi_cmd_hub){.listen_port = 51820, .tunnel_mtu = mtu};
}

static struct abi_cmd_address address_of(uint32_t i, uint32_t present)
{
	return (struct abi_cmd_address){.ip = ip_of(i), .port = ABI_PORTS_MAX, .present = present};
}

static struct abi_cmd_wan_route wan_of(uint32_t i, uint32_t gateway)
{
	return (struct abi_cmd_wan_route){.prefix = {.ip = ip_of(i << 8), .len = 24},
	                                  .gateway = ip_of(gateway)};
}

static struct abi_cmd_neighbour neighbour_of(uint32_t i, uint8_t mac)
{
	return (struct abi_cmd_neighbour){.ip = ip_of(i), .mac = {2, mac}};
}

static void fill(struct program_desired *desired)
{
	struct abi_cmd_hub hub = hub_of(1420);

	assert_int_equal(program_desired_init(desired, N_PEERS), 0);
	assert_int_equal(program_desired_hub(desired, &hub), 1);
	for (uint32_t i = 1; i < 10; i++) {
		struct abi_cmd_route a = route_of(i, i);
		struct abi_cmd_route b = route_of(100 + i, i);
		struct abi_cmd_address address = address_of(i, 1);
		struct abi_cmd_wan_route wan = wan_of(i, 99);
		struct abi_cmd_neighbour neighbour = neighbour_of(i, (uint8_t)i);

		assert_int_equal(program_desired_peer_put(desired, i, 25), 1);
		assert_int_equal(program_desired_route_put(desired, &a), 1);
		assert_int_equal(program_desired_route_put(desired, &b), 1);
		assert_int_equal(program_desired_address(desired, &address), 1);
		assert_int_equal(program_desired_wan_route_put(desired, &wan), 1);
		assert_int_equal(program_desired_neighbour_put(desired, &neighbour), 1);
	}
}

static struct world *world_create(void)
{
	struct world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	fill(&world->wanted);
	fill(&world->held);
	return world;
}

static void world_destroy(struct world *world)
{
	program_compare_fini(&world->compare);
	program_desired_fini(&world->wanted);
	program_desired_fini(&world->held);
	free(world);
}

typedef void entry_fn(struct world *world, uint16_t type, const void *entry);

static void each_held(struct world *world, uint32_t worker, entry_fn *fn)
{
	struct program_cursor cursor = {.worker = worker,
	                                .without_routes = worker != ABI_ROUTE_WORKER};
	struct program_command command;

	for (; program_desired_at(&world->held, &cursor, &command); program_cursor_step(&cursor))
		if (abi_check_entry_len(command.type) != 0)
			fn(world, command.type, command.payload);
}

static uint64_t sums[ABI_CHECK_N_PARTS];

static uint32_t peer_of(uint16_t type, const void *entry)
{
	struct abi_cmd_route route;
	struct abi_cmd_peer peer;

	memcpy(&peer, entry, sizeof(peer));
	if (type != ABI_CMD_ROUTE_PUT)
		return peer.peer;
	memcpy(&route, entry, sizeof(route));
	return route.peer;
}

static void add_to_sums(struct world *world, uint16_t type, const void *entry)
{
	sums[abi_check_part(type, peer_of(type, entry))] += abi_check_hash(world->wanted.sums.key,
	                                                                   type, entry);
}

static void show(struct world *world, uint16_t type, const void *entry)
{
	program_compare_entry(&world->compare, type, entry);
}

static void look_at_sums(struct world *world, uint32_t worker, uint64_t since)
{
	memset(sums, 0, sizeof(sums));
	each_held(world, worker, add_to_sums);
	program_compare_sums(&world->wanted, worker, since, sums, &world->difference);
}

/* A whole check. Returns the number of findings. */
static uint32_t check(struct world *world, uint32_t worker)
{
	look_at_sums(world, worker, world->wanted.sums.n_changes);
	assert_int_equal(world->difference.n_uncertain, 0);
	program_compare_fini(&world->compare);
	assert_int_equal(program_compare_init(&world->compare, &world->wanted, worker,
	                                      world->difference.differ),
	                 0);
	each_held(world, worker, show);
	while (!program_compare_step(&world->compare, 7))
		continue;
	assert_int_equal(world->compare.n_more, 0);
	return world->compare.n_findings;
}

static void the_same_tables_give_no_finding(void **state)
{
	struct world *world = world_create();

	(void)state;
	for (uint32_t worker = 0; worker < 2; worker++) {
		assert_int_equal(check(world, worker), 0);
		assert_int_equal(world->difference.n_differ, 0);
	}
	world_destroy(world);
}

/* One finding, of this kind, about this peer. */
static const struct program_finding *expect_one(struct world *world, uint32_t worker, uint16_t type,
                                                uint32_t peer, bool has_wanted, bool has_found)
{
	const struct program_finding *finding;

	assert_int_equal(check(world, worker), 1);
	finding = world->compare.findings;
	assert_int_equal(finding->worker, worker);
	assert_int_equal(finding->type, type);
	assert_int_equal(finding->peer, peer);
	assert_int_equal(finding->has_wanted, has_wanted);
	assert_int_equal(finding->has_found, has_found);
	return finding;
}

static void each_kind_of_peer_drift_is_named(void **state)
{
	struct world *world = world_create();
	struct program_desired *held = &world->held;
	const struct program_finding *finding;
	struct abi_cmd_route route = route_of(3, 3);

	(void)state;
	assert_int_equal(program_desired_peer_put(held, 5, 0), 1);
	finding = expect_one(world, 1, ABI_CMD_PEER_PUT, 5, true, true);
	assert_int_equal(finding->wanted.peer.keepalive_s, 25);
	assert_int_equal(finding->found.peer.keepalive_s, 0);
	assert_int_equal(program_desired_peer_put(held, 5, 25), 1);

	assert_int_equal(program_desired_peer_put(held, 30, 7), 1);
	finding = expect_one(world, 0, ABI_CMD_PEER_PUT, 30, false, true);
	assert_int_equal(finding->found.peer.keepalive_s, 7);
	assert_int_equal(program_desired_peer_drop(held, 30), 1);

	assert_int_equal(program_desired_route_drop(held, &route), 1);
	expect_one(world, 0, ABI_CMD_ROUTE_PUT, 3, true, false);
	assert_int_equal(check(world, 1), 0); /* has no routes, and need not */
	route.peer = 4;
	assert_int_equal(program_desired_route_put(held, &route), 1);
	finding = expect_one(world, 0, ABI_CMD_ROUTE_PUT, 3, true, true);
	assert_int_equal(finding->wanted.route.peer, 3);
	assert_int_equal(finding->found.route.peer, 4);
	route.peer = 3;
	assert_int_equal(program_desired_route_put(held, &route), 1);

	route = route_of(777, 8);
	assert_int_equal(program_desired_route_put(held, &route), 1);
	finding = expect_one(world, 0, ABI_CMD_ROUTE_PUT, 8, false, true);
	assert_memory_equal(&finding->found.route, &route, sizeof(route));
	assert_int_equal(program_desired_route_drop(held, &route), 1);
	assert_int_equal(check(world, 0), 0);
	world_destroy(world);
}

static void a_missing_peer_is_found_with_its_routes(void **state)
{
	struct world *world = world_create();
	struct abi_cmd_route route;

	(void)state;
	while (program_desired_peer_route(&world->held, 6, &route))
		assert_int_equal(program_desired_route_drop(&world->held, &route), 1);
	assert_int_equal(program_desired_peer_drop(&world->held, 6), 1);
	assert_int_equal(check(world, 0), 3);
	/* The peer before its routes: put right in this order. */
	assert_int_equal(world->compare.findings[0].type, ABI_CMD_PEER_PUT);
	assert_int_equal(world->compare.findings[1].type, ABI_CMD_ROUTE_PUT);
	world_destroy(world);
}

static void hub_addresses_and_underlay_are_compared_too(void **state)
{
	struct world *world = world_create();
	struct program_desired *held = &world->held;
	struct abi_cmd_hub hub = hub_of(1280);
	struct abi_cmd_address address = address_of(3, 0);
	struct abi_cmd_wan_route wan = wan_of(4, 98);
	struct abi_cmd_neighbour neighbour = neighbour_of(5, 77);
	const struct program_finding *finding;

	(void)state;
	assert_int_equal(program_desired_hub(held, &hub), 1);
	finding = expect_one(world, 1, ABI_CMD_HUB, ABI_PEER_NONE, true, true);
	assert_int_equal(finding->found.hub.tunnel_mtu, 1280);
	hub = hub_of(1420);
	assert_int_equal(program_desired_hub(held, &hub), 1);

	assert_int_equal(program_desired_address(held, &address), 1);
	expect_one(world, 1, ABI_CMD_ADDRESS, ABI_PEER_NONE, true, false);
	address.present = 1;
	assert_int_equal(program_desired_address(held, &address), 1);
	address = address_of(200, 1);
	assert_int_equal(program_desired_address(held, &address), 1);
	expect_one(world, 1, ABI_CMD_ADDRESS, ABI_PEER_NONE, false, true);
	address.present = 0;
	assert_int_equal(program_desired_address(held, &address), 1);

	assert_int_equal(program_desired_wan_route_put(held, &wan), 1);
	expect_one(world, 1, ABI_CMD_WAN_ROUTE_PUT, ABI_PEER_NONE, true, true);
	wan = wan_of(4, 99);
	assert_int_equal(program_desired_wan_route_put(held, &wan), 1);

	assert_int_equal(program_desired_neighbour_put(held, &neighbour), 1);
	finding = expect_one(world, 1, ABI_CMD_NEIGHBOUR_PUT, ABI_PEER_NONE, true, true);
	assert_int_equal(finding->found.neighbour.mac[1], 77);
	world_destroy(world);
}

static void a_session_without_a_peer_is_found(void **state)
{
	struct world *world = world_create();
	struct abi_cmd_session session = {.index = 0x12340, .peer = 33};
	uint64_t parts[ABI_CHECK_WORDS] = {0};

	(void)state;
	abi_check_want(parts, abi_check_peer_part(33));
	assert_int_equal(program_compare_init(&world->compare, &world->wanted, 1, parts), 0);
	show(world, ABI_CMD_SESSION_RETIRE, &session);
	assert_true(program_compare_step(&world->compare, UINT32_MAX));
	assert_int_equal(world->compare.n_findings, 1);
	assert_int_equal(world->compare.findings[0].peer, 33);
	assert_int_equal(world->compare.findings[0].found.session.index, session.index);
	world_destroy(world);
}

/* What control changed since it asked may be on its way. */
static void limits_are_compared_with_those_of_that_worker(void **state)
{
	struct world *world = world_create();
	struct abi_cmd_peer_limit limits[2] = {
		{.peer = 3, .rx = {.packets = 10}, .rx_until = 1000},
		{.peer = 3, .rx = {.packets = 10}, .rx_until = 2000}};

	(void)state;
	assert_int_equal(program_desired_limit(&world->wanted, 3, limits, 2), 1);
	assert_int_equal(check(world, 0), 1); /* missing */
	assert_int_equal(world->compare.findings[0].type, ABI_CMD_PEER_LIMIT);
	assert_int_equal(world->compare.findings[0].peer, 3);
	assert_false(world->compare.findings[0].has_found);
	assert_int_equal(program_desired_limit(&world->held, 3, limits, 2), 1);
	assert_int_equal(check(world, 0), 0);
	assert_int_equal(check(world, 1), 0);
	limits[1].rx_until = 3000; /* more than it may, at one of them */
	assert_int_equal(program_desired_limit(&world->held, 3, limits, 2), 1);
	assert_int_equal(check(world, 0), 0);
	assert_int_equal(check(world, 1), 1);
	assert_int_equal(world->compare.findings[0].wanted.limit.rx_until, 2000);
	assert_int_equal(world->compare.findings[0].found.limit.rx_until, 3000);
	assert_int_equal(program_desired_limit(&world->wanted, 3, NULL, 2), 1);
	assert_int_equal(check(world, 0), 1); /* nobody wants them */
	assert_false(world->compare.findings[0].has_wanted);
	world_destroy(world);
}

static void commands_in_flight_are_no_drift(void **state)
{
	struct world *world = world_create();
	struct abi_cmd_route route = route_of(3, 7); /* from 3 to 7 */
	uint64_t since = world->wanted.sums.n_changes;
	uint64_t parts[ABI_CHECK_WORDS];

	(void)state;
	assert_int_equal(program_desired_peer_put(&world->held, 9, 1), 1); /* this one is drift */
	memset(parts, 0xff, sizeof(parts));
	assert_int_equal(program_compare_init(&world->compare, &world->wanted, 0, parts), 0);
	assert_int_equal(program_desired_route_put(&world->wanted, &route), 1);
	assert_int_equal(program_desired_peer_put(&world->wanted, 20, 25), 1);
	look_at_sums(world, 0, since);
	assert_int_equal(world->difference.n_differ, 1);
	assert_int_equal(world->difference.n_uncertain, 3);
	each_held(world, 0, show);
	while (!program_compare_step(&world->compare, 3))
		continue;
	assert_int_equal(world->compare.n_findings, 1);
	assert_int_equal(world->compare.findings[0].peer, 9);
	world_destroy(world);
}

static void more_than_is_kept_is_counted(void **state)
{
	struct world *world = world_create();
	uint64_t parts[ABI_CHECK_WORDS];

	(void)state;
	memset(parts, 0xff, sizeof(parts));
	assert_int_equal(program_compare_init(&world->compare, &world->wanted, 0, parts), 0);
	each_held(world, 0, show);
	for (uint32_t i = 0; i < PROGRAM_FINDINGS_MAX + 5; i++) {
		struct abi_cmd_route route = route_of(1000 + i, 2);

		show(world, ABI_CMD_ROUTE_PUT, &route);
	}
	assert_true(program_compare_step(&world->compare, UINT32_MAX));
	assert_int_equal(world->compare.n_findings, PROGRAM_FINDINGS_MAX);
	assert_int_equal(world->compare.n_more, 5);
	world_destroy(world);
}

/* One random change of a desired state. */
static void bend_limits(struct program_desired *desired, uint32_t peer, uint64_t kind)
{
	const struct abi_cmd_peer_limit limits[2] = {{.peer = peer, .rx_until = kind},
	                                             {.peer = peer, .rx_until = 7}};

	(void)program_desired_limit(desired, peer, kind == 0 ? NULL : limits, 2);
}

static void bend(struct program_desired *desired, struct test_random *random)
{
	uint32_t peer = (uint32_t)test_random_below(random, N_PEERS);
	struct abi_cmd_route route = route_of((uint32_t)test_random_below(random, 60), peer);
	struct abi_cmd_neighbour neighbour = neighbour_of((uint32_t)test_random_below(random, 12),
	                                                  (uint8_t)test_random_below(random, 3));

	switch (test_random_below(random, 7)) {
	case 0:
		(void)program_desired_peer_put(desired, peer,
		                               (uint16_t)test_random_below(random, 2));
		break;
	case 1:
		while (program_desired_peer_route(desired, peer, &route))
			(void)program_desired_route_drop(desired, &route);
		(void)program_desired_peer_drop(desired, peer);
		break;
	case 2:
		(void)program_desired_neighbour_put(desired, &neighbour);
		break;
	case 3:
		(void)program_desired_neighbour_drop(desired, &neighbour);
		break;
	case 4:
		bend_limits(desired, peer, test_random_below(random, 3));
		break;
	default:
		if (program_desired_has_peer(desired, peer))
			(void)program_desired_route_put(desired, &route);
		break;
	}
}

/* Entries by key that are in one and not, or otherwise, in the other. */
static uint32_t count_differences(const struct program_desired *a, const struct program_desired *b,
                                  uint32_t worker, bool both)
{
	struct program_cursor cursor = {.worker = worker,
	                                .without_routes = worker != ABI_ROUTE_WORKER};
	struct program_command command;
	uint32_t n = 0;

	for (; program_desired_at(a, &cursor, &command); program_cursor_step(&cursor)) {
		uint16_t len = abi_check_entry_len(command.type);
		union program_entry other;

		if (len == 0)
			continue;
		if (program_desired_find(b, worker, command.type, command.payload, &other) < 0)
			n++;
		else if (both && memcmp(&other, command.payload, len) != 0)
			n++;
	}
	return n;
}

static void random_tables_are_compared_as_a_dumb_walk_does(void **state)
{
	struct test_random random = test_random_start();
	struct world *world = world_create();
	uint32_t n_found = 0;

	(void)state;
	for (uint32_t round = 0; round < 2000; round++) {
		uint32_t worker = round % 2;
		uint32_t n;

		bend(round % 3 == 0 ? &world->wanted : &world->held, &random);
		n = count_differences(&world->wanted, &world->held, worker, true)
		    + count_differences(&world->held, &world->wanted, worker, false);
		assert_int_equal(check(world, worker), n);
		n_found += n;
	}
	assert_true(n_found > 1000);
	world_destroy(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_tables_give_no_finding),
		cmocka_unit_test(each_kind_of_peer_drift_is_named),
		cmocka_unit_test(a_missing_peer_is_found_with_its_routes),
		cmocka_unit_test(hub_addresses_and_underlay_are_compared_too),
		cmocka_unit_test(a_session_without_a_peer_is_found),
		cmocka_unit_test(limits_are_compared_with_those_of_that_worker),
		cmocka_unit_test(commands_in_flight_are_no_drift),
		cmocka_unit_test(more_than_is_kept_is_counted),
		cmocka_unit_test(random_tables_are_compared_as_a_dumb_walk_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

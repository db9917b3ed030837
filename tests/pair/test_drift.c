/* control/program looks at what a dataplane's workers hold: what was changed behind its back is found,
 * told once, put right, and what is only under way is not. */
#include "abi_check.h"
#include "base_bytes.h"
#include "base_log.h"
#include "pair.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define N_PEERS 200U

static struct abi_cmd_route route_of(uint32_t i, uint32_t peer)
{
	return (struct abi_cmd_route){.prefix = pair_make_prefix(i), .peer = peer};
}

/* A pair whose worker holds N_PEERS with a route each. */
static void start(bool repair)
{
	pair_start();
	assert_int_equal(program_drift_start(pair.program, 0, repair), 0);
	pair_fill_desired_state();
	for (uint32_t i = 100; i < 100 + N_PEERS; i++) {
		struct base_prefix prefix = pair_make_prefix(i);

		assert_int_equal(program_peer_put(pair.program, i, 0), 0);
		assert_int_equal(program_route_put(pair.program, &prefix, i), 0);
	}
}

static struct program_drift_status status(void)
{
	return program_drift_status(pair.program);
}

/* A whole check. Returns how many findings stand after it. */
static uint32_t check(void)
{
	uint64_t n = status().n_checks;

	assert_int_equal(program_drift_check(pair.program), 0);
	PAIR_RUN_UNTIL(status().n_checks == n + 1);
	return status().n_findings;
}

static void push(uint32_t worker, uint16_t type, const void *entry)
{
	assert_int_equal(program_debug_push(pair.program, worker, type, entry), 0);
}

static void what_was_sent_is_no_drift(void **state)
{
	(void)state;
	start(false);
	assert_int_equal(check(), 0);
	assert_int_equal(pair_count_type(ABI_CMD_CHECK), PAIR_N_WORKERS); /* sums sufficed */
	assert_int_equal(status().n_peers, 0);
	assert_int_equal(program_counter(pair.program, ABI_COUNTER_DRIFT_CHECKS), 1);
	assert_int_equal(pair.seen.n_drift[PROGRAM_DRIFT_FOUND], 0);
}

static void a_change_behind_the_back_is_told_once_and_stands_until_it_is_gone(void **state)
{
	struct abi_cmd_route stolen = route_of(120, 130);
	struct abi_cmd_peer peer = {.peer = 140, .keepalive_s = 99};
	const struct program_finding *finding;

	(void)state;
	start(false);
	push(0, ABI_CMD_ROUTE_PUT, &stolen);
	assert_int_equal(check(), 1);
	assert_int_equal(status().n_peers, 1);
	finding = program_drift_finding(pair.program, 0);
	assert_int_equal(finding->worker, 0);
	assert_int_equal(finding->peer, 120);
	assert_int_equal(finding->wanted.route.peer, 120);
	assert_int_equal(finding->found.route.peer, 130);
	assert_int_equal(pair.seen.n_drift[PROGRAM_DRIFT_FOUND], 1);
	push(1, ABI_CMD_PEER_PUT, &peer);
	assert_int_equal(check(), 2);
	assert_int_equal(program_drift_finding(pair.program, 1)->worker, 1);
	assert_int_equal(check(), 2);
	assert_int_equal(pair.seen.n_drift[PROGRAM_DRIFT_FOUND], 2);
	assert_int_equal(program_counter(pair.program, ABI_COUNTER_DRIFT_FOUND), 2);
	assert_int_equal(program_counter(pair.program, ABI_COUNTER_DRIFT_REPAIRED), 0);
	stolen.peer = 120;
	push(0, ABI_CMD_ROUTE_PUT, &stolen);
	assert_int_equal(check(), 1);
	assert_int_equal(pair.seen.n_drift[PROGRAM_DRIFT_CLEARED], 1);
	assert_int_equal(pair.seen.drift.peer, 120);
}

static void each_kind_is_put_right(void **state)
{
	struct abi_cmd_route moved = route_of(120, 130);
	struct abi_cmd_route extra = route_of(5000, 131);
	struct abi_cmd_route missing = route_of(132, 132);
	struct abi_cmd_peer peer = {.peer = 140, .keepalive_s = 99};
	struct abi_cmd_peer stranger = {.peer = 4000};
	struct abi_cmd_peer gone = {.peer = 150};
	struct abi_cmd_hub hub = {.listen_port = 9, .tunnel_mtu = 1280};
	struct abi_cmd_address address = {.ip = {{192, 0, 2, 77}, BASE_IP_V4, {0}}, .present = 1};
	struct abi_cmd_neighbour neighbour = {.ip = {{192, 0, 2, 9}, BASE_IP_V4, {0}},
	                                      .mac = {2, 0, 0, 0, 0, 66}};

	(void)state;
	start(true);
	push(0, ABI_CMD_ROUTE_PUT, &moved);
	push(0, ABI_CMD_ROUTE_PUT, &extra);
	push(0, ABI_CMD_ROUTE_DROP, &missing);
	push(0, ABI_CMD_PEER_DROP, &gone); /* with its route */
	push(1, ABI_CMD_PEER_PUT, &peer);
	push(1, ABI_CMD_PEER_PUT, &stranger);
	push(1, ABI_CMD_HUB, &hub);
	push(1, ABI_CMD_ADDRESS, &address);
	push(1, ABI_CMD_NEIGHBOUR_PUT, &neighbour);
	assert_int_equal(check(), 10);
	assert_int_equal(status().n_repaired, 10);
	/* And looked at again, unasked. */
	PAIR_RUN_UNTIL(status().n_checks == 2);
	assert_int_equal(status().n_findings, 0);
	assert_int_equal(status().n_peers, 0);
	assert_int_equal(pair.seen.n_drift[PROGRAM_DRIFT_REPAIRED], 10);
	assert_int_equal(pair.seen.n_drift[PROGRAM_DRIFT_CLEARED], 10);
	assert_int_equal(pair_count_type(ABI_CMD_SYNC_BEGIN), PAIR_N_WORKERS); /* the first ones */
}

static void limits_that_were_changed_taken_away_or_made_are_put_right(void **state)
{
	struct abi_cmd_peer_limit limits[PAIR_N_WORKERS];
	struct abi_cmd_peer_limit none = {.peer = 141,
	                                  .rx_until = ABI_QUOTA_NONE,
	                                  .tx_until = ABI_QUOTA_NONE,
	                                  .total_until = ABI_QUOTA_NONE};

	(void)state;
	start(true);
	for (uint32_t peer = 140; peer < 142; peer++) {
		for (uint32_t i = 0; i < PAIR_N_WORKERS; i++)
			limits[i] = (struct abi_cmd_peer_limit){.peer = peer, .rx_until = 1000 * i};
		assert_int_equal(program_limit_put(pair.program, peer, limits), 0);
	}
	assert_int_equal(check(), 0);
	limits[1].peer = 140;
	limits[1].rx_until = 1000000;
	push(1, ABI_CMD_PEER_LIMIT, &limits[1]);
	push(0, ABI_CMD_PEER_LIMIT, &none);
	limits[0].peer = 142; /* who has none */
	push(0, ABI_CMD_PEER_LIMIT, &limits[0]);
	assert_int_equal(check(), 3);
	assert_int_equal(status().n_peers, 3);
	PAIR_RUN_UNTIL(status().n_checks == 3);
	assert_int_equal(status().n_findings, 0);
	/* and what changes in the ordinary way is no drift */
	limits[0] = (struct abi_cmd_peer_limit){.peer = 140, .tx_until = 5};
	limits[1] = (struct abi_cmd_peer_limit){.peer = 140, .tx_until = 6};
	assert_int_equal(program_limit_put(pair.program, 140, limits), 0);
	assert_int_equal(program_peer_drop(pair.program, 141), 0);
	assert_int_equal(check(), 0);
}

static void too_much_is_put_right_by_sending_everything(void **state)
{
	(void)state;
	start(true);
	for (uint32_t i = 100; i < 100 + N_PEERS; i++) {
		struct abi_cmd_peer peer = {.peer = i, .keepalive_s = 77};

		push(1, ABI_CMD_PEER_PUT, &peer);
	}
	(void)check();
	/* 64 parts were looked into, which hold a peer each. */
	assert_int_equal(status().n_findings, 64);
	assert_int_equal(status().n_more, N_PEERS - 64);
	assert_int_equal(status().n_peers, N_PEERS);
	PAIR_RUN_UNTIL(status().n_checks == 2);
	assert_int_equal(status().n_peers, 0);
	assert_int_equal(pair_count_type(ABI_CMD_SYNC_BEGIN), 2 * PAIR_N_WORKERS);
}

/* Peers come, go and change while check follows check. */
static void changes_under_way_are_no_drift(void **state)
{
	struct test_random random = test_random_start();

	(void)state;
	start(false);
	while (status().n_checks < 100) {
		uint32_t i = 100 + (uint32_t)test_random_below(&random, N_PEERS);
		struct base_prefix prefix = pair_make_prefix(i);

		assert_int_equal(program_drift_check(pair.program), 0);
		for (uint32_t k = 0; k < test_random_below(&random, 4); k++) {
			assert_int_equal(program_peer_drop(pair.program, i), 0);
			assert_int_equal(program_peer_put(pair.program, i, (uint16_t)k), 0);
			assert_int_equal(program_route_put(pair.program, &prefix, i), 0);
		}
		event_base_loop(pair.base, EVLOOP_ONCE);
	}
	assert_int_equal(pair.seen.n_drift[PROGRAM_DRIFT_FOUND], 0);
	PAIR_RUN_UNTIL(!status().is_checking);
	assert_int_equal(check(), 0);
	assert_int_equal(status().n_uncertain, 0);
}

static void a_dataplane_that_goes_ends_the_check_and_the_next_is_checked_anew(void **state)
{
	struct abi_cmd_route stolen = route_of(120, 130);

	(void)state;
	start(false);
	push(0, ABI_CMD_ROUTE_PUT, &stolen);
	assert_int_equal(check(), 1);
	__atomic_store_n(&pair.fake->deaf, 1, __ATOMIC_RELEASE);
	assert_int_equal(program_drift_check(pair.program), 0);
	PAIR_RUN_UNTIL(pair_count_type(ABI_CMD_CHECK) == PAIR_N_WORKERS + 2);
	fake_kill(pair.pid);
	PAIR_RUN_UNTIL(pair.seen.n_detached == 1);
	assert_int_equal(status().n_failed, 1);
	assert_false(status().is_checking);
	assert_int_equal(program_drift_check(pair.program), -ENOTCONN);
	__atomic_store_n(&pair.fake->deaf, 0, __ATOMIC_RELEASE);
	pair.pid = fake_start(pair.fake, pair.path);
	PAIR_RUN_UNTIL(pair.seen.n_attached == 2);
	/* It got everything anew: nothing of the old tables is left to be found. */
	assert_int_equal(check(), 0);
	assert_int_equal(pair.seen.n_drift[PROGRAM_DRIFT_CLEARED], 1);
}

static void send_event(uint16_t type, const void *event, uint16_t len)
{
	uint32_t n = pair.fake->n_events_asked + 1;

	pair.fake->event = (struct abi_record){.type = type, .len = len};
	memcpy(pair.fake->event.payload, event, len);
	pair.fake->event_worker = 0;
	__atomic_store_n(&pair.fake->n_events_asked, n, __ATOMIC_RELEASE);
	PAIR_RUN_UNTIL(__atomic_load_n(&pair.fake->n_events_sent, __ATOMIC_ACQUIRE) == n);
	for (int i = 0; i < 20; i++)
		event_base_loop(pair.base, EVLOOP_ONCE);
}

/* The token of the last check that the fake heard. */
static uint64_t last_token(void)
{
	struct abi_cmd_check cmd = {0};

	for (uint32_t i = 0; i < fake_n_log(pair.fake); i++)
		if (pair.fake->log[i].record.type == ABI_CMD_CHECK)
			memcpy(&cmd, pair.fake->log[i].record.payload, sizeof(cmd));
	return cmd.token;
}

static void answers_that_make_no_sense_change_nothing(void **state)
{
	struct abi_event_check_sums sums = {.first = 5000, .n = 28};
	struct abi_event_check_entries entries = {.type = ABI_CMD_ROUTE_PUT, .n = 500};
	struct abi_event_check_end end = {0};

	(void)state;
	start(false);
	PAIR_RUN_UNTIL(pair_count_type(ABI_CMD_ROUTE_PUT) == N_PEERS + 1);
	__atomic_store_n(&pair.fake->deaf, 1, __ATOMIC_RELEASE);
	assert_int_equal(program_drift_check(pair.program), 0);
	PAIR_RUN_UNTIL(pair_count_type(ABI_CMD_CHECK) == 1);
	sums.token = entries.token = end.token = last_token();
	send_event(ABI_EVENT_CHECK_SUMS, &sums, sizeof(sums));
	sums.first = 0;
	sums.n = 2000;
	send_event(ABI_EVENT_CHECK_SUMS, &sums, sizeof(sums));
	send_event(ABI_EVENT_CHECK_ENTRIES, &entries, sizeof(entries)); /* nobody asked */
	send_event(ABI_EVENT_CHECK_END, &end, sizeof(end));             /* without all sums */
	end.token += 7;
	send_event(ABI_EVENT_CHECK_END, &end, sizeof(end));
	assert_true(status().is_checking);
	assert_int_equal(pair_count_type(ABI_CMD_CHECK), 1);
	/* All parts differ: their entries are asked for. */
	for (uint32_t first = 0; first < ABI_CHECK_N_PARTS; first += sums.n) {
		sums.first = first;
		sums.n = ABI_CHECK_N_PARTS - first;
		sums.n = sums.n < ABI_CHECK_SUMS_MAX ? sums.n : ABI_CHECK_SUMS_MAX;
		memset(sums.sums, 0x55, sizeof(sums.sums));
		send_event(ABI_EVENT_CHECK_SUMS, &sums, sizeof(sums));
	}
	end.token = sums.token;
	send_event(ABI_EVENT_CHECK_END, &end, sizeof(end));
	PAIR_RUN_UNTIL(pair_count_type(ABI_CMD_CHECK) == 2);
	entries.token = last_token();
	send_event(ABI_EVENT_CHECK_ENTRIES, &entries, sizeof(entries));
	entries.type = ABI_CMD_INJECT;
	entries.n = 1;
	send_event(ABI_EVENT_CHECK_ENTRIES, &entries, sizeof(entries));
	entries.type = ABI_CMD_PEER_PUT;
	memset(entries.entries, 0xff, sizeof(entries.entries)); /* a peer that cannot be */
	send_event(ABI_EVENT_CHECK_ENTRIES, &entries, sizeof(entries));
	assert_true(status().is_checking);
}

static void no_command_but_those_of_tables_is_pushed(void **state)
{
	struct abi_cmd_peer peer = {.peer = 1};

	(void)state;
	start(false);
	assert_int_equal(program_debug_push(pair.program, PAIR_N_WORKERS, ABI_CMD_PEER_PUT, &peer),
	                 -EINVAL);
	assert_int_equal(program_debug_push(pair.program, 0, ABI_CMD_INJECT, &peer), -EINVAL);
	assert_int_equal(program_debug_push(pair.program, 0, ABI_CMD_SYNC_END, &peer), -EINVAL);
	assert_int_equal(program_debug_push(pair.program, 0, UINT16_MAX, &peer), -EINVAL);
}

/* ---- tables that are handed over whole ------------------------------------------------------------ */

#define SET_FAKE(field, value) __atomic_store_n(&pair.fake->field, value, __ATOMIC_RELEASE)

static void put_blob(enum abi_blob kind, const char *text, uint64_t generation)
{
	assert_int_equal(program_blob_write(pair.program, kind, text, strlen(text), generation), 0);
}

static void put_and_hear(enum abi_blob kind, const char *text, uint64_t generation)
{
	uint32_t n = pair.seen.n_blobs;

	put_blob(kind, text, generation);
	PAIR_RUN_UNTIL(pair.seen.n_blobs == n + 1);
}

static void expect_blob(uint32_t i, enum abi_blob kind, const char *wanted, const char *found)
{
	const struct program_finding *finding = program_drift_finding(pair.program, i);

	assert_int_equal(finding->type, PROGRAM_FINDING_BLOB);
	assert_int_equal(finding->worker, PAIR_N_WORKERS - 1);
	assert_int_equal(finding->peer, ABI_PEER_NONE);
	assert_int_equal(finding->wanted.blob.kind, kind);
	assert_int_equal(finding->has_wanted, wanted != NULL);
	assert_int_equal(finding->has_found, found != NULL);
	assert_int_equal(finding->wanted.blob.hash,
	                 wanted ? abi_blob_hash(wanted, strlen(wanted)) : 0);
	assert_int_equal(finding->found.blob.hash, found ? abi_blob_hash(found, strlen(found)) : 0);
}

static void worker_with_another_policy_or_drop_list_is_found(void **state)
{
	(void)state;
	start(false);
	PAIR_RUN_UNTIL(pair.seen.n_without_blob == ABI_N_BLOBS);
	put_and_hear(ABI_BLOB_POLICY, "first", 41);
	assert_int_equal(check(), 0);
	SET_FAKE(loses_blobs, 1);
	put_and_hear(ABI_BLOB_POLICY, "second", 42);
	put_and_hear(ABI_BLOB_BLOCK, "list", 7);
	assert_int_equal(check(), 2);
	expect_blob(0, ABI_BLOB_POLICY, "second", "first");
	assert_int_equal(program_drift_finding(pair.program, 0)->wanted.blob.generation, 42);
	assert_int_equal(program_drift_finding(pair.program, 0)->found.blob.generation, 41);
	expect_blob(1, ABI_BLOB_BLOCK, "list", NULL);
	assert_int_equal(pair.seen.n_drift[PROGRAM_DRIFT_FOUND], 2);
	/* the same generation with another content */
	put_and_hear(ABI_BLOB_POLICY, "third", 41);
	assert_int_equal(check(), 2);
	expect_blob(0, ABI_BLOB_POLICY, "third", "first");
	assert_int_equal(program_blob_set(pair.program, ABI_BLOB_POLICY, -1, 0), 0);
	PAIR_RUN_UNTIL(pair.seen.n_without_blob == ABI_N_BLOBS + 1);
	assert_int_equal(check(), 2);
	expect_blob(0, ABI_BLOB_POLICY, NULL, "first");
	assert_int_equal(pair.seen.n_drift[PROGRAM_DRIFT_FOUND], 2); /* told once */
	assert_int_equal(status().n_peers, 0);
	SET_FAKE(loses_blobs, 0);
	put_and_hear(ABI_BLOB_POLICY, "fourth", 43);
	assert_int_equal(check(), 1);
	assert_int_equal(pair.seen.n_drift[PROGRAM_DRIFT_CLEARED], 1);
}

static void policy_that_was_lost_is_sent_again(void **state)
{
	(void)state;
	start(true);
	PAIR_RUN_UNTIL(pair.seen.n_without_blob == ABI_N_BLOBS);
	SET_FAKE(loses_blobs, 1);
	put_and_hear(ABI_BLOB_POLICY, "lost", 5);
	SET_FAKE(loses_blobs, 0);
	assert_int_equal(check(), 1);
	PAIR_RUN_UNTIL(status().n_checks == 2);
	assert_int_equal(status().n_findings, 0);
	assert_int_equal(fake_n_blobs(pair.fake, ABI_BLOB_POLICY), 3);
	assert_int_equal(fake_n_blobs(pair.fake, ABI_BLOB_BLOCK), 1);
	assert_int_equal(pair.seen.n_drift[PROGRAM_DRIFT_REPAIRED], 1);
	assert_int_equal(pair.seen.n_drift[PROGRAM_DRIFT_CLEARED], 1);
}

/* The last word of a dying worker ends a check, and what is put right finds nobody: the connection ends while
 * that word is being heard. */
static void dataplane_that_dies_before_it_is_put_right_is_heard_once(void **state)
{
	struct program_setup setup = pair_make_setup();
	const struct abi_event_session event = {.peer = 7};

	(void)state;
	setup.dataplane.n_workers = 1;
	pair_create(&setup);
	assert_int_equal(program_start(pair.program, NULL), 0);
	assert_int_equal(program_drift_start(pair.program, 0, true), 0);
	pair.pid = fake_start(pair.fake, pair.path);
	PAIR_RUN_UNTIL(pair.seen.n_without_blob == ABI_N_BLOBS);
	SET_FAKE(loses_blobs, 1);
	put_and_hear(ABI_BLOB_POLICY, "lost", 5);
	assert_int_equal(check(), 1);
	PAIR_RUN_UNTIL(pair.seen.n_blobs == 2);
	SET_FAKE(loses_blobs, 0);
	assert_int_equal(program_drift_check(pair.program), 0);
	while (pair_count_type(ABI_CMD_CHECK) < 2) /* control does not run meanwhile */
		usleep(1000);
	pair.fake->event = (struct abi_record){.type = ABI_EVENT_SESSION_WANTED,
	                                       .len = sizeof(event)};
	memcpy(pair.fake->event.payload, &event, sizeof(event));
	SET_FAKE(n_events_asked, 1);
	while (__atomic_load_n(&pair.fake->n_events_sent, __ATOMIC_ACQUIRE) == 0)
		usleep(1000);
	fake_kill(pair.pid);
	PAIR_RUN_UNTIL(pair.seen.n_detached == 1);
	pair.pid = fake_start(pair.fake, pair.path);
	PAIR_RUN_UNTIL(pair.seen.n_attached == 2 && pair.seen.n_wanted == 1);
	PAIR_RUN_UNTIL(pair.seen.n_blobs == 3);
	assert_int_equal(check(), 0);
}

static void policy_that_was_refused_is_drift(void **state)
{
	(void)state;
	start(false);
	put_and_hear(ABI_BLOB_POLICY, "good", 5);
	SET_FAKE(blob_err, EPROTO);
	put_and_hear(ABI_BLOB_POLICY, "bad", 6);
	assert_int_equal(check(), PAIR_N_WORKERS);
}

static void policy_under_way_is_no_drift(void **state)
{
	(void)state;
	start(false);
	PAIR_RUN_UNTIL(pair.seen.n_without_blob == ABI_N_BLOBS);
	SET_FAKE(keeps_blobs, 1);
	put_blob(ABI_BLOB_POLICY, "under way", 5);
	assert_int_equal(check(), 0);
	assert_int_equal(status().n_uncertain, PAIR_N_WORKERS);
	SET_FAKE(keeps_blobs, 0);
	PAIR_RUN_UNTIL(pair.seen.n_blobs == 1);
	assert_int_equal(check(), 0);
	assert_int_equal(status().n_uncertain, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAIR_CASE(what_was_sent_is_no_drift),
		PAIR_CASE(a_change_behind_the_back_is_told_once_and_stands_until_it_is_gone),
		PAIR_CASE(each_kind_is_put_right),
		PAIR_CASE(limits_that_were_changed_taken_away_or_made_are_put_right),
		PAIR_CASE(too_much_is_put_right_by_sending_everything),
		PAIR_CASE(changes_under_way_are_no_drift),
		PAIR_CASE(a_dataplane_that_goes_ends_the_check_and_the_next_is_checked_anew),
		PAIR_CASE(answers_that_make_no_sense_change_nothing),
		PAIR_CASE(no_command_but_those_of_tables_is_pushed),
		PAIR_CASE(worker_with_another_policy_or_drop_list_is_found),
		PAIR_CASE(policy_that_was_lost_is_sent_again),
		PAIR_CASE(dataplane_that_dies_before_it_is_put_right_is_heard_once),
		PAIR_CASE(policy_that_was_refused_is_drift),
		PAIR_CASE(policy_under_way_is_no_drift),
	};

	base_log_init("test", BASE_LOG_ERR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* control/model: limits and quotas of peers. */
#include "model_lab.h"
#include "test_clock.h"

#define KEY_B "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="

static const char *const add_alice = "{\"name\": \"alice\", \"public_key\": \"" KEY_A "\"}";

static json_int_t limits_number(const char *group, const char *name)
{
	json_t *result = call("peer.show", "{\"name\": \"alice\"}");
	const json_t *limits = json_object_get(json_object_get(result, "peer"), "limits");
	const json_t *value = json_object_get(group ? json_object_get(limits, group) : limits,
	                                      name);
	json_int_t number = json_is_boolean(value) ? json_is_true(value)
	                                           : json_integer_value(value);

	if (!value)
		number = -1;
	json_decref(result);
	return number;
}

static void limits_reach_the_workers_and_come_back_after_a_restart(void **state)
{
	const struct abi_cmd_peer_limit *cmd = &fake.limit_cmd[1][0];

	(void)state;
	start(true);
	call_ok("peer.add", add_alice);
	assert_false(fake.limited[0]);
	call_ok("peer.limit", "{\"name\": \"alice\", \"rx_bytes\": \"20Mbit\","
	                      " \"tx_packets\": 100, \"tx_packets_burst\": \"2k\"}");
	for (int i = 0; i < 2; i++) {
		assert_true(fake.limited[0]);
		assert_true(fake.stays[0]);
		assert_int_equal(cmd->rx.bytes, 2500000);
		assert_int_equal(cmd->rx.bytes_burst, 250000);
		assert_int_equal(cmd->rx.packets, 0);
		assert_int_equal(cmd->tx.packets, 100);
		assert_int_equal(cmd->tx.packets_burst, 2000);
		assert_true(cmd->rx_until == ABI_QUOTA_NONE);
		assert_true(cmd->total_until == ABI_QUOTA_NONE);
		assert_int_equal(limits_number(NULL, "rx_bytes"), 2500000);
		stop();
		start(true);
	}
	/* one field alone, the others stay */
	call_ok("peer.limit", "{\"name\": \"alice\", \"rx_bytes\": 0}");
	assert_int_equal(cmd->rx.bytes, 0);
	assert_int_equal(cmd->tx.packets, 100);
	/* a disabled peer has none at the workers, and has them again when it is back */
	call_ok("peer.disable", "{\"name\": \"alice\"}");
	fake.limited[0] = false;
	call_ok("peer.enable", "{\"name\": \"alice\"}");
	assert_true(fake.limited[0]);
	call_ok("peer.limit", "{\"name\": \"alice\", \"none\": true}");
	assert_false(fake.limited[0]);
	assert_false(fake.stays[0]);
	call_ok("peer.remove", "{\"name\": \"alice\"}");
	stop();
}

static void the_default_is_for_who_has_no_own(void **state)
{
	(void)state;
	config.limits = (struct limit_spec){.rx.packets = 1000};
	start(true);
	call_ok("peer.add", add_alice);
	assert_int_equal(fake.limit_cmd[0][0].rx.packets, 1000);
	call_ok("peer.limit", "{\"name\": \"alice\", \"none\": true}");
	assert_false(fake.limited[0]);
	call_ok("peer.limit", "{\"name\": \"alice\", \"default\": true}");
	assert_true(fake.limited[0]);
	assert_int_equal(limits_number(NULL, "rx_packets"), 1000);
	stop();
	config.limits = (struct limit_spec){0};
}

static void a_quota_stops_each_worker_at_its_own_count(void **state)
{
	struct abi_cmd_peer_limit *cmds[2] = {&fake.limit_cmd[0][0], &fake.limit_cmd[1][0]};

	(void)state;
	start(true);
	call_ok("peer.add", add_alice);
	fake.limit[0][0].rx_used = 5000; /* of somebody else, before */
	call_ok("peer.limit", "{\"name\": \"alice\", \"quota_rx\": \"10k\", \"quota\": 12000}");
	assert_int_equal(cmds[0]->rx_until, 15000);
	assert_int_equal(cmds[1]->rx_until, 10000);
	assert_int_equal(cmds[0]->total_until, 17000);
	assert_true(cmds[0]->tx_until == ABI_QUOTA_NONE);
	fake.limit[0][0].rx_used = 9000;
	fake.limit[1][0].tx_used = 500;
	assert_int_equal(limits_number("month", "rx_used"), 4000);
	assert_int_equal(limits_number("month", "tx_used"), 500);
	wait_for_table(); /* another timer */
	/* A second later: what passed at one worker is less for the other. */
	while (cmds[1]->rx_until == 10000)
		event_base_loop(base, EVLOOP_ONCE);
	assert_int_equal(cmds[0]->rx_until, 15000);
	assert_int_equal(cmds[1]->rx_until, 6000);
	assert_int_equal(cmds[1]->total_until, 500 + 12000 - 4500);
	assert_int_equal(limits_number("month", "reached"), 0);
	/* Control and dataplane end, and what was used is known. */
	stop();
	start(true);
	assert_int_equal(limits_number("month", "rx_used"), 4000);
	assert_int_equal(cmds[0]->rx_until, 6000);
	fake.limit[0][0].rx_used = 6000;
	fake.limit[0][0].rx_drops = 3;
	assert_int_equal(limits_number("month", "reached"), 1);
	assert_int_equal(limits_number("month", "drops"), 3);
	call_ok("quota.reset", "{\"name\": \"alice\"}");
	assert_int_equal(cmds[0]->rx_until, 16000);
	assert_int_equal(limits_number("month", "rx_used"), 0);
	assert_int_equal(limits_number("month", "reached"), 0);
	stop();
}

static void a_clock_that_is_set_and_set_back_leaves_the_month_as_it_was(void **state)
{
	const struct abi_cmd_peer_limit *cmd = &fake.limit_cmd[0][0];

	(void)state;
	start(true);
	call_ok("peer.add", add_alice);
	call_ok("peer.limit", "{\"name\": \"alice\", \"quota_rx\": 10000}");
	fake.limit[0][0].rx_used = 9000;
	stop(); /* looks; and the counters begin anew */
	start(true);
	assert_int_equal(cmd->rx_until, 1000);
	ahead_s = 3652 * 86400;
	while (cmd->rx_until != 10000)
		event_base_loop(base, EVLOOP_ONCE);
	fake.limit[0][0].rx_used = 500;
	assert_int_equal(limits_number("month", "rx_used"), 500);
	stop(); /* as if killed under the new clock */
	start(true);
	assert_int_equal(limits_number("month", "rx_used"), 500);
	assert_int_equal(cmd->rx_until, 9500);
	ahead_s = 0;
	while (cmd->rx_until != 1000)
		event_base_loop(base, EVLOOP_ONCE);
	assert_int_equal(limits_number("month", "rx_used"), 9000);
	/* Back, where it never was: nothing is given. */
	ahead_s = -3652 * 86400;
	assert_int_equal(limits_number("month", "rx_used"), 9000);
	stop();
	ahead_s = 0;
	start(true);
	assert_int_equal(limits_number("month", "rx_used"), 9000);
	assert_int_equal(cmd->rx_until, 1000);
	stop();
}

static void limits_that_make_no_sense_are_refused_by_field_and_range(void **state)
{
	(void)state;
	start(true);
	call_ok("peer.add", add_alice);
	call_refused("peer.limit", "{\"name\": \"alice\", \"rx_bytes\": \"401Gbit\"}",
	             "bad_argument", "rx_bytes",
	             "rx_bytes is \"401Gbit\", must be 0 (no limit) or 1 to 50000000000 bytes a "
	             "second, such as 2500000, 20Mbit or 1G");
	call_refused("peer.limit", "{\"name\": \"alice\", \"tx_packets\": 4294967297}",
	             "bad_argument", "tx_packets",
	             "tx_packets is 4294967297, must be 0 (no limit) or 1 to 4294967296 packets a "
	             "second");
	call_refused("peer.limit", "{\"name\": \"alice\", \"tx_packets\": \"8bit\"}",
	             "bad_argument", "tx_packets",
	             "tx_packets is \"8bit\", must be a number such as 5000, 20k or 1M");
	call_refused("peer.limit", "{\"name\": \"alice\", \"rx_bytes_burst\": 10000}",
	             "bad_argument", "rx_bytes_burst",
	             "rx_bytes_burst stands alone, must be beside the rate that it is of");
	call_refused("peer.limit", "{\"name\": \"alice\"}", "bad_argument", "",
	             "must be given: limits, or none, or default, and one of these alone");
	call_refused("peer.limit", "{\"name\": \"alice\", \"none\": true, \"quota\": 5}",
	             "bad_argument", "",
	             "must be given: limits, or none, or default, and one of these alone");
	call_refused("peer.limit", "{\"name\": \"bob\", \"none\": true}", "not_found", "name",
	             "name: no peer is called \"bob\"");
	call_refused("quota.reset", "{\"name\": \"alice\"}", "not_found", "name",
	             "name: peer \"alice\" has no quota");
	assert_false(fake.limited[0]);
	stop();
}

static json_t *events_after(json_int_t number)
{
	char params[40];
	json_t *result;

	event_base_loop(base, EVLOOP_ONCE); /* the look of the second */
	snprintf(params, sizeof(params), "{\"after\": %lld}", (long long)number);
	result = call("events", params);
	return result;
}

/* The one event behind *next, which is the cursor for the one after it then. */
static void happened(json_int_t *next, const char *what)
{
	json_t *result;
	json_t *events;

	for (int i = 0; i < 40; i++) {
		result = events_after(*next);
		events = json_object_get(result, "events");
		if (json_array_size(events) > 0)
			break;
		json_decref(result);
	}
	assert_int_equal(json_array_size(events), 1);
	assert_string_equal(json_string_value(json_object_get(json_array_get(events, 0), "what")),
	                    what);
	assert_string_equal(json_string_value(json_object_get(json_array_get(events, 0), "peer")),
	                    "alice");
	*next = json_integer_value(json_object_get(result, "next"));
	json_decref(result);
}

static void a_quota_is_told_at_80_percent_and_at_its_end_once(void **state)
{
	json_t *result;
	json_int_t next = 0;

	(void)state;
	is_watched = true;
	start(true);
	fake.epoch = 1;
	call_ok("peer.add", add_alice);
	call_ok("peer.limit", "{\"name\": \"alice\", \"quota_rx\": 1000}");
	fake.limit[0][0].rx_used = 799;
	call_ok("quota.reset", "{\"name\": \"alice\"}"); /* looks, and begins anew */
	fake.limit[0][0].rx_used += 799;
	call_ok("quota.reset", "{\"name\": \"alice\"}");
	result = call("events", "{}");
	assert_int_equal(json_array_size(json_object_get(result, "events")), 0);
	json_decref(result);
	fake.limit[0][0].rx_used += 800;
	happened(&next, "warned");
	fake.limit[1][0].rx_used += 300;
	happened(&next, "reached");
	call_ok("peer.limit", "{\"name\": \"alice\", \"quota_rx\": 10000}");
	happened(&next, "again");
	assert_int_equal(fake.counted[ABI_COUNTER_QUOTA_WARNED], 1);
	assert_int_equal(fake.counted[ABI_COUNTER_QUOTA_REACHED], 1);
	stop();
}

static void a_trace_tells_that_a_quota_is_used_up(void **state)
{
	json_t *result;
	char *text;

	(void)state;
	start(true);
	fake.epoch = 1;
	call_ok("peer.add", add_alice);
	call_ok("peer.limit", "{\"name\": \"alice\", \"quota_rx\": 1000}");
	fake.limit[0][0].rx_used = 600;
	result = call("trace", "{\"peer\": \"alice\", \"to\": \"hub\", \"proto\": \"icmp\"}");
	text = json_dumps(result, 0);
	assert_non_null(strstr(text, "has used 600 of 1000 bytes of the month"));
	assert_null(strstr(text, "\"reason\": \"quota\""));
	free(text);
	json_decref(result);
	fake.limit[1][0].rx_used = 400;
	result = call("trace", "{\"peer\": \"alice\", \"to\": \"hub\", \"proto\": \"icmp\"}");
	assert_string_equal(json_string_value(json_object_get(result, "reason")), "quota");
	json_decref(result);
	/* what is sent to it is not what it used up */
	result = call("trace", "{\"peer\": \"hub\", \"to\": \"alice\", \"proto\": \"icmp\"}");
	assert_string_equal(json_string_value(json_object_get(result, "reason")), "no_session");
	json_decref(result);
	stop();
}

/* The hub's only peer, by its text. */
static void roster_switch(bool enabled)
{
	json_t *exported = call("peer.export", "{}");
	const char *text = json_string_value(json_object_get(exported, "roster"));
	const char *end = strstr(text, enabled ? " enabled = false;" : " }");
	json_t *params, *result, *error;

	assert_non_null(end);
	params = json_pack("{s:{s:s, s:o}}", "file", "name", "peers", "text",
	                   json_sprintf("%.*s%s%s", (int)(end - text), text,
	                                enabled ? "" : " enabled = false;",
	                                enabled ? end + strlen(" enabled = false;") : end));
	assert_int_equal(model_call(model, "peer.apply", params, &result, &error), 0);
	json_decref(result);
	json_decref(params);
	json_decref(exported);
}

static void enable_by(bool roster, bool enabled)
{
	if (roster)
		roster_switch(enabled);
	else
		call_ok(enabled ? "peer.enable" : "peer.disable", "{\"name\": \"alice\"}");
}

/* Workers forget what they counted of a peer that goes: a stop of before would give it the quota once more, and what
 * nobody had looked at yet is used all the same. */
static void a_peer_that_is_enabled_again_is_not_given_its_quota_again(void **state)
{
	const struct abi_cmd_peer_limit *cmd = &fake.limit_cmd[1][0];

	(void)state;
	start(true);
	fake.epoch = 1;
	call_ok("peer.add", add_alice);
	call_ok("peer.limit", "{\"name\": \"alice\", \"quota_rx\": 1000}");
	for (int roster = 0; roster < 2; roster++) {
		fake.limit[1][0].rx_used = 400;
		enable_by(roster, false);
		fake.limit[1][0].rx_used = 0;
		enable_by(roster, true);
		assert_int_equal(limits_number("month", "rx_used"), 400 * (roster + 1));
		assert_int_equal(cmd->rx_until, 1000 - 400 * (roster + 1));
	}
	stop();
}

/* And nobody has looked since the packets passed. */
static void a_quota_that_goes_and_comes_knows_what_was_used(void **state)
{
	(void)state;
	start(true);
	fake.epoch = 1;
	call_ok("peer.add", add_alice);
	call_ok("peer.limit", "{\"name\": \"alice\", \"quota_rx\": 1000}");
	fake.limit[0][0].rx_used = 900;
	call_ok("peer.limit", "{\"name\": \"alice\", \"none\": true}");
	fake.limit[0][0].rx_used = 0; /* forgotten with the limits */
	call_ok("peer.limit", "{\"name\": \"alice\", \"quota_rx\": 1000}");
	assert_int_equal(limits_number("month", "rx_used"), 900);
	assert_int_equal(fake.limit_cmd[0][0].rx_until, 100);
	stop();
}

/* One goes and another comes in one change: where the table is full, under the same number. */
static void who_comes_in_the_place_of_another_has_not_its_limits(void **state)
{
	json_t *params, *result, *error;
	uint32_t max_peers = config.max_peers;

	(void)state;
	config.max_peers = 1;
	start(true);
	call_ok("peer.add", add_alice);
	call_ok("peer.limit", "{\"name\": \"alice\", \"quota_rx\": 1000}");
	fake.limit[0][0].rx_used = 900;
	assert_int_equal(limits_number("month", "rx_used"), 900);
	params = json_pack("{s:{s:s, s:s}, s:b}", "file", "name", "peers", "text",
	                   "peers: ( { name = \"bob\"; public_key = \"" KEY_B "\"; } );", "remove",
	                   1);
	if (model_call(model, "peer.apply", params, &result, &error) < 0)
		fail_msg("%s", json_string_value(json_object_get(error, "message")));
	json_decref(result);
	json_decref(params);
	assert_false(fake.limited[0]);
	assert_false(fake.stays[0]);
	result = call("peer.show", "{\"name\": \"bob\"}");
	assert_null(json_object_get(json_object_get(json_object_get(result, "peer"), "limits"),
	                            "month"));
	json_decref(result);
	stop();
	config.max_peers = max_peers;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(limits_reach_the_workers_and_come_back_after_a_restart),
		CASE(the_default_is_for_who_has_no_own),
		CASE(a_quota_stops_each_worker_at_its_own_count),
		CASE(a_clock_that_is_set_and_set_back_leaves_the_month_as_it_was),
		CASE(limits_that_make_no_sense_are_refused_by_field_and_range),
		CASE(a_quota_is_told_at_80_percent_and_at_its_end_once),
		CASE(a_trace_tells_that_a_quota_is_used_up),
		CASE(a_peer_that_is_enabled_again_is_not_given_its_quota_again),
		CASE(a_quota_that_goes_and_comes_knows_what_was_used),
		CASE(who_comes_in_the_place_of_another_has_not_its_limits),
	};

	base_log_init("test", BASE_LOG_ERR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

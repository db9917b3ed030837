/* control/model: peers that should be up, what is said when they are not, and that a restart of control neither says it
 * again nor forgets it. */
#include "model_alarm.h"
#include "model_lab.h"
#include "store_alarm.h"
#include "watch_event.h"

#define STALE_AFTER_S 12

/* With everybody expected for an hour, and control running for one. */
static void begin(void)
{
	is_watched = true;
	config.stale_after_s = STALE_AFTER_S;
	start(true);
	model->alarms.started_ns -= BASE_NS_PER_S * STALE_AFTER_S;
}

static void add(const char *name, const char *expected_up)
{
	char params[128];

	snprintf(params, sizeof(params), "{\"name\": \"%s\", \"expected_up\": %s}", name,
	         expected_up);
	call_ok("peer.add", params);
}

static void long_ago(const char *name)
{
	struct peer *peer = (struct peer *)(uintptr_t)peer_find(peers, name);

	peer->row.expected_wall_ns -= 3600 * BASE_NS_PER_S;
}

static void shook_hands(uint32_t id, uint64_t age_s)
{
	fake.info[id].last_handshake_ns = base_time_monotonic_ns() - age_s * BASE_NS_PER_S;
	fake.info[id].last_handshake_wall_ns = base_time_wall_ns() - age_s * BASE_NS_PER_S;
}

/* Everybody is looked at, so often; then the events since the last call are these: "stale alice up bob ". */
static void told(uint32_t n_looks, const char *expected)
{
	static uint64_t seen;
	const struct watch_event *event;
	char text[512] = "";

	if (watch_event_newest(watch) < seen)
		seen = 0; /* another control */
	for (; n_looks > 0; n_looks--)
		model__alarms_look(model, config.max_peers);
	for (; (event = watch_event_after(watch, seen)) != NULL; seen = event->number) {
		assert_string_equal(event->kind, "alarm");
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s %s ", event->what,
		         event->peer);
	}
	assert_string_equal(text, expected);
}

static void alarm_is(const char *name, const char *expected)
{
	char params[64];
	json_t *result;
	const char *reason;

	snprintf(params, sizeof(params), "{\"name\": \"%s\"}", name);
	result = call("peer.show", params);
	reason = json_string_value(json_object_get(
		json_object_get(json_object_get(result, "peer"), "alarm"), "reason"));
	assert_string_equal(reason ? reason : "none", expected);
	json_decref(result);
}

static void an_alarm_is_told_once_and_so_is_its_end(void **state)
{
	(void)state;
	begin();
	add("alice", "true");
	add("bob", "\"no\"");
	add("carol", "\"yes\"");
	long_ago("alice");
	long_ago("carol");
	shook_hands(0, STALE_AFTER_S - 1);
	shook_hands(1, 1000);
	shook_hands(2, 1);
	told(3, "");
	shook_hands(0, STALE_AFTER_S + 1);
	told(3, "stale alice ");
	alarm_is("alice", "stale");
	alarm_is("bob", "none");
	alarm_is("carol", "none");
	shook_hands(0, 0);
	told(3, "up alice ");
	alarm_is("alice", "none");
	stop();
}

static void a_peer_that_never_came_raises_one_when_it_had_its_time(void **state)
{
	(void)state;
	begin();
	add("alice", "true");
	told(2, "");
	long_ago("alice");
	told(2, "never alice ");
	alarm_is("alice", "never");
	stop();
}

static void a_restart_neither_repeats_nor_forgets_an_alarm(void **state)
{
	(void)state;
	begin();
	add("alice", "true");
	add("bob", "true");
	long_ago("alice");
	long_ago("bob");
	told(1, "never alice never bob ");
	for (int i = 0; i < 2; i++) {
		stop();
		begin();
		told(3, "");
		alarm_is("alice", "never");
	}
	/* bob is back after it: the end is told, and also that is not told again */
	fake.known[1] = true;
	shook_hands(1, 0);
	told(2, "up bob ");
	stop();
	begin();
	shook_hands(1, 0);
	told(2, "");
	alarm_is("alice", "never");
	alarm_is("bob", "none");
	stop();
}

static void nothing_is_raised_while_peers_come_back_after_the_start(void **state)
{
	(void)state;
	begin();
	add("alice", "true");
	long_ago("alice");
	model->alarms.started_ns = base_time_monotonic_ns();
	told(3, "");
	model->alarms.started_ns -= STALE_AFTER_S * BASE_NS_PER_S;
	told(3, "never alice ");
	stop();
}

static void who_need_not_be_up_or_is_gone_ends_its_alarm(void **state)
{
	static const char *const names[] = {"alice", "bob", "carol"};

	(void)state;
	begin();
	for (size_t i = 0; i < BASE_ARRAY_LEN(names); i++) {
		add(names[i], "true");
		long_ago(names[i]);
	}
	told(1, "never alice never bob never carol ");
	call_ok("peer.set", "{\"name\": \"alice\", \"expected_up\": false}");
	call_ok("peer.disable", "{\"name\": \"bob\"}");
	call_ok("peer.remove", "{\"name\": \"carol\"}");
	told(3, "ended alice ended bob ended carol ");
	/* back again, they have their time again */
	call_ok("peer.enable", "{\"name\": \"bob\"}");
	call_ok("peer.set", "{\"name\": \"alice\", \"expected_up\": \"yes\"}");
	told(3, "");
	long_ago("bob");
	told(3, "never bob ");
	stop();
}

static void what_is_expected_is_stored_and_in_the_audit_trail(void **state)
{
	json_t *result;
	const json_t *records;

	(void)state;
	begin();
	add("alice", "false");
	call_ok("peer.set", "{\"name\": \"alice\", \"expected_up\": true, \"why\": \"ticket 7\"}");
	stop();
	begin();
	result = call("peer.show", "{\"name\": \"alice\"}");
	assert_true(json_is_true(json_object_get(json_object_get(result, "peer"), "expected_up")));
	json_decref(result);
	result = call("audit.trail", "{\"last\": 1}");
	records = json_object_get(result, "records");
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(records, 0), "operation")),
		"peer.set");
	assert_non_null(
		strstr(json_string_value(json_object_get(json_array_get(records, 0), "summary")),
	               "expected_up"));
	json_decref(result);
	call_refused("peer.set", "{\"name\": \"alice\", \"expected_up\": \"maybe\"}",
	             "bad_argument", "expected_up", "expected_up is \"maybe\", must be yes or no");
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(an_alarm_is_told_once_and_so_is_its_end),
		CASE(a_peer_that_never_came_raises_one_when_it_had_its_time),
		CASE(a_restart_neither_repeats_nor_forgets_an_alarm),
		CASE(nothing_is_raised_while_peers_come_back_after_the_start),
		CASE(who_need_not_be_up_or_is_gone_ends_its_alarm),
		CASE(what_is_expected_is_stored_and_in_the_audit_trail),
	};

	return cmocka_run_group_tests_name("model/alarm", tests, NULL, NULL);
}

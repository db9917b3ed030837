/* control/model: the policy on its way to the workers, and what the audit finds. */
#include "model_lab.h"
#include "policy_table.h"

/* May a open port 443 of b, by the table that the workers have? */
static bool workers_allow(const char *a, const char *b)
{
	const struct policy_table *table = policy_table_check(workers.table, workers.len, NULL);
	const struct peer *from = peer_find(peers, a);
	const struct peer *to = peer_find(peers, b);
	struct policy_packet packet = {.proto = 6, .dport = 443};

	assert_non_null(table);
	packet.in_peer = from->row.id;
	packet.out_peer = to->row.id;
	packet.src = policy_address_make(&from->row.addresses[0]);
	packet.dst = policy_address_make(&to->row.addresses[0]);
	return policy_decide(table, &packet, (uint64_t)time(NULL)).reason == POLICY_ALLOWED;
}

static void workers_get_every_change_of_policy_and_peers(void **state)
{
	uint32_t generation;

	(void)state;
	start(true);
	assert_true(workers.n_sets > 0); /* an empty policy is one too */
	call_ok("peer.add", "{\"name\": \"a\"}");
	call_ok("peer.add", "{\"name\": \"b\"}");
	assert_false(workers_allow("a", "b"));
	generation = policy_table_generation(workers.table);
	call_ok("group.add", "{\"name\": \"g\", \"members\": [\"a\"]}");
	call_ok("grant.add", "{\"name\": \"x\", \"who\": \"group:g\", \"to\": \"any\", "
	                     "\"protocol\": \"tcp\"}");
	assert_true(workers_allow("a", "b"));
	assert_false(workers_allow("b", "a"));
	assert_int_not_equal(policy_table_generation(workers.table), generation);
	call_ok("peer.remove", "{\"name\": \"b\"}");
	call_ok("peer.add", "{\"name\": \"c\"}");
	wait_for_table();
	assert_true(workers_allow("a", "c"));
	stop();
	start(true); /* from the store */
	assert_true(workers_allow("a", "c"));
	call_ok("grant.remove", "{\"name\": \"x\"}");
	assert_false(workers_allow("a", "c"));
	stop();
}

/* No table for a single peer from now on. */
static void hold_tables(void)
{
	model->table_next_ns = base_time_monotonic_ns() + 3600 * BASE_NS_PER_S;
}

static void peers_that_come_and_go_together_share_a_table(void **state)
{
	json_t *status;
	uint32_t before;

	(void)state;
	start(true);
	wait_for_table();
	call_ok("grant.add", "{\"name\": \"x\", \"who\": \"any\", \"to\": \"any\", "
	                     "\"protocol\": \"tcp\"}");
	model->table_next_ns = 0;
	before = workers.n_sets;
	call_ok("peer.add", "{\"name\": \"a\"}"); /* the first at once */
	assert_int_equal(workers.n_sets, before + 1);
	model_policy_done(model, policy_table_generation(workers.table), 0, "");
	hold_tables();
	call_ok("peer.add", "{\"name\": \"b\"}");
	call_ok("peer.add", "{\"name\": \"c\"}");
	assert_int_equal(workers.n_sets, before + 1);
	assert_false(workers_allow("a", "c"));

	/* what the workers say of the one before is not said of this one */
	model_policy_done(model, policy_table_generation(workers.table), 0, "");
	status = call("status", "{}");
	assert_true(json_is_false(json_object_get(json_object_get(status, "policy"), "in_force")));
	json_decref(status);
	event_active(model->table_timer, EV_TIMEOUT, 0);
	wait_for_table();
	assert_int_equal(workers.n_sets, before + 2);
	assert_true(workers_allow("a", "c"));
	stop();
}

static void number_of_a_peer_that_is_gone_is_not_another_s_in_the_table(void **state)
{
	uint32_t before;

	(void)state;
	config.max_peers = 2;
	start(true);
	call_ok("peer.add", "{\"name\": \"a\"}");
	call_ok("peer.add", "{\"name\": \"b\"}");
	wait_for_table();
	hold_tables();
	before = workers.n_sets;
	call_ok("peer.remove", "{\"name\": \"b\"}");
	assert_int_equal(workers.n_sets, before);
	assert_true(model->table_waits);
	call_ok("peer.add", "{\"name\": \"c\"}");
	assert_true(workers.n_sets > before); /* without b, before c had its number */
	wait_for_table();
	stop();
}

static void workers_that_could_not_take_a_table_get_it_soon(void **state)
{
	(void)state;
	start(true);
	call_ok("peer.add", "{\"name\": \"a\"}");
	call_ok("peer.add", "{\"name\": \"b\"}");
	workers.err = -EAGAIN;
	call_ok("grant.add", "{\"name\": \"x\", \"who\": \"any\", \"to\": \"any\", "
	                     "\"protocol\": \"tcp\"}");
	assert_false(workers_allow("a", "b"));
	workers.err = 0;
	event_base_loop(base, EVLOOP_ONCE); /* the timer of a second, or another one before it */
	for (int i = 0; i < 20 && !workers_allow("a", "b"); i++)
		event_base_loop(base, EVLOOP_ONCE);
	assert_true(workers_allow("a", "b"));
	stop();
}

static void policy_is(const char *generation, bool in_force, const char *finding)
{
	json_t *status = call("status", "{}");
	json_t *policy = json_object_get(status, "policy");
	json_t *audit = call("audit.policy", "{}");
	char *text = json_dumps(audit, 0);

	assert_int_equal(json_integer_value(json_object_get(policy, "generation")),
	                 atoi(generation));
	assert_int_equal(json_is_true(json_object_get(policy, "in_force")), in_force);
	assert_int_equal(strstr(text, "not-in-force") != NULL, finding != NULL);
	if (finding)
		assert_non_null(strstr(text, finding));
	free(text);
	json_decref(audit);
	json_decref(status);
}

/* Is there a finding of this rule about this peer? Its severity, or "". */
static const char *audited(const char *rule, const char *name)
{
	static char severity[16];
	json_t *audit = call("audit.policy", "{}");
	json_t *findings = json_object_get(audit, "findings");

	severity[0] = '\0';
	for (size_t i = 0; i < json_array_size(findings); i++) {
		const json_t *one = json_array_get(findings, i);

		if (strcmp(json_string_value(json_object_get(one, "rule")), rule) == 0
		    && strcmp(json_string_value(json_object_get(one, "name")), name) == 0)
			snprintf(severity, sizeof(severity), "%s",
			         json_string_value(json_object_get(one, "severity")));
	}
	json_decref(audit);
	return severity;
}

static void an_old_key_is_audited_after_its_days(void **state)
{
	const uint64_t day_ns = 24 * 3600 * BASE_NS_PER_S;
	struct peer *old;

	(void)state;
	start(true);
	call_ok("peer.add", "{\"name\": \"old\"}");
	call_ok("peer.add", "{\"name\": \"new\"}");
	memcpy(&old, &(const struct peer *){peer_find(peers, "old")}, sizeof(old));
	config.key_age_days = 365;
	old->row.key_set_wall_ns = base_time_wall_ns() - 364 * day_ns;
	assert_string_equal(audited("stale-key", "old"), "");
	old->row.key_set_wall_ns -= 2 * day_ns;
	assert_string_equal(audited("stale-key", "old"), "warning");
	assert_string_equal(audited("stale-key", "new"), "");
	config.key_age_days = 0;
	assert_string_equal(audited("stale-key", "old"), "");
	stop();
}

static void a_peer_that_moves_and_keeps_nothing_alive_is_audited(void **state)
{
	struct session_peer_info *info = fake.info;

	(void)state;
	start(true);
	call_ok("peer.add", "{\"name\": \"quiet\", \"client_keepalive\": 0}");
	call_ok("peer.add", "{\"name\": \"alive\"}");
	call_ok("peer.add", "{\"name\": \"kept\", \"client_keepalive\": 0, \"keepalive\": 25}");
	assert_string_equal(audited("no-keepalive", "quiet"), "");
	for (const char *const *name = (const char *const[]){"quiet", "alive", "kept", NULL}; *name;
	     name++)
		info[peer_find(peers, *name)->row.id].n_moves = 2;
	assert_string_equal(audited("no-keepalive", "quiet"), "warning");
	assert_string_equal(audited("no-keepalive", "alive"), "");
	assert_string_equal(audited("no-keepalive", "kept"), "");
	stop();
}

/* What the tunnel's own packets are sent to, and what lies behind the peer. */
static void a_missing_preshared_key_is_an_error_that_names_the_peer(void **state)
{
	(void)state;
	start(true);
	call_ok("peer.add", "{\"name\": \"bare\", \"no_preshared_key\": true}");
	call_ok("peer.add", "{\"name\": \"good\"}");
	for (uint32_t rule = CONFIG_PSK_OPTIONAL; rule <= CONFIG_PSK_REQUIRED; rule++) {
		config.preshared_key = rule;
		assert_string_equal(audited("no-preshared-key", "bare"), "error");
		assert_string_equal(audited("no-preshared-key", "good"), "");
		assert_string_equal(audited("preshared-key-optional", "hub"),
		                    rule == CONFIG_PSK_OPTIONAL ? "warning" : "");
	}
	stop();
}

static void an_endpoint_that_leads_back_is_audited(void **state)
{
	struct base_endpoint *endpoint;

	(void)state;
	start(true);
	call_ok("peer.add", "{\"name\": \"gate\", \"gateway\": true, \"allowed_ips\": "
	                    "[\"198.51.100.0/24\", \"198.51.0.0/16\"]}");
	call_ok("peer.add", "{\"name\": \"other\"}");
	endpoint = &fake.info[peer_find(peers, "gate")->row.id].endpoint;
	assert_string_equal(audited("endpoint-inside", "gate"), ""); /* it has none */
	assert_int_equal(base_endpoint_parse("192.0.2.7:51820", endpoint), 0);
	assert_string_equal(audited("endpoint-inside", "gate"), "");
	assert_int_equal(base_endpoint_parse("198.51.100.7:51820", endpoint), 0);
	assert_string_equal(audited("endpoint-inside", "gate"), "warning");
	assert_string_equal(audited("endpoint-inside", "other"), "");
	assert_string_equal(audited("endpoint-is-hub", "gate"), "");
	assert_int_equal(base_ip_parse("198.51.100.7", &fake.own), 0);
	assert_int_equal(base_endpoint_parse("198.51.100.7:51820", endpoint), 0);
	assert_string_equal(audited("endpoint-is-hub", "gate"), "error");
	assert_string_equal(audited("endpoint-inside", "gate"), "");
	assert_string_equal(audited("endpoint-is-hub", "other"), "");
	stop();
}

#define DAY_NS (24 * 3600 * BASE_NS_PER_S)

static const struct grant *grant_of(const char *name)
{
	return grant_find(&model->policy, name);
}

/* As if it had been made so long ago. */
static void age_grant(const char *name, uint64_t days)
{
	struct grant *grant = grant_find(&model->policy, name);

	grant->created_wall_ns = base_time_wall_ns() - days * DAY_NS;
}

static void a_grant_that_nobody_uses_is_audited_after_its_days(void **state)
{
	(void)state;
	start(true);
	call_ok("peer.add", "{\"name\": \"a\"}");
	call_ok("grant.add", "{\"name\": \"x\", \"who\": \"peer:a\", \"to\": \"hub\", "
	                     "\"protocol\": \"tcp\", \"ports\": [\"22\"]}");
	config.unused_grant_days = 90;
	assert_string_equal(audited("unused", "x"), "");
	age_grant("x", 89);
	assert_string_equal(audited("unused", "x"), "");
	age_grant("x", 91);
	assert_string_equal(audited("unused", "x"), "warning");
	config.unused_grant_days = 0;
	assert_string_equal(audited("unused", "x"), "");
	config.unused_grant_days = 90;
	config.peer_to_peer = true;
	assert_string_equal(audited("unused", "x"), "");
	config.peer_to_peer = false;
	/* a worker tells: it was used 89 days ago; so is a number that is no grant's */
	fake.used[0].grant = grant_of("x")->number;
	fake.used[0].wall_s = base_time_wall_ns() / BASE_NS_PER_S - 89 * 86400;
	fake.used[1].grant = 4711;
	fake.used[1].wall_s = fake.used[0].wall_s;
	fake.n_used = 2;
	assert_string_equal(audited("unused", "x"), "");
	/* another worker says it was earlier: the latest counts */
	fake.used[0].wall_s -= 30 * 86400;
	assert_string_equal(audited("unused", "x"), "");
	stop();
}

static void last_use_of_a_grant_outlives_changes_and_restarts(void **state)
{
	uint64_t hour_s = base_time_wall_ns() / BASE_NS_PER_S / 3600 * 3600;
	json_t *result;

	(void)state;
	start(true);
	call_ok("peer.add", "{\"name\": \"a\"}");
	call_ok("grant.add", "{\"name\": \"x\", \"who\": \"peer:a\", \"to\": \"hub\", "
	                     "\"protocol\": \"tcp\"}");
	call_ok("grant.add", "{\"name\": \"y\", \"who\": \"peer:a\", \"to\": \"hub\", "
	                     "\"protocol\": \"udp\"}");
	fake.used[0].grant = grant_of("x")->number;
	fake.used[0].wall_s = hour_s + 1;
	fake.n_used = 1;
	json_decref(call("grant.list", "{}"));
	assert_int_equal(grant_of("x")->used_s, hour_s);
	assert_int_equal(grant_of("y")->used_s, 0);
	call_ok("grant.remove", "{\"name\": \"y\"}"); /* another policy, the same grant */
	assert_int_equal(grant_of("x")->used_s, hour_s);
	stop();
	start(true); /* from the store; the workers know nothing */
	assert_int_equal(grant_of("x")->used_s, hour_s);
	result = call("grant.show", "{\"name\": \"x\"}");
	assert_true(json_is_string(json_object_get(json_object_get(result, "grant"), "used_at")));
	json_decref(result);
	/* of the same name, but another grant */
	call_ok("grant.remove", "{\"name\": \"x\"}");
	call_ok("grant.add", "{\"name\": \"x\", \"who\": \"peer:a\", \"to\": \"hub\", "
	                     "\"protocol\": \"tcp\"}");
	assert_int_equal(grant_of("x")->used_s, 0);
	stop();
}

static void a_policy_is_in_force_when_the_workers_say_so(void **state)
{
	uint32_t before;

	(void)state;
	start(true);
	call_ok("grant.add", "{\"name\": \"x\", \"who\": \"any\", \"to\": \"any\", "
	                     "\"protocol\": \"tcp\"}");
	policy_is("1", false, NULL);
	before = policy_table_generation(workers.table);
	model_policy_done(model, before, 0, "");
	policy_is("1", true, NULL);
	call_ok("grant.remove", "{\"name\": \"x\"}");
	model_policy_done(model, before, 0, ""); /* late, of the one before */
	policy_is("2", false, NULL);
	model_policy_done(model, policy_table_generation(workers.table), 22, "too long");
	policy_is("2", false, "too long");
	call_ok("peer.add", "{\"name\": \"a\"}"); /* another table for the same policy */
	policy_is("2", false, NULL);
	wait_for_table();
	policy_is("2", false, NULL);
	model_policy_done(model, policy_table_generation(workers.table), 0, "");
	policy_is("2", true, NULL);
	model_dataplane_gone(model); /* nobody uses it any more */
	policy_is("2", false, NULL);
	model_policy_done(model, policy_table_generation(workers.table), 0, ""); /* the next one */
	policy_is("2", true, NULL);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(workers_get_every_change_of_policy_and_peers),
		CASE(peers_that_come_and_go_together_share_a_table),
		CASE(number_of_a_peer_that_is_gone_is_not_another_s_in_the_table),
		CASE(workers_that_could_not_take_a_table_get_it_soon),
		CASE(an_old_key_is_audited_after_its_days),
		CASE(a_peer_that_moves_and_keeps_nothing_alive_is_audited),
		CASE(a_missing_preshared_key_is_an_error_that_names_the_peer),
		CASE(an_endpoint_that_leads_back_is_audited),
		CASE(a_grant_that_nobody_uses_is_audited_after_its_days),
		CASE(last_use_of_a_grant_outlives_changes_and_restarts),
		CASE(a_policy_is_in_force_when_the_workers_say_so),
	};

	base_log_init("test", BASE_LOG_ERR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

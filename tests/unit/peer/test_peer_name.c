/* control/peer: endpoints by name. First the reckoning (peer_name.c), where time is an argument; then the table with a
 * resolver that answers what the test says. */
#include "base_bytes.h"
#include "base_log.h"
#include "base_time.h"
#include "peer_lab.h"
#include "peer_name.h"
#include "peer_set.h"
#include "test.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define S BASE_NS_PER_S

static struct base_ip ip(const char *text)
{
	struct base_ip out;

	assert_int_equal(base_ip_parse(text, &out), 0);
	return out;
}

static struct base_endpoint endpoint(const char *text)
{
	struct base_endpoint out;

	assert_int_equal(base_endpoint_parse(text, &out), 0);
	return out;
}

/* "a b" = two addresses, "" = none. */
static struct resolve_answer answer(const char *ips, uint32_t ttl_s)
{
	struct resolve_answer out = {.ttl_s = ttl_s};
	char text[200], *rest = text, *one;

	snprintf(text, sizeof(text), "%s", ips);
	while ((one = strsep(&rest, " ")) != NULL)
		if (*one != '\0')
			out.ips[out.n_ips++] = ip(one);
	if (out.n_ips == 0)
		out.error = "DNS server returned general failure";
	return out;
}

/* ---- reckoning ----------------------------------------------------------------------------------- */

static enum peer_name_news answered(struct peer_name *name, const char *ips, uint32_t ttl_s,
                                    uint64_t now_ns)
{
	struct resolve_answer said = answer(ips, ttl_s);

	peer_name_asked(name, 1, now_ns);
	assert_true(peer_name_due_ns(name) == PEER_NAME_NEVER);
	return peer_name_answered(name, &said, now_ns, 7 * S);
}

static void it_is_asked_again_when_its_time_to_live_is_over(void **state)
{
	static const struct {
		uint32_t ttl_s;
		uint32_t due_s;
	} cases[] = {
		{0, 30},      {1, 30},       {30, 30},           {300, 300},
		{3600, 3600}, {86400, 3600}, {UINT32_MAX, 3600},
	};
	struct peer_name name = {.is.name = {"a", 1}};

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++) {
		(void)answered(&name, "192.0.2.1", cases[i].ttl_s, 1000 * S);
		assert_true(peer_name_due_ns(&name) == (1000 + cases[i].due_s) * S);
	}
}

static void an_answer_in_another_order_is_no_news(void **state)
{
	struct peer_name name = {.is.name = {"a", 1}};

	(void)state;
	assert_int_equal(answered(&name, "192.0.2.1 2001:db8::1", 60, S), PEER_NAME_CHANGED);
	assert_int_equal(answered(&name, "2001:db8::1 192.0.2.1", 60, S), PEER_NAME_SAME);
	assert_true(base_ip_equal(&name.is.answer[0], &(struct base_ip){0}) == false);
	assert_true(name.is.answer[0].family == BASE_IP_V4); /* and stays in the first */
	assert_int_equal(answered(&name, "192.0.2.1", 60, S), PEER_NAME_CHANGED);
	assert_int_equal(answered(&name, "192.0.2.2", 60, S), PEER_NAME_CHANGED);
}

static void a_failure_keeps_the_answer_and_waits_longer_each_time(void **state)
{
	static const uint32_t waits_s[] = {30, 60, 120, 240, 480, 480, 480};
	struct peer_name name = {.is.name = {"a", 1}};

	(void)state;
	(void)answered(&name, "192.0.2.1", 60, S);
	for (size_t i = 0; i < BASE_ARRAY_LEN(waits_s); i++) {
		assert_int_equal(answered(&name, "", 0, 100 * S), PEER_NAME_FAILED);
		assert_true(peer_name_due_ns(&name) == (100 + waits_s[i]) * S);
		assert_int_equal(name.n_failed, i + 1);
		assert_string_equal(name.error, "DNS server returned general failure");
		assert_int_equal(name.is.n_answer, 1);
		assert_true(name.is.resolved_wall_ns == 7 * S);
	}
	assert_int_equal(answered(&name, "192.0.2.1", 60, S), PEER_NAME_SAME);
	assert_int_equal(name.n_failed, 0);
	assert_int_equal(name.n_failures, BASE_ARRAY_LEN(waits_s));
	assert_string_equal(name.error, "");
}

static void a_handshake_without_an_answer_asks_sooner_but_not_always(void **state)
{
	struct peer_name name = {.is.name = {"a", 1}};

	(void)state;
	(void)answered(&name, "192.0.2.1", 3600, 1000 * S);
	peer_name_doubt(&name, 1005 * S);
	assert_true(peer_name_due_ns(&name) == 1010 * S);
	peer_name_doubt(&name, 1008 * S);
	assert_true(peer_name_due_ns(&name) == 1010 * S);
	(void)answered(&name, "192.0.2.1", 3600, 1010 * S);
	peer_name_doubt(&name, 1100 * S);
	assert_true(peer_name_due_ns(&name) == 1100 * S);
	(void)answered(&name, "192.0.2.1", 30, 1200 * S);
	peer_name_doubt(&name, 1229 * S);
	peer_name_asked(&name, 2, 1229 * S);
	peer_name_doubt(&name, 1234 * S); /* while it is asked: nothing twice */
	assert_true(peer_name_due_ns(&name) == PEER_NAME_NEVER);
}

static void where_to_call_next_goes_round(void **state)
{
	static const struct {
		const char *answer, *target, *heard, *next; /* next NULL = nowhere else */
	} cases[] = {
		{"192.0.2.1", "192.0.2.1:5", "192.0.2.1:5", NULL},
		{"192.0.2.1 192.0.2.2", "192.0.2.1:5", "192.0.2.1:5", "192.0.2.2:5"},
		{"192.0.2.1 192.0.2.2", "192.0.2.2:5", "192.0.2.1:5", "192.0.2.1:5"},
		{"192.0.2.1 2001:db8::1", "192.0.2.1:5", "192.0.2.1:5", "[2001:db8::1]:5"},
		/* it was heard elsewhere: that place takes its turn */
		{"192.0.2.1", "198.51.100.9:7", "198.51.100.9:7", "192.0.2.1:5"},
		{"192.0.2.1", "192.0.2.1:5", "198.51.100.9:7", "198.51.100.9:7"},
		{"192.0.2.1 192.0.2.2", "192.0.2.2:5", "198.51.100.9:7", "198.51.100.9:7"},
		{"192.0.2.1 192.0.2.2", "198.51.100.9:7", "198.51.100.9:7", "192.0.2.1:5"},
		/* the same address by another port is elsewhere, too */
		{"192.0.2.1", "192.0.2.1:6", "192.0.2.1:6", "192.0.2.1:5"},
		{"", "198.51.100.9:7", "198.51.100.9:7", NULL},
	};

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++) {
		struct resolve_answer said = answer(cases[i].answer, 0);
		struct store_name name = {.name = {"a", 5}, .n_answer = said.n_ips};
		struct base_endpoint target = endpoint(cases[i].target);
		struct base_endpoint heard = endpoint(cases[i].heard);
		struct base_endpoint next = {0};
		char text[BASE_ENDPOINT_STRLEN];

		memcpy(name.answer, said.ips, sizeof(name.answer));
		assert_int_equal(peer_name_next(&name, &target, &heard, &next),
		                 cases[i].next != NULL);
		if (cases[i].next)
			assert_string_equal(base_endpoint_format(&next, text), cases[i].next);
	}
}

/* ---- the table ----------------------------------------------------------------------------------- */

static struct config_peer declared[1];

static int set_up(void **state)
{
	if (peer_lab_set_up(state) < 0)
		return -1;
	config.n_tunnel = 1;
	memset(declared, 0, sizeof(declared));
	config.peers = declared;
	peer_lab_start();
	return 0;
}

static int tear_down(void **state)
{
	peer_lab_stop();
	return peer_lab_tear_down(state);
}

static void add(const char *name, int key_n, const char *host, uint16_t port)
{
	uint8_t key[32];
	const struct peer *peer;
	struct peer_error why = {0};
	struct peer_request request = {.name = name, .public_key = key};

	memset(key, key_n, 32);
	snprintf(request.endpoint.name.host, sizeof(request.endpoint.name.host), "%s", host);
	request.endpoint.name.port = port;
	if (peer_add(table, &request, &peer, &why) < 0)
		fail_msg("%s", why.text);
}

static void set(const char *name, const char *host, const char *address)
{
	struct peer_endpoint to = {0};
	const struct peer_change change = {.endpoint = &to};
	struct peer_error why = {0};

	if (address)
		to.address = endpoint(address);
	if (host && base_host_port_parse(host, &to.name) < 0)
		fail_msg("%s", host);
	if (peer_change(table, name, &change, &why) < 0)
		fail_msg("%s", why.text);
}

/* The last question is answered so. */
static void say(const char *ips)
{
	struct resolve_answer said = answer(ips, 60);

	assert_true(fake.n_asked > 0);
	fake.answered(fake.answered_arg, fake.tag[(fake.n_asked - 1) % FAKE_PEERS], &said);
}

static void is_at(const char *name, const char *at, const char *call)
{
	const struct session_peer_info *info = &fake.info[peer_find(table, name)->row.id];
	char text[BASE_ENDPOINT_STRLEN];

	assert_string_equal(info->endpoint.port ? base_endpoint_format(&info->endpoint, text) : "",
	                    at);
	assert_string_equal(info->call.port ? base_endpoint_format(&info->call, text) : "", call);
}

/* The peer is heard there, on an authenticated message. */
static void heard(const char *name, const char *at)
{
	uint32_t id = peer_find(table, name)->row.id;

	fake.info[id].endpoint = endpoint(at);
	memset(&fake.info[id].call, 0, sizeof(fake.info[id].call));
	fake.changed(fake.changed_arg, id);
}

static void unanswered(const char *name)
{
	fake.unanswered(fake.unanswered_arg, peer_find(table, name)->row.id);
}

static const struct peer_name *name_of(const char *name)
{
	return peer_find(table, name)->name;
}

static void a_peer_that_has_no_endpoint_gets_that_of_its_name(void **state)
{
	(void)state;
	add("a", 0x21, "vpn.example.org", 51820);
	assert_int_equal(fake.n_asked, 1);
	assert_string_equal(fake.host[0], "vpn.example.org");
	is_at("a", "", "");
	say("192.0.2.1 2001:db8::1");
	is_at("a", "192.0.2.1:51820", "");
	assert_int_equal(fake.counted[ABI_COUNTER_NAME_ANSWERED], 1);
	assert_int_equal(fake.counted[ABI_COUNTER_NAME_FAILED], 0);
}

static void another_address_is_called_next_and_nothing_else_changes(void **state)
{
	(void)state;
	add("a", 0x21, "vpn.example.org", 51820);
	say("192.0.2.1");
	heard("a", "192.0.2.1:51820");
	set("a", "vpn.example.org:51820", NULL); /* asks at once */
	assert_int_equal(fake.n_asked, 2);
	say("192.0.2.2");
	is_at("a", "192.0.2.1:51820", "192.0.2.2:51820");
	heard("a", "192.0.2.2:51820");
	is_at("a", "192.0.2.2:51820", "");
}

static void what_roaming_taught_stays_while_the_name_says_the_same(void **state)
{
	(void)state;
	add("a", 0x21, "vpn.example.org", 51820);
	say("192.0.2.1");
	heard("a", "198.51.100.9:7");
	unanswered("a"); /* asks again; and the name's address has its turn */
	is_at("a", "198.51.100.9:7", "192.0.2.1:51820");
	heard("a", "198.51.100.9:7");
	peer_lab_restart();
	fake.info[0].endpoint = endpoint("198.51.100.9:7");
	assert_int_equal(fake.n_asked, 1);
	say("192.0.2.1");
	is_at("a", "198.51.100.9:7", "");
	say("");
	is_at("a", "198.51.100.9:7", "");
}

static void a_name_outlives_a_restart_also_without_an_answer(void **state)
{
	(void)state;
	add("a", 0x21, "vpn.example.org", 51820);
	say("192.0.2.1 192.0.2.2");
	peer_lab_restart();
	assert_string_equal(name_of("a")->is.name.host, "vpn.example.org");
	assert_int_equal(name_of("a")->is.n_answer, 2);
	assert_true(name_of("a")->is.resolved_wall_ns != 0);
	/* It was never heard: the last answer is where the hub begins. */
	assert_true(base_endpoint_equal(&fake.endpoint[0], &(struct base_endpoint){0}) == false);
	is_at("a", "192.0.2.1:51820", "");
	assert_int_equal(fake.n_asked, 1);
	say("");
	is_at("a", "192.0.2.1:51820", "");
	assert_int_equal(name_of("a")->n_failed, 1);
	assert_int_equal(fake.counted[ABI_COUNTER_NAME_FAILED], 1);
}

static void without_an_answer_each_address_has_its_turn(void **state)
{
	(void)state;
	add("a", 0x21, "vpn.example.org", 51820);
	say("2001:db8::1 192.0.2.1");
	is_at("a", "[2001:db8::1]:51820", "");
	unanswered("a");
	is_at("a", "[2001:db8::1]:51820", "192.0.2.1:51820");
	unanswered("a");
	is_at("a", "[2001:db8::1]:51820", "");
}

static void the_hubs_own_address_is_no_answer(void **state)
{
	(void)state;
	fake.own = ip("203.0.113.2");
	add("a", 0x21, "vpn.example.org", 51820);
	say("203.0.113.2");
	is_at("a", "", "");
	assert_string_equal(name_of("a")->error, "it is an address of the hub itself");
	set("a", "vpn.example.org:51820", NULL);
	say("203.0.113.2 192.0.2.1");
	is_at("a", "192.0.2.1:51820", "");
	assert_int_equal(name_of("a")->is.n_answer, 1);
}

static void an_address_takes_the_place_of_a_name(void **state)
{
	struct peer_set all = {0};
	struct peer_set_one *one;
	const struct peer_set_hooks hooks = {0};
	struct peer_error why = {0};

	(void)state;
	add("a", 0x21, "vpn.example.org", 51820);
	set("a", NULL, "192.0.2.7:1");
	assert_null(name_of("a"));
	is_at("a", "192.0.2.7:1", "");
	say("192.0.2.1"); /* too late */
	is_at("a", "192.0.2.7:1", "");
	peer_lab_restart();
	assert_null(name_of("a"));
	assert_int_equal(fake.n_asked, 0);

	/* wg set: an endpoint that it is at already is no change, and another one is. */
	set("a", "vpn.example.org:51820", NULL);
	heard("a", "192.0.2.7:1");
	one = peer_set_add(&all, peer_find(table, "a")->row.public_key);
	one->has_endpoint = true;
	one->endpoint = endpoint("192.0.2.7:1");
	assert_int_equal(peer_set_apply(table, &all, &hooks, &why), 0);
	assert_non_null(name_of("a"));
	one->endpoint = endpoint("192.0.2.8:1");
	assert_int_equal(peer_set_apply(table, &all, &hooks, &why), 0);
	assert_null(name_of("a"));
	peer_set_fini(&all);
	peer_lab_restart();
	assert_null(name_of("a"));
	/* none: it is not looked up, and stays where it was. */
	set("a", "vpn.example.org:51820", NULL);
	heard("a", "192.0.2.8:1");
	set("a", NULL, NULL);
	is_at("a", "192.0.2.8:1", "");
	peer_lab_restart();
	assert_null(name_of("a"));
}

static void answers_for_somebody_else_are_left_alone(void **state)
{
	struct resolve_answer said = answer("192.0.2.1", 60);
	struct peer_error why = {0};
	uint64_t tag;

	(void)state;
	add("a", 0x21, "a.example.org", 1);
	tag = fake.tag[0];
	assert_int_equal(peer_remove(table, "a", NULL, &why), 0);
	add("b", 0x22, "b.example.org", 1);
	fake.answered(fake.answered_arg, tag, &said);
	assert_int_equal(name_of("b")->is.n_answer, 0);
	fake.answered(fake.answered_arg, 0xffffffffffffffff, &said);
	say("192.0.2.2");
	is_at("b", "192.0.2.2:1", "");
}

static void a_disabled_peer_is_not_looked_up(void **state)
{
	struct peer_error why = {0};

	(void)state;
	add("a", 0x21, "a.example.org", 1);
	assert_int_equal(peer_enable(table, "a", false, &why), 0);
	say("192.0.2.1");
	peer_lab_restart();
	assert_int_equal(fake.n_asked, 0);
	assert_int_equal(peer_enable(table, "a", true, &why), 0);
	assert_int_equal(fake.n_asked, 1);
	is_at("a", "192.0.2.1:1", "");
}

static void the_file_says_the_name_of_a_declared_peer(void **state)
{
	struct peer_error why = {0};
	const struct peer_endpoint none = {0};
	const struct peer_change nowhere = {.endpoint = &none};

	(void)state;
	peer_lab_stop();
	config.n_peers = 1;
	strcpy(declared[0].name, "branch");
	memset(declared[0].public_key, 0x23, 32);
	declared[0].line = 4;
	declared[0].endpoint_name = (struct base_host_port){"branch.example.org", 9};
	peer_lab_start();
	assert_string_equal(fake.host[0], "branch.example.org");
	say("192.0.2.1");
	peer_lab_restart();
	assert_int_equal(name_of("branch")->is.n_answer, 1);
	is_at("branch", "192.0.2.1:9", "");
	assert_int_equal(peer_change(table, "branch", &nowhere, &why), -EPERM);
	assert_string_equal(why.text,
	                    "name: peer \"branch\" is declared in weir.conf:4; change its "
	                    "endpoint there and restart weir");
	peer_lab_stop();
	declared[0].endpoint_name.port = 10; /* another: what it said before is not its */
	peer_lab_start();
	assert_int_equal(name_of("branch")->is.n_answer, 0);
	peer_lab_stop();
	declared[0].endpoint_name.port = 0;
	peer_lab_start();
	assert_null(name_of("branch"));
	peer_lab_restart();
	assert_null(name_of("branch"));
}

static void many_names_are_not_asked_all_at_once(void **state)
{
	char name[16];

	(void)state;
	peer_lab_stop();
	config.max_peers = 60;
	peer_lab_start();
	for (int i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		add(name, 0x21 + i, "many.example.org", 1);
	}
	assert_int_equal(fake.n_asked, 32);
	for (uint32_t i = 0; i < 50; i++) {
		struct resolve_answer said = answer("192.0.2.1", 60);

		fake.answered(fake.answered_arg, fake.tag[i], &said);
	}
	assert_int_equal(fake.n_asked, 50);
	is_at("p49", "192.0.2.1:1", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_asked_again_when_its_time_to_live_is_over),
		cmocka_unit_test(an_answer_in_another_order_is_no_news),
		cmocka_unit_test(a_failure_keeps_the_answer_and_waits_longer_each_time),
		cmocka_unit_test(a_handshake_without_an_answer_asks_sooner_but_not_always),
		cmocka_unit_test(where_to_call_next_goes_round),
		CASE(a_peer_that_has_no_endpoint_gets_that_of_its_name),
		CASE(another_address_is_called_next_and_nothing_else_changes),
		CASE(what_roaming_taught_stays_while_the_name_says_the_same),
		CASE(a_name_outlives_a_restart_also_without_an_answer),
		CASE(without_an_answer_each_address_has_its_turn),
		CASE(the_hubs_own_address_is_no_answer),
		CASE(an_address_takes_the_place_of_a_name),
		CASE(answers_for_somebody_else_are_left_alone),
		CASE(a_disabled_peer_is_not_looked_up),
		CASE(the_file_says_the_name_of_a_declared_peer),
		CASE(many_names_are_not_asked_all_at_once),
	};

	base_log_init("test", BASE_LOG_ERR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* control/peer/peer_set: many changes as one. Random sets against a plain list of what wg(8) would have; all that
 * is refused leaves everything as it was; what is done is so in table, session, program and store. */
#include "base_bytes.h"
#include "base_time.h"
#include "peer_lab.h"
#include "peer_set.h"
#include "store_sql.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct config_peer declared;
static const struct peer_set_hooks no_hooks;

static const uint8_t *key_of(uint32_t n)
{
	static uint8_t keys[16][32];

	memset(keys[n], 0x20 + (int)n, 32);
	return keys[n];
}

static const struct peer *peer_of(uint32_t n)
{
	char name[CONFIG_NAME_LEN];

	peer_set_name(key_of(n), name);
	return peer_find(table, name);
}

/* ---- the plain list ------------------------------------------------------------------------------ */

#define N_KEYS 6U
static const char *const universe[] = {"10.77.0.2/32", "10.77.0.3/32",    "fd77::2/128",
                                       "10.1.0.0/16",  "10.1.1.0/24",     "10.1.1.128/25",
                                       "10.2.0.0/16",  "2001:db8:1::/48", "2001:db8:1:1::/64"};
#define N_IPS  BASE_ARRAY_LEN(universe)
#define NOBODY UINT32_MAX

struct plain {
	bool is_there[N_KEYS];
	uint16_t keepalive_s[N_KEYS];
	uint32_t holder[N_IPS];
};

static void plain_clear(struct plain *plain, uint32_t n)
{
	for (uint32_t i = 0; i < N_IPS; i++)
		if (plain->holder[i] == n)
			plain->holder[i] = NOBODY;
}

/* No two peers have networks of which one holds the other, and there is a number for each. */
static bool plain_is_good(const struct plain *plain)
{
	uint32_t n_there = 0;

	for (uint32_t n = 0; n < N_KEYS; n++)
		n_there += plain->is_there[n];
	if (n_there > config.max_peers)
		return false;
	for (uint32_t i = 0; i < N_IPS; i++)
		for (uint32_t k = 0; k < i; k++) {
			struct base_prefix a = prefix(universe[i]);
			struct base_prefix b = prefix(universe[k]);

			if (plain->holder[i] != NOBODY && plain->holder[k] != NOBODY
			    && plain->holder[i] != plain->holder[k] && base_prefix_overlap(&a, &b))
				return false;
		}
	return true;
}

/* A random set, and what it makes of the list. */
static void random_set(struct test_random *random, struct peer_set *set, struct plain *plain)
{
	set->replaces_peers = test_random_below(random, 10) == 0;
	if (set->replaces_peers) {
		memset(plain->is_there, 0, sizeof(plain->is_there));
		for (uint32_t i = 0; i < N_IPS; i++)
			plain->holder[i] = NOBODY;
	}
	for (uint64_t left = 1 + test_random_below(random, 4); left > 0; left--) {
		uint32_t n = (uint32_t)test_random_below(random, N_KEYS);
		struct peer_set_one *one = peer_set_add(set, key_of(n));
		bool was_there = plain->is_there[n];
		bool counts;

		assert_non_null(one);
		one->is_removed = test_random_below(random, 5) == 0;
		one->update_only = test_random_below(random, 5) == 0;
		one->replaces_ips = test_random_below(random, 2) == 0;
		one->has_keepalive = test_random_below(random, 2) == 0;
		one->keepalive_s = (uint16_t)test_random_below(random, 3);
		counts = !one->is_removed && (was_there || !one->update_only);
		if (one->is_removed)
			plain->is_there[n] = false;
		if (one->is_removed || (counts && one->replaces_ips))
			plain_clear(plain, n);
		if (counts && !was_there)
			plain->keepalive_s[n] = 0;
		if (counts && one->has_keepalive)
			plain->keepalive_s[n] = one->keepalive_s;
		if (counts)
			plain->is_there[n] = true;
		for (uint64_t ips = test_random_below(random, 4); ips > 0; ips--) {
			uint32_t i = (uint32_t)test_random_below(random, N_IPS);
			struct base_prefix ip = prefix(universe[i]);
			bool drop = test_random_below(random, 4) == 0;

			assert_int_equal(peer_set_add_ip(set, &ip, drop), 0);
			if (counts && (!drop || plain->holder[i] == n))
				plain->holder[i] = drop ? NOBODY : n;
		}
	}
}

static bool has(const struct store_peer *row, const struct base_prefix *ip)
{
	for (uint32_t i = 0; i < row->n_addresses; i++)
		if (ip->len == base_ip_len(ip->ip.family) * 8
		    && base_ip_equal(&row->addresses[i], &ip->ip))
			return true;
	for (uint32_t i = 0; i < row->n_allowed_ips; i++)
		if (base_prefix_equal(&row->allowed_ips[i], ip))
			return true;
	return false;
}

static void assert_is(const struct plain *plain, bool told)
{
	uint32_t n_there = 0;

	for (uint32_t n = 0; n < N_KEYS; n++) {
		const struct peer *peer = peer_of(n);
		uint32_t n_ips = 0;

		assert_int_equal(peer != NULL, plain->is_there[n]);
		n_there += peer != NULL;
		if (!peer)
			continue;
		for (uint32_t i = 0; i < N_IPS; i++) {
			struct base_prefix ip = prefix(universe[i]);

			assert_int_equal(has(&peer->row, &ip), plain->holder[i] == n);
			n_ips += plain->holder[i] == n;
			if (told && plain->holder[i] == n)
				assert_int_equal(fake_route(universe[i]), peer->row.id);
		}
		assert_int_equal(peer->row.n_addresses + peer->row.n_allowed_ips, n_ips);
		assert_int_equal(peer->row.keepalive_s, plain->keepalive_s[n]);
		assert_true(fake.known[peer->row.id] && fake.peer[peer->row.id]);
		assert_memory_equal(fake.key[peer->row.id], key_of(n), 32);
		assert_int_equal(fake.keepalive_s[peer->row.id], plain->keepalive_s[n]);
	}
	assert_int_equal(peer_count(table), n_there);
	for (uint32_t i = 0; told && i < N_IPS; i++)
		if (plain->holder[i] == NOBODY)
			assert_int_equal(fake_route(universe[i]), UINT32_MAX);
}

static void random_sets(uint32_t max_peers)
{
	struct test_random random = test_random_start();
	struct plain plain = {.keepalive_s = {0}};
	uint32_t n_refused = 0;

	for (uint32_t i = 0; i < N_IPS; i++)
		plain.holder[i] = NOBODY;
	config.max_peers = max_peers;
	peer_lab_start();
	for (uint32_t turn = 0; turn < 400; turn++) {
		struct plain next = plain;
		struct peer_set set = {.replaces_peers = false};
		struct peer_error why = {.code = ""};
		int err;

		random_set(&random, &set, &next);
		err = peer_set_apply(table, &set, &no_hooks, &why);
		peer_set_fini(&set);
		if (err == 0)
			plain = next;
		assert_int_equal(err == 0, plain_is_good(&next));
		n_refused += err != 0;
		assert_is(&plain, true);
		if (turn % 50 == 49) {
			peer_lab_stop();
			peer_lab_start();
			assert_is(&plain, true);
		}
	}
	assert_true(n_refused > 10 && n_refused < 390);
	peer_lab_stop();
}

static void random_sets_are_as_a_plain_list_has_them(void **state)
{
	(void)state;
	random_sets(config.max_peers);
}

/* Most of the time the table is full, and who comes has the number of one who goes. */
static void random_sets_of_few_numbers_too(void **state)
{
	(void)state;
	random_sets(N_KEYS / 2);
}

/* ---- cases --------------------------------------------------------------------------------------- */

static int apply(struct peer_set *set, struct peer_error *why)
{
	int err;

	*why = (struct peer_error){.code = ""};
	err = peer_set_apply(table, set, &no_hooks, why);
	peer_set_fini(set);
	return err;
}

/* One change of one peer, of which nothing but the key is filled in. */
static struct peer_set_one *begin(struct peer_set *set, uint32_t n)
{
	*set = (struct peer_set){.replaces_peers = false};
	return peer_set_add(set, key_of(n));
}

static void good(struct peer_set *set)
{
	struct peer_error why;

	if (apply(set, &why) < 0)
		fail_msg("%s", why.text);
}

static void what_is_said_again_is_told_to_nobody(void **state)
{
	struct peer_set set;
	struct base_prefix ip = prefix("10.77.0.9/32");

	(void)state;
	peer_lab_start();
	for (int turn = 0; turn < 2; turn++) {
		struct peer_set_one *one = begin(&set, 1);

		one->has_preshared_key = true;
		memset(one->preshared_key, 7, 32);
		one->has_endpoint = true;
		assert_int_equal(base_endpoint_parse("192.0.2.1:5", &one->endpoint), 0);
		one->replaces_ips = true;
		assert_int_equal(peer_set_add_ip(&set, &ip, false), 0);
		/* a second time it must not come to session or program */
		fake.put_err = fake.route_err = turn == 0 ? 0 : -EIO;
		good(&set);
		assert_true(fake.has_preshared_key[peer_of(1)->row.id]);
		assert_int_equal(fake.endpoint[peer_of(1)->row.id].port, 5);
	}
	peer_lab_stop();
	peer_lab_start(); /* and it was stored */
	assert_true(fake.has_preshared_key[peer_of(1)->row.id]);
	assert_int_equal(fake.endpoint[peer_of(1)->row.id].port, 5);
	assert_int_equal(peer_of(1)->row.n_addresses, 1); /* none is given beside it */
	begin(&set, 1)->has_preshared_key = true;         /* all zero */
	good(&set);
	assert_false(fake.has_preshared_key[peer_of(1)->row.id]);
	peer_lab_stop();
}

static void what_others_say_of_a_peer_stays(void **state)
{
	struct base_prefix ip = prefix("10.77.0.99/32");
	struct peer_set set;
	struct peer_error why;

	(void)state;
	snprintf(declared.name, sizeof(declared.name), "fixed");
	memcpy(declared.public_key, key_of(8), 32);
	declared.line = 12;
	declared.allowed_ips = &ip;
	declared.n_allowed_ips = 1;
	config.peers = &declared;
	config.n_peers = 1;
	peer_lab_start();
	begin(&set, 8)->is_removed = true;
	assert_int_equal(apply(&set, &why), -EPERM);
	assert_string_equal(why.code, "declared");
	begin(&set, 1);
	assert_int_equal(peer_set_add_ip(&set, &ip, false), 0);
	assert_int_equal(apply(&set, &why), -EPERM); /* not even an address of it */
	assert_null(peer_of(1));
	begin(&set, 8)->has_keepalive = true;
	good(&set); /* it has none anyway */
	begin(&set, 1);
	good(&set);
	assert_int_equal(peer_enable(table, peer_of(1)->row.name, false, &why), 0);
	begin(&set, 1);
	assert_int_equal(apply(&set, &why), -EPERM);
	assert_string_equal(why.code, "disabled");
	begin(&set, 1)->is_removed = true;
	good(&set); /* is not there */
	assert_non_null(peer_of(1));
	peer_lab_stop();
}

static void a_full_table_takes_none_of_them(void **state)
{
	struct peer_set set;
	struct peer_error why;

	(void)state;
	config.max_peers = 3;
	peer_lab_start();
	begin(&set, 0);
	for (uint32_t n = 1; n < 4; n++)
		assert_non_null(peer_set_add(&set, key_of(n)));
	assert_int_equal(apply(&set, &why), -ENOSPC);
	assert_int_equal(peer_count(table), 0);
	begin(&set, 0);
	for (uint32_t n = 1; n < 3; n++)
		assert_non_null(peer_set_add(&set, key_of(n)));
	good(&set);
	assert_int_equal(peer_count(table), 3);
	peer_lab_stop();
}

/* wg setconf: what it says is all there is, in the end. */
static void a_full_table_is_replaced(void **state)
{
	struct base_prefix ips[] = {prefix("10.77.0.9/32"), prefix("10.1.0.0/16"),
	                            prefix("10.2.0.0/16")};
	struct peer_set set;
	struct peer_error why;

	(void)state;
	config.max_peers = 3;
	peer_lab_start();
	for (uint32_t n = 0; n < 3; n++) {
		begin(&set, n);
		assert_int_equal(peer_set_add_ip(&set, &ips[n], false), 0);
		good(&set);
	}
	for (int dry = 1; dry >= 0; dry--) {
		set = (struct peer_set){.replaces_peers = true, .is_dry_run = dry == 1};
		/* one stays, two come with what the others had */
		for (uint32_t n = 2; n < 5; n++) {
			assert_non_null(peer_set_add(&set, key_of(n)));
			assert_int_equal(peer_set_add_ip(&set, &ips[(n + 2) % 3], false), 0);
		}
		good(&set);
	}
	for (int turn = 0; turn < 2; turn++) {
		assert_int_equal(peer_count(table), 3);
		assert_null(peer_of(0));
		assert_null(peer_of(1));
		for (uint32_t n = 2; n < 5; n++) {
			assert_true(has(&peer_of(n)->row, &ips[(n + 2) % 3]));
			assert_memory_equal(fake.key[peer_of(n)->row.id], key_of(n), 32);
		}
		assert_int_equal(fake_route("10.77.0.9/32"), peer_of(4)->row.id);
		assert_int_equal(fake_route("10.1.0.0/16"), peer_of(2)->row.id);
		assert_int_equal(fake_route("10.2.0.0/16"), peer_of(3)->row.id);
		peer_lab_restart();
	}
	begin(&set, 5); /* two for the number of one: all is as before */
	assert_non_null(peer_set_add(&set, key_of(2)));
	set.ones[1].is_removed = true;
	assert_int_equal(peer_set_add_ip(&set, &ips[1], false), 0);
	assert_non_null(peer_set_add(&set, key_of(6)));
	assert_int_equal(apply(&set, &why), -ENOSPC);
	assert_non_null(peer_of(2));
	assert_int_equal(fake_route("10.1.0.0/16"), peer_of(2)->row.id);
	peer_lab_stop();
}

static void add_named(const char *name, uint32_t n)
{
	const struct peer_request request = {.name = name, .public_key = key_of(n)};
	const struct peer *peer;
	struct peer_error why;

	if (peer_add(table, &request, &peer, &why) < 0)
		fail_msg("%s", why.text);
}

/* The one that was given last is the net's last: what becomes free lies below it. */
static void an_address_that_goes_is_given_in_the_same_set(void **state)
{
	static const char *const names[] = {"p1", "p2", "p3", "p4", "p5"};
	const struct peer_set_whole comes = {.name = "p6", .gives_addresses = true};
	const struct base_prefix first = prefix("10.77.0.2/32");
	const struct base_prefix last = prefix("10.77.0.6/32");
	struct peer_error why;

	(void)state;
	config.n_tunnel = 1;
	config.tunnel[0] = prefix("10.77.0.1/29");
	peer_lab_start();
	for (uint32_t n = 0; n < BASE_ARRAY_LEN(names); n++)
		add_named(names[n], n);
	for (int dry = 1; dry >= 0; dry--) {
		struct peer_set set = {.is_dry_run = dry == 1};
		struct peer_set_one *one;

		/* the end of a set forgets which one was given last */
		assert_int_equal(peer_remove(table, "p5", NULL, &why), 0);
		add_named("p5", 4);
		assert_true(has(&peer_find(table, "p5")->row, &last));
		one = peer_set_add(&set, key_of(0));
		assert_non_null(one);
		one->is_removed = true;
		one = peer_set_add(&set, key_of(5));
		assert_non_null(one);
		one->whole = &comes;
		good(&set);
		assert_int_equal(peer_find(table, "p1") != NULL, dry);
		assert_int_equal(peer_find(table, "p6") != NULL, !dry);
	}
	assert_true(has(&peer_find(table, "p6")->row, &first));
	peer_lab_stop();
}

/* Key n is a number as large as n, whose first bytes are zero. */
static struct peer_set_one *begin_counted(struct peer_set *set, uint32_t n)
{
	uint8_t key[32] = {0};

	key[8] = (uint8_t)(n + 1);
	key[31] = 0x40;
	return peer_set_add(set, key);
}

static void many_come_and_go_at_once(void **state)
{
	struct peer_set set = {.replaces_peers = false};
	struct base_prefix ip = prefix("10.1.0.0/16");

	(void)state;
	peer_lab_start();
	begin(&set, 1);
	assert_int_equal(peer_set_add_ip(&set, &ip, false), 0);
	for (uint32_t n = 0; n < 12; n++)
		assert_non_null(begin_counted(&set, 11 - n));
	good(&set);
	assert_int_equal(peer_count(table), 13);
	set = (struct peer_set){.replaces_peers = false};
	for (uint32_t n = 0; n < 10; n++)
		begin_counted(&set, n)->is_removed = true;
	begin_counted(&set, 20); /* and another comes in the same request */
	good(&set);
	for (int turn = 0; turn < 2; turn++) {
		const struct peer *peer = NULL;
		char last[CONFIG_NAME_LEN] = "";
		uint32_t n = 0;

		while ((peer = peer_after(table, last)) != NULL) {
			assert_true(strcmp(last, peer->row.name) < 0);
			assert_ptr_equal(peer_find(table, peer->row.name), peer);
			memcpy(last, peer->row.name, sizeof(last));
			n++;
		}
		assert_int_equal(n, 4);
		assert_int_equal(peer_count(table), 4);
		assert_int_equal(fake_route("10.1.0.0/16"), peer_of(1)->row.id);
		peer_lab_stop();
		peer_lab_start(); /* the same from the store */
	}
	peer_lab_stop();
}

/* Those of triggers begin with "--". */
static int count_statement(unsigned int type, void *arg, void *statement, void *text)
{
	(void)type;
	(void)statement;
	if (strncmp(text, "--", 2) != 0)
		(*(uint32_t *)arg)++;
	return 0;
}

/* How many statements SQLite is asked for when so many peers come, with keys from number first on. */
static uint32_t statements_of(uint32_t n_peers, uint32_t first)
{
	struct peer_set set = {.replaces_peers = false};
	uint32_t n = 0;

	for (uint32_t i = 0; i < n_peers; i++) {
		struct peer_set_one *one = begin_counted(&set, first + i);
		char text[32];
		struct base_prefix ip;

		assert_non_null(one);
		one->has_preshared_key = true;
		one->preshared_key[0] = 1;
		snprintf(text, sizeof(text), "10.77.0.%u/32", 10 + first + i);
		ip = prefix(text);
		assert_int_equal(peer_set_add_ip(&set, &ip, false), 0);
	}
	assert_int_equal(sqlite3_trace_v2(store->db, SQLITE_TRACE_STMT, count_statement, &n),
	                 SQLITE_OK);
	good(&set);
	assert_int_equal(sqlite3_trace_v2(store->db, 0, NULL, NULL), SQLITE_OK);
	return n;
}

/* Is there a row, the row, its record in the trail; one transaction round all. */
static void the_store_is_asked_three_times_for_each_peer_that_comes(void **state)
{
	uint32_t few, many;

	(void)state;
	config.n_tunnel = 1;
	config.max_peers = 64;
	peer_lab_start();
	(void)statements_of(1, 0);
	few = statements_of(10, 1);
	many = statements_of(30, 11);
	assert_int_equal(many - few, 3 * 20);
	assert_true(few < 3 * 10 + 10);
	assert_int_equal(peer_count(table), 41);
	peer_lab_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PEER_CASE(random_sets_are_as_a_plain_list_has_them),
		PEER_CASE(random_sets_of_few_numbers_too),
		PEER_CASE(what_is_said_again_is_told_to_nobody),
		PEER_CASE(what_others_say_of_a_peer_stays),
		PEER_CASE(a_full_table_takes_none_of_them),
		PEER_CASE(a_full_table_is_replaced),
		PEER_CASE(an_address_that_goes_is_given_in_the_same_set),
		PEER_CASE(many_come_and_go_at_once),
		PEER_CASE(the_store_is_asked_three_times_for_each_peer_that_comes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

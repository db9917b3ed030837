/* control/store: what is written comes back, also after kill -9; files of others, damaged files
 * and a second process are refused with a sentence. */
#include "base_bytes.h"
#include "store.h"
#include "store_alarm.h"
#include "store_dir.h"
#include "store_name.h"
#include "store_peer.h"
#include "store_policy.h"
#include "store_rotation.h"
#include "store_service.h"
#include "test.h"

#include <sqlite3.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char error[512];

/* SQLite's: what it writes is on the disk from here on. */
static unsigned int n_syncs;
static int sync_errno;
int fdatasync(int fd)
{
	n_syncs++;
	errno = sync_errno;
	return sync_errno != 0 ? -1 : fsync(fd);
}

static struct store *open_good(void)
{
	struct store *store = NULL;

	if (store_open(path, (uid_t)-1, (gid_t)-1, &store, error, sizeof(error)) < 0)
		fail_msg("%s", error);
	return store;
}

static struct store_peer make_peer(uint32_t id)
{
	static struct base_prefix networks[8]; /* of the last eight made */
	struct store_peer peer = {
		.id = id,
		.has_preshared_key = true,
		.n_addresses = 2,
		.allowed_ips = &networks[id % 8],
		.n_allowed_ips = 1,
		.keepalive_s = 25,
		.created_wall_ns = 1700000000123456789,
		.key_set_wall_ns = 1700000000000000007,
		.wg_set_wall_ns = 1700000000000000009,
		.expected_wall_ns = 1700000000000000011,
	};
	char text[64];

	snprintf(peer.name, sizeof(peer.name), "peer-%u", id);
	memset(peer.public_key, (int)id + 1, 31);
	memset(peer.preshared_key, 0xa0 + (int)id, 32);
	snprintf(text, sizeof(text), "10.77.0.%u", id + 2);
	assert_int_equal(base_ip_parse(text, &peer.addresses[0]), 0);
	snprintf(text, sizeof(text), "fd77::%u", id + 2);
	assert_int_equal(base_ip_parse(text, &peer.addresses[1]), 0);
	snprintf(text, sizeof(text), "10.%u.0.0/16", id + 100);
	assert_int_equal(base_prefix_parse(text, &peer.allowed_ips[0]), 0);
	return peer;
}

struct found {
	struct store_peer peers[8]; /* without their networks: */
	struct base_prefix networks[8];
	uint32_t n;
};

static int collect(void *arg, const struct store_peer *peer)
{
	struct found *found = arg;

	assert_true(found->n < 8);
	found->peers[found->n] = *peer;
	assert_true(peer->n_allowed_ips <= 1);
	if (peer->n_allowed_ips == 1)
		found->networks[found->n] = peer->allowed_ips[0];
	found->peers[found->n++].allowed_ips = NULL;
	return 0;
}

static void assert_found(const struct found *found, uint32_t i, struct store_peer expected)
{
	if (expected.n_allowed_ips == 1)
		assert_memory_equal(&found->networks[i], expected.allowed_ips,
		                    sizeof(found->networks[i]));
	expected.allowed_ips = NULL;
	assert_memory_equal(&found->peers[i], &expected, sizeof(expected));
}

static struct found read_peers(struct store *store)
{
	struct found found = {0};

	assert_int_equal(store_peer_each(store, collect, &found), 0);
	return found;
}

static void peers_come_back_as_they_were_written(void **state)
{
	struct store *store = open_good();
	struct store_peer a = make_peer(0);
	struct store_peer b = make_peer(7);
	struct found found;

	(void)state;
	b.has_preshared_key = false;
	memset(b.preshared_key, 0, 32);
	b.declared = true;
	b.n_allowed_ips = 0;
	assert_int_equal(store_peer_put(store, &b), 0);
	assert_int_equal(store_peer_put(store, &a), 0);
	store_close(store);

	store = open_good();
	found = read_peers(store);
	assert_int_equal(found.n, 2);
	assert_found(&found, 0, a);
	assert_found(&found, 1, b);
	assert_int_equal(store_peer_drop(store, 0), 0);
	assert_int_equal(store_peer_drop(store, 0), -ENOENT);
	found = read_peers(store);
	assert_int_equal(found.n, 1);
	store_close(store);
}

static void replacing_a_peer_keeps_its_state(void **state)
{
	struct store *store = open_good();
	struct store_peer peer = make_peer(3);
	struct store_peer_state seen = {.last_handshake_wall_ns = 1700000001000000000,
	                                .last_timestamp = "TAI64N12byte"};
	struct found found;

	(void)state;
	assert_int_equal(base_endpoint_parse("[2001:db8::9]:4000", &seen.endpoint), 0);
	assert_int_equal(store_peer_state_put(store, 3, &seen), -ENOENT);
	assert_int_equal(store_peer_put(store, &peer), 0);
	assert_int_equal(store_peer_state_put(store, 3, &seen), 0);
	peer.keepalive_s = 0;
	assert_int_equal(store_peer_put(store, &peer), 0);
	found = read_peers(store);
	assert_int_equal(found.n, 1);
	assert_int_equal(found.peers[0].keepalive_s, 0);
	assert_memory_equal(&found.peers[0].state, &seen, sizeof(seen));
	store_close(store);
}

static int keep_networks(void *arg, const struct store_peer *peer)
{
	return store_peer_networks_set(arg, peer->allowed_ips, peer->n_allowed_ips);
}

static void a_gateway_has_many_networks(void **state)
{
	struct store *store = open_good();
	struct store_peer peer = make_peer(3);
	struct store_peer found = {.id = 3};
	struct base_prefix *nets = calloc(STORE_NETWORKS_MAX, sizeof(*nets));
	char text[64];

	(void)state;
	assert_non_null(nets);
	for (uint32_t i = 0; i < STORE_NETWORKS_MAX; i++) {
		snprintf(text, sizeof(text), i % 2 ? "10.%u.%u.0/24" : "2001:db8:%x:%x::/64",
		         i >> 8 & 255, i >> 1 & 255);
		assert_int_equal(base_prefix_parse(text, &nets[i]), 0);
	}
	peer.allowed_ips = nets;
	peer.n_allowed_ips = STORE_NETWORKS_MAX;
	assert_int_equal(store_peer_put(store, &peer), 0);
	store_close(store);

	store = open_good();
	assert_int_equal(store_peer_find(store, 3, keep_networks, &found), 0);
	assert_int_equal(found.n_allowed_ips, STORE_NETWORKS_MAX);
	assert_memory_equal(found.allowed_ips, nets, STORE_NETWORKS_MAX * sizeof(*nets));
	peer.n_allowed_ips = 1;
	assert_int_equal(store_peer_change(store, &peer), 0);
	assert_int_equal(store_peer_find(store, 3, keep_networks, &found), 0);
	assert_int_equal(found.n_allowed_ips, 1);
	peer.n_allowed_ips = 0;
	assert_int_equal(store_peer_change(store, &peer), 0);
	assert_int_equal(store_peer_find(store, 3, keep_networks, &found), 0);
	assert_int_equal(found.n_allowed_ips, 0);
	store_peer_fini(&found);
	free(nets);
	store_close(store);
}

/* The tables of peers as version 8 had them, with two peers in them. */
static const char version_8[] =
	"DROP TABLE peer_names; DROP TABLE peer_alarms; DROP TABLE hub_key; DROP TABLE peer_rotations; DROP TABLE peer_usage; DROP TABLE peer_limits;"
	"DROP TABLE trail; DROP TABLE trail_anchor; DROP TABLE peer_networks; DROP TABLE peers;"
	"CREATE TABLE peers (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
	" public_key TEXT NOT NULL UNIQUE, preshared_key BLOB, addresses TEXT NOT NULL,"
	" allowed_ips TEXT NOT NULL, keepalive INTEGER NOT NULL,"
	" enabled INTEGER NOT NULL DEFAULT 1, declared INTEGER NOT NULL, created INTEGER NOT NULL,"
	" endpoint TEXT, last_handshake INTEGER NOT NULL DEFAULT 0, last_timestamp BLOB,"
	" whole_subnet INTEGER NOT NULL DEFAULT 0, client_keepalive INTEGER NOT NULL DEFAULT 25,"
	" key_set INTEGER NOT NULL DEFAULT 0) STRICT;"
	"CREATE TABLE peer_limits (peer INTEGER PRIMARY KEY REFERENCES peers (id)"
	" ON DELETE CASCADE, text TEXT NOT NULL) STRICT;"
	"CREATE TABLE peer_usage (peer INTEGER PRIMARY KEY REFERENCES peers (id)"
	" ON DELETE CASCADE, period INTEGER NOT NULL, rx INTEGER NOT NULL, tx INTEGER NOT NULL,"
	" epoch INTEGER NOT NULL, rx_seen INTEGER NOT NULL, tx_seen INTEGER NOT NULL) STRICT;"
	"INSERT INTO peers (id, name, public_key, addresses, allowed_ips, keepalive, declared, created)"
	" VALUES (1, 'a', 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE=', '10.77.0.2', '', 0, 0, 5),"
	" (2, 'b', 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAI=', '', '10.1.0.0/16', 7, 0, 6);"
	"INSERT INTO peer_limits VALUES (2, 'x');"
	"PRAGMA user_version = 8;";

/* Run on the file of a store that is closed. */
static void run_sql(const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void a_store_of_version_8_keeps_its_peers(void **state)
{
	struct store *store = open_good();
	struct store_peer b = {.id = 2};
	struct found found;

	(void)state;
	store_close(store);
	run_sql(version_8);
	store = open_good();
	found = read_peers(store);
	assert_int_equal(found.n, 2);
	assert_string_equal(found.peers[0].name, "a");
	assert_int_equal(found.peers[0].n_addresses, 1);
	assert_int_equal(found.peers[0].n_allowed_ips, 0);
	assert_int_equal(found.peers[0].wg_set_wall_ns, 0);
	assert_int_equal(found.peers[0].expected_wall_ns, 0);
	assert_int_equal(found.peers[1].keepalive_s, 7);
	assert_int_equal(found.peers[1].n_allowed_ips, 1);
	assert_int_equal(base_prefix_parse("10.1.0.0/16", &found.networks[0]), 0);
	assert_memory_equal(&found.networks[1], &found.networks[0], sizeof(found.networks[0]));
	assert_int_equal(store_peer_find(store, 2, keep_networks, &b), 0);
	store_peer_fini(&b);
	store_close(store);
}

struct named {
	uint32_t peer;
	struct store_name name;
	uint32_t n;
};

static int keep_name(void *arg, uint32_t peer, const struct store_name *name)
{
	struct named *named = arg;

	named->peer = peer;
	named->name = *name;
	named->n++;
	return 0;
}

static struct named read_names(struct store *store)
{
	struct named named = {0};

	assert_int_equal(store_name_each(store, keep_name, &named), 0);
	return named;
}

static void the_name_of_an_endpoint_and_its_answer_are_kept_until_the_peer_goes(void **state)
{
	struct store *store = open_good();
	struct store_peer peer = make_peer(3);
	struct store_name name = {.name = {"vpn.example.org", 51820}};
	struct named named;

	(void)state;
	assert_int_equal(store_peer_put(store, &peer), 0);
	assert_int_equal(store_name_answer_put(store, 3, &name), -ENOENT);
	assert_int_equal(store_name_drop(store, 3, "peer-3"), -ENOENT);
	assert_int_equal(store_name_put(store, 3, "peer-3", &name), 0);
	assert_int_equal(base_ip_parse("2001:db8::1", &name.answer[0]), 0);
	assert_int_equal(base_ip_parse("192.0.2.1", &name.answer[1]), 0);
	name.n_answer = 2;
	name.resolved_wall_ns = 77;
	assert_int_equal(store_name_answer_put(store, 3, &name), 0);
	store_close(store);
	store = open_good();
	named = read_names(store);
	assert_int_equal(named.n, 1);
	assert_int_equal(named.peer, 3);
	assert_memory_equal(&named.name, &name, sizeof(name));
	assert_int_equal(store_peer_drop(store, 3), 0);
	assert_int_equal(read_names(store).n, 0);
	assert_int_equal(store_peer_put(store, &peer), 0);
	assert_int_equal(store_name_put(store, 3, "peer-3", &name), 0);
	assert_int_equal(store_name_drop(store, 3, "peer-3"), 0);
	assert_int_equal(read_names(store).n, 0);
	store_close(store);
}

static void as_many_of_the_longest_addresses_as_there_may_be_come_back(void **state)
{
	struct store *store = open_good();
	struct store_peer peer = make_peer(3);
	struct store_name name = {.name = {"vpn.example.org", 51820}, .n_answer = STORE_ANSWER_MAX};
	struct named named;

	(void)state;
	for (uint32_t i = 0; i < STORE_ANSWER_MAX; i++) {
		name.answer[i].family = BASE_IP_V6;
		memset(name.answer[i].bytes, 0xf0 + (int)i, sizeof(name.answer[i].bytes));
	}
	peer.n_addresses = CONFIG_TUNNEL_MAX;
	memcpy(peer.addresses, name.answer, sizeof(peer.addresses));
	assert_int_equal(store_peer_put(store, &peer), 0);
	assert_int_equal(store_name_put(store, 3, "peer-3", &name), 0);
	store_close(store);
	store = open_good();
	named = read_names(store);
	assert_memory_equal(&named.name, &name, sizeof(name));
	assert_int_equal(read_peers(store).peers[0].n_addresses, CONFIG_TUNNEL_MAX);
	assert_memory_equal(read_peers(store).peers[0].addresses, peer.addresses,
	                    sizeof(peer.addresses));
	store_close(store);
}

static void lists_of_addresses_that_we_did_not_write_are_refused(void **state)
{
	static const struct {
		const char *peers, *names;
	} cases[] = {
		{"1.1.1.1,2.2.2.2,3.3.3.3,4.4.4.4,5.5.5.5", "1.1.1.1,2.2.2.2,3.3.3.3,4.4.4.4,"
	                                                    "5.5.5.5,6.6.6.6,7.7.7.7,8.8.8.8,::9"},
		{"10.0.0.1,,10.0.0.2", ","},
		{"10.0.0.0/24", "10.0.0.256"},
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "vpn.example.org"},
	};
	struct store_peer peer = make_peer(3);
	struct store_name name = {.name = {"vpn.example.org", 51820}};
	struct store *store = open_good();
	struct found found;
	struct named named;
	char sql[256];

	(void)state;
	assert_int_equal(store_peer_put(store, &peer), 0);
	assert_int_equal(store_name_put(store, 3, "peer-3", &name), 0);
	store_close(store);
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++) {
		snprintf(
			sql, sizeof(sql),
			"UPDATE peers SET addresses = '%s'; UPDATE peer_names SET addresses = '%s'",
			cases[i].peers, cases[i].names);
		run_sql(sql);
		store = open_good();
		assert_int_equal(store_peer_each(store, collect, &found), -EUCLEAN);
		assert_string_equal(store_error(store), "peers: row 3 cannot be read");
		assert_int_equal(store_name_each(store, keep_name, &named), -EUCLEAN);
		assert_string_equal(store_error(store), "peer_names: row 3 cannot be read");
		store_close(store);
	}
}

static struct store_rotation make_rotation(uint32_t peer)
{
	struct store_rotation rotation = {
		.peer = peer,
		.state = STORE_ROTATION_OVERLAP,
		.serial = 3,
		.next_serial = 5,
		.has_public_key = true,
		.has_preshared_key = true,
		.since_wall_ns = 10,
		.until_wall_ns = 20,
		.changed_wall_ns = 15,
	};

	memset(rotation.public_key, (int)(100 + peer), 32);
	rotation.public_key[31] &= 0x7f;
	memset(rotation.preshared_key, 0xa5, 32);
	memset(rotation.last_timestamp, 0x11, 12);
	return rotation;
}

/* Field by field: there is padding. */
static void assert_rotation(const struct store_rotation *found,
                            const struct store_rotation *expected)
{
	assert_int_equal(found->peer, expected->peer);
	assert_int_equal(found->state, expected->state);
	assert_int_equal(found->serial, expected->serial);
	assert_int_equal(found->next_serial, expected->next_serial);
	assert_int_equal(found->has_public_key, expected->has_public_key);
	assert_int_equal(found->has_preshared_key, expected->has_preshared_key);
	assert_memory_equal(found->public_key, expected->public_key, 32);
	assert_memory_equal(found->preshared_key, expected->preshared_key, 32);
	assert_memory_equal(found->last_timestamp, expected->last_timestamp, 12);
	assert_true(found->since_wall_ns == expected->since_wall_ns);
	assert_true(found->until_wall_ns == expected->until_wall_ns);
	assert_true(found->changed_wall_ns == expected->changed_wall_ns);
}

static void rotations_come_back_and_go_with_their_peer(void **state)
{
	struct store *store = open_good();
	struct store_peer a = make_peer(1), b = make_peer(2);
	struct store_rotation one = make_rotation(1), two = make_rotation(2);
	struct store_rotation found;

	(void)state;
	assert_int_equal(store_rotation_find(store, 1, &found), -ENOENT);
	assert_true(store_rotation_put(store, &one) < 0); /* of nobody */
	assert_int_equal(store_peer_put(store, &a), 0);
	assert_int_equal(store_peer_put(store, &b), 0);
	assert_int_equal(store_rotation_put(store, &one), 0);
	memcpy(two.public_key, one.public_key, 32);
	assert_int_equal(store_rotation_put(store, &two), -EEXIST);
	store_close(store);
	store = open_good();
	assert_int_equal(store_rotation_find(store, 1, &found), 0);
	assert_rotation(&found, &one);
	memset(one.last_timestamp, 0x22, 12);
	assert_int_equal(store_rotation_seen(store, 1, one.last_timestamp), 0);
	assert_int_equal(store_rotation_seen(store, 2, one.last_timestamp), -ENOENT);
	assert_int_equal(store_rotation_find(store, 1, &found), 0);
	assert_rotation(&found, &one);
	/* Over: no keys are left. */
	one.state = STORE_ROTATION_CONFIRMED;
	one.has_public_key = one.has_preshared_key = false;
	memset(one.public_key, 0, 32);
	memset(one.preshared_key, 0, 32);
	assert_int_equal(store_rotation_put(store, &one), 0);
	assert_int_equal(store_rotation_find(store, 1, &found), 0);
	assert_rotation(&found, &one);
	assert_int_equal(store_peer_drop(store, 1), 0);
	assert_int_equal(store_rotation_find(store, 1, &found), -ENOENT);
	store_close(store);
}

static void a_key_is_changed_with_or_without_its_preshared_key(void **state)
{
	static const uint8_t psk[32] = {9, 9}, timestamp[12] = {1};
	struct store *store = open_good();
	struct store_peer a = make_peer(1), b = make_peer(2);
	struct found found;

	(void)state;
	assert_int_equal(store_peer_key_put(store, 1, b.public_key, NULL, timestamp, 5), -ENOENT);
	assert_int_equal(store_peer_put(store, &a), 0);
	assert_int_equal(store_peer_key_put(store, 1, b.public_key, NULL, timestamp, 5), 0);
	found = read_peers(store);
	assert_memory_equal(found.peers[0].public_key, b.public_key, 32);
	assert_memory_equal(found.peers[0].preshared_key, a.preshared_key, 32);
	assert_memory_equal(found.peers[0].state.last_timestamp, timestamp, 12);
	assert_int_equal(found.peers[0].key_set_wall_ns, 5);
	assert_int_equal(store_peer_key_put(store, 1, a.public_key, psk, timestamp, 6), 0);
	found = read_peers(store);
	assert_true(found.peers[0].has_preshared_key);
	assert_memory_equal(found.peers[0].preshared_key, psk, 32);
	store_close(store);
}

static void names_and_keys_are_unique(void **state)
{
	struct store *store = open_good();
	struct store_peer a = make_peer(1);
	struct store_peer b = make_peer(2);

	(void)state;
	assert_int_equal(store_peer_put(store, &a), 0);
	memcpy(b.public_key, a.public_key, 32);
	assert_int_equal(store_peer_put(store, &b), -EEXIST);
	b = make_peer(2);
	memcpy(b.name, a.name, sizeof(b.name));
	assert_int_equal(store_peer_put(store, &b), -EEXIST);
	assert_int_equal(read_peers(store).n, 1);
	store_close(store);
}

static int add_alarm(void *arg, uint32_t peer, uint64_t since_wall_ns)
{
	*(uint64_t *)arg += 1000 * peer + since_wall_ns;
	return 0;
}

static void alarms_come_back_and_go_with_their_peer(void **state)
{
	struct store *store = open_good();
	struct store_peer a = make_peer(1), b = make_peer(2);
	uint64_t sum = 0;

	(void)state;
	assert_int_equal(store_peer_put(store, &a), 0);
	assert_int_equal(store_peer_put(store, &b), 0);
	assert_int_equal(store_alarm_put(store, 1, 5), 0);
	assert_int_equal(store_alarm_put(store, 1, 7), 0);
	assert_int_equal(store_alarm_put(store, 2, 9), 0);
	store_close(store);
	store = open_good();
	assert_int_equal(store_alarm_each(store, add_alarm, &sum), 0);
	assert_int_equal(sum, 1007 + 2009);
	assert_int_equal(store_peer_drop(store, 2), 0);
	sum = 0;
	assert_int_equal(store_alarm_each(store, add_alarm, &sum), 0);
	assert_int_equal(sum, 1007);
	assert_int_equal(store_alarm_drop(store, 1), 0);
	assert_int_equal(store_alarm_drop(store, 1), 0);
	sum = 0;
	assert_int_equal(store_alarm_each(store, add_alarm, &sum), 0);
	assert_int_equal(sum, 0);
	store_close(store);
}

static void an_undone_transaction_changes_nothing(void **state)
{
	struct store *store = open_good();
	struct store_peer a = make_peer(1);
	struct store_peer b = make_peer(2);

	(void)state;
	assert_int_equal(store_peer_put(store, &a), 0);
	assert_int_equal(store_begin(store), 0);
	assert_int_equal(store_peer_drop(store, 1), 0);
	assert_int_equal(store_peer_put(store, &b), 0);
	assert_int_equal(store_end(store, false), 0);
	assert_int_equal(read_peers(store).n, 1);
	assert_int_equal(read_peers(store).peers[0].id, 1);
	assert_int_equal(store_begin(store), 0);
	assert_int_equal(store_peer_put(store, &b), 0);
	assert_int_equal(store_end(store, true), 0);
	assert_int_equal(read_peers(store).n, 2);
	store_close(store);
}

static void put_good(struct store *store, uint32_t id)
{
	struct store_peer peer = make_peer(id);

	assert_int_equal(store_peer_put(store, &peer), 0);
}

static void changes_that_are_gathered_wait_for_the_disk_together(void **state)
{
	struct store *store = open_good();
	unsigned int before;

	(void)state;
	put_good(store, 0);
	before = n_syncs;
	put_good(store, 1);
	assert_int_equal(n_syncs, before + 1);
	assert_int_equal(store_gather(store), 0);
	put_good(store, 2);
	put_good(store, 3);
	assert_int_equal(store_peer_drop(store, 1), 0);
	assert_int_equal(n_syncs, before + 1);
	assert_int_equal(store_settle(store), 0);
	assert_int_equal(n_syncs, before + 2);
	put_good(store, 4); /* alone again */
	assert_int_equal(n_syncs, before + 3);
	assert_int_equal(store_gather(store), 0);
	assert_int_equal(store_settle(store), 0); /* nothing was changed */
	assert_int_equal(n_syncs, before + 3);
	assert_int_equal(read_peers(store).n, 4);
	store_close(store);
}

static void gathered_changes_that_do_not_reach_the_disk_are_told(void **state)
{
	struct store *store = open_good();

	(void)state;
	put_good(store, 0);
	assert_int_equal(store_gather(store), 0);
	put_good(store, 1);
	sync_errno = EIO;
	assert_int_equal(store_settle(store), -EIO);
	assert_string_equal(store_error(store), "changes do not reach the disk");
	sync_errno = 0;
	put_good(store, 2);
	store_close(store);
}

static int collect_service(void *arg, const struct store_service *service)
{
	struct store_service *out = arg;

	out[0] = out[1];
	out[1] = *service;
	return 0;
}

static void services_and_certificates_come_back(void **state)
{
	struct store *store = open_good();
	struct store_service blog = {"blog", "blog.example.org", "home", 8080, 17};
	struct store_service api = {"api", "api.example.org", "office", 80, 18};
	struct store_service seen[2] = {0};
	char *pem = NULL;

	(void)state;
	assert_int_equal(store_service_add(store, &blog), 0);
	assert_int_equal(store_service_add(store, &api), 0);
	assert_int_equal(store_service_add(store, &api), -EEXIST);
	strcpy(api.name, "other");
	assert_int_equal(store_service_add(store, &api), -EEXIST); /* host */
	assert_int_equal(store_service_each(store, collect_service, seen), 0);
	assert_string_equal(seen[0].name, "api");
	assert_memory_equal(&seen[1], &blog, sizeof(blog));
	assert_int_equal(store_service_drop(store, "blog"), 0);
	assert_int_equal(store_service_drop(store, "blog"), -ENOENT);

	assert_int_equal(store_certificate_get(store, "blog.example.org", &pem), -ENOENT);
	assert_int_equal(store_certificate_put(store, "blog.example.org", "old"), 0);
	assert_int_equal(store_certificate_put(store, "blog.example.org", "-----BEGIN"), 0);
	assert_int_equal(store_certificate_get(store, "blog.example.org", &pem), 0);
	assert_string_equal(pem, "-----BEGIN");
	free(pem);
	assert_int_equal(store_certificate_drop(store, "blog.example.org"), 0);
	assert_int_equal(store_certificate_get(store, "blog.example.org", &pem), -ENOENT);
	store_close(store);
}

/* ---- files -------------------------------------------------------------------------------------- */

static bool file_holds(const char *name, const void *needle, size_t len)
{
	static char text[1 << 20];
	FILE *file = fopen(name, "re");
	size_t n;

	if (!file)
		return false;
	n = fread(text, 1, sizeof(text), file);
	fclose(file);
	return memmem(text, n, needle, len) != NULL;
}

static void secrets_are_sealed_and_files_are_private(void **state)
{
	struct store *store = open_good();
	struct store_peer peer = make_peer(1);
	static const char *const names[] = {"", "-wal"};
	char name[200];
	struct stat st;

	(void)state;
	assert_int_equal(store_peer_put(store, &peer), 0);
	assert_int_equal(store_certificate_put(store, "h", "PRIVATE KEY"), 0);
	for (size_t i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "%s%s", path, names[i]);
		assert_int_equal(stat(name, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
		assert_false(file_holds(name, peer.preshared_key, 8));
		assert_false(file_holds(name, "PRIVATE KEY", 11));
	}
	snprintf(name, sizeof(name), "%s-wal", path);
	assert_true(file_holds(name, "peer-1", 6)); /* the search itself finds things */
	store_close(store);
	snprintf(name, sizeof(name), "%s/store.key", dir);
	assert_int_equal(stat(name, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, 32);
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
}

/* Opening must fail with this error and a line that holds text. */
static void refused(int err, const char *text)
{
	struct store *store = NULL;

	error[0] = '\0';
	assert_int_equal(store_open(path, (uid_t)-1, (gid_t)-1, &store, error, sizeof(error)), err);
	if (!strstr(error, text))
		fail_msg("\"%s\" does not say \"%s\"", error, text);
	assert_null(store);
}

static void write_at(const char *name, off_t offset, const char *text)
{
	int fd = open(name, O_RDWR | O_CREAT, 0600);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, text, strlen(text), offset), strlen(text));
	close(fd);
}

static void a_second_process_is_refused(void **state)
{
	struct store *store = open_good();
	pid_t child;
	int status;

	(void)state;
	child = fork(); /* POSIX locks hold between processes, not within one */
	if (child == 0) {
		struct store *second = NULL;
		int err = store_open(path, (uid_t)-1, (gid_t)-1, &second, error, sizeof(error));

		_exit(err == -EBUSY && strstr(error, "weir.db: is in use by another process") ? 0
		                                                                              : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	store_close(store);
}

static void wrong_modes_are_refused(void **state)
{
	(void)state;
	store_close(open_good());
	assert_int_equal(chmod(path, 0644), 0);
	refused(-EPERM, "weir.db: has mode 0644");
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(chmod(dir, 0770), 0);
	refused(-EPERM, "directory of the store has mode 0770");
	assert_int_equal(chmod(dir, 0755), 0);
	refused(-EPERM, "directory of the store has mode 0755, must be 0700");
	assert_int_equal(chmod(dir, 0700), 0);
	store_close(open_good());
}

static void a_key_that_does_not_fit_is_refused(void **state)
{
	char name[200];

	(void)state;
	store_close(open_good());
	snprintf(name, sizeof(name), "%s/store.key", dir);
	write_at(name, 3, "other");
	refused(-EUCLEAN, "weir.db: store.key beside it is not the key");
	assert_int_equal(truncate(name, 5), 0);
	refused(-EUCLEAN, "store.key: holds 5 bytes, must hold 32");
	assert_int_equal(unlink(name), 0);
	refused(-EUCLEAN, "store.key: is missing");
	assert_int_equal(access(name, F_OK), -1); /* none was made in its place */
}

static void damaged_and_foreign_files_are_refused(void **state)
{
	(void)state;
	store_close(open_good());
	write_at(path, 0, "SQLite format 4 and more of other things");
	refused(-EUCLEAN, "weir.db: file is not a database");
}

static void a_newer_store_is_refused_naming_both_versions(void **state)
{
	(void)state;
	store_close(open_good());
	write_at(path, 60, "\x7f\x7f\x7f\x7f"); /* user_version in the file's header */
	refused(-EPROTO, "has version 2139062143, this weir knows up to ");
}

static void acknowledged_changes_survive_kill_9(void **state)
{
	int pipe_fd[2];
	uint32_t acknowledged = 0;
	uint32_t id;
	pid_t child;

	(void)state;
	assert_int_equal(pipe(pipe_fd), 0);
	child = fork();
	if (child == 0) {
		struct store *store = NULL;

		if (store_open(path, (uid_t)-1, (gid_t)-1, &store, error, sizeof(error)) < 0)
			_exit(1);
		for (id = 0;; id++) {
			struct store_peer peer = make_peer(id % 8);

			peer.keepalive_s = (uint16_t)id;
			peer.state.last_handshake_wall_ns = id;
			if (store_peer_put(store, &peer) < 0
			    || store_peer_state_put(store, id % 8, &peer.state) < 0
			    || write(pipe_fd[1], &id, sizeof(id)) != sizeof(id))
				_exit(1);
		}
	}
	close(pipe_fd[1]);
	for (int i = 0; i < 20; i++)
		assert_int_equal(read(pipe_fd[0], &acknowledged, sizeof(id)), sizeof(id));
	assert_int_equal(kill(child, SIGKILL), 0);
	while (read(pipe_fd[0], &id, sizeof(id)) == sizeof(id))
		acknowledged = id; /* written to the pipe before the kill: acknowledged too */
	waitpid(child, NULL, 0);
	close(pipe_fd[0]);

	struct store *store = open_good();
	struct found found = read_peers(store);

	assert_int_equal(found.n, 8);
	assert_true(found.peers[acknowledged % 8].keepalive_s >= acknowledged);
	assert_true(found.peers[acknowledged % 8].state.last_handshake_wall_ns >= acknowledged);
	store_close(store);
}

static int collect_policy(void *arg, const struct store_policy_row *row)
{
	char *text = arg;
	size_t len = strlen(text);

	snprintf(text + len, 256 - len, "%s %s %u %s %llu;", row->kind, row->name, row->number,
	         row->text, (unsigned long long)row->created_wall_ns);
	return 0;
}

static int collect_used(void *arg, const struct store_policy_row *row)
{
	uint64_t *sum_s = arg;

	*sum_s += row->used_s;
	return 0;
}

static void policy_rows_are_replaced_dropped_and_undone_together(void **state)
{
	struct store_policy_row group = {STORE_POLICY_GROUP, "a", "{ g }", 0, 1, 0};
	struct store_policy_row grant = {STORE_POLICY_GRANT, "a", "{ x }", 7, 2, 0};
	struct store_policy_state got = {9, 9};
	struct store_policy_state put = {41, 8};
	struct store *store = open_good();
	uint64_t used_s = 0;
	char text[256] = "";

	(void)state;
	assert_int_equal(store_policy_state_get(store, &got), 0);
	assert_int_equal(got.generation, 0);
	assert_int_equal(got.next_number, 1);
	assert_int_equal(store_policy_put(store, &group), 0);
	assert_int_equal(store_policy_put(store, &grant), 0);
	grant.text = "{ y }";
	assert_int_equal(store_policy_put(store, &grant), 0);
	assert_int_equal(store_begin(store), 0);
	assert_int_equal(store_policy_drop(store, STORE_POLICY_GROUP, "a"), 0);
	assert_int_equal(store_policy_drop(store, STORE_POLICY_GROUP, "a"), -ENOENT);
	assert_int_equal(store_policy_state_put(store, &put), 0);
	assert_int_equal(store_end(store, false), 0);
	store_close(store);
	store = open_good();
	assert_int_equal(store_policy_each(store, collect_policy, text), 0);
	assert_string_equal(text, "grant a 7 { y } 2;group a 0 { g } 1;");
	/* what was used is of the grant, and stays when its text changes */
	assert_int_equal(store_policy_used_put(store, "a", 7200), 0);
	assert_int_equal(store_policy_used_put(store, "b", 7200), -ENOENT);
	grant.text = "{ z }";
	assert_int_equal(store_policy_put(store, &grant), 0);
	assert_int_equal(store_policy_each(store, collect_used, &used_s), 0);
	assert_int_equal(used_s, 7200);
	assert_int_equal(store_policy_state_get(store, &got), 0);
	assert_int_equal(got.generation, 0);
	assert_int_equal(store_policy_state_put(store, &put), 0);
	assert_int_equal(store_policy_state_get(store, &got), 0);
	assert_int_equal(got.generation, 41);
	store_close(store);
}

static int set_up(void **state)
{
	(void)state;
	if (store_dir_make() < 0)
		return -1;
	strcat(dir, "/d"); /* made by the store itself */
	snprintf(path, sizeof(path), "%s/weir.db", dir);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	if (store_dir_remove() < 0)
		return -1;
	dir[strlen(dir) - 2] = '\0';
	return rmdir(dir);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(peers_come_back_as_they_were_written),
		CASE(replacing_a_peer_keeps_its_state),
		CASE(a_gateway_has_many_networks),
		CASE(a_store_of_version_8_keeps_its_peers),
		CASE(the_name_of_an_endpoint_and_its_answer_are_kept_until_the_peer_goes),
		CASE(as_many_of_the_longest_addresses_as_there_may_be_come_back),
		CASE(lists_of_addresses_that_we_did_not_write_are_refused),
		CASE(names_and_keys_are_unique),
		CASE(rotations_come_back_and_go_with_their_peer),
		CASE(a_key_is_changed_with_or_without_its_preshared_key),
		CASE(alarms_come_back_and_go_with_their_peer),
		CASE(an_undone_transaction_changes_nothing),
		CASE(changes_that_are_gathered_wait_for_the_disk_together),
		CASE(gathered_changes_that_do_not_reach_the_disk_are_told),
		CASE(services_and_certificates_come_back),
		CASE(secrets_are_sealed_and_files_are_private),
		CASE(a_second_process_is_refused),
		CASE(wrong_modes_are_refused),
		CASE(a_key_that_does_not_fit_is_refused),
		CASE(damaged_and_foreign_files_are_refused),
		CASE(a_newer_store_is_refused_naming_both_versions),
		CASE(policy_rows_are_replaced_dropped_and_undone_together),
		CASE(acknowledged_changes_survive_kill_9),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

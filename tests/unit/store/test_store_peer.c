/* control/store, peers: what is written comes back, also from a store of an older version; names and keys are unique. */
#include "store_lab.h"

#include <errno.h>
#include <stdlib.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(peers_come_back_as_they_were_written),
		CASE(replacing_a_peer_keeps_its_state),
		CASE(a_gateway_has_many_networks),
		CASE(a_store_of_version_8_keeps_its_peers),
		CASE(a_key_is_changed_with_or_without_its_preshared_key),
		CASE(names_and_keys_are_unique),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A store in a directory of its own, and peers to put into it and to find there again. Include once in a test file. */
#ifndef STORE_LAB_H
#define STORE_LAB_H

#include "base_bytes.h"
#include "store.h"
#include "store_dir.h"
#include "store_peer.h"
#include "test.h"

#include <sqlite3.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static inline struct store *open_good(void)
{
	struct store *store = NULL;
	char error[512];

	if (store_open(path, (uid_t)-1, (gid_t)-1, &store, error, sizeof(error)) < 0)
		fail_msg("%s", error);
	return store;
}

static inline struct store_peer make_peer(uint32_t id)
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

/* What a walk over the peers has found. */
struct found {
	struct store_peer peers[8]; /* without their networks: */
	struct base_prefix networks[8];
	uint32_t n;
};

static inline int collect(void *arg, const struct store_peer *peer)
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

static inline void assert_found(const struct found *found, uint32_t i, struct store_peer expected)
{
	if (expected.n_allowed_ips == 1)
		assert_memory_equal(&found->networks[i], expected.allowed_ips,
		                    sizeof(found->networks[i]));
	expected.allowed_ips = NULL;
	assert_memory_equal(&found->peers[i], &expected, sizeof(expected));
}

static inline struct found read_peers(struct store *store)
{
	struct found found = {0};

	assert_int_equal(store_peer_each(store, collect, &found), 0);
	return found;
}

/* Run on the file of a store that is closed. */
static inline void run_sql(const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static inline int set_up(void **state)
{
	(void)state;
	if (store_dir_make() < 0)
		return -1;
	strcat(dir, "/d"); /* made by the store itself */
	snprintf(path, sizeof(path), "%s/weir.db", dir);
	return 0;
}

static inline int tear_down(void **state)
{
	(void)state;
	if (store_dir_remove() < 0)
		return -1;
	dir[strlen(dir) - 2] = '\0';
	return rmdir(dir);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

#endif

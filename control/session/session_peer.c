/* The peers: by id and by public key. */
#include "base_bytes.h"
#include "program.h"
#include "session_table.h"
#include "wg_key.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void session__peer_free(struct session_peer *peer)
{
	base_wipe(peer, sizeof(*peer));
	free(peer);
}

/* Keyed, because whoever adds peers chooses their keys. */
static uint32_t bucket_of(const struct session_table *table,
                          const uint8_t public_key[static WG_KEY_LEN])
{
	return (uint32_t)base_siphash(table->hash_key, public_key, WG_KEY_LEN) & table->bucket_mask;
}

struct session_peer *session__peer(const struct session_table *table, uint32_t id)
{
	return id < table->n_peers ? table->peers[id] : NULL;
}

struct session_peer *session__peer_by_key(const struct session_table *table,
                                          const uint8_t public_key[static WG_KEY_LEN])
{
	struct session_peer *peer = table->buckets[bucket_of(table, public_key)];

	while (peer != NULL && memcmp(peer->noise.public_key, public_key, WG_KEY_LEN) != 0)
		peer = peer->hash_next;
	return peer;
}

void session__peer_unhash(struct session_table *table, struct session_peer *peer)
{
	struct session_peer **at = &table->buckets[bucket_of(table, peer->noise.public_key)];

	while (*at != peer)
		at = &(*at)->hash_next;
	*at = peer->hash_next;
}

void session__peer_hash(struct session_table *table, struct session_peer *peer)
{
	struct session_peer **at = &table->buckets[bucket_of(table, peer->noise.public_key)];

	peer->hash_next = *at;
	*at = peer;
}

static bool has_index(const struct session_peer *peer, uint32_t index)
{
	return index != ABI_INDEX_NONE
	       && (peer->creating == index || peer->handshake.local_index == index
	           || peer->ring.current.index == index || peer->ring.previous.index == index
	           || peer->ring.next.index == index);
}

struct session_peer *session__peer_with(struct session_peer *peer, uint32_t index)
{
	return peer->next != NULL && has_index(peer->next, index) ? peer->next : peer;
}

struct session_peer *session__peer_new(struct session_table *table, uint32_t id,
                                       const uint8_t public_key[static WG_KEY_LEN],
                                       const uint8_t *preshared_key)
{
	struct session_peer *peer = calloc(1, sizeof(*peer));

	if (peer == NULL)
		return NULL;
	peer->id = id;
	peer->heap_at = SESSION_HEAP_NONE;
	peer->generation = ++table->generation;
	memcpy(peer->noise.public_key, public_key, WG_KEY_LEN);
	if (preshared_key != NULL)
		memcpy(peer->noise.preshared_key, preshared_key, WG_KEY_LEN);
	wg_cookie_maker_init(&peer->cookie, public_key);
	wg_timers_handshake_init(&peer->timers);
	peer->source.port = UINT32_MAX;
	peer->source.worker = id % table->slots.n_workers;
	return peer;
}

/* The configured endpoint, when it is another one than is in use. */
static void peer_set_endpoint(struct session_table *table, struct session_peer *peer,
                              const struct base_endpoint *endpoint)
{
	if (endpoint == NULL || endpoint->port == 0)
		return;
	peer->call = (struct base_endpoint){0};
	if (base_endpoint_equal(endpoint, &peer->source.remote))
		return;
	peer->source.remote = *endpoint;
	peer->source.local = (struct base_ip){0};
	peer->source.port = UINT32_MAX;
	session__keys_redirect(table, peer);
}

void session_peer_redirect(struct session_table *table, uint32_t id,
                           const struct base_endpoint *endpoint)
{
	struct session_peer *peer = session__peer(table, id);

	if (peer != NULL)
		peer_set_endpoint(table, peer, endpoint);
}

static void call_at(struct session_table *table, struct session_peer *peer,
                    const struct base_endpoint *endpoint)
{
	static const struct base_endpoint nowhere;

	if (endpoint == NULL || base_endpoint_equal(endpoint, &peer->source.remote))
		peer->call = nowhere;
	else if (peer->source.remote.port != 0)
		peer->call = *endpoint;
	else
		peer_set_endpoint(table, peer, endpoint);
}

void session_peer_call(struct session_table *table, uint32_t id,
                       const struct base_endpoint *endpoint)
{
	struct session_peer *peer = session__peer(table, id);
	bool is_first;

	if (peer == NULL)
		return;
	is_first = peer->source.remote.port == 0 && endpoint != NULL;
	call_at(table, peer, endpoint);
	if (peer->next != NULL)
		call_at(table, peer->next, endpoint);
	/* Without a dataplane: it calls all whose endpoint is known when it comes. */
	if (!is_first || !table->attached)
		return;
	session__want_any(table, peer, session__now(table));
	session__timer_arm(table);
}

static bool has_keys(const struct session_peer *peer, const uint8_t public_key[static WG_KEY_LEN],
                     const uint8_t *preshared_key)
{
	static const uint8_t no_preshared_key[WG_KEY_LEN];

	return base_equal_ct(peer->noise.public_key, public_key, WG_KEY_LEN)
	       && base_equal_ct(peer->noise.preshared_key,
	                        preshared_key != NULL ? preshared_key : no_preshared_key,
	                        WG_KEY_LEN);
}

int session_peer_put(struct session_table *table, uint32_t id, const uint8_t public_key[static 32],
                     const uint8_t *preshared_key, const struct base_endpoint *endpoint,
                     const uint8_t *last_timestamp)
{
	struct session_peer *holder = session__peer_by_key(table, public_key);

	assert(id < table->n_peers);
	if (holder != NULL && holder->id != id)
		return -EEXIST;
	if (wg_key_check_public(public_key) < 0)
		return -EINVAL;
	if (table->peers[id] != NULL && !has_keys(table->peers[id], public_key, preshared_key))
		session_peer_drop(table, id);
	if (table->peers[id] == NULL) {
		table->peers[id] = session__peer_new(table, id, public_key, preshared_key);
		if (table->peers[id] == NULL)
			return -ENOMEM;
		session__peer_hash(table, table->peers[id]);
	}
	if (last_timestamp != NULL
	    && memcmp(last_timestamp, table->peers[id]->noise.last_timestamp, WG_TIMESTAMP_LEN) > 0)
		memcpy(table->peers[id]->noise.last_timestamp, last_timestamp, WG_TIMESTAMP_LEN);
	peer_set_endpoint(table, table->peers[id], endpoint);
	return 0;
}

void session_peer_drop(struct session_table *table, uint32_t id)
{
	struct session_peer *peer = session__peer(table, id);

	if (peer == NULL)
		return;
	/* What retires its sessions is lost when the dataplane is not there to take it: whoever gets
	 * the id next must not inherit them from the region. */
	session_peer_disown(table, id);
	session_next_drop(table, id);
	session__keys_retire(table, peer, wg_keypair_clear(&peer->ring));
	session__abandon(table, peer);
	session__heap_set(&table->heap, peer, WG_TIMER_NEVER);
	session__peer_unhash(table, peer);
	table->peers[id] = NULL;
	session__peer_free(peer);
	session__timer_arm(table);
}

void session_peer_stay(struct session_table *table, uint32_t id, bool stays)
{
	struct session_peer *peer = session__peer(table, id);

	if (peer == NULL)
		return;
	peer->stays = stays;
	if (peer->next != NULL)
		peer->next->stays = stays;
}

void session_peer_serial(struct session_table *table, uint32_t id, uint32_t serial)
{
	struct session_peer *peer = session__peer(table, id);

	if (peer != NULL)
		peer->key_serial = serial;
}

void session_peer_disown(struct session_table *table, uint32_t id)
{
	assert(id < table->n_peers);
	table->disowned_ns[id] = session__now(table);
}

void session__source_set(struct session_peer *peer, const struct session_source *source)
{
	if (peer->source.remote.port != 0
	    && !base_endpoint_equal(&peer->source.remote, &source->remote))
		peer->n_moves++;
	peer->source = *source;
	peer->call = (struct base_endpoint){0};
}

/* Which of a peer's keys it uses now. */
static const struct session_peer *in_use(const struct session_peer *peer)
{
	return peer->next != NULL && peer->next->completed_ns > peer->completed_ns ? peer->next
	                                                                           : peer;
}

int session_peer_info(const struct session_table *table, uint32_t id, struct session_peer_info *out)
{
	const struct session_peer *peer = session__peer(table, id);
	const struct session_peer *now;

	if (peer == NULL)
		return -ENOENT;
	now = in_use(peer);
	*out = (struct session_peer_info){
		.last_handshake_wall_ns = now->last_handshake_wall_ns,
		.last_handshake_ns = now->completed_ns,
		.n_moves = session__next_moves(peer),
		.endpoint = now->source.remote,
		.call = now->call,
		.current_index = now->ring.current.index,
		.uses_next_hub = table->has_next_hub && now->hub_serial == table->next_hub.serial,
	};
	memcpy(out->last_timestamp, peer->noise.last_timestamp, WG_TIMESTAMP_LEN);
	if (peer->next == NULL)
		return 0;
	out->has_next = true;
	out->next_handshake_wall_ns = peer->next->last_handshake_wall_ns;
	memcpy(out->next_timestamp, peer->next->noise.last_timestamp, WG_TIMESTAMP_LEN);
	return 0;
}

/* The hub between two keys of its own. Clients are told the new one one by one, so both are answered for a
 * while: a message says by its mac1 which key it is for, and each job carries its copy. */
#include "base_bytes.h"
#include "program.h"
#include "session_table.h"
#include "wg_key.h"

#include <errno.h>
#include <string.h>

/* Names a key by what is public of it; two keys of one name in 2^32 would only share the fate of their
 * sessions. */
static uint32_t serial_of(const uint8_t public_key[static WG_KEY_LEN])
{
	uint32_t serial = base_load_le32(public_key);

	return serial != 0 ? serial : 1;
}

void session__hub_init(struct session_hub *hub, const uint8_t private_key[static WG_KEY_LEN])
{
	memset(hub, 0, sizeof(*hub));
	wg_noise_identity_init(&hub->identity, private_key);
	wg_cookie_checker_init(&hub->checker, hub->identity.public_key);
	hub->serial = serial_of(hub->identity.public_key);
}

struct session_hub *session__hub(struct session_table *table, uint32_t serial)
{
	if (serial == table->hub.serial)
		return &table->hub;
	return table->has_next_hub && serial == table->next_hub.serial ? &table->next_hub : NULL;
}

const struct session_hub *session__hub_to_call(const struct session_table *table,
                                               const struct session_peer *peer)
{
	bool next = peer->hub_serial == table->next_hub.serial;

	if (!table->has_next_hub)
		return &table->hub;
	if (peer->timers.n_attempts % 2 == 1)
		next = !next;
	return next ? &table->next_hub : &table->hub;
}

void session__hub_take(struct session_job *job, const struct session_hub *hub)
{
	job->identity = hub->identity;
	job->hub_serial = hub->serial;
}

/* The peer's key is not of low order: that was looked at when it was made known. */
static void make_static(const struct session_peer *peer, const struct session_hub *hub,
                        uint8_t out[static WG_KEY_LEN])
{
	if (wg_key_shared(out, hub->identity.private_key, peer->noise.public_key) < 0)
		memset(out, 0, WG_KEY_LEN);
}

void session__hub_noise(struct session_peer *peer, const struct session_hub *hub,
                        struct wg_noise_peer *out)
{
	if (peer->static_of == 0) {
		make_static(peer, hub, peer->noise.static_static);
		peer->static_of = hub->serial;
	}
	*out = peer->noise;
	if (hub->serial == peer->static_of)
		return;
	if (hub->serial != peer->other_of)
		make_static(peer, hub, peer->other_static);
	peer->other_of = hub->serial;
	memcpy(out->static_static, peer->other_static, sizeof(out->static_static));
}

enum wg_noise_verdict session__hub_consume(struct session_peer *peer, const struct session_hub *hub,
                                           struct session_job *job, uint64_t now_ns)
{
	struct wg_noise_peer noise;
	enum wg_noise_verdict verdict;

	session__hub_noise(peer, hub, &noise);
	verdict = wg_noise_initiation_consume(&noise, job->message, now_ns, &job->opened);
	memcpy(peer->noise.last_timestamp, noise.last_timestamp, WG_TIMESTAMP_LEN);
	peer->noise.last_initiation_ns = noise.last_initiation_ns;
	base_wipe(&noise, sizeof(noise));
	return verdict;
}

void session__hub_used(struct session_table *table, struct session_peer *peer, uint32_t serial)
{
	if (serial == 0)
		return;
	peer->hub_serial = serial;
	if (table->has_next_hub && serial == table->next_hub.serial && table->on_hub_used != NULL)
		table->on_hub_used(table->on_hub_used_arg);
}

void session_on_hub_used(struct session_table *table, session_hub_used_fn *fn, void *arg)
{
	table->on_hub_used = fn;
	table->on_hub_used_arg = arg;
}

const uint8_t *session_next_public_key(const struct session_table *table)
{
	return table->has_next_hub ? table->next_hub.identity.public_key : NULL;
}

int session_hub_next_put(struct session_table *table, const uint8_t private_key[static 32])
{
	if (table->has_next_hub)
		return -EBUSY;
	session__hub_init(&table->next_hub, private_key);
	if (table->next_hub.serial == table->hub.serial) {
		base_wipe(&table->next_hub, sizeof(table->next_hub));
		return -EEXIST;
	}
	table->has_next_hub = true;
	return 0;
}

/* ---- a key goes --------------------------------------------------------------------------------- */

static void retire_one(struct session_table *table, struct wg_keypair *pair, uint32_t serial,
                       struct wg_keypair_retired *retired)
{
	if (pair->index == ABI_INDEX_NONE
	    || session__slots_hub(&table->slots, pair->index) != serial)
		return;
	retired->index[retired->n++] = pair->index;
	*pair = (struct wg_keypair){0};
}

/* What the peer has of a key of the hub ends with it. */
static void end_with(struct session_table *table, struct session_peer *peer, uint32_t serial)
{
	struct wg_keypair_retired retired = {0};

	retire_one(table, &peer->ring.previous, serial, &retired);
	retire_one(table, &peer->ring.current, serial, &retired);
	retire_one(table, &peer->ring.next, serial, &retired);
	session__keys_retire(table, peer, retired);
	if (peer->handshake_hub == serial)
		session__abandon(table, peer);
	if (peer->static_of == serial) {
		memcpy(peer->noise.static_static, peer->other_static, WG_KEY_LEN);
		peer->static_of = peer->other_of;
		peer->other_of = 0;
	}
	if (peer->other_of == serial)
		peer->other_of = 0;
	if (peer->other_of == 0)
		base_wipe(peer->other_static, sizeof(peer->other_static));
}

static void end_key(struct session_table *table, uint32_t serial)
{
	for (uint32_t id = 0; id < table->n_peers; id++)
		for (struct session_peer *peer = table->peers[id]; peer != NULL; peer = peer->next)
			end_with(table, peer, serial);
}

void session_hub_next_confirm(struct session_table *table)
{
	if (!table->has_next_hub)
		return;
	end_key(table, table->hub.serial);
	table->hub = table->next_hub;
	table->has_next_hub = false;
	base_wipe(&table->next_hub, sizeof(table->next_hub));
}

void session_hub_next_drop(struct session_table *table)
{
	if (!table->has_next_hub)
		return;
	end_key(table, table->next_hub.serial);
	table->has_next_hub = false;
	base_wipe(&table->next_hub, sizeof(table->next_hub));
}

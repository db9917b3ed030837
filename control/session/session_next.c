/* Peers between two keys: the next one is a session_peer of its own, with handshakes, keypairs, timers and an
 * endpoint that know nothing of the other's. What they share is the id: addresses and routes belong to the
 * peer, not to a key. */
#include "program.h"
#include "session_table.h"
#include "wg_key.h"

#include <errno.h>
#include <string.h>

/* What the workers are told of one session. Without a dataplane there is nothing to tell, and one that comes
 * is told then. */
static void prefer(struct session_table *table, const struct session_peer *peer, uint32_t index,
                   bool when_heard, bool now)
{
	const struct abi_cmd_prefer cmd = {
		.index = index,
		.peer = peer->id,
		.when_heard = when_heard ? 1 : 0,
		.now = now ? 1 : 0,
	};

	if (index != ABI_INDEX_NONE)
		(void)program_prefer(table->program, &cmd);
}

static const struct session_peer *other_of(const struct session_peer *peer)
{
	return peer->prior != NULL ? peer->prior : peer->next;
}

void session__next_contend(struct session_table *table, const struct session_peer *peer)
{
	if (other_of(peer) == NULL)
		return;
	prefer(table, peer, peer->ring.current.index, true, false);
	/* A late packet of an older keypair does not tell which key is in use. */
	prefer(table, peer, peer->ring.previous.index, false, false);
}

bool session__next_prefer(struct session_table *table, const struct session_peer *peer)
{
	const struct session_peer *other = other_of(peer);
	const struct session_peer *now = peer;

	if (other == NULL)
		return false;
	if (now->ring.current.index == ABI_INDEX_NONE
	    || (other->ring.current.index != ABI_INDEX_NONE
	        && other->completed_ns > now->completed_ns))
		now = other;
	prefer(table, now, now->ring.current.index, true, true);
	return now->ring.current.index != ABI_INDEX_NONE;
}

/* As if it had been heard where the peer was: a client that changes its key does so in its place. */
static void begin_beside(struct session_peer *next, const struct session_peer *prior)
{
	next->source = prior->source;
	next->stays = prior->stays;
	next->owner = prior->stays ? prior->owner : 0;
}

int session_next_put(struct session_table *table, uint32_t id, const struct session_next *next)
{
	struct session_peer *prior = session__peer(table, id);
	const struct session_peer *holder = session__peer_by_key(table, next->public_key);
	struct session_peer *peer;

	if (prior == NULL)
		return -ENOENT;
	if (prior->next != NULL)
		return -EBUSY;
	if (holder != NULL && holder != prior)
		return -EEXIST;
	if (wg_key_check_public(next->public_key) < 0)
		return -EINVAL;
	peer = session__peer_new(table, id, next->public_key, next->preshared_key);
	if (peer == NULL)
		return -ENOMEM;
	if (next->last_timestamp != NULL)
		memcpy(peer->noise.last_timestamp, next->last_timestamp, WG_TIMESTAMP_LEN);
	peer->key_serial = next->serial;
	peer->prior = prior;
	peer->shares_key = holder == prior;
	begin_beside(peer, prior);
	prior->next = peer;
	if (!peer->shares_key)
		session__peer_hash(table, peer);
	session__next_contend(table, prior);
	return 0;
}

uint32_t session__next_moves(const struct session_peer *prior)
{
	const struct session_peer *next = prior->next;

	return prior->n_moves + (next == NULL || next->shares_key ? 0 : next->n_moves);
}

/* One of the two goes; its sessions end, and nothing that comes for it finds it. */
static void end(struct session_table *table, struct session_peer *peer)
{
	session__keys_retire(table, peer, wg_keypair_clear(&peer->ring));
	session__abandon(table, peer);
	session__heap_set(&table->heap, peer, WG_TIMER_NEVER);
	session__peer_free(peer);
}

/* The one that stays is what the peer is sent by, before the other's sessions end. */
static void stay_alone(struct session_table *table, struct session_peer *peer)
{
	peer->next = NULL;
	peer->prior = NULL;
	peer->shares_key = false;
	prefer(table, peer, peer->ring.current.index, false, true);
	prefer(table, peer, peer->ring.previous.index, false, false);
}

void session_next_confirm(struct session_table *table, uint32_t id)
{
	struct session_peer *prior = session__peer(table, id);
	struct session_peer *next = prior != NULL ? prior->next : NULL;

	if (next == NULL)
		return;
	session__peer_unhash(table, prior);
	if (next->shares_key) {
		/* Initiations were all of one key, and counted with the first. */
		memcpy(next->noise.last_timestamp, prior->noise.last_timestamp, WG_TIMESTAMP_LEN);
		next->noise.last_initiation_ns = prior->noise.last_initiation_ns;
		session__peer_hash(table, next);
	}
	next->n_moves = session__next_moves(prior);
	table->peers[id] = next;
	stay_alone(table, next);
	end(table, prior);
	session__timer_arm(table);
}

void session_next_drop(struct session_table *table, uint32_t id)
{
	struct session_peer *prior = session__peer(table, id);
	struct session_peer *next = prior != NULL ? prior->next : NULL;

	if (next == NULL)
		return;
	if (!next->shares_key)
		session__peer_unhash(table, next);
	stay_alone(table, prior);
	end(table, next);
	session__timer_arm(table);
}

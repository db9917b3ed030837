/* Keypairs: the ring of each peer, the slots they take, and the workers that hold them. Every
 * keypair that leaves a ring goes through session__keys_retire(), so none stays with a worker. */
#include "base_bytes.h"
#include "base_log.h"
#include "program.h"
#include "session_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void session__keys_retire(struct session_table *table, const struct session_peer *peer,
                          struct wg_keypair_retired retired)
{
	for (uint32_t i = 0; i < retired.n; i++) {
		session__slots_release(&table->slots, retired.index[i]);
		/* Without a dataplane nobody holds it; one that resumes is told when it comes. */
		(void)program_session_retire(table->program, retired.index[i], peer->id);
	}
}

uint32_t session__keys_owner(const struct session_table *table, const struct session_peer *peer,
                             const struct session_source *source)
{
	uint32_t worker;

	if (peer->stays && peer->owner != 0)
		return peer->owner - 1;
	/* A key's first keypair: where the flows of the peer are. */
	if (peer->prior != NULL && peer->owner == 0 && peer->prior->owner != 0)
		return peer->prior->owner - 1;
	if (!base_endpoint_equal(&source->remote, &peer->source.remote)
	    || !program_session_arrives_at(table->program, peer->ring.current.index, &worker))
		return source->worker;
	return worker;
}

int session__keys_install(struct session_table *table, struct session_peer *peer,
                          const struct session_job *job, uint32_t role, uint64_t now_ns)
{
	struct wg_keypair fresh = {
		.index = job->local_index,
		.initiator = role == ABI_ROLE_INITIATOR,
		.birth_ns = now_ns,
	};
	struct abi_cmd_session_install install = {
		.index = job->local_index,
		.remote_index = job->remote_index,
		.peer = peer->id,
		.role = role,
		.birth_ns = now_ns,
		.remote = job->source.remote,
		.local = job->source.local,
		.port = job->source.port,
		.key_serial = peer->key_serial,
		.hub_serial = job->hub_serial,
	};
	int r;

	memcpy(install.send_key, job->keys.send, sizeof(install.send_key));
	memcpy(install.receive_key, job->keys.receive, sizeof(install.receive_key));
	r = program_session_install(table->program, &install);
	base_wipe(&install, sizeof(install));
	if (r != 0) {
		session__slots_release(&table->slots, job->local_index);
		log_warn("session", "keys not installed peer=%u err=%s", peer->id, strerror(-r));
		return r;
	}
	peer->owner = 1 + abi_index_worker(job->local_index);
	session__slots_hub_set(&table->slots, job->local_index, job->hub_serial);
	session__keys_retire(table, peer, wg_keypair_add(&peer->ring, fresh));
	wg_timers_handshake_derived(&peer->timers, fresh.initiator, now_ns);
	session__next_contend(table, peer);
	return 0;
}

void session__keys_completed(struct session_table *table, struct session_peer *peer,
                             uint64_t now_ns)
{
	session__abandon(table, peer);
	wg_timers_handshake_confirmed(&peer->timers);
	peer->last_handshake_wall_ns = table->clock.wall_ns();
	peer->completed_ns = now_ns;
	session__hub_used(table, peer, session__slots_hub(&table->slots, peer->ring.current.index));
	program_count(table->program, ABI_COUNTER_HS_COMPLETED, 1);
	session__peer_turn(table, peer, now_ns);
	session__changed(table, peer);
}

void session__keys_used(struct session_table *table, struct session_peer *peer, uint32_t index,
                        uint64_t now_ns)
{
	bool switched = false;

	session__keys_retire(table, peer, wg_keypair_confirm(&peer->ring, index, &switched));
	if (!switched)
		return;
	session__next_contend(table, peer);
	session__keys_completed(table, peer, now_ns);
}

void session__keys_redirect(struct session_table *table, const struct session_peer *peer)
{
	struct abi_cmd_endpoint endpoint = {
		.index = peer->ring.current.index,
		.port = peer->source.port,
		.remote = peer->source.remote,
		.local = peer->source.local,
	};

	if (endpoint.index == ABI_INDEX_NONE || peer->source.remote.port == 0)
		return;
	/* Without a dataplane there is nothing to redirect. */
	(void)program_endpoint_set(table->program, &endpoint);
}

/* ---- reading back ------------------------------------------------------------------------------- */

/* What of a session in the region matters here: no key is copied. */
struct found {
	uint32_t index;
	uint32_t peer;
	uint32_t key_serial;
	uint32_t hub_serial;
	uint64_t birth_ns;
	bool initiator;
	bool confirmed;
	struct session_source source;
};

struct found_list {
	struct session_table *table;
	struct found *at;
	size_t n;
	size_t n_max;
};

static int found_add(void *arg, uint32_t worker, uint32_t slot, const struct abi_session *session)
{
	struct found_list *list = arg;
	struct found one = {
		.index = session->index,
		.peer = session->peer,
		.key_serial = session->key_serial,
		.hub_serial = session->hub_serial,
		.birth_ns = session->birth_ns,
		.initiator = session->role == ABI_ROLE_INITIATOR,
		.confirmed = session->confirmed != 0 || session->role == ABI_ROLE_INITIATOR,
		.source = {session->remote, session->local, session->port, worker},
	};

	if (abi_index_worker(one.index) != worker || abi_index_slot(one.index) != slot
	    || !session__slots_occupy(&list->table->slots, one.index, one.peer)) {
		log_err("session", "session in the wrong slot worker=%u slot=%u index=%08x", worker,
		        slot, one.index);
		return 0;
	}
	if (list->n == list->n_max) {
		size_t n_max = list->n_max == 0 ? 64 : 2 * list->n_max;
		struct found *at = reallocarray(list->at, n_max, sizeof(*at));

		if (at == NULL)
			return -ENOMEM;
		list->at = at;
		list->n_max = n_max;
	}
	list->at[list->n++] = one;
	return 0;
}

/* By peer, the newest first. */
static int found_compare(const void *a, const void *b)
{
	const struct found *x = a;
	const struct found *y = b;

	if (x->peer != y->peer)
		return x->peer < y->peer ? -1 : 1;
	if (x->birth_ns != y->birth_ns)
		return x->birth_ns > y->birth_ns ? -1 : 1;
	return 0;
}

/* The newest confirmed session is the current one: the hub is where the peer was last heard. */
static void current_read_back(struct session_table *table, struct session_peer *peer,
                              const struct found *found, uint64_t now_ns)
{
	uint64_t wall_ns = table->clock.wall_ns();
	uint64_t age_ns = now_ns - found->birth_ns;

	peer->owner = 1 + abi_index_worker(found->index);
	peer->completed_ns = found->birth_ns;
	session__hub_used(table, peer, found->hub_serial);
	if (found->source.remote.port != 0)
		peer->source = found->source;
	if (wall_ns - age_ns > peer->last_handshake_wall_ns && wall_ns > age_ns)
		peer->last_handshake_wall_ns = wall_ns - age_ns;
	wg_timers_handshake_derived(&peer->timers, true, found->birth_ns);
}

/* Newest first. Confirmed: current, then previous. Unconfirmed and newer than the current: next.
 * Returns false when there is no place for it. */
static bool ring_place(struct session_table *table, struct session_peer *peer,
                       const struct found *found, uint64_t now_ns)
{
	struct wg_keypair pair = {found->index, found->initiator, found->birth_ns};
	struct wg_keypair_ring *ring = &peer->ring;

	if (found->birth_ns <= table->disowned_ns[peer->id]
	    || (found->hub_serial != 0 && session__hub(table, found->hub_serial) == NULL))
		return false;
	session__slots_hub_set(&table->slots, found->index, found->hub_serial);
	if (found->birth_ns > now_ns || now_ns - found->birth_ns >= WG_REJECT_AFTER_TIME_NS)
		return false;
	if (!found->confirmed) {
		if (ring->next.index != 0 || ring->current.index != 0)
			return false;
		ring->next = pair;
	} else if (ring->current.index == 0) {
		ring->current = pair;
		current_read_back(table, peer, found, now_ns);
	} else if (ring->previous.index == 0) {
		ring->previous = pair;
	} else {
		return false;
	}
	return true;
}

/* The peer with whose key a session was made, or NULL. */
static struct session_peer *peer_found(const struct session_table *table, const struct found *found)
{
	struct session_peer *peer = session__peer(table, found->peer);

	while (peer != NULL && peer->key_serial != found->key_serial)
		peer = peer->next;
	return peer;
}

void session__keys_read_back(struct session_table *table, uint64_t now_ns)
{
	struct found_list list = {.table = table};
	size_t n_kept = 0;

	if (program_session_each(table->program, found_add, &list) != 0)
		log_err("session", "sessions read back in part only: out of memory");
	if (list.n > 0)
		qsort(list.at, list.n, sizeof(*list.at), found_compare);
	for (size_t i = 0; i < list.n; i++) {
		const struct found *found = &list.at[i];
		struct session_peer *peer = peer_found(table, found);

		if (peer != NULL && ring_place(table, peer, found, now_ns)) {
			n_kept++;
			continue;
		}
		/* Its slot is free again once the table is refilled. */
		session__slots_vacate(&table->slots, found->index);
		(void)program_session_retire(table->program, found->index, found->peer);
	}
	log_info("session", "sessions taken over kept=%zu retired=%zu", n_kept, list.n - n_kept);
	free(list.at);
}

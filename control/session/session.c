/* The table: made and destroyed; and the way in for messages and events. */
#include "base_bytes.h"
#include "program.h"
#include "session_table.h"

#include <sodium.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- table -------------------------------------------------------------------------------------- */

static int tables_alloc(struct session_table *table, uint32_t n_peers)
{
	uint32_t n_buckets = 16;

	while (n_buckets < n_peers)
		n_buckets *= 2;
	table->n_peers = n_peers;
	table->bucket_mask = n_buckets - 1;
	table->peers = calloc(n_peers, sizeof(struct session_peer *));
	table->buckets = calloc(n_buckets, sizeof(struct session_peer *));
	/* each may be between two keys */
	table->heap.at = calloc((size_t)n_peers * 2, sizeof(struct session_peer *));
	table->disowned_ns = calloc(n_peers, sizeof(*table->disowned_ns));
	if (table->peers == NULL || table->buckets == NULL || table->heap.at == NULL
	    || table->disowned_ns == NULL)
		return -ENOMEM;
	return session__slots_init(&table->slots, program_n_workers(table->program),
	                           program_n_slots(table->program));
}

static void tables_free(struct session_table *table)
{
	session__slots_fini(&table->slots);
	free(table->disowned_ns);
	free(table->heap.at);
	free(table->buckets);
	free(table->peers);
}

int session_create(struct event_base *base, struct program *program,
                   const uint8_t private_key[static 32], uint32_t n_threads, uint32_t n_peers,
                   struct session_table **out)
{
	struct session_table *table;
	int r;

	if (sodium_init() < 0)
		return -EIO;
	table = calloc(1, sizeof(*table));
	if (table == NULL)
		return -ENOMEM;
	table->program = program;
	table->clock = (struct session_clock){base_time_monotonic_ns, base_time_wall_ns};
	table->timer_ns = WG_TIMER_NEVER;
	randombytes_buf(&table->hash_key, sizeof(table->hash_key));
	table->load.sources.rate = base_bucket_rate(SESSION_LOAD_RATE, SESSION_LOAD_BURST);
	randombytes_buf(&table->load.sources.key, sizeof(table->load.sources.key));
	session__hub_init(&table->hub, private_key);
	r = tables_alloc(table, n_peers);
	if (r != 0)
		goto err_tables;
	r = session__jobs_init(&table->jobs, n_threads);
	if (r != 0)
		goto err_tables;
	r = session__events_add(table, base);
	if (r != 0)
		goto err_events;
	*out = table;
	return 0;

err_events:
	session__events_free(table);
	session__jobs_fini(&table->jobs);
err_tables:
	tables_free(table);
	base_wipe(table, sizeof(*table));
	free(table);
	return r;
}

void session_destroy(struct session_table *table)
{
	if (table == NULL)
		return;
	session__events_free(table);
	session__jobs_fini(&table->jobs);
	for (uint32_t id = 0; id < table->n_peers; id++)
		if (table->peers[id] != NULL) {
			if (table->peers[id]->next != NULL)
				session__peer_free(table->peers[id]->next);
			session__peer_free(table->peers[id]);
		}
	tables_free(table);
	base_wipe(table, sizeof(*table));
	free(table);
}

const uint8_t *session_public_key(const struct session_table *table)
{
	return table->hub.identity.public_key;
}

void session__clock_set(struct session_table *table, const struct session_clock *clock)
{
	table->clock = *clock;
}

void session_on_change(struct session_table *table, session_changed_fn *fn, void *arg)
{
	table->on_change = fn;
	table->on_change_arg = arg;
}

void session_on_unanswered(struct session_table *table, session_unanswered_fn *fn, void *arg)
{
	table->on_unanswered = fn;
	table->on_unanswered_arg = arg;
}

void session__changed(struct session_table *table, const struct session_peer *peer)
{
	if (table->on_change != NULL)
		table->on_change(table->on_change_arg, peer->id);
}

void session_on_stamp(struct session_table *table, const uint8_t *floor, session_stamp_fn *fn,
                      void *arg)
{
	if (floor != NULL) {
		memcpy(table->stamp, floor, WG_TIMESTAMP_LEN);
		memcpy(table->stamp_reserved, floor, WG_TIMESTAMP_LEN);
	}
	table->on_stamp = fn;
	table->on_stamp_arg = arg;
}

/* ---- messages ----------------------------------------------------------------------------------- */

int session__inject(struct session_table *table, const struct session_source *source,
                    const uint8_t *message, uint16_t len)
{
	struct abi_cmd_inject inject = {
		.remote = source->remote,
		.local = source->local,
		.port = source->port,
		.len = len,
	};

	memcpy(inject.message, message, len);
	return program_inject(table->program, source->worker, &inject);
}

/* Who made the index that a message names, or NULL. */
static struct session_peer *peer_of(const struct session_table *table, uint32_t index)
{
	struct session_peer *peer = session__peer(table, session__slots_peer(&table->slots, index));

	return peer != NULL ? session__peer_with(peer, index) : NULL;
}

static void cookie_in(struct session_table *table, const uint8_t message[static WG_COOKIE_LEN],
                      uint64_t now_ns)
{
	struct session_peer *peer = peer_of(table, base_load_le32(message + WG_COOKIE_RECEIVER));

	program_count(table->program, ABI_COUNTER_HS_COOKIE_IN, 1);
	if (peer == NULL)
		program_count(table->program, ABI_COUNTER_HS_REFUSED_NO_HANDSHAKE, 1);
	else if (wg_cookie_reply_consume(&peer->cookie, message, now_ns) != 0)
		program_count(table->program, ABI_COUNTER_HS_REFUSED_COOKIE, 1);
}

/* A response is looked up before the load is weighed: one to no handshake of ours gets no cookie, and
 * the first to one of ours is what we asked for: a hub that calls all its peers after a restart must not
 * take their answers for a flood. There is one for each initiation of ours, so whoever forges it gains
 * two X25519 steps of us and no more. */
static void response_in(struct session_table *table, struct session_hub *hub,
                        const struct session_source *source,
                        const uint8_t message[static WG_RESPONSE_LEN], bool has_mac2,
                        uint64_t now_ns)
{
	uint32_t index = base_load_le32(message + WG_RESPONSE_RECEIVER);
	struct session_peer *peer = peer_of(table, index);

	program_count(table->program, ABI_COUNTER_HS_RESPONSE_IN, 1);
	if (peer == NULL || peer->handshake.local_index != index) {
		program_count(table->program, ABI_COUNTER_HS_REFUSED_NO_HANDSHAKE, 1);
		return;
	}
	if (!peer->answered
	    || !session__refused_by_load(table, hub, source, message, WG_RESPONSE_LEN, has_mac2,
	                                 now_ns))
		session__response_in(table, peer, source, message);
}

static void initiation_in(struct session_table *table, struct session_hub *hub,
                          const struct session_source *source,
                          const uint8_t message[static WG_INITIATION_LEN], bool has_mac2,
                          uint64_t now_ns)
{
	program_count(table->program, ABI_COUNTER_HS_INITIATION_IN, 1);
	if (!session__refused_by_load(table, hub, source, message, WG_INITIATION_LEN, has_mac2,
	                              now_ns))
		session__initiation_in(table, source, hub, message);
}

/* The worker checked form and mac1 already; the event came through memory that is not ours alone. */
void session_handshake_in(struct session_table *table, uint32_t worker,
                          const struct abi_event_handshake *event)
{
	struct session_source source = {event->remote, event->local, event->port, worker};
	enum wg_cookie_verdict macs = WG_COOKIE_MAC1_OK;
	struct session_hub *hub = &table->hub;
	uint64_t now_ns = session__now(table);
	uint8_t type;

	if (event->len > sizeof(event->message) || worker >= table->slots.n_workers
	    || wg_message_check(event->message, event->len) != WG_MESSAGE_OK
	    || event->message[0] == WG_MESSAGE_DATA || event->hub_key >= ABI_HUB_KEYS
	    || event->proven > 1) {
		program_count(table->program, ABI_COUNTER_HS_REFUSED_MALFORMED, 1);
		return;
	}
	type = event->message[0];
	if (type != WG_MESSAGE_COOKIE)
		macs = wg_cookie_check(&hub->checker, event->message, event->len, &source.remote,
		                       now_ns);
	if (macs == WG_COOKIE_MAC1_BAD && table->has_next_hub) {
		hub = &table->next_hub;
		macs = wg_cookie_check(&hub->checker, event->message, event->len, &source.remote,
		                       now_ns);
	}
	if (macs == WG_COOKIE_MAC1_BAD) {
		program_count(table->program, ABI_COUNTER_HS_REFUSED_MALFORMED, 1);
		return;
	}
	/* It has answered a cookie of the worker's. */
	if (event->proven != 0)
		macs = WG_COOKIE_MAC2_OK;
	if (type == WG_MESSAGE_INITIATION)
		initiation_in(table, hub, &source, event->message, macs == WG_COOKIE_MAC2_OK,
		              now_ns);
	else if (type == WG_MESSAGE_RESPONSE)
		response_in(table, hub, &source, event->message, macs == WG_COOKIE_MAC2_OK, now_ns);
	else
		cookie_in(table, event->message, now_ns);
	session__timer_arm(table);
}

/* ---- events ------------------------------------------------------------------------------------- */

void session_confirmed(struct session_table *table, uint32_t index, uint32_t id)
{
	struct session_peer *peer = session__peer(table, id);

	if (peer == NULL)
		return;
	session__keys_used(table, session__peer_with(peer, index), index, session__now(table));
	session__timer_arm(table);
}

void session_endpoint_moved(struct session_table *table, const struct abi_event_endpoint *event)
{
	struct session_peer *peer = session__peer(table, event->peer);

	if (peer == NULL || session__slots_peer(&table->slots, event->index) != peer->id)
		return;
	peer = session__peer_with(peer, event->index);
	/* It came on an authenticated packet, so it also tells that the session is in use. */
	session__keys_used(table, peer, event->index, session__now(table));
	if (peer->shares_key)
		session__source_set(peer->prior,
		                    &(struct session_source){event->remote, event->local,
		                                             event->port, peer->source.worker});
	session__source_set(peer, &(struct session_source){event->remote, event->local, event->port,
	                                                   peer->source.worker});
	if (event->index != peer->ring.current.index)
		session__keys_redirect(table, peer);
	session__changed(table, peer);
	session__timer_arm(table);
}

/* The question may have crossed the answer: another session than the silent one, or a session where the
 * worker had none, made since it asked. */
static bool has_just_begun(const struct session_peer *peer, uint32_t index, uint64_t now_ns)
{
	const struct wg_keypair *current = &peer->ring.current;

	return current->index != 0 && current->index != index
	       && now_ns - current->birth_ns < WG_REKEY_TIMEOUT_NS;
}

static bool may_be_called(const struct session_peer *peer)
{
	return peer->source.remote.port != 0
	       || (peer->next != NULL && peer->next->source.remote.port != 0);
}

void session_wanted(struct session_table *table, uint32_t id, uint32_t index)
{
	struct session_peer *peer = session__peer(table, id);
	uint64_t now_ns = session__now(table);

	if (peer == NULL || has_just_begun(peer, index, now_ns))
		return;
	/* It was never heard of: what waits for it may wait for ever. */
	if (index == ABI_INDEX_NONE && !may_be_called(peer)) {
		(void)program_handshake_over(table->program, id);
		return;
	}
	if (peer->next != NULL && has_just_begun(peer->next, index, now_ns))
		return;
	if (index != ABI_INDEX_NONE || !session__next_prefer(table, peer))
		session__want_any(table, peer, now_ns);
	session__timer_arm(table);
}

void session_rekey_due(struct session_table *table, uint32_t id, uint32_t index)
{
	struct session_peer *peer = session__peer(table, id);
	uint64_t now_ns = session__now(table);

	if (peer == NULL)
		return;
	peer = session__peer_with(peer, index);
	session__keys_used(table, peer, index, now_ns);
	if (index == peer->ring.current.index)
		session__want(table, session__next_caller(peer), now_ns);
	session__timer_arm(table);
}

/* Call fn for each peer, and for both of a peer between two keys. */
typedef void peer_fn(struct session_table *table, struct session_peer *peer, uint64_t now_ns);
static void peers_each(struct session_table *table, peer_fn *fn, uint64_t now_ns)
{
	for (uint32_t id = 0; id < table->n_peers; id++) {
		struct session_peer *peer = table->peers[id];

		if (peer == NULL)
			continue;
		fn(table, peer, now_ns);
		if (peer->next != NULL)
			fn(table, peer->next, now_ns);
	}
}

/* A dataplane without our sessions: every peer whose endpoint is known is called, paced. */
static void initiate_to_all(struct session_table *table, uint64_t now_ns)
{
	uint32_t n = 0;

	for (uint32_t id = 0; id < table->n_peers; id++) {
		for (struct session_peer *peer = table->peers[id]; peer != NULL;
		     peer = peer->next) {
			if (peer->source.remote.port == 0 || peer->shares_key)
				continue;
			wg_timers_handshake_init(&peer->timers);
			peer->wanted_ns = now_ns + n++ / SESSION_PACE_PEERS * SESSION_PACE_NS;
		}
	}
}

/* The newest that is still of use, or ABI_INDEX_NONE. */
static uint32_t newest_of(const struct wg_keypair_ring *ring, uint64_t now_ns)
{
	const struct wg_keypair *newest = ring->next.index != ABI_INDEX_NONE ? &ring->next
	                                                                     : &ring->current;

	return now_ns < newest->birth_ns + WG_REJECT_AFTER_TIME_NS ? newest->index : ABI_INDEX_NONE;
}

/* What was under way with the dataplane before is begun again. */
static void begin_anew(struct session_table *table, struct session_peer *peer, uint64_t now_ns)
{
	bool under_way = peer->creating != 0 || peer->handshake.local_index != 0
	                 || peer->wanted_ns != 0;

	session__abandon(table, peer);
	peer->newest_before = newest_of(&peer->ring, now_ns);
	wg_keypair_clear(&peer->ring);
	wg_timers_handshake_init(&peer->timers);
	peer->wanted_ns = under_way ? now_ns : 0;
}

/* The dataplane before was killed with the peer's newest keys in its ring of commands, while the response that
 * made them may have been sent, or is sent now: the peer may use what nobody here knows. It is called, else it
 * finds out after 15 s. */
static void call_if_lost(struct session_table *table, struct session_peer *peer, uint64_t now_ns)
{
	struct session_peer *caller = session__next_caller(peer);

	(void)table;
	if (peer->newest_before == ABI_INDEX_NONE || peer->newest_before == peer->ring.current.index
	    || peer->newest_before == peer->ring.next.index || caller->source.remote.port == 0)
		return;
	if (caller->wanted_ns == 0)
		caller->wanted_ns = now_ns;
}

static void contend(struct session_table *table, struct session_peer *peer, uint64_t now_ns)
{
	(void)now_ns;
	session__next_contend(table, peer);
}

void session_attached(struct session_table *table, bool resumed)
{
	uint64_t now_ns = session__now(table);

	table->attached = true;
	table->epoch++;
	peers_each(table, begin_anew, now_ns);
	session__slots_reset(&table->slots);
	if (resumed)
		session__keys_read_back(table, now_ns);
	session__slots_refill(&table->slots);
	if (resumed) {
		peers_each(table, call_if_lost, now_ns);
		peers_each(table, contend, now_ns);
	} else {
		initiate_to_all(table, now_ns);
	}
	peers_each(table, session__peer_turn, now_ns);
	session__timer_arm(table);
}

void session_detached(struct session_table *table)
{
	table->attached = false;
}

bool session_is_quiet(const struct session_table *table)
{
	return table->jobs.n_used == 0;
}

/* The table: peers by id and by key, time, and the way in for messages and events. */
#include "base_bytes.h"
#include "base_log.h"
#include "program.h"
#include "session_table.h"
#include "wg_key.h"

#include <sodium.h>

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- time --------------------------------------------------------------------------------------- */

/* Set the timer for the first peer of the heap. */
static void timer_arm(struct session_table *table)
{
	const struct session_peer *peer = session__heap_first(&table->heap);
	uint64_t now_ns, delay_ns;
	struct timeval delay;

	if (peer == NULL) {
		event_del(table->timer);
		table->timer_ns = WG_TIMER_NEVER;
		return;
	}
	if (table->timer_ns == peer->wake_ns)
		return;
	now_ns = session__now(table);
	delay_ns = peer->wake_ns > now_ns ? peer->wake_ns - now_ns : 0;
	delay.tv_sec = (time_t)(delay_ns / BASE_NS_PER_S);
	delay.tv_usec = (suseconds_t)(delay_ns % BASE_NS_PER_S / 1000 + 1);
	if (delay.tv_usec >= 1000000)
		delay.tv_usec = 999999;
	if (event_add(table->timer, &delay) == 0)
		table->timer_ns = peer->wake_ns;
	else
		log_err("session", "timer cannot be set: handshakes are not repeated");
}

void session__tick(struct session_table *table, uint64_t now_ns)
{
	struct session_peer *peer;

	while ((peer = session__heap_first(&table->heap)) != NULL && peer->wake_ns <= now_ns)
		session__peer_turn(table, peer, now_ns);
	timer_arm(table);
}

static void timer_fired(evutil_socket_t fd, short what, void *arg)
{
	struct session_table *table = arg;

	(void)fd;
	(void)what;
	table->timer_ns = WG_TIMER_NEVER;
	session__tick(table, session__now(table));
}

/* When the oldest keypair of the ring has to go. */
static uint64_t ring_expiry_ns(const struct wg_keypair_ring *ring)
{
	const struct wg_keypair *pairs[] = {&ring->previous, &ring->current, &ring->next};
	uint64_t first_ns = WG_TIMER_NEVER;

	for (size_t i = 0; i < BASE_ARRAY_LEN(pairs); i++) {
		uint64_t end_ns = pairs[i]->birth_ns + WG_REJECT_AFTER_TIME_NS;

		if (pairs[i]->index != 0 && end_ns < first_ns)
			first_ns = end_ns;
	}
	return first_ns;
}

static void give_up(struct session_table *table, struct session_peer *peer)
{
	session__abandon(table, peer);
	program_count(table->program, ABI_COUNTER_HS_GAVE_UP, 1);
	log_info("session", "peer does not answer handshakes, given up after 90 s peer=%u",
	         peer->id);
}

/* What the handshake timers ask for. Returns when they want to be asked again. */
static uint64_t timers_turn(struct session_table *table, struct session_peer *peer, uint64_t now_ns)
{
	uint64_t next_ns = WG_TIMER_NEVER;

	/* While an initiation is being made the timers rest: they go on when it was sent. */
	while (peer->creating == 0 && peer->wanted_ns == 0) {
		switch (wg_timers_handshake_poll(&peer->timers, now_ns, &next_ns)) {
		case WG_TIMERS_HANDSHAKE_NOTHING:
			return next_ns;
		case WG_TIMERS_HANDSHAKE_SEND_INITIATION:
			session__initiate(table, peer, now_ns);
			break;
		case WG_TIMERS_HANDSHAKE_GIVE_UP:
			give_up(table, peer);
			break;
		case WG_TIMERS_HANDSHAKE_ZERO_KEYS:
			session__keys_retire(table, peer, wg_keypair_clear(&peer->ring));
			session__abandon(table, peer);
			break;
		}
	}
	return WG_TIMER_NEVER;
}

void session__peer_turn(struct session_table *table, struct session_peer *peer, uint64_t now_ns)
{
	uint64_t wake_ns, expiry_ns;

	session__keys_retire(table, peer, wg_keypair_expire(&peer->ring, now_ns));
	if (peer->wanted_ns != 0 && peer->wanted_ns <= now_ns && peer->creating == 0)
		session__initiate(table, peer, now_ns);
	wake_ns = timers_turn(table, peer, now_ns);
	expiry_ns = ring_expiry_ns(&peer->ring);
	if (expiry_ns < wake_ns)
		wake_ns = expiry_ns;
	if (peer->wanted_ns != 0 && peer->wanted_ns < wake_ns)
		wake_ns = peer->wanted_ns;
	/* Never before now: one turn for each peer in one tick. */
	if (wake_ns <= now_ns)
		wake_ns = now_ns + 1;
	session__heap_set(&table->heap, peer, wake_ns);
}

/* ---- to the threads and back --------------------------------------------------------------------- */

struct session_peer *session__job_peer(const struct session_table *table,
                                       const struct session_job *job)
{
	struct session_peer *peer = session__peer(table, job->peer);

	if (peer == NULL || peer->generation != job->generation || table->epoch != job->epoch)
		return NULL;
	return peer;
}

static void jobs_submitted(evutil_socket_t fd, short what, void *arg)
{
	struct session_table *table = arg;

	(void)fd;
	(void)what;
	session__jobs_flush(&table->jobs);
}

/* The event runs in this turn of the loop, behind the callbacks that are due before it. */
void session__submit(struct session_table *table, struct session_job *job)
{
	if (table->jobs.n_new == 0)
		event_active(table->submit_event, EV_TIMEOUT, 0);
	session__jobs_submit(&table->jobs, job);
}

static void jobs_finished(evutil_socket_t fd, short what, void *arg)
{
	struct session_table *table = arg;
	uint64_t now_ns = session__now(table);
	struct session_job *job;
	uint64_t n;

	(void)what;
	/* Nothing to read means another turn has taken the results already. */
	if (read(fd, &n, sizeof(n)) != sizeof(n) && errno != EAGAIN)
		log_err("session", "eventfd of the handshake threads err=%s", strerror(errno));
	while ((job = session__jobs_done(&table->jobs)) != NULL) {
		switch (job->kind) {
		case SESSION_JOB_OPEN:
			session__initiation_opened(table, job, now_ns);
			break;
		case SESSION_JOB_RESPOND:
			session__response_made(table, job, now_ns);
			break;
		case SESSION_JOB_INITIATE:
			session__initiation_made(table, job, now_ns);
			break;
		case SESSION_JOB_FINISH:
			session__response_consumed(table, job, now_ns);
			break;
		}
	}
	timer_arm(table);
}

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
	table->heap.at = calloc(n_peers, sizeof(struct session_peer *));
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

static int events_add(struct session_table *table, struct event_base *base)
{
	table->done_event = event_new(base, table->jobs.done_fd, EV_READ | EV_PERSIST,
	                              jobs_finished, table);
	table->submit_event = event_new(base, -1, 0, jobs_submitted, table);
	table->timer = evtimer_new(base, timer_fired, table);
	if (table->done_event == NULL || table->submit_event == NULL || table->timer == NULL
	    || event_add(table->done_event, NULL) != 0)
		return -ENOMEM;
	return 0;
}

static void events_free(struct session_table *table)
{
	if (table->done_event != NULL)
		event_free(table->done_event);
	if (table->submit_event != NULL)
		event_free(table->submit_event);
	if (table->timer != NULL)
		event_free(table->timer);
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
	table->load.rate = base_bucket_rate(SESSION_LOAD_RATE, SESSION_LOAD_BURST);
	wg_noise_identity_init(&table->identity, private_key);
	wg_cookie_checker_init(&table->checker, table->identity.public_key);
	r = tables_alloc(table, n_peers);
	if (r != 0)
		goto err_tables;
	r = session__jobs_init(&table->jobs, &table->identity, n_threads);
	if (r != 0)
		goto err_tables;
	r = events_add(table, base);
	if (r != 0)
		goto err_events;
	*out = table;
	return 0;

err_events:
	events_free(table);
	session__jobs_fini(&table->jobs);
err_tables:
	tables_free(table);
	base_wipe(table, sizeof(*table));
	free(table);
	return r;
}

static void peer_free(struct session_peer *peer)
{
	base_wipe(peer, sizeof(*peer));
	free(peer);
}

void session_destroy(struct session_table *table)
{
	if (table == NULL)
		return;
	events_free(table);
	session__jobs_fini(&table->jobs);
	for (uint32_t id = 0; id < table->n_peers; id++)
		if (table->peers[id] != NULL)
			peer_free(table->peers[id]);
	tables_free(table);
	base_wipe(table, sizeof(*table));
	free(table);
}

const uint8_t *session_public_key(const struct session_table *table)
{
	return table->identity.public_key;
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

/* ---- peers -------------------------------------------------------------------------------------- */

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

static void bucket_remove(struct session_table *table, struct session_peer *peer)
{
	struct session_peer **at = &table->buckets[bucket_of(table, peer->noise.public_key)];

	while (*at != peer)
		at = &(*at)->hash_next;
	*at = peer->hash_next;
}

static void bucket_add(struct session_table *table, struct session_peer *peer)
{
	struct session_peer **at = &table->buckets[bucket_of(table, peer->noise.public_key)];

	peer->hash_next = *at;
	*at = peer;
}

static int peer_create(struct session_table *table, uint32_t id, const struct wg_noise_peer *noise)
{
	struct session_peer *peer = calloc(1, sizeof(*peer));

	if (peer == NULL)
		return -ENOMEM;
	peer->id = id;
	peer->heap_at = SESSION_HEAP_NONE;
	peer->generation = ++table->generation;
	peer->noise = *noise;
	wg_cookie_maker_init(&peer->cookie, noise->public_key);
	wg_timers_handshake_init(&peer->timers);
	peer->source.port = UINT32_MAX;
	peer->source.worker = id % table->slots.n_workers;
	table->peers[id] = peer;
	bucket_add(table, peer);
	return 0;
}

/* The configured endpoint, when it is another one than is in use. */
static void peer_set_endpoint(struct session_table *table, struct session_peer *peer,
                              const struct base_endpoint *endpoint)
{
	if (endpoint == NULL || endpoint->port == 0
	    || base_endpoint_equal(endpoint, &peer->source.remote))
		return;
	peer->source.remote = *endpoint;
	peer->source.local = (struct base_ip){0};
	peer->source.port = UINT32_MAX;
	session__keys_redirect(table, peer);
}

static bool same_keys(const struct session_peer *peer, const struct wg_noise_peer *noise)
{
	return base_equal_ct(peer->noise.public_key, noise->public_key, WG_KEY_LEN)
	       && base_equal_ct(peer->noise.preshared_key, noise->preshared_key, WG_KEY_LEN);
}

int session_peer_put(struct session_table *table, uint32_t id, const uint8_t public_key[static 32],
                     const uint8_t *preshared_key, const struct base_endpoint *endpoint,
                     const uint8_t *last_timestamp)
{
	static const uint8_t no_preshared_key[WG_KEY_LEN];
	struct session_peer *holder = session__peer_by_key(table, public_key);
	struct wg_noise_peer noise;
	int r;

	assert(id < table->n_peers);
	if (holder != NULL && holder->id != id)
		return -EEXIST;
	r = wg_noise_peer_init(&noise, &table->identity, public_key,
	                       preshared_key != NULL ? preshared_key : no_preshared_key);
	if (r != 0)
		return r;
	if (table->peers[id] != NULL && !same_keys(table->peers[id], &noise))
		session_peer_drop(table, id);
	if (table->peers[id] == NULL)
		r = peer_create(table, id, &noise);
	base_wipe(&noise, sizeof(noise));
	if (r != 0)
		return r;
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
	session__keys_retire(table, peer, wg_keypair_clear(&peer->ring));
	session__abandon(table, peer);
	session__heap_set(&table->heap, peer, WG_TIMER_NEVER);
	bucket_remove(table, peer);
	table->peers[id] = NULL;
	peer_free(peer);
	timer_arm(table);
}

void session_peer_disown(struct session_table *table, uint32_t id)
{
	assert(id < table->n_peers);
	table->disowned_ns[id] = session__now(table);
}

int session_peer_info(const struct session_table *table, uint32_t id, struct session_peer_info *out)
{
	const struct session_peer *peer = session__peer(table, id);

	if (peer == NULL)
		return -ENOENT;
	*out = (struct session_peer_info){
		.last_handshake_wall_ns = peer->last_handshake_wall_ns,
		.endpoint = peer->source.remote,
		.current_index = peer->ring.current.index,
	};
	memcpy(out->last_timestamp, peer->noise.last_timestamp, WG_TIMESTAMP_LEN);
	return 0;
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

static void cookie_in(struct session_table *table, const uint8_t message[static WG_COOKIE_LEN],
                      uint64_t now_ns)
{
	uint32_t index = base_load_le32(message + WG_COOKIE_RECEIVER);
	struct session_peer *peer = session__peer(table, session__slots_peer(&table->slots, index));

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
static void response_in(struct session_table *table, const struct session_source *source,
                        const uint8_t message[static WG_RESPONSE_LEN], bool has_mac2,
                        uint64_t now_ns)
{
	uint32_t index = base_load_le32(message + WG_RESPONSE_RECEIVER);
	struct session_peer *peer = session__peer(table, session__slots_peer(&table->slots, index));

	program_count(table->program, ABI_COUNTER_HS_RESPONSE_IN, 1);
	if (peer == NULL || peer->handshake.local_index != index) {
		program_count(table->program, ABI_COUNTER_HS_REFUSED_NO_HANDSHAKE, 1);
		return;
	}
	if (!peer->answered
	    || !session__refused_by_load(table, source, message, WG_RESPONSE_LEN, has_mac2, now_ns))
		session__response_in(table, peer, source, message);
}

static void initiation_in(struct session_table *table, const struct session_source *source,
                          const uint8_t message[static WG_INITIATION_LEN], bool has_mac2,
                          uint64_t now_ns)
{
	program_count(table->program, ABI_COUNTER_HS_INITIATION_IN, 1);
	if (!session__refused_by_load(table, source, message, WG_INITIATION_LEN, has_mac2, now_ns))
		session__initiation_in(table, source, message);
}

/* The worker checked form and mac1 already; the event came through memory that is not ours alone. */
void session_handshake_in(struct session_table *table, uint32_t worker,
                          const struct abi_event_handshake *event)
{
	struct session_source source = {event->remote, event->local, event->port, worker};
	enum wg_cookie_verdict macs = WG_COOKIE_MAC1_OK;
	uint64_t now_ns = session__now(table);
	uint8_t type;

	if (event->len > sizeof(event->message) || worker >= table->slots.n_workers
	    || wg_message_check(event->message, event->len) != WG_MESSAGE_OK
	    || event->message[0] == WG_MESSAGE_DATA) {
		program_count(table->program, ABI_COUNTER_HS_REFUSED_MALFORMED, 1);
		return;
	}
	type = event->message[0];
	if (type != WG_MESSAGE_COOKIE)
		macs = wg_cookie_check(&table->checker, event->message, event->len, &source.remote,
		                       now_ns);
	if (macs == WG_COOKIE_MAC1_BAD) {
		program_count(table->program, ABI_COUNTER_HS_REFUSED_MALFORMED, 1);
		return;
	}
	if (type == WG_MESSAGE_INITIATION)
		initiation_in(table, &source, event->message, macs == WG_COOKIE_MAC2_OK, now_ns);
	else if (type == WG_MESSAGE_RESPONSE)
		response_in(table, &source, event->message, macs == WG_COOKIE_MAC2_OK, now_ns);
	else
		cookie_in(table, event->message, now_ns);
	timer_arm(table);
}

/* ---- events ------------------------------------------------------------------------------------- */

void session_confirmed(struct session_table *table, uint32_t index, uint32_t id)
{
	struct session_peer *peer = session__peer(table, id);

	if (peer == NULL)
		return;
	session__keys_used(table, peer, index, session__now(table));
	timer_arm(table);
}

void session_endpoint_moved(struct session_table *table, const struct abi_event_endpoint *event)
{
	struct session_peer *peer = session__peer(table, event->peer);

	if (peer == NULL || session__slots_peer(&table->slots, event->index) != peer->id)
		return;
	/* It came on an authenticated packet, so it also tells that the session is in use. */
	session__keys_used(table, peer, event->index, session__now(table));
	peer->source.remote = event->remote;
	peer->source.local = event->local;
	peer->source.port = event->port;
	if (event->index != peer->ring.current.index)
		session__keys_redirect(table, peer);
	session__changed(table, peer);
	timer_arm(table);
}

void session_wanted(struct session_table *table, uint32_t id, uint32_t index)
{
	struct session_peer *peer = session__peer(table, id);
	uint64_t now_ns = session__now(table);
	const struct wg_keypair *current;

	if (peer == NULL)
		return;
	current = &peer->ring.current;
	/* The question may have crossed the answer: another session than the silent one, or a
	 * session where the worker had none, made since it asked. */
	if (current->index != 0 && current->index != index
	    && now_ns - current->birth_ns < WG_REKEY_TIMEOUT_NS)
		return;
	session__want(table, peer, now_ns);
	timer_arm(table);
}

void session_rekey_due(struct session_table *table, uint32_t id, uint32_t index)
{
	struct session_peer *peer = session__peer(table, id);
	uint64_t now_ns = session__now(table);

	if (peer == NULL)
		return;
	session__keys_used(table, peer, index, now_ns);
	if (index == peer->ring.current.index)
		session__want(table, peer, now_ns);
	timer_arm(table);
}

/* A dataplane without our sessions: every peer whose endpoint is known is called, paced. */
static void initiate_to_all(struct session_table *table, uint64_t now_ns)
{
	uint32_t n = 0;

	for (uint32_t id = 0; id < table->n_peers; id++) {
		struct session_peer *peer = table->peers[id];

		if (peer == NULL || peer->source.remote.port == 0)
			continue;
		wg_timers_handshake_init(&peer->timers);
		peer->wanted_ns = now_ns + n++ / SESSION_PACE_PEERS * SESSION_PACE_NS;
	}
}

void session_attached(struct session_table *table, bool resumed)
{
	uint64_t now_ns = session__now(table);

	table->attached = true;
	table->epoch++;
	for (uint32_t id = 0; id < table->n_peers; id++) {
		struct session_peer *peer = table->peers[id];
		bool under_way;

		if (peer == NULL)
			continue;
		under_way = peer->creating != 0 || peer->handshake.local_index != 0
		            || peer->wanted_ns != 0;
		session__abandon(table, peer);
		wg_keypair_clear(&peer->ring);
		wg_timers_handshake_init(&peer->timers);
		peer->wanted_ns = under_way ? now_ns : 0;
	}
	session__slots_reset(&table->slots);
	if (resumed)
		session__keys_read_back(table, now_ns);
	session__slots_refill(&table->slots);
	if (!resumed)
		initiate_to_all(table, now_ns);
	for (uint32_t id = 0; id < table->n_peers; id++)
		if (table->peers[id] != NULL)
			session__peer_turn(table, table->peers[id], now_ns);
	timer_arm(table);
}

void session_detached(struct session_table *table)
{
	table->attached = false;
}

/* The hub as initiator (whitepaper 5.4.2, 5.4.3, 6). */
#include "base_bytes.h"
#include "base_log.h"
#include "program.h"
#include "session_table.h"

#include <sodium.h>

#include <assert.h>
#include <string.h>

#define TAI64N_NS_AT    8U         /* seconds before, big endian */
#define STAMP_STEP_NS   (1U << 24) /* the grain to which wg_noise_timestamp() rounds */
#define STAMP_RESERVE_S 10U

static void stamp_next(uint8_t stamp[static WG_TIMESTAMP_LEN])
{
	uint32_t ns = base_load_be32(stamp + TAI64N_NS_AT) + STAMP_STEP_NS;

	if (ns >= BASE_NS_PER_S) {
		ns -= (uint32_t)BASE_NS_PER_S;
		base_store_be64(stamp, base_load_be64(stamp) + 1);
	}
	base_store_be32(stamp + TAI64N_NS_AT, ns);
}

/* The wall clock's timestamp, or one grain after our last when the clock does not say more. */
static void stamp_take(struct session_table *table, uint8_t out[static WG_TIMESTAMP_LEN])
{
	wg_noise_timestamp(out, table->clock.wall_ns());
	if (memcmp(out, table->stamp, WG_TIMESTAMP_LEN) <= 0) {
		memcpy(out, table->stamp, WG_TIMESTAMP_LEN);
		stamp_next(out);
	}
	memcpy(table->stamp, out, WG_TIMESTAMP_LEN);
	if (table->on_stamp == NULL || memcmp(out, table->stamp_reserved, WG_TIMESTAMP_LEN) <= 0)
		return;
	memcpy(table->stamp_reserved, out, WG_TIMESTAMP_LEN);
	base_store_be64(table->stamp_reserved, base_load_be64(out) + STAMP_RESERVE_S);
	table->on_stamp(table->on_stamp_arg, table->stamp_reserved);
}

void session__want(struct session_table *table, struct session_peer *peer, uint64_t now_ns)
{
	if (peer->source.remote.port == 0 || peer->wanted_ns != 0)
		return;
	if (wg_timers_handshake_want(&peer->timers, now_ns)) {
		session__initiate(table, peer, now_ns);
	} else if (peer->timers.retransmit_due_ns == 0) {
		/* Too soon after the last: not forgotten, but not before whitepaper 6.1 allows. */
		peer->wanted_ns = peer->timers.last_initiation_sent_ns + WG_REKEY_TIMEOUT_NS;
	}
	session__peer_turn(table, peer, now_ns);
}

void session__want_any(struct session_table *table, struct session_peer *peer, uint64_t now_ns)
{
	session__want(table, peer, now_ns);
	if (peer->next != NULL && !peer->next->shares_key)
		session__want(table, peer->next, now_ns);
}

/* A job and an index, or neither. */
static struct session_job *initiation_begin(struct session_table *table, struct session_peer *peer)
{
	struct session_job *job = session__jobs_get(&table->jobs, true);

	if (job == NULL)
		return NULL;
	job->local_index = session__slots_take(
		&table->slots, session__keys_owner(table, peer, &peer->source), peer->id);
	if (job->local_index != ABI_INDEX_NONE)
		return job;
	session__jobs_put(&table->jobs, job);
	program_count(table->program, ABI_COUNTER_HS_REFUSED_NO_SLOT, 1);
	return NULL;
}

void session__initiate(struct session_table *table, struct session_peer *peer, uint64_t now_ns)
{
	struct session_job *job;

	if (!table->attached) {
		peer->wanted_ns = now_ns + SESSION_RETRY_SLOW_NS;
		return;
	}
	job = initiation_begin(table, peer);
	if (job == NULL) {
		peer->wanted_ns = now_ns + SESSION_RETRY_NS;
		return;
	}
	peer->wanted_ns = 0;
	peer->creating = job->local_index;
	job->kind = SESSION_JOB_INITIATE;
	job->peer = peer->id;
	job->generation = peer->generation;
	job->epoch = table->epoch;
	session__hub_take(job, session__hub_to_call(table, peer));
	session__hub_noise(peer, session__hub(table, job->hub_serial), &job->noise);
	randombytes_buf(job->ephemeral, sizeof(job->ephemeral));
	stamp_take(table, job->timestamp);
	session__submit(table, job);
}

/* An initiation being made keeps its slot until it comes back from its thread. */
void session__abandon(struct session_table *table, struct session_peer *peer)
{
	session__slots_release(&table->slots, peer->handshake.local_index);
	base_wipe(&peer->handshake, sizeof(peer->handshake));
	peer->creating = 0;
	peer->wanted_ns = 0;
}

/* Where to, and by which way if that is known. */
static struct session_source target_of(const struct session_peer *peer)
{
	struct session_source target = peer->source;

	if (peer->call.port == 0)
		return target;
	target.remote = peer->call;
	target.local = (struct base_ip){0};
	target.port = UINT32_MAX;
	return target;
}

static void initiation_send(struct session_table *table, struct session_peer *peer,
                            struct session_job *job, uint64_t now_ns)
{
	struct session_source target = target_of(peer);
	int r;

	/* The one before, still unanswered, ends here (whitepaper 6.4: each try is a new one). */
	session__abandon(table, peer);
	peer->handshake = job->opened.handshake;
	peer->handshake_hub = job->hub_serial;
	peer->answered = false;
	wg_cookie_stamp(&peer->cookie, job->message, WG_INITIATION_LEN, now_ns);
	r = session__inject(table, &target, job->message, WG_INITIATION_LEN);
	if (r == 0)
		program_count(table->program, ABI_COUNTER_HS_INITIATION_OUT, 1);
	else
		log_warn("session", "initiation not sent peer=%u err=%s", peer->id, strerror(-r));
	/* Sent or not, the timers carry on: an initiation that was not sent is one that was lost. */
	wg_timers_handshake_sent(&peer->timers, now_ns,
	                         randombytes_uniform((uint32_t)WG_JITTER_MAX_NS + 1));
	session__peer_turn(table, peer, now_ns);
}

void session__initiation_made(struct session_table *table, struct session_job *job, uint64_t now_ns)
{
	struct session_peer *peer = session__job_peer(table, job);

	if (peer != NULL && peer->creating == job->local_index && job->verdict == 0
	    && session__hub(table, job->hub_serial) != NULL) {
		initiation_send(table, peer, job, now_ns);
		session__jobs_put(&table->jobs, job);
		return;
	}
	if (table->epoch == job->epoch)
		session__slots_release(&table->slots, job->local_index);
	if (peer != NULL && peer->creating == job->local_index) {
		/* The hub's key went, or the random ephemeral is of low order: begin anew. */
		peer->creating = 0;
		peer->wanted_ns = now_ns + SESSION_RETRY_NS;
		session__peer_turn(table, peer, now_ns);
	}
	session__jobs_put(&table->jobs, job);
}

void session__response_in(struct session_table *table, struct session_peer *peer,
                          const struct session_source *source,
                          const uint8_t message[static WG_RESPONSE_LEN])
{
	struct session_job *job = session__jobs_get(&table->jobs, !peer->answered);
	const struct session_hub *hub = session__hub(table, peer->handshake_hub);

	assert(hub != NULL); /* with a key goes what was begun with it */
	peer->answered = true;
	if (job == NULL) {
		program_count(table->program, ABI_COUNTER_HS_REFUSED_QUEUE_FULL, 1);
		return;
	}
	job->kind = SESSION_JOB_FINISH;
	job->peer = peer->id;
	job->generation = peer->generation;
	job->epoch = table->epoch;
	job->local_index = peer->handshake.local_index;
	job->source = *source;
	session__hub_take(job, hub);
	job->noise = peer->noise;
	job->opened.handshake = peer->handshake;
	memcpy(job->message, message, WG_RESPONSE_LEN);
	session__submit(table, job);
}

static void initiator_finish(struct session_table *table, struct session_peer *peer,
                             struct session_job *job, uint64_t now_ns)
{
	/* With the worker on which it came: the first guess at the next keypair's owner. */
	session__source_set(peer, &job->source);
	if (session__keys_install(table, peer, job, ABI_ROLE_INITIATOR, now_ns) != 0) {
		wg_timers_handshake_init(&peer->timers);
		peer->wanted_ns = now_ns + SESSION_RETRY_SLOW_NS;
		session__peer_turn(table, peer, now_ns);
		return;
	}
	/* The responder may not send before it has heard us on the new keys. */
	(void)program_keepalive(table->program, job->local_index, peer->id);
	session__keys_completed(table, peer, now_ns);
}

/* The preshared key comes last, and a response that does not fit leaves the handshake as it was: while the
 * peer is between two, the other is tried. */
static bool try_next_preshared_key(struct session_table *table, const struct session_peer *peer,
                                   struct session_job *job)
{
	if (job->is_next || peer->next == NULL || !peer->next->shares_key)
		return false;
	job->is_next = true;
	job->noise = peer->next->noise;
	session__submit(table, job);
	return true;
}

/* It fits the next preshared key that there is: another may have come in its place meanwhile. */
static bool fits_next(const struct session_peer *peer, const struct session_job *job)
{
	const struct session_peer *next = peer->next;

	return next != NULL && next->shares_key
	       && base_equal_ct(next->noise.preshared_key, job->noise.preshared_key, WG_KEY_LEN);
}

void session__response_consumed(struct session_table *table, struct session_job *job,
                                uint64_t now_ns)
{
	struct session_peer *peer = session__job_peer(table, job);

	if (peer == NULL || peer->handshake.local_index != job->local_index) {
		program_count(table->program, ABI_COUNTER_HS_REFUSED_NO_HANDSHAKE, 1);
	} else if (job->verdict != WG_NOISE_OK) {
		if (try_next_preshared_key(table, peer, job))
			return;
		program_count(table->program, ABI_COUNTER_HS_REFUSED_DECRYPT, 1);
	} else if (!job->is_next || fits_next(peer, job)) {
		/* The index goes from the handshake to the keypair. */
		base_wipe(&peer->handshake, sizeof(peer->handshake));
		if (job->is_next) {
			session__source_set(peer, &job->source);
			wg_timers_handshake_init(&peer->timers);
			session__peer_turn(table, peer, now_ns);
			peer = peer->next;
		}
		initiator_finish(table, peer, job, now_ns);
	}
	session__jobs_put(&table->jobs, job);
}

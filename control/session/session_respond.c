/* The hub as responder (whitepaper 5.4.2, 5.4.3): an initiation passes the threads twice, once to
 * learn who it claims to come from, and, when it proved that, once more for the response. Between
 * the two the peer is looked up and its timestamp committed, on the main loop. */
#include "base_log.h"
#include "program.h"
#include "session_table.h"

#include <sodium.h>

#include <string.h>

void session__initiation_in(struct session_table *table, const struct session_source *source,
                            const struct session_hub *hub,
                            const uint8_t message[static WG_INITIATION_LEN])
{
	struct session_job *job = session__jobs_get(&table->jobs, false);

	if (job == NULL) {
		program_count(table->program, ABI_COUNTER_HS_REFUSED_QUEUE_FULL, 1);
		return;
	}
	job->kind = SESSION_JOB_OPEN;
	session__hub_take(job, hub);
	job->epoch = table->epoch;
	job->source = *source;
	memcpy(job->message, message, WG_INITIATION_LEN);
	session__submit(table, job);
}

static void refuse(struct session_table *table, struct session_job *job, enum abi_counter counter)
{
	program_count(table->program, counter, 1);
	session__jobs_put(&table->jobs, job);
}

/* The initiation is the peer's and new: whatever it was sent from is where the peer is now. Told even
 * when nothing moved: its timestamp must outlive us, or who recorded it could send it again after a
 * restart and draw the peer's traffic to itself. */
static void peer_heard(struct session_table *table, struct session_peer *peer,
                       const struct session_source *source)
{
	bool moved = !base_endpoint_equal(&peer->source.remote, &source->remote)
	             || !base_ip_equal(&peer->source.local, &source->local);

	session__source_set(peer, source);
	if (moved)
		session__keys_redirect(table, peer);
	if (peer->next != NULL && peer->next->shares_key) {
		session__source_set(peer->next, source);
		if (moved)
			session__keys_redirect(table, peer->next);
	}
	session__changed(table, peer);
}

static enum abi_counter counter_of(enum wg_noise_verdict verdict)
{
	switch (verdict) {
	case WG_NOISE_TIMESTAMP:
		return ABI_COUNTER_HS_REFUSED_TIMESTAMP;
	case WG_NOISE_FLOOD:
		return ABI_COUNTER_HS_REFUSED_FLOOD;
	case WG_NOISE_UNKNOWN_PEER:
		return ABI_COUNTER_HS_REFUSED_UNKNOWN_PEER;
	case WG_NOISE_NO_HANDSHAKE:
		return ABI_COUNTER_HS_REFUSED_NO_HANDSHAKE;
	case WG_NOISE_OK:
	case WG_NOISE_DECRYPT:
		break;
	}
	return ABI_COUNTER_HS_REFUSED_DECRYPT;
}

/* An index on this worker, and to the threads; or refused. */
static void response_begin(struct session_table *table, const struct session_peer *peer,
                           struct session_job *job, uint32_t owner)
{
	job->local_index = session__slots_take(&table->slots, owner, peer->id);
	if (job->local_index == ABI_INDEX_NONE) {
		refuse(table, job, ABI_COUNTER_HS_REFUSED_NO_SLOT);
		return;
	}
	job->kind = SESSION_JOB_RESPOND;
	job->peer = peer->id;
	job->generation = peer->generation;
	job->epoch = table->epoch;
	job->noise = peer->noise;
	randombytes_buf(job->ephemeral, sizeof(job->ephemeral));
	session__submit(table, job);
}

/* The initiation does not tell which preshared key the peer has, and a response is for one alone: between
 * two it gets one for each. It takes that which fits and leaves the other; its first packet tells us
 * which. Nobody but the peer itself, with a fresh timestamp, causes the second one. */
static void respond_twice(struct session_table *table, const struct session_peer *next,
                          const struct session_job *job, uint32_t owner)
{
	struct session_job *second = session__jobs_get(&table->jobs, false);

	if (second == NULL) {
		program_count(table->program, ABI_COUNTER_HS_REFUSED_QUEUE_FULL, 1);
		return;
	}
	second->source = job->source;
	second->identity = job->identity;
	second->hub_serial = job->hub_serial;
	second->opened = job->opened;
	response_begin(table, next, second, owner);
}

void session__initiation_opened(struct session_table *table, struct session_job *job,
                                uint64_t now_ns)
{
	enum wg_noise_verdict verdict = (enum wg_noise_verdict)job->verdict;
	const struct session_hub *hub = session__hub(table, job->hub_serial);
	struct session_peer *peer;
	uint32_t owner;

	if (hub == NULL) {
		refuse(table, job, ABI_COUNTER_HS_REFUSED_MALFORMED);
		return;
	}
	if (verdict != WG_NOISE_OK) {
		refuse(table, job, ABI_COUNTER_HS_REFUSED_DECRYPT);
		return;
	}
	peer = session__peer_by_key(table, job->opened.static_public);
	if (peer == NULL) {
		refuse(table, job, ABI_COUNTER_HS_REFUSED_UNKNOWN_PEER);
		return;
	}
	verdict = session__hub_consume(peer, hub, job, now_ns);
	if (verdict != WG_NOISE_OK) {
		refuse(table, job, counter_of(verdict));
		return;
	}
	owner = session__keys_owner(table, peer, &job->source);
	peer_heard(table, peer, &job->source);
	if (peer->next != NULL && peer->next->shares_key)
		respond_twice(table, peer->next, job, owner);
	response_begin(table, peer, job, owner);
}

/* Keys first, then the answer: commands of one worker keep their order, so the session is there
 * when the peer's first packet comes. */
static void respond(struct session_table *table, struct session_peer *peer, struct session_job *job,
                    uint64_t now_ns)
{
	int r = session__keys_install(table, peer, job, ABI_ROLE_RESPONDER, now_ns);

	if (r == 0) {
		wg_cookie_stamp(&peer->cookie, job->message, WG_RESPONSE_LEN, now_ns);
		r = session__inject(table, &job->source, job->message, WG_RESPONSE_LEN);
	}
	if (r == 0)
		program_count(table->program, ABI_COUNTER_HS_RESPONSE_OUT, 1);
	else
		log_warn("session", "response not sent peer=%u err=%s", peer->id, strerror(-r));
	session__peer_turn(table, peer, now_ns);
}

void session__response_made(struct session_table *table, struct session_job *job, uint64_t now_ns)
{
	struct session_peer *peer = session__job_peer(table, job);

	if (session__hub(table, job->hub_serial) == NULL)
		peer = NULL; /* the key went meanwhile */
	if (peer != NULL && job->verdict == 0) {
		respond(table, peer, job, now_ns);
		session__jobs_put(&table->jobs, job);
		return;
	}
	/* A new dataplane has forgotten all slots; the peer asks again. */
	if (table->epoch != job->epoch) {
		refuse(table, job, ABI_COUNTER_HS_REFUSED_NO_SLOT);
		return;
	}
	session__slots_release(&table->slots, job->local_index);
	refuse(table, job,
	       peer == NULL ? ABI_COUNTER_HS_REFUSED_UNKNOWN_PEER : ABI_COUNTER_HS_REFUSED_DECRYPT);
}

/* What the files of session share; nobody outside the folder and its tests includes it.
 *
 * All state belongs to control's main loop. The handshake threads see only jobs: a job is a copy of
 * what one X25519 step needs, and its result is a copy again. So there is no lock around the peer
 * table: a peer may change or go while a job is under way, and the result is then recognised as
 * stale by three numbers it carries (peer and its generation, epoch of the dataplane) and dropped.
 *
 *   session.c            table, peers, what comes from outside
 *   session_initiate.c   the hub as initiator: create, send, retransmit, consume the response
 *   session_respond.c    the hub as responder: open, look up, consume, respond
 *   session_load.c       what is asked for under load
 *   session_keys.c       keypair rings and slots: install, confirm, retire, read back
 *   session_next.c       peers between two keys
 *   session_hub.c        the hub between two keys of its own
 *   session_jobs.c       threads and the bounded pool of jobs
 *   session_slots.c      which session index belongs to whom
 *   session_heap.c       who has to be looked at next */
#ifndef SESSION_TABLE_H
#define SESSION_TABLE_H

#include "abi_layout.h"
#include "base_siphash.h"
#include "base_source.h"
#include "base_time.h"
#include "session.h"
#include "wg_cookie.h"
#include "wg_keypair.h"
#include "wg_noise.h"
#include "wg_timers.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct event;

/* Jobs under way at most, with those that wait for a thread: 256 initiations take a thread about
 * 40 ms, well below the 5 s after which a peer would send again. */
#define SESSION_JOBS         256U
/* of them left to initiations of our own, which a flood from outside must not starve */
#define SESSION_JOBS_OWN     32U
/* from so many that others caused, messages must carry mac2 (whitepaper 5.3), and for one second
 * longer, so that the answer to a flood does not flap */
#define SESSION_LOAD_JOBS    64U
#define SESSION_LOAD_HOLD_NS BASE_NS_PER_S
/* and then at most so many of one source: what the kernel's WireGuard allows */
#define SESSION_LOAD_RATE    20U /* a second */
#define SESSION_LOAD_BURST   5U

/* Jobs that a thread takes at once when many wait: about 1 ms of work, after which it gives them
 * back together. */
#define SESSION_SHARE 8U

/* A fresh dataplane's first initiations: 16 each 10 ms are 1600 a second, about a quarter of one
 * thread (4 X25519, 160 us, for each handshake): 1024 peers are back in 0.7 s, and clients that come
 * back by themselves at the same time find the thread mostly idle. */
#define SESSION_PACE_PEERS    16U
#define SESSION_PACE_NS       (10 * BASE_NS_PER_MS)
/* an initiation that found no job or no dataplane is tried again after this */
#define SESSION_RETRY_NS      (10 * BASE_NS_PER_MS)
#define SESSION_RETRY_SLOW_NS BASE_NS_PER_S

/* Where a message came from, and so where the next one to this peer goes. */
struct session_source {
	struct base_endpoint remote; /* port 0 = unknown */
	struct base_ip local;        /* family NONE = by route */
	uint32_t port;               /* UINT32_MAX = by route */
	uint32_t worker;
};

/* ---- jobs --------------------------------------------------------------------------------------- */

enum session_job_kind {
	SESSION_JOB_OPEN = 0,     /* initiation received -> opened */
	SESSION_JOB_RESPOND = 1,  /* opened -> response, keys */
	SESSION_JOB_INITIATE = 2, /* -> initiation, handshake */
	SESSION_JOB_FINISH = 3,   /* response received -> keys */
};

/* Written by the main loop before session__jobs_submit() and after session__jobs_done(); by one
 * thread between. Holds secrets; wiped when given back. */
struct session_job {
	struct session_job *next;
	enum session_job_kind kind;
	bool own;     /* a step of a handshake that the hub itself began */
	bool is_next; /* FINISH: the peer's preshared key did not fit, its next one is tried */
	int verdict;  /* enum wg_noise_verdict, or -errno where wg_noise gives one */
	uint32_t peer;
	uint64_t generation; /* of the peer */
	uint64_t epoch;      /* of the dataplane */
	uint32_t local_index;
	uint32_t remote_index;
	struct session_source source;
	uint32_t hub_serial; /* of the hub's key that the step is done with: */
	struct wg_noise_identity identity;
	struct wg_noise_peer noise;
	struct wg_noise_opened opened; /* .handshake alone except for OPEN */
	struct wg_noise_keys keys;
	uint8_t ephemeral[WG_KEY_LEN];
	uint8_t timestamp[WG_TIMESTAMP_LEN];
	uint8_t message[ABI_HANDSHAKE_MAX]; /* received, then the answer */
};

struct session_job_list {
	struct session_job *first;
	struct session_job **last;
};

struct session_jobs {
	int done_fd;        /* eventfd: results are waiting */
	uint32_t n_threads; /* started */
	uint32_t n_sharing; /* as many as are wanted; constant */
	pthread_t *threads;
	/* main loop alone */
	struct session_job *free;
	uint32_t n_used;
	uint32_t n_own;                    /* of these */
	uint32_t n_new;                    /* in the next two lists: submitted, not yet flushed */
	struct session_job_list new_ready; /* for ready */
	struct session_job_list new_first; /* for first */
	struct session_job_list taken;     /* results taken from done, not yet looked at */
	/* under lock */
	uint32_t n_waiting; /* in ready and first */
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct session_job_list ready; /* initiations from whoever */
	struct session_job_list first; /* steps of handshakes that are known to be a peer's */
	struct session_job_list done;
	bool stop;
	struct session_job jobs[SESSION_JOBS];
};

/* Start the threads. Returns 0 or -errno. */
int session__jobs_init(struct session_jobs *jobs, uint32_t n_threads)
	__attribute__((warn_unused_result));
/* Join the threads (each ends after the step it is at) and wipe all jobs. */
void session__jobs_fini(struct session_jobs *jobs);
/* A job, zeroed but for own, or NULL when as many as allowed are under way. own: a step of a handshake
 * that the hub began; may use the reserve, and is no load that others make. */
struct session_job *session__jobs_get(struct session_jobs *jobs, bool own);
void session__jobs_put(struct session_jobs *jobs, struct session_job *job);
/* Submitted jobs are handed to the threads together, by flush: a lock, a waking and, where a thread
 * shares the main loop's core, a change of task for many messages instead of for each (397,000
 * TSC cycles a handshake became 357,000). session__submit() sees to it. */
void session__jobs_submit(struct session_jobs *jobs, struct session_job *job);
void session__jobs_flush(struct session_jobs *jobs);
/* The oldest result, or NULL. */
struct session_job *session__jobs_done(struct session_jobs *jobs);

/* ---- slots -------------------------------------------------------------------------------------- */

struct session_slot {
	uint32_t index; /* 0 = free */
	uint32_t peer;
	uint32_t hub_serial; /* of a keypair: the hub's key that it was made with; 0 = not known */
};

/* The session table of each worker as control sees it. Free slots are used in turn, the one that
 * was given back longest ago first, so that a late packet of an old session finds nobody. */
struct session_slots {
	uint32_t n_workers;
	uint32_t n_slots;
	struct session_slot *slots; /* [n_workers][n_slots], slot 0 unused */
	uint32_t *free;             /* [n_workers][n_slots], a ring */
	uint32_t *free_first;       /* [n_workers] */
	uint32_t *n_free;           /* [n_workers] */
};

int session__slots_init(struct session_slots *slots, uint32_t n_workers, uint32_t n_slots)
	__attribute__((warn_unused_result));
void session__slots_fini(struct session_slots *slots);
/* All free. */
void session__slots_reset(struct session_slots *slots);
/* Between reset and refill: this index is in use. False when it is not a valid one, or its slot is
 * taken twice. */
bool session__slots_occupy(struct session_slots *slots, uint32_t index, uint32_t peer);
/* Between reset and refill: it is not, after all. */
void session__slots_vacate(struct session_slots *slots, uint32_t index);
/* After reset and any occupy: what is left is free. */
void session__slots_refill(struct session_slots *slots);
/* A fresh index on this worker, or ABI_INDEX_NONE. */
uint32_t session__slots_take(struct session_slots *slots, uint32_t worker, uint32_t peer);
/* index that is not in use (ABI_INDEX_NONE too) is fine. */
void session__slots_release(struct session_slots *slots, uint32_t index);
/* The hub's key that the keypair of this index was made with. */
void session__slots_hub_set(struct session_slots *slots, uint32_t index, uint32_t serial);
uint32_t session__slots_hub(const struct session_slots *slots, uint32_t index);
/* Whose index this is, or ABI_PEER_NONE. index may come from the wire. */
uint32_t session__slots_peer(const struct session_slots *slots, uint32_t index);

/* ---- peers -------------------------------------------------------------------------------------- */

#define SESSION_HEAP_NONE UINT32_MAX

struct session_peer {
	uint32_t id;
	uint32_t heap_at; /* place in the heap, or SESSION_HEAP_NONE */
	uint64_t wake_ns; /* when to look at it */
	uint64_t generation;
	struct session_peer *hash_next;
	struct wg_noise_peer noise;
	struct wg_cookie_maker cookie;
	struct wg_keypair_ring ring;
	struct wg_timers_handshake timers;
	struct wg_noise_handshake handshake; /* sent, unanswered; local_index 0 = none */
	uint32_t creating;      /* local index of the initiation being made, 0 = none */
	bool answered;          /* a response to handshake came, whatever it was worth */
	uint64_t wanted_ns;     /* begin a handshake then; 0 = no */
	uint32_t newest_before; /* session_attached(): its keypair with the dataplane before */
	struct session_source source;
	struct base_endpoint call; /* initiations go there instead; port 0 = no */
	uint32_t n_moves;          /* of source.remote, by the peer's own messages */
	uint64_t last_handshake_wall_ns;
	uint64_t completed_ns; /* the same, monotonic */
	uint32_t owner;        /* 1 + the worker that got the last keypair; 0 = none did yet */
	bool stays;            /* there: session_peer_stay() */
	uint32_t key_serial;
	/* Diffie-Hellman of the static keys is done once for each key of the hub, when a handshake needs it first
	 * (session__hub_noise()): a hundred thousand peers that come at once would hold the loop for 3 s with it. noise
	 * has that of static_of (0 = none), other_static that of other_of. */
	uint32_t static_of;
	uint32_t other_of;
	uint8_t other_static[WG_KEY_LEN];
	uint32_t hub_serial;    /* of the hub's key, with which the last handshake was completed */
	uint32_t handshake_hub; /* of handshake */
	/* A peer between two keys is two of these with one id: the table has the first, which has the
	 * next. */
	struct session_peer *next;
	struct session_peer *prior; /* of a next one */
	bool shares_key; /* a next one: only its preshared key is another. Prior begins handshakes. */
};

/* The peer was heard from there, on an authenticated message. */
void session__source_set(struct session_peer *peer, const struct session_source *source);

struct session_heap {
	struct session_peer **at; /* [n_max] */
	uint32_t n;
};

/* Look at peer at wake_ns; WG_TIMER_NEVER takes it out. */
void session__heap_set(struct session_heap *heap, struct session_peer *peer, uint64_t wake_ns);
/* The next one, or NULL. */
struct session_peer *session__heap_first(const struct session_heap *heap);

/* ---- table -------------------------------------------------------------------------------------- */

struct session_load {
	uint64_t until_ns; /* under load until then */
	struct base_source_table sources;
};

struct session_clock {
	uint64_t (*monotonic_ns)(void);
	uint64_t (*wall_ns)(void);
};

/* One of the hub's keys. */
struct session_hub {
	struct wg_noise_identity identity;
	struct wg_cookie_checker checker;
	uint32_t serial; /* names it, in the region too; not 0 */
};

struct session_table {
	struct program *program;
	struct session_hub hub;
	struct session_hub next_hub; /* that takes its place */
	bool has_next_hub;
	session_hub_used_fn *on_hub_used;
	void *on_hub_used_arg;
	struct session_clock clock;
	struct session_jobs jobs;
	struct session_slots slots;
	struct session_heap heap;
	struct session_peer **peers; /* [n_peers], NULL = not known */
	uint32_t n_peers;
	uint64_t *disowned_ns;         /* [n_peers], sessions of the id until then are not its */
	struct session_peer **buckets; /* by public key, [bucket_mask + 1] */
	uint32_t bucket_mask;
	struct base_siphash_key hash_key;
	uint64_t generation; /* last given to a peer */
	uint64_t epoch;      /* +1 at each attach */
	bool attached;
	struct session_load load;
	uint8_t stamp[WG_TIMESTAMP_LEN]; /* of our newest initiation to anybody */
	uint8_t stamp_reserved[WG_TIMESTAMP_LEN];
	session_stamp_fn *on_stamp;
	void *on_stamp_arg;
	session_changed_fn *on_change;
	void *on_change_arg;
	session_unanswered_fn *on_unanswered;
	void *on_unanswered_arg;
	struct event *done_event;
	struct event *submit_event;
	struct event *timer;
	uint64_t timer_ns; /* for when the timer is set */
};

/* Replace the clocks, for tests. */
void session__clock_set(struct session_table *table, const struct session_clock *clock);
static inline uint64_t session__now(const struct session_table *table)
{
	return table->clock.monotonic_ns();
}

void session__changed(struct session_table *table, const struct session_peer *peer);
/* Send a handshake message to source. Returns 0 or -errno. */
int session__inject(struct session_table *table, const struct session_source *source,
                    const uint8_t *message, uint16_t len);

/* session_peer.c */
/* NULL = not known. */
struct session_peer *session__peer(const struct session_table *table, uint32_t id);
struct session_peer *session__peer_by_key(const struct session_table *table,
                                          const uint8_t public_key[static WG_KEY_LEN]);
/* Wipe and free. */
void session__peer_free(struct session_peer *peer);
/* The one of the two that made this index, in a keypair or a handshake; else the first. */
struct session_peer *session__peer_with(struct session_peer *peer, uint32_t index);
/* One that is in no table yet, or NULL. preshared_key: NULL = none. */
struct session_peer *session__peer_new(struct session_table *table, uint32_t id,
                                       const uint8_t public_key[static WG_KEY_LEN],
                                       const uint8_t *preshared_key);
void session__peer_hash(struct session_table *table, struct session_peer *peer);
void session__peer_unhash(struct session_table *table, struct session_peer *peer);

/* session_next.c */
/* Tell the workers which sessions of a peer between two keys contend for what it is sent. */
void session__next_contend(struct session_table *table, const struct session_peer *peer);
/* A worker has no session for a peer between two keys: name the one that was heard last, if there is one
 * that it can send by. */
bool session__next_prefer(struct session_table *table, const struct session_peer *peer);
/* Times that a peer, of one key or between two, has moved. With one key for both, prior moves along with next. */
uint32_t session__next_moves(const struct session_peer *prior);
/* The peer of the two that begins handshakes. */
static inline struct session_peer *session__next_caller(struct session_peer *peer)
{
	return peer->shares_key ? peer->prior : peer;
}

/* session_turn.c */
/* The events of the table on the main loop. add returns 0 or -ENOMEM; free is fine after either. */
int session__events_add(struct session_table *table, struct event_base *base)
	__attribute__((warn_unused_result));
void session__events_free(struct session_table *table);
/* Hand a job to the threads, with all others of this turn of the main loop. */
void session__submit(struct session_table *table, struct session_job *job);
/* The peer a job was made for, if it is still the same one on the same dataplane; else NULL. */
struct session_peer *session__job_peer(const struct session_table *table,
                                       const struct session_job *job);
/* Look at every peer that is due. */
void session__tick(struct session_table *table, uint64_t now_ns);
/* Expire, retransmit, give up; then set when to look again. */
void session__peer_turn(struct session_table *table, struct session_peer *peer, uint64_t now_ns);
/* Set the timer for the first peer of the heap. */
void session__timer_arm(struct session_table *table);

/* session_load.c */
/* Under load, and without a valid mac2 or beyond the source's rate: count and return true. Without
 * mac2 it is answered with a cookie. */
bool session__refused_by_load(struct session_table *table, struct session_hub *hub,
                              const struct session_source *source, const uint8_t *message,
                              uint16_t len, bool has_mac2, uint64_t now_ns);

/* session_hub.c */
void session__hub_init(struct session_hub *hub, const uint8_t private_key[static WG_KEY_LEN]);
/* The hub's key of this name, or NULL: it is no more. */
struct session_hub *session__hub(struct session_table *table, uint32_t serial);
/* With which key of the hub to call this peer: that with which it came last; when it does not answer to
 * that, in turn. */
const struct session_hub *session__hub_to_call(const struct session_table *table,
                                               const struct session_peer *peer);
/* The job is done with this key, for this peer. Cost: 1 X25519 for the first with another key. */
void session__hub_take(struct session_job *job, const struct session_hub *hub);
void session__hub_noise(struct session_peer *peer, const struct session_hub *hub,
                        struct wg_noise_peer *out);
/* wg_noise_initiation_consume() with this key of the hub. */
enum wg_noise_verdict session__hub_consume(struct session_peer *peer, const struct session_hub *hub,
                                           struct session_job *job, uint64_t now_ns);
/* The peer has a session of this key, in both directions. */
void session__hub_used(struct session_table *table, struct session_peer *peer, uint32_t serial);

/* session_respond.c */
void session__initiation_in(struct session_table *table, const struct session_source *source,
                            const struct session_hub *hub,
                            const uint8_t message[static WG_INITIATION_LEN]);
void session__initiation_opened(struct session_table *table, struct session_job *job,
                                uint64_t now_ns);
void session__response_made(struct session_table *table, struct session_job *job, uint64_t now_ns);

/* session_initiate.c */
/* Begin a handshake as soon as whitepaper 6.1 allows, unless one is under way or the endpoint is
 * not known. */
void session__want(struct session_table *table, struct session_peer *peer, uint64_t now_ns);
/* Send an initiation now, or note to try soon. */
void session__initiate(struct session_table *table, struct session_peer *peer, uint64_t now_ns);
/* Forget the handshake under way. */
void session__abandon(struct session_table *table, struct session_peer *peer);
/* The same for a peer between two keys: with either of them. */
void session__want_any(struct session_table *table, struct session_peer *peer, uint64_t now_ns);
void session__initiation_made(struct session_table *table, struct session_job *job,
                              uint64_t now_ns);
void session__response_in(struct session_table *table, struct session_peer *peer,
                          const struct session_source *source,
                          const uint8_t message[static WG_RESPONSE_LEN]);
void session__response_consumed(struct session_table *table, struct session_job *job,
                                uint64_t now_ns);

/* session_keys.c */
/* Give the keypair of a finished job to its worker and into the ring. Returns 0 or -errno, and then
 * the index is free again. */
int session__keys_install(struct session_table *table, struct session_peer *peer,
                          const struct session_job *job, uint32_t role, uint64_t now_ns);
/* The worker that shall own peer's next keypair, whose handshake is with source: the one at which the
 * packets of the current keypair arrive, so that ownership moves with the traffic, at a rekey
 * (DESIGN.md section 2). When nothing came on that, or the peer is elsewhere now, the one at which
 * the handshake arrived. A peer that is to stay has the one that it had. */
uint32_t session__keys_owner(const struct session_table *table, const struct session_peer *peer,
                             const struct session_source *source);
/* A session is confirmed in both directions. */
void session__keys_completed(struct session_table *table, struct session_peer *peer,
                             uint64_t now_ns);
/* Something authenticated came on index: if that is the unconfirmed keypair, it is current now. */
void session__keys_used(struct session_table *table, struct session_peer *peer, uint32_t index,
                        uint64_t now_ns);
void session__keys_retire(struct session_table *table, const struct session_peer *peer,
                          struct wg_keypair_retired retired);
/* Send what the current keypair carries to the peer's endpoint. */
void session__keys_redirect(struct session_table *table, const struct session_peer *peer);
/* Rings and slots from the region; all of them are empty before. */
void session__keys_read_back(struct session_table *table, uint64_t now_ns);

#endif

/* All that one worker owns, in one struct: data and accessors, no packet is touched here. The
 * stations of dataplane/path take it as their first argument; worker.c makes and unmakes it;
 * worker_cmd.c and state_timer.c change it between bursts. One thread; what other threads may read
 * (the region, the array of current sessions) says so at its field.
 *
 * What a station sends sideways, out of its burst, goes to a state_side here, and the station at the
 * end of that road (path/punt.c, path/handoff.c) empties it. */
#ifndef STATE_H
#define STATE_H

#include "abi_region.h"
#include "aead.h"
#include "base_bucket.h"
#include "port_link.h"
#include "state_address.h"
#include "state_blob.h"
#include "state_capture.h"
#include "state_check.h"
#include "state_current.h"
#include "state_drop.h"
#include "state_event.h"
#include "state_flow.h"
#include "state_flow_show.h"
#include "state_gate.h"
#include "state_limit.h"
#include "state_peer.h"
#include "state_route.h"
#include "state_session.h"
#include "state_wait.h"
#include "state_wan.h"

#include <rte_mbuf.h>

#include <stdbool.h>
#include <stdint.h>

#define STATE_SIDE_MAX 64U /* packets of one burst */

/* Packets that left their burst, in order. */
struct state_side {
	uint32_t n;
	struct rte_mbuf *mbuf[STATE_SIDE_MAX];
};

/* Packets larger than the tunnel's MTU, until the end of the turn: path/too_big.c. */
#define STATE_BIG_MAX 256U

struct state_big {
	uint32_t n;
	struct rte_mbuf *mbuf[STATE_BIG_MAX];
};

/* The hub as ABI_CMD_HUB described it; all zero before. */
struct state_hub {
	uint16_t listen_port; /* host order; 0 = not known yet: everything is the kernel's */
	uint16_t tunnel_mtu;
	bool copies_dscp; /* outer packets bear the DSCP of inner ones, and else this one */
	uint8_t dscp;
	bool clamps_mss;
};

/* A handshake message whose next hop is being resolved: sent as soon as that is known. */
struct state_held {
	uint64_t until_ns; /* 0 = slot is free */
	struct abi_cmd_inject inject;
};
#define STATE_HELD_MAX                                                                             \
	512U /* a hub that starts calls 1,600 peers a second, and a neighbour takes a moment */

#define STATE_TOO_BIG_PARTS 1024U

/* What strangers may have of this worker and of those behind it. All zero is full. */
struct state_limits {
	struct base_bucket tap; /* frames to the kernel: path/punt.c */
	/* errors to a peer whose packets are too big, by its number: path/too_big.c */
	struct base_bucket too_big[STATE_TOO_BIG_PARTS];
};

struct block_table; /* block_table.h */

struct state {
	/* every packet */
	uint64_t now_ns;                /* read once a turn by the worker */
	uint64_t *counters;             /* in the region: this worker writes, anybody reads */
	struct state_session *sessions; /* [n_slots] */
	struct wg_replay_ring *rings;   /* [n_slots]: of the sessions' windows */
	struct abi_session *mirror;     /* [n_slots], in the region: this worker writes */
	uint64_t *receive_next;         /* [n_slots], likewise: 1 + highest counter accepted */
	struct state_current *current;  /* [n_peers], shared by all workers */
	struct state_peer *peers;       /* [n_peers] */
	struct abi_peer_counters *peer_counters; /* [n_peers], in the region: this worker writes */
	struct abi_limit *limits_of;             /* [n_peers], in the region: this worker writes */
	uint32_t n_limited;                      /* peers that have limits */
	uint32_t n_slots;
	uint32_t n_peers;
	uint32_t id;
	uint32_t n_workers;
	uint64_t random; /* generator for jitter; not for secrets */
	struct aead *aead;
	struct state_routes *routes; /* shared by all workers; worker 0 writes */
	uint32_t routes_seen; /* their generation before in_accept() looked at a burst's senders */
	const struct state_blobs *blobs;   /* shared; the main thread publishes */
	const struct block_table *block;   /* likewise: drop lists */
	const struct policy_table *policy; /* as of this turn (worker_blob.c); NULL = none yet */
	struct policy_flow *flows;
	struct policy_flow_clock clock; /* as of this turn */
	struct state_hub hub;
	struct state_addresses addresses;
	struct state_wan wan;

	size_t flows_len; /* bytes of memory */

	/* sessions in use, densely, for state_timer.c */
	uint32_t *active; /* [n_active], slots */
	uint32_t n_active;
	uint32_t scan_next; /* position in active */
	uint64_t scan_ns;   /* when the scan was last advanced */
	uint64_t n_ended;   /* sessions ever retired or expired */

	/* packets and events that wait for the end of the burst */
	struct state_side to_kernel; /* mbuf->port: PORT_LINK_TUN or a WAN port */
	struct state_side to_control;
	struct state_side replies; /* frames: answers to strangers, for the end of the burst */
	struct state_side to_worker[ABI_WORKERS_MAX];
	struct state_events events;
	uint32_t keepalives[STATE_SIDE_MAX]; /* slots of sessions that owe an empty packet */
	uint32_t n_keepalives;
	uint32_t n_held;

	/* rings and buffers */
	struct rte_mempool *pool;
	struct port_link *link; /* NULL: no kernel side */
	struct state_limits limits;
	struct rte_ring *mesh_out[ABI_WORKERS_MAX];
	struct abi_ring_end event_ring;
	struct abi_ring_end report_ring; /* control does not sleep on it */
	struct state_drops drops;
	struct state_capture capture; /* as of this turn */
	bool wake_control;       /* an event was pushed while control sleeps: the worker kicks it */
	bool wake_exception;     /* the same for the exception thread */
	uint32_t wake_workers;   /* and for workers, one bit each */
	struct port_bell *bells; /* [n_workers], shared by all */

	uint32_t sync; /* number of the sync under way or last seen; marks what it repeated */
	bool syncing;
	struct state_gate gate;
	struct state_check check; /* under way for control, if any */
	struct state_flow_show flow_show;

	struct aead_op ops[AEAD_BURST_MAX];
	struct state_wait wait;
	struct state_big big;

	struct state_held held[STATE_HELD_MAX]; /* seldom used, and large */
};

struct state_setup {
	uint32_t id;
	const struct abi_region *region; /* borrowed until state_fini() */
	struct state_current *current;   /* [region->n_peers], borrowed */
	struct state_routes *routes;     /* borrowed */
	const struct state_blobs *blobs; /* borrowed */
	struct aead *aead;               /* borrowed */
	struct rte_mempool *pool;        /* borrowed */
	struct port_link *link;          /* borrowed, may be NULL */
	uint64_t now_ns;
	uint64_t seed;      /* for jitter, not 0 */
	uint8_t random[32]; /* for what strangers must not foretell */
};

/* Make the tables, empty. mesh_out and WAN ports are the caller's to fill in.
 * Returns 0 or -ENOMEM, and then nothing is left behind. */
int state_init(struct state *st, const struct state_setup *setup)
	__attribute__((warn_unused_result));

/* Take over the sessions that an earlier dataplane left in the region. now_ns is st's. */
void state_resume(struct state *st, const struct abi_region *region);

/* Free the tables and wipe the keys in them. The region keeps its sessions: they can be resumed. */
void state_fini(struct state *st);

/* Control begins to repeat its desired state, or has finished: then what was not repeated goes.
 * begin: 0 or -ENOMEM, and then the sync does not begin. */
int state_sync_begin(struct state *st) __attribute__((warn_unused_result));
void state_sync_end(struct state *st);

static inline void state_count(struct state *st, uint32_t counter, uint64_t n)
{
	st->counters[counter] += n;
}

/* Next pseudo-random number (xorshift64*): for jitter only. */
static inline uint64_t state_random(struct state *st)
{
	st->random ^= st->random >> 12;
	st->random ^= st->random << 25;
	st->random ^= st->random >> 27;
	return st->random * UINT64_C(0x2545f4914f6cdd1d);
}

#endif

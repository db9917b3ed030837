/* A run: one thread that receives, sends, and keeps the sessions of all peers alive. */
#ifndef PKTGEN_RUN_H
#define PKTGEN_RUN_H

#include "aead.h"
#include "pktgen_args.h"
#include "pktgen_flow.h"
#include "pktgen_handshake.h"
#include "pktgen_hist.h"
#include "pktgen_peer.h"
#include "pktgen_port.h"
#include "pktgen_resolve.h"
#include "pktgen_wire.h"

#include <rte_mbuf.h>

#include <stdbool.h>
#include <stdint.h>

#define PKTGEN_BURST 32U

/* Every generated packet is sent or one of unsent, no_session; every packet that came with data is
 * received or one of duplicated, corrupted, misdelivered, forged, unknown, stale, other. */
struct pktgen_stats {
	uint64_t sent, sent_bytes;
	uint64_t unsent;     /* due while the port was full */
	uint64_t skipped;    /* not generated: we were late */
	uint64_t no_session; /* not generated: the peer has no session now */
	uint64_t received, received_bytes;
	uint64_t reordered; /* received too */
	uint64_t duplicated;
	uint64_t corrupted;
	uint64_t misdelivered;
	uint64_t forged;  /* the tag does not fit */
	uint64_t unknown; /* a receiver index that is nobody's */
	uint64_t stale;   /* sent before the trial */
	uint64_t other;   /* not ours */
	uint64_t turns;   /* in which something was to be sent */
	uint64_t waited;  /* of these, in which the port was still full */
	struct pktgen_hist latency;
};

struct pktgen_trial {
	double rate_pps; /* asked for; 0 = as fast as it goes */
	double seconds;
	struct pktgen_stats stats;
};

struct pktgen_pace {
	double pps; /* 0: as fast as it goes, and wait for the port */
	uint64_t begin_ns;
	uint64_t offered;
	uint64_t last_ns;
};

/* One of the port's queues for sending. */
struct pktgen_queue {
	struct rte_mbuf *held[PKTGEN_BURST]; /* sealed; the queue was full */
	uint32_t held_len[PKTGEN_BURST];
	uint32_t n_held;
	uint32_t next_flow; /* counted from the queue's first */
};

struct pktgen_run {
	const struct pktgen_options *options;
	struct pktgen_port port;
	struct pktgen_peers peers;
	struct pktgen_flows flows;
	struct pktgen_wire wire;
	struct pktgen_resolve resolve;
	struct pktgen_handshakes handshakes;
	struct pktgen_handshake_stats first_handshakes; /* until every peer had a session */
	struct aead *aead;

	/* clock: nanoseconds from the time stamp counter */
	uint64_t tsc_begin, ns_begin;
	uint64_t ns_per_tsc; /* 32.32 */
	uint64_t now_ns;

	/* sending */
	struct pktgen_pace pace;
	struct pktgen_queue queue[PKTGEN_QUEUES_MAX];
	uint32_t next_queue;
	uint32_t next_size;
	uint32_t n_come; /* for --open-every */

	/* the slow part */
	uint64_t slow_ns; /* next */
	uint32_t next_scan;
	uint64_t progress_ns;
	struct pktgen_stats before; /* at the last progress line: counts only */
	uint32_t n_idle;

	struct pktgen_stats stats;
};

/* Port, peers, keys. Returns 0 or -errno with one line logged. Caller: pktgen_run_fini(). */
int pktgen_run_init(struct pktgen_run *run, const struct pktgen_options *options)
	__attribute__((warn_unused_result));
void pktgen_run_fini(struct pktgen_run *run);

/* Wait for the link, find the next hop. Returns 0, -ETIMEDOUT (logged) or -EINTR. */
int pktgen_run_resolve(struct pktgen_run *run) __attribute__((warn_unused_result));

/* A session for every peer; measured or not as --handshake says. Returns 0, -ETIMEDOUT when some
 * got none (logged), -EINTR. */
int pktgen_run_handshakes(struct pktgen_run *run) __attribute__((warn_unused_result));

/* One trial. rate_pps 0: as fast as it goes. Returns 0 or -EINTR: what was measured until then is
 * in *trial. */
int pktgen_run_trial(struct pktgen_run *run, double rate_pps, struct pktgen_trial *trial)
	__attribute__((warn_unused_result));

/* End what is under way; callable from a signal handler. */
void pktgen_run_interrupt(void);

/* Mean size of an inner packet, bytes. */
double pktgen_run_mean_len(const struct pktgen_options *options);

#endif

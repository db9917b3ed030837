/* A worker that runs on another CPU as in weir-dataplane, and a wire that offers it frames at a set rate.
 * The wire is a ring of 1024 frames: what finds no room in it is missed, as by a NIC, and is not even
 * made. Frames are data messages from each peer in turn for the next one; of every five one may be
 * junk, which is a handshake with a wrong mac1, an unknown index and a forged message in turn. */
#ifndef BENCH_OFFER_H
#define BENCH_OFFER_H

#include "bench.h"

#include <stdbool.h>
#include <stdint.h>

struct bench_offer;

/* Returns 0 or -1, with a line on stderr. Once a process. */
int bench_offer_create(const struct bench_options *options, struct bench_offer **out);
void bench_offer_destroy(struct bench_offer *offer);

/* What came of a window. */
struct bench_offered {
	uint64_t n_offered; /* frames, junk among them */
	uint64_t n_missed;
	uint64_t n_good; /* through the hub, to the next peer */
	uint64_t n_barriers;
	uint64_t barrier_max_ns; /* the slowest answer to a command */
	double seconds;
};

/* Offer per_second frames (0 = as many as there is room for) for window_ns, after a settling time. */
void bench_offer_run(struct bench_offer *offer, const struct bench_size *size, bool junk,
                     double per_second, uint64_t window_ns, struct bench_offered *out);

/* All that were good came through authentic, and nothing went uncounted. */
bool bench_offer_right(struct bench_offer *offer);

#endif

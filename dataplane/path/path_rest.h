/* The rests of packets that in_open opened only as far as the way from peer to peer reads them (rest.c). */
#ifndef PATH_REST_H
#define PATH_REST_H

#include "path.h"
#include "path_inner.h"

/* The packets of b, a bit each, of which aead_open_head() left a rest: keep what may be kept, and open the others. */
void path_keep_rests(struct state *st, struct path_burst *b, uint64_t left);

/* What is left of p, which is the caller's to open from here on; len 0 = it is whole. */
struct aead_rest path_take_rest(const struct state *st, struct path_pkt *p);

/* Open the rest of a packet that has one. */
void path_open_rest(struct state *st, struct path_pkt *p);

/* The same of all packets of a burst together, or of those that are for the hub itself. */
void path_open_rests(struct state *st, struct path_burst *b);
void path_open_hub_rests(struct state *st, struct path_burst *b);

/* For who takes a packet off the way from peer to peer. */
static inline void path_open_whole(struct state *st, struct path_pkt *p)
{
	if (unlikely(p->rest != 0))
		path_open_rest(st, p);
}

#endif

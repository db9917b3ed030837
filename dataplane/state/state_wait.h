/* Packets that wait for their peer's handshake: in order for each peer, and all of them in the order in which
 * they came, so that the oldest can go when there is no more room. Data and accessors; which packets come
 * here, and what becomes of them, is path/wait.c.
 *
 * Each worker has its own: a packet waits where it was to be routed, since nobody knows yet which worker will
 * own the session. Room is an eighth of the packet buffers, for all workers together. */
#ifndef STATE_WAIT_H
#define STATE_WAIT_H

#include <rte_mbuf.h>

#include <stdbool.h>
#include <stdint.h>

#define STATE_WAIT_MAX      1024U /* packets that one worker keeps */
#define STATE_WAIT_PEER_MAX 128U  /* of one peer */
#define STATE_WAIT_PARTS    256U  /* of the index by peer */
#define STATE_WAIT_NONE     UINT16_MAX

/* Packets of one peer, oldest first. */
struct state_wait_queue {
	uint32_t peer;
	uint16_t first; /* packets, or NONE */
	uint16_t last;
	uint16_t n;         /* 0 = not in use */
	uint16_t next;      /* queue in the same part of the index; or free */
	uint16_t active_at; /* position in active */
	bool is_over;       /* no session will come: not in the index any more */
};

struct state_wait_packet {
	struct rte_mbuf *mbuf;
	uint64_t since_ns;
	uint16_t next_of_peer; /* younger; or free */
	uint16_t queue;
	uint16_t older; /* of all */
	uint16_t younger;
};

struct state_wait {
	uint32_t n;        /* packets; 0 is asked for each packet that is routed */
	uint32_t n_active; /* queues in use */
	uint32_t room;     /* packets at most; 0 = nobody waits */
	uint32_t turn;     /* position in active where path/wait.c goes on */
	uint16_t first_free;
	uint16_t first_free_queue;
	uint16_t oldest;
	uint16_t youngest;
	uint16_t parts[STATE_WAIT_PARTS]; /* by peer: first queue or NONE */
	uint16_t active[STATE_WAIT_MAX];
	struct state_wait_queue queues[STATE_WAIT_MAX];
	struct state_wait_packet packets[STATE_WAIT_MAX];
};

/* Empty, for room packets at most, never more than STATE_WAIT_MAX. */
void state_wait_init(struct state_wait *wait, uint32_t room);

/* The peer's queue, or NULL: nothing waits for it. */
struct state_wait_queue *state_wait_find(struct state_wait *wait, uint32_t peer);

/* Append a packet, which is taken. There is room, and the peer's queue holds less than STATE_WAIT_PEER_MAX:
 * the caller takes the oldest first. */
void state_wait_push(struct state_wait *wait, uint32_t peer, struct rte_mbuf *mbuf,
                     uint64_t now_ns);

/* Take the oldest of a queue, which has one; with the last one the queue is gone. The caller's then. */
struct rte_mbuf *state_wait_pop(struct state_wait *wait, struct state_wait_queue *queue);

/* The queue whose first packet is the oldest of all. There is one. */
static inline struct state_wait_queue *state_wait_oldest(struct state_wait *wait)
{
	return &wait->queues[wait->packets[wait->oldest].queue];
}

static inline uint64_t state_wait_since_ns(const struct state_wait *wait,
                                           const struct state_wait_queue *queue)
{
	return wait->packets[queue->first].since_ns;
}

/* The handshake was given up, or the peer is gone: what waits for it shall be dropped, and what comes for a
 * peer of this number from now on does not stand behind it. */
void state_wait_end(struct state_wait *wait, uint32_t peer);

#endif

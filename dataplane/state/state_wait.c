/* Lists of packets that wait. */
#include "state_wait.h"

#include <assert.h>

static uint16_t *part_of(struct state_wait *wait, uint32_t peer)
{
	return &wait->parts[peer % STATE_WAIT_PARTS];
}

void state_wait_init(struct state_wait *wait, uint32_t room)
{
	*wait = (struct state_wait){
		.room = room < STATE_WAIT_MAX ? room : STATE_WAIT_MAX,
		.oldest = STATE_WAIT_NONE,
		.youngest = STATE_WAIT_NONE,
	};
	for (uint32_t i = 0; i < STATE_WAIT_PARTS; i++)
		wait->parts[i] = STATE_WAIT_NONE;
	for (uint32_t i = 0; i < STATE_WAIT_MAX; i++) {
		wait->packets[i].next_of_peer = (uint16_t)(i + 1);
		wait->queues[i].next = (uint16_t)(i + 1);
	}
}

struct state_wait_queue *state_wait_find(struct state_wait *wait, uint32_t peer)
{
	for (uint16_t i = *part_of(wait, peer); i != STATE_WAIT_NONE; i = wait->queues[i].next)
		if (wait->queues[i].peer == peer)
			return &wait->queues[i];
	return NULL;
}

/* There are as many queues as packets, so one is free. */
static struct state_wait_queue *open_queue(struct state_wait *wait, uint32_t peer)
{
	uint16_t *part = part_of(wait, peer);
	uint16_t number = wait->first_free_queue;
	struct state_wait_queue *queue = &wait->queues[number];

	wait->first_free_queue = queue->next;
	*queue = (struct state_wait_queue){
		.peer = peer,
		.first = STATE_WAIT_NONE,
		.last = STATE_WAIT_NONE,
		.next = *part,
		.active_at = (uint16_t)wait->n_active,
	};
	*part = number;
	wait->active[wait->n_active++] = number;
	return queue;
}

static void leave_index(struct state_wait *wait, struct state_wait_queue *queue)
{
	uint16_t number = (uint16_t)(queue - wait->queues);
	uint16_t *at = part_of(wait, queue->peer);

	while (*at != number)
		at = &wait->queues[*at].next;
	*at = queue->next;
}

static void close_queue(struct state_wait *wait, struct state_wait_queue *queue)
{
	uint16_t last = wait->active[--wait->n_active];

	if (!queue->is_over)
		leave_index(wait, queue);
	wait->active[queue->active_at] = last;
	wait->queues[last].active_at = queue->active_at;
	queue->next = wait->first_free_queue;
	wait->first_free_queue = (uint16_t)(queue - wait->queues);
}

/* The packet becomes the youngest of all. */
static void join(struct state_wait *wait, uint16_t number)
{
	struct state_wait_packet *packet = &wait->packets[number];

	packet->older = wait->youngest;
	packet->younger = STATE_WAIT_NONE;
	if (wait->youngest == STATE_WAIT_NONE)
		wait->oldest = number;
	else
		wait->packets[wait->youngest].younger = number;
	wait->youngest = number;
	wait->n++;
}

static void leave(struct state_wait *wait, const struct state_wait_packet *packet)
{
	if (packet->older == STATE_WAIT_NONE)
		wait->oldest = packet->younger;
	else
		wait->packets[packet->older].younger = packet->younger;
	if (packet->younger == STATE_WAIT_NONE)
		wait->youngest = packet->older;
	else
		wait->packets[packet->younger].older = packet->older;
	wait->n--;
}

void state_wait_push(struct state_wait *wait, uint32_t peer, struct rte_mbuf *mbuf, uint64_t now_ns)
{
	struct state_wait_queue *queue = state_wait_find(wait, peer);
	uint16_t number = wait->first_free;
	struct state_wait_packet *packet = &wait->packets[number];

	assert(wait->n < wait->room);
	if (!queue)
		queue = open_queue(wait, peer);
	wait->first_free = packet->next_of_peer;
	packet->mbuf = mbuf;
	packet->since_ns = now_ns;
	packet->next_of_peer = STATE_WAIT_NONE;
	packet->queue = (uint16_t)(queue - wait->queues);
	if (queue->n == 0)
		queue->first = number;
	else
		wait->packets[queue->last].next_of_peer = number;
	queue->last = number;
	queue->n++;
	join(wait, number);
}

struct rte_mbuf *state_wait_pop(struct state_wait *wait, struct state_wait_queue *queue)
{
	uint16_t number = queue->first;
	struct state_wait_packet *packet = &wait->packets[number];
	struct rte_mbuf *mbuf = packet->mbuf;

	leave(wait, packet);
	queue->first = packet->next_of_peer;
	packet->mbuf = NULL;
	packet->next_of_peer = wait->first_free;
	wait->first_free = number;
	if (--queue->n == 0)
		close_queue(wait, queue);
	return mbuf;
}

void state_wait_end(struct state_wait *wait, uint32_t peer)
{
	struct state_wait_queue *queue = wait->n != 0 ? state_wait_find(wait, peer) : NULL;

	if (!queue)
		return;
	leave_index(wait, queue);
	queue->is_over = true;
}

/* What leaves the workers' world: to the kernel by the exception thread, to control by the event
 * ring. The only place where the path meets those rings; kicking a sleeper is left to the worker. */
#include "path.h"
#include "path_header.h"

#include <rte_ring.h>

/* ---- to the kernel ---- */

/* WAN frames that one worker may send to the kernel. The exception thread limits by class and source
 * (port/port_limit.h); this one only keeps room in the ring for the tunnel's packets. */
#define TAP_PER_S 250000U
#define TAP_BURST 4000U

static void limit_frames(struct state *st, struct state_side *side)
{
	struct base_bucket_rate rate = base_bucket_rate(TAP_PER_S, TAP_BURST);
	uint32_t n = 0;

	for (uint32_t i = 0; i < side->n; i++) {
		struct rte_mbuf *mbuf = side->mbuf[i];

		if (mbuf->port == PORT_LINK_TUN
		    || base_bucket_take(&st->limits.tap, &rate, 1, st->now_ns))
			side->mbuf[n++] = mbuf;
		else
			path_drop(st, mbuf, ABI_COUNTER_DROP_TAP_LIMIT);
	}
	side->n = n;
}

static void punt_to_kernel(struct state *st)
{
	struct state_side *side = &st->to_kernel;
	uint32_t n_tun = 0;
	uint32_t n_sent = 0;

	limit_frames(st, side);
	if (st->link && side->n > 0) {
		/* After the enqueueing they are not ours to look at. */
		uint16_t ports[STATE_SIDE_MAX];

		for (uint32_t i = 0; i < side->n; i++)
			ports[i] = side->mbuf[i]->port;
		n_sent = rte_ring_sp_enqueue_burst(st->link->to_kernel, (void **)side->mbuf,
		                                   side->n, NULL);
		for (uint32_t i = 0; i < n_sent; i++)
			n_tun += ports[i] == PORT_LINK_TUN;
		if (n_sent > 0 && port_bell_is_due(st->link->exception_sleeps))
			st->wake_exception = true;
	}
	state_count(st, ABI_COUNTER_TO_TUN, n_tun);
	state_count(st, ABI_COUNTER_TO_TAP, n_sent - n_tun);
	for (uint32_t i = n_sent; i < side->n; i++)
		path_drop(st, side->mbuf[i],
		          side->mbuf[i]->port == PORT_LINK_TUN ? ABI_COUNTER_DROP_TUN_RING_FULL
		                                               : ABI_COUNTER_DROP_TAP_RING_FULL);
	side->n = 0;
}

/* ---- to control ---- */

/* Of the event ring, for handshake messages, which strangers can send; the rest is kept for what the
 * peers' sessions have to tell. */
#define HANDSHAKES_MAX (ABI_EVENT_SLOTS / 4 * 3)

/* The message with the addresses of its frame. */
static void make_event(struct rte_mbuf *mbuf, struct abi_event_handshake *event)
{
	const struct path_label *label = path_label(mbuf);
	const uint8_t *message = rte_pktmbuf_mtod_offset(mbuf, const uint8_t *, label->offset);

	*event = (struct abi_event_handshake){
		.port = mbuf->port,
		.len = (uint16_t)label->len,
		.hub_key = label->note & (uint8_t)~PATH_PROVEN,
		.proven = (label->note & PATH_PROVEN) != 0,
	};
	path_header_read(mbuf, message, &event->remote, &event->local);
	memcpy(event->message, message, label->len);
}

static bool push_handshake(struct state *st, struct rte_mbuf *mbuf)
{
	struct abi_event_handshake event;

	if (abi_ring_depth(&st->event_ring) >= HANDSHAKES_MAX)
		return false;
	make_event(mbuf, &event);
	return abi_ring_push(&st->event_ring, ABI_EVENT_HANDSHAKE, &event, sizeof(event),
	                     &st->wake_control)
	       == 0;
}

static void punt_to_control(struct state *st)
{
	struct state_side *side = &st->to_control;

	for (uint32_t i = 0; i < side->n; i++) {
		if (!push_handshake(st, side->mbuf[i])) {
			path_drop(st, side->mbuf[i], ABI_COUNTER_DROP_CONTROL_RING_FULL);
			continue;
		}
		state_count(st, ABI_COUNTER_TO_CONTROL, 1);
		rte_pktmbuf_free(side->mbuf[i]);
	}
	side->n = 0;
}

/* Push one kind of event of a session if its bit is set. False: the ring is full. */
static bool push_bit(struct state *st, struct state_session *session, uint32_t bit, uint16_t type,
                     const void *event, uint16_t len)
{
	if (!(session->events & bit))
		return true;
	if (abi_ring_push(&st->event_ring, type, event, len, &st->wake_control) < 0)
		return false;
	session->events &= ~bit;
	return true;
}

/* Bits that find no room stay on the session, and the timer scan lists it again. */
static bool push_session(struct state *st, struct state_session *session)
{
	struct abi_event_session event = {.index = session->index, .peer = session->peer};
	struct abi_event_endpoint moved = {.index = session->index,
	                                   .peer = session->peer,
	                                   .remote = session->remote,
	                                   .local = session->local,
	                                   .port = session->port};

	return push_bit(st, session, STATE_EVENT_CONFIRMED, ABI_EVENT_SESSION_CONFIRMED, &event,
	                sizeof(event))
	       && push_bit(st, session, STATE_EVENT_MOVED, ABI_EVENT_ENDPOINT_MOVED, &moved,
	                   sizeof(moved))
	       && push_bit(st, session, STATE_EVENT_REKEY, ABI_EVENT_REKEY_DUE, &event,
	                   sizeof(event))
	       && push_bit(st, session, STATE_EVENT_SILENT, ABI_EVENT_SESSION_WANTED, &event,
	                   sizeof(event));
}

static void punt_events(struct state *st)
{
	struct state_events *events = &st->events;

	for (uint32_t i = 0; i < events->n_slots; i++) {
		struct state_session *session = &st->sessions[events->slots[i]];

		if (session->index != ABI_INDEX_NONE && !push_session(st, session))
			break;
	}
	for (uint32_t i = 0; i < events->n_notes; i++) {
		const struct state_note *note = &events->notes[i];
		uint16_t len = note->type == ABI_EVENT_NEIGHBOUR_WANTED ? sizeof(note->neighbour)
		                                                        : sizeof(note->session);

		if (abi_ring_push(&st->event_ring, note->type, &note->session, len,
		                  &st->wake_control)
		    < 0)
			state_count(st, ABI_COUNTER_EVENT_LOST, 1);
	}
	events->n_slots = 0;
	events->n_notes = 0;
}

void punt(struct state *st)
{
	if (st->to_kernel.n > 0)
		punt_to_kernel(st);
	if (st->to_control.n > 0)
		punt_to_control(st);
	if (st->events.n_slots + st->events.n_notes > 0)
		punt_events(st);
}

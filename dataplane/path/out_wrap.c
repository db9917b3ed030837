/* The outer headers: one copy of the session's template, then lengths, sum and counter. The template
 * is made anew when the endpoint or the underlay has changed since. */
#include "path.h"
#include "path_header.h"
#include "wg_message.h"

#include <errno.h>

#define HEADER_V4 (PATH_HEADER_V4 + WG_DATA_HEADER_LEN)
#define HEADER_V6 (PATH_HEADER_V6 + WG_DATA_HEADER_LEN)
#define COPY_V4   STATE_HEADER_LINE /* the header and a few bytes in front, which nobody reads */
#define COPY_V6   (STATE_HEADER_FRONT + STATE_HEADER_LINE)

_Static_assert(HEADER_V4 <= COPY_V4 && HEADER_V6 <= COPY_V6, "the copy covers the header");
_Static_assert(COPY_V6 <= RTE_PKTMBUF_HEADROOM, "and fits");

static uint32_t make_header(struct state *st, struct state_session *session)
{
	uint8_t header[COPY_V6] = {0};
	uint8_t *message = header + COPY_V6 - WG_DATA_HEADER_LEN;
	struct state_hop hop;

	if (session->remote.port == 0)
		return ABI_COUNTER_DROP_NO_ENDPOINT;
	if (state_address_is_own(&st->addresses, &session->remote.ip))
		return ABI_COUNTER_DROP_ENDPOINT_LOOP;
	switch (state_wan_resolve(st, &session->remote.ip, &session->local, session->port, &hop)) {
	case 0:
		break;
	case -EHOSTUNREACH:
		state_event_neighbour(st, &hop.next, hop.port);
		return ABI_COUNTER_DROP_NO_NEIGHBOUR;
	default:
		return ABI_COUNTER_DROP_NO_WAN_ROUTE;
	}
	session->header_len = (uint8_t)(path_header_write(st, &hop, &session->remote, message)
	                                + WG_DATA_HEADER_LEN);
	session->header_port = (uint8_t)hop.port;
	base_store_le32(message, WG_MESSAGE_DATA);
	base_store_le32(message + WG_DATA_RECEIVER, session->remote_index);
	memcpy(session->header_front, header, STATE_HEADER_FRONT);
	memcpy(session->header, header + STATE_HEADER_FRONT, STATE_HEADER_LINE);
	session->header_of = st->wan.generation;
	return PATH_KEEP;
}

/* Copy the template in front of p->data and finish it. sums_udp: but for UDP's checksum over IPv6. */
static void write_header(struct path_pkt *p, bool sums_udp)
{
	const struct state_session *session = p->session;
	uint8_t *message = p->data - WG_DATA_HEADER_LEN;
	uint32_t message_len = WG_DATA_HEADER_LEN + p->len;

	if (likely(session->header_len == HEADER_V4)) {
		memcpy(p->data - COPY_V4, session->header, COPY_V4);
		base_store_le64(message + WG_DATA_COUNTER, p->counter);
		path_header_finish_v4(message, message_len, (uint16_t)p->counter, p->tos);
		return;
	}
	memcpy(p->data - COPY_V6, session->header_front, STATE_HEADER_FRONT);
	memcpy(p->data - STATE_HEADER_LINE, session->header, STATE_HEADER_LINE);
	base_store_le64(message + WG_DATA_COUNTER, p->counter);
	if (sums_udp)
		path_header_begin_v6(message, message_len, p->tos);
	else
		path_header_finish_v6(message, message_len, p->tos);
}

static uint32_t wrap(struct state *st, struct path_pkt *p)
{
	struct state_session *session = p->session;

	if (unlikely(session->header_of != st->wan.generation)) {
		uint32_t verdict = make_header(st, session);

		if (verdict != PATH_KEEP)
			return verdict;
	}

	uint32_t frame_len = session->header_len + p->len;
	const struct state_wan_port *port = &st->wan.ports[session->header_port];

	if (unlikely(frame_len - PATH_ETHER_LEN > port->mtu
	             || p->data - (uint8_t *)p->mbuf->buf_addr < (ptrdiff_t)COPY_V6))
		return ABI_COUNTER_DROP_TOO_BIG;
	write_header(p, port->sums_udp);
	p->data -= session->header_len;
	p->len = frame_len;
	path_fit(p);
	if (unlikely(port->sums_udp) && session->header_len == HEADER_V6)
		path_header_ask_sum(p->mbuf);
	p->mbuf->port = session->header_port;
	return PATH_KEEP;
}

void out_wrap(struct state *st, struct path_burst *b)
{
	struct path_pkt *end = path_end(b);
	struct path_pkt *to = b->pkt;

	for (struct path_pkt *p = b->pkt; p < end; p++)
		path_settle(st, p, wrap(st, p), &to);
	path_close(b, to);
}

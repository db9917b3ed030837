/* Packets for somebody who looks at them (abi_capture.h): copied, never changed nor held up. The caller asks
 * once a burst whether anybody does: state_captures(). */
#include "path.h"

/* Whether the packet is one that is wanted, by its peer. */
static bool is_wanted(const struct abi_capture *capture, uint32_t peer)
{
	if (capture->n_peers == 0)
		return true;
	for (uint32_t i = 0; i < capture->n_peers; i++)
		if (capture->peers[i] == peer)
			return true;
	return false;
}

void capture_burst(struct state *st, const struct path_burst *b, enum abi_capture_way way)
{
	struct state_capture *capture = &st->capture;

	for (uint32_t i = 0; i < b->n; i++) {
		const struct path_pkt *p = &b->pkt[i];
		const struct abi_capture_packet packet = {
			.time_ns = st->now_ns,
			.peer = p->session->peer,
			.way = way,
			.len = p->len,
		};

		if (packet.len != 0 && is_wanted(&capture->head, packet.peer)) /* no keepalives */
			(void)abi_capture_put(&capture->end, &packet, p->data);
	}
}

void capture_drop(struct state *st, const struct abi_report_drop *drop, const uint8_t *data,
                  uint32_t len)
{
	const struct abi_capture_packet packet = {
		.time_ns = st->now_ns,
		.peer = drop->peer,
		.way = ABI_CAPTURE_DROPPED,
		.reason = drop->reason,
		.flags = drop->flags,
		.len = len,
	};

	if (is_wanted(&st->capture.head, drop->peer))
		(void)abi_capture_put(&st->capture.end, &packet, data);
}

/* What in_open left of long packets: nobody on the way from peer to peer reads more than their heads, and out_seal
 * takes both ciphers at once (aead_open_head()). Who needs the whole packet opens the rest first: the kernel's, for
 * another worker, what has to wait, what is cut. So a rest never outlives the burst that it came in, nor the
 * session.
 *
 * Whose it is still stands in front of it: the message's header stays until out_wrap. */
#include "path_rest.h"
#include "policy_packet.h"
#include "wg_message.h"

/* A header that lies in the head, with ports behind it, and a rest that belongs to the packet: most of what is long.
 * The kinds whose insides are looked at, and what is oddly padded, go on whole. */
static bool is_plain(const struct path_pkt *p, uint32_t end)
{
	const uint8_t *ip = p->data;
	uint32_t len, proto;

	if (ip[0] == PATH_INNER_V4_PLAIN) {
		len = base_load_be16(ip + 2);
		proto = ip[9];
	} else if (ip[0] >> 4 == 6) {
		len = PATH_INNER_V6_LEN + base_load_be16(ip + 4);
		proto = ip[6];
	} else {
		return false;
	}
	return len >= end && len <= p->len
	       && (proto == POLICY_PROTO_TCP || proto == POLICY_PROTO_UDP);
}

_Static_assert((AEAD_LEN_MAX - AEAD_HEAD_LEN) / AEAD_REST_UNIT < 1U << PATH_REST_BITS, "fits");

void path_keep_rests(struct state *st, struct path_burst *b, uint64_t left)
{
	for (; left != 0; left &= left - 1) {
		struct path_pkt *p = &b->pkt[__builtin_ctzll(left)];
		uint32_t len = aead_rest_len(st->aead, p->len);

		p->rest = len / AEAD_REST_UNIT;
		if (likely(is_plain(p, AEAD_HEAD_LEN + len)))
			b->has_rests = true;
		else
			path_open_rest(st, p);
	}
}

struct aead_rest path_take_rest(const struct state *st, struct path_pkt *p)
{
	const uint8_t *message = p->data - WG_DATA_HEADER_LEN;
	uint32_t slot = abi_index_slot(base_load_le32(message + WG_DATA_RECEIVER));
	uint32_t len = p->rest * AEAD_REST_UNIT;

	if (len == 0)
		return (struct aead_rest){.len = 0};
	p->rest = 0;
	return (struct aead_rest){
		.key = st->sessions[slot].receive_key,
		.counter = base_load_le64(message + WG_DATA_COUNTER),
		.len = len,
	};
}

void path_open_rest(struct state *st, struct path_pkt *p)
{
	struct aead_rest rest = path_take_rest(st, p);

	aead_open_rests(st->aead, &p->data, &rest, 1);
}

static void open_rests(struct state *st, struct path_burst *b, bool only_hub)
{
	struct aead_rest rests[PATH_BURST_MAX];
	uint8_t *data[PATH_BURST_MAX];
	uint32_t n = 0;

	for (uint32_t i = 0; i < b->n; i++) {
		struct path_pkt *p = &b->pkt[i];

		if (p->rest == 0 || (only_hub && !p->to_hub))
			continue;
		data[n] = p->data;
		rests[n++] = path_take_rest(st, p);
	}
	aead_open_rests(st->aead, data, rests, n);
}

void path_open_rests(struct state *st, struct path_burst *b)
{
	if (b->has_rests)
		open_rests(st, b, false);
	b->has_rests = false;
}

void path_open_hub_rests(struct state *st, struct path_burst *b)
{
	if (b->has_rests)
		open_rests(st, b, true);
}

/* Packets from peer to peer that are larger than the tunnel's MTU, as a router does it: IPv4 that may be cut is
 * cut, of everything else the sender is told (RFC 1191, RFC 4443): ICMP from the hub's own tunnel address, at
 * most TOLD_PER_S a second and peer. Only of what the policy let pass: so the answer tells nobody anything about
 * whom he may not reach, and as an error about a flow that is known it needs no grant.
 *
 * The error is made of the packet itself, in its buffer; pieces but the first get buffers of their own. IPv4 with
 * options is not cut. */
#include "path_inner.h"
#include "path_rest.h"

#define TOLD_PER_S 10U
#define TOLD_BURST 10U

#define PROTO_ICMP    1U
#define PROTO_ICMP6   58U
#define ICMP_LEN      8U
#define QUOTE_V4      (576U - PATH_INNER_V4_MIN - ICMP_LEN)
#define QUOTE_V6      (1280U - PATH_INNER_V6_LEN - ICMP_LEN)
#define HOP_LIMIT     64U
#define FRAGMENT_DF   0x4000U
#define FRAGMENT_MF   0x2000U
#define FRAGMENT_AT   0x1fffU /* offset in units of 8 bytes */
#define FRAGMENT_UNIT 8U
#define PIECES_MAX    32U /* of the largest packet for the smallest tunnel it takes 18 */

/* In front of the error its outer header must find room. */
#define ERROR_ROOM (PATH_INNER_V6_LEN + ICMP_LEN + RTE_PKTMBUF_HEADROOM)

/* ---- errors -------------------------------------------------------------------------------------- */

/* Nobody is told of errors, nor of a fragment that is not the first. What an extension header of IPv6 hides is
 * taken for no error. */
static bool may_be_told(const struct path_pkt *p)
{
	const uint8_t *ip = p->data;
	uint32_t header_len = (ip[0] & 0x0fU) * 4U;

	if (path_inner_version(p) == 6)
		return ip[6] != PROTO_ICMP6 || (ip[PATH_INNER_V6_LEN] & 0x80) != 0;
	if ((base_load_be16(ip + 6) & FRAGMENT_AT) != 0)
		return false;
	return ip[9] != PROTO_ICMP || ip[header_len] == 8 || ip[header_len] == 0; /* echo */
}

/* A peer shares its bucket with those whose numbers end alike, where there are many. */
static bool take_token(struct state *st, uint32_t peer)
{
	struct base_bucket_rate rate = base_bucket_rate(TOLD_PER_S, TOLD_BURST);

	return base_bucket_take(&st->limits.too_big[peer % STATE_TOO_BIG_PARTS], &rate, 1,
	                        st->now_ns);
}

static void make_v4(const struct state *st, struct path_pkt *p)
{
	uint32_t quote = p->len < QUOTE_V4 ? p->len : QUOTE_V4;
	uint8_t *icmp = p->data - ICMP_LEN;
	uint8_t *ip = icmp - PATH_INNER_V4_MIN;
	uint8_t sender[4];

	memcpy(sender, path_inner_source(p), sizeof(sender));
	memset(ip, 0, PATH_INNER_V4_MIN + ICMP_LEN);
	icmp[0] = 3; /* destination unreachable: */
	icmp[1] = 4; /* fragmentation needed */
	base_store_be16(icmp + 6, st->hub.tunnel_mtu);
	base_store_be16(icmp + 2,
	                (uint16_t)~path_sum_fold(path_sum_add(0, icmp, ICMP_LEN + quote)));
	ip[0] = 0x45;
	base_store_be16(ip + 2, (uint16_t)(PATH_INNER_V4_MIN + ICMP_LEN + quote));
	base_store_be16(ip + 6, FRAGMENT_DF);
	ip[8] = HOP_LIMIT;
	ip[9] = PROTO_ICMP;
	memcpy(ip + 12, &st->addresses.tunnel.v4[0], 4);
	memcpy(ip + 16, sender, 4);
	base_store_be16(ip + 10, (uint16_t)~path_sum_fold(path_sum_add(0, ip, PATH_INNER_V4_MIN)));
	p->data = ip;
	p->len = PATH_INNER_V4_MIN + ICMP_LEN + quote;
}

static void make_v6(const struct state *st, struct path_pkt *p)
{
	uint32_t quote = p->len < QUOTE_V6 ? p->len : QUOTE_V6;
	uint8_t *icmp = p->data - ICMP_LEN;
	uint8_t *ip = icmp - PATH_INNER_V6_LEN;
	uint32_t len = ICMP_LEN + quote;
	uint8_t sender[16];

	memcpy(sender, path_inner_source(p), sizeof(sender));
	memset(ip, 0, PATH_INNER_V6_LEN + ICMP_LEN);
	icmp[0] = 2; /* packet too big */
	base_store_be32(icmp + 4, st->hub.tunnel_mtu);
	ip[0] = 0x60;
	base_store_be16(ip + 4, (uint16_t)len);
	ip[6] = PROTO_ICMP6;
	ip[7] = HOP_LIMIT;
	memcpy(ip + 8, st->addresses.tunnel.v6[0].bytes, 16);
	memcpy(ip + 24, sender, 16);
	/* over a pseudo-header, too: addresses, length, protocol */
	base_store_be16(icmp + 2, (uint16_t)~path_sum_fold(path_sum_add(
					  path_sum_add(PROTO_ICMP6 + len, ip + 8, 32), icmp, len)));
	p->data = ip;
	p->len = PATH_INNER_V6_LEN + len;
}

/* Turn the packet into the error about it, on its way back. False: it can only be dropped. */
static bool tell_sender(struct state *st, struct path_pkt *p)
{
	bool v4 = path_inner_version(p) == 4;

	if ((v4 ? st->addresses.tunnel.n_v4 : st->addresses.tunnel.n_v6) == 0 || !may_be_told(p)
	    || p->data - (uint8_t *)p->mbuf->buf_addr < (ptrdiff_t)ERROR_ROOM
	    || !take_token(st, p->index))
		return false;
	v4 ? make_v4(st, p) : make_v6(st, p);
	p->peer = p->index;
	p->note = 0;
	state_count(st, ABI_COUNTER_ICMP_TOO_BIG, 1);
	return true;
}

/* The burst has room for one. */
static void refuse(struct state *st, struct path_burst *b, struct path_pkt *p)
{
	st->peer_counters[p->index].drops++;
	path_sample(st, p, ABI_COUNTER_DROP_TUNNEL_MTU);
	if (!tell_sender(st, p)) {
		path_drop(st, p->mbuf, ABI_COUNTER_DROP_TUNNEL_MTU);
		return;
	}
	/* The packet is dropped, and another is made. */
	state_count(st, ABI_COUNTER_DROP_TUNNEL_MTU, 1);
	state_count(st, ABI_COUNTER_RX_INJECT, 1);
	p->waited = 0;
	b->pkt[b->n++] = *p;
}

/* ---- pieces -------------------------------------------------------------------------------------- */

static uint32_t payload_of_piece(const struct state *st)
{
	return (st->hub.tunnel_mtu - PATH_INNER_V4_MIN) / FRAGMENT_UNIT * FRAGMENT_UNIT;
}

/* 1: it cannot be cut. Pieces that would begin beyond a datagram, whose offset runs over into the flags, are not to be
 * (the policy passes no such packet). */
static uint32_t n_pieces(const struct state *st, const struct path_pkt *p)
{
	uint32_t step = payload_of_piece(st);
	uint32_t fragment = base_load_be16(p->data + 6);

	if (p->data[0] != 0x45 || (fragment & FRAGMENT_DF) != 0
	    || (fragment & FRAGMENT_AT) + p->len / FRAGMENT_UNIT > FRAGMENT_AT)
		return 1;
	return (p->len - PATH_INNER_V4_MIN + step - 1) / step;
}

/* Length and place in the datagram into an IPv4 header without options. */
static void finish_piece(uint8_t *ip, uint32_t payload_len, uint32_t fragment)
{
	base_store_be16(ip + 2, (uint16_t)(PATH_INNER_V4_MIN + payload_len));
	base_store_be16(ip + 6, (uint16_t)fragment);
	base_store_be16(ip + 10, 0);
	base_store_be16(ip + 10, (uint16_t)~path_sum_fold(path_sum_add(0, ip, PATH_INNER_V4_MIN)));
}

/* Pieces but the first, each with a buffer of mbufs; p stays whole until then. A later piece leaves no note: what
 * the first did to the flow is enough. */
static void append_pieces(struct state *st, struct path_burst *b, const struct path_pkt *p,
                          struct rte_mbuf *const *mbufs, uint32_t step)
{
	uint32_t fragment = base_load_be16(p->data + 6);
	uint32_t payload_len = p->len - PATH_INNER_V4_MIN;

	for (uint32_t at = step; at < payload_len; at += step) {
		struct path_pkt *piece = path_append(b, *mbufs++);
		uint32_t left = payload_len - at;
		uint32_t len = left < step ? left : step;

		memcpy(piece->data, p->data, PATH_INNER_V4_MIN);
		memcpy(piece->data + PATH_INNER_V4_MIN, p->data + PATH_INNER_V4_MIN + at, len);
		finish_piece(piece->data, len,
		             (fragment + at / FRAGMENT_UNIT) | (left > step ? FRAGMENT_MF : 0));
		piece->len = PATH_INNER_V4_MIN + len;
		piece->peer = p->peer;
		piece->handed_by = p->handed_by;
		state_count(st, ABI_COUNTER_RX_INJECT, 1);
	}
}

/* The burst has room for all n. */
static void cut(struct state *st, struct path_burst *b, struct path_pkt *p, uint32_t n)
{
	uint32_t step = payload_of_piece(st);
	struct rte_mbuf *mbufs[PIECES_MAX];
	struct path_pkt *first;

	if (rte_pktmbuf_alloc_bulk(st->pool, mbufs, n - 1) != 0) {
		state_count(st, ABI_COUNTER_NO_MBUF, 1);
		st->peer_counters[p->index].drops++;
		path_refuse(st, p, ABI_COUNTER_DROP_TUNNEL_MTU);
		return;
	}
	p->waited = 0;
	first = &b->pkt[b->n++];
	*first = *p;
	append_pieces(st, b, p, mbufs, step);
	first->len = PATH_INNER_V4_MIN + step;
	finish_piece(first->data, step, base_load_be16(first->data + 6) | FRAGMENT_MF);
	state_count(st, ABI_COUNTER_FRAGMENTED, 1);
	state_count(st, ABI_COUNTER_FORWARDED, 1);
}

/* ---- in and out ---------------------------------------------------------------------------------- */

uint32_t too_big_put(struct state *st, struct path_pkt *p)
{
	struct state_big *big = &st->big;

	if (big->n == STATE_BIG_MAX) {
		p->session->drops++;
		return ABI_COUNTER_DROP_TUNNEL_MTU;
	}
	path_open_whole(st, p);
	path_keep(p, p->session->peer);
	big->mbuf[big->n++] = p->mbuf;
	return PATH_GONE;
}

/* False: no room for its pieces in this burst. */
static bool take(struct state *st, struct path_burst *b, struct rte_mbuf *mbuf)
{
	struct path_pkt p = path_kept(mbuf);
	uint32_t n = path_inner_version(&p) == 4 ? n_pieces(st, &p) : 1;

	if (n > PATH_BURST_MAX - b->n)
		return false;
	if (n > 1 && n <= PIECES_MAX)
		cut(st, b, &p, n);
	else
		refuse(st, b, &p);
	return true;
}

void too_big(struct state *st, struct path_burst *b)
{
	struct state_big *big = &st->big;
	uint32_t n = 0;

	while (n < big->n && take(st, b, big->mbuf[n]))
		n++;
	big->n -= n;
	memmove(big->mbuf, big->mbuf + n, big->n * sizeof(big->mbuf[0]));
}

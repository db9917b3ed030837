/* From here on the packet is the peer's. The order is the kernel module's: window, confirmation,
 * endpoint and timers first, for keepalives and for packets whose inside turns out wrong as well;
 * then the inside. */
#include "path.h"
#include "path_inner.h"
#include "wg_message.h"

#define UDP_LEN 8U

/* Where the packet came from, as struct state_session has it. */
static inline struct state_heard where_from(const struct path_pkt *p, const uint8_t *ip,
                                            const uint8_t *udp)
{
	struct state_heard heard = {.version = ip[0] >> 4, .port = (uint8_t)p->mbuf->port};

	memcpy(heard.source_port, udp, sizeof(heard.source_port));
	return heard;
}

/* Only the newest packet moves the endpoint: one that was delayed, or kept and sent again by somebody
 * else, does not. The outer header lies in front of the payload, where in_open left it. */
static inline void follow_endpoint(struct state *st, const struct path_pkt *p, const uint8_t *ip)
{
	struct state_session *session = p->session;
	struct state_heard heard = where_from(p, ip, p->data - WG_DATA_HEADER_LEN - UDP_LEN);

	if (likely(heard.version == 4)) {
		if (likely(memcmp(&heard, &session->heard, sizeof(heard)) == 0
		           && memcmp(ip + 12, session->heard_v4, STATE_HEARD_V4) == 0))
			return;
		ip += 12;
	} else {
		if (likely(memcmp(&heard, &session->heard, sizeof(heard)) == 0
		           && memcmp(ip + 8, session->remote.ip.bytes, 16) == 0
		           && memcmp(ip + 24, session->local.bytes, 16) == 0))
			return;
		ip += 8;
	}
	if (state_session_move(st, session, heard, ip))
		state_count(st, ABI_COUNTER_ENDPOINT_MOVED, 1);
}

/* The packet, whose outer IP header is ip, is authentic and new: what that means for its session. tick: now,
 * as timers have it. */
static inline void learn(struct state *st, struct path_pkt *p, const uint8_t *ip, uint32_t tick)
{
	struct state_session *session = p->session;
	uint64_t next = session->window.next;

	if (unlikely(st->now_ns >= session->receive_soft_ns))
		state_session_after_receive(st, session);
	if (likely(next == p->counter + 1)) {
		__atomic_store_n(&st->receive_next[abi_index_slot(p->index)], next,
		                 __ATOMIC_RELAXED);
		follow_endpoint(st, p, ip);
	}
	session->rx_packets++;
	if (unlikely(p->handed_by != 0)) {
		session->rx_handed++;
		session->handed_by = p->handed_by;
	}
	session->rx_bytes += p->len + WG_DATA_MIN_LEN;
	wg_timers_received(&session->timers, tick);
}

/* An outer header with ECT(1) or congestion: what the inner packet bears then (RFC 6040 4.2). */
static uint32_t take_ecn(struct path_pkt *p, uint8_t outer)
{
	uint8_t inner = path_inner_tos(p) & PATH_ECN_MASK;

	/* It does not understand marks, so the router's next means, dropping, is left to us. */
	if (inner == 0 && outer == PATH_ECN_CE)
		return ABI_COUNTER_DROP_ECN;
	if (outer == PATH_ECN_ECT1 && inner != PATH_ECN_ECT0)
		return PATH_KEEP;
	if (path_inner_version(p) == 4)
		path_inner_patch_v4(p->data, 0,
		                    (uint16_t)((base_load_be16(p->data) & ~PATH_ECN_MASK) | outer));
	else
		p->data[1] = (uint8_t)((p->data[1] & ~(PATH_ECN_MASK << 4)) | outer << 4);
	return PATH_KEEP;
}

static inline uint8_t outer_ecn(const uint8_t *ip)
{
	/* version in the first byte, the two bits at the end of the second, or in the middle */
	uint32_t word = base_load_be16(ip);

	return (word >> 12 == 4 ? word : word >> 4) & PATH_ECN_MASK;
}

/* Is the inner source the one that the routes, as they still are, gave the peer the last time? */
static inline bool is_source_known(const struct state *st, const struct path_pkt *p)
{
	const struct state_session *session = p->session;

	return path_inner_version(p) == 4
	       && base_load_le32(path_inner_source(p)) == session->source_v4
	       && state_route_generation(st->routes) == session->source_of;
}

/* Cryptokey routing, backwards: a peer may only send from what would be sent to it. The generation is
 * read before the table: what the table says may be newer then, never older. */
static bool is_source_of_peer(struct state *st, const struct path_pkt *p)
{
	struct state_session *session = p->session;
	uint32_t generation = state_route_generation(st->routes);
	uint32_t version = path_inner_version(p);
	const uint8_t *source = path_inner_source(p);

	if (unlikely(state_route_lookup(st->routes, version, source) != session->peer))
		return false;
	if (version == 4) {
		session->source_v4 = base_load_le32(source);
		session->source_of = generation;
	}
	return true;
}

/* Nearly every packet: inside an IPv4 header without options, not longer than what came, from where the peer sent
 * the last time, and outside no mark that must be told. True: it passes, and p->len is set. False says
 * nothing: look at it field by field. */
static inline bool accept_plain(const struct state *st, struct path_pkt *p, const uint8_t *ip)
{
	const struct state_session *session = p->session;
	uint32_t len;

	if (unlikely(p->len < PATH_INNER_V4_MIN || p->data[0] != PATH_INNER_V4_PLAIN))
		return false;
	len = base_load_be16(p->data + 2);
	if (unlikely(len < PATH_INNER_V4_MIN || len > p->len
	             || base_load_le32(p->data + 12) != session->source_v4
	             || state_route_generation(st->routes) != session->source_of
	             || (outer_ecn(ip) & PATH_ECN_ECT1) != 0))
		return false;
	p->len = len;
	return true;
}

/* Any other. Not inlined, so that accept_plain() has the registers. */
static __attribute__((noinline)) uint32_t accept_any(struct state *st, struct path_pkt *p,
                                                     const uint8_t *ip)
{
	uint32_t verdict = path_inner_check(p);
	uint8_t ecn = outer_ecn(ip);

	if (unlikely(verdict != PATH_KEEP))
		return verdict;
	if (unlikely(!is_source_known(st, p) && !is_source_of_peer(st, p)))
		return ABI_COUNTER_DROP_INNER_SOURCE;
	if (unlikely((ecn & PATH_ECN_ECT1) != 0))
		return take_ecn(p, ecn);
	return PATH_KEEP;
}

static inline uint32_t accept_packet(struct state *st, struct path_pkt *p, uint32_t tick)
{
	const uint8_t *ip = path_outer_ip(p);
	uint32_t verdict;

	if (unlikely(!wg_replay_accept(&p->session->window, &st->rings[abi_index_slot(p->index)],
	                               p->counter)))
		return ABI_COUNTER_DROP_REPLAY;
	learn(st, p, ip, tick);
	if (p->len == 0) {
		state_count(st, ABI_COUNTER_KEEPALIVE_IN, 1);
		rte_pktmbuf_free(p->mbuf);
		return PATH_GONE;
	}
	wg_timers_received_data(&p->session->timers, tick);
	if (likely(accept_plain(st, p, ip)))
		return PATH_KEEP;
	verdict = accept_any(st, p, ip);
	if (unlikely(verdict != PATH_KEEP))
		p->session->drops++;
	return verdict;
}

/* First pass: the line of the routes for the inner source. What is too short for a header is found out
 * by the second; here it only must not be read behind its end. */
static void prefetch(const struct state *st, const struct path_pkt *p)
{
	if (likely(p->len >= PATH_INNER_V4_MIN && path_inner_version(p) == 4)) {
		if (!is_source_known(st, p))
			state_route_prefetch(st->routes, 4, path_inner_source(p));
	} else if (p->len >= PATH_INNER_V6_LEN)
		state_route_prefetch(st->routes, 6, path_inner_source(p));
}

void in_accept(struct state *st, struct path_burst *b)
{
	struct path_pkt *end = path_end(b);
	struct path_pkt *to = b->pkt;
	uint32_t tick = wg_timers_tick(st->now_ns);

	st->routes_seen = state_route_generation(st->routes);
	if (state_route_is_cold(st->routes))
		for (const struct path_pkt *p = b->pkt; p < end; p++)
			prefetch(st, p);
	for (struct path_pkt *p = b->pkt; p < end; p++)
		path_settle(st, p, accept_packet(st, p, tick), &to);
	path_close(b, to);
}

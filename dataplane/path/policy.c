/* May this packet pass? What a peer sends is judged here, by the policy and the flows there are
 * (dataplane/policy): the sender is known and authentic, the packet is decrypted, nothing has been changed
 * yet. Who it is for is found out first, since that is half of the question; out_route need not look
 * again. No policy yet, nothing passes.
 *
 * **Two workers.** A packet is judged by the owner of its sender's session, so the reply is by the other's
 * owner, who must expect it. What opens or changes a flow therefore leaves a note on the packet, and the
 * worker that it is handed to makes the entry before it seals (policy_late).
 *
 * **The hub as an end.** What its kernel sends comes in at any worker and belongs to none, so it is judged
 * late too, by the receiver's owner: where the receiver's replies will be judged. So every flow between the
 * hub and a peer is known at one worker, that peer's. The hub may open what it likes to its peers (a grant
 * that control puts into each table, grant_compile.c): published services reach their targets so. But from
 * a port below those that the kernel gives to clients it only answers: otherwise an answer that was under
 * way when its grant was taken back would open the flow again, as the hub's own, and the peer's next
 * question would pass as its reply. */
#include "path.h"
#include "path_inner.h"
#include "state_flow.h"

#include <rte_prefetch.h>

/* How often a verdict is given says what is wrong where, so each has its name. */
static const uint16_t verdict_counters[POLICY_FLOW_N_VERDICTS] = {
	[POLICY_FLOW_PASS] = PATH_KEEP,
	[POLICY_FLOW_NO_FLOW] = ABI_COUNTER_DROP_POLICY_NO_FLOW,
	[POLICY_FLOW_NO_DATAGRAM] = ABI_COUNTER_DROP_POLICY_NO_DATAGRAM,
	[POLICY_FLOW_NO_SOURCE] = ABI_COUNTER_DROP_POLICY_NO_SOURCE,
	[POLICY_FLOW_NO_DESTINATION] = ABI_COUNTER_DROP_POLICY_NO_DESTINATION,
	[POLICY_FLOW_NO_GRANT] = ABI_COUNTER_DROP_POLICY_NO_GRANT,
	[POLICY_FLOW_NOT_NOW] = ABI_COUNTER_DROP_POLICY_NOT_NOW,
	[POLICY_FLOW_REVOKED] = ABI_COUNTER_DROP_POLICY_REVOKED,
	[POLICY_FLOW_TCP_FLAGS] = ABI_COUNTER_DROP_POLICY_TCP_FLAGS,
	[POLICY_FLOW_STATE] = ABI_COUNTER_DROP_POLICY_STATE,
	[POLICY_FLOW_FULL] = ABI_COUNTER_DROP_POLICY_FULL,
	[POLICY_FLOW_PEER_FULL] = ABI_COUNTER_DROP_POLICY_PEER_FULL,
	[POLICY_FLOW_PEER_HALF] = ABI_COUNTER_DROP_POLICY_PEER_HALF,
};

static const uint16_t parse_counters[POLICY_N_PARSE] = {
	[POLICY_PARSE_OK] = PATH_KEEP,
	[POLICY_PARSE_HEADER] = ABI_COUNTER_DROP_INNER_HEADER,
	[POLICY_PARSE_SHORT] = ABI_COUNTER_DROP_POLICY_SHORT,
	[POLICY_PARSE_FRAGMENT] = ABI_COUNTER_DROP_POLICY_FRAGMENT,
	[POLICY_PARSE_ICMP] = ABI_COUNTER_DROP_POLICY_ICMP,
};

/* ---- judging ------------------------------------------------------------------------------------- */

/* What is not plain: frames[i] of b for each bit i of rest, into verdicts[i]. */
static void judge_rest(struct state *st, struct path_burst *b, const struct policy_frame *frames,
                       uint64_t rest, uint32_t *verdicts)
{
	struct policy_packet packets[PATH_BURST_MAX];
	struct policy_flow_result results[PATH_BURST_MAX];
	uint8_t number[PATH_BURST_MAX];
	uint32_t n = 0;

	for (; rest != 0; rest &= rest - 1) {
		uint32_t i = (uint32_t)__builtin_ctzll(rest);
		struct policy_packet *packet = &packets[n];

		packet->in_peer = frames[i].in_peer;
		packet->out_peer = frames[i].out_peer;
		verdicts[i] =
			parse_counters[policy_packet_parse(frames[i].data, frames[i].len, packet)];
		if (verdicts[i] != PATH_KEEP)
			continue;
		number[n++] = (uint8_t)i;
	}
	if (n == 0)
		return;
	policy_flow_judge(st->flows, st->policy, st->clock, packets, results, n);
	for (uint32_t i = 0; i < n; i++) {
		verdicts[number[i]] = verdict_counters[results[i].verdict];
		b->pkt[number[i]].note = results[i].note;
	}
}

static void drop_all(struct state *st, struct path_burst *b, uint32_t counter)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < b->n; i++)
		path_judge(st, b, i, counter, &n);
	b->n = n;
}

static inline uint64_t all_of(uint32_t n)
{
	return n == 64 ? ~UINT64_C(0) : (UINT64_C(1) << n) - 1;
}

/* ---- what peers send ----------------------------------------------------------------------------- */

static inline uint32_t find_receiver(const struct state *st, const struct path_pkt *p)
{
	uint32_t version = path_inner_version(p);
	const uint8_t *destination = path_inner_destination(p);

	if (state_address_has(&st->addresses.tunnel, version, destination))
		return POLICY_HUB;
	return state_route_lookup(st->routes, version, destination);
}

static void keep_receivers(struct path_burst *b, const struct policy_frame *frames)
{
	for (uint32_t i = 0; i < b->n; i++) {
		b->pkt[i].to_hub = frames[i].out_peer == POLICY_HUB;
		b->pkt[i].peer = frames[i].out_peer;
	}
}

static inline uint32_t first_of(uint64_t bits)
{
	return (uint32_t)__builtin_ctzll(bits);
}

static void find_receivers(struct state *st, const struct path_burst *b,
                           struct policy_frame *frames, uint64_t of)
{
	if (state_route_is_cold(st->routes))
		for (uint64_t bits = of; bits != 0; bits &= bits - 1)
			state_route_prefetch(st->routes,
			                     path_inner_version(&b->pkt[first_of(bits)]),
			                     path_inner_destination(&b->pkt[first_of(bits)]));
	for (; of != 0; of &= of - 1)
		frames[first_of(of)].out_peer = find_receiver(st, &b->pkt[first_of(of)]);
}

/* These may be refused: reach for what is written then, as early as that. */
static BASE_FETCHES void reach_for_drops(const struct state *st, const struct path_burst *b,
                                         uint64_t of)
{
	for (; of != 0; of &= of - 1) {
		const struct path_pkt *p = &b->pkt[first_of(of)];

		state_drop_prefetch(&st->drops, p->session->peer, ABI_COUNTER_DROP_POLICY_NO_GRANT);
		rte_prefetch0(&p->session->drops);
		rte_prefetch0(&p->mbuf->pool); /* who gives it back reads this line */
	}
}

/* Of packets that have passed; the others came without one. */
static void keep_notes(struct path_burst *b, const struct policy_flow_result *results,
                       uint64_t passed)
{
	for (; passed != 0; passed &= passed - 1)
		b->pkt[first_of(passed)].note = results[first_of(passed)].note;
}

/* Drop those, each for its reason, and close up the ranks. */
static void drop_some(struct state *st, struct path_burst *b, uint64_t dropped,
                      const uint32_t *verdicts)
{
	uint32_t n = first_of(dropped);

	while (dropped != 0) {
		uint32_t i = first_of(dropped);
		uint32_t next;

		dropped &= dropped - 1;
		next = dropped != 0 ? first_of(dropped) : b->n;
		b->pkt[i].session->drops++;
		path_refuse(st, &b->pkt[i], verdicts[i]);
		memmove(&b->pkt[n], &b->pkt[i + 1], (next - i - 1) * sizeof(b->pkt[0]));
		n += next - i - 1;
	}
	b->n = n;
}

/* Of those that did not pass at once, pass what is of flows that stand all the same: nobody has said for whom
 * they are since routes or addresses changed. known: those whose receivers have been looked up. */
static uint64_t pass_late(struct state *st, struct path_burst *b, struct policy_frame *frames,
                          struct policy_flow_result *results, uint64_t rest, uint64_t known)
{
	uint64_t others = rest & ~known;

	if (others == 0)
		return 0;
	find_receivers(st, b, frames, others);
	return policy_flow_pass_known(st->flows, st->policy, st->clock, frames, results, others,
	                              true);
}

/* Some are not plain, or are for nobody. */
static void sort_out(struct state *st, struct path_burst *b, const struct policy_frame *frames,
                     struct policy_flow_result *results, uint64_t rest)
{
	uint32_t verdicts[PATH_BURST_MAX];
	uint64_t dropped = 0;
	uint64_t opened;

	for (uint64_t bits = rest; bits != 0; bits &= bits - 1) {
		uint32_t i = first_of(bits);

		verdicts[i] = ABI_COUNTER_DROP_NO_ROUTE;
		if (frames[i].out_peer == ABI_PEER_NONE)
			dropped |= bits & -bits;
	}
	opened = policy_flow_open(st->flows, st->policy, st->clock, results, rest & ~dropped);
	for (uint64_t bits = opened; bits != 0; bits &= bits - 1) {
		uint32_t i = first_of(bits);

		verdicts[i] = verdict_counters[results[i].verdict];
		b->pkt[i].note = results[i].note;
	}
	if ((rest & ~dropped & ~opened) != 0)
		judge_rest(st, b, frames, rest & ~dropped & ~opened, verdicts);
	for (uint64_t bits = rest; bits != 0; bits &= bits - 1)
		if (verdicts[first_of(bits)] != PATH_KEEP)
			dropped |= bits & -bits;
	if (dropped != 0)
		drop_some(st, b, dropped, verdicts);
}

void policy(struct state *st, struct path_burst *b)
{
	struct policy_frame frames[PATH_BURST_MAX];
	struct policy_flow_result results[PATH_BURST_MAX];
	uint64_t syns, strangers;
	uint64_t passed = 0;

	if (b->n == 0)
		return;
	if (unlikely(!st->policy)) {
		for (uint32_t i = 0; i < b->n; i++)
			b->pkt[i].session->drops++;
		drop_all(st, b, ABI_COUNTER_DROP_POLICY_NONE);
		return;
	}
	policy_flow_lead(st->flows, state_flow_lead(st));
	for (uint32_t i = 0; i < b->n; i++)
		frames[i] = (struct policy_frame){.data = b->pkt[i].data,
		                                  .len = b->pkt[i].len,
		                                  .in_peer = b->pkt[i].session->peer,
		                                  .out_peer = ABI_PEER_NONE};
	policy_flow_fetch(st->flows, st->policy, st->clock, frames, b->n);
	syns = policy_flow_syns(st->flows);
	if (syns != 0) {
		reach_for_drops(st, b, syns);
		find_receivers(st, b, frames, syns);
	}
	strangers = policy_flow_find(st->flows, b->n);
	if (strangers != syns) {
		reach_for_drops(st, b, strangers & ~syns);
		find_receivers(st, b, frames, strangers & ~syns);
	}
	if (strangers != 0)
		policy_flow_foresee(st->flows, st->policy, frames, strangers);
	if (likely(strangers != all_of(b->n)))
		passed = policy_flow_pass(st->flows, st->policy, st->clock, frames, results, b->n);
	if (passed != all_of(b->n))
		passed |= pass_late(st, b, frames, results, all_of(b->n) & ~passed, strangers);
	keep_receivers(b, frames);
	if (unlikely(policy_flow_has_notes(st->flows)))
		keep_notes(b, results, passed);
	if (passed != all_of(b->n))
		sort_out(st, b, frames, results, all_of(b->n) & ~passed);
}

/* ---- what is judged by the receiver's owner ------------------------------------------------------ */

/* Another worker let it pass, and left a note: expect the reply. */
static uint32_t expect(struct state *st, struct path_pkt *p)
{
	struct policy_packet packet = {
		/* as in_accept found: a note goes with nothing whose source is not its sender's */
		.in_peer = state_route_lookup(st->routes, path_inner_version(p),
	                                      path_inner_source(p)),
		.out_peer = p->peer,
	};
	uint32_t verdict = parse_counters[policy_packet_parse(p->data, p->len, &packet)];
	uint8_t note = p->note;

	p->note = 0;
	if (verdict == PATH_KEEP)
		verdict = verdict_counters[policy_flow_expect(st->flows, st->policy, st->clock,
		                                              &packet, note)];
	/* Its session is another worker's: counted with what this one did for the sender. */
	if (unlikely(verdict != PATH_KEEP) && packet.in_peer < st->n_peers)
		st->peer_counters[packet.in_peer].drops++;
	return verdict;
}

uint32_t policy_again(struct state *st, struct path_pkt *p, uint32_t in_peer)
{
	struct policy_packet packet = {.in_peer = in_peer, .out_peer = p->peer};
	struct policy_flow_result result;
	uint32_t verdict;

	if (!st->policy)
		return ABI_COUNTER_DROP_POLICY_NONE;
	verdict = parse_counters[policy_packet_parse(p->data, p->len, &packet)];
	if (verdict != PATH_KEEP)
		return verdict;
	policy_flow_judge(st->flows, st->policy, st->clock, &packet, &result, 1);
	p->note = result.note;
	return verdict_counters[result.verdict];
}

/* Of the hub's own, which pass at once? The others are judged one by one. */
static uint64_t pass_hub(struct state *st, const struct path_burst *b, struct policy_frame *frames)
{
	struct policy_flow_result results[PATH_BURST_MAX]; /* a note is for another worker: none */

	for (uint32_t i = 0; i < b->n; i++)
		frames[i] = (struct policy_frame){
			.data = b->pkt[i].data,
			.len = b->pkt[i].len,
			.in_peer = b->pkt[i].from_hub ? POLICY_HUB : ABI_PEER_NONE,
			.out_peer = b->pkt[i].peer,
		};
	policy_flow_fetch(st->flows, st->policy, st->clock, frames, b->n);
	(void)policy_flow_find(st->flows, b->n);
	return policy_flow_pass_known(st->flows, st->policy, st->clock, frames, results,
	                              all_of(b->n), false);
}

void policy_late(struct state *st, struct path_burst *b)
{
	struct policy_frame frames[PATH_BURST_MAX];
	uint32_t verdicts[PATH_BURST_MAX];
	uint64_t passed = 0;
	uint64_t hubs = 0;
	uint64_t rest;
	uint32_t n = 0;

	if (b->n == 0)
		return;
	if (unlikely(!st->policy)) {
		drop_all(st, b, ABI_COUNTER_DROP_POLICY_NONE);
		return;
	}
	for (uint32_t i = 0; i < b->n; i++)
		hubs |= (uint64_t)b->pkt[i].from_hub << i;
	/* What other workers hand over is judged already. */
	if (hubs != 0)
		passed = pass_hub(st, b, frames);
	for (uint32_t i = 0; i < b->n; i++) {
		verdicts[i] = PATH_KEEP;
		if (!b->pkt[i].from_hub && b->pkt[i].note != 0)
			verdicts[i] = expect(st, &b->pkt[i]);
	}
	rest = hubs & ~passed;
	if (rest != 0)
		judge_rest(st, b, frames, rest, verdicts);
	for (uint32_t i = 0; i < b->n; i++)
		path_judge(st, b, i, verdicts[i], &n);
	b->n = n;
}

/* Receiver index -> session: whose worker, which slot, still alive? Looks at nothing that is not
 * needed; who puts a packet into the burst has reached for the line (path_reach_session()). */
#include "path.h"
#include "wg_message.h"

static uint32_t find_session(struct state *st, struct path_pkt *p)
{
	uint32_t index = base_load_le32(p->data + WG_DATA_RECEIVER);
	uint32_t worker = abi_index_worker(index);
	uint32_t slot = abi_index_slot(index);

	if (worker != st->id) {
		if (worker >= st->n_workers)
			return ABI_COUNTER_DROP_UNKNOWN_INDEX;
		path_hand_to(st, worker, p, PATH_AT_IN_SESSION);
		return PATH_GONE;
	}
	if (unlikely(slot >= st->n_slots || index == ABI_INDEX_NONE))
		return ABI_COUNTER_DROP_UNKNOWN_INDEX;

	struct state_session *session = &st->sessions[slot];

	if (unlikely(session->index != index))
		return ABI_COUNTER_DROP_UNKNOWN_INDEX;
	p->session = session;
	p->index = index;
	p->counter = base_load_le64(p->data + WG_DATA_COUNTER);
	/* Both limits cost one comparison while they are far away. */
	if (unlikely(st->now_ns >= session->receive_soft_ns
	             || p->counter >= WG_REJECT_AFTER_MESSAGES)
	    && (session->expired
	        || !wg_keypair_may_receive(session->birth_ns, p->counter, st->now_ns)))
		return ABI_COUNTER_DROP_SESSION_EXPIRED;
	/* A look before the cipher is spent on a replay; what counts is in_accept's. */
	if (unlikely(!wg_replay_may_accept(&session->window, &st->rings[slot], p->counter)))
		return ABI_COUNTER_DROP_REPLAY;
	return PATH_KEEP;
}

void in_session(struct state *st, struct path_burst *b)
{
	struct path_pkt *end = path_end(b);
	struct path_pkt *to = b->pkt;

	for (struct path_pkt *p = b->pkt; p < end; p++)
		path_settle(st, p, find_session(st, p), &to);
	path_close(b, to);
}

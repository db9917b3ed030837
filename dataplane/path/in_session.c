/* Receiver index -> session: whose worker, which slot, still alive? Looks at nothing that is not
 * needed, and reaches for the cache lines of the whole burst before it reads the first. */
#include "path.h"
#include "wg_message.h"

#include <rte_prefetch.h>

/* A core has room for some two dozen waits for memory. So the two lines of a session that a packet needs are
 * not reached for at once: the first here, the other while the cipher runs (struct aead_op). */

/* First pass: the line that the second reads. */
static void prefetch(const struct state *st, const struct path_pkt *p)
{
	uint32_t index = base_load_le32(p->data + WG_DATA_RECEIVER);
	uint32_t slot = abi_index_slot(index);

	if (unlikely(abi_index_worker(index) != st->id || slot >= st->n_slots))
		return;

	rte_prefetch0(&st->sessions[slot].index);
}

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
	if (unlikely(!wg_replay_may_accept(&session->window, p->counter)))
		return ABI_COUNTER_DROP_REPLAY;
	return PATH_KEEP;
}

void in_session(struct state *st, struct path_burst *b)
{
	struct path_pkt *end = path_end(b);
	struct path_pkt *to = b->pkt;

	for (const struct path_pkt *p = b->pkt; p < end; p++)
		prefetch(st, p);
	for (struct path_pkt *p = b->pkt; p < end; p++)
		path_settle(st, p, find_session(st, p), &to);
	path_close(b, to);
}

/* Memory for flows. */
#include "state_flow.h"

#include "base_time.h"
#include "state.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/random.h>

#define DATAGRAMS 4096U /* in fragments at a time */
#define PICKUP_S  300U  /* long enough for what is idle between two keepalives of its own */

/* A peer may have a quarter of all flows, half open ones a quarter of that: four peers that scan leave
 * room for the others. */
static uint32_t part_of(uint32_t n)
{
	return n >= 4 ? n / 4 : 1;
}

_Static_assert(ABI_PEERS_MAX - 1 <= POLICY_HUB, "what a peer can be but the hub, control refuses");
_Static_assert(POLICY_USED_WAYS == ABI_USED_WAYS, "what the one writes the other reads");

int state_flow_create(struct state *st, uint32_t n_flows, uint64_t *used, bool resumes)
{
	uint32_t n = n_flows != 0 ? n_flows : STATE_FLOWS_DEFAULT;
	struct policy_flow_setup setup = {
		.n_flows = n,
		.n_datagrams = DATAGRAMS,
		.n_peers = st->n_peers < POLICY_HUB ? st->n_peers : POLICY_HUB,
		.peer_max = part_of(n),
		.half_max = part_of(part_of(n)),
		.pickup_s = resumes ? PICKUP_S : 0,
		.used = used,
		.n_used_sets = ABI_USED_SETS,
		.is_zero = true,
	};
	size_t len = policy_flow_len(&setup);
	void *memory;

	if (len == 0)
		return -EINVAL;
	if (getrandom(setup.key, sizeof(setup.key), 0) != (ssize_t)sizeof(setup.key))
		return -errno;
	memory = mmap(NULL, len, PROT_READ | PROT_WRITE,
	              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		return -ENOMEM;
	/* Buckets are met at random. */
	(void)madvise(memory, len, MADV_HUGEPAGE);
	st->flows = policy_flow_init(memory, &setup, (uint32_t)(st->now_ns / BASE_NS_PER_S));
	if (!st->flows) {
		(void)munmap(memory, len);
		return -EINVAL;
	}
	st->flows_len = len;
	return 0;
}

void state_flow_destroy(struct state *st)
{
	if (st->flows)
		(void)munmap(st->flows, st->flows_len); /* it begins where its memory does */
	st->flows = NULL;
}

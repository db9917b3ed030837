/* The table of drops: places are taken in the order in which pairs are first seen, by linear probing,
 * and never move. Its words are ours alone, but lie where the other process can write: an index is
 * masked, a search is bounded, and nothing else depends on what is read. */
#include "state_drop.h"

#include "base_time.h"
#include "state.h"

static const struct base_bucket_rate pair_rate = {
	.cost_ns = BASE_NS_PER_S,
	.capacity_ns = STATE_DROP_BURST * BASE_NS_PER_S,
};

static const struct base_bucket_rate all_rate = {
	.cost_ns = BASE_NS_PER_S / STATE_DROP_ALL,
	.capacity_ns = (uint64_t)STATE_DROP_ALL_BURST * BASE_NS_PER_S / STATE_DROP_ALL,
};

/* The pair of this key, or with take the free place for it; NULL = there is none. */
static struct abi_drop_pair *find(const struct state_drops *drops, uint64_t key, bool take)
{
	uint32_t place = abi_drop_place(key);

	for (uint32_t i = 0; i < ABI_DROP_PROBES; i++) {
		struct abi_drop_pair *pair = &drops->pairs[(place + i) & drops->mask];

		if (pair->key == key)
			return pair;
		if (pair->key != 0)
			continue;
		if (!take)
			return NULL;
		__atomic_store_n(&pair->key, key, __ATOMIC_RELEASE);
		return pair;
	}
	return NULL;
}

bool state_drop_note(struct state *st, uint32_t peer, uint32_t reason,
                     struct state_drop_noted *noted)
{
	struct state_drops *drops = &st->drops;
	struct abi_drop_pair *pair = find(drops, abi_drop_key(peer, reason), true);
	struct base_bucket bucket;

	if (!pair) {
		state_count(st, ABI_COUNTER_DROPS_UNLISTED, 1);
		*noted = (struct state_drop_noted){.place = UINT32_MAX};
		return base_bucket_take(&drops->samples, &all_rate, 1, st->now_ns);
	}
	*noted = (struct state_drop_noted){.count = pair->count + 1,
	                                   .place = (uint32_t)(pair - drops->pairs)};
	__atomic_store_n(&pair->count, noted->count, __ATOMIC_RELAXED);
	bucket.full_ns = pair->full_ns;
	if (!base_bucket_take(&bucket, &pair_rate, 1, st->now_ns)
	    || !base_bucket_take(&drops->samples, &all_rate, 1, st->now_ns))
		return false;
	pair->full_ns = bucket.full_ns;
	return true;
}

void state_drop_forget(struct state *st, uint32_t peer)
{
	for (uint32_t reason = 0; reason < ABI_N_COUNTERS; reason++) {
		struct abi_drop_pair *pair = find(&st->drops, abi_drop_key(peer, reason), false);

		if (!pair)
			continue;
		__atomic_store_n(&pair->count, 0, __ATOMIC_RELAXED);
		pair->full_ns = 0;
	}
}

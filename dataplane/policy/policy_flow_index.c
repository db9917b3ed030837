/* Memory of the flow table: finding, making and freeing entries, what peers are charged for, and the
 * wheel. */
#include "policy_flow_index.h"

/* ---- memory -------------------------------------------------------------------------------------- */

static uint32_t round_up_power(uint32_t n)
{
	uint32_t power = 1;

	while (power < n)
		power *= 2;
	return power;
}

/* Pairs of buckets, so at least two. */
static uint32_t bucket_count(const struct policy_flow_setup *setup)
{
	uint32_t n = (setup->n_flows + FLOW_OF_BUCKET - 1) / FLOW_OF_BUCKET;

	return round_up_power(n > 2 ? n : 2);
}

static size_t round_up_line(size_t len)
{
	return (len + POLICY_ALIGN - 1) / POLICY_ALIGN * POLICY_ALIGN;
}

static bool setup_is_good(const struct policy_flow_setup *setup)
{
	return setup->n_flows >= 1 && setup->n_flows <= POLICY_FLOW_MAX
	       && setup->n_datagrams >= FLOW_WAYS && setup->n_datagrams <= 65536
	       && setup->n_peers <= POLICY_HUB
	       && (setup->used == NULL
	           || (setup->n_used_sets != 0
	               && (setup->n_used_sets & (setup->n_used_sets - 1)) == 0));
}

size_t policy_flow_len(const struct policy_flow_setup *setup)
{
	if (!setup_is_good(setup))
		return 0;
	return round_up_line(sizeof(struct policy_flow))
	       + ((size_t)setup->n_flows + 1) * sizeof(struct flow_entry)
	       + (size_t)bucket_count(setup) * sizeof(struct flow_bucket)
	       + round_up_line((size_t)setup->n_flows * sizeof(uint32_t))
	       + (sizeof(struct flow_answer) << FLOW_ANSWER_BITS)
	       + (size_t)round_up_power(setup->n_datagrams) * sizeof(struct flow_datagram)
	       + round_up_line(sizeof(struct flow_burst))
	       + round_up_line(((size_t)setup->n_peers + 1) * sizeof(struct flow_charge));
}

static void *take(uint8_t **at, size_t len)
{
	void *taken = *at;

	*at += round_up_line(len);
	return taken;
}

struct policy_flow *policy_flow_init(void *memory, const struct policy_flow_setup *setup,
                                     uint32_t now_s)
{
	const struct flow_kernel *kernel = flow__kernel_choose(setup->kernel);
	uint8_t *at = memory;
	struct policy_flow *flow;
	uint32_t n_buckets, n_datagrams;

	if (!setup_is_good(setup) || (uintptr_t)memory % POLICY_ALIGN != 0 || kernel == NULL)
		return NULL;
	n_buckets = bucket_count(setup);
	n_datagrams = round_up_power(setup->n_datagrams);
	if (!setup->is_zero)
		memset(memory, 0, policy_flow_len(setup));
	flow = take(&at, sizeof(*flow));
	flow->entries = take(&at, ((size_t)setup->n_flows + 1) * sizeof(*flow->entries));
	flow->buckets = take(&at, (size_t)n_buckets * sizeof(*flow->buckets));
	flow->free = take(&at, (size_t)setup->n_flows * sizeof(*flow->free));
	flow->answers = take(&at, sizeof(*flow->answers) << FLOW_ANSWER_BITS);
	flow->datagrams = take(&at, (size_t)n_datagrams * sizeof(*flow->datagrams));
	flow->burst = take(&at, sizeof(*flow->burst));
	flow->charges = take(&at, ((size_t)setup->n_peers + 1) * sizeof(*flow->charges));
	flow->kernel = kernel;
	memcpy(flow->secret, setup->key, sizeof(flow->secret));
	flow->bucket_mask = n_buckets - 1;
	flow->number_mask = round_up_power(setup->n_flows + 1) - 1;
	flow->n_flows = setup->n_flows;
	flow->n_peers = setup->n_peers;
	flow->peer_max = setup->peer_max;
	flow->half_max = setup->half_max;
	flow->datagram_mask = n_datagrams / FLOW_WAYS - 1;
	flow->wheel_s = flow->start_s = now_s;
	flow->epoch = flow->table_epoch = 1;
	flow->pickup_s = setup->pickup_s;
	flow->used = setup->used;
	flow->used_mask = setup->n_used_sets - 1;
	return flow;
}

/* ---- epochs -------------------------------------------------------------------------------------- */

/* Once in four billion all entries become older than any: they are decided anew. */
static void begin_epoch(struct policy_flow *flow)
{
	if (flow->epoch < UINT32_MAX - 1) {
		flow->epoch++;
		return;
	}
	for (uint32_t i = 1; i <= flow->n_touched; i++)
		flow->entries[i].epoch = 0;
	flow->table_epoch = 1;
	flow->epoch = 2;
}

void flow__begin_table(struct policy_flow *flow, uint32_t generation)
{
	begin_epoch(flow);
	flow->table_epoch = flow->epoch;
	begin_epoch(flow);
	flow->generation = generation;
}

void policy_flow_lead(struct policy_flow *flow, uint64_t lead)
{
	if (flow->lead == lead)
		return;
	flow->lead = lead;
	begin_epoch(flow);
}

/* ---- index --------------------------------------------------------------------------------------- */

static inline uint32_t match_tag(const struct policy_flow *flow, const struct flow_bucket *bucket,
                                 uint32_t tag)
{
	return flow_bucket_match(bucket, ~flow->number_mask, tag);
}

uint32_t flow__candidate(const struct policy_flow *flow, uint32_t hash)
{
	const struct flow_bucket *bucket = &flow->buckets[flow_bucket_of(flow, hash)];
	uint32_t found = match_tag(flow, bucket, flow_tag_of(flow, hash));

	return found != 0 ? bucket->place[__builtin_ctz(found)] & flow->number_mask : 0;
}

bool flow__has_none(const struct policy_flow *flow, uint32_t hash)
{
	const struct flow_bucket *bucket = &flow->buckets[flow_bucket_of(flow, hash)];

	return bucket->n_next_door == 0 && match_tag(flow, bucket, flow_tag_of(flow, hash)) == 0;
}

static struct flow_entry *find_in(const struct policy_flow *flow, const struct flow_bucket *bucket,
                                  const struct flow_key *key, uint32_t tag)
{
	uint32_t found = match_tag(flow, bucket, tag);

	for (; found != 0; found &= found - 1) {
		uint32_t number = bucket->place[__builtin_ctz(found)] & flow->number_mask;

		if (flow_key_equal(&flow->entries[number], key))
			return &flow->entries[number];
	}
	return NULL;
}

struct flow_entry *flow__find(const struct policy_flow *flow, const struct flow_key *key,
                              uint32_t hash)
{
	uint32_t number = flow_bucket_of(flow, hash);
	uint32_t tag = flow_tag_of(flow, hash);
	struct flow_entry *e = find_in(flow, &flow->buckets[number], key, tag);

	if (e == NULL && flow->buckets[number].n_next_door != 0)
		e = find_in(flow, &flow->buckets[number ^ 1], key, tag);
	return e;
}

static bool place_in(struct flow_bucket *bucket, uint32_t place)
{
	uint32_t empty = flow_bucket_match(bucket, UINT32_MAX, 0);

	if (empty == 0)
		return false;
	bucket->place[__builtin_ctz(empty)] = place;
	return true;
}

static bool index_add(struct policy_flow *flow, uint32_t hash, uint32_t number)
{
	uint32_t bucket = flow_bucket_of(flow, hash);
	uint32_t place = flow_tag_of(flow, hash) | number;

	if (place_in(&flow->buckets[bucket], place))
		return true;
	if (!place_in(&flow->buckets[bucket ^ 1], place))
		return false;
	flow->buckets[bucket].n_next_door++;
	return true;
}

static bool clear_in(struct flow_bucket *bucket, uint32_t place)
{
	uint32_t found = flow_bucket_match(bucket, UINT32_MAX, place);

	if (found == 0)
		return false;
	bucket->place[__builtin_ctz(found)] = 0;
	return true;
}

static uint32_t number_of(const struct policy_flow *flow, const struct flow_entry *e)
{
	return (uint32_t)(e - flow->entries);
}

static void index_remove(struct policy_flow *flow, const struct flow_entry *e)
{
	struct flow_key key = flow_key_of(e);
	uint32_t hash = flow_hash(flow->secret, &key);
	uint32_t bucket = flow_bucket_of(flow, hash);
	uint32_t place = flow_tag_of(flow, hash) | number_of(flow, e);

	if (clear_in(&flow->buckets[bucket], place))
		return;
	if (clear_in(&flow->buckets[bucket ^ 1], place))
		flow->buckets[bucket].n_next_door--;
}

/* ---- charges ------------------------------------------------------------------------------------- */

static struct flow_charge *charge_of_entry(const struct policy_flow *flow,
                                           const struct flow_entry *e)
{
	uint32_t peer = (e->high & FLOW_OPENER_HIGH) != 0 ? e->high : e->low;

	return flow_charge_of(flow, peer & FLOW_PEER_MASK);
}

static bool is_half(enum policy_flow_state state)
{
	return state == POLICY_FLOW_TCP_OPENING || state == POLICY_FLOW_TCP_ANSWERED
	       || state == POLICY_FLOW_ONE_WAY;
}

void policy_flow_arrive(struct policy_flow *flow, uint32_t peer, uint32_t now_s)
{
	if (peer < flow->n_peers)
		flow->charges[peer].arrived_s = now_s;
}

bool flow__has_arrived(const struct policy_flow *flow, uint32_t peer, uint32_t now_s)
{
	uint32_t arrived_s = peer < flow->n_peers ? flow->charges[peer].arrived_s : 0;

	return arrived_s != 0 && now_s - arrived_s < FLOW_ARRIVAL_S;
}

void flow__set_state(struct policy_flow *flow, struct flow_entry *e, enum policy_flow_state state)
{
	struct flow_charge *charge = charge_of_entry(flow, e);

	charge->n_half -= is_half(flow_state(e));
	charge->n_half += is_half(state);
	e->high = (e->high & ~FLOW_STATE_MASK) | (uint32_t)state << FLOW_STATE_SHIFT;
}

/* ---- the wheel ----------------------------------------------------------------------------------- */

bool flow__timed_out(const struct flow_entry *e, uint32_t now_s)
{
	return now_s - e->seen_s >= policy_flow_timeout_s(flow_state(e), flow_proto(e));
}

/* Put the entry into the list of the second in which it may time out. */
static void wheel_add(struct policy_flow *flow, struct flow_entry *e)
{
	uint32_t at_s = e->seen_s + policy_flow_timeout_s(flow_state(e), flow_proto(e));
	uint32_t *first = flow_wheel_list(flow, at_s);

	e->next = *first;
	*first = number_of(flow, e);
}

/* Take over the list of the next second that has come. False: none has. */
static bool wheel_turn(struct policy_flow *flow, uint32_t now_s)
{
	uint32_t *first = &flow->wheel[flow->wheel_s % FLOW_WHEEL_SLOTS];

	if ((int32_t)(now_s - flow->wheel_s) < 0)
		return false;
	/* after a long pause: every list once is all there is to see */
	if (now_s - flow->wheel_s >= FLOW_WHEEL_SLOTS)
		flow->wheel_s += (now_s - flow->wheel_s) / FLOW_WHEEL_SLOTS * FLOW_WHEEL_SLOTS
		                 - FLOW_WHEEL_SLOTS;
	flow->due = *first;
	*first = 0;
	flow->wheel_s++;
	return true;
}

/* Its grant was used then. Each flow comes by within FLOW_WHEEL_SLOTS seconds of its first packet and as
 * often while it lives, so that no packet has to tell. */
static void tell_used(struct policy_flow *flow, const struct flow_entry *e)
{
	uint64_t word = (uint64_t)e->grant << 32 | e->seen_s;
	uint64_t *set, *place;

	if (flow->used == NULL)
		return;
	set = &flow->used[(e->grant & flow->used_mask) * POLICY_USED_WAYS];
	place = set;
	for (uint32_t i = 0; i < POLICY_USED_WAYS; i++) {
		if (set[i] >> 32 == e->grant || set[i] == 0) {
			place = &set[i];
			break;
		}
		if ((uint32_t)set[i] < (uint32_t)*place)
			place = &set[i];
	}
	if (*place >> 32 != e->grant || (uint32_t)*place < e->seen_s)
		__atomic_store_n(place, word, __ATOMIC_RELAXED);
}

static void free_entry(struct policy_flow *flow, struct flow_entry *e)
{
	if (flow_state(e) != POLICY_FLOW_FREE)
		flow__end(flow, e);
	charge_of_entry(flow, e)->n--;
	flow->n_used--;
	flow->free[flow->n_touched - flow->n_used - 1] = number_of(flow, e);
}

uint32_t policy_flow_expire(struct policy_flow *flow, uint32_t now_s, uint32_t budget)
{
	uint32_t n = 0;

	while (n < budget) {
		struct flow_entry *e = &flow->entries[flow->due];

		if (flow->due == 0) {
			if (!wheel_turn(flow, now_s))
				break;
			continue;
		}
		flow->due = e->next;
		n++;
		if (flow->due != 0)
			__builtin_prefetch(&flow->entries[flow->due], 1);
		tell_used(flow, e);
		if (flow_state(e) == POLICY_FLOW_FREE || flow__timed_out(e, now_s))
			free_entry(flow, e);
		else
			wheel_add(flow, e);
	}
	return n;
}

/* ---- entries ------------------------------------------------------------------------------------- */

/* What is the same in a new entry and in one that begins again. */
static void begin(struct policy_flow *flow, struct flow_entry *e, bool opener_is_high,
                  enum policy_flow_state state, uint32_t now_s)
{
	e->high = (e->high & FLOW_PEER_MASK) | (opener_is_high ? FLOW_OPENER_HIGH : 0);
	e->seen_s = now_s;
	charge_of_entry(flow, e)->n++;
	flow__set_state(flow, e, state);
}

struct flow_entry *flow__make(struct policy_flow *flow, const struct flow_key *key, uint32_t hash,
                              bool opener_is_high, enum policy_flow_state state, uint32_t now_s)
{
	uint32_t number = flow_next_free(flow, 0);
	struct flow_entry *e = &flow->entries[number];

	if (number == 0 || !index_add(flow, hash, number))
		return NULL;
	flow_use(flow, number);
	e->address[0] = key->address[0];
	e->address[1] = key->address[1];
	e->low = key->low;
	e->high = key->high;
	e->ports = key->ports;
	begin(flow, e, opener_is_high, state, now_s);
	wheel_add(flow, e);
	return e;
}

void flow__make_again(struct policy_flow *flow, struct flow_entry *e, bool opener_is_high,
                      enum policy_flow_state state, uint32_t now_s)
{
	flow__set_state(flow, e, POLICY_FLOW_FREE);
	charge_of_entry(flow, e)->n--;
	begin(flow, e, opener_is_high, state, now_s);
}

void flow__end(struct policy_flow *flow, struct flow_entry *e)
{
	index_remove(flow, e);
	flow__set_state(flow, e, POLICY_FLOW_FREE);
}

/* ---- for people ---------------------------------------------------------------------------------- */

uint32_t policy_flow_count(const struct policy_flow *flow)
{
	return flow->n_used;
}

uint32_t policy_flow_count_of(const struct policy_flow *flow, uint32_t peer, uint32_t *n_half)
{
	const struct flow_charge *charge = flow_charge_of(flow, peer);

	*n_half = charge->n_half;
	return charge->n;
}

uint32_t policy_flow_places(const struct policy_flow *flow)
{
	return flow->n_touched;
}

bool policy_flow_get(const struct policy_flow *flow, uint32_t place, uint32_t now_s,
                     struct policy_flow_info *out)
{
	const struct flow_entry *e = &flow->entries[place + 1];

	if (place >= flow->n_touched || flow_state(e) == POLICY_FLOW_FREE
	    || flow__timed_out(e, now_s))
		return false;
	*out = (struct policy_flow_info){
		.state = flow_state(e),
		.grant = e->grant,
		.seen_s = e->seen_s,
	};
	flow__opener(e, &out->opener);
	return true;
}

/* Single addresses of the cryptokey routing table, changed by the writer; wg__hosts_find() is the
 * readers' side. Open addressing over buckets of one cache line.
 *
 * A slot keeps its key for good: a removed address leaves a mark, which only the same address may
 * take again. When three quarters of the slots are used, those that live move to a new array, which
 * then takes the old one's place. */
#include "wg_allowedips_private.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#define BITS_MIN 3U
#define BITS_MAX 26U
#define HUGE_LEN ((size_t)2 << 20)

static uint32_t n_ways(uint8_t family)
{
	return family == BASE_IP_V4 ? WG_BUCKET_V4 : WG_BUCKET_V6;
}

static uint64_t n_slots(const struct wg_hosts *hosts)
{
	return (uint64_t)n_ways(hosts->family) << hosts->bits;
}

static size_t memory_of(uint32_t bits)
{
	return sizeof(struct wg_hosts) + (sizeof(union wg_bucket) << bits);
}

size_t wg__hosts_memory(const struct wg_hosts *hosts)
{
	return hosts ? memory_of(hosts->bits) : 0;
}

static struct wg_hosts *make_hosts(uint8_t family, uint32_t bits)
{
	size_t len = memory_of(bits);
	bool is_large = len >= HUGE_LEN;
	size_t align = is_large ? HUGE_LEN : sizeof(union wg_bucket);
	size_t len_whole = (len + align - 1) & ~(align - 1);
	struct wg_hosts *hosts = aligned_alloc(align, len_whole);

	if (!hosts)
		return NULL;
	if (is_large)
		(void)madvise(hosts, len_whole, MADV_HUGEPAGE);
	memset(hosts, 0, len);
	hosts->bits = bits;
	hosts->family = family;
	return hosts;
}

/* ---- slots --------------------------------------------------------------------------------------- */

struct slot {
	union wg_bucket *bucket;
	uint32_t way;
};

static uint32_t slot_mark(const struct wg_hosts *hosts, struct slot slot)
{
	return hosts->family == BASE_IP_V4 ? slot.bucket->v4.mark[slot.way]
	                                   : slot.bucket->v6.mark[slot.way];
}

static struct wg_key slot_key(const struct wg_hosts *hosts, struct slot slot)
{
	if (hosts->family == BASE_IP_V4)
		return (struct wg_key){.high = (uint64_t)slot.bucket->v4.address[slot.way] << 32};
	return (struct wg_key){slot.bucket->v6.high[slot.way], slot.bucket->v6.low[slot.way]};
}

/* Stores to memory that readers read are atomic; relaxed for the key, which the mark publishes. */
static void slot_set(struct wg_hosts *hosts, struct slot slot, struct wg_key key, uint32_t mark)
{
	if (hosts->family == BASE_IP_V4) {
		__atomic_store_n(&slot.bucket->v4.address[slot.way], (uint32_t)(key.high >> 32),
		                 __ATOMIC_RELAXED);
		__atomic_store_n(&slot.bucket->v4.mark[slot.way], mark, __ATOMIC_RELEASE);
		return;
	}
	__atomic_store_n(&slot.bucket->v6.high[slot.way], key.high, __ATOMIC_RELAXED);
	__atomic_store_n(&slot.bucket->v6.low[slot.way], key.low, __ATOMIC_RELAXED);
	__atomic_store_n(&slot.bucket->v6.mark[slot.way], mark, __ATOMIC_RELEASE);
}

/* The slot with this key, or the free slot where it would be. There is a free one: reserve(). */
static struct slot find_slot(struct wg_hosts *hosts, struct wg_key key)
{
	uint32_t ways = n_ways(hosts->family);

	for (uint32_t i = wg__hosts_start(hosts, key);; i = wg__hosts_next(hosts, i)) {
		for (uint32_t way = 0; way < ways; way++) {
			struct slot slot = {&hosts->buckets[i], way};

			if (slot_mark(hosts, slot) == 0
			    || wg__key_equal(slot_key(hosts, slot), key))
				return slot;
		}
	}
}

static void add(struct wg_hosts *hosts, struct wg_key key, uint32_t value)
{
	slot_set(hosts, find_slot(hosts, key), key, value + 1);
	hosts->n_used++;
	hosts->n_live++;
}

/* Call fn for every live slot until it returns non-zero. */
typedef int slot_fn(void *arg, struct wg_hosts *hosts, struct slot slot);
static int each_slot(struct wg_hosts *hosts, slot_fn *fn, void *arg)
{
	uint32_t ways = n_ways(hosts->family);

	for (uint64_t i = 0; i < n_slots(hosts); i++) {
		struct slot slot = {&hosts->buckets[i / ways], (uint32_t)(i % ways)};
		uint32_t mark = slot_mark(hosts, slot);
		int stop = mark != 0 && mark != WG_MARK_GONE ? fn(arg, hosts, slot) : 0;

		if (stop != 0)
			return stop;
	}
	return 0;
}

/* ---- growing ------------------------------------------------------------------------------------- */

static int copy_slot(void *arg, struct wg_hosts *hosts, struct slot slot)
{
	add((struct wg_hosts *)arg, slot_key(hosts, slot), slot_mark(hosts, slot) - 1);
	return 0;
}

/* Make sure that one more can be added. Half of the slots are free after a move, so that a quarter
 * can be filled before the next; never smaller than before, so that a table that is emptied and
 * filled again does not move each time. */
static int reserve(struct wg_allowedips *table, unsigned int root)
{
	static const uint8_t families[WG_N_ROOTS] = {BASE_IP_V4, BASE_IP_V6};
	struct wg_hosts *old = table->hosts[root];
	uint32_t bits = old ? old->bits : BITS_MIN;
	struct wg_hosts *fresh;

	if (old && (old->n_used + UINT64_C(1)) * 4 <= n_slots(old) * 3)
		return 0;
	while (old && (old->n_live + UINT64_C(1)) * 2 > (uint64_t)n_ways(old->family) << bits)
		bits++;
	fresh = bits <= BITS_MAX ? make_hosts(families[root], bits) : NULL;
	if (!fresh)
		return -ENOMEM;
	if (old)
		(void)each_slot(old, copy_slot, fresh);
	__atomic_store_n(&table->hosts[root], fresh, __ATOMIC_RELEASE);
	table->n_moves[root]++;
	wg__hosts_retire(table, old);
	return 0;
}

/* ---- changes ------------------------------------------------------------------------------------- */

int wg__hosts_insert(struct wg_allowedips *table, unsigned int root, struct wg_key key,
                     uint32_t value, uint32_t *holder)
{
	struct wg_hosts *hosts;
	struct slot slot;
	uint32_t mark;

	if (reserve(table, root) < 0)
		return -ENOMEM;
	hosts = table->hosts[root];
	slot = find_slot(hosts, key);
	mark = slot_mark(hosts, slot);
	if (mark == 0)
		hosts->n_used++;
	if (mark == 0 || mark == WG_MARK_GONE)
		hosts->n_live++;
	*holder = mark == 0 || mark == WG_MARK_GONE ? WG_ALLOWEDIPS_NONE : mark - 1;
	slot_set(hosts, slot, key, value + 1);
	return 0;
}

int wg__hosts_remove(struct wg_allowedips *table, unsigned int root, struct wg_key key,
                     uint32_t value)
{
	struct wg_hosts *hosts = table->hosts[root];
	struct slot slot;

	if (!hosts)
		return -ENOENT;
	slot = find_slot(hosts, key);
	if (slot_mark(hosts, slot) != value + 1)
		return -ENOENT;
	slot_set(hosts, slot, key, WG_MARK_GONE);
	hosts->n_live--;
	return 0;
}

struct removal {
	uint32_t value;
	size_t n;
};

static int remove_if_held(void *arg, struct wg_hosts *hosts, struct slot slot)
{
	struct removal *removal = (struct removal *)arg;

	if (slot_mark(hosts, slot) != removal->value + 1)
		return 0;
	slot_set(hosts, slot, slot_key(hosts, slot), WG_MARK_GONE);
	hosts->n_live--;
	removal->n++;
	return 0;
}

size_t wg__hosts_remove_value(struct wg_allowedips *table, unsigned int root, uint32_t value)
{
	struct removal removal = {.value = value};

	if (table->hosts[root])
		(void)each_slot(table->hosts[root], remove_if_held, &removal);
	return removal.n;
}

struct each {
	wg_hosts_fn *fn;
	void *arg;
};

static int tell(void *arg, struct wg_hosts *hosts, struct slot slot)
{
	const struct each *each = (const struct each *)arg;

	return each->fn(each->arg, slot_key(hosts, slot), slot_mark(hosts, slot) - 1);
}

int wg__hosts_each(struct wg_hosts *hosts, wg_hosts_fn *fn, void *arg)
{
	struct each each = {fn, arg};

	return hosts ? each_slot(hosts, tell, &each) : 0;
}

int wg__hosts_walk(struct wg_hosts *hosts, uint64_t *next, uint32_t budget, wg_hosts_fn *fn,
                   void *arg)
{
	uint64_t end;

	if (!hosts)
		return 0;
	end = *next + (uint64_t)budget * n_ways(hosts->family);
	for (; *next < n_slots(hosts); ++*next) {
		struct slot slot = {&hosts->buckets[*next / n_ways(hosts->family)],
		                    (uint32_t)(*next % n_ways(hosts->family))};
		uint32_t mark = slot_mark(hosts, slot);

		if (*next >= end)
			return 1;
		if (mark == 0 || mark == WG_MARK_GONE)
			continue;
		if (fn(arg, slot_key(hosts, slot), mark - 1) != 0) {
			++*next;
			return 1;
		}
	}
	return 0;
}

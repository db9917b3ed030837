/* Memory of the cryptokey routing table: making and unmaking it, blocks of the trie, and waiting
 * for readers.
 *
 * Blocks lie in one range of addresses that is reserved whole and opened as it fills, so that a
 * block is named by 32 bits, never moves, and a large table lies in large pages. A block that goes
 * hangs on the list of its size. */
#include "wg_allowedips_private.h"

#include <stdlib.h>
#include <sys/mman.h>

#define N_UNITS_MAX  (UINT32_C(1) << 26) /* 2 GB of addresses, not of memory */
#define N_UNITS_STEP (UINT32_C(1) << 11) /* 64 KB */
#define HUGE_LEN     ((size_t)2 << 20)

_Static_assert(N_UNITS_MAX <= WG_REF_BLOCK, "refs name every unit");

struct wg_allowedips *wg_allowedips__create(const struct wg_allowedips_grace *grace,
                                            uint32_t n_units_max)
{
	struct wg_allowedips *table = calloc(1, sizeof(*table));
	void *arena;

	if (!table)
		return NULL;
	arena = mmap(NULL, (size_t)n_units_max * WG_UNIT, PROT_NONE,
	             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (arena == MAP_FAILED) {
		free(table);
		return NULL;
	}
	table->arena = arena;
	table->n_units_max = n_units_max;
	table->n_units_used = 2; /* blocks begin at even numbers: nodes in a cache line */
	if (grace)
		table->grace = *grace;
	return table;
}

struct wg_allowedips *wg_allowedips_create(const struct wg_allowedips_grace *grace)
{
	return wg_allowedips__create(grace, N_UNITS_MAX);
}

struct wg_allowedips *wg_allowedips_create_ordered(void)
{
	struct wg_allowedips *table = wg_allowedips_create(NULL);

	if (table)
		table->is_ordered = true;
	return table;
}

static void free_hosts(struct wg_hosts *hosts)
{
	while (hosts) {
		struct wg_hosts *next = hosts->next;

		free(hosts);
		hosts = next;
	}
}

void wg_allowedips_destroy(struct wg_allowedips *table)
{
	if (!table)
		return;
	free(table->hosts[WG_ROOT_V4]);
	free(table->hosts[WG_ROOT_V6]);
	free_hosts(table->waiting.hosts);
	free_hosts(table->fresh.hosts);
	(void)munmap(table->arena, (size_t)table->n_units_max * WG_UNIT);
	free(table);
}

/* ---- blocks -------------------------------------------------------------------------------------- */

/* Open more of the range: twice as much each time, 32 MB at most. Returns false: no memory. */
static bool open_units(struct wg_allowedips *table)
{
	size_t from = (size_t)table->n_units_open * WG_UNIT;
	size_t len = from;

	if (len < (size_t)N_UNITS_STEP * WG_UNIT)
		len = (size_t)N_UNITS_STEP * WG_UNIT;
	if (len > 16 * HUGE_LEN)
		len = 16 * HUGE_LEN;
	if (len > (size_t)table->n_units_max * WG_UNIT - from)
		len = (size_t)table->n_units_max * WG_UNIT - from;
	if (len == 0 || mprotect(table->arena + from, len, PROT_READ | PROT_WRITE) < 0)
		return false;
	/* Small tables shall not cost a large page each. */
	if (from + len >= 2 * HUGE_LEN)
		(void)madvise(table->arena, from + len, MADV_HUGEPAGE);
	table->n_units_open += (uint32_t)(len / WG_UNIT);
	return true;
}

/* Nodes take an even number of units, so that they begin with a cache line. */
static uint32_t units_for(size_t len)
{
	uint32_t n = (uint32_t)((len + WG_UNIT - 1) / WG_UNIT);

	return n == 1 ? 1 : (n + 1) & ~UINT32_C(1);
}

/* The space behind the last block, with an even number; what is left over is free for leaves. */
static uint32_t take_new(struct wg_allowedips *table, uint32_t n_units)
{
	uint32_t number = table->n_units_used;

	while (table->n_units_open < number + (n_units == 1 ? 2 : n_units))
		if (!open_units(table))
			return 0;
	table->n_units_used += n_units;
	if (n_units == 1) {
		table->n_units_used++;
		wg__leaf(table, number + 1)->block.n_units = 1;
		wg__arena_give_back(table, number + 1);
	}
	return number;
}

uint32_t wg__arena_take(struct wg_allowedips *table, size_t len)
{
	uint32_t n_units = units_for(len);
	uint32_t number = table->free[n_units];

	if (number != 0)
		table->free[n_units] = wg__leaf(table, number)->block.next;
	else
		number = take_new(table, n_units);
	if (number != 0) {
		memset(wg__leaf(table, number), 0, (size_t)n_units * WG_UNIT);
		wg__leaf(table, number)->block.n_units = (uint8_t)n_units;
	}
	return number;
}

void wg__arena_give_back(struct wg_allowedips *table, uint32_t number)
{
	struct wg_block *block = &wg__leaf(table, number)->block;

	block->next = table->free[block->n_units];
	table->free[block->n_units] = number;
}

/* ---- limbo --------------------------------------------------------------------------------------- */

void wg__arena_retire(struct wg_allowedips *table, uint32_t number)
{
	if (!table->grace.begin) {
		wg__arena_give_back(table, number);
		return;
	}
	wg__leaf(table, number)->block.next = table->fresh.blocks;
	table->fresh.blocks = number;
}

void wg__hosts_retire(struct wg_allowedips *table, struct wg_hosts *hosts)
{
	if (!hosts)
		return;
	if (!table->grace.begin) {
		free(hosts);
		return;
	}
	hosts->next = table->fresh.hosts;
	table->fresh.hosts = hosts;
}

static bool limbo_is_empty(const struct wg_limbo *limbo)
{
	return limbo->blocks == 0 && !limbo->hosts;
}

/* Two lists suffice: what goes while one waits for its token waits for the next token. */
void wg__arena_reclaim(struct wg_allowedips *table)
{
	if (!limbo_is_empty(&table->waiting)) {
		if (!table->grace.passed(table->grace.arg, table->token))
			return;
		while (table->waiting.blocks != 0) {
			uint32_t number = table->waiting.blocks;

			table->waiting.blocks = wg__leaf(table, number)->block.next;
			wg__arena_give_back(table, number);
		}
		free_hosts(table->waiting.hosts);
		table->waiting = (struct wg_limbo){0};
	}
	if (limbo_is_empty(&table->fresh))
		return;
	table->waiting = table->fresh;
	table->fresh = (struct wg_limbo){0};
	table->token = table->grace.begin(table->grace.arg);
}

size_t wg_allowedips_count(const struct wg_allowedips *table)
{
	return table->count;
}

size_t wg_allowedips_memory(const struct wg_allowedips *table)
{
	return sizeof(*table) + (size_t)table->n_units_used * WG_UNIT
	       + wg__hosts_memory(table->hosts[WG_ROOT_V4])
	       + wg__hosts_memory(table->hosts[WG_ROOT_V6]);
}

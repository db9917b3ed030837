/* A growing array with holes, and an open-addressing index over it. */
#include "program_table.h"

#include "base_bytes.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NAME_LEN     24U /* struct base_prefix, or struct base_ip and a port */
#define MIN_CAPACITY 16U

void program_table_init(struct program_table *table, uint32_t entry_len, uint32_t port_offset,
                        struct base_siphash_key hash_key)
{
	assert(entry_len >= NAME_LEN && entry_len >= port_offset + sizeof(uint32_t));
	*table = (struct program_table){
		.entry_len = entry_len,
		.port_offset = port_offset,
		.hash_key = hash_key,
	};
}

void program_table_fini(struct program_table *table)
{
	free(table->entries);
	free(table->used);
	free(table->index);
	*table = (struct program_table){0};
}

static uint8_t *entry_at(const struct program_table *table, uint32_t position)
{
	return table->entries + (size_t)position * table->entry_len;
}

const void *program_table_at(const struct program_table *table, uint32_t position)
{
	assert(position < table->n_positions);
	return table->used[position] != 0 ? entry_at(table, position) : NULL;
}

/* ---- index ------------------------------------------------------------------------------------ */

struct key {
	uint8_t name[NAME_LEN];
	uint8_t port[sizeof(uint32_t)];
};

static struct key key_of(const struct program_table *table, const void *entry)
{
	const uint8_t *bytes = entry;
	struct key key = {.port = {0}};

	memcpy(key.name, bytes, sizeof(key.name));
	if (table->port_offset != 0)
		memcpy(key.port, bytes + table->port_offset, sizeof(key.port));
	return key;
}

static uint32_t home_of(const struct program_table *table, const struct key *key)
{
	return (uint32_t)base_siphash(table->hash_key, key, sizeof(*key)) & (table->n_index - 1);
}

/* Slot of the key in the index, or the empty slot where it would go. n_index is not 0. */
static uint32_t slot_of(const struct program_table *table, const struct key *key)
{
	uint32_t slot = home_of(table, key);

	for (; table->index[slot] != 0; slot = (slot + 1) & (table->n_index - 1)) {
		struct key other = key_of(table, entry_at(table, table->index[slot] - 1));

		if (memcmp(&other, key, sizeof(other)) == 0)
			break;
	}
	return slot;
}

/* Make the index at least twice as large as the entries it will hold. Returns 0 or -ENOMEM. */
static int grow_index(struct program_table *table)
{
	uint32_t n_index = table->n_index == 0 ? 2 * MIN_CAPACITY : 2 * table->n_index;
	uint32_t *old = table->index;
	uint32_t *index = calloc(n_index, sizeof(*index));

	if (index == NULL)
		return -ENOMEM;
	table->index = index;
	table->n_index = n_index;
	for (uint32_t i = 0; i < table->n_positions; i++) {
		if (table->used[i] == 0)
			continue;

		struct key key = key_of(table, entry_at(table, i));

		index[slot_of(table, &key)] = i + 1;
	}
	free(old);
	return 0;
}

/* Empty a slot, and move up what had to go past it, so that no chain is broken. */
static void index_remove(struct program_table *table, uint32_t slot)
{
	uint32_t mask = table->n_index - 1;

	for (uint32_t next = (slot + 1) & mask; table->index[next] != 0; next = (next + 1) & mask) {
		struct key key = key_of(table, entry_at(table, table->index[next] - 1));

		/* It may stay when its home lies behind the hole, on the way to where it is. */
		if (((next - home_of(table, &key)) & mask) < ((next - slot) & mask))
			continue;
		table->index[slot] = table->index[next];
		slot = next;
	}
	table->index[slot] = 0;
}

/* ---- entries ---------------------------------------------------------------------------------- */

static int grow_entries(struct program_table *table)
{
	uint32_t capacity = table->capacity == 0 ? MIN_CAPACITY : 2 * table->capacity;
	uint8_t *entries = reallocarray(table->entries, capacity, table->entry_len);

	if (entries == NULL)
		return -ENOMEM;
	table->entries = entries;

	uint8_t *used = realloc(table->used, capacity);

	if (used == NULL)
		return -ENOMEM;
	table->used = used;
	table->capacity = capacity;
	return 0;
}

/* Returns 0 with a position that is a hole or behind all, or -ENOMEM. */
static int take_position(struct program_table *table, uint32_t *position)
{
	if (table->first_hole != 0) {
		*position = table->first_hole - 1;
		table->first_hole = base_load_le32(entry_at(table, *position));
		return 0;
	}
	if (table->n_positions == table->capacity) {
		int err = grow_entries(table);

		if (err != 0)
			return err;
	}
	*position = table->n_positions++;
	return 0;
}

int program_table_find(const struct program_table *table, const void *entry, uint32_t *position)
{
	struct key key = key_of(table, entry);

	if (table->n_used == 0)
		return -ENOENT;

	uint32_t slot = slot_of(table, &key);

	if (table->index[slot] == 0)
		return -ENOENT;
	*position = table->index[slot] - 1;
	return 0;
}

int program_table_put(struct program_table *table, const void *entry, uint32_t *position)
{
	if (program_table_find(table, entry, position) == 0) {
		uint8_t *old = entry_at(table, *position);

		if (memcmp(old, entry, table->entry_len) == 0)
			return 0;
		memcpy(old, entry, table->entry_len);
		return 1;
	}
	if (2 * (table->n_used + 1) > table->n_index) {
		int err = grow_index(table);

		if (err != 0)
			return err;
	}

	int err = take_position(table, position);

	if (err != 0)
		return err;

	struct key key = key_of(table, entry);

	table->index[slot_of(table, &key)] = *position + 1;
	memcpy(entry_at(table, *position), entry, table->entry_len);
	table->used[*position] = 1;
	table->n_used++;
	return 1;
}

void program_table_drop(struct program_table *table, uint32_t position)
{
	assert(position < table->n_positions && table->used[position] != 0);

	struct key key = key_of(table, entry_at(table, position));

	index_remove(table, slot_of(table, &key));
	base_store_le32(entry_at(table, position), table->first_hole);
	table->first_hole = position + 1;
	table->used[position] = 0;
	table->n_used--;
}

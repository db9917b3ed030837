/* The entries, in memory and in the store. */
#include "blocklist.h"

#include "base_bytes.h"
#include "store_block.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct blocklist {
	struct store *store;
	struct blocklist_entry *entries; /* [n], by id */
	size_t n;
	size_t room;
	size_t n_prefixes; /* of entries in force */
	size_t n_ended;    /* entries */
};

/* ---- packed, for the store ---------------------------------------------------------------------- */

/* A prefix is a byte, 0 to 32 the length of an IPv4 prefix, 33 to 161 that of an IPv6 prefix and 33 more,
 * and its 4 or 16 bytes. */
#define PACKED_V4 5U
#define PACKED_V6 17U
#define FIRST_V6  33U
#define LAST_V6   161U

#define ALL SIZE_MAX /* none is left out */

/* All but the one at left_out. */
static uint8_t *pack(const struct block_prefix *prefixes, size_t n, size_t left_out, size_t *len)
{
	uint8_t *out = malloc(n * PACKED_V6 + 1);
	uint8_t *at = out;

	for (size_t i = 0; i < n && out; i++) {
		const struct block_prefix *p = &prefixes[i];

		if (i == left_out)
			continue;
		if (p->family == BASE_IP_V4) {
			at[0] = p->len;
			base_store_be32(at + 1, (uint32_t)(p->high >> 32));
			at += PACKED_V4;
		} else {
			at[0] = (uint8_t)(FIRST_V6 + p->len);
			base_store_be64(at + 1, p->high);
			base_store_be64(at + 9, p->low);
			at += PACKED_V6;
		}
	}
	*len = out ? (size_t)(at - out) : 0;
	return out;
}

/* Returns how many bytes it took, 0 when it is no prefix. */
static size_t unpack_one(const uint8_t *at, size_t left, uint8_t scopes, struct block_prefix *out)
{
	bool is_v6 = left > 0 && at[0] >= FIRST_V6;
	size_t len = is_v6 ? PACKED_V6 : PACKED_V4;
	struct base_prefix prefix;

	if (left < len || at[0] > LAST_V6)
		return 0;
	prefix = (struct base_prefix){.ip = base_ip_make(is_v6 ? BASE_IP_V6 : BASE_IP_V4, at + 1),
	                              .len = (uint8_t)(is_v6 ? at[0] - FIRST_V6 : at[0])};
	*out = block_prefix_make(&prefix, scopes);
	return len;
}

static int unpack(const struct store_block_row *row, struct blocklist_entry *entry)
{
	const uint8_t *at = row->prefixes;
	size_t left = row->len;

	entry->prefixes = malloc((row->len / PACKED_V4 + 1) * sizeof(*entry->prefixes));
	if (!entry->prefixes)
		return -ENOMEM;
	while (left > 0) {
		size_t len = unpack_one(at, left, row->scopes, &entry->prefixes[entry->n]);

		if (len == 0)
			return -EUCLEAN;
		entry->n++;
		at += len;
		left -= len;
	}
	return entry->n > 0 ? block_prefix_sort(entry->prefixes, entry->n) : -EUCLEAN;
}

/* ---- entries in memory -------------------------------------------------------------------------- */

static void entry_fini(struct blocklist_entry *entry)
{
	free((char *)(uintptr_t)entry->reason);
	free(entry->prefixes);
	*entry = (struct blocklist_entry){0};
}

/* Room for one more, so that what is in the store already can be put into memory without fail. */
static int make_room(struct blocklist *list)
{
	size_t room = list->room * 2 + 16;
	struct blocklist_entry *grown;

	if (list->n < list->room)
		return 0;
	grown = realloc(list->entries, room * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	list->entries = grown;
	list->room = room;
	return 0;
}

/* In force or not. */
static void set_ended(struct blocklist *list, struct blocklist_entry *entry, bool is_ended)
{
	entry->is_ended = is_ended;
	if (is_ended) {
		list->n_prefixes -= entry->n;
		list->n_ended++;
	} else {
		list->n_prefixes += entry->n;
		list->n_ended--;
	}
}

/* It loses one prefix and has others. */
static void shorten(struct blocklist *list, struct blocklist_entry *entry, size_t at)
{
	entry->n--;
	memmove(&entry->prefixes[at], &entry->prefixes[at + 1],
	        (entry->n - at) * sizeof(entry->prefixes[0]));
	list->n_prefixes -= !entry->is_ended;
}

/* Entries for which go[i] is set leave. */
static void drop_marked(struct blocklist *list, const bool *go)
{
	size_t n = 0;

	for (size_t i = 0; i < list->n; i++) {
		if (go[i]) {
			if (list->entries[i].is_ended)
				list->n_ended--;
			else
				list->n_prefixes -= list->entries[i].n;
			entry_fini(&list->entries[i]);
		} else {
			list->entries[n++] = list->entries[i];
		}
	}
	list->n = n;
}

static int load(void *arg, const struct store_block_row *row)
{
	struct blocklist *list = arg;
	struct blocklist_entry entry = {
		.id = row->id,
		.created_s = row->created_s,
		.until_s = row->until_s,
		.scopes = row->scopes,
		.is_list = row->is_list,
		.reason = strdup(row->reason),
	};
	int err = make_room(list);

	if (err == 0 && !entry.reason)
		err = -ENOMEM;
	if (err == 0
	    && (row->scopes == 0 || (row->scopes & ~BLOCK_SCOPES) != 0
	        || strlen(row->source) >= sizeof(entry.source)
	        || strlen(row->author) >= sizeof(entry.author)))
		err = -EUCLEAN;
	if (err == 0)
		err = unpack(row, &entry);
	if (err < 0) {
		entry_fini(&entry);
		return err;
	}
	snprintf(entry.source, sizeof(entry.source), "%s", row->source);
	snprintf(entry.author, sizeof(entry.author), "%s", row->author);
	list->entries[list->n++] = entry;
	list->n_prefixes += entry.n;
	return 0;
}

int blocklist_create(struct store *store, struct blocklist **out)
{
	struct blocklist *list = calloc(1, sizeof(*list));
	int err;

	if (!list)
		return -ENOMEM;
	list->store = store;
	err = store_block_each(store, load, list);
	if (err < 0) {
		blocklist_destroy(list);
		return err;
	}
	*out = list;
	return 0;
}

void blocklist_destroy(struct blocklist *list)
{
	if (!list)
		return;
	for (size_t i = 0; i < list->n; i++)
		entry_fini(&list->entries[i]);
	free(list->entries);
	free(list);
}

size_t blocklist_n(const struct blocklist *list)
{
	return list->n;
}

size_t blocklist_n_prefixes(const struct blocklist *list)
{
	return list->n_prefixes;
}

const struct blocklist_entry *blocklist_at(const struct blocklist *list, size_t i)
{
	return &list->entries[i];
}

size_t blocklist_find(const struct blocklist *list, uint64_t id)
{
	size_t low = 0;
	size_t high = list->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (list->entries[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* ---- changes: first in the store, all of it or nothing ------------------------------------------ */

/* What a new entry takes the place of. */
static bool is_replaced(const struct blocklist_entry *entry, const struct blocklist_ready *ready)
{
	if (!ready->replaces || strcmp(entry->source, ready->entry.source) != 0)
		return false;
	if (ready->entry.is_list)
		return true;
	return !entry->is_list
	       && block_prefix_compare(&entry->prefixes[0], &ready->entry.prefixes[0]) == 0;
}

/* A copy of the request as an entry, without its id. */
static int entry_init(struct blocklist_entry *entry, const struct blocklist_request *request)
{
	*entry = (struct blocklist_entry){
		.created_s = request->now_s,
		.until_s = request->until_s,
		.scopes = request->scopes,
		.is_list = request->is_list,
		.reason = strdup(request->reason),
		.prefixes = malloc(request->n * sizeof(*request->prefixes)),
		.n = request->n,
	};
	if (!entry->reason || !entry->prefixes) {
		entry_fini(entry);
		return -ENOMEM;
	}
	snprintf(entry->source, sizeof(entry->source), "%s", request->source);
	snprintf(entry->author, sizeof(entry->author), "%s", request->author);
	memcpy(entry->prefixes, request->prefixes, request->n * sizeof(*request->prefixes));
	for (size_t i = 0; i < entry->n; i++)
		entry->prefixes[i].scopes = request->scopes;
	return 0;
}

int blocklist_ready_init(struct blocklist_ready *ready, const struct blocklist_request *request)
{
	int err;

	*ready = (struct blocklist_ready){.replaces = request->replaces};
	err = entry_init(&ready->entry, request);
	if (err < 0)
		return err;
	ready->packed = pack(ready->entry.prefixes, ready->entry.n, ALL, &ready->packed_len);
	if (!ready->packed) {
		entry_fini(&ready->entry);
		return -ENOMEM;
	}
	return 0;
}

void blocklist_ready_fini(struct blocklist_ready *ready)
{
	entry_fini(&ready->entry);
	free(ready->packed);
	ready->packed = NULL;
}

static int store_entry(struct blocklist *list, struct blocklist_ready *ready)
{
	struct blocklist_entry *entry = &ready->entry;
	struct store_block_row row = {
		.source = entry->source,
		.reason = entry->reason,
		.author = entry->author,
		.scopes = entry->scopes,
		.is_list = entry->is_list,
		.created_s = entry->created_s,
		.until_s = entry->until_s,
		.prefixes = ready->packed,
		.len = ready->packed_len,
	};
	int err = store_block_add(list->store, &row);

	entry->id = row.id;
	return err;
}

/* Rows of the marked entries go. */
static int store_drops(struct blocklist *list, const bool *go)
{
	int err = 0;

	for (size_t i = 0; i < list->n && err == 0; i++)
		if (go[i])
			err = store_block_drop(list->store, list->entries[i].id);
	return err;
}

static int store_shortened(struct blocklist *list, const struct blocklist_entry *entry, size_t at)
{
	size_t len;
	uint8_t *packed = pack(entry->prefixes, entry->n, at, &len);
	int err = packed ? store_block_change(list->store, entry->id, packed, len) : -ENOMEM;

	free(packed);
	return err;
}

/* What becomes of the entries, in one transaction. */
struct change {
	const bool *go;     /* [n] they go */
	const size_t *cuts; /* [n] the prefix at cut - 1 goes, 0 = none; NULL = of no entry */
	struct blocklist_ready *ready; /* comes; NULL = none */
};

static int store_change(struct blocklist *list, const struct change *change)
{
	int err = store_drops(list, change->go);

	for (size_t i = 0; i < list->n && change->cuts && err == 0; i++)
		if (change->cuts[i] != 0)
			err = store_shortened(list, &list->entries[i], change->cuts[i] - 1);
	return err == 0 && change->ready ? store_entry(list, change->ready) : err;
}

static int commit(struct blocklist *list, const struct change *change)
{
	struct blocklist_ready *ready = change->ready;
	int err = make_room(list);

	if (err == 0)
		err = store_begin_large(list->store);
	if (err < 0)
		return err;
	err = store_change(list, change);
	if (err < 0)
		return store_end(list->store, false) < 0 ? -EIO : err;
	err = store_end(list->store, true);
	if (err < 0)
		return err;
	for (size_t i = 0; i < list->n && change->cuts; i++)
		if (change->cuts[i] != 0)
			shorten(list, &list->entries[i], change->cuts[i] - 1);
	drop_marked(list, change->go);
	if (ready) {
		list->entries[list->n++] = ready->entry;
		list->n_prefixes += ready->entry.n;
		ready->entry = (struct blocklist_entry){0};
	}
	return 0;
}

/* Is there room for this many prefixes more, in an entry, when the marked ones are gone? */
static bool has_room(const struct blocklist *list, const bool *go, size_t n_more)
{
	size_t n = 1;
	size_t n_prefixes = n_more;

	for (size_t i = 0; i < list->n; i++) {
		n += !go[i];
		n_prefixes += go[i] ? 0 : list->entries[i].n;
	}
	return n <= BLOCKLIST_ENTRIES_MAX && n_prefixes <= BLOCK_ENTRIES_MAX;
}

int blocklist_put(struct blocklist *list, struct blocklist_ready *ready, size_t *n_replaced)
{
	bool *go = calloc(list->n + 1, sizeof(*go));
	int err = go ? 0 : -ENOMEM;

	*n_replaced = 0;
	for (size_t i = 0; i < list->n && go; i++) {
		go[i] = is_replaced(&list->entries[i], ready);
		*n_replaced += go[i] && !list->entries[i].is_ended;
	}
	if (err == 0 && !has_room(list, go, ready->entry.n)) {
		for (size_t i = 0; i < list->n; i++)
			go[i] = go[i] || list->entries[i].is_ended;
		err = has_room(list, go, ready->entry.n) ? 0 : -E2BIG;
	}
	if (err == 0)
		err = commit(list, &(struct change){.go = go, .ready = ready});
	free(go);
	return err;
}

int blocklist_add(struct blocklist *list, const struct blocklist_request *request,
                  size_t *n_replaced)
{
	struct blocklist_ready ready;
	int err = blocklist_ready_init(&ready, request);

	*n_replaced = 0;
	if (err < 0)
		return err;
	err = blocklist_put(list, &ready, n_replaced);
	blocklist_ready_fini(&ready);
	return err;
}

static bool is_of(const struct blocklist_entry *entry, const char *source)
{
	return !source || strcmp(entry->source, source) == 0;
}

/* Where the prefix is in the entry, or n. */
static size_t find_prefix(const struct blocklist_entry *entry, const struct block_prefix *prefix)
{
	size_t low = 0;
	size_t high = entry->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (block_prefix_compare(&entry->prefixes[middle], prefix) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < entry->n && block_prefix_compare(&entry->prefixes[low], prefix) == 0
	               ? low
	               : entry->n;
}

/* The first len bits of an address. */
static struct block_prefix shortened(const struct block_prefix *address, uint8_t len)
{
	struct base_prefix prefix = block_prefix_text(address);

	prefix.len = len;
	base_prefix_mask(&prefix);
	return block_prefix_make(&prefix, address->scopes);
}

bool blocklist_entry_has(const struct blocklist_entry *entry, const struct block_prefix *address)
{
	if (entry->n < 64) {
		for (size_t i = 0; i < entry->n; i++)
			if (block_prefix_contains(&entry->prefixes[i], address))
				return true;
		return false;
	}
	for (uint32_t len = 0; len <= address->len; len++) {
		struct block_prefix wanted = shortened(address, (uint8_t)len);

		if (find_prefix(entry, &wanted) < entry->n)
			return true;
	}
	return false;
}

void blocklist_hit(struct blocklist *list, const struct block_prefix *address, uint8_t scopes,
                   uint64_t n, uint64_t now_s)
{
	for (size_t i = 0; i < list->n; i++) {
		struct blocklist_entry *entry = &list->entries[i];

		if (entry->is_ended || (entry->scopes & scopes) == 0
		    || !blocklist_entry_has(entry, address))
			continue;
		entry->hits += n;
		entry->hit_s = now_s;
	}
}

int blocklist_remove(struct blocklist *list, const char *source, const struct block_prefix *prefix,
                     size_t *n_removed)
{
	bool *go = calloc(list->n + 1, sizeof(*go));
	size_t *cuts = calloc(list->n + 1, sizeof(*cuts));
	size_t n = 0;
	int err = go && cuts ? 0 : -ENOMEM;

	for (size_t i = 0; i < list->n && err == 0; i++) {
		struct blocklist_entry *entry = &list->entries[i];
		size_t at = prefix ? find_prefix(entry, prefix) : 0;

		if (!is_of(entry, source) || at == entry->n)
			continue;
		if (entry->is_ended) {
			go[i] = !prefix || entry->n == 1;
		} else if (prefix && entry->n > 1) {
			cuts[i] = at + 1;
			n++;
		} else {
			go[i] = true;
			n += entry->n;
		}
	}
	if (err == 0 && n > 0)
		err = commit(list, &(struct change){.go = go, .cuts = cuts});
	free(go);
	free(cuts);
	*n_removed = err == 0 ? n : 0;
	return err;
}

/* Remove what is marked as ended. */
static int forget_ended(struct blocklist *list)
{
	bool *go = calloc(list->n + 1, sizeof(*go));
	int err;

	if (!go)
		return -ENOMEM;
	for (size_t i = 0; i < list->n; i++)
		go[i] = list->entries[i].is_ended;
	err = commit(list, &(struct change){.go = go});
	free(go);
	return err;
}

int blocklist_expire(struct blocklist *list, uint64_t now_s, bool forget, size_t *n_changed)
{
	*n_changed = 0;
	for (size_t i = 0; i < list->n; i++) {
		struct blocklist_entry *entry = &list->entries[i];
		bool is_ended = entry->until_s != 0 && entry->until_s <= now_s;

		if (is_ended == entry->is_ended)
			continue;
		set_ended(list, entry, is_ended);
		++*n_changed;
	}
	return forget && list->n_ended > 0 ? forget_ended(list) : 0;
}

uint64_t blocklist_next_end(const struct blocklist *list)
{
	uint64_t next_s = 0;

	for (size_t i = 0; i < list->n; i++) {
		uint64_t until_s = list->entries[i].until_s;

		if (list->entries[i].is_ended)
			continue;
		if (until_s != 0 && (next_s == 0 || until_s < next_s))
			next_s = until_s;
	}
	return next_s;
}

bool blocklist_has_ended(const struct blocklist *list)
{
	return list->n_ended > 0;
}

/* ---- all together ------------------------------------------------------------------------------- */

/* Copy the entries in force that are lists, or those that are not. */
static size_t copy(const struct blocklist *list, bool is_long, struct block_prefix *out)
{
	size_t n = 0;

	for (size_t i = 0; i < list->n; i++) {
		const struct blocklist_entry *entry = &list->entries[i];

		if (entry->is_ended || (entry->n > 1) != is_long)
			continue;
		memcpy(&out[n], entry->prefixes, entry->n * sizeof(*out));
		n += entry->n;
	}
	return n;
}

int blocklist_collect(const struct blocklist *list, struct block_prefix **out, size_t *n)
{
	struct block_prefix *all = NULL;
	size_t n_long;
	int err;

	*out = NULL;
	*n = list->n_prefixes;
	if (*n == 0)
		return 0;
	all = malloc(*n * sizeof(*all));
	if (!all)
		return -ENOMEM;
	/* Few long sorted runs, then the single ones sorted: what is merged later are few runs. */
	n_long = copy(list, true, all);
	(void)copy(list, false, &all[n_long]);
	err = block_prefix_sort(&all[n_long], *n - n_long);
	if (err < 0) {
		free(all);
		return err;
	}
	*out = all;
	return 0;
}

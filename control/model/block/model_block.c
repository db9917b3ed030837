/* block.add, block.remove, block.clear, block.list, block.check */
#include "model_block.h"

#include "base_bytes.h"
#include "base_time.h"
#include "grant_part.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SOURCE_DEFAULT "manual"
#define AUTHOR_DEFAULT "root"

static const struct {
	const char *name;
	uint8_t scope;
} scope_names[] = {
	{"all", BLOCK_ALL},
	{"wireguard", BLOCK_WIREGUARD},
	{"published", BLOCK_PUBLISHED},
};

/* ---- arguments ---------------------------------------------------------------------------------- */

static const char *text_of(const json_t *params, const char *key, const char *otherwise)
{
	const char *text = json_string_value(json_object_get(params, key));

	return text ? text : otherwise;
}

/* Everything without --scope. */
static int read_scopes(const json_t *params, uint8_t *out, struct model_error *error)
{
	const json_t *array = json_object_get(params, "scope");

	*out = json_array_size(array) == 0 ? BLOCK_ALL : 0;
	for (size_t i = 0; i < json_array_size(array); i++) {
		const char *name = json_string_value(json_array_get(array, i));
		size_t j = 0;

		while (j < BASE_ARRAY_LEN(scope_names) && strcmp(scope_names[j].name, name) != 0)
			j++;
		if (j == BASE_ARRAY_LEN(scope_names))
			return model__refuse(error, -EINVAL, "bad_argument", "scope",
			                     "scope has \"%s\", must be all, wireguard or "
			                     "published",
			                     name);
		*out |= scope_names[j].scope;
	}
	return 0;
}

/* --for or --until; 0 = for ever. */
static int read_until(const json_t *params, uint64_t now_s, uint64_t *out,
                      struct model_error *error)
{
	const char *span = json_string_value(json_object_get(params, "for"));
	const char *time = json_string_value(json_object_get(params, "until"));
	uint64_t span_s = 0;

	*out = 0;
	if (span && time)
		return model__refuse(error, -EINVAL, "bad_argument", "until",
		                     "for and until both say when it ends; give one");
	if (span && model__duration_parse(span, &span_s) == 0)
		*out = now_s + span_s;
	if (time && grant_time_parse(time, out) == 0 && *out <= now_s)
		return model__refuse(error, -EINVAL, "bad_argument", "until",
		                     "until is %s, which has passed", time);
	return 0;
}

int model__block_request(const json_t *params, struct blocklist_request *out,
                         struct model_error *error)
{
	int err;

	*out = (struct blocklist_request){
		.source = text_of(params, "source", SOURCE_DEFAULT),
		.author = text_of(params, "author", AUTHOR_DEFAULT),
		.reason = text_of(params, "reason", ""),
		.now_s = base_time_wall_ns() / BASE_NS_PER_S,
	};
	err = read_scopes(params, &out->scopes, error);
	return err < 0 ? err : read_until(params, out->now_s, &out->until_s, error);
}

/* model__check() has seen to it that it is one. */
static struct block_prefix read_prefix(const json_t *params, const char *key)
{
	struct base_prefix prefix = {.len = 0};

	if (base_prefix_parse(text_of(params, key, ""), &prefix) < 0)
		prefix = (struct base_prefix){.ip.family = BASE_IP_V4, .len = 32};
	return block_prefix_make(&prefix, BLOCK_ALL);
}

/* ---- replies ------------------------------------------------------------------------------------ */

static json_t *prefix_json(const struct block_prefix *prefix)
{
	struct base_prefix text = block_prefix_text(prefix);
	char buf[BASE_PREFIX_STRLEN];

	base_prefix_format(&text, buf);
	if (text.len == base_ip_len(text.ip.family) * 8)
		*strchr(buf, '/') = '\0';
	return json_string(buf);
}

static json_t *scopes_json(uint8_t scopes)
{
	json_t *array = json_array();

	for (size_t i = 0; i < BASE_ARRAY_LEN(scope_names); i++)
		if (scopes & scope_names[i].scope)
			json_array_append_new(array, json_string(scope_names[i].name));
	return array;
}

/* Whoever says the year 2999 means for ever: beyond what nanoseconds can say. */
static json_t *until_json(uint64_t until_s)
{
	char text[GRANT_TIME_STRLEN];

	return until_s <= UINT64_MAX / BASE_NS_PER_S
	               ? model__time(until_s * BASE_NS_PER_S)
	               : json_string(grant_time_format(until_s, text));
}

/* prefix NULL: the entry as a whole. */
static json_t *entry_json(const struct blocklist_entry *entry, const struct block_prefix *prefix)
{
	return json_pack("{s:o, s:b, s:I, s:o, s:s, s:s, s:s, s:o, s:o, s:I, s:o}", "prefix",
	                 prefix ? prefix_json(prefix) : json_null(), "list", entry->is_list,
	                 "prefixes", (json_int_t)(prefix ? 1 : entry->n), "scope",
	                 scopes_json(entry->scopes), "source", entry->source, "reason",
	                 entry->reason, "author", entry->author, "created_at",
	                 model__time(entry->created_s * BASE_NS_PER_S), "until",
	                 until_json(entry->until_s), "hits", (json_int_t)entry->hits, "last_hit_at",
	                 model__time(entry->hit_s * BASE_NS_PER_S));
}

/* ---- changes ------------------------------------------------------------------------------------ */

static int refuse_change(const struct model *model, int err, struct model_error *error)
{
	if (err == -E2BIG)
		return model__refuse(error, err, "full", NULL,
		                     "there would be more than %u entries or %u prefixes, which "
		                     "is the most",
		                     BLOCKLIST_ENTRIES_MAX, BLOCK_ENTRIES_MAX);
	return model__refuse(error, err, "failed", NULL, "%s",
	                     err == -ENOMEM ? "not enough memory"
	                                    : store_error(model->setup.store));
}

int model__block_put(struct model *model, struct blocklist_ready *ready, json_t **result,
                     struct model_error *error)
{
	const struct blocklist *list = model->block.list;
	const struct blocklist_entry *entry;
	size_t n_replaced;
	int err = blocklist_put(model->block.list, ready, &n_replaced);

	if (err < 0)
		return refuse_change(model, err, error);
	model__block_changed(model);
	entry = blocklist_at(list, blocklist_n(list) - 1);
	*result = json_pack("{s:o, s:I, s:I, s:o}", "entry",
	                    entry_json(entry, entry->is_list ? NULL : &entry->prefixes[0]),
	                    "replaced", (json_int_t)n_replaced, "total",
	                    (json_int_t)blocklist_n_prefixes(list), "peers",
	                    model__block_peers(model, entry->prefixes, entry->n, entry->scopes));
	return 0;
}

int model__block_add(struct model *model, const json_t *params, json_t **result,
                     struct model_error *error)
{
	struct block_prefix prefix = read_prefix(params, "prefix");
	struct blocklist_request request;
	struct blocklist_ready ready;
	int err = model__block_request(params, &request, error);

	request.prefixes = &prefix;
	request.n = 1;
	request.replaces = true;
	if (err == 0)
		err = model__block_guard(model, params, &prefix, 1, request.scopes, error);
	if (err < 0)
		return err;
	err = blocklist_ready_init(&ready, &request);
	if (err < 0)
		return refuse_change(model, err, error);
	err = model__block_put(model, &ready, result, error);
	blocklist_ready_fini(&ready);
	return err;
}

static int remove_some(struct model *model, const char *source, const struct block_prefix *prefix,
                       size_t *n_removed, struct model_error *error)
{
	int err = blocklist_remove(model->block.list, source, prefix, n_removed);

	if (*n_removed > 0)
		model__block_changed(model);
	return err < 0 ? refuse_change(model, err, error) : 0;
}

int model__block_remove(struct model *model, const json_t *params, json_t **result,
                        struct model_error *error)
{
	const char *text = text_of(params, "prefix", "");
	const char *source = text_of(params, "source", NULL);
	struct block_prefix prefix = read_prefix(params, "prefix");
	size_t n_removed;
	int err = remove_some(model, source, &prefix, &n_removed, error);

	if (err < 0)
		return err;
	if (n_removed == 0)
		return model__refuse(error, -ENOENT, "not_found", "prefix",
		                     "prefix: %s is not listed%s%s; block check says what an "
		                     "address is dropped by",
		                     text, source ? " by " : "", source ? source : "");
	*result = json_pack("{s:s, s:I}", "name", text, "removed", (json_int_t)n_removed);
	return 0;
}

int model__block_clear(struct model *model, const json_t *params, json_t **result,
                       struct model_error *error)
{
	const char *source = text_of(params, "source", "");
	size_t n_removed;
	int err = remove_some(model, source, NULL, &n_removed, error);

	if (err < 0)
		return err;
	if (n_removed == 0)
		return model__refuse(error, -ENOENT, "not_found", "source",
		                     "source: nothing is listed by \"%s\"", source);
	*result = json_pack("{s:s, s:I}", "name", source, "removed", (json_int_t)n_removed);
	return 0;
}

/* ---- looking ------------------------------------------------------------------------------------ */

/* Rows of an entry: one, or with its source named each prefix of a list. */
static size_t rows_of(const struct blocklist_entry *entry, const char *source)
{
	if (entry->is_ended || (source && strcmp(entry->source, source) != 0))
		return 0;
	return entry->is_list && !source ? 1 : entry->n;
}

static json_t *row_json(const struct blocklist_entry *entry, const char *source, size_t row)
{
	return entry_json(entry, entry->is_list && !source ? NULL : &entry->prefixes[row]);
}

/* The cursor is "ID-ROW" of the first row of the next page. */
int model__block_list(struct model *model, const json_t *params, json_t **result,
                      struct model_error *error)
{
	const struct blocklist *list = model->block.list;
	const char *source = text_of(params, "source", NULL);
	const char *cursor = text_of(params, "cursor", "0-0");
	size_t limit = (size_t)json_integer_value(json_object_get(params, "limit"));
	json_t *array = json_array();
	char next[48] = "";
	uint64_t id = 0;
	size_t row = 0;

	if (sscanf(cursor, "%" SCNu64 "-%zu", &id, &row) != 2) {
		json_decref(array);
		return model__refuse(error, -EINVAL, "bad_argument", "cursor",
		                     "cursor is \"%s\", must be \"next\" of the page before",
		                     cursor);
	}
	limit = limit == 0 ? 100 : limit;
	for (size_t i = blocklist_find(list, id); i < blocklist_n(list); i++, row = 0) {
		const struct blocklist_entry *entry = blocklist_at(list, i);

		/* The row is of that entry only. */
		for (row = entry->id == id ? row : 0; row < rows_of(entry, source); row++) {
			if (json_array_size(array) == limit) {
				snprintf(next, sizeof(next), "%" PRIu64 "-%zu", entry->id, row);
				break;
			}
			json_array_append_new(array, row_json(entry, source, row));
		}
		if (next[0] != '\0')
			break;
	}
	*result = json_pack(
		"{s:o, s:s?, s:I, s:I, s:b, s:s?}", "entries", array, "next",
		next[0] != '\0' ? next : NULL, "total", (json_int_t)blocklist_n_prefixes(list),
		"generation", (json_int_t)model->block.generation, "in_force",
		!model->block.is_dirty && !model->block.is_building && model->block.is_in_force,
		"refused", model->block.refused[0] != '\0' ? model->block.refused : NULL);
	return 0;
}

/* A sample stands for itself and all that its worker dropped for the same reason since the sample before. */
static uint64_t stands_for(struct model_block *block, uint32_t worker, uint32_t kind,
                           uint64_t count)
{
	uint64_t *before = &block->dropped[worker][kind];
	uint64_t n = *before != 0 && count > *before ? count - *before : 1;

	*before = count;
	return n;
}

void model_block_hit(struct model *model, uint32_t worker, const struct abi_report_drop *drop)
{
	static const struct {
		uint32_t reason;
		uint8_t scope;
	} kinds[] = {
		{ABI_COUNTER_DROP_BLOCK_ALL, BLOCK_ALL},
		{ABI_COUNTER_DROP_BLOCK_WIREGUARD, BLOCK_WIREGUARD},
		{ABI_COUNTER_DROP_BLOCK_PUBLISHED, BLOCK_PUBLISHED},
	};
	const struct base_prefix whole = {.ip = drop->source,
	                                  .len = (uint8_t)(base_ip_len(drop->source.family) * 8)};

	for (uint32_t i = 0; i < BASE_ARRAY_LEN(kinds) && whole.len != 0; i++) {
		struct block_prefix address;

		if (kinds[i].reason != drop->reason)
			continue;
		address = block_prefix_make(&whole, kinds[i].scope);
		blocklist_hit(model->block.list, &address, kinds[i].scope,
		              stands_for(&model->block, worker, i, drop->count),
		              base_time_wall_ns() / BASE_NS_PER_S);
	}
}

const struct blocklist_entry *model__block_holding(const struct model *model,
                                                   const struct base_ip *source, uint8_t scopes)
{
	const struct base_prefix whole = {.ip = *source, .len = base_ip_len(source->family) * 8};
	const struct block_prefix address = block_prefix_make(&whole, BLOCK_ALL);
	const struct blocklist *list = model->block.list;

	for (size_t i = 0; i < blocklist_n(list); i++) {
		const struct blocklist_entry *entry = blocklist_at(list, i);

		if (!entry->is_ended && (entry->scopes & scopes)
		    && blocklist_entry_has(entry, &address))
			return entry;
	}
	return NULL;
}

int model__block_check(struct model *model, const json_t *params, json_t **result,
                       struct model_error *error)
{
	const struct blocklist *list = model->block.list;
	struct block_prefix address = read_prefix(params, "address");
	json_t *array = json_array();
	uint8_t scopes = 0;

	(void)error;
	for (size_t i = 0; i < blocklist_n(list); i++) {
		const struct blocklist_entry *entry = blocklist_at(list, i);

		for (size_t j = 0; j < entry->n && !entry->is_ended; j++) {
			if (!block_prefix_contains(&entry->prefixes[j], &address))
				continue;
			scopes |= entry->scopes;
			json_array_append_new(array, entry_json(entry, &entry->prefixes[j]));
		}
	}
	*result = json_pack("{s:s, s:o, s:o}", "address", text_of(params, "address", ""), "scope",
	                    scopes_json(scopes), "entries", array);
	return 0;
}

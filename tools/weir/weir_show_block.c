/* Drop lists for people. */
#include "base_bytes.h"
#include "weir.h"
#include "weir_table.h"

#include <string.h>

/* A prefix, or how many a list has. */
static const char *what_of(const json_t *entry, char *buf, size_t size)
{
	if (json_is_string(json_object_get(entry, "prefix")))
		return weir_text_of(entry, "prefix");
	snprintf(buf, size, "list of %lld", weir_number_of(entry, "prefixes"));
	return buf;
}

/* Nothing was refused, but somebody should know. */
static void show_peers(const json_t *result)
{
	const json_t *peers = json_object_get(result, "peers");

	for (size_t i = 0; i < json_array_size(peers); i++) {
		const json_t *one = json_array_get(peers, i);

		fprintf(stderr,
		        "weir: warning: peer \"%s\" was last seen at %s, which is dropped now\n",
		        weir_text_of(one, "peer"), weir_text_of(one, "endpoint"));
	}
}

static void show_block_add(const json_t *result)
{
	const json_t *entry = json_object_get(result, "entry");
	char scopes[64];
	char what[48];

	printf("dropped: %s (%s)%s%s, %lld prefixes in all\n", what_of(entry, what, sizeof(what)),
	       weir_list_of(entry, "scope", scopes, sizeof(scopes)),
	       json_is_string(json_object_get(entry, "until")) ? " until " : "",
	       json_is_string(json_object_get(entry, "until")) ? weir_text_of(entry, "until") : "",
	       weir_number_of(result, "total"));
	show_peers(result);
}

static void show_block_remove(const json_t *result)
{
	printf("removed %s: %lld prefixes\n", weir_text_of(result, "name"),
	       weir_number_of(result, "removed"));
}

static const char *hits_of(const json_t *entry, char *buf, size_t size)
{
	snprintf(buf, size, "%lld", weir_number_of(entry, "hits"));
	return buf;
}

static void show_entries(const json_t *entries)
{
	static const char *const heads[] = {"SOURCE", "SCOPE", "LISTED BY", "AUTHOR",
	                                    "UNTIL",  "HITS",  "LAST",      "REASON"};
	struct weir_table table = {.n_columns = BASE_ARRAY_LEN(heads)};
	char buf[64];

	for (size_t i = 0; i < BASE_ARRAY_LEN(heads); i++)
		weir_table_cell(&table, heads[i]);
	for (size_t i = 0; i < json_array_size(entries); i++) {
		const json_t *entry = json_array_get(entries, i);

		weir_table_cell(&table, what_of(entry, buf, sizeof(buf)));
		weir_table_cell(&table, weir_list_of(entry, "scope", buf, sizeof(buf)));
		weir_table_cell(&table, weir_text_of(entry, "source"));
		weir_table_cell(&table, weir_text_of(entry, "author"));
		weir_table_cell(&table, weir_text_of(entry, "until"));
		weir_table_cell(&table, hits_of(entry, buf, sizeof(buf)));
		weir_table_cell(&table, weir_text_of(entry, "last_hit_at"));
		weir_table_cell(&table, weir_text_of(entry, "reason"));
	}
	weir_table_end(&table);
}

static void show_block_list(const json_t *result)
{
	const json_t *entries = json_object_get(result, "entries");

	if (json_array_size(entries) == 0)
		printf("nothing is listed\n");
	else
		show_entries(entries);
	if (json_is_string(json_object_get(result, "refused")))
		printf("not in force: the workers refused it: %s\n",
		       weir_text_of(result, "refused"));
}

static void show_block_check(const json_t *result)
{
	char buf[64];

	if (json_array_size(json_object_get(result, "entries")) == 0) {
		printf("%s is not dropped\n", weir_text_of(result, "address"));
		return;
	}
	printf("%s is dropped: %s\n", weir_text_of(result, "address"),
	       weir_list_of(result, "scope", buf, sizeof(buf)));
	show_entries(json_object_get(result, "entries"));
}

static const struct {
	const char *method;
	void (*show)(const json_t *result);
} shows[] = {
	{"block.add", show_block_add},       {"block.import", show_block_add},
	{"block.remove", show_block_remove}, {"block.clear", show_block_remove},
	{"block.list", show_block_list},     {"block.check", show_block_check},
};

bool weir_show_block(const char *method, const json_t *result)
{
	for (size_t i = 0; i < BASE_ARRAY_LEN(shows); i++) {
		if (strcmp(shows[i].method, method) == 0) {
			shows[i].show(result);
			return true;
		}
	}
	return false;
}

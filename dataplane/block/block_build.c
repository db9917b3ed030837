/* Prefixes to intervals, and the sections to one blob. */
#include "block_build.h"

#include "base_bytes.h"
#include "block_build_private.h"

#include <errno.h>
#include <stdlib.h>

void *block__array_add(struct block_array *array, size_t n)
{
	uint8_t *added;

	if (array->n + n > array->room) {
		size_t room = (array->n + n) * 3 / 2 + 64;
		size_t len = (room * array->element + BLOCK_ALIGN - 1) & ~(size_t)(BLOCK_ALIGN - 1);
		uint8_t *data = aligned_alloc(BLOCK_ALIGN, len);

		if (!data)
			return NULL;
		if (array->n > 0)
			memcpy(data, array->data, array->n * array->element);
		free(array->data);
		array->data = data;
		array->room = room;
	}
	added = array->data + array->n * array->element;
	memset(added, 0, n * array->element);
	array->n += n;
	return added;
}

/* ---- cutting ------------------------------------------------------------------------------------ */

/* A prefix that the sweep is in. */
struct open_prefix {
	uint64_t first; /* position */
	uint64_t last;
	uint8_t answer;
};

struct sweep {
	struct block_cuts *cuts;
	struct open_prefix open[66]; /* nested, by length; [0] is everything */
	size_t depth;
};

/* Where everything is dropped nothing is left to tell apart. */
static uint8_t normalize(uint8_t answer)
{
	return answer & BLOCK_ALL ? BLOCK_ALL : answer;
}

/* From here on it is answer. */
static void cut(struct block_cuts *cuts, uint64_t start, uint8_t answer)
{
	if (cuts->n > 0 && cuts->starts[cuts->n - 1] == start)
		cuts->n--;
	if (cuts->n > 0 && cuts->answers[cuts->n - 1] == answer)
		return;
	cuts->starts[cuts->n] = start;
	cuts->answers[cuts->n] = answer;
	cuts->n++;
}

/* Leave what ends before position. */
static void close_before(struct sweep *sweep, uint64_t position)
{
	while (sweep->depth > 1 && sweep->open[sweep->depth - 1].last < position) {
		uint64_t last = sweep->open[--sweep->depth].last;

		cut(sweep->cuts, last + 1, sweep->open[sweep->depth - 1].answer);
	}
}

static void enter(struct sweep *sweep, uint64_t first, uint64_t last, uint8_t scopes)
{
	struct open_prefix *open;
	uint8_t answer;

	close_before(sweep, first);
	open = &sweep->open[sweep->depth - 1];
	answer = normalize(open->answer | scopes);
	/* The same prefix again: nesting ends at all its lengths. */
	if (sweep->depth > 1 && open->first == first && open->last == last)
		open->answer = answer;
	else
		sweep->open[sweep->depth++] = (struct open_prefix){first, last, answer};
	cut(sweep->cuts, first, answer);
}

void block__cut(const struct block_prefix *prefixes, size_t n, enum block_cut which,
                struct block_cuts *cuts)
{
	struct sweep sweep = {.cuts = cuts, .depth = 1};

	sweep.open[0] = (struct open_prefix){.last = UINT64_MAX};
	cuts->n = 0;
	cut(cuts, 0, 0);
	for (size_t i = 0; i < n; i++) {
		const struct block_prefix *p = &prefixes[i];
		uint64_t first = which == BLOCK_CUT_WIDE ? p->high : p->low;
		uint32_t len = which == BLOCK_CUT_WIDE ? p->len : p->len - 64U;

		if (which == BLOCK_CUT_WIDE ? p->len < 64 : p->len > 64)
			enter(&sweep, first, first | (len >= 64 ? 0 : UINT64_MAX >> len),
			      p->scopes);
	}
	while (sweep.depth > 1) {
		uint64_t last = sweep.open[--sweep.depth].last;

		if (last != UINT64_MAX)
			cut(cuts, last + 1, sweep.open[sweep.depth - 1].answer);
	}
}

/* ---- the blob ----------------------------------------------------------------------------------- */

static bool is_prefix(const struct block_prefix *p)
{
	uint32_t len_max = p->family == BASE_IP_V4 ? 32 : p->family == BASE_IP_V6 ? 128 : 0;

	return len_max != 0 && p->len <= len_max && p->scopes != 0
	       && (p->scopes & ~BLOCK_SCOPES) == 0;
}

static bool source_is_good(const struct block_source *source)
{
	if (source->generation == 0 || source->n > BLOCK_ENTRIES_MAX
	    || source->n_ports > BLOCK_PORTS_MAX)
		return false;
	for (size_t i = 0; i < source->n; i++)
		if (!is_prefix(&source->prefixes[i]))
			return false;
	return true;
}

static int build_families(struct block_builder *builder, const struct block_source *source)
{
	struct block_cuts cuts = {
		.starts = malloc((2 * source->n + 1) * sizeof(*cuts.starts)),
		.answers = malloc(2 * source->n + 1),
	};
	size_t n_v4 = 0;
	int err = -ENOMEM;

	if (cuts.starts && cuts.answers) {
		while (n_v4 < source->n && source->prefixes[n_v4].family == BASE_IP_V4)
			n_v4++;
		block__cut(source->prefixes, n_v4, BLOCK_CUT_WIDE, &cuts);
		err = block__build_v4(builder, &cuts);
		if (err == 0)
			err = block__build_v6(builder,
			                      n_v4 < source->n ? &source->prefixes[n_v4] : NULL,
			                      source->n - n_v4, &cuts);
	}
	free(cuts.starts);
	free(cuts.answers);
	return err;
}

static uint64_t round_up(uint64_t len)
{
	return (len + BLOCK_ALIGN - 1) & ~(uint64_t)(BLOCK_ALIGN - 1);
}

/* Put the array behind what is there; out NULL: only reckon. Returns where. */
static uint64_t place(uint8_t *out, uint64_t *len, const struct block_array *array)
{
	uint64_t at = *len;
	uint64_t n_bytes = array->n * array->element;

	*len = at + round_up(n_bytes);
	if (out && n_bytes > 0) {
		memcpy(out + at, array->data, n_bytes);
		memset(out + at + n_bytes, 0, *len - at - n_bytes);
	}
	return at;
}

static uint64_t place_all(const struct block_builder *builder, uint8_t *out,
                          struct block_table *header)
{
	uint64_t len = sizeof(*header);

	header->v4_dir_at = place(out, &len, &builder->v4_dir);
	header->v4_lines_at = place(out, &len, &builder->v4_lines);
	header->runs_at = place(out, &len, &builder->runs);
	header->steps_at = place(out, &len, &builder->steps);
	header->buckets_at = place(out, &len, &builder->buckets);
	header->v6_dir_at = place(out, &len, &builder->v6_dir);
	header->v6_mixed_at = place(out, &len, &builder->v6_mixed);
	header->v6_roots_at = place(out, &len, &builder->v6_roots);
	header->v6_lines_at = place(out, &len, &builder->v6_lines);
	return len;
}

static int assemble(const struct block_builder *builder, void **out, size_t *len)
{
	struct block_table header = builder->header;
	uint8_t *blob;

	header.len = place_all(builder, NULL, &header);
	if (header.len > BLOCK_TABLE_LEN_MAX)
		return -E2BIG;
	blob = aligned_alloc(BLOCK_ALIGN, header.len);
	if (!blob)
		return -ENOMEM;
	header.n_v4_lines = (uint32_t)builder->v4_lines.n;
	header.n_runs = (uint32_t)builder->runs.n;
	header.n_steps = (uint32_t)builder->steps.n;
	header.n_buckets = (uint32_t)builder->buckets.n;
	header.n_v6_mixed = (uint32_t)builder->v6_mixed.n;
	header.n_v6_roots = (uint32_t)builder->v6_roots.n;
	header.n_v6_lines = (uint32_t)builder->v6_lines.n;
	(void)place_all(builder, blob, &header);
	memcpy(blob, &header, sizeof(header));
	*out = blob;
	*len = header.len;
	return 0;
}

static void builder_init(struct block_builder *builder, const struct block_source *source)
{
	*builder = (struct block_builder){
		.header = {.magic = BLOCK_TABLE_MAGIC,
	                   .version = BLOCK_TABLE_VERSION,
	                   .header_len = sizeof(struct block_table),
	                   .generation = source->generation,
	                   .seed = source->seed,
	                   .n_entries = (uint32_t)source->n,
	                   .n_ports = source->n_ports},
		.v4_dir.element = sizeof(uint32_t),
		.v4_lines.element = BLOCK_LINE,
		.runs.element = sizeof(struct block_run),
		.steps.element = sizeof(struct block_step),
		.buckets.element = sizeof(struct block_bucket),
		.v6_dir.element = sizeof(struct block_v6_entry),
		.v6_mixed.element = sizeof(struct block_v6_mixed),
		.v6_roots.element = BLOCK_LINE,
		.v6_lines.element = BLOCK_LINE,
	};
	memcpy(builder->header.ports, source->ports, source->n_ports * sizeof(source->ports[0]));
}

static void builder_fini(struct block_builder *builder)
{
	struct block_array *arrays[] = {
		&builder->v4_dir,   &builder->v4_lines, &builder->runs,
		&builder->steps,    &builder->buckets,  &builder->v6_dir,
		&builder->v6_mixed, &builder->v6_roots, &builder->v6_lines,
	};

	for (size_t i = 0; i < BASE_ARRAY_LEN(arrays); i++)
		free(arrays[i]->data);
}

int block_build(struct block_source *source, void **out, size_t *len)
{
	struct block_builder builder;
	int err;

	*out = NULL;
	*len = 0;
	if (!source_is_good(source))
		return -EINVAL;
	err = block_prefix_sort(source->prefixes, source->n);
	if (err < 0)
		return err;
	builder_init(&builder, source);
	err = build_families(&builder, source);
	if (err == 0)
		err = assemble(&builder, out, len);
	builder_fini(&builder);
	return err;
}

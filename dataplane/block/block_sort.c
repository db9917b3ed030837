/* Merge sort that begins with the runs it finds: lists are kept sorted, so most of what is sorted here
 * is one long run and a few short ones. */
#include "block_build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* An order of one number a word, so that nearly always one comparison decides. */
static inline bool is_before(const struct block_prefix *a, const struct block_prefix *b)
{
	if (a->family != b->family)
		return a->family < b->family;
	if (a->high != b->high)
		return a->high < b->high;
	if (a->low != b->low)
		return a->low < b->low;
	return a->len < b->len;
}

int block_prefix_compare(const struct block_prefix *a, const struct block_prefix *b)
{
	return is_before(a, b) ? -1 : is_before(b, a);
}

/* [from, middle) and [middle, end) are sorted; out[from, end) becomes so. */
static void merge(const struct block_prefix *in, struct block_prefix *out, size_t from,
                  size_t middle, size_t end)
{
	size_t a = from;
	size_t b = middle;
	size_t to = from;

	while (a < middle && b < end) {
		bool takes_b = is_before(&in[b], &in[a]);

		out[to++] = in[takes_b ? b : a];
		b += takes_b;
		a += !takes_b;
	}
	memcpy(&out[to], &in[a], (middle - a) * sizeof(*in));
	memcpy(&out[to + middle - a], &in[b], (end - b) * sizeof(*in));
}

/* Ends of the runs in prefixes[n]; returns how many, ends[n] has room for all. */
static size_t find_runs(const struct block_prefix *prefixes, size_t n, uint32_t *ends)
{
	size_t n_runs = 0;

	for (size_t i = 1; i <= n; i++)
		if (i == n || is_before(&prefixes[i], &prefixes[i - 1]))
			ends[n_runs++] = (uint32_t)i;
	return n_runs;
}

/* Merge neighbours; returns how many runs are left. */
static size_t merge_pairs(const struct block_prefix *in, struct block_prefix *out, uint32_t *ends,
                          size_t n_runs)
{
	size_t from = 0;
	size_t n = 0;

	for (size_t i = 0; i < n_runs; i += 2) {
		size_t last = i + 1 < n_runs ? i + 1 : i;
		uint32_t end = ends[last];

		merge(in, out, from, ends[i], end);
		ends[n++] = end;
		from = end;
	}
	return n;
}

int block_prefix_sort(struct block_prefix *prefixes, size_t n)
{
	uint32_t *ends;
	struct block_prefix *other;
	struct block_prefix *in = prefixes;
	size_t n_runs;

	if (n > UINT32_MAX)
		return -ENOMEM;
	ends = malloc((n + 1) * sizeof(*ends));
	if (!ends)
		return -ENOMEM;
	n_runs = find_runs(prefixes, n, ends);
	if (n_runs <= 1) {
		free(ends);
		return 0;
	}
	other = malloc(n * sizeof(*other));
	if (!other) {
		free(ends);
		return -ENOMEM;
	}
	while (n_runs > 1) {
		struct block_prefix *out = in == prefixes ? other : prefixes;

		n_runs = merge_pairs(in, out, ends, n_runs);
		in = out;
	}
	if (in != prefixes)
		memcpy(prefixes, other, n * sizeof(*prefixes));
	free(other);
	free(ends);
	return 0;
}

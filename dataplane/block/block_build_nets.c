/* The section of the /64s: buckets. */
#include "block_build_private.h"

#include <errno.h>
#include <stdlib.h>

/* So that 3 of a bucket's 8 words are taken on average: one in 260 goes on. */
#define HALF_WORDS_A_BUCKET 6U

/* ---- which -------------------------------------------------------------------------------------- */

/* What is listed of a /64: itself, maybe more than once, and behind that what is longer. */
struct net {
	const struct block_prefix *prefixes;
	size_t n;
	size_t n_longer;
	uint8_t scopes; /* its own */
};

/* The next one from *at on; false at the end. */
static bool next_net(const struct block_prefix *prefixes, size_t n, size_t *at, struct net *net)
{
	while (*at < n && prefixes[*at].len < 64)
		(*at)++;
	if (*at == n)
		return false;
	*net = (struct net){.prefixes = &prefixes[*at]};
	for (; *at < n && prefixes[*at].high == net->prefixes->high && prefixes[*at].len >= 64;
	     (*at)++, net->n++) {
		if (prefixes[*at].len == 64)
			net->scopes |= prefixes[*at].scopes;
		else
			net->n_longer++;
	}
	/* Where all is dropped nothing is left to tell apart. */
	if (net->scopes & BLOCK_ALL) {
		net->scopes = BLOCK_ALL;
		net->n_longer = 0;
	}
	return true;
}

/* ---- pairs -------------------------------------------------------------------------------------- */

/* What goes into a bucket. */
struct word {
	uint64_t mixed;
	uint64_t second; /* of a pair */
	uint32_t answer;
};

static bool is_host(const struct net *net)
{
	const struct block_prefix *first = net->prefixes;

	return net->scopes == 0 && first->len == 128
	       && block_prefix_compare(first, &first[net->n - 1]) == 0;
}

static int make_pair(struct block_builder *builder, const struct net *net, struct word *pair)
{
	uint64_t low = net->prefixes->low;
	uint8_t scopes = 0;
	uint32_t line = 0;
	int err = 0;

	pair->mixed = block__mix(builder->header.seed, net->prefixes->high);
	if (is_host(net)) {
		for (size_t i = 0; i < net->n; i++)
			scopes |= net->prefixes[i].scopes;
		pair->answer = BLOCK_ANSWER_PAIR | BLOCK_ANSWER_HOST
		               | (scopes & BLOCK_ALL ? 0 : scopes)
		               | (low & BLOCK_ANSWER_PAIR ? BLOCK_ANSWER_LOW : 0);
		pair->second = low | BLOCK_ANSWER_PAIR;
	} else {
		err = block__build_tree(builder, &net->prefixes[net->n - net->n_longer],
		                        net->n_longer, &line);
		pair->answer = BLOCK_ANSWER_PAIR | net->scopes;
		pair->second = (uint64_t)line << 32 | BLOCK_ANSWER_PAIR;
	}
	return err;
}

/* Of all nets: the pairs, and how many words there are. */
static int collect(struct block_builder *builder, const struct block_prefix *prefixes, size_t n,
                   struct block_array *pairs, size_t *n_words)
{
	struct net net;
	int err = 0;

	*n_words = 0;
	for (size_t at = 0; err == 0 && next_net(prefixes, n, &at, &net);) {
		*n_words += net.n_longer == 0 ? 1 : 2;
		if (net.n_longer > 0) {
			struct word *pair = block__array_add(pairs, 1);

			err = pair ? make_pair(builder, &net, pair) : -ENOMEM;
		}
	}
	return err;
}

/* ---- where -------------------------------------------------------------------------------------- */

static bool is_full(const struct block_bucket *bucket)
{
	return bucket->words[BLOCK_BUCKET_WORDS - 1] != 0;
}

/* The first free word for one that begins here. There are as many in a bucket as it takes: pairs, two words,
 * come before all others. */
static uint64_t *find_room(struct block_bucket *buckets, uint32_t n_buckets, uint64_t mixed)
{
	uint32_t at = block__place(mixed, n_buckets);
	uint64_t *word;

	for (; is_full(&buckets[at]); at = at + 1 == n_buckets ? 0 : at + 1)
		if (!block__goes_on(&buckets[at]))
			buckets[at].words[BLOCK_BUCKET_WORDS - 1] |= BLOCK_ANSWER_MORE;
	word = buckets[at].words;
	while (*word != 0)
		word++;
	return word;
}

/* Their lines come while others are put. */
static void put_some(struct block_bucket *buckets, uint32_t n_buckets, const struct word *words,
                     size_t n)
{
	for (size_t i = 0; i < n; i++)
		__builtin_prefetch(&buckets[block__place(words[i].mixed, n_buckets)], 1);
	for (size_t i = 0; i < n; i++) {
		uint64_t *room = find_room(buckets, n_buckets, words[i].mixed);

		room[0] = block__key(words[i].mixed) | words[i].answer;
		if (words[i].answer & BLOCK_ANSWER_PAIR)
			room[1] = words[i].second;
	}
}

#define AT_ONCE 32U

static void put_all(const struct block_builder *builder, const struct block_prefix *prefixes,
                    size_t n, const struct block_array *pairs)
{
	struct block_bucket *buckets = (void *)builder->buckets.data;
	uint32_t n_buckets = (uint32_t)builder->buckets.n;
	const struct word *pair = (const void *)pairs->data;
	struct word words[AT_ONCE];
	size_t n_words = 0;
	struct net net;

	for (size_t i = 0; i < pairs->n; i += AT_ONCE)
		put_some(buckets, n_buckets, &pair[i],
		         pairs->n - i < AT_ONCE ? pairs->n - i : AT_ONCE);
	for (size_t at = 0; next_net(prefixes, n, &at, &net);) {
		if (net.n_longer > 0)
			continue;
		words[n_words++] = (struct word){.mixed = block__mix(builder->header.seed,
		                                                     net.prefixes->high),
		                                 .answer = net.scopes};
		if (n_words == AT_ONCE) {
			put_some(buckets, n_buckets, words, n_words);
			n_words = 0;
		}
	}
	put_some(buckets, n_buckets, words, n_words);
}

/* Full buckets in a row, at most: so far a net can be from its place, and a search go on. */
static uint32_t longest_row(const struct block_bucket *buckets, uint32_t n_buckets)
{
	uint32_t longest = 0;
	uint32_t row = 0;

	/* Twice round: a row may go over the end. */
	for (uint32_t i = 0; i < 2 * n_buckets && row < n_buckets; i++) {
		row = is_full(&buckets[i % n_buckets]) ? row + 1 : 0;
		longest = row > longest ? row : longest;
	}
	return longest;
}

static int fill(struct block_builder *builder, const struct block_prefix *prefixes, size_t n,
                const struct block_array *pairs, size_t n_words)
{
	uint32_t n_buckets = (uint32_t)(n_words * 2 / HALF_WORDS_A_BUCKET) + BLOCK_BUCKETS_MIN;

	for (;; n_buckets *= 2) {
		const struct block_bucket *buckets;

		builder->buckets.n = 0;
		buckets = block__array_add(&builder->buckets, n_buckets);
		if (!buckets)
			return -ENOMEM;
		put_all(builder, prefixes, n, pairs);
		/* Those that a search can meet begin so near to each other that their keys differ. */
		if ((longest_row(buckets, n_buckets) + 2) * BLOCK_ANSWERS <= n_buckets)
			return 0;
	}
}

int block__build_nets(struct block_builder *builder, const struct block_prefix *prefixes, size_t n)
{
	struct block_array pairs = {.element = sizeof(struct word)};
	size_t n_words;
	int err = collect(builder, prefixes, n, &pairs, &n_words);

	if (err == 0)
		err = fill(builder, prefixes, n, &pairs, n_words);
	free(pairs.data);
	return err;
}

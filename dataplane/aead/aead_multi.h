/* Seal and open a burst with kernels that work on many packets at once: which block of which packet
 * goes into which lane. Included by aead_avx512.c and aead_avx2.c, which pass their kernels as a
 * constant, so that no call is indirect.
 *
 * Seal: block 0 of all packets (the one-time keys of Poly1305) and then all blocks of all payloads
 * run through the lanes as one stream, only the last call of which may be short; stretches of whole
 * runs of one packet take the kernel that broadcasts one key. Then the tags, AEAD_GROUP_MAX packets
 * at once, in order of length, so that lanes finish together.
 * Open: block 0 of all packets, tags, and then the payloads of those packets only whose tag fits: the
 * buffer of a forged packet stays as it came. (Packets that are cheaper one by one go to ipsec-mb, which
 * decrypts while it authenticates and whose backend wipes a forged payload.)
 *
 * The packets of a burst, when they are large, do not fit the first cache together. So each pass begins where the one
 * before ended: opening takes tags forward and payloads backward, sealing payloads forward and tags backward, and what is
 * sealed was often just opened.
 *
 * Secrets: one-time keys are wiped at the end of each burst (they have to be zero at the start of the
 * next one anyway). What kernels leave in vector registers and in their stack frames is not: their
 * next call overwrites it. */
#ifndef AEAD_MULTI_H
#define AEAD_MULTI_H

#include "aead_crossover.h"
#include "aead_lanes.h"
#include "base_bytes.h"

struct aead_multi_kernel {
	unsigned int n_lanes;    /* ChaCha20 blocks a call */
	unsigned int n_short;    /* a shorter call for the end of a stream; 0 = none */
	unsigned int run_blocks; /* consecutive blocks of one packet in a run */
	struct aead_costs costs;
	/* order[rank] = i, where the rank of key[i] is the number of keys[AEAD_BURST_MAX] above it: with so
	 * few, counting is faster than sorting, for there is nothing to mispredict. No two of the first n
	 * are equal, the others are 0. */
	void (*rank)(const uint16_t *keys, unsigned int n, uint8_t *order);
	void (*lanes)(const struct aead_lanes *lanes, unsigned int first);
	void (*lanes_short)(const struct aead_lanes *lanes, unsigned int first);
	void (*run)(const struct aead_run *run);
	/* Two calls' work at once, where that is faster, or NULL; run_two also over the same data. */
	void (*lanes_two)(const struct aead_lanes *lanes, unsigned int first);
	void (*run_two)(const struct aead_run *a, const struct aead_run *b);
	void (*poly)(struct aead_macs *macs, unsigned int n);
	void (*poly_extra)(struct aead_macs *macs, unsigned int n);
};

#define AEAD_MULTI_FEW 2U /* packets that are not worth to be ranked before they go to the helper */

/* A context's scratch, a thread's own. */
struct aead_multi {
	void *helper; /* ipsec-mb's, for packets that are cheaper one by one; NULL if there is none */
	struct aead_lanes lanes;
	unsigned int n_lanes;  /* filled */
	struct aead_macs macs; /* one-time keys are zero between bursts */
	_Alignas(64) uint16_t sort_key[AEAD_BURST_MAX];
	_Alignas(64) uint8_t order[AEAD_BURST_MAX]; /* packet of a rank, longest first */
	struct aead_op helped[AEAD_BURST_MAX];
	struct aead_run run; /* waits for a second one */
	bool has_run;
	const struct aead_op *reach; /* the first op whose lines were not reached for yet */
	unsigned int n_reach;        /* and how many there are */
};

#define AEAD_MULTI_INLINE static inline __attribute__((always_inline))

/* The lines behind a burst are reached for between calls of the kernel: for every two lanes those of a
 * packet, which has at least two blocks. So no call begins with more than 16 waits, and those are not in the
 * way of its own loads: the lines go to the second cache. Calls of two kernels' work at once are half as many, and leave
 * the other half to the tags. */
AEAD_MULTI_INLINE void aead_multi_reach_begin(struct aead_multi *multi, const struct aead_op *ops,
                                              unsigned int n)
{
	multi->reach = ops;
	multi->n_reach = ops[0].after[0] != NULL ? n : 0;
}

AEAD_MULTI_INLINE void aead_multi_reach(struct aead_multi *multi,
                                        const struct aead_multi_kernel *kernel)
{
	unsigned int n = kernel->n_lanes / 2;

	n = n < multi->n_reach ? n : multi->n_reach;
	for (unsigned int i = 0; i < n; i++) {
		__builtin_prefetch(multi->reach[i].after[0], 0, 2);
		__builtin_prefetch(multi->reach[i].after[1], 0, 2);
	}
	multi->reach += n;
	multi->n_reach -= n;
}

/* Packets into order, longest first. Returns whether all are of one length. */
AEAD_MULTI_INLINE bool aead_multi_sort(struct aead_multi *multi,
                                       const struct aead_multi_kernel *kernel,
                                       const struct aead_op *ops, unsigned int n)
{
	bool equal = true;

	for (unsigned int i = 0; i < n; i++)
		equal = equal && ops[i].len == ops[0].len;
	if (equal) {
		for (unsigned int i = 0; i < n; i++)
			multi->order[i] = (uint8_t)i;
		return true;
	}
	/* 10 bits of blocks, 6 of place: no two are equal */
	_Static_assert((AEAD_LEN_MAX + 15) / 16 < 1 << 10, "blocks fit");
	for (unsigned int i = 0; i < n; i++)
		multi->sort_key[i] = (uint16_t)((ops[i].len + 15) / 16 << 6 | i);
	for (unsigned int i = n; i < AEAD_BURST_MAX; i++)
		multi->sort_key[i] = 0;
	kernel->rank(multi->sort_key, n, multi->order);
	return false;
}

/* The calls for lanes [first, n), as many as are full. Returns where the rest begins. */
AEAD_MULTI_INLINE unsigned int aead_multi_run_lanes(struct aead_multi *multi,
                                                    const struct aead_multi_kernel *kernel,
                                                    unsigned int first, unsigned int n)
{
	struct aead_lanes *lanes = &multi->lanes;

	for (; kernel->lanes_two != NULL && n - first >= 2 * kernel->n_lanes;
	     first += 2 * kernel->n_lanes) {
		aead_multi_reach(multi, kernel);
		kernel->lanes_two(lanes, first);
	}
	for (; n - first >= kernel->n_lanes; first += kernel->n_lanes) {
		aead_multi_reach(multi, kernel);
		kernel->lanes(lanes, first);
	}
	return first;
}

/* Work off what is queued, but for what does not fill a call, which moves to the front. *n_queued:
 * lanes filled; a variable of the caller, so that it can stay in a register. */
AEAD_MULTI_INLINE void aead_multi_flush_whole(struct aead_multi *multi,
                                              const struct aead_multi_kernel *kernel,
                                              unsigned int *n_queued)
{
	struct aead_lanes *lanes = &multi->lanes;
	unsigned int n = *n_queued;
	unsigned int first = aead_multi_run_lanes(multi, kernel, 0, n);

	*n_queued = n - first;
	if (first == n)
		return;
	for (unsigned int i = 0; i < kernel->n_lanes; i++) {
		lanes->key[i] = lanes->key[first + i];
		lanes->data[i] = lanes->data[first + i];
		lanes->len[i] = lanes->len[first + i];
		lanes->counter[i] = lanes->counter[first + i];
		for (unsigned int word = 0; word < 3; word++)
			lanes->nonce[word][i] = lanes->nonce[word][first + i];
	}
}

/* Is the rest of n lanes cheaper as two calls' work at once, than as a call and a short one? */
AEAD_MULTI_INLINE bool aead_multi_takes_two(const struct aead_multi_kernel *kernel, unsigned int n)
{
	return kernel->lanes_two != NULL
	       && n % (2 * kernel->n_lanes) > kernel->n_lanes + kernel->n_short;
}

AEAD_MULTI_INLINE void aead_multi_flush_run(struct aead_multi *multi,
                                            const struct aead_multi_kernel *kernel)
{
	if (multi->has_run)
		kernel->run(&multi->run);
	multi->has_run = false;
}

/* Work off all of it. */
AEAD_MULTI_INLINE void aead_multi_flush(struct aead_multi *multi,
                                        const struct aead_multi_kernel *kernel,
                                        unsigned int *n_queued)
{
	struct aead_lanes *lanes = &multi->lanes;
	unsigned int n = *n_queued;
	unsigned int whole = aead_multi_takes_two(kernel, n) ? 2 * kernel->n_lanes
	                                                     : kernel->n_lanes;
	unsigned int first = aead_multi_run_lanes(multi, kernel, 0, n - n % whole);

	*n_queued = 0;
	aead_multi_flush_run(multi, kernel);
	if (first == n)
		return;
	for (unsigned int i = n; i < first + whole; i++) {
		lanes->key[i] = lanes->key[first];
		lanes->data[i] = lanes->data[first];
		lanes->len[i] = 0;
	}
	aead_multi_reach(multi, kernel);
	if (whole != kernel->n_lanes)
		kernel->lanes_two(lanes, first);
	else if (n - first <= kernel->n_short)
		kernel->lanes_short(lanes, first);
	else
		kernel->lanes(lanes, first);
}

/* A run waits for a second one, of this packet or another. */
AEAD_MULTI_INLINE void aead_multi_push_run(struct aead_multi *multi,
                                           const struct aead_multi_kernel *kernel,
                                           const struct aead_run *run)
{
	if (kernel->run_two != NULL && !multi->has_run) {
		multi->run = *run;
		multi->has_run = true;
		return;
	}
	aead_multi_reach(multi, kernel);
	if (kernel->run_two == NULL)
		kernel->run(run);
	else
		kernel->run_two(&multi->run, run);
	multi->has_run = false;
}

AEAD_MULTI_INLINE uint32_t aead_multi_nonce_head(const struct aead_extra *extra, unsigned int i)
{
	return extra == NULL ? 0 : base_load_le32(extra[i].nonce_head);
}

/* Block 0 of each packet: zeros XORed with it become the one-time key. The first of a burst, in an
 * empty queue. What is the same for all is written by vectors, and beyond n. */
AEAD_MULTI_INLINE void aead_multi_push_keys(struct aead_multi *multi, unsigned int *n_queued,
                                            const struct aead_op *ops,
                                            const struct aead_extra *extra, unsigned int n)
{
	struct aead_lanes *lanes = &multi->lanes;

	for (unsigned int first = 0; first < n; first += 16) {
		for (unsigned int i = first; i < first + 16; i++) {
			lanes->data[i] = multi->macs.otk[i];
			lanes->len[i] = AEAD_OTK_LEN;
			lanes->counter[i] = 0;
			lanes->nonce[0][i] = 0;
		}
	}
	for (unsigned int rank = 0; rank < n; rank++) {
		unsigned int i = multi->order[rank];

		lanes->key[rank] = ops[i].key;
		if (extra != NULL)
			lanes->nonce[0][rank] = aead_multi_nonce_head(extra, i);
		lanes->nonce[1][rank] = (uint32_t)ops[i].counter;
		lanes->nonce[2][rank] = (uint32_t)(ops[i].counter >> 32);
	}
	*n_queued = n;
}

/* AEAD_MULTI_STRETCH consecutive blocks into the queue from lane i on; data[len] may end earlier, and
 * the lanes behind are overwritten by what comes next. */
#define AEAD_MULTI_STRETCH 8U

/* A loop a row: as one, the compiler does not make vectors of it. */
AEAD_MULTI_INLINE void aead_multi_fill_words(uint32_t *words, uint32_t first, uint32_t step)
{
	for (unsigned int j = 0; j < AEAD_MULTI_STRETCH; j++)
		words[j] = first + j * step;
}

static __attribute__((noinline)) void aead_multi_fill(struct aead_lanes *lanes, unsigned int i,
                                                      const struct aead_op *op, uint32_t nonce_head,
                                                      uint32_t counter, uint8_t *data, uint32_t len)
{
	const uint8_t **keys = &lanes->key[i];
	uint8_t **blocks = &lanes->data[i];
	uint32_t *lens = &lanes->len[i];
	const uint8_t *key = op->key;

	for (unsigned int j = 0; j < AEAD_MULTI_STRETCH; j++)
		keys[j] = key;
	for (unsigned int j = 0; j < AEAD_MULTI_STRETCH; j++)
		blocks[j] = data + (size_t)j * AEAD_BLOCK_LEN;
	for (unsigned int j = 0; j < AEAD_MULTI_STRETCH; j++) {
		uint32_t left = len - j * AEAD_BLOCK_LEN;

		lens[j] = left < AEAD_BLOCK_LEN ? left : AEAD_BLOCK_LEN;
	}
	aead_multi_fill_words(&lanes->counter[i], counter, 1);
	aead_multi_fill_words(&lanes->nonce[0][i], nonce_head, 0);
	aead_multi_fill_words(&lanes->nonce[1][i], (uint32_t)op->counter, 0);
	aead_multi_fill_words(&lanes->nonce[2][i], (uint32_t)(op->counter >> 32), 0);
}

/* The blocks of data[at .. at + len) of a payload, which begins with block 1, into the queue; at most those of a
 * run. */
AEAD_MULTI_INLINE void aead_multi_push_stretch(struct aead_multi *multi,
                                               const struct aead_multi_kernel *kernel,
                                               unsigned int *n_queued, const struct aead_op *op,
                                               uint32_t nonce_head, uint32_t at, uint32_t len)
{
	struct aead_lanes *lanes = &multi->lanes;
	uint32_t counter = 1 + at / AEAD_BLOCK_LEN;
	unsigned int i = *n_queued;

	if (len <= AEAD_BLOCK_LEN) {
		lanes->key[i] = op->key;
		lanes->data[i] = op->data + at;
		lanes->len[i] = len;
		lanes->counter[i] = counter;
		lanes->nonce[0][i] = nonce_head;
		lanes->nonce[1][i] = (uint32_t)op->counter;
		lanes->nonce[2][i] = (uint32_t)(op->counter >> 32);
	} else {
		aead_multi_fill(lanes, i, op, nonce_head, counter, op->data + at, len);
		if (len > AEAD_MULTI_STRETCH * AEAD_BLOCK_LEN)
			aead_multi_fill(lanes, i + AEAD_MULTI_STRETCH, op, nonce_head,
			                counter + AEAD_MULTI_STRETCH,
			                op->data + at + AEAD_MULTI_STRETCH * AEAD_BLOCK_LEN,
			                len - AEAD_MULTI_STRETCH * AEAD_BLOCK_LEN);
	}
	*n_queued = i + (len + AEAD_BLOCK_LEN - 1) / AEAD_BLOCK_LEN;
	if (*n_queued >= AEAD_QUEUE_MAX)
		aead_multi_flush_whole(multi, kernel, n_queued);
}

/* The run of a payload that begins at data[at]. */
AEAD_MULTI_INLINE struct aead_run aead_multi_run_of(const uint8_t *key, uint64_t counter,
                                                    uint32_t nonce_head, uint8_t *data, uint32_t at)
{
	return (struct aead_run){
		.key = key,
		.data = data + at,
		.nonce = {nonce_head, (uint32_t)counter, (uint32_t)(counter >> 32)},
		.counter = 1 + at / AEAD_BLOCK_LEN,
	};
}

/* All blocks of a payload. */
AEAD_MULTI_INLINE void aead_multi_push_payload(struct aead_multi *multi,
                                               const struct aead_multi_kernel *kernel,
                                               unsigned int *n_queued, const struct aead_op *op,
                                               uint32_t nonce_head)
{
	uint32_t run_len = kernel->run_blocks * AEAD_BLOCK_LEN;
	uint32_t at = 0;

	for (; op->len - at >= run_len; at += run_len) {
		const struct aead_run run = aead_multi_run_of(op->key, op->counter, nonce_head,
		                                              op->data, at);

		aead_multi_push_run(multi, kernel, &run);
	}
	aead_multi_push_stretch(multi, kernel, n_queued, op, nonce_head, at, op->len - at);
}

/* ---- rests --------------------------------------------------------------------------------------- */

AEAD_MULTI_INLINE uint32_t aead_multi_rest_len(const struct aead_multi_kernel *kernel, uint32_t len)
{
	uint32_t run_len = kernel->run_blocks * AEAD_BLOCK_LEN;

	return len >= AEAD_HEAD_LEN ? (len - AEAD_HEAD_LEN) / run_len * run_len : 0;
}

/* All blocks of a payload but those of its rest, which is not empty. */
AEAD_MULTI_INLINE void aead_multi_push_around(struct aead_multi *multi,
                                              const struct aead_multi_kernel *kernel,
                                              unsigned int *n_queued, const struct aead_op *op,
                                              uint32_t rest_len)
{
	uint32_t end = AEAD_HEAD_LEN + rest_len;

	aead_multi_push_stretch(multi, kernel, n_queued, op, 0, 0, AEAD_HEAD_LEN);
	if (op->len > end)
		aead_multi_push_stretch(multi, kernel, n_queued, op, 0, end, op->len - end);
}

AEAD_MULTI_INLINE void aead_multi_push_rest(struct aead_multi *multi,
                                            const struct aead_multi_kernel *kernel, uint8_t *data,
                                            const struct aead_rest *rest)
{
	uint32_t run_len = kernel->run_blocks * AEAD_BLOCK_LEN;

	for (uint32_t at = 0; at < rest->len; at += run_len) {
		const struct aead_run run = aead_multi_run_of(rest->key, rest->counter, 0, data,
		                                              AEAD_HEAD_LEN + at);

		aead_multi_push_run(multi, kernel, &run);
	}
}

/* Open the rest of a payload and seal it, and seal what is around it. */
AEAD_MULTI_INLINE void aead_multi_push_over(struct aead_multi *multi,
                                            const struct aead_multi_kernel *kernel,
                                            unsigned int *n_queued, const struct aead_op *op,
                                            const struct aead_rest *rest)
{
	uint32_t run_len = kernel->run_blocks * AEAD_BLOCK_LEN;

	for (uint32_t at = AEAD_HEAD_LEN; at < AEAD_HEAD_LEN + rest->len; at += run_len) {
		const struct aead_run opening = aead_multi_run_of(rest->key, rest->counter, 0,
		                                                  op->data, at);
		const struct aead_run sealing = aead_multi_run_of(op->key, op->counter, 0, op->data,
		                                                  at);

		aead_multi_reach(multi, kernel);
		if (kernel->run_two != NULL) {
			kernel->run_two(&opening, &sealing);
			continue;
		}
		kernel->run(&opening);
		kernel->run(&sealing);
	}
	aead_multi_push_around(multi, kernel, n_queued, op, rest->len);
}

/* Hand ranks [first, first + n) to the helper, which knows no rests. */
static inline void aead_multi_help(struct aead_multi *multi, const struct aead_multi_kernel *kernel,
                                   struct aead_op *ops, const struct aead_rest *rests,
                                   unsigned int first, unsigned int n, bool opening)
{
	const uint8_t *order = &multi->order[first];

	for (unsigned int i = 0; i < n; i++)
		multi->helped[i] = ops[order[i]];
	for (unsigned int i = 0; rests != NULL && i < n; i++)
		aead_multi_push_rest(multi, kernel, ops[order[i]].data, &rests[order[i]]);
	aead_multi_flush_run(multi, kernel);
	if (opening)
		aead_ipsec_mb_ops.open(multi->helper, multi->helped, NULL, n);
	else
		aead_ipsec_mb_ops.seal(multi->helper, multi->helped, NULL, n);
	for (unsigned int i = 0; i < n; i++)
		ops[order[i]].verdict = multi->helped[i].verdict;
}

/* Returns how many packets remain; order and lengths are moved up to be of these. */
AEAD_MULTI_INLINE unsigned int aead_multi_cross_over(struct aead_multi *multi,
                                                     const struct aead_multi_kernel *kernel,
                                                     struct aead_op *ops,
                                                     const struct aead_rest *rests, unsigned int n,
                                                     bool equal, bool opening)
{
	uint32_t *len = multi->macs.len;
	unsigned int n_head = equal ? 0 : aead_crossover_head(&kernel->costs, len, n);
	unsigned int n_tail = aead_crossover_tail(&kernel->costs, len + n_head, n - n_head,
	                                          opening);

	if (n_tail != 0)
		aead_multi_help(multi, kernel, ops, rests, n - n_tail, n_tail, opening);
	n -= n_tail;
	if (n_head == 0)
		return n;
	aead_multi_help(multi, kernel, ops, rests, 0, n_head, opening);
	n -= n_head;
	memmove(multi->order, multi->order + n_head, n * sizeof(multi->order[0]));
	memmove(len, len + n_head, n * sizeof(len[0]));
	return n;
}

/* Packets by rank, well before their tags are wanted, for the reason that struct aead_lanes gives.
 * Those that are cheaper one by one are done here. Returns how many remain; order and macs are of
 * these. */
AEAD_MULTI_INLINE unsigned int aead_multi_rank(struct aead_multi *multi,
                                               const struct aead_multi_kernel *kernel,
                                               struct aead_op *ops, const struct aead_extra *extra,
                                               const struct aead_rest *rests, unsigned int n,
                                               bool opening)
{
	struct aead_macs *macs = &multi->macs;
	bool equal = aead_multi_sort(multi, kernel, ops, n);

	for (unsigned int rank = 0; rank < n; rank++)
		macs->len[rank] = ops[multi->order[rank]].len;
	if (extra == NULL && multi->helper != NULL)
		n = aead_multi_cross_over(multi, kernel, ops, rests, n, equal, opening);
	for (unsigned int rank = 0; rank < n; rank++) {
		unsigned int i = multi->order[rank];

		macs->data[rank] = ops[i].data;
		if (extra != NULL)
			macs->extra[rank] = &extra[i];
	}
	for (unsigned int rank = n; rank % kernel->costs.n_group != 0; rank++) {
		macs->data[rank] = macs->data[n - 1];
		macs->len[rank] = macs->len[n - 1];
		if (extra != NULL)
			macs->extra[rank] = macs->extra[n - 1];
	}
	return n;
}

/* ---- bursts of one length ------------------------------------------------------------------------ */

AEAD_MULTI_INLINE bool aead_multi_is_block(const struct aead_op *op)
{
	return op->len - 1 < AEAD_BLOCK_LEN;
}

/* Under load most bursts are full, and many of one length: whole calls of the kernel for their blocks 0, whole
 * groups, no ranks, and nothing that is cheaper one by one (aead_multi_cross_over() would take none). Where a
 * packet was dropped on the way the last call is not full; with payloads of a block each, and more than two
 * thirds of its lanes in use, blocks 0 and payloads apart take no call more than as one stream. */
AEAD_MULTI_INLINE bool aead_multi_is_even(const struct aead_multi_kernel *kernel,
                                          const struct aead_op *ops, unsigned int n)
{
	unsigned int rest = n % kernel->n_lanes;
	uint32_t differ = 0;

	if (n < kernel->n_lanes || ops[0].len != ops[1].len || ops[0].len != ops[2].len)
		return false;
	if ((rest != 0 || n % kernel->costs.n_group != 0)
	    && (3 * rest <= 2 * kernel->n_lanes || !aead_multi_is_block(&ops[0])))
		return false;
	for (unsigned int i = 0; i < n; i++)
		differ |= ops[i].len ^ ops[0].len;
	return differ == 0;
}

/* aead_multi_rank() and aead_multi_push_keys() for them. */
AEAD_MULTI_INLINE void aead_multi_line_up(struct aead_multi *multi,
                                          const struct aead_multi_kernel *kernel,
                                          unsigned int *n_queued, const struct aead_op *ops,
                                          unsigned int n)
{
	struct aead_lanes *lanes = &multi->lanes;
	struct aead_macs *macs = &multi->macs;
	uint32_t len = ops[0].len;

	for (unsigned int i = 0; i < AEAD_BURST_MAX; i++)
		multi->order[i] = (uint8_t)i;
	for (unsigned int first = 0; first < n; first += 8) {
		for (unsigned int i = first; i < first + 8; i++) {
			lanes->data[i] = macs->otk[i];
			lanes->len[i] = AEAD_OTK_LEN;
			lanes->counter[i] = 0;
			lanes->nonce[0][i] = 0;
			macs->len[i] = len;
		}
	}
	for (unsigned int i = 0; i < n; i++) {
		const struct aead_op *op = &ops[i];

		macs->data[i] = op->data;
		lanes->key[i] = op->key;
		lanes->nonce[1][i] = (uint32_t)op->counter;
		lanes->nonce[2][i] = (uint32_t)(op->counter >> 32);
	}
	for (unsigned int i = n; i % kernel->costs.n_group != 0; i++) {
		macs->data[i] = macs->data[n - 1];
		macs->len[i] = len;
	}
	*n_queued = n;
}

/* Their payloads, a block each, when all blocks 0 are done: keys and nonces are still in the lanes. */
AEAD_MULTI_INLINE void aead_multi_push_blocks(struct aead_multi *multi, unsigned int *n_queued,
                                              const struct aead_op *ops, unsigned int n)
{
	struct aead_lanes *lanes = &multi->lanes;
	uint32_t len = ops[0].len;

	for (unsigned int first = 0; first < n; first += 8) {
		for (unsigned int i = first; i < first + 8; i++) {
			lanes->len[i] = len;
			lanes->counter[i] = 1;
		}
	}
	for (unsigned int i = 0; i < n; i++)
		lanes->data[i] = ops[i].data;
	*n_queued = n;
}

/* ---- sealing and opening ------------------------------------------------------------------------- */

/* rests: NULL or of ops[n]. */
AEAD_MULTI_INLINE void aead_multi_push_sealed(struct aead_multi *multi,
                                              const struct aead_multi_kernel *kernel,
                                              unsigned int *n_queued, const struct aead_op *ops,
                                              const struct aead_extra *extra,
                                              const struct aead_rest *rests, unsigned int n)
{
	for (unsigned int rank = 0; rank < n; rank++) {
		unsigned int i = multi->order[rank];

		if (rests != NULL && rests[i].len != 0)
			aead_multi_push_over(multi, kernel, n_queued, &ops[i], &rests[i]);
		else
			aead_multi_push_payload(multi, kernel, n_queued, &ops[i],
			                        aead_multi_nonce_head(extra, i));
	}
}

/* Those that are authentic. leaves_rests: returns of which the rest is left, a bit each. */
AEAD_MULTI_INLINE uint64_t aead_multi_push_opened(struct aead_multi *multi,
                                                  const struct aead_multi_kernel *kernel,
                                                  unsigned int *n_queued, const struct aead_op *ops,
                                                  const struct aead_extra *extra, unsigned int n,
                                                  bool leaves_rests)
{
	uint64_t left = 0;

	for (unsigned int rank = n; rank-- > 0;) {
		unsigned int i = multi->order[rank];
		uint32_t rest_len = leaves_rests ? aead_multi_rest_len(kernel, ops[i].len) : 0;

		if (ops[i].verdict != AEAD_OK)
			continue;
		if (rest_len != 0)
			aead_multi_push_around(multi, kernel, n_queued, &ops[i], rest_len);
		else
			aead_multi_push_payload(multi, kernel, n_queued, &ops[i],
			                        aead_multi_nonce_head(extra, i));
		left |= (uint64_t)(rest_len != 0) << i;
	}
	return left;
}

AEAD_MULTI_INLINE void aead_multi_authenticate(struct aead_multi *multi,
                                               const struct aead_multi_kernel *kernel,
                                               const struct aead_extra *extra, unsigned int n,
                                               bool opening)
{
	bool has_aad = false;

	multi->macs.backward = !opening;
	for (unsigned int i = 0; extra != NULL && i < n; i++)
		has_aad = has_aad || multi->macs.extra[i]->aad_len != 0;
	for (unsigned int i = 0; kernel->lanes_two != NULL && i < n; i += kernel->n_lanes)
		aead_multi_reach(multi, kernel);
	if (!has_aad)
		kernel->poly(&multi->macs, n);
	else
		kernel->poly_extra(&multi->macs, n);
}

AEAD_MULTI_INLINE void aead_multi__seal(struct aead_multi *multi,
                                        const struct aead_multi_kernel *kernel, struct aead_op *ops,
                                        const struct aead_extra *extra,
                                        const struct aead_rest *rests, unsigned int n)
{
	unsigned int n_queued = 0;
	bool is_even;

	aead_multi_reach_begin(multi, ops, n);
	if (n <= AEAD_MULTI_FEW && extra == NULL && multi->helper != NULL) {
		aead_reach(ops, n);
		for (unsigned int i = 0; rests != NULL && i < n; i++)
			aead_multi_push_rest(multi, kernel, ops[i].data, &rests[i]);
		aead_multi_flush_run(multi, kernel);
		aead_ipsec_mb_ops.seal(multi->helper, ops, NULL, n);
		return;
	}
	is_even = extra == NULL && aead_multi_is_even(kernel, ops, n);
	if (is_even) {
		aead_multi_line_up(multi, kernel, &n_queued, ops, n);
		aead_multi_flush(multi, kernel, &n_queued);
	} else {
		n = aead_multi_rank(multi, kernel, ops, extra, rests, n, false);
		if (n == 0)
			return;
		aead_multi_push_keys(multi, &n_queued, ops, extra, n);
	}
	if (is_even && aead_multi_is_block(&ops[0]))
		aead_multi_push_blocks(multi, &n_queued, ops, n);
	else
		aead_multi_push_sealed(multi, kernel, &n_queued, ops, extra, rests, n);
	aead_multi_flush(multi, kernel, &n_queued);
	aead_multi_authenticate(multi, kernel, extra, n, false);
	for (unsigned int rank = 0; rank < n; rank++) {
		struct aead_op *op = &ops[multi->order[rank]];

		memcpy(op->data + op->len, multi->macs.tag[rank], AEAD_TAG_LEN);
		op->verdict = AEAD_OK;
	}
	base_wipe(multi->macs.otk, n * sizeof(multi->macs.otk[0]));
}

/* A test that watches secrets (tests/unit/aead/constant_time.c) is told here what is none. */
#ifndef AEAD_MULTI_PUBLIC
#define AEAD_MULTI_PUBLIC(p, len)
#endif

/* No branch on the tags; the verdict is public. */
AEAD_MULTI_INLINE uint32_t aead_multi_verdict(const uint8_t *a, const uint8_t *b)
{
	uint64_t diff = (base_load_le64(a) ^ base_load_le64(b))
	                | (base_load_le64(a + 8) ^ base_load_le64(b + 8));
	uint32_t differs = (uint32_t)((diff | (0 - diff)) >> 63);

	_Static_assert(AEAD_OK == 0 && AEAD_FORGED == 1, "the verdict is whether they differ");
	AEAD_MULTI_PUBLIC(&differs, sizeof(differs));
	return differs;
}

AEAD_MULTI_INLINE uint64_t aead_multi__open(struct aead_multi *multi,
                                            const struct aead_multi_kernel *kernel,
                                            struct aead_op *ops, const struct aead_extra *extra,
                                            unsigned int n, bool leaves_rests)
{
	uint64_t left = 0;
	unsigned int n_queued = 0;
	uint32_t n_forged = 0;
	bool is_even;

	aead_multi_reach_begin(multi, ops, n);
	if (n <= AEAD_MULTI_FEW && extra == NULL && multi->helper != NULL) {
		aead_reach(ops, n);
		aead_ipsec_mb_ops.open(multi->helper, ops, NULL, n);
		return 0;
	}
	is_even = extra == NULL && aead_multi_is_even(kernel, ops, n);
	if (is_even) {
		aead_multi_line_up(multi, kernel, &n_queued, ops, n);
	} else {
		n = aead_multi_rank(multi, kernel, ops, extra, NULL, n, true);
		if (n == 0)
			return 0;
		aead_multi_push_keys(multi, &n_queued, ops, extra, n);
	}
	aead_multi_flush(multi, kernel, &n_queued);
	aead_multi_authenticate(multi, kernel, extra, n, true);
	for (unsigned int rank = 0; rank < n; rank++) {
		struct aead_op *op = &ops[multi->order[rank]];

		op->verdict = aead_multi_verdict(op->data + op->len, multi->macs.tag[rank]);
		n_forged += op->verdict;
	}
	if (is_even && n_forged == 0 && aead_multi_is_block(&ops[0]))
		aead_multi_push_blocks(multi, &n_queued, ops, n);
	else
		left = aead_multi_push_opened(multi, kernel, &n_queued, ops, extra, n,
		                              leaves_rests);
	aead_multi_flush(multi, kernel, &n_queued);
	base_wipe(multi->macs.otk, n * sizeof(multi->macs.otk[0]));
	return left;
}

/* ---- what a backend's ops call ------------------------------------------------------------------- */

/* Make a context whose label says name. Returns 0 or -ENOMEM. */
int aead_multi_create(const char *name, void **context, char label[static AEAD_LABEL_LEN]);
void aead_multi_destroy(void *context);

/* WireGuard's packets have nothing extra: for them the compiler makes a function without it. */
AEAD_MULTI_INLINE void aead_multi_seal(void *context, const struct aead_multi_kernel *kernel,
                                       struct aead_op *ops, const struct aead_extra *extra,
                                       unsigned int n)
{
	if (extra == NULL)
		aead_multi__seal((struct aead_multi *)context, kernel, ops, NULL, NULL, n);
	else
		aead_multi__seal((struct aead_multi *)context, kernel, ops, extra, NULL, n);
}

AEAD_MULTI_INLINE void aead_multi_open(void *context, const struct aead_multi_kernel *kernel,
                                       struct aead_op *ops, const struct aead_extra *extra,
                                       unsigned int n)
{
	if (extra == NULL)
		(void)aead_multi__open((struct aead_multi *)context, kernel, ops, NULL, n, false);
	else
		(void)aead_multi__open((struct aead_multi *)context, kernel, ops, extra, n, false);
}

AEAD_MULTI_INLINE void aead_multi_open_rests(void *context, const struct aead_multi_kernel *kernel,
                                             uint8_t *const *data, const struct aead_rest *rests,
                                             unsigned int n)
{
	struct aead_multi *multi = (struct aead_multi *)context;

	multi->n_reach = 0;
	for (unsigned int i = 0; i < n; i++)
		aead_multi_push_rest(multi, kernel, data[i], &rests[i]);
	aead_multi_flush_run(multi, kernel);
}

AEAD_MULTI_INLINE void aead_multi_seal_over(void *context, const struct aead_multi_kernel *kernel,
                                            struct aead_op *ops, const struct aead_rest *rests,
                                            unsigned int n)
{
	aead_multi__seal((struct aead_multi *)context, kernel, ops, NULL, rests, n);
}

AEAD_MULTI_INLINE uint64_t aead_multi_open_head(void *context,
                                                const struct aead_multi_kernel *kernel,
                                                struct aead_op *ops, unsigned int n)
{
	return aead_multi__open((struct aead_multi *)context, kernel, ops, NULL, n, true);
}

#endif

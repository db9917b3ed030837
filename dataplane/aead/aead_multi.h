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
	void (*lanes)(const struct aead_lanes *lanes, unsigned int first);
	void (*lanes_short)(const struct aead_lanes *lanes, unsigned int first);
	void (*run)(const uint8_t *key, const uint32_t *nonce, uint32_t counter, uint8_t *data,
	            size_t n_runs);
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
};

#define AEAD_MULTI_INLINE static inline __attribute__((always_inline))

/* A rank is the number of packets that come before; with n <= 64 counting is faster than sorting, for
 * there is nothing to mispredict. Returns whether all are of one length. */
AEAD_MULTI_INLINE bool aead_multi_sort(struct aead_multi *multi, const struct aead_op *ops,
                                       unsigned int n)
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
	for (unsigned int i = 0; i < n; i++) {
		uint16_t mine = multi->sort_key[i];
		uint16_t rank = 0;

		for (unsigned int j = 0; j < AEAD_BURST_MAX; j++)
			rank = (uint16_t)(rank + (multi->sort_key[j] > mine));
		multi->order[rank] = (uint8_t)i;
	}
	return false;
}

/* Work off what is queued. *n_queued: lanes filled; a variable of the caller, so that it can stay in a
 * register. */
AEAD_MULTI_INLINE void aead_multi_flush(struct aead_multi *multi,
                                        const struct aead_multi_kernel *kernel,
                                        unsigned int *n_queued)
{
	struct aead_lanes *lanes = &multi->lanes;
	unsigned int n = *n_queued;
	unsigned int first = 0;

	for (; n - first >= kernel->n_lanes; first += kernel->n_lanes)
		kernel->lanes(lanes, first);
	*n_queued = 0;
	if (first == n)
		return;
	for (unsigned int i = n; i < first + kernel->n_lanes; i++) {
		lanes->key[i] = lanes->key[first];
		lanes->data[i] = lanes->data[first];
		lanes->len[i] = 0;
	}
	if (n - first <= kernel->n_short)
		kernel->lanes_short(lanes, first);
	else
		kernel->lanes(lanes, first);
}

AEAD_MULTI_INLINE void aead_multi_push(struct aead_multi *multi,
                                       const struct aead_multi_kernel *kernel,
                                       unsigned int *n_queued, const struct aead_op *op,
                                       uint32_t nonce_head, uint32_t counter, uint8_t *data,
                                       uint32_t len)
{
	struct aead_lanes *lanes = &multi->lanes;
	unsigned int i = *n_queued;

	lanes->key[i] = op->key;
	lanes->data[i] = data;
	lanes->len[i] = len;
	lanes->counter[i] = counter;
	lanes->nonce[0][i] = nonce_head;
	lanes->nonce[1][i] = (uint32_t)op->counter;
	lanes->nonce[2][i] = (uint32_t)(op->counter >> 32);
	*n_queued = i + 1;
	if (i + 1 == AEAD_QUEUE_MAX)
		aead_multi_flush(multi, kernel, n_queued);
}

AEAD_MULTI_INLINE uint32_t aead_multi_nonce_head(const struct aead_extra *extra, unsigned int i)
{
	return extra == NULL ? 0 : base_load_le32(extra[i].nonce_head);
}

/* Block 0 of each packet: zeros XORed with it become the one-time key. */
AEAD_MULTI_INLINE void aead_multi_push_keys(struct aead_multi *multi,
                                            const struct aead_multi_kernel *kernel,
                                            unsigned int *n_queued, const struct aead_op *ops,
                                            const struct aead_extra *extra, unsigned int n)
{
	for (unsigned int rank = 0; rank < n; rank++) {
		unsigned int i = multi->order[rank];

		aead_multi_push(multi, kernel, n_queued, &ops[i], aead_multi_nonce_head(extra, i),
		                0, multi->macs.otk[rank], AEAD_OTK_LEN);
	}
}

/* All blocks of a payload, from block 1 on. */
AEAD_MULTI_INLINE void aead_multi_push_payload(struct aead_multi *multi,
                                               const struct aead_multi_kernel *kernel,
                                               unsigned int *n_queued, const struct aead_op *op,
                                               uint32_t nonce_head)
{
	uint32_t run_len = kernel->run_blocks * AEAD_BLOCK_LEN;
	uint32_t n_runs = op->len / run_len;
	uint32_t counter = 1;
	uint32_t at = 0;

	if (n_runs != 0) {
		const uint32_t nonce[3] = {nonce_head, (uint32_t)op->counter,
		                           (uint32_t)(op->counter >> 32)};

		kernel->run(op->key, nonce, counter, op->data, n_runs);
		counter += n_runs * kernel->run_blocks;
		at = n_runs * run_len;
	}
	for (; at < op->len; at += AEAD_BLOCK_LEN) {
		uint32_t left = op->len - at;

		aead_multi_push(multi, kernel, n_queued, op, nonce_head, counter++, op->data + at,
		                left < AEAD_BLOCK_LEN ? left : AEAD_BLOCK_LEN);
	}
}

/* Hand ranks [first, first + n) to the helper. */
static inline void aead_multi_help(struct aead_multi *multi, struct aead_op *ops,
                                   unsigned int first, unsigned int n, bool opening)
{
	const uint8_t *order = &multi->order[first];

	for (unsigned int i = 0; i < n; i++)
		multi->helped[i] = ops[order[i]];
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
                                                     struct aead_op *ops, unsigned int n,
                                                     bool equal, bool opening)
{
	uint32_t *len = multi->macs.len;
	unsigned int n_head = equal ? 0 : aead_crossover_head(&kernel->costs, len, n);
	unsigned int n_tail = aead_crossover_tail(&kernel->costs, len + n_head, n - n_head,
	                                          opening);

	if (n_tail != 0)
		aead_multi_help(multi, ops, n - n_tail, n_tail, opening);
	n -= n_tail;
	if (n_head == 0)
		return n;
	aead_multi_help(multi, ops, 0, n_head, opening);
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
                                               unsigned int n, bool opening)
{
	struct aead_macs *macs = &multi->macs;
	bool equal = aead_multi_sort(multi, ops, n);

	for (unsigned int rank = 0; rank < n; rank++)
		macs->len[rank] = ops[multi->order[rank]].len;
	if (extra == NULL && multi->helper != NULL)
		n = aead_multi_cross_over(multi, kernel, ops, n, equal, opening);
	for (unsigned int rank = 0; rank < n; rank++) {
		unsigned int i = multi->order[rank];

		macs->data[rank] = ops[i].data;
		macs->extra[rank] = extra == NULL ? NULL : &extra[i];
	}
	for (unsigned int rank = n; rank % kernel->costs.n_group != 0; rank++) {
		macs->data[rank] = macs->data[n - 1];
		macs->len[rank] = macs->len[n - 1];
		macs->extra[rank] = macs->extra[n - 1];
	}
	return n;
}

AEAD_MULTI_INLINE void aead_multi_authenticate(struct aead_multi *multi,
                                               const struct aead_multi_kernel *kernel,
                                               const struct aead_extra *extra, unsigned int n)
{
	bool has_aad = false;

	for (unsigned int i = 0; extra != NULL && i < n; i++)
		has_aad = has_aad || multi->macs.extra[i]->aad_len != 0;
	if (!has_aad)
		kernel->poly(&multi->macs, n);
	else
		kernel->poly_extra(&multi->macs, n);
}

AEAD_MULTI_INLINE void aead_multi_seal(struct aead_multi *multi,
                                       const struct aead_multi_kernel *kernel, struct aead_op *ops,
                                       const struct aead_extra *extra, unsigned int n)
{
	unsigned int n_queued = 0;

	if (n <= AEAD_MULTI_FEW && extra == NULL && multi->helper != NULL) {
		aead_ipsec_mb_ops.seal(multi->helper, ops, NULL, n);
		return;
	}
	n = aead_multi_rank(multi, kernel, ops, extra, n, false);
	if (n == 0)
		return;
	aead_multi_push_keys(multi, kernel, &n_queued, ops, extra, n);
	for (unsigned int rank = 0; rank < n; rank++) {
		unsigned int i = multi->order[rank];

		aead_multi_push_payload(multi, kernel, &n_queued, &ops[i],
		                        aead_multi_nonce_head(extra, i));
	}
	aead_multi_flush(multi, kernel, &n_queued);
	aead_multi_authenticate(multi, kernel, extra, n);
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

AEAD_MULTI_INLINE void aead_multi_open(struct aead_multi *multi,
                                       const struct aead_multi_kernel *kernel, struct aead_op *ops,
                                       const struct aead_extra *extra, unsigned int n)
{
	unsigned int n_queued = 0;

	if (n <= AEAD_MULTI_FEW && extra == NULL && multi->helper != NULL) {
		aead_ipsec_mb_ops.open(multi->helper, ops, NULL, n);
		return;
	}
	n = aead_multi_rank(multi, kernel, ops, extra, n, true);
	if (n == 0)
		return;
	aead_multi_push_keys(multi, kernel, &n_queued, ops, extra, n);
	aead_multi_flush(multi, kernel, &n_queued);
	aead_multi_authenticate(multi, kernel, extra, n);
	for (unsigned int rank = 0; rank < n; rank++) {
		struct aead_op *op = &ops[multi->order[rank]];

		op->verdict = aead_multi_verdict(op->data + op->len, multi->macs.tag[rank]);
	}
	for (unsigned int rank = 0; rank < n; rank++) {
		unsigned int i = multi->order[rank];

		if (ops[i].verdict == AEAD_OK)
			aead_multi_push_payload(multi, kernel, &n_queued, &ops[i],
			                        aead_multi_nonce_head(extra, i));
	}
	aead_multi_flush(multi, kernel, &n_queued);
	base_wipe(multi->macs.otk, n * sizeof(multi->macs.otk[0]));
}

#endif

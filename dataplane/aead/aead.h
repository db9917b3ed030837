/* ChaCha20-Poly1305 (RFC 8439 2.8) over a burst of packets of mixed keys and sizes, with the
 * WireGuard nonce: 4 zero bytes, then the 64-bit counter, little endian (whitepaper 5.4.6).
 * No additional data. Everything happens in place. */
#ifndef AEAD_H
#define AEAD_H

#include <stddef.h>
#include <stdint.h>

#define AEAD_KEY_LEN   32
#define AEAD_TAG_LEN   16
#define AEAD_BURST_MAX 64
#define AEAD_LEN_MAX   9600 /* payload bytes */

enum aead_verdict {
	AEAD_OK = 0,
	AEAD_FORGED = 1, /* tag does not fit */
	AEAD_ERROR =
		2, /* backend failed or len > AEAD_LEN_MAX; buffer as it was, or not to be used */
};

/* One packet. data[len] is the payload, data[len .. len + 15] the tag: written by seal, read by
 * open. Any alignment. Buffers of one burst do not overlap. */
struct aead_op {
	uint8_t *data;
	const uint8_t *key; /* 32 bytes, borrowed for the call */
	uint64_t counter;
	uint32_t len;     /* payload bytes without the tag, 0 .. AEAD_LEN_MAX */
	uint32_t verdict; /* out: enum aead_verdict */
	/* Cache lines that the caller reads next: reached for while the cipher runs, a few at a time,
	 * since a core has room for some two dozen waits, and the cipher's own loads wait behind them.
	 * In all ops of a burst or in none: NULL in the first. Not dereferenced. */
	const void *after[2];
};

enum aead_backend {
	AEAD_BACKEND_AUTO = 0, /* the fastest that passes its self-test */
	AEAD_BACKEND_IPSEC_MB = 1,
	AEAD_BACKEND_SODIUM = 2,
	AEAD_BACKEND_AVX512 = 3, /* multi-packet, needs IFMA and VBMI2 */
	AEAD_BACKEND_AVX2 = 4,   /* multi-packet */
	AEAD_N_BACKENDS
};

struct aead; /* one thread's context */

/* Make a context with one backend. Runs the backend's known-answer self-test first; AUTO falls
 * back to the next backend when one is absent or fails, a named one does not.
 * Returns 0, -ENOTSUP (CPU or library cannot), -EIO (self-test failed), -ENOMEM.
 * Caller: aead_destroy(). Thread: the context belongs to one thread at a time. */
int aead_create(enum aead_backend backend, struct aead **out) __attribute__((warn_unused_result));
void aead_destroy(struct aead *aead); /* NULL is fine; wipes key material */

/* Backend, its version and what it runs on, e.g. "ipsec-mb 1.3.0 avx512"; borrowed until
 * aead_destroy(). */
const char *aead_name(const struct aead *aead);

/* Name in configuration ("auto", "avx512", "avx2", "ipsec-mb", "sodium") to backend; returns 0 or -EINVAL. */
int aead_backend_parse(const char *text, enum aead_backend *out)
	__attribute__((warn_unused_result));

/* Seal ops[n], n <= AEAD_BURST_MAX: encrypt data[len] in place, write the tag behind it. All
 * verdicts are AEAD_OK unless the backend fails. No allocation. */
void aead_seal(struct aead *aead, struct aead_op *ops, unsigned int n);

/* Open ops[n]: verify the tags, decrypt in place those that fit. The buffer of a forged packet is
 * not to be used: a backend may have decrypted it. Verdicts are per packet; a forgery does not
 * disturb its neighbours. */
void aead_open(struct aead *aead, struct aead_op *ops, unsigned int n);

/* ---- opened for who seals it again ----
 *
 * Of a long packet that is opened to be sealed for somebody else, nobody reads more than the head. So the rest can
 * stay as it came until then, and both keystreams are taken at once: a way over the payload less, and half of the
 * work to bring keystreams into the order of bytes. (Both are XORed, so their order does not matter.) */

#define AEAD_HEAD_LEN  128U
#define AEAD_REST_UNIT 512U /* a rest is a multiple of this */

/* Bytes [AEAD_HEAD_LEN, AEAD_HEAD_LEN + len) of a payload are still encrypted, by the message that it came in. */
struct aead_rest {
	const uint8_t *key; /* 32 bytes, borrowed for the call */
	uint64_t counter;
	uint32_t len; /* 0 = nothing is; else what aead_rest_len() said, with this backend */
};

/* As aead_open(), but of some packets whose tag fits a rest stays encrypted, aead_rest_len() bytes. Returns which:
 * a bit each. How many there are is the backend's choice: short ones never, of some backends none. */
uint64_t aead_open_head(struct aead *aead, struct aead_op *ops, unsigned int n)
	__attribute__((warn_unused_result));

/* Bytes of the rest of a payload of len bytes, if it has one. */
uint32_t aead_rest_len(const struct aead *aead, uint32_t len);

/* Decrypt what is left of the payloads data[n], which are authentic: rests[n]. Several at once are faster. */
void aead_open_rests(struct aead *aead, uint8_t *const *data, const struct aead_rest *rests,
                     unsigned int n);

/* As aead_seal() of what the payloads are when their rests are decrypted: rests[n]. Each lies within len. */
void aead_seal_over(struct aead *aead, struct aead_op *ops, const struct aead_rest *rests,
                    unsigned int n);

/* Reach for the lines behind ops[n] now and forget them: before another core runs the cipher. */
static inline void aead_reach(struct aead_op *ops, unsigned int n)
{
	if (n == 0 || ops[0].after[0] == NULL)
		return;
	for (unsigned int i = 0; i < n; i++) {
		__builtin_prefetch(ops[i].after[0]);
		__builtin_prefetch(ops[i].after[1]);
		ops[i].after[0] = NULL;
	}
}

#endif

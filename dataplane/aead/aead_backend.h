/* What a backend is to aead.c: two functions over a burst and how to make and name its context.
 * Private to this folder and to the tests and benches that ask for one backend by itself.
 *
 * To add one: write its struct aead_backend_ops, declare it below, give it a value in enum
 * aead_backend and a place in the lists of aead.c. The self-test and all tests then apply to it. */
#ifndef AEAD_BACKEND_H
#define AEAD_BACKEND_H

#include "aead.h"

#define AEAD_LABEL_LEN 64

/* What WireGuard's transport nonce and missing additional data leave out of ChaCha20-Poly1305. The
 * product always passes NULL; with it published test vectors can be run through each backend. */
struct aead_extra {
	uint8_t nonce_head[4]; /* before the counter; zero in WireGuard */
	const uint8_t *aad;    /* aad[aad_len], borrowed for the call */
	size_t aad_len;
};

struct aead_backend_ops {
	const char *name; /* as in the configuration */

	/* Make a context. label gets name, version and what it runs on.
	 * Returns 0, -ENOTSUP (CPU or library cannot) or -ENOMEM. */
	int (*create)(void **context, char label[static AEAD_LABEL_LEN]);
	void (*destroy)(void *context); /* wipes first */

	/* As aead_seal() and aead_open(), with 1 <= n <= AEAD_BURST_MAX and each len <= AEAD_LEN_MAX:
	 * aead.c has seen to that. extra is NULL or extra[n]. Every verdict is written: one that the
	 * backend cannot give is AEAD_ERROR. The payload of a forged packet must not be left as
	 * plaintext that nobody vouched for: wiped, or never decrypted. */
	void (*seal)(void *context, struct aead_op *ops, const struct aead_extra *extra,
	             unsigned int n);
	void (*open)(void *context, struct aead_op *ops, const struct aead_extra *extra,
	             unsigned int n);

	/* As aead_open_head(), aead_open_rests() and aead_seal_over(), and the unit of rests; all four or
	 * none. */
	uint64_t (*open_head)(void *context, struct aead_op *ops, unsigned int n);
	void (*open_rests)(void *context, uint8_t *const *data, const struct aead_rest *rests,
	                   unsigned int n);
	void (*seal_over)(void *context, struct aead_op *ops, const struct aead_rest *rests,
	                  unsigned int n);
	uint32_t rest_unit; /* bytes, a multiple of AEAD_REST_UNIT */
};

extern const struct aead_backend_ops aead_avx2_ops;
extern const struct aead_backend_ops aead_avx512_ops;
extern const struct aead_backend_ops aead_ipsec_mb_ops;
extern const struct aead_backend_ops aead_sodium_ops;

/* The backend of a named choice; NULL for AUTO and values out of range. */
const struct aead_backend_ops *aead__backend_ops(enum aead_backend backend);

/* aead_create() over a list: the first of list[n] that can be made and passes its self-test.
 * Returns 0, or the error of the last one. */
int aead__create_first(const struct aead_backend_ops *const *list, unsigned int n,
                       struct aead **out) __attribute__((warn_unused_result));

/* aead_seal() and aead_open() with a full nonce and additional data, extra[n]. */
void aead__seal_extra(struct aead *aead, struct aead_op *ops, const struct aead_extra *extra,
                      unsigned int n);
void aead__open_extra(struct aead *aead, struct aead_op *ops, const struct aead_extra *extra,
                      unsigned int n);

/* Known answers of RFC 8439 ChaCha20-Poly1305 in both directions, alone and as one burst, and
 * forged tags and payloads among good ones. Returns 0, -EIO or -ENOMEM. Cost: about 1 ms. */
int aead__selftest(const struct aead_backend_ops *ops, void *context)
	__attribute__((warn_unused_result));

#endif

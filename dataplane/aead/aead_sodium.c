/* The reference backend: libsodium, one packet after the other. Slow (2.5 times ipsec-mb at 64
 * bytes, 3 times at 1420) and on every CPU; every other backend is tested against it. */
#include "aead_backend.h"
#include "base_bytes.h"

#include <sodium.h>

#include <errno.h>
#include <stdio.h>

static int sodium_create(void **context, char label[static AEAD_LABEL_LEN])
{
	if (sodium_init() < 0)
		return -ENOTSUP;
	*context = NULL; /* nothing to keep */
	snprintf(label, AEAD_LABEL_LEN, "sodium %s", sodium_version_string());
	return 0;
}

static void sodium_destroy(void *context)
{
	(void)context;
}

static void make_nonce(uint8_t nonce[static 12], const struct aead_op *op,
                       const struct aead_extra *extra)
{
	memset(nonce, 0, 4);
	if (extra != NULL)
		memcpy(nonce, extra->nonce_head, 4);
	base_store_le64(nonce + 4, op->counter);
}

static void sodium_seal(void *context, struct aead_op *ops, const struct aead_extra *extra,
                        unsigned int n)
{
	(void)context;
	for (unsigned int i = 0; i < n; i++) {
		struct aead_op *op = &ops[i];
		const struct aead_extra *more = extra == NULL ? NULL : &extra[i];
		uint8_t nonce[12];

		make_nonce(nonce, op, more);
		crypto_aead_chacha20poly1305_ietf_encrypt_detached(op->data, op->data + op->len,
		                                                   NULL, op->data, op->len,
		                                                   more == NULL ? NULL : more->aad,
		                                                   more == NULL ? 0 : more->aad_len,
		                                                   NULL, nonce, op->key);
		op->verdict = AEAD_OK;
	}
}

/* libsodium verifies first and zeroes the payload when the tag does not fit. */
static void sodium_open(void *context, struct aead_op *ops, const struct aead_extra *extra,
                        unsigned int n)
{
	(void)context;
	for (unsigned int i = 0; i < n; i++) {
		struct aead_op *op = &ops[i];
		const struct aead_extra *more = extra == NULL ? NULL : &extra[i];
		uint8_t nonce[12];
		int err;

		make_nonce(nonce, op, more);
		err = crypto_aead_chacha20poly1305_ietf_decrypt_detached(
			op->data, NULL, op->data, op->len, op->data + op->len,
			more == NULL ? NULL : more->aad, more == NULL ? 0 : more->aad_len, nonce,
			op->key);
		op->verdict = err == 0 ? AEAD_OK : AEAD_FORGED;
	}
}

const struct aead_backend_ops aead_sodium_ops = {
	.name = "sodium",
	.create = sodium_create,
	.destroy = sodium_destroy,
	.seal = sodium_seal,
	.open = sodium_open,
};

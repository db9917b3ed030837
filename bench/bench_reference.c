#include "bench_reference.h"

#include <intel-ipsec-mb.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct bench_reference {
	IMB_MGR *manager;
	uint8_t nonce[AEAD_BURST_MAX][16];
	uint8_t tag[AEAD_BURST_MAX][AEAD_TAG_LEN];
};

int bench_reference_create(struct bench_reference **out)
{
	struct bench_reference *reference = calloc(1, sizeof(*reference));
	IMB_ARCH arch = IMB_ARCH_NONE;

	if (reference == NULL)
		return -ENOMEM;
	reference->manager = alloc_mb_mgr(0);
	if (reference->manager == NULL) {
		free(reference);
		return -ENOMEM;
	}
	init_mb_mgr_auto(reference->manager, &arch);
	if (imb_get_errno(reference->manager) != 0 || arch == IMB_ARCH_NONE) {
		bench_reference_destroy(reference);
		return -ENOTSUP;
	}
	*out = reference;
	return 0;
}

void bench_reference_destroy(struct bench_reference *reference)
{
	if (reference == NULL)
		return;
	free_mb_mgr(reference->manager);
	free(reference);
}

static inline IMB_JOB *submit(struct bench_reference *reference, const struct aead_op *op,
                              unsigned int i, IMB_CIPHER_DIRECTION direction, uint8_t *tag)
{
	IMB_JOB *job = IMB_GET_NEXT_JOB(reference->manager);

	memcpy(reference->nonce[i] + 4, &op->counter, sizeof(op->counter));
	job->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
	job->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
	job->cipher_direction = direction;
	job->chain_order = direction == IMB_DIR_ENCRYPT ? IMB_ORDER_CIPHER_HASH
	                                                : IMB_ORDER_HASH_CIPHER;
	job->enc_keys = op->key;
	job->dec_keys = op->key;
	job->key_len_in_bytes = AEAD_KEY_LEN;
	job->src = op->data;
	job->dst = op->data;
	job->cipher_start_src_offset_in_bytes = 0;
	job->hash_start_src_offset_in_bytes = 0;
	job->msg_len_to_cipher_in_bytes = op->len;
	job->msg_len_to_hash_in_bytes = op->len;
	job->iv = reference->nonce[i];
	job->iv_len_in_bytes = 12;
	job->u.CHACHA20_POLY1305.aad = NULL;
	job->u.CHACHA20_POLY1305.aad_len_in_bytes = 0;
	job->auth_tag_output = tag;
	job->auth_tag_output_len_in_bytes = AEAD_TAG_LEN;
	return IMB_SUBMIT_JOB_NOCHECK(reference->manager);
}

/* Jobs of this cipher come back from their own submission; one that does not is an error here. */
void bench_reference_seal(struct bench_reference *reference, struct aead_op *ops, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		struct aead_op *op = &ops[i];
		const IMB_JOB *done = submit(reference, op, i, IMB_DIR_ENCRYPT, op->data + op->len);

		op->verdict = done != NULL && done->status == IMB_STATUS_COMPLETED ? AEAD_OK
		                                                                   : AEAD_ERROR;
	}
}

void bench_reference_open(struct bench_reference *reference, struct aead_op *ops, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		struct aead_op *op = &ops[i];
		const uint8_t *tag = reference->tag[i];
		const IMB_JOB *done = submit(reference, op, i, IMB_DIR_DECRYPT, reference->tag[i]);

		if (done == NULL || done->status != IMB_STATUS_COMPLETED)
			op->verdict = AEAD_ERROR;
		else
			op->verdict = memcmp(tag, op->data + op->len, AEAD_TAG_LEN) == 0
			                      ? AEAD_OK
			                      : AEAD_FORGED;
	}
}

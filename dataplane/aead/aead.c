/* The front of aead: chooses a backend, tests it before it may touch a packet, and keeps from it
 * what it need not check itself. The cryptography is in aead_<backend>.c. */
#include "aead.h"

#include "aead_backend.h"
#include "base_bytes.h"
#include "base_log.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct aead {
	const struct aead_backend_ops *ops;
	void *context;
	char label[AEAD_LABEL_LEN];
};

static const struct aead_backend_ops *const backend_ops[AEAD_N_BACKENDS] = {
	[AEAD_BACKEND_AUTO] = NULL,
	[AEAD_BACKEND_IPSEC_MB] = &aead_ipsec_mb_ops,
	[AEAD_BACKEND_SODIUM] = &aead_sodium_ops,
	[AEAD_BACKEND_AVX512] = &aead_avx512_ops,
	[AEAD_BACKEND_AVX2] = &aead_avx2_ops,
};

/* What AUTO tries, fastest first (figures in bench/README.md): avx2 is faster than the AVX2 code of
 * ipsec-mb at every size. CPUs with AVX-512 but without IFMA or VBMI2 take it too; there it has not been
 * measured against ipsec-mb's AVX-512 code. The last one runs on every CPU. */
static const struct aead_backend_ops *const auto_order[] = {
	&aead_avx512_ops,
	&aead_avx2_ops,
	&aead_ipsec_mb_ops,
	&aead_sodium_ops,
};

static int create_one(const struct aead_backend_ops *ops, struct aead **out)
{
	struct aead *aead = calloc(1, sizeof(*aead));
	int err;

	if (aead == NULL)
		return -ENOMEM;
	aead->ops = ops;
	err = ops->create(&aead->context, aead->label);
	if (err != 0)
		goto fail;
	err = aead__selftest(ops, aead->context);
	if (err != 0)
		goto fail_context;
	*out = aead;
	return 0;

fail_context:
	ops->destroy(aead->context);
fail:
	free(aead);
	return err;
}

int aead__create_first(const struct aead_backend_ops *const *list, unsigned int n,
                       struct aead **out)
{
	int err = -ENOTSUP;

	for (unsigned int i = 0; i < n; i++) {
		err = create_one(list[i], out);
		if (err == 0)
			return 0;
		if (err == -EIO)
			log_err("aead",
			        "backend gave wrong answers in its self-test and is refused backend=%s",
			        list[i]->name);
		else
			log_warn("aead", "backend cannot be used backend=%s err=%s", list[i]->name,
			         strerrorname_np(-err));
	}
	return err;
}

int aead_create(enum aead_backend backend, struct aead **out)
{
	const struct aead_backend_ops *named = aead__backend_ops(backend);

	if (backend == AEAD_BACKEND_AUTO)
		return aead__create_first(auto_order, BASE_ARRAY_LEN(auto_order), out);
	if (named == NULL)
		return -ENOTSUP;
	return aead__create_first(&named, 1, out);
}

void aead_destroy(struct aead *aead)
{
	if (aead == NULL)
		return;
	aead->ops->destroy(aead->context);
	free(aead);
}

const char *aead_name(const struct aead *aead)
{
	return aead->label;
}

const struct aead_backend_ops *aead__backend_ops(enum aead_backend backend)
{
	return (unsigned int)backend < AEAD_N_BACKENDS ? backend_ops[backend] : NULL;
}

int aead_backend_parse(const char *text, enum aead_backend *out)
{
	if (strcmp(text, "auto") == 0) {
		*out = AEAD_BACKEND_AUTO;
		return 0;
	}
	for (unsigned int i = 0; i < AEAD_N_BACKENDS; i++) {
		if (backend_ops[i] == NULL || strcmp(text, backend_ops[i]->name) != 0)
			continue;
		*out = (enum aead_backend)i;
		return 0;
	}
	return -EINVAL;
}

typedef void (*burst_fn)(void *context, struct aead_op *ops, const struct aead_extra *extra,
                         unsigned int n);

static bool all_fit(const struct aead_op *ops, unsigned int n)
{
	uint32_t longest = 0;

	for (unsigned int i = 0; i < n; i++)
		longest = ops[i].len > longest ? ops[i].len : longest;
	return longest <= AEAD_LEN_MAX;
}

/* The rare burst with a packet that is too long: hand on the stretches between such packets. */
static void run_around_oversized(struct aead *aead, burst_fn run, struct aead_op *ops,
                                 const struct aead_extra *extra, unsigned int n)
{
	unsigned int start = 0;

	for (unsigned int i = 0; i <= n; i++) {
		if (i < n && ops[i].len <= AEAD_LEN_MAX)
			continue;
		if (i < n)
			ops[i].verdict = AEAD_ERROR;
		if (i > start)
			run(aead->context, ops + start, extra == NULL ? NULL : extra + start,
			    i - start);
		start = i + 1;
	}
}

static inline void run(struct aead *aead, burst_fn run_burst, struct aead_op *ops,
                       const struct aead_extra *extra, unsigned int n)
{
	assert(n <= AEAD_BURST_MAX);
	if (n == 0)
		return;
	if (all_fit(ops, n))
		run_burst(aead->context, ops, extra, n);
	else
		run_around_oversized(aead, run_burst, ops, extra, n);
}

void aead_seal(struct aead *aead, struct aead_op *ops, unsigned int n)
{
	run(aead, aead->ops->seal, ops, NULL, n);
}

void aead_open(struct aead *aead, struct aead_op *ops, unsigned int n)
{
	run(aead, aead->ops->open, ops, NULL, n);
}

uint64_t aead_open_head(struct aead *aead, struct aead_op *ops, unsigned int n)
{
	assert(n <= AEAD_BURST_MAX);
	if (n != 0 && aead->ops->open_head != NULL && all_fit(ops, n))
		return aead->ops->open_head(aead->context, ops, n);
	aead_open(aead, ops, n);
	return 0;
}

uint32_t aead_rest_len(const struct aead *aead, uint32_t len)
{
	uint32_t unit = aead->ops->rest_unit;

	return unit != 0 && len >= AEAD_HEAD_LEN ? (len - AEAD_HEAD_LEN) / unit * unit : 0;
}

void aead_open_rests(struct aead *aead, uint8_t *const *data, const struct aead_rest *rests,
                     unsigned int n)
{
	if (aead->ops->open_rests != NULL)
		aead->ops->open_rests(aead->context, data, rests, n);
}

void aead_seal_over(struct aead *aead, struct aead_op *ops, const struct aead_rest *rests,
                    unsigned int n)
{
	assert(n <= AEAD_BURST_MAX);
	if (n != 0 && aead->ops->seal_over != NULL && all_fit(ops, n)) {
		aead->ops->seal_over(aead->context, ops, rests, n);
		return;
	}
	for (unsigned int i = 0; i < n; i++)
		aead_open_rests(aead, &ops[i].data, &rests[i], 1);
	aead_seal(aead, ops, n);
}

void aead__seal_extra(struct aead *aead, struct aead_op *ops, const struct aead_extra *extra,
                      unsigned int n)
{
	run(aead, aead->ops->seal, ops, extra, n);
}

void aead__open_extra(struct aead *aead, struct aead_op *ops, const struct aead_extra *extra,
                      unsigned int n)
{
	run(aead, aead->ops->open, ops, extra, n);
}

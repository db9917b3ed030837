/* Choosing a backend: each kind of wrong answer is noticed before it can meet a packet. The broken
 * backends are libsodium's with one fault put in. */
#include "test.h"

#include "aead_backend.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static unsigned int n_created;
static unsigned int n_destroyed;

static int broken_create(void **context, char label[static AEAD_LABEL_LEN])
{
	n_created++;
	return aead_sodium_ops.create(context, label);
}

static void broken_destroy(void *context)
{
	n_destroyed++;
	aead_sodium_ops.destroy(context);
}

static void good_seal(void *context, struct aead_op *ops, const struct aead_extra *extra,
                      unsigned int n)
{
	aead_sodium_ops.seal(context, ops, extra, n);
}

static void good_open(void *context, struct aead_op *ops, const struct aead_extra *extra,
                      unsigned int n)
{
	aead_sodium_ops.open(context, ops, extra, n);
}

static void seal_wrong_tag(void *context, struct aead_op *ops, const struct aead_extra *extra,
                           unsigned int n)
{
	good_seal(context, ops, extra, n);
	ops[n - 1].data[ops[n - 1].len + 15] ^= 0x80;
}

/* The tag is right, and a byte of the last packet's ciphertext is not. */
static void seal_wrong_payload(void *context, struct aead_op *ops, const struct aead_extra *extra,
                               unsigned int n)
{
	good_seal(context, ops, extra, n);
	ops[n - 1].data[0] ^= 1;
}

/* Both directions lose the upper half of the counter: a round trip alone would pass. */
static void seal_short_counter(void *context, struct aead_op *ops, const struct aead_extra *extra,
                               unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		struct aead_op op = ops[i];

		op.counter = (uint32_t)op.counter;
		good_seal(context, &op, extra, 1);
		ops[i].verdict = op.verdict;
	}
}

static void open_short_counter(void *context, struct aead_op *ops, const struct aead_extra *extra,
                               unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		struct aead_op op = ops[i];

		op.counter = (uint32_t)op.counter;
		good_open(context, &op, extra, 1);
		ops[i].verdict = op.verdict;
	}
}

static void seal_without_verdict(void *context, struct aead_op *ops, const struct aead_extra *extra,
                                 unsigned int n)
{
	good_seal(context, ops, extra, n);
	ops[0].verdict = AEAD_ERROR;
}

static void open_accepts_all(void *context, struct aead_op *ops, const struct aead_extra *extra,
                             unsigned int n)
{
	good_open(context, ops, extra, n);
	for (unsigned int i = 0; i < n; i++)
		ops[i].verdict = AEAD_OK;
}

static void open_compares_15_bytes(void *context, struct aead_op *ops,
                                   const struct aead_extra *extra, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		uint8_t *last = &ops[i].data[ops[i].len + AEAD_TAG_LEN - 1];
		uint8_t saved[AEAD_LEN_MAX];

		memcpy(saved, ops[i].data, ops[i].len);
		for (unsigned int guess = 0; guess < 256; guess++) {
			memcpy(ops[i].data, saved, ops[i].len);
			*last = (uint8_t)guess;
			good_open(context, &ops[i], extra, 1);
			if (ops[i].verdict == AEAD_OK)
				break;
		}
	}
}

static void open_refuses_behind_a_forgery(void *context, struct aead_op *ops,
                                          const struct aead_extra *extra, unsigned int n)
{
	good_open(context, ops, extra, n);
	for (unsigned int i = 1; i < n; i++) {
		if (ops[i - 1].verdict == AEAD_FORGED)
			ops[i].verdict = AEAD_FORGED;
	}
}

static void open_verdict_without_payload(void *context, struct aead_op *ops,
                                         const struct aead_extra *extra, unsigned int n)
{
	good_open(context, ops, extra, n);
	for (unsigned int i = 0; i < n; i++) {
		if (ops[i].len > 64)
			ops[i].data[64] ^= 1;
	}
}

typedef void (*burst_fn)(void *context, struct aead_op *ops, const struct aead_extra *extra,
                         unsigned int n);

static struct aead_backend_ops broken(burst_fn seal, burst_fn open)
{
	return (struct aead_backend_ops){
		.name = "broken",
		.create = broken_create,
		.destroy = broken_destroy,
		.seal = seal,
		.open = open,
	};
}

static int create_absent(void **context, char label[static AEAD_LABEL_LEN])
{
	(void)context;
	(void)label;
	return -ENOTSUP;
}

static void assert_refused(burst_fn seal, burst_fn open)
{
	struct aead_backend_ops ops = broken(seal, open);
	const struct aead_backend_ops *list[] = {&ops};
	struct aead *aead = NULL;

	n_created = n_destroyed = 0;
	assert_int_equal(aead__create_first(list, 1, &aead), -EIO);
	assert_null(aead);
	assert_int_equal(n_created, 1);
	assert_int_equal(n_destroyed, 1);
}

static void backend_without_fault_is_taken(void **state)
{
	struct aead_backend_ops ops = broken(good_seal, good_open);
	const struct aead_backend_ops *list[] = {&ops};
	struct aead *aead = NULL;

	(void)state;
	n_destroyed = 0;
	assert_int_equal(aead__create_first(list, 1, &aead), 0);
	assert_int_equal(n_destroyed, 0);
	aead_destroy(aead);
	assert_int_equal(n_destroyed, 1);
}

static void backend_that_seals_wrongly_is_refused(void **state)
{
	(void)state;
	assert_refused(seal_wrong_tag, good_open);
	assert_refused(seal_wrong_payload, good_open);
	assert_refused(seal_without_verdict, good_open);
}

static void backend_that_opens_wrongly_is_refused(void **state)
{
	(void)state;
	assert_refused(good_seal, open_accepts_all);
	assert_refused(good_seal, open_compares_15_bytes);
	assert_refused(good_seal, open_refuses_behind_a_forgery);
	assert_refused(good_seal, open_verdict_without_payload);
}

static void backend_that_agrees_only_with_itself_is_refused(void **state)
{
	(void)state;
	assert_refused(seal_short_counter, open_short_counter);
}

static void next_backend_is_taken_when_one_fails_or_is_absent(void **state)
{
	struct aead_backend_ops failing = broken(seal_wrong_tag, good_open);
	struct aead_backend_ops absent = broken(good_seal, good_open);
	const struct aead_backend_ops *list[] = {&absent, &failing, &aead_sodium_ops};
	struct aead *aead = NULL;

	(void)state;
	absent.create = create_absent;
	assert_int_equal(aead__create_first(list, 3, &aead), 0);
	assert_int_equal(strncmp(aead_name(aead), "sodium ", 7), 0);
	aead_destroy(aead);
}

static void absent_backend_is_not_supported(void **state)
{
	struct aead_backend_ops absent = broken(good_seal, good_open);
	const struct aead_backend_ops *list[] = {&absent};
	struct aead *aead = NULL;

	(void)state;
	absent.create = create_absent;
	n_destroyed = 0;
	assert_int_equal(aead__create_first(list, 1, &aead), -ENOTSUP);
	assert_null(aead);
	assert_int_equal(n_destroyed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(backend_without_fault_is_taken),
		cmocka_unit_test(backend_that_seals_wrongly_is_refused),
		cmocka_unit_test(backend_that_opens_wrongly_is_refused),
		cmocka_unit_test(backend_that_agrees_only_with_itself_is_refused),
		cmocka_unit_test(next_backend_is_taken_when_one_fails_or_is_absent),
		cmocka_unit_test(absent_backend_is_not_supported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Runs tests of the AEAD once for each backend that this machine can run; says which it cannot. */
#ifndef TEST_AEAD_EACH_H
#define TEST_AEAD_EACH_H

#include "aead_backend.h"
#include "base_bytes.h"
#include "test.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

struct aead_each {
	struct CMUnitTest test[256];
	size_t n;
};

/* *state: the backend's number in, its context out. */
static int aead_each_create(void **state)
{
	enum aead_backend backend = (enum aead_backend)(uintptr_t)*state;

	return aead_create(backend, (struct aead **)state);
}

static int aead_each_destroy(void **state)
{
	aead_destroy((struct aead *)*state);
	return 0;
}

static bool aead_each_can(enum aead_backend backend)
{
	struct aead *aead = NULL;
	int err = aead_create(backend, &aead);

	aead_destroy(aead);
	if (err == -ENOTSUP)
		printf("# skipped: %s cannot run on this machine\n",
		       aead__backend_ops(backend)->name);
	return err != -ENOTSUP; /* a backend that fails its self-test fails its tests */
}

static inline void aead_each_add_one(struct aead_each *each, struct CMUnitTest test)
{
	assert_true(each->n < BASE_ARRAY_LEN(each->test));
	each->test[each->n++] = test;
}

/* tests[n] once for each backend, in the same order for each. A setup of their own
 * calls aead_each_create(). */
static void aead_each_add(struct aead_each *each, const struct CMUnitTest *tests, size_t n)
{
	for (unsigned int i = AEAD_BACKEND_AUTO + 1; i < AEAD_N_BACKENDS; i++) {
		if (!aead_each_can((enum aead_backend)i))
			continue;
		for (size_t j = 0; j < n; j++) {
			struct CMUnitTest test = tests[j];
			char *name;

			if (asprintf(&name, "%s (%s)", tests[j].name,
			             aead__backend_ops((enum aead_backend)i)->name)
			    < 0)
				abort();
			test.name = name; /* lives as long as the process */
			if (test.setup_func == NULL)
				test.setup_func = aead_each_create;
			test.teardown_func = aead_each_destroy;
			test.initial_state = (void *)(uintptr_t)i;
			aead_each_add_one(each, test);
		}
	}
}

#endif

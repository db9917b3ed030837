/* An event loop and a store in a directory of its own, made for each test and removed after it, for the tests of
 * what stands on the store. Include once in a test file. */
#ifndef STORE_LAB_H
#define STORE_LAB_H

#include "base_ip.h"
#include "store.h"
#include "test.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[64];
static char path[128];
static char error_text[512];
static struct event_base *base;
static struct store *store;

static inline struct base_prefix prefix(const char *text)
{
	struct base_prefix out;

	assert_int_equal(base_prefix_parse(text, &out), 0);
	return out;
}

static inline void store_lab_open(void)
{
	base = event_base_new();
	assert_non_null(base);
	if (store_open(path, (uid_t)-1, (gid_t)-1, &store, error_text, sizeof(error_text)) < 0)
		fail_msg("%s", error_text);
}

static inline void store_lab_close(void)
{
	store_close(store);
	event_base_free(base);
}

/* For set_up and tear_down; 0 or what cmocka takes for a failure. */
static inline int store_lab_make(void)
{
	strcpy(dir, "/tmp/weir-test-store-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/weir.db", dir);
	return 0;
}

static inline int store_lab_remove(void)
{
	static const char *const names[] = {"weir.db", "weir.db-wal", "store.key"};
	char name[200];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(name, sizeof(name), "%s/%s", dir, names[i]);
		unlink(name);
	}
	return rmdir(dir); /* only those may be in it */
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

#endif

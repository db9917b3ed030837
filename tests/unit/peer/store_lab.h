/* An event loop and a store in a directory of its own, made for each test and removed after it, for the tests of
 * what stands on the store. Include once in a test file. */
#ifndef STORE_LAB_H
#define STORE_LAB_H

#include "base_ip.h"
#include "config.h"
#include "store.h"
#include "store_dir.h"
#include "test.h"

#include <event2/event.h>
#include <string.h>

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

/* A hub for 16 peers, with a tunnel net of each family. */
static inline void store_lab_config(struct config *config)
{
	memset(config, 0, sizeof(*config));
	strcpy(config->path, "weir.conf");
	config->max_peers = 16;
	config->n_tunnel = 2;
	config->tunnel[0] = prefix("10.77.0.1/24");
	config->tunnel[1] = prefix("fd77::1/64");
}

/* With the set_up and tear_down of the file. */
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

#endif

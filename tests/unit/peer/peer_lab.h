/* A peer table on a store of its own (store_lab.h), with a session and a program that only remember (fakes.h). Include
 * once in a test file. */
#ifndef PEER_LAB_H
#define PEER_LAB_H

#include "fakes.h"
#include "peer_table.h"
#include "store_lab.h"
#include "test.h"

static struct config config;
static struct peer_table *table;

/* Store and table as at a start of control, with nothing known to session and program; -errno when the table does not
 * come up, and error_text says why. */
static inline int peer_lab_try(void)
{
	struct peer_setup setup = {.config = &config};

	memset(&fake, 0, sizeof(fake));
	store_lab_open();
	setup.base = base;
	setup.store = store;
	table = NULL;
	return peer_table_create(&setup, &table, error_text, sizeof(error_text));
}

static inline void peer_lab_start(void)
{
	if (peer_lab_try() < 0)
		fail_msg("%s", error_text);
}

static inline void peer_lab_stop(void)
{
	peer_table_destroy(table);
	store_lab_close();
	table = NULL;
}

static inline void peer_lab_restart(void)
{
	peer_lab_stop();
	peer_lab_start();
}

/* For tests that start and stop by themselves. */
static inline int peer_lab_set_up(void **state)
{
	(void)state;
	if (store_dir_make() < 0)
		return -1;
	store_lab_config(&config);
	return 0;
}

static inline int peer_lab_tear_down(void **state)
{
	(void)state;
	return store_dir_remove();
}

#define PEER_CASE(f) cmocka_unit_test_setup_teardown(f, peer_lab_set_up, peer_lab_tear_down)

#endif

/* The hub's own key: each step, and where a control begins that was killed between two of them. Session takes
 * private keys for public ones here. */
#include "base_bytes.h"
#include "base_time.h"
#include "fakes.h"
#include "hub_key.h"
#include "store_hub_key.h"
#include "store_lab.h"
#include "test.h"
#include "test_clock.h"
#include "wg_key.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#define S BASE_NS_PER_S

static struct config config = {.listen_port = 51820, .tunnel_mtu = 1420};
static struct hub_key *hub;
static uint8_t file_key[32];
static uint8_t active[32]; /* with which control began */

static void start(void)
{
	uint8_t public_key[32];
	struct hub_key_setup setup = {.config = &config, .file_public_key = public_key};

	memset(&fake, 0, sizeof(fake));
	store_lab_open();
	wg_key_public(public_key, file_key);
	memcpy(active, file_key, 32);
	assert_int_equal(hub_key_load(store, active), 0);
	fake.hub_rotated = true;
	memcpy(fake.hub_key, active, 32);
	setup.base = base;
	setup.store = store;
	assert_int_equal(hub_key_create(&setup, &hub), 0);
}

static void stop(void)
{
	hub_key_destroy(hub);
	store_lab_close();
}

static void restart(void)
{
	stop();
	start();
}

/* Control is away while the window moves into the past. */
static void restart_after(uint64_t ns)
{
	struct store_hub_key stored;

	stop();
	store_lab_open();
	assert_int_equal(store_hub_key_get(store, &stored), 0);
	stored.since_wall_ns -= ns;
	stored.until_wall_ns -= ns;
	assert_int_equal(store_hub_key_put(store, &stored), 0);
	store_lab_close();
	start();
}

/* Control is away, and the window was never longer than so much. */
static void restart_with_window(uint64_t ns)
{
	struct store_hub_key stored;

	stop();
	store_lab_open();
	assert_int_equal(store_hub_key_get(store, &stored), 0);
	stored.until_wall_ns = stored.since_wall_ns + ns;
	assert_int_equal(store_hub_key_put(store, &stored), 0);
	store_lab_close();
	start();
}

static void state_is(enum store_rotation_state state, bool has_next)
{
	assert_int_equal(hub_key_info(hub).state, state);
	assert_int_equal(fake.has_next_hub, has_next);
	/* The workers let in what is for the keys that session has. */
	assert_memory_equal(fake.hub_cmd.public_keys[0], fake.hub_key, 32);
	assert_int_equal(fake.hub_cmd.n_keys, has_next ? 2 : 1);
	if (!has_next)
		return;
	assert_memory_equal(fake.hub_cmd.public_keys[1], fake.next_hub_key, 32);
	assert_ptr_equal(hub_key_for_clients(hub), fake.next_hub_key);
}

static void comes(void)
{
	fake.hub_used(fake.hub_used_arg);
}

static void until_over(void)
{
	while (fake.has_next_hub)
		event_base_loop(base, EVLOOP_ONCE);
}

static void a_used_key_is_the_hubs_at_the_end(void **state)
{
	uint8_t next[32];

	(void)state;
	state_is(STORE_ROTATION_NONE, false);
	assert_memory_equal(active, file_key, 32);
	assert_int_equal(hub_key_rotate(hub, 600, false), 0);
	state_is(STORE_ROTATION_PROPOSED, true);
	memcpy(next, fake.next_hub_key, 32);
	assert_int_equal(hub_key_rotate(hub, 600, false), -EBUSY);
	assert_int_equal(hub_key_rotate_end(hub, true), -EBUSY);
	restart(); /* cut: proposed */
	state_is(STORE_ROTATION_PROPOSED, true);
	assert_memory_equal(fake.next_hub_key, next, 32);
	comes();
	state_is(STORE_ROTATION_OVERLAP, true);
	restart(); /* cut: overlap */
	state_is(STORE_ROTATION_OVERLAP, true);
	restart_after(
		600
		* S); /* and the window ends while control is away, by a clock that may be wrong */
	state_is(STORE_ROTATION_OVERLAP, true);
	restart_with_window(S);
	until_over();
	state_is(STORE_ROTATION_CONFIRMED, false);
	assert_memory_equal(fake.hub_key, next, 32);
	restart(); /* cut: confirmed */
	state_is(STORE_ROTATION_CONFIRMED, false);
	assert_memory_equal(active, next, 32);
	/* And again, from there. */
	assert_int_equal(hub_key_rotate(hub, 600, false), 0);
	comes();
	assert_int_equal(hub_key_rotate_end(hub, true), 0);
	assert_memory_not_equal(fake.hub_key, next, 32);
	memcpy(next, fake.hub_key, 32);
	restart();
	assert_memory_equal(active, next, 32);
}

static void a_key_that_nobody_used_expires(void **state)
{
	(void)state;
	assert_int_equal(hub_key_rotate(hub, 0, false), 0);
	until_over();
	state_is(STORE_ROTATION_EXPIRED, false);
	restart();
	state_is(STORE_ROTATION_EXPIRED, false);
	assert_memory_equal(active, file_key, 32);
	assert_int_equal(hub_key_rotate_end(hub, true), -ENOENT);
	assert_int_equal(hub_key_rotate_end(hub, false), 0);
	state_is(STORE_ROTATION_CANCELLED, false);
	assert_int_equal(hub_key_rotate_end(hub, false), -ENOENT);
}

static void a_clock_that_is_set_back_after_a_restart_gives_the_window_back(void **state)
{
	uint64_t start_ns = base_time_monotonic_ns();

	(void)state;
	assert_int_equal(hub_key_rotate(hub, 3, false), 0);
	comes();
	ahead_s = 2;
	restart();
	ahead_s = 0;
	until_over();
	state_is(STORE_ROTATION_CONFIRMED, false);
	assert_true(base_time_monotonic_ns() - start_ns >= 5 * S / 2);
}

static void a_cancelled_key_is_gone(void **state)
{
	(void)state;
	assert_int_equal(hub_key_rotate(hub, 600, false), 0);
	comes();
	assert_int_equal(hub_key_rotate_end(hub, false), 0);
	state_is(STORE_ROTATION_CANCELLED, false);
	assert_memory_equal(fake.hub_key, file_key, 32);
	restart();
	assert_memory_equal(active, file_key, 32);
}

static void in_an_emergency_it_is_the_hubs_at_once(void **state)
{
	uint8_t next[32];

	(void)state;
	for (int live = 0; live < 2; live++) {
		if (live)
			assert_int_equal(hub_key_rotate(hub, 600, false), 0);
		assert_int_equal(hub_key_rotate(hub, 600, true), 0);
		state_is(STORE_ROTATION_CONFIRMED, false);
		memcpy(next, fake.hub_key, 32);
		restart();
		assert_memory_equal(active, next, 32);
	}
	assert_memory_not_equal(next, file_key, 32);
}

static void another_key_in_the_file_is_believed(void **state)
{
	(void)state;
	assert_int_equal(hub_key_rotate(hub, 600, true), 0);
	file_key[0] ^= 8;
	restart();
	assert_memory_equal(active, file_key, 32);
	state_is(STORE_ROTATION_NONE, false);
}

static int set_up(void **state)
{
	(void)state;
	if (store_dir_make() < 0)
		return -1;
	memset(file_key, 0x40, 32);
	wg_key_clamp(file_key);
	start();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	stop();
	return store_dir_remove();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_used_key_is_the_hubs_at_the_end),
		CASE(a_key_that_nobody_used_expires),
		CASE(a_clock_that_is_set_back_after_a_restart_gives_the_window_back),
		CASE(a_cancelled_key_is_gone),
		CASE(in_an_emergency_it_is_the_hubs_at_once),
		CASE(another_key_in_the_file_is_believed),
	};

	return cmocka_run_group_tests_name("hub/hub_key", tests, NULL, NULL);
}

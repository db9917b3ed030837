/* Rotations of peers' keys: every step, what stands in the store behind it, and where a control begins that
 * was killed between two of them. */
#include "base_bytes.h"
#include "base_time.h"
#include "peer_lab.h"
#include "peer_set.h"
#include "test.h"
#include "test_clock.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

static struct config_peer declared;
static const struct peer *peer; /* "laptop" */
static uint32_t n_told;
static enum store_rotation_state told;

#define OLD    1
#define NEW    2
#define OTHER  3
#define WINDOW 60U
#define DAY    86400U
#define S      BASE_NS_PER_S
static const uint8_t psk_new[32] = {4, 4, 4};

static const uint8_t *key(int n)
{
	static uint8_t keys[8][32];

	memset(keys[n], 16 + n, 32);
	return keys[n];
}

static void on_rotation(void *arg, const struct peer *whose)
{
	(void)arg;
	n_told++;
	told = whose->rotation.state;
}

/* ---- control, begun and ended ------------------------------------------------------------------- */

static void start(void)
{
	peer_lab_start();
	peer_on_rotation(table, on_rotation, NULL);
	peer = peer_find(table, "laptop");
}

static void restart(void)
{
	peer_lab_stop();
	start();
}

/* Control is away while the window moves into the past by so much. */
static void restart_after(uint64_t ns)
{
	struct store_rotation rotation;
	uint32_t id = peer->row.id;

	peer_lab_stop();
	store_lab_open();
	assert_int_equal(store_rotation_find(store, id, &rotation), 0);
	rotation.since_wall_ns -= ns;
	rotation.until_wall_ns -= ns;
	assert_int_equal(store_rotation_put(store, &rotation), 0);
	store_lab_close();
	start();
}

static void pass(uint64_t s)
{
	peer__rotations_turn(table, base_time_monotonic_ns() + s * S);
}

/* ---- peers -------------------------------------------------------------------------------------- */

static void add(const char *name, int n)
{
	static const uint8_t psk[32] = {7, 7};
	const struct peer *out;
	struct peer_error why = {0};
	struct peer_request request = {.name = name, .public_key = key(n), .preshared_key = psk};

	if (peer_add(table, &request, &out, &why) < 0)
		fail_msg("%s", why.text);
	peer = peer_find(table, "laptop");
}

static int rotate(int n, const uint8_t *psk, bool emergency, struct peer_error *why)
{
	const struct peer_rotation request = {
		.name = "laptop",
		.public_key = n != 0 ? key(n) : NULL,
		.preshared_key = psk,
		.overlap_s = WINDOW,
		.emergency = emergency,
	};

	*why = (struct peer_error){0};
	return peer_rotate(table, &request, why);
}

static void rotate_good(int n, const uint8_t *psk, bool emergency)
{
	struct peer_error why;

	if (rotate(n, psk, emergency, &why) < 0)
		fail_msg("%s", why.text);
}

/* Refused, and nothing has changed. */
static void refused(int n, bool emergency, const char *code, const char *text)
{
	enum store_rotation_state before = peer->rotation.state;
	struct peer_error why;

	assert_true(rotate(n, NULL, emergency, &why) < 0);
	assert_string_equal(why.text, text);
	assert_string_equal(why.code, code);
	assert_int_equal(peer->rotation.state, before);
}

/* The dataplane has confirmed a session of the next key. */
static void next_key_comes(void)
{
	fake.info[peer->row.id].next_handshake_wall_ns = base_time_wall_ns();
	memset(fake.info[peer->row.id].next_timestamp, 0x55, 12);
	fake.changed(fake.changed_arg, peer->row.id);
}

static void ends(bool with_next)
{
	struct peer_error why = {0};

	if (peer_rotate_end(table, "laptop", with_next, &why) < 0)
		fail_msg("%s", why.text);
}

/* The peer has this key and no next one: here, with session, and in the store. */
static void expect_one(int n, enum store_rotation_state state)
{
	struct store_rotation stored;
	uint32_t id = peer->row.id;

	assert_int_equal(peer->rotation.state, state);
	assert_memory_equal(peer->row.public_key, key(n), 32);
	assert_false(peer->rotation.has_public_key);
	assert_false(peer->rotation.has_preshared_key);
	assert_memory_equal(fake.key[id], key(n), 32);
	assert_false(fake.has_next[id]);
	assert_int_equal(store_rotation_find(store, id, &stored), 0);
	assert_int_equal(stored.state, state);
	assert_false(stored.has_public_key);
	assert_false(stored.has_preshared_key);
}

static void expect_two(enum store_rotation_state state)
{
	uint32_t id = peer->row.id;

	assert_int_equal(peer->rotation.state, state);
	assert_memory_equal(peer->row.public_key, key(OLD), 32);
	assert_memory_equal(fake.key[id], key(OLD), 32);
	assert_true(fake.has_next[id]);
	assert_memory_equal(fake.next_key[id], key(NEW), 32);
	assert_true(fake.next_serial[id] > fake.serial[id]);
	/* It keeps the preshared key that it has. */
	assert_true(fake.has_next_preshared_key[id]);
	assert_memory_equal(fake.next_preshared_key[id], fake.preshared_key[id], 32);
}

/* ---- the way through ---------------------------------------------------------------------------- */

static void a_key_that_comes_is_confirmed_when_the_window_ends(void **state)
{
	(void)state;
	rotate_good(NEW, NULL, false);
	expect_two(STORE_ROTATION_PROPOSED);
	restart(); /* cut: proposed */
	expect_two(STORE_ROTATION_PROPOSED);
	next_key_comes();
	expect_two(STORE_ROTATION_OVERLAP);
	assert_int_equal(told, STORE_ROTATION_OVERLAP);
	restart(); /* cut: overlap */
	expect_two(STORE_ROTATION_OVERLAP);
	/* The guard against replay is the next key's own. */
	assert_int_equal(fake.next_timestamp[peer->row.id][0], 0x55);
	fake.info[peer->row.id].next_timestamp[0] = 0x56;
	pass(WINDOW - 10);
	expect_two(STORE_ROTATION_OVERLAP);
	pass(WINDOW);
	expect_one(NEW, STORE_ROTATION_CONFIRMED);
	assert_int_equal(fake.serial[peer->row.id], 1);
	restart(); /* cut: confirmed */
	expect_one(NEW, STORE_ROTATION_CONFIRMED);
	assert_int_equal(fake.serial[peer->row.id], 1);
	assert_int_equal(fake.timestamp[peer->row.id][0], 0x56);
	assert_true(peer->row.has_preshared_key);
	/* And on to another one. */
	rotate_good(OTHER, NULL, false);
	assert_int_equal(fake.next_serial[peer->row.id], 2);
}

static void a_key_that_never_comes_expires_and_the_old_one_stays(void **state)
{
	(void)state;
	rotate_good(NEW, NULL, false);
	pass(WINDOW - 1);
	expect_two(STORE_ROTATION_PROPOSED);
	n_told = 0;
	pass(WINDOW);
	expect_one(OLD, STORE_ROTATION_EXPIRED);
	assert_int_equal(told, STORE_ROTATION_EXPIRED);
	assert_int_equal(n_told, 1);
	pass(WINDOW + 1);
	assert_int_equal(n_told, 1);
	restart();
	expect_one(OLD, STORE_ROTATION_EXPIRED);
	assert_int_equal(fake.serial[peer->row.id], 0);
	/* Its name in the region is not used again. */
	rotate_good(NEW, NULL, false);
	assert_int_equal(fake.next_serial[peer->row.id], 2);
	ends(false);
	expect_one(OLD, STORE_ROTATION_CANCELLED);
}

static void the_timer_ends_the_window_by_itself(void **state)
{
	const struct peer_rotation request = {
		.name = "laptop", .public_key = key(NEW), .overlap_s = 0};
	struct peer_error why;

	(void)state;
	assert_int_equal(peer_rotate(table, &request, &why), 0);
	while (peer_is_rotating(peer))
		event_base_loop(base, EVLOOP_ONCE);
	expect_one(OLD, STORE_ROTATION_EXPIRED);
}

/* ---- control was away --------------------------------------------------------------------------- */

static void a_window_that_ended_meanwhile_is_settled_at_start(void **state)
{
	(void)state;
	rotate_good(NEW, NULL, false);
	next_key_comes();
	restart_after(WINDOW * S);
	expect_one(NEW, STORE_ROTATION_CONFIRMED);
}

static void a_key_that_did_not_come_meanwhile_has_its_window_again(void **state)
{
	(void)state;
	rotate_good(NEW, NULL, false);
	restart_after(3600 * S);
	pass(WINDOW - 1);
	expect_two(STORE_ROTATION_PROPOSED);
	pass(WINDOW);
	expect_one(OLD, STORE_ROTATION_EXPIRED);
	ends(false);
	/* The dataplane has a session of it: control was killed before it heard of that. */
	rotate_good(NEW, NULL, false);
	restart_after(3600 * S);
	next_key_comes();
	expect_two(STORE_ROTATION_OVERLAP);
	pass(WINDOW);
	expect_one(NEW, STORE_ROTATION_CONFIRMED);
}

/* For a day. */
static void rotate_long(void)
{
	const struct peer_rotation request = {
		.name = "laptop", .public_key = key(NEW), .overlap_s = DAY};
	struct peer_error why;

	assert_int_equal(peer_rotate(table, &request, &why), 0);
}

static void a_key_that_did_not_come_meanwhile_has_an_hour_at_most(void **state)
{
	(void)state;
	rotate_long();
	restart_after(2 * DAY * S);
	pass(3599);
	expect_two(STORE_ROTATION_PROPOSED);
	pass(3600);
	expect_one(OLD, STORE_ROTATION_EXPIRED);
}

static void a_wrong_clock_at_a_restart_takes_no_next_key_away(void **state)
{
	(void)state;
	rotate_long();
	ahead_s = 3652 * (time_t)DAY;
	restart();
	ahead_s = 0;
	pass(3600);
	expect_two(STORE_ROTATION_PROPOSED);
	pass(DAY - 1);
	expect_two(STORE_ROTATION_PROPOSED);
	pass(DAY); /* all in all it is no longer than it was */
	expect_one(OLD, STORE_ROTATION_EXPIRED);
}

static void steps_of_the_clock_do_not_make_a_window_longer(void **state)
{
	static const int64_t steps_s[] = {3600, -3600, 10LL * 365 * 86400, -10LL * 365 * 86400};

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(steps_s); i++) {
		rotate_good(NEW, NULL, false);
		restart_after((uint64_t)(-steps_s[i] * (int64_t)S));
		pass(1);
		expect_two(STORE_ROTATION_PROPOSED);
		pass(WINDOW + 1);
		expect_one(OLD, STORE_ROTATION_EXPIRED);
	}
}

static void a_rotation_waits_while_its_peer_is_disabled(void **state)
{
	struct peer_error why;

	(void)state;
	rotate_good(NEW, NULL, false);
	next_key_comes();
	assert_int_equal(peer_enable(table, "laptop", false, &why), 0);
	assert_false(fake.has_next[peer->row.id]);
	assert_int_equal(peer_enable(table, "laptop", true, &why), 0);
	expect_two(STORE_ROTATION_OVERLAP);
	assert_int_equal(peer_enable(table, "laptop", false, &why), 0);
	pass(WINDOW);
	assert_int_equal(peer->rotation.state, STORE_ROTATION_CONFIRMED);
	assert_int_equal(peer_enable(table, "laptop", true, &why), 0);
	expect_one(NEW, STORE_ROTATION_CONFIRMED);
}

static void a_removed_peer_takes_its_rotation_along(void **state)
{
	struct store_rotation stored;
	struct peer_error why;
	uint32_t id = peer->row.id;

	(void)state;
	rotate_good(NEW, NULL, false);
	assert_int_equal(peer_remove(table, "laptop", NULL, &why), 0);
	assert_int_equal(store_rotation_find(store, id, &stored), -ENOENT);
	pass(WINDOW);
	add("laptop", NEW); /* its next key is free again */
	assert_int_equal(peer->rotation.state, STORE_ROTATION_NONE);
}

/* ---- emergency ---------------------------------------------------------------------------------- */

static void in_an_emergency_there_is_no_window(void **state)
{
	(void)state;
	rotate_good(NEW, NULL, true);
	expect_one(NEW, STORE_ROTATION_CONFIRMED);
	restart();
	expect_one(NEW, STORE_ROTATION_CONFIRMED);
	/* Also in the midst of a rotation, with its key or another one. */
	rotate_good(OLD, NULL, false);
	rotate_good(OTHER, NULL, true);
	expect_one(OTHER, STORE_ROTATION_CONFIRMED);
	rotate_good(OLD, NULL, false);
	next_key_comes();
	rotate_good(OLD, psk_new, true);
	expect_one(OLD, STORE_ROTATION_CONFIRMED);
	assert_memory_equal(fake.preshared_key[peer->row.id], psk_new, 32);
	restart();
	expect_one(OLD, STORE_ROTATION_CONFIRMED);
	assert_memory_equal(fake.preshared_key[peer->row.id], psk_new, 32);
}

/* Who recorded an initiation of the next key cannot send it again when that becomes the key. */
static void in_an_emergency_a_key_that_came_keeps_what_was_heard_of_it(void **state)
{
	uint8_t heard[12];

	(void)state;
	memset(heard, 0x55, sizeof(heard));
	rotate_good(NEW, NULL, false);
	next_key_comes();
	rotate_good(NEW, NULL, true);
	expect_one(NEW, STORE_ROTATION_CONFIRMED);
	assert_memory_equal(fake.next_timestamp[peer->row.id], heard, sizeof(heard));
	restart();
	assert_memory_equal(fake.timestamp[peer->row.id], heard, sizeof(heard));
}

static void a_disabled_peer_gets_another_key_and_stays_disabled(void **state)
{
	struct peer_error why;

	(void)state;
	assert_int_equal(peer_enable(table, "laptop", false, &why), 0);
	rotate_good(NEW, NULL, true);
	assert_false(fake.known[peer->row.id]);
	assert_int_equal(peer_enable(table, "laptop", true, &why), 0);
	expect_one(NEW, STORE_ROTATION_CONFIRMED);
}

/* The old key must be dead, whatever becomes of the new one. */
static void without_memory_the_old_key_is_dead_all_the_same(void **state)
{
	(void)state;
	fake.next_err = -ENOMEM;
	rotate_good(NEW, NULL, true);
	assert_false(fake.known[peer->row.id]);
	fake.next_err = 0;
	restart();
	expect_one(NEW, STORE_ROTATION_CONFIRMED);
}

/* ---- by hand, and preshared keys ---------------------------------------------------------------- */

static void a_window_may_be_ended_by_hand(void **state)
{
	struct peer_error why = {0};

	(void)state;
	rotate_good(NEW, NULL, false);
	assert_int_equal(peer_rotate_end(table, "laptop", true, &why), -EBUSY);
	assert_string_equal(why.text, "confirm: the new key of peer \"laptop\" has not come yet: "
	                              "--emergency gives it the key without waiting");
	next_key_comes();
	ends(true);
	expect_one(NEW, STORE_ROTATION_CONFIRMED);
	assert_int_equal(peer_rotate_end(table, "laptop", true, &why), -ENOENT);
	assert_int_equal(peer_rotate_end(table, "laptop", false, &why), -ENOENT);
	rotate_good(OLD, NULL, false);
	next_key_comes();
	ends(false);
	expect_one(NEW, STORE_ROTATION_CANCELLED);
}

static void a_preshared_key_changes_alone(void **state)
{
	uint32_t id = peer->row.id;

	(void)state;
	rotate_good(0, psk_new, false);
	assert_memory_equal(fake.next_key[id], key(OLD), 32);
	assert_memory_equal(fake.next_preshared_key[id], psk_new, 32);
	restart();
	assert_memory_equal(fake.next_key[id], key(OLD), 32);
	assert_memory_equal(fake.next_preshared_key[id], psk_new, 32);
	fake.info[id].last_timestamp[0] = 0x77;
	next_key_comes();
	pass(WINDOW);
	expect_one(OLD, STORE_ROTATION_CONFIRMED);
	assert_memory_equal(fake.preshared_key[id], psk_new, 32);
	restart();
	expect_one(OLD, STORE_ROTATION_CONFIRMED);
	assert_memory_equal(fake.preshared_key[id], psk_new, 32);
	assert_int_equal(fake.timestamp[id][0], 0x77); /* of the key, which is the same */
}

static void both_change_together(void **state)
{
	uint32_t id = peer->row.id;

	(void)state;
	rotate_good(NEW, psk_new, false);
	assert_memory_equal(fake.next_key[id], key(NEW), 32);
	assert_memory_equal(fake.next_preshared_key[id], psk_new, 32);
	next_key_comes();
	restart_after(WINDOW * S);
	expect_one(NEW, STORE_ROTATION_CONFIRMED);
	restart();
	assert_memory_equal(fake.preshared_key[id], psk_new, 32);
}

/* wg(8) gives the peer another preshared key in the midst of the window: session forgets both of its keys, and is told
 * both again. */
static void a_preshared_key_by_wg_leaves_the_next_key(void **state)
{
	static const struct peer_set_hooks no_hooks;
	struct peer_set set = {.replaces_peers = false};
	struct peer_set_one *one;
	struct peer_error why;
	uint32_t id = peer->row.id;

	(void)state;
	rotate_good(OTHER, NULL, true); /* so that its key has a number of its own */
	rotate_good(OLD, NULL, true);
	rotate_good(NEW, NULL, false);
	one = peer_set_add(&set, key(OLD));
	assert_non_null(one);
	one->has_preshared_key = true;
	memcpy(one->preshared_key, psk_new, sizeof(psk_new));
	assert_int_equal(peer_set_apply(table, &set, &no_hooks, &why), 0);
	peer_set_fini(&set);
	assert_memory_equal(fake.preshared_key[id], psk_new, 32);
	assert_int_equal(fake.serial[id], peer->rotation.serial);
	expect_two(STORE_ROTATION_PROPOSED);
}

/* ---- refused ------------------------------------------------------------------------------------ */

static void what_cannot_be_is_refused(void **state)
{
	struct peer_request request = {.name = "thief", .public_key = key(NEW)};
	const struct peer *out;
	struct peer_error why = {0};

	(void)state;
	add("other", OTHER);
	refused(OLD, false, "invalid", "next_key: is the key that peer \"laptop\" has");
	refused(OTHER, false, "exists", "next_key: belongs to peer \"other\"");
	fake.next_err = -ENOMEM;
	assert_true(rotate(NEW, NULL, false, &why) < 0);
	assert_int_equal(peer->rotation.state, STORE_ROTATION_NONE);
	fake.next_err = 0;
	rotate_good(NEW, NULL, false);
	refused(4, false, "in_use",
	        "name: peer \"laptop\" is between two keys already; confirm or cancel that first");
	assert_int_equal(peer_add(table, &request, &out, &why), -EEXIST);
	assert_string_equal(why.text, "public_key: belongs to peer \"laptop\"");
	ends(false);
	assert_int_equal(peer_enable(table, "laptop", false, &why), 0);
	refused(NEW, false, "disabled",
	        "name: peer \"laptop\" is disabled, so its new key cannot come; enable it first, "
	        "or give it the key at once with --emergency");
}

static void no_key_is_given_to_a_peer_without_a_preshared_key(void **state)
{
	struct peer_request request = {.name = "bare", .public_key = key(OTHER)};
	struct peer_rotation rotation = {
		.name = "bare", .public_key = key(NEW), .overlap_s = WINDOW, .emergency = true};
	struct peer_error why = {0};
	const struct peer *bare;

	(void)state;
	assert_int_equal(peer_add(table, &request, &bare, &why), 0);
	config.preshared_key = CONFIG_PSK_REQUIRED;
	assert_int_equal(peer_rotate(table, &rotation, &why), -EINVAL);
	assert_string_equal(why.text,
	                    "next_key: peer \"bare\" has no preshared key, and every peer "
	                    "of this hub has one: give it one too, with "
	                    "--new-preshared-key");
	assert_memory_equal(bare->row.public_key, key(OTHER), 32);
	rotation.preshared_key = psk_new;
	assert_int_equal(peer_rotate(table, &rotation, &why), 0);
	assert_memory_equal(bare->row.public_key, key(NEW), 32);
	assert_true(bare->row.has_preshared_key);
	rotate_good(4, NULL, true); /* the others keep theirs */
}

static void a_declared_peers_key_is_the_files(void **state)
{
	(void)state;
	rotate_good(NEW, NULL, false);
	peer_lab_stop();
	declared = (struct config_peer){.name = "laptop", .line = 7};
	memcpy(declared.public_key, key(OLD), 32);
	config.peers = &declared;
	config.n_peers = 1;
	start();
	expect_one(OLD, STORE_ROTATION_CANCELLED);
	refused(NEW, true, "declared",
	        "name: peer \"laptop\" is declared in weir.conf:7; change its key there and "
	        "restart weir");
}

static int set_up(void **state)
{
	if (peer_lab_set_up(state) < 0)
		return -1;
	config.n_tunnel = 1;
	n_told = 0;
	start();
	add("laptop", OLD);
	return 0;
}

static int tear_down(void **state)
{
	peer_lab_stop();
	return peer_lab_tear_down(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_key_that_comes_is_confirmed_when_the_window_ends),
		CASE(a_key_that_never_comes_expires_and_the_old_one_stays),
		CASE(the_timer_ends_the_window_by_itself),
		CASE(a_window_that_ended_meanwhile_is_settled_at_start),
		CASE(a_key_that_did_not_come_meanwhile_has_its_window_again),
		CASE(a_key_that_did_not_come_meanwhile_has_an_hour_at_most),
		CASE(a_wrong_clock_at_a_restart_takes_no_next_key_away),
		CASE(steps_of_the_clock_do_not_make_a_window_longer),
		CASE(a_rotation_waits_while_its_peer_is_disabled),
		CASE(a_removed_peer_takes_its_rotation_along),
		CASE(in_an_emergency_there_is_no_window),
		CASE(in_an_emergency_a_key_that_came_keeps_what_was_heard_of_it),
		CASE(a_disabled_peer_gets_another_key_and_stays_disabled),
		CASE(without_memory_the_old_key_is_dead_all_the_same),
		CASE(a_window_may_be_ended_by_hand),
		CASE(a_preshared_key_changes_alone),
		CASE(both_change_together),
		CASE(a_preshared_key_by_wg_leaves_the_next_key),
		CASE(what_cannot_be_is_refused),
		CASE(no_key_is_given_to_a_peer_without_a_preshared_key),
		CASE(a_declared_peers_key_is_the_files),
	};

	return cmocka_run_group_tests_name("peer/peer_rotate", tests, NULL, NULL);
}

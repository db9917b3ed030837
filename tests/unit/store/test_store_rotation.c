/* control/store, rotations of keys. */
#include "store_lab.h"
#include "store_rotation.h"

#include <errno.h>

static struct store_rotation make_rotation(uint32_t peer)
{
	struct store_rotation rotation = {
		.peer = peer,
		.state = STORE_ROTATION_OVERLAP,
		.serial = 3,
		.next_serial = 5,
		.has_public_key = true,
		.has_preshared_key = true,
		.since_wall_ns = 10,
		.until_wall_ns = 20,
		.changed_wall_ns = 15,
	};

	memset(rotation.public_key, (int)(100 + peer), 32);
	rotation.public_key[31] &= 0x7f;
	memset(rotation.preshared_key, 0xa5, 32);
	memset(rotation.last_timestamp, 0x11, 12);
	return rotation;
}

/* Field by field: there is padding. */
static void assert_rotation(const struct store_rotation *found,
                            const struct store_rotation *expected)
{
	assert_int_equal(found->peer, expected->peer);
	assert_int_equal(found->state, expected->state);
	assert_int_equal(found->serial, expected->serial);
	assert_int_equal(found->next_serial, expected->next_serial);
	assert_int_equal(found->has_public_key, expected->has_public_key);
	assert_int_equal(found->has_preshared_key, expected->has_preshared_key);
	assert_memory_equal(found->public_key, expected->public_key, 32);
	assert_memory_equal(found->preshared_key, expected->preshared_key, 32);
	assert_memory_equal(found->last_timestamp, expected->last_timestamp, 12);
	assert_true(found->since_wall_ns == expected->since_wall_ns);
	assert_true(found->until_wall_ns == expected->until_wall_ns);
	assert_true(found->changed_wall_ns == expected->changed_wall_ns);
}

static void rotations_come_back_and_go_with_their_peer(void **state)
{
	struct store *store = open_good();
	struct store_peer a = make_peer(1), b = make_peer(2);
	struct store_rotation one = make_rotation(1), two = make_rotation(2);
	struct store_rotation found;

	(void)state;
	assert_int_equal(store_rotation_find(store, 1, &found), -ENOENT);
	assert_true(store_rotation_put(store, &one) < 0); /* of nobody */
	assert_int_equal(store_peer_put(store, &a), 0);
	assert_int_equal(store_peer_put(store, &b), 0);
	assert_int_equal(store_rotation_put(store, &one), 0);
	memcpy(two.public_key, one.public_key, 32);
	assert_int_equal(store_rotation_put(store, &two), -EEXIST);
	store_close(store);
	store = open_good();
	assert_int_equal(store_rotation_find(store, 1, &found), 0);
	assert_rotation(&found, &one);
	memset(one.last_timestamp, 0x22, 12);
	assert_int_equal(store_rotation_seen(store, 1, one.last_timestamp), 0);
	assert_int_equal(store_rotation_seen(store, 2, one.last_timestamp), -ENOENT);
	assert_int_equal(store_rotation_find(store, 1, &found), 0);
	assert_rotation(&found, &one);
	/* Over: no keys are left. */
	one.state = STORE_ROTATION_CONFIRMED;
	one.has_public_key = one.has_preshared_key = false;
	memset(one.public_key, 0, 32);
	memset(one.preshared_key, 0, 32);
	assert_int_equal(store_rotation_put(store, &one), 0);
	assert_int_equal(store_rotation_find(store, 1, &found), 0);
	assert_rotation(&found, &one);
	assert_int_equal(store_peer_drop(store, 1), 0);
	assert_int_equal(store_rotation_find(store, 1, &found), -ENOENT);
	store_close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(rotations_come_back_and_go_with_their_peer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

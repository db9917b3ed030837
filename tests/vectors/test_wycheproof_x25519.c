/* The 518 X25519 vectors of Wycheproof through wg_key_shared(): points on the twist and in other
 * than canonical form are computed, points of low order refused. argv[1]: the JSON file. */
#include "base_bytes.h"
#include "vectors.h"
#include "wg_key.h"

#include <sodium.h>

#include <errno.h>
#include <stdbool.h>

#define N_VECTORS   518
#define N_LOW_ORDER 31

static bool has_flag(const json_t *test, const char *name)
{
	size_t i;
	json_t *flag;

	json_array_foreach(json_object_get(test, "flags"), i,
	                   flag) if (strcmp(json_string_value(flag), name) == 0) return true;
	return false;
}

static void check(const json_t *test, bool low_order)
{
	long long id = json_integer_value(json_object_get(test, "tcId"));
	uint8_t public_key[WG_KEY_LEN], private_key[WG_KEY_LEN], expected[WG_KEY_LEN];
	uint8_t shared[WG_KEY_LEN];
	int result;

	vectors_bytes(test, "public", public_key, WG_KEY_LEN);
	vectors_bytes(test, "private", private_key, WG_KEY_LEN);
	vectors_bytes(test, "shared", expected, WG_KEY_LEN);
	memset(shared, 0xa5, sizeof(shared));
	result = wg_key_shared(shared, private_key, public_key);
	if (result != (low_order ? -EINVAL : 0))
		fail_msg("vector %lld: got %d", id, result);
	/* Refused, the result is wiped, which is also what these vectors expect it to be. */
	if (memcmp(shared, expected, WG_KEY_LEN) != 0)
		fail_msg("vector %lld: wrong shared secret", id);
	assert_int_equal(wg_key_check_public(public_key), result);
}

static void all_vectors_are_computed_or_refused_as_they_say(void **state)
{
	size_t n = 0, n_low_order = 0;
	size_t i, j;
	json_t *group, *test;

	(void)state;
	json_array_foreach(json_object_get(vectors_root, "testGroups"), i, group)
	{
		json_array_foreach(json_object_get(group, "tests"), j, test)
		{
			bool low_order = has_flag(test, "ZeroSharedSecret");

			assert_string_not_equal(vectors_text(test, "result"), "invalid");
			check(test, low_order);
			n++;
			n_low_order += low_order;
		}
	}
	assert_int_equal(n, N_VECTORS);
	assert_int_equal(n_low_order, N_LOW_ORDER);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_vectors_are_computed_or_refused_as_they_say),
	};

	if (argc != 2 || sodium_init() < 0)
		return 1;
	vectors_path = argv[1];
	return cmocka_run_group_tests(tests, vectors_set_up, vectors_tear_down);
}

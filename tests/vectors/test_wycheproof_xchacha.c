/* The XChaCha20-Poly1305 vectors of Wycheproof with a 192-bit nonce, through the functions that
 * seal and open cookies. argv[1]: the JSON file. */
#include "base_bytes.h"
#include "vectors.h"

#include <sodium.h>

#include <stdbool.h>

#define N_VECTORS 306
#define ROOM      2048

static void check(const json_t *test)
{
	long long id = json_integer_value(json_object_get(test, "tcId"));
	bool valid = strcmp(vectors_text(test, "result"), "valid") == 0;
	uint8_t key[32], nonce[24], aad[ROOM], plain[ROOM], sealed[ROOM + 16], out[ROOM + 16];
	size_t aad_len = vectors_hex(test, "aad", aad, sizeof(aad));
	size_t len = vectors_hex(test, "msg", plain, sizeof(plain));

	vectors_bytes(test, "key", key, sizeof(key));
	vectors_bytes(test, "iv", nonce, sizeof(nonce));
	vectors_bytes(test, "ct", sealed, len);
	vectors_bytes(test, "tag", sealed + len, 16);

	crypto_aead_xchacha20poly1305_ietf_encrypt(out, NULL, plain, len, aad, aad_len, NULL, nonce,
	                                           key);
	/* The invalid ones differ in the tag only. */
	if (memcmp(out, sealed, len) != 0 || (memcmp(out + len, sealed + len, 16) == 0) != valid)
		fail_msg("vector %lld: sealed wrongly", id);
	if ((crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, sealed, len + 16, aad,
	                                                aad_len, nonce, key)
	     == 0)
	    != valid)
		fail_msg("vector %lld: should be %s", id, valid ? "opened" : "refused");
	if (valid && memcmp(out, plain, len) != 0)
		fail_msg("vector %lld: opened wrongly", id);
}

static void all_vectors_are_sealed_and_opened_as_they_say(void **state)
{
	size_t n = 0;
	size_t i, j;
	json_t *group, *test;

	(void)state;
	json_array_foreach(json_object_get(vectors_root, "testGroups"), i, group)
	{
		if (json_integer_value(json_object_get(group, "ivSize")) != 192)
			continue;
		json_array_foreach(json_object_get(group, "tests"), j, test)
		{
			check(test);
			n++;
		}
	}
	assert_int_equal(n, N_VECTORS);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_vectors_are_sealed_and_opened_as_they_say),
	};

	if (argc != 2 || sodium_init() < 0)
		return 1;
	vectors_path = argv[1];
	return cmocka_run_group_tests(tests, vectors_set_up, vectors_tear_down);
}

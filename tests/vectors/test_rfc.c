/* The published values of RFC 7693 (BLAKE2s), RFC 7748 (X25519) and RFC 8439 (ChaCha20-Poly1305)
 * through the functions that the handshake uses; HMAC and KDF over BLAKE2s against values made with
 * Python's hashlib and hmac, for want of an RFC. */
#include "base_bytes.h"
#include "base_text.h"
#include "test.h"
#include "wg_blake2s.h"
#include "wg_key.h"

#include <sodium.h>

static void from_hex(uint8_t *out, size_t len, const char *text)
{
	if (base_hex_decode(out, len, text) < 0)
		fail_msg("bad hex in test: %s", text);
}

static void assert_hex(const uint8_t *got, size_t len, const char *expected)
{
	char text[2 * 256 + 1];

	base_hex_encode(text, got, len);
	assert_string_equal(text, expected);
}

/* ---- RFC 7693 ------------------------------------------------------------------------------------ */

static void blake2s_of_abc(void **state)
{
	uint8_t out[32];

	(void)state;
	wg_hash(out, "abc", 3);
	assert_hex(out, 32, "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982");
}

/* Appendix E: the Fibonacci-like generator of its self-test. */
static void sequence(uint8_t *out, size_t len, uint32_t seed)
{
	uint32_t a = 0xdead4bad * seed;
	uint32_t b = 1;

	for (size_t i = 0; i < len; i++) {
		uint32_t t = a + b;

		a = b;
		b = t;
		out[i] = (uint8_t)(t >> 24);
	}
}

static void hash_with(uint8_t *out, size_t out_len, const uint8_t *key, size_t key_len,
                      const uint8_t *in, size_t len)
{
	struct wg_blake2s blake;

	wg_blake2s_init(&blake, out_len, key, key_len);
	wg_blake2s_update(&blake, in, len);
	wg_blake2s_final(&blake, out);
}

static void blake2s_passes_the_self_test_of_appendix_e(void **state)
{
	static const size_t digest_lens[] = {16, 20, 28, 32};
	static const size_t input_lens[] = {0, 3, 64, 65, 255, 1024};
	struct wg_blake2s all;
	uint8_t in[1024], digest[32], key[32];

	(void)state;
	wg_blake2s_init(&all, 32, NULL, 0);
	for (size_t i = 0; i < BASE_ARRAY_LEN(digest_lens); i++) {
		size_t out_len = digest_lens[i];

		for (size_t j = 0; j < BASE_ARRAY_LEN(input_lens); j++) {
			size_t len = input_lens[j];

			sequence(in, len, (uint32_t)len);
			hash_with(digest, out_len, NULL, 0, in, len);
			wg_blake2s_update(&all, digest, out_len);
			sequence(key, out_len, (uint32_t)out_len);
			hash_with(digest, out_len, key, out_len, in, len);
			wg_blake2s_update(&all, digest, out_len);
		}
	}
	wg_blake2s_final(&all, digest);
	assert_hex(digest, 32, "6a411f08ce25adcdfb02aba641451cec53c598b24f4fc787fbdc88797f4c1dfe");
}

/* Python: hashlib.blake2s(..., key=..., digest_size=16), hmac.new(key, in, hashlib.blake2s), and
 * the chain T(n) = HMAC(HMAC(key, in), T(n-1) || n). Key and input are bytes 0, 1, 2, ... */
static void mac_hmac_and_kdf_agree_with_pythons(void **state)
{
	uint8_t bytes[128], out[3][32];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	wg_mac(out[0], bytes, 32, bytes, 128);
	assert_hex(out[0], 16, "8c09f698d03eaf88abf69f8147865ef6");
	wg_mac(out[0], bytes, 32, bytes, 0);
	assert_hex(out[0], 16, "9536f9b267655743dee97b8a670f9f53");
	wg_hmac(out[0], bytes, 32, bytes, 100);
	assert_hex(out[0], 32, "a81c95080ba2a7c4ed1b7b4c21dec2c4fd6dc9f03ff37b6d65289dc95a7d1ef1");
	wg_kdf(out[0], out[1], out[2], bytes, bytes, 40);
	assert_hex(out[0], 32, "3386e284e63edc5f32df2d0c470ebcd5db42748045a60897cbf50d14b22d3522");
	assert_hex(out[1], 32, "96db296994bf1c7e60fa955add918d6210eafbdbf233bb30592e8e859da56565");
	assert_hex(out[2], 32, "118e42b8b3461ed51ab10a262ec65d362e89720eafd2e1d97855baa4c43ac059");
}

/* ---- RFC 7748 ------------------------------------------------------------------------------------ */

static void x25519_of_section_5_2(void **state)
{
	static const char *const cases[][3] = {
		{"a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
	         "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
	         "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"},
		{"4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
	         "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
	         "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"},
	};

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++) {
		uint8_t scalar[32], point[32], out[32];

		from_hex(scalar, 32, cases[i][0]);
		from_hex(point, 32, cases[i][1]);
		assert_int_equal(wg_key_shared(out, scalar, point), 0);
		assert_hex(out, 32, cases[i][2]);
	}
}

static void x25519_iterated_a_thousand_times(void **state)
{
	uint8_t k[32] = {9}, u[32] = {9}, out[32];

	(void)state;
	for (int i = 1; i <= 1000; i++) {
		assert_int_equal(wg_key_shared(out, k, u), 0);
		memcpy(u, k, 32);
		memcpy(k, out, 32);
		if (i == 1)
			assert_hex(
				k, 32,
				"422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
	}
	assert_hex(k, 32, "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
}

static void x25519_exchange_of_section_6_1(void **state)
{
	uint8_t alice[32], bob[32], alice_public[32], bob_public[32], shared[32];
	static const char *const k =
		"4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";

	(void)state;
	from_hex(alice, 32, "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
	from_hex(bob, 32, "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
	wg_key_public(alice_public, alice);
	wg_key_public(bob_public, bob);
	assert_hex(alice_public, 32,
	           "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
	assert_hex(bob_public, 32,
	           "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
	assert_int_equal(wg_key_shared(shared, alice, bob_public), 0);
	assert_hex(shared, 32, k);
	assert_int_equal(wg_key_shared(shared, bob, alice_public), 0);
	assert_hex(shared, 32, k);
	/* Clamping is part of the function, so a stored private key may be clamped or not. */
	wg_key_clamp(alice);
	assert_int_equal(wg_key_shared(shared, alice, bob_public), 0);
	assert_hex(shared, 32, k);
}

/* ---- RFC 8439 ------------------------------------------------------------------------------------ */

static void chacha20_poly1305_of_section_2_8_2(void **state)
{
	static const char plain[] =
		"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the "
		"future, sunscreen would be it.";
	uint8_t key[32], nonce[12], aad[12], out[sizeof(plain) - 1 + 16], back[sizeof(plain) - 1];
	unsigned long long len;

	(void)state;
	for (size_t i = 0; i < 32; i++)
		key[i] = (uint8_t)(0x80 + i);
	from_hex(nonce, 12, "070000004041424344454647");
	from_hex(aad, 12, "50515253c0c1c2c3c4c5c6c7");
	crypto_aead_chacha20poly1305_ietf_encrypt(out, &len, (const uint8_t *)plain,
	                                          sizeof(plain) - 1, aad, 12, NULL, nonce, key);
	assert_int_equal(len, sizeof(out));
	assert_hex(out, 32, "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6");
	assert_hex(out + sizeof(out) - 16, 16, "1ae10b594f09e26a7e902ecbd0600691");
	assert_int_equal(crypto_aead_chacha20poly1305_ietf_decrypt(
				 back, NULL, NULL, out, sizeof(out), aad, 12, nonce, key),
	                 0);
	assert_memory_equal(back, plain, sizeof(back));
	out[3] ^= 1;
	assert_int_equal(crypto_aead_chacha20poly1305_ietf_decrypt(
				 back, NULL, NULL, out, sizeof(out), aad, 12, nonce, key),
	                 -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blake2s_of_abc),
		cmocka_unit_test(blake2s_passes_the_self_test_of_appendix_e),
		cmocka_unit_test(mac_hmac_and_kdf_agree_with_pythons),
		cmocka_unit_test(x25519_of_section_5_2),
		cmocka_unit_test(x25519_iterated_a_thousand_times),
		cmocka_unit_test(x25519_exchange_of_section_6_1),
		cmocka_unit_test(chacha20_poly1305_of_section_2_8_2),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Run under valgrind's memcheck: secrets are marked undefined, so that a branch or an index that
 * depends on one is an error. What is made public on purpose is marked defined again.
 *
 * The handshake as a whole is not here: its verdicts (a low-order point, a tag that does not fit)
 * are branches on what was computed from secrets, and they have to be. */
#include "base_bytes.h"
#include "base_text.h"
#include "wg_blake2s.h"
#include "wg_cookie.h"
#include "wg_key.h"

#include <sodium.h>

#include <stdio.h>
#include <valgrind/memcheck.h>

#define secret(p, len) (void)VALGRIND_MAKE_MEM_UNDEFINED(p, len)
#define public(p, len) (void)VALGRIND_MAKE_MEM_DEFINED(p, len)

static unsigned int n_tests;

/* One TAP line: no new error since the last. */
static void report(const char *name)
{
	static unsigned long long errors_before;
	unsigned long long errors = VALGRIND_COUNT_ERRORS;

	printf("%s %u - %s\n", errors == errors_before ? "ok" : "not ok", ++n_tests, name);
	errors_before = errors;
}

static void hashes(void)
{
	uint8_t key[32] = {1}, in[200] = {2}, out[3][32];

	secret(key, sizeof(key));
	secret(in, sizeof(in));
	wg_hash(out[0], in, sizeof(in));
	wg_mac(out[0], key, sizeof(key), in, sizeof(in));
	wg_hmac(out[0], key, sizeof(key), in, sizeof(in));
	wg_kdf(out[0], out[1], out[2], key, in, 32);
	report("hash_mac_hmac_and_kdf_do_not_branch_on_key_or_input");
}

static void keys(void)
{
	uint8_t key[WG_KEY_LEN] = {3}, public_key[WG_KEY_LEN];

	secret(key, sizeof(key));
	wg_key_clamp(key);
	wg_key_public(public_key, key);
	report("public_key_is_made_without_a_branch_on_the_private_one");
}

static void comparisons(void)
{
	uint8_t a[32] = {4}, b[32] = {4};
	bool equal, zero;

	secret(a, sizeof(a));
	equal = base_equal_ct(a, b, sizeof(a));
	zero = base_is_zero_ct(a, sizeof(a));
	public(&equal, sizeof(equal));
	public(&zero, sizeof(zero));
	report(equal && !zero ? "comparison_does_not_branch_on_its_bytes" : "comparison_is_wrong");
}

static void cookies(void)
{
	struct wg_cookie_maker maker;
	uint8_t msg[WG_INITIATION_LEN] = {1};
	const uint8_t public_key[WG_KEY_LEN] = {5};

	wg_cookie_maker_init(&maker, public_key);
	secret(maker.cookie, sizeof(maker.cookie));
	maker.cookie_birth_ns = 1;
	wg_cookie_stamp(&maker, msg, sizeof(msg), 2);
	report("stamping_does_not_branch_on_the_cookie");
}

static void text(void)
{
	uint8_t key[BASE_KEY_LEN] = {6};
	char base64[BASE_KEY_BASE64_LEN];

	secret(key, sizeof(key));
	base_key_to_base64(base64, key);
	report("base64_of_a_key_does_not_branch_on_it");
}

/* A branch on a secret, to see that one is noticed. */
static void control(void)
{
	volatile uint8_t key[1] = {7};
	unsigned int before = (unsigned int)VALGRIND_COUNT_ERRORS;

	secret((void *)(uintptr_t)key, 1);
	if (key[0] == 7)
		fflush(stdout);
	printf("%s %u - a_branch_on_a_secret_is_noticed\n",
	       (unsigned int)VALGRIND_COUNT_ERRORS == before + 1 ? "ok" : "not ok", ++n_tests);
}

int main(void)
{
	if (sodium_init() < 0)
		return 1;
	hashes();
	keys();
	comparisons();
	cookies();
	text();
	control();
	printf("1..%u\n", n_tests);
	return 0;
}

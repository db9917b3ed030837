#include "bench_x25519.h"

#include "wg_key.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <errno.h>

/* ---- libsodium, through wg_key ---------------------------------------------------------------------- */

static int sodium_shared(uint8_t *shared, const uint8_t *private_key, const uint8_t *public_key)
{
	return wg_key_shared(shared, private_key, public_key);
}

static int sodium_public(uint8_t *public_key, const uint8_t *private_key)
{
	wg_key_public(public_key, private_key);
	return 0;
}

/* ---- OpenSSL's EVP, the shortest way that its documentation shows ------------------------------------ */

/* EVP_PKEY_new_raw_private_key() computes the public key, which costs as much as the agreement; given
 * one, fromdata does not, and the agreement does not look at it. */
static EVP_PKEY *private_of(const uint8_t *private_key)
{
	uint8_t unused[WG_KEY_LEN] = {0};
	uint8_t key[WG_KEY_LEN];
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_id(EVP_PKEY_X25519, NULL);
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PRIV_KEY, key, sizeof(key)),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, unused, sizeof(unused)),
		OSSL_PARAM_construct_end(),
	};
	EVP_PKEY *out = NULL;

	for (unsigned int i = 0; i < sizeof(key); i++)
		key[i] = private_key[i];
	if (context != NULL && EVP_PKEY_fromdata_init(context) > 0)
		(void)EVP_PKEY_fromdata(context, &out, EVP_PKEY_KEYPAIR, params);
	EVP_PKEY_CTX_free(context);
	return out;
}

static int openssl_shared(uint8_t *shared, const uint8_t *private_key, const uint8_t *public_key)
{
	EVP_PKEY *own = private_of(private_key);
	EVP_PKEY *other = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, public_key,
	                                              WG_KEY_LEN);
	EVP_PKEY_CTX *context = own != NULL ? EVP_PKEY_CTX_new(own, NULL) : NULL;
	size_t len = WG_KEY_LEN;
	int ok = context != NULL && other != NULL && EVP_PKEY_derive_init(context) > 0
	         && EVP_PKEY_derive_set_peer(context, other) > 0
	         && EVP_PKEY_derive(context, shared, &len) > 0;

	EVP_PKEY_CTX_free(context);
	EVP_PKEY_free(other);
	EVP_PKEY_free(own);
	return ok ? 0 : -EINVAL;
}

static int openssl_public(uint8_t *public_key, const uint8_t *private_key)
{
	EVP_PKEY *own = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private_key,
	                                             WG_KEY_LEN);
	size_t len = WG_KEY_LEN;
	int ok = own != NULL && EVP_PKEY_get_raw_public_key(own, public_key, &len) > 0;

	EVP_PKEY_free(own);
	return ok ? 0 : -EINVAL;
}

const struct bench_x25519 bench_x25519[BENCH_N_X25519] = {
	{"libsodium", sodium_shared, sodium_public},
	{"OpenSSL", openssl_shared, openssl_public},
};

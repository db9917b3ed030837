/* Keys and the secrets of cookies. */
#include "state_gate.h"

#include "base_bytes.h"
#include "base_time.h"

#include <string.h>

/* The next 32 bytes that nobody can foretell: two ways on from the seed, one of them the next seed, and
 * none back. No system call is made for it. */
static void next_random(struct state_gate *gate, uint8_t out[static 32])
{
	uint8_t seed[32];

	wg_kdf(seed, out, NULL, gate->seed, "cookie", 6);
	memcpy(gate->seed, seed, sizeof(gate->seed));
	base_wipe(seed, sizeof(seed));
}

static void table_init(struct state_gate *gate, struct base_source_table *table, uint32_t per_s,
                       uint32_t burst)
{
	uint8_t random[32];

	next_random(gate, random);
	table->key = base_siphash_key(random);
	table->rate = base_bucket_rate(per_s, burst);
	base_wipe(random, sizeof(random));
}

void state_gate_init(struct state_gate *gate, const uint8_t random[static 32])
{
	memset(gate, 0, sizeof(*gate));
	memcpy(gate->seed, random, sizeof(gate->seed));
	table_init(gate, &gate->unproven_of, STATE_GATE_SOURCE_PER_S, STATE_GATE_SOURCE_BURST);
	table_init(gate, &gate->proven_of, STATE_GATE_SOURCE_PER_S, STATE_GATE_SOURCE_BURST);
	table_init(gate, &gate->asked_of, STATE_GATE_ASKED_PER_S, STATE_GATE_ASKED_BURST);
}

static bool keep(struct state_gate_key *to, const struct state_gate_key *old, uint32_t n,
                 const uint8_t public_key[static WG_KEY_LEN])
{
	for (uint32_t i = 0; i < n; i++) {
		if (memcmp(old[i].public_key, public_key, WG_KEY_LEN) != 0)
			continue;
		*to = old[i];
		return true;
	}
	return false;
}

void state_gate_keys(struct state_gate *gate, const struct abi_cmd_hub *hub)
{
	struct state_gate_key old[ABI_HUB_KEYS];
	uint32_t n_old = gate->n_keys;

	memcpy(old, gate->keys, sizeof(old));
	memset(gate->keys, 0, sizeof(gate->keys));
	gate->n_keys = hub->n_keys;
	for (uint32_t i = 0; i < hub->n_keys; i++) {
		struct state_gate_key *key = &gate->keys[i];

		if (keep(key, old, n_old, hub->public_keys[i]))
			continue;
		memcpy(key->public_key, hub->public_keys[i], WG_KEY_LEN);
		wg_mac1_key_init(&key->mac1, key->public_key);
		wg_cookie_checker_init(&key->cookies, key->public_key);
	}
	base_wipe(old, sizeof(old));
}

void state_gate_reply(struct state_gate *gate, uint32_t key, const uint8_t *message, uint32_t len,
                      const struct base_endpoint *source, const uint64_t nonce_random[static 3],
                      uint64_t now_ns, uint8_t reply[static WG_COOKIE_LEN])
{
	struct wg_cookie_checker *cookies = &gate->keys[key].cookies;
	uint8_t secret[32] = {0}, nonce[WG_COOKIE_NONCE_LEN];

	if (!wg_cookie_secret_is_fresh(cookies, now_ns))
		next_random(gate, secret);
	for (uint32_t i = 0; i < 3; i++)
		base_store_le64(nonce + 8 * i, nonce_random[i]);
	wg_cookie_reply_create(cookies, message, len, source, secret, nonce, now_ns, reply);
	base_wipe(secret, sizeof(secret));
}

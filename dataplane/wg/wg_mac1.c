/* Messages to lanes, and the choice of the instruction set. */
#include "wg_mac1.h"

#include "base_bytes.h"
#include "wg_cookie.h"
#include "wg_mac1_lanes.h"

#include <assert.h>

/* So few left over are done one by one: a whole vector costs as much as three. */
#define ALONE_MAX 2U

static const struct {
	wg_mac1_lanes_fn *fn;
	uint32_t n_lanes;
} ways[WG_MAC1_N_WAYS] = {
	[WG_MAC1_PLAIN] = {wg_mac1_lanes_4, 4},
	[WG_MAC1_AVX2] = {wg_mac1_lanes_8, 8},
	[WG_MAC1_AVX512] = {wg_mac1_lanes_16, 16},
};

/* Messages of one length, and their places in the burst. */
struct group {
	uint32_t n;
	size_t len; /* up to mac1 */
	const uint8_t *msgs[WG_MAC1_MAX];
	uint8_t place[WG_MAC1_MAX];
};

void wg_mac1_key_init(struct wg_mac1_key *key, const uint8_t public_key[static WG_KEY_LEN])
{
	uint8_t bytes[32];

	wg_cookie_mac1_key(bytes, public_key);
	wg_blake2s_init(&key->begun, WG_MAC_LEN, bytes, sizeof(bytes));
	wg_blake2s_flush(&key->begun);
}

bool wg_mac1_has(enum wg_mac1_way way)
{
	switch (way) {
	case WG_MAC1_AVX512:
		return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl");
	case WG_MAC1_AVX2:
		return __builtin_cpu_supports("avx2");
	case WG_MAC1_PLAIN:
	case WG_MAC1_N_WAYS:
		break;
	}
	return way == WG_MAC1_PLAIN;
}

static uint64_t verdict(const struct group *group, uint32_t i, const uint8_t mac[static WG_MAC_LEN])
{
	return (uint64_t)base_equal_ct(mac, group->msgs[i] + group->len, WG_MAC_LEN)
	       << group->place[i];
}

static uint64_t check_alone(const struct wg_mac1_key *key, const struct group *group, uint32_t i)
{
	struct wg_blake2s state = key->begun;
	uint8_t mac[WG_MAC_LEN];

	wg_blake2s_update(&state, group->msgs[i], group->len);
	wg_blake2s_final(&state, mac);
	return verdict(group, i, mac);
}

static uint64_t check_group(enum wg_mac1_way way, const struct wg_mac1_key *key,
                            struct group *group)
{
	uint8_t macs[WG_MAC1_LANES_MAX][WG_MAC_LEN];
	uint32_t n_lanes = ways[way].n_lanes;
	uint64_t good = 0;

	for (uint32_t i = 0; i < group->n; i += n_lanes) {
		const uint8_t *lanes[WG_MAC1_LANES_MAX];
		uint32_t n = group->n - i < n_lanes ? group->n - i : n_lanes;

		if (n <= ALONE_MAX) {
			for (uint32_t k = i; k < group->n; k++)
				good |= check_alone(key, group, k);
			break;
		}
		for (uint32_t k = 0; k < n_lanes; k++)
			lanes[k] = group->msgs[i + (k < n ? k : 0)];
		ways[way].fn(key->begun.h, lanes, group->len, macs);
		for (uint32_t k = 0; k < n; k++)
			good |= verdict(group, i + k, macs[k]);
	}
	return good;
}

uint64_t wg_mac1_check_by(enum wg_mac1_way way, const struct wg_mac1_key *key,
                          const uint8_t *const msgs[], uint32_t n)
{
	struct group initiations = {.len = WG_INITIATION_MAC1},
		     responses = {.len = WG_RESPONSE_MAC1};

	assert(n <= WG_MAC1_MAX);
	for (uint32_t i = 0; i < n; i++) {
		struct group *group = msgs[i][0] == WG_MESSAGE_INITIATION ? &initiations
		                                                          : &responses;

		group->msgs[group->n] = msgs[i];
		group->place[group->n++] = (uint8_t)i;
	}
	return check_group(way, key, &initiations) | check_group(way, key, &responses);
}

uint64_t wg_mac1_check(const struct wg_mac1_key *key, const uint8_t *const msgs[], uint32_t n)
{
	enum wg_mac1_way way = wg_mac1_has(WG_MAC1_AVX512) ? WG_MAC1_AVX512
	                       : wg_mac1_has(WG_MAC1_AVX2) ? WG_MAC1_AVX2
	                                                   : WG_MAC1_PLAIN;

	return wg_mac1_check_by(way, key, msgs, n);
}

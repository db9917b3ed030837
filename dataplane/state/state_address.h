/* The hub's own addresses: on WAN ports (where WireGuard listens) and in the tunnel. Few, and looked
 * up for every packet: plain arrays, searched in order. */
#ifndef STATE_ADDRESS_H
#define STATE_ADDRESS_H

#include "abi_layout.h"
#include "base_bytes.h"

#include <stdbool.h>
#include <stdint.h>

struct state;

#define STATE_ADDRESSES_MAX 64U

/* Addresses of one kind, compiled from the list below. Network byte order as stored. */
struct state_address_set {
	uint32_t n_v4;
	uint32_t n_v6;
	uint32_t v4[STATE_ADDRESSES_MAX];
	struct base_ip v6[STATE_ADDRESSES_MAX];
};

struct state_address {
	struct base_ip ip;
	uint32_t port; /* WAN port or ABI_PORTS_MAX = tunnel */
	uint32_t sync;
};

struct state_addresses {
	struct state_address_set wan;
	struct state_address_set tunnel;
	uint32_t generation; /* another one after each change */
	uint32_t n;
	struct state_address list[STATE_ADDRESSES_MAX];
};

/* Add or remove an address. Returns 0, -EINVAL, -ENOSPC (more than STATE_ADDRESSES_MAX). */
int state_address_put(struct state *st, const struct abi_cmd_address *cmd)
	__attribute__((warn_unused_result));

/* Remove the addresses that the sync which just ended did not repeat. */
void state_address_sweep(struct state *st);

/* An address of this family on a WAN port, for packets that may use any; NULL if there is none.
 * Valid until the next change. */
const struct base_ip *state_address_of_port(const struct state *st, uint8_t family, uint32_t port);

/* Is it the hub itself, inside or outside? What is sent to such an endpoint would come back for ever. */
bool state_address_is_own(const struct state_addresses *addresses, const struct base_ip *ip);

/* Is address (4 or 16 bytes) in the set? */
static inline bool state_address_has_v4(const struct state_address_set *set, const uint8_t *address)
{
	uint32_t wanted = base_load_le32(address);

	for (uint32_t i = 0; i < set->n_v4; i++)
		if (set->v4[i] == wanted)
			return true;
	return false;
}

static inline bool state_address_has_v6(const struct state_address_set *set, const uint8_t *address)
{
	for (uint32_t i = 0; i < set->n_v6; i++)
		if (memcmp(set->v6[i].bytes, address, 16) == 0)
			return true;
	return false;
}

static inline bool state_address_has(const struct state_address_set *set, uint32_t version,
                                     const uint8_t *address)
{
	return version == 4 ? state_address_has_v4(set, address)
	                    : state_address_has_v6(set, address);
}

#endif

/* What a worker holds, in parts, and how a part is told in one word: so that control can compare a
 * million entries with what it wants by a few records, and asks for the entries of a part only where
 * the two differ. Shared by both sides.
 *
 * A peer, its limits, its routes, and sessions that outlived their peer are in the part of the peer's number;
 * everything else has a part a kind. The sum of a part is that of its entries' hashes, modulo 2^64:
 * in any order, and kept up to date by adding and subtracting. An entry is the payload of the
 * command that makes it, canonical: prefixes masked, padding zero. */
#ifndef ABI_CHECK_H
#define ABI_CHECK_H

#include "abi_layout.h"
#include "base_siphash.h"

#define ABI_CHECK_PEER_PARTS 1024U

enum abi_check_part {
	ABI_CHECK_HUB = ABI_CHECK_PEER_PARTS,
	ABI_CHECK_ADDRESSES,
	ABI_CHECK_WAN_ROUTES,
	ABI_CHECK_NEIGHBOURS,
	ABI_CHECK_N_PARTS
};
_Static_assert(ABI_CHECK_N_PARTS <= ABI_CHECK_WORDS * 64, "parts fit the bit set");

static inline uint32_t abi_check_peer_part(uint32_t peer)
{
	return peer % ABI_CHECK_PEER_PARTS;
}

/* Part of an entry of this kind; peer counts for those that have one. */
static inline uint32_t abi_check_part(uint16_t type, uint32_t peer)
{
	switch (type) {
	case ABI_CMD_HUB:
		return ABI_CHECK_HUB;
	case ABI_CMD_ADDRESS:
		return ABI_CHECK_ADDRESSES;
	case ABI_CMD_WAN_ROUTE_PUT:
		return ABI_CHECK_WAN_ROUTES;
	case ABI_CMD_NEIGHBOUR_PUT:
		return ABI_CHECK_NEIGHBOURS;
	default:
		return abi_check_peer_part(peer);
	}
}

/* Bytes of an entry of this kind; 0 = there is no such. */
static inline uint16_t abi_check_entry_len(uint16_t type)
{
	switch (type) {
	case ABI_CMD_HUB:
		return sizeof(struct abi_cmd_hub);
	case ABI_CMD_ADDRESS:
		return sizeof(struct abi_cmd_address);
	case ABI_CMD_PEER_PUT:
		return sizeof(struct abi_cmd_peer);
	case ABI_CMD_ROUTE_PUT:
		return sizeof(struct abi_cmd_route);
	case ABI_CMD_WAN_ROUTE_PUT:
		return sizeof(struct abi_cmd_wan_route);
	case ABI_CMD_NEIGHBOUR_PUT:
		return sizeof(struct abi_cmd_neighbour);
	case ABI_CMD_PEER_LIMIT:
		return sizeof(struct abi_cmd_peer_limit);
	case ABI_CMD_SESSION_RETIRE:
		return sizeof(struct abi_cmd_session);
	default:
		return 0;
	}
}

/* Hash of an entry. Keyed, so that nobody can choose entries whose sums are alike. */
static inline uint64_t abi_check_hash(struct base_siphash_key key, uint16_t type, const void *entry)
{
	key.k0 ^= type;
	return base_siphash(key, entry, abi_check_entry_len(type));
}

static inline bool abi_check_is_wanted(const uint64_t *wanted, uint32_t part)
{
	return (wanted[part / 64] >> part % 64 & 1) != 0;
}

static inline void abi_check_want(uint64_t *wanted, uint32_t part)
{
	wanted[part / 64] |= UINT64_C(1) << part % 64;
}

#endif

/* The simulated peers: keys that follow from a seed, addresses, and the state of their sessions.
 * The private keys are as secret as the seed, so they are for benchmarks only. */
#ifndef PKTGEN_PEER_H
#define PKTGEN_PEER_H

#include "pktgen_args.h"
#include "wg_cookie.h"
#include "wg_noise.h"

#include <stdint.h>
#include <stdio.h>

#define PKTGEN_PEER_NO_SLOT UINT32_MAX

/* In the order of use: a packet that is sent touches the first line, one that comes the second. */
struct pktgen_peer {
	_Alignas(64) uint8_t send_key[WG_KEY_LEN];
	uint64_t send_counter;
	uint64_t last_sent_ns; /* any packet */
	uint64_t birth_ns;     /* of the session */
	uint32_t remote_index; /* the hub's; 0 = no session */
	uint32_t port_address; /* UDP port, and above it the number of the own address */

	_Alignas(64) uint8_t receive_key[WG_KEY_LEN];
	uint64_t last_data_ns; /* last data received */
	uint32_t local_index;
	uint32_t previous_index;
	uint32_t home;       /* port_address again */
	uint32_t slot;       /* of its handshake under way, or PKTGEN_PEER_NO_SLOT */
	uint32_t is_wanting; /* stands in the queue for a handshake */
	uint32_t generation; /* handshakes begun */

	_Alignas(64) uint8_t previous_key[WG_KEY_LEN];
	uint64_t last_keepalive_ns; /* last one received */
	/* What the hub began: used for sending once a packet has come on it. Index 0 = none. */
	uint32_t next_index;
	uint32_t next_remote_index;
	struct wg_noise_keys next;
	uint64_t next_birth_ns;
	struct wg_noise_identity identity;
	struct wg_noise_peer hub; /* the hub, as this peer knows it */
	struct wg_cookie_maker cookie;
};

_Static_assert(offsetof(struct pktgen_peer, previous_key) == 128, "two lines");

struct pktgen_peers {
	uint32_t n;
	struct pktgen_peer *peer; /* [n] */
	struct base_ip *own;      /* [n_own]: outer addresses */
	uint32_t n_own;
	struct base_ip inner; /* of peer 0 */
};

/* Private key of peer i: BLAKE2s of a label, the seed and i. */
void pktgen_peer_private_key(uint8_t out[static WG_KEY_LEN], const char *seed, uint32_t i);

/* Inner address of peer i. */
struct base_ip pktgen_peer_inner(const struct base_ip *first, uint32_t i);

/* Write the `peers` part of weir.conf. Returns 0 or -EIO. */
int pktgen_peer_print_config(const struct pktgen_options *options, FILE *out)
	__attribute__((warn_unused_result));

/* Make all peers: 2 X25519 each. Caller: pktgen_peers_fini(). Returns 0, -ENOMEM, or -EINVAL when
 * the hub's key is no key. */
int pktgen_peers_init(struct pktgen_peers *peers, const struct pktgen_options *options)
	__attribute__((warn_unused_result));
void pktgen_peers_fini(struct pktgen_peers *peers); /* wipes keys */

/* What is due for a peer's session. */
#define PKTGEN_PEER_EXPIRED 1U /* not to be used any more */
#define PKTGEN_PEER_HANDSHAKE                                                                      \
	2U /* 120 s old and in use, or data was sent and nothing heard for 15 s */
#define PKTGEN_PEER_KEEPALIVE 4U /* data came 10 s ago and nothing was sent since */

/* Returns a set of these; 0 without a session. */
uint32_t pktgen_peer_due(const struct pktgen_peer *peer, uint64_t now_ns);

/* The next session becomes the current one, and the current the previous. */
void pktgen_peer_promote(struct pktgen_peer *peer);

/* The peer at one of our addresses (4 or 16 bytes, by the family of peers->own) and a UDP port; peers->n
 * when there is none. */
uint32_t pktgen_peers_at(const struct pktgen_peers *peers, const uint8_t *address, uint16_t port);

/* UDP port, and number of the own address, out of port_address or home. */
static inline uint16_t pktgen_peer_port(uint32_t port_address)
{
	return (uint16_t)port_address;
}

static inline uint32_t pktgen_peer_address(uint32_t port_address)
{
	return port_address >> 16;
}

/* Our index of a handshake: the peer below, a generation above, never 0. */
static inline uint32_t pktgen_peer_index(uint32_t peer, uint32_t generation)
{
	return UINT32_C(1) << 31 | (generation & 0x3fff) << 17 | peer;
}

static inline uint32_t pktgen_peer_of_index(uint32_t index)
{
	return index & 0x1ffff;
}

_Static_assert(PKTGEN_PEERS_MAX <= 1U << 17, "a peer's number fits into an index");

#endif

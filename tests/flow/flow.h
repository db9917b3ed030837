/* The bench of the flow tests: workers without a NIC. Frames are put into a ring behind an ethdev,
 * worker_turn() is called, frames are taken out of another ring; rings stand for the kernel and the
 * other workers too, and the test itself is control. Time is the test's. Everything a peer would do
 * (sealing, opening, headers) is done here anew, with libsodium, so that what comes out is compared
 * byte by byte with something the stations did not make.
 *
 * The world: hub 192.0.2.1 and 2001:db8::1, port 51820, on WAN port 0 (gateways 192.0.2.254 and
 * 2001:db8::fe); 10.0.0.1 and fd00::1 in the tunnel. Peer n (1 ..): 10.0.0.(100 + n) and
 * fd00::(100 + n); its endpoint is 198.51.100.n, port 40000 + n, or 2001:db8:1::n. */
#ifndef FLOW_H
#define FLOW_H

#include "abi_region.h"
#include "base_time.h"
#include "blob.h"
#include "policy_build.h"
#include "port_link.h"
#include "test.h"
#include "wg_cookie.h"
#include "worker.h"

#include <rte_mbuf.h>
#include <rte_ring.h>

#include <stdbool.h>
#include <stdint.h>

#define FLOW_N_PEERS    16U
#define FLOW_N_WORKERS  4U /* at most */
#define FLOW_FRAME_MAX  2048U
#define FLOW_MTU        1500U
#define FLOW_TUN_MTU    1420U
#define FLOW_PUBLIC_KEY 0x77U /* of the hub: every byte of it */
#define FLOW_PORT       51820U
#define FLOW_CLIENT     40000U /* source and destination port of inner packets */
#define FLOW_SERVICE    2000U
#define FLOW_MS         BASE_NS_PER_MS
#define FLOW_S          BASE_NS_PER_S

struct flow_options {
	uint32_t n_workers;     /* 0 = 1 */
	uint32_t n_ports;       /* 0 = 1 */
	bool no_hub;            /* send no commands at all */
	bool no_link;           /* no exception thread */
	bool sums_udp;          /* port 0 completes UDP checksums */
	uint32_t link_ring_len; /* 0 = 1024 */
	uint32_t mesh_ring_len; /* 0 = 1024 */
	uint32_t n_flows;       /* that each worker has room for; 0 = default */
	enum assist_mode assist;
	enum aead_backend aead; /* 0 = auto */
	bool wakes; /* workers may be woken, ports too, though none ever does: for worker_run() */
};

struct flow {
	struct flow_options options;
	struct abi_region region;
	struct worker_shared *shared;
	struct blob_store *blobs;
	uint64_t policy_generation; /* of the last policy that was handed over */
	int policy_fd;              /* its memfd, -1 = none */
	struct worker_setup setups[FLOW_N_WORKERS];
	struct worker *workers[FLOW_N_WORKERS];
	struct abi_ring_end cmd[FLOW_N_WORKERS];
	struct abi_ring_end event[FLOW_N_WORKERS];
	struct port_link link[FLOW_N_WORKERS];
	_Atomic uint32_t exception_sleeps;
	uint64_t now_ns;
	uint64_t before[ABI_N_COUNTERS]; /* at the last flow_expect() */
	uint32_t n_summed;               /* frames whose UDP checksum the port completed */
};

/* A peer's end of a session. */
struct flow_session {
	uint32_t worker;
	uint32_t index; /* the hub's, in messages to it */
	uint32_t remote_index;
	uint32_t peer;
	uint64_t counter; /* the peer's next */
	struct base_endpoint endpoint;
	uint8_t to_hub[32];
	uint8_t from_hub[32];
};

/* cmocka group set-up: EAL, pool, ports; once a process. */
int flow_start(void **state);
/* The same with ports whose queues hold so many frames less one, instead of 1023. */
int flow_start_deep(uint32_t queue_len);

struct flow *flow_create(const struct flow_options *options);
/* Asserts the balance of every worker after its end and that no packet buffer was lost. */
void flow_destroy(struct flow *flow);

/* Destroy all workers without retiring anything, as kill -9 would, and make them again. */
void flow_restart(struct flow *flow);

/* ---- control ---- */

/* Push a command to one worker or to all. */
void flow_cmd(struct flow *flow, uint32_t worker, uint16_t type, const void *cmd, size_t len);
void flow_cmd_all(struct flow *flow, uint16_t type, const void *cmd, size_t len);
#define FLOW_CMD(flow, worker, type, ...)                                                          \
	flow_cmd(flow, worker, type, &(__VA_ARGS__), sizeof(__VA_ARGS__))
#define FLOW_CMD_ALL(flow, type, ...) flow_cmd_all(flow, type, &(__VA_ARGS__), sizeof(__VA_ARGS__))

/* The hub as described above, with its addresses, routes, neighbours and peers 1 .. 8; and, unless the
 * test has handed over one, a policy by which everybody reaches everybody. */
void flow_cmd_world(struct flow *flow);

/* Fill in a session of peer in slot of worker: keys and remote index follow from the index. */
struct flow_session flow_session_make(uint32_t worker, uint32_t slot, uint32_t peer,
                                      uint8_t family);
/* Tell the hub of it. birth_ns 0 = now. */
void flow_session_install(struct flow *flow, const struct flow_session *session, enum abi_role role,
                          uint64_t birth_ns);
/* Both at once, and one turn. The hub is initiator. */
struct flow_session flow_session(struct flow *flow, uint32_t worker, uint32_t slot, uint32_t peer,
                                 uint8_t family);

/* Next event of a worker, or false. payload gets it. */
bool flow_event(struct flow *flow, uint32_t worker, uint16_t *type, void *payload, size_t len);
/* The next event is of this type; payload gets it. */
void flow_expect_event(struct flow *flow, uint32_t worker, uint16_t type, void *payload,
                       size_t len);
void flow_expect_no_event(struct flow *flow);

/* ---- policy: flow_policy.c ---- */

/* Hand over a policy of these grants, as control does, with all peers at their addresses; peer n is in group
 * n % 2. It is in force after the next turn. */
void flow_policy(struct flow *flow, const struct policy_grant *grants, uint32_t n);
#define FLOW_POLICY(flow, ...)                                                                     \
	flow_policy(flow, (const struct policy_grant[]){__VA_ARGS__},                              \
	            sizeof((const struct policy_grant[]){__VA_ARGS__})                             \
	                    / sizeof(struct policy_grant))
/* Everybody reaches everybody and the hub, also what is behind peers. */
void flow_policy_open(struct flow *flow);
/* Take it away. */
void flow_policy_none(struct flow *flow);
/* Hand over what there is (none, after flow_policy_none()) once more. */
void flow_policy_repeat(struct flow *flow);
/* For flow.c: make the dataplane's end, which gets what there is. */
void flow_policy_start(struct flow *flow);
/* All workers use the last, and the dataplane says so. */
void flow_policy_settle(struct flow *flow);

/* ---- packets: flow_wire.c ---- */

extern const uint8_t flow_gateway_mac[6]; /* of all gateways */

struct base_ip flow_ip(const char *text);
struct base_endpoint flow_endpoint(const char *text);
struct base_ip flow_inner_ip(uint32_t peer, uint8_t family);

/* Inner UDP packet with n_payload bytes; returns its length. hop_limit as given. */
uint32_t flow_inner(uint8_t *out, const struct base_ip *source, const struct base_ip *destination,
                    uint8_t hop_limit, uint32_t n_payload);
/* The same between peers, hop limit 64. */
uint32_t flow_inner_between(uint8_t *out, uint32_t from, uint32_t to, uint8_t family,
                            uint32_t n_payload);

/* What the hub makes of an inner packet on the way through: one hop less. In place. */
void flow_hop(uint8_t *inner);

/* WireGuard data message of the peer's with its next counter; inner is padded to 16. Returns its
 * length. */
uint32_t flow_seal(struct flow_session *session, uint8_t *out, const uint8_t *inner, uint32_t len);
/* The same with a counter of the test's, without padding. */
uint32_t flow_seal_at(const struct flow_session *session, uint64_t counter, uint8_t *out,
                      const uint8_t *inner, uint32_t len);
/* Message of the hub's with this counter, padded as the hub does. */
uint32_t flow_seal_by_hub(const struct flow_session *session, uint64_t counter, uint8_t *out,
                          const uint8_t *inner, uint32_t len);

/* Ethernet, IP, UDP around a payload, from an endpoint to the hub; returns the frame's length. */
uint32_t flow_frame_to_hub(uint8_t *out, const struct base_endpoint *from, const uint8_t *payload,
                           uint32_t len);
/* The same around a handshake message of this type (1 to 3) that is right up to its mac1, or not. */
uint32_t flow_handshake_to_hub(uint8_t *out, const struct base_endpoint *from, uint8_t type,
                               bool good_mac);
/* The same with a right mac1 for whom the maker is made, and mac2 when it has a cookie. */
uint32_t flow_knock(uint8_t *out, const struct base_endpoint *from, uint8_t type,
                    struct wg_cookie_maker *maker, uint64_t now_ns);
/* The hub's public key. */
void flow_public_key(uint8_t out[static WG_KEY_LEN]);
/* The frame that the hub should send: id and UDP checksum as specified. */
uint32_t flow_frame_from_hub(uint8_t *out, const struct base_endpoint *to, uint16_t id,
                             const uint8_t *payload, uint32_t len);
/* Recompute the IPv4 header checksum of a frame that the test bent. */
void flow_mend_sum(uint8_t *frame);

/* ---- the wire ---- */

/* Of a port of the hub's; mac[6]. */
void flow_mac(uint32_t port, uint8_t *mac);
/* Put a frame into the receive queue of a worker on a port; mbuf variant: takes it. */
void flow_rx(struct flow *flow, uint32_t worker, uint32_t port, const uint8_t *frame, uint32_t len);
void flow_rx_mbuf(struct flow *flow, uint32_t worker, uint32_t port, struct rte_mbuf *mbuf);
/* Frames that still find room there. */
uint32_t flow_rx_room(const struct flow *flow, uint32_t worker, uint32_t port);
struct rte_mbuf *flow_mbuf(const uint8_t *bytes, uint32_t len);
/* A data message with this inner packet, as the peer would send it from its endpoint. */
void flow_rx_data(struct flow *flow, struct flow_session *session, const uint8_t *inner,
                  uint32_t len);
/* From the kernel: an inner packet (port PORT_LINK_TUN) or a frame for a WAN port. */
void flow_from_kernel(struct flow *flow, uint32_t worker, uint16_t port, const uint8_t *bytes,
                      uint32_t len);

/* One turn of every worker at flow->now_ns; again until mesh rings are empty. */
void flow_turn(struct flow *flow);
/* Let time pass, then a turn. */
void flow_pass(struct flow *flow, uint64_t ns);

/* Take the oldest frame sent by worker on port; out[FLOW_FRAME_MAX]. 0 = none. */
uint32_t flow_tx(struct flow *flow, uint32_t worker, uint32_t port, uint8_t *out);
/* Take the oldest packet to the kernel; *port gets its label. 0 = none. */
uint32_t flow_to_kernel(struct flow *flow, uint32_t worker, uint16_t *port, uint8_t *out);

/* The next frame sent (worker, port 0) is the hub's message to session with this counter and inner
 * packet, byte by byte. */
void flow_expect_data(struct flow *flow, const struct flow_session *session, uint64_t counter,
                      const uint8_t *inner, uint32_t len);
void flow_expect_silence(struct flow *flow); /* nothing on any wire, nothing to the kernel */

/* ---- counters ---- */

struct flow_delta {
	enum abi_counter counter;
	uint64_t n;
};

/* Since the last call exactly these counters grew (summed over the workers), by exactly that; and
 * the balance of every worker holds. */
void flow_expect_counters(struct flow *flow, const struct flow_delta *deltas, uint32_t n);
#define FLOW_EXPECT(flow, ...)                                                                     \
	flow_expect_counters(flow, (const struct flow_delta[]){__VA_ARGS__},                       \
	                     sizeof((const struct flow_delta[]){__VA_ARGS__})                      \
	                             / sizeof(struct flow_delta))
/* The balance alone. */
void flow_expect_balance(struct flow *flow);
/* Forget what was counted so far. */
void flow_reset(struct flow *flow);
uint64_t flow_counter(const struct flow *flow, enum abi_counter counter);

#endif

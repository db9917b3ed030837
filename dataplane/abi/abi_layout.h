/* The bytes of the region: every struct that control and the dataplane share, with its size and
 * offsets asserted. README.md draws them. Rules (DESIGN.md section 4): fixed-width integers,
 * offsets and ids instead of pointers, no bool, enum or long; each field says who writes it; a
 * change bumps ABI_VERSION and abi.expected.
 *
 * Times are CLOCK_MONOTONIC nanoseconds, which both processes share. */
#ifndef ABI_LAYOUT_H
#define ABI_LAYOUT_H

#include "abi_counter.h"
#include "base_ip.h"
#include "base_tokens.h"

#include <stddef.h>
#include <stdint.h>

#define ABI_MAGIC   UINT64_C(0x31524945572e6162) /* "ba.WEIR1" */
#define ABI_VERSION 5U

#define ABI_LINE          64U
#define ABI_WORKERS_MAX   16U
#define ABI_PORTS_MAX     8U
#define ABI_PEERS_MAX     (1U << 20)
#define ABI_RECORD_LEN    256U
#define ABI_PAYLOAD_MAX   (ABI_RECORD_LEN - 16U)
#define ABI_CMD_SLOTS     1024U /* records in a command ring; power of two */
#define ABI_EVENT_SLOTS   1024U
#define ABI_REPORT_SLOTS  512U
#define ABI_HANDSHAKE_MAX 148U
#define ABI_COUNTERS_LEN  192U /* room for enum abi_counter to grow within a version */
#define ABI_BLOBS_MAX     4U
#define ABI_HUB_KEYS      2U /* of the hub's own: one, or two while it changes */
#define ABI_PEER_NONE     UINT32_MAX
#define ABI_PEER_HUB      (UINT32_MAX - 1)    /* in reports: the hub itself, or its kernel */
#define ABI_SEND_RESERVE  (UINT64_C(1) << 16) /* send counters reserved ahead at a time */

_Static_assert(ABI_N_COUNTERS <= ABI_COUNTERS_LEN, "make room for the counters: new version");

#define ABI_ASSERT_SIZE(type, size) _Static_assert(sizeof(type) == (size), #type " changed size")
#define ABI_ASSERT_OFFSET(type, field, offset)                                                     \
	_Static_assert(offsetof(type, field) == (offset), #type "." #field " moved")

/* ---- session index ----------------------------------------------------------------------------
 * The 32-bit index that a peer puts into each message to us: the owner's number in the low bits,
 * so that any worker finds the owner by a mask; then the slot in the owner's session table; random
 * bits above, so that an index of an earlier session in the slot is not taken for this one. */
#define ABI_INDEX_WORKER_BITS 4U
#define ABI_INDEX_SLOT_BITS   20U
#define ABI_INDEX_NONE        0U /* never issued: slot 0 of every worker stays unused */

static inline uint32_t abi_index_worker(uint32_t index)
{
	return index & ((1U << ABI_INDEX_WORKER_BITS) - 1U);
}

static inline uint32_t abi_index_slot(uint32_t index)
{
	return index >> ABI_INDEX_WORKER_BITS & ((1U << ABI_INDEX_SLOT_BITS) - 1U);
}

/* random: any 32 bits, of which the upper 8 are used. */
static inline uint32_t abi_index_make(uint32_t worker, uint32_t slot, uint32_t random)
{
	uint32_t low = ABI_INDEX_WORKER_BITS + ABI_INDEX_SLOT_BITS;

	return random >> low << low | slot << ABI_INDEX_WORKER_BITS | worker;
}

/* ---- set-up: what the dataplane must know before it can start --------------------------------- */

enum abi_driver {                           /* in abi_port_setup.driver */
	          ABI_DRIVER_AF_PACKET = 0, /* device = kernel interface */
	          ABI_DRIVER_PCI = 1,       /* device = PCI address */
	          ABI_DRIVER_VDEV = 2,      /* device = EAL --vdev text */
};

enum abi_aead { /* in abi_setup.aead */
	        ABI_AEAD_AUTO = 0,
	        ABI_AEAD_IPSEC_MB = 1,
	        ABI_AEAD_SODIUM = 2,
	        ABI_AEAD_AVX512 = 3,
	        ABI_AEAD_AVX2 = 4,
};

struct abi_port_setup {     /* written by control before the first attach, then constant */
	char name[16];      /* as in the configuration, zero-terminated */
	char device[176];   /* by driver, zero-terminated */
	uint32_t driver;    /* enum abi_driver */
	uint16_t mtu;       /* bytes of IP packet */
	uint16_t n_rx_desc; /* 0 = default */
	uint32_t has_tap;   /* 1: control hands over a TAP for this port */
	uint32_t pad;
};
ABI_ASSERT_SIZE(struct abi_port_setup, 208);

struct abi_setup { /* written by control before the first attach, then constant */
	uint32_t n_workers;
	uint32_t n_ports;
	/* 0 = busy polling; else longest nap of an idle worker whose ports cannot wake it */
	uint32_t idle_cap_us;
	uint32_t aead;          /* enum abi_aead */
	uint32_t n_mbufs;       /* 0 = default */
	uint32_t use_hugepages; /* 1: try, fall back with a warning; 0: never */
	uint16_t tunnel_mtu;    /* largest inner packet, bytes */
	uint16_t pad16;
	uint32_t log_level;             /* enum base_log_level */
	int16_t cores[ABI_WORKERS_MAX]; /* CPU of each worker, -1 = not pinned */
	uint32_t n_flows;               /* that each worker has room for; 0 = default */
	uint32_t pad[15];
	struct abi_port_setup ports[ABI_PORTS_MAX];
};
ABI_ASSERT_SIZE(struct abi_setup, 128 + 208 * 8);

/* ---- header ------------------------------------------------------------------------------------ */

struct abi_header {
	/* written by the creator (control), then constant; checked by whoever attaches */
	uint64_t magic;
	uint32_t version;
	uint32_t header_len; /* sizeof(struct abi_header) */
	uint64_t region_len; /* bytes */
	uint64_t epoch;      /* random, names this region */
	uint32_t features;   /* bit set of optional parts; unknown bits are refused */
	uint32_t n_workers;
	uint32_t n_peers; /* peer ids are 0 .. n_peers - 1 */
	uint32_t n_slots; /* session slots of each worker */
	uint64_t pad0[2];

	struct abi_setup setup;

	/* written by control */
	_Alignas(64) uint32_t control_pid;
	uint32_t pad1;
	uint64_t control_heartbeat_ns;
	/* written by the dataplane */
	_Alignas(64) uint32_t dataplane_pid;
	uint32_t dataplane_ready; /* 1 once ports are up and workers run */
	uint64_t dataplane_heartbeat_ns;
	uint64_t dataplane_generation; /* +1 at each start of a dataplane on this region */
};
ABI_ASSERT_OFFSET(struct abi_header, setup, 64);
ABI_ASSERT_OFFSET(struct abi_header, control_pid, 1856);
ABI_ASSERT_OFFSET(struct abi_header, dataplane_pid, 1920);
ABI_ASSERT_SIZE(struct abi_header, 1984);

/* ---- rings --------------------------------------------------------------------------------------
 * Single producer, single consumer; head and tail only grow; see abi_ring.h. */

struct abi_record {
	uint16_t type; /* enum abi_cmd_type or abi_event_type */
	uint16_t len;  /* bytes of payload used */
	uint32_t pad;
	uint64_t seq; /* number of this record since the region was made, from 1 */
	uint8_t payload[ABI_PAYLOAD_MAX];
};
ABI_ASSERT_SIZE(struct abi_record, ABI_RECORD_LEN);

struct abi_ring {
	_Alignas(64) uint64_t head; /* written by the producer: records ever pushed */
	_Alignas(64) uint64_t tail; /* written by the consumer: records ever taken */
	_Alignas(64) uint32_t
		consumer_sleeps; /* consumer sets, producer clears: kick its eventfd */
	uint32_t pad;
};
ABI_ASSERT_SIZE(struct abi_ring, 192);

/* ---- commands: control -> worker ---------------------------------------------------------------
 * Every command is idempotent: after a kill the last one may be applied twice. */

enum abi_cmd_type {
	ABI_CMD_NONE = 0,
	ABI_CMD_HUB = 1,
	ABI_CMD_ADDRESS = 2,
	ABI_CMD_PEER_PUT = 3,
	ABI_CMD_PEER_DROP = 4,
	ABI_CMD_ROUTE_PUT = 5,
	ABI_CMD_ROUTE_DROP = 6,
	ABI_CMD_SESSION_INSTALL = 7,
	ABI_CMD_SESSION_RETIRE = 8,
	ABI_CMD_ENDPOINT_SET = 9,
	ABI_CMD_KEEPALIVE = 10,
	ABI_CMD_WAN_ROUTE_PUT = 11,
	ABI_CMD_WAN_ROUTE_DROP = 12,
	ABI_CMD_NEIGHBOUR_PUT = 13,
	ABI_CMD_NEIGHBOUR_DROP = 14,
	ABI_CMD_INJECT = 15,
	ABI_CMD_BARRIER = 16,
	ABI_CMD_SYNC_BEGIN = 17,
	ABI_CMD_SYNC_END = 18,
	ABI_CMD_CHECK = 19,
	ABI_CMD_PEER_LIMIT = 20,
	ABI_CMD_FLOWS = 21,
	ABI_CMD_PREFER = 22,
	ABI_CMD_HANDSHAKE_OVER = 23,
	ABI_N_CMD_TYPES
};

/* To every worker. */
struct abi_cmd_hub {
	uint8_t public_keys[ABI_HUB_KEYS][32]; /* [n_keys]; the rest 0 */
	uint16_t listen_port;                  /* host order */
	uint16_t tunnel_mtu;
	uint8_t n_keys;    /* 0 = no handshake message has a right mac1 */
	uint8_t copy_dscp; /* 1: outer packets bear the DSCP of inner ones; 0: dscp */
	uint8_t dscp;      /* 0 to 63 */
	uint8_t clamp_mss; /* 1: TCP's MSS is lowered to what fits tunnel_mtu */
};
ABI_ASSERT_SIZE(struct abi_cmd_hub, 72);

/* An address of the hub itself; to every worker. */
struct abi_cmd_address {
	struct base_ip ip;
	uint32_t port;    /* WAN port number, or ABI_PORTS_MAX for a tunnel address */
	uint32_t present; /* 1 add, 0 remove */
};
ABI_ASSERT_SIZE(struct abi_cmd_address, 28);

/* To every worker. HANDSHAKE_OVER: the attempts to reach it were given up, and nothing shall wait for them. */
struct abi_cmd_peer {
	uint32_t peer;
	uint16_t keepalive_s; /* persistent keepalive, 0 = off */
	uint16_t flags;       /* 0 */
};
ABI_ASSERT_SIZE(struct abi_cmd_peer, 8);

#define ABI_LIMIT_PACKETS_MAX     (UINT64_C(1) << 32)   /* a second, and at once */
#define ABI_LIMIT_BYTES_MAX       UINT64_C(50000000000) /* a second: 400 Gbit/s */
#define ABI_LIMIT_BYTES_BURST_MAX BASE_TOKENS_BURST_MAX /* at once */
#define ABI_LIMIT_BYTES_BURST_MIN UINT64_C(9216)        /* the largest packet must fit */
#define ABI_QUOTA_NONE            UINT64_MAX

/* What may pass one way: rates a second, 0 = no limit, and bursts, 0 without a rate. Bytes are those
 * of inner packets, without padding. */
struct abi_limit_rate {
	uint64_t packets;
	uint64_t packets_burst;
	uint64_t bytes;
	uint64_t bytes_burst;
};
ABI_ASSERT_SIZE(struct abi_limit_rate, 32);

/* What a peer may send (rx) and be sent (tx) through one worker; to every worker, each with its own
 * ..._until: no packet passes any more once abi_limit.rx_used, tx_used or their sum has reached it.
 * Nothing limited = the peer has no limits. */
struct abi_cmd_peer_limit {
	uint32_t peer;
	uint32_t pad;
	struct abi_limit_rate rx;
	struct abi_limit_rate tx;
	uint64_t rx_until; /* ABI_QUOTA_NONE = no quota, likewise */
	uint64_t tx_until;
	uint64_t total_until;
};
ABI_ASSERT_SIZE(struct abi_cmd_peer_limit, 96);

#define ABI_ROUTE_WORKER 0U /* writes the one table of routes that all workers read */

/* An allowed IP; to that worker, others refuse it. Put replaces the holder of exactly this prefix;
 * drop names it. */
struct abi_cmd_route {
	struct base_prefix prefix;
	uint32_t peer;
};
ABI_ASSERT_SIZE(struct abi_cmd_route, 28);

enum abi_role {
	ABI_ROLE_INITIATOR = 0,
	ABI_ROLE_RESPONDER = 1,
};

/* A fresh keypair; to its owner, the worker that index names. A responder's session may only
 * receive until its first authenticated packet; an initiator's sends at once. */
struct abi_cmd_session_install {
	uint32_t index;        /* ours: the receiver index in messages to us */
	uint32_t remote_index; /* theirs, as sent, little endian as a number */
	uint32_t peer;
	uint32_t role; /* enum abi_role */
	uint64_t birth_ns;
	struct base_endpoint remote; /* port 0 = not known */
	struct base_ip local;        /* our address that was used, family NONE = any */
	uint32_t port;               /* WAN port number */
	uint8_t receive_key[32];
	uint8_t send_key[32];
	uint32_t key_serial; /* kept in abi_session for control, likewise */
	uint32_t hub_serial;
};
ABI_ASSERT_SIZE(struct abi_cmd_session_install, 24 + 24 + 20 + 4 + 64 + 8);

/* Session retire and keepalive (send an empty packet now); to the owner. */
struct abi_cmd_session {
	uint32_t index;
	uint32_t peer;
};
ABI_ASSERT_SIZE(struct abi_cmd_session, 8);

/* A peer that is between two keys has a live session of each; what it is sent goes by the one on which it
 * was heard last. To the owner of the session. */
struct abi_cmd_prefer {
	uint32_t index;
	uint32_t peer;
	uint32_t when_heard; /* 1: each packet on it makes it the peer's current one; 0: as usual */
	uint32_t now;        /* 1: it is the current one from now on, if it may send */
};
ABI_ASSERT_SIZE(struct abi_cmd_prefer, 16);

/* To the owner of the session. */
struct abi_cmd_endpoint {
	uint32_t index;
	uint32_t port;
	struct base_endpoint remote;
	struct base_ip local;
};
ABI_ASSERT_SIZE(struct abi_cmd_endpoint, 52);

/* A kernel route of the underlay; to every worker. */
struct abi_cmd_wan_route {
	struct base_prefix prefix;
	struct base_ip gateway; /* family NONE = on link */
	struct base_ip source;  /* preferred source address, NONE = any of the port's */
	uint32_t port;
};
ABI_ASSERT_SIZE(struct abi_cmd_wan_route, 68);

/* A kernel neighbour of the underlay; to every worker. */
struct abi_cmd_neighbour {
	struct base_ip ip;
	uint32_t port;
	uint8_t mac[6];
	uint16_t pad;
};
ABI_ASSERT_SIZE(struct abi_cmd_neighbour, 32);

/* Send one UDP datagram from our listen port (a handshake message); to one worker. */
struct abi_cmd_inject {
	struct base_endpoint remote;
	struct base_ip local; /* family NONE = by route */
	uint32_t port; /* port on which the message that this answers came; UINT32_MAX = by route */
	uint16_t len;  /* bytes of message used */
	uint8_t message[ABI_HANDSHAKE_MAX];
	uint16_t pad;
};
ABI_ASSERT_SIZE(struct abi_cmd_inject, 24 + 20 + 4 + 2 + 148 + 2);

/* Answered by ABI_EVENT_BARRIER with the same token, after everything before it was applied; the worker
 * of the routes answers when no worker acts on an older route any more. */
struct abi_cmd_barrier {
	uint64_t token;
};
ABI_ASSERT_SIZE(struct abi_cmd_barrier, 8);

/* Show what you hold: the live tables, part by part (abi_check.h). Walked in slices between bursts; another
 * check ends one that is under way.
 * Answered by ABI_EVENT_CHECK_SUMS or ABI_EVENT_CHECK_ENTRIES, and in the end ABI_EVENT_CHECK_END. */
#define ABI_CHECK_WORDS 17U /* bit set of parts */
struct abi_cmd_check {
	uint64_t token;  /* names the check in its answers, not 0 */
	uint64_t key[2]; /* of the sums */
	uint32_t dump;   /* 0: the sum of each part; 1: the entries of the parts in wanted */
	uint32_t pad;
	uint64_t wanted[ABI_CHECK_WORDS];
};
ABI_ASSERT_SIZE(struct abi_cmd_check, 32 + 17 * 8);

/* Show the flows that you know, or of one peer, at either end; to every worker. Walked in slices between
 * bursts; another one ends what is under way. Answered by ABI_REPORT_FLOW for the first limit ones, and
 * in the end ABI_REPORT_FLOWS_END. */
struct abi_cmd_flows {
	uint64_t token; /* names the answers, not 0 */
	uint32_t peer;  /* or ABI_PEER_HUB; ABI_PEER_NONE = all */
	uint32_t limit;
};
ABI_ASSERT_SIZE(struct abi_cmd_flows, 16);

/* Sync begin and end have no payload. Between them control repeats its whole desired state (hub,
 * addresses, peers and their limits, routes, WAN routes, neighbours; not sessions); at the end the worker
 * drops whatever it holds of these that was not repeated, and sessions of peers that are gone. What is
 * live stays live meanwhile. */

/* ---- events: worker -> control ----------------------------------------------------------------- */

enum abi_event_type {
	ABI_EVENT_NONE = 0,
	ABI_EVENT_HANDSHAKE = 1,
	ABI_EVENT_SESSION_CONFIRMED = 2,
	ABI_EVENT_ENDPOINT_MOVED = 3,
	ABI_EVENT_SESSION_WANTED = 4,
	ABI_EVENT_REKEY_DUE = 5,
	ABI_EVENT_NEIGHBOUR_WANTED = 6,
	ABI_EVENT_BARRIER = 7,
	ABI_EVENT_CHECK_SUMS = 8,
	ABI_EVENT_CHECK_ENTRIES = 9,
	ABI_EVENT_CHECK_END = 10,
	ABI_N_EVENT_TYPES
};

/* A handshake or cookie message whose length, type, reserved bytes and mac1 (types 1 and 2) are
 * right. proven: its mac2 answers a cookie of the worker's, so its source is where it says. */
struct abi_event_handshake {
	struct base_endpoint remote;
	struct base_ip local;
	uint32_t port;
	uint16_t len;
	uint8_t message[ABI_HANDSHAKE_MAX];
	uint8_t hub_key; /* whose mac1 it is: place in abi_cmd_hub.public_keys; 0 for cookies */
	uint8_t proven;  /* 0 or 1 */
};
ABI_ASSERT_SIZE(struct abi_event_handshake, 24 + 20 + 4 + 2 + 148 + 2);

/* First authenticated packet on a responder's session; session wanted (no session, or nothing
 * heard for 15 s after sending; index NONE or the silent one); rekey due (whitepaper 6.2). */
struct abi_event_session {
	uint32_t index;
	uint32_t peer;
};
ABI_ASSERT_SIZE(struct abi_event_session, 8);

struct abi_event_endpoint {
	uint32_t index;
	uint32_t peer;
	struct base_endpoint remote;
	struct base_ip local;
	uint32_t port;
};
ABI_ASSERT_SIZE(struct abi_event_endpoint, 56);

/* The next hop ip on this port has no neighbour entry: ask the kernel to resolve it. */
struct abi_event_neighbour {
	struct base_ip ip;
	uint32_t port;
};
ABI_ASSERT_SIZE(struct abi_event_neighbour, 24);

struct abi_event_barrier {
	uint64_t token;
};
ABI_ASSERT_SIZE(struct abi_event_barrier, 8);

/* ---- reports: worker -> control ----------------------------------------------------------------
 * What people ask a worker for: a ring of its own, so that nothing of it stands before an event. Control
 * looks at it from time to time and never sleeps on it. A full one loses drop samples, no counts and no
 * flows. */

enum abi_report_type {
	ABI_REPORT_NONE = 0,
	ABI_REPORT_DROP = 1,
	ABI_REPORT_FLOW = 2,
	ABI_REPORT_FLOWS_END = 3,
	ABI_N_REPORT_TYPES
};

#define ABI_DROP_OUTER   0x1U /* addresses are the outer ones: it had not been opened */
#define ABI_DROP_TO_PEER 0x2U /* peer is the one it was for */

/* One packet that was dropped. */
struct abi_report_drop {
	uint64_t time_ns;
	uint64_t
		count; /* packets of this peer dropped by this worker for this reason so far, with it */
	uint32_t peer;         /* who sent it, or ABI_PEER_NONE, ABI_PEER_HUB */
	uint32_t place;        /* of the abi_drop_pair that counts them, or UINT32_MAX */
	uint32_t reason;       /* enum abi_counter */
	uint32_t len;          /* of the packet, bytes */
	struct base_ip source; /* family NONE = not known */
	struct base_ip destination;
	uint16_t sport; /* host order; ICMP: its type and code */
	uint16_t dport;
	uint8_t proto;     /* as in the IP header */
	uint8_t has_ports; /* 1: sport and dport are known */
	uint8_t flags;     /* ABI_DROP_... */
	uint8_t pad;
};
ABI_ASSERT_SIZE(struct abi_report_drop, 80);

/* One flow, as the packet that opened it. */
struct abi_report_flow {
	uint64_t token;
	uint32_t peer;    /* opened it, or ABI_PEER_HUB */
	uint32_t to_peer; /* likewise */
	struct base_ip source;
	struct base_ip destination;
	uint16_t sport; /* host order; echo: its identifier */
	uint16_t dport;
	uint8_t proto;
	uint8_t state; /* enum policy_flow_state */
	uint16_t pad;
	uint32_t grant;    /* number of the grant that allows it */
	uint32_t silent_s; /* since its last packet */
};
ABI_ASSERT_SIZE(struct abi_report_flow, 72);

struct abi_report_flows_end {
	uint64_t token;
	uint32_t n_flows; /* that were asked for, those beyond the limit included */
	uint32_t pad;
};
ABI_ASSERT_SIZE(struct abi_report_flows_end, 16);

#define ABI_CHECK_SUMS_MAX 28U
struct abi_event_check_sums {
	uint64_t token;
	uint32_t first; /* part */
	uint32_t n;
	uint64_t sums[ABI_CHECK_SUMS_MAX];
};
ABI_ASSERT_SIZE(struct abi_event_check_sums, 16 + 28 * 8);

/* Entries of one kind, as payloads of the command that would make each: a route's struct abi_cmd_route and
 * so on. A session whose peer is not there: ABI_CMD_SESSION_RETIRE, struct abi_cmd_session. */
#define ABI_CHECK_ENTRIES_LEN 224U
struct abi_event_check_entries {
	uint64_t token;
	uint16_t type; /* enum abi_cmd_type */
	uint16_t n;
	uint32_t pad;
	uint8_t entries[ABI_CHECK_ENTRIES_LEN];
};
ABI_ASSERT_SIZE(struct abi_event_check_entries, 16 + 224);

struct abi_event_check_end {
	uint64_t token;
	uint32_t
		is_stale; /* 1: a table moved under the walk, what was told is of no use: ask again */
	uint32_t n_entries; /* seen */
};
ABI_ASSERT_SIZE(struct abi_event_check_end, 16);

/* ---- what workers publish ----------------------------------------------------------------------- */

/* One session slot of one worker: enough to go on after a restart of either process. Written by
 * the owning worker alone (and, on a restarted dataplane, by that worker before it runs); control
 * reads it when it re-attaches. */
struct abi_session {
	uint32_t index; /* 0 = free. Stored last when a session is made, cleared first */
	uint32_t remote_index;
	uint32_t peer;
	uint32_t role;
	uint64_t birth_ns;
	uint32_t confirmed; /* 1: a packet was authenticated on it */
	uint32_t port;
	/* counters below this mark may have been used; stored before the first of a block is used */
	uint64_t send_reserved;
	uint64_t pad0;
	struct base_endpoint remote;
	struct base_ip local;
	/* 1 + the worker at which most of the last packets arrived, as the NIC or the kernel spread
	 * them; 0 = none came yet. Control gives the peer's next keypair to it. */
	uint32_t arrives_at;
	uint8_t receive_key[32];
	uint8_t send_key[32];
	/* when the worker saw that something was received (authenticated, any packet) or sent since it
	 * last looked: up to 100 ms late */
	uint64_t last_receive_ns;
	uint64_t last_send_ns;
	uint32_t limits; /* ABI_LIMIT_...: those of the peer here */
	/* which of the peer's keys, and which of the hub's, the handshake was made with: control's names
	 * for them, for the control that comes after it */
	uint32_t key_serial;
	uint32_t hub_serial;
	uint8_t pad1[4];
};
ABI_ASSERT_OFFSET(struct abi_session, send_reserved, 32);
ABI_ASSERT_OFFSET(struct abi_session, remote, 48);
ABI_ASSERT_OFFSET(struct abi_session, receive_key, 96);
ABI_ASSERT_SIZE(struct abi_session, 3 * ABI_LINE);

/* What one worker did for one peer; written by that worker, added up by readers. Refreshed at
 * least every 250 ms. */
struct abi_peer_counters {
	uint64_t rx_packets;
	uint64_t rx_bytes; /* UDP payload of data messages, as `wg` counts */
	uint64_t tx_packets;
	uint64_t tx_bytes;
	uint64_t last_rx_ns; /* last authenticated packet, up to 100 ms late; 0 = never */
	uint64_t last_tx_ns;
	uint64_t drops; /* authenticated packets of this peer that were dropped */
	uint64_t pad;
};
ABI_ASSERT_SIZE(struct abi_peer_counters, 64);

/* How many packets of one peer a worker dropped for one reason: an open hash table of its own, of which a
 * place is taken and never given back (of a peer that is gone the count begins anew). Written by the
 * worker; key last when a place is taken. */
struct abi_drop_pair {
	uint64_t key;     /* abi_drop_key(), 0 = free */
	uint64_t count;   /* packets since the region was made */
	uint64_t full_ns; /* the worker's: when this pair may have a burst of samples again */
	uint64_t pad;
};
ABI_ASSERT_SIZE(struct abi_drop_pair, 32);

#define ABI_DROP_PROBES 16U /* places looked at for a pair */

static inline uint64_t abi_drop_key(uint32_t peer, uint32_t reason)
{
	return (uint64_t)peer << 16 | (reason + 1);
}

static inline uint32_t abi_drop_key_peer(uint64_t key)
{
	return (uint32_t)(key >> 16);
}

static inline uint32_t abi_drop_key_reason(uint64_t key)
{
	return (uint32_t)(key & 0xffff) - 1;
}

/* Where the search for a pair begins, to be masked. */
static inline uint32_t abi_drop_place(uint64_t key)
{
	return (uint32_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 40);
}

/* When grants were last used, as one worker's flows tell (dataplane/policy/policy_flow.h): sets of words,
 * of which each is a grant's number above, and below it the second (CLOCK_MONOTONIC) of the last packet
 * of one of its flows; 0 = free. Written by the worker, up to a minute late. */
#define ABI_USED_SETS 4096U
#define ABI_USED_WAYS 8U

static inline uint32_t abi_used_grant(uint64_t word)
{
	return (uint32_t)(word >> 32);
}

static inline uint32_t abi_used_second(uint64_t word)
{
	return (uint32_t)word;
}

/* ---- blobs -------------------------------------------------------------------------------------
 * Whole tables that all workers read, each in a memfd of its own. Control hands it over the rendezvous
 * socket (abi_rendezvous.h); the dataplane checks and maps it, and every worker goes over to it between
 * two bursts. */
enum abi_blob {
	ABI_BLOB_POLICY = 0,  /* struct policy_table, read-only */
	ABI_BLOB_BLOCK = 1,   /* drop lists, read-only */
	ABI_BLOB_CAPTURE = 2, /* workers write into it */
	ABI_N_BLOBS
};
_Static_assert(ABI_N_BLOBS <= ABI_BLOBS_MAX, "make room for the blobs: new version");

/* What a worker uses of one kind. */
struct abi_blob_status {
	uint64_t generation; /* 0 = none */
	uint64_t hash;       /* abi_blob_hash() of it; 0 = none, or one that workers write to */
};
ABI_ASSERT_SIZE(struct abi_blob_status, 16);

/* Limits of one peer on one worker, in abi_limit.flags and abi_session.limits. */
#define ABI_LIMIT_RX    1U
#define ABI_LIMIT_TX    2U
#define ABI_LIMIT_QUOTA 4U

/* One way of a limited peer's packets. */
struct abi_limit_way {
	struct base_tokens packets;
	struct base_tokens bytes;
	uint64_t refilled_ns;
	uint64_t drops; /* packets that found too few tokens */
};
ABI_ASSERT_SIZE(struct abi_limit_way, ABI_LINE);

/* What one worker let pass of a peer, and how much more it may. It lies here, and is written with
 * each packet of a peer with limits, so that neither a kill of the worker nor of control loses a byte
 * of a quota or gives a burst anew. Written by the worker that owns the peer's session; zero for a
 * peer without limits. */
struct abi_limit {
	struct abi_limit_way rx;
	struct abi_limit_way tx;
	uint64_t rx_used; /* bytes of inner packets that passed; counted while there is a quota */
	uint64_t tx_used;
	uint64_t rx_until; /* as the last ABI_CMD_PEER_LIMIT said */
	uint64_t tx_until;
	uint64_t total_until;
	uint64_t rx_drops; /* packets dropped for the quota */
	uint64_t tx_drops;
	uint32_t flags; /* ABI_LIMIT_... */
	uint32_t pad;
};
ABI_ASSERT_SIZE(struct abi_limit, 3 * ABI_LINE);
ABI_ASSERT_OFFSET(struct abi_limit, rx_used, 2 * ABI_LINE);

/* Written by the worker. */
struct abi_worker_status {
	uint64_t heartbeat_ns; /* refreshed at least every 100 ms */
	uint64_t n_loops;
	uint64_t busy_ns; /* time in loops that moved packets */
	uint64_t idle_ns; /* time in empty loops and naps */
	uint64_t longest_loop_ns;
	uint64_t n_sessions;
	uint64_t
		n_flows; /* in its table, those that have timed out and are not yet freed included */
	uint64_t pad;
	struct abi_blob_status
		blobs[ABI_BLOBS_MAX]; /* by enum abi_blob; hash first, then generation */
};
ABI_ASSERT_SIZE(struct abi_worker_status, 128);

/* Written by the dataplane's main thread. */
struct abi_port_status {
	uint8_t mac[6];
	uint16_t mtu;
	uint32_t up; /* 1: link up */
	uint32_t pad0;
	uint64_t pad[6];
};
ABI_ASSERT_SIZE(struct abi_port_status, 64);

#endif

/* Every counter of weir, once: the list makes the enum, the names in JSON and the texts of
 * `weir counters`. One array of ABI_N_COUNTERS uint64_t lies in the region for each writer (worker,
 * exception thread, control); readers add them up. Counters only grow while the region lives.
 *
 * A drop is counted exactly once, where it happens, so that for every worker
 *   rx_wan + rx_tun + rx_tap + rx_handoff + rx_inject + rx_wait
 *     = tx_wan + to_tun + to_tap + to_control + to_handoff + to_wait + keepalive_in + sum of the drop_...
 * (tests/flow asserts it to the packet; the counter's second word says on which side it stands). */
#ifndef ABI_COUNTER_H
#define ABI_COUNTER_H

#include <stdbool.h>
#include <stdint.h>

/* X(NAME, kind, "json_name", "what it means")
 * kind: IN, OUT, DROP are the three parts of the balance above; INFO stands outside it. */
#define ABI_COUNTER_LIST(X)                                                                        \
	/* what came in */                                                                         \
	X(RX_WAN, IN, "rx_wan", "frames received on a WAN port")                                   \
	X(RX_TUN, IN, "rx_tun", "packets from the kernel for peers (TUN)")                         \
	X(RX_TAP, IN, "rx_tap", "frames from the kernel for a WAN port (TAP)")                     \
	X(RX_HANDOFF, IN, "rx_handoff", "packets taken over from another worker")                  \
	X(RX_INJECT, IN, "rx_inject",                                                              \
	  "handshake messages, keepalives, ICMP errors and fragments made by the hub")             \
	/* what went out */                                                                        \
	X(TX_WAN, OUT, "tx_wan", "frames handed to a WAN port")                                    \
	X(TO_TUN, OUT, "to_tun", "packets to the kernel for the hub's tunnel address")             \
	X(TO_TAP, OUT, "to_tap", "frames to the kernel that are not WireGuard")                    \
	X(TO_CONTROL, OUT, "to_control", "handshake messages to control")                          \
	X(TO_HANDOFF, OUT, "to_handoff", "packets handed to another worker")                       \
	X(KEEPALIVE_IN, OUT, "keepalive_in", "authenticated empty packets, done with")             \
	/* in_parse */                                                                             \
	X(DROP_FRAME_TRUNCATED, DROP, "drop_frame_truncated",                                      \
	  "frame shorter than its IP length says: turn off tx offloads at the sending end")        \
	X(DROP_FRAME_CHAINED, DROP, "drop_frame_chained", "frame in several buffers")              \
	X(DROP_OUTER_HEADER, DROP, "drop_outer_header", "outer IP or UDP header is malformed")     \
	X(DROP_OUTER_FRAGMENT, DROP, "drop_outer_fragment",                                        \
	  "fragment of a UDP datagram to the WireGuard port")                                      \
	X(DROP_WG_SHORT, DROP, "drop_wg_short", "UDP payload shorter than a message header")       \
	X(DROP_WG_TYPE, DROP, "drop_wg_type", "message type is not 1 to 4")                        \
	X(DROP_WG_RESERVED, DROP, "drop_wg_reserved",                                              \
	  "reserved bytes of the message are not zero")                                            \
	X(DROP_WG_LENGTH, DROP, "drop_wg_length", "message length does not fit its type")          \
	X(DROP_WG_MAC1, DROP, "drop_wg_mac1", "mac1 of a handshake message is wrong")              \
	/* in_session, in_open, in_accept */                                                       \
	X(DROP_UNKNOWN_INDEX, DROP, "drop_unknown_index", "no session has this receiver index")    \
	X(DROP_SESSION_EXPIRED, DROP, "drop_session_expired",                                      \
	  "session older than 180 s or its counter used up")                                       \
	X(DROP_AUTH, DROP, "drop_auth", "data message failed authentication")                      \
	X(DROP_REPLAY, DROP, "drop_replay", "counter seen before or behind the window")            \
	X(DROP_INNER_HEADER, DROP, "drop_inner_header", "inner packet is not valid IPv4 or IPv6")  \
	X(DROP_INNER_LENGTH, DROP, "drop_inner_length", "inner length is larger than the payload") \
	X(DROP_INNER_SOURCE, DROP, "drop_inner_source",                                            \
	  "inner source address belongs to another peer or to none")                               \
	/* policy, in_deliver */                                                                   \
	X(DROP_POLICY_NONE, DROP, "drop_policy_none",                                              \
	  "control has handed over no policy yet: nothing passes")                                 \
	X(DROP_POLICY_NO_GRANT, DROP, "drop_policy_no_grant",                                      \
	  "no grant for this sender, receiver, protocol and port")                                 \
	X(DROP_POLICY_NO_SOURCE, DROP, "drop_policy_no_source",                                    \
	  "no grant knows the sender at this address")                                             \
	X(DROP_POLICY_NO_DESTINATION, DROP, "drop_policy_no_destination",                          \
	  "no grant knows the receiver at this address")                                           \
	X(DROP_POLICY_NOT_NOW, DROP, "drop_policy_not_now",                                        \
	  "the grants for it are outside their windows of time")                                   \
	X(DROP_POLICY_REVOKED, DROP, "drop_policy_revoked",                                        \
	  "the grant of this flow was taken back, or its peer")                                    \
	X(DROP_POLICY_NO_FLOW, DROP, "drop_policy_no_flow",                                        \
	  "belongs to no flow and opens none: an answer to nothing, an error about nothing")       \
	X(DROP_POLICY_STATE, DROP, "drop_policy_state",                                            \
	  "not in this state of its flow, or not from this side")                                  \
	X(DROP_POLICY_TCP_FLAGS, DROP, "drop_policy_tcp_flags", "TCP flags that no TCP sends")     \
	X(DROP_POLICY_NO_DATAGRAM, DROP, "drop_policy_no_datagram",                                \
	  "later fragment of a datagram whose first was not seen, or did not pass")                \
	X(DROP_POLICY_FRAGMENT, DROP, "drop_policy_fragment",                                      \
	  "fragment that would overwrite the header of the first")                                 \
	X(DROP_POLICY_SHORT, DROP, "drop_policy_short", "header behind the IP header is cut off")  \
	X(DROP_POLICY_ICMP, DROP, "drop_policy_icmp", "ICMP that is neither echo nor an error")    \
	X(DROP_POLICY_FULL, DROP, "drop_policy_full",                                              \
	  "the worker's table of flows is full (dataplane.flows)")                                 \
	X(DROP_POLICY_PEER_FULL, DROP, "drop_policy_peer_full",                                    \
	  "the peer has opened as many flows as one peer may")                                     \
	X(DROP_POLICY_PEER_HALF, DROP, "drop_policy_peer_half",                                    \
	  "the peer has opened as many flows without an answer as one peer may")                   \
	X(DROP_HOP_LIMIT, DROP, "drop_hop_limit", "hop limit reached zero at the hub")             \
	/* out_parse, out_route, out_seal, out_wrap */                                             \
	X(DROP_NO_ROUTE, DROP, "drop_no_route", "no peer has the inner destination")               \
	X(DROP_NO_SESSION, DROP, "drop_no_session",                                                \
	  "peer has no session, and the packet cannot wait")                                       \
	X(DROP_NO_ENDPOINT, DROP, "drop_no_endpoint", "peer's endpoint is not known")              \
	X(DROP_NO_WAN_ROUTE, DROP, "drop_no_wan_route", "no kernel route to the endpoint")         \
	X(DROP_NO_NEIGHBOUR, DROP, "drop_no_neighbour",                                            \
	  "next hop not resolved yet; the kernel was asked to")                                    \
	X(DROP_TOO_BIG, DROP, "drop_too_big", "packet does not fit the port's MTU")                \
	/* limits: rings and buffers */                                                            \
	X(DROP_TUN_RING_FULL, DROP, "drop_tun_ring_full", "ring to the kernel's TUN is full")      \
	X(DROP_TAP_RING_FULL, DROP, "drop_tap_ring_full", "ring to the kernel's TAP is full")      \
	X(DROP_TAP_LIMIT, DROP, "drop_tap_limit",                                                  \
	  "worker sees more WAN traffic to the kernel than allowed")                               \
	X(DROP_CONTROL_RING_FULL, DROP, "drop_control_ring_full",                                  \
	  "handshake message while three quarters of control's event ring wait")                   \
	X(DROP_HANDOFF_FULL, DROP, "drop_handoff_full", "ring to another worker is full")          \
	X(DROP_TX_FULL, DROP, "drop_tx_full", "port's transmit queue is full")                     \
	X(DROP_STRAY, DROP, "drop_stray", "frame for another station or a port that is gone")      \
	/* outside the balance: workers */                                                         \
	X(FORWARDED, INFO, "forwarded", "inner packets routed from peer to peer")                  \
	X(SEALED, INFO, "sealed", "packets encrypted")                                             \
	X(OPENED, INFO, "opened", "packets authenticated and decrypted")                           \
	X(ENDPOINT_MOVED, INFO, "endpoint_moved", "peer was heard from a new address")             \
	X(KEEPALIVE_OUT, INFO, "keepalive_out", "keepalives sent")                                 \
	X(NO_MBUF, INFO, "no_mbuf", "packet buffer pool was empty")                                \
	X(EVENT_LOST, INFO, "event_lost", "event to control lost because its ring was full")       \
	X(CMD_BAD, INFO, "cmd_bad", "command from control refused as malformed")                   \
	/* outside the balance: exception thread */                                                \
	X(TUN_READ, INFO, "tun_read", "reads from the TUN (super-packets)")                        \
	X(TUN_WRITTEN, INFO, "tun_written", "packets written to the TUN, before coalescing")       \
	X(TAP_READ, INFO, "tap_read", "reads from the WAN TAPs (super-packets)")                   \
	X(TAP_WRITTEN, INFO, "tap_written", "frames written to the WAN TAPs, before coalescing")   \
	X(KERNEL_LIMITED, INFO, "kernel_limited",                                                  \
	  "more WAN traffic to the kernel than allowed for its class or source")                   \
	X(KERNEL_REFUSED, INFO, "kernel_refused", "write to a TUN or TAP failed")                  \
	X(KERNEL_BAD, INFO, "kernel_bad", "packet from a TUN or TAP that cannot be used")          \
	X(KERNEL_WORKER_FULL, INFO, "kernel_worker_full",                                          \
	  "packet from the kernel lost because the worker's ring was full")                        \
	/* outside the balance: control, handshakes */                                             \
	X(HS_INITIATION_IN, INFO, "hs_initiation_in", "initiations received")                      \
	X(HS_RESPONSE_IN, INFO, "hs_response_in", "responses received")                            \
	X(HS_COOKIE_IN, INFO, "hs_cookie_in", "cookie replies received")                           \
	X(HS_INITIATION_OUT, INFO, "hs_initiation_out", "initiations sent")                        \
	X(HS_RESPONSE_OUT, INFO, "hs_response_out", "responses sent")                              \
	X(HS_COOKIE_OUT, INFO, "hs_cookie_out", "cookie replies sent")                             \
	X(HS_COMPLETED, INFO, "hs_completed", "sessions confirmed by data in both directions")     \
	X(HS_REFUSED_MALFORMED, INFO, "hs_refused_malformed", "handshake message malformed")       \
	X(HS_REFUSED_DECRYPT, INFO, "hs_refused_decrypt",                                          \
	  "handshake message failed authentication")                                               \
	X(HS_REFUSED_UNKNOWN_PEER, INFO, "hs_refused_unknown_peer",                                \
	  "initiation with a static key that no peer has")                                         \
	X(HS_REFUSED_TIMESTAMP, INFO, "hs_refused_timestamp",                                      \
	  "initiation with a timestamp that is not newer than the last")                           \
	X(HS_REFUSED_FLOOD, INFO, "hs_refused_flood",                                              \
	  "initiation less than 20 ms after the last of the same peer")                            \
	X(HS_REFUSED_NO_HANDSHAKE, INFO, "hs_refused_no_handshake",                                \
	  "response or cookie reply to no initiation of ours")                                     \
	X(HS_REFUSED_COOKIE, INFO, "hs_refused_cookie", "cookie reply failed authentication")      \
	X(HS_REFUSED_UNDER_LOAD, INFO, "hs_refused_under_load",                                    \
	  "handshake message without a valid mac2 while under load; a cookie was sent")            \
	X(HS_REFUSED_QUEUE_FULL, INFO, "hs_refused_queue_full",                                    \
	  "handshake message while the handshake threads' queue was full")                         \
	X(HS_REFUSED_NO_SLOT, INFO, "hs_refused_no_slot", "no free session slot on the worker")    \
	X(HS_GAVE_UP, INFO, "hs_gave_up", "handshakes given up after 90 s")                        \
	/* assist */                                                                               \
	X(DROP_STOPPED, DROP, "drop_stopped",                                                      \
	  "packet with another worker when the dataplane ended")                                   \
	X(ASSIST_ON, INFO, "assist_on", "times that a worker in backlog began to be helped")       \
	X(ASSIST_BATCHES, INFO, "assist_batches", "bursts given to idle workers for the cipher")   \
	X(ASSIST_HELPED, INFO, "assist_helped", "bursts of other workers done for the cipher")     \
	/* in_parse: budgets of handshake messages */                                              \
	X(DROP_MAC1_LIMIT, DROP, "drop_mac1_limit",                                                \
	  "more handshake messages than a worker checks mac1 of (1,000,000 a second)")             \
	X(DROP_CONTROL_LIMIT, DROP, "drop_control_limit",                                          \
	  "more handshake messages than the workers send to control (20,000 a second)")            \
	/* outside the balance: ports, as their drivers tell */                                    \
	X(PORT_MISSED, INFO, "port_missed",                                                        \
	  "frames lost in a WAN port's receive queue: the workers had no time for them")           \
	X(PORT_ERRORS, INFO, "port_errors", "frames that a WAN port received in error")            \
	/* assist, again */                                                                        \
	X(ASSIST_LATE, INFO, "assist_late",                                                        \
	  "times that a helper was late, and none asked for a second")                             \
	/* drops by peer and reason */                                                             \
	X(DROPS_UNLISTED, INFO, "drops_unlisted",                                                  \
	  "drops that found no place in the table by peer and reason")                             \
	/* outside the balance: control, tables handed to the dataplane */                         \
	X(BLOB_REFUSED, INFO, "blob_refused", "tables that the dataplane refused")                 \
	/* block */                                                                                \
	X(DROP_BLOCK_ALL, DROP, "drop_block_all", "source is on a drop list: everything")          \
	X(DROP_BLOCK_WIREGUARD, DROP, "drop_block_wireguard",                                      \
	  "source is on a drop list: WireGuard")                                                   \
	X(DROP_BLOCK_PUBLISHED, DROP, "drop_block_published",                                      \
	  "source is on a drop list: published services")                                          \
	/* limit_in, limit_out */                                                                  \
	X(DROP_LIMIT_RX_PACKETS, DROP, "drop_limit_rx_packets",                                    \
	  "peer sends more packets than its limit (weir peer limit)")                              \
	X(DROP_LIMIT_RX_BYTES, DROP, "drop_limit_rx_bytes",                                        \
	  "peer sends more bytes than its limit")                                                  \
	X(DROP_LIMIT_TX_PACKETS, DROP, "drop_limit_tx_packets",                                    \
	  "more packets for a peer than its limit")                                                \
	X(DROP_LIMIT_TX_BYTES, DROP, "drop_limit_tx_bytes",                                        \
	  "more bytes for a peer than its limit")                                                  \
	X(DROP_QUOTA, DROP, "drop_quota", "peer has used up its quota of the month")               \
	/* outside the balance: control, what workers hold against what is wanted */               \
	X(DRIFT_CHECKS, INFO, "drift_checks", "times that all workers' live tables were checked")  \
	X(DRIFT_FOUND, INFO, "drift_found", "entries of live tables that were not as wanted")      \
	X(DRIFT_REPAIRED, INFO, "drift_repaired", "of these, put right")                           \
	/* wait */                                                                                 \
	X(TO_WAIT, OUT, "to_wait", "packets put aside until their peer's handshake is done")       \
	X(RX_WAIT, IN, "rx_wait", "packets that waited so, taken up again")                        \
	X(DROP_WAIT_FULL, DROP, "drop_wait_full",                                                  \
	  "oldest that waited for a handshake: more than 128 of its peer, or too many in all")     \
	X(DROP_WAIT_OVER, DROP, "drop_wait_over",                                                  \
	  "waited for a handshake that was given up, or for a peer that was removed")              \
	/* in_accept, in_deliver, out_wrap */                                                      \
	X(DROP_ECN, DROP, "drop_ecn",                                                              \
	  "congestion was met by a packet that does not understand marks (RFC 6040)")              \
	X(DROP_TUNNEL_MTU, DROP, "drop_tunnel_mtu",                                                \
	  "inner packet larger than hub.tunnel_mtu that may not be cut")                           \
	X(ICMP_TOO_BIG, INFO, "icmp_too_big",                                                      \
	  "senders told so: fragmentation needed, or packet too big")                              \
	X(FRAGMENTED, INFO, "fragmented",                                                          \
	  "inner packets larger than hub.tunnel_mtu cut in pieces")                                \
	X(MSS_CLAMPED, INFO, "mss_clamped", "TCP openings whose MSS was lowered (hub.clamp_mss)")  \
	X(DROP_ENDPOINT_LOOP, DROP, "drop_endpoint_loop",                                          \
	  "peer's endpoint is an address of the hub itself")                                       \
	/* outside the balance: control, wg(8) */                                                  \
	X(WG_SET, INFO, "wg_set", "changes that wg(8) made")                                       \
	X(WG_REFUSED_TEXT, INFO, "wg_refused_text", "requests of wg(8) that could not be read")    \
	X(WG_REFUSED_MODE, INFO, "wg_refused_mode",                                                \
	  "changes by wg(8) while control.wg_socket is read-only")                                 \
	X(WG_REFUSED_HUB, INFO, "wg_refused_hub",                                                  \
	  "changes by wg(8) of the hub's own key, port or mark")                                   \
	X(WG_REFUSED_PEER, INFO, "wg_refused_peer",                                                \
	  "changes by wg(8) of a peer that is declared, disabled, in use, or one too many")        \
	X(WG_REFUSED_NETWORK, INFO, "wg_refused_network",                                          \
	  "changes by wg(8) of allowed IPs that a peer may not have")                              \
	X(WG_REFUSED_FAILED, INFO, "wg_refused_failed",                                            \
	  "changes by wg(8) that the hub could not store")                                         \
	/* outside the balance: control, quotas */                                                 \
	X(QUOTA_WARNED, INFO, "quota_warned", "times that 80 % of a peer's quota was used")        \
	X(QUOTA_REACHED, INFO, "quota_reached", "times that a peer's quota was used up")           \
	/* in_handshake: under load */                                                             \
	X(DROP_COOKIE_LIMIT, DROP, "drop_cookie_limit",                                            \
	  "under load: more handshake messages without a cookie than a worker answers")            \
	X(DROP_SOURCE_LIMIT, DROP, "drop_source_limit",                                            \
	  "under load: handshake message of a source that has sent 20 in a second (5 at once)")    \
	X(DROP_SOURCE_FULL, DROP, "drop_source_full",                                              \
	  "under load: handshake message of a source for which the table has no room")             \
	X(UNDER_LOAD, INFO, "under_load",                                                          \
	  "times that handshake messages became more than control can look at")                    \
	/* outside the balance: control, under load */                                             \
	X(HS_REFUSED_SOURCE_LIMIT, INFO, "hs_refused_source_limit",                                \
	  "as drop_source_limit, while the handshake threads are under load")                      \
	X(HS_REFUSED_SOURCE_FULL, INFO, "hs_refused_source_full",                                  \
	  "as drop_source_full, while the handshake threads are under load")                       \
	/* flows */                                                                                \
	X(FLOWS_PICKED_UP, INFO, "flows_picked_up",                                                \
	  "flows that a worker knew nothing of and took up in the middle, since a grant lets "     \
	  "one of their ends open them")                                                           \
	/* outside the balance: control, endpoints by name */                                      \
	X(NAME_ANSWERED, INFO, "name_answered", "names of endpoints looked up")                    \
	X(NAME_FAILED, INFO, "name_failed",                                                        \
	  "look-ups of endpoints' names that brought no address to use")

enum abi_counter {
#define X(name, kind, json, text) ABI_COUNTER_##name,
	ABI_COUNTER_LIST(X)
#undef X
		ABI_N_COUNTERS
};

enum abi_counter_kind {
	ABI_COUNTER_KIND_IN = 0,
	ABI_COUNTER_KIND_OUT = 1,
	ABI_COUNTER_KIND_DROP = 2,
	ABI_COUNTER_KIND_INFO = 3,
};

/* Descriptions, index = enum abi_counter; literals. */
struct abi_counter_text {
	const char *name; /* JSON name */
	const char *text;
	enum abi_counter_kind kind;
};

extern const struct abi_counter_text abi_counter_texts[ABI_N_COUNTERS];

#endif

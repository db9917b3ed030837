/* The flows of one worker: what has been allowed, so that the packets of a known flow cost one look-up
 * and no decision, and that replies pass. One thread; memory is handed in; time is an argument.
 *
 * **A flow** is (peer, address, port) twice and a protocol, with the side that opened it. One entry
 * serves both directions. It is found by a keyed hash (the key is random, so nobody can aim at a
 * bucket) and all of the tuple is compared, both peers included: IPv4 and IPv6 addresses are stored
 * whole, and no packet passes because its hash is like another's.
 *
 * **Two workers.** Packets are judged where they are decrypted: those of A at the owner of A's session,
 * the replies at B's. So both have the entry. policy_flow_judge() says when the other must hear of a
 * packet (it opened the flow, changed its state, or was the first for a while) by a note that goes
 * with the packet to the egress owner, which calls policy_flow_expect() with it before the packet is
 * sealed: a reply cannot come before its entry is there. When both are the same worker, no note is
 * needed. A peer's owner can change (at a rekey), and then its new owner has no entry: it is told by
 * policy_flow_arrive(), and for 300 s picks up that peer's flows in the middle, as after a restart.
 *
 * **A grant that is taken away** ends its flows with the next packet in either direction: each entry
 * remembers the generation of the table that allowed it; under another one (or when a window of its
 * grant ends) it is decided anew from the stored tuple. So a swap costs nothing by itself.
 *
 * **TCP**: only a SYN opens. Flags and their order are checked, sequence numbers are not: only the two
 * ends can forge them, since every source address belongs to its peer (H1). A simultaneous open (SYN
 * against SYN) is refused. After a RST, or FIN from both sides, only a new SYN opens it again, and is
 * decided anew.
 * A SYN on a flow that stands passes and changes nothing: it could open one, and the answer to it lets
 * the sender's end find out that it must begin anew.
 * **UDP, other protocols**: any packet of the opener's opens, replies keep it alive. **ICMP**: an echo
 * request opens, replies pass; errors pass when the flow they speak of is known, and change nothing.
 * **The hub** opens from the ports that its kernel gives to clients, 32768 and up, or by an echo request;
 * from others it only answers. Otherwise an answer of a service of its own, under way when the grant is
 * taken back, would open the flow again as the hub's, and the peer's next question would pass as its
 * reply; and what is picked up in the middle would reach every port of the hub.
 * **Fragments**: the first has the ports and is judged as any packet; a later one is found by its
 * datagram and judged as a packet of that flow; before the first, or 30 s after it, it is refused.
 * The table of datagrams is small, and a new one takes the place of the oldest of eight.
 *
 * **Full.** Nothing is ever thrown out to make room: a new flow is refused, by name. Who opens flows
 * is charged for them: a peer has at most peer_max, of which half_max may be half open (TCP before the
 * handshake is done, others before a reply); so one peer cannot fill the table for all, and a scan
 * through a wide grant does not stop the peer's own established flows. Half open ones live 30 s at
 * most.
 *
 * **After a restart** the table is empty and the connections are not. For pickup_s seconds after
 * policy_flow_init() a packet that opens nothing makes a flow all the same, if the policy lets its
 * sender, or else its receiver, open it. So meanwhile who may reach what still holds, to the port;
 * what does not is that a reply must have had a question. */
#ifndef POLICY_FLOW_H
#define POLICY_FLOW_H

#include "policy_packet.h"
#include "policy_table.h"

#include <stddef.h>
#include <stdint.h>

#define POLICY_FLOW_BURST_MAX 64U
#define POLICY_FLOW_MAX       ((UINT32_C(1) << 24) - 1)
#define POLICY_FLOW_KEY_WORDS 9U
#define POLICY_USED_WAYS      8U

struct policy_flow; /* opaque: policy_flow_private.h */

/* How policy_flow_pass() is done. All come to the same. */
enum policy_flow_kernel {
	POLICY_FLOW_KERNEL_BEST = 0, /* that this CPU can */
	POLICY_FLOW_KERNEL_PLAIN = 1,
	POLICY_FLOW_KERNEL_AVX512 = 2,
};

struct policy_flow_setup {
	uint32_t n_flows; /* 1 .. POLICY_FLOW_MAX */
	uint32_t
		n_datagrams; /* fragmented datagrams at a time, 8 .. 65536; rounded up to a power of 2 */
	uint32_t n_peers;  /* peer numbers are below, <= POLICY_HUB; others cannot open flows */
	uint32_t peer_max; /* flows that one peer may have opened */
	uint32_t half_max; /* of these, half open */
	uint32_t pickup_s; /* so long flows are picked up in the middle, see above; 0 = never */
	uint64_t key[POLICY_FLOW_KEY_WORDS]; /* random */
	enum policy_flow_kernel kernel;
	/* When grants were last used, for others to read: n_used_sets (a power of two) sets of
	 * POLICY_USED_WAYS words, grant << 32 | second of its flow's last packet, 0 = free. A grant is in
	 * one set, by its number; of nine in one the one that was used longest ago is forgotten. Told
	 * when a flow's time is looked at, so up to a minute late. Borrowed; NULL = not told. */
	uint64_t *used;
	uint32_t n_used_sets;
	bool is_zero; /* the memory is, and its pages are to stay untouched until they are used */
};

/* Time as two clocks: a monotonic one for timeouts, and the wall clock for grants with windows. */
struct policy_flow_clock {
	uint32_t now_s;  /* monotonic, seconds; never goes back */
	uint64_t wall_s; /* since 1970 */
};

enum policy_flow_verdict {
	POLICY_FLOW_PASS = 0,
	/* not a packet that can open a flow, and there is none: */
	POLICY_FLOW_NO_FLOW = 1,     /* TCP without SYN, echo reply, ICMP error */
	POLICY_FLOW_NO_DATAGRAM = 2, /* a later fragment whose first was not seen, or not allowed */
	POLICY_FLOW_NO_SOURCE = 3,   /* POLICY_NO_SOURCE */
	POLICY_FLOW_NO_DESTINATION = 4, /* POLICY_NO_DESTINATION */
	POLICY_FLOW_NO_GRANT = 5,       /* POLICY_NO_GRANT */
	POLICY_FLOW_NOT_NOW = 6,        /* POLICY_NOT_NOW */
	POLICY_FLOW_REVOKED = 7,        /* the flow was allowed, and is no longer: it has ended */
	POLICY_FLOW_TCP_FLAGS = 8,      /* flags that no TCP sends */
	POLICY_FLOW_STATE = 9,          /* not in this state of the flow, or not from this side */
	POLICY_FLOW_FULL = 10,          /* no room */
	POLICY_FLOW_PEER_FULL = 11,     /* the opener has peer_max flows */
	POLICY_FLOW_PEER_HALF = 12,     /* the opener has half_max half open flows */
	POLICY_FLOW_N_VERDICTS = 13,
};

struct policy_flow_result {
	uint8_t verdict; /* enum policy_flow_verdict */
	uint8_t note; /* not 0: policy_flow_expect() at the egress owner if that is another worker */
	uint16_t pad;
	uint32_t grant; /* id of the grant, when it passes; else 0 */
};

/* Bytes of memory that a table of this shape needs, or 0 when the setup is out of bounds. */
size_t policy_flow_len(const struct policy_flow_setup *setup);

/* Make an empty table in memory (policy_flow_len() bytes, aligned to 64, better in hugepages), which
 * is the caller's and borrowed until the caller uses it for something else. now_s: of the clock that
 * follows. Returns it or NULL (setup out of bounds, or a kernel that this CPU does not have). */
struct policy_flow *policy_flow_init(void *memory, const struct policy_flow_setup *setup,
                                     uint32_t now_s);

/* An inner packet as it is, and whose it is: what policy_packet_parse() reads. */
struct policy_frame {
	const uint8_t *data; /* from the IP header on */
	uint32_t len;
	uint32_t in_peer; /* as in struct policy_packet; no peer at all may be UINT32_MAX */
	uint32_t out_peer;
	uint32_t pad;
};

/* The quick way for most packets, in steps, each of which fetches what the next one reads. frames[n] are the
 * same in all of them, n <= POLICY_FLOW_BURST_MAX, and what is said of frames i is said by bits 1 << i. Time
 * stands still meanwhile. Nothing is read behind a frame's end. All are of this worker's peers.
 *
 *   policy_flow_lead()        where addresses lead, by a number
 *   policy_flow_fetch()       reads data and len of frames
 *   policy_flow_find()        returns those that are surely not passed by the next step: whom they are for can
 *                             be looked up now, for policy_flow_foresee()
 *   policy_flow_pass()        reads in_peer, and says whom those are for that pass
 *   policy_flow_pass_known()  the same for frames whose receivers are known, of those that are left
 *   policy_flow_open()        judges those that policy_flow_foresee() has seen to open a flow
 *
 * What is left then is for policy_packet_parse() and policy_flow_judge(); so packets of a burst that are not plain
 * are judged behind those that are. */

/* Addresses lead to the same peers as long as this number is the same. It was read before any look-up was made
 * whose answer the packets that follow bear, that of the sender included: an answer may be newer, never older. */
void policy_flow_lead(struct policy_flow *flow, uint64_t lead);

void policy_flow_fetch(struct policy_flow *flow, const struct policy_table *table,
                       struct policy_flow_clock clock, const struct policy_frame *frames,
                       uint32_t n);
uint64_t policy_flow_find(struct policy_flow *flow, uint32_t n);

/* Behind policy_flow_fetch(): those of what policy_flow_find() will return that are known already. It waits for
 * memory that a new flow is the first to ask for; meanwhile it can be looked up whom they are for. */
uint64_t policy_flow_syns(const struct policy_flow *flow);

/* Fetches what decisions will read about frames of, whose peers are both known and as addresses lead, if they
 * open flows. Between policy_flow_find() and the others. What it has seen has no flow yet: until policy_flow_open()
 * nothing may make one, neither policy_flow_judge() nor policy_flow_expect(). */
void policy_flow_foresee(struct policy_flow *flow, const struct policy_table *table,
                         const struct policy_frame *frames, uint64_t of);

/* Pass those that are TCP data or UDP of a flow that stands, whole, with plain headers, and both of whose
 * addresses are known to lead to its peers still. Returns those: policy_flow_judge() would have passed them,
 * results[i] is its, and out_peer is the receiver, as a look-up would find it. With the others nothing has
 * been done. Cost: see bench/README.md; two cache lines of the table a frame. */
uint64_t policy_flow_pass(struct policy_flow *flow, const struct policy_table *table,
                          struct policy_flow_clock clock, struct policy_frame *frames,
                          struct policy_flow_result *results, uint32_t n);

/* The same for frames of, whose out_peer is known, without the condition about addresses. confirms: sender and
 * receiver are as addresses lead, and policy_flow_pass() may take that for known from now on. */
uint64_t policy_flow_pass_known(struct policy_flow *flow, const struct policy_table *table,
                                struct policy_flow_clock clock, const struct policy_frame *frames,
                                struct policy_flow_result *results, uint64_t of, bool confirms);

/* Behind the two: may any result that they have written have a note? Mostly none has. */
bool policy_flow_has_notes(const struct policy_flow *flow);

/* Judges, of the frames left that have not passed, those that policy_flow_foresee() was told of and that open a
 * flow with a whole TCP SYN or UDP packet of plain headers. Returns those that it has judged, whose
 * results[i] is as policy_flow_judge() would have said; with those that remain nothing has been done. */
uint64_t policy_flow_open(struct policy_flow *flow, const struct policy_table *table,
                          struct policy_flow_clock clock, struct policy_flow_result *results,
                          uint64_t left);

/* Judge packets[n], n <= POLICY_FLOW_BURST_MAX, in order: results[n]. A packet that opens a flow is
 * decided by the table. All packets are of this worker's peers. */
void policy_flow_judge(struct policy_flow *flow, const struct policy_table *table,
                       struct policy_flow_clock clock, const struct policy_packet *packets,
                       struct policy_flow_result *results, uint32_t n);

/* At the egress owner: another worker has let this packet pass, with this note. Makes or refreshes
 * the entry that its replies need, after a decision by this worker's table. Returns the verdict:
 * anything but POLICY_FLOW_PASS refuses the packet here. */
enum policy_flow_verdict policy_flow_expect(struct policy_flow *flow,
                                            const struct policy_table *table,
                                            struct policy_flow_clock clock,
                                            const struct policy_packet *packet, uint8_t note);

/* The peer came from another worker, which knows its flows. */
void policy_flow_arrive(struct policy_flow *flow, uint32_t peer, uint32_t now_s);

/* Free what has timed out, and tell which grants were used, looking at no more than budget entries: call it each turn with a small
 * one. Timeouts are exact without it: an entry that has timed out does not let packets pass. Returns
 * how many were looked at. */
uint32_t policy_flow_expire(struct policy_flow *flow, uint32_t now_s, uint32_t budget);

/* How many flows were picked up in the middle, see above, since the last call. */
uint32_t policy_flow_picked_up(struct policy_flow *flow);

enum policy_flow_state {
	POLICY_FLOW_FREE = 0,
	POLICY_FLOW_TCP_OPENING = 1,     /* SYN seen */
	POLICY_FLOW_TCP_ANSWERED = 2,    /* SYN-ACK seen */
	POLICY_FLOW_TCP_ESTABLISHED = 3, /* and its ACK */
	POLICY_FLOW_TCP_HALF_CLOSED = 4, /* FIN of one side */
	POLICY_FLOW_TCP_CLOSED = 5,      /* FIN of both sides: late packets still pass */
	POLICY_FLOW_TCP_RESET = 6,       /* RST: nothing passes */
	POLICY_FLOW_ONE_WAY = 7,         /* UDP, echo and others: only the opener was heard */
	POLICY_FLOW_BOTH_WAYS = 8,       /* the other side too */
	POLICY_FLOW_N_STATES = 9,
};

/* How long a flow lives after its last packet, seconds. */
uint32_t policy_flow_timeout_s(enum policy_flow_state state, uint8_t proto);

/* A flow for people: as the packet that opened it, kind, flags and fragment left out. */
struct policy_flow_info {
	struct policy_packet opener;
	enum policy_flow_state state;
	uint32_t grant;
	uint32_t seen_s; /* clock.now_s of its last packet */
};

/* Flows in use, those that have timed out and are not yet freed included. */
uint32_t policy_flow_count(const struct policy_flow *flow);

/* Flows that a peer (or POLICY_HUB) has opened, and how many of them are half open. */
uint32_t policy_flow_count_of(const struct policy_flow *flow, uint32_t peer, uint32_t *n_half);

/* Number of places for entries that were ever used; policy_flow_get() of each in turn lists the flows in
 * slices. Returns false when that place is free or has timed out. The worker's thread. */
uint32_t policy_flow_places(const struct policy_flow *flow);
bool policy_flow_get(const struct policy_flow *flow, uint32_t place, uint32_t now_s,
                     struct policy_flow_info *out);

/* "no flow that it belongs to" and so on; a literal. */
const char *policy_flow_verdict_text(enum policy_flow_verdict verdict);

/* "established" and so on; a literal. */
const char *policy_flow_state_text(enum policy_flow_state state);

#endif

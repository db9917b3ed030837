/* Sessions of one worker: a keypair, its counters, its timers and where the peer is, in a slot of
 * this worker's table. The slot's number is in the index that the peer writes into each message.
 * The order of the fields is that of their use by a packet: see the lines below.
 *
 * What a restart needs is mirrored into the slot's struct abi_session in the region: install and
 * retire at once; send_reserved before the first counter of a block is used; receive_next, in a table of
 * its own, before a packet is passed on; the rest by the timer scan. */
#ifndef STATE_SESSION_H
#define STATE_SESSION_H

#include "abi_layout.h"
#include "wg_replay.h"
#include "wg_timers.h"

#include <stdbool.h>
#include <stdint.h>

struct state;

/* Where a packet came from, compared for each one: as it lies in the headers. */
struct state_heard {
	uint8_t source_port[2];
	uint8_t version; /* 4, 6 or 0 = nothing heard and nothing told yet */
	uint8_t port;    /* WAN port */
};
_Static_assert(sizeof(struct state_heard) == 4, "one comparison");

#define STATE_HEARD_V4 8U /* bytes of source and destination address */

/* A time for comparisons where a line is full: 1.05 ms each, rounded down. Two of them less than 26 days
 * apart are in order by their difference; sessions live for minutes. */
static inline uint32_t state_coarse(uint64_t ns)
{
	return (uint32_t)(ns >> 20);
}

/* Ethernet 14, IPv6 40 (IPv4 20), UDP 8 and WireGuard 16: the last 64 bytes, of which IPv4 needs 58, are a line;
 * IPv6's first 14 are elsewhere. */
#define STATE_HEADER_FRONT 16U
#define STATE_HEADER_LINE  64U

/* A packet on its way in needs line 5 before the cipher and line 4 after it (with IPv6 also 0, and a word of the
 * window's ring once in 64 times); on its way out line 2 before and after, and 3 (with IPv6 also 1) after, which it
 * only reads. The two of a way are a pair of 128 bytes, which memory gives for little more than one. With very many
 * sessions the pages cost more than the lines, so what few packets need, the rings of the windows, lies apart. */
struct state_session {
	/* line 0, now and then; over IPv6 for each packet that comes in, which is compared with both */
	struct base_endpoint remote; /* port 0 = not known */
	struct base_ip local;        /* family NONE = any */
	uint32_t port;               /* WAN port wanted, UINT32_MAX = by the routes */
	uint32_t remote_index;
	uint32_t next_of_peer; /* chain of the peer's sessions, STATE_SLOT_NONE ends it */
	uint32_t active_at;    /* position in state.active */
	uint32_t drops;        /* authenticated but dropped, since last published */
	/* line 1, now and then; over IPv6 for each packet that goes out */
	uint64_t birth_ns;
	uint64_t rekey_told_ns; /* 0 = never */
	uint64_t tx_published;  /* send_counter when last published */
	uint32_t rx_handed;     /* of rx_packets: those that another worker handed us */
	uint32_t handed_by;     /* 1 + that worker, the last one */
	uint32_t events;        /* enum state_event_bit: not yet told to control */
	uint8_t role;           /* enum abi_role */
	uint8_t confirmed;      /* a packet was authenticated on it */
	uint8_t expired;        /* 180 s old: keys are wiped */
	uint8_t contends;       /* each packet on it makes it the peer's current one */
	uint8_t pad1[8];
	uint8_t header_front
		[STATE_HEADER_FRONT]; /* of the outer header, if it is longer than a line */
	/* line 2, send: written for each packet */
	uint8_t send_key[32];
	uint64_t send_counter; /* next to be used */
	uint32_t send_limit;   /* counters below it are reserved in the region; its low half */
	uint32_t
		send_soft; /* state_coarse(): from then on the packet looks closer: rekey due or expired */
	uint32_t sent;       /* for timers: wg_timers_sent_data() */
	uint32_t tx_bytes;   /* since last published; packets are told by the counter */
	uint32_t header_of;  /* generation of state_wan the header was made in, 0 = stale */
	uint8_t header_port; /* WAN port that the header leaves on */
	uint8_t header_len;  /* 58 or 78 bytes */
	uint8_t tx_limits;   /* ABI_LIMIT_TX, ABI_LIMIT_QUOTA: the peer's */
	uint8_t pad2;
	/* line 3, send: the outer header, ready but for lengths, sums and counter, at the end */
	uint8_t header[STATE_HEADER_LINE];
	/* line 4, receive: written for each packet */
	struct wg_timers_data timers;
	uint32_t rx_packets; /* since last published, which is 20 times a second */
	uint32_t rx_bytes;
	uint32_t pad4;
	struct state_heard heard;
	uint8_t heard_v4[STATE_HEARD_V4];
	/* inner IPv4 source of a packet that was accepted, as it lies in the header, and the generation
	 * of the routes that said it is the peer's; 0 = none */
	uint32_t source_v4;
	uint32_t source_of;
	/* line 5, receive */
	uint32_t index; /* 0 = slot is free */
	uint32_t peer : 24;
	uint32_t rx_limits : 8;   /* ABI_LIMIT_RX, ABI_LIMIT_QUOTA: the peer's */
	uint64_t receive_soft_ns; /* from then on the packet looks closer: not confirmed (0), rekey
	                             due or expired */
	uint8_t receive_key[32];
	struct wg_replay window; /* its ring: st->rings */
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct state_session) == 6 * 64, "six lines");
_Static_assert(offsetof(struct state_session, birth_ns) == 64, "line 1");
_Static_assert(offsetof(struct state_session, send_key) == 128, "line 2");
_Static_assert(offsetof(struct state_session, header) == 192, "line 3");
_Static_assert(offsetof(struct state_session, timers) == 256, "line 4");
_Static_assert(offsetof(struct state_session, index) == 320, "line 5");
_Static_assert(ABI_PEERS_MAX <= 1U << 24, "24 bits for the peer");

/* Make a session. The same one again changes nothing (a command may come twice); another one in the
 * slot is retired first. Returns 0, -EINVAL (index, peer, role or port out of range, not ours),
 * -EEXIST (same index, other keys). */
int state_session_install(struct state *st, const struct abi_cmd_session_install *cmd)
	__attribute__((warn_unused_result));

/* Take over what an earlier dataplane left in this slot of the region, if anything; what makes no
 * sense is cleared. */
void state_session_resume(struct state *st, uint32_t slot);

/* End a session: no packet finds it any more, its keys are wiped here and in the region. */
void state_session_retire(struct state *st, struct state_session *session);

/* The session with this index or NULL. */
struct state_session *state_session_find(struct state *st, uint32_t index);

/* 180 s old: wipe the keys. The slot stays taken until control retires it. */
void state_session_expire(struct state *st, struct state_session *session);

/* The peer is at another place now, or sends to another address of ours: heard is what the packet
 * said, addresses the two in its header, one behind the other. Returns true when the remote endpoint
 * changed. */
bool state_session_move(struct state *st, struct state_session *session, struct state_heard heard,
                        const uint8_t *addresses);

/* Control says where the peer is. Returns 0 or -EINVAL (port out of range). */
int state_session_set_endpoint(struct state *st, const struct abi_cmd_endpoint *cmd)
	__attribute__((warn_unused_result));

/* Control says which of a peer's sessions goes first. */
void state_session_prefer(struct state *st, const struct abi_cmd_prefer *cmd);

/* Is the next counter not reserved yet, or is it time for a closer look, or a millisecond before? coarse:
 * state_coarse() of now. Then state_session_before_send() says whether to send. */
static inline bool state_session_is_at_limit(const struct state_session *session, uint32_t coarse)
{
	return (uint32_t)session->send_counter == session->send_limit
	       || (int32_t)(coarse - session->send_soft) >= 0;
}

/* Before sending when it is at a limit: reserve the next block,
 * note a rekey. Returns 0, -EKEYEXPIRED (too old or counters used up), -EACCES (responder's session
 * that was not confirmed yet). */
int state_session_before_send(struct state *st, struct state_session *session)
	__attribute__((warn_unused_result));

/* After receiving past receive_soft_ns: for the first time (a responder's session may send from now
 * on, and becomes the peer's current one unless a newer is), or note a rekey; and each time while the
 * session contends with one that was made with another key of the peer. */
void state_session_after_receive(struct state *st, struct state_session *session);

/* Bring the region up to date: times, counters of the peer. */
void state_session_publish(struct state *st, struct state_session *session);

#endif

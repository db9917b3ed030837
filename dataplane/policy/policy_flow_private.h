/* The bytes of a flow table, shared by its files:
 *
 *   policy_flow.c           judging packets
 *   policy_flow_index.c     memory; finding, making, freeing entries; the wheel
 *   policy_flow_state.c     what a packet does to a flow
 *   policy_flow_fragment.c  datagrams in fragments
 *
 * **Finding.** A bucket is a cache line: 15 places, each the number of an entry below a tag of other
 * bits of the hash, and a count of entries that found it full and lie in its neighbour (bucket ^ 1).
 * There are at least four times as many places as entries, so that is rare, and both being full is a
 * refusal that practically never comes before the table is full.
 *
 * **Wheel.** An entry is in a list of the second in which it may time out, at most WHEEL_SLOTS ahead.
 * Packets do not move it: when its second has come it is freed, or put into the list of its new one. */
#ifndef POLICY_FLOW_PRIVATE_H
#define POLICY_FLOW_PRIVATE_H

#include "policy_flow.h"
#include "policy_private.h"

#define FLOW_PLACES      15U
#define FLOW_WHEEL_SLOTS 64U
#define FLOW_WAYS        8U
#define FLOW_DATAGRAM_S  30U
#define FLOW_NOTE_SHIFT  4U /* a note each 16 s of a flow that has packets */

/* Timeouts that are asked for with each packet. */
#define FLOW_ESTABLISHED_S 7440U /* RFC 5382: not less than 2 hours and 4 minutes */
#define FLOW_BOTH_WAYS_S   180U

#define FLOW_PEER_MASK ((UINT32_C(1) << POLICY_PEER_BITS) - 1)

/* ---- keys ---------------------------------------------------------------------------------------- */

/* A flow's identity, the same for both directions: the side with the lower (address, port) first. */
struct flow_key {
	struct policy_address address[2]; /* [low side, high side] */
	uint32_t ports;                   /* low side's above, high side's below */
	uint32_t low;                     /* peer of the low side; protocol in the upper 8 bits */
	uint32_t high;                    /* peer of the high side */
};

struct flow_entry {
	struct policy_address address[2];
	uint32_t ports;
	uint32_t low;
	uint32_t high;       /* peer of the high side; above: state and FLOW_... bits */
	uint32_t grant;      /* id */
	uint32_t generation; /* of the table that allowed it */
	uint32_t seen_s;
	uint32_t recheck_s; /* wall clock: decide anew; UINT32_MAX = never */
	uint32_t next;      /* in its list: of a second, or free */
};
_Static_assert(sizeof(struct flow_entry) == 64, "one cache line");

#define FLOW_STATE_SHIFT POLICY_PEER_BITS
#define FLOW_STATE_MASK  (UINT32_C(15) << FLOW_STATE_SHIFT)
#define FLOW_OPENER_HIGH (UINT32_C(1) << 24) /* the high side opened it */
#define FLOW_FIN_OPENER  (UINT32_C(1) << 25)
#define FLOW_FIN_OTHER   (UINT32_C(1) << 26)
#define FLOW_FINS        (FLOW_FIN_OPENER | FLOW_FIN_OTHER)

/* A note: this, the sender's side, both FINs, and the state below. */
#define FLOW_NOTE             0x80U
#define FLOW_NOTE_FIN_OPENER  0x40U
#define FLOW_NOTE_FIN_OTHER   0x20U
#define FLOW_NOTE_FROM_OPENER 0x10U
#define FLOW_NOTE_STATE       0x0fU

static inline enum policy_flow_state flow_state(const struct flow_entry *e)
{
	return (enum policy_flow_state)((e->high & FLOW_STATE_MASK) >> FLOW_STATE_SHIFT);
}

/* TCP has its states, the others have theirs. */
static inline bool flow_state_fits(enum policy_flow_state state, uint8_t proto)
{
	bool is_tcp = state >= POLICY_FLOW_TCP_OPENING && state <= POLICY_FLOW_TCP_RESET;

	return state != POLICY_FLOW_FREE && state < POLICY_FLOW_N_STATES
	       && is_tcp == (proto == POLICY_PROTO_TCP);
}

static inline uint8_t flow_proto(const struct flow_entry *e)
{
	return (uint8_t)(e->low >> 24);
}

/* Is the packet's sender the high side? */
static inline bool flow_sender_is_high(const struct policy_packet *p)
{
	if (p->src.high != p->dst.high)
		return p->src.high > p->dst.high;
	if (p->src.low != p->dst.low)
		return p->src.low > p->dst.low;
	return p->sport > p->dport;
}

static inline void flow_key_make(struct flow_key *key, const struct policy_packet *p)
{
	bool high = flow_sender_is_high(p);
	uint32_t proto = (uint32_t)p->proto << 24;

	key->address[high] = p->src;
	key->address[!high] = p->dst;
	key->ports = high ? (uint32_t)p->dport << 16 | p->sport
	                  : (uint32_t)p->sport << 16 | p->dport;
	key->low = (high ? p->out_peer : p->in_peer) | proto;
	key->high = high ? p->in_peer : p->out_peer;
}

static inline bool flow_key_equal(const struct flow_entry *e, const struct flow_key *key)
{
	uint64_t differ = (e->address[0].high ^ key->address[0].high)
	                  | (e->address[0].low ^ key->address[0].low)
	                  | (e->address[1].high ^ key->address[1].high)
	                  | (e->address[1].low ^ key->address[1].low) | (e->ports ^ key->ports)
	                  | (e->low ^ key->low) | ((e->high & FLOW_PEER_MASK) ^ key->high);

	return differ == 0;
}

/* NH of UMAC (Black, Halevi, Krawczyk, Krovetz, Rogaway 1999) with 64-bit words: two different keys
 * collide with probability 2^-64, if the table's key is random; then folded with two more words. A
 * collision costs a comparison and nothing else. */
static inline uint64_t flow_hash_words(const uint64_t *secret, const uint64_t *words)
{
	unsigned __int128 sum = 0;

	for (unsigned int i = 0; i < 6; i += 2)
		sum += (unsigned __int128)(words[i] + secret[i]) * (words[i + 1] + secret[i + 1]);
	sum = (unsigned __int128)((uint64_t)sum ^ secret[6]) * (secret[7] | 1)
	      + (uint64_t)(sum >> 64);
	return (uint64_t)sum ^ (uint64_t)(sum >> 64);
}

static inline uint64_t flow_hash(const uint64_t *secret, const struct flow_key *key)
{
	const uint64_t words[6] = {
		key->address[0].high,
		key->address[0].low,
		key->address[1].high,
		key->address[1].low,
		(uint64_t)key->ports << 32 | key->low,
		key->high & FLOW_PEER_MASK,
	};

	return flow_hash_words(secret, words);
}

/* ---- the table ----------------------------------------------------------------------------------- */

struct flow_bucket {
	uint32_t place[FLOW_PLACES]; /* tag | number of an entry; 0 = free */
	uint32_t n_next_door;
};
_Static_assert(sizeof(struct flow_bucket) == 64, "one cache line");

struct flow_charge {
	uint32_t n;
	uint32_t n_half;
};

/* A datagram whose first fragment has passed. */
struct flow_datagram {
	struct policy_address src;
	struct policy_address dst;
	uint32_t datagram;
	uint32_t in_peer;
	uint32_t out_peer;
	uint32_t until_s; /* 0 = free */
	uint16_t sport;
	uint16_t dport;
	uint8_t proto;
	uint8_t pad[11];
};
_Static_assert(sizeof(struct flow_datagram) == 64, "one cache line");

struct policy_flow {
	struct flow_entry *entries; /* [n_flows + 1], number 0 is none */
	struct flow_bucket *buckets;
	uint64_t secret[POLICY_FLOW_KEY_WORDS];
	uint32_t bucket_mask;
	uint32_t number_mask; /* of a place: the rest is tag */
	uint32_t n_flows;
	uint32_t n_used;
	uint32_t first_free;
	uint32_t wheel_s; /* the first second that has not been seen to */
	uint32_t due;     /* entries of seconds before it, still to be looked at */
	uint32_t n_peers;
	uint32_t peer_max;
	uint32_t half_max;
	uint32_t datagram_mask; /* of sets of FLOW_WAYS */
	uint32_t start_s;
	uint32_t pickup_s;
	struct flow_charge *charges; /* [n_peers + 1]: the last is the hub */
	struct flow_datagram *datagrams;
	uint32_t wheel[FLOW_WHEEL_SLOTS]; /* numbers of first entries */
};

static inline uint32_t flow_bucket_of(const struct policy_flow *flow, uint64_t hash)
{
	return (uint32_t)(hash >> 32) & flow->bucket_mask;
}

static inline uint32_t flow_tag_of(const struct policy_flow *flow, uint64_t hash)
{
	uint32_t tag = (uint32_t)hash & ~flow->number_mask;

	return tag != 0 ? tag : flow->number_mask + 1;
}

/* policy_flow_index.c. The entry of a key, or NULL; also one that has timed out. */
struct flow_entry *flow__find(const struct policy_flow *flow, const struct flow_key *key,
                              uint64_t hash);

/* The number of an entry that is probably the key's, or 0: what a burst fetches ahead. */
uint32_t flow__candidate(const struct policy_flow *flow, uint64_t hash);

/* May this peer open one more? */
enum policy_flow_verdict flow__charge_check(const struct policy_flow *flow, uint32_t peer);

/* A new entry of this key, in this state, charged to the opener. Returns it or NULL: no room. */
struct flow_entry *flow__make(struct policy_flow *flow, const struct flow_key *key, uint64_t hash,
                              bool opener_is_high, enum policy_flow_state state, uint32_t now_s);
/* The same for an entry of this key that is closed or has timed out: in its place. Always works. */
void flow__make_again(struct policy_flow *flow, struct flow_entry *e, bool opener_is_high,
                      enum policy_flow_state state, uint32_t now_s);
/* Take the entry out of the index: nobody finds it. It stays in its list, and in its opener's account,
 * until its second comes. */
void flow__end(struct policy_flow *flow, struct flow_entry *e);
void flow__set_state(struct policy_flow *flow, struct flow_entry *e, enum policy_flow_state state);
bool flow__timed_out(const struct flow_entry *e, uint32_t now_s);

/* policy_flow.c. The tuple as its opener (high: the high side) sent it. */
void flow__opener(const struct flow_entry *e, bool high, struct policy_packet *out);

/* policy_flow_state.c. What a packet does to a flow in e's state. */
struct flow_step {
	enum policy_flow_verdict verdict;
	enum policy_flow_state state;
	uint32_t fins;   /* FLOW_FIN_... to set */
	bool is_opening; /* it may open the flow anew: to be decided */
	bool is_silent;  /* it does not keep the flow alive */
};
struct flow_step flow__step(const struct flow_entry *e, const struct policy_packet *packet,
                            bool from_opener);

/* Can a packet open a flow? POLICY_FLOW_PASS: yes, in *state. */
enum policy_flow_verdict flow__opening(const struct policy_packet *packet,
                                       enum policy_flow_state *state);

/* policy_flow_fragment.c. Remember the first fragment of a datagram; complete a later one from it.
 * Returns false: not known. */
void flow__datagram_put(struct policy_flow *flow, const struct policy_packet *first,
                        uint32_t now_s);
bool flow__datagram_complete(const struct policy_flow *flow, struct policy_packet *later,
                             uint32_t now_s);

#endif

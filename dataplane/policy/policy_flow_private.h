/* The bytes of a flow table, shared by its files:
 *
 *   policy_flow.c           judging packets
 *   policy_pass...          passing those that need no judgement
 *   policy_open.c           plain ones that open a flow
 *   policy_flow_index...    memory; finding, making, freeing entries; the wheel
 *   policy_flow_state.c     what a packet does to a flow
 *   policy_flow_fragment.c  datagrams in fragments
 *
 * **Finding.** A bucket is a cache line: 15 places, each the number of an entry below a tag of other
 * bits of the hash, and a count of entries that found it full and lie in its neighbour (bucket ^ 1).
 * There are nearly four times as many places as entries, so that is rare, and both being full is a
 * refusal that practically never comes before the table is full.
 *
 * **Wheel.** An entry is in a list of the second in which it may time out, at most WHEEL_SLOTS ahead.
 * Packets do not move it: when its second has come it is freed, or put into the list of its new one. */
#ifndef POLICY_FLOW_PRIVATE_H
#define POLICY_FLOW_PRIVATE_H

#include "policy_flow.h"
#include "policy_private.h"

#define FLOW_PLACES      15U
#define FLOW_OF_BUCKET   4U /* entries, when the table is full */
#define FLOW_WHEEL_SLOTS 64U
#define FLOW_WAYS        8U
#define FLOW_ARRIVAL_S   300U   /* flows of a peer that came from another worker are picked up */
#define FLOW_CLIENT_PORT 32768U /* of Linux' ip_local_port_range */
#define FLOW_DATAGRAM_S  30U
#define FLOW_NOTE_SHIFT  4U /* a note each 16 s of a flow that has packets */

/* Timeouts that are asked for with each packet. */
#define FLOW_ESTABLISHED_S 7440U /* RFC 5382: not less than 2 hours and 4 minutes */
#define FLOW_BOTH_WAYS_S   180U
#define FLOW_ONE_WAY_S     30U
#define FLOW_OPENING_S     FLOW_ONE_WAY_S /* TCP too: what opens in one second is in one list */

#define FLOW_PEER_MASK ((UINT32_C(1) << POLICY_PEER_BITS) - 1)

/* ---- keys ---------------------------------------------------------------------------------------- */

/* A flow's identity, the same for both directions: the side with the lower (address, port) first. */
struct flow_key {
	struct policy_address address[2]; /* [low side, high side] */
	uint32_t low;                     /* peer of the low side; protocol in the upper 8 bits */
	uint32_t high;                    /* peer of the high side */
	uint32_t ports;                   /* low side's above, high side's below */
};

struct flow_entry { /* policy_pass_avx512.c makes one of a packet */
	struct policy_address address[2];
	uint32_t low;
	uint32_t high; /* peer of the high side; above: state and FLOW_... bits */
	uint32_t ports;
	uint32_t grant; /* id */
	uint32_t epoch; /* see struct policy_flow: what of it still holds */
	uint32_t seen_s;
	uint32_t recheck_s; /* wall clock: decide anew; UINT32_MAX = never */
	uint32_t next;      /* in its list, of a second */
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

/* The peer of its high or low side. Which of them nobody can predict, so there is no branch. */
static inline uint32_t flow_entry_peer(const struct flow_entry *e, bool high)
{
	uint64_t peers = (uint64_t)e->high << 32 | e->low;

	return (uint32_t)(peers >> high * 32) & FLOW_PEER_MASK;
}

static inline uint8_t flow_proto(const struct flow_entry *e)
{
	return (uint8_t)(e->low >> 24);
}

static inline unsigned __int128 flow_number(struct policy_address address)
{
	return (unsigned __int128)address.high << 64 | address.low;
}

/* Is the packet's sender the high side? Nobody can predict it, so there is no branch. */
static inline bool flow_sender_is_high(const struct policy_packet *p)
{
	unsigned __int128 src = flow_number(p->src);
	unsigned __int128 dst = flow_number(p->dst);

	return (src > dst) | ((src == dst) & (p->sport > p->dport));
}

static inline void flow_key_make(struct flow_key *key, const struct policy_packet *p)
{
	bool is_high = flow_sender_is_high(p);
	uint64_t turn = -(uint64_t)is_high; /* all ones: the receiver first */
	uint64_t high = (p->src.high ^ p->dst.high) & turn;
	uint64_t low = (p->src.low ^ p->dst.low) & turn;
	uint32_t peer = (p->in_peer ^ p->out_peer) & (uint32_t)turn;
	uint32_t port = (uint32_t)(p->sport ^ p->dport) & (uint32_t)turn;

	key->address[0] = (struct policy_address){p->src.high ^ high, p->src.low ^ low};
	key->address[1] = (struct policy_address){p->dst.high ^ high, p->dst.low ^ low};
	key->low = (p->in_peer ^ peer) | (uint32_t)p->proto << 24;
	key->high = p->out_peer ^ peer;
	key->ports = (p->sport ^ port) << 16 | (p->dport ^ port);
}

static inline struct flow_key flow_key_of(const struct flow_entry *e)
{
	return (struct flow_key){
		.address = {e->address[0], e->address[1]},
		.low = e->low,
		.high = e->high & FLOW_PEER_MASK,
		.ports = e->ports,
	};
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

/* NH of UMAC (Black, Halevi, Krawczyk, Krovetz, Rogaway 1999) with 32-bit words: over the table's random
 * key, the sums of two different flows are equal with probability 2^-32, whatever the flows are. From its
 * two halves pair-multiply-shift (Thorup 2015) makes 32 bits, of which any are as good as any. So nobody
 * who does not know the key can aim at a bucket; and a collision costs a comparison and nothing else.
 * Both are vector instructions for many packets at once: policy_pass_avx512.c must come to the same. */
#define FLOW_HASH_PAIRS 6U /* of words */
#define FLOW_HASH_FOLD  6U /* the first of the secret's three words that fold */
_Static_assert(FLOW_HASH_FOLD + 3 == POLICY_FLOW_KEY_WORDS, "");

static inline uint64_t flow_hash_pair(uint64_t secret, uint64_t pair)
{
	uint32_t even = (uint32_t)pair + (uint32_t)secret;
	uint32_t odd = (uint32_t)(pair >> 32) + (uint32_t)(secret >> 32);

	return (uint64_t)even * odd;
}

/* Of two addresses and two pairs more. */
static inline uint32_t flow_hash_words(const uint64_t *secret, const struct policy_address *address,
                                       uint64_t fifth, uint64_t sixth)
{
	const uint64_t *fold = secret + FLOW_HASH_FOLD;
	uint64_t sum = flow_hash_pair(secret[0], address[0].high)
	               + flow_hash_pair(secret[1], address[0].low)
	               + flow_hash_pair(secret[2], address[1].high)
	               + flow_hash_pair(secret[3], address[1].low)
	               + flow_hash_pair(secret[4], fifth) + flow_hash_pair(secret[5], sixth);

	return (uint32_t)((((sum >> 32) + fold[0]) * ((uint32_t)sum + fold[1]) + fold[2]) >> 32);
}

/* Of what the packet says itself: so it can be looked for before it is known whom it is for. */
static inline uint32_t flow_hash(const uint64_t *secret, const struct flow_key *key)
{
	return flow_hash_words(secret, key->address, key->low & ~FLOW_PEER_MASK, key->ports);
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
	uint32_t arrived_s; /* when the peer last came from another worker; 0 = never */
};

/* Who was allowed, or refused, to open a flow to what, where sets had to be asked, so that the next one of the same
 * costs a look and no decision: a browser opens many, and who is refused tries again. It says so for as long as the table that
 * said it is the one in use, and no window of a grant begins or ends. Its place is taken by whatever falls on
 * it, but a refusal does not take the place of what is allowed: who scans makes nobody else slower. */
#define FLOW_ANSWER_BITS 12U
struct flow_answer {
	struct policy_address src;
	struct policy_address dst;
	uint64_t who;        /* peers, port and protocol: flow_answer_who() */
	uint32_t generation; /* of the table that said so; 0 = none */
	uint32_t grant;
	uint32_t recheck_s; /* as in an entry */
	uint32_t reason;    /* enum policy_reason */
	uint32_t pad[2];
};
_Static_assert(sizeof(struct flow_answer) == 64, "one cache line");

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

/* A burst on its way through policy_flow_fetch(), policy_flow_find() and policy_flow_pass(), and what
 * policy_flow_open() goes on with. A key is in the form of an entry that it may pass by: of this epoch, seen
 * in this second, of a state in which nothing changes; without peers. That of a packet which may open a flow and
 * is not plain has epoch 0, and is like no entry; what is neither has protocol 0. */
#define FLOW_SHAPES 6U /* of frames, see policy_pass_avx512.c */
struct flow_burst {
	uint64_t highs; /* frames whose sender is the high side, as bits */
	uint64_t syns;
	uint64_t noted; /* not 0: results may have notes */
	/* behind policy_flow_foresee(): may open a flow, and there was none that they could be of */
	uint64_t openers;
	uint32_t buckets[POLICY_FLOW_BURST_MAX];
	uint32_t tags[POLICY_FLOW_BURST_MAX];
	uint32_t numbers[POLICY_FLOW_BURST_MAX];             /* of the entry that may be its */
	struct policy_packet packets[POLICY_FLOW_BURST_MAX]; /* of openers */
	_Alignas(POLICY_ALIGN) struct flow_entry keys[POLICY_FLOW_BURST_MAX];
	/* what a key begins as, by shape; of this epoch, in this second */
	struct flow_entry bases[FLOW_SHAPES];
};

/* Now, and the table that is valid. */
struct flow_moment {
	const struct policy_table *table;
	uint32_t generation;
	uint32_t epoch; /* as in struct policy_flow */
	uint32_t table_epoch;
	uint32_t now_s;
	uint32_t wall_s; /* below UINT32_MAX */
};

/* How plain frames are passed. */
struct flow_kernel {
	/* Keys of frames, without peers, buckets and tags: into flow->burst, whose bits are all zero. */
	void (*fetch)(struct policy_flow *flow, const struct flow_moment *now,
	              const struct policy_frame *frames, uint32_t n);
	/* Numbers. Returns a bit for each frame that has one. */
	uint64_t (*find)(struct policy_flow *flow, uint32_t n);
	/* As policy_flow_pass(). */
	uint64_t (*pass)(struct policy_flow *flow, const struct flow_moment *now,
	                 struct policy_frame *frames, struct policy_flow_result *results,
	                 uint32_t n);
	/* As policy_flow_pass_known(), but for what it confirms; of has no SYN. */
	uint64_t (*pass_known)(struct policy_flow *flow, const struct flow_moment *now,
	                       const struct policy_frame *frames,
	                       struct policy_flow_result *results, uint64_t of);
};

/* **Epochs** are numbers that only grow: another begins when the table is another one, and when addresses may
 * lead elsewhere (policy_flow_lead()). Of an entry
 *
 *   epoch == this one           the table allows it, and each of its addresses is its peer's: so a packet's
 *                               receiver is known by its entry, and need not be looked up
 *   table_epoch <= epoch        the table allows it
 *   epoch < table_epoch         to be decided anew
 *
 * table_epoch, when this table began, is below each epoch in which addresses are known. */
struct policy_flow {
	const struct flow_kernel *kernel;
	uint32_t epoch;
	uint32_t table_epoch;
	uint32_t generation;        /* of the table */
	uint64_t lead;              /* as policy_flow_lead() was told */
	struct flow_entry *entries; /* [n_flows + 1], number 0 is none */
	struct flow_bucket *buckets;
	uint64_t secret[POLICY_FLOW_KEY_WORDS];
	uint32_t bucket_mask;
	uint32_t number_mask; /* of a place: the rest is tag */
	uint32_t n_flows;
	uint32_t n_used;
	uint32_t n_touched; /* entries 1 .. this were ever used */
	uint32_t wheel_s;   /* the first second that has not been seen to */
	uint32_t due;       /* entries of seconds before it, still to be looked at */
	uint32_t n_peers;
	uint32_t peer_max;
	uint32_t half_max;
	uint32_t datagram_mask; /* of sets of FLOW_WAYS */
	uint32_t start_s;
	uint32_t pickup_s;
	uint32_t n_picked_up;        /* since policy_flow_picked_up() asked */
	uint32_t used_mask;          /* of sets */
	uint64_t *used;              /* as in the setup */
	uint32_t *free;              /* [n_flows], a stack of n_touched - n_used numbers */
	struct flow_answer *answers; /* [1 << FLOW_ANSWER_BITS] */
	struct flow_charge *charges; /* [n_peers + 1]: the last is the hub */
	struct flow_datagram *datagrams;
	struct flow_burst *burst;
	uint32_t wheel[FLOW_WHEEL_SLOTS]; /* numbers of first entries */
};

/* Fewer bits than a number has, and those above a number: so bucket and tag share none. */
static inline uint32_t flow_bucket_of(const struct policy_flow *flow, uint32_t hash)
{
	return hash & flow->bucket_mask;
}

static inline uint32_t flow_tag_of(const struct policy_flow *flow, uint32_t hash)
{
	uint32_t tag = hash & ~flow->number_mask;

	return tag != 0 ? tag : flow->number_mask + 1;
}

/* ---- answers -------------------------------------------------------------------------------------- */

static inline uint64_t flow_answer_who(const struct policy_packet *p)
{
	return (uint64_t)p->in_peer << 44 | (uint64_t)p->out_peer << 24 | (uint64_t)p->dport << 8
	       | p->proto;
}

/* Where the answer for this packet is, if there is one. Who aims at a place makes it forget, and pays
 * for its own decision. */
static inline struct flow_answer *flow_answer_of(const struct policy_flow *flow,
                                                 const struct policy_packet *p)
{
	const uint64_t *secret = flow->secret;
	uint64_t mixed = flow_answer_who(p) * (secret[0] | 1) + p->src.low * (secret[1] | 1)
	                 + p->dst.low * (secret[2] | 1);

	return &flow->answers[mixed >> (64 - FLOW_ANSWER_BITS)];
}

static inline bool flow_answer_fits(const struct flow_answer *a, const struct policy_packet *p,
                                    const struct flow_moment *now)
{
	return a->generation == now->generation && now->wall_s < a->recheck_s
	       && a->who == flow_answer_who(p) && policy_address_equal(a->src, p->src)
	       && policy_address_equal(a->dst, p->dst);
}

static inline uint32_t flow_recheck_of(const struct policy_decision *decision)
{
	return decision->until_s < UINT32_MAX ? (uint32_t)decision->until_s : UINT32_MAX;
}

static inline struct policy_decision flow_answer_read(const struct flow_answer *a)
{
	return (struct policy_decision){
		.reason = a->reason, .grant = a->grant, .until_s = a->recheck_s};
}

static inline void flow_answer_keep(const struct policy_flow *flow, const struct flow_moment *now,
                                    const struct policy_packet *packet,
                                    const struct policy_decision *decision)
{
	struct flow_answer *a = flow_answer_of(flow, packet);

	if (decision->reason
	    == POLICY_NOT_NOW) /* and then again, if somebody sets the clock back */
		return;
	if (decision->reason != POLICY_ALLOWED && a->reason == POLICY_ALLOWED
	    && a->generation == now->generation && now->wall_s < a->recheck_s)
		return;
	*a = (struct flow_answer){
		.src = packet->src,
		.dst = packet->dst,
		.who = flow_answer_who(packet),
		.generation = now->generation,
		.grant = decision->grant,
		.recheck_s = flow_recheck_of(decision),
		.reason = decision->reason,
	};
}

/* ---- plain packets -------------------------------------------------------------------------------- */

#define FLOW_TCP_FLAGS (POLICY_TCP_SYN | POLICY_TCP_ACK | POLICY_TCP_FIN | POLICY_TCP_RST)

/* policy_flow_index.c. This table is another one. */
void flow__begin_table(struct policy_flow *flow, uint32_t generation);

static inline struct flow_moment flow_moment(struct policy_flow *flow,
                                             const struct policy_table *table,
                                             struct policy_flow_clock clock)
{
	if (table->generation != flow->generation)
		flow__begin_table(flow, table->generation);
	return (struct flow_moment){
		.table = table,
		.generation = table->generation,
		.epoch = flow->epoch,
		.table_epoch = flow->table_epoch,
		.now_s = clock.now_s,
		.wall_s = clock.wall_s < UINT32_MAX ? (uint32_t)clock.wall_s : UINT32_MAX - 1,
	};
}

static inline bool flow_entry_is_current(const struct flow_entry *e, const struct flow_moment *now)
{
	return e->epoch >= now->table_epoch && now->wall_s < e->recheck_s;
}

/* May a packet of a frame that opens a flow go the quick way? Not those of the hub, which has rules of its
 * own. */
static inline bool flow_peers_are_plain(const struct policy_frame *frame)
{
	return frame->in_peer < POLICY_HUB && frame->out_peer <= POLICY_HUB;
}

/* A packet that, if its flow stands, changes nothing but when it was seen. */
static inline bool flow_packet_is_plain(const struct policy_packet *packet)
{
	if (packet->is_fragment != 0)
		return false;
	if (packet->kind == POLICY_KIND_TCP)
		return (packet->tcp_flags & FLOW_TCP_FLAGS) == POLICY_TCP_ACK;
	return packet->kind == POLICY_KIND_UDP;
}

/* A whole one of TCP that opens a flow if it is of none. */
static inline bool flow_packet_is_syn(const struct policy_packet *packet)
{
	return packet->is_fragment == 0 && packet->kind == POLICY_KIND_TCP
	       && (packet->tcp_flags & FLOW_TCP_FLAGS) == POLICY_TCP_SYN;
}

/* Frame number i is of these peers. Done twice it is the same. Nobody can predict which is the high side's, so there
 * is no branch. */
static inline void flow_burst_add_peers(struct flow_burst *b, const struct policy_frame *frame,
                                        uint32_t i)
{
	uint64_t peers = (uint64_t)frame->out_peer << 32 | frame->in_peer;
	uint32_t turn = (uint32_t)(b->highs >> i & 1) * 32;

	peers = peers << turn | peers >> (-turn & 63);
	b->keys[i].low |= (uint32_t)peers & FLOW_PEER_MASK;
	b->keys[i].high |= (uint32_t)(peers >> 32) & FLOW_PEER_MASK;
}

/* Of frame number i, when it is an opener. */
static inline uint32_t flow_burst_hash(const struct flow_burst *b, uint32_t i)
{
	return b->buckets[i] | b->tags[i];
}

/* Does the entry's flow stand, for a plain packet from this side? kind: POLICY_KIND_TCP or _UDP. Of UDP
 * that nobody answers, the opener's packets change nothing either. */
static inline bool flow_entry_is_plain(const struct flow_entry *e, const struct flow_moment *now,
                                       uint32_t kind, bool from_opener)
{
	enum policy_flow_state state = flow_state(e);
	uint32_t idle_s = now->now_s - e->seen_s;

	if (!flow_entry_is_current(e, now))
		return false;
	if (kind == POLICY_KIND_TCP)
		return state == POLICY_FLOW_TCP_ESTABLISHED && idle_s < FLOW_ESTABLISHED_S;
	if (state == POLICY_FLOW_ONE_WAY)
		return from_opener && idle_s < FLOW_ONE_WAY_S;
	return state == POLICY_FLOW_BOTH_WAYS && idle_s < FLOW_BOTH_WAYS_S;
}

static inline uint8_t flow_note_make(const struct flow_entry *e, bool from_opener)
{
	uint32_t note = FLOW_NOTE | (uint32_t)flow_state(e);

	if (from_opener)
		note |= FLOW_NOTE_FROM_OPENER;
	if ((e->high & FLOW_FIN_OPENER) != 0)
		note |= FLOW_NOTE_FIN_OPENER;
	if ((e->high & FLOW_FIN_OTHER) != 0)
		note |= FLOW_NOTE_FIN_OTHER;
	return (uint8_t)note;
}

static inline bool flow_note_is_due(uint32_t seen_s, uint32_t now_s)
{
	return seen_s >> FLOW_NOTE_SHIFT != now_s >> FLOW_NOTE_SHIFT;
}

/* What a plain packet does to its entry: writes only when the second has changed. */
static inline void flow_touch(struct policy_flow *flow, struct flow_entry *e,
                              const struct flow_moment *now, bool from_opener,
                              struct policy_flow_result *result)
{
	*result = (struct policy_flow_result){.grant = e->grant};
	if (e->seen_s == now->now_s)
		return;
	if (flow_note_is_due(e->seen_s, now->now_s)) {
		result->note = flow_note_make(e, from_opener);
		flow->burst->noted = 1;
	}
	e->seen_s = now->now_s;
}

/* policy_pass.c. NULL: this CPU cannot. */
const struct flow_kernel *flow__kernel_choose(enum policy_flow_kernel kernel);

/* policy_flow_index.c. The entry of a key, or NULL; also one that has timed out. */
struct flow_entry *flow__find(const struct policy_flow *flow, const struct flow_key *key,
                              uint32_t hash);

/* The number of an entry that is probably the key's, or 0: what a burst fetches ahead. */
uint32_t flow__candidate(const struct policy_flow *flow, uint32_t hash);

/* Is there surely no entry with this hash? */
bool flow__has_none(const struct policy_flow *flow, uint32_t hash);

/* Has the peer come from another worker so short a time ago that its flows are picked up? */
bool flow__has_arrived(const struct policy_flow *flow, uint32_t peer, uint32_t now_s);

/* A new entry of this key, in this state, charged to the opener. Returns it or NULL: no room. */
struct flow_entry *flow__make(struct policy_flow *flow, const struct flow_key *key, uint32_t hash,
                              bool opener_is_high, enum policy_flow_state state, uint32_t now_s);
/* The same as flow__make() for an entry of this key that is closed or has timed out: in its place. Always works. */
void flow__make_again(struct policy_flow *flow, struct flow_entry *e, bool opener_is_high,
                      enum policy_flow_state state, uint32_t now_s);
/* Take the entry out of the index: nobody finds it. It stays in its list, and in its opener's account,
 * until its second comes. */
void flow__end(struct policy_flow *flow, struct flow_entry *e);
void flow__set_state(struct policy_flow *flow, struct flow_entry *e, enum policy_flow_state state);
bool flow__timed_out(const struct flow_entry *e, uint32_t now_s);

/* policy_flow.c. What a decision means for who asked. */
enum policy_flow_verdict flow__verdict_of(uint32_t reason);

/* Did this table begin a while ago only, or one of the two come to this worker? */
bool flow__is_picking_up(const struct policy_flow *flow, uint32_t now_s, uint32_t in_peer,
                         uint32_t out_peer);

/* The tuple as it would be sent by the high or the low side. Field by field: a copy of what was just
 * written in parts would wait for it. */
static inline void flow_turn_to(const struct flow_key *key, bool from_high,
                                struct policy_packet *out)
{
	uint16_t low_port = (uint16_t)(key->ports >> 16);
	uint16_t high_port = (uint16_t)key->ports;

	out->src = key->address[from_high];
	out->dst = key->address[!from_high];
	out->in_peer = (from_high ? key->high : key->low) & FLOW_PEER_MASK;
	out->out_peer = (from_high ? key->low : key->high) & FLOW_PEER_MASK;
	out->sport = from_high ? high_port : low_port;
	out->dport = from_high ? low_port : high_port;
	out->proto = (uint8_t)(key->low >> 24);
	out->kind = POLICY_KIND_OTHER;
	out->tcp_flags = 0;
	out->is_fragment = 0;
	out->datagram = 0;
	out->pad = 0;
}

/* The tuple as its opener sent it. */
void flow__opener(const struct flow_entry *e, struct policy_packet *out);

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

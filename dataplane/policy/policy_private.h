/* The bytes of a policy_table, and how to find things in it: what policy_build.c writes,
 * policy_check.c proves and policy_decide.c reads. All fields little endian, offsets in bytes from the
 * start of the blob, each section aligned to 64.
 *
 *   header
 *   peers    [n_peers + 1]  by peer number; the last one is the hub
 *   nets     [n_nets]       runs of address ranges behind a peer, ascending, none overlapping
 *   rules    [n_grants]     the grants, in the order of their bits
 *   windows  [n_windows]    runs of a rule, ascending, none overlapping
 *   pages    [n_pages]      256 ports each: the set of grants that contain the port, and their list
 *   quick    [n_quick]      lists of the grants of a port, where they are few
 *   any      [3][n_sums + n_words]  grants for any peer as sender, as receiver, and for any protocol:
 *                                   sums, words
 *   arena    [n_arena]      the sets; one word of zeros behind the last
 *
 * A set is named by the number of its first word in the arena: n_sums words of summary, bit w set when
 * word w of the bit map is not zero, then these words. Set 0 is the empty one.
 *
 * **Lists.** The grants of most ports are few. So beside the set of a port there is a list of them, those for
 * any protocol included, in the order of rules and each with the numbers of its two ends (peer, group, any, the
 * hub); and a place lists the ends that it is. Whom a grant of such a port is for is then decided by one line
 * of the sender's, one of the receiver's, and one of the list. Ports of many grants, peers of many groups, and
 * what is behind a gateway are decided by sets. */
#ifndef POLICY_PRIVATE_H
#define POLICY_PRIVATE_H

#include "base_fetch.h"
#include "policy_table.h"

#define POLICY_ALIGN      64U
#define POLICY_PAGE_PORTS 256U
#define POLICY_N_PAGES    256U

/* How a rule's protocol is stored; enum policy_proto of policy_build.h. */
enum policy_dimension {
	POLICY_DIM_FROM = 0,
	POLICY_DIM_TO = 1,
	POLICY_DIM_PORT = 2,
	POLICY_N_DIMS
};

/* Protocols that have ports, as indexes of port_page. */
enum policy_ported { POLICY_PORTED_TCP = 0, POLICY_PORTED_UDP = 1, POLICY_N_PORTED };

#define POLICY_PLACE_ENDS     8U
#define POLICY_ENDS_MANY      UINT16_MAX       /* as the first: more than there is room for */
#define POLICY_ENDS_ELSEWHERE (UINT16_MAX - 1) /* of a grant: no place at its own address is it */
#define POLICY_ENDS_MAX       (UINT16_MAX - 2)

struct policy_place {             /* a line */
	struct policy_address v6; /* its first own IPv6 address, or zero */
	uint32_t v4;              /* its first own IPv4 address, host order, or 0 */
	uint32_t from;            /* set of grants whose subject it is */
	uint32_t to;              /* set of grants whose destination it is */
	uint32_t nets;            /* 0, or 1 + the first of its nets */
	/* numbers of ends of grants that it is, at its own address, as subject and as destination; 0 = none */
	uint16_t ends[2][POLICY_PLACE_ENDS];
};
_Static_assert(sizeof(struct policy_place) == POLICY_ALIGN, "");

#define POLICY_LIST_MAX    8U         /* grants in a list */
#define POLICY_LIST_SETS   0U         /* in place of a list: there is none, the sets decide */
#define POLICY_LIST_NONE   UINT32_MAX /* no grant at all */
#define POLICY_QUICK_TIMED (UINT32_C(1) << 31)

struct policy_quick {  /* a grant in a list */
	uint16_t from; /* its ends, as places have them */
	uint16_t to;
	uint32_t rule; /* number; POLICY_QUICK_TIMED: it has windows */
	uint32_t grant;
	uint32_t left; /* of the list from here on, itself included; 0: nothing, between lists */
};
_Static_assert(sizeof(struct policy_quick) == 16, "");

struct policy_net {
	struct policy_address first;
	struct policy_address last;
	uint32_t from;
	uint32_t to;
	uint32_t left;   /* nets of this run from here on, itself included */
	uint32_t is_own; /* 1: an address of the peer's own, beyond the first of its family */
};
_Static_assert(sizeof(struct policy_net) == 48, "");

struct policy_rule {
	uint32_t id;
	uint32_t proto; /* enum policy_proto */
	uint32_t n_windows;
	uint32_t windows; /* first */
};
_Static_assert(sizeof(struct policy_rule) == 16, "");

struct policy_span {
	uint64_t from_s;
	uint64_t until_s;
};

struct policy_port {
	uint32_t set;  /* without grants for any protocol */
	uint32_t list; /* 1 + the first of its list, or POLICY_LIST_... */
};

struct policy_page {
	struct policy_port port[POLICY_PAGE_PORTS];
};

struct policy_table {
	uint64_t magic;
	uint32_t version;
	uint32_t header_len;
	uint64_t len;
	uint32_t generation;
	uint32_t n_grants;
	uint32_t n_words; /* n_grants / 64, rounded up */
	uint32_t n_sums;  /* n_words / 64, rounded up */
	uint32_t n_peers;
	uint32_t n_nets;
	uint32_t n_windows;
	uint32_t n_pages;
	uint32_t n_quick;
	uint32_t pad;
	uint64_t n_arena;
	uint64_t peers_at;
	uint64_t nets_at;
	uint64_t rules_at;
	uint64_t windows_at;
	uint64_t pages_at;
	uint64_t quick_at;
	uint64_t any_at;
	uint64_t arena_at;
	struct policy_port icmp;
	struct policy_port other; /* protocols that no grant names: of set 0 */
	uint32_t open_grant;      /* not 0: everything is allowed, by this grant */
	uint32_t pad2;
	uint32_t port_page[POLICY_N_PORTED][POLICY_N_PAGES]; /* by the upper half of the port */
};
_Static_assert(sizeof(struct policy_table) % 8 == 0, "");

static inline const void *policy__at(const struct policy_table *table, uint64_t at)
{
	return (const uint8_t *)table + at;
}

static inline const struct policy_place *policy__peers(const struct policy_table *table)
{
	return policy__at(table, table->peers_at);
}

static inline const struct policy_net *policy__nets(const struct policy_table *table)
{
	return policy__at(table, table->nets_at);
}

static inline const struct policy_rule *policy__rules(const struct policy_table *table)
{
	return policy__at(table, table->rules_at);
}

static inline const struct policy_span *policy__windows(const struct policy_table *table)
{
	return policy__at(table, table->windows_at);
}

static inline const struct policy_page *policy__pages(const struct policy_table *table)
{
	return policy__at(table, table->pages_at);
}

static inline const struct policy_quick *policy__quick(const struct policy_table *table)
{
	return policy__at(table, table->quick_at);
}

/* n_sums words of summary, then n_words. */
static inline const uint64_t *policy__any(const struct policy_table *table, unsigned int dimension)
{
	const uint64_t *any = policy__at(table, table->any_at);

	return any + (size_t)dimension * (table->n_sums + table->n_words);
}

static inline const uint64_t *policy__arena(const struct policy_table *table)
{
	return policy__at(table, table->arena_at);
}

static inline bool policy__address_less(struct policy_address a, struct policy_address b)
{
	return a.high != b.high ? a.high < b.high : a.low < b.low;
}

/* Where it says which grants are for this protocol and port. */
static inline const struct policy_port *policy__port(const struct policy_table *table,
                                                     uint8_t proto, uint16_t port)
{
	unsigned int ported = POLICY_PORTED_TCP;

	if (proto == POLICY_PROTO_ICMP || proto == POLICY_PROTO_ICMPV6)
		return &table->icmp;
	if (proto == POLICY_PROTO_UDP)
		ported = POLICY_PORTED_UDP;
	else if (proto != POLICY_PROTO_TCP)
		return &table->other;
	return &policy__pages(table)[table->port_page[ported][port >> 8]].port[port & 255];
}

/* A sender or receiver, looked up. */
struct policy_found {
	uint32_t from;
	uint32_t to;
	uint64_t
		any; /* all ones: grants for any peer hold for it; 0: it is no peer at its own address */
	/* the place's, if they say all of it; else NULL */
	const uint16_t (*ends)[POLICY_PLACE_ENDS];
};

/* False: the table does not know this peer at this address. */
bool policy__find(const struct policy_table *table, uint32_t peer, struct policy_address address,
                  struct policy_found *found);

/* policy_decide_many() for those of packets[n] that need no set, which costs no more than to remember what it
 * said. Returns the others, as bits. */
uint64_t policy__decide_quickly(const struct policy_table *table,
                                const struct policy_packet *const *packets, uint32_t n,
                                uint64_t now_s, struct policy_decision *decisions);

/* Fetch what a decision about this packet begins with. */
static BASE_FETCHES void policy__decide_prefetch(const struct policy_table *table,
                                                 const struct policy_packet *packet)
{
	const struct policy_place *peers = policy__peers(table);

	if (packet->in_peer < table->n_peers)
		__builtin_prefetch(&peers[packet->in_peer]);
	if (packet->out_peer < table->n_peers)
		__builtin_prefetch(&peers[packet->out_peer]);
	__builtin_prefetch(policy__port(table, packet->proto, packet->dport));
}

/* Is the rule valid at now_s? *until_s: when that may change, UINT64_MAX = never. */
bool policy__rule_is_open(const struct policy_table *table, const struct policy_rule *rule,
                          uint64_t now_s, uint64_t *until_s);

#endif

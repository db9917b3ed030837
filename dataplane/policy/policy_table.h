/* The compiled policy: who may open a flow to what. A flat blob without pointers that control builds
 * (policy_build.h), that lies in a sealed memfd, and that any number of workers read. Default: nothing
 * crosses. Whatever has been allowed is a flow, see policy_flow.h; the table is asked only about
 * packets that open one, and about all flows once after a new table has come.
 *
 * **How a decision is made.** Grants are numbered 0 .. n-1 (sorted by subject, so that those of one
 * subject are neighbours), and a set of grants is a bit map. Three sets are looked up by what the
 * packet says: the grants whose subject contains the sender, those whose destination contains the
 * receiver, those whose protocol and ports contain the packet's. A grant in all three allows it,
 * unless it has windows of time and now is in none. So cost does not depend on how the grants
 * overlap: ten thousand grants between the same two peers with ten thousand ports cost what ten cost.
 *
 * Sets are stored with their empty words left out: summary words (a bit for each word of 64 grants),
 * then the words. Two look-ups that give the same set share it, which is what makes 100,000 peers
 * small: peers that the grants do not tell apart have one set. Grants for any peer or any protocol are
 * kept once and not in every set.
 *
 * The alternative, a hash of (class of sender, class of receiver), has a rule list a pair, and peers
 * in many groups make more classes than pairs can be stored; here memory is the sum over the sets, and
 * a look-up costs the same.
 *
 * Who is the sender: (peer, address). A peer's own tunnel addresses are *the peer*, and its groups
 * count. An address behind it (a gateway's subnet) is only what grants say of that subnet. */
#ifndef POLICY_TABLE_H
#define POLICY_TABLE_H

#include "policy_packet.h"

#include <stddef.h>
#include <stdint.h>

#define POLICY_TABLE_MAGIC   UINT64_C(0x6c6f707269657701) /* ".weirpol" */
#define POLICY_TABLE_VERSION 2U
#define POLICY_TABLE_LEN_MAX (UINT64_C(1) << 30)
#define POLICY_GRANTS_MAX    65536U

struct policy_table; /* opaque: policy_private.h */

/* Is data[len] a table that the functions below can read without leaving it? Trusts nothing in it.
 * It must not change afterwards: let it be a memfd with F_SEAL_WRITE. data is aligned to 64.
 * Returns it, borrowed, or NULL; then *why (may be NULL) says what was wrong, a literal.
 * Cost: once through the peers (100,000: a few ms). Not for the packet path. */
const struct policy_table *policy_table_check(const void *data, size_t len, const char **why);

/* Number that control gave it; never 0. */
uint32_t policy_table_generation(const struct policy_table *table);
uint32_t policy_table_grants(const struct policy_table *table);
size_t policy_table_len(const struct policy_table *table);

enum policy_reason {
	POLICY_ALLOWED = 0,
	POLICY_NO_SOURCE = 1,      /* no grant knows the sender at this address */
	POLICY_NO_DESTINATION = 2, /* no grant knows the receiver at this address */
	POLICY_NO_GRANT = 3, /* none is for this sender, receiver, protocol and port together */
	POLICY_NOT_NOW = 4,  /* there are some, but all outside their windows */
	POLICY_N_REASONS = 5,
};

struct policy_decision {
	uint32_t reason;  /* enum policy_reason; POLICY_ALLOWED = yes */
	uint32_t grant;   /* id of the grant that allows it; else 0 */
	uint64_t until_s; /* seconds since 1970 at which this answer may change by itself;
	                     UINT64_MAX = never */
};

/* May this packet open a flow? Looks at in_peer, out_peer, src, dst, proto and dport only (the caller
 * knows whether it is a packet that can open one). now_s: seconds since 1970.
 * When several grants allow it, the answer names one without windows if there is one, and always the
 * same. Cost: see bench/README.md; no write, any thread. */
struct policy_decision policy_decide(const struct policy_table *table,
                                     const struct policy_packet *packet, uint64_t now_s);

/* The same for packets[n], n <= POLICY_DECIDE_MAX, side by side: what each would wait for is fetched
 * for all. */
#define POLICY_DECIDE_MAX 64U
void policy_decide_many(const struct policy_table *table,
                        const struct policy_packet *const *packets, uint32_t n, uint64_t now_s,
                        struct policy_decision *decisions);

/* What of a grant did not match, as bits. */
#define POLICY_MISS_FROM   0x01U
#define POLICY_MISS_TO     0x02U
#define POLICY_MISS_PROTO  0x04U
#define POLICY_MISS_PORT   0x08U /* protocol fits, port does not */
#define POLICY_MISS_WINDOW 0x10U

/* Called for each grant of the table in the order in which they are looked at; misses = 0: it allows
 * the packet. Returns non-zero to end. */
typedef int policy_explain_fn(void *arg, uint32_t grant, uint32_t misses);

/* Why policy_decide() says what it says, grant by grant. Returns what fn returned last, or 0.
 * Cost: once through the grants; for people, not for packets. */
int policy_explain(const struct policy_table *table, const struct policy_packet *packet,
                   uint64_t now_s, policy_explain_fn *fn, void *arg);

/* "no grant for it" and so on; a literal. */
const char *policy_reason_text(uint32_t reason);

#endif

/* What the policy says about one packet, straight from the grants: for people (grant explain), for
 * client configurations, and as the measure of the compiled table. Not for packets. */
#ifndef GRANT_DECIDE_H
#define GRANT_DECIDE_H

#include "grant_world.h"

struct grant_side {
	const struct grant_peer *peer; /* NULL = the hub */
	struct base_ip ip;
};

/* A packet that opens a flow. */
struct grant_packet {
	struct grant_side from;
	struct grant_side to;
	uint8_t protocol; /* as in the IP header */
	uint16_t port;    /* of the destination; 0 = has none */
	uint64_t now_s;
};

/* What of a grant does not fit, as bits. */
#define GRANT_MISS_WHO      0x01U
#define GRANT_MISS_TO       0x02U
#define GRANT_MISS_PROTOCOL 0x04U
#define GRANT_MISS_PORT     0x08U
#define GRANT_MISS_TIME     0x10U

uint32_t grant_misses(const struct grant_policy *policy, const struct grant_world *world,
                      const struct grant *grant, const struct grant_packet *packet);

/* The first grant by name that allows it, or NULL. What the hub sends needs none: it opens flows to
 * every peer (published services, pings), and a grant never names it as who. */
const struct grant *grant_decide(const struct grant_policy *policy, const struct grant_world *world,
                                 const struct grant_packet *packet, bool *allowed);

/* Does the party include this side? */
bool grant_party_has(const struct grant_policy *policy, const struct grant_world *world,
                     const struct grant_party *party, const struct grant_side *side);

#endif

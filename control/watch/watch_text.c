/* Reasons, protocols and peers as people read them. */
#include "abi_counter.h"
#include "peer.h"
#include "watch.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define PREFIX "drop_"

const char *watch_reason(uint32_t reason)
{
	const char *name = abi_counter_texts[reason].name;

	return strncmp(name, PREFIX, strlen(PREFIX)) == 0 ? name + strlen(PREFIX) : name;
}

const char *watch_proto(uint8_t proto, char buf[static 8])
{
	switch (proto) {
	case IPPROTO_TCP:
		return "tcp";
	case IPPROTO_UDP:
		return "udp";
	case IPPROTO_ICMP:
		return "icmp";
	case IPPROTO_ICMPV6:
		return "icmp6";
	default:
		snprintf(buf, 8, "%u", proto);
		return buf;
	}
}

const char *watch_peer(const struct peer_table *peers, uint32_t number, char buf[static 16])
{
	const struct peer *peer;

	if (number == ABI_PEER_NONE)
		return "-";
	if (number == ABI_PEER_HUB)
		return "hub";
	peer = peer_numbered(peers, number);
	if (peer)
		return peer->row.name;
	snprintf(buf, 16, "peer-%u", number);
	return buf;
}

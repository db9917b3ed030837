/* What of the options does not fit together, and what follows from others. */
#include "base_bytes.h"
#include "pktgen_args_private.h"

#include <stdio.h>

static int wrong(const char *text)
{
	fprintf(stderr, "weir-pktgen: %s\n", text);
	return PKTGEN_EXIT_USAGE;
}

/* a + n within the bytes of its family? */
static bool addresses_fit(const struct base_ip *first, uint32_t n)
{
	size_t len = base_ip_len(first->family);
	uint32_t low = base_load_be32(first->bytes + len - 4);

	return low <= UINT32_MAX - n;
}

static int check_inner(struct pktgen_options *o)
{
	size_t len = base_ip_len(o->inner.family);
	uint32_t low = base_load_be32(o->inner.bytes + len - 4);

	if (!addresses_fit(&o->inner, o->n_peers))
		return wrong("--inner: there are not --peers addresses behind it");
	if (o->inner_hub.family == BASE_IP_NONE && low > 0) {
		o->inner_hub = o->inner;
		base_store_be32(o->inner_hub.bytes + len - 4, low - 1);
	}
	if (o->inner_hub.family != o->inner.family)
		return wrong("--inner-hub must be an address of the family of --inner");
	return -1;
}

static int check_network(struct pktgen_options *o)
{
	uint32_t needed = (o->n_peers + PKTGEN_PORTS_ADDRESS - 1) / PKTGEN_PORTS_ADDRESS;
	struct base_ip last = o->source.ip;
	size_t len = base_ip_len(last.family);
	bool near;

	if (o->port == NULL || o->hub.port == 0 || !o->has_hub_key
	    || o->source.ip.family == BASE_IP_NONE)
		return wrong("--port, --hub, --hub-key and --source are needed: see --help");
	if (o->hub.ip.family != o->source.ip.family)
		return wrong("--hub and --source must be of one address family");
	if (o->n_addresses == 0)
		o->n_addresses = needed;
	if (o->n_addresses < needed)
		return wrong("--addresses: one is needed for 50000 peers");
	if (!addresses_fit(&last, o->n_addresses))
		return wrong("--source: there are not --addresses addresses behind it");
	base_store_be32(last.bytes + len - 4,
	                base_load_be32(last.bytes + len - 4) + o->n_addresses - 1);
	if (!base_prefix_contains(&o->source, &last))
		return wrong("--source: --addresses addresses do not fit into its net");
	near = base_prefix_contains(&o->source, &o->hub.ip);
	if (!near && o->gateway.family == BASE_IP_NONE && !o->has_hub_mac)
		return wrong("--gateway is needed: the hub is not in the net of --source");
	if (o->gateway.family != BASE_IP_NONE && !base_prefix_contains(&o->source, &o->gateway))
		return wrong("--gateway must be in the net of --source");
	return -1;
}

static int check_traffic(const struct pktgen_options *o)
{
	uint16_t largest = o->size != 0 ? o->size : 1420;
	uint32_t outer = (o->hub.ip.family == BASE_IP_V4 ? 28U : 48U) + 32U;

	if (o->inner.family == BASE_IP_V6 && o->size != 0 && o->size < PKTGEN_SIZE_MIN_V6)
		return wrong("--size must be at least 80 with IPv6 inside");
	if (o->inner.family == BASE_IP_V6 && o->size == 0)
		return wrong("--size imix has packets of 64 bytes, too small for IPv6 inside: "
		             "give one size of at least 80");
	if (largest + outer > o->mtu)
		return wrong("--size, and 60 bytes around it (80 with IPv6), must fit into --mtu");
	if (o->pattern == PKTGEN_PAIRS && o->n_peers % 2 != 0)
		return wrong("--peers must be even with --pattern pairs");
	if (o->pattern == PKTGEN_RING && o->n_peers < 2)
		return wrong("--peers must be at least 2 with --pattern ring");
	if (o->pattern == PKTGEN_HUB && o->both_ways)
		return wrong("--direction both is for peers: the hub answers every ping anyway");
	if ((uint64_t)o->n_peers * o->n_flows * (o->both_ways ? 2 : 1) > PKTGEN_ALL_FLOWS_MAX)
		return wrong("--peers times --flows (twice with --direction both) must be at most "
		             "4194304");
	if (o->command == PKTGEN_LOSS && o->rate.bits <= 0 && o->rate.packets <= 0)
		return wrong("--rate is needed: loss takes multiples of it");
	return -1;
}

int pktgen__check(struct pktgen_options *o)
{
	int r = check_inner(o);

	if (r >= 0 || o->command == PKTGEN_CONFIG)
		return r;
	r = check_network(o);
	if (r >= 0 || o->command == PKTGEN_HANDSHAKE)
		return r;
	return check_traffic(o);
}

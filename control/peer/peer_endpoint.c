/* A peer's endpoint against what is reached through the tunnel. What is encrypted leaves by the WAN's routes
 * and never enters the tunnel again, so nothing loops; but whoever of the tunnel means that address itself
 * reaches it through the peer, or not at all, and an operator who did not mean that should know. */
#include "base_log.h"
#include "base_time.h"
#include "peer_table.h"

static bool is_better(const struct base_prefix *prefix, const struct base_ip *ip, int best_len)
{
	return prefix->len > best_len && base_prefix_contains(prefix, ip);
}

/* The longest of its own prefixes with the address in it. */
static bool find_own(const struct store_peer *row, const struct base_ip *ip,
                     struct base_prefix *inside)
{
	int best_len = -1;

	for (uint32_t i = 0; i < row->n_addresses; i++) {
		struct base_prefix own = {
			.ip = row->addresses[i],
			.len = (uint8_t)(base_ip_len(row->addresses[i].family) * 8)};

		if (is_better(&own, ip, best_len)) {
			*inside = own;
			best_len = own.len;
		}
	}
	for (uint32_t i = 0; i < row->n_allowed_ips; i++)
		if (is_better(&row->allowed_ips[i], ip, best_len)) {
			*inside = row->allowed_ips[i];
			best_len = inside->len;
		}
	return best_len >= 0;
}

bool peer_endpoint_is_inside(const struct peer_table *table, const struct peer *peer,
                             const struct base_endpoint *endpoint, struct base_prefix *inside)
{
	/* The table of all is asked first: it is quick, and knows when the longer prefix is another's. */
	return endpoint->port != 0
	       && wg_allowedips_lookup(table->held, &endpoint->ip) == peer->row.id
	       && find_own(&peer->row, &endpoint->ip, inside);
}

void peer__endpoint_look(const struct peer_table *table, struct peer *peer,
                         const struct base_endpoint *endpoint)
{
	static struct base_log_limit limit;
	char text[BASE_ENDPOINT_STRLEN];
	char prefix[BASE_PREFIX_STRLEN];
	struct base_prefix inside;
	uint32_t suppressed;

	if (base_ip_equal(&peer->told_inside, &endpoint->ip)
	    || !peer_endpoint_is_inside(table, peer, endpoint, &inside)
	    || !base_log_limit_pass(&limit, base_time_monotonic_ns(), &suppressed))
		return;
	peer->told_inside = endpoint->ip;
	log_warn("peer",
	         "endpoint lies in a network of the peer's own: the tunnel's packets leave by the "
	         "WAN all the same, but others of the tunnel reach that address only through it "
	         "peer=%s endpoint=%s inside=%s suppressed=%u",
	         peer->row.name, base_endpoint_format(endpoint, text),
	         base_prefix_format(&inside, prefix), suppressed);
}

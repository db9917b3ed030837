/* The address ranges behind a peer: where grants for subnets begin and end, and what holds between. */
#include "policy_build_private.h"

#include <errno.h>
#include <stdlib.h>

static policy_position position(struct policy_address address)
{
	return (policy_position)address.high << 64 | address.low;
}

static struct policy_address address(policy_position at)
{
	return (struct policy_address){.high = (uint64_t)(at >> 64), .low = (uint64_t)at};
}

/* Where IPv4 addresses lie among the others. */
#define V4_FIRST ((policy_position)POLICY_V4_LOW)
#define V4_END   (V4_FIRST + (UINT64_C(1) << 32))

struct range {
	policy_position first;
	policy_position end; /* does not belong to it; 0: all from first on */
};

/* The ranges of a prefix; family none: all addresses. Returns how many: an IPv6 prefix around the place
 * of the IPv4 addresses has two, without them. */
static unsigned int prefix_ranges(const struct base_prefix *prefix, struct range ranges[static 2])
{
	size_t bits = base_ip_len(prefix->ip.family) * 8;

	ranges[0] = (struct range){.first = position(policy_address_make(&prefix->ip))};
	if (bits != 0 && bits - prefix->len < 128)
		ranges[0].end = ranges[0].first + ((policy_position)1 << (bits - prefix->len));
	if (prefix->ip.family != BASE_IP_V6 || ranges[0].first > V4_FIRST
	    || (ranges[0].end != 0 && ranges[0].end <= V4_FIRST))
		return 1;
	ranges[1] = (struct range){.first = V4_END, .end = ranges[0].end};
	ranges[0].end = V4_FIRST;
	return ranges[1].end == V4_END ? 1 : 2;
}

static const struct base_prefix *prefix_of(const struct policy_builder *b, unsigned int dimension,
                                           uint32_t rule)
{
	return &policy__end(b->grants[rule], dimension)->prefix;
}

static int add_bound(struct policy_builder *b, policy_position at)
{
	policy_position *bound = policy__array_add(&b->bounds, 1, sizeof(*bound));

	if (bound == NULL)
		return -ENOMEM;
	*bound = at;
	return 0;
}

static int add_range(struct policy_builder *b, policy_position first, policy_position end)
{
	int err = add_bound(b, first);

	return err == 0 && end != 0 ? add_bound(b, end) : err;
}

static bool is_v4(const struct base_ip *ip)
{
	return ip->family == BASE_IP_V4;
}

/* Own address number i is not the first of its family: it is stored as a range. */
static bool is_extra(const struct policy_peer *peer, uint32_t i)
{
	for (uint32_t j = 0; j < i; j++) {
		if (is_v4(&peer->addresses[j]) == is_v4(&peer->addresses[i]))
			return true;
	}
	return false;
}

/* The rules that speak of what is behind a peer: those that name it, and those of whatever is behind any peer,
 * if something of their family is behind this one. */
struct net_rules {
	const struct policy_builder *b;
	const struct policy_peer *peer; /* NULL: the hub's */
	unsigned int dimension;
	uint32_t i;
	uint32_t end;
	uint32_t behind; /* of the second list: done, and how many there are */
	uint32_t n_behind;
};

static struct net_rules net_rules_of(const struct policy_builder *b, uint32_t key,
                                     const struct policy_peer *peer, unsigned int dimension)
{
	return (struct net_rules){
		.b = b,
		.peer = peer,
		.dimension = dimension,
		.i = b->of_net[dimension].first[key],
		.end = b->of_net[dimension].first[key + 1],
		.n_behind = peer != NULL && peer->behind != 0 ? b->of_behind[dimension].first[1]
	                                                      : 0,
	};
}

/* The next one. False: there is none. */
static bool net_rules_next(struct net_rules *rules, uint32_t *rule)
{
	if (rules->i < rules->end) {
		*rule = rules->b->of_net[rules->dimension].rules[rules->i++];
		return true;
	}
	while (rules->behind < rules->n_behind) {
		*rule = rules->b->of_behind[rules->dimension].rules[rules->behind++];
		if ((rules->peer->behind
		     & (is_v4(&prefix_of(rules->b, rules->dimension, *rule)->ip)
		                ? POLICY_BEHIND_V4
		                : POLICY_BEHIND_V6))
		    != 0)
			return true;
	}
	return false;
}

static int add_bounds(struct policy_builder *b, uint32_t key, const struct policy_peer *peer)
{
	int err = 0;

	for (unsigned int dimension = POLICY_DIM_FROM; dimension <= POLICY_DIM_TO; dimension++) {
		struct net_rules rules = net_rules_of(b, key, peer, dimension);
		uint32_t rule;

		while (err == 0 && net_rules_next(&rules, &rule)) {
			struct range ranges[2];
			unsigned int n = prefix_ranges(prefix_of(b, dimension, rule), ranges);

			for (unsigned int j = 0; j < n && err == 0; j++)
				err = add_range(b, ranges[j].first, ranges[j].end);
		}
	}
	for (uint32_t i = 0; peer != NULL && i < peer->n_addresses && err == 0; i++) {
		policy_position at = position(policy_address_make(&peer->addresses[i]));

		if (is_extra(peer, i))
			err = add_range(b, at, at + 1);
	}
	return err;
}

static int position_compare(const void *a, const void *b)
{
	const policy_position *x = a;
	const policy_position *y = b;

	return (*x > *y) - (*x < *y);
}

static size_t sort_bounds(struct policy_builder *b)
{
	policy_position *bounds = b->bounds.data;
	size_t n = 0;

	qsort(bounds, b->bounds.n, sizeof(*bounds), position_compare);
	for (size_t i = 0; i < b->bounds.n; i++) {
		if (i == 0 || bounds[i] != bounds[n - 1])
			bounds[n++] = bounds[i];
	}
	return n;
}

static int add_edges(struct policy_builder *b, uint32_t key, const struct policy_peer *peer,
                     unsigned int dimension)
{
	struct net_rules rules = net_rules_of(b, key, peer, dimension);
	uint32_t rule;

	b->edges.n = 0;
	while (net_rules_next(&rules, &rule)) {
		struct range ranges[2];
		unsigned int n = prefix_ranges(prefix_of(b, dimension, rule), ranges);

		for (unsigned int j = 0; j < n; j++) {
			struct policy_edge *edge = policy__array_add(&b->edges, 2, sizeof(*edge));

			if (edge == NULL)
				return -ENOMEM;
			edge[0] = (struct policy_edge){ranges[j].first, rule, 1};
			edge[1] = (struct policy_edge){ranges[j].end, rule, -1};
			if (ranges[j].end == 0) /* never over */
				b->edges.n--;
		}
	}
	policy__sweep_sort(b->edges.data, b->edges.n);
	return 0;
}

/* Fill nets[n].from or .to. */
static int sweep_dimension(struct policy_builder *b, uint32_t key, const struct policy_peer *peer,
                           unsigned int dimension, size_t first_net, size_t n)
{
	struct policy_net *nets = (struct policy_net *)b->nets.data + first_net;
	const struct policy_edge *edges;
	size_t next = 0;
	int err = add_edges(b, key, peer, dimension);

	edges = b->edges.data;
	for (size_t i = 0; i < n && err == 0; i++) {
		uint32_t set;

		while (next < b->edges.n && edges[next].at == position(nets[i].first))
			(void)policy__sweep_step(&b->sets, edges, b->edges.n, &next);
		err = policy__sets_store(&b->sets, &set);
		if (dimension == POLICY_DIM_FROM)
			nets[i].from = set;
		else
			nets[i].to = set;
	}
	for (size_t i = 0; edges != NULL && i < b->edges.n; i++)
		b->sets.counts[edges[i].grant] = 0;
	memset(b->sets.bits, 0, b->sets.n_words * sizeof(*b->sets.bits));
	return err;
}

/* Own addresses are the peer, whatever is said about a subnet around them. */
static void mark_own(struct policy_net *nets, size_t n, const struct policy_peer *peer,
                     const struct policy_place *own)
{
	for (uint32_t i = 0; i < peer->n_addresses; i++) {
		struct policy_address at = policy_address_make(&peer->addresses[i]);

		for (size_t j = 0; j < n && is_extra(peer, i); j++) {
			if (!policy_address_equal(nets[j].first, at))
				continue;
			nets[j].from = own->from;
			nets[j].to = own->to;
			nets[j].is_own = 1;
		}
	}
}

/* Leave out what nobody speaks of, number the rest. */
static void compact(struct policy_builder *b, size_t first_net, size_t n)
{
	struct policy_net *nets = (struct policy_net *)b->nets.data + first_net;
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		if (nets[i].from != 0 || nets[i].to != 0 || nets[i].is_own != 0)
			nets[kept++] = nets[i];
	}
	for (size_t i = 0; i < kept; i++)
		nets[i].left = (uint32_t)(kept - i);
	b->nets.n = first_net + kept;
}

int policy__build_nets(struct policy_builder *b, uint32_t key, const struct policy_peer *peer,
                       const struct policy_place *own, uint32_t *first)
{
	size_t first_net = b->nets.n;
	struct policy_net *nets;
	const policy_position *bounds;
	size_t n;
	int err;

	*first = 0;
	b->bounds.n = 0;
	err = add_bounds(b, key, peer);
	if (err != 0 || b->bounds.n == 0)
		return err;
	n = sort_bounds(b);
	bounds = b->bounds.data;
	nets = policy__array_add(&b->nets, n, sizeof(*nets));
	if (nets == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		nets[i].first = address(bounds[i]);
		nets[i].last = address(i + 1 < n ? bounds[i + 1] - 1 : ~(policy_position)0);
	}
	err = sweep_dimension(b, key, peer, POLICY_DIM_FROM, first_net, n);
	if (err == 0)
		err = sweep_dimension(b, key, peer, POLICY_DIM_TO, first_net, n);
	if (err != 0)
		return err;
	if (peer != NULL)
		mark_own(nets, n, peer, own);
	compact(b, first_net, n);
	if (b->nets.n != first_net)
		*first = (uint32_t)first_net + 1;
	return 0;
}

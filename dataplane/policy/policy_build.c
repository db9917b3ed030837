/* The compiler: grants into an order, peers and ports into sets of grants, all of it into one blob. */
#include "policy_build_private.h"

#include <errno.h>
#include <stdlib.h>

/* ---- the order of rules -------------------------------------------------------------------------- */

static int compare(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int compare_end(const struct policy_end *a, const struct policy_end *b)
{
	int order = compare(a->kind, b->kind);

	if (order == 0)
		order = compare(a->number, b->number);
	if (order == 0)
		order = memcmp(a->prefix.ip.bytes, b->prefix.ip.bytes, sizeof(a->prefix.ip.bytes));
	return order != 0 ? order : compare(a->prefix.len, b->prefix.len);
}

/* Grants without windows first: what they allow stays allowed. Then by subject, so that the set of a
 * subject fills few words; by id only so that the order of the source does not count. */
static int grant_compare(const void *x, const void *y)
{
	const struct policy_grant *a = *(const struct policy_grant *const *)x;
	const struct policy_grant *b = *(const struct policy_grant *const *)y;
	int order = compare(a->n_windows != 0, b->n_windows != 0);

	if (order == 0)
		order = compare_end(&a->from, &b->from);
	if (order == 0)
		order = compare_end(&a->to, &b->to);
	if (order == 0)
		order = compare(a->proto, b->proto);
	if (order == 0)
		order = compare(a->id, b->id);
	return order != 0 ? order : compare((uintptr_t)a, (uintptr_t)b);
}

static int sort_grants(struct policy_builder *b)
{
	uint32_t n = b->source->n_grants;

	b->grants = malloc((n + 1) * sizeof(*b->grants));
	if (b->grants == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		b->grants[i] = &b->source->grants[i];
	qsort(b->grants, n, sizeof(*b->grants), grant_compare);
	return 0;
}

/* ---- rules by peer, group and gateway ------------------------------------------------------------ */

/* The key of the rule in lists of this kind of end, or n_keys: in none of them. */
static uint32_t list_key(const struct policy_builder *b, unsigned int dimension, uint32_t rule,
                         enum policy_end_kind kind, uint32_t n_keys)
{
	const struct policy_end *end = policy__end(b->grants[rule], dimension);

	if (kind == POLICY_END_SUBNET && end->kind == POLICY_END_HUB)
		return b->n_peers;
	if (end->kind != kind || end->number >= n_keys
	    || (kind == POLICY_END_SUBNET && end->number >= b->n_peers))
		return n_keys;
	return end->number;
}

static int make_lists(struct policy_builder *b, struct policy_lists *lists, unsigned int dimension,
                      enum policy_end_kind kind, uint32_t n_keys)
{
	uint32_t n = b->source->n_grants;

	lists->n_keys = n_keys;
	lists->first = calloc((size_t)n_keys + 2, sizeof(*lists->first));
	lists->rules = calloc((size_t)n + 1, sizeof(*lists->rules));
	if (lists->first == NULL || lists->rules == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		lists->first[list_key(b, dimension, i, kind, n_keys) + 1]++;
	lists->first[n_keys + 1] = 0;
	for (uint32_t i = 1; i <= n_keys; i++)
		lists->first[i] += lists->first[i - 1];
	/* first[key] grows to where the list ends, and is put back by one place */
	for (uint32_t i = 0; i < n; i++) {
		uint32_t key = list_key(b, dimension, i, kind, n_keys);

		if (key < n_keys)
			lists->rules[lists->first[key]++] = i;
	}
	for (uint32_t i = n_keys; i > 0; i--)
		lists->first[i] = lists->first[i - 1];
	lists->first[0] = 0;
	return 0;
}

static int make_all_lists(struct policy_builder *b)
{
	for (unsigned int dimension = POLICY_DIM_FROM; dimension <= POLICY_DIM_TO; dimension++) {
		int err = make_lists(b, &b->of_peer[dimension], dimension, POLICY_END_PEER,
		                     b->n_peers);

		if (err == 0)
			err = make_lists(b, &b->of_group[dimension], dimension, POLICY_END_GROUP,
			                 b->source->n_groups);
		if (err == 0)
			err = make_lists(b, &b->of_net[dimension], dimension, POLICY_END_SUBNET,
			                 b->n_peers + 1);
		if (err == 0)
			err = make_lists(b, &b->of_behind[dimension], dimension, POLICY_END_BEHIND,
			                 1);
		if (err != 0)
			return err;
	}
	return 0;
}

static void mark_list(struct policy_builder *b, const struct policy_lists *lists, uint32_t key)
{
	for (uint32_t i = lists->first[key]; i < lists->first[key + 1]; i++)
		policy__sets_mark(&b->sets, lists->rules[i]);
}

/* ---- peers --------------------------------------------------------------------------------------- */

static int make_set(struct policy_builder *b, const struct policy_peer *peer,
                    unsigned int dimension, uint32_t *set)
{
	for (uint32_t i = 0; i < peer->n_groups; i++)
		mark_list(b, &b->of_group[dimension], peer->groups[i]);
	mark_list(b, &b->of_peer[dimension], peer->number);
	return policy__sets_take(&b->sets, set);
}

static void set_addresses(struct policy_place *place, const struct policy_peer *peer)
{
	for (uint32_t i = peer->n_addresses; i-- > 0;) { /* the first of each family stays */
		struct policy_address address = policy_address_make(&peer->addresses[i]);

		if (policy_address_is_v4(address))
			place->v4 = (uint32_t)address.low;
		else
			place->v6 = address;
	}
}

static int make_place(struct policy_builder *b, const struct policy_peer *peer)
{
	struct policy_place *place = (struct policy_place *)b->places.data + peer->number;
	int err = make_set(b, peer, POLICY_DIM_FROM, &place->from);

	if (err == 0)
		err = make_set(b, peer, POLICY_DIM_TO, &place->to);
	if (err != 0)
		return err;
	set_addresses(place, peer);
	policy__place_ends(b, peer, place);
	return policy__build_nets(b, peer->number, peer, place, &place->nets);
}

/* The hub at an address that no grant names: the grants that name none. */
static int make_hub(struct policy_builder *b)
{
	struct policy_place *hub = (struct policy_place *)b->places.data + b->n_peers;

	for (unsigned int dimension = POLICY_DIM_FROM; dimension <= POLICY_DIM_TO; dimension++) {
		const struct policy_lists *lists = &b->of_net[dimension];
		uint32_t set;
		int err;

		for (uint32_t i = lists->first[b->n_peers]; i < lists->first[b->n_peers + 1]; i++) {
			uint32_t rule = lists->rules[i];

			if (policy__end(b->grants[rule], dimension)->prefix.ip.family
			    == BASE_IP_NONE)
				policy__sets_mark(&b->sets, rule);
		}
		err = policy__sets_take(&b->sets, &set);
		if (err != 0)
			return err;
		if (dimension == POLICY_DIM_FROM)
			hub->from = set;
		else
			hub->to = set;
	}
	policy__place_ends(b, NULL, hub);
	return policy__build_nets(b, b->n_peers, NULL, hub, &hub->nets);
}

static int make_places(struct policy_builder *b)
{
	int err = 0;

	if (policy__array_add(&b->places, (size_t)b->n_peers + 1, sizeof(struct policy_place))
	    == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < b->source->n_peers && err == 0; i++)
		err = make_place(b, &b->source->peers[i]);
	return err != 0 ? err : make_hub(b);
}

/* ---- protocols and ports ------------------------------------------------------------------------- */

#define N_PORTS 65536U

static int add_port_edges(struct policy_builder *b, enum policy_proto proto)
{
	static const struct policy_range all = {0, UINT16_MAX};

	b->edges.n = 0;
	for (uint32_t i = 0; i < b->source->n_grants; i++) {
		const struct policy_grant *grant = b->grants[i];
		const struct policy_range *ranges = grant->n_ports != 0 ? grant->ports : &all;
		uint32_t n = grant->n_ports != 0 ? grant->n_ports : 1;
		struct policy_edge *edge;

		if (grant->proto != proto)
			continue;
		edge = policy__array_add(&b->edges, (size_t)n * 2, sizeof(*edge));
		if (edge == NULL)
			return -ENOMEM;
		for (uint32_t j = 0; j < n; j++) {
			*edge++ = (struct policy_edge){
				.at = ranges[j].first, .grant = i, .change = 1};
			*edge++ = (struct policy_edge){
				.at = ranges[j].last + 1U, .grant = i, .change = -1};
		}
	}
	policy__sweep_sort(b->edges.data, b->edges.n);
	return 0;
}

/* ports[N_PORTS]: set and list of each port in a range of a grant; the others stay as they are. Neighbours
 * of one set share its list. */
static int sweep_ports(struct policy_builder *b, struct policy_port *ports)
{
	struct policy_port last = b->other;
	const struct policy_edge *edges = b->edges.data;
	size_t next = 0;

	while (next < b->edges.n) {
		uint32_t port = (uint32_t)policy__sweep_step(&b->sets, edges, b->edges.n, &next);
		uint32_t end = next < b->edges.n ? (uint32_t)edges[next].at : port;
		struct policy_port found = b->other;
		int err = policy__sets_store(&b->sets, &found.set);

		if (err == 0 && found.set == last.set)
			found.list = last.list;
		else if (err == 0 && found.set != b->other.set)
			err = policy__build_list(b, &found.list);
		if (err != 0)
			return err;
		last = found;
		for (; port < end; port++)
			ports[port] = found;
	}
	return 0;
}

/* The number of a page with this content. */
static int store_page(struct policy_builder *b, const struct policy_port *ports, uint32_t *number)
{
	const struct policy_page *pages = b->pages.data;
	struct policy_page *page;

	for (size_t i = 0; i < b->pages.n; i++) {
		if (memcmp(pages[i].port, ports, sizeof(pages[i].port)) == 0) {
			*number = (uint32_t)i;
			return 0;
		}
	}
	page = policy__array_add(&b->pages, 1, sizeof(*page));
	if (page == NULL)
		return -ENOMEM;
	memcpy(page->port, ports, sizeof(page->port));
	*number = (uint32_t)b->pages.n - 1;
	return 0;
}

static int make_ports(struct policy_builder *b, enum policy_proto proto, uint32_t *port_page)
{
	struct policy_port *ports = calloc(N_PORTS, sizeof(*ports));
	int err = ports != NULL ? add_port_edges(b, proto) : -ENOMEM;

	for (uint32_t i = 0; i < N_PORTS && err == 0; i++)
		ports[i] = b->other;
	if (err == 0)
		err = sweep_ports(b, ports);
	for (uint32_t i = 0; i < POLICY_N_PAGES && err == 0; i++)
		err = store_page(b, &ports[i * POLICY_PAGE_PORTS], &port_page[i]);
	free(ports);
	return err;
}

static int make_protos(struct policy_builder *b)
{
	int err = policy__build_list(b, &b->other.list); /* nothing is marked */

	if (err == 0)
		err = make_ports(b, POLICY_TCP, b->port_page[POLICY_PORTED_TCP]);
	if (err == 0)
		err = make_ports(b, POLICY_UDP, b->port_page[POLICY_PORTED_UDP]);
	if (err != 0)
		return err;
	for (uint32_t i = 0; i < b->source->n_grants; i++) {
		if (b->grants[i]->proto == POLICY_ICMP)
			policy__sets_mark(&b->sets, i);
	}
	err = policy__build_list(b, &b->icmp.list);
	return err != 0 ? err : policy__sets_take(&b->sets, &b->icmp.set);
}

/* ---- the blob ------------------------------------------------------------------------------------ */

static int window_compare(const void *a, const void *b)
{
	const struct policy_span *x = a;
	const struct policy_span *y = b;

	return compare(x->from_s, y->from_s);
}

/* The windows of a grant in order, those that touch made one. */
static int add_windows(struct policy_builder *b, const struct policy_grant *grant,
                       struct policy_rule *rule)
{
	size_t first = b->windows.n;
	struct policy_span *spans = policy__array_add(&b->windows, grant->n_windows,
	                                              sizeof(*spans));
	uint32_t n = 0;

	*rule = (struct policy_rule){.id = grant->id, .proto = grant->proto};
	if (grant->n_windows == 0)
		return 0;
	if (spans == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < grant->n_windows; i++)
		spans[i] = (struct policy_span){grant->windows[i].from_s,
		                                grant->windows[i].until_s};
	qsort(spans, grant->n_windows, sizeof(*spans), window_compare);
	for (uint32_t i = 0; i < grant->n_windows; i++) {
		if (n == 0 || spans[i].from_s > spans[n - 1].until_s)
			spans[n++] = spans[i];
		else if (spans[i].until_s > spans[n - 1].until_s)
			spans[n - 1].until_s = spans[i].until_s;
	}
	b->windows.n = first + n;
	rule->windows = (uint32_t)first;
	rule->n_windows = n;
	return 0;
}

static int make_rules(struct policy_builder *b, struct policy_array *rules)
{
	int err = 0;

	if (b->source->n_grants == 0)
		return 0;
	if (policy__array_add(rules, b->source->n_grants, sizeof(struct policy_rule)) == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < b->source->n_grants && err == 0; i++)
		err = add_windows(b, b->grants[i], (struct policy_rule *)rules->data + i);
	return err;
}

static bool is_any(const struct policy_grant *grant, unsigned int dimension)
{
	if (dimension == POLICY_DIM_PORT)
		return grant->proto == POLICY_ANY_PROTO;
	return policy__end(grant, dimension)->kind == POLICY_END_ANY;
}

/* Where the sections go. Returns the length of the blob. */
static uint64_t lay_out(struct policy_table *table)
{
	uint64_t n_any = (uint64_t)POLICY_N_DIMS * (table->n_sums + table->n_words);
	const struct {
		uint64_t *at;
		uint64_t len;
	} sections[] = {
		{&table->peers_at, ((uint64_t)table->n_peers + 1) * sizeof(struct policy_place)},
		{&table->nets_at, (uint64_t)table->n_nets * sizeof(struct policy_net)},
		{&table->rules_at, (uint64_t)table->n_grants * sizeof(struct policy_rule)},
		{&table->windows_at, (uint64_t)table->n_windows * sizeof(struct policy_span)},
		{&table->pages_at, (uint64_t)table->n_pages * sizeof(struct policy_page)},
		{&table->quick_at, (uint64_t)table->n_quick * sizeof(struct policy_quick)},
		{&table->any_at, n_any * sizeof(uint64_t)},
		{&table->arena_at, table->n_arena * sizeof(uint64_t)},
	};
	uint64_t at = sizeof(*table);

	for (size_t i = 0; i < BASE_ARRAY_LEN(sections); i++) {
		at = (at + POLICY_ALIGN - 1) / POLICY_ALIGN * POLICY_ALIGN;
		*sections[i].at = at;
		at += sections[i].len;
	}
	return (at + POLICY_ALIGN - 1) / POLICY_ALIGN * POLICY_ALIGN;
}

static void fill(uint8_t *blob, uint64_t at, const struct policy_array *from, size_t element)
{
	if (from->n != 0)
		memcpy(blob + at, from->data, from->n * element);
}

static void fill_any(const struct policy_builder *b, const struct policy_table *table,
                     uint64_t *any)
{
	for (unsigned int dimension = 0; dimension < POLICY_N_DIMS; dimension++) {
		uint64_t *words = any + table->n_sums;

		for (uint32_t i = 0; i < table->n_grants; i++) {
			if (!is_any(b->grants[i], dimension))
				continue;
			words[i / 64] |= UINT64_C(1) << i % 64;
			any[i / 64 / 64] |= UINT64_C(1) << i / 64 % 64;
		}
		any = words + table->n_words;
	}
}

static int make_blob(struct policy_builder *b, const struct policy_array *rules, void **out,
                     size_t *len)
{
	struct policy_table table = {
		.magic = POLICY_TABLE_MAGIC,
		.version = POLICY_TABLE_VERSION,
		.header_len = sizeof(table),
		.generation = b->source->generation,
		.n_grants = b->source->n_grants,
		.n_words = b->sets.n_words,
		.n_sums = b->sets.n_sums,
		.n_peers = b->n_peers,
		.n_nets = (uint32_t)b->nets.n,
		.n_windows = (uint32_t)b->windows.n,
		.n_pages = (uint32_t)b->pages.n,
		.n_quick = (uint32_t)b->quick.n,
		.n_arena = b->sets.arena.n + 1, /* a set may be read one word behind its end */
		.icmp = b->icmp,
		.other = b->other,
		.open_grant = b->source->open_grant,
	};
	uint8_t *blob;

	table.len = lay_out(&table);
	if (table.len > POLICY_TABLE_LEN_MAX)
		return -E2BIG;
	memcpy(table.port_page, b->port_page, sizeof(table.port_page));
	blob = aligned_alloc(POLICY_ALIGN, table.len);
	if (blob == NULL)
		return -ENOMEM;
	memset(blob, 0, table.len);
	memcpy(blob, &table, sizeof(table));
	fill(blob, table.peers_at, &b->places, sizeof(struct policy_place));
	fill(blob, table.nets_at, &b->nets, sizeof(struct policy_net));
	fill(blob, table.rules_at, rules, sizeof(struct policy_rule));
	fill(blob, table.windows_at, &b->windows, sizeof(struct policy_span));
	fill(blob, table.pages_at, &b->pages, sizeof(struct policy_page));
	fill(blob, table.quick_at, &b->quick, sizeof(struct policy_quick));
	fill(blob, table.arena_at, &b->sets.arena, sizeof(uint64_t));
	fill_any(b, &table, (uint64_t *)(void *)(blob + table.any_at));
	*out = blob;
	*len = table.len;
	return 0;
}

/* ---- all of it ----------------------------------------------------------------------------------- */

static void fini(struct policy_builder *b)
{
	struct policy_array *arrays[] = {&b->places, &b->nets,  &b->windows, &b->pages,
	                                 &b->quick,  &b->edges, &b->bounds};

	for (unsigned int i = POLICY_DIM_FROM; i <= POLICY_DIM_TO; i++) {
		struct policy_lists *lists[] = {&b->of_peer[i], &b->of_group[i], &b->of_net[i],
		                                &b->of_behind[i]};

		for (size_t j = 0; j < BASE_ARRAY_LEN(lists); j++) {
			free(lists[j]->first);
			free(lists[j]->rules);
		}
	}
	for (size_t i = 0; i < BASE_ARRAY_LEN(arrays); i++)
		free(arrays[i]->data);
	policy__ends_fini(b);
	policy__sets_fini(&b->sets);
	free(b->grants);
}

static int build(struct policy_builder *b, struct policy_array *rules, void **out, size_t *len)
{
	int err;

	for (uint32_t i = 0; i < b->source->n_peers; i++) {
		if (b->source->peers[i].number >= b->n_peers)
			b->n_peers = b->source->peers[i].number + 1;
	}
	err = policy__sets_init(&b->sets, b->source->n_grants);
	if (err == 0)
		err = sort_grants(b);
	if (err == 0)
		err = make_all_lists(b);
	if (err == 0)
		err = policy__build_ends(b);
	if (err == 0)
		err = make_places(b);
	if (err == 0)
		err = make_protos(b);
	if (err == 0)
		err = make_rules(b, rules);
	return err != 0 ? err : make_blob(b, rules, out, len);
}

int policy_build(const struct policy_source *source, void **out, size_t *len,
                 struct policy_build_error *error)
{
	struct policy_build_error unwanted;
	struct policy_builder b = {.source = source};
	struct policy_array rules = {0};
	int err;

	*out = NULL;
	*len = 0;
	if (error == NULL)
		error = &unwanted;
	*error = (struct policy_build_error){0};
	err = policy__build_check(source, error);
	if (err == 0)
		err = build(&b, &rules, out, len);
	free(rules.data);
	fini(&b);
	return err;
}

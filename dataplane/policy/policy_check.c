/* Proof that a blob can be read: every offset, number and bit that policy_decide() and
 * policy_explain() follow stays inside. Arithmetic on what the blob says is in 64 bits and cannot
 * overflow: counts have 32 bits, elements are small. */
#include "policy_build.h"
#include "policy_private.h"

static bool section_fits(const struct policy_table *table, uint64_t at, uint64_t n,
                         uint64_t element)
{
	return at % POLICY_ALIGN == 0 && at >= sizeof(*table) && at <= table->len
	       && n <= (table->len - at) / element;
}

static const char *check_header(const struct policy_table *table, size_t len)
{
	if (table->magic != POLICY_TABLE_MAGIC)
		return "not a policy table";
	if (table->version != POLICY_TABLE_VERSION || table->header_len != sizeof(*table))
		return "another version of the table";
	if (table->len != len || len > POLICY_TABLE_LEN_MAX)
		return "length";
	if (table->generation == 0)
		return "generation 0";
	if (table->n_grants > POLICY_GRANTS_MAX || table->n_words != (table->n_grants + 63) / 64
	    || table->n_sums != (table->n_words + 63) / 64)
		return "number of grants";
	if (table->n_peers > POLICY_HUB)
		return "number of peers";
	return NULL;
}

static const char *check_sections(const struct policy_table *table)
{
	uint64_t n_any = (uint64_t)POLICY_N_DIMS * (table->n_sums + table->n_words);

	if (!section_fits(table, table->peers_at, (uint64_t)table->n_peers + 1,
	                  sizeof(struct policy_place)))
		return "peers";
	if (!section_fits(table, table->nets_at, table->n_nets, sizeof(struct policy_net)))
		return "nets";
	if (!section_fits(table, table->rules_at, table->n_grants, sizeof(struct policy_rule)))
		return "rules";
	if (!section_fits(table, table->windows_at, table->n_windows, sizeof(struct policy_span)))
		return "windows";
	if (!section_fits(table, table->pages_at, table->n_pages, sizeof(struct policy_page)))
		return "pages";
	if (!section_fits(table, table->quick_at, table->n_quick, sizeof(struct policy_quick)))
		return "lists";
	if (!section_fits(table, table->any_at, n_any, sizeof(uint64_t)))
		return "any";
	if (!section_fits(table, table->arena_at, table->n_arena, sizeof(uint64_t)))
		return "arena";
	return NULL;
}

/* No bit in word number w of a bit map that is no grant's. */
static bool bits_exist(const struct policy_table *table, uint32_t w, uint64_t bits)
{
	uint32_t n = table->n_grants - w * 64;

	return n >= 64 || bits >> n == 0;
}

static bool sum_exists(const struct policy_table *table, uint32_t i, uint64_t sum)
{
	uint32_t n = table->n_words - i * 64;

	return n >= 64 || sum >> n == 0;
}

/* The set lies in the arena with a word to spare, and has no grant that does not exist. */
static bool set_is_good(const struct policy_table *table, uint32_t set)
{
	const uint64_t *arena = policy__arena(table);
	uint64_t end = (uint64_t)set + table->n_sums;
	uint32_t last = table->n_words - 1;

	if (end >= table->n_arena)
		return false;
	for (uint32_t i = 0; i < table->n_sums; i++) {
		if (!sum_exists(table, i, arena[set + i]))
			return false;
		end += (uint64_t)__builtin_popcountll(arena[set + i]);
	}
	if (end >= table->n_arena)
		return false;
	if (table->n_sums == 0 || (arena[set + last / 64] >> last % 64 & 1) == 0)
		return true;
	return bits_exist(table, last, arena[end - 1]);
}

static const char *check_any(const struct policy_table *table)
{
	for (unsigned int dimension = 0; dimension < POLICY_N_DIMS; dimension++) {
		const uint64_t *any = policy__any(table, dimension);

		for (uint32_t i = 0; i < table->n_sums; i++) {
			if (!sum_exists(table, i, any[i]))
				return "grant that does not exist, in any";
		}
		for (uint32_t w = 0; w < table->n_words; w++) {
			if (!bits_exist(table, w, any[table->n_sums + w]))
				return "grant that does not exist, in any";
		}
	}
	return NULL;
}

static const char *check_peers(const struct policy_table *table)
{
	const struct policy_place *places = policy__peers(table);
	const struct policy_net *nets = policy__nets(table);

	for (uint32_t i = 0; i <= table->n_peers; i++) {
		if (!set_is_good(table, places[i].from) || !set_is_good(table, places[i].to))
			return "set of a peer";
		if (places[i].nets > table->n_nets)
			return "nets of a peer";
	}
	for (uint32_t i = 0; i < table->n_nets; i++) {
		if (nets[i].left == 0 || nets[i].left > table->n_nets - i)
			return "run of nets";
		if (!set_is_good(table, nets[i].from) || !set_is_good(table, nets[i].to))
			return "set of a net";
	}
	return NULL;
}

static const char *check_rules(const struct policy_table *table)
{
	const struct policy_rule *rules = policy__rules(table);

	for (uint32_t i = 0; i < table->n_grants; i++) {
		if (rules[i].id == 0 || rules[i].proto >= POLICY_N_PROTOS)
			return "grant";
		if (rules[i].windows > table->n_windows
		    || rules[i].n_windows > table->n_windows - rules[i].windows)
			return "windows of a grant";
	}
	return NULL;
}

static bool port_is_good(const struct policy_table *table, const struct policy_port *port)
{
	return set_is_good(table, port->set)
	       && (port->list == POLICY_LIST_SETS || port->list == POLICY_LIST_NONE
	           || port->list - 1 < table->n_quick);
}

static const char *check_lists(const struct policy_table *table)
{
	const struct policy_quick *quick = policy__quick(table);

	for (uint32_t i = 0; i < table->n_quick; i++) {
		if (quick[i].left > table->n_quick - i)
			return "list of a port";
		if (quick[i].left != 0 && (quick[i].rule & ~POLICY_QUICK_TIMED) >= table->n_grants)
			return "grant in a list";
	}
	return NULL;
}

static const char *check_ports(const struct policy_table *table)
{
	for (unsigned int ported = 0; ported < POLICY_N_PORTED; ported++) {
		for (unsigned int i = 0; i < POLICY_N_PAGES; i++) {
			if (table->port_page[ported][i] >= table->n_pages)
				return "page of ports";
		}
	}
	for (uint32_t i = 0; i < table->n_pages; i++) {
		for (unsigned int j = 0; j < POLICY_PAGE_PORTS; j++) {
			if (!port_is_good(table, &policy__pages(table)[i].port[j]))
				return "set of a port";
		}
	}
	if (!port_is_good(table, &table->icmp))
		return "set of ICMP";
	return port_is_good(table, &table->other) ? NULL : "set of other protocols";
}

static const char *check(const struct policy_table *table, size_t len)
{
	static const char *(*const checks[])(const struct policy_table *table) = {
		check_sections, check_any, check_peers, check_rules, check_lists, check_ports,
	};
	const char *why = check_header(table, len);

	for (size_t i = 0; i < BASE_ARRAY_LEN(checks) && why == NULL; i++)
		why = checks[i](table);
	return why;
}

const struct policy_table *policy_table_check(const void *data, size_t len, const char **why)
{
	const char *wrong;

	if (data == NULL || (uintptr_t)data % POLICY_ALIGN != 0)
		wrong = "alignment";
	else if (len < sizeof(struct policy_table))
		wrong = "shorter than its header";
	else
		wrong = check(data, len);
	if (why != NULL)
		*why = wrong;
	return wrong == NULL ? data : NULL;
}

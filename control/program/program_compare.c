/* Wanted against found. */
#include "program_compare.h"

#include "base_bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(union program_entry) >= sizeof(struct abi_cmd_peer_limit), "the largest");

/* ---- entries ------------------------------------------------------------------------------------ */

static union program_entry entry_of(uint16_t type, const void *bytes)
{
	union program_entry entry;

	memset(&entry, 0, sizeof(entry));
	memcpy(&entry, bytes, abi_check_entry_len(type));
	return entry;
}

/* ABI_PEER_NONE: it has none. */
static uint32_t peer_of(uint16_t type, const union program_entry *entry)
{
	switch (type) {
	case ABI_CMD_PEER_PUT:
		return entry->peer.peer;
	case ABI_CMD_PEER_LIMIT:
		return entry->limit.peer;
	case ABI_CMD_ROUTE_PUT:
		return entry->route.peer;
	case ABI_CMD_SESSION_RETIRE:
		return entry->session.peer;
	default:
		return ABI_PEER_NONE;
	}
}

static uint32_t part_of(uint16_t type, const union program_entry *entry)
{
	return abi_check_part(type, peer_of(type, entry));
}

/* Bytes at the beginning of an entry that say which it is. */
static size_t key_len(uint16_t type)
{
	switch (type) {
	case ABI_CMD_HUB:
		return 0;
	case ABI_CMD_PEER_PUT:
	case ABI_CMD_PEER_LIMIT:
	case ABI_CMD_SESSION_RETIRE:
	case PROGRAM_FINDING_BLOB:
		return sizeof(uint32_t);
	case ABI_CMD_ROUTE_PUT:
		return sizeof(struct base_prefix);
	default: /* an address, or a prefix, and a port */
		return sizeof(struct base_ip) + sizeof(uint32_t);
	}
}

bool program_finding_is_same(const struct program_finding *a, const struct program_finding *b)
{
	const union program_entry *x = a->has_wanted ? &a->wanted : &a->found;
	const union program_entry *y = b->has_wanted ? &b->wanted : &b->found;

	return a->worker == b->worker && a->type == b->type && memcmp(x, y, key_len(a->type)) == 0
	       && (a->type != ABI_CMD_WAN_ROUTE_PUT || x->wan_route.port == y->wan_route.port);
}

/* ---- sums --------------------------------------------------------------------------------------- */

void program_compare_sums(const struct program_desired *desired, uint32_t worker, uint64_t since,
                          const uint64_t sums[static ABI_CHECK_N_PARTS],
                          struct program_difference *out)
{
	*out = (struct program_difference){0};
	for (uint32_t part = 0; part < ABI_CHECK_N_PARTS; part++) {
		if (sums[part] == program_desired_sum(desired, worker, part))
			continue;
		if (desired->sums.changed_at[part] > since) {
			abi_check_want(out->uncertain, part);
			out->n_uncertain++;
		} else {
			abi_check_want(out->differ, part);
			out->n_differ++;
		}
	}
}

/* ---- what was seen ------------------------------------------------------------------------------ */

static uint32_t n_wanted_max(const struct program_desired *desired, uint16_t type)
{
	switch (type) {
	case ABI_CMD_HUB:
		return 1;
	case ABI_CMD_PEER_PUT:
		return desired->n_peers_used;
	case ABI_CMD_PEER_LIMIT:
		return desired->n_limited > 0 ? desired->n_peers_used : 0;
	case ABI_CMD_ADDRESS:
		return desired->addresses.n_positions;
	case ABI_CMD_ROUTE_PUT:
		return desired->routes.n_positions;
	case ABI_CMD_WAN_ROUTE_PUT:
		return desired->wan_routes.n_positions;
	case ABI_CMD_NEIGHBOUR_PUT:
		return desired->neighbours.n_positions;
	default:
		return 0;
	}
}

int program_compare_init(struct program_compare *compare, const struct program_desired *desired,
                         uint32_t worker, const uint64_t parts[static ABI_CHECK_WORDS])
{
	*compare = (struct program_compare){
		.desired = desired,
		.worker = worker,
		.since = desired->sums.n_changes,
		.cursor.worker = worker,
		.cursor.without_routes = worker != ABI_ROUTE_WORKER,
	};
	memcpy(compare->parts, parts, sizeof(compare->parts));
	for (uint16_t type = 0; type < ABI_N_CMD_TYPES; type++) {
		compare->n_seen[type] = n_wanted_max(desired, type);
		if (compare->n_seen[type] == 0)
			continue;
		compare->seen[type] = calloc(compare->n_seen[type] / 8 + 1, 1);
		if (compare->seen[type] == NULL) {
			program_compare_fini(compare);
			return -ENOMEM;
		}
	}
	return 0;
}

void program_compare_fini(struct program_compare *compare)
{
	for (uint16_t type = 0; type < ABI_N_CMD_TYPES; type++)
		free(compare->seen[type]);
	free(compare->findings);
	*compare = (struct program_compare){0};
}

/* Beyond those that were there at the beginning there are only new ones, whose parts were changed. */
static void mark_seen(struct program_compare *compare, uint16_t type, int64_t number)
{
	if (number < compare->n_seen[type])
		compare->seen[type][number / 8] |= (uint8_t)(1U << number % 8);
}

static bool is_seen(const struct program_compare *compare, uint16_t type, int64_t number)
{
	return number >= compare->n_seen[type]
	       || (compare->seen[type][number / 8] >> number % 8 & 1) != 0;
}

/* ---- findings ----------------------------------------------------------------------------------- */

static bool is_settled(const struct program_compare *compare, uint32_t part)
{
	return compare->desired->sums.changed_at[part] <= compare->since;
}

static void add_finding(struct program_compare *compare, const struct program_finding *finding)
{
	if (compare->findings == NULL)
		compare->findings = calloc(PROGRAM_FINDINGS_MAX, sizeof(*compare->findings));
	if (compare->findings == NULL || compare->n_findings == PROGRAM_FINDINGS_MAX)
		compare->n_more++;
	else
		compare->findings[compare->n_findings++] = *finding;
}

void program_compare_entry(struct program_compare *compare, uint16_t type, const void *entry)
{
	uint16_t len = abi_check_entry_len(type);
	struct program_finding finding = {
		.worker = compare->worker, .type = type, .has_found = true};
	int64_t number;

	if (len == 0)
		return;
	finding.found = entry_of(type, entry);
	if (!abi_check_is_wanted(compare->parts, part_of(type, &finding.found)))
		return;
	number = program_desired_find(compare->desired, compare->worker, type, &finding.found,
	                              &finding.wanted);
	finding.has_wanted = number >= 0;
	if (finding.has_wanted)
		mark_seen(compare, type, number);
	if (finding.has_wanted && memcmp(&finding.wanted, &finding.found, len) == 0)
		return;
	if (!is_settled(compare, part_of(type, &finding.found))
	    || (finding.has_wanted && !is_settled(compare, part_of(type, &finding.wanted))))
		return;
	finding.peer = peer_of(type, finding.has_wanted ? &finding.wanted : &finding.found);
	add_finding(compare, &finding);
}

static void look_at_wanted(struct program_compare *compare, const struct program_command *command)
{
	struct program_finding finding = {
		.worker = compare->worker, .type = command->type, .has_wanted = true};
	uint32_t part;

	if (abi_check_entry_len(command->type) == 0) /* the marks of a synchronisation */
		return;
	finding.wanted = entry_of(command->type, command->payload);
	part = part_of(command->type, &finding.wanted);
	if (!abi_check_is_wanted(compare->parts, part) || !is_settled(compare, part)
	    || is_seen(compare, command->type, compare->cursor.position))
		return;
	finding.peer = peer_of(command->type, &finding.wanted);
	add_finding(compare, &finding);
}

bool program_compare_step(struct program_compare *compare, uint32_t n)
{
	struct program_command command;

	for (uint32_t i = 0; i < n; i++) {
		if (!program_desired_at(compare->desired, &compare->cursor, &command))
			return true;
		look_at_wanted(compare, &command);
		program_cursor_step(&compare->cursor);
	}
	return false;
}

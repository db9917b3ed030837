/* Who holds which prefix, tried on the table itself: what moved is noted, and can be undone. */
#include "base_log.h"
#include "peer_set_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct base_prefix host_of(const struct base_ip *ip)
{
	return (struct base_prefix){.ip = *ip, .len = (uint8_t)(base_ip_len(ip->family) * 8)};
}

static int append(struct peer_prefixes *to, const struct base_prefix *prefix)
{
	if (to->n == to->max) {
		uint32_t max = to->max == 0 ? 8 : 2 * to->max;
		struct base_prefix *grown = reallocarray(to->at, max, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		to->at = grown;
		to->max = max;
	}
	to->at[to->n++] = *prefix;
	return 0;
}

static int append_row(struct peer_prefixes *to, const struct store_peer *row)
{
	int err = 0;

	for (uint32_t i = 0; err == 0 && i < row->n_addresses; i++) {
		struct base_prefix host = host_of(&row->addresses[i]);

		err = append(to, &host);
	}
	for (uint32_t i = 0; err == 0 && i < row->n_allowed_ips; i++)
		err = append(to, &row->allowed_ips[i]);
	return err;
}

/* Its prefixes are about to change. */
static int touch_ips(struct peer_work *work, struct peer_draft *draft)
{
	if (draft->has_touched_ips)
		return 0;
	draft->has_touched_ips = true;
	if (append_row(&draft->ips, &draft->row) < 0 || append_row(&draft->before, &draft->row) < 0)
		return peer__set_refuse_memory(work);
	return 0;
}

static int note_move(struct peer_work *work, const struct base_prefix *prefix, uint32_t from,
                     uint32_t to)
{
	if (work->n_moves == work->max_moves) {
		uint32_t max = work->max_moves == 0 ? 64 : 2 * work->max_moves;
		struct peer_move *grown = reallocarray(work->moves, max, sizeof(*grown));

		if (!grown)
			return peer__set_refuse_memory(work);
		work->moves = grown;
		work->max_moves = max;
	}
	work->moves[work->n_moves++] = (struct peer_move){*prefix, from, to};
	return 0;
}

/* One that moved is undone the other way. The nodes that it needs are those that were freed. */
static void undo(struct peer_table *table, const struct peer_move *move)
{
	if (move->from == WG_ALLOWEDIPS_NONE)
		(void)wg_allowedips_remove(table->held, &move->prefix, move->to);
	else if (wg_allowedips_insert(table->held, &move->prefix, move->from, NULL) < 0)
		log_err("peer", "address not held any more peer=%u", move->from);
}

void peer__set_undo(struct peer_work *work)
{
	while (work->n_moves > 0)
		undo(work->table, &work->moves[--work->n_moves]);
	/* what was given is free again */
	memset(work->table->pool_from, 0, CONFIG_TUNNEL_MAX * sizeof(*work->table->pool_from));
}

/* Noted first: what cannot be noted does not happen. */
static int drop(struct peer_work *work, struct peer_draft *draft, const struct base_prefix *ip)
{
	int err;

	if (wg_allowedips_holder(work->table->held, ip) != draft->row.id)
		return 0;
	err = note_move(work, ip, draft->row.id, WG_ALLOWEDIPS_NONE);
	if (err < 0)
		return err;
	(void)wg_allowedips_remove(work->table->held, ip, draft->row.id);
	/* It may be an address below those given last. */
	memset(work->table->pool_from, 0, CONFIG_TUNNEL_MAX * sizeof(*work->table->pool_from));
	draft->has_lost = true;
	return 0;
}

int peer__set_drop(struct peer_work *work, struct peer_draft *draft, const struct base_prefix *ip)
{
	int err = touch_ips(work, draft);

	return err < 0 ? err : drop(work, draft, ip);
}

int peer__set_clear(struct peer_work *work, struct peer_draft *draft)
{
	int err = touch_ips(work, draft);

	for (uint32_t i = 0; err == 0 && i < draft->ips.n; i++)
		err = drop(work, draft, &draft->ips.at[i]);
	if (err == 0)
		draft->ips.n = 0;
	return err;
}

/* The holder before loses it. */
static int take_from(struct peer_work *work, uint32_t id)
{
	struct peer_draft *other = peer__set_touch(work, id);
	int err = other ? touch_ips(work, other) : -ENOMEM;

	if (err == 0)
		other->has_lost = true;
	return err;
}

int peer__set_hold(struct peer_work *work, struct peer_draft *draft, const struct base_prefix *ip)
{
	struct peer_table *table = work->table;
	uint32_t holder = wg_allowedips_holder(table->held, ip);
	int err = touch_ips(work, draft);

	if (err < 0 || holder == draft->row.id)
		return err;
	if (holder != WG_ALLOWEDIPS_NONE)
		err = take_from(work, holder);
	if (err == 0)
		err = note_move(work, ip, holder, draft->row.id);
	if (err < 0)
		return err;
	if (wg_allowedips_insert(table->held, ip, draft->row.id, NULL) < 0) {
		work->n_moves--;
		return peer__set_refuse_memory(work);
	}
	return append(&draft->ips, ip) < 0 ? peer__set_refuse_memory(work) : 0;
}

int peer__set_give(struct peer_work *work, struct peer_draft *draft)
{
	struct store_peer row = draft->row;
	int err;

	row.n_addresses = 0;
	row.n_allowed_ips = 0;
	err = peer__give_addresses(work->table, &row, work->error);
	for (uint32_t i = 0; err == 0 && i < row.n_addresses; i++) {
		struct base_prefix host = host_of(&row.addresses[i]);

		err = peer__set_hold(work, draft, &host);
	}
	return err;
}

/* ---- in the end ---------------------------------------------------------------------------------- */

int peer_prefix_compare(const void *a, const void *b)
{
	const struct base_prefix *x = a;
	const struct base_prefix *y = b;
	int order = (int)x->ip.family - (int)y->ip.family;

	if (order == 0)
		order = memcmp(x->ip.bytes, y->ip.bytes, sizeof(x->ip.bytes));
	return order != 0 ? order : (int)x->len - (int)y->len;
}

static void sort(struct peer_prefixes *prefixes)
{
	uint32_t n = 0;

	if (prefixes->n == 0)
		return;
	qsort(prefixes->at, prefixes->n, sizeof(*prefixes->at), peer_prefix_compare);
	for (uint32_t i = 0; i < prefixes->n; i++)
		if (n == 0 || peer_prefix_compare(&prefixes->at[i], &prefixes->at[n - 1]) != 0)
			prefixes->at[n++] = prefixes->at[i];
	prefixes->n = n;
}

int peer__set_differ(const struct peer_prefixes *before, const struct peer_prefixes *after,
                     peer_prefix_fn *lost, peer_prefix_fn *gained, void *arg)
{
	uint32_t i = 0;
	uint32_t k = 0;
	int err = 0;

	while (err == 0 && (i < before->n || k < after->n)) {
		int order = i == before->n  ? 1
		            : k == after->n ? -1
		                            : peer_prefix_compare(&before->at[i], &after->at[k]);

		if (order < 0 && lost)
			err = lost(arg, &before->at[i]);
		if (order > 0 && gained)
			err = gained(arg, &after->at[k]);
		i += order <= 0;
		k += order >= 0;
	}
	return err;
}

/* Leave out what it does not hold any more. */
static void keep_held(const struct peer_work *work, struct peer_draft *draft)
{
	uint32_t n = 0;

	for (uint32_t i = 0; draft->has_lost && i < draft->ips.n; i++)
		if (wg_allowedips_holder(work->table->held, &draft->ips.at[i]) == draft->row.id)
			draft->ips.at[n++] = draft->ips.at[i];
	if (draft->has_lost)
		draft->ips.n = n;
}

struct settling {
	struct peer_work *work;
	struct peer_draft *draft;
};

static int on_lost(void *arg, const struct base_prefix *prefix)
{
	struct settling *settling = arg;
	const struct peer_work *work = settling->work;
	const struct peer_set_hooks *hooks = work->hooks;

	settling->draft->n_lost++;
	if (!hooks->may_withdraw
	    || wg_allowedips_holder(work->table->held, prefix) != WG_ALLOWEDIPS_NONE)
		return 0;
	return hooks->may_withdraw(hooks->arg, prefix, work->error);
}

static int on_gained(void *arg, const struct base_prefix *prefix)
{
	struct settling *settling = arg;

	settling->draft->n_gained++;
	return peer__check_ip(settling->work->table, settling->draft->row.id, prefix,
	                      settling->work->error);
}

/* From its prefixes, in order, to addresses and networks. */
static int fill_row(struct peer_work *work, struct peer_draft *draft)
{
	struct store_peer *row = &draft->row;
	const struct peer_prefixes *ips = &draft->ips;

	memset(row->addresses, 0, sizeof(row->addresses));
	row->n_addresses = 0;
	row->n_allowed_ips = 0;
	row->allowed_ips = ips->n > 0 ? calloc(ips->n, sizeof(*row->allowed_ips)) : NULL;
	draft->has_new_ips = true;
	if (ips->n > 0 && !row->allowed_ips)
		return peer__set_refuse_memory(work);
	for (uint32_t i = 0; i < ips->n; i++) {
		if (row->n_addresses < CONFIG_TUNNEL_MAX
		    && peer__is_address(work->table, &ips->at[i]))
			row->addresses[row->n_addresses++] = ips->at[i].ip;
		else
			row->allowed_ips[row->n_allowed_ips++] = ips->at[i];
	}
	if (row->n_allowed_ips > STORE_NETWORKS_MAX)
		return peer__refuse(work->error, -E2BIG, "invalid", "allowed_ips",
		                    "allowed_ips: more than %u networks", STORE_NETWORKS_MAX);
	return 0;
}

static int settle(struct peer_work *work, struct peer_draft *draft)
{
	struct settling settling = {work, draft};
	int err;

	keep_held(work, draft);
	sort(&draft->ips);
	sort(&draft->before);
	err = peer__set_differ(&draft->before, &draft->ips, on_lost, on_gained, &settling);
	if (err < 0 || draft->n_gained + draft->n_lost == 0)
		return err;
	return fill_row(work, draft);
}

int peer__set_settle(struct peer_work *work)
{
	int err = 0;

	for (uint32_t i = 0; err == 0 && i < work->n_drafts; i++) {
		work->at = work->drafts[i].row.name;
		if (work->drafts[i].has_touched_ips)
			err = settle(work, &work->drafts[i]);
	}
	return err;
}

int peer__set_renumber(struct peer_work *work, struct peer_draft *draft, uint32_t id)
{
	int err = 0;

	for (uint32_t i = 0; err == 0 && i < draft->ips.n; i++) {
		const struct base_prefix *ip = &draft->ips.at[i];

		err = note_move(work, ip, draft->row.id, id);
		if (err < 0)
			return err;
		if (wg_allowedips_insert(work->table->held, ip, id, NULL) < 0) {
			work->n_moves--;
			err = peer__set_refuse_memory(work);
		}
	}
	draft->row.id = id;
	return err;
}

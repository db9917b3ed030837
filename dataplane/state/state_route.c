/* Changing the cryptokey routing table. */
#include "state_route.h"

#include "state.h"

#include <errno.h>

int state_route_put(struct state *st, const struct abi_cmd_route *cmd)
{
	if (cmd->peer >= st->n_peers || !st->peers[cmd->peer].present)
		return -EINVAL;

	int rc = wg_allowedips_insert(st->routes.table, &cmd->prefix, cmd->peer, NULL);

	if (rc == 0 && st->routes.fresh)
		rc = wg_allowedips_insert(st->routes.fresh, &cmd->prefix, cmd->peer, NULL);
	return rc;
}

int state_route_drop(struct state *st, const struct abi_cmd_route *cmd)
{
	if (cmd->peer >= st->n_peers)
		return -EINVAL;
	/* Absent is what was asked for: a command may come twice. */
	(void)wg_allowedips_remove(st->routes.table, &cmd->prefix, cmd->peer);
	if (st->routes.fresh)
		(void)wg_allowedips_remove(st->routes.fresh, &cmd->prefix, cmd->peer);
	return 0;
}

void state_route_remove_peer(struct state *st, uint32_t peer)
{
	wg_allowedips_remove_value(st->routes.table, peer);
	if (st->routes.fresh)
		wg_allowedips_remove_value(st->routes.fresh, peer);
}

int state_route_sync_begin(struct state *st)
{
	struct wg_allowedips *fresh = wg_allowedips_create(NULL);

	if (!fresh)
		return -ENOMEM;
	/* A sync that was cut short by control's death leaves its half behind. */
	wg_allowedips_destroy(st->routes.fresh);
	st->routes.fresh = fresh;
	return 0;
}

void state_route_sync_end(struct state *st)
{
	wg_allowedips_destroy(st->routes.table);
	st->routes.table = st->routes.fresh;
	st->routes.fresh = NULL;
}

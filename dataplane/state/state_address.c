/* Changing the hub's addresses; each change compiles the two sets anew. */
#include "state_address.h"

#include "state.h"

#include <assert.h>
#include <errno.h>

static void add_to_set(struct state_address_set *set, const struct base_ip *ip)
{
	/* The sets are as large as the list. */
	assert(set->n_v4 < STATE_ADDRESSES_MAX && set->n_v6 < STATE_ADDRESSES_MAX);
	if (ip->family == BASE_IP_V4)
		set->v4[set->n_v4++] = base_load_le32(ip->bytes);
	else
		set->v6[set->n_v6++] = *ip;
}

static void compile(struct state *st)
{
	struct state_addresses *all = &st->addresses;

	all->generation++;
	all->wan.n_v4 = all->wan.n_v6 = 0;
	all->tunnel.n_v4 = all->tunnel.n_v6 = 0;
	for (uint32_t i = 0; i < all->n; i++)
		add_to_set(all->list[i].port == ABI_PORTS_MAX ? &all->tunnel : &all->wan,
		           &all->list[i].ip);
	state_wan_changed(st); /* source addresses in the headers depend on it */
}

static struct state_address *find(struct state_addresses *all, const struct abi_cmd_address *cmd)
{
	for (uint32_t i = 0; i < all->n; i++)
		if (all->list[i].port == cmd->port && base_ip_equal(&all->list[i].ip, &cmd->ip))
			return &all->list[i];
	return NULL;
}

int state_address_put(struct state *st, const struct abi_cmd_address *cmd)
{
	struct state_addresses *all = &st->addresses;
	struct state_address *old = find(all, cmd);

	if (cmd->present && old) {
		old->sync = st->sync;
		return 0;
	}
	if (!cmd->present && !old)
		return 0;
	if (cmd->present) {
		if (all->n == STATE_ADDRESSES_MAX)
			return -ENOSPC;
		all->list[all->n++] = (struct state_address){
			.ip = cmd->ip, .port = cmd->port, .sync = st->sync};
	} else {
		*old = all->list[--all->n];
	}
	compile(st);
	return 0;
}

void state_address_sweep(struct state *st)
{
	struct state_addresses *all = &st->addresses;
	uint32_t before = all->n;

	for (uint32_t i = 0; i < all->n;) {
		if (all->list[i].sync == st->sync)
			i++;
		else
			all->list[i] = all->list[--all->n];
	}
	if (all->n != before)
		compile(st);
}

const struct base_ip *state_address_of_port(const struct state *st, uint8_t family, uint32_t port)
{
	const struct state_addresses *all = &st->addresses;

	for (uint32_t i = 0; i < all->n; i++)
		if (all->list[i].port == port && all->list[i].ip.family == family)
			return &all->list[i].ip;
	return NULL;
}

bool state_address_is_own(const struct state_addresses *addresses, const struct base_ip *ip)
{
	return state_address_has(&addresses->wan, ip->family, ip->bytes)
	       || state_address_has(&addresses->tunnel, ip->family, ip->bytes);
}

/* Making and unmaking workers and what they share. */
#include "worker.h"

#include "base_bytes.h"
#include "base_time.h"
#include "worker_private.h"

#include <rte_ethdev.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

int worker_shared_create(uint32_t n_workers, uint32_t n_peers, struct worker_shared **out)
{
	struct worker_shared *shared = aligned_alloc(_Alignof(struct worker_shared),
	                                             sizeof(*shared));

	if (!shared)
		return -ENOMEM;
	memset(shared, 0, sizeof(*shared));
	shared->n_peers = n_peers;
	for (uint32_t i = 0; i < ABI_WORKERS_MAX; i++)
		shared->bells[i].fd = -1;
	shared->current = calloc(n_peers, sizeof(*shared->current));
	if (!shared->current || state_routes_create(n_workers, n_peers, &shared->routes) < 0) {
		worker_shared_destroy(shared);
		return -ENOMEM;
	}
	*out = shared;
	return 0;
}

struct port_bell *worker_shared_bell(struct worker_shared *shared, uint32_t worker)
{
	return &shared->bells[worker];
}

struct state_blobs *worker_shared_blobs(struct worker_shared *shared)
{
	return &shared->blobs;
}

struct state_routes *worker_shared_routes(struct worker_shared *shared)
{
	return shared->routes;
}

void worker_shared_destroy(struct worker_shared *shared)
{
	if (!shared)
		return;
	state_routes_destroy(shared->routes);
	free(shared->current);
	free(shared);
}

/* MAC and MTU of the WAN ports: the region says which MTU was configured. */
static int read_ports(struct worker *w)
{
	struct state_wan *wan = &w->st.wan;

	wan->n_ports = w->setup.n_ports;
	for (uint32_t i = 0; i < wan->n_ports; i++) {
		struct rte_ether_addr mac;
		uint16_t mtu = w->setup.region->setup.ports[i].mtu;
		int rc = rte_eth_macaddr_get(w->setup.ethdev[i], &mac);

		if (rc == 0 && mtu == 0)
			rc = rte_eth_dev_get_mtu(w->setup.ethdev[i], &mtu);
		if (rc < 0)
			return rc;
		memcpy(wan->ports[i].mac, mac.addr_bytes, sizeof(wan->ports[i].mac));
		wan->ports[i].mtu = mtu;
		wan->ports[i].sums_udp = w->setup.sums_udp[i];
	}
	return 0;
}

static int init_state(struct worker *w, struct aead *aead)
{
	const struct worker_setup *setup = &w->setup;
	uint64_t now_ns = base_time_monotonic_ns();
	struct state_setup state = {
		.id = setup->id,
		.region = setup->region,
		.current = setup->shared->current,
		.routes = setup->shared->routes,
		.blobs = &setup->shared->blobs,
		.aead = aead,
		.pool = setup->pool,
		.link = setup->link,
		.now_ns = now_ns,
		.seed = now_ns ^ (uint64_t)(setup->id + 1) << 56,
	};
	int rc;

	if (getrandom(state.random, sizeof(state.random), 0) != (ssize_t)sizeof(state.random))
		return -errno;
	rc = state_init(&w->st, &state);
	base_wipe(state.random, sizeof(state.random));
	if (rc < 0)
		return rc;
	rc = read_ports(w);
	if (rc < 0) {
		state_fini(&w->st);
		return rc;
	}
	memcpy(w->st.mesh_out, setup->mesh_out, sizeof(w->st.mesh_out));
	w->st.bells = setup->shared->bells;
	w->st.bells[setup->id].fd = setup->wake_fd;
	state_route_online(w->st.routes, setup->id);
	state_resume(&w->st, setup->region);
	rc = state_flow_create(&w->st, setup->region->setup.n_flows,
	                       abi_region_used(setup->region, setup->id), w->st.n_active > 0);
	if (rc < 0) {
		state_route_offline(w->st.routes, setup->id);
		state_fini(&w->st);
		return rc;
	}
	worker__follow_wall(w, now_ns);
	return 0;
}

int worker_create(const struct worker_setup *setup, struct worker **out)
{
	struct worker *w;
	struct aead *aead = NULL;
	int rc;

	if (setup->id >= setup->region->n_workers || setup->n_ports > ABI_PORTS_MAX
	    || setup->shared->n_peers != setup->region->n_peers)
		return -EINVAL;
	w = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_CACHE_LINE_ROUNDUP(sizeof(*w)));
	if (!w)
		return -ENOMEM;
	*w = (struct worker){
		.setup = *setup,
		.cmd_ring = abi_region_cmd_ring(setup->region, setup->id),
		.status = abi_region_worker_status(setup->region, setup->id),
		.idle_cap_us = setup->region->setup.idle_cap_us,
	};
	worker__blob_init(w);
	rc = aead_create(setup->aead, &aead);
	if (rc < 0)
		goto fail;
	rc = init_state(w, aead);
	if (rc < 0)
		goto fail_aead;
	rc = assist_init(&w->assist, setup->id, setup->region->n_workers, setup->assist,
	                 &setup->shared->assist);
	if (rc < 0)
		goto fail_state;
	*out = w;
	return 0;

fail_state:
	state_fini(&w->st);
fail_aead:
	aead_destroy(aead);
fail:
	free(w);
	return rc;
}

/* Packets that wait for nobody any more. */
static void free_side(struct state_side *side)
{
	for (uint32_t i = 0; i < side->n; i++)
		rte_pktmbuf_free(side->mbuf[i]);
	side->n = 0;
}

void worker_destroy(struct worker *w)
{
	struct aead *aead;

	if (!w)
		return;
	aead = w->st.aead;
	assist_fini(&w->assist, &w->st);
	state_route_offline(w->st.routes, w->setup.id);
	wait_stop(&w->st);
	for (uint32_t i = 0; i < w->st.big.n; i++)
		path_drop(&w->st, w->st.big.mbuf[i], ABI_COUNTER_DROP_STOPPED);
	free_side(&w->st.to_kernel);
	free_side(&w->st.to_control);
	for (uint32_t i = 0; i < ABI_WORKERS_MAX; i++)
		free_side(&w->st.to_worker[i]);
	state_fini(&w->st);
	aead_destroy(aead);
	free(w);
}

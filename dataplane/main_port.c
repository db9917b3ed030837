/* States of a port whose interface comes and goes. */
#include "main_port.h"

#include "base_time.h"
#include "port_bell.h"
#include "port_wake.h"

#include <errno.h>
#include <string.h>

#define TRY_FIRST_NS (200 * BASE_NS_PER_MS) /* after what was logged; twice as long each time */
#define TRY_LAST_NS  (60 * BASE_NS_PER_S)

static struct worker_port describe(const struct port_eth *eth, uint32_t n_workers)
{
	struct worker_port out = {.ethdev = eth->id};

	for (uint32_t i = 0; i < ABI_WORKERS_MAX; i++)
		out.wake_fds[i] = i < n_workers ? eth->wake_fds[i] : -1;
	return out;
}

static void wake_all(const struct main_port_setup *setup)
{
	for (uint32_t i = 0; i < setup->setup->n_workers; i++)
		port_bell_ring(setup->worker_wake[i]);
}

static void begin_to_leave(struct main_port *port, const struct main_port_setup *setup, uint32_t i,
                           uint64_t now_ns)
{
	struct worker_port was = describe(port->eth, setup->setup->n_workers);

	log_warn("port",
	         "interface of the port is gone: its packets are dropped (drop_stray) until there "
	         "is one of this name again port=%s interface=%s",
	         port->eth->setup->name, port->eth->setup->device);
	worker_shared_port_off(setup->shared, i, &was);
	wake_all(setup);
	port->gone_ns = now_ns;
	port->state = MAIN_PORT_LEAVES;
}

/* What may be mended soon (an MTU that is set a moment later) is tried soon, and not logged for ever. */
static void be_patient(struct main_port *port, int r, uint64_t now_ns)
{
	if (r == -ENODEV) {
		port->tried_ns = 0;
		return;
	}
	if (port->tried_ns == 0)
		port->patience_ns = TRY_FIRST_NS;
	else if (port->patience_ns < TRY_LAST_NS)
		port->patience_ns *= 2;
	port->tried_ns = now_ns;
}

static void try_to_return(struct main_port *port, const struct main_port_setup *setup, uint32_t i,
                          uint64_t now_ns)
{
	uint32_t n_workers = setup->setup->n_workers;
	struct worker_port now;
	int r;

	if (port->tried_ns != 0 && now_ns < port->tried_ns + port->patience_ns)
		return;
	r = port_eth_return(setup->setup, i, setup->pool, port->eth);
	if (r < 0) {
		be_patient(port, r, now_ns);
		return;
	}
	for (uint32_t q = 0; q < n_workers; q++)
		port->eth->wake_fds[q] = port_wake_fd(port->eth, q, n_workers);
	port_count_init(port->count, port->eth, n_workers);
	now = describe(port->eth, n_workers);
	worker_shared_port_on(setup->shared, i, &now);
	wake_all(setup);
	port->state = MAIN_PORT_RUNS;
	port->tried_ns = 0;
	log_info("port", "interface of the port is back port=%s interface=%s after_ms=%llu",
	         port->eth->setup->name, port->eth->setup->device,
	         (unsigned long long)((now_ns - port->gone_ns) / BASE_NS_PER_MS));
}

void main_port_turn(struct main_port *port, const struct main_port_setup *setup, uint32_t i,
                    uint64_t now_ns)
{
	bool settled = worker_shared_ports_settled(setup->shared, setup->setup->n_workers);

	switch (port->state) {
	case MAIN_PORT_RUNS:
		if (settled && port_eth_is_gone(port->eth))
			begin_to_leave(port, setup, i, now_ns);
		break;
	case MAIN_PORT_LEAVES:
		if (!settled)
			break;
		port_eth_leave(i, port->eth);
		port->state = MAIN_PORT_GONE;
		break;
	case MAIN_PORT_GONE:
		if (settled)
			try_to_return(port, setup, i, now_ns);
		break;
	}
}

/* Ports that go and come back while workers run (an interface that is removed and made again). The main
 * thread says so by a number that grows; a worker looks at it at the start of each turn, adopts what it says,
 * and says that it did. Between two such looks it may be inside the driver: only when all workers have seen
 * the number may the main thread take the driver's port apart, and until then it changes nothing else here. */
#include "worker_private.h"

#include <string.h>

static bool is_settled(const struct worker_ports *ports, uint32_t n_workers)
{
	uint32_t generation = atomic_load_explicit(&ports->generation, memory_order_relaxed);

	for (uint32_t i = 0; i < n_workers; i++)
		/* Acquire: everything the worker did with the port comes before what we do now. */
		if (atomic_load_explicit(&ports->seen[i], memory_order_acquire) != generation)
			return false;
	return true;
}

/* Release: who sees the number sees what is said with it. */
static void publish(struct worker_ports *ports)
{
	atomic_fetch_add_explicit(&ports->generation, 1, memory_order_release);
}

void worker_shared_port_off(struct worker_shared *shared, uint32_t port,
                            const struct worker_port *was)
{
	shared->ports.at[port] = *was;
	shared->ports.off |= 1U << port;
	publish(&shared->ports);
}

void worker_shared_port_on(struct worker_shared *shared, uint32_t port,
                           const struct worker_port *now)
{
	shared->ports.at[port] = *now;
	shared->ports.off &= ~(1U << port);
	publish(&shared->ports);
}

bool worker_shared_ports_settled(const struct worker_shared *shared, uint32_t n_workers)
{
	return is_settled(&shared->ports, n_workers);
}

/* Its descriptor is closed soon, and its number may be somebody else's then. */
static void forget_wake(struct worker *w, uint32_t port, int fd)
{
	for (uint32_t i = 0; fd >= 0 && i < w->setup.n_wake_fds; i++)
		if (w->wake[i].fd == fd) {
			w->wake[i].fd = -1; /* poll() looks over it */
			w->wake[i].revents = 0;
			w->wake_place[port] = (uint8_t)(i + 1);
		}
}

static void take_wake(struct worker *w, uint32_t port, int fd)
{
	uint32_t place = w->wake_place[port];

	if (place > 0 && fd >= 0)
		w->wake[place - 1].fd = fd;
	else
		w->is_deaf = true; /* naps from now on: worker_rest.c */
}

void worker__ports_take(struct worker *w)
{
	struct worker_ports *ports = &w->setup.shared->ports;
	uint32_t generation = atomic_load_explicit(&ports->generation, memory_order_acquire);
	uint32_t changed = ports->off ^ w->ports_off;

	for (uint32_t i = 0; i < w->setup.n_ports; i++) {
		if ((changed >> i & 1) == 0)
			continue;
		if (ports->off >> i & 1) {
			forget_wake(w, i, ports->at[i].wake_fds[w->setup.id]);
		} else {
			w->setup.ethdev[i] = ports->at[i].ethdev;
			take_wake(w, i, ports->at[i].wake_fds[w->setup.id]);
		}
	}
	w->ports_off = ports->off;
	w->ports_seen = generation;
	atomic_store_explicit(&ports->seen[w->setup.id], generation, memory_order_release);
}

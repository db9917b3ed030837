/* Harness for the exception thread alone: two of them, one device each in two network namespaces,
 * and a loop in the place of a worker that hands every packet of one to the other.
 *
 *   port_bounce tun|tap NAMESPACE_A NAMESPACE_B
 *
 * Makes "bounce0" in both and prints "ready"; the caller gives them addresses and sends a line; then
 * it runs until its standard input ends, and prints "name value" for the counters of both together and for the loop, and whether
 * no packet was lost sight of. */
#include "abi_counter.h"
#include "base_log.h"
#include "base_time.h"
#include "port_eal.h"
#include "port_exception.h"

#include <rte_mbuf.h>
#include <rte_pause.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

struct side {
	struct port_exception *exception;
	uint64_t counters[ABI_COUNTERS_LEN];
	pthread_t thread;
};

static struct side sides[2];
static _Atomic uint32_t stop, stop_loop;
static uint64_t n_moved, n_dropped;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* A device as control makes them, in the namespace of that name. */
static int make_device(const char *namespace, short kind)
{
	struct ifreq request = {.ifr_flags = (short)(kind | IFF_NO_PI | IFF_VNET_HDR)};
	unsigned long offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
	int header_len = sizeof(struct virtio_net_hdr), fd, ns;
	char path[128];

	snprintf(path, sizeof(path), "/run/netns/%s", namespace);
	ns = open(path, O_RDONLY | O_CLOEXEC);
	if (ns < 0 || setns(ns, CLONE_NEWNET) != 0)
		die(path);
	close(ns);
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		die("/dev/net/tun");
	snprintf(request.ifr_name, sizeof(request.ifr_name), "bounce0");
	if (ioctl(fd, TUNSETIFF, &request) != 0 || ioctl(fd, TUNSETVNETHDRSZ, &header_len) != 0
	    || ioctl(fd, TUNSETOFFLOAD, offloads) != 0)
		die("bounce0");
	return fd;
}

static void run_side(void *arg)
{
	struct side *side = (struct side *)arg;

	port_exception_run(side->exception, &stop);
}

/* All that waits in from's ring goes to to's. Returns the number. */
static uint32_t bounce(struct side *from, struct side *to)
{
	struct port_link *in = port_exception_link(from->exception, 0);
	struct port_link *out = port_exception_link(to->exception, 0);
	void *mbufs[64];
	uint32_t n = rte_ring_sc_dequeue_burst(in->from_kernel, mbufs, 64, NULL), n_sent;

	if (n == 0)
		return 0;
	n_sent = rte_ring_sp_enqueue_burst(out->to_kernel, mbufs, n, NULL);
	for (uint32_t i = n_sent; i < n; i++)
		rte_pktmbuf_free(mbufs[i]);
	n_moved += n_sent;
	n_dropped += n - n_sent;
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load(out->exception_sleeps) != 0
	    && atomic_exchange(out->exception_sleeps, 0) != 0)
		port_exception_wake(to->exception);
	return n;
}

static void run_loop(void *arg)
{
	struct timespec nap = {.tv_nsec = 20000};
	uint32_t n_empty = 0;

	(void)arg;
	prctl(PR_SET_TIMERSLACK, 1000UL);
	while (atomic_load_explicit(&stop_loop, memory_order_relaxed) == 0) {
		uint32_t n = bounce(&sides[0], &sides[1]) + bounce(&sides[1], &sides[0]);

		n_empty = n > 0 ? 0 : n_empty + 1;
		if (n_empty > 16)
			nanosleep(&nap, NULL);
	}
	while (bounce(&sides[0], &sides[1]) + bounce(&sides[1], &sides[0]) > 0)
		;
}

static uint64_t both(enum abi_counter counter)
{
	return sides[0].counters[counter] + sides[1].counters[counter];
}

static void report(struct rte_mempool *pool)
{
	static const enum abi_counter counters[] = {
		ABI_COUNTER_TUN_READ,       ABI_COUNTER_TUN_WRITTEN,        ABI_COUNTER_TAP_READ,
		ABI_COUNTER_TAP_WRITTEN,    ABI_COUNTER_KERNEL_REFUSED,     ABI_COUNTER_KERNEL_BAD,
		ABI_COUNTER_KERNEL_LIMITED, ABI_COUNTER_KERNEL_WORKER_FULL, ABI_COUNTER_NO_MBUF,
	};

	for (uint32_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
		printf("%s %llu\n", abi_counter_texts[counters[i]].name,
		       (unsigned long long)both(counters[i]));
	printf("moved %llu\ndropped %llu\nleaked %u\n", (unsigned long long)n_moved,
	       (unsigned long long)n_dropped, rte_mempool_in_use_count(pool));
}

int main(int argc, char **argv)
{
	struct abi_setup setup = {.n_workers = 2, .tunnel_mtu = 1420, .use_hugepages = 0};
	int tap = argc == 4 && strcmp(argv[1], "tap") == 0, fds[2];
	struct rte_mempool *pool;
	pthread_t loop;
	char byte;

	if (argc != 4)
		return 2;
	base_log_init("port_bounce", getenv("BOUNCE_DEBUG") ? BASE_LOG_DEBUG : BASE_LOG_INFO);
	for (int i = 0; i < 2; i++)
		fds[i] = make_device(argv[2 + i], tap ? IFF_TAP : IFF_TUN);
	if (port_eal_init(&setup) < 0 || port_eal_pool_create(&setup, &pool) < 0)
		return 1;
	for (int i = 0; i < 2; i++) {
		struct port_exception_setup exception = {
			.n_workers = 1,
			.pool = pool,
			.tun = tap ? -1 : fds[i],
			.taps = {tap ? fds[i] : -1, -1, -1, -1, -1, -1, -1, -1},
			.counters = sides[i].counters,
			.seed = 1,
		};

		if (port_exception_create(&exception, i == 0 ? "a" : "b", &sides[i].exception) < 0)
			die("exception thread");
	}
	printf("ready\n");
	fflush(stdout);
	if (read(STDIN_FILENO, &byte, 1) != 1)
		return 2;
	for (int i = 0; i < 2; i++)
		if (port_eal_thread_start(&sides[i].thread, "exception", -1, run_side, &sides[i])
		    < 0)
			return 1;
	if (port_eal_thread_start(&loop, "loop", -1, run_loop, NULL) < 0)
		return 1;
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	/* First the readers of the devices, then the loop, so that nothing is on its way. */
	atomic_store(&stop, 1);
	for (int i = 0; i < 2; i++) {
		port_exception_wake(sides[i].exception);
		pthread_join(sides[i].thread, NULL);
	}
	atomic_store(&stop_loop, 1);
	pthread_join(loop, NULL);
	for (int i = 0; i < 2; i++)
		port_exception_destroy(sides[i].exception);
	report(pool);
	rte_mempool_free(pool);
	port_eal_fini();
	return 0;
}

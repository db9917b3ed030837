/* EAL's arguments, memory, log and threads. */
#include "port_eal.h"

#include "base_hugepage.h"
#include "base_log.h"
#include "port_link.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_mbuf.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MEGABYTE       (UINT64_C(1) << 20)
#define CACHE_MBUFS    256U
#define BUFFER_LEN     2048U
#define FRAME_OVERHEAD 128U /* Ethernet, VLAN tags, tail room; af_packet's own header */
/* Of an af_packet socket, each way and queue, so larger frames are fewer. It is locked memory, of which there may be
 * little (RLIMIT_MEMLOCK, often 8 MB): then short. 250,000 packets a second fill the long one in 16 ms, about
 * what a worker may have to wait for a CPU that it shares, and the short one in 4. */
#define RING_LEN_LONG  (8U << 20)
#define RING_LEN_SHORT (2U << 20)
#define LONG_RINGS_MAX 4U /* queues of all ports; 16 MB each */
/* Mempool header and trailer, struct rte_mbuf, private area, headroom; rounded up. */
#define MBUF_OVERHEAD  (128U + 128U + PORT_LINK_PRIV_LEN + RTE_PKTMBUF_HEADROOM + 64U)
/* Rings, ethdev tables, what a pool loses at page boundaries. */
#define OTHER_MEMORY   (16 * MEGABYTE)
#define CPUS_LEN       256U

/* ---- sizes ------------------------------------------------------------------------------------- */

uint32_t port_eal_n_mbufs(const struct abi_setup *setup)
{
	uint32_t n_rings = setup->n_workers * 3072U; /* both directions to the kernel */
	uint32_t n_ports = 0;
	uint32_t n = PORT_EAL_MBUFS_DEFAULT + 1;

	if (setup->n_mbufs != 0)
		return setup->n_mbufs;
	/* A NIC's receive and transmit queues hold buffers; af_packet copies. */
	for (uint32_t i = 0; i < setup->n_ports; i++)
		n_ports += setup->ports[i].driver != ABI_DRIVER_AF_PACKET;
	while (n < n_rings * 4 / 3 + setup->n_workers * n_ports * 2048U)
		n *= 2;
	return n - 1;
}

uint32_t port_eal_buffer_len(const struct abi_setup *setup)
{
	uint32_t len = BUFFER_LEN;

	for (uint32_t i = 0; i < setup->n_ports; i++)
		while (len < setup->ports[i].mtu + FRAME_OVERHEAD)
			len *= 2;
	while (len < setup->tunnel_mtu + FRAME_OVERHEAD)
		len *= 2;
	return len;
}

static uint64_t memory_len(const struct abi_setup *setup, bool hugepages)
{
	uint64_t pool = base_hugepage_pool_len(
		port_eal_n_mbufs(setup), port_eal_buffer_len(setup) + MBUF_OVERHEAD, hugepages);

	return (pool + pool / 16 + OTHER_MEMORY + 2 * MEGABYTE - 1) / (2 * MEGABYTE)
	       * (2 * MEGABYTE);
}

/* ---- arguments --------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static void add(struct port_eal_args *args,
                                                      const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(args->text[args->n++], PORT_EAL_ARG_LEN, format, list);
	va_end(list);
}

static uint32_t ring_len = RING_LEN_SHORT; /* before there are threads */

void port_eal_ring_choose(const struct abi_setup *setup)
{
	size_t n = 0, len;
	void *memory;

	for (uint32_t i = 0; i < setup->n_ports; i++)
		if (setup->ports[i].driver == ABI_DRIVER_AF_PACKET)
			n += setup->n_workers;
	ring_len = RING_LEN_SHORT;
	if (n == 0 || n > LONG_RINGS_MAX)
		return;
	len = 2 * n * RING_LEN_LONG; /* both ways */
	memory = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED,
	              -1, 0);
	if (memory == MAP_FAILED)
		return;
	(void)munmap(memory, len);
	ring_len = RING_LEN_LONG;
}

void port_eal_af_packet(const struct abi_setup *setup, uint32_t i, char *name, char *args)
{
	const struct abi_port_setup *port = &setup->ports[i];
	uint32_t frame_len = BUFFER_LEN;

	while (frame_len < port->mtu + FRAME_OVERHEAD)
		frame_len *= 2;
	snprintf(name, PORT_EAL_ARG_LEN, "net_af_packet%u", i);
	snprintf(args, PORT_EAL_ARG_LEN,
	         "iface=%s,qpairs=%u,qdisc_bypass=1,blocksz=65536,framesz=%u,framecnt=%u",
	         port->device, setup->n_workers, frame_len, ring_len / frame_len);
}

static void add_port(struct port_eal_args *args, const struct abi_setup *setup, uint32_t i)
{
	const struct abi_port_setup *port = &setup->ports[i];
	char name[PORT_EAL_ARG_LEN], text[PORT_EAL_ARG_LEN];

	switch (port->driver) {
	case ABI_DRIVER_AF_PACKET:
		port_eal_af_packet(setup, i, name, text);
		add(args, "--vdev=%s,%s", name, text);
		break;
	case ABI_DRIVER_PCI:
		add(args, "-a");
		add(args, "%s", port->device);
		break;
	default:
		add(args, "--vdev=%s", port->device);
		break;
	}
}

void port_eal_compose(const struct abi_setup *setup, const char *cpus, int hugepages,
                      struct port_eal_args *args)
{
	int pci = 0;

	args->n = 0;
	add(args, "weir-dataplane");
	/* One EAL thread, this one, on all CPUs: EAL shall bind nobody to a core. */
	add(args, "--lcores=0@(%s)", cpus);
	/* --in-memory and --no-huge exclude each other; both keep files away. */
	add(args, hugepages ? "--in-memory" : "--no-huge");
	if (!hugepages)
		add(args, "--no-shconf");
	add(args, "-m");
	add(args, "%llu", (unsigned long long)(memory_len(setup, hugepages != 0) / MEGABYTE));
	add(args, "--iova-mode=va");
	add(args, "--no-telemetry");
	for (uint32_t i = 0; i < setup->n_ports; i++) {
		add_port(args, setup, i);
		pci |= setup->ports[i].driver == ABI_DRIVER_PCI;
	}
	if (!pci)
		add(args, "--no-pci");
}

/* CPUs of set as a list that EAL reads. It knows numbers below RTE_MAX_LCORE only. */
static void format_cpus(const cpu_set_t *set, char *out, size_t out_len)
{
	size_t len = 0;

	out[0] = '\0';
	for (int i = 0; i < RTE_MAX_LCORE && len < out_len; i++) {
		int first = i;

		if (!CPU_ISSET(i, set))
			continue;
		while (i + 1 < RTE_MAX_LCORE && CPU_ISSET(i + 1, set))
			i++;
		len += (size_t)snprintf(out + len, out_len - len, "%s%d-%d", len > 0 ? "," : "",
		                        first, i);
	}
}

/* ---- hugepages --------------------------------------------------------------------------------- */

static int choose_hugepages(const struct abi_setup *setup)
{
	uint64_t wanted = memory_len(setup, true), is_free;

	if (!setup->use_hugepages)
		return 0;
	is_free = base_hugepage_free_len();
	if (is_free >= wanted)
		return 1;
	log_warn("eal",
	         "hugepages: %llu MB free, %llu MB needed, going on with ordinary memory (slower): "
	         "raise vm.nr_hugepages, or set dataplane.hugepages = false",
	         (unsigned long long)(is_free / MEGABYTE), (unsigned long long)(wanted / MEGABYTE));
	return 0;
}

/* ---- start ------------------------------------------------------------------------------------- */

/* EAL's log lines become ours; what it calls notice or info is chatter to an operator. */
static ssize_t log_line(void *cookie, const char *text, size_t len)
{
	int level = rte_log_cur_msg_loglevel();
	int n = len > 0 && text[len - 1] == '\n' ? (int)len - 1 : (int)len;

	(void)cookie;
	/* Said of each size that the machine could have, whether or not it is wanted. */
	if (memmem(text, len, "hugepages reported", strlen("hugepages reported")) != NULL)
		level = (int)RTE_LOG_INFO;
	if (level <= (int)RTE_LOG_ERR)
		log_err("eal", "%.*s", n, text);
	else if (level == (int)RTE_LOG_WARNING)
		log_warn("eal", "%.*s", n, text);
	else
		log_debug("eal", "%.*s", n, text);
	return (ssize_t)len;
}

static int open_log(void)
{
	FILE *stream = fopencookie(NULL, "w", (cookie_io_functions_t){.write = log_line});

	if (stream == NULL)
		return -errno;
	setvbuf(stream, NULL, _IOLBF, 0);
	return rte_openlog_stream(stream) == 0 ? 0 : -EIO;
}

static int start_eal(const struct abi_setup *setup, const char *cpus)
{
	static struct port_eal_args args; /* EAL keeps pointers to its arguments */
	char *argv[PORT_EAL_ARGS_MAX + 1] = {NULL};
	int lock = base_hugepage_lock(BASE_HUGEPAGE_PATIENCE_MS);
	int hugepages = choose_hugepages(setup);
	int r = 0;

	port_eal_compose(setup, cpus, hugepages, &args);
	for (int i = 0; i < args.n; i++) {
		argv[i] = args.text[i];
		log_debug("eal", "argument %d: %s", i, argv[i]);
	}
	if (rte_eal_init(args.n, argv) < 0) {
		r = rte_errno != 0 ? -rte_errno : -EIO;
		log_err("eal", "DPDK did not start err=\"%s\": the lines above say why%s",
		        strerror(-r),
		        hugepages && r == -ENOMEM
		                ? ". Its memory was to be of hugepages, which another program may have "
		                  "taken meanwhile: raise vm.nr_hugepages, or set "
		                  "dataplane.hugepages = false"
		                : "");
	}
	if (lock >= 0)
		close(lock);
	return r;
}

int port_eal_init(const struct abi_setup *setup)
{
	char cpus[CPUS_LEN];
	cpu_set_t before;
	int r;

	if (sched_getaffinity(0, sizeof(before), &before) != 0)
		return -errno;
	format_cpus(&before, cpus, sizeof(cpus));
	r = open_log();
	if (r == 0)
		r = start_eal(setup, cpus);
	if (r < 0)
		return r;
	if (sched_setaffinity(0, sizeof(before), &before) != 0)
		return -errno;
	return 0;
}

void port_eal_fini(void)
{
	rte_eal_cleanup();
}

int port_eal_pool_create(const struct abi_setup *setup, struct rte_mempool **out)
{
	uint32_t n = port_eal_n_mbufs(setup);
	uint32_t len = port_eal_buffer_len(setup) + RTE_PKTMBUF_HEADROOM;

	if (n < 2 * CACHE_MBUFS || len > UINT16_MAX) {
		log_err("eal",
		        "packet buffers: %u of %u bytes do not work: need at least %u of "
		        "at most %u bytes",
		        n, len, 2 * CACHE_MBUFS, UINT16_MAX);
		return -EINVAL;
	}
	*out = rte_pktmbuf_pool_create("packets", n, CACHE_MBUFS, PORT_LINK_PRIV_LEN, (uint16_t)len,
	                               SOCKET_ID_ANY);
	if (*out == NULL) {
		log_err("eal", "no memory for %u packet buffers of %u bytes err=\"%s\"", n, len,
		        rte_strerror(rte_errno));
		return -rte_errno;
	}
	return 0;
}

/* ---- threads ----------------------------------------------------------------------------------- */

struct start {
	void (*run)(void *arg);
	void *arg;
	char name[16];
};

static void *thread_main(void *arg)
{
	struct start start = *(struct start *)arg;

	free(arg);
	if (rte_thread_register() != 0)
		log_warn("eal", "thread %s has no buffer cache err=\"%s\"", start.name,
		         rte_strerror(rte_errno));
	start.run(start.arg);
	rte_thread_unregister();
	return NULL;
}

/* Bind the thread that will be made to core. */
static int set_core(pthread_attr_t *attr, const char *name, int core)
{
	cpu_set_t allowed, set;
	char cpus[CPUS_LEN];

	if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
		return -errno;
	if (core >= CPU_SETSIZE || !CPU_ISSET(core, &allowed)) {
		format_cpus(&allowed, cpus, sizeof(cpus));
		log_err("eal",
		        "dataplane.cores: thread %s cannot run on CPU %d: this process may use %s",
		        name, core, cpus);
		return -EINVAL;
	}
	CPU_ZERO(&set);
	CPU_SET(core, &set);
	return -pthread_attr_setaffinity_np(attr, sizeof(set), &set);
}

int port_eal_thread_start(pthread_t *thread, const char *name, int core, void (*run)(void *arg),
                          void *arg)
{
	struct start *start = malloc(sizeof(*start));
	sigset_t all, before;
	pthread_attr_t attr;
	int r;

	if (start == NULL)
		return -ENOMEM;
	*start = (struct start){.run = run, .arg = arg};
	snprintf(start->name, sizeof(start->name), "%s", name);
	pthread_attr_init(&attr);
	r = core >= 0 ? set_core(&attr, name, core) : 0;
	if (r == 0) {
		/* Signals are for the main thread. */
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &before);
		r = -pthread_create(thread, &attr, thread_main, start);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
		if (r < 0)
			log_err("eal", "thread %s not started err=\"%s\"", name, strerror(-r));
	}
	pthread_attr_destroy(&attr);
	if (r < 0) {
		free(start);
		return r;
	}
	pthread_setname_np(*thread, name);
	return 0;
}

/* EAL and one ethdev. */
#include "pktgen_port.h"

#include "base_hugepage.h"
#include "base_log.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define N_MBUFS_MIN 8191U
#define CACHE_MBUFS 256U
#define MEGABYTE    (UINT64_C(1) << 20)
#define ARGS_MAX    16
#define ARG_LEN     320

/* ---- EAL ---------------------------------------------------------------------------------------- */

static uint32_t buffer_len(const struct pktgen_options *options)
{
	uint32_t len = 2048;

	while (len < options->mtu + 128U)
		len *= 2;
	return len;
}

/* All queues full, and as many under way. */
static uint32_t n_mbufs(const struct pktgen_options *options)
{
	uint32_t n = options->n_queue * options->n_queues * 4U;

	return n > N_MBUFS_MIN ? n - 1 : N_MBUFS_MIN;
}

/* The pool and what EAL and the driver need beside it. */
static uint64_t memory_len(const struct pktgen_options *options, bool hugepages)
{
	uint64_t len = base_hugepage_pool_len(n_mbufs(options), buffer_len(options) + 512,
	                                      hugepages);

	len += len / 16 + 24 * MEGABYTE;
	return (len + 2 * MEGABYTE - 1) / (2 * MEGABYTE) * (2 * MEGABYTE);
}

static bool is_pci(const char *text)
{
	return strspn(text, "0123456789abcdefABCDEF:.") == strlen(text)
	       && strchr(text, ':') != NULL;
}

static bool choose_hugepages(const struct pktgen_options *options)
{
	uint64_t wanted = memory_len(options, true), is_free = base_hugepage_free_len();

	if (!options->hugepages || is_free >= wanted)
		return options->hugepages;
	log_warn("port",
	         "hugepages: %llu MB free, %llu MB needed, going on with ordinary memory (slower): "
	         "raise vm.nr_hugepages, or give --hugepages no",
	         (unsigned long long)(is_free / MEGABYTE), (unsigned long long)(wanted / MEGABYTE));
	return false;
}

static int start_eal(const struct pktgen_options *options)
{
	static char text[ARGS_MAX][ARG_LEN]; /* EAL keeps pointers to its arguments */
	char *argv[ARGS_MAX + 1] = {NULL};
	int lock = base_hugepage_lock(BASE_HUGEPAGE_PATIENCE_MS);
	bool hugepages = choose_hugepages(options);
	int n = 0;
	int r = 0;

	snprintf(text[n++], ARG_LEN, "weir-pktgen");
	if (options->core >= 0)
		snprintf(text[n++], ARG_LEN, "--lcores=0@%d", options->core);
	else
		snprintf(text[n++], ARG_LEN, "--lcores=0");
	/* One file for all memory: vhost-user hands each file over, and takes eight. */
	snprintf(text[n++], ARG_LEN, "%s", hugepages ? "--in-memory" : "--no-huge");
	snprintf(text[n++], ARG_LEN, "%s", hugepages ? "--single-file-segments" : "--no-shconf");
	snprintf(text[n++], ARG_LEN, "-m");
	snprintf(text[n++], ARG_LEN, "%llu",
	         (unsigned long long)(memory_len(options, hugepages) / MEGABYTE));
	snprintf(text[n++], ARG_LEN, "--iova-mode=va");
	snprintf(text[n++], ARG_LEN, "--no-telemetry");
	snprintf(text[n++], ARG_LEN, "--log-level=error");
	if (is_pci(options->port)) {
		snprintf(text[n++], ARG_LEN, "-a");
		snprintf(text[n++], ARG_LEN, "%s", options->port);
	} else {
		snprintf(text[n++], ARG_LEN, "--no-pci");
		snprintf(text[n++], ARG_LEN, "--vdev=%s", options->port);
	}
	for (int i = 0; i < n; i++)
		argv[i] = text[i];
	if (rte_eal_init(n, argv) < 0) {
		r = rte_errno != 0 ? -rte_errno : -EIO;
		log_err("port", "DPDK did not start err=\"%s\": the lines above say why",
		        rte_strerror(-r));
	}
	if (lock >= 0)
		close(lock);
	return r;
}

/* ---- ethdev ------------------------------------------------------------------------------------- */

static int fail(const struct pktgen_options *options, const char *what, int r)
{
	log_err("port", "--port \"%s\": %s: %s", options->port, what, rte_strerror(-r));
	return r;
}

static int find(const struct pktgen_options *options, uint16_t *id)
{
	char name[RTE_ETH_NAME_MAX_LEN];

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(options->port, ","), options->port);
	if (rte_eth_dev_get_port_by_name(name, id) == 0)
		return 0;
	/* A PCI address may have been given without its domain. */
	if (is_pci(options->port) && rte_eth_dev_count_avail() == 1) {
		*id = (uint16_t)rte_eth_find_next(0);
		return 0;
	}
	log_err("port", "--port: no driver of DPDK took \"%s\"", options->port);
	return -ENODEV;
}

static int configure(const struct pktgen_options *options, struct pktgen_port *port)
{
	struct rte_eth_conf conf = {0};
	struct rte_eth_dev_info info;
	uint16_t n_rx = options->n_queue, n_tx = options->n_queue;
	uint16_t n_queues = (uint16_t)options->n_queues;
	int r = rte_eth_dev_info_get(port->id, &info);

	if (r < 0)
		return fail(options, "ask the driver", r);
	snprintf(port->driver, sizeof(port->driver), "%s", info.driver_name);
	if (n_queues > info.max_rx_queues || n_queues > info.max_tx_queues) {
		log_err("port", "--queues is %u, but the port has %u to receive and %u to send",
		        n_queues, info.max_rx_queues, info.max_tx_queues);
		return -EINVAL;
	}
	/* af_packet takes frames as large as its framesz, whatever it is told here. */
	if (strcmp(info.driver_name, "net_af_packet") != 0)
		conf.rxmode.mtu = options->mtu;
	conf.txmode.offloads = info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
	r = rte_eth_dev_configure(port->id, n_queues, n_queues, &conf);
	if (r < 0)
		return fail(options, "configure", r);
	r = rte_eth_dev_adjust_nb_rx_tx_desc(port->id, &n_rx, &n_tx);
	for (uint16_t q = 0; q < n_queues && r == 0; q++) {
		r = rte_eth_rx_queue_setup(port->id, q, n_rx, SOCKET_ID_ANY, NULL, port->pool);
		if (r == 0)
			r = rte_eth_tx_queue_setup(port->id, q, n_tx, SOCKET_ID_ANY, NULL);
	}
	return r < 0 ? fail(options, "queues", r) : 0;
}

static int start_port(const struct pktgen_options *options, struct pktgen_port *port)
{
	struct rte_ether_addr mac;
	int r = find(options, &port->id);

	if (r == 0)
		r = configure(options, port);
	if (r < 0)
		return r;
	r = rte_eth_macaddr_get(port->id, &mac);
	if (r < 0)
		return fail(options, "MAC address", r);
	memcpy(port->mac, options->has_mac ? options->mac : mac.addr_bytes, sizeof(port->mac));
	r = rte_eth_dev_start(port->id);
	if (r < 0)
		return fail(options, "start", r);
	port->runs = true;
	/* For neighbour discovery, and for a MAC that is not the port's; not every driver can. */
	r = rte_eth_promiscuous_enable(port->id);
	return r < 0 && r != -ENOTSUP ? fail(options, "receive multicast", r) : 0;
}

int pktgen_port_start(const struct pktgen_options *options, struct pktgen_port *port)
{
	int r;

	*port = (struct pktgen_port){0};
	r = start_eal(options);
	if (r < 0)
		return r;
	port->pool = rte_pktmbuf_pool_create("packets", n_mbufs(options), CACHE_MBUFS, 0,
	                                     (uint16_t)(buffer_len(options) + RTE_PKTMBUF_HEADROOM),
	                                     SOCKET_ID_ANY);
	if (port->pool == NULL) {
		log_err("port", "no memory for packet buffers err=\"%s\"", rte_strerror(rte_errno));
		return -ENOMEM;
	}
	return start_port(options, port);
}

void pktgen_port_stop(struct pktgen_port *port)
{
	if (port->runs) {
		int r = rte_eth_dev_stop(port->id);

		if (r == 0)
			r = rte_eth_dev_close(port->id);
		if (r < 0)
			log_warn("port", "port not stopped err=\"%s\"", rte_strerror(-r));
	}
	if (port->pool != NULL)
		rte_eal_cleanup();
	*port = (struct pktgen_port){0};
}

bool pktgen_port_is_up(const struct pktgen_port *port)
{
	struct rte_eth_link link = {0};

	return rte_eth_link_get_nowait(port->id, &link) == 0 && link.link_status != 0;
}

/* Checking, configuring and watching ports. */
#include "port_eth.h"

#include "base_log.h"
#include "guard.h"
#include "port_eal.h"

#include <rte_dev.h>
#include <rte_ethdev.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define DESC_DEFAULT 1024U
#define TX_OFFLOADS  (RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE | RTE_ETH_TX_OFFLOAD_UDP_CKSUM)
#define RX_OFFLOADS  (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM)
#define RSS_HF       (RTE_ETH_RSS_IP | RTE_ETH_RSS_UDP | RTE_ETH_RSS_TCP)

/* ---- before EAL -------------------------------------------------------------------------------- */

static int check_af_packet(const struct abi_port_setup *port)
{
	struct ifreq request = {0};
	int fd, r = 0;

	if (if_nametoindex(port->device) == 0) {
		log_err("port",
		        "port \"%s\": there is no interface \"%s\": create it, or correct `device` "
		        "(`ip link` lists those of this network namespace)",
		        port->name, port->device);
		return -ENODEV;
	}
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		r = -errno;
		log_err("port",
		        "port \"%s\": packet socket on \"%s\": %s: run as root, or with "
		        "CAP_NET_RAW and CAP_NET_ADMIN",
		        port->name, port->device, strerror(-r));
		return r;
	}
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%.15s", port->device);
	if (ioctl(fd, SIOCGIFMTU, &request) == 0 && request.ifr_mtu < port->mtu) {
		log_err("port",
		        "port \"%s\": interface \"%s\" has MTU %d, must be at least `mtu` = %u: "
		        "raise it (`ip link set %s mtu %u`) or lower `mtu`",
		        port->name, port->device, request.ifr_mtu, port->mtu, port->device,
		        port->mtu);
		r = -EMSGSIZE;
	}
	close(fd);
	return r;
}

/* The device exists and has a driver that lets user space in. */
static int check_pci(const struct abi_port_setup *port)
{
	char path[320], link[PATH_MAX];
	const char *driver;
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s", port->device);
	if (access(path, F_OK) != 0) {
		log_err("port",
		        "port \"%s\": there is no PCI device \"%s\": correct `device` (`lspci -D` "
		        "lists them)",
		        port->name, port->device);
		return -ENODEV;
	}
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver", port->device);
	n = readlink(path, link, sizeof(link) - 1);
	if (n > 0) {
		link[n] = '\0';
		driver = strrchr(link, '/') != NULL ? strrchr(link, '/') + 1 : link;
		if (strstr(driver, "vfio") != NULL || strstr(driver, "uio") != NULL
		    || strncmp(driver, "mlx", 3) == 0) /* bifurcated: shared with the kernel */
			return 0;
	} else {
		driver = "none";
	}
	log_err("port",
	        "port \"%s\": PCI device %s has driver %s: bind it to vfio-pci (`dpdk-devbind.py -b "
	        "vfio-pci %s`)",
	        port->name, port->device, driver, port->device);
	return -EBUSY;
}

int port_eth_check(const struct abi_setup *setup)
{
	for (uint32_t i = 0; i < setup->n_ports; i++) {
		const struct abi_port_setup *port = &setup->ports[i];
		int r = 0;

		if (port->driver == ABI_DRIVER_AF_PACKET)
			r = check_af_packet(port);
		else if (port->driver == ABI_DRIVER_PCI)
			r = check_pci(port);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- start ------------------------------------------------------------------------------------- */

/* Log what did not work on a port. Returns r. */
static int fail(const struct abi_port_setup *port, const char *what, int r)
{
	log_err("port", "port \"%s\" (%s): %s: %s", port->name, port->device, what,
	        rte_strerror(-r));
	return r;
}

/* Find the ethdev that EAL made for port i. */
static int find(const struct abi_port_setup *port, uint32_t i, uint16_t *id)
{
	char name[RTE_ETH_NAME_MAX_LEN];

	if (port->driver == ABI_DRIVER_AF_PACKET)
		snprintf(name, sizeof(name), "net_af_packet%u", i);
	else
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(port->device, ","), port->device);
	if (rte_eth_dev_get_port_by_name(name, id) == 0)
		return 0;
	log_err("port", "port \"%s\": no driver of DPDK took \"%s\": the lines above say why",
	        port->name, port->device);
	return -ENODEV;
}

/* There "I look at checksums" means to the other end "you need not make any", also of what is the
 * kernel's in the end. */
static bool is_paravirtual(const struct rte_eth_dev_info *info)
{
	return strncmp(info->driver_name, "net_virtio", 10) == 0
	       || strncmp(info->driver_name, "net_vhost", 9) == 0;
}

static int configure(const struct abi_setup *setup, struct port_eth *port,
                     const struct rte_eth_dev_info *info)
{
	uint16_t n_queues = (uint16_t)setup->n_workers;
	struct rte_eth_conf conf = {0};
	int r;

	if (n_queues > info->max_rx_queues || n_queues > info->max_tx_queues) {
		log_err("port",
		        "port \"%s\" (%s): has %u receive and %u transmit queues, needs one each "
		        "for %u workers: lower `workers`",
		        port->setup->name, port->setup->device, info->max_rx_queues,
		        info->max_tx_queues, n_queues);
		return -EINVAL;
	}
	/* af_packet takes frames as large as its framesz, whatever it is told here. */
	if (port->setup->driver != ABI_DRIVER_AF_PACKET)
		conf.rxmode.mtu = port->setup->mtu;
	if (n_queues > 1 && (info->flow_type_rss_offloads & RSS_HF) != 0) {
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf.rx_adv_conf.rss_conf.rss_hf = info->flow_type_rss_offloads & RSS_HF;
	}
	/* All buffers are of one pool and nobody else refers to them. Checksums: over IPv6 UDP must have
	 * one; of what comes the port can say that it is wrong before it is decrypted. */
	conf.txmode.offloads = info->tx_offload_capa & TX_OFFLOADS;
	if (!is_paravirtual(info))
		conf.rxmode.offloads = info->rx_offload_capa & RX_OFFLOADS;
	port->sums_udp = (conf.txmode.offloads & RTE_ETH_TX_OFFLOAD_UDP_CKSUM) != 0;
	r = rte_eth_dev_configure(port->id, n_queues, n_queues, &conf);
	return r < 0 ? fail(port->setup, "configure", r) : 0;
}

static int make_queues(const struct abi_setup *setup, struct port_eth *port,
                       struct rte_mempool *pool)
{
	uint16_t n_rx = port->setup->n_rx_desc != 0 ? port->setup->n_rx_desc : DESC_DEFAULT;
	uint16_t n_tx = DESC_DEFAULT;
	int r = rte_eth_dev_adjust_nb_rx_tx_desc(port->id, &n_rx, &n_tx);

	if (r < 0)
		return fail(port->setup, "queue lengths", r);
	for (uint16_t q = 0; q < setup->n_workers; q++) {
		r = rte_eth_rx_queue_setup(port->id, q, n_rx, SOCKET_ID_ANY, NULL, pool);
		if (r < 0)
			return fail(port->setup, "receive queue", r);
		r = rte_eth_tx_queue_setup(port->id, q, n_tx, SOCKET_ID_ANY, NULL);
		if (r < 0)
			return fail(port->setup, "transmit queue", r);
	}
	return 0;
}

/* Neighbour discovery comes by multicast. */
static int receive_multicast(const struct port_eth *port)
{
	int r = rte_eth_allmulticast_enable(port->id);

	if (r == -ENOTSUP)
		r = rte_eth_promiscuous_enable(port->id);
	return r < 0 && r != -ENOTSUP ? fail(port->setup, "receive multicast", r) : 0;
}

static int start_one(const struct abi_setup *setup, uint32_t i, struct rte_mempool *pool,
                     struct port_eth *port)
{
	struct rte_eth_dev_info info;
	struct rte_ether_addr mac;
	int r;

	port->setup = &setup->ports[i];
	port->socket = -1;
	r = find(port->setup, i, &port->id);
	if (r < 0)
		return r;
	r = rte_eth_dev_info_get(port->id, &info);
	if (r < 0)
		return fail(port->setup, "ask the driver", r);
	r = configure(setup, port, &info);
	if (r == 0)
		r = make_queues(setup, port, pool);
	if (r < 0)
		return r;
	r = rte_eth_macaddr_get(port->id, &mac);
	if (r < 0)
		return fail(port->setup, "MAC address", r);
	memcpy(port->mac, mac.addr_bytes, sizeof(port->mac));
	if (port->setup->driver == ABI_DRIVER_AF_PACKET)
		port->ifindex = if_nametoindex(port->setup->device);
	r = rte_eth_dev_start(port->id);
	if (r < 0)
		return fail(port->setup, "start", r);
	r = receive_multicast(port);
	if (r == 0 && port->setup->driver == ABI_DRIVER_AF_PACKET) {
		port->socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (port->socket < 0)
			r = fail(port->setup, "socket", -errno);
	}
	if (r < 0)
		rte_eth_dev_stop(port->id);
	return r;
}

int port_eth_start(const struct abi_setup *setup, struct rte_mempool *pool, struct port_eth *ports)
{
	for (uint32_t i = 0; i < setup->n_ports; i++) {
		int r = start_one(setup, i, pool, &ports[i]);

		if (r < 0) {
			port_eth_stop(ports, i);
			return r;
		}
	}
	return 0;
}

void port_eth_stop(struct port_eth *ports, uint32_t n_ports)
{
	for (uint32_t i = 0; i < n_ports; i++) {
		int r;

		if (ports[i].id == RTE_MAX_ETHPORTS)
			continue; /* gone */
		r = rte_eth_dev_stop(ports[i].id);
		if (r == 0)
			r = rte_eth_dev_close(ports[i].id);
		if (r < 0)
			log_warn("port", "port \"%s\" not stopped err=\"%s\"", ports[i].setup->name,
			         rte_strerror(-r));
		if (ports[i].socket >= 0)
			close(ports[i].socket);
		ports[i].socket = -1;
		ports[i].id = RTE_MAX_ETHPORTS;
	}
}

/* ---- gone and back ------------------------------------------------------------------------------- */

bool port_eth_is_gone(const struct port_eth *port)
{
	return port->setup->driver == ABI_DRIVER_AF_PACKET
	       && if_nametoindex(port->setup->device) != port->ifindex;
}

void port_eth_leave(uint32_t i, struct port_eth *port)
{
	char name[RTE_ETH_NAME_MAX_LEN];

	port_eth_stop(port, 1);
	snprintf(name, sizeof(name), "net_af_packet%u", i);
	/* Closed, it is nobody's port any more; what is left of it is the device. */
	if (rte_eal_hotplug_remove("vdev", name) < 0)
		log_warn("port", "port \"%s\": its device stays err=\"%s\"", port->setup->name,
		         rte_strerror(rte_errno));
}

/* No link-local address of the kernel's there, as control saw to at its start. */
static void turn_ipv6_off(const struct port_eth *port)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%.15s/disable_ipv6",
	         port->setup->device);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return; /* a kernel without IPv6 */
	if (fd < 0 || write(fd, "1", 1) != 1)
		log_warn("port",
		         "port \"%s\": IPv6 stays on at interface \"%s\" err=\"%s\": turn it "
		         "off (sysctl net.ipv6.conf.%s.disable_ipv6=1)",
		         port->setup->name, port->setup->device, strerror(errno),
		         port->setup->device);
	if (fd >= 0)
		close(fd);
}

/* As control left the one before: the kernel keeps quiet on it, it has the port's MAC address, and is up. */
static int prepare_interface(const struct port_eth *port)
{
	struct ifreq request = {0};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int r = 0;

	if (fd < 0)
		return -errno;
	turn_ipv6_off(port);
	/* Without netdev tables control goes on too, and has said so. */
	r = guard_set(port->setup->device);
	if (r == -ENOTSUP)
		r = 0;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%.15s", port->setup->device);
	request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	memcpy(request.ifr_hwaddr.sa_data, port->mac, sizeof(port->mac));
	if (r == 0
	    && (ioctl(fd, SIOCSIFHWADDR, &request) != 0 || ioctl(fd, SIOCGIFFLAGS, &request) != 0))
		r = -errno;
	request.ifr_flags |= IFF_UP;
	if (r == 0 && ioctl(fd, SIOCSIFFLAGS, &request) != 0)
		r = -errno;
	close(fd);
	return r;
}

int port_eth_return(const struct abi_setup *setup, uint32_t i, struct rte_mempool *pool,
                    struct port_eth *port)
{
	char name[PORT_EAL_ARG_LEN], args[PORT_EAL_ARG_LEN];
	int r;

	if (if_nametoindex(port->setup->device) == 0)
		return -ENODEV;
	r = check_af_packet(port->setup);
	if (r < 0)
		return r;
	r = prepare_interface(port);
	if (r < 0)
		return fail(port->setup, "prepare the interface that is back", r);
	port_eal_af_packet(setup, i, name, args);
	r = rte_eal_hotplug_add("vdev", name, args);
	if (r < 0)
		return fail(port->setup, "make its device again", r);
	r = start_one(setup, i, pool, port);
	if (r == 0)
		return 0;
	if (port->socket >= 0)
		close(port->socket);
	port->socket = -1;
	port->id = RTE_MAX_ETHPORTS;
	if (rte_eal_hotplug_remove("vdev", name) < 0)
		log_warn("port", "port \"%s\": its device stays err=\"%s\"", port->setup->name,
		         rte_strerror(rte_errno));
	return r;
}

/* ---- status ------------------------------------------------------------------------------------ */

/* The kernel's interface below an af_packet port: its driver always says "up". */
static bool is_interface_up(const struct port_eth *port)
{
	struct ifreq request = {0};

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%.15s", port->setup->device);
	if (ioctl(port->socket, SIOCGIFFLAGS, &request) != 0)
		return false;
	return (request.ifr_flags & IFF_UP) != 0 && (request.ifr_flags & IFF_RUNNING) != 0;
}

void port_eth_status(const struct port_eth *port, struct abi_port_status *out)
{
	struct rte_eth_link link = {0};
	bool up;

	if (port->socket >= 0)
		up = is_interface_up(port);
	else
		up = rte_eth_link_get_nowait(port->id, &link) == 0 && link.link_status != 0;
	memcpy(out->mac, port->mac, sizeof(out->mac));
	__atomic_store_n(&out->mtu, port->setup->mtu, __ATOMIC_RELAXED);
	__atomic_store_n(&out->up, up ? 1U : 0U, __ATOMIC_RELAXED);
}

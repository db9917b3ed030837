/* TUN, TAPs and the raw interfaces of af_packet ports. First everything is looked at, then changed;
 * what fails half way is put back. */
#include "kernel_device.h"

#include "base_bytes.h"
#include "base_log.h"
#include "guard.h"
#include "kernel.h"
#include "kernel_netlink.h"

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Linux 6.2; Debian 12's headers are older. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

#define TX_QUEUE_LEN 1000U /* packets: what an Ethernet device has */

/* How a raw interface was before. */
struct raw {
	bool touched;
	bool was_up;
	char ipv6_off; /* '0' or '1', 0 = kernel without IPv6 */
	bool guarded;
	uint8_t mac[6];
};

struct maker {
	const struct config *config;
	struct abi_fds *fds;
	struct kernel_netlink netlink;
	int ioctl_fd;
	struct raw raw[ABI_PORTS_MAX];
	char *error;
	size_t error_len;
};

__attribute__((format(printf, 3, 4))) static int fail(struct maker *maker, int r,
                                                      const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(maker->error, maker->error_len, format, args);
	va_end(args);
	return r;
}

static int fail_errno(struct maker *maker, const char *device, const char *what, int r)
{
	const char *help = r == -EPERM || r == -EACCES ? " (needs root or CAP_NET_ADMIN)" : "";

	return fail(maker, r, "%s: cannot %s: %s%s", device, what, strerror(-r), help);
}

/* ---- raw interfaces ----------------------------------------------------------------------------- */

static int interface_ioctl(const struct maker *maker, const char *device, unsigned long request,
                           struct ifreq *out)
{
	*out = (struct ifreq){0};
	snprintf(out->ifr_name, sizeof(out->ifr_name), "%s", device);
	return ioctl(maker->ioctl_fd, request, out) == 0 ? 0 : -errno;
}

static bool port_has_address(const struct config_port *port, const struct base_ip *ip)
{
	for (uint32_t i = 0; i < port->n_addresses; i++)
		if (base_ip_equal(&port->addresses[i].ip, ip))
			return true;
	return false;
}

static struct base_ip sockaddr_ip(const struct sockaddr *address)
{
	if (address != NULL && address->sa_family == AF_INET)
		return base_ip_make(BASE_IP_V4, (const uint8_t *)address
		                                        + offsetof(struct sockaddr_in, sin_addr));
	if (address != NULL && address->sa_family == AF_INET6)
		return base_ip_make(BASE_IP_V6, (const uint8_t *)address
		                                        + offsetof(struct sockaddr_in6, sin6_addr));
	return (struct base_ip){0};
}

/* An address on the raw interface that is to be on the TAP would be there twice: refused. Any other
 * is only out of reach: a warning. IPv6 link-local ones go when IPv6 is turned off. */
static int raw_check_addresses(struct maker *maker, const struct config_port *port)
{
	char text[BASE_IP_STRLEN];
	struct ifaddrs *all;
	int r = 0;

	if (getifaddrs(&all) != 0)
		return fail_errno(maker, port->device, "list addresses", -errno);
	for (const struct ifaddrs *i = all; i != NULL && r == 0; i = i->ifa_next) {
		struct base_ip ip = sockaddr_ip(i->ifa_addr);

		if (strcmp(i->ifa_name, port->device) != 0 || ip.family == BASE_IP_NONE
		    || (ip.family == BASE_IP_V6 && ip.bytes[0] == 0xfe
		        && (ip.bytes[1] & 0xc0) == 0x80))
			continue;
		if (port_has_address(port, &ip))
			r = fail(maker, -EADDRINUSE,
			         "port \"%s\": interface \"%s\" still has %s, which weir puts on "
			         "\"%s\": run `ip address flush dev %s`",
			         port->name, port->device, base_ip_format(&ip, text), port->tap,
			         port->device);
		else
			log_warn("kernel",
			         "interface has an address that is out of reach while weir runs: "
			         "move it to the TAP port=%s interface=%s address=%s tap=%s",
			         port->name, port->device, base_ip_format(&ip, text), port->tap);
	}
	freeifaddrs(all);
	return r;
}

static int raw_check(struct maker *maker, const struct config_port *port, struct raw *raw)
{
	struct ifreq request;
	int r;

	r = interface_ioctl(maker, port->device, SIOCGIFFLAGS, &request);
	if (r == -ENODEV)
		return fail(maker, r, "port \"%s\": interface \"%s\" does not exist", port->name,
		            port->device);
	if (r != 0)
		return fail_errno(maker, port->device, "read flags", r);
	raw->was_up = (request.ifr_flags & IFF_UP) != 0;
	r = interface_ioctl(maker, port->device, SIOCGIFMTU, &request);
	if (r != 0)
		return fail_errno(maker, port->device, "read the MTU", r);
	if (request.ifr_mtu < port->mtu)
		return fail(maker, -EMSGSIZE,
		            "port \"%s\": mtu is %u, but interface \"%s\" carries only %d bytes",
		            port->name, port->mtu, port->device, request.ifr_mtu);
	r = interface_ioctl(maker, port->device, SIOCGIFHWADDR, &request);
	if (r != 0)
		return fail_errno(maker, port->device, "read the MAC address", r);
	if (request.ifr_hwaddr.sa_family != ARPHRD_ETHER)
		return fail(maker, -EINVAL, "port \"%s\": interface \"%s\" is not Ethernet",
		            port->name, port->device);
	memcpy(raw->mac, request.ifr_hwaddr.sa_data, sizeof(raw->mac));
	return raw_check_addresses(maker, port);
}

/* Write one character to an IPv6 setting of a device and give the old one back; 0 when there is no
 * such setting, because the kernel has no IPv6. Returns 0 or -errno. */
static int ipv6_setting(const char *device, const char *setting, char value, char *old)
{
	char path[128], before = 0;
	int fd, r = 0;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/%s", device, setting);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		*old = 0;
		return errno == ENOENT ? 0 : -errno;
	}
	if (pread(fd, &before, 1, 0) != 1 || pwrite(fd, &value, 1, 0) != 1)
		r = errno != 0 ? -errno : -EIO;
	close(fd);
	*old = before;
	return r;
}

/* change: IFF_UP or 0 bits to set as in flags. mac may be NULL; 0 = leave. */
static int link_set(struct maker *maker, unsigned int index, bool up, const uint8_t *mac,
                    uint32_t mtu, uint32_t tx_queue_len)
{
	_Alignas(struct nlmsghdr) char buffer[256];
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct ifinfomsg *body;

	message->nlmsg_type = RTM_NEWLINK;
	body = mnl_nlmsg_put_extra_header(message, sizeof(*body));
	body->ifi_index = (int)index;
	body->ifi_change = IFF_UP;
	body->ifi_flags = up ? IFF_UP : 0;
	if (mac != NULL)
		mnl_attr_put(message, IFLA_ADDRESS, 6, mac);
	if (mtu != 0)
		mnl_attr_put_u32(message, IFLA_MTU, mtu);
	if (tx_queue_len != 0)
		mnl_attr_put_u32(message, IFLA_TXQLEN, tx_queue_len);
	return kernel__netlink_request(&maker->netlink, message);
}

/* The kernel keeps quiet on the raw interface: no IPv6 of its own, nothing taken in. */
static int raw_take(struct maker *maker, const struct config_port *port, struct raw *raw)
{
	int r;

	raw->touched = true;
	r = ipv6_setting(port->device, "disable_ipv6", '1', &raw->ipv6_off);
	if (r != 0)
		return fail_errno(maker, port->device, "turn IPv6 off", r);
	r = guard_set(port->device);
	if (r == -EPERM)
		return fail_errno(maker, port->device, "set the nftables guard", r);
	raw->guarded = r == 0;
	if (r == 0) {
		r = kernel__guard_note(maker->config->run_dir, port->device);
		if (r != 0)
			return fail_errno(maker, maker->config->run_dir, "write the list of guards",
			                  r);
	} else {
		log_warn("kernel",
		         "no nftables netdev tables here: the kernel may answer beside weir on "
		         "interface=%s; leave it without addresses",
		         port->device);
	}
	r = link_set(maker, if_nametoindex(port->device), true, NULL, 0, 0);
	if (r != 0)
		return fail_errno(maker, port->device, "bring it up", r);
	return 0;
}

static void raw_give_back(struct maker *maker, const struct config_port *port,
                          const struct raw *raw)
{
	unsigned int index = if_nametoindex(port->device);
	char old;

	if (!raw->touched || index == 0)
		return;
	if (raw->guarded && guard_clear(port->device) != 0)
		log_warn("kernel", "guard not removed interface=%s", port->device);
	if (raw->ipv6_off != 0 && ipv6_setting(port->device, "disable_ipv6", raw->ipv6_off, &old))
		log_warn("kernel", "IPv6 not turned on again interface=%s", port->device);
	if (!raw->was_up && link_set(maker, index, false, NULL, 0, 0) != 0)
		log_warn("kernel", "not brought down again interface=%s", port->device);
}

/* ---- TUN and TAP -------------------------------------------------------------------------------- */

static int offloads_on(int fd)
{
	unsigned int offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
	int header_len = sizeof(struct virtio_net_hdr);

	if (ioctl(fd, TUNSETVNETHDRSZ, &header_len) != 0)
		return -errno;
	if (ioctl(fd, TUNSETOFFLOAD, (unsigned long)(offloads | TUN_F_USO4 | TUN_F_USO6)) == 0)
		return 0;
	/* A kernel before 6.2 knows no UDP segmentation. */
	return ioctl(fd, TUNSETOFFLOAD, (unsigned long)offloads) == 0 ? 0 : -errno;
}

/* kind: IFF_TUN or IFF_TAP. */
static int device_open(struct maker *maker, const char *name, short kind, int *out)
{
	struct ifreq request = {.ifr_flags = (short)(kind | IFF_NO_PI | IFF_VNET_HDR)};
	int fd, r;

	if (if_nametoindex(name) != 0)
		return fail(maker, -EEXIST,
		            "device \"%s\" exists already: another weir runs here, or it belongs "
		            "to something else (`ip link show %s`)",
		            name, name);
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return fail_errno(maker, "/dev/net/tun", "open", -errno);
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &request) != 0) {
		r = fail_errno(maker, name, "make the device", -errno);
		goto err;
	}
	r = offloads_on(fd);
	if (r != 0) {
		r = fail_errno(maker, name, "turn offloads on", r);
		goto err;
	}
	*out = fd;
	return 0;

err:
	close(fd);
	return r;
}

static int address_add(struct maker *maker, const char *device, const struct base_prefix *prefix)
{
	_Alignas(struct nlmsghdr) char buffer[256];
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	size_t len = base_ip_len(prefix->ip.family);
	char text[BASE_PREFIX_STRLEN], what[96];
	struct ifaddrmsg *body;
	int r;

	message->nlmsg_type = RTM_NEWADDR;
	message->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
	body = mnl_nlmsg_put_extra_header(message, sizeof(*body));
	body->ifa_family = kernel__family(&prefix->ip);
	body->ifa_prefixlen = prefix->len;
	body->ifa_index = if_nametoindex(device);
	/* Nobody could answer duplicate address detection: the dataplane is not there yet. */
	if (prefix->ip.family == BASE_IP_V6)
		body->ifa_flags = IFA_F_NODAD;
	mnl_attr_put(message, IFA_LOCAL, len, prefix->ip.bytes);
	mnl_attr_put(message, IFA_ADDRESS, len, prefix->ip.bytes);
	r = kernel__netlink_request(&maker->netlink, message);
	if (r == 0)
		return 0;
	snprintf(what, sizeof(what), "add address %s", base_prefix_format(prefix, text));
	return fail_errno(maker, device, what, r);
}

static int addresses_add(struct maker *maker, const char *device,
                         const struct base_prefix *prefixes, uint32_t n)
{
	int r = 0;

	for (uint32_t i = 0; i < n && r == 0; i++)
		r = address_add(maker, device, &prefixes[i]);
	return r;
}

static int gateway_add(struct maker *maker, const struct config_port *port,
                       const struct base_ip *gateway)
{
	_Alignas(struct nlmsghdr) char buffer[256];
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	char text[BASE_IP_STRLEN], what[96];
	struct rtmsg *body;
	int r;

	message->nlmsg_type = RTM_NEWROUTE;
	message->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
	body = mnl_nlmsg_put_extra_header(message, sizeof(*body));
	body->rtm_family = kernel__family(gateway);
	body->rtm_table = RT_TABLE_MAIN;
	body->rtm_protocol = RTPROT_STATIC;
	body->rtm_scope = RT_SCOPE_UNIVERSE;
	body->rtm_type = RTN_UNICAST;
	mnl_attr_put(message, RTA_GATEWAY, base_ip_len(gateway->family), gateway->bytes);
	mnl_attr_put_u32(message, RTA_OIF, if_nametoindex(port->tap));
	r = kernel__netlink_request(&maker->netlink, message);
	base_ip_format(gateway, text);
	if (r == 0)
		return 0;
	if (r == -EEXIST)
		return fail(maker, r,
		            "port \"%s\": there is a default route already, %s cannot be the "
		            "gateway: remove one of the two",
		            port->name, text);
	if (r == -ENETUNREACH || r == -EHOSTUNREACH)
		return fail(maker, r, "port \"%s\": gateway %s is in none of the port's networks",
		            port->name, text);
	snprintf(what, sizeof(what), "add the default route by %s", text);
	return fail_errno(maker, port->tap, what, r);
}

static bool any_ipv6(const struct base_prefix *prefixes, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (prefixes[i].ip.family == BASE_IP_V6)
			return true;
	return false;
}

/* No link-local address on the TUN: the kernel would solicit routers among the peers. */
static int tun_make(struct maker *maker)
{
	const struct config *config = maker->config;
	const char *name = config->tunnel_device;
	const char *setting = any_ipv6(config->tunnel, config->n_tunnel) ? "addr_gen_mode"
	                                                                 : "disable_ipv6";
	char old;
	int r;

	r = device_open(maker, name, IFF_TUN, &maker->fds->tun);
	if (r != 0)
		return r;
	r = ipv6_setting(name, setting, '1', &old);
	if (r != 0)
		return fail_errno(maker, name, "set up IPv6", r);
	r = link_set(maker, if_nametoindex(name), true, NULL, config->tunnel_mtu, TX_QUEUE_LEN);
	if (r != 0)
		return fail_errno(maker, name, "bring it up", r);
	return addresses_add(maker, name, config->tunnel, config->n_tunnel);
}

static int tap_make(struct maker *maker, uint32_t at)
{
	const struct config_port *port = &maker->config->ports[at];
	bool has_mac = port->driver == ABI_DRIVER_AF_PACKET;
	int r;

	r = device_open(maker, port->tap, IFF_TAP, &maker->fds->taps[at]);
	if (r != 0)
		return r;
	r = link_set(maker, if_nametoindex(port->tap), true, has_mac ? maker->raw[at].mac : NULL,
	             port->mtu, TX_QUEUE_LEN);
	if (r != 0)
		return fail_errno(maker, port->tap, "bring it up", r);
	r = addresses_add(maker, port->tap, port->addresses, port->n_addresses);
	for (uint32_t i = 0; i < port->n_gateways && r == 0; i++)
		r = gateway_add(maker, port, &port->gateways[i]);
	return r;
}

/* ---- all of them -------------------------------------------------------------------------------- */

static bool is_raw(const struct config_port *port)
{
	return port->driver == ABI_DRIVER_AF_PACKET;
}

static int check_all(struct maker *maker)
{
	const struct config *config = maker->config;
	int r = 0;

	for (uint32_t i = 0; i < config->n_ports && r == 0; i++)
		if (is_raw(&config->ports[i]))
			r = raw_check(maker, &config->ports[i], &maker->raw[i]);
	return r;
}

static int make_all(struct maker *maker)
{
	const struct config *config = maker->config;
	int r = tun_make(maker);

	for (uint32_t i = 0; i < config->n_ports && r == 0; i++) {
		if (is_raw(&config->ports[i]))
			r = raw_take(maker, &config->ports[i], &maker->raw[i]);
		if (r == 0 && config->ports[i].tap[0] != '\0')
			r = tap_make(maker, i);
	}
	return r;
}

int kernel_devices_create(const struct config *config, struct abi_fds *fds, char *error,
                          size_t error_len)
{
	struct maker maker = {.config = config, .fds = fds, .error = error, .error_len = error_len};
	int r;

	abi_fds_init(fds);
	maker.ioctl_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (maker.ioctl_fd < 0)
		return fail_errno(&maker, "kernel", "open a socket", -errno);
	r = kernel__netlink_open(&maker.netlink);
	if (r != 0) {
		fail_errno(&maker, "kernel", "open rtnetlink", r);
		goto err_socket;
	}
	r = check_all(&maker);
	/* Interfaces that an earlier configuration named get the kernel back. */
	if (r == 0 && kernel__guard_clear_noted(config->run_dir) != 0)
		log_warn("kernel", "guards of an earlier start are left in place: "
		                   "see nft list tables netdev");
	if (r == 0)
		r = make_all(&maker);
	if (r != 0) {
		abi_fds_close(fds);
		for (uint32_t i = 0; i < config->n_ports; i++)
			raw_give_back(&maker, &config->ports[i], &maker.raw[i]);
	}
	kernel__netlink_close(&maker.netlink);
err_socket:
	close(maker.ioctl_fd);
	return r;
}

void kernel_devices_destroy(const struct config *config)
{
	/* Unprivileged, the list cannot be read; what is told below holds for it too. */
	int r = kernel__guard_clear_noted(config->run_dir);

	if (r != 0 && r != -EACCES && r != -EPERM)
		log_warn("kernel", "guards not removed: %s", strerror(-r));
	for (uint32_t i = 0; i < config->n_ports; i++) {
		const struct config_port *port = &config->ports[i];

		if (!is_raw(port) || guard_clear(port->device) == 0)
			continue;
		log_info("kernel",
		         "guard left in place, removing it needs root: "
		         "nft delete table netdev weir_%s",
		         port->device);
	}
}

/* The kernel's addresses, routes and neighbours of our TAPs, told to program.
 *
 * Neighbours change often and each change is told by the kernel, so they are followed one by one.
 * Addresses and routes change seldom, and not every change is told (IPv4 routes go without a word
 * with their address or link; "replace" says only what is new), so any word about them leads to a
 * fresh dump, which is compared with what program has. A dump also follows when the kernel lost
 * messages because we were slow (ENOBUFS). */
#include "kernel_mirror.h"

#include "base_bytes.h"
#include "base_log.h"
#include "kernel.h"
#include "program.h"

#include <errno.h>
#include <event2/event.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define PORT_TUNNEL      ABI_PORTS_MAX
#define DUMP_DELAY_MS    20 /* several changes at once, one dump */
#define DUMP_FIRST_TRIES 20U
#define DUMP_RETRY_MS    200
#define RECEIVE_BUFFER   (1 << 20) /* bytes: room for some thousand messages */
#define NEIGHBOUR_USABLE                                                                           \
	(NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP)

/* ---- what program has --------------------------------------------------------------------------- */

enum entry_kind {
	ENTRY_ADDRESS = 0,
	ENTRY_ROUTE = 1,
	ENTRY_NEIGHBOUR = 2,
};

/* Key first: kind, port (0 for routes, of which there is one a prefix), prefix. */
struct mirror_entry {
	uint32_t kind;
	uint32_t port;
	struct base_prefix prefix; /* /32 or /128 except for routes */
	/* not part of the key */
	uint32_t generation; /* of the dump that saw it last */
	uint32_t metric;     /* routes */
	union {
		struct abi_cmd_address address;
		struct abi_cmd_wan_route route;
		struct abi_cmd_neighbour neighbour;
	};
};

#define ENTRY_KEY_LEN offsetof(struct mirror_entry, generation)

static int entry_compare(const void *a, const void *b)
{
	return memcmp(a, b, ENTRY_KEY_LEN);
}

static int entry_send(struct program *program, const struct mirror_entry *entry, bool present)
{
	struct abi_cmd_address address;

	switch ((enum entry_kind)entry->kind) {
	case ENTRY_ADDRESS:
		address = entry->address;
		address.present = present ? 1 : 0;
		return program_address_set(program, &address);
	case ENTRY_ROUTE:
		return present ? program_wan_route_put(program, &entry->route)
		               : program_wan_route_drop(program, &entry->route);
	case ENTRY_NEIGHBOUR:
		return present ? program_neighbour_put(program, &entry->neighbour)
		               : program_neighbour_drop(program, &entry->neighbour);
	}
	return -EINVAL;
}

static void entry_tell(struct kernel *kernel, const struct mirror_entry *entry, bool present)
{
	char text[BASE_PREFIX_STRLEN];
	int r = entry_send(kernel->program, entry, present);

	if (r != 0)
		log_err("kernel", "program refuses what the kernel has kind=%u port=%u %s err=%s",
		        entry->kind, entry->port, base_prefix_format(&entry->prefix, text),
		        strerror(-r));
}

static struct mirror_entry *entry_find(struct kernel *kernel, const struct mirror_entry *key)
{
	struct mirror_entry *const *node = tfind(key, &kernel->entries, entry_compare);

	return node != NULL ? *node : NULL;
}

static void entry_remove(struct kernel *kernel, struct mirror_entry *entry)
{
	tdelete(entry, &kernel->entries, entry_compare);
	entry_tell(kernel, entry, false);
	free(entry);
}

/* Whether seen is to replace what this dump has already found under the same key: of two routes to
 * a prefix the kernel takes the one with the lower metric. */
static bool entry_loses(const struct kernel *kernel, const struct mirror_entry *held,
                        const struct mirror_entry *seen)
{
	return seen->kind == ENTRY_ROUTE && held->generation == kernel->generation
	       && held->metric <= seen->metric;
}

static struct mirror_entry *entry_add(struct kernel *kernel, const struct mirror_entry *seen)
{
	struct mirror_entry *entry = malloc(sizeof(*entry));

	if (entry == NULL)
		return NULL;
	*entry = *seen;
	if (tsearch(entry, &kernel->entries, entry_compare) != NULL)
		return entry;
	free(entry);
	return NULL;
}

/* The kernel has this. */
static void entry_put(struct kernel *kernel, const struct mirror_entry *seen)
{
	struct mirror_entry *held = entry_find(kernel, seen);

	if (held != NULL && entry_loses(kernel, held, seen))
		return;
	if (held == NULL)
		held = entry_add(kernel, seen);
	else
		*held = *seen;
	if (held == NULL) {
		log_err("kernel", "out of memory: an address or route is not known");
		return;
	}
	held->generation = kernel->generation;
	entry_tell(kernel, held, true);
}

/* ---- messages ----------------------------------------------------------------------------------- */

/* The port of an interface, PORT_TUNNEL, or UINT32_MAX when it is not ours. */
static uint32_t port_of(const struct kernel *kernel, uint32_t index)
{
	for (uint32_t i = 0; i <= PORT_TUNNEL; i++)
		if (kernel->index[i] != 0 && kernel->index[i] == index)
			return i;
	return UINT32_MAX;
}

static struct base_prefix whole(struct base_ip ip)
{
	return (struct base_prefix){.ip = ip, .len = (uint8_t)(8 * base_ip_len(ip.family))};
}

static int address_seen(const struct nlmsghdr *message, void *arg)
{
	const struct ifaddrmsg *body = mnl_nlmsg_get_payload(message);
	struct kernel *kernel = arg;
	struct base_ip ip = {0}, local = {0};
	struct nlattr *attribute;
	struct mirror_entry entry;

	if (message->nlmsg_type != RTM_NEWADDR || port_of(kernel, body->ifa_index) == UINT32_MAX)
		return MNL_CB_OK;
	mnl_attr_for_each(attribute, message, sizeof(*body))
	{
		if (mnl_attr_get_type(attribute) == IFA_ADDRESS)
			ip = kernel__attribute_ip(body->ifa_family, attribute);
		else if (mnl_attr_get_type(attribute) == IFA_LOCAL)
			local = kernel__attribute_ip(body->ifa_family, attribute);
	}
	/* IFA_LOCAL is ours where the two differ (point to point). */
	if (local.family != BASE_IP_NONE)
		ip = local;
	if (ip.family == BASE_IP_NONE)
		return MNL_CB_OK;
	memset(&entry, 0, sizeof(entry));
	entry.kind = ENTRY_ADDRESS;
	entry.port = port_of(kernel, body->ifa_index);
	entry.prefix = whole(ip);
	entry.address = (struct abi_cmd_address){.ip = ip, .port = entry.port, .present = 1};
	entry_put(kernel, &entry);
	return MNL_CB_OK;
}

/* One way of a route: the interface and gateway, if it leads out of one of our TAPs. */
struct way {
	uint32_t port;
	struct base_ip gateway;
};

static struct base_ip via_ip(const struct nlattr *attribute)
{
	const struct rtvia *via = mnl_attr_get_payload(attribute);
	size_t len = mnl_attr_get_payload_len(attribute);

	if (len == sizeof(*via) + 4 && via->rtvia_family == AF_INET)
		return base_ip_make(BASE_IP_V4, via->rtvia_addr);
	if (len == sizeof(*via) + 16 && via->rtvia_family == AF_INET6)
		return base_ip_make(BASE_IP_V6, via->rtvia_addr);
	return (struct base_ip){0};
}

/* Of several ways the first by a TAP of ours that is up: workers take one next hop a prefix. */
static struct way way_first(const struct kernel *kernel, uint8_t family,
                            const struct nlattr *multipath)
{
	struct rtnexthop *hop = mnl_attr_get_payload(multipath);
	int left = mnl_attr_get_payload_len(multipath);

	for (; RTNH_OK(hop, left); left -= (int)RTNH_ALIGN(hop->rtnh_len), hop = RTNH_NEXT(hop)) {
		struct way way = {.port = port_of(kernel, (uint32_t)hop->rtnh_ifindex)};
		void *attributes = RTNH_DATA(hop);
		struct nlattr *attr;

		if (way.port >= PORT_TUNNEL
		    || (hop->rtnh_flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN)) != 0)
			continue;
		mnl_attr_for_each_payload(attributes, hop->rtnh_len - sizeof(*hop))
		{
			if (mnl_attr_get_type(attr) == RTA_GATEWAY)
				way.gateway = kernel__attribute_ip(family, attr);
			else if (mnl_attr_get_type(attr) == RTA_VIA)
				way.gateway = via_ip(attr);
		}
		return way;
	}
	return (struct way){.port = UINT32_MAX};
}

static int route_seen(const struct nlmsghdr *message, void *arg)
{
	const struct rtmsg *body = mnl_nlmsg_get_payload(message);
	struct kernel *kernel = arg;
	struct way way = {.port = UINT32_MAX};
	uint32_t table = body->rtm_table;
	struct nlattr *attribute;
	struct mirror_entry entry;

	if (message->nlmsg_type != RTM_NEWROUTE || body->rtm_type != RTN_UNICAST
	    || (body->rtm_flags & (RTM_F_CLONED | RTNH_F_DEAD | RTNH_F_LINKDOWN)) != 0)
		return MNL_CB_OK;
	memset(&entry, 0, sizeof(entry));
	entry.kind = ENTRY_ROUTE;
	entry.prefix.ip.family = body->rtm_family == AF_INET ? BASE_IP_V4 : BASE_IP_V6;
	entry.prefix.len = body->rtm_dst_len;
	mnl_attr_for_each(attribute, message, sizeof(*body))
	{
		switch (mnl_attr_get_type(attribute)) {
		case RTA_TABLE:
			table = mnl_attr_get_u32(attribute);
			break;
		case RTA_DST:
			entry.prefix.ip = kernel__attribute_ip(body->rtm_family, attribute);
			break;
		case RTA_PRIORITY:
			entry.metric = mnl_attr_get_u32(attribute);
			break;
		case RTA_PREFSRC:
			entry.route.source = kernel__attribute_ip(body->rtm_family, attribute);
			break;
		case RTA_OIF:
			way.port = port_of(kernel, mnl_attr_get_u32(attribute));
			break;
		case RTA_GATEWAY:
			way.gateway = kernel__attribute_ip(body->rtm_family, attribute);
			break;
		case RTA_VIA:
			way.gateway = via_ip(attribute);
			break;
		case RTA_MULTIPATH:
			way = way_first(kernel, body->rtm_family, attribute);
			break;
		default:
			break;
		}
	}
	if (table != RT_TABLE_MAIN || way.port >= PORT_TUNNEL
	    || entry.prefix.ip.family == BASE_IP_NONE)
		return MNL_CB_OK;
	entry.route.prefix = entry.prefix;
	entry.route.gateway = way.gateway;
	entry.route.port = way.port;
	entry_put(kernel, &entry);
	return MNL_CB_OK;
}

/* The kernel keeps entries for groups it has joined; nothing is routed there. */
static bool is_multicast(const struct base_ip *ip)
{
	return ip->family == BASE_IP_V4 ? (ip->bytes[0] & 0xf0) == 0xe0 : ip->bytes[0] == 0xff;
}

static int neighbour_seen(const struct nlmsghdr *message, void *arg)
{
	const struct ndmsg *body = mnl_nlmsg_get_payload(message);
	struct kernel *kernel = arg;
	uint32_t port = port_of(kernel, (uint32_t)body->ndm_ifindex);
	struct nlattr *attribute;
	struct mirror_entry entry, *held;
	bool has_mac = false;

	if (port >= PORT_TUNNEL || (body->ndm_family != AF_INET && body->ndm_family != AF_INET6)
	    || (body->ndm_flags & NTF_PROXY) != 0)
		return MNL_CB_OK;
	memset(&entry, 0, sizeof(entry));
	entry.kind = ENTRY_NEIGHBOUR;
	entry.port = port;
	entry.neighbour.port = port;
	mnl_attr_for_each(attribute, message, sizeof(*body))
	{
		if (mnl_attr_get_type(attribute) == NDA_DST) {
			entry.neighbour.ip = kernel__attribute_ip(body->ndm_family, attribute);
		} else if (mnl_attr_get_type(attribute) == NDA_LLADDR
		           && mnl_attr_get_payload_len(attribute) == 6) {
			memcpy(entry.neighbour.mac, mnl_attr_get_payload(attribute), 6);
			has_mac = true;
		}
	}
	if (entry.neighbour.ip.family == BASE_IP_NONE || is_multicast(&entry.neighbour.ip))
		return MNL_CB_OK;
	entry.prefix = whole(entry.neighbour.ip);
	if (message->nlmsg_type == RTM_NEWNEIGH && has_mac
	    && (body->ndm_state & NEIGHBOUR_USABLE) != 0) {
		entry_put(kernel, &entry);
		return MNL_CB_OK;
	}
	held = entry_find(kernel, &entry);
	if (held != NULL)
		entry_remove(kernel, held);
	return MNL_CB_OK;
}

/* ---- dump and difference ------------------------------------------------------------------------ */

/* What the last dump did not see, oldest key first, linked while the tree is walked. */
struct stale {
	uint32_t generation;
	bool out_of_memory;
	size_t n;
	size_t n_max;
	struct mirror_entry **at;
};

static void stale_collect(const void *node, VISIT visit, void *arg)
{
	struct mirror_entry *entry = *(struct mirror_entry *const *)node;
	struct stale *stale = arg;

	if ((visit != postorder && visit != leaf) || entry->generation == stale->generation)
		return;
	if (stale->n == stale->n_max) {
		size_t n_max = stale->n_max == 0 ? 64 : 2 * stale->n_max;
		struct mirror_entry **at = reallocarray(stale->at, n_max, sizeof(*at));

		if (at == NULL) {
			stale->out_of_memory = true;
			return;
		}
		stale->at = at;
		stale->n_max = n_max;
	}
	stale->at[stale->n++] = entry;
}

static void stale_drop(struct kernel *kernel)
{
	struct stale stale = {.generation = kernel->generation};

	twalk_r(kernel->entries, stale_collect, &stale);
	if (stale.out_of_memory)
		log_err("kernel", "out of memory: some routes stay longer than they should");
	for (size_t i = 0; i < stale.n; i++)
		entry_remove(kernel, stale.at[i]);
	free(stale.at);
}

/* Devices come and go with their descriptors; their numbers with them. */
static void indexes_read(struct kernel *kernel)
{
	for (uint32_t i = 0; i <= PORT_TUNNEL; i++)
		kernel->index[i] = kernel->name[i][0] != '\0' ? if_nametoindex(kernel->name[i]) : 0;
}

static int dump(struct kernel *kernel)
{
	int r;

	indexes_read(kernel);
	kernel->generation++;
	r = kernel__netlink_dump(&kernel->request, RTM_GETADDR, AF_UNSPEC, address_seen, kernel);
	if (r == 0)
		r = kernel__netlink_dump(&kernel->request, RTM_GETROUTE, AF_INET, route_seen,
		                         kernel);
	if (r == 0)
		r = kernel__netlink_dump(&kernel->request, RTM_GETROUTE, AF_INET6, route_seen,
		                         kernel);
	if (r == 0)
		r = kernel__netlink_dump(&kernel->request, RTM_GETNEIGH, AF_UNSPEC, neighbour_seen,
		                         kernel);
	if (r == 0)
		stale_drop(kernel);
	return r;
}

static void dump_later(struct kernel *kernel, int delay_ms)
{
	struct timeval delay = {.tv_usec = delay_ms * 1000};

	if (!evtimer_pending(kernel->dump_timer, NULL) && evtimer_add(kernel->dump_timer, &delay))
		log_err("kernel", "timer cannot be set: routes are not followed");
}

static void dump_due(evutil_socket_t fd, short what, void *arg)
{
	struct kernel *kernel = arg;
	int r = dump(kernel);

	(void)fd;
	(void)what;
	if (r == 0)
		return;
	/* EINTR: the tables changed while they were read. */
	if (r != -EINTR)
		log_warn("kernel", "addresses and routes not read, trying again err=%s",
		         strerror(-r));
	dump_later(kernel, DUMP_RETRY_MS);
}

/* ---- changes ------------------------------------------------------------------------------------ */

static int change_seen(const struct nlmsghdr *message, void *arg)
{
	struct kernel *kernel = arg;

	if (message->nlmsg_type == RTM_NEWNEIGH || message->nlmsg_type == RTM_DELNEIGH)
		return neighbour_seen(message, kernel);
	dump_later(kernel, DUMP_DELAY_MS);
	return MNL_CB_OK;
}

static void changes_in(evutil_socket_t fd, short what, void *arg)
{
	struct kernel *kernel = arg;
	_Alignas(struct nlmsghdr) char buffer[KERNEL_NETLINK_LEN];
	ssize_t len;

	(void)fd;
	(void)what;
	while ((len = mnl_socket_recvfrom(kernel->changes.socket, buffer, sizeof(buffer))) > 0)
		if (mnl_cb_run(buffer, (size_t)len, 0, 0, change_seen, kernel) < 0)
			dump_later(kernel, DUMP_DELAY_MS);
	if (errno == ENOBUFS)
		dump_later(kernel, DUMP_DELAY_MS);
	else if (errno != EAGAIN && errno != EINTR)
		log_warn("kernel", "rtnetlink err=%s", strerror(errno));
}

static int changes_open(struct kernel *kernel)
{
	static const int groups[] = {RTNLGRP_LINK,       RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
	                             RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,  RTNLGRP_NEIGH};
	int size = RECEIVE_BUFFER;
	int fd, r;

	r = kernel__netlink_open(&kernel->changes);
	if (r != 0)
		return r;
	fd = mnl_socket_get_fd(kernel->changes.socket);
	/* As much as the system allows; less only means an earlier dump. */
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	for (size_t i = 0; i < BASE_ARRAY_LEN(groups); i++)
		if (mnl_socket_setsockopt(kernel->changes.socket, NETLINK_ADD_MEMBERSHIP,
		                          (void *)(uintptr_t)&groups[i], sizeof(groups[i]))
		    != 0)
			return -errno;
	return evutil_make_socket_nonblocking(fd) == 0 ? 0 : -errno;
}

static int events_add(struct kernel *kernel, struct event_base *base)
{
	kernel->changes_event = event_new(base, mnl_socket_get_fd(kernel->changes.socket),
	                                  EV_READ | EV_PERSIST, changes_in, kernel);
	kernel->dump_timer = evtimer_new(base, dump_due, kernel);
	if (kernel->changes_event == NULL || kernel->dump_timer == NULL
	    || event_add(kernel->changes_event, NULL) != 0)
		return -ENOMEM;
	return 0;
}

/* All of it before program synchronises for the first time: what is missing then, workers drop. */
static int dump_first(struct kernel *kernel)
{
	int r = -EINTR;

	for (uint32_t i = 0; i < DUMP_FIRST_TRIES && r == -EINTR; i++)
		r = dump(kernel);
	return r;
}

int kernel_mirror_create(struct event_base *base, const struct config *config,
                         struct program *program, struct kernel **out)
{
	struct kernel *kernel = calloc(1, sizeof(*kernel));
	int r;

	if (kernel == NULL)
		return -ENOMEM;
	kernel->program = program;
	for (uint32_t i = 0; i < config->n_ports; i++)
		memcpy(kernel->name[i], config->ports[i].tap, sizeof(kernel->name[i]));
	memcpy(kernel->name[PORT_TUNNEL], config->tunnel_device, sizeof(kernel->name[0]));
	/* First listen, then read: what changes between is seen twice rather than never. */
	r = changes_open(kernel);
	if (r == 0)
		r = kernel__netlink_open(&kernel->request);
	if (r == 0)
		r = events_add(kernel, base);
	if (r == 0)
		r = kernel__wanted_init(kernel, base);
	if (r == 0)
		r = dump_first(kernel);
	if (r != 0) {
		log_err("kernel", "addresses and routes cannot be read err=%s", strerror(-r));
		kernel_mirror_destroy(kernel);
		return r;
	}
	*out = kernel;
	return 0;
}

void kernel_mirror_destroy(struct kernel *kernel)
{
	if (kernel == NULL)
		return;
	kernel__wanted_fini(kernel);
	if (kernel->changes_event != NULL)
		event_free(kernel->changes_event);
	if (kernel->dump_timer != NULL)
		event_free(kernel->dump_timer);
	kernel__netlink_close(&kernel->changes);
	kernel__netlink_close(&kernel->request);
	tdestroy(kernel->entries, free);
	free(kernel);
}

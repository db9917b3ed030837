/* Next hops that workers miss: the kernel resolves them when it has something to send there, so it
 * is given an empty datagram to the discard port. */
#include "base_bytes.h"
#include "base_log.h"
#include "base_time.h"
#include "kernel.h"
#include "kernel_mirror.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DISCARD_PORT 9
#define REPEAT_NS    BASE_NS_PER_S
/* The workers send by what they were told, without the kernel's knowing; it finds out that a MAC has
 * changed only when it is made to look. */
#define PROBE_S      30

static struct sockaddr_in6 address_v6(const struct base_ip *ip, uint32_t index)
{
	struct sockaddr_in6 address = {
		.sin6_family = AF_INET6,
		.sin6_port = htons(DISCARD_PORT),
		.sin6_scope_id = index,
	};

	memcpy(&address.sin6_addr, ip->bytes, 16);
	return address;
}

static struct sockaddr_in address_v4(const struct base_ip *ip)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(DISCARD_PORT)};

	memcpy(&address.sin_addr, ip->bytes, 4);
	return address;
}

/* Out of this device and no other. A failure is told by the neighbour's staying unknown. */
static void nudge(const struct kernel *kernel, const struct base_ip *ip, uint32_t index)
{
	uint32_t index_be = htonl(index);
	struct sockaddr_in6 v6 = address_v6(ip, index);
	struct sockaddr_in v4 = address_v4(ip);
	ssize_t r;

	if (ip->family == BASE_IP_V4) {
		(void)setsockopt(kernel->socket_v4, IPPROTO_IP, IP_UNICAST_IF, &index_be,
		                 sizeof(index_be));
		r = sendto(kernel->socket_v4, "", 0, MSG_DONTWAIT, (struct sockaddr *)&v4,
		           sizeof(v4));
	} else {
		(void)setsockopt(kernel->socket_v6, IPPROTO_IPV6, IPV6_UNICAST_IF, &index_be,
		                 sizeof(index_be));
		r = sendto(kernel->socket_v6, "", 0, MSG_DONTWAIT, (struct sockaddr *)&v6,
		           sizeof(v6));
	}
	if (r < 0) {
		char text[BASE_IP_STRLEN];

		log_debug("kernel", "next hop cannot be asked for ip=%s err=%s",
		          base_ip_format(ip, text), strerror(errno));
	}
}

static void ask(struct kernel *kernel, struct kernel_wanted *wanted, uint64_t now_ns)
{
	wanted->asked_ns = now_ns;
	if (kernel->index[wanted->port] != 0)
		nudge(kernel, &wanted->ip, kernel->index[wanted->port]);
}

/* The place of this next hop, or the one that was wanted longest ago. */
static struct kernel_wanted *place_of(struct kernel *kernel, uint32_t port,
                                      const struct base_ip *ip)
{
	struct kernel_wanted *oldest = &kernel->wanted[0];

	for (uint32_t i = 0; i < KERNEL_WANTED_MAX; i++) {
		struct kernel_wanted *wanted = &kernel->wanted[i];

		if (wanted->port == port && base_ip_equal(&wanted->ip, ip))
			return wanted;
		if (wanted->used_ns < oldest->used_ns)
			oldest = wanted;
	}
	*oldest = (struct kernel_wanted){.ip = *ip, .port = port};
	return oldest;
}

void kernel_neighbour_wanted(struct kernel *kernel, uint32_t port, const struct base_ip *ip)
{
	uint64_t now_ns = base_time_monotonic_ns();
	struct kernel_wanted *wanted;

	if (port >= ABI_PORTS_MAX || (ip->family != BASE_IP_V4 && ip->family != BASE_IP_V6))
		return;
	wanted = place_of(kernel, port, ip);
	wanted->used_ns = now_ns;
	if (wanted->asked_ns == 0 || now_ns - wanted->asked_ns >= REPEAT_NS)
		ask(kernel, wanted, now_ns);
}

void kernel__wanted_probe(struct kernel *kernel, uint64_t now_ns)
{
	for (uint32_t i = 0; i < KERNEL_WANTED_MAX; i++)
		if (kernel->wanted[i].ip.family != BASE_IP_NONE)
			ask(kernel, &kernel->wanted[i], now_ns);
}

static void probe_due(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	kernel__wanted_probe(arg, base_time_monotonic_ns());
}

int kernel__wanted_init(struct kernel *kernel, struct event_base *base)
{
	struct timeval period = {.tv_sec = PROBE_S};

	kernel->socket_v4 = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (kernel->socket_v4 < 0)
		return -errno;
	/* Absent where the kernel has no IPv6. */
	kernel->socket_v6 = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	kernel->probe_timer = event_new(base, -1, EV_PERSIST, probe_due, kernel);
	if (kernel->probe_timer == NULL || event_add(kernel->probe_timer, &period) != 0)
		return -ENOMEM;
	return 0;
}

void kernel__wanted_fini(struct kernel *kernel)
{
	if (kernel->probe_timer != NULL)
		event_free(kernel->probe_timer);
	if (kernel->socket_v4 > 0)
		close(kernel->socket_v4);
	if (kernel->socket_v6 > 0)
		close(kernel->socket_v6);
}

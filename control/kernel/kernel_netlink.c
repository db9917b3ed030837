/* One request, one answer. */
#include "kernel_netlink.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

int kernel__netlink_open(struct kernel_netlink *netlink)
{
	int r;

	netlink->seq = 1;
	netlink->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (netlink->socket == NULL)
		return -errno;
	if (mnl_socket_bind(netlink->socket, 0, MNL_SOCKET_AUTOPID) == 0)
		return 0;
	r = -errno;
	kernel__netlink_close(netlink);
	return r;
}

void kernel__netlink_close(struct kernel_netlink *netlink)
{
	if (netlink->socket != NULL)
		mnl_socket_close(netlink->socket);
	netlink->socket = NULL;
}

/* The rest of an answer that nobody reads to its end, or the next request would get it, and a dump be
 * refused as long as this one is under way. The kernel has the next part ready when one was taken. */
static void rest_drop(struct kernel_netlink *netlink)
{
	int fd = mnl_socket_get_fd(netlink->socket);
	char buffer[KERNEL_NETLINK_LEN];

	while (recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT) > 0)
		;
}

/* Everything up to the end of the answer to seq. */
static int receive_parts(struct kernel_netlink *netlink, uint32_t seq, mnl_cb_t fn, void *arg)
{
	unsigned int port = mnl_socket_get_portid(netlink->socket);
	_Alignas(struct nlmsghdr) char buffer[KERNEL_NETLINK_LEN];

	for (;;) {
		ssize_t len = mnl_socket_recvfrom(netlink->socket, buffer, sizeof(buffer));
		int r;

		if (len < 0)
			return -errno;
		r = mnl_cb_run(buffer, (size_t)len, seq, port, fn, arg);
		if (r == MNL_CB_STOP)
			return 0;
		if (r < 0)
			return -errno;
	}
}

static int receive_all(struct kernel_netlink *netlink, uint32_t seq, mnl_cb_t fn, void *arg)
{
	int r = receive_parts(netlink, seq, fn, arg);

	if (r != 0)
		rest_drop(netlink);
	return r;
}

int kernel__netlink_request(struct kernel_netlink *netlink, struct nlmsghdr *message)
{
	message->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	message->nlmsg_seq = ++netlink->seq;
	if (mnl_socket_sendto(netlink->socket, message, message->nlmsg_len) < 0)
		return -errno;
	return receive_all(netlink, message->nlmsg_seq, NULL, NULL);
}

int kernel__netlink_dump(struct kernel_netlink *netlink, uint16_t type, uint8_t family, mnl_cb_t fn,
                         void *arg)
{
	_Alignas(struct nlmsghdr) char buffer[256];
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct rtmsg *body;

	message->nlmsg_type = type;
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	message->nlmsg_seq = ++netlink->seq;
	/* The longest of the bodies that a dump may begin with; only the family is looked at. */
	body = mnl_nlmsg_put_extra_header(message, sizeof(*body));
	body->rtm_family = family;
	if (mnl_socket_sendto(netlink->socket, message, message->nlmsg_len) < 0)
		return -errno;
	return receive_all(netlink, message->nlmsg_seq, fn, arg);
}

uint8_t kernel__family(const struct base_ip *ip)
{
	if (ip->family == BASE_IP_V4)
		return AF_INET;
	return ip->family == BASE_IP_V6 ? AF_INET6 : AF_UNSPEC;
}

struct base_ip kernel__attribute_ip(uint8_t family, const struct nlattr *attribute)
{
	uint16_t len = mnl_attr_get_payload_len(attribute);

	if (family == AF_INET && len == 4)
		return base_ip_make(BASE_IP_V4, mnl_attr_get_payload(attribute));
	if (family == AF_INET6 && len == 16)
		return base_ip_make(BASE_IP_V6, mnl_attr_get_payload(attribute));
	return (struct base_ip){0};
}

/* rtnetlink requests with an acknowledgement, by libmnl: what kernel_device.c changes and
 * kernel_mirror.c reads. */
#ifndef KERNEL_NETLINK_H
#define KERNEL_NETLINK_H

#include "base_ip.h"

#include <libmnl/libmnl.h>
#include <stdint.h>

struct kernel_netlink {
	struct mnl_socket *socket;
	uint32_t seq;
};

#define KERNEL_NETLINK_LEN 32768U /* bytes: libmnl's advice for a receive buffer is 8192 or more */

int kernel__netlink_open(struct kernel_netlink *netlink) __attribute__((warn_unused_result));
void kernel__netlink_close(struct kernel_netlink *netlink);

/* Send a request built in a buffer with room and wait for its acknowledgement. Returns 0 or the
 * kernel's -errno. */
int kernel__netlink_request(struct kernel_netlink *netlink, struct nlmsghdr *message)
	__attribute__((warn_unused_result));
/* Dump: every part goes to fn. Returns 0 or -errno (-EINTR: the tables changed meanwhile). */
int kernel__netlink_dump(struct kernel_netlink *netlink, uint16_t type, uint8_t family, mnl_cb_t fn,
                         void *arg) __attribute__((warn_unused_result));

/* AF_INET, AF_INET6 or AF_UNSPEC. */
uint8_t kernel__family(const struct base_ip *ip);
/* The address in an attribute of this kernel family; family NONE when its length does not fit. */
struct base_ip kernel__attribute_ip(uint8_t family, const struct nlattr *attribute);

#endif

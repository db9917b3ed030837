/* The kernel's side of control: making the TUN and the TAPs while we may, keeping the kernel from
 * answering on a port that is ours, giving up privileges, and mirroring addresses, routes and
 * neighbours of the TAPs to program by rtnetlink. */
#ifndef KERNEL_H
#define KERNEL_H

#include "abi_rendezvous.h"
#include "config.h"

#include <stdint.h>

struct event_base;
struct kernel;
struct program;

/* Make weir0 and one TAP a port (IFF_VNET_HDR, offloads on, non-persistent), set MAC, MTU,
 * addresses, default gateways, up; put the nftables guard (netdev ingress drop) on af_packet
 * interfaces, bring them up with IPv6 off. Everything is undone on error, with one clear line in
 * error. fds gets tun and taps; close them with abi_fds_close().
 * Needs CAP_NET_ADMIN. Returns 0 or -errno. */
int kernel_devices_create(const struct config *config, struct abi_fds *fds, char *error,
                          size_t error_len) __attribute__((warn_unused_result));
/* Remove the guard; the devices go with their last descriptor. Best effort, also unprivileged. */
void kernel_devices_destroy(const struct config *config);

/* Become user (and its group), no capability, no new privileges, not dumpable. Returns 0 or
 * -errno with a line in error. */
int kernel_drop_privileges(const char *user, char *error, size_t error_len)
	__attribute__((warn_unused_result));

/* Mirror: dump, then follow changes; what is gone from the kernel is dropped from program. */
int kernel_mirror_create(struct event_base *base, const struct config *config,
                         struct program *program, struct kernel **out)
	__attribute__((warn_unused_result));
void kernel_mirror_destroy(struct kernel *kernel);

/* Ask the kernel to resolve a next hop: an empty datagram to the discard port makes it send ARP or
 * ND; needs no privilege. Repeated at most once a second for one address; used next hops are
 * probed every 30 s, so that a changed MAC is noticed. */
void kernel_neighbour_wanted(struct kernel *kernel, uint32_t port, const struct base_ip *ip);

#endif

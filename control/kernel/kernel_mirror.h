/* Between kernel_mirror.c and kernel_wanted.c. */
#ifndef KERNEL_MIRROR_H
#define KERNEL_MIRROR_H

#include "abi_layout.h"
#include "kernel_netlink.h"

#include <stdint.h>

struct event;
struct event_base;
struct program;

#define KERNEL_WANTED_MAX 256U /* next hops kept in mind */

/* A next hop that workers asked for. */
struct kernel_wanted {
	struct base_ip ip; /* family NONE = unused */
	uint32_t port;
	uint64_t asked_ns; /* the kernel was asked last */
	uint64_t used_ns;  /* a worker asked last */
};

struct kernel {
	struct program *program;
	struct kernel_netlink changes; /* multicast groups, non-blocking */
	struct kernel_netlink request; /* dumps */
	struct event *changes_event;
	struct event *dump_timer;
	char name[ABI_PORTS_MAX + 1][16]; /* TAP of each port, "" = none; then the TUN */
	uint32_t index[ABI_PORTS_MAX + 1];
	void *entries; /* tsearch tree of what program was told */
	uint32_t generation;
	/* kernel_wanted.c */
	int socket_v4; /* empty datagrams; -1 = family not there */
	int socket_v6;
	struct event *probe_timer;
	struct kernel_wanted wanted[KERNEL_WANTED_MAX];
};

int kernel__wanted_init(struct kernel *kernel, struct event_base *base)
	__attribute__((warn_unused_result));
void kernel__wanted_fini(struct kernel *kernel);
/* Ask the kernel again for every next hop in mind. */
void kernel__wanted_probe(struct kernel *kernel, uint64_t now_ns);

#endif

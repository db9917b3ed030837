/* How the two processes find each other: control listens on a UNIX SEQPACKET socket, the dataplane
 * connects, and one message each way agrees on one region. Whoever is alive keeps it:
 *
 *   dataplane -> control   struct abi_hello, with its region and descriptors if it has them
 *   control -> dataplane   struct abi_hello, with the region to use and all descriptors
 *
 * Both check the other's credentials (SO_PEERCRED: root, our own user, or the user named) and
 * version. The connection then stays open and carries nothing: its end tells the survivor. */
#ifndef ABI_RENDEZVOUS_H
#define ABI_RENDEZVOUS_H

#include "abi_layout.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define ABI_TUN_QUEUES_MAX 4U

/* Descriptors that travel with a region, all owned by the holder; -1 = absent. */
struct abi_fds {
	int region;       /* memfd */
	int control_wake; /* eventfd: kicked by workers when control sleeps on an event ring */
	int tun;          /* weir0, IFF_VNET_HDR */
	int taps[ABI_PORTS_MAX]; /* one a port that has one */
};

/* One message. The descriptors present come in the order of struct abi_fds; bit i of fd_mask says
 * that number i of that order is there. */
struct abi_hello {
	uint64_t magic;
	uint32_t version;
	uint32_t pid;
	uint64_t epoch; /* of the region sent, 0 = none sent */
	uint32_t fd_mask;
	uint32_t refused; /* control: 1 = versions or set-up do not fit, see reason; restart */
	char reason[96];
};
ABI_ASSERT_SIZE(struct abi_hello, 128);

void abi_fds_init(struct abi_fds *fds); /* all -1 */
void abi_fds_close(struct abi_fds *fds);

/* Control: make the socket (0600, owned by uid/gid unless -1). A socket file that nobody listens on is replaced; one
 * that somebody does gives -EADDRINUSE. Returns the listening descriptor or -errno. */
int abi_rendezvous_listen(const char *path, uid_t uid, gid_t gid)
	__attribute__((warn_unused_result));

/* Dataplane: connect. Returns the connection, -ENOENT or -ECONNREFUSED (control not there: try
 * again later), -EPERM (the listener runs as somebody else), -errno. */
int abi_rendezvous_connect(const char *path) __attribute__((warn_unused_result));

/* Check that the other end of a connection is root, this process's user or user uid.
 * Returns 0 or -EPERM. */
int abi_rendezvous_check_peer(int connection, uid_t uid) __attribute__((warn_unused_result));

/* Send one hello with the descriptors of fds (borrowed; may be NULL). Returns 0 or -errno. */
int abi_rendezvous_send(int connection, struct abi_hello *hello, const struct abi_fds *fds)
	__attribute__((warn_unused_result));

/* Receive one hello, waiting up to timeout_ms. Descriptors are close-on-exec and owned by the
 * caller. why[why_len] gets a sentence on -EPROTO (magic, version: both are named, truncated,
 * wrong number of descriptors). Returns 0, -ETIMEDOUT, -ECONNRESET, -EPROTO, -errno. */
int abi_rendezvous_receive(int connection, struct abi_hello *hello, struct abi_fds *fds,
                           int timeout_ms, char *why, size_t why_len)
	__attribute__((warn_unused_result));

#endif

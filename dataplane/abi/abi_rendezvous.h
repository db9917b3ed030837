/* How the two processes find each other: control listens on a UNIX SEQPACKET socket, the dataplane
 * connects (again and again, every 100 ms, while it has no connection), and one message each way
 * agrees on one region. Whoever is alive keeps it:
 *
 *   dataplane -> control   epoch 0 and no descriptors, when it was just started;
 *                          its region's epoch and all its descriptors, when it outlived control
 *   control -> dataplane   the region to use and all descriptors;
 *                          or the epoch that was offered and no descriptors: go on with yours;
 *                          or refused = 1 and a reason: exit, the supervisor starts another
 *
 * Both check the other's credentials (SO_PEERCRED: root, our own user, or the user named) and
 * version. The connection then stays open: its end tells the survivor, and meanwhile it carries blobs
 * (abi_blob.h). */
#ifndef ABI_RENDEZVOUS_H
#define ABI_RENDEZVOUS_H

#include "abi_layout.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define ABI_FDS_MAX (3U + ABI_PORTS_MAX + ABI_WORKERS_MAX)

/* Descriptors that travel with a region, all owned by the holder; -1 = absent. */
struct abi_fds {
	int region;       /* memfd */
	int control_wake; /* eventfd: kicked by workers when control sleeps on an event ring */
	int tun;          /* weir0, IFF_VNET_HDR */
	int taps[ABI_PORTS_MAX]; /* one a port that has one */
	/* eventfds, one a worker: kicked by whoever has work for a worker that sleeps */
	int worker_wake[ABI_WORKERS_MAX];
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

void abi_fds_init(struct abi_fds *fds);  /* all -1 */
void abi_fds_close(struct abi_fds *fds); /* those that are there; all -1 afterwards */

/* Control: make the socket (0600, owned by uid/gid unless -1), non-blocking. A socket file that
 * nobody listens on is replaced; one that somebody does gives -EADDRINUSE. Two processes that try
 * at the same time are kept apart by a lock on the directory.
 * Returns the listening descriptor or -errno. */
int abi_rendezvous_listen(const char *path, uid_t uid, gid_t gid)
	__attribute__((warn_unused_result));

/* Dataplane: connect. uid: user as whom control may listen, besides root and our own; (uid_t)-1 =
 * nobody else. Returns the connection, -ENOENT or -ECONNREFUSED (control not there: try again
 * later), -EPERM (the listener runs as somebody else), -errno. */
int abi_rendezvous_connect(const char *path, uid_t uid) __attribute__((warn_unused_result));

/* Check that the other end of a connection is root, this process's user or user uid ((uid_t)-1 =
 * nobody else). Returns 0 or -EPERM. */
int abi_rendezvous_check_peer(int connection, uid_t uid) __attribute__((warn_unused_result));

/* Send one hello with the descriptors of fds (borrowed; may be NULL). Fills in magic, version, pid
 * and fd_mask; the caller has set epoch, refused and reason, the rest zero. Does not wait.
 * Returns 0 or -errno. */
int abi_rendezvous_send(int connection, struct abi_hello *hello, const struct abi_fds *fds)
	__attribute__((warn_unused_result));

/* Receive one hello, waiting up to timeout_ms. Descriptors are close-on-exec and owned by the
 * caller; on error there are none. why[why_len] gets a sentence on -EPROTO (magic, version: both
 * are named, truncated, wrong number of descriptors); reason ends in a zero.
 * Returns 0, -ETIMEDOUT, -ECONNRESET, -EPROTO, -errno. */
int abi_rendezvous_receive(int connection, struct abi_hello *hello, struct abi_fds *fds,
                           int timeout_ms, char *why, size_t why_len)
	__attribute__((warn_unused_result));

#endif

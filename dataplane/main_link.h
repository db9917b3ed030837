/* weir-dataplane's side of the rendezvous (abi_rendezvous.h): the first meeting with control, and
 * every one after control went and came back; and the tables that come over it meanwhile. Never blocks
 * once there is a region: the tunnels do not wait for control. */
#ifndef MAIN_LINK_H
#define MAIN_LINK_H

#include "abi_region.h"
#include "abi_rendezvous.h"
#include "blob.h"

#include <stdint.h>
#include <sys/types.h>

#define MAIN_LINK_PERIOD_MS 100 /* between attempts to connect */

enum main_link_state {
	MAIN_LINK_NONE = 0,  /* no connection */
	MAIN_LINK_ASKED = 1, /* hello sent, answer awaited */
	MAIN_LINK_UP = 2,
};

struct main_link {
	const char *path; /* borrowed */
	uid_t uid;        /* as whom control may run, besides root and our own; (uid_t)-1 = none */
	int connection;   /* owned; -1 = none */
	enum main_link_state state;
	uint64_t asked_ns;
	uint64_t logged_ns; /* when the last line about waiting was written; 0 = none yet */
};

void main_link_init(struct main_link *link, const char *path, uid_t uid);
void main_link_fini(struct main_link *link);

/* Wait for control, as long as it takes, and get region and descriptors from it.
 * signal_fd  ends the wait when it becomes readable
 * region     mapped on success; fds: the others, owned by the caller; fds->region is -1
 * Returns 0, -EINTR (signal_fd), -EACCES (control or we refused; the reason was logged), -errno. */
int main_link_meet(struct main_link *link, int signal_fd, struct abi_region *region,
                   struct abi_fds *fds) __attribute__((warn_unused_result));

/* Go on with the link: connect when there is none, read the answer, take blobs in and answer for them,
 * notice the end. To be called every MAIN_LINK_PERIOD_MS, when link->connection is readable, and soon
 * while blob_store_waits().
 * Returns 0, or -EACCES when control refused our region: exit, and be started with another. */
int main_link_turn(struct main_link *link, const struct abi_region *region,
                   const struct abi_fds *fds, struct blob_store *blobs, uint64_t now_ns)
	__attribute__((warn_unused_result));

#endif

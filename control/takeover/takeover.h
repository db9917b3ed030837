/* One control takes over from another that still runs (`weir upgrade`): what the two say to each other, over a
 * UNIX seqpacket socket in the run directory that only root and control's own user can reach.
 *
 *   new -> old   ASK: versions and set-up
 *   old -> new   REFUSED and a sentence, which names both versions; nothing has changed
 *                or, once the old one has brought to an end what it was doing and let go of the store and
 *                the dataplane: SERVE, CLIENTS, EDGE, UAPI with descriptors, then GIVEN
 *   new -> old   READY: accept no more, serve what you have begun, and go
 *
 * The connection's end tells each that the other has died: before GIVEN the old one goes on as if nobody
 * had asked; after it, it ends and its supervisor starts another. The dataplane and its region are not
 * spoken of: it offers them to whoever listens next (abi_rendezvous.h).
 *
 * Thread: control's main loop. */
#ifndef TAKEOVER_H
#define TAKEOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct takeover;

#define TAKEOVER_EDGE_MAX    1024 /* listeners */
#define TAKEOVER_CLIENTS_MAX 64   /* connections to the control socket */

/* What must be the same in both. */
struct takeover_versions {
	uint32_t abi;
	uint32_t store;  /* schema */
	uint64_t set_up; /* digest of what the dataplane was started with */
};

enum takeover_kind {
	TAKEOVER_ASK = 0,
	TAKEOVER_REFUSED = 1,
	TAKEOVER_SERVE = 2,
	TAKEOVER_CLIENTS = 3,
	TAKEOVER_EDGE = 4,
	TAKEOVER_UAPI = 5,
	TAKEOVER_GIVEN = 6,
	TAKEOVER_READY = 7,
	TAKEOVER_N_KINDS = 8,
};

/* ---- the old one --------------------------------------------------------------------------------- */

struct takeover_events {
	/* Somebody whose versions fit asks. Answer with takeover_refuse(), or in your own time with
	 * takeover_give() and takeover_given(). */
	void (*asked)(void *arg);
	void (*gone)(void *arg); /* who asked has died, or said nonsense */
	void (*ready)(void *arg);
	void *arg;
};

/* Listen at path. Returns 0, -EADDRINUSE or -errno. */
int takeover_create(struct event_base *base, const char *path,
                    const struct takeover_versions *versions, const struct takeover_events *events,
                    struct takeover **out) __attribute__((warn_unused_result));
/* Listen no longer, so that the next one can; who asked stays connected. */
void takeover_close(struct takeover *takeover);
void takeover_destroy(struct takeover *takeover); /* NULL is fine */

void takeover_refuse(struct takeover *takeover, const char *why);
/* fds are borrowed. Return 0 or -errno. */
int takeover_give(struct takeover *takeover, enum takeover_kind kind, const int *fds, size_t n)
	__attribute__((warn_unused_result));
int takeover_given(struct takeover *takeover) __attribute__((warn_unused_result));

/* ---- the new one --------------------------------------------------------------------------------- */

/* What was given; descriptors are owned, -1 = none. */
struct takeover_gift {
	int connection;
	int serve;
	int uapi;
	int clients[TAKEOVER_CLIENTS_MAX];
	size_t n_clients;
	int edge[TAKEOVER_EDGE_MAX];
	size_t n_edge;
};

void takeover_gift_init(struct takeover_gift *gift);
void takeover_gift_fini(struct takeover_gift *gift); /* closes what is left */

/* Ask who listens at path, and wait for its gift. Returns 0, -EACCES (refused, error says why), -errno, with one
 * line in error. */
int takeover_ask(const char *path, const struct takeover_versions *versions,
                 struct takeover_gift *gift, char *error, size_t error_len)
	__attribute__((warn_unused_result));
/* Ready to serve: let the old one go. */
int takeover_ready(struct takeover_gift *gift) __attribute__((warn_unused_result));

#endif

/* The gate of a UNIX socket: makes it, lets clients in, says who they are, and bounds how many there are. */
#ifndef SERVE_GATE_H
#define SERVE_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bufferevent;
struct event_base;
struct serve_gate;
struct ucred;

/* Make the socket, 0600, while it may still be made (before privileges are dropped). A socket file
 * that nobody listens on is replaced. Returns the listening descriptor, -EADDRINUSE (another
 * control listens there), -errno, with one line in error. */
int serve_listen(const char *path, char *error, size_t error_len)
	__attribute__((warn_unused_result));
/* Remove the socket file that an ended control has left. Returns 0, also when there is none, -EADDRINUSE (somebody
 * listens there), -EEXIST (it is no socket) or -errno. */
int serve_unlisten(const char *path) __attribute__((warn_unused_result));

/* A client, with its connection, which nothing is set up of; is_allowed: root, or with admits_user control's
 * own user. Returns 0: bev is the callee's, which calls serve_gate_left() when it has freed it; or -errno: it is
 * freed by the gate. */
typedef int serve_gate_client_fn(void *arg, struct bufferevent *bev, const struct ucred *client,
                                 bool is_allowed);

struct serve_gate_setup {
	const char *module; /* in the log; literal */
	uint32_t clients_max;
	bool admits_user;
	serve_gate_client_fn *client;
};

/* fd: of serve_listen(), taken over on success. arg: the client callback's. Returns 0 or -ENOMEM. */
int serve_gate_create(struct event_base *base, int fd, const struct serve_gate_setup *setup,
                      void *arg, struct serve_gate **out) __attribute__((warn_unused_result));
void serve_gate_destroy(struct serve_gate *gate); /* lets nobody in any more; NULL is fine */

/* Let in a connection that somebody else has accepted: fd is taken over, also when it is refused behind the
 * first check. Returns 0, or -EAGAIN (too many), -ENOMEM, and then fd is the caller's. */
int serve_gate_admit(struct serve_gate *gate, int fd) __attribute__((warn_unused_result));
/* One that was let in has gone. */
void serve_gate_left(struct serve_gate *gate);
void serve_gate_pause(struct serve_gate *gate, bool pause); /* those that come wait */
int serve_gate_listener(const struct serve_gate *gate);     /* borrowed */

#endif

/* The control socket: a UNIX stream socket that takes one JSON object a line,
 *   {"id": ..., "method": "peer.add", "params": {...}}
 * and answers each with one line, {"id": ..., "result": ...} or {"id": ..., "error": {...}}. Only
 * root and control's own user may speak; a client that sends garbage or too much is told so and
 * closed, one that does not read is closed when too much waits for it.
 *
 * Thread: control's main loop. */
#ifndef SERVE_H
#define SERVE_H

#include <stddef.h>

struct event_base;
struct model;
struct serve;

/* Make the socket, 0600, while it may still be made (before privileges are dropped). A socket file
 * that nobody listens on is replaced. Returns the listening descriptor, -EADDRINUSE (another
 * control listens there), -errno, with one line in error. */
int serve_listen(const char *path, char *error, size_t error_len)
	__attribute__((warn_unused_result));

/* Serve on it; fd is taken over on success. Returns 0 or -ENOMEM. */
int serve_create(struct event_base *base, int fd, struct model *model, struct serve **out)
	__attribute__((warn_unused_result));
void serve_destroy(struct serve *serve); /* closes all connections; NULL is fine */

#endif

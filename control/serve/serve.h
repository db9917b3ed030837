/* The control socket: a UNIX stream socket that takes one JSON object a line,
 *   {"id": ..., "method": "peer.add", "params": {...}}
 * and answers each with one line, {"id": ..., "result": ...} or {"id": ..., "error": {...}}. Only
 * root and control's own user may speak; a client that sends garbage or too much is told so and
 * closed, one that does not read is closed when too much waits for it. Answers of a client come in the order
 * of its requests: while a long one is read, or takes its time (model_call_later()), its others wait, and
 * everybody else's are answered.
 *
 * Thread: control's main loop. */
#ifndef SERVE_H
#define SERVE_H

#include "serve_gate.h"

#include <stdbool.h>
#include <stddef.h>

struct event_base;
struct model;
struct serve;

/* Serve on it; fd is taken over on success. Returns 0 or -ENOMEM. */
int serve_create(struct event_base *base, int fd, struct model *model, struct serve **out)
	__attribute__((warn_unused_result));
void serve_destroy(struct serve *serve); /* closes all connections; NULL is fine */

/* To hand the socket over to another process: accept nobody, and of the connections there are, read only
 * requests that have begun. When it is quiet, nothing of any client is in this process, and listener and
 * connections (borrowed, fds[max]; those that are not quiet are left out) can be used by the other. */
void serve_pause(struct serve *serve, bool pause);
bool serve_is_quiet(const struct serve *serve);
int serve_listener(const struct serve *serve);
size_t serve_clients(const struct serve *serve, int *fds, size_t max);
/* The other process's side: go on with a connection. fd is taken over on success. Returns 0 or -ENOMEM. */
int serve_client_add(struct serve *serve, int fd);

#endif

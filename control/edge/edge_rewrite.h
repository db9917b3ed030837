/* What a head becomes on the other side: hop-by-hop fields go, forwarding fields are ours, the
 * framing is written anew. Everything else passes unchanged and in order. */
#ifndef EDGE_REWRITE_H
#define EDGE_REWRITE_H

#include "edge_head.h"

struct evbuffer;

/* Write the request as the backend gets it: one request a connection, X-Forwarded-For, -Proto,
 * -Host and X-Real-IP by us whatever the client sent.
 * client_ip   the connection's peer as text
 * Returns 0 or -ENOMEM. */
int edge_rewrite_request(const struct edge_head *head, const char *client_ip, struct evbuffer *out)
	__attribute__((warn_unused_result));

/* Write the response as the client gets it. framing is how its body goes out (see
 * edge_rewrite_framing()), close adds "Connection: close". For 101 pass framing NONE; Connection
 * and Upgrade stay. Returns 0 or -ENOMEM. */
int edge_rewrite_response(const struct edge_head *head, enum edge_framing framing, bool close,
                          struct evbuffer *out) __attribute__((warn_unused_result));

/* The framing towards a client of HTTP/1.minor for a response: a body of unknown length is chunked
 * for 1.1 and ends with the connection for 1.0. */
enum edge_framing edge_rewrite_framing(const struct edge_head *response, uint8_t client_minor);

#endif

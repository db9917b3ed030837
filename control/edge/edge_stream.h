/* One TCP connection, plain or TLS, as two bounded buffers.
 *
 * Not a bufferevent, for two reasons. libevent's TLS bufferevent stops writing too when the peer
 * ends its direction, but after an upgrade either side may close its half first. And its reader
 * takes memory in blocks of what it hopes to read, so a peer that sends single bytes to a reader
 * that does not drain would make us hold thousands of nearly empty blocks.
 *
 * The owner is told by one callback after anything happened, moves bytes between buffers, and
 * then calls edge_stream_arm(), which works out what to wait for. */
#ifndef EDGE_STREAM_H
#define EDGE_STREAM_H

#include <openssl/types.h>

#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>

struct evbuffer;
struct event_base;

/* Called last, so the callee may close the stream and free what holds it. */
typedef void edge_stream_fn(void *arg);

struct edge_stream {
	struct evbuffer *in;  /* received; at most EDGE_STREAM_BUFFER, then reading pauses */
	struct evbuffer *out; /* to be sent; the owner keeps it near EDGE_STREAM_BUFFER */
	bool is_open;
	bool is_ready;      /* connected, and the TLS handshake is done */
	bool is_ended;      /* the peer closed its half in order: all it sent is in `in` */
	bool is_shut;       /* our half is closed and everything was sent */
	bool is_out_failed; /* the peer takes no more; what it sent can still be read */
	int error;          /* errno; nothing works any more */

	/* edge_stream.c only */
	int fd;
	SSL *ssl;
	bool want_shut;
	bool is_blocked;       /* the kernel's buffer was full: wait until it is writable */
	bool read_wants_write; /* TLS must send before it can receive */
	bool is_reading;       /* event is added */
	bool is_writing;
	struct event readable;
	struct event writable;
	edge_stream_fn *progress;
	void *arg;
};

#define EDGE_STREAM_BUFFER 65536 /* bytes each way */

/* Take over a connected or connecting socket and, for TLS, an SSL in accept state; both are closed
 * or freed with the stream, and on failure too. Returns 0 or -ENOMEM. */
int edge_stream_open(struct edge_stream *stream, struct event_base *base, int fd, SSL *ssl,
                     edge_stream_fn *progress, void *arg) __attribute__((warn_unused_result));
/* Close at once, whatever is still in the buffers. Fine on a stream that is not open. */
void edge_stream_close(struct edge_stream *stream);

/* Close our half once everything in out is sent. */
void edge_stream_shut(struct edge_stream *stream);

/* Send what the kernel takes now, for a stream that is about to be closed. */
void edge_stream_flush(struct edge_stream *stream);

/* Wait for what the stream needs next. Call after the buffers were changed. */
void edge_stream_arm(struct edge_stream *stream);

#endif

/* Bodies on their way from one evbuffer to the other. */
#include "edge_body.h"

#include <errno.h>
#include <event2/buffer.h>
#include <string.h>

#define COPY_BELOW   4096
#define OVERHEAD_MAX 16384 /* bytes of extensions and trailers beyond the bytes of the body */

int edge_buffer_move(struct evbuffer *source, struct evbuffer *sink, size_t len)
{
	unsigned char *data;

	if (len == 0)
		return 0;
	if (len >= COPY_BELOW)
		return evbuffer_remove_buffer(source, sink, len) == (int)len ? 0 : -ENOMEM;
	data = evbuffer_pullup(source, (ev_ssize_t)len);
	if (data == NULL || evbuffer_add(sink, data, len) != 0)
		return -ENOMEM;
	return evbuffer_drain(source, len) == 0 ? 0 : -ENOMEM;
}

static int on_data(llhttp_t *parser, const char *at, size_t len)
{
	struct edge_body *body = parser->data;

	body->decoded += len;
	return evbuffer_add(body->piece, at, len) == 0 ? 0 : HPE_USER;
}

/* Extensions and trailers mean nothing to us, but without a limit a client could send them for
 * ever without the body getting on. */
static int on_overhead(llhttp_t *parser, const char *at, size_t len)
{
	struct edge_body *body = parser->data;

	(void)at;
	body->overhead += len;
	return body->overhead <= OVERHEAD_MAX + body->decoded ? 0 : HPE_USER;
}

static int on_end(llhttp_t *parser)
{
	struct edge_body *body = parser->data;

	body->done = true;
	return HPE_PAUSED;
}

static const llhttp_settings_t body_settings = {
	.on_header_field = on_overhead,
	.on_header_value = on_overhead,
	.on_chunk_extension_name = on_overhead,
	.on_chunk_extension_value = on_overhead,
	.on_body = on_data,
	.on_message_complete = on_end,
};

/* A parser that stands behind the head of a chunked message. The head is made up, so that a body
 * does not depend on how its own head was read; requests and responses do not differ here. */
static int chunk_parser_init(struct edge_body *body)
{
	static const char head[] = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";

	body->piece = evbuffer_new();
	if (body->piece == NULL)
		return -ENOMEM;
	llhttp_init(&body->parser, HTTP_REQUEST, &body_settings);
	body->parser.data = body;
	if (llhttp_execute(&body->parser, head, sizeof(head) - 1) != HPE_OK)
		return -ENOMEM;
	body->overhead = 0; /* the made-up head counted */
	return 0;
}

int edge_body_init(struct edge_body *body, enum edge_framing from, uint64_t length,
                   enum edge_framing to)
{
	int err = 0;

	memset(body, 0, sizeof(*body));
	body->from = from;
	body->to = to;
	body->left = length;
	body->done = from == EDGE_FRAMING_NONE;
	if (from == EDGE_FRAMING_CHUNKED)
		err = chunk_parser_init(body);
	if (err != 0)
		edge_body_fini(body);
	return err;
}

void edge_body_fini(struct edge_body *body)
{
	if (body->piece != NULL)
		evbuffer_free(body->piece);
	body->piece = NULL;
}

/* Bytes that the sink may take. Not a sliver: a slow reader's buffer would be topped up by a few
 * bytes again and again, each a chunk of its own. */
static size_t room(struct evbuffer *sink, size_t limit)
{
	size_t used = evbuffer_get_length(sink);

	if (used >= limit || (used > 0 && limit - used < limit / 16))
		return 0;
	return limit - used;
}

static size_t at_most(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Write len bytes of data with the sink's framing. */
static int sink_put(struct edge_body *body, struct evbuffer *data, size_t len,
                    struct evbuffer *sink)
{
	if (len == 0)
		return 0;
	if (body->to != EDGE_FRAMING_CHUNKED)
		return edge_buffer_move(data, sink, len);
	if (evbuffer_add_printf(sink, "%zx\r\n", len) < 0 || edge_buffer_move(data, sink, len) != 0
	    || evbuffer_add(sink, "\r\n", 2) != 0)
		return -ENOMEM;
	return 0;
}

static enum edge_body_verdict finish(struct edge_body *body, struct evbuffer *sink)
{
	body->done = true;
	if (body->to == EDGE_FRAMING_CHUNKED && evbuffer_add(sink, "0\r\n\r\n", 5) != 0)
		return EDGE_BODY_BAD;
	return EDGE_BODY_DONE;
}

static enum edge_body_verdict move_length(struct edge_body *body, struct evbuffer *source,
                                          enum edge_source state, struct evbuffer *sink,
                                          size_t limit)
{
	size_t len = at_most(evbuffer_get_length(source), room(sink, limit));

	if (len > body->left)
		len = (size_t)body->left;
	if (sink_put(body, source, len, sink) != 0)
		return EDGE_BODY_BAD;
	body->left -= len;
	if (body->left == 0)
		return finish(body, sink);
	if (state != EDGE_SOURCE_OPEN && evbuffer_get_length(source) == 0)
		return EDGE_BODY_BAD;
	return EDGE_BODY_MORE;
}

static enum edge_body_verdict move_until_close(struct edge_body *body, struct evbuffer *source,
                                               enum edge_source state, struct evbuffer *sink,
                                               size_t limit)
{
	size_t len = at_most(evbuffer_get_length(source), room(sink, limit));

	if (sink_put(body, source, len, sink) != 0)
		return EDGE_BODY_BAD;
	if (evbuffer_get_length(source) > 0 || state == EDGE_SOURCE_OPEN)
		return EDGE_BODY_MORE;
	return state == EDGE_SOURCE_ENDED ? finish(body, sink) : EDGE_BODY_BAD;
}

/* llhttp lets the empty line behind the last chunk be a bare LF, which others in front of us may read as the
 * begin of a trailer, and what follows as more of it. */
static bool ends_in_crlf(const struct edge_body *body, const char *block, size_t len)
{
	return (len >= 2 ? block[len - 2] : body->last) == '\r';
}

/* Feed one block of source to the parser. Returns 0 or -EPROTO. */
static int chunk_feed(struct edge_body *body, struct evbuffer *source, size_t max)
{
	struct evbuffer_iovec block;
	size_t len;
	llhttp_errno_t err;

	if (evbuffer_peek(source, (ev_ssize_t)max, NULL, &block, 1) < 1)
		return -EPROTO;
	len = at_most(block.iov_len, max);
	err = llhttp_execute(&body->parser, block.iov_base, len);
	if (err == HPE_PAUSED && body->done) {
		len = (size_t)(llhttp_get_error_pos(&body->parser) - (char *)block.iov_base);
		if (!ends_in_crlf(body, block.iov_base, len))
			return -EPROTO;
	} else if (err != HPE_OK) {
		return -EPROTO;
	}
	body->last = ((char *)block.iov_base)[len - 1];
	return evbuffer_drain(source, len) == 0 ? 0 : -EPROTO;
}

static enum edge_body_verdict move_chunked(struct edge_body *body, struct evbuffer *source,
                                           enum edge_source state, struct evbuffer *sink,
                                           size_t limit)
{
	size_t left = room(sink, limit); /* decoding never makes a body longer */

	while (left > 0 && !body->done && evbuffer_get_length(source) > 0) {
		size_t before = evbuffer_get_length(source);

		if (chunk_feed(body, source, left) != 0)
			return EDGE_BODY_BAD;
		left -= before - evbuffer_get_length(source);
	}
	if (sink_put(body, body->piece, evbuffer_get_length(body->piece), sink) != 0)
		return EDGE_BODY_BAD;
	if (body->done)
		return finish(body, sink);
	if (state != EDGE_SOURCE_OPEN && evbuffer_get_length(source) == 0)
		return EDGE_BODY_BAD;
	return EDGE_BODY_MORE;
}

enum edge_body_verdict edge_body_move(struct edge_body *body, struct evbuffer *source,
                                      enum edge_source state, struct evbuffer *sink, size_t limit)
{
	if (body->done)
		return EDGE_BODY_DONE;
	switch (body->from) {
	case EDGE_FRAMING_LENGTH:
		return move_length(body, source, state, sink, limit);
	case EDGE_FRAMING_CHUNKED:
		return move_chunked(body, source, state, sink, limit);
	case EDGE_FRAMING_UNTIL_CLOSE:
		return move_until_close(body, source, state, sink, limit);
	case EDGE_FRAMING_NONE:
		break;
	}
	return EDGE_BODY_DONE;
}

/* Bodies on their way: from one evbuffer to the other, as much as the receiver has room for, with
 * the framing of either side. Nothing is held back and nothing is collected. Chunked bodies are
 * decoded by llhttp and written anew, so a backend never sees a client's chunk extensions,
 * trailers or spelling of sizes. */
#ifndef EDGE_BODY_H
#define EDGE_BODY_H

#include "edge_head.h"

#include <llhttp.h>

struct evbuffer;

enum edge_body_verdict {
	EDGE_BODY_MORE = 0, /* not at its end: needs input, or room */
	EDGE_BODY_DONE,     /* all of it is in the destination */
	EDGE_BODY_BAD,      /* malformed, or the source ended too early */
};

/* What is known about the source besides the bytes in its buffer. */
enum edge_source {
	EDGE_SOURCE_OPEN = 0,
	EDGE_SOURCE_ENDED,  /* closed in order */
	EDGE_SOURCE_BROKEN, /* reset */
};

struct edge_body {
	enum edge_framing from;
	enum edge_framing to;
	uint64_t left; /* bytes, for EDGE_FRAMING_LENGTH */
	bool done;
	llhttp_t parser;        /* for EDGE_FRAMING_CHUNKED */
	char last;              /* byte that the parser was given */
	struct evbuffer *piece; /* decoded bytes of one edge_body_move() call */
	uint64_t decoded;       /* bytes of the body so far */
	uint64_t overhead;      /* bytes of extensions and trailers so far */
};

/* Begin a body. from NONE is done at once; to is LENGTH or NONE when from is, else CHUNKED or
 * UNTIL_CLOSE. Returns 0 or -ENOMEM. */
int edge_body_init(struct edge_body *body, enum edge_framing from, uint64_t length,
                   enum edge_framing to) __attribute__((warn_unused_result));
void edge_body_fini(struct edge_body *body); /* also fine on zeroes */

/* Move what is in source to sink while sink holds less than limit bytes (it may end a few bytes
 * of chunk framing above). Bytes behind the end of the body stay in source. */
enum edge_body_verdict edge_body_move(struct edge_body *body, struct evbuffer *source,
                                      enum edge_source state, struct evbuffer *sink, size_t limit);

/* Move len bytes (<= length of source). Small pieces are copied: handed over as they are, each
 * would bring a mostly empty block of memory along, and many of them would wait for a slow
 * reader. Returns 0 or -ENOMEM. */
int edge_buffer_move(struct evbuffer *source, struct evbuffer *sink, size_t len)
	__attribute__((warn_unused_result));

#endif

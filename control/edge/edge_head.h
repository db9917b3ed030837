/* The head of an HTTP/1 message: start line and fields, checked and split. Nothing is copied: all
 * spans point into the block that the caller keeps.
 *
 * llhttp reads the fields. Around it stand checks of our own on the raw bytes of a request, since
 * request smuggling lives on what lenient parsers let pass: bare CR or LF, folded lines, control
 * characters, two lengths. What fails is refused, never repaired. */
#ifndef EDGE_HEAD_H
#define EDGE_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EDGE_REQUEST_HEAD_MAX  16384 /* bytes, more is 431 */
#define EDGE_RESPONSE_HEAD_MAX 65536 /* bytes, more is 502 */
#define EDGE_TARGET_MAX        8192  /* bytes, more is 414 */
#define EDGE_FIELDS_MAX        128
#define EDGE_HOST_LEN          256

struct edge_span {
	const char *at;
	size_t len;
};

struct edge_field {
	struct edge_span name;
	struct edge_span value;
};

/* How the end of a body is known (RFC 9112 section 6.3). */
enum edge_framing {
	EDGE_FRAMING_NONE = 0,
	EDGE_FRAMING_LENGTH,
	EDGE_FRAMING_CHUNKED,
	EDGE_FRAMING_UNTIL_CLOSE, /* responses only */
};

struct edge_head {
	/* Requests. target is in origin form ("/path?query") or "*". */
	struct edge_span method;
	struct edge_span target;
	char host[EDGE_HOST_LEN]; /* normalised: lower case, no port, no trailing dot */
	struct edge_span host_field;
	bool is_head_method;
	bool wants_upgrade; /* Connection: upgrade, Upgrade: anything but h2c, no body */

	/* Responses. */
	uint16_t status;
	struct edge_span reason;
	bool has_upgrade; /* Connection: upgrade and Upgrade are there */

	/* Both. */
	uint8_t minor; /* HTTP/1.minor, 0 or 1 */
	bool keep_alive;
	enum edge_framing framing;
	bool has_length; /* Content-Length is there (a HEAD response has one and no body) */
	uint64_t length;
	size_t n_fields;
	struct edge_field fields[EDGE_FIELDS_MAX];
};

/* Read a request head. block[len] ends with the empty line. Returns 0, or the status to refuse
 * with: 400, 405 (CONNECT), 414, 431, 501 (a transfer coding besides chunked), 505. */
int edge_head_parse_request(const char *block, size_t len, struct edge_head *head)
	__attribute__((warn_unused_result));

/* Read a response head (CRLF line ends: see edge_head_end()) to a request that was HEAD or not.
 * Returns 0 or -EPROTO. */
int edge_head_parse_response(const char *block, size_t len, bool to_head_method,
                             struct edge_head *head) __attribute__((warn_unused_result));

/* Position behind the empty line that ends a head in data[len], 0 when it is not there. from is a
 * position below which no end was found before, so that a head that arrives byte by byte is not
 * searched again and again. With bare_lf, lines may end in a bare LF as some old servers send. */
size_t edge_head_end(const char *data, size_t len, size_t from, bool bare_lf);

/* Normalise the value of a Host field. Returns 0 or -EINVAL. */
int edge_host_normalise(const struct edge_span *value, char host[static EDGE_HOST_LEN])
	__attribute__((warn_unused_result));

/* Compare without case; '_' counts as '-', since CGI and its heirs hand both to an application
 * under one name and a client could smuggle "X_Forwarded_For" past us. */
bool edge_name_is(const struct edge_span *name, const char *text);
bool edge_name_begins(const struct edge_span *name, const char *prefix);

/* True when a comma-separated field of this name (exact, without case) holds the token. */
bool edge_head_has_token(const struct edge_head *head, const char *name,
                         const struct edge_span *token);

#endif

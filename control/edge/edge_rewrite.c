/* What a head becomes on the other side. */
#include "edge_rewrite.h"

#include <errno.h>
#include <event2/buffer.h>
#include <inttypes.h>
#include <string.h>

/* Fields that mean one connection only (RFC 9110 section 7.6.1), and framing, which is ours to
 * write. Proxy-* is between a client and a proxy of its own choice; "Proxy" itself becomes the
 * variable HTTP_PROXY in CGI programs. */
static bool is_hop_by_hop(const struct edge_span *name)
{
	static const char *const names[] = {
		"connection",        "keep-alive",     "te",
		"trailer",           "upgrade",        "proxy",
		"transfer-encoding", "http2-settings", "content-length",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (edge_name_is(name, names[i]))
			return true;
	}
	return edge_name_begins(name, "proxy-");
}

/* What only we may say about the client. */
static bool is_forwarding(const struct edge_span *name)
{
	return edge_name_begins(name, "x-forwarded-") || edge_name_is(name, "x-real-ip")
	       || edge_name_is(name, "forwarded");
}

/* Named by Connection. Host stays: a client must not be able to take from the backend what the
 * request was routed by. */
static bool is_named_by_connection(const struct edge_head *head, const struct edge_span *name)
{
	return !edge_name_is(name, "host") && edge_head_has_token(head, "connection", name);
}

static int put(struct evbuffer *out, const void *data, size_t len)
{
	return evbuffer_add(out, data, len);
}

static int put_text(struct evbuffer *out, const char *text)
{
	return put(out, text, strlen(text));
}

static int put_span(struct evbuffer *out, const struct edge_span *span)
{
	return span->len > 0 ? put(out, span->at, span->len) : 0;
}

static int put_field(struct evbuffer *out, const struct edge_field *field)
{
	return put_span(out, &field->name) | put(out, ": ", 2) | put_span(out, &field->value)
	       | put(out, "\r\n", 2);
}

static int put_named(struct evbuffer *out, const char *name, const struct edge_span *value)
{
	struct edge_field field = {{name, strlen(name)}, *value};

	return put_field(out, &field);
}

static int put_upgrade(struct evbuffer *out, const struct edge_head *head)
{
	int err = put_text(out, "Connection: Upgrade\r\n");

	for (size_t i = 0; i < head->n_fields; i++) {
		if (edge_name_is(&head->fields[i].name, "upgrade"))
			err |= put_field(out, &head->fields[i]);
	}
	return err;
}

static int put_framing(struct evbuffer *out, enum edge_framing framing, uint64_t length)
{
	if (framing == EDGE_FRAMING_CHUNKED)
		return put_text(out, "Transfer-Encoding: chunked\r\n");
	return evbuffer_add_printf(out, "Content-Length: %" PRIu64 "\r\n", length) < 0 ? -1 : 0;
}

int edge_rewrite_request(const struct edge_head *head, const char *client_ip, struct evbuffer *out)
{
	struct edge_span ip = {client_ip, strlen(client_ip)};
	int err = put_span(out, &head->method) | put(out, " ", 1) | put_span(out, &head->target)
	          | put_text(out, " HTTP/1.1\r\n");

	for (size_t i = 0; i < head->n_fields; i++) {
		const struct edge_field *field = &head->fields[i];

		if (is_hop_by_hop(&field->name) || is_forwarding(&field->name)
		    || is_named_by_connection(head, &field->name))
			continue;
		err |= put_field(out, field);
	}
	err |= put_named(out, "X-Forwarded-For", &ip);
	err |= put_named(out, "X-Real-IP", &ip);
	err |= put_text(out, "X-Forwarded-Proto: https\r\n");
	err |= put_named(out, "X-Forwarded-Host", &head->host_field);
	if (head->framing != EDGE_FRAMING_NONE || head->has_length)
		err |= put_framing(out, head->framing, head->length);
	err |= head->wants_upgrade ? put_upgrade(out, head)
	                           : put_text(out, "Connection: close\r\n");
	err |= put(out, "\r\n", 2);
	return err == 0 ? 0 : -ENOMEM;
}

enum edge_framing edge_rewrite_framing(const struct edge_head *response, uint8_t client_minor)
{
	if (response->framing == EDGE_FRAMING_NONE || response->framing == EDGE_FRAMING_LENGTH)
		return response->framing;
	return client_minor == 0 ? EDGE_FRAMING_UNTIL_CLOSE : EDGE_FRAMING_CHUNKED;
}

/* Content-Length goes out when the body has that length, and also where there is none but the
 * backend says how long it would have been (HEAD, 304). RFC 9110 section 8.6 forbids it with 1xx
 * and 204. */
static bool response_has_length(const struct edge_head *head, enum edge_framing framing)
{
	if (head->status / 100 == 1 || head->status == 204)
		return false;
	return head->has_length && (framing == EDGE_FRAMING_LENGTH || framing == EDGE_FRAMING_NONE);
}

int edge_rewrite_response(const struct edge_head *head, enum edge_framing framing, bool close,
                          struct evbuffer *out)
{
	int err = evbuffer_add_printf(out, "HTTP/1.1 %u ", head->status) < 0 ? -1 : 0;

	err |= put_span(out, &head->reason) | put(out, "\r\n", 2);
	for (size_t i = 0; i < head->n_fields; i++) {
		const struct edge_field *field = &head->fields[i];

		if (is_hop_by_hop(&field->name) || is_named_by_connection(head, &field->name))
			continue;
		err |= put_field(out, field);
	}
	if (response_has_length(head, framing))
		err |= put_framing(out, EDGE_FRAMING_LENGTH, head->length);
	else if (framing == EDGE_FRAMING_CHUNKED)
		err |= put_framing(out, framing, 0);
	if (head->status == 101)
		err |= put_upgrade(out, head);
	else if (close)
		err |= put_text(out, "Connection: close\r\n");
	err |= put(out, "\r\n", 2);
	return err == 0 ? 0 : -ENOMEM;
}

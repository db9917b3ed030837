/* The head of an HTTP/1 message: start line and fields, checked and split. */
#include "edge_head.h"

#include <errno.h>
#include <llhttp.h>
#include <string.h>
#include <strings.h>

static char name_char(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c + 32);
	return c == '_' ? '-' : c;
}

bool edge_name_begins(const struct edge_span *name, const char *prefix)
{
	size_t len = strlen(prefix);

	if (name->len < len)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (name_char(name->at[i]) != prefix[i])
			return false;
	}
	return true;
}

bool edge_name_is(const struct edge_span *name, const char *text)
{
	return name->len == strlen(text) && edge_name_begins(name, text);
}

static bool span_equals(const struct edge_span *span, const char *text)
{
	return span->len == strlen(text) && strncasecmp(span->at, text, span->len) == 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct edge_span span_trim(struct edge_span s)
{
	while (s.len > 0 && is_blank(s.at[0])) {
		s.at++;
		s.len--;
	}
	while (s.len > 0 && is_blank(s.at[s.len - 1]))
		s.len--;
	return s;
}

static bool value_has_token(struct edge_span rest, const struct edge_span *token)
{
	while (rest.len > 0) {
		const char *comma = memchr(rest.at, ',', rest.len);
		struct edge_span item = rest;

		if (comma != NULL)
			item.len = (size_t)(comma - rest.at);
		rest.at += item.len + (comma != NULL);
		rest.len -= item.len + (comma != NULL);
		item = span_trim(item);
		if (item.len == token->len && strncasecmp(item.at, token->at, item.len) == 0)
			return true;
	}
	return false;
}

bool edge_head_has_token(const struct edge_head *head, const char *name,
                         const struct edge_span *token)
{
	for (size_t i = 0; i < head->n_fields; i++) {
		const struct edge_field *field = &head->fields[i];

		if (span_equals(&field->name, name) && value_has_token(field->value, token))
			return true;
	}
	return false;
}

static bool has_token(const struct edge_head *head, const char *name, const char *token)
{
	struct edge_span span = {token, strlen(token)};

	return edge_head_has_token(head, name, &span);
}

/* The only field of this name; *count gets how many there are. */
static const struct edge_field *field_find(const struct edge_head *head, const char *name,
                                           size_t *count)
{
	const struct edge_field *found = NULL;

	*count = 0;
	for (size_t i = 0; i < head->n_fields; i++) {
		if (!span_equals(&head->fields[i].name, name))
			continue;
		found = &head->fields[i];
		(*count)++;
	}
	return found;
}

size_t edge_head_end(const char *data, size_t len, size_t from, bool bare_lf)
{
	size_t at = from > 3 ? from - 3 : 0;
	const char *lf;

	while (at < len && (lf = memchr(data + at, '\n', len - at)) != NULL) {
		at = (size_t)(lf - data) + 1;
		if (at + 1 < len && data[at] == '\r' && data[at + 1] == '\n')
			return at + 2;
		if (bare_lf && at < len && data[at] == '\n')
			return at + 1;
	}
	return 0;
}

/* True when every line ends in CRLF, no line is a continuation or has an empty name (llhttp lets
 * that pass), and there is no control character but tab. */
static bool raw_is_clean(const char *block, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)block[i];

		if (c >= 0x20 && c != 0x7f)
			continue;
		if (c == '\t')
			continue;
		if (c != '\r' || i + 1 >= len || block[i + 1] != '\n')
			return false;
		i++;
		if (i + 1 < len && (is_blank(block[i + 1]) || block[i + 1] == ':'))
			return false;
	}
	return true;
}

/* llhttp's callbacks. It may report one name or value in several pieces, which lie side by side
 * in our block; the first piece of a name opens a new field. */
struct head_reader {
	struct edge_head *head;
	bool in_value;
	bool too_many;
};

static void span_extend(struct edge_span *span, const char *at, size_t len)
{
	if (span->at == NULL)
		span->at = at;
	span->len = (size_t)(at - span->at) + len;
}

static int on_field_name(llhttp_t *parser, const char *at, size_t len)
{
	struct head_reader *reader = parser->data;
	struct edge_head *head = reader->head;

	if (reader->in_value || head->n_fields == 0) {
		if (head->n_fields == EDGE_FIELDS_MAX) {
			reader->too_many = true;
			return HPE_USER;
		}
		memset(&head->fields[head->n_fields++], 0, sizeof(head->fields[0]));
		reader->in_value = false;
	}
	span_extend(&head->fields[head->n_fields - 1].name, at, len);
	return 0;
}

static int on_field_value(llhttp_t *parser, const char *at, size_t len)
{
	struct head_reader *reader = parser->data;

	reader->in_value = true;
	span_extend(&reader->head->fields[reader->head->n_fields - 1].value, at, len);
	return 0;
}

static int on_field_value_end(llhttp_t *parser)
{
	struct head_reader *reader = parser->data;

	reader->in_value = true; /* also when the value was empty and never reported */
	return 0;
}

static int on_status(llhttp_t *parser, const char *at, size_t len)
{
	struct head_reader *reader = parser->data;

	span_extend(&reader->head->reason, at, len);
	return 0;
}

/* Stop behind the fields: bodies are edge_body's. */
static int on_head_end(llhttp_t *parser)
{
	(void)parser;
	return HPE_PAUSED;
}

static const llhttp_settings_t head_settings = {
	.on_header_field = on_field_name,
	.on_header_value = on_field_value,
	.on_header_value_complete = on_field_value_end,
	.on_status = on_status,
	.on_headers_complete = on_head_end,
};

static void reader_init(struct head_reader *reader, struct edge_head *head, llhttp_t *parser,
                        llhttp_type_t type)
{
	*reader = (struct head_reader){.head = head};
	llhttp_init(parser, type, &head_settings);
	parser->data = reader;
}

/* Content-Length and Transfer-Encoding of either direction. Any doubt is an error: two lengths,
 * a length beside a coding, a length that is not plain digits, a coding that is not exactly
 * chunked. Returns 0, 400 or 501. */
static int framing_read(struct edge_head *head)
{
	size_t n_lengths;
	size_t n_codings;
	const struct edge_field *length = field_find(head, "content-length", &n_lengths);
	const struct edge_field *coding = field_find(head, "transfer-encoding", &n_codings);
	struct edge_span digits;

	if (n_lengths > 1 || n_codings > 1 || (n_lengths > 0 && n_codings > 0))
		return 400;
	if (coding != NULL && head->minor == 0)
		return 400;
	if (coding != NULL) {
		struct edge_span value = span_trim(coding->value);

		if (!span_equals(&value, "chunked"))
			return 501;
		head->framing = EDGE_FRAMING_CHUNKED;
		return 0;
	}
	if (length == NULL)
		return 0;
	digits = span_trim(length->value);
	if (digits.len == 0 || digits.len > 18) /* 10^18 bytes are enough */
		return 400;
	for (size_t i = 0; i < digits.len; i++) {
		char c = digits.at[i];

		if (c < '0' || c > '9')
			return 400;
		head->length = head->length * 10 + (uint64_t)(c - '0');
	}
	head->has_length = true;
	head->framing = head->length > 0 ? EDGE_FRAMING_LENGTH : EDGE_FRAMING_NONE;
	return 0;
}

/* The start line, "METHOD SP target SP HTTP/1.x CRLF". The target is judged here and not by
 * llhttp, which in its strict mode refuses bytes above 127 that clients do send. */
static int request_line_split(const char *block, size_t len, struct edge_head *head,
                              struct edge_span *rest)
{
	const char *line_end = memchr(block, '\r', len);
	const char *first;
	const char *second;
	size_t version_len;

	if (line_end == NULL)
		return 400;
	first = memchr(block, ' ', (size_t)(line_end - block));
	if (first == NULL || first == block)
		return 400;
	second = memchr(first + 1, ' ', (size_t)(line_end - first - 1));
	if (second == NULL || second == first + 1)
		return 400;
	head->method = (struct edge_span){block, (size_t)(first - block)};
	head->target = (struct edge_span){first + 1, (size_t)(second - first - 1)};
	*rest = (struct edge_span){second + 1, len - (size_t)(second + 1 - block)};
	version_len = (size_t)(line_end - second - 1);
	if (version_len != 8 || memcmp(rest->at, "HTTP/", 5) != 0)
		return 400;
	if (memcmp(rest->at, "HTTP/1.1", 8) != 0 && memcmp(rest->at, "HTTP/1.0", 8) != 0)
		return 505;
	head->minor = (uint8_t)(rest->at[7] - '0');
	return head->target.len > EDGE_TARGET_MAX ? 414 : 0;
}

/* Hand llhttp the request with "/" for a target. */
static int request_read(const struct edge_span *rest, struct edge_head *head)
{
	struct head_reader reader;
	llhttp_t parser;
	llhttp_errno_t err;

	reader_init(&reader, head, &parser, HTTP_REQUEST);
	err = llhttp_execute(&parser, head->method.at, head->method.len);
	if (err == HPE_OK)
		err = llhttp_execute(&parser, " / ", 3);
	if (err == HPE_OK)
		err = llhttp_execute(&parser, rest->at, rest->len);
	if (reader.too_many)
		return 431;
	return err == HPE_PAUSED ? 0 : 400;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_host_char(char c)
{
	return (c >= 'a' && c <= 'z') || is_digit(c) || c == '-' || c == '.' || c == '_';
}

/* ":" and up to five digits, or nothing. */
static bool is_port(const char *at, size_t len)
{
	if (len == 0)
		return true;
	if (at[0] != ':' || len > 6)
		return false;
	for (size_t i = 1; i < len; i++) {
		if (!is_digit(at[i]))
			return false;
	}
	return true;
}

static size_t host_name_len(const struct edge_span *value)
{
	const char *colon = memchr(value->at, ':', value->len);

	return colon != NULL ? (size_t)(colon - value->at) : value->len;
}

/* "[v6]" and port. Never a published name, but well formed. */
static int host_bracket(const struct edge_span *value, char host[static EDGE_HOST_LEN])
{
	const char *end = memchr(value->at, ']', value->len);
	size_t len;

	if (end == NULL)
		return -EINVAL;
	len = (size_t)(end + 1 - value->at);
	if (len >= 64 || !is_port(end + 1, value->len - len))
		return -EINVAL;
	for (size_t i = 1; i + 1 < len; i++) {
		if (strchr("0123456789abcdefABCDEF:.", value->at[i]) == NULL)
			return -EINVAL;
	}
	memcpy(host, value->at, len);
	host[len] = '\0';
	return 0;
}

int edge_host_normalise(const struct edge_span *value, char host[static EDGE_HOST_LEN])
{
	size_t len;

	if (value->len == 0)
		return -EINVAL;
	if (value->at[0] == '[')
		return host_bracket(value, host);
	len = host_name_len(value);
	if (!is_port(value->at + len, value->len - len))
		return -EINVAL;
	if (len > 0 && value->at[len - 1] == '.')
		len--;
	if (len == 0 || len >= EDGE_HOST_LEN)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		char c = value->at[i];

		host[i] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
		if (!is_host_char(host[i]))
			return -EINVAL;
	}
	host[len] = '\0';
	return 0;
}

static int request_host(struct edge_head *head)
{
	size_t n;
	const struct edge_field *field = field_find(head, "host", &n);

	if (n != 1)
		return 400;
	head->host_field = span_trim(field->value);
	return edge_host_normalise(&head->host_field, head->host) == 0 ? 0 : 400;
}

/* Turn "http://host/path", which a server must accept (RFC 9112 section 3.2.2), into its path.
 * The authority must be the one of Host: two names for one request are one too many. */
static int target_from_absolute(struct edge_head *head)
{
	static const char root[] = "/";
	const char *end = head->target.at + head->target.len;
	struct edge_span authority;
	const char *slash;
	char host[EDGE_HOST_LEN];

	authority.at = head->target.at + (edge_name_begins(&head->target, "https://") ? 8 : 7);
	slash = authority.at;
	while (slash < end && *slash != '/' && *slash != '?')
		slash++;
	authority.len = (size_t)(slash - authority.at);
	if (edge_host_normalise(&authority, host) != 0 || strcmp(host, head->host) != 0)
		return 400;
	if (slash < end && *slash == '?')
		return 400;
	head->target = slash < end ? (struct edge_span){slash, (size_t)(end - slash)}
	                           : (struct edge_span){root, 1};
	return 0;
}

static int request_target(struct edge_head *head)
{
	struct edge_span *target = &head->target;

	if (memchr(target->at, '#', target->len) != NULL
	    || memchr(target->at, '\t', target->len) != NULL)
		return 400;
	if (target->at[0] == '/')
		return 0;
	if (target->len == 1 && target->at[0] == '*')
		return span_equals(&head->method, "OPTIONS") ? 0 : 400;
	if (edge_name_begins(target, "http://") || edge_name_begins(target, "https://"))
		return target_from_absolute(head);
	return 400;
}

/* An upgrade to HTTP/2 in clear text is never passed on: RFC 9113 took it out, and a backend that
 * still does it would serve further requests where we see only bytes. */
static bool request_wants_upgrade(const struct edge_head *head)
{
	size_t n;
	const struct edge_field *upgrade = field_find(head, "upgrade", &n);

	return n == 1 && upgrade->value.len > 0 && head->minor == 1
	       && head->framing == EDGE_FRAMING_NONE && has_token(head, "connection", "upgrade")
	       && !has_token(head, "upgrade", "h2c");
}

int edge_head_parse_request(const char *block, size_t len, struct edge_head *head)
{
	struct edge_span rest;
	int status;

	memset(head, 0, offsetof(struct edge_head, fields));
	if (len > EDGE_REQUEST_HEAD_MAX)
		return 431;
	if (!raw_is_clean(block, len))
		return 400;
	status = request_line_split(block, len, head, &rest);
	if (status != 0)
		return status;
	if (span_equals(&head->method, "CONNECT"))
		return 405;
	status = request_read(&rest, head);
	if (status == 0)
		status = request_host(head);
	if (status == 0)
		status = request_target(head);
	if (status == 0)
		status = framing_read(head);
	if (status != 0)
		return status;
	head->is_head_method = head->method.len == 4 && memcmp(head->method.at, "HEAD", 4) == 0;
	head->keep_alive = head->minor == 1 && !has_token(head, "connection", "close");
	head->wants_upgrade = request_wants_upgrade(head);
	return 0;
}

/* RFC 9112 section 6.3, for a response. */
static int response_framing(struct edge_head *head, bool to_head_method)
{
	size_t n_codings;
	int status = framing_read(head);

	if (status != 0)
		return -EPROTO;
	(void)field_find(head, "transfer-encoding", &n_codings);
	if (to_head_method || head->status / 100 == 1 || head->status == 204 || head->status == 304)
		head->framing = EDGE_FRAMING_NONE;
	else if (n_codings == 0 && !head->has_length)
		head->framing = EDGE_FRAMING_UNTIL_CLOSE;
	return 0;
}

int edge_head_parse_response(const char *block, size_t len, bool to_head_method,
                             struct edge_head *head)
{
	struct head_reader reader;
	llhttp_t parser;
	size_t n;

	memset(head, 0, offsetof(struct edge_head, fields));
	if (len > EDGE_RESPONSE_HEAD_MAX || !raw_is_clean(block, len))
		return -EPROTO;
	reader_init(&reader, head, &parser, HTTP_RESPONSE);
	if (llhttp_execute(&parser, block, len) != HPE_PAUSED)
		return -EPROTO;
	head->status = (uint16_t)llhttp_get_status_code(&parser);
	head->minor = llhttp_get_http_minor(&parser);
	if (llhttp_get_http_major(&parser) != 1 || head->minor > 1 || head->status < 100)
		return -EPROTO;
	(void)field_find(head, "upgrade", &n);
	head->has_upgrade = n > 0 && has_token(head, "connection", "upgrade");
	return response_framing(head, to_head_method);
}

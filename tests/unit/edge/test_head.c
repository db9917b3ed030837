#include "edge_head.h"
#include "test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define H "Host: a.example\r\n"

static int parse(const char *text, struct edge_head *head)
{
	return edge_head_parse_request(text, strlen(text), head);
}

static int span_is(const struct edge_span *span, const char *text)
{
	return span->len == strlen(text) && memcmp(span->at, text, span->len) == 0;
}

static void request_is_split_into_its_parts(void **state)
{
	const char *text = "POST /a/b?c=d%20e HTTP/1.1\r\nhost: A.Example.:8443\r\n"
			   "Accept: */*\r\nX-Empty:\r\nX-Padded: \t v \t\r\n"
			   "Content-Length: 12\r\n\r\n";
	struct edge_head head;

	(void)state;
	assert_int_equal(parse(text, &head), 0);
	assert_true(span_is(&head.method, "POST"));
	assert_true(span_is(&head.target, "/a/b?c=d%20e"));
	assert_string_equal(head.host, "a.example");
	assert_true(span_is(&head.host_field, "A.Example.:8443"));
	assert_int_equal(head.n_fields, 5);
	assert_true(span_is(&head.fields[1].name, "Accept"));
	assert_true(span_is(&head.fields[1].value, "*/*"));
	assert_true(span_is(&head.fields[2].name, "X-Empty"));
	assert_int_equal(head.fields[2].value.len, 0);
	assert_true(span_is(&head.fields[3].name, "X-Padded"));
	assert_int_equal(head.framing, EDGE_FRAMING_LENGTH);
	assert_int_equal(head.length, 12);
	assert_int_equal(head.minor, 1);
	assert_true(head.keep_alive);
	assert_false(head.wants_upgrade);
}

/* RFC 9110 section 5.5: it is no part of the value. */
static void space_round_a_length_does_not_count(void **state)
{
	struct edge_head head;

	(void)state;
	assert_int_equal(parse("POST / HTTP/1.1\r\n" H "Content-Length:\t 12  \r\n\r\n", &head), 0);
	assert_int_equal(head.framing, EDGE_FRAMING_LENGTH);
	assert_int_equal(head.length, 12);
	assert_int_equal(parse("POST / HTTP/1.1\r\n" H "Content-Length: \t\r\n\r\n", &head), 400);
}

#define POST "POST / HTTP/1.1\r\n" H
#define GET  "GET / HTTP/1.1\r\n" H

static const struct {
	int status;
	const char *text;
} refused[] = {
	/* two lengths, or a length that is not one */
	{400, POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"},
	{400, POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"},
	{400, POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n"},
	{400, POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"},
	{400, POST "Content-Length: 5, 5\r\n\r\n"},
	{400, POST "Content-Length: +5\r\n\r\n"},
	{400, POST "Content-Length: -5\r\n\r\n"},
	{400, POST "Content-Length: 0x5\r\n\r\n"},
	{400, POST "Content-Length:\r\n\r\n"},
	{400, POST "Content-Length: 5 5\r\n\r\n"},
	{400, POST "Content-Length: 99999999999999999999\r\n\r\n"},
	/* codings */
	{400, POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"},
	{501, POST "Transfer-Encoding: gzip, chunked\r\n\r\n"},
	{400, POST "Transfer-Encoding: chunked, identity\r\n\r\n"},
	{501, POST "Transfer-Encoding: xchunked\r\n\r\n"},
	{501, POST "Transfer-Encoding: identity\r\n\r\n"},
	{400, POST "Transfer-Encoding:\x0b"
                   "chunked\r\n\r\n"},
	{400, POST "Transfer-Encoding : chunked\r\n\r\n"},
	{400, "POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n"},
	/* lines */
	{400, GET "X: a\r\n b\r\n\r\n"},
	{400, GET "X: a\r\n\tb\r\n\r\n"},
	{400, "GET / HTTP/1.1\r\n Host: a.example\r\n\r\n"},
	{400, GET "X: a\nY: b\r\n\r\n"},
	{400, GET "X: a\rY: b\r\n\r\n"},
	{400, "GET / HTTP/1.1\n" H "\r\n"},
	{400, GET "X: a\x01\r\n\r\n"},
	{400, GET "X: a\x7f\r\n\r\n"},
	{400, GET "no colon\r\n\r\n"},
	{400, GET ": no name\r\n\r\n"},
	{400, GET "X Y: a\r\n\r\n"},
	{400, GET "X(Y): a\r\n\r\n"},
	/* host */
	{400, "GET / HTTP/1.1\r\nX: y\r\n\r\n"},
	{400, "GET / HTTP/1.0\r\n\r\n"},
	{400, GET H "\r\n"},
	{400, GET "host: b.example\r\n\r\n"},
	{400, "GET / HTTP/1.1\r\nHost:\r\n\r\n"},
	{400, "GET / HTTP/1.1\r\nHost: a.example, b.example\r\n\r\n"},
	{400, "GET / HTTP/1.1\r\nHost: user@a.example\r\n\r\n"},
	{400, "GET / HTTP/1.1\r\nHost: a.example/x\r\n\r\n"},
	{400, "GET / HTTP/1.1\r\nHost: a.example:80a\r\n\r\n"},
	{400, "GET / HTTP/1.1\r\nHost: a.example:1:2\r\n\r\n"},
	{400, "GET / HTTP/1.1\r\nHost: .\r\n\r\n"},
	/* request line */
	{400, "GET  / HTTP/1.1\r\n" H "\r\n"},
	{400, "GET / HTTP/1.1 \r\n" H "\r\n"},
	{400, "GET / x HTTP/1.1\r\n" H "\r\n"},
	{400, "GET /\r\n" H "\r\n"},
	{400, "GET / HTTP/1\r\n" H "\r\n"},
	{400, "GET / ICE/1.0\r\n" H "\r\n"},
	{400, "SOURCE / RTSP/1.1\r\n" H "\r\n"},
	{400, "get / HTTP/1.1\r\n" H "\r\n"},
	{400, "GET( / HTTP/1.1\r\n" H "\r\n"},
	{400, "NOSUCH / HTTP/1.1\r\n" H "\r\n"},
	{400, "GET a.example HTTP/1.1\r\n" H "\r\n"},
	{400, "GET * HTTP/1.1\r\n" H "\r\n"},
	{400, "GET /a#b HTTP/1.1\r\n" H "\r\n"},
	{400, "GET /a\tb HTTP/1.1\r\n" H "\r\n"},
	{400, "GET http://b.example/ HTTP/1.1\r\n" H "\r\n"},
	{400, "GET http://a.example@b.example/ HTTP/1.1\r\n" H "\r\n"},
	{400, "GET ftp://a.example/ HTTP/1.1\r\n" H "\r\n"},
	{405, "CONNECT a.example:443 HTTP/1.1\r\n" H "\r\n"},
	{505, "GET / HTTP/2.0\r\n" H "\r\n"},
	{505, "GET / HTTP/0.9\r\n" H "\r\n"},
	{505, "PRI * HTTP/2.0\r\n\r\n"},
};

static void ambiguous_and_malformed_requests_are_refused(void **state)
{
	struct edge_head head;

	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		int status = parse(refused[i].text, &head);

		if (status != refused[i].status)
			fail_msg("case %zu: %d instead of %d: %s", i, status, refused[i].status,
			         refused[i].text);
	}
}

static void nul_bytes_are_refused_anywhere(void **state)
{
	const char *good = "GET /index HTTP/1.1\r\n" H "X: value\r\n\r\n";
	size_t len = strlen(good);
	struct edge_head head;

	(void)state;
	assert_int_equal(edge_head_parse_request(good, len, &head), 0);
	for (size_t i = 0; i < len; i++) {
		char *copy = strdup(good);

		copy[i] = '\0';
		assert_int_not_equal(edge_head_parse_request(copy, len, &head), 0);
		free(copy);
	}
}

static void unusual_but_valid_requests_pass(void **state)
{
	static const char *const good[] = {
		"GET /caf\xc3\xa9?q=\"|{} HTTP/1.1\r\n" H "\r\n",
		"OPTIONS * HTTP/1.1\r\n" H "\r\n",
		"PROPFIND /dav/ HTTP/1.1\r\n" H "\r\n",
		"GET https://a.example:443/x?y HTTP/1.1\r\n" H "\r\n",
		"GET http://A.EXAMPLE HTTP/1.1\r\n" H "\r\n",
		"GET / HTTP/1.0\r\n" H "\r\n",
		"POST / HTTP/1.1\r\n" H "Transfer-Encoding: Chunked\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n\r\n",
		"GET / HTTP/1.1\r\nHost:a.example:\r\n\r\n",
		"GET / HTTP/1.1\r\n" H "X: caf\xc3\xa9 \xff\r\n\r\n",
		"GET //evil.example/ HTTP/1.1\r\n" H "\r\n",
	};
	struct edge_head head;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (parse(good[i], &head) != 0)
			fail_msg("case %zu refused: %s", i, good[i]);
	}
}

static void absolute_target_becomes_its_path(void **state)
{
	struct edge_head head;

	(void)state;
	assert_int_equal(parse("GET https://a.example/x?y HTTP/1.1\r\n" H "\r\n", &head), 0);
	assert_true(span_is(&head.target, "/x?y"));
	assert_int_equal(parse("GET http://a.example HTTP/1.1\r\n" H "\r\n", &head), 0);
	assert_true(span_is(&head.target, "/"));
}

/* Each limit twice: exactly reached, and passed by one. */
static void limits_hold_to_the_byte(void **state)
{
	static char text[40000];
	struct edge_head head;
	int n;

	(void)state;
	for (int extra = 0; extra < 2; extra++) {
		n = sprintf(text, "GET /%0*d HTTP/1.1\r\n" H "\r\n", EDGE_TARGET_MAX - 1 + extra,
		            7);
		assert_int_equal(edge_head_parse_request(text, (size_t)n, &head), extra ? 414 : 0);
	}
	n = sprintf(text, GET "X: ");
	for (int extra = 0; extra < 2; extra++) {
		int fill = EDGE_REQUEST_HEAD_MAX - n - 4 + extra;
		int len = n + sprintf(text + n, "%0*d\r\n\r\n", fill, 7);

		assert_int_equal(edge_head_parse_request(text, (size_t)len, &head),
		                 extra ? 431 : 0);
	}
	for (int extra = 0; extra < 2; extra++) {
		n = sprintf(text, GET);
		for (int i = 1; i < EDGE_FIELDS_MAX + extra; i++)
			n += sprintf(text + n, "X%d: y\r\n", i);
		n += sprintf(text + n, "\r\n");
		assert_int_equal(edge_head_parse_request(text, (size_t)n, &head), extra ? 431 : 0);
	}
}

static void keep_alive_and_upgrade_follow_connection(void **state)
{
	static const struct {
		const char *text;
		bool keep_alive;
		bool upgrade;
	} cases[] = {
		{GET "Connection: close\r\n\r\n", false, false},
		{GET "Connection: x, CLOSE\r\n\r\n", false, false},
		{GET "Connection: closed\r\n\r\n", true, false},
		{"GET / HTTP/1.0\r\n" H "Connection: keep-alive\r\n\r\n", false, false},
		{GET "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n", true, true},
		{GET "Upgrade: websocket\r\n\r\n", true, false},
		{GET "Connection: upgrade\r\n\r\n", true, false},
		{"GET / HTTP/1.0\r\n" H "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n", false,
	         false},
		{GET "Connection: upgrade\r\nUpgrade: h2c\r\n\r\n", true, false},
		{GET "Connection: upgrade\r\nUpgrade: foo, H2C\r\n\r\n", true, false},
		{POST "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\n",
	         true, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct edge_head head;

		assert_int_equal(parse(cases[i].text, &head), 0);
		if (head.keep_alive != cases[i].keep_alive
		    || head.wants_upgrade != cases[i].upgrade)
			fail_msg("case %zu: keep-alive %d, upgrade %d", i, head.keep_alive,
			         head.wants_upgrade);
	}
}

static void response_framing_follows_rfc_9112(void **state)
{
	static const struct {
		const char *text;
		bool to_head;
		int err;
		enum edge_framing framing;
	} cases[] = {
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false, 0, EDGE_FRAMING_LENGTH},
		{"HTTP/1.1 200 OK\r\nContent-Length: 5  \r\n\r\n", false, 0, EDGE_FRAMING_LENGTH},
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true, 0, EDGE_FRAMING_NONE},
		{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, 0, EDGE_FRAMING_NONE},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false, 0,
	         EDGE_FRAMING_CHUNKED},
		{"HTTP/1.1 200 OK\r\n\r\n", false, 0, EDGE_FRAMING_UNTIL_CLOSE},
		{"HTTP/1.0 200\r\n\r\n", false, 0, EDGE_FRAMING_UNTIL_CLOSE},
		{"HTTP/1.1 204 No Content\r\n\r\n", false, 0, EDGE_FRAMING_NONE},
		{"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", false, 0,
	         EDGE_FRAMING_NONE},
		{"HTTP/1.1 100 Continue\r\n\r\n", false, 0, EDGE_FRAMING_NONE},
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
	         false, -EPROTO, 0},
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", false,
	         -EPROTO, 0},
		{"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", false, -EPROTO, 0},
		{"HTTP/2.0 200 OK\r\n\r\n", false, -EPROTO, 0},
		{"ICY 200 OK\r\n\r\n", false, -EPROTO, 0},
		{"HTTP/1.1 099 Low\r\n\r\n", false, -EPROTO, 0},
		{"HTTP/1.1 2000 High\r\n\r\n", false, -EPROTO, 0},
		{"garbage\r\n\r\n", false, -EPROTO, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct edge_head head;
		int err = edge_head_parse_response(cases[i].text, strlen(cases[i].text),
		                                   cases[i].to_head, &head);

		if (err != cases[i].err || (err == 0 && head.framing != cases[i].framing))
			fail_msg("case %zu: %d, framing %u: %s", i, err, head.framing,
			         cases[i].text);
	}
}

static void end_is_found_when_its_last_byte_comes(void **state)
{
	const char *crlf = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
	const char *lf = "HTTP/1.0 200 OK\nServer: old\n\n";

	(void)state;
	for (size_t len = 1; len <= strlen(crlf); len++)
		assert_int_equal(edge_head_end(crlf, len, len - 1, false),
		                 len == strlen(crlf) ? len : 0);
	for (size_t len = 1; len <= strlen(lf); len++)
		assert_int_equal(edge_head_end(lf, len, len - 1, true),
		                 len == strlen(lf) ? len : 0);
	assert_int_equal(edge_head_end(lf, strlen(lf), 0, false), 0);
	assert_int_equal(edge_head_end("A\r\n\r\nB\r\n\r\n", 10, 0, false), 5);
}

static void underscore_counts_as_dash_in_names(void **state)
{
	const struct edge_span names[] = {{"X_Forwarded-FOR", 15}, {"x-forwarded-for", 15}};
	const struct edge_span other = {"x-forwarded-fo", 14};

	(void)state;
	assert_true(edge_name_is(&names[0], "x-forwarded-for"));
	assert_true(edge_name_is(&names[1], "x-forwarded-for"));
	assert_false(edge_name_is(&other, "x-forwarded-for"));
	assert_true(edge_name_begins(&other, "x-forwarded-"));
}

/* Random changes of a good request: no crash, and what passes has a host and a known framing.
 * Under ASan this is a small fuzz test. */
static void mutated_requests_do_no_harm(void **state)
{
	const char *good = "POST /x HTTP/1.1\r\nHost: a.example\r\nConnection: close, x\r\n"
			   "Transfer-Encoding: chunked\r\nX-Y: z\r\n\r\n";
	size_t len = strlen(good);
	unsigned int seed = 20261;
	struct edge_head head;

	(void)state;
	print_message("# seed %u\n", seed);
	for (int round = 0; round < 20000; round++) {
		char *text = malloc(len); /* no terminating zero: an overrun is seen */

		memcpy(text, good, len);
		for (int i = 0; i < 3; i++)
			text[(size_t)rand_r(&seed) % len] = (char)rand_r(&seed);
		if (edge_head_parse_request(text, len, &head) == 0) {
			assert_true(head.host[0] != '\0');
			assert_true(head.framing != EDGE_FRAMING_UNTIL_CLOSE);
			for (size_t i = 0; i < head.n_fields; i++)
				assert_true(head.fields[i].name.len > 0);
		}
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(request_is_split_into_its_parts),
		cmocka_unit_test(space_round_a_length_does_not_count),
		cmocka_unit_test(ambiguous_and_malformed_requests_are_refused),
		cmocka_unit_test(nul_bytes_are_refused_anywhere),
		cmocka_unit_test(unusual_but_valid_requests_pass),
		cmocka_unit_test(absolute_target_becomes_its_path),
		cmocka_unit_test(limits_hold_to_the_byte),
		cmocka_unit_test(keep_alive_and_upgrade_follow_connection),
		cmocka_unit_test(response_framing_follows_rfc_9112),
		cmocka_unit_test(end_is_found_when_its_last_byte_comes),
		cmocka_unit_test(underscore_counts_as_dash_in_names),
		cmocka_unit_test(mutated_requests_do_no_harm),
	};

	return cmocka_run_group_tests_name("edge_head", tests, NULL, NULL);
}

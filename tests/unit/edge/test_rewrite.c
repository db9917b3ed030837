#include "edge_rewrite.h"
#include "test.h"

#include <event2/buffer.h>
#include <string.h>

#define TAIL                                                                                       \
	"X-Forwarded-For: 192.0.2.9\r\nX-Real-IP: 192.0.2.9\r\nX-Forwarded-Proto: https\r\n"       \
	"X-Forwarded-Host: a.example:8443\r\n"
#define CLOSE "Connection: close\r\n\r\n"
#define HOST  "Host: a.example:8443\r\n"
#define GET   "GET / HTTP/1.1\r\n" HOST
#define POST  "POST / HTTP/1.1\r\n" HOST

static const struct {
	const char *in;
	const char *out;
} requests[] = {
	{GET "Accept: */*\r\n\r\n", GET "Accept: */*\r\n" TAIL CLOSE},
	/* what the client says about itself is replaced */
	{GET "X-Forwarded-For: 10.0.0.1\r\nx-forwarded-proto: http\r\n"
             "X-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /p\r\n"
             "X-Real-IP: 10.0.0.1\r\nForwarded: for=10.0.0.1\r\nX_Forwarded_For: 10.0.0.1\r\n"
             "X_Real-ip: 1\r\n\r\n",
         GET TAIL CLOSE},
	/* hop by hop, and what Connection names */
	{GET "Connection: keep-alive, X-Secret\r\nKeep-Alive: 5\r\n"
             "TE: trailers\r\nTrailer: X\r\nProxy-Connection: keep-alive\r\n"
             "Proxy-Authorization: Basic x\r\nProxy: evil\r\nUpgrade: websocket\r\n"
             "x-secret: 1\r\nHTTP2-Settings: x\r\nCookie: a=b\r\n\r\n",
         GET "Cookie: a=b\r\n" TAIL CLOSE},
	/* Connection cannot take Host or our fields away */
	{GET "Connection: host, x-forwarded-for, content-length\r\n\r\n", GET TAIL CLOSE},
	/* order and repetition stay; framing is written anew */
	{POST "B: 1\r\nA: 2\r\nB: 3\r\nContent-Length: 7\r\n\r\n",
         POST "B: 1\r\nA: 2\r\nB: 3\r\n" TAIL "Content-Length: 7\r\n" CLOSE},
	{POST "Content-Length: 0\r\n\r\n", POST TAIL "Content-Length: 0\r\n" CLOSE},
	{POST "transfer-encoding: CHUNKED\r\nExpect: 100-continue\r\n\r\n",
         POST "Expect: 100-continue\r\n" TAIL "Transfer-Encoding: chunked\r\n" CLOSE},
	{"GET / HTTP/1.0\r\n" HOST "\r\n", GET TAIL CLOSE},
	{GET "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n",
         GET "Sec-WebSocket-Key: x\r\n" TAIL "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"},
	{GET "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n", GET TAIL CLOSE},
};

static void text_check(struct evbuffer *out, const char *expected, size_t n)
{
	const char *text;

	assert_int_equal(evbuffer_add(out, "", 1), 0);
	text = (char *)evbuffer_pullup(out, -1);
	if (strcmp(text, expected) != 0)
		fail_msg("case %zu gave:\n%s\ninstead of:\n%s", n, text, expected);
	evbuffer_free(out);
}

static void requests_reach_the_backend_as_the_table_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		struct evbuffer *out = evbuffer_new();
		struct edge_head head;

		assert_int_equal(
			edge_head_parse_request(requests[i].in, strlen(requests[i].in), &head), 0);
		assert_int_equal(edge_rewrite_request(&head, "192.0.2.9", out), 0);
		text_check(out, requests[i].out, i);
	}
}

static const struct {
	const char *in;
	bool to_head;
	uint8_t minor;
	bool close;
	const char *out;
} responses[] = {
	{"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\r\n", false, 1, false,
         "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\r\n"},
	{"HTTP/1.1 404 Gone Fishing\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 5\r\n"
         "Connection: close\r\n\r\n",
         false, 1, false,
         "HTTP/1.1 404 Gone Fishing\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n"
         "Content-Length: 5\r\n\r\n"},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n", false, 1, true,
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false, 0, true,
         "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"},
	{"HTTP/1.0 200 OK\r\n\r\n", false, 1, false,
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"},
	{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true, 1, false,
         "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", true, 1, false,
         "HTTP/1.1 200 OK\r\n\r\n"},
	{"HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 5\r\n\r\n", false, 1, false,
         "HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 5\r\n\r\n"},
	{"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", false, 1, false,
         "HTTP/1.1 204 No Content\r\n\r\n"},
	{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: 5\r\nProxy-Authenticate: x\r\n\r\n",
         false, 1, false, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
	{"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
         "Sec-WebSocket-Accept: x\r\n\r\n",
         false, 1, false,
         "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\n"
         "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"},
};

static void responses_reach_the_client_as_the_table_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(responses) / sizeof(responses[0]); i++) {
		struct evbuffer *out = evbuffer_new();
		struct edge_head head;
		enum edge_framing framing;

		assert_int_equal(edge_head_parse_response(responses[i].in, strlen(responses[i].in),
		                                          responses[i].to_head, &head),
		                 0);
		framing = edge_rewrite_framing(&head, responses[i].minor);
		assert_int_equal(edge_rewrite_response(&head, framing, responses[i].close, out), 0);
		text_check(out, responses[i].out, i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_reach_the_backend_as_the_table_says),
		cmocka_unit_test(responses_reach_the_client_as_the_table_says),
	};

	return cmocka_run_group_tests_name("edge_rewrite", tests, NULL, NULL);
}

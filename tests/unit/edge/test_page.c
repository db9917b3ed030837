#include "edge_page.h"
#include "test.h"

#include <event2/buffer.h>
#include <stdio.h>
#include <string.h>

static const char *write_page(struct evbuffer *out, const struct edge_page *page)
{
	assert_int_equal(edge_page_write(page, out), 0);
	assert_int_equal(evbuffer_add(out, "", 1), 0);
	return (const char *)evbuffer_pullup(out, -1);
}

static void page_names_service_and_request_and_escapes_markup(void **state)
{
	struct edge_page page = {502, "<b>&co</b>", "0123456789abcdef", NULL, false};
	struct evbuffer *out = evbuffer_new();
	const char *text = write_page(out, &page);

	(void)state;
	assert_int_equal(strncmp(text, "HTTP/1.1 502 Bad Gateway\r\n", 26), 0);
	assert_non_null(strstr(text, "Service: &lt;b&gt;&amp;co&lt;/b&gt;</p>"));
	assert_non_null(strstr(text, "Request: 0123456789abcdef</p>"));
	assert_non_null(strstr(text, "Connection: close\r\n"));
	evbuffer_free(out);
}

static void answer_to_head_has_the_length_and_no_body(void **state)
{
	struct edge_page page = {421, NULL, "0", NULL, false};
	struct evbuffer *out = evbuffer_new();
	const char *text = write_page(out, &page);
	const char *body = strstr(text, "\r\n\r\n") + 4;
	char length[64];

	(void)state;
	snprintf(length, sizeof(length), "Content-Length: %zu\r\n", strlen(body));
	assert_non_null(strstr(text, length));
	page.to_head_method = true;
	evbuffer_drain(out, evbuffer_get_length(out));
	text = write_page(out, &page);
	assert_non_null(strstr(text, length));
	assert_string_equal(strstr(text, "\r\n\r\n"), "\r\n\r\n");
	evbuffer_free(out);
}

static void redirect_says_where(void **state)
{
	struct edge_page page = {308, NULL, "0", "https://a.example/x", false};
	struct evbuffer *out = evbuffer_new();

	(void)state;
	assert_non_null(strstr(write_page(out, &page), "\r\nLocation: https://a.example/x\r\n"));
	evbuffer_free(out);
}

static void request_ids_are_hex_and_differ(void **state)
{
	char a[EDGE_REQUEST_ID_LEN];
	char b[EDGE_REQUEST_ID_LEN];

	(void)state;
	edge_request_id(a);
	edge_request_id(b);
	assert_int_equal(strspn(a, "0123456789abcdef"), EDGE_REQUEST_ID_LEN - 1);
	assert_string_not_equal(a, b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(page_names_service_and_request_and_escapes_markup),
		cmocka_unit_test(answer_to_head_has_the_length_and_no_body),
		cmocka_unit_test(redirect_says_where),
		cmocka_unit_test(request_ids_are_hex_and_differ),
	};

	return cmocka_run_group_tests_name("edge_page", tests, NULL, NULL);
}

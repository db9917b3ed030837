/* The pages that the edge writes itself. */
#include "edge_page.h"

#include "base_text.h"

#include <errno.h>
#include <event2/buffer.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

static const struct page_text {
	int status;
	const char *reason;
	const char *text;
} page_texts[] = {
	{301, "Moved Permanently", "This page is served over HTTPS."},
	{308, "Permanent Redirect", "This page is served over HTTPS."},
	{400, "Bad Request", "The request could not be understood."},
	{404, "Not Found", "There is nothing here."},
	{405, "Method Not Allowed", "This method is not served."},
	{408, "Request Timeout", "The request took too long to arrive."},
	{414, "URI Too Long", "The address of the page is too long."},
	{421, "Misdirected Request", "This connection does not serve the host that was asked for."},
	{431, "Request Header Fields Too Large", "The header of the request is too large."},
	{501, "Not Implemented", "The request needs something that is not served."},
	{502, "Bad Gateway", "The service cannot be reached at the moment."},
	{504, "Gateway Timeout", "The service did not answer in time."},
	{505, "HTTP Version Not Supported", "Only HTTP/1.0 and HTTP/1.1 are served."},
};

static const struct page_text *page_text_find(int status)
{
	for (size_t i = 0; i < sizeof(page_texts) / sizeof(page_texts[0]); i++) {
		if (page_texts[i].status == status)
			return &page_texts[i];
	}
	return &page_texts[2]; /* 400: not reached, every status that is sent is listed */
}

static int put_escaped(struct evbuffer *out, const char *text)
{
	int err = 0;

	for (; *text != '\0'; text++) {
		switch (*text) {
		case '<':
			err |= evbuffer_add(out, "&lt;", 4);
			break;
		case '>':
			err |= evbuffer_add(out, "&gt;", 4);
			break;
		case '&':
			err |= evbuffer_add(out, "&amp;", 5);
			break;
		default:
			err |= evbuffer_add(out, text, 1);
		}
	}
	return err;
}

static int body_write(const struct edge_page *page, const struct page_text *text,
                      struct evbuffer *out)
{
	int err = evbuffer_add_printf(out,
	                              "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">"
	                              "<title>%d %s</title>\n<h1>%d %s</h1>\n<p>%s</p>\n",
	                              text->status, text->reason, text->status, text->reason,
	                              text->text)
	          < 0;

	if (page->service != NULL) {
		err |= evbuffer_add_printf(out, "<p>Service: ") < 0;
		err |= put_escaped(out, page->service);
		err |= evbuffer_add_printf(out, "</p>\n") < 0;
	}
	err |= evbuffer_add_printf(out, "<p>Request: %s</p>\n</html>\n", page->request_id) < 0;
	return err;
}

/* Not strftime(): its names of days and months follow the locale, the field's do not. */
static void date_format(char *buf, size_t len)
{
	static const char days[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t now = time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	snprintf(buf, len, "%.3s, %02d %.3s %d %02d:%02d:%02d GMT", days + 3 * tm.tm_wday,
	         tm.tm_mday, months + 3 * tm.tm_mon, tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
	         tm.tm_sec);
}

int edge_page_write(const struct edge_page *page, struct evbuffer *out)
{
	const struct page_text *text = page_text_find(page->status);
	struct evbuffer *body = evbuffer_new();
	char date[64];
	int err;

	if (body == NULL)
		return -ENOMEM;
	date_format(date, sizeof(date));
	err = body_write(page, text, body);
	err |= evbuffer_add_printf(out,
	                           "HTTP/1.1 %d %s\r\nDate: %s\r\n"
	                           "Content-Type: text/html; charset=utf-8\r\n"
	                           "Content-Length: %zu\r\nCache-Control: no-store\r\n"
	                           "Connection: close\r\n",
	                           text->status, text->reason, date, evbuffer_get_length(body))
	       < 0;
	if (page->location != NULL)
		err |= evbuffer_add_printf(out, "Location: %s\r\n", page->location) < 0;
	err |= evbuffer_add(out, "\r\n", 2) != 0;
	if (!page->to_head_method)
		err |= evbuffer_add_buffer(out, body) != 0;
	evbuffer_free(body);
	return err == 0 ? 0 : -ENOMEM;
}

void edge_request_id(char id[static EDGE_REQUEST_ID_LEN])
{
	uint8_t bytes[(EDGE_REQUEST_ID_LEN - 1) / 2];

	/* Does not fail or block once the system is up, for so few bytes. An id that repeats
	 * would only be harder to find in the log. */
	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		memset(bytes, 0, sizeof(bytes));
	base_hex_encode(id, bytes, sizeof(bytes));
}

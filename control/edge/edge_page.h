/* The pages that the edge writes itself: errors and redirects. They name the service and a request
 * id to look for in the log, and nothing of what is behind. */
#ifndef EDGE_PAGE_H
#define EDGE_PAGE_H

#include <stdbool.h>

#define EDGE_REQUEST_ID_LEN 17 /* 16 hex digits and the terminating zero */

struct evbuffer;

struct edge_page {
	int status;
	const char *service;    /* shown; NULL = none */
	const char *request_id; /* shown */
	const char *location;   /* field of a redirect, NULL = none; no CR or LF in it */
	bool to_head_method;    /* leave the body out */
};

/* Write a whole response that ends the connection. Returns 0 or -ENOMEM. */
int edge_page_write(const struct edge_page *page, struct evbuffer *out)
	__attribute__((warn_unused_result));

/* A new random request id. */
void edge_request_id(char id[static EDGE_REQUEST_ID_LEN]);

#endif

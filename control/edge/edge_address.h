/* base_endpoint as the kernel wants it. */
#ifndef EDGE_ADDRESS_H
#define EDGE_ADDRESS_H

#include "base_ip.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

/* Fill *out from an endpoint with a family and return the length that bind() and connect() take. */
static inline socklen_t edge_address_fill(const struct base_endpoint *endpoint,
                                          struct sockaddr_storage *out)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

	memset(out, 0, sizeof(*out));
	if (endpoint->ip.family == BASE_IP_V4) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(endpoint->port);
		memcpy(&v4->sin_addr, endpoint->ip.bytes, 4);
		return sizeof(*v4);
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(endpoint->port);
	memcpy(&v6->sin6_addr, endpoint->ip.bytes, 16);
	return sizeof(*v6);
}

#endif

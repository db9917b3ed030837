/* Names of hosts as DNS has them, and a name with a port: "vpn.example.org:51820". Nothing is looked up here. */
#ifndef BASE_HOST_H
#define BASE_HOST_H

#include <stdint.h>

#define BASE_HOST_LEN         254 /* 253 characters and the terminating zero */
#define BASE_HOST_PORT_STRLEN 260 /* host, ":65535" */

/* host "" and port 0 = none. */
struct base_host_port {
	char host[BASE_HOST_LEN];
	uint16_t port; /* host order */
};

/* A DNS name in lower case without a trailing dot. An IPv4 address, or what resolvers would take for one, is
 * no name. Returns 0 or -EINVAL. */
int base_host_normalize(const char *text, char out[static BASE_HOST_LEN])
	__attribute__((warn_unused_result));

/* 1 to 65535 in digits, the first not 0. Returns 0 or -EINVAL. */
int base_port_parse(const char *text, uint16_t *out) __attribute__((warn_unused_result));

/* "name:port". Returns 0, or -EINVAL with out as it was. */
int base_host_port_parse(const char *text, struct base_host_port *out)
	__attribute__((warn_unused_result));

/* Write text into buf and return buf. */
const char *base_host_port_format(const struct base_host_port *name,
                                  char buf[static BASE_HOST_PORT_STRLEN]);

#endif

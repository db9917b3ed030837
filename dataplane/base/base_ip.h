/* IP addresses, prefixes and UDP endpoints of both families in one fixed-size form that can lie in
 * shared memory (plain integers, no padding that is not named). Addresses are in network order. */
#ifndef BASE_IP_H
#define BASE_IP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum base_ip_family {
	BASE_IP_NONE = 0,
	BASE_IP_V4 = 4,
	BASE_IP_V6 = 6,
};

/* family is an enum base_ip_family; an IPv4 address uses bytes[0..3], the rest is zero, so that
 * two equal addresses are equal under memcmp(). */
struct base_ip {
	uint8_t bytes[16];
	uint8_t family;
	uint8_t pad[3];
};

/* len is 0..32 or 0..128 bits. */
struct base_prefix {
	struct base_ip ip;
	uint8_t len;
	uint8_t pad[3];
};

/* port in host order; 0 = none. */
struct base_endpoint {
	struct base_ip ip;
	uint16_t port;
	uint16_t pad;
};

#define BASE_IP_STRLEN       46
#define BASE_PREFIX_STRLEN   50 /* address, "/128" */
#define BASE_ENDPOINT_STRLEN 54 /* "[address]:65535" */

/* Number of bytes of an address of this family: 4, 16, or 0 for BASE_IP_NONE. */
size_t base_ip_len(uint8_t family);

/* Make an address from network-order bytes (4 or 16 of them, by family). */
struct base_ip base_ip_make(uint8_t family, const void *bytes);

bool base_ip_equal(const struct base_ip *a, const struct base_ip *b);
bool base_endpoint_equal(const struct base_endpoint *a, const struct base_endpoint *b);

/* Parse dotted quad or RFC 4291 text, no brackets, no scope. Returns 0 or -EINVAL. */
int base_ip_parse(const char *text, struct base_ip *out) __attribute__((warn_unused_result));

/* Parse "address/len" or "address" (then len is 32 or 128). Host bits are kept: see
 * base_prefix_mask(). Returns 0 or -EINVAL. */
int base_prefix_parse(const char *text, struct base_prefix *out)
	__attribute__((warn_unused_result));

/* Parse "a.b.c.d:port" or "[v6]:port", port 1..65535. Returns 0 or -EINVAL. */
int base_endpoint_parse(const char *text, struct base_endpoint *out)
	__attribute__((warn_unused_result));

/* Write text into buf and return buf, for use in an argument list. buf[BASE_..._STRLEN]. A
 * BASE_IP_NONE address, or a family that is none, gives "none". */
const char *base_ip_format(const struct base_ip *ip, char *buf);
const char *base_prefix_format(const struct base_prefix *prefix, char *buf);
const char *base_endpoint_format(const struct base_endpoint *endpoint, char *buf);

/* Clear the bits behind prefix->len. Returns true when some were set. */
bool base_prefix_mask(struct base_prefix *prefix);

/* True when ip lies in prefix (families equal, first len bits equal); never for BASE_IP_NONE, so
 * that two addresses nobody filled in do not match each other. */
bool base_prefix_contains(const struct base_prefix *prefix, const struct base_ip *ip);

/* True when one prefix contains the other. */
bool base_prefix_overlap(const struct base_prefix *a, const struct base_prefix *b);

bool base_prefix_equal(const struct base_prefix *a, const struct base_prefix *b);

#endif

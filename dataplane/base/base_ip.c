/* Text and comparison of addresses, prefixes and endpoints. */
#include "base_ip.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

size_t base_ip_len(uint8_t family)
{
	return family == BASE_IP_V4 ? 4 : family == BASE_IP_V6 ? 16 : 0;
}

struct base_ip base_ip_make(uint8_t family, const void *bytes)
{
	struct base_ip ip = {.family = family};

	memcpy(ip.bytes, bytes, base_ip_len(family));
	return ip;
}

bool base_ip_equal(const struct base_ip *a, const struct base_ip *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool base_endpoint_equal(const struct base_endpoint *a, const struct base_endpoint *b)
{
	return a->port == b->port && base_ip_equal(&a->ip, &b->ip);
}

int base_ip_parse(const char *text, struct base_ip *out)
{
	struct base_ip ip = {0};

	if (inet_pton(AF_INET, text, ip.bytes) == 1)
		ip.family = BASE_IP_V4;
	else if (inet_pton(AF_INET6, text, ip.bytes) == 1)
		ip.family = BASE_IP_V6;
	else
		return -EINVAL;
	*out = ip;
	return 0;
}

/* Decimal digits only, no sign, no leading blank, at most max. Returns -1 when it is not that. */
static long parse_number(const char *text, long max)
{
	long value = 0;

	if (*text == '\0')
		return -1;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		value = value * 10 + (*text - '0');
		if (value > max)
			return -1;
	}
	return value;
}

int base_prefix_parse(const char *text, struct base_prefix *out)
{
	char address[BASE_IP_STRLEN];
	struct base_prefix prefix = {0};
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : strlen(text);

	if (len >= sizeof(address))
		return -EINVAL;
	memcpy(address, text, len);
	address[len] = '\0';
	if (base_ip_parse(address, &prefix.ip) < 0)
		return -EINVAL;

	long bits = (long)base_ip_len(prefix.ip.family) * 8;

	if (slash)
		bits = parse_number(slash + 1, bits);
	if (bits < 0)
		return -EINVAL;
	prefix.len = (uint8_t)bits;
	*out = prefix;
	return 0;
}

int base_endpoint_parse(const char *text, struct base_endpoint *out)
{
	char address[BASE_IP_STRLEN];
	struct base_endpoint endpoint = {0};
	const char *colon = strrchr(text, ':');
	const char *begin = text;
	size_t len;
	bool bracketed = text[0] == '[';

	if (!colon)
		return -EINVAL;
	len = (size_t)(colon - text);
	if (bracketed) {
		if (len < 2 || text[len - 1] != ']')
			return -EINVAL;
		begin++;
		len -= 2;
	}
	if (len >= sizeof(address))
		return -EINVAL;
	memcpy(address, begin, len);
	address[len] = '\0';
	if (base_ip_parse(address, &endpoint.ip) < 0)
		return -EINVAL;
	if (bracketed != (endpoint.ip.family == BASE_IP_V6))
		return -EINVAL;

	long port = parse_number(colon + 1, 65535);

	if (port < 1)
		return -EINVAL;
	endpoint.port = (uint16_t)port;
	*out = endpoint;
	return 0;
}

const char *base_ip_format(const struct base_ip *ip, char *buf)
{
	int family = ip->family == BASE_IP_V6 ? AF_INET6 : AF_INET;

	if (base_ip_len(ip->family) == 0 || !inet_ntop(family, ip->bytes, buf, BASE_IP_STRLEN))
		snprintf(buf, BASE_IP_STRLEN, "none");
	return buf;
}

const char *base_prefix_format(const struct base_prefix *prefix, char *buf)
{
	char address[BASE_IP_STRLEN];

	snprintf(buf, BASE_PREFIX_STRLEN, "%s/%u", base_ip_format(&prefix->ip, address),
	         prefix->len);
	return buf;
}

const char *base_endpoint_format(const struct base_endpoint *endpoint, char *buf)
{
	char address[BASE_IP_STRLEN];

	base_ip_format(&endpoint->ip, address);
	if (base_ip_len(endpoint->ip.family) == 0)
		snprintf(buf, BASE_ENDPOINT_STRLEN, "none");
	else if (endpoint->ip.family == BASE_IP_V6)
		snprintf(buf, BASE_ENDPOINT_STRLEN, "[%s]:%u", address, endpoint->port);
	else
		snprintf(buf, BASE_ENDPOINT_STRLEN, "%s:%u", address, endpoint->port);
	return buf;
}

/* The bits of byte number i that a prefix of len bits covers. */
static uint8_t byte_mask(size_t i, uint8_t len)
{
	if (len >= (i + 1) * 8)
		return 0xff;
	if (len <= i * 8)
		return 0;
	return (uint8_t)(0xff << (8 - (len - i * 8)));
}

bool base_prefix_mask(struct base_prefix *prefix)
{
	bool changed = false;

	for (size_t i = 0; i < base_ip_len(prefix->ip.family); i++) {
		uint8_t kept = prefix->ip.bytes[i] & byte_mask(i, prefix->len);

		changed |= kept != prefix->ip.bytes[i];
		prefix->ip.bytes[i] = kept;
	}
	return changed;
}

bool base_prefix_contains(const struct base_prefix *prefix, const struct base_ip *ip)
{
	if (prefix->ip.family != ip->family || base_ip_len(ip->family) == 0)
		return false;
	for (size_t i = 0; i < base_ip_len(ip->family); i++)
		if ((prefix->ip.bytes[i] ^ ip->bytes[i]) & byte_mask(i, prefix->len))
			return false;
	return true;
}

bool base_prefix_overlap(const struct base_prefix *a, const struct base_prefix *b)
{
	return a->len <= b->len ? base_prefix_contains(a, &b->ip) : base_prefix_contains(b, &a->ip);
}

bool base_prefix_equal(const struct base_prefix *a, const struct base_prefix *b)
{
	return a->len == b->len && base_ip_equal(&a->ip, &b->ip);
}

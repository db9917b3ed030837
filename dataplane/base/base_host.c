#include "base_host.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* One label of a DNS name: 1 to 63 of a-z 0-9 - _, no '-' at its ends. */
static bool is_label(const char *label, size_t len)
{
	if (len == 0 || len > 63 || label[0] == '-' || label[len - 1] == '-')
		return false;
	return strspn(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") >= len;
}

int base_host_normalize(const char *text, char out[static BASE_HOST_LEN])
{
	size_t len = strlen(text);
	const char *label = out;
	const char *last = out;

	if (len > 0 && text[len - 1] == '.')
		len--;
	if (len == 0 || len >= BASE_HOST_LEN)
		return -EINVAL;
	for (size_t i = 0; i < len; i++)
		out[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] + ('a' - 'A') : text[i]);
	out[len] = '\0';
	for (; label != NULL; label = strchr(label, '.') != NULL ? strchr(label, '.') + 1 : NULL) {
		if (!is_label(label, strcspn(label, ".")))
			return -EINVAL;
		last = label;
	}
	return strspn(last, "0123456789") == strlen(last) ? -EINVAL : 0;
}

int base_port_parse(const char *text, uint16_t *out)
{
	size_t len = strspn(text, "0123456789");
	uint32_t value = 0;

	if (len == 0 || len > 5 || text[len] != '\0' || text[0] == '0')
		return -EINVAL;
	for (; *text != '\0'; text++)
		value = value * 10 + (uint32_t)(*text - '0');
	if (value > UINT16_MAX)
		return -EINVAL;
	*out = (uint16_t)value;
	return 0;
}

int base_host_port_parse(const char *text, struct base_host_port *out)
{
	const char *colon = strchr(text, ':');
	char host[BASE_HOST_LEN + 1]; /* a trailing dot is none of the name's */
	struct base_host_port read = {0};

	if (colon == NULL || (size_t)(colon - text) >= sizeof(host)
	    || base_port_parse(colon + 1, &read.port) < 0)
		return -EINVAL;
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	if (base_host_normalize(host, read.host) < 0)
		return -EINVAL;
	*out = read;
	return 0;
}

const char *base_host_port_format(const struct base_host_port *name,
                                  char buf[static BASE_HOST_PORT_STRLEN])
{
	snprintf(buf, BASE_HOST_PORT_STRLEN, "%s:%u", name->host, name->port);
	return buf;
}

/* The fields of a limit, and limits as text. */
#include "limit.h"

#include "base_bytes.h"
#include "base_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PACKETS_BURST_LEAST 32U
#define BYTES_BURST_LEAST   65536U
#define QUOTA_MAX           (UINT64_C(1) << 60) /* 1 EiB */

#define PACKETS_TEXT "0 (no limit) or 1 to 4294967296 packets a second"
#define PACKETS_BURST_TEXT                                                                         \
	"0 (a tenth of a second of the rate, at least 32) or 1 to 4294967296 packets"
#define BYTES_TEXT "0 (no limit) or 1 to 50000000000 bytes a second, such as 2500000, 20Mbit or 1G"
#define BYTES_BURST_TEXT                                                                           \
	"0 (a tenth of a second of the rate, at least 64 KiB) or 9216 to 8589934592 bytes"
#define QUOTA_TEXT "0 (none) or 1 to 2^60 bytes a month, such as 500G or 1Ti"

#define PACKETS(field) offsetof(struct limit_spec, field), false, 1, ABI_LIMIT_PACKETS_MAX
#define BYTES(field)   offsetof(struct limit_spec, field), true, 1, ABI_LIMIT_BYTES_MAX
#define BYTES_BURST(field)                                                                         \
	offsetof(struct limit_spec, field), true, ABI_LIMIT_BYTES_BURST_MIN,                       \
		ABI_LIMIT_BYTES_BURST_MAX
#define QUOTA(field) offsetof(struct limit_spec, field), true, 1, QUOTA_MAX

const struct limit_field limit_fields[LIMIT_N_FIELDS] = {
	{"rx_packets", PACKETS_TEXT, PACKETS(rx.packets)},
	{"rx_packets_burst", PACKETS_BURST_TEXT, PACKETS(rx.packets_burst)},
	{"rx_bytes", BYTES_TEXT, BYTES(rx.bytes)},
	{"rx_bytes_burst", BYTES_BURST_TEXT, BYTES_BURST(rx.bytes_burst)},
	{"tx_packets", PACKETS_TEXT, PACKETS(tx.packets)},
	{"tx_packets_burst", PACKETS_BURST_TEXT, PACKETS(tx.packets_burst)},
	{"tx_bytes", BYTES_TEXT, BYTES(tx.bytes)},
	{"tx_bytes_burst", BYTES_BURST_TEXT, BYTES_BURST(tx.bytes_burst)},
	{"quota_rx", QUOTA_TEXT, QUOTA(quota_rx)},
	{"quota_tx", QUOTA_TEXT, QUOTA(quota_tx)},
	{"quota", QUOTA_TEXT, QUOTA(quota)},
};

const struct limit_field *limit_field_find(const char *name)
{
	for (size_t i = 0; i < LIMIT_N_FIELDS; i++)
		if (strcmp(limit_fields[i].name, name) == 0)
			return &limit_fields[i];
	return NULL;
}

static uint64_t *at(const struct limit_field *field, struct limit_spec *spec)
{
	return (uint64_t *)(void *)((char *)spec + field->offset);
}

uint64_t limit_field_get(const struct limit_field *field, const struct limit_spec *spec)
{
	struct limit_spec copy = *spec;

	return *at(field, &copy);
}

int limit_field_set(const struct limit_field *field, struct limit_spec *spec, uint64_t value)
{
	if (value != 0 && (value < field->min || value > field->max))
		return -ERANGE;
	*at(field, spec) = value;
	return 0;
}

int limit_field_parse(const struct limit_field *field, struct limit_spec *spec, const char *text)
{
	uint64_t value;
	int err = base_amount_parse(text, field->is_bytes, &value);

	return err < 0 ? err : limit_field_set(field, spec, value);
}

const struct limit_field *limit_spec_stray(const struct limit_spec *spec)
{
	/* each burst stands behind its rate */
	for (size_t i = 1; i < LIMIT_N_FIELDS; i++) {
		const struct limit_field *field = &limit_fields[i];

		if (strstr(field->name, "_burst") != NULL && limit_field_get(field, spec) != 0
		    && limit_field_get(field - 1, spec) == 0)
			return field;
	}
	return NULL;
}

bool limit_spec_is_none(const struct limit_spec *spec)
{
	const struct limit_spec none = {0};

	return memcmp(spec, &none, sizeof(none)) == 0;
}

bool limit_spec_has_quota(const struct limit_spec *spec)
{
	return spec->quota_rx != 0 || spec->quota_tx != 0 || spec->quota != 0;
}

static void complete(struct abi_limit_rate *rate)
{
	if (rate->packets != 0 && rate->packets_burst == 0)
		rate->packets_burst = rate->packets / 10 > PACKETS_BURST_LEAST
		                              ? rate->packets / 10
		                              : PACKETS_BURST_LEAST;
	if (rate->bytes != 0 && rate->bytes_burst == 0)
		rate->bytes_burst = rate->bytes / 10 > BYTES_BURST_LEAST ? rate->bytes / 10
		                                                         : BYTES_BURST_LEAST;
}

struct limit_spec limit_spec_complete(const struct limit_spec *spec)
{
	struct limit_spec whole = *spec;

	complete(&whole.rx);
	complete(&whole.tx);
	return whole;
}

void limit_spec_format(const struct limit_spec *spec, char buf[static LIMIT_TEXT_LEN])
{
	size_t len = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < LIMIT_N_FIELDS; i++) {
		uint64_t value = limit_field_get(&limit_fields[i], spec);

		if (value != 0)
			len += (size_t)snprintf(buf + len, LIMIT_TEXT_LEN - len, "%s%s=%llu",
			                        len > 0 ? " " : "", limit_fields[i].name,
			                        (unsigned long long)value);
	}
}

/* One "name=value" of len bytes. */
static int read_part(const char *part, size_t len, struct limit_spec *out)
{
	char text[64];
	char *value;
	const struct limit_field *field;

	if (len >= sizeof(text))
		return -EUCLEAN;
	memcpy(text, part, len);
	text[len] = '\0';
	value = strchr(text, '=');
	if (!value)
		return -EUCLEAN;
	*value = '\0';
	field = limit_field_find(text);
	return field && limit_field_parse(field, out, value + 1) == 0 ? 0 : -EUCLEAN;
}

int limit_spec_read(const char *text, struct limit_spec *out)
{
	*out = (struct limit_spec){0};
	while (*text != '\0') {
		size_t len = strcspn(text, " ");

		if (read_part(text, len, out) < 0)
			return -EUCLEAN;
		text += len;
		text += strspn(text, " ");
	}
	return limit_spec_stray(out) ? -EUCLEAN : 0;
}

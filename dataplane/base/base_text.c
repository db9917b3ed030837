/* Base64, hex and times. sodium would do it too, but base depends on libc alone. */
#include "base_text.h"

#include "base_bytes.h"
#include "base_time.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* 0..63 -> character, with arithmetic only: each term switches on past its boundary. */
static char sextet_to_char(unsigned int v)
{
	int c = 'A' + (int)v;

	c += ((25 - (int)v) >> 8) & 6;  /* past 'Z': to 'a' */
	c -= ((51 - (int)v) >> 8) & 75; /* past 'z': to '0' */
	c -= ((61 - (int)v) >> 8) & 15; /* past '9': to '+' */
	c += ((62 - (int)v) >> 8) & 3;  /* '/' */
	return (char)c;
}

/* All ones when lo <= c <= hi, else 0. */
static int in_range(int c, int lo, int hi)
{
	return ~(((c - lo) >> 8) | ((hi - c) >> 8));
}

/* Character -> 0..63, or -1. */
static int char_to_sextet(int c)
{
	int v = -1;

	v += in_range(c, 'A', 'Z') & (c - 'A' + 1);
	v += in_range(c, 'a', 'z') & (c - 'a' + 26 + 1);
	v += in_range(c, '0', '9') & (c - '0' + 52 + 1);
	v += in_range(c, '+', '+') & (62 + 1);
	v += in_range(c, '/', '/') & (63 + 1);
	return v;
}

void base_key_to_base64(char out[static BASE_KEY_BASE64_LEN],
                        const uint8_t key[static BASE_KEY_LEN])
{
	for (size_t i = 0; i < 11; i++) {
		uint32_t group = 0;

		for (size_t j = 0; j < 3; j++)
			group = group << 8 | (i * 3 + j < BASE_KEY_LEN ? key[i * 3 + j] : 0U);
		for (size_t j = 0; j < 4; j++)
			out[i * 4 + j] = sextet_to_char(group >> (18 - 6 * j) & 63);
	}
	out[43] = '=';
	out[44] = '\0';
}

int base_key_from_base64(uint8_t key[static BASE_KEY_LEN], const char *text)
{
	uint8_t bytes[33];
	int bad = 0;

	if (strnlen(text, BASE_KEY_BASE64_LEN) != BASE_KEY_BASE64_LEN - 1 || text[43] != '=')
		return -EINVAL;
	for (size_t i = 0; i < 11; i++) {
		uint32_t group = 0;

		for (size_t j = 0; j < 4; j++) {
			int v = i * 4 + j == 43 ? 0
			                        : char_to_sextet((unsigned char)text[i * 4 + j]);

			bad |= v;
			group = group << 6 | ((uint32_t)v & 63);
		}
		bytes[i * 3] = (uint8_t)(group >> 16);
		bytes[i * 3 + 1] = (uint8_t)(group >> 8);
		bytes[i * 3 + 2] = (uint8_t)group;
	}
	/* The last group holds 16 bits of key; the two bits below them must be zero. */
	bad |= -(int)bytes[32];
	memcpy(key, bytes, BASE_KEY_LEN);
	base_wipe(bytes, sizeof(bytes));
	if (bad < 0) {
		base_wipe(key, BASE_KEY_LEN);
		return -EINVAL;
	}
	return 0;
}

void base_hex_encode(char *out, const uint8_t *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		out[2 * i] = digits[bytes[i] >> 4];
		out[2 * i + 1] = digits[bytes[i] & 15];
	}
	out[2 * len] = '\0';
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int base_hex_decode(uint8_t *out, size_t len, const char *text)
{
	if (strnlen(text, 2 * len + 1) != 2 * len)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		int high = hex_digit(text[2 * i]);
		int low = hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return -EINVAL;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}

const char *base_time_text(uint64_t wall_ns, char buf[static BASE_TIME_STRLEN])
{
	time_t seconds = (time_t)(wall_ns / BASE_NS_PER_S);
	struct tm tm;
	size_t len;

	gmtime_r(&seconds, &tm);
	len = strftime(buf, BASE_TIME_STRLEN, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf + len, BASE_TIME_STRLEN - len, ".%03uZ",
	         (unsigned int)(wall_ns / BASE_NS_PER_MS % 1000));
	return buf;
}

/* Reads "k", "Mi" and the like at *text, and goes behind it. */
static uint64_t read_unit(const char **text)
{
	static const char letters[] = "kMGT";
	const char *letter = **text != '\0' ? strchr(letters, **text == 'K' ? 'k' : **text) : NULL;
	uint64_t step = 1000, unit = 1;

	if (!letter)
		return 1;
	(*text)++;
	if (**text == 'i') {
		step = 1024;
		(*text)++;
	}
	for (long i = letter - letters; i >= 0; i--)
		unit *= step;
	return unit;
}

int base_amount_parse(const char *text, bool takes_bits, uint64_t *out)
{
	size_t n_digits = strspn(text, "0123456789");
	uint64_t value = 0, unit;

	if (n_digits == 0)
		return -EINVAL;
	for (; n_digits > 0; n_digits--, text++)
		if (__builtin_mul_overflow(value, 10, &value)
		    || __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
			return -ERANGE;
	unit = read_unit(&text);
	if (__builtin_mul_overflow(value, unit, &value) || value > INT64_MAX)
		return -ERANGE;
	if (takes_bits && strcmp(text, "bit") == 0) {
		if (value % 8 != 0)
			return -EINVAL;
		value /= 8;
		text += strlen(text);
	}
	if (*text != '\0')
		return -EINVAL;
	*out = value;
	return 0;
}

size_t base_utf8_len(const char *text)
{
	const unsigned char *at = (const unsigned char *)text;
	size_t len = at[0] < 0x80   ? 1
	             : at[0] < 0xc2 ? 0
	             : at[0] < 0xe0 ? 2
	             : at[0] < 0xf0 ? 3
	             : at[0] < 0xf5 ? 4
	                            : 0;

	for (size_t i = 1; i < len; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f)
	    || (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f))
		return 0;
	return len;
}

void base_utf8_repair(char *text)
{
	while (*text != '\0') {
		size_t len = base_utf8_len(text);

		if (len == 0)
			*text = '?';
		text += len == 0 ? 1 : len;
	}
}

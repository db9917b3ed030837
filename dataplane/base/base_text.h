/* Keys and times as text. Base64 of 32-byte keys in constant time in the key (no table look-up by secret
 * data), hex for fingerprints. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BASE_KEY_LEN        32
#define BASE_KEY_BASE64_LEN 45 /* 44 characters and the terminating zero */

/* Write the 44 characters of RFC 4648 base64 and a zero. */
void base_key_to_base64(char out[static BASE_KEY_BASE64_LEN],
                        const uint8_t key[static BASE_KEY_LEN]);

/* Read exactly 44 characters ending in '='; unused bits must be zero. Returns 0 or -EINVAL, and
 * then key is wiped. */
int base_key_from_base64(uint8_t key[static BASE_KEY_LEN], const char *text)
	__attribute__((warn_unused_result));

#define BASE_TIME_STRLEN 32

/* RFC 3339 in UTC with milliseconds, of nanoseconds since 1970. Returns buf. */
const char *base_time_text(uint64_t wall_ns, char buf[static BASE_TIME_STRLEN]);

/* Lower-case hex; out has 2 * len + 1 bytes. */
void base_hex_encode(char *out, const uint8_t *bytes, size_t len);

/* Exactly 2 * len hex digits of either case. Returns 0 or -EINVAL. */
int base_hex_decode(uint8_t *out, size_t len, const char *text) __attribute__((warn_unused_result));

/* Length of the UTF-8 sequence at text, or 0 when it is none (RFC 3629). The terminating zero is one, of 1. */
size_t base_utf8_len(const char *text);

/* Make UTF-8 of a text that was cut anywhere: what is no sequence becomes question marks. JSON takes nothing else. */
void base_utf8_repair(char *text);

/* A whole number with a unit: "5000", "20k", "20M", "1G", "2T" (thousands), "64Ki", "1Mi", "1Gi", "1Ti" (1024s);
 * takes_bits: "20Mbit" as well, an eighth of it, which must be whole. Returns 0, -EINVAL, -ERANGE (beyond 63
 * bits). */
int base_amount_parse(const char *text, bool takes_bits, uint64_t *out)
	__attribute__((warn_unused_result));

#endif

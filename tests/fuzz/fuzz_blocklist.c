/* Drop lists as text. What is taken is sorted, holds each prefix once, and is the same when it is written
 * and read again. */
#include "base_bytes.h"
#include "blocklist.h"
#include "fuzz.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

void fuzz_start(void)
{
}

static char *write_text(const struct block_prefix *prefixes, size_t n, size_t *len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, len);
	char buf[BASE_PREFIX_STRLEN];

	assert(out != NULL);
	for (size_t i = 0; i < n; i++) {
		struct base_prefix prefix = block_prefix_text(&prefixes[i]);

		fprintf(out, "%s\n", base_prefix_format(&prefix, buf));
	}
	fclose(out);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct blocklist_text_error error;
	struct block_prefix *prefixes, *again;
	size_t n, n_again, text_len;
	char *text;
	int err = blocklist_text_read((const char *)data, len, BLOCK_WIREGUARD, &prefixes, &n,
	                              &error);

	if (err < 0) {
		assert(err == -EINVAL && error.line > 0 && error.text[0] != '\0');
		return 0;
	}
	for (size_t i = 1; i < n; i++)
		assert(block_prefix_compare(&prefixes[i - 1], &prefixes[i]) < 0);
	text = write_text(prefixes, n, &text_len);
	assert(blocklist_text_read(text, text_len, BLOCK_WIREGUARD, &again, &n_again, &error) == 0);
	assert(n == n_again && (n == 0 || memcmp(prefixes, again, n * sizeof(*again)) == 0));
	free(text);
	free(prefixes);
	free(again);
	return 0;
}

void fuzz_seeds(void)
{
	static const char text[] =
		"# list\n192.0.2.1\r\n198.51.100.0/24 ; SBL1\n2001:db8::/32 # x\n"
		"create bad hash:ip\nadd bad 203.0.113.9 timeout 60\n::1\n"
		"::ffff:192.0.2.1/128\n0.0.0.0/0";

	fuzz_seed("list", text, sizeof(text) - 1);
	fuzz_seed("wrong", "192.0.2.1/24\n", 13);
	fuzz_seed("octal", "010.0.0.1\n", 10);
}

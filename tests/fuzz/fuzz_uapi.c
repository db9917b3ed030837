/* What wg(8) writes, as text. What is taken is within its bounds: prefixes masked, in order of their peers; what
 * is refused says why. */
#include "fuzz.h"
#include "uapi_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void fuzz_start(void)
{
}

static void check_set(const struct peer_set *set)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < set->n_ones; i++) {
		assert(set->ones[i].first_ip == n);
		n += set->ones[i].n_ips;
	}
	assert(n == set->n_ips);
	for (uint32_t i = 0; i < set->n_ips; i++) {
		struct base_prefix prefix = set->ips[i].prefix;

		assert(!base_prefix_mask(&prefix));
		assert(prefix.len <= 8 * base_ip_len(prefix.ip.family));
	}
}

static void check_request(const struct uapi_request *request)
{
	assert(request->want != UAPI_NOTHING);
	assert((request->err == 0) == (request->why[0] == '\0'));
	assert((request->want == UAPI_REFUSAL) == (request->err == -EPROTO));
	if (request->err == 0)
		check_set(&request->set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = malloc(len + 1);
	struct uapi_request request = {.want = UAPI_NOTHING};
	char *line = text;
	char *end;

	assert(text != NULL);
	memcpy(text, data, len);
	text[len] = '\0';
	/* A line of its own memory, so that ASan sees a read behind it. */
	while ((end = strchr(line, '\n')) != NULL) {
		char *copy = strndup(line, (size_t)(end - line));

		assert(copy != NULL);
		if (uapi_request_line(&request, copy)) {
			check_request(&request);
			uapi_request_fini(&request);
		}
		free(copy);
		line = end + 1;
	}
	uapi_request_fini(&request);
	free(text);
	return 0;
}

#define KEY "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

void fuzz_seeds(void)
{
	static const char *const texts[][2] = {
		{"get", "get=1\n\n"},
		{"set",
	         "set=1\nprivate_key=" KEY "\nlisten_port=51820\nfwmark=0\nreplace_peers=true\n"
	         "public_key=" KEY "\npreshared_key=" KEY "\nendpoint=192.0.2.1:51820\n"
	         "persistent_keepalive_interval=25\nreplace_allowed_ips=true\n"
	         "allowed_ip=10.77.0.2/32\nallowed_ip=fd77::2/128\nprotocol_version=1\n\n"},
		{"change",
	         "set=1\npublic_key=" KEY "\nupdate_only=true\nallowed_ip=-10.0.0.5/8\n"
	         "endpoint=[2001:db8::1]:4000\npublic_key=" KEY "\nremove=true\n\nget=1\n\n"},
		{"wrong", "set=1\nlisten_port=65536\nlisten_port\n=\n\nfetch=1\n\n"},
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		fuzz_seed(texts[i][0], texts[i][1], strlen(texts[i][1]));
}

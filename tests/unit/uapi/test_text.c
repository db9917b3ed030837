/* control/uapi: what wg(8) writes is read line by line; what is wrong is refused with the line and what was
 * expected, and without a key in it. */
#include "base_bytes.h"
#include "test.h"
#include "uapi_text.h"

#include <errno.h>
#include <string.h>

#define KEY  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define PEER "set=1\npublic_key=" KEY "\n"

/* All lines of the text; true when the last completes the request. */
static bool take(struct uapi_request *request, const char *text)
{
	bool is_whole = false;

	memset(request, 0, sizeof(*request));
	while (*text != '\0') {
		size_t len = strcspn(text, "\n");
		char line[256];

		snprintf(line, sizeof(line), "%.*s", (int)len, text);
		is_whole = uapi_request_line(request, line);
		text += len + 1;
	}
	return is_whole;
}

static void all_that_wg_writes_is_taken(void **state)
{
	struct uapi_request request;
	const struct peer_set_one *one;

	(void)state;
	assert_true(take(&request, "set=1\nprivate_key=" KEY "\nlisten_port=51820\nfwmark=7\n"
	                           "replace_peers=true\npublic_key=" KEY "\npreshared_key=" KEY
	                           "\nendpoint=[2001:db8::1]:4000\n"
	                           "persistent_keepalive_interval=25\nreplace_allowed_ips=true\n"
	                           "allowed_ip=10.0.0.5/24\nallowed_ip=-fd77::/64\n"
	                           "protocol_version=1\npublic_key=" KEY
	                           "\nremove=true\nupdate_only=true\n\n"));
	assert_int_equal(request.err, 0);
	assert_int_equal(request.want, UAPI_SET);
	assert_true(request.has_private_key && request.set.replaces_peers);
	assert_int_equal(request.listen_port, 51820);
	assert_int_equal(request.fwmark, 7);
	assert_int_equal(request.set.n_ones, 2);
	one = &request.set.ones[0];
	assert_true(one->has_preshared_key && one->has_endpoint && one->has_keepalive
	            && one->replaces_ips && !one->is_removed && !one->update_only);
	assert_int_equal(one->keepalive_s, 25);
	assert_int_equal(one->n_ips, 2);
	assert_int_equal(request.set.ips[0].prefix.ip.bytes[3], 0); /* host bits go */
	assert_false(request.set.ips[0].drop);
	assert_true(request.set.ips[1].drop);
	one = &request.set.ones[1];
	assert_true(one->is_removed && one->update_only);
	assert_int_equal(one->n_ips, 0);
	uapi_request_fini(&request);
	assert_true(take(&request, "get=1\n\n"));
	assert_int_equal(request.want, UAPI_GET);
	assert_false(take(&request, "\n\n"));
}

static void what_is_wrong_is_refused_with_its_line(void **state)
{
	static const struct {
		const char *text;
		int err;
		const char *why;
	} cases[] = {
		{"fetch=1\n\n", -EPROTO, "line 1:  must be get=1 or set=1"},
		{"set=1\nprivate_key=xyz\n\n", -EINVAL,
	         "line 2: private_key must be 64 hexadecimal digits"},
		{"set=1\nlisten_port=65536\n\n", -EINVAL, "line 2: listen_port must be 0 to 65535"},
		{"set=1\nlisten_port=\n\n", -EINVAL, "line 2: listen_port must be 0 to 65535"},
		{"set=1\nlisten_port=-1\n\n", -EINVAL, "line 2: listen_port must be 0 to 65535"},
		{"set=1\nfwmark=4294967296\n\n", -EINVAL, "line 2: fwmark must be 0 to 4294967295"},
		{"set=1\nreplace_peers=1\n\n", -EINVAL, "line 2: replace_peers must be true"},
		{"set=1\nallowed_ip=10.0.0.0/8\n\n", -EINVAL,
	         "line 2: allowed_ip is no key of the hub"},
		{PEER "listen_port=1\n\n", -EINVAL, "line 3: listen_port is no key of a peer"},
		{PEER "allowed_ip=10.0.0.0/33\n\n", -EINVAL,
	         "line 3: allowed_ip must be a network"},
		{PEER "allowed_ip=--10.0.0.0/8\n\n", -EINVAL,
	         "line 3: allowed_ip must be a network"},
		{PEER "endpoint=192.0.2.1\n\n", -EINVAL,
	         "line 3: endpoint must be an address and a port"},
		{PEER "endpoint=192.0.2.1:0\n\n", -EINVAL,
	         "line 3: endpoint must be an address and a port"},
		{PEER "protocol_version=2\n\n", -EINVAL, "line 3: protocol_version must be 1"},
		{PEER "remove=false\n\n", -EINVAL, "line 3: remove must be true"},
		{PEER "persistent_keepalive_interval=off\nallowed_ip=x\n\n", -EINVAL,
	         "line 3: persistent_keepalive_interval must be 0 to 65535"},
		{"set=1\n" KEY KEY "\n\n", -EINVAL,
	         "line 2:  must be key=value, with a key that is known"},
	};

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++) {
		struct uapi_request request;

		assert_true(take(&request, cases[i].text));
		assert_string_equal(request.why, cases[i].why);
		assert_int_equal(request.err, cases[i].err);
		uapi_request_fini(&request);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_that_wg_writes_is_taken),
		cmocka_unit_test(what_is_wrong_is_refused_with_its_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Names of hosts, with and without a port. */
#include "base_bytes.h"
#include "base_host.h"
#include "test.h"

#include <errno.h>
#include <string.h>

static void hosts_are_normalized(void **state)
{
	static const struct {
		const char *text;
		const char *expected; /* NULL = refused */
	} cases[] = {
		{"Blog.Example.ORG", "blog.example.org"},
		{"blog.example.org.", "blog.example.org"},
		{"xn--bcher-kva.example", "xn--bcher-kva.example"},
		{"_dmarc.example", "_dmarc.example"},
		{"localhost", "localhost"},
		{"1.example", "1.example"},
		{"", NULL},
		{".", NULL},
		{".a", NULL},
		{"a..", NULL},
		{"-a.b", NULL},
		{"a-.b", NULL},
		{"a.b:443", NULL},
		{"a/b", NULL},
		{"*.example", NULL},
		{"1.2.3.4", NULL},
		{"a.1", NULL},
		{"::1", NULL},
	};
	char out[BASE_HOST_LEN];
	char text[300];

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++) {
		assert_int_equal(base_host_normalize(cases[i].text, out),
		                 cases[i].expected ? 0 : -EINVAL);
		if (cases[i].expected)
			assert_string_equal(out, cases[i].expected);
	}
	memset(text, 'a', sizeof(text));
	text[64] = '\0';
	assert_int_equal(base_host_normalize(text, out), -EINVAL); /* label of 64 */
	text[63] = '\0';
	assert_int_equal(base_host_normalize(text, out), 0);
	for (size_t i = 0; i < 253; i++)
		text[i] = i % 2 ? '.' : 'a';
	text[253] = '\0';
	assert_int_equal(base_host_normalize(text, out), 0);
	strcat(text, ".");
	assert_int_equal(base_host_normalize(text, out), 0);
	strcpy(text + 253, ".a");
	assert_int_equal(base_host_normalize(text, out), -EINVAL);
}

static void a_name_with_a_port_is_read(void **state)
{
	static const struct {
		const char *text;
		const char *expected; /* NULL = refused */
	} cases[] = {
		{"VPN.Example.org:51820", "vpn.example.org:51820"},
		{"vpn.example.org.:1", "vpn.example.org:1"},
		{"hub:65535", "hub:65535"},
		{"hub:65536", NULL},
		{"hub:0", NULL},
		{"hub:01", NULL},
		{"hub:+1", NULL},
		{"hub:", NULL},
		{"hub", NULL},
		{":51820", NULL},
		{"192.0.2.1:51820", NULL},
		{"192.0.2.256:51820", NULL},
		{"[2001:db8::1]:51820", NULL},
		{"2001:db8::1:51820", NULL},
		{"hub:51820:1", NULL},
		{"a b:1", NULL},
	};
	char text[BASE_HOST_PORT_STRLEN];

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++) {
		struct base_host_port out = {.host = "as it was", .port = 7};

		assert_int_equal(base_host_port_parse(cases[i].text, &out),
		                 cases[i].expected ? 0 : -EINVAL);
		assert_string_equal(base_host_port_format(&out, text),
		                    cases[i].expected ? cases[i].expected : "as it was:7");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts_are_normalized),
		cmocka_unit_test(a_name_with_a_port_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

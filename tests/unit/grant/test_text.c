/* control/grant: the policy as text. */
#include "grant_lab.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *written(const struct grant_policy *policy)
{
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	assert_int_equal(grant_write(policy, out), 0);
	fclose(out);
	return text;
}

#define GOOD                                                                                        \
	"grants: (\n"                                                                               \
	" { name = \"web\"; to = \"peer:app\"; who = \"group:office\"; protocol = \"tcp\";\n"       \
	"   ports = [ \"8000-8080\", \"443\" ]; from = \"2026-12-01T01:00:00+01:00\";\n"            \
	"   until = \"2027-01-01T00:00:00Z\"; windows = ( \"mon-fri 08:00-18:00 UTC\" );\n"         \
	"   comment = \"say \\\"hi\\\" \\\\\"; author = \"root\"; },\n"                             \
	" { name = \"dns\"; who = \"any\"; to = \"hub\"; protocol = \"udp\"; ports = [\"53\"]; }\n" \
	");\n"                                                                                      \
	"groups: ( { name = \"office\"; members = [ \"laptop\", \"desk\" ]; comment = \"c\"; },\n"  \
	"          { name = \"empty\"; } );\n"

static const char canonical[] =
	"# Policy of a weir hub. What no grant allows does not cross it.\n"
	"groups: (\n"
	"\t{ name = \"empty\"; members = [ ]; },\n"
	"\t{ name = \"office\"; members = [ \"desk\", \"laptop\" ]; comment = \"c\"; }\n"
	");\n"
	"grants: (\n"
	"\t{ name = \"dns\"; who = \"any\"; to = \"hub\"; protocol = \"udp\"; ports = [ \"53\" ]; "
	"},\n"
	"\t{ name = \"web\"; who = \"group:office\"; to = \"peer:app\"; protocol = \"tcp\"; "
	"ports = [ \"443\", \"8000-8080\" ]; from = \"2026-12-01T00:00:00Z\"; "
	"until = \"2027-01-01T00:00:00Z\"; windows = [ \"mon-fri 08:00-18:00 UTC\" ]; "
	"comment = \"say \\\"hi\\\" \\\\\"; author = \"root\"; }\n"
	");\n";

static void what_is_written_is_read_again_and_is_the_same(void **state)
{
	struct grant_policy policy, again, clone;
	char *text, *text_again;

	(void)state;
	lab_set_up();
	policy = lab_policy(GOOD);
	text = written(&policy);
	assert_string_equal(text, canonical);
	again = lab_policy(text);
	text_again = written(&again);
	assert_string_equal(text_again, canonical);
	assert_int_equal(grant_policy_clone(&policy, &clone), 0);
	free(text);
	text = written(&clone);
	assert_string_equal(text, canonical);
	free(text);
	free(text_again);
	grant_policy_fini(&policy);
	grant_policy_fini(&again);
	grant_policy_fini(&clone);
}

static void an_empty_text_is_an_empty_policy(void **state)
{
	struct grant_policy policy;

	(void)state;
	lab_set_up();
	policy = lab_policy("");
	assert_int_equal(policy.n_grants + policy.n_groups, 0);
	grant_policy_fini(&policy);
}

#define G(rest) "grants: ( { name = \"a\"; who = \"any\"; to = \"hub\"; " rest " } );"

static void a_bad_text_names_its_line(void **state)
{
	static const struct {
		const char *text;
		int line;
		const char *message;
	} cases[] = {
		{"grants: (\n { name = ; } );", 2, "syntax error"},
		{"\n\nfrob = 1;", 3, "there is no key \"frob\", only groups and grants"},
		{"grants = 1;", 1, "grants must be a list: ( { name = \"...\"; ... }, ... )"},
		{"groups: ( 1 );", 1, "groups must be a list of { name = \"...\"; ... }"},
		{"# x\n@include \"/etc/shadow\"\n", 2,
	         "@include is not for a policy: write it in one file"},
		{"grants: ( {\n who = \"any\"; } );", 1,
	         "grant \"\": name is missing, must be 1 to 63 of the characters a-z 0-9 -, not "
	         "beginning or ending with -"},
		{"grants: ( { name = \"a\";\n to = \"hub\"; } );", 1,
	         "grant \"a\": who is missing, must be \"peer:NAME\", \"group:NAME\", "
	         "\"subnet:NETWORK\" or \"any\""},
		{G(""), 1,
	         "grant \"a\": protocol is missing, must be \"tcp\", \"udp\", \"icmp\" or \"any\""},
		{G("\nprotocol = \"tpc\";"), 2,
	         "grant \"a\": protocol is \"tpc\", must be \"tcp\", \"udp\", \"icmp\" or \"any\""},
		{G("\nprotocol = 6;"), 2,
	         "grant \"a\": protocol is not text, must be \"tcp\", \"udp\", \"icmp\" or \"any\""},
		{G("protocol = \"tcp\";\nports = [ \"1\",\n\"70000\" ];"), 3,
	         "grant \"a\": ports has \"70000\", must be a port or a range of ports from 1 to "
	         "65535, such as \"443\" or \"8000-8080\""},
		{G("protocol = \"tcp\";\nports = 443;"), 2,
	         "grant \"a\": ports must be a list of texts, [ \"...\", \"...\" ]"},
		{G("protocol = \"tcp\";\nprot = 443;"), 2,
	         "grant \"a\": there is no key \"prot\", only name, who, to, protocol, ports, from, "
	         "until, windows, comment, author"},
		{"grants: ( { name = \"a\"; who = \"hub\"; } );", 1,
	         "grant \"a\": who is \"hub\", must be \"peer:NAME\", \"group:NAME\", "
	         "\"subnet:NETWORK\" or \"any\""},
		{G("windows = [ \"mon 08:00-09:00 Mars\" ];"), 1,
	         "grant \"a\": windows has \"mon 08:00-09:00 Mars\", must be days, times and a time "
	         "zone, such as \"mon-fri 08:00-18:00 Europe/Berlin\""},
		{G("from = \"tomorrow\";"), 1,
	         "grant \"a\": from is \"tomorrow\", must be a time such as "
	         "\"2026-12-24T12:00:00Z\" or \"2026-12-24T12:00:00+01:00\""},
		{G("comment = \"a\\nb\";"), 1,
	         "grant \"a\": comment is \"a\nb\", must be up to 200 bytes of text in one line"},
		{"groups: ( { name = \"g\"; },\n{ name = \"g\"; } );", 2,
	         "name: group \"g\" exists already"},
		{"groups: ( { name = \"g\";\n members = [ \"a\",\n\"a\" ]; } );", 3,
	         "group \"g\": members has \"a\", must be each name once"},
		{G("protocol = \"any\"; name = \"b\";"), 1, "duplicate setting name"},
		/* good by itself, but not here */
		{"groups: (\n{ name = \"g\"; members = [ \"nobody\" ]; } );", 2,
	         "group \"g\": members has \"nobody\", must be the name of a peer: none is called "
	         "so"},
		{"grants: (\n{ name = \"a\"; who = \"group:g\"; to = \"hub\"; protocol = \"any\"; } );",
	         2,
	         "grant \"a\": who is \"group:g\", must be a group that there is: none is called so"},
		{"grants: (\n{ name = \"a\"; who = \"any\"; to = \"peer:x\"; protocol = \"any\"; } );",
	         2,
	         "grant \"a\": to is \"peer:x\", must be a peer that there is: none is called so"},
		{"grants: ( { name = \"a\"; who = \"any\"; to = \"subnet:10.9.0.0/16\"; protocol = "
	         "\"any\"; } );",
	         1,
	         "grant \"a\": to is \"subnet:10.9.0.0/16\", must be a network, or a part of one, "
	         "that a peer has in its allowed_ips"},
		{"grants: ( { name = \"a\"; who = \"any\"; to = \"subnet:192.168.0.0/16\"; protocol = "
	         "\"any\"; } );",
	         1,
	         "grant \"a\": to is \"subnet:192.168.0.0/16\", must be a network, or a part of one, "
	         "that a peer has in its allowed_ips"},
		{G("protocol = \"icmp\"; ports = [ \"1\" ];"), 1,
	         "grant \"a\": ports are given, but protocol is \"icmp\", which has none: must be "
	         "\"tcp\" or \"udp\""},
		{G("protocol = \"any\"; from = \"2026-01-02T00:00:00Z\"; until = "
	           "\"2026-01-01T00:00:00Z\";"),
	         1,
	         "grant \"a\": until is 2026-01-01T00:00:00Z, must be after from "
	         "(2026-01-02T00:00:00Z)"},
	};

	(void)state;
	lab_set_up();
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++) {
		struct grant_policy policy;
		struct grant_error error = {0};
		int err = grant_read(cases[i].text, &policy, &error);

		if (err == 0)
			err = grant_check(&policy, NULL, &lab_world, &error);
		print_message("# %zu: %d: %s\n", i, error.line, error.text);
		assert_true(err < 0);
		assert_string_equal(error.text, cases[i].message);
		assert_int_equal(error.line, cases[i].line);
		grant_policy_fini(&policy);
	}
}

static void what_was_good_before_is_not_refused_when_its_peer_has_gone(void **state)
{
	struct grant_policy before, after;
	struct grant_error error;

	(void)state;
	lab_set_up();
	before = lab_policy(
		"groups: ( { name = \"g\"; members = [ \"laptop\" ]; } );"
		"grants: ( { name = \"a\"; who = \"peer:laptop\"; to = \"hub\"; protocol "
		"= \"any\"; } );");
	assert_int_equal(grant_policy_clone(&before, &after), 0);
	lab_world.n_peers = 3; /* laptop has gone */
	assert_int_equal(grant_check(&after, &before, &lab_world, &error), 0);
	snprintf(after.grants[0].comment, sizeof(after.grants[0].comment), "changed");
	assert_int_equal(grant_check(&after, &before, &lab_world, &error), -ENOENT);
	grant_policy_fini(&before);
	grant_policy_fini(&after);
}

static void a_difference_is_told_object_by_object(void **state)
{
	struct grant_policy from, to;
	struct grant_difference count;
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	lab_set_up();
	from = lab_policy(
		"groups: ( { name = \"g\"; members = [ \"desk\" ]; } );"
		"grants: ( { name = \"a\"; who = \"any\"; to = \"hub\"; protocol = \"any\"; "
		"}, { name = \"b\"; who = \"any\"; to = \"hub\"; protocol = \"tcp\"; } );");
	to = lab_policy(
		"groups: ( { name = \"g\"; members = [ \"desk\", \"app\" ]; } );"
		"grants: ( { name = \"b\"; who = \"any\"; to = \"hub\"; protocol = \"tcp\"; "
		"}, { name = \"c\"; who = \"any\"; to = \"hub\"; protocol = \"udp\"; } );");
	count = grant_diff(&from, &to, out);
	fclose(out);
	assert_string_equal(
		text,
		"- group { name = \"g\"; members = [ \"desk\" ]; }\n"
		"+ group { name = \"g\"; members = [ \"app\", \"desk\" ]; }\n"
		"- grant { name = \"a\"; who = \"any\"; to = \"hub\"; protocol = \"any\"; }\n"
		"+ grant { name = \"c\"; who = \"any\"; to = \"hub\"; protocol = \"udp\"; }\n");
	assert_int_equal(count.n_added, 1);
	assert_int_equal(count.n_removed, 1);
	assert_int_equal(count.n_changed, 1);
	free(text);
	grant_policy_fini(&from);
	grant_policy_fini(&to);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read_again_and_is_the_same),
		cmocka_unit_test(an_empty_text_is_an_empty_policy),
		cmocka_unit_test(a_bad_text_names_its_line),
		cmocka_unit_test(what_was_good_before_is_not_refused_when_its_peer_has_gone),
		cmocka_unit_test(a_difference_is_told_object_by_object),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* control/grant: findings, and who may reach whom by the grants themselves. */
#include "grant_decide.h"
#include "grant_lab.h"
#include "grant_lint.h"
#include "grant_part.h"

#include <stdio.h>
#include <string.h>

static char findings[4096];

static int collect(void *arg, const struct grant_finding *finding)
{
	size_t len = strlen(findings);

	(void)arg;
	snprintf(findings + len, sizeof(findings) - len, "%d %s %s %s\n", finding->severity,
	         finding->rule, finding->kind, finding->name);
	return 0;
}

static void lint(const char *text, const char *expected)
{
	struct grant_policy policy = lab_policy(text);

	findings[0] = '\0';
	assert_int_equal(grant_lint(&policy, &lab_world, 1800000000, collect, NULL), 0);
	assert_string_equal(findings, expected);
	grant_policy_fini(&policy);
}

#define GRANT(name, who, to, rest)                                                                 \
	"{ name = \"" name "\"; who = \"" who "\"; to = \"" to "\"; " rest " }"
#define TCP(ports) "protocol = \"tcp\"; ports = [ " ports " ];"

static void what_is_suspicious_is_found(void **state)
{
	(void)state;
	lab_set_up();
	lint("grants: (" GRANT("a", "peer:laptop", "peer:app", TCP("\"443\"")) ");", "");
	lint("grants: (" GRANT("a", "any", "any", "protocol = \"any\";") ");",
	     "1 any-any grant a\n");
	lint("grants: (" GRANT("a", "any", "hub", "protocol = \"any\";") ");",
	     "1 any-hub grant a\n");
	lint("grants: (" GRANT("a", "peer:laptop", "peer:app", TCP("\"1000-2000\"")) ");",
	     "1 wide-range grant a\n");
	lint("grants: (" GRANT("a", "peer:laptop", "peer:app",
	                       "protocol = \"any\"; until = \"2026-01-01T00:00:00Z\";") ");",
	     "1 over grant a\n");
	lint("groups: ( { name = \"g\"; } ); grants: (" GRANT("a", "group:g", "hub",
	                                                      TCP("\"53\"")) ");",
	     "1 empty-group grant a\n1 empty-group group g\n");
}

static void what_another_grant_allows_is_shadowed(void **state)
{
	(void)state;
	lab_set_up();
	lint("groups: ( { name = \"g\"; members = [ \"laptop\", \"desk\" ]; } ); grants: (" GRANT(
		     "wide", "group:g", "any", TCP("\"1-600\"")) "," GRANT("b", "peer:laptop",
	                                                                   "peer:app",
	                                                                   TCP("\"443\"")) ");",
	     "1 shadowed grant b\n");
	/* of two that say the same, the later one */
	lint("grants: (" GRANT("a", "peer:laptop", "hub", TCP("\"53\"")) "," GRANT(
		     "b", "peer:laptop", "hub", TCP("\"53\"")) ");",
	     "1 shadowed grant b\n");
	/* parts only */
	lint("grants: (" GRANT("a", "peer:laptop", "hub", TCP("\"50-60\"")) "," GRANT(
		     "b", "peer:laptop", "hub", TCP("\"55-65\"")) ");",
	     "0 overlap grant b\n");
	/* not when it is for a time, another protocol, somebody else, the network behind */
	lint("grants: (" GRANT("a", "any", "hub", TCP("\"53\"") " until = \"2030-01-01T00:00:00Z\";") "," GRANT(
		     "b", "peer:laptop", "hub",
		     TCP("\"53\"")) "," GRANT("c", "peer:laptop", "hub",
	                                      "protocol = \"udp\"; ports = [ \"53\" ];") "," GRANT("d",
	                                                                                           "peer:laptop",
	                                                                                           "peer:gate",
	                                                                                           TCP("\"53\"")) "," GRANT("e",
	                                                                                                                    "peer:laptop",
	                                                                                                                    "subnet:192.168.50.0/24",
	                                                                                                                    TCP("\"53\"")) ");",
	     "");
	lint("grants: (" GRANT("a", "any", "subnet:192.168.50.0/24", TCP("\"53\"")) "," GRANT(
		     "b", "peer:laptop", "subnet:192.168.50.128/25", TCP("\"53\"")) ");",
	     "1 shadowed grant b\n");
}

static void what_is_gone_is_an_error(void **state)
{
	struct grant_policy policy;

	(void)state;
	lab_set_up();
	policy = lab_policy(
		"groups: ( { name = \"g\"; members = [ \"laptop\" ]; } ); grants: (" GRANT(
			"a", "peer:laptop", "hub", TCP("\"53\"")) ");");
	lab_world.n_peers = 3;
	findings[0] = '\0';
	assert_int_equal(grant_lint(&policy, &lab_world, 1800000000, collect, NULL), 0);
	assert_string_equal(findings, "2 missing grant a\n2 missing group g\n");
	grant_policy_fini(&policy);
}

/* ---- decisions ---------------------------------------------------------------------------------- */

static struct grant_side side(const char *text)
{
	struct grant_side out;
	bool is_hub;

	assert_int_equal(base_ip_parse(text, &out.ip), 0);
	out.peer = grant_world_holder(&lab_world, &out.ip, &is_hub);
	assert_true(out.peer || is_hub);
	return out;
}

static void grants_say_who_may_reach_what(void **state)
{
	static const struct {
		const char *from, *to;
		uint8_t protocol;
		uint16_t port;
		const char *grant; /* NULL = refused, "" = the hub's own */
	} cases[] = {
		{"10.10.0.7", "10.10.0.20", 6, 443, "web"},
		{"fd10::7", "fd10::20", 6, 443, "web"},
		{"10.10.0.8", "10.10.0.20", 6, 443, "web"},
		{"10.10.0.7", "10.10.0.20", 6, 22, NULL},
		{"10.10.0.7", "10.10.0.20", 17, 443, NULL},
		{"10.10.0.20", "10.10.0.7", 6, 443, NULL},
		{"10.10.0.40", "10.10.0.20", 6, 443, NULL},
		{"10.10.0.7", "192.168.50.9", 6, 631, "print"},
		{"10.10.0.8", "192.168.50.9", 6, 631, NULL},
		{"10.10.0.7", "10.10.0.40", 6, 631,
	         NULL}, /* the gateway itself is not its network */
		{"192.168.50.9", "10.10.0.20", 6, 443, NULL},
		{"192.168.50.200", "10.10.0.8", 17, 9, "back"},
		{"192.168.50.9", "10.10.0.8", 17, 9, NULL},
		{"10.10.0.20", "10.10.0.1", 17, 53, "dns"},
		{"10.10.0.20", "10.10.0.1", 6, 22, NULL},
		{"192.168.50.9", "10.10.0.1", 17, 53, NULL}, /* any is the peers themselves */
		{"10.10.0.20", "10.10.0.8", 1, 0, "ping"},
		{"fd10::20", "fd10::8", 58, 0, "ping"},
		{"10.10.0.1", "10.10.0.20", 6, 8080, ""},
	};
	struct grant_policy policy;

	(void)state;
	lab_set_up();
	policy = lab_policy("groups: ( { name = \"office\"; members = [ \"laptop\", \"desk\" ]; } ); grants: (" GRANT(
		"web", "group:office", "peer:app",
		TCP("\"443\"")) "," GRANT("print", "peer:laptop", "subnet:192.168.50.0/24",
	                                  TCP("\"631\"")) "," GRANT("back",
	                                                            "subnet:192.168.50.128/25",
	                                                            "peer:desk",
	                                                            "protocol = \"udp\";") "," GRANT("dns",
	                                                                                             "any",
	                                                                                             "hub",
	                                                                                             "protocol = \"udp\"; ports = [ \"53\" ];") "," GRANT("ping",
	                                                                                                                                                  "any",
	                                                                                                                                                  "any",
	                                                                                                                                                  "protocol = \"icmp\";") ");");
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++) {
		struct grant_packet packet = {.from = side(cases[i].from),
		                              .to = side(cases[i].to),
		                              .protocol = cases[i].protocol,
		                              .port = cases[i].port,
		                              .now_s = 1800000000};
		bool allowed;
		const struct grant *grant = grant_decide(&policy, &lab_world, &packet, &allowed);

		print_message("# %zu: %s -> %s\n", i, cases[i].from, cases[i].to);
		assert_int_equal(allowed, cases[i].grant != NULL);
		assert_string_equal(grant ? grant->name : "", cases[i].grant ? cases[i].grant : "");
	}
	grant_policy_fini(&policy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_suspicious_is_found),
		cmocka_unit_test(what_another_grant_allows_is_shadowed),
		cmocka_unit_test(what_is_gone_is_an_error),
		cmocka_unit_test(grants_say_who_may_reach_what),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

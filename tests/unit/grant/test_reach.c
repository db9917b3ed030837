/* control/grant: what a peer's configuration lets through. */
#include "grant_lab.h"
#include "grant_reach.h"

#include <stdio.h>
#include <string.h>

static struct base_prefix nets[2];

static void reach(const struct grant_policy *policy, const char *name, const char *expected)
{
	struct base_prefix *prefixes;
	char all[1024] = "";
	size_t n;

	assert_int_equal(grant_reach(policy, &lab_world, grant_world_peer(&lab_world, name), nets,
	                             2, 1800000000, &prefixes, &n),
	                 0);
	for (size_t i = 0; i < n; i++) {
		char text[BASE_PREFIX_STRLEN];

		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i ? " " : "",
		         base_prefix_format(&prefixes[i], text));
	}
	free(prefixes);
	assert_string_equal(all, expected);
}

#define GRANT(name, who, to, rest)                                                                 \
	"{ name = \"" name "\"; who = \"" who "\"; to = \"" to "\"; protocol = \"any\"; " rest " }"

static void a_spoke_has_the_hub_and_what_grants_connect_it_with(void **state)
{
	struct grant_policy policy;

	(void)state;
	lab_set_up();
	assert_int_equal(base_prefix_parse("10.10.0.0/24", &nets[0]), 0);
	assert_int_equal(base_prefix_parse("fd10::/64", &nets[1]), 0);
	policy = lab_policy("");
	reach(&policy, "laptop", "10.10.0.1/32 fd10::1/128");
	grant_policy_fini(&policy);

	policy = lab_policy("groups: ( { name = \"g\"; members = [ \"laptop\", \"app\" ]; } ); grants: (" GRANT(
		"a", "peer:laptop", "peer:app",
		"") "," GRANT("b", "group:g", "peer:desk",
	                      "") "," GRANT("c", "peer:desk", "subnet:192.168.50.0/25",
	                                    "") "," GRANT("d", "any", "hub",
	                                                  "") "," GRANT("over", "peer:laptop",
	                                                                "peer:gate",
	                                                                "until = \"2020-01-01T00:00:00Z\";") ");");
	reach(&policy, "laptop",
	      "10.10.0.1/32 10.10.0.8/32 10.10.0.20/32 fd10::1/128 fd10::8/128 fd10::20/128");
	/* who may reach it, too: its replies go there */
	reach(&policy, "app",
	      "10.10.0.1/32 10.10.0.7/32 10.10.0.8/32 fd10::1/128 fd10::7/128 fd10::8/128");
	reach(&policy, "desk",
	      "10.10.0.1/32 10.10.0.7/32 10.10.0.20/32 192.168.50.0/25 fd10::1/128 fd10::7/128 "
	      "fd10::20/128");
	/* the gateway: who may reach what is behind it, but not its own network */
	reach(&policy, "gate", "10.10.0.1/32 10.10.0.8/32 fd10::1/128 fd10::8/128");
	grant_policy_fini(&policy);

	policy = lab_policy("grants: (" GRANT("a", "any", "peer:app", "") ");");
	reach(&policy, "laptop", "10.10.0.1/32 10.10.0.20/32 fd10::1/128 fd10::20/128");
	reach(&policy, "app", "10.10.0.0/24 fd10::/64");
	grant_policy_fini(&policy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_spoke_has_the_hub_and_what_grants_connect_it_with),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

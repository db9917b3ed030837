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

/* As wg(8) may set it, and as packets go. */
static void network_within_a_network_is_behind_its_own_gateway(void **state)
{
	struct base_prefix all, part, within, around;
	struct base_ip ip;
	bool is_hub;

	(void)state;
	lab_set_up();
	assert_int_equal(base_prefix_parse("192.168.0.0/16", &all), 0);
	assert_int_equal(base_prefix_parse("192.168.50.64/26", &part), 0);
	assert_int_equal(base_prefix_parse("192.168.50.80/28", &within), 0);
	assert_int_equal(base_prefix_parse("192.168.0.0/18", &around), 0);
	assert_int_equal(base_ip_parse("192.168.50.81", &ip), 0);
	lab_peers[0].subnets = &all; /* app */
	lab_peers[0].n_subnets = 1;
	lab_peers[3].subnets = &part; /* laptop; gate has 192.168.50.0/24 */
	lab_peers[3].n_subnets = 1;
	assert_string_equal(grant_world_gateway(&lab_world, &around)->name, "app");
	assert_string_equal(grant_world_gateway(&lab_world, &lab_lan)->name, "gate");
	assert_string_equal(grant_world_gateway(&lab_world, &within)->name, "laptop");
	assert_string_equal(grant_world_holder(&lab_world, &ip, &is_hub)->name, "laptop");
	assert_int_equal(base_ip_parse("192.168.50.1", &ip), 0);
	assert_string_equal(grant_world_holder(&lab_world, &ip, &is_hub)->name, "gate");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_spoke_has_the_hub_and_what_grants_connect_it_with),
		cmocka_unit_test(network_within_a_network_is_behind_its_own_gateway),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

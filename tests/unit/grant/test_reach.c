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
	lab_world_again(&lab_world);
	assert_string_equal(grant_world_gateway(&lab_world, &around)->name, "app");
	assert_string_equal(grant_world_gateway(&lab_world, &lab_lan)->name, "gate");
	assert_string_equal(grant_world_gateway(&lab_world, &within)->name, "laptop");
	assert_string_equal(grant_world_holder(&lab_world, &ip, &is_hub)->name, "laptop");
	assert_int_equal(base_ip_parse("192.168.50.1", &ip), 0);
	assert_string_equal(grant_world_holder(&lab_world, &ip, &is_hub)->name, "gate");
}

/* What a look at each network says: the smallest one around it; of two that have it, the first by name. */
static const struct grant_peer *gateway_of(const struct grant_world *world,
                                           const struct base_prefix *subnet)
{
	const struct grant_peer *found = NULL;
	uint8_t found_len = 0;

	for (uint32_t i = 0; i < world->n_peers; i++)
		for (uint32_t k = 0; k < world->peers[i].n_subnets; k++) {
			const struct base_prefix *net = &world->peers[i].subnets[k];

			if (net->len > subnet->len || (found && net->len <= found_len)
			    || !base_prefix_contains(net, &subnet->ip))
				continue;
			found = &world->peers[i];
			found_len = net->len;
		}
	return found;
}

/* Of few addresses, so that many are around others. */
static struct base_prefix random_net(struct test_random *random)
{
	struct base_prefix net = {
		.ip = {.family = test_random_below(random, 3) == 0 ? BASE_IP_V6 : BASE_IP_V4}};

	for (uint32_t i = 0; i < 3; i++)
		net.ip.bytes[i] = (uint8_t)test_random_below(random, 3) * 85;
	net.len = (uint8_t)test_random_below(random, 26);
	base_prefix_mask(&net);
	return net;
}

static void networks_in_networks_are_found_as_by_a_look_at_each(void **state)
{
	struct test_random random = test_random_start();
	struct grant_peer peers[20];
	struct base_prefix behind[20][4];
	struct grant_world world = {.peers = peers, .n_peers = BASE_ARRAY_LEN(peers)};
	uint32_t n_found = 0;

	(void)state;
	for (uint32_t round = 0; round < 300; round++) {
		for (uint32_t i = 0; i < world.n_peers; i++) {
			peers[i] = (struct grant_peer){
				.name = "",
				.subnets = behind[i],
				.n_subnets = (uint32_t)test_random_below(&random, 5)};
			for (uint32_t k = 0; k < peers[i].n_subnets; k++)
				behind[i][k] = random_net(&random);
		}
		lab_world_again(&world);
		for (uint32_t i = 0; i < 200; i++) {
			struct base_prefix wanted = random_net(&random);
			const struct grant_peer *found = grant_world_gateway(&world, &wanted);

			assert_ptr_equal(found, gateway_of(&world, &wanted));
			n_found += found != NULL;
		}
	}
	assert_in_range(n_found, 1000, 59000);
	grant_world_end(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_spoke_has_the_hub_and_what_grants_connect_it_with),
		cmocka_unit_test(network_within_a_network_is_behind_its_own_gateway),
		cmocka_unit_test(networks_in_networks_are_found_as_by_a_look_at_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Four peers and a hub to try policies on. Include once in a test file. */
#ifndef GRANT_LAB_H
#define GRANT_LAB_H

#include "base_bytes.h"
#include "grant_text.h"
#include "grant_world.h"
#include "test.h"

static struct base_ip lab_ips[4][2];
static struct base_prefix lab_lan;
static struct grant_peer lab_peers[4];
static struct grant_world lab_world;

/* When what is behind the peers is another. */
static inline void lab_world_again(struct grant_world *world)
{
	grant_world_end(world);
	assert_int_equal(grant_world_begin(world), 0);
}

/* app .20, desk .8, gate .40 (192.168.50.0/24 behind it), laptop .7; the hub is .1 */
static inline void lab_set_up(void)
{
	static const char *const names[] = {"app", "desk", "gate", "laptop"};
	static const char *const v4[] = {"10.10.0.20", "10.10.0.8", "10.10.0.40", "10.10.0.7"};
	static const char *const v6[] = {"fd10::20", "fd10::8", "fd10::40", "fd10::7"};

	assert_int_equal(base_prefix_parse("192.168.50.0/24", &lab_lan), 0);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(base_ip_parse(v4[i], &lab_ips[i][0]), 0);
		assert_int_equal(base_ip_parse(v6[i], &lab_ips[i][1]), 0);
		lab_peers[i] = (struct grant_peer){.name = names[i],
		                                   .number = (uint32_t)(10 + i),
		                                   .addresses = lab_ips[i],
		                                   .n_addresses = 2};
	}
	lab_peers[2].subnets = &lab_lan;
	lab_peers[2].n_subnets = 1;
	lab_world.peers = lab_peers;
	lab_world.n_peers = 4;
	assert_int_equal(base_ip_parse("10.10.0.1", &lab_world.hub[0]), 0);
	assert_int_equal(base_ip_parse("fd10::1", &lab_world.hub[1]), 0);
	lab_world.n_hub = 2;
	lab_world_again(&lab_world);
}

/* Read a text that must be good. */
static inline struct grant_policy lab_policy(const char *text)
{
	struct grant_policy policy;
	struct grant_error error;

	if (grant_read(text, &policy, &error) < 0)
		fail_msg("line %d: %s", error.line, error.text);
	if (grant_check(&policy, NULL, &lab_world, &error) < 0)
		fail_msg("line %d: %s", error.line, error.text);
	for (uint32_t i = 0; i < policy.n_grants; i++)
		policy.grants[i].number = i + 1;
	return policy;
}

#endif

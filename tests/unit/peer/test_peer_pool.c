/* control/peer: which address is free, in cases and against a dumb version. */
#include "base_bytes.h"
#include "peer_pool.h"
#include "test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct base_prefix prefix(const char *text)
{
	struct base_prefix out;

	assert_int_equal(base_prefix_parse(text, &out), 0);
	return out;
}

struct used {
	const struct base_prefix *hub;
	const struct base_prefix *prefixes;
	size_t n;
};

static bool is_used(void *arg, const struct base_ip *ip, struct base_prefix *by)
{
	const struct used *used = arg;

	for (size_t i = 0; i < used->n; i++) {
		*by = used->prefixes[i];
		if (by->len > used->hub->len && base_prefix_contains(by, ip))
			return true;
	}
	return false;
}

static int pick(const struct base_prefix *hub, const struct base_prefix *prefixes, size_t n,
                struct base_ip *out)
{
	struct used used = {hub, prefixes, n};
	struct base_ip nobody = {0};

	return peer_pool_pick(hub, &nobody, is_used, &used, out);
}

static void lowest_free_address_is_picked(void **state)
{
	static const struct {
		const char *hub;
		const char *used[6];
		const char *expected; /* NULL = none is free */
	} cases[] = {
		{"10.77.0.1/24", {NULL}, "10.77.0.2"},
		{"10.77.0.254/24", {NULL}, "10.77.0.1"},
		{"10.77.0.2/24", {"10.77.0.1/32"}, "10.77.0.3"},
		{"10.77.0.1/24", {"10.77.0.2/32", "10.77.0.4/32"}, "10.77.0.3"},
		{"10.77.0.1/24", {"10.77.0.0/30"}, "10.77.0.4"},
		{"10.77.0.1/24", {"10.77.0.0/25", "10.77.0.130/32"}, "10.77.0.128"},
		{"10.77.0.1/24", {"0.0.0.0/0", "10.77.0.0/24", "10.0.0.0/8"}, "10.77.0.2"},
		{"10.77.0.1/24", {"10.78.0.2/32", "fd77::2/128"}, "10.77.0.2"},
		{"10.77.0.1/24", {"10.77.0.0/25", "10.77.0.128/25"}, NULL},
		/* a /30 holds two beside its name and broadcast: the hub and one peer */
		{"10.0.0.1/30", {NULL}, "10.0.0.2"},
		{"10.0.0.1/30", {"10.0.0.2/32"}, NULL},
		{"fd00::1/126", {"fd00::2/128"}, "fd00::3"},
		{"fd00::1/126", {"fd00::2/128", "fd00::3/128"}, NULL},
		{"fd77::1/64", {"fd77::2/128", "fd77::3/128"}, "fd77::4"},
		{"10.0.0.1/8", {"10.0.0.0/9"}, "10.128.0.0"},
		{"fc00::1/8", {"fc00::/9", "fc80::/10"}, "fcc0::"},
		{"fc00::1/8", {"fc00::/9", "fc80::/9"}, NULL},
	};
	char text[BASE_IP_STRLEN];

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++) {
		struct base_prefix hub = prefix(cases[i].hub);
		struct base_prefix used[6];
		struct base_ip ip = {0};
		size_t n = 0;
		int err;

		while (n < 6 && cases[i].used[n]) {
			used[n] = prefix(cases[i].used[n]);
			n++;
		}
		err = pick(&hub, used, n, &ip);
		assert_int_equal(err, cases[i].expected ? 0 : -ENOSPC);
		if (cases[i].expected)
			assert_string_equal(base_ip_format(&ip, text), cases[i].expected);
	}
}

static void net_hub_and_broadcast_are_not_allowed(void **state)
{
	static const struct {
		const char *hub;
		const char *ip;
		bool allowed;
	} cases[] = {
		{"10.77.0.1/24", "10.77.0.0/32", false},
		{"10.77.0.1/24", "10.77.0.1/32", false},
		{"10.77.0.1/24", "10.77.0.2/32", true},
		{"10.77.0.1/24", "10.77.0.254/32", true},
		{"10.77.0.1/24", "10.77.0.255/32", false},
		{"10.77.0.1/24", "10.78.0.2/32", false},
		{"fd77::1/64", "fd77::/128", false},
		{"fd77::1/64", "fd77::ffff:ffff:ffff:ffff/128", true},
	};

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++) {
		struct base_prefix hub = prefix(cases[i].hub);
		struct base_prefix ip = prefix(cases[i].ip);

		assert_int_equal(peer_pool_allows(&hub, &ip.ip), cases[i].allowed);
	}
}

static void random_nets_agree_with_trying_every_address(void **state)
{
	unsigned int seed = (unsigned int)time(NULL);

	(void)state;
	print_message("# seed %u\n", seed);
	srand(seed);
	for (int round = 0; round < 2000; round++) {
		struct base_prefix hub = prefix("10.0.0.0/24");
		struct base_prefix used[48];
		size_t n = (size_t)rand() % 48;
		struct base_ip ip = {0};
		uint32_t expected = 0;

		hub.len = (uint8_t)(24 + rand() % 7);
		hub.ip.bytes[3] = (uint8_t)(1 + rand() % ((1 << (32 - hub.len)) - 2));
		for (size_t i = 0; i < n; i++) {
			used[i] = prefix("10.0.0.0/32");
			used[i].ip.bytes[3] = (uint8_t)rand();
			used[i].len = (uint8_t)(rand() % 4 ? 32 : 22 + rand() % 11);
			base_prefix_mask(&used[i]);
		}
		for (uint32_t host = 1; host < (1U << (32 - hub.len)) - 1 && !expected; host++) {
			struct base_ip candidate = prefix("10.0.0.0").ip;
			bool free_here;

			candidate.bytes[3] = (uint8_t)host;
			free_here = !base_ip_equal(&candidate, &hub.ip);
			for (size_t i = 0; i < n; i++)
				free_here = free_here
				            && !(used[i].len > hub.len
				                 && base_prefix_contains(&used[i], &candidate));
			if (free_here)
				expected = host;
		}
		assert_int_equal(pick(&hub, used, n, &ip), expected ? 0 : -ENOSPC);
		assert_int_equal(ip.bytes[3], expected);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lowest_free_address_is_picked),
		cmocka_unit_test(net_hub_and_broadcast_are_not_allowed),
		cmocka_unit_test(random_nets_agree_with_trying_every_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

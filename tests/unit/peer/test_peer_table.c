/* control/peer: adding and removing, what the file declares against what the store has, and that
 * session, program and store always agree. */
#include "base_bytes.h"
#include "base_log.h"
#include "base_text.h"
#include "peer_lab.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct config_peer declared[3];
static struct base_prefix declared_ips[3];

static void key_of(uint8_t key[32], int n)
{
	memset(key, n, 32);
	key[31] &= 0x7f;
}

static int add(const char *name, int key_n, const char *ips, struct peer_error *why)
{
	struct base_prefix prefixes[1];
	uint8_t key[32];
	const struct peer *peer = NULL;
	struct peer_request request = {.name = name,
	                               .public_key = key,
	                               .ips = prefixes,
	                               .keepalive_s = 25,
	                               .is_gateway = true};

	key_of(key, key_n);
	if (ips) {
		prefixes[0] = prefix(ips);
		request.n_ips = 1;
	}
	memset(why, 0, sizeof(*why));
	return peer_add(table, &request, &peer, why);
}

static void add_good(const char *name, int key_n, const char *ips)
{
	struct peer_error why;

	if (add(name, key_n, ips, &why) < 0)
		fail_msg("%s", why.text);
}

static void add_refused(const char *name, int key_n, const char *ips, const char *code,
                        const char *field, const char *text)
{
	struct peer_error why;
	uint32_t n = peer_count(table);
	uint32_t n_routes = fake.n_routes;

	assert_true(add(name, key_n, ips, &why) < 0);
	assert_string_equal(why.text, text);
	assert_string_equal(why.code, code);
	if (field)
		assert_string_equal(why.field, field);
	else
		assert_null(why.field);
	assert_int_equal(peer_count(table), n);
	assert_int_equal(fake.n_routes, n_routes);
}

static void has_address(const char *name, const char *v4, const char *v6)
{
	const struct peer *peer = peer_find(table, name);
	char text[BASE_IP_STRLEN];

	assert_non_null(peer);
	assert_int_equal(peer->row.n_addresses, 2);
	for (uint32_t i = 0; i < 2; i++) {
		const struct base_ip *ip = &peer->row.addresses[i];

		assert_string_equal(base_ip_format(ip, text), ip->family == BASE_IP_V4 ? v4 : v6);
		snprintf(text + strlen(text), 8, "/%d", ip->family == BASE_IP_V4 ? 32 : 128);
		assert_int_equal(fake_route(text), peer->row.id);
	}
}

/* ---- adding and removing ------------------------------------------------------------------------ */

static void added_peer_gets_addresses_and_is_told_to_session_and_program(void **state)
{
	uint8_t key[32];

	(void)state;
	peer_lab_start();
	add_good("alice", 1, NULL);
	add_good("bob", 2, "10.1.0.0/16");
	has_address("alice", "10.77.0.2", "fd77::2");
	has_address("bob", "10.77.0.3", "fd77::3");
	assert_int_equal(fake_route("10.1.0.0/16"), peer_find(table, "bob")->row.id);
	assert_int_equal(fake.n_routes, 5);
	key_of(key, 2);
	assert_memory_equal(fake.key[peer_find(table, "bob")->row.id], key, 32);
	assert_int_equal(fake.keepalive_s[peer_find(table, "bob")->row.id], 25);
	peer_lab_stop();
}

static void peers_keep_id_address_and_preshared_key_over_a_restart(void **state)
{
	uint8_t psk[32];
	uint8_t key[32];
	const struct peer *peer;
	struct peer_error why;
	uint32_t id;

	(void)state;
	peer_lab_start();
	add_good("first", 1, NULL);
	key_of(key, 2);
	key_of(psk, 77);

	struct peer_request request = {.name = "second", .public_key = key, .preshared_key = psk};

	assert_int_equal(peer_add(table, &request, &peer, &why), 0);
	assert_true(base_is_zero_ct(peer->row.preshared_key, 32)); /* not kept in this table */
	assert_int_equal(peer_remove(table, "first", NULL, &why), 0);
	id = peer_find(table, "second")->row.id;
	peer_lab_restart();
	assert_int_equal(peer_count(table), 1);
	assert_int_equal(peer_find(table, "second")->row.id, id);
	has_address("second", "10.77.0.3", "fd77::3");
	assert_true(fake.has_preshared_key[id]);
	assert_memory_equal(fake.preshared_key[id], psk, 32);
	peer_lab_stop();
}

static void removed_peer_is_gone_everywhere_and_its_address_is_used_next(void **state)
{
	struct peer_error why;
	uint32_t id;

	(void)state;
	peer_lab_start();
	add_good("alice", 1, "10.1.0.0/16");
	add_good("bob", 2, NULL);
	id = peer_find(table, "alice")->row.id;
	assert_int_equal(peer_remove(table, "alice", NULL, &why), 0);
	assert_null(peer_find(table, "alice"));
	assert_false(fake.known[id]);
	assert_false(fake.peer[id]);
	assert_int_equal(fake.n_routes, 2);
	assert_int_equal(peer_remove(table, "alice", NULL, &why), -ENOENT);
	assert_string_equal(why.text, "name: no peer is called \"alice\"");
	assert_string_equal(why.code, "not_found");
	add_good("carol", 3, "10.1.0.0/16");
	has_address("carol", "10.77.0.2", "fd77::2");
	assert_int_not_equal(peer_find(table, "carol")->row.id, id); /* ids rest for a while */
	peer_lab_stop();
}

static void disabled_peer_is_nobody_until_it_is_enabled_again(void **state)
{
	struct peer_error why;
	uint8_t key[32], psk[32];
	const struct peer *peer;
	uint32_t id;

	(void)state;
	peer_lab_start();
	add_good("other", 3, NULL);
	key_of(key, 2);
	key_of(psk, 77);

	struct base_prefix net = prefix("10.1.0.0/16");
	struct peer_request request = {.name = "gate",
	                               .public_key = key,
	                               .preshared_key = psk,
	                               .ips = &net,
	                               .n_ips = 1,
	                               .is_gateway = true};

	assert_int_equal(peer_add(table, &request, &peer, &why), 0);
	id = peer->row.id;
	fake.info[id].last_handshake_wall_ns = 1700000000000000000;
	memset(fake.info[id].last_timestamp, 7, 12);
	assert_int_equal(peer_enable(table, "gate", true, &why), 0); /* is already */
	assert_true(fake.known[id]);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(peer_enable(table, "gate", false, &why), 0);
		assert_true(peer_find(table, "gate")->row.disabled);
		assert_false(fake.known[id]);
		assert_false(fake.peer[id]);
		assert_int_equal(fake.n_routes, 2);
		peer_lab_restart(); /* it stays so */
		assert_false(fake.known[id]);
		assert_int_equal(fake.n_routes, 2);
		add_refused(
			"thief", 4, "10.1.2.0/24", "exists", "allowed_ips",
			"allowed_ips: 10.1.2.0/24 overlaps 10.1.0.0/16, which belongs to peer \"gate\"");
		assert_int_equal(peer_enable(table, "gate", true, &why), 0);
		assert_true(fake.known[id]);
		assert_int_equal(fake.n_routes, 5);
		assert_memory_equal(fake.preshared_key[id], psk, 32);
		assert_int_equal(fake.timestamp[id][0], 7); /* what was heard is not taken again */
	}
	peer_lab_restart();
	assert_true(fake.known[id]);
	assert_int_equal(peer_enable(table, "nobody", false, &why), -ENOENT);
	assert_string_equal(why.text, "name: no peer is called \"nobody\"");
	peer_lab_stop();
}

static void networks_are_approved_and_withdrawn(void **state)
{
	static const struct {
		const char *net, *text;
	} cases[] = {
		{"10.77.0.9/32",
	         "networks: 10.77.0.9/32 is an address in the hub's tunnel net, not a network behind the peer"},
		{"10.77.0.0/25",
	         "allowed_ips: 10.77.0.0/25 overlaps the hub's tunnel net 10.77.0.0/24 (hub.tunnel)"},
		{"0.0.0.0/0",
	         "allowed_ips: 0.0.0.0/0 cannot be behind a peer: must be a unicast network, never everything"},
		{"10.1.2.0/24",
	         "allowed_ips: 10.1.2.0/24 overlaps 10.1.0.0/16, which belongs to peer \"gate\""},
	};
	struct base_prefix nets[2] = {prefix("10.2.0.0/16"), prefix("10.3.0.0/16")};
	struct peer_error why;
	uint32_t id;

	(void)state;
	peer_lab_start();
	add_good("gate", 1, "10.1.0.0/16");
	add_good("lone", 2, NULL);
	id = peer_find(table, "lone")->row.id;
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++) {
		struct base_prefix both[2] = {prefix("10.9.0.0/16"), prefix(cases[i].net)};

		assert_true(peer_networks_add(table, "lone", both, 2, &why) < 0);
		assert_string_equal(why.text, cases[i].text);
		assert_int_equal(fake_route("10.9.0.0/16"), UINT32_MAX);
		assert_int_equal(peer_find(table, "lone")->row.n_allowed_ips, 0);
	}
	assert_int_equal(peer_networks_add(table, "lone", nets, 2, &why), 0);
	assert_int_equal(fake_route("10.2.0.0/16"), id);
	add_refused(
		"x", 3, "10.3.1.0/24", "exists", "allowed_ips",
		"allowed_ips: 10.3.1.0/24 overlaps 10.3.0.0/16, which belongs to peer \"lone\"");
	peer_lab_restart();
	assert_int_equal(fake_route("10.3.0.0/16"), id);
	nets[1] = prefix("10.4.0.0/16");
	assert_int_equal(peer_networks_drop(table, "lone", nets, 2, &why), -ENOENT);
	assert_string_equal(why.text,
	                    "networks: peer \"lone\" has no network 10.4.0.0/16 behind it");
	assert_int_equal(fake_route("10.2.0.0/16"), id);
	assert_int_equal(peer_networks_drop(table, "lone", nets, 1, &why), 0);
	assert_int_equal(fake_route("10.2.0.0/16"), UINT32_MAX);
	assert_int_equal(fake_route("10.3.0.0/16"), id);
	add_good("x", 3, "10.2.0.0/16");
	peer_lab_stop();
}

static void only_a_gateway_has_networks_behind_it(void **state)
{
	uint8_t key[32];
	struct base_prefix ips[2] = {prefix("10.77.0.9/32"), prefix("10.1.0.0/24")};
	struct peer_request request = {.name = "spoke", .public_key = key, .ips = ips, .n_ips = 2};
	const struct peer *peer;
	struct peer_error why;

	(void)state;
	peer_lab_start();
	key_of(key, 1);
	assert_int_equal(peer_add(table, &request, &peer, &why), -EPERM);
	assert_string_equal(why.code, "not_approved");
	assert_string_equal(
		why.text,
		"allowed_ips: 10.1.0.0/24 is a network behind the peer, which only a gateway has; --gateway approves it");
	assert_int_equal(fake.n_routes, 0);
	request.n_ips = 1;
	assert_int_equal(peer_add(table, &request, &peer, &why), 0);
	has_address("spoke", "10.77.0.9", "fd77::2");
	peer_lab_stop();
}

static void an_address_in_a_tunnel_net_can_be_asked_for(void **state)
{
	(void)state;
	peer_lab_start();
	add_good("alice", 1, "10.77.0.9/32");
	has_address("alice", "10.77.0.9", "fd77::2");
	assert_int_equal(peer_find(table, "alice")->row.n_allowed_ips, 0);
	peer_lab_stop();
}

static void what_cannot_be_added_is_refused_and_changes_nothing(void **state)
{
	struct peer_error why;
	const struct peer *peer;
	struct peer_request hub = {.name = "hub", .public_key = fake_hub_key};

	(void)state;
	peer_lab_start();
	add_good("alice", 1, "10.1.0.0/16");
	add_refused("alice", 2, NULL, "exists", "name", "name: peer \"alice\" exists already");
	add_refused("bob", 1, NULL, "exists", "public_key",
	            "public_key: belongs to peer \"alice\"");
	add_refused("bob", 0, NULL, "invalid", "public_key",
	            "public_key: cannot be used (all zero or of low order)");
	assert_int_equal(peer_add(table, &hub, &peer, &why), -EINVAL);
	assert_string_equal(why.text, "public_key: is the hub's own key");
	add_refused("bob", 2, "10.1.0.0/16", "exists", "allowed_ips",
	            "allowed_ips: 10.1.0.0/16 belongs to peer \"alice\"");
	add_refused("bob", 2, "10.77.0.2/32", "exists", "allowed_ips",
	            "allowed_ips: 10.77.0.2/32 belongs to peer \"alice\"");
	add_refused("bob", 2, "10.77.0.1/32", "invalid", "allowed_ips",
	            "allowed_ips: 10.77.0.1/32 is the hub's own address");
	add_refused("bob", 2, "10.77.0.255/32", "invalid", "allowed_ips",
	            "allowed_ips: 10.77.0.255/32 is the first or last address of its net");
	peer_lab_stop();
}

static void nobody_is_added_without_a_preshared_key_where_each_has_one(void **state)
{
	static const uint8_t psk[32] = {7};
	struct peer_error why;
	uint8_t key[32];
	const struct peer *peer;
	struct peer_request request = {.name = "b", .public_key = key, .preshared_key = psk};

	(void)state;
	peer_lab_start();
	add_good("before", 1, NULL);
	config.preshared_key = CONFIG_PSK_REQUIRED;
	add_refused("a", 2, NULL, "invalid", "no_preshared_key",
	            "no_preshared_key: every peer of this hub has a preshared key "
	            "(hub.preshared_key = \"optional\" in weir.conf lets peers do without)");
	key_of(key, 2);
	assert_int_equal(peer_add(table, &request, &peer, &why), 0);
	peer_lab_restart(); /* who was there before is not cut off */
	assert_true(fake.known[peer_find(table, "before")->row.id]);
	assert_true(fake.known[peer_find(table, "b")->row.id]);
	peer_lab_stop();
}

static void a_network_behind_a_peer_is_refused_naming_its_holder(void **state)
{
	static const struct {
		const char *net;
		const char *code;
		const char *text;
	} cases[] = {
		{"10.1.2.0/24", "exists",
	         "allowed_ips: 10.1.2.0/24 overlaps 10.1.0.0/16, which belongs to peer \"alice\""},
		{"10.0.0.0/15", "exists",
	         "allowed_ips: 10.0.0.0/15 overlaps 10.1.0.0/16, which belongs to peer \"alice\""},
		{"10.1.2.3/32", "exists",
	         "allowed_ips: 10.1.2.3/32 overlaps 10.1.0.0/16, which belongs to peer \"alice\""},
		{"10.77.0.0/25", "invalid",
	         "allowed_ips: 10.77.0.0/25 overlaps the hub's tunnel net 10.77.0.0/24 (hub.tunnel)"},
		{"10.0.0.0/8", "invalid",
	         "allowed_ips: 10.0.0.0/8 overlaps the hub's tunnel net 10.77.0.0/24 (hub.tunnel)"},
		{"fd77::/48", "invalid",
	         "allowed_ips: fd77::/48 overlaps the hub's tunnel net fd77::/64 (hub.tunnel)"},
		{"192.0.2.0/24", "invalid",
	         "allowed_ips: 192.0.2.0/24 covers the hub's address 192.0.2.2 (port \"wan0\")"},
		{"0.0.0.0/0", "invalid",
	         "allowed_ips: 0.0.0.0/0 cannot be behind a peer: must be a unicast network, never "
	         "everything"},
		{"::/0", "invalid",
	         "allowed_ips: ::/0 cannot be behind a peer: must be a unicast network, never "
	         "everything"},
		{"127.0.0.0/8", "invalid",
	         "allowed_ips: 127.0.0.0/8 cannot be behind a peer: must be a unicast network, "
	         "never everything"},
		{"239.1.0.0/16", "invalid",
	         "allowed_ips: 239.1.0.0/16 cannot be behind a peer: must be a unicast network, "
	         "never everything"},
		{"fe80::/64", "invalid",
	         "allowed_ips: fe80::/64 cannot be behind a peer: must be a unicast network, never "
	         "everything"},
	};

	(void)state;
	snprintf(config.ports[0].name, sizeof(config.ports[0].name), "wan0");
	config.ports[0].addresses[0] = prefix("192.0.2.2/24");
	config.ports[0].n_addresses = 1;
	config.n_ports = 1;
	peer_lab_start();
	add_good("alice", 1, "10.1.0.0/16");
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++) {
		print_message("# %s\n", cases[i].net);
		add_refused("bob", 2, cases[i].net, cases[i].code, "allowed_ips", cases[i].text);
	}
	assert_int_equal(fake_route("10.1.2.0/24"), UINT32_MAX);
	add_good("bob", 2, "10.2.0.0/16"); /* next to alice's, and not the hub's */
	peer_lab_stop();
}

static void a_full_table_and_a_full_net_are_refused(void **state)
{
	char name[16];

	(void)state;
	config.max_peers = 4;
	peer_lab_start();
	for (int i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		add_good(name, i + 1, NULL);
	}
	add_refused("p4", 5, NULL, "full", NULL, "all 4 peers are taken (dataplane.max_peers)");
	peer_lab_stop();

	config.max_peers = 16;
	config.tunnel[0] = prefix("10.77.0.1/29");
	peer_lab_start();
	add_good("p4", 5, NULL);
	add_refused("p5", 6, NULL, "full", NULL, "tunnel net 10.77.0.0/29 has no free address");
	peer_lab_stop();
}

static void a_failure_below_leaves_nothing_behind(void **state)
{
	struct peer_error why;

	(void)state;
	peer_lab_start();
	fake.put_err = -ENOMEM;
	assert_int_equal(add("alice", 1, NULL, &why), -ENOMEM);
	fake.put_err = 0;
	fake.route_err = -ENOMEM;
	assert_int_equal(add("alice", 1, NULL, &why), -ENOMEM);
	assert_string_equal(why.code, "failed");
	assert_false(fake.known[0]);
	assert_false(fake.peer[0]);
	peer_lab_restart();
	assert_int_equal(peer_count(table), 0);
	add_good("alice", 1, NULL);
	peer_lab_stop();
}

static void names_come_in_order(void **state)
{
	const struct peer *peer;

	(void)state;
	peer_lab_start();
	add_good("m", 1, NULL);
	add_good("z", 2, NULL);
	add_good("a", 3, NULL);
	peer = peer_after(table, "");
	assert_string_equal(peer->row.name, "a");
	peer = peer_after(table, peer->row.name);
	assert_string_equal(peer->row.name, "m");
	peer = peer_after(table, "n");
	assert_string_equal(peer->row.name, "z");
	assert_null(peer_after(table, "z"));
	peer_lab_stop();
}

static void what_a_session_learns_reaches_the_store(void **state)
{
	struct session_peer_info *info;
	struct base_endpoint endpoint;
	uint32_t id;

	(void)state;
	peer_lab_start();
	add_good("alice", 1, NULL);
	id = peer_find(table, "alice")->row.id;
	info = &fake.info[id];
	assert_int_equal(base_endpoint_parse("192.0.2.7:4000", &endpoint), 0);
	info->endpoint = endpoint;
	info->last_handshake_wall_ns = 1700000000000000000;
	memset(info->last_timestamp, 0x40, 12);
	fake.changed(fake.changed_arg, id);
	assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0); /* the timer, 100 ms */

	/* as if killed now: another handle reads what is on the disk after a restart */
	fake.changed = NULL;
	peer_lab_restart();
	assert_true(base_endpoint_equal(&fake.endpoint[id], &endpoint));
	assert_int_equal(fake.timestamp[id][0], 0x40);
	assert_int_equal(peer_state(table, peer_find(table, "alice")).last_handshake_wall_ns,
	                 1700000000000000000);
	peer_lab_stop();
}

/* Killed right behind the turn of the loop in which an initiation was accepted, long before 100 ms are over. */
static void an_initiation_is_in_the_store_before_it_is_answered(void **state)
{
	struct session_peer_info *info;
	uint32_t id;

	(void)state;
	peer_lab_start();
	add_good("alice", 1, NULL);
	id = peer_find(table, "alice")->row.id;
	info = &fake.info[id];
	for (uint8_t n = 1; n <= 3; n++) {
		memset(info->last_timestamp, n, 12);
		fake.changed(fake.changed_arg, id);
		assert_true(event_base_loop(base, EVLOOP_NONBLOCK) >= 0);
		memset(info, 0, sizeof(*info)); /* what the end would write is lost */
		peer_lab_restart();
		assert_int_equal(fake.timestamp[id][0], n);
	}
	peer_lab_stop();
}

/* ---- peers of the file -------------------------------------------------------------------------- */

static void declare(uint32_t i, const char *name, int key_n, const char *ips, int line)
{
	memset(&declared[i], 0, sizeof(declared[i]));
	snprintf(declared[i].name, sizeof(declared[i].name), "%s", name);
	key_of(declared[i].public_key, key_n);
	declared[i].line = line;
	if (ips) {
		declared_ips[i] = prefix(ips);
		declared[i].allowed_ips = &declared_ips[i];
		declared[i].n_allowed_ips = 1;
	}
	config.peers = declared;
	config.n_peers = i + 1;
}

static void start_refused(const char *text)
{
	assert_true(peer_lab_try() < 0);
	assert_string_equal(error_text, text);
	assert_null(table);
	assert_int_equal(fake.n_routes, 0);
	store_lab_close();
}

static void declared_peers_are_merged_and_cannot_be_removed(void **state)
{
	struct peer_error why;

	(void)state;
	declare(0, "branch", 1, "10.1.0.0/16", 12);
	declare(1, "fixed", 2, "10.77.0.2/32", 20);
	peer_lab_start();
	add_good("alice", 3, NULL);
	assert_int_equal(peer_count(table), 3);
	has_address("fixed", "10.77.0.2", "fd77::3");
	has_address("branch", "10.77.0.3", "fd77::2");
	assert_int_equal(peer_remove(table, "branch", NULL, &why), -EPERM);
	assert_string_equal(why.text,
	                    "name: peer \"branch\" is declared in weir.conf:12; remove it "
	                    "there and restart weir");
	add_refused("branch", 9, NULL, "exists", "name",
	            "name: peer \"branch\" exists already, declared in weir.conf:12");
	peer_lab_restart();
	assert_int_equal(peer_count(table), 3);
	has_address("branch", "10.77.0.3", "fd77::2"); /* kept */
	peer_lab_stop();
}

/* Number i of many, none of which overlaps another. */
static struct base_prefix many_at(uint32_t i)
{
	struct base_prefix net = prefix("fd00::/112");

	base_store_be32(net.ip.bytes + 10, i);
	return net;
}

static void a_declared_peer_has_as_many_networks_as_any_other(void **state)
{
	struct base_prefix *nets = calloc(STORE_NETWORKS_MAX + 2, sizeof(*nets));
	struct peer_error why;

	(void)state;
	assert_non_null(nets);
	for (uint32_t i = 0; i < STORE_NETWORKS_MAX + 1; i++)
		nets[i + 1] = many_at(i);
	nets[0] = prefix("10.77.0.9/32"); /* its address */
	declare(0, "branch", 1, NULL, 12);
	declared[0].allowed_ips = nets;
	declared[0].n_allowed_ips = 4001; /* routes that the fake keeps */
	peer_lab_start();
	assert_int_equal(peer_find(table, "branch")->row.n_allowed_ips, 4000);
	has_address("branch", "10.77.0.9", "fd77::2");
	add_refused("thief", 2, "fd00::f9f:0/112", "exists", "allowed_ips",
	            "allowed_ips: fd00::f9f:0/112 belongs to peer \"branch\"");
	assert_int_equal(add("thief", 2, "fd00::fa0:0/112", &why), 0);
	assert_int_equal(peer_remove(table, "thief", NULL, &why), 0);
	peer_lab_stop();
	declared[0].n_allowed_ips = STORE_NETWORKS_MAX + 2;
	start_refused("weir.conf:12: peer \"branch\": allowed_ips: more than 131072 networks");
	nets[STORE_NETWORKS_MAX + 1] = many_at(0);
	start_refused("weir.conf:12: peer \"branch\": allowed_ips: fd00::/112 is there twice");
	free(nets);
}

static void a_peer_that_left_the_file_is_removed(void **state)
{
	(void)state;
	declare(0, "branch", 1, NULL, 12);
	peer_lab_start();
	add_good("alice", 3, NULL);
	config.n_peers = 0;
	peer_lab_restart();
	assert_int_equal(peer_count(table), 1);
	assert_non_null(peer_find(table, "alice"));
	peer_lab_stop();
}

static void renamed_and_rekeyed_peers_keep_their_id(void **state)
{
	uint32_t a;
	uint32_t b;

	(void)state;
	declare(0, "a", 1, NULL, 12);
	declare(1, "b", 2, NULL, 13);
	peer_lab_start();
	a = peer_find(table, "a")->row.id;
	b = peer_find(table, "b")->row.id;
	fake.info[a].last_handshake_wall_ns = 5;
	fake.changed(fake.changed_arg, a);
	memset(fake.disowned, 0, sizeof(fake.disowned));
	declare(0, "a", 7, NULL, 12); /* new key */
	declare(1, "c", 2, NULL, 13); /* new name */
	peer_lab_restart();
	/* a dataplane that kept running may still have a session of the old key */
	assert_true(fake.disowned[a]);
	assert_false(fake.disowned[b]);
	assert_int_equal(peer_count(table), 2);
	assert_int_equal(peer_find(table, "a")->row.id, a);
	assert_int_equal(peer_find(table, "c")->row.id, b);
	/* what was seen of the old key says nothing about the new one */
	assert_int_equal(peer_state(table, peer_find(table, "a")).last_handshake_wall_ns, 0);
	declare(0, "c", 7, NULL, 12); /* names swapped */
	declare(1, "a", 2, NULL, 13);
	peer_lab_restart();
	assert_int_equal(peer_count(table), 2);
	peer_lab_stop();
}

static void a_file_that_contradicts_the_store_is_refused(void **state)
{
	(void)state;
	peer_lab_start();
	add_good("alice", 1, "10.1.0.0/16");
	peer_lab_stop();
	declare(0, "alice", 2, NULL, 12);
	start_refused("weir.conf:12: peer \"alice\": name is taken by a peer with another key that "
	              "was added with weir peer add; remove that one or choose another name");
	declare(0, "bob", 1, NULL, 12);
	start_refused("weir.conf:12: peer \"bob\": public_key is that of peer \"alice\", which was "
	              "added with weir peer add; remove that one or use its name");
	declare(0, "bob", 2, "10.1.0.0/16", 12);
	start_refused("weir.conf:12: peer \"bob\": allowed_ips: 10.1.0.0/16 belongs to peer "
	              "\"alice\"");
	declare(0, "bob", 2, "10.77.0.2/32", 12);
	start_refused("weir.conf:12: peer \"bob\": allowed_ips: 10.77.0.2/32 belongs to peer "
	              "\"alice\"");
	declare(0, "bob", 9, NULL, 12);
	memcpy(declared[0].public_key, fake_hub_key, 32);
	start_refused("weir.conf:12: peer \"bob\": public_key is the hub's own key");
	declare(0, "alice", 1, NULL, 12); /* the same one: taken over */
	peer_lab_start();
	assert_true(peer_find(table, "alice")->row.declared);
	peer_lab_stop();
}

static void addresses_outside_a_changed_tunnel_net_are_given_anew(void **state)
{
	(void)state;
	peer_lab_start();
	add_good("alice", 1, NULL);
	add_good("bob", 2, NULL);
	config.tunnel[0] = prefix("10.88.0.2/24");
	peer_lab_restart();
	assert_int_equal(fake_route("10.77.0.2/32"), UINT32_MAX);
	assert_int_not_equal(fake_route("10.88.0.1/32"), UINT32_MAX);
	assert_int_not_equal(fake_route("10.88.0.3/32"), UINT32_MAX);
	peer_lab_restart(); /* and stay */
	assert_int_equal(fake_route("10.88.0.1/32"), peer_find(table, "alice")->row.id);
	peer_lab_stop();
}

static void too_small_a_table_for_the_store_is_refused(void **state)
{
	(void)state;
	peer_lab_start();
	add_good("a", 1, NULL);
	add_good("b", 2, NULL);
	add_good("c", 3, NULL);
	peer_lab_stop();
	config.max_peers = 2;
	start_refused(
		"weir.conf: dataplane.max_peers is 2, but peer \"c\" has number 2: must be at "
		"least 3");
}

static void session_changes(const char *endpoint)
{
	uint32_t id = peer_find(table, "gate")->row.id;

	assert_int_equal(base_endpoint_parse(endpoint, &fake.info[id].endpoint), 0);
	fake.changed(fake.changed_arg, id);
}

/* Lines of the log about endpoints while the peer is heard from these, one after the other. */
static uint32_t lines_about(const char *const *endpoints, uint32_t n)
{
	FILE *log = tmpfile();
	int before = dup(STDERR_FILENO);
	uint32_t n_lines = 0;
	char line[512];

	assert_non_null(log);
	assert_true(dup2(fileno(log), STDERR_FILENO) >= 0);
	for (uint32_t i = 0; i < n; i++)
		session_changes(endpoints[i]);
	assert_true(dup2(before, STDERR_FILENO) >= 0);
	close(before);
	rewind(log);
	while (fgets(line, sizeof(line), log))
		n_lines += strstr(line, "endpoint lies in a network of the peer's own") != NULL
		           && strstr(line, "peer=gate endpoint=198.51.100.") != NULL
		           && strstr(line, " inside=198.51.100.0/24 ") != NULL;
	fclose(log);
	return n_lines;
}

static void an_endpoint_in_the_peers_own_network_is_told_once(void **state)
{
	static const char *const elsewhere[] = {"192.0.2.7:51820", "198.51.101.7:51820"};
	static const char *const inside[] = {"198.51.100.7:51820", "198.51.100.7:51820",
	                                     "198.51.100.7:51821", "198.51.100.7:51820"};
	static const char *const another[] = {"198.51.100.8:51820"};

	(void)state;
	peer_lab_start();
	base_log_init("test", BASE_LOG_WARN);
	add_good("gate", 1, "198.51.100.0/24");
	assert_int_equal(lines_about(elsewhere, BASE_ARRAY_LEN(elsewhere)), 0);
	assert_int_equal(lines_about(inside, BASE_ARRAY_LEN(inside)), 1);
	assert_int_equal(lines_about(another, BASE_ARRAY_LEN(another)), 1);
	peer_lab_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PEER_CASE(added_peer_gets_addresses_and_is_told_to_session_and_program),
		PEER_CASE(peers_keep_id_address_and_preshared_key_over_a_restart),
		PEER_CASE(removed_peer_is_gone_everywhere_and_its_address_is_used_next),
		PEER_CASE(disabled_peer_is_nobody_until_it_is_enabled_again),
		PEER_CASE(networks_are_approved_and_withdrawn),
		PEER_CASE(only_a_gateway_has_networks_behind_it),
		PEER_CASE(an_address_in_a_tunnel_net_can_be_asked_for),
		PEER_CASE(what_cannot_be_added_is_refused_and_changes_nothing),
		PEER_CASE(nobody_is_added_without_a_preshared_key_where_each_has_one),
		PEER_CASE(a_network_behind_a_peer_is_refused_naming_its_holder),
		PEER_CASE(a_full_table_and_a_full_net_are_refused),
		PEER_CASE(a_failure_below_leaves_nothing_behind),
		PEER_CASE(names_come_in_order),
		PEER_CASE(what_a_session_learns_reaches_the_store),
		PEER_CASE(an_endpoint_in_the_peers_own_network_is_told_once),
		PEER_CASE(an_initiation_is_in_the_store_before_it_is_answered),
		PEER_CASE(declared_peers_are_merged_and_cannot_be_removed),
		PEER_CASE(a_declared_peer_has_as_many_networks_as_any_other),
		PEER_CASE(a_peer_that_left_the_file_is_removed),
		PEER_CASE(renamed_and_rekeyed_peers_keep_their_id),
		PEER_CASE(a_file_that_contradicts_the_store_is_refused),
		PEER_CASE(addresses_outside_a_changed_tunnel_net_are_given_anew),
		PEER_CASE(too_small_a_table_for_the_store_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

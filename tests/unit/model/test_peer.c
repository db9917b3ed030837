/* control/model: peers, their configurations and what is shown of them. */
#include "base_text.h"
#include "model_lab.h"
#include "model_refusing_store.h"
#include "wg_key.h"

static void peer_with_its_own_key_gets_a_file_with_a_placeholder(void **state)
{
	json_t *result;
	char psk[BASE_KEY_BASE64_LEN];
	char hub_key[BASE_KEY_BASE64_LEN];
	char expected[1024];

	(void)state;
	start(true);
	result = call("peer.add", "{\"name\": \"laptop\", \"public_key\": \"" KEY_A "\"}");
	assert_true(fake.has_preshared_key[0]);
	base_key_to_base64(psk, fake.preshared_key[0]);
	base_key_to_base64(hub_key, fake_hub_key);
	snprintf(expected, sizeof(expected),
	         "[Interface]\n"
	         "# weir peer: laptop\n"
	         "# The hub does not know the private key: put it here, it belongs to\n"
	         "# the public key that the peer was added with.\n"
	         "PrivateKey = <private-key>\n"
	         "Address = 10.77.0.2/32, fd77::2/128\n"
	         "MTU = 1420\n"
	         "\n"
	         "[Peer]\n"
	         "PublicKey = %s\n"
	         "PresharedKey = %s\n"
	         "Endpoint = vpn.example.org:51820\n"
	         "AllowedIPs = 10.77.0.1/32, fd77::1/128\n"
	         "PersistentKeepalive = 25\n",
	         hub_key, psk);
	assert_string_equal(config_of(result), expected);
	json_decref(result);

	/* printed once: again only as placeholder */
	result = call("peer.config", "{\"name\": \"laptop\"}");
	assert_null(strstr(config_of(result), psk));
	assert_non_null(strstr(config_of(result), "PresharedKey = <preshared-key>\n"));
	assert_non_null(
		strstr(config_of(result), "# The hub does not read the preshared key back"));
	json_decref(result);
	stop();
}

/* The value of "Key = value" in a wg-quick file. */
static void value_of(const char *text, const char *key, char out[BASE_KEY_BASE64_LEN])
{
	const char *line = strstr(text, key);

	assert_non_null(line);
	snprintf(out, BASE_KEY_BASE64_LEN, "%s", line + strlen(key));
}

static bool file_holds(const char *name, const void *needle, size_t len)
{
	static char text[1 << 20];
	FILE *file = fopen(name, "re");
	size_t n;

	assert_non_null(file);
	n = fread(text, 1, sizeof(text), file);
	fclose(file);
	return memmem(text, n, needle, len) != NULL;
}

static void key_pair_of_the_hub_is_in_that_one_reply_only(void **state)
{
	json_t *result;
	char private_text[BASE_KEY_BASE64_LEN];
	uint8_t private_key[32];
	uint8_t public_key[32];
	char name[160];

	(void)state;
	start(true);
	result = call("peer.add", "{\"name\": \"phone\"}");
	value_of(config_of(result), "PrivateKey = ", private_text);
	assert_int_equal(base_key_from_base64(private_key, private_text), 0);
	wg_key_public(public_key, private_key);
	assert_memory_equal(fake.key[0], public_key, 32);
	json_decref(result);

	result = call("peer.config", "{\"name\": \"phone\"}");
	assert_non_null(strstr(config_of(result), "PrivateKey = <private-key>\n"));
	json_decref(result);
	snprintf(name, sizeof(name), "%s-wal", path);
	assert_false(file_holds(name, private_text, 40));
	assert_false(file_holds(name, private_key, 32));
	assert_true(file_holds(name, "phone", 5));
	stop();
}

static void preshared_key_can_be_left_out(void **state)
{
	json_t *result;

	(void)state;
	start(true);
	result = call("peer.add", "{\"name\": \"a\", \"no_preshared_key\": true}");
	assert_false(fake.has_preshared_key[0]);
	assert_null(strstr(config_of(result), "PresharedKey"));
	json_decref(result);
	result = call("peer.show", "{\"name\": \"a\"}");
	assert_true(
		json_is_false(json_object_get(json_object_get(result, "peer"), "preshared_key")));
	json_decref(result);
	config.preshared_key = CONFIG_PSK_REQUIRED;
	call_refused("peer.add", "{\"name\": \"b\", \"no_preshared_key\": true}", "invalid",
	             "no_preshared_key",
	             "no_preshared_key: every peer of this hub has a preshared key "
	             "(hub.preshared_key = \"optional\" in weir.conf lets peers do without)");
	call_ok("peer.add", "{\"name\": \"b\"}");
	assert_true(fake.has_preshared_key[1]);
	stop();
}

/* H9 (a). */
static void each_peer_has_a_preshared_key_of_its_own(void **state)
{
	enum { N = 12 };
	char keys[N][64];
	char params[64];

	(void)state;
	start(true);
	for (int i = 0; i < N; i++) {
		json_t *result;

		snprintf(params, sizeof(params), "{\"name\": \"peer-%d\"}", i);
		result = call("peer.add", params);
		value_of(config_of(result), "PresharedKey = ", keys[i]);
		json_decref(result);
		for (int k = 0; k < i; k++)
			assert_string_not_equal(keys[i], keys[k]);
	}
	for (int i = 0; i < N; i++) {
		uint8_t key[32];

		assert_int_equal(base_key_from_base64(key, keys[i]), 0);
		assert_memory_equal(fake.preshared_key[i], key, 32);
	}
	stop();
}

static void endpoint_of_the_hub_falls_back_to_the_first_port_address(void **state)
{
	json_t *result;

	(void)state;
	config.endpoint[0] = '\0';
	start(true);
	call_ok("peer.add", "{\"name\": \"a\"}");
	result = call("peer.config", "{\"name\": \"a\"}");
	assert_non_null(strstr(config_of(result), "\n# Endpoint = <host>:51820\n"));
	json_decref(result);
	config.n_ports = 1;
	config.ports[0].n_addresses = 1;
	config.ports[0].addresses[0] = prefix("2001:db8::2/64");
	result = call("peer.config", "{\"name\": \"a\"}");
	assert_non_null(strstr(config_of(result), "\nEndpoint = [2001:db8::2]:51820\n"));
	json_decref(result);
	stop();
}

#define CHAIN                                                                                      \
	"add table inet weir_%i; delete table inet weir_%i; table inet weir_%i { chain output { "  \
	"type filter hook output priority 0; policy drop; oifname { \"lo\", \"%i\" } accept; "     \
	"icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } accept; "      \
	"ip daddr 255.255.255.255 udp dport 67 accept; ip6 daddr ff02::1:2 udp dport 547 accept;"
#define CHAIN_END "PostDown = nft 'delete table inet weir_%i'\n"

/* The line of a reply's configuration must be there, word for word. */
static void config_has(const char *params, const char *line)
{
	json_t *result = call("peer.config", params);

	if (!strstr(config_of(result), line))
		fail_msg("no line\n%s in\n%s", line, config_of(result));
	json_decref(result);
}

static void kill_switch_lets_out_the_hub_by_its_addresses_and_port(void **state)
{
	json_t *result;

	(void)state;
	start(true);
	snprintf(config.endpoint, sizeof(config.endpoint), "198.51.100.9:4500");
	config.n_ports = 1;
	config.ports[0].n_addresses = 2;
	config.ports[0].addresses[0] = prefix("192.0.2.2/24");
	config.ports[0].addresses[1] = prefix("2001:db8::2/64");
	call_ok("peer.add", "{\"name\": \"a\"}");
	result = call("peer.config", "{\"name\": \"a\"}");
	assert_null(strstr(config_of(result), "PostUp"));
	json_decref(result);
	/* behind NAT: what clients are told, and no more */
	config_has("{\"name\": \"a\", \"kill_switch\": true}",
	           "\nPostUp = nft '" CHAIN
	           " ip daddr 198.51.100.9 udp dport 4500 accept; }; }'\n" CHAIN_END);
	/* not told: every address that the hub has */
	config.endpoint[0] = '\0';
	config_has("{\"name\": \"a\", \"kill_switch\": true}",
	           "\nPostUp = nft '" CHAIN " ip daddr 192.0.2.2 udp dport 51820 accept;"
	           " ip6 daddr 2001:db8::2 udp dport 51820 accept; }; }'\n" CHAIN_END);
	result = call("peer.config", "{\"name\": \"a\", \"kill_switch_persist\": true}");
	assert_non_null(strstr(config_of(result), "\nPostUp = nft 'add table"));
	assert_null(strstr(config_of(result), "PostDown"));
	json_decref(result);
	stop();
}

static void kill_switch_with_a_name_is_resolved_by_the_peer_unless_it_persists(void **state)
{
	(void)state;
	start(true);
	call_ok("peer.add", "{\"name\": \"a\"}");
	snprintf(config.endpoint, sizeof(config.endpoint), "vpn.example.org:4500");
	config_has("{\"name\": \"a\", \"kill_switch\": true}",
	           "\nPostUp = t='" CHAIN "'; a=$(getent ahosts vpn.example.org | cut -d ' ' -f 1 "
	           "| sort -u); [ -n \"$a\" ] || exit 1; for h in $a; do case $h in *:*) "
	           "t=\"$t ip6 daddr $h udp dport 4500 accept;\";; *) t=\"$t ip daddr $h udp dport "
	           "4500 accept;\";; esac; done; nft \"$t }; }\"\n" CHAIN_END);
	call_refused("peer.config", "{\"name\": \"a\", \"kill_switch_persist\": true}", "invalid",
	             "kill_switch_persist",
	             "kill_switch_persist: hub.endpoint is \"vpn.example.org:4500\", must be an "
	             "address: no name can be resolved while everything is blocked");
	config.endpoint[0] = '\0';
	call_refused("peer.add", "{\"name\": \"b\", \"kill_switch\": true}", "invalid",
	             "kill_switch",
	             "kill_switch: the hub does not know how it is reached: set hub.endpoint in "
	             "weir.conf");
	assert_int_equal(peer_count(peers), 1);
	stop();
}

static void allowed_ips_of_a_configuration_follow_the_grants(void **state)
{
	(void)state;
	start(true);
	call_ok("peer.add", "{\"name\": \"a\"}");
	call_ok("peer.add", "{\"name\": \"b\"}");
	call_ok("peer.add",
	        "{\"name\": \"c\", \"gateway\": true, \"allowed_ips\": [\"10.1.0.0/16\"]}");
	config_has("{\"name\": \"a\"}", "\nAllowedIPs = 10.77.0.1/32, fd77::1/128\n");
	call_ok("grant.add", "{\"name\": \"g\", \"who\": \"peer:a\", \"to\": \"peer:b\", "
	                     "\"protocol\": \"tcp\", \"ports\": [\"443\"]}");
	call_ok("grant.add", "{\"name\": \"h\", \"who\": \"peer:a\", \"to\": "
	                     "\"subnet:10.1.2.0/24\", \"protocol\": \"icmp\"}");
	config_has("{\"name\": \"a\"}", "\nAllowedIPs = 10.1.2.0/24, 10.77.0.1/32, 10.77.0.3/32, "
	                                "fd77::1/128, fd77::3/128\n");
	config_has("{\"name\": \"b\"}",
	           "\nAllowedIPs = 10.77.0.1/32, 10.77.0.2/32, fd77::1/128, fd77::2/128\n");
	config_has("{\"name\": \"c\"}",
	           "\nAllowedIPs = 10.77.0.1/32, 10.77.0.2/32, fd77::1/128, fd77::2/128\n");
	call_ok("grant.remove", "{\"name\": \"g\"}");
	config_has("{\"name\": \"b\"}", "\nAllowedIPs = 10.77.0.1/32, fd77::1/128\n");
	/* the whole nets when they are asked for, and remembered until they are not */
	config_has("{\"name\": \"b\", \"whole_subnet\": true}",
	           "\nAllowedIPs = 10.77.0.0/24, fd77::/64\n");
	assert_true(peer_find(peers, "b")->row.whole_subnet);
	config_has("{\"name\": \"b\"}", "\nAllowedIPs = 10.77.0.1/32, fd77::1/128\n");
	assert_false(peer_find(peers, "b")->row.whole_subnet);
	config_has("{\"name\": \"b\", \"client_keepalive\": 65535}",
	           "\nPersistentKeepalive = 65535\n");
	config_has("{\"name\": \"b\"}", "\nPersistentKeepalive = 25\n");
	stop();
}

static void shown_peer_has_everything_but_secrets(void **state)
{
	json_t *result;
	json_t *peer;
	char *text;
	char psk[BASE_KEY_BASE64_LEN];

	(void)state;
	start(true);
	call_ok("peer.add", "{\"name\": \"a\", \"public_key\": \"" KEY_A "\", \"keepalive\": 25, "
	                    "\"gateway\": true, \"allowed_ips\": [\"10.1.0.0/16\"]}");
	assert_int_equal(base_endpoint_parse("192.0.2.7:4000", &fake.info[0].endpoint), 0);
	fake.info[0].last_handshake_wall_ns = UINT64_C(1700000000250000000);
	result = call("peer.show", "{\"name\": \"a\"}");
	peer = json_object_get(result, "peer");
	assert_string_equal(json_string_value(json_object_get(peer, "public_key")), KEY_A);
	assert_string_equal(json_string_value(json_object_get(peer, "last_handshake_at")),
	                    "2023-11-14T22:13:20.250Z");
	assert_string_equal(json_string_value(json_object_get(peer, "endpoint")), "192.0.2.7:4000");
	assert_true(json_is_false(json_object_get(peer, "active")));
	assert_true(json_is_null(json_object_get(peer, "declared_at")));
	assert_int_equal(json_integer_value(json_object_get(peer, "rx_bytes")), 148);
	assert_int_equal(json_integer_value(json_object_get(peer, "keepalive")), 25);
	text = json_dumps(result, 0);
	base_key_to_base64(psk, fake.preshared_key[0]);
	assert_null(strstr(text, psk));
	free(text);
	json_decref(result);
	call_refused("peer.show", "{\"name\": \"b\"}", "not_found", "name",
	             "name: no peer is called \"b\"");
	stop();
}

static void list_comes_in_pages(void **state)
{
	static const char *const names[] = {"e", "c", "a", "d", "b"};
	char params[64];
	char seen[8] = "";
	const char *next = "";
	json_t *result = NULL;
	int pages = 0;

	(void)state;
	start(true);
	result = call("peer.list", "{}");
	assert_int_equal(json_array_size(json_object_get(result, "peers")), 0);
	assert_true(json_is_null(json_object_get(result, "next")));
	json_decref(result);
	for (size_t i = 0; i < BASE_ARRAY_LEN(names); i++) {
		snprintf(params, sizeof(params), "{\"name\": \"%s\"}", names[i]);
		call_ok("peer.add", params);
	}
	snprintf(params, sizeof(params), "{\"limit\": 2}");
	while (next) {
		char cursor[8];

		result = call("peer.list", params);
		for (size_t i = 0; i < json_array_size(json_object_get(result, "peers")); i++)
			strcat(seen, json_string_value(json_object_get(
					     json_array_get(json_object_get(result, "peers"), i),
					     "name")));
		next = json_string_value(json_object_get(result, "next"));
		snprintf(cursor, sizeof(cursor), "%s", next ? next : "");
		snprintf(params, sizeof(params), "{\"limit\": 2, \"cursor\": \"%s\"}", cursor);
		json_decref(result);
		pages++;
	}
	assert_string_equal(seen, "abcde");
	assert_int_equal(pages, 3);
	stop();
}

/* Of the one peer; owned by the caller. */
static json_t *endpoint_name_of(const char *name)
{
	char params[100];
	json_t *result, *found;

	snprintf(params, sizeof(params), "{\"name\": \"%s\"}", name);
	result = call("peer.show", params);
	found = json_incref(json_object_get(json_object_get(result, "peer"), "endpoint_name"));
	json_decref(result);
	return found;
}

static void an_endpoint_by_name_is_shown_with_what_it_said(void **state)
{
	struct resolve_answer said = {.n_ips = 1, .ttl_s = 60};
	struct resolve_answer failed = {.error = "Timeout"};
	json_t *name;

	(void)state;
	start(true);
	assert_int_equal(base_ip_parse("192.0.2.1", &said.ips[0]), 0);
	call_ok("peer.add", "{\"name\": \"a\", \"endpoint\": \"VPN.example.org:7\"}");
	fake.answered(fake.answered_arg, fake.tag[0], &said);
	name = endpoint_name_of("a");
	assert_string_equal(json_string_value(json_object_get(name, "name")), "vpn.example.org:7");
	assert_string_equal(
		json_string_value(json_array_get(json_object_get(name, "addresses"), 0)),
		"192.0.2.1");
	assert_true(json_is_string(json_object_get(name, "resolved_at")));
	assert_true(json_is_null(json_object_get(name, "error")));
	json_decref(name);

	call_ok("peer.set", "{\"name\": \"a\", \"endpoint\": \"b.example.org:8\"}");
	fake.answered(fake.answered_arg, fake.tag[1], &failed);
	name = endpoint_name_of("a");
	assert_string_equal(json_string_value(json_object_get(name, "name")), "b.example.org:8");
	assert_int_equal(json_array_size(json_object_get(name, "addresses")), 0);
	assert_true(json_is_null(json_object_get(name, "resolved_at")));
	assert_int_equal(json_integer_value(json_object_get(name, "failures")), 1);
	assert_string_equal(json_string_value(json_object_get(name, "error")), "Timeout");
	json_decref(name);

	call_ok("peer.set", "{\"name\": \"a\", \"endpoint\": \"none\"}");
	name = endpoint_name_of("a");
	assert_true(json_is_null(name));
	json_decref(name);
	call_refused("peer.set", "{\"name\": \"a\"}", "bad_argument", "",
	             "nothing to set: expected_up or endpoint is missing");
	call_refused("peer.set", "{\"name\": \"a\", \"endpoint\": \"1.2.3.4\"}", "bad_argument",
	             "endpoint",
	             "endpoint is \"1.2.3.4\", must be an address or a name with port, such as "
	             "\"192.0.2.7:51820\", \"[2001:db8::7]:51820\" or "
	             "\"branch.example.org:51820\", or none");
	stop();
}

/* The wall clock was set by a year since the handshake, forth or back: the session lives all the same. */
static void a_trace_goes_by_the_clock_that_nobody_sets(void **state)
{
	static const uint64_t wall_s[] = {1, 4000000000};
	json_t *result, *step;
	const char *verdict;
	size_t k;

	(void)state;
	start(true);
	call_ok("peer.add", "{\"name\": \"laptop\"}");
	for (size_t i = 0; i < BASE_ARRAY_LEN(wall_s); i++) {
		verdict = "";
		fake.info[0].last_handshake_ns = base_time_monotonic_ns();
		fake.info[0].last_handshake_wall_ns = wall_s[i] * BASE_NS_PER_S;
		result = call("trace",
		              "{\"peer\": \"hub\", \"to\": \"laptop\", \"proto\": \"icmp\"}");
		json_array_foreach(json_object_get(result, "steps"), k, step)
		{
			if (strcmp(json_string_value(json_object_get(step, "step")), "receiver")
			    != 0)
				continue;
			verdict = json_string_value(json_object_get(step, "verdict"));
			assert_non_null(strstr(json_string_value(json_object_get(step, "text")),
			                       "its last handshake was 0 s ago"));
		}
		assert_string_equal(verdict, "passes");
		json_decref(result);
	}
	stop();
}

/* Else the next peer of this name would have what is granted to the group. */
static void a_peer_goes_with_its_places_in_groups_or_not_at_all(void **state)
{
	(void)state;
	start(false);
	call_ok("peer.add", "{\"name\": \"laptop\"}");
	call_ok("group.add", "{\"name\": \"admins\", \"members\": [\"laptop\"]}");
	restart_with_store(false, true);
	call_refused("peer.remove", "{\"name\": \"laptop\"}", "failed", "", "store: no room");
	assert_true(fake.known[0]);
	assert_true(is_in_group("admins", "laptop"));
	call_ok("peer.show", "{\"name\": \"laptop\"}");
	restart_with_store(false, false);
	call_ok("peer.remove", "{\"name\": \"laptop\"}");
	assert_false(fake.known[0]);
	assert_false(is_in_group("admins", "laptop"));
	call_ok("peer.add", "{\"name\": \"laptop\"}");
	assert_false(is_in_group("admins", "laptop"));
	stop();
}

/* The same by the file, at the start after it has changed. */
static void a_peer_that_the_file_has_no_longer_goes_with_its_places_in_groups(void **state)
{
	struct config_peer declared = {.name = "branch", .line = 12};

	(void)state;
	memset(declared.public_key, 0x21, 32);
	config.peers = &declared;
	config.n_peers = 1;
	start(false);
	call_ok("group.add", "{\"name\": \"admins\", \"members\": [\"branch\"]}");
	memset(declared.public_key, 0x22, 32); /* the same peer, says the file */
	restart_with_store(false, true);
	assert_true(is_in_group("admins", "branch"));
	stop();
	config.n_peers = 0;
	store_lab_open();
	assert_true(try_peers() < 0);
	assert_string_equal(error_text, "policy: store: no room");
	store_lab_close();
	config.n_peers = 1;
	start(false);
	assert_true(is_in_group("admins", "branch"));
	restart_with_store(false, false);
	snprintf(declared.name, sizeof(declared.name), "office");
	stop();
	start(false); /* by its key it is the one that was "branch" */
	assert_false(is_in_group("admins", "branch"));
	call_ok("group.member", "{\"name\": \"admins\", \"add\": [\"office\"]}");
	stop();
	config.n_peers = 0;
	start(false);
	assert_false(is_in_group("admins", "office"));
	call_ok("peer.add", "{\"name\": \"office\"}");
	assert_false(is_in_group("admins", "office"));
	stop();
	config.peers = NULL;
}

/* Else the next one that has them would have what is granted to them. */
static void a_gateway_stays_while_a_grant_names_its_networks(void **state)
{
	static const struct {
		const char *who, *to, *net;
	} cases[] = {
		{"any", "subnet:10.1.2.0/24", "10.1.0.0/16"}, /* a part of it */
		{"subnet:10.2.0.0/16", "any", "10.2.0.0/16"},
		{"any", "subnet:2001:db8:1::/48", "2001:db8:1::/48"},
	};
	char params[200], text[200];

	(void)state;
	start(false);
	call_ok("peer.add", "{\"name\": \"gate\", \"gateway\": true, \"allowed_ips\": "
	                    "[\"10.1.0.0/16\", \"10.2.0.0/16\", \"2001:db8:1::/48\"]}");
	call_ok("peer.add", "{\"name\": \"other\", \"gateway\": true, \"allowed_ips\": "
	                    "[\"10.3.0.0/16\"]}");
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++) {
		snprintf(params, sizeof(params),
		         "{\"name\": \"lan\", \"who\": \"%s\", \"to\": \"%s\", "
		         "\"protocol\": \"tcp\"}",
		         cases[i].who, cases[i].to);
		snprintf(text, sizeof(text), "name: grant \"lan\" names %s; remove the grant first",
		         cases[i].net);
		call_ok("grant.add", params);
		call_refused("peer.remove", "{\"name\": \"gate\"}", "in_use", "name", text);
		assert_true(fake.known[0]);
		call_ok("peer.show", "{\"name\": \"gate\"}");
		call_ok("grant.remove", "{\"name\": \"lan\"}");
	}
	call_ok("grant.add", params);
	call_ok("peer.remove", "{\"name\": \"other\"}"); /* behind it is another */
	call_ok("grant.remove", "{\"name\": \"lan\"}");
	call_ok("peer.remove", "{\"name\": \"gate\"}");
	assert_false(fake.known[0]);
	stop();
}

static void assert_last_in_trail(const char *operation)
{
	json_t *result = call("audit.trail", "{\"last\": 1}");
	const json_t *record = json_array_get(json_object_get(result, "records"), 0);

	assert_string_equal(json_string_value(json_object_get(record, "operation")), operation);
	json_decref(result);
}

/* Disk full at the second of two: nothing of the first is there, now, after a restart or in the trail. */
static void expected_up_and_endpoint_are_set_both_or_none(void **state)
{
	static const char both[] = "{\"name\": \"a\", \"expected_up\": true, "
				   "\"endpoint\": \"vpn.example.org:7\"}";
	json_t *name;

	(void)state;
	start(false);
	call_ok("peer.add", "{\"name\": \"a\"}");
	restart_refusing("peer_names", false, true);
	call_refused("peer.set", both, "failed", "", "store: no room");
	for (int turn = 0; turn < 2; turn++) {
		assert_int_equal(peer_find(peers, "a")->row.expected_wall_ns, 0);
		assert_null(peer_find(peers, "a")->name);
		assert_last_in_trail("peer.add");
		if (turn == 0)
			restart_refusing("peer_names", false, false);
	}
	call_ok("peer.set", both);
	assert_last_in_trail("peer.set");
	stop();
	start(false);
	assert_int_not_equal(peer_find(peers, "a")->row.expected_wall_ns, 0);
	name = endpoint_name_of("a");
	assert_string_equal(json_string_value(json_object_get(name, "name")), "vpn.example.org:7");
	json_decref(name);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(peer_with_its_own_key_gets_a_file_with_a_placeholder),
		CASE(an_endpoint_by_name_is_shown_with_what_it_said),
		CASE(key_pair_of_the_hub_is_in_that_one_reply_only),
		CASE(preshared_key_can_be_left_out),
		CASE(each_peer_has_a_preshared_key_of_its_own),
		CASE(endpoint_of_the_hub_falls_back_to_the_first_port_address),
		CASE(kill_switch_lets_out_the_hub_by_its_addresses_and_port),
		CASE(kill_switch_with_a_name_is_resolved_by_the_peer_unless_it_persists),
		CASE(allowed_ips_of_a_configuration_follow_the_grants),
		CASE(shown_peer_has_everything_but_secrets),
		CASE(list_comes_in_pages),
		CASE(a_trace_goes_by_the_clock_that_nobody_sets),
		CASE(a_peer_goes_with_its_places_in_groups_or_not_at_all),
		CASE(a_peer_that_the_file_has_no_longer_goes_with_its_places_in_groups),
		CASE(a_gateway_stays_while_a_grant_names_its_networks),
		CASE(expected_up_and_endpoint_are_set_both_or_none),
	};

	base_log_init("test", BASE_LOG_ERR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

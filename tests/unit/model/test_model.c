/* control/model: arguments against their description, and every operation over real peers and a
 * real store, with a session, a program and an edge that only remember. */
#include "base_bytes.h"
#include "base_text.h"
#include "base_time.h"
#include "fakes.h"
#include "model.h"
#include "model_method.h"
#include "policy_table.h"
#include "store.h"
#include "test.h"
#include "wg_key.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEY_A "8EeP+06S/GKqpp7AMWjqFScBgEhnWkUwmtQOjV1iO2A="

static char dir[64];
static char path[128];
static char error_text[512];
static struct config config;
static struct event_base *base;
static struct store *store;
static struct peer_table *peers;
static struct model *model;
static int edge_dummy;

/* What the workers would have. */
static struct {
	void *table;
	size_t len;
	uint32_t n_sets;
	int err;
} workers;

static int policy_set(void *arg, const void *table, size_t len)
{
	(void)arg;
	if (workers.err < 0)
		return workers.err;
	free(workers.table);
	workers.table = aligned_alloc(64, (len + 63) / 64 * 64);
	assert_non_null(workers.table);
	memcpy(workers.table, table, len);
	workers.len = len;
	workers.n_sets++;
	return 0;
}

static struct base_prefix prefix(const char *text)
{
	struct base_prefix out;

	assert_int_equal(base_prefix_parse(text, &out), 0);
	return out;
}

static void start(bool with_edge)
{
	struct peer_setup peer_setup = {.config = &config};
	struct model_setup setup = {.config = &config};

	memset(&fake, 0, sizeof(fake));
	base = event_base_new();
	assert_non_null(base);
	if (store_open(path, (uid_t)-1, (gid_t)-1, &store, error_text, sizeof(error_text)) < 0)
		fail_msg("%s", error_text);
	peer_setup.base = base;
	peer_setup.store = store;
	if (peer_table_create(&peer_setup, &peers, error_text, sizeof(error_text)) < 0)
		fail_msg("%s", error_text);
	setup.base = base;
	setup.store = store;
	setup.peers = peers;
	setup.policy_set = policy_set;
	setup.edge = with_edge ? (struct edge *)(void *)&edge_dummy : NULL;
	if (model_create(&setup, &model, error_text, sizeof(error_text)) < 0)
		fail_msg("%s", error_text);
}

static void stop(void)
{
	model_destroy(model);
	peer_table_destroy(peers);
	store_close(store);
	event_base_free(base);
}

/* Call with params as JSON text; the result, owned by the caller. */
static json_t *call(const char *method, const char *params_text)
{
	json_t *params = json_loads(params_text, 0, NULL);
	json_t *result = NULL;
	json_t *error = NULL;

	assert_non_null(params);
	if (model_call(model, method, params, &result, &error) < 0)
		fail_msg("%s %s: %s", method, params_text,
		         json_string_value(json_object_get(error, "message")));
	assert_null(error);
	json_decref(params);
	return result;
}

static void call_ok(const char *method, const char *params_text)
{
	json_decref(call(method, params_text));
}

static void call_refused(const char *method, const char *params_text, const char *code,
                         const char *field, const char *message)
{
	json_t *params = json_loads(params_text, JSON_DECODE_ANY, NULL);
	json_t *result = NULL;
	json_t *error = NULL;
	const char *read_field;

	assert_non_null(params);
	assert_true(model_call(model, method, params, &result, &error) < 0);
	assert_null(result);
	assert_string_equal(json_string_value(json_object_get(error, "message")), message);
	assert_string_equal(json_string_value(json_object_get(error, "code")), code);
	read_field = json_string_value(json_object_get(error, "field"));
	assert_string_equal(read_field ? read_field : "", field);
	json_decref(error);
	json_decref(params);
}

/* ---- arguments ---------------------------------------------------------------------------------- */

static void every_wrong_argument_is_named_with_what_it_takes(void **state)
{
#define NAME_MUST "1 to 63 of the characters a-z 0-9 -, not beginning or ending with -"
#define HOST_MUST                                                                                  \
	"a DNS name such as \"blog.example.org\" (letters beyond a-z as punycode, \"xn--...\")"
	static const struct {
		const char *method;
		const char *params;
		const char *field;
		const char *message;
	} cases[] = {
		{"status", "[]", "", "params must be an object"},
		{"status", "{\"x\": 1}", "", "status takes no argument \"x\""},
		{"peer.add", "{}", "name", "name is missing, must be " NAME_MUST},
		{"peer.add", "{\"name\": 3}", "name", "name is 3, must be " NAME_MUST},
		{"peer.add", "{\"name\": \"\"}", "name", "name is \"\", must be " NAME_MUST},
		{"peer.add", "{\"name\": \"a b\"}", "name", "name is \"a b\", must be " NAME_MUST},
		{"peer.add", "{\"name\": \"a\\n\"}", "name", "name is \"a?\", must be " NAME_MUST},
		{"peer.add", "{\"name\": \"-a\"}", "name", "name is \"-a\", must be " NAME_MUST},
		{"peer.add", "{\"name\": \"a\", \"keepalive\": 70000}", "keepalive",
	         "keepalive is 70000, must be 0 to 65535 seconds (0 turns it off)"},
		{"peer.add", "{\"name\": \"a\", \"keepalive\": -1}", "keepalive",
	         "keepalive is -1, must be 0 to 65535 seconds (0 turns it off)"},
		{"peer.add", "{\"name\": \"a\", \"keepalive\": \"25\"}", "keepalive",
	         "keepalive is \"25\", must be 0 to 65535 seconds (0 turns it off)"},
		{"peer.add", "{\"name\": \"a\", \"keepalive\": 2.5}", "keepalive",
	         "keepalive is 2.5, must be 0 to 65535 seconds (0 turns it off)"},
		/* what stands where a public key should is not shown: it may be a private one */
		{"peer.add", "{\"name\": \"a\", \"public_key\": \"secret\"}", "public_key",
	         "public_key is a text of 6 characters, must be a WireGuard key, 44 characters of "
	         "base64"},
		{"peer.add", "{\"name\": \"a\", \"allowed_ips\": \"10.0.0.0/8\"}", "allowed_ips",
	         "allowed_ips is \"10.0.0.0/8\", must be up to 32 networks without host bits, such "
	         "as \"10.1.0.0/16\" or \"fd01::/64\""},
		{"peer.add", "{\"name\": \"a\", \"allowed_ips\": [\"10.0.0.1/8\"]}", "allowed_ips",
	         "allowed_ips has \"10.0.0.1/8\", must be up to 32 networks without host bits, such "
	         "as \"10.1.0.0/16\" or \"fd01::/64\""},
		{"peer.add", "{\"name\": \"a\", \"no_preshared_key\": 1}", "no_preshared_key",
	         "no_preshared_key is 1, must be true or false"},
		{"peer.list", "{\"limit\": 0}", "limit", "limit is 0, must be 1 to 1000 peers"},
		{"peer.list", "{\"limit\": 1001}", "limit",
	         "limit is 1001, must be 1 to 1000 peers"},
		{"counters", "{\"worker\": 1}", "worker", "worker is 1, must be 0 to 0"},
		{"service.add",
	         "{\"name\": \"a\", \"host\": \"b\u00fccher.example\", \"target\": "
	         "\"a:1\"}",
	         "host", "host is \"b\u00fccher.example\", must be " HOST_MUST},
		{"service.add", "{\"name\": \"a\", \"host\": \"a..b\", \"target\": \"a:1\"}",
	         "host", "host is \"a..b\", must be " HOST_MUST},
		{"service.add", "{\"name\": \"a\", \"host\": \"10.0.0.1\", \"target\": \"a:1\"}",
	         "host", "host is \"10.0.0.1\", must be " HOST_MUST},
		{"service.add", "{\"name\": \"a\", \"host\": \"a.b\", \"target\": \"a\"}", "target",
	         "target is \"a\", must be a peer's name and a port, such as \"home:8080\""},
		{"service.add", "{\"name\": \"a\", \"host\": \"a.b\", \"target\": \"a:65536\"}",
	         "target",
	         "target is \"a:65536\", must be a peer's name and a port, such as \"home:8080\""},
	};

	(void)state;
	start(true);
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++)
		call_refused(cases[i].method, cases[i].params, "bad_argument", cases[i].field,
		             cases[i].message);
	call_refused("peer.frobnicate", "{}", "unknown_method", "",
	             "there is no method \"peer.frobnicate\"");
	assert_int_equal(peer_count(peers), 0);
	stop();
}

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
	char out[STORE_HOST_LEN];
	char text[300];

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++) {
		assert_int_equal(model__host_normalize(cases[i].text, out),
		                 cases[i].expected ? 0 : -EINVAL);
		if (cases[i].expected)
			assert_string_equal(out, cases[i].expected);
	}
	memset(text, 'a', sizeof(text));
	text[64] = '\0';
	assert_int_equal(model__host_normalize(text, out), -EINVAL); /* label of 64 */
	text[63] = '\0';
	assert_int_equal(model__host_normalize(text, out), 0);
	for (size_t i = 0; i < 253; i++)
		text[i] = i % 2 ? '.' : 'a';
	text[253] = '\0';
	assert_int_equal(model__host_normalize(text, out), 0);
	strcat(text, ".");
	assert_int_equal(model__host_normalize(text, out), 0);
	strcpy(text + 253, ".a");
	assert_int_equal(model__host_normalize(text, out), -EINVAL);
}

/* ---- peers -------------------------------------------------------------------------------------- */

static const char *config_of(const json_t *result)
{
	return json_string_value(json_object_get(result, "config"));
}

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

/* May a open port 443 of b, by the table that the workers have? */
static bool workers_allow(const char *a, const char *b)
{
	const struct policy_table *table = policy_table_check(workers.table, workers.len, NULL);
	const struct peer *from = peer_find(peers, a);
	const struct peer *to = peer_find(peers, b);
	struct policy_packet packet = {.proto = 6, .dport = 443};

	assert_non_null(table);
	packet.in_peer = from->row.id;
	packet.out_peer = to->row.id;
	packet.src = policy_address_make(&from->row.addresses[0]);
	packet.dst = policy_address_make(&to->row.addresses[0]);
	return policy_decide(table, &packet, (uint64_t)time(NULL)).reason == POLICY_ALLOWED;
}

static void workers_get_every_change_of_policy_and_peers(void **state)
{
	uint32_t generation;

	(void)state;
	start(true);
	assert_true(workers.n_sets > 0); /* an empty policy is one too */
	call_ok("peer.add", "{\"name\": \"a\"}");
	call_ok("peer.add", "{\"name\": \"b\"}");
	assert_false(workers_allow("a", "b"));
	generation = policy_table_generation(workers.table);
	call_ok("group.add", "{\"name\": \"g\", \"members\": [\"a\"]}");
	call_ok("grant.add", "{\"name\": \"x\", \"who\": \"group:g\", \"to\": \"any\", "
	                     "\"protocol\": \"tcp\"}");
	assert_true(workers_allow("a", "b"));
	assert_false(workers_allow("b", "a"));
	assert_int_not_equal(policy_table_generation(workers.table), generation);
	call_ok("peer.remove", "{\"name\": \"b\"}");
	call_ok("peer.add", "{\"name\": \"c\"}");
	assert_true(workers_allow("a", "c"));
	stop();
	start(true); /* from the store */
	assert_true(workers_allow("a", "c"));
	call_ok("grant.remove", "{\"name\": \"x\"}");
	assert_false(workers_allow("a", "c"));
	stop();
}

static void workers_that_could_not_take_a_table_get_it_soon(void **state)
{
	(void)state;
	start(true);
	call_ok("peer.add", "{\"name\": \"a\"}");
	call_ok("peer.add", "{\"name\": \"b\"}");
	workers.err = -EAGAIN;
	call_ok("grant.add", "{\"name\": \"x\", \"who\": \"any\", \"to\": \"any\", "
	                     "\"protocol\": \"tcp\"}");
	assert_false(workers_allow("a", "b"));
	workers.err = 0;
	event_base_loop(base, EVLOOP_ONCE); /* the timer of a second, or another one before it */
	for (int i = 0; i < 20 && !workers_allow("a", "b"); i++)
		event_base_loop(base, EVLOOP_ONCE);
	assert_true(workers_allow("a", "b"));
	stop();
}

static void policy_is(const char *generation, bool in_force, const char *finding)
{
	json_t *status = call("status", "{}");
	json_t *policy = json_object_get(status, "policy");
	json_t *audit = call("audit.policy", "{}");
	char *text = json_dumps(audit, 0);

	assert_int_equal(json_integer_value(json_object_get(policy, "generation")),
	                 atoi(generation));
	assert_int_equal(json_is_true(json_object_get(policy, "in_force")), in_force);
	assert_int_equal(strstr(text, "not-in-force") != NULL, finding != NULL);
	if (finding)
		assert_non_null(strstr(text, finding));
	free(text);
	json_decref(audit);
	json_decref(status);
}

/* Is there a finding of this rule about this peer? Its severity, or "". */
static const char *audited(const char *rule, const char *name)
{
	static char severity[16];
	json_t *audit = call("audit.policy", "{}");
	json_t *findings = json_object_get(audit, "findings");

	severity[0] = '\0';
	for (size_t i = 0; i < json_array_size(findings); i++) {
		const json_t *one = json_array_get(findings, i);

		if (strcmp(json_string_value(json_object_get(one, "rule")), rule) == 0
		    && strcmp(json_string_value(json_object_get(one, "name")), name) == 0)
			snprintf(severity, sizeof(severity), "%s",
			         json_string_value(json_object_get(one, "severity")));
	}
	json_decref(audit);
	return severity;
}

static void an_old_key_is_audited_after_its_days(void **state)
{
	const uint64_t day_ns = 24 * 3600 * BASE_NS_PER_S;
	struct peer *old;

	(void)state;
	start(true);
	call_ok("peer.add", "{\"name\": \"old\"}");
	call_ok("peer.add", "{\"name\": \"new\"}");
	memcpy(&old, &(const struct peer *){peer_find(peers, "old")}, sizeof(old));
	config.key_age_days = 365;
	old->row.key_set_wall_ns = base_time_wall_ns() - 364 * day_ns;
	assert_string_equal(audited("stale-key", "old"), "");
	old->row.key_set_wall_ns -= 2 * day_ns;
	assert_string_equal(audited("stale-key", "old"), "warning");
	assert_string_equal(audited("stale-key", "new"), "");
	config.key_age_days = 0;
	assert_string_equal(audited("stale-key", "old"), "");
	stop();
}

static void a_peer_that_moves_and_keeps_nothing_alive_is_audited(void **state)
{
	struct session_peer_info *info = fake.info;

	(void)state;
	start(true);
	call_ok("peer.add", "{\"name\": \"quiet\", \"client_keepalive\": 0}");
	call_ok("peer.add", "{\"name\": \"alive\"}");
	call_ok("peer.add", "{\"name\": \"kept\", \"client_keepalive\": 0, \"keepalive\": 25}");
	assert_string_equal(audited("no-keepalive", "quiet"), "");
	for (const char *const *name = (const char *const[]){"quiet", "alive", "kept", NULL}; *name;
	     name++)
		info[peer_find(peers, *name)->row.id].n_moves = 2;
	assert_string_equal(audited("no-keepalive", "quiet"), "warning");
	assert_string_equal(audited("no-keepalive", "alive"), "");
	assert_string_equal(audited("no-keepalive", "kept"), "");
	stop();
}

static void a_policy_is_in_force_when_the_workers_say_so(void **state)
{
	uint32_t before;

	(void)state;
	start(true);
	call_ok("grant.add", "{\"name\": \"x\", \"who\": \"any\", \"to\": \"any\", "
	                     "\"protocol\": \"tcp\"}");
	policy_is("1", false, NULL);
	before = policy_table_generation(workers.table);
	model_policy_done(model, before, 0, "");
	policy_is("1", true, NULL);
	call_ok("grant.remove", "{\"name\": \"x\"}");
	model_policy_done(model, before, 0, ""); /* late, of the one before */
	policy_is("2", false, NULL);
	model_policy_done(model, policy_table_generation(workers.table), 22, "too long");
	policy_is("2", false, "too long");
	call_ok("peer.add", "{\"name\": \"a\"}"); /* another table for the same policy */
	policy_is("2", false, NULL);
	model_policy_done(model, policy_table_generation(workers.table), 0, "");
	policy_is("2", true, NULL);
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

/* ---- services ----------------------------------------------------------------------------------- */

static void published_service_reaches_the_edge_with_a_certificate(void **state)
{
	json_t *result;
	json_t *service;
	char pem[4096];

	(void)state;
	start(true);
	call_ok("peer.add", "{\"name\": \"home\"}");
	result = call("service.add", "{\"name\": \"blog\", \"host\": \"Blog.Example.org.\", "
	                             "\"target\": \"home:8080\"}");
	service = json_object_get(result, "service");
	assert_string_equal(json_string_value(json_object_get(service, "url")),
	                    "https://blog.example.org/");
	assert_string_equal(json_string_value(json_object_get(service, "address")), "10.77.0.2");
	assert_string_equal(json_string_value(json_object_get(service, "state")), "published");
	json_decref(result);
	assert_int_equal(fake.n_services, 1);
	assert_string_equal(fake.service[0].host, "blog.example.org");
	assert_int_equal(fake.service[0].target.port, 8080);
	assert_non_null(strstr(fake.pem[0], "PRIVATE KEY"));
	memcpy(pem, fake.pem[0], sizeof(pem));

	call_refused("peer.remove", "{\"name\": \"home\"}", "in_use", "name",
	             "name: service \"blog\" points to peer \"home\"; remove the service first");
	stop();
	start(true); /* after a restart: the same service, the same certificate */
	assert_int_equal(fake.n_services, 1);
	assert_string_equal(fake.pem[0], pem);
	call_ok("service.remove", "{\"name\": \"blog\"}");
	assert_int_equal(fake.n_services, 0);
	call_ok("peer.remove", "{\"name\": \"home\"}");
	stop();
}

static void what_cannot_be_published_is_refused_and_not_stored(void **state)
{
	json_t *result;

	(void)state;
	start(true);
	call_ok("peer.add", "{\"name\": \"home\"}");
	call_refused("service.add", "{\"name\": \"a\", \"host\": \"a.b\", \"target\": \"x:1\"}",
	             "not_found", "target", "target: no peer is called \"x\"");
	call_ok("service.add", "{\"name\": \"a\", \"host\": \"a.b\", \"target\": \"home:1\"}");
	call_refused("service.add", "{\"name\": \"a\", \"host\": \"c.d\", \"target\": \"home:1\"}",
	             "exists", "name", "name: service \"a\" exists already");
	call_refused("service.add", "{\"name\": \"b\", \"host\": \"A.B\", \"target\": \"home:1\"}",
	             "exists", "host", "host: a.b belongs to service \"a\"");
	call_refused("service.remove", "{\"name\": \"b\"}", "not_found", "name",
	             "name: no service is called \"b\"");
	fake.edge_err = -EINVAL;
	call_refused("service.add", "{\"name\": \"b\", \"host\": \"c.d\", \"target\": \"home:1\"}",
	             "failed", "", "edge: Invalid argument");
	call_refused("service.remove", "{\"name\": \"a\"}", "failed", "", "edge: Invalid argument");
	fake.edge_err = 0;
	result = call("service.list", "{}");
	assert_int_equal(json_array_size(json_object_get(result, "services")), 1);
	json_decref(result);
	stop();
	start(false);
	call_refused("service.add", "{\"name\": \"b\", \"host\": \"c.d\", \"target\": \"home:1\"}",
	             "no_edge", "",
	             "edge.https is not set in weir.conf: there is no address to publish on");
	stop();
}

static void service_of_a_missing_peer_waits_for_it(void **state)
{
	struct store_service orphan = {"blog", "blog.example.org", "home", 80, 1};
	json_t *result;
	json_t *service;

	(void)state;
	start(true);
	assert_int_equal(store_service_add(store, &orphan), 0);
	stop();
	start(true);
	assert_int_equal(fake.n_services, 0);
	result = call("service.list", "{}");
	service = json_array_get(json_object_get(result, "services"), 0);
	assert_string_equal(json_string_value(json_object_get(service, "state")),
	                    "peer is missing");
	json_decref(result);
	call_ok("peer.add", "{\"name\": \"home\"}");
	assert_int_equal(fake.n_services, 1);
	stop();
}

/* ---- status and counters ------------------------------------------------------------------------ */

static void status_tells_processes_workers_ports_and_numbers(void **state)
{
	json_t *result;
	json_t *dataplane;
	int pid = 0;
	int total = 0;
	int limit = 0;

	(void)state;
	start(true);
	call_ok("peer.add", "{\"name\": \"home\"}");
	result = call("status", "{}");
	assert_int_equal(json_unpack(result, "{s:{s:i}, s:{s:i, s:i}}", "control", "pid", &pid,
	                             "peers", "total", &total, "limit", &limit),
	                 0);
	assert_int_equal(pid, getpid());
	assert_int_equal(total, 1);
	assert_int_equal(limit, 16);
	dataplane = json_object_get(result, "dataplane");
	assert_true(json_is_false(json_object_get(dataplane, "ready")));
	assert_int_equal(json_integer_value(json_object_get(dataplane, "pid")), 0);
	json_decref(result);
	fake.ready = true;
	result = call("status", "{}");
	dataplane = json_object_get(result, "dataplane");
	assert_true(json_is_true(json_object_get(dataplane, "ready")));
	assert_int_equal(json_integer_value(json_object_get(dataplane, "pid")), 4711);
	assert_int_equal(json_array_size(json_object_get(dataplane, "workers")), 1);
	json_decref(result);
	stop();
}

static void counters_come_by_name(void **state)
{
	json_t *result;
	json_t *counters;

	(void)state;
	start(true);
	result = call("counters", "{}");
	counters = json_object_get(result, "counters");
	assert_int_equal(json_object_size(counters), ABI_N_COUNTERS);
	assert_int_equal(json_integer_value(json_object_get(counters, "rx_wan")), 1000);
	assert_int_equal(json_integer_value(json_object_get(counters, "drop_replay")), 3);
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(result, "edge"), "requests")),
		7);
	json_decref(result);
	result = call("counters", "{\"nonzero\": true}");
	assert_int_equal(json_object_size(json_object_get(result, "counters")), 2);
	json_decref(result);
	result = call("counters", "{\"worker\": 0}");
	counters = json_object_get(result, "counters");
	assert_int_equal(json_integer_value(json_object_get(counters, "rx_wan")), 500);
	assert_null(json_object_get(result, "edge"));
	json_decref(result);
	stop();
}

/* ---- limits ------------------------------------------------------------------------------------- */

static const char *const add_alice = "{\"name\": \"alice\", \"public_key\": \"" KEY_A "\"}";

static json_int_t limits_number(const char *group, const char *name)
{
	json_t *result = call("peer.show", "{\"name\": \"alice\"}");
	const json_t *limits = json_object_get(json_object_get(result, "peer"), "limits");
	const json_t *value = json_object_get(group ? json_object_get(limits, group) : limits,
	                                      name);
	json_int_t number = json_is_boolean(value) ? json_is_true(value)
	                                           : json_integer_value(value);

	if (!value)
		number = -1;
	json_decref(result);
	return number;
}

static void limits_reach_the_workers_and_come_back_after_a_restart(void **state)
{
	const struct abi_cmd_peer_limit *cmd = &fake.limit_cmd[1][0];

	(void)state;
	start(true);
	call_ok("peer.add", add_alice);
	assert_false(fake.limited[0]);
	call_ok("peer.limit", "{\"name\": \"alice\", \"rx_bytes\": \"20Mbit\","
	                      " \"tx_packets\": 100, \"tx_packets_burst\": \"2k\"}");
	for (int i = 0; i < 2; i++) {
		assert_true(fake.limited[0]);
		assert_true(fake.stays[0]);
		assert_int_equal(cmd->rx.bytes, 2500000);
		assert_int_equal(cmd->rx.bytes_burst, 250000);
		assert_int_equal(cmd->rx.packets, 0);
		assert_int_equal(cmd->tx.packets, 100);
		assert_int_equal(cmd->tx.packets_burst, 2000);
		assert_true(cmd->rx_until == ABI_QUOTA_NONE);
		assert_true(cmd->total_until == ABI_QUOTA_NONE);
		assert_int_equal(limits_number(NULL, "rx_bytes"), 2500000);
		stop();
		start(true);
	}
	/* one field alone, the others stay */
	call_ok("peer.limit", "{\"name\": \"alice\", \"rx_bytes\": 0}");
	assert_int_equal(cmd->rx.bytes, 0);
	assert_int_equal(cmd->tx.packets, 100);
	/* a disabled peer has none at the workers, and has them again when it is back */
	call_ok("peer.disable", "{\"name\": \"alice\"}");
	fake.limited[0] = false;
	call_ok("peer.enable", "{\"name\": \"alice\"}");
	assert_true(fake.limited[0]);
	call_ok("peer.limit", "{\"name\": \"alice\", \"none\": true}");
	assert_false(fake.limited[0]);
	assert_false(fake.stays[0]);
	call_ok("peer.remove", "{\"name\": \"alice\"}");
	stop();
}

static void the_default_is_for_who_has_no_own(void **state)
{
	(void)state;
	config.limits = (struct limit_spec){.rx.packets = 1000};
	start(true);
	call_ok("peer.add", add_alice);
	assert_int_equal(fake.limit_cmd[0][0].rx.packets, 1000);
	call_ok("peer.limit", "{\"name\": \"alice\", \"none\": true}");
	assert_false(fake.limited[0]);
	call_ok("peer.limit", "{\"name\": \"alice\", \"default\": true}");
	assert_true(fake.limited[0]);
	assert_int_equal(limits_number(NULL, "rx_packets"), 1000);
	stop();
	config.limits = (struct limit_spec){0};
}

static void a_quota_stops_each_worker_at_its_own_count(void **state)
{
	struct abi_cmd_peer_limit *cmds[2] = {&fake.limit_cmd[0][0], &fake.limit_cmd[1][0]};

	(void)state;
	start(true);
	call_ok("peer.add", add_alice);
	fake.limit[0][0].rx_used = 5000; /* of somebody else, before */
	call_ok("peer.limit", "{\"name\": \"alice\", \"quota_rx\": \"10k\", \"quota\": 12000}");
	assert_int_equal(cmds[0]->rx_until, 15000);
	assert_int_equal(cmds[1]->rx_until, 10000);
	assert_int_equal(cmds[0]->total_until, 17000);
	assert_true(cmds[0]->tx_until == ABI_QUOTA_NONE);
	fake.limit[0][0].rx_used = 9000;
	fake.limit[1][0].tx_used = 500;
	assert_int_equal(limits_number("month", "rx_used"), 4000);
	assert_int_equal(limits_number("month", "tx_used"), 500);
	/* A second later: what passed at one worker is less for the other. */
	event_base_loop(base, EVLOOP_ONCE);
	assert_int_equal(cmds[0]->rx_until, 15000);
	assert_int_equal(cmds[1]->rx_until, 6000);
	assert_int_equal(cmds[1]->total_until, 500 + 12000 - 4500);
	assert_int_equal(limits_number("month", "reached"), 0);
	/* Control and dataplane end, and what was used is known. */
	stop();
	start(true);
	assert_int_equal(limits_number("month", "rx_used"), 4000);
	assert_int_equal(cmds[0]->rx_until, 6000);
	fake.limit[0][0].rx_used = 6000;
	fake.limit[0][0].rx_drops = 3;
	assert_int_equal(limits_number("month", "reached"), 1);
	assert_int_equal(limits_number("month", "drops"), 3);
	call_ok("quota.reset", "{\"name\": \"alice\"}");
	assert_int_equal(cmds[0]->rx_until, 16000);
	assert_int_equal(limits_number("month", "rx_used"), 0);
	assert_int_equal(limits_number("month", "reached"), 0);
	stop();
}

static void limits_that_make_no_sense_are_refused_by_field_and_range(void **state)
{
	(void)state;
	start(true);
	call_ok("peer.add", add_alice);
	call_refused("peer.limit", "{\"name\": \"alice\", \"rx_bytes\": \"401Gbit\"}",
	             "bad_argument", "rx_bytes",
	             "rx_bytes is \"401Gbit\", must be 0 (no limit) or 1 to 50000000000 bytes a "
	             "second, such as 2500000, 20Mbit or 1G");
	call_refused("peer.limit", "{\"name\": \"alice\", \"tx_packets\": 4294967297}",
	             "bad_argument", "tx_packets",
	             "tx_packets is 4294967297, must be 0 (no limit) or 1 to 4294967296 packets a "
	             "second");
	call_refused("peer.limit", "{\"name\": \"alice\", \"tx_packets\": \"8bit\"}",
	             "bad_argument", "tx_packets",
	             "tx_packets is \"8bit\", must be a number such as 5000, 20k or 1M");
	call_refused("peer.limit", "{\"name\": \"alice\", \"rx_bytes_burst\": 10000}",
	             "bad_argument", "rx_bytes_burst",
	             "rx_bytes_burst stands alone, must be beside the rate that it is of");
	call_refused("peer.limit", "{\"name\": \"alice\"}", "bad_argument", "",
	             "must be given: limits, or none, or default, and one of these alone");
	call_refused("peer.limit", "{\"name\": \"alice\", \"none\": true, \"quota\": 5}",
	             "bad_argument", "",
	             "must be given: limits, or none, or default, and one of these alone");
	call_refused("peer.limit", "{\"name\": \"bob\", \"none\": true}", "not_found", "name",
	             "name: no peer is called \"bob\"");
	call_refused("quota.reset", "{\"name\": \"alice\"}", "not_found", "name",
	             "name: peer \"alice\" has no quota");
	assert_false(fake.limited[0]);
	stop();
}

static int set_up(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/weir-test-model-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/weir.db", dir);
	memset(&config, 0, sizeof(config));
	strcpy(config.path, "weir.conf");
	strcpy(config.endpoint, "vpn.example.org:51820");
	config.listen_port = 51820;
	config.tunnel_mtu = 1420;
	config.max_peers = 16;
	config.n_workers = 1;
	config.n_tunnel = 2;
	config.tunnel[0] = prefix("10.77.0.1/24");
	config.tunnel[1] = prefix("fd77::1/64");
	return 0;
}

static int tear_down(void **state)
{
	static const char *const names[] = {"weir.db", "weir.db-wal", "store.key"};
	char name[200];

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(names); i++) {
		snprintf(name, sizeof(name), "%s/%s", dir, names[i]);
		unlink(name);
	}
	return rmdir(dir);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(every_wrong_argument_is_named_with_what_it_takes),
		CASE(hosts_are_normalized),
		CASE(peer_with_its_own_key_gets_a_file_with_a_placeholder),
		CASE(key_pair_of_the_hub_is_in_that_one_reply_only),
		CASE(preshared_key_can_be_left_out),
		CASE(endpoint_of_the_hub_falls_back_to_the_first_port_address),
		CASE(kill_switch_lets_out_the_hub_by_its_addresses_and_port),
		CASE(kill_switch_with_a_name_is_resolved_by_the_peer_unless_it_persists),
		CASE(allowed_ips_of_a_configuration_follow_the_grants),
		CASE(workers_get_every_change_of_policy_and_peers),
		CASE(workers_that_could_not_take_a_table_get_it_soon),
		CASE(a_policy_is_in_force_when_the_workers_say_so),
		CASE(an_old_key_is_audited_after_its_days),
		CASE(a_peer_that_moves_and_keeps_nothing_alive_is_audited),
		CASE(shown_peer_has_everything_but_secrets),
		CASE(list_comes_in_pages),
		CASE(published_service_reaches_the_edge_with_a_certificate),
		CASE(what_cannot_be_published_is_refused_and_not_stored),
		CASE(service_of_a_missing_peer_waits_for_it),
		CASE(status_tells_processes_workers_ports_and_numbers),
		CASE(counters_come_by_name),
		CASE(limits_reach_the_workers_and_come_back_after_a_restart),
		CASE(the_default_is_for_who_has_no_own),
		CASE(a_quota_stops_each_worker_at_its_own_count),
		CASE(limits_that_make_no_sense_are_refused_by_field_and_range),
	};

	base_log_init("test", BASE_LOG_ERR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* control/config: what a good file means, and the exact sentence for each wrong one. */
#include "base_bytes.h"
#include "base_text.h"
#include "config.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TUNNEL     "tunnel = [ \"10.77.0.1/24\", \"fd77::1/64\" ]; "
#define HUB(x)     "hub: { " TUNNEL x " };\n"
#define PORT       "name = \"wan0\"; driver = \"af_packet\"; device = \"eth1\"; "
#define PORTS(x)   "ports: ( { " PORT x " } );\n"
#define GOOD       HUB("") PORTS("")
#define KEY_A      "XX0u2qX6czC4xewCFoE60ZD/x2SilizhgGXGnwOcW1M="
#define KEY_B      "fU8UlIM2VtaV9t4LYyN4JTHTU0vlG7GlBRkUAyqvQy4="
#define KEY_C      "iiiWxdlvCHN/CkCuYxbBMLMC6yOxdmjlMB8Y0pyPbWs="
#define PEER(n, k) "{ name = \"" n "\"; public_key = \"" k "\"; "

static char dir[] = "/tmp/weir-test-config-XXXXXX";

static void write_file(const char *name, const char *text, mode_t mode)
{
	int fd = open(name, O_CREAT | O_TRUNC | O_WRONLY, mode);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static struct config *load_good(const char *text)
{
	char error[512] = "";
	struct config *config = NULL;

	write_file("weir.conf", text, 0600);
	if (config_load("weir.conf", &config, error, sizeof(error)) < 0)
		fail_msg("refused: %s", error);
	return config;
}

static void smallest_file_gets_the_documented_defaults(void **state)
{
	struct config *config = load_good(GOOD);

	(void)state;
	assert_int_equal(config->listen_port, 51820);
	assert_string_equal(config->private_key_file, "/var/lib/weir/hub.key");
	assert_string_equal(config->tunnel_device, "weir0");
	assert_int_equal(config->tunnel_mtu, 1420);
	assert_int_equal(config->dscp, 0);
	assert_false(config->clamp_mss);
	assert_false(config->peer_to_peer);
	assert_int_equal(config->preshared_key, CONFIG_PSK_REQUIRED);
	assert_int_equal(config->n_workers, 1);
	assert_int_equal(config->cores[0], -1);
	assert_int_equal(config->idle_cap_us, 100);
	assert_int_equal(config->aead, ABI_AEAD_AUTO);
	assert_true(config->use_hugepages);
	assert_int_equal(config->max_peers, 1024);
	assert_string_equal(config->run_dir, "/run/weir");
	assert_string_equal(config->store, "/var/lib/weir/weir.db");
	assert_string_equal(config->user, "nobody");
	assert_int_equal(config->handshake_threads, 1);
	assert_int_equal(config->wg_socket, CONFIG_WG_READ_WRITE);
	assert_int_equal(config->trail_records, 1000000);
	assert_int_equal(config->trail_days, 0);
	assert_int_equal(config->log_level, BASE_LOG_INFO);
	assert_int_equal(config->n_ports, 1);
	assert_string_equal(config->ports[0].tap, "weir-wan0");
	assert_int_equal(config->ports[0].mtu, 1500);
	assert_int_equal(config->n_https + config->n_http + config->n_peers, 0);
	config_unload(config);
}

static void every_aead_can_be_named(void **state)
{
	static const struct {
		const char *text;
		uint32_t aead;
	} names[] = {
		{GOOD "dataplane: { aead = \"auto\"; };\n", ABI_AEAD_AUTO},
		{GOOD "dataplane: { aead = \"avx512\"; };\n", ABI_AEAD_AVX512},
		{GOOD "dataplane: { aead = \"avx2\"; };\n", ABI_AEAD_AVX2},
		{GOOD "dataplane: { aead = \"ipsec-mb\"; };\n", ABI_AEAD_IPSEC_MB},
		{GOOD "dataplane: { aead = \"sodium\"; };\n", ABI_AEAD_SODIUM},
	};

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(names); i++) {
		struct config *config = load_good(names[i].text);

		assert_int_equal(config->aead, names[i].aead);
		config_unload(config);
	}
}

static void every_key_arrives_in_its_field(void **state)
{
	struct base_prefix prefix;
	struct base_endpoint endpoint;

	(void)state;
	write_file("psk", KEY_B "\n", 0600);

	char text[4096];
	char *cwd = getcwd(NULL, 0);

	snprintf(
		text, sizeof(text),
		"hub: { listen_port = 443; private_key_file = \"/k\"; " TUNNEL
		"tunnel_device = \"wt\"; tunnel_mtu = 1380; endpoint = \"vpn.example.org:443\"; "
		"peer_to_peer = true; dscp = \"copy\"; clamp_mss = true; preshared_key = \"optional\"; };\n"
		"dataplane: { workers = 2; cores = [ 2, 5 ]; idle = \"busy\"; aead = \"sodium\"; "
		"mbufs = 4096; hugepages = false; max_peers = 7; };\n"
		"ports: ( { " PORT "tap = \"\"; mtu = 9000; },\n"
		"{ name = \"b\"; driver = \"pci\"; device = \"0000:3b:00.0\"; tap = \"wanb\"; "
		"addresses = [ \"192.0.2.9/24\" ]; gateways = [ \"192.0.2.1\", \"fe80::1\" ]; } );\n"
		"control: { run_dir = \"/r\"; store = \"/s\"; user = \"weir\"; "
		"handshake_threads = 3; wg_socket = \"read-only\"; trail_records = 5000; trail_days = 400; log_level = \"debug\"; };\n"
		"edge: { https = ( \"[::]:443\" ); http = ( \"0.0.0.0:80\" ); };\n"
		"peers: ( " PEER("alice", KEY_A) "preshared_key_file = \"%s/psk\"; allowed_ips = "
						 "[ \"10.1.0.0/16\" ]; keepalive = 25; endpoint = "
						 "\"192.0.2.7:51820\"; } );\n",
		cwd);
	free(cwd);

	struct config *config = load_good(text);

	assert_int_equal(config->listen_port, 443);
	assert_string_equal(config->private_key_file, "/k");
	assert_int_equal(config->n_tunnel, 2);
	assert_int_equal(base_prefix_parse("10.77.0.1/24", &prefix), 0);
	assert_true(base_prefix_equal(&config->tunnel[0], &prefix));
	assert_string_equal(config->tunnel_device, "wt");
	assert_int_equal(config->tunnel_mtu, 1380);
	assert_string_equal(config->endpoint, "vpn.example.org:443");
	assert_true(config->peer_to_peer);
	assert_int_equal(config->dscp, CONFIG_DSCP_COPY);
	assert_true(config->clamp_mss);
	assert_int_equal(config->preshared_key, CONFIG_PSK_OPTIONAL);
	assert_int_equal(config->n_workers, 2);
	assert_int_equal(config->cores[0], 2);
	assert_int_equal(config->cores[1], 5);
	assert_int_equal(config->cores[2], -1);
	assert_int_equal(config->idle_cap_us, 0);
	assert_int_equal(config->aead, ABI_AEAD_SODIUM);
	assert_int_equal(config->n_mbufs, 4096);
	assert_false(config->use_hugepages);
	assert_int_equal(config->max_peers, 7);
	assert_int_equal(config->n_ports, 2);
	assert_string_equal(config->ports[0].tap, "");
	assert_int_equal(config->ports[0].mtu, 9000);
	assert_int_equal(config->ports[1].driver, ABI_DRIVER_PCI);
	assert_string_equal(config->ports[1].tap, "wanb");
	assert_int_equal(config->ports[1].n_addresses, 1);
	assert_int_equal(config->ports[1].n_gateways, 2);
	assert_string_equal(config->run_dir, "/r");
	assert_string_equal(config->store, "/s");
	assert_string_equal(config->user, "weir");
	assert_int_equal(config->handshake_threads, 3);
	assert_int_equal(config->wg_socket, CONFIG_WG_READ_ONLY);
	assert_int_equal(config->trail_records, 5000);
	assert_int_equal(config->trail_days, 400);
	assert_int_equal(config->log_level, BASE_LOG_DEBUG);
	assert_int_equal(base_endpoint_parse("[::]:443", &endpoint), 0);
	assert_true(base_endpoint_equal(&config->https[0], &endpoint));
	assert_int_equal(config->n_http, 1);

	const struct config_peer *peer = &config->peers[0];
	uint8_t key[32];

	assert_string_equal(peer->name, "alice");
	assert_int_equal(base_key_from_base64(key, KEY_A), 0);
	assert_memory_equal(peer->public_key, key, 32);
	assert_true(peer->has_preshared_key);
	assert_int_equal(base_key_from_base64(key, KEY_B), 0);
	assert_memory_equal(peer->preshared_key, key, 32);
	assert_int_equal(peer->n_allowed_ips, 1);
	assert_int_equal(peer->keepalive_s, 25);
	assert_int_equal(peer->endpoint.port, 51820);
	assert_int_equal(peer->line, 7);
	config_unload(config);
}

static const struct {
	const char *text;
	const char *error; /* after "weir.conf:" */
} wrong[] = {
	/* syntax, shape */
	{"hub: {\n", "2: syntax error"},
	{"", " hub is missing"},
	{HUB(""), " ports is missing"},
	{"hub = 3;\n", "1: hub is 3, must be a group { ... }"},
	{HUB("") "ports = {};\n", "2: ports is a group, must be a list ( { ... }, { ... } )"},
	{HUB("") "ports = ();\n", "2: ports has 0 ports, must have 1 to 8"},
	{HUB("") "ports = ( 3 );\n", "2: ports[0] is 3, must be a group { ... }"},
	{GOOD "dataplan: {};\n", "3: unknown key \"dataplan\", nearest known is \"dataplane\""},
	{HUB("listen_prot = 1;"),
         "1: hub: unknown key \"listen_prot\", nearest known is \"listen_port\""},
	{HUB("") PORTS("gateway = [];"),
         "2: port \"wan0\": unknown key \"gateway\", nearest known is \"gateways\""},
	/* hub */
	{HUB("listen_port = 0;"), "1: hub: listen_port is 0, must be a UDP port, 1 to 65535"},
	{HUB("listen_port = 65536;"),
         "1: hub: listen_port is 65536, must be a UDP port, 1 to 65535"},
	{HUB("listen_port = 99999999999;"),
         "1: 99999999999 is too large, must be at most 2147483647"},
	{HUB("") "\n# 99999999999 \"\n/* 1\n99999999999 */ // \"\ncontrol: { user = \"\\\"99999999999\"; "
                 "handshake_threads = 0x100000001; };\n",
         "6: 0x100000001 is too large, must be at most 2147483647"},
	{GOOD "@include \"more.conf\"\n",
         "3: @ is not allowed: the configuration is one file, without @include"},
	{HUB("listen_port = \"51820\";"),
         "1: hub: listen_port is \"51820\", must be a UDP port, 1 to 65535"},
	{HUB("listen_port = 1.5;"), "1: hub: listen_port is 1.5, must be a UDP port, 1 to 65535"},
	{HUB("private_key_file = \"hub.key\";"),
         "1: hub: private_key_file is \"hub.key\", must be an absolute path shorter than 256 bytes"},
	{"hub: { };\n" PORTS(""),
         "1: hub: tunnel is missing, must be 1 to 4 addresses with the length of their net, such as "
         "\"10.77.0.1/24\" (IPv4 /8 to /30, IPv6 /8 to /126)"},
	{"hub: { tunnel = [];\n };\n" PORTS(""),
         "1: hub: tunnel is an empty list, must be 1 to 4 addresses with the length of their net, "
         "such as \"10.77.0.1/24\" (IPv4 /8 to /30, IPv6 /8 to /126)"},
	{"hub: { tunnel = [ \"10.77.0.1/24\",\n \"10.78.0.1/31\" ];\n };\n" PORTS(""),
         "2: hub: tunnel has \"10.78.0.1/31\", must be 1 to 4 addresses with the length of their "
         "net, such as \"10.77.0.1/24\" (IPv4 /8 to /30, IPv6 /8 to /126)"},
	{"hub: { tunnel = [ \"10.77.0.0/24\" ]; };\n" PORTS(""),
         "1: hub: tunnel has 10.77.0.0/24, must be the hub's own address in the net, not the net's "
         "first or last"},
	{"hub: { tunnel = [ \"10.77.0.255/24\" ]; };\n" PORTS(""),
         "1: hub: tunnel has 10.77.0.255/24, must be the hub's own address in the net, not the "
         "net's first or last"},
	{"hub: { tunnel = [ \"fd77::/64\" ]; };\n" PORTS(""),
         "1: hub: tunnel has fd77::/64, must be the hub's own address in the net, not the net's "
         "first"},
	{"hub: { tunnel = [ \"10.77.0.1/24\", \"10.77.9.1/16\" ]; };\n" PORTS(""),
         "1: hub: tunnel has 10.77.0.1/24 and 10.77.9.1/16, which overlap"},
	{HUB("tunnel_device = \"a-name-far-too-long\";"),
         "1: hub: tunnel_device is \"a-name-far-too-long\", must be the name of an interface, 1 to "
         "15 characters"},
	{HUB("dscp = 64;"),
         "1: hub: dscp is 64, must be \"zero\", \"copy\" (as inside) or 0 to 63"},
	{HUB("dscp = \"af41\";"),
         "1: hub: dscp is \"af41\", must be \"zero\", \"copy\" (as inside) or 0 to 63"},
	{HUB("clamp_mss = 1;"), "1: hub: clamp_mss is 1, must be true or false"},
	{HUB("tunnel_mtu = 576;"), "1: hub: tunnel_mtu is 576, must be 1280 to 9000 bytes"},
	{HUB("endpoint = \"vpn.example.org\";"),
         "1: hub: endpoint is \"vpn.example.org\", must be \"host:port\", as clients reach the hub"},
	{HUB("endpoint = \"vpn.example.org:70000\";"),
         "1: hub: endpoint is \"vpn.example.org:70000\", must be \"host:port\", as clients reach "
         "the hub"},
	{HUB("endpoint = \"a\\nPostUp = x:1\";"),
         "1: hub: endpoint is \"a?PostUp = x:1\", must be \"host:port\", as clients reach the hub"},
	{HUB("peer_to_peer = 1;"), "1: hub: peer_to_peer is 1, must be true or false"},
	/* dataplane */
	{GOOD "dataplane: { workers = 17; };\n", "3: dataplane: workers is 17, must be 1 to 16"},
	{GOOD "dataplane: { cores = [ 1, 2000 ]; };\n",
         "3: dataplane: cores has 2000, must be a list of CPU numbers, 0 to 1023, one for each "
         "worker"},
	{GOOD "dataplane: { workers = 2; cores = [ 1 ]; };\n",
         "3: dataplane: cores is a list of 1, must name one CPU for each of the 2 workers"},
	{GOOD "dataplane: { workers = 2; cores = [ 1, 1 ]; };\n",
         "3: dataplane: cores has CPU 1 twice, must be one for each worker"},
	{GOOD "dataplane: { idle = \"lazy\"; };\n",
         "3: dataplane: idle is \"lazy\", must be \"busy\" or \"adaptive:MICROSECONDS\" (1 to "
         "10000)"},
	{GOOD "dataplane: { idle = \"adaptive:0\"; };\n",
         "3: dataplane: idle is \"adaptive:0\", must be \"busy\" or \"adaptive:MICROSECONDS\" (1 to "
         "10000)"},
	{GOOD "dataplane: { aead = \"aes\"; };\n",
         "3: dataplane: aead is \"aes\", must be \"auto\", \"avx512\", \"avx2\", \"ipsec-mb\" or "
         "\"sodium\""},
	{GOOD "dataplane: { mbufs = -1; };\n",
         "3: dataplane: mbufs is -1, must be 0 (chosen for you) to 4194304 packet buffers"},
	{GOOD "dataplane: { hugepages = \"yes\"; };\n",
         "3: dataplane: hugepages is \"yes\", must be true or false"},
	{GOOD "dataplane: { max_peers = 0; };\n",
         "3: dataplane: max_peers is 0, must be 1 to 1048575"},
	{GOOD "dataplane: { max_peers = 1048576; };\n",
         "3: dataplane: max_peers is 1048576, must be 1 to 1048575"},
	/* ports */
	{HUB("") "ports: ( { driver = \"pci\"; device = \"x\"; } );\n",
         "2: ports[0]: name is missing, must be 1 to 10 of the characters a-z 0-9 - _"},
	{HUB("") "ports: ( { name = \"WAN\"; } );\n",
         "2: port \"WAN\": name is \"WAN\", must be 1 to 10 of the characters a-z 0-9 - _"},
	{HUB("") "ports: ( { name = \"a\"; driver = \"dpdk\"; } );\n",
         "2: port \"a\": driver is \"dpdk\", must be \"af_packet\", \"pci\" or \"vdev\""},
	{HUB("") "ports: ( { name = \"a\"; driver = \"pci\"; device = \"eth1\"; } );\n",
         "2: port \"a\": device is \"eth1\", must be a PCI address such as \"0000:3b:00.0\""},
	{HUB("") "ports: ( { name = \"a\"; driver = \"vdev\"; device = \"eth1\"; } );\n",
         "2: port \"a\": device is \"eth1\", must be a DPDK virtual device such as \"net_null0\""},
	{HUB("") "ports: ( { " PORT "},\n { name = \"wan0\"; driver = \"af_packet\"; "
                 "device = \"eth2\"; } );\n",
         "3: port \"wan0\": name is taken by the port in line 2"},
	{HUB("") "ports: ( { " PORT "},\n { name = \"b\"; driver = \"af_packet\"; "
                 "device = \"eth1\"; } );\n",
         "3: port \"b\": device is \"eth1\", which port \"wan0\" (line 2) has"},
	{HUB("") PORTS("tap = \"eth1\";"),
         "2: port \"wan0\": device is \"eth1\", which weir makes itself (tap, hub.tunnel_device)"},
	{HUB("") PORTS("tap = \"weir0\";"),
         "2: port \"wan0\": tap is \"weir0\", which is hub.tunnel_device"},
	{HUB("") PORTS("mtu = 1400;"),
         "2: port \"wan0\": mtu is 1400, must be at least 1500 (hub.tunnel_mtu and 80 bytes round "
         "it)"},
	{HUB("") PORTS("addresses = [ \"192.0.2.1\" ];"),
         "2: port \"wan0\": addresses has \"192.0.2.1\", must be up to 8 addresses with the length "
         "of their net, such as \"192.0.2.1/24\""},
	{HUB("") PORTS("addresses = [ \"10.0.0.1/8\" ];"),
         "2: port \"wan0\": addresses has \"10.0.0.1/8\", which overlaps the tunnel net "
         "10.77.0.1/24 (hub.tunnel)"},
	{HUB("") PORTS("tap = \"\"; addresses = [ \"192.0.2.1/24\" ];"),
         "2: port \"wan0\": addresses are put on the TAP, but tap is \"\": give one or leave the "
         "addresses out"},
	{HUB("") PORTS("addresses = [ \"192.0.2.1/24\" ]; gateways = [ \"198.51.100.1\" ];"),
         "2: port \"wan0\": gateways has \"198.51.100.1\", must be another address in a net of this "
         "port's addresses"},
	{HUB("") PORTS("gateways = [ \"192.0.2.1\", \"192.0.2.2\" ];"),
         "2: port \"wan0\": gateways has \"192.0.2.2\", must be at most one IPv4 and one IPv6 "
         "address"},
	/* control */
	{GOOD "control: { run_dir = \"run\"; };\n",
         "3: control: run_dir is \"run\", must be an absolute path shorter than 64 bytes"},
	{GOOD "control: { user = \"\"; };\n",
         "3: control: user is \"\", must be the name of a user, as in /etc/passwd"},
	{GOOD "control: { handshake_threads = 0; };\n",
         "3: control: handshake_threads is 0, must be 1 to 64"},
	{GOOD "control: { log_level = \"loud\"; };\n",
         "3: control: log_level is \"loud\", must be \"err\", \"warn\", \"info\" or \"debug\""},
	/* edge */
	{GOOD "edge: { https = [ \"0.0.0.0\" ]; };\n",
         "3: edge: https has \"0.0.0.0\", must be up to 8 addresses with port, such as "
         "\"0.0.0.0:443\" or \"[::]:443\""},
	{GOOD "edge: { http = [ \"0.0.0.0:80\" ]; };\n",
         "3: edge: http redirects to https, but https has no address"},
	{GOOD "edge: { https = [ \"0.0.0.0:443\" ];\n http = [ \"0.0.0.0:443\" ]; };\n",
         "4: edge: http has \"0.0.0.0:443\" a second time"},
	/* limits */
	{GOOD "limits: { rx_bytes = \"401Gbit\"; };\n",
         "3: limits: rx_bytes is \"401Gbit\", must be 0 (no limit) or 1 to 50000000000 bytes a "
         "second, such as \"20Mbit\" or \"1G\""},
	{GOOD "limits: { tx_packets = \"20Mbit\"; };\n",
         "3: limits: tx_packets is \"20Mbit\", must be 0 (no limit) or 1 to 4294967296 packets a "
         "second"},
	{GOOD "limits: { rx_bytes = 1;\n rx_bytes_burst = 9215; };\n",
         "4: limits: rx_bytes_burst is 9215, must be 0 (a tenth of a second of the rate) or 9216 to "
         "8589934592 bytes, such as \"1Mi\""},
	{GOOD "limits: { quota = \"5\";\n tx_packets_burst = 5; };\n",
         "4: limits: tx_packets_burst stands alone, must be beside the rate that it is of"},
	{GOOD "limits: { quota_day = 29; };\n",
         "3: limits: quota_day is 29, must be a day of the month, 1 to 28"},
	{GOOD "peers: ( " PEER("a", KEY_A) "limits = { rx = 5; }; } );\n",
         "3: peer \"a\": limits has 5, must be a group of keys as limits has them, but quota_day, "
         "within their ranges, and a burst only beside its rate"},
	/* peers */
	{GOOD "peers: ( { name = \"Alice\"; } );\n",
         "3: peer \"Alice\": name is \"Alice\", must be 1 to 63 of the characters a-z 0-9 -, not "
         "beginning or ending with -"},
	{GOOD "peers: ( { name = \"alice\"; } );\n",
         "3: peer \"alice\": public_key is missing, must be a WireGuard public key, 44 characters "
         "of base64"},
	{GOOD "peers: ( { name = \"alice\"; public_key = \"short\"; } );\n",
         "3: peer \"alice\": public_key is \"short\", must be a WireGuard public key, 44 characters "
         "of base64"},
	{GOOD "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\npeers: (\n"
              "  { name = \"alice\";\n    public_key = \"" KEY_A
              "\";\n    keepalive = 70000; } );\n",
         "35: peer \"alice\": keepalive is 70000, must be 0 to 65535 seconds (0 turns it off)"},
	{GOOD "control: { trail_records = 100000001; };\n",
         "3: control: trail_records is 100000001, must be 0 (any number) to 100000000 records of the "
         "audit trail"},
	{GOOD "control: { trail_days = 36501; };\n",
         "3: control: trail_days is 36501, must be 0 (of any age) to 36500 days"},
	{GOOD "control: { wg_socket = \"write\"; };\n",
         "3: control: wg_socket is \"write\", must be \"off\", \"read-only\" or \"read-write\""},
	{GOOD "peers: ( " PEER("a", KEY_A) "allowed_ips = [ \"10.0.0.5/24\" ]; } );\n",
         "3: peer \"a\": allowed_ips has \"10.0.0.5/24\", must be up to 131072 networks without "
         "host bits, such as \"10.1.0.0/16\" or \"fd01::/64\""},
	{GOOD "peers: ( " PEER("a", KEY_A) "endpoint = \"vpn\"; } );\n",
         "3: peer \"a\": endpoint is \"vpn\", must be an address or a name with port, such as "
         "\"192.0.2.7:51820\", \"[2001:db8::7]:51820\" or \"branch.example.org:51820\""},
	{GOOD "peers: ( " PEER("a", KEY_A) "}, \n" PEER("a", KEY_B) "} );\n",
         "4: peer \"a\": name is taken by the peer in line 3"},
	{GOOD "peers: ( " PEER("a", KEY_A) "}, \n" PEER("b", KEY_A) "} );\n",
         "4: peer \"b\": public_key is that of peer \"a\" (line 3)"},
	{GOOD "peers: ( " PEER("a", KEY_A) "allowed_ips = [ \"10.1.0.0/16\" ]; }, \n" PEER(
		 "b", KEY_B) "allowed_ips = [ \"10.1.0.0/16\" ]; } );\n",
         "4: peer \"b\": allowed_ips has \"10.1.0.0/16\", which peer \"a\" (line 3) has"},
	{GOOD
         "peers: ( " PEER("a", KEY_A) "allowed_ips = [ \"10.9.0.0/16\", \"10.1.0.0/16\" ]; },\n" PEER(
		 "b", KEY_B) "},\n" PEER("c", KEY_C) "allowed_ips = [ \"10.1.0.0/16\" ]; } );\n",
         "5: peer \"c\": allowed_ips has \"10.1.0.0/16\", which peer \"a\" (line 3) has"},
	{GOOD "peers: ( " PEER("a", KEY_A) "}, " PEER(
		 "b", KEY_B) "allowed_ips = \"10.1.0.0/16\"; } );\n",
         "3: peer \"b\": allowed_ips is \"10.1.0.0/16\", must be up to 131072 networks without host "
         "bits, such as \"10.1.0.0/16\" or \"fd01::/64\""},
	{GOOD "peers: ( " PEER("a", KEY_A) "allowed_ips = [ \"10.77.0.1/32\" ]; } );\n",
         "3: peer \"a\": allowed_ips has \"10.77.0.1/32\", which is the hub's own address "
         "(hub.tunnel)"},
	{GOOD
         "peers: ( " PEER("a", KEY_A) "allowed_ips = [ \"10.1.0.0/16\", \"10.1.0.0/16\" ]; } );\n",
         "3: peer \"a\": allowed_ips has \"10.1.0.0/16\" twice"},
	{GOOD "dataplane: { max_peers = 1; };\npeers: ( " PEER("a", KEY_A) "}, " PEER(
		 "b", KEY_B) "} );\n",
         "4: peers has 2 peers, must have at most 1 (dataplane.max_peers)"},
	{GOOD "peers: ( " PEER("a", KEY_A) "preshared_key_file = \"/nonexistent\"; } );\n",
         "3: peer \"a\": preshared_key_file \"/nonexistent\": No such file or directory"},
	{HUB("preshared_key = \"none\";") PORTS(""),
         "1: hub: preshared_key is \"none\", must be \"required\" or \"optional\""},
	{GOOD "peers: (\n" PEER("a", KEY_A) "} );\n",
         "4: peer \"a\": preshared_key_file is missing, must name a file that wg genpsk wrote "
         "(hub.preshared_key = \"optional\" lets peers do without)"},
};

static void every_wrong_value_is_refused_with_its_sentence(void **state)
{
	char error[512];
	char expected[512];
	struct config *config;

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(wrong); i++) {
		write_file("weir.conf", wrong[i].text, 0600);
		snprintf(expected, sizeof(expected), "weir.conf:%s", wrong[i].error);
		config = NULL;
		error[0] = '\0';
		if (config_load("weir.conf", &config, error, sizeof(error)) == 0)
			fail_msg("case %zu loaded, expected \"%s\"", i, expected);
		assert_null(config);
		assert_string_equal(error, expected);
	}
}

static void preshared_key_files_that_others_read_are_refused(void **state)
{
	char text[1024];
	char error[512];
	char expected[512];
	char *cwd = getcwd(NULL, 0);
	struct config *config;
	static const struct {
		const char *content;
		mode_t mode;
		const char *wrong;
	} cases[] = {
		{KEY_B "\n", 0644, "others can read or write it (chmod 600)"},
		{"", 0600, "not a key: one line with 44 characters of base64"},
		{KEY_B KEY_B, 0600, "not a key: one line with 44 characters of base64"},
		{KEY_B "\n\n", 0600, "not a key: one line with 44 characters of base64"},
	};

	(void)state;
	snprintf(text, sizeof(text),
	         GOOD "peers: ( " PEER("a", KEY_A) "preshared_key_file = \"%s/psk\"; } );\n", cwd);
	write_file("weir.conf", text, 0600);
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++) {
		write_file("psk", cases[i].content, cases[i].mode);
		snprintf(expected, sizeof(expected),
		         "weir.conf:3: peer \"a\": preshared_key_file \"%s/psk\": %s", cwd,
		         cases[i].wrong);
		assert_int_equal(config_load("weir.conf", &config, error, sizeof(error)), -EINVAL);
		assert_string_equal(error, expected);
	}
	free(cwd);
}

static void files_that_cannot_be_read_are_named(void **state)
{
	char error[512];
	struct config *config;

	(void)state;
	assert_int_equal(config_load("none.conf", &config, error, sizeof(error)), -ENOENT);
	assert_string_equal(error, "none.conf: cannot be opened: No such file or directory");
	assert_int_equal(config_load("/", &config, error, sizeof(error)), -EINVAL);
	assert_string_equal(error, "/: is not a regular file of at most 67108864 bytes");
}

static void short_error_buffers_are_not_overrun(void **state)
{
	struct config *config;
	char error[40];

	(void)state;
	write_file("weir.conf", HUB("listen_port = 0;"), 0600);
	for (size_t len = 1; len < sizeof(error); len++) {
		memset(error, 'x', sizeof(error));
		assert_int_equal(config_load("weir.conf", &config, error, len), -EINVAL);
		assert_true(strlen(error) < len);
		for (size_t i = len; i < sizeof(error); i++)
			assert_int_equal(error[i], 'x');
	}
}

/* ---- documentation ------------------------------------------------------------------------------ */

static char *slurp(const char *path)
{
	FILE *file = fopen(path, "re");
	char *text = calloc(1, 1 << 17);

	assert_non_null(file);
	assert_non_null(text);
	assert_true(fread(text, 1, (1 << 17) - 1, file) > 0);
	fclose(file);
	return text;
}

struct documents {
	char *example;
	char *manual;
	int n;
};

static void look_up_key(void *arg, const char *object, const char *key, const char *allowed)
{
	struct documents *documents = arg;
	char text[128];

	assert_true(strlen(allowed) > 0);
	documents->n++;
	snprintf(text, sizeof(text), "%s = ", key);
	if (!strstr(documents->example, text))
		fail_msg("conf/weir.conf does not show %s.%s", object, key);
	snprintf(text, sizeof(text), "\n.It Ic %s.%s ", object, key);
	if (!strstr(documents->manual, text))
		fail_msg("conf/weir.conf.5 has no \"%s\"", text + 1);
}

static void every_key_is_in_the_example_and_in_the_manual(void **state)
{
	struct documents documents = {slurp(CONF_DIR "/weir.conf"), slurp(CONF_DIR "/weir.conf.5"),
	                              0};
	int n_manual = 0;

	(void)state;
	config_key_each(look_up_key, &documents);
	for (const char *c = documents.manual; (c = strstr(c, "\n.It Ic ")) != NULL; c++)
		n_manual++;
	assert_int_equal(n_manual, documents.n);
	free(documents.example);
	free(documents.manual);
}

/* But for the path of its preshared key, which names no file of this machine. */
static void example_file_loads(void **state)
{
	static const char psk[] = "/etc/weir/branch-office.psk";
	char *example = slurp(CONF_DIR "/weir.conf");
	char *at = strstr(example, psk);
	char *cwd = getcwd(NULL, 0);
	char *text = NULL;

	(void)state;
	assert_non_null(at);
	*at = '\0';
	assert_true(asprintf(&text, "%s%s/psk%s", example, cwd, at + strlen(psk)) > 0);
	write_file("psk", KEY_B "\n", 0600);
	config_unload(load_good(text));
	free(text);
	free(cwd);
	free(example);
}

static void a_peer_may_do_without_a_preshared_key_where_that_is_optional(void **state)
{
	struct config *config = load_good(HUB("preshared_key = \"optional\";")
	                                          PORTS("") "peers: ( " PEER("a", KEY_A) "} );\n");

	(void)state;
	assert_int_equal(config->n_peers, 1);
	assert_false(config->peers[0].has_preshared_key);
	config_unload(config);
}

/* ---- peers with many networks -------------------------------------------------------------------- */

/* Three peers: one network, then n, none twice, then one. Caller frees. */
static char *many_networks(uint32_t n)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	fputs(HUB("preshared_key = \"optional\";") PORTS(""), out);
	fputs("peers: ( " PEER("a", KEY_A) "allowed_ips = [ \"10.1.0.0/16\" ]; },\n", out);
	fputs(PEER("b", KEY_B) "allowed_ips = [ ", out);
	for (uint32_t i = 0; i < n; i++)
		fprintf(out, "%s\"fd00::%x:%x:0/112\"", i > 0 ? ", " : "", i >> 16, i & 0xffff);
	fputs(" ]; },\n" PEER("c", KEY_C) "allowed_ips = [ \"10.2.0.0/16\" ]; } );\n", out);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void assert_prefix(const struct base_prefix *prefix, const char *expected)
{
	char text[BASE_PREFIX_STRLEN];

	assert_string_equal(base_prefix_format(prefix, text), expected);
}

static void a_peer_may_have_as_many_networks_as_the_store_keeps(void **state)
{
	static const uint32_t n = CONFIG_NETWORKS_MAX + CONFIG_TUNNEL_MAX; /* its addresses too */
	char *text = many_networks(n);
	struct config *config = load_good(text);

	(void)state;
	assert_int_equal(config->n_peers, 3);
	assert_int_equal(config->peers[0].n_allowed_ips, 1);
	assert_prefix(&config->peers[0].allowed_ips[0], "10.1.0.0/16");
	assert_int_equal(config->peers[1].n_allowed_ips, n);
	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *bytes = config->peers[1].allowed_ips[i].ip.bytes;

		assert_int_equal(base_load_be32(bytes + 10), i);
	}
	assert_int_equal(config->peers[2].n_allowed_ips, 1);
	assert_prefix(&config->peers[2].allowed_ips[0], "10.2.0.0/16");
	config_unload(config);
	free(text);
}

static void one_network_more_is_refused(void **state)
{
	char *text = many_networks(CONFIG_NETWORKS_MAX + CONFIG_TUNNEL_MAX + 1);
	struct config *config = NULL;
	char error[512];

	(void)state;
	write_file("weir.conf", text, 0600);
	assert_int_equal(config_load("weir.conf", &config, error, sizeof(error)), -EINVAL);
	assert_null(config);
	assert_string_equal(error,
	                    "weir.conf:4: peer \"b\": allowed_ips is a list of 131077, must be "
	                    "up to 131072 networks without host bits, such as "
	                    "\"10.1.0.0/16\" or \"fd01::/64\"");
	free(text);
}

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(dir) && chdir(dir) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	unlink("weir.conf");
	unlink("psk");
	return chdir("/") == 0 ? rmdir(dir) : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(smallest_file_gets_the_documented_defaults),
		cmocka_unit_test(every_aead_can_be_named),
		cmocka_unit_test(every_key_arrives_in_its_field),
		cmocka_unit_test(every_wrong_value_is_refused_with_its_sentence),
		cmocka_unit_test(preshared_key_files_that_others_read_are_refused),
		cmocka_unit_test(files_that_cannot_be_read_are_named),
		cmocka_unit_test(short_error_buffers_are_not_overrun),
		cmocka_unit_test(every_key_is_in_the_example_and_in_the_manual),
		cmocka_unit_test(example_file_loads),
		cmocka_unit_test(a_peer_may_do_without_a_preshared_key_where_that_is_optional),
		cmocka_unit_test(a_peer_may_have_as_many_networks_as_the_store_keeps),
		cmocka_unit_test(one_network_more_is_refused),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}

#include "base_bytes.h"
#include "base_text.h"
#include "base_time.h"
#include "pktgen_peer.h"
#include "test.h"
#include "wg_key.h"

#include <string.h>

static struct pktgen_options some_options(uint32_t n_peers)
{
	struct pktgen_options options = {.seed = "s", .n_peers = n_peers, .n_addresses = 2};
	uint8_t hub_private[WG_KEY_LEN];

	pktgen_peer_private_key(hub_private, "the hub", 0);
	wg_key_public(options.hub_key, hub_private);
	assert_int_equal(base_ip_parse("10.77.0.254", &options.inner), 0);
	assert_int_equal(base_prefix_parse("192.0.2.100/24", &options.source), 0);
	return options;
}

static void keys_follow_from_seed_and_number(void **state)
{
	uint8_t a[WG_KEY_LEN], b[WG_KEY_LEN];

	(void)state;
	pktgen_peer_private_key(a, "1", 7);
	pktgen_peer_private_key(b, "1", 7);
	assert_memory_equal(a, b, WG_KEY_LEN);
	pktgen_peer_private_key(b, "1", 8);
	assert_memory_not_equal(a, b, WG_KEY_LEN);
	pktgen_peer_private_key(b, "2", 7);
	assert_memory_not_equal(a, b, WG_KEY_LEN);
	assert_int_equal(a[0] & 7, 0); /* clamped */
	assert_int_equal(a[31] & 0xc0, 0x40);
}

static void inner_addresses_carry_into_the_next_byte(void **state)
{
	struct base_ip first, ip;
	char text[BASE_IP_STRLEN];

	(void)state;
	assert_int_equal(base_ip_parse("10.77.0.254", &first), 0);
	ip = pktgen_peer_inner(&first, 3);
	assert_string_equal(base_ip_format(&ip, text), "10.77.1.1");
	assert_int_equal(base_ip_parse("fd77::2", &first), 0);
	ip = pktgen_peer_inner(&first, 0x10000);
	assert_string_equal(base_ip_format(&ip, text), "fd77::1:2");
}

/* The public key and address that the configuration gives peer 2 are those that peer 2 has. */
static void configuration_names_the_peers_that_will_come(void **state)
{
	struct pktgen_options options = some_options(3);
	struct pktgen_peers peers;
	char key[BASE_KEY_BASE64_LEN], expected[300], *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	assert_non_null(out);
	assert_int_equal(pktgen_peer_print_config(&options, out), 0);
	fclose(out);
	assert_int_equal(pktgen_peers_init(&peers, &options), 0);
	base_key_to_base64(key, peers.peer[2].identity.public_key);
	snprintf(
		expected, sizeof(expected),
		"{ name = \"pktgen-2\"; public_key = \"%s\"; allowed_ips = [ \"10.77.1.0/32\" ]; }\n);\n",
		key);
	assert_non_null(strstr(text, expected));
	assert_non_null(strstr(text, "pktgen-1\""));
	assert_null(strstr(text, "pktgen-3\""));
	free(text);
	pktgen_peers_fini(&peers);
}

static void peers_share_addresses_and_never_a_port(void **state)
{
	struct pktgen_options options = some_options(5);
	struct pktgen_peers peers;
	char text[BASE_IP_STRLEN];

	(void)state;
	assert_int_equal(pktgen_peers_init(&peers, &options), 0);
	assert_string_equal(base_ip_format(&peers.own[1], text), "192.0.2.101");
	for (uint32_t i = 0; i < 5; i++) {
		assert_int_equal(pktgen_peer_address(peers.peer[i].port_address), i % 2);
		assert_int_equal(peers.peer[i].home, peers.peer[i].port_address);
		for (uint32_t j = 0; j < i; j++)
			assert_int_not_equal(peers.peer[i].port_address,
			                     peers.peer[j].port_address);
		assert_int_equal(pktgen_peers_at(&peers, peers.own[i % 2].bytes,
		                                 pktgen_peer_port(peers.peer[i].port_address)),
		                 i);
	}
	assert_int_equal(pktgen_peers_at(&peers, peers.own[1].bytes, PKTGEN_FIRST_PORT + 2), 5);
	assert_int_equal(pktgen_peers_at(&peers, peers.own[0].bytes, PKTGEN_FIRST_PORT - 1), 5);
	assert_int_equal(pktgen_peers_at(&peers, options.inner.bytes, PKTGEN_FIRST_PORT), 5);

	pktgen_peers_fini(&peers);
}

static void an_index_names_its_peer_in_every_generation(void **state)
{
	(void)state;
	for (uint32_t generation = 0; generation < 100000; generation += 777) {
		uint32_t last = PKTGEN_PEERS_MAX - 1;

		assert_int_equal(pktgen_peer_of_index(pktgen_peer_index(last, generation)), last);
		assert_int_not_equal(pktgen_peer_index(0, generation), 0);
	}
	assert_int_not_equal(pktgen_peer_index(5, 1), pktgen_peer_index(5, 2));
}

static void a_hub_key_of_low_order_is_refused(void **state)
{
	struct pktgen_options options = some_options(1);
	struct pktgen_peers peers;

	(void)state;
	memset(options.hub_key, 0, sizeof(options.hub_key));
	assert_int_equal(pktgen_peers_init(&peers, &options), -22);
	assert_null(peers.peer);
}

static void sessions_are_renewed_ended_and_kept_alive(void **state)
{
	const uint64_t s = BASE_NS_PER_S, birth = 1000 * s;
	static const struct {
		uint64_t sent, data, keepalive, now; /* seconds after birth */
		uint32_t due;
	} cases[] = {
		{119, 119, 0, 119, 0},
		{120, 119, 0, 120, PKTGEN_PEER_HANDSHAKE},
		{180, 179, 0, 180, PKTGEN_PEER_HANDSHAKE | PKTGEN_PEER_EXPIRED},
		/* data came and nothing was sent since */
		{10, 19, 0, 19, 0},
		{10, 19, 0, 20, PKTGEN_PEER_KEEPALIVE},
		{20, 19, 0, 40, 0},
		/* data was sent and nothing heard since the session began, since data, since a keepalive */
		{14, 0, 0, 14, 0},
		{15, 0, 0, 15, PKTGEN_PEER_HANDSHAKE},
		{34, 20, 0, 34, 0},
		{35, 20, 0, 35, PKTGEN_PEER_HANDSHAKE},
		{35, 0, 21, 35, 0},
		{36, 0, 21, 36, PKTGEN_PEER_HANDSHAKE},
		/* nothing sent lately: nobody waits for an answer */
		{30, 0, 0, 36, 0},
	};

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++) {
		struct pktgen_peer peer = {
			.remote_index = 1,
			.birth_ns = birth,
			.last_sent_ns = birth + cases[i].sent * s,
			.last_data_ns = cases[i].data != 0 ? birth + cases[i].data * s : 0,
			.last_keepalive_ns = cases[i].keepalive != 0
		                                     ? birth + cases[i].keepalive * s
		                                     : 0,
		};
		uint32_t due = pktgen_peer_due(&peer, birth + cases[i].now * s);

		if (due != cases[i].due)
			fail_msg("case %zu: %u is due, expected %u", i, due, cases[i].due);
		peer.remote_index = 0;
		assert_int_equal(pktgen_peer_due(&peer, birth + cases[i].now * s), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_follow_from_seed_and_number),
		cmocka_unit_test(inner_addresses_carry_into_the_next_byte),
		cmocka_unit_test(configuration_names_the_peers_that_will_come),
		cmocka_unit_test(peers_share_addresses_and_never_a_port),
		cmocka_unit_test(an_index_names_its_peer_in_every_generation),
		cmocka_unit_test(sessions_are_renewed_ended_and_kept_alive),
		cmocka_unit_test(a_hub_key_of_low_order_is_refused),
	};

	return cmocka_run_group_tests_name("pktgen_peer", tests, NULL, NULL);
}

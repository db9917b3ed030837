/* control/store, names of endpoints and what they were resolved to, and lists of addresses as they are written there and
 * for peers. */
#include "store_lab.h"
#include "store_name.h"

#include <errno.h>

struct named {
	uint32_t peer;
	struct store_name name;
	uint32_t n;
};

static int keep_name(void *arg, uint32_t peer, const struct store_name *name)
{
	struct named *named = arg;

	named->peer = peer;
	named->name = *name;
	named->n++;
	return 0;
}

static struct named read_names(struct store *store)
{
	struct named named = {0};

	assert_int_equal(store_name_each(store, keep_name, &named), 0);
	return named;
}

static void the_name_of_an_endpoint_and_its_answer_are_kept_until_the_peer_goes(void **state)
{
	struct store *store = open_good();
	struct store_peer peer = make_peer(3);
	struct store_name name = {.name = {"vpn.example.org", 51820}};
	struct named named;

	(void)state;
	assert_int_equal(store_peer_put(store, &peer), 0);
	assert_int_equal(store_name_answer_put(store, 3, &name), -ENOENT);
	assert_int_equal(store_name_drop(store, 3, "peer-3"), -ENOENT);
	assert_int_equal(store_name_put(store, 3, "peer-3", &name), 0);
	assert_int_equal(base_ip_parse("2001:db8::1", &name.answer[0]), 0);
	assert_int_equal(base_ip_parse("192.0.2.1", &name.answer[1]), 0);
	name.n_answer = 2;
	name.resolved_wall_ns = 77;
	assert_int_equal(store_name_answer_put(store, 3, &name), 0);
	store_close(store);
	store = open_good();
	named = read_names(store);
	assert_int_equal(named.n, 1);
	assert_int_equal(named.peer, 3);
	assert_memory_equal(&named.name, &name, sizeof(name));
	assert_int_equal(store_peer_drop(store, 3), 0);
	assert_int_equal(read_names(store).n, 0);
	assert_int_equal(store_peer_put(store, &peer), 0);
	assert_int_equal(store_name_put(store, 3, "peer-3", &name), 0);
	assert_int_equal(store_name_drop(store, 3, "peer-3"), 0);
	assert_int_equal(read_names(store).n, 0);
	store_close(store);
}

static void as_many_of_the_longest_addresses_as_there_may_be_come_back(void **state)
{
	struct store *store = open_good();
	struct store_peer peer = make_peer(3);
	struct store_name name = {.name = {"vpn.example.org", 51820}, .n_answer = STORE_ANSWER_MAX};
	struct named named;

	(void)state;
	for (uint32_t i = 0; i < STORE_ANSWER_MAX; i++) {
		name.answer[i].family = BASE_IP_V6;
		memset(name.answer[i].bytes, 0xf0 + (int)i, sizeof(name.answer[i].bytes));
	}
	peer.n_addresses = CONFIG_TUNNEL_MAX;
	memcpy(peer.addresses, name.answer, sizeof(peer.addresses));
	assert_int_equal(store_peer_put(store, &peer), 0);
	assert_int_equal(store_name_put(store, 3, "peer-3", &name), 0);
	store_close(store);
	store = open_good();
	named = read_names(store);
	assert_memory_equal(&named.name, &name, sizeof(name));
	assert_int_equal(read_peers(store).peers[0].n_addresses, CONFIG_TUNNEL_MAX);
	assert_memory_equal(read_peers(store).peers[0].addresses, peer.addresses,
	                    sizeof(peer.addresses));
	store_close(store);
}

static void lists_of_addresses_that_we_did_not_write_are_refused(void **state)
{
	static const struct {
		const char *peers, *names;
	} cases[] = {
		{"1.1.1.1,2.2.2.2,3.3.3.3,4.4.4.4,5.5.5.5", "1.1.1.1,2.2.2.2,3.3.3.3,4.4.4.4,"
	                                                    "5.5.5.5,6.6.6.6,7.7.7.7,8.8.8.8,::9"},
		{"10.0.0.1,,10.0.0.2", ","},
		{"10.0.0.0/24", "10.0.0.256"},
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "vpn.example.org"},
	};
	struct store_peer peer = make_peer(3);
	struct store_name name = {.name = {"vpn.example.org", 51820}};
	struct store *store = open_good();
	struct found found;
	struct named named;
	char sql[256];

	(void)state;
	assert_int_equal(store_peer_put(store, &peer), 0);
	assert_int_equal(store_name_put(store, 3, "peer-3", &name), 0);
	store_close(store);
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++) {
		snprintf(
			sql, sizeof(sql),
			"UPDATE peers SET addresses = '%s'; UPDATE peer_names SET addresses = '%s'",
			cases[i].peers, cases[i].names);
		run_sql(sql);
		store = open_good();
		assert_int_equal(store_peer_each(store, collect, &found), -EUCLEAN);
		assert_string_equal(store_error(store), "peers: row 3 cannot be read");
		assert_int_equal(store_name_each(store, keep_name, &named), -EUCLEAN);
		assert_string_equal(store_error(store), "peer_names: row 3 cannot be read");
		store_close(store);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(the_name_of_an_endpoint_and_its_answer_are_kept_until_the_peer_goes),
		CASE(as_many_of_the_longest_addresses_as_there_may_be_come_back),
		CASE(lists_of_addresses_that_we_did_not_write_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The compiled table: a policy told by hand, then a million random packets against the naive one, then
 * tables that somebody has spoiled. */
#include "policy_naive.h"
#include "policy_private.h"
#include "table_lab.h"

#include <errno.h>

/* ---- by hand: the matrix of H6 ------------------------------------------------------------------- */

enum { A = 3, B = 7, C = 8, D = 9, G = 5 };
enum { STAFF = 0, METRICS = 1, N_GROUPS = 2 };

static const struct base_ip ip_a[] = {
	{.bytes = {10, 10, 0, 7}, .family = BASE_IP_V4},
	{.bytes = {0xfd, [15] = 7}, .family = BASE_IP_V6},
};
static const struct base_ip ip_b = {.bytes = {10, 10, 0, 20}, .family = BASE_IP_V4};
static const struct base_ip ip_c = {.bytes = {10, 10, 0, 31}, .family = BASE_IP_V4};
static const struct base_ip ip_d = {.bytes = {10, 10, 0, 30}, .family = BASE_IP_V4};
static const struct base_ip ip_g = {.bytes = {10, 10, 0, 50}, .family = BASE_IP_V4};
static const uint32_t staff[] = {STAFF};
static const uint32_t metrics[] = {METRICS, METRICS};
static const struct policy_range https[] = {{443, 443}};
static const struct policy_range some[] = {{9090, 9099}, {80, 80}};
static const struct policy_window office[] = {{2000, 3000}, {1000, 2000}, {5000, 6000}};

#define PEER(n)                                                                                    \
	{                                                                                          \
		.kind = POLICY_END_PEER, .number = (n)                                             \
	}
#define GROUP(n)                                                                                   \
	{                                                                                          \
		.kind = POLICY_END_GROUP, .number = (n)                                            \
	}
#define SUBNET(n, a, b, c, d, l)                                                                   \
	{                                                                                          \
		.kind = POLICY_END_SUBNET, .number = (n), .prefix = {                              \
			.ip = {.bytes = {a, b, c, d}, .family = BASE_IP_V4},                       \
			.len = (l)                                                                 \
		}                                                                                  \
	}

static const struct policy_peer peers[] = {
	{.number = A, .n_addresses = 2, .addresses = ip_a, .n_groups = 1, .groups = staff},
	{.number = C, .n_addresses = 1, .addresses = &ip_c, .n_groups = 2, .groups = metrics},
	{.number = B, .n_addresses = 1, .addresses = &ip_b},
	{.number = D, .n_addresses = 1, .addresses = &ip_d},
	{.number = G, .n_addresses = 1, .addresses = &ip_g},
};
static const struct policy_grant grants[] = {
	{.id = 101,
         .from = PEER(A),
         .to = PEER(B),
         .proto = POLICY_TCP,
         .ports = https,
         .n_ports = 1},
	{.id = 102,
         .from = GROUP(METRICS),
         .to = PEER(D),
         .proto = POLICY_TCP,
         .ports = some,
         .n_ports = 2},
	{.id = 103,
         .from = GROUP(STAFF),
         .to = SUBNET(G, 192, 168, 50, 0, 24),
         .proto = POLICY_UDP},
	{.id = 104,
         .from = GROUP(STAFF),
         .to = SUBNET(G, 192, 168, 0, 0, 16),
         .proto = POLICY_TCP,
         .ports = https,
         .n_ports = 1},
	{.id = 105,
         .from = {.kind = POLICY_END_ANY},
         .to = {.kind = POLICY_END_HUB,
                .prefix = {.ip = {.bytes = {10, 10, 0, 1}, .family = BASE_IP_V4}, .len = 32}},
         .proto = POLICY_ICMP},
	{.id = 106,
         .from = PEER(D),
         .to = GROUP(STAFF),
         .proto = POLICY_ANY_PROTO,
         .windows = office,
         .n_windows = 3},
	{.id = 107, .from = PEER(42), .to = PEER(B), .proto = POLICY_ANY_PROTO},
};
static const struct policy_source by_hand = {
	.generation = 7,
	.n_peers = BASE_ARRAY_LEN(peers),
	.n_groups = N_GROUPS,
	.n_grants = BASE_ARRAY_LEN(grants),
	.peers = peers,
	.grants = grants,
};

static const struct {
	uint32_t in_peer, out_peer;
	const char *src, *dst;
	uint8_t proto;
	uint16_t dport;
	uint64_t now_s;
	uint32_t reason, grant;
} cases[] = {
	/* 0 */ {A, B, "10.10.0.7", "10.10.0.20", 6, 443, 1, POLICY_ALLOWED, 101},
	/* 1 */ {A, B, "10.10.0.7", "10.10.0.20", 6, 22, 1, POLICY_NO_GRANT, 0},
	/* 2 */ {A, B, "10.10.0.7", "10.10.0.20", 17, 443, 1, POLICY_NO_GRANT, 0},
	/* 3 */ {B, A, "10.10.0.20", "10.10.0.7", 6, 443, 1, POLICY_NO_GRANT, 0},
	/* 4: whose address it is counts */
	{A, B, "10.10.0.31", "10.10.0.20", 6, 443, 1, POLICY_NO_SOURCE, 0},
	/* 5 */ {A, B, "10.10.0.7", "10.10.0.31", 6, 443, 1, POLICY_NO_DESTINATION, 0},
	/* 6 */ {C, D, "10.10.0.31", "10.10.0.30", 6, 9090, 1, POLICY_ALLOWED, 102},
	/* 7 */ {C, D, "10.10.0.31", "10.10.0.30", 6, 9099, 1, POLICY_ALLOWED, 102},
	/* 8 */ {C, D, "10.10.0.31", "10.10.0.30", 6, 9100, 1, POLICY_NO_GRANT, 0},
	/* 9 */ {C, D, "10.10.0.31", "10.10.0.30", 6, 9089, 1, POLICY_NO_GRANT, 0},
	/* 10 */ {C, D, "10.10.0.31", "10.10.0.30", 6, 80, 1, POLICY_ALLOWED, 102},
	/* 11 */ {C, B, "10.10.0.31", "10.10.0.20", 6, 443, 1, POLICY_NO_GRANT, 0},
	/* 12: behind the gateway */
	{A, G, "10.10.0.7", "192.168.50.9", 17, 53, 1, POLICY_ALLOWED, 103},
	/* 13: the wider subnet too */
	{A, G, "10.10.0.7", "192.168.50.9", 6, 443, 1, POLICY_ALLOWED, 104},
	/* 14 */ {A, G, "10.10.0.7", "192.168.60.9", 17, 53, 1, POLICY_NO_GRANT, 0},
	/* 15 */ {A, G, "10.10.0.7", "192.169.0.1", 6, 443, 1, POLICY_NO_DESTINATION, 0},
	/* 16: a subnet is not the gateway */
	{A, G, "10.10.0.7", "10.10.0.50", 6, 443, 1, POLICY_NO_GRANT, 0},
	/* 17: nor the other way round */
	{G, B, "192.168.50.9", "10.10.0.20", 6, 443, 1, POLICY_NO_GRANT, 0},
	/* 18: the hub, at this address */
	{B, POLICY_HUB, "10.10.0.20", "10.10.0.1", 1, 0, 1, POLICY_ALLOWED, 105},
	/* 19 */ {B, POLICY_HUB, "10.10.0.20", "10.10.0.1", 6, 80, 1, POLICY_NO_GRANT, 0},
	/* 20 */ {B, POLICY_HUB, "10.10.0.20", "10.10.0.2", 1, 0, 1, POLICY_NO_GRANT, 0},
	/* 21: a window, and the one that touches it */
	{D, A, "10.10.0.30", "10.10.0.7", 17, 5, 999, POLICY_NOT_NOW, 0},
	/* 22 */ {D, A, "10.10.0.30", "10.10.0.7", 17, 5, 1000, POLICY_ALLOWED, 106},
	/* 23 */ {D, A, "10.10.0.30", "10.10.0.7", 47, 0, 2999, POLICY_ALLOWED, 106},
	/* 24 */ {D, A, "10.10.0.30", "10.10.0.7", 17, 5, 3000, POLICY_NOT_NOW, 0},
	/* 25 */ {D, A, "10.10.0.30", "fd00::7", 17, 5, 2000, POLICY_ALLOWED, 106},
	/* 26 */ {D, A, "10.10.0.30", "fd00::8", 17, 5, 2000, POLICY_NO_DESTINATION, 0},
	/* 27: a peer that is not listed */
	{42, B, "10.10.0.42", "10.10.0.20", 6, 443, 1, POLICY_NO_SOURCE, 0},
	/* 28: number beyond the table */
	{77, B, "10.10.0.42", "10.10.0.20", 6, 443, 1, POLICY_NO_SOURCE, 0},
	/* 29 */ {B, A, "0.0.0.0", "10.10.0.7", 6, 443, 1, POLICY_NO_SOURCE, 0},
	/* 30 */ {B, A, "::", "10.10.0.7", 6, 443, 1, POLICY_NO_SOURCE, 0},
};

static void decide_follows_the_grants(void **state)
{
	void *blob;
	const struct policy_table *table = table_lab_build(&by_hand, &blob);

	(void)state;
	assert_int_equal(policy_table_generation(table), 7);
	assert_int_equal(policy_table_grants(table), BASE_ARRAY_LEN(grants));
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++) {
		struct naive_packet naive = {
			.in_peer = cases[i].in_peer,
			.out_peer = cases[i].out_peer,
			.src = naive_ip(cases[i].src),
			.dst = naive_ip(cases[i].dst),
			.proto = cases[i].proto,
			.dport = cases[i].dport,
		};
		struct policy_packet packet = naive_policy_packet(&naive);
		struct policy_decision got = policy_decide(table, &packet, cases[i].now_s);

		if (got.reason != cases[i].reason || got.grant != cases[i].grant)
			fail_msg("case %zu: %s, grant %u", i, policy_reason_text(got.reason),
			         got.grant);
	}
	free(blob);
}

static void decision_says_when_it_may_change(void **state)
{
	struct naive_packet naive = {.in_peer = D, .out_peer = A, .src = ip_d, .dst = ip_a[0]};
	struct policy_packet packet = naive_policy_packet(&naive);
	void *blob;
	const struct policy_table *table = table_lab_build(&by_hand, &blob);

	(void)state;
	assert_int_equal(policy_decide(table, &packet, 10).until_s, 1000);
	assert_int_equal(policy_decide(table, &packet, 1500).until_s, 3000); /* two that touch */
	assert_int_equal(policy_decide(table, &packet, 3000).until_s, 5000);
	assert_true(policy_decide(table, &packet, 6000).until_s == UINT64_MAX);
	free(blob);
}

static void empty_policy_lets_nothing_pass(void **state)
{
	const struct policy_source nothing = {.generation = 1};
	const struct policy_source only_peers = {
		.generation = 1, .n_groups = N_GROUPS, .n_peers = 5, .peers = peers};
	struct naive_packet naive = {
		.in_peer = A, .out_peer = B, .src = ip_a[0], .dst = ip_b, .proto = 6, .dport = 443};
	struct policy_packet packet = naive_policy_packet(&naive);
	void *blob;

	(void)state;
	assert_int_equal(policy_decide(table_lab_build(&nothing, &blob), &packet, 1).reason,
	                 POLICY_NO_SOURCE);
	free(blob);
	assert_int_equal(policy_decide(table_lab_build(&only_peers, &blob), &packet, 1).reason,
	                 POLICY_NO_GRANT);
	free(blob);
}

static void same_policy_in_any_order_gives_the_same_bytes(void **state)
{
	struct policy_grant turned[BASE_ARRAY_LEN(grants)];
	struct policy_source source = by_hand;
	void *one, *other;
	size_t one_len, other_len;

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(grants); i++)
		turned[i] = grants[BASE_ARRAY_LEN(grants) - 1 - i];
	source.grants = turned;
	assert_int_equal(policy_build(&by_hand, &one, &one_len, NULL), 0);
	assert_int_equal(policy_build(&source, &other, &other_len, NULL), 0);
	assert_int_equal(one_len, other_len);
	assert_memory_equal(one, other, one_len);
	free(one);
	free(other);
}

/* ---- refusals of the compiler -------------------------------------------------------------------- */

static void refuse(struct policy_grant grant, const char *field)
{
	struct policy_source source = by_hand;
	struct policy_build_error error;
	struct policy_grant two[2] = {grants[0], grant};
	void *blob = &source;
	size_t len;

	source.grants = two;
	source.n_grants = 2;
	assert_int_equal(policy_build(&source, &blob, &len, &error), -EINVAL);
	assert_null(blob);
	assert_int_equal(error.object, POLICY_BUILD_GRANT);
	assert_int_equal(error.index, 1);
	assert_string_equal(error.field, field);
	assert_non_null(error.expected);
}

static void build_names_what_is_wrong(void **state)
{
	static const struct policy_range backwards[] = {{5, 4}};
	static const struct policy_window never[] = {{9, 9}};
	struct policy_grant grant = grants[0];

	(void)state;
	grant.id = 0;
	refuse(grant, "id");
	grant = grants[0];
	grant.ports = backwards;
	refuse(grant, "ports");
	grant = grants[0];
	grant.proto = POLICY_ICMP;
	refuse(grant, "ports");
	grant.proto = POLICY_N_PROTOS;
	refuse(grant, "proto");
	grant = grants[0];
	grant.windows = never;
	grant.n_windows = 1;
	refuse(grant, "windows");
	grant = grants[0];
	grant.from = (struct policy_end)GROUP(N_GROUPS);
	refuse(grant, "from.number");
	grant.from = (struct policy_end)PEER(POLICY_HUB);
	refuse(grant, "from.number");
	grant.from.kind = POLICY_N_END_KINDS;
	refuse(grant, "from.kind");
	grant = grants[0];
	grant.to = (struct policy_end)SUBNET(G, 192, 168, 50, 1, 24);
	refuse(grant, "to.prefix");
	grant.to = (struct policy_end)SUBNET(G, 192, 168, 50, 0, 33);
	refuse(grant, "to.prefix");
	grant.to.prefix.ip.family = BASE_IP_NONE;
	refuse(grant, "to.prefix");
}

static void build_refuses_bad_peers(void **state)
{
	struct policy_peer two[2] = {peers[0], peers[0]};
	struct policy_source source = {
		.generation = 1, .n_groups = N_GROUPS, .n_peers = 2, .peers = two};
	struct policy_build_error error;
	const struct base_ip zero = {.family = BASE_IP_V4};
	void *blob;
	size_t len;

	(void)state;
	assert_int_equal(policy_build(&source, &blob, &len, &error), -EINVAL);
	assert_int_equal(error.object, POLICY_BUILD_PEER);
	assert_int_equal(error.index, 1);
	assert_string_equal(error.field, "number");
	two[1].number = POLICY_HUB;
	assert_int_equal(policy_build(&source, &blob, &len, &error), -EINVAL);
	assert_string_equal(error.field, "number");
	two[1].number = 1;
	two[1].n_addresses = 1;
	two[1].addresses = &zero;
	assert_int_equal(policy_build(&source, &blob, &len, &error), -EINVAL);
	assert_string_equal(error.field, "addresses");
	two[1].n_addresses = 0;
	source.n_groups = 0;
	assert_int_equal(policy_build(&source, &blob, &len, &error), -EINVAL);
	assert_string_equal(error.field, "groups");
	source.n_groups = N_GROUPS;
	assert_int_equal(policy_build(&source, &blob, &len, &error), 0);
	free(blob);
	source.generation = 0;
	assert_int_equal(policy_build(&source, &blob, &len, &error), -EINVAL);
	assert_string_equal(error.field, "generation");
}

/* ---- random -------------------------------------------------------------------------------------- */

struct explained {
	const struct policy_source *source;
	const struct naive_packet *packet;
	uint64_t now_s;
	uint32_t n;
};

static int compare_explained(void *arg, uint32_t grant, uint32_t misses)
{
	struct explained *e = arg;
	uint32_t naive = naive_misses(e->source, &e->source->grants[grant - 1], e->packet,
	                              e->now_s);

	e->n++;
	if (naive != misses)
		print_message("grant %u: misses 0x%x, expected 0x%x\n", grant, misses, naive);
	return naive == misses ? 0 : (int)grant;
}

static enum policy_reason compare_packet(const struct policy_table *table,
                                         const struct policy_source *source,
                                         const struct naive_packet *naive, uint64_t now_s,
                                         bool explain)
{
	struct policy_packet packet = naive_policy_packet(naive);
	struct policy_decision got = policy_decide(table, &packet, now_s);
	struct explained explained = {source, naive, now_s, 0};
	enum policy_reason expected = naive_decide(source, naive, now_s);

	if (got.reason != expected) {
		char src[BASE_IP_STRLEN], dst[BASE_IP_STRLEN];

		fail_msg("%u %s -> %u %s proto %u port %u at %llu: grant %u, %s, expected %s",
		         naive->in_peer, base_ip_format(&naive->src, src), naive->out_peer,
		         base_ip_format(&naive->dst, dst), naive->proto, naive->dport,
		         (unsigned long long)now_s, got.grant, policy_reason_text(got.reason),
		         policy_reason_text(expected));
	}
	if (got.reason == POLICY_ALLOWED)
		assert_int_equal(naive_misses(source, &source->grants[got.grant - 1], naive, now_s),
		                 0);
	else
		assert_int_equal(got.grant, 0);
	if (explain) {
		assert_int_equal(
			policy_explain(table, &packet, now_s, compare_explained, &explained), 0);
		assert_int_equal(explained.n, source->n_grants);
	}
	return expected;
}

#define N_WORLDS  2000U
#define N_PACKETS 500U

static void random_packets_are_decided_as_by_the_naive_evaluator(void **state)
{
	static struct naive_world world;
	struct test_random random = test_random_start();
	uint64_t n_reasons[POLICY_N_REASONS] = {0};

	(void)state;
	for (uint32_t i = 0; i < N_WORLDS; i++) {
		const struct policy_table *table;
		void *blob;

		naive_random_world(&random, &world);
		table = table_lab_build(&world.source, &blob);
		for (uint32_t j = 0; j < N_PACKETS; j++) {
			struct naive_packet packet = naive_random_packet(&random, &world.source);
			uint64_t now_s = test_random_below(&random, NAIVE_TIMES + 8);

			n_reasons[compare_packet(table, &world.source, &packet, now_s, j < 8)]++;
		}
		free(blob);
	}
	for (uint32_t i = 0; i < POLICY_N_REASONS; i++) {
		printf("# %s: %llu\n", policy_reason_text(i), (unsigned long long)n_reasons[i]);
		assert_true(n_reasons[i] > 1000); /* the worlds are such that all of it happens */
	}
}

/* ---- spoiled tables ------------------------------------------------------------------------------ */

static int ignore_explained(void *arg, uint32_t grant, uint32_t misses)
{
	uint64_t *sum = arg;

	*sum += grant ^ misses;
	return 0;
}

/* Under ASan this shows that check() lets nothing through that reads outside. */
static void spoiled_tables_are_refused_or_harmless(void **state)
{
	static struct naive_world world;
	struct test_random random = test_random_start();
	uint32_t n_refused = 0;
	uint64_t sum = 0;
	void *blob, *copy;
	size_t len;

	(void)state;
	naive_random_world(&random, &world);
	world.source.n_grants = 130;
	for (uint32_t i = 0; i < 130; i++)
		naive_random_grant(&random, &world, i);
	assert_int_equal(policy_build(&world.source, &blob, &len, NULL), 0);
	copy = aligned_alloc(64, len);
	assert_non_null(copy);
	for (uint32_t i = 0; i < 20000; i++) {
		uint8_t *bytes = copy;
		/* mostly the header and sections that are not pages of ports */
		size_t at = test_random_below(&random, i % 2 == 0 ? 160 : len);
		const struct policy_table *table;

		memcpy(copy, blob, len);
		bytes[at] ^= (uint8_t)(1 + test_random_below(&random, 255));
		if (test_random_below(&random, 2) == 0)
			bytes[test_random_below(&random, len)] = 0xff;
		table = policy_table_check(copy, len, NULL);
		n_refused += table == NULL;
		for (uint32_t j = 0; j < 10 && table != NULL; j++) {
			struct naive_packet naive = naive_random_packet(&random, &world.source);
			struct policy_packet packet = naive_policy_packet(&naive);

			sum += policy_decide(table, &packet, j).grant;
			(void)policy_explain(table, &packet, j, ignore_explained, &sum);
		}
	}
	printf("# %u of 20000 refused (%llx)\n", n_refused, (unsigned long long)sum);
	assert_true(n_refused > 5000);
	free(copy);
	free(blob);
}

static void check_refuses_other_things(void **state)
{
	const char *why = NULL;
	struct policy_table *table;
	struct policy_quick *quick;
	void *blob;
	size_t len;

	(void)state;
	assert_int_equal(policy_build(&by_hand, &blob, &len, NULL), 0);
	table = blob;
	assert_null(policy_table_check(NULL, len, &why));
	assert_null(policy_table_check(blob, len - 64, &why));
	assert_string_equal(why, "length");
	assert_null(policy_table_check(blob, 8, &why));
	assert_null(policy_table_check((uint8_t *)blob + 8, len - 8, &why));
	assert_string_equal(why, "alignment");
	table->version++;
	assert_null(policy_table_check(blob, len, &why));
	assert_string_equal(why, "another version of the table");
	table->version--;
	table->icmp.set = UINT32_MAX;
	assert_null(policy_table_check(blob, len, &why));
	assert_string_equal(why, "set of ICMP");
	table->icmp.set = 0;
	table->icmp.list = table->n_quick + 1;
	assert_null(policy_table_check(blob, len, &why));
	assert_string_equal(why, "set of ICMP");
	table->icmp.list = POLICY_LIST_NONE;
	table->other.list = table->n_quick + 1;
	assert_null(policy_table_check(blob, len, &why));
	assert_string_equal(why, "set of other protocols");
	table->other.list = POLICY_LIST_SETS;
	assert_non_null(policy_table_check(blob, len, &why));
	assert_in_range(table->n_quick, 1, 1000);
	quick = (struct policy_quick *)(void *)((uint8_t *)blob + table->quick_at);
	quick[table->n_quick - 1].left++;
	assert_null(policy_table_check(blob, len, &why));
	assert_string_equal(why, "list of a port");
	quick[table->n_quick - 1].left--;
	quick[0].rule = table->n_grants;
	assert_null(policy_table_check(blob, len, &why));
	assert_string_equal(why, "grant in a list");
	free(blob);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decide_follows_the_grants),
		cmocka_unit_test(decision_says_when_it_may_change),
		cmocka_unit_test(empty_policy_lets_nothing_pass),
		cmocka_unit_test(same_policy_in_any_order_gives_the_same_bytes),
		cmocka_unit_test(build_names_what_is_wrong),
		cmocka_unit_test(build_refuses_bad_peers),
		cmocka_unit_test(random_packets_are_decided_as_by_the_naive_evaluator),
		cmocka_unit_test(spoiled_tables_are_refused_or_harmless),
		cmocka_unit_test(check_refuses_other_things),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

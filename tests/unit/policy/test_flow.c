/* The flow table: each rule of policy_flow.h by itself, TCP in every state with every event, two
 * workers, and random packets against a model that keeps flows in a list. */
#include "policy_build.h"
#include "policy_flow.h"
#include "test.h"

enum { A = 1, B = 2, G = 3, N_PEERS = 4 };

#define IP_A                                                                                       \
	{                                                                                          \
		.bytes = {10, 0, 0, 1}, .family = BASE_IP_V4                                       \
	}
#define IP_B                                                                                       \
	{                                                                                          \
		.bytes = {10, 0, 0, 2}, .family = BASE_IP_V4                                       \
	}
#define IP_G                                                                                       \
	{                                                                                          \
		.bytes = {10, 0, 0, 3}, .family = BASE_IP_V4                                       \
	}
#define IP6_A                                                                                      \
	{                                                                                          \
		.bytes = {0xfd, [15] = 1}, .family = BASE_IP_V6                                    \
	}
#define IP6_B                                                                                      \
	{                                                                                          \
		.bytes = {0xfd, [15] = 2}, .family = BASE_IP_V6                                    \
	}
#define PEER_A                                                                                     \
	{                                                                                          \
		.kind = POLICY_END_PEER, .number = A                                               \
	}
#define PEER_B                                                                                     \
	{                                                                                          \
		.kind = POLICY_END_PEER, .number = B                                               \
	}

static const struct base_ip ips_a[] = {IP_A, IP6_A};
static const struct base_ip ips_b[] = {IP_B, IP6_B};
static const struct base_ip ips_g[] = {IP_G};
static const struct policy_peer peers[] = {
	{.number = A, .n_addresses = 2, .addresses = ips_a},
	{.number = B, .n_addresses = 2, .addresses = ips_b},
	{.number = G, .n_addresses = 1, .addresses = ips_g},
};
static const struct policy_range ports[] = {{400, 500}};
static const struct policy_window soon[] = {{0, 1000}};
/* A may reach B: tcp and udp at 400-500, ping, and GRE until wall clock 1000. */
static const struct policy_grant grants[] = {
	{.id = 11, .from = PEER_A, .to = PEER_B, .proto = POLICY_TCP, .ports = ports, .n_ports = 1},
	{.id = 12, .from = PEER_A, .to = PEER_B, .proto = POLICY_UDP, .ports = ports, .n_ports = 1},
	{.id = 13, .from = PEER_A, .to = PEER_B, .proto = POLICY_ICMP},
	{.id = 14, .from = PEER_A, .to = PEER_B, .windows = soon, .n_windows = 1},
};

struct hub {
	struct policy_flow *flow;
	const struct policy_table *table;
	void *blob;
	size_t flow_len;
	struct policy_flow_clock clock;
	struct policy_flow_result result; /* of the last packet */
};

static const struct policy_flow_setup small = {
	.n_flows = 64,
	.n_datagrams = 16,
	.n_peers = N_PEERS,
	.peer_max = 64,
	.half_max = 64,
	.key = {0x8f1bbcdcbfa53e0b, 0x5be0cd19137e2179, 0x1f83d9abfb41bd6b, 0xa54ff53a5f1d36f1,
                0xbb67ae8584caa73b, 0x6a09e667f3bcc908, 0x3c6ef372fe94f82b, 0x510e527fade682d1},
};

/* The first n of the grants. */
static void load(struct hub *hub, uint32_t generation, uint32_t n)
{
	struct policy_source source = {
		.generation = generation,
		.n_peers = BASE_ARRAY_LEN(peers),
		.peers = peers,
		.n_grants = n,
		.grants = grants,
	};
	size_t len;

	free(hub->blob);
	assert_int_equal(policy_build(&source, &hub->blob, &len, NULL), 0);
	hub->table = policy_table_check(hub->blob, len, NULL);
	assert_non_null(hub->table);
}

static void hub_init(struct hub *hub, const struct policy_flow_setup *setup)
{
	memset(hub, 0, sizeof(*hub));
	hub->clock = (struct policy_flow_clock){.now_s = 5000, .wall_s = 500};
	hub->flow_len = policy_flow_len(setup);
	assert_int_not_equal(hub->flow_len, 0);
	hub->flow = policy_flow_init(aligned_alloc(64, hub->flow_len), setup, hub->clock.now_s);
	assert_non_null(hub->flow);
	load(hub, 1, 3);
}

static void hub_fini(struct hub *hub)
{
	free(hub->flow);
	free(hub->blob);
}

static struct policy_packet packet_of(uint32_t in_peer, uint32_t out_peer, uint8_t kind,
                                      uint8_t proto, uint16_t sport, uint16_t dport)
{
	static const struct base_ip ips[N_PEERS] = {[A] = IP_A, [B] = IP_B, [G] = IP_G};

	return (struct policy_packet){
		.in_peer = in_peer,
		.out_peer = out_peer,
		.src = policy_address_make(&ips[in_peer]),
		.dst = policy_address_make(&ips[out_peer]),
		.kind = kind,
		.proto = proto,
		.sport = sport,
		.dport = dport,
	};
}

static enum policy_flow_verdict judge(struct hub *hub, const struct policy_packet *packet)
{
	policy_flow_judge(hub->flow, hub->table, hub->clock, packet, &hub->result, 1);
	if (hub->result.verdict != POLICY_FLOW_PASS) {
		assert_int_equal(hub->result.grant, 0);
		assert_int_equal(hub->result.note, 0);
	}
	return hub->result.verdict;
}

#define SYN    POLICY_TCP_SYN
#define ACK    POLICY_TCP_ACK
#define FIN    (POLICY_TCP_FIN | POLICY_TCP_ACK)
#define RST    POLICY_TCP_RST
#define SYNACK (POLICY_TCP_SYN | POLICY_TCP_ACK)

/* From A's port 1024 to B's 443, or back. */
static enum policy_flow_verdict tcp(struct hub *hub, uint32_t from, uint8_t flags)
{
	struct policy_packet packet = from == A ? packet_of(A, B, POLICY_KIND_TCP, POLICY_PROTO_TCP,
	                                                    1024, 443)
	                                        : packet_of(B, A, POLICY_KIND_TCP, POLICY_PROTO_TCP,
	                                                    443, 1024);

	packet.tcp_flags = flags;
	return judge(hub, &packet);
}

static enum policy_flow_verdict udp(struct hub *hub, uint32_t from, uint16_t port)
{
	struct policy_packet packet = from == A ? packet_of(A, B, POLICY_KIND_UDP, POLICY_PROTO_UDP,
	                                                    port, 443)
	                                        : packet_of(B, A, POLICY_KIND_UDP, POLICY_PROTO_UDP,
	                                                    443, port);

	return judge(hub, &packet);
}

static void handshake(struct hub *hub)
{
	assert_int_equal(tcp(hub, A, SYN), POLICY_FLOW_PASS);
	assert_int_equal(tcp(hub, B, SYNACK), POLICY_FLOW_PASS);
	assert_int_equal(tcp(hub, A, ACK), POLICY_FLOW_PASS);
}

static enum policy_flow_state only_state(struct hub *hub)
{
	struct policy_flow_info info;

	for (uint32_t i = 0; i < policy_flow_places(hub->flow); i++) {
		if (policy_flow_get(hub->flow, i, hub->clock.now_s, &info))
			return info.state;
	}
	return POLICY_FLOW_FREE;
}

/* ---- TCP ----------------------------------------------------------------------------------------- */

static void tcp_opens_talks_and_closes(void **state)
{
	struct hub hub;

	(void)state;
	hub_init(&hub, &small);
	handshake(&hub);
	assert_int_equal(only_state(&hub), POLICY_FLOW_TCP_ESTABLISHED);
	assert_int_equal(tcp(&hub, B, ACK), POLICY_FLOW_PASS);
	assert_int_equal(hub.result.grant, 11);
	assert_int_equal(tcp(&hub, A, FIN), POLICY_FLOW_PASS);
	assert_int_equal(tcp(&hub, A, FIN), POLICY_FLOW_PASS); /* again: still the one side */
	assert_int_equal(only_state(&hub), POLICY_FLOW_TCP_HALF_CLOSED);
	assert_int_equal(tcp(&hub, B, ACK), POLICY_FLOW_PASS);
	assert_int_equal(tcp(&hub, B, FIN), POLICY_FLOW_PASS);
	assert_int_equal(only_state(&hub), POLICY_FLOW_TCP_CLOSED);
	assert_int_equal(tcp(&hub, A, ACK), POLICY_FLOW_PASS);
	assert_int_equal(policy_flow_count(hub.flow), 1);
	hub_fini(&hub);
}

/* How each state is reached, as flags from A and B in turn: "A:S" .. */
static void reach(struct hub *hub, enum policy_flow_state state)
{
	if (state >= POLICY_FLOW_TCP_OPENING)
		assert_int_equal(tcp(hub, A, SYN), POLICY_FLOW_PASS);
	if (state >= POLICY_FLOW_TCP_ANSWERED)
		assert_int_equal(tcp(hub, B, SYNACK), POLICY_FLOW_PASS);
	if (state >= POLICY_FLOW_TCP_ESTABLISHED)
		assert_int_equal(tcp(hub, A, ACK), POLICY_FLOW_PASS);
	if (state == POLICY_FLOW_TCP_HALF_CLOSED || state == POLICY_FLOW_TCP_CLOSED)
		assert_int_equal(tcp(hub, A, FIN), POLICY_FLOW_PASS);
	if (state == POLICY_FLOW_TCP_CLOSED)
		assert_int_equal(tcp(hub, B, FIN), POLICY_FLOW_PASS);
	if (state == POLICY_FLOW_TCP_RESET)
		assert_int_equal(tcp(hub, B, RST), POLICY_FLOW_PASS);
	assert_int_equal(only_state(hub), state);
}

/* What is allowed, state by state: the letter of the state after it, '.' refused.
 * O opening, A answered, E established, H half closed, C closed, R reset, N no flow before or after,
 * o: opens anew and is refused, since B may not reach A. Columns: SYN, SYN-ACK, ACK, FIN, RST. */
static const struct {
	const char *from_a, *from_b;
} matrix[] = {
	[POLICY_FLOW_FREE] = {"O....", "....."},
	[POLICY_FLOW_TCP_OPENING] = {"O...R", ".A..R"},
	[POLICY_FLOW_TCP_ANSWERED] = {"A.EHR", ".A..R"},
	[POLICY_FLOW_TCP_ESTABLISHED] = {"E.EHR", ".EEHR"},
	[POLICY_FLOW_TCP_HALF_CLOSED] = {"H.HHR", "..HCR"},
	[POLICY_FLOW_TCP_CLOSED] = {"O.CCR", "..CCR"},
	[POLICY_FLOW_TCP_RESET] = {"O....", "....."},
};
static const uint8_t matrix_flags[] = {SYN, SYNACK, ACK, FIN, RST};
static const char letters[] = "NOAEHCR";

static void try_one(enum policy_flow_state state, uint32_t from, unsigned int event, char expected)
{
	enum policy_flow_state old_state;
	enum policy_flow_verdict verdict;
	struct hub hub;
	uint8_t *before;

	hub_init(&hub, &small);
	reach(&hub, state);
	before = malloc(hub.flow_len);
	assert_non_null(before);
	old_state = only_state(&hub);
	verdict = tcp(&hub, from, matrix_flags[event]);
	if (expected == '.' && verdict == POLICY_FLOW_PASS)
		fail_msg("state %d, from %u, event %u: passed", state, from, event);
	if (expected == '.') {
		/* the refusal may be kept; another time nothing at all is written */
		assert_int_equal(only_state(&hub), old_state);
		memcpy(before, hub.flow, hub.flow_len);
		assert_int_equal(tcp(&hub, from, matrix_flags[event]), verdict);
		assert_memory_equal(before, hub.flow, hub.flow_len);
	} else {
		if (verdict != POLICY_FLOW_PASS || letters[only_state(&hub)] != expected)
			fail_msg("state %d, from %u, event %u: verdict %d, then %c", state, from,
			         event, verdict, letters[only_state(&hub)]);
	}
	free(before);
	hub_fini(&hub);
}

static void in_every_state_what_is_not_allowed_is_refused_and_changes_nothing(void **state)
{
	(void)state;
	for (unsigned int i = POLICY_FLOW_FREE; i <= POLICY_FLOW_TCP_RESET; i++) {
		for (unsigned int event = 0; event < BASE_ARRAY_LEN(matrix_flags); event++) {
			try_one(i, A, event, matrix[i].from_a[event]);
			try_one(i, B, event, matrix[i].from_b[event]);
		}
	}
}

static void flags_that_no_tcp_sends_are_refused_in_every_state(void **state)
{
	static const uint8_t bad[] = {0,
	                              POLICY_TCP_FIN,
	                              SYN | RST,
	                              SYN | POLICY_TCP_FIN,
	                              SYNACK | POLICY_TCP_FIN,
	                              RST | POLICY_TCP_FIN,
	                              0x28,
	                              0x3f};

	(void)state;
	for (unsigned int i = POLICY_FLOW_FREE; i <= POLICY_FLOW_TCP_RESET; i++) {
		for (size_t j = 0; j < sizeof(bad); j++) {
			struct hub hub;

			hub_init(&hub, &small);
			reach(&hub, i);
			assert_int_equal(tcp(&hub, A, bad[j]), POLICY_FLOW_TCP_FLAGS);
			assert_int_equal(tcp(&hub, B, bad[j]), POLICY_FLOW_TCP_FLAGS);
			assert_int_equal(only_state(&hub), i);
			hub_fini(&hub);
		}
	}
}

/* Both sides have said FIN: what still comes late passes, but does not keep the flow: else whoever
 * holds one end could keep a place in the table for ever. */
static void late_packets_do_not_keep_a_closed_flow(void **state)
{
	uint32_t live_s = policy_flow_timeout_s(POLICY_FLOW_TCP_CLOSED, POLICY_PROTO_TCP);
	struct hub hub;

	(void)state;
	hub_init(&hub, &small);
	reach(&hub, POLICY_FLOW_TCP_CLOSED);
	for (uint32_t i = 1; i < live_s; i++) {
		hub.clock.now_s++;
		assert_int_equal(tcp(&hub, A, ACK), POLICY_FLOW_PASS);
		assert_int_equal(tcp(&hub, B, FIN), POLICY_FLOW_PASS);
	}
	hub.clock.now_s++;
	assert_int_equal(tcp(&hub, A, ACK), POLICY_FLOW_NO_FLOW);
	assert_int_equal(tcp(&hub, B, FIN), POLICY_FLOW_NO_FLOW);
	/* The same late packets do keep one that stands. */
	reach(&hub, POLICY_FLOW_TCP_ESTABLISHED);
	for (uint32_t i = 1; i < 2 * live_s; i++) {
		hub.clock.now_s++;
		assert_int_equal(tcp(&hub, A, ACK), POLICY_FLOW_PASS);
	}
	hub_fini(&hub);
}

/* ---- UDP, ping, errors, fragments ---------------------------------------------------------------- */

static void replies_pass_and_questions_from_the_other_side_do_not(void **state)
{
	struct hub hub;

	(void)state;
	hub_init(&hub, &small);
	assert_int_equal(udp(&hub, B, 7000), POLICY_FLOW_NO_GRANT);
	assert_int_equal(udp(&hub, A, 7000), POLICY_FLOW_PASS);
	assert_int_equal(hub.result.grant, 12);
	assert_int_equal(udp(&hub, B, 7000), POLICY_FLOW_PASS);
	assert_int_equal(udp(&hub, B, 7001), POLICY_FLOW_NO_GRANT);
	hub_fini(&hub);
}

static void same_addresses_from_another_peer_are_no_flow(void **state)
{
	struct policy_packet packet = packet_of(A, B, POLICY_KIND_UDP, POLICY_PROTO_UDP, 7000, 443);
	struct hub hub;

	(void)state;
	hub_init(&hub, &small);
	assert_int_equal(judge(&hub, &packet), POLICY_FLOW_PASS);
	packet.in_peer = G;
	assert_int_equal(judge(&hub, &packet), POLICY_FLOW_NO_SOURCE);
	packet.in_peer = A;
	packet.out_peer = UINT32_MAX;
	assert_int_equal(judge(&hub, &packet), POLICY_FLOW_NO_DESTINATION);
	packet.out_peer = G;
	assert_int_equal(judge(&hub, &packet), POLICY_FLOW_NO_DESTINATION);
	hub_fini(&hub);
}

static void ping_is_answered_once_asked(void **state)
{
	struct policy_packet ask = packet_of(A, B, POLICY_KIND_ECHO_REQUEST, 1, 77, 0);
	struct policy_packet reply = packet_of(B, A, POLICY_KIND_ECHO_REPLY, 1, 0, 77);
	struct policy_packet back = packet_of(B, A, POLICY_KIND_ECHO_REQUEST, 1, 77, 0);
	struct hub hub;

	(void)state;
	hub_init(&hub, &small);
	assert_int_equal(judge(&hub, &reply), POLICY_FLOW_NO_FLOW);
	assert_int_equal(judge(&hub, &ask), POLICY_FLOW_PASS);
	assert_int_equal(judge(&hub, &reply), POLICY_FLOW_PASS);
	assert_int_equal(judge(&hub, &back), POLICY_FLOW_NO_GRANT);
	hub.clock.now_s += 29;
	assert_int_equal(judge(&hub, &reply), POLICY_FLOW_PASS);
	hub.clock.now_s += 30;
	assert_int_equal(judge(&hub, &reply), POLICY_FLOW_NO_FLOW);
	hub_fini(&hub);
}

static void icmp_error_passes_for_a_known_flow_only(void **state)
{
	/* as the parser gives it: like a reply of the flow */
	struct policy_packet error = packet_of(B, A, POLICY_KIND_ERROR, POLICY_PROTO_UDP, 443,
	                                       7000);
	struct hub hub;
	uint8_t *before;

	(void)state;
	hub_init(&hub, &small);
	assert_int_equal(judge(&hub, &error), POLICY_FLOW_NO_FLOW);
	assert_int_equal(udp(&hub, A, 7000), POLICY_FLOW_PASS);
	before = malloc(hub.flow_len);
	memcpy(before, hub.flow, hub.flow_len);
	hub.clock.now_s += 3;
	assert_int_equal(judge(&hub, &error), POLICY_FLOW_PASS);
	assert_memory_equal(before, hub.flow, hub.flow_len); /* and changes nothing */
	error.dport = 7001;
	assert_int_equal(judge(&hub, &error), POLICY_FLOW_NO_FLOW);
	free(before);
	hub_fini(&hub);
}

static void later_fragments_follow_the_first(void **state)
{
	struct policy_packet first = packet_of(A, B, POLICY_KIND_UDP, POLICY_PROTO_UDP, 7000, 443);
	struct policy_packet later = packet_of(A, B, POLICY_KIND_FRAGMENT, POLICY_PROTO_UDP, 0, 0);
	struct hub hub;

	(void)state;
	hub_init(&hub, &small);
	first.is_fragment = later.is_fragment = 1;
	first.datagram = later.datagram = 99;
	assert_int_equal(judge(&hub, &later), POLICY_FLOW_NO_DATAGRAM);
	assert_int_equal(judge(&hub, &first), POLICY_FLOW_PASS);
	assert_int_equal(judge(&hub, &later), POLICY_FLOW_PASS);
	later.datagram = 98;
	assert_int_equal(judge(&hub, &later), POLICY_FLOW_NO_DATAGRAM);
	/* a first one that is refused is not remembered */
	first.datagram = 98;
	first.dport = 22;
	assert_int_equal(judge(&hub, &first), POLICY_FLOW_NO_GRANT);
	assert_int_equal(judge(&hub, &later), POLICY_FLOW_NO_DATAGRAM);
	/* the flow's end is theirs */
	later.datagram = 99;
	load(&hub, 2, 1);
	assert_int_equal(judge(&hub, &later), POLICY_FLOW_REVOKED);
	assert_int_equal(judge(&hub, &later), POLICY_FLOW_NO_FLOW);
	hub.clock.now_s += 30;
	assert_int_equal(judge(&hub, &later), POLICY_FLOW_NO_DATAGRAM);
	hub_fini(&hub);
}

/* ---- the policy changes -------------------------------------------------------------------------- */

static void grant_taken_away_ends_its_flows_in_both_directions(void **state)
{
	struct hub hub;

	(void)state;
	for (uint32_t from = A; from <= B; from++) {
		hub_init(&hub, &small);
		handshake(&hub);
		assert_int_equal(udp(&hub, A, 7000), POLICY_FLOW_PASS);
		load(&hub, 2, 1); /* the one for udp is gone, that for tcp is not */
		assert_int_equal(udp(&hub, from, 7000), POLICY_FLOW_REVOKED);
		assert_int_equal(udp(&hub, from, 7000), POLICY_FLOW_NO_GRANT);
		assert_int_equal(tcp(&hub, from, ACK), POLICY_FLOW_PASS);
		load(&hub, 3, 0);
		assert_int_equal(tcp(&hub, from, ACK), POLICY_FLOW_REVOKED);
		assert_int_equal(tcp(&hub, from, ACK), POLICY_FLOW_NO_FLOW);
		load(&hub, 4, 3);
		assert_int_equal(tcp(&hub, from, ACK), POLICY_FLOW_NO_FLOW);
		handshake(&hub);
		hub_fini(&hub);
	}
}

static void flow_ends_with_the_window_of_its_grant(void **state)
{
	struct policy_packet gre = packet_of(A, B, POLICY_KIND_OTHER, 47, 0, 0);
	struct policy_packet back = packet_of(B, A, POLICY_KIND_OTHER, 47, 0, 0);
	struct hub hub;

	(void)state;
	hub_init(&hub, &small);
	load(&hub, 2, 4);
	assert_int_equal(judge(&hub, &gre), POLICY_FLOW_PASS);
	assert_int_equal(hub.result.grant, 14);
	hub.clock.wall_s = 999;
	assert_int_equal(judge(&hub, &back), POLICY_FLOW_PASS);
	hub.clock.wall_s = 1000;
	assert_int_equal(judge(&hub, &back), POLICY_FLOW_REVOKED);
	assert_int_equal(judge(&hub, &gre), POLICY_FLOW_NOT_NOW);
	hub_fini(&hub);
}

/* ---- time and room ------------------------------------------------------------------------------- */

static void what_was_allowed_once_is_asked_again_when_its_window_or_table_is_over(void **state)
{
	struct policy_packet packet = packet_of(A, B, POLICY_KIND_TCP, POLICY_PROTO_TCP, 1024, 80);
	struct hub hub;

	(void)state;
	hub_init(&hub, &small);
	load(&hub, 2, 4);
	packet.tcp_flags = SYN;
	assert_int_equal(judge(&hub, &packet), POLICY_FLOW_PASS);
	assert_int_equal(hub.result.grant, 14);
	packet.sport++;
	assert_int_equal(judge(&hub, &packet), POLICY_FLOW_PASS);
	assert_int_equal(hub.result.grant, 14);
	hub.clock.wall_s = 1000;
	packet.sport++;
	assert_int_equal(judge(&hub, &packet), POLICY_FLOW_NOT_NOW);
	hub.clock.wall_s = 999;
	assert_int_equal(judge(&hub, &packet), POLICY_FLOW_PASS);
	packet.sport++;
	packet.dport++; /* the same peers, another port */
	load(&hub, 3, 3);
	assert_int_equal(judge(&hub, &packet), POLICY_FLOW_NO_GRANT);
	packet.dport--;
	assert_int_equal(judge(&hub, &packet), POLICY_FLOW_NO_GRANT);
	hub_fini(&hub);
}

static void timeouts_are_exact_without_expire_and_memory_comes_back_with_it(void **state)
{
	struct hub hub;
	uint32_t n_half;

	(void)state;
	hub_init(&hub, &small);
	assert_int_equal(udp(&hub, A, 7000), POLICY_FLOW_PASS);
	hub.clock.now_s += 29;
	assert_int_equal(udp(&hub, B, 7000), POLICY_FLOW_PASS); /* now both ways: 180 */
	hub.clock.now_s += 179;
	assert_int_equal(udp(&hub, B, 7000), POLICY_FLOW_PASS);
	hub.clock.now_s += 180;
	assert_int_equal(udp(&hub, B, 7000), POLICY_FLOW_NO_GRANT);
	assert_int_equal(udp(&hub, A, 7000), POLICY_FLOW_PASS);
	assert_int_equal(policy_flow_count(hub.flow), 1);
	for (uint32_t i = 0; i < 31; i++, hub.clock.now_s++) {
		assert_int_equal(policy_flow_count(hub.flow), 1);
		(void)policy_flow_expire(hub.flow, hub.clock.now_s, 8);
	}
	assert_int_equal(policy_flow_count(hub.flow), 0);
	assert_int_equal(policy_flow_count_of(hub.flow, A, &n_half), 0);
	assert_int_equal(n_half, 0);
	hub_fini(&hub);
}

static void expire_is_bounded_and_goes_on_where_it_was(void **state)
{
	struct hub hub;

	(void)state;
	hub_init(&hub, &small);
	for (uint16_t i = 0; i < 64; i++)
		assert_int_equal(udp(&hub, A, (uint16_t)(7000 + i)), POLICY_FLOW_PASS);
	hub.clock.now_s += 100000; /* a long pause */
	for (uint32_t left = 64; left > 0; left -= 16) {
		assert_int_equal(policy_flow_count(hub.flow), left);
		assert_int_equal(policy_flow_expire(hub.flow, hub.clock.now_s, 16), 16);
	}
	assert_int_equal(policy_flow_expire(hub.flow, hub.clock.now_s, 16), 0);
	assert_int_equal(policy_flow_count(hub.flow), 0);
	hub_fini(&hub);
}

/* Second in which a grant was last used, as the words tell; 0 = they do not know it. */
static uint32_t used_at(const uint64_t *used, uint32_t n_words, uint32_t grant)
{
	uint32_t found_s = 0;

	for (uint32_t i = 0; i < n_words; i++) {
		if (used[i] >> 32 != grant || used[i] == 0)
			continue;
		assert_int_equal(found_s, 0); /* once */
		found_s = (uint32_t)used[i];
	}
	return found_s;
}

static void use_of_a_grant_is_told_while_its_flow_lives_and_when_it_ends(void **state)
{
	uint64_t used[2 * POLICY_USED_WAYS] = {0};
	struct policy_flow_setup setup = small;
	struct hub hub;
	uint32_t end_s;

	(void)state;
	setup.used = used;
	setup.n_used_sets = 3;
	assert_int_equal(policy_flow_len(&setup), 0);
	setup.n_used_sets = 2;
	hub_init(&hub, &setup);
	handshake(&hub);
	assert_int_equal(udp(&hub, A, 7000), POLICY_FLOW_PASS);
	assert_int_equal(used_at(used, BASE_ARRAY_LEN(used), 11), 0);
	hub.clock.now_s += 64;
	(void)policy_flow_expire(hub.flow, hub.clock.now_s, 64);
	assert_int_equal(used_at(used, BASE_ARRAY_LEN(used), 11), 5000);
	assert_int_equal(used_at(used, BASE_ARRAY_LEN(used), 12), 5000);
	assert_int_equal(used_at(used, BASE_ARRAY_LEN(used), 13), 0);
	/* an established one is seen again and again; the UDP flow is gone */
	for (end_s = hub.clock.now_s + 600; hub.clock.now_s < end_s; hub.clock.now_s++) {
		assert_int_equal(tcp(&hub, A, ACK), POLICY_FLOW_PASS);
		(void)policy_flow_expire(hub.flow, hub.clock.now_s, 64);
	}
	assert_in_range(used_at(used, BASE_ARRAY_LEN(used), 11), end_s - 64, end_s);
	assert_int_equal(used_at(used, BASE_ARRAY_LEN(used), 12), 5000);
	hub_fini(&hub);
}

static void of_many_grants_in_one_set_the_oldest_use_is_forgotten(void **state)
{
	uint64_t used[POLICY_USED_WAYS];
	struct policy_flow_setup setup = small;
	struct hub hub;

	(void)state;
	for (uint32_t i = 0; i < POLICY_USED_WAYS; i++)
		used[i] = (uint64_t)(100 + i) << 32 | (i == 5 ? 7 : 4000 + i);
	setup.used = used;
	setup.n_used_sets = 1;
	hub_init(&hub, &setup);
	assert_int_equal(udp(&hub, A, 7000), POLICY_FLOW_PASS);
	hub.clock.now_s += 64;
	(void)policy_flow_expire(hub.flow, hub.clock.now_s, 64);
	for (uint32_t i = 0; i < POLICY_USED_WAYS; i++)
		assert_int_equal(used_at(used, POLICY_USED_WAYS, 100 + i), i == 5 ? 0 : 4000 + i);
	assert_int_equal(used_at(used, POLICY_USED_WAYS, 12), 5000);
	hub_fini(&hub);
}

static void full_table_refuses_new_flows_and_keeps_the_old_ones(void **state)
{
	struct hub hub;

	(void)state;
	hub_init(&hub, &small);
	handshake(&hub);
	for (uint16_t i = 1; i < 64; i++)
		assert_int_equal(udp(&hub, A, (uint16_t)(7000 + i)), POLICY_FLOW_PASS);
	for (uint16_t i = 0; i < 1000; i++) /* a flood */
		assert_int_equal(udp(&hub, A, (uint16_t)(9000 + i)), POLICY_FLOW_PEER_FULL);
	assert_int_equal(tcp(&hub, B, ACK), POLICY_FLOW_PASS);
	hub_fini(&hub);
}

static void full_is_named_when_no_peer_is_at_its_limit(void **state)
{
	struct policy_flow_setup setup = small;
	struct hub hub;

	(void)state;
	setup.peer_max = setup.half_max = 1000;
	hub_init(&hub, &setup);
	for (uint16_t i = 0; i < 64; i++)
		assert_int_equal(udp(&hub, A, (uint16_t)(7000 + i)), POLICY_FLOW_PASS);
	assert_int_equal(udp(&hub, A, 9000), POLICY_FLOW_FULL);
	hub_fini(&hub);
}

static void half_open_flows_have_a_limit_of_their_own(void **state)
{
	struct policy_flow_setup setup = small;
	struct hub hub;
	uint32_t n_half;

	(void)state;
	setup.half_max = 4;
	hub_init(&hub, &setup);
	for (uint16_t i = 0; i < 4; i++)
		assert_int_equal(udp(&hub, A, (uint16_t)(7000 + i)), POLICY_FLOW_PASS);
	assert_int_equal(udp(&hub, A, 8000), POLICY_FLOW_PEER_HALF);
	assert_int_equal(udp(&hub, B, 7000), POLICY_FLOW_PASS); /* a reply makes room */
	assert_int_equal(udp(&hub, A, 8000), POLICY_FLOW_PASS);
	assert_int_equal(policy_flow_count_of(hub.flow, A, &n_half), 5);
	assert_int_equal(n_half, 4);
	assert_int_equal(policy_flow_count_of(hub.flow, B, &n_half), 0);
	hub_fini(&hub);
}

/* ---- two workers --------------------------------------------------------------------------------- */

/* A packet judged at one worker and, if noted, announced to the other. */
static enum policy_flow_verdict pass_on(struct hub *at, struct hub *to, uint32_t from,
                                        uint8_t flags)
{
	struct policy_packet packet = from == A ? packet_of(A, B, POLICY_KIND_TCP, POLICY_PROTO_TCP,
	                                                    1024, 443)
	                                        : packet_of(B, A, POLICY_KIND_TCP, POLICY_PROTO_TCP,
	                                                    443, 1024);
	enum policy_flow_verdict verdict;

	packet.tcp_flags = flags;
	verdict = judge(at, &packet);
	if (verdict == POLICY_FLOW_PASS && at->result.note != 0)
		verdict = policy_flow_expect(to->flow, to->table, to->clock, &packet,
		                             at->result.note);
	return verdict;
}

static void two_workers_follow_one_connection(void **state)
{
	struct hub one, other; /* owner of A, owner of B */

	(void)state;
	hub_init(&one, &small);
	hub_init(&other, &small);
	assert_int_equal(pass_on(&other, &one, B, SYNACK), POLICY_FLOW_NO_FLOW);
	assert_int_equal(pass_on(&one, &other, A, SYN), POLICY_FLOW_PASS);
	assert_int_equal(pass_on(&other, &one, B, ACK), POLICY_FLOW_STATE);
	assert_int_equal(pass_on(&other, &one, B, SYNACK), POLICY_FLOW_PASS);
	assert_int_equal(pass_on(&one, &other, A, ACK), POLICY_FLOW_PASS);
	assert_int_equal(only_state(&one), POLICY_FLOW_TCP_ESTABLISHED);
	assert_int_equal(only_state(&other), POLICY_FLOW_TCP_ESTABLISHED);
	/* both sides are kept alive by packets of one */
	for (uint32_t i = 0; i < 100; i++) {
		one.clock.now_s = other.clock.now_s += 1000;
		assert_int_equal(pass_on(&one, &other, A, ACK), POLICY_FLOW_PASS);
	}
	assert_int_equal(pass_on(&other, &one, B, ACK), POLICY_FLOW_PASS);
	assert_int_equal(pass_on(&one, &other, A, FIN), POLICY_FLOW_PASS);
	assert_int_equal(pass_on(&other, &one, B, FIN), POLICY_FLOW_PASS);
	assert_int_equal(only_state(&one), POLICY_FLOW_TCP_CLOSED);
	assert_int_equal(only_state(&other), POLICY_FLOW_TCP_CLOSED);
	/* and again, from the same port */
	assert_int_equal(pass_on(&one, &other, A, SYN), POLICY_FLOW_PASS);
	assert_int_equal(only_state(&other), POLICY_FLOW_TCP_OPENING);
	hub_fini(&one);
	hub_fini(&other);
}

static void new_owner_learns_a_flow_from_the_other_side(void **state)
{
	struct hub one, other, third; /* B moves from the other to the third */
	struct policy_packet reply = packet_of(B, A, POLICY_KIND_TCP, POLICY_PROTO_TCP, 443, 1024);

	(void)state;
	hub_init(&one, &small);
	hub_init(&other, &small);
	hub_init(&third, &small);
	assert_int_equal(pass_on(&one, &other, A, SYN), POLICY_FLOW_PASS);
	assert_int_equal(pass_on(&other, &one, B, SYNACK), POLICY_FLOW_PASS);
	assert_int_equal(pass_on(&one, &other, A, ACK), POLICY_FLOW_PASS);
	reply.tcp_flags = ACK;
	assert_int_equal(judge(&third, &reply), POLICY_FLOW_NO_FLOW);
	assert_int_equal(judge(&one, &reply), POLICY_FLOW_PASS); /* handed over unjudged */
	one.clock.now_s = third.clock.now_s += 16;
	assert_int_equal(pass_on(&one, &third, A, ACK), POLICY_FLOW_PASS);
	assert_int_equal(judge(&third, &reply), POLICY_FLOW_PASS);
	/* but not what the policy of the third does not allow */
	load(&third, 2, 0);
	one.clock.now_s = third.clock.now_s += 16;
	assert_int_equal(pass_on(&one, &third, A, ACK), POLICY_FLOW_REVOKED);
	assert_int_equal(pass_on(&one, &third, A, RST), POLICY_FLOW_NO_GRANT);
	hub_fini(&one);
	hub_fini(&other);
	hub_fini(&third);
}

static void notes_that_mean_nothing_are_refused(void **state)
{
	struct policy_packet syn = packet_of(A, B, POLICY_KIND_TCP, POLICY_PROTO_TCP, 1024, 443);
	struct policy_packet dns = packet_of(A, B, POLICY_KIND_UDP, POLICY_PROTO_UDP, 1024, 443);
	struct hub hub;

	(void)state;
	hub_init(&hub, &small);
	for (uint32_t note = 0; note < 256; note++) {
		enum policy_flow_verdict verdict = policy_flow_expect(
			hub.flow, hub.table, hub.clock, &syn, (uint8_t)note);
		bool is_tcp = (note & 15) >= POLICY_FLOW_TCP_OPENING
		              && (note & 15) <= POLICY_FLOW_TCP_RESET;

		if (!is_tcp)
			assert_int_equal(verdict, POLICY_FLOW_NO_FLOW);
		verdict = policy_flow_expect(hub.flow, hub.table, hub.clock, &dns, (uint8_t)note);
		if ((note & 15) != POLICY_FLOW_ONE_WAY && (note & 15) != POLICY_FLOW_BOTH_WAYS)
			assert_int_equal(verdict, POLICY_FLOW_NO_FLOW);
		(void)judge(&hub, &syn);
	}
	hub_fini(&hub);
}

static void flows_are_picked_up_after_a_restart_if_the_policy_lets_them(void **state)
{
	struct policy_flow_setup setup = small;
	struct policy_packet wrong = packet_of(A, B, POLICY_KIND_TCP, POLICY_PROTO_TCP, 1024, 22);
	struct hub hub;

	(void)state;
	setup.pickup_s = 60;
	wrong.tcp_flags = ACK;
	for (uint32_t from = A; from <= B; from++) {
		hub_init(&hub, &setup);
		assert_int_equal(judge(&hub, &wrong), POLICY_FLOW_NO_FLOW);
		assert_int_equal(tcp(&hub, from, ACK), POLICY_FLOW_PASS);
		assert_int_equal(udp(&hub, from, 7000), POLICY_FLOW_PASS);
		assert_int_equal(tcp(&hub, A + B - from, ACK), POLICY_FLOW_PASS);
		assert_int_equal(tcp(&hub, B, SYN), POLICY_FLOW_STATE); /* A is the opener */
		hub_fini(&hub);
		hub_init(&hub, &setup);
		hub.clock.now_s += 60;
		assert_int_equal(tcp(&hub, from, ACK), POLICY_FLOW_NO_FLOW);
		hub_fini(&hub);
	}
}

/* ---- random -------------------------------------------------------------------------------------- */

#define MODEL_PORTS 3U

/* What there is to know of a flow from A, in plain words. */
struct model {
	enum policy_flow_state state;
	uint32_t generation, seen_s;
	bool fin_a, fin_b;
};

static bool model_lives(struct model *m, struct hub *hub, bool is_tcp, uint32_t n_grants)
{
	uint8_t proto = is_tcp ? POLICY_PROTO_TCP : POLICY_PROTO_UDP;

	if (m->state != POLICY_FLOW_FREE
	    && hub->clock.now_s - m->seen_s >= policy_flow_timeout_s(m->state, proto))
		m->state = POLICY_FLOW_FREE;
	if (m->state != POLICY_FLOW_FREE && m->generation != policy_table_generation(hub->table)
	    && n_grants < (is_tcp ? 1U : 2U))
		m->state = POLICY_FLOW_FREE;
	return m->state != POLICY_FLOW_FREE;
}

/* Does the packet pass? Does to the model what it does. */
static bool model_tcp(struct model *m, struct hub *hub, uint32_t from, unsigned int event,
                      uint32_t n_grants)
{
	const char *row;
	enum policy_flow_state before;

	(void)model_lives(m, hub, true, n_grants);
	before = m->state;
	row = from == A ? matrix[before].from_a : matrix[before].from_b;
	if (row[event] == '.'
	    || (row[event] == 'O' && before != POLICY_FLOW_TCP_OPENING && n_grants < 1))
		return false;
	m->state = (enum policy_flow_state)(strchr(letters, row[event]) - letters);
	m->generation = policy_table_generation(hub->table);
	if (m->state == POLICY_FLOW_TCP_OPENING)
		m->fin_a = m->fin_b = false;
	if (matrix_flags[event] == FIN && before != POLICY_FLOW_TCP_CLOSED) {
		m->fin_a |= from == A;
		m->fin_b |= from == B;
		m->state = m->fin_a && m->fin_b ? POLICY_FLOW_TCP_CLOSED
		                                : POLICY_FLOW_TCP_HALF_CLOSED;
	}
	if (before != POLICY_FLOW_TCP_CLOSED || m->state != POLICY_FLOW_TCP_CLOSED)
		m->seen_s = hub->clock.now_s;
	return true;
}

static bool model_udp(struct model *m, struct hub *hub, uint32_t from, uint32_t n_grants)
{
	bool lives = model_lives(m, hub, false, n_grants);

	if (!lives && (from == B || n_grants < 2))
		return false;
	if (!lives)
		m->state = POLICY_FLOW_ONE_WAY;
	if (from == B)
		m->state = POLICY_FLOW_BOTH_WAYS;
	m->generation = policy_table_generation(hub->table);
	m->seen_s = hub->clock.now_s;
	return true;
}

static void random_packets_pass_as_in_the_model(void **state)
{
	static const uint32_t steps_s[] = {0, 0, 0, 1, 4, 9, 29, 31, 179, 181, 601, 7441};
	struct test_random random = test_random_start();
	struct model tcps[MODEL_PORTS] = {{0}}, udps[MODEL_PORTS] = {{0}};
	uint32_t n_grants = 3, generation = 1, n_passed = 0;
	struct hub hub;

	(void)state;
	hub_init(&hub, &small);
	for (uint32_t i = 0; i < 300000; i++) {
		uint32_t from = test_random_below(&random, 2) == 0 ? A : B;
		uint32_t port = (uint32_t)test_random_below(&random, MODEL_PORTS);
		unsigned int event = (unsigned int)test_random_below(&random, 5);
		bool is_tcp = test_random_below(&random, 3) != 0;
		uint16_t a = (uint16_t)(7000 + port);
		struct policy_packet packet = packet_of(
			from, A + B - from, is_tcp ? POLICY_KIND_TCP : POLICY_KIND_UDP,
			is_tcp ? POLICY_PROTO_TCP : POLICY_PROTO_UDP, from == A ? a : 443,
			from == A ? 443 : a);
		bool expected;

		if (test_random_below(&random, 8) == 0)
			hub.clock.now_s +=
				steps_s[test_random_below(&random, BASE_ARRAY_LEN(steps_s))];
		if (test_random_below(&random, 100) == 0) {
			n_grants = (uint32_t)test_random_below(&random, 4);
			load(&hub, ++generation, n_grants);
		}
		(void)policy_flow_expire(hub.flow, hub.clock.now_s,
		                         (uint32_t)test_random_below(&random, 3));
		packet.tcp_flags = is_tcp ? matrix_flags[event] : 0;
		expected = is_tcp ? model_tcp(&tcps[port], &hub, from, event, n_grants)
		                  : model_udp(&udps[port], &hub, from, n_grants);
		if ((judge(&hub, &packet) == POLICY_FLOW_PASS) != expected)
			fail_msg("packet %u, from %u, tcp %d, event %u, %u grants: verdict %u", i,
			         from, is_tcp, event, n_grants, hub.result.verdict);
		n_passed += expected;
	}
	printf("# %u of 300000 passed\n", n_passed);
	assert_in_range(n_passed, 30000, 270000);
	hub_fini(&hub);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_opens_talks_and_closes),
		cmocka_unit_test(in_every_state_what_is_not_allowed_is_refused_and_changes_nothing),
		cmocka_unit_test(flags_that_no_tcp_sends_are_refused_in_every_state),
		cmocka_unit_test(late_packets_do_not_keep_a_closed_flow),
		cmocka_unit_test(replies_pass_and_questions_from_the_other_side_do_not),
		cmocka_unit_test(same_addresses_from_another_peer_are_no_flow),
		cmocka_unit_test(ping_is_answered_once_asked),
		cmocka_unit_test(icmp_error_passes_for_a_known_flow_only),
		cmocka_unit_test(later_fragments_follow_the_first),
		cmocka_unit_test(grant_taken_away_ends_its_flows_in_both_directions),
		cmocka_unit_test(flow_ends_with_the_window_of_its_grant),
		cmocka_unit_test(
			what_was_allowed_once_is_asked_again_when_its_window_or_table_is_over),
		cmocka_unit_test(timeouts_are_exact_without_expire_and_memory_comes_back_with_it),
		cmocka_unit_test(expire_is_bounded_and_goes_on_where_it_was),
		cmocka_unit_test(use_of_a_grant_is_told_while_its_flow_lives_and_when_it_ends),
		cmocka_unit_test(of_many_grants_in_one_set_the_oldest_use_is_forgotten),
		cmocka_unit_test(full_table_refuses_new_flows_and_keeps_the_old_ones),
		cmocka_unit_test(full_is_named_when_no_peer_is_at_its_limit),
		cmocka_unit_test(half_open_flows_have_a_limit_of_their_own),
		cmocka_unit_test(two_workers_follow_one_connection),
		cmocka_unit_test(new_owner_learns_a_flow_from_the_other_side),
		cmocka_unit_test(notes_that_mean_nothing_are_refused),
		cmocka_unit_test(random_packets_pass_as_in_the_model),
		cmocka_unit_test(flows_are_picked_up_after_a_restart_if_the_policy_lets_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Flows that are picked up in the middle, after a restart or when a peer comes to another worker: random policies and
 * packets, against the naive evaluator. What passes without a flow is what a grant lets one of its two ends open, to the
 * port, and only as long as it is said; and a grant's packets do pass then, so connections survive. */
#include "policy_flow.h"
#include "policy_naive.h"
#include "table_lab.h"

#include <stdlib.h>

#define PICKUP_S    60U
#define ARRIVED_S   300U
#define CLIENT_PORT 32768U
#define WORLDS      60U
#define PACKETS     600U
#define ACK         0x10

enum window {
	NONE = 0,
	RESTARTED = 1,
	SENDER_CAME = 2,
	RECEIVER_CAME = 3,
	ANOTHER_CAME = 4,
	N_WINDOWS = 5
};

struct lab {
	void *memory;
	size_t len;
	struct policy_flow *flow;
	const struct policy_table *table;
	struct policy_flow_clock clock;
};

static const struct policy_flow_setup setup = {
	.n_flows = 8,
	.n_datagrams = 8,
	.n_peers = NAIVE_NUMBERS + 2,
	.peer_max = 8,
	.half_max = 8,
	.pickup_s = PICKUP_S,
	.key = {1, 2, 3, 4, 5, 6, 7, 8, 9},
};

/* An empty table, and a while later: *is_open says whether packets in the middle are to be picked up. */
static void begin(struct lab *lab, struct test_random *random, const struct naive_packet *packet,
                  bool *is_open)
{
	enum window window = (enum window)test_random_below(random, N_WINDOWS);
	uint32_t start_s = 5000, peer = packet->in_peer, later_s;

	lab->flow = policy_flow_init(lab->memory, &setup, start_s);
	assert_non_null(lab->flow);
	*is_open = window != NONE && window != ANOTHER_CAME;
	later_s = (uint32_t)test_random_below(random, PICKUP_S);
	if (window != RESTARTED) {
		start_s += PICKUP_S;
		if (window == RECEIVER_CAME)
			peer = packet->out_peer;
		if (window == ANOTHER_CAME)
			peer = NAIVE_NUMBERS + 1; /* in no packet */
		if (window != NONE && peer < setup.n_peers)
			policy_flow_arrive(lab->flow, peer, start_s);
		else if (window != NONE)
			*is_open = false; /* the hub does not come */
		later_s = (uint32_t)test_random_below(random, ARRIVED_S);
	}
	if (*is_open && test_random_below(random, 3) == 0) { /* too late */
		later_s += window == RESTARTED ? PICKUP_S : ARRIVED_S;
		*is_open = false;
	}
	lab->clock.now_s = start_s + later_s;
	lab->clock.wall_s = 1 + test_random_below(random, NAIVE_TIMES);
}

static struct naive_packet reverse_of(const struct naive_packet *packet, uint16_t sport)
{
	return (struct naive_packet){.in_peer = packet->out_peer,
	                             .out_peer = packet->in_peer,
	                             .src = packet->dst,
	                             .dst = packet->src,
	                             .proto = packet->proto,
	                             .dport = sport};
}

/* May the sender of this packet open its flow, by the policy as it is written? */
static bool may_open(const struct policy_source *source, const struct naive_packet *packet,
                     uint16_t sport, uint64_t wall_s)
{
	bool is_icmp = packet->proto == 1 || packet->proto == 58;

	if (packet->in_peer == POLICY_HUB && !is_icmp
	    && (sport < CLIENT_PORT || (packet->proto != 6 && packet->proto != 17)))
		return false;
	return naive_decide(source, packet, wall_s) == POLICY_ALLOWED;
}

static enum policy_flow_verdict judge(struct lab *lab, const struct policy_packet *packet)
{
	struct policy_flow_result result;

	policy_flow_judge(lab->flow, lab->table, lab->clock, packet, &result, 1);
	return (enum policy_flow_verdict)result.verdict;
}

/* The one flow there is was opened, it says, by who may. */
static void check_opener(const struct lab *lab, const struct naive_packet *packet, uint16_t sport,
                         bool forth)
{
	struct policy_flow_info info;
	bool found = false;

	for (uint32_t i = 0; i < policy_flow_places(lab->flow); i++) {
		if (!policy_flow_get(lab->flow, i, lab->clock.now_s, &info))
			continue;
		assert_false(found);
		found = true;
		assert_int_equal(info.opener.in_peer, forth ? packet->in_peer : packet->out_peer);
		assert_int_equal(info.opener.dport, forth ? packet->dport : sport);
	}
	assert_true(found);
}

static void one_packet(struct lab *lab, struct test_random *random,
                       const struct policy_source *source, uint32_t seen[static 4])
{
	struct naive_packet naive = naive_random_packet(random, source);
	uint16_t sport = (uint16_t)(test_random_below(random, NAIVE_PORTS) * 5958
	                            + test_random_below(random, 3));
	bool is_open, forth, back, passes;
	struct policy_packet packet;

	naive.proto = test_random_below(random, 3) == 0 ? 17 : 6;
	if (naive.src.family != naive.dst.family || naive.in_peer == naive.out_peer)
		return;
	begin(lab, random, &naive, &is_open);
	packet = naive_policy_packet(&naive);
	packet.sport = sport;
	packet.kind = naive.proto == 6 ? POLICY_KIND_TCP : POLICY_KIND_UDP;
	packet.tcp_flags = naive.proto == 6 ? ACK : 0;
	forth = may_open(source, &naive, sport, lab->clock.wall_s);
	const struct naive_packet reply = reverse_of(&naive, sport);

	back = may_open(source, &reply, naive.dport, lab->clock.wall_s);
	/* A datagram opens by itself, where it may. */
	passes = (is_open && (forth || back)) || (naive.proto == 17 && forth);
	if ((judge(lab, &packet) == POLICY_FLOW_PASS) != passes)
		fail_msg("proto %u: passes is not %d; open %d forth %d back %d", naive.proto,
		         passes, is_open, forth, back);
	seen[passes ? (forth ? 0 : 1) : (forth || back ? 2 : 3)]++;
	if (!passes)
		return;
	check_opener(lab, &naive, sport, forth);
	/* It stands on its own now, without the window, and is no door for another port. */
	lab->clock.now_s += ARRIVED_S - PICKUP_S;
	if (naive.proto == 6) {
		assert_int_equal(judge(lab, &packet), POLICY_FLOW_PASS);
		lab->clock.now_s += ARRIVED_S;
		packet.sport ^= 1;
		assert_int_not_equal(judge(lab, &packet), POLICY_FLOW_PASS);
	}
}

static void what_is_picked_up_is_what_a_grant_opens_in_its_direction_while_it_is_time(void **state)
{
	static struct naive_world world;
	struct test_random random = test_random_start();
	struct lab lab = {.len = policy_flow_len(&setup)};
	uint32_t seen[4] = {0};

	(void)state;
	lab.memory = aligned_alloc(64, lab.len);
	assert_non_null(lab.memory);
	for (uint32_t i = 0; i < WORLDS; i++) {
		void *blob;

		naive_random_world(&random, &world);
		lab.table = table_lab_build(&world.source, &blob);
		for (uint32_t k = 0; k < PACKETS; k++)
			one_packet(&lab, &random, &world.source, seen);
		free(blob);
	}
	free(lab.memory);
	printf("# as their sender's %u, as a reply %u, too late or nobody came %u, no grant %u\n",
	       seen[0], seen[1], seen[2], seen[3]);
	for (uint32_t i = 0; i < 4; i++)
		assert_true(seen[i] > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			what_is_picked_up_is_what_a_grant_opens_in_its_direction_while_it_is_time),
	};

	return cmocka_run_group_tests_name("policy/pickup", tests, NULL, NULL);
}

/* policy_flow_pass() against policy_packet_parse() and policy_flow_judge() on a table of its own: what it
 * passes they pass, with the same result, and what policy_flow_open() judges they judge the same; what both leave they
 * have not touched. With each kernel that this
 * CPU can, over frames that end where the memory ends. */
#include "policy_flow.h"
#include "table_lab.h"
#include "test.h"

#include <sys/mman.h>
#include <unistd.h>

enum { A = 1, B = 2, G = 3, N_PEERS = 4 };

#define V4(last)                                                                                   \
	{                                                                                          \
		.bytes = {10, 0, 0, last}, .family = BASE_IP_V4                                    \
	}
#define V6(last)                                                                                   \
	{                                                                                          \
		.bytes = {0xfd, [15] = last}, .family = BASE_IP_V6                                 \
	}

static const struct base_ip ips[N_PEERS][2] = {
	[A] = {V4(1), V6(1)}, [B] = {V4(2), V6(2)}, [G] = {V4(3), V6(3)}};
static const struct policy_peer peers[] = {
	{.number = A, .n_addresses = 2, .addresses = ips[A]},
	{.number = B, .n_addresses = 2, .addresses = ips[B]},
	{.number = G, .n_addresses = 2, .addresses = ips[G]},
};
static const struct policy_window now_and_later[] = {{0, 700}, {900, 1000}};
/* A may reach B, and B may reach G until 700 and again from 900 on, whatever the protocol. */
static const struct policy_grant grants[] = {
	{.id = 11,
         .from = {.kind = POLICY_END_PEER, .number = A},
         .to = {.kind = POLICY_END_PEER, .number = B}},
	{.id = 12,
         .from = {.kind = POLICY_END_PEER, .number = B},
         .to = {.kind = POLICY_END_PEER, .number = G},
         .windows = now_and_later,
         .n_windows = 2},
};

#define FRAME_MAX 80U

/* A frame's bytes, at the end of a page behind which there is nothing. */
static uint8_t *ends[POLICY_FLOW_BURST_MAX];

static int make_ends(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	(void)state;
	for (uint32_t i = 0; i < POLICY_FLOW_BURST_MAX; i++) {
		uint8_t *map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
		                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (map == MAP_FAILED || mprotect(map + page, page, PROT_NONE) != 0)
			return -1;
		ends[i] = map + page;
	}
	return 0;
}

struct hub {
	struct policy_flow *flow;
	void *blob;
	const struct policy_table *table;
	struct policy_flow_clock clock;
	uint64_t lead; /* of where addresses lead */
};

static void load(struct hub *hub, uint32_t generation, uint32_t n_grants)
{
	struct policy_source source = {
		.generation = generation,
		.n_peers = BASE_ARRAY_LEN(peers),
		.peers = peers,
		.n_grants = n_grants,
		.grants = grants,
	};

	free(hub->blob);
	hub->table = table_lab_build(&source, &hub->blob);
}

static bool hub_init(struct hub *hub, enum policy_flow_kernel kernel, uint32_t n_flows)
{
	struct policy_flow_setup setup = {
		.n_flows = n_flows,
		.n_datagrams = 16,
		.n_peers = N_PEERS,
		.peer_max = n_flows,
		.half_max = n_flows,
		.kernel = kernel,
	};
	void *memory = aligned_alloc(64, policy_flow_len(&setup));

	for (uint32_t i = 0; i < POLICY_FLOW_KEY_WORDS; i++)
		setup.key[i] = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
	*hub = (struct hub){.clock = {.now_s = 5000, .wall_s = 500}};
	hub->flow = policy_flow_init(memory, &setup, hub->clock.now_s);
	if (hub->flow == NULL) {
		free(memory);
		return false;
	}
	load(hub, 1, 2);
	return true;
}

static void hub_fini(struct hub *hub)
{
	free(hub->flow);
	free(hub->blob);
}

/* ---- frames -------------------------------------------------------------------------------------- */

struct sketch {
	uint32_t in_peer, out_peer;
	bool is_v6;
	uint8_t proto, flags;
	uint16_t sport, dport;
};

/* Writes the frame at the end of memory, len bytes of it. */
static struct policy_frame draw(uint32_t i, const struct sketch *s, uint32_t len)
{
	uint8_t bytes[FRAME_MAX] = {0};
	uint8_t *upper = bytes + (s->is_v6 ? 40 : 20);
	const struct base_ip *src = &ips[s->in_peer][s->is_v6];
	const struct base_ip *dst = &ips[s->out_peer][s->is_v6];

	bytes[0] = s->is_v6 ? 0x60 : 0x45;
	bytes[s->is_v6 ? 6 : 9] = s->proto;
	memcpy(bytes + (s->is_v6 ? 8 : 12), src->bytes, s->is_v6 ? 16 : 4);
	memcpy(bytes + (s->is_v6 ? 24 : 16), dst->bytes, s->is_v6 ? 16 : 4);
	base_store_be16(upper, s->sport);
	base_store_be16(upper + 2, s->dport);
	if (s->proto == POLICY_PROTO_TCP)
		upper[13] = s->flags;
	memcpy(ends[i] - len, bytes, len);
	return (struct policy_frame){
		.data = ends[i] - len, .len = len, .in_peer = s->in_peer, .out_peer = s->out_peer};
}

static struct policy_frame whole(uint32_t i, const struct sketch *s)
{
	uint32_t upper = s->proto == POLICY_PROTO_TCP ? 20 : 8;

	return draw(i, s, (s->is_v6 ? 40 : 20) + upper);
}

static struct policy_flow_result judge(struct hub *hub, const struct policy_frame *frame)
{
	struct policy_packet packet = {.in_peer = frame->in_peer, .out_peer = frame->out_peer};
	struct policy_flow_result result = {.verdict = POLICY_FLOW_N_VERDICTS};

	if (policy_packet_parse(frame->data, frame->len, &packet) == POLICY_PARSE_OK)
		policy_flow_judge(hub->flow, hub->table, hub->clock, &packet, &result, 1);
	return result;
}

/* As a worker does it: nobody looks up whom a frame is for until the table has said that it does not know.
 * Returns what passed; *at_once (may be NULL) what passed so. */
static uint64_t pass(struct hub *hub, const struct policy_frame *frames,
                     struct policy_flow_result *results, uint32_t n, uint64_t *at_once)
{
	struct policy_frame seen[POLICY_FLOW_BURST_MAX] = {0};
	uint64_t strangers, passed, late;

	policy_flow_lead(hub->flow, hub->lead);
	for (uint32_t i = 0; i < n; i++) {
		seen[i] = frames[i];
		seen[i].out_peer = UINT32_MAX;
	}
	policy_flow_fetch(hub->flow, hub->table, hub->clock, seen, n);
	strangers = policy_flow_find(hub->flow, n);
	for (uint32_t i = 0; i < n; i++)
		if ((strangers >> i & 1) != 0)
			seen[i].out_peer = frames[i].out_peer;
	policy_flow_foresee(hub->flow, hub->table, seen, strangers);
	passed = policy_flow_pass(hub->flow, hub->table, hub->clock, seen, results, n);
	assert_true((passed & strangers) == 0);
	for (uint32_t i = 0; i < n; i++)
		if ((passed >> i & 1) != 0)
			assert_int_equal(seen[i].out_peer, frames[i].out_peer);
	if (at_once != NULL)
		*at_once = passed;
	late = ~(passed | strangers) & (n == 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1);
	return passed
	       | policy_flow_pass_known(hub->flow, hub->table, hub->clock, frames, results, late,
	                                true);
}

static struct sketch turned(struct sketch s)
{
	return (struct sketch){s.out_peer, s.in_peer, s.is_v6, s.proto, s.flags, s.dport, s.sport};
}

/* Make the flow of a sketch stand. */
static void establish(struct hub *hub, struct sketch s)
{
	struct sketch back = turned(s);
	struct policy_frame frame;

	s.flags = POLICY_TCP_SYN;
	back.flags = POLICY_TCP_SYN | POLICY_TCP_ACK;
	frame = whole(0, &s);
	assert_int_equal(judge(hub, &frame).verdict, POLICY_FLOW_PASS);
	frame = whole(0, &back);
	assert_int_equal(judge(hub, &frame).verdict, POLICY_FLOW_PASS);
	s.flags = POLICY_TCP_ACK;
	frame = whole(0, &s);
	assert_int_equal(judge(hub, &frame).verdict, POLICY_FLOW_PASS);
}

/* ---- by themselves ------------------------------------------------------------------------------- */

/* Runs the test with each kernel; a CPU without AVX-512 leaves that out. */
static void with_each_kernel(void (*test)(struct hub *hub))
{
	static const enum policy_flow_kernel kernels[] = {
		POLICY_FLOW_KERNEL_BEST, POLICY_FLOW_KERNEL_PLAIN, POLICY_FLOW_KERNEL_AVX512};

	for (size_t i = 0; i < BASE_ARRAY_LEN(kernels); i++) {
		struct hub hub;

		if (!hub_init(&hub, kernels[i], 64)) {
			assert_int_equal(kernels[i], POLICY_FLOW_KERNEL_AVX512);
			printf("# this CPU has no AVX-512\n");
			continue;
		}
		test(&hub);
		hub_fini(&hub);
	}
}

static const struct sketch tcp4 = {A, B, false, POLICY_PROTO_TCP, POLICY_TCP_ACK, 1024, 443};
static const struct sketch tcp6 = {A, B, true, POLICY_PROTO_TCP, POLICY_TCP_ACK, 1024, 443};
static const struct sketch udp4 = {A, B, false, POLICY_PROTO_UDP, 0, 1024, 443};
static const struct sketch udp6 = {A, B, true, POLICY_PROTO_UDP, 0, 1024, 443};

static void pass_all_kinds(struct hub *hub)
{
	const struct sketch all[] = {tcp4,         tcp6,         udp4,         udp6,
	                             turned(tcp4), turned(tcp6), turned(udp4), turned(udp6)};
	struct policy_flow_result results[BASE_ARRAY_LEN(all)];
	struct policy_frame frames[BASE_ARRAY_LEN(all)];
	uint64_t at_once;

	for (uint32_t i = 0; i < BASE_ARRAY_LEN(all); i++)
		frames[i] = whole(i, &all[i]);
	assert_int_equal(pass(hub, frames, results, BASE_ARRAY_LEN(all), NULL), 0);
	for (uint32_t i = 0; i < 4; i++)
		establish(hub, all[i]);
	for (uint32_t i = 0; i < BASE_ARRAY_LEN(all); i++)
		frames[i] = whole(i, &all[i]);
	assert_int_equal(pass(hub, frames, results, BASE_ARRAY_LEN(all), NULL), 0xff);
	for (uint32_t i = 0; i < BASE_ARRAY_LEN(all); i++) {
		assert_int_equal(results[i].verdict, POLICY_FLOW_PASS);
		assert_int_equal(results[i].grant, 11);
		assert_int_equal(results[i].note, 0);
	}
	/* the flows themselves know whom their packets are for .. */
	assert_int_equal(pass(hub, frames, results, BASE_ARRAY_LEN(all), &at_once), 0xff);
	assert_int_equal(at_once, 0xff);
	/* .. until that may have changed */
	hub->lead++;
	assert_int_equal(pass(hub, frames, results, BASE_ARRAY_LEN(all), &at_once), 0xff);
	assert_int_equal(at_once, 0);
	assert_int_equal(pass(hub, frames, results, BASE_ARRAY_LEN(all), &at_once), 0xff);
	assert_int_equal(at_once, 0xff);
	/* another second: still, and the other worker hears of it once */
	hub->clock.now_s += 16;
	assert_int_equal(pass(hub, frames, results, BASE_ARRAY_LEN(all), NULL), 0xff);
	for (uint32_t i = 0; i < BASE_ARRAY_LEN(all); i++)
		assert_int_equal(results[i].note != 0, i < 4);
	/* the grant is gone: somebody must judge */
	load(hub, 2, 0);
	assert_int_equal(pass(hub, frames, results, BASE_ARRAY_LEN(all), NULL), 0);
}

static void plain_packets_of_flows_that_stand_pass(void **state)
{
	(void)state;
	with_each_kernel(pass_all_kinds);
}

static void leave_what_is_not_plain(struct hub *hub)
{
	static const uint8_t flags[] = {0, 1, 2, 4, 0x11, 0x12, 0x14, 0x13};
	struct policy_flow_result result;
	struct policy_frame frame;
	struct sketch s = tcp4;
	uint8_t *ip;

	establish(hub, tcp4);
	for (size_t i = 0; i < sizeof(flags); i++) {
		s.flags = flags[i];
		frame = whole(0, &s);
		assert_int_equal(pass(hub, &frame, &result, 1, NULL), 0);
	}
	for (uint32_t len = 0; len < 40; len++) {
		frame = draw(0, &tcp4, len);
		assert_int_equal(pass(hub, &frame, &result, 1, NULL), 0);
	}
	frame = draw(0, &tcp4, 40);
	ip = ends[0] - 40;
	assert_int_equal(pass(hub, &frame, &result, 1, NULL), 1);
	ip[6] = 0x20; /* more fragments */
	assert_int_equal(pass(hub, &frame, &result, 1, NULL), 0);
	ip[6] = 0;
	ip[7] = 1; /* a later one */
	assert_int_equal(pass(hub, &frame, &result, 1, NULL), 0);
	ip[7] = 0;
	ip[6] = 0x40; /* do not fragment: plain */
	assert_int_equal(pass(hub, &frame, &result, 1, NULL), 1);
	frame.in_peer = G;
	assert_int_equal(pass(hub, &frame, &result, 1, NULL), 0);
	frame.in_peer = A;
	frame.out_peer = UINT32_MAX;
	hub->lead++;
	assert_int_equal(pass(hub, &frame, &result, 1, NULL), 0);
	frame.out_peer = G;
	assert_int_equal(pass(hub, &frame, &result, 1, NULL), 0);
}

static void what_is_not_plain_is_left(void **state)
{
	(void)state;
	with_each_kernel(leave_what_is_not_plain);
}

/* ::ffff:10.0.0.1 is how an IPv4 address is stored; no IPv6 packet may come with it. */
static void leave_mapped_addresses(struct hub *hub)
{
	struct policy_frame frame;
	struct policy_flow_result result;
	uint8_t *ip;

	establish(hub, tcp4);
	frame = whole(0, &tcp6);
	ip = ends[0] - frame.len;
	memset(ip + 8, 0, 32);
	memset(ip + 8 + 10, 0xff, 2);
	memset(ip + 24 + 10, 0xff, 2);
	memcpy(ip + 8 + 12, ips[A][0].bytes, 4);
	memcpy(ip + 24 + 12, ips[B][0].bytes, 4);
	assert_int_equal(pass(hub, &frame, &result, 1, NULL), 0);
	assert_int_equal(judge(hub, &frame).verdict, POLICY_FLOW_N_VERDICTS);
}

static void ipv6_packets_do_not_pass_as_ipv4_ones(void **state)
{
	(void)state;
	with_each_kernel(leave_mapped_addresses);
}

/* The frame as a worker takes it: the quick ways, of which one must be enough. */
static enum policy_flow_verdict take(struct hub *hub, const struct sketch *s)
{
	struct policy_frame frame = whole(0, s);
	struct policy_flow_result result = {.verdict = POLICY_FLOW_N_VERDICTS};

	if (pass(hub, &frame, &result, 1, NULL) == 0
	    && policy_flow_open(hub->flow, hub->table, hub->clock, &result, 1) == 0)
		return POLICY_FLOW_N_VERDICTS;
	return (enum policy_flow_verdict)result.verdict;
}

/* The same packet again and again, each time of another flow: what is remembered of the first must not be
 * said when the table that said it has gone, in either direction. */
static void forget_with_the_table(struct hub *hub)
{
	struct sketch all[] = {tcp4, tcp6, udp4, udp6};

	for (size_t i = 0; i < BASE_ARRAY_LEN(all); i++) {
		struct sketch *s = &all[i];
		uint32_t generation = 10 * ((uint32_t)i + 1);

		s->flags = s->flags != 0 ? POLICY_TCP_SYN : 0;
		for (unsigned int turn = 0; turn < 3; turn++) {
			load(hub, ++generation, 0);
			for (unsigned int again = 0; again < 3; again++, s->sport++)
				assert_int_equal(take(hub, s), POLICY_FLOW_NO_GRANT);
			load(hub, ++generation, 1);
			for (unsigned int again = 0; again < 3; again++, s->sport++)
				assert_int_equal(take(hub, s), POLICY_FLOW_PASS);
		}
	}
}

static void what_was_said_is_forgotten_with_its_table(void **state)
{
	(void)state;
	with_each_kernel(forget_with_the_table);
}

/* The grant's window is over at 700 and comes again at 900, and the wall clock may be set back. */
static void forget_with_the_window(struct hub *hub)
{
	static const struct {
		uint64_t wall_s;
		enum policy_flow_verdict verdict;
	} hours[] = {
		{500, POLICY_FLOW_PASS}, {699, POLICY_FLOW_PASS},     {700, POLICY_FLOW_NOT_NOW},
		{600, POLICY_FLOW_PASS}, {899, POLICY_FLOW_NOT_NOW},  {900, POLICY_FLOW_PASS},
		{999, POLICY_FLOW_PASS}, {1000, POLICY_FLOW_NOT_NOW}, {950, POLICY_FLOW_PASS},
	};
	struct sketch s = {B, G, false, POLICY_PROTO_TCP, POLICY_TCP_SYN, 1, 80};

	for (size_t i = 0; i < BASE_ARRAY_LEN(hours); i++) {
		hub->clock.wall_s = hours[i].wall_s;
		for (unsigned int again = 0; again < 2; again++, s.sport++)
			assert_int_equal(take(hub, &s), hours[i].verdict);
	}
}

static void what_was_said_is_forgotten_with_its_window(void **state)
{
	(void)state;
	with_each_kernel(forget_with_the_window);
}

/* What is refused one way may be an answer the other way, in the same burst too. */
static void answer_in_the_same_burst(struct hub *hub)
{
	struct sketch back = turned(udp4);
	struct policy_frame frames[] = {whole(0, &back), whole(1, &udp4), whole(2, &back),
	                                whole(3, &udp4)};
	struct policy_flow_result results[4];

	assert_int_equal(pass(hub, frames, results, 4, NULL), 0);
	/* the third and the fourth find the second's flow, so they are judged */
	assert_int_equal(policy_flow_open(hub->flow, hub->table, hub->clock, results, 15), 3);
	assert_int_equal(results[0].verdict, POLICY_FLOW_NO_GRANT);
	assert_int_equal(results[1].verdict, POLICY_FLOW_PASS);
	assert_int_equal(judge(hub, &frames[2]).verdict, POLICY_FLOW_PASS);
	assert_int_equal(policy_flow_count(hub->flow), 1);
	/* and now that it is known, the refusal that was kept does not count */
	assert_int_equal(pass(hub, frames, results, 1, NULL), 1);
}

static void answers_pass_though_they_could_not_open(void **state)
{
	(void)state;
	with_each_kernel(answer_in_the_same_burst);
}

/* ---- against the judge --------------------------------------------------------------------------- */

static const uint8_t protos[] = {POLICY_PROTO_TCP, POLICY_PROTO_TCP, POLICY_PROTO_TCP,
                                 POLICY_PROTO_UDP, POLICY_PROTO_UDP, 47};
static const uint8_t many_flags[] = {0x10, 0x10, 0x18, 0x10, 0x18, 0x10, 0x10, 0x18, 0x10,
                                     0x18, 0x10, 0x02, 0x02, 0x12, 0x12, 0x11, 0x04};

static const uint8_t ends_of_flows[] = {A, A, A, B, B, B, B, G};

/* Whom the addresses of each peer lead to; UINT32_MAX = nobody. */
static uint32_t leads[N_PEERS];

/* Whom this address of a frame leads to; is_dst: its destination. */
static uint32_t leads_to(const struct policy_frame *frame, bool is_dst)
{
	for (uint32_t peer = A; peer < N_PEERS; peer++) {
		if (frame->len >= 20 && frame->data[0] >> 4 == 4
		    && memcmp(frame->data + (is_dst ? 16 : 12), ips[peer][0].bytes, 4) == 0)
			return leads[peer];
		if (frame->len >= 40 && frame->data[0] >> 4 == 6
		    && memcmp(frame->data + (is_dst ? 24 : 8), ips[peer][1].bytes, 16) == 0)
			return leads[peer];
	}
	return UINT32_MAX;
}

/* TCP data, SYNs and UDP over IPv4, of 40 bytes at least: of such a kernel may take eight at once. */
static struct policy_frame random_simple_bytes(struct test_random *random, uint32_t i)
{
	static const uint8_t flags[] = {0x10, 0x10, 0x18, 0x02, 0x42};
	struct sketch s = {
		.in_peer = ends_of_flows[test_random_below(random, sizeof(ends_of_flows))],
		.out_peer = ends_of_flows[test_random_below(random, sizeof(ends_of_flows))],
		.proto = test_random_below(random, 2) == 0 ? POLICY_PROTO_TCP : POLICY_PROTO_UDP,
		.flags = flags[test_random_below(random, sizeof(flags))],
		.sport = (uint16_t)(1 + test_random_below(random, 2)),
		.dport = (uint16_t)(1 + test_random_below(random, 2)),
	};

	return draw(i, &s, 40 + (uint32_t)test_random_below(random, 30));
}

static struct policy_frame random_bytes(struct test_random *random, uint32_t i)
{
	uint32_t in_peer = ends_of_flows[test_random_below(random, sizeof(ends_of_flows))];
	uint32_t out_peer = ends_of_flows[test_random_below(random, sizeof(ends_of_flows))];
	struct sketch s = {
		.in_peer = in_peer,
		.out_peer = out_peer,
		.is_v6 = test_random_below(random, 3) == 0,
		.proto = protos[test_random_below(random, sizeof(protos))],
		.flags = many_flags[test_random_below(random, sizeof(many_flags))],
		.sport = (uint16_t)(1 + test_random_below(random, 2)),
		.dport = (uint16_t)(1 + test_random_below(random, 2)),
	};
	struct policy_frame frame = whole(i, &s);

	switch (test_random_below(random, 16)) {
	case 0: /* any byte wrong */
		ends[i][-1 - (int)test_random_below(random, frame.len)] ^=
			(uint8_t)(1U << test_random_below(random, 8));
		break;
	case 1: /* cut off */
		return draw(i, &s, (uint32_t)test_random_below(random, frame.len));
	case 2: /* longer */
		return draw(
			i, &s,
			(uint32_t)(frame.len + test_random_below(random, FRAME_MAX - frame.len)));
	default:
		break;
	}
	return frame;
}

static struct policy_frame random_frame(struct test_random *random, uint32_t i, bool is_simple)
{
	struct policy_frame frame = is_simple ? random_simple_bytes(random, i)
	                                      : random_bytes(random, i);

	frame.in_peer = leads_to(&frame, false);
	frame.out_peer = leads_to(&frame, true);
	return frame;
}

static void assert_same_flows(const struct hub *one, const struct hub *other)
{
	assert_int_equal(policy_flow_count(one->flow), policy_flow_count(other->flow));
	for (uint32_t i = 0; i < policy_flow_places(one->flow); i++) {
		struct policy_flow_info a = {0}, b = {0};
		bool has_a = policy_flow_get(one->flow, i, one->clock.now_s, &a);
		bool has_b = policy_flow_get(other->flow, i, other->clock.now_s, &b);

		assert_int_equal(has_a, has_b);
		assert_memory_equal(&a, &b, sizeof(a));
	}
}

static uint32_t n_at_once; /* of those that passed */

/* A burst through the table of a kernel, of which those in quickly may be opened the quick way, and in the
 * same order through one that only judges. Returns what passed, and what was judged the quick way. */
static uint64_t run_burst(struct hub *passing, struct hub *judging,
                          const struct policy_frame *frames, uint32_t n, uint64_t quickly,
                          uint64_t *judged)
{
	struct policy_flow_result results[POLICY_FLOW_BURST_MAX];
	uint64_t at_once;
	uint64_t passed = pass(passing, frames, results, n, &at_once);
	uint64_t opened = policy_flow_open(passing->flow, passing->table, passing->clock, results,
	                                   ~passed & quickly);

	assert_true((opened & (passed | ~quickly)) == 0);
	for (unsigned int turn = 0; turn < 3; turn++) {
		for (uint32_t i = 0; i < n; i++) {
			struct policy_flow_result expected;

			if (turn
			    != ((passed >> i & 1) != 0   ? 0U
			        : (opened >> i & 1) != 0 ? 1U
			                                 : 2U))
				continue;
			expected = judge(judging, &frames[i]);
			if (turn == 2)
				results[i] = judge(passing, &frames[i]);
			assert_int_equal(results[i].verdict, expected.verdict);
			assert_int_equal(results[i].grant, expected.grant);
			assert_int_equal(results[i].note, expected.note);
		}
	}
	assert_true(n == 64 || passed >> n == 0);
	assert_same_flows(passing, judging);
	n_at_once += (uint32_t)__builtin_popcountll(at_once);
	*judged = opened;
	return passed;
}

enum { N_HUBS = 4 }; /* two kernels, and who judges beside each */

/* The addresses of one peer go elsewhere, or come back. */
static void lead_elsewhere(struct test_random *random, struct hub *hubs)
{
	static const uint32_t others[] = {A, B, G, UINT32_MAX};
	uint32_t peer = A + (uint32_t)test_random_below(random, 3);

	leads[peer] = leads[peer] == peer ? others[test_random_below(random, 4)] : peer;
	for (uint32_t i = 0; i < N_HUBS; i++)
		hubs[i].lead++;
}

static void step(struct hub *hubs, uint32_t now_s, uint64_t wall_s)
{
	for (uint32_t i = 0; i < N_HUBS; i++) {
		hubs[i].clock.now_s += now_s;
		hubs[i].clock.wall_s = wall_s;
		(void)policy_flow_expire(hubs[i].flow, hubs[i].clock.now_s, 8);
	}
}

static void random_bursts_pass_as_they_would_be_judged(void **state)
{
	static const uint32_t steps_s[] = {0, 0, 0, 0, 0, 0, 0,  0,   0,
	                                   0, 1, 1, 1, 1, 9, 31, 181, 7441};
	struct test_random random = test_random_start();
	uint32_t n_frames = 0, n_passed = 0, n_opened = 0, generation = 1;
	struct hub hubs[N_HUBS];
	bool has_avx512;

	(void)state;
	n_at_once = 0;
	for (uint32_t peer = A; peer < N_PEERS; peer++)
		leads[peer] = peer;
	assert_true(hub_init(&hubs[0], POLICY_FLOW_KERNEL_PLAIN, 64));
	assert_true(hub_init(&hubs[1], POLICY_FLOW_KERNEL_PLAIN, 64));
	has_avx512 = hub_init(&hubs[2], POLICY_FLOW_KERNEL_AVX512, 64);
	assert_true(has_avx512 || hub_init(&hubs[2], POLICY_FLOW_KERNEL_PLAIN, 64));
	assert_true(hub_init(&hubs[3], POLICY_FLOW_KERNEL_PLAIN, 64));
	for (uint32_t round = 0; round < 20000; round++) {
		uint32_t n = (uint32_t)test_random_below(&random, POLICY_FLOW_BURST_MAX + 1);
		struct policy_frame frames[POLICY_FLOW_BURST_MAX];
		uint64_t passed, opened, again;
		uint64_t quickly = test_random_below(&random, 4) == 0 ? 0x5a : UINT64_MAX;
		bool is_simple = test_random_below(&random, 2) == 0;
		uint32_t odd_one = (uint32_t)test_random_below(&random, POLICY_FLOW_BURST_MAX);

		if (test_random_below(&random, 256) == 0) {
			uint32_t n_grants = test_random_below(&random, 8) == 0 ? 1 : 2;

			generation++;
			for (uint32_t i = 0; i < N_HUBS; i++)
				load(&hubs[i], generation, n_grants);
		}
		if (test_random_below(&random, 16) == 0)
			lead_elsewhere(&random, hubs);
		step(hubs, steps_s[test_random_below(&random, BASE_ARRAY_LEN(steps_s))],
		     test_random_below(&random, 16) == 0 ? 800 : 600);
		for (uint32_t i = 0; i < n; i++)
			frames[i] = random_frame(&random, i,
			                         is_simple && (i != odd_one || odd_one > 56));
		passed = run_burst(&hubs[0], &hubs[1], frames, n, quickly, &opened);
		assert_int_equal(run_burst(&hubs[2], &hubs[3], frames, n, quickly, &again), passed);
		assert_int_equal(again, opened);
		n_opened += (uint32_t)__builtin_popcountll(opened);
		n_frames += n;
		n_passed += (uint32_t)__builtin_popcountll(passed);
	}
	printf("# %u of %u frames passed, %u of them at once in both kernels, %u were asked for the quick way%s\n",
	       n_passed, n_frames, n_at_once / 2, n_opened,
	       has_avx512 ? "" : "; this CPU has no AVX-512");
	assert_in_range(n_passed, n_frames / 100, n_frames / 2);
	assert_in_range(n_at_once / 2, n_passed / 4, n_passed * 9 / 10);
	assert_in_range(n_opened, n_frames / 50, n_frames / 2);
	for (uint32_t i = 0; i < N_HUBS; i++)
		hub_fini(&hubs[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_packets_of_flows_that_stand_pass),
		cmocka_unit_test(what_is_not_plain_is_left),
		cmocka_unit_test(ipv6_packets_do_not_pass_as_ipv4_ones),
		cmocka_unit_test(what_was_said_is_forgotten_with_its_table),
		cmocka_unit_test(what_was_said_is_forgotten_with_its_window),
		cmocka_unit_test(answers_pass_though_they_could_not_open),
		cmocka_unit_test(random_bursts_pass_as_they_would_be_judged),
	};

	return cmocka_run_group_tests(tests, make_ends, NULL);
}

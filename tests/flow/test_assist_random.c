/* The same frames through two hubs, one whose workers do everything themselves and one whose workers
 * help each other at random moments: what comes out of each session to each other is the same, in the
 * same order, and so is what is dropped. FLOW_SEED=n repeats a run, FLOW_STEPS=n makes it longer. */
#include "base_bytes.h"
#include "flow.h"

#include <sodium.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_SESSIONS 6U
#define N_WORKERS  2U

/* Inner packets of one peer to another: a hash over all of them in their order. */
struct seen {
	uint64_t n;
	uint8_t hash[32];
};

struct run {
	struct flow *flow;
	struct flow_session sessions[N_SESSIONS];
	uint64_t next_counter[N_SESSIONS]; /* of the hub's messages */
	struct seen seen[N_SESSIONS][N_SESSIONS];
	uint64_t counters[ABI_N_COUNTERS];
};

static uint64_t frames_state;
static uint64_t turns_state;

static uint32_t random_below(uint64_t *state, uint32_t n)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (uint32_t)(*state * UINT64_C(0x2545f4914f6cdd1d) >> 32) % n;
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

/* A frame of session i: good, forged, too old, or twice. Half of the sessions arrive at the wrong
 * worker, always the same one, so that their order does not depend on who is turned first. */
static void send_frame(struct run *run, uint32_t i)
{
	struct flow_session *session = &run->sessions[i];
	uint32_t to = random_below(&frames_state, N_SESSIONS);
	uint32_t arrival = i % 4 < 2 ? session->worker : 1 - session->worker;
	uint8_t inner[FLOW_FRAME_MAX];
	uint8_t message[FLOW_FRAME_MAX];
	uint8_t frame[FLOW_FRAME_MAX];
	uint8_t family = random_below(&frames_state, 2) ? BASE_IP_V4 : BASE_IP_V6;
	uint32_t len = flow_inner_between(inner, session->peer, run->sessions[to].peer, family,
	                                  random_below(&frames_state, 1300));
	uint32_t n = flow_seal(session, message, inner, len);
	uint32_t kind = random_below(&frames_state, 20);

	if (kind == 0)
		message[16 + random_below(&frames_state, n - 16)] ^= 1;
	n = flow_frame_to_hub(frame, &session->endpoint, message, n);
	flow_rx(run->flow, arrival, 0, frame, n);
	if (kind == 1)
		flow_rx(run->flow, arrival, 0, frame, n);
}

/* Which session's message is it, and in order? Then its inner packet joins what was seen. */
static void look_at(struct run *run, const uint8_t *frame, uint32_t len)
{
	const uint8_t *message = frame + 14 + (frame[14] >> 4 == 4 ? 20 : 40) + 8;
	uint32_t n = len - (uint32_t)(message - frame);
	uint64_t counter = base_load_le64(message + 8);
	uint8_t inner[FLOW_FRAME_MAX];
	uint8_t nonce[12] = {0};
	uint32_t to = 0, from = 0;

	while (run->sessions[to].remote_index != base_load_le32(message + 4))
		assert_true(++to < N_SESSIONS);
	assert_int_equal(counter, run->next_counter[to]);
	run->next_counter[to]++;
	base_store_le64(nonce + 4, counter);
	assert_int_equal(crypto_aead_chacha20poly1305_ietf_decrypt(inner, NULL, NULL, message + 16,
	                                                           n - 16, NULL, 0, nonce,
	                                                           run->sessions[to].from_hub),
	                 0);
	n -= 32;
	while (run->sessions[from].peer + 100 != inner[inner[0] >> 4 == 4 ? 15 : 23]
	       && memcmp(flow_inner_ip(run->sessions[from].peer, BASE_IP_V6).bytes, inner + 8, 16))
		assert_true(++from < N_SESSIONS);

	struct seen *seen = &run->seen[from][to];

	memmove(inner + 32, inner, n);
	memcpy(inner, seen->hash, 32);
	crypto_generichash(seen->hash, 32, inner, n + 32, NULL, 0);
	seen->n++;
}

static void look(struct run *run)
{
	uint8_t frame[FLOW_FRAME_MAX + 64];
	uint32_t len;

	for (uint32_t i = 0; i < N_WORKERS; i++)
		while ((len = flow_tx(run->flow, i, 0, frame)) > 0)
			look_at(run, frame, len);
}

static void turn_at_random(struct run *run)
{
	for (uint32_t i = random_below(&turns_state, 12); i > 0; i--)
		worker_turn(run->flow->workers[random_below(&turns_state, N_WORKERS)],
		            run->flow->now_ns);
}

static void play(struct run *run, enum assist_mode mode, uint64_t seed, uint64_t n_steps)
{
	memset(run, 0, sizeof(*run));
	frames_state = seed;
	run->flow = flow_create(&(struct flow_options){.n_workers = N_WORKERS, .assist = mode});
	for (uint32_t i = 0; i < N_SESSIONS; i++)
		run->sessions[i] = flow_session(run->flow, i % N_WORKERS, 1 + i, 1 + i,
		                                i % 3 ? BASE_IP_V4 : BASE_IP_V6);
	flow_reset(run->flow);
	for (uint64_t step = 0; step < n_steps; step++) {
		for (uint32_t i = random_below(&frames_state, 40); i > 0; i--)
			send_frame(run, random_below(&frames_state, N_SESSIONS));
		run->flow->now_ns += 100 * BASE_NS_PER_US;
		if (mode == ASSIST_ALWAYS)
			turn_at_random(run);
		if (mode == ASSIST_NEVER || step % 8 == 7) {
			flow_turn(run->flow);
			flow_turn(run->flow);
			flow_expect_balance(run->flow);
		}
		look(run);
	}
	flow_turn(run->flow);
	flow_turn(run->flow);
	look(run);
	for (uint32_t i = 0; i < ABI_N_COUNTERS; i++)
		run->counters[i] = flow_counter(run->flow, (enum abi_counter)i)
		                   - run->flow->before[i];
	print_message("# %lu packets, %lu sent, %lu batches\n", run->counters[ABI_COUNTER_RX_WAN],
	              run->counters[ABI_COUNTER_TX_WAN], run->counters[ABI_COUNTER_ASSIST_BATCHES]);
	flow_destroy(run->flow);
}

/* A packet that comes twice at once is opened twice where its first is still out. */
static bool may_differ(uint32_t counter)
{
	return counter == ABI_COUNTER_OPENED || counter == ABI_COUNTER_ASSIST_BATCHES
	       || counter == ABI_COUNTER_ASSIST_HELPED;
}

static void help_changes_nothing_that_can_be_seen(void **state)
{
	static struct run alone, together;
	uint64_t seed = setting("FLOW_SEED", base_time_wall_ns());
	uint64_t n_steps = setting("FLOW_STEPS", 2000);

	(void)state;
	print_message("# FLOW_SEED=%lu\n", seed);
	turns_state = seed ^ 0x5555;
	play(&alone, ASSIST_NEVER, seed, n_steps);
	play(&together, ASSIST_ALWAYS, seed, n_steps);
	for (uint32_t i = 0; i < ABI_N_COUNTERS; i++)
		if (!may_differ(i) && alone.counters[i] != together.counters[i])
			fail_msg("%s: %lu alone, %lu together", abi_counter_texts[i].name,
			         alone.counters[i], together.counters[i]);
	assert_memory_equal(alone.seen, together.seen, sizeof(alone.seen));
	assert_true(together.counters[ABI_COUNTER_ASSIST_BATCHES] > n_steps / 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(help_changes_nothing_that_can_be_seen),
	};

	return cmocka_run_group_tests_name("assist_random", tests, flow_start, NULL);
}

/* A worker that runs by itself and sleeps: whoever puts something into one of its rings wakes it. Each
 * would else wait for the end of its sleep, 40 ms: a hundred such waits take seconds, and what is
 * measured here is far below. */
#include "flow.h"
#include "port_bell.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define N_TIMES 100U
#define SLEEPER 1U

struct sleeper {
	struct flow *flow;
	pthread_t thread;
	_Atomic uint32_t stop;
	struct port_bell *bell;
	uint64_t begin_ns;
};

static void *run(void *arg)
{
	struct sleeper *sleeper = arg;

	worker_run(sleeper->flow->workers[SLEEPER], &sleeper->stop);
	return NULL;
}

static void begin(struct sleeper *sleeper)
{
	*sleeper = (struct sleeper){
		.flow = flow_create(&(struct flow_options){
			.n_workers = 2, .assist = ASSIST_NEVER, .wakes = true})};
	sleeper->bell = worker_shared_bell(sleeper->flow->shared, SLEEPER);
}

static void start(struct sleeper *sleeper)
{
	assert_int_equal(pthread_create(&sleeper->thread, NULL, run, sleeper), 0);
	sleeper->begin_ns = base_time_monotonic_ns();
}

/* It has said that it sleeps; and some time later, so that it takes its last look at the rings now
 * before and now after it gets something, and sleeps mostly. */
static void await_sleep(struct sleeper *sleeper, uint64_t i)
{
	uint64_t until_ns;

	while (!atomic_load(&sleeper->bell->sleeps))
		sched_yield();
	until_ns = base_time_monotonic_ns() + i % 8 * 30 * BASE_NS_PER_US;
	while (base_time_monotonic_ns() < until_ns)
		continue;
}

/* All waits together took less than half of what as many whole sleeps would take at the least. */
static void end(struct sleeper *sleeper)
{
	uint64_t took_ns = base_time_monotonic_ns() - sleeper->begin_ns;

	print_message("# %u times in %lu ms\n", N_TIMES, took_ns / FLOW_MS);
	assert_true(took_ns < N_TIMES * 10 * FLOW_MS);
	atomic_store(&sleeper->stop, 1);
	port_bell_ring(sleeper->bell->fd);
	assert_int_equal(pthread_join(sleeper->thread, NULL), 0);
	flow_destroy(sleeper->flow);
}

static void control_wakes_a_worker(void **state)
{
	struct sleeper sleeper;
	struct flow *flow;

	(void)state;
	begin(&sleeper);
	flow = sleeper.flow;
	start(&sleeper);
	for (uint64_t i = 1; i <= N_TIMES; i++) {
		struct abi_cmd_barrier barrier = {.token = i};
		struct abi_event_barrier answer = {0};
		bool wake = false;
		uint16_t type;

		await_sleep(&sleeper, i);
		assert_int_equal(abi_ring_push(&flow->cmd[SLEEPER], ABI_CMD_BARRIER, &barrier,
		                               sizeof(barrier), &wake),
		                 0);
		if (wake)
			port_bell_ring(sleeper.bell->fd);
		while (!flow_event(flow, SLEEPER, &type, &answer, sizeof(answer)))
			sched_yield();
		assert_int_equal(answer.token, i);
	}
	end(&sleeper);
}

/* The sleeper has a peer's session; inner gets a packet from the hub to the peer. Returns its length. */
static uint32_t begin_with_peer(struct sleeper *sleeper, uint8_t *inner)
{
	struct base_ip source = flow_ip("10.0.0.1");
	struct base_ip destination = flow_inner_ip(1, BASE_IP_V4);

	begin(sleeper);
	flow_session(sleeper->flow, SLEEPER, 1, 1, BASE_IP_V4);
	return flow_inner(inner, &source, &destination, 64, 64);
}

static void another_worker_wakes_a_worker(void **state)
{
	struct sleeper sleeper;
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len;

	(void)state;
	len = begin_with_peer(&sleeper, inner);
	start(&sleeper);
	for (uint32_t i = 0; i < N_TIMES; i++) {
		uint8_t frame[FLOW_FRAME_MAX];

		flow_from_kernel(sleeper.flow, 0, PORT_LINK_TUN, inner, len);
		await_sleep(&sleeper, i);
		worker_turn(sleeper.flow->workers[0], sleeper.flow->now_ns);
		while (flow_tx(sleeper.flow, SLEEPER, 0, frame) == 0)
			sched_yield();
	}
	end(&sleeper);
}

static void the_kernels_side_wakes_a_worker(void **state)
{
	struct sleeper sleeper;
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len;

	(void)state;
	len = begin_with_peer(&sleeper, inner);
	start(&sleeper);
	for (uint32_t i = 0; i < N_TIMES; i++) {
		uint8_t frame[FLOW_FRAME_MAX];

		await_sleep(&sleeper, i);
		flow_from_kernel(sleeper.flow, SLEEPER, PORT_LINK_TUN, inner, len);
		if (port_bell_is_due(&sleeper.bell->sleeps))
			port_bell_ring(sleeper.bell->fd);
		while (flow_tx(sleeper.flow, SLEEPER, 0, frame) == 0)
			sched_yield();
	}
	end(&sleeper);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(control_wakes_a_worker),
		cmocka_unit_test(another_worker_wakes_a_worker),
		cmocka_unit_test(the_kernels_side_wakes_a_worker),
	};

	return cmocka_run_group_tests_name("wake", tests, flow_start, NULL);
}

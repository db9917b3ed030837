/* Two workers that run by themselves, one of them in backlog, the other asleep: help comes by itself,
 * wakes the helper, and everything comes out once and in order. Neither is in the test's hand here, so
 * what it asserts holds however they are scheduled. */
#include "flow.h"
#include "port_bell.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#define OWNER      0U
#define HELPER     1U
#define WAITING    900U  /* packets that are in the owner's queue when it is stopped */
#define N_ROUND    3500U /* packets of a round; help comes after 2048 */
#define QUEUE_LEN  4096U /* more than a round */
#define ROUNDS_MAX 500U

struct runner {
	struct worker *worker;
	_Atomic uint32_t *stop;
	pthread_t thread;
};

static void *run(void *arg)
{
	struct runner *runner = arg;
	cpu_set_t any;

	/* EAL has put us all on one CPU. */
	memset(&any, 0xff, sizeof(any));
	assert_int_equal(sched_setaffinity(0, sizeof(any), &any), 0);
	worker_run(runner->worker, runner->stop);
	return NULL;
}

struct stream {
	struct flow *flow;
	struct flow_session from;
	struct flow_session to;
	uint64_t n_sent;
	uint64_t n_seen;
	struct rte_mbuf *ready[N_ROUND];
	uint8_t out[N_ROUND + 1][FLOW_FRAME_MAX];
	uint32_t len[N_ROUND + 1];
};

static uint32_t inner_of(uint64_t i, uint8_t *inner)
{
	return flow_inner_between(inner, 1, 2, BASE_IP_V4, 20 + (uint32_t)(i % 200));
}

/* The next n packets of the stream as frames, ready to be put into the queue. */
static void make_frames(struct stream *s, uint32_t n)
{
	uint8_t inner[FLOW_FRAME_MAX];
	uint8_t message[FLOW_FRAME_MAX];
	uint8_t frame[FLOW_FRAME_MAX];

	for (uint32_t i = 0; i < n; i++) {
		uint32_t len = flow_seal(&s->from, message, inner, inner_of(s->n_sent + i, inner));

		len = flow_frame_to_hub(frame, &s->from.endpoint, message, len);
		s->ready[i] = flow_mbuf(frame, len);
	}
	s->n_sent += n;
}

/* Take out what has come out. Returns how many. */
static uint32_t take(struct stream *s, uint32_t n_taken)
{
	uint32_t n = 0;

	while ((s->len[n_taken + n] = flow_tx(s->flow, OWNER, 0, s->out[n_taken + n])) > 0)
		n++;
	return n;
}

/* All n that were taken out are the next of the stream, in order. */
static void check(struct stream *s, uint32_t n_taken)
{
	uint8_t inner[FLOW_FRAME_MAX];
	uint8_t message[FLOW_FRAME_MAX];
	uint8_t expected[FLOW_FRAME_MAX];

	for (uint32_t k = 0; k < n_taken; k++) {
		uint64_t i = s->n_seen++;
		uint32_t n = inner_of(i, inner);

		flow_hop(inner);
		n = flow_seal_by_hub(&s->to, i, message, inner, n);
		n = flow_frame_from_hub(expected, &s->to.endpoint, (uint16_t)i, message, n);
		assert_int_equal(s->len[k], n);
		assert_memory_equal(s->out[k], expected, n);
	}
}

/* A round is put into the owner's queue at once, so it is a backlog however slow we are ourselves. */
static void push(struct stream *s)
{
	uint32_t n_taken = 0;

	make_frames(s, N_ROUND);
	for (uint32_t i = 0; i < N_ROUND; i++)
		flow_rx_mbuf(s->flow, OWNER, 0, s->ready[i]);
	while (n_taken < N_ROUND)
		n_taken += take(s, n_taken);
	check(s, n_taken);
}

struct both {
	struct stream *s;
	struct runner runners[2];
	_Atomic uint32_t stop;
};

static void start(struct both *both, struct stream *s, enum assist_mode mode)
{
	*both = (struct both){.s = s};
	memset(s, 0, sizeof(*s));
	s->flow = flow_create(&(struct flow_options){
		.n_workers = 2, .assist = mode, .aead = AEAD_BACKEND_SODIUM, .wakes = true});
	s->from = flow_session(s->flow, OWNER, 1, 1, BASE_IP_V4);
	s->to = flow_session(s->flow, OWNER, 2, 2, BASE_IP_V4);
	for (uint32_t i = 0; i < 2; i++) {
		struct runner *runner = &both->runners[i];

		*runner = (struct runner){.worker = s->flow->workers[i], .stop = &both->stop};
		assert_int_equal(pthread_create(&runner->thread, NULL, run, runner), 0);
	}
}

/* Stopped in the middle of it, they finish what is out. */
static void end(struct both *both)
{
	struct stream *s = both->s;

	make_frames(s, WAITING);
	for (uint32_t i = 0; i < WAITING; i++)
		flow_rx_mbuf(s->flow, OWNER, 0, s->ready[i]);
	atomic_store(&both->stop, 1);
	for (uint32_t i = 0; i < 2; i++) {
		port_bell_ring(worker_shared_bell(s->flow->shared, i)->fd);
		assert_int_equal(pthread_join(both->runners[i].thread, NULL), 0);
	}
	check(s, take(s, 0));
	print_message("# %lu packets, on %lu times, %lu batches\n", s->n_seen,
	              flow_counter(s->flow, ABI_COUNTER_ASSIST_ON),
	              flow_counter(s->flow, ABI_COUNTER_ASSIST_BATCHES));
	flow_expect_balance(s->flow);
	assert_int_equal(flow_counter(s->flow, ABI_COUNTER_DROP_STOPPED), 0);
	assert_int_equal(flow_counter(s->flow, ABI_COUNTER_ASSIST_BATCHES),
	                 flow_counter(s->flow, ABI_COUNTER_ASSIST_HELPED));
	flow_destroy(s->flow);
}

static struct stream stream;

static void everything_comes_out_in_order_with_help(void **state)
{
	struct both both;

	(void)state;
	start(&both, &stream, ASSIST_ALWAYS);
	for (uint32_t round = 0; round < 5; round++)
		push(&stream);
	assert_true(flow_counter(stream.flow, ABI_COUNTER_ASSIST_BATCHES) > 0);
	end(&both);
}

static void help_comes_by_itself_and_wakes_the_helper(void **state)
{
	struct both both;
	bool came = false;

	(void)state;
	start(&both, &stream, ASSIST_AUTO);
	/* Somebody else may have the helper's core, or have taken the owner's for so long that the
	 * first packets were gone before the last came. */
	for (uint32_t round = 0; round < ROUNDS_MAX && !came; round++) {
		push(&stream);
		came = flow_counter(stream.flow, ABI_COUNTER_ASSIST_HELPED) > 0;
	}
	end(&both);
	assert_true(came);
}

static int start_deep(void **state)
{
	(void)state;
	return flow_start_deep(QUEUE_LEN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_comes_out_in_order_with_help),
		cmocka_unit_test(help_comes_by_itself_and_wakes_the_helper),
	};

	return cmocka_run_group_tests_name("assist_threads", tests, start_deep, NULL);
}

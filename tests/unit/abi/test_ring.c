/* The SPSC ring: order, limits, the sleep protocol, and what happens when the other side lies. */
#include "abi_ring.h"
#include "base_bytes.h"
#include "test.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define N_SLOTS 8U

struct fixture {
	struct abi_ring ring;
	struct abi_record records[N_SLOTS];
	struct abi_ring_end producer;
	struct abi_ring_end consumer;
};

static struct fixture *fresh(uint64_t start)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	f.ring.head = f.ring.tail = start;
	f.producer = abi_ring_end_make(&f.ring, f.records, N_SLOTS);
	f.consumer = abi_ring_end_make(&f.ring, f.records, N_SLOTS);
	return &f;
}

static int push(struct fixture *f, uint64_t value)
{
	return abi_ring_push(&f->producer, 7, &value, sizeof(value), NULL);
}

static void expect(struct fixture *f, uint64_t value)
{
	struct abi_record record;

	assert_int_equal(abi_ring_pop(&f->consumer, &record), 1);
	assert_int_equal(record.type, 7);
	assert_int_equal(record.len, sizeof(value));
	assert_int_equal(base_load_le64(record.payload), value);
}

static void expect_empty(struct fixture *f)
{
	struct abi_record record;

	assert_int_equal(abi_ring_pop(&f->consumer, &record), 0);
}

/* ---- order and limits ------------------------------------------------------------------------- */

static void records_come_out_in_order_over_many_wraps(void **state)
{
	struct fixture *f = fresh(0);
	uint64_t in = 0;
	uint64_t out = 0;

	(void)state;
	for (uint32_t round = 0; round < 1000; round++) {
		for (uint32_t i = 0; i < round % (N_SLOTS + 1); i++)
			assert_int_equal(push(f, in++), 0);
		while (out < in)
			expect(f, out++);
		expect_empty(f);
	}
}

static void indexes_wrap_at_64_bits(void **state)
{
	struct fixture *f = fresh(UINT64_MAX - 3);

	(void)state;
	for (uint64_t i = 0; i < N_SLOTS; i++)
		assert_int_equal(push(f, i), 0);
	assert_int_equal(push(f, 99), -EAGAIN);
	for (uint64_t i = 0; i < N_SLOTS; i++)
		expect(f, i);
	expect_empty(f);
}

static void full_ring_refuses_and_changes_nothing(void **state)
{
	struct fixture *f = fresh(0);
	struct fixture before;

	(void)state;
	for (uint64_t i = 0; i < N_SLOTS; i++)
		assert_int_equal(push(f, i), 0);
	before = *f;
	assert_int_equal(push(f, 99), -EAGAIN);
	assert_memory_equal(&f->ring, &before.ring, sizeof(f->ring));
	assert_memory_equal(f->records, before.records, sizeof(f->records));
	assert_int_equal(abi_ring_depth(&f->producer), N_SLOTS);
	expect(f, 0);
	assert_int_equal(push(f, 8), 0);
	for (uint64_t i = 1; i <= N_SLOTS; i++)
		expect(f, i);
}

static void longest_payload_passes_and_longer_is_refused(void **state)
{
	struct fixture *f = fresh(0);
	struct abi_record record;
	uint8_t payload[ABI_PAYLOAD_MAX + 1];

	(void)state;
	memset(payload, 0xa5, sizeof(payload));
	assert_int_equal(abi_ring_push(&f->producer, 1, payload, ABI_PAYLOAD_MAX + 1, NULL),
	                 -EMSGSIZE);
	assert_int_equal(abi_ring_depth(&f->producer), 0);
	assert_int_equal(abi_ring_push(&f->producer, 1, payload, ABI_PAYLOAD_MAX, NULL), 0);
	assert_int_equal(abi_ring_push(&f->producer, 2, NULL, 0, NULL), 0);
	assert_int_equal(abi_ring_pop(&f->consumer, &record), 1);
	assert_int_equal(record.len, ABI_PAYLOAD_MAX);
	assert_memory_equal(record.payload, payload, ABI_PAYLOAD_MAX);
	assert_int_equal(abi_ring_pop(&f->consumer, &record), 1);
	assert_int_equal(record.type, 2);
	assert_int_equal(record.len, 0);
}

static void freed_slot_holds_no_payload(void **state)
{
	struct fixture *f = fresh(0);
	struct abi_record record;
	uint8_t secret[ABI_PAYLOAD_MAX];

	(void)state;
	memset(secret, 0x5c, sizeof(secret));
	assert_int_equal(abi_ring_push(&f->producer, 1, secret, sizeof(secret), NULL), 0);
	/* a producer killed in mid-record leaves bytes behind a shorter one's len: wiped too */
	f->records[0].len = 4;
	assert_int_equal(abi_ring_pop(&f->consumer, &record), 1);
	assert_true(base_is_zero_ct(f->records[0].payload, ABI_PAYLOAD_MAX));
	assert_int_equal(f->records[0].type, 0);
}

static void peek_repeats_until_freed(void **state)
{
	struct fixture *f = fresh(0);
	struct abi_record record;

	(void)state;
	assert_int_equal(push(f, 1), 0);
	assert_int_equal(push(f, 2), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(abi_ring_peek(&f->consumer, &record), 1);
		assert_int_equal(base_load_le64(record.payload), 1);
	}
	assert_int_equal(abi_ring_depth(&f->consumer), 2);
	abi_ring_free(&f->consumer);
	expect(f, 2);
}

static void restarted_side_goes_on_where_it_was(void **state)
{
	struct fixture *f = fresh(0);

	(void)state;
	for (uint64_t i = 0; i < 5; i++)
		assert_int_equal(push(f, i), 0);
	expect(f, 0);
	f->producer = abi_ring_end_make(&f->ring, f->records, N_SLOTS);
	f->consumer = abi_ring_end_make(&f->ring, f->records, N_SLOTS);
	for (uint64_t i = 5; i < 9; i++)
		assert_int_equal(push(f, i), 0);
	assert_int_equal(push(f, 9), -EAGAIN);
	for (uint64_t i = 1; i < 9; i++)
		expect(f, i);
	expect_empty(f);
}

/* ---- sleep ------------------------------------------------------------------------------------ */

static void sleeping_consumer_is_woken_once(void **state)
{
	struct fixture *f = fresh(0);
	bool wake = false;

	(void)state;
	assert_int_equal(abi_ring_push(&f->producer, 1, NULL, 0, &wake), 0);
	assert_false(wake); /* nobody sleeps */
	assert_false(abi_ring_sleep(&f->consumer));
	assert_int_equal(f->ring.consumer_sleeps, 0); /* there is work: nothing announced */
	abi_ring_free(&f->consumer);
	assert_true(abi_ring_sleep(&f->consumer));
	assert_int_equal(abi_ring_push(&f->producer, 1, NULL, 0, &wake), 0);
	assert_true(wake);
	/* a producer kicks once for several records: the next one does not take the kick back */
	assert_int_equal(abi_ring_push(&f->producer, 1, NULL, 0, &wake), 0);
	assert_true(wake);
	wake = false;
	assert_int_equal(abi_ring_push(&f->producer, 1, NULL, 0, &wake), 0);
	assert_false(wake);
}

#define N_THREADED 200000U

struct threaded {
	struct abi_ring ring;
	struct abi_record records[N_SLOTS];
	int wake_fd;
};

static void *produce(void *arg)
{
	struct threaded *t = arg;
	struct abi_ring_end end = abi_ring_end_make(&t->ring, t->records, N_SLOTS);
	uint64_t one = 1;

	for (uint64_t i = 0; i < N_THREADED;) {
		bool wake = false;
		int err = abi_ring_push(&end, 1, &i, sizeof(i), &wake);

		if (err == -EAGAIN) {
			sched_yield();
			continue;
		}
		if (err != 0 || (wake && write(t->wake_fd, &one, sizeof(one)) != sizeof(one)))
			return arg;
		i++;
	}
	return NULL;
}

/* The consumer blocks whenever the ring is empty: a lost wake-up would let the poll() time out. */
static void no_wakeup_is_lost_between_two_threads(void **state)
{
	static struct threaded t;
	struct abi_ring_end end = abi_ring_end_make(&t.ring, t.records, N_SLOTS);
	struct abi_record record;
	pthread_t thread;
	void *failed;
	uint64_t next = 0;

	(void)state;
	t.wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_true(t.wake_fd >= 0);
	assert_int_equal(pthread_create(&thread, NULL, produce, &t), 0);
	while (next < N_THREADED) {
		while (abi_ring_pop(&end, &record) == 1)
			assert_int_equal(base_load_le64(record.payload), next++);
		if (next == N_THREADED || !abi_ring_sleep(&end))
			continue;

		struct pollfd pfd = {.fd = t.wake_fd, .events = POLLIN};
		uint64_t kicks;

		assert_int_equal(poll(&pfd, 1, 10000), 1);
		assert_int_equal(read(t.wake_fd, &kicks, sizeof(kicks)), sizeof(kicks));
	}
	assert_int_equal(pthread_join(thread, &failed), 0);
	assert_null(failed);
	close(t.wake_fd);
}

/* ---- lies ------------------------------------------------------------------------------------- */

static void impossible_head_kills_the_ring_for_the_consumer(void **state)
{
	static const uint64_t heads[] = {N_SLOTS + 1, 1000, UINT64_MAX, UINT64_MAX / 2 + 1};

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(heads); i++) {
		struct fixture *f = fresh(0);
		struct abi_record record;

		f->ring.head = heads[i];
		assert_int_equal(abi_ring_pop(&f->consumer, &record), -EPROTO);
		assert_int_equal(abi_ring_pop(&f->consumer, &record), -EPROTO);
		assert_true(abi_ring_depth(&f->consumer) <= N_SLOTS);
		assert_false(abi_ring_sleep(&f->consumer)); /* not a reason to sleep */
		/* the same when it was there before we came */
		f->consumer = abi_ring_end_make(&f->ring, f->records, N_SLOTS);
		assert_int_equal(abi_ring_pop(&f->consumer, &record), -EPROTO);
		assert_int_equal(f->ring.tail, 0);
	}
}

static void impossible_tail_kills_the_ring_for_the_producer(void **state)
{
	static const uint64_t tails[] = {9, 1000, UINT64_MAX, UINT64_MAX / 2};

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(tails); i++) {
		struct fixture *f = fresh(0);

		for (uint64_t k = 0; k < N_SLOTS; k++)
			assert_int_equal(push(f, k), 0);
		f->ring.tail = tails[i];
		assert_int_equal(push(f, 8), -EPROTO);
		assert_true(abi_ring_depth(&f->producer) <= N_SLOTS);
		f->producer = abi_ring_end_make(&f->ring, f->records, N_SLOTS);
		assert_int_equal(push(f, 8), -EPROTO);
		assert_int_equal(f->ring.head, N_SLOTS);
	}
}

static void malformed_record_comes_out_without_type(void **state)
{
	struct fixture *f = fresh(0);
	struct abi_record record;

	(void)state;
	for (uint64_t i = 0; i < 4; i++)
		assert_int_equal(push(f, i), 0);
	f->records[0].len = ABI_PAYLOAD_MAX + 1;
	f->records[1].len = UINT16_MAX;
	f->records[2].seq = 77;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(abi_ring_pop(&f->consumer, &record), 1);
		assert_int_equal(record.type, 0);
		assert_int_equal(record.len, 0);
	}
	expect(f, 3);
}

/* The other side writes anything at all: we never read or write outside (ASan watches), never loop,
 * and what comes out has a sane length. */
static void garbage_in_the_ring_stays_in_the_ring(void **state)
{
	struct test_random random = test_random_start();

	(void)state;
	for (uint32_t round = 0; round < 2000; round++) {
		struct fixture *f = fresh(0);
		struct abi_record record;
		uint8_t *bytes = (uint8_t *)f;
		size_t shared = offsetof(struct fixture, producer);
		uint32_t n = 0;

		test_random_bytes(&random, bytes, shared);
		/* near enough to be believed, now and then */
		f->ring.head = test_random_below(&random, 2 * N_SLOTS);
		f->ring.tail = 0;
		f->consumer = abi_ring_end_make(&f->ring, f->records, N_SLOTS);
		while (abi_ring_pop(&f->consumer, &record) == 1) {
			assert_true(record.len <= ABI_PAYLOAD_MAX);
			assert_true(n++ < N_SLOTS);
		}
		(void)push(f, 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_come_out_in_order_over_many_wraps),
		cmocka_unit_test(indexes_wrap_at_64_bits),
		cmocka_unit_test(full_ring_refuses_and_changes_nothing),
		cmocka_unit_test(longest_payload_passes_and_longer_is_refused),
		cmocka_unit_test(freed_slot_holds_no_payload),
		cmocka_unit_test(peek_repeats_until_freed),
		cmocka_unit_test(restarted_side_goes_on_where_it_was),
		cmocka_unit_test(sleeping_consumer_is_woken_once),
		cmocka_unit_test(no_wakeup_is_lost_between_two_threads),
		cmocka_unit_test(impossible_head_kills_the_ring_for_the_consumer),
		cmocka_unit_test(impossible_tail_kills_the_ring_for_the_producer),
		cmocka_unit_test(malformed_record_comes_out_without_type),
		cmocka_unit_test(garbage_in_the_ring_stays_in_the_ring),
	};

	return cmocka_run_group_tests_name("abi_ring", tests, NULL, NULL);
}

/* Death of the producer and of the consumer: no record is lost, none torn; at most the last one of a
 * killed consumer comes twice. First at every single instruction of one push and of one free, by
 * stepping a child through it; then by kill -9 at random moments, two processes on a shared mapping,
 * restarted again and again for a bounded time. */
#include "abi_region.h"
#include "base_bytes.h"
#include "base_time.h"
#include "test.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUN_NS (1500 * BASE_NS_PER_MS)

/* What outlives the processes beside the ring. Each field has one writer. */
struct notes {
	_Alignas(64) uint64_t applied; /* consumer: number of the last record applied */
	uint64_t n_repeated;
	uint64_t n_typeless; /* freed half-way by a killed predecessor, applied already */
	uint64_t n_torn;
	uint64_t n_gaps;
	_Alignas(64) uint64_t produced; /* producer: records pushed, as it knew when it died */
};

struct payload {
	uint64_t number;
	uint64_t words[28];
	uint64_t sum;
};
_Static_assert(sizeof(struct payload) == ABI_PAYLOAD_MAX, "fills the record");

static void fill(struct payload *p, uint64_t number)
{
	p->number = number;
	p->sum = number;
	for (size_t i = 0; i < BASE_ARRAY_LEN(p->words); i++) {
		p->words[i] = number * 0x9e3779b97f4a7c15 + i;
		p->sum += p->words[i];
	}
}

/* ---- every instruction ------------------------------------------------------------------------ */

#define N_SLOTS 4U

struct stage {
	struct abi_ring ring;
	struct abi_record records[N_SLOTS];
};

static void push_numbered(struct abi_ring_end *end)
{
	struct payload payload;

	fill(&payload, end->head + 1);
	if (abi_ring_push(end, 1, &payload, sizeof(payload), NULL) != 0)
		abort();
}

static void push_one(struct abi_ring_end *end)
{
	push_numbered(end);
}

static void free_one(struct abi_ring_end *end)
{
	abi_ring_free(end);
}

/* The next record is the expected one, whole. Frees it. */
static void expect_whole(struct abi_ring_end *end, uint64_t number)
{
	struct abi_record record;
	struct payload expected;

	assert_int_equal(abi_ring_peek(end, &record), 1);
	assert_int_equal(record.type, 1);
	fill(&expected, number);
	assert_memory_equal(record.payload, &expected, sizeof(expected));
	abi_ring_free(end);
}

/* Records 7 and 8 wait (every slot was used before, so old bytes lie in them), and whoever was
 * stopped was pushing 9: what does a fresh consumer find? */
static void check_push(const struct stage *seen)
{
	struct stage copy = *seen;
	struct abi_ring_end end = abi_ring_end_make(&copy.ring, copy.records, N_SLOTS);
	struct abi_record record;

	expect_whole(&end, 7);
	expect_whole(&end, 8);
	if (abi_ring_depth(&end) != 0)
		expect_whole(&end, 9);
	assert_int_equal(abi_ring_peek(&end, &record), 0);
}

/* Whoever was stopped was freeing 7. */
static void check_free(const struct stage *seen)
{
	struct stage copy = *seen;
	struct abi_ring_end end = abi_ring_end_make(&copy.ring, copy.records, N_SLOTS);
	struct abi_record record;

	assert_int_equal(abi_ring_peek(&end, &record), 1);
	if (abi_ring_depth(&end) == 2) {
		if (record.type == 0)
			abi_ring_free(&end);
		else
			expect_whole(&end, 7);
	}
	expect_whole(&end, 8);
	assert_int_equal(abi_ring_peek(&end, &record), 0);
}

/* In a child: step is done under the eyes of its parent. */
static pid_t start_stepped(struct stage *stage, void (*step)(struct abi_ring_end *end))
{
	struct abi_ring_end end = abi_ring_end_make(&stage->ring, stage->records, N_SLOTS);
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0 || raise(SIGSTOP) != 0)
			_exit(1);
		step(&end);
		_exit(0);
	}
	assert_true(pid > 0);
	return pid;
}

static uint32_t step_through(void (*step)(struct abi_ring_end *end),
                             void (*check)(const struct stage *seen))
{
	struct stage *stage = mmap(NULL, sizeof(*stage), PROT_READ | PROT_WRITE,
	                           MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct abi_ring_end end;
	uint32_t n = 0;
	int status;

	assert_ptr_not_equal(stage, MAP_FAILED);
	end = abi_ring_end_make(&stage->ring, stage->records, N_SLOTS);
	for (int i = 0; i < 8; i++) {
		push_numbered(&end);
		if (i < 6)
			expect_whole(&end, (uint64_t)i + 1);
	}
	memset(stage->records[0].payload, 0x77, ABI_PAYLOAD_MAX); /* of a torn push before */

	pid_t pid = start_stepped(stage, step);

	assert_int_equal(waitpid(pid, &status, 0), pid);
	while (WIFSTOPPED(status)) {
		check(stage);
		n++;
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
	}
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	check(stage);
	munmap(stage, sizeof(*stage));
	return n;
}

static void every_instruction_of_a_push_is_a_fit_moment_to_die(void **state)
{
	uint32_t n = step_through(push_one, check_push);

	(void)state;
	print_message("# %u instructions\n", n);
	assert_true(n > 50);
}

static void every_instruction_of_a_free_is_a_fit_moment_to_die(void **state)
{
	uint32_t n = step_through(free_one, check_free);

	(void)state;
	print_message("# %u instructions\n", n);
	assert_true(n > 20);
}

/* ---- random kills ------------------------------------------------------------------------------ */

/* Numbers its records by the ring's own head, the only thing it finds again after a kill. */
static void produce(const struct abi_region *region, struct notes *notes, int wake_fd)
{
	struct abi_ring_end end = abi_region_event_ring(region, 0);
	uint64_t one = 1;
	struct payload payload;

	for (;;) {
		bool wake = false;

		fill(&payload, end.head + 1);
		if (abi_ring_push(&end, 1, &payload, sizeof(payload), &wake) == -EAGAIN) {
			sched_yield();
			continue;
		}
		__atomic_store_n(&notes->produced, end.head, __ATOMIC_RELAXED);
		if (wake && write(wake_fd, &one, sizeof(one)) != sizeof(one))
			_exit(1);
	}
}

static void apply(struct notes *notes, const struct abi_record *record)
{
	struct payload seen;
	struct payload expected;

	if (record->type == 0) {
		/* only right when its payload was applied before */
		notes->n_typeless++;
		return;
	}
	memcpy(&seen, record->payload, sizeof(seen));
	fill(&expected, seen.number);
	if (record->len != sizeof(seen) || memcmp(&seen, &expected, sizeof(seen)) != 0)
		notes->n_torn++;
	if (seen.number == notes->applied)
		notes->n_repeated++;
	else if (seen.number != notes->applied + 1)
		notes->n_gaps++;
	__atomic_store_n(&notes->applied, seen.number, __ATOMIC_RELAXED);
}

static void consume(const struct abi_region *region, struct notes *notes, int wake_fd)
{
	struct abi_ring_end end = abi_region_event_ring(region, 0);
	struct abi_record record;

	for (;;) {
		while (abi_ring_peek(&end, &record) == 1) {
			apply(notes, &record);
			abi_ring_free(&end);
		}
		if (!abi_ring_sleep(&end))
			continue;

		struct pollfd pfd = {.fd = wake_fd, .events = POLLIN};
		uint64_t kicks;

		/* the time limit covers a producer killed between push and kick */
		if (poll(&pfd, 1, 10) == 1 && read(wake_fd, &kicks, sizeof(kicks)) < 0
		    && errno != EAGAIN)
			_exit(1);
	}
}

typedef void side_fn(const struct abi_region *region, struct notes *notes, int wake_fd);

static pid_t start(side_fn *side, const struct abi_region *region, struct notes *notes, int wake_fd)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		side(region, notes, wake_fd);
		_exit(0);
	}
	assert_true(pid > 0);
	return pid;
}

static void stop(pid_t pid)
{
	int status;

	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void kills_leave_no_gap_and_no_torn_record(void **state)
{
	struct abi_setup setup = {.n_workers = 1};
	struct abi_region region;
	struct notes *notes = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
	                           -1, 0);
	int wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	struct test_random random = test_random_start();
	uint64_t end_ns = base_time_monotonic_ns() + RUN_NS;
	uint32_t n_kills[2] = {0, 0};
	pid_t pids[2];
	side_fn *const sides[2] = {produce, consume};

	(void)state;
	assert_ptr_not_equal(notes, MAP_FAILED);
	assert_true(wake_fd >= 0);
	assert_int_equal(abi_region_create(&setup, 1, 1, &region), 0);
	for (int i = 0; i < 2; i++)
		pids[i] = start(sides[i], &region, notes, wake_fd);
	while (base_time_monotonic_ns() < end_ns) {
		/* the pause is the random moment, not a wait for something */
		usleep((useconds_t)test_random_below(&random, 3000));

		uint64_t which = test_random_below(&random, 2);

		stop(pids[which]);
		n_kills[which]++;
		pids[which] = start(sides[which], &region, notes, wake_fd);
	}
	stop(pids[0]);

	/* the consumer must reach the producer's last record, however it was woken */
	uint64_t last = abi_region_event_ring(&region, 0).head;
	uint64_t limit_ns = base_time_monotonic_ns() + 5 * BASE_NS_PER_S;

	while (__atomic_load_n(&notes->applied, __ATOMIC_RELAXED) != last
	       && base_time_monotonic_ns() < limit_ns)
		usleep(1000);
	stop(pids[1]);
	print_message("# %llu records, %u producers and %u consumers killed, %llu repeated, "
	              "%llu half freed\n",
	              (unsigned long long)last, n_kills[0], n_kills[1],
	              (unsigned long long)notes->n_repeated, (unsigned long long)notes->n_typeless);
	assert_true(last > 1000);
	assert_true(n_kills[0] > 10 && n_kills[1] > 10);
	assert_int_equal(notes->applied, last);
	assert_int_equal(notes->n_gaps, 0);
	assert_int_equal(notes->n_torn, 0);
	assert_true(notes->n_repeated + notes->n_typeless <= n_kills[1]);
	close(wake_fd);
	abi_region_fini(&region);
	munmap(notes, 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_instruction_of_a_push_is_a_fit_moment_to_die),
		cmocka_unit_test(every_instruction_of_a_free_is_a_fit_moment_to_die),
		cmocka_unit_test(kills_leave_no_gap_and_no_torn_record),
	};

	return cmocka_run_group_tests_name("abi_crash", tests, NULL, NULL);
}

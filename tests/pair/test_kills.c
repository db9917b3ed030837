/* control/program and a dataplane on one region: either side killed, offers refused. Control is this
 * process, or a child where it must be killed. Waits end on a condition. */
#include "base_bytes.h"
#include "base_log.h"
#include "pair.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- kills ------------------------------------------------------------------------------------ */

/* Put a session into the region as a worker would. */
static void make_session(uint32_t worker, uint32_t slot)
{
	char path[64];
	struct abi_session session = {.index = abi_index_make(worker, slot, 0xab000000), .peer = 5};
	int fd = -1;

	/* The fake's mapping is found through /proc: the test has no region of its own. */
	for (int i = 3; i < 64; i++) {
		char target[64] = "";

		snprintf(path, sizeof(path), "/proc/%d/fd/%d", pair.pid, i);
		if (readlink(path, target, sizeof(target) - 1) > 0
		    && strncmp(target, "/memfd:weir", 11) == 0)
			fd = open(path, O_RDWR | O_CLOEXEC);
	}
	assert_true(fd >= 0);

	struct abi_region region;
	char why[160];

	assert_int_equal(abi_region_attach(fd, &region, why, sizeof(why)), 0);
	*abi_region_session(&region, worker, slot) = session;
	abi_region_fini(&region);
}

static int note_session(void *arg, uint32_t worker, uint32_t slot,
                        const struct abi_session *session)
{
	uint32_t *sum = arg;

	assert_int_equal(session->index, abi_index_make(worker, slot, 0xab000000));
	*sum += worker * 100000 + slot;
	return 0;
}

static void killed_dataplane_is_followed_by_one_with_its_region(void **state)
{
	uint32_t sum = 0;
	uint64_t epoch;

	(void)state;
	pair_start();
	pair_fill_desired_state();
	PAIR_RUN_UNTIL(pair_count_type(ABI_CMD_NEIGHBOUR_PUT) == PAIR_N_WORKERS);
	epoch = pair.fake->epoch;
	make_session(0, 3);
	make_session(1, 32000);
	fake_kill(pair.pid);
	PAIR_RUN_UNTIL(pair.seen.n_detached == 1);
	assert_false(program_is_attached(pair.program));
	fake_clear_log(pair.fake);
	pair.pid = fake_start(pair.fake, pair.path);
	PAIR_RUN_UNTIL(pair_count_type(ABI_CMD_SYNC_END) == PAIR_N_WORKERS);
	assert_int_equal(pair.seen.n_attached, 2);
	assert_true(pair.seen.resumed);
	assert_true(pair.fake->epoch == epoch);
	for (uint32_t w = 0; w < PAIR_N_WORKERS; w++)
		pair_expect_whole_state(w);
	assert_int_equal(program_session_each(pair.program, note_session, &sum), 0);
	assert_int_equal(sum, 100000 + 3 + 32000);
}

/* What a dying dataplane said last is heard, and answered into the ring for the next. */
static void last_words_of_a_killed_dataplane_are_heard(void **state)
{
	struct abi_event_handshake handshake = {.len = 92};

	(void)state;
	pair_start();
	PAIR_RUN_UNTIL(pair_count_type(ABI_CMD_SYNC_END) == PAIR_N_WORKERS);
	pair.fake->event.type = ABI_EVENT_HANDSHAKE;
	pair.fake->event.len = sizeof(handshake);
	memcpy(pair.fake->event.payload, &handshake, sizeof(handshake));
	__atomic_add_fetch(&pair.fake->n_events_asked, 1, __ATOMIC_RELEASE);
	/* control does not run meanwhile */
	while (__atomic_load_n(&pair.fake->n_events_sent, __ATOMIC_ACQUIRE) == 0)
		usleep(1000);
	fake_kill(pair.pid);
	PAIR_RUN_UNTIL(pair.seen.n_detached == 1);
	pair.pid = 0;
	assert_int_equal(pair.seen.n_handshakes, 1);
}

/* Its rings are as full as they can be whenever control looks. */
static void one_that_hung_up_is_not_listened_to_for_ever(void **state)
{
	(void)state;
	pair_start();
	PAIR_RUN_UNTIL(pair_count_type(ABI_CMD_SYNC_END) == PAIR_N_WORKERS);
	pair.seen.wanted_us = 100;
	alarm(PAIR_LIMIT_S); /* what control does not come back from, nothing else ends */
	__atomic_store_n(&pair.fake->babbles, 1, __ATOMIC_RELEASE);
	PAIR_RUN_UNTIL(pair.seen.n_detached == 1);
	alarm(0);
	assert_true(pair.seen.n_wanted >= ABI_EVENT_SLOTS);
	fake_kill(pair.pid);
	pair.pid = 0;
}

static void dataplane_killed_again_and_again_always_gets_back(void **state)
{
	struct test_random random = test_random_start();

	(void)state;
	pair_start();
	pair_fill_desired_state();
	for (uint32_t i = 1; i <= 20; i++) {
		__atomic_store_n(&pair.fake->n_floods, 300, __ATOMIC_RELEASE);
		usleep((useconds_t)test_random_below(&random, 3000));
		fake_kill(pair.pid);
		PAIR_RUN_UNTIL(pair.seen.n_detached == i);
		pair.fake->n_floods = 0;
		fake_clear_log(pair.fake);
		pair.pid = fake_start(pair.fake, pair.path);
		PAIR_RUN_UNTIL(pair.seen.n_attached == i + 1
		               && pair_count_type(ABI_CMD_SYNC_END) == PAIR_N_WORKERS);
	}
}

/* A control of its own process, to be killed. Returns its pid. */
static pid_t start_control(void)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	event_reinit(pair.base);

	struct program_setup setup = pair_make_setup();
	struct abi_fds devices;

	abi_fds_init(&devices);
	devices.tun = open("/dev/zero", O_RDWR | O_CLOEXEC);
	pair_create(&setup);
	pair_fill_desired_state();
	if (program_start(pair.program, &devices) != 0)
		_exit(1);
	event_base_dispatch(pair.base);
	_exit(0);
}

static void wait_for_log(uint16_t type, uint32_t n)
{
	uint64_t limit_ns = base_time_monotonic_ns() + PAIR_LIMIT_S * BASE_NS_PER_S;

	while (pair_count_type(type) < n) {
		if (base_time_monotonic_ns() > limit_ns)
			fail_msg("dataplane waited in vain for command %u", type);
		usleep(1000);
	}
}

/* region, control's eventfd, TUN, and an eventfd a worker */
#define FD_MASK (7U | ((1U << PAIR_N_WORKERS) - 1U) << (3U + ABI_PORTS_MAX))

static void killed_control_is_followed_by_one_that_adopts(void **state)
{
	struct program_setup setup = pair_make_setup();
	pid_t control = start_control();
	uint64_t epoch;

	(void)state;
	assert_true(control > 0);
	pair.pid = fake_start(pair.fake, pair.path);
	wait_for_log(ABI_CMD_SYNC_END, PAIR_N_WORKERS);
	assert_int_equal(pair.fake->fd_mask, FD_MASK);
	epoch = pair.fake->epoch;
	make_session(1, 9);
	fake_kill(control);
	fake_clear_log(pair.fake);

	setup.has_tun = true;
	pair_create(&setup);
	assert_int_equal(program_adopt(pair.program, 5000), 1);
	pair_fill_desired_state();
	assert_int_equal(program_start(pair.program, NULL), 0);
	PAIR_RUN_UNTIL(pair_count_type(ABI_CMD_SYNC_END) == PAIR_N_WORKERS);
	assert_int_equal(pair.seen.n_attached, 1);
	assert_true(pair.seen.resumed);
	assert_true(pair.fake->epoch == epoch);
	assert_int_equal(program_dataplane_pid(pair.program), pair.pid);
	for (uint32_t w = 0; w < PAIR_N_WORKERS; w++)
		pair_expect_whole_state(w);

	/* and the adopted descriptors serve the next dataplane */
	fake_kill(pair.pid);
	PAIR_RUN_UNTIL(pair.seen.n_detached == 1);
	pair.pid = fake_start(pair.fake, pair.path);
	PAIR_RUN_UNTIL(pair.seen.n_attached == 2 && pair_n_attached() == 3);
	assert_int_equal(pair.fake->fd_mask, FD_MASK);
	assert_true(pair.fake->epoch == epoch);
}

/* ---- refusals --------------------------------------------------------------------------------- */

static void dataplane_of_another_setup_is_sent_away(void **state)
{
	struct program_setup setup = pair_make_setup();
	pid_t control = start_control();

	(void)state;
	pair.pid = fake_start(pair.fake, pair.path);
	wait_for_log(ABI_CMD_SYNC_END, PAIR_N_WORKERS);
	fake_kill(control);

	setup.dataplane.tunnel_mtu = 1380;
	pair_create(&setup);
	assert_int_equal(program_adopt(pair.program, 5000), 0);
	/* it has gone when program_adopt() returns, or is about to */
	assert_int_equal(fake_wait(pair.pid), FAKE_EXIT_REFUSED);
	assert_non_null(strstr(pair.fake->reason, "configuration has changed"));
	assert_int_equal(program_start(pair.program, NULL), 0);
	pair.pid = fake_start(pair.fake, pair.path);
	PAIR_RUN_UNTIL(pair.seen.n_attached == 1);
	assert_false(pair.seen.resumed);
}

static void offer_without_a_needed_descriptor_is_sent_away(void **state)
{
	struct program_setup setup = pair_make_setup();

	(void)state;
	setup.dataplane.ports[0].has_tap = 1;
	/* the first control forgets the TAP that its set-up names */
	pair_create(&setup);
	assert_int_equal(program_start(pair.program, NULL), 0);
	pair.pid = fake_start(pair.fake, pair.path);
	PAIR_RUN_UNTIL(pair.seen.n_attached == 1);
	program_destroy(pair.program);
	pair_create(&setup);
	assert_int_equal(program_adopt(pair.program, 5000), 0);
	assert_int_equal(fake_wait(pair.pid), FAKE_EXIT_REFUSED);
	pair.pid = 0;
	assert_non_null(strstr(pair.fake->reason, "TAP of port wan0"));
}

static void dataplane_that_comes_late_with_its_region_is_refused(void **state)
{
	struct program_setup setup = pair_make_setup();
	pid_t control = start_control();

	(void)state;
	pair.pid = fake_start(pair.fake, pair.path);
	wait_for_log(ABI_CMD_SYNC_END, PAIR_N_WORKERS);
	assert_int_equal(kill(pair.pid, SIGSTOP), 0);
	fake_kill(control);
	pair_create(&setup);
	assert_int_equal(program_adopt(pair.program, 10), 0); /* nobody speaks in time */
	assert_int_equal(program_start(pair.program, NULL), 0);
	assert_int_equal(kill(pair.pid, SIGCONT), 0);
	PAIR_RUN_UNTIL(pair.fake->reason[0] != '\0');
	assert_int_equal(fake_wait(pair.pid), FAKE_EXIT_REFUSED);
	pair.pid = 0;
	assert_int_equal(pair.seen.n_attached, 0);
}

static void second_dataplane_is_refused_while_the_first_lives(void **state)
{
	struct fake *second = fake_create();
	pid_t pid;

	(void)state;
	pair_start();
	assert_non_null(second);
	pid = fake_start(second, pair.path);
	PAIR_RUN_UNTIL(second->reason[0] != '\0');
	assert_int_equal(fake_wait(pid), FAKE_EXIT_REFUSED);
	assert_non_null(strstr(second->reason, "another dataplane is attached"));
	assert_true(program_is_attached(pair.program));
	assert_int_equal(pair.seen.n_detached, 0);
	fake_destroy(second);
}

static void corrupt_ring_ends_the_region(void **state)
{
	uint64_t epoch;

	(void)state;
	pair_start();
	epoch = pair.fake->epoch;
	__atomic_store_n(&pair.fake->corrupt, 1, __ATOMIC_RELEASE);
	PAIR_RUN_UNTIL(pair.seen.n_detached == 1);
	PAIR_RUN_UNTIL(pair.fake->reason[0] != '\0'); /* it offered the region again */
	assert_int_equal(fake_wait(pair.pid), FAKE_EXIT_REFUSED);
	assert_non_null(strstr(pair.fake->reason, "corrupt"));
	pair.pid = fake_start(pair.fake, pair.path);
	PAIR_RUN_UNTIL(pair.seen.n_attached == 2 && pair_n_attached() == 2);
	assert_false(pair.fake->epoch == epoch);
	assert_false(pair.seen.resumed);
}

static void second_control_is_refused(void **state)
{
	struct program_setup setup = pair_make_setup();
	struct program *second;

	(void)state;
	pair_create(&setup);
	base_log_init("test", BASE_LOG_ERR);
	assert_int_equal(program_create(pair.base, &setup, &pair_callbacks, &second), -EADDRINUSE);
	setup.n_peers = 0;
	assert_int_equal(program_create(pair.base, &setup, &pair_callbacks, &second), -EINVAL);
	base_log_init("test", BASE_LOG_ERR);
}

static void strangers_word_and_silence_do_no_harm(void **state)
{
	struct program_setup setup = pair_make_setup();
	int silent;
	int rude;

	(void)state;
	pair_create(&setup);
	assert_int_equal(program_start(pair.program, NULL), 0);
	silent = abi_rendezvous_connect(pair.path, (uid_t)-1);
	rude = abi_rendezvous_connect(pair.path, (uid_t)-1);
	assert_true(silent >= 0 && rude >= 0);
	assert_int_equal(write(rude, "GET / HTTP/1.1", 14), 14);
	pair.pid = fake_start(pair.fake, pair.path);
	PAIR_RUN_UNTIL(pair.seen.n_attached == 1);
	close(silent);
	close(rude);
}

static void counters_of_control_count_and_survive_it(void **state)
{
	struct program_setup setup = pair_make_setup();

	(void)state;
	pair_start();
	program_count(pair.program, ABI_COUNTER_HS_INITIATION_IN, 3);
	assert_int_equal(program_counter(pair.program, ABI_COUNTER_HS_INITIATION_IN), 3);
	program_destroy(pair.program);
	pair_create(&setup);
	assert_int_equal(program_counter(pair.program, ABI_COUNTER_HS_INITIATION_IN), 0);
	assert_int_equal(program_adopt(pair.program, 5000), 1);
	assert_int_equal(program_start(pair.program, NULL), 0);
	program_count(pair.program, ABI_COUNTER_HS_INITIATION_IN, 1);
	assert_int_equal(program_counter(pair.program, ABI_COUNTER_HS_INITIATION_IN), 4);
	assert_int_equal(program_peer_counters(pair.program, 0).rx_packets, 0);
	assert_int_equal(program_n_slots(pair.program), 4 * PAIR_N_PEERS);
	assert_int_equal(program_n_workers(pair.program), PAIR_N_WORKERS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAIR_CASE(killed_dataplane_is_followed_by_one_with_its_region),
		PAIR_CASE(last_words_of_a_killed_dataplane_are_heard),
		PAIR_CASE(one_that_hung_up_is_not_listened_to_for_ever),
		PAIR_CASE(dataplane_killed_again_and_again_always_gets_back),
		PAIR_CASE(killed_control_is_followed_by_one_that_adopts),
		PAIR_CASE(dataplane_of_another_setup_is_sent_away),
		PAIR_CASE(offer_without_a_needed_descriptor_is_sent_away),
		PAIR_CASE(dataplane_that_comes_late_with_its_region_is_refused),
		PAIR_CASE(second_dataplane_is_refused_while_the_first_lives),
		PAIR_CASE(corrupt_ring_ends_the_region),
		PAIR_CASE(second_control_is_refused),
		PAIR_CASE(strangers_word_and_silence_do_no_harm),
		PAIR_CASE(counters_of_control_count_and_survive_it),
	};

	base_log_init("test", BASE_LOG_ERR);
	return cmocka_run_group_tests_name("pair_kills", tests, NULL, NULL);
}

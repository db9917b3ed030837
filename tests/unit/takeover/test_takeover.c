/* takeover.c against takeover_ask.c: the one that is asked runs an event loop here, the one that asks a thread. */
#include "takeover.h"
#include "test.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define N_EDGE 40 /* more than one message takes */

static char directory[] = "/tmp/weir-test-takeover-XXXXXX";
static char path[64];

struct old {
	struct event_base *base;
	struct takeover *takeover;
	size_t n_edge; /* listeners to give */
	_Atomic bool is_over;
	uint32_t n_asked, n_gone, n_ready;
};

static int same_file(int fd, uint64_t value)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == (ssize_t)sizeof(n) && n == value ? 0 : -1;
}

static void on_asked(void *arg)
{
	struct old *old = arg;
	int fds[N_EDGE];
	int one;

	old->n_asked++;
	one = eventfd(1, EFD_CLOEXEC);
	assert_int_equal(takeover_give(old->takeover, TAKEOVER_SERVE, &one, 1), 0);
	close(one);
	for (size_t i = 0; i < old->n_edge; i++)
		fds[i] = eventfd(1, EFD_CLOEXEC);
	assert_int_equal(takeover_give(old->takeover, TAKEOVER_EDGE, fds, old->n_edge), 0);
	assert_int_equal(takeover_give(old->takeover, TAKEOVER_CLIENTS, fds, 2), 0);
	for (size_t i = 0; i < old->n_edge; i++)
		close(fds[i]);
	takeover_close(old->takeover);
	assert_int_equal(takeover_given(old->takeover), 0);
}

static void on_gone(void *arg)
{
	struct old *old = arg;

	old->n_gone++;
	atomic_store(&old->is_over, true);
}

static void on_ready(void *arg)
{
	struct old *old = arg;

	old->n_ready++;
	atomic_store(&old->is_over, true);
}

static const struct takeover_versions versions = {.abi = 5, .store = 9, .set_up = 77};

static void old_start(struct old *old)
{
	const struct takeover_events events = {
		.asked = on_asked, .gone = on_gone, .ready = on_ready, .arg = old};

	old->base = event_base_new();
	assert_int_equal(takeover_create(old->base, path, &versions, &events, &old->takeover), 0);
}

static void old_end(struct old *old)
{
	takeover_destroy(old->takeover);
	event_base_free(old->base);
	unlink(path);
}

struct fresh {
	struct takeover_versions versions;
	bool dies; /* once it has the gift */
	struct takeover_gift gift;
	char error[256];
	int r;
	struct old *old;
};

static void *fresh_main(void *arg)
{
	struct fresh *fresh = arg;

	takeover_gift_init(&fresh->gift);
	fresh->r = takeover_ask(path, &fresh->versions, &fresh->gift, fresh->error,
	                        sizeof(fresh->error));
	if (fresh->r == 0 && !fresh->dies)
		fresh->r = takeover_ready(&fresh->gift);
	else if (fresh->r == 0)
		takeover_gift_fini(&fresh->gift);
	else /* nobody calls back */
		atomic_store(&fresh->old->is_over, true);
	return NULL;
}

static void run(struct old *old, struct fresh *fresh)
{
	pthread_t thread;

	fresh->old = old;
	atomic_store(&old->is_over, false);
	assert_int_equal(pthread_create(&thread, NULL, fresh_main, fresh), 0);
	while (!atomic_load(&old->is_over))
		event_base_loop(old->base, EVLOOP_NONBLOCK);
	pthread_join(thread, NULL);
}

static void every_descriptor_arrives_and_ready_is_told(void **state)
{
	struct old old = {.n_edge = N_EDGE};
	struct fresh fresh = {.versions = versions};

	(void)state;
	old_start(&old);
	run(&old, &fresh);
	assert_int_equal(fresh.r, 0);
	assert_int_equal(fresh.gift.n_edge, N_EDGE);
	assert_int_equal(fresh.gift.n_clients, 2);
	assert_int_equal(fresh.gift.uapi, -1);
	assert_int_equal(same_file(fresh.gift.serve, 1), 0);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(same_file(fresh.gift.clients[i], 1), 0);
	assert_int_equal(old.n_asked, 1);
	assert_int_equal(old.n_ready, 1);
	assert_int_equal(old.n_gone, 0);
	takeover_gift_fini(&fresh.gift);
	old_end(&old);
}

static void other_versions_are_refused_with_both_named_and_nobody_is_asked(void **state)
{
	static const struct {
		struct takeover_versions versions;
		const char *says;
	} cases[] = {
		{{6, 9, 77}, "has ABI version 5, the new one 6"},
		{{5, 8, 77}, "has store schema 9, the new one 8"},
		{{5, 9, 78}, "the configuration has changed"},
	};
	struct old old = {0};

	(void)state;
	old_start(&old);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fresh fresh = {.versions = cases[i].versions};

		run(&old, &fresh);
		assert_int_equal(fresh.r, -EACCES);
		assert_non_null(strstr(fresh.error, cases[i].says));
		takeover_gift_fini(&fresh.gift);
	}
	assert_int_equal(old.n_asked, 0);
	assert_int_equal(old.n_gone, 0);
	old_end(&old);
}

static void death_after_the_gift_is_told(void **state)
{
	struct old old = {.n_edge = 2};
	struct fresh fresh = {.versions = versions, .dies = true};

	(void)state;
	old_start(&old);
	run(&old, &fresh);
	assert_int_equal(old.n_asked, 1);
	assert_int_equal(old.n_gone, 1);
	assert_int_equal(old.n_ready, 0);
	old_end(&old);
}

static int dial(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void nonsense_ends_the_connection_and_the_next_one_is_heard(void **state)
{
	struct old old = {.n_edge = 2};
	struct fresh fresh = {.versions = versions};
	char answer[8];
	int fd;

	(void)state;
	old_start(&old);
	fd = dial();
	assert_int_equal(send(fd, "READY", 5, MSG_NOSIGNAL), 5);
	for (int i = 0; i < 4; i++)
		event_base_loop(old.base, EVLOOP_NONBLOCK);
	assert_int_equal(recv(fd, answer, sizeof(answer), MSG_DONTWAIT), 0);
	close(fd);
	run(&old, &fresh);
	assert_int_equal(fresh.r, 0);
	assert_int_equal(old.n_asked, 1);
	takeover_gift_fini(&fresh.gift);
	old_end(&old);
}

static void one_at_a_time(void **state)
{
	struct old old = {.n_edge = 2};
	struct fresh fresh = {.versions = versions};
	int fd;

	(void)state;
	old_start(&old);
	fd = dial();
	for (int i = 0; i < 4; i++)
		event_base_loop(old.base, EVLOOP_NONBLOCK);
	run(&old, &fresh);
	assert_int_not_equal(fresh.r, 0);
	assert_int_equal(old.n_asked, 0);
	takeover_gift_fini(&fresh.gift);
	close(fd);
	old_end(&old);
}

static void nobody_there_is_said(void **state)
{
	struct takeover_gift gift;
	char error[256] = "";

	(void)state;
	takeover_gift_init(&gift);
	assert_int_not_equal(takeover_ask(path, &versions, &gift, error, sizeof(error)), 0);
	assert_non_null(strstr(error, "no weir-control to take over from"));
	takeover_gift_fini(&gift);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_descriptor_arrives_and_ready_is_told),
		cmocka_unit_test(other_versions_are_refused_with_both_named_and_nobody_is_asked),
		cmocka_unit_test(death_after_the_gift_is_told),
		cmocka_unit_test(nonsense_ends_the_connection_and_the_next_one_is_heard),
		cmocka_unit_test(one_at_a_time),
		cmocka_unit_test(nobody_there_is_said),
	};
	int n_failed;

	if (mkdtemp(directory) == NULL)
		return 1;
	snprintf(path, sizeof(path), "%s/sock", directory);
	n_failed = cmocka_run_group_tests_name("takeover", tests, NULL, NULL);
	rmdir(directory);
	return n_failed;
}

/* The child's loop: rendezvous, then commands, events and the connection in turn. */
#include "fake_dataplane.h"

#include "base_bytes.h"
#include "fake_check.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The child's own state. */
struct dataplane {
	struct fake *fake;
	const char *path;
	int connection;
	bool has_region;
	struct abi_region region;
	struct abi_fds fds; /* region is -1 */
	struct abi_ring_end cmd[ABI_WORKERS_MAX];
	struct abi_ring_end event[ABI_WORKERS_MAX];
	struct abi_blob_message answers[FAKE_BLOBS_MAX]; /* that are owed, by number of the blob */
	uint32_t n_answered;
	struct fake_check check[ABI_WORKERS_MAX];
	uint32_t worker; /* whose answers are being sent */
};

#define GET(field)        __atomic_load_n(&(field), __ATOMIC_ACQUIRE)
#define SET(field, value) __atomic_store_n(&(field), value, __ATOMIC_RELEASE)

static void pause_ms(long ms)
{
	const struct timespec t = {.tv_nsec = ms * 1000000};

	nanosleep(&t, NULL);
}

/* ---- rendezvous ------------------------------------------------------------------------------- */

static void take_region(struct dataplane *dp, struct abi_fds *fds)
{
	char why[160];

	if (abi_region_attach(fds->region, &dp->region, why, sizeof(why)) != 0)
		_exit(FAKE_EXIT_FAILED);
	fds->region = -1;
	dp->fds = *fds;
	dp->has_region = true;
	for (uint32_t i = 0; i < dp->region.n_workers; i++) {
		dp->cmd[i] = abi_region_cmd_ring(&dp->region, i);
		dp->event[i] = abi_region_event_ring(&dp->region, i);
	}

	struct abi_header *header = abi_region_header(&dp->region);

	header->dataplane_pid = (uint32_t)getpid();
	header->dataplane_generation++;
}

static void meet(struct dataplane *dp)
{
	struct abi_hello hello = {.epoch = dp->has_region ? dp->region.epoch : 0};
	struct abi_fds fds = dp->fds;
	char why[160];

	while ((dp->connection = abi_rendezvous_connect(dp->path, (uid_t)-1)) < 0)
		pause_ms(5);
	fds.region = dp->has_region ? dp->region.fd : -1;
	if (abi_rendezvous_send(dp->connection, &hello, dp->has_region ? &fds : NULL) != 0
	    || abi_rendezvous_receive(dp->connection, &hello, &fds, 10000, why, sizeof(why)) != 0) {
		close(dp->connection); /* control died in between: try the next */
		dp->connection = -1;
		return;
	}
	if (hello.refused != 0) {
		memcpy(dp->fake->reason, hello.reason, sizeof(hello.reason));
		_exit(FAKE_EXIT_REFUSED);
	}
	if (!dp->has_region)
		take_region(dp, &fds);
	else if (hello.epoch != dp->region.epoch || hello.fd_mask != 0)
		_exit(FAKE_EXIT_FAILED);
	dp->fake->fd_mask = hello.fd_mask;
	dp->fake->epoch = hello.epoch;
	SET(dp->fake->n_attached, dp->fake->n_attached + 1);
}

/* ---- commands and events ----------------------------------------------------------------------- */

static bool send_event(struct dataplane *dp, uint32_t worker, const struct abi_record *event)
{
	uint64_t one = 1;
	bool wake = false;

	if (abi_ring_push(&dp->event[worker], event->type, event->payload, event->len, &wake) != 0)
		return false;
	if (wake && write(dp->fds.control_wake, &one, sizeof(one)) != sizeof(one))
		_exit(FAKE_EXIT_FAILED);
	return true;
}

/* Waits for room, as an answer to a check may. */
static void send_answer(void *arg, const struct abi_record *event)
{
	struct dataplane *dp = arg;

	while (!send_event(dp, dp->worker, event))
		pause_ms(1);
}

static void take_check(struct dataplane *dp, uint32_t worker, const struct abi_record *record)
{
	struct abi_cmd_check cmd;

	memcpy(&cmd, record->payload, sizeof(cmd));
	dp->worker = worker;
	if (GET(dp->fake->deaf) == 0)
		fake_check_answer(&dp->check[worker], &cmd, send_answer, dp);
}

static bool take_commands(struct dataplane *dp)
{
	struct fake *fake = dp->fake;
	bool any = false;

	for (uint32_t w = 0; w < dp->region.n_workers; w++) {
		struct abi_record record;
		int found = abi_ring_peek(&dp->cmd[w], &record);

		if (found < 0 || (found == 1 && fake->n_log == FAKE_LOG_MAX))
			_exit(FAKE_EXIT_FAILED);
		if (found == 0)
			continue;
		fake->log[fake->n_log].worker = w;
		fake->log[fake->n_log].record = record;
		SET(fake->n_log, fake->n_log + 1);
		abi_ring_free(&dp->cmd[w]);
		dp->check[w].writes_routes = w == ABI_ROUTE_WORKER;
		if (record.type == ABI_CMD_CHECK)
			take_check(dp, w, &record);
		else
			fake_check_apply(&dp->check[w], dp->region.n_peers, &record);
		any = true;
	}
	return any;
}

/* The ring is full when it hangs up, and whenever there is room again. */
static _Noreturn void babble(struct dataplane *dp)
{
	const struct abi_event_session event = {.peer = 0};
	struct abi_record record = {.type = ABI_EVENT_SESSION_WANTED, .len = sizeof(event)};

	memcpy(record.payload, &event, sizeof(event));
	while (send_event(dp, 0, &record))
		;
	close(dp->connection);
	for (;;)
		if (!send_event(dp, 0, &record))
			sched_yield();
}

static void send_events(struct dataplane *dp)
{
	struct fake *fake = dp->fake;

	if (GET(fake->babbles) != 0)
		babble(dp);
	while (GET(fake->n_events_asked) > fake->n_events_sent
	       && send_event(dp, fake->event_worker, &fake->event))
		SET(fake->n_events_sent, fake->n_events_sent + 1);
	for (uint32_t n = GET(fake->n_floods), i = 0; i < n;) {
		struct abi_event_session event = {.peer = i};
		struct abi_record record = {.type = ABI_EVENT_SESSION_WANTED, .len = sizeof(event)};

		memcpy(record.payload, &event, sizeof(event));
		if (send_event(dp, 0, &record))
			i++;
		else
			pause_ms(1);
		if (i == n)
			SET(fake->n_floods, 0);
	}
	if (GET(fake->corrupt) != 0) {
		SET(dp->event[0].ring->head, UINT64_MAX / 2);
		SET(fake->corrupt, 0);
	}
}

/* ---- blobs ------------------------------------------------------------------------------------ */

static uint64_t hash_of(int fd)
{
	struct stat st;
	uint64_t hash;
	void *p;

	if (fstat(fd, &st) != 0)
		_exit(FAKE_EXIT_FAILED);
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		_exit(FAKE_EXIT_FAILED);
	hash = abi_blob_hash(p, (size_t)st.st_size);
	munmap(p, (size_t)st.st_size);
	return hash;
}

static void take_blobs(struct dataplane *dp)
{
	struct fake *fake = dp->fake;
	uint32_t n = fake->n_blobs;
	int fd;
	int err;

	while ((err = abi_blob_receive(dp->connection, &dp->answers[n % FAKE_BLOBS_MAX], &fd))
	       == 0) {
		if (n == FAKE_BLOBS_MAX)
			_exit(FAKE_EXIT_FAILED);
		fake->blobs[n].kind = dp->answers[n].kind;
		fake->blobs[n].generation = dp->answers[n].generation;
		fake->blobs[n].has_fd = fd >= 0;
		fake->blobs[n].hash = fd >= 0 ? hash_of(fd) : 0;
		if (fd >= 0)
			close(fd);
		SET(fake->n_blobs, ++n);
	}
	if (err == -EAGAIN)
		return;
	close(dp->connection); /* the end of control */
	dp->connection = -1;
	dp->n_answered = n; /* a new one sends all anew */
}

/* As each worker says which it uses. */
static void use_blob(struct dataplane *dp, uint32_t number)
{
	const struct fake *fake = dp->fake;
	uint32_t n = dp->region.n_workers - (GET(fake->loses_blobs) != 0);

	for (uint32_t w = 0; w < n; w++) {
		struct abi_blob_status *status =
			&abi_region_worker_status(&dp->region, w)->blobs[fake->blobs[number].kind];

		SET(status->hash, fake->blobs[number].hash);
		SET(status->generation, fake->blobs[number].generation);
	}
}

static void answer_blobs(struct dataplane *dp)
{
	while (dp->connection >= 0 && GET(dp->fake->keeps_blobs) == 0
	       && dp->n_answered < dp->fake->n_blobs) {
		struct abi_blob_message *answer = &dp->answers[dp->n_answered++];

		answer->err = GET(dp->fake->blob_err);
		if (answer->err == 0)
			use_blob(dp, dp->n_answered - 1);
		snprintf(answer->reason, sizeof(answer->reason), "%s",
		         answer->err == 0 ? "" : "as the test wants");
		/* Control may be gone: its end is read next. */
		if (abi_blob_send(dp->connection, answer, -1) != 0)
			return;
	}
}

static void run(struct dataplane *dp)
{
	for (;;) {
		while (dp->connection < 0)
			meet(dp);
		send_events(dp);
		answer_blobs(dp);

		bool busy = GET(dp->fake->stalled) == 0 && take_commands(dp);
		struct pollfd pfd = {.fd = dp->connection, .events = POLLIN};

		if (poll(&pfd, 1, busy ? 0 : 1) == 1)
			take_blobs(dp);
	}
}

/* ---- the test's side --------------------------------------------------------------------------- */

struct fake *fake_create(void)
{
	void *p = mmap(NULL, sizeof(struct fake), PROT_READ | PROT_WRITE,
	               MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

void fake_destroy(struct fake *fake)
{
	munmap(fake, sizeof(*fake));
}

pid_t fake_start(struct fake *fake, const char *path)
{
	struct dataplane dp = {.fake = fake, .path = path, .connection = -1};
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* The test's own descriptors, above all its listening socket, are not ours. */
	closefrom(3);
	abi_fds_init(&dp.fds);
	dp.n_answered = fake->n_blobs;
	fake->pid = (uint32_t)getpid();
	run(&dp);
	_exit(FAKE_EXIT_FAILED);
}

void fake_kill(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

int fake_wait(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

uint32_t fake_n_log(const struct fake *fake)
{
	return GET(fake->n_log);
}

void fake_clear_log(struct fake *fake)
{
	SET(fake->n_log, 0);
}

uint32_t fake_n_blobs(const struct fake *fake, enum abi_blob kind)
{
	uint32_t n_all = GET(fake->n_blobs);
	uint32_t n = 0;

	for (uint32_t i = 0; i < n_all; i++)
		n += fake->blobs[i].kind == kind;
	return n;
}

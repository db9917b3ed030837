/* Meeting the dataplane: who may come in, whose region is used, and what happens when it goes. */
#include "base_bytes.h"
#include "base_time.h"
#include "program_private.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define HELLO_TIMEOUT_S 2
#define AWAY_NS         (1500 * BASE_NS_PER_MS) /* for one that was refused, to go */

/* ---- region ----------------------------------------------------------------------------------- */

/* The eventfds that wake control and each worker, once. Returns 0 or -errno; what was made stays. */
static int make_wakes(struct program *program)
{
	int *wakes[1 + ABI_WORKERS_MAX] = {&program->fds.control_wake};

	for (uint32_t i = 0; i < program->setup.dataplane.n_workers; i++)
		wakes[1 + i] = &program->fds.worker_wake[i];
	for (uint32_t i = 0; i < 1 + program->setup.dataplane.n_workers; i++) {
		if (*wakes[i] < 0)
			*wakes[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (*wakes[i] < 0)
			return -errno;
	}
	return 0;
}

int program__link_make_region(struct program *program)
{
	const struct program_setup *setup = &program->setup;
	uint64_t epoch = 0;
	int err;

	while (epoch == 0)
		if (getrandom(&epoch, sizeof(epoch), 0) != (ssize_t)sizeof(epoch))
			return -errno;
	err = make_wakes(program);
	if (err != 0)
		return err;

	struct abi_region fresh;

	err = abi_region_create(&setup->dataplane, setup->n_peers, epoch, &fresh);
	if (err != 0)
		return err;
	if (program->has_region)
		abi_region_fini(&program->region);
	program->region = fresh;
	program->has_region = true;
	program->region_is_bad = false;
	program__event_open(program);

	struct abi_header *header = abi_region_header(&fresh);

	__atomic_store_n(&header->control_pid, (uint32_t)getpid(), __ATOMIC_RELAXED);
	__atomic_store_n(&header->control_heartbeat_ns, base_time_monotonic_ns(), __ATOMIC_RELAXED);
	return 0;
}

static bool is_same_file(int a, int b)
{
	struct stat sa;
	struct stat sb;

	return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 && sa.st_dev == sb.st_dev
	       && sa.st_ino == sb.st_ino;
}

/* Does a region that was offered, with its descriptors, fit what we are set up for? */
static bool fits(const struct program *program, const struct abi_region *region,
                 const struct abi_fds *fds, char *why, size_t why_len)
{
	const struct program_setup *setup = &program->setup;

	if (region->n_peers != setup->n_peers
	    || memcmp(&region->setup, &setup->dataplane, sizeof(region->setup)) != 0) {
		snprintf(why, why_len, "configuration has changed since this dataplane started");
		return false;
	}
	if (fds->control_wake < 0) {
		snprintf(why, why_len, "offered region came without its eventfd");
		return false;
	}
	if (setup->has_tun && fds->tun < 0) {
		snprintf(why, why_len, "offered region came without a TUN");
		return false;
	}
	for (uint32_t i = 0; i < setup->dataplane.n_ports; i++) {
		if (setup->dataplane.ports[i].has_tap != 0 && fds->taps[i] < 0) {
			snprintf(why, why_len, "offered region came without the TAP of port %s",
			         setup->dataplane.ports[i].name);
			return false;
		}
	}
	return true;
}

/* Take over a region and its descriptors. On refusal all of fds stay the caller's.
 * Returns 0 or -errno, with why filled in. */
static int adopt(struct program *program, struct abi_fds *fds, char *why, size_t why_len)
{
	struct abi_region region;
	int err = abi_region_attach(fds->region, &region, why, why_len);

	if (err != 0)
		return err;
	fds->region = -1; /* the region's now */
	if (!fits(program, &region, fds, why, why_len)) {
		abi_region_fini(&region);
		return -EPROTO;
	}
	program->region = region;
	program->has_region = true;
	program->fds = *fds;
	abi_fds_init(fds);
	program__event_open(program);

	struct abi_header *header = abi_region_header(&program->region);

	__atomic_store_n(&header->control_pid, (uint32_t)getpid(), __ATOMIC_RELAXED);
	return 0;
}

/* ---- guests ----------------------------------------------------------------------------------- */

static void guest_free(struct program_guest *guest)
{
	if (guest->event != NULL)
		event_free(guest->event);
	if (guest->fd >= 0)
		close(guest->fd);
	*guest = (struct program_guest){.program = guest->program, .fd = -1};
}

static void guest_tell_no(const struct program_guest *guest, const char *why)
{
	struct abi_hello answer = {.refused = 1};

	log_warn("program", "dataplane refused: %s pid=%u", why, guest->pid);
	snprintf(answer.reason, sizeof(answer.reason), "%s", why);

	int err = abi_rendezvous_send(guest->fd, &answer, NULL);

	if (err != 0)
		log_warn("program", "refusal could not be sent err=%s", strerror(-err));
}

static void guest_refuse(struct program_guest *guest, const char *why)
{
	guest_tell_no(guest, why);
	guest_free(guest);
}

/* Accept one connection. Returns a guest, or NULL (nobody there, not allowed in, no room). */
static struct program_guest *guest_accept(struct program *program)
{
	int fd = accept4(program->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct program_guest *guest = NULL;

	if (fd < 0)
		return NULL;
	for (uint32_t i = 0; i < PROGRAM_GUESTS_MAX && guest == NULL; i++)
		if (program->guests[i].fd < 0)
			guest = &program->guests[i];
	if (guest == NULL || abi_rendezvous_check_peer(fd, program->setup.uid) != 0) {
		log_warn("program", "connection to %s refused: %s", program->setup.socket_path,
		         guest == NULL ? "too many wait already" : "user is not allowed");
		close(fd);
		return NULL;
	}
	guest->fd = fd;
	return guest;
}

/* ---- attach and detach ------------------------------------------------------------------------ */

static int is_any(void *arg, uint32_t worker, uint32_t slot, const struct abi_session *session)
{
	(void)arg;
	(void)worker;
	(void)slot;
	(void)session;
	return 1;
}

/* The answer is out: synchronise and tell main.c. */
static void on_attach(evutil_socket_t fd, short what, void *arg)
{
	struct program *program = arg;
	bool resumed;

	(void)fd;
	(void)what;
	if (program->connection < 0 || program->is_attached)
		return;
	resumed = program_session_each(program, is_any, NULL) != 0;
	log_info("program", "dataplane attached pid=%u epoch=%016llx resumed=%d",
	         program->dataplane_pid, (unsigned long long)program->region.epoch, resumed);
	program->is_attached = true;
	for (uint32_t i = 0; i < program->region.n_workers; i++)
		program_pipe_open(&program->pipes[i], abi_region_cmd_ring(&program->region, i),
		                  program->fds.worker_wake[i], i, i == ABI_ROUTE_WORKER);
	program__flush_later(program);
	program__drift_attached(program);
	if (program->events.attached != NULL)
		program->events.attached(program->events.arg, resumed);
	if (program->is_attached)
		program__blob_attach(program);
	program__event_turn(program);
}

static void on_connection(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	/* An end, an error and a word that is no answer all mean the same. */
	if (program__blob_receive(arg) < 0)
		program__link_drop(arg, false);
}

/* The dataplane is gone, but what it said last counts: a handshake in the ring is answered into the
 * ring, and the next dataplane sends it. */
static void drain_last_events(struct program *program)
{
	/* As many as the rings hold, and no more: one that hung up and writes on all the same is not
	 * listened to for ever. */
	if (program__event_drain(program, program->region.n_workers * ABI_EVENT_SLOTS) < 0)
		program->region_is_bad = true;
}

static void forget_connection(struct program *program)
{
	if (program->connection_event != NULL)
		event_free(program->connection_event);
	program->connection_event = NULL;
	close(program->connection);
	program->connection = -1;
	program->dataplane_pid = 0;
}

void program__link_drop(struct program *program, bool region_is_bad)
{
	uint32_t pid = program->dataplane_pid;

	if (program->connection < 0)
		return;
	program->region_is_bad |= region_is_bad;
	if (program->is_attached && !program->region_is_bad)
		drain_last_events(program);
	for (uint32_t i = 0; i < ABI_WORKERS_MAX; i++)
		program_pipe_close(&program->pipes[i]);
	forget_connection(program);
	log_warn("program", "dataplane detached pid=%u", pid);
	if (!program->is_attached)
		return;
	program->is_attached = false;
	program__drift_detached(program);
	if (program->events.detached != NULL)
		program->events.detached(program->events.arg);
}

/* The guest's connection becomes the dataplane's. Returns 0 or -ENOMEM; then the guest remains. */
static int promote(struct program *program, struct program_guest *guest)
{
	struct event *event = event_new(program->base, guest->fd, EV_READ | EV_PERSIST,
	                                on_connection, program);

	if (event == NULL || event_add(event, NULL) != 0) {
		if (event != NULL)
			event_free(event);
		return -ENOMEM;
	}
	program->connection = guest->fd;
	program->connection_event = event;
	program->dataplane_pid = guest->pid;
	guest->fd = -1;
	guest_free(guest);
	return 0;
}

/* Send the region and all descriptors (or only the epoch), and make this guest the dataplane. */
static void welcome(struct program *program, struct program_guest *guest, bool with_fds)
{
	struct abi_hello answer = {.epoch = program->region.epoch};
	struct abi_fds fds = program->fds;
	int err;

	fds.region = program->region.fd;
	err = abi_rendezvous_send(guest->fd, &answer, with_fds ? &fds : NULL);
	if (err == 0)
		err = promote(program, guest);
	if (err != 0) {
		log_warn("program", "dataplane could not be answered pid=%u err=%s", guest->pid,
		         strerror(-err));
		guest_free(guest);
		return;
	}
	if (program->attach_event != NULL)
		event_active(program->attach_event, EV_TIMEOUT, 0);
}

/* Is the connection that we hold still alive? A killed dataplane may be replaced before the loop
 * has told us of its end. */
static bool connection_lives(const struct program *program)
{
	struct pollfd pfd = {.fd = program->connection, .events = POLLRDHUP};

	return program->connection >= 0 && poll(&pfd, 1, 0) == 0;
}

/* A dataplane without a region: it gets ours. */
static void welcome_fresh(struct program *program, struct program_guest *guest)
{
	if (program->region_is_bad) {
		int err = program__link_make_region(program);

		if (err != 0) {
			log_err("program", "new region cannot be made err=%s", strerror(-err));
			guest_refuse(guest, "control cannot make a region");
			return;
		}
	}
	welcome(program, guest, true);
}

/* Decide about a guest whose hello is here. fds are closed unless taken. */
static void receive_guest(struct program *program, struct program_guest *guest,
                          const struct abi_hello *hello, const struct abi_fds *fds)
{
	char why[96];

	if (connection_lives(program)) {
		snprintf(why, sizeof(why), "another dataplane is attached, pid %u",
		         program->dataplane_pid);
		guest_refuse(guest, why);
		return;
	}
	program__link_drop(program, false);
	if (hello->epoch == 0)
		welcome_fresh(program, guest);
	else if (program->region_is_bad)
		guest_refuse(guest, "its region is corrupt");
	else if (hello->epoch == program->region.epoch
	         && is_same_file(fds->region, program->region.fd))
		welcome(program, guest, false);
	else
		guest_refuse(guest, "its region is not the one of this control");
}

static void on_guest(evutil_socket_t fd, short what, void *arg)
{
	struct program_guest *guest = arg;
	struct abi_hello hello;
	struct abi_fds fds;
	char why[160];
	int err;

	if ((what & EV_TIMEOUT) != 0) { /* it said nothing */
		guest_free(guest);
		return;
	}
	err = abi_rendezvous_receive(fd, &hello, &fds, 0, why, sizeof(why));
	guest->pid = hello.pid;
	if (err == -EPROTO)
		guest_refuse(guest, why);
	else if (err != 0)
		guest_free(guest);
	else
		receive_guest(guest->program, guest, &hello, &fds);
	abi_fds_close(&fds);
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval timeout = {HELLO_TIMEOUT_S, 0};
	struct program *program = arg;
	struct program_guest *guest = guest_accept(program);

	(void)fd;
	(void)what;
	if (guest == NULL)
		return;
	guest->event = event_new(program->base, guest->fd, EV_READ, on_guest, guest);
	if (guest->event == NULL || event_add(guest->event, &timeout) != 0)
		guest_free(guest);
}

/* ---- before the event loop runs ---------------------------------------------------------------- */

static int poll_until(int fd, uint64_t until_ns)
{
	for (;;) {
		uint64_t now_ns = base_time_monotonic_ns();
		struct pollfd pfd = {.fd = fd, .events = POLLIN};
		int left_ms = now_ns >= until_ns ? 0
		                                 : (int)((until_ns - now_ns) / BASE_NS_PER_MS) + 1;
		int n = poll(&pfd, 1, left_ms);

		if (n >= 0)
			return n;
		if (errno != EINTR)
			return -errno;
	}
}

/* Refuse a dataplane that outlived a control of another set-up, and wait for its end, so that its
 * TUN and TAPs are gone when we make ours. */
static void send_away(struct program_guest *guest, const char *why)
{
	guest_tell_no(guest, why);
	if (poll_until(guest->fd, base_time_monotonic_ns() + AWAY_NS) <= 0)
		log_warn("program", "dataplane that was refused has not gone yet");
	guest_free(guest);
}

/* Hear what a guest has. Returns 1 adopted, 0 it has no region or was sent away, -EAGAIN it said
 * nothing sensible. */
static int try_adopt(struct program *program, struct program_guest *guest)
{
	struct abi_hello hello;
	struct abi_fds fds;
	char why[160];
	int result = 0;
	int err = abi_rendezvous_receive(guest->fd, &hello, &fds, HELLO_TIMEOUT_S * 1000, why,
	                                 sizeof(why));

	guest->pid = hello.pid;
	if (err != 0) {
		if (err == -EPROTO)
			send_away(guest, why);
		else
			guest_free(guest);
		return err == -EPROTO ? 0 : -EAGAIN;
	}
	if (hello.epoch == 0) {
		guest->greeted = true;
	} else if (adopt(program, &fds, why, sizeof(why)) != 0) {
		send_away(guest, why);
	} else {
		log_info("program", "adopted the region of a running dataplane pid=%u", guest->pid);
		welcome(program, guest, false);
		result = 1;
	}
	abi_fds_close(&fds);
	return result;
}

int program_adopt(struct program *program, int timeout_ms)
{
	uint64_t until_ns = base_time_monotonic_ns() + (uint64_t)timeout_ms * BASE_NS_PER_MS;

	for (;;) {
		int n = poll_until(program->listener, until_ns);

		if (n <= 0)
			return n;

		struct program_guest *guest = guest_accept(program);

		if (guest == NULL)
			continue;
		n = try_adopt(program, guest);
		if (n != -EAGAIN)
			return n;
	}
}

/* ---- life ------------------------------------------------------------------------------------- */

int program__link_listen(struct program *program)
{
	const struct program_setup *setup = &program->setup;
	int fd = abi_rendezvous_listen(setup->socket_path, setup->uid, setup->gid);

	if (fd == -EADDRINUSE)
		log_err("program", "another weir-control listens on %s", setup->socket_path);
	else if (fd < 0)
		log_err("program", "cannot listen on %s err=%s", setup->socket_path, strerror(-fd));
	if (fd < 0)
		return fd;
	program->listener = fd;
	return 0;
}

int program__link_serve(struct program *program)
{
	program->attach_event = event_new(program->base, -1, 0, on_attach, program);
	program->accept_event = event_new(program->base, program->listener, EV_READ | EV_PERSIST,
	                                  on_accept, program);
	if (program->attach_event == NULL || program->accept_event == NULL
	    || event_add(program->accept_event, NULL) != 0)
		return -ENOMEM;
	if (program->connection >= 0)
		event_active(program->attach_event, EV_TIMEOUT, 0);
	for (uint32_t i = 0; i < PROGRAM_GUESTS_MAX; i++) {
		struct program_guest *guest = &program->guests[i];

		if (guest->greeted && program->connection < 0)
			welcome(program, guest, true);
		else if (guest->greeted)
			guest_refuse(guest, "another dataplane is attached");
	}
	return 0;
}

void program__link_close(struct program *program)
{
	for (uint32_t i = 0; i < PROGRAM_GUESTS_MAX; i++)
		guest_free(&program->guests[i]);
	for (uint32_t i = 0; i < ABI_WORKERS_MAX; i++)
		program_pipe_close(&program->pipes[i]);
	if (program->connection >= 0)
		forget_connection(program);
	if (program->accept_event != NULL)
		event_free(program->accept_event);
	if (program->attach_event != NULL)
		event_free(program->attach_event);
	if (program->listener >= 0)
		close(program->listener);
	if (program->has_region)
		abi_region_fini(&program->region);
	abi_fds_close(&program->fds);
}

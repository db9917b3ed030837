#include "run_upgrade.h"

#include "base_bytes.h"
#include "base_time.h"
#include "run.h"
#include "run_versions.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define READY_NS (30 * BASE_NS_PER_S) /* for a new program to become ready */

static const char *const folders[RUN_N_CHILDREN] = {"control", "dataplane"};
static const char *const programs[RUN_N_CHILDREN] = {"weir-control", "weir-dataplane"};

void run_upgrade_init(struct run_upgrade *upgrade)
{
	memset(upgrade, 0, sizeof(*upgrade));
	upgrade->listener = -1;
	upgrade->client = -1;
	upgrade->probe.fd = -1;
	run_child_init(&upgrade->control, programs[RUN_CONTROL]);
	for (size_t i = 0; i < RUN_UPGRADE_LEAVING; i++)
		run_child_init(&upgrade->leaving[i], programs[RUN_CONTROL]);
}

void run_upgrade_listen(struct run *run)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	mode_t before;
	int fd;

	if (snprintf(address.sun_path, sizeof(address.sun_path), "%s/" RUN_UPGRADE_SOCKET,
	             run->run_dir)
	    >= (int)sizeof(address.sun_path)) {
		fprintf(stderr, "weir: %s: too long a name for a socket\n", run->run_dir);
		return;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	unlink(address.sun_path); /* whoever holds the lock is the only one here */
	before = umask(0177);
	if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0
	    && listen(fd, 4) == 0) {
		run->upgrade.listener = fd;
	} else {
		fprintf(stderr, "weir: %s: %s: no upgrades\n", address.sun_path, strerror(errno));
		if (fd >= 0)
			close(fd);
	}
	umask(before);
}

static void forget_client(struct run_upgrade *upgrade)
{
	if (upgrade->client >= 0)
		close(upgrade->client);
	upgrade->client = -1;
	upgrade->len = 0;
}

void run_upgrade_fini(struct run *run)
{
	forget_client(&run->upgrade);
	run_probe_fini(&run->upgrade.probe);
	if (run->upgrade.listener >= 0)
		close(run->upgrade.listener);
	run->upgrade.listener = -1;
}

/* ---- telling -------------------------------------------------------------------------------------- */

/* One line for who asked and for the log. A client that does not read is none any more. */
static void tell(struct run_upgrade *upgrade, char kind, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void tell(struct run_upgrade *upgrade, char kind, const char *format, ...)
{
	char line[PATH_MAX * 2 + 256];
	va_list args;
	int len = snprintf(line, sizeof(line), "%c ", kind);

	va_start(args, format);
	vsnprintf(line + len, sizeof(line) - (size_t)len - 1, format, args);
	va_end(args);
	fprintf(stderr, "weir: upgrade: %s\n", line + len);
	strcat(line, "\n");
	if (upgrade->client >= 0
	    && send(upgrade->client, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT)
	               != (ssize_t)strlen(line))
		forget_client(upgrade);
}

static void finish(struct run_upgrade *upgrade)
{
	upgrade->state = RUN_UPGRADE_IDLE;
	run_probe_fini(&upgrade->probe);
	forget_client(upgrade);
}

static unsigned long long ms_since(uint64_t then_ns, uint64_t now_ns)
{
	return (unsigned long long)((now_ns - then_ns) / BASE_NS_PER_MS);
}

/* ---- checking ------------------------------------------------------------------------------------- */

/* The program in a directory, or in that of a build tree. */
static int find(const char *dir, int i, char path[static PATH_MAX])
{
	if (*dir == '\0')
		return run_child_find(folders[i], programs[i], path);
	if (snprintf(path, PATH_MAX, "%s/%s", dir, programs[i]) < PATH_MAX
	    && access(path, X_OK) == 0)
		return 0;
	if (snprintf(path, PATH_MAX, "%s/%s/%s", dir, folders[i], programs[i]) < PATH_MAX
	    && access(path, X_OK) == 0)
		return 0;
	return -1;
}

static int versions_of_running(const struct run *run, int i, struct run_versions *out, char *why,
                               size_t why_len)
{
	char path[64];

	/* Also when the file has been replaced meanwhile. */
	snprintf(path, sizeof(path), "/proc/%d/exe", run->children[i].pid);
	if (run->children[i].pid != 0)
		return run_versions_ask(path, out, why, why_len);
	snprintf(why, why_len, "%s does not run now", programs[i]);
	return -1;
}

/* May this program take the place of the one that runs? Returns 0, or -1 and who asked was told. */
static int check_program(struct run *run, int i)
{
	struct run_upgrade *upgrade = &run->upgrade;
	struct run_versions running, fresh;
	char why[PATH_MAX + 64];

	if (versions_of_running(run, i, &running, why, sizeof(why)) < 0
	    || run_versions_ask(upgrade->paths[i], &fresh, why, sizeof(why)) < 0) {
		tell(upgrade, '!', "%s", why);
		return -1;
	}
	if (fresh.abi != running.abi) {
		tell(upgrade, '!',
		     "%s %s has ABI version %u, the running %s has %u: they cannot share the "
		     "sessions; end the hub and start the other",
		     programs[i], fresh.release, fresh.abi, running.release, running.abi);
		return -1;
	}
	if (fresh.store != running.store) {
		tell(upgrade, '!',
		     "%s %s has store schema %u, the running %s has %u: end the hub and start the "
		     "other (a newer one converts the store, and there is no way back)",
		     programs[i], fresh.release, fresh.store, running.release, running.store);
		return -1;
	}
	tell(upgrade, '+', "%s %s (ABI %u) for %s", upgrade->paths[i], fresh.release, fresh.abi,
	     running.release);
	return 0;
}

/* ---- steps ---------------------------------------------------------------------------------------- */

static void begin_step(struct run_upgrade *upgrade, enum run_upgrade_state state, uint64_t now_ns)
{
	run_probe_fini(&upgrade->probe);
	upgrade->probe = (struct run_probe){.fd = -1, .next_ns = now_ns};
	upgrade->state = state;
	upgrade->begin_ns = now_ns;
	upgrade->until_ns = now_ns + READY_NS;
}

static void begin_control(struct run *run, uint64_t now_ns)
{
	struct run_upgrade *upgrade = &run->upgrade;

	run_child_init(&upgrade->control, programs[RUN_CONTROL]);
	memcpy(upgrade->control.path, upgrade->paths[RUN_CONTROL], PATH_MAX);
	if (run_start(run, &upgrade->control, RUN_CONTROL, true) < 0) {
		tell(upgrade, '!', "%s could not be started; nothing has changed",
		     upgrade->control.path);
		finish(upgrade);
		return;
	}
	begin_step(upgrade, RUN_UPGRADE_CONTROL, now_ns);
}

void run_upgrade_resume(struct run *run, uint64_t now_ns)
{
	struct run_upgrade *upgrade = &run->upgrade;
	struct run_child *before = &run->children[RUN_CONTROL];

	if (upgrade->control.pid == 0)
		return;
	memcpy(upgrade->control.path, before->path, PATH_MAX);
	if (before->pid != 0) {
		/* Which of the two has the hub? That is seen as ever: when the new one answers, or ends. */
		begin_step(upgrade, RUN_UPGRADE_CONTROL, now_ns);
		return;
	}
	*before = upgrade->control;
	run_child_init(&upgrade->control, programs[RUN_CONTROL]);
}

static void begin_dataplane(struct run *run, uint64_t now_ns)
{
	struct run_upgrade *upgrade = &run->upgrade;
	struct run_child *child = &run->children[RUN_DATAPLANE];

	memcpy(upgrade->before, child->path, PATH_MAX);
	begin_step(upgrade, RUN_UPGRADE_STOPPING, now_ns);
	if (child->pid != 0)
		run_child_signal(child, SIGTERM);
	else
		run_upgrade_ended(run, RUN_DATAPLANE, now_ns);
}

/* What comes after control, or all is done. */
static void begin_next(struct run *run, uint64_t now_ns)
{
	if (run->upgrade.wants_dataplane) {
		begin_dataplane(run, now_ns);
		return;
	}
	tell(&run->upgrade, '=', "done");
	finish(&run->upgrade);
}

/* The new control answers: it is the one from now on, and the other serves its last clients. */
static void control_is_up(struct run *run, uint64_t now_ns)
{
	struct run_upgrade *upgrade = &run->upgrade;
	struct run_child *before = &run->children[RUN_CONTROL];
	size_t place = 0;

	while (place + 1 < RUN_UPGRADE_LEAVING && upgrade->leaving[place].pid != 0)
		place++;
	if (before->pid != 0) {
		/* No place left: one that still serves a client has to go. */
		if (upgrade->leaving[place].pid != 0) {
			run_child_signal(&upgrade->leaving[place], SIGKILL);
			run_child_drop(&upgrade->leaving[place]);
		}
		upgrade->leaving[place] = *before;
	}
	*before = upgrade->control;
	run_child_init(&upgrade->control, programs[RUN_CONTROL]);
	run_note(run);
	tell(upgrade, '+', "weir-control replaced, pid %d, after %llu ms", before->pid,
	     ms_since(upgrade->begin_ns, now_ns));
	begin_next(run, now_ns);
}

static void control_failed(struct run *run, const char *how)
{
	struct run_upgrade *upgrade = &run->upgrade;

	tell(upgrade, '!', "the new weir-control %s before it was ready; the one before goes on",
	     how);
	finish(upgrade);
	/* If that has let go already, it ends, and is started again as after a crash. */
	run->children[RUN_CONTROL].start_at_ns = 0;
}

static void dataplane_is_up(struct run *run, uint64_t now_ns)
{
	struct run_upgrade *upgrade = &run->upgrade;

	tell(upgrade, '+', "weir-dataplane replaced, pid %d, after %llu ms",
	     run->children[RUN_DATAPLANE].pid, ms_since(upgrade->begin_ns, now_ns));
	tell(upgrade, '=', "done");
	finish(upgrade);
}

/* Back to the one before; the supervisor starts it. */
static void dataplane_failed(struct run *run, const char *how)
{
	struct run_child *child = &run->children[RUN_DATAPLANE];

	memcpy(child->path, run->upgrade.before, PATH_MAX);
	child->start_at_ns = 0;
	run_child_signal(child, SIGKILL);
	tell(&run->upgrade, '!', "the new weir-dataplane %s; the one before is started again", how);
	finish(&run->upgrade);
}

bool run_upgrade_holds(const struct run *run, int i)
{
	enum run_upgrade_state state = run->upgrade.state;

	return i == RUN_CONTROL ? state == RUN_UPGRADE_CONTROL
	                        : state == RUN_UPGRADE_STOPPING || state == RUN_UPGRADE_DATAPLANE;
}

void run_upgrade_ended(struct run *run, int i, uint64_t now_ns)
{
	struct run_upgrade *upgrade = &run->upgrade;
	struct run_child *child = &run->children[i];

	if (i != RUN_DATAPLANE || run->is_stopping)
		return;
	if (upgrade->state == RUN_UPGRADE_DATAPLANE) {
		dataplane_failed(run, "has ended");
	} else if (upgrade->state == RUN_UPGRADE_STOPPING) {
		memcpy(child->path, upgrade->paths[RUN_DATAPLANE], PATH_MAX);
		upgrade->state = RUN_UPGRADE_DATAPLANE;
		if (run_start(run, child, RUN_DATAPLANE, false) < 0)
			dataplane_failed(run, "could not be started");
	}
	(void)now_ns;
}

/* ---- asked ---------------------------------------------------------------------------------------- */

static void asked(struct run *run, const char *line, uint64_t now_ns)
{
	struct run_upgrade *upgrade = &run->upgrade;
	const char *dir = strchr(line, ' ');
	bool both = strncmp(line, "both ", 5) == 0;
	bool control = both || strncmp(line, "control ", 8) == 0;
	bool dataplane = both || strncmp(line, "dataplane ", 10) == 0;

	upgrade->wants_dataplane = dataplane;
	if (!dir || (!control && !dataplane)) {
		tell(upgrade, '!', "not understood: \"%s\"", line);
	} else if (!run->is_ready || run->is_stopping) {
		tell(upgrade, '!', "the hub is not ready, or ends");
	} else if ((control && find(dir + 1, RUN_CONTROL, upgrade->paths[RUN_CONTROL]) < 0)
	           || (dataplane
	               && find(dir + 1, RUN_DATAPLANE, upgrade->paths[RUN_DATAPLANE]) < 0)) {
		tell(upgrade, '!', "%s: weir-control or weir-dataplane is not there", dir + 1);
	} else if ((!control || check_program(run, RUN_CONTROL) == 0)
	           && (!dataplane || check_program(run, RUN_DATAPLANE) == 0)) {
		if (control)
			begin_control(run, now_ns);
		else
			begin_dataplane(run, now_ns);
		return;
	}
	finish(upgrade);
}

static void read_client(struct run *run, uint64_t now_ns)
{
	struct run_upgrade *upgrade = &run->upgrade;
	ssize_t n = recv(upgrade->client, upgrade->line + upgrade->len,
	                 sizeof(upgrade->line) - 1 - upgrade->len, MSG_DONTWAIT);
	char *end;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 || upgrade->state != RUN_UPGRADE_IDLE) {
		forget_client(upgrade); /* what it asked for goes on without it */
		return;
	}
	upgrade->len += (size_t)n;
	upgrade->line[upgrade->len] = '\0';
	end = strchr(upgrade->line, '\n');
	if (end) {
		*end = '\0';
		asked(run, upgrade->line, now_ns);
	} else if (upgrade->len + 1 == sizeof(upgrade->line)) {
		forget_client(upgrade);
	}
}

/* The socket is root's alone, as the supervisor is. One at a time. */
static void accept_client(struct run_upgrade *upgrade)
{
	int fd = accept4(upgrade->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	if (upgrade->client < 0 && upgrade->state == RUN_UPGRADE_IDLE) {
		upgrade->client = fd;
		return;
	}
	static const char busy[] = "! another upgrade is under way\n";

	if (send(fd, busy, sizeof(busy) - 1, MSG_NOSIGNAL) < 0)
		fprintf(stderr, "weir: upgrade: another is under way\n");
	close(fd);
}

/* ---- loop ----------------------------------------------------------------------------------------- */

void run_upgrade_polls(const struct run *run, struct pollfd fds[static RUN_UPGRADE_POLLS])
{
	const struct run_upgrade *upgrade = &run->upgrade;

	fds[0] = (struct pollfd){.fd = upgrade->listener, .events = POLLIN};
	fds[1] = (struct pollfd){.fd = upgrade->client, .events = POLLIN};
	fds[2] = (struct pollfd){.fd = upgrade->control.pidfd, .events = POLLIN};
	fds[3] = (struct pollfd){.fd = upgrade->probe.fd, .events = POLLIN};
	for (size_t i = 0; i < RUN_UPGRADE_LEAVING; i++)
		fds[4 + i] = (struct pollfd){.fd = upgrade->leaving[i].pidfd, .events = POLLIN};
}

uint64_t run_upgrade_due_ns(const struct run *run)
{
	const struct run_upgrade *upgrade = &run->upgrade;

	switch (upgrade->state) {
	case RUN_UPGRADE_IDLE:
		return UINT64_MAX;
	case RUN_UPGRADE_STOPPING:
		return upgrade->until_ns;
	case RUN_UPGRADE_CONTROL:
	case RUN_UPGRADE_DATAPLANE:
		break;
	}
	return upgrade->probe.next_ns < upgrade->until_ns ? upgrade->probe.next_ns
	                                                  : upgrade->until_ns;
}

static void reap(struct run *run, const struct pollfd *fds, uint64_t now_ns)
{
	struct run_upgrade *upgrade = &run->upgrade;
	char how[64];

	if (upgrade->control.pidfd >= 0 && fds[2].fd == upgrade->control.pidfd
	    && fds[2].revents != 0) {
		run_child_reap(&upgrade->control, now_ns, how, sizeof(how));
		run_note(run);
		if (upgrade->state == RUN_UPGRADE_CONTROL)
			control_failed(run, how);
	}
	for (size_t i = 0; i < RUN_UPGRADE_LEAVING; i++) {
		struct run_child *child = &upgrade->leaving[i];

		if (child->pidfd < 0 || fds[4 + i].fd != child->pidfd || fds[4 + i].revents == 0)
			continue;
		run_child_reap(child, now_ns, how, sizeof(how));
		run_note(run);
		fprintf(stderr, "weir: weir-control that was replaced %s\n", how);
	}
}

static void step(struct run *run, uint64_t now_ns)
{
	struct run_upgrade *upgrade = &run->upgrade;
	bool is_late = now_ns >= upgrade->until_ns;

	switch (upgrade->state) {
	case RUN_UPGRADE_IDLE:
		break;
	case RUN_UPGRADE_CONTROL:
		if (run_probe_turn(&upgrade->probe, run->control_socket, upgrade->control.pid, 0,
		                   now_ns))
			control_is_up(run, now_ns);
		else if (is_late)
			run_child_signal(&upgrade->control, SIGKILL); /* reap() tells */
		break;
	case RUN_UPGRADE_STOPPING:
		if (is_late)
			run_child_signal(&run->children[RUN_DATAPLANE], SIGKILL);
		break;
	case RUN_UPGRADE_DATAPLANE:
		if (run_probe_turn(&upgrade->probe, run->control_socket,
		                   run->children[RUN_CONTROL].pid, run->children[RUN_DATAPLANE].pid,
		                   now_ns))
			dataplane_is_up(run, now_ns);
		else if (is_late)
			dataplane_failed(run, "is not ready after 30 s");
		break;
	}
}

void run_upgrade_turn(struct run *run, const struct pollfd fds[static RUN_UPGRADE_POLLS],
                      uint64_t now_ns)
{
	struct run_upgrade *upgrade = &run->upgrade;

	if (fds[0].revents != 0)
		accept_client(upgrade);
	if (fds[1].revents != 0 && fds[1].fd == upgrade->client)
		read_client(run, now_ns);
	reap(run, fds, now_ns);
	if (!run->is_stopping)
		step(run, now_ns);
}

void run_upgrade_signal(struct run *run, int number)
{
	run_child_signal(&run->upgrade.control, number);
	for (size_t i = 0; i < RUN_UPGRADE_LEAVING; i++)
		run_child_signal(&run->upgrade.leaving[i], number);
}

bool run_upgrade_is_over(const struct run *run)
{
	bool over = run->upgrade.control.pid == 0;

	for (size_t i = 0; i < RUN_UPGRADE_LEAVING; i++)
		over &= run->upgrade.leaving[i].pid == 0;
	return over;
}

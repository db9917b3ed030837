/* `weir run`: starts weir-control, then weir-dataplane, and starts one again that ends. For machines
 * without systemd; conf/systemd has units that do the same.
 *
 * Either process may die alone, and so may this one: the two go on without it, and so does the
 * traffic. That is why they do not get PR_SET_PDEATHSIG (which a process that changes its user
 * loses anyway). Their pids stand in run.lock in the run directory, which a living supervisor holds
 * locked; the next `weir run` finds it unlocked and takes the two over, as long as they are the same
 * processes (pid and start time), with an upgrade of control that was under way. Whether children or
 * taken over, they are watched by pidfd.
 *
 * A process that ends with an exit code before the hub was ready once has a reason that a second
 * try does not change (wrong configuration, port taken): then everything ends, with exit code 1.
 * Not so when a dataplane was taken over: tunnels that work do not end for a control that does not. */
#include "base_bytes.h"
#include "base_time.h"
#include "run.h"
#include "weir.h"

#include <libconfig.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define STOP_PATIENCE_NS (3 * BASE_NS_PER_S) /* SIGTERM to SIGKILL */
#define NOTE_LINES       (RUN_N_CHILDREN + 1 + RUN_UPGRADE_LEAVING)
#define NOTE_LEN         (NOTE_LINES * 40) /* of "PID TICKS" as text */

/* ---- before anything is started ----------------------------------------------------------------- */

/* Run weir-control on the file for one of its short jobs (--check, --cleanup), and wait for it. What
 * it has to say goes to standard error. quiet: 1 without what it prints, 2 without errors too.
 * Returns 0 when it ended with 0. */
static int run_control(const struct run *run, const char *job, int quiet)
{
	char *argv[] = {(char *)(uintptr_t)run->children[RUN_CONTROL].path, (char[]){"-c"},
	                (char *)(uintptr_t)run->config_path, (char *)(uintptr_t)job, NULL};
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		if (quiet >= 1 && !freopen("/dev/null", "w", stdout))
			_exit(1);
		if (quiet >= 2 && !freopen("/dev/null", "w", stderr))
			_exit(1);
		execv(argv[0], argv);
		fprintf(stderr, "weir: %s: %s\n", argv[0], strerror(errno));
		_exit(1);
	}
	if (pid < 0) {
		fprintf(stderr, "weir: %s: %s\n", argv[0], strerror(errno));
		return -1;
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status == 0 ? 0 : -1;
}

/* The two values that the supervisor needs of a file that weir-control found good. */
static int read_config(struct run *run)
{
	const char *run_dir = "/run/weir";
	const char *user = "nobody";
	config_t config;
	int r = 0;

	config_init(&config);
	if (!config_read_file(&config, run->config_path)) {
		fprintf(stderr, "weir: %s: cannot be read\n", run->config_path);
		r = -1;
	}
	config_lookup_string(&config, "control.run_dir", &run_dir);
	config_lookup_string(&config, "control.user", &user);
	snprintf(run->run_dir, sizeof(run->run_dir), "%s", run_dir);
	snprintf(run->control_socket, sizeof(run->control_socket), "%s/control.sock", run_dir);
	snprintf(run->dataplane_socket, sizeof(run->dataplane_socket), "%s/dataplane.sock",
	         run_dir);
	snprintf(run->user, sizeof(run->user), "%s", user);
	config_destroy(&config);
	return r;
}

/* Be the only supervisor of this run directory. */
static int lock(struct run *run)
{
	char path[PATH_MAX];

	if (mkdir(run->run_dir, 0755) < 0 && errno != EEXIST) {
		fprintf(stderr, "weir: %s: %s\n", run->run_dir, strerror(errno));
		return -1;
	}
	snprintf(path, sizeof(path), "%s/run.lock", run->run_dir);
	run->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (run->lock_fd < 0) {
		fprintf(stderr, "weir: %s: %s\n", path, strerror(errno));
		return -1;
	}
	if (flock(run->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		fprintf(stderr, "weir: %s: a hub is already running here (weir run holds it)\n",
		        path);
	else
		fprintf(stderr, "weir: %s: %s\n", path, strerror(errno));
	close(run->lock_fd);
	return -1;
}

/* ---- run.lock: who runs, for the next supervisor ------------------------------------------------ */

/* Whom a line is of: control, the dataplane, a control that takes over, those that it was taken over from. The last
 * are left out while there are none. An older or newer weir reads the first two. */
static struct run_child *noted(struct run *run, int line)
{
	if (line < RUN_N_CHILDREN)
		return &run->children[line];
	if (line == RUN_N_CHILDREN)
		return &run->upgrade.control;
	return &run->upgrade.leaving[line - RUN_N_CHILDREN - 1];
}

void run_note(struct run *run)
{
	char text[NOTE_LEN];
	int len = 0, n = NOTE_LINES;

	while (n > RUN_N_CHILDREN && noted(run, n - 1)->pid == 0)
		n--;
	for (int i = 0; i < n; i++)
		len += snprintf(text + len, sizeof(text) - (size_t)len, "%d %llu\n",
		                noted(run, i)->pid, (unsigned long long)noted(run, i)->start_ticks);
	/* Never empty, in case this process is killed here. What a longer text leaves behind is nobody's start time. */
	if (pwrite(run->lock_fd, text, (size_t)len, 0) != len || ftruncate(run->lock_fd, len) < 0)
		fprintf(stderr, "weir: run.lock: %s\n", strerror(errno));
}

/* Take over what an earlier supervisor left running. */
static void take_over(struct run *run)
{
	char text[NOTE_LEN] = "";
	ssize_t len = pread(run->lock_fd, text, sizeof(text) - 1, 0);
	const char *line = text;

	for (int i = 0; len > 0 && i < NOTE_LINES && line; i++) {
		struct run_child *child = noted(run, i);
		unsigned long long ticks = 0;
		int pid = 0;

		if (sscanf(line, "%d %llu", &pid, &ticks) == 2 && pid > 0
		    && run_child_adopt(child, pid, ticks) == 0) {
			fprintf(stderr, "weir: took over %s (pid %d)\n", child->program, pid);
			run->has_started |= i != RUN_DATAPLANE;
		}
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	run_upgrade_resume(run, base_time_monotonic_ns());
	run_note(run);
}

/* ---- starting and ending ------------------------------------------------------------------------ */

int run_start(struct run *run, struct run_child *child, int i, bool takes_over)
{
	char config[PATH_MAX];
	char *control[] = {child->path, (char[]){"-c"}, config,
	                   takes_over ? (char[]){"--take-over"} : NULL, NULL};
	char *dataplane[] = {child->path,
	                     (char[]){"--socket"},
	                     run->dataplane_socket,
	                     (char[]){"--control-user"},
	                     run->user,
	                     NULL};
	int r;

	snprintf(config, sizeof(config), "%s", run->config_path);
	r = run_child_start(child, i == RUN_CONTROL ? control : dataplane,
	                    base_time_monotonic_ns());
	run->has_started |= i == RUN_CONTROL;
	run_note(run);
	return r;
}

static void stop(struct run *run, int exit_code)
{
	if (run->is_stopping)
		return;
	run->is_stopping = true;
	run->exit_code = exit_code;
	run->kill_at_ns = base_time_monotonic_ns() + STOP_PATIENCE_NS;
	/* The dataplane first, so that control does not report it as lost. */
	for (int i = RUN_N_CHILDREN - 1; i >= 0; i--)
		run_child_signal(&run->children[i], SIGTERM);
	run_upgrade_signal(run, SIGTERM);
}

static bool has_tunnels_of_before(const struct run *run)
{
	const struct run_child *dataplane = &run->children[RUN_DATAPLANE];

	return dataplane->pid != 0 && !dataplane->is_own;
}

/* A process ended: end with it, or start it again later. */
static void on_end(struct run *run, int i)
{
	struct run_child *child = &run->children[i];
	char how[64];
	bool gave_reason = run_child_reap(child, base_time_monotonic_ns(), how, sizeof(how));

	if (run->is_stopping)
		return;
	if (run_upgrade_holds(run, i)) {
		run_upgrade_ended(run, i, base_time_monotonic_ns());
		return;
	}
	if (!run->is_ready && gave_reason && !has_tunnels_of_before(run)) {
		fprintf(stderr, "weir: %s %s; not started\n", child->program, how);
		stop(run, WEIR_REFUSED);
		return;
	}
	fprintf(stderr, "weir: %s %s; it is started again in %llu ms\n", child->program, how,
	        (unsigned long long)(child->backoff_ns / BASE_NS_PER_MS));
}

/* It has not refused. */
static bool control_has_answered(const struct run *run)
{
	return run->is_ready || run->probe.has_answered || run->upgrade.probe.has_answered;
}

/* Start what is due. The dataplane waits for the first answer of control, so that a control that
 * refuses leaves nothing half started; later each comes back on its own. */
static void start_due(struct run *run, uint64_t now_ns)
{
	for (int i = 0; i < RUN_N_CHILDREN && !run->is_stopping; i++) {
		struct run_child *child = &run->children[i];

		if (child->pid != 0 || now_ns < child->start_at_ns || run_upgrade_holds(run, i))
			continue;
		if (i == RUN_DATAPLANE && !control_has_answered(run))
			continue;
		if (run_start(run, child, i, false) < 0)
			stop(run, WEIR_REFUSED);
	}
}

static void on_probe(struct run *run, uint64_t now_ns)
{
	if (run->is_ready || run->is_stopping)
		return;
	if (!run_probe_turn(&run->probe, run->control_socket, run->children[RUN_CONTROL].pid, 0,
	                    now_ns))
		return;
	run->is_ready = true;
	run_probe_fini(&run->probe);
	puts("weir: ready");
	fflush(stdout);
}

/* ---- loop --------------------------------------------------------------------------------------- */

static bool is_over(const struct run *run)
{
	return run->is_stopping && run->children[RUN_CONTROL].pid == 0
	       && run->children[RUN_DATAPLANE].pid == 0 && run_upgrade_is_over(run);
}

/* Milliseconds until the next thing is due, -1 = none. */
static int timeout_ms(const struct run *run, uint64_t now_ns)
{
	uint64_t due_ns = UINT64_MAX;

	if (run->is_stopping)
		due_ns = run->kill_at_ns;
	for (int i = 0; i < RUN_N_CHILDREN && !run->is_stopping; i++) {
		const struct run_child *child = &run->children[i];
		bool waits = (i == RUN_DATAPLANE && !control_has_answered(run))
		             || run_upgrade_holds(run, i);

		if (child->pid == 0 && !waits && child->start_at_ns < due_ns)
			due_ns = child->start_at_ns;
	}
	if (!run->is_ready && !run->is_stopping && run->probe.next_ns < due_ns)
		due_ns = run->probe.next_ns;
	if (!run->is_stopping && run_upgrade_due_ns(run) < due_ns)
		due_ns = run_upgrade_due_ns(run);
	if (due_ns == UINT64_MAX)
		return -1;
	return due_ns <= now_ns ? 0 : (int)((due_ns - now_ns) / BASE_NS_PER_MS) + 1;
}

static void turn(struct run *run)
{
	struct pollfd fds[2 + RUN_N_CHILDREN + RUN_UPGRADE_POLLS] = {
		{.fd = run->signal_fd, .events = POLLIN},
		{.fd = run->is_stopping ? -1 : run->probe.fd, .events = POLLIN},
	};
	uint64_t now_ns = base_time_monotonic_ns();
	struct signalfd_siginfo info;

	for (int i = 0; i < RUN_N_CHILDREN; i++)
		fds[2 + i] = (struct pollfd){.fd = run->children[i].pidfd, .events = POLLIN};
	run_upgrade_polls(run, fds + 2 + RUN_N_CHILDREN);
	if (poll(fds, BASE_ARRAY_LEN(fds), timeout_ms(run, now_ns)) < 0 && errno != EINTR) {
		perror("weir: poll");
		stop(run, WEIR_REFUSED);
	}
	while (read(run->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		stop(run, WEIR_DONE);
	for (int i = 0; i < RUN_N_CHILDREN; i++)
		if (fds[2 + i].fd >= 0 && fds[2 + i].revents != 0)
			on_end(run, i);
	now_ns = base_time_monotonic_ns();
	if (run->is_stopping && now_ns >= run->kill_at_ns) {
		for (int i = 0; i < RUN_N_CHILDREN; i++)
			run_child_signal(&run->children[i], SIGKILL);
		run_upgrade_signal(run, SIGKILL);
		run->kill_at_ns = UINT64_MAX;
	}
	run_upgrade_turn(run, fds + 2 + RUN_N_CHILDREN, now_ns);
	start_due(run, now_ns);
	on_probe(run, now_ns);
}

static int supervise(struct run *run)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGQUIT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGHUP, SIG_IGN); /* a terminal that goes away */
	signal(SIGPIPE, SIG_IGN);
	run->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (run->signal_fd < 0) {
		perror("weir: signalfd");
		return WEIR_REFUSED;
	}
	take_over(run);
	run_upgrade_listen(run);
	while (!is_over(run))
		turn(run);
	/* Control is no longer root when it ends, or refuses late, and leaves what only root can
	 * remove. Before it answered, it may have refused because another hub runs, of which it has
	 * told already, and which the clean-up leaves alone. */
	if (control_has_answered(run)) {
		if (run_control(run, "--cleanup", 1) < 0)
			fprintf(stderr,
			        "weir: the guard on the interfaces is left in place: remove it "
			        "with weir-control -c %s --cleanup\n",
			        run->config_path);
	} else if (run->has_started) {
		run_control(run, "--cleanup", 2);
	}
	run_probe_fini(&run->probe);
	run_upgrade_fini(run);
	if (ftruncate(run->lock_fd, 0) < 0)
		perror("weir: run.lock");
	close(run->signal_fd);
	return run->exit_code;
}

/* ---- command line ------------------------------------------------------------------------------- */

static void usage(FILE *out)
{
	fputs("usage: weir run -c FILE [--check]\n\n"
	      "Run the hub that the file describes: start weir-control and weir-dataplane, and start\n"
	      "one again that ends. SIGTERM or SIGINT ends both.\n\n"
	      "  -c, --config FILE         configuration (weir.conf(5))\n"
	      "      --check               read the file, say whether it is good, and start nothing\n"
	      "  -h, --help                this text\n\n"
	      "exit: 0 ended as asked, 1 could not start (the reason is above), 2 usage\n",
	      out);
}

static int find_programs(struct run *run)
{
	static const char *const folders[] = {"control", "dataplane"};
	static const char *const programs[] = {"weir-control", "weir-dataplane"};

	for (int i = 0; i < RUN_N_CHILDREN; i++) {
		run_child_init(&run->children[i], programs[i]);
		if (run_child_find(folders[i], programs[i], run->children[i].path) < 0)
			return -1;
	}
	return 0;
}

int weir_run(int argc, char **argv)
{
	struct run run = {.probe = {.fd = -1}};
	bool check = false;
	int r;

	run_upgrade_init(&run.upgrade);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-c") == 0 || strcmp(argv[i], "--config") == 0) {
			if (i + 1 == argc) {
				fprintf(stderr, "weir: %s needs a value\n", argv[i]);
				usage(stderr);
				return WEIR_USAGE;
			}
			run.config_path = argv[++i];
		} else if (strcmp(argv[i], "--check") == 0) {
			check = true;
		} else if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
			usage(stdout);
			return WEIR_DONE;
		} else {
			fprintf(stderr, "weir: run does not take \"%s\"\n", argv[i]);
			usage(stderr);
			return WEIR_USAGE;
		}
	}
	if (!run.config_path) {
		fputs("weir: -c FILE is missing\n", stderr);
		usage(stderr);
		return WEIR_USAGE;
	}
	if (find_programs(&run) < 0 || run_control(&run, "--check", check ? 0 : 1) < 0)
		return WEIR_REFUSED;
	if (check)
		return WEIR_DONE;
	if (read_config(&run) < 0 || lock(&run) < 0)
		return WEIR_REFUSED;
	r = supervise(&run);
	close(run.lock_fd);
	return r;
}

#include "run_children.h"

#include "base_bytes.h"
#include "base_time.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define BACKOFF_MIN_NS (10 * BASE_NS_PER_MS)
#define BACKOFF_MAX_NS                                                                             \
	(1 * BASE_NS_PER_S) /* whoever waits for the tunnels waits no longer than that */
#define LIVED_NS (1 * BASE_NS_PER_S)

void run_child_init(struct run_child *child, const char *program)
{
	memset(child, 0, sizeof(*child));
	child->program = program;
	child->pidfd = -1;
	child->backoff_ns = BACKOFF_MIN_NS;
}

int run_child_find(const char *folder, const char *program, char path[static PATH_MAX])
{
	char candidates[3][PATH_MAX];
	char self[PATH_MAX / 2];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (len < 0) {
		perror("weir: /proc/self/exe");
		return -1;
	}
	self[len] = '\0';
	*strrchr(self, '/') = '\0';
	snprintf(candidates[0], PATH_MAX, "%s/%s", self, program);
	snprintf(candidates[1], PATH_MAX, "%s/../%s/%s", self, folder, program);
	snprintf(candidates[2], PATH_MAX, "%s/%s", WEIR_SBINDIR, program);
	for (size_t i = 0; i < BASE_ARRAY_LEN(candidates); i++) {
		if (access(candidates[i], X_OK) < 0)
			continue;
		memcpy(path, candidates[i], PATH_MAX);
		return 0;
	}
	fprintf(stderr, "weir: %s is neither in %s nor in %s\n", program, self, WEIR_SBINDIR);
	return -1;
}

/* Field 22 of /proc/PID/stat; the name in field 2 can hold anything, so count behind its ')'. */
static uint64_t start_ticks_of(pid_t pid)
{
	char path[64];
	char text[1024];
	unsigned long long ticks = 0;
	const char *rest;
	FILE *file;
	size_t len;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	len = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[len] = '\0';
	rest = strrchr(text, ')');
	for (int field = 2; rest && field < 22; field++) {
		rest = strchr(rest, ' ');
		rest = rest ? rest + 1 : NULL;
	}
	return rest && sscanf(rest, "%llu", &ticks) == 1 ? ticks : 0;
}

int run_child_start(struct run_child *child, char *const argv[], uint64_t now_ns)
{
	sigset_t none;
	pid_t pid = fork();

	if (pid < 0) {
		fprintf(stderr, "weir: %s: %s\n", child->program, strerror(errno));
		return -1;
	}
	if (pid == 0) {
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		signal(SIGHUP, SIG_DFL);
		signal(SIGPIPE, SIG_DFL);
		setpgid(0, 0); /* what is typed at the terminal goes through the supervisor */
		execv(child->path, argv);
		fprintf(stderr, "weir: %s: %s\n", child->path, strerror(errno));
		_exit(1);
	}
	child->pid = pid;
	child->pidfd = pidfd_open(pid, 0);
	child->is_own = true;
	child->start_ticks = start_ticks_of(pid);
	child->started_ns = now_ns;
	if (child->pidfd < 0) {
		fprintf(stderr, "weir: %s: pidfd: %s\n", child->program, strerror(errno));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		child->pid = 0;
		return -1;
	}
	return 0;
}

int run_child_adopt(struct run_child *child, pid_t pid, uint64_t start_ticks)
{
	int fd = pidfd_open(pid, 0);

	if (fd < 0)
		return -1;
	/* Compared after pidfd_open(): the descriptor and the time are of one process. */
	if (start_ticks == 0 || start_ticks_of(pid) != start_ticks) {
		close(fd);
		return -1;
	}
	child->pid = pid;
	child->pidfd = fd;
	child->is_own = false;
	child->start_ticks = start_ticks;
	child->started_ns = base_time_monotonic_ns();
	return 0;
}

bool run_child_reap(struct run_child *child, uint64_t now_ns, char *how, size_t size)
{
	int status = 0;
	bool refused = false;

	snprintf(how, size, "ended");
	if (child->is_own && waitpid(child->pid, &status, 0) == child->pid) {
		if (WIFSIGNALED(status))
			snprintf(how, size, "ended by signal %d (%s)", WTERMSIG(status),
			         strsignal(WTERMSIG(status)));
		else
			snprintf(how, size, "ended with exit code %d", WEXITSTATUS(status));
		refused = WIFEXITED(status)
		          && (WEXITSTATUS(status) == 1 || WEXITSTATUS(status) == 2);
	}
	close(child->pidfd);
	child->pidfd = -1;
	child->pid = 0;
	child->backoff_ns = now_ns - child->started_ns >= LIVED_NS || child->start_at_ns == 0
	                            ? BACKOFF_MIN_NS
	                            : child->backoff_ns * 2;
	if (child->backoff_ns > BACKOFF_MAX_NS)
		child->backoff_ns = BACKOFF_MAX_NS;
	child->start_at_ns = now_ns + child->backoff_ns;
	return refused;
}

void run_child_drop(struct run_child *child)
{
	if (child->is_own && child->pid != 0)
		while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
			;
	if (child->pidfd >= 0)
		close(child->pidfd);
	child->pidfd = -1;
	child->pid = 0;
}

void run_child_signal(struct run_child *child, int number)
{
	if (child->pidfd >= 0 && pidfd_send_signal(child->pidfd, number, NULL, 0) < 0
	    && errno != ESRCH)
		fprintf(stderr, "weir: %s: signal %d: %s\n", child->program, number,
		        strerror(errno));
}

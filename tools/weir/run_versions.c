#include "run_versions.h"

#include "base_time.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_NS (5 * BASE_NS_PER_S)

/* In the child: standard output into the pipe, nothing else of ours. */
static void become(const char *path, int out)
{
	char *argv[] = {(char *)(unsigned long)path, (char[]){"--versions"}, NULL};
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(out, STDOUT_FILENO) >= 0)
		execv(path, argv);
	_exit(127);
}

/* All that comes until the end of the pipe, or the time. */
static void read_line(int fd, char *text, size_t size)
{
	uint64_t end_ns = base_time_monotonic_ns() + PATIENCE_NS;
	size_t len = 0;

	while (len + 1 < size) {
		uint64_t now_ns = base_time_monotonic_ns();
		struct pollfd readable = {.fd = fd, .events = POLLIN};
		ssize_t n;

		if (now_ns >= end_ns
		    || poll(&readable, 1, (int)((end_ns - now_ns) / BASE_NS_PER_MS) + 1) <= 0)
			break;
		n = read(fd, text + len, size - 1 - len);
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	text[len] = '\0';
}

int run_versions_ask(const char *path, struct run_versions *out, char *why, size_t why_len)
{
	char text[256];
	int ends[2];
	pid_t pid;

	*out = (struct run_versions){0};
	if (pipe2(ends, O_CLOEXEC) < 0) {
		snprintf(why, why_len, "%s", strerror(errno));
		return -1;
	}
	pid = fork();
	if (pid == 0)
		become(path, ends[1]);
	close(ends[1]);
	if (pid > 0) {
		read_line(ends[0], text, sizeof(text));
		kill(pid, SIGKILL); /* one that has said it has ended, or is about to */
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	close(ends[0]);
	if (pid > 0
	    && sscanf(text, "%*s %31s abi %u store %u", out->release, &out->abi, &out->store) >= 2)
		return 0;
	snprintf(why, why_len, "%s does not say its versions (--versions)", path);
	return -1;
}

/* Whether this command is given over SSH, and from where. sshd says so in the environment of the shell
 * it starts; sudo does not hand that on, so the parents' environments are looked at too (as root one
 * may). */
#include "weir.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PARENTS_MAX 32

static const char variable[] = "SSH_CONNECTION=";

/* A file of /proc, zero-terminated; returns its length, 0 when it cannot be read. */
static size_t read_file(pid_t pid, const char *name, char *buf, size_t size)
{
	char path[64];
	size_t len = 0;
	ssize_t n = 1;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && len < size - 1 && (n = read(fd, buf + len, size - 1 - len)) > 0)
		len += (size_t)n;
	if (fd >= 0)
		close(fd);
	buf[len] = '\0';
	return len;
}

/* The parent, from "pid (name) S ppid ..."; the name may hold anything. */
static pid_t parent_of(pid_t pid)
{
	char buf[1024];
	char *end;

	read_file(pid, "stat", buf, sizeof(buf));
	end = strrchr(buf, ')');
	return end && strlen(end) > 4 ? (pid_t)strtol(end + 4, NULL, 10) : 0;
}

static bool look_at(pid_t pid, char *out, size_t size)
{
	static char buf[256 * 1024];
	size_t len = read_file(pid, "environ", buf, sizeof(buf));

	for (size_t i = 0; i < len; i += strlen(buf + i) + 1) {
		if (strncmp(buf + i, variable, sizeof(variable) - 1) != 0)
			continue;
		snprintf(out, size, "%s", buf + i + sizeof(variable) - 1);
		return true;
	}
	return false;
}

bool weir_ssh_connection(char *buf, size_t size)
{
	const char *own = getenv("SSH_CONNECTION");
	pid_t pid = getppid();

	if (own) {
		snprintf(buf, size, "%s", own);
		return true;
	}
	for (int i = 0; i < PARENTS_MAX && pid > 1; i++) {
		if (look_at(pid, buf, size))
			return true;
		pid = parent_of(pid);
	}
	return false;
}

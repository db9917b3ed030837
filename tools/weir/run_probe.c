#include "run_probe.h"

#include "base_time.h"

#include <jansson.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define INTERVAL_NS (10 * BASE_NS_PER_MS)
#define ANSWER_NS   (1 * BASE_NS_PER_S) /* without one, connect again */

static const char question[] = "{\"method\":\"status\"}\n";

static void drop(struct run_probe *probe)
{
	if (probe->fd >= 0)
		close(probe->fd);
	probe->fd = -1;
	probe->is_asked = false;
	probe->len = 0;
}

static bool dial(struct run_probe *probe, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(address.sun_path))
		return false;
	memcpy(address.sun_path, path, strlen(path));
	probe->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (probe->fd >= 0 && connect(probe->fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return true;
	drop(probe);
	return false;
}

/* The whole answer, or not yet. */
static bool has_line(struct run_probe *probe)
{
	ssize_t n = recv(probe->fd, probe->text + probe->len, sizeof(probe->text) - probe->len, 0);

	if (n > 0)
		probe->len += (size_t)n;
	else if (n == 0 || errno != EAGAIN)
		drop(probe);
	return probe->len > 0 && probe->text[probe->len - 1] == '\n';
}

static bool is_pid(const json_t *process, pid_t pid)
{
	const json_t *value = json_object_get(process, "pid");

	return json_is_integer(value) && json_integer_value(value) == pid;
}

static bool says_ready(struct run_probe *probe, pid_t control_pid, pid_t dataplane_pid)
{
	json_t *answer = json_loadb(probe->text, probe->len, 0, NULL);
	json_t *result = json_object_get(answer, "result");
	const json_t *dataplane = json_object_get(result, "dataplane");
	bool ready = json_is_true(json_object_get(dataplane, "ready"))
	             && (dataplane_pid == 0 || is_pid(dataplane, dataplane_pid));
	bool ours = is_pid(json_object_get(result, "control"), control_pid);

	probe->has_answered |= ours;
	probe->is_asked = false;
	probe->len = 0;
	json_decref(answer);
	return ready && ours;
}

bool run_probe_turn(struct run_probe *probe, const char *socket_path, pid_t control_pid,
                    pid_t dataplane_pid, uint64_t now_ns)
{
	if (probe->is_asked && has_line(probe)) {
		if (says_ready(probe, control_pid, dataplane_pid))
			return true;
		probe->next_ns = now_ns + INTERVAL_NS;
		return false;
	}
	if (now_ns < probe->next_ns)
		return false;
	if (probe->is_asked)
		drop(probe); /* no answer in time */
	probe->next_ns = now_ns + INTERVAL_NS;
	if (probe->fd < 0 && !dial(probe, socket_path))
		return false;
	if (send(probe->fd, question, sizeof(question) - 1, MSG_NOSIGNAL)
	    != (ssize_t)sizeof(question) - 1) {
		drop(probe);
		return false;
	}
	probe->is_asked = true;
	probe->next_ns = now_ns + ANSWER_NS;
	return false;
}

void run_probe_fini(struct run_probe *probe)
{
	drop(probe);
}

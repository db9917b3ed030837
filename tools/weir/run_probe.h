/* Is the hub ready? Asks `status` over the control socket, without waiting for anything. */
#ifndef RUN_PROBE_H
#define RUN_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct run_probe {
	int fd;            /* -1 = not connected; readable = call run_probe_turn() */
	uint64_t next_ns;  /* when to call it at the latest */
	bool has_answered; /* control did, once */
	bool is_asked;     /* a question is under way */
	size_t len;
	char text[64 * 1024]; /* of the answer so far */
};

/* Go on asking: every 10 ms until the answer says that the dataplane is ready. Returns true then.
 * Answers of another process than control_pid do not count, nor another dataplane than dataplane_pid (0 =
 * any). */
bool run_probe_turn(struct run_probe *probe, const char *socket_path, pid_t control_pid,
                    pid_t dataplane_pid, uint64_t now_ns);
void run_probe_fini(struct run_probe *probe);

#endif

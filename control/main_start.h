/* What is made in which order, and for whom. Private to weir-control's main. */
#ifndef MAIN_START_H
#define MAIN_START_H

#include "abi_rendezvous.h"
#include "base_log.h"
#include "takeover.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct abi_setup;
struct config;
struct edge;
struct event;
struct event_base;
struct hook;
struct hub_key;
struct kernel;
struct model;
struct peer_table;
struct program;
struct resolve;
struct serve;
struct session_table;
struct store;
struct uapi;
struct watch;

#define MAIN_ERROR_LEN 512

struct control {
	struct config *config;
	uid_t uid; /* whom control becomes */
	gid_t gid;
	uint8_t private_key[32]; /* wiped once session has it */
	char stamp_path[300];
	struct event_base *base;
	struct event *signals[2];
	struct program *program;
	struct abi_fds devices; /* until program has them */
	bool devices_made;
	struct session_table *sessions;
	struct hub_key *hub_key;
	struct kernel *kernel;
	struct edge *edge; /* NULL = the configuration has none */
	struct store *store;
	struct resolve *resolve;
	struct peer_table *peers;
	struct watch *watch;
	struct hook *hook; /* NULL = the configuration has none */
	char *hook_ca;     /* whose certificates it trusts, read as root; NULL = the system's */
	int serve_fd;      /* control socket, until serve has it; -1 = none */
	struct model *model;
	struct serve *serve;
	struct base_log_limit drift_limit;
	int uapi_fd; /* the same of wg(8)'s */
	struct uapi *uapi;
	int uapi_listener; /* as long as there is uapi; borrowed */

	/* handing over to another control (main_handover.c) */
	bool takes_over; /* this is the other one */
	struct takeover_gift gift;
	struct takeover *takeover;
	struct event *handover_timer;
	uint32_t handover_state;
	uint64_t handover_until_ns;
	int parent_fd;   /* who waits for the start (--background); -1 = nobody */
	bool has_failed; /* the exit code says so */
};

/* Log one line, and return r. */
int main_fail(int r, const char *error);

/* What the dataplane is told to be, by the configuration. */
void main_setup_dataplane(struct abi_setup *out, const struct config *config);

/* The two halves of the start, in this order; what was made meanwhile stays in control, also on error.
 * Return 0 or -errno, with one line logged. */
int main_start_as_root(struct control *control) __attribute__((warn_unused_result));
int main_start_as_user(struct control *control) __attribute__((warn_unused_result));

#endif

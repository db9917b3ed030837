/* What the tests of a pair share: control/program in this process, a fake dataplane as its child
 * (fake_dataplane.h), a folder for their socket, and what control heard. One pair at a time. */
#ifndef PAIR_H
#define PAIR_H

#include "base_ip.h"
#include "base_time.h"
#include "fake_dataplane.h"
#include "program.h"
#include "test.h"

#include <event2/event.h>
#include <sys/types.h>

#define PAIR_N_WORKERS 2U
#define PAIR_N_PEERS   8192U
#define PAIR_LIMIT_S   20

struct pair_seen {
	uint32_t n_attached;
	uint32_t n_detached;
	bool resumed;
	uint32_t n_wanted;
	uint32_t wanted_us; /* how long hearing one takes */
	uint32_t n_out_of_order;
	uint32_t n_handshakes;
	struct abi_event_handshake handshake;
	uint32_t worker;
	uint32_t n_confirmed;
	uint32_t n_moved;
	struct abi_event_endpoint moved;
	uint32_t n_rekeys;
	uint32_t n_neighbours;
	uint32_t index;
	uint32_t peer;
	uint32_t n_without_blob; /* answers that there is none */
	uint32_t n_blobs;        /* answers about blobs; the last: */
	enum abi_blob blob_kind;
	uint64_t blob_generation;
	int blob_err;
	char blob_reason[104];
	uint32_t n_drift[3]; /* enum program_drift_news */
	struct program_finding drift;
};

struct pair {
	char directory[64];
	char path[80];
	struct event_base *base;
	struct event *tick;
	struct program *program;
	struct fake *fake;
	pid_t pid;
	struct pair_seen seen;
};

extern struct pair pair;
/* Into pair.seen. */
extern const struct program_events pair_callbacks;

/* Run control until the condition holds; fails after PAIR_LIMIT_S. */
#define PAIR_RUN_UNTIL(condition)                                                                  \
	do {                                                                                       \
		uint64_t limit_ns = base_time_monotonic_ns() + PAIR_LIMIT_S * BASE_NS_PER_S;       \
                                                                                                   \
		while (!(condition)) {                                                             \
			if (base_time_monotonic_ns() > limit_ns)                                   \
				fail_msg("waited in vain for %s", #condition);                     \
			event_base_loop(pair.base, EVLOOP_ONCE);                                   \
		}                                                                                  \
	} while (0)

/* Of each case: cmocka's set-up and tear-down. */
int pair_set_up(void **state);
int pair_tear_down(void **state);
#define PAIR_CASE(name) cmocka_unit_test_setup_teardown(name, pair_set_up, pair_tear_down)

/* The set-up that all share, to be changed before pair_create(). */
struct program_setup pair_make_setup(void);
void pair_create(const struct program_setup *setup);
/* A running, attached pair. */
void pair_start(void);

/* Times that a fake got or kept a region, by its own word. */
uint32_t pair_n_attached(void);
/* Commands of this type that the fake took. */
uint32_t pair_count_type(uint16_t type);

/* Prefix i of many, 10.x.y.z/32. */
struct base_prefix pair_make_prefix(uint32_t i);
/* Two peers, and one of everything else that is repeated to a dataplane. */
void pair_fill_desired_state(void);
/* The worker got what pair_fill_desired_state() made, between the marks, and nothing else. */
void pair_expect_whole_state(uint32_t worker);

#endif

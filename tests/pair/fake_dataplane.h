/* A dataplane without packets: a child process that keeps the rendezvous and the rings as the real
 * one does, writes down every command, and does what the test asks through shared memory. */
#ifndef FAKE_DATAPLANE_H
#define FAKE_DATAPLANE_H

#include "abi_blob.h"
#include "abi_region.h"
#include "abi_rendezvous.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define FAKE_LOG_MAX   60000U
#define FAKE_BLOBS_MAX 2048U

enum fake_exit {
	FAKE_EXIT_REFUSED = 3,
	FAKE_EXIT_FAILED = 4,
};

/* Shared between the test and its fake. Fields are read and written with __atomic. */
struct fake {
	/* written by the test */
	uint32_t stalled;        /* 1: take no commands */
	uint32_t deaf;           /* 1: answer no checks */
	uint32_t n_floods;       /* send this many SESSION_WANTED, peer = number, on worker 0 */
	uint32_t babbles;        /* 1: hang up, and send SESSION_WANTED on worker 0 for ever */
	uint32_t corrupt;        /* 1: write nonsense into the event ring's head */
	struct abi_record event; /* sent as it is (type, len, payload) on worker event_worker ... */
	uint32_t event_worker;
	uint32_t n_events_asked; /* ... each time this grows */
	uint32_t keeps_blobs;    /* 1: say nothing about blobs yet */
	uint32_t blob_err;       /* the answer to them */
	uint32_t
		loses_blobs; /* 1: its last worker goes on with the one before, and nobody says so */
	/* written by the fake */
	uint32_t pid;
	uint32_t n_attached; /* times it got or kept a region */
	uint64_t epoch;
	uint32_t fd_mask; /* of the last answer */
	uint32_t n_events_sent;
	char reason[96]; /* of a refusal */
	uint32_t n_blobs;
	struct {
		uint32_t kind;
		uint32_t has_fd;
		uint64_t generation;
		uint64_t hash; /* of its content */
	} blobs[FAKE_BLOBS_MAX];
	uint32_t n_log;
	struct {
		uint32_t worker;
		struct abi_record record;
	} log[FAKE_LOG_MAX];
};

/* Shared memory for one fake after the other. */
struct fake *fake_create(void);
void fake_destroy(struct fake *fake);

/* Start a fake on this rendezvous socket; it keeps trying to connect. Returns its pid. */
pid_t fake_start(struct fake *fake, const char *path);
/* kill -9 and reap. */
void fake_kill(pid_t pid);
/* Reap one that ends by itself. Returns its exit status. */
int fake_wait(pid_t pid);

/* Commands written down so far; waits for nothing. */
uint32_t fake_n_log(const struct fake *fake);
/* Forget them; only while the fake has nothing to take. */
void fake_clear_log(struct fake *fake);

/* Blobs of this kind that came so far. */
uint32_t fake_n_blobs(const struct fake *fake, enum abi_blob kind);

#endif

/* One capture at a time: packets of chosen peers, or drops, from the workers to whoever asked, as pcapng.
 * Begun by watch_capture_begin(), then read; it ends when enough is there, when time is up, when it is
 * told to, and by itself when nobody has read for 5 s. Packets are users' data: who captures what is
 * logged, and nothing is kept.
 *
 * Thread: control's main loop. */
#ifndef WATCH_CAPTURE_H
#define WATCH_CAPTURE_H

#include "abi_capture.h"
#include "watch.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WATCH_CAPTURE_READ_MAX (96U * 1024U) /* bytes of one reading */

struct watch_capture_spec {
	uint32_t what; /* ABI_CAPTURE_... */
	uint32_t peers[ABI_CAPTURE_PEERS_MAX];
	uint32_t n_peers; /* 0 = all */
	uint32_t snaplen;
	uint64_t count;     /* packets; 0 = no limit */
	uint32_t seconds;   /* 0 = no limit */
	const char *by;     /* for the log */
	const char *wanted; /* what, in words, for the log */
};

/* Returns 0 with *id, -EBUSY (there is one), -EINVAL or -errno. */
int watch_capture_begin(struct watch *watch, const struct watch_capture_spec *spec, uint64_t *id)
	__attribute__((warn_unused_result));

struct watch_capture_read {
	size_t len;         /* bytes written to the buffer; the file is their concatenation */
	uint64_t n_packets; /* so far */
	uint64_t n_lost;    /* so far: found no room */
	const char *ended;  /* why it is over now, a literal; NULL = it goes on */
};
/* out[WATCH_CAPTURE_READ_MAX]. Returns 0 or -ENOENT (no such capture, or over). */
int watch_capture_read(struct watch *watch, uint64_t id, uint8_t *out,
                       struct watch_capture_read *read) __attribute__((warn_unused_result));
/* Over with the next reading. Returns 0 or -ENOENT. */
int watch_capture_stop(struct watch *watch, uint64_t id) __attribute__((warn_unused_result));

#endif

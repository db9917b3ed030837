/* What people look at: packets that were dropped. Takes the workers' samples a few times a second, logs
 * them as wg-drop: lines, and keeps the last ones.
 *
 * The log is bounded: of each worker, peer and reason 5 lines at once and then one in 10 s, of all
 * together 50 at once and then 10 a second. What was left out is said by a line "suppressed N", before
 * the next line of the pair or within 10 s, so that in the end lines and suppressed ones add up to
 * what was dropped. (What is dropped before an opened packet is there counts for no peer.)
 *
 * Thread: control's main loop, all functions. */
#ifndef WATCH_H
#define WATCH_H

#include "abi_layout.h"

#include <stdint.h>

struct event_base;
struct peer_table;
struct program;
struct watch;

#define WATCH_NAME_LEN 64U

/* Borrowed until watch_destroy(). */
struct watch_setup {
	struct event_base *base;
	struct program *program;
	const struct peer_table *peers;
	uint32_t n_peers; /* as program's */
};

/* Returns 0 or -ENOMEM. */
int watch_create(const struct watch_setup *setup, struct watch **out)
	__attribute__((warn_unused_result));
void watch_destroy(struct watch *watch); /* NULL is fine */

/* program's events: a dataplane runs; it dropped a packet. */
void watch_attached(struct watch *watch);
void watch_drop_in(struct watch *watch, uint32_t worker, const struct abi_report_drop *drop);

/* A packet that was dropped, as it came. */
struct watch_drop {
	uint64_t number; /* one by one, above all of an earlier control */
	uint64_t wall_ns;
	uint32_t worker;
	char peer[WATCH_NAME_LEN]; /* name; "hub"; "-" = not known */
	struct abi_report_drop drop;
};

/* The oldest one that is still kept with a number above this; NULL = none. Takes what waits first. */
const struct watch_drop *watch_drop_after(struct watch *watch, uint64_t number);
/* Its number; without any, the one below the first to come. */
uint64_t watch_drop_newest(struct watch *watch);

/* "inner_source" for ABI_COUNTER_DROP_INNER_SOURCE; a literal. */
const char *watch_reason(uint32_t reason);
/* "tcp", "udp", "icmp", "icmp6", or the number, written to buf. */
const char *watch_proto(uint8_t proto, char buf[static 8]);
/* Name of a peer by its number, "hub" or "-"; borrowed, or written to buf ("peer-7": it is gone). */
const char *watch_peer(const struct peer_table *peers, uint32_t peer, char buf[static 16]);

#endif

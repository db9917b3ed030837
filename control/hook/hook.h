/* A webhook: lines that are posted to one URL over verified TLS, by a thread of its own, so that whoever answers slowly,
 * wrongly or not at all holds nobody up.
 *
 * Lines wait in a queue of bounded length; when it is full the oldest is lost, and counted. They go out in order, many in
 * one POST (application/x-ndjson). What is not answered with 2xx is tried again after a second, then two, up to a
 * minute, for as long as it takes; only what the receiver refuses for good (any other 3xx or 4xx than 408 and 429) is
 * given up, and counted. A receiver that takes a post and whose answer is lost gets it twice. What waits when the
 * process ends is lost. */
#ifndef HOOK_H
#define HOOK_H

#include <stdint.h>

struct hook;

/* Copied. */
struct hook_setup {
	const char *url;    /* https:// */
	const char *ca_pem; /* who may have signed its certificate; NULL = whom the system trusts */
	uint32_t n_queue;   /* lines that may wait; 0 = 1024 */
	uint32_t retry_ms;  /* the first pause; 0 = 1000 */
};

/* Read certificates for ca_pem, while one may: at least one, at most 1 MiB of text. Returns 0, -EINVAL (there
 * is none, or too much), -errno. Caller frees. */
int hook_ca_read(const char *path, char **out) __attribute__((warn_unused_result));

/* Returns 0, -ENOMEM or -errno of the thread. */
int hook_create(const struct hook_setup *setup, struct hook **out)
	__attribute__((warn_unused_result));
/* Ends a post that is under way, within a second, also when the resolver is silent: then libcurl's thread that asks it
 * may outlive the hook, and touches nothing of it. NULL is fine. */
void hook_destroy(struct hook *hook);

/* Queue a line, copied; never waits for the receiver. Thread: any. */
void hook_post(struct hook *hook, const char *line);

struct hook_counters {
	uint64_t posted;   /* lines that were taken */
	uint64_t dropped;  /* lost to a full queue, or to short memory */
	uint64_t refused;  /* given up, since the receiver does not want them */
	uint64_t failures; /* posts that are or were to be tried again */
	uint64_t waiting;  /* lines, also those under way */
};
struct hook_counters hook_counters(struct hook *hook);

#endif

/* Names of hosts to addresses, without waiting: c-ares on control's main loop. It reads /etc/hosts,
 * /etc/resolv.conf and /etc/nsswitch.conf as the C library does; when resolv.conf changes, the next question
 * goes by the new one. */
#ifndef RESOLVE_H
#define RESOLVE_H

#include "base_ip.h"

#include <stdint.h>

struct event_base;
struct resolve;

#define RESOLVE_ADDRESSES_MAX 8U

struct resolve_answer {
	const char *error; /* NULL, or why there is none; borrowed during the call */
	/* Each once, the one to try first in front (RFC 6724 by the kernel's routes). */
	struct base_ip ips[RESOLVE_ADDRESSES_MAX];
	uint32_t n_ips; /* > 0 without an error */
	uint32_t ttl_s; /* the least of the answer's records; 0 = it said none */
};

/* Called for each question, never from within resolve_ask(); what is still open at resolve_destroy() is not. */
typedef void resolve_fn(void *arg, uint64_t tag, const struct resolve_answer *answer);

/* Returns 0 or -errno. Caller: resolve_destroy(), before base goes. */
int resolve_create(struct event_base *base, struct resolve **out)
	__attribute__((warn_unused_result));
void resolve_destroy(struct resolve *resolve); /* NULL is fine */
void resolve_on_answer(struct resolve *resolve, resolve_fn *fn, void *arg);

/* Ask for a name's addresses of both families; tag comes back with the answer. Returns 0 or -ENOMEM. */
int resolve_ask(struct resolve *resolve, const char *host, uint64_t tag)
	__attribute__((warn_unused_result));

#endif

/* What the files of hook share. */
#ifndef HOOK_PRIVATE_H
#define HOOK_PRIVATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct hook_sender;

enum hook_verdict {
	HOOK_TAKEN = 0,
	HOOK_AGAIN = 1,   /* not now: network, TLS, 5xx, 408, 429 */
	HOOK_REFUSED = 2, /* never */
};

/* hook_send.c, for the thread of hook.c. stop: set by another thread, ends a post within a second. NULL: no memory. */
struct hook_sender *hook__sender_create(const char *url, const char *ca_pem,
                                        const atomic_bool *stop);
void hook__sender_destroy(struct hook_sender *sender);
/* One POST. why[len] gets the reason of another verdict than HOOK_TAKEN, without the URL, which may hold a secret. */
enum hook_verdict hook__send(struct hook_sender *sender, const char *body, size_t body_len,
                             char *why, size_t len);

#endif

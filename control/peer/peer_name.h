/* An endpoint by name: when it is looked up, what an answer changes, and where the hub calls next. No clock, no
 * socket and no store: all is passed in.
 *
 * Looked up at once when it is set or known again after a start; then when the answer's time to live is over, and
 * sooner when a handshake is not answered. A failure changes nothing but when the next question is due. */
#ifndef PEER_NAME_H
#define PEER_NAME_H

#include "resolve.h"
#include "store_name.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#define PEER_NAME_TTL_MIN_S   30U
#define PEER_NAME_TTL_MAX_S   3600U
#define PEER_NAME_RETRY_S     30U /* after a failure, doubled for each one more */
#define PEER_NAME_RETRY_MAX_S 480U
#define PEER_NAME_SOONER_S    10U /* for the sake of a handshake never oftener than this */
#define PEER_NAME_NEVER       UINT64_MAX

struct peer_name {
	struct store_name is;
	uint32_t peer;       /* number of the peer whose it is */
	uint32_t question;   /* the last, so that answers to others are known */
	bool is_asking;      /* it has no answer yet */
	uint64_t asked_ns;   /* 0 = never */
	uint64_t due_ns;     /* the next; monotonic */
	uint32_t n_failed;   /* in a row */
	uint64_t n_failures; /* in all, since control's start */
	char error[80];      /* of the last of n_failed */
	LIST_ENTRY(peer_name) link;
};

enum peer_name_news {
	PEER_NAME_SAME = 0,    /* it says what it said before, in whatever order */
	PEER_NAME_CHANGED = 1, /* another set of addresses: is.answer has it */
	PEER_NAME_FAILED = 2,  /* no address; the last answer stays */
};

/* when the next question is to be put, or PEER_NAME_NEVER while one is open. */
uint64_t peer_name_due_ns(const struct peer_name *name);
/* It is put now, and has this number. */
void peer_name_asked(struct peer_name *name, uint32_t question, uint64_t now_ns);
/* What came of it. Addresses of the hub itself are none that a peer can have: the caller has taken them out. */
enum peer_name_news peer_name_answered(struct peer_name *name, const struct resolve_answer *answer,
                                       uint64_t now_ns, uint64_t now_wall_ns);
/* A handshake with the peer was not answered: the name may say something else by now. */
void peer_name_doubt(struct peer_name *name, uint64_t now_ns);

bool peer_name_has(const struct store_name *name, const struct base_endpoint *endpoint);
/* The n-th address of the answer as an endpoint; port 0 behind the last. */
struct base_endpoint peer_name_endpoint(const struct store_name *name, uint32_t n);
/* Where to call when nobody answers at target: the next address of the answer, and in turn with them heard_at, where
 * the peer was heard last (port 0 = never was). Returns false when there is nowhere else. */
bool peer_name_next(const struct store_name *name, const struct base_endpoint *target,
                    const struct base_endpoint *heard_at, struct base_endpoint *out);

#endif

/* Every operation of the hub, as methods.json describes it: the one way in for the UNIX socket, and
 * for all transports to come. Takes and gives JSON; checks every argument against the description
 * before a handler sees it. Also keeps the edge's table of services in step with the store.
 *
 * Thread: control's main loop, all functions. */
#ifndef MODEL_H
#define MODEL_H

#include "config.h"

#include <jansson.h>

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct abi_report_drop;
struct edge;
struct event_base;
struct hook;
struct hub_key;
struct model;
struct peer_table;
struct program;
struct session_table;
struct store;
struct watch;

/* All borrowed until model_destroy(). */
struct model_setup {
	struct event_base *base;
	const struct config *config;
	struct store *store;
	struct peer_table *peers;
	struct session_table *session;
	struct hub_key *hub_key;
	struct program *program;
	struct watch *watch;
	struct edge *edge; /* NULL = none is configured */
	struct hook *hook; /* the webhook that events go to; NULL = likewise */
	/* Hand the workers a compiled policy (policy_table_check() takes it), borrowed during the
	 * call: at start, after each change of the policy or the peers, and when its windows want to
	 * be reckoned again. Returns 0 or -errno, and is then called again soon.
	 * NULL = nobody enforces the policy. */
	int (*policy_set)(void *arg, const void *table, size_t len);
	void *policy_arg;
	/* Hand the workers compiled drop lists (block_table_check() takes it), borrowed during the call, or
	 * NULL: nothing is dropped by its source any more. arg is policy_arg. Returns 0 or -errno, and is
	 * then called again soon. What becomes of it comes back by model_block_done(). NULL = nobody drops. */
	int (*block_set)(void *arg, const void *table, size_t len, uint64_t generation);
};

/* Before there is a model, while peers are loaded (peer_setup.store_gone; store: struct store *): these names, which
 * no peer has any more, are in no group from now on. In the caller's transaction. Returns 0, or -errno with one line
 * in error: it must be undone. */
int model_peers_gone(void *store, char (*names)[CONFIG_NAME_LEN], uint32_t n, char *error,
                     size_t error_len) __attribute__((warn_unused_result));

/* Publishes the stored services (makes certificates that are missing or run out). Jansson gets an
 * allocator that wipes what it frees, since replies can hold secrets: call before any other use of
 * it. Returns 0 or -errno with one line in error. */
int model_create(const struct model_setup *setup, struct model **out, char *error, size_t error_len)
	__attribute__((warn_unused_result));
void model_destroy(struct model *model); /* NULL is fine */

/* What became of the table of this generation that policy_set handed over: every worker uses it (err 0), or
 * they go on with the one before, and why. */
void model_policy_done(struct model *model, uint64_t table_generation, int err, const char *reason);
/* The dataplane is gone: nothing is in force until the next one has said so. */
void model_dataplane_gone(struct model *model);
/* Every worker uses the drop lists of this generation (err 0), or they were refused: why. */
void model_block_done(struct model *model, uint64_t generation, int err, const char *reason);

/* A worker dropped this packet, among others: of one for its source, the entries that it is on get their
 * hits. */
void model_block_hit(struct model *model, uint32_t worker, const struct abi_report_drop *drop);

/* Who asks for the operations that follow: what is logged of them names it. */
void model_caller_set(struct model *model, uid_t uid, pid_t pid);

/* Several operations that wait for the disk together: nothing of what is done between these two may be answered before
 * model_settle(), and nothing at all but an error when that is -errno. */
int model_gather(struct model *model) __attribute__((warn_unused_result));
int model_settle(struct model *model) __attribute__((warn_unused_result));

/* Run one operation. params is an object or NULL (none), borrowed.
 * Returns 0 with *result, or -errno with *error = {"code", "message", "field" (string or null)};
 * the other is NULL. Caller: json_decref(). When memory is short both may be NULL. */
int model_call(struct model *model, const char *method, json_t *params, json_t **result,
               json_t **error) __attribute__((warn_unused_result));

/* What an operation has come to that took its time: result, or error as of model_call(); both NULL when memory was
 * short. They are the callee's. */
typedef void model_reply_fn(void *arg, json_t *result, json_t *error);

/* As model_call(), for who has other things to do meanwhile: an operation that takes long (block.import of a long
 * list) returns MODEL_LATER, goes on in a thread, and comes to reply later, from the loop. What it changes, it
 * changes at once, just before its reply; other operations come before or after it as a whole. */
#define MODEL_LATER 1
int model_call_later(struct model *model, const char *method, json_t *params, model_reply_fn *reply,
                     void *arg, json_t **result, json_t **error)
	__attribute__((warn_unused_result));
/* Whoever waits with this arg does not any more. What is under way is done all the same, unless the model is
 * destroyed first: then nothing of it is. */
void model_forget(struct model *model, const void *arg);

#endif

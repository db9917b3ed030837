/* What the generated table holds, and what handlers share. Private to model. */
#ifndef MODEL_METHOD_H
#define MODEL_METHOD_H

#include "base_log.h"
#include "blocklist.h"
#include "grant.h"
#include "model.h"
#include "model_clock.h"
#include "peer.h"
#include "store_service.h"
#include "store_trail.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

struct event;
struct model_later;
struct model_trail_walk;
struct work;

enum model_type {
	MODEL_BOOLEAN = 0,
	MODEL_INTEGER = 1,
	MODEL_NAME = 2,
	MODEL_KEY = 3,
	MODEL_PREFIXES = 4, /* array of strings */
	MODEL_HOST = 5,
	MODEL_TARGET = 6, /* "peer:port" */
	MODEL_NAMES = 7,  /* array of names */
	MODEL_TEXT = 8,   /* one line */
	MODEL_WHO = 9,    /* of a grant, as grant_part.h has it */
	MODEL_TO = 10,
	MODEL_PROTOCOL = 11,
	MODEL_PORTS = 12,   /* array of strings */
	MODEL_WINDOWS = 13, /* array of strings */
	MODEL_TIME = 14,
	MODEL_FILE = 15,   /* {name, text} */
	MODEL_PREFIX = 16, /* address or network */
	MODEL_ADDRESS = 17,
	MODEL_DURATION = 18, /* model__duration_parse() */
	MODEL_AMOUNT = 19,   /* integer, or text with a unit */
	MODEL_BYTES = 20,    /* the same, of bytes */
	MODEL_SWITCH = 21,   /* true or false, or "yes" or "no": model__switch() */
	MODEL_ENDPOINT = 22, /* model__endpoint_parse() */
};

struct model_argument {
	const char *name;
	enum model_type type;
	bool required;
	int64_t min;         /* of an integer */
	int64_t max;         /* of an integer, or number of elements */
	const char *allowed; /* completes "must be ..." */
};

struct model_error {
	char code[24];
	char field[32]; /* "" = none */
	char text[400];
};

/* A handler: params is an object whose members were checked. Returns 0 with *result (NULL when
 * memory was short), or -errno with error. */
typedef int model_call_fn(struct model *model, const json_t *params, json_t **result,
                          struct model_error *error);

struct model_method;
/* Is this call to be answered later (model_later.h)? Returns 0 = no, MODEL_LATER = it has begun, or -errno with
 * error. */
typedef int model_later_fn(struct model *model, const struct model_method *method,
                           const json_t *params, struct model_error *error);

/* What the audit trail records of a call that succeeds: model_trail.c. */
enum model_changes {
	MODEL_CHANGES_NOTHING = 0,
	MODEL_CHANGES_STORED = 1, /* what it has changed in the store, if anything */
	MODEL_CHANGES_ALWAYS = 2,
	MODEL_CHANGES_EACH = 3, /* the same, with a record for each peer and group */
};

struct model_method {
	const char *name;
	model_call_fn *call;
	model_later_fn *later; /* NULL = never */
	const struct model_argument *arguments;
	size_t n_arguments;
	enum model_changes changes;
};

extern const struct model_method model_methods[];
extern const size_t model_n_methods;

#include "model_handlers.h" /* generated: one prototype a method */

/* Drop lists: model_block_table.c. */
struct model_block {
	struct blocklist *list;
	struct event *timer; /* the workers' table is to be made, or an entry ends */
	uint64_t seed;       /* of the table's hash */
	uint64_t generation; /* of the entries that were handed over last */
	uint64_t sent; /* the same as the dataplane says it: 0 = no table, for nothing is listed */
	uint64_t ready_ns; /* monotonic: not before that is the next one made */
	bool is_in_force;  /* every worker uses it */
	bool is_dirty;     /* entries have changed since */
	bool is_building;  /* the next table is on its way */
	/* by worker and scope: packets dropped when the last sample came; 0 = none did */
	uint64_t dropped[ABI_WORKERS_MAX][3];
	char refused[160]; /* why the workers refused the last one, or "" */
};

/* Limits of peers: model_limit.c. */
struct model_limits {
	struct model_limit_peer **peers; /* [max_peers], owned; NULL = none was ever wanted */
	uint8_t *is_there;               /* [max_peers] */
	uint32_t n_quotas;               /* peers that have one */
	struct event *timer;             /* every second: what passed */
};

/* Alarms about peers that should be up: model_alarm.c. */
struct model_alarm;
struct model_alarms {
	struct model_alarm **raised; /* [max_peers], owned; NULL = none stands */
	uint32_t n;
	uint32_t next; /* number of the peer that is looked at next */
	uint64_t started_ns;
	struct event *timer;
	struct base_log_limit limit;
};

struct model {
	struct model_setup setup;
	struct {
		uid_t uid;
		pid_t pid;
	} caller; /* of the operation under way, for the log */
	struct {
		model_reply_fn *reply; /* NULL = waits for the result */
		void *arg;
	} waiter;                        /* of the operation under way */
	struct work *work;               /* what would take the loop too long */
	LIST_HEAD(, model_later) laters; /* to be answered later */
	struct {
		uint32_t n;      /* long ones, under way */
		uint64_t n_busy; /* refused, since there were too many */
	} imports;
	struct {
		struct event *look;  /* every minute: is it longer than it may be? */
		struct event *sweep; /* there are records that were taken out to be freed */
		LIST_HEAD(, model_trail_walk) walks;
	} trail;
	uint64_t started_wall_ns;
	struct event *renewal; /* looks after certificates that run out */
	struct grant_policy policy;
	struct model_clock clock;
	struct event *clock_timer; /* every second: was the wall clock set? */
	struct event *used_timer;  /* every minute: which grants were used */
	struct event *table_timer; /* the workers' table is to be made again */
	uint32_t table_generation; /* of the last table made; 0 = none yet */
	uint64_t table_next_ns;    /* monotonic: none for a peer that comes or goes before */
	bool table_waits;          /* such a peer is not in the one that was sent */
	bool table_has_lost;       /* among those are such that are gone */
	struct {
		uint32_t table; /* generation of the last table handed over; 0 = none */
		uint64_t policy;
		bool is_in_force;  /* every worker uses it */
		char refused[104]; /* why not; "" = it is on its way */
	} sent;
	struct model_block block;
	struct model_limits limits;
	struct model_alarms alarms;
};

/* Fill error and return err, for return model__refuse(...). field may be NULL. */
int model__refuse(struct model_error *error, int err, const char *code, const char *field,
                  const char *format, ...) __attribute__((format(printf, 5, 6)));
/* The same from a lower module's error. */
int model__refuse_store(struct model *model, int err, struct model_error *error);
int model__refuse_peer(struct model_error *error, int err, const struct peer_error *why);

/* What a reply says of an error; NULL when memory is short. */
json_t *model__error_json(const struct model_error *error);

/* model_check.c: params against the description; "bad_argument" names the argument, what was read
 * and what is allowed. params may be NULL. Returns 0 or -EINVAL. */
int model__check(const struct model_method *method, const json_t *params,
                 struct model_error *error);
/* "peer:port". peer[CONFIG_NAME_LEN]. Returns 0 or -EINVAL. */
int model__target_parse(const char *text, char *peer, uint16_t *port);
/* "address:port", "name:port" or "none". Returns 0 or -EINVAL. */
int model__endpoint_parse(const char *text, struct peer_endpoint *out);
/* "90s", "15m", "12h", "7d", in seconds: 1 s to ten years. Returns 0 or -EINVAL. */
int model__duration_parse(const char *text, uint64_t *out_s);

/* A switch that was checked; NULL is no. */
bool model__switch(const json_t *value);

/* model_trail.c: what is asked, as the audit trail says it. Reads nothing but its arguments: in any thread. */
void model__trail_summarize(const struct model_method *method, const json_t *params,
                            char out[static STORE_TRAIL_SUMMARY_LEN]);
/* Call the method, and record what it changes. params is an object that was checked. */
int model__trail_call(struct model *model, const struct model_method *method, const json_t *params,
                      json_t **result, struct model_error *error);

/* model_trail_keep.c: see to it that the audit trail does not grow beyond what the configuration allows. Returns 0 or
 * -ENOMEM. */
int model__trail_keep_begin(struct model *model);
void model__trail_keep_end(struct model *model);

/* model_text.c: pieces of replies. JSON values are new; NULL when memory is short. */
json_t *model__time(uint64_t wall_ns); /* RFC 3339, or null for 0 */
json_t *model__key(const uint8_t key[static 32]);
json_t *model__hash(const uint8_t hash[static 32]);            /* in hexadecimal */
json_t *model__endpoint(const struct base_endpoint *endpoint); /* or null for port 0 */
/* "host:port" as clients dial it; false when nothing is known. */
#define MODEL_ENDPOINT_LEN 300
bool model__hub_endpoint(const struct config *config, char out[static MODEL_ENDPOINT_LEN]);

/* The peer that params name, by number, ABI_PEER_HUB for "hub"; *any without one. Returns 0, or -ENOENT with
 * error. */
int model__peer_or_hub(const struct model *model, const json_t *params, bool *any, uint32_t *number,
                       struct model_error *error);

/* model_killswitch.c: the kill switch's lines for the [Interface] section, "" for none. Returns 0, or
 * -EINVAL with error when the hub's addresses are not known. */
enum model_kill_switch {
	MODEL_KILL_SWITCH_NONE = 0,
	MODEL_KILL_SWITCH_UP = 1,      /* while the tunnel is up */
	MODEL_KILL_SWITCH_PERSIST = 2, /* until it is taken away by hand */
};
#define MODEL_KILL_SWITCH_LEN 4096
int model__kill_switch(const struct config *config, enum model_kill_switch kind, char *buf,
                       size_t size, struct model_error *error);

/* model_quick.c: a peer's file for wg-quick. */
struct model_quick {
	const struct peer *peer;
	const uint8_t *private_key;   /* NULL = a placeholder stands there, with a comment */
	const uint8_t *preshared_key; /* the same */
	const char *kill_switch;      /* of model__kill_switch() */
};
/* Returns a JSON string; the caller's copies of the keys are the caller's to wipe. */
json_t *model__quick(const struct model *model, const struct model_quick *quick);

/* model_service.c: hand the stored services to the edge. Returns 0 or -errno with error. */
int model__services_publish(struct model *model, struct model_error *error);
/* True when a service points to this peer; name[CONFIG_NAME_LEN] gets the first one's. Returns 1,
 * 0, -errno. */
int model__services_of_peer(struct model *model, const char *peer, char *name);
/* Number of services, or -errno. */
int model__services_count(struct model *model);

/* model_event.c: what happens goes to the webhook; how it fares, or null. */
void model__events_hook(struct model *model, bool on);
json_t *model__webhook_json(const struct model *model);

/* model_rotate.c: what becomes of rotations is told as an event. */
void model__rotations_watch(struct model *model, bool on);

/* model_hub.c: how far the hub is between two keys, or null. */
json_t *model__hub_rotation_json(const struct model *model);

/* model_drift.c: how much of what the workers hold is not as wanted. */
json_t *model__drift_status(const struct model *model);

#endif

/* Lists of objects as text in libconfig's syntax, ( { name = "..."; ... }, ... ), as a policy and a roster of peers
 * are: what every such text needs to be read with messages that name line, object and key, and to be written. */
#ifndef GRANT_OBJECT_H
#define GRANT_OBJECT_H

#include "config.h"
#include "grant.h"

#include <libconfig.h>

#include <stdio.h>

/* The object that is being read, for messages. */
struct grant_object {
	const char *kind; /* "group", "grant", "peer" */
	const char *name; /* or "" */
	struct grant_error *error;
};

int grant_object_line(const config_setting_t *setting);

/* All fill error, with the line, and return -EINVAL.
 * 'grant "web": protocol is "tpc", must be ...': verb is "is", or "has" for an element; value NULL = not text. */
int grant_object_wrong(const struct grant_object *object, const config_setting_t *setting,
                       const char *verb, const char *value, const char *must);
int grant_object_missing(const struct grant_object *object, const config_setting_t *of,
                         const char *key, const char *must);
int grant_object_unknown(const struct grant_object *object, const config_setting_t *setting,
                         const char *known);

/* Number of elements of a list or array of at most max, or -EINVAL with error. */
int grant_object_list_len(const struct grant_object *object, const config_setting_t *setting,
                          int max);
/* Every object is a group of settings with a name: into name, which object borrows. Returns 0 or -EINVAL with
 * error. */
int grant_object_begin(struct grant_object *object, const config_setting_t *setting,
                       char name[static CONFIG_NAME_LEN]);

/* Call read for each object of a list, until it returns non-zero, and return that. */
typedef int grant_object_fn(struct grant_object *object, const config_setting_t *setting,
                            void *out);
int grant_object_list(const config_setting_t *list, const char *kind, grant_object_fn *read,
                      void *out, struct grant_error *error);

/* Take a text apart into config, which config_init() has made; what: "policy", for messages. @include is refused:
 * libconfig would open other files of this machine for whoever sends a text. Returns 0 or -EINVAL with error. */
int grant_object_parse(config_t *config, const char *text, const char *what,
                       struct grant_error *error) __attribute__((warn_unused_result));

/* libconfig's string; and a key with one: ' key = "text";'. The text has no control characters. */
void grant_object_put_string(FILE *out, const char *text);
void grant_object_put_key(FILE *out, const char *key, const char *text);

/* The whole list: 'key: (', objects[n] of so many bytes each, a line each as put writes it, and ');'. */
typedef void grant_object_put_fn(const void *object, FILE *out);
void grant_object_put_list(FILE *out, const char *key, const void *objects, uint32_t n, size_t size,
                           grant_object_put_fn *put);

#endif

/* One key of the configuration: its name, what it may hold, how it is read. The tables are in
 * config_keys.c; config_load.c walks the file along them. Private to config. */
#ifndef CONFIG_KEY_H
#define CONFIG_KEY_H

#include "config.h"

#include <libconfig.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config_key;

/* Read setting into object (at key->offset). Returns 0, or -EINVAL with *bad the setting that is
 * not allowed: setting itself or one of its elements. */
typedef int config_read_fn(const struct config_key *key, config_setting_t *setting, void *object,
                           config_setting_t **bad);

struct config_key {
	const char *name;
	const char *allowed; /* completes "must be ..." */
	config_read_fn *read;
	size_t offset; /* of the field in the object's struct */
	size_t size;   /* of a text field */
	int64_t min;
	int64_t max;
	bool required;
};

/* A group of the file, "hub", or an element of a list, "ports". */
struct config_object {
	const char *name;
	const struct config_key *keys;
	size_t n_keys;
};

extern const struct config_object config__hub;
extern const struct config_object config__dataplane;
extern const struct config_object config__port;
extern const struct config_object config__control;
extern const struct config_object config__edge;
extern const struct config_object config__policy;
extern const struct config_object config__events;
extern const struct config_object config__debug;
extern const struct config_object config__limits;
extern const struct config_object config__peer;

/* Where an error is written to; the first one ends the loading. */
struct config_error {
	const char *path; /* of the file */
	char *text;
	size_t len;
};

/* Write "FILE:LINE: " and the message. Returns -EINVAL, for return config__fail(...). */
int config__fail(const struct config_error *error, const config_setting_t *where,
                 const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The whole file, zero-terminated. Caller frees. Returns 0, -ENOMEM, -errno with the message. */
int config__text_read(const struct config_error *error, char **out, size_t *len_out);
/* Refuse what libconfig would cut or follow: numbers beyond 32 bits, @include, zero bytes. */
int config__text_check(const struct config_error *error, const char *text, size_t len);

/* What was read, for a message: "text", 70000, true, a list of 3. Returns buf. */
#define CONFIG_SHOWN_LEN 96
const char *config__show(config_setting_t *setting, char buf[static CONFIG_SHOWN_LEN]);

/* Read the one line of a preshared key file. Returns 0, or -EINVAL with *wrong a literal or
 * strerror() text. */
int config__preshared_key_read(const char *path, uint8_t key[static 32], const char **wrong);

/* What one key cannot show alone: duplicates, overlaps, addresses that do not fit each other.
 * Returns 0 or -EINVAL. */
int config__check(const struct config *config, const config_setting_t *root,
                  const struct config_error *error);

#endif

/* Cryptokey routing table (whitepaper 2): prefix -> value, longest match, IPv4 and IPv6 in two
 * compressed binary tries whose nodes lie in one growing array (indices, not pointers). The value
 * is a 32-bit id; WG_ALLOWEDIPS_NONE means no match. One owner thread; look-ups do not allocate. */
#ifndef WG_ALLOWEDIPS_H
#define WG_ALLOWEDIPS_H

#include "base_ip.h"

#include <stddef.h>
#include <stdint.h>

#define WG_ALLOWEDIPS_NONE UINT32_MAX

struct wg_allowedips;

/* Returns NULL when memory is short. Caller: wg_allowedips_destroy() (NULL is fine). */
struct wg_allowedips *wg_allowedips_create(void);
void wg_allowedips_destroy(struct wg_allowedips *table);

/* Give prefix (host bits are ignored) to value; a previous holder of exactly this prefix loses it
 * at once; *moved_from (may be NULL) gets it, or NONE when nobody else held it. Returns 0, -ENOMEM, -EINVAL (family, length,
 * value NONE); on error nothing changed. */
int wg_allowedips_insert(struct wg_allowedips *table, const struct base_prefix *prefix,
                         uint32_t value, uint32_t *moved_from) __attribute__((warn_unused_result));

/* Remove exactly this prefix if value holds it. Returns 0 or -ENOENT. */
int wg_allowedips_remove(struct wg_allowedips *table, const struct base_prefix *prefix,
                         uint32_t value);

/* Remove every prefix of value. Cost: a walk of the table. Returns how many. */
size_t wg_allowedips_remove_value(struct wg_allowedips *table, uint32_t value);

/* Longest match. address: 4 or 16 bytes, network order. */
uint32_t wg_allowedips_lookup_v4(const struct wg_allowedips *table,
                                 const uint8_t address[static 4]);
uint32_t wg_allowedips_lookup_v6(const struct wg_allowedips *table,
                                 const uint8_t address[static 16]);
uint32_t wg_allowedips_lookup(const struct wg_allowedips *table, const struct base_ip *ip);

/* Number of prefixes. */
size_t wg_allowedips_count(const struct wg_allowedips *table);

/* Bytes allocated: 32 a node, fewer than two nodes a prefix, and 16 a single address; doubled when
 * full. */
size_t wg_allowedips_memory(const struct wg_allowedips *table);

/* Call fn for every prefix, IPv4 first, ascending; stops when it returns non-zero. */
typedef int wg_allowedips_fn(void *arg, const struct base_prefix *prefix, uint32_t value);
int wg_allowedips_each(const struct wg_allowedips *table, wg_allowedips_fn *fn, void *arg);

#endif

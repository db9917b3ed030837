/* What a peer may send and be sent, as people write it: packets and bytes a second with their bursts, and
 * bytes a month. Pure: no store, no socket, no worker; and no clock, which is passed in. */
#ifndef LIMIT_H
#define LIMIT_H

#include "abi_layout.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 0 = none; a burst of 0 beside a rate = a tenth of a second of it, at least 32 packets or 64 KiB. */
struct limit_spec {
	struct abi_limit_rate rx; /* rx is what the hub receives from the peer */
	struct abi_limit_rate tx;
	uint64_t quota_rx; /* bytes a month, as all bytes here those of inner packets */
	uint64_t quota_tx;
	uint64_t quota; /* both together */
};

struct limit_field {
	const char *name;    /* "rx_packets"; as an option "--rx-packets" */
	const char *allowed; /* completes "must be ..." */
	size_t offset;       /* in struct limit_spec */
	bool is_bytes;
	uint64_t min; /* unless it is 0 */
	uint64_t max;
};

#define LIMIT_N_FIELDS 11U
extern const struct limit_field limit_fields[LIMIT_N_FIELDS];

/* NULL = there is no field of this name. */
const struct limit_field *limit_field_find(const char *name);
uint64_t limit_field_get(const struct limit_field *field, const struct limit_spec *spec);
/* Returns 0 or -ERANGE. */
int limit_field_set(const struct limit_field *field, struct limit_spec *spec, uint64_t value)
	__attribute__((warn_unused_result));
/* The same from text: "5000", "20M", "1Gi", and of bytes "20Mbit". Returns 0, -EINVAL, -ERANGE. */
int limit_field_parse(const struct limit_field *field, struct limit_spec *spec, const char *text)
	__attribute__((warn_unused_result));

/* The burst that stands without its rate, or NULL. */
const struct limit_field *limit_spec_stray(const struct limit_spec *spec);
bool limit_spec_is_none(const struct limit_spec *spec);
bool limit_spec_has_quota(const struct limit_spec *spec);
/* With the bursts that were left to us. */
struct limit_spec limit_spec_complete(const struct limit_spec *spec);

/* "rx_bytes=2500000 quota=1000000000", in the order of the fields; "" for none. */
#define LIMIT_TEXT_LEN 512U
void limit_spec_format(const struct limit_spec *spec, char buf[static LIMIT_TEXT_LEN]);
/* Returns 0 or -EUCLEAN. */
int limit_spec_read(const char *text, struct limit_spec *out) __attribute__((warn_unused_result));

/* ---- quotas: limit_meter.c ---------------------------------------------------------------------- */

/* The last midnight (UTC) of a reset_day (1 to 28) at or before now; s since 1970. */
int64_t limit_period_start(int64_t now_s, uint32_t reset_day);
/* The next one behind it. */
int64_t limit_period_end(int64_t start_s);

/* What passed in a period that is not now. */
struct limit_use {
	int64_t period_s; /* its start; 0 = none */
	uint64_t rx;
	uint64_t tx;
};

#define LIMIT_KEPT 3U

/* What passed in the period, from counters that only grow while their region (epoch) lives. */
struct limit_meter {
	int64_t period_s; /* its start; 0 = never looked */
	uint64_t rx;
	uint64_t tx;
	uint64_t epoch; /* of the region in which rx_seen and tx_seen were read */
	uint64_t rx_seen;
	uint64_t tx_seen;
	struct limit_use kept[LIMIT_KEPT]; /* the one that was last before this first */
};

/* Look at the counters. What passed since the last look counts for the period that is now, so that no period
 * gets more than its quota. A period that was before (the clock was set, and is set back) goes on with what was used
 * in it; one that lies in the past and never was begins with what is used now, so that setting the clock back gives
 * nobody a quota anew.
 * Returns true when a period began or something passed. */
bool limit_meter_look(struct limit_meter *meter, uint64_t epoch, uint64_t rx, uint64_t tx,
                      int64_t period_s);

/* Where the counter of one worker, at here now, shall stop for a quota of which used is used. */
uint64_t limit_until(uint64_t quota, uint64_t used, uint64_t here);

/* How much of the quota of spec that is used most, in percent, rounded down; 0 without one. */
uint32_t limit_used_percent(const struct limit_spec *spec, const struct limit_meter *meter);

/* Is a quota of spec used up? */
bool limit_is_reached(const struct limit_spec *spec, const struct limit_meter *meter);

#endif

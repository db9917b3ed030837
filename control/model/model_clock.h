/* The wall clock is set, by hand or by NTP or because the machine slept: what goes by it is looked at again at once,
 * instead of when the old time would have come. Sessions, handshakes and timers go by the monotonic clock and notice
 * nothing. */
#ifndef MODEL_CLOCK_H
#define MODEL_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

struct model;
struct model_error;

/* Less than this between two looks is the clock being slewed. */
#define MODEL_CLOCK_STEP_NS 2000000000LL

struct model_clock {
	bool has_begun;
	int64_t ahead_ns; /* of the wall clock against the monotonic one, at the last look */
};

/* Was the wall clock set since the last look? Then by how much is in *step_ns. */
bool model_clock_look(struct model_clock *clock, uint64_t monotonic_ns, uint64_t wall_ns,
                      int64_t *step_ns);

/* A look every second. Returns 0, or -ENOMEM with error. */
int model__clock_begin(struct model *model, struct model_error *error);
void model__clock_end(struct model *model);

#endif

/* The wall clock is set, by hand or by NTP or because the machine slept: what goes by it is looked at again at once,
 * instead of when the old time would have come. Sessions, handshakes and timers go by the monotonic clock and notice
 * nothing.
 *
 * A clock that was set may be wrong, and be set back. So nothing is taken out of the store because of its time, but
 * after the clock has gone on unset for long enough, in the time of a control that runs: until then what has ended
 * is only not in force, and is so again when the clock is set back. */
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
	int64_t ahead_ns;  /* of the wall clock against the monotonic one, at the last look */
	uint64_t since_ns; /* monotonic: it was not set since then, as far as control knows */
};

/* Was the wall clock set since the last look? Then by how much is in *step_ns. */
bool model_clock_look(struct model_clock *clock, uint64_t monotonic_ns, uint64_t wall_ns,
                      int64_t *step_ns);

/* Was the wall clock not set for this long? Not when it was since the last look either. A start counts as its being
 * set: what happened before nobody has seen. */
bool model_clock_is_settled(const struct model_clock *clock, uint64_t monotonic_ns,
                            uint64_t wall_ns, uint64_t for_ns);

/* The same of now. What goes by its answer reads the wall clock before it asks. */
bool model__clock_is_settled(const struct model *model, uint64_t for_ns);

/* A look every second. Returns 0, or -ENOMEM with error. */
int model__clock_begin(struct model *model, struct model_error *error);
void model__clock_end(struct model *model);

#endif

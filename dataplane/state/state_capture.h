/* This worker's end of the capture that is under way, if one is. */
#ifndef STATE_CAPTURE_H
#define STATE_CAPTURE_H

#include "abi_capture.h"
#include "state_blob.h"

/* All zero = none. Packets may be put until the worker takes its blobs anew. */
struct state_capture {
	struct abi_capture head; /* our copy; what = 0: nobody captures */
	struct abi_capture_end end;
};

/* Go over to another capture, or to none (NULL). One that is not right is none. */
static inline void state_capture_set(struct state_capture *capture, const struct state_blob *blob,
                                     uint32_t worker)
{
	if (!blob
	    || !abi_capture_open(blob->data, blob->len, worker, &capture->head, &capture->end))
		*capture = (struct state_capture){.end = {.ring = NULL}};
}

#endif

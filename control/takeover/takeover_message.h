/* The bytes of takeover.h: the same in every release, since two of them speak with each other. */
#ifndef TAKEOVER_MESSAGE_H
#define TAKEOVER_MESSAGE_H

#include "takeover.h"

#define TAKEOVER_MAGIC    UINT64_C(0x7765697274616b65) /* "weirtake" */
#define TAKEOVER_FDS_MAX  16                           /* of one message */
#define TAKEOVER_TEXT_LEN 192

struct takeover_message {
	uint64_t magic;
	uint32_t kind; /* enum takeover_kind */
	uint32_t abi;
	uint32_t store;
	uint32_t pad;
	uint64_t set_up;
	char text[TAKEOVER_TEXT_LEN]; /* of REFUSED */
};
_Static_assert(sizeof(struct takeover_message) == 224, "two releases speak it with each other");

#endif

/* What wg(8) writes into the socket, line by line, as one request. Pure: knows the protocol
 * (wireguard.com/xplatform) and no hub. */
#ifndef UAPI_TEXT_H
#define UAPI_TEXT_H

#include "peer_set.h"

#include <stdbool.h>
#include <stdint.h>

#define UAPI_LINE_LEN_MAX 4096U
#define UAPI_PEERS_MAX    262144U  /* of one request */
#define UAPI_IPS_MAX      1048576U /* of one request */

enum uapi_want {
	UAPI_NOTHING = 0, /* no request yet */
	UAPI_GET = 1,
	UAPI_SET = 2,
	UAPI_REFUSAL = 3, /* neither of them */
};

/* All zero = no request yet. Caller: uapi_request_fini(). */
struct uapi_request {
	enum uapi_want want;
	struct peer_set set;
	/* of the hub itself */
	bool has_private_key;
	uint8_t private_key[32]; /* zero = none */
	uint16_t listen_port;    /* 0 = none was said */
	uint32_t fwmark;         /* 0 = none */
	/* internal */
	struct peer_set_one *one; /* whom lines are about; NULL = the hub */
	uint32_t n_lines;
	int err;       /* of the first line that is wrong: the others are not looked at */
	char why[120]; /* it as a sentence, without what it holds when that may be a key */
};

/* Take a line. Returns true when the request is complete: want says what it is, err whether it can be used
 * (0, -EINVAL, -EPROTO: not a request, -E2BIG, -ENOMEM) and why. */
bool uapi_request_line(struct uapi_request *request, const char *line);
/* Wipes its keys; then it is as new. */
void uapi_request_fini(struct uapi_request *request);

#endif

/* WireGuard messages (whitepaper 5.4): layout as offsets and lengths, and the checks that need no
 * key. All integers are little endian. */
#ifndef WG_MESSAGE_H
#define WG_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#define WG_KEY_LEN 32
#define WG_TAG_LEN 16

enum wg_message_type {
	WG_MESSAGE_INITIATION = 1,
	WG_MESSAGE_RESPONSE = 2,
	WG_MESSAGE_COOKIE = 3,
	WG_MESSAGE_DATA = 4,
};

#define WG_INITIATION_LEN  148U
#define WG_RESPONSE_LEN    92U
#define WG_COOKIE_LEN      64U
#define WG_DATA_HEADER_LEN 16U
#define WG_DATA_MIN_LEN    32U /* header and tag: a keepalive */
#define WG_PAD_MULTIPLE    16U /* of the inner packet, but never beyond the MTU */

/* initiation: type 1 | reserved 3 | sender 4 | ephemeral 32 | static 48 | timestamp 28 | mac1 | mac2 */
#define WG_INITIATION_SENDER    4U
#define WG_INITIATION_EPHEMERAL 8U
#define WG_INITIATION_STATIC    40U
#define WG_INITIATION_TIMESTAMP 88U
#define WG_INITIATION_MAC1      116U
#define WG_INITIATION_MAC2      132U
/* response: type | reserved | sender 4 | receiver 4 | ephemeral 32 | empty 16 | mac1 | mac2 */
#define WG_RESPONSE_SENDER      4U
#define WG_RESPONSE_RECEIVER    8U
#define WG_RESPONSE_EPHEMERAL   12U
#define WG_RESPONSE_EMPTY       44U
#define WG_RESPONSE_MAC1        60U
#define WG_RESPONSE_MAC2        76U
/* cookie reply: type | reserved | receiver 4 | nonce 24 | cookie 32 */
#define WG_COOKIE_RECEIVER      4U
#define WG_COOKIE_NONCE         8U
#define WG_COOKIE_COOKIE        32U
/* data: type | reserved | receiver 4 | counter 8 | payload and tag */
#define WG_DATA_RECEIVER        4U
#define WG_DATA_COUNTER         8U

enum wg_message_verdict {
	WG_MESSAGE_OK = 0,
	WG_MESSAGE_SHORT = 1,        /* fewer than 4 bytes */
	WG_MESSAGE_BAD_TYPE = 2,     /* not 1 to 4 */
	WG_MESSAGE_BAD_RESERVED = 3, /* reserved bytes not zero */
	WG_MESSAGE_BAD_LENGTH = 4,   /* types 1-3: not exactly theirs; 4: < 32 */
};

/* Check type, reserved bytes and length of a UDP payload. Constant cost, reads 4 bytes.
 * The length of a data message need not be a multiple of 16: senders pad the inner packet to 16 or
 * to their MTU, whichever is less, so with the usual MTU of 1420 every full packet comes as 1452. */
enum wg_message_verdict wg_message_check(const uint8_t *msg, size_t len);

#endif

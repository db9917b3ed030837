/* The checks of a message that need no key. */
#include "wg_message.h"

#include "base_bytes.h"

enum wg_message_verdict wg_message_check(const uint8_t *msg, size_t len)
{
	bool fits;

	if (len < 4)
		return WG_MESSAGE_SHORT;
	switch (msg[0]) {
	case WG_MESSAGE_INITIATION:
		fits = len == WG_INITIATION_LEN;
		break;
	case WG_MESSAGE_RESPONSE:
		fits = len == WG_RESPONSE_LEN;
		break;
	case WG_MESSAGE_COOKIE:
		fits = len == WG_COOKIE_LEN;
		break;
	case WG_MESSAGE_DATA:
		fits = len >= WG_DATA_MIN_LEN;
		break;
	default:
		return WG_MESSAGE_BAD_TYPE;
	}
	if (base_load_le32(msg) >> 8 != 0)
		return WG_MESSAGE_BAD_RESERVED;
	return fits ? WG_MESSAGE_OK : WG_MESSAGE_BAD_LENGTH;
}

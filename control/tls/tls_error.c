/* OpenSSL's per-thread error queue as one line of text. */
#include "tls_error.h"

#include <openssl/err.h>

#include <stdio.h>

void tls_error_take(const char *what, char *text, size_t len)
{
	unsigned long code = ERR_get_error();
	const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;

	if (code == 0)
		snprintf(text, len, "%s", what);
	else if (reason != NULL)
		snprintf(text, len, "%s: %s", what, reason);
	else
		snprintf(text, len, "%s: error %lx", what, code);
	ERR_clear_error();
}

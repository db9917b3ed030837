/* OpenSSL's per-thread error queue as one line of text. */
#ifndef TLS_ERROR_H
#define TLS_ERROR_H

#include <stddef.h>

/* Write "what: reason" of the oldest queued error into text[len] ("what" alone when the queue is
 * empty) and empty the queue, so that a later call does not find our leftovers. Thread: any, the
 * queue is the caller's own. */
void tls_error_take(const char *what, char *text, size_t len);

#endif

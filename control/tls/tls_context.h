/* TLS towards browsers: one server configuration for every published host, and the map from the
 * name that a client asks for (SNI) to the certificate it is shown. A client that names no host,
 * or one that is not published, learns nothing: its handshake ends with unrecognized_name. */
#ifndef TLS_CONTEXT_H
#define TLS_CONTEXT_H

#include <openssl/types.h>

#include <stddef.h>

/* Find the context for a connection: host is what the client asked for, lower case, without a
 * trailing dot. arg is what tls_accept() was given. NULL refuses the handshake. The returned
 * context is borrowed; OpenSSL takes its own reference during the call. */
typedef SSL_CTX *tls_select_fn(void *arg, const char *host);

/* Make the context that connections start with. It has no certificate; select chooses one for
 * each handshake. It also holds the session ticket keys, so keep it as long as the listeners live
 * and tickets survive every change of services. Returns 0 or -EIO with a line in error. Free it
 * with SSL_CTX_free(). Thread: handshakes on one context may run on several threads. */
int tls_front_create(tls_select_fn *select, SSL_CTX **out, char *error, size_t error_len)
	__attribute__((warn_unused_result));

/* Start a server connection on a front context; NULL when out of memory. Caller: SSL_free(). */
SSL *tls_accept(SSL_CTX *front, void *select_arg);

/* Immutable after creation: host -> certificate and key. */
struct tls_map;

/* Load n certificates (pems[i]: private key and chain, leaf first, for hosts[i], lower case).
 * Everything is copied. Returns 0; -EINVAL (a text does not load, key and certificate do not
 * belong together, a host appears twice) or -ENOMEM with a line that names the host in error. */
int tls_map_create(const char *const *hosts, const char *const *pems, size_t n,
                   struct tls_map **out, char *error, size_t error_len)
	__attribute__((warn_unused_result));
void tls_map_destroy(struct tls_map *map); /* connections under way keep their context */

/* Borrowed until tls_map_destroy(); NULL = not in the map. Thread: any. */
SSL_CTX *tls_map_find(const struct tls_map *map, const char *host);

#endif

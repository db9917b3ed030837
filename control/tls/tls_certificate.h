/* Making and reading X.509 certificates: self-signed ones for a published host until it has one
 * of an authority. */
#ifndef TLS_CERTIFICATE_H
#define TLS_CERTIFICATE_H

#include <stddef.h>
#include <stdint.h>

/* The longest life that clients accept for a server certificate. */
#define TLS_CERTIFICATE_DAYS 397

/* Make a P-256 key and a self-signed server certificate for one host.
 * host     DNS name (letters, digits, '-', '_', dots, at most 253 bytes) or IP address as text; it
 *          becomes the only subject alternative name
 * now_s    seconds since 1970; the certificate is valid from an hour before (clients' clocks
 *          differ) for TLS_CERTIFICATE_DAYS
 * pem_out  private key and certificate as one text, on success only; it holds a secret: free it
 *          with tls_pem_free()
 * error    one line on failure
 * Returns 0, -EINVAL (host), -ENOMEM, -EIO (OpenSSL failed). */
int tls_certificate_make(const char *host, int64_t now_s, char **pem_out, char *error,
                         size_t error_len) __attribute__((warn_unused_result));

/* Wipe and free a PEM text; NULL is fine. */
void tls_pem_free(char *pem);

/* Read from when to when the first certificate in a PEM text is valid, seconds since 1970. Returns 0 or
 * -EINVAL. */
int tls_certificate_validity(const char *pem, int64_t *not_before_s, int64_t *not_after_s)
	__attribute__((warn_unused_result));

/* Copy the certificates of a PEM text without the private key: what may be shown to anybody.
 * Returns 0, -EINVAL (none in it), -ENOMEM. Caller frees *out with free(). */
int tls_certificate_public(const char *pem, char **out) __attribute__((warn_unused_result));

#endif

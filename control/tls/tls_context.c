/* Server contexts: versions, ciphers, ALPN, SNI. */
#include "tls_context.h"

#include "tls_error.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOST_LEN 256

/* Forward secret AEADs only; TLS 1.3 has no others. */
#define CIPHERS_12 "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL"

static const unsigned char alpn_http11[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

/* A client that speaks ALPN but not HTTP/1.1 is told so (RFC 7301 section 3.2) instead of being
 * answered in a protocol that it did not offer. */
static int alpn_select(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned int in_len, void *arg)
{
	unsigned char *chosen = NULL;

	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto(&chosen, out_len, alpn_http11, sizeof(alpn_http11), in, in_len)
	    != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

/* What both the front context and those with certificates need: OpenSSL takes versions, options
 * and ciphers from the first, ALPN and the certificate from the second. */
static SSL_CTX *context_create(void)
{
	static const unsigned char id[] = "weir";
	char groups[] = "X25519:P-256:P-384"; /* OpenSSL's macro takes the const away */
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (ctx == NULL)
		return NULL;
	SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION
	                                 | SSL_OP_CIPHER_SERVER_PREFERENCE
	                                 | SSL_OP_PRIORITIZE_CHACHA);
	/* Idle connections give their 32 KB of record buffers back; writes are retried from an
	 * evbuffer, whose bytes may have moved. */
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE
	                              | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	/* Resumption by tickets only: a cache would be state shared by the edge's threads. */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_alpn_select_cb(ctx, alpn_select, NULL);
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION)
	    && SSL_CTX_set_cipher_list(ctx, CIPHERS_12) && SSL_CTX_set1_groups_list(ctx, groups)
	    && SSL_CTX_set_session_id_context(ctx, id, sizeof(id) - 1))
		return ctx;
	SSL_CTX_free(ctx);
	return NULL;
}

/* Lower case, no trailing dot. False when the name is empty or too long. */
static bool name_normalise(const char *name, char host[static HOST_LEN])
{
	size_t len = strlen(name);

	if (len > 0 && name[len - 1] == '.')
		len--;
	if (len == 0 || len >= HOST_LEN)
		return false;
	for (size_t i = 0; i < len; i++)
		host[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] + 32) : name[i];
	host[len] = '\0';
	return true;
}

/* OpenSSL calls this for every ClientHello, with or without the extension. */
static int sni_select(SSL *ssl, int *alert, void *arg)
{
	tls_select_fn *const *select = arg;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	char host[HOST_LEN];
	SSL_CTX *ctx = NULL;

	if (name != NULL && name_normalise(name, host))
		ctx = (*select)(SSL_get_app_data(ssl), host);
	if (ctx == NULL || SSL_set_SSL_CTX(ssl, ctx) == NULL) {
		*alert = SSL_AD_UNRECOGNIZED_NAME;
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	}
	return SSL_TLSEXT_ERR_OK;
}

/* A function pointer does not fit OpenSSL's void * argument in ISO C, so the context owns a cell
 * that holds it and frees the cell with itself. */
static void select_cell_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index, long argl,
                             void *argp)
{
	(void)parent;
	(void)ad;
	(void)index;
	(void)argl;
	(void)argp;
	free(ptr);
}

static int select_cell_index(void)
{
	static int index = -1; /* set once, by control's main thread, before threads exist */

	if (index < 0)
		index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, select_cell_free);
	return index;
}

int tls_front_create(tls_select_fn *select, SSL_CTX **out, char *error, size_t error_len)
{
	tls_select_fn **cell = malloc(sizeof(tls_select_fn *));
	SSL_CTX *ctx;

	ERR_clear_error();
	ctx = context_create();
	if (cell == NULL || ctx == NULL || !SSL_CTX_set_ex_data(ctx, select_cell_index(), cell)) {
		tls_error_take("setting up TLS failed", error, error_len);
		SSL_CTX_free(ctx);
		free(cell);
		return -EIO;
	}
	*cell = select;
	SSL_CTX_set_tlsext_servername_callback(ctx, sni_select);
	SSL_CTX_set_tlsext_servername_arg(ctx, cell);
	*out = ctx;
	return 0;
}

SSL *tls_accept(SSL_CTX *front, void *select_arg)
{
	SSL *ssl = SSL_new(front);

	if (ssl == NULL) {
		ERR_clear_error();
		return NULL;
	}
	SSL_set_app_data(ssl, select_arg);
	SSL_set_accept_state(ssl);
	return ssl;
}

/* Without this, OpenSSL would ask for the passphrase of an encrypted key on the terminal. */
static int passphrase_refuse(char *buf, int size, int rwflag, void *arg)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	(void)arg;
	return -1;
}

static bool load_key(SSL_CTX *ctx, const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, passphrase_refuse, NULL)
	                            : NULL;
	bool ok = key != NULL && SSL_CTX_use_PrivateKey(ctx, key);

	EVP_PKEY_free(key);
	BIO_free(bio);
	return ok;
}

static bool load_chain(SSL_CTX *ctx, const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	bool ok = bio != NULL;
	int n = 0;
	X509 *x;

	while (ok && (x = PEM_read_bio_X509(bio, NULL, passphrase_refuse, NULL)) != NULL) {
		ok = n == 0 ? SSL_CTX_use_certificate(ctx, x) : SSL_CTX_add1_chain_cert(ctx, x);
		X509_free(x);
		n++;
	}
	BIO_free(bio);
	if (ok && n > 0)
		ERR_clear_error(); /* the end of the text is reported as an error */
	return ok && n > 0;
}

struct tls_entry {
	char host[HOST_LEN];
	SSL_CTX *ctx;
};

struct tls_map {
	size_t n;
	struct tls_entry entries[]; /* sorted by host */
};

static int entry_load(struct tls_entry *entry, const char *host, const char *pem, char *error,
                      size_t error_len)
{
	char what[HOST_LEN + 64];

	snprintf(what, sizeof(what), "certificate of \"%.200s\" does not load", host);
	ERR_clear_error();
	if (!name_normalise(host, entry->host) || strcmp(host, entry->host) != 0) {
		snprintf(error, error_len, "\"%.200s\" is no lower-case host name", host);
		return -EINVAL;
	}
	entry->ctx = context_create();
	if (entry->ctx == NULL) {
		tls_error_take(what, error, error_len);
		return -ENOMEM;
	}
	/* The certificate first: setting a key checks it against the certificate. */
	if (!load_chain(entry->ctx, pem) || !load_key(entry->ctx, pem)
	    || !SSL_CTX_check_private_key(entry->ctx)) {
		tls_error_take(what, error, error_len);
		return -EINVAL;
	}
	return 0;
}

static int entry_compare(const void *a, const void *b)
{
	const struct tls_entry *x = a;
	const struct tls_entry *y = b;

	return strcmp(x->host, y->host);
}

static int host_compare(const void *host, const void *entry)
{
	return strcmp(host, ((const struct tls_entry *)entry)->host);
}

int tls_map_create(const char *const *hosts, const char *const *pems, size_t n,
                   struct tls_map **out, char *error, size_t error_len)
{
	struct tls_map *map = calloc(1, sizeof(*map) + n * sizeof(map->entries[0]));
	int err = 0;

	if (map == NULL) {
		snprintf(error, error_len, "out of memory");
		return -ENOMEM;
	}
	for (size_t i = 0; i < n && err == 0; i++) {
		err = entry_load(&map->entries[i], hosts[i], pems[i], error, error_len);
		map->n = i + 1;
	}
	if (err == 0)
		qsort(map->entries, n, sizeof(map->entries[0]), entry_compare);
	for (size_t i = 1; i < n && err == 0; i++) {
		if (strcmp(map->entries[i - 1].host, map->entries[i].host) != 0)
			continue;
		snprintf(error, error_len, "host \"%.200s\" appears twice", map->entries[i].host);
		err = -EINVAL;
	}
	if (err != 0) {
		tls_map_destroy(map);
		return err;
	}
	*out = map;
	return 0;
}

void tls_map_destroy(struct tls_map *map)
{
	if (map == NULL)
		return;
	for (size_t i = 0; i < map->n; i++)
		SSL_CTX_free(map->entries[i].ctx);
	free(map);
}

SSL_CTX *tls_map_find(const struct tls_map *map, const char *host)
{
	struct tls_entry *entry = bsearch(host, map->entries, map->n, sizeof(map->entries[0]),
	                                  host_compare);

	return entry != NULL ? entry->ctx : NULL;
}

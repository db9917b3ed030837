#include "test.h"
#include "tls_certificate.h"
#include "tls_context.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Client and server joined by memory: no socket, no clock. */
struct pair {
	SSL_CTX *front;
	SSL_CTX *client_ctx;
	SSL *server;
	SSL *client;
	int client_error; /* reason of the client's first error, 0 = none */
};

static struct tls_map *map;

static SSL_CTX *select_from_map(void *arg, const char *host)
{
	assert_string_equal(arg, "connection");
	return tls_map_find(map, host);
}

/* noinline: gcc 12 takes the returned text for the local pointer that held it. */
__attribute__((noinline)) static char *pem_of(const char *host)
{
	char error[256];
	char *pem = NULL;

	assert_int_equal(tls_certificate_make(host, 1790000000, &pem, error, sizeof(error)), 0);
	return pem;
}

static int map_setup(void **state)
{
	const char *hosts[] = {"b.example", "a.example"};
	char *pems[] = {pem_of("b.example"), pem_of("a.example")};
	const char *const texts[] = {pems[0], pems[1]};
	char error[256];

	(void)state;
	assert_int_equal(tls_map_create(hosts, texts, 2, &map, error, sizeof(error)), 0);
	tls_pem_free(pems[0]);
	tls_pem_free(pems[1]);
	return 0;
}

static int map_teardown(void **state)
{
	(void)state;
	tls_map_destroy(map);
	return 0;
}

static void pair_open(struct pair *p, const char *sni, int max_version)
{
	char error[256];
	BIO *to_server = BIO_new(BIO_s_mem());
	BIO *to_client = BIO_new(BIO_s_mem());

	memset(p, 0, sizeof(*p));
	assert_int_equal(tls_front_create(select_from_map, &p->front, error, sizeof(error)), 0);
	p->server = tls_accept(p->front, (void *)(uintptr_t) "connection");
	p->client_ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_security_level(p->client_ctx, 0);
	SSL_CTX_set_max_proto_version(p->client_ctx, max_version);
	p->client = SSL_new(p->client_ctx);
	SSL_set_connect_state(p->client);
	if (sni != NULL) {
		char name[64]; /* OpenSSL's macro takes the const away */

		snprintf(name, sizeof(name), "%s", sni);
		assert_true(SSL_set_tlsext_host_name(p->client, name));
	}
	BIO_up_ref(to_server);
	BIO_up_ref(to_client);
	SSL_set_bio(p->server, to_server, to_client);
	SSL_set_bio(p->client, to_client, to_server);
}

/* Returns 1 when both sides finished. */
static int pair_shake(struct pair *p)
{
	for (int i = 0; i < 10; i++) {
		int c = SSL_do_handshake(p->client);

		if (c != 1 && SSL_get_error(p->client, c) == SSL_ERROR_SSL)
			p->client_error = ERR_GET_REASON(ERR_peek_error());
		ERR_clear_error();
		(void)SSL_do_handshake(p->server);
		ERR_clear_error();
	}
	return SSL_is_init_finished(p->client) && SSL_is_init_finished(p->server);
}

static void pair_close(struct pair *p)
{
	SSL_free(p->client);
	SSL_free(p->server);
	SSL_CTX_free(p->client_ctx);
	SSL_CTX_free(p->front);
}

static int shown_host_is(struct pair *p, const char *host)
{
	X509 *x = SSL_get0_peer_certificate(p->client);

	return x != NULL && X509_check_host(x, host, 0, 0, NULL) == 1;
}

static void sni_chooses_the_certificate(void **state)
{
	const struct {
		const char *sni;
		const char *shown;
	} cases[] = {
		{"a.example", "a.example"},
		{"b.example", "b.example"},
		{"B.EXAMPLE", "b.example"},
		{"a.example.", "a.example"},
	};
	const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

	(void)state;
	for (size_t i = 0; i < 8; i++) {
		struct pair p;

		pair_open(&p, cases[i / 2].sni, versions[i % 2]);
		assert_true(pair_shake(&p));
		assert_int_equal(SSL_version(p.client), versions[i % 2]);
		assert_true(shown_host_is(&p, cases[i / 2].shown));
		pair_close(&p);
	}
}

static void unknown_or_missing_name_gets_an_alert_and_no_certificate(void **state)
{
	const char *names[] = {"c.example", "example", "x.a.example", NULL};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct pair p;

		pair_open(&p, names[i], TLS1_3_VERSION);
		assert_false(pair_shake(&p));
		assert_null(SSL_get0_peer_certificate(p.client));
		assert_int_equal(p.client_error, SSL_R_TLSV1_UNRECOGNIZED_NAME);
		pair_close(&p);
	}
}

static void tls_1_1_is_refused(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p, "a.example", TLS1_1_VERSION);
	assert_false(pair_shake(&p));
	assert_int_equal(p.client_error, SSL_R_TLSV1_ALERT_PROTOCOL_VERSION);
	pair_close(&p);
}

static void static_rsa_and_cbc_are_refused(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p, "a.example", TLS1_2_VERSION);
	assert_true(SSL_set_cipher_list(p.client,
	                                "ECDHE-ECDSA-AES128-SHA256:AES128-SHA:AES128-GCM-SHA256"));
	assert_false(pair_shake(&p));
	pair_close(&p);
}

static void alpn_picks_http_1_1_and_refuses_what_it_lacks(void **state)
{
	static const unsigned char both[] = "\x02h2\x08http/1.1";
	static const unsigned char h2[] = "\x02h2";
	const unsigned char *chosen = NULL;
	unsigned int len = 0;
	struct pair p;

	(void)state;
	pair_open(&p, "a.example", TLS1_3_VERSION);
	assert_int_equal(SSL_set_alpn_protos(p.client, both, sizeof(both) - 1), 0);
	assert_true(pair_shake(&p));
	SSL_get0_alpn_selected(p.client, &chosen, &len);
	assert_int_equal(len, 8);
	assert_memory_equal(chosen, "http/1.1", 8);
	pair_close(&p);

	pair_open(&p, "a.example", TLS1_3_VERSION);
	assert_int_equal(SSL_set_alpn_protos(p.client, h2, sizeof(h2) - 1), 0);
	assert_false(pair_shake(&p));
	assert_int_equal(p.client_error, SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL);
	pair_close(&p);
}

static void a_connection_outlives_its_map(void **state)
{
	const char *hosts[] = {"a.example"};
	struct tls_map *old = map;
	char *pem = pem_of("a.example");
	const char *const texts[] = {pem};
	char error[256];
	struct pair p;
	char buf[8];

	(void)state;
	assert_int_equal(tls_map_create(hosts, texts, 1, &map, error, sizeof(error)), 0);
	tls_pem_free(pem);
	pair_open(&p, "a.example", TLS1_3_VERSION);
	assert_true(pair_shake(&p));
	tls_map_destroy(map);
	map = old;
	assert_int_equal(SSL_write(p.client, "hello", 5), 5);
	assert_int_equal(SSL_read(p.server, buf, sizeof(buf)), 5);
	pair_close(&p);
}

/* Where the certificate begins in a PEM text of key and certificate. */
static const char *certificate_in(const char *pem)
{
	const char *found = pem ? strstr(pem, "-----BEGIN CERT") : NULL;

	if (!found) {
		fail_msg("no certificate in the PEM text");
		abort();
	}
	return found;
}

static void map_refuses_what_does_not_load(void **state)
{
	char *a = pem_of("a.example");
	char *b = pem_of("b.example");
	char *mixed = NULL;
	char *key_only = NULL;
	const char *cert_a = certificate_in(a);
	const char *hosts[] = {"a.example", "a.example"};
	char error[256];
	struct tls_map *m = NULL;

	(void)state;
	/* The key of one and the certificate of the other. */
	assert_true(asprintf(&mixed, "%.*s%s", (int)(cert_a - a), a, certificate_in(b)) > 0);
	key_only = strndup(a, (size_t)(cert_a - a));
	const char *bad[] = {"", "garbage", mixed, key_only, cert_a};

	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(tls_map_create(hosts, &bad[i], 1, &m, error, sizeof(error)),
		                 -EINVAL);
		assert_non_null(strstr(error, "a.example"));
		assert_int_equal(ERR_peek_error(), 0);
	}
	const char *const twice[] = {a, a};

	assert_int_equal(tls_map_create(hosts, twice, 2, &m, error, sizeof(error)), -EINVAL);
	assert_non_null(strstr(error, "twice"));
	assert_null(m);
	tls_pem_free(a);
	tls_pem_free(b);
	tls_pem_free(mixed);
	tls_pem_free(key_only);
}

static void encrypted_key_is_refused_without_asking(void **state)
{
	const char *host = "a.example";
	const char *pem = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n"
			  "-----END ENCRYPTED PRIVATE KEY-----\n";
	char error[256];
	struct tls_map *m = NULL;

	(void)state;
	assert_int_equal(tls_map_create(&host, &pem, 1, &m, error, sizeof(error)), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sni_chooses_the_certificate),
		cmocka_unit_test(unknown_or_missing_name_gets_an_alert_and_no_certificate),
		cmocka_unit_test(tls_1_1_is_refused),
		cmocka_unit_test(static_rsa_and_cbc_are_refused),
		cmocka_unit_test(alpn_picks_http_1_1_and_refuses_what_it_lacks),
		cmocka_unit_test(a_connection_outlives_its_map),
		cmocka_unit_test(map_refuses_what_does_not_load),
		cmocka_unit_test(encrypted_key_is_refused_without_asking),
	};

	return cmocka_run_group_tests_name("tls_context", tests, map_setup, map_teardown);
}

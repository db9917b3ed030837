#include "test.h"
#include "tls_certificate.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NOW INT64_C(1790000000)

static X509 *make(const char *host)
{
	char error[256] = "";
	char *pem = NULL;
	BIO *bio;
	X509 *x;

	assert_int_equal(tls_certificate_make(host, NOW, &pem, error, sizeof(error)), 0);
	bio = BIO_new_mem_buf(pem, -1);
	x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	assert_non_null(x);
	BIO_free(bio);
	tls_pem_free(pem);
	return x;
}

static void certificate_names_its_host_and_no_other(void **state)
{
	X509 *x = make("grafana.example.org");

	(void)state;
	assert_int_equal(X509_check_host(x, "grafana.example.org", 0, 0, NULL), 1);
	assert_int_equal(X509_check_host(x, "GRAFANA.example.org", 0, 0, NULL), 1);
	assert_int_equal(X509_check_host(x, "example.org", 0, 0, NULL), 0);
	assert_int_equal(X509_check_host(x, "weir", 0, 0, NULL), 0);
	X509_free(x);
}

static void long_host_fits_the_alternative_name(void **state)
{
	const char *host = "a-rather-long-label-of-a-service-name.another-long-label.example.org";
	X509 *x = make(host);

	(void)state;
	assert_true(strlen(host) > 64);
	assert_int_equal(X509_check_host(x, host, 0, 0, NULL), 1);
	X509_free(x);
}

static void address_becomes_an_ip_name(void **state)
{
	X509 *four = make("192.0.2.7");
	X509 *six = make("2001:db8::7");

	(void)state;
	assert_int_equal(X509_check_ip_asc(four, "192.0.2.7", 0), 1);
	assert_int_equal(X509_check_host(four, "192.0.2.8", 0, 0, NULL), 0);
	assert_int_equal(X509_check_ip_asc(six, "2001:db8::7", 0), 1);
	X509_free(four);
	X509_free(six);
}

static void certificate_is_a_server_leaf_on_p256(void **state)
{
	X509 *x = make("a.example");
	char group[32] = "";

	(void)state;
	assert_int_equal(X509_get_version(x), 2);
	assert_int_equal(X509_check_ca(x), 0);
	assert_int_equal(X509_get_key_usage(x), KU_DIGITAL_SIGNATURE);
	assert_int_equal(X509_get_extended_key_usage(x), XKU_SSL_SERVER);
	assert_true(EVP_PKEY_get_group_name(X509_get0_pubkey(x), group, sizeof(group), NULL));
	assert_string_equal(group, "prime256v1");
	assert_int_equal(X509_verify(x, X509_get0_pubkey(x)), 1);
	X509_free(x);
}

static void validity_starts_an_hour_ago_and_lasts_397_days(void **state)
{
	X509 *x = make("a.example");
	time_t hour_ago = NOW - 3600;
	time_t end = hour_ago + 397 * 86400;
	int days = 0;
	int seconds = 0;

	(void)state;
	assert_int_equal(ASN1_TIME_cmp_time_t(X509_get0_notBefore(x), hour_ago), 0);
	assert_int_equal(ASN1_TIME_cmp_time_t(X509_get0_notAfter(x), end), -1);
	assert_true(ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(x), X509_get0_notAfter(x)));
	assert_int_equal(days, 396);
	X509_free(x);
}

static void serials_are_positive_and_differ(void **state)
{
	X509 *a = make("a.example");
	X509 *b = make("a.example");

	(void)state;
	assert_true(ASN1_INTEGER_cmp(X509_get0_serialNumber(a), X509_get0_serialNumber(b)) != 0);
	assert_int_equal(ASN1_STRING_type(X509_get0_serialNumber(a)), V_ASN1_INTEGER);
	assert_true(ASN1_STRING_length(X509_get0_serialNumber(a)) <= 20);
	X509_free(a);
	X509_free(b);
}

static void bad_hosts_are_refused_with_a_line(void **state)
{
	char too_long[300];
	const char *bad[] = {"",
	                     ".",
	                     "a..b",
	                     ".a",
	                     "a.",
	                     "a b",
	                     "a/b",
	                     "a\nb",
	                     "a,DNS:b",
	                     "*.example.org",
	                     "caf\xc3\xa9.example",
	                     too_long};

	(void)state;
	memset(too_long, 'a', sizeof(too_long) - 1);
	too_long[sizeof(too_long) - 1] = '\0';
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char error[256] = "";
		char *pem = NULL;

		assert_int_equal(tls_certificate_make(bad[i], NOW, &pem, error, sizeof(error)),
		                 -EINVAL);
		assert_null(pem);
		assert_non_null(strstr(error, "is no host name"));
	}
}

static void validity_is_read_back(void **state)
{
	char error[256];
	char *pem = NULL;
	int64_t from = 0, expiry = 0;

	(void)state;
	assert_int_equal(tls_certificate_make("a.example", NOW, &pem, error, sizeof(error)), 0);
	assert_int_equal(tls_certificate_validity(pem, &from, &expiry), 0);
	assert_int_equal(from, NOW - 3600);
	assert_int_equal(expiry, NOW - 3600 + 397 * 86400 - 1);
	tls_pem_free(pem);
	assert_int_equal(tls_certificate_validity("", &from, &expiry), -EINVAL);
	assert_int_equal(tls_certificate_validity("-----BEGIN CERTIFICATE-----\nAA==\n", &from,
	                                          &expiry),
	                 -EINVAL);
	assert_int_equal(ERR_peek_error(), 0);
}

static void public_part_holds_no_key(void **state)
{
	char error[256];
	char *pem = NULL;
	char *public = NULL;

	(void)state;
	assert_int_equal(tls_certificate_make("a.example", NOW, &pem, error, sizeof(error)), 0);
	assert_non_null(strstr(pem, "BEGIN PRIVATE KEY"));
	assert_int_equal(tls_certificate_public(pem, &public), 0);
	assert_null(strstr(public, "PRIVATE"));
	assert_non_null(strstr(public, "BEGIN CERTIFICATE"));
	free(public);
	tls_pem_free(pem);
	assert_int_equal(tls_certificate_public("nothing", &public), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(certificate_names_its_host_and_no_other),
		cmocka_unit_test(long_host_fits_the_alternative_name),
		cmocka_unit_test(address_becomes_an_ip_name),
		cmocka_unit_test(certificate_is_a_server_leaf_on_p256),
		cmocka_unit_test(validity_starts_an_hour_ago_and_lasts_397_days),
		cmocka_unit_test(serials_are_positive_and_differ),
		cmocka_unit_test(bad_hosts_are_refused_with_a_line),
		cmocka_unit_test(validity_is_read_back),
		cmocka_unit_test(public_part_holds_no_key),
	};

	return cmocka_run_group_tests_name("tls_certificate", tests, NULL, NULL);
}

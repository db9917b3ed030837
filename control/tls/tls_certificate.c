/* Self-signed P-256 certificates and what can be read from a PEM text. */
#include "tls_certificate.h"

#include "base_bytes.h"
#include "base_ip.h"
#include "tls_error.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define HOST_MAX         253
#define COMMON_NAME_MAX  64 /* RFC 5280, ub-common-name */
#define BACKDATE_S       3600
#define SECONDS_PER_DAY  86400
#define SERIAL_BITS      127 /* positive and at most 20 octets, RFC 5280 section 4.1.2.2 */
#define X509_VERSION_3_N 2   /* versions are numbered from 0 on the wire */

static bool name_is_valid(const char *host)
{
	size_t len = strlen(host);

	if (len == 0 || len > HOST_MAX || host[0] == '.' || host[len - 1] == '.')
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = host[i];

		if (c == '.' && host[i + 1] == '.')
			return false;
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')
		      || c == '-' || c == '_' || c == '.'))
			return false;
	}
	return true;
}

static int set_serial(X509 *x)
{
	BIGNUM *n = BN_new();
	int ok = n != NULL && BN_rand(n, SERIAL_BITS, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY)
	         && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x)) != NULL;

	BN_free(n);
	return ok;
}

static int set_validity(X509 *x, int64_t now_s)
{
	time_t start = (time_t)(now_s - BACKDATE_S);
	time_t end = start + (time_t)TLS_CERTIFICATE_DAYS * SECONDS_PER_DAY - 1;

	return ASN1_TIME_set(X509_getm_notBefore(x), start) != NULL
	       && ASN1_TIME_set(X509_getm_notAfter(x), end) != NULL;
}

/* Subject and issuer. The name that counts is the alternative one; the common name is what lists
 * show, and too short for some hosts. */
static int set_names(X509 *x, const char *host)
{
	const char *cn = strlen(host) <= COMMON_NAME_MAX ? host : "weir";
	X509_NAME *name = X509_get_subject_name(x);

	return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1,
	                                  -1, 0)
	       && X509_set_issuer_name(x, name);
}

static int add_extension(X509 *x, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *extension;
	int ok;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ok = extension != NULL && X509_add_ext(x, extension, -1);
	X509_EXTENSION_free(extension);
	return ok;
}

static int add_extensions(X509 *x, const char *host, bool is_ip)
{
	char san[HOST_MAX + 8];

	snprintf(san, sizeof(san), "%s:%s", is_ip ? "IP" : "DNS", host);
	return add_extension(x, NID_subject_alt_name, san)
	       && add_extension(x, NID_basic_constraints, "critical,CA:FALSE")
	       && add_extension(x, NID_key_usage, "critical,digitalSignature")
	       && add_extension(x, NID_ext_key_usage, "serverAuth")
	       && add_extension(x, NID_subject_key_identifier, "hash");
}

static X509 *certificate_build(EVP_PKEY *key, const char *host, bool is_ip, int64_t now_s)
{
	X509 *x = X509_new();

	if (x != NULL && X509_set_version(x, X509_VERSION_3_N) && set_serial(x)
	    && set_validity(x, now_s) && set_names(x, host) && X509_set_pubkey(x, key)
	    && add_extensions(x, host, is_ip) && X509_sign(x, key, EVP_sha256()))
		return x;
	X509_free(x);
	return NULL;
}

/* A copy of a memory BIO as a C string, NULL when out of memory. */
static char *bio_text(BIO *bio)
{
	char *data = NULL;
	long len = BIO_get_mem_data(bio, &data);
	char *text = len >= 0 ? malloc((size_t)len + 1) : NULL;

	if (text == NULL)
		return NULL;
	if (len > 0)
		memcpy(text, data, (size_t)len);
	text[len] = '\0';
	return text;
}

static int pem_write(EVP_PKEY *key, X509 *x, char **pem_out)
{
	BIO *bio = BIO_new(BIO_s_secmem()); /* clears its memory when freed */
	int err = -EIO;

	if (bio == NULL)
		return -ENOMEM;
	if (PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL)
	    && PEM_write_bio_X509(bio, x)) {
		*pem_out = bio_text(bio);
		err = *pem_out != NULL ? 0 : -ENOMEM;
	}
	BIO_free(bio);
	return err;
}

int tls_certificate_make(const char *host, int64_t now_s, char **pem_out, char *error,
                         size_t error_len)
{
	struct base_ip ip;
	bool is_ip = base_ip_parse(host, &ip) == 0;
	EVP_PKEY *key = NULL;
	X509 *x = NULL;
	int err = -EIO;

	if (!is_ip && !name_is_valid(host)) {
		snprintf(error, error_len,
		         "\"%.64s\" is no host name: letters, digits, '-' and single dots, at most "
		         "%d bytes",
		         host, HOST_MAX);
		return -EINVAL;
	}
	ERR_clear_error();
	key = EVP_EC_gen("P-256");
	if (key != NULL)
		x = certificate_build(key, host, is_ip, now_s);
	if (x != NULL)
		err = pem_write(key, x, pem_out);
	if (err != 0)
		tls_error_take("making a certificate failed", error, error_len);
	X509_free(x);
	EVP_PKEY_free(key);
	return err;
}

void tls_pem_free(char *pem)
{
	if (pem == NULL)
		return;
	base_wipe(pem, strlen(pem));
	free(pem);
}

static X509 *certificate_read(const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	X509 *x = bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;

	BIO_free(bio);
	ERR_clear_error();
	return x;
}

int tls_certificate_validity(const char *pem, int64_t *not_before_s, int64_t *not_after_s)
{
	X509 *x = certificate_read(pem);
	struct tm from, to;
	int ok;

	if (x == NULL)
		return -EINVAL;
	ok = ASN1_TIME_to_tm(X509_get0_notBefore(x), &from)
	     && ASN1_TIME_to_tm(X509_get0_notAfter(x), &to);
	X509_free(x);
	ERR_clear_error();
	if (!ok)
		return -EINVAL;
	*not_before_s = (int64_t)timegm(&from);
	*not_after_s = (int64_t)timegm(&to);
	return 0;
}

int tls_certificate_public(const char *pem, char **out)
{
	BIO *in = BIO_new_mem_buf(pem, -1);
	BIO *text = BIO_new(BIO_s_mem());
	int err = in != NULL && text != NULL ? -EINVAL : -ENOMEM;
	X509 *x;

	while (err != -ENOMEM && (x = PEM_read_bio_X509(in, NULL, NULL, NULL)) != NULL) {
		err = PEM_write_bio_X509(text, x) ? 0 : -ENOMEM;
		X509_free(x);
	}
	if (err == 0) {
		*out = bio_text(text);
		err = *out != NULL ? 0 : -ENOMEM;
	}
	BIO_free(text);
	BIO_free(in);
	ERR_clear_error();
	return err;
}

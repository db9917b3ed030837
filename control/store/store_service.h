/* Published services and their certificates in the store. */
#ifndef STORE_SERVICE_H
#define STORE_SERVICE_H

#include "base_host.h"
#include "config.h"
#include "store.h"

#include <stdint.h>

#define STORE_HOST_LEN BASE_HOST_LEN

struct store_service {
	char name[CONFIG_NAME_LEN];
	char host[STORE_HOST_LEN];
	char peer[CONFIG_NAME_LEN]; /* by name: a service may outlive its peer for a while */
	uint16_t port;
	uint64_t created_wall_ns;
};

/* Returns 0, -EEXIST (name or host is taken), -errno. */
int store_service_add(struct store *store, const struct store_service *service)
	__attribute__((warn_unused_result));
/* Returns 0, -ENOENT, -errno. */
int store_service_drop(struct store *store, const char *name) __attribute__((warn_unused_result));
/* Call fn for every service, ascending by name; stops with fn's value when that is not 0. */
typedef int store_service_fn(void *arg, const struct store_service *service);
int store_service_each(struct store *store, store_service_fn *fn, void *arg)
	__attribute__((warn_unused_result));

/* The certificate of a host: PEM of key and chain, sealed in the file.
 * get: *out is zero-terminated; caller wipes and frees it. Returns 0, -ENOENT, -errno. */
int store_certificate_put(struct store *store, const char *host, const char *pem)
	__attribute__((warn_unused_result));
int store_certificate_get(struct store *store, const char *host, char **out)
	__attribute__((warn_unused_result));
/* Returns 0 (also when there was none), -errno. */
int store_certificate_drop(struct store *store, const char *host)
	__attribute__((warn_unused_result));

#endif

/* The published services at one moment. */
#include "edge_table.h"

#include "edge_head.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct edge_table {
	_Atomic uint32_t n_references;
	struct tls_map *certificates;
	size_t n;
	struct edge_service services[]; /* sorted by host */
};

static int service_compare(const void *a, const void *b)
{
	const struct edge_service *x = a;
	const struct edge_service *y = b;

	return strcmp(x->host, y->host);
}

static int host_compare(const void *host, const void *service)
{
	return strcmp(host, ((const struct edge_service *)service)->host);
}

static int service_check(const struct edge_service *service, char *error, size_t error_len)
{
	struct edge_span span = {service->host, strnlen(service->host, sizeof(service->host))};
	char host[EDGE_HOST_LEN];

	if (span.len == sizeof(service->host) || edge_host_normalise(&span, host) != 0
	    || strcmp(host, service->host) != 0) {
		snprintf(error, error_len,
		         "service \"%.63s\": host \"%.255s\" must be a lower-case name without "
		         "port and trailing dot",
		         service->name, service->host);
		return -EINVAL;
	}
	if (service->target.port == 0 || base_ip_len(service->target.ip.family) == 0) {
		snprintf(error, error_len, "service \"%.63s\": target needs an address and a port",
		         service->name);
		return -EINVAL;
	}
	return 0;
}

static int certificates_load(struct edge_table *table, const struct edge_service *services,
                             const char *const *certificate_pems, char *error, size_t error_len)
{
	const char **hosts = calloc(table->n + 1, sizeof(*hosts));
	int err;

	if (hosts == NULL) {
		snprintf(error, error_len, "out of memory");
		return -ENOMEM;
	}
	for (size_t i = 0; i < table->n; i++)
		hosts[i] = services[i].host;
	err = tls_map_create(hosts, certificate_pems, table->n, &table->certificates, error,
	                     error_len);
	free(hosts);
	return err;
}

int edge_table_create(const struct edge_service *services, const char *const *certificate_pems,
                      size_t n, uint32_t n_references, struct edge_table **out, char *error,
                      size_t error_len)
{
	struct edge_table *table = calloc(1, sizeof(*table) + n * sizeof(table->services[0]));
	int err = 0;

	if (table == NULL) {
		snprintf(error, error_len, "out of memory");
		return -ENOMEM;
	}
	table->n = n;
	atomic_init(&table->n_references, n_references);
	for (size_t i = 0; i < n && err == 0; i++) {
		err = service_check(&services[i], error, error_len);
		table->services[i] = services[i];
	}
	if (err == 0)
		err = certificates_load(table, services, certificate_pems, error, error_len);
	if (err != 0) {
		free(table);
		return err;
	}
	qsort(table->services, n, sizeof(table->services[0]), service_compare);
	*out = table;
	return 0;
}

void edge_table_put(struct edge_table *table)
{
	/* acq_rel: whoever frees has seen all that the others did with the table. */
	if (table == NULL
	    || atomic_fetch_sub_explicit(&table->n_references, 1, memory_order_acq_rel) != 1)
		return;
	tls_map_destroy(table->certificates);
	free(table);
}

const struct edge_service *edge_table_find(const struct edge_table *table, const char *host)
{
	if (table == NULL)
		return NULL;
	return bsearch(host, table->services, table->n, sizeof(table->services[0]), host_compare);
}

SSL_CTX *edge_table_certificate(const struct edge_table *table, const char *host)
{
	return table != NULL ? tls_map_find(table->certificates, host) : NULL;
}

/* The published services at one moment: immutable, shared by all threads. Each thread holds one
 * reference while the table is its current one; connections copy what they need, so a table goes
 * as soon as the last thread has taken the next. */
#ifndef EDGE_TABLE_H
#define EDGE_TABLE_H

#include "edge.h"
#include "tls_context.h"

struct edge_table;

/* Copy and check services and load their certificates. The table starts with n_references.
 * Returns 0, -EINVAL or -ENOMEM with a line in error. */
int edge_table_create(const struct edge_service *services, const char *const *certificate_pems,
                      size_t n, uint32_t n_references, struct edge_table **out, char *error,
                      size_t error_len) __attribute__((warn_unused_result));

/* Give one reference back; the last frees. NULL is fine. Thread: any. */
void edge_table_put(struct edge_table *table);

/* Borrowed as long as the caller's reference. NULL = no service has this host (lower case). A NULL
 * table has no services. */
const struct edge_service *edge_table_find(const struct edge_table *table, const char *host);
SSL_CTX *edge_table_certificate(const struct edge_table *table, const char *host);

#endif

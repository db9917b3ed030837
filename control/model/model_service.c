/* service.add, service.list, service.remove, and the table of services that the edge works with. */
#include "base_bytes.h"
#include "base_host.h"
#include "base_log.h"
#include "base_time.h"
#include "edge.h"
#include "model_method.h"
#include "tls_certificate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_DEFAULT  100
#define RENEW_BEFORE_S (30 * 86400)

/* ---- reading the store -------------------------------------------------------------------------- */

struct services {
	struct store_service *rows;
	size_t n;
	size_t max;
};

static int collect(void *arg, const struct store_service *service)
{
	struct services *services = arg;

	if (services->n == services->max) {
		size_t max = services->max ? services->max * 2 : 16;
		struct store_service *grown = reallocarray(services->rows, max,
		                                           sizeof(*services->rows));

		if (!grown)
			return -ENOMEM;
		services->rows = grown;
		services->max = max;
	}
	services->rows[services->n++] = *service;
	return 0;
}

/* All services, sorted by name. Caller frees rows, also on error. */
static int services_read(struct model *model, struct services *out)
{
	return store_service_each(model->setup.store, collect, out);
}

int model__services_count(struct model *model)
{
	struct services services = {0};
	int err = services_read(model, &services);

	free(services.rows);
	return err < 0 ? err : (int)services.n;
}

int model__services_of_peer(struct model *model, const char *peer, char *name)
{
	struct services services = {0};
	int found = services_read(model, &services);

	for (size_t i = 0; found == 0 && i < services.n; i++) {
		if (strcmp(services.rows[i].peer, peer) != 0)
			continue;
		snprintf(name, CONFIG_NAME_LEN, "%s", services.rows[i].name);
		found = 1;
	}
	free(services.rows);
	return found;
}

/* ---- certificates ------------------------------------------------------------------------------- */

/* Make and store a certificate for host. */
static int certificate_make(struct model *model, const char *host, char **pem,
                            struct model_error *error)
{
	char why[256] = "";
	int err = tls_certificate_make(host, (int64_t)(base_time_wall_ns() / BASE_NS_PER_S), pem,
	                               why, sizeof(why));

	if (err < 0)
		return model__refuse(error, err, "failed", "host", "host: certificate of %s: %s",
		                     host, why);
	err = store_certificate_put(model->setup.store, host, *pem);
	if (err < 0) {
		tls_pem_free(*pem);
		*pem = NULL;
		return model__refuse_store(model, err, error);
	}
	log_info("model", "self-signed certificate made host=%s", host);
	return 0;
}

/* The certificate of a host: the stored one while it lasts, else a new one. Caller:
 * tls_pem_free(). */
static int certificate_ensure(struct model *model, const char *host, char **pem,
                              struct model_error *error)
{
	int64_t now_s = (int64_t)(base_time_wall_ns() / BASE_NS_PER_S);
	int64_t begin_s, end_s;
	int err = store_certificate_get(model->setup.store, host, pem);

	if (err < 0 && err != -ENOENT)
		return model__refuse_store(model, err, error);
	/* It begins in a time to come when the clock was set back since it was made. */
	if (err == 0 && tls_certificate_validity(*pem, &begin_s, &end_s) == 0 && begin_s <= now_s
	    && end_s - now_s > RENEW_BEFORE_S)
		return 0;
	if (err == 0)
		tls_pem_free(*pem);
	*pem = NULL;
	return certificate_make(model, host, pem, error);
}

/* ---- to the edge -------------------------------------------------------------------------------- */

/* What one edge_services_set() needs. */
struct table {
	struct edge_service *services;
	char **pems;
	size_t n;
};

static void table_fini(struct table *table)
{
	for (size_t i = 0; i < table->n; i++)
		tls_pem_free(table->pems[i]);
	free(table->pems);
	free(table->services);
}

/* Enter a service unless its peer is not there, or disabled: then it is left out until the peer comes back. */
static int table_enter(struct model *model, struct table *table, const struct store_service *row,
                       struct model_error *error)
{
	const struct peer *peer = peer_find(model->setup.peers, row->peer);
	struct edge_service *service = &table->services[table->n];
	struct base_ip none = {.family = BASE_IP_NONE};
	int err;

	service->target.ip = peer ? peer_address(peer) : none;
	/* The edge ends what is open to a service that it no longer has. */
	if (peer && peer->row.disabled) {
		log_info("model", "service waits for its peer to be enabled service=%s peer=%s",
		         row->name, row->peer);
		return 0;
	}
	if (service->target.ip.family == BASE_IP_NONE) {
		log_warn("model", "service has no peer now service=%s peer=%s", row->name,
		         row->peer);
		return 0;
	}
	service->target.port = row->port;
	snprintf(service->name, sizeof(service->name), "%s", row->name);
	snprintf(service->host, sizeof(service->host), "%s", row->host);
	err = certificate_ensure(model, row->host, &table->pems[table->n], error);
	if (err == 0)
		table->n++;
	return err;
}

int model__services_publish(struct model *model, struct model_error *error)
{
	struct services rows = {0};
	struct table table = {0};
	int err;

	if (!model->setup.edge)
		return 0;
	err = services_read(model, &rows);
	if (err < 0) {
		free(rows.rows);
		return model__refuse_store(model, err, error);
	}
	table.services = calloc(rows.n + 1, sizeof(*table.services));
	table.pems = calloc(rows.n + 1, sizeof(char *));
	if (!table.services || !table.pems)
		err = model__refuse(error, -ENOMEM, "failed", NULL, "not enough memory");
	for (size_t i = 0; err == 0 && i < rows.n; i++)
		err = table_enter(model, &table, &rows.rows[i], error);
	if (err == 0) {
		err = edge_services_set(model->setup.edge, table.services,
		                        (const char *const *)table.pems, table.n);
		if (err < 0)
			model__refuse(error, err, "failed", NULL, "edge: %s", strerror(-err));
	}
	table_fini(&table);
	free(rows.rows);
	return err;
}

/* ---- one service as JSON ------------------------------------------------------------------------ */

static json_t *certificate_json(struct model *model, const char *host)
{
	int64_t begin_s, end_s = 0;
	char *pem = NULL;

	if (store_certificate_get(model->setup.store, host, &pem) < 0)
		return json_null();
	if (tls_certificate_validity(pem, &begin_s, &end_s) < 0)
		end_s = 0;
	tls_pem_free(pem);
	return json_pack("{s:s, s:o}", "issuer", "self-signed", "expires_at",
	                 model__time((uint64_t)end_s * BASE_NS_PER_S));
}

static json_t *service_json(struct model *model, const struct store_service *row)
{
	const struct peer *peer = peer_find(model->setup.peers, row->peer);
	char ip[BASE_IP_STRLEN];
	const char *state = "published";
	json_t *address = json_null();

	if (!model->setup.edge)
		state = "edge is off";
	else if (!peer)
		state = "peer is missing";
	if (peer) {
		struct base_ip own = peer_address(peer);

		if (own.family != BASE_IP_NONE)
			address = json_string(base_ip_format(&own, ip));
		else if (model->setup.edge)
			state = "peer has no address";
		if (peer->row.disabled)
			state = "peer is disabled";
	}
	return json_pack("{s:s, s:s, s:o, s:o, s:o, s:s, s:o, s:o}", "name", row->name, "host",
	                 row->host, "url", json_sprintf("https://%s/", row->host), "target",
	                 json_sprintf("%s:%u", row->peer, row->port), "address", address, "state",
	                 state, "certificate", certificate_json(model, row->host), "created_at",
	                 model__time(row->created_wall_ns));
}

/* ---- add ---------------------------------------------------------------------------------------- */

/* Name and host are not taken. */
static int check_unique(struct model *model, const struct store_service *service,
                        struct model_error *error)
{
	struct services rows = {0};
	int err = services_read(model, &rows);

	if (err < 0)
		model__refuse_store(model, err, error);
	for (size_t i = 0; err == 0 && i < rows.n; i++) {
		if (strcmp(rows.rows[i].name, service->name) == 0)
			err = model__refuse(error, -EEXIST, "exists", "name",
			                    "name: service \"%s\" exists already", service->name);
		else if (strcmp(rows.rows[i].host, service->host) == 0)
			err = model__refuse(error, -EEXIST, "exists", "host",
			                    "host: %s belongs to service \"%s\"", service->host,
			                    rows.rows[i].name);
	}
	free(rows.rows);
	return err;
}

static int service_make(struct model *model, const json_t *params, struct store_service *out,
                        struct model_error *error)
{
	const char *name = json_string_value(json_object_get(params, "name"));
	int err;

	if (!model->setup.edge)
		return model__refuse(error, -ENOTSUP, "no_edge", NULL,
		                     "edge.https is not set in %s: there is no address to publish "
		                     "on",
		                     model->setup.config->path);
	snprintf(out->name, sizeof(out->name), "%s", name);
	/* checked by model__check() before */
	err = base_host_normalize(json_string_value(json_object_get(params, "host")), out->host);
	if (err == 0)
		err = model__target_parse(json_string_value(json_object_get(params, "target")),
		                          out->peer, &out->port);
	if (err < 0)
		return err;
	out->created_wall_ns = base_time_wall_ns();
	if (!peer_find(model->setup.peers, out->peer))
		return model__refuse(error, -ENOENT, "not_found", "target",
		                     "target: no peer is called \"%s\"", out->peer);
	return check_unique(model, out, error);
}

/* Undo a change of the store, and give the edge what is stored again. */
static void roll_back(struct model *model)
{
	struct model_error why = {0};

	if (store_end(model->setup.store, false) < 0)
		log_err("model", "change not undone: %s", store_error(model->setup.store));
	if (model__services_publish(model, &why) < 0)
		log_err("model", "services not published: %s", why.text);
}

/* Store and edge change together: what the edge refuses is not stored, what cannot be stored is not
 * published. change is the result of the change to the store, inside the transaction. */
static int publish_and_commit(struct model *model, int change, struct model_error *error)
{
	int err = change;

	if (err < 0)
		model__refuse_store(model, err, error);
	else
		err = model__services_publish(model, error);
	if (err < 0) {
		roll_back(model);
		return err;
	}
	err = store_end(model->setup.store, true);
	if (err < 0) {
		struct model_error why = {0};

		model__refuse_store(model, err, error);
		if (model__services_publish(model, &why) < 0)
			log_err("model", "services not published: %s", why.text);
	}
	return err;
}

int model__service_add(struct model *model, const json_t *params, json_t **result,
                       struct model_error *error)
{
	struct store_service service = {0};
	int err = service_make(model, params, &service, error);

	if (err < 0)
		return err;
	err = store_begin(model->setup.store);
	if (err < 0)
		return model__refuse_store(model, err, error);
	err = publish_and_commit(model, store_service_add(model->setup.store, &service), error);
	if (err < 0)
		return err;
	log_info("model", "service added service=%s host=%s target=%s:%u", service.name,
	         service.host, service.peer, service.port);
	*result = json_pack("{s:o}", "service", service_json(model, &service));
	return 0;
}

/* ---- list and remove ---------------------------------------------------------------------------- */

int model__service_list(struct model *model, const json_t *params, json_t **result,
                        struct model_error *error)
{
	const json_t *limit_arg = json_object_get(params, "limit");
	const char *cursor = json_string_value(json_object_get(params, "cursor"));
	size_t limit = limit_arg ? (size_t)json_integer_value(limit_arg) : LIMIT_DEFAULT;
	struct services rows = {0};
	json_t *array = json_array();
	const char *next = NULL;
	size_t i = 0;
	int err = services_read(model, &rows);

	if (err < 0) {
		free(rows.rows);
		json_decref(array);
		return model__refuse_store(model, err, error);
	}
	while (cursor && i < rows.n && strcmp(rows.rows[i].name, cursor) <= 0)
		i++;
	for (; i < rows.n && json_array_size(array) < limit; i++)
		if (json_array_append_new(array, service_json(model, &rows.rows[i])) < 0)
			break;
	if (i < rows.n && i > 0)
		next = rows.rows[i - 1].name;
	*result = json_pack("{s:o, s:s?}", "services", array, "next", next);
	free(rows.rows);
	return 0;
}

/* Drop the service, and its host's certificate: nobody else has the host. */
static int drop(struct model *model, const char *name, const char *host)
{
	int err = store_service_drop(model->setup.store, name);

	return err < 0 ? err : store_certificate_drop(model->setup.store, host);
}

int model__service_remove(struct model *model, const json_t *params, json_t **result,
                          struct model_error *error)
{
	const char *name = json_string_value(json_object_get(params, "name"));
	char host[STORE_HOST_LEN] = "";
	struct services rows = {0};
	int err = services_read(model, &rows);

	if (err < 0)
		model__refuse_store(model, err, error);
	for (size_t i = 0; err == 0 && i < rows.n; i++)
		if (strcmp(rows.rows[i].name, name) == 0)
			snprintf(host, sizeof(host), "%s", rows.rows[i].host);
	free(rows.rows);
	if (err < 0)
		return err;
	if (host[0] == '\0')
		return model__refuse(error, -ENOENT, "not_found", "name",
		                     "name: no service is called \"%s\"", name);
	err = store_begin(model->setup.store);
	if (err < 0)
		return model__refuse_store(model, err, error);
	err = publish_and_commit(model, drop(model, name, host), error);
	if (err < 0)
		return err;
	log_info("model", "service removed service=%s host=%s", name, host);
	*result = json_pack("{s:s}", "name", name);
	return 0;
}

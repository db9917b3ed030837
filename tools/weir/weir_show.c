/* Results for people. What a method's reply holds is written in methods.json; a method without a
 * function here is shown as JSON. */
#include "abi_counter.h"
#include "base_bytes.h"
#include "weir.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- pieces ------------------------------------------------------------------------------------- */

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "-";
}

static long long number_of(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

/* Elements of an array of strings, or "-". */
static const char *list_of(const json_t *object, const char *key, char *buf, size_t size)
{
	const json_t *array = json_object_get(object, key);
	size_t len = 0;

	snprintf(buf, size, "-");
	for (size_t i = 0; i < json_array_size(array) && len < size; i++)
		len += (size_t)snprintf(buf + len, size - len, "%s%s", i ? ", " : "",
		                        json_string_value(json_array_get(array, i)));
	return buf;
}

/* 0, 999 B, 12.3 KiB */
static const char *bytes_text(long long bytes, char buf[static 16])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
	double value = (double)bytes;
	size_t unit = 0;

	for (; value >= 1024 && unit + 1 < BASE_ARRAY_LEN(units); unit++)
		value /= 1024;
	snprintf(buf, 16, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
	return buf;
}

/* "12 s ago", from RFC 3339; "never" for null. */
static const char *age_text(const json_t *object, const char *key, char buf[static 32])
{
	const char *text = json_string_value(json_object_get(object, key));
	struct tm tm = {0};
	long long age;

	if (!text || !strptime(text, "%Y-%m-%dT%H:%M:%S", &tm)) {
		snprintf(buf, 32, "never");
		return buf;
	}
	age = (long long)(time(NULL) - timegm(&tm));
	if (age < 0)
		age = 0;
	if (age < 120)
		snprintf(buf, 32, "%lld s ago", age);
	else if (age < 120 * 60)
		snprintf(buf, 32, "%lld min ago", age / 60);
	else if (age < 48 * 3600)
		snprintf(buf, 32, "%lld h ago", age / 3600);
	else
		snprintf(buf, 32, "%lld days ago", age / 86400);
	return buf;
}

/* ---- tables ------------------------------------------------------------------------------------- */

#define COLUMNS_MAX 8

/* Rows of columns, each column as wide as its widest cell. */
struct table {
	size_t n_columns;
	size_t n_cells;
	size_t max;
	char **cells;
};

static void table_cell(struct table *table, const char *text)
{
	if (table->n_cells == table->max) {
		size_t max = table->max ? table->max * 2 : 64;
		char **grown = reallocarray(table->cells, max, sizeof(*grown));

		if (!grown)
			return;
		table->cells = grown;
		table->max = max;
	}
	table->cells[table->n_cells] = strdup(text);
	if (table->cells[table->n_cells])
		table->n_cells++;
}

/* Print and free. */
static void table_end(struct table *table)
{
	size_t width[COLUMNS_MAX] = {0};

	for (size_t i = 0; i < table->n_cells; i++) {
		size_t len = strlen(table->cells[i]);
		size_t column = i % table->n_columns;

		if (len > width[column])
			width[column] = len;
	}
	for (size_t i = 0; i < table->n_cells; i++) {
		bool last = (i + 1) % table->n_columns == 0;

		printf("%-*s%s", last ? 0 : (int)width[i % table->n_columns], table->cells[i],
		       last ? "\n" : "  ");
		free(table->cells[i]);
	}
	free(table->cells);
}

/* ---- methods ------------------------------------------------------------------------------------ */

static void show_status(const json_t *result)
{
	const json_t *hub = json_object_get(result, "hub");
	const json_t *control = json_object_get(result, "control");
	const json_t *dataplane = json_object_get(result, "dataplane");
	const json_t *peers = json_object_get(result, "peers");
	const json_t *list;
	char buf[256];
	char age[32];

	printf("weir        %s\n", text_of(result, "version"));
	printf("public key  %s\n", text_of(hub, "public_key"));
	printf("endpoint    %s\n", text_of(hub, "endpoint"));
	printf("tunnel      %s\n", list_of(hub, "addresses", buf, sizeof(buf)));
	printf("control     pid %lld, started %s\n", number_of(control, "pid"),
	       age_text(control, "started_at", age));
	if (json_is_true(json_object_get(dataplane, "attached")))
		printf("dataplane   pid %lld, %s\n", number_of(dataplane, "pid"),
		       json_is_true(json_object_get(dataplane, "ready")) ? "ready" : "starting");
	else
		printf("dataplane   not running\n");
	list = json_object_get(dataplane, "workers");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *worker = json_array_get(list, i);

		printf("worker %-4lld %s, %lld sessions, busy %.1f %%, longest loop %lld us\n",
		       number_of(worker, "worker"),
		       json_is_true(json_object_get(worker, "alive")) ? "alive" : "not alive",
		       number_of(worker, "sessions"),
		       json_real_value(json_object_get(worker, "busy")) * 100,
		       number_of(worker, "longest_loop_us"));
	}
	list = json_object_get(dataplane, "ports");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *port = json_array_get(list, i);

		printf("port        %s (%s), %s, MAC %s, MTU %lld\n", text_of(port, "name"),
		       text_of(port, "device"),
		       json_is_true(json_object_get(port, "up")) ? "up" : "down",
		       text_of(port, "mac"), number_of(port, "mtu"));
	}
	printf("peers       %lld of at most %lld, %lld active\n", number_of(peers, "total"),
	       number_of(peers, "limit"), number_of(peers, "active"));
	printf("services    %lld%s\n", number_of(json_object_get(result, "services"), "total"),
	       json_is_true(json_object_get(json_object_get(result, "edge"), "enabled"))
	               ? ""
	               : " (edge is off: edge.https is not set)");
}

static void show_peer_list(const json_t *result)
{
	static const char *const heads[] = {"NAME", "ADDRESS", "ENDPOINT", "HANDSHAKE", "RX", "TX"};
	const json_t *peers = json_object_get(result, "peers");
	struct table table = {.n_columns = BASE_ARRAY_LEN(heads)};
	char buf[256];

	if (json_array_size(peers) == 0) {
		printf("no peers\n");
		return;
	}
	for (size_t i = 0; i < BASE_ARRAY_LEN(heads); i++)
		table_cell(&table, heads[i]);
	for (size_t i = 0; i < json_array_size(peers); i++) {
		const json_t *peer = json_array_get(peers, i);

		table_cell(&table, text_of(peer, "name"));
		table_cell(&table, list_of(peer, "addresses", buf, sizeof(buf)));
		table_cell(&table, text_of(peer, "endpoint"));
		table_cell(&table, age_text(peer, "last_handshake_at", buf));
		table_cell(&table, bytes_text(number_of(peer, "rx_bytes"), buf));
		table_cell(&table, bytes_text(number_of(peer, "tx_bytes"), buf));
	}
	table_end(&table);
}

static void show_peer(const json_t *result)
{
	const json_t *peer = json_object_get(result, "peer");
	char buf[2048];
	char age[32];

	printf("name           %s\n", text_of(peer, "name"));
	printf("public key     %s\n", text_of(peer, "public_key"));
	printf("preshared key  %s\n",
	       json_is_true(json_object_get(peer, "preshared_key")) ? "yes" : "no");
	printf("addresses      %s\n", list_of(peer, "addresses", buf, sizeof(buf)));
	printf("allowed IPs    %s\n", list_of(peer, "allowed_ips", buf, sizeof(buf)));
	printf("keepalive      %lld s\n", number_of(peer, "keepalive"));
	printf("declared at    %s\n", text_of(peer, "declared_at"));
	printf("created        %s\n", text_of(peer, "created_at"));
	printf("endpoint       %s\n", text_of(peer, "endpoint"));
	printf("handshake      %s\n", age_text(peer, "last_handshake_at", age));
	printf("last seen      %s\n", age_text(peer, "last_seen_at", age));
	printf("received       %s, %lld packets\n", bytes_text(number_of(peer, "rx_bytes"), buf),
	       number_of(peer, "rx_packets"));
	printf("sent           %s, %lld packets\n", bytes_text(number_of(peer, "tx_bytes"), buf),
	       number_of(peer, "tx_packets"));
	printf("dropped        %lld packets\n", number_of(peer, "drops"));
}

static void show_config(const json_t *result)
{
	fputs(text_of(result, "config"), stdout);
}

static void show_removed(const json_t *result)
{
	printf("removed %s\n", text_of(result, "name"));
}

static void show_service_add(const json_t *result)
{
	const json_t *service = json_object_get(result, "service");

	printf("published %s -> %s (%s), certificate %s\n", text_of(service, "url"),
	       text_of(service, "target"), text_of(service, "address"),
	       text_of(json_object_get(service, "certificate"), "issuer"));
}

static void show_service_list(const json_t *result)
{
	static const char *const heads[] = {"NAME",    "URL",   "TARGET",
	                                    "ADDRESS", "STATE", "CERTIFICATE"};
	const json_t *services = json_object_get(result, "services");
	struct table table = {.n_columns = BASE_ARRAY_LEN(heads)};

	if (json_array_size(services) == 0) {
		printf("no services\n");
		return;
	}
	for (size_t i = 0; i < BASE_ARRAY_LEN(heads); i++)
		table_cell(&table, heads[i]);
	for (size_t i = 0; i < json_array_size(services); i++) {
		const json_t *service = json_array_get(services, i);
		const json_t *certificate = json_object_get(service, "certificate");
		char text[64];

		snprintf(text, sizeof(text), "%s until %.10s", text_of(certificate, "issuer"),
		         text_of(certificate, "expires_at"));
		table_cell(&table, text_of(service, "name"));
		table_cell(&table, text_of(service, "url"));
		table_cell(&table, text_of(service, "target"));
		table_cell(&table, text_of(service, "address"));
		table_cell(&table, text_of(service, "state"));
		table_cell(&table, text);
	}
	table_end(&table);
}

static void show_counters(const json_t *result)
{
	static const char *const heads[] = {
		[ABI_COUNTER_KIND_IN] = "packets in",
		[ABI_COUNTER_KIND_OUT] = "packets out",
		[ABI_COUNTER_KIND_DROP] = "packets dropped",
		[ABI_COUNTER_KIND_INFO] = "beside the balance",
	};
	json_t *counters = json_object_get(result, "counters");
	json_t *edge = json_object_get(result, "edge");
	const char *name;
	json_t *value;

	for (size_t kind = 0; kind < BASE_ARRAY_LEN(heads); kind++) {
		printf("%s%s\n", kind ? "\n" : "", heads[kind]);
		for (size_t i = 0; i < ABI_N_COUNTERS; i++) {
			const struct abi_counter_text *text = &abi_counter_texts[i];

			value = json_object_get(counters, text->name);
			if (value && text->kind == (enum abi_counter_kind)kind)
				printf("  %-26s %14lld  %s\n", text->name,
				       (long long)json_integer_value(value), text->text);
		}
	}
	if (!edge)
		return;
	printf("\nedge\n");
	json_object_foreach(edge, name, value)
		printf("  %-26s %14lld\n", name, (long long)json_integer_value(value));
}

static const struct {
	const char *method;
	void (*show)(const json_t *result);
} shows[] = {
	{"status", show_status},           {"peer.add", show_config},
	{"peer.list", show_peer_list},     {"peer.show", show_peer},
	{"peer.remove", show_removed},     {"peer.config", show_config},
	{"service.add", show_service_add}, {"service.list", show_service_list},
	{"service.remove", show_removed},  {"counters", show_counters},
};

void weir_show(const struct weir_command *command, const json_t *result)
{
	for (size_t i = 0; i < BASE_ARRAY_LEN(shows); i++) {
		if (strcmp(shows[i].method, command->method) == 0) {
			shows[i].show(result);
			return;
		}
	}
	json_dumpf(result, stdout, JSON_INDENT(2));
	putchar('\n');
}

/* Drops, flows and traces for people. */
#include "base_bytes.h"
#include "weir.h"
#include "weir_table.h"

#include <string.h>

/* "10.0.0.7:50000", "[fd00::7]:50000", an address without a port, or "-". */
static const char *place_text(const json_t *object, const char *side, char *buf, size_t size)
{
	const char *ip = weir_text_of(object, side);
	const json_t *port;
	char key[32];

	snprintf(key, sizeof(key), "%s_port", side);
	port = json_object_get(object, key);
	if (!json_is_integer(port))
		return ip;
	snprintf(buf, size, strchr(ip, ':') ? "[%s]:%lld" : "%s:%lld", ip,
	         (long long)json_integer_value(port));
	return buf;
}

void weir_show_drop(const json_t *drop)
{
	char source[64];
	char destination[64];

	printf("%s  %s%s  %s -> %s  %s  %s: %s\n", weir_text_of(drop, "at"),
	       json_is_true(json_object_get(drop, "to_peer")) ? "to " : "",
	       weir_text_of(drop, "peer"), place_text(drop, "source", source, sizeof(source)),
	       place_text(drop, "destination", destination, sizeof(destination)),
	       weir_text_of(drop, "protocol"), weir_text_of(drop, "reason"),
	       weir_text_of(drop, "text"));
}

static void show_drops(const json_t *result)
{
	static const char *const heads[] = {"PEER", "REASON", "PACKETS", "WHAT IT MEANS"};
	const json_t *drops = json_object_get(result, "drops");
	const json_t *counts = json_object_get(result, "counts");
	struct weir_table table = {.n_columns = BASE_ARRAY_LEN(heads)};

	for (size_t i = 0; i < json_array_size(drops); i++)
		weir_show_drop(json_array_get(drops, i));
	if (json_array_size(counts) == 0) {
		printf("nothing was dropped\n");
		return;
	}
	if (json_array_size(drops) > 0)
		putchar('\n');
	for (size_t i = 0; i < BASE_ARRAY_LEN(heads); i++)
		weir_table_cell(&table, heads[i]);
	for (size_t i = 0; i < json_array_size(counts); i++) {
		const json_t *count = json_array_get(counts, i);
		char text[32];

		snprintf(text, sizeof(text), "%lld", weir_number_of(count, "packets"));
		weir_table_cell(&table, weir_text_of(count, "peer"));
		weir_table_cell(&table, weir_text_of(count, "reason"));
		weir_table_cell(&table, text);
		weir_table_cell(&table, weir_text_of(count, "text"));
	}
	weir_table_end(&table);
	if (!json_is_true(json_object_get(result, "counts_complete")))
		printf("and more: see --limit\n");
}

void weir_show_event(const json_t *event)
{
	printf("%s  %s  %s %s: %s\n", weir_text_of(event, "at"), weir_text_of(event, "peer"),
	       weir_text_of(event, "kind"), weir_text_of(event, "what"),
	       weir_text_of(event, "text"));
}

static void show_events(const json_t *result)
{
	const json_t *events = json_object_get(result, "events");

	for (size_t i = 0; i < json_array_size(events); i++)
		weir_show_event(json_array_get(events, i));
	if (json_array_size(events) == 0)
		printf("nothing has happened\n");
}

static void show_trace(const json_t *result)
{
	const json_t *from = json_object_get(result, "from");
	const json_t *to = json_object_get(result, "to");
	const json_t *steps = json_object_get(result, "steps");
	const json_t *grants = json_object_get(result, "grants");
	const char *reason = json_string_value(json_object_get(result, "reason"));
	const char *grant = json_string_value(json_object_get(result, "grant"));
	char buf[200];

	printf("%s -> %s\n", weir_text_of(from, "address"), weir_text_of(to, "address"));
	for (size_t i = 0; i < json_array_size(steps); i++) {
		const json_t *one = json_array_get(steps, i);

		printf("  %-9s  %-6s  %s\n", weir_text_of(one, "step"),
		       weir_text_of(one, "verdict"), weir_text_of(one, "text"));
	}
	for (size_t i = 0; i < json_array_size(grants); i++) {
		const json_t *one = json_array_get(grants, i);
		bool fits = json_array_size(json_object_get(one, "misses")) == 0;

		printf("  grant %s: %s%s\n", weir_text_of(one, "grant"),
		       fits ? "fits" : "does not fit in ",
		       fits ? "" : weir_list_of(one, "misses", buf, sizeof(buf)));
	}
	if (reason)
		printf("DROPPED: %s\n", reason);
	else
		printf("ALLOWED%s%s\n", grant ? ": " : "", grant ? grant : "");
}

static void show_flow(struct weir_table *table, const json_t *flow)
{
	char buf[64];

	weir_table_cell(table, weir_text_of(flow, "peer"));
	weir_table_cell(table, place_text(flow, "source", buf, sizeof(buf)));
	weir_table_cell(table, place_text(flow, "destination", buf, sizeof(buf)));
	weir_table_cell(table, weir_text_of(flow, "protocol"));
	weir_table_cell(table, weir_text_of(flow, "state"));
	snprintf(buf, sizeof(buf), "%lld s ago", weir_number_of(flow, "silent_s"));
	weir_table_cell(table, buf);
	weir_table_cell(table, weir_text_of(flow, "grant"));
	snprintf(buf, sizeof(buf), "%lld", weir_number_of(flow, "worker"));
	weir_table_cell(table, buf);
}

static void show_flows(const json_t *result)
{
	static const char *const heads[] = {"OPENED BY", "FROM", "TO",    "PROTOCOL",
	                                    "STATE",     "SEEN", "GRANT", "WORKER"};
	const json_t *flows = json_object_get(result, "flows");
	const json_t *workers = json_object_get(result, "workers");
	struct weir_table table = {.n_columns = BASE_ARRAY_LEN(heads)};

	for (size_t i = 0; json_array_size(flows) > 0 && i < BASE_ARRAY_LEN(heads); i++)
		weir_table_cell(&table, heads[i]);
	for (size_t i = 0; i < json_array_size(flows); i++)
		show_flow(&table, json_array_get(flows, i));
	if (json_array_size(flows) > 0)
		weir_table_end(&table);
	printf("%zu of %lld flows;", json_array_size(flows), weir_number_of(result, "total"));
	for (size_t i = 0; i < json_array_size(workers); i++) {
		const json_t *one = json_array_get(workers, i);

		printf("%s worker %lld has %lld", i ? "," : "", weir_number_of(one, "worker"),
		       weir_number_of(one, "flows"));
	}
	putchar('\n');
}

static void show_drift(const json_t *result)
{
	static const char *const heads[] = {"WORKER", "PEER", "KIND", "WHAT", "EXPECTED", "FOUND"};
	const json_t *findings = json_object_get(result, "findings");
	struct weir_table table = {.n_columns = BASE_ARRAY_LEN(heads)};
	long long n_more = weir_number_of(result, "more");

	for (size_t i = 0; json_array_size(findings) > 0 && i < BASE_ARRAY_LEN(heads); i++)
		weir_table_cell(&table, heads[i]);
	for (size_t i = 0; i < json_array_size(findings); i++) {
		const json_t *one = json_array_get(findings, i);
		char worker[24];

		snprintf(worker, sizeof(worker), "%lld", weir_number_of(one, "worker"));
		weir_table_cell(&table, worker);
		weir_table_cell(&table, weir_text_of(one, "peer"));
		weir_table_cell(&table, weir_text_of(one, "kind"));
		weir_table_cell(&table, weir_text_of(one, "what"));
		weir_table_cell(&table, weir_text_of(one, "expected"));
		weir_table_cell(&table, weir_text_of(one, "actual"));
	}
	if (json_array_size(findings) > 0)
		weir_table_end(&table);
	if (n_more > 0)
		printf("and %lld more\n", n_more);
	if (json_array_size(findings) == 0)
		printf("no drift, by the check of %s\n", weir_text_of(result, "checked_at"));
	else
		printf("%lld peers have drifted%s\n", weir_number_of(result, "policy_drift_peers"),
		       json_is_true(json_object_get(result, "repair")) ? "; being put right" : "");
}

static void show_trail(const json_t *result)
{
	const json_t *records = json_object_get(result, "records");

	for (size_t i = 0; i < json_array_size(records); i++) {
		const json_t *one = json_array_get(records, i);
		const char *why = weir_text_of(one, "comment");

		printf("%lld  %s  %s  %s %s: %s", weir_number_of(one, "sequence"),
		       weir_text_of(one, "at"), weir_text_of(one, "actor"),
		       weir_text_of(one, "operation"), weir_text_of(one, "object"),
		       weir_text_of(one, "summary"));
		if (why[0] != '\0')
			printf("  (%s)", why);
		putchar('\n');
	}
	if (json_array_size(records) == 0)
		printf("no records\n");
}

static void show_verify(const json_t *result)
{
	const char *why = json_string_value(json_object_get(result, "why"));

	const json_t *taken_out = json_object_get(result, "taken_out");

	if (why)
		printf("record %lld: %s\n", weir_number_of(result, "broken"), why);
	if (json_is_object(taken_out))
		printf("records up to %lld were taken out, the last with hash %s\n",
		       weir_number_of(taken_out, "sequence"), weir_text_of(taken_out, "hash"));
	printf("%lld records are as they were written, the last with hash %s\n",
	       weir_number_of(result, "records"), weir_text_of(result, "hash"));
}

static void show_prune(const json_t *result)
{
	printf("%lld records taken out, up to %lld with hash %s\n",
	       weir_number_of(result, "taken_out"), weir_number_of(result, "sequence"),
	       weir_text_of(result, "hash"));
}

bool weir_show_watch(const char *method, const json_t *result)
{
	if (strcmp(method, "drops") == 0)
		show_drops(result);
	else if (strcmp(method, "events") == 0)
		show_events(result);
	else if (strcmp(method, "trace") == 0)
		show_trace(result);
	else if (strcmp(method, "flows") == 0)
		show_flows(result);
	else if (strcmp(method, "audit.drift") == 0)
		show_drift(result);
	else if (strcmp(method, "audit.trail") == 0)
		show_trail(result);
	else if (strcmp(method, "audit.verify") == 0)
		show_verify(result);
	else if (strcmp(method, "audit.prune") == 0)
		show_prune(result);
	else
		return false;
	return true;
}

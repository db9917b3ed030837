/* Results for people. What a method's reply holds is written in methods.json; a method without a
 * function here is shown as JSON. */
#include "abi_counter.h"
#include "base_bytes.h"
#include "weir.h"
#include "weir_table.h"

#include <stdio.h>
#include <string.h>

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

	printf("weir        %s\n", weir_text_of(result, "version"));
	printf("public key  %s\n", weir_text_of(hub, "public_key"));
	list = json_object_get(hub, "rotation");
	if (json_is_object(list))
		printf("next key    %s (%s)\n", weir_text_of(list, "next_key"),
		       weir_text_of(list, "state"));
	printf("endpoint    %s\n", weir_text_of(hub, "endpoint"));
	printf("tunnel      %s\n", weir_list_of(hub, "addresses", buf, sizeof(buf)));
	printf("control     pid %lld, started %s\n", weir_number_of(control, "pid"),
	       weir_age_text(control, "started_at", age));
	if (json_is_true(json_object_get(dataplane, "attached")))
		printf("dataplane   pid %lld, %s\n", weir_number_of(dataplane, "pid"),
		       json_is_true(json_object_get(dataplane, "ready")) ? "ready" : "starting");
	else
		printf("dataplane   not running\n");
	list = json_object_get(dataplane, "workers");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *worker = json_array_get(list, i);

		printf("worker %-4lld %s, %lld sessions, busy %.1f %%, longest loop %lld us\n",
		       weir_number_of(worker, "worker"),
		       json_is_true(json_object_get(worker, "alive")) ? "alive" : "not alive",
		       weir_number_of(worker, "sessions"),
		       json_real_value(json_object_get(worker, "busy")) * 100,
		       weir_number_of(worker, "longest_loop_us"));
	}
	list = json_object_get(dataplane, "ports");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *port = json_array_get(list, i);

		printf("port        %s (%s), %s, MAC %s, MTU %lld\n", weir_text_of(port, "name"),
		       weir_text_of(port, "device"),
		       json_is_true(json_object_get(port, "up")) ? "up" : "down",
		       weir_text_of(port, "mac"), weir_number_of(port, "mtu"));
	}
	printf("peers       %lld of at most %lld, %lld active\n", weir_number_of(peers, "total"),
	       weir_number_of(peers, "limit"), weir_number_of(peers, "active"));
	list = json_object_get(result, "policy");
	printf("policy      generation %lld, %lld grants, %s\n", weir_number_of(list, "generation"),
	       weir_number_of(list, "grants"),
	       json_is_false(json_object_get(list, "enforced"))  ? "not enforced (hub.peer_to_peer)"
	       : json_is_true(json_object_get(list, "in_force")) ? "in force"
	       : json_is_true(json_object_get(dataplane, "attached"))
	               ? "not yet with the workers"
	               : "not in force: there is no dataplane");
	list = json_object_get(result, "drift");
	printf("drift       %lld peers, %lld entries; checked %s%s\n",
	       weir_number_of(list, "policy_drift_peers"), weir_number_of(list, "findings"),
	       weir_age_text(list, "checked_at", age),
	       json_is_true(json_object_get(list, "repair")) ? "" : ", not put right");
	printf("services    %lld%s\n", weir_number_of(json_object_get(result, "services"), "total"),
	       json_is_true(json_object_get(json_object_get(result, "edge"), "enabled"))
	               ? ""
	               : " (edge is off: edge.https is not set)");
}

/* When the last handshake was, or why nothing passes. */
static const char *handshake_text(const json_t *peer, char buf[static 64])
{
	const char *reason = json_string_value(
		json_object_get(json_object_get(peer, "alarm"), "reason"));
	char age[32];
	const json_t *month = json_object_get(json_object_get(peer, "limits"), "month");

	if (json_is_false(json_object_get(peer, "enabled")))
		return "disabled";
	if (json_is_true(json_object_get(month, "reached")))
		return "quota reached";
	snprintf(buf, 64, "%s%s", weir_age_text(peer, "last_handshake_at", age),
	         reason ? ", alarm" : "");
	return buf;
}

/* Its address, and the name that it is looked up by. */
static const char *endpoint_text(const json_t *peer, char *buf, size_t len)
{
	const json_t *name = json_object_get(peer, "endpoint_name");

	if (!json_is_object(name))
		return weir_text_of(peer, "endpoint");
	snprintf(buf, len, "%s (%s%s)", weir_text_of(peer, "endpoint"), weir_text_of(name, "name"),
	         weir_number_of(name, "failures") != 0 ? ", FAILED" : "");
	return buf;
}

static void show_peer_list(const json_t *result)
{
	static const char *const heads[] = {"NAME", "ADDRESS", "ENDPOINT", "HANDSHAKE", "RX", "TX"};
	const json_t *peers = json_object_get(result, "peers");
	struct weir_table table = {.n_columns = BASE_ARRAY_LEN(heads)};
	char buf[400];

	if (json_array_size(peers) == 0) {
		printf("no peers\n");
		return;
	}
	for (size_t i = 0; i < BASE_ARRAY_LEN(heads); i++)
		weir_table_cell(&table, heads[i]);
	for (size_t i = 0; i < json_array_size(peers); i++) {
		const json_t *peer = json_array_get(peers, i);

		weir_table_cell(&table, weir_text_of(peer, "name"));
		weir_table_cell(&table, weir_list_of(peer, "addresses", buf, sizeof(buf)));
		weir_table_cell(&table, endpoint_text(peer, buf, sizeof(buf)));
		weir_table_cell(&table, handshake_text(peer, buf));
		weir_table_cell(&table, weir_bytes_text(weir_number_of(peer, "rx_bytes"), buf));
		weir_table_cell(&table, weir_bytes_text(weir_number_of(peer, "tx_bytes"), buf));
	}
	weir_table_end(&table);
}

/* One way of a rate: "20.0 Mbit/s, 5000 packets/s". */
static void show_rate(const json_t *limits, const char *label, const char *bytes,
                      const char *packets)
{
	long long rate = weir_number_of(limits, bytes);

	if (rate == 0 && weir_number_of(limits, packets) == 0)
		return;
	printf("%-15s", label);
	if (rate != 0)
		printf("%.3f Mbit/s", (double)rate * 8 / 1e6);
	if (weir_number_of(limits, packets) != 0)
		printf("%s%lld packets/s", rate != 0 ? ", " : "", weir_number_of(limits, packets));
	putchar('\n');
}

static void show_quota(const json_t *limits, const char *label, const char *quota, long long used)
{
	long long most = weir_number_of(limits, quota);
	char a[64], b[64];

	if (most != 0)
		printf("%-15s%s of %s\n", label, weir_bytes_text(used, a),
		       weir_bytes_text(most, b));
}

static void show_limits(const json_t *limits)
{
	const json_t *month = json_object_get(limits, "month");
	long long rx = weir_number_of(month, "rx_used");
	long long tx = weir_number_of(month, "tx_used");

	if (!json_is_object(limits))
		return;
	printf("limits         from %s\n", weir_text_of(limits, "from"));
	show_rate(limits, "  receive", "rx_bytes", "rx_packets");
	show_rate(limits, "  send", "tx_bytes", "tx_packets");
	printf("  dropped      %lld packets\n", weir_number_of(limits, "drops"));
	if (!month)
		return;
	show_quota(limits, "  quota", "quota", rx + tx);
	show_quota(limits, "  quota rx", "quota_rx", rx);
	show_quota(limits, "  quota tx", "quota_tx", tx);
	printf("  until        %.10s%s, dropped %lld packets\n", weir_text_of(month, "until"),
	       json_is_true(json_object_get(month, "reached")) ? " QUOTA REACHED" : "",
	       weir_number_of(month, "drops"));
}

static void show_rotation(const json_t *rotation)
{
	char age[32];

	if (!json_is_object(rotation))
		return;
	printf("rotation       %s, %s\n", weir_text_of(rotation, "state"),
	       weir_age_text(rotation, "changed_at", age));
	if (json_is_string(json_object_get(rotation, "next_key")))
		printf("next key       %s\n", weir_text_of(rotation, "next_key"));
	if (json_is_true(json_object_get(rotation, "preshared_key")))
		printf("               with another preshared key\n");
	if (json_is_string(json_object_get(rotation, "next_key"))
	    || json_object_get(rotation, "preshared_key"))
		printf("both good      until %s\n", weir_text_of(rotation, "until"));
}

/* Whether it should be up, and whether it is. */
static void show_expected(const json_t *peer)
{
	const json_t *alarm = json_object_get(peer, "alarm");
	char age[32];

	printf("expected up    %s",
	       json_is_true(json_object_get(peer, "expected_up")) ? "yes" : "no");
	if (json_is_object(alarm))
		printf(", alarm (%s) raised %s", weir_text_of(alarm, "reason"),
		       weir_age_text(alarm, "since", age));
	putchar('\n');
}

static void show_endpoint_name(const json_t *name)
{
	char buf[512];
	char age[32];

	if (!json_is_object(name))
		return;
	printf("  by name      %s\n", weir_text_of(name, "name"));
	printf("  looked up    %s, %s\n", weir_list_of(name, "addresses", buf, sizeof(buf)),
	       weir_age_text(name, "resolved_at", age));
	if (weir_number_of(name, "failures") != 0)
		printf("  FAILED       %lld times since: %s\n", weir_number_of(name, "failures"),
		       weir_text_of(name, "error"));
}

static void show_peer(const json_t *result)
{
	const json_t *peer = json_object_get(result, "peer");
	char buf[2048];
	char age[32];

	printf("name           %s\n", weir_text_of(peer, "name"));
	printf("public key     %s\n", weir_text_of(peer, "public_key"));
	printf("enabled        %s\n",
	       json_is_false(json_object_get(peer, "enabled")) ? "no" : "yes");
	printf("preshared key  %s\n",
	       json_is_true(json_object_get(peer, "preshared_key")) ? "yes" : "no");
	printf("addresses      %s\n", weir_list_of(peer, "addresses", buf, sizeof(buf)));
	printf("allowed IPs    %s\n", weir_list_of(peer, "allowed_ips", buf, sizeof(buf)));
	printf("keepalive      %lld s\n", weir_number_of(peer, "keepalive"));
	printf("declared at    %s\n", weir_text_of(peer, "declared_at"));
	printf("created        %s\n", weir_text_of(peer, "created_at"));
	printf("endpoint       %s\n", weir_text_of(peer, "endpoint"));
	show_endpoint_name(json_object_get(peer, "endpoint_name"));
	printf("handshake      %s\n", weir_age_text(peer, "last_handshake_at", age));
	printf("last seen      %s\n", weir_age_text(peer, "last_seen_at", age));
	show_expected(peer);
	printf("received       %s, %lld packets\n",
	       weir_bytes_text(weir_number_of(peer, "rx_bytes"), buf),
	       weir_number_of(peer, "rx_packets"));
	printf("sent           %s, %lld packets\n",
	       weir_bytes_text(weir_number_of(peer, "tx_bytes"), buf),
	       weir_number_of(peer, "tx_packets"));
	printf("dropped        %lld packets\n", weir_number_of(peer, "drops"));
	show_limits(json_object_get(peer, "limits"));
	show_rotation(json_object_get(peer, "rotation"));
}

static void show_hub_rotate(const json_t *result)
{
	printf("public key     %s\n", weir_text_of(result, "public_key"));
	show_rotation(json_object_get(result, "rotation"));
}

/* The configuration, when there is one, is what the command was given for. */
static void show_rotate(const json_t *result)
{
	const json_t *peer = json_object_get(result, "peer");

	if (json_object_get(result, "config")) {
		fputs(weir_text_of(result, "config"), stdout);
		return;
	}
	printf("name           %s\n", weir_text_of(peer, "name"));
	printf("public key     %s\n", weir_text_of(peer, "public_key"));
	show_rotation(json_object_get(peer, "rotation"));
}

static void show_config(const json_t *result)
{
	fputs(weir_text_of(result, "config"), stdout);
}

static void show_removed(const json_t *result)
{
	printf("removed %s\n", weir_text_of(result, "name"));
}

static void show_service_add(const json_t *result)
{
	const json_t *service = json_object_get(result, "service");

	printf("published %s -> %s (%s), certificate %s\n", weir_text_of(service, "url"),
	       weir_text_of(service, "target"), weir_text_of(service, "address"),
	       weir_text_of(json_object_get(service, "certificate"), "issuer"));
}

static void show_service_list(const json_t *result)
{
	static const char *const heads[] = {"NAME",    "URL",   "TARGET",
	                                    "ADDRESS", "STATE", "CERTIFICATE"};
	const json_t *services = json_object_get(result, "services");
	struct weir_table table = {.n_columns = BASE_ARRAY_LEN(heads)};

	if (json_array_size(services) == 0) {
		printf("no services\n");
		return;
	}
	for (size_t i = 0; i < BASE_ARRAY_LEN(heads); i++)
		weir_table_cell(&table, heads[i]);
	for (size_t i = 0; i < json_array_size(services); i++) {
		const json_t *service = json_array_get(services, i);
		const json_t *certificate = json_object_get(service, "certificate");
		char text[64];

		snprintf(text, sizeof(text), "%s until %.10s", weir_text_of(certificate, "issuer"),
		         weir_text_of(certificate, "expires_at"));
		weir_table_cell(&table, weir_text_of(service, "name"));
		weir_table_cell(&table, weir_text_of(service, "url"));
		weir_table_cell(&table, weir_text_of(service, "target"));
		weir_table_cell(&table, weir_text_of(service, "address"));
		weir_table_cell(&table, weir_text_of(service, "state"));
		weir_table_cell(&table, text);
	}
	weir_table_end(&table);
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
	json_t *control = json_object_get(result, "control");
	json_t *edge = json_object_get(result, "edge");
	json_t *gauges = json_object_get(result, "gauges");
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
	json_object_foreach(gauges, name, value)
		printf("  %-26s %14lld\n", name, (long long)json_integer_value(value));
	json_object_foreach(control, name, value)
		printf("  %-26s %14lld\n", name, (long long)json_integer_value(value));
	if (!edge)
		return;
	printf("\nedge\n");
	json_object_foreach(edge, name, value)
		printf("  %-26s %14lld\n", name, (long long)json_integer_value(value));
}

/* weir_show_policy.c has those of groups, grants and policies, weir_show_block.c those
 * of drop lists, weir_show_watch.c those of drops. */
static const struct {
	const char *method;
	void (*show)(const json_t *result);
} shows[] = {
	{"status", show_status},
	{"peer.add", show_config},
	{"peer.list", show_peer_list},
	{"peer.show", show_peer},
	{"peer.enable", show_peer},
	{"peer.disable", show_peer},
	{"peer.set", show_peer},
	{"peer.limit", show_peer},
	{"quota.reset", show_peer},
	{"peer.rotate", show_rotate},
	{"hub.rotate", show_hub_rotate},
	{"peer.approve", show_peer},
	{"peer.withdraw", show_peer},
	{"peer.remove", show_removed},
	{"peer.config", show_config},
	{"service.add", show_service_add},
	{"service.list", show_service_list},
	{"service.remove", show_removed},
	{"counters", show_counters},
};

void weir_show(const struct weir_command *command, const json_t *result)
{
	for (size_t i = 0; i < BASE_ARRAY_LEN(shows); i++) {
		if (strcmp(shows[i].method, command->method) == 0) {
			shows[i].show(result);
			return;
		}
	}
	if (weir_show_policy(command->method, result) || weir_show_block(command->method, result)
	    || weir_show_watch(command->method, result))
		return;
	json_dumpf(result, stdout, JSON_INDENT(2));
	putchar('\n');
}

/* metrics: what a monitoring system scrapes, in pages, so that the scrape of a hundred thousand peers is many short turns
 * of the loop. A page is a stretch of one family's peers after the other: a cursor is the number of a family and the
 * name of the last peer of which it has spoken ("3:laptop"). Peers are in the order of their names; one that comes or
 * goes between two pages is in the families that come behind, or not. No label is a secret. */
#include "model_metric.h"

#include "base_text.h"
#include "hook.h"
#include "model_alarm.h"
#include "program.h"
#include "session.h"
#include "watch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_DEFAULT 500

/* ---- one sample of one peer ---------------------------------------------------------------------- */

struct sight {
	const struct model *model;
	const struct peer *peer;
	const char *name; /* of the family */
	const struct metric_label *labels;
	struct metric_text *text;
};

static void put(const struct sight *sight, uint64_t value)
{
	metric_sample(sight->text, sight->name, sight->labels, MODEL_METRIC_LABELS, value);
}

static void put_last_handshake(const struct sight *sight)
{
	struct peer_handshake handshake = peer_handshake(sight->model->setup.peers, sight->peer);

	metric_sample_ns(sight->text, sight->name, sight->labels, MODEL_METRIC_LABELS,
	                 handshake.wall_ns);
}

static void put_handshake_age(const struct sight *sight)
{
	struct peer_handshake handshake = peer_handshake(sight->model->setup.peers, sight->peer);

	if (handshake.wall_ns != 0)
		metric_sample_ns(sight->text, sight->name, sight->labels, MODEL_METRIC_LABELS,
		                 handshake.age_ns);
}

static void put_enabled(const struct sight *sight)
{
	put(sight, !sight->peer->row.disabled);
}

static void put_expected_up(const struct sight *sight)
{
	put(sight, sight->peer->row.expected_wall_ns != 0);
}

static void put_alarm(const struct sight *sight)
{
	put(sight, model__alarm_of(sight->model, sight->peer) != NULL);
}

static struct abi_peer_counters counters_of(const struct sight *sight)
{
	return program_peer_counters(sight->model->setup.program, sight->peer->row.id);
}

static void put_rx_bytes(const struct sight *sight)
{
	put(sight, counters_of(sight).rx_bytes);
}

static void put_tx_bytes(const struct sight *sight)
{
	put(sight, counters_of(sight).tx_bytes);
}

static void put_rx_packets(const struct sight *sight)
{
	put(sight, counters_of(sight).rx_packets);
}

static void put_tx_packets(const struct sight *sight)
{
	put(sight, counters_of(sight).tx_packets);
}

static void put_endpoint_changes(const struct sight *sight)
{
	struct session_peer_info info = {0};

	if (session_peer_info(sight->model->setup.session, sight->peer->row.id, &info) < 0)
		info.n_moves = 0;
	put(sight, info.n_moves);
}

/* ---- families of peers --------------------------------------------------------------------------- */

static const struct family {
	const char *name;
	enum metric_type type;
	const char *help;
	void (*put)(const struct sight *sight); /* NULL: drops, which are read for a page at once */
} families[] = {
	{"weir_peer_last_handshake_seconds", METRIC_GAUGE,
         "When the last handshake was, seconds since 1970; 0 = never", put_last_handshake},
	{"weir_peer_handshake_age_seconds", METRIC_GAUGE,
         "How old the last handshake is, by the hub's own clock; none for a peer that never came",
         put_handshake_age},
	{"weir_peer_enabled", METRIC_GAUGE, "0 = weir peer disable", put_enabled},
	{"weir_peer_expected_up", METRIC_GAUGE, "1 = the peer should be up (weir peer set)",
         put_expected_up},
	{"weir_peer_alarm", METRIC_GAUGE, "1 = the peer should be up and is not (weir events)",
         put_alarm},
	{"weir_peer_rx_bytes_total", METRIC_COUNTER,
         "Bytes received from the peer, as wg(8) counts them", put_rx_bytes},
	{"weir_peer_tx_bytes_total", METRIC_COUNTER, "Bytes sent to the peer, as wg(8) counts them",
         put_tx_bytes},
	{"weir_peer_rx_packets_total", METRIC_COUNTER, "Data packets received from the peer",
         put_rx_packets},
	{"weir_peer_tx_packets_total", METRIC_COUNTER, "Data packets sent to the peer",
         put_tx_packets},
	{"weir_peer_endpoint_changes_total", METRIC_COUNTER,
         "Times that the peer was heard from another address or port", put_endpoint_changes},
	{"weir_peer_drops_total", METRIC_COUNTER,
         "Packets of the peer, or for it, that were dropped, by reason (weir drops)", NULL},
};
#define N_FAMILIES (sizeof(families) / sizeof(families[0]))

/* ---- a page of one family ------------------------------------------------------------------------ */

void model__metric_labels(const struct peer *peer, struct model_metric_peer *out)
{
	snprintf(out->id, sizeof(out->id), "%u", peer->row.id);
	base_key_to_base64(out->key, peer->row.public_key);
	out->labels[0] = (struct metric_label){"id", out->id};
	out->labels[1] = (struct metric_label){"name", peer->row.name};
	out->labels[2] = (struct metric_label){"public_key", out->key};
}

static int put_family(const struct model *model, const struct family *family,
                      const struct peer *const *peers, size_t n, struct metric_text *text)
{
	if (!family->put)
		return model__metric_drops(model, family->name, peers, n, text);
	for (size_t i = 0; i < n; i++) {
		struct model_metric_peer one;
		const struct sight sight = {model, peers[i], family->name, one.labels, text};

		model__metric_labels(peers[i], &one);
		family->put(&sight);
	}
	return 0;
}

/* ---- what is the hub's --------------------------------------------------------------------------- */

static void put_gauge(struct metric_text *text, const char *name, const char *help, uint64_t value)
{
	metric_family(text, name, METRIC_GAUGE, help);
	metric_sample(text, name, NULL, 0, value);
}

static void put_webhook(const struct model *model, struct metric_text *text)
{
	struct hook_counters counters;

	if (!model->setup.hook)
		return;
	counters = hook_counters(model->setup.hook);
	put_gauge(text, "weir_webhook_waiting", "Events that wait for the webhook to take them",
	          counters.waiting);
	metric_family(
		text, "weir_webhook_events_total", METRIC_COUNTER,
		"What became of events for the webhook: posted, dropped (full queue), refused");
	for (size_t i = 0; i < 3; i++) {
		static const char *const results[] = {"posted", "dropped", "refused"};
		const uint64_t values[] = {counters.posted, counters.dropped, counters.refused};
		const struct metric_label result = {"result", results[i]};

		metric_sample(text, "weir_webhook_events_total", &result, 1, values[i]);
	}
	metric_family(text, "weir_webhook_failures_total", METRIC_COUNTER,
	              "Posts that were or are to be tried again");
	metric_sample(text, "weir_webhook_failures_total", NULL, 0, counters.failures);
}

static void put_hub(const struct model *model, struct metric_text *text)
{
	const struct program *program = model->setup.program;
	const struct metric_label version = {"version", WEIR_VERSION};

	metric_family(text, "weir_info", METRIC_GAUGE, "Always 1; the version is a label");
	metric_sample(text, "weir_info", &version, 1, 1);
	put_gauge(text, "weir_dataplane_up", "1 = the dataplane runs and its ports are up",
	          program_dataplane_ready(program));
	put_gauge(text, "weir_peers", "Peers that the hub knows", peer_count(model->setup.peers));
	put_gauge(text, "weir_peer_alarms", "Peers that should be up and are not", model->alarms.n);
	put_gauge(text, "weir_policy_drift_peers",
	          "Peers of which a worker holds something else than is wanted",
	          program_drift_status(program).n_peers);
	put_webhook(model, text);
	metric_family(text, "weir_counters_total", METRIC_COUNTER,
	              "The counters of weir counters, by name");
	for (uint32_t i = 0; i < ABI_N_COUNTERS; i++) {
		const struct metric_label counter = {"counter", abi_counter_texts[i].name};

		metric_sample(text, "weir_counters_total", &counter, 1,
		              program_counter(program, (enum abi_counter)i));
	}
}

/* ---- pages --------------------------------------------------------------------------------------- */

struct cursor {
	size_t family;
	char name[CONFIG_NAME_LEN]; /* "" = its very beginning */
};

static bool cursor_read(const char *text, struct cursor *out)
{
	size_t n_digits = strspn(text, "0123456789");

	if (n_digits == 0 || n_digits > 3 || text[n_digits] != ':'
	    || strlen(text + n_digits + 1) >= sizeof(out->name))
		return false;
	out->family = strtoul(text, NULL, 10);
	snprintf(out->name, sizeof(out->name), "%s", text + n_digits + 1);
	return out->family < N_FAMILIES;
}

/* From the cursor on, for so many peers' samples; the cursor gets where the next page begins, family N_FAMILIES at
 * the end. peers[limit] is scratch. */
static int page(const struct model *model, struct cursor *cursor, const struct peer **peers,
                uint32_t limit, struct metric_text *text)
{
	while (limit > 0 && cursor->family < N_FAMILIES) {
		const struct family *family = &families[cursor->family];
		uint32_t n = peers_after(model->setup.peers, cursor->name, peers, limit);
		int err;

		if (cursor->name[0] == '\0')
			metric_family(text, family->name, family->type, family->help);
		err = put_family(model, family, peers, n, text);
		if (err < 0)
			return err;
		if (n < limit) {
			cursor->family++;
			cursor->name[0] = '\0';
		} else {
			snprintf(cursor->name, sizeof(cursor->name), "%s", peers[n - 1]->row.name);
		}
		limit -= n;
	}
	return text->has_failed ? -ENOMEM : 0;
}

int model__metrics(struct model *model, const json_t *params, json_t **result,
                   struct model_error *error)
{
	const json_t *limit_arg = json_object_get(params, "limit");
	const char *from = json_string_value(json_object_get(params, "cursor"));
	uint32_t limit = limit_arg ? (uint32_t)json_integer_value(limit_arg) : LIMIT_DEFAULT;
	const struct peer **peers = calloc(limit, sizeof(const struct peer *));
	struct cursor cursor = {.family = 0};
	struct metric_text text = {0};
	char next[CONFIG_NAME_LEN + 8];
	int err = peers ? 0 : -ENOMEM;

	if (err == 0 && from && !cursor_read(from, &cursor))
		err = model__refuse(error, -EINVAL, "bad_argument", "cursor",
		                    "cursor is \"%s\", must be \"next\" of the page before", from);
	if (err == 0 && !from)
		put_hub(model, &text);
	if (err == 0)
		err = page(model, &cursor, peers, limit, &text);
	snprintf(next, sizeof(next), "%zu:%s", cursor.family, cursor.name);
	if (err == 0)
		*result = json_pack("{s:s, s:s?}", "text", text.text ? text.text : "", "next",
		                    cursor.family < N_FAMILIES ? next : NULL);
	metric_text_fini(&text);
	free(peers);
	return err;
}

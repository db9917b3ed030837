/* drops: the last packets that were dropped, and how many of each peer for each reason. */
#include "model_method.h"
#include "program.h"
#include "watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_DEFAULT 100

/* ---- samples ------------------------------------------------------------------------------------- */

static json_t *ip_json(const struct base_ip *ip)
{
	char text[BASE_IP_STRLEN];

	return ip->family == BASE_IP_NONE ? json_null() : json_string(base_ip_format(ip, text));
}

static json_t *port_json(const struct abi_report_drop *drop, uint16_t port)
{
	return drop->has_ports ? json_integer(port) : json_null();
}

static json_t *sample_json(const struct watch_drop *kept)
{
	const struct abi_report_drop *drop = &kept->drop;
	bool has_ip = drop->source.family != BASE_IP_NONE;
	char proto[8];

	return json_pack("{s:o, s:s, s:b, s:o, s:o, s:o, s:o, s:s?, s:s, s:s, s:I, s:I, s:b}", "at",
	                 model__time(kept->wall_ns), "peer", kept->peer, "to_peer",
	                 (drop->flags & ABI_DROP_TO_PEER) != 0, "source", ip_json(&drop->source),
	                 "source_port", port_json(drop, drop->sport), "destination",
	                 ip_json(&drop->destination), "destination_port",
	                 port_json(drop, drop->dport), "protocol",
	                 has_ip ? watch_proto(drop->proto, proto) : NULL, "reason",
	                 watch_reason(drop->reason), "text", abi_counter_texts[drop->reason].text,
	                 "len", (json_int_t)drop->len, "worker", (json_int_t)kept->worker, "outer",
	                 (drop->flags & ABI_DROP_OUTER) != 0);
}

static bool is_wanted(const struct watch_drop *kept, bool any, uint32_t number)
{
	return any || kept->drop.peer == number;
}

/* The last limit ones behind after, oldest first. *next is the cursor for what comes later. */
static json_t *samples_json(struct watch *watch, uint64_t after, size_t limit, bool any,
                            uint32_t number, uint64_t *next)
{
	json_t *array = json_array();
	const struct watch_drop *kept;
	size_t n_wanted = 0;

	*next = watch_drop_newest(watch);
	if (after > *next)
		after = 0; /* of an earlier control, and the clock was set back since */
	for (uint64_t i = after; (kept = watch_drop_after(watch, i)) != NULL; i = kept->number)
		n_wanted += is_wanted(kept, any, number);
	for (uint64_t i = after; (kept = watch_drop_after(watch, i)) != NULL; i = kept->number) {
		if (!is_wanted(kept, any, number) || n_wanted-- > limit)
			continue;
		json_array_append_new(array, sample_json(kept));
	}
	return array;
}

/* ---- counts -------------------------------------------------------------------------------------- */

struct counts {
	struct program_drops *list;
	size_t n;
	size_t room;
	bool any;
	uint32_t number;
};

static int collect(void *arg, const struct program_drops *drops)
{
	struct counts *counts = arg;

	if (!counts->any && drops->peer != counts->number)
		return 0;
	if (counts->n == counts->room) {
		size_t room = counts->room ? counts->room * 2 : 64;
		struct program_drops *grown = reallocarray(counts->list, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		counts->list = grown;
		counts->room = room;
	}
	counts->list[counts->n++] = *drops;
	return 0;
}

static int by_pair(const void *a, const void *b)
{
	const struct program_drops *x = a;
	const struct program_drops *y = b;

	if (x->peer != y->peer)
		return x->peer < y->peer ? -1 : 1;
	return x->reason < y->reason ? -1 : x->reason > y->reason;
}

static int by_count(const void *a, const void *b)
{
	const struct program_drops *x = a;
	const struct program_drops *y = b;

	if (x->count != y->count)
		return x->count > y->count ? -1 : 1;
	return by_pair(a, b);
}

/* Workers' counts of one pair as one. */
static void add_up(struct counts *counts)
{
	size_t n = 0;

	if (counts->n == 0)
		return;
	qsort(counts->list, counts->n, sizeof(*counts->list), by_pair);
	for (size_t i = 0; i < counts->n; i++) {
		if (n > 0 && by_pair(&counts->list[n - 1], &counts->list[i]) == 0)
			counts->list[n - 1].count += counts->list[i].count;
		else
			counts->list[n++] = counts->list[i];
	}
	counts->n = n;
	qsort(counts->list, n, sizeof(*counts->list), by_count);
}

static json_t *counts_json(const struct model *model, const struct counts *counts, size_t limit)
{
	json_t *array = json_array();

	for (size_t i = 0; i < counts->n && i < limit; i++) {
		const struct program_drops *drops = &counts->list[i];
		char buf[16];

		json_array_append_new(array,
		                      json_pack("{s:s, s:s, s:I, s:s}", "peer",
		                                watch_peer(model->setup.peers, drops->peer, buf),
		                                "reason", watch_reason(drops->reason), "packets",
		                                (json_int_t)drops->count, "text",
		                                abi_counter_texts[drops->reason].text));
	}
	return array;
}

int model__drops(struct model *model, const json_t *params, json_t **result,
                 struct model_error *error)
{
	const json_t *limit = json_object_get(params, "limit");
	size_t n = limit ? (size_t)json_integer_value(limit) : LIMIT_DEFAULT;
	struct counts counts = {.n = 0};
	json_t *samples;
	uint64_t next;
	int err = model__peer_or_hub(model, params, &counts.any, &counts.number, error);

	if (err < 0)
		return err;
	err = program_drops_each(model->setup.program, collect, &counts);
	if (err < 0) {
		free(counts.list);
		return err;
	}
	add_up(&counts);
	samples = samples_json(model->setup.watch,
	                       (uint64_t)json_integer_value(json_object_get(params, "after")), n,
	                       counts.any, counts.number, &next);
	*result = json_pack("{s:o, s:I, s:o, s:b}", "drops", samples, "next", (json_int_t)next,
	                    "counts", counts_json(model, &counts, n), "counts_complete",
	                    counts.n <= n);
	free(counts.list);
	return 0;
}

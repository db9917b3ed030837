/* capture: packets for whoever may use the control socket, as pieces of a pcapng file. Asked once without id it
 * begins, and asked with it goes on: so no transport needs more than questions and answers. */
#include "base_text.h"
#include "model_method.h"
#include "watch_capture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SNAPLEN_DEFAULT 2048

static uint64_t number_of(const json_t *params, const char *key, uint64_t otherwise)
{
	const json_t *number = json_object_get(params, key);

	return number ? (uint64_t)json_integer_value(number) : otherwise;
}

/* Numbers of the peers, and their names in one text for the log. */
static int read_peers(const struct model *model, const json_t *names,
                      struct watch_capture_spec *spec, FILE *text, struct model_error *error)
{
	for (size_t i = 0; i < json_array_size(names); i++) {
		const char *name = json_string_value(json_array_get(names, i));
		const struct peer *peer = peer_find(model->setup.peers, name);

		if (!peer)
			return model__refuse(error, -ENOENT, "not_found", "peer",
			                     "peer: no peer is called \"%s\"", name);
		spec->peers[spec->n_peers++] = peer->row.id;
		fprintf(text, " %s", name);
	}
	if (spec->n_peers == 0)
		fputs(" all peers", text);
	return 0;
}

static int begin(struct model *model, const json_t *params, uint64_t *id, struct model_error *error)
{
	bool drops = json_is_true(json_object_get(params, "drops"));
	char wanted[ABI_CAPTURE_PEERS_MAX * 65 + 32];
	char by[48];
	struct watch_capture_spec spec = {
		.what = drops ? ABI_CAPTURE_DROPS : ABI_CAPTURE_PACKETS,
		.snaplen = (uint32_t)number_of(params, "snaplen", SNAPLEN_DEFAULT),
		.count = number_of(params, "count", 0),
		.seconds = (uint32_t)number_of(params, "seconds", 0),
		.by = by,
		.wanted = wanted,
	};
	FILE *text = fmemopen(wanted, sizeof(wanted), "w");
	int err;

	if (!text)
		return -ENOMEM;
	snprintf(by, sizeof(by), "uid:%u,pid:%d", (unsigned int)model->caller.uid,
	         (int)model->caller.pid);
	fputs(drops ? "drops of" : "packets of", text);
	err = read_peers(model, json_object_get(params, "peer"), &spec, text, error);
	fclose(text);
	if (err == 0)
		err = watch_capture_begin(model->setup.watch, &spec, id);
	if (err == -EBUSY)
		return model__refuse(error, err, "busy", NULL,
		                     "somebody else captures: there is one capture at a time");
	return err;
}

static int go_on(struct model *model, uint64_t id, json_t **result, struct model_error *error)
{
	struct watch_capture_read read;
	uint8_t *bytes = malloc(WATCH_CAPTURE_READ_MAX);
	char *text = malloc(2 * WATCH_CAPTURE_READ_MAX + 1);
	int err = bytes && text ? watch_capture_read(model->setup.watch, id, bytes, &read)
	                        : -ENOMEM;

	if (err == 0) {
		base_hex_encode(text, bytes, read.len);
		*result = json_pack("{s:I, s:s, s:I, s:I, s:b, s:s?}", "id", (json_int_t)id, "data",
		                    text, "packets", (json_int_t)read.n_packets, "lost",
		                    (json_int_t)read.n_lost, "over", read.ended != NULL, "why",
		                    read.ended);
		explicit_bzero(text, 2 * read.len);
		explicit_bzero(bytes, read.len);
	}
	free(text);
	free(bytes);
	if (err == -ENOENT)
		model__refuse(error, err, "not_found", "id",
		              "id: there is no such capture, or it is over");
	return err;
}

int model__capture(struct model *model, const json_t *params, json_t **result,
                   struct model_error *error)
{
	uint64_t id = number_of(params, "id", 0);
	int err = 0;

	if (id == 0)
		err = begin(model, params, &id, error);
	else if (json_is_true(json_object_get(params, "stop")))
		/* of none: said by the reading */
		(void)!watch_capture_stop(model->setup.watch, id);
	return err == 0 ? go_on(model, id, result, error) : err;
}

/* Times, keys and endpoints as replies show them. */
#include "base_bytes.h"
#include "base_text.h"
#include "model_method.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

json_t *model__time(uint64_t wall_ns)
{
	char text[BASE_TIME_STRLEN];

	return wall_ns == 0 ? json_null() : json_string(base_time_text(wall_ns, text));
}

json_t *model__key(const uint8_t key[static 32])
{
	char text[BASE_KEY_BASE64_LEN];

	base_key_to_base64(text, key);
	return json_string(text);
}

json_t *model__hash(const uint8_t hash[static 32])
{
	char text[2 * 32 + 1];

	base_hex_encode(text, hash, 32);
	return json_string(text);
}

json_t *model__endpoint(const struct base_endpoint *endpoint)
{
	char text[BASE_ENDPOINT_STRLEN];

	if (endpoint->port == 0)
		return json_null();
	return json_string(base_endpoint_format(endpoint, text));
}

bool model__hub_endpoint(const struct config *config, char out[static MODEL_ENDPOINT_LEN])
{
	if (config->endpoint[0] != '\0') {
		snprintf(out, MODEL_ENDPOINT_LEN, "%s", config->endpoint);
		return true;
	}
	for (uint32_t i = 0; i < config->n_ports; i++) {
		if (config->ports[i].n_addresses == 0)
			continue;

		struct base_endpoint endpoint = {.ip = config->ports[i].addresses[0].ip,
		                                 .port = config->listen_port};

		base_endpoint_format(&endpoint, out);
		return true;
	}
	return false;
}

int model__peer_or_hub(const struct model *model, const json_t *params, bool *any, uint32_t *number,
                       struct model_error *error)
{
	const char *name = json_string_value(json_object_get(params, "peer"));
	const struct peer *peer;

	*any = name == NULL;
	*number = ABI_PEER_HUB;
	if (!name || strcmp(name, "hub") == 0)
		return 0;
	peer = peer_find(model->setup.peers, name);
	if (!peer)
		return model__refuse(error, -ENOENT, "not_found", "peer",
		                     "peer: no peer is called \"%s\"; must be a peer or hub", name);
	*number = peer->row.id;
	return 0;
}

/* A peer's file for wg-quick. Built in one buffer of its final size, which is wiped: it can hold keys. */
#include "base_bytes.h"
#include "base_text.h"
#include "base_time.h"
#include "grant_reach.h"
#include "hub_key.h"
#include "model_policy.h"
#include "session.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIXED_LEN (4096 + MODEL_KILL_SWITCH_LEN) /* all but the allowed IPs */

struct text {
	char *buf;
	size_t size;
	size_t len;
};

__attribute__((format(printf, 2, 3))) static void append(struct text *text, const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text->buf + text->len, text->size - text->len, format, args);
	va_end(args);
	if (len > 0)
		text->len += (size_t)len;
	if (text->len >= text->size) /* cannot be: the longest fields sum up to less */
		text->len = text->size - 1;
}

/* A key, or its placeholder, which wg refuses: nobody runs it by mistake. */
static void append_key(struct text *text, const char *name, const uint8_t *key,
                       const char *placeholder)
{
	char base64[BASE_KEY_BASE64_LEN];

	if (!key) {
		append(text, "%s = %s\n", name, placeholder);
		return;
	}
	base_key_to_base64(base64, key);
	append(text, "%s = %s\n", name, base64);
	base_wipe(base64, sizeof(base64));
}

static void append_interface(struct text *text, const struct config *config,
                             const struct model_quick *quick)
{
	const struct peer *peer = quick->peer;
	char ip[BASE_IP_STRLEN];

	append(text, "[Interface]\n");
	append(text, "# weir peer: %s\n", peer->row.name);
	if (!quick->private_key)
		append(text, "# The hub does not know the private key: put it here, it belongs to\n"
		             "# the public key that the peer was added with.\n");
	append_key(text, "PrivateKey", quick->private_key, "<private-key>");
	append(text, "Address = ");
	for (uint32_t i = 0; i < peer->row.n_addresses; i++)
		append(text, "%s%s/%zu", i ? ", " : "", base_ip_format(&peer->row.addresses[i], ip),
		       base_ip_len(peer->row.addresses[i].family) * 8);
	append(text, "\nMTU = %u\n%s", config->tunnel_mtu, quick->kill_switch);
}

/* The tunnel nets: of a hub whose peers all reach each other, and of a peer that is to have them. */
static int reach_all(const struct config *config, struct base_prefix **out, size_t *n)
{
	*out = calloc(CONFIG_TUNNEL_MAX, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	for (*n = 0; *n < config->n_tunnel; (*n)++) {
		(*out)[*n] = config->tunnel[*n];
		base_prefix_mask(&(*out)[*n]);
	}
	return 0;
}

/* AllowedIPs: what the policy connects the peer with, and the hub. Caller frees *out. */
static int reach(const struct model *model, const struct peer *peer, struct base_prefix **out,
                 size_t *n)
{
	struct base_prefix *nets;
	struct model_world world;
	struct model_error why;
	size_t n_nets = 0;
	int err = reach_all(model->setup.config, &nets, &n_nets);

	if (err < 0 || model->setup.config->peer_to_peer || peer->row.whole_subnet) {
		*out = nets;
		*n = n_nets;
		return err;
	}
	err = model__world_init(model, &world, &why);
	if (err == 0) {
		err = grant_reach(&model->policy, &world.world,
		                  grant_world_peer(&world.world, peer->row.name), nets,
		                  (uint32_t)n_nets, base_time_wall_ns() / BASE_NS_PER_S, out, n);
		model__world_fini(&world);
	}
	free(nets);
	return err;
}

static void append_hub(struct text *text, const struct model *model,
                       const struct model_quick *quick, const struct base_prefix *reachable,
                       size_t n_reachable)
{
	const struct peer *peer = quick->peer;
	const struct config *config = model->setup.config;
	char endpoint[MODEL_ENDPOINT_LEN];
	char prefix[BASE_PREFIX_STRLEN];

	append(text, "\n[Peer]\n");
	append_key(text, "PublicKey", hub_key_for_clients(model->setup.hub_key), "");
	if (peer->row.has_preshared_key && !quick->preshared_key)
		append(text, "# The hub does not read the preshared key back: it was printed when\n"
		             "# the peer was added.\n");
	if (peer->row.has_preshared_key || quick->preshared_key)
		append_key(text, "PresharedKey", quick->preshared_key, "<preshared-key>");
	if (model__hub_endpoint(config, endpoint))
		append(text, "Endpoint = %s\n", endpoint);
	else
		append(text,
		       "# The hub does not know how it is reached (hub.endpoint): complete this.\n"
		       "# Endpoint = <host>:%u\n",
		       config->listen_port);
	append(text, "AllowedIPs = ");
	for (size_t i = 0; i < n_reachable; i++)
		append(text, "%s%s", i ? ", " : "", base_prefix_format(&reachable[i], prefix));
	append(text, "\n");
	if (peer->row.client_keepalive_s != 0)
		append(text, "PersistentKeepalive = %u\n", peer->row.client_keepalive_s);
}

json_t *model__quick(const struct model *model, const struct model_quick *quick)
{
	struct base_prefix *reachable = NULL;
	struct text text = {.len = 0};
	json_t *json = NULL;
	size_t n = 0;

	if (reach(model, quick->peer, &reachable, &n) < 0)
		return NULL;
	text.size = FIXED_LEN + n * (BASE_PREFIX_STRLEN + 2);
	text.buf = malloc(text.size);
	if (text.buf) {
		append_interface(&text, model->setup.config, quick);
		append_hub(&text, model, quick, reachable, n);
		json = json_stringn(text.buf, text.len);
		base_wipe(text.buf, text.size);
	}
	free(text.buf);
	free(reachable);
	return json;
}

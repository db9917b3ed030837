/* peer.enable, peer.disable, peer.set, peer.approve, peer.withdraw: what changes of a peer while it lives. */
#include "model_limit.h"
#include "model_peer.h"
#include "model_policy.h"
#include "model_table.h"

#include <errno.h>
#include <string.h>

static const char *name_of(const json_t *params)
{
	return json_string_value(json_object_get(params, "name"));
}

/* End of a change: workers and edge hear of it, and the answer is the peer as it is now. */
static int finish(struct model *model, const json_t *params, int err, const struct peer_error *why,
                  json_t **result, struct model_error *error)
{
	if (err < 0)
		return model__refuse_peer(error, err, why);
	model__table_refresh(model);
	*result = json_pack("{s:o}", "peer",
	                    model__peer_json(model,
	                                     peer_find(model->setup.peers, name_of(params))));
	return 0;
}

int model__peer_enable(struct model *model, const json_t *params, json_t **result,
                       struct model_error *error)
{
	struct peer_error why = {0};
	int err = peer_enable(model->setup.peers, name_of(params), true, &why);

	if (err == 0)
		model__services_again(model);
	return finish(model, params, err, &why, result, error);
}

int model__peer_disable(struct model *model, const json_t *params, json_t **result,
                        struct model_error *error)
{
	struct peer_error why = {0};
	const struct peer *peer = peer_find(model->setup.peers, name_of(params));
	int err = model__session_keep(model, name_of(params), params, error);

	if (err < 0)
		return err;
	if (peer)
		model__limits_look(model, peer);
	err = peer_enable(model->setup.peers, name_of(params), false, &why);
	if (err == 0) /* whoever reaches it through the edge is cut, too */
		model__services_again(model);
	return finish(model, params, err, &why, result, error);
}

int model__peer_set(struct model *model, const json_t *params, json_t **result,
                    struct model_error *error)
{
	const json_t *up = json_object_get(params, "expected_up");
	const json_t *text = json_object_get(params, "endpoint");
	const bool is_up = model__switch(up);
	struct peer_endpoint endpoint;
	const struct peer_change change = {.expected_up = up ? &is_up : NULL,
	                                   .endpoint = text ? &endpoint : NULL};
	struct peer_error why = {0};
	int err = 0;

	if (!up && !text)
		return model__refuse(error, -EINVAL, "bad_argument", NULL,
		                     "nothing to set: expected_up or endpoint is missing");
	if (text) /* checked by model__check() before */
		err = model__endpoint_parse(json_string_value(text), &endpoint);
	if (err < 0)
		return err;
	err = peer_change(model->setup.peers, name_of(params), &change, &why);
	return finish(model, params, err, &why, result, error);
}

int model__peer_approve(struct model *model, const json_t *params, json_t **result,
                        struct model_error *error)
{
	struct base_prefix nets[MODEL_NETWORKS_MAX];
	uint32_t n = model__prefixes_read(json_object_get(params, "networks"), nets);
	struct peer_error why = {0};
	int err = peer_networks_add(model->setup.peers, name_of(params), nets, n, &why);

	/* What is wrong with a network is told in terms of peer.add's argument. */
	if (err < 0 && why.field && strcmp(why.field, "allowed_ips") == 0)
		return model__refuse(error, err, why.code, "networks", "networks%s",
		                     why.text + strlen("allowed_ips"));
	return finish(model, params, err, &why, result, error);
}

int model__peer_withdraw(struct model *model, const json_t *params, json_t **result,
                         struct model_error *error)
{
	struct base_prefix nets[MODEL_NETWORKS_MAX];
	uint32_t n = model__prefixes_read(json_object_get(params, "networks"), nets);
	struct peer_error why = {0};
	int err = model__networks_spare(model, "networks", nets, n, error);

	if (err < 0)
		return err;
	err = peer_networks_drop(model->setup.peers, name_of(params), nets, n, &why);
	return finish(model, params, err, &why, result, error);
}

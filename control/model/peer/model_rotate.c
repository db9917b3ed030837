/* peer.rotate */
#include "base_bytes.h"
#include "base_text.h"
#include "model_peer.h"
#include "watch_event.h"

#include <sodium.h>

#include <errno.h>

json_t *model__rotation_json(const struct peer *peer)
{
	const struct store_rotation *rotation = &peer->rotation;
	json_t *json;

	if (rotation->state == STORE_ROTATION_NONE)
		return json_null();
	json = json_pack("{s:s, s:o, s:o, s:o}", "state", store_rotation_text(rotation->state),
	                 "since", model__time(rotation->since_wall_ns), "until",
	                 model__time(rotation->until_wall_ns), "changed_at",
	                 model__time(rotation->changed_wall_ns));
	if (!json || !peer_is_rotating(peer))
		return json;
	json_object_set_new(json, "next_key",
	                    rotation->has_public_key ? model__key(rotation->public_key)
	                                             : json_null());
	json_object_set_new(json, "preshared_key", json_boolean(rotation->has_preshared_key));
	return json;
}

static void on_rotation(void *arg, const struct peer *peer)
{
	static const char *const texts[STORE_N_ROTATION_STATES] = {
		[STORE_ROTATION_PROPOSED] = "another key may come",
		[STORE_ROTATION_OVERLAP] = "its new key came, both are good",
		[STORE_ROTATION_CONFIRMED] = "it has its new key, the old one is dropped",
		[STORE_ROTATION_EXPIRED] = "its new key was never used and is dropped, the old one "
					   "stays",
		[STORE_ROTATION_CANCELLED] = "it keeps its key",
	};
	const struct model *model = arg;

	watch_event_add(model->setup.watch, "rotation", store_rotation_text(peer->rotation.state),
	                peer->row.name, "%s", texts[peer->rotation.state]);
}

void model__rotations_watch(struct model *model, bool on)
{
	peer_on_rotation(model->setup.peers, on ? on_rotation : NULL, model);
}

static bool has(const json_t *params, const char *name)
{
	return json_is_true(json_object_get(params, name));
}

/* Either a rotation begins, or one ends. */
static int check(const json_t *params, struct model_error *error)
{
	bool begins = json_object_get(params, "next_key") || has(params, "new_preshared_key");
	bool ends = has(params, "confirm") || has(params, "cancel");

	if (begins && ends)
		return model__refuse(
			error, -EINVAL, "bad_argument",
			has(params, "confirm") ? "confirm" : "cancel",
			"a rotation begins with --next-key or --new-preshared-key, and "
			"ends with --confirm or --cancel: not both at once");
	if (has(params, "confirm") && has(params, "cancel"))
		return model__refuse(
			error, -EINVAL, "bad_argument", "cancel",
			"--confirm ends it with the new key, --cancel with the old one: "
			"not both");
	if (!begins && !ends)
		return model__refuse(
			error, -EINVAL, "bad_argument", "next_key",
			"nothing to rotate to: give --next-key, --new-preshared-key or "
			"both");
	return 0;
}

static int begin(struct model *model, const json_t *params, const uint8_t *preshared_key,
                 struct peer_error *why)
{
	const char *text = json_string_value(json_object_get(params, "next_key"));
	const json_t *overlap = json_object_get(params, "overlap");
	uint8_t key[32];
	const struct peer_rotation rotation = {
		.name = json_string_value(json_object_get(params, "name")),
		.public_key = text ? key : NULL,
		.preshared_key = preshared_key,
		.overlap_s = overlap ? (uint32_t)json_integer_value(overlap) : PEER_OVERLAP_S,
		.emergency = has(params, "emergency"),
	};

	if (text && base_key_from_base64(key, text) < 0)
		return -EINVAL; /* cannot be: model__check() has read it */
	return peer_rotate(model->setup.peers, &rotation, why);
}

/* The reply; the preshared key stands in it this once. */
static json_t *reply(const struct model *model, const struct peer *peer,
                     const uint8_t *preshared_key)
{
	const struct model_quick quick = {
		.peer = peer, .preshared_key = preshared_key, .kill_switch = ""};
	json_t *json = json_pack("{s:o}", "peer", model__peer_json(model, peer));

	if (json && preshared_key)
		json_object_set_new(json, "config", model__quick(model, &quick));
	return json;
}

int model__peer_rotate(struct model *model, const json_t *params, json_t **result,
                       struct model_error *error)
{
	const char *name = json_string_value(json_object_get(params, "name"));
	bool ends = has(params, "confirm") || has(params, "cancel");
	bool makes = has(params, "new_preshared_key");
	struct peer_error why = {0};
	uint8_t preshared_key[32];
	int err = check(params, error);

	if (err < 0)
		return err;
	if (makes)
		randombytes_buf(preshared_key, sizeof(preshared_key));
	err = ends ? peer_rotate_end(model->setup.peers, name, has(params, "confirm"), &why)
	           : begin(model, params, makes ? preshared_key : NULL, &why);
	if (err < 0)
		model__refuse_peer(error, err, &why);
	else
		*result = reply(model, peer_find(model->setup.peers, name),
		                makes ? preshared_key : NULL);
	base_wipe(preshared_key, sizeof(preshared_key));
	return err;
}

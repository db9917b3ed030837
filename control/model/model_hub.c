/* hub.rotate, and what status and audit say of it. */
#include "hub_key.h"
#include "model_audit.h"
#include "session.h"

#include <errno.h>

json_t *model__hub_rotation_json(const struct model *model)
{
	const uint8_t *next = session_next_public_key(model->setup.session);
	struct hub_key_info info = hub_key_info(model->setup.hub_key);

	if (info.state == STORE_ROTATION_NONE)
		return json_null();
	return json_pack("{s:s, s:o, s:o, s:o, s:o}", "state", store_rotation_text(info.state),
	                 "next_key", next ? model__key(next) : json_null(), "since",
	                 model__time(info.since_wall_ns), "until", model__time(info.until_wall_ns),
	                 "changed_at", model__time(info.changed_wall_ns));
}

static bool has(const json_t *params, const char *name)
{
	return json_is_true(json_object_get(params, name));
}

static int refuse(const struct model *model, int err, struct model_error *error)
{
	if (err == -EBUSY)
		return model__refuse(error, err, "in_use", NULL,
		                     "the hub is between two keys already; confirm or cancel that "
		                     "first");
	return model__refuse(error, err, "failed", NULL, "store: %s",
	                     store_error(model->setup.store));
}

static int end(struct model *model, bool with_next, struct model_error *error)
{
	int err = hub_key_rotate_end(model->setup.hub_key, with_next);

	if (err == -EBUSY)
		return model__refuse(error, err, "in_use", "confirm",
		                     "confirm: no peer has used the new key yet: --emergency makes "
		                     "another one the hub's without waiting");
	if (err == -ENOENT)
		return model__refuse(error, err, "not_found", NULL,
		                     "the hub is not between two keys");
	return err < 0 ? refuse(model, err, error) : 0;
}

int model__hub_rotate(struct model *model, const json_t *params, json_t **result,
                      struct model_error *error)
{
	const json_t *overlap = json_object_get(params, "overlap");
	bool ends = has(params, "confirm") || has(params, "cancel");
	int err;

	if (has(params, "confirm") && has(params, "cancel"))
		return model__refuse(
			error, -EINVAL, "bad_argument", "cancel",
			"--confirm ends it with the new key, --cancel with the old one: "
			"not both");
	if (ends) {
		err = end(model, has(params, "confirm"), error);
	} else {
		err = hub_key_rotate(model->setup.hub_key,
		                     overlap ? (uint32_t)json_integer_value(overlap)
		                             : HUB_KEY_OVERLAP_S,
		                     has(params, "emergency"));
		if (err < 0)
			refuse(model, err, error);
	}
	if (err < 0)
		return err;
	*result = json_pack("{s:o, s:o}", "public_key",
	                    model__key(session_public_key(model->setup.session)), "rotation",
	                    model__hub_rotation_json(model));
	return 0;
}

void model__audit_hub_rotation(struct model_audit *audit)
{
	if (hub_key_info(audit->model->setup.hub_key).state == STORE_ROTATION_EXPIRED)
		model__audit_report(audit, GRANT_WARNING, "hub-rotation-expired", "hub", "hub",
		                    "the hub was to get another key, which no peer used: it still "
		                    "has the old one; rotate it again, or put this aside (hub "
		                    "rotate --cancel)");
}

void model__audit_hub_key(struct model_audit *audit, const struct peer *peer,
                          const struct grant_peer *world)
{
	struct session_peer_info info;

	(void)world;
	if (!session_next_public_key(audit->model->setup.session)
	    || session_peer_info(audit->model->setup.session, peer->row.id, &info) < 0
	    || info.uses_next_hub)
		return;
	model__audit_report(audit, GRANT_WARNING, "old-hub-key", "peer", peer->row.name,
	                    "has not used the hub's next key yet, and is cut off when the window "
	                    "ends: give it a new configuration (peer config)");
}

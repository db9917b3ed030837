/* grant.add, grant.remove, grant.list, grant.show, grant.explain */
#include "model_grant.h"

#include "base_bytes.h"
#include "base_time.h"
#include "grant_decide.h"
#include "grant_part.h"
#include "grant_when.h"
#include "model_explain.h"
#include "model_policy.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define AUTHOR_DEFAULT "root" /* the control socket is root's */
#define STEPS_MAX      20     /* grants that an explanation goes through, the nearest first */

static json_t *time_json(uint64_t time_s)
{
	char text[GRANT_TIME_STRLEN];

	return time_s ? json_string(grant_time_format(time_s, text)) : json_null();
}

static json_t *grant_json(const struct grant *grant)
{
	char text[GRANT_PARTY_STRLEN];
	char to[GRANT_PARTY_STRLEN];
	json_t *ports = json_array();
	json_t *windows = json_array();

	for (uint32_t i = 0; i < grant->n_ports; i++)
		json_array_append_new(ports,
		                      json_string(grant_range_format(&grant->ports[i], text)));
	for (uint32_t i = 0; i < grant->n_windows; i++)
		json_array_append_new(windows,
		                      json_string(grant_window_format(&grant->windows[i], text)));
	return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:s, s:s, s:b, s:o, s:o}",
	                 "name", grant->name, "who", grant_party_format(&grant->who, text), "to",
	                 grant_party_format(&grant->to, to), "protocol",
	                 grant_protocol_format(grant->protocol), "ports", ports, "from",
	                 time_json(grant->from_s), "until", time_json(grant->until_s), "windows",
	                 windows, "comment", grant->comment, "author", grant->author, "holds",
	                 grant_holds(grant, base_time_wall_ns() / BASE_NS_PER_S), "created_at",
	                 model__time(grant->created_wall_ns), "used_at", time_json(grant->used_s));
}

static struct grant *find(const struct grant_policy *policy, const json_t *params,
                          struct model_error *error)
{
	const char *name = json_string_value(json_object_get(params, "name"));
	struct grant *grant = grant_find(policy, name);

	if (!grant)
		model__refuse(error, -ENOENT, "not_found", "name",
		              "name: no grant is called \"%s\"", name);
	return grant;
}

/* ---- add and remove ----------------------------------------------------------------------------- */

static const char *text_of(const json_t *params, const char *key)
{
	const char *text = json_string_value(json_object_get(params, key));

	return text ? text : "";
}

/* All values have passed model__check(). */
static int grant_make(const json_t *params, struct grant *out)
{
	const json_t *ports = json_object_get(params, "ports");
	const json_t *windows = json_object_get(params, "windows");
	const char *author = json_string_value(json_object_get(params, "author"));
	int err = 0;

	snprintf(out->name, sizeof(out->name), "%s", text_of(params, "name"));
	snprintf(out->comment, sizeof(out->comment), "%s", text_of(params, "comment"));
	snprintf(out->author, sizeof(out->author), "%s", author ? author : AUTHOR_DEFAULT);
	if (grant_party_parse(text_of(params, "who"), true, &out->who) < 0
	    || grant_party_parse(text_of(params, "to"), false, &out->to) < 0
	    || grant_protocol_parse(text_of(params, "protocol"), &out->protocol) < 0)
		err = -EINVAL;
	for (size_t i = 0; i < json_array_size(ports) && err == 0; i++)
		err = grant_range_parse(json_string_value(json_array_get(ports, i)),
		                        &out->ports[i]);
	for (size_t i = 0; i < json_array_size(windows) && err == 0; i++)
		err = grant_window_parse(json_string_value(json_array_get(windows, i)),
		                         &out->windows[i]);
	out->n_ports = grant_ranges_join(out->ports, (uint32_t)json_array_size(ports));
	out->n_windows = (uint32_t)json_array_size(windows);
	if (err == 0 && json_object_get(params, "from"))
		err = grant_time_parse(text_of(params, "from"), &out->from_s);
	if (err == 0 && json_object_get(params, "until"))
		err = grant_time_parse(text_of(params, "until"), &out->until_s);
	return err;
}

static int add(struct model *model, const json_t *params, const struct grant *grant,
               json_t **result, struct model_error *error)
{
	struct grant_policy next;
	struct grant_error why = {0};
	int err = model__policy_begin(model, &next, error);

	if (err < 0)
		return err;
	err = grant_append(&next, grant);
	if (err < 0)
		model__refuse(error, err, "full", NULL, "there are %d grants, which is the most",
		              GRANT_GRANTS_MAX);
	if (err == 0) {
		err = grant_policy_sort(&next, &why);
		if (err < 0)
			model__refuse_grant(error, err, &why);
	}
	if (err == 0)
		return model__policy_change(model, &next, params, result, error);
	grant_policy_fini(&next);
	return err;
}

int model__grant_add(struct model *model, const json_t *params, json_t **result,
                     struct model_error *error)
{
	struct grant grant = {.number = 0};
	struct model_world world;
	json_t *findings;
	size_t n_errors;
	int err = grant_make(params, &grant);

	if (err == 0)
		err = add(model, params, &grant, result, error);
	if (err == 0 && !*result)
		err = model__world_init(model, &world, error);
	if (err < 0 || *result)
		return err;
	findings = model__findings(&model->policy, &world.world, grant.name, &n_errors);
	model__world_fini(&world);
	*result = json_pack("{s:I, s:o, s:o}", "generation", (json_int_t)model->policy.generation,
	                    "grant", grant_json(grant_find(&model->policy, grant.name)), "findings",
	                    findings);
	return 0;
}

int model__grant_remove(struct model *model, const json_t *params, json_t **result,
                        struct model_error *error)
{
	struct grant_policy next;
	struct grant *grant;
	int err = model__policy_begin(model, &next, error);

	if (err < 0)
		return err;
	grant = find(&next, params, error);
	if (!grant) {
		grant_policy_fini(&next);
		return -ENOENT;
	}
	grant_drop(&next, grant);
	err = model__policy_change(model, &next, params, result, error);
	if (err == 0 && !*result)
		*result = json_pack("{s:I, s:s}", "generation",
		                    (json_int_t)model->policy.generation, "name",
		                    text_of(params, "name"));
	return err;
}

/* ---- list and show ------------------------------------------------------------------------------ */

static const char *row_name(const struct grant_policy *policy, uint32_t i)
{
	return policy->grants[i].name;
}

static json_t *row(const struct grant_policy *policy, uint32_t i)
{
	return grant_json(&policy->grants[i]);
}

int model__grant_list(struct model *model, const json_t *params, json_t **result,
                      struct model_error *error)
{
	const struct grant_policy *policy = &model->policy;
	struct model_page page = model__page(params);
	const char *next;
	json_t *array;

	(void)error;
	if (page.cursor[0] == '\0')
		model__grants_used_read(model);
	array = model__page_rows(policy, &page, policy->n_grants, row_name, row, &next);
	*result = json_pack("{s:I, s:o, s:s?}", "generation", (json_int_t)policy->generation,
	                    "grants", array, "next", next);
	return 0;
}

int model__grant_show(struct model *model, const json_t *params, json_t **result,
                      struct model_error *error)
{
	const struct grant *grant = find(&model->policy, params, error);

	if (!grant)
		return -ENOENT;
	model__grants_used_read(model);
	*result = json_pack("{s:o}", "grant", grant_json(grant));
	return 0;
}

/* ---- explain ------------------------------------------------------------------------------------ */

/* A peer by name, at its address of this family; "hub"; or an address that one of them has. */
static int side_read(const struct grant_world *world, const char *text, const char *field,
                     uint8_t family, struct grant_side *out, struct model_error *error)
{
	bool is_hub = strcmp(text, "hub") == 0;

	out->peer = grant_world_peer(world, text);
	if (is_hub || out->peer) {
		const struct base_ip *ips = is_hub ? world->hub : out->peer->addresses;
		uint32_t n = is_hub ? world->n_hub : out->peer->n_addresses;

		for (uint32_t i = 0; i < n; i++) {
			out->ip = ips[i];
			if (family == BASE_IP_NONE || family == out->ip.family)
				return 0;
		}
		return model__refuse(error, -ENOENT, "not_found", field,
		                     "%s: \"%s\" has no address of that family", field, text);
	}
	if (base_ip_parse(text, &out->ip) == 0) {
		out->peer = grant_world_holder(world, &out->ip, &is_hub);
		if (out->peer || is_hub)
			return 0;
		return model__refuse(error, -ENOENT, "not_found", field,
		                     "%s: neither the hub nor a peer has %s", field, text);
	}
	return model__refuse(error, -ENOENT, "not_found", field,
	                     "%s: no peer is called \"%s\"; must be a peer, an address or hub",
	                     field, text);
}

static json_t *misses_json(uint32_t misses)
{
	static const char *const names[] = {"who", "to", "protocol", "ports", "time"};
	json_t *array = json_array();

	for (size_t i = 0; i < BASE_ARRAY_LEN(names); i++)
		if (misses & 1U << i)
			json_array_append_new(array, json_string(names[i]));
	return array;
}

json_t *model__grant_steps(const struct grant_policy *policy, const struct grant_world *world,
                           const struct grant_packet *packet)
{
	json_t *array = json_array();

	for (int wanted = 0; wanted < 4; wanted++)
		for (uint32_t i = 0; i < policy->n_grants; i++) {
			uint32_t misses = grant_misses(policy, world, &policy->grants[i], packet);

			if (__builtin_popcount(misses) != wanted
			    || json_array_size(array) == STEPS_MAX)
				continue;
			json_array_append_new(array, json_pack("{s:s, s:o}", "grant",
			                                       policy->grants[i].name, "misses",
			                                       misses_json(misses)));
		}
	return array;
}

json_t *model__side_json(const struct grant_side *side)
{
	char text[BASE_IP_STRLEN];

	return json_pack("{s:s?, s:s}", "peer", side->peer ? side->peer->name : NULL, "address",
	                 base_ip_format(&side->ip, text));
}

uint8_t model__protocol_number(enum grant_protocol protocol, uint8_t family)
{
	switch (protocol) {
	case GRANT_TCP:
		return IPPROTO_TCP;
	case GRANT_UDP:
		return IPPROTO_UDP;
	case GRANT_ICMP:
		return family == BASE_IP_V6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	case GRANT_ANY_PROTOCOL:
		break;
	}
	return 253; /* none that a grant names (RFC 3692) */
}

static int packet_read(const struct grant_world *world, const json_t *params,
                       struct grant_packet *packet, struct model_error *error)
{
	enum grant_protocol protocol = GRANT_ANY_PROTOCOL;
	struct base_ip ip = {.family = BASE_IP_NONE};
	int err;

	/* An address fixes the family for a peer on the other side. */
	if (base_ip_parse(text_of(params, "to"), &ip) < 0
	    && base_ip_parse(text_of(params, "from"), &ip) < 0)
		ip.family = BASE_IP_NONE;
	err = side_read(world, text_of(params, "from"), "from", ip.family, &packet->from, error);
	if (err == 0)
		err = side_read(world, text_of(params, "to"), "to", packet->from.ip.family,
		                &packet->to, error);
	if (err == 0 && packet->from.ip.family != packet->to.ip.family)
		err = model__refuse(error, -EINVAL, "invalid", "to",
		                    "to: must be an address of the same family as from");
	if (err < 0)
		return err;
	err = grant_protocol_parse(text_of(params, "protocol"), &protocol);
	packet->protocol = model__protocol_number(protocol, packet->to.ip.family);
	packet->port = (uint16_t)json_integer_value(json_object_get(params, "port"));
	packet->now_s = base_time_wall_ns() / BASE_NS_PER_S;
	if (err == 0 && json_object_get(params, "at"))
		err = grant_time_parse(text_of(params, "at"), &packet->now_s);
	if (err == 0 && packet->port == 0 && (protocol == GRANT_TCP || protocol == GRANT_UDP))
		return model__refuse(error, -EINVAL, "invalid", "port",
		                     "port is missing, must be 1 to 65535 with protocol %s",
		                     grant_protocol_format(protocol));
	return err;
}

int model__grant_explain(struct model *model, const json_t *params, json_t **result,
                         struct model_error *error)
{
	struct grant_packet packet = {.port = 0};
	struct model_world world;
	const struct grant *grant;
	const char *why = "no grant allows it";
	bool allowed = false;
	int err = model__world_init(model, &world, error);

	if (err < 0)
		return err;
	err = packet_read(&world.world, params, &packet, error);
	if (err < 0) {
		model__world_fini(&world);
		return err;
	}
	grant = grant_decide(&model->policy, &world.world, &packet, &allowed);
	if (allowed)
		why = grant ? "a grant allows it" : "the hub may open connections to its peers";
	*result = json_pack("{s:b, s:s?, s:s, s:o, s:o, s:o}", "allowed", allowed, "grant",
	                    grant ? grant->name : NULL, "why", why, "from",
	                    model__side_json(&packet.from), "to", model__side_json(&packet.to),
	                    "grants", model__grant_steps(&model->policy, &world.world, &packet));
	model__world_fini(&world);
	return 0;
}

/* Arguments against their description. What passes here a handler may use without looking again. */
#include "base_bytes.h"
#include "base_host.h"
#include "base_text.h"
#include "grant_part.h"
#include "model_method.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DURATION_MAX_S (10 * 366 * 86400ULL)
#define SHOWN_LEN      96

/* What was read, for a message; a key is not shown, since it could be the private one. */
static const char *show(const struct model_argument *argument, const json_t *value,
                        char buf[static SHOWN_LEN])
{
	switch (json_typeof(value)) {
	case JSON_STRING: {
		const char *text = json_string_value(value);
		size_t len = strlen(text);

		if (argument->type == MODEL_KEY) {
			snprintf(buf, SHOWN_LEN, "a text of %zu characters", len);
			break;
		}
		snprintf(buf, SHOWN_LEN, "\"%.60s%s\"", text, len > 60 ? "..." : "");
		for (char *c = buf; *c != '\0'; c++)
			if ((unsigned char)*c < 0x20 || *c == 0x7f)
				*c = '?';
		break;
	}
	case JSON_INTEGER:
		snprintf(buf, SHOWN_LEN, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		break;
	case JSON_REAL:
		snprintf(buf, SHOWN_LEN, "%g", json_real_value(value));
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		snprintf(buf, SHOWN_LEN, "%s", json_is_true(value) ? "true" : "false");
		break;
	case JSON_ARRAY:
		snprintf(buf, SHOWN_LEN, "a list of %zu", json_array_size(value));
		break;
	case JSON_OBJECT:
		snprintf(buf, SHOWN_LEN, "an object");
		break;
	default:
		snprintf(buf, SHOWN_LEN, "null");
	}
	return buf;
}

static bool is_name(const char *text)
{
	size_t len = strlen(text);

	if (len == 0 || len >= CONFIG_NAME_LEN || text[0] == '-' || text[len - 1] == '-')
		return false;
	return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

static bool is_key(const char *text)
{
	uint8_t key[BASE_KEY_LEN];
	bool good = base_key_from_base64(key, text) == 0;

	base_wipe(key, sizeof(key));
	return good;
}

int model__target_parse(const char *text, char *peer, uint16_t *port)
{
	const char *colon = strchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : 0;

	if (!colon || len >= CONFIG_NAME_LEN)
		return -EINVAL;
	memcpy(peer, text, len);
	peer[len] = '\0';
	return is_name(peer) ? base_port_parse(colon + 1, port) : -EINVAL;
}

int model__endpoint_parse(const char *text, struct peer_endpoint *out)
{
	memset(out, 0, sizeof(*out));
	if (strcmp(text, "none") == 0 || base_endpoint_parse(text, &out->address) == 0)
		return 0;
	return base_host_port_parse(text, &out->name);
}

int model__duration_parse(const char *text, uint64_t *out_s)
{
	static const struct {
		char unit;
		uint64_t s;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
	size_t n_digits = strspn(text, "0123456789");
	uint64_t number;

	if (n_digits == 0 || n_digits > 9 || strlen(text) != n_digits + 1)
		return -EINVAL;
	number = strtoull(text, NULL, 10);
	for (size_t i = 0; i < BASE_ARRAY_LEN(units); i++) {
		if (units[i].unit != text[n_digits])
			continue;
		*out_s = number * units[i].s;
		return *out_s >= 1 && *out_s <= DURATION_MAX_S ? 0 : -EINVAL;
	}
	return -EINVAL;
}

bool model__switch(const json_t *value)
{
	return json_is_string(value) ? strcmp(json_string_value(value), "yes") == 0
	                             : json_is_true(value);
}

static bool is_integer(const struct model_argument *argument, const json_t *value)
{
	return json_is_integer(value) && json_integer_value(value) >= argument->min
	       && json_integer_value(value) <= argument->max;
}

static bool is_amount(const struct model_argument *argument, const json_t *value)
{
	uint64_t amount;

	if (json_is_string(value))
		return base_amount_parse(json_string_value(value), argument->type == MODEL_BYTES,
		                         &amount)
		       == 0;
	return json_is_integer(value) && json_integer_value(value) >= 0;
}

static bool is_prefix(const json_t *value)
{
	struct base_prefix prefix;

	return json_is_string(value) && base_prefix_parse(json_string_value(value), &prefix) == 0
	       && !base_prefix_mask(&prefix);
}

static bool is_element(enum model_type type, const json_t *value)
{
	const char *text = json_string_value(value);
	struct grant_window window;
	struct grant_range range;

	if (!text)
		return false;
	if (type == MODEL_NAMES)
		return is_name(text);
	if (type == MODEL_PORTS)
		return grant_range_parse(text, &range) == 0;
	if (type == MODEL_WINDOWS)
		return grant_window_parse(text, &window) == 0;
	return is_prefix(value);
}

/* *bad gets the element to blame. */
static bool is_list(const struct model_argument *argument, const json_t *value, const json_t **bad)
{
	if (!json_is_array(value) || json_array_size(value) > (size_t)argument->max)
		return false;
	for (size_t i = 0; i < json_array_size(value); i++) {
		if (!is_element(argument->type, json_array_get(value, i))) {
			*bad = json_array_get(value, i);
			return false;
		}
	}
	return true;
}

/* {"name": "policy.conf", "text": "..."}; the name is for messages only. */
static bool is_file(const json_t *value)
{
	const char *name = json_string_value(json_object_get(value, "name"));

	return name && json_is_string(json_object_get(value, "text"))
	       && json_object_size(value) == 2 && name[0] != '\0' && grant_text_is_good(name, 200);
}

static bool is_part(enum model_type type, const char *text)
{
	struct base_prefix prefix;
	struct base_ip ip;
	uint64_t span_s;
	enum grant_protocol protocol;
	struct grant_party party;
	struct peer_endpoint endpoint;
	uint64_t time_s;

	if (!text)
		return false;
	if (type == MODEL_ENDPOINT)
		return model__endpoint_parse(text, &endpoint) == 0;
	if (type == MODEL_TEXT)
		return grant_text_is_good(text, 200);
	if (type == MODEL_PROTOCOL)
		return grant_protocol_parse(text, &protocol) == 0;
	if (type == MODEL_TIME)
		return grant_time_parse(text, &time_s) == 0;
	if (type == MODEL_PREFIX)
		return base_prefix_parse(text, &prefix) == 0 && !base_prefix_mask(&prefix);
	if (type == MODEL_ADDRESS)
		return base_ip_parse(text, &ip) == 0;
	if (type == MODEL_DURATION)
		return model__duration_parse(text, &span_s) == 0;
	return grant_party_parse(text, type == MODEL_WHO, &party) == 0;
}

static bool is_allowed(const struct model_argument *argument, const json_t *value,
                       const json_t **bad)
{
	const char *text = json_string_value(value); /* NULL when it is none */
	char buf[BASE_HOST_LEN];
	uint16_t port;

	switch (argument->type) {
	case MODEL_BOOLEAN:
		return json_is_boolean(value);
	case MODEL_SWITCH:
		return json_is_boolean(value)
		       || (text && (strcmp(text, "yes") == 0 || strcmp(text, "no") == 0));
	case MODEL_INTEGER:
		return is_integer(argument, value);
	case MODEL_NAME:
		return text && is_name(text);
	case MODEL_KEY:
		return text && is_key(text);
	case MODEL_PREFIXES:
	case MODEL_NAMES:
	case MODEL_PORTS:
	case MODEL_WINDOWS:
		return is_list(argument, value, bad);
	case MODEL_HOST:
		return text && base_host_normalize(text, buf) == 0;
	case MODEL_TARGET:
		return text && model__target_parse(text, buf, &port) == 0;
	case MODEL_FILE:
		return is_file(value);
	case MODEL_AMOUNT:
	case MODEL_BYTES:
		return is_amount(argument, value);
	case MODEL_TEXT:
	case MODEL_WHO:
	case MODEL_TO:
	case MODEL_PROTOCOL:
	case MODEL_TIME:
	case MODEL_PREFIX:
	case MODEL_ADDRESS:
	case MODEL_DURATION:
	case MODEL_ENDPOINT:
		return is_part(argument->type, text);
	}
	return false;
}

static const struct model_argument *find_argument(const struct model_method *method,
                                                  const char *name)
{
	for (size_t i = 0; i < method->n_arguments; i++)
		if (strcmp(method->arguments[i].name, name) == 0)
			return &method->arguments[i];
	return NULL;
}

int model__check(const struct model_method *method, const json_t *params, struct model_error *error)
{
	char shown[SHOWN_LEN];
	const char *name;
	json_t *value;
	/* jansson's iteration takes no const, and changes nothing */
	json_t *object = (json_t *)(uintptr_t)params;

	if (params && !json_is_object(params))
		return model__refuse(error, -EINVAL, "bad_argument", NULL,
		                     "params must be an object");
	json_object_foreach(object, name, value)
	{
		const struct model_argument *argument = find_argument(method, name);
		const json_t *bad = value;

		if (!argument)
			return model__refuse(error, -EINVAL, "bad_argument", NULL,
			                     "%s takes no argument \"%.64s\"", method->name, name);
		if (!is_allowed(argument, value, &bad))
			return model__refuse(error, -EINVAL, "bad_argument", name,
			                     "%s %s %s, must be %s", name,
			                     bad == value ? "is" : "has",
			                     show(argument, bad, shown), argument->allowed);
	}
	for (size_t i = 0; i < method->n_arguments; i++) {
		const struct model_argument *argument = &method->arguments[i];

		if (argument->required && !json_object_get(params, argument->name))
			return model__refuse(error, -EINVAL, "bad_argument", argument->name,
			                     "%s is missing, must be %s", argument->name,
			                     argument->allowed);
	}
	return 0;
}

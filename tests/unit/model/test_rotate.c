/* peer.rotate and hub.rotate: what they take and refuse, and what is told of them. */
#include "base_text.h"
#include "model_lab.h"
#include "store_hub_key.h"

#define KEY_B "5Db9DsMWOLC6b7v5Jr1wpnSYFdZSLFUmmIDjyB0u0mE="

static const char *rotation_of(const char *member)
{
	static char text[128];
	json_t *result = call("peer.show", "{\"name\": \"laptop\"}");
	const json_t *rotation = json_object_get(json_object_get(result, "peer"), "rotation");
	const char *found = json_string_value(json_object_get(rotation, member));

	snprintf(text, sizeof(text), "%s", found ? found : "-");
	json_decref(result);
	return text;
}

static void add_laptop(void)
{
	start(false);
	call_ok("peer.add", "{\"name\": \"laptop\", \"public_key\": \"" KEY_A "\"}");
}

static void a_rotation_is_told_while_it_lasts(void **state)
{
	(void)state;
	add_laptop();
	assert_string_equal(rotation_of("state"), "-");
	call_ok("peer.rotate", "{\"name\": \"laptop\", \"next_key\": \"" KEY_B "\"}");
	assert_string_equal(rotation_of("state"), "proposed");
	assert_string_equal(rotation_of("next_key"), KEY_B);
	call_ok("peer.rotate", "{\"name\": \"laptop\", \"cancel\": true}");
	assert_string_equal(rotation_of("state"), "cancelled");
	assert_string_equal(rotation_of("next_key"), "-");
	stop();
}

static void a_new_preshared_key_is_told_once(void **state)
{
	json_t *result;

	(void)state;
	add_laptop();
	result = call("peer.rotate", "{\"name\": \"laptop\", \"new_preshared_key\": true}");
	assert_non_null(strstr(config_of(result), "\nPresharedKey = "));
	assert_null(strstr(config_of(result), "<preshared-key>"));
	json_decref(result);
	result = call("peer.config", "{\"name\": \"laptop\"}");
	assert_non_null(strstr(config_of(result), "PresharedKey = <preshared-key>"));
	json_decref(result);
	stop();
}

static void contradictions_are_refused(void **state)
{
	(void)state;
	add_laptop();
	call_refused("peer.rotate", "{\"name\": \"laptop\"}", "bad_argument", "next_key",
	             "nothing to rotate to: give --next-key, --new-preshared-key or both");
	call_refused("peer.rotate",
	             "{\"name\": \"laptop\", \"next_key\": \"" KEY_B "\", \"cancel\": true}",
	             "bad_argument", "cancel",
	             "a rotation begins with --next-key or --new-preshared-key, and ends with "
	             "--confirm or --cancel: not both at once");
	call_refused("peer.rotate", "{\"name\": \"laptop\", \"confirm\": true, \"cancel\": true}",
	             "bad_argument", "cancel",
	             "--confirm ends it with the new key, --cancel with the old one: not both");
	call_refused("peer.rotate", "{\"name\": \"laptop\", \"confirm\": true}", "not_found",
	             "name", "name: peer \"laptop\" is not between two keys");
	call_refused("peer.rotate", "{\"name\": \"phone\", \"cancel\": true}", "not_found", "name",
	             "name: no peer is called \"phone\"");
	call_refused("hub.rotate", "{\"confirm\": true}", "not_found", "",
	             "the hub is not between two keys");
	stop();
}

/* Configurations name the next key as soon as there is one. */
static void clients_are_given_the_hubs_next_key(void **state)
{
	char next[BASE_KEY_BASE64_LEN], line[80];
	json_t *result;

	(void)state;
	add_laptop();
	call_ok("hub.rotate", "{\"overlap\": 600}");
	base_key_to_base64(next, fake.next_hub_key);
	snprintf(line, sizeof(line), "PublicKey = %s\n", next);
	result = call("peer.config", "{\"name\": \"laptop\"}");
	assert_non_null(strstr(config_of(result), line));
	json_decref(result);
	call_refused("hub.rotate", "{}", "in_use", "",
	             "the hub is between two keys already; confirm or cancel that first");
	call_refused("hub.rotate", "{\"confirm\": true}", "in_use", "confirm",
	             "confirm: no peer has used the new key yet: --emergency makes another one the "
	             "hub's without waiting");
	result = call("status", "{}");
	assert_string_equal(
		json_string_value(json_object_get(
			json_object_get(json_object_get(result, "hub"), "rotation"), "next_key")),
		next);
	json_decref(result);
	call_ok("hub.rotate", "{\"cancel\": true}");
	result = call("peer.config", "{\"name\": \"laptop\"}");
	assert_null(strstr(config_of(result), line));
	json_decref(result);
	stop();
}

static void a_hub_rotation_that_expired_is_a_finding(void **state)
{
	struct store_hub_key stored;
	json_t *result, *finding, *rule = NULL;
	size_t i;

	(void)state;
	start(false);
	call_ok("hub.rotate", "{\"overlap\": 600}");
	assert_int_equal(store_hub_key_get(store, &stored), 0);
	stored.state = STORE_ROTATION_EXPIRED; /* as at the end of the window */
	stored.has_next = false;
	assert_int_equal(store_hub_key_put(store, &stored), 0);
	stop();
	start(false);
	result = call("audit.policy", "{}");
	json_array_foreach(json_object_get(result, "findings"), i, finding)
	{
		if (strcmp(json_string_value(json_object_get(finding, "rule")),
		           "hub-rotation-expired")
		    == 0)
			rule = json_object_get(finding, "name");
	}
	assert_string_equal(json_string_value(rule), "hub");
	json_decref(result);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_rotation_is_told_while_it_lasts),
		CASE(a_new_preshared_key_is_told_once),
		CASE(contradictions_are_refused),
		CASE(clients_are_given_the_hubs_next_key),
		CASE(a_hub_rotation_that_expired_is_a_finding),
	};

	return cmocka_run_group_tests_name("model/rotate", tests, NULL, NULL);
}

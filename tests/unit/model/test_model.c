/* control/model: arguments against their description, services, status and counters. */
#include "model_lab.h"

/* ---- arguments ---------------------------------------------------------------------------------- */

static void every_wrong_argument_is_named_with_what_it_takes(void **state)
{
#define NAME_MUST "1 to 63 of the characters a-z 0-9 -, not beginning or ending with -"
#define HOST_MUST                                                                                  \
	"a DNS name such as \"blog.example.org\" (letters beyond a-z as punycode, \"xn--...\")"
	static const struct {
		const char *method;
		const char *params;
		const char *field;
		const char *message;
	} cases[] = {
		{"status", "[]", "", "params must be an object"},
		{"status", "{\"x\": 1}", "", "status takes no argument \"x\""},
		{"peer.add", "{}", "name", "name is missing, must be " NAME_MUST},
		{"peer.add", "{\"name\": 3}", "name", "name is 3, must be " NAME_MUST},
		{"peer.add", "{\"name\": \"\"}", "name", "name is \"\", must be " NAME_MUST},
		{"peer.add", "{\"name\": \"a b\"}", "name", "name is \"a b\", must be " NAME_MUST},
		{"peer.add", "{\"name\": \"a\\n\"}", "name", "name is \"a?\", must be " NAME_MUST},
		{"peer.add", "{\"name\": \"-a\"}", "name", "name is \"-a\", must be " NAME_MUST},
		{"peer.add", "{\"name\": \"a\", \"keepalive\": 70000}", "keepalive",
	         "keepalive is 70000, must be 0 to 65535 seconds (0 turns it off)"},
		{"peer.add", "{\"name\": \"a\", \"keepalive\": -1}", "keepalive",
	         "keepalive is -1, must be 0 to 65535 seconds (0 turns it off)"},
		{"peer.add", "{\"name\": \"a\", \"keepalive\": \"25\"}", "keepalive",
	         "keepalive is \"25\", must be 0 to 65535 seconds (0 turns it off)"},
		{"peer.add", "{\"name\": \"a\", \"keepalive\": 2.5}", "keepalive",
	         "keepalive is 2.5, must be 0 to 65535 seconds (0 turns it off)"},
		/* what stands where a public key should is not shown: it may be a private one */
		{"peer.add", "{\"name\": \"a\", \"public_key\": \"secret\"}", "public_key",
	         "public_key is a text of 6 characters, must be a WireGuard key, 44 characters of "
	         "base64"},
		{"peer.add", "{\"name\": \"a\", \"allowed_ips\": \"10.0.0.0/8\"}", "allowed_ips",
	         "allowed_ips is \"10.0.0.0/8\", must be up to 1024 networks without host bits, such "
	         "as \"10.1.0.0/16\" or \"fd01::/64\""},
		{"peer.add", "{\"name\": \"a\", \"allowed_ips\": [\"10.0.0.1/8\"]}", "allowed_ips",
	         "allowed_ips has \"10.0.0.1/8\", must be up to 1024 networks without host bits, such "
	         "as \"10.1.0.0/16\" or \"fd01::/64\""},
		{"peer.add", "{\"name\": \"a\", \"no_preshared_key\": 1}", "no_preshared_key",
	         "no_preshared_key is 1, must be true or false"},
		{"peer.list", "{\"limit\": 0}", "limit", "limit is 0, must be 1 to 1000 peers"},
		{"peer.list", "{\"limit\": 1001}", "limit",
	         "limit is 1001, must be 1 to 1000 peers"},
		{"counters", "{\"worker\": 1}", "worker", "worker is 1, must be 0 to 0"},
		{"service.add",
	         "{\"name\": \"a\", \"host\": \"b\u00fccher.example\", \"target\": "
	         "\"a:1\"}",
	         "host", "host is \"b\u00fccher.example\", must be " HOST_MUST},
		{"service.add", "{\"name\": \"a\", \"host\": \"a..b\", \"target\": \"a:1\"}",
	         "host", "host is \"a..b\", must be " HOST_MUST},
		{"service.add", "{\"name\": \"a\", \"host\": \"10.0.0.1\", \"target\": \"a:1\"}",
	         "host", "host is \"10.0.0.1\", must be " HOST_MUST},
		{"service.add", "{\"name\": \"a\", \"host\": \"a.b\", \"target\": \"a\"}", "target",
	         "target is \"a\", must be a peer's name and a port, such as \"home:8080\""},
		{"service.add", "{\"name\": \"a\", \"host\": \"a.b\", \"target\": \"a:65536\"}",
	         "target",
	         "target is \"a:65536\", must be a peer's name and a port, such as \"home:8080\""},
	};

	(void)state;
	start(true);
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++)
		call_refused(cases[i].method, cases[i].params, "bad_argument", cases[i].field,
		             cases[i].message);
	call_refused("peer.frobnicate", "{}", "unknown_method", "",
	             "there is no method \"peer.frobnicate\"");
	assert_int_equal(peer_count(peers), 0);
	stop();
}

/* What is long is cut, and never in the midst of a character: that would be no answer at all. */
static void a_long_text_in_a_message_is_cut_between_two_characters(void **state)
{
#define TEN_E    "\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9"
#define TWENTY_E TEN_E TEN_E
	(void)state;
	start(true);
	call_refused("peer.show", "{\"name\": \"a" TWENTY_E TWENTY_E "\"}", "bad_argument", "name",
	             "name is \"a" TWENTY_E
	             "\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9?...\", "
	             "must be " NAME_MUST);
	call_refused("status", "{\"a" TWENTY_E TWENTY_E "\": 1}", "bad_argument", "",
	             "status takes no argument \"a" TWENTY_E TEN_E "\u00e9?\"");
	call_refused("a" TWENTY_E TWENTY_E, "{}", "unknown_method", "",
	             "there is no method \"a" TWENTY_E TEN_E "\u00e9?\"");
	stop();
}

/* ---- services ----------------------------------------------------------------------------------- */

static void published_service_reaches_the_edge_with_a_certificate(void **state)
{
	json_t *result;
	json_t *service;
	char pem[4096];

	(void)state;
	start(true);
	call_ok("peer.add", "{\"name\": \"home\"}");
	result = call("service.add", "{\"name\": \"blog\", \"host\": \"Blog.Example.org.\", "
	                             "\"target\": \"home:8080\"}");
	service = json_object_get(result, "service");
	assert_string_equal(json_string_value(json_object_get(service, "url")),
	                    "https://blog.example.org/");
	assert_string_equal(json_string_value(json_object_get(service, "address")), "10.77.0.2");
	assert_string_equal(json_string_value(json_object_get(service, "state")), "published");
	json_decref(result);
	assert_int_equal(fake.n_services, 1);
	assert_string_equal(fake.service[0].host, "blog.example.org");
	assert_int_equal(fake.service[0].target.port, 8080);
	assert_non_null(strstr(fake.pem[0], "PRIVATE KEY"));
	memcpy(pem, fake.pem[0], sizeof(pem));

	call_refused("peer.remove", "{\"name\": \"home\"}", "in_use", "name",
	             "name: service \"blog\" points to peer \"home\"; remove the service first");
	stop();
	start(true); /* after a restart: the same service, the same certificate */
	assert_int_equal(fake.n_services, 1);
	assert_string_equal(fake.pem[0], pem);
	call_ok("service.remove", "{\"name\": \"blog\"}");
	assert_int_equal(fake.n_services, 0);
	call_ok("peer.remove", "{\"name\": \"home\"}");
	stop();
}

static void what_cannot_be_published_is_refused_and_not_stored(void **state)
{
	json_t *result;

	(void)state;
	start(true);
	call_ok("peer.add", "{\"name\": \"home\"}");
	call_refused("service.add", "{\"name\": \"a\", \"host\": \"a.b\", \"target\": \"x:1\"}",
	             "not_found", "target", "target: no peer is called \"x\"");
	call_ok("service.add", "{\"name\": \"a\", \"host\": \"a.b\", \"target\": \"home:1\"}");
	call_refused("service.add", "{\"name\": \"a\", \"host\": \"c.d\", \"target\": \"home:1\"}",
	             "exists", "name", "name: service \"a\" exists already");
	call_refused("service.add", "{\"name\": \"b\", \"host\": \"A.B\", \"target\": \"home:1\"}",
	             "exists", "host", "host: a.b belongs to service \"a\"");
	call_refused("service.remove", "{\"name\": \"b\"}", "not_found", "name",
	             "name: no service is called \"b\"");
	fake.edge_err = -EINVAL;
	call_refused("service.add", "{\"name\": \"b\", \"host\": \"c.d\", \"target\": \"home:1\"}",
	             "failed", "", "edge: Invalid argument");
	call_refused("service.remove", "{\"name\": \"a\"}", "failed", "", "edge: Invalid argument");
	fake.edge_err = 0;
	result = call("service.list", "{}");
	assert_int_equal(json_array_size(json_object_get(result, "services")), 1);
	json_decref(result);
	stop();
	start(false);
	call_refused("service.add", "{\"name\": \"b\", \"host\": \"c.d\", \"target\": \"home:1\"}",
	             "no_edge", "",
	             "edge.https is not set in weir.conf: there is no address to publish on");
	stop();
}

/* The peer has networks only, as wg(8) may have given them. */
static void service_of_a_peer_without_an_address_is_not_published(void **state)
{
	json_t *result;
	json_t *service;

	(void)state;
	config.preshared_key = CONFIG_PSK_OPTIONAL;
	start(true);
	call_ok("peer.apply",
	        "{\"file\": {\"name\": \"peers\", \"text\": \"peers: ( { name = \\\"home\\\"; public_key = "
	        "\\\"" KEY_A "\\\"; addresses = [ ]; networks = [ \\\"10.1.0.0/16\\\" ]; } );\"}}");
	result = call("service.add", "{\"name\": \"blog\", \"host\": \"blog.example.org\", "
	                             "\"target\": \"home:8080\"}");
	service = json_object_get(result, "service");
	assert_int_equal(fake.n_services, 0);
	assert_string_equal(json_string_value(json_object_get(service, "state")),
	                    "peer has no address");
	assert_true(json_is_null(json_object_get(service, "address")));
	json_decref(result);
	stop();
}

static void service_of_a_missing_peer_waits_for_it(void **state)
{
	struct store_service orphan = {"blog", "blog.example.org", "home", 80, 1};
	json_t *result;
	json_t *service;

	(void)state;
	start(true);
	assert_int_equal(store_service_add(store, &orphan), 0);
	stop();
	start(true);
	assert_int_equal(fake.n_services, 0);
	result = call("service.list", "{}");
	service = json_array_get(json_object_get(result, "services"), 0);
	assert_string_equal(json_string_value(json_object_get(service, "state")),
	                    "peer is missing");
	json_decref(result);
	call_ok("peer.add", "{\"name\": \"home\"}");
	assert_int_equal(fake.n_services, 1);
	stop();
}

static void service_of_a_disabled_peer_is_taken_away_until_it_is_enabled(void **state)
{
	json_t *result;

	(void)state;
	start(true);
	call_ok("peer.add", "{\"name\": \"home\"}");
	call_ok("service.add", "{\"name\": \"blog\", \"host\": \"blog.example.org\", "
	                       "\"target\": \"home:80\"}");
	assert_int_equal(fake.n_services, 1);
	call_ok("peer.disable", "{\"name\": \"home\"}");
	assert_int_equal(fake.n_services, 0);
	result = call("service.list", "{}");
	assert_string_equal(
		json_string_value(json_object_get(
			json_array_get(json_object_get(result, "services"), 0), "state")),
		"peer is disabled");
	json_decref(result);
	call_ok("peer.enable", "{\"name\": \"home\"}");
	assert_int_equal(fake.n_services, 1);
	stop();
}

/* ---- status and counters ------------------------------------------------------------------------ */

static void status_tells_processes_workers_ports_and_numbers(void **state)
{
	json_t *result;
	json_t *dataplane;
	int pid = 0;
	int total = 0;
	int limit = 0;

	(void)state;
	start(true);
	call_ok("peer.add", "{\"name\": \"home\"}");
	result = call("status", "{}");
	assert_int_equal(json_unpack(result, "{s:{s:i}, s:{s:i, s:i}}", "control", "pid", &pid,
	                             "peers", "total", &total, "limit", &limit),
	                 0);
	assert_int_equal(pid, getpid());
	assert_int_equal(total, 1);
	assert_int_equal(limit, 16);
	dataplane = json_object_get(result, "dataplane");
	assert_true(json_is_false(json_object_get(dataplane, "ready")));
	assert_int_equal(json_integer_value(json_object_get(dataplane, "pid")), 0);
	json_decref(result);
	fake.ready = true;
	result = call("status", "{}");
	dataplane = json_object_get(result, "dataplane");
	assert_true(json_is_true(json_object_get(dataplane, "ready")));
	assert_int_equal(json_integer_value(json_object_get(dataplane, "pid")), 4711);
	assert_int_equal(json_array_size(json_object_get(dataplane, "workers")), 1);
	json_decref(result);
	stop();
}

static void counters_come_by_name(void **state)
{
	json_t *result;
	json_t *counters;

	(void)state;
	start(true);
	result = call("counters", "{}");
	counters = json_object_get(result, "counters");
	assert_int_equal(json_object_size(counters), ABI_N_COUNTERS);
	assert_int_equal(json_integer_value(json_object_get(counters, "rx_wan")), 1000);
	assert_int_equal(json_integer_value(json_object_get(counters, "drop_replay")), 3);
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(result, "edge"), "requests")),
		7);
	json_decref(result);
	result = call("counters", "{\"nonzero\": true}");
	assert_int_equal(json_object_size(json_object_get(result, "counters")), 2);
	json_decref(result);
	result = call("counters", "{\"worker\": 0}");
	counters = json_object_get(result, "counters");
	assert_int_equal(json_integer_value(json_object_get(counters, "rx_wan")), 500);
	assert_null(json_object_get(result, "edge"));
	json_decref(result);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_long_text_in_a_message_is_cut_between_two_characters),
		CASE(every_wrong_argument_is_named_with_what_it_takes),
		CASE(published_service_reaches_the_edge_with_a_certificate),
		CASE(what_cannot_be_published_is_refused_and_not_stored),
		CASE(service_of_a_peer_without_an_address_is_not_published),
		CASE(service_of_a_missing_peer_waits_for_it),
		CASE(service_of_a_disabled_peer_is_taken_away_until_it_is_enabled),
		CASE(status_tells_processes_workers_ports_and_numbers),
		CASE(counters_come_by_name),
	};

	base_log_init("test", BASE_LOG_ERR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

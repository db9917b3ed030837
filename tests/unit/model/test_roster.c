/* control/model: the peers as text: peer.export, peer.plan, peer.apply. */
#include "base_text.h"
#include "model_lab.h"
#include "model_refusing_store.h"

#include <time.h>

#define KEY_B "v8aYBD+pwWb90iRS53SJ4udFyC+dqHWR6lAUWYaxLNA="
#define KEY_C "GtL7fZc/bLnqZldpVofMCD6hDjrK28SsdLxevJ+qtKU="
#define HEAD  "# Peers of a weir hub. Nothing in it is secret.\npeers: (\n"

static const char text_all[] = HEAD
	"\t{ name = \"gate\"; public_key = \"" KEY_B
	"\"; addresses = [ \"10.77.0.9\", \"fd77::9\" ]; networks = [ \"10.1.0.0/16\", "
	"\"10.2.0.0/16\" ]; endpoint = \"gate.example.org:51820\"; keepalive = 25; "
	"client_keepalive = 0; whole_subnet = true; expected_up = true; },\n"
	"\t{ name = \"laptop\"; public_key = \"" KEY_A
	"\"; addresses = [ \"10.77.0.2\", \"fd77::2\" ]; enabled = false; },\n"
	"\t{ name = \"old\"; public_key = \"" KEY_C
	"\"; addresses = [ ]; preshared_key = false; }\n"
	");\n";

/* ---- helpers ------------------------------------------------------------------------------------ */

static json_t *ask(const char *method, const char *text, const char *flag, json_t **error)
{
	json_t *params = json_pack("{s:{s:s, s:s}}", "file", "name", "roster", "text", text);
	json_t *result = NULL;

	if (flag)
		json_object_set_new(params, flag, json_true());
	if (model_call(model, method, params, &result, error) < 0)
		assert_null(result);
	json_decref(params);
	return result;
}

/* "+1 -2 ~3", or why not. */
static const char *outcome(const char *method, const char *text, const char *flag)
{
	static char out[1000];
	json_t *error = NULL;
	json_t *result = ask(method, text, flag, &error);

	if (result)
		snprintf(out, sizeof(out), "+%d -%d ~%d",
		         (int)json_integer_value(json_object_get(result, "added")),
		         (int)json_integer_value(json_object_get(result, "removed")),
		         (int)json_integer_value(json_object_get(result, "changed")));
	else
		snprintf(out, sizeof(out), "%s",
		         json_string_value(json_object_get(error, "message")));
	json_decref(result);
	json_decref(error);
	return out;
}

static void difference_is(const char *text, const char *expected)
{
	json_t *error = NULL;
	json_t *result = ask("peer.plan", text, NULL, &error);

	if (!result)
		fail_msg("%s", json_string_value(json_object_get(error, "message")));
	assert_string_equal(json_string_value(json_object_get(result, "difference")), expected);
	json_decref(result);
}

static char *export_text(void)
{
	json_t *result = call("peer.export", "{}");
	char *text = strdup(json_string_value(json_object_get(result, "roster")));

	assert_non_null(text);
	json_decref(result);
	return text;
}

static void export_is(const char *expected)
{
	char *text = export_text();

	assert_string_equal(text, expected);
	free(text);
}

static void start_again_empty(void)
{
	stop();
	assert_int_equal(store_dir_remove(), 0);
	assert_int_equal(store_dir_make(), 0);
	start(true);
}

/* text with what changed to; owned by the caller. */
static char *with(const char *text, const char *what, const char *to)
{
	const char *at = strstr(text, what);
	char *out = malloc(strlen(text) + strlen(to) + 1);

	assert_non_null(at);
	assert_non_null(out);
	sprintf(out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(what));
	return out;
}

static void optional_preshared_key(void)
{
	config.preshared_key = CONFIG_PSK_OPTIONAL;
}

/* ---- cases -------------------------------------------------------------------------------------- */

static void an_empty_hub_gets_the_same_peers_from_the_text(void **state)
{
	char *text;

	(void)state;
	optional_preshared_key();
	start(true);
	export_is(HEAD ");\n");
	assert_string_equal(outcome("peer.apply", text_all, NULL), "+3 -0 ~0");
	export_is(text_all);
	export_is(text_all);
	/* told to session and program: gate and old, not laptop, which is disabled */
	assert_true(fake.known[0] && fake.has_preshared_key[0] && fake.peer[0]);
	assert_int_equal(fake.keepalive_s[0], 25);
	assert_false(fake.known[1] || fake.peer[1]);
	assert_true(fake.known[2]);
	assert_false(fake.has_preshared_key[2]);
	assert_int_equal(fake.n_routes, 4);
	stop();
	start(true); /* from the store */
	export_is(text_all);
	assert_int_equal(fake.n_routes, 4);
	assert_string_equal(outcome("peer.apply", text_all, "remove"), "+0 -0 ~0");

	/* what operations make is in it, too */
	start_again_empty();
	call_ok("peer.add", "{\"name\": \"z\", \"public_key\": \"" KEY_A "\"}");
	call_ok("peer.add", "{\"name\": \"b\", \"public_key\": \"" KEY_B
	                    "\", \"gateway\": true, \"allowed_ips\": [\"192.168.9.0/24\", "
	                    "\"192.168.1.0/24\"], \"expected_up\": \"yes\", \"endpoint\": "
	                    "\"b.example.org:7\"}");
	call_ok("peer.disable", "{\"name\": \"z\"}");
	text = export_text();
	assert_string_equal(text, HEAD
	                    "\t{ name = \"b\"; public_key = \"" KEY_B
	                    "\"; addresses = [ \"10.77.0.3\", \"fd77::3\" ]; networks = [ "
	                    "\"192.168.1.0/24\", \"192.168.9.0/24\" ]; endpoint = "
	                    "\"b.example.org:7\"; expected_up = true; },\n"
	                    "\t{ name = \"z\"; public_key = \"" KEY_A
	                    "\"; addresses = [ \"10.77.0.2\", \"fd77::2\" ]; enabled = false; }\n"
	                    ");\n");
	start_again_empty();
	assert_string_equal(outcome("peer.apply", text, NULL), "+2 -0 ~0");
	export_is(text);
	free(text);
	stop();
}

static void a_new_peer_gets_a_key_and_addresses_once(void **state)
{
	static const char text[] = "peers: ( { name = \"a\"; public_key = \"" KEY_A "\"; },\n"
				   " { name = \"b\"; public_key = \"" KEY_B
				   "\"; addresses = [ \"10.77.0.2\" ]; } );";
	char key[BASE_KEY_BASE64_LEN];
	json_t *error = NULL;
	json_t *result;
	const json_t *first;
	char *exported;

	(void)state;
	start(true);
	result = ask("peer.apply", text, NULL, &error);
	assert_non_null(result);
	assert_int_equal(json_array_size(json_object_get(result, "preshared_keys")), 2);
	first = json_array_get(json_object_get(result, "preshared_keys"), 0);
	assert_string_equal(json_string_value(json_object_get(first, "name")), "a");
	base_key_to_base64(key, fake.preshared_key[0]);
	assert_string_equal(json_string_value(json_object_get(first, "preshared_key")), key);
	/* a is given what b does not name; b has what the text says and no more, also after a restart */
	stop();
	start(true);
	exported = export_text();
	assert_non_null(strstr(exported, KEY_A "\"; addresses = [ \"10.77.0.3\", \"fd77::2\" ]"));
	assert_non_null(strstr(exported, KEY_B "\"; addresses = [ \"10.77.0.2\" ]; }"));
	assert_null(strstr(exported, key));
	/* who says no addresses keeps those there are */
	assert_string_equal(outcome("peer.apply", text, NULL), "+0 -0 ~0");
	free(exported);
	json_decref(result);
	stop();
}

static void plan_tells_each_key_and_changes_nothing(void **state)
{
	char *text;
	char *other;

	(void)state;
	optional_preshared_key();
	start(true);
	difference_is("peers: ( { name = \"a\"; public_key = \"" KEY_A "\"; } );",
	              "+ peer { name = \"a\"; public_key = \"" KEY_A "\"; }\n");
	export_is(HEAD ");\n");
	assert_string_equal(outcome("peer.apply", text_all, "dry_run"), "+3 -0 ~0");
	export_is(HEAD ");\n");
	assert_false(fake.known[0]);
	assert_string_equal(outcome("peer.apply", text_all, NULL), "+3 -0 ~0");
	text = with(text_all, "keepalive = 25; client_keepalive = 0; whole_subnet = true; ", "");
	other = with(text, "\"10.2.0.0/16\"", "\"10.3.0.0/16\"");
	free(text);
	text = with(other, "; enabled = false", "");
	free(other);
	difference_is(text, "~ peer gate: networks [ \"10.1.0.0/16\", \"10.2.0.0/16\" ] -> [ "
	                    "\"10.1.0.0/16\", \"10.3.0.0/16\" ]\n"
	                    "~ peer gate: keepalive 25 -> 0\n"
	                    "~ peer gate: client_keepalive 0 -> 25\n"
	                    "~ peer gate: whole_subnet true -> false\n"
	                    "~ peer laptop: enabled false -> true\n");
	export_is(text_all);
	assert_string_equal(outcome("peer.apply", text, "dry_run"), "+0 -0 ~2");
	export_is(text_all);
	assert_string_equal(outcome("peer.apply", text, NULL), "+0 -0 ~2");
	export_is(text);
	assert_true(fake.known[1] && fake.has_preshared_key[1]); /* from the store */
	assert_int_equal(fake.n_routes, 6);
	assert_int_equal(fake.keepalive_s[0], 0);
	/* and back */
	assert_string_equal(outcome("peer.apply", text_all, NULL), "+0 -0 ~2");
	export_is(text_all);
	assert_false(fake.known[1] || fake.peer[1]);
	assert_int_equal(fake.n_routes, 4);
	free(text);
	stop();
}

static void another_key_is_for_peer_rotate(void **state)
{
	char *text;
	char *other;

	(void)state;
	start(true);
	call_ok("peer.add", "{\"name\": \"a\", \"public_key\": \"" KEY_A "\"}");
	text = export_text();
	other = with(text, KEY_A, KEY_B);
	difference_is(other, "~ peer a: public_key \"" KEY_A "\" -> \"" KEY_B "\"\n");
	assert_string_equal(outcome("peer.apply", other, NULL),
	                    "roster:3: peer \"a\": public_key is another than it has: weir peer "
	                    "rotate gives it that; then apply again");
	free(other);
	other = with(text, "; }", "; preshared_key = false; }");
	difference_is(other, "~ peer a: preshared_key true -> false\n");
	assert_string_equal(outcome("peer.apply", other, NULL),
	                    "roster:3: peer \"a\": preshared_key is false, but it has one: leave "
	                    "the key out, or remove the peer first");
	free(other);
	other = with(text, "\"a\"", "\"b\"");
	assert_string_equal(outcome("peer.apply", other, "remove"),
	                    "roster:3: peer \"b\": public_key belongs to peer \"a\": remove that "
	                    "one first (a peer keeps its name)");
	export_is(text);
	free(other);
	free(text);
	stop();
}

static void who_is_not_in_the_text_goes_only_when_told(void **state)
{
	char *text;

	(void)state;
	optional_preshared_key();
	start(true);
	assert_string_equal(outcome("peer.apply", text_all, NULL), "+3 -0 ~0");
	call_ok("group.add", "{\"name\": \"g\", \"members\": [\"laptop\", \"old\"]}");
	text = strdup(HEAD ");\n");
	assert_string_equal(outcome("peer.apply", text, NULL),
	                    "roster does not have 3 of the peers: gate, laptop, old; --remove "
	                    "removes them");
	assert_string_equal(outcome("peer.apply", text, "dry_run"),
	                    "roster does not have 3 of the peers: gate, laptop, old; --remove "
	                    "removes them");
	difference_is(text, "- peer gate: not in the file\n- peer laptop: not in the file\n"
	                    "- peer old: not in the file\n");
	call_ok("grant.add", "{\"name\": \"w\", \"who\": \"any\", \"to\": \"peer:old\", "
	                     "\"protocol\": \"tcp\", \"ports\": [\"1\"]}");
	assert_string_equal(outcome("peer.apply", text, "remove"),
	                    "roster: peer \"old\": grant \"w\" needs old; remove that first, or "
	                    "weir peer disable");
	export_is(text_all);
	assert_string_equal(outcome("peer.plan", text, NULL), "+0 -3 ~0");
	call_ok("grant.remove", "{\"name\": \"w\"}");
	restart_with_store(true, true);
	assert_string_equal(outcome("peer.apply", text, "remove"), "roster: store: no room");
	export_is(text_all);
	assert_true(is_in_group("g", "laptop") && is_in_group("g", "old"));
	restart_with_store(true, false);
	assert_string_equal(outcome("peer.apply", text, "remove"), "+0 -3 ~0");
	export_is(text);
	assert_false(fake.known[0] || fake.known[1] || fake.known[2]);
	assert_int_equal(fake.n_routes, 0);
	assert_false(is_in_group("g", "laptop") || is_in_group("g", "old"));
	free(text);
	stop();
}

static void addresses_may_change_hands(void **state)
{
	static const char before[] = HEAD
		"\t{ name = \"a\"; public_key = \"" KEY_A
		"\"; addresses = [ \"10.77.0.5\", \"fd77::5\" ]; networks = [ \"10.1.0.0/16\" ]; "
		"},\n\t{ name = \"b\"; public_key = \"" KEY_B
		"\"; addresses = [ \"10.77.0.6\", \"fd77::6\" ]; enabled = false; }\n);\n";
	static const char after[] = HEAD
		"\t{ name = \"a\"; public_key = \"" KEY_A
		"\"; addresses = [ \"10.77.0.6\", \"fd77::6\" ]; },\n"
		"\t{ name = \"b\"; public_key = \"" KEY_B
		"\"; addresses = [ \"10.77.0.5\", \"fd77::5\" ]; networks = [ \"10.1.0.0/16\" ]; "
		"}\n);\n";

	(void)state;
	start(true);
	assert_string_equal(outcome("peer.apply", before, NULL), "+2 -0 ~0");
	for (int i = 0; i < 3; i++) {
		assert_string_equal(outcome("peer.apply", after, "dry_run"), "+0 -0 ~2");
		export_is(before);
		assert_string_equal(outcome("peer.apply", after, NULL), "+0 -0 ~2");
		export_is(after);
		assert_int_equal(fake.n_routes, 5);
		assert_string_equal(outcome("peer.apply", before, NULL), "+0 -0 ~2");
		export_is(before);
		assert_int_equal(fake.n_routes, 3);
	}
	stop();
}

/* Each is text_all with one thing wrong, behind a peer that would be added. */
static void a_bad_text_names_its_line_and_changes_nothing(void **state)
{
	static const struct {
		const char *what;
		const char *to;
		const char *message;
	} bad[] = {
		{"keepalive = 25", "keepalive = 70000",
	         "3: peer \"gate\": keepalive is \"70000\", must be 0 to 65535 seconds (0 turns it "
	         "off)"},
		{"keepalive = 25", "keepalive = \"x\"",
	         "3: peer \"gate\": keepalive is \"x\", must be 0 to 65535 seconds (0 turns it "
	         "off)"},
		{"keepalive = 25", "mtu = 25",
	         "3: peer \"gate\": there is no key \"mtu\", only name, public_key, addresses, "
	         "networks, endpoint, keepalive, client_keepalive, whole_subnet, expected_up, "
	         "enabled, preshared_key"},
		{"enabled = false", "enabled = 0",
	         "4: peer \"laptop\": enabled is not text, must be true or false"},
		{"\"laptop\"", "\"Lap top\"",
	         "4: peer \"\": name is \"Lap top\", must be 1 to 63 of the characters a-z 0-9 -, "
	         "not beginning or ending with -"},
		{"name = \"laptop\";", "",
	         "4: peer \"\": name is missing, must be 1 to 63 of the characters a-z 0-9 -, not "
	         "beginning or ending with -"},
		{"\"laptop\"", "\"gate\"",
	         "4: peer \"gate\": name is that of peer \"gate\" in line 3, too"},
		{"\"" KEY_A, "\"x" KEY_A,
	         "4: peer \"laptop\": public_key is \"x" KEY_A
	         "\", must be a public key of 44 characters in base64"},
		{"public_key = \"" KEY_A "\";", "",
	         "4: peer \"laptop\": public_key is missing, must be a public key of 44 characters "
	         "in base64"},
		{KEY_A, KEY_B,
	         "4: peer \"laptop\": public_key is that of peer \"gate\" in line 3, too"},
		{"10.77.0.2", "10.77.0.9",
	         "4: peer \"laptop\": 10.77.0.9/32 is that of peer \"gate\" in line 3, too"},
		{"10.77.0.2", "10.78.0.2",
	         "4: peer \"laptop\": addresses has \"10.78.0.2\", must be an address in a tunnel "
	         "net of the hub (hub.tunnel), each once"},
		{"10.77.0.2", "10.77.0.1",
	         "4: peer \"laptop\": addresses and networks: 10.77.0.1/32 is the hub's own "
	         "address"},
		{"\"10.1.0.0/16\"", "\"10.77.0.8\"",
	         "3: peer \"gate\": networks has \"10.77.0.8\", must be a network such as "
	         "\"10.1.0.0/16\", outside the tunnel nets, each once"},
		{"\"10.1.0.0/16\"", "\"0.0.0.0/0\"",
	         "3: peer \"gate\": addresses and networks: 0.0.0.0/0 cannot be behind a peer: must "
	         "be a unicast network, never everything"},
		{"gate.example.org:51820", "gate",
	         "3: peer \"gate\": endpoint is \"gate\", must be \"HOST:PORT\", a name or an "
	         "address with a port"},
		{"\"; addresses = [ ]", "\"; addresses = [ ]; networks = [ \"10.1.2.0/24\" ]",
	         "3: peer \"gate\": addresses and networks: 10.1.0.0/16 overlaps 10.1.2.0/24, which "
	         "belongs to peer \"(new)\""},
		{"\"laptop\"", "\"laptop", "4: syntax error"},
		{"peers:", "@include \"/etc/passwd\"\npeers:",
	         "2: @include is not for a roster: write it in one file"},
		{"peers:", "grants:", "2: there is no key \"grants\", only peers"},
	};
	char expected[600];
	char *text;

	(void)state;
	optional_preshared_key();
	start(true);
	for (size_t i = 0; i < BASE_ARRAY_LEN(bad); i++) {
		text = with(text_all, bad[i].what, bad[i].to);
		snprintf(expected, sizeof(expected), "roster:%s", bad[i].message);
		assert_string_equal(outcome("peer.apply", text, NULL), expected);
		assert_string_equal(outcome("peer.plan", text, NULL), expected);
		free(text);
		export_is(HEAD ");\n");
		assert_false(fake.known[0]);
		assert_int_equal(fake.n_routes, 0);
	}
	assert_string_equal(outcome("peer.apply", "", "remove"),
	                    "roster:1: peers is missing, must be a list: ( { name = \"...\"; ... } "
	                    ")");
	/* of this hub every peer has a preshared key */
	config.preshared_key = CONFIG_PSK_REQUIRED;
	text = strdup(outcome("peer.apply", text_all, NULL));
	assert_non_null(strstr(text, "roster:5: peer \"old\": preshared_key: every peer of this "));
	free(text);
	/* nothing that a refused text was given is lost: all of it fits now */
	config.preshared_key = CONFIG_PSK_OPTIONAL;
	assert_string_equal(outcome("peer.apply", text_all, NULL), "+3 -0 ~0");
	export_is(text_all);
	stop();
}

static void a_full_hub_takes_none_of_them(void **state)
{
	(void)state;
	optional_preshared_key();
	config.max_peers = 2;
	start(true);
	assert_string_equal(outcome("peer.apply", text_all, NULL),
	                    "roster:5: peer \"old\": all 2 peers are taken (dataplane.max_peers)");
	export_is(HEAD ");\n");
	stop();
}

static void each_peer_that_changes_is_in_the_trail(void **state)
{
	json_t *params, *error = NULL, *result = NULL, *trail;
	const json_t *records;

	(void)state;
	optional_preshared_key();
	start(true);
	params = json_pack("{s:{s:s, s:s}, s:s}", "file", "name", "roster", "text", text_all, "why",
	                   "the new office");
	assert_int_equal(model_call(model, "peer.apply", params, &result, &error), 0);
	json_decref(result);
	json_decref(params);
	trail = call("audit.trail", "{}");
	records = json_object_get(trail, "records");
	assert_true(json_array_size(records) >= 3);
	for (size_t i = 0; i < json_array_size(records); i++) {
		const json_t *record = json_array_get(records, i);

		assert_string_equal(json_string_value(json_object_get(record, "operation")),
		                    "peer.apply");
		assert_string_equal(json_string_value(json_object_get(record, "comment")),
		                    "the new office");
	}
	json_decref(trail);
	stop();
}

/* ---- random ------------------------------------------------------------------------------------- */

#define N_MAX 12

/* A text as export would print it, of peers p00 to p11 with keys, addresses and networks of their own numbers,
 * which are dealt anew each time. */
static void make_text(unsigned int *seed, FILE *out)
{
	uint32_t place[N_MAX];
	bool first = true;

	for (uint32_t i = 0; i < N_MAX; i++)
		place[i] = i;
	for (uint32_t i = N_MAX - 1; i > 0; i--) {
		uint32_t k = (uint32_t)rand_r(seed) % (i + 1);
		uint32_t was = place[i];

		place[i] = place[k];
		place[k] = was;
	}
	fputs(HEAD, out);
	for (uint32_t i = 0; i < N_MAX; i++) {
		uint8_t key[32] = {9, (uint8_t)i};
		char text[BASE_KEY_BASE64_LEN];
		unsigned int bits = (unsigned int)rand_r(seed);

		if (bits % 3 == 0)
			continue;
		base_key_to_base64(text, key);
		fprintf(out, "%s\t{ name = \"p%02u\"; public_key = \"%s\"; addresses = [",
		        first ? "" : ",\n", i, text);
		first = false;
		if (bits & 0x10)
			fprintf(out, " \"10.77.0.%u\"%s", 20 + place[i], bits & 0x20 ? "," : "");
		if (bits & 0x20)
			fprintf(out, " \"fd77::%x\"", 0x20 + place[i]);
		fputs(" ];", out);
		if (bits & 0x40)
			fprintf(out, " networks = [ \"10.%u.0.0/16\" ];", place[i]);
		if (bits & 0x80)
			fprintf(out, " endpoint = \"h%u.example.org:7\";", bits >> 8 & 3);
		if (bits & 0x400)
			fprintf(out, " keepalive = %u;", 1 + (bits >> 11 & 1));
		if (bits & 0x1000)
			fputs(" client_keepalive = 7;", out);
		if (bits & 0x2000)
			fputs(" whole_subnet = true;", out);
		if (bits & 0x4000)
			fputs(" expected_up = true;", out);
		if (bits & 0x8000)
			fputs(" enabled = false;", out);
		fputs(" }", out);
	}
	fputs(first ? ");\n" : "\n);\n", out);
}

/* What session and program know is what a hub that begins with this store would tell them. */
static void same_as_after_a_start(void)
{
	bool known[FAKE_PEERS];
	uint16_t keepalive_s[FAKE_PEERS];
	uint32_t n_routes = fake.n_routes;

	memcpy(known, fake.known, sizeof(known));
	memcpy(keepalive_s, fake.keepalive_s, sizeof(keepalive_s));
	stop();
	start(true);
	assert_int_equal(fake.n_routes, n_routes);
	for (uint32_t i = 0; i < FAKE_PEERS; i++) {
		assert_int_equal(fake.known[i], known[i]);
		assert_int_equal(fake.peer[i], known[i]);
		if (known[i])
			assert_int_equal(fake.keepalive_s[i], keepalive_s[i]);
	}
}

static void any_text_leads_to_any_other(void **state)
{
	unsigned int seed = (unsigned int)time(NULL);

	(void)state;
	print_message("seed %u\n", seed);
	config.max_peers = FAKE_PEERS;
	start(true);
	for (int turn = 0; turn < 60; turn++) {
		char *text = NULL;
		size_t len = 0;
		FILE *out = open_memstream(&text, &len);
		char *before = export_text();

		assert_non_null(out);
		make_text(&seed, out);
		fclose(out);
		if (outcome("peer.apply", text, "dry_run")[0] != '+'
		    && !strstr(outcome("peer.apply", text, "dry_run"), "--remove"))
			fail_msg("%s\n%s", outcome("peer.apply", text, "dry_run"), text);
		export_is(before);
		if (outcome("peer.apply", text, "remove")[0] != '+')
			fail_msg("%s\n%s", outcome("peer.apply", text, "remove"), text);
		export_is(text);
		assert_string_equal(outcome("peer.apply", text, "remove"), "+0 -0 ~0");
		if (turn % 4 == 0)
			same_as_after_a_start();
		free(before);
		free(text);
	}
	stop();
}

/* Whatever is read: it can be exported and read again, or is refused with a line. */
static void any_text_is_read_or_refused(void **state)
{
	unsigned int seed = (unsigned int)time(NULL);
	uint32_t n_read = 0;

	(void)state;
	print_message("seed %u\n", seed);
	optional_preshared_key();
	start(true);
	for (int turn = 0; turn < 3000; turn++) {
		char *text = strdup(text_all);
		const char *out;

		for (int i = rand_r(&seed) % 3; i >= 0; i--) {
			size_t at = (size_t)rand_r(&seed) % strlen(text);
			size_t from = (size_t)rand_r(&seed) % strlen(text);
			size_t len = (size_t)rand_r(&seed) % 9;

			if (at + len < strlen(text) && from + len < strlen(text))
				memmove(text + at, text + from, len);
		}
		out = outcome("peer.plan", text, NULL);
		if (out[0] == '+')
			n_read++;
		else
			assert_memory_equal(out, "roster:", strlen("roster:"));
		free(text);
	}
	export_is(HEAD ");\n");
	assert_int_equal(fake.n_routes, 0);
	assert_true(n_read > 0);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(an_empty_hub_gets_the_same_peers_from_the_text),
		CASE(a_new_peer_gets_a_key_and_addresses_once),
		CASE(plan_tells_each_key_and_changes_nothing),
		CASE(another_key_is_for_peer_rotate),
		CASE(who_is_not_in_the_text_goes_only_when_told),
		CASE(addresses_may_change_hands),
		CASE(a_bad_text_names_its_line_and_changes_nothing),
		CASE(a_full_hub_takes_none_of_them),
		CASE(each_peer_that_changes_is_in_the_trail),
		CASE(any_text_leads_to_any_other),
		CASE(any_text_is_read_or_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Groups, grants and policies for people. */
#include "base_bytes.h"
#include "weir.h"
#include "weir_table.h"

#include <string.h>

static void show_findings(const json_t *result)
{
	const json_t *findings = json_object_get(result, "findings");

	for (size_t i = 0; i < json_array_size(findings); i++) {
		const json_t *one = json_array_get(findings, i);
		long long line = weir_number_of(one, "line");

		printf("%s: %s \"%s\"", weir_text_of(one, "severity"), weir_text_of(one, "kind"),
		       weir_text_of(one, "name"));
		if (line > 0)
			printf(" (line %lld)", line);
		printf(": %s [%s]\n", weir_text_of(one, "text"), weir_text_of(one, "rule"));
	}
}

/* ---- groups ------------------------------------------------------------------------------------- */

static void show_group(const json_t *result)
{
	const json_t *group = json_object_get(result, "group");
	char buf[4096];

	printf("name     %s\n", weir_text_of(group, "name"));
	printf("members  %s\n", weir_list_of(group, "members", buf, sizeof(buf)));
	printf("grants   %s\n", weir_list_of(group, "grants", buf, sizeof(buf)));
	printf("comment  %s\n", weir_text_of(group, "comment"));
	printf("created  %s\n", weir_text_of(group, "created_at"));
}

static void show_group_list(const json_t *result)
{
	static const char *const heads[] = {"NAME", "MEMBERS", "GRANTS", "COMMENT"};
	const json_t *groups = json_object_get(result, "groups");
	struct weir_table table = {.n_columns = BASE_ARRAY_LEN(heads)};
	char buf[4096];

	if (json_array_size(groups) == 0) {
		printf("no groups\n");
		return;
	}
	for (size_t i = 0; i < BASE_ARRAY_LEN(heads); i++)
		weir_table_cell(&table, heads[i]);
	for (size_t i = 0; i < json_array_size(groups); i++) {
		const json_t *group = json_array_get(groups, i);

		weir_table_cell(&table, weir_text_of(group, "name"));
		weir_table_cell(&table, weir_list_of(group, "members", buf, sizeof(buf)));
		weir_table_cell(&table, weir_list_of(group, "grants", buf, sizeof(buf)));
		weir_table_cell(&table, weir_text_of(group, "comment"));
	}
	weir_table_end(&table);
}

/* ---- grants ------------------------------------------------------------------------------------- */

/* "tcp 443, 8000-8080" */
static const char *protocol_text(const json_t *grant, char *buf, size_t size)
{
	const char *protocol = weir_text_of(grant, "protocol");
	char ports[512];

	if (json_array_size(json_object_get(grant, "ports")) == 0)
		return protocol;
	snprintf(buf, size, "%s %s", protocol, weir_list_of(grant, "ports", ports, sizeof(ports)));
	return buf;
}

/* "always", or from when until when, and in which windows */
static const char *when_text(const json_t *grant, char *buf, size_t size)
{
	const char *from = json_string_value(json_object_get(grant, "from"));
	const char *until = json_string_value(json_object_get(grant, "until"));
	char windows[900] = "";

	if (json_array_size(json_object_get(grant, "windows")) > 0)
		weir_list_of(grant, "windows", windows, sizeof(windows));
	if (!from && !until && windows[0] == '\0')
		return "always";
	snprintf(buf, size, "%s%s%s%s%s%s", windows, windows[0] && (from || until) ? " " : "",
	         from ? "from " : "", from ? from : "", until ? (from ? " until " : "until ") : "",
	         until ? until : "");
	return buf;
}

/* When it was last used, to the hour. */
static const char *used_text(const json_t *grant)
{
	const char *used = json_string_value(json_object_get(grant, "used_at"));

	return used ? used : "never";
}

static void show_grant(const json_t *result)
{
	const json_t *grant = json_object_get(result, "grant");
	char buf[1200];

	printf("name      %s\n", weir_text_of(grant, "name"));
	printf("who       %s\n", weir_text_of(grant, "who"));
	printf("to        %s\n", weir_text_of(grant, "to"));
	printf("protocol  %s\n", protocol_text(grant, buf, sizeof(buf)));
	printf("when      %s%s\n", when_text(grant, buf, sizeof(buf)),
	       json_is_true(json_object_get(grant, "holds")) ? "" : " (not now)");
	printf("comment   %s\n", weir_text_of(grant, "comment"));
	printf("author    %s\n", weir_text_of(grant, "author"));
	printf("created   %s\n", weir_text_of(grant, "created_at"));
	printf("used      %s\n", used_text(grant));
	show_findings(result);
}

static void show_grant_list(const json_t *result)
{
	static const char *const heads[] = {"NAME", "WHO", "TO",   "PROTOCOL",
	                                    "WHEN", "NOW", "USED", "COMMENT"};
	const json_t *grants = json_object_get(result, "grants");
	struct weir_table table = {.n_columns = BASE_ARRAY_LEN(heads)};
	char buf[1200];

	if (json_array_size(grants) == 0) {
		printf("no grants: nothing crosses\n");
		return;
	}
	for (size_t i = 0; i < BASE_ARRAY_LEN(heads); i++)
		weir_table_cell(&table, heads[i]);
	for (size_t i = 0; i < json_array_size(grants); i++) {
		const json_t *grant = json_array_get(grants, i);

		weir_table_cell(&table, weir_text_of(grant, "name"));
		weir_table_cell(&table, weir_text_of(grant, "who"));
		weir_table_cell(&table, weir_text_of(grant, "to"));
		weir_table_cell(&table, protocol_text(grant, buf, sizeof(buf)));
		weir_table_cell(&table, when_text(grant, buf, sizeof(buf)));
		weir_table_cell(&table,
		                json_is_true(json_object_get(grant, "holds")) ? "yes" : "no");
		weir_table_cell(&table, used_text(grant));
		weir_table_cell(&table, weir_text_of(grant, "comment"));
	}
	weir_table_end(&table);
}

static void print_side(const char *label, const json_t *side)
{
	const char *peer = json_string_value(json_object_get(side, "peer"));

	printf("%s  %s (%s)\n", label, peer ? peer : "hub", weir_text_of(side, "address"));
}

static void show_explain(const json_t *result)
{
	const json_t *grants = json_object_get(result, "grants");
	const char *grant = json_string_value(json_object_get(result, "grant"));
	char buf[200];

	print_side("from", json_object_get(result, "from"));
	print_side("to  ", json_object_get(result, "to"));
	printf("%s: %s", json_is_true(json_object_get(result, "allowed")) ? "ALLOWED" : "REFUSED",
	       weir_text_of(result, "why"));
	printf("%s%s\n", grant ? ": " : "", grant ? grant : "");
	for (size_t i = 0; i < json_array_size(grants); i++) {
		const json_t *one = json_array_get(grants, i);
		bool fits = json_array_size(json_object_get(one, "misses")) == 0;

		printf("  %s: %s%s\n", weir_text_of(one, "grant"),
		       fits ? "fits" : "does not fit in ",
		       fits ? "" : weir_list_of(one, "misses", buf, sizeof(buf)));
	}
}

/* ---- policies ----------------------------------------------------------------------------------- */

static void show_export(const json_t *result)
{
	fputs(weir_text_of(result, "policy"), stdout);
}

static void print_count(const json_t *result, const char *what)
{
	printf("%s generation %lld: %lld added, %lld removed, %lld changed\n", what,
	       weir_number_of(result, "generation"), weir_number_of(result, "added"),
	       weir_number_of(result, "removed"), weir_number_of(result, "changed"));
}

static void show_plan(const json_t *result)
{
	fputs(weir_text_of(result, "difference"), stdout);
	print_count(result, "against");
	show_findings(result);
}

static void show_check(const json_t *result)
{
	show_findings(result);
	print_count(result, "good; against");
}

static void show_apply(const json_t *result)
{
	fputs(weir_text_of(result, "difference"), stdout);
	print_count(result, "now");
	show_findings(result);
}

static void show_dry_run(const json_t *result)
{
	fputs(weir_text_of(result, "difference"), stdout);
	print_count(result, "nothing changed; against");
	show_findings(result);
}

static void show_audit(const json_t *result)
{
	show_findings(result);
	printf("%lld findings, %lld errors, policy generation %lld\n",
	       (long long)json_array_size(json_object_get(result, "findings")),
	       weir_number_of(result, "errors"), weir_number_of(result, "generation"));
}

/* ---- peers as text ------------------------------------------------------------------------------ */

static void show_roster(const json_t *result)
{
	fputs(weir_text_of(result, "roster"), stdout);
}

static void show_roster_change(const json_t *result)
{
	const json_t *list = json_object_get(result, "preshared_keys");
	const json_t *one;
	size_t i;

	fputs(weir_text_of(result, "difference"), stdout);
	printf("%s%lld added, %lld removed, %lld changed\n",
	       json_is_true(json_object_get(result, "dry_run")) ? "nothing changed: " : "",
	       weir_number_of(result, "added"), weir_number_of(result, "removed"),
	       weir_number_of(result, "changed"));
	if (json_array_size(list) > 0)
		puts("PresharedKey of the new peers, this once:");
	json_array_foreach(list, i, one)
		printf("%s %s\n", weir_text_of(one, "name"), weir_text_of(one, "preshared_key"));
}

static void show_removed(const json_t *result)
{
	printf("removed %s\n", weir_text_of(result, "name"));
}

static const struct {
	const char *method;
	void (*show)(const json_t *result);
} shows[] = {
	{"group.add", show_group},         {"group.member", show_group},
	{"group.show", show_group},        {"group.list", show_group_list},
	{"group.remove", show_removed},    {"grant.add", show_grant},
	{"grant.show", show_grant},        {"grant.list", show_grant_list},
	{"grant.remove", show_removed},    {"grant.explain", show_explain},
	{"audit.policy", show_audit},      {"policy.export", show_export},
	{"policy.check", show_check},      {"policy.plan", show_plan},
	{"policy.apply", show_apply},      {"peer.export", show_roster},
	{"peer.plan", show_roster_change}, {"peer.apply", show_roster_change},
};

bool weir_show_policy(const char *method, const json_t *result)
{
	for (size_t i = 0; i < BASE_ARRAY_LEN(shows); i++) {
		if (strcmp(shows[i].method, method) != 0)
			continue;
		if (shows[i].show != show_roster_change
		    && json_is_true(json_object_get(result, "dry_run")))
			show_dry_run(result);
		else
			shows[i].show(result);
		return true;
	}
	return false;
}

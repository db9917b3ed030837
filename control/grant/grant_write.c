/* Policy to text. */
#include "grant_object.h"
#include "grant_part.h"
#include "grant_text.h"

#include <errno.h>

static void put_time(FILE *out, const char *key, uint64_t time_s)
{
	char text[GRANT_TIME_STRLEN];

	if (time_s != 0)
		grant_object_put_key(out, key, grant_time_format(time_s, text));
}

void grant_write_group(const struct grant_group *group, FILE *out)
{
	fputs("{", out);
	grant_object_put_key(out, "name", group->name);
	fputs(" members = [", out);
	for (uint32_t i = 0; i < group->n_members; i++)
		fprintf(out, "%s\"%s\"", i ? ", " : " ", group->members[i]);
	fputs(" ];", out);
	if (group->comment[0] != '\0')
		grant_object_put_key(out, "comment", group->comment);
	fputs(" }", out);
}

void grant_write_one(const struct grant *grant, FILE *out)
{
	char text[GRANT_PARTY_STRLEN > GRANT_WINDOW_STRLEN ? GRANT_PARTY_STRLEN
	                                                   : GRANT_WINDOW_STRLEN];

	fputs("{", out);
	grant_object_put_key(out, "name", grant->name);
	grant_object_put_key(out, "who", grant_party_format(&grant->who, text));
	grant_object_put_key(out, "to", grant_party_format(&grant->to, text));
	grant_object_put_key(out, "protocol", grant_protocol_format(grant->protocol));
	for (uint32_t i = 0; i < grant->n_ports; i++)
		fprintf(out, "%s\"%s\"%s", i ? ", " : " ports = [ ",
		        grant_range_format(&grant->ports[i], text),
		        i + 1 == grant->n_ports ? " ];" : "");
	put_time(out, "from", grant->from_s);
	put_time(out, "until", grant->until_s);
	for (uint32_t i = 0; i < grant->n_windows; i++)
		fprintf(out, "%s\"%s\"%s", i ? ", " : " windows = [ ",
		        grant_window_format(&grant->windows[i], text),
		        i + 1 == grant->n_windows ? " ];" : "");
	if (grant->comment[0] != '\0')
		grant_object_put_key(out, "comment", grant->comment);
	if (grant->author[0] != '\0')
		grant_object_put_key(out, "author", grant->author);
	fputs(" }", out);
}

static void put_group(const void *group, FILE *out)
{
	grant_write_group(group, out);
}

static void put_grant(const void *grant, FILE *out)
{
	grant_write_one(grant, out);
}

int grant_write(const struct grant_policy *policy, FILE *out)
{
	fputs("# Policy of a weir hub. What no grant allows does not cross it.\n", out);
	grant_object_put_list(out, "groups", policy->groups, policy->n_groups,
	                      sizeof(*policy->groups), put_group);
	grant_object_put_list(out, "grants", policy->grants, policy->n_grants,
	                      sizeof(*policy->grants), put_grant);
	return fflush(out) != 0 || ferror(out) ? -EIO : 0;
}

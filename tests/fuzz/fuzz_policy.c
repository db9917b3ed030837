/* Policies as text. What is good is written and read again, and is the same, byte for byte. */
#include "fuzz.h"
#include "grant_lint.h"
#include "grant_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fuzz_start(void)
{
}

static char *write_text(const struct grant_policy *policy)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert(out != NULL);
	assert(grant_write(policy, out) == 0);
	fclose(out);
	return text;
}

static int on_finding(void *arg, const struct grant_finding *finding)
{
	(void)arg;
	assert(finding->text[0] != '\0');
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct grant_world nobody = {.n_peers = 0};
	struct grant_policy policy, again;
	struct grant_error error = {0};
	char *text = malloc(len + 1);
	char *first, *second;

	assert(text != NULL);
	memcpy(text, data, len);
	text[len] = '\0';
	if (grant_read(text, &policy, &error) < 0) {
		assert(error.text[0] != '\0' && error.line >= 0);
		assert(policy.n_grants == 0 && policy.n_groups == 0);
		free(text);
		return 0;
	}
	first = write_text(&policy);
	assert(grant_read(first, &again, &error) == 0);
	second = write_text(&again);
	assert(strcmp(first, second) == 0);
	assert(grant_lint(&policy, &nobody, 1800000000, on_finding, NULL) == 0);
	grant_policy_fini(&policy);
	grant_policy_fini(&again);
	free(first);
	free(second);
	free(text);
	return 0;
}

void fuzz_seeds(void)
{
	static const char text[] =
		"groups: ( { name = \"office\"; members = [ \"desk\" ]; comment = \"a \\\"b\\\"\"; } );\n"
		"grants: ( { name = \"web\"; who = \"group:office\"; to = \"peer:app\"; protocol = "
		"\"tcp\"; ports = [ \"443\", \"8000-8080\" ]; from = \"2026-12-01T00:00:00Z\"; until = "
		"\"2027-01-01T00:00:00+01:00\"; windows = [ \"fri-mon 22:00-06:00 Europe/Berlin\" ]; "
		"author = \"root\"; }, { name = \"lan\"; who = \"subnet:10.1.0.0/16\"; to = \"hub\"; "
		"protocol = \"icmp\"; }, { name = \"all\"; who = \"any\"; to = \"any\"; protocol = "
		"\"any\"; } );\n";

	fuzz_seed("whole", text, sizeof(text) - 1);
	fuzz_seed("empty", "", 0);
	fuzz_seed("include", "@include \"x\"\n", 13);
}

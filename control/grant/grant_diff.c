/* Two policies side by side: both are sorted, so one walk along both. */
#include "grant_text.h"

#include <string.h>

static void put_group(FILE *out, char sign, const struct grant_group *group)
{
	fprintf(out, "%c group ", sign);
	grant_write_group(group, out);
	fputc('\n', out);
}

static void put_grant(FILE *out, char sign, const struct grant *grant)
{
	fprintf(out, "%c grant ", sign);
	grant_write_one(grant, out);
	fputc('\n', out);
}

/* Which of two sorted lists has the next name: -1 only the old one, 1 only the new one, 0 both. */
static int next(uint32_t i, uint32_t n_old, const char *old, uint32_t k, uint32_t n_new,
                const char *new)
{
	if (i == n_old)
		return 1;
	return k == n_new ? -1 : strcmp(old, new);
}

static void diff_groups(const struct grant_policy *from, const struct grant_policy *to, FILE *out,
                        struct grant_difference *count)
{
	uint32_t i = 0;
	uint32_t k = 0;

	while (i < from->n_groups || k < to->n_groups) {
		const struct grant_group *old = &from->groups[i];
		const struct grant_group *new = &to->groups[k];
		int order = next(i, from->n_groups, i < from->n_groups ? old->name : "", k,
		                 to->n_groups, k < to->n_groups ? new->name : "");
		bool differ = order != 0 || !grant_group_equal(old, new);

		if (order <= 0 && differ)
			put_group(out, '-', old);
		if (order >= 0 && differ)
			put_group(out, '+', new);
		count->n_removed += order < 0;
		count->n_added += order > 0;
		count->n_changed += order == 0 && differ;
		i += order <= 0;
		k += order >= 0;
	}
}

static void diff_grants(const struct grant_policy *from, const struct grant_policy *to, FILE *out,
                        struct grant_difference *count)
{
	uint32_t i = 0;
	uint32_t k = 0;

	while (i < from->n_grants || k < to->n_grants) {
		const struct grant *old = &from->grants[i];
		const struct grant *new = &to->grants[k];
		int order = next(i, from->n_grants, i < from->n_grants ? old->name : "", k,
		                 to->n_grants, k < to->n_grants ? new->name : "");
		bool differ = order != 0 || !grant_equal(old, new);

		if (order <= 0 && differ)
			put_grant(out, '-', old);
		if (order >= 0 && differ)
			put_grant(out, '+', new);
		count->n_removed += order < 0;
		count->n_added += order > 0;
		count->n_changed += order == 0 && differ;
		i += order <= 0;
		k += order >= 0;
	}
}

struct grant_difference grant_diff(const struct grant_policy *from, const struct grant_policy *to,
                                   FILE *out)
{
	struct grant_difference count = {0};

	diff_groups(from, to, out, &count);
	diff_grants(from, to, out, &count);
	return count;
}

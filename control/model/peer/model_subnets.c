/* Which grant needs a network: asked for many networks, of many grants. */
#include "model_peer.h"
#include "wg_allowedips.h"

#include <errno.h>

struct wg_allowedips *model__subnets_named(const struct grant_policy *policy)
{
	struct wg_allowedips *named = wg_allowedips_create_ordered();
	int err = 0;

	if (!named)
		return NULL;
	for (uint32_t i = 0; err == 0 && i < policy->n_grants; i++) {
		const struct grant *grant = &policy->grants[i];

		if (grant->who.kind == GRANT_SUBNET)
			err = wg_allowedips_insert(named, &grant->who.subnet, i, NULL);
		if (err == 0 && grant->to.kind == GRANT_SUBNET)
			err = wg_allowedips_insert(named, &grant->to.subnet, i, NULL);
	}
	if (err == 0)
		return named;
	wg_allowedips_destroy(named);
	return NULL;
}

static int is_named(void *arg, const struct base_prefix *prefix, uint32_t value)
{
	(void)prefix;
	*(uint32_t *)arg = value;
	return 1;
}

const struct grant *model__subnet_needed(const struct grant_policy *policy,
                                         const struct wg_allowedips *named,
                                         const struct base_prefix *net)
{
	uint32_t number;

	if (wg_allowedips_each_overlapping(named, net, is_named, &number) == 0)
		return NULL;
	return &policy->grants[number];
}

int model__networks_spare(const struct model *model, const char *field,
                          const struct base_prefix *nets, uint32_t n, struct model_error *error)
{
	const struct grant *grant = NULL;
	struct wg_allowedips *named;
	char text[BASE_PREFIX_STRLEN];
	uint32_t i;

	if (n == 0)
		return 0;
	named = model__subnets_named(&model->policy);
	if (!named)
		return model__refuse(error, -ENOMEM, "failed", NULL, "not enough memory");
	for (i = 0; !grant && i < n; i++)
		grant = model__subnet_needed(&model->policy, named, &nets[i]);
	wg_allowedips_destroy(named);
	if (!grant)
		return 0;
	return model__refuse(error, -EBUSY, "in_use", field,
	                     "%s: grant \"%s\" names %s; remove the grant first", field,
	                     grant->name, base_prefix_format(&nets[i - 1], text));
}

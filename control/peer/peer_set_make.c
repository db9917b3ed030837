/* A set while it is made. */
#include "base_bytes.h"
#include "peer_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct peer_set_one *peer_set_add(struct peer_set *set, const uint8_t public_key[static 32])
{
	struct peer_set_one *one;

	if (set->n_ones == set->max_ones) {
		uint32_t max = set->max_ones == 0 ? 4 : 2 * set->max_ones;
		struct peer_set_one *grown = calloc(max, sizeof(*grown));

		if (!grown)
			return NULL;
		if (set->n_ones != 0) {
			memcpy(grown, set->ones, set->n_ones * sizeof(*grown));
			base_wipe(set->ones, set->n_ones * sizeof(*grown));
		}
		free(set->ones);
		set->ones = grown;
		set->max_ones = max;
	}
	one = &set->ones[set->n_ones++];
	memcpy(one->public_key, public_key, 32);
	one->first_ip = set->n_ips;
	return one;
}

int peer_set_add_ip(struct peer_set *set, const struct base_prefix *prefix, bool drop)
{
	if (set->n_ips == set->max_ips) {
		uint32_t max = set->max_ips == 0 ? 16 : 2 * set->max_ips;
		struct peer_set_ip *grown = reallocarray(set->ips, max, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		set->ips = grown;
		set->max_ips = max;
	}
	set->ips[set->n_ips] = (struct peer_set_ip){.prefix = *prefix, .drop = drop};
	base_prefix_mask(&set->ips[set->n_ips++].prefix);
	set->ones[set->n_ones - 1].n_ips++;
	return 0;
}

void peer_set_fini(struct peer_set *set)
{
	if (set->ones)
		base_wipe(set->ones, set->n_ones * sizeof(*set->ones));
	free(set->ones);
	free(set->ips);
	memset(set, 0, sizeof(*set));
}

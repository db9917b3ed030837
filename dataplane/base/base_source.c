/* Sets of eight entries; which set, and which entry in it, by one hash. */
#include "base_source.h"

#include <string.h>

static uint64_t tag_of(const struct base_source_table *table, const struct base_ip *ip,
                       uint16_t port)
{
	struct base_endpoint net = {.ip = *ip, .port = port};

	if (net.ip.family == BASE_IP_V6)
		memset(net.ip.bytes + 8, 0, 8);
	return base_siphash(table->key, &net, sizeof(net));
}

/* The source's entry, or one that is nobody's, or NULL. */
static struct base_source *find(struct base_source_table *table, uint64_t tag, uint64_t now_ns)
{
	struct base_source *set = table->sets[tag % BASE_SOURCE_SETS];
	struct base_source *free = NULL;

	for (uint32_t i = 0; i < BASE_SOURCE_WAYS; i++) {
		if (base_bucket_is_full(&set[i].bucket, now_ns))
			free = &set[i];
		else if (set[i].tag == tag)
			return &set[i];
	}
	return free;
}

static enum base_source_verdict take(struct base_source_table *table, uint64_t tag, uint64_t now_ns)
{
	struct base_source *source = find(table, tag, now_ns);

	if (source == NULL)
		return BASE_SOURCE_FULL;
	source->tag = tag;
	return base_bucket_take(&source->bucket, &table->rate, 1, now_ns) ? BASE_SOURCE_OK
	                                                                  : BASE_SOURCE_OVER;
}

enum base_source_verdict base_source_take(struct base_source_table *table, const struct base_ip *ip,
                                          uint64_t now_ns)
{
	return take(table, tag_of(table, ip, 0), now_ns);
}

enum base_source_verdict base_source_take_port(struct base_source_table *table,
                                               const struct base_endpoint *endpoint,
                                               uint64_t now_ns)
{
	return take(table, tag_of(table, &endpoint->ip, endpoint->port), now_ns);
}

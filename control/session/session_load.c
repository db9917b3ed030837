/* Under load (whitepaper 5.3): a message is looked at only when its mac2 proves that its source is
 * where it says, and then so many a second from one source. */
#include "base_bytes.h"
#include "program.h"
#include "session_table.h"

#include <sodium.h>

#include <string.h>

/* One bucket for an IPv4 address or an IPv6 /64, which is what one customer gets. The array does not
 * grow: sources whose hashes meet share a bucket, and the hash is keyed, so that nobody can choose
 * whose. */
static struct base_bucket *bucket_of(struct session_table *table, const struct base_ip *ip)
{
	struct base_ip net = *ip;

	if (net.family == BASE_IP_V6)
		memset(net.bytes + 8, 0, 8);
	return &table->load.buckets[base_siphash(table->hash_key, &net, sizeof(net))
	                            % SESSION_LOAD_BUCKETS];
}

static void cookie_send(struct session_table *table, const struct session_source *source,
                        const uint8_t *message, uint16_t len, uint64_t now_ns)
{
	uint8_t random[32], nonce[WG_COOKIE_NONCE_LEN], reply[WG_COOKIE_LEN];

	randombytes_buf(random, sizeof(random));
	randombytes_buf(nonce, sizeof(nonce));
	wg_cookie_reply_create(&table->checker, message, len, &source->remote, random, nonce,
	                       now_ns, reply);
	base_wipe(random, sizeof(random));
	if (session__inject(table, source, reply, sizeof(reply)) == 0)
		program_count(table->program, ABI_COUNTER_HS_COOKIE_OUT, 1);
}

bool session__refused_by_load(struct session_table *table, const struct session_source *source,
                              const uint8_t *message, uint16_t len, bool has_mac2, uint64_t now_ns)
{
	if (table->jobs.n_used - table->jobs.n_own >= SESSION_LOAD_JOBS)
		table->load.until_ns = now_ns + SESSION_LOAD_HOLD_NS;
	if (now_ns >= table->load.until_ns)
		return false;
	if (has_mac2
	    && base_bucket_take(bucket_of(table, &source->remote.ip), &table->load.rate, 1, now_ns))
		return false;
	if (!has_mac2)
		cookie_send(table, source, message, len, now_ns);
	program_count(table->program, ABI_COUNTER_HS_REFUSED_UNDER_LOAD, 1);
	return true;
}

/* Under load (whitepaper 5.3): a message is looked at only when its mac2 proves that its source is
 * where it says, and then so many a second from one source. Here when the handshake threads have too much
 * to do; when more comes than the road to them bears, workers ask already (path/in_handshake.c). */
#include "base_bytes.h"
#include "program.h"
#include "session_table.h"

#include <sodium.h>

static void cookie_send(struct session_table *table, struct session_hub *hub,
                        const struct session_source *source, const uint8_t *message, uint16_t len,
                        uint64_t now_ns)
{
	uint8_t random[32], nonce[WG_COOKIE_NONCE_LEN], reply[WG_COOKIE_LEN];

	randombytes_buf(random, sizeof(random));
	randombytes_buf(nonce, sizeof(nonce));
	wg_cookie_reply_create(&hub->checker, message, len, &source->remote, random, nonce, now_ns,
	                       reply);
	base_wipe(random, sizeof(random));
	if (session__inject(table, source, reply, sizeof(reply)) == 0)
		program_count(table->program, ABI_COUNTER_HS_COOKIE_OUT, 1);
}

bool session__refused_by_load(struct session_table *table, struct session_hub *hub,
                              const struct session_source *source, const uint8_t *message,
                              uint16_t len, bool has_mac2, uint64_t now_ns)
{
	if (table->jobs.n_used - table->jobs.n_own >= SESSION_LOAD_JOBS)
		table->load.until_ns = now_ns + SESSION_LOAD_HOLD_NS;
	if (now_ns >= table->load.until_ns)
		return false;
	if (!has_mac2) {
		cookie_send(table, hub, source, message, len, now_ns);
		program_count(table->program, ABI_COUNTER_HS_REFUSED_UNDER_LOAD, 1);
		return true;
	}
	switch (base_source_take(&table->load.sources, &source->remote.ip, now_ns)) {
	case BASE_SOURCE_OK:
		return false;
	case BASE_SOURCE_OVER:
		program_count(table->program, ABI_COUNTER_HS_REFUSED_SOURCE_LIMIT, 1);
		return true;
	case BASE_SOURCE_FULL:
		break;
	}
	program_count(table->program, ABI_COUNTER_HS_REFUSED_SOURCE_FULL, 1);
	return true;
}

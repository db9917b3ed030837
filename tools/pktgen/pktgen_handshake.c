/* The initiator's side of many handshakes. */
#include "pktgen_handshake.h"

#include "base_bytes.h"

#include <sodium.h>

#include <errno.h>
#include <stdlib.h>

#define CATCH_UP_NS (10 * BASE_NS_PER_MS)

/* ---- tables ------------------------------------------------------------------------------------- */

int pktgen_handshakes_init(struct pktgen_handshakes *hs, struct pktgen_peers *peers,
                           uint32_t window, double rate, bool measured,
                           const struct pktgen_handshake_calls *calls)
{
	uint32_t n_slots = measured ? peers->n : window;

	*hs = (struct pktgen_handshakes){
		.peers = peers,
		.calls = *calls,
		.measured = measured,
		.interval_ns = rate > 0 ? (uint64_t)((double)BASE_NS_PER_S / rate) : 0,
		.queue = calloc(peers->n, sizeof(*hs->queue)),
		.slot = calloc(n_slots, sizeof(*hs->slot)),
		.in_flight = calloc(window, sizeof(*hs->in_flight)),
		.free_slots = calloc(n_slots, sizeof(*hs->free_slots)),
		.n_slots = n_slots,
		.window = window,
	};
	if (hs->queue == NULL || hs->slot == NULL || hs->in_flight == NULL
	    || hs->free_slots == NULL) {
		pktgen_handshakes_fini(hs);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < n_slots; i++)
		hs->free_slots[hs->n_free++] = n_slots - 1 - i;
	for (uint32_t i = 0; i < peers->n; i++) {
		peers->peer[i].slot = PKTGEN_PEER_NO_SLOT;
		peers->peer[i].is_wanting = 0;
	}
	return 0;
}

void pktgen_handshakes_fini(struct pktgen_handshakes *hs)
{
	if (hs->slot != NULL)
		base_wipe(hs->slot, hs->n_slots * sizeof(*hs->slot));
	free(hs->free_slots);
	free(hs->in_flight);
	free(hs->slot);
	free(hs->queue);
	*hs = (struct pktgen_handshakes){0};
}

static uint32_t slot_take(struct pktgen_handshakes *hs, uint32_t peer)
{
	return hs->measured ? peer : hs->free_slots[--hs->n_free];
}

/* The handshake at in_flight[at] is over, one way or another. */
static void flight_end(struct pktgen_handshakes *hs, uint32_t at)
{
	uint32_t slot = hs->in_flight[at];

	hs->peers->peer[hs->slot[slot].peer].slot = PKTGEN_PEER_NO_SLOT;
	hs->in_flight[at] = hs->in_flight[--hs->n_in_flight];
	if (!hs->measured) {
		base_wipe(&hs->slot[slot], sizeof(hs->slot[slot]));
		hs->free_slots[hs->n_free++] = slot;
	}
}

static uint32_t flight_find(const struct pktgen_handshakes *hs, uint32_t slot)
{
	uint32_t at = 0;

	while (at < hs->n_in_flight && hs->in_flight[at] != slot)
		at++;
	return at;
}

/* ---- initiations -------------------------------------------------------------------------------- */

void pktgen_handshakes_want(struct pktgen_handshakes *hs, uint32_t peer)
{
	struct pktgen_peer *p = &hs->peers->peer[peer];

	if (p->is_wanting || p->slot != PKTGEN_PEER_NO_SLOT)
		return;
	p->is_wanting = 1;
	hs->queue[(hs->queue_first + hs->n_queued++) % hs->peers->n] = peer;
}

static void make_initiation(struct pktgen_handshakes *hs, struct pktgen_handshake *h)
{
	struct pktgen_peer *p = &hs->peers->peer[h->peer];
	uint8_t ephemeral[WG_KEY_LEN], timestamp[WG_TIMESTAMP_LEN];
	int r;

	wg_noise_timestamp(timestamp, base_time_wall_ns());
	do { /* a random ephemeral of low order is as likely as guessing a key */
		randombytes_buf(ephemeral, sizeof(ephemeral));
		r = wg_noise_initiation_create(&p->identity, &p->hub,
		                               pktgen_peer_index(h->peer, ++p->generation),
		                               ephemeral, timestamp, &h->noise, h->message);
	} while (r < 0);
	base_wipe(ephemeral, sizeof(ephemeral));
	h->is_prepared = 1;
}

void pktgen_handshakes_prepare(struct pktgen_handshakes *hs, uint32_t peer)
{
	struct pktgen_handshake *h = &hs->slot[peer];

	h->peer = peer;
	make_initiation(hs, h);
}

static void send_initiation(struct pktgen_handshakes *hs, struct pktgen_handshake *h,
                            uint64_t now_ns)
{
	if (!h->is_prepared)
		make_initiation(hs, h);
	h->is_prepared = 0;
	wg_cookie_stamp(&hs->peers->peer[h->peer].cookie, h->message, WG_INITIATION_LEN, now_ns);
	hs->calls.send(hs->calls.arg, h->peer, h->message, WG_INITIATION_LEN);
	h->sent_ns = now_ns;
	if (hs->stats.sent++ == 0)
		hs->stats.first_ns = now_ns;
	wg_timers_handshake_sent(&h->timers, now_ns,
	                         randombytes_uniform((uint32_t)WG_JITTER_MAX_NS + 1));
}

static void start_next(struct pktgen_handshakes *hs, uint64_t now_ns)
{
	uint32_t peer = hs->queue[hs->queue_first];
	struct pktgen_peer *p = &hs->peers->peer[peer];
	uint32_t slot = slot_take(hs, peer);
	struct pktgen_handshake *h = &hs->slot[slot];

	hs->queue_first = (hs->queue_first + 1) % hs->peers->n;
	hs->n_queued--;
	hs->in_flight[hs->n_in_flight++] = slot;
	p->is_wanting = 0;
	p->slot = slot;
	h->peer = peer;
	wg_timers_handshake_init(&h->timers);
	(void)wg_timers_handshake_want(&h->timers, now_ns);
	send_initiation(hs, h, now_ns);
	/* A turn that came late is made up for, but not a long silence. */
	if (hs->next_ns + CATCH_UP_NS < now_ns)
		hs->next_ns = now_ns - CATCH_UP_NS;
	hs->next_ns += hs->interval_ns;
}

static void repeat_due(struct pktgen_handshakes *hs, uint64_t now_ns)
{
	for (uint32_t at = hs->n_in_flight; at-- > 0;) {
		struct pktgen_handshake *h = &hs->slot[hs->in_flight[at]];
		uint64_t next_ns;

		switch (wg_timers_handshake_poll(&h->timers, now_ns, &next_ns)) {
		case WG_TIMERS_HANDSHAKE_SEND_INITIATION:
			hs->stats.retried++;
			send_initiation(hs, h, now_ns);
			break;
		case WG_TIMERS_HANDSHAKE_GIVE_UP:
			hs->stats.failed++;
			flight_end(hs, at);
			break;
		default:
			break;
		}
	}
}

void pktgen_handshakes_turn(struct pktgen_handshakes *hs, uint64_t now_ns)
{
	repeat_due(hs, now_ns);
	if (hs->n_queued > 0 && hs->n_in_flight < hs->window && now_ns >= hs->next_ns)
		start_next(hs, now_ns);
}

/* ---- answers ------------------------------------------------------------------------------------ */

/* The handshake that a receiver index names, or NULL. */
static struct pktgen_handshake *find(const struct pktgen_handshakes *hs, uint32_t index)
{
	uint32_t peer = pktgen_peer_of_index(index);
	struct pktgen_handshake *h;

	if (peer >= hs->peers->n || hs->peers->peer[peer].slot == PKTGEN_PEER_NO_SLOT)
		return NULL;
	h = &hs->slot[hs->peers->peer[peer].slot];
	return h->noise.local_index == index ? h : NULL;
}

static void set_next(struct pktgen_peer *p, struct wg_noise_keys *keys, uint32_t local_index,
                     uint32_t remote_index, uint64_t now_ns)
{
	p->next = *keys;
	p->next_index = local_index;
	p->next_remote_index = remote_index;
	p->next_birth_ns = now_ns;
	base_wipe(keys, sizeof(*keys));
}

static bool consume(struct pktgen_handshakes *hs, struct pktgen_handshake *h,
                    const uint8_t *message, uint64_t now_ns)
{
	struct pktgen_peer *p = &hs->peers->peer[h->peer];
	uint32_t local_index = h->noise.local_index, remote_index;
	struct wg_noise_keys keys;

	if (wg_noise_response_consume(&p->identity, &p->hub, &h->noise, message, &keys,
	                              &remote_index)
	    != WG_NOISE_OK)
		return false;
	set_next(p, &keys, local_index, remote_index, now_ns);
	pktgen_peer_promote(p);
	return true;
}

void pktgen_handshakes_response(struct pktgen_handshakes *hs, const uint8_t *message,
                                uint64_t now_ns)
{
	struct pktgen_handshake *h = find(hs, base_load_le32(message + WG_RESPONSE_RECEIVER));
	uint32_t peer;

	if (h == NULL || (!hs->measured && !consume(hs, h, message, now_ns))) {
		hs->stats.refused++;
		return;
	}
	peer = h->peer;
	if (hs->measured) {
		memcpy(h->response, message, WG_RESPONSE_LEN);
		h->is_answered = 1;
	}
	hs->stats.completed++;
	hs->stats.last_ns = now_ns;
	pktgen_hist_add(&hs->stats.latency, now_ns - h->sent_ns);
	flight_end(hs, flight_find(hs, hs->peers->peer[peer].slot));
	if (!hs->measured)
		hs->calls.established(hs->calls.arg, peer);
}

void pktgen_handshakes_cookie(struct pktgen_handshakes *hs, const uint8_t *message, uint64_t now_ns)
{
	uint32_t index = base_load_le32(message + WG_COOKIE_RECEIVER);
	uint32_t peer = pktgen_peer_of_index(index);
	/* In answer to an initiation, or to our response to one. */
	bool is_ours = find(hs, index) != NULL
	               || (peer < hs->peers->n && hs->peers->peer[peer].next_index == index);

	/* Used for the next message, which does not come sooner for it (whitepaper 6.6). */
	if (!is_ours || wg_cookie_reply_consume(&hs->peers->peer[peer].cookie, message, now_ns) < 0)
		hs->stats.refused++;
	else
		hs->stats.cookies++;
}

/* Is it the hub's, meant for this peer, and new? Then *opened is ready for a response. */
static bool open_initiation(struct pktgen_peer *p, const uint8_t *message, uint64_t now_ns,
                            struct wg_noise_opened *opened)
{
	uint8_t mac1_key[32];

	wg_cookie_mac1_key(mac1_key, p->identity.public_key);
	if (!wg_cookie_mac1_ok(mac1_key, message, WG_INITIATION_LEN)
	    || wg_noise_initiation_open(&p->identity, message, opened) != WG_NOISE_OK)
		return false;
	if (memcmp(opened->static_public, p->hub.public_key, WG_KEY_LEN) != 0) {
		base_wipe(opened, sizeof(*opened));
		return false;
	}
	return wg_noise_initiation_consume(&p->hub, message, now_ns, opened) == WG_NOISE_OK;
}

void pktgen_handshakes_initiation(struct pktgen_handshakes *hs, uint32_t peer,
                                  const uint8_t *message, uint64_t now_ns)
{
	struct pktgen_peer *p = &hs->peers->peer[peer];
	uint8_t response[WG_RESPONSE_LEN], ephemeral[WG_KEY_LEN];
	struct wg_noise_opened opened;
	struct wg_noise_keys keys;
	uint32_t index, remote_index;

	if (hs->measured || !open_initiation(p, message, now_ns, &opened)) {
		hs->stats.refused++;
		return;
	}
	randombytes_buf(ephemeral, sizeof(ephemeral));
	index = pktgen_peer_index(peer, ++p->generation);
	remote_index = opened.handshake.remote_index;
	if (wg_noise_response_create(&p->hub, &opened.handshake, index, ephemeral, response, &keys)
	    == 0) {
		set_next(p, &keys, index, remote_index, now_ns);
		wg_cookie_stamp(&p->cookie, response, WG_RESPONSE_LEN, now_ns);
		hs->calls.send(hs->calls.arg, peer, response, WG_RESPONSE_LEN);
		hs->stats.answered++;
	}
	base_wipe(ephemeral, sizeof(ephemeral));
	base_wipe(&opened, sizeof(opened));
}

bool pktgen_handshakes_verify(struct pktgen_handshakes *hs, uint32_t peer)
{
	struct pktgen_handshake *h = &hs->slot[peer];

	if (!h->is_answered)
		return true;
	h->is_answered = 0;
	if (consume(hs, h, h->response, hs->stats.last_ns))
		return true;
	hs->stats.completed--;
	hs->stats.refused++;
	return false;
}

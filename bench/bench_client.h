/* Peers that want sessions: initiations made before the clock runs, responses checked after it. */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include "wg_cookie.h"
#include "wg_noise.h"

#include <stdbool.h>
#include <stdint.h>

struct bench_client {
	struct wg_noise_identity identity;
	struct wg_noise_peer hub;
	struct wg_cookie_maker cookie;
	struct wg_noise_handshake handshake;
	uint8_t message[WG_INITIATION_LEN]; /* the last initiation */
};

/* A client with a random key. Returns 0 or -EINVAL (hub_key is no public key). */
int bench_client_init(struct bench_client *client, const uint8_t hub_key[static WG_KEY_LEN])
	__attribute__((warn_unused_result));

/* Make an initiation. wall_ns at least 17 ms after that of the one before. Returns 0 or -EINVAL. */
int bench_client_initiate(struct bench_client *client, uint32_t index, uint64_t wall_ns)
	__attribute__((warn_unused_result));

/* Does the response complete the last initiation, and are these the responder's keys? */
bool bench_client_completes(struct bench_client *client,
                            const uint8_t response[static WG_RESPONSE_LEN],
                            const uint8_t send_key[static WG_KEY_LEN],
                            const uint8_t receive_key[static WG_KEY_LEN]);

#endif

#include "bench_client.h"

#include <sodium.h>

#include <string.h>

int bench_client_init(struct bench_client *client, const uint8_t hub_key[static WG_KEY_LEN])
{
	static const uint8_t no_preshared_key[WG_KEY_LEN];
	uint8_t key[WG_KEY_LEN];

	randombytes_buf(key, sizeof(key));
	wg_noise_identity_init(&client->identity, key);
	wg_cookie_maker_init(&client->cookie, hub_key);
	return wg_noise_peer_init(&client->hub, &client->identity, hub_key, no_preshared_key);
}

int bench_client_initiate(struct bench_client *client, uint32_t index, uint64_t wall_ns)
{
	uint8_t ephemeral[WG_KEY_LEN], timestamp[WG_TIMESTAMP_LEN];
	int err;

	randombytes_buf(ephemeral, sizeof(ephemeral));
	wg_noise_timestamp(timestamp, wall_ns);
	err = wg_noise_initiation_create(&client->identity, &client->hub, index, ephemeral,
	                                 timestamp, &client->handshake, client->message);
	if (err == 0)
		wg_cookie_stamp(&client->cookie, client->message, WG_INITIATION_LEN, wall_ns);
	return err;
}

bool bench_client_completes(struct bench_client *client,
                            const uint8_t response[static WG_RESPONSE_LEN],
                            const uint8_t send_key[static WG_KEY_LEN],
                            const uint8_t receive_key[static WG_KEY_LEN])
{
	struct wg_noise_keys keys;
	uint32_t remote_index;

	return wg_noise_response_consume(&client->identity, &client->hub, &client->handshake,
	                                 response, &keys, &remote_index)
	               == WG_NOISE_OK
	       && memcmp(keys.receive, send_key, WG_KEY_LEN) == 0
	       && memcmp(keys.send, receive_key, WG_KEY_LEN) == 0;
}

/* Keys, addresses, configuration of the simulated peers. */
#include "pktgen_peer.h"

#include "base_bytes.h"
#include "base_hugepage.h"
#include "base_text.h"
#include "wg_blake2s.h"
#include "wg_key.h"
#include "wg_keypair.h"

#include <errno.h>
#include <stdlib.h>

void pktgen_peer_private_key(uint8_t out[static WG_KEY_LEN], const char *seed, uint32_t i)
{
	static const char label[] = "weir-pktgen key, for benchmarks only";
	struct wg_blake2s state;
	uint8_t number[4];

	base_store_le32(number, i);
	wg_blake2s_init(&state, WG_BLAKE2S_HASH_LEN, NULL, 0);
	wg_blake2s_update(&state, label, sizeof(label));
	wg_blake2s_update(&state, seed, strlen(seed) + 1);
	wg_blake2s_update(&state, number, sizeof(number));
	wg_blake2s_final(&state, out);
	wg_key_clamp(out);
}

struct base_ip pktgen_peer_inner(const struct base_ip *first, uint32_t i)
{
	struct base_ip ip = *first;
	uint8_t *low = ip.bytes + base_ip_len(ip.family) - 4;

	base_store_be32(low, base_load_be32(low) + i);
	return ip;
}

int pktgen_peer_print_config(const struct pktgen_options *options, FILE *out)
{
	fprintf(out,
	        "# %u peers of weir-pktgen, seed \"%s\": their private keys follow from the seed.\n"
	        "# For benchmarks, never for a hub that carries anything else. They have no preshared\n"
	        "# keys, which takes hub.preshared_key = \"optional\".\n"
	        "peers: (\n",
	        options->n_peers, options->seed);
	for (uint32_t i = 0; i < options->n_peers; i++) {
		struct base_ip inner = pktgen_peer_inner(&options->inner, i);
		uint8_t private_key[WG_KEY_LEN], public_key[WG_KEY_LEN];
		char key[BASE_KEY_BASE64_LEN], ip[BASE_IP_STRLEN];

		pktgen_peer_private_key(private_key, options->seed, i);
		wg_key_public(public_key, private_key);
		base_wipe(private_key, sizeof(private_key));
		base_key_to_base64(key, public_key);
		fprintf(out,
		        "\t{ name = \"pktgen-%u\"; public_key = \"%s\"; allowed_ips = [ \"%s/%u\" ]; "
		        "}%s\n",
		        i, key, base_ip_format(&inner, ip), inner.family == BASE_IP_V4 ? 32U : 128U,
		        i + 1 < options->n_peers ? "," : "");
	}
	fputs(");\n", out);
	return fflush(out) == 0 && ferror(out) == 0 ? 0 : -EIO;
}

static int make_peer(struct pktgen_peer *peer, const struct pktgen_options *options, uint32_t i,
                     uint32_t n_own)
{
	static const uint8_t none[WG_KEY_LEN];
	uint8_t private_key[WG_KEY_LEN];

	pktgen_peer_private_key(private_key, options->seed, i);
	wg_noise_identity_init(&peer->identity, private_key);
	base_wipe(private_key, sizeof(private_key));
	wg_cookie_maker_init(&peer->cookie, options->hub_key);
	/* Spread over all addresses: a hub weighs each by itself. */
	peer->port_address = (i % n_own) << 16 | (PKTGEN_FIRST_PORT + i / n_own);
	peer->home = peer->port_address;
	peer->slot = PKTGEN_PEER_NO_SLOT;
	return wg_noise_peer_init(&peer->hub, &peer->identity, options->hub_key, none);
}

int pktgen_peers_init(struct pktgen_peers *peers, const struct pktgen_options *options)
{
	size_t len = options->n_peers * sizeof(struct pktgen_peer);
	int r = 0;

	*peers = (struct pktgen_peers){
		.n = options->n_peers,
		.n_own = options->n_addresses,
		.inner = options->inner,
		.peer = base_hugepage_map(&len),
		.own = calloc(options->n_addresses, sizeof(struct base_ip)),
	};
	if (peers->peer == NULL || peers->own == NULL) {
		r = -ENOMEM;
		goto err;
	}
	for (uint32_t i = 0; i < peers->n_own; i++)
		peers->own[i] = pktgen_peer_inner(&options->source.ip, i);
	for (uint32_t i = 0; i < peers->n && r == 0; i++)
		r = make_peer(&peers->peer[i], options, i, peers->n_own);
	if (r == 0)
		return 0;
err:
	pktgen_peers_fini(peers);
	return r;
}

void pktgen_peers_fini(struct pktgen_peers *peers)
{
	if (peers->peer != NULL)
		base_wipe(peers->peer, peers->n * sizeof(struct pktgen_peer));
	base_hugepage_unmap(peers->peer, peers->n * sizeof(struct pktgen_peer));
	free(peers->own);
	*peers = (struct pktgen_peers){0};
}

void pktgen_peer_promote(struct pktgen_peer *peer)
{
	memcpy(peer->previous_key, peer->receive_key, WG_KEY_LEN);
	peer->previous_index = peer->local_index;
	memcpy(peer->send_key, peer->next.send, WG_KEY_LEN);
	memcpy(peer->receive_key, peer->next.receive, WG_KEY_LEN);
	peer->local_index = peer->next_index;
	peer->remote_index = peer->next_remote_index;
	peer->birth_ns = peer->next_birth_ns;
	peer->send_counter = 0;
	base_wipe(peer->next.send, WG_KEY_LEN);
	base_wipe(peer->next.receive, WG_KEY_LEN);
	peer->next_index = 0;
}

uint32_t pktgen_peers_at(const struct pktgen_peers *peers, const uint8_t *address, uint16_t port)
{
	struct base_ip ip = base_ip_make(peers->own[0].family, address);
	uint32_t peer;

	for (uint32_t i = 0; i < peers->n_own; i++) {
		if (!base_ip_equal(&peers->own[i], &ip))
			continue;
		peer = (port - PKTGEN_FIRST_PORT) * peers->n_own + i;
		return port >= PKTGEN_FIRST_PORT && peer < peers->n ? peer : peers->n;
	}
	return peers->n;
}

/* Something goes out and nothing comes back. A hub that hears data says so within 10 s. */
static bool is_unheard(const struct pktgen_peer *peer, uint64_t now_ns)
{
	uint64_t heard_ns = peer->birth_ns;

	if (peer->last_data_ns > heard_ns)
		heard_ns = peer->last_data_ns;
	if (peer->last_keepalive_ns > heard_ns)
		heard_ns = peer->last_keepalive_ns;
	return now_ns >= heard_ns + WG_KEEPALIVE_TIMEOUT_NS + WG_REKEY_TIMEOUT_NS
	       && now_ns < peer->last_sent_ns + WG_REKEY_TIMEOUT_NS;
}

uint32_t pktgen_peer_due(const struct pktgen_peer *peer, uint64_t now_ns)
{
	uint32_t due = 0;

	if (peer->remote_index == 0)
		return 0;
	if (wg_keypair_rekey_after_send(peer->birth_ns, true, peer->send_counter, now_ns)
	    || is_unheard(peer, now_ns))
		due |= PKTGEN_PEER_HANDSHAKE;
	if (!wg_keypair_may_send(peer->birth_ns, peer->send_counter, now_ns))
		return due | PKTGEN_PEER_EXPIRED;
	if (peer->last_data_ns > peer->last_sent_ns
	    && now_ns >= peer->last_sent_ns + WG_KEEPALIVE_TIMEOUT_NS)
		due |= PKTGEN_PEER_KEEPALIVE;
	return due;
}

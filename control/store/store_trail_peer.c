/* What the audit trail says of a peer's row: its public key and what else is reviewed of it, and of its preshared
 * key only whether there is one, and whether it is another. */
#include "base_bytes.h"
#include "base_text.h"
#include "store_sql.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define NETWORKS_SHOWN 16U
#define TEXT_LEN       1400

static void add(char *buf, size_t size, const char *before, const char *text)
{
	size_t len = strlen(buf);

	snprintf(buf + len, size - len, "%s%s", before, text);
}

static void describe(const struct store_peer *peer, char *buf, size_t size)
{
	char key[BASE_KEY_BASE64_LEN], ip[BASE_IP_STRLEN], net[BASE_PREFIX_STRLEN], number[64];

	base_key_to_base64(key, peer->public_key);
	snprintf(buf, size, "key=%s", key);
	for (uint32_t i = 0; i < peer->n_addresses; i++)
		add(buf, size, i == 0 ? " addresses=" : ",",
		    base_ip_format(&peer->addresses[i], ip));
	for (uint32_t i = 0; i < peer->n_allowed_ips && i < NETWORKS_SHOWN; i++)
		add(buf, size, i == 0 ? " networks=" : ",",
		    base_prefix_format(&peer->allowed_ips[i], net));
	if (peer->n_allowed_ips > NETWORKS_SHOWN) {
		snprintf(number, sizeof(number), ",...(%u)", peer->n_allowed_ips);
		add(buf, size, "", number);
	}
	add(buf, size, " preshared-key=", peer->has_preshared_key ? "yes" : "no");
	snprintf(number, sizeof(number), " keepalive=%u client-keepalive=%u", peer->keepalive_s,
	         peer->client_keepalive_s);
	add(buf, size, number, "");
	add(buf, size, peer->whole_subnet ? " whole-subnet" : "",
	    peer->expected_wall_ns != 0 ? " expected-up" : "");
	add(buf, size, peer->declared ? " declared" : "", peer->disabled ? " disabled" : "");
}

static bool same_networks(const struct store_peer *a, const struct store_peer *b)
{
	char one[BASE_PREFIX_STRLEN], other[BASE_PREFIX_STRLEN];

	if (a->n_allowed_ips != b->n_allowed_ips)
		return false;
	for (uint32_t i = 0; i < a->n_allowed_ips; i++)
		if (strcmp(base_prefix_format(&a->allowed_ips[i], one),
		           base_prefix_format(&b->allowed_ips[i], other))
		    != 0)
			return false;
	return true;
}

static int keep(void *arg, const struct store_peer *peer)
{
	struct store_peer *before = arg;

	*before = *peer;
	before->allowed_ips = NULL;
	before->n_allowed_ips = 0;
	return store_peer_networks_set(before, peer->allowed_ips, peer->n_allowed_ips);
}

int store__trail_peer_before(struct store *store, uint32_t id, struct store_peer *before)
{
	int err;

	memset(before, 0, sizeof(*before));
	err = store_peer_find(store, id, keep, before);
	if (err < 0)
		store_peer_fini(before);
	return err == -ENOENT ? 0 : err;
}

static int note(struct store *store, const struct store_peer *peer, const char *what,
                const char *text)
{
	char line[TEXT_LEN + 200];

	snprintf(line, sizeof(line), "%s %s", what, text);
	return store__trail_note(store, "peer.change", "peer", peer->name, line);
}

/* A row that gets a placeholder, since another takes its name or key: what it was is told now. */
static int note_parked(struct store *store, const struct store_peer *before)
{
	char was[TEXT_LEN];

	describe(before, was, sizeof(was));
	return note(store, before, "gets another name or key, was", was);
}

static int note_changed(struct store *store, const struct store_peer *before,
                        const struct store_peer *after)
{
	bool is_parked = before->name[0] == '#';
	bool has_new_key = !is_parked && memcmp(before->public_key, after->public_key, 32) != 0;
	bool has_new_psk = before->has_preshared_key && after->has_preshared_key
	                   && !base_equal_ct(before->preshared_key, after->preshared_key, 32);
	char was[TEXT_LEN], is[TEXT_LEN], key[BASE_KEY_BASE64_LEN];

	describe(before, was, sizeof(was));
	describe(after, is, sizeof(is));
	if (strcmp(was, is) == 0 && strcmp(before->name, after->name) == 0 && !has_new_psk
	    && same_networks(before, after))
		return 0;
	base_key_to_base64(key, before->public_key);
	if (has_new_psk)
		add(is, sizeof(is), " ", "another-preshared-key");
	if (has_new_key)
		add(is, sizeof(is), " was-key=", key);
	if (!is_parked && strcmp(before->name, after->name) != 0)
		add(is, sizeof(is), " was-name=", before->name);
	return note(store, after, "changed", is);
}

int store__trail_peer(struct store *store, struct store_peer *before,
                      const struct store_peer *after, int err)
{
	char text[TEXT_LEN];

	if (err < 0) {
		store_peer_fini(before);
		return err;
	}
	if (before->name[0] == '\0' && after) {
		describe(after, text, sizeof(text));
		err = note(store, after, "added", text);
	} else if (before->name[0] != '\0' && !after) {
		describe(before, text, sizeof(text));
		err = note(store, before, "removed", text);
	} else if (after && after->name[0] == '#') {
		err = note_parked(store, before);
	} else if (after) {
		err = note_changed(store, before, after);
	}
	store_peer_fini(before);
	return err;
}

/* Lists of addresses and networks as text. Networks behind peers: few as a rule, 131,072 at most. */
#include "base_bytes.h"
#include "store_sql.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int store_peer_networks_set(struct store_peer *peer, const struct base_prefix *nets,
                            uint32_t n_nets)
{
	struct base_prefix *copy = NULL;

	if (n_nets > 0) {
		copy = calloc(n_nets, sizeof(*copy));
		if (!copy)
			return -ENOMEM;
		memcpy(copy, nets, n_nets * sizeof(*copy));
	}
	free(peer->allowed_ips);
	peer->allowed_ips = copy;
	peer->n_allowed_ips = n_nets;
	return 0;
}

void store_peer_fini(struct store_peer *peer)
{
	free(peer->allowed_ips);
	base_wipe(peer, sizeof(*peer));
}

const char *store__list_next(const char *list, char one[static BASE_PREFIX_STRLEN])
{
	size_t len = strcspn(list, ",");

	if (*list == '\0')
		return NULL;
	memcpy(one, list, len < BASE_PREFIX_STRLEN ? len : 0);
	one[len < BASE_PREFIX_STRLEN ? len : 0] = '\0';
	return list[len] == ',' ? list + len + 1 : list + len;
}

void store__addresses_format(const struct base_ip *addresses, uint32_t n, char *buf)
{
	*buf = '\0';
	for (uint32_t i = 0; i < n; i++) {
		if (i > 0)
			*buf++ = ',';
		base_ip_format(&addresses[i], buf);
		buf += strlen(buf);
	}
}

int store__addresses_parse(const char *list, struct base_ip *addresses, uint32_t max, uint32_t *n)
{
	char one[BASE_PREFIX_STRLEN];

	for (*n = 0; (list = store__list_next(list, one)) != NULL; (*n)++)
		if (*n == max || base_ip_parse(one, &addresses[*n]) < 0)
			return -EUCLEAN;
	return 0;
}

static uint32_t count(const char *list)
{
	uint32_t n = *list != '\0';

	for (; *list != '\0'; list++)
		n += *list == ',';
	return n;
}

int store__networks_read(const char *list, struct store_peer *peer)
{
	uint32_t n = count(list);
	char one[BASE_PREFIX_STRLEN];

	if (n > STORE_NETWORKS_MAX)
		return -EUCLEAN;
	if (n == 0)
		return 0;
	peer->allowed_ips = calloc(n, sizeof(*peer->allowed_ips));
	if (!peer->allowed_ips)
		return -ENOMEM;
	while ((list = store__list_next(list, one)) != NULL)
		if (base_prefix_parse(one, &peer->allowed_ips[peer->n_allowed_ips++]) < 0)
			return -EUCLEAN;
	return 0;
}

/* Caller: sqlite3_free(). NULL when memory is short. */
static char *format(const struct store_peer *peer)
{
	size_t size = (size_t)peer->n_allowed_ips * BASE_PREFIX_STRLEN;
	char *text = sqlite3_malloc64(size);
	char *at = text;

	for (uint32_t i = 0; text && i < peer->n_allowed_ips; i++) {
		if (i > 0)
			*at++ = ',';
		base_prefix_format(&peer->allowed_ips[i], at);
		at += strlen(at);
	}
	return text;
}

static int networks_drop(struct store *store, uint32_t id)
{
	sqlite3_stmt *statement = store__prepare_kept(store,
	                                              "DELETE FROM peer_networks WHERE peer = ?1");

	if (!statement)
		return store__fail(store, sqlite3_errcode(store->db));
	sqlite3_bind_int64(statement, 1, id);
	return store__run(store, statement);
}

int store__networks_write(struct store *store, const struct store_peer *peer)
{
	sqlite3_stmt *statement;
	char *text;

	if (peer->n_allowed_ips == 0)
		return networks_drop(store, peer->id);
	text = format(peer);
	if (!text)
		return -ENOMEM;
	statement = store__prepare_kept(store,
	                                "INSERT INTO peer_networks (peer, networks) VALUES (?1, ?2)"
	                                " ON CONFLICT (peer) DO UPDATE SET networks = ?2");
	if (!statement) {
		sqlite3_free(text);
		return store__fail(store, sqlite3_errcode(store->db));
	}
	sqlite3_bind_int64(statement, 1, peer->id);
	sqlite3_bind_text(statement, 2, text, -1, sqlite3_free);
	return store__run(store, statement);
}

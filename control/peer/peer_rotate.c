/* From one key to the next. A step is written to the store, synced, before session does it: whenever control
 * is killed, the next one finds a state that is one of the two ends of a step, with a key that works in it.
 *
 *   proposed --- the next key came ---> overlap --- window ends ---> confirmed: the old key is dropped
 *      |                                   |
 *      +--- window ends: expired           +--- by hand, or in an emergency, at once
 *           the next key is dropped
 *
 * Windows end by the monotonic clock; over a restart by the wall clock, but no later than their length. A wall clock
 * that is wrong at a restart does not take a next key away that has not come: see LOOK_NS. */
#include "base_bytes.h"
#include "base_log.h"
#include "base_time.h"
#include "peer_table.h"
#include "session.h"
#include "wg_key.h"

#include <errno.h>
#include <string.h>

/* A window that ran out while control was down, by the wall clock, and a next key that had not come: a dataplane that
 * runs on may have a session of it, which it shows as soon as it is attached. And the clock may be wrong, and set
 * back: it is asked again after an hour, in shorter windows after their length. */
#define SETTLE_NS (2 * BASE_NS_PER_S)
#define LOOK_NS   (3600 * BASE_NS_PER_S)
#define RETRY_NS  BASE_NS_PER_S /* when the store refused */

bool peer_is_rotating(const struct peer *peer)
{
	return peer->rotation.state == STORE_ROTATION_PROPOSED
	       || peer->rotation.state == STORE_ROTATION_OVERLAP;
}

void peer_on_rotation(struct peer_table *table, peer_rotation_fn *fn, void *arg)
{
	table->on_rotation = fn;
	table->on_rotation_arg = arg;
}

static void tell(const struct peer_table *table, const struct peer *peer)
{
	if (peer->rotation.state == STORE_ROTATION_EXPIRED)
		log_warn("peer",
		         "rotation expired, its new key was never used and is dropped: the old one "
		         "stays name=%s peer=%u",
		         peer->row.name, peer->row.id);
	else
		log_info("peer", "rotation %s name=%s peer=%u",
		         store_rotation_text(peer->rotation.state), peer->row.name, peer->row.id);
	if (table->on_rotation)
		table->on_rotation(table->on_rotation_arg, peer);
}

/* ---- the window --------------------------------------------------------------------------------- */

static void arm(struct peer_table *table, uint64_t now_ns)
{
	uint64_t first_ns = UINT64_MAX;
	struct timeval delay;

	for (uint32_t i = 0; i < table->n; i++) {
		const struct peer *peer = table->by_name[i];

		if (peer_is_rotating(peer) && peer->rotation_end_ns < first_ns)
			first_ns = peer->rotation_end_ns;
	}
	event_del(table->rotation_timer);
	if (first_ns == UINT64_MAX)
		return;
	first_ns = first_ns > now_ns ? first_ns - now_ns : 0;
	delay.tv_sec = (time_t)(first_ns / BASE_NS_PER_S);
	delay.tv_usec = (suseconds_t)(first_ns % BASE_NS_PER_S / 1000);
	evtimer_add(table->rotation_timer, &delay);
}

/* ---- the keys ----------------------------------------------------------------------------------- */

static int keep_preshared_key(void *arg, const struct store_peer *row)
{
	struct store_rotation *out = arg;

	out->has_preshared_key = row->has_preshared_key;
	memcpy(out->preshared_key, row->preshared_key, sizeof(out->preshared_key));
	return 0;
}

/* Tell session of the next key. next is complete but for a preshared key that stays the same. */
static int put_next(const struct peer_table *table, const struct peer *peer,
                    const struct store_rotation *next)
{
	struct store_rotation whole = *next;
	int err = 0;

	if (!whole.has_preshared_key)
		err = store_peer_find(table->setup.store, peer->row.id, keep_preshared_key, &whole);
	if (err == 0)
		err = session_next_put(
			table->setup.session, peer->row.id,
			&(struct session_next){
				.public_key = whole.has_public_key ? whole.public_key
		                                                   : peer->row.public_key,
				.preshared_key = whole.has_preshared_key ? whole.preshared_key
		                                                         : NULL,
				.last_timestamp = whole.last_timestamp,
				.serial = whole.next_serial,
			});
	base_wipe(&whole, sizeof(whole));
	return err;
}

void peer__rotation_apply(const struct peer_table *table, const struct peer *peer)
{
	struct store_rotation next;
	int err;

	session_peer_serial(table->setup.session, peer->row.id, peer->rotation.serial);
	if (!peer_is_rotating(peer))
		return;
	err = store_rotation_find(table->setup.store, peer->row.id, &next);
	if (err == 0)
		err = put_next(table, peer, &next);
	base_wipe(&next, sizeof(next));
	if (err < 0)
		log_err("peer", "next key is not known to sessions name=%s err=%s", peer->row.name,
		        strerror(-err));
}

/* In memory there is no preshared key. */
static void keep(struct peer *peer, const struct store_rotation *rotation)
{
	peer->rotation = *rotation;
	base_wipe(peer->rotation.preshared_key, sizeof(peer->rotation.preshared_key));
}

/* What is left of a rotation that is over: no keys. */
static struct store_rotation ended(const struct store_rotation *rotation,
                                   enum store_rotation_state state)
{
	return (struct store_rotation){
		.peer = rotation->peer,
		.state = state,
		.serial = state == STORE_ROTATION_CONFIRMED ? rotation->next_serial
	                                                    : rotation->serial,
		.next_serial = rotation->next_serial,
		.since_wall_ns = rotation->since_wall_ns,
		.until_wall_ns = rotation->until_wall_ns,
		.changed_wall_ns = base_time_wall_ns(),
	};
}

/* ---- the end of it ------------------------------------------------------------------------------ */

/* The peer's row and that of its rotation, as one. next with its preshared key. */
static int store_confirmed(const struct peer_table *table, const struct peer *peer,
                           const struct store_rotation *next, const struct store_rotation *done)
{
	struct store *store = table->setup.store;
	int err = store_begin(store);
	int end;

	if (err < 0)
		return err;
	err = store_peer_key_put(store, peer->row.id,
	                         next->has_public_key ? next->public_key : peer->row.public_key,
	                         next->has_preshared_key ? next->preshared_key : NULL,
	                         next->last_timestamp, done->changed_wall_ns);
	if (err == 0)
		err = store_rotation_put(store, done);
	end = store_end(store, err == 0);
	return err < 0 ? err : end;
}

/* The peer as store_confirmed() has stored it. */
static void become(struct peer *peer, const struct store_rotation *next,
                   const struct store_rotation *done)
{
	if (next->has_public_key)
		memcpy(peer->row.public_key, next->public_key, sizeof(peer->row.public_key));
	memcpy(peer->row.state.last_timestamp, next->last_timestamp, sizeof(next->last_timestamp));
	peer->row.has_preshared_key = peer->row.has_preshared_key || next->has_preshared_key;
	peer->row.key_set_wall_ns = done->changed_wall_ns;
	keep(peer, done);
}

/* What was last heard with the key that is going to be the only one. */
static void timestamp_take(const struct peer_table *table, const struct peer *peer,
                           struct store_rotation *next)
{
	struct session_peer_info info;
	struct store_peer_state state;

	if (!next->has_public_key) {
		state = peer_state(table, peer);
		memcpy(next->last_timestamp, state.last_timestamp, sizeof(next->last_timestamp));
	} else if (session_peer_info(table->setup.session, peer->row.id, &info) == 0
	           && info.has_next) {
		memcpy(next->last_timestamp, info.next_timestamp, sizeof(next->last_timestamp));
	}
}

static int confirm(struct peer_table *table, struct peer *peer)
{
	struct store_rotation done, next;
	int err = store_rotation_find(table->setup.store, peer->row.id, &next);

	if (err == 0) {
		done = ended(&next, STORE_ROTATION_CONFIRMED);
		timestamp_take(table, peer, &next);
		err = store_confirmed(table, peer, &next, &done);
	}
	if (err == 0) {
		become(peer, &next, &done);
		session_next_confirm(table->setup.session, peer->row.id);
		tell(table, peer);
	}
	base_wipe(&next, sizeof(next));
	return err;
}

static int give_up(struct peer_table *table, struct peer *peer, enum store_rotation_state state)
{
	struct store_rotation done = ended(&peer->rotation, state);
	int err = store_rotation_put(table->setup.store, &done);

	if (err < 0)
		return err;
	keep(peer, &done);
	session_next_drop(table->setup.session, peer->row.id);
	tell(table, peer);
	return 0;
}

/* What is left of a window whose control was away; a step of the clock does not make it longer than it
 * was. */
static uint64_t time_left(const struct store_rotation *rotation, uint64_t now_wall_ns)
{
	uint64_t whole_ns = rotation->until_wall_ns - rotation->since_wall_ns;
	uint64_t left_ns = rotation->until_wall_ns - now_wall_ns;

	if (now_wall_ns >= rotation->until_wall_ns)
		return 0;
	return left_ns < whole_ns ? left_ns : whole_ns;
}

/* The same when its time has come, by a clock that may have been set since control began; all in all it is no longer
 * than it was. */
static uint64_t time_left_again(const struct peer *peer, uint64_t now_ns)
{
	const struct store_rotation *rotation = &peer->rotation;
	uint64_t whole_ns = rotation->until_wall_ns - rotation->since_wall_ns;
	uint64_t left_ns = time_left(rotation, base_time_wall_ns());
	uint64_t ran_ns = now_ns - peer->rotation_loaded_ns;

	if (peer->rotation_loaded_ns == 0 || ran_ns >= whole_ns)
		return 0;
	return left_ns < whole_ns - ran_ns ? left_ns : whole_ns - ran_ns;
}

/* The window of this peer is over. */
static void settle(struct peer_table *table, struct peer *peer, uint64_t now_ns)
{
	uint64_t left_ns = time_left_again(peer, now_ns);
	int err;

	if (left_ns > 0) {
		peer->rotation_end_ns = now_ns + left_ns;
		return;
	}
	err = peer->rotation.state == STORE_ROTATION_OVERLAP
	              ? confirm(table, peer)
	              : give_up(table, peer, STORE_ROTATION_EXPIRED);
	if (err == 0)
		return;
	log_err("peer", "rotation not ended, tried again name=%s: %s", peer->row.name,
	        store_error(table->setup.store));
	peer->rotation_end_ns = now_ns + RETRY_NS;
}

void peer__rotations_turn(struct peer_table *table, uint64_t now_ns)
{
	for (uint32_t i = 0; i < table->n; i++) {
		struct peer *peer = table->by_name[i];

		if (peer_is_rotating(peer) && peer->rotation_end_ns <= now_ns)
			settle(table, peer, now_ns);
	}
	arm(table, now_ns);
}

/* ---- what sessions say -------------------------------------------------------------------------- */

void peer__rotation_heard(struct peer_table *table, struct peer *peer)
{
	struct store_rotation next;
	struct session_peer_info info;
	int err;

	if (peer->rotation.state != STORE_ROTATION_PROPOSED
	    || session_peer_info(table->setup.session, peer->row.id, &info) < 0
	    || info.next_handshake_wall_ns == 0)
		return;
	err = store_rotation_find(table->setup.store, peer->row.id, &next);
	if (err == 0) {
		next.state = STORE_ROTATION_OVERLAP;
		next.changed_wall_ns = base_time_wall_ns();
		memcpy(next.last_timestamp, info.next_timestamp, sizeof(next.last_timestamp));
		err = store_rotation_put(table->setup.store, &next);
	}
	if (err == 0) {
		keep(peer, &next);
		tell(table, peer);
	} else {
		/* The next word of the session is another occasion. */
		log_err("peer", "rotation not carried on name=%s: %s", peer->row.name,
		        store_error(table->setup.store));
	}
	base_wipe(&next, sizeof(next));
}

/* ---- start -------------------------------------------------------------------------------------- */

static int load_one(void *arg, const struct store_rotation *rotation)
{
	struct peer_table *table = arg;

	if (rotation->peer < table->setup.config->max_peers && table->by_id[rotation->peer])
		keep(table->by_id[rotation->peer], rotation);
	return 0;
}

int peer__rotations_load(struct peer_table *table)
{
	return store_rotation_each(table->setup.store, load_one, table);
}

/* How long a window that control finds goes on. What is over stays open for a while if its key has not come. */
static uint64_t time_given(const struct store_rotation *rotation, uint64_t now_wall_ns)
{
	uint64_t whole_ns = rotation->until_wall_ns - rotation->since_wall_ns;
	uint64_t left_ns = time_left(rotation, now_wall_ns);

	if (rotation->state != STORE_ROTATION_PROPOSED)
		return left_ns;
	if (left_ns == 0)
		left_ns = whole_ns < LOOK_NS ? whole_ns : LOOK_NS;
	return left_ns < SETTLE_NS ? SETTLE_NS : left_ns;
}

void peer__rotations_begin(struct peer_table *table, uint64_t now_ns, uint64_t now_wall_ns)
{
	for (uint32_t i = 0; i < table->n; i++) {
		struct peer *peer = table->by_name[i];

		if (!peer_is_rotating(peer))
			continue;
		/* Its key is the file's to say. */
		if (peer->row.declared && give_up(table, peer, STORE_ROTATION_CANCELLED) == 0)
			continue;
		peer->rotation_loaded_ns = now_ns;
		peer->rotation_end_ns = now_ns + time_given(&peer->rotation, now_wall_ns);
	}
	peer__rotations_turn(table, now_ns);
}

/* ---- by hand ------------------------------------------------------------------------------------ */

static int check_key(const struct peer_table *table, const struct peer *peer,
                     const uint8_t *public_key, struct peer_error *error)
{
	const struct peer *holder;

	if (!public_key)
		return 0;
	if (wg_key_check_public(public_key) < 0)
		return peer__refuse(error, -EINVAL, "invalid", "next_key",
		                    "next_key: cannot be used (all zero or of low order)");
	if (memcmp(public_key, session_public_key(table->setup.session), 32) == 0)
		return peer__refuse(error, -EINVAL, "invalid", "next_key",
		                    "next_key: is the hub's own key");
	if (memcmp(public_key, peer->row.public_key, 32) == 0)
		return peer__refuse(error, -EINVAL, "invalid", "next_key",
		                    "next_key: is the key that peer \"%s\" has", peer->row.name);
	holder = peer__find_key(table, public_key);
	if (holder && holder != peer)
		return peer__refuse(error, -EEXIST, "exists", "next_key",
		                    "next_key: belongs to peer \"%s\"", holder->row.name);
	return 0;
}

/* A key is not accepted without a preshared key either. */
static int check_preshared_key(const struct peer_table *table, const struct peer *peer,
                               const struct peer_rotation *request, struct peer_error *error)
{
	if (peer->row.has_preshared_key || request->preshared_key
	    || !peer__needs_preshared_key(table))
		return 0;
	return peer__refuse(
		error, -EINVAL, "invalid", "next_key",
		"next_key: peer \"%s\" has no preshared key, and every peer of this hub "
		"has one: give it one too, with --new-preshared-key",
		peer->row.name);
}

static struct store_rotation proposal(const struct peer *peer, const struct peer_rotation *request)
{
	struct store_rotation next = {
		.peer = peer->row.id,
		.state = STORE_ROTATION_PROPOSED,
		.serial = peer->rotation.serial,
		.next_serial = peer->rotation.next_serial + 1,
		.has_public_key = request->public_key != NULL,
		.has_preshared_key = request->preshared_key != NULL,
		.since_wall_ns = base_time_wall_ns(),
	};

	if (request->public_key)
		memcpy(next.public_key, request->public_key, sizeof(next.public_key));
	if (request->preshared_key)
		memcpy(next.preshared_key, request->preshared_key, sizeof(next.preshared_key));
	next.until_wall_ns = next.since_wall_ns + request->overlap_s * BASE_NS_PER_S;
	next.changed_wall_ns = next.since_wall_ns;
	return next;
}

static int propose(struct peer_table *table, struct peer *peer, const struct store_rotation *next,
                   struct peer_error *error)
{
	struct store_rotation before = peer->rotation;
	uint64_t now_ns = base_time_monotonic_ns();
	int err;

	if (peer->row.disabled)
		return peer__refuse(error, -EPERM, "disabled", "name",
		                    "name: peer \"%s\" is disabled, so its new key cannot come; "
		                    "enable it first, or give it the key at once with --emergency",
		                    peer->row.name);
	if (peer_is_rotating(peer))
		return peer__refuse(error, -EBUSY, "in_use", "name",
		                    "name: peer \"%s\" is between two keys already; confirm or "
		                    "cancel that first",
		                    peer->row.name);
	err = store_rotation_put(table->setup.store, next);
	if (err < 0)
		return peer__refuse_store(table, err, error);
	err = put_next(table, peer, next);
	if (err < 0) {
		if (before.state == STORE_ROTATION_NONE)
			before = ended(next, STORE_ROTATION_CANCELLED);
		if (store_rotation_put(table->setup.store, &before) < 0)
			log_err("peer",
			        "a rotation stays in the store that could not begin name=%s",
			        peer->row.name);
		return peer__refuse(error, err, "failed", NULL, "peer \"%s\": %s", peer->row.name,
		                    strerror(-err));
	}
	keep(peer, next);
	peer->rotation_loaded_ns = 0;
	peer->rotation_end_ns = now_ns + (next->until_wall_ns - next->since_wall_ns);
	arm(table, now_ns);
	tell(table, peer);
	return 0;
}

/* The key that it is about to get anyway, which may have been heard. */
static bool is_next_key(const struct peer *peer, const struct store_rotation *next)
{
	return next->has_public_key && peer->rotation.has_public_key
	       && memcmp(next->public_key, peer->rotation.public_key, sizeof(next->public_key))
	                  == 0;
}

/* Without a window. What the peer has now is stored as gone first; then its sessions end, also when there is
 * no memory for the new ones. */
static int replace_now(struct peer_table *table, struct peer *peer, struct store_rotation *next,
                       struct peer_error *error)
{
	struct store_rotation done;
	int err;

	if (is_next_key(peer, next))
		memcpy(next->last_timestamp, peer->rotation.last_timestamp,
		       sizeof(next->last_timestamp));
	if (!next->has_public_key || is_next_key(peer, next))
		timestamp_take(table, peer, next);
	next->until_wall_ns = next->since_wall_ns;
	done = ended(next, STORE_ROTATION_CONFIRMED);
	err = store_confirmed(table, peer, next, &done);
	if (err < 0)
		return peer__refuse_store(table, err, error);
	session_next_drop(table->setup.session, peer->row.id);
	err = peer->row.disabled ? 0 : put_next(table, peer, next);
	become(peer, next, &done);
	session_next_confirm(table->setup.session, peer->row.id);
	if (err < 0) {
		session_peer_drop(table->setup.session, peer->row.id);
		log_err("peer",
		        "cut off: its new key is stored and in force after a restart "
		        "name=%s err=%s",
		        peer->row.name, strerror(-err));
	}
	arm(table, base_time_monotonic_ns());
	tell(table, peer);
	return 0;
}

int peer_rotate(struct peer_table *table, const struct peer_rotation *request,
                struct peer_error *error)
{
	struct peer *peer;
	struct store_rotation next;
	int err = peer__find_ours(table, request->name, "change its key", &peer, error);

	if (err < 0)
		return err;
	err = check_key(table, peer, request->public_key, error);
	if (err == 0)
		err = check_preshared_key(table, peer, request, error);
	if (err < 0)
		return err;
	next = proposal(peer, request);
	err = request->emergency ? replace_now(table, peer, &next, error)
	                         : propose(table, peer, &next, error);
	base_wipe(&next, sizeof(next));
	return err;
}

int peer_rotate_end(struct peer_table *table, const char *name, bool with_next,
                    struct peer_error *error)
{
	struct peer *peer;
	int err = peer__find_ours(table, name, "change its key", &peer, error);

	if (err < 0)
		return err;
	/* That a rotation expired is a finding until somebody says that he knows. */
	if (!peer_is_rotating(peer)
	    && (with_next || peer->rotation.state != STORE_ROTATION_EXPIRED))
		return peer__refuse(error, -ENOENT, "not_found", "name",
		                    "name: peer \"%s\" is not between two keys", name);
	if (with_next && peer->rotation.state == STORE_ROTATION_PROPOSED)
		return peer__refuse(error, -EBUSY, "in_use", "confirm",
		                    "confirm: the new key of peer \"%s\" has not come yet: "
		                    "--emergency gives it the key without waiting",
		                    name);
	err = with_next ? confirm(table, peer) : give_up(table, peer, STORE_ROTATION_CANCELLED);
	if (err < 0)
		return peer__refuse_store(table, err, error);
	arm(table, base_time_monotonic_ns());
	return 0;
}

/* As peer_rotate.c, for the hub: a step is in the store before session does it. */
#include "hub_key.h"

#include "base_bytes.h"
#include "base_log.h"
#include "base_time.h"
#include "program.h"
#include "session.h"
#include "store_hub_key.h"
#include "wg_key.h"

#include <sodium.h>

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#define SETTLE_NS (2 * BASE_NS_PER_S)    /* as long may the next key take to show after a start */
#define LOOK_NS   (3600 * BASE_NS_PER_S) /* as in peer_rotate.c, and for the old key too */
#define RETRY_S   1                      /* when the store refused */

struct hub_key {
	struct hub_key_setup setup;
	struct hub_key_info info;
	uint8_t file_public_key[32];
	struct event *timer;
	uint64_t loaded_ns; /* monotonic: when control began in the window; 0 = before it */
};

static bool is_live(enum store_rotation_state state)
{
	return state == STORE_ROTATION_PROPOSED || state == STORE_ROTATION_OVERLAP;
}

/* ---- start -------------------------------------------------------------------------------------- */

int hub_key_load(struct store *store, uint8_t private_key[static 32])
{
	struct store_hub_key stored;
	uint8_t file_public_key[32];
	int err = store_hub_key_get(store, &stored);

	if (err == -ENOENT)
		return 0;
	wg_key_public(file_public_key, private_key);
	if (err == 0 && memcmp(stored.file_public_key, file_public_key, 32) != 0) {
		log_warn("hub", "the private key file has another key than when the hub's key was "
		                "rotated: it is the hub's now, the rotated one is dropped");
		err = store_hub_key_drop(store);
	} else if (err == 0 && stored.has_private_key) {
		memcpy(private_key, stored.private_key, 32);
		log_info("hub", "the hub's key is the one that came in place of its file's");
	}
	base_wipe(&stored, sizeof(stored));
	return err;
}

/* The workers let in what is for either key. */
static int tell_workers(const struct hub_key *hub)
{
	const uint8_t *next = session_next_public_key(hub->setup.session);
	const struct config *config = hub->setup.config;
	struct abi_cmd_hub cmd = {
		.listen_port = config->listen_port,
		.tunnel_mtu = config->tunnel_mtu,
		.copy_dscp = config->dscp == CONFIG_DSCP_COPY,
		.dscp = (uint8_t)(config->dscp % CONFIG_DSCP_COPY),
		.clamp_mss = config->clamp_mss,
		.n_keys = next != NULL ? 2 : 1,
	};

	memcpy(cmd.public_keys[0], session_public_key(hub->setup.session), 32);
	if (next != NULL)
		memcpy(cmd.public_keys[1], next, 32);
	return program_hub_set(hub->setup.program, &cmd);
}

static void refresh(const struct hub_key *hub)
{
	int err = tell_workers(hub);

	if (err < 0)
		log_err("hub", "workers do not know the hub's keys err=%s", strerror(-err));
}

static void arm(const struct hub_key *hub, uint64_t delay_ns)
{
	const struct timeval delay = {(time_t)(delay_ns / BASE_NS_PER_S),
	                              (suseconds_t)(delay_ns % BASE_NS_PER_S / 1000)};

	evtimer_add(hub->timer, &delay);
}

/* Clock steps do not make a window longer than it was. */
static uint64_t time_left(const struct hub_key_info *info)
{
	uint64_t whole_ns = info->until_wall_ns - info->since_wall_ns;
	uint64_t now_ns = base_time_wall_ns();
	uint64_t left_ns = now_ns < info->until_wall_ns ? info->until_wall_ns - now_ns : 0;

	return left_ns < whole_ns ? left_ns : whole_ns;
}

/* How long a window that control finds goes on. One that is over stays open for a while: the clock may be wrong, and
 * either key is dropped for good, for all peers. */
static uint64_t time_given(const struct hub_key_info *info)
{
	uint64_t whole_ns = info->until_wall_ns - info->since_wall_ns;
	uint64_t left_ns = time_left(info);

	if (left_ns == 0)
		left_ns = whole_ns < LOOK_NS ? whole_ns : LOOK_NS;
	return info->state == STORE_ROTATION_PROPOSED && left_ns < SETTLE_NS ? SETTLE_NS : left_ns;
}

/* What is left when the time has come, by a clock that may have been set since control began; all in all it is no
 * longer than it was. */
static uint64_t time_left_again(const struct hub_key *hub)
{
	uint64_t whole_ns = hub->info.until_wall_ns - hub->info.since_wall_ns;
	uint64_t ran_ns = base_time_monotonic_ns() - hub->loaded_ns;
	uint64_t left_ns = time_left(&hub->info);

	if (hub->loaded_ns == 0 || ran_ns >= whole_ns)
		return 0;
	return left_ns < whole_ns - ran_ns ? left_ns : whole_ns - ran_ns;
}

static void keep(struct hub_key *hub, const struct store_hub_key *stored)
{
	hub->info = (struct hub_key_info){stored->state, stored->since_wall_ns,
	                                  stored->until_wall_ns, stored->changed_wall_ns};
	if (stored->state == STORE_ROTATION_EXPIRED)
		log_warn("hub", "rotation of the hub's key expired, no peer used the new one: the "
		                "old one stays");
	else
		log_info("hub", "rotation of the hub's key %s", store_rotation_text(stored->state));
}

/* ---- steps -------------------------------------------------------------------------------------- */

static int confirm(struct hub_key *hub)
{
	struct store_hub_key stored;
	int err = store_hub_key_get(hub->setup.store, &stored);

	if (err == 0) {
		memcpy(stored.private_key, stored.next_private_key, 32);
		stored.has_private_key = true;
		stored.has_next = false;
		stored.state = STORE_ROTATION_CONFIRMED;
		stored.changed_wall_ns = base_time_wall_ns();
		err = store_hub_key_put(hub->setup.store, &stored);
	}
	if (err == 0) {
		keep(hub, &stored);
		session_hub_next_confirm(hub->setup.session);
		refresh(hub);
	}
	base_wipe(&stored, sizeof(stored));
	return err;
}

static int give_up(struct hub_key *hub, enum store_rotation_state state)
{
	struct store_hub_key stored;
	int err = store_hub_key_get(hub->setup.store, &stored);

	if (err == 0) {
		stored.has_next = false;
		stored.state = state;
		stored.changed_wall_ns = base_time_wall_ns();
		err = store_hub_key_put(hub->setup.store, &stored);
	}
	if (err == 0) {
		keep(hub, &stored);
		session_hub_next_drop(hub->setup.session);
		refresh(hub);
	}
	base_wipe(&stored, sizeof(stored));
	return err;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct hub_key *hub = arg;
	uint64_t left_ns = time_left_again(hub);
	int err = 0;

	(void)fd;
	(void)what;
	if (is_live(hub->info.state) && left_ns > 0) {
		arm(hub, left_ns);
		return;
	}
	if (hub->info.state == STORE_ROTATION_OVERLAP)
		err = confirm(hub);
	else if (hub->info.state == STORE_ROTATION_PROPOSED)
		err = give_up(hub, STORE_ROTATION_EXPIRED);
	if (err == 0)
		return;
	log_err("hub", "rotation of the hub's key not ended, tried again: %s",
	        store_error(hub->setup.store));
	arm(hub, RETRY_S * BASE_NS_PER_S);
}

static void on_used(void *arg)
{
	struct hub_key *hub = arg;
	struct store_hub_key stored;
	int err;

	if (hub->info.state != STORE_ROTATION_PROPOSED)
		return;
	err = store_hub_key_get(hub->setup.store, &stored);
	if (err == 0) {
		stored.state = STORE_ROTATION_OVERLAP;
		stored.changed_wall_ns = base_time_wall_ns();
		err = store_hub_key_put(hub->setup.store, &stored);
	}
	if (err == 0)
		keep(hub, &stored);
	else
		log_err("hub", "rotation of the hub's key not carried on: %s",
		        store_error(hub->setup.store));
	base_wipe(&stored, sizeof(stored));
}

/* ---- by hand ------------------------------------------------------------------------------------ */

int hub_key_rotate(struct hub_key *hub, uint32_t overlap_s, bool emergency)
{
	struct store *store = hub->setup.store;
	struct store_hub_key stored;
	int err;

	if (is_live(hub->info.state) && !emergency)
		return -EBUSY;
	err = store_hub_key_get(store, &stored);
	if (err < 0 && err != -ENOENT)
		return err;
	stored.state = STORE_ROTATION_PROPOSED;
	memcpy(stored.file_public_key, hub->file_public_key, 32);
	stored.has_next = true;
	randombytes_buf(stored.next_private_key, sizeof(stored.next_private_key));
	wg_key_clamp(stored.next_private_key);
	stored.since_wall_ns = base_time_wall_ns();
	stored.changed_wall_ns = stored.since_wall_ns;
	stored.until_wall_ns = stored.since_wall_ns + (emergency ? 0 : overlap_s * BASE_NS_PER_S);
	err = store_hub_key_put(store, &stored);
	if (err == 0) {
		session_hub_next_drop(hub->setup.session); /* in an emergency there may be one */
		err = session_hub_next_put(hub->setup.session, stored.next_private_key);
	}
	if (err == 0) {
		keep(hub, &stored);
		refresh(hub);
		hub->loaded_ns = 0;
		arm(hub, stored.until_wall_ns - stored.since_wall_ns);
	}
	base_wipe(&stored, sizeof(stored));
	return err == 0 && emergency ? confirm(hub) : err;
}

int hub_key_rotate_end(struct hub_key *hub, bool with_next)
{
	if (with_next && hub->info.state == STORE_ROTATION_PROPOSED)
		return -EBUSY;
	if (!is_live(hub->info.state) && (with_next || hub->info.state != STORE_ROTATION_EXPIRED))
		return -ENOENT;
	return with_next ? confirm(hub) : give_up(hub, STORE_ROTATION_CANCELLED);
}

struct hub_key_info hub_key_info(const struct hub_key *hub)
{
	return hub->info;
}

const uint8_t *hub_key_for_clients(const struct hub_key *hub)
{
	const uint8_t *next = session_next_public_key(hub->setup.session);

	return next != NULL ? next : session_public_key(hub->setup.session);
}

/* ---- life --------------------------------------------------------------------------------------- */

/* What was under way when control ended goes on. */
static int go_on(struct hub_key *hub)
{
	struct store_hub_key stored;
	int err = store_hub_key_get(hub->setup.store, &stored);

	if (err == -ENOENT)
		return 0;
	if (err == 0) {
		keep(hub, &stored);
		if (is_live(stored.state))
			err = session_hub_next_put(hub->setup.session, stored.next_private_key);
	}
	base_wipe(&stored, sizeof(stored));
	if (err < 0 || !is_live(hub->info.state))
		return err;
	hub->loaded_ns = base_time_monotonic_ns();
	arm(hub, time_given(&hub->info));
	return 0;
}

int hub_key_create(const struct hub_key_setup *setup, struct hub_key **out)
{
	struct hub_key *hub = calloc(1, sizeof(*hub));
	int err = -ENOMEM;

	if (hub == NULL)
		return -ENOMEM;
	hub->setup = *setup;
	memcpy(hub->file_public_key, setup->file_public_key, 32);
	hub->timer = evtimer_new(setup->base, on_timer, hub);
	if (hub->timer != NULL)
		err = go_on(hub);
	if (err == 0)
		err = tell_workers(hub);
	if (err < 0) {
		hub_key_destroy(hub);
		return err;
	}
	session_on_hub_used(setup->session, on_used, hub);
	*out = hub;
	return 0;
}

void hub_key_destroy(struct hub_key *hub)
{
	if (hub == NULL)
		return;
	session_on_hub_used(hub->setup.session, NULL, NULL);
	if (hub->timer != NULL)
		event_free(hub->timer);
	free(hub);
}

/* Two hubs joined by hand: each session table has a program of its own, which remembers what it was
 * told, and lab_pump() carries what one injects to the other. Time stands still unless a test moves
 * it. */
#ifndef SESSION_LAB_H
#define SESSION_LAB_H

#include "base_bytes.h"
#include "program.h"
#include "session_table.h"
#include "test.h"
#include "wg_key.h"

#include <event2/event.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define LAB_KEYS_MAX 512
#define LAB_OUT_MAX  1024
#define LAB_PEER     3U /* the id that each hub has for the other */
#define LAB_PEERS    128U
#define LAB_SLOTS    128U
#define LAB_S        BASE_NS_PER_S
#define LAB_MS       BASE_NS_PER_MS

/* ---- the program -------------------------------------------------------------------------------- */

struct lab_keys {
	struct abi_cmd_session_install install;
	bool retired;
	bool keepalive; /* asked for, not yet carried over */
};

struct program {
	struct session_table *table;
	uint64_t counters[ABI_N_COUNTERS];
	uint32_t n_workers;
	uint32_t n_slots;
	struct lab_keys keys[LAB_KEYS_MAX];
	uint32_t n_keys;
	struct abi_cmd_inject out[LAB_OUT_MAX];
	uint32_t out_worker[LAB_OUT_MAX];
	uint32_t out_n_keys[LAB_OUT_MAX]; /* keypairs installed when the message was injected */
	uint32_t n_out;
	struct abi_cmd_endpoint endpoint;
	uint32_t n_endpoints;
	struct abi_cmd_prefer prefer[LAB_KEYS_MAX]; /* the last */
	uint32_t n_prefers;
	uint32_t n_over;            /* handshakes given up, of LAB_PEER */
	uint32_t n_retires_unknown; /* of indexes that were never installed */
	uint32_t retired_unknown[8];
	int result; /* of commands */
	struct abi_session region[8];
	uint32_t n_region;
	uint32_t
		arrives_at; /* 1 + the worker that packets of any keypair arrive at, 0 = none came */
	struct base_endpoint address;
	uint32_t n_changes;
	uint8_t mark[12];
	uint32_t n_marks;
};

void program_count(struct program *program, enum abi_counter counter, uint64_t n)
{
	program->counters[counter] += n;
}

uint32_t program_n_workers(const struct program *program)
{
	return program->n_workers;
}

uint32_t program_n_slots(const struct program *program)
{
	return program->n_slots;
}

static inline struct lab_keys *lab_keys_find(const struct program *program, uint32_t index)
{
	for (uint32_t i = program->n_keys; i-- > 0;)
		if (program->keys[i].install.index == index)
			return (struct lab_keys *)(uintptr_t)&program->keys[i];
	return NULL;
}

/* Those that must be there. */
static inline struct lab_keys *lab_keys(struct program *program, uint32_t index)
{
	struct lab_keys *keys = lab_keys_find(program, index);

	if (keys == NULL) {
		print_message("# no keypair has index %08x\n", index);
		abort();
	}
	return keys;
}

int program_session_install(struct program *program, const struct abi_cmd_session_install *install)
{
	if (program->result != 0)
		return program->result;
	assert_true(program->n_keys < LAB_KEYS_MAX);
	program->keys[program->n_keys++] = (struct lab_keys){.install = *install};
	return 0;
}

int program_session_retire(struct program *program, uint32_t index, uint32_t peer)
{
	struct lab_keys *keys = lab_keys_find(program, index);

	if (program->result != 0)
		return program->result;
	if (keys == NULL) {
		program->retired_unknown[program->n_retires_unknown++ % 8] = index;
		return 0;
	}
	assert_false(keys->retired);
	assert_int_equal(keys->install.peer, peer);
	keys->retired = true;
	return 0;
}

int program_endpoint_set(struct program *program, const struct abi_cmd_endpoint *endpoint)
{
	program->endpoint = *endpoint;
	program->n_endpoints++;
	return program->result;
}

int program_prefer(struct program *program, const struct abi_cmd_prefer *prefer)
{
	program->prefer[program->n_prefers++ % LAB_KEYS_MAX] = *prefer;
	return program->result;
}

int program_keepalive(struct program *program, uint32_t index, uint32_t peer)
{
	struct lab_keys *keys = lab_keys(program, index);

	assert_int_equal(keys->install.peer, peer);
	keys->keepalive = true;
	return program->result;
}

int program_handshake_over(struct program *program, uint32_t peer)
{
	program->n_over += peer == LAB_PEER;
	return program->result;
}

int program_inject(struct program *program, uint32_t worker, const struct abi_cmd_inject *inject)
{
	if (program->result != 0)
		return program->result;
	assert_true(program->n_out < LAB_OUT_MAX);
	program->out_worker[program->n_out] = worker;
	program->out_n_keys[program->n_out] = program->n_keys;
	program->out[program->n_out++] = *inject;
	return 0;
}

int program_session_each(struct program *program, program_session_fn *fn, void *arg)
{
	for (uint32_t i = 0; i < program->n_region; i++) {
		const struct abi_session *session = &program->region[i];
		int r = fn(arg, abi_index_worker(session->index), abi_index_slot(session->index),
		           session);

		if (r != 0)
			return r;
	}
	return 0;
}

bool program_session_arrives_at(const struct program *program, uint32_t index, uint32_t *worker)
{
	if (program->arrives_at == 0 || lab_keys_find(program, index) == NULL)
		return false;
	*worker = program->arrives_at - 1;
	return true;
}

/* Keypairs that workers still hold. */
static inline uint32_t lab_live(const struct program *program)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < program->n_keys; i++)
		n += program->keys[i].retired ? 0 : 1;
	return n;
}

/* ---- time --------------------------------------------------------------------------------------- */

static uint64_t lab_now_ns;
static uint64_t lab_wall_ns;

static inline uint64_t lab_monotonic(void)
{
	return lab_now_ns;
}

static inline uint64_t lab_wall(void)
{
	return lab_wall_ns;
}

/* ---- the hubs ----------------------------------------------------------------------------------- */

struct lab {
	struct event_base *base;
	struct program hub[3]; /* the third when a test has made it */
};

static struct lab lab;

static void lab_on_change(void *arg, uint32_t peer)
{
	struct program *program = arg;

	(void)peer;
	program->n_changes++;
}

static void lab_on_stamp(void *arg, const uint8_t mark[static 12])
{
	struct program *program = arg;

	memcpy(program->mark, mark, 12);
	program->n_marks++;
}

static inline struct base_endpoint lab_endpoint(const char *text)
{
	struct base_endpoint endpoint;

	assert_int_equal(base_endpoint_parse(text, &endpoint), 0);
	return endpoint;
}

static inline void lab_private_key(uint8_t key[static 32], uint8_t seed)
{
	memset(key, seed, 32);
	wg_key_clamp(key);
}

static inline void lab_hub_make(struct program *hub, uint8_t seed, const char *address)
{
	const struct session_clock clock = {lab_monotonic, lab_wall};
	uint8_t key[32];

	*hub = (struct program){.n_workers = 2, .n_slots = LAB_SLOTS};
	hub->address = lab_endpoint(address);
	lab_private_key(key, seed);
	assert_int_equal(session_create(lab.base, hub, key, 2, LAB_PEERS, &hub->table), 0);
	session__clock_set(hub->table, &clock);
	session_on_change(hub->table, lab_on_change, hub);
	session_on_stamp(hub->table, NULL, lab_on_stamp, hub);
}

/* Each hub knows the other as LAB_PEER; only hub 0 knows where the other is. */
static inline void lab_know(const uint8_t *preshared_key)
{
	assert_int_equal(session_peer_put(lab.hub[0].table, LAB_PEER,
	                                  session_public_key(lab.hub[1].table), preshared_key,
	                                  &lab.hub[1].address, NULL),
	                 0);
	assert_int_equal(session_peer_put(lab.hub[1].table, LAB_PEER,
	                                  session_public_key(lab.hub[0].table), preshared_key, NULL,
	                                  NULL),
	                 0);
}

/* Both attached to dataplanes that hold no session; time starts at 1000 s. */
static int lab_setup(void **state)
{
	(void)state;
	lab_now_ns = 1000 * LAB_S;
	lab_wall_ns = UINT64_C(1700000000) * LAB_S;
	lab.base = event_base_new();
	lab_hub_make(&lab.hub[0], 1, "192.0.2.1:51820");
	lab_hub_make(&lab.hub[1], 2, "192.0.2.2:51820");
	session_attached(lab.hub[0].table, false);
	session_attached(lab.hub[1].table, false);
	return 0;
}

static int lab_teardown(void **state)
{
	(void)state;
	session_destroy(lab.hub[0].table);
	session_destroy(lab.hub[1].table);
	session_destroy(lab.hub[2].table);
	lab.hub[2].table = NULL;
	event_base_free(lab.base);
	return 0;
}

static inline void lab_settle(void)
{
	for (size_t i = 0; i < BASE_ARRAY_LEN(lab.hub); i++)
		while (lab.hub[i].table != NULL && lab.hub[i].table->jobs.n_used > 0)
			event_base_loop(lab.base, EVLOOP_ONCE);
}

/* What hub has injected as number i, as an event at whoever it was sent to. */
static inline struct abi_event_handshake lab_event(const struct program *hub, uint32_t i)
{
	struct abi_event_handshake event = {.remote = hub->address, .len = hub->out[i].len};

	memcpy(event.message, hub->out[i].message, hub->out[i].len);
	return event;
}

/* Keepalives of an initiator confirm the responder's session; both must have the same keys. */
static inline void lab_carry_keepalives(struct program *from, struct program *to)
{
	for (uint32_t i = 0; i < from->n_keys; i++) {
		struct lab_keys *mine = &from->keys[i];
		struct lab_keys *theirs;

		if (!mine->keepalive)
			continue;
		mine->keepalive = false;
		theirs = lab_keys(to, mine->install.remote_index);
		assert_int_equal(theirs->install.remote_index, mine->install.index);
		assert_memory_equal(theirs->install.receive_key, mine->install.send_key, 32);
		assert_memory_equal(theirs->install.send_key, mine->install.receive_key, 32);
		if (!theirs->retired)
			session_confirmed(to->table, theirs->install.index, theirs->install.peer);
	}
}

static inline void lab_carry(struct program *from, struct program *to)
{
	uint32_t n = from->n_out;

	for (uint32_t i = 0; i < n; i++) {
		struct abi_event_handshake event = lab_event(from, i);

		session_handshake_in(to->table, 1, &event);
	}
	from->n_out = 0;
	lab_settle();
	lab_carry_keepalives(from, to);
}

/* Carry until nobody has anything to say. */
static inline void lab_pump(void)
{
	lab_settle();
	while (lab.hub[0].n_out + lab.hub[1].n_out > 0) {
		lab_carry(&lab.hub[0], &lab.hub[1]);
		lab_carry(&lab.hub[1], &lab.hub[0]);
	}
	lab_carry_keepalives(&lab.hub[0], &lab.hub[1]);
	lab_carry_keepalives(&lab.hub[1], &lab.hub[0]);
}

/* Let time pass in steps of at most 100 ms, without carrying anything. */
static inline void lab_pass(uint64_t ns)
{
	uint64_t end_ns = lab_now_ns + ns;

	while (lab_now_ns < end_ns) {
		uint64_t step_ns = end_ns - lab_now_ns < 100 * LAB_MS ? end_ns - lab_now_ns
		                                                      : 100 * LAB_MS;

		lab_now_ns += step_ns;
		lab_wall_ns += step_ns;
		for (size_t i = 0; i < BASE_ARRAY_LEN(lab.hub); i++)
			if (lab.hub[i].table != NULL)
				session__tick(lab.hub[i].table, lab_now_ns);
		lab_settle();
	}
}

/* Hub 0 wants a session, and gets it. */
static inline void lab_handshake(void)
{
	session_wanted(lab.hub[0].table, LAB_PEER, 0);
	lab_pump();
}

static inline struct session_peer_info lab_info(const struct program *hub, uint32_t peer)
{
	struct session_peer_info info;

	assert_int_equal(session_peer_info(hub->table, peer, &info), 0);
	return info;
}

/* No slot is taken but by keypairs that workers hold. */
static inline void lab_assert_no_leak(const struct program *hub)
{
	uint32_t n_free = 0;

	for (uint32_t worker = 0; worker < hub->n_workers; worker++)
		n_free += hub->table->slots.n_free[worker];
	assert_int_equal(hub->n_workers * (hub->n_slots - 1) - n_free, lab_live(hub));
}

/* ---- a client that speaks by itself ------------------------------------------------------------- */

struct lab_client {
	struct wg_noise_identity identity;
	struct wg_noise_peer hub;
	struct wg_cookie_maker cookie;
	struct wg_noise_handshake handshake;
	struct base_endpoint address;
};

static inline void lab_client_make(struct lab_client *client, uint8_t seed, const uint8_t *hub_key)
{
	static const uint8_t none[32];
	uint8_t key[32];

	lab_private_key(key, seed);
	*client = (struct lab_client){.address = lab_endpoint("198.51.100.7:4242")};
	wg_noise_identity_init(&client->identity, key);
	assert_int_equal(wg_noise_peer_init(&client->hub, &client->identity, hub_key, none), 0);
	wg_cookie_maker_init(&client->cookie, hub_key);
}

/* An initiation as it would arrive; wall_ns makes its timestamp. */
static inline struct abi_event_handshake lab_client_initiation(struct lab_client *client,
                                                               uint64_t wall_ns)
{
	struct abi_event_handshake event = {.remote = client->address, .len = WG_INITIATION_LEN};
	uint8_t ephemeral[32], timestamp[12];

	lab_private_key(ephemeral, (uint8_t)(wall_ns / LAB_MS | 1));
	wg_noise_timestamp(timestamp, wall_ns);
	assert_int_equal(wg_noise_initiation_create(&client->identity, &client->hub, 0x1234,
	                                            ephemeral, timestamp, &client->handshake,
	                                            event.message),
	                 0);
	wg_cookie_stamp(&client->cookie, event.message, WG_INITIATION_LEN, lab_now_ns);
	return event;
}

#endif

/* The only module of control that touches the region: it listens for the dataplane, keeps control's
 * desired state, pushes commands down, calls back for events, reads counters.
 *
 * Desired state is everything except sessions: hub, addresses, peers, routes, WAN routes,
 * neighbours. It is repeated between SYNC_BEGIN and SYNC_END whenever the two sides meet, so it
 * does not matter who was restarted. Sessions live in the region itself (struct abi_session).
 * Commands that do not fit a ring wait in order in a queue a worker, and go out as it drains.
 *
 * Thread: control's main loop, all functions. */
#ifndef PROGRAM_H
#define PROGRAM_H

#include "abi_layout.h"
#include "abi_rendezvous.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct event_base;
struct program;

/* Upcalls, the only ones; main.c wires them. Events are copies, valid during the call. */
struct program_events {
	void (*handshake)(void *arg, uint32_t worker, const struct abi_event_handshake *event);
	void (*session_confirmed)(void *arg, uint32_t index, uint32_t peer);
	void (*endpoint_moved)(void *arg, const struct abi_event_endpoint *event);
	void (*session_wanted)(void *arg, uint32_t peer, uint32_t index);
	void (*rekey_due)(void *arg, uint32_t peer, uint32_t index);
	void (*neighbour_wanted)(void *arg, uint32_t port, const struct base_ip *ip);
	/* A dataplane runs on the region. resumed: its session table holds earlier sessions, which
	 * the callee reads with program_session_each(). Called before any other event of it. */
	void (*attached)(void *arg, bool resumed);
	void (*detached)(void *arg);
	void *arg;
};

struct program_setup {
	const char *socket_path; /* rendezvous socket */
	struct abi_setup dataplane;
	uint32_t n_peers;
	uid_t uid; /* besides root, the user as whom a dataplane may run; (uid_t)-1 = none */
	struct abi_fds
		fds; /* tun and taps, taken over; region and control_wake are program's own */
};

/* Listen, and make a region unless a running dataplane offers one within 1 s of being asked (its
 * connection attempts come every 100 ms). Returns 0 or -errno with one line logged. */
int program_create(struct event_base *base, const struct program_setup *setup,
                   const struct program_events *events, struct program **out)
	__attribute__((warn_unused_result));
void program_destroy(struct program *program); /* the dataplane keeps running */

bool program_is_attached(const struct program *program);

/* Desired state. Idempotent. Return 0 or -ENOMEM. */
int program_hub_set(struct program *program, const struct abi_cmd_hub *hub);
int program_address_set(struct program *program, const struct abi_cmd_address *address);
int program_peer_put(struct program *program, uint32_t peer, uint16_t keepalive_s);
int program_peer_drop(struct program *program, uint32_t peer); /* its routes too */
int program_route_put(struct program *program, const struct base_prefix *prefix, uint32_t peer);
int program_route_drop(struct program *program, const struct base_prefix *prefix, uint32_t peer);
int program_wan_route_put(struct program *program, const struct abi_cmd_wan_route *route);
int program_wan_route_drop(struct program *program, const struct abi_cmd_wan_route *route);
int program_neighbour_put(struct program *program, const struct abi_cmd_neighbour *neighbour);
int program_neighbour_drop(struct program *program, const struct abi_cmd_neighbour *neighbour);

/* Sessions and messages: passed on, not kept. -ENOTCONN when no dataplane is attached. */
int program_session_install(struct program *program, const struct abi_cmd_session_install *install);
int program_session_retire(struct program *program, uint32_t index, uint32_t peer);
int program_endpoint_set(struct program *program, const struct abi_cmd_endpoint *endpoint);
int program_keepalive(struct program *program, uint32_t index, uint32_t peer);
int program_inject(struct program *program, uint32_t worker, const struct abi_cmd_inject *inject);

/* Call fn for every session in the region (index != 0); stops when it returns non-zero. */
typedef int program_session_fn(void *arg, uint32_t worker, uint32_t slot,
                               const struct abi_session *session);
int program_session_each(struct program *program, program_session_fn *fn, void *arg);

/* Geometry: for allocating session slots. */
uint32_t program_n_workers(const struct program *program);
uint32_t program_n_slots(const struct program *program);

/* Readings. */
uint64_t program_counter(const struct program *program, enum abi_counter counter);
uint64_t program_worker_counter(const struct program *program, uint32_t worker,
                                enum abi_counter counter);
/* Sum over workers; last_..._ns are the newest. */
struct abi_peer_counters program_peer_counters(const struct program *program, uint32_t peer);
struct abi_worker_status program_worker_status(const struct program *program, uint32_t worker);
struct abi_port_status program_port_status(const struct program *program, uint32_t port);
/* Add to one of control's own counters (HS_...). */
void program_count(struct program *program, enum abi_counter counter, uint64_t n);
uint32_t program_dataplane_pid(const struct program *program); /* 0 = not attached */

#endif

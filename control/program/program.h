/* The only module of control that touches the region: it listens for the dataplane, keeps control's
 * desired state, pushes commands down, calls back for events, reads counters.
 *
 * Desired state is everything except sessions: hub, addresses, peers, routes, WAN routes,
 * neighbours; and tables that are handed over whole (blobs). It is repeated between SYNC_BEGIN and SYNC_END whenever the two sides meet, so it
 * does not matter who was restarted. Sessions live in the region itself (struct abi_session).
 * Commands that do not fit a ring wait in order in a queue a worker, and go out as it drains.
 *
 * Start, in main.c, in this order:
 *
 *   1. program_create()   listens. No region yet.
 *   2. program_adopt()    Only when a dataplane may have outlived the last control: the TUN exists
 *                         although we did not make it (TUN and TAPs are not persistent, so
 *                         somebody holds their descriptors: if_nametoindex(tunnel name) != 0).
 *                         It waits for that dataplane, and takes its region, TUN and TAPs.
 *   3. kernel_devices_create(), only when program_adopt() was not called or returned 0. Never
 *      before: a second TUN beside the living one would cut the tunnels off from the kernel.
 *   4. Everything that makes up the desired state: peers and routes from the store, the kernel
 *      mirror's first dump. All program_..._set/put/drop() functions work from step 1 on. It must
 *      be complete before step 5, because what the first synchronisation does not repeat, the
 *      workers drop.
 *   5. program_start()    makes the region unless one was adopted, and serves from now on, from the
 *                         event loop: events.attached and all others come from there, never
 *                         from within a function of this header.
 *
 * A dataplane that comes later with a region of its own is refused and exits (its supervisor starts
 * another, which gets ours). One that is killed leaves region, TUN and TAPs with us, and the next
 * goes on with them.
 *
 * Thread: control's main loop, all functions. */
#ifndef PROGRAM_H
#define PROGRAM_H

#include "abi_layout.h"
#include "abi_rendezvous.h"
#include "program_drift.h"

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
	/* A packet that was dropped; from within program_reports_take(). */
	void (*drop)(void *arg, uint32_t worker, const struct abi_report_drop *drop);
	/* Answers to program_flows_ask(), likewise: a flow; and a worker has told all of them. */
	void (*flow)(void *arg, uint32_t worker, const struct abi_report_flow *flow);
	void (*flows_end)(void *arg, uint32_t worker, const struct abi_report_flows_end *end);
	/* A dataplane runs on the region. resumed: its session table holds earlier sessions, which
	 * the callee reads with program_session_each(). Called before any other event of it. */
	void (*attached)(void *arg, bool resumed);
	void (*detached)(void *arg);
	/* What came of a table that was handed over: err 0 = every worker uses it; else the errno
	 * and the reason (a sentence) for which it was refused, and the one before is in force. Of
	 * several set in a row some may never have been sent. generation 0: there is none now. */
	void (*blob_done)(void *arg, enum abi_blob kind, uint64_t generation, int err,
	                  const char *reason);
	/* A worker holds something else than is wanted, or no longer does: program_drift.h. */
	void (*drift)(void *arg, const struct program_finding *finding,
	              enum program_drift_news news);
	void *arg;
};

struct program_setup {
	const char *socket_path; /* rendezvous socket; copied */
	struct abi_setup dataplane;
	uint32_t n_peers;
	uid_t uid;    /* besides root, the user as whom a dataplane may run; (uid_t)-1 = none */
	gid_t gid;    /* group that owns the socket with uid; (gid_t)-1 = ours */
	bool has_tun; /* the dataplane needs a TUN: an offered region without one is refused */
};

/* Listen. The socket belongs to uid and gid, mode 0600.
 * events is copied; each callback may be NULL.
 * Returns 0, -EADDRINUSE (another control listens there), -EINVAL (set-up out of range) or -errno,
 * with one line logged. */
int program_create(struct event_base *base, const struct program_setup *setup,
                   const struct program_events *events, struct program **out)
	__attribute__((warn_unused_result));

/* Wait up to timeout_ms for a living dataplane (it tries to connect every 100 ms) and take over its
 * region and descriptors, if they fit the set-up. One that does not fit is told to exit, and its
 * end is waited for. Returns 1 adopted, 0 nobody there, -errno. */
int program_adopt(struct program *program, int timeout_ms) __attribute__((warn_unused_result));

/* Make a region unless one was adopted, and let dataplanes in. devices: TUN and TAPs, taken over on
 * success and then all -1; NULL after adoption. Returns 0 or -errno with one line logged. */
int program_start(struct program *program, struct abi_fds *devices)
	__attribute__((warn_unused_result));

/* Close everything; the dataplane keeps running, and offers its region to the next control. */
void program_destroy(struct program *program);

bool program_is_attached(const struct program *program);

/* Desired state, from program_create() on. Idempotent: what changes nothing sends nothing. peer <
 * n_peers; prefixes are masked here. Return 0, -EINVAL (out of range) or -ENOMEM. */
int program_hub_set(struct program *program, const struct abi_cmd_hub *hub);
bool program_address_is_own(const struct program *program, const struct base_ip *ip);
int program_address_set(struct program *program, const struct abi_cmd_address *address);
int program_peer_put(struct program *program, uint32_t peer, uint16_t keepalive_s);
int program_peer_drop(struct program *program, uint32_t peer); /* its routes too */
/* Limits of a peer, one command for each worker, since each stops a quota at a count of its own:
 * limits[program_n_workers()], copied; NULL = none. They go with the peer. -ENOENT when it was not put before. */
int program_limit_put(struct program *program, uint32_t peer,
                      const struct abi_cmd_peer_limit *limits);
/* One holder a prefix: put takes it from another peer; drop of another's changes nothing.
 * -ENOENT when the peer was not put before. */
int program_route_put(struct program *program, const struct base_prefix *prefix, uint32_t peer);
int program_route_drop(struct program *program, const struct base_prefix *prefix, uint32_t peer);
/* One route a prefix and port: put replaces, drop looks at these two only. */
int program_wan_route_put(struct program *program, const struct abi_cmd_wan_route *route);
int program_wan_route_drop(struct program *program, const struct abi_cmd_wan_route *route);
/* One MAC for an address on a port; drop looks at these two only. */
int program_neighbour_put(struct program *program, const struct abi_cmd_neighbour *neighbour);
int program_neighbour_drop(struct program *program, const struct abi_cmd_neighbour *neighbour);

/* Tables that are handed over whole (abi_blob.h). set: this memfd, or -1 for none, is what the dataplane
 * shall have of the kind; fd is taken in any case. write: the same with a memfd made of data[len] and
 * sealed. generation: not 0, not that of another content. The result comes by events.blob_done.
 * Return 0, -EINVAL, -errno (no memory for the memfd). */
int program_blob_set(struct program *program, enum abi_blob kind, int fd, uint64_t generation);
int program_blob_write(struct program *program, enum abi_blob kind, const void *data, size_t len,
                       uint64_t generation) __attribute__((warn_unused_result));

/* Sessions and messages: passed on in order with the desired state, not kept. -ENOTCONN when no
 * dataplane is attached, -EAGAIN when its worker takes no commands and the queue is full, -EINVAL
 * when index or worker name no worker, -ENOMEM. What still waits when the dataplane goes is lost;
 * events.attached of the next is the time to look at program_session_each(). */
int program_session_install(struct program *program, const struct abi_cmd_session_install *install);
int program_session_retire(struct program *program, uint32_t index, uint32_t peer);
int program_endpoint_set(struct program *program, const struct abi_cmd_endpoint *endpoint);
int program_prefer(struct program *program, const struct abi_cmd_prefer *prefer);
int program_keepalive(struct program *program, uint32_t index, uint32_t peer);
/* To every worker: what waits for a session with the peer waits in vain. */
int program_handshake_over(struct program *program, uint32_t peer);
int program_inject(struct program *program, uint32_t worker, const struct abi_cmd_inject *inject);

/* Call fn for every session in the region (index != 0), each a copy that is wiped afterwards;
 * stops when it returns non-zero, and returns that. Skips memory that no worker ever wrote. */
typedef int program_session_fn(void *arg, uint32_t worker, uint32_t slot,
                               const struct abi_session *session);
int program_session_each(struct program *program, program_session_fn *fn, void *arg);

/* The worker at which the packets of this session arrive, which need not be its owner. False when
 * there is no such session, or nothing came on it yet. */
bool program_session_arrives_at(const struct program *program, uint32_t index, uint32_t *worker);

/* Reports wait in the workers' rings until they are taken, at most budget of each worker: events.drop is
 * called for each. What finds no room there is lost. Returns how many there were. */
uint32_t program_reports_take(struct program *program, uint32_t budget);

/* Ask every worker for its flows: events.flow for at most limit of each and then events.flows_end, as long
 * as reports are taken. token: not 0, names the answers; peer: or ABI_PEER_HUB, ABI_PEER_NONE = all.
 * Returns 0, -ENOTCONN, -EAGAIN, -ENOMEM. */
int program_flows_ask(struct program *program, uint64_t token, uint32_t peer, uint32_t limit)
	__attribute__((warn_unused_result));

/* Call fn for each grant that a worker's flows have used, with the time of its last packet, second since
 * 1970, up to a minute late; the same grant may come from several workers, in any order. Numbers are as the
 * workers have them: whoever asks looks whether there is such a grant. */
typedef void program_used_fn(void *arg, uint32_t grant, uint64_t wall_s);
void program_used_each(const struct program *program, program_used_fn *fn, void *arg);

/* Packets of one peer (or ABI_PEER_NONE, ABI_PEER_HUB) that one worker dropped for one reason; place is
 * what their samples name, below program_n_drop_pairs(). */
struct program_drops {
	uint32_t worker;
	uint32_t place;
	uint32_t peer;
	uint32_t reason; /* enum abi_counter */
	uint64_t count;  /* since the region was made, or since the peer was */
};
uint32_t program_n_drop_pairs(const struct program *program);
uint64_t program_drop_count(const struct program *program, uint32_t worker, uint32_t place);
/* Call fn for each that is not 0; stops when it returns non-zero, and returns that. */
typedef int program_drops_fn(void *arg, const struct program_drops *drops);
int program_drops_each(const struct program *program, program_drops_fn *fn, void *arg);

/* Geometry: for allocating session slots. Known from program_create() on. */
uint32_t program_n_workers(const struct program *program);
uint32_t program_n_slots(const struct program *program);

/* Readings; all zero before program_start(). */
uint64_t program_counter(const struct program *program, enum abi_counter counter);
uint64_t program_worker_counter(const struct program *program, uint32_t worker,
                                enum abi_counter counter);
/* Sum over workers; last_..._ns are the newest. */
struct abi_peer_counters program_peer_counters(const struct program *program, uint32_t peer);
/* What one worker let pass of a peer with limits, and dropped: the counts, not the buckets. */
struct abi_limit program_limit(const struct program *program, uint32_t worker, uint32_t peer);
/* Names the region in which all counters are; another one begins at zero. 0 = none yet. */
uint64_t program_epoch(const struct program *program);
struct abi_worker_status program_worker_status(const struct program *program, uint32_t worker);
struct abi_port_status program_port_status(const struct program *program, uint32_t port);
/* Add to one of control's own counters (HS_...). */
void program_count(struct program *program, enum abi_counter counter, uint64_t n);
uint32_t program_dataplane_pid(const struct program *program); /* 0 = not attached */
/* True once the attached dataplane's ports are up and its workers run. */
bool program_dataplane_ready(const struct program *program);

#endif

/* A session, a program and an edge that only remember, for the tests of what stands above them.
 * Include once in a test file. */
#ifndef FAKES_H
#define FAKES_H

#include "abi_capture.h"
#include "base_host.h"
#include "edge.h"
#include "program.h"
#include "resolve.h"
#include "session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FAKE_PEERS  64
#define FAKE_ROUTES 4096

static struct {
	/* session */
	bool known[FAKE_PEERS];
	uint8_t key[FAKE_PEERS][32];
	uint8_t preshared_key[FAKE_PEERS][32];
	bool has_preshared_key[FAKE_PEERS];
	struct base_endpoint endpoint[FAKE_PEERS];
	uint8_t timestamp[FAKE_PEERS][12];
	struct session_peer_info info[FAKE_PEERS];
	session_changed_fn *changed;
	void *changed_arg;
	session_unanswered_fn *unanswered;
	void *unanswered_arg;
	bool disowned[FAKE_PEERS];
	uint32_t serial[FAKE_PEERS];
	bool has_next[FAKE_PEERS];
	uint8_t next_key[FAKE_PEERS][32];
	uint8_t next_preshared_key[FAKE_PEERS][32];
	bool has_next_preshared_key[FAKE_PEERS];
	uint8_t next_timestamp[FAKE_PEERS][12];
	uint32_t next_serial[FAKE_PEERS];
	int next_err;
	/* the hub's own keys: private ones stand for public ones */
	bool hub_rotated;
	uint8_t hub_key[32];
	bool has_next_hub;
	uint8_t next_hub_key[32];
	session_hub_used_fn *hub_used;
	void *hub_used_arg;
	struct abi_cmd_hub hub_cmd;
	int put_err;
	/* program */
	struct base_ip own; /* the one address of the hub's */
	bool peer[FAKE_PEERS];
	uint16_t keepalive_s[FAKE_PEERS];
	struct base_prefix route[FAKE_ROUTES];
	uint32_t route_peer[FAKE_ROUTES];
	uint32_t n_routes;
	int route_err;
	bool ready;
	uint64_t drop_count[2][1024];
	struct program_drops drops[8];
	uint32_t n_drops;
	/* packets that a worker puts into a capture as soon as it begins */
	const struct abi_capture_packet *captured;
	uint32_t n_captured;
	bool captures;
	/* what is called when reports are taken, and what flows were asked for last */
	void (*reports_take)(void *arg);
	void *reports_arg;
	struct abi_cmd_flows flows_asked;
	struct {
		uint32_t grant;
		uint64_t wall_s;
	} used[8];
	uint32_t n_used;
	uint64_t counted[ABI_N_COUNTERS];
	uint64_t epoch;
	struct abi_limit limit[2][FAKE_PEERS];              /* what the two workers counted */
	struct abi_cmd_peer_limit limit_cmd[2][FAKE_PEERS]; /* and were told */
	bool limited[FAKE_PEERS];
	bool stays[FAKE_PEERS];
	/* resolve: the last questions */
	char host[FAKE_PEERS][BASE_HOST_LEN];
	uint64_t tag[FAKE_PEERS];
	uint32_t n_asked;
	resolve_fn *answered;
	void *answered_arg;
	/* edge */
	struct edge_service service[FAKE_PEERS];
	char pem[FAKE_PEERS][4096];
	size_t n_services;
	uint32_t n_edge_sets;
	int edge_err;
} fake;

static const uint8_t fake_hub_key[32] = {9, 9, 9};

const uint8_t *session_public_key(const struct session_table *table)
{
	(void)table;
	return fake.hub_rotated ? fake.hub_key : fake_hub_key;
}

static inline bool fake_has_keys(uint32_t peer, const uint8_t *public_key,
                                 const uint8_t *preshared_key)
{
	return fake.known[peer] && memcmp(fake.key[peer], public_key, 32) == 0
	       && fake.has_preshared_key[peer] == (preshared_key != NULL)
	       && (!preshared_key || memcmp(fake.preshared_key[peer], preshared_key, 32) == 0);
}

int session_peer_put(struct session_table *table, uint32_t peer,
                     const uint8_t public_key[static 32], const uint8_t *preshared_key,
                     const struct base_endpoint *endpoint, const uint8_t *last_timestamp)
{
	(void)table;
	if (fake.put_err < 0)
		return fake.put_err;
	if (!fake_has_keys(peer, public_key,
	                   preshared_key)) { /* another peer, as for the true one */
		fake.has_next[peer] = false;
		fake.serial[peer] = 0;
	}
	fake.known[peer] = true;
	memcpy(fake.key[peer], public_key, 32);
	fake.has_preshared_key[peer] = preshared_key != NULL;
	if (preshared_key)
		memcpy(fake.preshared_key[peer], preshared_key, 32);
	memset(&fake.endpoint[peer], 0, sizeof(fake.endpoint[peer]));
	memset(&fake.info[peer], 0, sizeof(fake.info[peer]));
	if (endpoint)
		fake.endpoint[peer] = fake.info[peer].endpoint = *endpoint;
	if (last_timestamp)
		memcpy(fake.timestamp[peer], last_timestamp, 12);
	return 0;
}

void session_peer_redirect(struct session_table *table, uint32_t peer,
                           const struct base_endpoint *endpoint)
{
	(void)table;
	fake.endpoint[peer] = *endpoint;
	fake.info[peer].endpoint = *endpoint;
}

/* As the true one does: the first one is where it is. */
void session_peer_call(struct session_table *table, uint32_t peer,
                       const struct base_endpoint *endpoint)
{
	(void)table;
	if (!fake.known[peer])
		return;
	memset(&fake.info[peer].call, 0, sizeof(fake.info[peer].call));
	if (!endpoint || base_endpoint_equal(endpoint, &fake.info[peer].endpoint))
		return;
	if (fake.info[peer].endpoint.port != 0)
		fake.info[peer].call = *endpoint;
	else
		fake.info[peer].endpoint = *endpoint;
}

void session_on_unanswered(struct session_table *table, session_unanswered_fn *fn, void *arg)
{
	(void)table;
	fake.unanswered = fn;
	fake.unanswered_arg = arg;
}

void resolve_on_answer(struct resolve *resolve, resolve_fn *fn, void *arg)
{
	(void)resolve;
	fake.answered = fn;
	fake.answered_arg = arg;
}

int resolve_ask(struct resolve *resolve, const char *host, uint64_t tag)
{
	uint32_t n = fake.n_asked++ % FAKE_PEERS;

	(void)resolve;
	snprintf(fake.host[n], sizeof(fake.host[n]), "%s", host);
	fake.tag[n] = tag;
	return 0;
}

void session_peer_drop(struct session_table *table, uint32_t peer)
{
	(void)table;
	fake.known[peer] = false;
	fake.has_next[peer] = false;
}

void session_peer_serial(struct session_table *table, uint32_t peer, uint32_t serial)
{
	(void)table;
	fake.serial[peer] = serial;
}

int session_next_put(struct session_table *table, uint32_t peer, const struct session_next *next)
{
	(void)table;
	if (fake.next_err < 0)
		return fake.next_err;
	fake.has_next[peer] = true;
	fake.info[peer].has_next = true;
	fake.info[peer].next_handshake_wall_ns = 0;
	fake.next_serial[peer] = next->serial;
	memcpy(fake.next_key[peer], next->public_key, 32);
	fake.has_next_preshared_key[peer] = next->preshared_key != NULL;
	if (next->preshared_key)
		memcpy(fake.next_preshared_key[peer], next->preshared_key, 32);
	if (next->last_timestamp)
		memcpy(fake.next_timestamp[peer], next->last_timestamp, 12);
	return 0;
}

void session_next_drop(struct session_table *table, uint32_t peer)
{
	(void)table;
	fake.has_next[peer] = false;
	fake.info[peer].has_next = false;
}

void session_next_confirm(struct session_table *table, uint32_t peer)
{
	if (!fake.has_next[peer])
		return;
	memcpy(fake.key[peer], fake.next_key[peer], 32);
	memcpy(fake.preshared_key[peer], fake.next_preshared_key[peer], 32);
	fake.has_preshared_key[peer] = fake.has_next_preshared_key[peer];
	fake.serial[peer] = fake.next_serial[peer];
	session_next_drop(table, peer);
}

const uint8_t *session_next_public_key(const struct session_table *table)
{
	(void)table;
	return fake.has_next_hub ? fake.next_hub_key : NULL;
}

int session_hub_next_put(struct session_table *table, const uint8_t private_key[static 32])
{
	(void)table;
	fake.has_next_hub = true;
	memcpy(fake.next_hub_key, private_key, 32);
	return 0;
}

void session_hub_next_confirm(struct session_table *table)
{
	(void)table;
	memcpy(fake.hub_key, fake.next_hub_key, 32);
	fake.hub_rotated = true;
	fake.has_next_hub = false;
}

void session_hub_next_drop(struct session_table *table)
{
	(void)table;
	fake.has_next_hub = false;
}

void session_on_hub_used(struct session_table *table, session_hub_used_fn *fn, void *arg)
{
	(void)table;
	fake.hub_used = fn;
	fake.hub_used_arg = arg;
}

int program_hub_set(struct program *program, const struct abi_cmd_hub *hub)
{
	(void)program;
	fake.hub_cmd = *hub;
	return 0;
}

void session_peer_disown(struct session_table *table, uint32_t peer)
{
	(void)table;
	fake.disowned[peer] = true;
}

int session_peer_info(const struct session_table *table, uint32_t peer,
                      struct session_peer_info *out)
{
	(void)table;
	if (!fake.known[peer])
		return -ENOENT;
	*out = fake.info[peer];
	return 0;
}

void session_on_change(struct session_table *table, session_changed_fn *fn, void *arg)
{
	(void)table;
	fake.changed = fn;
	fake.changed_arg = arg;
}

bool program_address_is_own(const struct program *program, const struct base_ip *ip)
{
	(void)program;
	return base_ip_equal(&fake.own, ip);
}

int program_peer_put(struct program *program, uint32_t peer, uint16_t keepalive_s)
{
	(void)program;
	fake.peer[peer] = true;
	fake.keepalive_s[peer] = keepalive_s;
	return 0;
}

int program_peer_drop(struct program *program, uint32_t peer)
{
	uint32_t kept = 0;

	(void)program;
	fake.peer[peer] = false;
	fake.limited[peer] = false; /* its limits go with it, as in the true one */
	for (uint32_t i = 0; i < fake.n_routes; i++) {
		if (fake.route_peer[i] == peer)
			continue;
		fake.route[kept] = fake.route[i];
		fake.route_peer[kept++] = fake.route_peer[i];
	}
	fake.n_routes = kept;
	return 0;
}

int program_route_put(struct program *program, const struct base_prefix *prefix, uint32_t peer)
{
	(void)program;
	if (fake.route_err < 0)
		return fake.route_err;
	for (uint32_t i = 0; i < fake.n_routes; i++) {
		if (base_prefix_equal(&fake.route[i], prefix)) {
			fake.route_peer[i] = peer;
			return 0;
		}
	}
	if (fake.n_routes == FAKE_ROUTES)
		abort(); /* more than it was made for: better than to write behind them */
	fake.route[fake.n_routes] = *prefix;
	fake.route_peer[fake.n_routes++] = peer;
	return 0;
}

int program_route_drop(struct program *program, const struct base_prefix *prefix, uint32_t peer)
{
	(void)program;
	for (uint32_t i = 0; i < fake.n_routes; i++) {
		if (fake.route_peer[i] != peer || !base_prefix_equal(&fake.route[i], prefix))
			continue;
		fake.n_routes--;
		fake.route[i] = fake.route[fake.n_routes];
		fake.route_peer[i] = fake.route_peer[fake.n_routes];
		return 0;
	}
	return 0;
}

/* Two peers' drops; no samples come by themselves. */
uint32_t program_reports_take(struct program *program, uint32_t budget)
{
	(void)program;
	(void)budget;
	if (fake.reports_take)
		fake.reports_take(fake.reports_arg);
	return 0;
}

int program_flows_ask(struct program *program, uint64_t token, uint32_t peer, uint32_t limit)
{
	(void)program;
	fake.flows_asked = (struct abi_cmd_flows){token, peer, limit};
	return 0;
}

uint32_t program_n_workers(const struct program *program)
{
	(void)program;
	return 2;
}

uint32_t program_n_drop_pairs(const struct program *program)
{
	(void)program;
	return 1024;
}

uint64_t program_drop_count(const struct program *program, uint32_t worker, uint32_t place)
{
	(void)program;
	return fake.drop_count[worker][place];
}

int program_drops_each(const struct program *program, program_drops_fn *fn, void *arg)
{
	int r = 0;

	(void)program;
	for (uint32_t i = 0; i < fake.n_drops && r == 0; i++)
		r = fn(arg, &fake.drops[i]);
	return r;
}

void program_used_each(const struct program *program, program_used_fn *fn, void *arg)
{
	(void)program;
	for (uint32_t i = 0; i < fake.n_used; i++)
		fn(arg, fake.used[i].grant, fake.used[i].wall_s);
}

/* A worker that sees a capture, once: number 1, of two. Bytes of a packet are its own numbers. */
int program_blob_set(struct program *program, enum abi_blob kind, int fd, uint64_t generation)
{
	struct abi_capture capture;
	struct abi_capture_end end;
	struct stat st;
	uint8_t bytes[256];
	void *data;

	(void)program;
	fake.captures = kind == ABI_BLOB_CAPTURE && fd >= 0;
	if (fd < 0)
		return 0;
	if (generation == 0 || fstat(fd, &st) < 0)
		return -EINVAL;
	for (uint32_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	data = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (data == MAP_FAILED)
		return -errno;
	if (abi_capture_open(data, (size_t)st.st_size, 1, &capture, &end))
		for (uint32_t i = 0; i < fake.n_captured; i++)
			(void)!abi_capture_put(&end, &fake.captured[i], bytes);
	munmap(data, (size_t)st.st_size);
	return 0;
}

/* Readings that tell each other apart. */
int program_drift_check(struct program *program)
{
	(void)program;
	return -ENOTCONN;
}

struct program_drift_status program_drift_status(const struct program *program)
{
	(void)program;
	return (struct program_drift_status){0};
}

const struct program_finding *program_drift_finding(const struct program *program, uint32_t i)
{
	(void)program;
	(void)i;
	return NULL;
}

int program_debug_push(struct program *program, uint32_t worker, uint16_t type, const void *entry)
{
	(void)program;
	(void)worker;
	(void)type;
	(void)entry;
	return -ENOTCONN;
}

bool program_is_attached(const struct program *program)
{
	(void)program;
	return fake.ready;
}

bool program_dataplane_ready(const struct program *program)
{
	(void)program;
	return fake.ready;
}

uint32_t program_dataplane_pid(const struct program *program)
{
	(void)program;
	return fake.ready ? 4711 : 0;
}

uint64_t program_counter(const struct program *program, enum abi_counter counter)
{
	(void)program;
	return counter == ABI_COUNTER_RX_WAN ? 1000 : counter == ABI_COUNTER_DROP_REPLAY ? 3 : 0;
}

void program_count(struct program *program, enum abi_counter counter, uint64_t n)
{
	(void)program;
	fake.counted[counter] += n;
}

uint64_t program_worker_counter(const struct program *program, uint32_t worker,
                                enum abi_counter counter)
{
	(void)program;
	return counter == ABI_COUNTER_RX_WAN ? 500 + worker : 0;
}

int program_limit_put(struct program *program, uint32_t peer,
                      const struct abi_cmd_peer_limit *limits)
{
	(void)program;
	if (!fake.peer[peer])
		return -ENOENT;
	fake.limited[peer] = limits != NULL;
	for (uint32_t i = 0; limits && i < 2; i++)
		fake.limit_cmd[i][peer] = limits[i];
	return 0;
}

struct abi_limit program_limit(const struct program *program, uint32_t worker, uint32_t peer)
{
	(void)program;
	return fake.limit[worker][peer];
}

uint64_t program_epoch(const struct program *program)
{
	(void)program;
	return fake.epoch;
}

void session_peer_stay(struct session_table *table, uint32_t peer, bool stays)
{
	(void)table;
	fake.stays[peer] = stays;
}

struct abi_peer_counters program_peer_counters(const struct program *program, uint32_t peer)
{
	struct abi_peer_counters counters = {
		.rx_packets = 1, .rx_bytes = 148 + peer, .tx_packets = 2, .tx_bytes = 2048};

	(void)program;
	return counters;
}

struct abi_worker_status program_worker_status(const struct program *program, uint32_t worker)
{
	struct abi_worker_status status = {.n_sessions = worker + 1, .busy_ns = 1, .idle_ns = 3};

	(void)program;
	return status;
}

struct abi_port_status program_port_status(const struct program *program, uint32_t port)
{
	struct abi_port_status status = {
		.mac = {2, 0, 0, 0, 0, (uint8_t)port}, .mtu = 1500, .up = 1};

	(void)program;
	return status;
}

int edge_services_set(struct edge *edge, const struct edge_service *services,
                      const char *const *certificate_pems, size_t n)
{
	(void)edge;
	if (fake.edge_err < 0)
		return fake.edge_err;
	fake.n_edge_sets++;
	fake.n_services = n;
	for (size_t i = 0; i < n; i++) {
		fake.service[i] = services[i];
		strncpy(fake.pem[i], certificate_pems[i], sizeof(fake.pem[i]) - 1);
	}
	return 0;
}

struct edge_counters edge_counters(const struct edge *edge)
{
	struct edge_counters counters = {.requests = 7};

	(void)edge;
	return counters;
}

/* The peer that has the route, or UINT32_MAX. */
static inline uint32_t fake_route(const char *text)
{
	struct base_prefix prefix;

	if (base_prefix_parse(text, &prefix) < 0)
		return UINT32_MAX;
	for (uint32_t i = 0; i < fake.n_routes; i++)
		if (base_prefix_equal(&fake.route[i], &prefix))
			return fake.route_peer[i];
	return UINT32_MAX;
}

#endif

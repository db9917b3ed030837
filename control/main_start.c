/* Wiring: who is made before whom, and who calls whom. While root, sockets are bound, the private key is
 * read and devices are made; the rest is made as an ordinary user. */
#include "main_start.h"

#include "abi_rendezvous.h"
#include "base_bytes.h"
#include "base_log.h"
#include "base_priority.h"
#include "base_time.h"
#include "config.h"
#include "edge.h"
#include "hook.h"
#include "hub_key.h"
#include "kernel.h"
#include "main_file.h"
#include "main_handover.h"
#include "model.h"
#include "peer.h"
#include "policy_table.h"
#include "program.h"
#include "resolve.h"
#include "serve.h"
#include "session.h"
#include "store.h"
#include "uapi.h"
#include "watch.h"
#include "watch_drift.h"
#include "watch_flow.h"
#include "wg_key.h"

#include <errno.h>
#include <event2/event.h>
#include <net/if.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define N_DESCRIPTORS_OWN 256  /* not for the edge's connections */
#define ADOPT_TIMEOUT_MS  1500 /* a living dataplane tries to connect every 100 ms */
#define ADOPT_LOOK_MS     20   /* so often: is the TUN still there? */

/* ---- events of the dataplane -------------------------------------------------------------------- */

static void on_handshake(void *arg, uint32_t worker, const struct abi_event_handshake *event)
{
	struct control *control = arg;

	session_handshake_in(control->sessions, worker, event);
}

static void on_session_confirmed(void *arg, uint32_t index, uint32_t peer)
{
	struct control *control = arg;

	session_confirmed(control->sessions, index, peer);
}

static void on_endpoint_moved(void *arg, const struct abi_event_endpoint *event)
{
	struct control *control = arg;

	session_endpoint_moved(control->sessions, event);
}

static void on_session_wanted(void *arg, uint32_t peer, uint32_t index)
{
	struct control *control = arg;

	session_wanted(control->sessions, peer, index);
}

static void on_rekey_due(void *arg, uint32_t peer, uint32_t index)
{
	struct control *control = arg;

	session_rekey_due(control->sessions, peer, index);
}

static void on_neighbour_wanted(void *arg, uint32_t port, const struct base_ip *ip)
{
	struct control *control = arg;

	kernel_neighbour_wanted(control->kernel, port, ip);
}

static void on_drop(void *arg, uint32_t worker, const struct abi_report_drop *drop)
{
	struct control *control = arg;

	watch_drop_in(control->watch, worker, drop);
	if (control->model != NULL)
		model_block_hit(control->model, worker, drop);
}

static void on_flow(void *arg, uint32_t worker, const struct abi_report_flow *flow)
{
	struct control *control = arg;

	watch_flow_in(control->watch, worker, flow);
}

static void on_flows_end(void *arg, uint32_t worker, const struct abi_report_flows_end *end)
{
	struct control *control = arg;

	watch_flows_end_in(control->watch, worker, end);
}

static void on_attached(void *arg, bool resumed)
{
	struct control *control = arg;

	log_info("control", "dataplane attached pid=%u sessions=%s",
	         program_dataplane_pid(control->program), resumed ? "resumed" : "none");
	watch_attached(control->watch);
	session_attached(control->sessions, resumed);
}

static void on_detached(void *arg)
{
	struct control *control = arg;

	log_warn("control", "dataplane gone");
	if (control->model != NULL)
		model_dataplane_gone(control->model);
	session_detached(control->sessions);
}

static void on_blob_done(void *arg, enum abi_blob kind, uint64_t generation, int err,
                         const char *reason)
{
	struct control *control = arg;

	if (kind == ABI_BLOB_POLICY && control->model != NULL)
		model_policy_done(control->model, generation, err, reason);
	if (kind == ABI_BLOB_BLOCK && control->model != NULL)
		model_block_done(control->model, generation, err, reason);
}

static void on_drift(void *arg, const struct program_finding *finding, enum program_drift_news news)
{
	struct control *control = arg;

	watch_drift_in(control->watch, &control->drift_limit, control->peers, finding, news);
}

/* ---- start, as root ----------------------------------------------------------------------------- */

int main_fail(int r, const char *error)
{
	log_err("control", "%s", error);
	return r;
}

static int user_find(struct control *control)
{
	const struct passwd *user = getpwnam(control->config->user); /* one thread yet */

	if (user == NULL) {
		log_err("control", "%s: control.user: user \"%s\" does not exist",
		        control->config->path, control->config->user);
		return -ENOENT;
	}
	control->uid = user->pw_uid;
	control->gid = user->pw_gid;
	return 0;
}

/* Sockets are made while root, so run_dir may stay root's. */
static int run_dir_make(const struct control *control)
{
	char error[MAIN_ERROR_LEN];
	int r = main_directory_make(control->config->run_dir, 0755, error, sizeof(error));

	return r == 0 ? 0 : main_fail(r, error);
}

static void setup_port(struct abi_port_setup *out, const struct config_port *port)
{
	memcpy(out->name, port->name, sizeof(out->name));
	memcpy(out->device, port->device, sizeof(out->device));
	out->driver = port->driver;
	out->mtu = port->mtu;
	out->has_tap = port->tap[0] != '\0' ? 1 : 0;
}

void main_setup_dataplane(struct abi_setup *out, const struct config *config)
{
	out->n_workers = config->n_workers;
	out->n_ports = config->n_ports;
	out->idle_cap_us = config->idle_cap_us;
	out->aead = config->aead;
	out->n_mbufs = config->n_mbufs;
	out->use_hugepages = config->use_hugepages ? 1 : 0;
	out->tunnel_mtu = config->tunnel_mtu;
	out->log_level = config->log_level;
	out->n_flows = config->n_flows;
	memcpy(out->cores, config->cores, sizeof(out->cores));
	for (uint32_t i = 0; i < config->n_ports; i++)
		setup_port(&out->ports[i], &config->ports[i]);
}

static int program_make(struct control *control)
{
	const struct program_events events = {
		.handshake = on_handshake,
		.session_confirmed = on_session_confirmed,
		.endpoint_moved = on_endpoint_moved,
		.session_wanted = on_session_wanted,
		.rekey_due = on_rekey_due,
		.neighbour_wanted = on_neighbour_wanted,
		.drop = on_drop,
		.drift = on_drift,
		.flow = on_flow,
		.flows_end = on_flows_end,
		.attached = on_attached,
		.detached = on_detached,
		.blob_done = on_blob_done,
		.arg = control,
	};
	char path[CONFIG_PATH_LEN];
	struct program_setup setup = {
		.socket_path = path,
		.n_peers = control->config->max_peers,
		/* The dataplane is root by name, with the capabilities for its ports alone: it can
		 * reach what root owns, and nothing else. */
		.uid = (uid_t)-1,
		.gid = (gid_t)-1,
		.has_tun = true,
	};

	snprintf(path, sizeof(path), "%s/dataplane.sock", control->config->run_dir);
	main_setup_dataplane(&setup.dataplane, control->config);
	return program_create(control->base, &setup, &events, &control->program);
}

/* A TUN that is there is held by a dataplane that outlived the last control, or goes just now with one that
 * was killed too: then there is nothing to wait for. Returns as program_adopt(). */
static int adopt(const struct control *control)
{
	int r = 0;

	for (int ms = 0; r == 0 && ms < ADOPT_TIMEOUT_MS; ms += ADOPT_LOOK_MS) {
		if (if_nametoindex(control->config->tunnel_device) == 0)
			return 0;
		r = program_adopt(control->program, ADOPT_LOOK_MS);
	}
	return r;
}

static int devices_make(struct control *control)
{
	char error[MAIN_ERROR_LEN];
	int r = adopt(control);

	if (r < 0)
		return r;
	if (r == 1) {
		log_info("control", "running dataplane taken over");
		return 0;
	}
	r = kernel_devices_create(control->config, &control->devices, error, sizeof(error));
	if (r != 0)
		return main_fail(r, error);
	control->devices_made = true;
	return 0;
}

/* The CPUs that workers leave over, at least one. */
static uint32_t edge_threads(const struct config *config)
{
	long n_cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (n_cpus <= (long)config->n_workers + 1)
		return 1;
	n_cpus -= config->n_workers;
	return n_cpus < EDGE_THREADS_MAX ? (uint32_t)n_cpus : EDGE_THREADS_MAX;
}

/* Connections of one thread, so that a flood of clients leaves descriptors for the dataplane that comes
 * back and for the CLI. 0 = the edge's own limit. */
static uint32_t edge_connections(uint32_t n_threads)
{
	struct rlimit limit;
	rlim_t n;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
		return 0;
	n = limit.rlim_cur > 2 * N_DESCRIPTORS_OWN ? limit.rlim_cur - N_DESCRIPTORS_OWN
	                                           : limit.rlim_cur / 2;
	n /= 2 * n_threads; /* client and backend */
	if (n >= EDGE_CONNECTIONS_MAX)
		return 0;
	return n > 0 ? (uint32_t)n : 1;
}

/* Its addresses are on the TAPs, so it comes after the devices; its ports need root. */
static int edge_make(struct control *control)
{
	const struct config *config = control->config;
	const struct edge_setup setup = {
		.inherited = control->gift.edge,
		.n_inherited = control->gift.n_edge,
		.https = config->https,
		.n_https = config->n_https,
		.http = config->http,
		.n_http = config->n_http,
		.n_threads = edge_threads(config),
		.limits.connections = edge_connections(edge_threads(config)),
	};
	char error[MAIN_ERROR_LEN];
	int r;

	if (config->n_https + config->n_http == 0)
		return 0;
	r = edge_create(&setup, &control->edge, error, sizeof(error));
	return r == 0 ? 0 : main_fail(r, error);
}

static int store_make(struct control *control)
{
	char error[MAIN_ERROR_LEN];
	int r = store_open(control->config->store, control->uid, control->gid, &control->store,
	                   error, sizeof(error));

	return r == 0 ? 0 : main_fail(r, error);
}

/* Only root may be allowed to read it. */
static int hook_ca_make(struct control *control)
{
	const char *path = control->config->webhook_ca;
	int r = path[0] != '\0' ? hook_ca_read(path, &control->hook_ca) : 0;

	if (r != 0)
		log_err("control", "%s: events.webhook_ca: %s: %s", control->config->path, path,
		        r == -EINVAL ? "holds no certificates, or more than 1 MiB" : strerror(-r));
	return r;
}

/* First of all sockets: a second start is told so before it touches anything. */
static int serve_socket_make(struct control *control)
{
	char path[CONFIG_PATH_LEN], error[MAIN_ERROR_LEN];

	control->serve_fd = control->gift.serve;
	control->gift.serve = -1;
	if (control->serve_fd >= 0)
		return 0;
	snprintf(path, sizeof(path), "%s/control.sock", control->config->run_dir);
	control->serve_fd = serve_listen(path, error, sizeof(error));
	return control->serve_fd >= 0 ? 0 : main_fail(control->serve_fd, error);
}

/* Where wg(8) looks. Nothing else needs it: a hub whose name another WireGuard has goes on without. */
static void uapi_socket_make(struct control *control)
{
	char error[MAIN_ERROR_LEN];

	if (control->config->wg_socket == CONFIG_WG_OFF)
		return;
	control->uapi_fd = control->gift.uapi;
	control->gift.uapi = -1;
	if (control->uapi_fd >= 0)
		return;
	control->uapi_fd = uapi_listen(UAPI_DIRECTORY, control->config->tunnel_device, error,
	                               sizeof(error));
	if (control->uapi_fd < 0)
		log_warn("control", "wg(8) will not see this hub: %s", error);
}

int main_start_as_root(struct control *control)
{
	char error[MAIN_ERROR_LEN];
	int r;

	r = user_find(control);
	if (r == 0)
		r = run_dir_make(control);
	if (r != 0)
		return r;
	r = main_key_load(control->config->private_key_file, control->private_key, error,
	                  sizeof(error));
	if (r != 0)
		return main_fail(r, error);
	r = hook_ca_make(control);
	if (r != 0)
		return r;
	if (control->takes_over) /* from here on there is no way back: the other has let go */
		r = main_handover_ask(control);
	if (r == 0)
		r = serve_socket_make(control);
	if (r == 0)
		r = main_handover_listen(control);
	if (r == 0)
		uapi_socket_make(control);
	if (r == 0)
		r = program_make(control);
	if (r == 0)
		r = store_make(control);
	if (r == 0)
		r = devices_make(control);
	if (r == 0)
		r = edge_make(control);
	return r;
}

/* ---- start, as user ----------------------------------------------------------------------------- */

static void on_stamp(void *arg, const uint8_t mark[static 12])
{
	const struct control *control = arg;
	int r = main_stamp_save(control->stamp_path, mark);

	if (r != 0)
		log_warn("control", "timestamp mark not stored file=%s err=%s", control->stamp_path,
		         strerror(-r));
}

static int hub_key_make(struct control *control, const uint8_t file_public_key[static 32])
{
	const struct hub_key_setup setup = {
		.base = control->base,
		.store = control->store,
		.session = control->sessions,
		.program = control->program,
		.config = control->config,
		.file_public_key = file_public_key,
	};
	int r = hub_key_create(&setup, &control->hub_key);

	return r == 0 ? 0 : main_fail(r, "the hub's key: no memory, or the store cannot be read");
}

static int sessions_make(struct control *control)
{
	const struct config *config = control->config;
	uint8_t file_public_key[32];
	uint8_t stamp[12];
	int r, stored;

	wg_key_public(file_public_key, control->private_key);
	r = hub_key_load(control->store, control->private_key);
	if (r != 0)
		return main_fail(r, store_error(control->store));
	r = session_create(control->base, control->program, control->private_key,
	                   config->handshake_threads, config->max_peers, &control->sessions);
	base_wipe(control->private_key, sizeof(control->private_key));
	if (r != 0) {
		log_err("control", "handshake threads not started err=%s", strerror(-r));
		return r;
	}
	snprintf(control->stamp_path, sizeof(control->stamp_path), "%s.stamp", config->store);
	stored = main_stamp_load(control->stamp_path, stamp);
	if (stored != 0 && stored != -ENOENT)
		log_warn("control", "timestamp mark not read file=%s err=%s", control->stamp_path,
		         strerror(-stored));
	session_on_stamp(control->sessions, stored == 0 ? stamp : NULL, on_stamp, control);
	return hub_key_make(control, file_public_key);
}

static int peers_make(struct control *control)
{
	struct peer_setup setup = {
		.base = control->base,
		.store = control->store,
		.session = control->sessions,
		.program = control->program,
		.config = control->config,
		.store_gone = model_peers_gone,
		.store_gone_arg = control->store,
	};
	char error[MAIN_ERROR_LEN];
	int r = resolve_create(control->base, &control->resolve);

	if (r != 0)
		return main_fail(r, "names cannot be looked up: out of memory");
	setup.resolve = control->resolve;
	r = peer_table_create(&setup, &control->peers, error, sizeof(error));

	return r == 0 ? 0 : main_fail(r, error);
}

static int watch_make(struct control *control)
{
	const struct watch_setup setup = {
		.base = control->base,
		.program = control->program,
		.peers = control->peers,
		.n_peers = control->config->max_peers,
	};
	int r = watch_create(&setup, &control->watch);

	return r == 0 ? 0 : main_fail(r, "drop samples: out of memory");
}

static int hook_make(struct control *control)
{
	const struct config *config = control->config;
	const struct hook_setup setup = {.url = config->webhook, .ca_pem = control->hook_ca};
	int r;

	if (config->webhook[0] == '\0')
		return 0;
	r = hook_create(&setup, &control->hook);
	return r == 0 ? 0 : main_fail(r, "events.webhook: no thread for it");
}

static int policy_set(void *arg, const void *table, size_t len)
{
	const struct control *control = arg;

	return program_blob_write(control->program, ABI_BLOB_POLICY, table, len,
	                          policy_table_generation(table));
}

static int block_set(void *arg, const void *table, size_t len, uint64_t generation)
{
	struct control *control = arg;

	if (!table)
		return program_blob_set(control->program, ABI_BLOB_BLOCK, -1, 0);
	return program_blob_write(control->program, ABI_BLOB_BLOCK, table, len, generation);
}

static int serve_make(struct control *control)
{
	const struct model_setup setup = {
		.base = control->base,
		.config = control->config,
		.store = control->store,
		.peers = control->peers,
		.session = control->sessions,
		.hub_key = control->hub_key,
		.program = control->program,
		.watch = control->watch,
		.edge = control->edge,
		.hook = control->hook,
		.policy_set = policy_set,
		.policy_arg = control,
		.block_set = block_set,
	};
	char error[MAIN_ERROR_LEN];
	int r;

	r = model_create(&setup, &control->model, error, sizeof(error));
	if (r != 0)
		return main_fail(r, error);
	r = serve_create(control->base, control->serve_fd, control->model, &control->serve);
	if (r != 0)
		return main_fail(r, "control socket: out of memory");
	control->serve_fd = -1;
	return 0;
}

static int uapi_make(struct control *control)
{
	const struct uapi_setup setup = {
		.config = control->config,
		.model = control->model,
		.peers = control->peers,
		.program = control->program,
		.session = control->sessions,
		.patience_ms = UAPI_PATIENCE_MS,
	};
	int r;

	if (control->uapi_fd < 0)
		return 0;
	r = uapi_create(control->base, control->uapi_fd, &setup, &control->uapi);
	if (r != 0)
		return main_fail(r, "wg socket: out of memory");
	control->uapi_listener = control->uapi_fd;
	control->uapi_fd = -1;
	return 0;
}

static void go_first(const struct config *config)
{
	int r = config->idle_cap_us != 0 ? base_priority_raise() : 0;

	if (r != 0)
		log_debug("control", "runs at the priority of all err=\"%s\"", strerror(-r));
}

int main_start_as_user(struct control *control)
{
	char error[MAIN_ERROR_LEN];
	int r;

	go_first(control->config);
	r = kernel_drop_privileges(control->config->user, error, sizeof(error));
	if (r != 0)
		return main_fail(r, error);
	r = sessions_make(control);
	if (r == 0)
		r = peers_make(control);
	if (r == 0)
		r = watch_make(control);
	if (r == 0)
		r = hook_make(control);
	if (r == 0)
		r = kernel_mirror_create(control->base, control->config, control->program,
		                         &control->kernel);
	if (r == 0)
		r = program_start(control->program,
		                  control->devices_made ? &control->devices : NULL);
	if (r == 0)
		r = program_drift_start(control->program, control->config->drift_check_s * 1000,
		                        control->config->drift_repair);
	if (r == 0)
		r = serve_make(control);
	if (r == 0)
		r = uapi_make(control);
	if (r == 0 && control->takes_over)
		r = main_handover_ready(control);
	return r;
}

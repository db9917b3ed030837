/* weir-control: wiring only. What a peer goes through is told in README.md; here is who is made
 * before whom, and who calls whom.
 *
 * While root: the private key is read, sockets are bound, devices are made. Then control becomes an
 * ordinary user, and everything that listens to others runs as that. */
#include "abi_rendezvous.h"
#include "base_bytes.h"
#include "base_log.h"
#include "base_time.h"
#include "config.h"
#include "edge.h"
#include "kernel.h"
#include "main_file.h"
#include "model.h"
#include "peer.h"
#include "policy_table.h"
#include "program.h"
#include "serve.h"
#include "session.h"
#include "store.h"
#include "uapi.h"
#include "watch.h"
#include "watch_drift.h"
#include "wg_cookie.h"

#include <errno.h>
#include <event2/event.h>
#include <getopt.h>
#include <net/if.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define ERROR_LEN         512
#define N_DESCRIPTORS     65536
#define N_DESCRIPTORS_OWN 256  /* not for the edge's connections */
#define ADOPT_TIMEOUT_MS  1500 /* a living dataplane tries to connect every 100 ms */

struct control {
	struct config *config;
	uid_t uid; /* whom control becomes */
	gid_t gid;
	uint8_t private_key[32]; /* wiped once session has it */
	char stamp_path[300];
	struct event_base *base;
	struct event *signals[2];
	struct program *program;
	struct abi_fds devices; /* until program has them */
	bool devices_made;
	struct session_table *sessions;
	struct kernel *kernel;
	struct edge *edge; /* NULL = the configuration has none */
	struct store *store;
	struct peer_table *peers;
	struct watch *watch;
	int serve_fd; /* control socket, until serve has it; -1 = none */
	struct model *model;
	struct serve *serve;
	struct base_log_limit drift_limit;
	int uapi_fd; /* the same of wg(8)'s */
	struct uapi *uapi;
};

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

	watch_drift_in(&control->drift_limit, control->peers, finding, news);
}

/* ---- start, as root ----------------------------------------------------------------------------- */

static int fail(int r, const char *error)
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
	char error[ERROR_LEN];
	int r = main_directory_make(control->config->run_dir, 0755, error, sizeof(error));

	return r == 0 ? 0 : fail(r, error);
}

static void setup_port(struct abi_port_setup *out, const struct config_port *port)
{
	memcpy(out->name, port->name, sizeof(out->name));
	memcpy(out->device, port->device, sizeof(out->device));
	out->driver = port->driver;
	out->mtu = port->mtu;
	out->has_tap = port->tap[0] != '\0' ? 1 : 0;
}

static void setup_dataplane(struct abi_setup *out, const struct config *config)
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
	setup_dataplane(&setup.dataplane, control->config);
	return program_create(control->base, &setup, &events, &control->program);
}

/* A TUN that is there is held by a dataplane that outlived the last control. */
static int devices_make(struct control *control)
{
	char error[ERROR_LEN];
	int r = 0;

	if (if_nametoindex(control->config->tunnel_device) != 0)
		r = program_adopt(control->program, ADOPT_TIMEOUT_MS);
	if (r < 0)
		return r;
	if (r == 1) {
		log_info("control", "running dataplane taken over");
		return 0;
	}
	r = kernel_devices_create(control->config, &control->devices, error, sizeof(error));
	if (r != 0)
		return fail(r, error);
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
		.https = config->https,
		.n_https = config->n_https,
		.http = config->http,
		.n_http = config->n_http,
		.n_threads = edge_threads(config),
		.limits.connections = edge_connections(edge_threads(config)),
	};
	char error[ERROR_LEN];
	int r;

	if (config->n_https + config->n_http == 0)
		return 0;
	r = edge_create(&setup, &control->edge, error, sizeof(error));
	return r == 0 ? 0 : fail(r, error);
}

static int store_make(struct control *control)
{
	char error[ERROR_LEN];
	int r = store_open(control->config->store, control->uid, control->gid, &control->store,
	                   error, sizeof(error));

	return r == 0 ? 0 : fail(r, error);
}

/* First of all sockets: a second start is told so before it touches anything. */
static int serve_socket_make(struct control *control)
{
	char path[CONFIG_PATH_LEN], error[ERROR_LEN];

	snprintf(path, sizeof(path), "%s/control.sock", control->config->run_dir);
	control->serve_fd = serve_listen(path, error, sizeof(error));
	return control->serve_fd >= 0 ? 0 : fail(control->serve_fd, error);
}

/* Where wg(8) looks. Nothing else needs it: a hub whose name another WireGuard has goes on without. */
static void uapi_socket_make(struct control *control)
{
	char error[ERROR_LEN];

	if (!control->config->wg_socket)
		return;
	control->uapi_fd = uapi_listen(UAPI_DIRECTORY, control->config->tunnel_device, error,
	                               sizeof(error));
	if (control->uapi_fd < 0)
		log_warn("control", "wg(8) will not see this hub: %s", error);
}

static int start_as_root(struct control *control)
{
	char error[ERROR_LEN];
	int r;

	r = user_find(control);
	if (r == 0)
		r = run_dir_make(control);
	if (r != 0)
		return r;
	r = main_key_load(control->config->private_key_file, control->private_key, error,
	                  sizeof(error));
	if (r != 0)
		return fail(r, error);
	r = serve_socket_make(control);
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

static int sessions_make(struct control *control)
{
	const struct config *config = control->config;
	uint8_t stamp[12];
	int r, stored;

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
	return 0;
}

static int peers_make(struct control *control)
{
	const struct peer_setup setup = {
		.base = control->base,
		.store = control->store,
		.session = control->sessions,
		.program = control->program,
		.config = control->config,
	};
	char error[ERROR_LEN];
	int r = peer_table_create(&setup, &control->peers, error, sizeof(error));

	return r == 0 ? 0 : fail(r, error);
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

	return r == 0 ? 0 : fail(r, "drop samples: out of memory");
}

static int hub_set(const struct control *control)
{
	struct abi_cmd_hub hub = {
		.listen_port = control->config->listen_port,
		.tunnel_mtu = control->config->tunnel_mtu,
	};

	wg_cookie_mac1_key(hub.mac1_key, session_public_key(control->sessions));
	return program_hub_set(control->program, &hub);
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
		.program = control->program,
		.watch = control->watch,
		.edge = control->edge,
		.policy_set = policy_set,
		.policy_arg = control,
		.block_set = block_set,
	};
	char error[ERROR_LEN];
	int r;

	r = model_create(&setup, &control->model, error, sizeof(error));
	if (r != 0)
		return fail(r, error);
	r = serve_create(control->base, control->serve_fd, control->model, &control->serve);
	if (r != 0)
		return fail(r, "control socket: out of memory");
	control->serve_fd = -1;
	return 0;
}

static int uapi_make(struct control *control)
{
	int r;

	if (control->uapi_fd < 0)
		return 0;
	r = uapi_create(control->base, control->uapi_fd, control->config, control->peers,
	                control->program, &control->uapi);
	if (r != 0)
		return fail(r, "wg socket: out of memory");
	control->uapi_fd = -1;
	return 0;
}

static int start_as_user(struct control *control)
{
	char error[ERROR_LEN];
	int r;

	r = kernel_drop_privileges(control->config->user, error, sizeof(error));
	if (r != 0)
		return fail(r, error);
	r = sessions_make(control);
	if (r == 0)
		r = hub_set(control);
	if (r == 0)
		r = peers_make(control);
	if (r == 0)
		r = watch_make(control);
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
	return r;
}

/* ---- running ------------------------------------------------------------------------------------ */

static void on_signal(evutil_socket_t number, short what, void *arg)
{
	struct control *control = arg;

	(void)what;
	log_info("control", "ending signal=%s", strsignal((int)number));
	event_base_loopbreak(control->base);
}

static int loop_make(struct control *control)
{
	static const int numbers[] = {SIGTERM, SIGINT};

	control->base = event_base_new();
	if (control->base == NULL)
		return fail(-ENOMEM, "no event loop");
	for (size_t i = 0; i < BASE_ARRAY_LEN(numbers); i++) {
		control->signals[i] = evsignal_new(control->base, numbers[i], on_signal, control);
		if (control->signals[i] == NULL || event_add(control->signals[i], NULL) != 0)
			return fail(-ENOMEM, "signals cannot be caught");
	}
	return 0;
}

/* Reverse order of making. A dataplane that runs goes on, and with it the guard on its interfaces. */
static void control_end(struct control *control, bool started)
{
	uapi_destroy(control->uapi);
	if (control->uapi_fd >= 0)
		close(control->uapi_fd);
	serve_destroy(control->serve);
	model_destroy(control->model);
	if (control->serve_fd >= 0)
		close(control->serve_fd);
	if (control->edge != NULL)
		edge_destroy(control->edge);
	kernel_mirror_destroy(control->kernel);
	watch_destroy(control->watch);
	if (control->peers != NULL)
		peer_table_destroy(control->peers);
	session_destroy(control->sessions);
	store_close(control->store);
	if (control->devices_made && (!started || !program_is_attached(control->program)))
		kernel_devices_destroy(control->config);
	abi_fds_close(&control->devices);
	program_destroy(control->program);
	for (size_t i = 0; i < BASE_ARRAY_LEN(control->signals); i++)
		if (control->signals[i] != NULL)
			event_free(control->signals[i]);
	if (control->base != NULL)
		event_base_free(control->base);
	base_wipe(control->private_key, sizeof(control->private_key));
	config_unload(control->config);
}

static int control_run(struct control *control, uint64_t begin_ns)
{
	int r;

	r = loop_make(control);
	if (r == 0)
		r = start_as_root(control);
	if (r == 0)
		r = start_as_user(control);
	if (r != 0) {
		control_end(control, false);
		return EXIT_FAILURE;
	}
	log_info("control", "ready ms=%llu",
	         (unsigned long long)((base_time_monotonic_ns() - begin_ns) / BASE_NS_PER_MS));
	r = event_base_dispatch(control->base);
	control_end(control, true);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Each connection of the edge takes two descriptors; the usual limit of 1024 is soon reached. */
static void descriptors_allow_many(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= N_DESCRIPTORS)
		return;
	limit.rlim_cur = N_DESCRIPTORS;
	if (limit.rlim_max < N_DESCRIPTORS) {
		const struct rlimit raised = {N_DESCRIPTORS, N_DESCRIPTORS};

		/* Root may, if it has CAP_SYS_RESOURCE; else take what there is. */
		if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
			return;
		limit.rlim_cur = limit.rlim_max;
	}
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		log_warn("control", "limit of descriptors stays as it is err=%s", strerror(errno));
}

/* Before anything is opened or any thread is made, so that it holds for all. */
static void process_prepare(void)
{
	umask(077);
	descriptors_allow_many();
	signal(SIGPIPE, SIG_IGN);
	/* A terminal that goes away does not end a daemon. */
	signal(SIGHUP, SIG_IGN);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		log_warn("control", "new privileges not given up err=%s", strerror(errno));
}

/* ---- command line ------------------------------------------------------------------------------- */

struct arguments {
	const char *config_path;
	bool check;
	bool cleanup;
	bool has_log_level;
	enum base_log_level log_level;
};

static void usage(FILE *out)
{
	fputs("usage: weir-control -c FILE [--check | --cleanup] [--log-level LEVEL]\n"
	      "  -c, --config FILE   configuration (weir.conf(5))\n"
	      "      --check         read the configuration, say whether it is good, and end\n"
	      "      --cleanup       remove what an ended hub left in the kernel (the guard on its\n"
	      "                      interfaces, which needs root), and end\n"
	      "      --log-level L   err, warn, info or debug, instead of the configuration's\n"
	      "  -h, --help          this text\n"
	      "  -V, --version       version\n"
	      "exit: 0 ended as asked, 1 refused with a reason, 2 usage\n",
	      out);
}

/* Returns -1 to go on, or the exit code. */
static int arguments_read(int argc, char **argv, struct arguments *out)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"check", no_argument, NULL, 'k'},
		{"cleanup", no_argument, NULL, 'u'},
		{"log-level", required_argument, NULL, 'l'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "c:hV", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			out->config_path = optarg;
			break;
		case 'k':
			out->check = true;
			break;
		case 'u':
			out->cleanup = true;
			break;
		case 'l':
			if (base_log_level_parse(optarg, &out->log_level) != 0) {
				fprintf(stderr,
				        "weir-control: --log-level is \"%s\", must be err, warn, "
				        "info or debug\n",
				        optarg);
				return 2;
			}
			out->has_log_level = true;
			break;
		case 'h':
			usage(stdout);
			return EXIT_SUCCESS;
		case 'V':
			puts("weir-control " WEIR_VERSION);
			return EXIT_SUCCESS;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind == argc && out->config_path != NULL)
		return -1;
	fputs(optind < argc ? "weir-control: takes no arguments but options\n"
	                    : "weir-control: -c FILE is missing\n",
	      stderr);
	usage(stderr);
	return 2;
}

/* Takes config. */
static int cleanup(struct config *config)
{
	bool lives = if_nametoindex(config->tunnel_device) != 0;

	if (lives)
		log_err("control", "%s is there, so a hub still runs: end it first",
		        config->tunnel_device);
	else
		kernel_devices_destroy(config);
	config_unload(config);
	return lives ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	uint64_t begin_ns = base_time_monotonic_ns();
	struct arguments arguments = {0};
	struct control control = {.serve_fd = -1, .uapi_fd = -1};
	char error[ERROR_LEN];
	int r;

	base_log_init("weir-control", BASE_LOG_INFO);
	abi_fds_init(&control.devices);
	r = arguments_read(argc, argv, &arguments);
	if (r >= 0)
		return r;
	r = config_load(arguments.config_path, &control.config, error, sizeof(error));
	if (r != 0) {
		fprintf(stderr, "%s\n", error);
		return EXIT_FAILURE;
	}
	if (arguments.check) {
		printf("%s: good\n", arguments.config_path);
		config_unload(control.config);
		return EXIT_SUCCESS;
	}
	base_log_init("weir-control",
	              arguments.has_log_level ? arguments.log_level : control.config->log_level);
	if (arguments.cleanup)
		return cleanup(control.config);
	process_prepare();
	return control_run(&control, begin_ns);
}

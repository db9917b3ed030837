/* weir-dataplane: wiring only. What a packet goes through is told in README.md and lies in path/;
 * here is who is made before whom, and who may do what.
 *
 *   control's region -> EAL and ports -> exception thread -> workers -> heartbeat until a signal
 *
 * Control may go and come back meanwhile: the packets do not notice. */
#include "abi_region.h"
#include "abi_rendezvous.h"
#include "aead.h"
#include "base_log.h"
#include "base_priority.h"
#include "base_time.h"
#include "blob.h"
#include "main_link.h"
#include "main_port.h"
#include "port_count.h"
#include "port_eal.h"
#include "port_eth.h"
#include "port_exception.h"
#include "port_wake.h"
#include "worker.h"

#include <rte_errno.h>
#include <rte_ring.h>

#include <cap-ng.h>
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define EXIT_USAGE   2
#define EXIT_REFUSED 3

#define MESH_SLOTS      1024U
#define TICK_MS         MAIN_LINK_PERIOD_MS /* heartbeat, port status, control */
#define BLOB_TICK_MS    1                   /* while workers go over to another table */
#define RIVAL_FRESH_NS  (1 * BASE_NS_PER_S)
#define RIVAL_PATIENCE  6 /* times 50 ms, to see another's heartbeat move */
#define RIVAL_PERIOD_NS (50 * BASE_NS_PER_MS)

_Static_assert((int)AEAD_BACKEND_IPSEC_MB == (int)ABI_AEAD_IPSEC_MB
                       && (int)AEAD_BACKEND_SODIUM == (int)ABI_AEAD_SODIUM
                       && (int)AEAD_BACKEND_AVX512 == (int)ABI_AEAD_AVX512
                       && (int)AEAD_BACKEND_AVX2 == (int)ABI_AEAD_AVX2,
               "the set-up's choice is passed on as it is");

struct arguments {
	const char *socket_path;
	enum base_log_level log_level;
	bool has_log_level;
	uid_t control_uid;
};

struct worker_thread {
	struct worker *worker;
	pthread_t thread;
	bool runs;
};

struct dataplane {
	uint64_t begin_ns;
	int signal_fd;
	struct main_link link;
	struct abi_region region;
	struct abi_fds fds;
	bool owns_region; /* our pid stands in its header */

	bool eal_runs;
	struct rte_mempool *pool;
	struct port_eth ports[ABI_PORTS_MAX];
	struct port_count counts[ABI_PORTS_MAX];
	struct main_port port_lives[ABI_PORTS_MAX];
	struct port_truncated truncated;
	bool ports_run;
	struct port_exception *exception;
	pthread_t exception_thread;
	bool exception_runs;
	struct rte_ring *mesh[ABI_WORKERS_MAX][ABI_WORKERS_MAX]; /* [from][to] */
	struct worker_shared *shared;
	struct blob_store *blobs;
	struct worker_thread workers[ABI_WORKERS_MAX];

	_Atomic uint32_t stop_workers;
	_Atomic uint32_t stop_exception;
};

/* ---- command line ------------------------------------------------------------------------------ */

static void usage(FILE *out)
{
	fputs("usage: weir-dataplane --socket PATH [--log-level LEVEL] [--control-user NAME]\n"
	      "\n"
	      "Moves the packets of a weir hub. Started by `weir run` or a supervisor; everything\n"
	      "else it needs comes from weir-control over the socket.\n"
	      "\n"
	      "  -s, --socket PATH        where weir-control listens for it\n"
	      "  -l, --log-level LEVEL    err, warn, info or debug; default as in the configuration\n"
	      "  -u, --control-user NAME  user as whom weir-control may run, besides root and one's own\n"
	      "  -h, --help               this text\n"
	      "  -V, --version            version\n"
	      "      --versions           and that of the ABI\n"
	      "\n"
	      "Needs CAP_NET_RAW and CAP_NET_ADMIN for af_packet ports and gives up all others.\n"
	      "Exit: 0 ended by SIGTERM or SIGINT; 1 could not start, the last lines say why;\n"
	      "2 wrong usage; 3 refused by weir-control, or another dataplane is alive.\n",
	      out);
}

static int read_option(int option, struct arguments *out)
{
	const struct passwd *user;

	switch (option) {
	case 's':
		out->socket_path = optarg;
		return -1;
	case 'l':
		out->has_log_level = true;
		if (base_log_level_parse(optarg, &out->log_level) == 0)
			return -1;
		fprintf(stderr,
		        "weir-dataplane: --log-level is \"%s\", must be err, warn, info or debug\n",
		        optarg);
		return EXIT_USAGE;
	case 'u':
		user = getpwnam(optarg); /* one thread yet */
		if (user != NULL) {
			out->control_uid = user->pw_uid;
			return -1;
		}
		fprintf(stderr, "weir-dataplane: --control-user: there is no user \"%s\"\n",
		        optarg);
		return EXIT_USAGE;
	case 'h':
		usage(stdout);
		return EXIT_SUCCESS;
	case 'W':
		printf("weir-dataplane %s abi %u\n", WEIR_VERSION, ABI_VERSION);
		return EXIT_SUCCESS;
	case 'V':
		puts("weir-dataplane " WEIR_VERSION);
		return EXIT_SUCCESS;
	default:
		usage(stderr);
		return EXIT_USAGE;
	}
}

/* Returns -1 to go on, or the exit code. */
static int read_arguments(int argc, char **argv, struct arguments *out)
{
	static const struct option options[] = {
		{"socket", required_argument, NULL, 's'},
		{"log-level", required_argument, NULL, 'l'},
		{"control-user", required_argument, NULL, 'u'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{"versions", no_argument, NULL, 'W'},
		{NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "s:l:u:hV", options, NULL)) != -1) {
		int r = read_option(option, out);

		if (r >= 0)
			return r;
	}
	if (optind == argc && out->socket_path != NULL)
		return -1;
	fputs(optind < argc ? "weir-dataplane: takes no arguments but options\n"
	                    : "weir-dataplane: --socket PATH is missing\n",
	      stderr);
	return EXIT_USAGE;
}

/* ---- process ----------------------------------------------------------------------------------- */

/* Session keys lie in our memory: no core dump, no ptrace. Signals come by descriptor; all threads
 * made later inherit the mask. */
static int prepare_process(struct dataplane *dp)
{
	const struct rlimit no_core = {0, 0};
	sigset_t set;

	if (prctl(PR_SET_DUMPABLE, 0UL) != 0 || setrlimit(RLIMIT_CORE, &no_core) != 0)
		return -errno;
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	dp->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return dp->signal_fd >= 0 ? 0 : -errno;
}

/* Keep of our capabilities those that ports need, and only these. */
static int drop_capabilities(void)
{
	bool raw = capng_have_capability(CAPNG_PERMITTED, CAP_NET_RAW);
	bool admin = capng_have_capability(CAPNG_PERMITTED, CAP_NET_ADMIN);
	bool lock = capng_have_capability(CAPNG_PERMITTED, CAP_IPC_LOCK);
	/* Shrinking the bounding set needs a privilege that only root has. */
	capng_select_t what = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP)
	                              ? CAPNG_SELECT_BOTH
	                              : CAPNG_SELECT_CAPS;
	capng_type_t sets = (capng_type_t)(CAPNG_EFFECTIVE | CAPNG_PERMITTED);

	capng_clear(CAPNG_SELECT_BOTH);
	if (raw)
		capng_update(CAPNG_ADD, sets, CAP_NET_RAW);
	if (admin)
		capng_update(CAPNG_ADD, sets, CAP_NET_ADMIN);
	if (lock)
		capng_update(CAPNG_ADD, sets, CAP_IPC_LOCK);
	if (capng_apply(what) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL) != 0) {
		log_err("main", "capabilities not given up err=\"%s\"", strerror(errno));
		return -EPERM;
	}
	return 0;
}

static void go_first(const struct abi_setup *setup)
{
	int r = setup->idle_cap_us != 0 ? base_priority_raise() : 0;

	if (r != 0)
		log_debug("main", "runs at the priority of all err=\"%s\"", strerror(-r));
}

static bool has_pci_port(const struct abi_setup *setup)
{
	for (uint32_t i = 0; i < setup->n_ports; i++)
		if (setup->ports[i].driver == ABI_DRIVER_PCI)
			return true;
	return false;
}

/* ---- region ------------------------------------------------------------------------------------ */

/* Is the dataplane whose pid stands in the region alive? Its heartbeat must be seen to move: a pid
 * alone may be a corpse that nobody has waited for, or somebody else by now. */
static bool rival_lives(struct abi_header *header)
{
	uint32_t pid = __atomic_load_n(&header->dataplane_pid, __ATOMIC_RELAXED);
	uint64_t beat = __atomic_load_n(&header->dataplane_heartbeat_ns, __ATOMIC_RELAXED);
	uint64_t now_ns = base_time_monotonic_ns();
	struct timespec period = {.tv_nsec = (long)RIVAL_PERIOD_NS};

	if (pid == 0 || pid == (uint32_t)getpid() || beat == 0 || now_ns - beat > RIVAL_FRESH_NS)
		return false;
	if (kill((pid_t)pid, 0) != 0 && errno == ESRCH)
		return false;
	for (int i = 0; i < RIVAL_PATIENCE; i++) {
		nanosleep(&period, NULL);
		if (__atomic_load_n(&header->dataplane_heartbeat_ns, __ATOMIC_RELAXED) != beat)
			return true;
	}
	return false;
}

static void beat(struct dataplane *dp)
{
	struct abi_header *header = abi_region_header(&dp->region);

	__atomic_store_n(&header->dataplane_heartbeat_ns, base_time_monotonic_ns(),
	                 __ATOMIC_RELAXED);
}

/* Put our name into the region. Returns 0 or -EEXIST. */
static int claim_region(struct dataplane *dp)
{
	struct abi_header *header = abi_region_header(&dp->region);

	if (rival_lives(header)) {
		log_err("main",
		        "another weir-dataplane is alive on this region, pid %u: end it first",
		        header->dataplane_pid);
		return -EEXIST;
	}
	__atomic_store_n(&header->dataplane_ready, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&header->dataplane_pid, (uint32_t)getpid(), __ATOMIC_RELAXED);
	__atomic_store_n(&header->dataplane_generation, header->dataplane_generation + 1,
	                 __ATOMIC_RELAXED);
	dp->owns_region = true;
	beat(dp);
	return 0;
}

static void leave_region(struct dataplane *dp)
{
	struct abi_header *header;

	if (!dp->owns_region)
		return;
	header = abi_region_header(&dp->region);
	__atomic_store_n(&header->dataplane_ready, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&header->dataplane_heartbeat_ns, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&header->dataplane_pid, 0, __ATOMIC_RELEASE);
	dp->owns_region = false;
}

/* ---- packets: EAL, ports, exception thread ------------------------------------------------------ */

static int start_ports(struct dataplane *dp)
{
	const struct abi_setup *setup = &dp->region.setup;
	bool early = !has_pci_port(setup); /* vfio wants more, until the ports run */
	int r = port_eth_check(setup);

	go_first(setup);
	if (r == 0 && early)
		r = drop_capabilities();
	port_eal_ring_choose(setup);
	if (r == 0)
		r = port_eal_init(setup);
	dp->eal_runs = r == 0;
	if (r == 0)
		r = port_eal_pool_create(setup, &dp->pool);
	if (r == 0)
		r = port_eth_start(setup, dp->pool, dp->ports);
	if (r < 0)
		return r;
	dp->ports_run = true;
	for (uint32_t i = 0; i < setup->n_ports; i++) {
		port_count_init(&dp->counts[i], &dp->ports[i], setup->n_workers);
		dp->port_lives[i] = (struct main_port){.eth = &dp->ports[i],
		                                       .count = &dp->counts[i]};
	}
	return early ? 0 : drop_capabilities();
}

static void run_exception(void *arg)
{
	struct dataplane *dp = (struct dataplane *)arg;

	port_exception_run(dp->exception, &dp->stop_exception);
}

static int make_exception(struct dataplane *dp)
{
	struct port_exception_setup setup = {
		.n_workers = dp->region.n_workers,
		.pool = dp->pool,
		.tun = dp->fds.tun,
		.counters = abi_region_exception_counters(&dp->region),
	};
	int r;

	memcpy(setup.taps, dp->fds.taps, sizeof(setup.taps));
	if (getrandom(&setup.seed, sizeof(setup.seed), 0) != (ssize_t)sizeof(setup.seed))
		return -errno;
	r = port_exception_create(&setup, "exception", &dp->exception);
	if (r < 0)
		log_err("main", "exception thread not made err=\"%s\"", strerror(-r));
	return r;
}

/* ---- workers ----------------------------------------------------------------------------------- */

/* N x N rings, each with one producer and one consumer. */
static int make_mesh(struct dataplane *dp)
{
	for (uint32_t from = 0; from < dp->region.n_workers; from++) {
		for (uint32_t to = 0; to < dp->region.n_workers; to++) {
			char name[RTE_RING_NAMESIZE];

			if (from == to)
				continue;
			snprintf(name, sizeof(name), "mesh_%u_%u", from, to);
			dp->mesh[from][to] = rte_ring_create(name, MESH_SLOTS, SOCKET_ID_ANY,
			                                     RING_F_SP_ENQ | RING_F_SC_DEQ);
			if (dp->mesh[from][to] == NULL) {
				log_err("main", "no memory for the rings between workers");
				return -ENOMEM;
			}
		}
	}
	return 0;
}

static int make_worker(struct dataplane *dp, uint32_t id)
{
	struct worker_setup setup = {
		.id = id,
		.region = &dp->region,
		.shared = dp->shared,
		.pool = dp->pool,
		.n_ports = dp->region.setup.n_ports,
		.link = port_exception_link(dp->exception, id),
		.control_wake_fd = dp->fds.control_wake,
		.aead = (enum aead_backend)dp->region.setup.aead,
		.wake_fd = dp->fds.worker_wake[id],
	};
	int r, fd;

	for (uint32_t i = 0; i < setup.n_ports; i++) {
		setup.ethdev[i] = dp->ports[i].id;
		setup.queue[i] = (uint16_t)id;
		setup.sums_udp[i] = dp->ports[i].sums_udp;
		fd = port_wake_fd(&dp->ports[i], id, dp->region.n_workers);
		dp->ports[i].wake_fds[id] = fd;
		if (fd >= 0)
			setup.wake_fds[setup.n_wake_fds++] = fd;
	}
	for (uint32_t i = 0; i < dp->region.n_workers; i++) {
		setup.mesh_in[i] = dp->mesh[i][id];
		setup.mesh_out[i] = dp->mesh[id][i];
	}
	r = worker_create(&setup, &dp->workers[id].worker);
	if (r < 0)
		log_err("main", "worker %u not made err=\"%s\"", id, strerror(-r));
	else
		setup.link->worker = worker_shared_bell(dp->shared, id);
	return r;
}

/* All of them before the first runs: they share who owns which session. */
static int make_workers(struct dataplane *dp)
{
	int r = make_mesh(dp);

	if (r == 0)
		r = worker_shared_create(dp->region.n_workers, dp->region.n_peers, &dp->shared);
	if (r == 0)
		r = blob_store_create(worker_shared_blobs(dp->shared),
		                      worker_shared_routes(dp->shared), &dp->blobs);
	for (uint32_t i = 0; i < dp->region.n_workers && r == 0; i++)
		r = make_worker(dp, i);
	return r;
}

struct run_worker {
	struct worker *worker;
	const _Atomic uint32_t *stop;
};

static void run_worker(void *arg)
{
	struct run_worker run = *(struct run_worker *)arg;

	free(arg);
	worker_run(run.worker, run.stop);
}

static int start_worker(struct dataplane *dp, uint32_t id)
{
	struct run_worker *run = malloc(sizeof(*run));
	char name[16];
	int r;

	if (run == NULL)
		return -ENOMEM;
	*run = (struct run_worker){dp->workers[id].worker, &dp->stop_workers};
	snprintf(name, sizeof(name), "worker%u", id & 0xffU);
	r = port_eal_thread_start(&dp->workers[id].thread, name, dp->region.setup.cores[id],
	                          run_worker, run);
	if (r < 0) {
		free(run);
		return r;
	}
	dp->workers[id].runs = true;
	return 0;
}

static int start_threads(struct dataplane *dp)
{
	int r = port_eal_thread_start(&dp->exception_thread, "exception", -1, run_exception, dp);

	if (r < 0)
		return r;
	dp->exception_runs = true;
	for (uint32_t i = 0; i < dp->region.n_workers && r == 0; i++)
		r = start_worker(dp, i);
	return r;
}

/* ---- start, run, stop -------------------------------------------------------------------------- */

static void update_ports(struct dataplane *dp)
{
	/* The exception thread's array; these words are ours. */
	uint64_t *counters = abi_region_exception_counters(&dp->region);
	uint64_t n_truncated = 0;
	const struct main_port_setup lives = {
		.setup = &dp->region.setup,
		.pool = dp->pool,
		.shared = dp->shared,
		.worker_wake = dp->fds.worker_wake,
	};

	for (uint32_t i = 0; i < dp->region.setup.n_ports; i++) {
		struct abi_port_status *status = abi_region_port_status(&dp->region, i);

		main_port_turn(&dp->port_lives[i], &lives, i, base_time_monotonic_ns());
		if (dp->port_lives[i].state == MAIN_PORT_GONE) {
			__atomic_store_n(&status->up, 0, __ATOMIC_RELAXED);
			continue;
		}
		port_eth_status(&dp->ports[i], status);
		port_count_turn(&dp->counts[i], counters);
	}
	for (uint32_t i = 0; i < dp->region.n_workers; i++)
		n_truncated += abi_region_worker_counters(&dp->region,
		                                          i)[ABI_COUNTER_DROP_FRAME_TRUNCATED];
	port_count_truncated(&dp->truncated, n_truncated, base_time_monotonic_ns());
}

static int start(struct dataplane *dp)
{
	struct abi_header *header = abi_region_header(&dp->region);
	int r = start_ports(dp);

	if (r == 0)
		r = make_exception(dp);
	if (r == 0)
		r = make_workers(dp);
	if (r < 0)
		return r;
	update_ports(dp);
	beat(dp);
	/* Control has sent its tables meanwhile: the first packet finds them. */
	r = main_link_turn(&dp->link, &dp->region, &dp->fds, dp->blobs, base_time_monotonic_ns());
	if (r == 0)
		r = start_threads(dp);
	if (r < 0)
		return r;
	__atomic_store_n(&header->dataplane_ready, 1, __ATOMIC_RELEASE);
	log_info("main", "ready workers=%u ports=%u start_ms=%llu", dp->region.n_workers,
	         dp->region.setup.n_ports,
	         (unsigned long long)((base_time_monotonic_ns() - dp->begin_ns) / BASE_NS_PER_MS));
	return 0;
}

/* Heartbeats until a signal (0) or a refusal (-EACCES). */
static int run(struct dataplane *dp)
{
	uint64_t tick_ns = 0;

	for (;;) {
		struct pollfd fds[2] = {
			{.fd = dp->signal_fd, .events = POLLIN},
			{.fd = dp->link.connection, .events = POLLIN},
		};
		bool waits = blob_store_waits(dp->blobs);
		uint64_t now_ns;
		int r;

		if (poll(fds, 2, waits ? BLOB_TICK_MS : TICK_MS) < 0 && errno != EINTR)
			return -errno;
		if (fds[0].revents != 0)
			return 0;
		now_ns = base_time_monotonic_ns();
		if (now_ns - tick_ns >= TICK_MS * BASE_NS_PER_MS / 2) {
			tick_ns = now_ns;
			beat(dp);
			update_ports(dp);
		} else if (fds[1].revents == 0 && !waits) {
			continue;
		}
		r = main_link_turn(&dp->link, &dp->region, &dp->fds, dp->blobs, now_ns);
		if (r < 0)
			return r;
	}
}

/* In reverse order; works from wherever start() got to. */
static void stop(struct dataplane *dp)
{
	atomic_store(&dp->stop_workers, 1);
	for (uint32_t i = 0; i < ABI_WORKERS_MAX; i++)
		if (dp->workers[i].runs)
			port_bell_ring(dp->fds.worker_wake[i]);
	for (uint32_t i = 0; i < ABI_WORKERS_MAX; i++)
		if (dp->workers[i].runs)
			pthread_join(dp->workers[i].thread, NULL);
	atomic_store(&dp->stop_exception, 1);
	if (dp->exception_runs) {
		port_exception_wake(dp->exception);
		pthread_join(dp->exception_thread, NULL);
	}
	for (uint32_t i = 0; i < ABI_WORKERS_MAX; i++)
		if (dp->workers[i].worker != NULL)
			worker_destroy(dp->workers[i].worker);
	blob_store_destroy(dp->blobs);
	worker_shared_destroy(dp->shared);
	port_exception_destroy(dp->exception);
	if (dp->ports_run)
		port_eth_stop(dp->ports, dp->region.setup.n_ports);
	leave_region(dp);
	if (dp->eal_runs)
		port_eal_fini();
}

static int exit_code(int r)
{
	if (r == -EACCES || r == -EEXIST)
		return EXIT_REFUSED;
	return r == 0 || r == -EINTR ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	static struct dataplane dp;
	struct arguments arguments = {.log_level = BASE_LOG_INFO, .control_uid = (uid_t)-1};
	int r = read_arguments(argc, argv, &arguments);

	if (r >= 0)
		return r;
	base_log_init("weir-dataplane", arguments.log_level);
	abi_fds_init(&dp.fds);
	r = prepare_process(&dp);
	if (r < 0) {
		log_err("main", "process not prepared err=\"%s\"", strerror(-r));
		return EXIT_FAILURE;
	}
	main_link_init(&dp.link, arguments.socket_path, arguments.control_uid);
	r = main_link_meet(&dp.link, dp.signal_fd, &dp.region, &dp.fds);
	if (r < 0)
		return exit_code(r);
	dp.begin_ns = base_time_monotonic_ns();
	if (!arguments.has_log_level)
		base_log_init("weir-dataplane", (enum base_log_level)dp.region.setup.log_level);
	r = claim_region(&dp);
	if (r == 0)
		r = start(&dp);
	if (r == 0)
		r = run(&dp);
	stop(&dp);
	main_link_fini(&dp.link);
	abi_fds_close(&dp.fds);
	abi_region_fini(&dp.region);
	log_info("main", "ended exit=%d", exit_code(r));
	return exit_code(r);
}

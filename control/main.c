/* weir-control: the command line, the loop, the end. What a peer goes through is told in README.md; who is
 * made before whom, and who calls whom, in main_start.c. */
#include "abi_rendezvous.h"
#include "base_bytes.h"
#include "base_log.h"
#include "base_time.h"
#include "config.h"
#include "edge.h"
#include "kernel.h"
#include "main_start.h"
#include "model.h"
#include "peer.h"
#include "program.h"
#include "serve.h"
#include "session.h"
#include "store.h"
#include "uapi.h"
#include "watch.h"

#include <errno.h>
#include <event2/event.h>
#include <getopt.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define N_DESCRIPTORS 65536

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
		return main_fail(-ENOMEM, "no event loop");
	for (size_t i = 0; i < BASE_ARRAY_LEN(numbers); i++) {
		control->signals[i] = evsignal_new(control->base, numbers[i], on_signal, control);
		if (control->signals[i] == NULL || event_add(control->signals[i], NULL) != 0)
			return main_fail(-ENOMEM, "signals cannot be caught");
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
		r = main_start_as_root(control);
	if (r == 0)
		r = main_start_as_user(control);
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
	char error[MAIN_ERROR_LEN];
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

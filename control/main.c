/* weir-control: the command line, the loop, the end. What a peer goes through is told in README.md; who is
 * made before whom, and who calls whom, in main_start.c. */
#include "abi_rendezvous.h"
#include "base_bytes.h"
#include "base_log.h"
#include "base_time.h"
#include "config.h"
#include "kernel.h"
#include "main_end.h"
#include "main_notify.h"
#include "main_start.h"
#include "store.h"
#include "takeover.h"
#include "uapi.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
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

/* systemd, and who waits for --background. */
static void report_ready(struct control *control)
{
	static const char done = 1;
	int r = main_notify_ready();

	if (r != 0)
		log_warn("control", "service manager not told err=%s", strerror(-r));
	if (control->parent_fd < 0)
		return;
	if (write(control->parent_fd, &done, 1) != 1)
		log_warn("control", "who waits for the start is gone err=%s", strerror(errno));
	close(control->parent_fd);
	control->parent_fd = -1;
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
		main_end(control, false);
		return EXIT_FAILURE;
	}
	report_ready(control);
	log_info("control", "ready ms=%llu",
	         (unsigned long long)((base_time_monotonic_ns() - begin_ns) / BASE_NS_PER_MS));
	r = event_base_dispatch(control->base);
	main_end(control, true);
	return r < 0 || control->has_failed ? EXIT_FAILURE : EXIT_SUCCESS;
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
	bool take_over;
	bool background;
	bool has_log_level;
	enum base_log_level log_level;
};

static void usage(FILE *out)
{
	fputs("usage: weir-control -c FILE [--check | --cleanup | --take-over] [--log-level LEVEL]\n"
	      "  -c, --config FILE   configuration (weir.conf(5))\n"
	      "      --check         read the configuration, say whether it is good, and end\n"
	      "      --cleanup       remove what an ended hub left (the guard on its interfaces, the\n"
	      "                      socket for wg; needs root), and end\n"
	      "      --take-over     take sockets and dataplane over from the weir-control that runs,\n"
	      "                      which ends when it has served its clients (weir upgrade)\n"
	      "      --background    with --take-over: go on as a process of its own once all is up\n"
	      "      --log-level L   err, warn, info or debug, instead of the configuration's\n"
	      "  -h, --help          this text\n"
	      "  -V, --version       version\n"
	      "      --versions      and those of the ABI and of the store's schema\n"
	      "exit: 0 ended as asked, 1 refused with a reason, 2 usage\n",
	      out);
}

/* Returns -1 to go on, or the exit code. */
static int arguments_read(int argc, char **argv, struct arguments *out)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},    {"check", no_argument, NULL, 'k'},
		{"cleanup", no_argument, NULL, 'u'},         {"take-over", no_argument, NULL, 't'},
		{"background", no_argument, NULL, 'b'},      {"versions", no_argument, NULL, 'W'},
		{"log-level", required_argument, NULL, 'l'}, {"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},         {NULL, 0, NULL, 0},
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
		case 't':
			out->take_over = true;
			break;
		case 'b':
			out->background = true;
			break;
		case 'W':
			printf("weir-control %s abi %u store %u\n", WEIR_VERSION, ABI_VERSION,
			       store_schema_version());
			return EXIT_SUCCESS;
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

/* Go on as a child (systemctl reload waits for this process, and the service's process is another). Returns 0 in the
 * child; the parent ends here, with 0 once the child is up. */
static int into_background(struct control *control)
{
	int ends[2];
	pid_t pid;
	char done;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		close(ends[0]);
		control->parent_fd = ends[1];
		return 0;
	}
	close(ends[1]);
	_exit(read(ends[0], &done, 1) == 1 ? EXIT_SUCCESS : EXIT_FAILURE);
}

/* Nobody listens there any more, unless another WireGuard has the name. */
static void remove_wg_socket(const struct config *config)
{
	int err = 0;

	if (config->wg_socket != CONFIG_WG_OFF)
		err = uapi_unlisten(UAPI_DIRECTORY, config->tunnel_device);
	if (err < 0 && err != -EADDRINUSE)
		log_warn("control", "the socket for wg(8) stays directory=%s interface=%s err=%s",
		         UAPI_DIRECTORY, config->tunnel_device, strerror(-err));
}

/* Takes config. */
static int cleanup(struct config *config)
{
	bool lives = if_nametoindex(config->tunnel_device) != 0;

	if (lives) {
		log_err("control", "%s is there, so a hub still runs: end it first",
		        config->tunnel_device);
	} else {
		kernel_devices_destroy(config);
		remove_wg_socket(config);
	}
	config_unload(config);
	return lives ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	uint64_t begin_ns = base_time_monotonic_ns();
	struct arguments arguments = {0};
	struct control control = {.serve_fd = -1, .uapi_fd = -1, .parent_fd = -1};
	char error[MAIN_ERROR_LEN];
	int r;

	base_log_init("weir-control", BASE_LOG_INFO);
	abi_fds_init(&control.devices);
	takeover_gift_init(&control.gift);
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
	control.takes_over = arguments.take_over;
	if (arguments.background && into_background(&control) != 0) {
		log_err("control", "no process in the background err=%s", strerror(errno));
		return EXIT_FAILURE;
	}
	return control_run(&control, begin_ns);
}

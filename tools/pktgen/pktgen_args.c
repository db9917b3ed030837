/* Reading the command line, option by option (pktgen_args_keys.c), and the help. */
#include "pktgen_args_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const pktgen__command_names[PKTGEN_N_COMMANDS] = {
	[PKTGEN_TRAFFIC] = "traffic", [PKTGEN_HANDSHAKE] = "handshake", [PKTGEN_SEARCH] = "search",
	[PKTGEN_LOSS] = "loss",       [PKTGEN_CONFIG] = "config",
};

const char *const pktgen__pattern_names[PKTGEN_N_PATTERNS] = {
	[PKTGEN_RING] = "ring",
	[PKTGEN_PAIRS] = "pairs",
	[PKTGEN_HUB] = "hub",
};

const char *pktgen_args_command_name(enum pktgen_command command)
{
	return pktgen__command_names[command];
}

const char *pktgen_args_pattern_name(enum pktgen_pattern pattern)
{
	return pktgen__pattern_names[pattern];
}

int pktgen__name_read(const char *text, const char *const *names, uint32_t n, uint32_t *out)
{
	for (uint32_t i = 0; i < n; i++) {
		if (strcmp(text, names[i]) == 0) {
			*out = i;
			return 0;
		}
	}
	return -EINVAL;
}

static void usage(FILE *out)
{
	size_t n;
	const struct pktgen_key *keys = pktgen__keys(&n);

	fputs("usage: weir-pktgen traffic|handshake|search|loss|config [--OPTION VALUE]...\n"
	      "\n"
	      "Generates and receives WireGuard traffic: simulated peers shake hands with a hub and send\n"
	      "each other sealed packets through it; what comes back is opened, checked and counted.\n"
	      "\n"
	      "  traffic     one trial at a set rate: sent, received, lost, reordered, latency\n"
	      "  handshake   --peers handshakes, as fast as the hub answers: how many a second\n"
	      "  search      the highest rate at which no more than --loss is lost (RFC 2544)\n"
	      "  loss        a trial at each of --steps times --rate: what arrives under overload\n"
	      "  config      the `peers` part of weir.conf for the same --seed, --peers and --inner\n"
	      "\n",
	      out);
	for (size_t i = 0; i < n; i++) {
		char left[40];

		snprintf(left, sizeof(left), "--%s %s", keys[i].name,
		         keys[i].value != NULL ? keys[i].value : "");
		fprintf(out, "  %-22s %s\n", left, keys[i].help);
		if (keys[i].takes != NULL)
			fprintf(out, "  %-22s   takes %s\n", "", keys[i].takes);
	}
	fputs("  --help, --version\n"
	      "\n"
	      "The private keys follow from --seed, so whoever knows it has them: they are for benchmarks,\n"
	      "never for a hub that carries anything else.\n"
	      "\n"
	      "Exit: 0 done; 1 it did not work, the last line says why, or a trial lost more than a\n"
	      "search allows at every rate; 2 wrong usage.\n",
	      out);
}

static int refuse(const char *name, const char *text, const char *takes)
{
	fprintf(stderr, "weir-pktgen: --%s is \"%s\", must be %s\n", name, text, takes);
	return PKTGEN_EXIT_USAGE;
}

static const struct pktgen_key *find_key(const char *word)
{
	size_t n;
	const struct pktgen_key *keys = pktgen__keys(&n);

	if (strncmp(word, "--", 2) != 0)
		return NULL;
	for (size_t i = 0; i < n; i++)
		if (strcmp(keys[i].name, word + 2) == 0)
			return &keys[i];
	return NULL;
}

/* The word at argv[*i] and its value. Returns -1 to go on, or the exit code. */
static int read_option(int argc, char **argv, int *i, struct pktgen_options *out)
{
	const struct pktgen_key *key = find_key(argv[*i]);
	const char *text = "";

	if (key == NULL) {
		fprintf(stderr, "weir-pktgen: \"%s\" is not an option: see --help\n", argv[*i]);
		return PKTGEN_EXIT_USAGE;
	}
	if (key->value != NULL) {
		if (*i + 1 == argc) {
			fprintf(stderr, "weir-pktgen: --%s takes %s\n", key->name, key->takes);
			return PKTGEN_EXIT_USAGE;
		}
		text = argv[++*i];
	}
	return key->take(out, text) == 0 ? -1 : refuse(key->name, text, key->takes);
}

static void set_defaults(struct pktgen_options *out)
{
	*out = (struct pktgen_options){
		.core = -1,
		.hugepages = true,
		.mtu = 1500,
		.n_queue = 1024,
		.n_queues = 1,
		.seed = "1",
		.n_peers = 64,
		.n_flows = 1,
		.size = 512,
		.seconds = 10,
		.warm_up = 0.2,
		.open_every = 1,
		.window = 32,
		.resolution = 0.01,
		.steps = {1, 2, 4},
		.n_steps = 3,
	};
	out->inner = base_ip_make(BASE_IP_V4, (const uint8_t[]){10, 77, 0, 2});
}

int pktgen_args_read(int argc, char **argv, struct pktgen_options *out)
{
	uint32_t command;

	set_defaults(out);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0) {
			usage(stdout);
			return EXIT_SUCCESS;
		}
		if (strcmp(argv[i], "--version") == 0) {
			puts("weir-pktgen " WEIR_VERSION);
			return EXIT_SUCCESS;
		}
	}
	if (argc < 2
	    || pktgen__name_read(argv[1], pktgen__command_names, PKTGEN_N_COMMANDS, &command) < 0) {
		fprintf(stderr,
		        "weir-pktgen: the command is \"%s\", must be traffic, handshake, search, "
		        "loss or config: see --help\n",
		        argc < 2 ? "" : argv[1]);
		return PKTGEN_EXIT_USAGE;
	}
	out->command = (enum pktgen_command)command;
	for (int i = 2; i < argc; i++) {
		int r = read_option(argc, argv, &i, out);

		if (r >= 0)
			return r;
	}
	return pktgen__check(out);
}

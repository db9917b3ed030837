/* weir-bench: what a packet costs, in TSC cycles on one core, beside the ipsec-mb job API of the
 * same run. See bench/README.md for the method. */
#include "base_bytes.h"
#include "bench.h"
#include "bench_control.h"
#include "bench_machine.h"
#include "bench_report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	EXIT_USAGE = 2,
};

static const char usage[] =
	"usage: weir-bench aead|path|hub|scale|heavy|overload|handshake|policy|block|drops|machine [--OPTION VALUE]...\n"
	"\n"
	"  aead               seal and open bursts of packets\n"
	"  path               a packet's way through a worker, from parse to wrap, by station\n"
	"  hub                the same from one peer to another: opened, judged, sealed\n"
	"  scale              many peers and prefixes against few: cycles, memory, the routing table\n"
	"  heavy              one peer, a worker alone and helped by another on a second CPU\n"
	"  overload           half to four times of what a worker can carry, offered on a second CPU\n"
	"  handshake          a peer's handshake, by the protocol alone and through control\n"
	"  policy             known flows, decisions about new ones, compiling 10,000 grants\n"
	"  block              sources looked up in drop lists, compiling a million prefixes\n"
	"  drops              packets that are opened and dropped beside those that pass\n"
	"  machine            only what the machine is: CPU, TSC and core clock\n"
	"\n"
	"  --rounds N         rounds of 256 packets a size (heavy: 2048), of 16 handshakes, or of 20 ms a size\n"
	"                     (overload); 100 to 100000 (default 121)\n"
	"  --peers N          peers, each with its own keys; 1 to 4096 (default 256); handshake wants\n"
	"                     16 at least; path and scale take up to 131072 (scale: default 100000)\n"
	"  --routes N         prefixes beside the peers' addresses, up to 4000000; path and scale\n"
	"                     (default 0; scale: 1000000, and 64 at least)\n"
	"  --burst N          packets a burst; 1 to 64 (default 32); aead only\n"
	"  --size LIST        of 64, 128, 256, 512, 1024, 1280, 1420, imix, separated by commas\n"
	"                     (default: all; imix is 7:4:1 of 64, 570 and 1420); aead, path, hub,\n"
	"                     heavy, scale (by default 64,512,1420,imix) and overload (64,imix)\n"
	"  --limited N        peers with limits that never bind (default 0); path, hub and scale\n"
	"  --backend NAME     auto, avx512, avx2, ipsec-mb or sodium (default auto);\n"
	"                     aead, path, hub, heavy, scale and overload\n"
	"  --policy           what enforcement adds to the way from peer to peer, 64 bytes; path only, with\n"
	"                     64 peers at least\n"
	"  --without-policy   leave the policy's stations out, as no worker does; path and hub\n"
	"  --json             one JSON object on stdout instead of the table\n"
	"  --help             this text\n"
	"\n"
	"Figures are TSC cycles a packet, minimum and median, and the ratio to the bare ipsec-mb job\n"
	"API measured in turn in the same rounds.\n";

/* Options with a value. */
enum option {
	OPTION_ROUNDS = 0,
	OPTION_PEERS = 1,
	OPTION_BURST = 2,
	OPTION_SIZE = 3,
	OPTION_BACKEND = 4,
	OPTION_ROUTES = 5,
	OPTION_LIMITED = 6,
	N_OPTIONS = 7,
};
static const char *const option_names[N_OPTIONS] = {"--rounds",  "--peers",  "--burst",  "--size",
                                                    "--backend", "--routes", "--limited"};
#define OPTION_BIT(option) (1U << (option))
#define TAKES_PACKETS                                                                              \
	(OPTION_BIT(OPTION_ROUNDS) | OPTION_BIT(OPTION_PEERS) | OPTION_BIT(OPTION_SIZE)            \
	 | OPTION_BIT(OPTION_BACKEND))

#define SUBCOMMANDS                                                                                \
	"aead, path, hub, scale, heavy, overload, handshake, policy, block, drops or machine"
static const struct subcommand {
	const char *name;
	int (*run)(const struct bench_options *options);
	unsigned int takes;     /* OPTION_BIT()s */
	unsigned int peers_min; /* of --peers */
	unsigned int peers_max;
	unsigned int peers_default;
	unsigned int routes_default;
} subcommands[] = {
	{"aead", bench_aead, TAKES_PACKETS | OPTION_BIT(OPTION_BURST), 1, BENCH_PEERS_MAX,
         BENCH_PEERS_DEFAULT, 0},
	{"path", bench_path, TAKES_PACKETS | OPTION_BIT(OPTION_ROUTES) | OPTION_BIT(OPTION_LIMITED),
         1, BENCH_PATH_PEERS_MAX, BENCH_PEERS_DEFAULT, 0},
	{"hub", bench_hub, TAKES_PACKETS | OPTION_BIT(OPTION_ROUTES) | OPTION_BIT(OPTION_LIMITED),
         1, BENCH_PATH_PEERS_MAX, BENCH_PEERS_DEFAULT, 0},
	{"scale", bench_scale,
         TAKES_PACKETS | OPTION_BIT(OPTION_ROUTES) | OPTION_BIT(OPTION_LIMITED), 1,
         BENCH_PATH_PEERS_MAX, 100000, 1000000},
	{"heavy", bench_heavy,
         OPTION_BIT(OPTION_ROUNDS) | OPTION_BIT(OPTION_SIZE) | OPTION_BIT(OPTION_BACKEND), 1, 1, 1,
         0},
	{"overload", bench_overload, TAKES_PACKETS, 2, BENCH_PEERS_MAX, BENCH_PEERS_DEFAULT, 0},
	{"handshake", bench_handshake, OPTION_BIT(OPTION_ROUNDS) | OPTION_BIT(OPTION_PEERS),
         BENCH_HANDSHAKES, BENCH_PEERS_MAX, BENCH_PEERS_DEFAULT, 0},
	{"policy", bench_policy, OPTION_BIT(OPTION_ROUNDS), 1, 1, 1, 0},
	{"drops", bench_drops, OPTION_BIT(OPTION_ROUNDS) | OPTION_BIT(OPTION_PEERS), 2,
         BENCH_PEERS_MAX, BENCH_PEERS_DEFAULT, 0},
	{"block", bench_block, OPTION_BIT(OPTION_ROUNDS), 1, 1, 1, 0},
	{"machine", bench_report_machine, 0, 1, 1, 1, 0},
};

static int refuse(const char *option, const char *value, const char *taken)
{
	fprintf(stderr, "weir-bench: %s is \"%s\", must be %s\n", option, value, taken);
	return -EINVAL;
}

static int parse_number(const char *option, const char *value, unsigned int min, unsigned int max,
                        unsigned int *out)
{
	char taken[64];
	char *end;
	unsigned long number;

	errno = 0;
	number = strtoul(value, &end, 10);
	snprintf(taken, sizeof(taken), "a number from %u to %u", min, max);
	if (value[0] < '0' || value[0] > '9' || *end != '\0' || errno != 0 || number < min
	    || number > max)
		return refuse(option, value, taken);
	*out = (unsigned int)number;
	return 0;
}

static int parse_sizes(const char *value, bool wanted[static BENCH_N_SIZES])
{
	const char *at = value;

	memset(wanted, 0, BENCH_N_SIZES * sizeof(wanted[0]));
	for (;;) {
		size_t len = strcspn(at, ",");
		unsigned int i = 0;

		while (i < BENCH_N_SIZES
		       && (strlen(bench_sizes[i].name) != len
		           || memcmp(bench_sizes[i].name, at, len) != 0))
			i++;
		if (i == BENCH_N_SIZES)
			return refuse("--size", value,
			              "a list of 64, 128, 256, 512, 1024, 1280, 1420, imix");
		wanted[i] = true;
		if (at[len] == '\0')
			return 0;
		at += len + 1;
	}
}

static int parse_option(const struct subcommand *subcommand, enum option option, const char *value,
                        struct bench_options *options)
{
	const char *name = option_names[option];

	switch (option) {
	case OPTION_ROUNDS:
		return parse_number(name, value, BENCH_ROUNDS_MIN, BENCH_ROUNDS_MAX,
		                    &options->rounds);
	case OPTION_PEERS:
		return parse_number(name, value, subcommand->peers_min, subcommand->peers_max,
		                    &options->peers);
	case OPTION_BURST:
		return parse_number(name, value, 1, BENCH_BURST_MAX, &options->burst);
	case OPTION_SIZE:
		return parse_sizes(value, options->size_wanted);
	case OPTION_ROUTES:
		return parse_number(name, value, subcommand->routes_default != 0 ? 64 : 0,
		                    BENCH_ROUTES_MAX, &options->routes);
	case OPTION_LIMITED:
		return parse_number(name, value, 0, BENCH_PATH_PEERS_MAX, &options->limited);
	case OPTION_BACKEND:
	case N_OPTIONS:
		break;
	}
	if (aead_backend_parse(value, &options->backend) != 0)
		return refuse(name, value, "auto, avx512, avx2, ipsec-mb or sodium");
	return 0;
}

static enum option find_option(const char *name)
{
	unsigned int i = 0;

	while (i < N_OPTIONS && strcmp(name, option_names[i]) != 0)
		i++;
	return (enum option)i;
}

/* Say which subcommands take the option that this one does not. */
static int refuse_elsewhere(const struct subcommand *subcommand, enum option option)
{
	const char *before = "it is for";

	fprintf(stderr, "weir-bench: %s does not take %s; ", subcommand->name,
	        option_names[option]);
	for (size_t i = 0; i < BASE_ARRAY_LEN(subcommands); i++) {
		if ((subcommands[i].takes & OPTION_BIT(option)) == 0)
			continue;
		fprintf(stderr, "%s %s", before, subcommands[i].name);
		before = " and";
	}
	fprintf(stderr, "\n");
	return -EINVAL;
}

/* argv from the first behind the subcommand. "--name value" and "--name=value" are both taken. */
static int parse_options(const struct subcommand *subcommand, int argc, char **argv,
                         struct bench_options *options)
{
	for (int i = 0; i < argc; i++) {
		size_t len = strcspn(argv[i], "=");
		const char *value = argv[i][len] == '=' ? argv[i] + len + 1 : NULL;
		char name[16];
		enum option option;
		int err;

		snprintf(name, sizeof(name), "%.*s", (int)len, argv[i]);
		if (strcmp(argv[i], "--json") == 0) {
			options->json = true;
			continue;
		}
		if (strcmp(argv[i], "--policy") == 0 && subcommand->run == bench_path) {
			options->policy = true;
			continue;
		}
		if (strcmp(argv[i], "--without-policy") == 0
		    && (subcommand->run == bench_path || subcommand->run == bench_hub)) {
			options->without_policy = true;
			continue;
		}
		option = find_option(name);
		if (option == N_OPTIONS) {
			fprintf(stderr,
			        "weir-bench: unknown argument \"%s\"; taken are --rounds, --peers, --routes, --burst, --size, --backend, --json, --help\n",
			        argv[i]);
			return -EINVAL;
		}
		if ((subcommand->takes & OPTION_BIT(option)) == 0)
			return refuse_elsewhere(subcommand, option);
		if (value == NULL && i + 1 == argc) {
			fprintf(stderr, "weir-bench: %s needs a value; see weir-bench --help\n",
			        name);
			return -EINVAL;
		}
		err = parse_option(subcommand, option, value != NULL ? value : argv[++i], options);
		if (err != 0)
			return err;
	}
	return 0;
}

static bool asks_help(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return true;
	}
	return false;
}

static const struct subcommand *find_subcommand(const char *name)
{
	for (size_t i = 0; i < BASE_ARRAY_LEN(subcommands); i++) {
		if (strcmp(name, subcommands[i].name) == 0)
			return &subcommands[i];
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct bench_options options = {
		.rounds = BENCH_ROUNDS_DEFAULT,
		.burst = BENCH_BURST,
		.backend = AEAD_BACKEND_AUTO,
	};
	const struct subcommand *subcommand;
	int cpu;

	if (asks_help(argc, argv)) {
		fputs(usage, stdout);
		return EXIT_SUCCESS;
	}
	if (argc < 2) {
		fprintf(stderr,
		        "weir-bench: subcommand missing, must be " SUBCOMMANDS "; see --help\n");
		return EXIT_USAGE;
	}
	subcommand = find_subcommand(argv[1]);
	if (subcommand == NULL) {
		(void)refuse("subcommand", argv[1], SUBCOMMANDS);
		return EXIT_USAGE;
	}
	for (unsigned int i = 0; i < BENCH_N_SIZES; i++)
		options.size_wanted[i] = true;
	options.peers = subcommand->peers_default;
	options.routes = subcommand->routes_default;
	/* What its eight sizes would take nobody waits for. */
	if (subcommand->run == bench_overload)
		(void)parse_sizes("64,imix", options.size_wanted);
	if (subcommand->run == bench_scale)
		(void)parse_sizes("64,512,1420,imix", options.size_wanted);
	if (parse_options(subcommand, argc - 2, argv + 2, &options) != 0)
		return EXIT_USAGE;
	cpu = bench_machine_pin();
	if (cpu < 0) {
		fprintf(stderr, "weir-bench: cannot pin to one CPU: %s\n", strerror(-cpu));
		return EXIT_FAILURE;
	}
	return subcommand->run(&options);
}

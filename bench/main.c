/* weir-bench: what a packet costs, in TSC cycles on one core, beside the ipsec-mb job API of the
 * same run. See bench/README.md for the method. */
#include "base_bytes.h"
#include "bench.h"
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
	"usage: weir-bench aead|path|machine [--OPTION VALUE]...\n"
	"\n"
	"  aead               seal and open bursts of packets\n"
	"  path               a packet's way through a worker, from parse to wrap, by station\n"
	"  machine            only what the machine is: CPU, TSC and core clock\n"
	"\n"
	"  --rounds N         rounds of 256 packets a size; 100 to 100000 (default 121)\n"
	"  --peers N          peers, each with its own keys; 1 to 4096 (default 256)\n"
	"  --burst N          packets a burst of aead; 1 to 64 (default 32)\n"
	"  --size LIST        of 64, 128, 256, 512, 1024, 1280, 1420, imix, separated by commas\n"
	"                     (default: all; imix is 7:4:1 of 64, 570 and 1420)\n"
	"  --backend NAME     auto, avx512, avx2, ipsec-mb or sodium (default auto)\n"
	"  --json             one JSON object on stdout instead of the table\n"
	"  --help             this text\n"
	"\n"
	"Figures are TSC cycles a packet, minimum and median, and the ratio to the bare ipsec-mb job\n"
	"API measured in turn in the same rounds.\n";

#define SUBCOMMANDS "aead, path or machine"
static const struct subcommand {
	const char *name;
	int (*run)(const struct bench_options *options);
} subcommands[] = {
	{"aead", bench_aead},
	{"path", bench_path},
	{"machine", bench_report_machine},
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

static int parse_option(const char *option, const char *value, struct bench_options *options)
{
	if (strcmp(option, "--rounds") == 0)
		return parse_number(option, value, BENCH_ROUNDS_MIN, BENCH_ROUNDS_MAX,
		                    &options->rounds);
	if (strcmp(option, "--peers") == 0)
		return parse_number(option, value, 1, BENCH_PEERS_MAX, &options->peers);
	if (strcmp(option, "--burst") == 0)
		return parse_number(option, value, 1, BENCH_BURST_MAX, &options->burst);
	if (strcmp(option, "--size") == 0)
		return parse_sizes(value, options->size_wanted);
	if (aead_backend_parse(value, &options->backend) != 0)
		return refuse(option, value, "auto, avx512, avx2, ipsec-mb or sodium");
	return 0;
}

static bool takes_value(const char *option)
{
	return strcmp(option, "--rounds") == 0 || strcmp(option, "--peers") == 0
	       || strcmp(option, "--burst") == 0 || strcmp(option, "--size") == 0
	       || strcmp(option, "--backend") == 0;
}

/* argv from the first behind the subcommand. "--name value" and "--name=value" are both taken. */
static int parse_options(int argc, char **argv, struct bench_options *options)
{
	for (int i = 0; i < argc; i++) {
		size_t len = strcspn(argv[i], "=");
		const char *value = argv[i][len] == '=' ? argv[i] + len + 1 : NULL;
		char option[16];
		int err;

		snprintf(option, sizeof(option), "%.*s", (int)len, argv[i]);
		if (strcmp(argv[i], "--json") == 0) {
			options->json = true;
			continue;
		}
		if (!takes_value(option)) {
			fprintf(stderr,
			        "weir-bench: unknown argument \"%s\"; taken are --rounds, --peers, --burst, --size, --backend, --json, --help\n",
			        argv[i]);
			return -EINVAL;
		}
		if (value == NULL && i + 1 == argc) {
			fprintf(stderr, "weir-bench: %s needs a value; see weir-bench --help\n",
			        option);
			return -EINVAL;
		}
		err = parse_option(option, value != NULL ? value : argv[++i], options);
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
		.peers = BENCH_PEERS_DEFAULT,
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
	if (parse_options(argc - 2, argv + 2, &options) != 0)
		return EXIT_USAGE;
	if (subcommand->run != bench_aead && options.burst != BENCH_BURST) {
		fprintf(stderr, "weir-bench: --burst is for aead only\n");
		return EXIT_USAGE;
	}
	cpu = bench_machine_pin();
	if (cpu < 0) {
		fprintf(stderr, "weir-bench: cannot pin to one CPU: %s\n", strerror(-cpu));
		return EXIT_FAILURE;
	}
	return subcommand->run(&options);
}

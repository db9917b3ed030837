/* One table of options: names, what they take, their readers. The help is made from it. */
#include "pktgen_args.h"

#include "base_bytes.h"
#include "base_text.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	EXIT_USAGE = 2,
};

static const char *const command_names[PKTGEN_N_COMMANDS] = {
	[PKTGEN_TRAFFIC] = "traffic", [PKTGEN_HANDSHAKE] = "handshake", [PKTGEN_SEARCH] = "search",
	[PKTGEN_LOSS] = "loss",       [PKTGEN_CONFIG] = "config",
};

static const char *const pattern_names[PKTGEN_N_PATTERNS] = {
	[PKTGEN_RING] = "ring",
	[PKTGEN_PAIRS] = "pairs",
	[PKTGEN_HUB] = "hub",
};

const char *pktgen_args_command_name(enum pktgen_command command)
{
	return command_names[command];
}

const char *pktgen_args_pattern_name(enum pktgen_pattern pattern)
{
	return pattern_names[pattern];
}

/* ---- values ------------------------------------------------------------------------------------- */

static int read_u32(const char *text, uint32_t min, uint32_t max, uint32_t *out)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value < min
	    || value > max)
		return -EINVAL;
	*out = (uint32_t)value;
	return 0;
}

/* A decimal number; *end is what follows it. */
static int read_decimal(const char *text, double min, double max, double *out, const char **rest)
{
	char *end;
	double value;

	/* strtod() alone would take hexadecimal, "nan" and white space too. */
	if (strspn(text, "0123456789.") == 0 || text[0] == '.' || text[1] == 'x' || text[1] == 'X')
		return -EINVAL;
	value = strtod(text, &end);
	*rest = end;
	if (!isfinite(value) || value < min || value > max)
		return -EINVAL;
	*out = value;
	return 0;
}

static int read_number(const char *text, double min, double max, double *out)
{
	const char *rest;
	int r = read_decimal(text, min, max, out, &rest);

	return r == 0 && *rest == '\0' ? 0 : -EINVAL;
}

static int read_name(const char *text, const char *const *names, uint32_t n, uint32_t *out)
{
	for (uint32_t i = 0; i < n; i++) {
		if (strcmp(text, names[i]) == 0) {
			*out = i;
			return 0;
		}
	}
	return -EINVAL;
}

static int read_mac(const char *text, uint8_t out[static 6])
{
	for (uint32_t i = 0; i < 6; i++) {
		char digits[3] = {0};

		memcpy(digits, text, strnlen(text, 2));
		if (base_hex_decode(&out[i], 1, digits) < 0 || text[2] != (i < 5 ? ':' : '\0'))
			return -EINVAL;
		text += 3;
	}
	return (out[0] & 1) != 0 || base_is_zero_ct(out, 6) ? -EINVAL : 0;
}

int pktgen_args_rate(const char *text, struct pktgen_rate *out)
{
	static const struct {
		const char *name;
		double factor;
		bool bits;
	} units[] = {
		{"pps", 1, false},   {"kpps", 1e3, false}, {"Mpps", 1e6, false}, {"bit", 1, true},
		{"kbit", 1e3, true}, {"Mbit", 1e6, true},  {"Gbit", 1e9, true},
	};
	const char *rest;
	double value;

	*out = (struct pktgen_rate){0};
	if (strcmp(text, "max") == 0)
		return 0;
	if (read_decimal(text, 0, 1e12, &value, &rest) < 0)
		return -EINVAL;
	for (size_t i = 0; i < BASE_ARRAY_LEN(units); i++) {
		if (strcmp(rest, units[i].name) != 0)
			continue;
		value *= units[i].factor;
		*(units[i].bits ? &out->bits : &out->packets) = value;
		return value >= 1 && (units[i].bits ? value <= 1e12 : value <= PKTGEN_RATE_MAX)
		               ? 0
		               : -EINVAL;
	}
	return -EINVAL;
}

double pktgen_args_pps(const struct pktgen_rate *rate, double mean_len)
{
	return rate->bits > 0 ? rate->bits / (mean_len * 8) : rate->packets;
}

/* ---- readers ------------------------------------------------------------------------------------ */

static int take_port(struct pktgen_options *o, const char *text)
{
	o->port = text;
	return text[0] != '\0' && strlen(text) < 256 ? 0 : -EINVAL;
}

static int take_core(struct pktgen_options *o, const char *text)
{
	uint32_t core;
	int r = read_u32(text, 0, 1023, &core);

	o->core = r == 0 ? (int)core : -1;
	return r;
}

static int take_idle(struct pktgen_options *o, const char *text)
{
	static const char *const names[] = {"busy", "nap"};
	uint32_t nap = 0;
	int r = read_name(text, names, 2, &nap);

	o->nap = nap != 0;
	return r;
}

static int take_hugepages(struct pktgen_options *o, const char *text)
{
	static const char *const names[] = {"no", "yes"};
	uint32_t yes = 0;
	int r = read_name(text, names, 2, &yes);

	o->hugepages = yes != 0;
	return r;
}

static int take_mtu(struct pktgen_options *o, const char *text)
{
	uint32_t mtu = 0;
	int r = read_u32(text, 1280, 9000, &mtu);

	o->mtu = (uint16_t)mtu;
	return r;
}

static int take_queue(struct pktgen_options *o, const char *text)
{
	uint32_t n = 0;
	int r = read_u32(text, 64, 8192, &n);

	o->n_queue = (uint16_t)n;
	return r;
}

static int take_queues(struct pktgen_options *o, const char *text)
{
	return read_u32(text, 1, PKTGEN_QUEUES_MAX, &o->n_queues);
}

static int take_source(struct pktgen_options *o, const char *text)
{
	int r = base_prefix_parse(text, &o->source);

	return r == 0 && strchr(text, '/') != NULL ? 0 : -EINVAL;
}

static int take_addresses(struct pktgen_options *o, const char *text)
{
	return read_u32(text, 1, PKTGEN_ADDRESSES_MAX, &o->n_addresses);
}

static int take_gateway(struct pktgen_options *o, const char *text)
{
	return base_ip_parse(text, &o->gateway);
}

static int take_hub(struct pktgen_options *o, const char *text)
{
	return base_endpoint_parse(text, &o->hub);
}

static int take_hub_key(struct pktgen_options *o, const char *text)
{
	o->has_hub_key = true;
	return base_key_from_base64(o->hub_key, text);
}

static int take_hub_mac(struct pktgen_options *o, const char *text)
{
	o->has_hub_mac = true;
	return read_mac(text, o->hub_mac);
}

static int take_mac(struct pktgen_options *o, const char *text)
{
	o->has_mac = true;
	return read_mac(text, o->mac);
}

static int take_seed(struct pktgen_options *o, const char *text)
{
	o->seed = text;
	return text[0] != '\0' && strlen(text) <= PKTGEN_SEED_MAX ? 0 : -EINVAL;
}

static int take_peers(struct pktgen_options *o, const char *text)
{
	return read_u32(text, 1, PKTGEN_PEERS_MAX, &o->n_peers);
}

static int take_inner(struct pktgen_options *o, const char *text)
{
	return base_ip_parse(text, &o->inner);
}

static int take_inner_hub(struct pktgen_options *o, const char *text)
{
	return base_ip_parse(text, &o->inner_hub);
}

static int take_pattern(struct pktgen_options *o, const char *text)
{
	uint32_t pattern = 0;
	int r = read_name(text, pattern_names, PKTGEN_N_PATTERNS, &pattern);

	o->pattern = (enum pktgen_pattern)pattern;
	return r;
}

static int take_direction(struct pktgen_options *o, const char *text)
{
	static const char *const names[] = {"one", "both"};
	uint32_t both = 0;
	int r = read_name(text, names, 2, &both);

	o->both_ways = both != 0;
	return r;
}

static int take_flows(struct pktgen_options *o, const char *text)
{
	return read_u32(text, 1, PKTGEN_FLOWS_MAX, &o->n_flows);
}

static int take_size(struct pktgen_options *o, const char *text)
{
	uint32_t size = 0;
	int r = strcmp(text, "imix") == 0 ? 0
	                                  : read_u32(text, PKTGEN_SIZE_MIN, PKTGEN_SIZE_MAX, &size);

	o->size = (uint16_t)size;
	return r;
}

static int take_rate(struct pktgen_options *o, const char *text)
{
	return pktgen_args_rate(text, &o->rate);
}

static int take_time(struct pktgen_options *o, const char *text)
{
	return read_number(text, 0.01, 1e6, &o->seconds);
}

static int take_warm_up(struct pktgen_options *o, const char *text)
{
	return read_number(text, 0, 60, &o->warm_up);
}

static int take_open_every(struct pktgen_options *o, const char *text)
{
	return read_u32(text, 1, 1000000, &o->open_every);
}

static int take_backend(struct pktgen_options *o, const char *text)
{
	return aead_backend_parse(text, &o->backend);
}

static int take_window(struct pktgen_options *o, const char *text)
{
	return read_u32(text, 1, 4096, &o->window);
}

static int take_handshake_rate(struct pktgen_options *o, const char *text)
{
	return strcmp(text, "max") == 0 ? 0 : read_number(text, 0.1, 1e6, &o->handshake_rate);
}

static int take_percent(const char *text, double min, double max, double *out)
{
	int r = read_number(text, min, max, out);

	*out /= 100;
	return r;
}

static int take_loss(struct pktgen_options *o, const char *text)
{
	return take_percent(text, 0, 100, &o->loss);
}

static int take_resolution(struct pktgen_options *o, const char *text)
{
	return take_percent(text, 0.1, 50, &o->resolution);
}

static int take_max_rate(struct pktgen_options *o, const char *text)
{
	struct pktgen_rate rate;
	int r = pktgen_args_rate(text, &rate);

	o->max_rate = rate.packets;
	return r == 0 && rate.bits <= 0 ? 0 : -EINVAL;
}

static int take_steps(struct pktgen_options *o, const char *text)
{
	o->n_steps = 0;
	for (;;) {
		const char *rest;

		if (o->n_steps == PKTGEN_STEPS_MAX
		    || read_decimal(text, 0.01, 1000, &o->steps[o->n_steps], &rest) < 0)
			return -EINVAL;
		o->n_steps++;
		if (*rest == '\0')
			return 0;
		if (*rest != ',')
			return -EINVAL;
		text = rest + 1;
	}
}

static int take_json(struct pktgen_options *o, const char *text)
{
	(void)text;
	o->json = true;
	return 0;
}

static int take_quiet(struct pktgen_options *o, const char *text)
{
	(void)text;
	o->quiet = true;
	return 0;
}

/* ---- table -------------------------------------------------------------------------------------- */

struct key {
	const char *name;
	const char *value; /* NULL: a switch */
	const char *takes; /* for refusals and for the help */
	const char *help;
	int (*take)(struct pktgen_options *options, const char *text);
};

static const struct key keys[] = {
	{"port", "DEVICE", "a virtual device of DPDK with its arguments, or a PCI address",
         "where packets go", take_port},
	{"hub", "ADDRESS:PORT", "an address and a port, 192.0.2.2:51820 or [2001:db8::2]:51820",
         "the hub's WireGuard endpoint", take_hub},
	{"hub-key", "KEY", "44 characters of base64", "the hub's public key", take_hub_key},
	{"source", "ADDRESS/LEN", "an address with the length of its net, 192.0.2.100/24",
         "the first own address; more follow it", take_source},
	{"addresses", "N", "a number from 1 to 1024",
         "own addresses (default: one for 50000 peers)", take_addresses},
	{"gateway", "ADDRESS", "an address of the family of --source",
         "needed when the hub is not in the net of --source", take_gateway},
	{"hub-mac", "MAC", "an Ethernet address, 02:00:00:00:00:01",
         "instead of asking by ARP or neighbour discovery", take_hub_mac},
	{"mac", "MAC", "an Ethernet address, 02:00:00:00:00:01",
         "own address (default: the port's)", take_mac},
	{"mtu", "BYTES", "a number from 1280 to 9000", "of the port (default 1500)", take_mtu},
	{"queue", "N", "a number from 64 to 8192",
         "packets that each queue of the port holds (default 1024)", take_queue},
	{"queues", "N", "a number from 1 to 16",
         "of the port, each way; peer i sends on queue i mod N (default 1)", take_queues},
	{"core", "N", "a number from 0 to 1023", "CPU to run on (default: any)", take_core},
	{"idle", "HOW", "busy or nap", "nap: leave the CPU to others when idle (default busy)",
         take_idle},
	{"hugepages", "YES", "yes or no", "(default yes; without a free one, ordinary memory)",
         take_hugepages},

	{"peers", "N", "a number from 1 to 100000", "simulated peers (default 64)", take_peers},
	{"seed", "TEXT", "1 to 64 characters", "peers' private keys are made of it (default \"1\")",
         take_seed},
	{"inner", "ADDRESS", "an address",
         "of the first peer; peer i has i more (default 10.77.0.2)", take_inner},
	{"inner-hub", "ADDRESS", "an address of the family of --inner",
         "the hub's own (default: the one before --inner)", take_inner_hub},

	{"pattern", "NAME", "ring, pairs or hub",
         "ring: peer i to i + 1; pairs: 2k to 2k + 1; hub: peers ping the hub (default ring)",
         take_pattern},
	{"direction", "WAY", "one or both", "both: the other way too (default one)",
         take_direction},
	{"flows", "N", "a number from 1 to 256", "of each pair of peers (default 1)", take_flows},
	{"size", "BYTES", "a number from 64 to 8900, or imix",
         "inner packet; imix is 7:4:1 of 64, 570 and 1420 (default 512)", take_size},
	{"rate", "RATE", "max, or a number with pps, kpps, Mpps, bit, kbit, Mbit or Gbit",
         "packets or bits of inner packets a second (default max)", take_rate},
	{"time", "SECONDS", "a number from 0.01 to 1000000", "of a trial (default 10)", take_time},
	{"warm-up", "SECONDS", "a number from 0 to 60", "before a trial, not counted (default 0.2)",
         take_warm_up},
	{"open-every", "N", "a number from 1 to 1000000",
         "open and check one packet in N of those that come (default 1)", take_open_every},
	{"backend", "NAME", "auto, avx512, avx2, ipsec-mb or sodium", "(default auto)",
         take_backend},

	{"window", "N", "a number from 1 to 4096", "unanswered handshakes at a time (default 32)",
         take_window},
	{"handshake-rate", "N", "max, or a number from 0.1 to 1000000",
         "handshakes a second (default max)", take_handshake_rate},

	{"loss", "PERCENT", "a number from 0 to 100", "that a search allows (default 0)",
         take_loss},
	{"resolution", "PERCENT", "a number from 0.1 to 50",
         "of the rate, at which a search ends (default 1)", take_resolution},
	{"max-rate", "RATE", "a number with pps, kpps or Mpps",
         "where a search begins (default: what the port takes)", take_max_rate},
	{"steps", "LIST", "up to 16 numbers from 0.01 to 1000, separated by commas",
         "of loss: multiples of --rate (default 1,2,4)", take_steps},

	{"json", NULL, NULL, "one JSON object on stdout instead of the table", take_json},
	{"quiet", NULL, NULL, "no progress lines on stderr", take_quiet},
};

static void usage(FILE *out)
{
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
	for (size_t i = 0; i < BASE_ARRAY_LEN(keys); i++) {
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
	return EXIT_USAGE;
}

/* ---- what does not fit together ----------------------------------------------------------------- */

static int wrong(const char *text)
{
	fprintf(stderr, "weir-pktgen: %s\n", text);
	return EXIT_USAGE;
}

/* a + n within the bytes of its family? */
static bool addresses_fit(const struct base_ip *first, uint32_t n)
{
	size_t len = base_ip_len(first->family);
	uint32_t low = base_load_be32(first->bytes + len - 4);

	return low <= UINT32_MAX - n;
}

static int check_inner(struct pktgen_options *o)
{
	size_t len = base_ip_len(o->inner.family);
	uint32_t low = base_load_be32(o->inner.bytes + len - 4);

	if (!addresses_fit(&o->inner, o->n_peers))
		return wrong("--inner: there are not --peers addresses behind it");
	if (o->inner_hub.family == BASE_IP_NONE && low > 0) {
		o->inner_hub = o->inner;
		base_store_be32(o->inner_hub.bytes + len - 4, low - 1);
	}
	if (o->inner_hub.family != o->inner.family)
		return wrong("--inner-hub must be an address of the family of --inner");
	return -1;
}

static int check_network(struct pktgen_options *o)
{
	uint32_t needed = (o->n_peers + PKTGEN_PORTS_ADDRESS - 1) / PKTGEN_PORTS_ADDRESS;
	struct base_ip last = o->source.ip;
	size_t len = base_ip_len(last.family);
	bool near;

	if (o->port == NULL || o->hub.port == 0 || !o->has_hub_key
	    || o->source.ip.family == BASE_IP_NONE)
		return wrong("--port, --hub, --hub-key and --source are needed: see --help");
	if (o->hub.ip.family != o->source.ip.family)
		return wrong("--hub and --source must be of one address family");
	if (o->n_addresses == 0)
		o->n_addresses = needed;
	if (o->n_addresses < needed)
		return wrong("--addresses: one is needed for 50000 peers");
	if (!addresses_fit(&last, o->n_addresses))
		return wrong("--source: there are not --addresses addresses behind it");
	base_store_be32(last.bytes + len - 4,
	                base_load_be32(last.bytes + len - 4) + o->n_addresses - 1);
	if (!base_prefix_contains(&o->source, &last))
		return wrong("--source: --addresses addresses do not fit into its net");
	near = base_prefix_contains(&o->source, &o->hub.ip);
	if (!near && o->gateway.family == BASE_IP_NONE && !o->has_hub_mac)
		return wrong("--gateway is needed: the hub is not in the net of --source");
	if (o->gateway.family != BASE_IP_NONE && !base_prefix_contains(&o->source, &o->gateway))
		return wrong("--gateway must be in the net of --source");
	return -1;
}

static int check_traffic(const struct pktgen_options *o)
{
	uint16_t largest = o->size != 0 ? o->size : 1420;
	uint32_t outer = (o->hub.ip.family == BASE_IP_V4 ? 28U : 48U) + 32U;

	if (o->inner.family == BASE_IP_V6 && o->size != 0 && o->size < PKTGEN_SIZE_MIN_V6)
		return wrong("--size must be at least 80 with IPv6 inside");
	if (o->inner.family == BASE_IP_V6 && o->size == 0)
		return wrong("--size imix has packets of 64 bytes, too small for IPv6 inside: "
		             "give one size of at least 80");
	if (largest + outer > o->mtu)
		return wrong("--size, and 60 bytes around it (80 with IPv6), must fit into --mtu");
	if (o->pattern == PKTGEN_PAIRS && o->n_peers % 2 != 0)
		return wrong("--peers must be even with --pattern pairs");
	if (o->pattern == PKTGEN_RING && o->n_peers < 2)
		return wrong("--peers must be at least 2 with --pattern ring");
	if (o->pattern == PKTGEN_HUB && o->both_ways)
		return wrong("--direction both is for peers: the hub answers every ping anyway");
	if ((uint64_t)o->n_peers * o->n_flows * (o->both_ways ? 2 : 1) > PKTGEN_ALL_FLOWS_MAX)
		return wrong("--peers times --flows (twice with --direction both) must be at most "
		             "4194304");
	if (o->command == PKTGEN_LOSS && o->rate.bits <= 0 && o->rate.packets <= 0)
		return wrong("--rate is needed: loss takes multiples of it");
	return -1;
}

static int check(struct pktgen_options *o)
{
	int r = check_inner(o);

	if (r >= 0 || o->command == PKTGEN_CONFIG)
		return r;
	r = check_network(o);
	if (r >= 0 || o->command == PKTGEN_HANDSHAKE)
		return r;
	return check_traffic(o);
}

/* ---- reading ------------------------------------------------------------------------------------ */

static const struct key *find_key(const char *word)
{
	if (strncmp(word, "--", 2) != 0)
		return NULL;
	for (size_t i = 0; i < BASE_ARRAY_LEN(keys); i++)
		if (strcmp(keys[i].name, word + 2) == 0)
			return &keys[i];
	return NULL;
}

/* The word at argv[*i] and its value. Returns -1 to go on, or the exit code. */
static int read_option(int argc, char **argv, int *i, struct pktgen_options *out)
{
	const struct key *key = find_key(argv[*i]);
	const char *text = "";

	if (key == NULL) {
		fprintf(stderr, "weir-pktgen: \"%s\" is not an option: see --help\n", argv[*i]);
		return EXIT_USAGE;
	}
	if (key->value != NULL) {
		if (*i + 1 == argc) {
			fprintf(stderr, "weir-pktgen: --%s takes %s\n", key->name, key->takes);
			return EXIT_USAGE;
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
	if (argc < 2 || read_name(argv[1], command_names, PKTGEN_N_COMMANDS, &command) < 0) {
		fprintf(stderr,
		        "weir-pktgen: the command is \"%s\", must be traffic, handshake, search, "
		        "loss or config: see --help\n",
		        argc < 2 ? "" : argv[1]);
		return EXIT_USAGE;
	}
	out->command = (enum pktgen_command)command;
	for (int i = 2; i < argc; i++) {
		int r = read_option(argc, argv, &i, out);

		if (r >= 0)
			return r;
	}
	return check(out);
}

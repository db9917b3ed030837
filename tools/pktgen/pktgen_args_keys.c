/* The options: names, what they take, their readers. The help is made from this table. */
#include "base_bytes.h"
#include "base_text.h"
#include "pktgen_args_private.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

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
	int r = pktgen__name_read(text, names, 2, &nap);

	o->nap = nap != 0;
	return r;
}

static int take_hugepages(struct pktgen_options *o, const char *text)
{
	static const char *const names[] = {"no", "yes"};
	uint32_t yes = 0;
	int r = pktgen__name_read(text, names, 2, &yes);

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
	int r = pktgen__name_read(text, pktgen__pattern_names, PKTGEN_N_PATTERNS, &pattern);

	o->pattern = (enum pktgen_pattern)pattern;
	return r;
}

static int take_direction(struct pktgen_options *o, const char *text)
{
	static const char *const names[] = {"one", "both"};
	uint32_t both = 0;
	int r = pktgen__name_read(text, names, 2, &both);

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

static const struct pktgen_key keys[] = {
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
	{"steps", "LIST", "up to 64 numbers from 0.01 to 1000, separated by commas",
         "of loss: multiples of --rate (default 1,2,4)", take_steps},

	{"json", NULL, NULL, "one JSON object on stdout instead of the table", take_json},
	{"quiet", NULL, NULL, "no progress lines on stderr", take_quiet},
};

const struct pktgen_key *pktgen__keys(size_t *n)
{
	*n = BASE_ARRAY_LEN(keys);
	return keys;
}

#include "base_bytes.h"
#include "pktgen_args.h"
#include "test.h"

#include <string.h>
#include <unistd.h>

#define KEY "fU8UlIM2VtaV9t4LYyN4JTHTU0vlG7GlBRkUAyqvQy4="

static struct pktgen_options options;
static char said[400];

/* Read words after the program's name; what goes to stderr lands in said. */
static int read_words(const char *const *words)
{
	char *argv[40] = {(char *)(uintptr_t) "weir-pktgen"};
	int argc = 1, keep = dup(2), pipes[2], r;
	ssize_t n;

	for (; words[argc - 1] != NULL; argc++)
		argv[argc] = (char *)(uintptr_t)words[argc - 1];
	assert_int_equal(pipe(pipes), 0);
	dup2(pipes[1], 2);
	r = pktgen_args_read(argc, argv, &options);
	dup2(keep, 2);
	close(keep);
	close(pipes[1]);
	n = read(pipes[0], said, sizeof(said) - 1);
	close(pipes[0]);
	said[n > 0 ? n : 0] = '\0';
	return r;
}

#define NETWORK                                                                                    \
	"--port", "net_null0", "--hub", "192.0.2.2:51820", "--hub-key", KEY, "--source",           \
		"192.0.2.100/24"
#define READ(...) read_words((const char *const[]){__VA_ARGS__, NULL})

static void refused(const char *what, int r)
{
	assert_int_equal(r, 2);
	if (strstr(said, what) == NULL)
		fail_msg("said \"%s\", expected \"%s\"", said, what);
}

#define EIGHT_STEPS "1,1,1,1,1,1,1,1"
#define MANY_STEPS                                                                                 \
	EIGHT_STEPS "," EIGHT_STEPS "," EIGHT_STEPS "," EIGHT_STEPS "," EIGHT_STEPS                \
		    "," EIGHT_STEPS "," EIGHT_STEPS "," EIGHT_STEPS

static void every_option_is_read(void **state)
{
	(void)state;
	assert_int_equal(READ("search", NETWORK, "--addresses", "3", "--peers", "1000", "--seed",
	                      "abc", "--inner", "10.9.0.2", "--pattern", "pairs", "--direction",
	                      "both", "--flows", "4", "--size", "imix", "--rate", "2Mpps", "--time",
	                      "0.5", "--core", "1", "--idle", "nap", "--hugepages", "no", "--json"),
	                 -1);
	assert_int_equal(options.command, PKTGEN_SEARCH);
	assert_int_equal(options.hub.port, 51820);
	assert_int_equal(options.n_addresses, 3);
	assert_int_equal(options.n_peers, 1000);
	assert_string_equal(options.seed, "abc");
	assert_int_equal(options.inner_hub.bytes[3], 1); /* the one before --inner */
	assert_int_equal(options.pattern, PKTGEN_PAIRS);
	assert_true(options.both_ways && options.nap && options.json && !options.hugepages);
	assert_int_equal(options.size, 0);
	assert_true(options.rate.packets > 1999999 && options.rate.packets < 2000001);
	assert_int_equal(options.core, 1);
	assert_int_equal(READ("loss", NETWORK, "--rate", "1kpps", "--steps", MANY_STEPS), -1);
	assert_int_equal(options.n_steps, PKTGEN_STEPS_MAX);
}

static void rates_have_units(void **state)
{
	static const struct {
		const char *text;
		double packets, bits;
	} good[] = {
		{"max", 0, 0},    {"1pps", 1, 0},    {"2.5kpps", 2500, 0}, {"3Mpps", 3e6, 0},
		{"64bit", 0, 64}, {"1kbit", 0, 1e3}, {"10Mbit", 0, 1e7},   {"1.5Gbit", 0, 1.5e9},
	};
	static const char *const bad[] = {"",       "1",   "pps",    "-1pps", "1 pps",   "0pps",
	                                  "1e9pps", "nan", "0x1pps", "1Gpps", "200Mpps", "1mpps"};
	struct pktgen_rate rate;

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(good); i++) {
		assert_int_equal(pktgen_args_rate(good[i].text, &rate), 0);
		assert_true(rate.packets > good[i].packets * 0.999999 - 1e-9
		            && rate.packets < good[i].packets * 1.000001 + 1e-9);
		assert_true(rate.bits > good[i].bits * 0.999999 - 1e-9
		            && rate.bits < good[i].bits * 1.000001 + 1e-9);
	}
	for (size_t i = 0; i < BASE_ARRAY_LEN(bad); i++)
		if (pktgen_args_rate(bad[i], &rate) != -22)
			fail_msg("\"%s\" was taken", bad[i]);
}

static void bits_become_packets_of_the_mean_size(void **state)
{
	const struct pktgen_rate rate = {.bits = 8e6};

	(void)state;
	assert_true(pktgen_args_pps(&rate, 1000) > 999.9 && pktgen_args_pps(&rate, 1000) < 1000.1);
}

static void a_bad_value_is_answered_with_what_is_taken(void **state)
{
	(void)state;
	refused("--peers is \"0\", must be a number from 1 to 100000",
	        READ("config", "--peers", "0"));
	refused("--peers is \"100001\"", READ("config", "--peers", "100001"));
	refused("--peers is \"12x\"", READ("config", "--peers", "12x"));
	refused("--peers takes a number", READ("config", "--peers"));
	refused("--size is \"63\", must be a number from 64 to 8900, or imix",
	        READ("traffic", "--size", "63"));
	refused("--hub is \"192.0.2.2\"", READ("traffic", "--hub", "192.0.2.2"));
	refused("--hub-key is \"AAAA\"", READ("traffic", "--hub-key", "AAAA"));
	refused("--hub-mac is \"02:00\"", READ("traffic", "--hub-mac", "02:00"));
	refused("--hub-mac is \"01:00:00:00:00:01\"",
	        READ("traffic", "--hub-mac", "01:00:00:00:00:01"));
	refused("--source is \"192.0.2.1\"", READ("traffic", "--source", "192.0.2.1"));
	refused("--backend is \"aes\"", READ("traffic", "--backend", "aes"));
	refused("--steps is \"1,,2\"", READ("loss", "--steps", "1,,2"));
	refused("--steps is \"1,1,1", READ("loss", "--steps", MANY_STEPS ",1"));
	refused("--time is \"nan\"", READ("traffic", "--time", "nan"));
	refused("\"--prot\" is not an option", READ("traffic", "--prot", "x"));
	refused("the command is \"trafic\", must be traffic", READ("trafic"));
	refused("the command is \"\"", read_words((const char *const[]){NULL}));
}

static void what_does_not_fit_together_is_refused(void **state)
{
	(void)state;
	refused("--port, --hub, --hub-key and --source are needed", READ("traffic"));
	refused("of one address family", READ("traffic", NETWORK, "--source", "2001:db8::1/64"));
	refused("--gateway is needed", READ("traffic", NETWORK, "--source", "198.51.100.2/24"));
	refused("--gateway must be in the net",
	        READ("traffic", NETWORK, "--gateway", "198.51.100.1"));
	refused("do not fit into its net", READ("traffic", NETWORK, "--addresses", "200"));
	refused("one is needed for 50000",
	        READ("traffic", NETWORK, "--peers", "60000", "--addresses", "1"));
	refused("must be even", READ("traffic", NETWORK, "--pattern", "pairs", "--peers", "3"));
	refused("at least 2", READ("traffic", NETWORK, "--peers", "1"));
	refused("must fit into --mtu", READ("traffic", NETWORK, "--size", "1450"));
	refused("at least 80", READ("traffic", NETWORK, "--inner", "fd77::2", "--size", "64"));
	refused("too small for IPv6",
	        READ("traffic", NETWORK, "--inner", "fd77::2", "--size", "imix"));
	refused("--inner-hub", READ("traffic", NETWORK, "--inner-hub", "fd77::1"));
	refused("--rate is needed", READ("loss", NETWORK));
	refused("--direction both is for peers",
	        READ("traffic", NETWORK, "--pattern", "hub", "--direction", "both"));
	refused("must be at most 4194304",
	        READ("traffic", NETWORK, "--peers", "20000", "--flows", "256"));
	refused("not --peers addresses",
	        READ("config", "--inner", "255.255.255.0", "--peers", "1000"));
}

static void addresses_follow_from_the_peers(void **state)
{
	(void)state;
	assert_int_equal(READ("traffic", NETWORK, "--peers", "100000"), -1);
	assert_int_equal(options.n_addresses, 2);
	assert_int_equal(READ("handshake", NETWORK, "--peers", "1"), -1);
	assert_int_equal(options.n_addresses, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_option_is_read),
		cmocka_unit_test(rates_have_units),
		cmocka_unit_test(bits_become_packets_of_the_mean_size),
		cmocka_unit_test(a_bad_value_is_answered_with_what_is_taken),
		cmocka_unit_test(what_does_not_fit_together_is_refused),
		cmocka_unit_test(addresses_follow_from_the_peers),
	};

	return cmocka_run_group_tests_name("pktgen_args", tests, NULL, NULL);
}

/* The command line of weir-pktgen as one struct. Everything that cannot be is refused here. */
#ifndef PKTGEN_ARGS_H
#define PKTGEN_ARGS_H

#include "aead.h"
#include "base_ip.h"

#include <stdbool.h>
#include <stdint.h>

#define PKTGEN_PEERS_MAX     100000U
#define PKTGEN_FLOWS_MAX     256U /* of one pair of peers */
#define PKTGEN_ALL_FLOWS_MAX 4194304U
#define PKTGEN_ADDRESSES_MAX 1024U
#define PKTGEN_PORTS_ADDRESS 50000U /* peers behind one address, each with a UDP port */
#define PKTGEN_FIRST_PORT    10000U
#define PKTGEN_SIZE_MAX      8900U
#define PKTGEN_SIZE_MIN      64U
#define PKTGEN_SIZE_MIN_V6   80U
#define PKTGEN_QUEUES_MAX    16U
#define PKTGEN_STEPS_MAX     64U
#define PKTGEN_SEED_MAX      64U
#define PKTGEN_KEY_LEN       32U
#define PKTGEN_RATE_MAX      100000000.0 /* packets a second */

enum pktgen_command {
	PKTGEN_TRAFFIC = 0,   /* one trial at a set rate */
	PKTGEN_HANDSHAKE = 1, /* handshakes only */
	PKTGEN_SEARCH = 2,    /* highest rate without loss */
	PKTGEN_LOSS = 3,      /* loss and goodput at multiples of a rate */
	PKTGEN_CONFIG = 4,    /* write what the hub's configuration needs */
	PKTGEN_N_COMMANDS
};

enum pktgen_pattern {
	PKTGEN_RING = 0,  /* peer i to peer i + 1, the last to the first */
	PKTGEN_PAIRS = 1, /* peer 2k to peer 2k + 1 */
	PKTGEN_HUB = 2,   /* every peer pings the hub's own address */
	PKTGEN_N_PATTERNS
};

/* 0 packets and 0 bits a second: as fast as it goes. */
struct pktgen_rate {
	double packets; /* a second */
	double bits;    /* of inner packets, a second */
};

struct pktgen_options {
	enum pktgen_command command;

	/* where packets go */
	const char *port; /* vdev text or PCI address; borrowed from argv */
	int core;         /* -1 = not bound */
	bool nap;         /* sleep when there is nothing to do */
	bool hugepages;
	uint16_t mtu;     /* of the port */
	uint16_t n_queue; /* descriptors of each of its queues */
	uint32_t n_queues;

	/* the network between us and the hub */
	struct base_prefix source; /* first own address, and the net it is in */
	uint32_t n_addresses;      /* 0 = as few as the peers need */
	struct base_ip gateway;    /* family 0 = none */
	struct base_endpoint hub;
	uint8_t hub_key[PKTGEN_KEY_LEN];
	bool has_hub_key;
	uint8_t hub_mac[6];
	bool has_hub_mac;
	uint8_t mac[6];
	bool has_mac;

	/* the peers */
	const char *seed; /* borrowed from argv */
	uint32_t n_peers;
	struct base_ip inner;     /* of peer 0; peer i has i more */
	struct base_ip inner_hub; /* the hub's own */

	/* traffic */
	enum pktgen_pattern pattern;
	bool both_ways;
	uint32_t n_flows; /* of each pair and direction */
	uint16_t size;    /* inner packet, bytes; 0 = IMIX */
	struct pktgen_rate rate;
	double seconds;      /* of a trial */
	double warm_up;      /* seconds before it that do not count */
	uint32_t open_every; /* open and check one in so many packets that come */
	enum aead_backend backend;

	/* handshakes */
	uint32_t window;       /* unanswered at a time */
	double handshake_rate; /* a second; 0 = as many as the hub answers */

	/* search and loss */
	double loss;       /* share that may be lost, 0..1 */
	double resolution; /* share of the rate at which a search ends */
	double max_rate; /* packets a second to begin with; 0 = what a trial at full speed sends */
	double steps[PKTGEN_STEPS_MAX];
	uint32_t n_steps;

	bool json;
	bool quiet;
};

/* Read argv. Returns -1 to go on, or the exit code: 0 after --help or --version, 2 after a line on
 * stderr that says what was read and what is taken. */
int pktgen_args_read(int argc, char **argv, struct pktgen_options *out)
	__attribute__((warn_unused_result));

/* "1000pps", "2.5Mpps", "100Mbit", "max". Returns 0 or -EINVAL. */
int pktgen_args_rate(const char *text, struct pktgen_rate *out) __attribute__((warn_unused_result));

/* Packets a second that a rate means for packets of this mean size; 0 = as fast as it goes. */
double pktgen_args_pps(const struct pktgen_rate *rate, double mean_len);

const char *pktgen_args_command_name(enum pktgen_command command);
const char *pktgen_args_pattern_name(enum pktgen_pattern pattern);

#endif

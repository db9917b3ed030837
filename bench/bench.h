/* What the subcommands of weir-bench share: options, sizes, and the shape of a result. */
#ifndef BENCH_H
#define BENCH_H

#include "aead.h"
#include "bench_stats.h"

#include <stdbool.h>
#include <stdint.h>

#define BENCH_PACKETS      256U /* buffers a pass goes over, once each */
#define BENCH_BURST        32U
/* The first of a pass through the stations are not timed: what the bench does between passes has put the stations'
 * code out of the caches, and the branches are foretold as they went for another size. */
#define BENCH_WARM         64U
#define BENCH_TIMED        (BENCH_PACKETS - BENCH_WARM)
#define BENCH_N_SIZES      8U
#define BENCH_LEN_MAX      1424U /* the longest of the sizes, padded to 16 as WireGuard does */
#define BENCH_STATIONS_MAX 12U
#define BENCH_WARM_UP      3U /* rounds before those that count */

#define BENCH_ROUNDS_MIN     100U
#define BENCH_ROUNDS_MAX     100000U
#define BENCH_ROUNDS_DEFAULT 121U
#define BENCH_BURST_MAX      64U
#define BENCH_PEERS_MAX      4096U
#define BENCH_PATH_PEERS_MAX 131072U /* of path and scale: as many endpoints as 198.18.0.0/15 has */
#define BENCH_ROUTES_MAX     4000000U
#define BENCH_PEERS_DEFAULT  256U

enum bench_direction {
	BENCH_SEAL = 0,
	BENCH_OPEN = 1,
	BENCH_N_DIRECTIONS = 2,
	BENCH_HUB = 2, /* both, one after the other: bench_path.c alone */
	BENCH_N_WAYS = 3,
};

struct bench_options {
	unsigned int rounds;
	unsigned int peers;
	unsigned int routes;  /* prefixes beside the peers' addresses */
	unsigned int limited; /* peers with limits that never bind */
	unsigned int burst;   /* of aead; path has bursts of BENCH_BURST */
	enum aead_backend backend;
	bool json;
	bool policy;         /* path: what enforcement adds */
	bool without_policy; /* path and hub: its stations are left out */
	bool size_wanted[BENCH_N_SIZES];
};

/* A packet size, or the mix of sizes that is called IMIX. */
struct bench_size {
	const char *name;
	uint32_t len; /* 0 = IMIX: 7 of 64, 4 of 570, 1 of 1420 */
};
extern const struct bench_size bench_sizes[BENCH_N_SIZES];

/* Bytes of packet number i of this size. */
uint32_t bench_size_len(const struct bench_size *size, unsigned int i);

/* One size in one direction. Cycles are those of the last n_timed packets of a pass. */
struct bench_result {
	const struct bench_size *size;
	unsigned int n_timed;
	enum bench_direction direction;
	struct bench_samples cycles;
	struct bench_samples reference;
	struct bench_samples aead; /* the backend alone; none but in bench_path.c */
	unsigned int n_stations;
	struct bench_station {
		const char *name; /* literal */
		struct bench_samples cycles;
	} station[BENCH_STATIONS_MAX];
};

/* One run of a subcommand: results[n], [size][way], only the sizes that were asked for. */
struct bench_run {
	const struct bench_options *options;
	const char *title;     /* literal */
	const char *backend;   /* borrowed */
	const char *shows_not; /* what the figures do not show, literal */
	unsigned int n_results;
	struct bench_result result[BENCH_N_SIZES * BENCH_N_WAYS];
};

/* Room for the samples of each wanted size in the first n_ways of enum bench_direction; n_timed packets of a pass.
 * Returns 0 or -ENOMEM; in both cases bench_run_fini() frees what was made. */
int bench_run_init(struct bench_run *run, const struct bench_options *options, unsigned int n_ways,
                   unsigned int n_timed) __attribute__((warn_unused_result));
void bench_run_fini(struct bench_run *run);

/* Add a station to a result. Returns 0 or -ENOMEM. */
int bench_result_add_station(struct bench_result *result, const char *name, unsigned int rounds)
	__attribute__((warn_unused_result));

/* Subcommands. Return 0, or 1 when something failed and was said on stderr. */
int bench_aead(const struct bench_options *options);
int bench_path(const struct bench_options *options);
int bench_path_policy(const struct bench_options *options); /* path --policy */
int bench_hub(const struct bench_options *options);
int bench_heavy(const struct bench_options *options);
int bench_scale(const struct bench_options *options);
int bench_handshake(const struct bench_options *options);
int bench_policy(const struct bench_options *options);
int bench_drops(const struct bench_options *options);
int bench_block(const struct bench_options *options);
int bench_overload(const struct bench_options *options);

#endif

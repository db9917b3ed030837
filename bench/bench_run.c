/* Sizes, and the memory of a run's samples. */
#include "base_bytes.h"
#include "bench.h"

#include <errno.h>

const struct bench_size bench_sizes[BENCH_N_SIZES] = {
	{"64", 64},     {"128", 128},   {"256", 256},   {"512", 512},
	{"1024", 1024}, {"1280", 1280}, {"1420", 1420}, {"imix", 0},
};

uint32_t bench_size_len(const struct bench_size *size, unsigned int i)
{
	/* 7 : 4 : 1, mixed, as the sizes of neighbours differ on a real link */
	static const uint16_t imix[12] = {64, 570, 64, 64, 570, 64, 1420, 64, 570, 64, 570, 64};

	return size->len != 0 ? size->len : imix[i % BASE_ARRAY_LEN(imix)];
}

static int result_init(struct bench_result *result, const struct bench_size *size,
                       enum bench_direction direction, unsigned int rounds)
{
	int err;

	result->size = size;
	result->direction = direction;
	err = bench_samples_init(&result->cycles, rounds);
	if (err == 0)
		err = bench_samples_init(&result->reference, rounds);
	return err != 0 ? err : bench_samples_init(&result->aead, rounds);
}

int bench_run_init(struct bench_run *run, const struct bench_options *options, unsigned int n_ways,
                   unsigned int n_timed)
{
	memset(run, 0, sizeof(*run));
	run->options = options;
	for (unsigned int i = 0; i < BENCH_N_SIZES; i++) {
		for (unsigned int direction = 0; direction < n_ways; direction++) {
			int err;

			if (!options->size_wanted[i])
				continue;
			run->result[run->n_results].n_timed = n_timed;
			err = result_init(&run->result[run->n_results++], &bench_sizes[i],
			                  (enum bench_direction)direction, options->rounds);
			if (err != 0)
				return err;
		}
	}
	return 0;
}

void bench_run_fini(struct bench_run *run)
{
	for (unsigned int i = 0; i < run->n_results; i++) {
		struct bench_result *result = &run->result[i];

		bench_samples_fini(&result->cycles);
		bench_samples_fini(&result->reference);
		bench_samples_fini(&result->aead);
		for (unsigned int j = 0; j < result->n_stations; j++)
			bench_samples_fini(&result->station[j].cycles);
	}
	run->n_results = 0;
}

int bench_result_add_station(struct bench_result *result, const char *name, unsigned int rounds)
{
	struct bench_station *station = &result->station[result->n_stations];
	int err;

	if (result->n_stations == BENCH_STATIONS_MAX)
		return -ENOMEM;
	err = bench_samples_init(&station->cycles, rounds);
	if (err != 0)
		return err;
	station->name = name;
	result->n_stations++;
	return 0;
}

/* What fuzz targets share. A target is one file with LLVMFuzzerTestOneInput() and fuzz_seeds();
 * tests/fuzz/meson.build lists them. `TARGET --seeds DIR` writes the seeds and ends, so that they
 * follow the formats as these change; only inputs that once failed are committed (seeds/TARGET).
 *
 * A property that does not hold is said by assert() or by cmocka's asserts of tests/flow: both end
 * the process, which libFuzzer reports with the input. */
#ifndef FUZZ_H
#define FUZZ_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* libFuzzer's. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* The target's: write seeds with fuzz_seed(). */
void fuzz_seeds(void);
/* The target's: once, before the first input or seed. */
void fuzz_start(void);

void fuzz_seed(const char *name, const void *data, size_t len);

/* What is left of an input. */
struct fuzz_input {
	const uint8_t *data;
	size_t len;
};

/* The next byte, number (little endian), bytes; zero, or fewer, when the input ends. */
uint8_t fuzz_u8(struct fuzz_input *in);
uint16_t fuzz_u16(struct fuzz_input *in);
/* Returns how many there are, at most max; *out points into the input. */
size_t fuzz_bytes(struct fuzz_input *in, size_t max, const uint8_t **out);

#endif

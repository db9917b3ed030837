/* Compiled drop lists: a real one with bytes changed at will. Whatever passes the check can be asked, and
 * answers scopes. */
#include "base_bytes.h"
#include "block_build.h"
#include "fuzz.h"

#include <stdlib.h>

#define N_PREFIXES 700U
#define N_PATCHES  64U

static uint8_t *blob;
static uint8_t *copy;
static size_t len;

/* Bunched, so that there are runs, branches and /64s with longer prefixes. */
static struct block_prefix prefix_of(uint32_t i)
{
	struct block_prefix p = {.family = i % 2 == 0 ? BASE_IP_V4 : BASE_IP_V6,
	                         .scopes = (uint8_t)(1 + i % 7)};

	if (p.family == BASE_IP_V4) {
		p.high = (uint64_t)(0xc6336400 + i * 3) << 32;
		p.len = 32;
	} else {
		p.high = UINT64_C(0x20010db800000000) + i / 4;
		p.low = i % 4 == 1 ? 0 : i;
		p.len = i % 4 == 1 ? 64 : 128;
	}
	return p;
}

void fuzz_start(void)
{
	static struct block_prefix prefixes[N_PREFIXES];
	struct block_source source = {.generation = 1, .prefixes = prefixes, .n = N_PREFIXES};
	void *out;

	for (uint32_t i = 0; i < N_PREFIXES; i++)
		prefixes[i] = prefix_of(i);
	assert(block_build(&source, &out, &len) == 0);
	blob = out;
	copy = aligned_alloc(64, len);
	assert(copy != NULL);
}

static void ask(const struct block_table *table, struct fuzz_input *in)
{
	for (uint32_t i = 0; i < 8; i++) {
		struct block_prefix p = prefix_of(fuzz_u16(in));
		uint32_t v4 = (uint32_t)(p.high >> 32) ^ fuzz_u8(in);
		uint8_t scopes[2];

		p.high ^= fuzz_u8(in);
		block_find_v4(table, &v4, &scopes[0], 1);
		block_find_v6(table, &p.high, &p.low, &scopes[1], 1);
		assert(scopes[0] <= BLOCK_SCOPES && scopes[1] <= BLOCK_SCOPES);
	}
	(void)block_table_publishes(table, fuzz_u8(in), fuzz_u16(in));
}

/* Each change: from the start or from the end, how far, the new byte. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_len)
{
	struct fuzz_input in = {data, data_len};
	uint32_t n_patches = fuzz_u8(&in) % N_PATCHES;
	const struct block_table *table;

	memcpy(copy, blob, len);
	for (uint32_t i = 0; i < n_patches; i++) {
		uint8_t where = fuzz_u8(&in);
		size_t at = (where & 0x7fU) << 16 | fuzz_u16(&in);

		copy[where & 0x80 ? len - 1 - at % len : at % len] = fuzz_u8(&in);
	}
	table = block_table_check(copy, len, NULL);
	if (table != NULL)
		ask(table, &in);
	assert(block_table_check(copy, data_len % len, NULL) == NULL);
	return 0;
}

void fuzz_seeds(void)
{
	static const uint8_t plain[64] = {0, 1, 0, 2, 3, 0, 4};
	static const uint8_t lines[] = {2, 0x80, 40, 0, 1, 0x80, 0, 9, 0xff, 1, 2, 3};

	fuzz_seed("plain", plain, sizeof(plain));
	fuzz_seed("lines", lines, sizeof(lines));
}

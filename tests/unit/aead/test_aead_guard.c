/* Bytes that lie directly before or behind a page that may not be touched. A read too far that
 * stays inside a page goes unseen by comparing, and one under a mask unseen by ASan; here it ends
 * the process. */
#include "aead_each.h"
#include "base_bytes.h"
#include "test.h"

#include <sodium.h>

#include <sys/mman.h>
#include <unistd.h>

#define N_ROOMS AEAD_BURST_MAX

/* Readable pages between two that are not, one such room a packet of a burst. */
struct room {
	uint8_t *start;
	uint8_t *end;
};

static struct room rooms[N_ROOMS];
static struct room key_room;
static uint8_t plain[AEAD_LEN_MAX];
static uint8_t sealed[N_ROOMS][AEAD_LEN_MAX + AEAD_TAG_LEN];

static struct room map_room(size_t len)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t inner = (len + page - 1) / page * page;
	uint8_t *map = mmap(NULL, inner + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(map != MAP_FAILED);
	assert_int_equal(mprotect(map + page, inner, PROT_READ | PROT_WRITE), 0);
	return (struct room){.start = map + page, .end = map + page + inner};
}

static int map_rooms(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < N_ROOMS; i++)
		rooms[i] = map_room(AEAD_LEN_MAX + AEAD_TAG_LEN);
	key_room = map_room(AEAD_KEY_LEN);
	for (size_t i = 0; i < sizeof(plain); i++)
		plain[i] = (uint8_t)(i * 167 + (i >> 8));
	return 0;
}

/* Keys at either end of their page, packets at either end of theirs. */
static void put(struct aead_op *op, unsigned int i, uint32_t len, bool at_end)
{
	uint8_t nonce[12] = {0};

	*op = (struct aead_op){
		.data = at_end ? rooms[i].end - len - AEAD_TAG_LEN : rooms[i].start,
		.key = i % 2 == 0 ? key_room.start : key_room.end - AEAD_KEY_LEN,
		.counter = len,
		.len = len,
		.verdict = 77,
	};
	memcpy(op->data, plain, len);
	base_store_le64(nonce + 4, op->counter);
	crypto_aead_chacha20poly1305_ietf_encrypt(sealed[i], NULL, plain, len, NULL, 0, NULL, nonce,
	                                          op->key);
}

/* own_code: through the entry at which multi-packet backends leave no packet to ipsec-mb. */
static void seal_and_open(struct aead *aead, struct aead_op *ops, unsigned int n, bool own_code)
{
	static const struct aead_extra no_extra[N_ROOMS];

	if (own_code)
		aead__seal_extra(aead, ops, no_extra, n);
	else
		aead_seal(aead, ops, n);
	for (unsigned int i = 0; i < n; i++) {
		assert_int_equal(ops[i].verdict, AEAD_OK);
		assert_memory_equal(ops[i].data, sealed[i], ops[i].len + AEAD_TAG_LEN);
	}
	if (own_code)
		aead__open_extra(aead, ops, no_extra, n);
	else
		aead_open(aead, ops, n);
	for (unsigned int i = 0; i < n; i++) {
		assert_int_equal(ops[i].verdict, AEAD_OK);
		if (ops[i].len != 0)
			assert_memory_equal(ops[i].data, plain, ops[i].len);
	}
}

/* Alone, a few, and a full burst of one length. */
static void every_short_length_at_both_ends_of_a_page(void **state)
{
	static const unsigned int sizes[] = {1, 3, 8, 17};
	struct aead_op ops[N_ROOMS];

	for (unsigned int i = 0; i < BASE_ARRAY_LEN(sizes); i++) {
		for (uint32_t len = 0; len <= 400; len++) {
			for (unsigned int variant = 0; variant < 4; variant++) {
				for (unsigned int j = 0; j < sizes[i]; j++)
					put(&ops[j], j, len, (j + variant) % 2 == 0);
				seal_and_open(*state, ops, sizes[i], variant / 2 == 0);
			}
		}
	}
}

/* Lengths of one burst differ, so lanes begin and end at different steps. */
static void mixed_lengths_at_both_ends_of_a_page(void **state)
{
	struct test_random rnd = test_random_start();
	struct aead_op ops[N_ROOMS];

	for (unsigned int round = 0; round < 300; round++) {
		unsigned int n = 1 + (unsigned int)test_random_below(&rnd, N_ROOMS);

		for (unsigned int i = 0; i < n; i++) {
			uint64_t below = test_random_below(&rnd, 16) == 0 ? AEAD_LEN_MAX + 1 : 1500;

			put(&ops[i], i, (uint32_t)test_random_below(&rnd, below),
			    test_random_next(&rnd) & 1);
		}
		seal_and_open(*state, ops, n, round % 2 == 0);
	}
}

int main(void)
{
	const struct CMUnitTest of_each[] = {
		cmocka_unit_test(every_short_length_at_both_ends_of_a_page),
		cmocka_unit_test(mixed_lengths_at_both_ends_of_a_page),
	};
	static struct aead_each tests;

	aead_each_add(&tests, of_each, BASE_ARRAY_LEN(of_each));
	return _cmocka_run_group_tests("aead_guard", tests.test, tests.n, map_rooms, NULL);
}

/* Known answers that decide at start whether a backend may carry traffic. */
#include "aead_backend.h"
#include "base_bytes.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Answers of RFC 8439 2.8 with the nonce 0 || counter and no additional data, computed with a plain
 * big-number implementation of the RFC; tests/unit/aead compares them with libsodium.
 * Case i has the key byte j = 32 i + 7 j + 1 and the payload byte j = 13 j + i, both mod 256.
 * The ciphertext is given by its FNV-1a hash: the tag alone would not show a payload that was
 * authenticated rightly and stored wrongly. */
static const struct known_answer {
	uint32_t len;
	uint64_t counter;
	uint64_t ciphertext_hash;
	uint8_t tag[AEAD_TAG_LEN];
} known_answers[] = {
	/* clang-format off */
	{ 0, UINT64_C(0x0), UINT64_C(0xcbf29ce484222325), { 0x5c, 0xc6, 0x59, 0xe9, 0x51, 0x83, 0x01, 0xde, 0x73, 0xd0, 0x12, 0x12, 0x8d, 0xeb, 0xbf, 0xb3 } },
	{ 0, UINT64_C(0x100000000), UINT64_C(0xcbf29ce484222325), { 0xbf, 0xd5, 0x86, 0xaa, 0x8b, 0xe7, 0xef, 0xf9, 0x3f, 0xb5, 0x87, 0x20, 0x1e, 0x91, 0x40, 0x7b } },
	{ 1, UINT64_C(0x1), UINT64_C(0xaf64954c860326e7), { 0xec, 0x33, 0xa8, 0xdc, 0x57, 0x77, 0xee, 0x68, 0x7f, 0x0a, 0xa2, 0x11, 0x72, 0x7e, 0xa4, 0x8b } },
	{ 15, UINT64_C(0x2), UINT64_C(0x16aa6f6ab5694bd9), { 0x84, 0x92, 0xb8, 0x87, 0xca, 0x62, 0xdb, 0xae, 0xb8, 0x9d, 0xf7, 0x08, 0xb1, 0x99, 0xc7, 0x11 } },
	{ 16, UINT64_C(0x102030405060708), UINT64_C(0x4ea3dfb1cf5e7ab4), { 0x21, 0xcb, 0x2f, 0x46, 0x29, 0x57, 0xd6, 0x71, 0x9b, 0x5d, 0x70, 0xb7, 0x23, 0xdb, 0x03, 0x5c } },
	{ 17, UINT64_C(0xff), UINT64_C(0xe75814119fa05a3c), { 0x5f, 0xfa, 0xf1, 0x69, 0x06, 0xd8, 0x37, 0x6c, 0x3e, 0x66, 0x43, 0xeb, 0xff, 0x44, 0xfe, 0x25 } },
	{ 63, UINT64_C(0x100), UINT64_C(0x171ee10872088841), { 0xf5, 0x77, 0xe0, 0xa9, 0xe2, 0x8c, 0xf0, 0x70, 0xc7, 0xd3, 0xaf, 0x1e, 0x50, 0x22, 0xcf, 0xd6 } },
	{ 64, UINT64_C(0x3), UINT64_C(0xef0b38492b9d6adb), { 0x24, 0xdf, 0x22, 0x89, 0x4e, 0x43, 0x6b, 0x9e, 0x79, 0x7f, 0x0c, 0x8d, 0x90, 0x6d, 0x89, 0x00 } },
	{ 65, UINT64_C(0xffffffff), UINT64_C(0xdfcf9e1721cf2f7e), { 0x1b, 0x5b, 0xd5, 0x43, 0x9c, 0xda, 0x98, 0xd3, 0xac, 0xed, 0x50, 0x8a, 0xd3, 0x41, 0xf3, 0x8a } },
	{ 127, UINT64_C(0x4), UINT64_C(0x542c9d71bf14bb73), { 0xd0, 0xb2, 0x09, 0xa9, 0x16, 0xd9, 0x3f, 0x77, 0x8a, 0xa0, 0xbe, 0x03, 0xdb, 0xb2, 0x8e, 0x4f } },
	{ 128, UINT64_C(0x100000000), UINT64_C(0x2382f6f7900cb2c2), { 0x3c, 0xd2, 0x09, 0x01, 0x60, 0x2a, 0x17, 0xdb, 0x7e, 0x5b, 0x0a, 0xb1, 0xee, 0xa1, 0x39, 0xd6 } },
	{ 192, UINT64_C(0x5), UINT64_C(0xb0087a1831b08a43), { 0x90, 0x31, 0x89, 0x92, 0xde, 0x39, 0x38, 0xdf, 0x73, 0x3a, 0xb4, 0xe0, 0x21, 0xaf, 0xe4, 0x25 } },
	{ 255, UINT64_C(0x6), UINT64_C(0xa6b5557a21ecb106), { 0x8d, 0x55, 0xa0, 0x83, 0x90, 0x78, 0x75, 0x83, 0x55, 0xaa, 0x5a, 0xa2, 0x95, 0xf7, 0x29, 0xdc } },
	{ 256, UINT64_C(0x7), UINT64_C(0x4a1fe7ab64f6527d), { 0x21, 0xd1, 0x5a, 0xef, 0xa2, 0xa5, 0xb7, 0x36, 0xf8, 0xbd, 0xbb, 0xb7, 0x26, 0x7c, 0x99, 0xc5 } },
	{ 257, UINT64_C(0x1000000000000000), UINT64_C(0x818f471b013752cb), { 0x5e, 0xf3, 0x24, 0x0a, 0x92, 0x04, 0xeb, 0xc8, 0x80, 0x9e, 0x74, 0xb2, 0x68, 0x46, 0xef, 0xee } },
	{ 512, UINT64_C(0x8), UINT64_C(0x6b8dcb405920d6e6), { 0xe8, 0xe1, 0xc0, 0x82, 0x56, 0x6f, 0x4c, 0x39, 0xe0, 0x39, 0x0a, 0x31, 0x1f, 0x19, 0x6b, 0xeb } },
	{ 1023, UINT64_C(0x8000000000000000), UINT64_C(0x906ea3004f5dc181), { 0x1a, 0x7a, 0xb2, 0x5a, 0x32, 0x8a, 0x6f, 0xeb, 0x37, 0xdc, 0x9a, 0x3e, 0x57, 0xdd, 0xb1, 0x40 } },
	{ 1024, UINT64_C(0x9), UINT64_C(0x6c029277e946ae9b), { 0x7e, 0x60, 0x96, 0x9d, 0x18, 0xa6, 0xc6, 0xfa, 0x2f, 0xac, 0xc1, 0x9e, 0x1d, 0xe7, 0xd7, 0xa0 } },
	{ 1420, UINT64_C(0xa), UINT64_C(0xb6f13480f01c2edc), { 0x59, 0xe1, 0xf9, 0xdc, 0xf0, 0x98, 0xdb, 0xc2, 0x49, 0x03, 0xc3, 0x78, 0x09, 0xf0, 0x8e, 0xa0 } },
	{ 2048, UINT64_C(0xffffffffffffdffe), UINT64_C(0xee50ab1826f3d217), { 0x94, 0x1b, 0x6b, 0xdf, 0x2d, 0xb3, 0xec, 0x0f, 0xac, 0x6d, 0xce, 0xe9, 0x95, 0xb8, 0x63, 0xb4 } },
	{ 9600, UINT64_C(0xff00ff00ff00ff), UINT64_C(0xc91b7dbd7ca0750a), { 0xa1, 0x0e, 0xce, 0x3d, 0x6e, 0x1c, 0xec, 0x00, 0x7a, 0x57, 0x83, 0x82, 0xac, 0xc1, 0x72, 0xef } },
	/* clang-format on */
};

#define N_CASES BASE_ARRAY_LEN(known_answers)
_Static_assert(N_CASES <= AEAD_BURST_MAX, "all cases fit one burst");

struct selftest {
	const struct aead_backend_ops *ops;
	void *context;
	uint8_t key[N_CASES][AEAD_KEY_LEN];
	struct aead_op op[N_CASES];
	uint8_t *buffer; /* all payloads and tags, one behind the other, so at every alignment */
};

static uint64_t hash_fnv1a(const uint8_t *bytes, size_t len)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
	return hash;
}

static uint8_t payload_byte(size_t test_case, size_t at)
{
	return (uint8_t)(13 * at + test_case);
}

static bool is_plaintext(const struct aead_op *op, size_t test_case)
{
	for (size_t j = 0; j < op->len; j++) {
		if (op->data[j] != payload_byte(test_case, j))
			return false;
	}
	return true;
}

static bool is_sealed(const struct aead_op *op, size_t test_case)
{
	const struct known_answer *answer = &known_answers[test_case];

	return op->verdict == AEAD_OK && memcmp(op->data + op->len, answer->tag, AEAD_TAG_LEN) == 0
	       && hash_fnv1a(op->data, op->len) == answer->ciphertext_hash;
}

static void fill(struct selftest *test)
{
	uint8_t *data = test->buffer;

	for (size_t i = 0; i < N_CASES; i++) {
		struct aead_op *op = &test->op[i];

		for (size_t j = 0; j < AEAD_KEY_LEN; j++)
			test->key[i][j] = (uint8_t)(32 * i + 7 * j + 1);
		op->data = data;
		op->key = test->key[i];
		op->counter = known_answers[i].counter;
		op->len = known_answers[i].len;
		op->verdict = AEAD_ERROR;
		for (size_t j = 0; j < op->len; j++)
			op->data[j] = payload_byte(i, j);
		memset(op->data + op->len, 0, AEAD_TAG_LEN);
		data += op->len + AEAD_TAG_LEN;
	}
}

/* Cases [first, first + n) as one burst, there and back. */
static bool round_trip(struct selftest *test, size_t first, size_t n)
{
	struct aead_op *ops = &test->op[first];

	test->ops->seal(test->context, ops, NULL, (unsigned int)n);
	for (size_t i = 0; i < n; i++) {
		if (!is_sealed(&ops[i], first + i))
			return false;
		ops[i].verdict = AEAD_ERROR;
	}
	test->ops->open(test->context, ops, NULL, (unsigned int)n);
	for (size_t i = 0; i < n; i++) {
		if (ops[i].verdict != AEAD_OK || !is_plaintext(&ops[i], first + i))
			return false;
	}
	return true;
}

/* One bit of every second packet, in the tag and in the payload by turns. */
static bool is_forged(size_t test_case)
{
	return test_case % 2 == 1;
}

static bool refuses_forgeries(struct selftest *test, size_t tag_byte)
{
	test->ops->seal(test->context, test->op, NULL, N_CASES);
	for (size_t i = 0; i < N_CASES; i++) {
		struct aead_op *op = &test->op[i];
		bool in_tag = i % 4 == 1 || op->len == 0;
		size_t at = in_tag ? op->len + tag_byte : op->len - 1U;

		if (is_forged(i))
			op->data[at] ^= (uint8_t)(1U << (i / 2 % 8));
		op->verdict = AEAD_ERROR;
	}
	test->ops->open(test->context, test->op, NULL, N_CASES);
	for (size_t i = 0; i < N_CASES; i++) {
		const struct aead_op *op = &test->op[i];

		if (op->verdict != (is_forged(i) ? AEAD_FORGED : AEAD_OK))
			return false;
		if (op->len != 0 && is_plaintext(op, i) == is_forged(i))
			return false;
	}
	return true;
}

static bool passes(struct selftest *test)
{
	fill(test);
	for (size_t i = 0; i < N_CASES; i++) {
		if (!round_trip(test, i, 1))
			return false;
	}
	if (!round_trip(test, 0, N_CASES))
		return false;
	for (size_t tag_byte = 0; tag_byte < AEAD_TAG_LEN; tag_byte++) {
		fill(test);
		if (!refuses_forgeries(test, tag_byte))
			return false;
	}
	return true;
}

int aead__selftest(const struct aead_backend_ops *ops, void *context)
{
	struct selftest *test = calloc(1, sizeof(*test));
	size_t size = 0;
	int err = -ENOMEM;

	for (size_t i = 0; i < N_CASES; i++)
		size += known_answers[i].len + AEAD_TAG_LEN;
	if (test == NULL)
		return -ENOMEM;
	test->ops = ops;
	test->context = context;
	test->buffer = malloc(size);
	if (test->buffer != NULL)
		err = passes(test) ? 0 : -EIO;
	free(test->buffer);
	free(test);
	return err;
}

/* For valgrind, which reports each branch and each address that depends on undefined memory: seals and
 * opens with keys, payloads and tags marked undefined. constant_time.sh runs it.
 *
 *   aead_constant_time avx2 | rests | sodium | leak
 *
 * avx2: a copy of the backend that is compiled as the product's, but says which verdicts are public.
 * rests: the same copy, of packets that are opened to be sealed again; without ipsec-mb, to which the backend leaves
 * some where it has it.
 * sodium: seal only; libsodium branches on its verdict inside.
 * leak: branches on a key, to see that this is noticed. */
#include <valgrind/memcheck.h>

#define AEAD_MULTI_PUBLIC(p, len) (void)VALGRIND_MAKE_MEM_DEFINED(p, len)
#define aead_avx2_ops             watched_avx2_ops
#include "aead_avx2.c"
#undef aead_avx2_ops

#include <stdio.h>

#define N_PACKETS 37U
#define ROOM      2048U

static const uint32_t lens[] = {0, 1, 15, 16, 17, 63, 64, 65, 100, 255, 256, 512, 1000, 1420, 2000};

static uint8_t keys[N_PACKETS][AEAD_KEY_LEN];
static uint8_t rooms[N_PACKETS][ROOM + AEAD_TAG_LEN];
static struct aead_op packets[N_PACKETS];

static void make_packets(void)
{
	for (unsigned int i = 0; i < N_PACKETS; i++) {
		memset(keys[i], (int)i, AEAD_KEY_LEN);
		packets[i] = (struct aead_op){
			.data = rooms[i],
			.key = keys[i],
			.counter = i,
			.len = lens[i % BASE_ARRAY_LEN(lens)],
		};
	}
}

static void make_secret(void)
{
	(void)VALGRIND_MAKE_MEM_UNDEFINED(keys, sizeof(keys));
	(void)VALGRIND_MAKE_MEM_UNDEFINED(rooms, sizeof(rooms));
}

/* Returns 0, or 1 when a packet was not opened: the answers are right whatever is marked. */
static int watch(const struct aead_backend_ops *backend, bool opens)
{
	static const struct aead_extra no_extra[N_PACKETS]; /* so none goes to ipsec-mb */
	char label[AEAD_LABEL_LEN];
	void *context;
	int bad = 0;

	if (backend->create(&context, label) != 0)
		return 77;
	make_packets();
	make_secret();
	backend->seal(context, packets, no_extra, N_PACKETS);
	if (opens) {
		make_secret();
		backend->open(context, packets, no_extra, N_PACKETS);
		for (unsigned int i = 0; i < N_PACKETS; i++) {
			bad |= packets[i].verdict != AEAD_OK;
			packets[i].data[packets[i].len] ^= 1;
		}
		backend->open(context, packets, no_extra, N_PACKETS);
		for (unsigned int i = 0; i < N_PACKETS; i++)
			bad |= packets[i].verdict != AEAD_FORGED;
	}
	backend->destroy(context);
	return bad;
}

/* ---- opened for who seals it again --------------------------------------------------------------- */

static uint8_t other_keys[N_PACKETS][AEAD_KEY_LEN];

static uint8_t payload_byte(unsigned int i, uint32_t at)
{
	return (uint8_t)(i * 31 + at);
}

/* Of one length, or of many when that is 0. */
static void fill_packets(uint32_t len)
{
	make_packets();
	for (unsigned int i = 0; i < N_PACKETS; i++) {
		memset(other_keys[i], (int)(200 - i), AEAD_KEY_LEN);
		if (len != 0)
			packets[i].len = len;
		for (uint32_t at = 0; at < packets[i].len; at++)
			packets[i].data[at] = payload_byte(i, at);
	}
	make_secret();
	(void)VALGRIND_MAKE_MEM_UNDEFINED(other_keys, sizeof(other_keys));
}

/* Open the heads; rests[N_PACKETS] gets what is left. Returns 0, or 1 when one was not opened. */
static int open_heads(void *context, struct aead_rest *rests)
{
	uint64_t left = watched_avx2_ops.open_head(context, packets, N_PACKETS);
	int bad = 0;

	for (unsigned int i = 0; i < N_PACKETS; i++) {
		bad |= packets[i].verdict != AEAD_OK;
		rests[i] = (struct aead_rest){
			.key = packets[i].key,
			.counter = packets[i].counter,
			.len = (left >> i & 1) != 0 ? aead_multi_rest_len(&kernel, packets[i].len)
		                                    : 0,
		};
	}
	return bad | (left == 0);
}

/* Seal, open the heads, seal those over for others, open them, and the rests last. */
static int watch_rests_of(void *context, uint32_t len)
{
	uint8_t *data[N_PACKETS];
	struct aead_rest rests[N_PACKETS];
	int bad;

	fill_packets(len);
	watched_avx2_ops.seal(context, packets, NULL, N_PACKETS);
	bad = open_heads(context, rests);
	for (unsigned int i = 0; i < N_PACKETS; i++) {
		data[i] = packets[i].data;
		packets[i].key = other_keys[i];
		packets[i].counter = 1000 + i;
	}
	watched_avx2_ops.seal_over(context, packets, rests, N_PACKETS);
	bad |= open_heads(context, rests);
	watched_avx2_ops.open_rests(context, data, rests, N_PACKETS);
	(void)VALGRIND_MAKE_MEM_DEFINED(rooms, sizeof(rooms)); /* to be looked at */
	for (unsigned int i = 0; i < N_PACKETS; i++)
		for (uint32_t at = 0; at < packets[i].len; at++)
			bad |= data[i][at] != payload_byte(i, at);
	for (unsigned int i = 0; i < N_PACKETS; i++)
		packets[i].data[packets[i].len] ^= 1;
	make_secret();
	bad |= watched_avx2_ops.open_head(context, packets, N_PACKETS) != 0;
	return bad;
}

static int watch_rests(void)
{
	char label[AEAD_LABEL_LEN];
	struct aead_multi *multi;
	void *context;
	int bad;

	if (watched_avx2_ops.create(&context, label) != 0)
		return 77;
	multi = context;
	if (multi->helper != NULL)
		aead_ipsec_mb_ops.destroy(multi->helper);
	multi->helper = NULL;
	bad = watch_rests_of(context, 0) | watch_rests_of(context, 1420);
	watched_avx2_ops.destroy(context);
	return bad;
}

static int leak(void)
{
	make_packets();
	make_secret();
	return keys[0][0] == 1 ? puts("a key begins with 1") : 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "avx2") == 0)
		return watch(&watched_avx2_ops, true);
	if (argc == 2 && strcmp(argv[1], "rests") == 0)
		return watch_rests();
	if (argc == 2 && strcmp(argv[1], "sodium") == 0)
		return watch(&aead_sodium_ops, false);
	if (argc == 2 && strcmp(argv[1], "leak") == 0)
		return leak();
	fprintf(stderr, "usage: aead_constant_time avx2|rests|sodium|leak\n");
	return 2;
}

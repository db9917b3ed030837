/* For valgrind, which reports each branch and each address that depends on undefined memory: seals and
 * opens with keys, payloads and tags marked undefined. constant_time.sh runs it.
 *
 *   aead_constant_time avx2 | sodium | leak
 *
 * avx2: a copy of the backend that is compiled as the product's, but says which verdicts are public.
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
	if (argc == 2 && strcmp(argv[1], "sodium") == 0)
		return watch(&aead_sodium_ops, false);
	if (argc == 2 && strcmp(argv[1], "leak") == 0)
		return leak();
	fprintf(stderr, "usage: aead_constant_time avx2|sodium|leak\n");
	return 2;
}

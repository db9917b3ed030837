/* A sequence of packets from everywhere: from the wire in one buffer or two, sealed by peers (so that
 * the inner packet is what is fuzzed), bent after that, from the kernel; and time. Each is one byte
 * that says what and whose, a length, and so many bytes. */
#include "fuzz_world.h"

#include <string.h>

#define STEPS_MAX 32U
#define LEN_MAX   1600U

enum step {
	STEP_FRAME = 0,   /* as it is */
	STEP_CHAINED = 1, /* in two segments */
	STEP_INNER = 2,
	STEP_INNER_UNPADDED = 3,
	STEP_BENT = 4, /* an inner packet of 64 bytes in a message that is XORed with the bytes */
	STEP_TUN = 5,
	STEP_TAP = 6,
	STEP_TIME = 7, /* up to 4 s: len ms */
	N_STEPS = 8,
};

void fuzz_start(void)
{
	fuzz_world_start(AEAD_BACKEND_AUTO);
}

static void take_step(enum step step, uint32_t peer, const uint8_t *bytes, size_t len, size_t asked)
{
	static const uint8_t inner[64] = {0x45, [3] = 64};

	switch (step) {
	case STEP_FRAME:
		fuzz_world_rx(bytes, len, 0, 0);
		break;
	case STEP_CHAINED:
		fuzz_world_rx(bytes, len, 0, len / 2);
		break;
	case STEP_INNER:
	case STEP_INNER_UNPADDED:
		fuzz_world_inner(peer, bytes, len, step == STEP_INNER, NULL, 0);
		break;
	case STEP_BENT:
		fuzz_world_inner(peer, inner, sizeof(inner), true, bytes, len);
		break;
	case STEP_TUN:
		fuzz_world_from_kernel(PORT_LINK_TUN, bytes, len);
		break;
	case STEP_TAP:
		fuzz_world_from_kernel(0, bytes, len);
		break;
	case STEP_TIME:
	case N_STEPS:
		fuzz_world_turn();
		fuzz_flow->now_ns += (asked & 0xfff) * FLOW_MS;
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz_input in = {data, len};
	static uint64_t born_ns;
	static unsigned int n;

	for (uint32_t i = 0; i < STEPS_MAX && in.len > 0; i++) {
		uint8_t what = fuzz_u8(&in);
		size_t asked = fuzz_u16(&in);
		const uint8_t *bytes = NULL;
		size_t got = 0;

		if (what % N_STEPS != STEP_TIME)
			got = fuzz_bytes(&in, asked < LEN_MAX ? asked : LEN_MAX, &bytes);
		take_step((enum step)(what % N_STEPS), 1 + what / N_STEPS % FUZZ_PEERS, bytes, got,
		          asked);
	}
	fuzz_world_turn();
	/* Sessions end after 180 s. */
	if (born_ns == 0)
		born_ns = fuzz_flow->now_ns;
	if (fuzz_flow->now_ns - born_ns > 120 * FLOW_S || ++n % 4096 == 0) {
		fuzz_world_renew();
		born_ns = fuzz_flow->now_ns;
	}
	return 0;
}

/* ---- seeds ---- */

static uint8_t seed[8192];
static size_t seed_len;

static void put(enum step step, uint32_t peer, const uint8_t *bytes, uint32_t len)
{
	seed[seed_len++] = (uint8_t)(step + (peer - 1) * N_STEPS);
	seed[seed_len++] = (uint8_t)len;
	seed[seed_len++] = (uint8_t)(len >> 8);
	if (bytes != NULL)
		memcpy(seed + seed_len, bytes, len);
	seed_len += bytes != NULL ? len : 0;
}

static void finish(const char *name)
{
	fuzz_seed(name, seed, seed_len);
	seed_len = 0;
}

/* Through each way once, in this family. */
static void seed_family(uint8_t family)
{
	char name[] = "inner_0_0";
	uint8_t inner[FLOW_FRAME_MAX];
	uint32_t len;

	for (uint32_t i = 0; i < 4; i++) {
		static const uint32_t lens[] = {0, 20, 100, 1200};

		len = flow_inner_between(inner, 1, 2, family, lens[i]);
		put(i % 2 == 0 ? STEP_INNER : STEP_INNER_UNPADDED, 1, inner, len);
		put(STEP_TUN, 1, inner, len);
		name[6] = (char)('0' + family);
		name[8] = (char)('0' + i);
		finish(name);
	}
}

void fuzz_seeds(void)
{
	static const uint8_t bend[4] = {0, 0, 0, 1};
	struct base_endpoint from = flow_endpoint("198.51.100.7:7777");
	uint8_t frame[FLOW_FRAME_MAX];
	uint32_t len = flow_handshake_to_hub(frame, &from, WG_MESSAGE_INITIATION, true);

	seed_family(BASE_IP_V4);
	seed_family(BASE_IP_V6);
	put(STEP_FRAME, 1, frame, len);
	put(STEP_CHAINED, 1, frame, len);
	put(STEP_TAP, 1, frame, len);
	put(STEP_TIME, 1, NULL, 500);
	put(STEP_BENT, 1, bend, sizeof(bend));
	put(STEP_INNER, 2, NULL, 0);
	finish("mixed");
}

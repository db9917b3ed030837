/* One frame from the wire, whatever it is. */
#include "fuzz_world.h"

#include <string.h>

void fuzz_start(void)
{
	fuzz_world_start(AEAD_BACKEND_AUTO);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static unsigned int n;

	if (len > 1600)
		return -1;
	fuzz_flow->now_ns += FLOW_MS;
	fuzz_world_rx(data, len, 0, 0);
	fuzz_world_turn();
	if (++n % 65536 == 0)
		fuzz_world_renew();
	return 0;
}

static void seed_data(uint32_t peer)
{
	uint8_t inner[FLOW_FRAME_MAX], message[FLOW_FRAME_MAX], frame[FLOW_FRAME_MAX];
	struct flow_session *session = &fuzz_sessions[peer];
	uint32_t len = flow_inner_between(inner, peer, peer + 2,
	                                  peer % 2 != 0 ? BASE_IP_V4 : BASE_IP_V6, 60);
	char name[] = "data_0";

	len = flow_seal(session, message, inner, len);
	name[5] = (char)('0' + peer);
	fuzz_seed(name, frame, flow_frame_to_hub(frame, &session->endpoint, message, len));
}

void fuzz_seeds(void)
{
	static const char *const sources[] = {"198.51.100.7:7777", "[2001:db8::7]:7777"};
	uint8_t frame[FLOW_FRAME_MAX];

	for (uint32_t i = 0; i < 2; i++) {
		struct base_endpoint from = flow_endpoint(sources[i]);

		for (uint8_t type = 1; type <= 3; type++) {
			char name[] = "handshake_0_0";

			name[10] = (char)('0' + type);
			name[12] = (char)('4' + 2 * i);
			fuzz_seed(name, frame, flow_handshake_to_hub(frame, &from, type, true));
		}
		seed_data(i + 1);
	}
	memset(frame, 0xff, 60);
	frame[12] = 8;
	frame[13] = 6;
	fuzz_seed("arp", frame, 60);
}

/* A worker reads the command ring of a control that writes anything: well-formed records of any type
 * and payload, and memory that is no record at all. */
#include "base_bytes.h"
#include "fuzz_world.h"

#include <string.h>

#define RECORDS_MAX 16U

void fuzz_start(void)
{
	fuzz_world_start(AEAD_BACKEND_SODIUM);
}

/* A record as abi_ring_push() would not write it, then head as it would. */
static void push_raw(const uint8_t *bytes, size_t len)
{
	struct abi_ring_end *end = &fuzz_flow->cmd[0];
	uint8_t *slot = (uint8_t *)&end->records[end->head & end->mask];

	memset(slot, 0, sizeof(struct abi_record));
	memcpy(slot, bytes, len < sizeof(struct abi_record) ? len : sizeof(struct abi_record));
	end->head++;
	__atomic_store_n(&end->ring->head, end->head, __ATOMIC_RELEASE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz_input in = {data, len};
	struct base_endpoint from = flow_endpoint("198.51.100.7:7777");
	uint8_t frame[FLOW_FRAME_MAX], inner[FLOW_FRAME_MAX];
	static unsigned int n_inputs;
	uint32_t n;

	for (uint32_t i = 0; i < RECORDS_MAX && in.len > 0; i++) {
		uint8_t type = fuzz_u8(&in);
		const uint8_t *bytes;
		size_t got = fuzz_bytes(&in, fuzz_u8(&in), &bytes);

		if (type == 0xff)
			push_raw(bytes, got);
		else if (abi_ring_push(&fuzz_flow->cmd[0], type, bytes,
		                       (uint16_t)(got < ABI_PAYLOAD_MAX ? got : ABI_PAYLOAD_MAX),
		                       NULL)
		         != 0)
			break;
	}
	fuzz_world_turn();
	/* Packets of each kind meet what that made of the worker. */
	n = flow_handshake_to_hub(frame, &from, WG_MESSAGE_INITIATION, true);
	fuzz_world_rx(frame, n, 0, 0);
	n = flow_inner_between(inner, 1, 2, BASE_IP_V4, 60);
	fuzz_world_inner(1, inner, n, true, NULL, 0);
	fuzz_world_from_kernel(PORT_LINK_TUN, inner, n);
	fuzz_flow->now_ns += 200 * FLOW_MS;
	fuzz_world_turn();
	/* A new world takes 4 ms, nearly all for the self-test of its ciphers. */
	if (++n_inputs % 4 == 0)
		fuzz_world_renew();
	return 0;
}

/* ---- seeds ---- */

static void seed_record(const char *name, uint16_t type, const void *payload, size_t len)
{
	uint8_t bytes[2 + ABI_PAYLOAD_MAX] = {(uint8_t)type, (uint8_t)len};

	if (len != 0)
		memcpy(bytes + 2, payload, len);
	fuzz_seed(name, bytes, 2 + len);
}
#define SEED(type, ...) seed_record(#type, type, &(__VA_ARGS__), sizeof(__VA_ARGS__))

void fuzz_seeds(void)
{
	struct base_prefix prefix = {.ip = flow_ip("10.9.0.0"), .len = 16};
	struct flow_session s = fuzz_sessions[1];

	SEED(ABI_CMD_HUB, (struct abi_cmd_hub){.listen_port = 51820, .tunnel_mtu = 1420});
	SEED(ABI_CMD_ADDRESS, (struct abi_cmd_address){.ip = flow_ip("192.0.2.9"), .present = 1});
	SEED(ABI_CMD_PEER_PUT, (struct abi_cmd_peer){.peer = 3, .keepalive_s = 25});
	SEED(ABI_CMD_PEER_DROP, (struct abi_cmd_peer){.peer = 1});
	SEED(ABI_CMD_ROUTE_PUT, (struct abi_cmd_route){.prefix = prefix, .peer = 2});
	SEED(ABI_CMD_ROUTE_DROP, (struct abi_cmd_route){.prefix = prefix, .peer = 2});
	SEED(ABI_CMD_SESSION_INSTALL,
	     (struct abi_cmd_session_install){.index = abi_index_make(0, 12, 0x1234),
	                                      .peer = 2,
	                                      .birth_ns = 1,
	                                      .remote = s.endpoint});
	SEED(ABI_CMD_SESSION_RETIRE, (struct abi_cmd_session){.index = s.index, .peer = 1});
	SEED(ABI_CMD_ENDPOINT_SET,
	     (struct abi_cmd_endpoint){.index = s.index, .remote = s.endpoint});
	SEED(ABI_CMD_KEEPALIVE, (struct abi_cmd_session){.index = s.index, .peer = 1});
	SEED(ABI_CMD_WAN_ROUTE_PUT, (struct abi_cmd_wan_route){.prefix = prefix});
	SEED(ABI_CMD_WAN_ROUTE_DROP, (struct abi_cmd_wan_route){.prefix = prefix});
	SEED(ABI_CMD_NEIGHBOUR_PUT, (struct abi_cmd_neighbour){.ip = flow_ip("192.0.2.7")});
	SEED(ABI_CMD_NEIGHBOUR_DROP, (struct abi_cmd_neighbour){.ip = flow_ip("192.0.2.254")});
	SEED(ABI_CMD_INJECT,
	     (struct abi_cmd_inject){.remote = s.endpoint, .len = WG_RESPONSE_LEN, .message = {2}});
	SEED(ABI_CMD_BARRIER, (struct abi_cmd_barrier){.token = 7});
	SEED(ABI_CMD_CHECK, (struct abi_cmd_check){.token = 7, .key = {1, 2}});
	SEED(ABI_CMD_CHECK, (struct abi_cmd_check){.token = 7, .dump = 1, .wanted = {0xff}});
	SEED(ABI_CMD_HANDSHAKE_OVER, (struct abi_cmd_peer){.peer = 3});
	SEED(ABI_CMD_FLOWS, (struct abi_cmd_flows){.token = 7, .peer = ABI_PEER_NONE, .limit = 9});
	SEED(ABI_CMD_PEER_LIMIT,
	     (struct abi_cmd_peer_limit){.peer = 1,
	                                 .rx = {.packets = 7, .packets_burst = 3},
	                                 .tx = {.bytes = 9999999, .bytes_burst = 65536},
	                                 .rx_until = 5000,
	                                 .tx_until = ABI_QUOTA_NONE,
	                                 .total_until = 9000});
	seed_record("ABI_CMD_SYNC_BEGIN", ABI_CMD_SYNC_BEGIN, NULL, 0);
	seed_record("ABI_CMD_SYNC_END", ABI_CMD_SYNC_END, NULL, 0);
}

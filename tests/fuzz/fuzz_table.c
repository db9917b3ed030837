/* Compiled policies: a real one with bytes changed at will. Whatever passes the check can be asked, and
 * answers what is an answer. */
#include "base_bytes.h"
#include "fuzz.h"
#include "policy_build.h"
#include "policy_table.h"

#include <stdlib.h>
#include <string.h>

#define N_PEERS   20U
#define N_GRANTS  40U
#define N_PATCHES 64U

static uint8_t *blob;
static uint8_t *copy;
static size_t len;
static struct base_ip ips[N_PEERS];

void fuzz_start(void)
{
	static const struct policy_range ports[] = {{22, 22}, {400, 500}};
	static const struct policy_window windows[] = {{0, 1000}, {2000, 3000}};
	static const uint32_t groups[] = {0, 1};
	static struct policy_peer peers[N_PEERS];
	static struct policy_grant grants[N_GRANTS];
	struct policy_source source = {.generation = 1,
	                               .n_peers = N_PEERS,
	                               .peers = peers,
	                               .n_groups = 2,
	                               .n_grants = N_GRANTS,
	                               .grants = grants};
	void *out;

	for (uint32_t i = 0; i < N_PEERS; i++) {
		ips[i] = (struct base_ip){.bytes = {10, 0, 0, (uint8_t)i}, .family = BASE_IP_V4};
		peers[i] = (struct policy_peer){.number = i,
		                                .n_addresses = 1,
		                                .addresses = &ips[i],
		                                .n_groups = i % 3,
		                                .groups = groups};
	}
	for (uint32_t i = 0; i < N_GRANTS; i++)
		grants[i] = (struct policy_grant){
			.id = i + 1,
			.from = {.kind = i % 2 == 0 ? POLICY_END_PEER : POLICY_END_GROUP,
		                 .number = i % 2},
			.to = {.kind = i % 5 == 0 ? POLICY_END_HUB : POLICY_END_PEER,
		               .number = i % N_PEERS},
			.proto = i % 3 == 0 ? POLICY_TCP : POLICY_UDP,
			.ports = ports,
			.n_ports = i % 3,
			.windows = windows,
			.n_windows = i % 4 == 0 ? 2 : 0,
		};
	assert(policy_build(&source, &out, &len, NULL) == 0);
	blob = out;
	copy = aligned_alloc(64, (len + 63) / 64 * 64);
	assert(copy != NULL);
}

static int on_grant(void *arg, uint32_t grant, uint32_t misses)
{
	(void)arg;
	(void)grant;
	(void)misses;
	return 0;
}

static void ask(const struct policy_table *table, struct fuzz_input *in)
{
	for (uint32_t i = 0; i < 8; i++) {
		uint8_t from = fuzz_u8(in);
		uint8_t to = fuzz_u8(in);
		struct policy_packet packet = {
			.in_peer = from % (N_PEERS + 2),
			.out_peer = to & 0x80 ? POLICY_HUB : to % (N_PEERS + 2),
			.src = policy_address_make(&ips[from % N_PEERS]),
			.dst = policy_address_make(&ips[to % N_PEERS]),
			.proto = fuzz_u8(in) & 1 ? POLICY_PROTO_TCP : POLICY_PROTO_UDP,
			.dport = fuzz_u16(in),
		};
		struct policy_decision one = policy_decide(table, &packet, fuzz_u16(in));

		assert(one.reason < POLICY_N_REASONS);
		assert(one.reason == POLICY_ALLOWED || one.grant == 0);
		(void)policy_explain(table, &packet, 1, on_grant, NULL);
	}
}

/* Each change: from the start or from the end, how far, the new byte. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_len)
{
	struct fuzz_input in = {data, data_len};
	uint32_t n_patches = fuzz_u8(&in) % N_PATCHES;
	const struct policy_table *table;

	memcpy(copy, blob, len);
	for (uint32_t i = 0; i < n_patches; i++) {
		uint16_t at = fuzz_u16(&in);

		copy[(at & 0x8000U ? len - 1 - (at & 0x7fffU) % len : at % len)] = fuzz_u8(&in);
	}
	table = policy_table_check(copy, len, NULL);
	if (table != NULL)
		ask(table, &in);
	assert(policy_table_check(copy, data_len % len, NULL) == NULL);
	return 0;
}

void fuzz_seeds(void)
{
	static const uint8_t plain[64] = {0, 1, 0x80, 1, 22, 0, 3, 0, 4, 5, 1};
	static const uint8_t changed[] = {2, 0x00, 0x80, 0xff, 16, 0, 2, 1, 2, 3};

	fuzz_seed("plain", plain, sizeof(plain));
	fuzz_seed("changed", changed, sizeof(changed));
}

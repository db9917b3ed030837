/* The region as control reads it: events and reports of any kind and content, rings whose indexes lie, and
 * bytes of counters, drops, sessions and last uses changed at will. Whatever comes up is in range. */
#include "base_bytes.h"
#include "fuzz.h"
#include "program_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define N_WORKERS 2U
#define N_PEERS   16U
#define N_STEPS   40U
#define BUDGET    2048U

static struct program *program;
static uint8_t *first; /* the first page of each worker's block, as it was */

static void peer_in_range(uint32_t peer)
{
	assert(peer < N_PEERS || peer == ABI_PEER_NONE || peer == ABI_PEER_HUB);
}

static void on_handshake(void *arg, uint32_t worker, const struct abi_event_handshake *event)
{
	(void)arg;
	assert(worker < N_WORKERS && event->len > 0 && event->len <= sizeof(event->message));
}

static void on_session(void *arg, uint32_t a, uint32_t b)
{
	(void)arg;
	assert(a < N_PEERS || b < N_PEERS);
}

static void on_moved(void *arg, const struct abi_event_endpoint *event)
{
	(void)arg;
	assert(event->peer < N_PEERS);
}

static void on_neighbour(void *arg, uint32_t port, const struct base_ip *ip)
{
	(void)arg;
	assert(port < ABI_PORTS_MAX && base_ip_len(ip->family) != 0);
}

static void on_drop(void *arg, uint32_t worker, const struct abi_report_drop *drop)
{
	(void)arg;
	assert(worker < N_WORKERS && drop->reason < ABI_N_COUNTERS);
	peer_in_range(drop->peer);
	assert(drop->place == UINT32_MAX || drop->place < program_n_drop_pairs(program));
}

static void on_flow(void *arg, uint32_t worker, const struct abi_report_flow *flow)
{
	(void)arg;
	assert(worker < N_WORKERS && base_ip_len(flow->source.family) != 0
	       && base_ip_len(flow->destination.family) != 0);
	peer_in_range(flow->peer);
	peer_in_range(flow->to_peer);
}

static uint8_t *block_of(uint32_t worker)
{
	return (uint8_t *)abi_region_worker_status(&program->region, worker);
}

void fuzz_start(void)
{
	static const struct program_events events = {
		.handshake = on_handshake,
		.session_confirmed = on_session,
		.endpoint_moved = on_moved,
		.session_wanted = on_session,
		.rekey_due = on_session,
		.neighbour_wanted = on_neighbour,
		.drop = on_drop,
		.flow = on_flow,
	};
	char directory[] = "/tmp/weir-fuzz-XXXXXX";
	char path[64];
	struct program_setup setup = {
		.socket_path = path, .n_peers = N_PEERS, .uid = (uid_t)-1, .gid = (gid_t)-1};

	base_log_init("fuzz", BASE_LOG_ERR);
	setup.dataplane.n_workers = N_WORKERS;
	assert(mkdtemp(directory) != NULL);
	snprintf(path, sizeof(path), "%s/socket", directory);
	assert(program_create(event_base_new(), &setup, &events, &program) == 0);
	assert(program_start(program, NULL) == 0);
	assert(program_drift_start(program, 0, false) == 0);
	unlink(path);
	rmdir(directory); /* nobody is to connect: its loop never runs */
	first = malloc((size_t)N_WORKERS * 4096);
	assert(first != NULL);
	for (uint32_t i = 0; i < N_WORKERS; i++)
		memcpy(first + (size_t)i * 4096, block_of(i), 4096);
}

/* One record, well framed, on a ring. */
static void push(struct fuzz_input *in, uint8_t what)
{
	struct abi_ring_end ring = what & 1 ? abi_region_report_ring(&program->region, what >> 7)
	                                    : abi_region_event_ring(&program->region, what >> 7);
	uint8_t payload[ABI_PAYLOAD_MAX] = {0};
	uint8_t type = fuzz_u8(in);
	uint8_t len = fuzz_u8(in);
	const uint8_t *bytes;
	size_t n = fuzz_bytes(in, len % (ABI_PAYLOAD_MAX + 1), &bytes);
	bool wake;

	memcpy(payload, bytes, n);
	(void)!abi_ring_push(&ring, type, payload, (uint16_t)(len % (ABI_PAYLOAD_MAX + 1)), &wake);
}

/* Eight bytes somewhere: in the indexes, counters, drops, sessions, last uses. */
static void patch(struct fuzz_input *in, uint8_t what)
{
	static const uint32_t spans[] = {4096, 4096, 65536, 1U << 24};
	const struct abi_region *region = &program->region;
	uint8_t *bases[] = {
		block_of(what >> 7),
		(uint8_t *)abi_region_drops(region, what >> 7),
		(uint8_t *)abi_region_used(region, what >> 7),
		(uint8_t *)abi_region_session(region, what >> 7, 0),
	};
	uint32_t kind = (what >> 2) % 4;
	uint64_t at = (uint64_t)fuzz_u16(in) * 8 % spans[kind];
	const uint8_t *bytes;
	size_t n = fuzz_bytes(in, 8, &bytes);
	uint8_t *place = bases[kind] + at;

	if (place + 8 <= region->base + region->len)
		memcpy(place, bytes, n);
}

/* ---- reading all there is ------------------------------------------------------------------------ */

static int on_drops(void *arg, const struct program_drops *drops)
{
	(void)arg;
	assert(drops->reason < ABI_N_COUNTERS && drops->worker < N_WORKERS && drops->count != 0);
	assert(drops->place < program_n_drop_pairs(program));
	peer_in_range(drops->peer);
	return 0;
}

static void on_used(void *arg, uint32_t grant, uint64_t wall_s)
{
	(void)arg;
	(void)grant;
	assert(wall_s > 0);
}

static int on_slot(void *arg, uint32_t worker, uint32_t slot, const struct abi_session *session)
{
	(void)arg;
	assert(worker < N_WORKERS && slot < program_n_slots(program) && session->index != 0);
	return 0;
}

static void read_all(void)
{
	uint32_t worker;

	(void)!program__event_drain(program, BUDGET);
	(void)program_reports_take(program, BUDGET);
	(void)program_drops_each(program, on_drops, NULL);
	program_used_each(program, on_used, NULL);
	(void)program_session_each(program, on_slot, NULL);
	for (uint32_t i = 0; i < ABI_N_COUNTERS; i++)
		(void)program_counter(program, (enum abi_counter)i);
	for (uint32_t i = 0; i < N_PEERS; i++) {
		(void)program_peer_counters(program, i);
		(void)program_limit(program, i % N_WORKERS, i);
	}
	for (uint32_t i = 0; i < N_WORKERS; i++)
		(void)program_worker_status(program, i);
	(void)program_session_arrives_at(program, 0x10, &worker);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz_input in = {data, len};

	for (uint32_t i = 0; i < N_WORKERS; i++)
		memcpy(block_of(i), first + (size_t)i * 4096, 4096);
	program__event_open(program);
	for (uint32_t i = 0; i < N_STEPS && in.len > 0; i++) {
		uint8_t what = fuzz_u8(&in);

		if (what & 2)
			patch(&in, what);
		else
			push(&in, what);
	}
	read_all();
	return 0;
}

static void seed_of(const char *name, uint8_t ring, uint16_t type, const void *payload, size_t len)
{
	uint8_t bytes[3 + ABI_PAYLOAD_MAX] = {ring, (uint8_t)type, (uint8_t)len};

	memcpy(bytes + 3, payload, len);
	fuzz_seed(name, bytes, 3 + len);
}

void fuzz_seeds(void)
{
	static const struct abi_event_handshake handshake = {.len = 148};
	static const struct abi_event_session session = {.index = 0x20, .peer = 3};
	static const struct abi_event_endpoint moved = {.index = 0x20, .peer = 3};
	static const struct abi_event_check_sums sums = {.token = 1, .n = 28};
	static const struct abi_event_check_entries entries = {
		.token = 1, .type = ABI_CMD_PEER_LIMIT, .n = 2};
	static const struct abi_report_drop drop = {.peer = 3, .reason = 9, .place = 7};
	static const struct abi_report_flow flow = {.peer = 3,
	                                            .to_peer = ABI_PEER_HUB,
	                                            .source.family = BASE_IP_V4,
	                                            .destination.family = BASE_IP_V4};
	static const uint8_t index[] = {2, 0xd0, 0, 0xff, 0xff, 1, 0, 0, 0, 0, 0};

	seed_of("handshake", 0, ABI_EVENT_HANDSHAKE, &handshake, sizeof(handshake));
	seed_of("confirmed", 0, ABI_EVENT_SESSION_CONFIRMED, &session, sizeof(session));
	seed_of("moved", 0x80, ABI_EVENT_ENDPOINT_MOVED, &moved, sizeof(moved));
	seed_of("sums", 0, ABI_EVENT_CHECK_SUMS, &sums, sizeof(sums));
	seed_of("entries", 0, ABI_EVENT_CHECK_ENTRIES, &entries, sizeof(entries));
	seed_of("drop", 1, ABI_REPORT_DROP, &drop, sizeof(drop));
	seed_of("flow", 0x81, ABI_REPORT_FLOW, &flow, sizeof(flow));
	fuzz_seed("index", index, sizeof(index));
}

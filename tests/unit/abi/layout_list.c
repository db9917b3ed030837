/* Prints the layout of everything that the two processes share, as the compiler laid it out: the
 * text of dataplane/abi/abi.expected. Exit 1 when the list below does not account for every byte of
 * every struct. expected.py compares, and checks that no struct and no constant is missing here. */
#include "abi_blob.h"
#include "abi_check.h"
#include "abi_region.h"
#include "abi_rendezvous.h"
#include "base_bytes.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct line {
	const char *of; /* struct */
	const char *field;
	size_t offset;
	size_t len;
};

#define STRUCT(type)                                                                               \
	{                                                                                          \
#type, NULL, 0, sizeof(struct type)                                                \
	}
#define FIELD(type, field)                                                                         \
	{                                                                                          \
#type, #field, offsetof(struct type, field), sizeof(((struct type *)NULL)->field)  \
	}
/* Bytes that an alignment leaves unused: behind the field above. */
#define GAP(size)                                                                                  \
	{                                                                                          \
		NULL, NULL, 0, size                                                                \
	}

/* clang-format off */
static const struct line lines[] = {
	STRUCT(base_tokens),
	FIELD(base_tokens, level),
	FIELD(base_tokens, rate),
	FIELD(base_tokens, capacity),
	STRUCT(base_ip),
	FIELD(base_ip, bytes),
	FIELD(base_ip, family),
	FIELD(base_ip, pad),
	STRUCT(base_prefix),
	FIELD(base_prefix, ip),
	FIELD(base_prefix, len),
	FIELD(base_prefix, pad),
	STRUCT(base_endpoint),
	FIELD(base_endpoint, ip),
	FIELD(base_endpoint, port),
	FIELD(base_endpoint, pad),
	STRUCT(abi_port_setup),
	FIELD(abi_port_setup, name),
	FIELD(abi_port_setup, device),
	FIELD(abi_port_setup, driver),
	FIELD(abi_port_setup, mtu),
	FIELD(abi_port_setup, n_rx_desc),
	FIELD(abi_port_setup, has_tap),
	FIELD(abi_port_setup, pad),
	STRUCT(abi_setup),
	FIELD(abi_setup, n_workers),
	FIELD(abi_setup, n_ports),
	FIELD(abi_setup, idle_cap_us),
	FIELD(abi_setup, aead),
	FIELD(abi_setup, n_mbufs),
	FIELD(abi_setup, use_hugepages),
	FIELD(abi_setup, tunnel_mtu),
	FIELD(abi_setup, pad16),
	FIELD(abi_setup, log_level),
	FIELD(abi_setup, cores),
	FIELD(abi_setup, n_flows),
	FIELD(abi_setup, pad),
	FIELD(abi_setup, ports),
	STRUCT(abi_header),
	FIELD(abi_header, magic),
	FIELD(abi_header, version),
	FIELD(abi_header, header_len),
	FIELD(abi_header, region_len),
	FIELD(abi_header, epoch),
	FIELD(abi_header, features),
	FIELD(abi_header, n_workers),
	FIELD(abi_header, n_peers),
	FIELD(abi_header, n_slots),
	FIELD(abi_header, pad0),
	FIELD(abi_header, setup),
	FIELD(abi_header, control_pid),
	FIELD(abi_header, pad1),
	FIELD(abi_header, control_heartbeat_ns),
	GAP(48),
	FIELD(abi_header, dataplane_pid),
	FIELD(abi_header, dataplane_ready),
	FIELD(abi_header, dataplane_heartbeat_ns),
	FIELD(abi_header, dataplane_generation),
	GAP(40),
	STRUCT(abi_record),
	FIELD(abi_record, type),
	FIELD(abi_record, len),
	FIELD(abi_record, pad),
	FIELD(abi_record, seq),
	FIELD(abi_record, payload),
	STRUCT(abi_ring),
	FIELD(abi_ring, head),
	GAP(56),
	FIELD(abi_ring, tail),
	GAP(56),
	FIELD(abi_ring, consumer_sleeps),
	FIELD(abi_ring, pad),
	GAP(56),
	STRUCT(abi_cmd_hub),
	FIELD(abi_cmd_hub, public_keys),
	FIELD(abi_cmd_hub, listen_port),
	FIELD(abi_cmd_hub, tunnel_mtu),
	FIELD(abi_cmd_hub, n_keys),
	FIELD(abi_cmd_hub, copy_dscp),
	FIELD(abi_cmd_hub, dscp),
	FIELD(abi_cmd_hub, clamp_mss),
	STRUCT(abi_cmd_address),
	FIELD(abi_cmd_address, ip),
	FIELD(abi_cmd_address, port),
	FIELD(abi_cmd_address, present),
	STRUCT(abi_cmd_peer),
	FIELD(abi_cmd_peer, peer),
	FIELD(abi_cmd_peer, keepalive_s),
	FIELD(abi_cmd_peer, flags),
	STRUCT(abi_limit_rate),
	FIELD(abi_limit_rate, packets),
	FIELD(abi_limit_rate, packets_burst),
	FIELD(abi_limit_rate, bytes),
	FIELD(abi_limit_rate, bytes_burst),
	STRUCT(abi_cmd_peer_limit),
	FIELD(abi_cmd_peer_limit, peer),
	FIELD(abi_cmd_peer_limit, pad),
	FIELD(abi_cmd_peer_limit, rx),
	FIELD(abi_cmd_peer_limit, tx),
	FIELD(abi_cmd_peer_limit, rx_until),
	FIELD(abi_cmd_peer_limit, tx_until),
	FIELD(abi_cmd_peer_limit, total_until),
	STRUCT(abi_cmd_route),
	FIELD(abi_cmd_route, prefix),
	FIELD(abi_cmd_route, peer),
	STRUCT(abi_cmd_session_install),
	FIELD(abi_cmd_session_install, index),
	FIELD(abi_cmd_session_install, remote_index),
	FIELD(abi_cmd_session_install, peer),
	FIELD(abi_cmd_session_install, role),
	FIELD(abi_cmd_session_install, birth_ns),
	FIELD(abi_cmd_session_install, remote),
	FIELD(abi_cmd_session_install, local),
	FIELD(abi_cmd_session_install, port),
	FIELD(abi_cmd_session_install, receive_key),
	FIELD(abi_cmd_session_install, send_key),
	FIELD(abi_cmd_session_install, key_serial),
	FIELD(abi_cmd_session_install, hub_serial),
	STRUCT(abi_cmd_session),
	FIELD(abi_cmd_session, index),
	FIELD(abi_cmd_session, peer),
	STRUCT(abi_cmd_prefer),
	FIELD(abi_cmd_prefer, index),
	FIELD(abi_cmd_prefer, peer),
	FIELD(abi_cmd_prefer, when_heard),
	FIELD(abi_cmd_prefer, now),
	STRUCT(abi_cmd_endpoint),
	FIELD(abi_cmd_endpoint, index),
	FIELD(abi_cmd_endpoint, port),
	FIELD(abi_cmd_endpoint, remote),
	FIELD(abi_cmd_endpoint, local),
	STRUCT(abi_cmd_wan_route),
	FIELD(abi_cmd_wan_route, prefix),
	FIELD(abi_cmd_wan_route, gateway),
	FIELD(abi_cmd_wan_route, source),
	FIELD(abi_cmd_wan_route, port),
	STRUCT(abi_cmd_neighbour),
	FIELD(abi_cmd_neighbour, ip),
	FIELD(abi_cmd_neighbour, port),
	FIELD(abi_cmd_neighbour, mac),
	FIELD(abi_cmd_neighbour, pad),
	STRUCT(abi_cmd_inject),
	FIELD(abi_cmd_inject, remote),
	FIELD(abi_cmd_inject, local),
	FIELD(abi_cmd_inject, port),
	FIELD(abi_cmd_inject, len),
	FIELD(abi_cmd_inject, message),
	FIELD(abi_cmd_inject, pad),
	STRUCT(abi_cmd_barrier),
	FIELD(abi_cmd_barrier, token),
	STRUCT(abi_cmd_check),
	FIELD(abi_cmd_check, token),
	FIELD(abi_cmd_check, key),
	FIELD(abi_cmd_check, dump),
	FIELD(abi_cmd_check, pad),
	FIELD(abi_cmd_check, wanted),
	STRUCT(abi_event_handshake),
	FIELD(abi_event_handshake, remote),
	FIELD(abi_event_handshake, local),
	FIELD(abi_event_handshake, port),
	FIELD(abi_event_handshake, len),
	FIELD(abi_event_handshake, message),
	FIELD(abi_event_handshake, hub_key),
	FIELD(abi_event_handshake, proven),
	STRUCT(abi_event_session),
	FIELD(abi_event_session, index),
	FIELD(abi_event_session, peer),
	STRUCT(abi_event_endpoint),
	FIELD(abi_event_endpoint, index),
	FIELD(abi_event_endpoint, peer),
	FIELD(abi_event_endpoint, remote),
	FIELD(abi_event_endpoint, local),
	FIELD(abi_event_endpoint, port),
	STRUCT(abi_event_neighbour),
	FIELD(abi_event_neighbour, ip),
	FIELD(abi_event_neighbour, port),
	STRUCT(abi_event_barrier),
	FIELD(abi_event_barrier, token),
	STRUCT(abi_report_drop),
	FIELD(abi_report_drop, time_ns),
	FIELD(abi_report_drop, count),
	FIELD(abi_report_drop, peer),
	FIELD(abi_report_drop, place),
	FIELD(abi_report_drop, reason),
	FIELD(abi_report_drop, len),
	FIELD(abi_report_drop, source),
	FIELD(abi_report_drop, destination),
	FIELD(abi_report_drop, sport),
	FIELD(abi_report_drop, dport),
	FIELD(abi_report_drop, proto),
	FIELD(abi_report_drop, has_ports),
	FIELD(abi_report_drop, flags),
	FIELD(abi_report_drop, pad),
	STRUCT(abi_report_flow),
	FIELD(abi_report_flow, token),
	FIELD(abi_report_flow, peer),
	FIELD(abi_report_flow, to_peer),
	FIELD(abi_report_flow, source),
	FIELD(abi_report_flow, destination),
	FIELD(abi_report_flow, sport),
	FIELD(abi_report_flow, dport),
	FIELD(abi_report_flow, proto),
	FIELD(abi_report_flow, state),
	FIELD(abi_report_flow, pad),
	FIELD(abi_report_flow, grant),
	FIELD(abi_report_flow, silent_s),
	STRUCT(abi_report_flows_end),
	FIELD(abi_report_flows_end, token),
	FIELD(abi_report_flows_end, n_flows),
	FIELD(abi_report_flows_end, pad),
	STRUCT(abi_cmd_flows),
	FIELD(abi_cmd_flows, token),
	FIELD(abi_cmd_flows, peer),
	FIELD(abi_cmd_flows, limit),
	STRUCT(abi_drop_pair),
	FIELD(abi_drop_pair, key),
	FIELD(abi_drop_pair, count),
	FIELD(abi_drop_pair, full_ns),
	FIELD(abi_drop_pair, pad),
	STRUCT(abi_event_check_sums),
	FIELD(abi_event_check_sums, token),
	FIELD(abi_event_check_sums, first),
	FIELD(abi_event_check_sums, n),
	FIELD(abi_event_check_sums, sums),
	STRUCT(abi_event_check_entries),
	FIELD(abi_event_check_entries, token),
	FIELD(abi_event_check_entries, type),
	FIELD(abi_event_check_entries, n),
	FIELD(abi_event_check_entries, pad),
	FIELD(abi_event_check_entries, entries),
	STRUCT(abi_event_check_end),
	FIELD(abi_event_check_end, token),
	FIELD(abi_event_check_end, is_stale),
	FIELD(abi_event_check_end, n_entries),
	STRUCT(abi_session),
	FIELD(abi_session, index),
	FIELD(abi_session, remote_index),
	FIELD(abi_session, peer),
	FIELD(abi_session, role),
	FIELD(abi_session, birth_ns),
	FIELD(abi_session, confirmed),
	FIELD(abi_session, port),
	FIELD(abi_session, send_reserved),
	FIELD(abi_session, pad0),
	FIELD(abi_session, remote),
	FIELD(abi_session, local),
	FIELD(abi_session, arrives_at),
	FIELD(abi_session, receive_key),
	FIELD(abi_session, send_key),
	FIELD(abi_session, last_receive_ns),
	FIELD(abi_session, last_send_ns),
	FIELD(abi_session, limits),
	FIELD(abi_session, key_serial),
	FIELD(abi_session, hub_serial),
	FIELD(abi_session, pad1),
	STRUCT(abi_peer_counters),
	FIELD(abi_peer_counters, rx_packets),
	FIELD(abi_peer_counters, rx_bytes),
	FIELD(abi_peer_counters, tx_packets),
	FIELD(abi_peer_counters, tx_bytes),
	FIELD(abi_peer_counters, last_rx_ns),
	FIELD(abi_peer_counters, last_tx_ns),
	FIELD(abi_peer_counters, drops),
	FIELD(abi_peer_counters, pad),
	STRUCT(abi_blob_status),
	FIELD(abi_blob_status, generation),
	FIELD(abi_blob_status, hash),
	STRUCT(abi_limit_way),
	FIELD(abi_limit_way, packets),
	FIELD(abi_limit_way, bytes),
	FIELD(abi_limit_way, refilled_ns),
	FIELD(abi_limit_way, drops),
	STRUCT(abi_limit),
	FIELD(abi_limit, rx),
	FIELD(abi_limit, tx),
	FIELD(abi_limit, rx_used),
	FIELD(abi_limit, tx_used),
	FIELD(abi_limit, rx_until),
	FIELD(abi_limit, tx_until),
	FIELD(abi_limit, total_until),
	FIELD(abi_limit, rx_drops),
	FIELD(abi_limit, tx_drops),
	FIELD(abi_limit, flags),
	FIELD(abi_limit, pad),
	STRUCT(abi_worker_status),
	FIELD(abi_worker_status, heartbeat_ns),
	FIELD(abi_worker_status, n_loops),
	FIELD(abi_worker_status, busy_ns),
	FIELD(abi_worker_status, idle_ns),
	FIELD(abi_worker_status, longest_loop_ns),
	FIELD(abi_worker_status, n_sessions),
	FIELD(abi_worker_status, n_flows),
	FIELD(abi_worker_status, pad),
	FIELD(abi_worker_status, blobs),
	STRUCT(abi_port_status),
	FIELD(abi_port_status, mac),
	FIELD(abi_port_status, mtu),
	FIELD(abi_port_status, up),
	FIELD(abi_port_status, pad0),
	FIELD(abi_port_status, pad),
	STRUCT(abi_hello),
	FIELD(abi_hello, magic),
	FIELD(abi_hello, version),
	FIELD(abi_hello, pid),
	FIELD(abi_hello, epoch),
	FIELD(abi_hello, fd_mask),
	FIELD(abi_hello, refused),
	FIELD(abi_hello, reason),
	STRUCT(abi_blob_message),
	FIELD(abi_blob_message, magic),
	FIELD(abi_blob_message, kind),
	FIELD(abi_blob_message, err),
	FIELD(abi_blob_message, generation),
	FIELD(abi_blob_message, reason),
};

static const struct value {
	const char *name;
	uint64_t value;
} values[] = {
#define VALUE(name) {#name, name}
	VALUE(ABI_MAGIC),
	VALUE(ABI_VERSION),
	VALUE(ABI_LINE),
	VALUE(ABI_WORKERS_MAX),
	VALUE(ABI_PORTS_MAX),
	VALUE(ABI_PEERS_MAX),
	VALUE(ABI_RECORD_LEN),
	VALUE(ABI_PAYLOAD_MAX),
	VALUE(ABI_CMD_SLOTS),
	VALUE(ABI_EVENT_SLOTS),
	VALUE(ABI_REPORT_SLOTS),
	VALUE(ABI_HANDSHAKE_MAX),
	VALUE(ABI_COUNTERS_LEN),
	VALUE(ABI_BLOBS_MAX),
	VALUE(ABI_HUB_KEYS),
	VALUE(ABI_PEER_NONE),
	VALUE(ABI_PEER_HUB),
	VALUE(ABI_LIMIT_PACKETS_MAX),
	VALUE(ABI_LIMIT_BYTES_MAX),
	VALUE(ABI_LIMIT_BYTES_BURST_MAX),
	VALUE(ABI_LIMIT_BYTES_BURST_MIN),
	VALUE(ABI_QUOTA_NONE),
	VALUE(ABI_LIMIT_RX),
	VALUE(ABI_LIMIT_TX),
	VALUE(ABI_LIMIT_QUOTA),
	VALUE(ABI_SEND_RESERVE),
	VALUE(ABI_ROUTE_WORKER),
	VALUE(ABI_INDEX_WORKER_BITS),
	VALUE(ABI_INDEX_SLOT_BITS),
	VALUE(ABI_INDEX_NONE),
	VALUE(ABI_FDS_MAX),
	VALUE(ABI_DRIVER_AF_PACKET),
	VALUE(ABI_DRIVER_PCI),
	VALUE(ABI_DRIVER_VDEV),
	VALUE(ABI_AEAD_AUTO),
	VALUE(ABI_AEAD_IPSEC_MB),
	VALUE(ABI_AEAD_SODIUM),
	VALUE(ABI_AEAD_AVX512),
	VALUE(ABI_AEAD_AVX2),
	VALUE(ABI_CMD_NONE),
	VALUE(ABI_CMD_HUB),
	VALUE(ABI_CMD_ADDRESS),
	VALUE(ABI_CMD_PEER_PUT),
	VALUE(ABI_CMD_PEER_DROP),
	VALUE(ABI_CMD_ROUTE_PUT),
	VALUE(ABI_CMD_ROUTE_DROP),
	VALUE(ABI_CMD_SESSION_INSTALL),
	VALUE(ABI_CMD_SESSION_RETIRE),
	VALUE(ABI_CMD_ENDPOINT_SET),
	VALUE(ABI_CMD_KEEPALIVE),
	VALUE(ABI_CMD_WAN_ROUTE_PUT),
	VALUE(ABI_CMD_WAN_ROUTE_DROP),
	VALUE(ABI_CMD_NEIGHBOUR_PUT),
	VALUE(ABI_CMD_NEIGHBOUR_DROP),
	VALUE(ABI_CMD_INJECT),
	VALUE(ABI_CMD_BARRIER),
	VALUE(ABI_CMD_SYNC_BEGIN),
	VALUE(ABI_CMD_SYNC_END),
	VALUE(ABI_CMD_CHECK),
	VALUE(ABI_CMD_PEER_LIMIT),
	VALUE(ABI_CMD_FLOWS),
	VALUE(ABI_CMD_PREFER),
	VALUE(ABI_CMD_HANDSHAKE_OVER),
	VALUE(ABI_N_CMD_TYPES),
	VALUE(ABI_ROLE_INITIATOR),
	VALUE(ABI_ROLE_RESPONDER),
	VALUE(ABI_EVENT_NONE),
	VALUE(ABI_EVENT_HANDSHAKE),
	VALUE(ABI_EVENT_SESSION_CONFIRMED),
	VALUE(ABI_EVENT_ENDPOINT_MOVED),
	VALUE(ABI_EVENT_SESSION_WANTED),
	VALUE(ABI_EVENT_REKEY_DUE),
	VALUE(ABI_EVENT_NEIGHBOUR_WANTED),
	VALUE(ABI_EVENT_BARRIER),
	VALUE(ABI_EVENT_CHECK_SUMS),
	VALUE(ABI_EVENT_CHECK_ENTRIES),
	VALUE(ABI_EVENT_CHECK_END),
	VALUE(ABI_CHECK_WORDS),
	VALUE(ABI_CHECK_SUMS_MAX),
	VALUE(ABI_CHECK_ENTRIES_LEN),
	VALUE(ABI_CHECK_PEER_PARTS),
	VALUE(ABI_CHECK_HUB),
	VALUE(ABI_CHECK_ADDRESSES),
	VALUE(ABI_CHECK_WAN_ROUTES),
	VALUE(ABI_CHECK_NEIGHBOURS),
	VALUE(ABI_CHECK_N_PARTS),
	VALUE(ABI_N_EVENT_TYPES),
	VALUE(ABI_REPORT_NONE),
	VALUE(ABI_REPORT_DROP),
	VALUE(ABI_REPORT_FLOW),
	VALUE(ABI_REPORT_FLOWS_END),
	VALUE(ABI_N_REPORT_TYPES),
	VALUE(ABI_DROP_OUTER),
	VALUE(ABI_DROP_TO_PEER),
	VALUE(ABI_DROP_PROBES),
	VALUE(ABI_USED_SETS),
	VALUE(ABI_USED_WAYS),
	VALUE(ABI_BLOB_MAGIC),
	VALUE(ABI_BLOB_SEALS),
	VALUE(ABI_BLOB_POLICY),
	VALUE(ABI_BLOB_BLOCK),
	VALUE(ABI_BLOB_CAPTURE),
	VALUE(ABI_N_BLOBS),
#undef VALUE
};
/* clang-format on */

static int fail(const struct line *line, size_t covered)
{
	fprintf(stderr,
	        "abi layout list: struct %s, before %s: %zu bytes accounted for, expected %zu\n",
	        line->of, line->field == NULL ? "its end" : line->field, covered, line->offset);
	return 1;
}

/* Print the structs; every byte must belong to a field or a gap. Returns 0 or 1. */
static int print_structs(void)
{
	const struct line *current = NULL;
	size_t covered = 0;
	int failed = 0;

	for (size_t i = 0; i < BASE_ARRAY_LEN(lines); i++) {
		const struct line *line = &lines[i];

		if (line->of == NULL) {
			printf("  %5zu %6zu  (unused)\n", covered, line->len);
			covered += line->len;
			continue;
		}
		if (line->field == NULL) {
			if (current != NULL && covered != current->len)
				failed |= fail(&(struct line){current->of, NULL, current->len, 0},
				               covered);
			printf("\nstruct %s: %zu bytes\n", line->of, line->len);
			current = line;
			covered = 0;
			continue;
		}
		if (line->offset != covered)
			failed |= fail(line, covered);
		printf("  %5zu %6zu  %s\n", line->offset, line->len, line->field);
		covered = line->offset + line->len;
	}
	if (covered != current->len)
		failed |= fail(&(struct line){current->of, NULL, current->len, 0}, covered);
	return failed;
}

static void print_part(const struct abi_region *region, const char *name, const void *part)
{
	printf("  %8td  %s\n", (const uint8_t *)part - region->base, name);
}

/* The offsets of all parts in a region of two workers and 100 peers. */
static int print_parts(void)
{
	struct abi_setup setup = {.n_workers = 2};
	struct abi_region region;
	int err = abi_region_create(&setup, 100, 1, &region);

	if (err != 0) {
		fprintf(stderr, "abi layout list: region cannot be made: %s\n", strerror(-err));
		return 1;
	}
	printf("\nregion of 2 workers, 100 peers, %u slots: %" PRIu64 " bytes\n", region.n_slots,
	       region.len);
	print_part(&region, "header", abi_region_header(&region));
	print_part(&region, "port status 0", abi_region_port_status(&region, 0));
	print_part(&region, "port status 7", abi_region_port_status(&region, 7));
	print_part(&region, "exception counters", abi_region_exception_counters(&region));
	print_part(&region, "control counters", abi_region_control_counters(&region));
	for (uint32_t w = 0; w < 2; w++) {
		printf(" worker %u\n", w);
		print_part(&region, "status", abi_region_worker_status(&region, w));
		print_part(&region, "counters", abi_region_worker_counters(&region, w));
		print_part(&region, "command ring", abi_region_cmd_ring(&region, w).ring);
		print_part(&region, "event ring", abi_region_event_ring(&region, w).ring);
		print_part(&region, "report ring", abi_region_report_ring(&region, w).ring);
		print_part(&region, "command records", abi_region_cmd_ring(&region, w).records);
		print_part(&region, "event records", abi_region_event_ring(&region, w).records);
		print_part(&region, "report records", abi_region_report_ring(&region, w).records);
		print_part(&region, "session 0", abi_region_session(&region, w, 0));
		print_part(&region, "session 1", abi_region_session(&region, w, 1));
		print_part(&region, "receive next 0", abi_region_receive_next(&region, w, 0));
		print_part(&region, "receive next 1", abi_region_receive_next(&region, w, 1));
		print_part(&region, "peer counters 0", abi_region_peer_counters(&region, w, 0));
		print_part(&region, "peer counters 1", abi_region_peer_counters(&region, w, 1));
		print_part(&region, "drops", abi_region_drops(&region, w));
		print_part(&region, "limit 0", abi_region_limit(&region, w, 0));
		print_part(&region, "limit 1", abi_region_limit(&region, w, 1));
		print_part(&region, "used", abi_region_used(&region, w));
	}
	abi_region_fini(&region);
	return 0;
}

int main(void)
{
	printf("# What the control process and the dataplane share: offset, size, name.\n"
	       "# Made by tests/unit/abi/expected.py --regenerate; a difference means a new ABI_VERSION.\n\n");
	for (size_t i = 0; i < BASE_ARRAY_LEN(values); i++)
		printf("%s = %" PRIu64 "\n", values[i].name, values[i].value);

	int failed = print_structs();

	failed |= print_parts();
	printf("\ncounters\n");
	for (size_t i = 0; i < ABI_N_COUNTERS; i++)
		printf("  %3zu  %d %s\n", i, abi_counter_texts[i].kind, abi_counter_texts[i].name);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

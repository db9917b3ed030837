/* The region as one mapping: creating and sealing it, checking and mapping one that the other side
 * made, and finding its parts. Geometry is read once, when mapping, checked against the memfd's
 * size, and then kept in struct abi_region: it is never read from shared memory again. */
#ifndef ABI_REGION_H
#define ABI_REGION_H

#include "abi_layout.h"
#include "abi_ring.h"

#include <stdint.h>

/* One side's handle. Private to its process; borrowed pointers into the mapping. */
struct abi_region {
	uint8_t *base; /* mapping */
	uint64_t len;
	int fd; /* the memfd, owned */
	uint32_t n_workers;
	uint32_t n_peers;
	uint32_t n_slots;
	uint64_t epoch;
	struct abi_setup setup; /* private copy, checked: strings end, counts are in range */
};

/* Make a sealed region (F_SEAL_SHRINK, GROW, SEAL) for this set-up and map it.
 * setup    n_workers 1 .. ABI_WORKERS_MAX, n_ports <= ABI_PORTS_MAX, texts zero-terminated
 * n_peers  1 .. ABI_PEERS_MAX; n_slots is derived: abi_region_slots()
 * epoch    random, not 0
 * Returns 0, -EINVAL (an argument is out of range) or -errno; on error out is untouched.
 * Caller: abi_region_fini(). */
int abi_region_create(const struct abi_setup *setup, uint32_t n_peers, uint64_t epoch,
                      struct abi_region *out) __attribute__((warn_unused_result));

/* Map a region received from the other side; takes fd only on success. why[len] gets one clear
 * sentence when it is refused (wrong magic, version: both are named; size, seals, geometry).
 * Returns 0, -EPROTO (not ours or another version), -errno; on error out is untouched. */
int abi_region_attach(int fd, struct abi_region *out, char *why, size_t why_len)
	__attribute__((warn_unused_result));

/* Unmap and close. The memory lives on while another process has it. Harmless when repeated. */
void abi_region_fini(struct abi_region *region);

/* Parts; borrowed. worker < n_workers, slot < n_slots, peer < n_peers, port < ABI_PORTS_MAX. What
 * the other side writes while we read is read with __atomic_load_n(). */
struct abi_header *abi_region_header(const struct abi_region *region);
struct abi_port_status *abi_region_port_status(const struct abi_region *region, uint32_t port);
struct abi_worker_status *abi_region_worker_status(const struct abi_region *region,
                                                   uint32_t worker);
struct abi_session *abi_region_session(const struct abi_region *region, uint32_t worker,
                                       uint32_t slot);
/* 1 + highest counter accepted on the session in this slot, 0 = none; its worker writes it with each
 * packet. One word a slot and apart from the session, so that 100,000 of them stay in a cache. */
uint64_t *abi_region_receive_next(const struct abi_region *region, uint32_t worker, uint32_t slot);
/* The first slot, from this one on, whose memory was ever written, or n_slots. A walk over all slots asks
 * it before each: reading memory that nobody wrote would make it cost as much as if somebody had. */
uint32_t abi_region_next_session(const struct abi_region *region, uint32_t worker, uint32_t slot);
struct abi_peer_counters *abi_region_peer_counters(const struct abi_region *region, uint32_t worker,
                                                   uint32_t peer);
struct abi_limit *abi_region_limit(const struct abi_region *region, uint32_t worker, uint32_t peer);

/* The worker's drops by peer and reason, [abi_region_drop_pairs(n_peers)]. */
struct abi_drop_pair *abi_region_drops(const struct abi_region *region, uint32_t worker);

/* When grants were last used: [ABI_USED_SETS * ABI_USED_WAYS]. */
uint64_t *abi_region_used(const struct abi_region *region, uint32_t worker);

/* Counter arrays of ABI_COUNTERS_LEN: one a worker, one for the exception thread, one for control. */
uint64_t *abi_region_worker_counters(const struct abi_region *region, uint32_t worker);
uint64_t *abi_region_exception_counters(const struct abi_region *region);
uint64_t *abi_region_control_counters(const struct abi_region *region);

/* Sum of one counter over all writers. Thread: any reader. */
uint64_t abi_region_counter(const struct abi_region *region, enum abi_counter counter);

/* Ends of the worker's three rings, for the producer or the consumer side of this process. Each
 * re-reads its own index from shared memory, so a restarted side goes on where it was. */
struct abi_ring_end abi_region_cmd_ring(const struct abi_region *region, uint32_t worker);
struct abi_ring_end abi_region_event_ring(const struct abi_region *region, uint32_t worker);

struct abi_ring_end abi_region_report_ring(const struct abi_region *region, uint32_t worker);

/* Places for drops by peer and reason: 4 a peer, rounded up to a power of two, 1024 to 2^18. */
uint32_t abi_region_drop_pairs(uint32_t n_peers);

/* Session slots of each worker for n_peers: 4 a peer (previous, current, next, one being replaced),
 * rounded up to a power of two, at least 64, at most 2^ABI_INDEX_SLOT_BITS. */
uint32_t abi_region_slots(uint32_t n_peers);

/* Bytes that a region of this geometry takes. */
uint64_t abi_region_len(uint32_t n_workers, uint32_t n_peers, uint32_t n_slots);

#endif

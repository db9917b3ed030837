/* Where each part of the region lies, and making, checking and mapping it. README.md draws it:
 *
 *   page 0   header, port status          page 1   counters: exception thread, control
 *   then one block a worker, page-aligned: status, counters, ring indexes | commands | events |
 *   reports | sessions | receive_next of the sessions | peer counters | drops by peer and reason |
 *   limits of peers | last use of grants
 *
 * so that no page is written by two workers, and no line by both processes. */
#include "abi_region.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3 */
#endif

#define PAGE         UINT64_C(4096)
#define SEALS        (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define COUNTERS_LEN (ABI_COUNTERS_LEN * sizeof(uint64_t))

/* Offsets in the region. */
#define PORT_STATUS        sizeof(struct abi_header)
#define EXCEPTION_COUNTERS PAGE
#define CONTROL_COUNTERS   (EXCEPTION_COUNTERS + COUNTERS_LEN)
#define WORKERS            (2 * PAGE)

/* Offsets in a worker's block. */
#define WORKER_STATUS   0
#define WORKER_COUNTERS sizeof(struct abi_worker_status)
#define CMD_RING        UINT64_C(1664)
#define EVENT_RING      UINT64_C(1920)
#define REPORT_RING     UINT64_C(2176)
#define CMD_RECORDS     PAGE
#define EVENT_RECORDS   (CMD_RECORDS + ABI_CMD_SLOTS * sizeof(struct abi_record))
#define REPORT_RECORDS  (EVENT_RECORDS + ABI_EVENT_SLOTS * sizeof(struct abi_record))
#define SESSIONS        (REPORT_RECORDS + ABI_REPORT_SLOTS * sizeof(struct abi_record))

_Static_assert(PORT_STATUS + ABI_PORTS_MAX * sizeof(struct abi_port_status) <= PAGE, "page 0");
_Static_assert(CONTROL_COUNTERS + COUNTERS_LEN <= WORKERS, "page 1");
_Static_assert(WORKER_COUNTERS + COUNTERS_LEN <= CMD_RING, "ring behind the counters");
_Static_assert(CMD_RING % 128 == 0 && EVENT_RING % 128 == 0, "rings away from neighbour lines");
_Static_assert(CMD_RING + sizeof(struct abi_ring) <= EVENT_RING, "event ring behind the other");
_Static_assert(EVENT_RING + sizeof(struct abi_ring) <= REPORT_RING, "report ring behind that");
_Static_assert(REPORT_RING % 128 == 0, "ring away from neighbour lines");
_Static_assert(REPORT_RING + sizeof(struct abi_ring) <= CMD_RECORDS, "indexes in the first page");
_Static_assert(SESSIONS % PAGE == 0, "sessions begin a page");

static uint64_t round_up_page(uint64_t len)
{
	return (len + PAGE - 1) / PAGE * PAGE;
}

static uint64_t receive_next_offset(uint32_t n_slots)
{
	return round_up_page(SESSIONS + n_slots * sizeof(struct abi_session));
}

static uint64_t peer_counters_offset(uint32_t n_slots)
{
	return round_up_page(receive_next_offset(n_slots) + n_slots * sizeof(uint64_t));
}

static uint64_t drops_offset(uint32_t n_peers, uint32_t n_slots)
{
	return round_up_page(peer_counters_offset(n_slots)
	                     + n_peers * sizeof(struct abi_peer_counters));
}

static uint64_t limits_offset(uint32_t n_peers, uint32_t n_slots)
{
	return round_up_page(drops_offset(n_peers, n_slots)
	                     + abi_region_drop_pairs(n_peers) * sizeof(struct abi_drop_pair));
}

static uint64_t used_offset(uint32_t n_peers, uint32_t n_slots)
{
	return round_up_page(limits_offset(n_peers, n_slots) + n_peers * sizeof(struct abi_limit));
}

static uint64_t worker_len(uint32_t n_peers, uint32_t n_slots)
{
	return used_offset(n_peers, n_slots) + ABI_USED_SETS * ABI_USED_WAYS * sizeof(uint64_t);
}

uint32_t abi_region_drop_pairs(uint32_t n_peers)
{
	uint32_t n = 1024;

	while (n < 1U << 18 && n / 4 < n_peers)
		n *= 2;
	return n;
}

uint32_t abi_region_slots(uint32_t n_peers)
{
	uint32_t most = 1U << ABI_INDEX_SLOT_BITS;
	uint32_t n = 64;

	while (n < most && n / 4 < n_peers)
		n *= 2;
	return n;
}

uint64_t abi_region_len(uint32_t n_workers, uint32_t n_peers, uint32_t n_slots)
{
	return WORKERS + n_workers * worker_len(n_peers, n_slots);
}

/* ---- create ----------------------------------------------------------------------------------- */

static bool ends_in_zero(const char *text, size_t len)
{
	return memchr(text, '\0', len) != NULL;
}

static bool setup_is_sane(const struct abi_setup *setup)
{
	if (setup->n_workers < 1 || setup->n_workers > ABI_WORKERS_MAX)
		return false;
	if (setup->n_ports > ABI_PORTS_MAX)
		return false;
	for (uint32_t i = 0; i < ABI_PORTS_MAX; i++) {
		const struct abi_port_setup *port = &setup->ports[i];

		if (!ends_in_zero(port->name, sizeof(port->name))
		    || !ends_in_zero(port->device, sizeof(port->device)))
			return false;
	}
	return true;
}

/* Returns the memfd or -errno. */
static int create_sealed(uint64_t len)
{
	int fd = memfd_create("weir", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL) /* kernel before 6.3 */
		fd = memfd_create("weir", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)len) != 0 || fcntl(fd, F_ADD_SEALS, SEALS) != 0) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

#define LARGE_LEN (UINT64_C(64) << 20) /* a hub with some 10,000 peers */

/* Map len bytes; session keys lie there, so keep them out of core files. Returns 0 or -errno. */
static int map(int fd, uint64_t len, uint8_t **base)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	if (madvise(p, len, MADV_DONTDUMP) != 0) {
		int err = -errno;

		munmap(p, len);
		return err;
	}
	/* Sessions are written in no order. A memfd has large pages only where root lets it
	 * (transparent_hugepage/shmem_enabled = advise): filling the region is twice as fast with
	 * them, packets of 100,000 peers cost the same (bench/README.md, scale). */
	if (len >= LARGE_LEN)
		(void)madvise(p, len, MADV_HUGEPAGE);
	*base = p;
	return 0;
}

int abi_region_create(const struct abi_setup *setup, uint32_t n_peers, uint64_t epoch,
                      struct abi_region *out)
{
	if (!setup_is_sane(setup) || n_peers < 1 || n_peers > ABI_PEERS_MAX || epoch == 0)
		return -EINVAL;

	struct abi_region region = {
		.n_workers = setup->n_workers,
		.n_peers = n_peers,
		.n_slots = abi_region_slots(n_peers),
		.epoch = epoch,
		.setup = *setup,
	};

	region.len = abi_region_len(region.n_workers, n_peers, region.n_slots);
	region.fd = create_sealed(region.len);
	if (region.fd < 0)
		return region.fd;

	int err = map(region.fd, region.len, &region.base);

	if (err != 0) {
		close(region.fd);
		return err;
	}

	struct abi_header *header = abi_region_header(&region);

	header->version = ABI_VERSION;
	header->header_len = sizeof(*header);
	header->region_len = region.len;
	header->epoch = epoch;
	header->n_workers = region.n_workers;
	header->n_peers = region.n_peers;
	header->n_slots = region.n_slots;
	header->setup = *setup;
	__atomic_store_n(&header->magic, ABI_MAGIC, __ATOMIC_RELEASE);
	*out = region;
	return 0;
}

/* ---- attach ----------------------------------------------------------------------------------- */

#define REFUSE(...) (snprintf(why, why_len, __VA_ARGS__), -EPROTO)

/* The memfd itself: sealed against changes of size, so that no access can fault, and long enough
 * for a header. */
static int check_file(int fd, uint64_t *len, char *why, size_t why_len)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0)
		return REFUSE("region is not a memfd (%s)", strerror(errno));
	if ((seals & SEALS) != SEALS)
		return REFUSE("region is not sealed against resizing (seals 0x%x, need 0x%x)",
		              (unsigned)seals, (unsigned)SEALS);
	if (fstat(fd, &st) != 0)
		return -errno;
	if (st.st_size < (off_t)sizeof(struct abi_header))
		return REFUSE("region has %lld bytes, less than its header's %zu",
		              (long long)st.st_size, sizeof(struct abi_header));
	*len = (uint64_t)st.st_size;
	return 0;
}

static int check_identity(const struct abi_header *header, char *why, size_t why_len)
{
	if (header->magic != ABI_MAGIC)
		return REFUSE("region does not begin with weir's magic number");
	if (header->version != ABI_VERSION)
		return REFUSE("region has version %u, this program speaks version %u: "
		              "run control and dataplane of one release",
		              header->version, ABI_VERSION);
	if (header->header_len != sizeof(*header))
		return REFUSE("region's header has %u bytes, expected %zu", header->header_len,
		              sizeof(*header));
	if (header->features != 0)
		return REFUSE("region has features 0x%x that this program does not know",
		              header->features);
	if (header->epoch == 0)
		return REFUSE("region has no epoch");
	return 0;
}

static int check_geometry(const struct abi_header *header, uint64_t file_len, char *why,
                          size_t why_len)
{
	if (header->n_workers < 1 || header->n_workers > ABI_WORKERS_MAX)
		return REFUSE("region has %u workers, must be 1 to %u", header->n_workers,
		              ABI_WORKERS_MAX);
	if (header->n_peers < 1 || header->n_peers > ABI_PEERS_MAX)
		return REFUSE("region has room for %u peers, must be 1 to %u", header->n_peers,
		              ABI_PEERS_MAX);
	if (header->n_slots != abi_region_slots(header->n_peers))
		return REFUSE("region has %u session slots a worker, expected %u for %u peers",
		              header->n_slots, abi_region_slots(header->n_peers), header->n_peers);

	uint64_t len = abi_region_len(header->n_workers, header->n_peers, header->n_slots);

	if (header->region_len != len || file_len != len)
		return REFUSE("region says %llu bytes and has %llu, expected %llu",
		              (unsigned long long)header->region_len, (unsigned long long)file_len,
		              (unsigned long long)len);
	if (!setup_is_sane(&header->setup) || header->setup.n_workers != header->n_workers)
		return REFUSE("region's set-up is malformed");
	return 0;
}

#undef REFUSE

int abi_region_attach(int fd, struct abi_region *out, char *why, size_t why_len)
{
	struct abi_header header; /* a copy: what is checked is what is used */
	uint64_t len = 0;
	int err;

	if (why_len != 0)
		why[0] = '\0';
	err = check_file(fd, &len, why, why_len);
	if (err != 0)
		return err;

	ssize_t n = pread(fd, &header, sizeof(header), 0);

	if (n != (ssize_t)sizeof(header))
		return n < 0 ? -errno : -EPROTO;
	err = check_identity(&header, why, why_len);
	if (err == 0)
		err = check_geometry(&header, len, why, why_len);
	if (err != 0)
		return err;

	struct abi_region region = {
		.len = len,
		.fd = fd,
		.n_workers = header.n_workers,
		.n_peers = header.n_peers,
		.n_slots = header.n_slots,
		.epoch = header.epoch,
		.setup = header.setup,
	};

	err = map(fd, len, &region.base);
	if (err != 0) {
		snprintf(why, why_len, "region cannot be mapped (%s)", strerror(-err));
		return err;
	}
	*out = region;
	return 0;
}

void abi_region_fini(struct abi_region *region)
{
	if (region->base == NULL)
		return;
	munmap(region->base, region->len);
	close(region->fd);
	region->base = NULL;
	region->fd = -1;
}

/* ---- parts ------------------------------------------------------------------------------------ */

static void *part(const struct abi_region *region, uint64_t offset)
{
	return region->base + offset;
}

static void *worker_part(const struct abi_region *region, uint32_t worker, uint64_t offset)
{
	assert(worker < region->n_workers);
	return part(region,
	            WORKERS + worker * worker_len(region->n_peers, region->n_slots) + offset);
}

struct abi_header *abi_region_header(const struct abi_region *region)
{
	return part(region, 0);
}

struct abi_port_status *abi_region_port_status(const struct abi_region *region, uint32_t port)
{
	assert(port < ABI_PORTS_MAX);
	return part(region, PORT_STATUS + port * sizeof(struct abi_port_status));
}

struct abi_worker_status *abi_region_worker_status(const struct abi_region *region, uint32_t worker)
{
	return worker_part(region, worker, WORKER_STATUS);
}

struct abi_session *abi_region_session(const struct abi_region *region, uint32_t worker,
                                       uint32_t slot)
{
	assert(slot < region->n_slots);
	return worker_part(region, worker, SESSIONS + slot * sizeof(struct abi_session));
}

uint64_t *abi_region_receive_next(const struct abi_region *region, uint32_t worker, uint32_t slot)
{
	assert(slot < region->n_slots);
	return worker_part(region, worker,
	                   receive_next_offset(region->n_slots) + slot * sizeof(uint64_t));
}

uint32_t abi_region_next_session(const struct abi_region *region, uint32_t worker, uint32_t slot)
{
	const uint8_t *sessions = worker_part(region, worker, SESSIONS);
	uint64_t begin = (uint64_t)(sessions - region->base);
	uint64_t at = begin + slot * sizeof(struct abi_session);
	off_t data;

	/* The kernel knows by pages: asked at the first slot that begins in one. */
	if (slot >= region->n_slots || at % PAGE >= sizeof(struct abi_session))
		return slot;
	data = lseek(region->fd, (off_t)at, SEEK_DATA);
	if (data < 0)
		return errno == ENXIO ? region->n_slots : slot;
	if ((uint64_t)data <= at)
		return slot;
	/* One that begins before the data was never made. */
	at = ((uint64_t)data - begin + sizeof(struct abi_session) - 1) / sizeof(struct abi_session);
	return at < region->n_slots ? (uint32_t)at : region->n_slots;
}

struct abi_peer_counters *abi_region_peer_counters(const struct abi_region *region, uint32_t worker,
                                                   uint32_t peer)
{
	assert(peer < region->n_peers);
	return worker_part(region, worker,
	                   peer_counters_offset(region->n_slots)
	                           + peer * sizeof(struct abi_peer_counters));
}

struct abi_drop_pair *abi_region_drops(const struct abi_region *region, uint32_t worker)
{
	return worker_part(region, worker, drops_offset(region->n_peers, region->n_slots));
}

struct abi_limit *abi_region_limit(const struct abi_region *region, uint32_t worker, uint32_t peer)
{
	assert(peer < region->n_peers);
	return worker_part(region, worker,
	                   limits_offset(region->n_peers, region->n_slots)
	                           + peer * sizeof(struct abi_limit));
}

uint64_t *abi_region_used(const struct abi_region *region, uint32_t worker)
{
	return worker_part(region, worker, used_offset(region->n_peers, region->n_slots));
}

uint64_t *abi_region_worker_counters(const struct abi_region *region, uint32_t worker)
{
	return worker_part(region, worker, WORKER_COUNTERS);
}

uint64_t *abi_region_exception_counters(const struct abi_region *region)
{
	return part(region, EXCEPTION_COUNTERS);
}

uint64_t *abi_region_control_counters(const struct abi_region *region)
{
	return part(region, CONTROL_COUNTERS);
}

uint64_t abi_region_counter(const struct abi_region *region, enum abi_counter counter)
{
	uint64_t sum = 0;

	assert(counter < ABI_N_COUNTERS);
	for (uint32_t i = 0; i < region->n_workers; i++)
		sum += __atomic_load_n(&abi_region_worker_counters(region, i)[counter],
		                       __ATOMIC_RELAXED);
	sum += __atomic_load_n(&abi_region_exception_counters(region)[counter], __ATOMIC_RELAXED);
	sum += __atomic_load_n(&abi_region_control_counters(region)[counter], __ATOMIC_RELAXED);
	return sum;
}

struct abi_ring_end abi_region_cmd_ring(const struct abi_region *region, uint32_t worker)
{
	return abi_ring_end_make(worker_part(region, worker, CMD_RING),
	                         worker_part(region, worker, CMD_RECORDS), ABI_CMD_SLOTS);
}

struct abi_ring_end abi_region_event_ring(const struct abi_region *region, uint32_t worker)
{
	return abi_ring_end_make(worker_part(region, worker, EVENT_RING),
	                         worker_part(region, worker, EVENT_RECORDS), ABI_EVENT_SLOTS);
}

struct abi_ring_end abi_region_report_ring(const struct abi_region *region, uint32_t worker)
{
	return abi_ring_end_make(worker_part(region, worker, REPORT_RING),
	                         worker_part(region, worker, REPORT_RECORDS), ABI_REPORT_SLOTS);
}

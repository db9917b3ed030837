/* The loop, its two directions, and its sleep. */
#include "port_exception.h"

#include "base_bytes.h"
#include "base_log.h"
#include "base_time.h"
#include "port_gro.h"
#include "port_gso.h"
#include "port_limit.h"

#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* 2048 MTU packets are about 5 ms at 5 Gbit/s: as long as this thread may have to wait for a CPU.
 * Towards the worker half of that, since reading stops before its ring is full. */
#define TO_KERNEL_SLOTS   2048U
#define FROM_KERNEL_SLOTS 1024U
/* Reading waits while a worker's ring has less room than a super-packet of usual MSS needs, so that
 * what is too much queues in the device, whole; but not for longer than this on one worker's behalf:
 * the others' packets are behind it in the same device. */
#define HOLD_ROOM         64U
#define HOLD_MAX_NS       (2 * BASE_NS_PER_MS)
#define HOLD_NAP_NS       30000L
#define READS_PER_TURN    4U
#define CHUNK             64U /* mbufs taken from the pool at a time */
#define READ_LEN          (65535U + 14U + 1U)
#define ETHER_LEN         14U
#define EMPTY_TURNS       4U         /* before it goes to sleep */
#define SLEEP_MAX_NS      100000000L /* for a stop that nobody announced */
/* What sealing may put behind a packet: padding to 16 and the tag. */
#define TAIL_ROOM         32U
#define N_DEVICES         (ABI_PORTS_MAX + 1U) /* TAPs by port, then the TUN */

_Static_assert(PORT_LINK_TUN == ABI_PORTS_MAX, "devices are indexed by the label of their mbufs");
_Static_assert(RTE_PKTMBUF_HEADROOM >= 128, "outer headers are put in front without copying");

struct device {
	int fd; /* borrowed; -1 = none, or given up */
	uint32_t l3;
	enum abi_counter read;
	enum abi_counter written;
	struct base_log_limit log_limit;
};

struct port_exception {
	struct device devices[N_DEVICES];
	struct port_link links[ABI_WORKERS_MAX];
	uint32_t n_workers;
	uint32_t room;          /* longest packet that fits an mbuf */
	uint64_t held_since_ns; /* a worker's ring lacks room since then; 0 = none does */
	struct rte_mempool *pool;
	uint64_t *counters;
	int wake_fd;
	struct port_gro gro;
	struct port_limit limit;
	_Alignas(64) _Atomic uint32_t sleeps; /* written by workers too */
	_Alignas(64) uint8_t read[READ_LEN];
};

/* Single writer; readers in other threads and processes see whole words. */
static void count(struct port_exception *exception, enum abi_counter counter, uint64_t n)
{
	__atomic_store_n(&exception->counters[counter], exception->counters[counter] + n,
	                 __ATOMIC_RELAXED);
}

/* ---- making ------------------------------------------------------------------------------------ */

static int make_ring(const char *name, const char *direction, uint32_t worker, uint32_t n_slots,
                     struct rte_ring **out)
{
	char text[RTE_RING_NAMESIZE];

	snprintf(text, sizeof(text), "%s_%s%u", name, direction, worker);
	*out = rte_ring_create(text, n_slots, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	return *out != NULL ? 0 : -rte_errno;
}

static int make_links(struct port_exception *exception, const char *name)
{
	for (uint32_t i = 0; i < exception->n_workers; i++) {
		struct port_link *link = &exception->links[i];
		int r = make_ring(name, "to", i, TO_KERNEL_SLOTS, &link->to_kernel);

		if (r == 0)
			r = make_ring(name, "from", i, FROM_KERNEL_SLOTS, &link->from_kernel);
		if (r < 0)
			return r;
		link->exception_sleeps = &exception->sleeps;
		link->wake_fd = exception->wake_fd;
	}
	return 0;
}

static void make_devices(struct port_exception *exception, const struct port_exception_setup *setup)
{
	for (uint32_t i = 0; i < ABI_PORTS_MAX; i++)
		exception->devices[i] = (struct device){
			.fd = setup->taps[i],
			.l3 = ETHER_LEN,
			.read = ABI_COUNTER_TAP_READ,
			.written = ABI_COUNTER_TAP_WRITTEN,
		};
	exception->devices[PORT_LINK_TUN] = (struct device){
		.fd = setup->tun,
		.l3 = 0,
		.read = ABI_COUNTER_TUN_READ,
		.written = ABI_COUNTER_TUN_WRITTEN,
	};
}

int port_exception_create(const struct port_exception_setup *setup, const char *name,
                          struct port_exception **out)
{
	struct port_exception *exception = aligned_alloc(64, sizeof(*exception));
	int r;

	if (exception == NULL)
		return -ENOMEM;
	memset(exception, 0, sizeof(*exception));
	exception->n_workers = setup->n_workers;
	exception->pool = setup->pool;
	exception->counters = setup->counters;
	exception->room = rte_pktmbuf_data_room_size(setup->pool) - RTE_PKTMBUF_HEADROOM
	                  - TAIL_ROOM;
	port_limit_init(&exception->limit, setup->seed);
	make_devices(exception, setup);
	exception->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = exception->wake_fd < 0 ? -errno : make_links(exception, name);
	if (r < 0) {
		port_exception_destroy(exception);
		return r;
	}
	*out = exception;
	return 0;
}

static void drain_ring(struct rte_ring *ring)
{
	void *mbuf;

	while (ring != NULL && rte_ring_sc_dequeue(ring, &mbuf) == 0)
		rte_pktmbuf_free(mbuf);
	rte_ring_free(ring);
}

void port_exception_destroy(struct port_exception *exception)
{
	if (exception == NULL)
		return;
	for (uint32_t i = 0; i < exception->n_workers; i++) {
		drain_ring(exception->links[i].to_kernel);
		drain_ring(exception->links[i].from_kernel);
	}
	if (exception->wake_fd >= 0)
		close(exception->wake_fd);
	free(exception);
}

struct port_link *port_exception_link(struct port_exception *exception, uint32_t worker)
{
	return &exception->links[worker];
}

/* ---- worker to kernel -------------------------------------------------------------------------- */

/* A device that the kernel took away stays unread: poll() would report it for ever. */
static void give_up(struct port_exception *exception, struct device *device, int error)
{
	uint32_t i = (uint32_t)(device - exception->devices);

	log_err("exception", "%s %u is gone (%s): restart weir to make it again",
	        i == PORT_LINK_TUN ? "TUN" : "TAP of port", i == PORT_LINK_TUN ? 0 : i,
	        strerror(error));
	device->fd = -1;
}

static void write_refused(struct port_exception *exception, struct device *device, int error,
                          uint32_t n_packets)
{
	uint32_t left_out;

	count(exception, ABI_COUNTER_KERNEL_REFUSED, n_packets);
	if (error == EBADFD) {
		give_up(exception, device, error);
		return;
	}
	if (base_log_limit_pass(&device->log_limit, base_time_monotonic_ns(), &left_out))
		log_warn("exception",
		         "kernel refused a packet err=\"%s\" device=%u left_out=%u (EIO: the "
		         "interface is down)",
		         strerror(error), (uint32_t)(device - exception->devices), left_out);
}

/* Write what port_gro made of the burst. The limit counts writes, since they are what costs: a bulk
 * transfer, some 40 packets a write, does not feel it. */
static void write_burst(struct port_exception *exception, struct device *device, uint64_t now_ns)
{
	struct port_gro *gro = &exception->gro;
	bool is_tun = device == &exception->devices[PORT_LINK_TUN];

	for (uint32_t i = 0; i < gro->n_writes; i++) {
		struct iovec iov[PORT_GRO_IOV];
		uint32_t n_packets, n = port_gro_write_iov(gro, i, iov, &n_packets);

		if (!is_tun
		    && !port_limit_pass(&exception->limit, (const uint8_t *)iov[1].iov_base,
		                        (uint32_t)iov[1].iov_len, now_ns))
			count(exception, ABI_COUNTER_KERNEL_LIMITED, n_packets);
		else if (writev(device->fd, iov, (int)n) < 0)
			write_refused(exception, device, errno, n_packets);
		else
			count(exception, device->written, n_packets);
	}
}

/* Those of the burst that are for device d, in order. */
static void write_device(struct port_exception *exception, uint32_t d, struct rte_mbuf **mbufs,
                         uint32_t n, uint64_t now_ns)
{
	struct device *device = &exception->devices[d];

	port_gro_begin(&exception->gro, device->l3, d == PORT_LINK_TUN);
	for (uint32_t i = 0; i < n; i++) {
		struct rte_mbuf *mbuf = mbufs[i];

		if (mbuf->port != d)
			continue;
		if (device->fd < 0 || mbuf->nb_segs != 1)
			count(exception, ABI_COUNTER_KERNEL_REFUSED, 1);
		else
			port_gro_add(&exception->gro, rte_pktmbuf_mtod(mbuf, uint8_t *),
			             mbuf->data_len);
	}
	write_burst(exception, device, now_ns);
}

static uint32_t write_from_worker(struct port_exception *exception, struct port_link *link)
{
	struct rte_mbuf *mbufs[PORT_GRO_BURST];
	uint32_t n = rte_ring_sc_dequeue_burst(link->to_kernel, (void **)mbufs, PORT_GRO_BURST,
	                                       NULL);
	uint32_t present = 0;
	uint64_t now_ns;

	if (n == 0)
		return 0;
	now_ns = base_time_monotonic_ns();
	for (uint32_t i = 0; i < n; i++) {
		if (mbufs[i]->port < N_DEVICES)
			present |= 1U << mbufs[i]->port;
		else
			count(exception, ABI_COUNTER_KERNEL_REFUSED, 1);
	}
	for (uint32_t d = 0; present >> d != 0; d++)
		if (present >> d & 1)
			write_device(exception, d, mbufs, n, now_ns);
	rte_pktmbuf_free_bulk(mbufs, n);
	return n;
}

/* ---- kernel to worker -------------------------------------------------------------------------- */

/* The worker for a packet, by destination: all that goes to one peer goes one way, so nothing is
 * put out of order, and mostly one worker owns it. */
static uint32_t pick_worker(const struct port_exception *exception, const uint8_t *ip, uint32_t len)
{
	uint64_t h = 0;

	if (exception->n_workers == 1 || len < 20)
		return 0;
	if (ip[0] >> 4 == 4)
		h = base_load_le32(ip + 16);
	else if (ip[0] >> 4 == 6 && len >= 40)
		h = base_load_le64(ip + 24) ^ base_load_le64(ip + 32);
	h *= UINT64_C(0x9e3779b97f4a7c15);
	return (uint32_t)(h >> 32) % exception->n_workers;
}

/* Cut the packet in exception->read up into the worker's ring. Returns the number of segments. */
static uint32_t send_to_worker(struct port_exception *exception, uint32_t d, struct port_gso *gso,
                               struct rte_ring *ring)
{
	struct rte_mbuf *mbufs[CHUNK];
	uint32_t left = gso->n_segments;

	while (left > 0) {
		uint32_t n = left < CHUNK ? left : CHUNK, n_sent;

		if (rte_pktmbuf_alloc_bulk(exception->pool, mbufs, n) != 0) {
			count(exception, ABI_COUNTER_NO_MBUF, left);
			break;
		}
		for (uint32_t i = 0; i < n; i++) {
			uint32_t len = port_gso_next(gso, rte_pktmbuf_mtod(mbufs[i], uint8_t *));

			mbufs[i]->data_len = (uint16_t)len;
			mbufs[i]->pkt_len = len;
			mbufs[i]->port = (uint16_t)d;
		}
		n_sent = rte_ring_sp_enqueue_burst(ring, (void **)mbufs, n, NULL);
		if (n_sent < n) {
			rte_pktmbuf_free_bulk(mbufs + n_sent, n - n_sent);
			count(exception, ABI_COUNTER_KERNEL_WORKER_FULL, left - n_sent);
			break;
		}
		left -= n;
	}
	return gso->n_segments;
}

static uint32_t read_one(struct port_exception *exception, uint32_t d,
                         const struct virtio_net_hdr *vnet, uint32_t len)
{
	struct device *device = &exception->devices[d];
	struct port_bell *bell;
	struct port_gso gso;
	uint32_t worker, n;

	count(exception, device->read, 1);
	if (port_gso_begin(&gso, vnet, exception->read, len, device->l3) < 0
	    || gso.segment_max > exception->room) {
		count(exception, ABI_COUNTER_KERNEL_BAD, 1);
		return 1;
	}
	worker = pick_worker(exception, exception->read + device->l3, len - device->l3);
	n = send_to_worker(exception, d, &gso, exception->links[worker].from_kernel);
	bell = exception->links[worker].worker;
	if (bell != NULL && port_bell_is_due(&bell->sleeps))
		port_bell_ring(bell->fd);
	return n;
}

/* Shall the devices be left unread for now? */
static bool is_held(struct port_exception *exception)
{
	uint64_t now_ns;

	for (uint32_t i = 0; i < exception->n_workers; i++) {
		if (rte_ring_free_count(exception->links[i].from_kernel) >= HOLD_ROOM)
			continue;
		now_ns = base_time_monotonic_ns();
		if (exception->held_since_ns == 0)
			exception->held_since_ns = now_ns;
		return now_ns - exception->held_since_ns < HOLD_MAX_NS;
	}
	exception->held_since_ns = 0;
	return false;
}

static uint32_t read_device(struct port_exception *exception, uint32_t d)
{
	struct device *device = &exception->devices[d];
	uint32_t n_moved = 0;

	for (uint32_t i = 0; i < READS_PER_TURN && device->fd >= 0 && !is_held(exception); i++) {
		struct virtio_net_hdr vnet;
		struct iovec iov[2] = {{&vnet, sizeof(vnet)}, {exception->read, READ_LEN}};
		ssize_t n = readv(device->fd, iov, 2);

		if (n < 0) {
			/* EIO while the interface is down */
			if (errno == EBADFD)
				give_up(exception, device, errno);
			break;
		}
		if ((size_t)n < sizeof(vnet)) {
			count(exception, ABI_COUNTER_KERNEL_BAD, 1);
			break;
		}
		n_moved += read_one(exception, d, &vnet, (uint32_t)n - (uint32_t)sizeof(vnet));
	}
	return n_moved;
}

/* ---- the loop ---------------------------------------------------------------------------------- */

uint32_t port_exception_turn(struct port_exception *exception)
{
	uint32_t n_moved = 0;

	for (uint32_t i = 0; i < exception->n_workers; i++)
		n_moved += write_from_worker(exception, &exception->links[i]);
	for (uint32_t d = 0; d < N_DEVICES; d++)
		n_moved += read_device(exception, d);
	return n_moved;
}

static bool is_work_waiting(const struct port_exception *exception)
{
	for (uint32_t i = 0; i < exception->n_workers; i++)
		if (!rte_ring_empty(exception->links[i].to_kernel))
			return true;
	return false;
}

/* Sleep until the kernel has a packet or a worker kicks (port_bell.h). */
static void sleep_in_poll(struct port_exception *exception)
{
	struct timespec limit = {.tv_nsec = SLEEP_MAX_NS};
	struct pollfd fds[N_DEVICES + 1];
	nfds_t n = 0;
	bool held = is_held(exception);

	/* Workers do not say when they took something; the nap is about 20 packets long. */
	if (held)
		limit.tv_nsec = HOLD_NAP_NS;
	fds[n++] = (struct pollfd){.fd = exception->wake_fd, .events = POLLIN};
	for (uint32_t d = 0; d < N_DEVICES && !held; d++)
		if (exception->devices[d].fd >= 0)
			fds[n++] = (struct pollfd){.fd = exception->devices[d].fd,
			                           .events = POLLIN};
	port_bell_announce(&exception->sleeps);
	if (!is_work_waiting(exception) && ppoll(fds, n, &limit, NULL) > 0
	    && (fds[0].revents & POLLIN) != 0)
		port_bell_silence(exception->wake_fd);
	port_bell_withdraw(&exception->sleeps);
}

void port_exception_run(struct port_exception *exception, const _Atomic uint32_t *stop)
{
	uint32_t n_empty = 0;

	prctl(PR_SET_TIMERSLACK, 1000UL); /* else the short nap takes 50 us more */
	while (atomic_load_explicit(stop, memory_order_relaxed) == 0) {
		n_empty = port_exception_turn(exception) > 0 ? 0 : n_empty + 1;
		if (n_empty >= EMPTY_TURNS)
			sleep_in_poll(exception);
	}
}

void port_exception_wake(struct port_exception *exception)
{
	port_bell_ring(exception->wake_fd);
}

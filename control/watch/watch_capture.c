/* The capture that is under way: its memory, the workers' rings merged by time, and its end. */
#include "watch_capture.h"

#include "base_time.h"
#include "program.h"
#include "watch_pcapng.h"
#include "watch_private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define N_SLOTS  2048U
#define PATIENCE 5U /* seconds that nobody reads */
#define SEALS    (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

struct watch_capture {
	struct watch *watch;
	struct watch_capture_spec spec;
	uint64_t id;
	void *data;
	size_t len;
	struct abi_capture_end ends[ABI_WORKERS_MAX];
	uint32_t n_workers;
	uint64_t n_packets;
	uint64_t begin_ns; /* monotonic */
	bool has_begun;    /* the file's head was read */
	bool is_stopped;
	bool is_closed; /* the workers were told to leave; what they put in is still read */
	char by[64];
	struct event *timer; /* nobody reads */
};

/* ---- life ---------------------------------------------------------------------------------------- */

static uint64_t lost_of(const struct watch_capture *capture)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < capture->n_workers; i++)
		n += abi_capture_lost(&capture->ends[i]);
	return n;
}

/* The workers leave it before their next burst, and their mapping goes then. */
static void close_memory(struct watch_capture *capture)
{
	if (!capture->is_closed)
		(void)program_blob_set(capture->watch->setup.program, ABI_BLOB_CAPTURE, -1, 0);
	capture->is_closed = true;
}

void watch__capture_end(struct watch *watch, const char *why)
{
	struct watch_capture *capture = watch->capture;

	if (!capture)
		return;
	watch->capture = NULL;
	if (capture->begin_ns != 0) {
		log_info("audit",
		         "capture ended id=%" PRIu64 " by=%s packets=%" PRIu64 " lost=%" PRIu64
		         " why=\"%s\"",
		         capture->id, capture->by, capture->n_packets, lost_of(capture), why);
		close_memory(capture);
	}
	if (capture->timer)
		event_free(capture->timer);
	if (capture->data)
		munmap(capture->data, capture->len);
	free(capture);
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	watch__capture_end(arg, "nobody reads it");
}

static int keep_alive(struct watch_capture *capture)
{
	static const struct timeval patience = {PATIENCE, 0};

	return event_add(capture->timer, &patience) < 0 ? -ENOMEM : 0;
}

/* Returns the memfd or -errno; capture->data is mapped. */
static int make_memory(struct watch_capture *capture, const struct abi_capture *head)
{
	int fd;
	int err = 0;

	capture->len = abi_capture_len(head);
	if (capture->len == 0)
		return -EINVAL;
	fd = memfd_create("weir-capture", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)capture->len) < 0 || fcntl(fd, F_ADD_SEALS, SEALS) < 0)
		err = -errno;
	if (err == 0) {
		capture->data = mmap(NULL, capture->len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (capture->data == MAP_FAILED) {
			err = -errno;
			capture->data = NULL;
		}
	}
	if (err < 0) {
		close(fd);
		return err;
	}
	(void)madvise(capture->data, capture->len, MADV_DONTDUMP);
	abi_capture_init(capture->data, head);
	return fd;
}

static int start(struct watch_capture *capture)
{
	const struct watch_capture_spec *spec = &capture->spec;
	struct program *program = capture->watch->setup.program;
	struct abi_capture head = {
		.n_workers = program_n_workers(program),
		.n_slots = N_SLOTS,
		.snaplen = spec->snaplen,
		.what = spec->what,
		.n_peers = spec->n_peers,
	};
	int fd;

	memcpy(head.peers, spec->peers, sizeof(head.peers));
	fd = make_memory(capture, &head);
	if (fd < 0)
		return fd;
	capture->n_workers = head.n_workers;
	for (uint32_t i = 0; i < head.n_workers; i++) {
		if (abi_capture_open(capture->data, capture->len, i, &head, &capture->ends[i]))
			continue;
		close(fd);
		return -EINVAL;
	}
	return program_blob_set(program, ABI_BLOB_CAPTURE, fd, capture->id);
}

int watch_capture_begin(struct watch *watch, const struct watch_capture_spec *spec, uint64_t *id)
{
	struct watch_capture *capture;
	int err;

	if (watch->capture)
		return -EBUSY;
	capture = calloc(1, sizeof(*capture));
	if (!capture)
		return -ENOMEM;
	capture->watch = watch;
	capture->spec = *spec;
	/* also another than an earlier control's */
	capture->id = base_time_wall_ns() / BASE_NS_PER_US;
	snprintf(capture->by, sizeof(capture->by), "%s", spec->by);
	watch->capture = capture;
	capture->timer = evtimer_new(watch->setup.base, on_timeout, watch);
	err = capture->timer ? keep_alive(capture) : -ENOMEM;
	if (err == 0)
		err = start(capture);
	if (err < 0) {
		watch__capture_end(watch, "not begun");
		return err;
	}
	capture->begin_ns = base_time_monotonic_ns();
	log_info("audit", "capture begins id=%" PRIu64 " by=%s what=\"%s\" snaplen=%u", capture->id,
	         capture->by, spec->wanted, spec->snaplen);
	*id = capture->id;
	return 0;
}

/* ---- reading ------------------------------------------------------------------------------------- */

static const char *comment_of(const struct watch *watch, const struct abi_capture_packet *packet,
                              char *buf, size_t size)
{
	const struct peer_table *peers = watch->setup.peers;
	const char *way = packet->way == ABI_CAPTURE_FROM_PEER ? "from peer"
	                  : packet->way == ABI_CAPTURE_TO_PEER ? "to peer"
	                                                       : "dropped";
	char name[16];

	if (packet->way != ABI_CAPTURE_DROPPED)
		snprintf(buf, size, "%s %s", way, watch_peer(peers, packet->peer, name));
	else if (packet->reason < ABI_N_COUNTERS)
		snprintf(buf, size, "dropped: %s: %s; %s %s", watch_reason(packet->reason),
		         abi_counter_texts[packet->reason].text,
		         packet->flags & ABI_DROP_TO_PEER ? "to peer" : "from peer",
		         watch_peer(peers, packet->peer, name));
	else
		snprintf(buf, size, "dropped");
	return buf;
}

static size_t write_packet(struct watch_capture *capture, const struct abi_capture_packet *packet,
                           const uint8_t *bytes, uint8_t *out)
{
	char comment[WATCH_PCAPNG_COMMENT_MAX];
	const struct watch_pcapng_packet block = {
		.wall_ns = watch__wall_of(packet->time_ns, base_time_monotonic_ns()),
		.bytes = bytes,
		.kept = packet->kept,
		.len = packet->len,
		.way = packet->way == ABI_CAPTURE_TO_PEER ? WATCH_PCAPNG_OUTBOUND
	                                                  : WATCH_PCAPNG_INBOUND,
		.comment = comment_of(capture->watch, packet, comment, sizeof(comment)),
	};

	capture->n_packets++;
	return watch_pcapng_packet(out, &block);
}

/* The worker whose oldest packet is the oldest of all; NULL = there is none. */
static struct abi_capture_end *oldest(struct watch_capture *capture)
{
	struct abi_capture_end *found = NULL;
	uint64_t found_ns = 0;

	for (uint32_t i = 0; i < capture->n_workers; i++) {
		uint64_t time_ns;

		if (!abi_capture_peek_time(&capture->ends[i], &time_ns)
		    || (found && time_ns >= found_ns))
			continue;
		found = &capture->ends[i];
		found_ns = time_ns;
	}
	return found;
}

static bool is_enough(const struct watch_capture *capture)
{
	return capture->spec.count != 0 && capture->n_packets >= capture->spec.count;
}

/* Packets as far as they fit; the tail has its room. */
static size_t write_packets(struct watch_capture *capture, uint8_t *out, size_t room)
{
	static uint8_t bytes[ABI_CAPTURE_SNAP_MAX]; /* one thread */
	struct abi_capture_end *end;
	size_t len = 0;

	while (!is_enough(capture) && (end = oldest(capture)) != NULL
	       && len + WATCH_PCAPNG_PACKET_MAX(capture->spec.snaplen) <= room) {
		struct abi_capture_packet packet;

		if (abi_capture_peek(end, &packet, bytes))
			len += write_packet(capture, &packet, bytes, out + len);
		abi_capture_free(end);
	}
	explicit_bzero(bytes, sizeof(bytes));
	return len;
}

static const char *end_of(const struct watch_capture *capture, uint64_t now_ns)
{
	if (is_enough(capture))
		return "count reached";
	if (capture->is_stopped)
		return "stopped";
	if (capture->spec.seconds != 0
	    && now_ns - capture->begin_ns >= capture->spec.seconds * BASE_NS_PER_S)
		return "time is up";
	return NULL;
}

static struct watch_capture *find(struct watch *watch, uint64_t id)
{
	return watch->capture && watch->capture->id == id ? watch->capture : NULL;
}

int watch_capture_read(struct watch *watch, uint64_t id, uint8_t *out,
                       struct watch_capture_read *read)
{
	struct watch_capture *capture = find(watch, id);
	const char *ended;

	if (!capture || keep_alive(capture) < 0)
		return -ENOENT;
	*read = (struct watch_capture_read){.len = 0};
	if (!capture->has_begun)
		read->len = watch_pcapng_begin(out, "weir " WEIR_VERSION, "weir",
		                               capture->spec.snaplen);
	capture->has_begun = true;
	read->len += write_packets(capture, out + read->len,
	                           WATCH_CAPTURE_READ_MAX - WATCH_PCAPNG_TAIL_MAX - read->len);
	ended = end_of(capture, base_time_monotonic_ns());
	if (ended && !capture->is_closed)
		close_memory(capture);
	if (ended && (is_enough(capture) || !oldest(capture)))
		read->ended = ended;
	read->n_packets = capture->n_packets;
	read->n_lost = lost_of(capture);
	if (!read->ended)
		return 0;
	read->len += watch_pcapng_end(out + read->len, base_time_wall_ns(),
	                              read->n_packets + read->n_lost, read->n_lost);
	watch__capture_end(watch, read->ended);
	return 0;
}

int watch_capture_stop(struct watch *watch, uint64_t id)
{
	struct watch_capture *capture = find(watch, id);

	if (!capture)
		return -ENOENT;
	capture->is_stopped = true;
	return 0;
}

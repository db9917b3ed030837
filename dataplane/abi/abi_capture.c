/* Geometry and the two ends of a capture's rings. */
#include "abi_capture.h"

#include <string.h>

#define PAGE UINT64_C(4096)

static size_t round_up(size_t len, size_t unit)
{
	return (len + unit - 1) / unit * unit;
}

static uint32_t slot_len_of(const struct abi_capture *capture)
{
	return (uint32_t)round_up(sizeof(struct abi_capture_packet) + capture->snaplen, ABI_LINE);
}

static size_t worker_len(const struct abi_capture *capture)
{
	return round_up(sizeof(struct abi_capture_ring)
	                        + (size_t)capture->n_slots * slot_len_of(capture),
	                PAGE);
}

size_t abi_capture_len(const struct abi_capture *capture)
{
	size_t len;

	if (capture->n_workers < 1 || capture->n_workers > ABI_WORKERS_MAX || capture->n_slots < 2
	    || capture->n_slots > ABI_CAPTURE_SLOTS_MAX
	    || (capture->n_slots & (capture->n_slots - 1)) != 0 || capture->snaplen < 1
	    || capture->snaplen > ABI_CAPTURE_SNAP_MAX || capture->what == 0
	    || (capture->what & ~(ABI_CAPTURE_PACKETS | ABI_CAPTURE_DROPS)) != 0
	    || capture->n_peers > ABI_CAPTURE_PEERS_MAX)
		return 0;
	len = PAGE + capture->n_workers * worker_len(capture);
	return len <= ABI_CAPTURE_LEN_MAX ? len : 0;
}

void abi_capture_init(void *data, const struct abi_capture *capture)
{
	struct abi_capture head = *capture;

	head.magic = ABI_CAPTURE_MAGIC;
	head.version = ABI_CAPTURE_VERSION;
	memcpy(data, &head, sizeof(head));
}

/* What is checked is what is used: of a copy. */
static const char *check(const struct abi_capture *head, size_t len)
{
	if (head->magic != ABI_CAPTURE_MAGIC)
		return "not a capture";
	if (head->version != ABI_CAPTURE_VERSION)
		return "another version";
	return abi_capture_len(head) == len ? NULL : "length or a size in it is out of range";
}

const char *abi_capture_check(const void *data, size_t len)
{
	struct abi_capture head;

	if (len < sizeof(head))
		return "shorter than its head";
	memcpy(&head, data, sizeof(head));
	return check(&head, len);
}

bool abi_capture_open(void *data, size_t len, uint32_t worker, struct abi_capture *capture,
                      struct abi_capture_end *end)
{
	uint8_t *base = data;
	struct abi_capture_ring *ring;

	if (len < sizeof(*capture))
		return false;
	memcpy(capture, data, sizeof(*capture));
	__atomic_signal_fence(__ATOMIC_SEQ_CST); /* from here on only the copy */
	if (check(capture, len) != NULL || worker >= capture->n_workers)
		return false;
	base += PAGE + worker * worker_len(capture);
	ring = (void *)base;
	*end = (struct abi_capture_end){
		.ring = ring,
		.slots = base + sizeof(*ring),
		.mask = capture->n_slots - 1,
		.slot_len = slot_len_of(capture),
		.snaplen = capture->snaplen,
		.head = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE),
		.tail = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE),
	};
	return true;
}

static uint8_t *slot_at(const struct abi_capture_end *end, uint64_t number)
{
	return end->slots + (size_t)(number & end->mask) * end->slot_len;
}

bool abi_capture_put(struct abi_capture_end *end, const struct abi_capture_packet *packet,
                     const uint8_t *bytes)
{
	struct abi_capture_packet head = *packet;
	uint8_t *slot = slot_at(end, end->head);

	if (end->head - end->tail > end->mask)
		end->tail = __atomic_load_n(&end->ring->tail, __ATOMIC_ACQUIRE);
	if (end->head - end->tail > end->mask) {
		__atomic_store_n(&end->ring->lost,
		                 __atomic_load_n(&end->ring->lost, __ATOMIC_RELAXED) + 1,
		                 __ATOMIC_RELAXED);
		return false;
	}
	head.kept = head.len < end->snaplen ? head.len : end->snaplen;
	memcpy(slot, &head, sizeof(head));
	memcpy(slot + sizeof(head), bytes, head.kept);
	end->head++;
	__atomic_store_n(&end->ring->head, end->head, __ATOMIC_RELEASE);
	return true;
}

/* A head that is out of reach of our tail is nobody's who is honest: then there is nothing. */
static bool has_one(struct abi_capture_end *end)
{
	if (end->head == end->tail)
		end->head = __atomic_load_n(&end->ring->head, __ATOMIC_ACQUIRE);
	return end->head != end->tail && end->head - end->tail <= (uint64_t)end->mask + 1;
}

bool abi_capture_peek_time(struct abi_capture_end *end, uint64_t *time_ns)
{
	if (!has_one(end))
		return false;
	memcpy(time_ns, slot_at(end, end->tail), sizeof(*time_ns));
	return true;
}

bool abi_capture_peek(struct abi_capture_end *end, struct abi_capture_packet *packet,
                      uint8_t *bytes)
{
	const uint8_t *slot = slot_at(end, end->tail);

	if (!has_one(end))
		return false;
	memcpy(packet, slot, sizeof(*packet));
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (packet->kept > end->snaplen)
		packet->kept = end->snaplen;
	if (packet->kept > packet->len)
		packet->kept = packet->len;
	memcpy(bytes, slot + sizeof(*packet), packet->kept);
	return true;
}

void abi_capture_free(struct abi_capture_end *end)
{
	end->tail++;
	__atomic_store_n(&end->ring->tail, end->tail, __ATOMIC_RELEASE);
}

uint64_t abi_capture_lost(const struct abi_capture_end *end)
{
	return __atomic_load_n(&end->ring->lost, __ATOMIC_RELAXED);
}

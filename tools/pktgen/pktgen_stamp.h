/* What every generated packet carries behind its inner headers: which flow, which number, when it
 * was sent, and a check over these. The rest of the packet is a pattern that follows from the
 * number, so that the sink can tell a packet that was mixed up on the way. */
#ifndef PKTGEN_STAMP_H
#define PKTGEN_STAMP_H

#include "base_bytes.h"

#include <stdbool.h>
#include <stdint.h>

#define PKTGEN_STAMP_LEN 24U

struct pktgen_stamp {
	uint32_t flow;
	uint64_t seq;
	uint64_t sent_ns;
};

static inline uint32_t pktgen_stamp_check(const struct pktgen_stamp *stamp)
{
	uint64_t x = stamp->seq * UINT64_C(0x9e3779b97f4a7c15) + stamp->flow;

	x = (x ^ (x >> 29)) * UINT64_C(0xbf58476d1ce4e5b9) + stamp->sent_ns;
	return (uint32_t)((x * UINT64_C(0x94d049bb133111eb)) >> 32);
}

static inline void pktgen_stamp_write(uint8_t *out, const struct pktgen_stamp *stamp)
{
	base_store_le32(out, pktgen_stamp_check(stamp));
	base_store_le32(out + 4, stamp->flow);
	base_store_le64(out + 8, stamp->seq);
	base_store_le64(out + 16, stamp->sent_ns);
}

/* The flow that the stamp names, unchecked. */
static inline uint32_t pktgen_stamp_flow(const uint8_t *in)
{
	return base_load_le32(in + 4);
}

/* False when the check does not fit. in[PKTGEN_STAMP_LEN]. */
static inline bool pktgen_stamp_read(const uint8_t *in, struct pktgen_stamp *out)
{
	out->flow = base_load_le32(in + 4);
	out->seq = base_load_le64(in + 8);
	out->sent_ns = base_load_le64(in + 16);
	return base_load_le32(in) == pktgen_stamp_check(out);
}

#endif

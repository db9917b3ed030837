/* Passing plain frames with AVX-512: a key, made in the form of an entry, is one register. One byte
 * shuffle takes it out of the headers, already turned so that the low side comes first; keys are hashed
 * by eight; and one comparison finds whether an entry is this flow's, of this epoch, in the right state and
 * seen in this second, which is all there is to know of most packets. */
#include "policy_pass.h"

#include <immintrin.h>

#define V4_LEN  20U
#define V6_LEN  40U
#define UDP_LEN 8U
#define TCP_LEN 20U
#define EIGHT   8U

/* Words of an entry, see struct flow_entry. */
#define WORDS_OF_PLACES ((1U << FLOW_PLACES) - 1)
#define WORD_SEEN       (1U << offsetof(struct flow_entry, seen_s) / 4)
#define WORD_HIGH       (1U << offsetof(struct flow_entry, high) / 4)
#define WORD_EPOCH      (1U << offsetof(struct flow_entry, epoch) / 4)
#define QWORD_PEERS     (1U << offsetof(struct flow_entry, low) / 8)
_Static_assert(offsetof(struct flow_entry, low) == 32, "the peers are one word of 64 bits");

/* The last two open flows and are not plain: their keys are like no entry. */
enum { V4_UDP = 0, V4_TCP = 1, V6_UDP = 2, V6_TCP = 3, V4_SYN = 4, V6_SYN = 5, N_SHAPES = 6 };

#define NO2 0, 0
#define NO4 NO2, NO2

/* Where the bytes of an entry are in the headers, [the sender is the high side]: addresses in host order,
 * nothing for the peers, then the ports, the low side's above. */
#define V4_SHUFFLE                                                                                 \
	{                                                                                          \
		{NO4, NO4, 15, 14,  13,  12,  NO4, NO4, NO4, 19,                                   \
		 18,  17,  16, NO4, NO4, NO4, 23,  22,  21,  20},                                  \
		{                                                                                  \
			NO4, NO4, 19, 18, 17, 16, NO4, NO4, NO4, 15, 14, 13, 12, NO4, NO4, NO4,    \
				21, 20, 23, 22                                                     \
		}                                                                                  \
	}
#define V6_SHUFFLE                                                                                 \
	{                                                                                          \
		{15, 14, 13, 12, 11, 10, 9,  8,  23, 22, 21, 20, 19, 18,  17,  16, 31, 30, 29,     \
		 28, 27, 26, 25, 24, 39, 38, 37, 36, 35, 34, 33, 32, NO4, NO4, 43, 42, 41, 40},    \
		{                                                                                  \
			31, 30, 29, 28, 27, 26, 25, 24, 39, 38, 37, 36, 35, 34, 33, 32, 15, 14,    \
				13, 12, 11, 10, 9, 8, 23, 22, 21, 20, 19, 18, 17, 16, NO4, NO4,    \
				41, 40, 43, 42                                                     \
		}                                                                                  \
	}
#define V4_FILLED UINT64_C(0x00000f000f000f00)
#define V6_FILLED UINT64_C(0x00000f00ffffffff)

/* Flags of TCP: of those that count only ACK. Of an IPv4 header no options, no fragment. */
#define TCP_AT_FLAGS 13
#define V4_MASK      [0] = 0xff, [6] = 0x3f, 0xff, [9] = 0xff
#define V6_MASK      [0] = 0xf0, [6] = 0xff

/* What a plain packet looks like, and what it is made into. */
static const struct shape {
	_Alignas(64) uint8_t wanted[64]; /* of the headers, where the mask has bits */
	uint8_t mask[64];
	uint8_t shuffle[2][64];
	uint64_t filled; /* bytes that the shuffle sets */
	uint32_t len_min;
	uint32_t low; /* beside the peers: protocol and state */
	uint32_t high;
	uint32_t above_v4; /* the upper half of an IPv4 address */
} shapes[N_SHAPES] = {
	[V4_UDP] = {.wanted = {0x45, [9] = POLICY_PROTO_UDP},
                    .mask = {V4_MASK},
                    .shuffle = V4_SHUFFLE,
                    .filled = V4_FILLED,
                    .len_min = V4_LEN + UDP_LEN,
                    .low = POLICY_PROTO_UDP << 24,
                    .high = POLICY_FLOW_BOTH_WAYS << FLOW_STATE_SHIFT,
                    .above_v4 = POLICY_V4_LOW >> 32},
	[V4_TCP] = {.wanted = {0x45, [9] = POLICY_PROTO_TCP,
                               [V4_LEN + TCP_AT_FLAGS] = POLICY_TCP_ACK},
                    .mask = {V4_MASK, [V4_LEN + TCP_AT_FLAGS] = FLOW_TCP_FLAGS},
                    .shuffle = V4_SHUFFLE,
                    .filled = V4_FILLED,
                    .len_min = V4_LEN + TCP_LEN,
                    .low = POLICY_PROTO_TCP << 24,
                    .high = POLICY_FLOW_TCP_ESTABLISHED << FLOW_STATE_SHIFT,
                    .above_v4 = POLICY_V4_LOW >> 32},
	[V4_SYN] = {.wanted = {0x45, [9] = POLICY_PROTO_TCP,
                               [V4_LEN + TCP_AT_FLAGS] = POLICY_TCP_SYN},
                    .mask = {V4_MASK, [V4_LEN + TCP_AT_FLAGS] = FLOW_TCP_FLAGS},
                    .shuffle = V4_SHUFFLE,
                    .filled = V4_FILLED,
                    .len_min = V4_LEN + TCP_LEN,
                    .low = POLICY_PROTO_TCP << 24,
                    .above_v4 = POLICY_V4_LOW >> 32},
	[V6_UDP] = {.wanted = {0x60, [6] = POLICY_PROTO_UDP},
                    .mask = {V6_MASK},
                    .shuffle = V6_SHUFFLE,
                    .filled = V6_FILLED,
                    .len_min = V6_LEN + UDP_LEN,
                    .low = POLICY_PROTO_UDP << 24,
                    .high = POLICY_FLOW_BOTH_WAYS << FLOW_STATE_SHIFT},
	[V6_TCP] = {.wanted = {0x60, [6] = POLICY_PROTO_TCP,
                               [V6_LEN + TCP_AT_FLAGS] = POLICY_TCP_ACK},
                    .mask = {V6_MASK, [V6_LEN + TCP_AT_FLAGS] = FLOW_TCP_FLAGS},
                    .shuffle = V6_SHUFFLE,
                    .filled = V6_FILLED,
                    .len_min = V6_LEN + TCP_LEN,
                    .low = POLICY_PROTO_TCP << 24,
                    .high = POLICY_FLOW_TCP_ESTABLISHED << FLOW_STATE_SHIFT},
	[V6_SYN] = {.wanted = {0x60, [6] = POLICY_PROTO_TCP,
                               [V6_LEN + TCP_AT_FLAGS] = POLICY_TCP_SYN},
                    .mask = {V6_MASK, [V6_LEN + TCP_AT_FLAGS] = FLOW_TCP_FLAGS},
                    .shuffle = V6_SHUFFLE,
                    .filled = V6_FILLED,
                    .len_min = V6_LEN + TCP_LEN,
                    .low = POLICY_PROTO_TCP << 24},
};

_Static_assert(N_SHAPES == FLOW_SHAPES, "");

static inline __m512i entry_vector(const struct flow_entry *e)
{
	return _mm512_loadu_si512(e);
}

/* What the packets do not say, as long as it is the same. */
static void prepare(struct flow_burst *b, const struct flow_moment *now)
{
	if (b->bases[0].epoch == now->epoch && b->bases[0].seen_s == now->now_s)
		return;
	for (unsigned int i = 0; i < N_SHAPES; i++) {
		const struct shape *shape = &shapes[i];

		b->bases[i] = (struct flow_entry){
			.address = {{.low = (uint64_t)shape->above_v4 << 32},
		                    {.low = (uint64_t)shape->above_v4 << 32}},
			.low = shape->low,
			.high = shape->high,
			.epoch = i < V4_SYN ? now->epoch : 0, /* 0: no entry's */
			.seen_s = now->now_s,
		};
	}
}

/* ---- first pass: keys ---------------------------------------------------------------------------- */

/* Which shape the frame may have, twice, and 1 more when its sender is the high side; -1: none. Equal
 * addresses count as in order: then the entry is found, or there is none that is like it. */
static inline int classify_v6(const struct policy_frame *frame)
{
	struct policy_address src, dst;

	if (frame->len < V6_LEN + UDP_LEN)
		return -1;
	src = policy_address_v6(frame->data + 8);
	dst = policy_address_v6(frame->data + 24);
	if (src.high == 0 || dst.high == 0) /* could be taken for one of IPv4 */
		return -1;
	return 2 * V6_UDP + 2 * (frame->data[6] == POLICY_PROTO_TCP)
	       + policy__address_less(dst, src);
}

static inline int classify(const struct policy_frame *frame)
{
	uint64_t addresses;

	if (frame->len < V4_LEN + UDP_LEN)
		return -1;
	if (frame->data[0] != 0x45)
		return classify_v6(frame);
	addresses = base_load_be64(frame->data + 12);
	return 2 * V4_UDP + 2 * (frame->data[9] == POLICY_PROTO_TCP)
	       + ((uint32_t)(addresses >> 32) > (uint32_t)addresses);
}

/* Nothing but the shape's wanted bytes, where its mask looks? */
static inline bool has_shape(__m512i data, const struct shape *shape)
{
	__m512i differ = _mm512_ternarylogic_epi64(data, _mm512_load_si512(shape->wanted),
	                                           _mm512_load_si512(shape->mask),
	                                           0x28); /* (a ^ b) & c */

	return _mm512_test_epi64_mask(differ, differ) == 0;
}

/* class: of classify(). *syn: it opens a flow, if anything. */
static inline __m512i make_key(const struct flow_burst *b, const struct policy_frame *frame,
                               int class, bool *syn)
{
	__mmask64 has = _bzhi_u64(UINT64_MAX, frame->len < 64 ? frame->len : 64);
	unsigned int shape = (unsigned int)class >> 1;
	__m512i data;

	if (class < 0 || frame->len < shapes[shape].len_min)
		return _mm512_setzero_si512();
	data = _mm512_maskz_loadu_epi8(has, frame->data);
	if (!has_shape(data, &shapes[shape])) {
		if (shape != V4_TCP && shape != V6_TCP)
			return _mm512_setzero_si512();
		shape = shape == V4_TCP ? V4_SYN : V6_SYN;
		if (!has_shape(data, &shapes[shape]))
			return _mm512_setzero_si512();
		*syn = true;
	}
	return _mm512_mask_permutexvar_epi8(entry_vector(&b->bases[shape]), shapes[shape].filled,
	                                    _mm512_load_si512(shapes[shape].shuffle[class & 1]),
	                                    data);
}

/* The sums of the words of eight registers. */
static inline __m512i add_up(const __m512i of[static EIGHT])
{
	__m512i pairs[EIGHT / 2], fours[EIGHT / 4];

	for (unsigned int i = 0; i < EIGHT / 2; i++)
		pairs[i] = _mm512_add_epi64(_mm512_unpacklo_epi64(of[2 * i], of[2 * i + 1]),
		                            _mm512_unpackhi_epi64(of[2 * i], of[2 * i + 1]));
	for (unsigned int i = 0; i < EIGHT / 4; i++)
		fours[i] = _mm512_add_epi64(
			_mm512_shuffle_i64x2(pairs[2 * i], pairs[2 * i + 1], 0x88),
			_mm512_shuffle_i64x2(pairs[2 * i], pairs[2 * i + 1], 0xdd));
	return _mm512_add_epi64(_mm512_shuffle_i64x2(fours[0], fours[1], 0x88),
	                        _mm512_shuffle_i64x2(fours[0], fours[1], 0xdd));
}

/* Of eight keys what flow_hash_words() sums up. */
static inline __m512i sum_eight(const struct policy_flow *flow, const struct flow_entry *keys)
{
	__m512i secret = _mm512_maskz_loadu_epi64((1U << FLOW_HASH_PAIRS) - 1, flow->secret);
	/* the words that are hashed: of the state, which is beside the peers, nothing */
	__m512i hashed = _mm512_set_epi32(0, 0, 0, 0, 0, -1, 0, -1, -1, -1, -1, -1, -1, -1, -1, -1);
	__m512i products[EIGHT];

	for (unsigned int i = 0; i < EIGHT; i++) {
		__m512i words = _mm512_add_epi32(_mm512_and_si512(entry_vector(&keys[i]), hashed),
		                                 secret);

		products[i] = _mm512_mul_epu32(words, _mm512_srli_epi64(words, 32));
	}
	return add_up(products);
}

/* And what it makes of the sums. */
static inline __m256i fold_eight(const struct policy_flow *flow, __m512i sums)
{
	const uint64_t *fold = flow->secret + FLOW_HASH_FOLD;
	__m512i odd = _mm512_add_epi64(_mm512_srli_epi64(sums, 32),
	                               _mm512_set1_epi64((long long)fold[0]));
	__m512i even = _mm512_add_epi64(_mm512_and_si512(sums, _mm512_set1_epi64(UINT32_MAX)),
	                                _mm512_set1_epi64((long long)fold[1]));

	sums = _mm512_add_epi64(_mm512_mullo_epi64(odd, even),
	                        _mm512_set1_epi64((long long)fold[2]));
	return _mm512_cvtepi64_epi32(_mm512_srli_epi64(sums, 32));
}

/* Buckets and tags of eight keys from number first on, as flow_bucket_of() and flow_tag_of(); fetched. */
static inline void place_eight(const struct policy_flow *flow, uint32_t first, __m256i hashes)
{
	struct flow_burst *b = flow->burst;
	__m256i numbers = _mm256_set1_epi32((int)flow->number_mask);
	__m256i buckets = _mm256_and_si256(hashes, _mm256_set1_epi32((int)flow->bucket_mask));
	__m256i tags = _mm256_andnot_si256(numbers, hashes);
	__mmask8 none = _mm256_testn_epi32_mask(tags, tags);

	tags = _mm256_mask_mov_epi32(tags, none, _mm256_set1_epi32((int)flow->number_mask + 1));
	_mm256_storeu_si256((__m256i *)(void *)&b->buckets[first], buckets);
	_mm256_storeu_si256((__m256i *)(void *)&b->tags[first], tags);
	for (uint32_t i = first; i < first + EIGHT; i++)
		__builtin_prefetch(&flow->buckets[b->buckets[i]]);
}

/* ---- eight at once -------------------------------------------------------------------------------- */

/* Most often eight neighbours are all plain IPv4 or SYNs, and long enough that 40 bytes can be read of each. Then a
 * lane of 128 bits holds all that a key says: source, destination, ports, protocol. */
#define V4_READ 40U
#define FOUR    4U

/* Of a lane of bytes 8 to 23; -1: zero. The second: turned, the receiver first. */
#define LANE_ORDER 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12, -1, -1, -1, 1
#define LANE_TURN  11, 10, 9, 8, 7, 6, 5, 4, 13, 12, 15, 14, -1, -1, -1, 1
static const _Alignas(64) int8_t lane_order[64] = {LANE_ORDER, LANE_ORDER, LANE_ORDER, LANE_ORDER};
static const _Alignas(64) int8_t lane_turn[64] = {LANE_TURN, LANE_TURN, LANE_TURN, LANE_TURN};

/* Words of an entry from words of a lane: which, and where from. */
#define LANE_WORDS ((1U << 2) | (1U << 6) | (1U << 8) | (1U << 10))
#define LANE_INDEX(at)                                                                             \
	{                                                                                          \
		[2] = (at), [6] = (at) + 1, [8] = (at) + 3, [10] = (at) + 2                        \
	}
static const _Alignas(64) uint32_t lane_index[FOUR][16] = {LANE_INDEX(0), LANE_INDEX(4),
                                                           LANE_INDEX(8), LANE_INDEX(12)};

/* Of four, in the lowest bits. */
struct lanes {
	__m512i words; /* of keys: low side, high side, ports, protocol */
	uint32_t highs;
	uint32_t tcp;
	uint32_t udp;
	uint32_t acks; /* what of TCP its flags are, if it is TCP */
	uint32_t syns;
};

static inline __m512i load_four(const struct policy_frame *frames, uint32_t at)
{
	__m512i four = _mm512_castsi128_si512(
		_mm_loadu_si128((const __m128i *)(const void *)(frames[0].data + at)));

	four = _mm512_inserti32x4(
		four, _mm_loadu_si128((const __m128i *)(const void *)(frames[1].data + at)), 1);
	four = _mm512_inserti32x4(
		four, _mm_loadu_si128((const __m128i *)(const void *)(frames[2].data + at)), 2);
	return _mm512_inserti32x4(
		four, _mm_loadu_si128((const __m128i *)(const void *)(frames[3].data + at)), 3);
}

static inline struct lanes read_four(const struct policy_frame *frames)
{
	__m512i head = load_four(frames, 8);
	__m512i words = _mm512_shuffle_epi8(head, _mm512_load_si512(lane_order));
	__m512i turned = _mm512_shuffle_epi8(head, _mm512_load_si512(lane_turn));
	__mmask16 high = _mm512_cmpgt_epu32_mask(_mm512_shuffle_epi32(words, 0x00),
	                                         _mm512_shuffle_epi32(words, 0x55));
	/* byte 33 is the second of the third word */
	__m512i flags = _mm512_and_si512(load_four(frames, 24),
	                                 _mm512_set1_epi32(FLOW_TCP_FLAGS << 8));
	const uint32_t third = 0x4444, fourth = 0x8888;

	return (struct lanes){
		.words = _mm512_mask_mov_epi32(words, high, turned),
		.highs = _pext_u32(high, fourth),
		.tcp = _pext_u32(_mm512_cmpeq_epi32_mask(words,
	                                                 _mm512_set1_epi32(POLICY_PROTO_TCP << 24)),
	                         fourth),
		.udp = _pext_u32(_mm512_cmpeq_epi32_mask(words,
	                                                 _mm512_set1_epi32(POLICY_PROTO_UDP << 24)),
	                         fourth),
		.acks = _pext_u32(_mm512_cmpeq_epi32_mask(flags,
	                                                  _mm512_set1_epi32(POLICY_TCP_ACK << 8)),
	                          third),
		.syns = _pext_u32(_mm512_cmpeq_epi32_mask(flags,
	                                                  _mm512_set1_epi32(POLICY_TCP_SYN << 8)),
	                          third),
	};
}

/* What sum_eight() would sum up for these keys. All of a pair but its lower word is the same for IPv4, so each
 * product is one of a key's words, behind the sum, and a number that is the table's. In each half of a lane. */
static inline __m512i sum_four(const struct policy_flow *flow, __m512i words)
{
	const uint64_t *s = flow->secret;
	const uint32_t mapped = (uint32_t)(POLICY_V4_LOW >> 32);
	__m512i even = _mm512_broadcast_i32x4(
		_mm_setr_epi32((int)(uint32_t)s[1], (int)(uint32_t)s[3], (int)(uint32_t)s[5],
	                       (int)(uint32_t)s[4]));
	__m512i odd = _mm512_broadcast_i32x4(_mm_setr_epi32(
		(int)((uint32_t)(s[1] >> 32) + mapped), (int)((uint32_t)(s[3] >> 32) + mapped),
		(int)(uint32_t)(s[5] >> 32), (int)(uint32_t)(s[4] >> 32)));
	uint64_t same = flow_hash_pair(s[0], 0) + flow_hash_pair(s[2], 0);
	__m512i sums;

	words = _mm512_add_epi32(words, even);
	sums = _mm512_add_epi64(_mm512_mul_epu32(words, odd),
	                        _mm512_mul_epu32(_mm512_srli_epi64(words, 32),
	                                         _mm512_srli_epi64(odd, 32)));
	sums = _mm512_add_epi64(sums, _mm512_shuffle_epi32(sums, 0x4e));
	return _mm512_add_epi64(sums, _mm512_set1_epi64((long long)same));
}

/* Are these eight IPv4 without options, no fragments, and long enough? */
static inline bool are_simple(const struct policy_frame *frames)
{
	const uint64_t mask = UINT64_C(0xff3f0000000000ff); /* as V4_MASK, of the first 8 bytes */
	uint64_t odd = 0;

	for (uint32_t i = 0; i < EIGHT; i++)
		odd |= (uint64_t)frames[i].len - V4_READ;
	if (odd >> 63 != 0)
		return false;
	odd = 0;
	for (uint32_t i = 0; i < EIGHT; i++)
		odd |= base_load_le64(frames[i].data) ^ 0x45;
	return (odd & mask) == 0;
}

/* Keys, buckets and tags of eight frames from number first on. False: they are not all simple, and nothing is
 * done. */
static inline bool fetch_eight(const struct policy_flow *flow, const struct policy_frame *frames,
                               uint32_t first, uint64_t *highs, uint64_t *syns)
{
	struct flow_burst *b = flow->burst;
	struct lanes lanes[2];
	uint32_t tcp, udp, acks, opening;
	__m512i sums;

	frames += first;
	if (!are_simple(frames))
		return false;
	lanes[0] = read_four(frames);
	lanes[1] = read_four(frames + FOUR);
	tcp = lanes[0].tcp | lanes[1].tcp << FOUR;
	udp = lanes[0].udp | lanes[1].udp << FOUR;
	acks = tcp & (lanes[0].acks | lanes[1].acks << FOUR);
	opening = tcp & (lanes[0].syns | lanes[1].syns << FOUR);
	if ((udp | acks | opening) != 0xff)
		return false;
	sums = _mm512_unpacklo_epi64(sum_four(flow, lanes[0].words),
	                             sum_four(flow, lanes[1].words));
	sums = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), sums);
	place_eight(flow, first, fold_eight(flow, sums));
	for (uint32_t i = 0; i < EIGHT; i++) {
		uint32_t shape = V4_UDP + (tcp >> i & 1) * (V4_TCP - V4_UDP)
		                 + (opening >> i & 1) * (V4_SYN - V4_TCP);

		_mm512_store_si512(
			&b->keys[first + i],
			_mm512_mask_permutexvar_epi32(entry_vector(&b->bases[shape]), LANE_WORDS,
		                                      _mm512_load_si512(lane_index[i % FOUR]),
		                                      lanes[i / FOUR].words));
	}
	*highs |= (uint64_t)(lanes[0].highs | lanes[1].highs << FOUR) << first;
	*syns |= (uint64_t)opening << first;
	return true;
}

/* The same for any, n <= 8. */
static void fetch_any(const struct policy_flow *flow, const struct policy_frame *frames,
                      uint32_t first, uint32_t n, uint64_t *highs, uint64_t *syns)
{
	struct flow_burst *b = flow->burst;

	for (uint32_t i = first; i < first + n; i++) {
		int class = classify(&frames[i]);
		bool syn = false;

		_mm512_store_si512(&b->keys[i], make_key(b, &frames[i], class, &syn));
		*highs |= (uint64_t)(class & 1) << i;
		*syns |= (uint64_t)syn << i;
	}
	for (uint32_t i = first + n; i < first + EIGHT; i++)
		_mm512_store_si512(&b->keys[i], _mm512_setzero_si512());
	place_eight(flow, first, fold_eight(flow, sum_eight(flow, &b->keys[first])));
}

static void fetch(struct policy_flow *flow, const struct flow_moment *now,
                  const struct policy_frame *frames, uint32_t n)
{
	uint64_t highs = 0;
	uint64_t syns = 0;

	prepare(flow->burst, now);
	for (uint32_t first = 0; first < n; first += EIGHT) {
		uint32_t left = n - first < EIGHT ? n - first : EIGHT;

		if (left < EIGHT || !fetch_eight(flow, frames, first, &highs, &syns))
			fetch_any(flow, frames, first, left, &highs, &syns);
	}
	flow->burst->highs = highs;
	flow->burst->syns = syns;
}

/* ---- second and third pass: entries -------------------------------------------------------------- */

/* The first entry of the bucket that has the tag, or none, 0; fetched. */
static inline uint32_t find_one(const struct policy_flow *flow, uint32_t at, uint32_t tag)
{
	const struct flow_bucket *bucket = &flow->buckets[at];
	__m512i differ = _mm512_xor_si512(_mm512_load_si512(bucket), _mm512_set1_epi32((int)tag));
	__m512i mask = _mm512_set1_epi32((int)~flow->number_mask);
	uint32_t found = _mm512_mask_testn_epi32_mask(WORDS_OF_PLACES, differ, mask);
	uint32_t number = 0;

	if (found != 0)
		number = bucket->place[__builtin_ctz(found)] & flow->number_mask;
	/* Into the second cache: of many flows the entries are far, and there more can be under way. */
	__builtin_prefetch(&flow->entries[number], 0, 2);
	return number;
}

static uint64_t find(struct policy_flow *flow, uint32_t n)
{
	struct flow_burst *b = flow->burst;
	uint64_t found = 0;

	for (uint32_t i = 0; i < n; i++) {
		b->numbers[i] = find_one(flow, b->buckets[i], b->tags[i]);
		found |= (uint64_t)(b->numbers[i] != 0) << i;
	}
	return found;
}

/* All that is compared is the same, but for the word of the high side's peer with the state, and when it
 * was seen. The sender is the high side, or (knows) both peers are known: then the high side's peer counts. */
static __attribute__((noinline)) bool touch(struct policy_flow *flow, struct flow_entry *e,
                                            const struct flow_moment *now, bool is_high, bool knows,
                                            const struct policy_frame *frame,
                                            struct policy_flow_result *result)
{
	uint32_t kind = flow_proto(e) == POLICY_PROTO_TCP ? POLICY_KIND_TCP : POLICY_KIND_UDP;
	uint32_t high = is_high ? frame->in_peer : frame->out_peer;
	bool from_opener = is_high == ((e->high & FLOW_OPENER_HIGH) != 0);

	if (((is_high | knows) && high != flow_entry_peer(e, true))
	    || !flow_entry_is_plain(e, now, kind, from_opener))
		return false;
	flow_touch(flow, e, now, from_opener, result);
	return true;
}

/* The sender is the low, or the high side: of the other's peer only what is beside it. */
#define ALL         UINT32_MAX
#define ALL8        ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL
#define ALL_OF_HIGH (FLOW_PEER_MASK | FLOW_STATE_MASK)
static const _Alignas(64) uint32_t compared_from[2][16] = {
	{ALL8, ALL, FLOW_STATE_MASK, ALL, 0, ALL, ALL, 0, 0},
	{ALL8, ~FLOW_PEER_MASK, ALL_OF_HIGH, ALL, 0, ALL, ALL, 0, 0},
};
/* Both peers are known, and what epoch it is of is asked otherwise. */
static const _Alignas(64) uint32_t compared_known[16] = {ALL8, ALL, ALL_OF_HIGH, ALL, 0,
                                                         0,    ALL, 0,           0};
_Static_assert(WORD_EPOCH == 1U << 12, "");

/* Words of an entry, of those compared, in which it is not what a frame of these peers and this key would have.
 * A key of no protocol is nobody's. No peer, with more bits than peers have, spoils the key. */
static inline uint32_t differing(const struct flow_entry *e, const struct flow_entry *key,
                                 uint64_t peers, __m512i compared)
{
	__m512i full = _mm512_mask_or_epi64(entry_vector(key), QWORD_PEERS, entry_vector(key),
	                                    _mm512_set1_epi64((long long)peers));
	__m512i differ = _mm512_ternarylogic_epi64(full, compared, entry_vector(e),
	                                           0x48); /* (a ^ c) & b */

	return _mm512_test_epi32_mask(differ, differ);
}

/* Is the entry this flow's, and is it known whom it is for? */
static inline bool pass_frame(struct policy_flow *flow, struct flow_entry *e,
                              const struct flow_entry *key, bool is_high,
                              const struct flow_moment *now, struct policy_frame *frame,
                              struct policy_flow_result *result)
{
	uint32_t differs = differing(e, key, (uint64_t)frame->in_peer << is_high * 32,
	                             _mm512_load_si512(compared_from[is_high]));
	bool passes = differs == 0 && now->wall_s < e->recheck_s;

	if (passes)
		*result = (struct policy_flow_result){.grant = e->grant};
	else
		passes = (differs & ~(WORD_SEEN | WORD_HIGH)) == 0
		         && touch(flow, e, now, is_high, false, frame, result);
	if (passes)
		frame->out_peer = flow_entry_peer(e, !is_high);
	return passes;
}

static uint64_t pass(struct policy_flow *flow, const struct flow_moment *now,
                     struct policy_frame *frames, struct policy_flow_result *results, uint32_t n)
{
	const struct flow_burst *b = flow->burst;
	struct flow_entry *entries = flow->entries;
	uint64_t highs = b->highs;
	uint64_t passed = 0;

	for (uint32_t i = 0; i < n; i++)
		passed |= (uint64_t)pass_frame(flow, &entries[b->numbers[i]], &b->keys[i],
		                               (highs >> i & 1) != 0, now, &frames[i], &results[i])
		          << i;
	return passed;
}

static inline bool pass_known_frame(struct policy_flow *flow, struct flow_entry *e,
                                    const struct flow_entry *key, bool is_high,
                                    const struct flow_moment *now, const struct policy_frame *frame,
                                    struct policy_flow_result *result)
{
	uint64_t peers = base_load_le64(&frame->in_peer);
	uint32_t differs;

	peers = is_high ? peers << 32 | peers >> 32 : peers;
	differs = differing(e, key, peers, _mm512_load_si512(compared_known));
	if (differs == 0 && flow_entry_is_current(e, now)) {
		*result = (struct policy_flow_result){.grant = e->grant};
		return true;
	}
	return (differs & ~(WORD_SEEN | WORD_HIGH)) == 0
	       && touch(flow, e, now, is_high, true, frame, result);
}

static uint64_t pass_known(struct policy_flow *flow, const struct flow_moment *now,
                           const struct policy_frame *frames, struct policy_flow_result *results,
                           uint64_t of)
{
	const struct flow_burst *b = flow->burst;
	uint64_t passed = 0;

	for (; of != 0; of &= of - 1) {
		uint32_t i = (uint32_t)__builtin_ctzll(of);

		if (pass_known_frame(flow, &flow->entries[b->numbers[i]], &b->keys[i],
		                     (b->highs >> i & 1) != 0, now, &frames[i], &results[i]))
			passed |= of & -of;
	}
	return passed;
}

const struct flow_kernel flow__kernel_avx512 = {fetch, find, pass, pass_known};

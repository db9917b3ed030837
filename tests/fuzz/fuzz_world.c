#include "fuzz_world.h"

#include <rte_mbuf.h>

#include <string.h>

#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, len)   ((void)(at), (void)(len))
#define ASAN_UNPOISON_MEMORY_REGION(at, len) ((void)(at), (void)(len))
#endif

#define POISONED_MAX 256U
#define TUN_SLACK    32U /* padding and tag */

struct flow *fuzz_flow;
struct flow_session fuzz_sessions[FUZZ_PEERS + 1];

static struct {
	uint8_t *at;
	size_t len;
} poisoned[POISONED_MAX];
static size_t n_poisoned;

static struct flow_options options;

/* Packets of ours, apart from those that the worker makes: it must not get a poisoned one. */
static struct rte_mempool *pool;
#define N_MBUFS 511U

static void make_sessions(void)
{
	for (uint32_t peer = 1; peer <= FUZZ_PEERS; peer++)
		fuzz_sessions[peer] = flow_session(fuzz_flow, 0, peer, peer,
		                                   peer % 2 != 0 ? BASE_IP_V4 : BASE_IP_V6);
}

static void make_world(void)
{
	fuzz_flow = flow_create(&options);
	make_sessions();
}

void fuzz_world_start(enum aead_backend aead)
{
	(void)flow_start(NULL);
	pool = rte_pktmbuf_pool_create("fuzz", N_MBUFS, 0, PORT_LINK_PRIV_LEN,
	                               RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	assert_non_null(pool);
	options.aead = aead;
	make_world();
}

void fuzz_world_renew(void)
{
	flow_destroy(fuzz_flow);
	assert_int_equal(rte_mempool_avail_count(pool), N_MBUFS);
	make_world();
}

static struct rte_mbuf *make_mbuf(const uint8_t *bytes, size_t len)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool);
	char *at;

	assert_non_null(mbuf);
	at = rte_pktmbuf_append(mbuf, (uint16_t)len);
	assert_non_null(at);
	if (len > 0)
		memcpy(at, bytes, len);
	return mbuf;
}

/* ASan marks 8 bytes at a time, from any begin to the end of such eight. */
static void poison_behind(struct rte_mbuf *mbuf, size_t n_slack)
{
	uint8_t *at = rte_pktmbuf_mtod(mbuf, uint8_t *) + mbuf->data_len + n_slack;
	uint8_t *end = (uint8_t *)mbuf->buf_addr + mbuf->buf_len;

	if (at >= end || n_poisoned == POISONED_MAX)
		return;
	poisoned[n_poisoned].at = at;
	poisoned[n_poisoned++].len = (size_t)(end - at);
	ASAN_POISON_MEMORY_REGION(at, (size_t)(end - at));
}

static void unpoison(void)
{
	for (size_t i = 0; i < n_poisoned; i++)
		ASAN_UNPOISON_MEMORY_REGION(poisoned[i].at, poisoned[i].len);
	n_poisoned = 0;
}

void fuzz_world_rx(const uint8_t *frame, size_t len, size_t n_slack, size_t split)
{
	struct rte_mbuf *mbuf = make_mbuf(frame, split > 0 && split < len ? split : len);

	poison_behind(mbuf, n_slack);
	if (split > 0 && split < len) {
		struct rte_mbuf *more = make_mbuf(frame + split, len - split);

		poison_behind(more, 0);
		assert_int_equal(rte_pktmbuf_chain(mbuf, more), 0);
	}
	flow_rx_mbuf(fuzz_flow, 0, 0, mbuf);
}

void fuzz_world_from_kernel(uint16_t port, const uint8_t *bytes, size_t len)
{
	struct rte_mbuf *mbuf = make_mbuf(bytes, len);

	poison_behind(mbuf, TUN_SLACK);
	mbuf->port = port;
	assert_int_equal(rte_ring_enqueue(fuzz_flow->link[0].from_kernel, mbuf), 0);
}

void fuzz_world_inner(uint32_t peer, const uint8_t *inner, size_t len, bool padded,
                      const uint8_t *bend, size_t n_bend)
{
	struct flow_session *session = &fuzz_sessions[peer];
	uint8_t message[FLOW_FRAME_MAX], frame[FLOW_FRAME_MAX];
	uint32_t n;

	n = padded ? flow_seal(session, message, inner, (uint32_t)len)
	           : flow_seal_at(session, session->counter++, message, inner, (uint32_t)len);
	for (size_t i = 0; i < n_bend && i < n; i++)
		message[i] ^= bend[i];
	n = flow_frame_to_hub(frame, &session->endpoint, message, n);
	/* What came without padding leaves with it. */
	fuzz_world_rx(frame, n, padded ? 0 : WG_PAD_MULTIPLE, 0);
}

void fuzz_world_turn(void)
{
	uint8_t bytes[FLOW_FRAME_MAX];
	uint16_t type;

	flow_turn(fuzz_flow);
	unpoison();
	while (flow_tx(fuzz_flow, 0, 0, bytes) > 0)
		;
	while (flow_to_kernel(fuzz_flow, 0, &type, bytes) > 0)
		;
	while (flow_event(fuzz_flow, 0, &type, NULL, 0))
		;
	flow_expect_balance(fuzz_flow);
}

#include "bench_offer.h"

#include "abi_region.h"
#include "base_time.h"
#include "bench_eal.h"
#include "bench_open.h"
#include "bench_wire.h"
#include "wg_message.h"
#include "worker.h"

#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_pause.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RING_LEN   1024U
#define N_MBUFS    8191U
#define EAL_MB     48U
#define BURST      32U
#define JUNK_EVERY 5U
#define SETTLE_NS  (300 * BASE_NS_PER_US)
#define STEP_NS    (5 * BASE_NS_PER_US) /* between two looks at the rings */
#define BARRIER_NS (500 * BASE_NS_PER_US)
#define WAIT_NS    (60 * BASE_NS_PER_S)

struct bench_offer {
	struct abi_region region;
	struct worker_shared *shared;
	struct worker *worker;
	struct abi_ring_end cmd, event;
	struct rte_mempool *pool;
	struct rte_ring *rx, *tx;
	uint16_t ethdev;
	struct aead *aead; /* the peers' */
	struct port_link link;
	_Atomic uint32_t exception_sleeps;
	pthread_t thread;
	_Atomic uint32_t stop;
	bool runs;
	/* peers */
	uint32_t n_peers;
	uint32_t next_peer;
	struct abi_cmd_session_install *sessions; /* [n_peers] */
	uint64_t *counters;                       /* [n_peers], of their next message */
	/* the wire */
	uint64_t n_made; /* of frames, to choose junk */
	uint64_t n_junk;
	uint64_t n_put;      /* into the ring, ever */
	uint64_t n_put_good; /* of them no junk */
	uint64_t n_got;      /* out of the other, ever */
	bool forged;         /* one that came out was not what it should be */
	uint64_t token;      /* of the barrier that is under way, 0 = none */
	uint64_t last_token;
	uint64_t barrier_ns; /* when it was sent */
	struct aead_op ops[BURST];
};

static int fail(const char *what, int err)
{
	fprintf(stderr, "weir-bench: %s: %s\n", what, strerror(err < 0 ? -err : err));
	return -1;
}

/* ---- the hub ---------------------------------------------------------------------------------------- */

static int make_port(struct bench_offer *offer)
{
	struct rte_eth_conf conf = {0};
	int id, err;

	offer->pool = rte_pktmbuf_pool_create("offer", N_MBUFS, 256, PORT_LINK_PRIV_LEN,
	                                      RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	offer->rx = rte_ring_create("offer_rx", RING_LEN, SOCKET_ID_ANY,
	                            RING_F_SP_ENQ | RING_F_SC_DEQ);
	offer->tx = rte_ring_create("offer_tx", 4 * RING_LEN, SOCKET_ID_ANY,
	                            RING_F_SP_ENQ | RING_F_SC_DEQ);
	offer->link = (struct port_link){
		.to_kernel = rte_ring_create("offer_to", RING_LEN, SOCKET_ID_ANY,
	                                     RING_F_SP_ENQ | RING_F_SC_DEQ),
		.from_kernel = rte_ring_create("offer_from", RING_LEN, SOCKET_ID_ANY,
	                                       RING_F_SP_ENQ | RING_F_SC_DEQ),
		.exception_sleeps = &offer->exception_sleeps,
		.wake_fd = -1,
	};
	if (!offer->pool || !offer->rx || !offer->tx || !offer->link.to_kernel
	    || !offer->link.from_kernel)
		return -ENOMEM;
	id = rte_eth_from_rings("offer", &offer->rx, 1, &offer->tx, 1, SOCKET_ID_ANY);
	if (id < 0)
		return -ENOMEM;
	offer->ethdev = (uint16_t)id;
	err = rte_eth_dev_configure(offer->ethdev, 1, 1, &conf);
	if (err == 0)
		err = rte_eth_rx_queue_setup(offer->ethdev, 0, 256, SOCKET_ID_ANY, NULL,
		                             offer->pool);
	if (err == 0)
		err = rte_eth_tx_queue_setup(offer->ethdev, 0, 256, SOCKET_ID_ANY, NULL);
	return err == 0 ? rte_eth_dev_start(offer->ethdev) : err;
}

static int command(struct bench_offer *offer, uint16_t type, const void *cmd, size_t len)
{
	int err = abi_ring_push(&offer->cmd, type, cmd, (uint16_t)len, NULL);

	if (err == 0 && !offer->runs)
		worker_turn(offer->worker, base_time_monotonic_ns());
	return err;
}
#define COMMAND(offer, type, ...) command(offer, type, &(__VA_ARGS__), sizeof(__VA_ARGS__))

static int tell_peer(struct bench_offer *offer, uint32_t peer)
{
	struct abi_cmd_session_install *session = &offer->sessions[peer];
	struct abi_cmd_route route = {
		.prefix = {.ip = bench_wire_ip(BENCH_WIRE_TUNNEL + peer), .len = 32}, .peer = peer};
	int err = COMMAND(offer, ABI_CMD_PEER_PUT, (struct abi_cmd_peer){.peer = peer});

	*session = (struct abi_cmd_session_install){
		.index = abi_index_make(0, peer + 1, peer * 0x9e3779b9U),
		.remote_index = peer,
		.peer = peer,
		.role = ABI_ROLE_INITIATOR,
		.birth_ns = base_time_monotonic_ns(),
		.remote = {.ip = bench_wire_ip(BENCH_WIRE_OUTER + peer),
	                   .port = BENCH_WIRE_PEER_PORT},
		.local = bench_wire_ip(BENCH_WIRE_HUB),
	};
	for (uint32_t i = 0; i < 32; i++) {
		session->receive_key[i] = (uint8_t)(peer * 37 + (peer >> 8) + i * 101);
		session->send_key[i] = (uint8_t)(peer * 41 + (peer >> 8) + i * 103 + 1);
	}
	if (err == 0)
		err = command(offer, ABI_CMD_ROUTE_PUT, &route, sizeof(route));
	return err == 0 ? command(offer, ABI_CMD_SESSION_INSTALL, session, sizeof(*session)) : err;
}

static int tell_world(struct bench_offer *offer)
{
	struct abi_cmd_wan_route route = {.prefix = {.ip = bench_wire_ip(0)},
	                                  .gateway = bench_wire_ip(BENCH_WIRE_GATEWAY)};
	struct abi_cmd_neighbour neighbour = {.ip = bench_wire_ip(BENCH_WIRE_GATEWAY), .mac = {2}};
	int err = COMMAND(offer, ABI_CMD_HUB,
	                  (struct abi_cmd_hub){.listen_port = BENCH_WIRE_PORT,
	                                       .tunnel_mtu = BENCH_WIRE_MTU});

	if (err == 0)
		err = COMMAND(offer, ABI_CMD_ADDRESS,
		              (struct abi_cmd_address){.ip = bench_wire_ip(BENCH_WIRE_HUB),
		                                       .present = 1});
	if (err == 0)
		err = command(offer, ABI_CMD_WAN_ROUTE_PUT, &route, sizeof(route));
	if (err == 0)
		err = command(offer, ABI_CMD_NEIGHBOUR_PUT, &neighbour, sizeof(neighbour));
	for (uint32_t peer = 0; peer < offer->n_peers && err == 0; peer++)
		err = tell_peer(offer, peer);
	return err;
}

static int make_hub(struct bench_offer *offer, enum aead_backend backend)
{
	struct abi_setup setup = {
		.n_workers = 1, .n_ports = 1, .tunnel_mtu = BENCH_WIRE_MTU, .ports[0].mtu = 1500};
	struct worker_setup own = {
		.region = &offer->region,
		.pool = offer->pool,
		.n_ports = 1,
		.ethdev = {offer->ethdev},
		.link = &offer->link,
		.control_wake_fd = -1,
		.aead = backend,
	};
	int err = abi_region_create(&setup, BENCH_PEERS_MAX, 1, &offer->region);

	if (err == 0)
		err = worker_shared_create(1, offer->region.n_peers, &offer->shared);
	own.shared = offer->shared;
	if (err == 0)
		worker_shared_blobs(offer->shared)->current[ABI_BLOB_POLICY] = bench_open_policy();
	if (err == 0)
		err = worker_create(&own, &offer->worker);
	if (err != 0)
		return err;
	offer->cmd = abi_region_cmd_ring(&offer->region, 0);
	offer->event = abi_region_event_ring(&offer->region, 0);
	return tell_world(offer);
}

/* ---- its thread ------------------------------------------------------------------------------------- */

static void *run_worker(void *arg)
{
	struct bench_offer *offer = arg;

	/* So that freed buffers go through a cache, as those of weir-dataplane's workers do. */
	if (rte_thread_register() != 0)
		fprintf(stderr, "weir-bench: the worker's thread is not registered with DPDK\n");
	worker_run(offer->worker, &offer->stop);
	return NULL;
}

/* On any CPU but ours. Returns 0, -ENODEV (there is no other) or -errno. */
static int start_worker(struct bench_offer *offer)
{
	pthread_attr_t attributes;
	cpu_set_t set;
	int err = EINVAL;

	pthread_attr_init(&attributes);
	for (int cpu = 0; cpu < CPU_SETSIZE && err == EINVAL; cpu++) {
		CPU_ZERO(&set);
		CPU_SET(cpu, &set);
		if (cpu != sched_getcpu()
		    && pthread_attr_setaffinity_np(&attributes, sizeof(set), &set) == 0)
			err = pthread_create(&offer->thread, &attributes, run_worker, offer);
	}
	pthread_attr_destroy(&attributes);
	offer->runs = err == 0;
	return err == EINVAL ? -ENODEV : -err;
}

int bench_offer_create(const struct bench_options *options, struct bench_offer **out)
{
	struct bench_offer *offer = calloc(1, sizeof(*offer));
	int err = -ENOMEM;

	if (offer == NULL || bench_eal_start(EAL_MB) != 0)
		goto failed;
	offer->n_peers = options->peers;
	offer->sessions = calloc(offer->n_peers, sizeof(*offer->sessions));
	offer->counters = calloc(offer->n_peers, sizeof(*offer->counters));
	if (offer->sessions != NULL && offer->counters != NULL)
		err = aead_create(options->backend, &offer->aead);
	if (err == 0)
		err = make_port(offer);
	if (err == 0)
		err = make_hub(offer, options->backend);
	if (err == 0)
		err = start_worker(offer);
	if (err != 0)
		goto failed;
	*out = offer;
	return 0;
failed:
	bench_offer_destroy(offer);
	return fail("a worker on a second CPU", err);
}

void bench_offer_destroy(struct bench_offer *offer)
{
	if (offer == NULL)
		return;
	if (offer->runs) {
		atomic_store(&offer->stop, 1);
		pthread_join(offer->thread, NULL);
	}
	aead_destroy(offer->aead);
	free(offer->sessions);
	free(offer->counters);
	free(offer); /* region, worker, rings and buffers go with the process */
}

/* ---- frames ----------------------------------------------------------------------------------------- */

/* A data message of the next peer for the one behind it, ready to be sealed by op. */
static void make_data(struct bench_offer *offer, struct rte_mbuf *mbuf, uint32_t len,
                      struct aead_op *op)
{
	uint32_t from = offer->next_peer;
	uint32_t to = from + 1 < offer->n_peers ? from + 1 : 0;
	uint32_t inner_len = bench_wire_padded(len);
	uint8_t *frame = rte_pktmbuf_mtod(mbuf, uint8_t *);
	uint8_t *message = frame + BENCH_WIRE_MESSAGE;
	uint32_t frame_len = bench_wire_frame(frame, from, WG_DATA_MIN_LEN + inner_len);

	offer->next_peer = to;
	mbuf->data_len = (uint16_t)frame_len;
	mbuf->pkt_len = frame_len;
	base_store_le32(message, WG_MESSAGE_DATA);
	base_store_le32(message + WG_DATA_RECEIVER, offer->sessions[from].index);
	base_store_le64(message + WG_DATA_COUNTER, offer->counters[from]);
	bench_wire_ip4(frame + BENCH_WIRE_INNER, len, BENCH_WIRE_TUNNEL + from,
	               BENCH_WIRE_TUNNEL + to);
	bench_wire_ports(frame + BENCH_WIRE_INNER);
	*op = (struct aead_op){.data = frame + BENCH_WIRE_INNER,
	                       .key = offer->sessions[from].receive_key,
	                       .counter = offer->counters[from],
	                       .len = inner_len};
}

/* What became a data message becomes junk; its op seals it no more. */
static void make_junk(struct bench_offer *offer, struct rte_mbuf *mbuf)
{
	uint8_t *frame = rte_pktmbuf_mtod(mbuf, uint8_t *);
	uint8_t *message = frame + BENCH_WIRE_MESSAGE;

	switch (offer->n_junk++ % 3) {
	case 0: /* the mac1 that follows is anything */
		mbuf->data_len = (uint16_t)bench_wire_frame(frame, 0, WG_INITIATION_LEN);
		mbuf->pkt_len = mbuf->data_len;
		base_store_le32(message, WG_MESSAGE_INITIATION);
		break;
	case 1:
		base_store_le32(message + WG_DATA_RECEIVER, UINT32_MAX << ABI_INDEX_WORKER_BITS);
		break;
	default: /* never sealed */
		break;
	}
}

/* n <= BURST frames into the wire's ring, which has room for them. */
static void put_frames(struct bench_offer *offer, const struct bench_size *size, bool junk,
                       uint32_t n)
{
	struct rte_mbuf *mbufs[BURST];
	uint32_t n_good = 0;

	if (rte_pktmbuf_alloc_bulk(offer->pool, mbufs, n) != 0)
		return;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t from = offer->next_peer;

		make_data(offer, mbufs[i], bench_size_len(size, (uint32_t)offer->n_made),
		          &offer->ops[n_good]);
		if (junk && offer->n_made % JUNK_EVERY == 0) {
			make_junk(offer, mbufs[i]);
		} else {
			offer->counters[from]++;
			n_good++;
		}
		offer->n_made++;
	}
	aead_seal(offer->aead, offer->ops, n_good);
	(void)rte_ring_sp_enqueue_bulk(offer->rx, (void **)mbufs, n, NULL);
	offer->n_put += n;
	offer->n_put_good += n_good;
}

/* One of each burst is opened: it must be the hub's to the peer that it is addressed to. */
static bool is_right(struct bench_offer *offer, const struct rte_mbuf *mbuf)
{
	uint8_t *frame = rte_pktmbuf_mtod(mbuf, uint8_t *);
	uint32_t peer = base_load_be32(frame + BENCH_WIRE_ETHER_LEN + 16) - BENCH_WIRE_OUTER;
	struct aead_op op = {
		.data = frame + BENCH_WIRE_INNER,
		.counter = base_load_le64(frame + BENCH_WIRE_MESSAGE + WG_DATA_COUNTER),
		.len = mbuf->data_len - BENCH_WIRE_INNER - AEAD_TAG_LEN,
	};

	if (peer >= offer->n_peers || mbuf->data_len < BENCH_WIRE_INNER + AEAD_TAG_LEN)
		return false;
	op.key = offer->sessions[peer].send_key;
	aead_open(offer->aead, &op, 1);
	/* A keepalive has no address. */
	return op.verdict == AEAD_OK
	       && (op.len == 0 || base_load_be32(op.data + 16) == BENCH_WIRE_TUNNEL + peer);
}

static void take_frames(struct bench_offer *offer)
{
	struct rte_mbuf *mbufs[BURST];
	uint32_t n;

	while ((n = rte_ring_sc_dequeue_burst(offer->tx, (void **)mbufs, BURST, NULL)) > 0) {
		if (offer->n_got % 4096 < n && !is_right(offer, mbufs[0]))
			offer->forged = true;
		offer->n_got += n;
		rte_pktmbuf_free_bulk(mbufs, n);
	}
}

/* ---- a window --------------------------------------------------------------------------------------- */

/* One command after the other, to see that they are served. */
static void exchange_barriers(struct bench_offer *offer, uint64_t now_ns, struct bench_offered *out)
{
	struct abi_record record;
	struct abi_event_barrier answer;

	while (abi_ring_pop(&offer->event, &record) == 1) {
		memcpy(&answer, record.payload, sizeof(answer));
		if (record.type != ABI_EVENT_BARRIER || answer.token != offer->token)
			continue;
		out->n_barriers++;
		if (now_ns - offer->barrier_ns > out->barrier_max_ns)
			out->barrier_max_ns = now_ns - offer->barrier_ns;
		offer->token = 0;
	}
	if (offer->token != 0 || now_ns < offer->barrier_ns + BARRIER_NS)
		return;
	offer->token = ++offer->last_token;
	offer->barrier_ns = now_ns;
	(void)COMMAND(offer, ABI_CMD_BARRIER, (struct abi_cmd_barrier){.token = offer->token});
}

/* Offer what is due since the last time. The ring is looked at once, since whoever looks takes its
 * lines away from the worker. */
static void offer_due(struct bench_offer *offer, const struct bench_size *size, bool junk,
                      uint64_t n_due, struct bench_offered *out)
{
	uint64_t n_left = rte_ring_free_count(offer->rx);

	out->n_offered += n_due;
	if (n_left < n_due)
		out->n_missed += n_due - n_left;
	else
		n_left = n_due;
	while (n_left > 0) {
		uint32_t n = n_left < BURST ? (uint32_t)n_left : BURST;

		put_frames(offer, size, junk, n);
		n_left -= n;
		if (n_left % (8 * BURST) < BURST)
			take_frames(offer);
	}
}

static void offer_for(struct bench_offer *offer, const struct bench_size *size, bool junk,
                      double per_second, uint64_t window_ns, struct bench_offered *out)
{
	uint64_t n_before, begin_ns, now_ns, next_ns;

	/* What came out while we were kept from looking belongs to no window. */
	take_frames(offer);
	n_before = offer->n_got;
	now_ns = begin_ns = base_time_monotonic_ns();
	*out = (struct bench_offered){0};
	while (now_ns - begin_ns < window_ns) {
		uint64_t n_due = rte_ring_free_count(offer->rx);

		if (per_second > 0)
			n_due = (uint64_t)((double)(now_ns - begin_ns) * per_second / 1e9)
			        - out->n_offered;
		offer_due(offer, size, junk, n_due, out);
		take_frames(offer);
		exchange_barriers(offer, now_ns, out);
		for (next_ns = now_ns + STEP_NS; now_ns < next_ns;) {
			rte_pause();
			now_ns = base_time_monotonic_ns();
		}
	}
	out->seconds = (double)(now_ns - begin_ns) / 1e9;
	out->n_good = offer->n_got - n_before;
}

/* Of what was offered before nothing is left. */
static void empty_wire(struct bench_offer *offer)
{
	uint64_t end_ns = base_time_monotonic_ns() + WAIT_NS;

	while (rte_ring_count(offer->rx) > 0 && base_time_monotonic_ns() < end_ns)
		take_frames(offer);
}

void bench_offer_run(struct bench_offer *offer, const struct bench_size *size, bool junk,
                     double per_second, uint64_t window_ns, struct bench_offered *out)
{
	empty_wire(offer);
	offer_for(offer, size, junk, per_second, SETTLE_NS, out);
	offer_for(offer, size, junk, per_second, window_ns, out);
}

bool bench_offer_right(struct bench_offer *offer)
{
	uint64_t end_ns = base_time_monotonic_ns() + WAIT_NS;
	const struct abi_region *region = &offer->region;

	/* What is in the rings comes out; keepalives and the like may come on top. */
	while (offer->n_got < offer->n_put_good && base_time_monotonic_ns() < end_ns)
		take_frames(offer);
	return !offer->forged && offer->n_got >= offer->n_put_good
	       && abi_region_counter(region, ABI_COUNTER_FORWARDED) == offer->n_put_good;
}

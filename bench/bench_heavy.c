/* weir-bench heavy: a peer that is more than one core can do. Two workers on two CPUs; all packets are
 * the owner's, which runs alone in one pass and is helped by the other (dataplane/assist) in the next.
 *
 *   open   frames of the peer to the hub: rx ring to the kernel's ring
 *   seal   packets of the kernel to the peer: the kernel's ring to the tx ring
 *   hub    frames of one peer for another: opened and sealed, rx ring to tx ring
 *
 * These are whole turns of the worker's loop, with its clock and rings, over ports that are rings. The
 * clock is read, but what the workers get is a time that stands still, so that no keepalive and no
 * rekey comes between. Every packet of every pass is checked afterwards, and that none overtook
 * another. */
#include "abi_region.h"
#include "base_bytes.h"
#include "base_time.h"
#include "bench.h"
#include "bench_eal.h"
#include "bench_open.h"
#include "bench_report.h"
#include "bench_wire.h"
#include "wg_message.h"
#include "worker.h"

#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_pause.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#define NUMBER      (BENCH_WIRE_IP4_LEN + BENCH_WIRE_UDP_LEN) /* of a packet, in it */
#define PASS        2048U                                     /* packets */
#define RING_LEN    4096U
#define N_MBUFS     2559U
#define EAL_MB      32U
#define PASS_MAX_NS (60 * BASE_NS_PER_S) /* a helper's CPU may be somebody else's for seconds */
#define OWNER       0U
#define HELPER      1U
#define HEAVY       1U /* the peer that sends */
#define OTHER       2U /* the one that is sent to */

enum way { WAY_OPEN = 0, WAY_SEAL = 1, WAY_HUB = 2, N_WAYS };
static const char *const way_names[N_WAYS] = {"open", "seal", "hub"};

enum who { WHO_ALONE = 0, WHO_HELPED = 1, N_WHOS };

/* Two workers with sessions of their own; both hubs have the same ports and rings. */
struct hub {
	struct abi_region region;
	struct worker_shared *shared;
	struct worker *worker[2];
	struct abi_ring_end cmd[2];
	uint64_t now_ns;
	uint64_t counter;      /* of the heavy peer's next message */
	uint64_t sent_counter; /* of the hub's next message to the other */
};

struct result {
	const struct bench_size *size;
	enum way way;
	struct bench_samples cycles[N_WHOS]; /* of a pass */
	uint64_t n_batches;                  /* given to the helper */
	uint64_t n_passes;                   /* helped */
};

struct heavy {
	struct hub hub[N_WHOS];
	struct aead *aead; /* the peers' */
	struct rte_mempool *pool;
	struct rte_ring *rx, *tx, *idle_rx, *idle_tx;
	struct port_link link[2];
	_Atomic uint32_t exception_sleeps;
	uint16_t ethdev;
	struct rte_mbuf *mbuf[PASS];
	struct aead_op ops[AEAD_BURST_MAX];
	struct result result[BENCH_N_SIZES * N_WAYS];
	unsigned int n_results;
	/* the helper's thread */
	pthread_t thread;
	_Atomic uint32_t stop;
	_Atomic(struct hub *) helped; /* whose helper to turn, NULL = nobody's */
};

static int fail(const char *what, int err)
{
	fprintf(stderr, "weir-bench: %s: %s\n", what, strerror(err < 0 ? -err : err));
	return -1;
}

/* ---- two hubs ------------------------------------------------------------------------------------- */

static struct rte_ring *make_ring(const char *name)
{
	return rte_ring_create(name, RING_LEN, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
}

/* One port of rings with a queue for each worker; the helper's stay empty. */
static int start_port(struct heavy *heavy)
{
	struct rte_ring *rx[2] = {heavy->rx, heavy->idle_rx};
	struct rte_ring *tx[2] = {heavy->tx, heavy->idle_tx};
	struct rte_eth_conf conf = {0};
	int id = rte_eth_from_rings("heavy", rx, 2, tx, 2, SOCKET_ID_ANY);
	int err;

	if (id < 0)
		return -ENOMEM;
	heavy->ethdev = (uint16_t)id;
	err = rte_eth_dev_configure(heavy->ethdev, 2, 2, &conf);
	for (uint16_t i = 0; i < 2 && err == 0; i++) {
		err = rte_eth_rx_queue_setup(heavy->ethdev, i, 256, SOCKET_ID_ANY, NULL,
		                             heavy->pool);
		if (err == 0)
			err = rte_eth_tx_queue_setup(heavy->ethdev, i, 256, SOCKET_ID_ANY, NULL);
	}
	return err == 0 ? rte_eth_dev_start(heavy->ethdev) : err;
}

static int make_surroundings(struct heavy *heavy)
{
	heavy->pool = rte_pktmbuf_pool_create("heavy", N_MBUFS, 0, PORT_LINK_PRIV_LEN,
	                                      RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	heavy->rx = make_ring("rx");
	heavy->tx = make_ring("tx");
	heavy->idle_rx = make_ring("idle_rx");
	heavy->idle_tx = make_ring("idle_tx");
	for (unsigned int i = 0; i < 2; i++)
		heavy->link[i] = (struct port_link){
			.to_kernel = make_ring(i == OWNER ? "to0" : "to1"),
			.from_kernel = make_ring(i == OWNER ? "from0" : "from1"),
			.exception_sleeps = &heavy->exception_sleeps,
			.wake_fd = -1,
		};
	if (!heavy->pool || !heavy->rx || !heavy->tx || !heavy->idle_rx || !heavy->idle_tx
	    || !heavy->link[0].to_kernel || !heavy->link[0].from_kernel || !heavy->link[1].to_kernel
	    || !heavy->link[1].from_kernel
	    || rte_pktmbuf_alloc_bulk(heavy->pool, heavy->mbuf, PASS) != 0)
		return -ENOMEM;
	return start_port(heavy);
}

static int command(struct hub *hub, unsigned int worker, uint16_t type, const void *cmd, size_t len)
{
	return abi_ring_push(&hub->cmd[worker], type, cmd, (uint16_t)len, NULL);
}

static void make_keys(struct abi_cmd_session_install *install)
{
	memset(install->receive_key, (int)(install->peer * 2), sizeof(install->receive_key));
	memset(install->send_key, (int)(install->peer * 2 + 1), sizeof(install->send_key));
}

static int tell_peer(struct hub *hub, uint32_t peer)
{
	struct abi_cmd_peer put = {.peer = peer};
	struct abi_cmd_route route = {
		.prefix = {.ip = bench_wire_ip(BENCH_WIRE_TUNNEL + peer), .len = 32}, .peer = peer};
	struct abi_cmd_session_install install = {
		.index = abi_index_make(OWNER, peer, 0),
		.remote_index = peer,
		.peer = peer,
		.role = ABI_ROLE_INITIATOR,
		.birth_ns = hub->now_ns,
		.remote = {.ip = bench_wire_ip(BENCH_WIRE_OUTER + peer),
	                   .port = BENCH_WIRE_PEER_PORT},
		.local = bench_wire_ip(BENCH_WIRE_HUB),
	};
	int err = 0;

	for (unsigned int i = 0; i < 2 && err == 0; i++)
		err = command(hub, i, ABI_CMD_PEER_PUT, &put, sizeof(put));
	if (err == 0) /* the table is all workers', and worker 0 writes it */
		err = command(hub, 0, ABI_CMD_ROUTE_PUT, &route, sizeof(route));
	make_keys(&install);
	return err != 0 ? err
	                : command(hub, OWNER, ABI_CMD_SESSION_INSTALL, &install, sizeof(install));
}

static int tell_world(struct hub *hub, unsigned int worker)
{
	struct abi_cmd_hub cmd = {.listen_port = BENCH_WIRE_PORT, .tunnel_mtu = BENCH_WIRE_MTU};
	struct abi_cmd_address wan = {.ip = bench_wire_ip(BENCH_WIRE_HUB), .present = 1};
	struct abi_cmd_address tunnel = {
		.ip = bench_wire_ip(BENCH_WIRE_TUNNEL), .port = ABI_PORTS_MAX, .present = 1};
	struct abi_cmd_wan_route route = {.prefix = {.ip = bench_wire_ip(0)},
	                                  .gateway = bench_wire_ip(BENCH_WIRE_GATEWAY)};
	struct abi_cmd_neighbour neighbour = {.ip = bench_wire_ip(BENCH_WIRE_GATEWAY), .mac = {2}};
	int err = command(hub, worker, ABI_CMD_HUB, &cmd, sizeof(cmd));

	if (err == 0)
		err = command(hub, worker, ABI_CMD_ADDRESS, &wan, sizeof(wan));
	if (err == 0)
		err = command(hub, worker, ABI_CMD_ADDRESS, &tunnel, sizeof(tunnel));
	if (err == 0)
		err = command(hub, worker, ABI_CMD_WAN_ROUTE_PUT, &route, sizeof(route));
	if (err == 0)
		err = command(hub, worker, ABI_CMD_NEIGHBOUR_PUT, &neighbour, sizeof(neighbour));
	return err;
}

static int make_worker(struct heavy *heavy, struct hub *hub, unsigned int id, enum who who,
                       enum aead_backend backend)
{
	struct worker_setup setup = {
		.id = id,
		.region = &hub->region,
		.shared = hub->shared,
		.pool = heavy->pool,
		.n_ports = 1,
		.ethdev = {heavy->ethdev},
		.queue = {(uint16_t)id},
		.link = &heavy->link[id],
		.control_wake_fd = -1,
		.wake_fd = -1,
		.aead = backend,
		.assist = who == WHO_HELPED ? ASSIST_ALWAYS : ASSIST_NEVER,
	};

	return worker_create(&setup, &hub->worker[id]);
}

static int make_hub(struct heavy *heavy, enum who who, enum aead_backend backend)
{
	struct hub *hub = &heavy->hub[who];
	struct abi_setup setup = {.n_workers = 2, .n_ports = 1, .tunnel_mtu = BENCH_WIRE_MTU};
	int err;

	hub->now_ns = base_time_monotonic_ns();
	setup.ports[0].mtu = 1500;
	err = abi_region_create(&setup, 8, 1 + who, &hub->region);
	if (err == 0)
		err = worker_shared_create(2, hub->region.n_peers, &hub->shared);
	if (err == 0)
		worker_shared_blobs(hub->shared)->current[ABI_BLOB_POLICY] = bench_open_policy();
	for (unsigned int i = 0; i < 2 && err == 0; i++) {
		err = make_worker(heavy, hub, i, who, backend);
		hub->cmd[i] = abi_region_cmd_ring(&hub->region, i);
		if (err == 0)
			err = tell_world(hub, i);
	}
	for (uint32_t peer = HEAVY; peer <= OTHER && err == 0; peer++)
		err = tell_peer(hub, peer);
	for (unsigned int i = 0; i < 4 && err == 0; i++)
		worker_turn(hub->worker[i % 2], hub->now_ns);
	return err;
}

/* ---- the helper's thread --------------------------------------------------------------------------- */

static void *help(void *arg)
{
	struct heavy *heavy = arg;

	while (!atomic_load_explicit(&heavy->stop, memory_order_relaxed)) {
		struct hub *hub = atomic_load_explicit(&heavy->helped, memory_order_acquire);

		if (hub) {
			(void)base_time_monotonic_ns();
			worker_turn(hub->worker[HELPER], hub->now_ns);
		} else {
			rte_pause();
		}
	}
	return NULL;
}

/* On any CPU but ours. Returns 0, -ENODEV (there is no other) or -errno. */
static int start_helper(struct heavy *heavy)
{
	int err = pthread_create(&heavy->thread, NULL, help, heavy);
	cpu_set_t set;

	if (err != 0)
		return -err;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		CPU_ZERO(&set);
		CPU_SET(cpu, &set);
		if (cpu != sched_getcpu()
		    && pthread_setaffinity_np(heavy->thread, sizeof(set), &set) == 0)
			return 0;
	}
	atomic_store(&heavy->stop, 1);
	pthread_join(heavy->thread, NULL);
	return -ENODEV;
}

/* ---- packets --------------------------------------------------------------------------------------- */

/* Inner packet i; its number lies behind its headers. */
static void write_inner(uint8_t *inner, uint32_t i, uint32_t len, enum way way)
{
	uint32_t source = way == WAY_SEAL ? 0 : HEAVY;
	uint32_t destination = way == WAY_OPEN ? 0 : OTHER;

	memset(inner, (int)i, bench_wire_padded(len));
	bench_wire_ip4(inner, len, BENCH_WIRE_TUNNEL + source, BENCH_WIRE_TUNNEL + destination);
	bench_wire_ports(inner);
	base_store_le32(inner + NUMBER, i);
}

static void set_len(struct rte_mbuf *mbuf, uint32_t len)
{
	mbuf->data_off = RTE_PKTMBUF_HEADROOM;
	mbuf->data_len = (uint16_t)len;
	mbuf->pkt_len = len;
}

/* The heavy peer's frame around inner packet i, not yet encrypted. */
static void write_frame(struct hub *hub, struct rte_mbuf *mbuf, uint32_t inner_len,
                        struct aead_op *op)
{
	uint8_t *frame = rte_pktmbuf_mtod(mbuf, uint8_t *);
	uint8_t *message = frame + BENCH_WIRE_MESSAGE;
	struct abi_cmd_session_install keys = {.peer = HEAVY};
	static uint8_t key[32];

	make_keys(&keys);
	memcpy(key, keys.receive_key, sizeof(key));
	set_len(mbuf, bench_wire_frame(frame, HEAVY, WG_DATA_MIN_LEN + inner_len));
	base_store_le32(message, WG_MESSAGE_DATA);
	base_store_le32(message + WG_DATA_RECEIVER, abi_index_make(OWNER, HEAVY, 0));
	base_store_le64(message + WG_DATA_COUNTER, hub->counter);
	*op = (struct aead_op){.data = frame + BENCH_WIRE_INNER,
	                       .key = key,
	                       .counter = hub->counter++,
	                       .len = inner_len};
}

/* All packets of a pass into the ring where they come from. */
static bool put_packets(struct heavy *heavy, struct hub *hub, const struct result *result)
{
	struct rte_ring *from = result->way == WAY_SEAL ? heavy->link[OWNER].from_kernel
	                                                : heavy->rx;

	for (uint32_t i = 0; i < PASS; i++) {
		struct rte_mbuf *mbuf = heavy->mbuf[i];
		uint32_t len = bench_size_len(result->size, i);
		uint32_t n = i % AEAD_BURST_MAX;

		set_len(mbuf, len);
		mbuf->port = PORT_LINK_TUN;
		if (result->way == WAY_SEAL) {
			write_inner(rte_pktmbuf_mtod(mbuf, uint8_t *), i, len, WAY_SEAL);
			continue;
		}
		write_inner(rte_pktmbuf_mtod(mbuf, uint8_t *) + BENCH_WIRE_INNER, i, len,
		            result->way);
		write_frame(hub, mbuf, bench_wire_padded(len), &heavy->ops[n]);
		if (n == AEAD_BURST_MAX - 1)
			aead_seal(heavy->aead, heavy->ops, AEAD_BURST_MAX);
	}
	return rte_ring_enqueue_bulk(from, (void **)heavy->mbuf, PASS, NULL) == PASS;
}

/* A frame of the hub's to the other peer: opened in place, it holds packet i. */
static bool is_sealed_right(struct heavy *heavy, struct hub *hub, struct rte_mbuf *mbuf, uint32_t i,
                            uint32_t len)
{
	uint8_t *frame = rte_pktmbuf_mtod(mbuf, uint8_t *);
	struct abi_cmd_session_install keys = {.peer = OTHER};
	struct aead_op op = {
		.data = frame + BENCH_WIRE_INNER,
		.key = keys.send_key,
		.counter = base_load_le64(frame + BENCH_WIRE_MESSAGE + WG_DATA_COUNTER),
		.len = bench_wire_padded(len),
	};

	make_keys(&keys);
	if (op.counter != hub->sent_counter++
	    || mbuf->data_len != BENCH_WIRE_INNER + op.len + AEAD_TAG_LEN)
		return false;
	aead_open(heavy->aead, &op, 1);
	return op.verdict == AEAD_OK && base_load_le32(op.data + NUMBER) == i;
}

/* Everything came out, in order, and is what it should be. Takes it out of the ring. */
static bool take_packets(struct heavy *heavy, struct hub *hub, const struct result *result,
                         struct rte_ring *out)
{
	if (rte_ring_dequeue_bulk(out, (void **)heavy->mbuf, PASS, NULL) != PASS)
		return false;
	for (uint32_t i = 0; i < PASS; i++) {
		struct rte_mbuf *mbuf = heavy->mbuf[i];
		uint32_t len = bench_size_len(result->size, i);

		if (result->way != WAY_OPEN) {
			if (!is_sealed_right(heavy, hub, mbuf, i, len))
				return false;
		} else if (mbuf->data_len != len
		           || base_load_le32(rte_pktmbuf_mtod(mbuf, uint8_t *) + NUMBER) != i) {
			return false;
		}
	}
	return true;
}

/* ---- timing ---------------------------------------------------------------------------------------- */

/* Turn the owner until all have come out. 0: they did not, for so long that they are lost. */
static uint64_t time_pass(struct hub *hub, const struct rte_ring *out)
{
	uint64_t end_ns = base_time_monotonic_ns() + PASS_MAX_NS;
	uint64_t start = bench_tsc();

	while (rte_ring_count(out) < PASS) {
		if (base_time_monotonic_ns() >= end_ns)
			return 0;
		worker_turn(hub->worker[OWNER], hub->now_ns);
	}
	return bench_tsc() - start;
}

/* What a pass was, how many came out of it, and what else became of them. */
static void tell_failure(const struct hub *hub, const struct result *result, enum who who,
                         uint32_t n_out)
{
	fprintf(stderr,
	        "weir-bench: %s, %s, %s: %u of %u packets came out, or not as they should\n",
	        result->size->name, way_names[result->way], who == WHO_HELPED ? "helped" : "alone",
	        n_out, PASS);
	for (unsigned int i = 0; i < ABI_N_COUNTERS; i++) {
		uint64_t n = abi_region_counter(&hub->region, (enum abi_counter)i);

		if (n != 0)
			fprintf(stderr, "weir-bench: %s %llu\n", abi_counter_texts[i].name,
			        (unsigned long long)n);
	}
}

static uint64_t n_batches(const struct hub *hub)
{
	return abi_region_counter(&hub->region, ABI_COUNTER_ASSIST_BATCHES);
}

static bool measure_one(struct heavy *heavy, struct result *result, enum who who, bool counts)
{
	struct hub *hub = &heavy->hub[who];
	struct rte_ring *out = result->way == WAY_OPEN ? heavy->link[OWNER].to_kernel : heavy->tx;
	uint64_t before = n_batches(hub);
	uint64_t cycles;
	uint32_t n_out;

	if (!put_packets(heavy, hub, result))
		return false;
	atomic_store_explicit(&heavy->helped, who == WHO_HELPED ? hub : NULL, memory_order_release);
	cycles = time_pass(hub, out);
	atomic_store_explicit(&heavy->helped, NULL, memory_order_release);
	n_out = rte_ring_count(out);
	if (cycles == 0 || !take_packets(heavy, hub, result, out)) {
		tell_failure(hub, result, who, n_out);
		return false;
	}
	if (!counts)
		return true;
	bench_samples_add(&result->cycles[who], cycles);
	if (who == WHO_HELPED) {
		result->n_passes++;
		result->n_batches += n_batches(hub) - before;
	}
	return true;
}

static bool measure(struct heavy *heavy, unsigned int rounds)
{
	for (unsigned int round = 0; round < BENCH_WARM_UP + rounds; round++)
		for (unsigned int i = 0; i < heavy->n_results; i++)
			for (unsigned int k = 0; k < N_WHOS; k++)
				if (!measure_one(heavy, &heavy->result[i],
				                 (enum who)((round + k) % N_WHOS),
				                 round >= BENCH_WARM_UP))
					return false;
	return true;
}

/* ---- results --------------------------------------------------------------------------------------- */

static int make_results(struct heavy *heavy, const struct bench_options *options)
{
	for (unsigned int i = 0; i < BENCH_N_SIZES; i++) {
		for (unsigned int way = 0; way < N_WAYS && options->size_wanted[i]; way++) {
			struct result *result = &heavy->result[heavy->n_results++];

			result->size = &bench_sizes[i];
			result->way = (enum way)way;
			for (unsigned int who = 0; who < N_WHOS; who++)
				if (bench_samples_init(&result->cycles[who], options->rounds) != 0)
					return -ENOMEM;
		}
	}
	return 0;
}

/* Batches a packet needs: opened, sealed or both, in bursts of 64. */
static double helper_share(const struct result *result)
{
	double all = (double)result->n_passes * PASS / PATH_BURST_MAX
	             * (result->way == WAY_HUB ? 2 : 1);

	return all > 0 ? (double)result->n_batches / all : 0;
}

static double rounded(double value, double to)
{
	return (double)(int64_t)(value * to + 0.5) / to;
}

static json_t *result_json(struct result *result, const char *backend)
{
	struct bench_summary alone = bench_samples_summary(&result->cycles[WHO_ALONE], PASS);
	struct bench_summary helped = bench_samples_summary(&result->cycles[WHO_HELPED], PASS);
	json_t *object = json_object();

	json_object_set_new(object, "size",
	                    result->size->len != 0 ? json_integer(result->size->len)
	                                           : json_string(result->size->name));
	json_object_set_new(object, "way", json_string(way_names[result->way]));
	json_object_set_new(object, "backend", json_string(backend));
	json_object_set_new(object, "rounds", json_integer(alone.n));
	json_object_set_new(object, "alone_min", json_real(rounded(alone.min, 10)));
	json_object_set_new(object, "alone_median", json_real(rounded(alone.median, 10)));
	json_object_set_new(object, "helped_min", json_real(rounded(helped.min, 10)));
	json_object_set_new(object, "helped_median", json_real(rounded(helped.median, 10)));
	json_object_set_new(object, "speedup", json_real(rounded(alone.min / helped.min, 1000)));
	json_object_set_new(object, "speedup_median",
	                    json_real(rounded(alone.median / helped.median, 1000)));
	json_object_set_new(object, "helper_share", json_real(rounded(helper_share(result), 1000)));
	json_object_set_new(object, "reordered", json_integer(0)); /* else there is no result */
	return object;
}

static int report_json(struct heavy *heavy, const char *backend)
{
	json_t *root = json_object();
	json_t *list = json_array();

	for (unsigned int i = 0; i < heavy->n_results; i++)
		json_array_append_new(list, result_json(&heavy->result[i], backend));
	json_object_set_new(root, "results", list);
	return bench_report_json(root);
}

static int report_table(struct heavy *heavy, const struct bench_options *options,
                        const char *backend)
{
	printf("weir-bench heavy: one peer, an owner alone and with a helper on another CPU\n");
	printf("backend    %s\n", backend);
	printf("runs       %u rounds of %u packets in bursts of %u, in turn\n\n", options->rounds,
	       PASS, PATH_BURST_MAX);
	printf("TSC cycles a packet of the owner; faster = alone / helped, of the minima and of the "
	       "medians\n\n");
	printf(" size  way   alone med  (min)  helped med  (min)  faster  (med)  helper did\n");
	printf("----- ----- ---------- ------ ----------- ------ ------- ------ -----------\n");
	for (unsigned int i = 0; i < heavy->n_results; i++) {
		struct result *result = &heavy->result[i];
		struct bench_summary alone = bench_samples_summary(&result->cycles[WHO_ALONE],
		                                                   PASS);
		struct bench_summary helped = bench_samples_summary(&result->cycles[WHO_HELPED],
		                                                    PASS);

		printf("%5s  %s  %9.1f %6.1f   %9.1f %6.1f  %6.2f %6.2f  %8.0f %%\n",
		       result->size->name, way_names[result->way], alone.median, alone.min,
		       helped.median, helped.min, alone.min / helped.min,
		       alone.median / helped.median, helper_share(result) * 100);
	}
	printf("\nnot shown  a NIC's or the kernel's share; more than one helper; peers whose packets"
	       " are cold\n");
	return fflush(stdout) == 0 ? 0 : 1;
}

/* ---- all of it ------------------------------------------------------------------------------------- */

static int init(struct heavy *heavy, const struct bench_options *options)
{
	int err = aead_create(options->backend, &heavy->aead);

	if (err != 0)
		return fail("backend cannot be used", err);
	if (bench_eal_start(EAL_MB) != 0)
		return -1;
	err = make_surroundings(heavy);
	for (unsigned int who = 0; who < N_WHOS && err == 0; who++)
		err = make_hub(heavy, (enum who)who, options->backend);
	if (err == 0)
		err = make_results(heavy, options);
	return err == 0 ? 0 : fail("two hubs", err);
}

int bench_heavy(const struct bench_options *options)
{
	static struct heavy heavy; /* rings, buffers and hubs go with the process */
	bool ok;
	int err;

	if (init(&heavy, options) != 0)
		return 1;
	err = start_helper(&heavy);
	if (err != 0) {
		fail("a second CPU for the helper", err);
		return 1;
	}
	ok = measure(&heavy, options->rounds);
	atomic_store(&heavy.stop, 1);
	pthread_join(heavy.thread, NULL);
	if (!ok) {
		fprintf(stderr, "weir-bench: a packet did not come through as it should\n");
		return 1;
	}
	return options->json ? report_json(&heavy, aead_name(heavy.aead))
	                     : report_table(&heavy, options, aead_name(heavy.aead));
}

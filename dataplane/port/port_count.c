#include "port_count.h"

#include "base_log.h"
#include "base_time.h"
#include "port_wake.h"

#include <rte_ethdev.h>

#include <linux/if_packet.h>
#include <sys/socket.h>

static void add(uint64_t *counter, uint64_t n)
{
	if (n > 0)
		__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

/* Frames that found a socket's ring full since it was asked last: asking begins anew. */
static uint64_t socket_drops(int socket)
{
	struct tpacket_stats_v3 stats = {0}; /* the longest form; the others are its beginning */
	socklen_t len = sizeof(stats);

	if (getsockopt(socket, SOL_PACKET, PACKET_STATISTICS, &stats, &len) != 0)
		return 0;
	return stats.tp_drops;
}

/* A driver's count may be put back to zero with its port. */
static uint64_t grown(uint64_t *last, uint64_t now)
{
	uint64_t n = now >= *last ? now - *last : now;

	*last = now;
	return n;
}

void port_count_init(struct port_count *count, const struct port_eth *port, uint32_t n_queues)
{
	uint64_t unused[ABI_COUNTERS_LEN] = {0};

	*count = (struct port_count){.port = port};
	for (uint32_t i = 0; i < n_queues; i++) {
		int fd = port_wake_fd(port, i, n_queues);

		if (fd >= 0)
			count->sockets[count->n_sockets++] = fd;
	}
	port_count_turn(count, unused);
}

void port_count_turn(struct port_count *count, uint64_t *counters)
{
	struct rte_eth_stats stats;
	uint64_t missed = 0;

	for (uint32_t i = 0; i < count->n_sockets; i++)
		missed += socket_drops(count->sockets[i]);
	if (rte_eth_stats_get(count->port->id, &stats) == 0) {
		missed += grown(&count->missed, stats.imissed + stats.rx_nombuf);
		add(&counters[ABI_COUNTER_PORT_ERRORS], grown(&count->errors, stats.ierrors));
	}
	add(&counters[ABI_COUNTER_PORT_MISSED], missed);
}

#define TELL_AGAIN_NS (60 * BASE_NS_PER_S)

void port_count_truncated(struct port_truncated *truncated, uint64_t n, uint64_t now_ns)
{
	if (n == truncated->n
	    || (truncated->told_ns != 0 && now_ns < truncated->told_ns + TELL_AGAIN_NS))
		return;
	log_warn(
		"port",
		"frames arrive cut off, shorter than their IP header says: the sending end leaves "
		"segmentation or checksums to hardware that is not there. Turn that off at the other "
		"end of the wire: `ethtool -K INTERFACE tx off` frames=%llu since_last=%llu",
		(unsigned long long)n, (unsigned long long)(n - truncated->n));
	truncated->n = n;
	truncated->told_ns = now_ns;
}

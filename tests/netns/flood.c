/* Handshake messages of nobody's, at a rate:
 *
 *   flood -p HUB_PUBLIC_KEY -e HUB_ENDPOINT KIND PER_SECOND COUNT
 *
 * KIND  wrong    initiations with a wrong mac1, from one socket
 *       known    with a right mac1 and nothing else right, from one socket
 *       spoofed  the same from invented sources in 198.18.0.0/15, each another (root)
 *
 * Prints how many were sent in how many milliseconds. Whatever comes back is left lying. */
#include "base_bytes.h"
#include "base_ip.h"
#include "base_text.h"
#include "base_time.h"
#include "wg_cookie.h"

#include <sodium.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define N_MESSAGES 64U /* different ones, sent by one call */
#define HEADERS    28U /* IPv4 and UDP */
#define SPOOFED    0xc6120000U

#define CATCH_UP_NS (5 * BASE_NS_PER_MS)

struct flood {
	int fd;
	bool spoofed;
	struct sockaddr_in hub;
	uint32_t next_source;
	uint8_t packets[N_MESSAGES][HEADERS + WG_INITIATION_LEN];
	struct iovec parts[N_MESSAGES];
	struct mmsghdr messages[N_MESSAGES];
};

static void make_messages(struct flood *flood, const uint8_t public_key[static WG_KEY_LEN],
                          bool wrong)
{
	struct wg_cookie_maker maker;

	wg_cookie_maker_init(&maker, public_key);
	for (uint32_t i = 0; i < N_MESSAGES; i++) {
		uint8_t *packet = flood->packets[i];
		uint8_t *message = packet + HEADERS;
		uint32_t skip = flood->spoofed ? 0 : HEADERS;

		randombytes_buf(message, WG_INITIATION_LEN);
		base_store_le32(message, WG_MESSAGE_INITIATION);
		wg_cookie_stamp(&maker, message, WG_INITIATION_LEN, 1);
		message[WG_INITIATION_MAC1] ^= wrong ? 1 : 0;
		flood->parts[i] = (struct iovec){packet + skip, sizeof(flood->packets[i]) - skip};
		flood->messages[i].msg_hdr = (struct msghdr){
			.msg_name = &flood->hub,
			.msg_namelen = sizeof(flood->hub),
			.msg_iov = &flood->parts[i],
			.msg_iovlen = 1,
		};
	}
}

/* The kernel fills in what is 0: length, id and checksum. */
static void make_headers(struct flood *flood, uint8_t *packet)
{
	struct ip ip = {.ip_v = 4, .ip_hl = 5, .ip_ttl = 64, .ip_p = IPPROTO_UDP};
	struct udphdr udp = {.uh_dport = flood->hub.sin_port,
	                     .uh_ulen = htons(sizeof(udp) + WG_INITIATION_LEN)};

	ip.ip_src.s_addr = htonl(SPOOFED + flood->next_source++ % (1U << 17));
	ip.ip_dst = flood->hub.sin_addr;
	udp.uh_sport = htons((uint16_t)(1024 + flood->next_source % 60000));
	memcpy(packet, &ip, sizeof(ip));
	memcpy(packet + sizeof(ip), &udp, sizeof(udp));
}

static int open_socket(struct flood *flood)
{
	int room = 1 << 20;

	flood->fd = flood->spoofed ? socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW)
	                           : socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (flood->fd < 0)
		return -errno;
	(void)setsockopt(flood->fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	return 0;
}

static void pause_until(uint64_t at_ns)
{
	struct timespec at = {.tv_sec = (time_t)(at_ns / BASE_NS_PER_S),
	                      .tv_nsec = (long)(at_ns % BASE_NS_PER_S)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
		continue;
}

/* Up to n at once. Returns how many went. */
static uint32_t send_some(struct flood *flood, uint64_t n)
{
	uint32_t n_now = n < N_MESSAGES ? (uint32_t)n : N_MESSAGES;
	int n_sent;

	for (uint32_t i = 0; flood->spoofed && i < n_now; i++)
		make_headers(flood, flood->packets[i]);
	n_sent = sendmmsg(flood->fd, flood->messages, n_now, 0);
	return n_sent < 0 ? 0 : (uint32_t)n_sent;
}

/* At this rate and no faster, also after a time without a CPU: what was not sent in it is late for good. */
static void run(struct flood *flood, uint64_t per_s, uint64_t count)
{
	uint64_t start_ns = base_time_monotonic_ns();
	uint64_t late_ns = 0, n_sent = 0;

	while (n_sent < count) {
		uint64_t due_ns = start_ns + late_ns
		                  + (uint64_t)((double)n_sent * 1e9 / (double)per_s);
		uint64_t now_ns = base_time_monotonic_ns();

		if (now_ns < due_ns)
			pause_until(due_ns);
		else if (now_ns - due_ns > CATCH_UP_NS)
			late_ns += now_ns - due_ns - CATCH_UP_NS;
		n_sent += send_some(flood, count - n_sent);
	}
	printf("%llu %llu\n", (unsigned long long)n_sent,
	       (unsigned long long)((base_time_monotonic_ns() - start_ns) / BASE_NS_PER_MS));
}

int main(int argc, char **argv)
{
	static struct flood flood;
	uint8_t public_key[WG_KEY_LEN];
	struct base_endpoint hub = {0};
	const char *kind;
	int option, bad = 0;

	while ((option = getopt(argc, argv, "+p:e:")) != -1) {
		if (option == 'p')
			bad |= base_key_from_base64(public_key, optarg) < 0;
		else if (option == 'e')
			bad |= base_endpoint_parse(optarg, &hub) < 0;
		else
			bad = 1;
	}
	if (bad || argc - optind != 3 || hub.ip.family != BASE_IP_V4 || sodium_init() < 0
	    || strtoull(argv[optind + 1], NULL, 10) == 0) {
		fprintf(stderr,
		        "usage: flood -p HUB_KEY -e IPV4:PORT wrong|known|spoofed PER_SECOND "
		        "COUNT\n");
		return 2;
	}
	kind = argv[optind];
	flood.spoofed = strcmp(kind, "spoofed") == 0;
	flood.hub.sin_family = AF_INET;
	flood.hub.sin_port = htons(hub.port);
	memcpy(&flood.hub.sin_addr, hub.ip.bytes, 4);
	make_messages(&flood, public_key, strcmp(kind, "wrong") == 0);
	if (open_socket(&flood) < 0) {
		perror("flood");
		return 1;
	}
	run(&flood, strtoull(argv[optind + 1], NULL, 10), strtoull(argv[optind + 2], NULL, 10));
	close(flood.fd);
	return 0;
}

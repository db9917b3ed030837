/* A WireGuard peer over one UDP socket that does what it is told, also what no honest peer does:
 * the hub's counterpart in the namespace tests.
 *
 *   rawpeer -k PRIVATE_KEY_FILE -p HUB_PUBLIC_KEY -e HUB_ENDPOINT [-s PSK_FILE] COMMAND [ARG]...
 *
 * Commands run in order; the first that fails ends the program with exit code 1 and a line that
 * says which and why. See the table at the end of this file. It is not a client: no timers, no
 * interface, one session at a time. */
#include "base_bytes.h"
#include "base_ip.h"
#include "base_text.h"
#include "base_time.h"
#include "wg_cookie.h"
#include "wg_key.h"
#include "wg_message.h"
#include "wg_noise.h"

#include <sodium.h>

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DATAGRAM_MAX 2048
#define WAIT_MS      10000 /* the hub stores a timestamp before it answers, and the disk may be busy */

struct rawpeer {
	int fd;
	struct wg_noise_identity identity;
	struct wg_noise_peer hub;
	struct wg_cookie_maker cookies;
	struct wg_noise_handshake hs;
	struct wg_noise_keys keys;
	uint32_t local_index;
	uint32_t remote_index;
	uint64_t counter;
	uint64_t timestamp_ns; /* of the last initiation */
	uint8_t initiation[WG_INITIATION_LEN];
	uint8_t last_data[DATAGRAM_MAX];
	size_t last_data_len;
};

static const char *current_command = "start";

static int fail(const char *why)
{
	fprintf(stderr, "rawpeer: %s: %s\n", current_command, why);
	return -1;
}

static int send_datagram(struct rawpeer *peer, const void *bytes, size_t len)
{
	if (send(peer->fd, bytes, len, 0) != (ssize_t)len)
		return fail(strerror(errno));
	return 0;
}

/* Returns the length, or -1 when nothing came within timeout_ms. */
static ssize_t receive_datagram(struct rawpeer *peer, uint8_t *buf, int timeout_ms)
{
	struct pollfd pfd = {.fd = peer->fd, .events = POLLIN};

	if (poll(&pfd, 1, timeout_ms) != 1)
		return -1;
	return recv(peer->fd, buf, DATAGRAM_MAX, 0);
}

/* ---- handshake ----------------------------------------------------------------------------------- */

static int make_initiation(struct rawpeer *peer, uint64_t wall_ns)
{
	uint8_t ephemeral[WG_KEY_LEN], timestamp[WG_TIMESTAMP_LEN];

	randombytes_buf(ephemeral, sizeof(ephemeral));
	peer->local_index = randombytes_random() | 1;
	wg_noise_timestamp(timestamp, wall_ns);
	if (wg_noise_initiation_create(&peer->identity, &peer->hub, peer->local_index, ephemeral,
	                               timestamp, &peer->hs, peer->initiation)
	    < 0)
		return fail("cannot make an initiation");
	wg_cookie_stamp(&peer->cookies, peer->initiation, WG_INITIATION_LEN,
	                base_time_monotonic_ns());
	return 0;
}

static int command_initiate(struct rawpeer *peer, const char *arg)
{
	(void)arg;
	peer->timestamp_ns = base_time_wall_ns();
	if (make_initiation(peer, peer->timestamp_ns) < 0)
		return -1;
	return send_datagram(peer, peer->initiation, WG_INITIATION_LEN);
}

/* arg: seconds by which the timestamp lies in the past. */
static int command_initiate_old(struct rawpeer *peer, const char *arg)
{
	uint64_t age_ns = strtoull(arg, NULL, 10) * BASE_NS_PER_S;

	if (make_initiation(peer, base_time_wall_ns() - age_ns) < 0)
		return -1;
	return send_datagram(peer, peer->initiation, WG_INITIATION_LEN);
}

/* arg: offset of a byte to flip; the macs are computed after it, so they are right. */
static int command_initiate_flipped(struct rawpeer *peer, const char *arg)
{
	size_t offset = strtoul(arg, NULL, 10);

	if (offset >= WG_INITIATION_MAC1)
		return fail("offset must be below 116");
	if (make_initiation(peer, base_time_wall_ns()) < 0)
		return -1;
	peer->initiation[offset] ^= 0x40;
	wg_cookie_stamp(&peer->cookies, peer->initiation, WG_INITIATION_LEN,
	                base_time_monotonic_ns());
	return send_datagram(peer, peer->initiation, WG_INITIATION_LEN);
}

static int command_initiate_bad_mac1(struct rawpeer *peer, const char *arg)
{
	(void)arg;
	if (make_initiation(peer, base_time_wall_ns()) < 0)
		return -1;
	peer->initiation[WG_INITIATION_MAC1] ^= 1;
	return send_datagram(peer, peer->initiation, WG_INITIATION_LEN);
}

/* Become the holder of a private key, towards the same hub. */
static int become(struct rawpeer *peer, const struct wg_noise_identity *identity)
{
	struct wg_noise_peer hub = peer->hub;

	peer->identity = *identity;
	if (wg_noise_peer_init(&peer->hub, identity, hub.public_key, hub.preshared_key) < 0)
		return fail("the keys do not fit");
	return 0;
}

/* An initiation by a key that the hub does not know. */
static int command_initiate_stranger(struct rawpeer *peer, const char *arg)
{
	struct wg_noise_identity known = peer->identity, stranger;
	uint8_t private_key[WG_KEY_LEN];

	randombytes_buf(private_key, sizeof(private_key));
	wg_key_clamp(private_key);
	wg_noise_identity_init(&stranger, private_key);
	return become(peer, &stranger) < 0 || command_initiate(peer, arg) < 0
	                       || become(peer, &known) < 0
	               ? -1
	               : 0;
}

static int command_replay_initiation(struct rawpeer *peer, const char *arg)
{
	(void)arg;
	return send_datagram(peer, peer->initiation, WG_INITIATION_LEN);
}

static int command_response(struct rawpeer *peer, const char *arg)
{
	uint8_t msg[DATAGRAM_MAX];
	ssize_t len = receive_datagram(peer, msg, WAIT_MS);

	(void)arg;
	if (len != WG_RESPONSE_LEN || msg[0] != WG_MESSAGE_RESPONSE)
		return fail(len < 0 ? "no answer" : "answer is not a response");
	if (wg_noise_response_consume(&peer->identity, &peer->hub, &peer->hs, msg, &peer->keys,
	                              &peer->remote_index)
	    != WG_NOISE_OK)
		return fail("response does not fit");
	peer->counter = 0;
	return 0;
}

/* Take the response for good whatever it holds, with keys that are made up: what is left to a client that
 * lacks the preshared key. Like one it knocks again when none comes, or a cookie (a busy hub is loaded). */
static int command_guess(struct rawpeer *peer, const char *arg)
{
	uint8_t msg[DATAGRAM_MAX];

	(void)arg;
	for (uint32_t n = 1; n <= 5; n++) {
		ssize_t len = receive_datagram(peer, msg, WAIT_MS / 5);

		if (len == WG_RESPONSE_LEN && msg[0] == WG_MESSAGE_RESPONSE) {
			peer->remote_index = base_load_le32(msg + WG_RESPONSE_SENDER);
			randombytes_buf(&peer->keys, sizeof(peer->keys));
			peer->counter = 0;
			return 0;
		}
		if (len == WG_COOKIE_LEN && msg[0] == WG_MESSAGE_COOKIE
		    && wg_cookie_reply_consume(&peer->cookies, msg, base_time_monotonic_ns()) < 0)
			return fail("the cookie does not fit");
		(void)poll(NULL, 0, 40);
		if (command_initiate(peer, NULL) < 0)
			return -1;
	}
	return fail("no response");
}

/* Knock as long as it takes: an initiation, and another as soon as a cookie has come, or nothing for half a
 * second (a stock client waits 5 s in both cases). Prints how many milliseconds passed, how many
 * initiations it took, and with how many cookies. */
static int command_arrive(struct rawpeer *peer, const char *arg)
{
	uint64_t start_ns = base_time_monotonic_ns();
	uint32_t n_cookies = 0;

	(void)arg;
	for (uint32_t n = 1; n <= 60; n++) {
		uint8_t msg[DATAGRAM_MAX];
		ssize_t len;

		if (command_initiate(peer, NULL) < 0)
			return -1;
		while ((len = receive_datagram(peer, msg, 500)) > 0) {
			if (len == WG_COOKIE_LEN && msg[0] == WG_MESSAGE_COOKIE
			    && wg_cookie_reply_consume(&peer->cookies, msg,
			                               base_time_monotonic_ns())
			               == 0) {
				n_cookies++;
				break;
			}
			if (len != WG_RESPONSE_LEN || msg[0] != WG_MESSAGE_RESPONSE
			    || wg_noise_response_consume(&peer->identity, &peer->hub, &peer->hs,
			                                 msg, &peer->keys, &peer->remote_index)
			               != WG_NOISE_OK)
				continue;
			peer->counter = 0;
			printf("%llu %u %u\n",
			       (unsigned long long)((base_time_monotonic_ns() - start_ns)
			                            / BASE_NS_PER_MS),
			       n, n_cookies);
			return 0;
		}
		/* The hub takes none within 20 ms of the last, and the timestamp must be newer. */
		(void)poll(NULL, 0, 40);
	}
	return fail("the hub does not answer");
}

/* ---- data ------------------------------------------------------------------------------------------ */

/* Seal inner as the next data message, into peer->last_data. */
static int make_data(struct rawpeer *peer, const uint8_t *inner, size_t len)
{
	uint8_t nonce[12] = {0};
	uint8_t *msg = peer->last_data;
	size_t padded = (len + WG_PAD_MULTIPLE - 1) / WG_PAD_MULTIPLE * WG_PAD_MULTIPLE;

	if (WG_DATA_HEADER_LEN + padded + WG_TAG_LEN > DATAGRAM_MAX)
		return fail("packet too long");
	memset(msg, 0, WG_DATA_HEADER_LEN + padded);
	msg[0] = WG_MESSAGE_DATA;
	base_store_le32(msg + WG_DATA_RECEIVER, peer->remote_index);
	base_store_le64(msg + WG_DATA_COUNTER, peer->counter);
	base_store_le64(nonce + 4, peer->counter++);
	if (len != 0)
		memcpy(msg + WG_DATA_HEADER_LEN, inner, len);
	crypto_aead_chacha20poly1305_ietf_encrypt(msg + WG_DATA_HEADER_LEN, NULL,
	                                          msg + WG_DATA_HEADER_LEN, padded, NULL, 0, NULL,
	                                          nonce, peer->keys.send);
	peer->last_data_len = WG_DATA_HEADER_LEN + padded + WG_TAG_LEN;
	return 0;
}

static int send_data(struct rawpeer *peer, const uint8_t *inner, size_t len)
{
	if (make_data(peer, inner, len) < 0)
		return -1;
	return send_datagram(peer, peer->last_data, peer->last_data_len);
}

/* arg: offset of a byte to flip in a fresh data message of 32 payload bytes. */
static int command_send_flipped(struct rawpeer *peer, const char *arg)
{
	const uint8_t inner[32] = {0x45};
	size_t offset = strtoul(arg, NULL, 10);

	if (make_data(peer, inner, sizeof(inner)) < 0)
		return -1;
	if (offset >= peer->last_data_len)
		return fail("offset must be below 64");
	peer->last_data[offset] ^= 0x40;
	return send_datagram(peer, peer->last_data, peer->last_data_len);
}

static int command_keepalive(struct rawpeer *peer, const char *arg)
{
	(void)arg;
	return send_data(peer, NULL, 0);
}

static int command_handshake(struct rawpeer *peer, const char *arg)
{
	return command_initiate(peer, arg) < 0 || command_response(peer, arg) < 0
	                       || command_keepalive(peer, arg) < 0
	               ? -1
	               : 0;
}

/* arg: hex of any bytes, sealed as they are. */
static int command_send(struct rawpeer *peer, const char *arg)
{
	uint8_t inner[DATAGRAM_MAX];
	size_t len = strlen(arg) / 2;

	if (len > sizeof(inner) || base_hex_decode(inner, len, arg) < 0)
		return fail("takes hex digits");
	return send_data(peer, inner, len);
}

static uint16_t internet_checksum(const uint8_t *bytes, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += base_load_be16(bytes + i);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

#define PING_LEN 48 /* IPv4 20, ICMP 8, data 20 */

/* arg: "SOURCE DESTINATION": an ICMP echo request between two inner IPv4 addresses. */
static int make_ping(uint8_t packet[static PING_LEN], const char *arg)
{
	char source[64], destination[64];
	struct base_ip src, dst;

	if (sscanf(arg, "%63s %63s", source, destination) != 2 || base_ip_parse(source, &src) < 0
	    || base_ip_parse(destination, &dst) < 0 || src.family != BASE_IP_V4
	    || dst.family != BASE_IP_V4)
		return fail("takes \"SOURCE DESTINATION\", IPv4");
	memset(packet, 0, PING_LEN);
	packet[0] = 0x45;
	base_store_be16(packet + 2, PING_LEN);
	packet[8] = 64;
	packet[9] = IPPROTO_ICMP;
	memcpy(packet + 12, src.bytes, 4);
	memcpy(packet + 16, dst.bytes, 4);
	base_store_be16(packet + 10, internet_checksum(packet, 20));
	packet[20] = 8; /* echo request */
	base_store_be16(packet + 24, 0x7765);
	base_store_be16(packet + 22, internet_checksum(packet + 20, PING_LEN - 20));
	return 0;
}

static int command_ping(struct rawpeer *peer, const char *arg)
{
	uint8_t packet[PING_LEN];

	return make_ping(packet, arg) < 0 ? -1 : send_data(peer, packet, PING_LEN);
}

/* As ping, but the inner total length lies: it names more bytes than there are. */
static int command_ping_long(struct rawpeer *peer, const char *arg)
{
	uint8_t packet[PING_LEN];

	if (make_ping(packet, arg) < 0)
		return -1;
	base_store_be16(packet + 2, PING_LEN + 1000);
	base_store_be16(packet + 10, 0);
	base_store_be16(packet + 10, internet_checksum(packet, 20));
	return send_data(peer, packet, PING_LEN);
}

/* Wait for an echo reply through the tunnel; other data is passed over. */
static int command_expect_reply(struct rawpeer *peer, const char *arg)
{
	uint64_t deadline_ns = base_time_monotonic_ns() + WAIT_MS * BASE_NS_PER_MS;

	(void)arg;
	while (base_time_monotonic_ns() < deadline_ns) {
		uint8_t msg[DATAGRAM_MAX], nonce[12] = {0};
		ssize_t len = receive_datagram(peer, msg, WAIT_MS);

		if (len < (ssize_t)WG_DATA_MIN_LEN || msg[0] != WG_MESSAGE_DATA)
			continue;
		if (base_load_le32(msg + WG_DATA_RECEIVER) != peer->local_index)
			return fail("data for another index");
		memcpy(nonce + 4, msg + WG_DATA_COUNTER, 8);
		if (crypto_aead_chacha20poly1305_ietf_decrypt(
			    msg + WG_DATA_HEADER_LEN, NULL, NULL, msg + WG_DATA_HEADER_LEN,
			    (unsigned long long)len - WG_DATA_HEADER_LEN, NULL, 0, nonce,
			    peer->keys.receive)
		    != 0)
			return fail("data does not authenticate");
		if (len > 64 && msg[WG_DATA_HEADER_LEN + 9] == IPPROTO_ICMP
		    && msg[WG_DATA_HEADER_LEN + 20] == 0)
			return 0;
	}
	return fail("no echo reply");
}

static int command_replay_data(struct rawpeer *peer, const char *arg)
{
	(void)arg;
	return send_datagram(peer, peer->last_data, peer->last_data_len);
}

/* arg: offset of a byte to flip in a copy of the last data message. */
static int command_replay_flipped(struct rawpeer *peer, const char *arg)
{
	uint8_t msg[DATAGRAM_MAX];
	size_t offset = strtoul(arg, NULL, 10);

	if (offset >= peer->last_data_len)
		return fail("offset is behind the last data message");
	memcpy(msg, peer->last_data, peer->last_data_len);
	msg[offset] ^= 0x40;
	return send_datagram(peer, msg, peer->last_data_len);
}

/* ---- junk, silence, roaming --------------------------------------------------------------------------- */

/* arg: hex of a whole UDP payload. */
static int command_raw(struct rawpeer *peer, const char *arg)
{
	uint8_t bytes[DATAGRAM_MAX];
	size_t len = strlen(arg) / 2;

	if (len > sizeof(bytes) || base_hex_decode(bytes, len, arg) < 0)
		return fail("takes hex digits");
	return send_datagram(peer, bytes, len);
}

/* arg: "TYPE LEN": a message of this type, zero otherwise. */
static int command_junk(struct rawpeer *peer, const char *arg)
{
	uint8_t bytes[DATAGRAM_MAX] = {0};
	unsigned int type, len;

	if (sscanf(arg, "%u %u", &type, &len) != 2 || len > sizeof(bytes) || type > 255)
		return fail("takes \"TYPE LEN\"");
	if (len != 0)
		bytes[0] = (uint8_t)type;
	return send_datagram(peer, bytes, len);
}

/* arg: milliseconds during which nothing may arrive. */
static int command_silence(struct rawpeer *peer, const char *arg)
{
	uint8_t msg[DATAGRAM_MAX];
	ssize_t len = receive_datagram(peer, msg, atoi(arg));

	return len < 0 ? 0 : fail("the hub answered");
}

static int open_socket(const struct base_endpoint *hub)
{
	struct sockaddr_storage to = {0};
	struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)&to;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)&to;
	socklen_t len = hub->ip.family == BASE_IP_V6 ? sizeof(*v6) : sizeof(*v4);
	int fd;

	if (hub->ip.family == BASE_IP_V6) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(hub->port);
		memcpy(&v6->sin6_addr, hub->ip.bytes, 16);
	} else {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(hub->port);
		memcpy(&v4->sin_addr, hub->ip.bytes, 4);
	}
	fd = socket(to.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&to, len) < 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* arg: the hub's endpoint; a new socket, hence a new source port. */
static int command_roam(struct rawpeer *peer, const char *arg)
{
	struct base_endpoint hub;
	int fd;

	if (base_endpoint_parse(arg, &hub) < 0)
		return fail("takes ADDRESS:PORT");
	fd = open_socket(&hub);
	if (fd < 0)
		return fail(strerror(errno));
	close(peer->fd);
	peer->fd = fd;
	return 0;
}

static const struct {
	const char *name;
	int (*run)(struct rawpeer *peer, const char *arg);
	bool takes_arg;
} commands[] = {
	{"handshake", command_handshake, false},
	{"arrive", command_arrive, false},
	{"initiate", command_initiate, false},
	{"initiate-old", command_initiate_old, true},
	{"initiate-flipped", command_initiate_flipped, true},
	{"initiate-bad-mac1", command_initiate_bad_mac1, false},
	{"initiate-stranger", command_initiate_stranger, false},
	{"replay-initiation", command_replay_initiation, false},
	{"response", command_response, false},
	{"guess", command_guess, false},
	{"keepalive", command_keepalive, false},
	{"send", command_send, true},
	{"send-flipped", command_send_flipped, true},
	{"ping", command_ping, true},
	{"ping-long", command_ping_long, true},
	{"expect-reply", command_expect_reply, false},
	{"replay-data", command_replay_data, false},
	{"replay-flipped", command_replay_flipped, true},
	{"raw", command_raw, true},
	{"junk", command_junk, true},
	{"silence", command_silence, true},
	{"roam", command_roam, true},
};

static int read_key_file(const char *path, uint8_t key[static WG_KEY_LEN])
{
	char text[64] = "";
	FILE *file = fopen(path, "re");
	int ret = -EINVAL;

	if (!file)
		return -errno;
	if (fgets(text, sizeof(text), file)) {
		text[strcspn(text, "\n")] = '\0';
		ret = base_key_from_base64(key, text);
	}
	fclose(file);
	base_wipe(text, sizeof(text));
	return ret;
}

static int run_commands(struct rawpeer *peer, char **argv)
{
	while (*argv) {
		size_t i = 0;

		current_command = *argv++;
		while (i < BASE_ARRAY_LEN(commands)
		       && strcmp(commands[i].name, current_command) != 0)
			i++;
		if (i == BASE_ARRAY_LEN(commands))
			return fail("no such command");
		if (commands[i].takes_arg && !*argv)
			return fail("takes an argument");
		if (commands[i].run(peer, commands[i].takes_arg ? *argv++ : NULL) < 0)
			return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct rawpeer peer = {.fd = -1};
	uint8_t private_key[WG_KEY_LEN] = {0}, hub_key[WG_KEY_LEN] = {0}, psk[WG_KEY_LEN] = {0};
	struct base_endpoint hub = {0};
	int option, bad = 0;

	while ((option = getopt(argc, argv, "+k:p:e:s:")) != -1) {
		switch (option) {
		case 'k':
			bad |= read_key_file(optarg, private_key) < 0;
			break;
		case 'p':
			bad |= base_key_from_base64(hub_key, optarg) < 0;
			break;
		case 'e':
			bad |= base_endpoint_parse(optarg, &hub) < 0;
			break;
		case 's':
			bad |= read_key_file(optarg, psk) < 0;
			break;
		default:
			bad = 1;
		}
	}
	if (bad || hub.port == 0 || sodium_init() < 0) {
		fprintf(stderr, "usage: rawpeer -k KEY_FILE -p HUB_KEY -e ENDPOINT [-s PSK_FILE] "
		                "COMMAND [ARG]...\n");
		return 2;
	}
	wg_noise_identity_init(&peer.identity, private_key);
	wg_cookie_maker_init(&peer.cookies, hub_key);
	peer.fd = open_socket(&hub);
	if (peer.fd < 0 || wg_noise_peer_init(&peer.hub, &peer.identity, hub_key, psk) < 0) {
		fprintf(stderr, "rawpeer: cannot start: %s\n", strerror(errno));
		return 2;
	}

	int ret = run_commands(&peer, argv + optind) < 0 ? 1 : 0;

	close(peer.fd);
	return ret;
}

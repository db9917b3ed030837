/* One handshake with another implementation of WireGuard over loopback, with everything random on
 * our side fixed, so that what happened can be played again byte by byte (tests/vectors/
 * test_handshake.c). The other side is wireguard-go, set up by test_interop.sh.
 *
 *   interop keys                               both sides' keys as shell assignments
 *   interop initiate|respond|cookie LISTEN REMOTE PSK RECORD
 *
 * LISTEN and REMOTE are endpoints on 127.0.0.1, PSK is base64 or "-". Each mode ends with an ICMP
 * echo over the fresh session, sealed by one implementation and opened by the other, and appends
 * one line of JSON to RECORD ("-": none). Exit code 1 and one line when anything does not fit. */
#include "base_bytes.h"
#include "base_ip.h"
#include "base_text.h"
#include "base_time.h"
#include "wg_cookie.h"
#include "wg_key.h"
#include "wg_noise.h"

#include <sodium.h>

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DATAGRAM_MAX 2048
#define WAIT_MS      5000
#define QUIET_MS     100
#define ANSWER_MS    1000U
#define LOCAL_INDEX  0x5a17c0deU
#define PACKET_LEN   32U /* IPv4, ICMP echo, 4 bytes: a multiple of 16 */
#define N_FLOODS     20
#define N_TRIES      20
#define FLOOD        3000 /* wireguard-go asks for cookies from 128 waiting handshakes on */
#define WALL_NS      (UINT64_C(1790000000) * BASE_NS_PER_S)

#define US   "\x0a\x09\x00\x02" /* 10.9.0.2 */
#define THEM "\x0a\x09\x00\x01"

struct interop {
	int fd;
	FILE *record;
	struct wg_noise_identity us, them;
	struct wg_noise_peer peer;
	struct wg_cookie_maker maker;
	uint8_t own_mac1_key[32];
	uint8_t psk[WG_KEY_LEN];
	struct wg_noise_keys keys;
	uint32_t remote_index;
};

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("interop: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

static void fixed(uint8_t out[static 32], uint8_t tag)
{
	for (size_t i = 0; i < 32; i++)
		out[i] = (uint8_t)(tag * 31 + i * 7);
}

/* ---- record -------------------------------------------------------------------------------------- */

static void record_hex(struct interop *run, const char *name, const uint8_t *bytes, size_t len)
{
	char text[2 * DATAGRAM_MAX + 1];

	if (!run->record)
		return;
	base_hex_encode(text, bytes, len);
	fprintf(run->record, ", \"%s\": \"%s\"", name, text);
}

static void record_begin(struct interop *run, const char *mode)
{
	if (!run->record)
		return;
	fprintf(run->record, "{\"mode\": \"%s\", \"local_index\": %u", mode, LOCAL_INDEX);
	record_hex(run, "our_private", run->us.private_key, WG_KEY_LEN);
	record_hex(run, "their_private", run->them.private_key, WG_KEY_LEN);
	record_hex(run, "psk", run->psk, WG_KEY_LEN);
}

/* ---- socket -------------------------------------------------------------------------------------- */

static void open_socket(struct interop *run, const char *listen, const char *remote)
{
	const char *const texts[2] = {listen, remote};
	struct sockaddr_in addresses[2] = {{0}};

	for (int i = 0; i < 2; i++) {
		struct base_endpoint endpoint;

		if (base_endpoint_parse(texts[i], &endpoint) < 0
		    || endpoint.ip.family != BASE_IP_V4)
			die("\"%s\" is not an IPv4 endpoint", texts[i]);
		addresses[i].sin_family = AF_INET;
		addresses[i].sin_port = htons(endpoint.port);
		memcpy(&addresses[i].sin_addr, endpoint.ip.bytes, 4);
	}
	run->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (run->fd < 0
	    || bind(run->fd, (const struct sockaddr *)&addresses[0], sizeof(addresses[0])) < 0
	    || connect(run->fd, (const struct sockaddr *)&addresses[1], sizeof(addresses[1])) < 0)
		die("socket %s -> %s: %s", listen, remote, strerror(errno));
}

static void send_message(struct interop *run, const uint8_t *msg, size_t len)
{
	if (send(run->fd, msg, len, 0) != (ssize_t)len)
		die("send: %s", strerror(errno));
}

/* The next message; 0 when none comes within the time. */
static size_t receive_within(struct interop *run, int ms, uint8_t msg[static DATAGRAM_MAX])
{
	struct pollfd poll_fd = {.fd = run->fd, .events = POLLIN};
	ssize_t n;

	if (poll(&poll_fd, 1, ms) != 1)
		return 0;
	n = recv(run->fd, msg, DATAGRAM_MAX, 0);
	if (n < 0)
		die("recv: %s", strerror(errno));
	if (wg_message_check(msg, (size_t)n) != WG_MESSAGE_OK)
		die("a message of %zd bytes is not WireGuard's", n);
	return (size_t)n;
}

static size_t receive_any(struct interop *run, uint8_t msg[static DATAGRAM_MAX])
{
	size_t len = receive_within(run, WAIT_MS, msg);

	if (len == 0)
		die("no message within %u ms", WAIT_MS);
	return len;
}

/* The next message of this type; others are passed over. */
static size_t receive_message(struct interop *run, uint8_t type, uint8_t msg[static DATAGRAM_MAX])
{
	size_t len;

	do
		len = receive_any(run, msg);
	while (msg[0] != type);
	return len;
}

/* ---- data ---------------------------------------------------------------------------------------- */

static void data_nonce(uint8_t nonce[static 12], const uint8_t *msg)
{
	memset(nonce, 0, 4);
	memcpy(nonce + 4, msg + WG_DATA_COUNTER, 8);
}

static void send_packet(struct interop *run, const uint8_t packet[static PACKET_LEN])
{
	uint8_t msg[WG_DATA_HEADER_LEN + PACKET_LEN + WG_TAG_LEN] = {WG_MESSAGE_DATA};
	uint8_t nonce[12];

	base_store_le32(msg + WG_DATA_RECEIVER, run->remote_index);
	data_nonce(nonce, msg);
	crypto_aead_chacha20poly1305_ietf_encrypt(msg + WG_DATA_HEADER_LEN, NULL, packet,
	                                          PACKET_LEN, NULL, 0, NULL, nonce, run->keys.send);
	send_message(run, msg, sizeof(msg));
}

/* The next data message that is no keepalive; recorded. Returns the length of its packet. */
static size_t receive_packet(struct interop *run, uint8_t packet[static DATAGRAM_MAX])
{
	uint8_t msg[DATAGRAM_MAX];
	uint8_t nonce[12];
	unsigned long long len;
	size_t msg_len;

	do {
		msg_len = receive_message(run, WG_MESSAGE_DATA, msg);
		if (base_load_le32(msg + WG_DATA_RECEIVER) != LOCAL_INDEX)
			die("data for index %u, not ours", base_load_le32(msg + WG_DATA_RECEIVER));
		data_nonce(nonce, msg);
		if (crypto_aead_chacha20poly1305_ietf_decrypt(
			    packet, &len, NULL, msg + WG_DATA_HEADER_LEN,
			    msg_len - WG_DATA_HEADER_LEN, NULL, 0, nonce, run->keys.receive)
		    != 0)
			die("data does not open with the key derived");
	} while (len == 0);
	record_hex(run, "data", msg, msg_len);
	record_hex(run, "plain", packet, len);
	return len;
}

static void store_checksum(uint8_t *at, const uint8_t *bytes, size_t len)
{
	uint32_t sum = 0;

	base_store_be16(at, 0);
	for (size_t i = 0; i < len; i += 2)
		sum += base_load_be16(bytes + i);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	base_store_be16(at, (uint16_t)~sum);
}

/* ICMP echo from us to them; type 8 asks, 0 answers. */
static void make_echo(uint8_t packet[static PACKET_LEN], uint8_t type, const uint8_t *id_and_more)
{
	memset(packet, 0, PACKET_LEN);
	packet[0] = 0x45;
	base_store_be16(packet + 2, PACKET_LEN);
	packet[8] = 64;
	packet[9] = 1;
	memcpy(packet + 12, US, 4);
	memcpy(packet + 16, THEM, 4);
	store_checksum(packet + 10, packet, 20);
	packet[20] = type;
	memcpy(packet + 24, id_and_more, 8);
	store_checksum(packet + 22, packet + 20, PACKET_LEN - 20);
}

static void expect_echo(struct interop *run, uint8_t type, uint8_t packet[static DATAGRAM_MAX])
{
	size_t len = receive_packet(run, packet);

	if (len < PACKET_LEN || packet[0] != 0x45 || packet[9] != 1 || packet[20] != type
	    || memcmp(packet + 12, THEM, 4) != 0 || memcmp(packet + 16, US, 4) != 0)
		die("%zu bytes came that are no ICMP of type %u from them to us", len, type);
}

/* We ask, their kernel answers: both directions of the session. */
static void exchange_echo(struct interop *run)
{
	uint8_t packet[DATAGRAM_MAX];

	make_echo(packet, 8, (const uint8_t *)"weirecho");
	send_packet(run, packet);
	expect_echo(run, 0, packet);
	if (memcmp(packet + 24, "weirecho", 8) != 0)
		die("the echo came back changed");
}

/* ---- modes --------------------------------------------------------------------------------------- */

struct initiation {
	uint8_t ephemeral[WG_KEY_LEN];
	uint8_t timestamp[WG_TIMESTAMP_LEN];
	uint8_t msg[WG_INITIATION_LEN];
	struct wg_noise_handshake hs;
};

static void make_initiation(struct interop *run, uint8_t tag, struct initiation *init)
{
	fixed(init->ephemeral, tag);
	wg_noise_timestamp(init->timestamp, WALL_NS + tag * BASE_NS_PER_S);
	if (wg_noise_initiation_create(&run->us, &run->peer, LOCAL_INDEX, init->ephemeral,
	                               init->timestamp, &init->hs, init->msg)
	    < 0)
		die("cannot make an initiation");
	wg_cookie_stamp(&run->maker, init->msg, WG_INITIATION_LEN, base_time_monotonic_ns());
}

static void record_initiation(struct interop *run, const struct initiation *init)
{
	record_hex(run, "our_ephemeral", init->ephemeral, sizeof(init->ephemeral));
	record_hex(run, "our_timestamp", init->timestamp, sizeof(init->timestamp));
	record_hex(run, "initiation", init->msg, WG_INITIATION_LEN);
}

static void take_response(struct interop *run, struct wg_noise_handshake *hs)
{
	uint8_t msg[DATAGRAM_MAX];

	receive_message(run, WG_MESSAGE_RESPONSE, msg);
	record_hex(run, "response", msg, WG_RESPONSE_LEN);
	if (!wg_cookie_mac1_ok(run->own_mac1_key, msg, WG_RESPONSE_LEN))
		die("mac1 of the response is wrong");
	if (wg_noise_response_consume(&run->us, &run->peer, hs, msg, &run->keys, &run->remote_index)
	    != WG_NOISE_OK)
		die("the response does not fit");
}

static void initiate(struct interop *run)
{
	struct initiation init;

	make_initiation(run, 3, &init);
	record_initiation(run, &init);
	send_message(run, init.msg, sizeof(init.msg));
	take_response(run, &init.hs);
	exchange_echo(run);
}

/* They begin, because somebody pings us through their interface. */
static void respond(struct interop *run)
{
	struct wg_noise_opened opened;
	uint8_t msg[DATAGRAM_MAX], response[WG_RESPONSE_LEN], ephemeral[WG_KEY_LEN];
	uint8_t packet[DATAGRAM_MAX], answer[PACKET_LEN];

	receive_message(run, WG_MESSAGE_INITIATION, msg);
	record_hex(run, "initiation", msg, WG_INITIATION_LEN);
	if (!wg_cookie_mac1_ok(run->own_mac1_key, msg, WG_INITIATION_LEN))
		die("mac1 of the initiation is wrong");
	if (wg_noise_initiation_open(&run->us, msg, &opened) != WG_NOISE_OK
	    || memcmp(opened.static_public, run->them.public_key, WG_KEY_LEN) != 0
	    || wg_noise_initiation_consume(&run->peer, msg, base_time_monotonic_ns(), &opened)
	               != WG_NOISE_OK)
		die("the initiation does not fit");
	run->remote_index = opened.handshake.remote_index;
	fixed(ephemeral, 4);
	if (wg_noise_response_create(&run->peer, &opened.handshake, LOCAL_INDEX, ephemeral,
	                             response, &run->keys)
	    < 0)
		die("cannot make a response");
	wg_cookie_stamp(&run->maker, response, sizeof(response), base_time_monotonic_ns());
	record_hex(run, "our_ephemeral", ephemeral, sizeof(ephemeral));
	record_hex(run, "response", response, sizeof(response));
	send_message(run, response, sizeof(response));

	expect_echo(run, 8, packet);
	/* The ping's own identifier and data, cut to what we carry. */
	make_echo(answer, 0, packet + 24);
	send_packet(run, answer);
}

/* Pass over what comes until they have worked off the flood. */
static void drain(struct interop *run)
{
	struct pollfd poll_fd = {.fd = run->fd, .events = POLLIN};
	uint8_t msg[DATAGRAM_MAX];

	while (poll(&poll_fd, 1, QUIET_MS) == 1)
		if (recv(run->fd, msg, sizeof(msg), 0) < 0)
			die("recv: %s", strerror(errno));
}

/* Floods of one message until something comes back: how many it takes depends on how busy the
 * machine is. */
static void press(struct interop *run, const uint8_t msg[static WG_INITIATION_LEN])
{
	struct pollfd poll_fd = {.fd = run->fd, .events = POLLIN};

	for (int k = 0; k < N_FLOODS; k++) {
		for (int i = 0; i < FLOOD; i++)
			send_message(run, msg, WG_INITIATION_LEN);
		if (poll(&poll_fd, 1, QUIET_MS) == 1)
			return;
	}
}

/* Whether the type comes within ANSWER_MS; the others are passed over, but for end_type, which ends it. */
static bool receive_soon(struct interop *run, uint8_t type, uint8_t end_type,
                         uint8_t msg[static DATAGRAM_MAX])
{
	uint64_t end = base_time_monotonic_ns() + ANSWER_MS * BASE_NS_PER_MS;

	for (;;) {
		uint64_t now = base_time_monotonic_ns();

		if (now >= end
		    || receive_within(run, (int)((end - now) / BASE_NS_PER_MS) + 1, msg) == 0
		    || msg[0] == end_type)
			return false;
		if (msg[0] == type)
			return true;
	}
}

/* A cookie comes for the initiation without its mac2, not a response. wireguard-go is under load for a
 * second after its queue was last long; where working off the flood takes longer than that, it
 * answers after all, and while its queue is full it loses what we send. */
static bool asks_for_cookie(struct interop *run, const struct initiation *init)
{
	uint8_t bare[WG_INITIATION_LEN], msg[DATAGRAM_MAX];

	memcpy(bare, init->msg, sizeof(bare));
	memset(bare + WG_INITIATION_MAC2, 0, WG_MAC_LEN);
	send_message(run, bare, sizeof(bare));
	return receive_soon(run, WG_MESSAGE_COOKIE, WG_MESSAGE_RESPONSE, msg);
}

/* The response to the initiation; one to an earlier, given up one does not fit and is passed over. */
static bool answers(struct interop *run, const struct initiation *init)
{
	uint8_t msg[DATAGRAM_MAX];

	send_message(run, init->msg, sizeof(init->msg));
	while (receive_soon(run, WG_MESSAGE_RESPONSE, 0, msg)) {
		struct wg_noise_handshake hs = init->hs;

		if (!wg_cookie_mac1_ok(run->own_mac1_key, msg, WG_RESPONSE_LEN))
			die("mac1 of the response is wrong");
		if (wg_noise_response_consume(&run->us, &run->peer, &hs, msg, &run->keys,
		                              &run->remote_index)
		    == WG_NOISE_OK) {
			record_hex(run, "response", msg, WG_RESPONSE_LEN);
			return true;
		}
	}
	return false;
}

/* Press them until they ask for a cookie, then knock with it. */
static void cookie(struct interop *run)
{
	struct initiation first, second;
	uint8_t reply[DATAGRAM_MAX];
	uint8_t tag = 5;

	make_initiation(run, tag, &first);
	record_initiation(run, &first);
	for (int k = 0; k == 0 || !receive_soon(run, WG_MESSAGE_COOKIE, 0, reply); k++) {
		if (k == N_TRIES)
			die("pressed %d times, and no cookie came", N_TRIES);
		press(run, first.msg);
	}
	record_hex(run, "cookie_reply", reply, WG_COOKIE_LEN);
	if (base_load_le32(reply + WG_COOKIE_RECEIVER) != LOCAL_INDEX
	    || wg_cookie_reply_consume(&run->maker, reply, base_time_monotonic_ns()) < 0)
		die("the cookie reply does not fit");

	/* Still under load: without mac2 only a cookie comes, with it the response. */
	for (;;) {
		make_initiation(run, ++tag, &second);
		if (base_is_zero_ct(second.msg + WG_INITIATION_MAC2, WG_MAC_LEN))
			die("no mac2 in spite of the cookie");
		drain(run);
		if (asks_for_cookie(run, &second)) {
			if (run->record)
				fprintf(run->record, ", \"second\": {\"local_index\": %u",
				        LOCAL_INDEX);
			record_initiation(run, &second);
			if (answers(run, &second))
				break;
			if (run->record)
				die("the initiation with mac2 was lost: record on a quieter machine");
		}
		if (tag == 5 + N_TRIES)
			die("in %d tries none got a cookie without mac2 and the response with it",
			    N_TRIES);
		press(run, first.msg);
	}
	exchange_echo(run);
	if (run->record)
		fputs("}", run->record);
}

static void print_keys(const struct interop *run)
{
	char us_public[BASE_KEY_BASE64_LEN], them_private[BASE_KEY_BASE64_LEN];
	char psk[BASE_KEY_BASE64_LEN];
	uint8_t psk_bytes[32];

	fixed(psk_bytes, 9);
	base_key_to_base64(us_public, run->us.public_key);
	base_key_to_base64(them_private, run->them.private_key);
	base_key_to_base64(psk, psk_bytes);
	printf("us_public=%s\nthem_private=%s\npsk=%s\n", us_public, them_private, psk);
}

static void make_identities(struct interop *run)
{
	uint8_t key[WG_KEY_LEN];

	fixed(key, 1);
	wg_noise_identity_init(&run->us, key);
	fixed(key, 2);
	wg_noise_identity_init(&run->them, key);
	wg_cookie_mac1_key(run->own_mac1_key, run->us.public_key);
	wg_cookie_maker_init(&run->maker, run->them.public_key);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*play)(struct interop *run);
	} modes[] = {{"initiate", initiate}, {"respond", respond}, {"cookie", cookie}};
	struct interop run = {0};

	if (sodium_init() < 0)
		die("libsodium does not start");
	make_identities(&run);
	if (argc == 2 && strcmp(argv[1], "keys") == 0) {
		print_keys(&run);
		return 0;
	}
	if (argc != 6)
		die("usage: interop keys | interop MODE LISTEN REMOTE PSK RECORD");
	if (strcmp(argv[4], "-") != 0 && base_key_from_base64(run.psk, argv[4]) < 0)
		die("\"%s\" is not a key in base64", argv[4]);
	if (strcmp(argv[5], "-") != 0 && !(run.record = fopen(argv[5], "a")))
		die("%s: %s", argv[5], strerror(errno));
	if (wg_noise_peer_init(&run.peer, &run.us, run.them.public_key, run.psk) < 0)
		die("the peer's key is refused");
	open_socket(&run, argv[2], argv[3]);
	for (size_t i = 0; i < BASE_ARRAY_LEN(modes); i++) {
		if (strcmp(argv[1], modes[i].name) != 0)
			continue;
		record_begin(&run, modes[i].name);
		modes[i].play(&run);
		if (run.record && (fputs("}\n", run.record) < 0 || fclose(run.record) != 0))
			die("%s: %s", argv[5], strerror(errno));
		close(run.fd);
		return 0;
	}
	die("no mode \"%s\"", argv[1]);
}

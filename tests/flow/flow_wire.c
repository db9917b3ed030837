/* Packets as peers make them and as the hub should: inner ones, messages, frames. Made here anew, byte by byte. */
#include "base_bytes.h"
#include "flow.h"

#include <sodium.h>

#include <string.h>

const uint8_t flow_gateway_mac[6] = {0x02, 0xfe, 0, 0, 0, 1};

/* RFC 1071, byte by byte: on purpose not the code under test. */
static uint16_t checksum(uint32_t sum, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static uint32_t put_ip4(uint8_t *out, const uint8_t *source, const uint8_t *destination,
                        uint8_t hop_limit, uint16_t id, uint32_t payload_len)
{
	memset(out, 0, 20);
	out[0] = 0x45;
	base_store_be16(out + 2, (uint16_t)(20 + payload_len));
	base_store_be16(out + 4, id);
	out[8] = hop_limit;
	out[9] = 17;
	memcpy(out + 12, source, 4);
	memcpy(out + 16, destination, 4);
	base_store_be16(out + 10, checksum(0, out, 20));
	return 20;
}

static uint32_t put_ip6(uint8_t *out, const uint8_t *source, const uint8_t *destination,
                        uint8_t hop_limit, uint32_t payload_len)
{
	memset(out, 0, 8);
	out[0] = 0x60;
	base_store_be16(out + 4, (uint16_t)payload_len);
	out[6] = 17;
	out[7] = hop_limit;
	memcpy(out + 8, source, 16);
	memcpy(out + 24, destination, 16);
	return 40;
}

static uint32_t put_udp(uint8_t *out, uint16_t source, uint16_t destination, uint32_t payload_len)
{
	base_store_be16(out, source);
	base_store_be16(out + 2, destination);
	base_store_be16(out + 4, (uint16_t)(8 + payload_len));
	base_store_be16(out + 6, 0);
	return 8;
}

/* Checksum of a UDP datagram behind an IPv6 header. */
static void sum_udp6(uint8_t *ip)
{
	uint32_t len = base_load_be16(ip + 4);
	uint32_t sum = 17 + len;
	uint16_t check;

	for (uint32_t i = 8; i < 40; i += 2)
		sum += base_load_be16(ip + i);
	check = checksum(sum, ip + 40, len);
	base_store_be16(ip + 46, check ? check : 0xffff);
}

uint32_t flow_inner(uint8_t *out, const struct base_ip *source, const struct base_ip *destination,
                    uint8_t hop_limit, uint32_t n_payload)
{
	uint32_t at = source->family == BASE_IP_V4 ? put_ip4(out, source->bytes, destination->bytes,
	                                                     hop_limit, 0x1234, 8 + n_payload)
	                                           : put_ip6(out, source->bytes, destination->bytes,
	                                                     hop_limit, 8 + n_payload);

	at += put_udp(out + at, FLOW_CLIENT, FLOW_SERVICE, n_payload);
	for (uint32_t i = 0; i < n_payload; i++)
		out[at + i] = (uint8_t)(i * 7 + n_payload);
	return at + n_payload;
}

uint32_t flow_inner_between(uint8_t *out, uint32_t from, uint32_t to, uint8_t family,
                            uint32_t n_payload)
{
	struct base_ip source = flow_inner_ip(from, family);
	struct base_ip destination = flow_inner_ip(to, family);

	return flow_inner(out, &source, &destination, 64, n_payload);
}

void flow_hop(uint8_t *inner)
{
	if (inner[0] >> 4 == 6) {
		inner[7]--;
		return;
	}
	inner[8]--;
	base_store_be16(inner + 10, 0);
	base_store_be16(inner + 10, checksum(0, inner, (inner[0] & 15U) * 4));
}

static uint32_t seal(const uint8_t *key, uint32_t index, uint64_t counter, uint8_t *out,
                     const uint8_t *inner, uint32_t len, uint32_t padded)
{
	uint8_t nonce[12] = {0};
	uint8_t plain[FLOW_FRAME_MAX] = {0};

	if (len > 0)
		memcpy(plain, inner, len);
	base_store_le64(nonce + 4, counter);
	base_store_le32(out, WG_MESSAGE_DATA);
	base_store_le32(out + 4, index);
	base_store_le64(out + 8, counter);
	crypto_aead_chacha20poly1305_ietf_encrypt(out + 16, NULL, plain, padded, NULL, 0, NULL,
	                                          nonce, key);
	return 16 + padded + 16;
}

uint32_t flow_seal_at(const struct flow_session *session, uint64_t counter, uint8_t *out,
                      const uint8_t *inner, uint32_t len)
{
	return seal(session->to_hub, session->index, counter, out, inner, len, len);
}

uint32_t flow_seal(struct flow_session *session, uint8_t *out, const uint8_t *inner, uint32_t len)
{
	return seal(session->to_hub, session->index, session->counter++, out, inner, len,
	            (len + 15) / 16 * 16);
}

uint32_t flow_seal_by_hub(const struct flow_session *session, uint64_t counter, uint8_t *out,
                          const uint8_t *inner, uint32_t len)
{
	uint32_t padded = (len + 15) / 16 * 16;

	if (padded > FLOW_TUN_MTU)
		padded = len > FLOW_TUN_MTU ? len : FLOW_TUN_MTU;
	return seal(session->from_hub, session->remote_index, counter, out, inner, len, padded);
}

static void put_ethernet(uint8_t *out, const uint8_t *to, const uint8_t *from, uint8_t family)
{
	memcpy(out, to, 6);
	memcpy(out + 6, from, 6);
	base_store_be16(out + 12, family == BASE_IP_V4 ? 0x0800 : 0x86dd);
}

static uint32_t put_datagram(uint8_t *frame, const struct base_ip *source, uint16_t source_port,
                             const struct base_endpoint *to, uint16_t id, const uint8_t *payload,
                             uint32_t len)
{
	uint8_t *ip = frame + 14;
	uint32_t at = source->family == BASE_IP_V4
	                      ? put_ip4(ip, source->bytes, to->ip.bytes, 64, id, 8 + len)
	                      : put_ip6(ip, source->bytes, to->ip.bytes, 64, 8 + len);

	at += put_udp(ip + at, source_port, to->port, len);
	memcpy(ip + at, payload, len);
	if (source->family == BASE_IP_V6)
		sum_udp6(ip);
	return 14 + at + len;
}

uint32_t flow_frame_to_hub(uint8_t *out, const struct base_endpoint *from, const uint8_t *payload,
                           uint32_t len)
{
	struct base_endpoint to = flow_endpoint(
		from->ip.family == BASE_IP_V4 ? "192.0.2.1:51820" : "[2001:db8::1]:51820");
	uint8_t mac[6];

	flow_mac(0, mac);
	put_ethernet(out, mac, flow_gateway_mac, from->ip.family);
	return put_datagram(out, &from->ip, from->port, &to, 0x4321, payload, len);
}

void flow_public_key(uint8_t out[static WG_KEY_LEN])
{
	memset(out, FLOW_PUBLIC_KEY, WG_KEY_LEN);
}

static uint32_t message_len(uint8_t type)
{
	return type == WG_MESSAGE_INITIATION ? WG_INITIATION_LEN
	       : type == WG_MESSAGE_RESPONSE ? WG_RESPONSE_LEN
	                                     : WG_COOKIE_LEN;
}

uint32_t flow_knock(uint8_t *out, const struct base_endpoint *from, uint8_t type,
                    struct wg_cookie_maker *maker, uint64_t now_ns)
{
	uint8_t message[WG_INITIATION_LEN] = {type};
	uint32_t len = message_len(type);

	for (uint32_t i = 4; i < len; i++)
		message[i] = (uint8_t)i;
	if (type != WG_MESSAGE_COOKIE)
		wg_cookie_stamp(maker, message, len, now_ns);
	return flow_frame_to_hub(out, from, message, len);
}

uint32_t flow_handshake_to_hub(uint8_t *out, const struct base_endpoint *from, uint8_t type,
                               bool good_mac)
{
	struct wg_cookie_maker maker;
	uint8_t public_key[WG_KEY_LEN];
	uint32_t len;

	flow_public_key(public_key);
	wg_cookie_maker_init(&maker, public_key);
	len = flow_knock(out, from, type, &maker, 1);
	if (!good_mac)
		out[len - 32] ^= 1;
	return len;
}

uint32_t flow_frame_from_hub(uint8_t *out, const struct base_endpoint *to, uint16_t id,
                             const uint8_t *payload, uint32_t len)
{
	struct base_ip source = flow_ip(to->ip.family == BASE_IP_V4 ? "192.0.2.1" : "2001:db8::1");
	uint8_t mac[6];

	flow_mac(0, mac);
	put_ethernet(out, flow_gateway_mac, mac, to->ip.family);
	return put_datagram(out, &source, FLOW_PORT, to, id, payload, len);
}

void flow_mend_sum(uint8_t *frame)
{
	uint8_t *ip = frame + 14;

	base_store_be16(ip + 10, 0);
	base_store_be16(ip + 10, checksum(0, ip, (ip[0] & 15U) * 4));
}

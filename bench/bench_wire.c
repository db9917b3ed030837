#include "bench_wire.h"

#include "path_sum.h"

struct base_ip bench_wire_ip(uint32_t address)
{
	uint8_t bytes[4];

	base_store_be32(bytes, address);
	return base_ip_make(BASE_IP_V4, bytes);
}

void bench_wire_ip4(uint8_t *ip, uint32_t len, uint32_t source, uint32_t destination)
{
	memset(ip, 0, BENCH_WIRE_IP4_LEN);
	ip[0] = 0x45;
	base_store_be16(ip + 2, (uint16_t)len);
	ip[8] = BENCH_WIRE_TTL;
	ip[9] = 17;
	base_store_be32(ip + 12, source);
	base_store_be32(ip + 16, destination);
	base_store_be16(ip + 10, (uint16_t)~path_sum_fold(path_sum_add(0, ip, BENCH_WIRE_IP4_LEN)));
}

void bench_wire_ports(uint8_t *ip)
{
	base_store_be16(ip + BENCH_WIRE_IP4_LEN, 40000);
	base_store_be16(ip + BENCH_WIRE_IP4_LEN + 2, 2000);
}

uint32_t bench_wire_padded(uint32_t len)
{
	uint32_t up = (len + 15U) & ~15U;

	return up < BENCH_WIRE_MTU ? up : BENCH_WIRE_MTU;
}

uint32_t bench_wire_frame(uint8_t *frame, uint32_t peer, uint32_t len)
{
	uint8_t *udp = frame + BENCH_WIRE_ETHER_LEN + BENCH_WIRE_IP4_LEN;
	uint32_t udp_len = BENCH_WIRE_UDP_LEN + len;

	memset(frame, 0, BENCH_WIRE_ETHER_LEN);
	base_store_be16(frame + 12, 0x0800);
	bench_wire_ip4(frame + BENCH_WIRE_ETHER_LEN, BENCH_WIRE_IP4_LEN + udp_len,
	               BENCH_WIRE_OUTER + peer, BENCH_WIRE_HUB);
	base_store_be16(udp, BENCH_WIRE_PEER_PORT);
	base_store_be16(udp + 2, BENCH_WIRE_PORT);
	base_store_be16(udp + 4, (uint16_t)udp_len);
	base_store_be16(udp + 6, 0);
	return BENCH_WIRE_MESSAGE + len;
}

/* hub.clamp_mss: TCP opens with segments that fit the tunnel (SYN and SYN with ACK, both ways), for those who
 * lose the ICMP that would tell them (path/too_big.c). The checksum is mended by the difference (RFC 1624). What
 * extension headers of IPv6 hide is left alone. */
#include "path.h"
#include "path_inner.h"

#define PROTO_TCP      6U
#define TCP_LEN        20U
#define TCP_SYN        0x02U
#define OPTION_END     0U
#define OPTION_NOP     1U
#define OPTION_MSS     2U
#define OPTION_MSS_LEN 4U
#define FRAGMENT_AT    0x1fffU

/* The TCP header of a packet that opens, of which *len bytes are there, or NULL. */
static uint8_t *tcp_opening(const struct path_pkt *p, uint32_t *len)
{
	bool v4 = path_inner_version(p) == 4;
	uint32_t header_len = v4 ? (p->data[0] & 0x0fU) * 4U : PATH_INNER_V6_LEN;
	uint8_t *tcp = p->data + header_len;
	uint32_t tcp_len;

	if (p->data[v4 ? 9 : 6] != PROTO_TCP || p->len < header_len + TCP_LEN)
		return NULL;
	if (v4 && (base_load_be16(p->data + 6) & FRAGMENT_AT) != 0)
		return NULL;
	tcp_len = (uint32_t)(tcp[12] >> 4) * 4;
	if ((tcp[13] & TCP_SYN) == 0 || tcp_len < TCP_LEN || tcp_len > p->len - header_len)
		return NULL;
	*len = tcp_len;
	return tcp;
}

/* Offset of the MSS in the header, or 0: there is none. */
static uint32_t find_mss(const uint8_t *tcp, uint32_t len)
{
	uint32_t at = TCP_LEN;

	while (at < len && tcp[at] != OPTION_END) {
		uint32_t left = len - at;

		if (tcp[at] == OPTION_NOP) {
			at++;
			continue;
		}
		if (left < 2 || tcp[at + 1] < 2 || tcp[at + 1] > left)
			return 0;
		if (tcp[at] == OPTION_MSS)
			return tcp[at + 1] == OPTION_MSS_LEN ? at + 2 : 0;
		at += tcp[at + 1];
	}
	return 0;
}

/* As the sum sees a word at this offset: one that begins at an odd one lies in two words, its halves swapped. */
static uint16_t as_summed(uint16_t word, uint32_t at)
{
	return at % 2 ? __builtin_bswap16(word) : word;
}

static void clamp(struct state *st, struct path_pkt *p)
{
	uint32_t overhead = path_inner_version(p) == 4 ? PATH_INNER_V4_MIN : PATH_INNER_V6_LEN;
	uint16_t most = (uint16_t)(st->hub.tunnel_mtu - overhead - TCP_LEN);
	uint32_t len = 0;
	uint8_t *tcp = tcp_opening(p, &len);
	uint32_t at = tcp ? find_mss(tcp, len) : 0;
	uint32_t sum;

	if (at == 0 || base_load_be16(tcp + at) <= most)
		return;
	sum = (uint16_t)~base_load_be16(tcp + 16);
	sum += (uint16_t)~as_summed(base_load_be16(tcp + at), at);
	sum += as_summed(most, at);
	base_store_be16(tcp + at, most);
	base_store_be16(tcp + 16, (uint16_t)~path_sum_fold(sum));
	state_count(st, ABI_COUNTER_MSS_CLAMPED, 1);
}

void clamp_mss(struct state *st, struct path_burst *b)
{
	for (uint32_t i = 0; i < b->n; i++)
		clamp(st, &b->pkt[i]);
}

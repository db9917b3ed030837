#include "port_gso.h"
#include "test.h"
#include "test_packet.h"

#include <errno.h>
#include <stdlib.h>

#define FIN 0x01
#define PSH 0x08
#define ACK 0x10
#define CWR 0x80

static uint8_t super[TEST_PACKET_MAX], segment[TEST_PACKET_MAX], wanted[TEST_PACKET_MAX];

/* As the kernel leaves it: the transport checksum field holds the pseudo header's sum. */
static struct virtio_net_hdr make_partial(uint8_t *packet, uint32_t l3, uint32_t l4, uint32_t len,
                                          uint16_t offset)
{
	uint32_t sum = test_transport_sum(packet, l3, l4, l4) + len - l4;

	base_store_be16(packet + l4 + offset, (uint16_t)((sum & 0xffff) + (sum >> 16)));
	return (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
	                               .csum_start = (uint16_t)l4,
	                               .csum_offset = offset};
}

static struct virtio_net_hdr make_super(const struct test_packet *p, uint16_t gso_size,
                                        uint32_t *len)
{
	struct virtio_net_hdr vnet;
	uint32_t l4;

	*len = test_packet_build(p, super, &l4);
	vnet = make_partial(super, p->l3, l4, *len, p->protocol == IPPROTO_UDP ? 6 : 16);
	vnet.gso_size = gso_size;
	vnet.gso_type = p->protocol == IPPROTO_UDP ? VIRTIO_NET_HDR_GSO_UDP_L4
	                : p->version == 4          ? VIRTIO_NET_HDR_GSO_TCPV4
	                                           : VIRTIO_NET_HDR_GSO_TCPV6;
	return vnet;
}

/* Each segment of p must be, byte for byte, the packet that test_packet_build() makes of it. */
static void check_cut(const struct test_packet *p, uint16_t gso_size)
{
	struct port_gso gso;
	struct test_packet piece = *p;
	uint32_t len, l4, n = 0;
	struct virtio_net_hdr vnet = make_super(p, gso_size, &len);

	assert_int_equal(port_gso_begin(&gso, &vnet, super, len, p->l3), 0);
	assert_int_equal(gso.n_segments, (p->payload + gso_size - 1) / gso_size);
	for (uint32_t at = 0; at < p->payload; at += gso_size, n++) {
		uint32_t segment_len = port_gso_next(&gso, segment), wanted_len;
		bool last = p->payload - at <= gso_size;

		piece.payload = last ? p->payload - at : gso_size;
		piece.id = (uint16_t)(p->id + n);
		piece.seq = p->seq + at;
		piece.flags = p->flags;
		if (!last)
			piece.flags &= (uint8_t) ~(FIN | PSH);
		if (n > 0)
			piece.flags &= (uint8_t)~CWR;
		wanted_len = test_packet_build(&piece, wanted, &l4);
		assert_true(segment_len <= gso.segment_max);
		assert_int_equal(segment_len, wanted_len);
		assert_memory_equal(segment, wanted, wanted_len);
	}
	assert_int_equal(n, gso.n_segments);
	assert_int_equal(port_gso_next(&gso, segment), 0);
}

static void gso_cuts_tcp_into_the_packets_it_stands_for(void **state)
{
	static const uint32_t payloads[] = {1, 99, 100, 101, 199, 200, 1000, 60000};

	(void)state;
	for (uint32_t i = 0; i < BASE_ARRAY_LEN(payloads); i++) {
		for (uint32_t v = 4; v <= 6; v += 2) {
			for (uint32_t l3 = 0; l3 <= 14; l3 += 14) {
				struct test_packet p = test_packet_tcp((uint8_t)v, l3);

				p.payload = payloads[i];
				check_cut(&p, 100);
				check_cut(&p, 1368);
				p.stamp = 0;
				check_cut(&p, 1381);
			}
		}
	}
}

static void gso_gives_fin_and_psh_to_the_last_and_cwr_to_the_first(void **state)
{
	struct test_packet p = test_packet_tcp(4, 0);

	(void)state;
	p.payload = 350;
	p.flags = ACK | FIN | PSH | CWR;
	check_cut(&p, 100);
}

static void gso_wraps_sequence_and_identification(void **state)
{
	struct test_packet p = test_packet_tcp(4, 0);

	(void)state;
	p.payload = 1000;
	p.seq = 0xffffff80;
	p.id = 0xfffe;
	check_cut(&p, 100);
}

static void gso_keeps_ipv4_options(void **state)
{
	struct test_packet p = test_packet_tcp(4, 14);

	(void)state;
	p.ip_option = 1;
	p.payload = 1000;
	check_cut(&p, 100);
}

/* UDP contents do not follow from seq, so compare what matters by hand. */
static void gso_cuts_udp_with_complete_headers(void **state)
{
	(void)state;
	for (uint32_t v = 4; v <= 6; v += 2) {
		struct test_packet p = test_packet_tcp((uint8_t)v, 0);
		struct virtio_net_hdr vnet;
		struct port_gso gso;
		uint32_t len, l4 = v == 4 ? 20 : 40, at = 0, n;

		p.protocol = IPPROTO_UDP;
		p.payload = 2500;
		vnet = make_super(&p, 1200, &len);
		assert_int_equal(port_gso_begin(&gso, &vnet, super, len, 0), 0);
		assert_int_equal(gso.n_segments, 3);
		while ((n = port_gso_next(&gso, segment)) != 0) {
			assert_int_equal(base_load_be16(segment + l4 + 4), n - l4);
			assert_int_equal(test_transport_sum(segment, 0, l4, n), 0xffff);
			assert_memory_equal(segment + l4 + 8, super + l4 + 8 + at, n - l4 - 8);
			at += n - l4 - 8;
		}
		assert_int_equal(at, 2500);
	}
}

static void gso_completes_the_checksum_of_a_whole_packet(void **state)
{
	(void)state;
	for (uint32_t l3 = 0; l3 <= 14; l3 += 14) {
		for (uint32_t payload = 0; payload < 70; payload++) {
			struct test_packet p = test_packet_tcp(payload % 2 ? 4 : 6, l3);
			struct port_gso gso;
			struct virtio_net_hdr vnet;
			uint32_t len, l4;

			p.payload = payload;
			len = test_packet_build(&p, super, &l4);
			memcpy(wanted, super, len);
			vnet = make_partial(super, l3, l4, len, 16);
			assert_int_equal(port_gso_begin(&gso, &vnet, super, len, l3), 0);
			assert_int_equal(port_gso_next(&gso, segment), len);
			assert_memory_equal(segment, wanted, len);
			assert_int_equal(port_gso_next(&gso, segment), 0);
		}
	}
}

static void gso_passes_a_packet_that_needs_nothing(void **state)
{
	struct virtio_net_hdr vnet = {0};
	struct port_gso gso;

	(void)state;
	memset(super, 0x5a, 60);
	assert_int_equal(port_gso_begin(&gso, &vnet, super, 60, 14), 0);
	assert_int_equal(gso.n_segments, 1);
	assert_int_equal(port_gso_next(&gso, segment), 60);
	assert_memory_equal(segment, super, 60);
}

static void gso_refuses_what_does_not_fit_together(void **state)
{
	struct test_packet p = test_packet_tcp(4, 0);
	struct virtio_net_hdr good, bad;
	struct port_gso gso;
	uint32_t len;

	(void)state;
	p.payload = 3000;
	good = make_super(&p, 1000, &len);
	assert_int_equal(port_gso_begin(&gso, &good, super, len, 0), 0);

	/* 1 */ assert_int_equal(port_gso_begin(&gso, &good, super, 0, 0), -EPROTO);
	/* 2: every truncation inside the headers */
	for (uint32_t i = 1; i <= 52; i++)
		assert_int_equal(port_gso_begin(&gso, &good, super, i, 0), -EPROTO);
	bad = good;
	bad.gso_size = 0;
	/* 3 */ assert_int_equal(port_gso_begin(&gso, &bad, super, len, 0), -EPROTO);
	bad.gso_size = 2;
	/* 4 */ assert_int_equal(port_gso_begin(&gso, &bad, super, len, 0), -EPROTO);
	bad = good;
	bad.gso_type = VIRTIO_NET_HDR_GSO_TCPV6;
	/* 5 */ assert_int_equal(port_gso_begin(&gso, &bad, super, len, 0), -EPROTO);
	bad.gso_type = VIRTIO_NET_HDR_GSO_UDP;
	/* 6 */ assert_int_equal(port_gso_begin(&gso, &bad, super, len, 0), -EPROTO);
	bad.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
	/* 7 */ assert_int_equal(port_gso_begin(&gso, &bad, super, len, 0), -EPROTO);
	super[6] |= 0x20;
	/* 8: a fragment */
	assert_int_equal(port_gso_begin(&gso, &good, super, len, 0), -EPROTO);
	super[6] &= (uint8_t)~0x20;
	super[20 + 12] = 0x40;
	/* 9: TCP header too short */
	assert_int_equal(port_gso_begin(&gso, &good, super, len, 0), -EPROTO);
	bad = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
	                              .csum_start = (uint16_t)(len - 17),
	                              .csum_offset = 16};
	/* 10: checksum field behind the end */
	assert_int_equal(port_gso_begin(&gso, &bad, super, len, 0), -EPROTO);
	bad.csum_start = 0;
	/* 11 */ assert_int_equal(port_gso_begin(&gso, &bad, super, len, 0), -EPROTO);
	bad.csum_start = bad.csum_offset = UINT16_MAX;
	/* 12 */ assert_int_equal(port_gso_begin(&gso, &bad, super, len, 0), -EPROTO);
}

static void gso_survives_random_headers(void **state)
{
	struct test_random random = test_random_start();

	(void)state;
	for (int round = 0; round < 20000; round++) {
		uint32_t len = 1 + (uint32_t)test_random_below(&random, 300), n, total = 0;
		uint32_t l3 = test_random_next(&random) % 2 ? 14 : 0;
		struct virtio_net_hdr vnet;
		struct port_gso gso;
		uint8_t *packet = malloc(len), *out; /* exact, for ASan */

		test_random_bytes(&random, packet, len);
		if (len > l3)
			packet[l3] = test_random_next(&random) % 2 ? 0x45 : 0x60;
		if (len > l3 + 9) {
			packet[l3 + 6] = test_random_next(&random) % 2 ? 0 : IPPROTO_TCP;
			packet[l3 + 7] = 0;
			packet[l3 + 9] = IPPROTO_TCP;
		}
		if (l3 == 14 && len > 14)
			base_store_be16(packet + 12, packet[14] == 0x45 ? 0x0800 : 0x86dd);
		test_random_bytes(&random, (uint8_t *)&vnet, sizeof(vnet));
		vnet.gso_type %= 6;
		vnet.csum_start %= 128;
		vnet.csum_offset %= 32;
		vnet.gso_size %= 64;
		if (port_gso_begin(&gso, &vnet, packet, len, l3) == 0) {
			out = malloc(gso.segment_max);
			while ((n = port_gso_next(&gso, out)) != 0) {
				assert_true(n <= gso.segment_max);
				total++;
			}
			assert_int_equal(total, gso.n_segments);
			free(out);
		}
		free(packet);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gso_cuts_tcp_into_the_packets_it_stands_for),
		cmocka_unit_test(gso_gives_fin_and_psh_to_the_last_and_cwr_to_the_first),
		cmocka_unit_test(gso_wraps_sequence_and_identification),
		cmocka_unit_test(gso_keeps_ipv4_options),
		cmocka_unit_test(gso_cuts_udp_with_complete_headers),
		cmocka_unit_test(gso_completes_the_checksum_of_a_whole_packet),
		cmocka_unit_test(gso_passes_a_packet_that_needs_nothing),
		cmocka_unit_test(gso_refuses_what_does_not_fit_together),
		cmocka_unit_test(gso_survives_random_headers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "port_gro.h"
#include "port_gso.h"
#include "test.h"
#include "test_packet.h"

#define PACKET_MAX 2200

static uint8_t packets[PORT_GRO_BURST][PACKET_MAX];
static uint32_t lens[PORT_GRO_BURST];
static struct port_gro gro;

static void add(uint32_t i, const struct test_packet *p)
{
	uint32_t l4;

	lens[i] = test_packet_build(p, packets[i], &l4);
	port_gro_add(&gro, packets[i], lens[i]);
}

/* The packet that comes after p in its flow. */
static struct test_packet following(const struct test_packet *p)
{
	struct test_packet next = *p;

	next.seq += p->payload;
	next.id++;
	return next;
}

/* Copy write i into one buffer, virtio header apart. Returns its length. */
static uint32_t gather(uint32_t i, struct virtio_net_hdr *vnet, uint8_t *out, uint32_t *n_packets)
{
	struct iovec iov[PORT_GRO_IOV];
	uint32_t n = port_gro_write_iov(&gro, i, iov, n_packets), at = 0;

	assert_in_range(n, 2, PORT_GRO_IOV);
	assert_int_equal(iov[0].iov_len, sizeof(*vnet));
	memcpy(vnet, iov[0].iov_base, sizeof(*vnet));
	for (uint32_t k = 1; k < n; k++) {
		memcpy(out + at, iov[k].iov_base, iov[k].iov_len);
		at += (uint32_t)iov[k].iov_len;
	}
	return at;
}

static void gro_joins_a_run_into_one_write(void **state)
{
	(void)state;
	for (uint32_t v = 4; v <= 6; v += 2) {
		for (uint32_t l3 = 0; l3 <= 14; l3 += 14) {
			struct test_packet p = test_packet_tcp((uint8_t)v, l3);
			static uint8_t out[TEST_PACKET_MAX];
			struct virtio_net_hdr vnet;
			uint32_t len, n, l4 = l3 + (v == 4 ? 20 : 40);

			port_gro_begin(&gro, l3, l3 == 0);
			for (uint32_t i = 0; i < 10; i++, p = following(&p)) {
				if (i == 9) {
					p.payload = 50;
					p.flags |= 0x08;
				}
				add(i, &p);
			}
			assert_int_equal(gro.n_writes, 1);
			len = gather(0, &vnet, out, &n);
			assert_int_equal(n, 10);
			assert_int_equal(len, l4 + 32 + 950);
			assert_int_equal(vnet.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
			assert_int_equal(vnet.gso_type, v == 4 ? VIRTIO_NET_HDR_GSO_TCPV4
			                                       : VIRTIO_NET_HDR_GSO_TCPV6);
			assert_int_equal(vnet.gso_size, 100);
			assert_int_equal(vnet.hdr_len, l4 + 32);
			assert_int_equal(vnet.csum_start, l4);
			assert_int_equal(vnet.csum_offset, 16);
			assert_int_equal(out[l4 + 13], 0x18);
			/* the field holds the pseudo header's sum: complete it as the kernel would */
			base_store_be16(out + l4 + 16,
			                (uint16_t)~test_sum_bytes(0, out + l4, len - l4));
			assert_int_equal(test_transport_sum(out, l3, l4, len), 0xffff);
			if (v == 4)
				assert_int_equal(test_sum_bytes(0, out + l3, 20), 0xffff);
		}
	}
}

/* One difference in the second packet, each enough to keep it apart. */
struct apart {
	const char *what;
	void (*change)(struct test_packet *p);
	int version;       /* 0 = both */
	int l3;            /* -1 = both */
	int authenticated; /* -1 = both */
};

#define CHANGE(name, code)                                                                         \
	static void change_##name(struct test_packet *p)                                           \
	{                                                                                          \
		code;                                                                              \
	}
CHANGE(tos, p->tos = 4)
CHANGE(ecn, p->tos = 3)
CHANGE(ttl, p->ttl = 63)
CHANGE(df, p->fragment = 0)
CHANGE(mf, p->fragment = 0x6000)
CHANGE(id_gap, p->id++)
CHANGE(label, p->label = 5)
CHANGE(host, p->host = 3)
CHANGE(mac, p->mac = 3)
CHANGE(sport, p->sport++)
CHANGE(seq_gap, p->seq++)
CHANGE(seq_back, p->seq--)
CHANGE(ack, p->ack++)
CHANGE(window, p->window++)
CHANGE(urgent, p->urgent = 1)
CHANGE(stamp, p->stamp++)
CHANGE(no_stamp, p->stamp = 0)
CHANGE(syn, p->flags = 0x02)
CHANGE(synack, p->flags = 0x12)
CHANGE(fin, p->flags = 0x11)
CHANGE(rst, p->flags = 0x14)
CHANGE(urg, p->flags = 0x30)
CHANGE(ece, p->flags = 0x50)
CHANGE(cwr, p->flags = 0x90)
CHANGE(no_ack, p->flags = 0)
CHANGE(ae, p->reserved = 1)
CHANGE(longer, p->payload = 101)
CHANGE(empty, p->payload = 0)
CHANGE(option, p->ip_option = 1)
CHANGE(padding, p->padding = 6)
CHANGE(ip_sum, p->bad_ip_sum = true)
CHANGE(tcp_sum, p->bad_sum = true)
CHANGE(udp, p->protocol = IPPROTO_UDP)

static const struct apart apart[] = {
	{"TOS", change_tos, 0, -1, -1},
	{"ECN mark", change_ecn, 0, -1, -1},
	{"TTL", change_ttl, 0, -1, -1},
	{"DF", change_df, 4, -1, -1},
	{"fragment", change_mf, 4, -1, -1},
	{"identification jumps", change_id_gap, 4, -1, -1},
	{"flow label", change_label, 6, -1, -1},
	{"address", change_host, 0, -1, -1},
	{"source MAC", change_mac, 0, 14, -1},
	{"port", change_sport, 0, -1, -1},
	{"gap in sequence", change_seq_gap, 0, -1, -1},
	{"sequence goes back", change_seq_back, 0, -1, -1},
	{"acknowledgement", change_ack, 0, -1, -1},
	{"window", change_window, 0, -1, -1},
	{"urgent pointer", change_urgent, 0, -1, -1},
	{"timestamp", change_stamp, 0, -1, -1},
	{"options gone", change_no_stamp, 0, -1, -1},
	{"SYN", change_syn, 0, -1, -1},
	{"SYN ACK", change_synack, 0, -1, -1},
	{"FIN", change_fin, 0, -1, -1},
	{"RST", change_rst, 0, -1, -1},
	{"URG", change_urg, 0, -1, -1},
	{"ECE", change_ece, 0, -1, -1},
	{"CWR", change_cwr, 0, -1, -1},
	{"no ACK", change_no_ack, 0, -1, -1},
	{"reserved bit", change_ae, 0, -1, -1},
	{"longer than the first", change_longer, 0, -1, -1},
	{"no payload", change_empty, 0, -1, -1},
	{"IPv4 option", change_option, 4, -1, -1},
	{"Ethernet padding", change_padding, 0, -1, -1},
	{"IPv4 header checksum", change_ip_sum, 4, -1, -1},
	{"TCP checksum, from the WAN", change_tcp_sum, 0, -1, 0},
	{"UDP", change_udp, 0, -1, -1},
};

/* Either packet may carry the difference: changed second, then changed first. */
static void check_apart(const struct apart *c, uint8_t version, uint32_t l3, bool authenticated)
{
	struct test_packet a = test_packet_tcp(version, l3), b = following(&a);

	c->change(&b);
	port_gro_begin(&gro, l3, authenticated);
	add(0, &a);
	add(1, &b);
	if (gro.n_writes != 2)
		fail_msg("%s (second, IPv%u, l3 %u): joined", c->what, version, l3);

	/* Which of the two is the longer or comes first does not matter to these. */
	if (c->change == change_longer || c->change == change_seq_gap
	    || c->change == change_seq_back || c->change == change_id_gap)
		return;
	a = test_packet_tcp(version, l3);
	c->change(&a);
	b = test_packet_tcp(version, l3);
	b.seq = a.seq + a.payload;
	b.id = (uint16_t)(a.id + 1);
	port_gro_begin(&gro, l3, authenticated);
	add(0, &a);
	add(1, &b);
	if (gro.n_writes != 2)
		fail_msg("%s (first, IPv%u, l3 %u): joined", c->what, version, l3);
}

static void gro_keeps_apart_what_differs(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < BASE_ARRAY_LEN(apart); i++) {
		const struct apart *c = &apart[i];

		for (int v = 4; v <= 6; v += 2)
			for (int l3 = 0; l3 <= 14; l3 += 14)
				for (int auth = 0; auth <= 1; auth++)
					if ((c->version == 0 || c->version == v)
					    && (c->l3 < 0 || c->l3 == l3)
					    && (c->authenticated < 0 || c->authenticated == auth))
						check_apart(c, (uint8_t)v, (uint32_t)l3, auth != 0);
	}
}

/* What may not be joined even when both packets have it. */
static void gro_never_joins_these(void **state)
{
	static void (*const changes[])(struct test_packet *) = {
		change_mf,  change_syn,   change_synack, change_fin,    change_rst,
		change_urg, change_ece,   change_cwr,    change_no_ack, change_ae,
		change_udp, change_empty, change_option, change_ip_sum, change_padding,
	};

	(void)state;
	for (uint32_t i = 0; i < BASE_ARRAY_LEN(changes); i++) {
		struct test_packet a = test_packet_tcp(4, 0), b;

		changes[i](&a);
		b = following(&a);
		port_gro_begin(&gro, 0, true);
		add(0, &a);
		add(1, &b);
		if (gro.n_writes != 2)
			fail_msg("case %u joined", i);
	}
}

static void gro_ends_a_run_at_psh_and_at_a_short_packet(void **state)
{
	(void)state;
	for (int psh = 0; psh <= 1; psh++) {
		struct test_packet p = test_packet_tcp(4, 0);

		port_gro_begin(&gro, 0, true);
		add(0, &p);
		p = following(&p);
		if (psh)
			p.flags |= 0x08;
		else
			p.payload = 99;
		add(1, &p);
		p = following(&p);
		p.flags = 0x10;
		p.payload = 99;
		add(2, &p);
		assert_int_equal(gro.n_writes, 2);
	}
}

static void gro_does_not_overtake_within_a_flow(void **state)
{
	struct test_packet a = test_packet_tcp(4, 0), b = following(&a), c = following(&b);
	static uint8_t out[TEST_PACKET_MAX];
	struct virtio_net_hdr vnet;
	uint32_t n;

	(void)state;
	/* a, then an acknowledgement that may not merge, then b, c: b must not join a. */
	port_gro_begin(&gro, 0, true);
	add(0, &a);
	a.payload = 0;
	a.ack++;
	add(1, &a);
	add(2, &b);
	add(3, &c);
	assert_int_equal(gro.n_writes, 3);
	gather(2, &vnet, out, &n);
	assert_int_equal(n, 2);
}

static void gro_joins_interleaved_flows(void **state)
{
	struct test_packet p[4];

	(void)state;
	port_gro_begin(&gro, 0, true);
	for (uint16_t f = 0; f < 4; f++) {
		p[f] = test_packet_tcp(f % 2 ? 4 : 6, 0);
		p[f].sport = (uint16_t)(p[f].sport + f / 2);
	}
	for (uint32_t i = 0; i < PORT_GRO_BURST; i++) {
		add(i, &p[i % 4]);
		p[i % 4] = following(&p[i % 4]);
	}
	assert_int_equal(gro.n_writes, 4);
}

static void gro_stays_below_64_kilobytes(void **state)
{
	struct test_packet p = test_packet_tcp(4, 0);
	static uint8_t out[TEST_PACKET_MAX];
	struct virtio_net_hdr vnet;
	uint32_t n, total = 0;

	(void)state;
	p.payload = 1400;
	port_gro_begin(&gro, 0, true);
	for (uint32_t i = 0; i < PORT_GRO_BURST; i++, p = following(&p))
		add(i, &p);
	assert_int_equal(gro.n_writes, 2);
	for (uint32_t i = 0; i < gro.n_writes; i++) {
		assert_true(gather(i, &vnet, out, &n) <= 65535);
		total += n;
	}
	assert_int_equal(total, PORT_GRO_BURST);
}

static void gro_takes_constant_identification_with_df_only(void **state)
{
	(void)state;
	for (uint16_t df = 0; df <= 1; df++) {
		struct test_packet p = test_packet_tcp(4, 0);

		p.fragment = df ? 0x4000 : 0;
		port_gro_begin(&gro, 0, true);
		for (uint32_t i = 0; i < 3; i++) {
			add(i, &p);
			p.seq += p.payload;
		}
		assert_int_equal(gro.n_writes, df ? 1 : 3);
	}
}

static void gro_vouches_for_tunnel_packets_only(void **state)
{
	struct test_packet p = test_packet_tcp(4, 0);
	static uint8_t out[TEST_PACKET_MAX];
	struct virtio_net_hdr vnet;
	uint32_t n;

	(void)state;
	port_gro_begin(&gro, 0, true);
	add(0, &p);
	gather(0, &vnet, out, &n);
	assert_int_equal(vnet.flags, VIRTIO_NET_HDR_F_DATA_VALID);
	assert_int_equal(vnet.gso_type, VIRTIO_NET_HDR_GSO_NONE);
	p.l3 = 14;
	port_gro_begin(&gro, 14, false);
	add(0, &p);
	gather(0, &vnet, out, &n);
	assert_int_equal(vnet.flags, 0);
}

static void gro_leaves_a_wrong_checksum_for_the_kernel_to_see(void **state)
{
	struct test_packet p = test_packet_tcp(4, 14);
	static uint8_t out[TEST_PACKET_MAX];
	struct virtio_net_hdr vnet;
	uint32_t n, len;

	(void)state;
	p.bad_sum = true;
	port_gro_begin(&gro, 14, false);
	for (uint32_t i = 0; i < 3; i++, p = following(&p))
		add(i, &p);
	assert_int_equal(gro.n_writes, 3);
	len = gather(1, &vnet, out, &n);
	assert_int_equal(len, lens[1]);
	assert_memory_equal(out, packets[1], len);
}

/* A packet of one of a few flows, mostly the next one in order, sometimes with a surprise. */
static void random_packet(struct test_random *random, struct test_packet *flows, uint32_t n_flows,
                          struct test_packet *out)
{
	struct test_packet *flow = &flows[test_random_below(random, n_flows)];

	*out = *flow;
	if (test_random_below(random, 8) == 0)
		out->payload = (uint32_t)test_random_below(random, 300);
	if (test_random_below(random, 10) == 0)
		out->flags |= 0x08;
	*flow = following(out);
	flow->payload = 100 + 100 * (out->sport % 2);
	flow->flags = 0x10;
	if (test_random_below(random, 10) == 0)
		apart[test_random_below(random, BASE_ARRAY_LEN(apart))].change(out);
	if (out->protocol != IPPROTO_TCP)
		out->stamp = 0;
}

/* Cut write i and compare with the packets of the burst that it stands for; mark them. */
static void check_cut(uint32_t i, uint8_t (*copies)[PACKET_MAX], bool *seen)
{
	static uint8_t super[TEST_PACKET_MAX], segment[TEST_PACKET_MAX];
	struct virtio_net_hdr vnet;
	struct port_gso gso;
	uint32_t n, len = gather(i, &vnet, super, &n), k = gro.writes[i].first;

	assert_int_equal(port_gso_begin(&gso, &vnet, super, len, gro.l3), 0);
	assert_int_equal(gso.n_segments, n);
	for (; k != PORT_GRO_BURST; k = gro.packets[k].next) {
		uint32_t segment_len = port_gso_next(&gso, segment);

		assert_false(seen[k]);
		seen[k] = true;
		assert_int_equal(segment_len, lens[k]);
		if (n > 1 && gro.writes[i].id_step == 0) {
			/* Constant identification with DF: the cut counts up, by RFC 6864. */
			memcpy(segment + gro.l3 + 4, copies[k] + gro.l3 + 4, 2);
			memcpy(segment + gro.l3 + 10, copies[k] + gro.l3 + 10, 2);
		}
		assert_memory_equal(segment, copies[k], segment_len);
	}
	assert_int_equal(port_gso_next(&gso, segment), 0);
}

/* Within each flow, the sequence of writes and of packets in them is the order of arrival. */
static void check_order(uint32_t n_packets, const struct test_packet *specs)
{
	uint32_t place[PORT_GRO_BURST], next = 0;

	for (uint32_t i = 0; i < gro.n_writes; i++)
		for (uint32_t k = gro.writes[i].first; k != PORT_GRO_BURST; k = gro.packets[k].next)
			place[k] = next++;
	for (uint32_t a = 0; a < n_packets; a++)
		for (uint32_t b = a + 1; b < n_packets; b++)
			if (specs[a].sport == specs[b].sport && specs[a].host == specs[b].host
			    && specs[a].version == specs[b].version
			    && specs[a].protocol == specs[b].protocol)
				assert_true(place[a] < place[b]);
}

static void segmentation_undoes_joining(void **state)
{
	static uint8_t copies[PORT_GRO_BURST][PACKET_MAX];
	struct test_random random = test_random_start();
	uint32_t n_joined = 0;

	(void)state;
	for (int round = 0; round < 3000; round++) {
		struct test_packet flows[4], specs[PORT_GRO_BURST];
		uint32_t n_flows = 1 + (uint32_t)test_random_below(&random, 4);
		uint32_t n = 1 + (uint32_t)test_random_below(&random, PORT_GRO_BURST);
		uint32_t l3 = round % 2 ? 14 : 0;
		bool seen[PORT_GRO_BURST] = {false};

		for (uint32_t f = 0; f < n_flows; f++) {
			flows[f] = test_packet_tcp(f % 2 ? 6 : 4, l3);
			flows[f].sport = (uint16_t)(flows[f].sport + f);
			flows[f].seq = (uint32_t)test_random_next(&random);
			flows[f].id = (uint16_t)test_random_next(&random);
		}
		/* not "authenticated": random packets may have a wrong checksum, and a tunnel
		 * packet's is put right by joining */
		port_gro_begin(&gro, l3, false);
		for (uint32_t i = 0; i < n; i++) {
			random_packet(&random, flows, n_flows, &specs[i]);
			add(i, &specs[i]);
			memcpy(copies[i], packets[i], lens[i]);
		}
		check_order(n, specs);
		for (uint32_t i = 0; i < gro.n_writes; i++) {
			n_joined += gro.writes[i].n > 1;
			check_cut(i, copies, seen);
		}
		for (uint32_t i = 0; i < n; i++)
			assert_true(seen[i]);
	}
	assert_true(n_joined > 3000);
}

static void gro_survives_random_bytes(void **state)
{
	struct test_random random = test_random_start();
	uint8_t *data[PORT_GRO_BURST];

	(void)state;
	for (int round = 0; round < 2000; round++) {
		uint32_t l3 = round % 2 ? 14 : 0, n = 0, total = 0;
		struct iovec iov[PORT_GRO_IOV];

		port_gro_begin(&gro, l3, round % 3 == 0);
		for (uint32_t i = 0; i < PORT_GRO_BURST; i++) {
			uint32_t len = 1 + (uint32_t)test_random_below(&random, 120);

			data[i] = malloc(len); /* exact, for ASan */
			test_random_bytes(&random, data[i], len);
			if (len > l3 + 9) {
				data[i][l3] = i % 2 ? 0x45 : 0x60;
				data[i][l3 + 6] = data[i][l3 + 9] = IPPROTO_TCP;
			}
			if (l3 == 14 && len > 14)
				base_store_be16(data[i] + 12, i % 2 ? 0x0800 : 0x86dd);
			port_gro_add(&gro, data[i], len);
		}
		for (uint32_t i = 0; i < gro.n_writes; i++) {
			assert_true(port_gro_write_iov(&gro, i, iov, &n) >= 2);
			total += n;
		}
		assert_int_equal(total, PORT_GRO_BURST);
		for (uint32_t i = 0; i < PORT_GRO_BURST; i++)
			free(data[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gro_joins_a_run_into_one_write),
		cmocka_unit_test(gro_keeps_apart_what_differs),
		cmocka_unit_test(gro_never_joins_these),
		cmocka_unit_test(gro_ends_a_run_at_psh_and_at_a_short_packet),
		cmocka_unit_test(gro_does_not_overtake_within_a_flow),
		cmocka_unit_test(gro_joins_interleaved_flows),
		cmocka_unit_test(gro_stays_below_64_kilobytes),
		cmocka_unit_test(gro_takes_constant_identification_with_df_only),
		cmocka_unit_test(gro_vouches_for_tunnel_packets_only),
		cmocka_unit_test(gro_leaves_a_wrong_checksum_for_the_kernel_to_see),
		cmocka_unit_test(segmentation_undoes_joining),
		cmocka_unit_test(gro_survives_random_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

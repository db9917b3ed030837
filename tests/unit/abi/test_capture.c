/* The memory of a capture: order, room, cut packets, and heads and indexes that lie. */
#include "abi_capture.h"
#include "base_bytes.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

#define N_SLOTS 8U

static const struct abi_capture spec = {
	.n_workers = 2, .n_slots = N_SLOTS, .snaplen = 100, .what = ABI_CAPTURE_PACKETS};

static void *make(size_t *len)
{
	void *data;

	*len = abi_capture_len(&spec);
	assert_true(*len > 0);
	data = aligned_alloc(4096, *len);
	assert_non_null(data);
	memset(data, 0, *len);
	abi_capture_init(data, &spec);
	assert_null(abi_capture_check(data, *len));
	return data;
}

static struct abi_capture_end open_end(void *data, size_t len, uint32_t worker)
{
	struct abi_capture head;
	struct abi_capture_end end;

	assert_true(abi_capture_open(data, len, worker, &head, &end));
	assert_int_equal(head.snaplen, spec.snaplen);
	return end;
}

static void packets_come_out_in_order_cut_and_those_without_room_are_counted(void **state)
{
	size_t len;
	void *data = make(&len);
	struct abi_capture_end in = open_end(data, len, 1);
	struct abi_capture_end out = open_end(data, len, 1);
	struct abi_capture_end other = open_end(data, len, 0);
	struct abi_capture_packet packet;
	uint8_t bytes[ABI_CAPTURE_SNAP_MAX];

	(void)state;
	for (uint32_t round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < N_SLOTS + 3; i++) {
			packet = (struct abi_capture_packet){.time_ns = i, .len = 95 + i};
			memset(bytes, (int)i, sizeof(bytes));
			assert_int_equal(abi_capture_put(&in, &packet, bytes), i < N_SLOTS);
		}
		for (uint32_t i = 0; i < N_SLOTS; i++) {
			uint64_t time_ns;

			assert_true(abi_capture_peek_time(&out, &time_ns));
			assert_int_equal(time_ns, i);
			assert_true(abi_capture_peek(&out, &packet, bytes));
			assert_int_equal(packet.len, 95 + i);
			assert_int_equal(packet.kept, i < 5 ? 95 + i : 100);
			assert_int_equal(bytes[0], i);
			assert_int_equal(bytes[packet.kept - 1], i);
			abi_capture_free(&out);
		}
		assert_false(abi_capture_peek(&out, &packet, bytes));
		assert_int_equal(abi_capture_lost(&out), 3 * (round + 1));
	}
	assert_false(abi_capture_peek(&other, &packet, bytes));
	free(data);
}

static void heads_that_lie_are_refused(void **state)
{
	static const struct abi_capture bad[] = {
		{.n_workers = 0, .n_slots = 8, .snaplen = 100, .what = 1},
		{.n_workers = 17, .n_slots = 8, .snaplen = 100, .what = 1},
		{.n_workers = 2, .n_slots = 9, .snaplen = 100, .what = 1},
		{.n_workers = 2, .n_slots = 0, .snaplen = 100, .what = 1},
		{.n_workers = 2, .n_slots = 8, .snaplen = 0, .what = 1},
		{.n_workers = 2, .n_slots = 8, .snaplen = 9601, .what = 1},
		{.n_workers = 2, .n_slots = 8, .snaplen = 100, .what = 0},
		{.n_workers = 2, .n_slots = 8, .snaplen = 100, .what = 4},
		{.n_workers = 2, .n_slots = 8, .snaplen = 100, .what = 1, .n_peers = 17},
		{.n_workers = 2, .n_slots = 32, .snaplen = 100, .what = 1}, /* another length */
	};
	size_t len;
	void *data = make(&len);
	struct abi_capture head;
	struct abi_capture_end end;

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(bad); i++) {
		abi_capture_init(data, &bad[i]);
		assert_non_null(abi_capture_check(data, len));
		assert_false(abi_capture_open(data, len, 0, &head, &end));
	}
	abi_capture_init(data, &spec);
	assert_false(abi_capture_open(data, len, 2, &head, &end));
	assert_non_null(abi_capture_check(data, len - 1));
	assert_non_null(abi_capture_check(data, 7));
	memset(data, 0, 8);
	assert_non_null(abi_capture_check(data, len));
	free(data);
}

static void what_the_other_side_writes_moves_nobody_out_of_the_memory(void **state)
{
	unsigned int seed = 20261121;
	size_t len;
	void *data = make(&len);
	struct abi_capture_end in = open_end(data, len, 1);
	struct abi_capture_end out = open_end(data, len, 1);
	uint8_t *bytes = malloc(ABI_CAPTURE_SNAP_MAX);
	struct abi_capture_packet packet = {.len = 9000};

	(void)state;
	assert_non_null(bytes);
	memset(bytes, 1, ABI_CAPTURE_SNAP_MAX);
	for (uint32_t i = 0; i < 100000; i++) {
		uint8_t *any = (uint8_t *)data + 4096 + (size_t)rand_r(&seed) % (len - 4096);

		*any = (uint8_t)rand_r(&seed); /* rings and slots of both workers */
		(void)!abi_capture_put(&in, &packet, bytes);
		if (!abi_capture_peek(&out, &packet, bytes))
			continue;
		assert_true(packet.kept <= spec.snaplen && packet.kept <= packet.len);
		abi_capture_free(&out);
		packet.len = 9000;
	}
	free(bytes);
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_come_out_in_order_cut_and_those_without_room_are_counted),
		cmocka_unit_test(heads_that_lie_are_refused),
		cmocka_unit_test(what_the_other_side_writes_moves_nobody_out_of_the_memory),
	};

	return cmocka_run_group_tests_name("abi capture", tests, NULL, NULL);
}

/* Making a region, and refusing every kind that is not one. */
#include "abi_region.h"
#include "base_bytes.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define N_WORKERS 3U
#define N_PEERS   20U
#define EPOCH     UINT64_C(0x1122334455667788)

static struct abi_setup make_setup(void)
{
	struct abi_setup setup = {.n_workers = N_WORKERS, .n_ports = 1, .tunnel_mtu = 1420};

	snprintf(setup.ports[0].name, sizeof(setup.ports[0].name), "wan0");
	snprintf(setup.ports[0].device, sizeof(setup.ports[0].device), "veth0");
	return setup;
}

static struct abi_region make_region(void)
{
	struct abi_setup setup = make_setup();
	struct abi_region region;

	assert_int_equal(abi_region_create(&setup, N_PEERS, EPOCH, &region), 0);
	return region;
}

static int attach(const struct abi_region *region, struct abi_region *out, char why[static 256])
{
	int fd = dup(region->fd);
	int err;

	assert_true(fd >= 0);
	err = abi_region_attach(fd, out, why, 256);
	if (err != 0)
		close(fd); /* not taken */
	return err;
}

/* ---- making ----------------------------------------------------------------------------------- */

static void both_sides_see_the_same_region(void **state)
{
	struct abi_region a = make_region();
	struct abi_region b;
	char why[256];

	(void)state;
	assert_int_equal(attach(&a, &b, why), 0);
	assert_int_equal(b.n_workers, N_WORKERS);
	assert_int_equal(b.n_peers, N_PEERS);
	assert_int_equal(b.n_slots, abi_region_slots(N_PEERS));
	assert_int_equal(b.epoch, EPOCH);
	assert_string_equal(b.setup.ports[0].device, "veth0");
	abi_region_session(&a, 2, 5)->index = 77;
	assert_int_equal(abi_region_session(&b, 2, 5)->index, 77);
	abi_region_fini(&a);
	assert_int_equal(abi_region_session(&b, 2, 5)->index, 77); /* the survivor keeps it */
	abi_region_fini(&b);
	abi_region_fini(&b);
}

/* Writes each part of the region with its own byte, then looks whether all are still there. */
static void no_two_parts_overlap(void **state)
{
	struct abi_region region = make_region();
	uint64_t total = 0;
	struct {
		void *start;
		size_t len;
	} parts[2 + ABI_PORTS_MAX + N_WORKERS * 13];
	size_t n = 0;

	(void)state;
#define PART(pointer, size) (parts[n].start = (pointer), parts[n++].len = (size))
	PART(abi_region_header(&region), sizeof(struct abi_header));
	for (uint32_t i = 0; i < ABI_PORTS_MAX; i++)
		PART(abi_region_port_status(&region, i), sizeof(struct abi_port_status));
	for (uint32_t w = 0; w < N_WORKERS; w++) {
		struct abi_ring_end cmd = abi_region_cmd_ring(&region, w);
		struct abi_ring_end event = abi_region_event_ring(&region, w);
		struct abi_ring_end report = abi_region_report_ring(&region, w);

		PART(abi_region_worker_status(&region, w), sizeof(struct abi_worker_status));
		PART(abi_region_worker_counters(&region, w), ABI_COUNTERS_LEN * 8);
		PART(cmd.ring, sizeof(struct abi_ring));
		PART(event.ring, sizeof(struct abi_ring));
		PART(cmd.records, ABI_CMD_SLOTS * sizeof(struct abi_record));
		PART(event.records, ABI_EVENT_SLOTS * sizeof(struct abi_record));
		PART(report.ring, sizeof(struct abi_ring));
		PART(report.records, ABI_REPORT_SLOTS * sizeof(struct abi_record));
		PART(abi_region_session(&region, w, 0),
		     region.n_slots * sizeof(struct abi_session));
		PART(abi_region_peer_counters(&region, w, 0),
		     N_PEERS * sizeof(struct abi_peer_counters));
		PART(abi_region_drops(&region, w),
		     abi_region_drop_pairs(N_PEERS) * sizeof(struct abi_drop_pair));
		PART(abi_region_limit(&region, w, 0), N_PEERS * sizeof(struct abi_limit));
		PART(abi_region_used(&region, w), ABI_USED_SETS * ABI_USED_WAYS * sizeof(uint64_t));
	}
#undef PART
	for (size_t i = 0; i < n; i++) {
		uint8_t *start = parts[i].start;

		assert_int_equal((uintptr_t)start % ABI_LINE, 0);
		assert_true(start >= region.base);
		assert_true(start + parts[i].len <= region.base + region.len);
		total += parts[i].len;
		for (size_t k = 0; k < i; k++) {
			uint8_t *other = parts[k].start;

			assert_true(start >= other + parts[k].len || other >= start + parts[i].len);
		}
	}
	assert_true(total <= region.len);
	abi_region_fini(&region);
}

static void slots_are_four_a_peer_within_the_index(void **state)
{
	static const struct {
		uint32_t n_peers;
		uint32_t n_slots;
	} cases[] = {
		{1, 64},
		{16, 64},
		{17, 128},
		{4096, 16384},
		{4097, 32768},
		{1U << 18, 1U << 20},
		{200000, 1U << 20},
		{1U << 20, 1U << 20},
	};

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++)
		assert_int_equal(abi_region_slots(cases[i].n_peers), cases[i].n_slots);
}

static void index_carries_worker_and_slot(void **state)
{
	uint32_t index = abi_index_make(15, 0xfffff, 0xab123456);

	(void)state;
	assert_int_equal(index, 0xabffffff);
	assert_int_equal(abi_index_worker(index), 15);
	assert_int_equal(abi_index_slot(index), 0xfffff);
	assert_int_equal(abi_index_slot(abi_index_make(3, 1, 0)), 1);
	assert_int_not_equal(abi_index_make(0, 1, 0), ABI_INDEX_NONE);
}

static void setup_out_of_range_makes_no_region(void **state)
{
	struct abi_region region;
	struct abi_setup setup = make_setup();

	(void)state;
	assert_int_equal(abi_region_create(&setup, 0, EPOCH, &region), -EINVAL);
	assert_int_equal(abi_region_create(&setup, ABI_PEERS_MAX + 1, EPOCH, &region), -EINVAL);
	assert_int_equal(abi_region_create(&setup, 1, 0, &region), -EINVAL);
	setup.n_workers = 0;
	assert_int_equal(abi_region_create(&setup, 1, EPOCH, &region), -EINVAL);
	setup.n_workers = ABI_WORKERS_MAX + 1;
	assert_int_equal(abi_region_create(&setup, 1, EPOCH, &region), -EINVAL);
	setup = make_setup();
	setup.n_ports = ABI_PORTS_MAX + 1;
	assert_int_equal(abi_region_create(&setup, 1, EPOCH, &region), -EINVAL);
	setup = make_setup();
	memset(setup.ports[0].device, 'x', sizeof(setup.ports[0].device));
	assert_int_equal(abi_region_create(&setup, 1, EPOCH, &region), -EINVAL);
}

static void size_cannot_be_changed(void **state)
{
	struct abi_region region = make_region();

	(void)state;
	assert_int_not_equal(ftruncate(region.fd, 0), 0);
	assert_int_not_equal(ftruncate(region.fd, (off_t)region.len + 4096), 0);
	assert_int_not_equal(fcntl(region.fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	abi_region_fini(&region);
}

static void keys_stay_out_of_core_files(void **state)
{
	struct abi_region region = make_region();
	char line[512];
	char start[32];
	FILE *smaps = fopen("/proc/self/smaps", "re");
	bool here = false;
	bool found = false;

	(void)state;
	assert_non_null(smaps);
	snprintf(start, sizeof(start), "%lx-", (unsigned long)(uintptr_t)region.base);
	while (fgets(line, sizeof(line), smaps) != NULL) {
		if (strncmp(line, start, strlen(start)) == 0)
			here = true;
		if (!here || strncmp(line, "VmFlags:", 8) != 0)
			continue;
		found = strstr(line, " dd") != NULL; /* do not dump */
		break;
	}
	fclose(smaps);
	assert_true(found);
	abi_region_fini(&region);
}

static void counter_is_the_sum_of_all_writers(void **state)
{
	struct abi_region region = make_region();

	(void)state;
	for (uint32_t w = 0; w < N_WORKERS; w++)
		abi_region_worker_counters(&region, w)[ABI_COUNTER_RX_WAN] = 10 + w;
	abi_region_exception_counters(&region)[ABI_COUNTER_RX_WAN] = 100;
	abi_region_control_counters(&region)[ABI_COUNTER_RX_WAN] = 1000;
	abi_region_control_counters(&region)[ABI_COUNTER_RX_TUN] = 5;
	assert_int_equal(abi_region_counter(&region, ABI_COUNTER_RX_WAN), 1133);
	assert_int_equal(abi_region_counter(&region, ABI_COUNTER_RX_TUN), 5);
	abi_region_fini(&region);
}

static void every_counter_has_a_name_and_a_kind(void **state)
{
	(void)state;
	for (size_t i = 0; i < ABI_N_COUNTERS; i++) {
		const struct abi_counter_text *t = &abi_counter_texts[i];
		bool is_drop = strncmp(t->name, "drop_", 5) == 0;

		assert_true(strlen(t->name) > 0 && strlen(t->text) > 0);
		assert_int_equal(is_drop, t->kind == ABI_COUNTER_KIND_DROP);
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(t->name, abi_counter_texts[k].name);
	}
}

/* ---- refusing --------------------------------------------------------------------------------- */

struct bad_field {
	size_t offset;
	uint32_t value;
	const char *why;
};

#define BAD(field, value, why)                                                                     \
	{                                                                                          \
		offsetof(struct abi_header, field), value, why                                     \
	}

static const struct bad_field bad_fields[] = {
	BAD(magic, 0, "magic"),
	BAD(magic, 0x2e616263, "magic"),
	BAD(version, 0, "region has version 0"),
	BAD(version, ABI_VERSION + 1, "this program speaks version"),
	BAD(header_len, 0, "header"),
	BAD(header_len, sizeof(struct abi_header) + 64, "header"),
	BAD(region_len, 4096, "says 4096 bytes"),
	BAD(features, 1, "features 0x1"),
	BAD(features, 0x80000000, "features 0x80000000"),
	BAD(n_workers, 0, "0 workers, must be 1 to 16"),
	BAD(n_workers, 2, "expected"),
	BAD(n_workers, ABI_WORKERS_MAX, "expected"),
	BAD(n_workers, ABI_WORKERS_MAX + 1, "17 workers"),
	BAD(n_workers, UINT32_MAX, "workers"),
	BAD(n_peers, 0, "0 peers"),
	BAD(n_peers, ABI_PEERS_MAX + 1, "1048577 peers"),
	BAD(n_peers, UINT32_MAX, "peers"),
	BAD(n_peers, 1000, "slots"),
	BAD(n_slots, 0, "slots"),
	BAD(n_slots, 64, "slots"),
	BAD(n_slots, 1U << 31, "slots"),
	BAD(setup.n_workers, 1, "set-up"),
	BAD(setup.n_ports, ABI_PORTS_MAX + 1, "set-up"),
};

static void region_with_a_bad_field_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(bad_fields); i++) {
		struct abi_region region = make_region();
		struct abi_region out = {.n_workers = 99};
		char why[256];

		memcpy(region.base + bad_fields[i].offset, &bad_fields[i].value, sizeof(uint32_t));
		print_message("# case %zu: %s\n", i, bad_fields[i].why);
		assert_int_equal(attach(&region, &out, why), -EPROTO);
		if (strstr(why, bad_fields[i].why) == NULL)
			fail_msg("case %zu: \"%s\" does not say \"%s\"", i, why, bad_fields[i].why);
		assert_int_equal(out.n_workers, 99); /* untouched */
		abi_region_fini(&region);
	}
}

static void wrong_version_names_both(void **state)
{
	struct abi_region region = make_region();
	struct abi_region out;
	char expected[128];
	char why[256];

	(void)state;
	abi_region_header(&region)->version = 4711;
	snprintf(expected, sizeof(expected), "version 4711, this program speaks version %u",
	         ABI_VERSION);
	assert_int_equal(attach(&region, &out, why), -EPROTO);
	assert_non_null(strstr(why, expected));
	abi_region_fini(&region);
}

static void text_without_end_is_refused(void **state)
{
	struct abi_region region = make_region();
	struct abi_region out;
	char why[256];

	(void)state;
	memset(abi_region_header(&region)->setup.ports[7].name, 'x', 16);
	assert_int_equal(attach(&region, &out, why), -EPROTO);
	assert_non_null(strstr(why, "set-up"));
	abi_region_fini(&region);
}

static void epoch_zero_is_refused(void **state)
{
	struct abi_region region = make_region();
	struct abi_region out;
	char why[256];

	(void)state;
	abi_region_header(&region)->epoch = 0;
	assert_int_equal(attach(&region, &out, why), -EPROTO);
	assert_non_null(strstr(why, "epoch"));
	abi_region_fini(&region);
}

/* A memfd with this header, so long, with these seals. */
static int make_memfd(const struct abi_header *header, off_t len, int seals)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, len), 0);
	if (len >= (off_t)sizeof(*header))
		assert_int_equal(pwrite(fd, header, sizeof(*header), 0), sizeof(*header));
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void file_that_is_not_a_sealed_memfd_of_the_right_size_is_refused(void **state)
{
	const int all = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	struct abi_region region = make_region();
	struct abi_header header = *abi_region_header(&region);
	off_t len = (off_t)region.len;
	const struct {
		off_t len;
		int seals;
		int err;
		const char *why;
	} cases[] = {
		{len, all, 0, ""},
		{len, F_SEAL_SHRINK | F_SEAL_GROW, -EPROTO, "sealed"},
		{len, F_SEAL_SHRINK | F_SEAL_SEAL, -EPROTO, "sealed"},
		{len, F_SEAL_GROW | F_SEAL_SEAL, -EPROTO, "sealed"},
		{len, 0, -EPROTO, "sealed"},
		{len - 4096, all, -EPROTO, "expected"},
		{len - 1, all, -EPROTO, "expected"},
		{len + 4096, all, -EPROTO, "expected"},
		{100, all, -EPROTO, "less than its header"},
		{0, all, -EPROTO, "less than its header"},
		{len, all | F_SEAL_FUTURE_WRITE, -EPERM, "mapped"},
	};

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++) {
		int fd = make_memfd(&header, cases[i].len, cases[i].seals);
		struct abi_region out;
		char why[256];

		print_message("# case %zu\n", i);
		assert_int_equal(abi_region_attach(fd, &out, why, sizeof(why)), cases[i].err);
		assert_non_null(strstr(why, cases[i].why));
		if (cases[i].err == 0)
			abi_region_fini(&out);
		else
			assert_int_equal(close(fd), 0); /* still ours */
	}
	abi_region_fini(&region);
}

static void descriptor_that_is_not_a_memfd_is_refused(void **state)
{
	int fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
	struct abi_region out;
	char why[256];

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(abi_region_attach(fd, &out, why, sizeof(why)), -EPROTO);
	assert_non_null(strstr(why, "memfd"));
	close(fd);
	assert_int_equal(abi_region_attach(-1, &out, why, sizeof(why)), -EPROTO);
}

/* Random headers: refused or mapped, and what is mapped has the geometry that was checked. */
static void garbage_header_never_maps_out_of_bounds(void **state)
{
	struct test_random random = test_random_start();

	(void)state;
	for (uint32_t round = 0; round < 500; round++) {
		struct abi_region region = make_region();
		struct abi_region out;
		char why[256];
		uint32_t n_bytes = 1 + round % 8;

		for (uint32_t i = 0; i < n_bytes; i++)
			region.base[test_random_below(&random, sizeof(struct abi_header))] =
				(uint8_t)test_random_next(&random);
		if (attach(&region, &out, why) == 0) {
			assert_int_equal(out.len, region.len);
			assert_int_equal(out.n_workers, N_WORKERS);
			abi_region_fini(&out);
		}
		abi_region_fini(&region);
	}
}

/* A walk that asks first finds every session, and does not make memory of what nobody wrote. */
static void a_walk_over_sessions_passes_over_what_was_never_written(void **state)
{
	struct abi_setup setup = make_setup();
	struct abi_region region;
	struct stat before, after;
	const uint32_t first = 4096 / sizeof(struct abi_session) + 1; /* that begins in page 1 */
	uint32_t found = 0;
	uint32_t slot;

	(void)state;
	assert_int_equal(abi_region_create(&setup, 10000, 1, &region), 0);
	assert_int_equal(abi_region_next_session(&region, 1, first), region.n_slots);
	abi_region_session(&region, 1, 5000)->index = 1;
	abi_region_session(&region, 1, 5001)->index = 1;
	abi_region_session(&region, 1, region.n_slots - 1)->index = 1;
	assert_int_equal(fstat(region.fd, &before), 0);
	for (slot = first; slot < region.n_slots; slot++) {
		slot = abi_region_next_session(&region, 1, slot);
		found += slot < region.n_slots && abi_region_session(&region, 1, slot)->index != 0;
	}
	assert_int_equal(found, 3);
	assert_int_equal(fstat(region.fd, &after), 0);
	assert_int_equal(after.st_blocks, before.st_blocks);
	abi_region_fini(&region);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_sides_see_the_same_region),
		cmocka_unit_test(no_two_parts_overlap),
		cmocka_unit_test(a_walk_over_sessions_passes_over_what_was_never_written),
		cmocka_unit_test(slots_are_four_a_peer_within_the_index),
		cmocka_unit_test(index_carries_worker_and_slot),
		cmocka_unit_test(setup_out_of_range_makes_no_region),
		cmocka_unit_test(size_cannot_be_changed),
		cmocka_unit_test(keys_stay_out_of_core_files),
		cmocka_unit_test(counter_is_the_sum_of_all_writers),
		cmocka_unit_test(every_counter_has_a_name_and_a_kind),
		cmocka_unit_test(region_with_a_bad_field_is_refused),
		cmocka_unit_test(wrong_version_names_both),
		cmocka_unit_test(text_without_end_is_refused),
		cmocka_unit_test(epoch_zero_is_refused),
		cmocka_unit_test(file_that_is_not_a_sealed_memfd_of_the_right_size_is_refused),
		cmocka_unit_test(descriptor_that_is_not_a_memfd_is_refused),
		cmocka_unit_test(garbage_header_never_maps_out_of_bounds),
	};

	return cmocka_run_group_tests_name("abi_region", tests, NULL, NULL);
}

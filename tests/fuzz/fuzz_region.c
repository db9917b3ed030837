/* Attaching to a region whose header the other side wrote: bytes of a good one, changed one by one
 * (offset, value). What is accepted must lie within the file. */
#include "abi_region.h"
#include "fuzz.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define HEADER_LEN  4096U
#define CHANGES_MAX 64U

static struct abi_region good;
static uint8_t header[HEADER_LEN];

void fuzz_start(void)
{
	struct abi_setup setup = {.n_workers = 2, .n_ports = 1, .tunnel_mtu = 1420};
	int err;

	memcpy(setup.ports[0].name, "wan0", 5);
	setup.ports[0].mtu = 1500;
	err = abi_region_create(&setup, 8, 1, &good);
	assert(err == 0);
	memcpy(header, good.base, sizeof(header));
}

/* The first and the last byte of the last of everything. */
static void touch(const struct abi_region *region)
{
	uint32_t worker = region->n_workers - 1;
	const volatile uint8_t *const ends[] = {
		(const uint8_t *)abi_region_session(region, worker, region->n_slots - 1)
			+ sizeof(struct abi_session) - 1,
		(const uint8_t *)abi_region_peer_counters(region, worker, region->n_peers - 1)
			+ sizeof(struct abi_peer_counters) - 1,
		(const uint8_t *)abi_region_limit(region, worker, region->n_peers - 1)
			+ sizeof(struct abi_limit) - 1,
		(const uint8_t *)(abi_region_worker_counters(region, worker) + ABI_COUNTERS_LEN)
			- 1,
	};

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		assert(ends[i] >= region->base && ends[i] < region->base + region->len);
		(void)*ends[i];
	}
	for (uint32_t i = 0; i < region->n_workers; i++) {
		struct abi_ring_end cmd = abi_region_cmd_ring(region, i);
		struct abi_record record;

		(void)abi_ring_peek(&cmd, &record);
	}
	for (uint32_t i = 0; i < region->setup.n_ports; i++)
		assert(memchr(region->setup.ports[i].name, 0, sizeof(region->setup.ports[i].name))
		       != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz_input in = {data, len};
	struct abi_region region;
	char why[160] = "";
	int fd, err;

	memcpy(good.base, header, sizeof(header));
	for (uint32_t i = 0; i < CHANGES_MAX && in.len > 0; i++) {
		uint16_t at = fuzz_u16(&in);

		good.base[at % HEADER_LEN] = fuzz_u8(&in);
	}
	fd = dup(good.fd);
	assert(fd >= 0);
	err = abi_region_attach(fd, &region, why, sizeof(why));
	if (err != 0) {
		assert(err != -EPROTO || why[0] != '\0');
		close(fd);
		return 0;
	}
	touch(&region);
	abi_region_fini(&region);
	return 0;
}

void fuzz_seeds(void)
{
	uint8_t change[3];

	fuzz_seed("unchanged", change, 0);
	for (uint16_t at = 0; at < 128; at += 4) {
		char name[16] = "byte_000";

		name[5] = (char)('0' + at / 100);
		name[6] = (char)('0' + at / 10 % 10);
		name[7] = (char)('0' + at % 10);
		change[0] = (uint8_t)at;
		change[1] = 0;
		change[2] = header[at] ^ 1;
		fuzz_seed(name, change, sizeof(change));
	}
}

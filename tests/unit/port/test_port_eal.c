#include "port_eal.h"
#include "test.h"

#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

static struct port_eal_args args;

static bool has(const char *text)
{
	for (int i = 0; i < args.n; i++)
		if (strcmp(args.text[i], text) == 0)
			return true;
	return false;
}

static struct abi_setup one_af_packet(void)
{
	struct abi_setup setup = {.n_workers = 1, .n_ports = 1, .tunnel_mtu = 1420};

	strcpy(setup.ports[0].device, "wan0");
	setup.ports[0].driver = ABI_DRIVER_AF_PACKET;
	setup.ports[0].mtu = 1500;
	return setup;
}

static void compose_makes_an_af_packet_port_without_pci(void **state)
{
	struct abi_setup setup = one_af_packet();

	(void)state;
	setup.n_workers = 2;
	port_eal_compose(&setup, "0-1", 1, &args);
	assert_true(has("--vdev=net_af_packet0,iface=wan0,qpairs=2,qdisc_bypass=1,blocksz=65536,"
	                "framesz=2048,framecnt=1024"));
	assert_true(has("--no-pci"));
	assert_true(has("--lcores=0@(0-1)"));
	assert_true(has("--iova-mode=va"));
	assert_true(has("--no-telemetry"));
}

static void compose_never_leaves_files(void **state)
{
	struct abi_setup setup = one_af_packet();

	(void)state;
	port_eal_compose(&setup, "0", 1, &args);
	assert_true(has("--in-memory"));
	assert_false(has("--no-huge"));
	port_eal_compose(&setup, "0", 0, &args);
	assert_false(has("--in-memory"));
	assert_true(has("--no-huge"));
	assert_true(has("--no-shconf"));
}

static void compose_allows_named_pci_devices_only(void **state)
{
	struct abi_setup setup = one_af_packet();

	(void)state;
	setup.ports[0].driver = ABI_DRIVER_PCI;
	strcpy(setup.ports[0].device, "0000:01:00.0");
	port_eal_compose(&setup, "0", 1, &args);
	assert_true(has("-a"));
	assert_true(has("0000:01:00.0"));
	assert_false(has("--no-pci"));
	setup.ports[0].driver = ABI_DRIVER_VDEV;
	strcpy(setup.ports[0].device, "net_null0,copy=1");
	port_eal_compose(&setup, "0", 1, &args);
	assert_true(has("--vdev=net_null0,copy=1"));
	assert_true(has("--no-pci"));
}

static void compose_makes_room_for_jumbo_frames(void **state)
{
	struct abi_setup setup = one_af_packet();

	(void)state;
	setup.ports[0].mtu = 9000;
	port_eal_compose(&setup, "0", 1, &args);
	assert_true(has("--vdev=net_af_packet0,iface=wan0,qpairs=1,qdisc_bypass=1,blocksz=65536,"
	                "framesz=16384,framecnt=128"));
	assert_int_equal(port_eal_buffer_len(&setup), 16384);
}

static void rings_are_long_where_memory_may_be_locked(void **state)
{
	struct abi_setup setup = one_af_packet();
	size_t len = 16U << 20;
	void *memory = mmap(NULL, len, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0);

	(void)state;
	port_eal_ring_choose(&setup);
	port_eal_compose(&setup, "0", 1, &args);
	if (memory != MAP_FAILED)
		munmap(memory, len);
	assert_true(has(memory != MAP_FAILED
	                        ? "--vdev=net_af_packet0,iface=wan0,qpairs=1,qdisc_bypass=1,"
	                          "blocksz=65536,framesz=2048,framecnt=4096"
	                        : "--vdev=net_af_packet0,iface=wan0,qpairs=1,qdisc_bypass=1,"
	                          "blocksz=65536,framesz=2048,framecnt=1024"));
	setup.n_workers = 8; /* not 128 MB of them */
	port_eal_ring_choose(&setup);
	port_eal_compose(&setup, "0", 1, &args);
	assert_true(has("--vdev=net_af_packet0,iface=wan0,qpairs=8,qdisc_bypass=1,blocksz=65536,"
	                "framesz=2048,framecnt=1024"));
}

static void compose_holds_the_largest_setup(void **state)
{
	struct abi_setup setup = {.n_workers = ABI_WORKERS_MAX, .n_ports = ABI_PORTS_MAX};

	(void)state;
	for (uint32_t i = 0; i < ABI_PORTS_MAX; i++) {
		setup.ports[i].driver = i % 2 ? ABI_DRIVER_PCI : ABI_DRIVER_VDEV;
		memset(setup.ports[i].device, 'd', sizeof(setup.ports[i].device) - 1);
	}
	port_eal_compose(&setup, "0", 0, &args);
	assert_in_range(args.n, 1, PORT_EAL_ARGS_MAX);
	for (uint32_t i = 0; i < ABI_PORTS_MAX; i++)
		setup.ports[i].driver = ABI_DRIVER_PCI;
	port_eal_compose(&setup, "0", 0, &args);
	assert_in_range(args.n, 1, PORT_EAL_ARGS_MAX);
}

/* The number behind -m. */
static unsigned long memory(void)
{
	for (int i = 0; i + 1 < args.n; i++)
		if (strcmp(args.text[i], "-m") == 0)
			return strtoul(args.text[i + 1], NULL, 10);
	return 0;
}

/* A buffer does not cross a page of 4 KB, so each of them takes one. */
static void ordinary_memory_has_a_page_for_each_buffer(void **state)
{
	struct abi_setup setup = one_af_packet();

	(void)state;
	setup.n_mbufs = 16383;
	port_eal_compose(&setup, "0", 1, &args);
	assert_in_range(memory(), 38, 64);
	port_eal_compose(&setup, "0", 0, &args);
	assert_in_range(memory(), 64 + 16, 96);
}

static void pool_grows_with_workers_and_nics(void **state)
{
	struct abi_setup setup = one_af_packet();

	(void)state;
	assert_int_equal(port_eal_n_mbufs(&setup), PORT_EAL_MBUFS_DEFAULT);
	setup.n_workers = 8;
	assert_true(port_eal_n_mbufs(&setup) > 8 * 3072);
	setup.n_mbufs = 5000;
	assert_int_equal(port_eal_n_mbufs(&setup), 5000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(compose_makes_an_af_packet_port_without_pci),
		cmocka_unit_test(compose_never_leaves_files),
		cmocka_unit_test(compose_allows_named_pci_devices_only),
		cmocka_unit_test(compose_makes_room_for_jumbo_frames),
		cmocka_unit_test(rings_are_long_where_memory_may_be_locked),
		cmocka_unit_test(compose_holds_the_largest_setup),
		cmocka_unit_test(ordinary_memory_has_a_page_for_each_buffer),
		cmocka_unit_test(pool_grows_with_workers_and_nics),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The devices that control makes, in a network namespace of the test's own. */
#include "kernel.h"
#include "kernel_space.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <sys/ioctl.h>

static int setup(void **state)
{
	(void)state;
	space_make_port();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	space_remove_port();
	return 0;
}

static struct ifreq device_ioctl(const char *name, unsigned long what)
{
	struct ifreq request = {0};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	assert_int_equal(ioctl(fd, what, &request), 0);
	close(fd);
	return request;
}

static bool ip_says(const char *command, const char *text)
{
	return shell("ip %s | grep -qF -- '%s'", command, text) == 0;
}

static void assert_nothing_left(void)
{
	assert_int_equal(if_nametoindex("weirt0"), 0);
	assert_int_equal(if_nametoindex("weir-wan"), 0);
	assert_int_not_equal(shell("nft list table netdev weir_raw0 >/dev/null 2>&1"), 0);
	assert_int_equal(shell("test $(cat /proc/sys/net/ipv6/conf/raw0/disable_ipv6) = 0"), 0);
	assert_false((device_ioctl("raw0", SIOCGIFFLAGS).ifr_flags & IFF_UP) != 0);
}

static void devices_have_mac_mtu_addresses_and_routes(void **state)
{
	struct config config = space_config();
	char error[256] = "";
	struct abi_fds fds;
	struct ifreq request;
	uint8_t mac[6] = {2, 0, 0, 0, 1, 2};

	(void)state;
	config.ports[0].mtu = 1400;
	assert_int_equal(kernel_devices_create(&config, &fds, error, sizeof(error)), 0);
	assert_true(fds.tun >= 0 && fds.taps[0] >= 0 && fds.taps[1] == -1);
	request = device_ioctl("weir-wan", SIOCGIFHWADDR);
	assert_memory_equal(request.ifr_hwaddr.sa_data, mac, 6);
	assert_int_equal(device_ioctl("weir-wan", SIOCGIFMTU).ifr_mtu, 1400);
	assert_int_equal(device_ioctl("weirt0", SIOCGIFMTU).ifr_mtu, 1420);
	assert_true((device_ioctl("weir-wan", SIOCGIFFLAGS).ifr_flags & IFF_UP) != 0);
	assert_true((device_ioctl("weirt0", SIOCGIFFLAGS).ifr_flags & IFF_UP) != 0);
	assert_true((device_ioctl("raw0", SIOCGIFFLAGS).ifr_flags & IFF_UP) != 0);
	assert_int_equal(device_ioctl("weir-wan", SIOCGIFTXQLEN).ifr_qlen, 1000);
	assert_true(ip_says("addr show dev weir-wan", "inet 192.0.2.1/24"));
	assert_true(ip_says("addr show dev weir-wan", "inet6 2001:db8::1/64"));
	assert_true(ip_says("addr show dev weirt0", "inet 10.77.0.1/24"));
	assert_true(ip_says("addr show dev weirt0", "inet6 fd77::1/64"));
	assert_false(ip_says("addr show dev weirt0", "fe80:"));
	assert_false(ip_says("addr show dev weir-wan scope global", "tentative"));
	assert_true(ip_says("route show default", "default via 192.0.2.254 dev weir-wan"));
	assert_true(ip_says("-6 route show default", "default via 2001:db8::ff dev weir-wan"));
	abi_fds_close(&fds);
	assert_int_equal(if_nametoindex("weirt0"), 0);
	assert_int_equal(if_nametoindex("weir-wan"), 0);
	kernel_devices_destroy(&config);
	assert_int_not_equal(shell("nft list table netdev weir_raw0 >/dev/null 2>&1"), 0);
}

static void descriptors_carry_the_short_virtio_header_and_offloads(void **state)
{
	struct config config = space_config();
	char error[256];
	struct abi_fds fds;
	const int both[] = {0, 1};

	(void)state;
	assert_int_equal(kernel_devices_create(&config, &fds, error, sizeof(error)), 0);
	for (size_t i = 0; i < 2; i++) {
		int fd = both[i] == 0 ? fds.tun : fds.taps[0];
		struct ifreq request = {0};
		int len = 0;

		assert_int_equal(ioctl(fd, TUNGETVNETHDRSZ, &len), 0);
		assert_int_equal(len, sizeof(struct virtio_net_hdr));
		assert_int_equal(ioctl(fd, TUNGETIFF, &request), 0);
		assert_int_equal(request.ifr_flags & (IFF_NO_PI | IFF_VNET_HDR),
		                 IFF_NO_PI | IFF_VNET_HDR);
		assert_int_equal(request.ifr_flags & (IFF_TUN | IFF_TAP),
		                 i == 0 ? IFF_TUN : IFF_TAP);
		assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
		assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
	}
	assert_int_equal(shell("command -v ethtool >/dev/null || exit 0; "
	                       "ethtool -k weirt0 | grep -q '^tcp-segmentation-offload: on'"),
	                 0);
	abi_fds_close(&fds);
	kernel_devices_destroy(&config);
}

/* Read frames of fd until one satisfies, for at most a second. */
static bool frame_seen(int fd, const uint8_t *needle, size_t len)
{
	uint8_t frame[2048];

	for (;;) {
		struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
		ssize_t n;

		if (poll(&poll_fd, 1, 1000) != 1)
			return false;
		n = read(fd, frame, sizeof(frame));
		if (n > 0 && memmem(frame, (size_t)n, needle, len) != NULL)
			return true;
	}
}

/* The kernel would answer an ARP request for an address of the TAP on raw0 too. */
static void guard_keeps_the_kernel_quiet_and_af_packet_seeing(void **state)
{
	/* who has 192.0.2.1, tell 192.0.2.9 */
	static const uint8_t request[42] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,   0, 0, 0, 9, 9, 8, 6, /* Ethernet */
		0,    1,    8,    0,    6,    4,    0,   1, 2, 0, 0, 0, 9, 9,
		192,  0,    2,    9, /* sender */
		0,    0,    0,    0,    0,    0,    192, 0, 2, 1,
	};
	static const uint8_t answer[] = {0, 1, 8, 0, 6, 4, 0, 2};
	struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	struct config config = space_config();
	struct abi_fds fds;
	char error[256];
	int world, raw;

	(void)state;
	assert_int_equal(kernel_devices_create(&config, &fds, error, sizeof(error)), 0);
	world = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
	at.sll_ifindex = (int)if_nametoindex("world0");
	assert_int_equal(bind(world, (struct sockaddr *)&at, sizeof(at)), 0);
	raw = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
	at.sll_ifindex = (int)if_nametoindex("raw0");
	assert_int_equal(bind(raw, (struct sockaddr *)&at, sizeof(at)), 0);

	assert_int_equal(write(world, request, sizeof(request)), sizeof(request));
	assert_true(frame_seen(raw, request, sizeof(request)));
	assert_false(frame_seen(world, answer, sizeof(answer)));
	/* The test can fail: without the guard there is an answer. */
	kernel_devices_destroy(&config);
	assert_int_equal(write(world, request, sizeof(request)), sizeof(request));
	assert_true(frame_seen(world, answer, sizeof(answer)));
	close(raw);
	close(world);
	abi_fds_close(&fds);
}

static void missing_interface_is_refused_by_name(void **state)
{
	struct config config = space_config();
	struct abi_fds fds;
	char error[256];

	(void)state;
	snprintf(config.ports[0].device, sizeof(config.ports[0].device), "eth9");
	assert_int_equal(kernel_devices_create(&config, &fds, error, sizeof(error)), -ENODEV);
	assert_string_equal(error, "port \"wan\": interface \"eth9\" does not exist");
	assert_int_equal(fds.tun, -1);
	assert_nothing_left();
}

static void address_left_on_the_raw_interface_is_refused(void **state)
{
	struct config config = space_config();
	struct abi_fds fds;
	char error[256];

	(void)state;
	assert_int_equal(shell("ip addr add 192.0.2.1/24 dev raw0"), 0);
	assert_int_equal(kernel_devices_create(&config, &fds, error, sizeof(error)), -EADDRINUSE);
	assert_non_null(strstr(error, "\"raw0\" still has 192.0.2.1"));
	assert_non_null(strstr(error, "ip address flush dev raw0"));
	assert_nothing_left();
	/* Another address is a warning only. */
	assert_int_equal(shell("ip addr flush dev raw0; ip addr add 198.51.100.1/24 dev raw0"), 0);
	assert_int_equal(kernel_devices_create(&config, &fds, error, sizeof(error)), 0);
	abi_fds_close(&fds);
	kernel_devices_destroy(&config);
}

static void mtu_larger_than_the_interface_is_refused(void **state)
{
	struct config config = space_config();
	struct abi_fds fds;
	char error[256];

	(void)state;
	config.ports[0].mtu = 9000;
	assert_int_equal(kernel_devices_create(&config, &fds, error, sizeof(error)), -EMSGSIZE);
	assert_string_equal(
		error, "port \"wan\": mtu is 9000, but interface \"raw0\" carries only 1500 bytes");
	assert_nothing_left();
}

static void what_fails_half_way_is_undone(void **state)
{
	struct config config = space_config();
	struct abi_fds fds;
	char error[256];

	(void)state;
	config.ports[0].gateways[0] = space_ip("203.0.113.1");
	assert_true(kernel_devices_create(&config, &fds, error, sizeof(error)) < 0);
	assert_string_equal(error,
	                    "port \"wan\": gateway 203.0.113.1 is in none of the port's networks");
	assert_int_equal(fds.tun, -1);
	assert_int_equal(fds.taps[0], -1);
	assert_nothing_left();
}

static void second_start_is_refused_and_leaves_the_first_alone(void **state)
{
	struct config config = space_config();
	struct abi_fds first, second;
	char error[256];

	(void)state;
	assert_int_equal(kernel_devices_create(&config, &first, error, sizeof(error)), 0);
	assert_int_equal(kernel_devices_create(&config, &second, error, sizeof(error)), -EEXIST);
	assert_non_null(strstr(error, "device \"weirt0\" exists already"));
	assert_int_not_equal(if_nametoindex("weir-wan"), 0);
	assert_int_equal(shell("nft list table netdev weir_raw0 | grep -q 'policy drop'"), 0);
	abi_fds_close(&first);
	/* A guard left by an earlier run is replaced, not stumbled over. */
	assert_int_equal(kernel_devices_create(&config, &first, error, sizeof(error)), 0);
	abi_fds_close(&first);
	kernel_devices_destroy(&config);
}

static int create_as_nobody(void *arg)
{
	struct config *config = arg;
	struct abi_fds fds;
	char error[256];

	if (kernel_drop_privileges("nobody", error, sizeof(error)) != 0)
		return 1;
	if (kernel_devices_create(config, &fds, error, sizeof(error)) != -EPERM)
		return 2;
	return strstr(error, "needs root or CAP_NET_ADMIN") != NULL ? 0 : 3;
}

static void without_privilege_the_line_says_so(void **state)
{
	struct config config = space_config();

	(void)state;
	assert_int_equal(space_child(create_as_nobody, &config), 0);
	assert_nothing_left();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(devices_have_mac_mtu_addresses_and_routes, setup,
	                                        teardown),
		cmocka_unit_test_setup_teardown(
			descriptors_carry_the_short_virtio_header_and_offloads, setup, teardown),
		cmocka_unit_test_setup_teardown(guard_keeps_the_kernel_quiet_and_af_packet_seeing,
	                                        setup, teardown),
		cmocka_unit_test_setup_teardown(missing_interface_is_refused_by_name, setup,
	                                        teardown),
		cmocka_unit_test_setup_teardown(address_left_on_the_raw_interface_is_refused, setup,
	                                        teardown),
		cmocka_unit_test_setup_teardown(mtu_larger_than_the_interface_is_refused, setup,
	                                        teardown),
		cmocka_unit_test_setup_teardown(what_fails_half_way_is_undone, setup, teardown),
		cmocka_unit_test_setup_teardown(second_start_is_refused_and_leaves_the_first_alone,
	                                        setup, teardown),
		cmocka_unit_test_setup_teardown(without_privilege_the_line_says_so, setup,
	                                        teardown),
	};
	int skip = space_enter();

	return skip != 0 ? skip : cmocka_run_group_tests_name("kernel/device", tests, NULL, NULL);
}

/* The mirror against a real kernel and a program that remembers. */
#include "kernel.h"
#include "kernel_mirror.h"
#include "kernel_space.h"
#include "program.h"

#include <errno.h>
#include <event2/event.h>
#include <linux/rtnetlink.h>
#include <linux/virtio_net.h>

/* ---- a program that remembers -------------------------------------------------------------------- */

#define HELD_MAX 64

struct program {
	struct abi_cmd_address addresses[HELD_MAX];
	size_t n_addresses;
	struct abi_cmd_wan_route routes[HELD_MAX];
	size_t n_routes;
	struct abi_cmd_neighbour neighbours[HELD_MAX];
	size_t n_neighbours;
};

int program_address_set(struct program *program, const struct abi_cmd_address *address)
{
	for (size_t i = 0; i < program->n_addresses; i++) {
		if (!base_ip_equal(&program->addresses[i].ip, &address->ip)
		    || program->addresses[i].port != address->port)
			continue;
		if (address->present == 0)
			program->addresses[i] = program->addresses[--program->n_addresses];
		return 0;
	}
	if (address->present != 0 && program->n_addresses < HELD_MAX)
		program->addresses[program->n_addresses++] = *address;
	return 0;
}

int program_wan_route_drop(struct program *program, const struct abi_cmd_wan_route *route)
{
	for (size_t i = 0; i < program->n_routes; i++)
		if (base_prefix_equal(&program->routes[i].prefix, &route->prefix))
			program->routes[i] = program->routes[--program->n_routes];
	return 0;
}

int program_wan_route_put(struct program *program, const struct abi_cmd_wan_route *route)
{
	program_wan_route_drop(program, route);
	if (program->n_routes < HELD_MAX)
		program->routes[program->n_routes++] = *route;
	return 0;
}

int program_neighbour_drop(struct program *program, const struct abi_cmd_neighbour *neighbour)
{
	for (size_t i = 0; i < program->n_neighbours; i++)
		if (base_ip_equal(&program->neighbours[i].ip, &neighbour->ip))
			program->neighbours[i] = program->neighbours[--program->n_neighbours];
	return 0;
}

int program_neighbour_put(struct program *program, const struct abi_cmd_neighbour *neighbour)
{
	program_neighbour_drop(program, neighbour);
	if (program->n_neighbours < HELD_MAX)
		program->neighbours[program->n_neighbours++] = *neighbour;
	return 0;
}

static const struct abi_cmd_wan_route *route_held(const struct program *program, const char *prefix)
{
	struct base_prefix wanted = space_prefix(prefix);

	for (size_t i = 0; i < program->n_routes; i++)
		if (base_prefix_equal(&program->routes[i].prefix, &wanted))
			return &program->routes[i];
	return NULL;
}

static bool route_by(const struct program *program, const char *prefix, const char *gateway)
{
	const struct abi_cmd_wan_route *route = route_held(program, prefix);
	struct base_ip ip = {0};

	if (gateway != NULL)
		ip = space_ip(gateway);
	return route != NULL && route->port == 0 && base_ip_equal(&route->gateway, &ip);
}

static bool address_held(const struct program *program, const char *text, uint32_t port)
{
	struct base_ip ip = space_ip(text);

	for (size_t i = 0; i < program->n_addresses; i++)
		if (base_ip_equal(&program->addresses[i].ip, &ip)
		    && program->addresses[i].port == port)
			return true;
	return false;
}

static bool neighbour_held(const struct program *program, const char *text, uint8_t last_of_mac)
{
	struct base_ip ip = space_ip(text);

	for (size_t i = 0; i < program->n_neighbours; i++)
		if (base_ip_equal(&program->neighbours[i].ip, &ip)
		    && program->neighbours[i].mac[5] == last_of_mac)
			return true;
	return false;
}

/* ---- the space ----------------------------------------------------------------------------------- */

struct lab {
	struct config config;
	struct abi_fds fds;
	struct program program;
	struct event_base *base;
	struct kernel *kernel;
};

static struct lab lab;

static int setup(void **state)
{
	char error[256] = "";

	(void)state;
	space_make_port();
	lab = (struct lab){.config = space_config()};
	if (kernel_devices_create(&lab.config, &lab.fds, error, sizeof(error)) != 0) {
		printf("# %s\n", error);
		return -1;
	}
	lab.base = event_base_new();
	return kernel_mirror_create(lab.base, &lab.config, &lab.program, &lab.kernel);
}

static int teardown(void **state)
{
	(void)state;
	kernel_mirror_destroy(lab.kernel);
	event_base_free(lab.base);
	abi_fds_close(&lab.fds);
	kernel_devices_destroy(&lab.config);
	space_remove_port();
	return 0;
}

/* Run the loop until the condition holds; a condition that never does is the end of the test. */
#define loop_until(condition)                                                                      \
	do {                                                                                       \
		for (int turn = 0; !(condition) && turn < 300; turn++)                             \
			loop_turn();                                                               \
		assert_true(condition);                                                            \
	} while (0)

static void loop_turn(void)
{
	struct timeval limit = {.tv_usec = 10000};

	event_base_loopexit(lab.base, &limit);
	event_base_dispatch(lab.base);
}

/* ---- tests --------------------------------------------------------------------------------------- */

static void first_dump_tells_what_was_made(void **state)
{
	(void)state;
	assert_true(address_held(&lab.program, "192.0.2.1", 0));
	assert_true(address_held(&lab.program, "2001:db8::1", 0));
	assert_true(address_held(&lab.program, "10.77.0.1", ABI_PORTS_MAX));
	assert_true(address_held(&lab.program, "fd77::1", ABI_PORTS_MAX));
	assert_false(address_held(&lab.program, "127.0.0.1", 0));
	assert_true(route_by(&lab.program, "192.0.2.0/24", NULL));
	assert_true(route_by(&lab.program, "2001:db8::/64", NULL));
	assert_true(route_by(&lab.program, "0.0.0.0/0", "192.0.2.254"));
	assert_true(route_by(&lab.program, "::/0", "2001:db8::ff"));
	/* The tunnel's own network is no underlay. */
	assert_null(route_held(&lab.program, "10.77.0.0/24"));
}

static void addresses_follow_ip_addr(void **state)
{
	(void)state;
	assert_int_equal(shell("ip addr add 198.51.100.7/24 dev weir-wan"), 0);
	loop_until(address_held(&lab.program, "198.51.100.7", 0));
	assert_true(route_by(&lab.program, "198.51.100.0/24", NULL));
	assert_int_equal(shell("ip addr del 198.51.100.7/24 dev weir-wan"), 0);
	loop_until(!address_held(&lab.program, "198.51.100.7", 0));
	assert_null(route_held(&lab.program, "198.51.100.0/24"));
	assert_true(address_held(&lab.program, "192.0.2.1", 0));
}

static void routes_follow_ip_route(void **state)
{
	const struct abi_cmd_wan_route *route;
	struct base_ip source = space_ip("192.0.2.1");

	(void)state;
	assert_int_equal(
		shell("ip route add 203.0.113.0/24 via 192.0.2.7 dev weir-wan src 192.0.2.1"), 0);
	loop_until(route_by(&lab.program, "203.0.113.0/24", "192.0.2.7"));
	route = route_held(&lab.program, "203.0.113.0/24");
	assert_true(base_ip_equal(&route->source, &source));
	assert_int_equal(shell("ip route replace 203.0.113.0/24 via 192.0.2.8 dev weir-wan"), 0);
	loop_until(route_by(&lab.program, "203.0.113.0/24", "192.0.2.8"));
	/* A worse one changes nothing; when the better one goes it takes over. */
	assert_int_equal(shell("ip route add 203.0.113.0/24 via 192.0.2.9 dev weir-wan metric 100"),
	                 0);
	assert_int_equal(shell("ip route add 203.0.114.0/24 via 192.0.2.9 dev weir-wan"), 0);
	loop_until(route_by(&lab.program, "203.0.114.0/24", "192.0.2.9"));
	assert_true(route_by(&lab.program, "203.0.113.0/24", "192.0.2.8"));
	assert_int_equal(shell("ip route del 203.0.113.0/24 via 192.0.2.8"), 0);
	loop_until(route_by(&lab.program, "203.0.113.0/24", "192.0.2.9"));
	assert_int_equal(shell("ip route del 203.0.113.0/24"), 0);
	loop_until(route_held(&lab.program, "203.0.113.0/24") == NULL);
}

static void route_that_leaves_our_taps_is_dropped(void **state)
{
	(void)state;
	assert_int_equal(shell("ip addr add 172.31.0.1/24 dev world0"), 0);
	assert_int_equal(shell("ip route replace default via 172.31.0.2 dev world0"), 0);
	loop_until(route_held(&lab.program, "0.0.0.0/0") == NULL);
	assert_int_equal(shell("ip route replace default via 192.0.2.254 dev weir-wan"), 0);
	loop_until(route_by(&lab.program, "0.0.0.0/0", "192.0.2.254"));
}

static void multipath_route_takes_its_first_way(void **state)
{
	(void)state;
	assert_int_equal(shell("ip route add 203.0.113.0/24 nexthop via 192.0.2.7 dev weir-wan "
	                       "nexthop via 192.0.2.8 dev weir-wan"),
	                 0);
	loop_until(route_by(&lab.program, "203.0.113.0/24", "192.0.2.7"));
}

static void multipath_route_leaves_out_ways_that_are_down(void **state)
{
	(void)state;
	assert_int_equal(shell("ip addr add 172.31.0.1/24 dev world0 && "
	                       "ip route add 203.0.113.0/24 nexthop via 192.0.2.7 dev weir-wan "
	                       "nexthop via 172.31.0.2 dev world0"),
	                 0);
	loop_until(route_by(&lab.program, "203.0.113.0/24", "192.0.2.7"));
	/* The kernel keeps the route, with one way marked dead. */
	assert_int_equal(
		shell("ip link set weir-wan down && ip route show 203.0.113.0/24 | grep -q dead"),
		0);
	loop_until(route_held(&lab.program, "203.0.113.0/24") == NULL);
	assert_int_equal(shell("ip link set weir-wan up"), 0);
	loop_until(route_by(&lab.program, "203.0.113.0/24", "192.0.2.7"));
}

static void neighbours_follow_ip_neigh(void **state)
{
	(void)state;
	assert_int_equal(shell("ip neigh add 192.0.2.7 lladdr 02:00:00:00:00:07 dev weir-wan"), 0);
	loop_until(neighbour_held(&lab.program, "192.0.2.7", 7));
	assert_int_equal(shell("ip neigh change 192.0.2.7 lladdr 02:00:00:00:00:08 dev weir-wan"),
	                 0);
	loop_until(neighbour_held(&lab.program, "192.0.2.7", 8));
	assert_int_equal(shell("ip neigh add 2001:db8::7 lladdr 02:00:00:00:00:09 dev weir-wan"),
	                 0);
	loop_until(neighbour_held(&lab.program, "2001:db8::7", 9));
	assert_int_equal(shell("ip neigh del 192.0.2.7 dev weir-wan"), 0);
	loop_until(!neighbour_held(&lab.program, "192.0.2.7", 8));
	/* Somebody else's device is not our business. */
	assert_int_equal(shell("ip neigh add 172.31.0.9 lladdr 02:00:00:00:00:01 dev world0 && "
	                       "ip neigh add 192.0.2.10 lladdr 02:00:00:00:00:0a dev weir-wan"),
	                 0);
	loop_until(neighbour_held(&lab.program, "192.0.2.10", 10));
	assert_false(neighbour_held(&lab.program, "172.31.0.9", 1));
}

static void routes_and_addresses_go_with_the_device(void **state)
{
	(void)state;
	assert_int_equal(shell("ip neigh add 192.0.2.7 lladdr 02:00:00:00:00:07 dev weir-wan"), 0);
	loop_until(lab.program.n_neighbours == 1);
	abi_fds_close(&lab.fds);
	loop_until(lab.program.n_addresses == 0 && lab.program.n_routes == 0
	           && lab.program.n_neighbours == 0);
}

static void lost_messages_lead_to_a_fresh_look(void **state)
{
	int size = 2048;

	(void)state;
	/* The smallest buffer the kernel gives, and far more changes than it holds. */
	assert_int_equal(setsockopt(mnl_socket_get_fd(lab.kernel->changes.socket), SOL_SOCKET,
	                            SO_RCVBUF, &size, sizeof(size)),
	                 0);
	assert_int_equal(shell("for i in $(seq 1 40); do echo neigh add 192.0.2.$((i + 20)) lladdr "
	                       "02:00:00:00:00:$(printf %%02x $i) dev weir-wan; done | ip -b -"),
	                 0);
	loop_until(lab.program.n_neighbours == 40);
}

/* The tables change while they are read: libmnl's -EINTR comes in the middle of a long answer. */
static int stop_after_1000(const struct nlmsghdr *message, void *arg)
{
	(void)message;
	if (++*(uint32_t *)arg < 1000)
		return MNL_CB_OK;
	errno = EINTR;
	return MNL_CB_ERROR;
}

static int count(const struct nlmsghdr *message, void *arg)
{
	(void)message;
	++*(uint32_t *)arg;
	return MNL_CB_OK;
}

static void dump_after_an_interrupted_one_is_whole(void **state)
{
	struct kernel_netlink *request = &lab.kernel->request;
	uint32_t n = 0;

	(void)state;
	assert_int_equal(shell("for i in $(seq 0 15); do for k in $(seq 0 255); do "
	                       "echo route add 198.18.$i.$k dev lo; done; done | ip -batch -"),
	                 0);
	assert_int_equal(kernel__netlink_dump(request, RTM_GETROUTE, AF_INET, stop_after_1000, &n),
	                 -EINTR);
	n = 0;
	assert_int_equal(kernel__netlink_dump(request, RTM_GETROUTE, AF_INET, count, &n), 0);
	assert_in_range(n, 4096, 4200);
	assert_int_equal(shell("ip route flush dev lo"), 0);
}

/* The TAP gets a frame with this in it. */
static bool tap_gets(int tap, const uint8_t *needle, size_t len)
{
	uint8_t frame[4096];

	for (;;) {
		struct pollfd poll_fd = {.fd = tap, .events = POLLIN};
		ssize_t n;

		if (poll(&poll_fd, 1, 1500) != 1)
			return false;
		n = read(tap, frame, sizeof(frame));
		if (n > (ssize_t)sizeof(struct virtio_net_hdr)
		    && memmem(frame, (size_t)n, needle, len) != NULL)
			return true;
	}
}

/* target of an ARP request; and the multicast group and target of a neighbour solicitation. */
static const uint8_t arp_for_9[] = {0, 0, 0, 0, 0, 0, 192, 0, 2, 9};
static const uint8_t solicitation_for_9[] = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 0,
                                             0,    0, 0,   0,    0, 0, 0, 9};

static void wanted_neighbour_is_asked_for_by_arp_and_nd(void **state)
{
	struct base_ip v4 = space_ip("192.0.2.9");
	struct base_ip v6 = space_ip("2001:db8::9");

	(void)state;
	kernel_neighbour_wanted(lab.kernel, 0, &v4);
	assert_true(tap_gets(lab.fds.taps[0], arp_for_9, sizeof(arp_for_9)));
	kernel_neighbour_wanted(lab.kernel, 0, &v6);
	assert_true(tap_gets(lab.fds.taps[0], solicitation_for_9, sizeof(solicitation_for_9)));
	/* A port that is not there, and no address, are no reason to fall over. */
	kernel_neighbour_wanted(lab.kernel, ABI_PORTS_MAX - 1, &v4);
	kernel_neighbour_wanted(lab.kernel, UINT32_MAX, &v4);
	v4.family = BASE_IP_NONE;
	kernel_neighbour_wanted(lab.kernel, 0, &v4);
}

/* With a neighbour in place each nudge is a datagram on the TAP, so they can be counted. */
static size_t datagrams_to_discard(int tap)
{
	static const uint8_t ports[] = {0, 9, 0, 8};
	uint8_t frame[4096];
	size_t n_seen = 0;
	ssize_t n;

	while ((n = read(tap, frame, sizeof(frame))) > 0)
		if (n == sizeof(struct virtio_net_hdr) + 14 + 20 + 8
		    && memcmp(frame + n - 6, ports, sizeof(ports)) == 0)
			n_seen++;
	return n_seen;
}

static void wanted_neighbour_is_asked_for_once_a_second_and_probed(void **state)
{
	struct base_ip ip = space_ip("192.0.2.7");

	(void)state;
	assert_int_equal(shell("ip neigh add 192.0.2.7 lladdr 02:00:00:00:00:07 dev weir-wan"), 0);
	(void)datagrams_to_discard(lab.fds.taps[0]);
	for (int i = 0; i < 100; i++)
		kernel_neighbour_wanted(lab.kernel, 0, &ip);
	assert_int_equal(datagrams_to_discard(lab.fds.taps[0]), 1);
	lab.kernel->wanted[0].asked_ns -= UINT64_C(1000000000);
	kernel_neighbour_wanted(lab.kernel, 0, &ip);
	assert_int_equal(datagrams_to_discard(lab.fds.taps[0]), 1);
	kernel__wanted_probe(lab.kernel, lab.kernel->wanted[0].asked_ns);
	assert_int_equal(datagrams_to_discard(lab.fds.taps[0]), 1);
}

static void next_hops_in_mind_are_bounded(void **state)
{
	struct base_ip ip = space_ip("192.0.2.9");

	(void)state;
	for (uint32_t i = 0; i < 3 * KERNEL_WANTED_MAX; i++) {
		ip.bytes[2] = (uint8_t)(i >> 8);
		ip.bytes[3] = (uint8_t)i;
		kernel_neighbour_wanted(lab.kernel, 1, &ip);
	}
	assert_true(base_ip_equal(&ip, &lab.kernel->wanted[KERNEL_WANTED_MAX - 1].ip));
}

static int mirror_as_nobody(void *arg)
{
	struct base_ip v4 = space_ip("192.0.2.9");
	struct event_base *base;
	struct kernel *kernel;
	char error[256];

	(void)arg;
	if (kernel_drop_privileges("nobody", error, sizeof(error)) != 0)
		return 1;
	lab.program = (struct program){0};
	base = event_base_new();
	if (kernel_mirror_create(base, &lab.config, &lab.program, &kernel) != 0)
		return 2;
	if (!address_held(&lab.program, "192.0.2.1", 0)
	    || !route_by(&lab.program, "0.0.0.0/0", "192.0.2.254"))
		return 3;
	kernel_neighbour_wanted(kernel, 0, &v4);
	if (!tap_gets(lab.fds.taps[0], arp_for_9, sizeof(arp_for_9)))
		return 4;
	kernel_mirror_destroy(kernel);
	event_base_free(base);
	return 0;
}

static void mirror_works_without_privilege(void **state)
{
	(void)state;
	assert_int_equal(space_child(mirror_as_nobody, NULL), 0);
}

int main(void)
{
#define lab_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		lab_test(first_dump_tells_what_was_made),
		lab_test(addresses_follow_ip_addr),
		lab_test(routes_follow_ip_route),
		lab_test(route_that_leaves_our_taps_is_dropped),
		lab_test(multipath_route_takes_its_first_way),
		lab_test(multipath_route_leaves_out_ways_that_are_down),
		lab_test(neighbours_follow_ip_neigh),
		lab_test(routes_and_addresses_go_with_the_device),
		lab_test(lost_messages_lead_to_a_fresh_look),
		lab_test(dump_after_an_interrupted_one_is_whole),
		lab_test(wanted_neighbour_is_asked_for_by_arp_and_nd),
		lab_test(wanted_neighbour_is_asked_for_once_a_second_and_probed),
		lab_test(next_hops_in_mind_are_bounded),
		lab_test(mirror_works_without_privilege),
	};
	int skip = space_enter();

	return skip != 0 ? skip : cmocka_run_group_tests_name("kernel/mirror", tests, NULL, NULL);
}

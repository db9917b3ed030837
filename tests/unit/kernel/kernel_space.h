/* What the tests of control/kernel share: a network namespace of their own, in which a veth pair is
 * the port (raw0) and the world (world0). Needs root. */
#ifndef KERNEL_SPACE_H
#define KERNEL_SPACE_H

#include "config.h"
#include "test.h"

#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

__attribute__((format(printf, 1, 2))) static inline int shell(const char *format, ...)
{
	char command[512];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	return system(command); /* one thread, fixed text */
}

/* Returns 0, or what main() has to return when there is no such namespace to be had. */
static inline int space_enter(void)
{
	const char *ci = getenv("CI");
	const char *why = NULL;

	if (geteuid() != 0)
		why = "needs root";
	else if (unshare(CLONE_NEWNET) != 0)
		why = "needs a network namespace";
	else if (shell("ip link set lo up") != 0)
		why = "needs ip(8)";
	if (why == NULL)
		return 0;
	printf("1..0 # SKIP %s\n", why);
	return ci != NULL && strcmp(ci, "true") == 0 ? 1 : 77;
}

static inline void space_make_port(void)
{
	assert_int_equal(shell("ip link add raw0 type veth peer name world0 && "
	                       "ip link set raw0 address 02:00:00:00:01:02 && "
	                       "ip link set world0 up"),
	                 0);
}

static inline void space_remove_port(void)
{
	shell("ip link del raw0 2>/dev/null");
	shell("nft delete table netdev weir_raw0 2>/dev/null");
}

static inline struct base_prefix space_prefix(const char *text)
{
	struct base_prefix prefix;

	assert_int_equal(base_prefix_parse(text, &prefix), 0);
	return prefix;
}

static inline struct base_ip space_ip(const char *text)
{
	struct base_ip ip;

	assert_int_equal(base_ip_parse(text, &ip), 0);
	return ip;
}

/* One port with both families, as in the example configuration. */
static inline struct config space_config(void)
{
	struct config config = {
		.tunnel_device = "weirt0",
		.tunnel_mtu = 1420,
		.tunnel = {space_prefix("10.77.0.1/24"), space_prefix("fd77::1/64")},
		.n_tunnel = 2,
		.n_ports = 1,
	};
	struct config_port *port = &config.ports[0];

	snprintf(port->name, sizeof(port->name), "wan");
	snprintf(port->device, sizeof(port->device), "raw0");
	snprintf(port->tap, sizeof(port->tap), "weir-wan");
	port->driver = ABI_DRIVER_AF_PACKET;
	port->mtu = 1500;
	port->addresses[0] = space_prefix("192.0.2.1/24");
	port->addresses[1] = space_prefix("2001:db8::1/64");
	port->n_addresses = 2;
	port->gateways[0] = space_ip("192.0.2.254");
	port->gateways[1] = space_ip("2001:db8::ff");
	port->n_gateways = 2;
	return config;
}

/* Run fn in a child and return its exit status; what it asserts does not reach cmocka, so it
 * answers by its return value: 0 is good. */
static inline int space_child(int (*fn)(void *arg), void *arg)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(fn(arg));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

#endif

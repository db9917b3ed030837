/* Finding the driver's packet sockets. */
#include "port_wake.h"

#include "base_log.h"

#include <dirent.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static bool is_bound_to(int fd, unsigned int ifindex)
{
	struct sockaddr_ll address = {0};
	socklen_t len = sizeof(address);

	return getsockname(fd, (struct sockaddr *)(void *)&address, &len) == 0
	       && address.sll_family == AF_PACKET && address.sll_ifindex == (int)ifindex
	       && address.sll_protocol != 0;
}

/* Insert into the ascending fds[*n]. */
static void insert(int *fds, uint32_t *n, int fd)
{
	uint32_t i = (*n)++;

	for (; i > 0 && fds[i - 1] > fd; i--)
		fds[i] = fds[i - 1];
	fds[i] = fd;
}

/* fds[ABI_WORKERS_MAX]. Returns how many sockets are bound to the interface, or -errno. */
static int find_sockets(unsigned int ifindex, int *fds)
{
	uint32_t n = 0;
	DIR *dir = opendir("/proc/self/fd");

	if (dir == NULL)
		return -errno;
	for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
		char *end;
		long fd = strtol(entry->d_name, &end, 10);

		if (end == entry->d_name || *end != '\0' || !is_bound_to((int)fd, ifindex))
			continue;
		if (n == ABI_WORKERS_MAX) {
			closedir(dir);
			return -E2BIG;
		}
		insert(fds, &n, (int)fd);
	}
	closedir(dir);
	return (int)n;
}

int port_wake_fd(const struct port_eth *port, uint32_t queue, uint32_t n_queues)
{
	int fds[ABI_WORKERS_MAX];
	unsigned int ifindex;
	int n;

	if (port->setup->driver != ABI_DRIVER_AF_PACKET)
		return -1;
	ifindex = if_nametoindex(port->setup->device);
	if (ifindex == 0)
		return -1;
	n = find_sockets(ifindex, fds);
	if (n >= 0 && (uint32_t)n == n_queues && queue < n_queues)
		return fds[queue];
	log_warn("port",
	         "port \"%s\" cannot wake an idle worker, which naps instead sockets=%d "
	         "queues=%u",
	         port->setup->name, n, n_queues);
	return -1;
}

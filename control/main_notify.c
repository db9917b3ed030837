/* One datagram, so that nothing of systemd need be linked. */
#include "main_notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main_notify_ready(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *path = getenv("NOTIFY_SOCKET");
	char text[64];
	size_t len;
	int fd, r = 0;

	if (path == NULL || *path == '\0')
		return 0;
	len = strlen(path);
	if (len >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, len);
	if (address.sun_path[0] == '@') /* a name without a file */
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	snprintf(text, sizeof(text), "READY=1\nMAINPID=%d\n", (int)getpid());
	if (sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address,
	           (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len))
	    < 0)
		r = -errno;
	close(fd);
	return r;
}

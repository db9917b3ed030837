/* Bytes and SCM_RIGHTS. */
#include "abi_message.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Room for the control messages of one message, aligned for the first header. */
union control {
	struct cmsghdr align;
	uint8_t bytes[CMSG_SPACE(sizeof(int) * ABI_FDS_MAX)];
};

int abi_message_send(int connection, const void *data, size_t len, const int *fds, uint32_t n)
{
	union control control = {.bytes = {0}};
	uint8_t copy[256]; /* sendmsg() would take data as writable */
	struct iovec iov = {.iov_base = copy, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (len > sizeof(copy))
		return -EMSGSIZE;
	memcpy(copy, data, len);
	if (n != 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * n);

		struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int) * n);
		memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * n);
	}

	ssize_t sent = sendmsg(connection, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (sent < 0)
		return -errno;
	return sent == (ssize_t)len ? 0 : -EMSGSIZE;
}

/* Collect the descriptors; those that do not fit are closed and counted. */
static void collect_fds(struct msghdr *msg, struct abi_message *out)
{
	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg != NULL;
	     cmsg = CMSG_NXTHDR(msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;

		size_t n_here = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		for (size_t i = 0; i < n_here; i++, out->n_fds++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(fd), sizeof(fd));
			if (out->n_fds < ABI_FDS_MAX)
				out->fds[out->n_fds] = fd;
			else
				close(fd);
		}
	}
}

ssize_t abi_message_receive(int connection, void *data, size_t len, struct abi_message *out)
{
	union control control = {.bytes = {0}};
	struct iovec iov = {.iov_base = data, .iov_len = len};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t n;

	out->n_fds = 0;
	n = recvmsg(connection, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (n < 0)
		return -errno;
	if (n == 0)
		return -ECONNRESET;
	out->flags = msg.msg_flags;
	collect_fds(&msg, out);
	return n;
}

void abi_message_close(struct abi_message *message)
{
	for (uint32_t i = 0; i < message->n_fds && i < ABI_FDS_MAX; i++)
		close(message->fds[i]);
	message->n_fds = 0;
}

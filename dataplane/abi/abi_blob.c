/* Messages about blobs, and making them. */
#include "abi_blob.h"

#include "abi_message.h"
#include "base_siphash.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

int abi_blob_send(int connection, struct abi_blob_message *message, int fd)
{
	message->magic = ABI_BLOB_MAGIC;
	return abi_message_send(connection, message, sizeof(*message), &fd, fd >= 0 ? 1 : 0);
}

int abi_blob_receive(int connection, struct abi_blob_message *message, int *fd)
{
	struct abi_message beside;
	ssize_t len;

	*fd = -1;
	*message = (struct abi_blob_message){0};
	len = abi_message_receive(connection, message, sizeof(*message), &beside);
	if (len < 0)
		return (int)len;
	if (len != (ssize_t)sizeof(*message) || (beside.flags & (MSG_TRUNC | MSG_CTRUNC)) != 0
	    || message->magic != ABI_BLOB_MAGIC || message->kind >= ABI_N_BLOBS
	    || beside.n_fds > 1) {
		abi_message_close(&beside);
		return -EPROTO;
	}
	if (beside.n_fds == 1)
		*fd = beside.fds[0];
	message->reason[sizeof(message->reason) - 1] = '\0';
	return 0;
}

/* Returns 0 or -errno. */
static int write_all(int fd, const uint8_t *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ENOSPC;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

int abi_blob_make(const char *name, const void *data, size_t len)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int err;

	if (fd < 0)
		return -errno;
	err = write_all(fd, data, len);
	if (err == 0 && fcntl(fd, F_ADD_SEALS, ABI_BLOB_SEALS | F_SEAL_SEAL) != 0)
		err = -errno;
	if (err == 0)
		return fd;
	close(fd);
	return err;
}

uint64_t abi_blob_hash(const void *data, size_t len)
{
	const struct base_siphash_key key = {UINT64_C(0x776569722d626c6f), UINT64_C(0x62)};

	return base_siphash(key, data, len);
}

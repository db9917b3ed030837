/* Listening, connecting and the one message each way. Everything received is checked before a
 * descriptor of it is kept. */
#include "abi_rendezvous.h"

#include "abi_message.h"
#include "base_time.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 8

/* ---- descriptors ------------------------------------------------------------------------------ */

/* Number i of the order in which they travel; i < ABI_FDS_MAX. */
static int *fd_at(struct abi_fds *fds, uint32_t i)
{
	switch (i) {
	case 0:
		return &fds->region;
	case 1:
		return &fds->control_wake;
	case 2:
		return &fds->tun;
	default:
		break;
	}
	i -= 3;
	return i < ABI_PORTS_MAX ? &fds->taps[i] : &fds->worker_wake[i - ABI_PORTS_MAX];
}

void abi_fds_init(struct abi_fds *fds)
{
	for (uint32_t i = 0; i < ABI_FDS_MAX; i++)
		*fd_at(fds, i) = -1;
}

void abi_fds_close(struct abi_fds *fds)
{
	for (uint32_t i = 0; i < ABI_FDS_MAX; i++)
		if (*fd_at(fds, i) >= 0)
			close(*fd_at(fds, i));
	abi_fds_init(fds);
}

/* ---- listen ----------------------------------------------------------------------------------- */

static int make_address(const char *path, struct sockaddr_un *out)
{
	size_t len = strlen(path);

	if (len == 0 || len >= sizeof(out->sun_path))
		return -ENAMETOOLONG;
	*out = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(out->sun_path, path, len + 1);
	return 0;
}

static int make_socket(int flags)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0);

	return fd < 0 ? -errno : fd;
}

/* Lock the directory of path until the descriptor is closed. Returns it or -errno. */
static int lock_directory(const char *path)
{
	char copy[sizeof(((struct sockaddr_un *)NULL)->sun_path)];

	snprintf(copy, sizeof(copy), "%s", path);

	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX) != 0) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

/* Remove a socket file that nobody listens on. Returns 0, -EADDRINUSE or -errno. */
static int remove_stale(const struct sockaddr_un *address)
{
	struct stat st;

	if (lstat(address->sun_path, &st) != 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;

	int probe = make_socket(SOCK_NONBLOCK);

	if (probe < 0)
		return probe;

	int err = connect(probe, (const struct sockaddr *)address, sizeof(*address)) == 0 ? 0
	                                                                                  : errno;

	close(probe);
	if (err != ECONNREFUSED) /* it answered, its backlog is full, or it is of another type */
		return -EADDRINUSE;
	return unlink(address->sun_path) == 0 ? 0 : -errno;
}

static int bind_and_listen(int fd, const struct sockaddr_un *address, uid_t uid, gid_t gid)
{
	int err = remove_stale(address);

	if (err != 0)
		return err;
	/* The mode of an unbound socket is the mode of the file that bind() makes: at no time can
	 * others connect. */
	if (fchmod(fd, 0600) != 0
	    || bind(fd, (const struct sockaddr *)address, sizeof(*address)) != 0)
		return -errno;
	if (lchown(address->sun_path, uid, gid) == 0 && listen(fd, BACKLOG) == 0)
		return 0;
	err = -errno;
	unlink(address->sun_path);
	return err;
}

int abi_rendezvous_listen(const char *path, uid_t uid, gid_t gid)
{
	struct sockaddr_un address;
	int err = make_address(path, &address);

	if (err != 0)
		return err;

	int lock = lock_directory(path);

	if (lock < 0)
		return lock;

	int fd = make_socket(SOCK_NONBLOCK);

	err = fd < 0 ? fd : bind_and_listen(fd, &address, uid, gid);
	close(lock);
	if (err == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return err;
}

/* ---- connect ---------------------------------------------------------------------------------- */

int abi_rendezvous_check_peer(int connection, uid_t uid)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0)
		return -EPERM;
	if (cred.uid == 0 || cred.uid == geteuid())
		return 0;
	return uid != (uid_t)-1 && cred.uid == uid ? 0 : -EPERM;
}

int abi_rendezvous_connect(const char *path, uid_t uid)
{
	struct sockaddr_un address;
	int err = make_address(path, &address);

	if (err != 0)
		return err;

	int fd = make_socket(0);

	if (fd < 0)
		return fd;
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0)
		err = -errno;
	else
		err = abi_rendezvous_check_peer(fd, uid);
	if (err == 0)
		return fd;
	close(fd);
	return err;
}

/* ---- the message ------------------------------------------------------------------------------ */

int abi_rendezvous_send(int connection, struct abi_hello *hello, const struct abi_fds *fds)
{
	struct abi_fds all;
	int present[ABI_FDS_MAX];
	uint32_t n = 0;

	hello->magic = ABI_MAGIC;
	hello->version = ABI_VERSION;
	hello->pid = (uint32_t)getpid();
	hello->fd_mask = 0;
	abi_fds_init(&all);
	if (fds != NULL)
		all = *fds;
	for (uint32_t i = 0; i < ABI_FDS_MAX; i++) {
		if (*fd_at(&all, i) < 0)
			continue;
		hello->fd_mask |= 1U << i;
		present[n++] = *fd_at(&all, i);
	}
	return abi_message_send(connection, hello, sizeof(*hello), present, n);
}

/* Wait until the connection is readable. Returns 0, -ETIMEDOUT or -errno. */
static int wait_readable(int connection, int timeout_ms)
{
	uint64_t until_ns = base_time_monotonic_ns() + (uint64_t)timeout_ms * BASE_NS_PER_MS;

	for (;;) {
		struct pollfd pfd = {.fd = connection, .events = POLLIN};
		int n = poll(&pfd, 1, timeout_ms);

		if (n > 0)
			return 0;
		if (n == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;

		uint64_t now_ns = base_time_monotonic_ns();

		if (now_ns >= until_ns)
			return -ETIMEDOUT;
		timeout_ms = (int)((until_ns - now_ns) / BASE_NS_PER_MS) + 1;
	}
}

#define REFUSE(...) (snprintf(why, why_len, __VA_ARGS__), -EPROTO)

/* len: bytes received. The version is looked at before the length, since another version may have
 * a longer hello. */
static int check_hello(const struct abi_hello *hello, size_t len, const struct abi_message *message,
                       char *why, size_t why_len)
{
	uint32_t n_fds = message->n_fds;
	int flags = message->flags;

	if (len < offsetof(struct abi_hello, pid) || hello->magic != ABI_MAGIC)
		return REFUSE("other side does not speak weir's rendezvous protocol");
	if (hello->version != ABI_VERSION)
		return REFUSE("other side speaks version %u, this program version %u: "
		              "run control and dataplane of one release",
		              hello->version, ABI_VERSION);
	if (len != sizeof(*hello) || (flags & MSG_TRUNC) != 0)
		return REFUSE("hello has the wrong length, expected %zu bytes", sizeof(*hello));
	if ((flags & MSG_CTRUNC) != 0 || hello->fd_mask >> ABI_FDS_MAX != 0
	    || n_fds != (uint32_t)__builtin_popcount(hello->fd_mask))
		return REFUSE("hello came with %s%u descriptors, its mask 0x%x says %d",
		              (flags & MSG_CTRUNC) != 0 ? "more than " : "", n_fds, hello->fd_mask,
		              __builtin_popcount(hello->fd_mask));
	return 0;
}

#undef REFUSE

int abi_rendezvous_receive(int connection, struct abi_hello *hello, struct abi_fds *fds,
                           int timeout_ms, char *why, size_t why_len)
{
	struct abi_message message;
	uint32_t next = 0;

	abi_fds_init(fds);
	*hello = (struct abi_hello){0};
	if (why_len != 0)
		why[0] = '\0';

	int err = wait_readable(connection, timeout_ms);

	if (err != 0)
		return err;

	ssize_t len = abi_message_receive(connection, hello, sizeof(*hello), &message);

	if (len < 0)
		return (int)len;
	err = check_hello(hello, (size_t)len, &message, why, why_len);
	if (err != 0) {
		abi_message_close(&message);
		return err;
	}
	for (uint32_t i = 0; i < ABI_FDS_MAX; i++)
		if ((hello->fd_mask >> i & 1U) != 0)
			*fd_at(fds, i) = message.fds[next++];
	hello->reason[sizeof(hello->reason) - 1] = '\0';
	return 0;
}

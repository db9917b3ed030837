/* The files of the store: who may own them, who may write beside them, and making them. */
#include "base_bytes.h"
#include "store_sql.h"

#include <sodium.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct owner {
	uid_t uid; /* (uid_t)-1 = who runs this */
	gid_t gid;
};

/* Files of root, of our own user, and of the user we shall become are ours. */
static bool is_ours(uid_t uid, const struct owner *owner)
{
	return uid == 0 || uid == geteuid() || (owner->uid != (uid_t)-1 && uid == owner->uid);
}

/* Give a file or directory that root just made to its owner. */
static int give(int fd, const struct owner *owner)
{
	if (geteuid() != 0 || owner->uid == (uid_t)-1)
		return 0;
	return fchown(fd, owner->uid, owner->gid) < 0 ? -errno : 0;
}

static int directory_prepare(const char *dir, const struct owner *owner, char *error, size_t len)
{
	bool made = mkdir(dir, 0700) == 0;
	struct stat st;

	if (!made && errno != EEXIST) {
		int err = -errno;

		snprintf(error, len, "%s: directory of the store cannot be made: %s", dir,
		         strerror(errno));
		return err;
	}

	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) < 0 || (made && give(fd, owner) < 0)) {
		int err = -errno;

		snprintf(error, len, "%s: directory of the store: %s", dir, strerror(errno));
		if (fd >= 0)
			close(fd);
		return err;
	}
	close(fd);
	if (!is_ours(st.st_uid, owner)) {
		snprintf(error, len,
		         "%s: directory of the store belongs to uid %u, must be root's "
		         "or weir's own",
		         dir, st.st_uid);
		return -EPERM;
	}
	if (st.st_mode & 077) {
		snprintf(error, len,
		         "%s: directory of the store has mode %04o, must be 0700: run `chmod 700 "
		         "%s`, or give the store a directory of its own",
		         dir, st.st_mode & 07777, dir);
		return -EPERM;
	}
	return 0;
}

/* Open a file of ours, or make it 0600. Returns the descriptor or -errno with a line. */
static int file_open(const char *path, const struct owner *owner, bool *made, char *error,
                     size_t len)
{
	struct stat st;
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	*made = fd >= 0;
	if (fd < 0 && errno == EEXIST)
		fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0 || (*made && give(fd, owner) < 0)) {
		int err = -errno;

		snprintf(error, len, "%s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return err;
	}
	if (!S_ISREG(st.st_mode) || !is_ours(st.st_uid, owner) || (st.st_mode & 077)) {
		snprintf(error, len,
		         "%s: has mode %04o and belongs to uid %u, must be a file 0600 of root or "
		         "of weir's own user",
		         path, st.st_mode & 07777, st.st_uid);
		close(fd);
		return -EPERM;
	}
	return fd;
}

/* Write the key to a new file and make sure that it stays, before anything is sealed with it. */
static int key_make(int fd, const char *dir, uint8_t key[static STORE_KEY_LEN])
{
	int dir_fd;
	int err = 0;

	randombytes_buf(key, STORE_KEY_LEN);
	if (write(fd, key, STORE_KEY_LEN) != STORE_KEY_LEN || fsync(fd) < 0)
		return errno ? -errno : -EIO;
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return -errno;
	if (fsync(dir_fd) < 0)
		err = -errno;
	close(dir_fd);
	return err;
}

static int key_prepare(const char *dir, const struct owner *owner, bool db_is_new,
                       uint8_t key[static STORE_KEY_LEN], char *error, size_t len)
{
	char path[PATH_MAX];
	bool made;

	snprintf(path, sizeof(path), "%s/store.key", dir);
	if (!db_is_new && access(path, F_OK) < 0) {
		snprintf(error, len,
		         "%s: is missing: without it the secrets in the store beside it cannot be "
		         "read",
		         path);
		return -EUCLEAN;
	}

	int fd = file_open(path, owner, &made, error, len);
	ssize_t n;
	int err;

	if (fd < 0)
		return fd;
	n = read(fd, key, STORE_KEY_LEN);
	if (n == STORE_KEY_LEN) {
		err = 0;
	} else if (n == 0 && db_is_new) { /* just made, or a first start that was killed here */
		err = key_make(fd, dir, key);
		if (err < 0)
			snprintf(error, len, "%s: cannot be written: %s", path, strerror(-err));
	} else {
		err = -EUCLEAN;
		snprintf(error, len, "%s: holds %zd bytes, must hold %d", path, n, STORE_KEY_LEN);
	}
	close(fd);
	return err;
}

int store__files_prepare(const char *path, uid_t uid, gid_t gid, uint8_t key[static STORE_KEY_LEN],
                         bool *is_new, char *error, size_t error_len)
{
	const struct owner owner = {uid, gid};
	const char *slash = strrchr(path, '/');
	struct stat st;
	char dir[PATH_MAX - sizeof("/store.key")];
	bool made;
	int fd;
	int err;

	if (!slash || (size_t)(slash - path) >= sizeof(dir)) {
		snprintf(error, error_len, "%.60s: must be an absolute path", path);
		return -EINVAL;
	}
	snprintf(dir, sizeof(dir), "%.*s", slash == path ? 1 : (int)(slash - path), path);
	err = directory_prepare(dir, &owner, error, error_len);
	if (err < 0)
		return err;
	fd = file_open(path, &owner, &made, error, error_len);
	if (fd < 0)
		return fd;
	*is_new = fstat(fd, &st) == 0 && st.st_size == 0;
	close(fd);
	err = key_prepare(dir, &owner, *is_new, key, error, error_len);
	if (err < 0)
		base_wipe(key, STORE_KEY_LEN);
	return err;
}

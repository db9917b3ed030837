/* Private key, directories, timestamp mark. */
#include "main_file.h"

#include "base_bytes.h"
#include "base_text.h"
#include "wg_key.h"

#include <sodium.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STAMP_LEN     12U
#define STAMP_HEX_LEN (2 * STAMP_LEN)

static int write_all(int fd, const void *bytes, size_t len)
{
	ssize_t n = write(fd, bytes, len);

	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -ENOSPC;
}

/* ---- private key -------------------------------------------------------------------------------- */

static int key_write(int fd, const uint8_t key[static 32])
{
	char text[BASE_KEY_BASE64_LEN + 1];
	int r;

	base_key_to_base64(text, key);
	text[BASE_KEY_BASE64_LEN - 1] = '\n';
	r = write_all(fd, text, BASE_KEY_BASE64_LEN);
	base_wipe(text, sizeof(text));
	if (r == 0 && fsync(fd) != 0)
		r = -errno;
	return r;
}

static int key_make(const char *path, uint8_t key[static 32], char *error, size_t error_len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int r;

	if (fd < 0) {
		r = -errno;
		snprintf(error, error_len, "%s: cannot make the private key: %s", path,
		         strerror(-r));
		return r;
	}
	randombytes_buf(key, 32);
	wg_key_clamp(key);
	r = key_write(fd, key);
	close(fd);
	if (r == 0)
		return 0;
	base_wipe(key, 32);
	unlink(path);
	snprintf(error, error_len, "%s: cannot write the private key: %s", path, strerror(-r));
	return r;
}

/* The file that is open is the one that is checked. */
static int key_check_file(int fd, const char *path, char *error, size_t error_len)
{
	struct stat st;

	if (fstat(fd, &st) != 0) {
		snprintf(error, error_len, "%s: %s", path, strerror(errno));
		return -errno;
	}
	if (!S_ISREG(st.st_mode)) {
		snprintf(error, error_len, "%s: not a regular file", path);
		return -EINVAL;
	}
	if ((st.st_mode & 077) != 0) {
		snprintf(error, error_len,
		         "%s: mode is %04o, must be 0600, others can use the hub's private key: "
		         "run `chmod 600 %s`",
		         path, st.st_mode & 07777, path);
		return -EACCES;
	}
	return 0;
}

static int key_read(int fd, const char *path, uint8_t key[static 32], char *error, size_t error_len)
{
	char text[BASE_KEY_BASE64_LEN + 2] = {0};
	ssize_t n = read(fd, text, sizeof(text) - 1);
	int r = n < 0 ? -errno : 0;

	if (n > 0 && text[n - 1] == '\n')
		text[n - 1] = '\0';
	if (r == 0)
		r = base_key_from_base64(key, text);
	base_wipe(text, sizeof(text));
	if (r != 0)
		snprintf(error, error_len,
		         "%s: must hold one key of 44 base64 characters, as `wg genkey` writes it",
		         path);
	return r;
}

int main_key_load(const char *path, uint8_t key[static 32], char *error, size_t error_len)
{
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	int r;

	if (fd < 0 && errno == ENOENT)
		return key_make(path, key, error, error_len);
	if (fd < 0) {
		r = -errno;
		snprintf(error, error_len, "%s: cannot read the private key: %s", path,
		         r == -ELOOP ? "it is a symbolic link" : strerror(-r));
		return r;
	}
	r = key_check_file(fd, path, error, error_len);
	if (r == 0)
		r = key_read(fd, path, key, error, error_len);
	close(fd);
	return r;
}

/* ---- directories -------------------------------------------------------------------------------- */

int main_directory_make(const char *path, mode_t mode, char *error, size_t error_len)
{
	char parent[256];
	struct stat st;
	const char *end;

	if (stat(path, &st) == 0) {
		if (S_ISDIR(st.st_mode))
			return 0;
		snprintf(error, error_len, "%s: not a directory", path);
		return -ENOTDIR;
	}
	end = strrchr(path, '/');
	if (end != NULL && end != path) {
		int r;

		snprintf(parent, sizeof(parent), "%.*s", (int)(end - path), path);
		r = main_directory_make(parent, mode, error, error_len);
		if (r != 0)
			return r;
	}
	/* The umask is tight; what is asked for here is meant. */
	if (mkdir(path, mode) != 0 || chmod(path, mode) != 0) {
		snprintf(error, error_len, "%s: cannot make the directory: %s", path,
		         strerror(errno));
		return -errno;
	}
	return 0;
}

/* ---- timestamp mark ----------------------------------------------------------------------------- */

int main_stamp_load(const char *path, uint8_t stamp[static 12])
{
	char text[STAMP_HEX_LEN + 3] = {0}; /* one more than is right */
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n != STAMP_HEX_LEN + 1 || text[STAMP_HEX_LEN] != '\n')
		return -EINVAL;
	text[STAMP_HEX_LEN] = '\0';
	return base_hex_decode(stamp, STAMP_LEN, text);
}

int main_stamp_save(const char *path, const uint8_t stamp[static 12])
{
	char text[STAMP_HEX_LEN + 1], fresh[300];
	int fd, r;

	snprintf(fresh, sizeof(fresh), "%s.new", path);
	base_hex_encode(text, stamp, STAMP_LEN);
	text[STAMP_HEX_LEN] = '\n';
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = write_all(fd, text, sizeof(text));
	close(fd);
	if (r == 0 && rename(fresh, path) != 0)
		r = -errno;
	return r;
}

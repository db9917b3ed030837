/* Listening, connecting, and the hello with its descriptors: what passes and what is refused. */
#include "abi_rendezvous.h"
#include "base_bytes.h"
#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534U

static char directory[64];
static char path[80];

static int make_directory(void **state)
{
	(void)state;
	snprintf(directory, sizeof(directory), "/tmp/weir-rendezvous-XXXXXX");
	if (mkdtemp(directory) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/socket", directory);
	return chmod(directory, 0755);
}

static int remove_directory(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(directory);
}

static int count_open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(dir);
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

static void make_pair(int pair[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
}

static void close_pair(const int pair[2])
{
	close(pair[0]);
	close(pair[1]);
}

/* ---- hello ------------------------------------------------------------------------------------ */

static void hello_carries_exactly_the_descriptors_present(void **state)
{
	struct abi_fds sent;
	struct abi_fds got;
	struct abi_hello hello = {.epoch = 5};
	struct stat a;
	struct stat b;
	char why[128];
	int pair[2];

	(void)state;
	make_pair(pair);
	abi_fds_init(&sent);
	sent.region = open("/dev/zero", O_RDWR | O_CLOEXEC);
	sent.taps[7] = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_int_equal(abi_rendezvous_send(pair[0], &hello, &sent), 0);
	memset(&hello, 0, sizeof(hello));
	assert_int_equal(abi_rendezvous_receive(pair[1], &hello, &got, 1000, why, sizeof(why)), 0);
	assert_int_equal(hello.epoch, 5);
	assert_int_equal(hello.pid, getpid());
	assert_int_equal(got.control_wake, -1);
	assert_int_equal(got.tun, -1);
	for (int i = 0; i < 7; i++)
		assert_int_equal(got.taps[i], -1);
	assert_int_equal(fstat(sent.region, &a), 0);
	assert_int_equal(fstat(got.region, &b), 0);
	assert_int_equal(a.st_rdev, b.st_rdev);
	assert_int_equal(fstat(sent.taps[7], &a), 0);
	assert_int_equal(fstat(got.taps[7], &b), 0);
	assert_int_equal(a.st_rdev, b.st_rdev);
	assert_int_equal(fcntl(got.region, F_GETFD), FD_CLOEXEC);
	abi_fds_close(&sent);
	abi_fds_close(&got);
	assert_int_equal(got.region, -1);
	close_pair(pair);
}

static void all_twenty_seven_descriptors_pass(void **state)
{
	struct abi_fds sent;
	struct abi_fds got;
	struct abi_hello hello = {0};
	char why[128];
	int pair[2];

	(void)state;
	make_pair(pair);
	sent.region = dup(0);
	sent.control_wake = dup(0);
	sent.tun = dup(0);
	for (uint32_t i = 0; i < ABI_PORTS_MAX; i++)
		sent.taps[i] = dup(0);
	for (uint32_t i = 0; i < ABI_WORKERS_MAX; i++)
		sent.worker_wake[i] = dup(0);
	assert_int_equal(abi_rendezvous_send(pair[0], &hello, &sent), 0);
	assert_int_equal(abi_rendezvous_receive(pair[1], &hello, &got, 1000, why, sizeof(why)), 0);
	assert_int_equal(hello.fd_mask, 0x7ffffff);
	for (uint32_t i = 0; i < ABI_PORTS_MAX; i++)
		assert_true(got.taps[i] > 2);
	for (uint32_t i = 0; i < ABI_WORKERS_MAX; i++)
		assert_true(got.worker_wake[i] > 2);
	abi_fds_close(&sent);
	abi_fds_close(&got);
	close_pair(pair);
}

/* Send len bytes of hello as they are, with n_fds copies of a descriptor. */
static void send_raw(int to, const void *bytes, size_t len, uint32_t n_fds)
{
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(int) * 32)];
	} control = {.bytes = {0}};
	char copy[512];
	struct iovec iov = {.iov_base = copy, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	memcpy(copy, bytes, len);
	if (n_fds != 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);

		struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		for (uint32_t i = 0; i < n_fds; i++)
			memcpy(CMSG_DATA(cmsg) + i * sizeof(int), &to, sizeof(int));
	}
	assert_int_equal(sendmsg(to, &msg, 0), (ssize_t)len);
}

static void malformed_hello_is_refused_and_its_descriptors_closed(void **state)
{
	static const struct {
		uint64_t magic;
		uint32_t version;
		uint32_t fd_mask;
		uint32_t n_fds;
		size_t len;
		const char *why;
	} cases[] = {
		{ABI_MAGIC + 1, ABI_VERSION, 1, 1, 128, "rendezvous protocol"},
		{ABI_MAGIC, ABI_VERSION, 0, 0, 4, "rendezvous protocol"},
		{ABI_MAGIC, ABI_VERSION + 1, 1, 1, 128, "this program version"},
		{ABI_MAGIC, ABI_VERSION + 1, 0, 0, 200, "this program version"},
		{ABI_MAGIC, ABI_VERSION + 1, 0, 0, 64, "this program version"},
		{ABI_MAGIC, ABI_VERSION, 0, 0, 127, "wrong length"},
		{ABI_MAGIC, ABI_VERSION, 0, 0, 129, "wrong length"},
		{ABI_MAGIC, ABI_VERSION, 1, 0, 128, "0 descriptors, its mask 0x1 says 1"},
		{ABI_MAGIC, ABI_VERSION, 1, 2, 128, "2 descriptors, its mask 0x1 says 1"},
		{ABI_MAGIC, ABI_VERSION, 0, 1, 128, "1 descriptors, its mask 0x0 says 0"},
		{ABI_MAGIC, ABI_VERSION, 0x7ffffff, 28, 128,
	         "28 descriptors, its mask 0x7ffffff says 27"},
		{ABI_MAGIC, ABI_VERSION, 0xfffffff, 28, 128,
	         "28 descriptors, its mask 0xfffffff says 28"},
		{ABI_MAGIC, ABI_VERSION, 0x7ffffff, 32, 128, "more than "},
		{ABI_MAGIC, ABI_VERSION, 0x8000000, 1, 128, "mask 0x8000000"},
		{ABI_MAGIC, ABI_VERSION, UINT32_MAX, 27, 128, "mask 0xffffffff"},
	};

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++) {
		struct {
			struct abi_hello hello;
			uint8_t more[128];
		} raw = {.hello = {.magic = cases[i].magic,
		                   .version = cases[i].version,
		                   .fd_mask = cases[i].fd_mask}};
		struct abi_hello hello;
		struct abi_fds fds;
		char why[160];
		int pair[2];

		make_pair(pair);

		int before = count_open_fds();

		send_raw(pair[0], &raw, cases[i].len, cases[i].n_fds);
		print_message("# case %zu: %s\n", i, cases[i].why);
		assert_int_equal(abi_rendezvous_receive(pair[1], &hello, &fds, 1000, why,
		                                        sizeof(why)),
		                 -EPROTO);
		if (strstr(why, cases[i].why) == NULL)
			fail_msg("case %zu: \"%s\" does not say \"%s\"", i, why, cases[i].why);
		assert_int_equal(count_open_fds(), before);
		assert_int_equal(fds.region, -1);
		close_pair(pair);
	}
}

static void silence_times_out_and_an_end_is_told(void **state)
{
	struct abi_hello hello;
	struct abi_fds fds;
	char why[64];
	int pair[2];

	(void)state;
	make_pair(pair);
	assert_int_equal(abi_rendezvous_receive(pair[1], &hello, &fds, 1, why, sizeof(why)),
	                 -ETIMEDOUT);
	close(pair[0]);
	assert_int_equal(abi_rendezvous_receive(pair[1], &hello, &fds, 1000, why, sizeof(why)),
	                 -ECONNRESET);
	assert_int_equal(abi_rendezvous_send(pair[1], &hello, NULL), -EPIPE);
	close(pair[1]);
}

static void reason_always_ends_in_a_zero(void **state)
{
	struct abi_hello hello = {.refused = 1};
	struct abi_fds fds;
	char why[64];
	int pair[2];

	(void)state;
	make_pair(pair);
	memset(hello.reason, 'x', sizeof(hello.reason));
	assert_int_equal(abi_rendezvous_send(pair[0], &hello, NULL), 0);
	assert_int_equal(abi_rendezvous_receive(pair[1], &hello, &fds, 1000, why, sizeof(why)), 0);
	assert_int_equal(strlen(hello.reason), sizeof(hello.reason) - 1);
	close_pair(pair);
}

/* ---- socket ----------------------------------------------------------------------------------- */

static void socket_is_private_and_reachable(void **state)
{
	int listener = abi_rendezvous_listen(path, (uid_t)-1, (gid_t)-1);
	struct stat st;

	(void)state;
	assert_true(listener >= 0);
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0600);

	int connection = abi_rendezvous_connect(path, (uid_t)-1);
	int accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	assert_true(connection >= 0);
	assert_true(accepted >= 0);
	assert_int_equal(abi_rendezvous_check_peer(accepted, (uid_t)-1), 0);
	close(connection);
	close(accepted);
	close(listener);
}

static void stale_socket_is_replaced_and_a_live_one_is_not(void **state)
{
	int first = abi_rendezvous_listen(path, (uid_t)-1, (gid_t)-1);

	(void)state;
	assert_true(first >= 0);
	assert_int_equal(abi_rendezvous_listen(path, (uid_t)-1, (gid_t)-1), -EADDRINUSE);
	close(first); /* as a kill does: the file stays */
	assert_int_equal(abi_rendezvous_connect(path, (uid_t)-1), -ECONNREFUSED);

	int second = abi_rendezvous_listen(path, (uid_t)-1, (gid_t)-1);

	assert_true(second >= 0);
	close(second);
	unlink(path);
	assert_int_equal(abi_rendezvous_connect(path, (uid_t)-1), -ENOENT);
}

static void file_that_is_no_socket_is_left_alone(void **state)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(abi_rendezvous_listen(path, (uid_t)-1, (gid_t)-1), -EEXIST);
	assert_int_equal(access(path, F_OK), 0);
	unlink(path);
}

static void impossible_paths_are_refused(void **state)
{
	char long_path[200];

	(void)state;
	memset(long_path, 'x', sizeof(long_path));
	long_path[sizeof(long_path) - 1] = '\0';
	assert_int_equal(abi_rendezvous_listen(long_path, (uid_t)-1, (gid_t)-1), -ENAMETOOLONG);
	assert_int_equal(abi_rendezvous_connect(long_path, (uid_t)-1), -ENAMETOOLONG);
	assert_int_equal(abi_rendezvous_listen("", (uid_t)-1, (gid_t)-1), -ENAMETOOLONG);
	assert_int_equal(abi_rendezvous_listen("/nonexistent/socket", (uid_t)-1, (gid_t)-1),
	                 -ENOENT);
}

/* In a child that became nobody: connect to path, allowing uid. Returns what it gave. */
static int connect_as_nobody(uid_t uid)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		if (setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
			_exit(255);

		int fd = abi_rendezvous_connect(path, uid);

		_exit(fd >= 0 ? 0 : -fd);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void only_root_ourselves_and_the_named_user_get_in(void **state)
{
	(void)state;
	if (geteuid() != 0)
		fail_msg("needs root: it becomes another user");

	int listener = abi_rendezvous_listen(path, NOBODY, NOBODY);

	assert_true(listener >= 0);
	assert_int_equal(connect_as_nobody((uid_t)-1), 0); /* we, the listener, are root */

	int accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	assert_true(accepted >= 0);
	assert_int_equal(abi_rendezvous_check_peer(accepted, (uid_t)-1), -EPERM);
	assert_int_equal(abi_rendezvous_check_peer(accepted, 12345), -EPERM);
	assert_int_equal(abi_rendezvous_check_peer(accepted, NOBODY), 0);
	close(accepted);
	close(listener);
	unlink(path);
}

/* A listener that is neither root nor ourselves nor named is an impostor. */
static void impostor_that_listens_is_refused(void **state)
{
	int ready[2];
	char byte;

	(void)state;
	if (geteuid() != 0)
		fail_msg("needs root: it becomes another user");
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	assert_int_equal(chmod(directory, 0777), 0);

	pid_t pid = fork();

	if (pid == 0) {
		if (setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
			_exit(1);
		if (abi_rendezvous_listen(path, (uid_t)-1, (gid_t)-1) < 0)
			_exit(2);
		if (write(ready[1], "", 1) != 1)
			_exit(3);
		pause();
		_exit(0);
	}
	assert_true(pid > 0);
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(abi_rendezvous_connect(path, (uid_t)-1), -EPERM);
	assert_int_equal(abi_rendezvous_connect(path, 12345), -EPERM);

	int connection = abi_rendezvous_connect(path, NOBODY);

	assert_true(connection >= 0);
	close(connection);
	close(ready[0]);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	unlink(path);
	chmod(directory, 0755);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hello_carries_exactly_the_descriptors_present),
		cmocka_unit_test(all_twenty_seven_descriptors_pass),
		cmocka_unit_test(malformed_hello_is_refused_and_its_descriptors_closed),
		cmocka_unit_test(silence_times_out_and_an_end_is_told),
		cmocka_unit_test(reason_always_ends_in_a_zero),
		cmocka_unit_test(socket_is_private_and_reachable),
		cmocka_unit_test(stale_socket_is_replaced_and_a_live_one_is_not),
		cmocka_unit_test(file_that_is_no_socket_is_left_alone),
		cmocka_unit_test(impossible_paths_are_refused),
		cmocka_unit_test(only_root_ourselves_and_the_named_user_get_in),
		cmocka_unit_test(impostor_that_listens_is_refused),
	};

	return cmocka_run_group_tests_name("abi_rendezvous", tests, make_directory,
	                                   remove_directory);
}

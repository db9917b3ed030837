/* The hub's private key file and the timestamp mark. */
#include "main_file.h"
#include "main_notify.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char directory[] = "/tmp/weir-main-file-XXXXXX";
static char path[128];
static char error[512];

static int setup(void **state)
{
	(void)state;
	snprintf(path, sizeof(path), "%s/hub.key", directory);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(path);
	return 0;
}

static void write_file(const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void key_is_made_once_and_for_its_owner_alone(void **state)
{
	uint8_t made[32], read_back[32];
	struct stat st;

	(void)state;
	assert_int_equal(main_key_load(path, made, error, sizeof(error)), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, 45);
	/* clamped (RFC 7748 5) */
	assert_int_equal(made[0] & 7, 0);
	assert_int_equal(made[31] & 0xc0, 0x40);
	assert_int_equal(main_key_load(path, read_back, error, sizeof(error)), 0);
	assert_memory_equal(made, read_back, 32);
}

static void key_that_others_may_read_is_refused(void **state)
{
	static const mode_t modes[] = {0644, 0640, 0604, 0620, 0601, 0660};
	uint8_t key[32];

	(void)state;
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		write_file("yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\n", modes[i]);
		assert_int_equal(main_key_load(path, key, error, sizeof(error)), -EACCES);
		assert_non_null(strstr(error, "must be 0600"));
		assert_non_null(strstr(error, path));
	}
	write_file("yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\n", 0400);
	assert_int_equal(main_key_load(path, key, error, sizeof(error)), 0);
}

static void key_file_that_holds_no_key_is_refused_and_left(void **state)
{
	static const char *const texts[] = {
		"",
		"\n",
		"yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk",
		"yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\n\n",
		"yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk= x",
		"[Interface]\nPrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\n",
	};
	uint8_t key[32];
	struct stat st;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		write_file(texts[i], 0600);
		assert_int_equal(main_key_load(path, key, error, sizeof(error)), -EINVAL);
		assert_non_null(strstr(error, "44 base64 characters"));
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_size, strlen(texts[i]));
	}
	write_file("yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=", 0600);
	assert_int_equal(main_key_load(path, key, error, sizeof(error)), 0);
}

static void key_file_that_is_no_file_is_refused(void **state)
{
	uint8_t key[32];

	(void)state;
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(main_key_load(path, key, error, sizeof(error)), -ELOOP);
	assert_non_null(strstr(error, "symbolic link"));
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(main_key_load(path, key, error, sizeof(error)), -EINVAL);
	assert_non_null(strstr(error, "not a regular file"));
	assert_int_equal(main_key_load("/nonexistent/hub.key", key, error, sizeof(error)), -ENOENT);
	assert_non_null(strstr(error, "/nonexistent/hub.key: cannot make the private key"));
}

static void stamp_comes_back_as_it_was_stored(void **state)
{
	const uint8_t stamp[12] = {0x40, 0, 0, 0, 0x65, 0x53, 0xf1, 0, 1, 2, 3, 0xff};
	uint8_t loaded[12];

	(void)state;
	assert_int_equal(main_stamp_load(path, loaded), -ENOENT);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(main_stamp_save(path, stamp), 0);
		assert_int_equal(main_stamp_load(path, loaded), 0);
		assert_memory_equal(loaded, stamp, 12);
	}
	write_file("400000006553f100010203f\n", 0600);
	assert_int_equal(main_stamp_load(path, loaded), -EINVAL);
	write_file("400000006553f100010203fx\n", 0600);
	assert_int_equal(main_stamp_load(path, loaded), -EINVAL);
	write_file("400000006553f100010203ff\nmore", 0600);
	assert_int_equal(main_stamp_load(path, loaded), -EINVAL);
}

static void directories_are_made_with_their_parents(void **state)
{
	char deep[160];
	struct stat st;

	(void)state;
	umask(077);
	snprintf(deep, sizeof(deep), "%s/a/b", directory);
	assert_int_equal(main_directory_make(deep, 0755, error, sizeof(error)), 0);
	assert_int_equal(main_directory_make(deep, 0755, error, sizeof(error)), 0);
	assert_int_equal(stat(deep, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	rmdir(deep);
	snprintf(deep, sizeof(deep), "%s/a", directory);
	rmdir(deep);
	write_file("", 0600);
	assert_int_equal(main_directory_make(path, 0755, error, sizeof(error)), -ENOTDIR);
	assert_non_null(strstr(error, "not a directory"));
}

static void service_manager_is_told_who_is_the_main_process(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char expected[64], said[128] = "";
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)state;
	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(main_notify_ready(), 0);
	assert_true(strlen(path) < sizeof(address.sun_path));
	memcpy(address.sun_path, path, strlen(path));
	unlink(path);
	setenv("NOTIFY_SOCKET", path, 1);
	assert_int_equal(main_notify_ready(), -ENOENT);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(main_notify_ready(), 0);
	assert_true(recv(fd, said, sizeof(said) - 1, MSG_DONTWAIT) > 0);
	snprintf(expected, sizeof(expected), "READY=1\nMAINPID=%d\n", (int)getpid());
	assert_string_equal(said, expected);
	close(fd);
}

int main(void)
{
#define file_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		file_test(key_is_made_once_and_for_its_owner_alone),
		file_test(key_that_others_may_read_is_refused),
		file_test(key_file_that_holds_no_key_is_refused_and_left),
		file_test(key_file_that_is_no_file_is_refused),
		file_test(stamp_comes_back_as_it_was_stored),
		file_test(service_manager_is_told_who_is_the_main_process),
		file_test(directories_are_made_with_their_parents),
	};
	int n_failed;

	if (mkdtemp(directory) == NULL)
		return 1;
	n_failed = cmocka_run_group_tests_name("control/main_file", tests, NULL, NULL);
	rmdir(directory);
	return n_failed;
}

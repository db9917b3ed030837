/* From root to an ordinary user, in children. */
#include "kernel.h"
#include "kernel_space.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static bool status_says(const char *line)
{
	char text[4096] = {0};
	FILE *file = fopen("/proc/self/status", "re");
	size_t n;

	if (file == NULL)
		return false;
	n = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	return n > 0 && strstr(text, line) != NULL;
}

static int dropped_is_for_good(void *arg)
{
	struct rlimit core;
	char error[256];

	(void)arg;
	if (kernel_drop_privileges("nobody", error, sizeof(error)) != 0)
		return 1;
	if (getuid() != 65534 || geteuid() != 65534 || getgid() != 65534 || getegid() != 65534)
		return 2;
	if (getgroups(0, NULL) != 0)
		return 3;
	if (setuid(0) == 0 || seteuid(0) == 0 || setgid(0) == 0)
		return 4;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_DUMPABLE) != 0)
		return 5;
	if (getrlimit(RLIMIT_CORE, &core) != 0 || core.rlim_max != 0)
		return 6;
	return 0;
}

static int dropped_has_no_capability(void *arg)
{
	char error[256];

	(void)arg;
	if (kernel_drop_privileges("nobody", error, sizeof(error)) != 0)
		return 1;
	/* /proc/self belongs to root once we are not dumpable. */
	if (prctl(PR_SET_DUMPABLE, 1) != 0)
		return 2;
	if (!status_says("CapEff:\t0000000000000000") || !status_says("CapPrm:\t0000000000000000"))
		return 3;
	if (!status_says("CapInh:\t0000000000000000") || !status_says("CapAmb:\t0000000000000000"))
		return 4;
	return status_says("CapBnd:\t0000000000000000") ? 0 : 5;
}

static int unknown_user(void *arg)
{
	char error[256];

	(void)arg;
	if (kernel_drop_privileges("nobody-such", error, sizeof(error)) >= 0)
		return 1;
	return strcmp(error, "user \"nobody-such\" does not exist") == 0 && getuid() == 0 ? 0 : 2;
}

static int another_user(void *arg)
{
	char error[256];

	(void)arg;
	if (kernel_drop_privileges("nobody", error, sizeof(error)) != 0)
		return 1;
	/* Being that user already is fine, becoming another is not. */
	if (kernel_drop_privileges("nobody", error, sizeof(error)) != 0)
		return 2;
	return kernel_drop_privileges("daemon", error, sizeof(error)) == -EPERM ? 0 : 3;
}

static void user_groups_and_limits_are_given_up_for_good(void **state)
{
	(void)state;
	assert_int_equal(space_child(dropped_is_for_good, NULL), 0);
}

static void no_capability_is_left(void **state)
{
	(void)state;
	assert_int_equal(space_child(dropped_has_no_capability, NULL), 0);
}

static void unknown_user_is_refused_by_name(void **state)
{
	(void)state;
	assert_int_equal(space_child(unknown_user, NULL), 0);
}

static void only_root_becomes_somebody_else(void **state)
{
	(void)state;
	assert_int_equal(space_child(another_user, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(user_groups_and_limits_are_given_up_for_good),
		cmocka_unit_test(no_capability_is_left),
		cmocka_unit_test(unknown_user_is_refused_by_name),
		cmocka_unit_test(only_root_becomes_somebody_else),
	};
	int skip = space_enter();

	return skip != 0 ? skip
	                 : cmocka_run_group_tests_name("kernel/privileges", tests, NULL, NULL);
}

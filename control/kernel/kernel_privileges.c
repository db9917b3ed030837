/* From root to an ordinary user for good. */
#include "kernel.h"

#include <cap-ng.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static int fail(char *error, size_t error_len, const char *what, int err)
{
	snprintf(error, error_len, "%s: %s", what, strerror(err));
	return -err;
}

/* Keys are in memory: nobody may look at it, and no core file may hold it. */
static int close_memory(char *error, size_t error_len)
{
	const struct rlimit none = {0, 0};

	if (setrlimit(RLIMIT_CORE, &none) != 0)
		return fail(error, error_len, "cannot turn off core files", errno);
	if (prctl(PR_SET_DUMPABLE, 0) != 0)
		return fail(error, error_len, "cannot turn off dumping", errno);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return fail(error, error_len, "cannot give up new privileges", errno);
	return 0;
}

static int change_user(const struct passwd *user, char *error, size_t error_len)
{
	int r;

	capng_clear(CAPNG_SELECT_ALL);
	r = capng_change_id((int)user->pw_uid, (int)user->pw_gid,
	                    CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_BOUNDING | CAPNG_CLEAR_AMBIENT);
	if (r == 0)
		return 0;
	snprintf(error, error_len, "cannot become user \"%s\": libcap-ng says %d (%s)",
	         user->pw_name, r, strerror(errno));
	return -EPERM;
}

int kernel_drop_privileges(const char *user, char *error, size_t error_len)
{
	const struct passwd *entry;
	int r;

	errno = 0;
	entry = getpwnam(user); /* start-up: one thread calls this */
	if (entry == NULL) {
		snprintf(error, error_len, "user \"%s\" does not exist", user);
		return errno != 0 ? -errno : -ENOENT;
	}
	if (geteuid() == 0) {
		r = change_user(entry, error, error_len);
		if (r != 0)
			return r;
	} else if (geteuid() != entry->pw_uid) {
		snprintf(error, error_len, "cannot become user \"%s\": not started as root", user);
		return -EPERM;
	}
	return close_memory(error, error_len);
}

/* Which interfaces have a guard (guard.h): it outlives us on purpose. While control restarts, the dataplane
 * goes on with the interface. It goes with its interface, with a clean stop that still may, or at the next
 * start, which replaces it. */
#include "guard.h"
#include "kernel_device.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATH_LEN 256

/* ---- what has a guard, one name a line in the run directory ------------------------------------- */

static void notes_path(char path[static PATH_LEN], const char *run_dir)
{
	snprintf(path, PATH_LEN, "%s/guards", run_dir);
}

int kernel__guard_note(const char *run_dir, const char *interface)
{
	char path[PATH_LEN], line[IFNAMSIZ + 2];
	int len = snprintf(line, sizeof(line), "%s\n", interface);
	int fd, r = 0;

	if (run_dir[0] == '\0')
		return 0;
	notes_path(path, run_dir);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	if (write(fd, line, (size_t)len) != len)
		r = errno != 0 ? -errno : -EIO;
	close(fd);
	return r;
}

int kernel__guard_clear_noted(const char *run_dir)
{
	char path[PATH_LEN], line[IFNAMSIZ + 2];
	FILE *file;
	int r = 0;

	if (run_dir[0] == '\0')
		return 0;
	notes_path(path, run_dir);
	file = fopen(path, "re");
	if (file == NULL)
		return errno == ENOENT ? 0 : -errno;
	while (fgets(line, sizeof(line), file) != NULL) {
		int cleared;

		line[strcspn(line, "\n")] = '\0';
		cleared = line[0] != '\0' ? guard_clear(line) : 0;
		r = r == 0 ? cleared : r;
	}
	fclose(file);
	if (r == 0 && unlink(path) != 0)
		r = -errno;
	return r;
}

/* A wall clock that a test can set: preloaded into a program, it adds the seconds in the file CLOCK_SHIFT_FILE (8 bytes,
 * little endian, written in place) to what CLOCK_REALTIME, time() and gettimeofday() say. Other clocks are left
 * alone. libfaketime does the same and more, but cannot start below jemalloc, which asks for the time while it
 * begins. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *shift;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("CLOCK_SHIFT_FILE");
	int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *map = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*shift), PROT_READ, MAP_SHARED, fd, 0);

	if (map != MAP_FAILED)
		shift = map;
	if (fd >= 0)
		close(fd);
}

int clock_gettime(clockid_t id, struct timespec *out)
{
	int r = (int)syscall(SYS_clock_gettime, id, out);

	if (r == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) && shift != NULL)
		out->tv_sec += *shift;
	return r;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
	struct timespec now;
	int r = clock_gettime(CLOCK_REALTIME, &now);

	(void)zone;
	out->tv_sec = now.tv_sec;
	out->tv_usec = now.tv_nsec / 1000;
	return r;
}

time_t time(time_t *out)
{
	struct timespec now;

	if (clock_gettime(CLOCK_REALTIME, &now) != 0)
		return -1;
	if (out != NULL)
		*out = now.tv_sec;
	return now.tv_sec;
}

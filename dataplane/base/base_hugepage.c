/* Free hugepages as the kernel counts them, and transparent ones. */
#include "base_hugepage.h"

#include "base_time.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define ORDINARY_PAGE 4096U
#define HUGEPAGES_DIR "/sys/kernel/mm/hugepages"
#define TRANSPARENT   "/sys/kernel/mm/transparent_hugepage/enabled"
/* There whenever there are any, and the same for all of us. */
#define LOCK_FILE     "/proc/sys/vm/nr_hugepages"
#define LOCK_STEP_NS  (5 * BASE_NS_PER_MS)

/* The number in a file of the pages of one size; 0 when there is none. */
static unsigned long long read_count(const char *size, const char *name)
{
	unsigned long long n = 0;
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), HUGEPAGES_DIR "/%s/%s", size, name);
	file = fopen(path, "re");
	if (file == NULL)
		return 0;
	if (fscanf(file, "%llu", &n) != 1)
		n = 0;
	fclose(file);
	return n;
}

uint64_t base_hugepage_free_len(void)
{
	DIR *dir = opendir(HUGEPAGES_DIR);
	struct dirent *entry;
	uint64_t total = 0;

	if (dir == NULL)
		return 0;
	while ((entry = readdir(dir)) != NULL) {
		unsigned long long page_kb, n_free, n_promised;

		if (sscanf(entry->d_name, "hugepages-%llukB", &page_kb) != 1)
			continue;
		n_free = read_count(entry->d_name, "free_hugepages");
		n_promised = read_count(entry->d_name, "resv_hugepages");
		if (n_free > n_promised)
			total += (n_free - n_promised) * page_kb * 1024;
	}
	closedir(dir);
	return total;
}

int base_hugepage_lock(uint32_t patience_ms)
{
	const struct timespec step = {.tv_nsec = (long)LOCK_STEP_NS};
	uint64_t end_ns = base_time_monotonic_ns() + patience_ms * BASE_NS_PER_MS;
	int fd = open(LOCK_FILE, O_RDONLY | O_CLOEXEC);

	while (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
		if (base_time_monotonic_ns() >= end_ns) {
			close(fd);
			return -1;
		}
		nanosleep(&step, NULL);
	}
	return fd;
}

uint64_t base_hugepage_pool_len(uint32_t n, uint32_t object_len, bool hugepages)
{
	if (!hugepages && object_len <= ORDINARY_PAGE)
		object_len = ORDINARY_PAGE / (ORDINARY_PAGE / object_len);
	return (uint64_t)n * object_len;
}

static size_t whole_pages(size_t len)
{
	return (len + BASE_HUGEPAGE_LEN - 1) & ~(BASE_HUGEPAGE_LEN - 1);
}

void *base_hugepage_map(size_t *len)
{
	size_t whole = whole_pages(*len);
	size_t room = whole + BASE_HUGEPAGE_LEN;
	uint8_t *memory = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
	                       0);
	size_t before;

	if (memory == MAP_FAILED)
		return NULL;
	/* A large page begins at a multiple of its length: the rest of the room goes back. */
	before = -(uintptr_t)memory & (BASE_HUGEPAGE_LEN - 1);
	if (before > 0)
		(void)munmap(memory, before);
	if (before < BASE_HUGEPAGE_LEN)
		(void)munmap(memory + before + whole, BASE_HUGEPAGE_LEN - before);
	/* Refused by a kernel that has none: then pages are small. */
	(void)madvise(memory + before, whole, MADV_HUGEPAGE);
	*len = whole;
	return memory + before;
}

void base_hugepage_unmap(void *memory, size_t len)
{
	if (memory != NULL)
		(void)munmap(memory, whole_pages(len));
}

bool base_hugepage_is_transparent(void)
{
	char text[64] = "";
	FILE *file = fopen(TRANSPARENT, "re");
	bool is_there = file != NULL && fgets(text, sizeof(text), file) != NULL
	                && strstr(text, "[never]") == NULL;

	if (file != NULL)
		fclose(file);
	return is_there;
}

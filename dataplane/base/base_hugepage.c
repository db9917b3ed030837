/* Free hugepages as the kernel counts them, and transparent ones. */
#include "base_hugepage.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define ORDINARY_PAGE 4096U
#define HUGEPAGES_DIR "/sys/kernel/mm/hugepages"
#define TRANSPARENT   "/sys/kernel/mm/transparent_hugepage/enabled"

uint64_t base_hugepage_free_len(void)
{
	DIR *dir = opendir(HUGEPAGES_DIR);
	struct dirent *entry;
	uint64_t total = 0;

	if (dir == NULL)
		return 0;
	while ((entry = readdir(dir)) != NULL) {
		unsigned long long page_kb, n;
		char path[512];
		FILE *file;

		if (sscanf(entry->d_name, "hugepages-%llukB", &page_kb) != 1)
			continue;
		snprintf(path, sizeof(path), HUGEPAGES_DIR "/%s/free_hugepages", entry->d_name);
		file = fopen(path, "re");
		if (file == NULL)
			continue;
		if (fscanf(file, "%llu", &n) == 1)
			total += n * page_kb * 1024;
		fclose(file);
	}
	closedir(dir);
	return total;
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

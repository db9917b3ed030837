/* Free hugepages as the kernel counts them. */
#include "base_hugepage.h"

#include <dirent.h>
#include <stddef.h>
#include <stdio.h>

#define ORDINARY_PAGE 4096U
#define HUGEPAGES_DIR "/sys/kernel/mm/hugepages"

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

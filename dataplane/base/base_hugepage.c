/* Free hugepages as the kernel counts them. */
#include "base_hugepage.h"

#include <dirent.h>
#include <stddef.h>
#include <stdio.h>

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

/* A directory of its own for the store of a test, made before it and removed after it. Include once in a test file. */
#ifndef STORE_DIR_H
#define STORE_DIR_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[64];
static char path[128]; /* of the store in it */

/* For set_up; 0, or what cmocka takes for a failure. */
static inline int store_dir_make(void)
{
	strcpy(dir, "/tmp/weir-test-store-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/weir.db", dir);
	return 0;
}

/* For tear_down: fails when there is anything in it but a store. */
static inline int store_dir_remove(void)
{
	static const char *const names[] = {"weir.db", "weir.db-wal", "store.key"};
	char name[200];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(name, sizeof(name), "%s/%s", dir, names[i]);
		unlink(name);
	}
	return rmdir(dir);
}

#endif

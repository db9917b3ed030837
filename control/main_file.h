/* The small files that main.c reads and writes itself. */
#ifndef MAIN_FILE_H
#define MAIN_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Read the hub's private key, or make one, mode 0600, when the file does not exist. Refuses a file
 * that others may read. key is a secret: caller wipes. Returns 0 or -errno with a line in error. */
int main_key_load(const char *path, uint8_t key[static 32], char *error, size_t error_len)
	__attribute__((warn_unused_result));

/* Make a directory with its parents unless it exists. Returns 0 or -errno with a line in error. */
int main_directory_make(const char *path, mode_t mode, char *error, size_t error_len)
	__attribute__((warn_unused_result));

/* A TAI64N mark as 24 hex digits, replaced as a whole. load: 0, -ENOENT when there is none yet,
 * -EINVAL when it is none. */
int main_stamp_load(const char *path, uint8_t stamp[static 12]) __attribute__((warn_unused_result));
int main_stamp_save(const char *path, const uint8_t stamp[static 12])
	__attribute__((warn_unused_result));

#endif

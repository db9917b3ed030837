#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *seed_dir;

void fuzz_seed(const char *name, const void *data, size_t len)
{
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", seed_dir, name);
	file = fopen(path, "we");
	if (file == NULL || fwrite(data, 1, len, file) != len || fclose(file) != 0) {
		perror(path);
		exit(1);
	}
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	fuzz_start();
	if (*argc == 3 && strcmp((*argv)[1], "--seeds") == 0) {
		seed_dir = (*argv)[2];
		fuzz_seeds();
		/* Without atexit(): libFuzzer would report the end. */
		_Exit(0);
	}
	return 0;
}

uint8_t fuzz_u8(struct fuzz_input *in)
{
	if (in->len == 0)
		return 0;
	in->len--;
	return *in->data++;
}

uint16_t fuzz_u16(struct fuzz_input *in)
{
	uint8_t low = fuzz_u8(in);

	return (uint16_t)(low | fuzz_u8(in) << 8);
}

size_t fuzz_bytes(struct fuzz_input *in, size_t max, const uint8_t **out)
{
	size_t n = in->len < max ? in->len : max;

	*out = in->data;
	in->data += n;
	in->len -= n;
	return n;
}

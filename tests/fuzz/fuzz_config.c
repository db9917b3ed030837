/* Configuration files. What is refused is refused with one line. */
#include "config.h"
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int fd;
static char path[64];

void fuzz_start(void)
{
	fd = memfd_create("fuzz-config", MFD_CLOEXEC);
	assert(fd >= 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct config *config = NULL;
	char error[512] = "";
	int err;

	/* It would read what lies around on this machine. */
	if (memmem(data, len, "@include", 8) != NULL)
		return -1;
	if (ftruncate(fd, 0) != 0 || pwrite(fd, data, len, 0) != (ssize_t)len)
		abort();
	err = config_load(path, &config, error, sizeof(error));
	assert((err == 0) == (config != NULL));
	assert(err == 0 || (error[0] != '\0' && strchr(error, '\n') == NULL));
	config_unload(config);
	return 0;
}

/* Put text over the first place that has was, which is as long or longer. */
static void overwrite(char *where, const char *was, const char *text)
{
	char *at = strstr(where, was);

	if (at == NULL || strlen(text) > strlen(was)) {
		fprintf(stderr, "%s is not in the example\n", was);
		exit(1);
	}
	memset(at, ' ', strlen(was));
	memcpy(at, text, strlen(text));
}

void fuzz_seeds(void)
{
	static char text[65536];
	FILE *file = fopen(CONF_DIR "/weir.conf", "re");
	size_t len;

	if (file == NULL) {
		perror(CONF_DIR "/weir.conf");
		exit(1);
	}
	len = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	fuzz_seed("weir.conf", text, len);
	/* Its preshared key lies in no file of this machine: the same, so that it is read to the end. */
	overwrite(text, "# preshared_key = \"required\";", "preshared_key = \"optional\";");
	overwrite(text, "preshared_key_file = ", "# ");
	fuzz_seed("optional", text, len);
	fuzz_seed("empty", "", 0);
}

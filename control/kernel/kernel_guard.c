/* The guard: a netdev ingress chain that drops everything. The dataplane reads the interface by
 * AF_PACKET, which taps before ingress; without the guard the kernel would see each frame a second
 * time beside the TAP, and answer twice.
 *
 * The table outlives us on purpose: while control restarts, the dataplane goes on with the
 * interface. It goes with its interface, with a clean stop that still may, or at the next start,
 * which replaces it. */
#include "kernel_device.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <net/if.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COMMANDS_LEN 512
#define PATH_LEN     256

/* Interface names may hold characters that a table's name may not. */
static void table_name(char *out, size_t len, const char *interface)
{
	snprintf(out, len, "weir_%s", interface);
	for (char *c = out; *c != '\0'; c++)
		if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_", *c)
		    == NULL)
			*c = '_';
}

/* One transaction: all commands or none. */
static int run(const char *commands)
{
	struct nft_ctx *nft;
	int r;

	/* libnftables would tell stderr. */
	if (capng_get_caps_process() != 0
	    || capng_have_capability(CAPNG_EFFECTIVE, CAP_NET_ADMIN) != 1)
		return -EPERM;
	nft = nft_ctx_new(NFT_CTX_DEFAULT);
	if (nft == NULL)
		return -ENOMEM;
	/* Its own complaints are put into words by the caller. */
	nft_ctx_buffer_error(nft);
	nft_ctx_buffer_output(nft);
	errno = 0;
	r = nft_run_cmd_from_buffer(nft, commands);
	if (r != 0)
		r = strstr(nft_ctx_get_error_buffer(nft), "not permitted") != NULL ? -EPERM
		                                                                   : -ENOTSUP;
	nft_ctx_free(nft);
	return r;
}

int kernel__guard_set(const char *interface)
{
	char table[32], commands[COMMANDS_LEN];

	table_name(table, sizeof(table), interface);
	snprintf(commands, sizeof(commands),
	         "add table netdev %s\n"
	         "delete table netdev %s\n"
	         "table netdev %s {\n"
	         " chain ingress {\n"
	         "  type filter hook ingress device \"%s\" priority 0; policy drop;\n"
	         " }\n"
	         "}\n",
	         table, table, table, interface);
	return run(commands);
}

int kernel__guard_clear(const char *interface)
{
	char table[32], commands[COMMANDS_LEN];

	table_name(table, sizeof(table), interface);
	snprintf(commands, sizeof(commands),
	         "add table netdev %s\n"
	         "delete table netdev %s\n",
	         table, table);
	return run(commands);
}

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
		cleared = line[0] != '\0' ? kernel__guard_clear(line) : 0;
		r = r == 0 ? cleared : r;
	}
	fclose(file);
	if (r == 0 && unlink(path) != 0)
		r = -errno;
	return r;
}

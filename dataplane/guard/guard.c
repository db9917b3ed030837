/* The guard as an nftables table of its own. */
#include "guard.h"

#include <cap-ng.h>
#include <errno.h>
#include <linux/capability.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <string.h>

#define COMMANDS_LEN 512

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

int guard_set(const char *interface)
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

int guard_clear(const char *interface)
{
	char table[32], commands[COMMANDS_LEN];

	table_name(table, sizeof(table), interface);
	snprintf(commands, sizeof(commands),
	         "add table netdev %s\n"
	         "delete table netdev %s\n",
	         table, table);
	return run(commands);
}

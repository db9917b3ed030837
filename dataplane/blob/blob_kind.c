/* What each kind of blob must be before a worker sees it. A new kind gets its line here, its pointer in
 * worker/worker_blob.c, and nothing else. */
#include "abi_capture.h"
#include "blob.h"
#include "block_table.h"
#include "policy_table.h"

#include <fcntl.h>

static const char *check_policy(const void *data, size_t len)
{
	const char *why = NULL;

	(void)policy_table_check(data, len, &why);
	return why;
}

static const char *check_block(const void *data, size_t len)
{
	const char *why = NULL;

	(void)block_table_check(data, len, &why);
	return why;
}

const struct blob_kind blob_kinds[ABI_N_BLOBS] = {
	[ABI_BLOB_POLICY] =
		{
			.name = "policy",
			.seals = ABI_BLOB_SEALS,
			.len_max = POLICY_TABLE_LEN_MAX,
			.check = check_policy,
		},
	[ABI_BLOB_BLOCK] =
		{
			.name = "block",
			.seals = ABI_BLOB_SEALS,
			.len_max = BLOCK_TABLE_LEN_MAX,
			.check = check_block,
		},
	[ABI_BLOB_CAPTURE] =
		{
			.name = "capture",
			.seals = F_SEAL_SHRINK | F_SEAL_GROW,
			.is_written = true,
			.len_max = ABI_CAPTURE_LEN_MAX,
			.check = abi_capture_check,
		},
};

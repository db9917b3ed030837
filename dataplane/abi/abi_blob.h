/* Whole tables, each in a memfd of its own, over the connection that abi_rendezvous.h made:
 *
 *   control -> dataplane   a kind and a generation, with the blob's descriptor, or without: have none
 *   dataplane -> control   the same kind and generation: every worker uses it; or why it was refused,
 *                          and then the one before is still in force
 *
 * Control sends one of a kind at a time and waits for its answer; and all kinds anew, also those of
 * which it has none, whenever the two meet. */
#ifndef ABI_BLOB_H
#define ABI_BLOB_H

#include "abi_layout.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ABI_BLOB_MAGIC UINT64_C(0x626f6c622d726577) /* "wer-blob" */

/* What a memfd bears of which nobody shall change a byte; one that workers write to has the first two. */
#define ABI_BLOB_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

struct abi_blob_message {
	uint64_t magic; /* ABI_BLOB_MAGIC */
	uint32_t kind;  /* enum abi_blob */
	uint32_t err;   /* of an answer: 0 = every worker uses it; else an errno: refused */
	uint64_t generation;
	char reason[104]; /* of a refusal; ends in a zero */
};
ABI_ASSERT_SIZE(struct abi_blob_message, 128);

/* Send a blob, or an answer about one, once the two have greeted each other. Fills in magic. fd is
 * borrowed; -1 = none. Does not wait. Returns 0, -EAGAIN, -errno. */
int abi_blob_send(int connection, struct abi_blob_message *message, int fd)
	__attribute__((warn_unused_result));

/* Receive one, without waiting. *fd is close-on-exec and owned by the caller; -1 = none came, also on
 * error. Returns 0, -EAGAIN (nothing there), -ECONNRESET (the other side is gone), -EPROTO (not such a
 * message), -errno. */
int abi_blob_receive(int connection, struct abi_blob_message *message, int *fd)
	__attribute__((warn_unused_result));

/* A new memfd with this content, which nobody can change any more. Returns it or -errno. */
int abi_blob_make(const char *name, const void *data, size_t len)
	__attribute__((warn_unused_result));

/* The same on both sides, and no secret: it tells contents apart and proves nothing. */
uint64_t abi_blob_hash(const void *data, size_t len);

#endif

/* One message of a SEQPACKET socket with descriptors beside it: what abi_rendezvous.c, abi_blob.c and
 * control's takeover share. */
#ifndef ABI_MESSAGE_H
#define ABI_MESSAGE_H

#include "abi_rendezvous.h"

#include <stdint.h>
#include <sys/types.h>

/* What came beside the bytes. */
struct abi_message {
	int fds[ABI_FDS_MAX]; /* [n_fds], close-on-exec; those beyond were closed */
	uint32_t n_fds;       /* that came */
	int flags;            /* MSG_TRUNC, MSG_CTRUNC */
};

/* Send data[len], len <= 256, with fds[n], n <= ABI_FDS_MAX, borrowed. Does not wait. Returns 0 or -errno. */
int abi_message_send(int connection, const void *data, size_t len, const int *fds, uint32_t n)
	__attribute__((warn_unused_result));

/* Receive up to len bytes, without waiting. Returns how many came, -ECONNRESET when the other side is
 * gone, -errno; on error there are no descriptors. */
ssize_t abi_message_receive(int connection, void *data, size_t len, struct abi_message *out)
	__attribute__((warn_unused_result));

/* Close the descriptors of a message that is refused. */
void abi_message_close(struct abi_message *message);

#endif

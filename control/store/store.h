/* What must outlive the process: peers, services, certificates, in one SQLite file. Secrets in it
 * (preshared keys, certificates' private keys) are sealed under store.key, which lies beside it.
 *
 * Durability: the journal is a WAL. A change that was acknowledged (peers, services, certificates)
 * is synced to the disk first, so it survives a power cut. What the peers' life writes again and
 * again (store_peer_state_put(): endpoint, timestamp) is handed to the kernel only: it survives
 * kill -9 of the process, and a power cut may lose the last seconds of it.
 *
 * One process has the file open at a time. Thread: control's main loop, all functions. */
#ifndef STORE_H
#define STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct store;

/* Version of the tables that this program makes and needs. */
unsigned int store_schema_version(void);

/* Open or make the store.
 * path      of the database; its directory is made 0700 when missing, and refused when it is open
 *           to others. Files are 0600.
 * uid, gid  who will own the files when root makes them; (uid_t)-1 = whoever runs this
 * error     one line that names the file, on error
 * Returns 0, -EBUSY (another process has it), -EPERM (owner or mode), -EUCLEAN (damaged, or
 * store.key does not fit it), -EPROTO (made by a newer weir, or not ours), -errno.
 * Caller: store_close(). */
int store_open(const char *path, uid_t uid, gid_t gid, struct store **out, char *error,
               size_t error_len) __attribute__((warn_unused_result));
void store_close(struct store *store); /* wipes the key; NULL is fine */

/* Why the last call failed: for a message to a human; borrowed until the next call. */
const char *store_error(const struct store *store);

/* Several changes as one. Between begin and end every change succeeds or the whole is undone:
 * store_end(store, false) undoes, store_end(store, true) returns -errno when it could not commit
 * (and has undone). No nesting. */
int store_begin(struct store *store) __attribute__((warn_unused_result));
/* The same for a batch of store_peer_state_put(), which is not worth a sync. */
int store_begin_unsynced(struct store *store) __attribute__((warn_unused_result));
/* The same for megabytes: with a cache of 32 MB until its end, and the journal is written back into the file with a
 * later commit, not with this one, unless it has grown to 32 MB. */
int store_begin_large(struct store *store) __attribute__((warn_unused_result));
int store_end(struct store *store, bool commit) __attribute__((warn_unused_result));

/* Several changes that wait for the disk together. What is committed between these two is safe from the end of
 * the process at once, and on the disk when store_settle() returns 0: nothing of it may be acknowledged before, and
 * nothing of it at all when that is -errno. */
int store_gather(struct store *store) __attribute__((warn_unused_result));
int store_settle(struct store *store) __attribute__((warn_unused_result));

#endif

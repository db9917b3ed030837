/* The guard: a netdev ingress chain that drops everything. The dataplane reads the interface by AF_PACKET,
 * which taps before ingress; without the guard the kernel would see each frame a second time beside the TAP,
 * and answer twice. Control sets it when it begins, while it may; the dataplane, which keeps CAP_NET_ADMIN,
 * when the interface was removed and made again, since the table goes with its interface. */
#ifndef GUARD_H
#define GUARD_H

/* Let the kernel drop whatever comes in on interface. Replaces a guard that is there. Needs CAP_NET_ADMIN.
 * Returns 0, -EPERM, -ENOTSUP (no such tables in this kernel), -ENOMEM. */
int guard_set(const char *interface) __attribute__((warn_unused_result));
/* Returns 0, also when there is none, or -errno as above. */
int guard_clear(const char *interface) __attribute__((warn_unused_result));

#endif

/* The socket on which wg(8) finds the hub: the cross-platform configuration protocol of WireGuard
 * (wireguard.com/xplatform), so that `wg show weir0`, `wg show all dump` and exporters that read them
 * work as with any other WireGuard interface.
 *
 * It is for reading. What wg would change (`wg set`, `wg syncconf`) is refused with EPERM, because peers
 * here have names, addresses, grants and a history, which `weir peer` asks for. Nor are there keys in
 * it that are nobody's business: the hub's private key and preshared keys never leave control
 * (zero-trust.md H11, H20), so wg shows no public key for the interface (it reckons that from the private
 * one), and `wg showconf` writes peers without preshared keys.
 *
 * Thread: control's main loop. */
#ifndef UAPI_H
#define UAPI_H

#include <stddef.h>

struct config;
struct event_base;
struct peer_table;
struct program;
struct uapi;

#define UAPI_DIRECTORY "/var/run/wireguard" /* where wg(8) looks */

/* Make the socket, 0600, for an interface of this name, while it may still be made (as root). directory is
 * made when it is not there (0700). Returns the listening descriptor, -EADDRINUSE (somebody answers
 * there: another WireGuard has this name), -errno, with one line in error. */
int uapi_listen(const char *directory, const char *interface, char *error, size_t error_len)
	__attribute__((warn_unused_result));

/* Serve on it. fd is taken over on success; the others are borrowed until uapi_destroy(). Returns 0 or
 * -ENOMEM. */
int uapi_create(struct event_base *base, int fd, const struct config *config,
                const struct peer_table *peers, const struct program *program, struct uapi **out)
	__attribute__((warn_unused_result));
void uapi_destroy(struct uapi *uapi); /* closes all connections; NULL is fine */

#endif

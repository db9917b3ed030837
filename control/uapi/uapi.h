/* The socket on which wg(8) finds the hub: the cross-platform configuration protocol of WireGuard
 * (wireguard.com/xplatform), so that `wg show weir0`, `wg syncconf weir0 FILE` and what is built on them work as
 * with any other WireGuard interface.
 *
 * A change is a transaction: read whole, checked whole, done whole or not at all, and answered by one errno; the
 * reason of a refusal is logged and counted (wg_refused_...). One that is cut, by its client or by control's end, is
 * not done; only who has heard no answer to a whole one cannot know. Peers are those of the store, under its rules
 * (peer_set.h, model_wg.h). What is the hub's own (private key, port) is configuration and stays: it may be
 * said again, and not be changed.
 *
 * There are no keys in it that are nobody's business: the hub's private key and preshared keys never leave
 * control (zero-trust.md H11, H20), so wg shows no public key for the interface (it reckons that from the
 * private one), and `wg showconf` writes peers without preshared keys; what a file leaves out stays.
 *
 * Thread: control's main loop. */
#ifndef UAPI_H
#define UAPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;
struct event_base;
struct model;
struct peer_table;
struct program;
struct session_table;
struct uapi;

/* All borrowed until uapi_destroy(). */
struct uapi_setup {
	const struct config *config;
	struct model *model;
	const struct peer_table *peers;
	struct program *program;
	const struct session_table *session;
	uint32_t patience_ms; /* a client that does nothing is closed after twice this long */
};

#define UAPI_DIRECTORY   "/var/run/wireguard" /* where wg(8) looks */
#define UAPI_PATIENCE_MS 15000

/* Make the socket, 0600, for an interface of this name, while it may still be made (as root). directory is
 * made when it is not there (0700). Returns the listening descriptor, -EADDRINUSE (somebody answers
 * there: another WireGuard has this name), -errno, with one line in error. */
int uapi_listen(const char *directory, const char *interface, char *error, size_t error_len)
	__attribute__((warn_unused_result));

/* Remove what an ended control has left there, which is not allowed to at its end. As serve_unlisten(). */
int uapi_unlisten(const char *directory, const char *interface) __attribute__((warn_unused_result));

/* Serve on it. fd is taken over on success. Returns 0 or -ENOMEM. */
int uapi_create(struct event_base *base, int fd, const struct uapi_setup *setup, struct uapi **out)
	__attribute__((warn_unused_result));
/* To hand the socket over to another process: accept nobody; those who come wait there. It is quiet when those who
 * were let in have gone: wg(8) does with its answer. */
void uapi_pause(struct uapi *uapi, bool pause);
bool uapi_is_quiet(const struct uapi *uapi);
void uapi_destroy(struct uapi *uapi); /* closes all connections; NULL is fine */

#endif

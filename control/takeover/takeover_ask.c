/* The side that takes over. It waits: it has nothing else to do yet. */
#include "abi_message.h"
#include "abi_rendezvous.h"
#include "takeover.h"
#include "takeover_message.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_MS 10000 /* between two messages */

void takeover_gift_init(struct takeover_gift *gift)
{
	memset(gift, 0, sizeof(*gift));
	gift->connection = -1;
	gift->serve = -1;
	gift->uapi = -1;
}

static void close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void takeover_gift_fini(struct takeover_gift *gift)
{
	close_one(&gift->connection);
	close_one(&gift->serve);
	close_one(&gift->uapi);
	for (size_t i = 0; i < gift->n_clients; i++)
		close_one(&gift->clients[i]);
	for (size_t i = 0; i < gift->n_edge; i++)
		close_one(&gift->edge[i]);
}

/* The descriptors of one message into the gift. Those for which there is no place stay in beside. */
static void take(struct takeover_gift *gift, uint32_t kind, struct abi_message *beside)
{
	while (beside->n_fds > 0) {
		int fd = beside->fds[beside->n_fds - 1];

		if (kind == TAKEOVER_SERVE && gift->serve < 0)
			gift->serve = fd;
		else if (kind == TAKEOVER_UAPI && gift->uapi < 0)
			gift->uapi = fd;
		else if (kind == TAKEOVER_CLIENTS && gift->n_clients < TAKEOVER_CLIENTS_MAX)
			gift->clients[gift->n_clients++] = fd;
		else if (kind == TAKEOVER_EDGE && gift->n_edge < TAKEOVER_EDGE_MAX)
			gift->edge[gift->n_edge++] = fd;
		else
			return;
		beside->n_fds--;
	}
}

/* One message. Returns its kind or -errno with a line. */
static int receive(struct takeover_gift *gift, char *error, size_t error_len)
{
	struct pollfd readable = {.fd = gift->connection, .events = POLLIN};
	struct takeover_message message;
	struct abi_message beside;
	ssize_t len;

	if (poll(&readable, 1, PATIENCE_MS) <= 0) {
		snprintf(error, error_len, "the running weir-control does not answer");
		return -ETIMEDOUT;
	}
	len = abi_message_receive(gift->connection, &message, sizeof(message), &beside);
	if (len < 0) {
		snprintf(error, error_len, "the running weir-control has ended: %s",
		         strerror((int)-len));
		return (int)len;
	}
	if (beside.n_fds > ABI_FDS_MAX)
		beside.n_fds = ABI_FDS_MAX; /* the others are closed */
	if (len == (ssize_t)sizeof(message) && message.magic == TAKEOVER_MAGIC)
		take(gift, message.kind, &beside);
	else
		message.kind = TAKEOVER_N_KINDS;
	abi_message_close(&beside);
	message.text[TAKEOVER_TEXT_LEN - 1] = '\0';
	if (message.kind == TAKEOVER_REFUSED)
		snprintf(error, error_len, "%s", message.text);
	if (message.kind < TAKEOVER_N_KINDS)
		return (int)message.kind;
	snprintf(error, error_len, "the running weir-control does not speak of taking over");
	return -EPROTO;
}

static int send_kind(const struct takeover_gift *gift, enum takeover_kind kind,
                     const struct takeover_versions *versions)
{
	struct takeover_message message = {
		.magic = TAKEOVER_MAGIC,
		.kind = (uint32_t)kind,
		.abi = versions->abi,
		.store = versions->store,
		.set_up = versions->set_up,
	};

	return abi_message_send(gift->connection, &message, sizeof(message), NULL, 0);
}

int takeover_ask(const char *path, const struct takeover_versions *versions,
                 struct takeover_gift *gift, char *error, size_t error_len)
{
	int r;

	gift->connection = abi_rendezvous_connect(path, (uid_t)-1);
	r = gift->connection < 0 ? gift->connection : send_kind(gift, TAKEOVER_ASK, versions);
	if (r != 0) {
		snprintf(error, error_len, "%s: no weir-control to take over from: %s", path,
		         strerror(-r));
		return r;
	}
	do {
		r = receive(gift, error, error_len);
	} while (r >= 0 && r != TAKEOVER_GIVEN && r != TAKEOVER_REFUSED);
	if (r == TAKEOVER_GIVEN)
		return 0;
	return r == TAKEOVER_REFUSED ? -EACCES : r;
}

int takeover_ready(struct takeover_gift *gift)
{
	const struct takeover_versions none = {0};

	return send_kind(gift, TAKEOVER_READY, &none);
}

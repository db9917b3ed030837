/* The side that is taken over from. */
#include "takeover.h"

#include "abi_message.h"
#include "abi_rendezvous.h"
#include "base_log.h"
#include "takeover_message.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct takeover {
	struct event_base *base;
	struct takeover_versions versions;
	struct takeover_events events;
	int listener; /* -1 = closed */
	struct event *accept;
	int guest; /* who asks; -1 = nobody. One at a time */
	struct event *heard;
	bool has_asked;
};

static void guest_end(struct takeover *takeover)
{
	if (takeover->heard != NULL)
		event_free(takeover->heard);
	takeover->heard = NULL;
	if (takeover->guest >= 0)
		close(takeover->guest);
	takeover->guest = -1;
	takeover->has_asked = false;
}

static int tell(const struct takeover *takeover, enum takeover_kind kind, const int *fds,
                uint32_t n, const char *text)
{
	struct takeover_message message = {
		.magic = TAKEOVER_MAGIC,
		.kind = (uint32_t)kind,
		.abi = takeover->versions.abi,
		.store = takeover->versions.store,
		.set_up = takeover->versions.set_up,
	};

	if (takeover->guest < 0)
		return -ENOTCONN;
	snprintf(message.text, sizeof(message.text), "%s", text);
	return abi_message_send(takeover->guest, &message, sizeof(message), fds, n);
}

void takeover_refuse(struct takeover *takeover, const char *why)
{
	log_warn("takeover", "refused: %s", why);
	/* When it cannot be told, the end of the connection says no as well. */
	if (tell(takeover, TAKEOVER_REFUSED, NULL, 0, why) != 0)
		log_warn("takeover", "refusal could not be sent");
	guest_end(takeover);
}

int takeover_give(struct takeover *takeover, enum takeover_kind kind, const int *fds, size_t n)
{
	int err = 0;

	for (size_t i = 0; i < n && err == 0; i += TAKEOVER_FDS_MAX)
		err = tell(takeover, kind, fds + i,
		           (uint32_t)(n - i < TAKEOVER_FDS_MAX ? n - i : TAKEOVER_FDS_MAX), "");
	return err;
}

int takeover_given(struct takeover *takeover)
{
	return tell(takeover, TAKEOVER_GIVEN, NULL, 0, "");
}

/* Versions, before anything has changed. */
static void asked(struct takeover *takeover, const struct takeover_message *message)
{
	const struct takeover_versions *mine = &takeover->versions;
	char why[TAKEOVER_TEXT_LEN] = "";

	if (message->abi != mine->abi)
		snprintf(why, sizeof(why),
		         "the running weir-control has ABI version %u, the new one %u: they cannot "
		         "share a dataplane",
		         mine->abi, message->abi);
	else if (message->store != mine->store)
		snprintf(
			why, sizeof(why),
			"the running weir-control has store schema %u, the new one %u: they cannot "
			"share a store",
			mine->store, message->store);
	else if (message->set_up != mine->set_up)
		snprintf(why, sizeof(why),
		         "the configuration has changed what the dataplane was started with "
		         "(dataplane, ports or hub.tunnel_mtu): it needs a restart of both");
	if (why[0] != '\0') {
		takeover_refuse(takeover, why);
		return;
	}
	takeover->has_asked = true;
	takeover->events.asked(takeover->events.arg);
}

static void on_heard(evutil_socket_t fd, short what, void *arg)
{
	struct takeover *takeover = arg;
	struct takeover_message message;
	struct abi_message beside;
	ssize_t len = abi_message_receive(fd, &message, sizeof(message), &beside);
	bool had_asked = takeover->has_asked;

	(void)what;
	if (len == -EAGAIN)
		return;
	if (len > 0)
		abi_message_close(&beside);
	message.text[TAKEOVER_TEXT_LEN - 1] = '\0';
	if (len == (ssize_t)sizeof(message) && message.magic == TAKEOVER_MAGIC) {
		if (message.kind == TAKEOVER_ASK && !had_asked) {
			asked(takeover, &message);
			return;
		}
		if (message.kind == TAKEOVER_READY && had_asked) {
			guest_end(takeover);
			takeover->events.ready(takeover->events.arg);
			return;
		}
	}
	guest_end(takeover);
	if (had_asked)
		takeover->events.gone(takeover->events.arg);
}

static void on_accept(evutil_socket_t listener, short what, void *arg)
{
	struct takeover *takeover = arg;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)what;
	if (fd < 0)
		return;
	if (takeover->guest >= 0 || abi_rendezvous_check_peer(fd, (uid_t)-1) != 0) {
		log_warn("takeover", "connection refused: %s",
		         takeover->guest >= 0 ? "another is under way" : "user is not allowed");
		close(fd);
		return;
	}
	takeover->guest = fd;
	takeover->heard = event_new(takeover->base, fd, EV_READ | EV_PERSIST, on_heard, takeover);
	if (takeover->heard == NULL || event_add(takeover->heard, NULL) != 0)
		guest_end(takeover);
}

int takeover_create(struct event_base *base, const char *path,
                    const struct takeover_versions *versions, const struct takeover_events *events,
                    struct takeover **out)
{
	struct takeover *takeover = calloc(1, sizeof(*takeover));

	if (takeover == NULL)
		return -ENOMEM;
	*takeover = (struct takeover){.base = base,
	                              .versions = *versions,
	                              .events = *events,
	                              .listener = -1,
	                              .guest = -1};
	takeover->listener = abi_rendezvous_listen(path, (uid_t)-1, (gid_t)-1);
	if (takeover->listener < 0) {
		int err = takeover->listener;

		takeover_destroy(takeover);
		return err;
	}
	takeover->accept = event_new(base, takeover->listener, EV_READ | EV_PERSIST, on_accept,
	                             takeover);
	if (takeover->accept == NULL || event_add(takeover->accept, NULL) != 0) {
		takeover_destroy(takeover);
		return -ENOMEM;
	}
	*out = takeover;
	return 0;
}

void takeover_close(struct takeover *takeover)
{
	if (takeover->accept != NULL)
		event_free(takeover->accept);
	takeover->accept = NULL;
	if (takeover->listener >= 0)
		close(takeover->listener);
	takeover->listener = -1;
}

void takeover_destroy(struct takeover *takeover)
{
	if (takeover == NULL)
		return;
	guest_end(takeover);
	takeover_close(takeover);
	free(takeover);
}

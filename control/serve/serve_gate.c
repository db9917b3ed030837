/* Sockets of the machine's own people: who they are is told by the kernel. */
#include "serve_gate.h"

#include "base_log.h"
#include "base_time.h"

#include <errno.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 64

struct serve_gate {
	struct serve_gate_setup setup;
	void *arg;
	struct evconnlistener *listener;
	uint32_t n_clients;
	struct base_log_limit limit;
};

/* ---- listening ---------------------------------------------------------------------------------- */

/* True when somebody accepts connections on the socket file. */
static bool is_alive(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r;

	if (fd < 0)
		return true; /* not known: do not take it away */
	r = connect(fd, (const struct sockaddr *)address, sizeof(*address));
	/* EAGAIN: its queue is full, so it is alive */
	r = r == 0 || errno != ECONNREFUSED;
	close(fd);
	return r;
}

/* Remove a socket file that nobody listens on. */
static int clear_path(const struct sockaddr_un *address)
{
	struct stat st;

	if (lstat(address->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	if (is_alive(address))
		return -EADDRINUSE;
	return unlink(address->sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

int serve_unlisten(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path));
	return clear_path(&address);
}

static int refuse(char *error, size_t len, const char *path, int err)
{
	const char *why = err == -EADDRINUSE ? "a hub is already running here (it answers)"
	                  : err == -EEXIST   ? "is there and is not a socket"
	                                     : strerror(-err);

	snprintf(error, len, "%s: control socket: %s", path, why);
	return err;
}

int serve_listen(const char *path, char *error, size_t error_len)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	mode_t umask_before;
	int err;
	int fd;

	if (strlen(path) >= sizeof(address.sun_path))
		return refuse(error, error_len, path, -ENAMETOOLONG);
	memcpy(address.sun_path, path, strlen(path));
	err = clear_path(&address);
	if (err < 0)
		return refuse(error, error_len, path, err);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return refuse(error, error_len, path, -errno);
	umask_before = umask(0177);
	err = bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	umask(umask_before);
	if (err == 0 && listen(fd, BACKLOG) < 0)
		err = -errno;
	if (err < 0) {
		close(fd);
		return refuse(error, error_len, path, err);
	}
	return fd;
}

/* ---- accepting ---------------------------------------------------------------------------------- */

static void log_limited(struct serve_gate *gate, const char *message)
{
	uint32_t suppressed;

	if (base_log_limit_pass(&gate->limit, base_time_monotonic_ns(), &suppressed))
		log_warn(gate->setup.module, "%s suppressed=%u", message, suppressed);
}

static bool is_allowed(const struct serve_gate *gate, int fd, struct ucred *client)
{
	socklen_t len = sizeof(*client);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, client, &len) < 0)
		return false;
	return client->uid == 0 || (gate->setup.admits_user && client->uid == geteuid());
}

int serve_gate_admit(struct serve_gate *gate, int fd)
{
	struct ucred client = {.uid = (uid_t)-1};
	bool allowed = is_allowed(gate, fd, &client);
	struct bufferevent *bev;

	if (!allowed)
		log_limited(gate, gate->setup.admits_user
		                          ? "client refused: neither root nor the user of weir"
		                          : "client refused: not root");
	if (gate->n_clients == gate->setup.clients_max) {
		log_limited(gate, "too many clients at once");
		return -EAGAIN;
	}
	bev = bufferevent_socket_new(evconnlistener_get_base(gate->listener), fd,
	                             BEV_OPT_CLOSE_ON_FREE);
	if (!bev) {
		log_limited(gate, "no memory for a client");
		return -ENOMEM;
	}
	gate->n_clients++;
	if (gate->setup.client(gate->arg, bev, &client, allowed) < 0) {
		gate->n_clients--;
		bufferevent_free(bev); /* closes the socket */
	}
	return 0;
}

void serve_gate_left(struct serve_gate *gate)
{
	gate->n_clients--;
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
                      int len, void *arg)
{
	(void)listener;
	(void)address;
	(void)len;
	if (serve_gate_admit(arg, fd) != 0)
		close(fd);
}

static void on_accept_error(struct evconnlistener *listener, void *arg)
{
	char message[128];

	(void)listener;
	snprintf(message, sizeof(message), "client not accepted: %s", strerror(errno));
	log_limited(arg, message);
}

/* ---- life --------------------------------------------------------------------------------------- */

int serve_gate_create(struct event_base *base, int fd, const struct serve_gate_setup *setup,
                      void *arg, struct serve_gate **out)
{
	struct serve_gate *gate = calloc(1, sizeof(*gate));

	if (!gate)
		return -ENOMEM;
	gate->setup = *setup;
	gate->arg = arg;
	/* backlog 0: serve_listen() has called listen() */
	gate->listener = evconnlistener_new(base, on_accept, gate,
	                                    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (!gate->listener) {
		free(gate);
		return -ENOMEM;
	}
	evconnlistener_set_error_cb(gate->listener, on_accept_error);
	*out = gate;
	return 0;
}

void serve_gate_destroy(struct serve_gate *gate)
{
	if (!gate)
		return;
	evconnlistener_free(gate->listener);
	free(gate);
}

void serve_gate_pause(struct serve_gate *gate, bool pause)
{
	if (pause)
		evconnlistener_disable(gate->listener);
	else
		evconnlistener_enable(gate->listener);
}

int serve_gate_listener(const struct serve_gate *gate)
{
	return evconnlistener_get_fd(gate->listener);
}

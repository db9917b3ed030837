/* One thread of the edge. */
#include "edge_thread.h"

#include "base_time.h"
#include "edge_conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPT_BURST 64
#define TICK_MS      500

static void listeners_pause(struct edge_thread *thread, bool pause)
{
	thread->is_accept_paused = pause;
	for (size_t i = 0; i < thread->n_listeners; i++) {
		if (pause)
			event_del(&thread->listeners[i].readable);
		else
			event_add(&thread->listeners[i].readable, NULL);
	}
}

static struct base_ip address_of(const struct sockaddr_storage *from)
{
	if (from->ss_family == AF_INET6)
		return base_ip_make(BASE_IP_V6, &((const struct sockaddr_in6 *)from)->sin6_addr);
	return base_ip_make(BASE_IP_V4, &((const struct sockaddr_in *)from)->sin_addr);
}

static void accepted(struct edge_listener *listener, int fd, const struct sockaddr_storage *from)
{
	struct edge_thread *thread = listener->thread;
	struct base_ip client = address_of(from);

	if (thread->n_conns >= thread->limits.connections) {
		edge_count(thread, EDGE_REFUSED_FULL);
		close(fd);
		return;
	}
	edge_count(thread, EDGE_CONNECTIONS);
	edge_conn_accept(thread, fd, listener->is_tls, &client);
}

static bool is_shortage(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static void on_accept(evutil_socket_t listen_fd, short what, void *arg)
{
	struct edge_listener *listener = arg;
	uint32_t suppressed;

	(void)what;
	for (int i = 0; i < ACCEPT_BURST; i++) {
		struct sockaddr_storage from = {0};
		socklen_t len = sizeof(from);
		int fd = accept4(listen_fd, (struct sockaddr *)&from, &len,
		                 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			accepted(listener, fd, &from);
			continue;
		}
		if (!is_shortage(errno))
			return; /* none left, or this one gave up while waiting */
		/* Would be announced again at once: look away until the next tick. */
		if (base_log_limit_pass(&listener->thread->log_limit, base_time_monotonic_ns(),
		                        &suppressed))
			log_warn("edge", "cannot accept: %s suppressed=%u", strerror(errno),
			         suppressed);
		listeners_pause(listener->thread, true);
		return;
	}
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct edge_thread *thread = arg;
	uint64_t now_ns = base_time_monotonic_ns();
	struct edge_conn *next;

	(void)fd;
	(void)what;
	for (struct edge_conn *conn = thread->conns; conn != NULL; conn = next) {
		next = conn->next;
		edge_conn_expire(conn, now_ns);
	}
	if (thread->is_accept_paused && thread->table != NULL && !thread->is_draining)
		listeners_pause(thread, false);
}

/* A connection goes when the service it was opened for is no more. One whose handshake has not
 * come to the name yet will look into the new table. */
static void conns_cut(struct edge_thread *thread)
{
	struct edge_conn *next;

	for (struct edge_conn *conn = thread->conns; conn != NULL; conn = next) {
		const struct edge_service *now = edge_table_find(thread->table, conn->service.host);

		next = conn->next;
		if (conn->service.host[0] == '\0')
			continue;
		if (now == NULL || strcmp(now->name, conn->service.name) != 0)
			edge_conn_destroy(conn);
	}
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct edge_thread *thread = arg;
	struct edge_table *table;
	uint64_t n;

	(void)what;
	if (read(fd, &n, sizeof(n)) != (ssize_t)sizeof(n))
		return; /* woken by nobody */
	if (atomic_load_explicit(&thread->stop, memory_order_acquire)) {
		event_base_loopbreak(thread->base);
		return;
	}
	if (atomic_load_explicit(&thread->drain, memory_order_acquire) && !thread->is_draining) {
		thread->is_draining = true;
		listeners_pause(thread, true);
	}
	table = atomic_exchange_explicit(&thread->next, NULL, memory_order_acq_rel);
	if (table == NULL)
		return;
	edge_table_put(thread->table);
	/* Whoever connects before the services are known waits in the listener's queue. */
	if (thread->table == NULL && !thread->is_draining)
		listeners_pause(thread, false);
	thread->table = table;
	conns_cut(thread);
}

int edge_thread_init(struct edge_thread *thread, size_t n_listeners_max)
{
	thread->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (thread->wake_fd < 0)
		return -errno;
	thread->listeners = calloc(n_listeners_max + 1, sizeof(thread->listeners[0]));
	thread->base = event_base_new();
	if (thread->listeners == NULL || thread->base == NULL)
		return -ENOMEM;
	return 0;
}

void edge_thread_fini(struct edge_thread *thread)
{
	for (size_t i = 0; i < thread->n_listeners; i++)
		close(thread->listeners[i].fd);
	free(thread->listeners);
	if (thread->base != NULL)
		event_base_free(thread->base);
	edge_table_put(thread->table);
	edge_table_put(atomic_load_explicit(&thread->next, memory_order_acquire));
	if (thread->wake_fd >= 0)
		close(thread->wake_fd);
}

static int events_add(struct edge_thread *thread)
{
	const struct timeval tick = {TICK_MS / 1000, TICK_MS % 1000 * 1000L};
	int err = 0;

	event_assign(&thread->woken, thread->base, thread->wake_fd, EV_READ | EV_PERSIST, on_wake,
	             thread);
	event_assign(&thread->tick, thread->base, -1, EV_PERSIST, on_tick, thread);
	err |= event_add(&thread->woken, NULL);
	err |= event_add(&thread->tick, &tick);
	thread->is_accept_paused = true;
	for (size_t i = 0; i < thread->n_listeners; i++) {
		struct edge_listener *listener = &thread->listeners[i];

		listener->thread = thread;
		event_assign(&listener->readable, thread->base, listener->fd, EV_READ | EV_PERSIST,
		             on_accept, listener);
	}
	return err == 0 ? 0 : -ENOMEM;
}

static void events_del(struct edge_thread *thread)
{
	event_del(&thread->woken);
	event_del(&thread->tick);
	for (size_t i = 0; i < thread->n_listeners; i++)
		event_del(&thread->listeners[i].readable);
}

static void *thread_main(void *arg)
{
	struct edge_thread *thread = arg;

	event_base_dispatch(thread->base);
	while (thread->conns != NULL)
		edge_conn_destroy(thread->conns);
	events_del(thread);
	return NULL;
}

int edge_thread_start(struct edge_thread *thread, uint32_t index)
{
	sigset_t all;
	sigset_t before;
	char name[16];
	int err = events_add(thread);

	if (err != 0)
		return err;
	/* Signals are the main thread's; a blocked SIGPIPE makes write() fail with EPIPE. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = -pthread_create(&thread->id, NULL, thread_main, thread);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err != 0) {
		events_del(thread);
		return err;
	}
	snprintf(name, sizeof(name), "edge-%u", index);
	pthread_setname_np(thread->id, name);
	return 0;
}

static void thread_wake(struct edge_thread *thread)
{
	const uint64_t one = 1;

	/* Fails only when the counter is full, and then the thread is woken already. */
	if (write(thread->wake_fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
		return;
}

void edge_thread_join(struct edge_thread *thread)
{
	atomic_store_explicit(&thread->stop, true, memory_order_release);
	thread_wake(thread);
	pthread_join(thread->id, NULL);
}

void edge_thread_drain(struct edge_thread *thread)
{
	atomic_store_explicit(&thread->drain, true, memory_order_release);
	thread_wake(thread);
}

void edge_thread_table_set(struct edge_thread *thread, struct edge_table *table)
{
	/* What comes back was never looked at. */
	edge_table_put(atomic_exchange_explicit(&thread->next, table, memory_order_acq_rel));
	thread_wake(thread);
}

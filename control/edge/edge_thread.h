/* One thread of the edge: its own event base, listeners, connections, counters. Other threads
 * reach it in two ways only: a mailbox with the next table, and a flag to stop; an eventfd wakes
 * it for either. */
#ifndef EDGE_THREAD_H
#define EDGE_THREAD_H

#include "base_log.h"
#include "edge.h"
#include "edge_table.h"

#include <event2/event_struct.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

enum edge_counter {
	EDGE_CONNECTIONS = 0,
	EDGE_REQUESTS,
	EDGE_REDIRECTS,
	EDGE_REFUSED_TLS,
	EDGE_REFUSED_HOST,
	EDGE_REFUSED_REQUEST,
	EDGE_REFUSED_FULL,
	EDGE_UPSTREAM_FAILED,
	EDGE_WEBSOCKETS,
	EDGE_N_COUNTERS,
};

struct edge_conn;
struct edge_thread;

struct edge_listener {
	struct edge_thread *thread;
	int fd;
	bool is_tls;
	struct event readable;
};

struct edge_thread {
	/* Set before the thread starts, then read only. */
	struct event_base *base;
	SSL_CTX *front;
	struct edge_limits limits; /* no zeroes */
	uint16_t https_port;       /* where port 80 sends clients */
	struct edge_listener *listeners;
	size_t n_listeners;
	pthread_t id;
	int wake_fd;

	/* Mailbox. next: put by control's main, taken by the thread, always by exchange, so each
	 * table has one holder. */
	_Atomic(struct edge_table *) next;
	_Atomic bool stop;
	_Atomic bool drain;

	/* Writer: the thread. Readers: any. */
	_Atomic uint64_t counters[EDGE_N_COUNTERS];

	/* The thread's own. */
	struct edge_table *table;
	struct edge_conn *conns;  /* list */
	_Atomic uint32_t n_conns; /* others may read it */
	bool is_accept_paused;    /* no table yet, no descriptor was left, or draining */
	bool is_draining;         /* another process accepts; responses end their connections */
	struct event woken;
	struct event tick;
	struct base_log_limit log_limit;
};

/* Prepare a thread: base, events, wake-up; listener descriptors are added by the caller. Returns
 * 0 or -errno. */
int edge_thread_init(struct edge_thread *thread, size_t n_listeners_max)
	__attribute__((warn_unused_result));
/* After edge_thread_join(), or when it never started. Closes the listeners. */
void edge_thread_fini(struct edge_thread *thread);

int edge_thread_start(struct edge_thread *thread, uint32_t index)
	__attribute__((warn_unused_result));
void edge_thread_join(struct edge_thread *thread); /* ends its connections */

/* Hand over a table, with one reference. Thread: control's main. */
void edge_thread_table_set(struct edge_thread *thread, struct edge_table *table);

/* Accept no more, and end each connection with the response that is under way or the next one. Thread:
 * control's main. */
void edge_thread_drain(struct edge_thread *thread);

/* One writer, so a load and a store do; no other thread needs the order. */
static inline void edge_count(struct edge_thread *thread, enum edge_counter counter)
{
	uint64_t value = atomic_load_explicit(&thread->counters[counter], memory_order_relaxed);

	atomic_store_explicit(&thread->counters[counter], value + 1, memory_order_relaxed);
}

#endif

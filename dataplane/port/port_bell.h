/* Waking a worker that sleeps. Others hand it work through rings and ring its bell when it has said
 * that it sleeps; one that is awake costs them no system call.
 *
 * The sleeper stores sleeps = 1, looks at its rings once more, and sleeps in poll() on fd if they are
 * empty. A producer puts something into a ring, looks at sleeps, and if it is set exchanges it for 0
 * and, if it was the one to clear it, writes fd. Each has a full fence between its store and its look,
 * so that one of the two sees the other: without it both looks may be answered before either store
 * is seen, and the work would lie in the ring while the worker sleeps. */
#ifndef PORT_BELL_H
#define PORT_BELL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

struct port_bell {
	_Alignas(64) _Atomic uint32_t sleeps; /* written by the sleeper, cleared by who wakes it */
	int fd;                               /* eventfd, borrowed; -1 = cannot be woken */
};

/* Sleeper, before its last look at the rings; and when it is awake again. */
static inline void port_bell_announce(_Atomic uint32_t *sleeps)
{
	atomic_store_explicit(sleeps, 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
}

static inline void port_bell_withdraw(_Atomic uint32_t *sleeps)
{
	atomic_store_explicit(sleeps, 0, memory_order_relaxed);
}

/* Producer, after it has put something into a ring: must the sleeper be woken, by this caller? */
static inline bool port_bell_is_due(_Atomic uint32_t *sleeps)
{
	atomic_thread_fence(memory_order_seq_cst);
	return atomic_load_explicit(sleeps, memory_order_relaxed) != 0
	       && atomic_exchange_explicit(sleeps, 0, memory_order_relaxed) != 0;
}

/* A system call. fd -1: nothing. */
static inline void port_bell_ring(int fd)
{
	uint64_t one = 1;

	/* EAGAIN: the counter is full, so its reader is awake. */
	if (fd >= 0 && write(fd, &one, sizeof(one)) < 0)
		return;
}

/* Sleeper: take back what was written to fd, which else would end the next sleep at once. */
static inline void port_bell_silence(int fd)
{
	uint64_t n;

	if (read(fd, &n, sizeof(n)) < 0)
		return; /* nothing was */
}

#endif

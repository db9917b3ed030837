/* One thread, two queues, and an eventfd that wakes the loop. */
#include "work.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

STAILQ_HEAD(job_list, work_job);

struct work {
	pthread_t thread;
	struct event *woken; /* something has been done */
	int fd;
	pthread_mutex_t lock; /* of all below */
	pthread_cond_t more;
	struct job_list waiting;
	struct job_list finished;
	bool stop;
};

/* Under the lock. */
static void give_back(struct work *work, struct work_job *job)
{
	bool wake = STAILQ_EMPTY(&work->finished);
	uint64_t one = 1;

	STAILQ_INSERT_TAIL(&work->finished, job, link);
	/* Written once for each time that the queue was empty: the counter cannot overflow. */
	if (wake && write(work->fd, &one, sizeof(one)) != sizeof(one))
		abort();
}

static void *thread_main(void *arg)
{
	struct work *work = arg;

	pthread_mutex_lock(&work->lock);
	while (!work->stop) {
		struct work_job *job = STAILQ_FIRST(&work->waiting);

		if (!job) {
			pthread_cond_wait(&work->more, &work->lock);
			continue;
		}
		STAILQ_REMOVE_HEAD(&work->waiting, link);
		pthread_mutex_unlock(&work->lock);
		job->run(job);
		pthread_mutex_lock(&work->lock);
		give_back(work, job);
	}
	pthread_mutex_unlock(&work->lock);
	return NULL;
}

static void on_woken(evutil_socket_t fd, short what, void *arg)
{
	struct job_list finished = STAILQ_HEAD_INITIALIZER(finished);
	struct work *work = arg;
	struct work_job *job;
	uint64_t n;

	(void)what;
	/* Emptied under the lock: what is put in afterwards wakes again. */
	pthread_mutex_lock(&work->lock);
	if (read(fd, &n, sizeof(n)) == sizeof(n))
		STAILQ_CONCAT(&finished, &work->finished);
	pthread_mutex_unlock(&work->lock);
	while ((job = STAILQ_FIRST(&finished)) != NULL) {
		STAILQ_REMOVE_HEAD(&finished, link);
		job->done(job);
	}
}

static int start(struct work *work)
{
	sigset_t all, before;
	int err;

	/* Signals are the main loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = -pthread_create(&work->thread, NULL, thread_main, work);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return err;
}

int work_create(struct event_base *base, struct work **out)
{
	struct work *work = calloc(1, sizeof(*work));
	int err = -ENOMEM;

	if (!work)
		return -ENOMEM;
	STAILQ_INIT(&work->waiting);
	STAILQ_INIT(&work->finished);
	pthread_mutex_init(&work->lock, NULL);
	pthread_cond_init(&work->more, NULL);
	work->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (work->fd < 0) {
		err = -errno;
		goto err_work;
	}
	work->woken = event_new(base, work->fd, EV_READ | EV_PERSIST, on_woken, work);
	if (!work->woken || event_add(work->woken, NULL) < 0)
		goto err_event;
	err = start(work);
	if (err < 0)
		goto err_event;
	*out = work;
	return 0;

err_event:
	if (work->woken)
		event_free(work->woken);
	close(work->fd);
err_work:
	pthread_cond_destroy(&work->more);
	pthread_mutex_destroy(&work->lock);
	free(work);
	return err;
}

static void drop_all(struct job_list *list)
{
	struct work_job *job;

	while ((job = STAILQ_FIRST(list)) != NULL) {
		STAILQ_REMOVE_HEAD(list, link);
		job->drop(job);
	}
}

void work_destroy(struct work *work)
{
	if (!work)
		return;
	pthread_mutex_lock(&work->lock);
	work->stop = true;
	pthread_cond_signal(&work->more);
	pthread_mutex_unlock(&work->lock);
	pthread_join(work->thread, NULL);
	event_free(work->woken);
	drop_all(&work->finished);
	drop_all(&work->waiting);
	close(work->fd);
	pthread_cond_destroy(&work->more);
	pthread_mutex_destroy(&work->lock);
	free(work);
}

void work_submit(struct work *work, struct work_job *job)
{
	pthread_mutex_lock(&work->lock);
	STAILQ_INSERT_TAIL(&work->waiting, job, link);
	pthread_cond_signal(&work->more);
	pthread_mutex_unlock(&work->lock);
}

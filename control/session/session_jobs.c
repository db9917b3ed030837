/* The handshake threads: X25519 steps on copies, nothing else. */
#include "base_bytes.h"
#include "session_table.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void list_init(struct session_job_list *list)
{
	list->first = NULL;
	list->last = &list->first;
}

static void list_append(struct session_job_list *list, struct session_job *job)
{
	job->next = NULL;
	*list->last = job;
	list->last = &job->next;
}

/* The whole of from, behind what to has. */
static void list_move(struct session_job_list *to, struct session_job_list *from)
{
	if (from->first == NULL)
		return;
	*to->last = from->first;
	to->last = from->last;
	list_init(from);
}

static struct session_job *list_take(struct session_job_list *list)
{
	struct session_job *job = list->first;

	if (job == NULL)
		return NULL;
	list->first = job->next;
	if (list->first == NULL)
		list->last = &list->first;
	job->next = NULL;
	return job;
}

static void job_run(struct session_job *job)
{
	switch (job->kind) {
	case SESSION_JOB_OPEN:
		job->verdict = (int)wg_noise_initiation_open(&job->identity, job->message,
		                                             &job->opened);
		return;
	case SESSION_JOB_RESPOND:
		job->remote_index = job->opened.handshake.remote_index;
		job->verdict = wg_noise_response_create(&job->noise, &job->opened.handshake,
		                                        job->local_index, job->ephemeral,
		                                        job->message, &job->keys);
		return;
	case SESSION_JOB_INITIATE:
		job->verdict = wg_noise_initiation_create(&job->identity, &job->noise,
		                                          job->local_index, job->ephemeral,
		                                          job->timestamp, &job->opened.handshake,
		                                          job->message);
		return;
	case SESSION_JOB_FINISH:
		job->verdict = (int)wg_noise_response_consume(&job->identity, &job->noise,
		                                              &job->opened.handshake, job->message,
		                                              &job->keys, &job->remote_index);
		return;
	}
}

/* Take one thread's share of what waits, those of known peers before the others. Returns how many. */
static uint32_t take_share(struct session_jobs *jobs,
                           struct session_job *share[static SESSION_SHARE])
{
	uint32_t n_max = jobs->n_waiting / jobs->n_sharing;
	uint32_t n = 0;

	if (n_max < 1)
		n_max = 1;
	if (n_max > SESSION_SHARE)
		n_max = SESSION_SHARE;
	while (n < n_max) {
		struct session_job *job = list_take(&jobs->first);

		if (job == NULL)
			job = list_take(&jobs->ready);
		if (job == NULL)
			break;
		share[n++] = job;
	}
	jobs->n_waiting -= n;
	return n;
}

static void give_back(struct session_jobs *jobs, struct session_job *const share[], uint32_t n)
{
	bool kick = jobs->done.first == NULL;
	uint64_t one = 1;

	for (uint32_t i = 0; i < n; i++)
		list_append(&jobs->done, share[i]);
	/* The counter cannot overflow: it is written once for each time the list was empty, and the
	 * reader empties it. */
	if (kick && write(jobs->done_fd, &one, sizeof(one)) != sizeof(one))
		abort();
}

static void *thread_main(void *arg)
{
	struct session_jobs *jobs = arg;
	struct session_job *share[SESSION_SHARE];

	pthread_mutex_lock(&jobs->lock);
	while (!jobs->stop) {
		uint32_t n = take_share(jobs, share);

		if (n == 0) {
			pthread_cond_wait(&jobs->work, &jobs->lock);
			continue;
		}
		pthread_mutex_unlock(&jobs->lock);
		for (uint32_t i = 0; i < n; i++)
			job_run(share[i]);
		pthread_mutex_lock(&jobs->lock);
		give_back(jobs, share, n);
	}
	pthread_mutex_unlock(&jobs->lock);
	return NULL;
}

static void stop_threads(struct session_jobs *jobs)
{
	pthread_mutex_lock(&jobs->lock);
	jobs->stop = true;
	pthread_cond_broadcast(&jobs->work);
	pthread_mutex_unlock(&jobs->lock);
	for (uint32_t i = 0; i < jobs->n_threads; i++)
		pthread_join(jobs->threads[i], NULL);
	jobs->n_threads = 0;
}

static int start_threads(struct session_jobs *jobs, uint32_t n_threads)
{
	sigset_t all, before;
	int r = 0;

	/* Signals are the main loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (uint32_t i = 0; i < n_threads && r == 0; i++) {
		r = -pthread_create(&jobs->threads[i], NULL, thread_main, jobs);
		if (r == 0)
			jobs->n_threads++;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

int session__jobs_init(struct session_jobs *jobs, uint32_t n_threads)
{
	int r;

	*jobs = (struct session_jobs){.n_sharing = n_threads};
	list_init(&jobs->new_ready);
	list_init(&jobs->new_first);
	list_init(&jobs->taken);
	list_init(&jobs->ready);
	list_init(&jobs->first);
	list_init(&jobs->done);
	for (uint32_t i = SESSION_JOBS; i-- > 0;) {
		jobs->jobs[i].next = jobs->free;
		jobs->free = &jobs->jobs[i];
	}
	jobs->threads = calloc(n_threads, sizeof(*jobs->threads));
	if (jobs->threads == NULL)
		return -ENOMEM;
	jobs->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (jobs->done_fd < 0) {
		r = -errno;
		goto err_threads;
	}
	pthread_mutex_init(&jobs->lock, NULL);
	pthread_cond_init(&jobs->work, NULL);
	r = start_threads(jobs, n_threads);
	if (r != 0)
		goto err_started;
	return 0;

err_started:
	stop_threads(jobs);
	pthread_cond_destroy(&jobs->work);
	pthread_mutex_destroy(&jobs->lock);
	close(jobs->done_fd);
err_threads:
	free(jobs->threads);
	jobs->threads = NULL;
	return r;
}

void session__jobs_fini(struct session_jobs *jobs)
{
	stop_threads(jobs);
	pthread_cond_destroy(&jobs->work);
	pthread_mutex_destroy(&jobs->lock);
	close(jobs->done_fd);
	free(jobs->threads);
	base_wipe(jobs, sizeof(*jobs));
	jobs->done_fd = -1;
}

struct session_job *session__jobs_get(struct session_jobs *jobs, bool own)
{
	struct session_job *job = jobs->free;

	if (job == NULL || (!own && jobs->n_used >= SESSION_JOBS - SESSION_JOBS_OWN))
		return NULL;
	jobs->free = job->next;
	jobs->n_used++;
	jobs->n_own += own ? 1 : 0;
	job->next = NULL;
	job->own = own;
	return job;
}

void session__jobs_put(struct session_jobs *jobs, struct session_job *job)
{
	jobs->n_own -= job->own ? 1 : 0;
	jobs->n_used--;
	base_wipe(job, sizeof(*job));
	job->next = jobs->free;
	jobs->free = job;
}

void session__jobs_submit(struct session_jobs *jobs, struct session_job *job)
{
	list_append(job->kind == SESSION_JOB_OPEN ? &jobs->new_ready : &jobs->new_first, job);
	jobs->n_new++;
}

void session__jobs_flush(struct session_jobs *jobs)
{
	if (jobs->n_new == 0)
		return;
	pthread_mutex_lock(&jobs->lock);
	list_move(&jobs->ready, &jobs->new_ready);
	list_move(&jobs->first, &jobs->new_first);
	jobs->n_waiting += jobs->n_new;
	if (jobs->n_new == 1)
		pthread_cond_signal(&jobs->work);
	else
		pthread_cond_broadcast(&jobs->work);
	pthread_mutex_unlock(&jobs->lock);
	jobs->n_new = 0;
}

struct session_job *session__jobs_done(struct session_jobs *jobs)
{
	if (jobs->taken.first == NULL) {
		pthread_mutex_lock(&jobs->lock);
		list_move(&jobs->taken, &jobs->done);
		pthread_mutex_unlock(&jobs->lock);
	}
	return list_take(&jobs->taken);
}

/* The queue, and the thread that empties it. */
#include "hook.h"

#include "base_log.h"
#include "base_time.h"
#include "hook_private.h"

#include <curl/curl.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define QUEUE_DEFAULT    1024U
#define RETRY_DEFAULT_MS 1000U
#define RETRY_MAX_MS     60000U
#define POST_MAX         64U /* lines in one POST */
#define CA_LEN_MAX       (1024U * 1024U)

struct hook {
	char *url;
	char *ca_pem;
	uint32_t retry_ms;
	pthread_t thread;
	atomic_bool stop;
	struct base_log_limit limit; /* the thread's */

	pthread_mutex_t lock; /* of all below */
	pthread_cond_t more;  /* a line, or the end */
	char **queue;         /* [n_queue]; lines from first on, around */
	uint32_t n_queue;
	uint32_t first;
	uint32_t n;
	struct hook_counters counters; /* waiting: those under way alone */
};

/* Lines that the thread has taken out of the queue. */
struct batch {
	uint32_t n;
	char *body;
	size_t len;
};

/* ---- the queue ---------------------------------------------------------------------------------- */

void hook_post(struct hook *hook, const char *line)
{
	char *copy = strdup(line);
	char *lost = NULL;

	pthread_mutex_lock(&hook->lock);
	if (!copy || hook->n == hook->n_queue)
		hook->counters.dropped++;
	if (copy && hook->n == hook->n_queue) {
		lost = hook->queue[hook->first];
		hook->first = (hook->first + 1) % hook->n_queue;
		hook->n--;
	}
	if (copy) {
		hook->queue[(hook->first + hook->n) % hook->n_queue] = copy;
		hook->n++;
		pthread_cond_signal(&hook->more);
	}
	pthread_mutex_unlock(&hook->lock);
	free(lost);
}

struct hook_counters hook_counters(struct hook *hook)
{
	struct hook_counters counters;

	pthread_mutex_lock(&hook->lock);
	counters = hook->counters;
	counters.waiting += hook->n;
	pthread_mutex_unlock(&hook->lock);
	return counters;
}

/* Wait for lines, and take them, each with its newline. False: the end. Without memory the lines stay. */
static bool take(struct hook *hook, struct batch *batch)
{
	char *lines[POST_MAX];

	*batch = (struct batch){.n = 0};
	pthread_mutex_lock(&hook->lock);
	while (hook->n == 0 && !atomic_load(&hook->stop))
		pthread_cond_wait(&hook->more, &hook->lock);
	for (; batch->n < POST_MAX && hook->n > 0; batch->n++) {
		lines[batch->n] = hook->queue[hook->first];
		batch->len += strlen(lines[batch->n]) + 1;
		hook->first = (hook->first + 1) % hook->n_queue;
		hook->n--;
	}
	batch->body = malloc(batch->len + 1);
	if (batch->body)
		hook->counters.waiting = batch->n;
	else
		hook->counters.dropped += batch->n;
	pthread_mutex_unlock(&hook->lock);

	batch->len = 0;
	for (uint32_t i = 0; i < batch->n; i++) {
		size_t len = strlen(lines[i]);

		if (batch->body) {
			memcpy(batch->body + batch->len, lines[i], len);
			batch->body[batch->len + len] = '\n';
		}
		batch->len += len + 1;
		free(lines[i]);
	}
	return !atomic_load(&hook->stop);
}

/* ---- the thread --------------------------------------------------------------------------------- */

static void pause_for(struct hook *hook, uint32_t ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(ms / 1000);
	until.tv_nsec += (long)(ms % 1000) * (long)BASE_NS_PER_MS;
	if (until.tv_nsec >= (long)BASE_NS_PER_S) {
		until.tv_sec++;
		until.tv_nsec -= (long)BASE_NS_PER_S;
	}
	pthread_mutex_lock(&hook->lock);
	while (!atomic_load(&hook->stop)
	       && pthread_cond_timedwait(&hook->more, &hook->lock, &until) == 0)
		; /* a new line does not end the pause */
	pthread_mutex_unlock(&hook->lock);
}

static void note(struct hook *hook, enum hook_verdict verdict, const struct batch *batch,
                 const char *why)
{
	uint32_t n_left_out;

	pthread_mutex_lock(&hook->lock);
	if (verdict == HOOK_TAKEN)
		hook->counters.posted += batch->n;
	else if (verdict == HOOK_REFUSED)
		hook->counters.refused += batch->n;
	else
		hook->counters.failures++;
	if (verdict != HOOK_AGAIN)
		hook->counters.waiting = 0;
	pthread_mutex_unlock(&hook->lock);
	if (verdict == HOOK_TAKEN || atomic_load(&hook->stop)
	    || !base_log_limit_pass(&hook->limit, base_time_monotonic_ns(), &n_left_out))
		return;
	log_warn("hook", "events %s lines=%u err=\"%s\" left_out=%u",
	         verdict == HOOK_AGAIN ? "not posted yet" : "refused by the webhook", batch->n, why,
	         n_left_out);
}

static void deliver(struct hook *hook, struct hook_sender *sender, const struct batch *batch)
{
	uint32_t pause_ms = hook->retry_ms;
	enum hook_verdict verdict;
	char why[256];

	while (!atomic_load(&hook->stop)) {
		verdict = hook__send(sender, batch->body, batch->len, why, sizeof(why));
		note(hook, verdict, batch, why);
		if (verdict != HOOK_AGAIN)
			return;
		pause_for(hook, pause_ms);
		pause_ms = pause_ms < RETRY_MAX_MS / 2 ? pause_ms * 2 : RETRY_MAX_MS;
	}
}

static void *thread_main(void *arg)
{
	struct hook *hook = arg;
	struct hook_sender *sender = NULL;
	struct batch batch = {.n = 0};

	while (!sender && !atomic_load(&hook->stop)) {
		sender = hook__sender_create(hook->url, hook->ca_pem, &hook->stop);
		if (!sender)
			pause_for(hook, RETRY_MAX_MS);
	}
	while (sender && take(hook, &batch)) {
		if (batch.body)
			deliver(hook, sender, &batch);
		free(batch.body);
		batch.body = NULL;
	}
	free(batch.body);
	hook__sender_destroy(sender);
	return NULL;
}

/* ---- certificates ------------------------------------------------------------------------------- */

int hook_ca_read(const char *path, char **out)
{
	FILE *file = fopen(path, "re");
	char *text = file ? malloc(CA_LEN_MAX + 1) : NULL;
	int err = !file ? -errno : !text ? -ENOMEM : 0;
	size_t len;

	if (err == 0) {
		len = fread(text, 1, CA_LEN_MAX + 1, file);
		if (ferror(file))
			err = -EIO;
		else if (len > CA_LEN_MAX)
			err = -EINVAL;
		else
			text[len] = '\0';
	}
	if (err == 0 && !strstr(text, "-----BEGIN CERTIFICATE-----"))
		err = -EINVAL;
	if (file)
		fclose(file);
	if (err < 0) {
		free(text);
		return err;
	}
	*out = text;
	return 0;
}

/* ---- life --------------------------------------------------------------------------------------- */

/* Signals are the main loop's. */
static int thread_start(struct hook *hook)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&hook->thread, NULL, thread_main, hook);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err == 0)
		pthread_setname_np(hook->thread, "hook");
	return -err;
}

static void hook_free(struct hook *hook)
{
	for (; hook->queue && hook->n > 0; hook->n--) {
		free(hook->queue[hook->first]);
		hook->first = (hook->first + 1) % hook->n_queue;
	}
	pthread_cond_destroy(&hook->more);
	pthread_mutex_destroy(&hook->lock);
	free(hook->queue);
	free(hook->url);
	free(hook->ca_pem);
	free(hook);
}

int hook_create(const struct hook_setup *setup, struct hook **out)
{
	struct hook *hook = calloc(1, sizeof(*hook));
	pthread_condattr_t monotonic;
	int err;

	if (!hook)
		return -ENOMEM;
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_mutex_init(&hook->lock, NULL);
	pthread_cond_init(&hook->more, &monotonic);
	pthread_condattr_destroy(&monotonic);
	hook->retry_ms = setup->retry_ms ? setup->retry_ms : RETRY_DEFAULT_MS;
	hook->n_queue = setup->n_queue ? setup->n_queue : QUEUE_DEFAULT;
	hook->queue = calloc(hook->n_queue, sizeof(char *));
	hook->url = strdup(setup->url);
	hook->ca_pem = setup->ca_pem ? strdup(setup->ca_pem) : NULL;
	err = hook->queue && hook->url && (hook->ca_pem || !setup->ca_pem)
	                      && curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK
	              ? thread_start(hook)
	              : -ENOMEM;
	if (err < 0) {
		hook_free(hook);
		return err;
	}
	*out = hook;
	return 0;
}

void hook_destroy(struct hook *hook)
{
	struct hook_counters counters;

	if (!hook)
		return;
	pthread_mutex_lock(&hook->lock);
	atomic_store(&hook->stop, true);
	pthread_cond_signal(&hook->more);
	pthread_mutex_unlock(&hook->lock);
	pthread_join(hook->thread, NULL);
	counters = hook_counters(hook);
	if (counters.waiting > 0)
		log_warn("hook", "events not posted before the end lines=%llu",
		         (unsigned long long)counters.waiting);
	hook_free(hook);
	curl_global_cleanup();
}

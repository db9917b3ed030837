/* control/resolve on a c-ares that answers when it is told to: what it may not be asked from within. */
#include "resolve.h"
#include "test.h"

#include <ares.h>
#include <event2/event.h>
#include <string.h>
#include <sys/stat.h>

static struct {
	ares_addrinfo_callback callback; /* of the question that is open */
	void *arg;
	bool is_inside; /* c-ares has called, and has not been come back to */
	uint32_t n_made;
	uint32_t n_destroyed;
	long read_at; /* when resolv.conf was changed */
} fake;

/* Of resolv.conf. */
int __wrap_stat(const char *path, struct stat *st);
int __wrap_stat64(const char *path, struct stat *st);
int __wrap_stat(const char *path, struct stat *st)
{
	assert_string_equal(path, "/etc/resolv.conf");
	memset(st, 0, sizeof(*st));
	st->st_mtim.tv_sec = fake.read_at;
	return 0;
}

int __wrap_stat64(const char *path, struct stat *st)
{
	return __wrap_stat(path, st);
}

int ares_init_options(ares_channel *channel, struct ares_options *options, int mask)
{
	(void)options;
	(void)mask;
	*channel = (ares_channel)&fake;
	fake.n_made++;
	return ARES_SUCCESS;
}

void ares_destroy(ares_channel channel)
{
	assert_ptr_equal(channel, &fake);
	assert_false(fake.is_inside);
	fake.n_destroyed++;
}

void ares_getaddrinfo(ares_channel channel, const char *host, const char *service,
                      const struct ares_addrinfo_hints *hints, ares_addrinfo_callback callback,
                      void *arg)
{
	(void)channel;
	(void)host;
	(void)service;
	(void)hints;
	assert_null(fake.callback);
	fake.callback = callback;
	fake.arg = arg;
}

struct timeval *ares_timeout(ares_channel channel, struct timeval *max, struct timeval *tv)
{
	(void)channel;
	(void)max;
	*tv = (struct timeval){0, 1000};
	return fake.callback != NULL ? tv : NULL;
}

/* The open question has no answer. */
void ares_process_fd(ares_channel channel, ares_socket_t readable, ares_socket_t writable)
{
	ares_addrinfo_callback callback = fake.callback;

	(void)channel;
	(void)readable;
	(void)writable;
	if (callback == NULL)
		return;
	fake.callback = NULL;
	fake.is_inside = true;
	callback(fake.arg, ARES_ENOTFOUND, 1, NULL);
	fake.is_inside = false;
}

static struct resolve *resolve;
static uint64_t answered; /* the tags, one behind the other */

/* resolv.conf changes while the first waits, and who hears of it asks again at once. */
static void on_answer(void *arg, uint64_t tag, const struct resolve_answer *answer)
{
	(void)arg;
	assert_non_null(answer->error);
	answered = answered * 10 + tag;
	if (tag != 1)
		return;
	fake.read_at++;
	assert_int_equal(resolve_ask(resolve, "second.example", 2), 0);
}

static void who_asks_from_an_answer_does_not_pull_the_channel_away(void **state)
{
	struct event_base *base = event_base_new();

	(void)state;
	assert_int_equal(resolve_create(base, &resolve), 0);
	resolve_on_answer(resolve, on_answer, NULL);
	assert_int_equal(resolve_ask(resolve, "first.example", 1), 0);
	event_base_dispatch(base);
	assert_int_equal(answered, 12);
	assert_int_equal(fake.n_destroyed, 0);
	/* the next one goes by the new file */
	assert_int_equal(resolve_ask(resolve, "third.example", 3), 0);
	assert_int_equal(fake.n_made, 2);
	assert_int_equal(fake.n_destroyed, 1);
	event_base_dispatch(base);
	assert_int_equal(answered, 123);
	resolve_destroy(resolve);
	assert_int_equal(fake.n_destroyed, 2);
	event_base_free(base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_asks_from_an_answer_does_not_pull_the_channel_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

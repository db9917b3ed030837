#include "resolve.h"

#include "base_bytes.h"
#include "base_log.h"

#include <ares.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>

/* Of one server, doubled for each turn of all: a dead one in front costs 2 s. */
#define TIMEOUT_MS 2000
#define TRIES      3

static const char resolv_conf[] = "/etc/resolv.conf";

/* A socket of c-ares. */
struct socket {
	struct resolve *resolve;
	ares_socket_t fd;
	struct event *event;
	LIST_ENTRY(socket) link;
};

struct question {
	struct resolve *resolve;
	uint64_t tag;
	struct resolve_answer answer; /* of what c-ares said before it came back from asking */
	struct event *later;          /* tells it then; NULL = not needed */
	bool is_asking;
	LIST_ENTRY(question) link;
};

struct resolve {
	struct event_base *base;
	ares_channel channel;
	bool has_channel;
	bool is_inside; /* c-ares has been called, and may call back */
	bool is_ending;
	struct timespec read_at; /* change of resolv.conf that the channel knows */
	struct event *timer;
	resolve_fn *fn;
	void *arg;
	LIST_HEAD(, socket) sockets;
	LIST_HEAD(, question) questions;
};

/* ---- c-ares on libevent -------------------------------------------------------------------------- */

static void arm(struct resolve *resolve)
{
	struct timeval delay;

	if (ares_timeout(resolve->channel, NULL, &delay) == NULL)
		evtimer_del(resolve->timer);
	else if (evtimer_add(resolve->timer, &delay) != 0)
		log_err("resolve", "timer cannot be set: a name may wait for its answer");
}

static void process(struct resolve *resolve, ares_socket_t readable, ares_socket_t writable)
{
	resolve->is_inside = true;
	ares_process_fd(resolve->channel, readable, writable);
	resolve->is_inside = false;
	arm(resolve);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	process(arg, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct resolve *resolve = ((struct socket *)arg)->resolve;

	/* The socket may be gone behind this. */
	process(resolve, what & EV_READ ? fd : ARES_SOCKET_BAD,
	        what & EV_WRITE ? fd : ARES_SOCKET_BAD);
}

static struct socket *socket_find(const struct resolve *resolve, ares_socket_t fd)
{
	struct socket *socket = LIST_FIRST(&resolve->sockets);

	while (socket != NULL && socket->fd != fd)
		socket = LIST_NEXT(socket, link);
	return socket;
}

static void socket_free(struct socket *socket)
{
	LIST_REMOVE(socket, link);
	if (socket->event != NULL)
		event_free(socket->event);
	free(socket);
}

static struct socket *socket_make(struct resolve *resolve, ares_socket_t fd)
{
	struct socket *socket = calloc(1, sizeof(*socket));

	if (socket == NULL)
		return NULL;
	socket->resolve = resolve;
	socket->fd = fd;
	LIST_INSERT_HEAD(&resolve->sockets, socket, link);
	return socket;
}

/* c-ares wants to hear of this socket, or (0, 0) no longer. Short of memory the question ends by its time. */
static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct resolve *resolve = arg;
	struct socket *socket = socket_find(resolve, fd);
	short what = (short)((readable ? EV_READ : 0) | (writable ? EV_WRITE : 0) | EV_PERSIST);

	if (!readable && !writable) {
		if (socket != NULL)
			socket_free(socket);
		return;
	}
	if (socket == NULL)
		socket = socket_make(resolve, fd);
	if (socket == NULL)
		return;
	if (socket->event != NULL)
		event_free(socket->event);
	socket->event = event_new(resolve->base, fd, what, on_socket, socket);
	if (socket->event == NULL || event_add(socket->event, NULL) != 0)
		log_err("resolve", "a name server cannot be listened to");
}

/* ---- answers ------------------------------------------------------------------------------------- */

static struct base_ip ip_of(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET) {
		struct sockaddr_in v4;

		memcpy(&v4, address, sizeof(v4));
		return base_ip_make(BASE_IP_V4, &v4.sin_addr);
	}
	if (address->sa_family == AF_INET6) {
		struct sockaddr_in6 v6;

		memcpy(&v6, address, sizeof(v6));
		return base_ip_make(BASE_IP_V6, &v6.sin6_addr);
	}
	return (struct base_ip){0};
}

static void add_ip(struct resolve_answer *answer, const struct base_ip *ip)
{
	if (ip->family == BASE_IP_NONE || answer->n_ips == RESOLVE_ADDRESSES_MAX)
		return;
	for (uint32_t i = 0; i < answer->n_ips; i++)
		if (base_ip_equal(&answer->ips[i], ip))
			return;
	answer->ips[answer->n_ips++] = *ip;
}

static uint32_t least_ttl(const struct ares_addrinfo *info)
{
	int least = INT32_MAX;

	for (const struct ares_addrinfo_node *node = info->nodes; node; node = node->ai_next)
		least = node->ai_ttl < least ? node->ai_ttl : least;
	for (const struct ares_addrinfo_cname *name = info->cnames; name; name = name->next)
		least = name->ttl < least ? name->ttl : least;
	return least > 0 ? (uint32_t)least : 0;
}

static void question_free(struct question *question)
{
	LIST_REMOVE(question, link);
	if (question->later != NULL)
		event_free(question->later);
	free(question);
}

static void tell(struct question *question)
{
	struct resolve *resolve = question->resolve;
	struct resolve_answer answer = question->answer;
	uint64_t tag = question->tag;

	question_free(question);
	if (resolve->fn != NULL && !resolve->is_ending)
		resolve->fn(resolve->arg, tag, &answer);
}

static void on_later(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	tell(arg);
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
	struct question *question = arg;
	struct resolve_answer *answer = &question->answer;

	(void)timeouts;
	if (status == ARES_SUCCESS) {
		for (const struct ares_addrinfo_node *node = info->nodes; node;
		     node = node->ai_next) {
			struct base_ip ip = ip_of(node->ai_addr);

			add_ip(answer, &ip);
		}
		answer->ttl_s = least_ttl(info);
	}
	if (answer->n_ips == 0)
		answer->error = status == ARES_SUCCESS ? "no address" : ares_strerror(status);
	ares_freeaddrinfo(info);
	if (!question->is_asking || question->later == NULL)
		tell(question);
	else /* from /etc/hosts: who asks is not called back before it has gone on */
		event_active(question->later, EV_TIMEOUT, 0);
}

/* ---- asking -------------------------------------------------------------------------------------- */

static int channel_make(struct resolve *resolve)
{
	struct ares_options options = {
		.timeout = TIMEOUT_MS,
		.tries = TRIES,
		.sock_state_cb = on_socket_state,
		.sock_state_cb_data = resolve,
	};
	struct stat st;
	int status;

	if (stat(resolv_conf, &st) == 0)
		resolve->read_at = st.st_mtim;
	status = ares_init_options(&resolve->channel, &options,
	                           ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
	if (status != ARES_SUCCESS) {
		log_err("resolve", "names cannot be looked up: %s", ares_strerror(status));
		return status == ARES_ENOMEM ? -ENOMEM : -EIO;
	}
	resolve->has_channel = true;
	return 0;
}

static void channel_drop(struct resolve *resolve)
{
	if (resolve->has_channel)
		ares_destroy(resolve->channel);
	resolve->has_channel = false;
}

/* Another resolv.conf than the channel's, and nobody waits for an answer by the old one? Who asks from within an
 * answer still goes by the old one: the channel is in use above. */
static bool is_outdated(const struct resolve *resolve)
{
	struct stat st;

	return !resolve->is_inside && LIST_EMPTY(&resolve->questions) && stat(resolv_conf, &st) == 0
	       && memcmp(&st.st_mtim, &resolve->read_at, sizeof(st.st_mtim)) != 0;
}

int resolve_ask(struct resolve *resolve, const char *host, uint64_t tag)
{
	const struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC,
	                                          .ai_socktype = SOCK_DGRAM};
	struct question *question;

	if (is_outdated(resolve))
		channel_drop(resolve);
	if (!resolve->has_channel && channel_make(resolve) < 0)
		return -ENOMEM;
	question = calloc(1, sizeof(*question));
	if (question == NULL)
		return -ENOMEM;
	question->later = evtimer_new(resolve->base, on_later, question);
	if (question->later == NULL) {
		free(question);
		return -ENOMEM;
	}
	question->resolve = resolve;
	question->tag = tag;
	question->is_asking = true;
	LIST_INSERT_HEAD(&resolve->questions, question, link);
	ares_getaddrinfo(resolve->channel, host, NULL, &hints, on_answer, question);
	/* Answered already, it waits for its event: it is there still. */
	question->is_asking = false;
	arm(resolve);
	return 0;
}

/* ---- life ---------------------------------------------------------------------------------------- */

void resolve_on_answer(struct resolve *resolve, resolve_fn *fn, void *arg)
{
	resolve->fn = fn;
	resolve->arg = arg;
}

int resolve_create(struct event_base *base, struct resolve **out)
{
	struct resolve *resolve = calloc(1, sizeof(*resolve));

	if (resolve == NULL)
		return -ENOMEM;
	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS) {
		free(resolve);
		return -ENOMEM;
	}
	resolve->base = base;
	LIST_INIT(&resolve->sockets);
	LIST_INIT(&resolve->questions);
	resolve->timer = evtimer_new(base, on_timer, resolve);
	if (resolve->timer == NULL) {
		resolve_destroy(resolve);
		return -ENOMEM;
	}
	*out = resolve;
	return 0;
}

void resolve_destroy(struct resolve *resolve)
{
	struct question *question;
	struct socket *socket;

	if (resolve == NULL)
		return;
	resolve->is_ending = true;
	channel_drop(resolve); /* ends what it has been asked */
	while ((question = LIST_FIRST(&resolve->questions)) != NULL)
		question_free(question);
	while ((socket = LIST_FIRST(&resolve->sockets)) != NULL)
		socket_free(socket);
	if (resolve->timer != NULL)
		event_free(resolve->timer);
	ares_library_cleanup();
	free(resolve);
}

/* A bad network between one client and the hub: a UDP relay that loses, repeats, delays and reorders.
 *
 *   relay LISTEN TARGET [--loss PERCENT] [--duplicate PERCENT] [--reorder PERCENT] [--delay MS]
 *         [--late MS] [--seed N]
 *
 * LISTEN and TARGET are ADDRESS:PORT. The first to send to LISTEN is the client; whoever sends there
 * later takes its place. Each datagram of either direction is lost with the first probability; else it
 * is sent after --delay, or, reordered, --late (default 5) ms later still; and repeated with the second,
 * each copy with a delay of its own. A seed repeats the choices for the same datagrams. Prints "ready"; at
 * SIGTERM one line "in N lost N repeated N reordered N full N out N", in which in + repeated = lost +
 * full + out + those still on their way. */
#include "base_bytes.h"
#include "base_ip.h"
#include "base_time.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define N_HELD    8192U
#define DATAGRAM  2048U
#define MILLIONTH 1e-6

enum side { CLIENT = 0, TARGET = 1 };

struct held {
	uint64_t due_ns;
	uint64_t order; /* of two that are due at once the one that came first goes first */
	enum side to;
	uint16_t len;
	uint8_t data[DATAGRAM];
};

struct chance {
	double loss, duplicate, reorder; /* 0 .. 1 */
	uint64_t delay_ns, late_ns;
};

static struct {
	uint64_t in, lost, repeated, reordered, full, out;
} count;

static struct held held[N_HELD];
static struct held *heap[N_HELD]; /* the first n_heap, by due_ns; behind them the free ones */
static uint32_t n_heap;
static uint64_t n_ordered;
static uint64_t random_state = 1;
static int sockets[2];
static struct sockaddr_storage client;
static socklen_t client_len; /* 0 = nobody yet */
static volatile sig_atomic_t is_over;

static void over(int signal_number)
{
	(void)signal_number;
	is_over = 1;
}

static void die(const char *what)
{
	fprintf(stderr, "relay: %s: %s\n", what, strerror(errno));
	exit(1);
}

static bool happens(double probability)
{
	uint64_t x = random_state += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return (double)((x ^ x >> 31) >> 11) * 0x1p-53 < probability;
}

/* ---- the datagrams on their way ------------------------------------------------------------------- */

static bool is_before(const struct held *a, const struct held *b)
{
	return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

static void swap(uint32_t a, uint32_t b)
{
	struct held *x = heap[a];

	heap[a] = heap[b];
	heap[b] = x;
}

static void hold(enum side to, const uint8_t *data, size_t len, uint64_t due_ns)
{
	uint32_t at = n_heap;
	struct held *h;

	if (n_heap == N_HELD) {
		count.full++;
		return;
	}
	h = heap[n_heap++];
	h->due_ns = due_ns;
	h->order = n_ordered++;
	h->to = to;
	h->len = (uint16_t)len;
	memcpy(h->data, data, len);
	for (; at > 0 && is_before(heap[at], heap[(at - 1) / 2]); at = (at - 1) / 2)
		swap(at, (at - 1) / 2);
}

static void release(void)
{
	uint32_t at = 0;

	swap(0, --n_heap);
	for (;;) {
		uint32_t child = 2 * at + 1;

		if (child + 1 < n_heap && is_before(heap[child + 1], heap[child]))
			child++;
		if (child >= n_heap || !is_before(heap[child], heap[at]))
			return;
		swap(child, at);
		at = child;
	}
}

/* A refused or full socket is the network's loss as well. */
static void deliver(const struct held *h)
{
	ssize_t n = h->to == CLIENT ? sendto(sockets[CLIENT], h->data, h->len, 0,
	                                     (struct sockaddr *)&client, client_len)
	                            : send(sockets[TARGET], h->data, h->len, 0);

	if (n < 0)
		count.lost++;
	else
		count.out++;
}

static void deliver_due(uint64_t now_ns)
{
	while (n_heap > 0 && heap[0]->due_ns <= now_ns) {
		deliver(heap[0]);
		release();
	}
}

/* ---- what comes ----------------------------------------------------------------------------------- */

static void pass(const struct chance *chance, enum side to, const uint8_t *data, size_t len,
                 uint64_t now_ns)
{
	uint32_t copies = 1;

	count.in++;
	if (happens(chance->loss)) {
		count.lost++;
		return;
	}
	if (happens(chance->duplicate)) {
		count.repeated++;
		copies = 2;
	}
	for (uint32_t i = 0; i < copies; i++) {
		uint64_t due_ns = now_ns + chance->delay_ns;

		if (happens(chance->reorder)) {
			count.reordered++;
			due_ns += chance->late_ns;
		}
		hold(to, data, len, due_ns);
	}
}

static void receive(const struct chance *chance, enum side from, uint64_t now_ns)
{
	uint8_t data[DATAGRAM];
	ssize_t n;

	for (;;) {
		struct sockaddr_storage source;
		socklen_t source_len = sizeof(source);

		n = recvfrom(sockets[from], data, sizeof(data), MSG_DONTWAIT,
		             (struct sockaddr *)&source, &source_len);
		/* ECONNREFUSED: the target is not there (yet). */
		if (n < 0)
			return;
		if (from == CLIENT) {
			client = source;
			client_len = source_len;
		} else if (client_len == 0) {
			continue;
		}
		pass(chance, from == CLIENT ? TARGET : CLIENT, data, (size_t)n, now_ns);
	}
}

static void run(const struct chance *chance)
{
	struct pollfd fds[2] = {{.fd = sockets[CLIENT], .events = POLLIN},
	                        {.fd = sockets[TARGET], .events = POLLIN}};

	while (!is_over) {
		uint64_t now_ns = base_time_monotonic_ns();
		struct timespec wait = {.tv_sec = 1};

		deliver_due(now_ns);
		if (n_heap > 0 && heap[0]->due_ns - now_ns < BASE_NS_PER_S)
			wait = (struct timespec){.tv_nsec = (long)(heap[0]->due_ns - now_ns)};
		if (ppoll(fds, 2, &wait, NULL) < 0 && errno != EINTR)
			die("poll");
		now_ns = base_time_monotonic_ns();
		receive(chance, CLIENT, now_ns);
		receive(chance, TARGET, now_ns);
	}
}

/* ---- start ---------------------------------------------------------------------------------------- */

static socklen_t address_of(const char *text, struct sockaddr_storage *out)
{
	struct base_endpoint endpoint;

	*out = (struct sockaddr_storage){0};
	if (base_endpoint_parse(text, &endpoint) != 0) {
		fprintf(stderr, "relay: \"%s\" must be ADDRESS:PORT\n", text);
		exit(2);
	}
	if (endpoint.ip.family == BASE_IP_V4) {
		struct sockaddr_in *in = (struct sockaddr_in *)out;

		in->sin_family = AF_INET;
		in->sin_port = htons(endpoint.port);
		memcpy(&in->sin_addr, endpoint.ip.bytes, 4);
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;

	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(endpoint.port);
	memcpy(&in6->sin6_addr, endpoint.ip.bytes, 16);
	return sizeof(*in6);
}

static void open_sockets(const char *listen, const char *target)
{
	struct sockaddr_storage address;
	socklen_t len = address_of(listen, &address);

	sockets[CLIENT] = socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sockets[CLIENT] < 0 || bind(sockets[CLIENT], (struct sockaddr *)&address, len) != 0)
		die(listen);
	len = address_of(target, &address);
	sockets[TARGET] = socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sockets[TARGET] < 0 || connect(sockets[TARGET], (struct sockaddr *)&address, len) != 0)
		die(target);
}

static double number(const char *option, const char *text, double max)
{
	char *end;
	double value = text != NULL ? strtod(text, &end) : -1;

	if (text == NULL || end == text || *end != '\0' || !(value >= 0 && value <= max)) {
		fprintf(stderr, "relay: %s is \"%s\", must be a number from 0 to %g\n", option,
		        text != NULL ? text : "", max);
		exit(2);
	}
	return value;
}

static void read_options(int argc, char **argv, struct chance *out)
{
	for (int i = 3; i < argc; i += 2) {
		const char *option = argv[i];
		const char *text = i + 1 < argc ? argv[i + 1] : NULL;

		if (strcmp(option, "--loss") == 0) {
			out->loss = number(option, text, 100) / 100;
		} else if (strcmp(option, "--duplicate") == 0) {
			out->duplicate = number(option, text, 100) / 100;
		} else if (strcmp(option, "--reorder") == 0) {
			out->reorder = number(option, text, 100) / 100;
		} else if (strcmp(option, "--delay") == 0) {
			out->delay_ns = (uint64_t)(number(option, text, 10000) / MILLIONTH);
		} else if (strcmp(option, "--late") == 0) {
			out->late_ns = (uint64_t)(number(option, text, 10000) / MILLIONTH);
		} else if (strcmp(option, "--seed") == 0) {
			random_state = (uint64_t)number(option, text, 1e15);
		} else {
			fprintf(stderr, "relay: \"%s\" is not an option\n", option);
			exit(2);
		}
	}
}

int main(int argc, char **argv)
{
	struct chance chance = {.late_ns = 5 * BASE_NS_PER_MS};
	struct sigaction action = {.sa_handler = over};

	if (argc < 3) {
		fputs("usage: relay LISTEN TARGET [--OPTION VALUE]...\n", stderr);
		return 2;
	}
	read_options(argc, argv, &chance);
	open_sockets(argv[1], argv[2]);
	for (uint32_t i = 0; i < N_HELD; i++)
		heap[i] = &held[i];
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	puts("ready");
	fflush(stdout);
	run(&chance);
	printf("in %lu lost %lu repeated %lu reordered %lu full %lu out %lu\n", count.in,
	       count.lost, count.repeated, count.reordered, count.full, count.out);
	return 0;
}

/* Connecting, asking, and watching the connection. */
#include "main_link.h"

#include "base_log.h"
#include "base_time.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#define ANSWER_NS (2 * BASE_NS_PER_S)  /* for control to answer once we have a region */
#define LOG_NS    (10 * BASE_NS_PER_S) /* between lines about waiting */

void main_link_init(struct main_link *link, const char *path, uid_t uid)
{
	*link = (struct main_link){.path = path, .uid = uid, .connection = -1};
}

static void disconnect(struct main_link *link)
{
	if (link->connection >= 0)
		close(link->connection);
	link->connection = -1;
	link->state = MAIN_LINK_NONE;
}

void main_link_fini(struct main_link *link)
{
	disconnect(link);
}

/* One line at once, then one every 10 s, until it works. */
static void log_waiting(struct main_link *link, uint64_t now_ns, int r)
{
	if (link->logged_ns != 0 && now_ns - link->logged_ns < LOG_NS)
		return;
	link->logged_ns = now_ns;
	if (r == -EPERM)
		log_warn("link",
		         "control at %s is not one to trust or not ours to reach (%s): run "
		         "both as root, or name its user with --control-user",
		         link->path, strerror(-r));
	else
		log_info("link", "waiting for control at %s (%s)", link->path, strerror(-r));
}

/* Connect and offer what we have: the epoch of region and fds, or nothing when region is NULL. */
static int ask(struct main_link *link, const struct abi_region *region, const struct abi_fds *fds,
               uint64_t now_ns)
{
	struct abi_hello hello = {.epoch = region != NULL ? region->epoch : 0};
	struct abi_fds offered;
	int r;

	link->connection = abi_rendezvous_connect(link->path, link->uid);
	if (link->connection < 0) /* -EACCES would mean that control refused */
		return link->connection == -EACCES ? -EPERM : link->connection;
	if (region != NULL) {
		offered = *fds;
		offered.region = region->fd;
	}
	r = abi_rendezvous_send(link->connection, &hello, region != NULL ? &offered : NULL);
	if (r < 0) {
		disconnect(link);
		return r;
	}
	link->state = MAIN_LINK_ASKED;
	link->asked_ns = now_ns;
	return 0;
}

/* The answer that is there to be read. Returns 0, -EACCES (refused, logged), -errno. */
static int read_answer(struct main_link *link, struct abi_hello *hello, struct abi_fds *fds)
{
	char why[160];
	int r = abi_rendezvous_receive(link->connection, hello, fds, 0, why, sizeof(why));

	if (r == -EPROTO) {
		log_err("link", "control's answer cannot be used: %s", why);
		return -EACCES;
	}
	if (r < 0)
		return r;
	if (hello->refused != 0) {
		log_err("link", "control refused this dataplane: %s", hello->reason);
		abi_fds_close(fds);
		return -EACCES;
	}
	return 0;
}

/* ---- first meeting ----------------------------------------------------------------------------- */

/* Wait until fd (or nothing, -1) is readable or timeout_ms over. Returns -EINTR for signal_fd. */
static int wait_for(int fd, int signal_fd, int timeout_ms)
{
	struct pollfd fds[2] = {{.fd = signal_fd, .events = POLLIN}, {.fd = fd, .events = POLLIN}};

	if (poll(fds, 2, timeout_ms) < 0)
		return errno == EINTR ? 0 : -errno;
	return fds[0].revents != 0 ? -EINTR : 0;
}

static int take_region(struct abi_fds *fds, const struct abi_hello *hello,
                       struct abi_region *region)
{
	char why[160];
	int r;

	if (fds->region < 0) {
		log_err("link", "control sent no region");
		return -EACCES;
	}
	r = abi_region_attach(fds->region, region, why, sizeof(why));
	if (r < 0) {
		log_err("link", "region of control refused: %s", why);
		return -EACCES;
	}
	fds->region = -1; /* the region has it now */
	if (region->epoch != hello->epoch) {
		log_err("link", "region of control refused: its epoch is not the announced one");
		abi_region_fini(region);
		return -EACCES;
	}
	return 0;
}

int main_link_meet(struct main_link *link, int signal_fd, struct abi_region *region,
                   struct abi_fds *fds)
{
	for (;;) {
		struct abi_hello hello;
		int r = ask(link, NULL, NULL, base_time_monotonic_ns());

		if (r == 0) {
			/* Control may take its time: it reads its store first. */
			r = wait_for(link->connection, signal_fd, -1);
			if (r == 0)
				r = read_answer(link, &hello, fds);
			if (r == 0) {
				r = take_region(fds, &hello, region);
				if (r < 0)
					abi_fds_close(fds);
			}
			if (r == 0) {
				link->state = MAIN_LINK_UP;
				link->logged_ns = 0;
				return 0;
			}
			disconnect(link);
		}
		if (r == -EINTR || r == -EACCES)
			return r;
		log_waiting(link, base_time_monotonic_ns(), r);
		r = wait_for(-1, signal_fd, MAIN_LINK_PERIOD_MS);
		if (r < 0)
			return r;
	}
}

/* ---- later ones -------------------------------------------------------------------------------- */

static bool is_readable(int fd)
{
	struct pollfd pollfd = {.fd = fd, .events = POLLIN};

	return poll(&pollfd, 1, 0) > 0;
}

/* Control answered our offer: does it go on with our region? */
static int settle(struct main_link *link, const struct abi_region *region, uint64_t now_ns)
{
	struct abi_hello hello;
	struct abi_fds fds;
	int r;

	if (!is_readable(link->connection)) {
		if (now_ns - link->asked_ns >= ANSWER_NS)
			disconnect(link);
		return 0;
	}
	r = read_answer(link, &hello, &fds);
	if (r == -EACCES)
		return r;
	if (r < 0) {
		disconnect(link);
		return 0;
	}
	abi_fds_close(&fds);
	if (hello.epoch != region->epoch) {
		log_err("link",
		        "control has another region than ours: exiting, to be started anew");
		return -EACCES;
	}
	log_info("link", "control is back");
	link->state = MAIN_LINK_UP;
	link->logged_ns = 0;
	return 0;
}

/* What control has sent, up to its end. */
static void read_blobs(struct main_link *link, struct blob_store *blobs)
{
	struct abi_blob_message message;
	int fd;
	int r;

	while ((r = abi_blob_receive(link->connection, &message, &fd)) == 0)
		blob_store_put(blobs, &message, fd);
	if (r == -EAGAIN || r == -EINTR)
		return;
	if (r == -EPROTO)
		log_err("link", "control sent something that is no blob");
	log_warn("link", "control is gone: tunnels go on, handshakes wait for it");
	disconnect(link);
}

/* An answer that cannot be sent is repeated by the next meeting, when control sends all blobs anew. */
static void answer_blobs(struct main_link *link, struct blob_store *blobs)
{
	struct abi_blob_message answer;

	while (blob_store_answer(blobs, &answer)) {
		int r = link->state == MAIN_LINK_UP ? abi_blob_send(link->connection, &answer, -1)
		                                    : 0;

		if (r < 0) {
			log_warn("link", "answer to control not sent err=\"%s\"", strerror(-r));
			disconnect(link);
		}
	}
}

int main_link_turn(struct main_link *link, const struct abi_region *region,
                   const struct abi_fds *fds, struct blob_store *blobs, uint64_t now_ns)
{
	int r = 0;

	switch (link->state) {
	case MAIN_LINK_NONE:
		r = ask(link, region, fds, now_ns);
		if (r < 0)
			log_waiting(link, now_ns, r);
		r = 0;
		break;
	case MAIN_LINK_ASKED:
		r = settle(link, region, now_ns);
		break;
	case MAIN_LINK_UP:
		read_blobs(link, blobs);
		break;
	}
	answer_blobs(link, blobs);
	return r;
}

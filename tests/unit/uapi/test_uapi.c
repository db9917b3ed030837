/* control/uapi: a request that is cut anywhere changes nothing, in table or store, and one that is whole is answered,
 * however long it takes; with peers and store as they are, session and program that only remember. */
#include "base_bytes.h"
#include "base_time.h"
#include "model.h"
#include "model_wg.h"
#include "peer_lab.h"
#include "peer_set.h"
#include "uapi.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#define WAIT_NS   (20 * BASE_NS_PER_S)
#define PATIENT   60000U
#define IMPATIENT 100U

/* SQLite's: with an errno here nothing reaches the disk. */
static int sync_errno;
int fdatasync(int fd)
{
	errno = sync_errno;
	return sync_errno != 0 ? -1 : fsync(fd);
}

static struct uapi *uapi;
static uint32_t takes_ms; /* to do what is asked */

/* ---- in place of the model ----------------------------------------------------------------------- */

void model_caller_set(struct model *model, uid_t uid, pid_t pid)
{
	(void)model;
	(void)uid;
	(void)pid;
}

int model_wg_set(struct model *model, const struct peer_set *set, struct peer_error *error)
{
	static const struct peer_set_hooks no_hooks;

	(void)model;
	usleep(takes_ms * 1000);
	return peer_set_apply(table, set, &no_hooks, error);
}

/* ---- the hub, and a client ----------------------------------------------------------------------- */

static void start(uint32_t patience_ms)
{
	struct uapi_setup of_uapi = {.config = &config, .patience_ms = patience_ms};
	int fd;

	config.n_tunnel = 1;
	config.wg_socket = CONFIG_WG_READ_WRITE;
	takes_ms = 0;
	sync_errno = 0;
	peer_lab_start();
	of_uapi.peers = table;
	fd = uapi_listen(dir, "hub", error_text, sizeof(error_text));
	if (fd < 0)
		fail_msg("%s", error_text);
	assert_int_equal(uapi_create(base, fd, &of_uapi, &uapi), 0);
}

static void stop(void)
{
	char name[160];

	uapi_destroy(uapi);
	snprintf(name, sizeof(name), "%s/hub.sock", dir);
	assert_int_equal(unlink(name), 0);
	peer_lab_stop();
}

static int client(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/hub.sock", dir);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void say(int fd, const char *text, size_t len)
{
	assert_int_equal(send(fd, text, len, 0), len);
}

/* What the client reads until it is closed, or has a whole answer, while the hub does its work. */
static const char *hear(int fd)
{
	static char text[4096];
	uint64_t end_ns = base_time_monotonic_ns() + WAIT_NS;
	size_t n = 0;

	text[0] = '\0';
	while (base_time_monotonic_ns() < end_ns && !strstr(text, "\n\n")) {
		ssize_t r;

		event_base_loop(base, EVLOOP_NONBLOCK);
		r = recv(fd, text + n, sizeof(text) - 1 - n, MSG_DONTWAIT);
		if (r == 0 || (r < 0 && errno != EAGAIN))
			return text;
		n += r > 0 ? (size_t)r : 0;
		text[n] = '\0';
	}
	assert_non_null(strstr(text, "\n\n"));
	return text;
}

static void turn_until_quiet(bool quiet)
{
	uint64_t end_ns = base_time_monotonic_ns() + WAIT_NS;

	while (uapi_is_quiet(uapi) != quiet && base_time_monotonic_ns() < end_ns)
		event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(uapi_is_quiet(uapi), quiet);
}

static void assert_peers(uint32_t n, uint32_t n_routes)
{
	assert_int_equal(peer_count(table), n);
	assert_int_equal(fake.n_routes, n_routes);
}

#define A "public_key=a123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n"
#define B "public_key=b123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n"

static const char two[] = "set=1\nreplace_peers=true\n" A "persistent_keepalive_interval=25\n"
			  "allowed_ip=10.77.0.9/32\nallowed_ip=10.1.0.0/16\n" B
			  "allowed_ip=10.2.0.0/16\nallowed_ip=10.3.0.0/16\n\n";
#define TWO (sizeof(two) - 1)

/* ---- cases --------------------------------------------------------------------------------------- */

static void a_request_that_is_cut_anywhere_changes_nothing(void **state)
{
	(void)state;
	start(PATIENT);
	for (size_t len = 0; len < TWO; len++) {
		int fd = client();

		if (len > 0)
			say(fd, two, len);
		assert_int_equal(shutdown(fd, SHUT_WR), 0);
		assert_string_equal(hear(fd), ""); /* wg(8): Protocol error */
		close(fd);
		assert_peers(0, 0);
		turn_until_quiet(true);
	}
	stop();
	start(PATIENT);
	assert_peers(0, 0);
	stop();
}

static void a_whole_request_is_in_force_and_stored_as_it_is_answered(void **state)
{
	int fd;

	(void)state;
	start(PATIENT);
	fd = client();
	say(fd, two, TWO);
	assert_string_equal(hear(fd), "errno=0\n\n");
	assert_peers(2, 4);
	say(fd, two, TWO / 2); /* the next one, on the same connection */
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	assert_string_equal(hear(fd), "");
	close(fd);
	assert_peers(2, 4);
	stop();
	start(PATIENT);
	assert_peers(2, 4);
	stop();
}

/* What was refused, under this name and no other. */
static void assert_counted(enum abi_counter counter, uint64_t n)
{
	for (uint32_t i = ABI_COUNTER_WG_SET; i <= ABI_COUNTER_WG_REFUSED_FAILED; i++)
		assert_int_equal(fake.counted[i], i == counter ? n : 0);
	memset(fake.counted, 0, sizeof(fake.counted));
}

static void ask(const char *text, const char *answer)
{
	int fd = client();

	say(fd, text, strlen(text));
	assert_string_equal(hear(fd), answer);
	close(fd);
}

static void what_cannot_be_stored_is_refused_and_changes_nothing(void **state)
{
	(void)state;
	start(PATIENT);
	sync_errno = EIO;
	ask(two, "errno=-5\n\n");
	assert_string_equal(store_error(store), "disk I/O error"); /* which the log says */
	assert_counted(ABI_COUNTER_WG_REFUSED_FAILED, 1);
	assert_peers(0, 0);
	sync_errno = 0;
	ask(two, "errno=0\n\n");
	assert_counted(ABI_COUNTER_WG_SET, 1);
	assert_peers(2, 4);
	sync_errno = EIO;
	for (uint32_t i = 0; i < 3; i++)
		ask("set=1\n" A "remove=true\n" B "allowed_ip=10.4.0.0/16\n\n", "errno=-5\n\n");
	assert_counted(ABI_COUNTER_WG_REFUSED_FAILED, 3);
	assert_peers(2, 4);
	assert_int_equal(fake_route("10.4.0.0/16"), UINT32_MAX);
	sync_errno = 0;
	stop();
	start(PATIENT);
	assert_peers(2, 4);
	stop();
}

static void a_request_of_many_lines_is_cut_in_its_middle(void **state)
{
	static char text[128 * 1024];
	size_t len;
	int fd;

	(void)state;
	start(PATIENT);
	len = (size_t)snprintf(text, sizeof(text), "set=1\n" A);
	for (uint32_t i = 0; i < 3000; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
		                        "allowed_ip=10.%u.%u.0/24\n", 100 + i / 256, i % 256);
	fd = client();
	say(fd, text, len);
	close(fd); /* and nobody hears how it ends */
	fd = client();
	say(fd, "get=1\n\n", 7);
	assert_string_equal(hear(fd), "listen_port=0\nerrno=0\n\n");
	close(fd);
	assert_peers(0, 0);
	stop();
}

static void what_takes_longer_than_its_client_may_is_answered_still(void **state)
{
	int fd;

	(void)state;
	start(IMPATIENT);
	takes_ms = 3 * IMPATIENT;
	fd = client();
	say(fd, two, TWO);
	assert_string_equal(hear(fd), "errno=0\n\n");
	close(fd);
	assert_peers(2, 4);
	stop();
}

static void a_client_that_does_not_go_on_is_closed(void **state)
{
	int fd;

	(void)state;
	start(IMPATIENT);
	fd = client();
	say(fd, two, TWO - 1);
	assert_string_equal(hear(fd), "");
	close(fd);
	assert_peers(0, 0);
	stop();
}

static void while_it_is_paused_those_who_come_wait(void **state)
{
	int first;
	int second;

	(void)state;
	start(PATIENT);
	first = client();
	say(first, two, TWO / 2);
	turn_until_quiet(false);
	uapi_pause(uapi, true);
	second = client();
	say(second, "get=1\n\n", 7);
	say(first, two + TWO / 2, TWO - TWO / 2);
	assert_string_equal(hear(first), "errno=0\n\n"); /* who had begun is served */
	assert_false(uapi_is_quiet(uapi));
	close(first);
	turn_until_quiet(true);
	uapi_pause(uapi, false);
	assert_non_null(strstr(hear(second), "allowed_ip=10.3.0.0/16\n"));
	close(second);
	stop();
}

/* More than a slice of the answer passes over, and then over again. */
static void peers_that_are_not_there_do_not_hold_up_the_answer(void **state)
{
	struct store_peer row = {.disabled = true, .wg_set_wall_ns = 1, .created_wall_ns = 1};

	(void)state;
	config.max_peers = 4096;
	store_lab_open();
	assert_int_equal(store_begin(store), 0);
	for (row.id = 0; row.id < 3000; row.id++) {
		snprintf(row.name, sizeof(row.name), "gone-%04u", row.id);
		row.public_key[0] = (uint8_t)row.id;
		row.public_key[1] = (uint8_t)(row.id >> 8);
		row.public_key[31] = 0x40;
		assert_int_equal(store_peer_put(store, &row), 0);
	}
	assert_int_equal(store_end(store, true), 0);
	store_lab_close();
	start(PATIENT);
	assert_peers(3000, 0);
	ask("get=1\n\n", "listen_port=0\nerrno=0\n\n");
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PEER_CASE(a_request_that_is_cut_anywhere_changes_nothing),
		PEER_CASE(a_whole_request_is_in_force_and_stored_as_it_is_answered),
		PEER_CASE(what_cannot_be_stored_is_refused_and_changes_nothing),
		PEER_CASE(a_request_of_many_lines_is_cut_in_its_middle),
		PEER_CASE(what_takes_longer_than_its_client_may_is_answered_still),
		PEER_CASE(a_client_that_does_not_go_on_is_closed),
		PEER_CASE(while_it_is_paused_those_who_come_wait),
		PEER_CASE(peers_that_are_not_there_do_not_hold_up_the_answer),
	};

	if (geteuid() != 0) {
		printf("1..0 # SKIP nobody but root is let in\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}

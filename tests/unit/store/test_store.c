/* control/store: transactions, and the files: what is acknowledged is there also after kill -9; files of others, damaged
 * files and a second process are refused with a sentence. */
#include "store_lab.h"
#include "store_service.h"
#include "store_sql.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char error[512];

/* SQLite's: what it writes is on the disk from here on. */
static unsigned int n_syncs;
static int sync_errno;
int fdatasync(int fd)
{
	n_syncs++;
	errno = sync_errno;
	return sync_errno != 0 ? -1 : fsync(fd);
}

static void an_undone_transaction_changes_nothing(void **state)
{
	struct store *store = open_good();
	struct store_peer a = make_peer(1);
	struct store_peer b = make_peer(2);

	(void)state;
	assert_int_equal(store_peer_put(store, &a), 0);
	assert_int_equal(store_begin(store), 0);
	assert_int_equal(store_peer_drop(store, 1), 0);
	assert_int_equal(store_peer_put(store, &b), 0);
	assert_int_equal(store_end(store, false), 0);
	assert_int_equal(read_peers(store).n, 1);
	assert_int_equal(read_peers(store).peers[0].id, 1);
	assert_int_equal(store_begin(store), 0);
	assert_int_equal(store_peer_put(store, &b), 0);
	assert_int_equal(store_end(store, true), 0);
	assert_int_equal(read_peers(store).n, 2);
	store_close(store);
}

static void put_good(struct store *store, uint32_t id)
{
	struct store_peer peer = make_peer(id);

	assert_int_equal(store_peer_put(store, &peer), 0);
}

static void changes_that_are_gathered_wait_for_the_disk_together(void **state)
{
	struct store *store = open_good();
	unsigned int before;

	(void)state;
	put_good(store, 0);
	before = n_syncs;
	put_good(store, 1);
	assert_int_equal(n_syncs, before + 1);
	assert_int_equal(store_gather(store), 0);
	put_good(store, 2);
	put_good(store, 3);
	assert_int_equal(store_peer_drop(store, 1), 0);
	assert_int_equal(n_syncs, before + 1);
	assert_int_equal(store_settle(store), 0);
	assert_int_equal(n_syncs, before + 2);
	put_good(store, 4); /* alone again */
	assert_int_equal(n_syncs, before + 3);
	assert_int_equal(store_gather(store), 0);
	assert_int_equal(store_settle(store), 0); /* nothing was changed */
	assert_int_equal(n_syncs, before + 3);
	assert_int_equal(read_peers(store).n, 4);
	store_close(store);
}

static void gathered_changes_that_do_not_reach_the_disk_are_told(void **state)
{
	struct store *store = open_good();

	(void)state;
	put_good(store, 0);
	assert_int_equal(store_gather(store), 0);
	put_good(store, 1);
	sync_errno = EIO;
	assert_int_equal(store_settle(store), -EIO);
	assert_string_equal(store_error(store), "changes do not reach the disk");
	sync_errno = 0;
	put_good(store, 2);
	store_close(store);
}

static int cache_kib(struct store *store)
{
	sqlite3_stmt *statement = store__prepare(store, "PRAGMA cache_size");
	int size;

	assert_non_null(statement);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	size = -sqlite3_column_int(statement, 0);
	sqlite3_finalize(statement);
	return size;
}

static void a_large_transaction_has_a_large_cache_until_it_ends(void **state)
{
	struct store *store = open_good();

	(void)state;
	for (uint32_t commit = 0; commit < 2; commit++) {
		assert_int_equal(cache_kib(store), 1024);
		assert_int_equal(store_begin_large(store), 0);
		assert_int_equal(cache_kib(store), 32768);
		assert_true(store_begin_large(store) < 0); /* no nesting */
		put_good(store, commit);
		assert_int_equal(store_end(store, commit != 0), 0);
	}
	assert_int_equal(cache_kib(store), 1024);
	assert_int_equal(read_peers(store).n, 1);
	sync_errno = EIO;
	assert_int_equal(store_begin_large(store), 0);
	put_good(store, 2);
	assert_int_equal(store_end(store, true), -EIO);
	assert_int_equal(cache_kib(store), 1024);
	sync_errno = 0;
	assert_int_equal(read_peers(store).n, 1);
	store_close(store);
}

/* ---- files -------------------------------------------------------------------------------------- */

static bool file_holds(const char *name, const void *needle, size_t len)
{
	static char text[1 << 20];
	FILE *file = fopen(name, "re");
	size_t n;

	if (!file)
		return false;
	n = fread(text, 1, sizeof(text), file);
	fclose(file);
	return memmem(text, n, needle, len) != NULL;
}

static void secrets_are_sealed_and_files_are_private(void **state)
{
	struct store *store = open_good();
	struct store_peer peer = make_peer(1);
	static const char *const names[] = {"", "-wal"};
	char name[200];
	struct stat st;

	(void)state;
	assert_int_equal(store_peer_put(store, &peer), 0);
	assert_int_equal(store_certificate_put(store, "h", "PRIVATE KEY"), 0);
	for (size_t i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "%s%s", path, names[i]);
		assert_int_equal(stat(name, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
		assert_false(file_holds(name, peer.preshared_key, 8));
		assert_false(file_holds(name, "PRIVATE KEY", 11));
	}
	snprintf(name, sizeof(name), "%s-wal", path);
	assert_true(file_holds(name, "peer-1", 6)); /* the search itself finds things */
	store_close(store);
	snprintf(name, sizeof(name), "%s/store.key", dir);
	assert_int_equal(stat(name, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, 32);
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
}

/* Opening must fail with this error and a line that holds text. */
static void refused(int err, const char *text)
{
	struct store *store = NULL;

	error[0] = '\0';
	assert_int_equal(store_open(path, (uid_t)-1, (gid_t)-1, &store, error, sizeof(error)), err);
	if (!strstr(error, text))
		fail_msg("\"%s\" does not say \"%s\"", error, text);
	assert_null(store);
}

static void write_at(const char *name, off_t offset, const char *text)
{
	int fd = open(name, O_RDWR | O_CREAT, 0600);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, text, strlen(text), offset), strlen(text));
	close(fd);
}

static void a_second_process_is_refused(void **state)
{
	struct store *store = open_good();
	pid_t child;
	int status;

	(void)state;
	child = fork(); /* POSIX locks hold between processes, not within one */
	if (child == 0) {
		struct store *second = NULL;
		int err = store_open(path, (uid_t)-1, (gid_t)-1, &second, error, sizeof(error));

		_exit(err == -EBUSY && strstr(error, "weir.db: is in use by another process") ? 0
		                                                                              : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	store_close(store);
}

static void wrong_modes_are_refused(void **state)
{
	(void)state;
	store_close(open_good());
	assert_int_equal(chmod(path, 0644), 0);
	refused(-EPERM, "weir.db: has mode 0644");
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(chmod(dir, 0770), 0);
	refused(-EPERM, "directory of the store has mode 0770");
	assert_int_equal(chmod(dir, 0755), 0);
	refused(-EPERM, "directory of the store has mode 0755, must be 0700");
	assert_int_equal(chmod(dir, 0700), 0);
	store_close(open_good());
}

static void a_key_that_does_not_fit_is_refused(void **state)
{
	char name[200];

	(void)state;
	store_close(open_good());
	snprintf(name, sizeof(name), "%s/store.key", dir);
	write_at(name, 3, "other");
	refused(-EUCLEAN, "weir.db: store.key beside it is not the key");
	assert_int_equal(truncate(name, 5), 0);
	refused(-EUCLEAN, "store.key: holds 5 bytes, must hold 32");
	assert_int_equal(unlink(name), 0);
	refused(-EUCLEAN, "store.key: is missing");
	assert_int_equal(access(name, F_OK), -1); /* none was made in its place */
}

static void damaged_and_foreign_files_are_refused(void **state)
{
	(void)state;
	store_close(open_good());
	write_at(path, 0, "SQLite format 4 and more of other things");
	refused(-EUCLEAN, "weir.db: file is not a database");
}

static void a_newer_store_is_refused_naming_both_versions(void **state)
{
	(void)state;
	store_close(open_good());
	write_at(path, 60, "\x7f\x7f\x7f\x7f"); /* user_version in the file's header */
	refused(-EPROTO, "has version 2139062143, this weir knows up to ");
}

static void acknowledged_changes_survive_kill_9(void **state)
{
	int pipe_fd[2];
	uint32_t acknowledged = 0;
	uint32_t id;
	pid_t child;

	(void)state;
	assert_int_equal(pipe(pipe_fd), 0);
	child = fork();
	if (child == 0) {
		struct store *store = NULL;

		if (store_open(path, (uid_t)-1, (gid_t)-1, &store, error, sizeof(error)) < 0)
			_exit(1);
		for (id = 0;; id++) {
			struct store_peer peer = make_peer(id % 8);

			peer.keepalive_s = (uint16_t)id;
			peer.state.last_handshake_wall_ns = id;
			if (store_peer_put(store, &peer) < 0
			    || store_peer_state_put(store, id % 8, &peer.state) < 0
			    || write(pipe_fd[1], &id, sizeof(id)) != sizeof(id))
				_exit(1);
		}
	}
	close(pipe_fd[1]);
	for (int i = 0; i < 20; i++)
		assert_int_equal(read(pipe_fd[0], &acknowledged, sizeof(id)), sizeof(id));
	assert_int_equal(kill(child, SIGKILL), 0);
	while (read(pipe_fd[0], &id, sizeof(id)) == sizeof(id))
		acknowledged = id; /* written to the pipe before the kill: acknowledged too */
	waitpid(child, NULL, 0);
	close(pipe_fd[0]);

	struct store *store = open_good();
	struct found found = read_peers(store);

	assert_int_equal(found.n, 8);
	assert_true(found.peers[acknowledged % 8].keepalive_s >= acknowledged);
	assert_true(found.peers[acknowledged % 8].state.last_handshake_wall_ns >= acknowledged);
	store_close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(an_undone_transaction_changes_nothing),
		CASE(changes_that_are_gathered_wait_for_the_disk_together),
		CASE(gathered_changes_that_do_not_reach_the_disk_are_told),
		CASE(a_large_transaction_has_a_large_cache_until_it_ends),
		CASE(secrets_are_sealed_and_files_are_private),
		CASE(a_second_process_is_refused),
		CASE(wrong_modes_are_refused),
		CASE(a_key_that_does_not_fit_is_refused),
		CASE(damaged_and_foreign_files_are_refused),
		CASE(a_newer_store_is_refused_naming_both_versions),
		CASE(acknowledged_changes_survive_kill_9),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

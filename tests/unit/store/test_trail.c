/* control/store, the audit trail: what is changed is recorded with it, what is not is not, and whatever is done to the
 * records behind our back is found. */
#include "base_bytes.h"
#include "base_text.h"
#include "store_block.h"
#include "store_dir.h"
#include "store_hub_key.h"
#include "store_peer.h"
#include "store_policy.h"
#include "store_rotation.h"
#include "store_trail.h"
#include "test.h"

#include <sqlite3.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct store *open_good(void)
{
	struct store *store = NULL;
	char error[512];

	if (store_open(path, (uid_t)-1, (gid_t)-1, &store, error, sizeof(error)) < 0)
		fail_msg("%s", error);
	return store;
}

static void sql_run(const char *sql, int expected)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), expected);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static struct store_peer make_peer(uint32_t id)
{
	struct store_peer peer = {.id = id, .has_preshared_key = true};

	snprintf(peer.name, sizeof(peer.name), "peer-%u", id);
	memset(peer.public_key, (int)id + 1, 31);
	memset(peer.preshared_key, 0xa0 + (int)id, 32);
	return peer;
}

/* The trail as text, a line a record: sequence actor|operation|object|summary|comment. */
static char told[8 * STORE_TRAIL_SUMMARY_LEN];
static int tell(void *arg, const struct store_trail_record *record)
{
	size_t len = strlen(told);

	(void)arg;
	snprintf(told + len, sizeof(told) - len, "%llu %s|%s|%s|%s|%s\n",
	         (unsigned long long)record->sequence, record->actor, record->operation,
	         record->object, record->summary, record->comment);
	return 0;
}

static int keep_time(void *arg, const struct store_trail_record *record)
{
	struct store_trail_record *out = arg;

	out->wall_ns = record->wall_ns;
	return 0;
}

static const char *trail_of(struct store *store)
{
	told[0] = '\0';
	assert_int_equal(
		store_trail_each(store, &(struct store_trail_query){.limit = 1000}, tell, NULL), 0);
	return told;
}

static uint64_t verified(struct store *store)
{
	struct store_trail_verdict verdict;

	assert_int_equal(store_trail_verify(store, &verdict), 0);
	if (verdict.broken != 0)
		fail_msg("record %llu: %s", (unsigned long long)verdict.broken, verdict.why);
	return verdict.n_good;
}

static const struct store_trail_entry entry = {"uid=1 pid=2", "peer.add", "laptop",
                                               "a=1",         "asked",    false};

static void an_operation_is_one_record_with_what_it_stored(void **state)
{
	struct store *store = open_good();
	struct store_peer peer = make_peer(1);

	(void)state;
	assert_int_equal(verified(store), 0);
	store_trail_begin(store, &entry);
	assert_int_equal(store_peer_put(store, &peer), 0);
	assert_int_equal(store_trail_end(store, true), 0);
	assert_string_equal(trail_of(store),
	                    "1 uid=1 pid=2|peer.add|laptop|a=1; peer peer-1 added "
	                    "key=AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgA= preshared-key=yes "
	                    "keepalive=0 client-keepalive=0|asked\n");
	/* Without the store, too, but not twice. */
	store_trail_begin(store, &entry);
	assert_int_equal(store_trail_end(store, true), 0);
	assert_int_equal(verified(store), 2);
	/* Several transactions are one operation. */
	store_trail_begin(store, &entry);
	assert_int_equal(store_peer_drop(store, 1), 0);
	assert_int_equal(store_peer_put(store, &peer), 0);
	assert_int_equal(store_trail_end(store, true), 0);
	assert_int_equal(verified(store), 3);
	store_close(store);
}

static void what_is_undone_or_refused_leaves_none(void **state)
{
	struct store *store = open_good();
	struct store_peer peer = make_peer(1);

	(void)state;
	store_trail_begin(store, &entry);
	assert_int_equal(store_begin(store), 0);
	assert_int_equal(store_peer_put(store, &peer), 0);
	assert_int_equal(store_end(store, false), 0);
	assert_int_equal(store_peer_drop(store, 1), -ENOENT);
	assert_int_equal(store_begin(store), 0); /* of nothing */
	assert_int_equal(store_end(store, true), 0);
	assert_int_equal(store_trail_end(store, false), 0);
	assert_int_equal(store_peer_drop(store, 1), -ENOENT); /* the hub's own */
	assert_int_equal(verified(store), 0);
	/* What was undone is recorded when it then succeeds. */
	store_trail_begin(store, &entry);
	assert_int_equal(store_begin(store), 0);
	assert_int_equal(store_peer_put(store, &peer), 0);
	assert_int_equal(store_end(store, false), 0);
	assert_int_equal(store_peer_put(store, &peer), 0);
	assert_int_equal(store_trail_end(store, true), 0);
	assert_int_equal(verified(store), 1);
	store_close(store);
}

static void each_thing_that_is_stored_has_its_record_if_that_is_wanted(void **state)
{
	static const struct store_trail_entry each = {"config", "config.peer", "", "", "", true};
	struct store *store = open_good();
	struct store_peer a = make_peer(1), b = make_peer(2);

	(void)state;
	store_trail_begin(store, &each);
	assert_int_equal(store_peer_put(store, &a), 0);
	assert_int_equal(store_peer_put(store, &b), 0);
	assert_int_equal(store_peer_put(store, &a), 0); /* as it was */
	assert_int_equal(store_trail_end(store, true), 0);
	assert_int_equal(verified(store), 2);
	store_trail_begin(store, &each);
	a.preshared_key[0] ^= 1;
	assert_int_equal(store_peer_put(store, &a), 0);
	b.public_key[0] ^= 1;
	assert_int_equal(store_peer_put(store, &b), 0);
	assert_int_equal(store_peer_drop(store, 1), 0);
	assert_int_equal(store_trail_end(store, false), 0);
	assert_int_equal(verified(store), 5);
	assert_non_null(strstr(trail_of(store), "3 config|config.peer|peer peer-1|changed key="));
	assert_non_null(strstr(told, " another-preshared-key|\n4 config"));
	assert_non_null(strstr(told, " was-key=AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwA=|\n5"));
	assert_non_null(strstr(told, "5 config|config.peer|peer peer-1|removed key="));
	store_close(store);
}

static void records_of_one_transaction_follow_each_other_and_what_was_there(void **state)
{
	static const struct store_trail_entry each = {"config", "config.peer", "", "", "", true};
	struct store *store = open_good();

	(void)state;
	for (uint32_t turn = 0; turn < 4; turn++) { /* each other one is undone */
		store_trail_begin(store, &each);
		assert_int_equal(store_begin(store), 0);
		for (uint32_t i = 0; i < 3; i++) {
			struct store_peer peer = make_peer(3 * turn + i);

			assert_int_equal(store_peer_put(store, &peer), 0);
		}
		assert_int_equal(store_end(store, turn % 2 == 1), 0);
		assert_int_equal(store_trail_end(store, false), 0);
		assert_int_equal(verified(store), 3 * ((turn + 1) / 2));
	}
	store_close(store);
}

static void what_the_hub_does_by_itself_is_the_hubs(void **state)
{
	struct store *store = open_good();
	struct store_peer peer = make_peer(1);
	struct store_rotation rotation = {.peer = 1, .state = STORE_ROTATION_EXPIRED};
	struct store_hub_key key = {.state = STORE_ROTATION_CONFIRMED, .has_private_key = true};
	struct store_block_row row = {
		.source = "feed", .reason = "", .author = "root", .prefixes = "x", .len = 1};

	(void)state;
	memset(key.private_key, 0x42, 32);
	assert_int_equal(store_peer_put(store, &peer), 0);
	assert_int_equal(store_rotation_put(store, &rotation), 0);
	assert_int_equal(store_hub_key_put(store, &key), 0);
	assert_int_equal(store_block_add(store, &row), 0);
	assert_int_equal(store_block_drop(store, row.id), 0);
	trail_of(store);
	assert_non_null(strstr(told, "2 hub|peer.rotate|rotation of peer peer-1|expired|\n"));
	assert_non_null(strstr(told, "3 hub|hub.rotate|rotation of hub|confirmed key="));
	assert_non_null(strstr(told, "4 hub|block.end|drop list feed|a prefix ended"));
	assert_int_equal(verified(store), 4);
	store_close(store);
}

static void no_secret_is_in_it(void **state)
{
	struct store *store = open_good();
	struct store_peer peer = make_peer(1);
	struct store_rotation rotation = {.peer = 1,
	                                  .state = STORE_ROTATION_PROPOSED,
	                                  .has_public_key = true,
	                                  .has_preshared_key = true};
	struct store_hub_key key = {
		.state = STORE_ROTATION_PROPOSED, .has_private_key = true, .has_next = true};
	uint8_t *const secrets[] = {peer.preshared_key, rotation.preshared_key, key.private_key,
	                            key.next_private_key};
	char base64[BASE_KEY_BASE64_LEN], hex[65];

	(void)state;
	for (size_t i = 1; i < BASE_ARRAY_LEN(secrets); i++)
		memset(secrets[i], 0x50 + (int)i, 32);
	assert_int_equal(store_peer_put(store, &peer), 0);
	assert_int_equal(store_rotation_put(store, &rotation), 0);
	assert_int_equal(store_hub_key_put(store, &key), 0);
	assert_int_equal(store_peer_key_put(store, 1, peer.public_key, rotation.preshared_key,
	                                    (const uint8_t[12]){0}, 1),
	                 0);
	assert_int_equal(verified(store), 4);
	trail_of(store);
	for (size_t i = 0; i < BASE_ARRAY_LEN(secrets); i++) {
		base_key_to_base64(base64, secrets[i]);
		base_hex_encode(hex, secrets[i], 32);
		assert_null(strstr(told, base64));
		assert_null(strstr(told, hex));
	}
	store_close(store);
}

/* Four records, and the store closed. */
static void make_four(void)
{
	struct store *store = open_good();

	for (int i = 0; i < 4; i++) {
		store_trail_begin(store, &entry);
		assert_int_equal(store_trail_end(store, true), 0);
	}
	assert_int_equal(verified(store), 4);
	store_close(store);
}

static void the_table_is_only_added_to(void **state)
{
	(void)state;
	make_four();
	sql_run("UPDATE trail SET actor = 'x' WHERE sequence = 2", SQLITE_CONSTRAINT);
	sql_run("DELETE FROM trail WHERE sequence = 4", SQLITE_CONSTRAINT);
	sql_run("INSERT OR REPLACE INTO trail SELECT * FROM trail WHERE sequence = 4",
	        SQLITE_CONSTRAINT);
	sql_run("INSERT INTO trail SELECT 6, time, actor, operation, object, summary, comment,"
	        " previous, hash FROM trail WHERE sequence = 4",
	        SQLITE_CONSTRAINT);
}

static void whatever_is_done_to_it_is_found(void **state)
{
	static const struct {
		const char *sql;
		uint64_t broken;
		const char *why;
	} cases[] = {
		{"UPDATE trail SET actor = 'x' WHERE sequence = 2", 2,
	         "it is not as it was written"},
		{"UPDATE trail SET time = time + 1 WHERE sequence = 1", 1,
	         "it is not as it was written"},
		{"UPDATE trail SET operation = 'peer.show' WHERE sequence = 3", 3,
	         "it is not as it was written"},
		{"UPDATE trail SET object = 'phone' WHERE sequence = 3", 3,
	         "it is not as it was written"},
		{"UPDATE trail SET summary = '' WHERE sequence = 4", 4,
	         "it is not as it was written"},
		{"UPDATE trail SET comment = 'x' WHERE sequence = 4", 4,
	         "it is not as it was written"},
		{"UPDATE trail SET summary = comment, comment = summary WHERE sequence = 2", 2,
	         "it is not as it was written"},
		{"UPDATE trail SET previous = zeroblob(32) WHERE sequence = 3", 3,
	         "it does not follow the one before"},
		{"UPDATE trail SET hash = x'00' WHERE sequence = 3", 3,
	         "its hashes are not hashes"},
		{"UPDATE trail SET hash = zeroblob(32) WHERE sequence = 4", 4,
	         "it is not as it was written"},
		{"DELETE FROM trail WHERE sequence = 1", 1, "it is missing"},
		{"DELETE FROM trail WHERE sequence = 2", 2, "it is missing"},
		{"DELETE FROM trail WHERE sequence = 4", 4, "it is missing, at the end"},
		{"DELETE FROM trail", 1, "it is missing, at the end"},
		{"DELETE FROM trail WHERE sequence = 3;"
	         "UPDATE trail SET sequence = 3 WHERE sequence = 4",
	         3, "it does not follow the one before"},
	};
	char sql[600];

	(void)state;
	make_four();
	sql_run("DROP TRIGGER trail_update; DROP TRIGGER trail_delete; DROP TRIGGER trail_insert;"
	        "CREATE TABLE good AS SELECT * FROM trail",
	        SQLITE_OK);
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++) {
		struct store_trail_verdict verdict;
		struct store *store;

		sql_run("DELETE FROM trail; INSERT INTO trail SELECT * FROM good", SQLITE_OK);
		store = open_good();
		assert_int_equal(verified(store), 4);
		store_close(store);
		snprintf(sql, sizeof(sql), "%s", cases[i].sql);
		sql_run(sql, SQLITE_OK);
		store = open_good();
		assert_int_equal(store_trail_verify(store, &verdict), 0);
		if (verdict.broken != cases[i].broken || !verdict.why
		    || strcmp(verdict.why, cases[i].why) != 0)
			fail_msg("%s: record %llu: %s", cases[i].sql,
			         (unsigned long long)verdict.broken,
			         verdict.why ? verdict.why : "-");
		store_close(store);
	}
}

/* So many records more, in a store that is open. */
static void add_records(struct store *store, int n)
{
	for (int i = 0; i < n; i++) {
		store_trail_begin(store, &entry);
		assert_int_equal(store_trail_end(store, true), 0);
	}
}

/* Take out all up to this one, as somebody's operation. */
static void take_out(struct store *store, uint64_t last)
{
	static const struct store_trail_entry prune = {"uid=1 pid=2", "audit.prune", "hub",
	                                               "keep=6",      "full",        false};
	struct store_trail_walk walk = {.until_sequence = last};

	assert_int_equal(store_trail_walk(store, &walk, 1000), 0);
	assert_true(walk.is_done);
	store_trail_begin(store, &prune);
	assert_int_equal(store_trail_take_out(store, &walk), 0);
	assert_int_equal(store_trail_end(store, true), 0);
}

static struct store_trail_verdict verdict_of(struct store *store)
{
	struct store_trail_verdict verdict;

	assert_int_equal(store_trail_verify(store, &verdict), 0);
	return verdict;
}

static void the_oldest_are_taken_out_and_the_rest_is_still_a_chain(void **state)
{
	struct store *store = open_good();
	struct store_trail_verdict verdict;
	uint64_t n, first_ns;
	bool more = false;

	(void)state;
	assert_int_equal(store_trail_size(store, &n, &first_ns), 0);
	assert_true(n == 0 && first_ns == 0);
	add_records(store, 10);
	take_out(store, 4);
	assert_int_equal(verified(store), 7); /* 5 to 10, and the one of it */
	verdict = verdict_of(store);
	assert_int_equal(verdict.taken_out, 4);
	assert_int_equal(store_trail_size(store, &n, &first_ns), 0);
	assert_true(n == 7 && first_ns != 0);
	assert_int_equal(strncmp(trail_of(store), "5 ", 2), 0);
	assert_non_null(
		strstr(told, "\n11 uid=1 pid=2|audit.prune|hub|keep=6; audit trail taken out up to "
	                     "record=4 hash="));
	/* They go bit by bit, also after the next start, and nothing else with them. */
	assert_int_equal(store_trail_sweep(store, 3, &more), 0);
	assert_true(more);
	store_close(store);
	store = open_good();
	assert_int_equal(verified(store), 7);
	assert_int_equal(store_trail_sweep(store, 3, &more), 0);
	assert_false(more);
	assert_int_equal(verified(store), 7);
	assert_int_equal(store_trail_size(store, &n, &first_ns), 0);
	assert_int_equal(n, 7);
	/* Again, with the record of the first time. */
	add_records(store, 3);
	take_out(store, 12);
	assert_int_equal(store_trail_sweep(store, 1000, &more), 0);
	assert_false(more);
	assert_int_equal(verified(store), 3);
	assert_int_equal(verdict_of(store).taken_out, 12);
	store_close(store);
	sql_run("DELETE FROM trail WHERE sequence = 13", SQLITE_CONSTRAINT);
	sql_run("UPDATE trail_anchor SET sequence = 11", SQLITE_CONSTRAINT);
	sql_run("UPDATE trail_anchor SET sequence = 13", SQLITE_CONSTRAINT);
	sql_run("DELETE FROM trail_anchor", SQLITE_CONSTRAINT);
	sql_run("INSERT OR REPLACE INTO trail_anchor VALUES (1, 0, zeroblob(32))",
	        SQLITE_CONSTRAINT);
}

static void nothing_is_taken_out_that_is_not_as_it_was_written(void **state)
{
	struct store_trail_walk walk = {.until_sequence = 3};
	struct store_trail_walk none = {.until_wall_ns = 1};
	struct store *store;

	(void)state;
	make_four();
	store = open_good();
	assert_int_equal(store_trail_take_out(store, &walk), -EINVAL); /* not walked */
	assert_int_equal(store_trail_walk(store, &none, 1000), 0);
	assert_true(none.is_done);
	assert_int_equal(store_trail_take_out(store, &none), -EINVAL); /* all are newer */
	store_close(store);
	sql_run("DROP TRIGGER trail_update; UPDATE trail SET actor = 'x' WHERE sequence = 2",
	        SQLITE_OK);
	store = open_good();
	assert_int_equal(store_trail_walk(store, &walk, 1000), 0);
	assert_int_equal(walk.verdict.broken, 2);
	assert_int_equal(store_trail_take_out(store, &walk), -EINVAL);
	assert_int_equal(verdict_of(store).taken_out, 0);
	store_close(store);
}

static void what_somebody_else_takes_out_is_found(void **state)
{
#define ANCHOR_MOVED                                                                               \
	"UPDATE trail_anchor SET sequence = 6, hash = (SELECT hash FROM trail WHERE "              \
	"sequence = 6); DELETE FROM trail WHERE sequence <= 6"
	static const char *const cases[] = {
		ANCHOR_MOVED,
		"UPDATE trail_anchor SET sequence = 0, hash = zeroblob(32)",
		"UPDATE trail_anchor SET hash = zeroblob(32)",
		"DELETE FROM trail WHERE sequence = 5",
	};
	struct store *store = open_good();
	bool more;

	(void)state;
	add_records(store, 8);
	take_out(store, 4);
	assert_int_equal(store_trail_sweep(store, 10, &more), 0);
	store_close(store);
	sql_run("DROP TRIGGER trail_delete; DROP TRIGGER trail_anchor_update;"
	        "CREATE TABLE good AS SELECT * FROM trail;"
	        "CREATE TABLE good_anchor AS SELECT * FROM trail_anchor",
	        SQLITE_OK);
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++) {
		sql_run(cases[i], SQLITE_OK);
		store = open_good();
		assert_true(verdict_of(store).broken != 0);
		store_close(store);
		sql_run("DROP TRIGGER IF EXISTS trail_insert; DELETE FROM trail;"
		        "INSERT INTO trail SELECT * FROM good;"
		        "UPDATE trail_anchor SET (sequence, hash) = (SELECT sequence, hash FROM"
		        " good_anchor)",
		        SQLITE_OK);
		store = open_good();
		assert_int_equal(verified(store), 5);
		store_close(store);
	}
}

static void a_walk_in_pieces_sees_what_comes_and_goes_meanwhile(void **state)
{
	struct store *store = open_good();
	struct store_trail_walk verify = {0}, prune = {.until_sequence = 5}, aged = {0};
	struct store_trail_record third = {0};

	(void)state;
	add_records(store, 10);
	for (int i = 0; i < 3; i++)
		assert_int_equal(store_trail_walk(store, &verify, 2), 0);
	assert_int_equal(verify.verdict.n_good, 6);
	add_records(store, 1);
	assert_int_equal(store_trail_walk(store, &prune, 2), 0);
	assert_false(prune.is_done);
	take_out(store, 3);
	/* From the new beginning on. */
	assert_int_equal(store_trail_walk(store, &verify, 2), 0);
	assert_int_equal(verify.verdict.n_good, 2);
	assert_int_equal(verify.verdict.taken_out, 3);
	while (!verify.is_done)
		assert_int_equal(store_trail_walk(store, &verify, 2), 0);
	assert_int_equal(verify.verdict.broken, 0);
	assert_int_equal(verify.verdict.n_good, 9);
	assert_int_equal(store_trail_walk(store, &prune, 2), 0);
	assert_true(prune.is_done);
	assert_int_equal(prune.verdict.n_good, 2);
	take_out(store, 4);
	assert_int_equal(store_trail_take_out(store, &prune), -ESTALE);
	assert_int_equal(verdict_of(store).taken_out, 4);
	/* Up to a time. */
	assert_int_equal(store_trail_each(store,
	                                  &(struct store_trail_query){.after = 6, .limit = 1},
	                                  keep_time, &third),
	                 0);
	aged.until_wall_ns = third.wall_ns;
	assert_int_equal(store_trail_walk(store, &aged, 1000), 0);
	assert_true(aged.is_done);
	assert_int_equal(aged.verdict.n_good, 2);
	store_close(store);
}

static void text_is_one_line_of_bounded_length(void **state)
{
	struct store *store = open_good();
	char summary[3 * STORE_TRAIL_SUMMARY_LEN];
	struct store_trail_entry strange = {"a\nb", "x", "o\tb\x7f", summary, "c\nd", false};

	(void)state;
	for (int cut = 0; cut < 3; cut++) { /* each place in a character of three bytes */
		memset(summary, 'x', sizeof(summary));
		for (size_t i = (size_t)cut; i + 3 < sizeof(summary); i += 3)
			memcpy(summary + i, "\xe2\x82\xac", 3);
		summary[sizeof(summary) - 1] = '\0';
		store_trail_begin(store, &strange);
		assert_int_equal(store_trail_end(store, true), 0);
		trail_of(store);
		assert_non_null(strstr(told, "a?b|x|o?b?|"));
		assert_non_null(strstr(told, "\xe2\x82\xac...|c?d\n"));
	}
	assert_int_equal(verified(store), 3);
	store_close(store);
}

static void a_store_of_version_11_gets_an_empty_trail(void **state)
{
	struct store *store = open_good();
	struct store_peer peer = make_peer(1);

	(void)state;
	assert_int_equal(store_peer_put(store, &peer), 0);
	store_close(store);
	sql_run("DROP TABLE trail; DROP TABLE trail_anchor; DROP TABLE peer_alarms; DROP TABLE peer_names;"
	        "ALTER TABLE peers DROP COLUMN expected; ALTER TABLE peer_usage DROP COLUMN kept;"
	        "PRAGMA user_version = 11",
	        SQLITE_OK);
	store = open_good();
	assert_int_equal(verified(store), 0);
	peer.keepalive_s = 7;
	assert_int_equal(store_peer_put(store, &peer), 0);
	assert_int_equal(verified(store), 1);
	assert_non_null(strstr(trail_of(store), "1 hub|peer.change|peer peer-1|changed key="));
	store_close(store);
}

static void the_last_or_those_behind_one_are_read(void **state)
{
	struct store *store;

	(void)state;
	make_four();
	store = open_good();
	told[0] = '\0';
	assert_int_equal(store_trail_each(store,
	                                  &(struct store_trail_query){.limit = 2, .last = true},
	                                  tell, NULL),
	                 0);
	assert_true(told[0] == '4' && strstr(told, "\n3 ") && !strstr(told, "\n2 "));
	told[0] = '\0';
	assert_int_equal(store_trail_each(store,
	                                  &(struct store_trail_query){.after = 1, .limit = 2}, tell,
	                                  NULL),
	                 0);
	assert_true(told[0] == '2' && strstr(told, "\n3 ") && !strstr(told, "\n4 "));
	told[0] = '\0';
	assert_int_equal(store_trail_each(store,
	                                  &(struct store_trail_query){.since_wall_ns = INT64_MAX,
	                                                              .limit = 2},
	                                  tell, NULL),
	                 0);
	assert_string_equal(told, "");
	store_close(store);
}

static int set_up(void **state)
{
	(void)state;
	return store_dir_make();
}

static int tear_down(void **state)
{
	(void)state;
	return store_dir_remove();
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(an_operation_is_one_record_with_what_it_stored),
		CASE(what_is_undone_or_refused_leaves_none),
		CASE(each_thing_that_is_stored_has_its_record_if_that_is_wanted),
		CASE(records_of_one_transaction_follow_each_other_and_what_was_there),
		CASE(what_the_hub_does_by_itself_is_the_hubs),
		CASE(no_secret_is_in_it),
		CASE(the_table_is_only_added_to),
		CASE(whatever_is_done_to_it_is_found),
		CASE(the_oldest_are_taken_out_and_the_rest_is_still_a_chain),
		CASE(nothing_is_taken_out_that_is_not_as_it_was_written),
		CASE(what_somebody_else_takes_out_is_found),
		CASE(a_walk_in_pieces_sees_what_comes_and_goes_meanwhile),
		CASE(text_is_one_line_of_bounded_length),
		CASE(a_store_of_version_11_gets_an_empty_trail),
		CASE(the_last_or_those_behind_one_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

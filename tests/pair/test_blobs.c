/* Tables that control hands over whole: sent at once and at each meeting, one of a kind at a time, the
 * newest wins, and a refusal is heard. */
#include "base_log.h"
#include "pair.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define SET_FAKE(field, value) __atomic_store_n(&pair.fake->field, value, __ATOMIC_RELEASE)

static void put(enum abi_blob kind, const char *text, uint64_t generation)
{
	assert_int_equal(program_blob_write(pair.program, kind, text, strlen(text), generation), 0);
}

/* The blob that came last of this kind. */
static void expect_last(enum abi_blob kind, const char *text, uint64_t generation)
{
	for (uint32_t i = __atomic_load_n(&pair.fake->n_blobs, __ATOMIC_ACQUIRE); i-- > 0;) {
		if (pair.fake->blobs[i].kind != kind)
			continue;
		assert_int_equal(pair.fake->blobs[i].has_fd, text != NULL);
		assert_int_equal(pair.fake->blobs[i].generation, generation);
		if (text != NULL)
			assert_int_equal(pair.fake->blobs[i].hash,
			                 abi_blob_hash(text, strlen(text)));
		return;
	}
	fail_msg("no blob of kind %d came", kind);
}

static void blob_arrives_whole_and_its_answer_is_heard(void **state)
{
	(void)state;
	pair_start();
	PAIR_RUN_UNTIL(fake_n_blobs(pair.fake, ABI_BLOB_POLICY) == 1);
	put(ABI_BLOB_POLICY, "first", 41);
	PAIR_RUN_UNTIL(pair.seen.n_blobs == 1);
	expect_last(ABI_BLOB_POLICY, "first", 41);
	assert_int_equal(pair.seen.blob_kind, ABI_BLOB_POLICY);
	assert_int_equal(pair.seen.blob_generation, 41);
	assert_int_equal(pair.seen.blob_err, 0);
	assert_true(program_is_attached(pair.program));
}

/* Also those of which there is none: the last control's may still be there. */
static void every_kind_is_sent_at_each_meeting(void **state)
{
	struct program_setup setup = pair_make_setup();

	(void)state;
	pair_create(&setup);
	put(ABI_BLOB_BLOCK, "early", 7);
	assert_int_equal(program_start(pair.program, NULL), 0);
	for (uint32_t round = 1; round <= 3; round++) {
		pair.pid = fake_start(pair.fake, pair.path);
		PAIR_RUN_UNTIL(fake_n_blobs(pair.fake, ABI_BLOB_CAPTURE) == round);
		PAIR_RUN_UNTIL(pair.seen.n_blobs == round);
		for (uint32_t i = 0; i < ABI_N_BLOBS; i++)
			assert_int_equal(fake_n_blobs(pair.fake, (enum abi_blob)i), round);
		expect_last(ABI_BLOB_POLICY, NULL, 0);
		expect_last(ABI_BLOB_BLOCK, "early", 7);
		fake_kill(pair.pid);
		pair.pid = 0;
		PAIR_RUN_UNTIL(pair.seen.n_detached == round);
	}
}

static void of_many_in_a_row_the_last_arrives(void **state)
{
	char text[32];

	(void)state;
	pair_start();
	PAIR_RUN_UNTIL(pair.seen.n_without_blob == ABI_N_BLOBS);
	SET_FAKE(keeps_blobs, 1);
	for (uint32_t i = 1; i <= 1000; i++) {
		snprintf(text, sizeof(text), "number %u", i);
		put(ABI_BLOB_POLICY, text, i);
	}
	put(ABI_BLOB_BLOCK, "of another kind", 5); /* waits for nobody */
	PAIR_RUN_UNTIL(fake_n_blobs(pair.fake, ABI_BLOB_BLOCK) == 2);
	assert_int_equal(pair.seen.n_blobs, 0);
	SET_FAKE(keeps_blobs, 0);
	PAIR_RUN_UNTIL(pair.seen.blob_kind == ABI_BLOB_POLICY && pair.seen.blob_generation == 1000);
	expect_last(ABI_BLOB_POLICY, "number 1000", 1000);
	assert_in_range(fake_n_blobs(pair.fake, ABI_BLOB_POLICY), 2, 4);
}

static void refusal_is_heard_with_its_reason_and_counted(void **state)
{
	(void)state;
	pair_start();
	PAIR_RUN_UNTIL(pair.seen.n_without_blob == ABI_N_BLOBS);
	SET_FAKE(blob_err, EPROTO);
	put(ABI_BLOB_POLICY, "bad", 3);
	PAIR_RUN_UNTIL(pair.seen.n_blobs == 1);
	assert_int_equal(pair.seen.blob_err, EPROTO);
	assert_string_equal(pair.seen.blob_reason, "as the test wants");
	assert_int_equal(program_counter(pair.program, ABI_COUNTER_BLOB_REFUSED), 1);
	SET_FAKE(blob_err, 0);
	put(ABI_BLOB_POLICY, "good", 4);
	PAIR_RUN_UNTIL(pair.seen.n_blobs == 2);
	assert_int_equal(pair.seen.blob_err, 0);
	assert_int_equal(program_counter(pair.program, ABI_COUNTER_BLOB_REFUSED), 1);
}

static void blob_may_be_taken_away(void **state)
{
	(void)state;
	pair_start();
	put(ABI_BLOB_CAPTURE, "on", 1);
	PAIR_RUN_UNTIL(pair.seen.n_blobs == 1);
	assert_int_equal(program_blob_set(pair.program, ABI_BLOB_CAPTURE, -1, 0), 0);
	PAIR_RUN_UNTIL(fake_n_blobs(pair.fake, ABI_BLOB_CAPTURE) == 3);
	expect_last(ABI_BLOB_CAPTURE, NULL, 0);
}

static void nonsense_is_refused(void **state)
{
	struct program_setup setup = pair_make_setup();
	int fd = dup(0);

	(void)state;
	pair_create(&setup);
	assert_int_equal(program_blob_set(pair.program, ABI_N_BLOBS, fd, 1), -EINVAL);
	assert_int_equal(close(fd), -1); /* taken all the same */
	assert_int_equal(program_blob_write(pair.program, ABI_BLOB_POLICY, "x", 1, 0), -EINVAL);
}

/* The next gets it anew. */
static void dataplane_that_dies_with_a_blob_in_hand_is_replaced(void **state)
{
	(void)state;
	pair_start();
	PAIR_RUN_UNTIL(pair.seen.n_without_blob == ABI_N_BLOBS);
	SET_FAKE(keeps_blobs, 1);
	put(ABI_BLOB_POLICY, "in hand", 9);
	PAIR_RUN_UNTIL(fake_n_blobs(pair.fake, ABI_BLOB_POLICY) == 2);
	fake_kill(pair.pid);
	SET_FAKE(keeps_blobs, 0);
	pair.pid = fake_start(pair.fake, pair.path);
	PAIR_RUN_UNTIL(pair.seen.n_blobs == 1);
	expect_last(ABI_BLOB_POLICY, "in hand", 9);
	assert_int_equal(pair.seen.blob_err, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAIR_CASE(blob_arrives_whole_and_its_answer_is_heard),
		PAIR_CASE(every_kind_is_sent_at_each_meeting),
		PAIR_CASE(of_many_in_a_row_the_last_arrives),
		PAIR_CASE(refusal_is_heard_with_its_reason_and_counted),
		PAIR_CASE(blob_may_be_taken_away),
		PAIR_CASE(nonsense_is_refused),
		PAIR_CASE(dataplane_that_dies_with_a_blob_in_hand_is_replaced),
	};

	base_log_init("test", BASE_LOG_ERR);
	return cmocka_run_group_tests_name("pair_blobs", tests, NULL, NULL);
}

/* The replay window: a table of cases, its edges, and random counters against a set. */
#include "base_bytes.h"
#include "test.h"
#include "wg_replay.h"

#include <stdbool.h>

#define LAST (WG_REJECT_AFTER_MESSAGES - 1) /* highest counter ever accepted */

struct window {
	struct wg_replay replay;
	struct wg_replay_ring ring;
};

/* Accept it, and see that the cheap look said the same and left the window alone. */
static bool accept(struct window *window, uint64_t counter)
{
	struct window before = *window;
	bool may = wg_replay_may_accept(&window->replay, &window->ring, counter);

	assert_memory_equal(&before, window, sizeof(before));

	bool did = wg_replay_accept(&window->replay, &window->ring, counter);

	assert_int_equal(may, did);
	if (!did)
		assert_memory_equal(&before, window, sizeof(before));
	return did;
}

static const struct {
	uint64_t counter;
	bool expected;
} steps[] = {
	/* 0 */ {0, true},
	/* 1 */ {0, false},
	/* 2 */ {1, true},
	/* 3 */ {1, false},
	/* 4 */ {9, true},
	/* 5 */ {8, true},
	/* 6 */ {7, true},
	/* 7 */ {7, false},
	/* 8 */ {WG_REPLAY_WINDOW, true},
	/* 9 */ {WG_REPLAY_WINDOW - 1, true},
	/* 10 */ {WG_REPLAY_WINDOW - 1, false},
	/* 11 */ {WG_REPLAY_WINDOW - 2, true},
	/* 12 */ {2, true},
	/* 13 */ {2, false},
	/* 14 */ {WG_REPLAY_WINDOW + 16, true},
	/* 15: one below the window */ {15, false},
	/* 16: at its edge */ {16, true},
	/* 17 */ {16, false},
	/* 18 */ {WG_REPLAY_WINDOW + 16, false},
	/* 19: far jump */ {LAST - 20, true},
	/* 20 */ {WG_REPLAY_WINDOW + 17, false},
	/* 21 */ {LAST - 20, false},
	/* 22 */ {LAST - 20 - WG_REPLAY_WINDOW, true},
	/* 23 */ {LAST - 20 - WG_REPLAY_WINDOW, false},
	/* 24 */ {LAST - 21 - WG_REPLAY_WINDOW, false},
	/* 25 */ {LAST, true},
	/* 26 */ {LAST, false},
	/* 27 */ {LAST + 1, false},
	/* 28 */ {UINT64_MAX - 1, false},
	/* 29 */ {UINT64_MAX, false},
	/* 30 */ {LAST - 1, true},
	/* 31 */ {0, false},
};

static void window_follows_the_table(void **state)
{
	struct window window;

	(void)state;
	wg_replay_init(&window.replay, &window.ring);
	for (size_t i = 0; i < BASE_ARRAY_LEN(steps); i++)
		if (accept(&window, steps[i].counter) != steps[i].expected)
			fail_msg("step %zu: counter %llu should be %s", i,
			         (unsigned long long)steps[i].counter,
			         steps[i].expected ? "accepted" : "refused");
}

static void replay_rejects_same_counter_twice_in_order(void **state)
{
	struct window window;

	(void)state;
	wg_replay_init(&window.replay, &window.ring);
	for (uint64_t i = 0; i < 5 * WG_REPLAY_BITS; i++) {
		assert_true(accept(&window, i));
		assert_false(accept(&window, i));
		assert_int_equal(window.replay.next, i + 1);
	}
}

static void whole_window_arrives_backwards(void **state)
{
	(void)state;
	for (uint64_t top = WG_REPLAY_WINDOW; top < WG_REPLAY_WINDOW + 130; top += 13) {
		struct window window;

		wg_replay_init(&window.replay, &window.ring);
		for (uint64_t i = 0; i <= WG_REPLAY_WINDOW; i++)
			assert_true(accept(&window, top - i));
		for (uint64_t i = 0; i <= top; i++)
			assert_false(accept(&window, i));
	}
}

/* However far the jump, the window behind it is open and nothing below it. */
static void jump_of_any_length_opens_exactly_one_window(void **state)
{
	static const uint64_t jumps[] = {1,    2,    63,    64,    65,    127,    128,  8064,
	                                 8127, 8128, 8129,  8191,  8192,  8193,   8255, 8256,
	                                 8257, 9999, 16383, 16384, 16385, 1 << 20};

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(jumps); i++) {
		for (uint64_t start = 20000; start < 20000 + 64; start += 21) {
			uint64_t top = start + jumps[i];
			struct window window;

			wg_replay_init(&window.replay, &window.ring);
			for (uint64_t c = start - 9000; c <= start; c++)
				assert_true(accept(&window, c));
			assert_true(accept(&window, top));
			for (uint64_t c = top - 1; c > top - WG_REPLAY_WINDOW - 200; c--)
				assert_int_equal(wg_replay_may_accept(&window.replay, &window.ring,
				                                      c),
				                 c > start && c >= top - WG_REPLAY_WINDOW);
		}
	}
}

static void resumed_window_refuses_all_below_and_takes_all_above(void **state)
{
	static const uint64_t nexts[] = {0, 1, 62, 63, 64, 65, 8128, 8192, 100000, LAST, LAST + 1};

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(nexts); i++) {
		uint64_t next = nexts[i];
		struct window window;

		wg_replay_init(&window.replay, &window.ring);
		wg_replay_resume(&window.replay, &window.ring, next);
		for (uint64_t c = next > 9000 ? next - 9000 : 0; c < next; c++)
			assert_false(accept(&window, c));
		for (uint64_t c = next; c < next + 9000; c++)
			assert_int_equal(accept(&window, c), c <= LAST);
	}
}

static void resumed_window_takes_reordered_counters_above(void **state)
{
	struct window window;

	(void)state;
	wg_replay_resume(&window.replay, &window.ring, 1000);
	assert_true(accept(&window, 1010));
	assert_true(accept(&window, 1000));
	assert_true(accept(&window, 1005));
	assert_false(accept(&window, 999));
	assert_false(accept(&window, 1005));
}

static void resume_from_garbage_refuses_everything_without_overflow(void **state)
{
	static const uint64_t counters[] = {0, 1, LAST - 1, LAST, LAST + 1, UINT64_MAX};
	static const uint64_t nexts[] = {UINT64_MAX, UINT64_MAX - 1, LAST + 2};

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(nexts); i++) {
		struct window window;

		wg_replay_resume(&window.replay, &window.ring, nexts[i]);
		for (size_t j = 0; j < BASE_ARRAY_LEN(counters); j++)
			assert_false(accept(&window, counters[j]));
	}
}

/* The dumb version: every counter ever seen, relative to a base, a byte each. */
#define NAIVE_LEN 400000U

static bool naive_accept(uint8_t *seen, uint64_t *next, uint64_t base, uint64_t counter)
{
	if (counter > LAST || seen[counter - base])
		return false;
	if (counter + 1 + WG_REPLAY_WINDOW < *next)
		return false;
	seen[counter - base] = 1;
	if (counter + 1 > *next)
		*next = counter + 1;
	return true;
}

static uint64_t pick(struct test_random *random, uint64_t next, uint64_t base)
{
	uint64_t low = base;
	uint64_t high = base + NAIVE_LEN - 1;
	uint64_t counter = next;

	switch (test_random_below(random, 8)) {
	case 0: /* the edge of the window */
		counter = next - WG_REPLAY_WINDOW - 4 + test_random_below(random, 8);
		break;
	case 1: /* anywhere in it or a little below */
		counter = next - test_random_below(random, 9000);
		break;
	case 2: /* a jump */
		counter = next
		          + test_random_below(random, test_random_below(random, 50) ? 80 : 9000);
		break;
	case 3: /* around the newest */
		counter = next - 3 + test_random_below(random, 6);
		break;
	default: /* in order */
		break;
	}
	return counter < low || counter > high ? low + test_random_below(random, NAIVE_LEN)
	                                       : counter;
}

static void random_counters_agree_with_a_set(void **state)
{
	static const uint64_t bases[] = {0, UINT64_C(1) << 32, LAST - NAIVE_LEN + 200};
	struct test_random random = test_random_start();
	uint8_t *seen = malloc(NAIVE_LEN);

	(void)state;
	assert_non_null(seen);
	for (size_t b = 0; b < BASE_ARRAY_LEN(bases); b++) {
		struct window window;
		uint64_t next = bases[b];

		memset(seen, 0, NAIVE_LEN);
		wg_replay_resume(&window.replay, &window.ring, next);
		for (int i = 0; i < 300000; i++) {
			uint64_t counter = pick(&random, next, bases[b]);

			if (i == 200000) {
				wg_replay_resume(&window.replay, &window.ring, next);
				memset(seen, 1, next - bases[b]);
			}
			assert_int_equal(wg_replay_accept(&window.replay, &window.ring, counter),
			                 naive_accept(seen, &next, bases[b], counter));
			assert_int_equal(window.replay.next, next);
		}
	}
	free(seen);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(window_follows_the_table),
		cmocka_unit_test(replay_rejects_same_counter_twice_in_order),
		cmocka_unit_test(whole_window_arrives_backwards),
		cmocka_unit_test(jump_of_any_length_opens_exactly_one_window),
		cmocka_unit_test(resumed_window_refuses_all_below_and_takes_all_above),
		cmocka_unit_test(resumed_window_takes_reordered_counters_above),
		cmocka_unit_test(resume_from_garbage_refuses_everything_without_overflow),
		cmocka_unit_test(random_counters_agree_with_a_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

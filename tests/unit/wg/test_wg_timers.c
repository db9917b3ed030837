/* The timers of whitepaper 6: each by its name, its bounds, and that asking again ends. */
#include "base_bytes.h"
#include "test.h"
#include "wg_timers.h"

#define S  BASE_NS_PER_S
#define T0 (1000 * S)

/* A session's data half as a worker has it, looked at 20 times a second while time passes. */
struct half {
	struct wg_timers_data timers;
	uint32_t sent;
	uint32_t persistent_s;
	uint64_t jitter_ns;
	uint64_t now_ns;
};
#define LOOK_NS (50 * BASE_NS_PER_MS)

static enum wg_timers_data_due poll_now(struct half *half)
{
	return wg_timers_data_poll(&half->timers, &half->sent, half->persistent_s, half->jitter_ns,
	                           half->now_ns);
}

static struct half begin(uint64_t now_ns)
{
	struct half half = {.now_ns = now_ns};

	wg_timers_data_init(&half.timers, now_ns);
	return half;
}

/* Until then nothing is due; not looked at at that moment itself. */
static void pass(struct half *half, uint64_t until_ns)
{
	for (; half->now_ns < until_ns; half->now_ns += LOOK_NS)
		assert_int_equal(poll_now(half), WG_TIMERS_DATA_NOTHING);
	half->now_ns = until_ns;
}

/* Due within a look or two of that moment and not before, and then not again. */
static void expect_due(struct half *half, uint64_t at_ns, enum wg_timers_data_due expected)
{
	enum wg_timers_data_due due = WG_TIMERS_DATA_NOTHING;

	pass(half, at_ns - LOOK_NS);
	while (due == WG_TIMERS_DATA_NOTHING && half->now_ns < at_ns + LOOK_NS) {
		half->now_ns += LOOK_NS / 10;
		due = poll_now(half);
	}
	assert_int_equal(due, expected);
	assert_true(half->now_ns + 8192 >= at_ns); /* two ticks */
	assert_int_equal(poll_now(half), WG_TIMERS_DATA_NOTHING);
}

static void expect_nothing(struct half *half, uint64_t for_ns)
{
	pass(half, half->now_ns + for_ns);
}

static void receive(struct half *half, bool is_data)
{
	wg_timers_received(&half->timers, wg_timers_tick(half->now_ns));
	if (is_data)
		wg_timers_received_data(&half->timers, wg_timers_tick(half->now_ns));
}

static void send(struct half *half, bool is_data)
{
	if (is_data)
		wg_timers_sent_data(&half->sent, wg_timers_tick(half->now_ns));
	else
		wg_timers_sent_empty(&half->sent, wg_timers_tick(half->now_ns));
}

static void expect_handshake(struct wg_timers_handshake *timers, uint64_t now_ns,
                             enum wg_timers_handshake_due expected, uint64_t expected_next_ns)
{
	uint64_t next_ns = 0;
	enum wg_timers_handshake_due due = wg_timers_handshake_poll(timers, now_ns, &next_ns);

	assert_int_equal(due, expected);
	if (due != WG_TIMERS_HANDSHAKE_NOTHING)
		assert_int_equal(wg_timers_handshake_poll(timers, now_ns, &next_ns),
		                 WG_TIMERS_HANDSHAKE_NOTHING);
	assert_true(next_ns == expected_next_ns);
}

/* ---- data half ----------------------------------------------------------------------------------- */

static void fresh_timers_never_fire(void **state)
{
	struct half half = begin(T0);

	(void)state;
	expect_nothing(&half, 200 * S);
	half.now_ns = UINT64_MAX / 2;
	expect_nothing(&half, S);
	half = (struct half){0};
	expect_nothing(&half, 200 * S);
}

static void ticks_are_in_order_and_never_zero(void **state)
{
	(void)state;
	assert_int_equal(wg_timers_tick(0), 1);
	assert_int_equal(wg_timers_tick(4095), 1);
	assert_int_equal(wg_timers_tick(4096), 5);
	assert_int_equal(wg_timers_tick(UINT64_C(1) << 42), 1); /* 73 minutes */
	for (uint64_t ns = 0; ns < 100000; ns += 1000)
		assert_int_equal(wg_timers_tick(T0 + ns) & 3, 1);
}

static void passive_keepalive_is_sent_10_s_after_data_without_answer(void **state)
{
	struct half half = begin(T0);

	(void)state;
	receive(&half, true);
	expect_due(&half, T0 + 10 * S, WG_TIMERS_DATA_SEND_KEEPALIVE);
	send(&half, false);
	expect_nothing(&half, 100 * S);
}

static void sending_anything_disarms_the_passive_keepalive(void **state)
{
	(void)state;
	for (unsigned int is_data = 0; is_data < 2; is_data++) {
		struct half half = begin(T0);

		receive(&half, true);
		pass(&half, T0 + S);
		receive(&half, true);
		pass(&half, T0 + 2 * S);
		send(&half, is_data);
		pass(&half, T0 + 3 * S);
		receive(&half, false); /* no silence either */
		pass(&half, T0 + 100 * S);
		/* and the next data arms it afresh */
		receive(&half, true);
		expect_due(&half, T0 + 110 * S, WG_TIMERS_DATA_SEND_KEEPALIVE);
	}
}

/* Between two looks: what came last decides. */
static void an_answer_to_what_was_sent_is_answered_even_if_nobody_looked_between(void **state)
{
	struct half half = begin(T0);

	(void)state;
	send(&half, true);
	half.now_ns += 300000; /* a ping's way */
	receive(&half, true);
	expect_due(&half, T0 + 300000 + 10 * S, WG_TIMERS_DATA_SEND_KEEPALIVE);
	send(&half, false);
	expect_nothing(&half, 100 * S); /* and nobody was silent */
}

static void data_that_is_answered_at_once_wants_no_keepalive(void **state)
{
	struct half half = begin(T0);

	(void)state;
	receive(&half, true);
	half.now_ns += 300000;
	send(&half, true);
	expect_due(&half, T0 + 300000 + 15 * S, WG_TIMERS_DATA_WANT_HANDSHAKE);
	expect_nothing(&half, 100 * S);
}

static void of_one_tick_what_was_sent_is_later(void **state)
{
	struct half half = begin(T0);

	(void)state;
	send(&half, true);
	receive(&half, true);
	expect_due(&half, T0 + 15 * S, WG_TIMERS_DATA_WANT_HANDSHAKE);
	expect_nothing(&half, 100 * S);
}

static void a_keepalive_behind_data_hides_it_from_nobody(void **state)
{
	struct half half = begin(T0);

	(void)state;
	send(&half, true);
	half.now_ns += 10000;
	send(&half, false);
	expect_due(&half, T0 + 15 * S, WG_TIMERS_DATA_WANT_HANDSHAKE);
}

static void more_data_does_not_put_off_the_passive_keepalive(void **state)
{
	struct half half = begin(T0);

	(void)state;
	for (uint64_t t = 0; t < 10; t++) {
		pass(&half, T0 + t * S);
		receive(&half, true);
	}
	expect_due(&half, T0 + 10 * S, WG_TIMERS_DATA_SEND_KEEPALIVE);
}

static void passive_keepalive_that_could_not_be_sent_comes_once_more_if_more_data_came(void **state)
{
	struct half half = begin(T0);

	(void)state;
	receive(&half, true);
	pass(&half, T0 + 5 * S);
	receive(&half, true);
	expect_due(&half, T0 + 10 * S, WG_TIMERS_DATA_SEND_KEEPALIVE);
	expect_due(&half, half.now_ns + 10 * S, WG_TIMERS_DATA_SEND_KEEPALIVE);
	expect_nothing(&half, 100 * S);
}

static void passive_keepalive_that_was_sent_answers_all_that_came(void **state)
{
	struct half half = begin(T0);

	(void)state;
	receive(&half, true);
	pass(&half, T0 + 5 * S);
	receive(&half, true);
	expect_due(&half, T0 + 10 * S, WG_TIMERS_DATA_SEND_KEEPALIVE);
	send(&half, false);
	expect_nothing(&half, 100 * S);
}

static void silence_of_15_s_and_jitter_after_data_wants_a_handshake(void **state)
{
	static const uint64_t jitters[] = {0, 1, 100 * BASE_NS_PER_MS, WG_JITTER_MAX_NS};

	(void)state;
	assert_int_equal(WG_JITTER_MAX_NS, 333000000);
	for (size_t i = 0; i < BASE_ARRAY_LEN(jitters); i++) {
		struct half half = begin(T0);
		uint64_t again_ns;

		half.jitter_ns = jitters[i];
		send(&half, true);
		/* Sending on does not put it off. */
		pass(&half, T0 + 9 * S);
		send(&half, true);
		expect_due(&half, T0 + 15 * S + jitters[i], WG_TIMERS_DATA_WANT_HANDSHAKE);
		expect_nothing(&half, 100 * S);
		again_ns = half.now_ns;
		send(&half, true);
		expect_due(&half, again_ns + 15 * S + jitters[i], WG_TIMERS_DATA_WANT_HANDSHAKE);
	}
}

static void anything_received_ends_the_silence(void **state)
{
	struct half half = begin(T0);

	(void)state;
	send(&half, true);
	pass(&half, T0 + 14 * S);
	receive(&half, false);
	expect_nothing(&half, 100 * S);
}

static void keepalives_alone_arm_neither_answer_nor_silence(void **state)
{
	struct half half = begin(T0);

	(void)state;
	send(&half, false);
	expect_nothing(&half, S);
	receive(&half, false);
	expect_nothing(&half, 200 * S);
}

static void persistent_keepalive_follows_the_last_packet_either_way(void **state)
{
	struct half half = begin(T0);

	(void)state;
	half.persistent_s = 25;
	expect_due(&half, T0 + 25 * S, WG_TIMERS_DATA_SEND_KEEPALIVE);
	send(&half, false);
	pass(&half, T0 + 30 * S);
	receive(&half, false);
	pass(&half, T0 + 54 * S);
	send(&half, false);
	expect_due(&half, T0 + 79 * S, WG_TIMERS_DATA_SEND_KEEPALIVE);
	/* not sent: asked again after the interval, not at once */
	expect_due(&half, half.now_ns + 25 * S, WG_TIMERS_DATA_SEND_KEEPALIVE);
	expect_due(&half, half.now_ns + 25 * S, WG_TIMERS_DATA_SEND_KEEPALIVE);
}

static void persistent_keepalive_of_65535_s_does_not_overflow(void **state)
{
	struct half half = begin(T0);

	(void)state;
	half.persistent_s = 65535;
	half.now_ns = T0 + 65534 * S;
	expect_due(&half, T0 + 65535 * S, WG_TIMERS_DATA_SEND_KEEPALIVE);
}

static void persistent_keepalive_turned_on_is_due_at_once_and_off_never(void **state)
{
	struct half half = begin(T0);

	(void)state;
	pass(&half, T0 + 20 * S);
	half.persistent_s = 25;
	wg_timers_data_begin_persistent(&half.timers);
	assert_int_equal(poll_now(&half), WG_TIMERS_DATA_SEND_KEEPALIVE);
	expect_due(&half, T0 + 45 * S, WG_TIMERS_DATA_SEND_KEEPALIVE);
	half.persistent_s = 10; /* of the new interval, not of the old one */
	expect_due(&half, half.now_ns + 10 * S, WG_TIMERS_DATA_SEND_KEEPALIVE);
	half.persistent_s = 0;
	expect_nothing(&half, 200 * S);
}

static void one_packet_serves_both_keepalives_and_silence_is_told_after(void **state)
{
	struct half half = begin(T0);

	(void)state;
	half.persistent_s = 10;
	receive(&half, true);
	(void)poll_now(&half);
	half.now_ns += LOOK_NS;
	send(&half, true);
	half.now_ns += LOOK_NS;
	assert_int_equal(poll_now(&half), WG_TIMERS_DATA_NOTHING);
	half.now_ns += 60 * S;
	assert_int_equal(poll_now(&half), WG_TIMERS_DATA_SEND_KEEPALIVE);
	assert_int_equal(poll_now(&half), WG_TIMERS_DATA_WANT_HANDSHAKE);
	assert_int_equal(poll_now(&half), WG_TIMERS_DATA_NOTHING);
}

/* ---- handshake half ------------------------------------------------------------------------------ */

static void fresh_handshake_timers_never_fire(void **state)
{
	struct wg_timers_handshake timers;

	(void)state;
	wg_timers_handshake_init(&timers);
	expect_handshake(&timers, UINT64_MAX, WG_TIMERS_HANDSHAKE_NOTHING, WG_TIMER_NEVER);
}

static void want_starts_one_handshake_however_often_it_is_asked(void **state)
{
	struct wg_timers_handshake timers;

	(void)state;
	wg_timers_handshake_init(&timers);
	assert_true(wg_timers_handshake_want(&timers, T0));
	assert_false(wg_timers_handshake_want(&timers, T0));
	wg_timers_handshake_sent(&timers, T0 + 1, 0);
	assert_false(wg_timers_handshake_want(&timers, T0 + 2));
	assert_false(wg_timers_handshake_want(&timers, T0 + 6 * S));
}

static void want_waits_5_s_after_the_last_initiation(void **state)
{
	struct wg_timers_handshake timers;

	(void)state;
	wg_timers_handshake_init(&timers);
	assert_true(wg_timers_handshake_want(&timers, T0));
	wg_timers_handshake_sent(&timers, T0, 0);
	wg_timers_handshake_derived(&timers, true, T0 + 1);
	assert_false(wg_timers_handshake_want(&timers, T0 + 5 * S - 1));
	assert_true(wg_timers_handshake_want(&timers, T0 + 5 * S));
}

static void wanted_but_unsent_initiation_is_due_again_after_5_s(void **state)
{
	struct wg_timers_handshake timers;

	(void)state;
	wg_timers_handshake_init(&timers);
	assert_true(wg_timers_handshake_want(&timers, T0));
	expect_handshake(&timers, T0, WG_TIMERS_HANDSHAKE_NOTHING, T0 + 5 * S);
	expect_handshake(&timers, T0 + 5 * S, WG_TIMERS_HANDSHAKE_SEND_INITIATION, T0 + 10 * S);
}

static void retransmission_comes_after_5_s_and_jitter(void **state)
{
	static const uint64_t jitters[] = {0, 1, 200 * BASE_NS_PER_MS, WG_JITTER_MAX_NS};

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(jitters); i++) {
		struct wg_timers_handshake timers;
		uint64_t due = T0 + 5 * S + jitters[i];

		wg_timers_handshake_init(&timers);
		wg_timers_handshake_sent(&timers, T0, jitters[i]);
		expect_handshake(&timers, due - 1, WG_TIMERS_HANDSHAKE_NOTHING, due);
		expect_handshake(&timers, due, WG_TIMERS_HANDSHAKE_SEND_INITIATION, due + 5 * S);
		wg_timers_handshake_sent(&timers, due, jitters[i]);
		expect_handshake(&timers, due, WG_TIMERS_HANDSHAKE_NOTHING,
		                 due + 5 * S + jitters[i]);
		assert_int_equal(timers.n_attempts, 2);
	}
}

/* Play a caller that always sends. Returns how many initiations went out until the end. */
static uint32_t run_until_give_up(struct wg_timers_handshake *timers, uint64_t start_ns,
                                  uint64_t jitter_ns, uint64_t *end_ns)
{
	uint64_t now_ns = start_ns;
	uint64_t next_ns;
	uint32_t n = 1;

	wg_timers_handshake_sent(timers, now_ns, jitter_ns);
	for (int i = 0; i < 1000; i++) {
		switch (wg_timers_handshake_poll(timers, now_ns, &next_ns)) {
		case WG_TIMERS_HANDSHAKE_SEND_INITIATION:
			wg_timers_handshake_sent(timers, now_ns, jitter_ns);
			n++;
			break;
		case WG_TIMERS_HANDSHAKE_GIVE_UP:
			*end_ns = now_ns;
			return n;
		case WG_TIMERS_HANDSHAKE_NOTHING:
			assert_true(next_ns > now_ns);
			now_ns = next_ns;
			break;
		default:
			fail();
		}
	}
	fail();
	return 0;
}

static void handshake_is_given_up_after_90_s(void **state)
{
	struct wg_timers_handshake timers;
	uint64_t end_ns = 0;

	(void)state;
	wg_timers_handshake_init(&timers);
	assert_int_equal(run_until_give_up(&timers, T0, 0, &end_ns), 18);
	assert_true(end_ns == T0 + 90 * S);
	/* keys are wiped 540 s later; a new wish begins anew */
	expect_handshake(&timers, end_ns, WG_TIMERS_HANDSHAKE_NOTHING, end_ns + 540 * S);
	assert_true(wg_timers_handshake_want(&timers, end_ns + 5 * S));
	wg_timers_handshake_init(&timers);
	assert_int_equal(run_until_give_up(&timers, T0, WG_JITTER_MAX_NS, &end_ns), 17);
	assert_true(end_ns == T0 + 90 * S);
}

static void wish_during_a_handshake_begins_its_90_s_anew(void **state)
{
	struct wg_timers_handshake timers;
	uint64_t next_ns;

	(void)state;
	wg_timers_handshake_init(&timers);
	wg_timers_handshake_sent(&timers, T0, 0);
	assert_false(wg_timers_handshake_want(&timers, T0 + 80 * S));
	assert_int_equal(wg_timers_handshake_poll(&timers, T0 + 90 * S, &next_ns),
	                 WG_TIMERS_HANDSHAKE_SEND_INITIATION);
	assert_int_equal(wg_timers_handshake_poll(&timers, T0 + 170 * S, &next_ns),
	                 WG_TIMERS_HANDSHAKE_GIVE_UP);
}

static void giving_up_does_not_put_off_wiping(void **state)
{
	struct wg_timers_handshake timers;
	uint64_t end_ns = 0;

	(void)state;
	wg_timers_handshake_init(&timers);
	wg_timers_handshake_derived(&timers, true, T0);
	run_until_give_up(&timers, T0 + 200 * S, 0, &end_ns);
	expect_handshake(&timers, end_ns, WG_TIMERS_HANDSHAKE_NOTHING, T0 + 540 * S);
}

static void initiator_with_keys_retransmits_no_more(void **state)
{
	struct wg_timers_handshake timers;

	(void)state;
	wg_timers_handshake_init(&timers);
	wg_timers_handshake_sent(&timers, T0, 0);
	wg_timers_handshake_derived(&timers, true, T0 + S);
	expect_handshake(&timers, T0 + 541 * S - 1, WG_TIMERS_HANDSHAKE_NOTHING, T0 + 541 * S);
	assert_int_equal(timers.n_attempts, 0);
}

static void responder_with_keys_retransmits_its_own_until_confirmed(void **state)
{
	struct wg_timers_handshake timers;

	(void)state;
	wg_timers_handshake_init(&timers);
	wg_timers_handshake_sent(&timers, T0, 0);
	wg_timers_handshake_derived(&timers, false, T0 + S);
	expect_handshake(&timers, T0 + 5 * S, WG_TIMERS_HANDSHAKE_SEND_INITIATION, T0 + 10 * S);
	wg_timers_handshake_confirmed(&timers);
	expect_handshake(&timers, T0 + 100 * S, WG_TIMERS_HANDSHAKE_NOTHING, T0 + 541 * S);
}

static void keys_are_wiped_540_s_after_the_last_were_derived(void **state)
{
	struct wg_timers_handshake timers;

	(void)state;
	wg_timers_handshake_init(&timers);
	wg_timers_handshake_derived(&timers, false, T0);
	wg_timers_handshake_derived(&timers, true, T0 + 100 * S);
	expect_handshake(&timers, T0 + 640 * S - 1, WG_TIMERS_HANDSHAKE_NOTHING, T0 + 640 * S);
	expect_handshake(&timers, T0 + 640 * S, WG_TIMERS_HANDSHAKE_ZERO_KEYS, WG_TIMER_NEVER);
	expect_handshake(&timers, T0 + 2000 * S, WG_TIMERS_HANDSHAKE_NOTHING, WG_TIMER_NEVER);
}

static void several_timers_due_at_once_are_told_one_by_one(void **state)
{
	struct wg_timers_handshake timers;
	uint64_t next_ns;

	(void)state;
	wg_timers_handshake_init(&timers);
	wg_timers_handshake_derived(&timers, true, T0);
	wg_timers_handshake_sent(&timers, T0 + 500 * S, 0);
	assert_int_equal(wg_timers_handshake_poll(&timers, T0 + 900 * S, &next_ns),
	                 WG_TIMERS_HANDSHAKE_ZERO_KEYS);
	assert_int_equal(wg_timers_handshake_poll(&timers, T0 + 900 * S, &next_ns),
	                 WG_TIMERS_HANDSHAKE_GIVE_UP);
	assert_int_equal(wg_timers_handshake_poll(&timers, T0 + 900 * S, &next_ns),
	                 WG_TIMERS_HANDSHAKE_NOTHING);
	assert_true(next_ns == T0 + 1440 * S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fresh_timers_never_fire),
		cmocka_unit_test(ticks_are_in_order_and_never_zero),
		cmocka_unit_test(
			an_answer_to_what_was_sent_is_answered_even_if_nobody_looked_between),
		cmocka_unit_test(data_that_is_answered_at_once_wants_no_keepalive),
		cmocka_unit_test(of_one_tick_what_was_sent_is_later),
		cmocka_unit_test(a_keepalive_behind_data_hides_it_from_nobody),
		cmocka_unit_test(passive_keepalive_that_was_sent_answers_all_that_came),
		cmocka_unit_test(passive_keepalive_is_sent_10_s_after_data_without_answer),
		cmocka_unit_test(sending_anything_disarms_the_passive_keepalive),
		cmocka_unit_test(more_data_does_not_put_off_the_passive_keepalive),
		cmocka_unit_test(
			passive_keepalive_that_could_not_be_sent_comes_once_more_if_more_data_came),
		cmocka_unit_test(silence_of_15_s_and_jitter_after_data_wants_a_handshake),
		cmocka_unit_test(anything_received_ends_the_silence),
		cmocka_unit_test(keepalives_alone_arm_neither_answer_nor_silence),
		cmocka_unit_test(persistent_keepalive_follows_the_last_packet_either_way),
		cmocka_unit_test(persistent_keepalive_of_65535_s_does_not_overflow),
		cmocka_unit_test(persistent_keepalive_turned_on_is_due_at_once_and_off_never),
		cmocka_unit_test(one_packet_serves_both_keepalives_and_silence_is_told_after),
		cmocka_unit_test(fresh_handshake_timers_never_fire),
		cmocka_unit_test(want_starts_one_handshake_however_often_it_is_asked),
		cmocka_unit_test(want_waits_5_s_after_the_last_initiation),
		cmocka_unit_test(wanted_but_unsent_initiation_is_due_again_after_5_s),
		cmocka_unit_test(retransmission_comes_after_5_s_and_jitter),
		cmocka_unit_test(handshake_is_given_up_after_90_s),
		cmocka_unit_test(wish_during_a_handshake_begins_its_90_s_anew),
		cmocka_unit_test(giving_up_does_not_put_off_wiping),
		cmocka_unit_test(initiator_with_keys_retransmits_no_more),
		cmocka_unit_test(responder_with_keys_retransmits_its_own_until_confirmed),
		cmocka_unit_test(keys_are_wiped_540_s_after_the_last_were_derived),
		cmocka_unit_test(several_timers_due_at_once_are_told_one_by_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

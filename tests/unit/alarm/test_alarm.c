/* control/alarm: one alarm for a peer that stays away, one end when it is back, by a clock of the test's own. */
#include "alarm.h"
#include "test.h"

#define S           UINT64_C(1000000000)
#define STALE_AFTER (180 * S)

/* A peer, and how often it was told of. */
struct peer {
	struct alarm_sight sight;
	uint64_t handshake_ns;
	bool is_raised;
	uint32_t n_news[ALARM_ENDED + 1];
	uint64_t last_news_ns;
};

static void look(struct peer *peer, uint64_t now_ns)
{
	enum alarm_news news;

	peer->sight.age_ns = now_ns - peer->handshake_ns;
	peer->sight.expected_ns = now_ns;
	news = alarm_look(peer->is_raised, &peer->sight, STALE_AFTER);
	if (news == ALARM_NOTHING)
		return;
	peer->is_raised = news == ALARM_STALE || news == ALARM_NEVER;
	peer->n_news[news]++;
	peer->last_news_ns = now_ns;
}

/* Four looks a second. */
static void pass(struct peer *peer, uint64_t from_ns, uint64_t to_ns)
{
	for (uint64_t now_ns = from_ns; now_ns <= to_ns; now_ns += S / 4)
		look(peer, now_ns);
}

static void expect(const struct peer *peer, uint32_t stale, uint32_t never, uint32_t up,
                   uint32_t ended)
{
	assert_int_equal(peer->n_news[ALARM_STALE], stale);
	assert_int_equal(peer->n_news[ALARM_NEVER], never);
	assert_int_equal(peer->n_news[ALARM_UP], up);
	assert_int_equal(peer->n_news[ALARM_ENDED], ended);
}

static void a_peer_that_stays_away_raises_one_alarm_behind_180_s(void **state)
{
	struct peer peer = {.sight = {.is_expected = true, .heard = ALARM_HEARD_NOW}};

	(void)state;
	pass(&peer, 0, 179 * S);
	expect(&peer, 0, 0, 0, 0);
	pass(&peer, 179 * S, 195 * S);
	expect(&peer, 1, 0, 0, 0);
	assert_true(peer.last_news_ns > 180 * S && peer.last_news_ns <= 181 * S);
	pass(&peer, 195 * S, 7200 * S);
	expect(&peer, 1, 0, 0, 0);
	/* back: at the next look, once */
	peer.handshake_ns = 7200 * S;
	pass(&peer, 7200 * S, 7370 * S);
	expect(&peer, 1, 0, 1, 0);
	assert_int_equal(peer.last_news_ns, 7200 * S);
	pass(&peer, 7370 * S, 7400 * S);
	expect(&peer, 2, 0, 1, 0);
}

static void a_peer_that_shakes_hands_every_two_minutes_raises_none(void **state)
{
	struct peer peer = {.sight = {.is_expected = true, .heard = ALARM_HEARD_NOW}};

	(void)state;
	for (uint64_t i = 0; i < 100; i++) {
		peer.handshake_ns = i * 120 * S;
		pass(&peer, i * 120 * S, (i + 1) * 120 * S + 55 * S);
	}
	expect(&peer, 0, 0, 0, 0);
}

static void between_the_two_ages_nothing_changes(void **state)
{
	struct peer peer = {.sight = {.is_expected = true, .heard = ALARM_HEARD_NOW}};

	(void)state;
	for (int raised = 0; raised < 2; raised++) {
		peer.is_raised = raised == 1;
		peer.handshake_ns = 0;
		pass(&peer, 151 * S, 180 * S);
		expect(&peer, 0, 0, 0, 0);
	}
}

static void a_peer_that_never_came_is_told_as_such(void **state)
{
	struct peer peer = {.sight = {.is_expected = true, .heard = ALARM_HEARD_NEVER}};

	(void)state;
	pass(&peer, 0, 179 * S);
	expect(&peer, 0, 0, 0, 0);
	pass(&peer, 179 * S, 1000 * S);
	expect(&peer, 0, 1, 0, 0);
	assert_true(peer.last_news_ns <= 195 * S);
	peer.sight.heard = ALARM_HEARD_NOW;
	peer.handshake_ns = 1000 * S;
	pass(&peer, 1000 * S, 1100 * S);
	expect(&peer, 0, 1, 1, 0);
}

static void nobody_is_missed_who_need_not_be_up(void **state)
{
	struct peer peer = {.sight = {.is_expected = false, .heard = ALARM_HEARD_NOW}};

	(void)state;
	for (int heard = ALARM_HEARD_NEVER; heard <= ALARM_HEARD_NOW; heard++) {
		peer.sight.heard = (enum alarm_heard)heard;
		pass(&peer, 0, 3600 * S);
	}
	expect(&peer, 0, 0, 0, 0);
	/* and an alarm ends, once, when it need not be up any more */
	peer.is_raised = true;
	pass(&peer, 3600 * S, 3700 * S);
	expect(&peer, 0, 0, 0, 1);
}

static void who_is_expected_since_just_now_has_its_time(void **state)
{
	struct alarm_sight sight = {
		.is_expected = true,
		.heard = ALARM_HEARD_BEFORE,
		.age_ns = 3600 * S,
		.expected_ns = 179 * S,
	};

	(void)state;
	assert_int_equal(alarm_look(false, &sight, STALE_AFTER), ALARM_NOTHING);
	sight.expected_ns = 181 * S;
	assert_int_equal(alarm_look(false, &sight, STALE_AFTER), ALARM_STALE);
}

/* Its age is by a clock that can be set back. */
static void what_was_before_the_start_clears_no_alarm(void **state)
{
	struct alarm_sight sight = {
		.is_expected = true, .heard = ALARM_HEARD_BEFORE, .expected_ns = 3600 * S};

	(void)state;
	assert_int_equal(alarm_look(true, &sight, STALE_AFTER), ALARM_NOTHING);
	sight.heard = ALARM_HEARD_NOW;
	assert_int_equal(alarm_look(true, &sight, STALE_AFTER), ALARM_UP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_peer_that_stays_away_raises_one_alarm_behind_180_s),
		cmocka_unit_test(a_peer_that_shakes_hands_every_two_minutes_raises_none),
		cmocka_unit_test(between_the_two_ages_nothing_changes),
		cmocka_unit_test(a_peer_that_never_came_is_told_as_such),
		cmocka_unit_test(nobody_is_missed_who_need_not_be_up),
		cmocka_unit_test(who_is_expected_since_just_now_has_its_time),
		cmocka_unit_test(what_was_before_the_start_clears_no_alarm),
	};

	return cmocka_run_group_tests_name("alarm", tests, NULL, NULL);
}

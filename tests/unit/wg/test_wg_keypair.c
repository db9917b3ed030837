/* Rotation: every event in every state, and what may be done with a keypair when. */
#include "base_bytes.h"
#include "test.h"
#include "wg_keypair.h"

#include <stdbool.h>

#define S BASE_NS_PER_S

/* Keypairs by slot in the state before the event; FRESH comes with it. */
enum { NONE = 0, PREVIOUS = 101, CURRENT = 102, NEXT = 103, FRESH = 104 };

enum event {
	ADD_INITIATOR,
	ADD_RESPONDER,
	CONFIRM_PREVIOUS,
	CONFIRM_CURRENT,
	CONFIRM_NEXT,
	CONFIRM_OTHER,
	CLEAR,
	N_EVENTS
};

/* State: bit 0 previous, bit 1 current, bit 2 next is taken. */
struct outcome {
	uint32_t previous, current, next;
	uint32_t retired[4]; /* in any order, 0 ends */
	bool switched;
};

static struct wg_keypair keypair(uint32_t index, bool initiator, uint64_t birth_ns)
{
	return (struct wg_keypair){.index = index, .initiator = initiator, .birth_ns = birth_ns};
}

static struct wg_keypair_ring ring_in_state(unsigned int taken)
{
	struct wg_keypair_ring ring = {0};

	if (taken & 1)
		ring.previous = keypair(PREVIOUS, true, 1);
	if (taken & 2)
		ring.current = keypair(CURRENT, false, 2);
	if (taken & 4)
		ring.next = keypair(NEXT, false, 3);
	return ring;
}

/* What has to come out, as the whitepaper and the kernel say it, not as the code does. */
static struct outcome expected(unsigned int taken, enum event event)
{
	uint32_t p = taken & 1 ? PREVIOUS : 0;
	uint32_t c = taken & 2 ? CURRENT : 0;
	uint32_t n = taken & 4 ? NEXT : 0;

	switch (event) {
	case ADD_INITIATOR:
		if (n)
			return (struct outcome){n, FRESH, 0, {p ? p : c, p ? c : 0}, false};
		return (struct outcome){c, FRESH, 0, {p}, false};
	case ADD_RESPONDER:
		return (struct outcome){0, c, FRESH, {p ? p : n, p ? n : 0}, false};
	case CONFIRM_NEXT:
		if (n)
			return (struct outcome){c, n, 0, {p}, true};
		return (struct outcome){p, c, n, {0}, false};
	case CLEAR: {
		struct outcome o = {0};
		size_t i = 0;

		if (p)
			o.retired[i++] = p;
		if (c)
			o.retired[i++] = c;
		if (n)
			o.retired[i++] = n;
		return o;
	}
	default:
		return (struct outcome){p, c, n, {0}, false};
	}
}

static struct wg_keypair_retired apply(struct wg_keypair_ring *ring, enum event event,
                                       bool *switched)
{
	*switched = false;
	switch (event) {
	case ADD_INITIATOR:
		return wg_keypair_add(ring, keypair(FRESH, true, 9));
	case ADD_RESPONDER:
		return wg_keypair_add(ring, keypair(FRESH, false, 9));
	case CONFIRM_PREVIOUS:
		return wg_keypair_confirm(ring, PREVIOUS, switched);
	case CONFIRM_CURRENT:
		return wg_keypair_confirm(ring, CURRENT, switched);
	case CONFIRM_NEXT:
		return wg_keypair_confirm(ring, NEXT, switched);
	case CONFIRM_OTHER:
		return wg_keypair_confirm(ring, 4711, switched);
	default:
		return wg_keypair_clear(ring);
	}
}

static bool holds(const struct wg_keypair_retired *retired, uint32_t index)
{
	for (uint32_t i = 0; i < retired->n; i++)
		if (retired->index[i] == index)
			return true;
	return false;
}

static void every_event_in_every_state_moves_the_slots_as_specified(void **state)
{
	(void)state;
	for (unsigned int taken = 0; taken < 8; taken++) {
		for (int event = 0; event < N_EVENTS; event++) {
			struct wg_keypair_ring ring = ring_in_state(taken);
			struct outcome want = expected(taken, (enum event)event);
			bool switched;
			struct wg_keypair_retired retired = apply(&ring, (enum event)event,
			                                          &switched);
			uint32_t n_want = 0;

			while (want.retired[n_want] != 0)
				n_want++;
			if (ring.previous.index != want.previous
			    || ring.current.index != want.current || ring.next.index != want.next
			    || switched != want.switched || retired.n != n_want)
				fail_msg("state %u, event %d", taken, event);
			for (uint32_t i = 0; i < n_want; i++)
				assert_true(holds(&retired, want.retired[i]));
		}
	}
}

static void confirming_index_zero_changes_nothing(void **state)
{
	(void)state;
	for (unsigned int taken = 0; taken < 8; taken++) {
		struct wg_keypair_ring ring = ring_in_state(taken);
		struct wg_keypair_ring before = ring;
		bool switched = true;

		assert_int_equal(wg_keypair_confirm(&ring, 0, &switched).n, 0);
		assert_false(switched);
		assert_memory_equal(&ring, &before, sizeof(ring));
	}
}

static void keypair_keeps_role_and_birth_when_it_moves(void **state)
{
	struct wg_keypair_ring ring = {0};
	bool switched;

	(void)state;
	wg_keypair_add(&ring, keypair(1, false, 77));
	wg_keypair_confirm(&ring, 1, &switched);
	assert_true(switched);
	assert_int_equal(ring.current.birth_ns, 77);
	wg_keypair_add(&ring, keypair(2, true, 88));
	assert_int_equal(ring.previous.birth_ns, 77);
	assert_false(ring.previous.initiator);
	assert_int_equal(ring.current.birth_ns, 88);
	assert_true(ring.current.initiator);
}

static void expire_retires_exactly_those_of_180_s(void **state)
{
	(void)state;
	for (unsigned int old = 0; old < 8; old++) {
		uint64_t now = 1000 * S;
		uint64_t just = now - 180 * S;
		struct wg_keypair_ring ring = {
			.previous = keypair(PREVIOUS, true, just + !(old & 1)),
			.current = keypair(CURRENT, true, just + !(old & 2)),
			.next = keypair(NEXT, false, just + !(old & 4)),
		};
		struct wg_keypair_retired retired = wg_keypair_expire(&ring, now);

		assert_int_equal(retired.n, __builtin_popcount(old));
		assert_int_equal(ring.previous.index, old & 1 ? 0 : PREVIOUS);
		assert_int_equal(ring.current.index, old & 2 ? 0 : CURRENT);
		assert_int_equal(ring.next.index, old & 4 ? 0 : NEXT);
		assert_int_equal(holds(&retired, PREVIOUS), (old & 1) != 0);
		assert_int_equal(holds(&retired, CURRENT), (old & 2) != 0);
		assert_int_equal(holds(&retired, NEXT), (old & 4) != 0);
	}
}

static void expire_of_empty_ring_or_birth_in_the_future_does_nothing(void **state)
{
	struct wg_keypair_ring ring = {0};

	(void)state;
	assert_int_equal(wg_keypair_expire(&ring, 1000 * S).n, 0);
	ring.current = keypair(CURRENT, true, 1000 * S + 5);
	assert_int_equal(wg_keypair_expire(&ring, 1000 * S).n, 0);
	assert_int_equal(ring.current.index, CURRENT);
}

static void limits_lie_exactly_where_the_whitepaper_puts_them(void **state)
{
	const uint64_t birth = 5 * S;
	const uint64_t reject = UINT64_MAX - 8192; /* 2^64 - 2^13 - 1 */
	const uint64_t rekey = UINT64_C(1) << 60;

	(void)state;
	assert_true(wg_keypair_may_send(birth, 0, birth));
	assert_true(wg_keypair_may_send(birth, reject - 1, birth + 180 * S - 1));
	assert_false(wg_keypair_may_send(birth, reject, birth));
	assert_false(wg_keypair_may_send(birth, 0, birth + 180 * S));
	assert_true(wg_keypair_may_receive(birth, reject - 1, birth + 180 * S - 1));
	assert_false(wg_keypair_may_receive(birth, reject, birth));
	assert_false(wg_keypair_may_receive(birth, 0, birth + 180 * S));
	/* Another thread read the clock a moment later than we did. */
	assert_true(wg_keypair_may_send(birth, 0, birth - 1));
	assert_true(wg_keypair_may_receive(birth, 0, birth - 1));

	assert_false(wg_keypair_rekey_after_send(birth, true, 1, birth + 120 * S - 1));
	assert_true(wg_keypair_rekey_after_send(birth, true, 1, birth + 120 * S));
	assert_false(wg_keypair_rekey_after_send(birth, false, 1, birth + 120 * S));
	assert_false(wg_keypair_rekey_after_send(birth, false, rekey - 1, birth));
	assert_true(wg_keypair_rekey_after_send(birth, false, rekey, birth));
	assert_true(wg_keypair_rekey_after_send(birth, true, rekey, birth));
	assert_false(wg_keypair_rekey_after_send(birth, true, 1, birth - 1));

	assert_false(wg_keypair_rekey_after_receive(birth, true, birth + 165 * S - 1));
	assert_true(wg_keypair_rekey_after_receive(birth, true, birth + 165 * S));
	assert_false(wg_keypair_rekey_after_receive(birth, false, birth + 179 * S));
	assert_false(wg_keypair_rekey_after_receive(birth, true, birth - 1));
}

/* Whatever happens, a keypair is in one slot or was retired, once. */
static void random_events_neither_lose_nor_retire_twice(void **state)
{
	enum { N = 20000 };
	struct test_random random = test_random_start();
	struct wg_keypair_ring ring = {0};
	uint8_t *retired_times = calloc(N + 2, 1);
	uint32_t last = 0;
	uint64_t now = S;

	(void)state;
	assert_non_null(retired_times);
	for (int i = 0; i < N; i++) {
		struct wg_keypair_retired retired = {0};
		uint32_t of[] = {ring.previous.index, ring.current.index, ring.next.index, last};
		bool switched;

		now += test_random_below(&random, 30) * S;
		switch (test_random_below(&random, 8)) {
		case 0:
		case 1:
		case 2:
			retired = wg_keypair_add(
				&ring, keypair(++last, test_random_below(&random, 2), now));
			break;
		case 3:
			retired = wg_keypair_expire(&ring, now);
			break;
		case 4:
			if (test_random_below(&random, 10) == 0)
				retired = wg_keypair_clear(&ring);
			break;
		default:
			retired = wg_keypair_confirm(&ring, of[test_random_below(&random, 4)],
			                             &switched);
		}
		assert_true(retired.n <= 3);
		for (uint32_t j = 0; j < retired.n; j++)
			assert_int_equal(++retired_times[retired.index[j]], 1);
		for (uint32_t j = last > 10 ? last - 10 : 1; j <= last; j++) {
			int held = (ring.previous.index == j) + (ring.current.index == j)
			           + (ring.next.index == j);

			assert_int_equal(held + retired_times[j], 1);
		}
	}
	free(retired_times);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_event_in_every_state_moves_the_slots_as_specified),
		cmocka_unit_test(confirming_index_zero_changes_nothing),
		cmocka_unit_test(keypair_keeps_role_and_birth_when_it_moves),
		cmocka_unit_test(expire_retires_exactly_those_of_180_s),
		cmocka_unit_test(expire_of_empty_ring_or_birth_in_the_future_does_nothing),
		cmocka_unit_test(limits_lie_exactly_where_the_whitepaper_puts_them),
		cmocka_unit_test(random_events_neither_lose_nor_retire_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

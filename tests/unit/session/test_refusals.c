/* What is refused: exactly one counter, nothing on the wire, nothing kept. */
#include "session_lab.h"

#include <errno.h>

static struct program *const hub = &lab.hub[1];
static struct lab_client client;

static int setup(void **state)
{
	lab_setup(state);
	lab_client_make(&client, 9, session_public_key(hub->table));
	assert_int_equal(session_peer_put(hub->table, LAB_PEER, client.identity.public_key, NULL,
	                                  NULL, NULL),
	                 0);
	return 0;
}

static bool is_refusal(enum abi_counter counter)
{
	return (counter >= ABI_COUNTER_HS_REFUSED_MALFORMED
	        && counter <= ABI_COUNTER_HS_REFUSED_NO_SLOT)
	       || counter == ABI_COUNTER_HS_REFUSED_SOURCE_LIMIT
	       || counter == ABI_COUNTER_HS_REFUSED_SOURCE_FULL;
}

/* Give the event to the hub; of all refusals this one is counted, once, and nobody hears of it. */
static void assert_refused(const struct abi_event_handshake *event, uint32_t worker,
                           enum abi_counter counter)
{
	struct program before = *hub;

	hub->n_out = 0;
	session_handshake_in(hub->table, worker, event);
	lab_settle();
	for (uint32_t i = 0; i < ABI_N_COUNTERS; i++)
		if (is_refusal((enum abi_counter)i)
		    && hub->counters[i] != before.counters[i] + (i == counter ? 1 : 0)) {
			print_message("# counter %u: %llu\n", i,
			              (unsigned long long)hub->counters[i]);
			fail();
		}
	assert_int_equal(hub->n_out, 0);
	assert_int_equal(hub->n_keys, before.n_keys);
	assert_int_equal(hub->table->jobs.n_used, 0);
	lab_assert_no_leak(hub);
}

static void assert_served(const struct abi_event_handshake *event)
{
	hub->n_out = 0;
	session_handshake_in(hub->table, 0, event);
	lab_settle();
	assert_int_equal(hub->n_out, 1);
	assert_int_equal(hub->out[0].message[0], WG_MESSAGE_RESPONSE);
}

static void mend_mac1(struct abi_event_handshake *event)
{
	wg_cookie_stamp(&client.cookie, event->message, event->len, lab_now_ns);
}

static void malformed_messages(void **state)
{
	struct abi_event_handshake good = lab_client_initiation(&client, lab_wall_ns);
	struct abi_event_handshake bad;

	(void)state;
	for (uint16_t len = 0; len <= ABI_HANDSHAKE_MAX; len++) {
		if (len == WG_INITIATION_LEN)
			continue;
		bad = good;
		bad.len = len;
		assert_refused(&bad, 0, ABI_COUNTER_HS_REFUSED_MALFORMED);
	}
	bad = good;
	bad.len = UINT16_MAX;
	assert_refused(&bad, 0, ABI_COUNTER_HS_REFUSED_MALFORMED);
	for (unsigned int type = 0; type < 256; type++) {
		if (type == WG_MESSAGE_INITIATION)
			continue;
		bad = good;
		bad.message[0] = (uint8_t)type;
		assert_refused(&bad, 0, ABI_COUNTER_HS_REFUSED_MALFORMED);
	}
	for (size_t i = 1; i < 4; i++) {
		bad = good;
		bad.message[i] = 1;
		assert_refused(&bad, 0, ABI_COUNTER_HS_REFUSED_MALFORMED);
	}
	/* A worker that there is not. */
	assert_refused(&good, hub->n_workers, ABI_COUNTER_HS_REFUSED_MALFORMED);
	assert_int_equal(hub->counters[ABI_COUNTER_HS_INITIATION_IN], 0);
	assert_served(&good);
}

static void wrong_mac1(void **state)
{
	struct abi_event_handshake good = lab_client_initiation(&client, lab_wall_ns);

	(void)state;
	for (size_t i = 4; i < WG_INITIATION_MAC2; i++) {
		struct abi_event_handshake bad = good;

		bad.message[i] ^= 1;
		assert_refused(&bad, 0, ABI_COUNTER_HS_REFUSED_MALFORMED);
	}
	assert_served(&good);
}

static void altered_behind_a_right_mac1(void **state)
{
	static const size_t offsets[] = {
		WG_INITIATION_EPHEMERAL, WG_INITIATION_EPHEMERAL + 31,
		WG_INITIATION_STATIC,    WG_INITIATION_STATIC + 47,
		WG_INITIATION_TIMESTAMP, WG_INITIATION_TIMESTAMP + 27,
	};
	struct abi_event_handshake good = lab_client_initiation(&client, lab_wall_ns);
	struct abi_event_handshake bad;

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(offsets); i++) {
		bad = good;
		bad.message[offsets[i]] ^= 1;
		mend_mac1(&bad);
		assert_refused(&bad, 0, ABI_COUNTER_HS_REFUSED_DECRYPT);
	}
	/* An ephemeral of low order. */
	bad = good;
	memset(bad.message + WG_INITIATION_EPHEMERAL, 0, 32);
	mend_mac1(&bad);
	assert_refused(&bad, 0, ABI_COUNTER_HS_REFUSED_DECRYPT);
	assert_served(&good);
}

static void static_key_that_no_peer_has(void **state)
{
	struct abi_event_handshake event;
	struct lab_client stranger;

	(void)state;
	lab_client_make(&stranger, 10, session_public_key(hub->table));
	event = lab_client_initiation(&stranger, lab_wall_ns);
	assert_refused(&event, 0, ABI_COUNTER_HS_REFUSED_UNKNOWN_PEER);
}

static void replayed_and_older_timestamps(void **state)
{
	struct abi_event_handshake first = lab_client_initiation(&client, lab_wall_ns);
	struct abi_event_handshake older = lab_client_initiation(&client, lab_wall_ns - LAB_S);
	struct abi_event_handshake newer = lab_client_initiation(&client, lab_wall_ns + LAB_S);

	(void)state;
	assert_served(&first);
	lab_now_ns += LAB_S;
	assert_refused(&first, 0, ABI_COUNTER_HS_REFUSED_TIMESTAMP);
	assert_refused(&older, 1, ABI_COUNTER_HS_REFUSED_TIMESTAMP);
	assert_served(&newer);
}

static void initiations_in_quick_succession(void **state)
{
	struct abi_event_handshake first = lab_client_initiation(&client, lab_wall_ns);
	struct abi_event_handshake second = lab_client_initiation(&client, lab_wall_ns + LAB_S);

	(void)state;
	assert_served(&first);
	lab_now_ns += 19 * LAB_MS;
	assert_refused(&second, 0, ABI_COUNTER_HS_REFUSED_FLOOD);
	lab_now_ns += LAB_MS;
	assert_served(&second);
}

static void same_initiation_twice_at_once_is_answered_once(void **state)
{
	struct abi_event_handshake event = lab_client_initiation(&client, lab_wall_ns);

	(void)state;
	for (int i = 0; i < 5; i++)
		session_handshake_in(hub->table, 0, &event);
	lab_settle();
	assert_int_equal(hub->n_out, 1);
	assert_int_equal(hub->counters[ABI_COUNTER_HS_REFUSED_TIMESTAMP], 4);
}

static void response_to_no_handshake(void **state)
{
	struct abi_event_handshake event = {.remote = client.address, .len = WG_RESPONSE_LEN};

	(void)state;
	event.message[0] = WG_MESSAGE_RESPONSE;
	mend_mac1(&event);
	assert_refused(&event, 0, ABI_COUNTER_HS_REFUSED_NO_HANDSHAKE);
	memset(event.message + WG_RESPONSE_RECEIVER, 0xff, 4);
	mend_mac1(&event);
	assert_refused(&event, 0, ABI_COUNTER_HS_REFUSED_NO_HANDSHAKE);
}

/* The hub has called the client. Returns a response with the right receiver, else empty. */
static struct abi_event_handshake called(void)
{
	struct abi_event_handshake event = {.remote = client.address, .len = WG_RESPONSE_LEN};

	assert_int_equal(session_peer_put(hub->table, LAB_PEER, client.identity.public_key, NULL,
	                                  &client.address, NULL),
	                 0);
	session_wanted(hub->table, LAB_PEER, 0);
	lab_settle();
	assert_int_equal(hub->n_out, 1);
	event.message[0] = WG_MESSAGE_RESPONSE;
	memcpy(event.message + WG_RESPONSE_RECEIVER, hub->out[0].message + WG_INITIATION_SENDER, 4);
	return event;
}

static void peer_that_was_never_heard_of_cannot_be_called(void **state)
{
	(void)state;
	assert_int_equal(session_peer_put(hub->table, LAB_PEER, client.identity.public_key, NULL,
	                                  NULL, NULL),
	                 0);
	session_wanted(hub->table, LAB_PEER, 0);
	assert_int_equal(hub->n_over, 1);
	lab_settle();
	assert_int_equal(hub->n_out, 0);
	/* With an endpoint what waits for it may go on waiting. */
	called();
	assert_int_equal(hub->n_over, 1);
}

static void forged_response_does_not_end_the_handshake(void **state)
{
	struct abi_event_handshake forged = called();
	struct abi_cmd_inject initiation = hub->out[0];
	struct wg_noise_opened opened;
	struct wg_noise_keys keys;
	uint8_t ephemeral[32];
	struct abi_event_handshake good = {.remote = client.address, .len = WG_RESPONSE_LEN};

	(void)state;
	mend_mac1(&forged);
	session_handshake_in(hub->table, 0, &forged);
	lab_settle();
	assert_int_equal(hub->counters[ABI_COUNTER_HS_REFUSED_DECRYPT], 1);
	assert_int_equal(hub->n_keys, 0);
	/* The right answer still counts, once. */
	assert_int_equal(wg_noise_initiation_open(&client.identity, initiation.message, &opened),
	                 WG_NOISE_OK);
	assert_int_equal(wg_noise_initiation_consume(&client.hub, initiation.message, lab_now_ns,
	                                             &opened),
	                 WG_NOISE_OK);
	lab_private_key(ephemeral, 77);
	assert_int_equal(wg_noise_response_create(&client.hub, &opened.handshake, 0x77, ephemeral,
	                                          good.message, &keys),
	                 0);
	mend_mac1(&good);
	session_handshake_in(hub->table, 0, &good);
	session_handshake_in(hub->table, 0, &good);
	lab_settle();
	assert_int_equal(hub->counters[ABI_COUNTER_HS_COMPLETED], 1);
	assert_int_equal(hub->counters[ABI_COUNTER_HS_REFUSED_NO_HANDSHAKE], 1);
	assert_memory_equal(hub->keys[0].install.send_key, keys.receive, 32);
	assert_memory_equal(hub->keys[0].install.receive_key, keys.send, 32);
}

static void cookie_replies_that_are_not_ours(void **state)
{
	struct abi_event_handshake event = {.remote = client.address, .len = WG_COOKIE_LEN};

	(void)state;
	event.message[0] = WG_MESSAGE_COOKIE;
	assert_refused(&event, 0, ABI_COUNTER_HS_REFUSED_NO_HANDSHAKE);
	called();
	memcpy(event.message + WG_COOKIE_RECEIVER, hub->out[0].message + WG_INITIATION_SENDER, 4);
	hub->n_out = 0;
	session_handshake_in(hub->table, 0, &event);
	assert_int_equal(hub->counters[ABI_COUNTER_HS_REFUSED_COOKIE], 1);
	assert_int_equal(hub->n_out, 0);
}

static void cookie_reply_makes_the_next_initiation_carry_mac2(void **state)
{
	struct abi_event_handshake event = {.remote = client.address, .len = WG_COOKIE_LEN};
	const uint8_t random[32] = {1}, nonce[WG_COOKIE_NONCE_LEN] = {2};
	struct wg_cookie_checker checker;

	(void)state;
	called();
	assert_true(base_is_zero_ct(hub->out[0].message + WG_INITIATION_MAC2, 16));
	wg_cookie_checker_init(&checker, client.identity.public_key);
	wg_cookie_reply_create(&checker, hub->out[0].message, WG_INITIATION_LEN, &hub->address,
	                       random, nonce, lab_now_ns, event.message);
	session_handshake_in(hub->table, 0, &event);
	assert_int_equal(hub->counters[ABI_COUNTER_HS_COOKIE_IN], 1);
	lab_pass(6 * LAB_S);
	assert_int_equal(hub->n_out, 2);
	assert_int_equal(wg_cookie_check(&checker, hub->out[1].message, WG_INITIATION_LEN,
	                                 &hub->address, lab_now_ns),
	                 WG_COOKIE_MAC2_OK);
}

/* Messages that the hub has taken on but whose results it has not looked at. */
static void load_up_to(uint32_t n_jobs, const struct abi_event_handshake *event)
{
	while (hub->table->jobs.n_used < n_jobs)
		session_handshake_in(hub->table, 0, event);
}

static void under_load_a_message_needs_mac2(void **state)
{
	struct abi_event_handshake plain = lab_client_initiation(&client, lab_wall_ns);
	struct abi_event_handshake with_cookie;

	(void)state;
	load_up_to(SESSION_LOAD_JOBS, &plain);
	assert_int_equal(hub->n_out, 0);
	session_handshake_in(hub->table, 0, &plain);
	assert_int_equal(hub->table->jobs.n_used, SESSION_LOAD_JOBS);
	assert_int_equal(hub->counters[ABI_COUNTER_HS_REFUSED_UNDER_LOAD], 1);
	assert_int_equal(hub->counters[ABI_COUNTER_HS_COOKIE_OUT], 1);
	assert_int_equal(hub->n_out, 1);
	assert_int_equal(hub->out[0].len, WG_COOKIE_LEN);
	assert_int_equal(wg_cookie_reply_consume(&client.cookie, hub->out[0].message, lab_now_ns),
	                 0);
	/* The cookie proves the source: taken on, even under load. */
	with_cookie = lab_client_initiation(&client, lab_wall_ns + LAB_S);
	session_handshake_in(hub->table, 0, &with_cookie);
	assert_int_equal(hub->table->jobs.n_used, SESSION_LOAD_JOBS + 1);
	/* From another address it proves nothing. */
	with_cookie.remote.port++;
	session_handshake_in(hub->table, 0, &with_cookie);
	assert_int_equal(hub->counters[ABI_COUNTER_HS_REFUSED_UNDER_LOAD], 2);
	/* A response to nothing gets no cookie either. */
	plain.len = WG_RESPONSE_LEN;
	plain.message[0] = WG_MESSAGE_RESPONSE;
	mend_mac1(&plain);
	session_handshake_in(hub->table, 0, &plain);
	assert_int_equal(hub->counters[ABI_COUNTER_HS_REFUSED_NO_HANDSHAKE], 1);
	assert_int_equal(hub->n_out, 2);
	lab_settle();
}

/* A hub that calls many peers is busy, but nobody floods it. */
static void handshakes_of_our_own_are_no_load(void **state)
{
	struct abi_event_handshake event = lab_client_initiation(&client, lab_wall_ns);

	(void)state;
	for (uint32_t i = 0; i <= SESSION_LOAD_JOBS; i++) {
		struct lab_client other;
		uint32_t id = LAB_PEER + 1 + i;

		lab_client_make(&other, (uint8_t)(100 + i), session_public_key(hub->table));
		assert_int_equal(session_peer_put(hub->table, id, other.identity.public_key, NULL,
		                                  &lab.hub[0].address, NULL),
		                 0);
		session_wanted(hub->table, id, 0);
	}
	assert_true(hub->table->jobs.n_used >= SESSION_LOAD_JOBS);
	session_handshake_in(hub->table, 0, &event);
	assert_int_equal(hub->counters[ABI_COUNTER_HS_REFUSED_UNDER_LOAD], 0);
	lab_settle();
	assert_int_equal(hub->table->jobs.n_own, 0);
}

static void under_load_the_answer_we_wait_for_is_taken_once(void **state)
{
	struct abi_event_handshake flood = lab_client_initiation(&client, lab_wall_ns);
	struct program *other = &lab.hub[0];
	struct abi_event_handshake answer;

	(void)state;
	assert_int_equal(session_peer_put(hub->table, LAB_PEER, session_public_key(other->table),
	                                  NULL, &other->address, NULL),
	                 0);
	assert_int_equal(session_peer_put(other->table, LAB_PEER, session_public_key(hub->table),
	                                  NULL, NULL, NULL),
	                 0);
	session_wanted(hub->table, LAB_PEER, 0);
	lab_settle();
	answer = lab_event(hub, 0);
	session_handshake_in(other->table, 1, &answer);
	lab_settle();
	answer = lab_event(other, 0);
	load_up_to(SESSION_LOAD_JOBS, &flood);
	session_handshake_in(hub->table, 0, &flood);
	assert_int_equal(hub->counters[ABI_COUNTER_HS_REFUSED_UNDER_LOAD], 1);
	session_handshake_in(hub->table, 1, &answer);
	assert_int_equal(hub->counters[ABI_COUNTER_HS_REFUSED_UNDER_LOAD], 1);
	assert_int_equal(hub->counters[ABI_COUNTER_HS_RESPONSE_IN], 1);
	session_handshake_in(hub->table, 1, &answer);
	assert_int_equal(hub->counters[ABI_COUNTER_HS_REFUSED_UNDER_LOAD], 2);
	lab_settle();
	assert_int_equal(hub->table->peers[LAB_PEER]->handshake.local_index, 0);
	assert_int_not_equal(lab_live(hub), 0);
}

static void load_ends_a_second_after_the_last_of_it(void **state)
{
	struct abi_event_handshake event = lab_client_initiation(&client, lab_wall_ns);

	(void)state;
	load_up_to(SESSION_LOAD_JOBS, &event);
	session_handshake_in(hub->table, 0, &event);
	lab_settle();
	hub->n_out = 0;
	lab_now_ns += LAB_S - 1;
	session_handshake_in(hub->table, 0, &event);
	assert_int_equal(hub->counters[ABI_COUNTER_HS_REFUSED_UNDER_LOAD], 2);
	lab_now_ns += 1;
	event = lab_client_initiation(&client, lab_wall_ns + LAB_S);
	assert_served(&event);
}

static void under_load_one_source_gets_so_many_a_second(void **state)
{
	struct abi_event_handshake event = lab_client_initiation(&client, lab_wall_ns);
	uint32_t n_before;

	(void)state;
	load_up_to(SESSION_LOAD_JOBS, &event);
	session_handshake_in(hub->table, 0, &event);
	assert_int_equal(wg_cookie_reply_consume(&client.cookie, hub->out[0].message, lab_now_ns),
	                 0);
	mend_mac1(&event);
	n_before = hub->table->jobs.n_used;
	for (uint32_t i = 0; i < 50; i++)
		session_handshake_in(hub->table, 0, &event);
	assert_int_equal(hub->table->jobs.n_used, n_before + SESSION_LOAD_BURST);
	assert_int_equal(hub->counters[ABI_COUNTER_HS_REFUSED_UNDER_LOAD], 1);
	assert_int_equal(hub->counters[ABI_COUNTER_HS_REFUSED_SOURCE_LIMIT],
	                 50 - SESSION_LOAD_BURST);
	/* It has its cookie already: no answer. */
	assert_int_equal(hub->n_out, 1);
	lab_now_ns += LAB_S / SESSION_LOAD_RATE;
	session_handshake_in(hub->table, 0, &event);
	session_handshake_in(hub->table, 0, &event);
	assert_int_equal(hub->table->jobs.n_used, n_before + SESSION_LOAD_BURST + 1);
	lab_settle();
}

/* An initiation from another address that carries the cookie for it. */
static struct abi_event_handshake with_cookie_from(uint32_t host)
{
	struct abi_event_handshake event;
	struct lab_client other;

	lab_client_make(&other, 9, session_public_key(hub->table));
	base_store_be32(other.address.ip.bytes, 0xc6336400U + host);
	event = lab_client_initiation(&other, lab_wall_ns);
	hub->n_out = 0;
	session_handshake_in(hub->table, 0, &event);
	assert_int_equal(hub->out[0].len, WG_COOKIE_LEN);
	assert_int_equal(wg_cookie_reply_consume(&other.cookie, hub->out[0].message, lab_now_ns),
	                 0);
	wg_cookie_stamp(&other.cookie, event.message, event.len, lab_now_ns);
	hub->n_out = 0;
	return event;
}

/* Others have all the places that the table of sources has: who proves where it is all the same gets nothing, and
 * nobody's place. */
static void under_load_a_source_without_a_place_is_refused(void **state)
{
	struct base_ip other = {.family = BASE_IP_V4};
	struct abi_event_handshake event = lab_client_initiation(&client, lab_wall_ns);
	uint32_t n_before;

	(void)state;
	load_up_to(SESSION_LOAD_JOBS, &event);
	event = with_cookie_from(1);
	for (uint32_t i = 0; i < 40 * BASE_SOURCE_SETS * BASE_SOURCE_WAYS; i++) {
		base_store_be32(other.bytes, 0x0a000000U + i);
		(void)base_source_take(&hub->table->load.sources, &other, lab_now_ns);
	}
	n_before = hub->table->jobs.n_used;
	for (uint32_t i = 1; i <= 3; i++) {
		session_handshake_in(hub->table, 0, &event);
		assert_int_equal(hub->counters[ABI_COUNTER_HS_REFUSED_SOURCE_FULL], i);
	}
	assert_int_equal(hub->table->jobs.n_used, n_before);
	assert_int_equal(hub->counters[ABI_COUNTER_HS_REFUSED_SOURCE_LIMIT], 0);
	assert_int_equal(hub->n_out, 0);
	/* Their buckets are full again a moment later, and so their places free. */
	lab_now_ns += LAB_S / SESSION_LOAD_RATE;
	session_handshake_in(hub->table, 0, &event);
	assert_int_equal(hub->table->jobs.n_used, n_before + 1);
	lab_settle();
}

static void full_queue_leaves_room_for_our_own(void **state)
{
	struct abi_event_handshake event = lab_client_initiation(&client, lab_wall_ns);
	uint32_t host = 1;

	(void)state;
	load_up_to(SESSION_LOAD_JOBS, &event);
	while (hub->table->jobs.n_used < SESSION_JOBS - SESSION_JOBS_OWN) {
		event = with_cookie_from(host++);
		session_handshake_in(hub->table, 0, &event);
	}
	assert_int_equal(hub->counters[ABI_COUNTER_HS_REFUSED_QUEUE_FULL], 0);
	event = with_cookie_from(host);
	session_handshake_in(hub->table, 0, &event);
	assert_int_equal(hub->counters[ABI_COUNTER_HS_REFUSED_QUEUE_FULL], 1);
	assert_int_equal(hub->n_out, 0);
	assert_int_equal(session_peer_put(hub->table, LAB_PEER + 1,
	                                  session_public_key(lab.hub[0].table), NULL,
	                                  &lab.hub[0].address, NULL),
	                 0);
	session_wanted(hub->table, LAB_PEER + 1, 0);
	assert_int_equal(hub->table->jobs.n_used, SESSION_JOBS - SESSION_JOBS_OWN + 1);
	lab_settle();
	assert_int_equal(hub->counters[ABI_COUNTER_HS_INITIATION_OUT], 1);
}

static void no_free_slot_on_the_worker(void **state)
{
	struct abi_event_handshake event;
	struct lab_client other;
	uint32_t index;

	(void)state;
	while ((index = session__slots_take(&hub->table->slots, 0, 60)) != ABI_INDEX_NONE)
		continue;
	event = lab_client_initiation(&client, lab_wall_ns);
	session_handshake_in(hub->table, 0, &event);
	lab_settle();
	assert_int_equal(hub->counters[ABI_COUNTER_HS_REFUSED_NO_SLOT], 1);
	assert_int_equal(hub->n_out, 0);
	/* On another worker there is room. */
	lab_client_make(&other, 11, session_public_key(hub->table));
	assert_int_equal(session_peer_put(hub->table, LAB_PEER + 1, other.identity.public_key, NULL,
	                                  NULL, NULL),
	                 0);
	event = lab_client_initiation(&other, lab_wall_ns);
	session_handshake_in(hub->table, 1, &event);
	lab_settle();
	assert_int_equal(hub->n_out, 1);
	assert_int_equal(abi_index_worker(hub->keys[0].install.index), 1);
}

static void random_messages_never_answer(void **state)
{
	struct test_random random = test_random_start();
	struct abi_event_handshake good = lab_client_initiation(&client, lab_wall_ns);
	uint64_t n_refused = 0;

	(void)state;
	for (uint32_t i = 0; i < 3000; i++) {
		struct abi_event_handshake event = good;
		uint64_t n_flips = 1 + test_random_below(&random, 8);

		for (uint64_t k = 0; k < n_flips; k++)
			event.message[test_random_below(&random, WG_INITIATION_MAC2)] ^=
				(uint8_t)(1U << test_random_below(&random, 8));
		if (memcmp(event.message, good.message, WG_INITIATION_MAC2) == 0)
			continue;
		event.len = (uint16_t)test_random_below(&random, ABI_HANDSHAKE_MAX + 20);
		if (test_random_below(&random, 2) == 0)
			event.len = WG_INITIATION_LEN;
		session_handshake_in(hub->table, (uint32_t)test_random_below(&random, 2), &event);
		n_refused++;
	}
	lab_settle();
	assert_int_equal(hub->n_out, 0);
	/* A flipped type and a random length may make a cookie reply, which has no mac1. */
	assert_int_equal(hub->counters[ABI_COUNTER_HS_REFUSED_MALFORMED]
	                         + hub->counters[ABI_COUNTER_HS_REFUSED_NO_HANDSHAKE],
	                 n_refused);
}

int main(void)
{
#define hub_test(name) cmocka_unit_test_setup_teardown(name, setup, lab_teardown)
	const struct CMUnitTest tests[] = {
		hub_test(malformed_messages),
		hub_test(wrong_mac1),
		hub_test(altered_behind_a_right_mac1),
		hub_test(static_key_that_no_peer_has),
		hub_test(replayed_and_older_timestamps),
		hub_test(initiations_in_quick_succession),
		hub_test(same_initiation_twice_at_once_is_answered_once),
		hub_test(response_to_no_handshake),
		hub_test(peer_that_was_never_heard_of_cannot_be_called),
		hub_test(forged_response_does_not_end_the_handshake),
		hub_test(cookie_replies_that_are_not_ours),
		hub_test(cookie_reply_makes_the_next_initiation_carry_mac2),
		hub_test(under_load_a_message_needs_mac2),
		hub_test(handshakes_of_our_own_are_no_load),
		hub_test(under_load_the_answer_we_wait_for_is_taken_once),
		hub_test(load_ends_a_second_after_the_last_of_it),
		hub_test(under_load_one_source_gets_so_many_a_second),
		hub_test(under_load_a_source_without_a_place_is_refused),
		hub_test(full_queue_leaves_room_for_our_own),
		hub_test(no_free_slot_on_the_worker),
		hub_test(random_messages_never_answer),
	};

	return cmocka_run_group_tests_name("session/refusals", tests, NULL, NULL);
}

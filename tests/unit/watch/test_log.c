/* wg-drop: lines: what they say, that they add up to what was dropped, and that they are few. */
#include "base_time.h"
#include "fakes.h"
#include "peer.h"
#include "test.h"
#include "watch_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SECOND BASE_NS_PER_S

/* Nobody has a name here. */
const struct peer *peer_numbered(const struct peer_table *table, uint32_t number)
{
	(void)table;
	(void)number;
	return NULL;
}

struct lab {
	struct event_base *base;
	struct watch *watch;
	FILE *log;
	int stderr_before;
};

static struct lab lab_begin(void)
{
	struct lab lab = {.base = event_base_new(), .log = tmpfile()};
	struct watch_setup setup = {.base = lab.base, .n_peers = 64};

	memset(&fake, 0, sizeof(fake));
	assert_non_null(lab.log);
	assert_int_equal(watch_create(&setup, &lab.watch), 0);
	lab.stderr_before = dup(STDERR_FILENO);
	assert_true(dup2(fileno(lab.log), STDERR_FILENO) >= 0);
	base_log_init("test", BASE_LOG_INFO);
	return lab;
}

/* The log is read from its beginning now. */
static void lab_read(struct lab *lab)
{
	dup2(lab->stderr_before, STDERR_FILENO);
	close(lab->stderr_before);
	rewind(lab->log);
}

static void lab_end(struct lab *lab)
{
	fclose(lab->log);
	watch_destroy(lab->watch);
	event_base_free(lab->base);
}

static struct watch_drop drop_of(uint32_t place, uint64_t count)
{
	struct watch_drop kept = {
		.wall_ns = 1700000000 * SECOND + 123 * BASE_NS_PER_MS,
		.worker = place & 1,
		.drop = {.count = count,
	                 .place = place,
	                 .peer = place,
	                 .reason = ABI_COUNTER_DROP_INNER_SOURCE,
	                 .proto = 6,
	                 .has_ports = 1,
	                 .sport = 50000,
	                 .dport = 22,
	                 .len = 60},
	};

	snprintf(kept.peer, sizeof(kept.peer), "peer-%u", place);
	assert_int_equal(base_ip_parse("10.0.0.7", &kept.drop.source), 0);
	assert_int_equal(base_ip_parse("10.0.0.20", &kept.drop.destination), 0);
	return kept;
}

static bool next_line(struct lab *lab, char line[static 512])
{
	if (!fgets(line, 512, lab->log))
		return false;
	assert_non_null(strstr(line, " info wg-drop: "));
	memmove(line, strstr(line, "wg-drop: "), strlen(strstr(line, "wg-drop: ")) + 1);
	return true;
}

static void line_says_when_who_whence_where_why(void **state)
{
	struct lab lab = lab_begin();
	struct watch_drop drop = drop_of(4, 1);
	char line[512];

	(void)state;
	watch__log_drop(lab.watch, &drop, SECOND);
	drop.drop.count = 5;
	drop.drop.proto = 1;
	drop.drop.sport = 8;
	drop.drop.dport = 0;
	drop.drop.flags = ABI_DROP_OUTER;
	watch__log_drop(lab.watch, &drop, SECOND);
	lab_read(&lab);
	assert_true(next_line(&lab, line));
	assert_string_equal(line, "wg-drop: time=2023-11-14T22:13:20.123Z peer=peer-4 src=10.0.0.7 "
	                          "dst=10.0.0.20 proto=tcp sport=50000 dport=22 "
	                          "reason=inner_source len=60 worker=0\n");
	assert_true(next_line(&lab, line));
	assert_string_equal(line,
	                    "wg-drop: suppressed 3 peer=peer-4 reason=inner_source worker=0\n");
	assert_true(next_line(&lab, line));
	assert_non_null(strstr(line, "proto=icmp type=8 code=0 reason=inner_source"));
	assert_non_null(strstr(line, " outer=1\n"));
	assert_false(next_line(&lab, line));
	lab_end(&lab);
}

#define N_PAIRS 12U

/* Lines of a pair, and what lines say was suppressed, for each pair. */
static void add_up(struct lab *lab, uint64_t sum[static N_PAIRS])
{
	char line[512];

	while (next_line(lab, line)) {
		const char *peer = strstr(line, "peer=peer-");
		unsigned long long n = 1;

		assert_non_null(peer);
		(void)sscanf(line, "wg-drop: suppressed %llu", &n);
		sum[strtoul(peer + strlen("peer=peer-"), NULL, 10)] += n;
	}
}

/* Drops in bursts and pauses, of which workers show eight of each pair at once and one a second. */
static void lines_and_suppressed_ones_add_up_exactly(void **state)
{
	const struct base_bucket_rate shown = {SECOND, 8 * SECOND};
	struct base_bucket buckets[N_PAIRS] = {0};
	uint64_t total[N_PAIRS] = {0};
	uint64_t sum[N_PAIRS] = {0};
	unsigned int seed = 20261121;
	struct lab lab = lab_begin();
	uint64_t now_ns = SECOND;
	uint64_t flush_ns = now_ns;

	(void)state;
	print_message("# seed %u\n", seed);
	for (uint32_t i = 0; i < 20000; i++) {
		uint32_t place = (uint32_t)rand_r(&seed) % N_PAIRS;
		struct watch_drop drop = drop_of(place, ++total[place]);

		fake.drop_count[place & 1][place] = total[place];
		now_ns += (uint64_t)rand_r(&seed)
		          % (rand_r(&seed) % 500 == 0 ? 30 * SECOND : 1000000);
		if (base_bucket_take(&buckets[place], &shown, 1, now_ns))
			watch__log_drop(lab.watch, &drop, now_ns);
		if (now_ns - flush_ns >= 10 * SECOND) {
			watch__log_flush(lab.watch, now_ns);
			flush_ns = now_ns;
		}
	}
	watch__log_flush(lab.watch, now_ns + 10 * SECOND);
	lab_read(&lab);
	add_up(&lab, sum);
	for (uint32_t i = 0; i < N_PAIRS; i++)
		assert_int_equal(sum[i], total[i]);
	lab_end(&lab);
}

/* Samples wait in their ring while the count is read beside them. */
static void sample_that_comes_behind_its_count_is_not_said_again(void **state)
{
	struct lab lab = lab_begin();
	uint64_t sum[N_PAIRS] = {0};
	struct watch_drop drop;

	(void)state;
	drop = drop_of(4, 1);
	fake.drop_count[0][4] = 1;
	watch__log_drop(lab.watch, &drop, SECOND);
	fake.drop_count[0][4] = 100;
	watch__log_flush(lab.watch, 10 * SECOND);
	drop = drop_of(4, 60);
	watch__log_drop(lab.watch, &drop, 10 * SECOND);
	drop = drop_of(4, 100);
	watch__log_drop(lab.watch, &drop, 10 * SECOND);
	fake.drop_count[0][4] = 103;
	drop = drop_of(4, 102);
	watch__log_drop(lab.watch, &drop, 11 * SECOND);
	watch__log_flush(lab.watch, 20 * SECOND);
	/* another peer with the number */
	fake.drop_count[0][4] = 7;
	drop = drop_of(4, 7);
	watch__log_drop(lab.watch, &drop, 21 * SECOND);
	lab_read(&lab);
	add_up(&lab, sum);
	assert_int_equal(sum[4], 103 + 7);
	lab_end(&lab);
}

/* A minute in which 1000 peers' packets are dropped, each shown as often as workers may. */
static void flood_of_many_peers_leaves_a_bounded_log(void **state)
{
	const uint32_t seconds = 60;
	struct lab lab = lab_begin();
	uint32_t n = 0;
	char line[512];

	(void)state;
	for (uint32_t second = 1; second <= seconds; second++) {
		for (uint32_t place = 0; place < 1000; place++) {
			struct watch_drop drop = drop_of(place, (uint64_t)second * 100);

			fake.drop_count[place & 1][place] = (uint64_t)second * 100;
			watch__log_drop(lab.watch, &drop, second * SECOND);
		}
		if (second % 10 == 0)
			watch__log_flush(lab.watch, second * SECOND);
	}
	lab_read(&lab);
	while (next_line(&lab, line))
		n++;
	print_message("# %u lines for %u samples\n", n, 1000 * seconds);
	/* 50 at once and 10 a second, each with one line for what was left out before it */
	assert_true(n >= 10 * seconds && n <= 2 * (50 + 10 * seconds));
	lab_end(&lab);
}

static void what_an_earlier_control_counted_is_not_said_again(void **state)
{
	struct lab lab = lab_begin();
	struct watch_drop drop = drop_of(4, 1001);
	char line[512];

	(void)state;
	fake.drops[0] = (struct program_drops){.place = 4, .count = 1000};
	fake.n_drops = 1;
	watch_attached(lab.watch);
	watch__log_drop(lab.watch, &drop, SECOND);
	lab_read(&lab);
	assert_true(next_line(&lab, line));
	assert_non_null(strstr(line, "wg-drop: time="));
	assert_false(next_line(&lab, line));
	lab_end(&lab);
}

static void kept_drops_are_the_last_ones_in_order(void **state)
{
	struct lab lab = lab_begin();
	const struct watch_drop *kept;
	uint64_t before = watch_drop_newest(lab.watch);
	uint64_t number = 0;
	uint32_t n = 0;

	(void)state;
	assert_null(watch_drop_after(lab.watch, 0));
	for (uint32_t i = 0; i < WATCH_KEPT + 10; i++) {
		struct abi_report_drop drop = {.place = UINT32_MAX, .len = i};

		watch_drop_in(lab.watch, 0, &drop);
	}
	while ((kept = watch_drop_after(lab.watch, number)) != NULL) {
		assert_int_equal(kept->drop.len, 10 + n);
		number = kept->number;
		n++;
	}
	assert_int_equal(n, WATCH_KEPT);
	assert_int_equal(number, before + WATCH_KEPT + 10);
	lab_read(&lab);
	lab_end(&lab);
}

/* Who asks with a number that another control gave is shown all that happened since this one began. */
static void numbers_are_above_those_of_an_earlier_control(void **state)
{
	struct abi_report_drop drop = {.place = UINT32_MAX};
	uint64_t drop_seen = 0;
	uint64_t event_seen = 0;

	(void)state;
	for (uint32_t control = 0; control < 3; control++) {
		struct lab lab = lab_begin();
		const struct watch_drop *kept;
		const struct watch_event *event;

		assert_null(watch_drop_after(lab.watch, drop_seen));
		assert_null(watch_event_after(lab.watch, event_seen));
		for (uint32_t i = 0; i < 50 - control; i++) { /* each fewer than the one before */
			drop.len = i;
			watch_drop_in(lab.watch, 0, &drop);
			watch_event_add(lab.watch, "drift", "found", "-", "%u", i);
		}
		kept = watch_drop_after(lab.watch, drop_seen);
		event = watch_event_after(lab.watch, event_seen);
		assert_non_null(kept);
		assert_non_null(event);
		assert_int_equal(kept->drop.len, 0);
		assert_string_equal(event->text, "0");
		drop_seen = watch_drop_newest(lab.watch);
		event_seen = watch_event_newest(lab.watch);
		assert_true(drop_seen < UINT64_C(1) << 53); /* what JSON holds exactly */
		lab_read(&lab);
		lab_end(&lab);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(line_says_when_who_whence_where_why),
		cmocka_unit_test(lines_and_suppressed_ones_add_up_exactly),
		cmocka_unit_test(sample_that_comes_behind_its_count_is_not_said_again),
		cmocka_unit_test(flood_of_many_peers_leaves_a_bounded_log),
		cmocka_unit_test(what_an_earlier_control_counted_is_not_said_again),
		cmocka_unit_test(kept_drops_are_the_last_ones_in_order),
		cmocka_unit_test(numbers_are_above_those_of_an_earlier_control),
	};

	return cmocka_run_group_tests_name("watch log", tests, NULL, NULL);
}

/* What comes out of the log: one line, one write, nothing forged; and how often. */
#include "base_log.h"
#include "base_time.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

/* stderr goes into a packet pipe while a line is written: each write(2) is read as it was. */
static int read_end, saved_stderr;

static void capture(void)
{
	int fds[2];

	fflush(stderr);
	assert_int_equal(pipe2(fds, O_DIRECT | O_NONBLOCK | O_CLOEXEC), 0);
	saved_stderr = dup(STDERR_FILENO);
	assert_true(dup2(fds[1], STDERR_FILENO) >= 0);
	close(fds[1]);
	read_end = fds[0];
}

/* What one write gave, "" for none; more than one is a failure. */
static void release(char *line, size_t room)
{
	char more[16];
	ssize_t n, n_more;

	assert_true(dup2(saved_stderr, STDERR_FILENO) >= 0);
	close(saved_stderr);
	n = read(read_end, line, room - 1);
	n_more = n > 0 ? read(read_end, more, sizeof(more)) : 0;
	close(read_end);
	line[n > 0 ? n : 0] = '\0';
	assert_true(n_more <= 0);
}

static void assert_matches(const char *text, const char *pattern)
{
	regex_t regex;

	assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
	if (regexec(&regex, text, 0, NULL, 0) != 0)
		fail_msg("%s does not match %s", text, pattern);
	regfree(&regex);
}

static void line_has_time_program_level_module_and_message(void **state)
{
	char line[2048];

	(void)state;
	base_log_init("weir-test", BASE_LOG_INFO);
	capture();
	log_warn("session", "handshake refused peer=%d err=%s", 7, "ETIMEDOUT");
	release(line, sizeof(line));
	assert_matches(
		line,
		"^20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]\\.[0-9]{3}Z "
		"weir-test warn session: handshake refused peer=7 err=ETIMEDOUT\n$");
}

static void lines_below_the_level_are_left_out(void **state)
{
	static const enum base_log_level all[] = {BASE_LOG_ERR, BASE_LOG_WARN, BASE_LOG_INFO,
	                                          BASE_LOG_DEBUG};
	char line[2048];

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		for (size_t j = 0; j < 4; j++) {
			base_log_init("t", all[i]);
			capture();
			base_log_write(all[j], "m", "text");
			release(line, sizeof(line));
			assert_int_equal(line[0] != '\0', j <= i);
		}
	}
}

static void control_characters_cannot_forge_a_line(void **state)
{
	char line[2048];

	(void)state;
	base_log_init("t", BASE_LOG_INFO);
	capture();
	log_info("m", "peer=%s", "a\n2026 t err m: forged\r\x1b[2J\x7f\t.");
	release(line, sizeof(line));
	assert_matches(line, " m: peer=a\\?2026 t err m: forged\\?\\?\\[2J\\?\\?\\.\n$");
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

static void long_lines_are_cut_and_still_end(void **state)
{
	char text[3000], line[4096];

	(void)state;
	base_log_init("t", BASE_LOG_INFO);
	for (size_t len = 950; len < 1100; len++) {
		memset(text, 'x', len);
		text[len] = '\0';
		capture();
		log_info("m", "%s", text);
		release(line, sizeof(line));
		assert_true(strlen(line) <= 1024);
		assert_int_equal(line[strlen(line) - 1], '\n');
	}
	memset(text, 'm', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	capture();
	log_info(text, "%s", text);
	release(line, sizeof(line));
	assert_int_equal(line[strlen(line) - 1], '\n');
}

static void errno_survives_even_when_nobody_listens(void **state)
{
	char line[16];

	(void)state;
	base_log_init("t", BASE_LOG_INFO);
	capture();
	close(STDERR_FILENO);
	errno = ENOENT;
	log_err("m", "text");
	assert_int_equal(errno, ENOENT);
	release(line, sizeof(line));
}

static void levels_are_read_by_name(void **state)
{
	static const char *const names[] = {"err", "warn", "info", "debug"};
	enum base_log_level level;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(base_log_level_parse(names[i], &level), 0);
		assert_int_equal(level, i);
	}
	level = BASE_LOG_WARN;
	assert_int_equal(base_log_level_parse("", &level), -EINVAL);
	assert_int_equal(base_log_level_parse("INFO", &level), -EINVAL);
	assert_int_equal(base_log_level_parse("debugging", &level), -EINVAL);
	assert_int_equal(level, BASE_LOG_WARN);
}

static void limit_passes_ten_lines_in_ten_seconds_and_counts_the_rest(void **state)
{
	struct base_log_limit limit = {0};
	uint64_t now = 100 * BASE_NS_PER_S;
	uint32_t suppressed = 99;

	(void)state;
	for (int i = 0; i < 10; i++) {
		assert_true(base_log_limit_pass(&limit, now, &suppressed));
		assert_int_equal(suppressed, 0);
	}
	for (int i = 0; i < 5; i++)
		assert_false(
			base_log_limit_pass(&limit, now + 10 * BASE_NS_PER_S - 1, &suppressed));
	assert_true(base_log_limit_pass(&limit, now + 10 * BASE_NS_PER_S, &suppressed));
	assert_int_equal(suppressed, 5);
	assert_true(base_log_limit_pass(&limit, now + 10 * BASE_NS_PER_S, &suppressed));
	assert_int_equal(suppressed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(line_has_time_program_level_module_and_message),
		cmocka_unit_test(lines_below_the_level_are_left_out),
		cmocka_unit_test(control_characters_cannot_forge_a_line),
		cmocka_unit_test(long_lines_are_cut_and_still_end),
		cmocka_unit_test(errno_survives_even_when_nobody_listens),
		cmocka_unit_test(levels_are_read_by_name),
		cmocka_unit_test(limit_passes_ten_lines_in_ten_seconds_and_counts_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* control/grant: parts of a grant as text, both ways. */
#include "base_bytes.h"
#include "grant_part.h"
#include "test.h"

#include <errno.h>
#include <string.h>

static void parties_are_read_and_written(void **state)
{
	static const struct {
		const char *text;
		bool who;
		bool to;
	} cases[] = {
		{"peer:laptop", true, true},
		{"group:a-1", true, true},
		{"any", true, true},
		{"subnet:10.1.0.0/16", true, true},
		{"subnet:fd01::/64", true, true},
		{"hub", false, true},
		{"", false, false},
		{"laptop", false, false},
		{"peer:", false, false},
		{"peer:A", false, false},
		{"peer:-a", false, false},
		{"group:a b", false, false},
		{"subnet:10.1.0.1/16", false, false},
		{"subnet:0.0.0.0/0", false, false},
		{"subnet:10.1.0.0/33", false, false},
		{"anyone", false, false},
		{"peer:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false,
	         false},
	};
	char text[GRANT_PARTY_STRLEN];
	struct grant_party party;

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++) {
		assert_int_equal(grant_party_parse(cases[i].text, true, &party),
		                 cases[i].who ? 0 : -EINVAL);
		assert_int_equal(grant_party_parse(cases[i].text, false, &party),
		                 cases[i].to ? 0 : -EINVAL);
		if (cases[i].to)
			assert_string_equal(grant_party_format(&party, text), cases[i].text);
	}
}

static void ranges_are_read_written_and_joined(void **state)
{
	static const char *const bad[] = {"",      "0",  "-1", "1-", "-",   "65536", "2-1",
	                                  "1-2-3", "01", "1 ", " 1", "0x1", "1,2",   "100000"};
	static const char *const in[] = {"8080-8090", "443", "444-500", "80", "8085", "65535"};
	struct grant_range ranges[BASE_ARRAY_LEN(in)];
	char text[GRANT_RANGE_STRLEN];

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(bad); i++)
		assert_int_equal(grant_range_parse(bad[i], &ranges[0]), -EINVAL);
	for (size_t i = 0; i < BASE_ARRAY_LEN(in); i++)
		assert_int_equal(grant_range_parse(in[i], &ranges[i]), 0);
	assert_int_equal(grant_ranges_join(ranges, BASE_ARRAY_LEN(in)), 4);
	assert_string_equal(grant_range_format(&ranges[0], text), "80");
	assert_string_equal(grant_range_format(&ranges[1], text), "443-500");
	assert_string_equal(grant_range_format(&ranges[2], text), "8080-8090");
	assert_string_equal(grant_range_format(&ranges[3], text), "65535");
	assert_int_equal(grant_ranges_join(ranges, 0), 0);
}

static void windows_are_read_and_written(void **state)
{
	static const struct {
		const char *text;
		const char *written; /* NULL = refused */
	} cases[] = {
		{"mon-fri 08:00-18:00 Europe/Berlin", "mon-fri 08:00-18:00 Europe/Berlin"},
		{"sat,sun 00:00-24:00 UTC", "sat,sun 00:00-24:00 UTC"},
		{"fri-mon 22:00-06:00 UTC", "mon,fri-sun 22:00-06:00 UTC"},
		{"wed,mon 01:00-01:00 America/New_York", "mon,wed 01:00-01:00 America/New_York"},
		{"mon 8:00-18:00 UTC", NULL},
		{"mon 24:00-18:00 UTC", NULL},
		{"mon 08:00-24:01 UTC", NULL},
		{"mon 08:60-10:00 UTC", NULL},
		{"mon 08:00 - 10:00 UTC", NULL},
		{"08:00-10:00 UTC", NULL},
		{"mo 08:00-10:00 UTC", NULL},
		{"mon- 08:00-10:00 UTC", NULL},
		{"mon 08:00-10:00", NULL},
		{"mon 08:00-10:00 ", NULL},
		{"mon 08:00-10:00 Europe/Atlantis", NULL},
		{"mon 08:00-10:00 ../../../etc/passwd", NULL},
		{"mon 08:00-10:00 /etc/passwd", NULL},
		{"mon 08:00-10:00 Europe", NULL},
		{"mon 08:00-10:00 tzdata.zi", NULL},
		{"", NULL},
	};
	char text[GRANT_WINDOW_STRLEN];
	struct grant_window window;

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++) {
		print_message("# %s\n", cases[i].text);
		assert_int_equal(grant_window_parse(cases[i].text, &window),
		                 cases[i].written ? 0 : -EINVAL);
		if (cases[i].written)
			assert_string_equal(grant_window_format(&window, text), cases[i].written);
	}
}

static void times_are_read_and_written(void **state)
{
	static const struct {
		const char *text;
		const char *written;
	} cases[] = {
		{"2026-12-24T12:00:00Z", "2026-12-24T12:00:00Z"},
		{"2026-12-24T12:00:00+01:00", "2026-12-24T11:00:00Z"},
		{"2026-12-24T22:00:00-03:30", "2026-12-25T01:30:00Z"},
		{"2028-02-29T00:00:00Z", "2028-02-29T00:00:00Z"},
		{"2026-02-29T00:00:00Z", NULL},
		{"2026-13-01T00:00:00Z", NULL},
		{"2026-12-24T24:30:00Z", NULL},
		{"2026-12-24 12:00:00Z", NULL},
		{"2026-12-24T12:00:00", NULL},
		{"2026-12-24T12:00:00z", NULL},
		{"2026-12-24T12:00:00+1:00", NULL},
		{"1970-01-01T00:00:00Z", NULL},
		{"1969-12-31T00:00:00Z", NULL},
		{"2026-12-24", NULL},
		{"", NULL},
	};
	char text[GRANT_TIME_STRLEN];
	uint64_t time_s;

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++) {
		print_message("# %s\n", cases[i].text);
		assert_int_equal(grant_time_parse(cases[i].text, &time_s),
		                 cases[i].written ? 0 : -EINVAL);
		if (cases[i].written)
			assert_string_equal(grant_time_format(time_s, text), cases[i].written);
	}
}

static void texts_are_one_line_of_utf_8(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} cases[] = {
		{"", true},
		{"plain \"quoted\" \\", true},
		{"M\xc3\xbcller \xe2\x82\xac", true},
		{"\xf0\x9f\x90\x9f", true},
		{"a\nb", false},
		{"a\tb", false},
		{"\x7f", false},
		{"\xc2\x85", false},
		{"\xff", false},
		{"\xc3", false},
		{"\xc0\xaf", false},
		{"\xed\xa0\x80", false},
		{"\xf4\x90\x80\x80", false},
	};
	char long_text[202];

	(void)state;
	for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++)
		assert_int_equal(grant_text_is_good(cases[i].text, 200), cases[i].good);
	memset(long_text, 'x', 201);
	long_text[201] = '\0';
	assert_false(grant_text_is_good(long_text, 200));
	long_text[200] = '\0';
	assert_true(grant_text_is_good(long_text, 200));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parties_are_read_and_written),
		cmocka_unit_test(ranges_are_read_written_and_joined),
		cmocka_unit_test(windows_are_read_and_written),
		cmocka_unit_test(times_are_read_and_written),
		cmocka_unit_test(texts_are_one_line_of_utf_8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

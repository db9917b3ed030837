/* control/metric: the text format, byte by byte where it matters. tests/api reads whole scrapes with a parser that is not
 * ours. */
#include "metric_text.h"
#include "test.h"

#include <string.h>

static void a_family_is_help_type_and_samples(void **state)
{
	const struct metric_label labels[] = {{"id", "7"}, {"name", "laptop"}};
	struct metric_text text = {0};

	(void)state;
	metric_family(&text, "a_total", METRIC_COUNTER, "what it is");
	metric_sample(&text, "a_total", labels, 2, UINT64_MAX);
	metric_family(&text, "b", METRIC_GAUGE, "another");
	metric_sample(&text, "b", NULL, 0, 0);
	metric_sample_ns(&text, "b", labels, 1, UINT64_C(1700000000012345678));
	assert_string_equal(text.text, "# HELP a_total what it is\n"
	                               "# TYPE a_total counter\n"
	                               "a_total{id=\"7\",name=\"laptop\"} 18446744073709551615\n"
	                               "# HELP b another\n"
	                               "# TYPE b gauge\n"
	                               "b 0\n"
	                               "b{id=\"7\"} 1700000000.012\n");
	assert_int_equal(text.len, strlen(text.text));
	metric_text_fini(&text);
	assert_null(text.text);
}

static void labels_and_help_are_escaped(void **state)
{
	const struct metric_label label = {"name", "a\"b\\c\nd{},="};
	struct metric_text text = {0};

	(void)state;
	metric_family(&text, "m", METRIC_GAUGE, "a\\b\n\"c\"");
	metric_sample(&text, "m", &label, 1, 1);
	assert_string_equal(text.text, "# HELP m a\\\\b\\n\"c\"\n"
	                               "# TYPE m gauge\n"
	                               "m{name=\"a\\\"b\\\\c\\nd{},=\"} 1\n");
	metric_text_fini(&text);
}

static void it_grows_as_far_as_it_must(void **state)
{
	struct metric_text text = {0};

	(void)state;
	for (uint64_t i = 0; i < 100000; i++)
		metric_sample(&text, "m", NULL, 0, 1);
	assert_int_equal(text.len, 400000);
	assert_string_equal(text.text + text.len - 8, "m 1\nm 1\n");
	assert_false(text.has_failed);
	metric_text_fini(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_family_is_help_type_and_samples),
		cmocka_unit_test(labels_and_help_are_escaped),
		cmocka_unit_test(it_grows_as_far_as_it_must),
	};

	return cmocka_run_group_tests_name("metric/text", tests, NULL, NULL);
}

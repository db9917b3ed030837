/* control/store, the policy's rows and its generation. */
#include "store_lab.h"
#include "store_policy.h"

#include <errno.h>

static int collect_policy(void *arg, const struct store_policy_row *row)
{
	char *text = arg;
	size_t len = strlen(text);

	snprintf(text + len, 256 - len, "%s %s %u %s %llu;", row->kind, row->name, row->number,
	         row->text, (unsigned long long)row->created_wall_ns);
	return 0;
}

static int collect_used(void *arg, const struct store_policy_row *row)
{
	uint64_t *sum_s = arg;

	*sum_s += row->used_s;
	return 0;
}

static void policy_rows_are_replaced_dropped_and_undone_together(void **state)
{
	struct store_policy_row group = {STORE_POLICY_GROUP, "a", "{ g }", 0, 1, 0};
	struct store_policy_row grant = {STORE_POLICY_GRANT, "a", "{ x }", 7, 2, 0};
	struct store_policy_state got = {9, 9};
	struct store_policy_state put = {41, 8};
	struct store *store = open_good();
	uint64_t used_s = 0;
	char text[256] = "";

	(void)state;
	assert_int_equal(store_policy_state_get(store, &got), 0);
	assert_int_equal(got.generation, 0);
	assert_int_equal(got.next_number, 1);
	assert_int_equal(store_policy_put(store, &group), 0);
	assert_int_equal(store_policy_put(store, &grant), 0);
	grant.text = "{ y }";
	assert_int_equal(store_policy_put(store, &grant), 0);
	assert_int_equal(store_begin(store), 0);
	assert_int_equal(store_policy_drop(store, STORE_POLICY_GROUP, "a"), 0);
	assert_int_equal(store_policy_drop(store, STORE_POLICY_GROUP, "a"), -ENOENT);
	assert_int_equal(store_policy_state_put(store, &put), 0);
	assert_int_equal(store_end(store, false), 0);
	store_close(store);
	store = open_good();
	assert_int_equal(store_policy_each(store, collect_policy, text), 0);
	assert_string_equal(text, "grant a 7 { y } 2;group a 0 { g } 1;");
	/* what was used is of the grant, and stays when its text changes */
	assert_int_equal(store_policy_used_put(store, "a", 7200), 0);
	assert_int_equal(store_policy_used_put(store, "b", 7200), -ENOENT);
	grant.text = "{ z }";
	assert_int_equal(store_policy_put(store, &grant), 0);
	assert_int_equal(store_policy_each(store, collect_used, &used_s), 0);
	assert_int_equal(used_s, 7200);
	assert_int_equal(store_policy_state_get(store, &got), 0);
	assert_int_equal(got.generation, 0);
	assert_int_equal(store_policy_state_put(store, &put), 0);
	assert_int_equal(store_policy_state_get(store, &got), 0);
	assert_int_equal(got.generation, 41);
	store_close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(policy_rows_are_replaced_dropped_and_undone_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

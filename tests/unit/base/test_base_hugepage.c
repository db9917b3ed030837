/* Memory for large tables: whole large pages, where a large page can be, and all zeros. Who takes free pages is alone. */
#include "base_hugepage.h"
#include "test.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE BASE_HUGEPAGE_LEN

static void memory_is_of_whole_large_pages_and_zeroed(void **state)
{
	static const struct {
		size_t len, expected;
	} cases[] = {{1, PAGE},
	             {PAGE - 1, PAGE},
	             {PAGE, PAGE},
	             {PAGE + 1, 2 * PAGE},
	             {5 * PAGE, 5 * PAGE}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = cases[i].len;
		uint8_t *memory = base_hugepage_map(&len);

		assert_non_null(memory);
		assert_int_equal(len, cases[i].expected);
		assert_int_equal((uintptr_t)memory % PAGE, 0);
		for (size_t at = 0; at < len; at += 4096)
			assert_int_equal(memory[at]++, 0);
		memory[len - 1] = 1;
		base_hugepage_unmap(memory, len);
	}
}

/* Pages of this process's address space. */
static unsigned long n_pages_mapped(void)
{
	char text[64];
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	assert_true(n > 0);
	text[n] = '\0';
	close(fd);
	return strtoul(text, NULL, 10);
}

static void nothing_of_the_room_for_alignment_stays_mapped(void **state)
{
	unsigned long before = n_pages_mapped();
	size_t len = PAGE;
	uint8_t *memory = base_hugepage_map(&len);

	(void)state;
	assert_non_null(memory);
	assert_int_equal(n_pages_mapped() - before, PAGE / (size_t)sysconf(_SC_PAGESIZE));
	base_hugepage_unmap(memory, len);
	assert_int_equal(n_pages_mapped(), before);
}

static void what_is_given_back_is_gone_whole(void **state)
{
	unsigned long before = n_pages_mapped();
	const size_t asked = PAGE + 1;
	size_t len = asked;
	uint8_t *memory = base_hugepage_map(&len);

	(void)state;
	assert_non_null(memory);
	base_hugepage_unmap(memory, asked); /* the caller need not keep the rounded length */
	assert_int_equal(n_pages_mapped(), before);
	base_hugepage_unmap(NULL, asked);
	assert_int_equal(n_pages_mapped(), before);
}

static void too_much_is_an_answer(void **state)
{
	size_t len = (size_t)1 << 62;

	(void)state;
	assert_null(base_hugepage_map(&len));
}

/* Another process has it until it ends, as when it is killed while it starts. */
static void one_at_a_time_asks_and_takes(void **state)
{
	int to_parent[2], to_child[2];
	char byte = 0;
	int lock;
	pid_t child;

	(void)state;
	assert_int_equal(pipe(to_parent), 0);
	assert_int_equal(pipe(to_child), 0);
	child = fork();
	if (child == 0) {
		byte = base_hugepage_lock(BASE_HUGEPAGE_PATIENCE_MS) >= 0;
		_exit(write(to_parent[1], &byte, 1) != 1 || read(to_child[0], &byte, 1) != 1);
	}
	assert_int_equal(read(to_parent[0], &byte, 1), 1);
	assert_int_equal(byte, 1);
	assert_int_equal(base_hugepage_lock(20), -1);
	assert_int_equal(write(to_child[1], &byte, 1), 1);
	assert_int_equal(waitpid(child, NULL, 0), child);
	lock = base_hugepage_lock(BASE_HUGEPAGE_PATIENCE_MS);
	assert_true(lock >= 0);
	close(lock);
	for (size_t i = 0; i < 2; i++) {
		close(to_parent[i]);
		close(to_child[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_of_whole_large_pages_and_zeroed),
		cmocka_unit_test(nothing_of_the_room_for_alignment_stays_mapped),
		cmocka_unit_test(what_is_given_back_is_gone_whole),
		cmocka_unit_test(too_much_is_an_answer),
		cmocka_unit_test(one_at_a_time_asks_and_takes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

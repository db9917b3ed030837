/* Formats a line in a fixed buffer and writes it at once. */
#include "base_log.h"

#include "base_bytes.h"
#include "base_time.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_LEN    1024
#define LIMIT_BURST     10
#define LIMIT_WINDOW_NS (10 * BASE_NS_PER_S)

static const char *const level_names[] = {
	[BASE_LOG_ERR] = "err",
	[BASE_LOG_WARN] = "warn",
	[BASE_LOG_INFO] = "info",
	[BASE_LOG_DEBUG] = "debug",
};

/* Written once at start-up by base_log_init(), before there are threads; read by all. */
static const char *log_program = "weir";
static enum base_log_level log_level = BASE_LOG_INFO;

void base_log_init(const char *program, enum base_log_level level)
{
	log_program = program;
	log_level = level;
}

int base_log_level_parse(const char *text, enum base_log_level *out)
{
	for (size_t i = 0; i < BASE_ARRAY_LEN(level_names); i++) {
		if (strcmp(text, level_names[i]) == 0) {
			*out = (enum base_log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* Append to line, keeping one byte for the newline. Returns the new length. */
static size_t append(char *line, size_t len, int written)
{
	if (written < 0)
		return len;
	len += (size_t)written;
	if (len > LINE_MAX_LEN - 2)
		len = LINE_MAX_LEN - 2;
	for (char *c = line; c < line + len; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	return len;
}

void base_log_write(enum base_log_level level, const char *module, const char *format, ...)
{
	char line[LINE_MAX_LEN];
	struct timespec now;
	struct tm tm;
	size_t len;
	va_list args;
	int saved_errno = errno;

	if (level > log_level)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	len = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%S", &tm);
	len = append(line, len,
	             snprintf(line + len, sizeof(line) - len, ".%03ldZ %s %s %s: ",
	                      now.tv_nsec / 1000000, log_program, level_names[level], module));
	va_start(args, format);
	len = append(line, len, vsnprintf(line + len, sizeof(line) - len, format, args));
	va_end(args);
	line[len++] = '\n';

	/* A log that cannot be written has nowhere to say so. */
	ssize_t ignored = write(STDERR_FILENO, line, len);

	(void)ignored;
	errno = saved_errno;
}

bool base_log_limit_pass(struct base_log_limit *limit, uint64_t now_ns, uint32_t *suppressed)
{
	if (limit->window_start_ns == 0 || now_ns - limit->window_start_ns >= LIMIT_WINDOW_NS) {
		limit->window_start_ns = now_ns;
		limit->n_written = 0;
	}
	if (limit->n_written >= LIMIT_BURST) {
		limit->n_suppressed++;
		return false;
	}
	limit->n_written++;
	*suppressed = limit->n_suppressed;
	limit->n_suppressed = 0;
	return true;
}

/* The log front end of every program: one line on stderr,
 *   <RFC 3339 time> <program> <level> <module>: <message> key=value ...
 * Never called from dataplane/path. Secrets never reach it. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum base_log_level {
	BASE_LOG_ERR = 0,
	BASE_LOG_WARN = 1,
	BASE_LOG_INFO = 2,
	BASE_LOG_DEBUG = 3,
};

/* Name of the program for each line (borrowed, a literal) and the lowest level that is written. */
void base_log_init(const char *program, enum base_log_level level);

/* "err", "warn", "info", "debug" to its level; returns 0 or -EINVAL. */
int base_log_level_parse(const char *text, enum base_log_level *out)
	__attribute__((warn_unused_result));

/* Write one line with one write(2), so lines of two processes do not mix. Control characters in
 * the message are replaced, so a peer's name cannot forge a line. errno is kept. Thread: any. */
void base_log_write(enum base_log_level level, const char *module, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* At most 10 lines in each 10 s; the next line that passes says how many were left out.
 * Zero-initialize, set nothing. Thread: one per limit. */
struct base_log_limit {
	uint64_t window_start_ns;
	uint32_t n_written;
	uint32_t n_suppressed;
};

/* True when a line may be written now; then *suppressed gets the number left out since the last. */
bool base_log_limit_pass(struct base_log_limit *limit, uint64_t now_ns, uint32_t *suppressed);

#define log_err(module, ...)   base_log_write(BASE_LOG_ERR, module, __VA_ARGS__)
#define log_warn(module, ...)  base_log_write(BASE_LOG_WARN, module, __VA_ARGS__)
#define log_info(module, ...)  base_log_write(BASE_LOG_INFO, module, __VA_ARGS__)
#define log_debug(module, ...) base_log_write(BASE_LOG_DEBUG, module, __VA_ARGS__)

#endif

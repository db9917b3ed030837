/* Where the secrets of a reply go: into a file that nobody else can read at any moment, or to standard output,
 * which may be one that others can. */
#include "weir.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool holds_secrets(const struct weir_line *line)
{
	const char *method = line->command->method;

	return strcmp(method, "peer.add") == 0
	       || (strcmp(method, "peer.rotate") == 0
	           && json_is_true(json_object_get(line->params, "new_preshared_key")))
	       || (strcmp(method, "peer.apply") == 0 /* preshared keys of new peers */
	           && !json_is_true(json_object_get(line->params, "dry_run")));
}

/* The shell made the file, with whatever umask there was; nothing is in it yet. */
static void close_output_to_others(void)
{
	struct stat st;

	if (fstat(STDOUT_FILENO, &st) != 0 || !S_ISREG(st.st_mode) || (st.st_mode & 077) == 0)
		return;
	if (fchmod(STDOUT_FILENO, st.st_mode & 0700) == 0)
		fprintf(stderr,
		        "weir: standard output goes to a file that others could read (mode %04o): it is "
		        "%04o now, since secrets go into it (--save makes one that never is)\n",
		        st.st_mode & 07777, st.st_mode & 0700);
	else
		fprintf(stderr,
		        "weir: standard output goes to a file that others can read (mode %04o), and "
		        "secrets go into it: %s\n",
		        st.st_mode & 07777, strerror(errno));
}

int weir_save_prepare(const struct weir_line *line, struct weir_save *out, char *why,
                      size_t why_len)
{
	memset(out, 0, sizeof(*out));
	if (!line->command->method)
		return WEIR_DONE;
	out->path = json_string_value(json_object_get(line->local, "save"));
	if (!out->path) {
		if (holds_secrets(line))
			close_output_to_others();
		return WEIR_DONE;
	}
	if (!holds_secrets(line)) {
		snprintf(why, why_len,
		         "--save is for a configuration, and only one with a new preshared key is "
		         "printed: give --new-preshared-key, or leave it out");
		return WEIR_USAGE;
	}
	if (json_object_get(line->local, "qr") || json_object_get(line->local, "qr_png")) {
		snprintf(why, why_len,
		         "the configuration is saved, or shown as a QR code: leave one "
		         "of them out");
		return WEIR_USAGE;
	}
	out->file = weir_create(out->path);
	if (out->file)
		return WEIR_DONE;
	snprintf(why, why_len, "--save: %s: %s", out->path, strerror(errno));
	return WEIR_REFUSED;
}

int weir_save_write(struct weir_save *save, const json_t *result, char *why, size_t why_len)
{
	const char *text = json_string_value(json_object_get(result, "config"));
	bool failed = !text || fputs(text, save->file) < 0;

	failed = fclose(save->file) != 0 || failed;
	save->file = NULL;
	if (!failed)
		return WEIR_DONE;
	unlink(save->path);
	snprintf(why, why_len, "--save: %s cannot be written", save->path);
	return WEIR_REFUSED;
}

void weir_save_cancel(struct weir_save *save)
{
	if (!save->file)
		return;
	fclose(save->file);
	save->file = NULL;
	unlink(save->path);
}

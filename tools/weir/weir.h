/* What the files of the weir command share. */
#ifndef WEIR_H
#define WEIR_H

#include "weir_grammar.h"

#include <jansson.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define WEIR_SOCKET_DEFAULT "/run/weir/control.sock"

enum weir_exit {
	WEIR_DONE = 0,
	WEIR_REFUSED = 1, /* with a reason on standard error */
	WEIR_USAGE = 2,
	WEIR_UNREACHABLE = 3,
};

/* A command line, taken apart. */
struct weir_line {
	const char *socket; /* -s, or NULL */
	bool json;          /* -o json */
	bool help;
	bool version;
	const struct weir_command *command; /* NULL = none */
	const char *words[2];               /* that were read before a command was known */
	json_t *params;                     /* object, owned */
	json_t *local;                      /* arguments that the hub does not see; object, owned */
	char error[320];                    /* why it is wrong, with WEIR_USAGE */
};

/* weir_line.c: read a command line. Returns WEIR_DONE or WEIR_USAGE; caller: weir_line_fini(). */
int weir_line_read(int argc, char **argv, struct weir_line *out);
void weir_line_fini(struct weir_line *line);

/* weir_client.c: ask the hub. Returns WEIR_DONE with *result, WEIR_REFUSED or WEIR_USAGE with
 * *error (the reply's), WEIR_UNREACHABLE with a line in why. Caller: json_decref(). */
int weir_ask(const char *socket_path, const char *method, json_t *params, json_t **result,
             json_t **error, char *why, size_t why_len);
/* The same for a method that comes in pages: all of them, unless params has a limit. */
int weir_ask_pages(const char *socket_path, const struct weir_command *command, json_t *params,
                   json_t **result, json_t **error, char *why, size_t why_len);

/* weir_show.c: print a result for people. */
void weir_show(const struct weir_command *command, const json_t *result);

/* weir_qr.c: a peer's configuration as a QR code, for peer.add --qr and --qr-png. prepare looks at
 * the arguments and opens the file before anything is asked of the hub: secrets that cannot be
 * shown would be lost. Returns WEIR_DONE, WEIR_USAGE or WEIR_REFUSED with a line in why. */
struct weir_qr {
	bool terminal;
	const char *path; /* of the picture, or NULL */
	FILE *file;
};
int weir_qr_prepare(const struct weir_line *line, struct weir_qr *out, char *why, size_t why_len);
static inline bool weir_qr_wanted(const struct weir_qr *qr)
{
	return qr->terminal || qr->path;
}
/* Show the "config" of a result, and close the file. */
int weir_qr_show(struct weir_qr *qr, const json_t *result, char *why, size_t why_len);
/* There is nothing to show: remove the file. */
void weir_qr_cancel(struct weir_qr *qr);

/* weir_save.c: what a reply says this once, in a file: --save of peer.add and peer.rotate. Prepared as the
 * QR code is. Without --save, a file that standard output goes to is closed to others before a secret is in it. */
struct weir_save {
	const char *path; /* NULL = to standard output */
	FILE *file;
};
int weir_save_prepare(const struct weir_line *line, struct weir_save *out, char *why,
                      size_t why_len);
/* Write the "config" of a result, and close the file. */
int weir_save_write(struct weir_save *save, const json_t *result, char *why, size_t why_len);
void weir_save_cancel(struct weir_save *save);

/* weir_png.c: a square picture of n x n modules, each scale x scale pixels, with a white margin of
 * margin modules. modules is row-major, bit 0 = black. Returns 0 or -EIO. */
int weir_png_write(FILE *file, const unsigned char *modules, unsigned int n, unsigned int scale,
                   unsigned int margin);

/* weir_show_policy.c: the same for groups, grants and policies; false when the method is none of them. */
bool weir_show_policy(const char *method, const json_t *result);

/* weir_show_block.c: the same for drop lists. */
bool weir_show_block(const char *method, const json_t *result);

/* weir_show_watch.c: the same for what is watched; and one drop as a line. */
bool weir_show_watch(const char *method, const json_t *result);
void weir_show_drop(const json_t *drop);
void weir_show_event(const json_t *event);

/* weir_follow.c: drops --follow. Returns when it cannot go on: an exit code. */
bool weir_follow_wanted(const struct weir_line *line);
int weir_follow(const struct weir_line *line, const char *socket_path);
/* The same for what takes a moment: the hub has begun, and result says "checking". Asks until it has done;
 * result is replaced. Returns as weir_ask(). */
int weir_await(const struct weir_line *line, const char *socket_path, json_t **result,
               json_t **error, char *why, size_t why_len);

/* weir_metrics.c: metrics, as text. Returns an exit code. */
bool weir_metrics_wanted(const struct weir_line *line);
int weir_metrics(const struct weir_line *line, const char *socket_path);

/* weir_capture.c: capture. Returns an exit code. */
bool weir_capture_wanted(const struct weir_line *line);
int weir_capture(const struct weir_line *line, const char *socket_path);

/* weir_qr.c: a new file for the owner alone; NULL with errno, also when something is there. */
FILE *weir_create(const char *path);

/* weir_main.c: say why the hub did not do it; r, error and why are weir_ask()'s. */
void weir_fail(const struct weir_line *line, int r, const json_t *error, const char *why);

/* weir_ssh.c: "ADDRESS PORT ADDRESS PORT" of the SSH connection (client, then this machine) that this
 * command is given over, also behind sudo. Returns false when there is none. */
bool weir_ssh_connection(char *buf, size_t size);

/* weir_help.c */
void weir_help(void);                   /* all commands */
void weir_help_group(const char *word); /* those that begin so */
void weir_help_command(const struct weir_command *command);

/* weir_run.c: the supervisor. argv[0] is "run". Returns the exit code. */
int weir_run(int argc, char **argv);
/* weir_upgrade.c: ask it to replace what it runs. argv[0] is "upgrade". Returns the exit code. */
int weir_upgrade(int argc, char **argv);

#endif

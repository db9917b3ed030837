/* A new peer's configuration as a QR code, in the terminal or as a picture. It is made here and not
 * by the hub, so that no reply holds the secrets twice. */
#include "base_bytes.h"
#include "weir.h"

#include <errno.h>
#include <fcntl.h>
#include <qrencode.h>
#include <string.h>
#include <unistd.h>

#define MARGIN 4 /* modules of white that readers need round the code */
#define SCALE  6 /* pixels a module in the picture */

static bool is_set(const json_t *object, const char *name)
{
	return json_object_get(object, name) != NULL;
}

/* For what holds secrets: made new, readable for its owner alone. */
FILE *weir_create(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? NULL : fdopen(fd, "wb");
}

int weir_qr_prepare(const struct weir_line *line, struct weir_qr *out, char *why, size_t why_len)
{
	memset(out, 0, sizeof(*out));
	out->terminal = is_set(line->local, "qr");
	out->path = json_string_value(json_object_get(line->local, "qr_png"));
	if (!weir_qr_wanted(out))
		return WEIR_DONE;
	if (is_set(line->params, "public_key")) {
		snprintf(why, why_len,
		         "a QR code holds the private key, which the hub does not know when "
		         "--public-key is given: leave that out");
		return WEIR_USAGE;
	}
	if (is_set(line->params, "kill_switch") || is_set(line->params, "kill_switch_persist")) {
		snprintf(why, why_len,
		         "a QR code is for the WireGuard apps, which refuse the PostUp of a kill "
		         "switch: leave one of them out");
		return WEIR_USAGE;
	}
	if (!out->path)
		return WEIR_DONE;
	out->file = weir_create(out->path);
	if (out->file)
		return WEIR_DONE;
	snprintf(why, why_len, "--qr-png: %s: %s", out->path, strerror(errno));
	return WEIR_REFUSED;
}

void weir_qr_cancel(struct weir_qr *qr)
{
	if (!qr->file)
		return;
	fclose(qr->file);
	qr->file = NULL;
	unlink(qr->path);
}

/* ---- terminal ----------------------------------------------------------------------------------- */

/* Module at (x, y), margin included: true = black. */
static bool is_black(const QRcode *code, int x, int y)
{
	x -= MARGIN;
	y -= MARGIN;
	return x >= 0 && y >= 0 && x < code->width && y < code->width
	       && (code->data[y * code->width + x] & 1);
}

/* Two rows of modules a line. What is white is drawn, so that it is right on black; a terminal is told
 * to be black. */
static void print_code(const QRcode *code)
{
	static const char *const halves[2][2] = {{"\u2588", "\u2580"}, {"\u2584", " "}};
	bool colour = isatty(STDOUT_FILENO);
	int side = code->width + 2 * MARGIN;

	for (int y = 0; y < side; y += 2) {
		fputs(colour ? "\033[40;97m" : "", stdout);
		for (int x = 0; x < side; x++) {
			bool below = y + 1 >= side || is_black(code, x, y + 1);

			fputs(halves[is_black(code, x, y)][below], stdout);
		}
		puts(colour ? "\033[0m" : "");
	}
}

/* ---- both --------------------------------------------------------------------------------------- */

static int write_picture(struct weir_qr *qr, const QRcode *code, char *why, size_t why_len)
{
	int err = weir_png_write(qr->file, code->data, (unsigned int)code->width, SCALE, MARGIN);

	if (fclose(qr->file) != 0)
		err = -EIO;
	qr->file = NULL;
	if (err == 0)
		return WEIR_DONE;
	unlink(qr->path);
	snprintf(why, why_len, "--qr-png: %s cannot be written", qr->path);
	return WEIR_REFUSED;
}

int weir_qr_show(struct weir_qr *qr, const json_t *result, char *why, size_t why_len)
{
	const char *text = json_string_value(json_object_get(result, "config"));
	QRcode *code = text ? QRcode_encodeString8bit(text, 0, QR_ECLEVEL_L) : NULL;
	int r = WEIR_DONE;

	if (!code) {
		snprintf(why, why_len, "the configuration does not fit a QR code");
		weir_qr_cancel(qr);
		return WEIR_REFUSED;
	}
	if (qr->terminal)
		print_code(code);
	if (qr->file)
		r = write_picture(qr, code, why, why_len);
	base_wipe(code->data, (size_t)code->width * (size_t)code->width);
	QRcode_free(code);
	return r;
}

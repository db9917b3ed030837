/* One question and its answer over the control socket. */
#include "weir.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define REPLY_LEN_MAX (256 * 1024 * 1024) /* a million peers with their new keys */
#define PAGE_LEN      1000

static const struct timeval patience = {30, 0}; /* a hub that lives answers in milliseconds */

static int unreachable(char *why, size_t len, const char *path, const char *reason)
{
	snprintf(why, len, "no hub answers at %s: %s", path, reason);
	return WEIR_UNREACHABLE;
}

static int dial(const char *path, int *fd_out, char *why, size_t why_len)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof(address.sun_path))
		return unreachable(why, why_len, path, "path is too long for a socket");
	memcpy(address.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return unreachable(why, why_len, path, strerror(errno));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		int err = errno;

		close(fd);
		return unreachable(why, why_len, path,
		                   err == ENOENT         ? "there is no socket (is it running?)"
		                   : err == ECONNREFUSED ? "nobody listens (is it running?)"
		                   : err == EACCES       ? "permission denied (are you root?)"
		                                         : strerror(err));
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	*fd_out = fd;
	return WEIR_DONE;
}

static bool write_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		text += n;
		len -= (size_t)n;
	}
	return true;
}

/* The reply up to its newline. Caller wipes (the answer to peer.add can hold keys) and frees. */
static char *read_line(int fd, size_t *len_out, const char **reason)
{
	size_t size = 8192;
	size_t len = 0;
	char *text = malloc(size);

	while (text) {
		ssize_t n = recv(fd, text + len, size - len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			*reason = n == 0 ? "it closed the connection" : strerror(errno);
			break;
		}
		len += (size_t)n;
		if (text[len - 1] == '\n') {
			*len_out = len;
			return text;
		}
		if (len == size) {
			char *grown = size < REPLY_LEN_MAX ? malloc(size * 2) : NULL;

			if (!grown) {
				*reason = "its answer is too long";
				break;
			}
			memcpy(grown, text, len);
			explicit_bzero(text, len);
			free(text);
			text = grown;
			size *= 2;
		}
	}
	if (text) {
		explicit_bzero(text, len);
		free(text);
	} else {
		*reason = "not enough memory";
	}
	return NULL;
}

/* Result or error out of the reply. */
static int open_reply(json_t *reply, json_t **result, json_t **error)
{
	json_t *why = json_object_get(reply, "error");
	const char *code = json_string_value(json_object_get(why, "code"));

	*result = json_incref(json_object_get(reply, "result"));
	if (*result)
		return WEIR_DONE;
	*error = json_incref(why);
	return code && strcmp(code, "bad_argument") == 0 ? WEIR_USAGE : WEIR_REFUSED;
}

int weir_ask(const char *socket_path, const char *method, json_t *params, json_t **result,
             json_t **error, char *why, size_t why_len)
{
	json_t *request = json_pack("{s:i, s:s, s:O}", "id", 1, "method", method, "params", params);
	char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	const char *reason = "not enough memory";
	char *line = NULL;
	size_t len = 0;
	json_t *reply;
	int fd = -1;
	int r;

	*result = NULL;
	*error = NULL;
	json_decref(request);
	r = text ? dial(socket_path, &fd, why, why_len)
	         : unreachable(why, why_len, socket_path, reason);
	if (r != WEIR_DONE) {
		free(text);
		return r;
	}
	/* A hub that refuses a client says so and closes, perhaps before the question is out: its
	 * answer is there to be read all the same. */
	if (!write_all(fd, text, strlen(text)) || !write_all(fd, "\n", 1))
		reason = strerror(errno);
	line = read_line(fd, &len, &reason);
	close(fd);
	free(text);
	if (!line)
		return unreachable(why, why_len, socket_path, reason);
	reply = json_loadb(line, len, 0, NULL);
	explicit_bzero(line, len);
	free(line);
	r = json_is_object(json_object_get(reply, "result"))
	                    || json_is_object(json_object_get(reply, "error"))
	            ? open_reply(reply, result, error)
	            : unreachable(why, why_len, socket_path, "its answer is not that of a hub");
	json_decref(reply);
	return r;
}

int weir_ask_pages(const char *socket_path, const struct weir_command *command, json_t *params,
                   json_t **result, json_t **error, char *why, size_t why_len)
{
	json_t *all = NULL;
	int r;

	if (json_object_get(params, "limit"))
		return weir_ask(socket_path, command->method, params, result, error, why, why_len);
	json_object_set_new(params, "limit", json_integer(PAGE_LEN));
	for (;;) {
		const char *next;

		r = weir_ask(socket_path, command->method, params, result, error, why, why_len);
		if (r != WEIR_DONE)
			break;
		if (all)
			json_array_extend(all, json_object_get(*result, command->pages));
		else
			all = json_incref(json_object_get(*result, command->pages));
		next = json_string_value(json_object_get(*result, "next"));
		if (!next || !all) {
			json_object_set(*result, command->pages, all);
			break;
		}
		json_object_set_new(params, "cursor", json_string(next));
		json_decref(*result);
	}
	json_decref(all);
	return r;
}

/* One TCP connection, plain or TLS, as two bounded buffers. */
#include "edge_stream.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECORD_MAX 16384 /* bytes of one TLS record */

static void stream_fail(struct edge_stream *stream, int error)
{
	if (stream->error == 0)
		stream->error = error != 0 ? error : EPROTO;
}

static void connect_check(struct edge_stream *stream)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	if (error != 0)
		stream_fail(stream, error);
	else
		stream->is_ready = true;
}

/* What an SSL call that did not succeed means. Returns true when it is over for good. */
static bool tls_is_fatal(struct edge_stream *stream, int result)
{
	int why = SSL_get_error(stream->ssl, result);
	int error = errno;

	ERR_clear_error();
	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
		return false;
	stream_fail(stream, why == SSL_ERROR_SYSCALL ? error : EPROTO);
	return true;
}

static void tls_handshake(struct edge_stream *stream)
{
	int result;

	ERR_clear_error();
	errno = 0;
	result = SSL_do_handshake(stream->ssl);
	if (result == 1) {
		stream->is_ready = true;
		stream->read_wants_write = false;
		return;
	}
	stream->read_wants_write = SSL_want_write(stream->ssl);
	(void)tls_is_fatal(stream, result);
}

static void plain_write(struct edge_stream *stream)
{
	while (evbuffer_get_length(stream->out) > 0) {
		if (evbuffer_write(stream->out, stream->fd) >= 0)
			continue;
		if (errno == EAGAIN) {
			stream->is_blocked = true;
			return;
		}
		if (errno == EINTR)
			continue;
		stream->is_out_failed = true;
		return;
	}
}

/* Records as large as there are bytes for; what blocks is tried again with the same bytes in
 * front, as OpenSSL demands. */
static void tls_write(struct edge_stream *stream)
{
	size_t len;

	while ((len = evbuffer_get_length(stream->out)) > 0) {
		size_t n = len < RECORD_MAX ? len : RECORD_MAX;
		unsigned char *data = evbuffer_pullup(stream->out, (ev_ssize_t)n);
		size_t written = 0;
		int result;

		if (data == NULL) {
			stream_fail(stream, ENOMEM);
			return;
		}
		ERR_clear_error();
		errno = 0;
		result = SSL_write_ex(stream->ssl, data, n, &written);
		if (result != 1) {
			stream->is_blocked = true;
			(void)tls_is_fatal(stream, result);
			return;
		}
		evbuffer_drain(stream->out, written);
	}
}

static void stream_write(struct edge_stream *stream)
{
	stream->is_blocked = false;
	if (stream->is_out_failed) {
		evbuffer_drain(stream->out, evbuffer_get_length(stream->out));
		return;
	}
	if (stream->ssl != NULL)
		tls_write(stream);
	else
		plain_write(stream);
	if (!stream->want_shut || stream->is_shut || stream->error != 0
	    || evbuffer_get_length(stream->out) > 0)
		return;
	if (stream->ssl != NULL)
		(void)SSL_shutdown(stream->ssl);
	ERR_clear_error();
	(void)shutdown(stream->fd, SHUT_WR); /* fails only when the peer is gone already */
	stream->is_shut = true;
}

static size_t stream_room(const struct edge_stream *stream)
{
	size_t used = evbuffer_get_length(stream->in);

	return used < EDGE_STREAM_BUFFER ? EDGE_STREAM_BUFFER - used : 0;
}

static void plain_read(struct edge_stream *stream)
{
	int n = evbuffer_read(stream->in, stream->fd, (int)stream_room(stream));

	if (n == 0)
		stream->is_ended = true;
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		stream_fail(stream, errno);
}

/* Through a buffer on the stack, so that small records are packed together in `in`. */
static void tls_read(struct edge_stream *stream)
{
	char record[RECORD_MAX];
	size_t room;

	stream->read_wants_write = false;
	while ((room = stream_room(stream)) > 0) {
		size_t n = 0;
		int result;

		ERR_clear_error();
		errno = 0;
		result = SSL_read_ex(stream->ssl, record, room < RECORD_MAX ? room : RECORD_MAX,
		                     &n);
		if (result != 1) {
			stream->read_wants_write = SSL_want_write(stream->ssl);
			if (SSL_get_error(stream->ssl, result) == SSL_ERROR_ZERO_RETURN)
				stream->is_ended = true;
			else
				(void)tls_is_fatal(stream, result);
			return;
		}
		if (evbuffer_add(stream->in, record, n) != 0) {
			stream_fail(stream, ENOMEM);
			return;
		}
	}
}

static void stream_read(struct edge_stream *stream)
{
	if (stream->is_ended || stream_room(stream) == 0)
		return;
	if (stream->ssl != NULL)
		tls_read(stream);
	else
		plain_read(stream);
}

static void stream_event(evutil_socket_t fd, short what, void *arg)
{
	struct edge_stream *stream = arg;

	(void)fd;
	if (!stream->is_ready && stream->ssl == NULL)
		connect_check(stream);
	else if (!stream->is_ready)
		tls_handshake(stream);
	if (stream->is_ready && stream->error == 0 && (what & EV_WRITE) != 0)
		stream_write(stream);
	if (stream->is_ready && stream->error == 0
	    && ((what & EV_READ) != 0 || stream->read_wants_write))
		stream_read(stream);
	stream->progress(stream->arg);
}

int edge_stream_open(struct edge_stream *stream, struct event_base *base, int fd, SSL *ssl,
                     edge_stream_fn *progress, void *arg)
{
	memset(stream, 0, sizeof(*stream));
	stream->fd = fd;
	stream->ssl = ssl;
	stream->progress = progress;
	stream->arg = arg;
	stream->in = evbuffer_new();
	stream->out = evbuffer_new();
	stream->is_open = true;
	event_assign(&stream->readable, base, fd, EV_READ | EV_PERSIST, stream_event, stream);
	event_assign(&stream->writable, base, fd, EV_WRITE | EV_PERSIST, stream_event, stream);
	if (stream->in == NULL || stream->out == NULL
	    || (ssl != NULL && SSL_set_fd(ssl, fd) != 1)) {
		ERR_clear_error();
		edge_stream_close(stream);
		return -ENOMEM;
	}
	return 0;
}

void edge_stream_close(struct edge_stream *stream)
{
	if (!stream->is_open)
		return;
	event_del(&stream->readable);
	event_del(&stream->writable);
	SSL_free(stream->ssl);
	close(stream->fd);
	if (stream->in != NULL)
		evbuffer_free(stream->in);
	if (stream->out != NULL)
		evbuffer_free(stream->out);
	memset(stream, 0, sizeof(*stream));
	stream->fd = -1;
}

void edge_stream_shut(struct edge_stream *stream)
{
	stream->want_shut = true;
}

void edge_stream_flush(struct edge_stream *stream)
{
	if (stream->is_open && stream->is_ready && stream->error == 0)
		stream_write(stream);
}

static void event_set(struct event *event, bool *is_added, bool wanted)
{
	if (wanted == *is_added)
		return;
	/* epoll_ctl can fail for want of kernel memory only; then the deadline ends the
	 * connection. */
	*is_added = wanted ? event_add(event, NULL) == 0 : false;
	if (!wanted)
		event_del(event);
}

static bool wants_to_write(const struct edge_stream *stream)
{
	if (evbuffer_get_length(stream->out) > 0)
		return true;
	return stream->want_shut && !stream->is_shut && !stream->is_out_failed;
}

void edge_stream_arm(struct edge_stream *stream)
{
	bool live = stream->is_open && stream->error == 0;
	bool read = false;
	bool write = false;

	if (!stream->is_open)
		return;
	if (live && !stream->is_ready) {
		write = stream->ssl == NULL || stream->read_wants_write;
		read = !write;
	} else if (live) {
		read = !stream->is_ended && stream_room(stream) > 0;
		write = stream->is_blocked || stream->read_wants_write;
	}
	event_set(&stream->readable, &stream->is_reading, read);
	event_set(&stream->writable, &stream->is_writing, write);
	if (!live || !stream->is_ready)
		return;
	/* Not known to block: try at once instead of asking epoll first. After event_set(), since
	 * event_del() takes back event_active(). */
	if (!write && wants_to_write(stream))
		event_active(&stream->writable, EV_WRITE, 0);
	/* Decrypted bytes wait inside OpenSSL; the socket will not announce them. */
	if (read && stream->ssl != NULL && SSL_pending(stream->ssl) > 0)
		event_active(&stream->readable, EV_READ, 0);
}

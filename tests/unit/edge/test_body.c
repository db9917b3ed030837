#include "edge_body.h"
#include "test.h"

#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>

struct flow {
	struct edge_body body;
	struct evbuffer *source;
	struct evbuffer *sink;
};

static void flow_open(struct flow *f, enum edge_framing from, uint64_t length, enum edge_framing to)
{
	assert_int_equal(edge_body_init(&f->body, from, length, to), 0);
	f->source = evbuffer_new();
	f->sink = evbuffer_new();
}

static void flow_close(struct flow *f)
{
	edge_body_fini(&f->body);
	evbuffer_free(f->source);
	evbuffer_free(f->sink);
}

static enum edge_body_verdict give(struct flow *f, const char *text, enum edge_source state)
{
	assert_int_equal(evbuffer_add(f->source, text, strlen(text)), 0);
	return edge_body_move(&f->body, f->source, state, f->sink, 65536);
}

static void holds(struct evbuffer *buffer, const char *text)
{
	size_t len = evbuffer_get_length(buffer);

	assert_int_equal(len, strlen(text));
	assert_memory_equal(evbuffer_pullup(buffer, -1), text, len);
}

static void body_of_a_length_ends_there_and_leaves_the_rest(void **state)
{
	struct flow f;

	(void)state;
	flow_open(&f, EDGE_FRAMING_LENGTH, 5, EDGE_FRAMING_LENGTH);
	assert_int_equal(give(&f, "abc", EDGE_SOURCE_OPEN), EDGE_BODY_MORE);
	assert_int_equal(give(&f, "deGET /", EDGE_SOURCE_OPEN), EDGE_BODY_DONE);
	holds(f.sink, "abcde");
	holds(f.source, "GET /");
	assert_int_equal(give(&f, "", EDGE_SOURCE_OPEN), EDGE_BODY_DONE);
	holds(f.sink, "abcde");
	flow_close(&f);
}

static void chunks_are_decoded_and_written_anew(void **state)
{
	struct flow f;

	(void)state;
	flow_open(&f, EDGE_FRAMING_CHUNKED, 0, EDGE_FRAMING_CHUNKED);
	assert_int_equal(give(&f, "003;e=\"v\"\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: t\r\n\r\nGET /",
	                      EDGE_SOURCE_OPEN),
	                 EDGE_BODY_DONE);
	holds(f.sink, "5\r\nabcde\r\n0\r\n\r\n");
	holds(f.source, "GET /");
	flow_close(&f);
}

static void empty_chunked_body_ends_at_once(void **state)
{
	struct flow f;

	(void)state;
	flow_open(&f, EDGE_FRAMING_CHUNKED, 0, EDGE_FRAMING_CHUNKED);
	assert_int_equal(give(&f, "0\r\n\r\nnext", EDGE_SOURCE_OPEN), EDGE_BODY_DONE);
	holds(f.sink, "0\r\n\r\n");
	holds(f.source, "next");
	flow_close(&f);
}

static void chunks_to_an_old_client_come_bare(void **state)
{
	struct flow f;

	(void)state;
	flow_open(&f, EDGE_FRAMING_CHUNKED, 0, EDGE_FRAMING_UNTIL_CLOSE);
	assert_int_equal(give(&f, "3\r\nabc\r\n0\r\n\r\n", EDGE_SOURCE_OPEN), EDGE_BODY_DONE);
	holds(f.sink, "abc");
	flow_close(&f);
}

static void body_until_close_ends_with_the_source(void **state)
{
	struct flow f;

	(void)state;
	flow_open(&f, EDGE_FRAMING_UNTIL_CLOSE, 0, EDGE_FRAMING_CHUNKED);
	assert_int_equal(give(&f, "abc", EDGE_SOURCE_OPEN), EDGE_BODY_MORE);
	assert_int_equal(give(&f, "", EDGE_SOURCE_ENDED), EDGE_BODY_DONE);
	holds(f.sink, "3\r\nabc\r\n0\r\n\r\n");
	flow_close(&f);
	flow_open(&f, EDGE_FRAMING_UNTIL_CLOSE, 0, EDGE_FRAMING_CHUNKED);
	assert_int_equal(give(&f, "abc", EDGE_SOURCE_BROKEN), EDGE_BODY_BAD);
	holds(f.sink, "3\r\nabc\r\n"); /* no last chunk: the client can tell */
	flow_close(&f);
}

static void bad_chunks_are_refused(void **state)
{
	static const char *const bad[] = {
		"x\r\n",
		"-1\r\na\r\n",
		"+1\r\na\r\n",
		" 1\r\na\r\n",
		"0x1\r\na\r\n",
		"1\na\r\n",
		"1\rXa\r\n",
		"1\r\nab\r\n0\r\n\r\n",
		"1\r\na0\r\n\r\n",
		"1\r\na\n0\r\n\r\n",
		"\r\n1\r\na\r\n",
		"ffffffffffffffffff\r\n",
		"10000000000000000\r\n",
		"0\r\nbad trailer\r\n\r\n",
		"0\r\n\n",
		"1\r\na\r\n0\r\nX: y\r\n\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct flow f;

		flow_open(&f, EDGE_FRAMING_CHUNKED, 0, EDGE_FRAMING_CHUNKED);
		if (give(&f, bad[i], EDGE_SOURCE_OPEN) != EDGE_BODY_BAD)
			fail_msg("case %zu passed: %s", i, bad[i]);
		flow_close(&f);
		flow_open(&f, EDGE_FRAMING_CHUNKED, 0, EDGE_FRAMING_CHUNKED);
		for (const char *c = bad[i]; *c != '\0'; c++) /* byte by byte */
			if (give(&f, (char[]){*c, '\0'}, EDGE_SOURCE_OPEN) == EDGE_BODY_DONE)
				fail_msg("case %zu passed byte by byte: %s", i, bad[i]);
		flow_close(&f);
	}
}

static void a_source_that_ends_early_is_bad(void **state)
{
	struct flow f;

	(void)state;
	flow_open(&f, EDGE_FRAMING_LENGTH, 5, EDGE_FRAMING_LENGTH);
	assert_int_equal(give(&f, "abcd", EDGE_SOURCE_ENDED), EDGE_BODY_BAD);
	flow_close(&f);
	flow_open(&f, EDGE_FRAMING_CHUNKED, 0, EDGE_FRAMING_CHUNKED);
	assert_int_equal(give(&f, "5\r\nabcde\r\n0\r\n", EDGE_SOURCE_ENDED), EDGE_BODY_BAD);
	flow_close(&f);
}

static void endless_extensions_and_trailers_are_refused(void **state)
{
	static const char *const starts[] = {"1;e=", "0\r\nX: "};
	char *fill = malloc(20001);

	(void)state;
	memset(fill, 'a', 20000);
	fill[20000] = '\0';
	for (size_t i = 0; i < 2; i++) {
		struct flow f;

		flow_open(&f, EDGE_FRAMING_CHUNKED, 0, EDGE_FRAMING_CHUNKED);
		assert_int_equal(give(&f, starts[i], EDGE_SOURCE_OPEN), EDGE_BODY_MORE);
		assert_int_equal(give(&f, fill, EDGE_SOURCE_OPEN), EDGE_BODY_BAD);
		flow_close(&f);
	}
	free(fill);
}

static void a_full_sink_stops_the_source(void **state)
{
	char *fill = malloc(100001);
	struct flow f;

	(void)state;
	memset(fill, 'a', 100000);
	fill[100000] = '\0';
	flow_open(&f, EDGE_FRAMING_UNTIL_CLOSE, 0, EDGE_FRAMING_CHUNKED);
	assert_int_equal(give(&f, fill, EDGE_SOURCE_OPEN), EDGE_BODY_MORE);
	assert_in_range(evbuffer_get_length(f.sink), 65536, 65536 + 32);
	assert_int_equal(evbuffer_get_length(f.source), 100000 - 65536);
	assert_int_equal(give(&f, "", EDGE_SOURCE_OPEN), EDGE_BODY_MORE);
	assert_int_equal(evbuffer_get_length(f.source), 100000 - 65536);
	evbuffer_drain(f.sink, evbuffer_get_length(f.sink));
	assert_int_equal(give(&f, "", EDGE_SOURCE_ENDED), EDGE_BODY_DONE);
	flow_close(&f);
	free(fill);
}

/* Decode what edge_body wrote, the plain way. Returns the length, or (size_t)-1. */
static size_t dumb_decode(const char *text, char *out)
{
	size_t n = 0;

	for (;;) {
		char *end;
		size_t len = strtoul(text, &end, 16);

		if (strncmp(end, "\r\n", 2) != 0)
			return (size_t)-1;
		if (len == 0)
			return strcmp(end, "\r\n\r\n") == 0 ? n : (size_t)-1;
		memcpy(out + n, end + 2, len);
		n += len;
		text = end + 2 + len;
		if (strncmp(text, "\r\n", 2) != 0)
			return (size_t)-1;
		text += 2;
	}
}

static void random_chunks_write(struct evbuffer *wire, const char *body, size_t len,
                                unsigned int *seed)
{
	for (size_t at = 0; at < len;) {
		size_t n = 1 + (size_t)rand_r(seed) % 200;

		n = n < len - at ? n : len - at;
		if (rand_r(seed) % 2)
			evbuffer_add_printf(wire, "%zX;a=b\r\n", n);
		else
			evbuffer_add_printf(wire, "%04zx\r\n", n);
		evbuffer_add(wire, body + at, n);
		evbuffer_add(wire, "\r\n", 2);
		at += n;
	}
	evbuffer_add_printf(wire, "0\r\n\r\nbehind");
}

/* Random bodies in random chunks, arriving in random pieces, leaving through a small sink: what
 * comes out is what went in, and the bytes behind stay. */
static void random_chunking_keeps_every_byte(void **state)
{
	unsigned int seed = 4711;

	(void)state;
	print_message("# seed %u\n", seed);
	for (int round = 0; round < 300; round++) {
		struct evbuffer *wire = evbuffer_new();
		struct evbuffer *result = evbuffer_new();
		size_t len = (size_t)rand_r(&seed) % 3000;
		size_t limit = 16 + (size_t)rand_r(&seed) % 300;
		enum edge_body_verdict verdict = EDGE_BODY_MORE;
		char body[3000];
		char decoded[4000];
		struct flow f;

		for (size_t i = 0; i < len; i++)
			body[i] = (char)('a' + rand_r(&seed) % 26);
		random_chunks_write(wire, body, len, &seed);
		flow_open(&f, EDGE_FRAMING_CHUNKED, 0, EDGE_FRAMING_CHUNKED);
		for (int guard = 0; verdict == EDGE_BODY_MORE && guard < 100000; guard++) {
			evbuffer_remove_buffer(wire, f.source, 1 + (size_t)rand_r(&seed) % 60);
			verdict = edge_body_move(&f.body, f.source, EDGE_SOURCE_OPEN, f.sink,
			                         limit);
			assert_true(evbuffer_get_length(f.sink) <= limit + 32);
			evbuffer_remove_buffer(f.sink, result, (size_t)rand_r(&seed) % 100);
		}
		assert_int_equal(verdict, EDGE_BODY_DONE);
		evbuffer_add_buffer(result, f.sink);
		evbuffer_add(result, "", 1);
		assert_int_equal(dumb_decode((char *)evbuffer_pullup(result, -1), decoded), len);
		assert_memory_equal(decoded, body, len);
		evbuffer_add_buffer(f.source, wire);
		holds(f.source, "behind");
		flow_close(&f);
		evbuffer_free(wire);
		evbuffer_free(result);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(body_of_a_length_ends_there_and_leaves_the_rest),
		cmocka_unit_test(chunks_are_decoded_and_written_anew),
		cmocka_unit_test(empty_chunked_body_ends_at_once),
		cmocka_unit_test(chunks_to_an_old_client_come_bare),
		cmocka_unit_test(body_until_close_ends_with_the_source),
		cmocka_unit_test(bad_chunks_are_refused),
		cmocka_unit_test(a_source_that_ends_early_is_bad),
		cmocka_unit_test(endless_extensions_and_trailers_are_refused),
		cmocka_unit_test(a_full_sink_stops_the_source),
		cmocka_unit_test(random_chunking_keeps_every_byte),
	};

	return cmocka_run_group_tests_name("edge_body", tests, NULL, NULL);
}

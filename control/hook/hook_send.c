/* One POST with libcurl. */
#include "hook_private.h"

#include <curl/curl.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_TIMEOUT_MS 5000L
#define TIMEOUT_MS         10000L

struct hook_sender {
	CURL *curl;
	struct curl_slist *headers;
	const atomic_bool *stop;
	char why[CURL_ERROR_SIZE];
};

/* What it answers is nobody's business. */
static size_t discard(char *data, size_t size, size_t n, void *arg)
{
	(void)data;
	(void)arg;
	return size * n;
}

static int on_progress(void *arg, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                       curl_off_t up)
{
	const struct hook_sender *sender = arg;

	(void)down_total;
	(void)down;
	(void)up_total;
	(void)up;
	return atomic_load(sender->stop) ? 1 : 0;
}

/* These and no other. */
static bool ca_set(CURL *curl, const char *ca_pem)
{
	struct curl_blob blob = {.flags = CURL_BLOB_COPY};

	if (!ca_pem)
		return true;
	blob.data = (void *)(uintptr_t)ca_pem; /* copied, not changed */
	blob.len = strlen(ca_pem);
	return curl_easy_setopt(curl, CURLOPT_CAINFO_BLOB, &blob) == CURLE_OK
	       && curl_easy_setopt(curl, CURLOPT_CAPATH, NULL) == CURLE_OK;
}

/* CURLOPT_QUICK_EXIT: getaddrinfo() cannot be told to stop, and libcurl calls it in a thread of its own. Without this
 * the end of a post joins that thread, which a silent resolver keeps for 10 s and more; with it the thread is
 * detached and goes on alone. It holds nothing of ours or of the handle's: the name and what it is to answer are in
 * memory that whoever of the two comes last frees (a flag under libcurl's mutex), it logs nothing, it has the hook
 * thread's signal mask (all blocked), and the end of the process ends it. Each post that gives up after
 * CONNECT_TIMEOUT_MS may leave one behind for as long as resolv.conf makes getaddrinfo() try; since the pauses between
 * posts grow to a minute, that is a handful at most. */
static bool set_up(struct hook_sender *sender, const char *url, const char *ca_pem)
{
	CURL *curl = sender->curl;

	return curl_easy_setopt(curl, CURLOPT_URL, url) == CURLE_OK
	       && curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https") == CURLE_OK
	       && curl_easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK
	       && curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK
	       && curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK
	       && ca_set(curl, ca_pem)
	       && curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK
	       && curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK
	       && curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK
	       && curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS) == CURLE_OK
	       && curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, TIMEOUT_MS) == CURLE_OK
	       && curl_easy_setopt(curl, CURLOPT_HTTPHEADER, sender->headers) == CURLE_OK
	       && curl_easy_setopt(curl, CURLOPT_USERAGENT, "weir") == CURLE_OK
	       && curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, discard) == CURLE_OK
	       && curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L) == CURLE_OK
	       && curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress) == CURLE_OK
	       && curl_easy_setopt(curl, CURLOPT_XFERINFODATA, sender) == CURLE_OK
	       && curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, sender->why) == CURLE_OK;
}

struct hook_sender *hook__sender_create(const char *url, const char *ca_pem,
                                        const atomic_bool *stop)
{
	struct hook_sender *sender = calloc(1, sizeof(*sender));

	if (!sender)
		return NULL;
	sender->stop = stop;
	sender->headers = curl_slist_append(NULL, "Content-Type: application/x-ndjson");
	sender->curl = curl_easy_init();
	if (sender->headers && sender->curl && set_up(sender, url, ca_pem))
		return sender;
	hook__sender_destroy(sender);
	return NULL;
}

void hook__sender_destroy(struct hook_sender *sender)
{
	if (!sender)
		return;
	curl_easy_cleanup(sender->curl);
	curl_slist_free_all(sender->headers);
	free(sender);
}

static enum hook_verdict judge(long status)
{
	if (status >= 200 && status < 300)
		return HOOK_TAKEN;
	return status >= 500 || status == 408 || status == 429 ? HOOK_AGAIN : HOOK_REFUSED;
}

enum hook_verdict hook__send(struct hook_sender *sender, const char *body, size_t body_len,
                             char *why, size_t len)
{
	long status = 0;
	CURLcode code;

	sender->why[0] = '\0';
	if (curl_easy_setopt(sender->curl, CURLOPT_POSTFIELDS, body) != CURLE_OK
	    || curl_easy_setopt(sender->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body_len)
	               != CURLE_OK) {
		snprintf(why, len, "not enough memory");
		return HOOK_AGAIN;
	}
	code = curl_easy_perform(sender->curl);
	if (code == CURLE_OK)
		code = curl_easy_getinfo(sender->curl, CURLINFO_RESPONSE_CODE, &status);
	if (code != CURLE_OK) {
		snprintf(why, len, "%s", sender->why[0] ? sender->why : curl_easy_strerror(code));
		return HOOK_AGAIN;
	}
	snprintf(why, len, "status %ld", status);
	return judge(status);
}

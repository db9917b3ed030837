/* Mapping, publishing, and waiting for the workers. */
#include "blob.h"

#include "base_hugepage.h"
#include "base_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define RETIRED_MAX 4U /* of one kind: more only if a worker hangs */

/* One that was taken out of use; blob is NULL when there was none before. */
struct retired {
	struct state_blob *blob;
	uint64_t token;
};

struct kind {
	struct state_blob *current;
	struct retired retired[RETIRED_MAX];
	uint32_t n_retired;
	/* the answer to the last that came: due when token has passed, or at once when it was refused */
	struct abi_blob_message answer;
	bool has_answer;
	uint64_t token;
};

struct blob_store {
	struct state_blobs *published;
	struct state_routes *routes;
	struct kind kinds[ABI_N_BLOBS];
	bool has_warned; /* of small pages */
};

int blob_store_create(struct state_blobs *published, struct state_routes *routes,
                      struct blob_store **out)
{
	struct blob_store *store = calloc(1, sizeof(*store));

	if (!store)
		return -ENOMEM;
	store->published = published;
	store->routes = routes;
	*out = store;
	return 0;
}

static void free_blob(struct state_blob *blob)
{
	if (!blob)
		return;
	(void)munmap(blob->data, blob->map_len);
	free(blob);
}

void blob_store_destroy(struct blob_store *store)
{
	if (!store)
		return;
	for (uint32_t i = 0; i < ABI_N_BLOBS; i++) {
		struct kind *kind = &store->kinds[i];

		__atomic_store_n(&store->published->current[i], NULL, __ATOMIC_RELEASE);
		for (uint32_t j = 0; j < kind->n_retired; j++)
			free_blob(kind->retired[j].blob);
		free_blob(kind->current);
	}
	free(store);
}

/* ---- taking one in ------------------------------------------------------------------------------- */

#define REFUSE(err, ...) (snprintf(why, why_len, __VA_ARGS__), -(err))

/* The memfd itself: nobody can change its size under our hands, nor its content if that is promised. */
static int check_file(const struct blob_kind *kind, int fd, size_t *len, char *why, size_t why_len)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (!kind->check)
		return REFUSE(ENOTSUP, "this dataplane knows no such blob");
	if (seals < 0 || fstat(fd, &st) != 0)
		return REFUSE(EBADF, "not a memfd (%s)", strerror(errno));
	if ((seals & kind->seals) != kind->seals)
		return REFUSE(EPERM, "not sealed (seals 0x%x, need 0x%x)", (unsigned int)seals,
		              (unsigned int)kind->seals);
	if (st.st_size <= 0 || (uint64_t)st.st_size > kind->len_max)
		return REFUSE(EFBIG, "%lld bytes, expected 1 to %zu", (long long)st.st_size,
		              kind->len_max);
	*len = (size_t)st.st_size;
	return 0;
}

/* From here on tables are copied: half of a large page. What is smaller fits the small ones that a CPU
 * knows by heart. */
#define COPY_MIN (BASE_HUGEPAGE_LEN / 2)

/* The memfd's small pages, populated, so that no worker waits for one. */
static int map_file(const struct blob_kind *kind, int fd, struct state_blob *blob)
{
	void *data = mmap(NULL, blob->len, PROT_READ | (kind->is_written ? PROT_WRITE : 0),
	                  MAP_POPULATE | (kind->is_written ? MAP_SHARED : MAP_PRIVATE), fd, 0);

	if (data == MAP_FAILED)
		return -errno;
	blob->data = data;
	blob->map_len = blob->len;
	return 0;
}

/* A copy of our own, in large pages: a look-up at random in a table of small ones waits for the page as
 * well as for its line, and a memfd has large ones only of a pool, or where root lets them be. It costs
 * the table's length once more, and reading it once, here where no packet waits. */
static int copy_file(int fd, struct state_blob *blob)
{
	size_t map_len = blob->len;
	uint8_t *data = base_hugepage_map(&map_len);
	size_t done = 0;

	if (!data)
		return -ENOMEM;
	while (done < blob->len) {
		ssize_t n = pread(fd, data + done, blob->len - done, (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			int err = n < 0 ? -errno : -EIO;

			(void)munmap(data, map_len);
			return err;
		}
		done += (size_t)n;
	}
	(void)mprotect(data, map_len, PROT_READ);
	blob->data = data;
	blob->map_len = map_len;
	return 0;
}

static int map_blob(const struct blob_kind *kind, int fd, struct state_blob *blob, char *why,
                    size_t why_len)
{
	bool is_copied = !kind->is_written && blob->len >= COPY_MIN;
	int err = is_copied ? copy_file(fd, blob) : map_file(kind, fd, blob);
	const char *wrong;

	if (err < 0)
		return REFUSE(-err, "cannot be mapped (%s)", strerror(-err));
	wrong = kind->check(blob->data, blob->len);
	if (wrong) {
		(void)munmap(blob->data, blob->map_len);
		return REFUSE(EPROTO, "malformed: %s", wrong);
	}
	blob->hash = kind->is_written ? 0 : abi_blob_hash(blob->data, blob->len);
	return 0;
}

static int make_blob(const struct blob_kind *kind, const struct abi_blob_message *message, int fd,
                     struct state_blob **out, char *why, size_t why_len)
{
	struct state_blob *blob = calloc(1, sizeof(*blob));
	int r;

	if (!blob)
		return REFUSE(ENOMEM, "out of memory");
	blob->generation = message->generation;
	r = check_file(kind, fd, &blob->len, why, why_len);
	if (r == 0)
		r = map_blob(kind, fd, blob, why, why_len);
	if (r == 0)
		*out = blob;
	else
		free(blob);
	return r;
}

/* What workers remember of a table they remember by its generation: two of one generation would be
 * taken for one. */
static int check_generation(const struct kind *kind, const struct state_blob *blob, char *why,
                            size_t why_len)
{
	if (blob->generation == 0)
		return REFUSE(EINVAL, "generation 0");
	if (kind->current && kind->current->generation == blob->generation
	    && kind->current->hash != blob->hash)
		return REFUSE(EEXIST, "generation %llu is in force with another content",
		              (unsigned long long)blob->generation);
	return 0;
}

#undef REFUSE

static void publish(struct blob_store *store, uint32_t number, struct state_blob *blob)
{
	struct kind *kind = &store->kinds[number];

	__atomic_store_n(&store->published->current[number], blob, __ATOMIC_RELEASE);
	kind->token = state_route_grace(store->routes);
	if (kind->current)
		kind->retired[kind->n_retired++] = (struct retired){kind->current, kind->token};
	kind->current = blob;
}

/* Once: it is so until somebody changes the machine. */
static void warn_of_small_pages(struct blob_store *store, const struct state_blob *blob)
{
	if (store->has_warned || blob->len < COPY_MIN || base_hugepage_is_transparent())
		return;
	store->has_warned = true;
	log_warn("blob", "large tables lie in small pages, which makes look-ups slower: "
	                 "let /sys/kernel/mm/transparent_hugepage/enabled be madvise");
}

/* Returns 0, or -errno and why. */
static int take(struct blob_store *store, const struct abi_blob_message *message, int fd, char *why,
                size_t why_len)
{
	struct kind *kind = &store->kinds[message->kind];
	struct state_blob *blob = NULL;
	int r;

	if (kind->n_retired == RETIRED_MAX) {
		snprintf(why, why_len, "a worker has not moved since several others");
		return -EBUSY;
	}
	if (fd >= 0) {
		r = make_blob(&blob_kinds[message->kind], message, fd, &blob, why, why_len);
		if (r == 0)
			r = check_generation(kind, blob, why, why_len);
		if (r < 0) {
			free_blob(blob);
			return r;
		}
		warn_of_small_pages(store, blob);
	}
	publish(store, message->kind, blob);
	return 0;
}

void blob_store_put(struct blob_store *store, const struct abi_blob_message *message, int fd)
{
	struct kind *kind = &store->kinds[message->kind];
	const char *name = blob_kinds[message->kind].name;
	int r;

	kind->answer = (struct abi_blob_message){
		.kind = message->kind,
		.generation = message->generation,
	};
	r = take(store, message, fd, kind->answer.reason, sizeof(kind->answer.reason));
	kind->answer.err = (uint32_t)-r;
	kind->has_answer = true;
	if (r < 0)
		log_err("blob",
		        "refused, the one before stays in force kind=%s generation=%llu: %s", name,
		        (unsigned long long)message->generation, kind->answer.reason);
	else if (kind->current)
		log_info("blob", "taken over kind=%s generation=%llu len=%zu", name,
		         (unsigned long long)message->generation, kind->current->len);
	if (fd >= 0)
		close(fd);
}

/* ---- waiting for the workers --------------------------------------------------------------------- */

static void free_retired(struct blob_store *store, struct kind *kind)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < kind->n_retired; i++) {
		if (state_route_grace_passed(store->routes, kind->retired[i].token))
			free_blob(kind->retired[i].blob);
		else
			kind->retired[n++] = kind->retired[i];
	}
	kind->n_retired = n;
}

bool blob_store_answer(struct blob_store *store, struct abi_blob_message *out)
{
	for (uint32_t i = 0; i < ABI_N_BLOBS; i++) {
		struct kind *kind = &store->kinds[i];

		free_retired(store, kind);
		if (!kind->has_answer
		    || (kind->answer.err == 0
		        && !state_route_grace_passed(store->routes, kind->token)))
			continue;
		kind->has_answer = false;
		*out = kind->answer;
		return true;
	}
	return false;
}

bool blob_store_waits(const struct blob_store *store)
{
	for (uint32_t i = 0; i < ABI_N_BLOBS; i++)
		if (store->kinds[i].has_answer || store->kinds[i].n_retired > 0)
			return true;
	return false;
}

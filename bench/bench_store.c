/* Tables as workers have them. */
#include "bench_store.h"

#include "base_log.h"

#include <errno.h>

int bench_store_init(struct bench_store *store)
{
	int err = state_routes_create(1, 16, &store->routes);

	base_log_init("weir-bench", BASE_LOG_WARN);
	if (err == 0)
		err = blob_store_create(&store->published, store->routes, &store->blobs);
	if (err == 0)
		state_route_online(store->routes, 0);
	return err;
}

void bench_store_fini(struct bench_store *store)
{
	blob_store_destroy(store->blobs);
	state_routes_destroy(store->routes);
	*store = (struct bench_store){.generation = store->generation};
}

int bench_store_put(struct bench_store *store, enum abi_blob kind, const void *data, size_t len,
                    const struct state_blob **out)
{
	struct abi_blob_message message = {.kind = kind, .generation = ++store->generation};
	struct abi_blob_message answer = {0};
	const struct state_blob *blob;
	int fd = abi_blob_make("bench", data, len);

	if (fd < 0)
		return fd;
	blob_store_put(store->blobs, &message, fd);
	state_route_quiet(store->routes, 0);
	if (!blob_store_answer(store->blobs, &answer) || answer.err != 0)
		return -EINVAL;
	blob = state_blob_get(&store->published, kind);
	if (!blob || blob->generation != store->generation)
		return -EINVAL;
	if (out)
		*out = blob;
	return 0;
}

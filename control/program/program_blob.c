/* Tables handed over whole: desired state of another kind. One a kind is under way at a time, so that of
 * many changes in a row the dataplane sees the first and the last. */
#include "base_bytes.h"
#include "base_time.h"
#include "program_private.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *const names[ABI_N_BLOBS] = {
	[ABI_BLOB_POLICY] = "policy",
	[ABI_BLOB_BLOCK] = "block",
	[ABI_BLOB_CAPTURE] = "capture",
};

void program__blob_init(struct program *program)
{
	for (uint32_t i = 0; i < ABI_N_BLOBS; i++)
		program->blobs[i].fd = -1;
}

void program__blob_fini(struct program *program)
{
	for (uint32_t i = 0; i < ABI_N_BLOBS; i++)
		if (program->blobs[i].fd >= 0)
			close(program->blobs[i].fd);
	program__blob_init(program);
}

/* ---- down ---------------------------------------------------------------------------------------- */

/* Send what is due of each kind. A connection that takes nothing is given up: the dataplane comes again,
 * and gets everything anew. Not here, since an event may have led here that is still in its ring, and the end
 * of a connection hears all that are: on_connection() is told of the end as of any other. */
static void send_due(struct program *program)
{
	for (uint32_t i = 0; i < ABI_N_BLOBS && program->is_attached; i++) {
		struct program_blob *blob = &program->blobs[i];
		struct abi_blob_message message = {.kind = i, .generation = blob->generation};
		int err;

		if (!blob->is_due || blob->is_out)
			continue;
		err = abi_blob_send(program->connection, &message, blob->fd);
		if (err != 0) {
			log_warn("program", "blob not sent, dropping the dataplane kind=%s err=%s",
			         names[i], strerror(-err));
			(void)shutdown(program->connection, SHUT_RDWR);
			return;
		}
		blob->is_due = false;
		blob->is_out = true;
		blob->sent_generation = blob->generation;
	}
}

static int set(struct program *program, enum abi_blob kind, int fd, uint64_t generation,
               uint64_t hash)
{
	struct program_blob *blob;

	if ((unsigned int)kind >= ABI_N_BLOBS || (fd >= 0 && generation == 0)) {
		if (fd >= 0)
			close(fd);
		return -EINVAL;
	}
	blob = &program->blobs[kind];
	if (blob->fd >= 0)
		close(blob->fd);
	blob->fd = fd;
	blob->generation = fd >= 0 ? generation : 0;
	blob->hash = fd >= 0 ? hash : 0;
	blob->is_due = true;
	send_due(program);
	return 0;
}

int program_blob_set(struct program *program, enum abi_blob kind, int fd, uint64_t generation)
{
	return set(program, kind, fd, generation, 0);
}

int program_blob_write(struct program *program, enum abi_blob kind, const void *data, size_t len,
                       uint64_t generation)
{
	int fd;

	if ((unsigned int)kind >= ABI_N_BLOBS || generation == 0)
		return -EINVAL;
	fd = abi_blob_make(names[kind], data, len);
	return fd < 0 ? fd : set(program, kind, fd, generation, abi_blob_hash(data, len));
}

/* All of them, also those of which we have none: the dataplane may have one of the last control's. */
void program__blob_attach(struct program *program)
{
	for (uint32_t i = 0; i < ABI_N_BLOBS; i++) {
		program->blobs[i].is_due = true;
		program->blobs[i].is_out = false;
	}
	send_due(program);
}

/* ---- up ------------------------------------------------------------------------------------------ */

static void hear(struct program *program, const struct abi_blob_message *answer)
{
	struct program_blob *blob = &program->blobs[answer->kind];

	/* of a connection before this one */
	if (!blob->is_out || answer->generation != blob->sent_generation)
		return;
	blob->is_out = false;
	blob->answered_ns = base_time_monotonic_ns();
	if (answer->err != 0) {
		program_count(program, ABI_COUNTER_BLOB_REFUSED, 1);
		log_err("program",
		        "dataplane refused a blob and goes on with the one before kind=%s "
		        "generation=%llu: %s",
		        names[answer->kind], (unsigned long long)answer->generation,
		        answer->reason);
	}
	if (program->events.blob_done != NULL)
		program->events.blob_done(program->events.arg, (enum abi_blob)answer->kind,
		                          answer->generation, (int)answer->err, answer->reason);
}

int program__blob_receive(struct program *program)
{
	struct abi_blob_message answer;
	int fd;
	int err;

	while ((err = abi_blob_receive(program->connection, &answer, &fd)) == 0) {
		if (fd >= 0) /* an answer has none */
			close(fd);
		if (program->is_attached)
			hear(program, &answer);
		if (program->connection < 0) /* the callee dropped it */
			return 0;
	}
	if (err != -EAGAIN && err != -EINTR)
		return err;
	send_due(program);
	return 0;
}

/* ---- is it so? ----------------------------------------------------------------------------------- */

bool program__blob_is_moving(const struct program *program, enum abi_blob kind, uint64_t since_ns)
{
	const struct program_blob *blob = &program->blobs[kind];

	return blob->is_due || blob->is_out || blob->answered_ns >= since_ns;
}

bool program__blob_compare(const struct program *program, enum abi_blob kind, uint32_t worker,
                           struct program_finding *finding)
{
	const struct program_blob *blob = &program->blobs[kind];
	const struct abi_blob_status *used =
		&abi_region_worker_status(&program->region, worker)->blobs[kind];
	uint64_t generation = __atomic_load_n(&used->generation, __ATOMIC_ACQUIRE);
	uint64_t hash = __atomic_load_n(&used->hash, __ATOMIC_RELAXED);

	*finding = (struct program_finding){
		.worker = worker,
		.peer = ABI_PEER_NONE,
		.type = PROGRAM_FINDING_BLOB,
		.has_wanted = blob->fd >= 0,
		.has_found = generation != 0,
		.wanted.blob = {.kind = kind, .generation = blob->generation, .hash = blob->hash},
		.found.blob = {.kind = kind, .generation = generation, .hash = hash},
	};
	return generation == blob->generation && hash == blob->hash;
}

void program__blob_repeat(struct program *program, enum abi_blob kind)
{
	program->blobs[kind].is_due |= !program->blobs[kind].is_out;
	send_due(program);
}

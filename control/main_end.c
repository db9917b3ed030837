/* Reverse order of making. */
#include "main_end.h"

#include "abi_rendezvous.h"
#include "base_bytes.h"
#include "config.h"
#include "edge.h"
#include "hook.h"
#include "hub_key.h"
#include "kernel.h"
#include "main_start.h"
#include "model.h"
#include "peer.h"
#include "program.h"
#include "resolve.h"
#include "serve.h"
#include "session.h"
#include "store.h"
#include "takeover.h"
#include "uapi.h"
#include "watch.h"

#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

static void close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* What is NULL was not made, or has ended already. */
static void hub_end(struct control *control, bool keeps_devices)
{
	uapi_destroy(control->uapi);
	close_one(&control->uapi_fd);
	serve_destroy(control->serve);
	model_destroy(control->model);
	hook_destroy(control->hook);
	close_one(&control->serve_fd);
	kernel_mirror_destroy(control->kernel);
	watch_destroy(control->watch);
	if (control->peers != NULL)
		peer_table_destroy(control->peers);
	resolve_destroy(control->resolve);
	hub_key_destroy(control->hub_key);
	session_destroy(control->sessions);
	store_close(control->store);
	if (control->devices_made && !keeps_devices)
		kernel_devices_destroy(control->config);
	abi_fds_close(&control->devices);
	program_destroy(control->program);
	control->uapi = NULL;
	control->serve = NULL;
	control->model = NULL;
	control->hook = NULL;
	control->kernel = NULL;
	control->watch = NULL;
	control->peers = NULL;
	control->resolve = NULL;
	control->sessions = NULL;
	control->hub_key = NULL;
	control->store = NULL;
	control->program = NULL;
	control->devices_made = false;
}

void main_end_hub(struct control *control)
{
	hub_end(control, true);
}

void main_end(struct control *control, bool started)
{
	takeover_destroy(control->takeover);
	hub_end(control,
	        started && control->program != NULL && program_is_attached(control->program));
	if (control->edge != NULL)
		edge_destroy(control->edge);
	takeover_gift_fini(&control->gift);
	if (control->handover_timer != NULL)
		event_free(control->handover_timer);
	for (size_t i = 0; i < BASE_ARRAY_LEN(control->signals); i++)
		if (control->signals[i] != NULL)
			event_free(control->signals[i]);
	if (control->base != NULL)
		event_base_free(control->base);
	free(control->hook_ca);
	base_wipe(control->private_key, sizeof(control->private_key));
	config_unload(control->config);
}

/* Noting events, with their limits. */
#include "state_event.h"

#include "state.h"

void state_event_session(struct state *st, struct state_session *session, uint32_t bit)
{
	struct state_events *events = &st->events;
	bool listed = session->events != 0;

	session->events |= bit;
	/* When the list is full the scan lists the session again. */
	if (!listed && events->n_slots < STATE_EVENT_SLOTS_MAX)
		events->slots[events->n_slots++] = abi_index_slot(session->index);
}

static void add_note(struct state *st, const struct state_note *note)
{
	if (st->events.n_notes == STATE_EVENT_NOTES_MAX) {
		state_count(st, ABI_COUNTER_EVENT_LOST, 1);
		return;
	}
	st->events.notes[st->events.n_notes++] = *note;
}

void state_event_wanted(struct state *st, uint32_t peer)
{
	struct state_peer *entry = &st->peers[peer];

	if (entry->wanted_ns != 0 && st->now_ns < entry->wanted_ns + STATE_EVENT_AGAIN_NS)
		return;
	entry->wanted_ns = st->now_ns;
	entry->is_given_up = 0;
	add_note(st, &(struct state_note){.type = ABI_EVENT_SESSION_WANTED,
	                                  .session = {.index = ABI_INDEX_NONE, .peer = peer}});
}

/* FNV-1a. */
static uint32_t hash_ip(const struct base_ip *ip, uint32_t port)
{
	uint32_t hash = 2166136261U ^ port;

	for (uint32_t i = 0; i < sizeof(ip->bytes); i++)
		hash = (hash ^ ip->bytes[i]) * 16777619U;
	return hash;
}

void state_event_neighbour(struct state *st, const struct base_ip *ip, uint32_t port)
{
	uint64_t *last_ns = &st->events.neighbour_ns[hash_ip(ip, port) % STATE_EVENT_LIMITS];

	if (*last_ns != 0 && st->now_ns < *last_ns + STATE_EVENT_AGAIN_NS)
		return;
	*last_ns = st->now_ns;
	add_note(st, &(struct state_note){.type = ABI_EVENT_NEIGHBOUR_WANTED,
	                                  .neighbour = {.ip = *ip, .port = port}});
}

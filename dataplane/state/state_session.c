/* Making, ending and changing sessions, and their mirror in the region. */
#include "state_session.h"

#include "state.h"

#include <errno.h>
#include <string.h>

static struct abi_session *mirror_of(const struct state *st, const struct state_session *session)
{
	return &st->mirror[session - st->sessions];
}

/* When is the next closer look due? A rekey that was noted is noted again after 5 s, in case
 * control was restarted meanwhile. */
static uint64_t soft_time(const struct state_session *session, uint64_t rekey_age_ns)
{
	uint64_t expiry_ns = session->birth_ns + WG_REJECT_AFTER_TIME_NS;
	uint64_t rekey_ns = session->birth_ns + rekey_age_ns;

	if (session->role != ABI_ROLE_INITIATOR)
		return expiry_ns;
	if (session->rekey_told_ns != 0 && session->rekey_told_ns + WG_REKEY_TIMEOUT_NS > rekey_ns)
		rekey_ns = session->rekey_told_ns + WG_REKEY_TIMEOUT_NS;
	return rekey_ns < expiry_ns ? rekey_ns : expiry_ns;
}

static void set_soft_times(struct state_session *session)
{
	session->send_soft = state_coarse(soft_time(session, WG_REKEY_AFTER_TIME_NS));
	session->receive_soft_ns = 0;
	if (session->confirmed && !session->contends)
		session->receive_soft_ns = soft_time(session, WG_REJECT_AFTER_TIME_NS
		                                                      - WG_KEEPALIVE_TIMEOUT_NS
		                                                      - WG_REKEY_TIMEOUT_NS);
}

/* As if a packet had come from the session's endpoint. */
static void hear_from_endpoint(struct state_session *session)
{
	session->heard = (struct state_heard){.version = session->remote.ip.family,
	                                      .port = (uint8_t)session->port};
	base_store_be16(session->heard.source_port, session->remote.port);
	memcpy(session->heard_v4, session->remote.ip.bytes, 4);
	memcpy(session->heard_v4 + 4, session->local.bytes, 4);
}

static void link_session(struct state *st, struct state_session *session)
{
	uint32_t slot = abi_index_slot(session->index);
	struct state_peer *peer = &st->peers[session->peer];

	session->next_of_peer = peer->first_slot;
	peer->first_slot = slot;
	session->active_at = st->n_active;
	st->active[st->n_active++] = slot;
}

static void unlink_session(struct state *st, struct state_session *session)
{
	uint32_t slot = abi_index_slot(session->index);
	uint32_t *at = &st->peers[session->peer].first_slot;

	while (*at != slot)
		at = &st->sessions[*at].next_of_peer;
	*at = session->next_of_peer;

	uint32_t last = st->active[--st->n_active];

	st->active[session->active_at] = last;
	st->sessions[last].active_at = session->active_at;
}

static bool geometry_ok(const struct state *st, uint32_t index, uint32_t peer, uint32_t role,
                        uint32_t port)
{
	uint32_t slot = abi_index_slot(index);

	return abi_index_worker(index) == st->id && slot != STATE_SLOT_NONE && slot < st->n_slots
	       && peer < st->n_peers && st->peers[peer].present && role <= ABI_ROLE_RESPONDER
	       && (port < st->wan.n_ports || port == UINT32_MAX);
}

/* Where packets wait for the peer's first session, its worker may sleep. */
static void wake_waiting(struct state *st)
{
	for (uint32_t i = 0; i < st->n_workers; i++)
		if (i != st->id && port_bell_is_due(&st->bells[i].sleeps))
			st->wake_workers |= 1U << i;
}

/* The peer is sent to on it from now on, unless a newer one is there. */
static void become_current(struct state *st, const struct state_session *session)
{
	struct state_current *current = &st->current[session->peer];
	bool was_away = state_current_get(current) == ABI_INDEX_NONE;

	if (state_current_set(current, session->index, session->birth_ns) && was_away)
		wake_waiting(st);
}

/* Common to install and resume: everything that follows from the fields already set. */
static void start_session(struct state *st, struct state_session *session)
{
	hear_from_endpoint(session);
	set_soft_times(session);
	wg_timers_data_init(&session->timers, st->now_ns);
	link_session(st, session);
	state_limit_apply(st, session);
	if ((session->role == ABI_ROLE_INITIATOR || session->confirmed)
	    && wg_keypair_may_send(session->birth_ns, session->send_counter, st->now_ns))
		become_current(st, session);
}

static void write_mirror(struct state *st, const struct state_session *session,
                         const struct abi_cmd_session_install *cmd)
{
	struct abi_session *mirror = mirror_of(st, session);

	st->receive_next[mirror - st->mirror] = 0;
	*mirror = (struct abi_session){
		.remote_index = session->remote_index,
		.peer = session->peer,
		.role = session->role,
		.birth_ns = session->birth_ns,
		.port = session->port,
		.remote = session->remote,
		.local = session->local,
		.key_serial = cmd->key_serial,
		.hub_serial = cmd->hub_serial,
	};
	memcpy(mirror->receive_key, session->receive_key, sizeof(mirror->receive_key));
	memcpy(mirror->send_key, session->send_key, sizeof(mirror->send_key));
	/* Last, so that a slot with an index is a whole session, whoever was killed when. */
	__atomic_store_n(&mirror->index, session->index, __ATOMIC_RELEASE);
}

int state_session_install(struct state *st, const struct abi_cmd_session_install *cmd)
{
	if (!geometry_ok(st, cmd->index, cmd->peer, cmd->role, cmd->port))
		return -EINVAL;

	uint32_t slot = abi_index_slot(cmd->index);
	struct state_session *session = &st->sessions[slot];

	if (session->index == cmd->index) {
		bool same = session->expired
		            || (base_equal_ct(session->send_key, cmd->send_key, 32)
		                && base_equal_ct(session->receive_key, cmd->receive_key, 32));

		return same ? 0 : -EEXIST;
	}
	if (session->index != ABI_INDEX_NONE)
		state_session_retire(st, session);
	*session = (struct state_session){
		.index = cmd->index,
		.remote_index = cmd->remote_index,
		.peer = cmd->peer,
		.role = (uint8_t)cmd->role,
		.birth_ns = cmd->birth_ns,
		.remote = cmd->remote,
		.local = cmd->local,
		.port = cmd->port,
	};
	memcpy(session->receive_key, cmd->receive_key, sizeof(session->receive_key));
	memcpy(session->send_key, cmd->send_key, sizeof(session->send_key));
	wg_replay_init(&session->window, &st->rings[slot]);
	write_mirror(st, session, cmd);
	start_session(st, session);
	return 0;
}

static bool mirror_ok(const struct state *st, uint32_t slot, const struct abi_session *mirror,
                      uint64_t receive_next)
{
	return abi_index_slot(mirror->index) == slot
	       && (mirror->remote.ip.family == BASE_IP_NONE
	           || mirror->remote.ip.family == BASE_IP_V4
	           || mirror->remote.ip.family == BASE_IP_V6)
	       && (mirror->local.family == BASE_IP_NONE
	           || mirror->local.family == mirror->remote.ip.family)
	       && mirror->send_reserved <= WG_REJECT_AFTER_MESSAGES
	       && receive_next <= WG_REJECT_AFTER_MESSAGES
	       && geometry_ok(st, mirror->index, mirror->peer, mirror->role, mirror->port);
}

static void clear_mirror(struct state *st, uint32_t slot)
{
	struct abi_session *mirror = &st->mirror[slot];

	__atomic_store_n(&mirror->index, ABI_INDEX_NONE, __ATOMIC_RELEASE);
	st->receive_next[slot] = 0;
	base_wipe(mirror, sizeof(*mirror));
}

void state_session_resume(struct state *st, uint32_t slot)
{
	struct abi_session mirror = st->mirror[slot];
	struct state_session *session = &st->sessions[slot];
	uint64_t receive_next;

	if (mirror.index == ABI_INDEX_NONE)
		return;
	receive_next = st->receive_next[slot];
	/* Peers are told by control again soon; until then the session speaks for its own. */
	if (mirror.peer < st->n_peers) {
		st->peers[mirror.peer].present = 1;
		state_limit_resume(st, mirror.peer, mirror.limits);
	}
	if (!mirror_ok(st, slot, &mirror, receive_next)) {
		clear_mirror(st, slot);
		goto out;
	}
	*session = (struct state_session){
		.index = mirror.index,
		.remote_index = mirror.remote_index,
		.peer = mirror.peer,
		.role = (uint8_t)mirror.role,
		.confirmed = mirror.confirmed != 0,
		.birth_ns = mirror.birth_ns,
		.remote = mirror.remote,
		.local = mirror.local,
		.port = mirror.port,
		/* Any counter below the mark may have been used. */
		.send_counter = mirror.send_reserved,
		.tx_published = mirror.send_reserved,
		.send_limit = (uint32_t)mirror.send_reserved,
	};
	memcpy(session->receive_key, mirror.receive_key, sizeof(session->receive_key));
	memcpy(session->send_key, mirror.send_key, sizeof(session->send_key));
	if (receive_next == 0)
		wg_replay_init(&session->window, &st->rings[slot]);
	else
		wg_replay_resume(&session->window, &st->rings[slot], receive_next);
	start_session(st, session);
out:
	base_wipe(&mirror, sizeof(mirror));
}

static void wipe_keys(struct state *st, struct state_session *session)
{
	struct abi_session *mirror = mirror_of(st, session);

	base_wipe(session->receive_key, sizeof(session->receive_key));
	base_wipe(session->send_key, sizeof(session->send_key));
	base_wipe(mirror->receive_key, sizeof(mirror->receive_key));
	base_wipe(mirror->send_key, sizeof(mirror->send_key));
}

void state_session_retire(struct state *st, struct state_session *session)
{
	state_session_publish(st, session);
	state_current_clear(&st->current[session->peer], session->index);
	unlink_session(st, session);
	clear_mirror(st, abi_index_slot(session->index));
	st->n_ended++;
	base_wipe(session, sizeof(*session));
}

struct state_session *state_session_find(struct state *st, uint32_t index)
{
	uint32_t slot = abi_index_slot(index);

	if (index == ABI_INDEX_NONE || slot >= st->n_slots || st->sessions[slot].index != index)
		return NULL;
	return &st->sessions[slot];
}

void state_session_expire(struct state *st, struct state_session *session)
{
	bool was_current;

	if (session->expired)
		return;
	was_current = state_current_clear(&st->current[session->peer], session->index);
	session->expired = 1;
	st->n_ended++;
	wipe_keys(st, session);
	/* Who asked for a persistent keepalive wants the tunnel up, not only this session. */
	if (was_current && st->peers[session->peer].keepalive_s != 0)
		state_event_wanted(st, session->peer);
}

/* The endpoint or our address changed: the header is stale, control is told, the region too. */
static void endpoint_changed(struct state *st, struct state_session *session)
{
	struct abi_session *mirror = mirror_of(st, session);

	session->header_of = 0;
	mirror->remote = session->remote;
	mirror->local = session->local;
	mirror->port = session->port;
}

bool state_session_move(struct state *st, struct state_session *session, struct state_heard heard,
                        const uint8_t *addresses)
{
	size_t len = base_ip_len(heard.version);
	struct base_endpoint remote = {.ip = base_ip_make(heard.version, addresses),
	                               .port = base_load_be16(heard.source_port)};
	bool moved = !base_endpoint_equal(&remote, &session->remote);

	session->remote = remote;
	session->local = base_ip_make(heard.version, addresses + len);
	session->port = heard.port;
	hear_from_endpoint(session);
	endpoint_changed(st, session);
	state_event_session(st, session, STATE_EVENT_MOVED);
	return moved;
}

int state_session_set_endpoint(struct state *st, const struct abi_cmd_endpoint *cmd)
{
	struct state_session *session = state_session_find(st, cmd->index);

	if (cmd->port >= st->wan.n_ports && cmd->port != UINT32_MAX)
		return -EINVAL;
	if (!session)
		return 0; /* retired meanwhile */
	session->remote = cmd->remote;
	session->local = cmd->local;
	session->port = cmd->port;
	hear_from_endpoint(session);
	endpoint_changed(st, session);
	return 0;
}

void state_session_prefer(struct state *st, const struct abi_cmd_prefer *cmd)
{
	struct state_session *session = state_session_find(st, cmd->index);

	if (!session || session->expired)
		return; /* retired meanwhile, or as good as that */
	session->contends = cmd->when_heard != 0;
	set_soft_times(session);
	if (cmd->now != 0 && (session->role == ABI_ROLE_INITIATOR || session->confirmed))
		state_current_take(&st->current[session->peer], session->index, session->birth_ns);
}

static void note_rekey(struct state *st, struct state_session *session)
{
	if (session->rekey_told_ns != 0
	    && st->now_ns < session->rekey_told_ns + WG_REKEY_TIMEOUT_NS)
		return;
	session->rekey_told_ns = st->now_ns;
	state_event_session(st, session, STATE_EVENT_REKEY);
}

int state_session_before_send(struct state *st, struct state_session *session)
{
	bool initiator = session->role == ABI_ROLE_INITIATOR;
	uint64_t counter = session->send_counter;

	if (session->expired || !wg_keypair_may_send(session->birth_ns, counter, st->now_ns))
		return -EKEYEXPIRED;
	if (!initiator && !session->confirmed)
		return -EACCES;
	if (wg_keypair_rekey_after_send(session->birth_ns, initiator, counter, st->now_ns))
		note_rekey(st, session);
	set_soft_times(session);
	if ((uint32_t)counter == session->send_limit) {
		uint64_t limit = counter + ABI_SEND_RESERVE;

		if (limit > WG_REJECT_AFTER_MESSAGES)
			limit = WG_REJECT_AFTER_MESSAGES;
		/* Before the first counter of the block is used, also for who finds this memory
		 * after we were killed: the compiler may not move later stores above it, and the
		 * processor makes a thread's stores visible in order. */
		__atomic_store_n(&mirror_of(st, session)->send_reserved, limit, __ATOMIC_SEQ_CST);
		session->send_limit = (uint32_t)limit;
	}
	return 0;
}

/* A responder's session is only now known to be the peer's as well. */
static void confirm(struct state *st, struct state_session *session)
{
	session->confirmed = 1;
	mirror_of(st, session)->confirmed = 1;
	if (session->role != ABI_ROLE_RESPONDER)
		return;
	become_current(st, session);
	state_event_session(st, session, STATE_EVENT_CONFIRMED);
}

void state_session_after_receive(struct state *st, struct state_session *session)
{
	if (!session->confirmed)
		confirm(st, session);
	if (session->contends)
		state_current_take(&st->current[session->peer], session->index, session->birth_ns);
	if (wg_keypair_rekey_after_receive(session->birth_ns, session->role == ABI_ROLE_INITIATOR,
	                                   st->now_ns))
		note_rekey(st, session);
	set_soft_times(session);
}

/* Where did most of the packets since the last time arrive? Few packets are as good as many: they
 * tell where the next will come, and that is what control wants to know. */
static uint32_t arrival_of(const struct state *st, const struct state_session *session)
{
	return session->rx_handed > session->rx_packets / 2 ? session->handed_by : st->id + 1;
}

void state_session_publish(struct state *st, struct state_session *session)
{
	struct abi_session *mirror = mirror_of(st, session);
	struct abi_peer_counters *counters = &st->peer_counters[session->peer];
	uint64_t n_sent = session->send_counter - session->tx_published;

	if (session->rx_packets != 0 || session->drops != 0) {
		uint32_t arrives_at = arrival_of(st, session);

		if (session->rx_packets != 0) {
			mirror->last_receive_ns = st->now_ns;
			counters->last_rx_ns = st->now_ns;
		}
		if (mirror->arrives_at != arrives_at)
			__atomic_store_n(&mirror->arrives_at, arrives_at, __ATOMIC_RELAXED);
		session->rx_handed = 0;
		counters->rx_packets += session->rx_packets;
		counters->rx_bytes += session->rx_bytes;
		counters->drops += session->drops;
		session->rx_packets = 0;
		session->rx_bytes = 0;
		session->drops = 0;
	}
	/* Counters are taken before the cipher, bytes counted after it. */
	if (n_sent != 0 || session->tx_bytes != 0) {
		mirror->last_send_ns = st->now_ns;
		counters->last_tx_ns = st->now_ns;
		counters->tx_packets += n_sent;
		counters->tx_bytes += session->tx_bytes;
		session->tx_published = session->send_counter;
		session->tx_bytes = 0;
	}
}

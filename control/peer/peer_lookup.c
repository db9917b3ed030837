/* Endpoints by name: questions to the resolver, and what their answers mean for session. When they are due and what
 * they change is reckoned in peer_name.c.
 *
 * An answer that is new says where the next handshake is begun (session_peer_call()), no more: as long as the peer
 * is heard where it is, that is where it is. One that says what the last one said changes nothing, so what was learned
 * from the peer stays; until it does not answer there. Then each address of the answer is tried in turn with it, one
 * an initiation, and the name is asked again. */
#include "base_log.h"
#include "base_time.h"
#include "peer_table.h"
#include "program.h"
#include "session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Open at once: a thousand names after a start are no flood for the name server. */
#define ASKING_MAX 32U

static void turn(struct peer_table *table, uint64_t now_ns);

/* ---- which there are ----------------------------------------------------------------------------- */

int peer__name_make(struct peer_table *table, struct peer *peer, const struct store_name *is)
{
	struct peer_name *name = calloc(1, sizeof(*name));

	if (!name)
		return -ENOMEM;
	name->is = *is;
	name->peer = peer->row.id;
	name->due_ns = base_time_monotonic_ns();
	peer->name = name;
	LIST_INSERT_HEAD(&table->names, name, link);
	return 0;
}

void peer__name_free(struct peer *peer)
{
	if (!peer->name)
		return;
	LIST_REMOVE(peer->name, link);
	free(peer->name);
	peer->name = NULL;
}

/* A row of a declared peer counts as long as the file says the same. */
static int load_one(void *arg, uint32_t id, const struct store_name *name)
{
	struct peer_table *table = arg;
	struct peer *peer = id < table->setup.config->max_peers ? table->by_id[id] : NULL;

	if (!peer)
		return 0;
	if (peer->row.declared
	    && (!peer->configured_name || peer->configured_name->port != name->name.port
	        || strcmp(peer->configured_name->host, name->name.host) != 0))
		return 0;
	return peer__name_make(table, peer, name);
}

/* What the file says of a peer, where the store says something else. */
static int declare(struct peer_table *table, struct peer *peer)
{
	struct store_name name = {0};
	int err;

	if (!peer->row.declared || peer->name)
		return 0;
	if (!peer->configured_name) {
		err = store_name_drop(table->setup.store, peer->row.id, peer->row.name);
		return err == -ENOENT ? 0 : err;
	}
	name.name = *peer->configured_name;
	err = store_name_put(table->setup.store, peer->row.id, peer->row.name, &name);
	return err < 0 ? err : peer__name_make(table, peer, &name);
}

int peer__names_load(struct peer_table *table)
{
	int err = store_name_each(table->setup.store, load_one, table);

	for (uint32_t i = 0; err == 0 && i < table->n; i++)
		err = declare(table, table->by_name[i]);
	return err;
}

/* ---- answers ------------------------------------------------------------------------------------- */

/* Nobody is where the hub itself is: packets there would come back to it (drop_endpoint_loop). */
static void leave_own_out(const struct peer_table *table, struct resolve_answer *answer)
{
	uint32_t n = 0;

	if (answer->error)
		return;
	for (uint32_t i = 0; i < answer->n_ips; i++)
		if (!program_address_is_own(table->setup.program, &answer->ips[i]))
			answer->ips[n++] = answer->ips[i];
	if (n == 0 && answer->n_ips > 0)
		answer->error = "it is an address of the hub itself";
	answer->n_ips = n;
}

static void call_there(struct peer_table *table, struct peer *peer)
{
	struct store_peer_state state = peer_state(table, peer);
	struct base_endpoint first = peer_name_endpoint(&peer->name->is, 0);
	char text[BASE_ENDPOINT_STRLEN];

	if (peer_name_has(&peer->name->is, &state.endpoint)) {
		session_peer_call(table->setup.session, peer->row.id, NULL);
		return;
	}
	log_info("peer", "endpoint by name is called there next name=%s host=%s endpoint=%s",
	         peer->row.name, peer->name->is.name.host, base_endpoint_format(&first, text));
	session_peer_call(table->setup.session, peer->row.id, &first);
	peer__endpoint_look(table, peer, &first);
}

static void tell_failure(const struct peer *peer)
{
	log_warn("peer",
	         "endpoint's name has no answer, the last address stays name=%s host=%s err=%s",
	         peer->row.name, peer->name->is.name.host, peer->name->error);
}

static void take(struct peer_table *table, struct peer *peer, const struct resolve_answer *answer)
{
	struct peer_name *name = peer->name;
	uint32_t n_failed = name->n_failed;
	enum peer_name_news news = peer_name_answered(name, answer, base_time_monotonic_ns(),
	                                              base_time_wall_ns());

	program_count(
		table->setup.program,
		news == PEER_NAME_FAILED ? ABI_COUNTER_NAME_FAILED : ABI_COUNTER_NAME_ANSWERED, 1);
	if (news == PEER_NAME_FAILED && n_failed == 0)
		tell_failure(peer); /* once, until it has an answer again */
	if (news != PEER_NAME_FAILED && n_failed > 0)
		log_info("peer", "endpoint's name has an answer again name=%s host=%s failed=%u",
		         peer->row.name, name->is.name.host, n_failed);
	if (news != PEER_NAME_CHANGED)
		return;
	if (store_name_answer_put(table->setup.store, peer->row.id, &name->is) < 0)
		log_err("peer", "address of an endpoint's name not stored name=%s: %s",
		        peer->row.name, store_error(table->setup.store));
	if (!peer->row.disabled)
		call_there(table, peer);
}

static void on_answer(void *arg, uint64_t tag, const struct resolve_answer *answer)
{
	struct peer_table *table = arg;
	uint32_t id = (uint32_t)tag;
	struct peer *peer = id < table->setup.config->max_peers ? table->by_id[id] : NULL;
	struct resolve_answer kept = *answer;

	table->n_asking--;
	if (peer && peer->name && peer->name->is_asking && peer->name->question == tag >> 32) {
		leave_own_out(table, &kept);
		take(table, peer, &kept);
	}
	turn(table, base_time_monotonic_ns());
}

/* ---- questions ----------------------------------------------------------------------------------- */

static void ask(struct peer_table *table, struct peer_name *name, uint64_t now_ns)
{
	static const struct resolve_answer no_memory = {.error = "not enough memory"};
	uint32_t question = ++table->question;

	peer_name_asked(name, question, now_ns);
	if (resolve_ask(table->setup.resolve, name->is.name.host,
	                (uint64_t)question << 32 | name->peer)
	    == 0)
		table->n_asking++;
	else
		(void)peer_name_answered(name, &no_memory, now_ns, 0);
}

static void arm(struct peer_table *table, uint64_t due_ns, uint64_t now_ns)
{
	struct timeval delay;

	event_del(table->name_timer);
	if (due_ns == PEER_NAME_NEVER)
		return;
	due_ns = due_ns > now_ns ? due_ns - now_ns : 0;
	delay.tv_sec = (time_t)(due_ns / BASE_NS_PER_S);
	delay.tv_usec = (suseconds_t)(due_ns % BASE_NS_PER_S / 1000);
	if (evtimer_add(table->name_timer, &delay) != 0)
		log_err("peer", "timer cannot be set: names of endpoints are not looked up again");
}

/* Put the questions that are due, and wake for the next. What is due when too many are open goes on with the next
 * answer. */
static void turn(struct peer_table *table, uint64_t now_ns)
{
	uint64_t next_ns = PEER_NAME_NEVER;
	struct peer_name *name;

	LIST_FOREACH(name, &table->names, link) {
		const struct peer *peer = table->by_id[name->peer];

		if (!peer || peer->row.disabled)
			continue;
		if (peer_name_due_ns(name) <= now_ns && table->n_asking < ASKING_MAX)
			ask(table, name, now_ns);
		if (peer_name_due_ns(name) < next_ns)
			next_ns = peer_name_due_ns(name);
	}
	if (table->n_asking >= ASKING_MAX)
		next_ns = PEER_NAME_NEVER;
	arm(table, next_ns, now_ns);
}

void peer__names_turn(struct peer_table *table)
{
	turn(table, base_time_monotonic_ns());
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	peer__names_turn(arg);
}

static void on_unanswered(void *arg, uint32_t id)
{
	struct peer_table *table = arg;
	struct peer *peer = id < table->setup.config->max_peers ? table->by_id[id] : NULL;
	const struct base_endpoint *target;
	struct session_peer_info info;
	struct base_endpoint next;
	uint64_t now_ns = base_time_monotonic_ns();

	if (!peer || !peer->name || session_peer_info(table->setup.session, id, &info) < 0)
		return;
	target = info.call.port != 0 ? &info.call : &info.endpoint;
	if (peer_name_next(&peer->name->is, target, &info.endpoint, &next))
		session_peer_call(table->setup.session, id, &next);
	peer_name_doubt(peer->name, now_ns);
	turn(table, now_ns);
}

int peer__names_begin(struct peer_table *table)
{
	table->name_timer = evtimer_new(table->setup.base, on_timer, table);
	if (!table->name_timer)
		return -ENOMEM;
	resolve_on_answer(table->setup.resolve, on_answer, table);
	session_on_unanswered(table->setup.session, on_unanswered, table);
	peer__names_turn(table);
	return 0;
}

void peer__names_end(struct peer_table *table)
{
	resolve_on_answer(table->setup.resolve, NULL, NULL);
	session_on_unanswered(table->setup.session, NULL, NULL);
}

/* ---- by hand ------------------------------------------------------------------------------------- */

/* One of name and address that is not asked for stays what it is. */
int peer__endpoint_store(const struct peer_table *table, const struct peer *peer,
                         const struct peer_endpoint *endpoint)
{
	struct store *store = table->setup.store;
	struct store_peer_state state = peer_state(table, peer);
	struct store_name name = {.name = endpoint->name};
	int err = 0;

	if (endpoint->name.port != 0)
		err = store_name_put(store, peer->row.id, peer->row.name, &name);
	else if (peer->name)
		err = store_name_drop(store, peer->row.id, peer->row.name);
	if (err == 0 && endpoint->address.port != 0) {
		state.endpoint = endpoint->address;
		err = store_peer_state_put(store, peer->row.id, &state);
	}
	return err;
}

void peer__endpoint_take(struct peer_table *table, struct peer *peer,
                         const struct peer_endpoint *endpoint)
{
	struct store_name fresh = {.name = endpoint->name};

	peer__name_free(peer);
	if (endpoint->address.port != 0) {
		peer->row.state.endpoint = endpoint->address;
		session_peer_redirect(table->setup.session, peer->row.id, &endpoint->address);
		peer__endpoint_look(table, peer, &endpoint->address);
	}
	if (endpoint->name.port != 0 && peer__name_make(table, peer, &fresh) < 0)
		log_err("peer",
		        "endpoint's name is looked up after a restart only: not enough "
		        "memory name=%s",
		        peer->row.name);
	peer__names_turn(table);
}

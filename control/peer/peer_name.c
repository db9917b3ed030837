#include "peer_name.h"

#include "base_time.h"

#include <stdio.h>

uint64_t peer_name_due_ns(const struct peer_name *name)
{
	return name->is_asking ? PEER_NAME_NEVER : name->due_ns;
}

void peer_name_asked(struct peer_name *name, uint32_t question, uint64_t now_ns)
{
	name->question = question;
	name->is_asking = true;
	name->asked_ns = now_ns;
}

static uint32_t clamp(uint32_t value, uint32_t min, uint32_t max)
{
	if (value < min)
		return min;
	return value < max ? value : max;
}

static bool has_ip(const struct store_name *name, const struct base_ip *ip)
{
	for (uint32_t i = 0; i < name->n_answer; i++)
		if (base_ip_equal(&name->answer[i], ip))
			return true;
	return false;
}

static bool is_same(const struct store_name *name, const struct resolve_answer *answer)
{
	if (name->n_answer != answer->n_ips)
		return false;
	for (uint32_t i = 0; i < answer->n_ips; i++)
		if (!has_ip(name, &answer->ips[i]))
			return false;
	return true;
}

static enum peer_name_news fail(struct peer_name *name, const char *why, uint64_t now_ns)
{
	uint32_t wait_s = PEER_NAME_RETRY_S;

	for (uint32_t i = 0; i < name->n_failed && wait_s < PEER_NAME_RETRY_MAX_S; i++)
		wait_s *= 2;
	name->n_failed++;
	name->n_failures++;
	name->due_ns = now_ns + wait_s * BASE_NS_PER_S;
	snprintf(name->error, sizeof(name->error), "%s", why);
	return PEER_NAME_FAILED;
}

_Static_assert(STORE_ANSWER_MAX == RESOLVE_ADDRESSES_MAX, "an answer is kept whole");

enum peer_name_news peer_name_answered(struct peer_name *name, const struct resolve_answer *answer,
                                       uint64_t now_ns, uint64_t now_wall_ns)
{
	bool same = is_same(&name->is, answer);

	name->is_asking = false;
	if (answer->error || answer->n_ips == 0)
		return fail(name, answer->error ? answer->error : "no address", now_ns);
	name->n_failed = 0;
	name->error[0] = '\0';
	name->due_ns = now_ns
	               + clamp(answer->ttl_s, PEER_NAME_TTL_MIN_S, PEER_NAME_TTL_MAX_S)
	                         * BASE_NS_PER_S;
	name->is.resolved_wall_ns = now_wall_ns;
	if (same) /* the order stays, too: servers turn it with each answer */
		return PEER_NAME_SAME;
	name->is.n_answer = answer->n_ips;
	for (uint32_t i = 0; i < answer->n_ips; i++)
		name->is.answer[i] = answer->ips[i];
	return PEER_NAME_CHANGED;
}

void peer_name_doubt(struct peer_name *name, uint64_t now_ns)
{
	uint64_t soonest_ns = name->asked_ns + PEER_NAME_SOONER_S * BASE_NS_PER_S;

	if (soonest_ns < now_ns)
		soonest_ns = now_ns;
	if (soonest_ns < name->due_ns)
		name->due_ns = soonest_ns;
}

bool peer_name_has(const struct store_name *name, const struct base_endpoint *endpoint)
{
	return endpoint->port == name->name.port && has_ip(name, &endpoint->ip);
}

struct base_endpoint peer_name_endpoint(const struct store_name *name, uint32_t n)
{
	if (n >= name->n_answer)
		return (struct base_endpoint){0};
	return (struct base_endpoint){.ip = name->answer[n], .port = name->name.port};
}

bool peer_name_next(const struct store_name *name, const struct base_endpoint *target,
                    const struct base_endpoint *heard_at, struct base_endpoint *out)
{
	bool is_known = heard_at->port != 0 && !peer_name_has(name, heard_at);
	uint32_t n = name->n_answer + (is_known ? 1 : 0);
	uint32_t at = 0; /* of target; behind the answer: somewhere else */

	while (at < name->n_answer
	       && !(target->port == name->name.port
	            && base_ip_equal(&target->ip, &name->answer[at])))
		at++;
	if (n == 0)
		return false;
	at = at >= name->n_answer ? 0 : (at + 1) % n;
	*out = at < name->n_answer ? peer_name_endpoint(name, at) : *heard_at;
	return !base_endpoint_equal(out, target);
}

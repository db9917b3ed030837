/* Changes of many peers as one: from wg(8), which is no operation, and by peer.apply. */
#include "model_wg.h"

#include "base_log.h"
#include "model_audit.h"
#include "model_leaving.h"
#include "model_limit.h"
#include "model_peer.h"
#include "model_policy.h"
#include "model_table.h"
#include "peer_set.h"
#include "store_trail.h"
#include "wg_allowedips.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINES_MAX 100U /* logged of one change; what is left out is counted */

struct asking {
	struct model *model;
	struct model_peer_set *by;
	struct wg_allowedips *named;   /* networks that grants name -> number of the grant */
	char (*gone)[CONFIG_NAME_LEN]; /* names that may not stay in groups */
	uint32_t n_gone;
	uint32_t max_gone;
	struct model_leaving leaving;
	uint32_t n_changed;
	bool has_come_or_gone; /* services may have to be published again */
};

/* A name that was made of the key comes back with this key only: what names it may wait for it. */
static bool is_of_key(const struct peer *peer)
{
	char name[CONFIG_NAME_LEN];

	peer_set_name(peer->row.public_key, name);
	return strcmp(name, peer->row.name) == 0;
}

static int refuse(struct peer_error *error, int err, const char *code, const char *text)
{
	error->code = code;
	error->field = NULL;
	snprintf(error->text, sizeof(error->text), "%.*s", (int)sizeof(error->text) - 1, text);
	return err;
}

static int refuse_use(struct peer_error *error, const char *what, const char *by, const char *name)
{
	char text[sizeof(error->text)];

	snprintf(text, sizeof(text), "%s \"%s\" needs %s; remove that first, or weir peer disable",
	         what, by, name);
	return refuse(error, -EBUSY, "in_use", text);
}

/* ---- what is asked before ------------------------------------------------------------------------ */

static int note_gone(struct asking *asking, const char *name, struct peer_error *error)
{
	if (asking->n_gone == asking->max_gone) {
		uint32_t max = asking->max_gone == 0 ? 8 : 2 * asking->max_gone;
		void *grown = reallocarray(asking->gone, max, sizeof(*asking->gone));

		if (!grown)
			return refuse(error, -ENOMEM, "failed", "not enough memory");
		asking->gone = grown;
		asking->max_gone = max;
	}
	memcpy(asking->gone[asking->n_gone++], name, CONFIG_NAME_LEN);
	return 0;
}

static int may_remove(void *arg, const struct peer *peer, struct peer_error *error)
{
	struct asking *asking = arg;
	char service[CONFIG_NAME_LEN];
	const struct grant *grant;
	int found;

	if (asking->by->by_wg && is_of_key(peer))
		return 0;
	found = model__services_of_peer(asking->model, peer->row.name, service);
	if (found < 0)
		return refuse(error, found, "failed", "services cannot be read");
	if (found == 1)
		return refuse_use(error, "service", service, peer->row.name);
	grant = grant_naming(&asking->model->policy, GRANT_PEER, peer->row.name);
	if (grant)
		return refuse_use(error, "grant", grant->name, peer->row.name);
	return note_gone(asking, peer->row.name, error);
}

static int may_withdraw(void *arg, const struct base_prefix *net, struct peer_error *error)
{
	struct asking *asking = arg;
	const struct grant *grant = model__subnet_needed(&asking->model->policy, asking->named,
	                                                 net);
	char text[BASE_PREFIX_STRLEN];

	return !grant ? 0 : refuse_use(error, "grant", grant->name, base_prefix_format(net, text));
}

/* ---- what is stored with it ---------------------------------------------------------------------- */

static int store_leaving(void *arg, struct peer_error *error)
{
	struct asking *asking = arg;
	struct model_error why = {0};
	int err = model__leaving_begin(asking->model, asking->gone, asking->n_gone,
	                               &asking->leaving, &why);

	if (err == 0)
		err = model__leaving_store(asking->model, &asking->leaving, &why);
	return err < 0 ? refuse(error, err, "failed", why.text) : 0;
}

/* ---- what is told behind ------------------------------------------------------------------------- */

/* Of a change: "added", or what of the peer is another now. */
static void describe(const struct peer_set_news *news, char *buf, size_t len)
{
	if (news->was_removed)
		snprintf(buf, len, "removed");
	else
		snprintf(buf, len, "%s%s%s%s%s gained=%u lost=%u",
		         news->was_added ? "added" : "changed",
		         news->has_new_key ? ",preshared-key" : "",
		         news->has_new_endpoint ? ",endpoint" : "",
		         news->has_new_keepalive ? ",keepalive" : "",
		         news->has_new_settings ? ",settings" : "", news->n_gained, news->n_lost);
}

static const char *name_of(const struct asking *asking)
{
	return asking->by->by_wg ? "wg" : "a roster";
}

static void changed(void *arg, const struct peer_set_news *news)
{
	struct asking *asking = arg;
	struct model *model = asking->model;
	char what[120];

	asking->has_come_or_gone |= news->was_added || news->was_removed || news->has_new_settings;
	if (news->was_removed) /* at once: one that comes may have its number */
		model__limits_go(model, news->peer->row.id);
	if (asking->n_changed++ >= LINES_MAX)
		return;
	describe(news, what, sizeof(what));
	log_info("model", "changed by %s uid=%u pid=%d peer=%s what=%s", name_of(asking),
	         (unsigned int)model->caller.uid, (int)model->caller.pid, news->peer->row.name,
	         what);
	if (asking->by->by_wg && (news->was_added || news->has_new_key)
	    && !news->peer->row.has_preshared_key
	    && model->setup.config->preshared_key == CONFIG_PSK_REQUIRED)
		log_warn("model", "wg left a peer without a preshared key uid=%u pid=%d peer=%s",
		         (unsigned int)model->caller.uid, (int)model->caller.pid,
		         news->peer->row.name);
}

static void publish(struct asking *asking)
{
	struct model *model = asking->model;

	if (asking->n_changed == 0)
		return;
	if (asking->n_changed > LINES_MAX)
		log_info("model", "changed by %s uid=%u pid=%d peers=%u more", name_of(asking),
		         (unsigned int)model->caller.uid, (int)model->caller.pid,
		         asking->n_changed - LINES_MAX);
	model__leaving_done(model, &asking->leaving);
	if (asking->has_come_or_gone)
		model__services_again(model);
	model__table_refresh(model);
}

static void refused(void *arg, const char *name)
{
	const struct asking *asking = arg;

	snprintf(asking->by->refused, sizeof(asking->by->refused), "%s", name);
}

int model__peer_set_apply(struct model *model, struct model_peer_set *by, struct peer_error *error)
{
	struct asking asking = {.model = model, .by = by};
	const struct peer_set_hooks hooks = {
		.may_remove = by->asks_nobody ? NULL : may_remove,
		.may_withdraw = by->asks_nobody ? NULL : may_withdraw,
		.store = store_leaving,
		.changed = changed,
		.refused = refused,
		.arg = &asking,
	};
	int err;

	asking.named = model__subnets_named(&model->policy);
	if (!asking.named)
		return refuse(error, -ENOMEM, "failed", "not enough memory");
	err = peer_set_apply(model->setup.peers, by->set, &hooks, error);
	if (err == 0)
		publish(&asking);
	by->n_changed = asking.n_changed;
	wg_allowedips_destroy(asking.named);
	free(asking.gone);
	model__leaving_fini(&asking.leaving);
	return err;
}

int model_wg_set(struct model *model, const struct peer_set *set, struct peer_error *error)
{
	struct model_peer_set by = {.set = set, .by_wg = true};
	char actor[64];
	struct store_trail_entry entry = {actor, "wg.set", "hub", "endpoints", "", true};
	int err, ended;

	snprintf(actor, sizeof(actor), "wg uid=%u pid=%d", (unsigned int)model->caller.uid,
	         (int)model->caller.pid);
	store_trail_begin(model->setup.store, &entry);
	err = model__peer_set_apply(model, &by, error);
	ended = store_trail_end(model->setup.store, err == 0 && by.n_changed > 0);
	if (ended < 0)
		log_err("model", "change by wg is not in the audit trail: %s",
		        store_error(model->setup.store));
	return err;
}

/* ---- findings ------------------------------------------------------------------------------------ */

void model__audit_by_wg(struct model_audit *audit, const struct peer *peer,
                        const struct grant_peer *world)
{
	json_t *when;

	(void)world;
	if (peer->row.wg_set_wall_ns == 0)
		return;
	when = model__time(peer->row.wg_set_wall_ns);
	model__audit_report(
		audit, GRANT_INFO, "by-wg", "peer", peer->row.name,
		"has the addresses and networks that wg(8) gave it (or peer apply), last at %s",
		json_string_value(when));
	json_decref(when);
}

/* Alarms about peers that should be up and are not. Private to model. */
#ifndef MODEL_ALARM_H
#define MODEL_ALARM_H

#include "model_method.h"

/* One that stands. The peer may be gone when it ends. */
struct model_alarm {
	uint64_t since_wall_ns;
	uint64_t created_wall_ns; /* of the peer: another may have its number since */
	char name[CONFIG_NAME_LEN];
};

/* Read the store, and look every second from now on. Returns 0 or -errno with error. */
int model__alarms_begin(struct model *model, struct model_error *error);
void model__alarms_end(struct model *model);

/* Look at the next n numbers of peers. */
void model__alarms_look(struct model *model, uint32_t n);

/* NULL = none stands. */
const struct model_alarm *model__alarm_of(const struct model *model, const struct peer *peer);
/* An alarm as peer.show has it, or null. */
json_t *model__alarm_json(const struct model *model, const struct peer *peer);

#endif

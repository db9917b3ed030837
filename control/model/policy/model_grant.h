/* When grants were last used: model_grant_used.c. Private to model. */
#ifndef MODEL_GRANT_H
#define MODEL_GRANT_H

#include "model_method.h"

/* Begin to look every minute, and end it. Returns 0 or -ENOMEM. */
int model__grants_used_begin(struct model *model) __attribute__((warn_unused_result));
void model__grants_used_end(struct model *model);

/* Look now: what the workers tell is with the grants (used_s) and in the store afterwards. */
void model__grants_used_read(struct model *model);

#endif

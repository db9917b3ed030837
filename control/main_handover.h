/* weir-control's two sides of a hot upgrade. Private to its main. */
#ifndef MAIN_HANDOVER_H
#define MAIN_HANDOVER_H

#include "takeover.h"

struct control;

/* What this program speaks, and was set up for. */
struct takeover_versions main_handover_versions(const struct control *control);

/* Let another control ask, from the event loop on. As root; 0 or -errno, with one line logged. */
int main_handover_listen(struct control *control) __attribute__((warn_unused_result));

/* Take over from the control that runs: ask, as root and before any socket or the store is opened; and say that
 * all is up. 0 or -errno, with one line logged. */
int main_handover_ask(struct control *control) __attribute__((warn_unused_result));
int main_handover_ready(struct control *control) __attribute__((warn_unused_result));

#endif

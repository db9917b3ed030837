/* What main_start.c made is unmade. Private to weir-control's main. */
#ifndef MAIN_END_H
#define MAIN_END_H

#include <stdbool.h>

struct control;

/* Everything but the edge and the loop: store and dataplane are let go of. A dataplane that runs goes on, and
 * with it the guard on its interfaces. */
void main_end_hub(struct control *control);

/* All of it. started: the start succeeded. */
void main_end(struct control *control, bool started);

#endif

/* Control's way of a handshake in this process, as weir-control runs it: a region, program, session
 * and its one thread, on the CPU that the bench is pinned to. The bench is the dataplane: it puts
 * initiations into the event ring and takes keys and responses from the command ring. */
#ifndef BENCH_CONTROL_H
#define BENCH_CONTROL_H

#include "bench_client.h"

#include <stdbool.h>
#include <stdint.h>

#define BENCH_HANDSHAKES 16U /* of a pass: 2 ms, shorter than others on the CPU wait */

struct bench_control;

/* clients[n_peers] are made here, one a peer. Returns 0 or -errno, with one line on stderr. */
int bench_control_create(struct bench_client *clients, uint32_t n_peers, struct bench_control **out)
	__attribute__((warn_unused_result));
void bench_control_destroy(struct bench_control *control);

/* Bring the initiations of clients[first .. first + BENCH_HANDSHAKES) (modulo n_peers) in, at most 32
 * at a time, answer each session's keys with its first packet, and return when all are answered
 * and confirmed. *cycles gets the TSC cycles it took. Returns 0 or -errno. */
int bench_control_pass(struct bench_control *control, uint32_t first, uint64_t *cycles)
	__attribute__((warn_unused_result));

/* Outside the timed part: does every client of the last pass get the keys that were installed? */
bool bench_control_right(struct bench_control *control, uint32_t first);

#endif

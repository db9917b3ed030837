/* The stations, in the order in which a packet meets them (worker/worker_run.c). Each takes a burst
 * and leaves it: shorter by what it dropped or sent sideways, in the same order. None knows its
 * neighbour or a ring, but the three at the end. No allocation, lock, log or system call. */
#ifndef PATH_H
#define PATH_H

#include "path_burst.h"

/* ---- ciphertext in, plaintext out ---- */

/* Frames from WAN ports: those whose source is on a drop list go. With st->block only. */
void block(struct state *st, struct path_burst *b);

/* Frames from WAN ports (mbuf->port = port number): what is not WireGuard goes to the kernel,
 * cookie replies to control; data messages stay, and initiations and responses (st->gate.n_waiting). */
void in_parse(struct state *st, struct path_burst *b);

/* Initiations and responses with a right mac1 go to control, or, under load, are answered with a cookie
 * (st->replies); data messages stay. With st->gate.n_waiting only. */
void in_handshake(struct state *st, struct path_burst *b);

/* Find the session of each data message by its receiver index; another worker's go there. */
void in_session(struct state *st, struct path_burst *b);

/* Verify and decrypt the whole burst at once. */
void in_open(struct state *st, struct path_burst *b);

/* The two halves of in_open, around the cipher, which may run elsewhere (dataplane/assist): what to
 * open, and what came of it. ops[b->n]; between the two the burst stays as it is. */
void in_open_begin(const struct state *st, struct path_burst *b, struct aead_op *ops);
void in_open_end(struct state *st, struct path_burst *b, const struct aead_op *ops);

/* What only an authenticated packet may do: enter the replay window, confirm the session, move the
 * endpoint, run the timers. Then check the inner packet: header, length, source. */
void in_accept(struct state *st, struct path_burst *b);

/* May the peer send so much? */
void limit_in(struct state *st, struct path_burst *b);

/* Who gets it, and may it pass? */
void policy(struct state *st, struct path_burst *b);

/* For the hub itself: to the kernel. For another peer: one hop less, and on to out_route. */
void in_deliver(struct state *st, struct path_burst *b);

/* For in_deliver, of a packet larger than the tunnel's MTU: keep it for too_big(), or drop it. */
uint32_t too_big_put(struct state *st, struct path_pkt *p);

/* Of what was kept so append pieces, or errors to the senders, to b, which is empty; for out_route. What finds no
 * room stays: call again while st->big.n is not 0. */
void too_big(struct state *st, struct path_burst *b);

/* With hub.clamp_mss only: what opens TCP gets an MSS that fits the tunnel. */
void clamp_mss(struct state *st, struct path_burst *b);

/* ---- plaintext in, ciphertext out ---- */

/* Inner packets from the kernel (TUN): check the header. */
void out_parse(struct state *st, struct path_burst *b);

/* Find the peer, unless policy has, and its current session; another worker's go there. */
void out_route(struct state *st, struct path_burst *b);

/* A packet whose peer has no session, or behind which others wait for one: keep it until there is
 * one. p->peer is known. Returns PATH_GONE or the counter to drop it under. */
uint32_t wait_put(struct state *st, struct path_pkt *p);

/* Behind out_route, for what the hub sends and what other workers let pass: may it pass here? */
void policy_late(struct state *st, struct path_burst *b);

/* May the peer be sent so much? */
void limit_out(struct state *st, struct path_burst *b);

/* Take counters, pad, and encrypt the whole burst at once. Empty packets are keepalives. */
void out_seal(struct state *st, struct path_burst *b);

/* The two halves of out_seal, likewise. ops[PATH_BURST_MAX], of which begin fills b->n. */
void out_seal_begin(struct state *st, struct path_burst *b, struct aead_op *ops);
void out_seal_end(struct state *st, struct path_burst *b, const struct aead_op *ops);

/* Write the outer headers; mbuf->port = WAN port to send on. */
void out_wrap(struct state *st, struct path_burst *b);

/* ---- by the side ---- */

/* Frames from the kernel for a WAN port (TAP): those that can be sent stay. */
void inject_frames(struct state *st, struct path_burst *b);

/* A handshake message of control's: append its frame to b, or keep it back until its next hop is
 * known. b has room. */
void inject_message(struct state *st, struct path_burst *b, const struct abi_cmd_inject *cmd);

/* Handshake messages that were kept back: append those that can go now to b, drop those that waited
 * too long. Call when neighbours changed and with the timers. */
void inject_held(struct state *st, struct path_burst *b);

/* Append the answers of in_handshake() to b. */
void inject_replies(struct state *st, struct path_burst *b);

/* Turn st->keepalives into empty packets for out_seal, appended to b. */
void inject_keepalives(struct state *st, struct path_burst *b);

/* Packets that waited for a session and can go now: append them to b, for out_route. Those that wait in
 * vain are dropped. A few peers a call; returns how many packets were taken. */
uint32_t wait_release(struct state *st, struct path_burst *b);
/* The worker ends: drop all that waits. */
void wait_stop(struct state *st);

/* For what waited: may it still pass? in_peer sent it to p->peer. PATH_KEEP or a drop counter. */
uint32_t policy_again(struct state *st, struct path_pkt *p, uint32_t in_peer);

/* Empty to_kernel into the exception thread's ring, to_control and the events into control's. */
void punt(struct state *st);

/* Somebody looks at packets: copy those of a burst whose sessions are known (way: FROM_PEER or TO_PEER),
 * or one that is dropped, as its sample describes it: data[len] from its IP header on. */
void capture_burst(struct state *st, const struct path_burst *b, enum abi_capture_way way);
void capture_drop(struct state *st, const struct abi_report_drop *drop, const uint8_t *data,
                  uint32_t len);

/* Empty to_worker[] into the mesh. */
void handoff(struct state *st);

/* Sort what came from another worker into the bursts for in_session and out_route, which have room.
 * mbufs[n] as dequeued. */
void handoff_receive(struct state *st, struct rte_mbuf *const mbufs[], uint32_t n,
                     struct path_burst *in, struct path_burst *out);

#endif

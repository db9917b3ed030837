/* What a worker knows about handshake messages before control hears of them: whose mac1 is right, whether
 * strangers want more than control can do (whitepaper 5.3), cookies, and how much anybody may have. The
 * station is path/in_handshake.c. Whoever knows the hub's address can send such messages, and who knows
 * its public key, ones with a right mac1; so nothing here grows with what they send. */
#ifndef STATE_GATE_H
#define STATE_GATE_H

#include "abi_layout.h"
#include "base_source.h"
#include "wg_cookie.h"
#include "wg_mac1.h"

#include <stdbool.h>
#include <stdint.h>

/* Messages of which a worker checks mac1, a second and at once: some 100 cycles each (wg_mac1.h), so 4 %
 * of a core at most. */
#define STATE_GATE_MAC1_PER_S    1000000U
#define STATE_GATE_MAC1_BURST    10000U
/* With a right mac1, all workers together: what control can look at. More is load, which lasts until a
 * second after the last of it. */
#define STATE_GATE_CONTROL_PER_S 20000U
#define STATE_GATE_CONTROL_BURST 256U
#define STATE_GATE_HOLD_NS       BASE_NS_PER_S
/* Under load: so many that prove nothing go to control all the same, all workers together, so that a flood
 * from few sources, which are limited, costs nobody else a cookie and with it 5 s. An initiation costs
 * control 360,000 cycles. */
#define STATE_GATE_TRIAL_PER_S   1000U
#define STATE_GATE_TRIAL_BURST   64U
/* Under load, each source: those that prove nothing, and those whose mac2 is right, apart: nobody can
 * use up what is another's by naming its address. */
#define STATE_GATE_SOURCE_PER_S  20U
#define STATE_GATE_SOURCE_BURST  5U
/* Cookies given out, some 2,000 cycles each: 24 % of a core at most. A client asks once in 5 s, so in a flood from
 * everywhere it must be answered the first time, and nothing tells it from the others. */
#define STATE_GATE_REPLIES_PER_S 300000U
#define STATE_GATE_REPLIES_BURST 1000U
/* Of these while a whole burst came at once, which is when more waits in front of the worker: that is others' too. */
#define STATE_GATE_BEHIND_PER_S  100000U
/* Of all these, to one address and port, for which a cookie is good: who goes on without it wants none. */
#define STATE_GATE_ASKED_PER_S   1000U
#define STATE_GATE_ASKED_BURST   100U
/* Cookies taken in, which have no mac1: they answer what the hub itself sent, so few are honest. */
#define STATE_GATE_COOKIES_PER_S 1000U
#define STATE_GATE_COOKIES_BURST 64U

/* A key of the hub's that messages may be meant for. */
struct state_gate_key {
	uint8_t public_key[WG_KEY_LEN];
	struct wg_mac1_key mac1;
	struct wg_cookie_checker cookies;
};

struct state_gate {
	uint32_t n_waiting; /* handshake messages in the burst, for the station */
	uint32_t n_keys;
	struct state_gate_key keys[ABI_HUB_KEYS];
	uint8_t seed[32];       /* of the next cookie secret and of itself then; never leaves */
	uint64_t load_until_ns; /* under load until then */
	bool is_behind;         /* the burst is as long as one can be: worker_run.c says so */
	/* all zero is full */
	struct base_bucket mac1;
	struct base_bucket control;
	struct base_bucket trial;
	struct base_bucket proven;
	struct base_bucket replies;
	struct base_bucket replies_behind;
	struct base_bucket cookies;
	struct base_source_table unproven_of;
	struct base_source_table proven_of;
	struct base_source_table asked_of; /* by address and port */
};

/* random: nobody else's. */
void state_gate_init(struct state_gate *gate, const uint8_t random[static 32]);

/* The hub's keys as control wants them, n_keys checked. A key that was there before keeps its cookies. */
void state_gate_keys(struct state_gate *gate, const struct abi_cmd_hub *hub);

/* Answer message, whose mac1 is right for key, with a cookie for its source. nonce_random: any three
 * words that do not come again; who knows the hub's public key can read the reply anyway. */
void state_gate_reply(struct state_gate *gate, uint32_t key, const uint8_t *message, uint32_t len,
                      const struct base_endpoint *source, const uint64_t nonce_random[static 3],
                      uint64_t now_ns, uint8_t reply[static WG_COOKIE_LEN]);

/* Take one of so many a second, constants, of which n_sharing workers have a part each. */
static inline bool state_gate_take(struct base_bucket *bucket, uint32_t per_s, uint32_t burst,
                                   uint32_t n_sharing, uint64_t now_ns)
{
	struct base_bucket_rate rate = base_bucket_rate(per_s, burst);

	rate.cost_ns *= n_sharing;
	rate.capacity_ns *= n_sharing;
	return base_bucket_take(bucket, &rate, 1, now_ns);
}

#endif

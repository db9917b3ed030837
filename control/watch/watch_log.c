/* wg-drop: lines. Each line of a packet stands for one drop, each "suppressed N" for N of them; what the
 * workers' exact count has grown by beyond the lines is what was left out. */
#include "base_text.h"
#include "base_time.h"
#include "program.h"
#include "watch_private.h"

#include <netinet/in.h>
#include <stdio.h>

#define MODULE "wg-drop" /* the prefix: "wg-drop: ..." */

static const struct base_bucket_rate pair_rate = {
	.cost_ns = 10 * BASE_NS_PER_S,
	.capacity_ns = 5 * 10 * BASE_NS_PER_S,
};

static const struct base_bucket_rate all_rate = {
	.cost_ns = BASE_NS_PER_S / 10,
	.capacity_ns = 50 * BASE_NS_PER_S / 10,
};

/* " sport=1 dport=2", " type=8 code=0" or "". */
static const char *ports_text(const struct abi_report_drop *drop, char buf[static 32])
{
	bool is_icmp = drop->proto == IPPROTO_ICMP || drop->proto == IPPROTO_ICMPV6;

	buf[0] = '\0';
	if (drop->has_ports)
		snprintf(buf, 32, is_icmp ? " type=%u code=%u" : " sport=%u dport=%u", drop->sport,
		         drop->dport);
	return buf;
}

static void log_packet(const struct watch_drop *kept)
{
	const struct abi_report_drop *drop = &kept->drop;
	char time[BASE_TIME_STRLEN];
	char source[BASE_IP_STRLEN] = "-";
	char destination[BASE_IP_STRLEN] = "-";
	char proto[8];
	char ports[32];

	if (drop->source.family != BASE_IP_NONE)
		base_ip_format(&drop->source, source);
	if (drop->destination.family != BASE_IP_NONE)
		base_ip_format(&drop->destination, destination);
	log_info(MODULE, "time=%s %s=%s src=%s dst=%s proto=%s%s reason=%s len=%u worker=%u%s",
	         base_time_text(kept->wall_ns, time),
	         drop->flags & ABI_DROP_TO_PEER ? "to-peer" : "peer", kept->peer, source,
	         destination,
	         drop->source.family == BASE_IP_NONE ? "-" : watch_proto(drop->proto, proto),
	         ports_text(drop, ports), watch_reason(drop->reason), drop->len, kept->worker,
	         drop->flags & ABI_DROP_OUTER ? " outer=1" : "");
}

static void log_suppressed(uint64_t n, const char *peer, uint32_t reason, uint32_t worker)
{
	if (n > 0)
		log_info(MODULE, "suppressed %llu peer=%s reason=%s worker=%u",
		         (unsigned long long)n, peer, watch_reason(reason), worker);
}

/* The pair may get drops that no line speaks of: watch__log_flush() will, if there is room for it. */
static void leave_open(struct watch *watch, struct watch_pair *pair, const struct watch_drop *kept)
{
	pair->is_fresh = true;
	if (pair->is_open || watch->n_open == WATCH_OPEN)
		return;
	pair->is_open = true;
	watch->open[watch->n_open++] = (struct watch_open){.worker = kept->worker,
	                                                   .place = kept->drop.place,
	                                                   .peer = kept->drop.peer,
	                                                   .reason = kept->drop.reason};
}

void watch__log_drop(struct watch *watch, const struct watch_drop *kept, uint64_t now_ns)
{
	const struct abi_report_drop *drop = &kept->drop;
	struct base_bucket lines;
	struct watch_pair *pair;

	if (drop->place == UINT32_MAX) {
		if (base_bucket_take(&watch->lines, &all_rate, 1, now_ns))
			log_packet(kept);
		return;
	}
	pair = &watch->pairs[kept->worker][drop->place];
	leave_open(watch, pair, kept);
	if (drop->count <= pair->logged) {
		if (program_drop_count(watch->setup.program, kept->worker, drop->place)
		    >= pair->logged)
			return;   /* watch__log_flush() was faster, and has spoken of it */
		pair->logged = 0; /* another peer has the number now */
	}
	lines = pair->lines; /* which are taken only with one of all */
	if (!base_bucket_take(&lines, &pair_rate, 1, now_ns)
	    || !base_bucket_take(&watch->lines, &all_rate, 1, now_ns))
		return;
	pair->lines = lines;
	log_suppressed(drop->count - 1 - pair->logged, kept->peer, drop->reason, kept->worker);
	log_packet(kept);
	pair->logged = drop->count;
}

void watch__log_flush(struct watch *watch, uint64_t now_ns)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < watch->n_open; i++) {
		const struct watch_open open = watch->open[i];
		struct watch_pair *pair = &watch->pairs[open.worker][open.place];
		uint64_t count = program_drop_count(watch->setup.program, open.worker, open.place);
		char buf[16];

		pair->is_open = pair->is_fresh || count > pair->logged;
		pair->is_fresh = false;
		if (!pair->is_open)
			continue;
		watch->open[n++] = open;
		if (count <= pair->logged || !base_bucket_take(&watch->lines, &all_rate, 1, now_ns))
			continue;
		log_suppressed(count - pair->logged, watch_peer(watch->setup.peers, open.peer, buf),
		               open.reason, open.worker);
		pair->logged = count;
	}
	watch->n_open = n;
}

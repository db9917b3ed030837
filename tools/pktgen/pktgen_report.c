/* Progress, table, JSON. */
#include "pktgen_report.h"

#include <jansson.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>

static const struct {
	const char *name;
	double share;
} percentiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}};

/* What a sink that opens a part of the packets cannot know is not said. */
static bool opens_all(const struct pktgen_run *run)
{
	return run->options->open_every == 1;
}

static uint64_t lost(const struct pktgen_stats *stats)
{
	return stats->sent > stats->received ? stats->sent - stats->received : 0;
}

/* As fast as it goes: how often the port was full. Near 1 the other side is the slower one. */
static double waited(const struct pktgen_stats *stats)
{
	return stats->turns > 0 ? (double)stats->waited / (double)stats->turns : 0;
}

static double per_second(uint64_t n, double seconds)
{
	return seconds > 0 ? (double)n / seconds : 0;
}

static double gbit(uint64_t bytes, double seconds)
{
	return per_second(bytes, seconds) * 8e-9;
}

static double handshake_seconds(const struct pktgen_handshake_stats *stats)
{
	return (double)(stats->last_ns - stats->first_ns) * 1e-9;
}

/* Sessions renewed during the trials. */
static uint64_t rekeys(const struct pktgen_run *run)
{
	return run->handshakes.stats.completed - run->first_handshakes.completed;
}

/* ---- progress ----------------------------------------------------------------------------------- */

void pktgen_report_progress(const struct pktgen_run *run, double seconds)
{
	const struct pktgen_stats *now = &run->stats, *before = &run->before;
	double sent = per_second(now->sent - before->sent, seconds);
	double received = per_second(now->received - before->received, seconds);
	double bits = gbit(now->received_bytes - before->received_bytes, seconds);

	if (pktgen_handshakes_open(&run->handshakes) > 0 && now->sent == before->sent) {
		fprintf(stderr, "weir-pktgen: %llu of %u peers have a session\n",
		        (unsigned long long)run->handshakes.stats.completed, run->peers.n);
		return;
	}
	fprintf(stderr, "weir-pktgen: sent %.3f Mpps, received %.3f Mpps %.3f Gbit/s\n",
	        sent * 1e-6, received * 1e-6, bits);
}

/* ---- JSON --------------------------------------------------------------------------------------- */

/* To so many digits behind the point as a measurement has. */
static json_t *rounded(double value, double scale)
{
	return json_real(round(value * scale) / scale);
}

static json_t *integer(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static json_t *micros(uint64_t ns)
{
	return rounded((double)ns * 1e-3, 1000);
}

static json_t *latency_json(const struct pktgen_hist *hist)
{
	json_t *object = json_object();

	json_object_set_new(object, "n", integer(hist->n));
	json_object_set_new(object, "min", micros(hist->min_ns));
	json_object_set_new(object, "mean", rounded(pktgen_hist_mean(hist) * 1e-3, 1000));
	for (size_t i = 0; i < BASE_ARRAY_LEN(percentiles); i++)
		json_object_set_new(object, percentiles[i].name,
		                    micros(pktgen_hist_percentile(hist, percentiles[i].share)));
	json_object_set_new(object, "max", micros(hist->max_ns));
	return object;
}

static json_t *setup_json(const struct pktgen_run *run)
{
	const struct pktgen_options *o = run->options;
	json_t *object = json_object();

	json_object_set_new(object, "port", json_string(o->port));
	json_object_set_new(object, "driver", json_string(run->port.driver));
	json_object_set_new(object, "backend", json_string(aead_name(run->aead)));
	json_object_set_new(object, "peers", json_integer(o->n_peers));
	json_object_set_new(object, "addresses", json_integer(o->n_addresses));
	if (o->command == PKTGEN_HANDSHAKE)
		return object;
	json_object_set_new(object, "pattern", json_string(pktgen_args_pattern_name(o->pattern)));
	json_object_set_new(object, "both_ways", json_boolean(o->both_ways));
	json_object_set_new(object, "flows", json_integer(run->flows.n));
	json_object_set_new(object, "size",
	                    o->size != 0 ? json_integer(o->size) : json_string("imix"));
	json_object_set_new(object, "mean_size", rounded(pktgen_run_mean_len(o), 10));
	json_object_set_new(object, "open_every", json_integer(o->open_every));
	return object;
}

static json_t *handshakes_json(const struct pktgen_handshake_stats *stats)
{
	json_t *object = json_object();
	double seconds = handshake_seconds(stats);

	json_object_set_new(object, "completed", integer(stats->completed));
	json_object_set_new(object, "sent", integer(stats->sent));
	json_object_set_new(object, "retried", integer(stats->retried));
	json_object_set_new(object, "cookies", integer(stats->cookies));
	json_object_set_new(object, "refused", integer(stats->refused));
	json_object_set_new(object, "failed", integer(stats->failed));
	json_object_set_new(object, "seconds", rounded(seconds, 1e6));
	json_object_set_new(object, "per_second",
	                    rounded(per_second(stats->completed, seconds), 10));
	json_object_set_new(object, "latency_us", latency_json(&stats->latency));
	return object;
}

static json_t *trial_json(const struct pktgen_run *run, const struct pktgen_trial *trial)
{
	const struct pktgen_stats *s = &trial->stats;
	json_t *object = json_object();
	const struct {
		const char *name;
		uint64_t value;
	} counts[] = {
		{"sent", s->sent},           {"unsent", s->unsent},
		{"skipped", s->skipped},     {"no_session", s->no_session},
		{"received", s->received},   {"lost", lost(s)},
		{"reordered", s->reordered}, {"duplicated", s->duplicated},
		{"corrupted", s->corrupted}, {"misdelivered", s->misdelivered},
		{"forged", s->forged},       {"unknown", s->unknown},
		{"stale", s->stale},         {"other", s->other},
	};

	json_object_set_new(object, "rate_pps",
	                    trial->rate_pps > 0 ? rounded(trial->rate_pps, 1) : json_null());
	json_object_set_new(object, "seconds", rounded(trial->seconds, 1e6));
	for (size_t i = 0; i < BASE_ARRAY_LEN(counts); i++)
		json_object_set_new(object, counts[i].name, integer(counts[i].value));
	json_object_set_new(object, "lost_ratio",
	                    rounded(s->sent > 0 ? (double)lost(s) / (double)s->sent : 0, 1e9));
	json_object_set_new(object, "waited_ratio", rounded(waited(s), 1e4));
	json_object_set_new(object, "sent_pps", rounded(per_second(s->sent, trial->seconds), 1));
	json_object_set_new(object, "received_pps",
	                    rounded(per_second(s->received, trial->seconds), 1));
	json_object_set_new(object, "sent_gbps", rounded(gbit(s->sent_bytes, trial->seconds), 1e6));
	json_object_set_new(object, "received_gbps",
	                    rounded(gbit(s->received_bytes, trial->seconds), 1e6));
	if (opens_all(run) || s->latency.n > 0)
		json_object_set_new(object, "latency_us", latency_json(&s->latency));
	return object;
}

static int print_json(const struct pktgen_run *run, const struct pktgen_results *results)
{
	json_t *root = json_object(), *trials = json_array();
	int err;

	json_object_set_new(root, "program", json_string("weir-pktgen " WEIR_VERSION));
	json_object_set_new(root, "command",
	                    json_string(pktgen_args_command_name(run->options->command)));
	json_object_set_new(root, "setup", setup_json(run));
	json_object_set_new(root, "handshakes", handshakes_json(&run->first_handshakes));
	for (uint32_t i = 0; i < results->n_trials; i++)
		json_array_append_new(trials, trial_json(run, &results->trial[i]));
	json_object_set_new(root, "rekeys", integer(rekeys(run)));
	json_object_set_new(root, "answered", integer(run->handshakes.stats.answered));
	json_object_set_new(root, "trials", trials);
	if (results->searched)
		json_object_set_new(root, "found_pps",
		                    results->found_pps > 0 ? rounded(results->found_pps, 1)
		                                           : json_null());
	err = json_dumpf(root, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(12));
	json_decref(root);
	putchar('\n');
	return err == 0 && fflush(stdout) == 0 ? 0 : -EIO;
}

/* ---- table -------------------------------------------------------------------------------------- */

static void print_handshakes(const struct pktgen_handshake_stats *stats)
{
	double seconds = handshake_seconds(stats);

	printf("handshakes  %llu in %.3f s, %.0f a second; retried %llu, cookies %llu, refused "
	       "%llu, failed %llu\n"
	       "            latency us: p50 %.1f  p99 %.1f  max %.1f\n",
	       (unsigned long long)stats->completed, seconds, per_second(stats->completed, seconds),
	       (unsigned long long)stats->retried, (unsigned long long)stats->cookies,
	       (unsigned long long)stats->refused, (unsigned long long)stats->failed,
	       (double)pktgen_hist_percentile(&stats->latency, 0.5) * 1e-3,
	       (double)pktgen_hist_percentile(&stats->latency, 0.99) * 1e-3,
	       (double)stats->latency.max_ns * 1e-3);
}

static void print_trial(const struct pktgen_trial *trial)
{
	const struct pktgen_stats *s = &trial->stats;
	char rate[32] = "max";

	if (trial->rate_pps > 0)
		snprintf(rate, sizeof(rate), "%.3f", trial->rate_pps * 1e-6);
	printf("%9s %8.3f %8.3f %8.3f  %12llu %10llu %9.5f %9llu %6llu %7llu", rate,
	       per_second(s->sent, trial->seconds) * 1e-6,
	       per_second(s->received, trial->seconds) * 1e-6,
	       gbit(s->received_bytes, trial->seconds), (unsigned long long)s->sent,
	       (unsigned long long)lost(s),
	       s->sent > 0 ? 100 * (double)lost(s) / (double)s->sent : 0,
	       (unsigned long long)s->reordered, (unsigned long long)s->duplicated,
	       (unsigned long long)(s->corrupted + s->misdelivered + s->forged));
	for (size_t i = 0; i < BASE_ARRAY_LEN(percentiles); i++)
		printf(" %8.1f",
		       (double)pktgen_hist_percentile(&s->latency, percentiles[i].share) * 1e-3);
	printf(" %8.1f", (double)s->latency.max_ns * 1e-3);
	if (trial->rate_pps <= 0)
		printf("  port full in %.0f %% of turns", 100 * waited(s));
	if (s->unsent + s->skipped + s->no_session > 0)
		printf("  not sent: no room %llu, late %llu, no session %llu",
		       (unsigned long long)s->unsent, (unsigned long long)s->skipped,
		       (unsigned long long)s->no_session);
	putchar('\n');
}

static int print_table(const struct pktgen_run *run, const struct pktgen_results *results)
{
	const struct pktgen_options *o = run->options;
	char size[8] = "imix";

	if (o->size != 0)
		snprintf(size, sizeof(size), "%u", o->size);
	printf("port        %s (%s), %s\n", o->port, run->port.driver, aead_name(run->aead));
	printf("peers       %u behind %u address%s\n", o->n_peers, o->n_addresses,
	       o->n_addresses == 1 ? "" : "es");
	print_handshakes(&run->first_handshakes);
	if (rekeys(run) + run->handshakes.stats.answered > 0)
		printf("            %llu sessions renewed since, and %llu by the hub\n",
		       (unsigned long long)rekeys(run),
		       (unsigned long long)run->handshakes.stats.answered);
	if (results->n_trials > 0) {
		printf("traffic     %s, %s, %u flows, inner packets of %s bytes\n\n",
		       pktgen_args_pattern_name(o->pattern), o->both_ways ? "both ways" : "one way",
		       run->flows.n, size);
		printf("     rate     sent received received                                    "
		       "                     latency, microseconds\n");
		printf("     Mpps     Mpps     Mpps   Gbit/s          sent       lost         %% "
		       "reordered   dupl corrupt      p50      p90      p99    p99.9      max\n");
	}
	for (uint32_t i = 0; i < results->n_trials; i++)
		print_trial(&results->trial[i]);
	if (results->searched && results->found_pps > 0)
		printf("\nhighest rate that passed: %.3f Mpps\n", results->found_pps * 1e-6);
	else if (results->searched)
		printf("\nno rate passed\n");
	return fflush(stdout) == 0 ? 0 : -EIO;
}

int pktgen_report_print(const struct pktgen_run *run, const struct pktgen_results *results)
{
	return run->options->json ? print_json(run, results) : print_table(run, results);
}

#include "bench/source_total.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include "bench/jsonw.h"

static const char *const stat_names[SOURCE_STATS] = {
#define STAT(id, text) #id,
#include "bench/source_stats.def"
#undef STAT
};

int source_total_init(struct source_total *t, const struct source_opts *o)
{
	*t = (struct source_total){ .opts = o,
				    .worker_count = o->threads,
				    .begin_usec = clock_now() };
	atomic_init(&t->tokens, o->messages ? (int64_t)o->messages : INT64_MAX / 2);
	atomic_init(&t->next_number, o->first_number);
	t->counts = calloc(o->threads, sizeof(*t->counts));
	return t->counts ? 0 : -ENOMEM;
}

void source_total_free(struct source_total *t)
{
	free(t->counts);
	t->counts = NULL;
}

uint64_t source_total_get(const struct source_total *t, enum source_stat stat)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < t->worker_count; i++)
		n += atomic_load_explicit(&t->counts[i].v[stat], memory_order_relaxed);
	return n;
}

void source_total_error(struct source_count *c, const char *what, const char *text)
{
	char line[SOURCE_ERROR_TEXT];

	if (c->error_n == SOURCE_ERRORS)
		return;
	snprintf(line, sizeof(line), "%s: %s", what, text);
	for (unsigned i = 0; i < c->error_n; i++)
		if (strcmp(c->error[i], line) == 0)
			return;
	memcpy(c->error[c->error_n++], line, sizeof(line));
}

uint32_t source_total_claim(struct source_total *t)
{
	if (atomic_load_explicit(&t->stopping, memory_order_relaxed))
		return 0;
	if (atomic_fetch_sub(&t->tokens, 1) <= 0) {
		atomic_fetch_add(&t->tokens, 1);
		return 0;
	}
	return atomic_fetch_add(&t->next_number, 1);
}

void source_total_unclaim(struct source_total *t)
{
	atomic_fetch_add(&t->tokens, 1);
}

usec_t source_total_due(const struct source_total *t, uint32_t number)
{
	if (t->opts->rate_per_sec <= 0)
		return 0;
	return t->begin_usec +
	       (usec_t)((double)(number - t->opts->first_number) * 1e6 / t->opts->rate_per_sec);
}

static const struct {
	const char *name;
	double q;
} quantiles[] = { { "p50", .5 }, { "p90", .9 }, { "p99", .99 }, { "p99.9", .999 }, { "max", 1 } };

enum { QUANTILES = sizeof(quantiles) / sizeof(quantiles[0]) };

static double cpu_seconds(void)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	return (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
	       (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
}

static double seconds(const struct source_total *t)
{
	return (double)(t->end_usec - t->begin_usec) / 1e6;
}

/* In milliseconds. */
static void latencies(const struct source_total *t, double ms[QUANTILES])
{
	struct hist *h = calloc(1, sizeof(*h));

	memset(ms, 0, QUANTILES * sizeof(*ms));
	if (!h)
		return;
	for (unsigned i = 0; i < t->worker_count; i++)
		hist_merge(h, &t->counts[i].latency);
	for (unsigned i = 0; i < QUANTILES; i++)
		ms[i] = (double)hist_quantile(h, quantiles[i].q) / 1000;
	free(h);
}

void source_total_json(const struct source_total *t, struct outbuf *out)
{
	struct jsonw w;
	double ms[QUANTILES], wall = seconds(t);

	jsonw_init(&w, out);
	jsonw_open(&w, NULL);
	jsonw_str(&w, "run", t->opts->run, strlen(t->opts->run));
	jsonw_u64(&w, "messages", t->opts->messages);
	jsonw_u64(&w, "sessions", t->opts->sessions);
	for (unsigned i = 0; i < SOURCE_STATS; i++)
		jsonw_u64(&w, stat_names[i], source_total_get(t, (enum source_stat)i));
	jsonw_num(&w, "seconds", wall, 6);
	jsonw_num(&w, "accepted_per_s",
		  wall > 0 ? (double)source_total_get(t, SOURCE_accepted) / wall : 0, 1);
	jsonw_num(&w, "begin_monotonic_s", (double)t->begin_usec / 1e6, 6);
	jsonw_num(&w, "end_monotonic_s", (double)t->end_usec / 1e6, 6);
	jsonw_num(&w, "cpu_s", cpu_seconds(), 6);
	latencies(t, ms);
	jsonw_open(&w, "latency_ms");
	for (unsigned i = 0; i < QUANTILES; i++)
		jsonw_num(&w, quantiles[i].name, ms[i], 3);
	jsonw_close(&w);
	jsonw_list(&w, "errors");
	for (unsigned i = 0; i < t->worker_count; i++)
		for (unsigned e = 0; e < t->counts[i].error_n; e++)
			jsonw_str(&w, NULL, t->counts[i].error[e], strlen(t->counts[i].error[e]));
	jsonw_list_end(&w);
	jsonw_close(&w);
	outbuf_mem(out, "\n", 1);
}

void source_total_text(const struct source_total *t, struct outbuf *out)
{
	double ms[QUANTILES], wall = seconds(t), cpu = cpu_seconds();
	uint64_t accepted = source_total_get(t, SOURCE_accepted);

	outbuf_fmt(out, "%ju accepted, %ju tempfailed, %ju rejected, %ju unknown, %ju abandoned\n",
		   (uintmax_t)accepted, (uintmax_t)source_total_get(t, SOURCE_tempfailed),
		   (uintmax_t)source_total_get(t, SOURCE_rejected),
		   (uintmax_t)source_total_get(t, SOURCE_unknown),
		   (uintmax_t)source_total_get(t, SOURCE_abandoned));
	outbuf_fmt(out,
		   "%.3f s, %.0f messages/s, %u sessions, %ju connections (%ju failed, %ju lost)\n",
		   wall, wall > 0 ? (double)accepted / wall : 0, t->opts->sessions,
		   (uintmax_t)source_total_get(t, SOURCE_connections),
		   (uintmax_t)source_total_get(t, SOURCE_connect_failed),
		   (uintmax_t)source_total_get(t, SOURCE_lost));
	latencies(t, ms);
	outbuf_str(out, "latency ms:");
	for (unsigned i = 0; i < QUANTILES; i++)
		outbuf_fmt(out, " %s %.2f", quantiles[i].name, ms[i]);
	outbuf_fmt(out, "\ncpu %.3f s, %.4f s per 1000 messages\n", cpu,
		   accepted ? cpu / (double)accepted * 1000 : 0);
	for (unsigned i = 0; i < t->worker_count; i++)
		for (unsigned e = 0; e < t->counts[i].error_n; e++)
			outbuf_fmt(out, "error: %s\n", t->counts[i].error[e]);
}

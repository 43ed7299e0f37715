#include "core/stats.h"

#include "core/thread.h"
#include "tests/tap.h"

#include <stdio.h>
#include <stdlib.h>

enum { ACCEPTED = 0, OPEN, DELAY, EMPTY, REPLY_2, REPLY_5, LEVEL };

static const struct stats_row rows[] = {
	{ "rcpt_accepted", STATS_COUNTER, "recipients", "RCPT commands answered 250" },
	{ "sessions_open", STATS_GAUGE, "sessions", "Sessions now" },
	{ "commit_usec", STATS_HISTOGRAM, "us", "From final dot to durable" },
	{ "never", STATS_HISTOGRAM, "us", "Nothing is observed here" },
	{ "replies{class=\"2xx\",stage=\"mail\"}", STATS_COUNTER, "replies", "Replies" },
	{ "replies{class=\"5xx\",stage=\"mail\"}", STATS_COUNTER, "replies", "Replies" },
	{ "level", STATS_GAUGE, "", "Measured when it is read" },
};

enum { THREADS = 4, ROUNDS = 100000 };

static void work(void *arg)
{
	(void)arg;
	stats_thread();
	stats_thread();
	for (unsigned i = 0; i < ROUNDS; i++) {
		stats_add(ACCEPTED, 2);
		stats_add(OPEN, 1);
		if (i)
			stats_add(OPEN, (uint64_t)-1);
		stats_observe(DELAY, 100);
	}
}

static void test_threads(void)
{
	pthread_t t[THREADS];
	uint64_t last = 0, back = 0;

	for (unsigned i = 0; i < THREADS; i++)
		thread_start(&t[i], "worker", THREAD_ANY_CPU, work, NULL);
	for (unsigned i = 0; i < 1000; i++) {
		uint64_t now = stats_sum(ACCEPTED);

		back += now < last;
		last = now;
	}
	for (unsigned i = 0; i < THREADS; i++)
		thread_join(t[i]);
	is_int((int64_t)back, 0, "a sum read meanwhile never goes back");
	is_int((int64_t)stats_sum(ACCEPTED), 2 * THREADS * ROUNDS, "no addition is lost");
	is_int((int64_t)stats_sum(OPEN), THREADS, "a gauge goes down too");
	is_int((int64_t)stats_sum(DELAY), THREADS * ROUNDS, "a histogram counts its observations");
}

static void test_quantiles(void)
{
	is_int((int64_t)stats_quantile(DELAY, 0.5), 127,
	       "the median of 100 is in the bucket up to 127");
	is_int((int64_t)stats_quantile(DELAY, 1.0), 127, "so is the largest");
	is_int((int64_t)stats_quantile(EMPTY, 0.5), 0, "no median of nothing");
	stats_thread();
	for (unsigned i = 0; i < THREADS * ROUNDS; i++)
		stats_observe(DELAY, 5000);
	is_int((int64_t)stats_quantile(DELAY, 0.25), 127, "a quarter is below 127");
	is_int((int64_t)stats_quantile(DELAY, 0.75), 8191, "three quarters are below 8191");
	stats_observe(DELAY, 0);
	is_int((int64_t)stats_quantile(DELAY, 0.0), 0, "0 has a bucket of its own");
	stats_observe(DELAY, UINT64_MAX);
	ok(stats_quantile(DELAY, 1.0) >= (uint64_t)1 << 38, "what is too large is in the last one");
}

static bool has(struct buf *b, const char *text)
{
	return span_find(buf_span(b), span_str(text)) < buf_len(b);
}

static void test_print(void)
{
	struct buf b = { 0 };

	is_int(stats_print_text(&b), 0, "text");
	ok(has(&b, "rcpt_accepted                800000\n") &&
		   has(&b, "sessions_open                4\n"),
	   "has the numbers");
	buf_eat(&b, buf_len(&b));
	is_int(stats_print_json(&b), 0, "JSON");
	ok(span_startswith(
		   buf_span(&b),
		   SPAN("\"rcpt_accepted\":800000,\"sessions_open\":4,\"commit_usec\":{\"count\":")) &&
		   has(&b, ",\"never\":{\"count\":0,\"sum\":0,\"p50\":0,\"p99\":0}"),
	   "members without braces");
	buf_eat(&b, buf_len(&b));
	is_int(stats_print_openmetrics(&b), 0, "OpenMetrics");
	ok(has(&b,
	       "# TYPE smx_toy_rcpt_accepted counter\n# HELP smx_toy_rcpt_accepted RCPT commands answered 250\n"
	       "smx_toy_rcpt_accepted_total 800000\n"),
	   "a counter");
	ok(has(&b, "# TYPE smx_toy_sessions_open gauge\n") &&
		   has(&b, "\nsmx_toy_sessions_open 4\n"),
	   "a gauge");
	ok(has(&b, "smx_toy_commit_usec_bucket{le=\"127\"} 400001\n") &&
		   has(&b, "smx_toy_commit_usec_bucket{le=\"8191\"} 800001\n") &&
		   has(&b, "smx_toy_commit_usec_bucket{le=\"+Inf\"} 800002\n") &&
		   has(&b, "smx_toy_commit_usec_count 800002\n"),
	   "a histogram, its buckets add up");
	ok(!has(&b, "# EOF"), "the end is the caller's");
	buf_release(&b);
}

static unsigned measured;

static void measure(void)
{
	stats_set(LEVEL, 40 + ++measured);
}

static void test_labels(void)
{
	struct buf b = { 0 };

	stats_add(REPLY_5, 3);
	stats_on_print(measure);
	stats_print_text(&b);
	ok(has(&b, "replies{class=5xx,stage=mail} 3\n") &&
		   has(&b, "replies{class=2xx,stage=mail} 0\n"),
	   "labels in text");
	ok(has(&b, "level                        41\n"), "a gauge that is set while it is printed");
	buf_eat(&b, buf_len(&b));
	stats_print_json(&b);
	ok(has(&b,
	       ",\"replies\":{\"class=2xx,stage=mail\":0,\"class=5xx,stage=mail\":3},\"level\":42"),
	   "labels in JSON");
	buf_eat(&b, buf_len(&b));
	stats_print_openmetrics(&b);
	ok(has(&b,
	       "# TYPE smx_toy_replies counter\n# HELP smx_toy_replies Replies\n"
	       "smx_toy_replies_total{class=\"2xx\",stage=\"mail\"} 0\n"
	       "smx_toy_replies_total{class=\"5xx\",stage=\"mail\"} 3\n# TYPE smx_toy_level gauge\n"),
	   "labels in OpenMetrics, the family said once");
	stats_on_print(NULL);
	buf_release(&b);
}

/* A thread may see the -1 of another before the +1 of a third. */
static void test_gauge_below_zero(void)
{
	struct buf b = { 0 };

	stats_add(OPEN, (uint64_t)-10);
	stats_print_text(&b);
	stats_print_json(&b);
	stats_print_openmetrics(&b);
	ok(!has(&b, "184467"), "a gauge that is below zero for a moment is shown as 0");
	buf_release(&b);
}

int main(void)
{
	is_str(stats_prefix(), "", "no name at first");
	stats_add(ACCEPTED, 1);
	stats_define("toy", rows, sizeof rows / sizeof rows[0]);
	is_str(stats_prefix(), "toy", "the name");
	stats_add(ACCEPTED, 1);
	is_int((int64_t)stats_sum(ACCEPTED), 0, "a thread without a block counts nothing");
	test_threads();
	test_quantiles();
	test_print();
	test_labels();
	test_gauge_below_zero();
	return plan_done();
}

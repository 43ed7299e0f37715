/*
 * core/stats.h - counters and histograms: one block per thread, only its owner writes; readers sum.
 *
 * Owner:  stats_add() the own thread; stats_sum() and the printers any thread.
 * Memory: a process declares its rows once (stats_define); blocks live as long as the process.
 */
#ifndef CORE_STATS_H
#define CORE_STATS_H
#include "core/buf.h"

#include <stdatomic.h>

enum stats_kind { STATS_COUNTER = 0, STATS_GAUGE, STATS_HISTOGRAM };
enum { STATS_BUCKETS = 40 }; /* powers of two of a microsecond or a count */

struct stats_row {
	/* Lower case, without the prefix of the process; rows of one family stand together and
	 * differ in their labels: replies{class="2xx",stage="mail"}. Labels are for counters and
	 * gauges. */
	const char *id;
	enum stats_kind kind;
	const char *unit;
	const char *text;
};

extern _Thread_local _Atomic uint64_t *stats_mine;

/* Once, before threads start: prefix such as "smtps". Counters and gauges take one cell, histograms
 * STATS_BUCKETS + 2. */
void stats_define(const char *prefix, const struct stats_row *rows, unsigned count);
/* The name given to stats_define(), "" before. */
const char *stats_prefix(void);
/* Makes the block of the calling thread if there is none; thread_start() threads call it first. */
void stats_thread(void);
/* First cell of row `id`. */
extern unsigned *stats_cell;

static inline void stats_bump(unsigned cell, uint64_t n)
{
	uint64_t v = atomic_load_explicit(&stats_mine[cell], memory_order_relaxed);

	atomic_store_explicit(&stats_mine[cell], v + n, memory_order_relaxed);
}

/* Own thread; for a gauge n may be (uint64_t)-1. */
static inline void stats_add(unsigned id, uint64_t n)
{
	if (stats_mine)
		stats_bump(stats_cell[id], n);
}

/* A gauge that only this thread sets: its value now. */
void stats_set(unsigned id, uint64_t value);
/* Called by the printers before they read, in their thread: for gauges that are measured only then.
 * NULL: nothing. */
void stats_on_print(void (*fn)(void));

/* Own thread: one observation of a histogram. */
void stats_observe(unsigned id, uint64_t value);
/* Any thread: sum over threads, of a gauge at least 0; for a histogram the number of observations.
 */
uint64_t stats_sum(unsigned id);
/* Upper bound of the bucket that holds the given part (0.5: median) of a histogram; 0 when empty.
 */
uint64_t stats_quantile(unsigned id, double part);

/* All rows, in one of the forms of the control sockets. 0 or -ENOMEM. */
int stats_print_text(struct buf *out);
int stats_print_json(struct buf *out);        /* members of an object, without braces */
int stats_print_openmetrics(struct buf *out); /* without the final "# EOF" */

#endif

/*
 * bench/source_total.h - what smtp-source counted, and its report.
 *
 * Owner: struct source_count belongs to one worker, which alone writes it; readers sum all blocks.
 *        Error texts are read after the workers have ended.
 */
#ifndef BENCH_SOURCE_TOTAL_H
#define BENCH_SOURCE_TOTAL_H
#include <stdatomic.h>
#include "bench/hist.h"
#include "bench/outbuf.h"
#include "bench/source_opts.h"

enum source_stat {
#define STAT(id, text) SOURCE_##id,
#include "bench/source_stats.def"
#undef STAT
	SOURCE_STATS
};

enum { SOURCE_ERRORS = 4, SOURCE_ERROR_TEXT = 200 };

struct source_count {
	_Atomic uint64_t v[SOURCE_STATS];
	struct hist latency; /* MAIL, or the scheduled time, to 250 */
	unsigned error_n;
	char error[SOURCE_ERRORS][SOURCE_ERROR_TEXT]; /* the first different ones */
};

struct source_total {
	const struct source_opts *opts;
	struct source_count *counts; /* one per worker */
	unsigned worker_count;
	usec_t begin_usec, end_usec;
	_Atomic int64_t tokens;       /* messages that may still be begun */
	_Atomic uint32_t next_number; /* of the next message */
	_Atomic bool stopping;        /* begin nothing new */
	_Atomic bool aborting;        /* leave at once */
	_Atomic bool fatal;           /* not tolerant, and there is no connection */
};

/* 0 or -ENOMEM. */
int source_total_init(struct source_total *t, const struct source_opts *o);
void source_total_free(struct source_total *t);

static inline void source_total_add(struct source_count *c, enum source_stat stat, uint64_t n)
{
	uint64_t v = atomic_load_explicit(&c->v[stat], memory_order_relaxed);

	atomic_store_explicit(&c->v[stat], v + n, memory_order_relaxed);
}

/* Sum over all workers. Any thread. */
uint64_t source_total_get(const struct source_total *t, enum source_stat stat);

/* Keeps an error's text when it is new and there is room; `what` says where it happened. */
void source_total_error(struct source_count *c, const char *what, const char *text);

/* Takes the right to send one more message. Returns its number, 0: there is none. */
uint32_t source_total_claim(struct source_total *t);
/* Gives the right back, not the number. */
void source_total_unclaim(struct source_total *t);

/* When message `number` is due by -R's schedule; 0 without one. */
usec_t source_total_due(const struct source_total *t, uint32_t number);

/* Append the results: one JSON object with a newline, a few lines for people. After the workers
 * have ended. */
void source_total_json(const struct source_total *t, struct outbuf *out);
void source_total_text(const struct source_total *t, struct outbuf *out);

#endif

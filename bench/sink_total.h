/*
 * bench/sink_total.h - what arrived at smtp-sink: counters, ids, (message, recipient) pairs,
 * latencies.
 *
 * Owner:  struct sink_count belongs to one worker, which alone writes it; readers sum all blocks.
 *         struct sink_total is shared and made before the workers start.
 * Limits: see idset.h and hashset.h; what does not fit counts as untracked.
 */
#ifndef BENCH_SINK_TOTAL_H
#define BENCH_SINK_TOTAL_H
#include <stdatomic.h>
#include "bench/datascan.h"
#include "bench/hashset.h"
#include "bench/hist.h"
#include "bench/idset.h"
#include "core/clock.h"
#include "core/span.h"

enum sink_stat {
#define STAT(id, text) SINK_##id,
#include "bench/sink_stats.def"
#undef STAT
	SINK_STATS
};

struct sink_count {
	_Atomic uint64_t v[SINK_STATS];
	_Atomic int64_t first_usec; /* of the first and the last message, 0: none yet */
	_Atomic int64_t last_usec;
	struct hist latency; /* from X-SMX-Check's time to acceptance */
	struct idset_run *hint;
};

struct sink_total {
	struct idset *ids;
	struct hashset *pairs;
	unsigned worker_count;
	struct sink_count *counts; /* one per worker */
	usec_t begin_usec;
	uint64_t expect; /* distinct ids to wait for; 0: do not wait */
	uint64_t expect_messages;
	int reached_fd; /* eventfd, written when an expectation is met */
	bool acked_done;
	uint64_t acked, acked_lost, acked_lost_recipients, acked_bad;
	struct outbuf acked_text; /* the first lost ids, one a line */
};

/* 0, or -ENOMEM. pair_count: most recipients to remember. */
int sink_total_init(struct sink_total *t, unsigned worker_count, size_t pair_count);
void sink_total_free(struct sink_total *t);

static inline void sink_total_add(struct sink_count *c, enum sink_stat stat, uint64_t n)
{
	uint64_t v = atomic_load_explicit(&c->v[stat], memory_order_relaxed);

	atomic_store_explicit(&c->v[stat], v + n, memory_order_relaxed);
}

/* Sum over all workers. Any thread. */
uint64_t sink_total_get(const struct sink_total *t, enum sink_stat stat);

/*
 * Records a message, or one more recipient of it (first false, LMTP). rcpt: span_casehash of each
 * recipient. Worker's thread; c is its block.
 */
void sink_total_message(struct sink_total *t, struct sink_count *c, const struct datascan *d,
			const uint64_t *rcpt, size_t rcpt_n, bool first, usec_t now_usec);

/* Ids that should be here and are not: of --acked's file once it was compared, else of --expect,
 * else the gaps. */
uint64_t sink_total_lost(const struct sink_total *t);

/*
 * Compares a file of acknowledged ids: lines "ID" or "ID RECIPIENT...". May be called again, the
 * new result replaces the old one. Blocks on the file. 0 or -errno.
 */
int sink_total_compare(struct sink_total *t, const char *path);

/* Appends one JSON object with a newline. Any one thread at a time. */
void sink_total_json(const struct sink_total *t, struct outbuf *out);

/* Appends a few lines for people. */
void sink_total_text(const struct sink_total *t, struct outbuf *out);

#endif

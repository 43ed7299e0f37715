/*
 * bench/source_worker.h - one thread of smtp-source: an epoll loop with its share of the sessions.
 *
 * Owner:  main() starts, wakes and joins workers; the rest happens on the worker's thread.
 * Memory: about 300 bytes per session; unsent output beyond that.
 */
#ifndef BENCH_SOURCE_WORKER_H
#define BENCH_SOURCE_WORKER_H
#include "bench/source_sess.h"

struct source_worker;

/* What all workers share; stays valid until they are joined. */
struct source_shared {
	const struct source_opts *opts;
	const struct source_text *text;
	struct source_total *total;
	int acked_fd; /* -1: none */
	int done_fd;  /* eventfd, written by each worker that has ended */
};

/* Starts thread number `index` with so many sessions. NULL with errno set when it cannot. */
struct source_worker *source_worker_start(struct source_shared *shared, unsigned index,
					  unsigned sessions);

/* Makes the thread look at total->stopping and total->aborting. */
void source_worker_wake(struct source_worker *w);

/* Waits for the thread and frees everything. */
void source_worker_join(struct source_worker *w);

#endif

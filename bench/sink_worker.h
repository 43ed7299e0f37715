/*
 * bench/sink_worker.h - one thread of smtp-sink: an epoll loop with its own sessions.
 *
 * Owner:  main() makes, starts, stops and joins workers; the rest happens on the worker's thread.
 *         Listening sockets are shared by all workers, with EPOLLEXCLUSIVE when there are several.
 * Memory: about 1 KB per session, kept for the next connection; input is read into one buffer per
 *         worker.
 */
#ifndef BENCH_SINK_WORKER_H
#define BENCH_SINK_WORKER_H
#include "bench/sink_sess.h"

struct sink_worker;

/* What all workers share; stays valid until they are joined. */
struct sink_shared {
	struct sink_opts *opts;
	struct sink_total *total;
	int listen_fds[SINK_LISTEN_MAX];
	_Atomic int64_t limit_slot;
	_Atomic uint64_t dump_number;
};

/* Starts thread number `index`. NULL with errno set when it cannot. */
struct sink_worker *sink_worker_start(struct sink_shared *shared, unsigned index);

/* Asks the thread to end after the turn it is in; replies of that turn are still sent. */
void sink_worker_stop(struct sink_worker *w);

/* Waits for the thread and frees everything. */
void sink_worker_join(struct sink_worker *w);

#endif

/*
 * proto/smtps_worker.h - one event loop of smtps: its thread, its sessions, when it accepts
 * connections.
 *
 * Work is packed: loop 0 always accepts; loop n + 1 begins when loop n is busy, and ends when it
 * has little to do.
 * Owner:  the struct belongs to its thread after smtps_worker_start(); other threads use the
 *         functions marked so.
 * Memory: until smtps_worker_free().
 * Limits: option max_sessions over all loops, each its fair share; the credit of qmgr; descriptors,
 *         of which some are left for content files, links and control sockets.
 *         A loop that may not accept takes the listening sockets out of its set, so that nothing
 *         spins.
 */
#ifndef PROTO_SMTPS_WORKER_H
#define PROTO_SMTPS_WORKER_H
#include "core/link.h"
#include "proto/smtps_conf.h"

#include <stdatomic.h>

enum { SMTPS_WORKERS_MAX = 256, SMTPS_LISTEN_MAX = 16 };

struct smtps_worker;
struct cdb_writer;

/* What all loops share; constant but for the atomics. */
struct smtps_shared {
	struct smtps_worker *worker[SMTPS_WORKERS_MAX];
	unsigned worker_count;
	int listen_fd[SMTPS_LISTEN_MAX];
	bool listen_local[SMTPS_LISTEN_MAX]; /* a unix socket */
	unsigned listen_count;
	struct link_hello hello;
	struct cdb_writer *cdb;
	unsigned sessions_max; /* what descriptors allow */
	atomic_uint sessions;  /* open in all loops */
	atomic_uint armed;     /* loops that are to accept */
};

/* Makes loop number n; its thread does not run yet. NULL: *error is -errno. */
struct smtps_worker *smtps_worker_new(struct smtps_shared *sh, unsigned n, struct smtps_conf *conf,
				      int *error);
/* For the content writer: loop 0 is told of segments. */
struct loop *smtps_worker_loop(struct smtps_worker *w);
void smtps_worker_segment(void *ctx, uint64_t seg, uint64_t gen, uint64_t bytes_or_end,
			  bool sealed);
void smtps_worker_spare(void *ctx, uint64_t seg, uint64_t gen, uint64_t bytes);
void smtps_worker_punched(void *ctx, uint64_t seg, uint64_t gen, int error, uint64_t left);
/* Starts the thread, on this CPU unless THREAD_ANY_CPU. 0 or -errno. */
int smtps_worker_start(struct smtps_worker *w, int cpu);

/* Any thread: a new configuration, of which the loop takes a reference. -ENOMEM: it keeps the old
 * one. */
int smtps_worker_reload(struct smtps_worker *w, struct smtps_conf *conf);
/* Any thread: stop accepting, let transactions end within option stop_timeout, then end the thread.
 * Once. */
void smtps_worker_stop(struct smtps_worker *w);
/* Main thread: waits for the end of the thread; then, when nobody posts to the loop any more, frees
 * it. */
void smtps_worker_join(struct smtps_worker *w);
void smtps_worker_free(struct smtps_worker *w);

/* Any thread. */
unsigned smtps_worker_busy_percent(const struct smtps_worker *w);
unsigned smtps_worker_sessions(const struct smtps_worker *w);
bool smtps_worker_armed(const struct smtps_worker *w);

#endif

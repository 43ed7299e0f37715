/*
 * queue/qmgr.h - the process: its options, its loops, what they share.
 *
 * Owner: filled by the main thread before the loops start; constant after that, but for the
 *        atomics. A qloop belongs to its thread.
 */
#ifndef QUEUE_QMGR_H
#define QUEUE_QMGR_H
#include "core/link.h"
#include "core/pool.h"
#include "queue/commit.h"
#include "queue/qmgr_options.h"

#include <pthread.h>

/* As max_threads and min_threads may be; occ_host.waiting has a bit for each. */
enum { QMGR_LOOPS_MAX = 64 };

struct qmgr;
struct sched;
struct smtps_link;
struct bounce;

struct qloop {
	unsigned n;
	struct qmgr *q;
	struct loop *loop;
	pthread_t thread;
	struct sched *sched;
	struct link *smar;
	struct link_requests *asks; /* routes asked of smar */
	struct smtps_link *intakes; /* links of smtps workers in this loop */
	bool open;                  /* the database is: intake takes everything */
	struct bounce *bounces;     /* failed recipients that wait for their DSN */
	struct pool jobs, attempts;
};

struct qmgr {
	struct qmgr_options opt;   /* as read at the start */
	struct qmgr_options *live; /* by RCU: what a reload may have changed; see queue/live.h */
	struct conf_global global;
	struct conf_run run;
	struct link_hello hello;
	struct store *store;
	struct store_setup store_setup;
	struct segments *segments;
	struct committer *committer;
	struct cdb_writer *writer; /* for DSNs */
	unsigned loop_count;
	struct qloop loop[QMGR_LOOPS_MAX];
	_Atomic uint64_t next_id;     /* counter of S ids */
	_Atomic uint64_t reserved_id; /* below this: reserved on disk */
	uint64_t early_first; /* first id before the database was open; 0: none. queue/qids.h */
	uint64_t early_void;  /* ids from early_first to here are not used */
	atomic_bool stopping;
};

/* The options that a reload changes: valid in the read section, so take no pointer along. */
static inline const struct qmgr_options *qmgr_live(const struct qmgr *q)
{
	return RCU_READ(q->live);
}

/* Runs fn(arg) in that loop: now when it is the caller's, else by mail. */
void qloop_call(struct qloop *from, struct qloop *to, void (*fn)(struct qloop *l, void *arg),
		void *arg);
/* The same from a thread that is no loop. */
void qloop_post(struct qloop *to, void (*fn)(struct qloop *l, void *arg), void *arg);

#endif

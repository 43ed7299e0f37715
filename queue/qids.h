/*
 * queue/qids.h - the one counter that all S ids come from, R 10.1: never used twice, also after
 * kill -9.
 *
 * A block is handed out only after its reservation is synced; reservations are large, so that is
 * rare.
 * Threads: qids_next() and qids_lease() any loop.
 */
#ifndef QUEUE_QIDS_H
#define QUEUE_QIDS_H
#include "queue/qmgr.h"

/* Start-up: the counter begins above the reservation of the database, above `largest` (of any id
 * seen) and above wall-clock seconds << 24; reserves the first range. 0 or -errno. */
int qids_start(struct qmgr *q, uint64_t largest_counter);
/* One id counter for our own use (DSNs). */
uint64_t qids_next(struct qmgr *q);
/* A block of count; fn(l, arg, first) in loop l when it is valid. */
void qids_lease(struct qloop *l, uint32_t count,
		void (*fn)(struct qloop *l, void *arg, uint64_t first), void *arg);

#endif

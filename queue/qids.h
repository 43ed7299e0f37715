/*
 * queue/qids.h - the one counter that all S ids come from, R 10.1: never used twice, also after
 * kill -9.
 *
 * A block is handed out only after its reservation is synced; reservations are large, so that is
 * rare.
 * Early: a reservation stands in the database and in a file beside it (queue/idfile.h), from
 *        which ids can be handed out before the database is open.
 * Threads: qids_next() and qids_lease() any loop, the others the thread that opens the database.
 */
#ifndef QUEUE_QIDS_H
#define QUEUE_QIDS_H
#include "queue/qmgr.h"

/* Before the database is open: reserves the first range in the file, if that can be believed. 0:
 * qids_early() may be true from now on; -errno: ids come with qids_start(). */
int qids_start_early(struct qmgr *q);
/* Any loop: can a block of count be leased although the database is not open yet? */
bool qids_early(const struct qmgr *q, uint32_t count);
/* Start-up: the counter begins above the reservation of the database and of the file, above
 * `largest` (of any id seen) and above wall-clock seconds << 24; reserves the first range. Where
 * qids_start_early() did that already, it only goes on from there. 0 or -errno, also
 * when the reservation cannot be read: the counter might begin below ids that are in use. */
int qids_start(struct qmgr *q, uint64_t largest_counter);
/* Was this id handed out early although the database knows later ones? It must not be used. The
 * file that was believed was wrong then: somebody put it there. */
bool qids_is_void(const struct qmgr *q, uint64_t id);
/* One id counter for our own use (DSNs). */
uint64_t qids_next(struct qmgr *q);
/* A block of count; fn(l, arg, first) in loop l when it is valid. */
void qids_lease(struct qloop *l, uint32_t count,
		void (*fn)(struct qloop *l, void *arg, uint64_t first), void *arg);

#endif

/*
 * queue/reclaim.h - gives back the disk space of messages that are finished while others in the same
 * segment are not: their bytes are punched out, or the few that are needed are moved.
 *
 * Thread:  its own. It reads segments and the database, copies, and waits; the committer says which
 *          segment (queue/sparse.h) and writes what has to be in the database.
 * Dead:    a record is needed when its transaction is in AQ, else in IBDB, with just this place; it is
 *          looked for in that order, so that one on its way between the two is never missed. Only
 *          segments are given here of which all that was finished is synced in the database.
 * Punch:   core/cdb_punch.h, by the process that wrote the segment, by another smtps when that is
 *          gone, by qmgr itself for its own.
 * Move:    a copy is written to a segment of qmgr's, marked CDB_MOVED, and synced. Then the
 *          transaction is taken out of the keeper's reach by putting it into AQ as one that is being
 *          unloaded; its row gets the new place in the batch that accounts for the copy; when that is
 *          synced the old record is finished. A copy that no row names counts for nothing (recover.c),
 *          unless the database is lost.
 */
#ifndef QUEUE_RECLAIM_H
#define QUEUE_RECLAIM_H
#include "queue/qmgr.h"

struct msg_seg_punched;

/* Starts the thread: 0 or -errno. */
int reclaim_start(struct qmgr *q);
/* Ends it; before the committer ends. */
void reclaim_stop(void);
/* Any thread: there are segments to look at, or reclaim_delay is another one. */
void reclaim_kick(void *qmgr);
/* Any thread: what became of intake_punch(); its process or the link to it has gone. */
void reclaim_punched(uint64_t instance, const struct msg_seg_punched *m);
void reclaim_lost(uint64_t instance);

#endif

/*
 * queue/intake.h - the links of smtps workers: connection control, ids, commits, segments, credits.
 *
 * Owner: each link belongs to the loop worker % loops, so that packed smtps workers keep qmgr
 *        packed.
 */
#ifndef QUEUE_INTAKE_H
#define QUEUE_INTAKE_H
#include "queue/qmgr.h"

/* Listens on path for smtps workers. 0 or -errno. Until intake_open() only connection control and,
 * where qids_early(), leases of ids are answered; all else is held, up to 64 MB a link. */
int intake_listen(struct qmgr *q, const char *path);
/* Any thread: qids_early() may have become true. */
void intake_ids(struct qmgr *q);
/* Any thread: the database is open, the committer runs: what was held is handled now. */
void intake_open(struct qmgr *q);
/* Committer: the process `instance` may use a segment again; false: it is not connected. */
bool intake_recycle(void *qmgr, uint64_t seg, uint64_t gen, uint64_t instance);
/* Committer: its writer must leave a segment. */
void intake_bad(void *qmgr, uint64_t seg, uint64_t gen, uint64_t instance);
/* Any thread: the instance of a process that is connected, `prefer` if it is; 0: none. */
uint64_t intake_any(uint64_t prefer);
/* Any thread: ask it to punch a segment; runs as in seg_punch. The answer goes to reclaim_punched()
 * or reclaim_lost(). False: it is not connected. */
bool intake_punch(uint64_t instance, uint64_t seg, uint64_t gen, struct span runs);
/* Feedback: tell all workers of this loop how much they may take. */
void intake_credit(struct qloop *l, uint8_t level, const char *cause);
/* Any thread: links that are up. */
unsigned intake_links(void);

#endif

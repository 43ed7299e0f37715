/*
 * queue/feedback.h - how full are we? IQDB, AQ and free disk become a level that smtps obeys,
 * R 9.1.
 *
 * Threads: the level is computed in loop 0 every FEEDBACK_USEC; read by all.
 */
#ifndef QUEUE_FEEDBACK_H
#define QUEUE_FEEDBACK_H
#include "queue/qmgr.h"

enum feedback_level { FEEDBACK_FREE = 0, FEEDBACK_SLOW, FEEDBACK_STOP };

/* Loop 0: starts the timer. */
void feedback_start(struct qmgr *q);
enum feedback_level feedback_level(void);
/* Why; "none" at level free. */
const char *feedback_cause(void);
/* May a commit go on? 0, or -ENOSPC. */
int feedback_refuses(void);
/* A new link hears the level at once. */
void feedback_tell(struct qloop *l, struct link *k);

/* Pure: the level for these numbers. */
struct feedback_numbers {
	uint64_t aq_count, aq_max;
	uint64_t iqdb_count, iqdb_max;
	uint64_t disk_free_bytes, disk_min_bytes, disk_ok_bytes;
};
enum feedback_level feedback_judge(const struct feedback_numbers *n, enum feedback_level now,
				   const char **cause);

#endif

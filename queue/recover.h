/*
 * queue/recover.h - start-up: the queue as the last run left it, however it ended.
 *
 * Order:  database (ibdb with marks, defedb), then the records of the content database that the
 *         database does not account for: what was acknowledged in the last moments. Those go back
 *         into the queue; a delivery that ended in the same moments is made again.
 * Thread: main, before the loops run.
 */
#ifndef QUEUE_RECOVER_H
#define QUEUE_RECOVER_H
#include "queue/qmgr.h"

struct recovered {
	unsigned transactions, recipients; /* to be tried now */
	unsigned deferred;                 /* transactions that wait in defedb only */
	unsigned replayed;                 /* found in the content database only */
	unsigned damaged;                  /* records that cannot be read: set aside and logged */
	uint64_t largest_counter;          /* of all ids seen */
	struct ta **ta; /* those with active recipients; the caller queues and frees the array */
	unsigned ta_count, ta_cap;
};

/* Fills q->segments and the table. created: the database was missing. 0 or -errno with why. */
int recover(struct qmgr *q, bool created, struct recovered *out, char *why, size_t cap);

#endif

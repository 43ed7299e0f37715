/*
 * queue/qclock.h - the time of the queue: clock_steady() of qmgr, going on from one life to the next.
 *
 * Why:     rows of the database have times. If each life began at the wall clock's time, a clock
 *          that is wrong at a start, or set later, would let mail wait for dates that do not come,
 *          or return it unheard.
 * Rule:    a row `clock` of the database, written with each batch, has the time of the queue and what
 *          the clocks of the system said then. The next life goes on by what has passed since: by
 *          the monotonic clock when the machine was not booted meanwhile; else by the wall clock,
 *          nothing when that went back, and never more than a quarter of queue_return_timeout: then
 *          the clock may be wrong, and all that waits is due anyway.
 * Empty:   with no message in the database it begins anew at the wall clock's.
 * Threads: begun once, at the start; written by the committer.
 */
#ifndef QUEUE_QCLOCK_H
#define QUEUE_QCLOCK_H
#include "queue/store.h"

enum { QCLOCK_BOOT = 36, QCLOCK_BYTES = 1 + 3 * 8 + QCLOCK_BOOT };

struct qclock {
	usec_t queue;               /* clock_steady() */
	usec_t wall, mono;          /* the system's at that moment */
	char boot[QCLOCK_BOOT + 1]; /* which boot of the machine; "": not known */
};

/* Pure: what the time of the queue is `now` (its `queue` is not looked at). */
usec_t qclock_resume(const struct qclock *last, const struct qclock *now, usec_t gap_max);
/* dst of QCLOCK_BYTES. */
void qclock_encode(const struct qclock *c, char *dst);
/* 0 or -EBADMSG. */
int qclock_decode(struct span value, struct qclock *out);

/* Sets clock_steady() by the row in s. 0; -errno of the database. */
int qclock_start(struct store *s, usec_t return_timeout);
/* When a record came that the database does not know: the wall clock's time in its envelope, made one
 * of the queue. recent: it came in the last moments before the end. After qclock_start(). */
usec_t qclock_arrival(usec_t wall_arrival, bool recent);
/* The row, with the clocks of now. */
void qclock_put(struct store *s, struct store_batch *b);
/* The boot of this machine, "" if nobody says. */
void qclock_boot(char dst[static QCLOCK_BOOT + 1]);

#endif

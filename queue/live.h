/*
 * queue/live.h - the options of the running qmgr: a reload publishes a new set (RCU) and tunes what
 * copied numbers.
 *
 * Thread: main (loop 0).
 */
#ifndef QUEUE_LIVE_H
#define QUEUE_LIVE_H
#include "core/buf.h"
#include "queue/qmgr.h"

/* Start: what conf_main() read is in force, and the qmgr_conf map. 0, or -EINVAL: errors of the map
 * are in the log. */
int live_start(struct qmgr *q);
/* The numbers of the committer out of these options; the rest of *out is zero. */
void live_committer(const struct qmgr_options *o, struct committer_setup *out);
/* Reads the file again. 0, or -EINVAL: nothing changed, the errors are on stderr. report may be
 * NULL: what is told to who asked. */
int live_reload(struct qmgr *q, struct buf *report);

#endif

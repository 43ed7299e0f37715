/*
 * queue/rebuild.h - `cdbctl rebuild`: a new queue database from the content database, when the old one is lost or damaged.
 *
 * Order: the old database is read as far as that goes, the records of the content database decide
 *        what there is; the files of the old one are moved into a folder beside it; the new one is
 *        written, what accounts for the segments comes last. Whatever interrupts it, the next start
 *        of qmgr queues every whole record.
 * Twice: a record that neither the old database nor the marks beside its segment call finished is
 *        delivered again.
 */
#ifndef QUEUE_REBUILD_H
#define QUEUE_REBUILD_H
#include "queue/tool.h"

/* list_only: says what it would do. force: also when the old database can be read. Returns an exit code. */
int rebuild(const struct tool_spool *t, bool list_only, bool force);

#endif

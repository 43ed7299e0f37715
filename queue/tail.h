/*
 * queue/tail.h - what only the content database knows: messages acknowledged in the last moments
 * before qmgr ended.
 *
 * The read-only sister of queue/recover.h, for tools beside a stopped qmgr: no lock is taken,
 * nothing is written.
 */
#ifndef QUEUE_TAIL_H
#define QUEUE_TAIL_H
#include "queue/aq.h"
#include "queue/segments.h"

/* each() gets a fresh transaction (its own to free) for every whole record that the database
 * neither has nor accounts for; all its recipients are active. Non-zero stops. 0, that, or -errno.
 */
int tail_walk(struct store *s, const char *base, int (*each)(void *ctx, struct ta *own), void *ctx);
/* The transaction of a record, from its envelope. NULL: *error. */
struct cdb_reader;
struct ta *tail_ta(struct cdb_reader *r, const struct cdb_ref *ref, uint64_t id, int *error);

#endif

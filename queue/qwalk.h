/*
 * queue/qwalk.h - a walk over the whole queue by id: AQ and database together, each message once,
 * in pages.
 *
 * Thread: one at a time, not a loop (it reads the database); RCU-offline between the pages. Exact:
 *         a message that is queued during the whole walk is seen once, wherever it moves meanwhile.
 * Cost:   iterators live for a page, so that compaction and a reopening of the database never wait
 *         for a slow reader. A selector that names ids looks at these only.
 */
#ifndef QUEUE_QWALK_H
#define QUEUE_QWALK_H
#include "queue/aq.h"
#include "queue/select.h"

struct qwalk;

/* What is seen: a message and those of its recipients that match, inside a read section. live: it
 * is in AQ, others work on it; else a copy that is gone after the call. False: the page is full. */
typedef bool qwalk_each(void *ctx, struct ta *ta, const uint32_t *idx, unsigned count, bool live);

/* store: NULL: AQ only. select belongs to the caller and must stay. */
struct qwalk *qwalk_new(struct store *store, const struct select *select);
void qwalk_free(struct qwalk *own);
/* Looks at up to `messages` messages, for about `usec`. 1: there is more, 0: the end, -errno of the
 * database. */
int qwalk_page(struct qwalk *w, unsigned messages, usec_t usec, qwalk_each *each, void *ctx);
/* Messages in the database that could not be read so far. */
unsigned qwalk_damaged(const struct qwalk *w);

#endif

/*
 * queue/waiting.h - the rows of recipients that wait: their record in DEFEDB, their rows in the
 * indexes `due` and `parked`, and the heads of what is parked. All rows of one recipient change in
 * one batch.
 *
 * Owner: the committer.
 */
#ifndef QUEUE_WAITING_H
#define QUEUE_WAITING_H
#include "queue/commit.h"

struct waiting {
	struct store *store;
	struct store_batch *batch;
	struct park *parks; /* rows came or went */
	usec_t wall_first;  /* earliest new time in `due`; 0: none */
};

/* What is known of a recipient; made when it is needed. */
struct committed_rcpt *waiting_rcpt(struct ta *ta, uint32_t idx);
/* It waits as `in` says, parked under p (NULL: it is not). What is there already is not written. */
void waiting_put(struct waiting *w, struct ta *ta, const struct commit_rcpt *in, struct park *p);
/* It does not wait any more. */
void waiting_forget(struct waiting *w, struct ta *ta, uint32_t idx);
/* Before the batch is written: heads of those whose rows came, changed, or went. */
void waiting_put_heads(struct waiting *w);
/* The batch is on disk: the keeper hears of what is parked. Returns the earliest new time in `due`,
 * 0: none. */
usec_t waiting_written(struct waiting *w);

#endif

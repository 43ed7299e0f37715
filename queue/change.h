/*
 * queue/change.h - an order for all recipients that a selector matches, from the walk to the disk.
 *
 * Steps: the clerk walks and sets the order on active recipients, the keeper brings the others; the
 *        loops look through their queues; the committer writes; then it is told. What is being
 *        tried at that moment follows when its attempt ends.
 * Owner: loop 0.
 */
#ifndef QUEUE_CHANGE_H
#define QUEUE_CHANGE_H
#include "queue/orders.h"
#include "queue/select.h"

struct change_result {
	unsigned matched;    /* recipients */
	unsigned messages;   /* with such recipients */
	unsigned not_wanted; /* of those: in a state that the order is not for */
	unsigned done;
	unsigned gone;   /* ended meanwhile */
	unsigned failed; /* could not be read or written */
	unsigned open;   /* are being tried right now */
	int error;       /* -errno of the database: the walk ended early */
};

/* Takes over order and selector; fn(arg, result) when what could be done is durable. fn may be
 * NULL. */
void change_start(struct qmgr *q, struct order *own, struct select *own_select,
		  void (*fn)(void *arg, const struct change_result *r), void *arg);

#endif

/*
 * queue/keeper.h - brings deferred recipients back into the active queue when their time has come.
 *
 * Thread: its own; reads the database (index by time, what is parked), finds or loads the
 *         transaction, and posts to a loop.
 * Orders: recipients that the operator wants something done with are brought the same way, between
 *         two steps of the walk; the keeper is the only one who loads a transaction.
 * Parked: queue/unpark.h, in turns with the walk. In the index by time they stand at the time of
 *         their warning or return.
 * Cost:   the walk begins behind what was read before (a low-water mark), never at the first key;
 *         what is not due is not looked at. It stops when AQ is full and goes on when there is
 *         room; no destination fills AQ (queue/park.h), so none is in the way of another.
 */
#ifndef QUEUE_KEEPER_H
#define QUEUE_KEEPER_H
#include "queue/qmgr.h"

struct keeper;

/* Starts the thread, and ends it. */
struct keeper *keeper_start(struct qmgr *q);
void keeper_stop(struct keeper *k);
/* Committer: recipients were deferred, the earliest to wall_next. */
void keeper_deferred(void *qmgr, usec_t wall_next);
/* Bring these recipients of one transaction back, whatever their time, with an order for their
 * loop. idx is copied, the caller keeps its reference to o. Any thread. */
struct order;
void keeper_order(uint64_t id, const uint32_t *idx, unsigned count, struct order *o);
/* fn(loop 0, arg) when all that was ordered before is in its loop. Any thread. */
void keeper_after_orders(void (*fn)(struct qloop *l, void *arg), void *arg);

/* Committer: rows of ibdb have got another place, and the keeper can reach their transactions again:
 * what it is loading just now may be the old one. Before they leave AQ. */
void keeper_moved(void);

/* Start-up: a transaction from its record in ibdb, with the marks of finished recipients and the
 * records of deferred ones applied; not in the table. NULL: *error, -ENOENT when it is not there.
 */
struct ta *keeper_load(struct store *s, uint64_t id, int *error);

#endif

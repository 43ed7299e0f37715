/*
 * queue/unpark.h - when and how many of what is parked come back: one as a probe when the time of a
 * closed destination has come, then the others in steps, the oldest first, as its share of AQ has
 * room. Destinations take turns.
 *
 * Thread: the keeper's, RCU-offline between the calls of bring().
 * Cost:   a closed destination is a timer; what is parked under it is not looked at. Each has a place
 *         in its rows, so what was brought is not read again.
 */
#ifndef QUEUE_UNPARK_H
#define QUEUE_UNPARK_H
#include "queue/park.h"
#include "queue/qmgr.h"

/* Makes those of the recipients active that are parked under this number. Returns how many, or
 * -EAGAIN: their transaction is being unloaded. idx may be put in another order. */
typedef int unpark_bring(void *ctx, uint64_t ta, uint32_t *idx, unsigned count, uint64_t park);

struct unpark;
/* Once; for the life of the process. Everything that is parked is looked at in the first run. */
struct unpark *unpark_new(struct store *s, unpark_bring *bring, void *ctx);
/* Brings what may come now, at most some hundred; full: AQ has no room for it. Returns when to look
 * again (clock_steady()) if nothing is told before, 0: then only. */
usec_t unpark_run(struct unpark *u, bool full);

#endif

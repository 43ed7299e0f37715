/*
 * queue/suspend.h - destinations (and whatever else a selector says of a recipient) that the
 * operator has suspended.
 *
 * What is suspended is not tried: it is parked under the suspension (queue/park.h), uncounted, until
 * that ends; it is warned about and returned in its time all the same. Rows in meta keep a
 * suspension over restarts.
 *
 * Owner:  loop 0 changes the list and publishes it by RCU; any loop asks.
 * Keys:   only what does not change while a recipient waits: from, to, domain, host, client.
 * Limits: SUSPEND_MAX suspensions; each is compared with each recipient that is about to be queued.
 */
#ifndef QUEUE_SUSPEND_H
#define QUEUE_SUSPEND_H
#include "queue/qmgr.h"
#include "queue/select.h"

enum { SUSPEND_MAX = 256, SUSPEND_TEXT_MAX = 4000 };

struct suspension {
	uint64_t number; /* its name for the operator, from 1 on */
	usec_t wall_since;
	usec_t wall_until; /* 0: until it is resumed */
	struct select *select;
	struct park *park; /* what waits for its end, with a reference */
};

/* Start, before the loops run, after parks_load(): what the database has. 0 or -errno. */
int suspend_load(struct qmgr *q);
/* Start: the clock that ends those with an end. Loop 0. */
void suspend_start(struct qmgr *q);

/* Is this recipient suspended on this route? By which: its number or 0. Any loop. */
uint64_t suspend_number(const struct ta *ta, uint32_t idx, const struct route *route);
/* The loop that owns these active recipients puts those that are suspended away. NULL: none was;
 * else those that are left, *count of them (0: ta may be gone), to be freed by the caller. */
uint32_t *suspend_take(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned *count,
		       const struct route *route);

/* Loop 0: all of them, by number; *count. Valid in this turn. */
const struct suspension *const *suspend_all(unsigned *count);
/* Loop 0: may a selector be used? NULL or why not. */
const char *suspend_refuses(const struct select *s);
/* Loop 0: a new one (takes s); fn(arg, number) in loop 0 when it is durable and in force. */
void suspend_add(struct qmgr *q, struct select *own, usec_t wall_until,
		 void (*fn)(void *arg, uint64_t number), void *arg);
/* Loop 0: this one ends; fn(arg, text) in loop 0 when that is durable. False: there is no such
 * number. */
bool suspend_end(struct qmgr *q, uint64_t number, void (*fn)(void *arg, struct span text),
		 void *arg);

#endif

/*
 * queue/attempt.h - attempts that go on: some recipients of one transaction, given to a worker of
 * smtpc for one host.
 *
 * Owner:  one loop.
 * Memory: a pool of the loop; the list of recipients is malloc'd when it is long.
 * Time:   whoever starts one sets its timer to delivery_timeout; smtpc is told to cancel it then. It
 *         goes on until smtpc confirms or is gone: it may be in the middle of the content.
 */
#ifndef QUEUE_ATTEMPT_H
#define QUEUE_ATTEMPT_H
#include "core/link.h"
#include "queue/adopt.h"
#include "queue/occ.h"
#include "queue/qmgr.h"

enum { ATTEMPT_INLINE_RCPTS = 4 };

struct lane;

struct attempt {
	struct attempt *next, **prev; /* of the slot */
	struct attempts *of;
	uint64_t id;
	struct ta *ta;
	struct lane *lane;
	struct occ_host *host;
	int slot;              /* of the worker, queue/agents.h */
	struct adopt_key told; /* what smtpc calls it: of an earlier run when it is adopted */
	bool adopted;
	bool confirmed;
	bool cancelled;
	usec_t started;
	struct timer timer;
	struct qloop *l;
	uint32_t count;
	uint32_t *idx;
	uint32_t few[ATTEMPT_INLINE_RCPTS];
};

/* All of one loop. */
struct attempts {
	struct qloop *l;
	struct link_requests *requests; /* by id */
	struct attempt *of_slot[OCC_AGENTS_MAX];
	struct buf frame, envelope;
	atomic_uint count; /* other threads may read it */
};

/* 0 or -ENOMEM. */
int attempts_init(struct attempts *t, struct qloop *l);
/* Never NULL. idx is copied; lane, host, started and the timer are the caller's to set. */
struct attempt *attempt_new(struct attempts *t, struct ta *ta, const uint32_t *idx, unsigned count,
			    int slot);
void attempt_free(struct attempt *own);
/* NULL: it is over, or of an earlier run. */
struct attempt *attempt_find(struct attempts *t, uint64_t id);
/* Is this recipient one of it? */
bool attempt_has(const struct attempt *a, uint32_t idx);
/* What smtpc gets: the whole transaction as it came, or a part of it encoded anew, without routes.
 * Valid until the next call in this loop, and as long as a->ta. */
struct span attempt_envelope(struct attempt *a);

#endif

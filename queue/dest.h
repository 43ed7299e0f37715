/*
 * queue/dest.h - destinations of one loop: equal route bytes, their waiting jobs, fair between
 * senders.
 *
 * Lane:   the jobs of one client and envelope sender (for members of a list: its owner), first in, first out. Lanes take turns; while
 *         another waits, a lane has at most half of the slots. So one list of 100,000 never delays
 *         another's mail.
 * Owner:  the loop.
 * Memory: jobs from a pool; lanes and destinations are freed when nothing is in them.
 */
#ifndef QUEUE_DEST_H
#define QUEUE_DEST_H
#include "core/route.h"
#include "queue/occ.h"
#include "queue/park.h"
#include "queue/qmgr.h"

enum { DEST_INLINE_RCPTS = 4 };

/* Recipients of one transaction that wait for the same destination and have the same sender. */
struct job {
	struct job *next;
	struct ta *ta;
	uint32_t count, at; /* at: first that was not taken */
	usec_t since;
	uint32_t *idx;
	uint32_t few[DEST_INLINE_RCPTS];
};

struct lane {
	struct lane *chain; /* in its bucket */
	struct lane *next;  /* waiting lanes of the destination, in turn */
	uint64_t key;
	struct dest *dest;
	struct job *head, **tail;
	unsigned busy; /* attempts that go on */
	bool waiting;
};

struct dest {
	struct dest *chain;
	struct dest *ready_next; /* wants to start something */
	struct dests *of;
	uint64_t hash;
	struct span bytes;
	struct route route;
	struct park *park; /* its entry, shared by all loops */
	struct occ_host *host[ROUTE_HOSTS_MAX];
	struct lane *turn, **turn_end; /* lanes with jobs */
	unsigned lanes;                /* of those */
	unsigned queued;               /* jobs */
	unsigned busy;                 /* attempts of this loop */
	bool ready;
	struct timer timer;
	usec_t used;
	usec_t rate_since;
	unsigned rate_count; /* attempts started since then */
	bool rate_busy;      /* the second before had many */
};

struct dests;

/* The empty table of a loop; timer() gets the timer of a destination. */
struct dests *dests_new(struct qloop *l, void (*timer)(struct timer *t));
/* The destination of these route bytes, made when it is new. NULL: no route. */
struct dest *dests_get(struct dests *t, struct span route);
/* fn for each; it may not free any. */
void dests_each(struct dests *t, void (*fn)(struct dest *d, void *ctx), void *ctx);
/* The same for a piece of the table: from *bucket on, some hundred; moves *bucket. False: that was
 * the last piece. */
bool dests_some(struct dests *t, unsigned *bucket, void (*fn)(struct dest *d, void *ctx),
		void *ctx);
/* Frees those that are empty and were not used for keep_usec. */
void dests_sweep(struct dests *t, usec_t keep_usec);
unsigned dests_count(const struct dests *t);

/* Queue recipients, which all have the same owner; idx is copied. */
void dest_add(struct dest *d, struct ta *ta, const uint32_t *idx, unsigned count);
/* The lane whose turn it is, when `slots` attempts may go on; NULL: nothing waits, or each lane
 * that waits has its share already. It stays in front until dest_taken(). */
struct lane *dest_next(struct dest *d, unsigned slots);
/* n recipients of its first job are being tried now: the next lane has its turn. The job is freed
 * when it is empty. */
void dest_taken(struct lane *g, unsigned n);
/* An attempt for this lane is over; the lane may be gone after this. */
void dest_done(struct lane *g);
/* Takes out every job, oldest lane first: fn owns ta's recipients. Returns the recipients. */
unsigned dest_drain(struct dest *d, usec_t older_than,
		    void (*fn)(struct qloop *l, struct job *j, void *ctx), void *ctx);
struct qloop *dest_loop(const struct dest *d);
/* Walks the waiting recipients of all destinations in pieces, one walk at a time: begins one
 * (forgetting a former one that is not over); what is queued later is not seen. */
void dests_pick_begin(struct dests *t);
/* Looks at about `budget` recipients. Those that `want` says true of are taken out of their job and
 * handed to `take` (idx is its for the call), which may queue them again. Adds how many to *taken.
 * False: the walk is over. */
struct dest_pick {
	bool (*want)(void *ctx, const struct dest *d, const struct ta *ta, uint32_t idx);
	void (*take)(void *ctx, const struct dest *d, struct ta *ta, const uint32_t *idx,
		     unsigned count);
	void *ctx;
};
bool dests_pick(struct dests *t, unsigned budget, const struct dest_pick *p, unsigned *taken);
/* Any job? */
static inline bool dest_waits(const struct dest *d)
{
	return d->turn != NULL;
}

#endif

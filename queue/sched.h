/*
 * queue/sched.h - one per loop: destinations with their queues, attempts that go on, what starts
 * next.
 *
 * Destination: queue/dest.h. Destinations take turns: one attempt each per round.
 * Packing:     an idle session is used before a new one is opened; a new one is opened when none is
 *              there, or when the head of the queue has waited for CONN_WAIT_USEC.
 * Owner:       the loop.
 * Limits:      AQ counts the recipients, OCC the attempts per address.
 */
#ifndef QUEUE_SCHED_H
#define QUEUE_SCHED_H
#include "core/route.h"
#include "queue/qmgr.h"

/* Once for the process: hears of smtpc. */
void sched_init(void);
/* Per loop. */
int sched_new(struct qloop *l);

/* Queue these recipients of ta (RCPT_ACTIVE, counted in ta->active and AQ) on a route (encoded).
 * idx is copied. */
void sched_queue(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count,
		 struct span route);

/* Looks through the recipients that wait in loop l and puts away what is ordered (queue/orders.h)
 * or suspended meanwhile, in pieces of less than a millisecond; fn(l, arg) when it is through. */
void sched_obey(struct qloop *l, void (*fn)(struct qloop *l, void *arg), void *arg);

/* A destination as the operator sees it. */
struct sched_dest {
	const struct route *route;
	unsigned waiting;   /* messages with recipients that wait */
	unsigned attempts;  /* that go on, of this loop */
	unsigned limit;     /* of the first host: attempts that may go on */
	usec_t down_usec;   /* all hosts are down for so long; 0: one may be tried */
	usec_t oldest_usec; /* since when the first one waits */
	uint64_t parked;  /* recipients, of all loops: from queue/park.h, not from sched_dests() */
	const char *why;  /* they are, park_why(); NULL: none is */
	usec_t next_usec; /* until it is looked at again; 0: when there is room */
};
/* A piece of the loop's destinations, from *bucket (0 at first) on; in its thread. False: that was
 * the last piece. */
bool sched_dests(struct qloop *l, unsigned *bucket,
		 void (*fn)(const struct sched_dest *d, void *ctx), void *ctx);

/* Numbers for status: any thread, approximate. */
struct sched_numbers {
	unsigned destinations, queued, attempts;
};
void sched_numbers(const struct qloop *l, struct sched_numbers *out);

#endif

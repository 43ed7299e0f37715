/*
 * queue/adopt.h - what smtpc began for an earlier run of qmgr: attempts that go on, and results that
 * nobody took.
 *
 * Why:     qmgr was killed, smtpc was not. Recovery queues the recipients again; no attempt starts
 *          before all workers of an smtpc have said what they do (agents_ready()). A recipient that is
 *          named here then joins that attempt instead of being tried a second time: to the scheduler
 *          it is one of its own.
 * Keeps:   an attempt until its result comes, or its worker is lost or does not name it any more. Of a
 *          result that comes before its recipients have joined those that are done or failed, for
 *          ADOPT_KEEP_USEC: they may wait for their turn, or in DEFEDB. What is to be tried later is
 *          simply tried.
 * Threads: loops. State, result, lost and back of a slot come from the loop of its link, in the order
 *          in which they were said.
 * Locks:   one mutex, held for table work only. While nothing is kept, that is always but after a
 *          crash, adopt_any() is one load.
 * Limits:  ADOPT_MAX attempts; those beyond are tried again. An smtpc that connects after another one
 *          is complete is too late for what was started meanwhile.
 */
#ifndef QUEUE_ADOPT_H
#define QUEUE_ADOPT_H
#include "core/buf.h"
#include "core/msg.h"
#include "queue/occ.h"

enum { ADOPT_MAX = 200000 };
#define ADOPT_KEEP_USEC (3600 * (usec_t)USEC_PER_SEC)

extern atomic_uint adopt_count;

static inline bool adopt_any(void)
{
	return atomic_load_explicit(&adopt_count, memory_order_relaxed) != 0;
}

/* How the run that began it calls an attempt. */
struct adopt_key {
	uint64_t run, attempt, ta;
};

/* This worker goes on with an attempt of another run. */
void adopt_state(int slot, const struct msg_attempt_state *m);
/* The result of such one (body: encoded, m: the same). Returns how many attempts of this run have
 * joined it and *own_joined, malloc'd, NULL when there are none: each is to get the result. */
unsigned adopt_result(int slot, const struct msg_result *m, struct span body, usec_t now,
		      uint64_t **own_joined);
/* The link is down; everything was said after a reconnect; the process is gone. */
void adopt_lost(int slot);
void adopt_back(int slot);
void adopt_gone(int slot);
/* Drops results that nobody wanted for ADOPT_KEEP_USEC. Any loop, now and then. */
void adopt_sweep(usec_t now);

struct adopt_place {
	struct adopt_key key;
	int slot;
	uint8_t mailer;
	struct addr host;
};
/* How many of these recipients, from the first one on, stand together: all of one attempt here (true,
 * *at says which), or all of none. */
bool adopt_split(uint64_t ta, const uint32_t *idx, unsigned *count, struct adopt_place *at);

enum adopt_join {
	ADOPT_NONE = 0, /* it is gone meanwhile */
	ADOPT_RUNS,     /* adopt_result() will name the attempt */
	ADOPT_ENDED,    /* here is the result */
};
/* The recipients that adopt_split() told of are now those of that attempt of this run. own_body: the
 * encoded result, to be released by the caller, when ADOPT_ENDED. */
enum adopt_join adopt_join(const struct adopt_key *key, const uint32_t *idx, unsigned count,
			   uint64_t attempt, struct buf *own_body);
/* Is it still going on as far as we know? */
bool adopt_runs(const struct adopt_key *key);

#endif

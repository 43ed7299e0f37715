/*
 * queue/agents.h - the smtpc workers that are connected: who is up, how busy, where its link lives.
 *
 * Threads: a slot's link belongs to loop slot % loops; up and busy are read by all.
 * Packing: work goes to the first worker that is not busy, so that the others sleep.
 */
#ifndef QUEUE_AGENTS_H
#define QUEUE_AGENTS_H
#include "core/msg.h"
#include "queue/occ.h"
#include "queue/qmgr.h"

/* Listens on path for smtpc workers; they live in the loops of q. 0 or -errno. */
int agents_listen(struct qmgr *q, const char *path);
/* All workers of at least one smtpc process are here and said what they are doing. */
bool agents_ready(void);
/* The worker for an attempt on h: one with an idle session, else the first that is not busy. -1:
 * none. */
int agents_pick(struct occ_host *h, bool *has_idle);
/* Sends a frame (encoded body, taken over) to worker `slot` from loop l. */
void agents_send(struct qloop *l, int slot, unsigned number, struct buf *own_body);
/* Any thread: workers connected. */
unsigned agents_up(void);

/* What the scheduler wants to hear; each runs in loop l of the attempt. */
struct agents_events {
	/* m is valid during the call. */
	void (*result)(struct qloop *l, uint64_t attempt, const struct msg_result *m);
	/* After a reconnect: this one, of this run, is going on. */
	void (*state)(struct qloop *l, int slot, uint64_t attempt);
	/* All loops hear these three. */
	void (*lost)(struct qloop *l,
		     int slot); /* link down; the process may come back with its attempts */
	void (*gone)(struct qloop *l, int slot); /* another process has this slot now */
	void (*back)(struct qloop *l,
		     int slot); /* state_end was said: what it did not name is not going on */
};
void agents_on(const struct agents_events *ev);
/* An attempt id names the loop that owns it. */
uint64_t agents_attempt_id(const struct qloop *l, uint64_t req);
uint64_t agents_attempt_req(uint64_t attempt);

#endif

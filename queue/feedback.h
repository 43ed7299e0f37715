/*
 * queue/feedback.h - how full are we? IQDB, AQ, what is parked for want of room, free disk, memory
 * and the backlog of commits become a level, and numbers of sessions and recipients, that smtps
 * obeys, R 9.1.
 *
 * Levels:  free; slow: workers accept one session at a time, and fewer of them; stop: none, and
 *          open sessions get 4yz. A full disk may stay full: then clients are let in and get 4yz too.
 * Credits: what is left in IQDB, and in AQ as soon as that is filling, is lent to the workers, half of it in equal parts, half by
 *          their open sessions. A worker returns it by ending transactions; it is lent anew while
 *          room is scarce, so that none sits on what another one needs.
 * Threads: computed in loop 0 every FEEDBACK_USEC and when AQ has filled by another hundredth; read
 *          by all.
 */
#ifndef QUEUE_FEEDBACK_H
#define QUEUE_FEEDBACK_H
#include "queue/qmgr.h"

/* So many times what AQ can hold may be parked for want of room. */
enum { FEEDBACK_BACKLOG = 16 };
enum feedback_level { FEEDBACK_FREE = 0, FEEDBACK_SLOW, FEEDBACK_STOP };

/* Loop 0: starts the timer. */
void feedback_start(struct qmgr *q);
enum feedback_level feedback_level(void);
/* Why; "none" at level free. */
const char *feedback_cause(void);
/* May a commit go on? 0, or -ENOSPC. */
int feedback_refuses(void);
/* What one worker may have, that has `open` of all `sessions` on `links` links. Any thread. */
struct credit {
	uint32_t sessions, recipients;
};
struct credit feedback_credit(unsigned open, unsigned sessions, unsigned links);

/* Recipients have come: the level is looked at anew when it may be another one. Any loop. */
void feedback_came(struct qloop *l);

/* Pure: the level for these numbers. */
struct feedback_numbers {
	uint64_t aq_count, aq_max;
	uint64_t iqdb_count, iqdb_max;
	uint64_t disk_free_bytes, disk_min_bytes, disk_ok_bytes;
	uint64_t memory_total_bytes, memory_free_bytes; /* total 0: unknown */
	usec_t commit_usec;                             /* age of the commit that goes on */
	uint64_t backlog_count; /* parked recipients that wait for room, queue/park.h */
};
enum feedback_level feedback_judge(const struct feedback_numbers *n, enum feedback_level now,
				   const char **cause);
/* Pure: the recipients that all may have. A transaction may have more than AQ: what is too much waits in
 * DEFEDB. So AQ counts only when it is filling. */
uint64_t feedback_room(uint64_t aq, uint64_t iqdb, unsigned percent_left);
/* Pure: the part of a worker. percent_left: 100 at the begin of level slow, 0 at stop. */
struct credit feedback_part(uint64_t room, unsigned percent_left, unsigned open, unsigned sessions,
			    unsigned links);

#endif

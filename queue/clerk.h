/*
 * queue/clerk.h - a helper thread for what the operator asks: walks over the whole queue, in pages.
 *
 * Thread: its own, outside of RCU read sections but for the moments in which a page looks at AQ.
 *         Pages of several requests take turns, so that a listing of a million recipients holds up
 *         nobody.
 * Memory: a job is embedded in its request.
 */
#ifndef QUEUE_CLERK_H
#define QUEUE_CLERK_H
#include "queue/qmgr.h"

struct clerk_job {
	struct clerk_job *next;
	usec_t not_before; /* monotonic */
	/* The clerk: one page; at most some ten milliseconds. */
	void (*page)(struct clerk_job *j);
	/* Loop 0, afterwards: page() may have said clerk_again() instead. */
	void (*paged)(struct clerk_job *j);
	struct loop_mail mail;
	bool again;
};

/* 0 or -errno. */
int clerk_start(struct qmgr *q);
/* Ends the thread; jobs that wait are forgotten. */
void clerk_stop(void);
/* Any thread. */
void clerk_post(struct clerk_job *own);
/* Inside page(): another page, after those of the others, and not before delay_usec have passed. */
void clerk_again(struct clerk_job *j, usec_t delay_usec);

#endif

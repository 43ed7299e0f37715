/*
 * queue/gauges.h - numbers of qmgr that are measured when they are asked for: queue sizes, ages,
 * feedback.
 *
 * Thread: loop 0, where the control socket prints.
 */
#ifndef QUEUE_GAUGES_H
#define QUEUE_GAUGES_H
#include "queue/census.h"
#include "queue/park.h"
#include "queue/qmgr.h"
#include "queue/sched.h"

struct gauges {
	struct sched_numbers sched;
	struct census census;
	struct park_numbers parks;
	usec_t oldest_usec;
	unsigned suspensions;
};

/* The printers of core/stats.h get fresh ones from now on. */
void gauges_start(struct qmgr *q);
struct gauges gauges_now(void);

#endif

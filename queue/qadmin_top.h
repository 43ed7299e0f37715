/*
 * queue/qadmin_top.h - the verbs top (the whole queue, grouped) and destinations (what the loops
 * are trying).
 *
 * Thread: loop 0; top is made by the clerk, destinations by each loop in pieces.
 */
#ifndef QUEUE_QADMIN_TOP_H
#define QUEUE_QADMIN_TOP_H
#include "core/ctl.h"

/* The verbs top and destinations, and the end of each: what was begun is given back. */
enum ctl_step qadmin_top_run(struct ctl_request *rq);
void qadmin_top_end(struct ctl_request *rq);
enum ctl_step qadmin_top_dests_run(struct ctl_request *rq);
void qadmin_top_dests_end(struct ctl_request *rq);

#endif

/*
 * queue/qadmin_list.h - the verbs list, show and top of qmgr's control socket: made by the clerk,
 * page by page.
 *
 * Thread: loop 0.
 */
#ifndef QUEUE_QADMIN_LIST_H
#define QUEUE_QADMIN_LIST_H
#include "core/ctl.h"

/* The verbs list and show: a page of the answer each time. */
enum ctl_step qadmin_list_run(struct ctl_request *rq);
enum ctl_step qadmin_list_show_run(struct ctl_request *rq);
/* For both: the peer has gone or all is said. */
void qadmin_list_end(struct ctl_request *rq);

#endif

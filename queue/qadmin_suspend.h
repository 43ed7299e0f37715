/*
 * queue/qadmin_suspend.h - the verbs suspend, resume and suspensions of qmgr's control socket.
 *
 * Thread: loop 0. The answer comes when the change is durable and in force.
 */
#ifndef QUEUE_QADMIN_SUSPEND_H
#define QUEUE_QADMIN_SUSPEND_H
#include "core/ctl.h"

/* The verbs suspend, resume and suspensions. */
enum ctl_step qadmin_suspend_run(struct ctl_request *rq);
enum ctl_step qadmin_suspend_resume(struct ctl_request *rq);
enum ctl_step qadmin_suspend_list(struct ctl_request *rq);
/* For the first two. */
void qadmin_suspend_end(struct ctl_request *rq);

#endif

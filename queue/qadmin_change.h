/*
 * queue/qadmin_change.h - the verbs retry, hold, release, delete and reroute of qmgr's control
 * socket.
 *
 * Thread: loop 0. The answer comes when what was changed is durable.
 */
#ifndef QUEUE_QADMIN_CHANGE_H
#define QUEUE_QADMIN_CHANGE_H
#include "core/ctl.h"

/* The verb: begins with the selector that follows it, goes on until all is durable. */
enum ctl_step qadmin_change_retry(struct ctl_request *rq);
enum ctl_step qadmin_change_hold(struct ctl_request *rq);
enum ctl_step qadmin_change_release(struct ctl_request *rq);
enum ctl_step qadmin_change_delete(struct ctl_request *rq);
enum ctl_step qadmin_change_reroute(struct ctl_request *rq);
/* For all of them: the peer has gone or all is said. What was begun goes on. */
void qadmin_change_end(struct ctl_request *rq);

#endif

/*
 * queue/qadmin.h - the control socket of qmgr: its verbs and status; stats come from core/ctl.
 *
 * Thread: loop 0. What takes longer is made by queue/clerk.h.
 */
#ifndef QUEUE_QADMIN_H
#define QUEUE_QADMIN_H
#include "queue/qmgr.h"

/* Who connects waits until qadmin_open(): the database need not be open yet. 0 or -errno. */
int qadmin_listen(struct qmgr *q);
void qadmin_open(struct qmgr *q);

#endif

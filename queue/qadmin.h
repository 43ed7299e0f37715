/*
 * queue/qadmin.h - the control socket of qmgr: its verbs and status; stats come from core/ctl.
 *
 * Thread: loop 0. What takes longer is made by queue/clerk.h.
 */
#ifndef QUEUE_QADMIN_H
#define QUEUE_QADMIN_H
#include "queue/qmgr.h"

/* 0 or -errno. */
int qadmin_listen(struct qmgr *q);

#endif

/*
 * queue/qadmin.h - the control socket of qmgr: status, list, retry, reload; stats come from core/ctl.
 *
 * Thread: loop 0. A listing is made in pages: the ids of AQ first, then what only the database has.
 */
#ifndef QUEUE_QADMIN_H
#define QUEUE_QADMIN_H
#include "queue/qmgr.h"

/* 0 or -errno. */
int qadmin_listen(struct qmgr *q);

#endif

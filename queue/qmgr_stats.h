/*
 * queue/qmgr_stats.h - numbers of the rows of qmgr_stats.def, for stats_add().
 */
#ifndef QUEUE_QMGR_STATS_H
#define QUEUE_QMGR_STATS_H
#include "core/stats.h"

enum qmgr_stat {
#define STAT(id, name, kind, unit, text) QMGR_STAT_##id,
#include "queue/qmgr_stats.def"
#undef STAT
	QMGR_STAT_COUNT
};

/* One recipient's result of an attempt: outcome and stage as in core/msg.h. Own thread. */
void qmgr_stats_reply(uint8_t outcome, uint8_t stage, struct span reply);
/* Declares the rows; once, before threads start. */
void qmgr_stats_define(void);

#endif

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

/* Declares the rows; once, before threads start. */
void qmgr_stats_define(void);

#endif

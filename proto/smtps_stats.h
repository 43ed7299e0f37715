/*
 * proto/smtps_stats.h - the counters of smtps, see proto/smtps_stats.def.
 *
 * Owner: stats_add() of core/stats.h, any thread its own block.
 */
#ifndef PROTO_SMTPS_STATS_H
#define PROTO_SMTPS_STATS_H
#include "core/stats.h"

enum smtps_stat {
#define STAT(id, kind, unit, text) SMTPS_ST_##id,
#include "proto/smtps_stats.def"
#undef STAT
	SMTPS_ST_COUNT
};

/* Declares them; once, in the main thread, before others start. */
void smtps_stats_define(void);

#endif

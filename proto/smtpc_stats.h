/*
 * proto/smtpc_stats.h - ids of the counters in proto/smtpc_stats.def.
 */
#ifndef PROTO_SMTPC_STATS_H
#define PROTO_SMTPC_STATS_H
#include "core/stats.h"

enum smtpc_stat {
#define STAT(id, kind, unit, text) SMTPC_STAT_##id,
#include "proto/smtpc_stats.def"
#undef STAT
	SMTPC_STAT_COUNT
};

#define SMTPC_COUNT(id, n) stats_add(SMTPC_STAT_##id, (uint64_t)(n))

/* Once, before threads start. */
void smtpc_stats_define(void);

#endif

/*
 * resolver/smar_stats.h - the counters of smar; rows in resolver/smar_stats.def.
 */
#ifndef RESOLVER_SMAR_STATS_H
#define RESOLVER_SMAR_STATS_H
#include "core/stats.h"

enum smar_stat {
#define STAT(id, kind, unit, text) SMAR_STAT_##id,
#include "resolver/smar_stats.def"
#undef STAT
	SMAR_STAT_COUNT
};

/* stats_define() with these rows; once, before threads start. */
void smar_stats_define(void);

#endif

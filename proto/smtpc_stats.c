#include "proto/smtpc_stats.h"

static const struct stats_row rows[] = {
#define STAT(id, kind, unit, text) { #id, STATS_##kind, unit, text },
#include "proto/smtpc_stats.def"
#undef STAT
};

void smtpc_stats_define(void)
{
	stats_define("smtpc", rows, SMTPC_STAT_COUNT);
}

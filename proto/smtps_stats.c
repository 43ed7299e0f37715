#include "proto/smtps_stats.h"

static const struct stats_row rows[] = {
#define STAT(id, kind, unit, text) { #id, STATS_##kind, unit, text },
#include "proto/smtps_stats.def"
#undef STAT
};

void smtps_stats_define(void)
{
	stats_define("smtps", rows, SMTPS_ST_COUNT);
}

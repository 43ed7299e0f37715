#include "queue/qmgr_stats.h"

static const struct stats_row rows[] = {
#define STAT(id, name, kind, unit, text) { name, kind, unit, text },
#include "queue/qmgr_stats.def"
#undef STAT
};

void qmgr_stats_define(void)
{
	stats_define("qmgr", rows, QMGR_STAT_COUNT);
}

#include "resolver/smar_stats.h"

static const struct stats_row rows[] = {
#define STAT(id, kind, unit, text) { #id, STATS_##kind, unit, text },
#include "resolver/smar_stats.def"
#undef STAT
};

void smar_stats_define(void)
{
	stats_define("smar", rows, SMAR_STAT_COUNT);
}

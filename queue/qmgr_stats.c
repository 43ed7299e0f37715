#include "queue/qmgr_stats.h"

#include "core/msg.h"

static const struct stats_row rows[] = {
#define STAT(id, name, kind, unit, text) { name, kind, unit, text },
#include "queue/qmgr_stats.def"
#undef STAT
};

void qmgr_stats_define(void)
{
	stats_define("qmgr", rows, QMGR_STAT_COUNT);
}

void qmgr_stats_reply(uint8_t outcome, uint8_t stage, struct span reply)
{
	const unsigned stages = MSG_AT_CONTENT + 1;
	unsigned class = outcome == MSG_DONE ? 0 : outcome == MSG_LATER ? 1 : 2;

	/* What the host said counts, even when we make something else of it. */
	if (reply.n && (reply.p[0] == '2' || reply.p[0] == '4' || reply.p[0] == '5'))
		class = reply.p[0] == '2' ? 0 : reply.p[0] == '4' ? 1 : 2;
	if (stage < stages)
		stats_add(QMGR_STAT_REPLY_2XX_CONNECT + class * stages + stage, 1);
}

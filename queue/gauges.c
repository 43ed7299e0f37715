#include "queue/gauges.h"

#include "queue/agents.h"
#include "queue/disk.h"
#include "queue/feedback.h"
#include "queue/icc.h"
#include "queue/intake.h"
#include "queue/iqdb.h"
#include "queue/occ.h"
#include "queue/qmgr_stats.h"
#include "queue/suspend.h"

static struct qmgr *qm;

struct gauges gauges_now(void)
{
	struct gauges n = { .census = census_now() };

	for (unsigned i = 0; i < qm->loop_count; i++) {
		struct sched_numbers s;

		sched_numbers(&qm->loop[i], &s);
		n.sched.destinations += s.destinations;
		n.sched.queued += s.queued;
		n.sched.attempts += s.attempts;
	}
	if (n.census.wall_oldest)
		n.oldest_usec = clock_steady() - n.census.wall_oldest;
	if (n.oldest_usec < 0)
		n.oldest_usec = 0;
	suspend_all(&n.suspensions);
	n.parks = parks_numbers();
	return n;
}

static void put_feedback(void)
{
	static const struct {
		const char *cause;
		unsigned id;
	} rows[] = {
		{ "disk", QMGR_STAT_FEEDBACK_DISK },     { "iqdb", QMGR_STAT_FEEDBACK_IQDB },
		{ "aq", QMGR_STAT_FEEDBACK_AQ },         { "backlog", QMGR_STAT_FEEDBACK_BACKLOG },
		{ "memory", QMGR_STAT_FEEDBACK_MEMORY }, { "commit", QMGR_STAT_FEEDBACK_COMMIT }
	};

	stats_set(QMGR_STAT_FEEDBACK, (uint64_t)feedback_level());
	for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++)
		stats_set(rows[i].id, span_eq(span_str(feedback_cause()), span_str(rows[i].cause)));
}

static void put_segments(void)
{
	struct segments_totals n = segments_totals(qm->segments);

	stats_set(QMGR_STAT_SEGMENTS, n.count);
	stats_set(QMGR_STAT_SEGMENT_BYTES, n.alloc_bytes);
	stats_set(QMGR_STAT_SEGMENT_LIVE_BYTES, n.live_bytes);
	stats_set(QMGR_STAT_SEGMENT_ROOM_BYTES, disk_room());
}

static void refresh(void)
{
	struct gauges n = gauges_now();

	stats_set(QMGR_STAT_MESSAGES, n.census.messages);
	stats_set(QMGR_STAT_OLDEST_SEC, (uint64_t)(n.oldest_usec / USEC_PER_SEC));
	stats_set(QMGR_STAT_RCPTS_INCOMING, iqdb_count());
	stats_set(QMGR_STAT_RCPTS_ACTIVE, aq_count());
	stats_set(QMGR_STAT_RCPTS_DEFERRED, n.census.deferred);
	stats_set(QMGR_STAT_RCPTS_HELD, n.census.held);
	stats_set(QMGR_STAT_RCPTS_PARKED, n.parks.recipients);
	stats_set(QMGR_STAT_DESTS_PARKED, n.parks.destinations);
	stats_set(QMGR_STAT_DESTS, n.sched.destinations);
	stats_set(QMGR_STAT_WAITING, n.sched.queued);
	stats_set(QMGR_STAT_ATTEMPTS_OPEN, n.sched.attempts);
	stats_set(QMGR_STAT_HOSTS, occ_count());
	stats_set(QMGR_STAT_CLIENTS, icc_count());
	stats_set(QMGR_STAT_WORKERS_SMTPS, intake_links());
	stats_set(QMGR_STAT_WORKERS_SMTPC, agents_up());
	stats_set(QMGR_STAT_SUSPENSIONS, n.suspensions);
	put_segments();
	put_feedback();
}

void gauges_start(struct qmgr *q)
{
	qm = q;
	stats_on_print(refresh);
}

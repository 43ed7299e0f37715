#include "queue/feedback.h"

#include "core/log.h"
#include "core/msg.h"
#include "queue/aq.h"
#include "queue/disk.h"
#include "queue/icc.h"
#include "queue/intake.h"
#include "queue/iqdb.h"
#include "queue/memory.h"
#include "queue/park.h"

#include <errno.h>
#include <limits.h>

enum {
	FEEDBACK_USEC = 100000,
	DISK_USEC = USEC_PER_SEC,
	SLOW_PERCENT = 75,
	STOP_PERCENT = 95,
	COMMIT_SLOW_USEC = USEC_PER_SEC,
	COMMIT_STOP_USEC = 5 * USEC_PER_SEC,
	MEMORY_SLOW_MAX = 512 << 20,
};

static struct qmgr *qm;
static struct timer timer;
static atomic_int level;
static const char *_Atomic cause = "none";
static bool was_tight;
static usec_t slow_at;      /* when to look at disk and memory again */
static atomic_uint look_at; /* fill of AQ at which to look before the time has come */
static uint64_t disk_now = UINT64_MAX;
static struct memory memory;
static uint64_t backlog;

enum feedback_level feedback_level(void)
{
	return (enum feedback_level)atomic_load_explicit(&level, memory_order_relaxed);
}

const char *feedback_cause(void)
{
	return atomic_load_explicit(&cause, memory_order_relaxed);
}

int feedback_refuses(void)
{
	return feedback_level() == FEEDBACK_STOP && feedback_cause()[0] == 'd' ? -ENOSPC : 0;
}

/* Once stopped, more must be free before it goes on, so that the level does not flutter. */
static enum feedback_level by_fill(uint64_t count, uint64_t max, enum feedback_level now)
{
	uint64_t stop = now == FEEDBACK_STOP ? STOP_PERCENT - 15 : STOP_PERCENT;
	uint64_t slow = now == FEEDBACK_FREE ? SLOW_PERCENT : SLOW_PERCENT - 15;

	if (count * 100 >= max * stop)
		return FEEDBACK_STOP;
	return count * 100 >= max * slow ? FEEDBACK_SLOW : FEEDBACK_FREE;
}

static enum feedback_level by_memory(const struct feedback_numbers *n, enum feedback_level now)
{
	uint64_t slow = n->memory_total_bytes / 32;

	if (slow > MEMORY_SLOW_MAX)
		slow = MEMORY_SLOW_MAX;
	uint64_t stop = slow / 2;
	if (n->memory_free_bytes < (now == FEEDBACK_STOP ? slow : stop))
		return FEEDBACK_STOP;
	return n->memory_free_bytes < (now == FEEDBACK_FREE ? slow : slow + stop) ? FEEDBACK_SLOW
										  : FEEDBACK_FREE;
}

static enum feedback_level by_commit(usec_t age)
{
	if (age >= COMMIT_STOP_USEC)
		return FEEDBACK_STOP;
	return age >= COMMIT_SLOW_USEC ? FEEDBACK_SLOW : FEEDBACK_FREE;
}

enum feedback_level feedback_judge(const struct feedback_numbers *n, enum feedback_level now,
				   const char **why)
{
	uint64_t disk_want = now == FEEDBACK_STOP ? n->disk_ok_bytes : n->disk_min_bytes;
	const struct {
		const char *cause;
		enum feedback_level level;
	} all[] = {
		{ "disk", n->disk_free_bytes < disk_want ? FEEDBACK_STOP : FEEDBACK_FREE },
		{ "memory", by_memory(n, now) },
		{ "commit", by_commit(n->commit_usec) },
		{ "iqdb", by_fill(n->iqdb_count, n->iqdb_max, now) },
		{ "aq", by_fill(n->aq_count, n->aq_max, now) },
		{ "backlog", by_fill(n->backlog_count, FEEDBACK_BACKLOG * n->aq_max, now) },
	};
	enum feedback_level worst = FEEDBACK_FREE;

	*why = "none";
	for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++) {
		if (all[i].level > worst) {
			worst = all[i].level;
			*why = all[i].cause;
		}
	}
	return worst;
}

struct credit feedback_part(uint64_t room, unsigned percent_left, unsigned open, unsigned sessions,
			    unsigned links)
{
	struct credit c = { UINT32_MAX, 0 };

	if (!links)
		links = 1;
	uint64_t part = sessions ? room / 2 / links + room / 2 * open / sessions : room / links;
	/* One at least: a worker without any would never end what it has. */
	c.recipients = part < 1 ? 1 : part < UINT32_MAX ? (uint32_t)part : UINT32_MAX - 1;
	if (percent_left < 100) {
		uint64_t may = ((uint64_t)open * percent_left + 99) / 100;

		c.sessions = may ? (uint32_t)may : 1;
	}
	return c;
}

/* What may come before the level is stop, and how much of the way from slow to there is left. */
static uint64_t room_of(uint64_t count, uint64_t max, unsigned *percent_left)
{
	uint64_t slow = max * SLOW_PERCENT / 100, stop = max * STOP_PERCENT / 100;
	uint64_t room = count < stop ? stop - count : 0;

	if (count > slow && stop > slow) {
		unsigned left = (unsigned)(room * 100 / (stop - slow));

		if (left < *percent_left)
			*percent_left = left;
	}
	return room;
}

uint64_t feedback_room(uint64_t aq, uint64_t iqdb, unsigned percent_left)
{
	return aq < iqdb && percent_left < 100 ? aq : iqdb;
}

struct credit feedback_credit(unsigned open, unsigned sessions, unsigned links)
{
	unsigned left = 100;
	uint64_t aq = room_of(aq_count(), aq_max(), &left),
		 iqdb = room_of(iqdb_count(), iqdb_max(), &left);

	return feedback_part(feedback_room(aq, iqdb, left), left, open, sessions, links);
}

static void tell_loop(struct qloop *l, void *arg)
{
	(void)arg;
	intake_credit(l, (uint8_t)feedback_level(), feedback_cause());
}

/* Room is scarce: what is lent must follow it. */
static bool is_tight(void)
{
	return aq_count() >= aq_max() / 2 || iqdb_count() >= iqdb_max() / 2;
}

static void measure(struct timer *t)
{
	struct qloop *l = &qm->loop[0];
	const char *why;

	if (loop_now(l->loop) >= slow_at) {
		slow_at = loop_now(l->loop) + DISK_USEC;
		disk_now = disk_free(qmgr_live(qm)->min_disk_space);
		memory_read("", &memory);
		backlog = parks_numbers().backlog;
		icc_expire(loop_now(l->loop));
	}
	struct feedback_numbers n = { .aq_count = aq_count(),
				      .aq_max = aq_max(),
				      .iqdb_count = iqdb_count(),
				      .iqdb_max = iqdb_max(),
				      .disk_free_bytes = disk_now,
				      .disk_min_bytes = qmgr_live(qm)->min_disk_space,
				      .disk_ok_bytes = qmgr_live(qm)->ok_disk_space,
				      .memory_total_bytes = memory.total_bytes,
				      .memory_free_bytes = memory.available_bytes,
				      .commit_usec = committer_age(qm->committer),
				      .backlog_count = backlog };
	enum feedback_level was = feedback_level(), now = feedback_judge(&n, was, &why);
	bool tight = is_tight();
	if (now != was)
		log_event(LOG_LV_WARN, now ? LOG_SEV_WARN : LOG_SEV_INFO, "feedback",
			  "level=%d, cause=%s", (int)now, why);
	bool news = now != was || why != feedback_cause() || tight || was_tight;
	was_tight = tight;
	atomic_store(&cause, why);
	atomic_store(&level, (int)now);
	for (unsigned i = 0; news && i < qm->loop_count; i++)
		qloop_call(l, &qm->loop[i], tell_loop, NULL);
	atomic_store_explicit(&look_at,
			      tight ? aq_count() + aq_max() / 100 + 1 : (aq_max() + 1) / 2,
			      memory_order_relaxed);
	loop_timer_after(l->loop, t, FEEDBACK_USEC);
}

static void look_now(struct qloop *l, void *arg)
{
	(void)arg;
	loop_timer_after(l->loop, &timer, 0);
}

void feedback_came(struct qloop *l)
{
	unsigned at = atomic_load_explicit(&look_at, memory_order_relaxed);

	if (aq_count() < at || !atomic_compare_exchange_strong(&look_at, &at, UINT_MAX))
		return;
	qloop_call(l, &qm->loop[0], look_now, NULL);
}

void feedback_start(struct qmgr *q)
{
	qm = q;
	disk_start(q);
	timer.fn = measure;
	atomic_init(&look_at, UINT_MAX);
	measure(&timer);
}

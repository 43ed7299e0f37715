#include "queue/feedback.h"

#include "core/log.h"
#include "core/msg.h"
#include "queue/aq.h"
#include "queue/icc.h"
#include "queue/intake.h"
#include "queue/iqdb.h"

#include <errno.h>
#include <sys/statvfs.h>

enum { FEEDBACK_USEC = 100000, DISK_EVERY = 10 };

static struct qmgr *qm;
static struct timer timer;
static atomic_int level;
static const char *_Atomic cause = "none";
static unsigned turn;
static uint64_t disk_free = UINT64_MAX;

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

enum feedback_level feedback_judge(const struct feedback_numbers *n, enum feedback_level now,
				   const char **why)
{
	/* Once stopped, more must be free before it goes on, so that the level does not flutter. */
	uint64_t disk_want = now == FEEDBACK_STOP ? n->disk_ok_bytes : n->disk_min_bytes;
	uint64_t stop = now == FEEDBACK_STOP ? 80 : 95, slow = now == FEEDBACK_FREE ? 75 : 60;

	if (n->disk_free_bytes < disk_want) {
		*why = "disk";
		return FEEDBACK_STOP;
	}
	if (n->iqdb_count * 100 >= n->iqdb_max * stop) {
		*why = "iqdb";
		return FEEDBACK_STOP;
	}
	if (n->aq_count * 100 >= n->aq_max * stop) {
		*why = "aq";
		return FEEDBACK_STOP;
	}
	if (n->iqdb_count * 100 >= n->iqdb_max * slow) {
		*why = "iqdb";
		return FEEDBACK_SLOW;
	}
	if (n->aq_count * 100 >= n->aq_max * slow) {
		*why = "aq";
		return FEEDBACK_SLOW;
	}
	*why = "none";
	return FEEDBACK_FREE;
}

static uint64_t free_bytes(const char *dir)
{
	struct statvfs v;

	if (statvfs(*dir ? dir : ".", &v))
		return UINT64_MAX;
	return (uint64_t)v.f_bavail * v.f_frsize;
}

static uint64_t least_free(void)
{
	const char *dir[] = { qm->global.cdb_base_directory, qm->opt.defedb_base_directory,
			      qm->opt.defedb_log_directory };
	uint64_t least = UINT64_MAX;

	for (unsigned i = 0; i < sizeof dir / sizeof dir[0]; i++) {
		uint64_t f = free_bytes(dir[i]);

		if (f < least)
			least = f;
	}
	return least;
}

static void tell_loop(struct qloop *l, void *arg)
{
	(void)arg;
	intake_credit(l, (uint8_t)feedback_level(), feedback_cause());
}

static void measure(struct timer *t)
{
	struct qloop *l = &qm->loop[0];
	const char *why;

	if (turn++ % DISK_EVERY == 0) {
		disk_free = least_free();
		icc_expire(loop_now(l->loop));
	}
	struct feedback_numbers n = { .aq_count = aq_count(),
				      .aq_max = aq_max(),
				      .iqdb_count = iqdb_count(),
				      .iqdb_max = iqdb_max(),
				      .disk_free_bytes = disk_free,
				      .disk_min_bytes = qmgr_live(qm)->min_disk_space,
				      .disk_ok_bytes = qmgr_live(qm)->ok_disk_space };
	enum feedback_level was = feedback_level(), now = feedback_judge(&n, was, &why);
	if (now != was) {
		log_event(LOG_LV_WARN, now ? LOG_SEV_WARN : LOG_SEV_INFO, "feedback",
			  "level=%d, cause=%s", (int)now, why);
		atomic_store(&cause, why);
		atomic_store(&level, (int)now);
		for (unsigned i = 0; i < qm->loop_count; i++)
			qloop_call(l, &qm->loop[i], tell_loop, NULL);
	}
	loop_timer_after(l->loop, t, FEEDBACK_USEC);
}

void feedback_start(struct qmgr *q)
{
	qm = q;
	timer.fn = measure;
	loop_timer_after(q->loop[0].loop, &timer, 0);
}

void feedback_tell(struct qloop *l, struct link *k)
{
	struct msg_credit m = { .sessions = UINT32_MAX,
				.recipients = UINT32_MAX,
				.level = (uint8_t)feedback_level(),
				.cause = span_str(feedback_cause()) };

	(void)l;
	link_put(k, 0, credit, &m);
}

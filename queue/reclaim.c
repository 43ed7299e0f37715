#include "queue/reclaim.h"

#include "core/cdb_punch.h"
#include "core/err.h"
#include "core/log.h"
#include "core/msg.h"
#include "core/stats.h"
#include "core/thread.h"
#include "queue/intake.h"
#include "queue/marks.h"
#include "queue/move.h"
#include "queue/qmgr_stats.h"
#include "queue/sift.h"
#include "queue/sparse.h"
#include "queue/turn.h"

#include <errno.h>
#include <stdlib.h>

/* Of a segment: with less to keep it is emptied instead of punched, with more on disk it is punched
 * when it could not be emptied. */
enum { MOVE_PART = 64, PUNCH_PART = 32 };

static struct {
	struct qmgr *q;
	pthread_t thread;
	pthread_mutex_t lock; /* what follows; never held over I/O */
	pthread_cond_t cond;
	bool kicked;
	/* The one segment that an smtps punches now; instance 0: none. */
	uint64_t instance;
	struct msg_seg_punched asked;
	bool answered;
	/* The thread's. */
	atomic_bool stop;
	bool cannot_punch; /* the file system says so */
} the = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- turns in the committer */

struct ask {
	struct turn turn;
	struct sparse s;
	usec_t delay, next;
	unsigned found;
	int error;
	bool held, yes;
};

static void end_ask(struct turn *own)
{
	free(caa_container_of(own, struct ask, turn));
}

static void do_pick(struct turn *t)
{
	struct ask *a = caa_container_of(t, struct ask, turn);

	/* What is not on disk yet may be lost. */
	if (committer_is_behind(t->call.committer))
		a->next = clock_now() + USEC_PER_SEC;
	else
		a->yes = sparse_pick(committer_segments(t->call.committer), clock_now(), a->delay,
				     &a->s, &a->next);
}

static void do_confirm(struct turn *t)
{
	struct ask *a = caa_container_of(t, struct ask, turn);

	a->yes = !committer_is_behind(t->call.committer) &&
		 sparse_confirm(committer_segments(t->call.committer), &a->s, a->found);
}

static void do_done(struct turn *t)
{
	struct ask *a = caa_container_of(t, struct ask, turn);

	sparse_done(committer_segments(t->call.committer), &a->s, a->error, a->held);
}

/* What is not needed any more is freed after a batch. */
static void freed(struct turn *t)
{
	(void)t;
}

/* NULL: stop. */
static struct ask *ask(void (*run)(struct turn *t), void (*synced)(struct turn *t), struct ask with)
{
	struct ask *a = xmalloc(sizeof *a);

	*a = with;
	a->turn = (struct turn){ .run = run, .synced = synced, .end = end_ask };
	return turn_take(the.q->committer, &a->turn, &the.stop) ? a : NULL;
}

/* ---- punching */

/* By an smtps. 0, its error, or -ECONNRESET: it has gone meanwhile, and may still be at it. */
static int wait_for_smtps(uint64_t *left)
{
	int rc = -ECONNRESET;

	pthread_mutex_lock(&the.lock);
	while (!the.answered && the.instance && !atomic_load(&the.stop))
		pthread_cond_wait(&the.cond, &the.lock);
	if (the.answered)
		rc = -(int)(the.asked.error < 4096 ? the.asked.error : EBADMSG);
	*left = the.asked.left;
	the.instance = 0;
	pthread_mutex_unlock(&the.lock);
	return rc;
}

static int ask_smtps(const struct sparse *s, struct span runs, uint64_t *left)
{
	uint64_t instance = intake_any(s->instance);

	pthread_mutex_lock(&the.lock);
	the.asked = (struct msg_seg_punched){ .seg = s->seg, .gen = s->gen };
	the.answered = false;
	the.instance = instance;
	pthread_mutex_unlock(&the.lock);
	if (instance && intake_punch(instance, s->seg, s->gen, runs))
		return wait_for_smtps(left);
	reclaim_lost(instance);
	return -ENOTCONN;
}

static int punch_runs(const struct sparse *s, const struct sift *f, uint64_t *left)
{
	struct buf runs = { 0 };
	int rc = -ENOTCONN;

	for (unsigned i = 0; i < f->run_count; i++)
		if (cdb_runs_add(&runs, f->run[i]))
			return buf_release(&runs), -ENOMEM;
	if (s->instance != the.q->hello.instance)
		rc = ask_smtps(s, buf_span(&runs), left);
	buf_release(&runs);
	/* Our own, also of a former qmgr: no smtps may write to it. */
	if (rc == -ENOTCONN || rc == -EACCES || rc == -EPERM)
		rc = cdb_punch(the.q->global.cdb_base_directory, s->seg, s->gen, f->run,
			       f->run_count, left);
	return rc;
}

/* Which records are needed, and the committer agrees. 0, -EAGAIN: not now, -ECANCELED: stop. */
static int sift_surely(const struct sparse *s, struct sift *f)
{
	for (int with_marks = 1; with_marks >= 0; with_marks--) {
		int rc = sift(f, the.q->store, the.q->global.cdb_base_directory, s->seg, s->gen,
			      s->bytes, with_marks);
		struct ask *a =
			rc ? NULL
			   : ask(do_confirm, NULL, (struct ask){ .s = *s, .found = f->live_count });
		bool yes = a && a->yes;

		free(a);
		if (yes)
			return 0;
		sift_free(f);
		if (rc || !a)
			return rc ? rc : -ECANCELED;
	}
	return -EAGAIN;
}

static int punch(const struct sparse *s, bool *held)
{
	struct sift f;
	uint64_t left = 0;
	int rc = sift_surely(s, &f);

	if (rc)
		return rc;
	if (f.yield)
		rc = punch_runs(s, &f, &left);
	*held = rc == -ECONNRESET;
	if (rc == -EOPNOTSUPP && !the.cannot_punch) {
		the.cannot_punch = true;
		log_event(LOG_LV_INFO, LOG_SEV_INFO, "reclaim",
			  "stat=the file system cannot punch holes, messages are moved");
	}
	if (!rc && f.yield) {
		uint64_t gone = s->alloc > left ? s->alloc - left : 0;

		stats_add(QMGR_STAT_PUNCHED, 1);
		stats_add(QMGR_STAT_PUNCHED_BYTES, gone);
		log_event(LOG_LV_INFO, LOG_SEV_INFO, "reclaim",
			  "seg=%016llX, stat=punched, live=%u, dead=%u, bytes=%llu, left=%llu",
			  (unsigned long long)s->seg, f.live_count, f.dead,
			  (unsigned long long)gone, (unsigned long long)left);
	}
	sift_free(&f);
	return rc;
}

/* ---- moving */

/* 0: nothing is left in it; -EBUSY: some are in AQ; others. */
static int empty(const struct sparse *s)
{
	struct move_result r = { .moved = 0 };
	struct sift f;
	int rc = sift_surely(s, &f);

	if (rc)
		return rc;
	bool go_on = move_records(the.q, f.live, f.live_count, &the.stop, &r);
	sift_free(&f);
	if (!go_on)
		return -ECANCELED;
	stats_add(QMGR_STAT_MOVED, r.moved);
	stats_add(QMGR_STAT_MOVED_BYTES, r.bytes);
	log_event(LOG_LV_INFO, r.error ? LOG_SEV_WARN : LOG_SEV_INFO, "reclaim",
		  "seg=%016llX, stat=moved, messages=%u, bytes=%llu, stay=%u, error=%s",
		  (unsigned long long)s->seg, r.moved, (unsigned long long)r.bytes, r.left,
		  r.error ? strerror(-r.error) : "0");
	return r.error ? r.error : r.left ? -EBUSY : 0;
}

/* ---- one segment */

static int handle(const struct sparse *s, bool *held)
{
	bool few = s->live_bytes * MOVE_PART <= s->bytes;
	int rc = -EOPNOTSUPP;

	if (!few && !the.cannot_punch && !s->bad)
		rc = punch(s, held);
	if (rc != -EOPNOTSUPP)
		return rc;
	rc = empty(s);
	/* What could not be moved keeps only its own blocks. */
	if (rc && rc != -ECANCELED && !the.cannot_punch && !s->bad &&
	    s->alloc * PUNCH_PART > s->bytes)
		punch(s, held);
	return rc;
}

static void one(const struct sparse *s)
{
	bool held = false;
	int rc = handle(s, &held);

	if (rc == -ECANCELED)
		return;
	/* Those in AQ are nobody's fault. */
	if (rc && rc != -EBUSY) {
		stats_add(QMGR_STAT_RECLAIM_ERRORS, 1);
		log_event(LOG_LV_WARN, LOG_SEV_WARN, "reclaim", "seg=%016llX, stat=later, error=%s",
			  (unsigned long long)s->seg, strerror(-rc));
	}
	free(ask(do_done, freed, (struct ask){ .s = *s, .error = rc, .held = held }));
}

/* ---- the thread */

static usec_t delay_now(void)
{
	rcu_online();
	usec_t delay = qmgr_live(the.q)->reclaim_delay;
	rcu_offline();
	return delay;
}

static void wait_until(usec_t next)
{
	struct timespec ts = { next / USEC_PER_SEC, next % USEC_PER_SEC * 1000 };

	pthread_mutex_lock(&the.lock);
	while (!the.kicked && !atomic_load(&the.stop)) {
		if (next == INT64_MAX)
			pthread_cond_wait(&the.cond, &the.lock);
		else if (pthread_cond_timedwait(&the.cond, &the.lock, &ts))
			break;
	}
	the.kicked = false;
	pthread_mutex_unlock(&the.lock);
}

static void run(void *arg)
{
	(void)arg;
	stats_thread();
	rcu_offline();
	marks_sweep(the.q->global.cdb_base_directory);
	while (!atomic_load(&the.stop)) {
		struct ask *a = ask(do_pick, NULL, (struct ask){ .delay = delay_now() });

		if (!a)
			break;
		if (a->yes)
			one(&a->s);
		else
			wait_until(a->next);
		free(a);
	}
	rcu_online();
}

int reclaim_start(struct qmgr *q)
{
	pthread_condattr_t a;

	the.q = q;
	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_cond_init(&the.cond, &a);
	pthread_condattr_destroy(&a);
	return thread_start(&the.thread, "reclaim", THREAD_ANY_CPU, run, NULL);
}

void reclaim_stop(void)
{
	pthread_mutex_lock(&the.lock);
	atomic_store(&the.stop, true);
	pthread_cond_broadcast(&the.cond);
	pthread_mutex_unlock(&the.lock);
	turn_wake();
	thread_join(the.thread);
}

/* ---- what others say */

void reclaim_kick(void *qmgr)
{
	(void)qmgr;
	pthread_mutex_lock(&the.lock);
	the.kicked = true;
	pthread_cond_signal(&the.cond);
	pthread_mutex_unlock(&the.lock);
}

void reclaim_punched(uint64_t instance, const struct msg_seg_punched *m)
{
	pthread_mutex_lock(&the.lock);
	if (the.instance == instance && !the.answered && m->seg == the.asked.seg &&
	    m->gen == the.asked.gen) {
		the.asked = *m;
		the.answered = true;
		pthread_cond_signal(&the.cond);
	}
	pthread_mutex_unlock(&the.lock);
}

void reclaim_lost(uint64_t instance)
{
	pthread_mutex_lock(&the.lock);
	if (the.instance == instance) {
		the.instance = 0;
		pthread_cond_signal(&the.cond);
	}
	pthread_mutex_unlock(&the.lock);
}

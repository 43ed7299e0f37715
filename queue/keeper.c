#include "queue/keeper.h"

#include "core/err.h"
#include "core/log.h"
#include "core/thread.h"
#include "queue/routes.h"

#include <errno.h>
#include <stdlib.h>

enum { AQ_SHARE_PERCENT = 80, FULL_WAIT_USEC = 50000, IDLE_WAIT_SEC = 3600 };

struct keeper {
	struct qmgr *q;
	pthread_t thread;
	pthread_mutex_t lock;           /* wake, hurry; never held over I/O */
	pthread_cond_t cond;
	atomic_bool stop;
	usec_t wall_low;                /* lowest time deferred since the last walk, 0: none */
	usec_t hurry;
	usec_t cursor;                  /* all before it is in AQ or gone */
	unsigned next_loop;
};

static struct keeper *the;

/* ---- loading */

static int load_rcpts(struct store *s, struct ta *ta)
{
	struct store_key from = store_key_ta(ta->id);
	struct store_iter *it = store_iter_new(s, STORE_IBDB, store_key_span(&from));
	uint64_t id;
	uint32_t idx;
	bool is_rcpt;

	ta->c.rcpt = xcalloc(ta->env.rcpt_count, sizeof *ta->c.rcpt);
	for (; store_iter_valid(it); store_iter_next(it)) {
		if (!store_key_parse(store_iter_key(it), &id, &idx, &is_rcpt) || id != ta->id)
			break;
		if (!is_rcpt || idx >= ta->env.rcpt_count)
			continue;
		ta->c.rcpt[idx].done = ta->c.rcpt[idx].marked = true;
		atomic_store(&ta->rcpt[idx].state, RCPT_DONE);
		atomic_fetch_sub(&ta->open, 1);
	}
	int rc = store_iter_end(it);
	if (rc)
		return rc;
	it = store_iter_new(s, STORE_DEFEDB, store_key_span(&from));
	for (; store_iter_valid(it); store_iter_next(it)) {
		struct store_deferred d;

		if (!store_key_parse(store_iter_key(it), &id, &idx, &is_rcpt) || id != ta->id)
			break;
		if (!is_rcpt || idx >= ta->env.rcpt_count || store_deferred_decode(store_iter_value(it), &d))
			continue;
		ta->c.rcpt[idx].wall_due = d.held ? 0 : d.wall_next;
		ta->c.rcpt[idx].held = d.held;
		aq_rcpt_restore(ta, idx, &d);
	}
	return store_iter_end(it);
}

struct ta *keeper_load(struct store *s, uint64_t id, int *error)
{
	struct store_key key = store_key_ta(id);
	struct cdb_ref ref;
	struct span blob;
	char *v;
	size_t n;

	*error = store_get(s, STORE_IBDB, store_key_span(&key), &v, &n);
	if (*error)
		return NULL;
	*error = store_ta_decode(span_of(v, n), &ref, &blob);
	struct ta *ta = *error ? NULL : aq_ta_new(blob, &ref, error);
	free(v);
	if (!ta)
		return NULL;
	ta->c.in_db = true;
	*error = ta->id == id ? load_rcpts(s, ta) : -EUCLEAN;
	if (*error) {
		aq_ta_free(ta);
		return NULL;
	}
	return ta;
}

/* ---- one due recipient */

struct due {
	struct ta *ta;
	uint32_t idx;
};

static void in_loop(struct qloop *l, void *arg)
{
	struct due *d = arg;

	routes_queue(l, d->ta, &d->idx, 1, false);
	free(d);
}

/* Counts the recipient as active unless the transaction is on its way out. */
static bool activate(struct ta *ta, uint32_t idx)
{
	unsigned active = atomic_load(&ta->active);

	do {
		if (active >= AQ_DYING)
			return false;
	} while (!atomic_compare_exchange_weak(&ta->active, &active, active + 1));
	atomic_store(&ta->rcpt[idx].state, RCPT_ACTIVE);
	aq_take(1);
	return true;
}

/* 0; -EAGAIN: it is being unloaded, look again soon; others: the row is skipped. */
static int bring(struct keeper *k, uint64_t id, uint32_t idx)
{
	struct ta *ta = aq_find(id);
	int rc = 0;

	if (!ta) {
		ta = keeper_load(k->q->store, id, &rc);
		if (!ta)
			return rc;
		if (idx >= ta->env.rcpt_count || atomic_load(&ta->rcpt[idx].state) != RCPT_DEFERRED ||
		    !activate(ta, idx)) {
			aq_ta_free(ta);
			return -ENOENT;
		}
		if (!aq_insert(ta))
			panic("two loaders of one transaction");
	} else {
		if (idx >= ta->env.rcpt_count || atomic_load(&ta->rcpt[idx].state) != RCPT_DEFERRED)
			return -ENOENT;
		if (!activate(ta, idx))
			return -EAGAIN;
	}
	struct due *d = xmalloc(sizeof *d);
	*d = (struct due){ ta, idx };
	/* Packed: loop 0 does it, as long as it is not full. */
	qloop_post(&k->q->loop[0], in_loop, d);
	return 0;
}

/* ---- the walk */

/* Returns when to look again, wall time. */
static usec_t walk(struct keeper *k, usec_t upto)
{
	struct store_key from = store_key_due(k->cursor, 0, 0);
	struct store_iter *it = store_iter_new(k->q->store, STORE_DUE, store_key_span(&from));
	usec_t again = 0, wall;
	uint64_t id;
	uint32_t idx;

	for (; store_iter_valid(it); store_iter_next(it)) {
		if (!store_key_due_parse(store_iter_key(it), &wall, &id, &idx))
			continue;
		if (wall > upto) {
			again = wall;
			break;
		}
		if ((uint64_t)aq_count() * 100 >= (uint64_t)aq_max() * AQ_SHARE_PERCENT) {
			k->cursor = wall;
			again = clock_wall() + FULL_WAIT_USEC;
			break;
		}
		rcu_online();
		int rc = bring(k, id, idx);
		rcu_offline();
		if (rc == -EAGAIN) {
			k->cursor = wall;
			again = clock_wall() + FULL_WAIT_USEC;
			break;
		}
		k->cursor = wall;
	}
	int rc = store_iter_end(it);
	if (rc)
		again = clock_wall() + USEC_PER_SEC;
	return again ? again : clock_wall() + IDLE_WAIT_SEC * (usec_t)USEC_PER_SEC;
}

/* Sleeps until then, or until somebody has news. */
static usec_t wait_until(struct keeper *k, usec_t wall)
{
	usec_t upto = 0;

	pthread_mutex_lock(&k->lock);
	while (!k->stop && !k->wall_low && !k->hurry && clock_wall() < wall) {
		usec_t left = wall - clock_wall();
		struct timespec ts;

		clock_gettime(CLOCK_MONOTONIC, &ts);
		ts.tv_sec += left / USEC_PER_SEC;
		ts.tv_nsec += left % USEC_PER_SEC * 1000;
		if (ts.tv_nsec >= 1000000000) {
			ts.tv_sec++;
			ts.tv_nsec -= 1000000000;
		}
		if (pthread_cond_timedwait(&k->cond, &k->lock, &ts))
			break;
	}
	if (k->wall_low && k->wall_low < k->cursor)
		k->cursor = k->wall_low;
	upto = k->hurry;
	if (upto)
		k->cursor = 0;
	k->wall_low = k->hurry = 0;
	pthread_mutex_unlock(&k->lock);
	return upto;
}

static void run(void *arg)
{
	struct keeper *k = arg;
	usec_t upto = 0;

	rcu_offline();
	while (!k->stop) {
		usec_t now = clock_wall();
		usec_t again = walk(k, upto > now ? upto : now);

		upto = wait_until(k, again);
	}
	rcu_online();
}

struct keeper *keeper_start(struct qmgr *q)
{
	struct keeper *k = xcalloc(1, sizeof *k);
	pthread_condattr_t a;

	k->q = q;
	pthread_mutex_init(&k->lock, NULL);
	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_cond_init(&k->cond, &a);
	pthread_condattr_destroy(&a);
	the = k;
	if (thread_start(&k->thread, "keeper", THREAD_ANY_CPU, run, k))
		panic("cannot start the keeper");
	return k;
}

void keeper_stop(struct keeper *k)
{
	pthread_mutex_lock(&k->lock);
	k->stop = true;
	pthread_cond_signal(&k->cond);
	pthread_mutex_unlock(&k->lock);
	thread_join(k->thread);
	the = NULL;
	free(k);
}

void keeper_deferred(void *qmgr, usec_t wall_next)
{
	struct keeper *k = the;

	(void)qmgr;
	if (!k)
		return;
	pthread_mutex_lock(&k->lock);
	if (!k->wall_low || wall_next < k->wall_low)
		k->wall_low = wall_next;
	pthread_cond_signal(&k->cond);
	pthread_mutex_unlock(&k->lock);
}

void keeper_hurry(usec_t wall_upto)
{
	struct keeper *k = the;

	if (!k)
		return;
	pthread_mutex_lock(&k->lock);
	k->hurry = wall_upto;
	pthread_cond_signal(&k->cond);
	pthread_mutex_unlock(&k->lock);
}

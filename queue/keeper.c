#include "queue/keeper.h"

#include "core/err.h"
#include "core/log.h"
#include "core/stats.h"
#include "core/thread.h"
#include "queue/damage.h"
#include "queue/orders.h"
#include "queue/outcome.h"
#include "queue/routes.h"
#include "queue/unpark.h"

#include <errno.h>
#include <stdlib.h>

enum {
	/* Less than what slows clients down, queue/feedback.c. */
	AQ_SHARE_PERCENT = 60,
	FULL_WAIT_USEC = 50000,
	IDLE_WAIT_SEC = 3600,
	WALK_ROWS = 1000,
	WALK_TOGETHER = 100,
	/* Recipients of a destination that is down which are tried because somebody said so; the
	 * others follow when it is up. */
	RETRY_CLOSED_MAX = 100,
	RETRY_PERCENT = 75,
};

struct keeper {
	struct qmgr *q;
	pthread_t thread;
	pthread_mutex_t lock; /* wall_low, ordered, told; never held over I/O */
	pthread_cond_t cond;
	atomic_bool stop;
	usec_t wall_low; /* lowest time deferred since the last walk, 0: none */
	struct ordered *ordered, **ordered_end;
	struct ordered *again; /* own: their transaction is being unloaded */
	atomic_uint ordered_count;
	bool told; /* of parks */
	struct unpark *unpark;
	struct { /* all rows before this one are in AQ or gone */
		usec_t wall;
		uint64_t id;
		uint32_t idx;
	} cursor;
	unsigned next_loop;
};

/* What is to be brought back with an order; without one: a mark. */
struct ordered {
	struct ordered *next;
	uint64_t id;
	struct order *order;
	void (*fn)(struct qloop *l, void *arg);
	void *arg;
	unsigned count;
	uint32_t idx[];
};

static struct keeper *the;
static _Atomic uint64_t moves;

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
		ta->c.rcpt[idx].reported = store_mark_reported(store_iter_value(it));
		if (ta->c.rcpt[idx].reported)
			atomic_store(aq_dsn_count(ta, idx), 1);
		ta->c.rcpt[idx].warned = store_mark_warned(store_iter_value(it));
		if (ta->c.rcpt[idx].warned)
			atomic_store(aq_warned(ta, idx), true);
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
		if (!is_rcpt || idx >= ta->env.rcpt_count ||
		    store_deferred_decode(store_iter_value(it), &d))
			continue;
		ta->c.rcpt[idx].wall_due = d.held ? 0 : d.wall_next;
		ta->c.rcpt[idx].park = d.park;
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
	bool again = store_ta_is_again(span_of(v, n));
	free(v);
	if (!ta)
		return NULL;
	ta->c.in_db = true;
	ta->c.again = again;
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
	bool event; /* parked ones that are to be warned about or returned */
	unsigned count;
	uint32_t idx[];
};

static void in_loop(struct qloop *l, void *arg)
{
	struct due *d = arg;
	uint32_t *left = orders_take(l, d->ta, d->idx, &d->count);

	if (d->count && d->event)
		outcome_event(l, d->ta, left ? left : d->idx, d->count);
	else if (d->count)
		routes_queue(l, d->ta, left ? left : d->idx, d->count, false);
	free(left);
	free(d);
}

static void send_to_loop(struct keeper *k, struct ta *ta, const uint32_t *idx, unsigned count,
			 bool event)
{
	struct due *d = xmalloc(sizeof *d + count * sizeof *idx);

	d->ta = ta;
	d->event = event;
	d->count = count;
	memcpy(d->idx, idx, count * sizeof *idx);
	/* Packed: loop 0 does it, as long as it is not full. */
	qloop_post(&k->q->loop[0], in_loop, d);
}

/* Counts the recipient as active unless the transaction is on its way out. */
static bool activate(struct ta *ta, uint32_t idx)
{
	unsigned active = atomic_load(&ta->active);

	do {
		if (active >= AQ_DYING)
			return false;
	} while (!atomic_compare_exchange_weak(&ta->active, &active, active + 1));
	ta->rcpt[idx].was_held = atomic_load(&ta->rcpt[idx].state) == RCPT_HELD;
	park_take(&ta->rcpt[idx]);
	atomic_store(&ta->rcpt[idx].state, RCPT_ACTIVE);
	aq_take(1);
	return true;
}

/* The transaction in AQ, brought there if need be: *loaded; without any use for it the caller takes it
 * out again. NULL: *error, -EAGAIN: it is being unloaded or moved, look again soon. */
static struct ta *find(struct keeper *k, uint64_t id, bool *loaded, int *error)
{
	uint64_t before = atomic_load(&moves);
	struct ta *ta = aq_find(id);

	*loaded = false;
	*error = -EAGAIN;
	if (ta && atomic_load(&ta->active) >= AQ_DYING)
		return NULL;
	if (ta) {
		*error = 0;
		return ta;
	}
	ta = keeper_load(k->q->store, id, error);
	if (!ta)
		return NULL;
	*error = -EAGAIN;
	if (!aq_insert(ta)) {
		aq_ta_free(ta);
		return NULL;
	}
	/* It was moved while it was loaded: this one may have the old place. */
	if (atomic_load(&moves) != before) {
		aq_remove(ta);
		return NULL;
	}
	*loaded = true;
	*error = 0;
	return ta;
}

static bool is_due(const struct ta *ta, uint32_t idx, bool loaded, usec_t wall)
{
	/* Later than its row: it was tried meanwhile, and its new row is not written yet. */
	return idx < ta->env.rcpt_count && atomic_load(&ta->rcpt[idx].state) == RCPT_DEFERRED &&
	       (loaded || atomic_load(&ta->rcpt[idx].wall_next) <= wall);
}

/* Recipients of one transaction that are due at the same time. 0, also when the rows are skipped;
 * -EAGAIN: it is being unloaded, look again soon. wall: that of the rows. */
static int bring(struct keeper *k, uint64_t id, const uint32_t *idx, unsigned count, usec_t wall)
{
	uint32_t plain[WALK_TOGETHER], event[WALK_TOGETHER];
	unsigned plain_count = 0, event_count = 0;
	bool loaded;
	int rc;
	struct ta *ta = find(k, id, &loaded, &rc);

	if (!ta)
		return rc;
	rc = 0;
	for (unsigned i = 0; i < count && !rc; i++) {
		if (!is_due(ta, idx[i], loaded, wall))
			continue;
		/* None was activated before: an active one would keep it here. */
		if (!activate(ta, idx[i]))
			rc = -EAGAIN;
		else if (atomic_load(&ta->rcpt[idx[i]].park))
			event[event_count++] = idx[i];
		else
			plain[plain_count++] = idx[i];
	}
	if (loaded && !plain_count && !event_count)
		aq_remove(ta);
	if (plain_count)
		send_to_loop(k, ta, plain, plain_count, false);
	if (event_count)
		send_to_loop(k, ta, event, event_count, true);
	return rc;
}

/* unpark_bring(). */
static int bring_parked(void *ctx, uint64_t id, uint32_t *idx, unsigned count, uint64_t park)
{
	struct keeper *k = ctx;
	unsigned n = 0;
	bool loaded;
	int rc;

	rcu_online();
	struct ta *ta = find(k, id, &loaded, &rc);
	bool dying = rc == -EAGAIN;
	for (unsigned i = 0; ta && i < count && !dying; i++) {
		if (idx[i] >= ta->env.rcpt_count ||
		    atomic_load(&ta->rcpt[idx[i]].state) != RCPT_DEFERRED ||
		    atomic_load(&ta->rcpt[idx[i]].park) != park)
			continue;
		if (activate(ta, idx[i]))
			idx[n++] = idx[i];
		else
			dying = true;
	}
	if (loaded && !n)
		aq_remove(ta);
	if (n)
		send_to_loop(k, ta, idx, n, false);
	rcu_offline();
	return dying ? -EAGAIN : (int)n;
}

/* ---- orders */

static void count_gone(struct order *o, unsigned gone, unsigned failed)
{
	atomic_fetch_add(&o->gone, gone);
	atomic_fetch_add(&o->failed, failed);
}

/* Parked ones that are to be tried now, for which there is no room: their destination is looked at
 * now, and they come when it is up. */
static bool hurries_only(struct ta *ta, uint32_t idx, const struct order *o)
{
	struct park *p = park_find(atomic_load(&ta->rcpt[idx].park));

	if (!p || o->kind != ORDER_RETRY)
		return false;
	unsigned has = atomic_load(&p->in_aq) + atomic_load(&p->coming),
		 may = park_share(aq_max(), aq_count());
	if (atomic_load(&p->state) != PARK_OPEN && may > RETRY_CLOSED_MAX)
		may = RETRY_CLOSED_MAX;
	if (has < may && (uint64_t)aq_count() * 100 < (uint64_t)aq_max() * RETRY_PERCENT)
		return false;
	park_hurry(p);
	return true;
}

/* Makes those active that the order is for; returns how many, in front of w->idx. *left: the
 * transaction is being unloaded, nothing was done. */
static unsigned activate_ordered(struct ta *ta, struct ordered *w, bool *left)
{
	unsigned n = 0;

	for (unsigned i = 0; i < w->count; i++) {
		uint32_t idx = w->idx[i];
		uint8_t state =
			idx < ta->env.rcpt_count ? atomic_load(&ta->rcpt[idx].state) : RCPT_DONE;

		if (state == RCPT_ACTIVE && orders_set(ta, idx, w->order))
			continue;
		if (state == RCPT_ACTIVE)
			state = atomic_load(&ta->rcpt[idx].state);
		if (state == RCPT_ACTIVE || !order_wants(w->order, state)) {
			count_gone(w->order, 1, 0);
		} else if (hurries_only(ta, idx, w->order)) {
			atomic_fetch_add(&w->order->done, 1);
		} else if (activate(ta, idx)) {
			orders_put(ta, idx, w->order);
			w->idx[n++] = idx;
		} else {
			/* None was activated: an active one would keep it here. */
			w->idx[0] = idx;
			memmove(w->idx + 1, w->idx + i + 1, (w->count - i - 1) * sizeof *w->idx);
			w->count -= i;
			*left = true;
			return 0;
		}
	}
	return n;
}

/* True: later again. */
static bool bring_ordered(struct keeper *k, struct ordered *w)
{
	bool loaded, left = false;
	int rc;
	struct ta *ta = find(k, w->id, &loaded, &rc);

	if (!ta && rc == -EAGAIN)
		return true;
	if (!ta) {
		count_gone(w->order, rc == -ENOENT ? w->count : 0, rc == -ENOENT ? 0 : w->count);
		return false;
	}
	unsigned n = activate_ordered(ta, w, &left);
	if (loaded && !n)
		aq_remove(ta);
	if (n)
		send_to_loop(k, ta, w->idx, n, false);
	return left;
}

static struct ordered *take_ordered(struct keeper *k)
{
	pthread_mutex_lock(&k->lock);
	struct ordered *w = k->ordered;
	k->ordered = NULL;
	k->ordered_end = &k->ordered;
	pthread_mutex_unlock(&k->lock);
	return w;
}

static void add_ordered(struct keeper *k, struct ordered *own)
{
	pthread_mutex_lock(&k->lock);
	*k->ordered_end = own;
	k->ordered_end = &own->next;
	pthread_cond_signal(&k->cond);
	pthread_mutex_unlock(&k->lock);
}

/* All that is ordered; a mark waits for those that must be tried again. */
static void run_orders(struct keeper *k)
{
	struct ordered *w = k->again, *next, **again = &k->again;

	if (w) {
		struct ordered *last = w;

		while (last->next)
			last = last->next;
		last->next = take_ordered(k);
	} else {
		w = take_ordered(k);
	}
	k->again = NULL;
	for (; w; w = next) {
		next = w->next;
		rcu_online();
		bool keep = w->order ? bring_ordered(k, w) : k->again != NULL;
		rcu_offline();
		if (keep) {
			w->next = NULL;
			*again = w;
			again = &w->next;
			continue;
		}
		if (w->order) {
			atomic_fetch_sub(&k->ordered_count, w->count);
			order_put(w->order);
		} else {
			qloop_post(&k->q->loop[0], w->fn, w->arg);
		}
		free(w);
	}
}

static bool has_orders(const struct keeper *k)
{
	return atomic_load_explicit(&k->ordered_count, memory_order_relaxed) != 0;
}

/* ---- the walk */

static bool is_full(void)
{
	return (uint64_t)aq_count() * 100 >= (uint64_t)aq_max() * AQ_SHARE_PERCENT;
}

static void set_cursor(struct keeper *k, usec_t wall, uint64_t id, uint32_t idx)
{
	k->cursor.wall = wall;
	k->cursor.id = id;
	k->cursor.idx = idx;
}

/* The rows under the iterator with this time and transaction; moves it behind them. */
static unsigned collect(struct store_iter *it, usec_t wall, uint64_t id,
			uint32_t idx[static WALK_TOGETHER])
{
	uint64_t of;
	usec_t at;
	unsigned n = 0;

	for (; n < WALK_TOGETHER && store_iter_valid(it); store_iter_next(it)) {
		if (!store_key_due_parse(store_iter_key(it), &at, &of, &idx[n]) || at != wall ||
		    of != id)
			break;
		n++;
	}
	return n;
}

/* Returns when to look again, wall time. */
static usec_t walk(struct keeper *k, usec_t upto)
{
	struct store_key from = store_key_due(k->cursor.wall, k->cursor.id, k->cursor.idx);
	struct store_iter *it = store_iter_new(k->q->store, STORE_DUE, store_key_span(&from));
	usec_t again = 0, wall;
	unsigned rows = 0, n;
	uint32_t idx[WALK_TOGETHER];
	uint64_t id;

	while (damage_valid(it, &from, 0, NULL)) {
		if (!store_key_due_parse(store_iter_key(it), &wall, &id, idx)) {
			store_iter_next(it);
			continue;
		}
		if (wall > upto) {
			again = wall;
			break;
		}
		if (is_full()) {
			again = clock_steady() + FULL_WAIT_USEC;
			break;
		}
		rcu_online();
		n = collect(it, wall, id, idx);
		from = store_key_due(wall, id, idx[n - 1]);
		int rc = bring(k, id, idx, n, wall);
		rcu_offline();
		set_cursor(k, wall, id, rc == -EAGAIN ? idx[0] : idx[n - 1] + 1);
		if (rc == -EAGAIN) {
			again = clock_steady() + FULL_WAIT_USEC;
			break;
		}
		/* Orders and what is parked have their turn. */
		rows += n;
		if ((has_orders(k) && !k->again) || rows >= WALK_ROWS) {
			again = clock_steady();
			break;
		}
	}
	int rc = store_iter_end(it);
	if (rc)
		again = clock_steady() + USEC_PER_SEC;
	return again ? again : clock_steady() + IDLE_WAIT_SEC * (usec_t)USEC_PER_SEC;
}

/* Sleeps until then, or until somebody has news. */
static void wait_until(struct keeper *k, usec_t wall)
{
	pthread_mutex_lock(&k->lock);
	while (!k->stop && !k->wall_low && !k->ordered && !k->told && clock_steady() < wall) {
		usec_t left = wall - clock_steady();
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
	if (k->wall_low && k->wall_low <= k->cursor.wall)
		set_cursor(k, k->wall_low, 0, 0);
	k->wall_low = 0;
	k->told = false;
	pthread_mutex_unlock(&k->lock);
}

static void wake(void)
{
	struct keeper *k = the;

	pthread_mutex_lock(&k->lock);
	k->told = true;
	pthread_cond_signal(&k->cond);
	pthread_mutex_unlock(&k->lock);
}

static void run(void *arg)
{
	struct keeper *k = arg;

	stats_thread();
	rcu_offline();
	while (!k->stop) {
		run_orders(k);
		usec_t again = walk(k, clock_steady()), parks = unpark_run(k->unpark, is_full()),
		       soon = clock_steady() + FULL_WAIT_USEC;

		if (parks && parks < again)
			again = parks;
		wait_until(k, k->again && again > soon ? soon : again);
	}
	rcu_online();
}

struct keeper *keeper_start(struct qmgr *q)
{
	struct keeper *k = xcalloc(1, sizeof *k);
	pthread_condattr_t a;

	k->q = q;
	k->ordered_end = &k->ordered;
	pthread_mutex_init(&k->lock, NULL);
	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_cond_init(&k->cond, &a);
	pthread_condattr_destroy(&a);
	the = k;
	parks_on_told(wake);
	k->unpark = unpark_new(q->store, bring_parked, k);
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
	/* Loops and committer may be about to wake it: it stays to the end of the process. */
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

void keeper_order(uint64_t id, const uint32_t *idx, unsigned count, struct order *o)
{
	struct keeper *k = the;
	struct ordered *w = xmalloc(sizeof *w + count * sizeof *idx);

	if (!k) {
		free(w);
		return;
	}
	*w = (struct ordered){ .id = id, .order = o, .count = count };
	memcpy(w->idx, idx, count * sizeof *idx);
	order_get(o);
	atomic_fetch_add(&k->ordered_count, count);
	add_ordered(k, w);
}

void keeper_after_orders(void (*fn)(struct qloop *l, void *arg), void *arg)
{
	struct keeper *k = the;
	struct ordered *w = xcalloc(1, sizeof *w);

	w->fn = fn;
	w->arg = arg;
	if (k)
		add_ordered(k, w);
	else
		free(w);
}

void keeper_moved(void)
{
	atomic_fetch_add(&moves, 1);
}

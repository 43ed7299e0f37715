#include "queue/sched.h"

#include "core/err.h"
#include "core/ids.h"
#include "core/log.h"
#include "core/msg.h"
#include "queue/admit.h"
#include "queue/agents.h"
#include "queue/attempt.h"
#include "queue/dest.h"
#include "queue/dsn.h"
#include "queue/orders.h"
#include "queue/outcome.h"
#include "queue/qmgr_stats.h"
#include "queue/suspend.h"

#include <errno.h>
#include <stdlib.h>

enum {
	CONN_WAIT_USEC = 2000,
	BUSY_RATE = 20,
	SWEEP_USEC = 60 * USEC_PER_SEC,
	OBEY_RCPTS = 1000,
	OBEY_PAUSE_USEC = 20 * USEC_PER_MSEC
};

struct slot {
	struct timer timer; /* it must come back until then */
	struct qloop *l;
};

struct sched {
	struct qloop *l;
	struct dests *dests;
	struct dest *ready, **ready_end;
	struct loop_task task;
	struct attempts attempts;
	struct slot slot[OCC_AGENTS_MAX];
	struct timer sweep;
	struct { /* of sched_obey() */
		struct timer timer;
		struct obey *now, *next; /* who waits for this walk, for the next one */
	} obey;
	struct buf frame;
	atomic_uint dest_count, queued_count;
};

static void requeue(struct attempt *a);
static void on_result(struct qloop *l, uint64_t attempt, const struct msg_result *m);
static void slot_free(struct qloop *l, struct dest *d, struct occ_host *h);

static void dest_ready(struct qloop *l, struct dest *d)
{
	struct sched *s = l->sched;

	if (d->ready || !dest_waits(d))
		return;
	d->ready = true;
	d->ready_next = NULL;
	*s->ready_end = d;
	s->ready_end = &d->ready_next;
	loop_defer(l->loop, &s->task);
}

static void add(struct qloop *l, struct dest *d, struct ta *ta, const uint32_t *idx, unsigned count)
{
	struct sched *s = l->sched;

	park_came(d->park, count);
	dest_add(d, ta, idx, count);
	atomic_store_explicit(&s->dest_count, dests_count(s->dests), memory_order_relaxed);
	atomic_fetch_add_explicit(&s->queued_count, count, memory_order_relaxed);
	dest_ready(l, d);
}

static struct span is_down(void)
{
	return SPAN("451 4.4.1 all hosts of this destination are down");
}

/* As many as may go into the queue, the others are parked. idx is put in another order. */
static void admit(struct qloop *l, struct dest *d, struct ta *ta, uint32_t *idx, unsigned count)
{
	struct park *p = d->park;
	unsigned n;

	if (admit_spills(d, ta, idx, count)) {
		outcome_spill(l, ta, idx, count, clock_steady());
		return;
	}
	n = admit_choose(d, ta, idx, count);
	if (n)
		add(l, d, ta, idx, n);
	for (unsigned i = 0; i < n; i++)
		park_arrived(&ta->rcpt[idx[i]], p);
	if (n)
		admit_probe(d, loop_now(l->loop));
	if (n == count)
		return;
	bool closed = atomic_load(&p->state) == PARK_CLOSED;
	outcome_park(l, ta, idx + n, count - n, p, closed ? is_down() : SPAN(""));
	if (closed)
		admit_hurry(d, loop_now(l->loop));
}

/* again: they were in its queue or tried at one of its hosts a moment ago. */
static void queue_on(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count,
		     struct span route, bool again)
{
	struct sched *s = l->sched;
	struct dest *d = dests_get(s->dests, route);

	if (!d) {
		struct msg_rcpt_result r = { .outcome = MSG_LATER,
					     .reply = SPAN("451 4.4.3 bad route") };

		outcome_same(l, ta, idx, count, &r);
		return;
	}
	uint32_t *left = suspend_take(l, ta, idx, &count, &d->route);
	if (count && (again || admit_all(d, ta, left ? left : idx, count))) {
		add(l, d, ta, left ? left : idx, count);
	} else if (count) {
		uint32_t *copy = xmalloc(count * sizeof *copy);

		memcpy(copy, left ? left : idx, count * sizeof *copy);
		admit(l, d, ta, copy, count);
		free(copy);
	}
	free(left);
}

static void queue(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count,
		  struct span route, bool again)
{
	uint32_t *left = orders_take(l, ta, idx, &count);

	if (count)
		queue_on(l, ta, left ? left : idx, count, route, again);
	free(left);
}

void sched_queue(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count,
		 struct span route)
{
	queue(l, ta, idx, count, route, false);
}

/* ---- attempts */

/* Sessions are kept for the next message when the flag says so, and else while mail comes so fast
 * that a new one each time would cost more than it: BUSY_RATE starts in a second. */
static bool keeps(struct qloop *l, struct dest *d)
{
	usec_t now = loop_now(l->loop);

	if (now - d->rate_since >= USEC_PER_SEC) {
		d->rate_busy = d->rate_count >= BUSY_RATE && now - d->rate_since < 2 * USEC_PER_SEC;
		d->rate_since = now;
		d->rate_count = 0;
	}
	d->rate_count++;
	return (qmgr_live(l->q)->flags & QMGR_F_REUSE_CONNECTION) || d->rate_busy ||
	       d->rate_count >= BUSY_RATE || dest_waits(d);
}

/* Another host that is not known to be dead. */
static bool has_other(const struct dest *d, const struct occ_host *h)
{
	for (unsigned i = 0; i < d->route.count; i++)
		if (d->host[i] != h && !atomic_load(&d->host[i]->failures))
			return true;
	return false;
}

/* Takes n recipients of the first job; its slot of h is taken already. */
static struct attempt *take(struct qloop *l, struct lane *g, struct occ_host *h, int slot,
			    unsigned n)
{
	struct sched *s = l->sched;
	struct attempt *a =
		attempt_new(&s->attempts, g->head->ta, g->head->idx + g->head->at, n, slot);

	a->lane = g;
	a->host = h;
	a->started = loop_now(l->loop);
	dest_taken(g, n);
	atomic_fetch_sub_explicit(&s->queued_count, n, memory_order_relaxed);
	loop_timer_after(l->loop, &a->timer, qmgr_live(l->q)->delivery_timeout);
	return a;
}

/* smtpc has them since an earlier run: nothing is sent. */
static void join(struct qloop *l, struct lane *g, struct occ_host *h, const struct adopt_place *at,
		 unsigned n)
{
	struct dest *d = g->dest;
	struct occ_host *taken = h;
	struct buf body = { 0 };
	struct msg_result m;

	for (unsigned i = 0; i < d->route.count; i++)
		if (d->route.mailer == at->mailer && addr_eq(&d->host[i]->addr, &at->host))
			h = d->host[i];
	atomic_fetch_add(&h->busy, 1);
	atomic_fetch_sub(&taken->busy, 1);
	struct attempt *a = take(l, g, h, at->slot, n);
	a->told = at->key;
	a->adopted = true;
	switch (adopt_join(&at->key, a->idx, n, a->id, &body)) {
	case ADOPT_NONE:
		requeue(a);
		break;
	case ADOPT_RUNS:
		stats_add(QMGR_STAT_ADOPTED, 1);
		break;
	case ADOPT_ENDED:
		stats_add(QMGR_STAT_ADOPTED, 1);
		if (!msg_result_decode(buf_span(&body), &m))
			on_result(l, a->id, &m);
		break;
	}
	buf_release(&body);
	if (h != taken)
		slot_free(l, d, taken);
}

/* The recipients of the first job that smtpc has, or as many as may go together. */
static unsigned first_of(struct qloop *l, const struct lane *g, struct adopt_place *at,
			 bool *adopted)
{
	const struct qmgr_options *o = qmgr_live(l->q);
	unsigned max = g->dest->route.mailer == ROUTE_ESMTP
			       ? o->smtpc_smtp_max_rcpts_per_transaction
			       : o->smtpc_lmtp_max_rcpts_per_transaction;
	const struct job *j = g->head;
	unsigned left = j->count - j->at, n = left < max ? left : max;

	*adopted = adopt_any() && adopt_split(j->ta->id, j->idx + j->at, &n, at);
	return n;
}

/* has_idle: h has an idle session in that worker, which is taken already. */
static void start(struct qloop *l, struct lane *g, struct occ_host *h, int slot, bool has_idle)
{
	struct sched *s = l->sched;
	struct dest *d = g->dest;
	struct adopt_place at;
	bool adopted;
	unsigned n = first_of(l, g, &at, &adopted);

	if (adopted) {
		if (has_idle)
			atomic_fetch_add(&h->idle[slot], 1);
		join(l, g, h, &at, n);
		return;
	}
	struct attempt *a = take(l, g, h, slot, n);
	struct msg_deliver m = { .attempt = a->id,
				 .run = a->told.run,
				 .ta = a->ta->id,
				 .mailer = d->route.mailer,
				 .keep = keeps(l, d),
				 .others = has_other(d, h),
				 .host = h->addr,
				 .seg = a->ta->ref.seg,
				 .gen = a->ta->ref.gen,
				 .off = a->ta->ref.off,
				 .len = a->ta->ref.len,
				 .envelope = attempt_envelope(a) };
	if (msg_deliver_encode(&m, &s->frame))
		panic("cannot encode a delivery");
	agents_send(l, slot, MSG_deliver, &s->frame);
	stats_add(QMGR_STAT_ATTEMPTS, 1);
	outcome_expected(a->ta, n, &h->addr);
}

static void park_job(struct qloop *l, struct job *j, void *ctx)
{
	outcome_park(l, j->ta, j->idx + j->at, j->count - j->at, ctx, is_down());
}

static void close_dest(struct qloop *l, struct dest *d)
{
	const struct qmgr_options *o = qmgr_live(l->q);

	park_close(d->park, o->retry_min_delay, o->retry_max_delay);
}

/* Takes out what waited since then and hands it to fn. */
static void drain(struct qloop *l, struct dest *d, usec_t older_than,
		  void (*fn)(struct qloop *l, struct job *j, void *ctx), void *ctx)
{
	unsigned n = dest_drain(d, older_than, fn, ctx);

	atomic_fetch_sub_explicit(&l->sched->queued_count, n, memory_order_relaxed);
	if (n)
		park_gone(d->park, n);
}

/* All addresses are down: what waits is parked without being tried one by one. */
static void park_all(struct qloop *l, struct dest *d)
{
	close_dest(l, d);
	drain(l, d, INT64_MAX, park_job, d->park);
}

/* An idle session is used at once; a new one is opened when none is there or the first waits for
 * too long. */
static bool start_on(struct qloop *l, struct dest *d, struct occ_host *h)
{
	usec_t now = loop_now(l->loop);
	struct lane *g = dest_next(d, atomic_load(&h->limit));
	bool has_idle = false;
	int slot = g ? agents_pick(h, &has_idle) : -1;

	if (slot >= 0 && (has_idle || !d->busy || now - g->head->since >= CONN_WAIT_USEC)) {
		start(l, g, h, slot, has_idle);
		return true;
	}
	atomic_fetch_sub(&h->busy, 1);
	if (slot >= 0 && !timer_isset(&d->timer))
		loop_timer_set(l->loop, &d->timer, g->head->since + CONN_WAIT_USEC);
	return false;
}

/* Do attempts go on at one of its hosts? What they say is waited for. */
static bool is_busy(struct qloop *l, const struct dest *d)
{
	bool busy = false;

	for (unsigned i = 0; i < d->route.count; i++)
		busy |= occ_waits(d->host[i], l->n);
	return busy;
}

/* Starts one attempt if it may. False: nothing can be started now. */
static bool dest_start_one(struct qloop *l, struct dest *d)
{
	usec_t now = loop_now(l->loop);
	bool probed = false;

	if (!agents_ready())
		return false;
	for (unsigned i = 0; i < d->route.count; i++) {
		switch (occ_take(d->host[i], l->n, now)) {
		case OCC_FREE:
			return start_on(l, d, d->host[i]);
		case OCC_FULL:
			if (!atomic_load(&d->host[i]->down_until))
				return false;
			/* One attempt looks whether it is back; the others go to the next host
			 * meanwhile. */
			probed = true;
			break;
		case OCC_DOWN:
			break;
		}
	}
	/* A host that takes no more sessions, and serves those that it has, is not dead. */
	if (!probed && !is_busy(l, d))
		park_all(l, d);
	return false;
}

/* One attempt per destination and round, so that none waits for another. */
static void dest_run_all(struct loop_task *t)
{
	struct sched *s = caa_container_of(t, struct sched, task);
	struct dest *d;

	while ((d = s->ready)) {
		s->ready = d->ready_next;
		if (!s->ready)
			s->ready_end = &s->ready;
		d->ready = false;
		if (dest_waits(d) && dest_start_one(s->l, d))
			dest_ready(s->l, d);
	}
}

static void one_ready(struct dest *d, void *ctx)
{
	dest_ready(ctx, d);
}

static void all_ready(struct qloop *l, void *arg)
{
	(void)arg;
	dests_each(l->sched->dests, one_ready, l);
}

/* A slot of this host is free: this destination, and the loops that wait for one. */
static void slot_free(struct qloop *l, struct dest *d, struct occ_host *h)
{
	uint64_t w = occ_waiters(h);

	dest_ready(l, d);
	for (unsigned i = 0; w; i++, w >>= 1)
		if ((w & 1) && i < l->q->loop_count)
			qloop_call(l, &l->q->loop[i], all_ready, NULL);
}

/* ---- results */

static void requeue(struct attempt *a)
{
	struct qloop *l = a->l;
	struct dest *d = a->lane->dest;
	struct occ_host *h = a->host;

	queue(l, a->ta, a->idx, a->count, d->bytes, true);
	park_gone(d->park, a->count);
	dest_done(a->lane);
	atomic_fetch_sub(&h->busy, 1);
	attempt_free(a);
	slot_free(l, d, h);
}

/* The host did not take us at all and there are others: the next one at once, it is no failed
 * attempt. */
static bool try_next_host(struct attempt *a)
{
	usec_t now = loop_now(a->l->loop);
	struct dest *d = a->lane->dest;

	for (unsigned i = 0; i < d->route.count; i++) {
		usec_t down = atomic_load(&d->host[i]->down_until);

		if (!down || now >= down) {
			queue(a->l, a->ta, a->idx, a->count, d->bytes, true);
			return true;
		}
	}
	return false;
}

/* relayed: the host takes no NOTIFY, so a notice of success is ours to make, RFC 3461 5.2.2.
 * unreached: those that are to be tried later wait for the destination. */
static void apply(struct attempt *a, struct span rcpts, bool relayed, bool unreached)
{
	struct msg_rcpt_result r;
	struct outcome *o = outcome_begin(a->l, a->ta);
	int rc;

	outcome_from(o, &a->host->addr, loop_now(a->l->loop) - a->started);
	if (unreached)
		outcome_parks(o, a->lane->dest->park);
	if (relayed)
		outcome_notify(o, a->lane->dest->route.mailer == ROUTE_ESMTP ? DSN_RELAYED
									     : DSN_DELIVERED);
	while ((rc = msg_rcpt_result_next(&rcpts, &r)) == 1) {
		if (attempt_has(a, r.idx) && !outcome_has(o, r.idx))
			outcome_add(o, &r);
	}
	for (uint32_t i = 0; i < a->count; i++) {
		if (!outcome_has(o, a->idx[i])) {
			r = (struct msg_rcpt_result){ .idx = a->idx[i],
						      .outcome = MSG_LATER,
						      .stage = MSG_AT_DOT,
						      .reply = SPAN("451 4.3.0 no result") };
			outcome_add(o, &r);
		}
	}
	outcome_end(o);
}

static bool any_done(struct span rcpts)
{
	struct msg_rcpt_result r;

	while (msg_rcpt_result_next(&rcpts, &r) == 1)
		if (r.outcome == MSG_DONE)
			return true;
	return false;
}

static void on_result(struct qloop *l, uint64_t attempt, const struct msg_result *m)
{
	struct attempt *a = attempt_find(&l->sched->attempts, attempt);

	/* Unknown: a repeated one. */
	if (!a || m->ta != a->ta->id)
		return;
	struct dest *d = a->lane->dest;
	struct occ_host *h = a->host;
	bool was_down = atomic_load(&h->down_until) != 0;
	usec_t now = loop_now(l->loop);

	if (m->conn == MSG_CONN_IDLE)
		atomic_fetch_add(&h->idle[a->slot], 1);
	/* Where there are other hosts, to look after a dead one costs at most a twentieth of the time,
	 * and a walk over dead ones comes to its end. */
	occ_give(h, !m->failure, !m->failure && any_done(m->rcpts),
		 d->route.count > 1 ? 20 * (now - a->started) : 0, now);
	if (!m->failure)
		park_open(d->park);
	if (!m->failure && was_down)
		parks_host_up(d->route.mailer, &h->addr);
	if (!m->failure || !try_next_host(a)) {
		if (m->failure && !is_busy(l, d))
			close_dest(l, d);
		apply(a, m->rcpts, !m->dsn, m->failure);
	}
	park_gone(d->park, a->count);
	dest_done(a->lane);
	attempt_free(a);
	slot_free(l, d, h);
}

static void on_state(struct qloop *l, int slot, uint64_t attempt)
{
	struct attempt *a = attempt_find(&l->sched->attempts, attempt);

	if (a && a->slot == slot)
		a->confirmed = true;
}

static void on_gone(struct qloop *l, int slot)
{
	struct attempt *a;

	loop_timer_stop(l->loop, &l->sched->slot[slot].timer);
	while ((a = l->sched->attempts.of_slot[slot]))
		requeue(a);
}

static void slot_timeout(struct timer *t)
{
	struct slot *s = caa_container_of(t, struct slot, timer);

	adopt_gone((int)(s - s->l->sched->slot));
	on_gone(s->l, (int)(s - s->l->sched->slot));
}

static void on_lost(struct qloop *l, int slot)
{
	struct slot *s = &l->sched->slot[slot];

	for (struct attempt *a = l->sched->attempts.of_slot[slot]; a; a = a->next)
		a->confirmed = false;
	loop_timer_after(l->loop, &s->timer, qmgr_live(l->q)->wait_for_client);
}

static void on_back(struct qloop *l, int slot)
{
	struct attempt *next;

	loop_timer_stop(l->loop, &l->sched->slot[slot].timer);
	for (struct attempt *a = l->sched->attempts.of_slot[slot]; a; a = next) {
		next = a->next;
		if (a->adopted ? !adopt_runs(&a->told) : !a->confirmed)
			requeue(a);
	}
	all_ready(l, NULL);
}

/* ---- what the operator says meanwhile */

struct obey {
	struct obey *next;
	void (*fn)(struct qloop *l, void *arg);
	void *arg;
};

static bool pick_wants(void *ctx, const struct dest *d, const struct ta *ta, uint32_t idx)
{
	(void)ctx;
	return orders_waits(ta, idx) || suspend_number(ta, idx, &d->route) != 0;
}

static void pick_takes(void *ctx, const struct dest *d, struct ta *ta, const uint32_t *idx,
		       unsigned count)
{
	struct qloop *l = ctx;

	atomic_fetch_sub_explicit(&l->sched->queued_count, count, memory_order_relaxed);
	queue(l, ta, idx, count, d->bytes, true);
	park_gone(d->park, count);
}

static void obey_begin(struct sched *s)
{
	s->obey.now = s->obey.next;
	s->obey.next = NULL;
	if (!s->obey.now)
		return;
	dests_pick_begin(s->dests);
	loop_timer_after(s->l->loop, &s->obey.timer, 0);
}

static void obey_piece(struct timer *t)
{
	struct sched *s = caa_container_of(t, struct sched, obey.timer);
	struct dest_pick p = { pick_wants, pick_takes, s->l };
	unsigned taken = 0;

	if (dests_pick(s->dests, OBEY_RCPTS, &p, &taken)) {
		/* What is taken out becomes rows of the database: not all at once. */
		loop_timer_after(s->l->loop, t, taken ? OBEY_PAUSE_USEC : 0);
		return;
	}
	for (struct obey *o = s->obey.now, *next; o; o = next) {
		next = o->next;
		o->fn(s->l, o->arg);
		free(o);
	}
	obey_begin(s);
}

void sched_obey(struct qloop *l, void (*fn)(struct qloop *l, void *arg), void *arg)
{
	struct sched *s = l->sched;
	struct obey *o = xmalloc(sizeof *o);

	*o = (struct obey){ s->obey.next, fn, arg };
	s->obey.next = o;
	if (!s->obey.now)
		obey_begin(s);
}

/* ---- life */

static void timed_out(struct qloop *l, struct job *j, void *ctx)
{
	const usec_t *wall_next = ctx;

	outcome_spill(l, j->ta, j->idx + j->at, j->count - j->at, *wall_next);
}

/* What nothing happened to for scheduler_timeout makes room in AQ. */
static void sweep_one(struct dest *d, void *ctx)
{
	struct qloop *l = ctx;
	usec_t wall_next = clock_steady() + qmgr_live(l->q)->retry_min_delay;

	drain(l, d, loop_now(l->loop) - qmgr_live(l->q)->scheduler_timeout, timed_out, &wall_next);
}

/* Short times are kept too: to a quarter. */
static usec_t sweep_every(struct qloop *l)
{
	usec_t timeout = qmgr_live(l->q)->scheduler_timeout, octo = occ_keep_usec();
	usec_t every = (timeout < octo ? timeout : octo) / 4;

	if (every > SWEEP_USEC)
		return SWEEP_USEC;
	return every < USEC_PER_SEC ? USEC_PER_SEC : every;
}

static void sweep(struct timer *t)
{
	struct sched *s = caa_container_of(t, struct sched, sweep);
	usec_t every = sweep_every(s->l);

	dests_each(s->dests, sweep_one, s->l);
	/* An idle one would keep the entries of its hosts beyond octo. */
	dests_sweep(s->dests, every);
	atomic_store_explicit(&s->dest_count, dests_count(s->dests), memory_order_relaxed);
	if (s->l->n == 0) {
		occ_expire(loop_now(s->l->loop));
		parks_sweep();
		adopt_sweep(loop_now(s->l->loop));
	}
	loop_timer_after(s->l->loop, &s->sweep, every);
}

static void dest_timer(struct timer *t)
{
	struct dest *d = caa_container_of(t, struct dest, timer);

	dest_ready(dest_loop(d), d);
}

int sched_new(struct qloop *l)
{
	struct sched *s = xcalloc(1, sizeof *s);

	s->l = l;
	l->sched = s;
	s->ready_end = &s->ready;
	s->task.fn = dest_run_all;
	s->dests = dests_new(l, dest_timer);
	for (int i = 0; i < OCC_AGENTS_MAX; i++) {
		s->slot[i].l = l;
		s->slot[i].timer.fn = slot_timeout;
	}
	s->sweep.fn = sweep;
	s->obey.timer.fn = obey_piece;
	loop_timer_after(l->loop, &s->sweep, USEC_PER_SEC);
	return attempts_init(&s->attempts, l);
}

void sched_init(void)
{
	static const struct agents_events ev = { .result = on_result,
						 .state = on_state,
						 .lost = on_lost,
						 .gone = on_gone,
						 .back = on_back };

	agents_on(&ev);
}

struct telling {
	void (*fn)(const struct sched_dest *d, void *ctx);
	void *ctx;
};

static void tell_dest(struct dest *d, void *ctx)
{
	const struct telling *t = ctx;
	usec_t now = loop_now(dest_loop(d)->loop), least = INT64_MAX;
	struct sched_dest out = { .route = &d->route, .waiting = d->queued, .attempts = d->busy };

	if (!d->queued && !d->busy)
		return;
	for (unsigned i = 0; i < d->route.count; i++) {
		usec_t down = atomic_load(&d->host[i]->down_until);

		least = down < least ? down : least;
	}
	if (d->route.count) {
		out.limit = atomic_load(&d->host[0]->limit);
		out.down_usec = least > now ? least - now : 0;
	}
	for (struct lane *g = d->turn; g; g = g->next)
		if (g->head && now - g->head->since > out.oldest_usec)
			out.oldest_usec = now - g->head->since;
	t->fn(&out, t->ctx);
}

bool sched_dests(struct qloop *l, unsigned *bucket,
		 void (*fn)(const struct sched_dest *d, void *ctx), void *ctx)
{
	struct telling t = { fn, ctx };

	return dests_some(l->sched->dests, bucket, tell_dest, &t);
}

void sched_numbers(const struct qloop *l, struct sched_numbers *out)
{
	const struct sched *s = l->sched;

	out->destinations = atomic_load(&s->dest_count);
	out->queued = atomic_load(&s->queued_count);
	out->attempts = atomic_load(&s->attempts.count);
}

#include "queue/sched.h"

#include "core/err.h"
#include "core/log.h"
#include "core/msg.h"
#include "queue/agents.h"
#include "queue/dsn.h"
#include "queue/outcome.h"
#include "queue/qmgr_stats.h"

#include <errno.h>
#include <stdlib.h>

enum { CONN_WAIT_USEC = 2000, DEST_BUCKETS = 1024, INLINE_RCPTS = 4, BUSY_RATE = 20 };

struct job {
	struct job *next;
	struct ta *ta;
	uint32_t count, at;             /* at: first that was not taken */
	usec_t since;
	uint32_t *idx;
	uint32_t few[INLINE_RCPTS];
};

struct dest {
	struct dest *next;              /* in its bucket */
	struct dest *ready_next;        /* wants to start something */
	struct sched *s;
	uint64_t hash;
	struct span bytes;
	struct route route;
	struct occ_host *host[ROUTE_HOSTS_MAX];
	struct job *head, **tail;
	unsigned queued;                /* jobs */
	unsigned busy;                  /* attempts of this loop */
	bool ready;
	struct timer timer;
	usec_t used;
	usec_t rate_since;
	unsigned rate_count;            /* attempts started since then */
	bool rate_busy;                 /* the second before had many */
};

struct attempt {
	struct attempt *next, **prev;   /* of the slot */
	uint64_t id;
	struct ta *ta;
	struct dest *dest;
	struct occ_host *host;
	int slot;
	bool confirmed;
	bool cancelled;
	usec_t started;
	struct timer timer;
	struct qloop *l;
	uint32_t count;
	uint32_t *idx;
	uint32_t few[INLINE_RCPTS];
};

struct slot {
	struct attempt *attempts;
	struct timer timer;             /* it must come back until then */
	struct qloop *l;
};

struct sched {
	struct qloop *l;
	struct dest *bucket[DEST_BUCKETS];
	struct dest *ready, **ready_end;
	struct loop_task task;
	struct link_requests *requests; /* attempts by id */
	struct slot slot[OCC_AGENTS_MAX];
	struct timer sweep;
	struct buf frame, envelope;
	atomic_uint dest_count, queued_count, attempt_count;
};

static void dest_run_all(struct loop_task *t);

/* ---- destinations */

static void dest_ready(struct dest *d)
{
	struct sched *s = d->s;

	if (d->ready || !d->head)
		return;
	d->ready = true;
	d->ready_next = NULL;
	*s->ready_end = d;
	s->ready_end = &d->ready_next;
	loop_defer(s->l->loop, &s->task);
}

static void dest_timer(struct timer *t)
{
	dest_ready(caa_container_of(t, struct dest, timer));
}

static struct dest *dest_get(struct sched *s, struct span route)
{
	uint64_t h = span_hash(route);
	struct dest **b = &s->bucket[h % DEST_BUCKETS];

	for (struct dest *d = *b; d; d = d->next)
		if (d->hash == h && span_eq(d->bytes, route))
			return d;
	struct dest *d = xcalloc(1, sizeof *d + route.n);
	memcpy((char *)(d + 1), route.p, route.n);
	d->bytes = span_of(d + 1, route.n);
	if (route_decode(route, &d->route)) {
		free(d);
		return NULL;
	}
	d->hash = h;
	d->s = s;
	d->tail = &d->head;
	d->timer.fn = dest_timer;
	d->next = *b;
	*b = d;
	/* The local LMTP socket has no host: its entry is that of no address. */
	if (d->route.mailer == ROUTE_LMTP_LOCAL)
		d->route.count = 1;
	for (unsigned i = 0; i < d->route.count; i++)
		d->host[i] = occ_get(d->route.mailer, &d->route.host[i]);
	atomic_fetch_add(&s->dest_count, 1);
	return d;
}

static void dest_free(struct dest *d)
{
	struct dest **at = &d->s->bucket[d->hash % DEST_BUCKETS];

	while (*at != d)
		at = &(*at)->next;
	*at = d->next;
	loop_timer_stop(d->s->l->loop, &d->timer);
	for (unsigned i = 0; i < d->route.count; i++)
		occ_put(d->host[i]);
	atomic_fetch_sub(&d->s->dest_count, 1);
	free(d);
}

/* ---- jobs */

static struct job *job_new(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count)
{
	struct job *j = pool_get(&l->jobs);

	if (!j)
		panic("no memory for a job");
	*j = (struct job){ .ta = ta, .count = count, .since = loop_now(l->loop) };
	j->idx = count <= INLINE_RCPTS ? j->few : xmalloc(count * sizeof *j->idx);
	memcpy(j->idx, idx, count * sizeof *idx);
	return j;
}

static void job_free(struct qloop *l, struct job *own)
{
	if (own->idx != own->few)
		free(own->idx);
	pool_put(&l->jobs, own);
}

void sched_queue(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count, struct span route)
{
	struct dest *d = dest_get(l->sched, route);

	if (!d) {
		struct msg_rcpt_result r = { .outcome = MSG_LATER, .reply = SPAN("451 4.4.3 bad route") };

		outcome_same(l, ta, idx, count, &r);
		return;
	}
	struct job *j = job_new(l, ta, idx, count);
	*d->tail = j;
	d->tail = &j->next;
	d->queued++;
	d->used = loop_now(l->loop);
	atomic_fetch_add_explicit(&l->sched->queued_count, count, memory_order_relaxed);
	dest_ready(d);
}

static void pop_job(struct dest *d)
{
	struct job *j = d->head;

	d->head = j->next;
	if (!d->head)
		d->tail = &d->head;
	d->queued--;
	job_free(d->s->l, j);
}

/* ---- attempts */

static void attempt_timeout(struct timer *t)
{
	struct attempt *a = caa_container_of(t, struct attempt, timer);
	struct sched *s = a->l->sched;

	/* Requeued only when smtpc confirms, or has gone: it may be in the middle of the content. */
	a->cancelled = true;
	log_event(LOG_LV_WARN, LOG_SEV_WARN, "sched", "stat=attempt takes too long, cancelled");
	msg_cancel_encode(&(struct msg_cancel){ .attempt = a->id }, &s->frame);
	agents_send(a->l, a->slot, MSG_cancel, &s->frame);
}

static struct attempt *attempt_new(struct qloop *l, struct job *j, unsigned count)
{
	struct sched *s = l->sched;
	struct attempt *a = pool_get_zero(&l->attempts);
	uint64_t req = a ? link_request_add(s->requests, a) : 0;

	if (!req)
		panic("no memory for an attempt");
	a->l = l;
	a->id = agents_attempt_id(l, req);
	a->ta = j->ta;
	a->count = count;
	a->idx = count <= INLINE_RCPTS ? a->few : xmalloc(count * sizeof *a->idx);
	memcpy(a->idx, j->idx + j->at, count * sizeof *a->idx);
	a->timer.fn = attempt_timeout;
	atomic_fetch_add_explicit(&s->attempt_count, 1, memory_order_relaxed);
	return a;
}

static void attempt_hook(struct sched *s, struct attempt *a, int slot)
{
	a->slot = slot;
	a->next = s->slot[slot].attempts;
	a->prev = &s->slot[slot].attempts;
	if (a->next)
		a->next->prev = &a->next;
	s->slot[slot].attempts = a;
}

static void attempt_unhook(struct attempt *a)
{
	*a->prev = a->next;
	if (a->next)
		a->next->prev = a->prev;
}

static void attempt_free(struct attempt *own)
{
	struct qloop *l = own->l;

	attempt_unhook(own);
	loop_timer_stop(l->loop, &own->timer);
	link_request_take(l->sched->requests, agents_attempt_req(own->id));
	if (own->idx != own->few)
		free(own->idx);
	atomic_fetch_sub_explicit(&l->sched->attempt_count, 1, memory_order_relaxed);
	pool_put(&l->attempts, own);
}

/* The whole transaction goes as it came; a part of it is encoded anew, without routes. */
static struct span part_of(struct sched *s, struct attempt *a)
{
	struct ta *ta = a->ta;
	struct envelope e = ta->env;

	if (a->count == ta->env.rcpt_count)
		return ta->blob;
	e.route_count = 0;
	e.rcpt_count = a->count;
	e.rcpt = xmalloc(a->count * sizeof *e.rcpt);
	for (uint32_t i = 0; i < a->count; i++) {
		e.rcpt[i] = ta->env.rcpt[a->idx[i]];
		e.rcpt[i].route = ENV_NO_ROUTE;
	}
	s->envelope.r = s->envelope.w = 0;
	if (envelope_encode(&e, &s->envelope))
		panic("cannot encode a part of an envelope");
	free(e.rcpt);
	return buf_span(&s->envelope);
}

/* Sessions are kept for the next message when the flag says so, and else while mail comes so fast that a new one
 * each time would cost more than it: BUSY_RATE starts in a second. */
static bool keeps(struct dest *d)
{
	struct qloop *l = d->s->l;
	usec_t now = loop_now(l->loop);

	if (now - d->rate_since >= USEC_PER_SEC) {
		d->rate_busy = d->rate_count >= BUSY_RATE && now - d->rate_since < 2 * USEC_PER_SEC;
		d->rate_since = now;
		d->rate_count = 0;
	}
	d->rate_count++;
	return (l->q->opt.flags & QMGR_F_REUSE_CONNECTION) || d->rate_busy || d->rate_count >= BUSY_RATE || d->head;
}

static void start(struct dest *d, struct occ_host *h, int slot)
{
	struct sched *s = d->s;
	struct qloop *l = s->l;
	struct job *j = d->head;
	const struct qmgr_options *o = &l->q->opt;
	unsigned max = d->route.mailer == ROUTE_ESMTP ? o->smtpc_smtp_max_rcpts_per_transaction :
							o->smtpc_lmtp_max_rcpts_per_transaction;
	unsigned n = j->count - j->at < max ? j->count - j->at : max;
	struct attempt *a = attempt_new(l, j, n);

	a->dest = d;
	a->host = h;
	a->started = loop_now(l->loop);
	d->busy++;
	attempt_hook(s, a, slot);
	j->at += n;
	if (j->at == j->count)
		pop_job(d);
	atomic_fetch_sub_explicit(&s->queued_count, n, memory_order_relaxed);
	loop_timer_after(l->loop, &a->timer, o->delivery_timeout);
	struct msg_deliver m = { .attempt = a->id,
				 .ta = a->ta->id,
				 .mailer = d->route.mailer,
				 .keep = keeps(d),
				 .host = h->addr,
				 .seg = a->ta->ref.seg,
				 .gen = a->ta->ref.gen,
				 .off = a->ta->ref.off,
				 .len = a->ta->ref.len,
				 .envelope = part_of(s, a) };
	if (msg_deliver_encode(&m, &s->frame))
		panic("cannot encode a delivery");
	agents_send(l, slot, MSG_deliver, &s->frame);
	stats_add(QMGR_STAT_ATTEMPTS, 1);
}

/* All addresses are down: what waits is deferred without being tried one by one. */
static void defer_all(struct dest *d)
{
	struct qloop *l = d->s->l;
	struct msg_rcpt_result r = { .outcome = MSG_LATER,
				     .stage = MSG_AT_CONNECT,
				     .reply = SPAN("451 4.4.1 all hosts of this destination are down") };

	while (d->head) {
		struct job *j = d->head;
		unsigned n = j->count - j->at;

		atomic_fetch_sub_explicit(&d->s->queued_count, n, memory_order_relaxed);
		outcome_same(l, j->ta, j->idx + j->at, n, &r);
		pop_job(d);
	}
}

/* Starts one attempt if it may. False: nothing can be started now. */
static bool dest_start_one(struct dest *d)
{
	struct qloop *l = d->s->l;
	usec_t now = loop_now(l->loop);
	bool any_full = false, has_idle;

	if (!agents_ready())
		return false;
	for (unsigned i = 0; i < d->route.count; i++) {
		struct occ_host *h = d->host[i];
		enum occ_state st = occ_take(h, l->n, now);

		if (st == OCC_DOWN)
			continue;
		if (st == OCC_FULL) {
			any_full = true;
			break;
		}
		int slot = agents_pick(h, &has_idle);
		usec_t waited = now - d->head->since;
		if (slot < 0 || (!has_idle && d->busy && waited < CONN_WAIT_USEC)) {
			atomic_fetch_sub(&h->busy, 1);
			if (slot >= 0 && !timer_isset(&d->timer))
				loop_timer_set(l->loop, &d->timer, d->head->since + CONN_WAIT_USEC);
			return false;
		}
		start(d, h, slot);
		return true;
	}
	if (!any_full)
		defer_all(d);
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
		if (d->head && dest_start_one(d))
			dest_ready(d);
	}
}

static void all_ready(struct qloop *l, void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < DEST_BUCKETS; i++)
		for (struct dest *d = l->sched->bucket[i]; d; d = d->next)
			dest_ready(d);
}

/* A slot of this host is free: this destination, and the loops that wait for one. */
static void slot_free(struct dest *d, struct occ_host *h)
{
	struct qloop *l = d->s->l;
	uint64_t w = occ_waiters(h);

	dest_ready(d);
	for (unsigned i = 0; w; i++, w >>= 1)
		if ((w & 1) && i < l->q->loop_count)
			qloop_call(l, &l->q->loop[i], all_ready, NULL);
}

/* ---- results */

static void requeue(struct attempt *a)
{
	struct dest *d = a->dest;
	struct occ_host *h = a->host;

	sched_queue(a->l, a->ta, a->idx, a->count, d->bytes);
	d->busy--;
	atomic_fetch_sub(&h->busy, 1);
	attempt_free(a);
	slot_free(d, h);
}

static bool has_idx(const struct attempt *a, uint32_t idx)
{
	for (uint32_t i = 0; i < a->count; i++)
		if (a->idx[i] == idx)
			return true;
	return false;
}

/* The host did not take us at all and there are others: the next one at once, it is no failed attempt. */
static bool try_next_host(struct attempt *a)
{
	usec_t now = loop_now(a->l->loop);

	for (unsigned i = 0; i < a->dest->route.count; i++) {
		usec_t down = atomic_load(&a->dest->host[i]->down_until);

		if (!down || now >= down) {
			sched_queue(a->l, a->ta, a->idx, a->count, a->dest->bytes);
			return true;
		}
	}
	return false;
}

/* relayed: the host takes no NOTIFY, so a notice of success is ours to make, RFC 3461 5.2.2. */
static void apply(struct attempt *a, struct span rcpts, bool relayed)
{
	struct msg_rcpt_result r;
	struct outcome *o = outcome_begin(a->l, a->ta);
	int rc;

	if (relayed)
		outcome_notify(o, a->dest->route.mailer == ROUTE_ESMTP ? DSN_RELAYED : DSN_DELIVERED);
	while ((rc = msg_rcpt_result_next(&rcpts, &r)) == 1) {
		if (has_idx(a, r.idx) && !outcome_has(o, r.idx))
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

static void on_result(struct qloop *l, uint64_t attempt, struct span body)
{
	struct msg_result m;
	struct attempt *a = link_request_peek(l->sched->requests, agents_attempt_req(attempt));

	/* Unknown: a repeated one, or of an attempt before our restart (see on_state). */
	if (!a || a->id != attempt || msg_result_decode(body, &m) || m.ta != a->ta->id)
		return;
	struct dest *d = a->dest;
	struct occ_host *h = a->host;
	bool delivered = m.conn == MSG_CONN_IDLE && !m.failure;
	usec_t now = loop_now(l->loop);

	if (m.conn == MSG_CONN_IDLE)
		atomic_fetch_add(&h->idle[a->slot], 1);
	occ_give(h, !m.failure, delivered, now);
	d->busy--;
	d->used = now;
	if (!m.failure || !try_next_host(a))
		apply(a, m.rcpts, !m.dsn);
	attempt_free(a);
	slot_free(d, h);
}

static void on_state(struct qloop *l, int slot, struct span body)
{
	struct msg_attempt_state m;

	if (msg_attempt_state_decode(body, &m))
		return;
	struct qloop *owner = &l->q->loop[m.attempt >> 58];
	if (owner >= l->q->loop + l->q->loop_count || owner != l)
		return;
	struct attempt *a = link_request_peek(l->sched->requests, agents_attempt_req(m.attempt));
	if (a && a->id == m.attempt && a->slot == slot)
		a->confirmed = true;
}

static void on_gone(struct qloop *l, int slot)
{
	struct attempt *a;

	loop_timer_stop(l->loop, &l->sched->slot[slot].timer);
	while ((a = l->sched->slot[slot].attempts))
		requeue(a);
}

static void slot_timeout(struct timer *t)
{
	struct slot *s = caa_container_of(t, struct slot, timer);

	on_gone(s->l, (int)(s - s->l->sched->slot));
}

static void on_lost(struct qloop *l, int slot)
{
	struct slot *s = &l->sched->slot[slot];

	for (struct attempt *a = s->attempts; a; a = a->next)
		a->confirmed = false;
	loop_timer_after(l->loop, &s->timer, l->q->opt.wait_for_client);
}

static void on_back(struct qloop *l, int slot)
{
	struct attempt *next;

	loop_timer_stop(l->loop, &l->sched->slot[slot].timer);
	for (struct attempt *a = l->sched->slot[slot].attempts; a; a = next) {
		next = a->next;
		if (!a->confirmed)
			requeue(a);
	}
	all_ready(l, NULL);
}

/* ---- life */

static void sweep(struct timer *t)
{
	struct sched *s = caa_container_of(t, struct sched, sweep);
	usec_t now = loop_now(s->l->loop), keep = 60 * (usec_t)USEC_PER_SEC;

	for (unsigned i = 0; i < DEST_BUCKETS; i++) {
		struct dest *next;

		for (struct dest *d = s->bucket[i]; d; d = next) {
			next = d->next;
			if (!d->head && !d->busy && !d->ready && now - d->used > keep)
				dest_free(d);
		}
	}
	if (s->l->n == 0)
		occ_expire(now);
	loop_timer_after(s->l->loop, &s->sweep, keep);
}

int sched_new(struct qloop *l)
{
	struct sched *s = xcalloc(1, sizeof *s);

	s->l = l;
	l->sched = s;
	s->ready_end = &s->ready;
	s->task.fn = dest_run_all;
	s->requests = link_requests_new();
	pool_init(&l->jobs, sizeof(struct job), SIZE_MAX);
	pool_init(&l->attempts, sizeof(struct attempt), SIZE_MAX);
	for (int i = 0; i < OCC_AGENTS_MAX; i++) {
		s->slot[i].l = l;
		s->slot[i].timer.fn = slot_timeout;
	}
	s->sweep.fn = sweep;
	loop_timer_after(l->loop, &s->sweep, 60 * (usec_t)USEC_PER_SEC);
	return s->requests ? 0 : -ENOMEM;
}

void sched_init(struct qmgr *q)
{
	static const struct agents_events ev = {
		.result = on_result, .state = on_state, .lost = on_lost, .gone = on_gone, .back = on_back
	};

	(void)q;
	agents_on(&ev);
}

void sched_numbers(const struct qloop *l, struct sched_numbers *out)
{
	const struct sched *s = l->sched;

	out->destinations = atomic_load(&s->dest_count);
	out->queued = atomic_load(&s->queued_count);
	out->attempts = atomic_load(&s->attempt_count);
}

#include "queue/change.h"

#include "core/err.h"
#include "queue/clerk.h"
#include "queue/keeper.h"
#include "queue/occ.h"
#include "queue/qwalk.h"
#include "queue/sched.h"

#include <stdlib.h>

enum {
	PAGE_MESSAGES = 1000,
	PAGE_USEC = 10 * USEC_PER_MSEC,
	/* Recipients of a page, and pages that are not on disk yet: what an order writes shares the batches of the
	 * database with new mail, so they stay small. */
	PAGE_RCPTS = 2000,
	PAGES_OPEN = 2,
	PAGE_WAIT_USEC = 5 * USEC_PER_MSEC,
	NOTICE_WAIT_USEC = 20 * USEC_PER_MSEC,
	NOTICE_WAITS = 150,
};

struct change {
	struct clerk_job job;
	struct commit_call call;
	struct qmgr *q;
	struct order *order;
	struct select *select;
	struct qwalk *walk;
	unsigned in_page; /* recipients */
	atomic_uint pages_open;
	atomic_uint loops; /* that look through their queues */
	struct timer timer;
	unsigned waits;
	struct change_result r;
	void (*fn)(void *arg, const struct change_result *r);
	void *arg;
};

/* ---- the clerk's part */

/* On its way to the disk. The change ends after its last page: its own call comes later. */
struct page {
	struct commit_call call;
	struct change *of;
};

static bool each(void *ctx, struct ta *ta, const uint32_t *idx, unsigned count, bool live)
{
	struct change *c = ctx;
	uint32_t *away = xmalloc(count * sizeof *away);
	unsigned n = 0;

	c->r.messages++;
	c->r.matched += count;
	for (unsigned i = 0; i < count; i++) {
		uint8_t state = atomic_load(&ta->rcpt[idx[i]].state);

		if (!order_wants(c->order, state)) {
			c->r.not_wanted++;
			continue;
		}
		atomic_fetch_add(&c->order->given, 1);
		if (!live || !orders_set(ta, idx[i], c->order))
			away[n++] = idx[i];
	}
	if (n)
		keeper_order(ta->id, away, n, c->order);
	free(away);
	c->in_page += count;
	return c->in_page < PAGE_RCPTS;
}

/* A page is on disk. */
static void page_flushed(struct commit_call *call, int error)
{
	struct page *p = caa_container_of(call, struct page, call);

	(void)error;
	atomic_fetch_sub(&p->of->pages_open, 1);
	free(p);
}

static void nothing(struct commit_call *call)
{
	(void)call;
}

/* Its orders were executed in their loops, as far as nothing was in the way. */
static void page_done(struct qloop *l, void *arg)
{
	struct page *p = arg;

	p->call.fn = nothing;
	p->call.flushed = page_flushed;
	commit_call(l->q->committer, &p->call, true);
}

static void page(struct clerk_job *j)
{
	struct change *c = caa_container_of(j, struct change, job);

	if (atomic_load(&c->pages_open) >= PAGES_OPEN) {
		clerk_again(j, PAGE_WAIT_USEC);
		return;
	}
	c->in_page = 0;
	int rc = qwalk_page(c->walk, PAGE_MESSAGES, PAGE_USEC, each, c);
	if (rc < 0)
		c->r.error = rc;
	if (rc <= 0)
		return;
	if (c->in_page) {
		struct page *p = xcalloc(1, sizeof *p);

		p->of = c;
		atomic_fetch_add(&c->pages_open, 1);
		keeper_after_orders(page_done, p);
	}
	clerk_again(j, 0);
}

/* ---- loop 0 */

static void tell(struct change *c)
{
	struct order *o = c->order;
	unsigned given = atomic_load(&o->given), ended;

	c->r.done = atomic_load(&o->done);
	c->r.gone = atomic_load(&o->gone);
	c->r.failed = atomic_load(&o->failed);
	ended = c->r.done + c->r.gone + c->r.failed;
	c->r.open = given > ended ? given - ended : 0;
	c->r.failed += qwalk_damaged(c->walk);
	if (c->fn)
		c->fn(c->arg, &c->r);
	order_put(o);
	qwalk_free(c->walk);
	select_free(c->select);
	free(c);
}

/* The committer may have the last pages in its hands still. */
static void tell_when_alone(struct timer *t)
{
	struct change *c = caa_container_of(t, struct change, timer);

	if (atomic_load(&c->pages_open))
		loop_timer_after(c->q->loop[0].loop, t, USEC_PER_MSEC);
	else
		tell(c);
}

static void finish(struct qloop *l, void *arg)
{
	struct change *c = arg;

	(void)l;
	c->timer.fn = tell_when_alone;
	tell_when_alone(&c->timer);
}

static void flushed(struct commit_call *call, int error)
{
	struct change *c = caa_container_of(call, struct change, call);

	(void)error;
	qloop_post(&c->q->loop[0], finish, c);
}

static void flush(struct change *c)
{
	c->call.fn = nothing;
	c->call.flushed = flushed;
	commit_call(c->q->committer, &c->call, true);
}

/* Notices to senders are on their way to the disk: what they are about ends after that. */
static void wait_for_notices(struct timer *t)
{
	struct change *c = caa_container_of(t, struct change, timer);
	struct order *o = c->order;
	unsigned ended = atomic_load(&o->done) + atomic_load(&o->gone) + atomic_load(&o->failed);

	if (o->kind == ORDER_BOUNCE && ended < atomic_load(&o->given) && c->waits++ < NOTICE_WAITS)
		loop_timer_after(c->q->loop[0].loop, t, NOTICE_WAIT_USEC);
	else
		flush(c);
}

static void all_obeyed(struct qloop *l, void *arg)
{
	struct change *c = arg;

	(void)l;
	wait_for_notices(&c->timer);
}

static void obeyed(struct qloop *l, void *arg)
{
	struct change *c = arg;

	if (atomic_fetch_sub(&c->loops, 1) == 1)
		qloop_call(l, &c->q->loop[0], all_obeyed, c);
}

static void obey(struct qloop *l, void *arg)
{
	sched_obey(l, obeyed, arg);
}

/* All that had to be brought is in its loop. */
static void brought(struct qloop *l, void *arg)
{
	struct change *c = arg;

	if (c->order->kind == ORDER_RETRY || c->order->kind == ORDER_RELEASE) {
		flush(c);
		return;
	}
	atomic_store(&c->loops, c->q->loop_count);
	for (unsigned i = 0; i < c->q->loop_count; i++)
		qloop_call(l, &c->q->loop[i], obey, c);
}

static void walked(struct clerk_job *j)
{
	keeper_after_orders(brought, caa_container_of(j, struct change, job));
}

void change_start(struct qmgr *q, struct order *own, struct select *own_select,
		  void (*fn)(void *arg, const struct change_result *r), void *arg)
{
	struct change *c = xcalloc(1, sizeof *c);

	c->q = q;
	c->order = own;
	c->select = own_select;
	c->fn = fn;
	c->arg = arg;
	c->walk = qwalk_new(q->store, own_select);
	c->job.page = page;
	c->job.paged = walked;
	c->timer.fn = wait_for_notices;
	/* Who says "now" knows that the host is there again. */
	if (own->kind == ORDER_RETRY || own->kind == ORDER_RELEASE || own->kind == ORDER_REROUTE)
		occ_probe(loop_now(q->loop[0].loop));
	clerk_post(&c->job);
}

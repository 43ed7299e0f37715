#include "queue/qadmin_top.h"

#include "core/err.h"
#include "queue/clerk.h"
#include "queue/groups.h"
#include "queue/park.h"
#include "queue/qadmin_words.h"
#include "queue/qrow.h"
#include "queue/qwalk.h"
#include "queue/sched.h"

#include <stdlib.h>

enum { PAGE_MESSAGES = 5000, PAGE_USEC = 20 * USEC_PER_MSEC, ROWS = 20, ROWS_MAX = 100000 };

/* ---- top: the whole queue */

struct top {
	struct clerk_job job;
	struct ctl_request *rq; /* NULL: the peer is gone */
	struct select *select;
	struct qwalk *walk;
	struct groups *groups;
	enum groups_by by;
	enum groups_order order;
	unsigned rows;
	bool json, over;
	int error;
};

static void top_free(struct top *t)
{
	qwalk_free(t->walk);
	select_free(t->select);
	groups_free(t->groups);
	free(t);
}

static bool each(void *ctx, struct ta *ta, const uint32_t *idx, unsigned count, bool live)
{
	struct top *t = ctx;
	usec_t now = clock_steady();

	(void)live;
	for (unsigned i = 0; i < count; i++) {
		struct select_row row;
		struct route route;

		qrow_with_route(ta, idx[i], now, &route, &row);
		groups_add(t->groups, t->by, &row);
	}
	return true;
}

static void page(struct clerk_job *j)
{
	struct top *t = caa_container_of(j, struct top, job);
	int rc = qwalk_page(t->walk, PAGE_MESSAGES, PAGE_USEC, each, t);

	if (rc > 0)
		clerk_again(j, 0);
	t->error = rc < 0 ? rc : 0;
}

static void paged(struct clerk_job *j)
{
	struct top *t = caa_container_of(j, struct top, job);

	t->over = true;
	if (t->rq)
		ctl_resume(t->rq);
	else
		top_free(t);
}

/* [N] [attempts] [by WHAT] [json], in any order. */
static void take_options(struct top *t, struct span *args)
{
	struct span rest = *args, word = qadmin_words_next(&rest);
	uint64_t n;

	while (word.n) {
		bool known = true;

		if (span_eq(word, SPAN("json")))
			t->json = true;
		else if (span_eq(word, SPAN("attempts")))
			t->order = GROUPS_BY_ATTEMPTS;
		else if (!span_u64(word, ROWS_MAX, &n))
			t->rows = (unsigned)n;
		else
			known = groups_by_name(word, &t->by);
		if (!known)
			return;
		*args = rest;
		word = qadmin_words_next(&rest);
	}
}

enum ctl_step qadmin_top_run(struct ctl_request *rq)
{
	struct top *t = rq->state;
	struct span args = rq->args;

	if (t && !t->over)
		return CTL_WAIT;
	if (t) {
		if (t->error)
			buf_printf(rq->out, "error: the database cannot be read: %s\n",
				   strerror(-t->error));
		groups_print(t->groups, t->by, t->order, t->rows, t->json, rq->out);
		return CTL_DONE;
	}
	t = xcalloc(1, sizeof *t);
	t->rows = ROWS;
	take_options(t, &args);
	t->select = qadmin_words_select(rq, args, false);
	if (!t->select) {
		free(t);
		return CTL_DONE;
	}
	t->rq = rq->self;
	t->groups = groups_new();
	t->walk = qwalk_new(((struct qmgr *)rq->ctx)->store, t->select);
	t->job.page = page;
	t->job.paged = paged;
	rq->state = t;
	clerk_post(&t->job);
	return CTL_WAIT;
}

void qadmin_top_end(struct ctl_request *rq)
{
	struct top *t = rq->state;

	rq->state = NULL;
	if (t && !t->over)
		t->rq = NULL;
	else if (t)
		top_free(t);
}

/* ---- destinations: what the loops have */

struct dests_asked {
	struct ctl_request *rq; /* NULL: the peer is gone */
	struct qmgr *q;
	struct groups *groups;
	enum groups_order order;
	unsigned rows, loop, bucket;
	bool json, over;
};

static void add_dest(const struct sched_dest *d, void *ctx)
{
	struct dests_asked *a = ctx;

	groups_add_dest(a->groups, d);
}

static void add_park(struct park *p, void *ctx)
{
	struct dests_asked *a = ctx;
	struct route route;
	struct sched_dest d = { .route = &route,
				.parked = atomic_load(&p->parked),
				.why = park_why(p) };
	usec_t next = atomic_load(&p->wall_next) - clock_steady();

	if (next > 0)
		d.next_usec = next;
	if (d.parked && !p->suspension && !route_decode(p->route, &route))
		groups_add_dest(a->groups, &d);
}

static void dests_over(struct qloop *l, void *arg)
{
	struct dests_asked *a = arg;

	(void)l;
	parks_each(add_park, a);
	a->over = true;
	if (a->rq) {
		ctl_resume(a->rq);
		return;
	}
	groups_free(a->groups);
	free(a);
}

/* A piece of one loop's destinations, then the next piece, then the next loop. */
static void dests_piece(struct qloop *l, void *arg)
{
	struct dests_asked *a = arg;

	if (sched_dests(l, &a->bucket, add_dest, a)) {
		qloop_post(l, dests_piece, a);
		return;
	}
	a->bucket = 0;
	a->loop++;
	if (a->loop < a->q->loop_count)
		qloop_post(&a->q->loop[a->loop], dests_piece, a);
	else
		qloop_post(&a->q->loop[0], dests_over, a);
}

enum ctl_step qadmin_top_dests_run(struct ctl_request *rq)
{
	struct dests_asked *a = rq->state;
	struct top words = { .rows = ROWS };
	struct span args = rq->args;

	if (a && !a->over)
		return CTL_WAIT;
	if (a) {
		groups_print_dests(a->groups, a->order, a->rows, a->json, rq->out);
		return CTL_DONE;
	}
	take_options(&words, &args);
	if (args.n) {
		buf_add_span(rq->out, SPAN("error: usage: destinations [json] [N] [attempts]\n"));
		return CTL_DONE;
	}
	a = xcalloc(1, sizeof *a);
	*a = (struct dests_asked){ .rq = rq->self,
				   .q = rq->ctx,
				   .groups = groups_new(),
				   .order = words.order,
				   .rows = words.rows,
				   .json = words.json };
	rq->state = a;
	qloop_post(&a->q->loop[0], dests_piece, a);
	return CTL_WAIT;
}

void qadmin_top_dests_end(struct ctl_request *rq)
{
	struct dests_asked *a = rq->state;

	rq->state = NULL;
	if (a && !a->over) {
		a->rq = NULL;
	} else if (a) {
		groups_free(a->groups);
		free(a);
	}
}

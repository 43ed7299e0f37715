#include "queue/routes.h"

#include "core/err.h"
#include "core/log.h"
#include "core/msg.h"
#include "queue/outcome.h"
#include "queue/sched.h"

#include <stdlib.h>

struct ask {
	struct ask *next, **prev;
	struct qloop *l;
	struct ta *ta;
	uint32_t idx;
	uint64_t req;
	bool sent;
	struct timer timer;
};

/* Questions of all loops' asks hang on the first member of the loop's list. */
struct asking {
	struct ask *list;
};

static struct asking asking[QMGR_LOOPS_MAX];

static void ask_free(struct ask *own)
{
	*own->prev = own->next;
	if (own->next)
		own->next->prev = own->prev;
	loop_timer_stop(own->l->loop, &own->timer);
	link_request_take(own->l->asks, own->req);
	free(own);
}

static void ask_failed(struct ask *a, struct span reply, uint8_t outcome)
{
	struct msg_rcpt_result r = { .outcome = outcome, .stage = MSG_AT_RCPT, .reply = reply };
	struct qloop *l = a->l;
	struct ta *ta = a->ta;
	uint32_t idx = a->idx;

	ask_free(a);
	outcome_same(l, ta, &idx, 1, &r);
}

static void ask_timeout(struct timer *t)
{
	struct ask *a = caa_container_of(t, struct ask, timer);

	ask_failed(a, SPAN("451 4.4.3 address resolver does not answer"), MSG_LATER);
}

static void ask_send(struct ask *a)
{
	struct msg_ask_route m = { .ta = a->ta->id, .rcpt = a->ta->env.rcpt[a->idx].addr };

	if (link_put(a->l->smar, a->req, ask_route, &m))
		return;
	a->sent = true;
	loop_timer_after(a->l->loop, &a->timer, qmgr_live(a->l->q)->smar_timeout);
}

static void ask_new(struct qloop *l, struct ta *ta, uint32_t idx)
{
	struct ask *a = xcalloc(1, sizeof *a);
	struct ask **list = &asking[l->n].list;

	*a = (struct ask){ .l = l, .ta = ta, .idx = idx, .timer.fn = ask_timeout };
	a->req = link_request_add(l->asks, a);
	if (!a->req)
		panic("no memory for a question");
	a->next = *list;
	a->prev = list;
	if (a->next)
		a->next->prev = &a->next;
	*list = a;
	loop_timer_after(l->loop, &a->timer, qmgr_live(l->q)->wait_for_server);
	ask_send(a);
}

static void route_answer(struct qloop *l, struct ask *a, const struct msg_route_answer *m)
{
	struct ta *ta = a->ta;
	uint32_t idx = a->idx;

	if (m->status == 1) {
		ask_failed(a, m->text, MSG_LATER);
	} else if (m->status == 2) {
		ask_failed(a, m->text, MSG_FAILED);
	} else {
		ask_free(a);
		aq_rcpt_set_route(ta, idx, m->route, false);
		sched_queue(l, ta, &idx, 1, m->route);
	}
}

static void message(struct link *k, unsigned number, uint64_t req, struct span body)
{
	struct qloop *l = link_ctx(k);
	struct msg_route_answer m;

	if (number != MSG_route_answer || msg_route_answer_decode(body, &m)) {
		link_refuse(k, "bad answer of smar");
		return;
	}
	struct ask *a = link_request_peek(l->asks, req);
	if (a)
		route_answer(l, a, &m);
}

static void up(struct link *k, const struct link_hello *peer)
{
	struct qloop *l = link_ctx(k);

	(void)peer;
	for (struct ask *a = asking[l->n].list; a; a = a->next)
		ask_send(a);
}

static void down(struct link *k)
{
	struct qloop *l = link_ctx(k);

	for (struct ask *a = asking[l->n].list; a; a = a->next) {
		a->sent = false;
		loop_timer_after(l->loop, &a->timer, qmgr_live(l->q)->wait_for_server);
	}
}

static const struct link_ops ops = { .up = up, .down = down, .message = message };

int routes_new(struct qloop *l)
{
	struct link_hello me = l->q->hello;

	me.worker = l->n;
	l->asks = link_requests_new();
	l->smar = link_connect(l->loop, l->q->global.smar_socket, &me, &ops, l);
	return l->asks && l->smar ? 0 : -ENOMEM;
}

static bool same_route(const struct ta *ta, const uint32_t *idx, unsigned count)
{
	for (unsigned i = 1; i < count; i++)
		if (ta->env.rcpt[idx[i]].route != ta->env.rcpt[idx[0]].route)
			return false;
	return true;
}

static void discard(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count)
{
	struct msg_rcpt_result r = { .outcome = MSG_DONE, .reply = SPAN("discarded") };

	outcome_same(l, ta, idx, count, &r);
}

/* Recipients that share a route share a job. */
static void queue_by_route(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count)
{
	uint32_t *part = xmalloc(count * sizeof *part);

	for (uint32_t route = 0; route < ta->env.route_count; route++) {
		unsigned n = 0;

		for (unsigned i = 0; i < count; i++)
			if (ta->env.rcpt[idx[i]].route == route)
				part[n++] = idx[i];
		if (n)
			sched_queue(l, ta, part, n, ta->env.route[route]);
	}
	for (unsigned i = 0; i < count; i++)
		if (ta->env.rcpt[idx[i]].route == ENV_NO_ROUTE)
			ask_new(l, ta, idx[i]);
	free(part);
}

/* smar is asked anew, but for those whose route the operator has set. */
static void queue_again(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count)
{
	uint32_t *part = xmalloc(2 * (size_t)count * sizeof *part), *rest = part + count;
	unsigned n = 0, left = 0;
	struct span route = SPAN("");
	bool forced;

	for (unsigned i = 0; i < count; i++) {
		struct span to = aq_rcpt_route(ta, idx[i], &forced);

		if (forced && (!n || span_eq(to, route))) {
			route = to;
			part[n++] = idx[i];
		} else if (forced) {
			rest[left++] = idx[i];
		} else {
			ask_new(l, ta, idx[i]);
		}
	}
	if (n)
		sched_queue(l, ta, part, n, route);
	if (left)
		queue_again(l, ta, rest, left);
	free(part);
}

void routes_queue(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count, bool fresh)
{
	uint32_t route = ta->env.rcpt[idx[0]].route;

	if (ta->env.flags & ENV_DISCARD) {
		discard(l, ta, idx, count);
		return;
	}
	if (!fresh) {
		queue_again(l, ta, idx, count);
		return;
	}
	if (route != ENV_NO_ROUTE && same_route(ta, idx, count))
		sched_queue(l, ta, idx, count, ta->env.route[route]);
	else
		queue_by_route(l, ta, idx, count);
}

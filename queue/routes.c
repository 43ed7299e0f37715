#include "queue/routes.h"

#include "core/err.h"
#include "core/log.h"
#include "core/members.h"
#include "core/msg.h"
#include "queue/dsn.h"
#include "queue/outcome.h"
#include "queue/sched.h"

#include <errno.h>
#include <stdlib.h>

/* The question of routes_who() and what came so far. */
struct who {
	struct arena *arena; /* holds this and what it points to */
	struct span addr;
	void (*fn)(struct qloop *l, void *arg, const struct routes_who *w);
	void *arg;
	struct members_seen seen;
	struct span route[ROUTES_WHO_MAX];
	struct env_rcpt to[ROUTES_WHO_MAX];
	unsigned routes, count;
	bool full;
};

struct ask {
	struct ask *next, **prev;
	struct qloop *l;
	struct who *who; /* NULL: where does this recipient go? */
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

/* Own copy of what the answer is; the question is gone before fn() may ask another. */
static void who_done(struct ask *a, int error)
{
	struct who *w = a->who;
	struct qloop *l = a->l;
	struct routes_who out = { .error = error,
				  .to = w->to,
				  .route = w->route,
				  .count = w->count,
				  .route_count = w->routes };

	ask_free(a);
	if (error) {
		out.count = 0;
	} else if (!w->count || w->full) {
		/* Nobody but the address itself. */
		w->to[0] = (struct env_rcpt){ .addr = w->addr, .route = ENV_NO_ROUTE };
		out.count = 1;
		out.route_count = 0;
	}
	w->fn(l, w->arg, &out);
	arena_free(w->arena);
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

	if (a->who)
		who_done(a, -EAGAIN);
	else
		ask_failed(a, SPAN("451 4.4.3 address resolver does not answer"), MSG_LATER);
}

static int put_question(const struct ask *a)
{
	if (a->who)
		return link_put(a->l->smar, a->req, ask_rcpt,
				(&(struct msg_ask_rcpt){ .flags = MSG_ASK_NOTICE,
							 .sender = SPAN(""),
							 .rcpt = a->who->addr }));
	return link_put(
		a->l->smar, a->req, ask_route,
		(&(struct msg_ask_route){ .ta = a->ta->id, .rcpt = a->ta->env.rcpt[a->idx].addr }));
}

static void ask_send(struct ask *a)
{
	if (put_question(a))
		return;
	a->sent = true;
	loop_timer_after(a->l->loop, &a->timer, qmgr_live(a->l->q)->smar_timeout);
}

static void ask_new(struct qloop *l, struct ta *ta, uint32_t idx, struct who *who)
{
	struct ask *a = xcalloc(1, sizeof *a);
	struct ask **list = &asking[l->n].list;

	*a = (struct ask){ .l = l, .who = who, .ta = ta, .idx = idx, .timer.fn = ask_timeout };
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

/* ---- who gets a notice */

static void who_item(struct who *w, const struct members_item *m)
{
	if (m->type == MEMBERS_ROUTE && w->routes < ROUTES_WHO_MAX) {
		w->route[w->routes++] = arena_span(w->arena, m->text);
		return;
	}
	if (m->type != MEMBERS_TO)
		return;
	for (unsigned i = 0; i < w->count; i++)
		if (span_eq(w->to[i].addr, m->text))
			return;
	if (w->count == ROUTES_WHO_MAX || (m->route != ENV_NO_ROUTE && m->route >= w->routes)) {
		w->full = true;
		return;
	}
	w->to[w->count] = (struct env_rcpt){ .addr = arena_span(w->arena, m->text),
					     .idx = w->count,
					     .route = m->route };
	w->count++;
}

/* 0 or -EBADMSG. */
static int who_members(struct who *w, const struct msg_members *m)
{
	struct span rest = m->list;
	struct members_item item;
	int rc = members_begin(&w->seen, m->part);

	if (!m->part) {
		w->routes = w->count = 0;
		w->full = false;
	}
	while (!rc && (rc = members_next(&w->seen, &rest, &item)) == 1) {
		who_item(w, &item);
		rc = 0;
	}
	return rc;
}

static int who_verdict(struct ask *a, const struct msg_verdict *v)
{
	struct who *w = a->who;
	bool error = v->action == MSG_ACT_ERROR;
	bool later = error && (!v->text.n || v->text.p[0] != '5');

	if (error)
		w->count = 0;
	else if (v->members != w->seen.count)
		return -EBADMSG;
	if (!error && !v->members && v->route.n) {
		w->route[0] = arena_span(w->arena, v->route);
		w->to[0] = (struct env_rcpt){ .addr = w->addr };
		w->routes = w->count = 1;
	}
	who_done(a, later ? -EAGAIN : 0);
	return 0;
}

void routes_who(struct qloop *l, struct span addr,
		void (*fn)(struct qloop *l, void *arg, const struct routes_who *w), void *arg)
{
	struct arena *a = arena_new();
	struct who *w = a ? arena_alloc(a, sizeof *w) : NULL;

	if (!w)
		panic("no memory for a question");
	memset(w, 0, sizeof *w);
	w->arena = a;
	w->addr = arena_span(a, addr);
	w->fn = fn;
	w->arg = arg;
	ask_new(l, NULL, 0, w);
}

/* ---- the link */

static int answer(struct qloop *l, unsigned number, uint64_t req, struct span body)
{
	struct ask *a = link_request_peek(l->asks, req);
	union {
		struct msg_route_answer route;
		struct msg_members members;
		struct msg_verdict verdict;
	} m;

	switch (number) {
	case MSG_route_answer:
		if (msg_route_answer_decode(body, &m.route) || (a && a->who))
			return -EBADMSG;
		if (a)
			route_answer(l, a, &m.route);
		return 0;
	case MSG_members:
		if (msg_members_decode(body, &m.members) || (a && !a->who))
			return -EBADMSG;
		return a ? who_members(a->who, &m.members) : 0;
	case MSG_verdict:
		if (msg_verdict_decode(body, &m.verdict) || (a && !a->who))
			return -EBADMSG;
		return a ? who_verdict(a, &m.verdict) : 0;
	default:
		return -EBADMSG;
	}
}

static void message(struct link *k, unsigned number, uint64_t req, struct span body)
{
	if (answer(link_ctx(k), number, req, body))
		link_refuse(k, "bad answer of smar");
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

/* Those that came without a route. When AQ is full they wait in DEFEDB; the others wait for their
 * destinations, queue/sched.c. part: room for all of them. */
static void ask_for_the_others(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count,
			       uint32_t *part)
{
	unsigned n = 0;

	for (unsigned i = 0; i < count; i++)
		if (ta->env.rcpt[idx[i]].route == ENV_NO_ROUTE)
			part[n++] = idx[i];
	if (n && aq_count() > aq_max()) {
		outcome_spill(l, ta, part, n, clock_steady());
		return;
	}
	for (unsigned i = 0; i < n; i++)
		ask_new(l, ta, part[i], NULL);
}

/* Recipients that share a route share a job. Sorted by counting: a list may have many of both. */
static void queue_by_route(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count)
{
	uint32_t routes = ta->env.route_count, *part = xmalloc(count * sizeof *part);
	uint32_t *end = xcalloc(routes + 1, sizeof *end), begin = 0;

	for (unsigned i = 0; i < count; i++)
		if (ta->env.rcpt[idx[i]].route != ENV_NO_ROUTE)
			end[ta->env.rcpt[idx[i]].route + 1]++;
	for (uint32_t r = 0; r < routes; r++)
		end[r + 1] += end[r];
	for (unsigned i = 0; i < count; i++)
		if (ta->env.rcpt[idx[i]].route != ENV_NO_ROUTE)
			part[end[ta->env.rcpt[idx[i]].route]++] = idx[i];
	/* end[r] is behind those of route r now. */
	for (uint32_t r = 0; r < routes; begin = end[r++])
		if (end[r] > begin)
			sched_queue(l, ta, part + begin, end[r] - begin, ta->env.route[r]);
	free(end);
	/* Those that are left keep the transaction. */
	if (begin < count)
		ask_for_the_others(l, ta, idx, count, part);
	free(part);
}

/* An alias whose members stand beside it: nothing is left to do but the notice. */
static void end_alias(struct qloop *l, struct ta *ta, uint32_t idx)
{
	bool list = ta->env.rcpt[idx].kind == ENV_KIND_LIST;
	struct msg_rcpt_result r = { .idx = idx, .outcome = MSG_DONE, .reply = SPAN("expanded") };
	struct outcome *o = outcome_begin(l, ta);

	outcome_notify(o, list ? DSN_DELIVERED : DSN_EXPANDED);
	outcome_add(o, &r);
	outcome_end(o);
}

static bool is_alias(const struct ta *ta, uint32_t idx)
{
	return ta->env.rcpt[idx].kind != ENV_KIND_TO;
}

/* Takes aliases out. NULL: there are none; else the others, malloc'd. */
static uint32_t *take_aliases(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned *count)
{
	unsigned n = 0, aliases = 0, all = *count;

	for (unsigned i = 0; i < all; i++)
		aliases += is_alias(ta, idx[i]);
	if (!aliases)
		return NULL;
	uint32_t *left = xmalloc(all * sizeof *left);
	/* The last one may take the transaction along: what is to be known of it comes first. */
	for (unsigned i = 0; i < all; i++)
		if (!is_alias(ta, idx[i]))
			left[n++] = idx[i];
	for (unsigned i = 0; i < all; i++)
		if (is_alias(ta, idx[i]))
			end_alias(l, ta, idx[i]);
	*count = n;
	return left;
}

static bool route_discards(struct span route)
{
	struct route r;

	return !route_decode(route, &r) && r.mailer == ROUTE_DISCARD;
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
			ask_new(l, ta, idx[i], NULL);
		}
	}
	if (n && route_discards(route))
		discard(l, ta, part, n);
	else if (n)
		sched_queue(l, ta, part, n, route);
	if (left)
		queue_again(l, ta, rest, left);
	free(part);
}

static void queue_all(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count,
		      bool fresh)
{
	uint32_t route = ta->env.rcpt[idx[0]].route;

	if (!fresh) {
		queue_again(l, ta, idx, count);
		return;
	}
	if (route != ENV_NO_ROUTE && same_route(ta, idx, count))
		sched_queue(l, ta, idx, count, ta->env.route[route]);
	else
		queue_by_route(l, ta, idx, count);
}

void routes_queue(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count, bool fresh)
{
	if (ta->env.flags & ENV_DISCARD) {
		discard(l, ta, idx, count);
		return;
	}
	uint32_t *left = take_aliases(l, ta, idx, &count);
	if (count)
		queue_all(l, ta, left ? left : idx, count, fresh);
	free(left);
}

#include "queue/orders.h"

#include "core/err.h"
#include "core/ids.h"
#include "core/log.h"
#include "core/msg.h"
#include "queue/dsn.h"
#include "queue/keeper.h"
#include "queue/outcome.h"
#include "queue/qmgr_stats.h"

#include <stdlib.h>

static atomic_uint open_orders;

struct order *order_new(enum order_kind kind, struct span route)
{
	struct order *o = xcalloc(1, sizeof *o + route.n);

	atomic_store(&o->refs, 1);
	o->kind = kind;
	o->route_bytes = route.n;
	if (route.n)
		memcpy(o->route, route.p, route.n);
	atomic_fetch_add(&open_orders, 1);
	return o;
}

void order_get(struct order *o)
{
	atomic_fetch_add(&o->refs, 1);
}

void order_put(struct order *o)
{
	if (atomic_fetch_sub(&o->refs, 1) != 1)
		return;
	atomic_fetch_sub(&open_orders, 1);
	free(o);
}

bool order_wants(const struct order *o, uint8_t state)
{
	switch (o->kind) {
	case ORDER_RETRY:
		return state == RCPT_DEFERRED;
	case ORDER_RELEASE:
		return state == RCPT_HELD;
	case ORDER_HOLD:
		return state == RCPT_DEFERRED || state == RCPT_ACTIVE;
	default:
		return state == RCPT_DEFERRED || state == RCPT_HELD || state == RCPT_ACTIVE;
	}
}

bool orders_any(void)
{
	return atomic_load(&open_orders) != 0;
}

bool orders_waits(const struct ta *ta, uint32_t idx)
{
	return atomic_load(&ta->rcpt[idx].order) != NULL;
}

static struct order *take(struct ta *ta, uint32_t idx)
{
	struct order *_Atomic *at = &ta->rcpt[idx].order;

	return atomic_load(at) ? atomic_exchange(at, NULL) : NULL;
}

static void gone(struct order *own)
{
	atomic_fetch_add(&own->gone, 1);
	order_put(own);
}

void orders_put(struct ta *ta, uint32_t idx, struct order *o)
{
	order_get(o);
	struct order *old = atomic_exchange(&ta->rcpt[idx].order, o);
	if (old)
		gone(old);
}

bool orders_set(struct ta *ta, uint32_t idx, struct order *o)
{
	if (atomic_load(&ta->rcpt[idx].state) != RCPT_ACTIVE)
		return false;
	if (!order_wants(o, RCPT_ACTIVE)) {
		atomic_fetch_add(&o->done, 1);
		return true;
	}
	orders_put(ta, idx, o);
	if (atomic_load(&ta->rcpt[idx].state) == RCPT_ACTIVE)
		return true;
	struct order *back = take(ta, idx);
	if (!back)
		return true;
	/* Ours, or a later one of somebody else, who has not looked yet: that one wins. */
	if (back != o) {
		orders_put(ta, idx, back);
		order_put(back);
		return true;
	}
	order_put(back);
	return false;
}

/* ---- executing */

static void say(struct ta *ta, const struct order *o, unsigned count)
{
	static const char *const what[] = { "retry",   "hold",   "release",
					    "reroute", "delete", "delete with DSN" };
	struct log_line line;
	char id[ID_TEXT_MAX];

	log_begin(&line, LOG_LV_MAIL, LOG_SEV_NONE);
	if (!line.on)
		return;
	id_text(ta->id, id);
	log_word(&line, "func", "orders");
	log_word(&line, "ss_ta", id);
	log_word(&line, "what", what[o->kind]);
	log_int(&line, "recipients", count);
	log_end(&line);
}

/* The order stays with them until the notice is durable: before that nothing is done. */
static void bounce(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned n, struct order *o)
{
	for (unsigned i = 0; i < n; i++) {
		aq_rcpt_reply(&ta->rcpt[idx[i]], SPAN("554 5.7.0 returned by the administrator"),
			      MSG_AT_RCPT, NULL);
		atomic_store(&ta->rcpt[idx[i]].state, RCPT_FAILED);
		orders_put(ta, idx[i], o);
	}
	stats_add(QMGR_STAT_BOUNCED, n);
	dsn_failed(l, ta, idx, n);
	dsn_hurry(l, ta);
}

static void reroute(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned n,
		    const struct order *o)
{
	uint32_t *held = xmalloc(2 * (size_t)n * sizeof *held), *now = held + n;
	unsigned h = 0, k = 0;

	for (unsigned i = 0; i < n; i++) {
		struct rcpt *r = &ta->rcpt[idx[i]];

		if (o->route_bytes)
			aq_rcpt_set_route(ta, idx[i], span_of(o->route, o->route_bytes), true);
		else
			aq_rcpt_drop_route(r);
		if (r->was_held)
			held[h++] = idx[i];
		else
			now[k++] = idx[i];
	}
	/* Through the database, so that the route is there after a crash; the keeper brings them
	 * back. */
	if (h)
		outcome_hold(l, ta, held, h);
	if (k)
		outcome_spill(l, ta, now, k, clock_steady());
	free(held);
}

/* ta may be gone after this. */
static void execute(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned n,
		    struct order *o)
{
	say(ta, o, n);
	switch (o->kind) {
	case ORDER_RETRY:
	case ORDER_RELEASE:
		stats_add(o->kind == ORDER_RELEASE ? QMGR_STAT_RELEASED : QMGR_STAT_HURRIED, n);
		outcome_spill(l, ta, idx, n, clock_steady());
		break;
	case ORDER_HOLD:
		stats_add(QMGR_STAT_HELD, n);
		outcome_hold(l, ta, idx, n);
		break;
	case ORDER_REROUTE:
		stats_add(QMGR_STAT_REROUTED, n);
		reroute(l, ta, idx, n, o);
		break;
	case ORDER_DELETE:
		stats_add(QMGR_STAT_DELETED, n);
		outcome_ended(l, ta, idx, n);
		break;
	case ORDER_BOUNCE:
		stats_add(QMGR_STAT_DELETED, n);
		bounce(l, ta, idx, n, o);
		return;
	}
	atomic_fetch_add(&o->done, n);
}

static bool goes_on(const struct order *o)
{
	return o->kind == ORDER_RETRY && aq_count() < aq_max() / 4 * 3;
}

struct taken {
	struct order *order;
	uint32_t idx;
};

/* Takes what is ordered, up to cap; those without an order, and retries for which there is room, go
 * to `rest`. */
static unsigned collect(struct ta *ta, const uint32_t *idx, unsigned count, struct taken *out,
			uint32_t *rest, unsigned *rest_count)
{
	unsigned n = 0;

	*rest_count = 0;
	for (unsigned i = 0; i < count; i++) {
		struct order *o = take(ta, idx[i]);

		if (o && goes_on(o)) {
			stats_add(QMGR_STAT_HURRIED, 1);
			atomic_fetch_add(&o->done, 1);
			order_put(o);
			o = NULL;
		}
		if (o)
			out[n++] = (struct taken){ o, idx[i] };
		else
			rest[(*rest_count)++] = idx[i];
	}
	return n;
}

static bool has_order(const struct ta *ta, const uint32_t *idx, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (orders_waits(ta, idx[i]))
			return true;
	return false;
}

uint32_t *orders_take(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned *count)
{
	if (!orders_any() || !has_order(ta, idx, *count))
		return NULL;
	uint32_t *rest = xmalloc(2 * (size_t)*count * sizeof *rest), *part = rest + *count;
	struct taken *t = xmalloc(*count * sizeof *t);
	unsigned n = collect(ta, idx, *count, t, rest, count), from = 0;

	/* Those of one order together; mostly there is one only. */
	while (from < n) {
		struct order *o = t[from].order;
		unsigned k = 0, to = from;

		for (; to < n && t[to].order == o; to++)
			part[k++] = t[to].idx;
		execute(l, ta, part, k, o);
		for (; from < to; from++)
			order_put(o);
	}
	free(t);
	return rest;
}

void orders_missed(struct ta *ta, const uint32_t *idx, unsigned count)
{
	if (!orders_any())
		return;
	for (unsigned i = 0; i < count; i++) {
		struct order *o = take(ta, idx[i]);

		if (o) {
			keeper_order(ta->id, &idx[i], 1, o);
			order_put(o);
		}
	}
}

void orders_end(struct ta *ta, const uint32_t *idx, unsigned count, bool returned)
{
	if (!orders_any())
		return;
	for (unsigned i = 0; i < count; i++) {
		struct order *o = take(ta, idx[i]);

		if (o) {
			atomic_fetch_add(returned ? &o->done : &o->gone, 1);
			order_put(o);
		}
	}
}

void orders_fail(struct ta *ta, const uint32_t *idx, unsigned count)
{
	if (!orders_any())
		return;
	for (unsigned i = 0; i < count; i++) {
		struct order *o = take(ta, idx[i]);

		if (o) {
			atomic_fetch_add(&o->failed, 1);
			order_put(o);
		}
	}
}

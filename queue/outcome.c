#include "queue/outcome.h"

#include "core/err.h"
#include "core/ids.h"
#include "core/log.h"
#include "queue/dsn.h"
#include "queue/orders.h"
#include "queue/park.h"
#include "queue/qmgr_stats.h"
#include "queue/retry.h"
#include "queue/routes.h"

#include <stdio.h>
#include <stdlib.h>

/* So many recipients of a message have the same jitter; a long list comes back in parts. */
enum { SAME_JITTER = 1024 };

struct outcome {
	struct qloop *l;
	struct ta *ta;
	unsigned count, cap;
	int notify;        /* enum dsn_kind for those that are done, or -1 */
	struct park *park; /* for those that are tried later, or NULL */
	struct addr remote;
	usec_t took; /* the attempt; less than 0: there was none */
	struct {
		uint32_t idx;
		uint8_t outcome;
	} * r, few[4];
};

struct outcome *outcome_begin(struct qloop *l, struct ta *ta)
{
	struct outcome *o = xmalloc(sizeof *o);

	o->l = l;
	o->ta = ta;
	o->count = 0;
	o->notify = -1;
	o->remote.family = ADDR_NONE;
	o->took = -1;
	o->park = NULL;
	o->cap = sizeof o->few / sizeof o->few[0];
	o->r = o->few;
	return o;
}

void outcome_notify(struct outcome *o, int dsn_kind)
{
	o->notify = dsn_kind;
}

void outcome_parks(struct outcome *o, struct park *p)
{
	o->park = p;
}

void outcome_from(struct outcome *o, const struct addr *remote, usec_t took_usec)
{
	o->remote = *remote;
	o->took = took_usec;
}

void outcome_expected(const struct ta *ta, unsigned count, const struct addr *remote)
{
	struct log_line line;

	log_begin(&line, LOG_LV_VERBOSE, LOG_SEV_NONE);
	if (!line.on)
		return;
	log_word(&line, "func", "q_deliver");
	log_id(&line, "ss_ta", ta->id);
	log_ip(&line, "host", remote);
	log_int(&line, "rcpts", count);
	log_end(&line);
}

/* A notice of success says what the host said. */
static bool keeps_reply(const struct outcome *o, const struct msg_rcpt_result *r)
{
	return r->outcome != MSG_DONE ||
	       (o->notify >= 0 && o->ta->env.rcpt[r->idx].notify & ENV_NOTIFY_SUCCESS);
}

bool outcome_has(const struct outcome *o, uint32_t idx)
{
	/* Results come in the order of the recipients: the last one is the likely one. */
	for (unsigned i = o->count; i-- > 0;)
		if (o->r[i].idx == idx)
			return true;
	return false;
}

static void log_rcpt(const struct ta *ta, const struct msg_rcpt_result *r, usec_t took)
{
	static const char *const func[] = { "q_upd_rcpt_ok", "q_upd_rcpt_later",
					    "q_upd_rcpt_fail" };
	struct log_line line;
	char id[ID_TEXT_MAX], rcpt_id[ID_TEXT_MAX + 12];

	log_begin(&line, LOG_LV_MAIL, LOG_SEV_NONE);
	if (!line.on)
		return;
	id_text(ta->id, id);
	snprintf(rcpt_id, sizeof rcpt_id, "%s-%06u", id, r->idx);
	log_word(&line, "func", func[r->outcome]);
	log_word(&line, "rcpt_id", rcpt_id);
	log_addr(&line, "rcpt", ta->env.rcpt[r->idx].addr);
	if (took >= 0)
		log_int(&line, "xdelay", took / USEC_PER_SEC);
	log_int(&line, "delay", (clock_steady() - ta->env.wall_arrival) / USEC_PER_SEC);
	log_str(&line, "reply", r->reply);
	log_end(&line);
}

static void grow(struct outcome *o)
{
	size_t bytes = (size_t)o->cap * 2 * sizeof *o->r;

	if (o->r == o->few) {
		o->r = xmalloc(bytes);
		memcpy(o->r, o->few, sizeof o->few);
	} else {
		o->r = xrealloc(o->r, bytes);
	}
	o->cap *= 2;
}

void outcome_add(struct outcome *o, const struct msg_rcpt_result *r)
{
	struct rcpt *rc = &o->ta->rcpt[r->idx];

	if (o->count == o->cap)
		grow(o);
	o->r[o->count].idx = r->idx;
	o->r[o->count].outcome = r->outcome;
	o->count++;
	rc->attempts++;
	rc->stored = 0;
	rc->wall_last = clock_steady();
	if (keeps_reply(o, r))
		aq_rcpt_reply(rc, r->reply, r->stage, &o->remote);
	qmgr_stats_reply(r->outcome, r->stage, r->reply);
	if (r->outcome == MSG_DONE && clock_steady() > o->ta->env.wall_arrival)
		stats_observe(
			QMGR_STAT_QUEUE_SEC,
			(uint64_t)((clock_steady() - o->ta->env.wall_arrival) / USEC_PER_SEC));
	log_rcpt(o->ta, r, o->took);
}

/* The last one takes the transaction along. */
void outcome_leave(struct qloop *l, struct ta *ta, unsigned n)
{
	aq_give(n);
	unsigned left = atomic_fetch_sub(&ta->active, n) - n;
	if (left) {
		dsn_left(ta, left);
		return;
	}
	if (atomic_load(&ta->open) == 0) {
		commit_finish(l->q->committer, ta);
		return;
	}
	/* The reader of due recipients may have come first and brought some back. */
	unsigned none = 0;
	if (atomic_compare_exchange_strong(&ta->active, &none, AQ_DYING))
		commit_unload(l->q->committer, ta);
}

void outcome_ended(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count)
{
	struct commit_rcpts *op = NULL;
	bool returned = atomic_load(&ta->rcpt[idx[0]].state) == RCPT_FAILED;

	for (unsigned i = 0; i < count; i++) {
		park_arrived(&ta->rcpt[idx[i]], NULL);
		atomic_store(&ta->rcpt[idx[i]].state, RCPT_DONE);
	}
	orders_end(ta, idx, count, returned);
	/* Nothing is said of single recipients when the whole transaction ends here. */
	if (atomic_load(&ta->open) > count) {
		op = xcalloc(1, sizeof *op + count * sizeof op->rcpt[0]);
		op->ta = ta;
		op->count = count;
		for (unsigned i = 0; i < count; i++) {
			op->rcpt[i].idx = idx[i];
			op->rcpt[i].done = true;
			op->rcpt[i].reported = atomic_load(aq_dsn_count(ta, idx[i])) != 0;
			op->rcpt[i].warned = atomic_load(aq_warned(ta, idx[i]));
		}
		commit_rcpts(l->q->committer, op);
	}
	atomic_fetch_sub(&ta->open, count);
	outcome_leave(l, ta, count);
}

static struct commit_rcpts *deferral(struct ta *ta, const uint32_t *idx, unsigned count)
{
	size_t text = 0;

	for (unsigned i = 0; i < count; i++)
		text += aq_rcpt_last(&ta->rcpt[idx[i]]).n + aq_rcpt_own_route(&ta->rcpt[idx[i]]).n;
	struct commit_rcpts *op = xcalloc(1, sizeof *op + count * sizeof op->rcpt[0] + text);
	char *p = (char *)&op->rcpt[count];
	op->ta = ta;
	op->count = count;
	for (unsigned i = 0; i < count; i++) {
		struct rcpt *r = &ta->rcpt[idx[i]];
		struct span reply = aq_rcpt_last(r), route = aq_rcpt_own_route(r);

		if (reply.n)
			memcpy(p, reply.p, reply.n);
		if (route.n)
			memcpy(p + reply.n, route.p, route.n);
		op->rcpt[i].idx = idx[i];
		op->rcpt[i].same = r->stored;
		r->stored = 1;
		op->rcpt[i].deferred =
			(struct store_deferred){ .wall_last = r->wall_last,
						 .attempts = r->attempts,
						 .warned = r->warned,
						 .stage = r->stage,
						 .forced = r->route && r->route->forced,
						 .reply = span_of(p, reply.n),
						 .route = span_of(p + reply.n, route.n) };
		p += reply.n + route.n;
	}
	return op;
}

/* The state changes before anybody looks for an order that came meanwhile. */
static void make(struct ta *ta, const uint32_t *idx, unsigned count, enum rcpt_state state,
		 struct commit_rcpts *op)
{
	for (unsigned i = 0; i < count; i++) {
		struct rcpt *r = &ta->rcpt[idx[i]];

		park_arrived(r, NULL);
		if (op->park)
			park_add(op->park, r);
		atomic_store_explicit(&r->wall_next, op->rcpt[i].deferred.wall_next,
				      memory_order_relaxed);
		atomic_store(&r->state, state);
	}
	orders_missed(ta, idx, count);
}

/* When it is to be warned about or returned, whatever becomes of its destination. */
static usec_t event_of(const struct ta *ta, const struct rcpt *r, const struct qmgr_options *o)
{
	usec_t warning = ta->env.wall_arrival + o->queue_delay_timeout,
	       end = ta->env.wall_arrival + o->queue_return_timeout;

	return !r->warned && warning < end ? warning : end;
}

static void park(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count,
		 struct park *p)
{
	struct commit_rcpts *op = deferral(ta, idx, count);

	for (unsigned i = 0; i < count; i++) {
		op->rcpt[i].deferred.wall_next = event_of(ta, &ta->rcpt[idx[i]], qmgr_live(l->q));
		op->rcpt[i].deferred.park = p->id;
	}
	park_ref(p);
	op->park = p;
	make(ta, idx, count, RCPT_DEFERRED, op);
	stats_add(QMGR_STAT_PARKED, count);
	commit_rcpts(l->q->committer, op);
	outcome_leave(l, ta, count);
}

void outcome_park(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count,
		  struct park *p, struct span why)
{
	uint32_t *left = orders_take(l, ta, idx, &count);

	idx = left ? left : idx;
	for (unsigned i = 0; i < count && why.n; i++) {
		struct msg_rcpt_result m = { .idx = idx[i], .outcome = MSG_LATER, .reply = why };

		/* Those that come back untried are not told of again. */
		if (aq_rcpt_last(&ta->rcpt[idx[i]]).n)
			continue;
		aq_rcpt_reply(&ta->rcpt[idx[i]], why, MSG_AT_CONNECT, NULL);
		log_rcpt(ta, &m, -1);
	}
	if (count)
		park(l, ta, idx, count, p);
	free(left);
}

/* The last attempt is just when the time is over. */
static usec_t not_after_end(struct qloop *l, const struct ta *ta, usec_t now, usec_t next)
{
	usec_t end = ta->env.wall_arrival + qmgr_live(l->q)->queue_return_timeout;

	return now < end && next > end ? end : next;
}

/* Recipients that failed together come together, that is in few transactions and in one notice. */
static usec_t next_attempt(struct qloop *l, const struct ta *ta, uint32_t idx, usec_t now)
{
	const struct qmgr_options *o = qmgr_live(l->q);
	uint32_t attempts = atomic_load(&ta->rcpt[idx].attempts);
	uint64_t draw = idx / SAME_JITTER + ((uint64_t)attempts << 32);
	usec_t delay = retry_delay(o->retry_min_delay, o->retry_max_delay, attempts,
				   (uint32_t)hash_mix(ta->id, draw));

	return not_after_end(l, ta, now, now + delay);
}

static void defer(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count)
{
	struct commit_rcpts *op = deferral(ta, idx, count);
	usec_t now = clock_steady();

	for (unsigned i = 0; i < count; i++)
		op->rcpt[i].deferred.wall_next = next_attempt(l, ta, idx[i], now);
	make(ta, idx, count, RCPT_DEFERRED, op);
	stats_add(QMGR_STAT_DEFERRED, count);
	commit_rcpts(l->q->committer, op);
	outcome_leave(l, ta, count);
}

void outcome_spill(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count,
		   usec_t wall_next)
{
	uint32_t *left = orders_take(l, ta, idx, &count);

	idx = left ? left : idx;
	if (count) {
		struct commit_rcpts *op = deferral(ta, idx, count);
		usec_t now = clock_steady(), next = not_after_end(l, ta, now, wall_next);

		for (unsigned i = 0; i < count; i++)
			op->rcpt[i].deferred.wall_next = next;
		make(ta, idx, count, RCPT_DEFERRED, op);
		stats_add(QMGR_STAT_SPILLED, count);
		commit_rcpts(l->q->committer, op);
		outcome_leave(l, ta, count);
	}
	free(left);
}

void outcome_hold(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count)
{
	struct commit_rcpts *op = deferral(ta, idx, count);

	for (unsigned i = 0; i < count; i++)
		op->rcpt[i].deferred.held = true;
	make(ta, idx, count, RCPT_HELD, op);
	commit_rcpts(l->q->committer, op);
	outcome_leave(l, ta, count);
}

void outcome_no_dsn(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count)
{
	orders_fail(ta, idx, count);
	defer(l, ta, idx, count);
}

/* Those that wait too long have failed; those that wait long get a warning. */
static unsigned expire(struct outcome *o)
{
	const struct qmgr_options *opt = qmgr_live(o->l->q);
	usec_t age = clock_steady() - o->ta->env.wall_arrival;
	unsigned warn = 0;

	for (unsigned i = 0; i < o->count; i++) {
		struct rcpt *r = &o->ta->rcpt[o->r[i].idx];

		if (o->r[i].outcome != MSG_LATER)
			continue;
		if (age >= opt->queue_return_timeout)
			o->r[i].outcome = MSG_FAILED;
		else if (age >= opt->queue_delay_timeout && !r->warned)
			warn++;
	}
	return warn;
}

/* Those of one outcome; returns how many. */
static unsigned select_outcome(const struct outcome *o, uint8_t outcome, uint32_t *idx)
{
	unsigned n = 0;

	for (unsigned i = 0; i < o->count; i++)
		if (o->r[i].outcome == outcome)
			idx[n++] = o->r[i].idx;
	return n;
}

static void warn_delayed(struct qloop *l, struct ta *ta, const uint32_t *later, unsigned n)
{
	uint32_t *idx = xmalloc(n * sizeof *idx);
	unsigned k = 0;

	for (unsigned i = 0; i < n; i++)
		if (!ta->rcpt[later[i]].warned) {
			ta->rcpt[later[i]].warned = 1;
			ta->rcpt[later[i]].stored = 0;
			idx[k++] = later[i];
		}
	dsn_delayed(l, ta, idx, k);
	free(idx);
}

static uint8_t outcome_of(const struct outcome *o, uint32_t idx)
{
	unsigned i = 0;

	while (o->r[i].idx != idx)
		i++;
	return o->r[i].outcome;
}

/* What the operator ordered for recipients that are not done comes before what the attempt said. ta
 * may be gone when nothing is left. */
static void obey(struct outcome *o)
{
	if (!orders_any())
		return;
	uint32_t *idx = xmalloc(o->count * sizeof *idx);
	unsigned n = 0, done;

	for (unsigned i = 0; i < o->count; i++)
		if (o->r[i].outcome != MSG_DONE)
			idx[n++] = o->r[i].idx;
	done = o->count - n;
	uint32_t *left = orders_take(o->l, o->ta, idx, &n);
	if (left) {
		uint8_t *outcome = xmalloc(n + 1);

		for (unsigned i = 0; i < n; i++)
			outcome[i] = outcome_of(o, left[i]);
		for (unsigned i = 0, k = 0; k < done; i++)
			if (o->r[i].outcome == MSG_DONE)
				o->r[k++] = o->r[i];
		for (unsigned i = 0; i < n; i++) {
			o->r[done + i].idx = left[i];
			o->r[done + i].outcome = outcome[i];
		}
		o->count = done + n;
		free(outcome);
		free(left);
	}
	free(idx);
}

static void settle(struct outcome *o)
{
	uint32_t few[4];
	uint32_t *idx = o->count <= 4 ? few : xmalloc(o->count * sizeof *idx);
	unsigned warn = expire(o), n;
	struct qloop *l = o->l;
	struct ta *ta = o->ta;
	/* The transaction may be gone after any of these but the last. */
	unsigned failed = select_outcome(o, MSG_FAILED, idx);

	if (failed) {
		for (unsigned i = 0; i < failed; i++)
			atomic_store(&ta->rcpt[idx[i]].state, RCPT_FAILED);
		stats_add(QMGR_STAT_BOUNCED, failed);
		/* Takes them over: they stay active until the DSN is durable. */
		dsn_failed(l, ta, idx, failed);
	}
	n = select_outcome(o, MSG_LATER, idx);
	unsigned done_after = o->count - failed - n;
	if (n) {
		if (warn)
			warn_delayed(l, ta, idx, n);
		if (o->park) {
			stats_add(QMGR_STAT_DEFERRED, n);
			park(l, ta, idx, n, o->park);
		} else {
			defer(l, ta, idx, n);
		}
	}
	if (done_after) {
		n = select_outcome(o, MSG_DONE, idx);
		stats_add(QMGR_STAT_DELIVERED, n);
		if (o->notify >= 0)
			dsn_notice(l, ta, idx, n, (enum dsn_kind)o->notify);
		outcome_ended(l, ta, idx, n);
	}
	dsn_settle(l, ta);
	if (idx != few)
		free(idx);
}

/* Those that were never tried are told why. */
static struct span why_not_tried(const struct park *p)
{
	if (p->suspension)
		return SPAN("451 4.3.2 suspended by the administrator");
	return atomic_load(&p->state) == PARK_OPEN
		       ? SPAN("451 4.3.2 this destination takes mail more slowly than it comes")
		       : SPAN("451 4.4.1 all hosts of this destination are down");
}

/* It is known not to go there now. Not when qmgr did not look for long: the host may be up. */
static bool is_hopeless(const struct park *p)
{
	return atomic_load(&p->state) == PARK_CLOSED &&
	       (p->suspension || atomic_load(&p->wall_next) > clock_steady());
}

static void expire_parked(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count,
			  const struct park *p)
{
	for (unsigned i = 0; i < count; i++) {
		struct rcpt *r = &ta->rcpt[idx[i]];
		struct msg_rcpt_result m = { .idx = idx[i], .outcome = MSG_FAILED };

		if (!aq_rcpt_last(r).n)
			aq_rcpt_reply(r, why_not_tried(p), MSG_AT_CONNECT, NULL);
		m.reply = aq_rcpt_last(r);
		log_rcpt(ta, &m, -1);
		atomic_store(&r->state, RCPT_FAILED);
	}
	stats_add(QMGR_STAT_BOUNCED, count);
	dsn_failed(l, ta, idx, count);
}

/* All of one park; ta may be gone after this. */
static void event(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count,
		  struct park *p)
{
	const struct qmgr_options *o = qmgr_live(l->q);
	usec_t age = clock_steady() - ta->env.wall_arrival;

	if (age >= o->queue_return_timeout && is_hopeless(p)) {
		expire_parked(l, ta, idx, count, p);
		dsn_settle(l, ta);
		return;
	}
	/* A last attempt: what is later then is too late. */
	if (age >= o->queue_return_timeout) {
		park_probe(p);
		routes_queue(l, ta, idx, count, false);
		return;
	}
	if (age >= o->queue_delay_timeout) {
		for (unsigned i = 0; i < count; i++)
			if (!aq_rcpt_last(&ta->rcpt[idx[i]]).n)
				aq_rcpt_reply(&ta->rcpt[idx[i]], why_not_tried(p), MSG_AT_CONNECT,
					      NULL);
		warn_delayed(l, ta, idx, count);
	}
	park(l, ta, idx, count, p);
	dsn_settle(l, ta);
}

void outcome_event(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count)
{
	uint32_t *same = xmalloc(2 * (size_t)count * sizeof *same), *rest = same + count;
	uint64_t id = atomic_load(&ta->rcpt[idx[0]].park);
	struct park *p = park_find(id);
	unsigned n = 0, left = 0;

	for (unsigned i = 0; i < count; i++) {
		if (atomic_load(&ta->rcpt[idx[i]].park) == id)
			same[n++] = idx[i];
		else
			rest[left++] = idx[i];
	}
	/* The others keep ta. */
	if (p)
		event(l, ta, same, n, p);
	else
		outcome_spill(l, ta, same, n, clock_steady());
	if (left)
		outcome_event(l, ta, rest, left);
	free(same);
}

void outcome_end(struct outcome *o)
{
	obey(o);
	if (o->count)
		settle(o);
	if (o->r != o->few)
		free(o->r);
	free(o);
}

void outcome_same(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned count,
		  const struct msg_rcpt_result *r)
{
	struct outcome *o = outcome_begin(l, ta);
	struct msg_rcpt_result one = *r;

	for (unsigned i = 0; i < count; i++) {
		one.idx = idx[i];
		outcome_add(o, &one);
	}
	outcome_end(o);
}

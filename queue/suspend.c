#include "queue/suspend.h"

#include "core/err.h"
#include "core/log.h"
#include "core/wire.h"
#include "queue/outcome.h"
#include "queue/park.h"
#include "queue/qmgr_stats.h"
#include "queue/qrow.h"

#include <errno.h>
#include <stdlib.h>

enum { FORMAT = 1, TICK_USEC = 5 * USEC_PER_SEC };

/* What is published. */
struct list {
	struct rcu_head rcu;
	unsigned count;
	struct suspension *s[];
};

static struct list *now; /* NULL: none */
static atomic_uint any;
static uint64_t last_number;
static struct timer tick;
static struct qmgr *qm;

/* ---- asking */

static bool suspend_any(void)
{
	return atomic_load_explicit(&any, memory_order_relaxed) != 0;
}

static const struct suspension *find(const struct ta *ta, uint32_t idx, const struct route *route)
{
	struct list *l = suspend_any() ? RCU_READ(now) : NULL;
	struct select_row row;
	usec_t wall = clock_wall();

	if (!l)
		return NULL;
	qrow(ta, idx, route, wall, &row);
	for (unsigned i = 0; i < l->count; i++) {
		usec_t until = l->s[i]->wall_until;

		if ((!until || until > wall) && select_match(l->s[i]->select, &row))
			return l->s[i];
	}
	return NULL;
}

uint64_t suspend_number(const struct ta *ta, uint32_t idx, const struct route *route)
{
	const struct suspension *s = find(ta, idx, route);

	return s ? s->number : 0;
}

uint32_t *suspend_take(struct qloop *l, struct ta *ta, const uint32_t *idx, unsigned *count,
		       const struct route *route)
{
	if (!suspend_any())
		return NULL;
	uint32_t *rest = xmalloc(2 * (size_t)*count * sizeof *rest), *away = rest + *count;
	const struct suspension **by = xmalloc(*count * sizeof *by);
	unsigned n = 0, left = 0, from = 0, to;

	for (unsigned i = 0; i < *count; i++) {
		const struct suspension *s = find(ta, idx[i], route);

		if (s) {
			by[n] = s;
			away[n++] = idx[i];
		} else {
			rest[left++] = idx[i];
		}
	}
	*count = left;
	stats_add(QMGR_STAT_SUSPENDED, n);
	/* Those of one suspension together; mostly there is one only. */
	for (; from < n; from = to) {
		for (to = from + 1; to < n && by[to] == by[from]; to++)
			;
		outcome_park(l, ta, away + from, to - from, by[from]->park, SPAN(""));
	}
	free(by);
	return rest;
}

/* ---- the list */

static void suspension_free(struct suspension *s)
{
	select_free(s->select);
	park_put(s->park);
	free(s);
}

static void free_list(struct rcu_head *head)
{
	RCU_TSAN_ACQUIRE(head);
	RCU_TSAN_GRACE();
	free(caa_container_of(head, struct list, rcu));
}

struct ended {
	struct rcu_head rcu;
	struct suspension *s;
};

static void free_ended(struct rcu_head *head)
{
	struct ended *e = caa_container_of(head, struct ended, rcu);

	RCU_TSAN_ACQUIRE(head);
	RCU_TSAN_GRACE();
	suspension_free(e->s);
	free(e);
}

static void publish(struct list *fresh)
{
	struct list *old = now;

	RCU_PUBLISH(now, fresh);
	atomic_store(&any, fresh->count);
	if (old)
		rcu_later(&old->rcu, free_list);
}

static struct list *list_new(unsigned count)
{
	struct list *l = xcalloc(1, sizeof *l + count * sizeof l->s[0]);

	l->count = count;
	return l;
}

static void list_add(struct suspension *own)
{
	unsigned n = now ? now->count : 0;
	struct list *l = list_new(n + 1);

	if (n)
		memcpy(l->s, now->s, n * sizeof l->s[0]);
	l->s[n] = own;
	if (own->number > last_number)
		last_number = own->number;
	own->park = park_get_suspension(own->number);
	atomic_store(&own->park->wall_next, own->wall_until);
	publish(l);
}

static struct suspension *list_take(uint64_t number)
{
	unsigned at = 0;

	while (now && at < now->count && now->s[at]->number != number)
		at++;
	if (!now || at == now->count)
		return NULL;
	struct suspension *s = now->s[at];
	struct list *l = list_new(now->count - 1);
	memcpy(l->s, now->s, at * sizeof l->s[0]);
	memcpy(l->s + at, now->s + at + 1, (now->count - at - 1) * sizeof l->s[0]);
	publish(l);
	return s;
}

const struct suspension *const *suspend_all(unsigned *count)
{
	*count = now ? now->count : 0;
	return now ? (const struct suspension *const *)now->s : NULL;
}

const char *suspend_refuses(const struct select *s)
{
	const unsigned may = 1u << SELECT_FROM | 1u << SELECT_TO | 1u << SELECT_DOMAIN |
			     1u << SELECT_HOST | 1u << SELECT_CLIENT;

	if (select_keys(s) & ~may)
		return "usage: only from, to, domain, host and client can be used to suspend: the others change while mail waits";
	if (select_text(s).n > SUSPEND_TEXT_MAX)
		return "the selector is too long to be kept";
	if (now && now->count >= SUSPEND_MAX)
		return "there are too many suspensions already";
	return NULL;
}

/* ---- rows */

static size_t encode(const struct suspension *s, char *dst, size_t cap)
{
	struct wire_w w = wire_writer(dst, cap);

	wire_put_u8(&w, FORMAT);
	wire_put_u64(&w, (uint64_t)s->wall_since);
	wire_put_u64(&w, (uint64_t)s->wall_until);
	wire_put_str(&w, select_text(s->select));
	return w.n;
}

static struct suspension *decode(struct span value)
{
	struct wire_r r = wire_reader(value);
	struct suspension s = { .number = 0 };
	struct select_error e;

	if (wire_get_u8(&r) != FORMAT)
		return NULL;
	s.wall_since = (usec_t)wire_get_u64(&r);
	s.wall_until = (usec_t)wire_get_u64(&r);
	struct span text = wire_get_str(&r);
	s.select = wire_done(&r) ? select_parse(text, &e) : NULL;
	if (!s.select)
		return NULL;
	struct suspension *own = xmalloc(sizeof *own);
	*own = s;
	return own;
}

/* One that ended shortly before qmgr did, so that some still wait for it. */
static void open_if_ended(struct park *p, void *ctx)
{
	(void)ctx;
	for (unsigned i = 0; now && i < now->count; i++)
		if (now->s[i]->number == p->suspension)
			return;
	if (!p->suspension)
		return;
	park_open(p);
	/* Its number is not used again as long as it has rows. */
	if (p->suspension < PARK_LOST && p->suspension > last_number)
		last_number = p->suspension;
}

int suspend_load(struct qmgr *q)
{
	struct store_key from = store_key_suspension(0);
	struct store_iter *it = store_iter_new(q->store, STORE_META, store_key_span(&from));

	qm = q;
	for (; store_iter_valid(it); store_iter_next(it)) {
		struct span key = store_iter_key(it);
		uint64_t number;

		if (key.n != 10 || !span_startswith(key, span_head(store_key_span(&from), 2)))
			break;
		memcpy(&number, key.p + 2, 8);
		struct suspension *s = decode(store_iter_value(it));
		if (!s) {
			log_event(LOG_LV_ERROR, LOG_SEV_ERR, "suspend",
				  "stat=a suspension cannot be read");
			continue;
		}
		s->number = __builtin_bswap64(number);
		list_add(s);
	}
	parks_each(open_if_ended, NULL);
	return store_iter_end(it);
}

/* A change on its way to the disk. */
struct pending {
	struct commit_call call;
	struct suspension *s;
	bool ends;
	void (*added)(void *arg, uint64_t number);
	void (*ended)(void *arg, struct span text);
	void *arg;
};

static void in_batch(struct commit_call *call)
{
	struct pending *p = caa_container_of(call, struct pending, call);
	struct store_key key = store_key_suspension(p->s->number);
	struct store *s = committer_store(call->committer);
	struct store_batch *b = committer_batch(call->committer);
	char value[SUSPEND_TEXT_MAX + 64];

	if (p->ends)
		store_delete(s, b, STORE_META, store_key_span(&key));
	else
		store_put(s, b, STORE_META, store_key_span(&key),
			  span_of(value, encode(p->s, value, sizeof value)));
}

static void in_force(struct qloop *l, void *arg)
{
	struct pending *p = arg;

	(void)l;
	if (p->ends) {
		struct ended *e = xcalloc(1, sizeof *e);

		park_open(p->s->park);
		p->ended(p->arg, select_text(p->s->select));
		e->s = p->s;
		rcu_later(&e->rcu, free_ended);
	} else {
		list_add(p->s);
		p->added(p->arg, p->s->number);
	}
	free(p);
}

static void flushed(struct commit_call *call, int error)
{
	struct pending *p = caa_container_of(call, struct pending, call);

	(void)error;
	qloop_post(&qm->loop[0], in_force, p);
}

static void send_off(struct qmgr *q, struct pending *own)
{
	own->call.fn = in_batch;
	own->call.flushed = flushed;
	commit_call(q->committer, &own->call, true);
}

void suspend_add(struct qmgr *q, struct select *own, usec_t wall_until,
		 void (*fn)(void *arg, uint64_t number), void *arg)
{
	struct pending *p = xcalloc(1, sizeof *p);

	p->s = xcalloc(1, sizeof *p->s);
	*p->s = (struct suspension){ .number = ++last_number,
				     .wall_since = clock_wall(),
				     .wall_until = wall_until,
				     .select = own };
	p->added = fn;
	p->arg = arg;
	send_off(q, p);
}

bool suspend_end(struct qmgr *q, uint64_t number, void (*fn)(void *arg, struct span text),
		 void *arg)
{
	struct suspension *s = list_take(number);

	if (!s)
		return false;
	struct pending *p = xcalloc(1, sizeof *p);
	p->s = s;
	p->ends = true;
	p->ended = fn;
	p->arg = arg;
	send_off(q, p);
	return true;
}

/* ---- the clock */

static void over(void *arg, struct span text)
{
	(void)arg;
	log_event(LOG_LV_INFO, LOG_SEV_INFO, "suspend", "stat=a suspension is over, select=%.*s",
		  (int)(text.n < 200 ? text.n : 200), text.p);
}

static void on_tick(struct timer *t)
{
	bool again = true;

	while (again) {
		again = false;
		for (unsigned i = 0; now && i < now->count && !again; i++)
			if (now->s[i]->wall_until && now->s[i]->wall_until <= clock_wall())
				again = suspend_end(qm, now->s[i]->number, over, NULL);
	}
	loop_timer_after(qm->loop[0].loop, t, TICK_USEC);
}

void suspend_start(struct qmgr *q)
{
	tick.fn = on_tick;
	loop_timer_after(q->loop[0].loop, &tick, 0);
}

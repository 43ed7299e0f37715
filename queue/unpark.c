#include "queue/unpark.h"

#include "core/err.h"
#include "queue/damage.h"
#include "queue/qmgr_stats.h"

#include <errno.h>
#include <stdlib.h>

enum {
	RUN_RCPTS = 1000,
	STEP_RCPTS = 100,
	STEP_ROWS = 1000,
	PROBE_MAX = 64,
	/* Of a suspension that has ended: their destinations have room or park them again. */
	COMING_MAX = 200,
	AGAIN_USEC = 50 * USEC_PER_MSEC,
	PARKED_TA = 8, /* where the transaction is in a key */
	DRY_USEC = 60 * USEC_PER_SEC,
};

struct unpark {
	struct store *store;
	unpark_bring *bring;
	void *ctx;
	struct timer_wheel wheel;
	struct park *ready, **ready_end;
};

static struct unpark *the;

/* ---- who has its turn when */

/* A reference as long as it is on the list or has a timer. */
static void make_ready(struct unpark *u, struct park *p)
{
	if (p->k.listed)
		return;
	p->k.listed = true;
	p->k.next = NULL;
	*u->ready_end = p;
	u->ready_end = &p->k.next;
	park_ref(p);
}

static struct park *take_ready(struct unpark *u)
{
	struct park *p = u->ready;

	u->ready = p->k.next;
	if (!u->ready)
		u->ready_end = &u->ready;
	p->k.listed = false;
	return p;
}

static void stop_timer(struct unpark *u, struct park *p)
{
	if (!timer_isset(&p->k.timer))
		return;
	timer_stop(&u->wheel, &p->k.timer);
	park_put(p);
}

static void look(struct unpark *u, struct park *p);

static void on_time(struct timer *t)
{
	struct park *p = caa_container_of(t, struct park, k.timer);

	look(the, p);
	park_put(p);
}

static void set_timer(struct unpark *u, struct park *p, usec_t at)
{
	stop_timer(u, p);
	p->k.timer.fn = on_time;
	timer_set(&u->wheel, &p->k.timer, at);
	park_ref(p);
}

static void look(struct unpark *u, struct park *p)
{
	stop_timer(u, p);
	park_rewind(p);
	if (!atomic_load(&p->parked))
		return;
	switch (atomic_load(&p->state)) {
	case PARK_CLOSED:
		/* A suspension is opened by who ends it. */
		if (p->suspension)
			break;
		if (park_probe(p)) {
			p->k.step = 1;
			make_ready(u, p);
		} else {
			set_timer(u, p, atomic_load(&p->wall_next));
		}
		break;
	default:
		make_ready(u, p);
		break;
	}
}

/* ---- bringing */

/* Recipients that may come now. */
static unsigned room(struct park *p)
{
	unsigned coming = atomic_load(&p->coming), has = atomic_load(&p->in_aq) + coming, may;

	switch (atomic_load(&p->state)) {
	case PARK_PROBING:
		/* What came before and is not there goes elsewhere now: more of them may. */
		may = has ? 0 : p->k.step;
		if (!has && p->k.step < PROBE_MAX)
			p->k.step *= 2;
		return may;
	case PARK_OPEN:
		if (p->suspension)
			return coming < COMING_MAX ? COMING_MAX - coming : 0;
		return park_share_room(aq_max(), aq_count(), has);
	default:
		return 0;
	}
}

struct step {
	unsigned brought;
	bool more;  /* rows are left */
	bool later; /* something is in the way for a moment */
};

/* The recipients of one transaction under the iterator, up to max; moves it behind them. *last: the row
 * before it. */
static unsigned collect(struct store_iter *it, struct store_key *last, const struct park *p,
			uint64_t *ta, uint32_t *idx, unsigned max)
{
	uint64_t park, of;
	unsigned n = 0;

	for (; n < max && damage_valid(it, last, PARKED_TA, NULL); store_iter_next(it)) {
		if (!store_key_parked_parse(store_iter_key(it), &park, &of, &idx[n]) ||
		    park != p->id || (n && of != *ta))
			break;
		*ta = of;
		*last = store_key_parked(park, of, idx[n]);
		n++;
	}
	return n;
}

static void step(struct unpark *u, struct park *p, unsigned max, struct step *out)
{
	struct store_key from = store_key_parked(p->id, p->k.ta, p->k.idx);
	struct store_iter *it = store_iter_new(u->store, STORE_PARKED, store_key_span(&from));
	unsigned rows = 0, n = 1;
	uint32_t idx[STEP_RCPTS];
	uint64_t ta = 0;

	*out = (struct step){ .more = true };
	while (out->brought < max && rows < STEP_ROWS) {
		n = collect(it, &from, p, &ta, idx, max - out->brought);
		if (!n)
			break;
		uint32_t behind = idx[n - 1] + 1;
		int rc = u->bring(u->ctx, ta, idx, n, p->id);
		if (rc == -EAGAIN) {
			out->later = true;
			break;
		}
		p->k.ta = ta;
		p->k.idx = behind;
		rows += n;
		out->brought += rc > 0 ? (unsigned)rc : 0;
	}
	out->more = n != 0;
	if (store_iter_end(it)) {
		out->later = true;
		out->more = true;
	}
}

/* One turn; returns how many came. */
static unsigned turn(struct unpark *u, struct park *p, unsigned max)
{
	unsigned may = room(p);
	bool probing = atomic_load(&p->state) == PARK_PROBING;
	struct step s;

	if (!may)
		return 0;
	step(u, p, may < max ? may : max, &s);
	if (probing)
		stats_add(QMGR_STAT_PROBES, s.brought);
	if (s.later) {
		set_timer(u, p, clock_steady() + AGAIN_USEC);
	} else if (s.more && (!probing || !s.brought)) {
		make_ready(u, p);
	} else if (!s.more && park_dry(p)) {
		/* Nobody forgets a row; if it were so, they would come with the next round. */
		p->k.ta = 0;
		p->k.idx = 0;
		set_timer(u, p, clock_steady() + DRY_USEC);
	} else if (!s.more) {
		make_ready(u, p);
	}
	return s.brought;
}

static void take_told(struct unpark *u)
{
	struct park *next;

	for (struct park *p = parks_told(); p; p = next) {
		next = p->told_next;
		atomic_store(&p->told, false);
		look(u, p);
		park_put(p);
	}
}

usec_t unpark_run(struct unpark *u, bool full)
{
	unsigned left = RUN_RCPTS, turns = 0;
	usec_t now = clock_steady();

	rcu_online();
	take_told(u);
	timer_run(&u->wheel, now);
	rcu_offline();
	while (u->ready && left && turns++ < RUN_RCPTS) {
		if (full)
			return now + AGAIN_USEC;
		struct park *p = take_ready(u);
		unsigned n = turn(u, p, left < STEP_RCPTS ? left : STEP_RCPTS);
		left -= n;
		park_put(p);
	}
	if (u->ready)
		return now;
	now = timer_next(&u->wheel);
	return now < 0 ? 0 : now;
}

struct unpark *unpark_new(struct store *s, unpark_bring *bring, void *ctx)
{
	struct unpark *u = xcalloc(1, sizeof *u);

	u->store = s;
	u->bring = bring;
	u->ctx = ctx;
	u->ready_end = &u->ready;
	timer_wheel_init(&u->wheel, clock_steady());
	the = u;
	parks_tell_all();
	return u;
}

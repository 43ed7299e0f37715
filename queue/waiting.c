#include "queue/waiting.h"

#include "core/err.h"
#include "queue/census.h"
#include "queue/park.h"

struct committed_rcpt *waiting_rcpt(struct ta *ta, uint32_t idx)
{
	if (!ta->c.rcpt)
		ta->c.rcpt = xcalloc(ta->env.rcpt_count, sizeof *ta->c.rcpt);
	return &ta->c.rcpt[idx];
}

/* Until the batch is on disk. */
static void touch_park(struct waiting *w, struct park *p)
{
	if (p->c.touched)
		return;
	p->c.touched = true;
	park_ref(p);
	p->c.next = w->parks;
	w->parks = p;
}

static void delete_due(struct waiting *w, struct ta *ta, uint32_t idx, struct committed_rcpt *r)
{
	struct store_key due = store_key_due(r->wall_due, ta->id, idx);

	if (r->wall_due)
		store_delete(w->store, w->batch, STORE_DUE, store_key_span(&due));
	r->wall_due = 0;
}

static void delete_parked(struct waiting *w, struct ta *ta, uint32_t idx, struct committed_rcpt *r)
{
	struct store_key key = store_key_parked(r->park, ta->id, idx);
	struct park *p = r->park ? park_find(r->park) : NULL;

	if (r->park)
		store_delete(w->store, w->batch, STORE_PARKED, store_key_span(&key));
	if (p) {
		atomic_fetch_sub(&p->rows, 1);
		touch_park(w, p);
	}
	r->park = 0;
}

static void put_parked(struct waiting *w, struct ta *ta, uint32_t idx, struct committed_rcpt *r,
		       struct park *p)
{
	struct store_key key = store_key_parked(p->id, ta->id, idx);

	store_put(w->store, w->batch, STORE_PARKED, store_key_span(&key), span_of("", 0));
	atomic_fetch_add(&p->rows, 1);
	r->park = p->id;
}

/* The keeper's place is not behind it. */
static void note_parked(struct waiting *w, struct ta *ta, uint32_t idx, struct park *p)
{
	touch_park(w, p);
	if (p->c.has_low &&
	    (p->c.low_ta < ta->id || (p->c.low_ta == ta->id && p->c.low_idx <= idx)))
		return;
	p->c.has_low = true;
	p->c.low_ta = ta->id;
	p->c.low_idx = idx;
}

static void note_due(struct waiting *w, usec_t wall)
{
	if (!w->wall_first || wall < w->wall_first)
		w->wall_first = wall;
}

/* Its record in DEFEDB and the rows of the indexes. */
void waiting_forget(struct waiting *w, struct ta *ta, uint32_t idx)
{
	struct committed_rcpt *r = waiting_rcpt(ta, idx);

	if (!r->wall_due && !r->held)
		return;
	struct store_key key = store_key_rcpt(ta->id, idx);

	census_deferred(r->wall_due ? -1 : 0, r->held ? -1 : 0);
	delete_due(w, ta, idx, r);
	delete_parked(w, ta, idx, r);
	store_delete(w->store, w->batch, STORE_DEFEDB, store_key_span(&key));
	r->held = false;
}

void waiting_put(struct waiting *w, struct ta *ta, const struct commit_rcpt *in, struct park *p)
{
	struct committed_rcpt *r = waiting_rcpt(ta, in->idx);
	char value[STORE_DEFERRED_MAX];
	struct store_key key = store_key_rcpt(ta->id, in->idx);
	struct store_key due = store_key_due(in->deferred.wall_next, ta->id, in->idx);
	bool held = in->deferred.held;
	usec_t wall = held ? 0 : in->deferred.wall_next;
	uint64_t park = p ? p->id : 0;

	if (p)
		note_parked(w, ta, in->idx, p);
	/* Brought and not tried: nothing has changed, but the keeper may have passed its row. */
	if (in->same && !held && r->wall_due == wall && r->park == park) {
		if (wall <= clock_steady())
			note_due(w, wall);
		return;
	}
	census_deferred((wall != 0) - (r->wall_due != 0), held - r->held);
	if (r->wall_due != wall)
		delete_due(w, ta, in->idx, r);
	if (r->park != park)
		delete_parked(w, ta, in->idx, r);
	size_t n = store_deferred_encode(&in->deferred, value);
	store_put(w->store, w->batch, STORE_DEFEDB, store_key_span(&key), span_of(value, n));
	if (wall && r->wall_due != wall)
		store_put(w->store, w->batch, STORE_DUE, store_key_span(&due), span_of("", 0));
	if (p && r->park != park)
		put_parked(w, ta, in->idx, r, p);
	r->wall_due = wall;
	r->held = held;
	if (wall)
		note_due(w, wall);
}

/* The head of what is parked is there as long as a row of it is. */
void waiting_put_heads(struct waiting *w)
{
	char value[STORE_PARK_MAX];

	for (struct park *p = w->parks; p; p = p->c.next) {
		struct store_key key = store_key_park(p->id);
		bool rows = atomic_load(&p->rows) != 0, has = atomic_load(&p->has_head);

		if (rows && (atomic_exchange(&p->changed, false) || !has))
			store_put(w->store, w->batch, STORE_META, store_key_span(&key),
				  span_of(value, park_encode(p, value)));
		else if (!rows && has)
			store_delete(w->store, w->batch, STORE_META, store_key_span(&key));
		atomic_store(&p->has_head, rows);
	}
}

usec_t waiting_written(struct waiting *w)
{
	while (w->parks) {
		struct park *p = w->parks;

		w->parks = p->c.next;
		p->c.touched = false;
		if (p->c.has_low)
			park_written(p, p->c.low_ta, p->c.low_idx);
		p->c.has_low = false;
		park_put(p);
	}
	usec_t first = w->wall_first;
	w->wall_first = 0;
	return first;
}

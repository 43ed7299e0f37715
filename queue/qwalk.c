#include "queue/qwalk.h"

#include "core/err.h"
#include "queue/damage.h"
#include "queue/keeper.h"
#include "queue/qrow.h"

#include <errno.h>
#include <stdlib.h>

enum { CLOCK_EVERY = 16 };

struct qwalk {
	struct store *store;
	const struct select *select;
	bool begun;
	bool only_ids; /* id[] is what the selector names, else what AQ had at the start */
	uint64_t *id;  /* sorted */
	size_t count, cap, at;
	uint64_t next; /* all before it was seen */
	unsigned damaged;
	usec_t wall_now;
	uint32_t *idx; /* of the message being looked at */
	uint32_t idx_cap;
};

struct qwalk *qwalk_new(struct store *store, const struct select *select)
{
	struct qwalk *w = xcalloc(1, sizeof *w);

	w->store = store;
	w->select = select;
	return w;
}

void qwalk_free(struct qwalk *own)
{
	if (!own)
		return;
	free(own->id);
	free(own->idx);
	free(own);
}

unsigned qwalk_damaged(const struct qwalk *w)
{
	return w->damaged;
}

static int by_id(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void add_id(struct qwalk *w, uint64_t id)
{
	if (w->count == w->cap) {
		w->cap = w->cap ? w->cap * 2 : 1024;
		w->id = xrealloc(w->id, w->cap * sizeof *w->id);
	}
	w->id[w->count++] = id;
}

static void begin(struct qwalk *w)
{
	struct cds_lfht_iter it;
	struct cds_lfht_node *node;
	const uint64_t *id;
	size_t n;

	w->begun = true;
	w->only_ids = select_ids(w->select, &id, &n);
	if (w->only_ids) {
		for (size_t i = 0; i < n; i++)
			add_id(w, id[i]);
		return;
	}
	rcu_online();
	LFHT_FOREACH(aq_table(), &it, node)
	add_id(w, caa_container_of(node, struct ta, node)->id);
	rcu_offline();
	if (w->count)
		qsort(w->id, w->count, sizeof *w->id, by_id);
}

/* Inside a read section. */
static bool show(struct qwalk *w, struct ta *ta, bool live, qwalk_each *each, void *ctx)
{
	unsigned n = 0;

	if (w->idx_cap < ta->env.rcpt_count) {
		w->idx_cap = ta->env.rcpt_count;
		w->idx = xrealloc(w->idx, w->idx_cap * sizeof *w->idx);
	}
	for (uint32_t i = 0; i < ta->env.rcpt_count; i++) {
		struct select_row row;
		struct route route;

		qrow_with_route(ta, i, w->wall_now, &route, &row);
		if (row.state && select_match(w->select, &row))
			w->idx[n++] = i;
	}
	return !n || each(ctx, ta, w->idx, n, live);
}

/* ---- from the database */

/* Both iterators of one page, in step. */
struct cursor {
	struct store_iter *ibdb, *defedb;
};

static bool is_broken(struct store_iter *it)
{
	return !store_iter_valid(it) && store_iter_error(it);
}

/* Makes the message under the ibdb iterator; both iterators end behind its rows. NULL: it cannot be
 * read. */
static struct ta *load(struct cursor *c, uint64_t id)
{
	struct cdb_ref ref;
	struct span blob;
	int error = store_ta_decode(store_iter_value(c->ibdb), &ref, &blob);
	struct ta *ta = error ? NULL : aq_ta_new(blob, &ref, &error);
	struct store_key from = store_key_ta(id);
	uint64_t of;
	uint32_t idx;
	bool is_rcpt;

	for (store_iter_next(c->ibdb); store_iter_valid(c->ibdb); store_iter_next(c->ibdb)) {
		if (!store_key_parse(store_iter_key(c->ibdb), &of, &idx, &is_rcpt) || of != id)
			break;
		if (ta && is_rcpt && idx < ta->env.rcpt_count)
			atomic_store(&ta->rcpt[idx].state, RCPT_DONE);
	}
	if (store_iter_valid(c->defedb)
		    ? store_key_parse(store_iter_key(c->defedb), &of, &idx, &is_rcpt) && of < id
		    : store_iter_error(c->defedb) != 0)
		store_iter_seek(c->defedb, store_key_span(&from));
	for (; store_iter_valid(c->defedb); store_iter_next(c->defedb)) {
		struct store_deferred d;

		if (!store_key_parse(store_iter_key(c->defedb), &of, &idx, &is_rcpt) || of != id)
			break;
		if (ta && is_rcpt && idx < ta->env.rcpt_count &&
		    !store_deferred_decode(store_iter_value(c->defedb), &d))
			aq_rcpt_restore(ta, idx, &d);
	}
	/* Without one of its rows it would look as if it were not delivered, or not held. */
	if (ta && (is_broken(c->ibdb) || is_broken(c->defedb))) {
		aq_ta_free(ta);
		ta = NULL;
	}
	return ta;
}

/* The next id of the database at or behind `at_least`; false: there is none. */
static bool next_in_database(struct qwalk *w, struct cursor *c, uint64_t at_least, uint64_t *id)
{
	struct store_key last = store_key_ta(at_least);
	uint32_t idx;
	bool is_rcpt;

	for (; c->ibdb && damage_valid(c->ibdb, &last, 0, &w->damaged); store_iter_next(c->ibdb))
		if (store_key_parse(store_iter_key(c->ibdb), id, &idx, &is_rcpt) && !is_rcpt &&
		    *id >= at_least)
			return true;
	return false;
}

/* ---- pages */

static struct ta *load_by_id(struct qwalk *w, uint64_t id)
{
	int error = -ENOENT;
	struct ta *ta = w->store ? keeper_load(w->store, id, &error) : NULL;

	w->damaged += !ta && error != -ENOENT;
	return ta;
}

/* The message `id`: from AQ, else from the database; in_db: it is under the cursor, and what is there
 * is not older than its time in AQ. */
static bool visit(struct qwalk *w, struct cursor *c, uint64_t id, bool in_db, qwalk_each *each,
		  void *ctx)
{
	bool go_on = true;

	w->next = id + 1;
	rcu_online();
	struct ta *ta = aq_find(id);
	if (ta)
		go_on = show(w, ta, true, each, ctx);
	rcu_offline();
	if (ta)
		return go_on;
	/* One that has left AQ since the page began may be newer than the iterators. */
	ta = in_db ? load(c, id) : load_by_id(w, id);
	if (!ta) {
		w->damaged += in_db;
		return true;
	}
	rcu_online();
	go_on = show(w, ta, false, each, ctx);
	rcu_offline();
	aq_ta_free(ta);
	return go_on;
}

static bool time_is_up(unsigned n, usec_t until)
{
	return n % CLOCK_EVERY == 0 && clock_now() >= until;
}

static int page_of_ids(struct qwalk *w, unsigned messages, usec_t until, qwalk_each *each,
		       void *ctx)
{
	for (unsigned n = 1; w->at < w->count; n++)
		if (!visit(w, NULL, w->id[w->at++], false, each, ctx) || n >= messages ||
		    time_is_up(n, until))
			break;
	return w->at < w->count;
}

static int page_of_all(struct qwalk *w, unsigned messages, usec_t until, qwalk_each *each,
		       void *ctx)
{
	struct store_key from = store_key_ta(w->next);
	struct cursor c = { NULL, NULL };
	bool more = true, go_on = true;
	int rc = 0, rc2 = 0;

	if (w->store) {
		c.ibdb = store_iter_new(w->store, STORE_IBDB, store_key_span(&from));
		c.defedb = store_iter_new(w->store, STORE_DEFEDB, store_key_span(&from));
	}
	for (unsigned n = 1; more && go_on; n++) {
		uint64_t db = 0, aq = 0;
		bool in_db = next_in_database(w, &c, w->next, &db);

		while (w->at < w->count && w->id[w->at] < w->next)
			w->at++;
		bool in_aq = w->at < w->count;
		if (in_aq)
			aq = w->id[w->at];
		more = in_db || in_aq;
		if (more && (!in_db || (in_aq && aq < db)))
			go_on = visit(w, &c, aq, false, each, ctx);
		else if (more)
			go_on = visit(w, &c, db, !(in_aq && aq == db), each, ctx);
		go_on = go_on && n < messages && !time_is_up(n, until);
	}
	if (c.ibdb) {
		rc = store_iter_end(c.ibdb);
		rc2 = store_iter_end(c.defedb);
	}
	/* Messages there were counted. */
	if (rc2 == -EUCLEAN)
		rc2 = 0;
	return rc ? rc : rc2 ? rc2 : more;
}

int qwalk_page(struct qwalk *w, unsigned messages, usec_t usec, qwalk_each *each, void *ctx)
{
	usec_t until = clock_now() + usec;

	w->wall_now = clock_steady();
	if (!w->begun)
		begin(w);
	return w->only_ids ? page_of_ids(w, messages, until, each, ctx)
			   : page_of_all(w, messages, until, each, ctx);
}

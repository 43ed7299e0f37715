#include "queue/sift.h"

#include "core/cdb_read.h"
#include "core/err.h"
#include "queue/aq.h"
#include "queue/marks.h"

#include <errno.h>
#include <stdlib.h>

static bool same(const struct cdb_ref *a, const struct cdb_ref *b)
{
	return a->seg == b->seg && a->gen == b->gen && a->off == b->off;
}

static bool is_named(struct store *store, uint64_t ta, const struct cdb_ref *ref)
{
	struct store_key key = store_key_ta(ta);
	struct cdb_ref named;
	struct span blob;
	char *value;
	size_t n;
	int rc = store_get(store, STORE_IBDB, store_key_span(&key), &value, &n);

	if (rc)
		return rc != -ENOENT;
	rc = store_ta_decode(span_of(value, n), &named, &blob);
	free(value);
	return rc || same(&named, ref);
}

static bool is_active(uint64_t id, const struct cdb_ref *ref)
{
	rcu_online();
	struct ta *ta = aq_find(id);
	bool yes = ta && same(&ta->ref, ref);
	rcu_offline();
	return yes;
}

/* AQ first: what leaves it is in the database before. */
static bool is_needed(struct sift *s, uint64_t ta, const struct cdb_ref *ref)
{
	if (s->marks && marks_has(s->marks, ref->off))
		return false;
	return is_active(ta, ref) || is_named(s->store, ta, ref);
}

static void add_run(struct sift *s, uint64_t to)
{
	struct cdb_run r = { s->at, to };
	uint64_t yield = to > s->at ? cdb_run_yield(r) : 0;

	if (!yield || s->run_count == CDB_RUNS_MAX)
		return;
	s->run[s->run_count++] = r;
	s->yield += yield;
}

static int look(void *ctx, const struct cdb_ref *ref, const struct cdb_head *h)
{
	struct sift *s = ctx;

	if (!is_needed(s, h->ta, ref)) {
		s->dead++;
		return 0;
	}
	add_run(s, ref->off);
	s->at = ref->off + ((ref->len + CDB_STEP - 1) & ~(uint64_t)(CDB_STEP - 1));
	if (s->live_count == s->live_cap) {
		s->live_cap = s->live_cap ? s->live_cap * 2 : 64;
		s->live = xrealloc(s->live, s->live_cap * sizeof *s->live);
	}
	s->live[s->live_count++] = (struct sift_record){ h->ta, *ref };
	return 0;
}

/* The first record says of which generation the segment is now. */
struct checked {
	struct sift *s;
	uint64_t gen;
};

static int look_checked(void *ctx, const struct cdb_ref *ref, const struct cdb_head *h)
{
	struct checked *c = ctx;

	return ref->gen == c->gen ? look(c->s, ref, h) : -ESTALE;
}

int sift(struct sift *s, struct store *store, const char *base, uint64_t seg, uint64_t gen,
	 uint64_t bytes, bool with_marks)
{
	struct checked c = { s, gen };
	struct marks_list marks = { NULL, 0 };
	uint64_t end;

	*s = (struct sift){ .store = store, .at = CDB_SEG_HEAD };
	s->run = xmalloc(CDB_RUNS_MAX * sizeof *s->run);
	if (with_marks && !marks_read(base, seg, gen, &marks))
		s->marks = &marks;
	int rc = cdb_scan(base, seg, CDB_SEG_HEAD, false, look_checked, &c, &end);
	if (!rc)
		add_run(s, bytes);
	s->marks = NULL;
	marks_list_free(&marks);
	return rc;
}

void sift_free(struct sift *s)
{
	free(s->live);
	free(s->run);
	*s = (struct sift){ .live = NULL };
}

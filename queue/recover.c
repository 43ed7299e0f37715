#include "queue/recover.h"

#include "core/cdb_read.h"
#include "core/err.h"
#include "core/log.h"
#include "core/syncdir.h"
#include "queue/census.h"
#include "queue/keeper.h"
#include "queue/marks.h"
#include "queue/park.h"
#include "queue/qclock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct work {
	struct qmgr *q;
	bool created;
	struct recovered *out;
	struct store_batch *batch;
	struct cdb_reader *reader;
	const char *base;
	struct marks_list marks; /* of the segment below */
	uint64_t marks_seg, marks_gen;
	unsigned lost_parked; /* without a head: they come at once */
};

static void seen(struct recovered *out, uint64_t id)
{
	if (id >> 8 > out->largest_counter)
		out->largest_counter = id >> 8;
}

static void keep(struct recovered *out, struct ta *ta)
{
	if (out->ta_count == out->ta_cap) {
		out->ta_cap = out->ta_cap ? out->ta_cap * 2 : 1024;
		out->ta = xrealloc(out->ta, out->ta_cap * sizeof *out->ta);
	}
	out->ta[out->ta_count++] = ta;
	out->transactions++;
}

static int use_content(struct work *w, const struct cdb_ref *ref)
{
	int error;

	if (!ref->seg)
		return 0;
	struct segment *g = segments_get(w->q->segments, ref->seg, ref->gen, &error);
	if (g)
		segment_use(w->q->segments, g, ref->len, 1);
	return error;
}

/* ---- the database */

/* Recipients without mark and without a record in defedb: they were in AQ. */
static unsigned active_of(struct ta *ta)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < ta->env.rcpt_count; i++)
		n += atomic_load(&ta->rcpt[i].state) == RCPT_ACTIVE;
	return n;
}

static void damaged(struct work *w, uint64_t id, const char *what, int error)
{
	w->out->damaged++;
	log_event(LOG_LV_ERROR, LOG_SEV_CRIT, "recover",
		  "ss_ta=S%016llX%02X, stat=set aside, what=%s, error=%s",
		  (unsigned long long)(id >> 8), (unsigned)(id & 255), what, strerror(-error));
}

static void load_one(struct work *w, uint64_t id, const struct cdb_ref *ref)
{
	int error = use_content(w, ref);

	seen(w->out, id);
	if (error) {
		damaged(w, id, "content", error);
		return;
	}
	struct ta *ta = keeper_load(w->q->store, id, &error);
	if (!ta) {
		damaged(w, id, "envelope", error);
		return;
	}
	unsigned n = active_of(ta);
	if (!n && atomic_load(&ta->open)) {
		w->out->deferred++;
		aq_ta_free(ta);
		return;
	}
	aq_take(n);
	atomic_store(&ta->active, n);
	w->out->recipients += n;
	aq_insert(ta);
	keep(w->out, ta);
}

static void count_deferred(struct work *w, struct span value)
{
	struct store_deferred d;

	if (store_deferred_decode(value, &d))
		return;
	census_deferred(!d.held, d.held);
	if (d.park && !d.held && !parks_load_rcpt(&d))
		w->lost_parked++;
}

/* True when every recipient of the value's envelope has a record in defedb: nothing needs to be
 * loaded. */
static bool all_deferred(struct work *w, struct span value, uint64_t id, struct store_iter *defedb)
{
	struct cdb_ref ref;
	struct span blob;
	struct envelope e;
	struct arena *a = arena_new();
	uint32_t found = 0, idx;
	uint64_t other;
	bool is_rcpt, all = false;
	struct store_key from = store_key_ta(id);

	if (a && !store_ta_decode(value, &ref, &blob) && !envelope_decode(blob, a, &e)) {
		census_came(e.wall_arrival);
		while (store_iter_valid(defedb) &&
		       store_key_parse(store_iter_key(defedb), &other, &idx, &is_rcpt) &&
		       other < id)
			store_iter_next(defedb);
		if (store_iter_valid(defedb) &&
		    store_key_parse(store_iter_key(defedb), &other, &idx, &is_rcpt) && other < id)
			store_iter_seek(defedb, store_key_span(&from));
		while (store_iter_valid(defedb) &&
		       store_key_parse(store_iter_key(defedb), &other, &idx, &is_rcpt) &&
		       other == id) {
			found++;
			count_deferred(w, store_iter_value(defedb));
			store_iter_next(defedb);
		}
		all = found == e.rcpt_count;
	}
	arena_free(a);
	return all;
}

static int load_database(struct work *w)
{
	struct store_iter *it = store_iter_new(w->q->store, STORE_IBDB, SPAN(""));
	struct store_iter *defedb = store_iter_new(w->q->store, STORE_DEFEDB, SPAN(""));
	uint64_t id;
	uint32_t idx;
	bool is_rcpt;

	for (; store_iter_valid(it); store_iter_next(it)) {
		struct cdb_ref ref;
		struct span blob, value = store_iter_value(it);

		if (!store_key_parse(store_iter_key(it), &id, &idx, &is_rcpt) || is_rcpt)
			continue;
		if (store_ta_decode(value, &ref, &blob)) {
			damaged(w, id, "record", -EUCLEAN);
			continue;
		}
		if (all_deferred(w, value, id, defedb)) {
			int error = use_content(w, &ref);

			seen(w->out, id);
			if (error)
				damaged(w, id, "content", error);
			w->out->deferred++;
			continue;
		}
		load_one(w, id, &ref);
	}
	int rc = store_iter_end(it), rc2 = store_iter_end(defedb);
	return rc ? rc : rc2;
}

/* ---- the content database */

static bool in_database(struct work *w, uint64_t id)
{
	struct store_key key = store_key_ta(id);
	char *v;
	size_t n;

	if (store_get(w->q->store, STORE_IBDB, store_key_span(&key), &v, &n))
		return false;
	free(v);
	return true;
}

/* The database is younger than this record, which was finished before it was lost. */
static bool is_marked(struct work *w, const struct cdb_ref *ref)
{
	if (!ref->seg)
		return false;
	if (w->marks_seg != ref->seg || w->marks_gen != ref->gen) {
		marks_list_free(&w->marks);
		marks_read(w->base, ref->seg, ref->gen, &w->marks);
		w->marks_seg = ref->seg;
		w->marks_gen = ref->gen;
	}
	return marks_has(&w->marks, ref->off);
}

/* A record that the database does not know: accepted in the last moments before the end. */
static int replay_record(void *ctx, const struct cdb_ref *ref, const struct cdb_head *h)
{
	struct work *w = ctx;
	struct cdb_record rec;
	int error;

	seen(w->out, h->ta);
	if (aq_find(h->ta) || in_database(w, h->ta) || is_marked(w, ref))
		return 0;
	/* A copy that the database did not come to name: the first one counted, and is finished. */
	if (h->flags & CDB_MOVED && !w->created)
		return 0;
	error = cdb_open_record(w->reader, ref, h->ta, &rec);
	if (error) {
		damaged(w, h->ta, "content", error);
		return 0;
	}
	char *blob = xmalloc(h->envelope_bytes + 1);
	error = cdb_read_envelope(&rec, blob);
	cdb_close_record(w->reader, &rec);
	struct ta *ta = error ? NULL : aq_ta_new(span_of(blob, h->envelope_bytes), ref, &error);
	free(blob);
	if (ta && ta->id != h->ta) {
		aq_ta_free(ta);
		ta = NULL;
		error = -EBADMSG;
	}
	if (!ta) {
		damaged(w, h->ta, "envelope", error);
		return 0;
	}
	use_content(w, ref);
	aq_ta_set_arrival(ta, qclock_arrival(ta->env.wall_arrival, true));
	census_came(ta->env.wall_arrival);
	/* Into the database before anything is done with it: it is accounted for from now on. */
	struct store_key key = store_key_ta(ta->id);
	char *value = xmalloc(STORE_TA_HEAD + ta->blob.n);
	store_ta_head_encode(ref, value);
	memcpy(value + STORE_TA_HEAD, ta->blob.p, ta->blob.n);
	store_put(w->q->store, w->batch, STORE_IBDB, store_key_span(&key),
		  span_of(value, STORE_TA_HEAD + ta->blob.n));
	free(value);
	ta->c.in_db = true;
	aq_take(ta->env.rcpt_count);
	atomic_store(&ta->active, ta->env.rcpt_count);
	w->out->recipients += ta->env.rcpt_count;
	w->out->replayed++;
	aq_insert(ta);
	keep(w->out, ta);
	return 0;
}

static bool is_finished_file(struct work *w, uint64_t ta)
{
	struct store_key key = store_key_file(ta);
	char *v;
	size_t n;

	if (store_get(w->q->store, STORE_META, store_key_span(&key), &v, &n))
		return false;
	free(v);
	return true;
}

/* A living writer may have ended it just now, and its commit be on the way: it would be acknowledged
 * without another sync. The folder is synced later. */
static bool sync_content(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	bool ok = fd >= 0 && !fsync(fd);

	if (fd >= 0)
		close(fd);
	return ok;
}

static void replay_file(struct work *w, uint64_t id)
{
	struct cdb_ref ref;
	struct cdb_head h;
	char path[CDB_PATH_MAX];

	seen(w->out, id);
	if (aq_find(id) || in_database(w, id))
		return;
	if (is_finished_file(w, id)) {
		cdb_file_path(w->base, id, path);
		unlink(path);
		return;
	}
	/* Not whole: nobody got a 250 for it. A living smtps may be writing it. */
	cdb_file_path(w->base, id, path);
	if (!cdb_check_file(w->base, id, &ref, &h) && sync_content(path))
		replay_record(w, &ref, &h);
}

static int replay_one(void *ctx, uint64_t seg, uint64_t ta)
{
	struct work *w = ctx;
	bool alive;
	int rc;

	if (!seg) {
		replay_file(w, ta);
		return 0;
	}
	struct segment *g = segments_adopt(w->q->segments, seg);
	rc = segment_replay(w->q->segments, g, replay_record, w, &alive);
	if (rc)
		log_event(LOG_LV_ERROR, LOG_SEV_CRIT, "recover",
			  "seg=%016llX, stat=set aside, error=%s", (unsigned long long)seg,
			  strerror(-rc));
	return 0;
}

/* The folders' entries must be on disk before rows about files that are gone are dropped. */
static int sync_folders(const char *base, char *why, size_t cap)
{
	char path[CDB_PATH_MAX];

	for (unsigned i = 0; i < 16; i++) {
		cdb_dir_path(base, i, path);
		int rc = syncdir(path);

		if (rc && rc != -ENOENT) {
			snprintf(why, cap, "%s: cannot sync it: %s", path, strerror(-rc));
			return rc;
		}
	}
	return 0;
}

static void drop_file_rows(struct work *w)
{
	struct store_key from = store_key_file(0);
	struct store_iter *it = store_iter_new(w->q->store, STORE_META, store_key_span(&from));

	for (; store_iter_valid(it); store_iter_next(it)) {
		struct span key = store_iter_key(it);

		if (key.n != 10 || !span_startswith(key, span_head(store_key_span(&from), 2)))
			break;
		store_delete(w->q->store, w->batch, STORE_META, key);
	}
	store_iter_end(it);
}

/* A head without rows. */
static void drop_empty(struct park *p, void *ctx)
{
	struct work *w = ctx;
	struct store_key key = store_key_park(p->id);

	if (atomic_load(&p->rows))
		return;
	store_delete(w->q->store, w->batch, STORE_META, store_key_span(&key));
	atomic_store(&p->has_head, false);
}

int recover(struct qmgr *q, bool created, struct recovered *out, char *why, size_t cap)
{
	struct work w = {
		.q = q, .created = created, .out = out, .base = q->global.cdb_base_directory
	};
	int rc;

	memset(out, 0, sizeof *out);
	q->segments = segments_new(w.base);
	rc = segments_load(q->segments, q->store);
	if (rc) {
		snprintf(why, cap, "database: %s", store_error());
		return rc;
	}
	w.batch = store_batch_new();
	w.reader = cdb_reader_new(w.base, 8);
	rc = parks_load(q->store);
	if (!rc)
		rc = load_database(&w);
	if (rc)
		snprintf(why, cap, "database: %s", store_error());
	if (w.lost_parked)
		log_event(LOG_LV_ERROR, LOG_SEV_ERR, "recover",
			  "stat=parked under nothing and brought back, recipients=%u",
			  w.lost_parked);
	if (!rc)
		rc = cdb_list(w.base, replay_one, &w);
	if (!rc)
		rc = sync_folders(w.base, why, cap);
	if (!rc) {
		drop_file_rows(&w);
		parks_each(drop_empty, &w);
		segments_forget_absent(q->segments, q->store, w.batch);
		segments_write(q->segments, q->store, w.batch);
		qclock_put(q->store, w.batch);
		rc = store_write(q->store, w.batch);
		if (rc)
			snprintf(why, cap, "database: %s", store_error());
	}
	marks_list_free(&w.marks);
	cdb_reader_free(w.reader);
	store_batch_free(w.batch);
	return rc;
}

#include "queue/tail.h"

#include "core/cdb_read.h"
#include "core/err.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct walk {
	struct store *store;
	const char *base;
	struct segments *segments;
	struct cdb_reader *reader;
	struct segment *segment; /* the one being walked; NULL: the database never heard of it */
	int (*each)(void *ctx, struct ta *own);
	void *ctx;
};

static bool in_family(struct walk *w, enum store_family f, struct store_key key)
{
	char *v;
	size_t n;

	if (store_get(w->store, f, store_key_span(&key), &v, &n))
		return false;
	free(v);
	return true;
}

struct ta *tail_ta(struct cdb_reader *r, const struct cdb_ref *ref, uint64_t id, int *error)
{
	struct cdb_record rec;
	struct ta *ta = NULL;

	*error = cdb_open_record(r, ref, id, &rec);
	if (*error)
		return NULL;
	char *blob = xmalloc(rec.head.envelope_bytes + 1);
	*error = cdb_read_envelope(&rec, blob);
	if (!*error)
		ta = aq_ta_new(span_of(blob, rec.head.envelope_bytes), ref, error);
	if (ta && ta->id != id) {
		aq_ta_free(ta);
		ta = NULL;
		*error = -EBADMSG;
	}
	cdb_close_record(r, &rec);
	free(blob);
	return ta;
}

/* One that cannot be read is reported by the start of qmgr, not here. */
static int record(void *ctx, const struct cdb_ref *ref, const struct cdb_head *h)
{
	struct walk *w = ctx;
	int error;

	if (w->segment && segment_knows(w->segment, ref->gen, ref->off))
		return 0;
	if (in_family(w, STORE_IBDB, store_key_ta(h->ta)))
		return 0;
	/* A copy that is not named yet. */
	if (h->flags & CDB_MOVED)
		return 0;
	struct ta *ta = tail_ta(w->reader, ref, h->ta, &error);
	return ta ? w->each(w->ctx, ta) : 0;
}

static uint64_t generation(const char *base, uint64_t seg)
{
	char path[CDB_PATH_MAX], head[CDB_SEG_HEAD];
	uint64_t its, gen = 0, bytes;

	cdb_seg_path(base, seg, path);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	if (pread(fd, head, sizeof head, 0) != (ssize_t)sizeof head ||
	    cdb_seg_head_decode(head, &its, &gen, &bytes))
		gen = 0;
	close(fd);
	return gen;
}

static int one(void *ctx, uint64_t seg, uint64_t ta)
{
	struct walk *w = ctx;
	struct cdb_ref ref;
	struct cdb_head h;
	uint64_t end;

	w->segment = seg ? segments_find(w->segments, seg) : NULL;
	if (seg) {
		uint64_t from = w->segment ? segment_front(w->segment, generation(w->base, seg))
					   : CDB_SEG_HEAD;
		int rc = cdb_scan(w->base, seg, from, true, record, w, &end);

		/* Gone meanwhile, or damaged: the next start says so. */
		return rc > 0 ? rc : 0;
	}
	if (in_family(w, STORE_META, store_key_file(ta)) || cdb_check_file(w->base, ta, &ref, &h))
		return 0;
	return record(w, &ref, &h);
}

int tail_walk(struct store *s, const char *base, int (*each)(void *ctx, struct ta *own), void *ctx)
{
	struct walk w = { .store = s, .base = base, .each = each, .ctx = ctx };
	int rc;

	w.segments = segments_new(base);
	w.reader = cdb_reader_new(base, 4);
	rc = segments_load(w.segments, s);
	if (!rc)
		rc = cdb_list(base, one, &w);
	cdb_reader_free(w.reader);
	segments_free(w.segments);
	return rc;
}

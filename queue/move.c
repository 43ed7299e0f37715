#include "queue/move.h"

#include "core/cdb_read.h"
#include "core/cdb_write.h"
#include "core/crc32c.h"
#include "core/err.h"
#include "core/log.h"
#include "queue/keeper.h"
#include "queue/turn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { BATCH_RECORDS = 256, BATCH_BYTES = 4 << 20, READY_TRIES = 40, READY_USEC = 50000 };

struct copy {
	uint64_t id;
	struct cdb_ref old, fresh;
	struct ta *ta; /* claimed; NULL: the copy is not needed */
};

struct batch {
	struct turn turn;
	struct qmgr *q;
	unsigned count, moved;
	uint64_t bytes, moved_bytes;
	struct copy copy[BATCH_RECORDS];
};

struct mover {
	struct qmgr *q;
	const char *base;
	struct cdb_reader *reader;
	const atomic_bool *stop;
	struct move_result *out;
};

/* ---- copying */

/* Content and envelope into `own`, which the caller frees. 0 or -errno: -EBADMSG it is damaged. */
static int read_record(struct mover *m, const struct sift_record *r, struct cdb_head *head,
		       char **own)
{
	struct cdb_record rec;
	int rc = cdb_open_record(m->reader, &r->ref, r->ta, &rec);

	*own = NULL;
	if (rc)
		return rc;
	*head = rec.head;
	*own = malloc(rec.head.content_bytes + rec.head.envelope_bytes + 1);
	ssize_t n = *own ? cdb_read(&rec, 0, *own, rec.head.content_bytes) : -ENOMEM;
	if (n < 0)
		rc = (int)n;
	else if ((uint64_t)n != head->content_bytes ||
		 crc32c(0, *own, head->content_bytes) != head->content_crc)
		rc = -EBADMSG;
	else
		rc = cdb_read_envelope(&rec, *own + head->content_bytes);
	cdb_close_record(m->reader, &rec);
	return rc;
}

/* A next segment is made ready by the writer's helper: that takes a moment. */
static int append(struct mover *m, struct cdb_head *h, const char *bytes, struct cdb_ref *ref)
{
	struct iovec part = { (void *)bytes, h->content_bytes };
	struct span envelope = span_of(bytes + h->content_bytes, h->envelope_bytes);
	struct timespec moment = { 0, READY_USEC * 1000 };
	int rc;

	h->flags |= CDB_MOVED;
	for (int tries = 0;; tries++) {
		rc = cdb_append(m->q->writer, h, &part, 1, envelope, ref);
		if (rc != -EAGAIN || tries == READY_TRIES || atomic_load(m->stop))
			return rc;
		nanosleep(&moment, NULL);
	}
}

static int copy_one(struct mover *m, const struct sift_record *r, struct copy *out)
{
	struct cdb_head head;
	char *bytes;
	int rc = read_record(m, r, &head, &bytes);

	*out = (struct copy){ .id = r->ta, .old = r->ref };
	if (!rc)
		rc = append(m, &head, bytes, &out->fresh);
	free(bytes);
	return rc;
}

/* The committer's own descriptor reports what ours may have missed: it is asked later. */
static int sync_segment(struct mover *m, uint64_t seg)
{
	char path[CDB_PATH_MAX];
	int rc = 0;

	cdb_seg_path(m->base, seg, path);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fdatasync(fd))
		rc = -errno;
	close(fd);
	return rc;
}

static int sync_copies(struct mover *m, const struct batch *b)
{
	uint64_t last = 0;
	int rc = 0;

	for (unsigned i = 0; i < b->count && !rc; i++) {
		if (b->copy[i].fresh.seg != last)
			rc = sync_segment(m, b->copy[i].fresh.seg);
		last = b->copy[i].fresh.seg;
	}
	return rc;
}

/* ---- taking it out of everybody's reach */

/* In AQ as one that is being unloaded: nobody makes its recipients active, nobody else loads it. Then
 * its row cannot change any more, so it is looked at again. */
static struct ta *claim(struct mover *m, const struct copy *c)
{
	int error;
	struct ta *ta = aq_find(c->id) ? NULL : keeper_load(m->q->store, c->id, &error);

	if (!ta)
		return NULL;
	atomic_store(&ta->active, AQ_DYING);
	if (!aq_insert(ta)) {
		aq_ta_free(ta);
		return NULL;
	}
	struct store_key key = store_key_ta(c->id);
	struct cdb_ref named;
	struct span blob;
	char *value = NULL;
	size_t n;
	if (!store_get(m->q->store, STORE_IBDB, store_key_span(&key), &value, &n) &&
	    !store_ta_decode(span_of(value, n), &named, &blob) && named.seg == c->old.seg &&
	    named.gen == c->old.gen && named.off == c->old.off && span_eq(blob, ta->blob)) {
		free(value);
		return ta;
	}
	free(value);
	aq_remove(ta);
	return NULL;
}

/* ---- in the committer */

static void put_row(struct committer *c, const struct copy *k)
{
	struct store_key key = store_key_ta(k->id);
	size_t n = STORE_TA_HEAD + k->ta->blob.n;
	char *value = xmalloc(n);

	store_ta_head_encode(&k->fresh, value);
	store_ta_set_again(value);
	memcpy(value + STORE_TA_HEAD, k->ta->blob.p, k->ta->blob.n);
	store_put(committer_store(c), committer_batch(c), STORE_IBDB, store_key_span(&key),
		  span_of(value, n));
	free(value);
}

/* Whether it is needed or not, it is accounted for: a replay must not look at it. */
static bool account(struct segments *t, const struct copy *k)
{
	int error;
	struct segment *g = segments_get(t, k->fresh.seg, k->fresh.gen, &error);

	if (!g || segment_bad(g) || segment_orphaned(g) ||
	    !segment_account(g, k->fresh.off, k->fresh.len))
		return false;
	segments_changed(t, g);
	if (k->ta)
		segment_use(t, g, k->fresh.len, 1);
	return true;
}

static void put_batch(struct turn *turn)
{
	struct batch *b = caa_container_of(turn, struct batch, turn);
	struct committer *c = turn->call.committer;

	for (unsigned i = 0; i < b->count; i++) {
		struct copy *k = &b->copy[i];

		if (account(committer_segments(c), k) && k->ta) {
			put_row(c, k);
		} else if (k->ta) {
			aq_remove(k->ta);
			k->ta = NULL;
		}
	}
}

static void finish_batch(struct turn *turn)
{
	struct batch *b = caa_container_of(turn, struct batch, turn);
	struct segments *t = committer_segments(turn->call.committer);

	keeper_moved();
	for (unsigned i = 0; i < b->count; i++) {
		struct copy *k = &b->copy[i];
		struct segment *g = k->ta ? segments_find(t, k->old.seg) : NULL;

		if (g) {
			segment_finished(t, g, &k->old);
			segment_use(t, g, k->old.len, -1);
		}
		if (!k->ta)
			continue;
		b->moved++;
		b->moved_bytes += k->old.len;
		aq_remove(k->ta);
		k->ta = NULL;
	}
}

static void end_batch(struct turn *own)
{
	free(caa_container_of(own, struct batch, turn));
}

/* ---- one batch */

static void kill_copies(struct mover *m, const struct batch *b)
{
	for (unsigned i = 0; i < b->count; i++)
		if (!b->copy[i].ta)
			cdb_kill(m->q->writer, &b->copy[i].fresh, b->copy[i].id);
}

/* Returns how many records it took, moved or not. */
static unsigned fill_batch(struct mover *m, struct batch *b, const struct sift_record *rec,
			   unsigned count)
{
	unsigned i = 0;

	while (i < count && b->count < BATCH_RECORDS && b->bytes < BATCH_BYTES &&
	       !atomic_load(m->stop)) {
		const struct sift_record *r = &rec[i++];

		rcu_online();
		bool active = aq_find(r->ta) != NULL;
		rcu_offline();
		int rc = active ? -EBUSY : copy_one(m, r, &b->copy[b->count]);
		if (rc) {
			m->out->left++;
			if (!active)
				m->out->error = rc;
			if (rc == -ENOSPC || rc == -EIO)
				break;
			continue;
		}
		b->bytes += r->ref.len;
		b->count++;
	}
	return i;
}

/* False: stopped. */
static bool commit_batch(struct mover *m, struct batch *own)
{
	unsigned count = own->count;
	int rc = sync_copies(m, own);

	for (unsigned i = 0; i < count && !rc; i++) {
		rcu_online();
		own->copy[i].ta = claim(m, &own->copy[i]);
		rcu_offline();
	}
	kill_copies(m, own);
	if (rc) {
		m->out->error = rc;
		m->out->left += count;
		free(own);
		return true;
	}
	own->turn.run = put_batch;
	own->turn.synced = finish_batch;
	own->turn.end = end_batch;
	if (!turn_take(m->q->committer, &own->turn, m->stop))
		return false;
	m->out->moved += own->moved;
	m->out->bytes += own->moved_bytes;
	m->out->left += count - own->moved;
	free(own);
	return true;
}

bool move_records(struct qmgr *q, const struct sift_record *rec, unsigned count,
		  const atomic_bool *stop, struct move_result *out)
{
	struct mover m = { q, q->global.cdb_base_directory, NULL, stop, out };
	bool go_on = true;

	*out = (struct move_result){ .moved = 0 };
	m.reader = cdb_reader_new(m.base, 2);
	for (unsigned at = 0; at < count && go_on;) {
		struct batch *b = xcalloc(1, sizeof *b);

		b->q = q;
		at += fill_batch(&m, b, rec + at, count - at);
		go_on = !atomic_load(stop);
		if (b->count && go_on)
			go_on = commit_batch(&m, b);
		else
			free(b);
		if (out->error == -ENOSPC || out->error == -EIO) {
			out->left += count - at;
			break;
		}
	}
	cdb_reader_free(m.reader);
	return go_on;
}

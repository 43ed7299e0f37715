#include "queue/segments.h"

#include "core/cdb_read.h"
#include "core/err.h"
#include "core/log.h"
#include "core/wire.h"
#include "queue/marks.h"
#include "queue/qmgr_stats.h"
#include "queue/segment.h"
#include "queue/sparse.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FORMAT = 1, HOLE_USEC = 60 * USEC_PER_SEC, LOST_USEC = 30 * USEC_PER_SEC };

enum { SPARES_MAX = 1024, SEGMENT_MAX = 1 << 30 };

struct segments *segments_new(const char *base)
{
	struct segments *t = xcalloc(1, sizeof *t);

	t->base = base;
	return t;
}

static void segment_free(struct segment *g)
{
	if (g->fd >= 0)
		close(g->fd);
	marks_free(g->marks);
	free(g->range);
	free(g);
}

void segments_free(struct segments *t)
{
	for (unsigned i = 0; i < SEGMENTS_BUCKETS; i++) {
		struct segment *next;

		for (struct segment *g = t->bucket[i]; g; g = next) {
			next = g->next;
			segment_free(g);
		}
	}
	free(t->spare);
	free(t);
}

static struct segment **bucket(struct segments *t, uint64_t seg)
{
	return &t->bucket[hash_mix(0, seg) % SEGMENTS_BUCKETS];
}

struct segment *segments_find(struct segments *t, uint64_t seg)
{
	struct segment *g = *bucket(t, seg);

	while (g && g->seg != seg)
		g = g->next;
	return g;
}

static struct segment *add(struct segments *t, uint64_t seg)
{
	struct segment *g = xcalloc(1, sizeof *g);
	struct segment **b = bucket(t, seg);

	g->seg = seg;
	g->fd = -1;
	g->next = *b;
	g->tried_live = UINT64_MAX;
	*b = g;
	atomic_fetch_add(&t->count, 1);
	return g;
}

static void unhook(struct segment **at, struct segment *g, size_t link_off)
{
	while (*at && *at != g)
		at = (struct segment **)((char *)*at + link_off);
	if (*at)
		*at = *(struct segment **)((char *)g + link_off);
}

static void drop(struct segments *t, struct segment *g)
{
	unhook(bucket(t, g->seg), g, offsetof(struct segment, next));
	if (g->dirty)
		unhook(&t->dirty, g, offsetof(struct segment, dirty_next));
	if (g->changed)
		unhook(&t->changed, g, offsetof(struct segment, changed_next));
	if (g->marked)
		unhook(&t->marked, g, offsetof(struct segment, marked_next));
	if (g->idle)
		unhook(&t->idle, g, offsetof(struct segment, idle_next));
	sparse_drop(t, g);
	atomic_fetch_sub(&t->count, 1);
	atomic_fetch_sub(&t->alloc_bytes, g->alloc);
	atomic_fetch_sub(&t->live_bytes, g->live_bytes);
	segment_free(g);
}

void segments_changed(struct segments *t, struct segment *g)
{
	if (!g->changed) {
		g->changed = true;
		g->changed_next = t->changed;
		t->changed = g;
	}
}

void segments_look(struct segments *t, struct segment *g)
{
	if (!g->idle) {
		g->idle = true;
		g->idle_next = t->idle;
		t->idle = g;
	}
}

static int open_segment(struct segments *t, struct segment *g, uint64_t *gen)
{
	char path[CDB_PATH_MAX], head[CDB_SEG_HEAD];
	uint64_t seg;

	cdb_seg_path(t->base, g->seg, path);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ssize_t n = pread(fd, head, sizeof head, 0);
	int rc = n == (ssize_t)sizeof head ? cdb_seg_head_decode(head, &seg, gen, &g->bytes)
					   : -EBADMSG;
	if (!rc && seg != g->seg)
		rc = -EBADMSG;
	if (rc) {
		close(fd);
		return rc;
	}
	if (g->fd >= 0)
		close(g->fd);
	g->fd = fd;
	segment_measure(t, g);
	return 0;
}

void segment_measure(struct segments *t, struct segment *g)
{
	struct stat st;
	uint64_t alloc = g->fd < 0 || fstat(g->fd, &st) ? g->alloc : (uint64_t)st.st_blocks * 512;

	atomic_fetch_add(&t->alloc_bytes, alloc - g->alloc);
	g->alloc = alloc;
}

/* A new use of the file: nothing of the former one counts. */
static void reset(struct segment *g, uint64_t gen)
{
	g->gen = gen;
	g->range_count = 0;
	g->sealed = g->orphaned = false;
	g->end = 0;
	g->bad = 0;
	g->look_at = 0;
	g->tried_live = UINT64_MAX;
	g->failures = 0;
	g->held = false;
}

struct segment *segments_get(struct segments *t, uint64_t seg, uint64_t gen, int *error)
{
	struct segment *g = segments_find(t, seg);
	uint64_t disk_gen;

	*error = 0;
	if (g && g->fd >= 0 && g->gen == gen)
		return g;
	if (!g)
		g = add(t, seg);
	*error = open_segment(t, g, &disk_gen);
	if (!*error && disk_gen != gen)
		*error = -ESTALE;
	if (!*error && g->gen != gen && g->live)
		*error = -ESTALE;
	if (*error) {
		if (!g->live && !g->range_count)
			drop(t, g);
		return NULL;
	}
	if (g->gen != gen)
		reset(g, gen);
	return g;
}

static void insert_range(struct segment *g, unsigned at, struct range r)
{
	if (g->range_count == g->range_cap) {
		g->range_cap = g->range_cap ? g->range_cap * 2 : 4;
		g->range = xrealloc(g->range, g->range_cap * sizeof *g->range);
	}
	memmove(g->range + at + 1, g->range + at, (g->range_count - at) * sizeof *g->range);
	g->range[at] = r;
	g->range_count++;
}

/* First range that ends at or behind x. Mostly the last one: look from the back. */
static unsigned range_at(const struct segment *g, uint64_t x)
{
	unsigned i = g->range_count;

	while (i > 0 && g->range[i - 1].to >= x)
		i--;
	return i;
}

bool segment_has(const struct segment *g, uint64_t off)
{
	unsigned i = range_at(g, off + 1);

	return i < g->range_count && g->range[i].from <= off;
}

/* Merges r with what it touches. */
static void add_range(struct segment *g, struct range r)
{
	unsigned i = range_at(g, r.from), last = i;

	while (last < g->range_count && g->range[last].from <= r.to) {
		if (g->range[last].from < r.from)
			r.from = g->range[last].from;
		if (g->range[last].to > r.to)
			r.to = g->range[last].to;
		last++;
	}
	if (last == i) {
		insert_range(g, i, r);
		return;
	}
	g->range[i] = r;
	memmove(g->range + i + 1, g->range + last, (g->range_count - last) * sizeof *g->range);
	g->range_count -= last - i - 1;
}

static uint64_t on_steps(uint64_t len)
{
	return (len + CDB_STEP - 1) & ~(uint64_t)(CDB_STEP - 1);
}

bool segment_account(struct segment *g, uint64_t off, uint64_t len)
{
	if (segment_has(g, off))
		return false;
	add_range(g, (struct range){ off, off + on_steps(len) });
	return true;
}

static void account_all(struct segments *t, struct segment *g)
{
	add_range(g, (struct range){ CDB_SEG_HEAD, g->bytes });
	segments_changed(t, g);
}

bool segment_covered(const struct segment *g)
{
	return g->end <= CDB_SEG_HEAD || (g->range_count == 1 && g->range[0].from <= CDB_SEG_HEAD &&
					  g->range[0].to >= g->end);
}

void segment_use(struct segments *t, struct segment *g, uint64_t len, int by)
{
	uint64_t bytes = by < 0 ? -on_steps(len) : on_steps(len);

	if (by < 0 && !g->live)
		panic("segment %llx is used less than never", (unsigned long long)g->seg);
	g->live = (unsigned)((int)g->live + by);
	g->live_bytes += bytes;
	atomic_fetch_add(&t->live_bytes, bytes);
	if (!g->live)
		segments_look(t, g);
	else if (by < 0 && sparse_check(t, g))
		t->has_sparse = true;
}

void segment_dirty(struct segments *t, struct segment *g)
{
	if (!g->dirty) {
		g->dirty = true;
		g->dirty_next = t->dirty;
		t->dirty = g;
	}
	segments_changed(t, g);
}

/* 0 or -errno. A file that somebody has removed takes writes and syncs as before, and is gone with the
 * last process that has it open. */
static int sync_file(int fd)
{
	struct stat st;

	if (fdatasync(fd) || fstat(fd, &st))
		return -errno;
	return st.st_nlink ? 0 : -ENOENT;
}

unsigned segments_sync(struct segments *t,
		       void (*failed)(void *ctx, uint64_t seg, uint64_t gen, uint64_t instance),
		       void *ctx)
{
	unsigned n = 0;

	while (t->dirty) {
		struct segment *g = t->dirty;

		t->dirty = g->dirty_next;
		g->dirty = false;
		if (g->bad)
			continue;
		n++;
		/* Never twice on the same file after a failure: the second call would succeed and
		 * lie. */
		int rc = sync_file(g->fd);
		if (rc) {
			g->bad = rc;
			log_event(LOG_LV_ERROR, LOG_SEV_CRIT, "segments_sync",
				  "seg=%016llX, error=%s", (unsigned long long)g->seg,
				  strerror(-g->bad));
			if (failed)
				failed(ctx, g->seg, g->gen, g->instance);
		}
	}
	return n;
}

int segment_bad(const struct segment *g)
{
	return g->bad;
}

void segment_owner(struct segment *g, uint64_t instance)
{
	g->instance = instance;
	g->lost = false;
}

static void begin_sparse(struct segments *t, struct segment *g)
{
	sparse_begin(t, g);
	t->has_sparse |= g->sparse;
}

bool segments_sparse(struct segments *t)
{
	bool has = t->has_sparse;

	t->has_sparse = false;
	return has;
}

struct segments_totals segments_totals(const struct segments *t)
{
	return (struct segments_totals){ atomic_load(&t->count), atomic_load(&t->alloc_bytes),
					 atomic_load(&t->live_bytes) };
}

void segment_seal(struct segments *t, struct segment *g, uint64_t end)
{
	g->sealed = true;
	g->end = end;
	segments_look(t, g);
	begin_sparse(t, g);
}

bool segment_orphaned(const struct segment *g)
{
	return g->orphaned;
}

/* Its process has the lock until it seals or ends: only then nothing can come any more. What it
 * sealed may still be committed when only the link broke. */
static void try_orphan(struct segments *t, struct segment *g)
{
	bool held = g->fd >= 0 && flock(g->fd, LOCK_SH | LOCK_NB) != 0;

	if (g->fd >= 0 && !held)
		flock(g->fd, LOCK_UN);
	if (held || (g->sealed && clock_now() - g->lost_at < LOST_USEC)) {
		segments_look(t, g);
		return;
	}
	g->lost = false;
	g->instance = 0;
	g->sealed = g->orphaned = true;
	g->end = g->bytes;
	account_all(t, g);
	segments_look(t, g);
	begin_sparse(t, g);
}

/* What a writer had for later use. */
static void take_back(struct segments *t, uint64_t seg)
{
	struct segment *g = segments_find(t, seg);
	uint64_t gen;

	if (g)
		return;
	g = add(t, seg);
	if (open_segment(t, g, &gen)) {
		drop(t, g);
		return;
	}
	reset(g, gen);
	g->lost = true;
	g->lost_at = clock_now();
	try_orphan(t, g);
}

void segments_orphan(struct segments *t, uint64_t instance)
{
	for (unsigned i = 0; i < SEGMENTS_BUCKETS; i++)
		for (struct segment *g = t->bucket[i]; g; g = g->next)
			if (g->instance == instance) {
				g->lost = true;
				g->lost_at = clock_now();
				try_orphan(t, g);
			}
	for (unsigned i = t->spare_count; i-- > 0;)
		if (t->spare[i].instance == instance) {
			uint64_t seg = t->spare[i].seg;

			t->spare[i] = t->spare[--t->spare_count];
			take_back(t, seg);
		}
}

void segments_spare(struct segments *t, uint64_t seg, uint64_t bytes, uint64_t instance)
{
	segments_unspare(t, seg);
	/* No writer keeps as many, or such. */
	if (t->spare_count == SPARES_MAX || bytes > SEGMENT_MAX)
		return;
	if (t->spare_count == t->spare_cap) {
		t->spare_cap = t->spare_cap ? t->spare_cap * 2 : 16;
		t->spare = xrealloc(t->spare, t->spare_cap * sizeof *t->spare);
	}
	t->spare[t->spare_count++] = (struct spare_segment){ seg, bytes, instance };
}

void segments_unspare(struct segments *t, uint64_t seg)
{
	for (unsigned i = 0; i < t->spare_count; i++)
		if (t->spare[i].seg == seg) {
			t->spare[i] = t->spare[--t->spare_count];
			return;
		}
}

/* Behind the last record that was accounted for; what is written and not committed yet is little. */
static uint64_t room_of(const struct segment *g)
{
	uint64_t used = g->range_count ? g->range[g->range_count - 1].to : CDB_SEG_HEAD;

	return !g->sealed && !g->bad && !g->lost && g->fd >= 0 && g->bytes > used ? g->bytes - used
										  : 0;
}

void segments_room(struct segments *t, uint64_t room[static 16])
{
	memset(room, 0, 16 * sizeof *room);
	for (unsigned i = 0; i < t->spare_count; i++)
		room[t->spare[i].seg & 15] += t->spare[i].bytes;
	for (unsigned i = 0; i < SEGMENTS_BUCKETS; i++)
		for (struct segment *g = t->bucket[i]; g; g = g->next)
			room[g->seg & 15] += room_of(g);
}

void segments_write(struct segments *t, struct store *s, struct store_batch *b)
{
	while (t->changed) {
		struct segment *g = t->changed;
		char small[1024];
		size_t cap = 16 + (size_t)g->range_count * 16;
		char *to = cap <= sizeof small ? small : xmalloc(cap);
		struct wire_w w = wire_writer(to, cap);
		struct store_key key = store_key_segment(g->seg);

		t->changed = g->changed_next;
		g->changed = false;
		wire_put_u8(&w, FORMAT);
		wire_put_u64(&w, g->gen);
		wire_put_u32(&w, g->range_count);
		for (unsigned i = 0; i < g->range_count; i++) {
			wire_put_u64(&w, g->range[i].from);
			wire_put_u64(&w, g->range[i].to);
		}
		store_put(s, b, STORE_META, store_key_span(&key), span_of(to, w.n));
		if (to != small)
			free(to);
		segments_look(t, g);
	}
}

/* A writer that we have lost sight of may be about to use it again: nobody removes it without its
 * lock. False: somebody has that. */
static bool lock_to_remove(struct segment *g, bool *ours)
{
	char head[CDB_SEG_HEAD];
	uint64_t seg, gen = 0, bytes;

	*ours = true;
	if (g->fd < 0)
		return true;
	if (flock(g->fd, LOCK_EX | LOCK_NB))
		return false;
	if (pread(g->fd, head, sizeof head, 0) == (ssize_t)sizeof head &&
	    !cdb_seg_head_decode(head, &seg, &gen, &bytes))
		*ours = gen == g->gen;
	return true;
}

static void remove_file(struct segments *t, struct segment *g)
{
	char path[CDB_PATH_MAX];

	cdb_seg_path(t->base, g->seg, path);
	if (unlink(path) && errno != ENOENT)
		log_event(LOG_LV_ERROR, LOG_SEV_ERR, "segments_reap", "file=%s, error=%s", path,
			  strerror(errno));
}

static int is_pending(void *ctx, const struct cdb_ref *ref, const struct cdb_head *h)
{
	const struct segment *g = ctx;

	return !segment_has(g, ref->off) && !(h->flags & CDB_DEAD);
}

/* Space that was reserved and never committed (a client that got 451, a failed write): nothing
 * there may count any more once no whole record stands in it. */
static void close_holes(struct segments *t, struct segment *g)
{
	uint64_t end;
	usec_t now = clock_now();

	if (now < g->look_at)
		return;
	if (!g->look_at) {
		g->look_at = now + HOLE_USEC;
		return;
	}
	g->look_at = now + HOLE_USEC;
	if (cdb_scan(t->base, g->seg, g->range_count ? g->range[0].to : CDB_SEG_HEAD, true,
		     is_pending, g, &end) == 0)
		account_all(t, g);
}

void segments_reap(struct segments *t,
		   bool (*recycle)(void *ctx, uint64_t seg, uint64_t gen, uint64_t instance),
		   void *ctx)
{
	struct segment *list = t->idle;

	bool ours;

	t->idle = NULL;
	while (list) {
		struct segment *g = list;

		list = g->idle_next;
		g->idle = false;
		if (g->lost)
			try_orphan(t, g);
		if (!g->sealed || g->live)
			continue;
		if (!sparse_is_free(g)) {
			segments_look(t, g);
			continue;
		}
		if (!segment_covered(g))
			close_holes(t, g);
		if (g->changed || !segment_covered(g)) {
			segments_look(t, g);
			continue;
		}
		if (g->instance && recycle(ctx, g->seg, g->gen, g->instance)) {
			segments_spare(t, g->seg, 0, g->instance);
			stats_add(QMGR_STAT_SEGMENTS_RECYCLED, 1);
		} else if (!lock_to_remove(g, &ours)) {
			segments_look(t, g);
			continue;
		} else if (ours) {
			remove_file(t, g);
			stats_add(QMGR_STAT_SEGMENTS_REMOVED, 1);
		}
		/* The row in meta stays until a new use of the file overwrites it or the next
		 * start: a removal that a power cut undoes must not bring its mail back. */
		marks_remove(t->base, g->seg);
		drop(t, g);
	}
}

void segment_finished(struct segments *t, struct segment *g, const struct cdb_ref *ref)
{
	if (g->gen != ref->gen)
		return;
	if (marks_add(&g->marks, g->seg, g->gen, ref->off, clock_now()))
		marks_write(g->marks, t->base);
	if (!g->marked) {
		g->marked = true;
		g->marked_next = t->marked;
		t->marked = g;
	}
}

bool segments_write_marks(struct segments *t, bool all)
{
	struct segment **at = &t->marked, *g;

	while ((g = *at)) {
		if (all || marks_due(g->marks, clock_now()))
			marks_write(g->marks, t->base);
		if (marks_waits(g->marks)) {
			at = &g->marked_next;
			continue;
		}
		*at = g->marked_next;
		g->marked = false;
	}
	return t->marked != NULL;
}

int segments_load(struct segments *t, struct store *s)
{
	struct store_key from = store_key_segment(0);
	struct store_iter *it = store_iter_new(s, STORE_META, store_key_span(&from));

	for (; store_iter_valid(it); store_iter_next(it)) {
		struct span key = store_iter_key(it);
		struct wire_r r = wire_reader(store_iter_value(it));

		if (key.n != 10 || !span_startswith(key, span_of("\x01s", 2)))
			break;
		uint64_t seg;
		memcpy(&seg, key.p + 2, 8);
		struct segment *g = add(t, __builtin_bswap64(seg));
		if (wire_get_u8(&r) != FORMAT)
			return store_iter_end(it), -EUCLEAN;
		g->gen = wire_get_u64(&r);
		uint32_t n = wire_get_u32(&r);
		for (uint32_t i = 0; i < n && !r.bad; i++) {
			struct range x = { wire_get_u64(&r), 0 };

			x.to = wire_get_u64(&r);
			insert_range(g, g->range_count, x);
		}
		if (!wire_done(&r))
			return store_iter_end(it), -EUCLEAN;
	}
	return store_iter_end(it);
}

struct replay {
	struct segment *g;
	int (*each)(void *ctx, const struct cdb_ref *ref, const struct cdb_head *h);
	void *ctx;
};

static int replay_one(void *ctx, const struct cdb_ref *ref, const struct cdb_head *h)
{
	struct replay *r = ctx;

	if (segment_has(r->g, ref->off))
		return 0;
	int rc = h->flags & CDB_DEAD ? 0 : r->each(r->ctx, ref, h);
	if (!rc)
		segment_account(r->g, ref->off, ref->len);
	return rc;
}

int segment_replay(struct segments *t, struct segment *g,
		   int (*each)(void *ctx, const struct cdb_ref *ref, const struct cdb_head *h),
		   void *ctx, bool *alive)
{
	uint64_t gen = 0, end = 0;
	int rc = open_segment(t, g, &gen);

	if (rc)
		return rc;
	if (gen != g->gen)
		reset(g, gen);
	/* The writer holds the lock until it seals. */
	*alive = flock(g->fd, LOCK_SH | LOCK_NB) != 0;
	if (!*alive)
		flock(g->fd, LOCK_UN);
	g->end = g->bytes;
	g->sealed = !*alive;
	if (!g->live)
		segments_look(t, g);
	if (g->sealed)
		begin_sparse(t, g);
	if (segment_covered(g))
		return 0;
	/* From the first byte that is not accounted for. */
	uint64_t from =
		g->range_count && g->range[0].from <= CDB_SEG_HEAD ? g->range[0].to : CDB_SEG_HEAD;
	struct replay r = { g, each, ctx };
	rc = cdb_scan(t->base, g->seg, from, true, replay_one, &r, &end);
	if (rc)
		return rc;
	/* Its writer may have gone on since it was opened: what was found counts from now on, and is
	 * acknowledged when it asks. */
	if (*alive && fdatasync(g->fd))
		return g->bad = -errno;
	if (!*alive)
		account_all(t, g);
	segments_changed(t, g);
	return 0;
}

struct segment *segments_adopt(struct segments *t, uint64_t seg)
{
	struct segment *g = segments_find(t, seg);

	return g ? g : add(t, seg);
}

void segments_forget_absent(struct segments *t, struct store *s, struct store_batch *b)
{
	for (unsigned i = 0; i < SEGMENTS_BUCKETS; i++) {
		struct segment *next;

		for (struct segment *g = t->bucket[i]; g; g = next) {
			struct store_key key = store_key_segment(g->seg);

			next = g->next;
			if (g->fd >= 0 || g->live)
				continue;
			store_delete(s, b, STORE_META, store_key_span(&key));
			drop(t, g);
		}
	}
}

bool segment_knows(const struct segment *g, uint64_t gen, uint64_t off)
{
	return g->gen == gen && segment_has(g, off);
}

uint64_t segment_front(const struct segment *g, uint64_t gen)
{
	return g->gen == gen && g->range_count && g->range[0].from <= CDB_SEG_HEAD ? g->range[0].to
										   : CDB_SEG_HEAD;
}

#include "queue/rebuild.h"

#include "core/cdb_read.h"
#include "core/err.h"
#include "core/ids.h"
#include "queue/keeper.h"
#include "queue/listing.h"
#include "queue/marks.h"
#include "queue/qclock.h"
#include "queue/qrow.h"
#include "queue/segments.h"
#include "queue/tail.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

enum { BATCH_ROWS = 5000 };

/* Ids that were seen: open addressing, at most half full. */
struct id_set {
	uint64_t *slot;
	size_t mask, count;
};

struct rebuild {
	const struct tool_spool *t;
	const char *base;
	bool list_only;
	struct store *old; /* NULL: cannot be opened */
	struct segments
		*old_segments; /* NULL: what it says of segments cannot be read or trusted */
	struct store *fresh;   /* NULL: list only */
	struct store_batch *batch;
	struct segments *segments; /* as the new database will know them */
	struct cdb_reader *reader;
	struct marks_list marks;
	uint64_t seg, gen; /* that the marks are of */
	struct id_set seen;
	uint64_t largest_counter;
	unsigned kept, again, finished, lost, damaged;
	struct buf line;
};

/* ---- a set of ids */

static bool set_add(struct id_set *s, uint64_t id)
{
	if (s->count * 2 >= s->mask) {
		struct id_set big = { xcalloc(s->mask ? (s->mask + 1) * 2 : 1024, sizeof *big.slot),
				      s->mask ? s->mask * 2 + 1 : 1023, 0 };

		for (size_t i = 0; s->slot && i <= s->mask; i++)
			if (s->slot[i])
				set_add(&big, s->slot[i]);
		free(s->slot);
		*s = big;
	}
	size_t i = hash_mix(0, id) & s->mask;
	while (s->slot[i] && s->slot[i] != id)
		i = (i + 1) & s->mask;
	if (s->slot[i])
		return false;
	s->slot[i] = id;
	s->count++;
	return true;
}

static bool set_has(const struct id_set *s, uint64_t id)
{
	size_t i = hash_mix(0, id) & s->mask;

	while (s->slot && s->slot[i] && s->slot[i] != id)
		i = (i + 1) & s->mask;
	return s->slot && s->slot[i] == id;
}

/* ---- the old database */

static int read_family(struct store *s, enum store_family f, uint64_t *rows)
{
	struct store_iter *it = store_iter_new(s, f, SPAN(""));

	for (; store_iter_valid(it); store_iter_next(it))
		(*rows)++;
	return store_iter_end(it);
}

/* Opens it; true: all of it can be read. */
static bool open_old(struct rebuild *r)
{
	uint64_t rows = 0;
	char why[600] = "";
	int rc = 0;

	r->old = tool_open_store(r->t, why, sizeof why);
	if (!r->old) {
		printf("The database cannot be opened: %s\n", why);
		return false;
	}
	for (int f = 0; f < STORE_FAMILIES && !rc; f++)
		rc = read_family(r->old, (enum store_family)f, &rows);
	if (rc) {
		printf("The database is damaged: %s\n", store_error());
		return false;
	}
	r->old_segments = segments_new(r->base);
	if (segments_load(r->old_segments, r->old)) {
		segments_free(r->old_segments);
		r->old_segments = NULL;
		printf("The database is damaged: its records of segments cannot be read\n");
		return false;
	}
	return true;
}

static bool old_has_row(struct rebuild *r, struct store_key key)
{
	char *v;
	size_t n;

	if (!r->old || store_get(r->old, STORE_META, store_key_span(&key), &v, &n))
		return false;
	free(v);
	return true;
}

/* ---- what becomes of a record */

static void use_marks_of(struct rebuild *r, const struct cdb_ref *ref)
{
	if (r->seg == ref->seg && r->gen == ref->gen)
		return;
	marks_list_free(&r->marks);
	marks_read(r->base, ref->seg, ref->gen, &r->marks);
	r->seg = ref->seg;
	r->gen = ref->gen;
}

/* error: why the old database has no row of it. */
static bool is_finished(struct rebuild *r, const struct cdb_ref *ref, uint64_t ta, int error)
{
	struct segment *g = r->old_segments ? segments_find(r->old_segments, ref->seg) : NULL;

	if (!ref->seg)
		return old_has_row(r, store_key_file(ta));
	if (r->old_segments && error == -ENOENT && g && segment_knows(g, ref->gen, ref->off))
		return true;
	use_marks_of(r, ref);
	return marks_has(&r->marks, ref->off);
}

static void flush(struct rebuild *r)
{
	if (store_write(r->fresh, r->batch))
		fatal(EX_IOERR, "new database: %s", store_error());
}

static void put_deferred(struct rebuild *r, struct ta *ta, uint32_t idx, bool fresh)
{
	struct rcpt *rc = &ta->rcpt[idx];
	struct store_deferred d = { .wall_next =
					    fresh ? clock_steady() : atomic_load(&rc->wall_next),
				    .wall_last = atomic_load(&rc->wall_last),
				    .attempts = atomic_load(&rc->attempts),
				    .warned = rc->warned,
				    .stage = atomic_load(&rc->stage),
				    .held = atomic_load(&rc->state) == RCPT_HELD,
				    .park = fresh ? 0 : atomic_load(&rc->park),
				    .reply = aq_rcpt_last(rc),
				    .route = aq_rcpt_own_route(rc) };
	struct store_key key = store_key_rcpt(ta->id, idx),
			 due = store_key_due(d.wall_next, ta->id, idx),
			 parked = store_key_parked(d.park, ta->id, idx);
	char value[STORE_DEFERRED_MAX];

	aq_rcpt_route(ta, idx, &d.forced);
	store_put(r->fresh, r->batch, STORE_DEFEDB, store_key_span(&key),
		  span_of(value, store_deferred_encode(&d, value)));
	if (!d.held)
		store_put(r->fresh, r->batch, STORE_DUE, store_key_span(&due), SPAN(""));
	if (d.park)
		store_put(r->fresh, r->batch, STORE_PARKED, store_key_span(&parked), SPAN(""));
}

/* As deferred: the keeper brings them when there is room, however many there are. */
static void put(struct rebuild *r, struct ta *ta)
{
	struct store_key key = store_key_ta(ta->id);
	size_t n = STORE_TA_HEAD + ta->blob.n;
	char *value = xmalloc(n);

	store_ta_head_encode(&ta->ref, value);
	memcpy(value + STORE_TA_HEAD, ta->blob.p, ta->blob.n);
	store_put(r->fresh, r->batch, STORE_IBDB, store_key_span(&key), span_of(value, n));
	free(value);
	for (uint32_t i = 0; i < ta->env.rcpt_count; i++) {
		uint8_t state = atomic_load(&ta->rcpt[i].state);
		struct store_key mark = store_key_rcpt(ta->id, i);

		if (state == RCPT_DONE)
			store_put(r->fresh, r->batch, STORE_IBDB, store_key_span(&mark),
				  store_mark(ta->c.rcpt && ta->c.rcpt[i].reported,
					     ta->c.rcpt && ta->c.rcpt[i].warned));
		else
			put_deferred(r, ta, i, state == RCPT_ACTIVE);
	}
	if (store_batch_count(r->batch) >= BATCH_ROWS)
		flush(r);
}

static void say(struct rebuild *r, struct ta *ta, const char *what)
{
	char id[ID_TEXT_MAX];
	unsigned open = 0;

	if (!r->list_only)
		return;
	for (uint32_t i = 0; i < ta->env.rcpt_count; i++)
		open += atomic_load(&ta->rcpt[i].state) != RCPT_DONE;
	id_text(ta->id, id);
	r->line.r = r->line.w = 0;
	buf_printf(&r->line, "%s %9" PRIu64 " %-12s %5u recipient%s from <", id, qrow_size(ta),
		   what, open, open == 1 ? "" : "s");
	listing_harmless(ta->env.sender, &r->line);
	printf("%.*s>\n", (int)buf_len(&r->line), buf_span(&r->line).p);
}

static int record(void *ctx, const struct cdb_ref *ref, const struct cdb_head *h)
{
	struct rebuild *r = ctx;
	int error = -ENOENT;
	struct ta *ta = r->old ? keeper_load(r->old, h->ta, &error) : NULL;

	if (h->ta >> 8 > r->largest_counter)
		r->largest_counter = h->ta >> 8;
	/* Its row is about another record, which counts. */
	if (ta && (ta->ref.seg != ref->seg || ta->ref.gen != ref->gen || ta->ref.off != ref->off)) {
		aq_ta_free(ta);
		return 0;
	}
	/* A copy that the old database did not come to name counts only when that is lost. */
	bool unnamed = r->old_segments && error == -ENOENT && h->flags & CDB_MOVED;
	if (!ta && (unnamed || is_finished(r, ref, h->ta, error))) {
		r->finished++;
		return 0;
	}
	bool kept = ta != NULL;
	if (!ta)
		ta = tail_ta(r->reader, ref, h->ta, &error);
	if (ta && !kept)
		aq_ta_set_arrival(ta, qclock_arrival(ta->env.wall_arrival, false));
	if (!ta) {
		r->damaged++;
		return 0;
	}
	if (set_add(&r->seen, ta->id)) {
		r->kept += kept;
		r->again += !kept;
		say(r, ta, kept ? "as it was" : "queued again");
		if (r->fresh)
			put(r, ta);
	}
	aq_ta_free(ta);
	return 0;
}

static void own_file(struct rebuild *r, uint64_t ta)
{
	struct cdb_ref ref;
	struct cdb_head h;
	int rc = cdb_check_file(r->base, ta, &ref, &h);

	if (!rc)
		record(r, &ref, &h);
	else if (rc != -ENOENT)
		r->damaged++;
}

static int one(void *ctx, uint64_t seg, uint64_t ta)
{
	struct rebuild *r = ctx;
	bool alive;

	if (!seg) {
		own_file(r, ta);
		return 0;
	}
	int rc = segment_replay(r->segments, segments_adopt(r->segments, seg), record, r, &alive);
	if (rc) {
		printf("Segment G%016" PRIX64 " cannot be read: %s\n", seg, strerror(-rc));
		r->damaged++;
	}
	return 0;
}

/* Rows of the old database whose content was not found whole. */
static void tell_lost(struct rebuild *r)
{
	struct store_iter *it = r->old ? store_iter_new(r->old, STORE_IBDB, SPAN("")) : NULL;
	char id_name[ID_TEXT_MAX];
	uint64_t id;
	uint32_t idx;
	bool is_rcpt;

	for (; it && store_iter_valid(it); store_iter_next(it)) {
		if (!store_key_parse(store_iter_key(it), &id, &idx, &is_rcpt) || is_rcpt ||
		    set_has(&r->seen, id))
			continue;
		r->lost++;
		id_text(id, id_name);
		printf("%s is lost: its content is missing or damaged\n", id_name);
	}
	if (it)
		store_iter_end(it);
}

/* ---- the new database */

static void move_files(const char *dir, const char *into)
{
	char path[CDB_PATH_MAX];
	DIR *d = opendir(dir);
	struct dirent *e;
	int fd;

	if (!d)
		fatal(EX_CANTCREAT, "%s: %s", dir, strerror(errno));
	fd = dirfd(d);
	if (mkdirat(fd, into, 0700) && errno != EEXIST)
		fatal(EX_CANTCREAT, "%s%s: %s", dir, into, strerror(errno));
	while ((e = readdir(d))) {
		struct stat st;

		snprintf(path, sizeof path, "%s/%s", into, e->d_name);
		if (!strcmp(e->d_name, "LOCK") ||
		    fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
			continue;
		if (renameat(fd, e->d_name, fd, path))
			fatal(EX_CANTCREAT, "%s%s: %s", dir, path, strerror(errno));
	}
	if (fsync(fd))
		fatal(EX_IOERR, "%s: %s", dir, strerror(errno));
	closedir(d);
}

static void open_fresh(struct rebuild *r)
{
	const struct qmgr_options *o = &r->t->opt;
	struct store_setup set = { .dir = o->defedb_base_directory,
				   .log_dir = o->defedb_log_directory,
				   .cache_bytes = 8 << 20,
				   .page_bytes = o->defedb_page_size,
				   .log_bytes = o->ibdb_size };
	char why[600], into[64];
	time_t now = time(NULL);
	bool created;
	int error;

	strftime(into, sizeof into, "lost-%Y%m%d-%H%M%S", localtime(&now));
	move_files(o->defedb_base_directory, into);
	if (strcmp(o->defedb_base_directory, o->defedb_log_directory))
		move_files(o->defedb_log_directory, into);
	r->fresh = store_open(&set, &error, why, sizeof why, &created);
	if (!r->fresh)
		fatal(EX_CANTCREAT, "new database in %s: %s", set.dir, why);
	printf("The files of the old database are in %s%s and %s%s\n", o->defedb_base_directory,
	       into, o->defedb_log_directory, into);
}

static void copy_suspensions(struct rebuild *r)
{
	struct store_key from = store_key_suspension(0);
	struct store_iter *it =
		r->old ? store_iter_new(r->old, STORE_META, store_key_span(&from)) : NULL;

	for (; it && store_iter_valid(it); store_iter_next(it)) {
		struct span key = store_iter_key(it);

		if (key.n != 10 || !span_startswith(key, span_head(store_key_span(&from), 2)))
			break;
		store_put(r->fresh, r->batch, STORE_META, key, store_iter_value(it));
	}
	if (it)
		store_iter_end(it);
}

/* Those under which nothing is left are dropped by the next start. */
static void copy_parks(struct rebuild *r)
{
	struct store_key from = store_key_park(0);
	struct store_iter *it =
		r->old ? store_iter_new(r->old, STORE_META, store_key_span(&from)) : NULL;
	uint64_t id;

	for (; it && store_iter_valid(it); store_iter_next(it)) {
		struct span key = store_iter_key(it);

		if (!store_key_park_parse(key, &id))
			break;
		store_put(r->fresh, r->batch, STORE_META, key, store_iter_value(it));
	}
	if (it)
		store_iter_end(it);
}

/* Ids go on above all that were ever seen. */
static void put_ids(struct rebuild *r)
{
	struct store_key key = store_key_word("ids");
	uint64_t reserved = r->largest_counter + 1, old;
	char *v;
	size_t n;

	if (r->old && !store_get(r->old, STORE_META, store_key_span(&key), &v, &n)) {
		if (n == 8) {
			memcpy(&old, v, 8);
			reserved = old > reserved ? old : reserved;
		}
		free(v);
	}
	store_put(r->fresh, r->batch, STORE_META, store_key_span(&key), span_of(&reserved, 8));
}

static void finish(struct rebuild *r)
{
	if (!r->fresh)
		return;
	copy_suspensions(r);
	copy_parks(r);
	put_ids(r);
	qclock_put(r->fresh, r->batch);
	flush(r);
	/* From here on the segments are accounted for: what was left out is not queued again. */
	segments_write(r->segments, r->fresh, r->batch);
	flush(r);
}

/* Held until the end, so that no qmgr starts meanwhile. */
static void lock(const struct tool_spool *t)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char path[CDB_PATH_MAX];
	pid_t pid = tool_database_user(t);

	snprintf(path, sizeof path, "%sLOCK", t->opt.defedb_base_directory);
	int fd = pid ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (pid)
		fatal(EX_TEMPFAIL, "qmgr (process %d) is running: stop it first", (int)pid);
	if (fd < 0 || fcntl(fd, F_SETLK, &l))
		fatal(EX_TEMPFAIL, "%s: %s", path, strerror(errno));
}

int rebuild(const struct tool_spool *t, bool list_only, bool force)
{
	struct rebuild r = { .t = t, .base = t->global.cdb_base_directory, .list_only = list_only };

	lock(t);
	if (open_old(&r) && !force) {
		printf("The database can be read: nothing is to be done (-F makes a new one all the same)\n");
		store_close(r.old);
		return EX_OK;
	}
	r.segments = segments_new(r.base);
	r.reader = cdb_reader_new(r.base, 8);
	r.batch = store_batch_new();
	if (!list_only)
		open_fresh(&r);
	int rc = cdb_list(r.base, one, &r);
	if (rc)
		fatal(rc == -ENOENT ? EX_NOINPUT : EX_IOERR, "content database in '%s': %s", r.base,
		      strerror(-rc));
	tell_lost(&r);
	finish(&r);
	printf("%s: %u message%s as the old database has them, %u queued again, %u finished, %u lost, %u damaged\n",
	       list_only ? "Would make" : "Made", r.kept, r.kept == 1 ? "" : "s", r.again,
	       r.finished, r.lost, r.damaged);
	store_close(r.fresh);
	store_close(r.old);
	store_batch_free(r.batch);
	segments_free(r.segments);
	cdb_reader_free(r.reader);
	marks_list_free(&r.marks);
	free(r.seen.slot);
	buf_release(&r.line);
	return fflush(stdout) ? EX_IOERR : EX_OK;
}

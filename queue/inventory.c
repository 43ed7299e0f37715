#include "queue/inventory.h"

#include "core/crc32c.h"
#include "core/err.h"
#include "queue/marks.h"
#include "queue/segments.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { PART_BYTES = 256 << 10 };

struct inventory {
	const char *base;
	struct store *store;
	struct segments *segments; /* what the database knows; NULL: nothing */
	struct cdb_reader *reader;
	/* of the walk */
	const struct inventory_calls *calls;
	bool check;
	struct inventory_file file;
	struct marks_list marks;
};

const char *inventory_state_name(enum inventory_state s)
{
	static const char *const names[] = { "live", "new", "finished", "unknown" };

	return names[s];
}

struct inventory *inventory_new(const char *base, struct store *store, int *error)
{
	struct inventory *v = xcalloc(1, sizeof *v);

	*error = 0;
	v->base = base;
	v->store = store;
	v->reader = cdb_reader_new(base, 4);
	if (store) {
		v->segments = segments_new(base);
		*error = segments_load(v->segments, store);
	}
	if (*error) {
		inventory_free(v);
		return NULL;
	}
	return v;
}

void inventory_free(struct inventory *own)
{
	if (!own)
		return;
	if (own->segments)
		segments_free(own->segments);
	cdb_reader_free(own->reader);
	marks_list_free(&own->marks);
	free(own);
}

struct cdb_reader *inventory_reader(struct inventory *v)
{
	return v->reader;
}

/* ---- one record */

static bool has_row(struct inventory *v, enum store_family f, struct store_key key)
{
	char *value;
	size_t n;

	if (store_get(v->store, f, store_key_span(&key), &value, &n))
		return false;
	free(value);
	return true;
}

/* A message has one record that counts; another one is what it was moved from, or a copy that was
 * not needed. */
static bool names(struct inventory *v, uint64_t ta, const struct cdb_ref *ref, bool *any)
{
	struct store_key key = store_key_ta(ta);
	struct cdb_ref named;
	struct span blob;
	char *value;
	size_t n;
	int rc = store_get(v->store, STORE_IBDB, store_key_span(&key), &value, &n);

	*any = !rc;
	if (rc)
		return false;
	rc = store_ta_decode(span_of(value, n), &named, &blob);
	free(value);
	return rc || (named.seg == ref->seg && named.gen == ref->gen && named.off == ref->off);
}

static enum inventory_state state_of(struct inventory *v, const struct cdb_ref *ref,
				     const struct cdb_head *h)
{
	uint64_t ta = h->ta;
	bool any;

	if (!v->store)
		return ref->seg && marks_has(&v->marks, ref->off) ? INVENTORY_FINISHED
								  : INVENTORY_UNKNOWN;
	if (names(v, ta, ref, &any))
		return INVENTORY_LIVE;
	if (any || h->flags & CDB_MOVED)
		return INVENTORY_FINISHED;
	if (!ref->seg)
		return has_row(v, STORE_META, store_key_file(ta)) ? INVENTORY_FINISHED
								  : INVENTORY_NEW;
	struct segment *g = segments_find(v->segments, ref->seg);
	return g && segment_knows(g, ref->gen, ref->off) ? INVENTORY_FINISHED : INVENTORY_NEW;
}

static int check_content(const struct cdb_record *rec)
{
	char *part = xmalloc(PART_BYTES);
	uint32_t crc = 0;
	uint64_t at = 0;
	ssize_t n = 0;

	while (at < rec->head.content_bytes && (n = cdb_read(rec, at, part, PART_BYTES)) > 0) {
		crc = crc32c(crc, part, (size_t)n);
		at += (uint64_t)n;
	}
	free(part);
	if (n < 0)
		return (int)n;
	return at == rec->head.content_bytes && crc == rec->head.content_crc ? 0 : -EBADMSG;
}

/* A record's content and envelope against their CRCs. 0, -EBADMSG, -errno. */
static int check(struct inventory *v, const struct cdb_ref *ref, uint64_t ta)
{
	struct cdb_record rec;
	int rc = cdb_open_record(v->reader, ref, ta, &rec);

	if (rc)
		return rc;
	rc = check_content(&rec);
	if (!rc) {
		char *blob = xmalloc(rec.head.envelope_bytes + 1);

		rc = cdb_read_envelope(&rec, blob);
		free(blob);
	}
	cdb_close_record(v->reader, &rec);
	/* Punched or used again meanwhile? Its head goes first. */
	if (rc == -EBADMSG) {
		int now = cdb_open_record(v->reader, ref, ta, &rec);

		if (now)
			return now;
		cdb_close_record(v->reader, &rec);
	}
	return rc;
}

static int record(void *ctx, const struct cdb_ref *ref, const struct cdb_head *h)
{
	struct inventory *v = ctx;
	struct inventory_record r = { .file = &v->file, .ref = *ref, .head = *h };

	r.state = state_of(v, ref, h);
	if (v->check)
		r.damage = check(v, ref, h->ta);
	if (v->calls->record)
		v->calls->record(v->calls->ctx, &r);
	return 0;
}

/* ---- one file */

/* Who holds its lock is read from the kernel's list: taking it for a look would be in the way of others. */
static bool is_locked(const struct stat *st)
{
	char want[64], line[256];
	bool found = false;
	FILE *f = fopen("/proc/locks", "re");

	snprintf(want, sizeof want, " %02x:%02x:%llu ", major(st->st_dev), minor(st->st_dev),
		 (unsigned long long)st->st_ino);
	while (f && !found && fgets(line, sizeof line, f))
		found = strstr(line, "FLOCK") && strstr(line, want);
	if (f)
		fclose(f);
	return found;
}

static int open_file(struct inventory *v, char path[static CDB_PATH_MAX])
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		close(fd);
		return -EBADMSG;
	}
	v->file.size_bytes = (uint64_t)st.st_size;
	v->file.in_use = is_locked(&st);
	return fd;
}

static void begin(struct inventory *v)
{
	if (v->calls->begin)
		v->calls->begin(v->calls->ctx, &v->file);
}

static void end(struct inventory *v)
{
	if (v->calls->end)
		v->calls->end(v->calls->ctx, &v->file);
}

static void walk_segment(struct inventory *v)
{
	char path[CDB_PATH_MAX], head[CDB_SEG_HEAD];
	uint64_t seg = 0, bytes, last;
	int fd;

	cdb_seg_path(v->base, v->file.seg, path);
	fd = open_file(v, path);
	if (fd < 0) {
		v->file.error = fd;
	} else {
		if (pread(fd, head, sizeof head, 0) != (ssize_t)sizeof head)
			v->file.error = -EBADMSG;
		else
			v->file.error = cdb_seg_head_decode(head, &seg, &v->file.gen, &bytes);
		if (!v->file.error && seg != v->file.seg)
			v->file.error = -EBADMSG;
		close(fd);
	}
	begin(v);
	if (!v->file.error) {
		marks_list_free(&v->marks);
		marks_read(v->base, v->file.seg, v->file.gen, &v->marks);
		v->file.error =
			cdb_scan(v->base, v->file.seg, CDB_SEG_HEAD, false, record, v, &last);
	}
	end(v);
}

/* Its head is written last: one without is being written, or was left by a crash, and nobody got a 250 for it. */
static void walk_own_file(struct inventory *v)
{
	char path[CDB_PATH_MAX], bytes[CDB_HEAD];
	struct cdb_head h;

	cdb_file_path(v->base, v->file.ta, path);
	int fd = open_file(v, path);
	if (fd < 0) {
		v->file.error = fd;
	} else {
		ssize_t n = pread(fd, bytes, sizeof bytes, 0);

		v->file.error = n == (ssize_t)sizeof bytes ? cdb_head_decode(bytes, &h) : -ENOENT;
		close(fd);
	}
	begin(v);
	if (!v->file.error)
		record(v, &(struct cdb_ref){ .len = cdb_record_bytes(&h) }, &h);
	end(v);
}

static int one(void *ctx, uint64_t seg, uint64_t ta)
{
	struct inventory *v = ctx;

	v->file = (struct inventory_file){ .seg = seg, .ta = ta };
	if (seg)
		walk_segment(v);
	else
		walk_own_file(v);
	return 0;
}

int inventory_walk(struct inventory *v, bool check, const struct inventory_calls *calls)
{
	v->calls = calls;
	v->check = check;
	return cdb_list(v->base, one, v);
}

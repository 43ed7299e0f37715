#include "queue/sparse.h"

#include "core/clock.h"
#include "core/crc32c.h"
#include "queue/marks.h"
#include "queue/segment.h"
#include "queue/store.h"
#include "tests/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEG_BYTES = 4 << 20, RECORD = 64 << 10, COUNT = 60, WRITER = 77 };

static char base[300];
static struct store *store;

static int make_file(uint64_t seg, uint64_t gen)
{
	char path[CDB_PATH_MAX], head[CDB_SEG_HEAD];

	cdb_seg_path(base, seg, path);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
	cdb_seg_head_encode(seg, gen, SEG_BYTES, head);
	if (fd < 0 || posix_fallocate(fd, 0, SEG_BYTES) || pwrite(fd, head, sizeof head, 0) < 0)
		ok(false, "segment made: %s", path);
	return fd;
}

static void write_rows(struct segments *t)
{
	struct store_batch *b = store_batch_new();

	segments_write(t, store, b);
	if (store_write(store, b))
		ok(false, "rows written");
	store_batch_free(b);
}

static uint64_t off_of(unsigned i)
{
	return CDB_SEG_HEAD + (uint64_t)i * RECORD;
}

/* A full segment of COUNT records, all committed. */
static struct segment *fill(struct segments *t, uint64_t seg)
{
	int error;
	struct segment *g = segments_get(t, seg, 1, &error);

	segment_owner(g, WRITER);
	for (unsigned i = 0; i < COUNT; i++) {
		segment_account(g, off_of(i), RECORD);
		segment_use(t, g, RECORD, 1);
	}
	segments_changed(t, g);
	return g;
}

static void finish(struct segments *t, struct segment *g, unsigned count)
{
	while (count--)
		segment_use(t, g, RECORD, -1);
}

/* Which segments are given, and when. */
static void picks(void)
{
	struct segments *t = segments_new(base);
	int fd = make_file(0x10, 1);
	struct segment *g = fill(t, 0x10);
	usec_t now = clock_now(), later = now + 60 * USEC_PER_SEC, next;
	struct sparse s;

	finish(t, g, COUNT - 6);
	ok(!segments_sparse(t) && !sparse_pick(t, later, 0, &s, &next), "not before it is sealed");
	segment_seal(t, g, off_of(COUNT));
	ok(segments_sparse(t) && !segments_sparse(t), "then it is told, once");
	ok(!sparse_pick(t, later, 0, &s, &next), "not before all of it is in the database");
	write_rows(t);
	ok(!sparse_pick(t, now, 30 * USEC_PER_SEC, &s, &next) && next > now + 29 * USEC_PER_SEC &&
		   next < later,
	   "not before its time");
	ok(sparse_pick(t, later, 30 * USEC_PER_SEC, &s, &next) && s.seg == 0x10 && s.gen == 1 &&
		   s.live == 6 && s.live_bytes == 6 * RECORD && s.alloc >= SEG_BYTES &&
		   s.instance == WRITER,
	   "then it is");
	ok(!sparse_pick(t, later, 0, &s, &next) && next == INT64_MAX, "once");
	ok(sparse_confirm(t, &s, 6) && sparse_confirm(t, &s, 7), "as many are needed as we know");
	ok(!sparse_confirm(t, &s, 5), "with fewer something is wrong");
	sparse_done(t, &s, 0, false);
	ok(!sparse_pick(t, later, 0, &s, &next), "not again for nothing");
	finish(t, g, 2);
	ok(!sparse_pick(t, later, 0, &s, &next), "nor for little");
	finish(t, g, 1);
	ok(sparse_pick(t, later, 0, &s, &next) && s.live == 3, "when half of the rest has gone");
	sparse_done(t, &s, -EIO, false);
	ok(!sparse_pick(t, clock_now() + 29 * USEC_PER_SEC, 0, &s, &next), "a failure waits");
	ok(sparse_pick(t, clock_now() + 31 * USEC_PER_SEC, 0, &s, &next), "for half a minute");
	sparse_done(t, &s, -EIO, false);
	ok(!sparse_pick(t, clock_now() + 59 * USEC_PER_SEC, 0, &s, &next), "the second one longer");
	ok(sparse_pick(t, clock_now() + 61 * USEC_PER_SEC, 0, &s, &next), "then again");
	sparse_done(t, &s, 0, false);
	finish(t, g, 2);
	ok(sparse_pick(t, later, 0, &s, &next), "given");
	sparse_done(t, &s, -EBUSY, false);
	ok(!sparse_pick(t, clock_now() + 4 * USEC_PER_SEC, 0, &s, &next) &&
		   sparse_pick(t, clock_now() + 6 * USEC_PER_SEC, 0, &s, &next),
	   "what was being tried just now is looked at sooner");
	close(fd);
	segments_free(t);
}

static void dense(void)
{
	struct segments *t = segments_new(base);
	int fd = make_file(0x11, 1);
	struct segment *g = fill(t, 0x11);
	struct sparse s;
	usec_t next;

	segment_seal(t, g, off_of(COUNT));
	write_rows(t);
	finish(t, g, COUNT / 2 - 5);
	ok(!sparse_pick(t, INT64_MAX / 2, 0, &s, &next),
	   "a segment that is mostly needed is not given");
	finish(t, g, 5);
	ok(sparse_pick(t, INT64_MAX / 2, 0, &s, &next), "one of which half has gone is");
	close(fd);
	segments_free(t);
}

static unsigned recycled;

static bool recycle(void *ctx, uint64_t seg, uint64_t gen, uint64_t instance)
{
	(void)ctx;
	(void)seg;
	(void)gen;
	(void)instance;
	recycled++;
	return true;
}

static bool file_there(uint64_t seg)
{
	char path[CDB_PATH_MAX];

	cdb_seg_path(base, seg, path);
	return access(path, F_OK) == 0;
}

/* What is being worked at is not freed. */
static void held(void)
{
	struct segments *t = segments_new(base);
	int fd = make_file(0x12, 1);
	struct segment *g = fill(t, 0x12);
	struct sparse s;
	usec_t next;

	segment_seal(t, g, off_of(COUNT));
	finish(t, g, COUNT - 1);
	write_rows(t);
	ok(sparse_pick(t, INT64_MAX / 2, 0, &s, &next), "given");
	finish(t, g, 1);
	segments_reap(t, recycle, NULL);
	ok(!recycled, "not freed while it is worked at, though nothing is needed");
	flock(fd, LOCK_SH);
	sparse_done(t, &s, -ECONNRESET, true);
	segments_reap(t, recycle, NULL);
	ok(!recycled, "nor while somebody may still punch it");
	flock(fd, LOCK_UN);
	segments_reap(t, recycle, NULL);
	ok(recycled == 1, "then it is");
	close(fd);
	segments_free(t);
}

/* Segments that a writer has for later use. */
static void spares(void)
{
	struct segments *t = segments_new(base);
	uint64_t room[16];
	int fd = make_file(0x23, 5), error;
	int fd2 = make_file(0x24, 6);
	struct segment *g = segments_get(t, 0x24, 6, &error);

	segment_owner(g, WRITER);
	segment_account(g, CDB_SEG_HEAD, RECORD);
	segments_spare(t, 0x23, SEG_BYTES, WRITER);
	segments_room(t, room);
	ok(room[3] == SEG_BYTES && room[4] == SEG_BYTES - CDB_SEG_HEAD - RECORD && !room[5],
	   "empty segments and the rest of those in use are room");
	segments_spare(t, 0x25, 1ull << 40, WRITER);
	segments_room(t, room);
	ok(!room[5], "nobody has one of a terabyte");
	segments_unspare(t, 0x23);
	segments_room(t, room);
	ok(!room[3], "not when it is used");
	segments_spare(t, 0x23, SEG_BYTES, WRITER);
	flock(fd, LOCK_EX);
	segments_orphan(t, WRITER);
	write_rows(t);
	segments_reap(t, recycle, NULL);
	ok(file_there(0x23), "its writer is alive: it stays");
	flock(fd, LOCK_UN);
	segments_reap(t, recycle, NULL);
	write_rows(t);
	segments_reap(t, recycle, NULL);
	ok(!file_there(0x23), "its writer has gone, and with it the segment");
	close(fd);
	close(fd2);
	segments_free(t);
}

/* A writer of which we have lost sight uses a segment again. */
static void used_meanwhile(void)
{
	struct segments *t = segments_new(base);
	int fd = make_file(0x36, 1);
	char head[CDB_SEG_HEAD];

	segments_spare(t, 0x36, 0, WRITER);
	segments_orphan(t, WRITER);
	cdb_seg_head_encode(0x36, 2, SEG_BYTES, head);
	if (pwrite(fd, head, sizeof head, 0) < 0)
		ok(false, "header");
	write_rows(t);
	segments_reap(t, recycle, NULL);
	ok(file_there(0x36) && !segments_find(t, 0x36), "one of another generation is not removed");
	close(fd);
	segments_free(t);
}

static void orphan_marks(void)
{
	struct marks *m = NULL;
	struct marks_list l;
	int fd = make_file(0x47, 1);

	marks_add(&m, 0x47, 1, 4096, 0);
	marks_write(m, base);
	marks_free(m);
	m = NULL;
	marks_add(&m, 0x48, 1, 4096, 0);
	marks_write(m, base);
	marks_free(m);
	is_int(marks_sweep(base), 1, "marks of a segment that is gone are removed");
	ok(!marks_read(base, 0x47, 1, &l) && l.count == 1, "others are not");
	marks_list_free(&l);
	is_int(marks_read(base, 0x48, 1, &l), -ENOENT, "gone");
	close(fd);
}

int main(void)
{
	struct store_setup set = { .cache_bytes = 1 << 20,
				   .page_bytes = 4096,
				   .log_bytes = 4 << 20 };
	char dir[320], log_dir[320], why[300];
	int error;
	bool created;

	snprintf(base, sizeof base, "%s/", tap_tmpdir());
	for (int i = 0; i < 16; i++) {
		char path[CDB_PATH_MAX];

		cdb_dir_path(base, (uint64_t)i, path);
		mkdir(path, 0755);
	}
	snprintf(dir, sizeof dir, "%sdefedb", base);
	snprintf(log_dir, sizeof log_dir, "%sibdb", base);
	mkdir(dir, 0700);
	mkdir(log_dir, 0700);
	set.dir = dir;
	set.log_dir = log_dir;
	store = store_open(&set, &error, why, sizeof why, &created);
	if (!ok(store != NULL, "database"))
		return plan_done();
	picks();
	dense();
	held();
	spares();
	used_meanwhile();
	orphan_marks();
	store_close(store);
	return plan_done();
}

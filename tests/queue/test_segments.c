#include "queue/segments.h"

#include "core/crc32c.h"
#include "tests/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEG_BYTES = 1 << 20 };

static char base[300];
static struct store *store;

static int make_segment(uint64_t seg, uint64_t gen)
{
	char path[CDB_PATH_MAX], head[CDB_SEG_HEAD];

	cdb_seg_path(base, seg, path);
	int fd = open(path, O_RDWR | O_CREAT, 0640);
	cdb_seg_head_encode(seg, gen, SEG_BYTES, head);
	if (fd < 0 || ftruncate(fd, SEG_BYTES) || pwrite(fd, head, sizeof head, 0) != sizeof head)
		ok(false, "segment made: %s", path);
	return fd;
}

/* A whole record of `bytes` of content at off; returns its length. */
static uint64_t make_record(int fd, uint64_t off, uint64_t gen, uint64_t ta, uint32_t bytes,
			    uint32_t flags)
{
	char head[CDB_HEAD], *content = malloc(bytes);
	struct cdb_head h = {
		.gen = gen, .ta = ta, .content_bytes = bytes, .envelope_bytes = 3, .flags = flags
	};

	memset(content, 'x', bytes);
	h.content_crc = crc32c(0, content, bytes);
	h.envelope_crc = crc32c(0, "env", 3);
	cdb_head_encode(&h, head);
	if (pwrite(fd, head, sizeof head, (off_t)off) < 0 ||
	    pwrite(fd, content, bytes, (off_t)off + CDB_HEAD) < 0 ||
	    pwrite(fd, "env", 3, (off_t)off + CDB_HEAD + bytes) < 0)
		ok(false, "record written");
	free(content);
	return cdb_record_bytes(&h);
}

static uint64_t steps(uint64_t len)
{
	return (len + CDB_STEP - 1) / CDB_STEP * CDB_STEP;
}

/* Against the simplest model: one byte per step. */
static void ranges(void)
{
	struct segments *t = segments_new(base);
	char model[SEG_BYTES / CDB_STEP] = { 0 };
	int error, fd = make_segment(0x10, 1);
	struct segment *g = segments_get(t, 0x10, 1, &error);
	bool same = true;

	ok(g != NULL, "segment opened");
	srand(4711);
	for (int i = 0; i < 5000 && same; i++) {
		unsigned from = CDB_SEG_HEAD / CDB_STEP + (unsigned)rand() % 2000,
			 n = 1 + (unsigned)rand() % 5;
		bool known = model[from];
		unsigned free_steps = 0;

		while (free_steps < n && !model[from + free_steps])
			free_steps++;
		if (!known)
			n = free_steps;
		same = segment_account(g, (uint64_t)from * CDB_STEP, n * CDB_STEP) == !known;
		if (!known)
			memset(model + from, 1, n);
		for (unsigned k = CDB_SEG_HEAD / CDB_STEP; k < 2100 && same; k++)
			same = segment_has(g, (uint64_t)k * CDB_STEP) == (model[k] != 0);
	}
	ok(same, "5000 random ranges as a model says");
	ok(segments_get(t, 0x10, 2, &error) == NULL && error == -ESTALE,
	   "another generation is not there");
	ok(segments_get(t, 0x99, 1, &error) == NULL && error == -ENOENT, "a missing file");
	close(fd);
	segments_free(t);
}

static unsigned replayed;
static uint64_t last_ta;

static int each(void *ctx, const struct cdb_ref *ref, const struct cdb_head *h)
{
	(void)ctx;
	(void)ref;
	replayed++;
	last_ta = h->ta;
	return 0;
}

static void write_rows(struct segments *t)
{
	struct store_batch *b = store_batch_new();

	segments_write(t, store, b);
	is_int(store_write(store, b), 0, "rows written");
	store_batch_free(b);
}

/* What a crash leaves: rows of the last batch, records behind them. */
static void replay(void)
{
	int error, fd = make_segment(0x20, 3);
	uint64_t a = CDB_SEG_HEAD, b = a + steps(make_record(fd, a, 3, 100, 500, 0));
	uint64_t c = b + steps(make_record(fd, b, 3, 101, 900, 0));
	struct segments *t = segments_new(base);
	struct segment *g = segments_get(t, 0x20, 3, &error);
	bool alive;

	ok(segment_account(g, a,
			   cdb_record_bytes(&(struct cdb_head){ .content_bytes = 500,
								.envelope_bytes = 3 })),
	   "first record committed");
	segment_dirty(t, g);
	is_int(segments_sync(t, NULL, NULL), 1, "one sync");
	write_rows(t);
	segments_free(t);
	uint64_t d = c + steps(make_record(fd, c, 3, 102, 100, CDB_DEAD));
	uint64_t e = d + steps(make_record(fd, d, 2, 103, 100, 0));
	uint64_t f = e + steps(make_record(fd, e, 3, 104, 2000, 0));
	if (pwrite(fd, "y", 1, (off_t)e + CDB_HEAD + 1500) != 1)
		ok(false, "torn");
	make_record(fd, f + 640, 3, 105, 100, 0);

	flock(fd, LOCK_EX);
	t = segments_new(base);
	is_int(segments_load(t, store), 0, "rows read");
	g = segments_adopt(t, 0x20);
	replayed = 0;
	is_int(segment_replay(t, g, each, NULL, &alive), 0, "replayed");
	ok(alive, "its writer is alive");
	is_int(replayed, 2,
	       "only what was not accounted for, is whole, of this generation and not dead");
	is_int((int64_t)last_ta, 105, "behind a hole too");
	ok(segment_has(g, b) && segment_has(g, f + 640), "now accounted for");
	ok(!segment_has(g, e), "a torn record of a living writer may still be finished");
	segments_free(t);
	close(fd);

	t = segments_new(base);
	segments_load(t, store);
	g = segments_adopt(t, 0x20);
	replayed = 0;
	is_int(segment_replay(t, g, each, NULL, &alive), 0, "replayed after the writer has gone");
	ok(!alive && replayed == 2, "the rows were not written, so the same again");
	ok(segment_has(g, e) && segment_has(g, SEG_BYTES - CDB_STEP), "all of it is accounted for");
	write_rows(t);
	segments_free(t);
}

static uint64_t recycled;

static bool recycle_yes(void *ctx, uint64_t seg, uint64_t gen, uint64_t instance)
{
	(void)ctx;
	(void)gen;
	recycled = seg;
	return instance == 77;
}

static bool file_there(uint64_t seg)
{
	char path[CDB_PATH_MAX];

	cdb_seg_path(base, seg, path);
	return access(path, F_OK) == 0;
}

static void reap(void)
{
	struct segments *t = segments_new(base);
	int error, fd = make_segment(0x30, 1), fd2 = make_segment(0x31, 1);
	struct segment *g = segments_get(t, 0x30, 1, &error),
		       *g2 = segments_get(t, 0x31, 1, &error);

	segment_owner(g, 77);
	segment_account(g, CDB_SEG_HEAD, 640);
	segment_use(t, g, 640, 1);
	segment_dirty(t, g);
	segments_sync(t, NULL, NULL);
	write_rows(t);
	segments_reap(t, recycle_yes, NULL);
	ok(!recycled, "a segment in use is not freed");
	segment_seal(t, g, CDB_SEG_HEAD + 640);
	segments_reap(t, recycle_yes, NULL);
	ok(!recycled, "a sealed one with a record that is needed is not");
	segment_use(t, g, 640, -1);
	segments_reap(t, recycle_yes, NULL);
	ok(recycled == 0x30 && file_there(0x30), "its writer gets it again when nothing is needed");
	ok(segments_find(t, 0x30) == NULL, "and we forget it");

	segment_owner(g2, 78);
	segment_account(g2, CDB_SEG_HEAD, 64);
	segment_account(g2, CDB_SEG_HEAD + 128, 64);
	segment_dirty(t, g2);
	segments_sync(t, NULL, NULL);
	write_rows(t);
	flock(fd2, LOCK_EX);
	segments_orphan(t, 78);
	ok(!segment_orphaned(g2),
	   "a broken link alone changes nothing while the process holds the file");
	flock(fd2, LOCK_UN);
	segments_reap(t, recycle_yes, NULL);
	ok(segment_orphaned(g2) && segment_has(g2, CDB_SEG_HEAD + 64),
	   "its process has gone: the hole will never count");
	ok(file_there(0x31), "the file stays until that is in the database");
	write_rows(t);
	segments_reap(t, recycle_yes, NULL);
	ok(!file_there(0x31), "then it goes");
	close(fd);
	close(fd2);
	segments_free(t);
}

/* Sealed, and its writer's link broke a moment ago: it is looked at again and removed in one turn. */
static void reap_lost(void)
{
	struct segments *t = segments_new(base);
	int error, fd = make_segment(0x32, 1), fd2 = make_segment(0x33, 1);
	struct segment *g = segments_get(t, 0x32, 1, &error), *other;

	segment_owner(g, 79);
	segment_account(g, CDB_SEG_HEAD, 640);
	segment_seal(t, g, CDB_SEG_HEAD + 640);
	write_rows(t);
	segments_orphan(t, 79);
	segments_reap(t, recycle_yes, NULL);
	ok(!file_there(0x32) && !segments_find(t, 0x32),
	   "a sealed one that is needed no more goes while its writer is away");
	/* In the memory of the first, and to be seen by nobody before it is looked at. */
	other = segments_get(t, 0x33, 1, &error);
	segment_owner(other, 80);
	segments_reap(t, recycle_yes, NULL);
	ok(segments_find(t, 0x33) == other, "and is not looked at again");
	close(fd);
	close(fd2);
	segments_free(t);
}

int main(void)
{
	struct store_setup set = { .cache_bytes = 1 << 20,
				   .page_bytes = 4096,
				   .log_bytes = 4 << 20 };
	char dir[300], log_dir[300], why[300];
	int error;
	bool created;

	snprintf(base, sizeof base, "%s/", tap_tmpdir());
	for (int i = 0; i < 16; i++) {
		char path[CDB_PATH_MAX];

		cdb_dir_path(base, (uint64_t)i, path);
		mkdir(path, 0755);
	}
	snprintf(dir, sizeof dir, "%s/defedb", tap_tmpdir());
	snprintf(log_dir, sizeof log_dir, "%s/ibdb", tap_tmpdir());
	mkdir(dir, 0700);
	mkdir(log_dir, 0700);
	set.dir = dir;
	set.log_dir = log_dir;
	store = store_open(&set, &error, why, sizeof why, &created);
	if (!ok(store != NULL, "database"))
		return plan_done();
	ranges();
	replay();
	reap();
	reap_lost();
	store_close(store);
	return plan_done();
}

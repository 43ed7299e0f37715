#include "core/cdb_punch.h"

#include "core/cdb_read.h"
#include "core/cdb_segfile.h"
#include "core/crc32c.h"
#include "core/rcu.h"
#include "core/thread.h"
#include "tests/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEG_BYTES = 1024 * 1024, RECORDS_MAX = 2000 };

static const uint64_t gen = 7;
static char base[300];
static struct cdb_ref rec[RECORDS_MAX];
static unsigned rec_count;
static bool live[RECORDS_MAX];
static bool punching;

static uint64_t steps(uint64_t n)
{
	return (n + CDB_STEP - 1) / CDB_STEP * CDB_STEP;
}

static int open_seg(uint64_t seg)
{
	char path[CDB_PATH_MAX];

	cdb_seg_path(base, seg, path);
	return open(path, O_RDWR);
}

static void fill(char *p, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (char)(seed * 31 + i * 7 + 1);
}

/* A segment full of records of 64 to max bytes; none behind `end`. Unlocked. */
static void make(uint64_t seg, size_t max, uint64_t end)
{
	int fd = cdb_segfile_create(base, seg, gen, SEG_BYTES, (gid_t)-1);
	char *p = malloc(max + CDB_HEAD + 8);
	uint64_t at = CDB_SEG_HEAD;

	ok(fd >= 0, "segment made");
	for (rec_count = 0; rec_count < RECORDS_MAX; rec_count++) {
		size_t n = 64 + (size_t)rand() % (max - 64);
		struct cdb_head h = {
			.gen = gen, .ta = rec_count + 1, .content_bytes = n, .envelope_bytes = 3
		};

		if (at + CDB_HEAD + n + 3 > end)
			break;
		fill(p + CDB_HEAD, n, rec_count);
		memcpy(p + CDB_HEAD + n, "env", 3);
		h.content_crc = crc32c(0, p + CDB_HEAD, n);
		h.envelope_crc = crc32c(0, "env", 3);
		cdb_head_encode(&h, p);
		cdb_segfile_pwrite(fd, p, CDB_HEAD + n + 3, at);
		rec[rec_count] = (struct cdb_ref){ seg, gen, at, CDB_HEAD + n + 3 };
		at += steps(rec[rec_count].len);
		/* A piece that was reserved and never written. */
		if (rec_count % 50 == 49)
			at += CDB_STEP * (uint64_t)(rand() % 5);
	}
	free(p);
	fsync(fd);
	close(fd);
}

static uint64_t allocated(uint64_t seg)
{
	struct stat st = { 0 };
	int fd = open_seg(seg);

	fstat(fd, &st);
	close(fd);
	return (uint64_t)st.st_blocks * 512;
}

/* All that is not live, as runs. */
static unsigned runs_of(struct cdb_run *out)
{
	uint64_t at = CDB_SEG_HEAD;
	unsigned n = 0;

	for (unsigned i = 0; i < rec_count; i++) {
		if (!live[i])
			continue;
		if (rec[i].off > at)
			out[n++] = (struct cdb_run){ at, rec[i].off };
		at = rec[i].off + steps(rec[i].len);
	}
	if (at < SEG_BYTES)
		out[n++] = (struct cdb_run){ at, SEG_BYTES };
	return n;
}

static unsigned seen, seen_live;

static int see(void *ctx, const struct cdb_ref *ref, const struct cdb_head *h)
{
	(void)ctx;
	seen++;
	seen_live += h->ta - 1 < rec_count && live[h->ta - 1] && rec[h->ta - 1].off == ref->off;
	return 0;
}

/* Each live record is there byte for byte; a dead one is never handed out with other bytes. */
static bool contents_fit(void)
{
	struct cdb_reader *r = cdb_reader_new(base, 2);
	bool fit = true;

	for (unsigned i = 0; i < rec_count && fit; i++) {
		struct cdb_record c;
		int rc = cdb_open_record(r, &rec[i], i + 1, &c);

		if (rc) {
			fit = !live[i];
			continue;
		}
		char *got = malloc(rec[i].len), *want = malloc(rec[i].len);
		fill(want, c.head.content_bytes, i);
		ssize_t n = cdb_read(&c, 0, got, c.head.content_bytes);
		fit = n == (ssize_t)c.head.content_bytes && !memcmp(got, want, (size_t)n);
		if (!fit)
			diag("record %u, %s", i, live[i] ? "live" : "dead");
		free(got);
		free(want);
		cdb_close_record(r, &c);
	}
	cdb_reader_free(r);
	return fit;
}

static unsigned lives(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < rec_count; i++)
		n += live[i];
	return n;
}

/* Records die, more and more, until none is left. */
static void rounds(uint64_t seg, size_t max, const char *name)
{
	static struct cdb_run run[RECORDS_MAX + 1];
	uint64_t left, end, before;
	bool fine = true, shrinks = true, scans = true;

	make(seg, max, SEG_BYTES);
	memset(live, 1, sizeof live);
	before = allocated(seg);
	ok(before >= SEG_BYTES, "%s: %u records", name, rec_count);
	for (unsigned round = 0; round < 6; round++) {
		uint64_t yield = 0;

		for (unsigned i = 0; i < rec_count; i++)
			if (round == 5 || (round < 4 && rand() % 2) || (round == 4 && i % 97))
				live[i] = false;
		unsigned n = runs_of(run);
		int rc = cdb_punch(base, seg, gen, run, n, &left);
		if (rc == -EOPNOTSUPP) {
			skip("%s: this file system cannot punch", name);
			return;
		}
		for (unsigned i = 0; i < n; i++)
			yield += cdb_run_yield(run[i]);
		fine &= !rc && contents_fit();
		/* Within the file's own blocks of metadata. */
		shrinks &= left == allocated(seg) && left <= SEG_BYTES - yield + 16 * 1024;
		seen = seen_live = 0;
		scans &= !cdb_scan(base, seg, 0, true, see, NULL, &end) && seen_live == lives();
		/* What is too short to be punched is still there, whole. */
		scans &= round < 5 || !seen;
	}
	punching = true;
	ok(fine, "%s: what lives stays as it was, what is dead is not read", name);
	ok(shrinks, "%s: the file has as little as the runs said", name);
	ok(scans, "%s: a scan finds all that lives, and nothing damaged", name);
	ok(allocated(seg) <= 32 * 1024, "%s: at the end nearly nothing is left", name);
}

/* The blocks of a run without its head, as a crash leaves it between the heads and the holes. */
static void crash_between(void)
{
	static struct cdb_run run[RECORDS_MAX + 1];
	struct cdb_head h = { .gen = gen, .flags = CDB_DEAD };
	char head[CDB_HEAD];
	uint64_t end;

	make(0x30, 3000, SEG_BYTES / 2);
	memset(live, 0, sizeof live);
	live[3] = live[rec_count - 1] = true;
	unsigned n = runs_of(run);
	int fd = open_seg(0x30);
	h.content_bytes = run[1].to - run[1].from - CDB_HEAD;
	cdb_head_encode(&h, head);
	cdb_segfile_pwrite(fd, head, sizeof head, run[1].from);
	seen = seen_live = 0;
	ok(!cdb_scan(base, 0x30, 0, true, see, NULL, &end) && seen_live == 2 && seen == 3 + 2,
	   "the head of a run is as good as all of it");
	/* Half of a head. */
	memset(head, 0, sizeof head / 2);
	cdb_segfile_pwrite(fd, head, sizeof head, run[1].from);
	seen = seen_live = 0;
	ok(!cdb_scan(base, 0x30, 0, true, see, NULL, &end) && seen_live == 2 &&
		   seen == rec_count - 1,
	   "a torn one hides nothing but the record that stood there");
	uint64_t left;
	ok(!cdb_punch(base, 0x30, gen, run, n, &left) || !punching, "it is punched later");
	seen = seen_live = 0;
	ok(!cdb_scan(base, 0x30, 0, true, see, NULL, &end) && seen_live == 2, "nothing is lost");
	close(fd);
}

static void refusals(void)
{
	uint64_t left, end = 0, before;
	struct cdb_run run[2];

	make(0x40, 3000, SEG_BYTES / 2);
	memset(live, 1, sizeof live);
	before = allocated(0x40);
	struct {
		struct cdb_run run[2];
		unsigned count;
		const char *name;
	} bad[] = {
		{ { { 0, SEG_BYTES } }, 1, "the header of the segment" },
		{ { { rec[5].off, SEG_BYTES + CDB_STEP } }, 1, "behind the end" },
		{ { { rec[5].off + 1, SEG_BYTES } }, 1, "not on a step" },
		{ { { rec[9].off, rec[5].off } }, 1, "backwards" },
		{ { { rec[5].off, rec[9].off }, { rec[7].off, rec[12].off } }, 2, "overlapping" },
		{ { { rec[5].off + CDB_STEP, rec[19].off } }, 1, "the middle of a record" },
		{ { { rec[5].off, rec[19].off + CDB_STEP } }, 1, "a part of the last record" },
	};
	for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
		is_int(cdb_punch(base, 0x40, gen, bad[i].run, bad[i].count, &left), -EINVAL,
		       bad[i].name);
	run[0] = (struct cdb_run){ rec[5].off, rec[200].off };
	is_int(cdb_punch(base, 0x40, gen + 1, run, 1, &left), -ESTALE, "another generation");
	is_int(cdb_punch(base, 0x41, gen, run, 1, &left), -ENOENT, "a segment that is gone");
	int fd = open_seg(0x40);
	flock(fd, LOCK_EX);
	is_int(cdb_punch(base, 0x40, gen, run, 1, &left), -EBUSY, "its writer has it");
	flock(fd, LOCK_SH);
	if (geteuid()) {
		fchmod(fd, 0400);
		is_int(cdb_punch(base, 0x40, gen, run, 1, &left), -EACCES, "not ours");
		fchmod(fd, 0640);
	}
	seen = seen_live = 0;
	ok(!cdb_scan(base, 0x40, 0, true, see, NULL, &end) && seen_live == rec_count &&
		   allocated(0x40) == before,
	   "none of these changed anything");
	int rc = cdb_punch(base, 0x40, gen, run, 1, &left);
	ok(!rc || rc == -EOPNOTSUPP, "somebody who looks at it is not in the way");
	close(fd);
}

/* Used again, it has all its room. */
static void used_again(void)
{
	static struct cdb_run run[RECORDS_MAX + 1];
	uint64_t left, bytes;

	make(0x50, 3000, SEG_BYTES);
	memset(live, 0, sizeof live);
	int rc = cdb_punch(base, 0x50, gen, run, runs_of(run), &left);
	if (rc == -EOPNOTSUPP) {
		skip("this file system cannot punch");
		return;
	}
	ok(!rc && left < SEG_BYTES / 2, "punched");
	int fd = cdb_segfile_take(base, 0x50, gen, &bytes);
	is_int(cdb_segfile_renew(fd, 0x50, gen + 1, bytes), 0, "used again");
	ok(allocated(0x50) >= SEG_BYTES, "with all of its room");
	close(fd);
}

static void messages(void)
{
	static struct cdb_run out[CDB_RUNS_MAX];
	struct cdb_run a = { 4096, 8192 }, b = { 1ull << 40, 1ull << 41 };
	struct buf m = { 0 };

	cdb_runs_add(&m, a);
	cdb_runs_add(&m, b);
	is_int(cdb_runs_parse(buf_span(&m), out), 2, "two runs");
	ok(!memcmp(&out[0], &a, sizeof a) && !memcmp(&out[1], &b, sizeof b), "as they were");
	is_int(cdb_runs_parse(span_head(buf_span(&m), 31), out), -EBADMSG, "a part of one");
	for (unsigned i = 0; i < CDB_RUNS_MAX - 1; i++)
		cdb_runs_add(&m, a);
	is_int(cdb_runs_parse(buf_span(&m), out), -EBADMSG, "too many");
	buf_release(&m);
	is_int(cdb_runs_parse(SPAN(""), out), 0, "none");
}

int main(void)
{
	thread_main_register();
	snprintf(base, sizeof base, "%s/", tap_tmpdir());
	for (unsigned i = 0; i < 16; i++) {
		char path[400];

		snprintf(path, sizeof path, "%s%X", base, i);
		mkdir(path, 0755);
	}
	srand(4711);
	rounds(0x10, 1500, "small records");
	rounds(0x20, 40000, "large records");
	crash_between();
	refusals();
	used_again();
	messages();
	return plan_done();
}

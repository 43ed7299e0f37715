#include "core/cdb_read.h"

#include "core/clock.h"
#include "core/crc32c.h"
#include "tests/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEG_BYTES = 1024 * 1024 };

static const uint64_t seg = 0x4711, gen = 7;
static char base[300];

static void make_folders(void)
{
	char path[400];

	snprintf(base, sizeof base, "%s/", tap_tmpdir());
	for (unsigned i = 0; i < 16; i++) {
		snprintf(path, sizeof path, "%s%X", base, i);
		mkdir(path, 0755);
	}
}

static int open_seg(uint64_t number, int flags)
{
	char path[CDB_PATH_MAX];

	cdb_seg_path(base, number, path);
	int fd = open(path, O_RDWR | flags, 0600);
	if (fd < 0) {
		perror(path);
		exit(99);
	}
	return fd;
}

static void put(int fd, const void *p, size_t n, uint64_t at)
{
	if (pwrite(fd, p, n, (off_t)at) != (ssize_t)n)
		exit(99);
}

static void write_seg_head(int fd, uint64_t number, uint64_t its_gen)
{
	char head[CDB_SEG_HEAD];

	cdb_seg_head_encode(number, its_gen, SEG_BYTES, head);
	put(fd, head, sizeof head, 0);
}

static int make_seg(uint64_t number, uint64_t its_gen)
{
	int fd = open_seg(number, O_CREAT | O_TRUNC);

	if (ftruncate(fd, SEG_BYTES))
		exit(99);
	write_seg_head(fd, number, its_gen);
	return fd;
}

/* A record of n bytes 'x' and the envelope "env" at `at`. */
static struct cdb_ref put_record(int fd, uint64_t at, uint64_t ta, size_t n, uint32_t flags)
{
	char *content = malloc(n + 1), head[CDB_HEAD];

	memset(content, 'x', n);
	struct cdb_head h = {
		.gen = gen, .ta = ta, .content_bytes = n, .envelope_bytes = 3, .flags = flags
	};
	h.content_crc = crc32c(0, content, n);
	h.envelope_crc = crc32c(0, "env", 3);
	cdb_head_encode(&h, head);
	put(fd, head, sizeof head, at);
	put(fd, content, n, at + CDB_HEAD);
	put(fd, "env", 3, at + CDB_HEAD + n);
	free(content);
	return (struct cdb_ref){ seg, gen, at, cdb_record_bytes(&h) };
}

static void test_open(void)
{
	struct cdb_reader *r = cdb_reader_new(base, 4);
	int fd = make_seg(seg, gen);
	struct cdb_ref good = put_record(fd, CDB_SEG_HEAD, 1 << 8, 1000, 0), ref;
	struct cdb_ref dead = put_record(fd, CDB_SEG_HEAD + 2048, 2 << 8, 1000, CDB_DEAD);
	struct cdb_record rec;
	char got[2000];

	is_int(cdb_open_record(r, &good, 1 << 8, &rec), 0, "a record");
	ok(rec.head.ta == 1 << 8 && rec.content_off == CDB_SEG_HEAD + CDB_HEAD, "its head");
	is_int(cdb_read(&rec, 0, got, sizeof got), 1000, "its content");
	is_int(cdb_read(&rec, 990, got, 100), 10, "is read short only at its end");
	is_int(cdb_read(&rec, 1000, got, 1), 0, "there is nothing behind it");
	is_int(cdb_read(&rec, UINT64_MAX, got, 1), 0, "nor far behind it");
	ok(cdb_read_envelope(&rec, got) == 0 && !memcmp(got, "env", 3), "its envelope");
	put(fd, "ENV", 3, CDB_SEG_HEAD + CDB_HEAD + 1000);
	is_int(cdb_read_envelope(&rec, got), -EBADMSG, "a damaged envelope");
	cdb_close_record(r, &rec);
	cdb_close_record(r, &rec);

	const struct {
		const char *name;
		struct cdb_ref ref;
		uint64_t ta;
		int rc;
	} t[] = {
		{ "another id", good, 3 << 8, -EBADMSG },
		{ "an older generation", { seg, gen - 1, good.off, good.len }, 1 << 8, -ENOENT },
		{ "a newer generation", { seg, gen + 1, good.off, good.len }, 1 << 8, -ENOENT },
		{ "a missing segment", { 0x999, gen, good.off, good.len }, 1 << 8, -ENOENT },
		{ "a missing own file", { 0, 0, 0, good.len }, 1 << 8, -ENOENT },
		{ "another length", { seg, gen, good.off, good.len + 1 }, 1 << 8, -EBADMSG },
		{ "a place without a record",
		  { seg, gen, good.off + 64, good.len },
		  1 << 8,
		  -ENOENT },
		{ "a place that is no step",
		  { seg, gen, good.off + 1, good.len },
		  1 << 8,
		  -EBADMSG },
		{ "a place in the header", { seg, gen, 0, good.len }, 1 << 8, -EBADMSG },
		{ "a place at the end", { seg, gen, SEG_BYTES - 64, good.len }, 1 << 8, -EBADMSG },
		{ "a place behind the end", { seg, gen, SEG_BYTES, good.len }, 1 << 8, -EBADMSG },
		{ "a place far behind the end",
		  { seg, gen, UINT64_MAX - 63, good.len },
		  1 << 8,
		  -EBADMSG },
		{ "an own file with an offset", { 0, 0, 64, good.len }, 1 << 8, -EBADMSG },
		{ "a dead record", dead, 2 << 8, -ESTALE },
	};
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++)
		is_int(cdb_open_record(r, &t[i].ref, t[i].ta, &rec), t[i].rc, t[i].name);

	ref = put_record(fd, CDB_SEG_HEAD + 8192, 4 << 8, 100, 0);
	put(fd, "\1", 1, ref.off + 40);
	is_int(cdb_open_record(r, &ref, 4 << 8, &rec), -EBADMSG, "a damaged head");

	/* A head that says more than there is. */
	char head[CDB_HEAD];
	struct cdb_head big = { .gen = gen, .ta = 5 << 8, .content_bytes = SEG_BYTES };
	cdb_head_encode(&big, head);
	put(fd, head, sizeof head, CDB_SEG_HEAD + 16384);
	ref = (struct cdb_ref){ seg, gen, CDB_SEG_HEAD + 16384, CDB_HEAD + SEG_BYTES };
	is_int(cdb_open_record(r, &ref, 5 << 8, &rec), -EBADMSG,
	       "a record beyond the end of the file");
	close(fd);
	cdb_reader_free(r);
	cdb_reader_free(NULL);
}

static void test_file_kinds(void)
{
	struct cdb_reader *r = cdb_reader_new(base, 4);
	struct cdb_ref ref = { 0x20, gen, CDB_SEG_HEAD, 200 };
	char path[CDB_PATH_MAX];
	struct cdb_record rec;

	cdb_seg_path(base, 0x20, path);
	mkdir(path, 0755);
	is_int(cdb_open_record(r, &ref, 1, &rec), -EBADMSG, "a folder in place of a segment");
	rmdir(path);
	if (symlink("/etc/passwd", path))
		exit(99);
	is_int(cdb_open_record(r, &ref, 1, &rec), -EBADMSG, "a symbolic link");
	unlink(path);
	mkfifo(path, 0600);
	is_int(cdb_open_record(r, &ref, 1, &rec), -EBADMSG, "a fifo does not block");
	unlink(path);
	int fd = open_seg(0x20, O_CREAT);
	is_int(cdb_open_record(r, &ref, 1, &rec), -EBADMSG, "an empty file");
	write_seg_head(fd, 0x21, gen);
	is_int(cdb_open_record(r, &ref, 1, &rec), -EBADMSG, "the header of another segment");
	char head[CDB_SEG_HEAD];
	cdb_seg_head_encode(0x20, gen, SEG_BYTES, head);
	head[4]++;
	put(fd, head, sizeof head, 0);
	is_int(cdb_open_record(r, &ref, 1, &rec), -EPROTONOSUPPORT,
	       "the header of another version");
	close(fd);
	unlink(path);
	cdb_reader_free(r);
}

static unsigned count_fds(void)
{
	unsigned n = 0;

	for (int fd = 3; fd < 200; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* More segments than descriptors. */
static void test_cache(void)
{
	enum { SEGS = 10, OPEN = 3 };
	struct cdb_reader *r = cdb_reader_new(base, OPEN);
	struct cdb_record rec[SEGS];
	struct cdb_ref ref[SEGS];
	unsigned bad = 0, before = count_fds();
	char c;

	for (unsigned i = 0; i < SEGS; i++) {
		int fd = make_seg(0x100 + i, gen);

		ref[i] = put_record(fd, CDB_SEG_HEAD, (uint64_t)(i + 1) << 8, i + 1, 0);
		ref[i].seg = 0x100 + i;
		close(fd);
	}
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < SEGS; i++) {
			bad += cdb_open_record(r, &ref[i], (uint64_t)(i + 1) << 8, &rec[i]) != 0;
			bad += cdb_read(&rec[i], i, &c, 1) != 1;
			cdb_close_record(r, &rec[i]);
		}
	}
	is_int(bad, 0, "records of many segments, one after the other");
	is_int(count_fds() - before, OPEN, "no more descriptors stay open than were allowed");
	for (unsigned i = 0; i < SEGS; i++)
		bad += cdb_open_record(r, &ref[i], (uint64_t)(i + 1) << 8, &rec[i]) != 0;
	for (unsigned i = 0; i < SEGS; i++)
		bad += rec[i].fd < 0 || cdb_read(&rec[i], i, &c, 1) != 1;
	is_int(bad, 0, "all at the same time");
	for (unsigned i = 0; i < SEGS; i++)
		cdb_close_record(r, &rec[i]);
	is_int(count_fds() - before, OPEN, "the others are closed at once");

	/* Used again while its descriptor is cached. */
	int fd = open_seg(ref[9].seg, 0);
	bad += cdb_open_record(r, &ref[9], 10 << 8, &rec[9]) != 0;
	cdb_close_record(r, &rec[9]);
	write_seg_head(fd, ref[9].seg, gen + 1);
	struct cdb_ref next = ref[9];
	next.gen++;
	is_int(cdb_open_record(r, &next, 10 << 8, &rec[9]), -ENOENT,
	       "a new generation without such a record");
	is_int(cdb_open_record(r, &ref[9], 10 << 8, &rec[9]), -ENOENT,
	       "the old generation is gone");
	close(fd);
	cdb_reader_free(r);
	is_int(count_fds() - before, 0, "at the end all are closed");
	for (unsigned i = 0; i < SEGS; i++) {
		char path[CDB_PATH_MAX];

		cdb_seg_path(base, ref[i].seg, path);
		unlink(path);
	}
}

/* ---- walking */

static struct {
	unsigned count;
	uint64_t ta[100], off[100];
	unsigned stop_at;
} seen;

static int see(void *ctx, const struct cdb_ref *ref, const struct cdb_head *h)
{
	(void)ctx;
	if (seen.count < 100) {
		seen.ta[seen.count] = h->ta >> 8;
		seen.off[seen.count] = ref->off;
	}
	seen.count++;
	return seen.count == seen.stop_at ? 42 : 0;
}

static int scan(uint64_t from, bool check, uint64_t *end)
{
	seen.count = 0;
	return cdb_scan(base, seg, from, check, see, NULL, end);
}

static bool saw(const char *want)
{
	char got[400] = "";

	for (unsigned i = 0; i < seen.count && i < 100; i++)
		snprintf(got + strlen(got), sizeof got - strlen(got), "%s%u", i ? " " : "",
			 (unsigned)seen.ta[i]);
	if (strcmp(got, want))
		diag("got %s, want %s", got, want);
	return !strcmp(got, want);
}

static void test_scan(void)
{
	uint64_t end, big = 300000;
	int fd = make_seg(seg, gen);
	char c;

	ok(scan(0, true, &end) == 0 && saw("") && end == CDB_SEG_HEAD, "an empty segment");
	put_record(fd, CDB_SEG_HEAD, 1 << 8, 100, 0);
	struct cdb_ref two = put_record(fd, CDB_SEG_HEAD + 256, 2 << 8, big, 0);
	uint64_t at = CDB_SEG_HEAD + 256 + (two.len + 63) / 64 * 64;
	put_record(fd, at + 100 * 64, 3 << 8, 0, 0);
	put_record(fd, at + 200 * 64, 4 << 8, 1000, CDB_DEAD);
	struct cdb_ref last = put_record(fd, SEG_BYTES - 256, 5 << 8, 100, 0);
	ok(scan(0, false, &end) == 0 && saw("1 2 3 5"),
	   "records with holes between them, not the dead one");
	is_int((int64_t)end, (int64_t)(last.off + 256), "the end is behind the last one");
	ok(scan(0, true, &end) == 0 && saw("1 2 3 5"), "the same with their content");
	ok(scan(CDB_SEG_HEAD + 1, false, &end) == 0 && saw("2 3 5"), "from a place on");
	ok(scan(SEG_BYTES, false, &end) == 0 && saw(""), "from the end");
	ok(scan(UINT64_MAX, false, &end) == 0 && saw(""), "from far behind the end");
	seen.stop_at = 2;
	ok(scan(0, false, &end) == 42 && saw("1 2"), "it stops when it is told to");
	seen.stop_at = 0;

	c = 'y';
	put(fd, &c, 1, two.off + CDB_HEAD + big - 1);
	ok(scan(0, true, &end) == 0 && saw("1 3 5"), "a record with a damaged content is left out");
	ok(scan(0, false, &end) == 0 && saw("1 2 3 5"), "unless nobody looks");
	c = 'x';
	put(fd, &c, 1, two.off + CDB_HEAD + big - 1);
	put(fd, "E", 1, two.off + CDB_HEAD + big);
	ok(scan(0, true, &end) == 0 && saw("1 3 5"), "the same for its envelope");

	/* Content that looks like a record: it is stepped over with the record that holds it. */
	put_record(fd, two.off + 128 + 64 * 100, 66 << 8, 10, 0);
	ok(scan(0, false, &end) == 0 && saw("1 2 3 5"), "a record inside of a record is not one");
	/* The same without the outer one, as another generation. */
	char head[CDB_HEAD];
	struct cdb_head h = { .gen = gen + 1, .ta = 77 << 8 };
	cdb_head_encode(&h, head);
	put(fd, head, sizeof head, at + 300 * 64);
	ok(scan(0, false, &end) == 0 && saw("1 2 3 5"), "nor one of another generation");
	h = (struct cdb_head){ .gen = gen, .ta = 78 << 8, .content_bytes = SEG_BYTES };
	cdb_head_encode(&h, head);
	put(fd, head, sizeof head, at + 400 * 64);
	ok(scan(0, false, &end) == 0 && saw("1 2 3 5"), "nor one that is longer than the file");
	close(fd);
	seen.count = 0;
	is_int(cdb_scan(base, 0x998, 0, false, see, NULL, &end), -ENOENT, "a missing segment");
}

static void test_garbage(void)
{
	int fd = make_seg(seg, gen);
	char *b = malloc(SEG_BYTES);
	uint64_t end;

	srandom(11);
	for (size_t i = 0; i < SEG_BYTES; i++)
		b[i] = (char)random();
	/* Many places begin like a record. */
	char head[CDB_HEAD];
	struct cdb_head h = { .gen = gen, .ta = 1 << 8, .content_bytes = 50 };
	cdb_head_encode(&h, head);
	for (unsigned i = 0; i < 3000; i++)
		memcpy(b + (size_t)random() % (SEG_BYTES / 64 - 2) * 64, head,
		       1 + (size_t)random() % (CDB_HEAD - 1));
	put(fd, b + CDB_SEG_HEAD, SEG_BYTES - CDB_SEG_HEAD, CDB_SEG_HEAD);
	ok(scan(0, true, &end) == 0 && seen.count == 0, "garbage holds no record");
	put_record(fd, CDB_SEG_HEAD + 640, 8 << 8, 100, 0);
	ok(scan(0, true, &end) == 0 && saw("8"), "but a record within it is found");
	if (ftruncate(fd, SEG_BYTES - 1000))
		exit(99);
	ok(scan(0, true, &end) == 0 && saw("8"), "also in a file that is too short");
	if (ftruncate(fd, CDB_SEG_HEAD + 10))
		exit(99);
	ok(scan(0, true, &end) == 0 && saw(""), "or ends behind its header");
	put(fd, b, 100, 0);
	is_int(scan(0, true, &end), -EBADMSG, "a damaged header");
	free(b);
	close(fd);
}

static void test_sparse(void)
{
	int fd = make_seg(seg, gen);
	uint64_t end;

	if (ftruncate(fd, (off_t)1 << 40))
		exit(99);
	put_record(fd, (uint64_t)1 << 39, 9 << 8, 100, 0);
	usec_t begin = clock_now();
	if (lseek(fd, CDB_SEG_HEAD + 4096, SEEK_DATA) < (off_t)1 << 30) {
		skip("no holes in files here");
	} else {
		ok(scan(0, true, &end) == 0 && saw("9"), "one record in a terabyte of nothing");
		ok(clock_now() - begin < 5 * USEC_PER_SEC, "is found at once");
	}
	close(fd);
}

/* ---- listing */

static uint64_t list_segs, list_tas;
static unsigned list_count;

static int count(void *ctx, uint64_t s, uint64_t ta)
{
	list_count++;
	list_segs += s;
	list_tas += ta;
	return ctx && list_count == *(unsigned *)ctx ? 43 : 0;
}

static void touch(const char *name)
{
	char path[400];

	snprintf(path, sizeof path, "%s%s", base, name);
	close(open(path, O_CREAT | O_WRONLY, 0600));
}

static void test_list(void)
{
	unsigned stop = 2;
	char path[CDB_PATH_MAX];

	cdb_seg_path(base, seg, path);
	unlink(path);
	is_int(cdb_list(base, count, NULL), 0, "a list");
	is_int(list_count, 0, "of nothing");
	touch("1/G0000000000004711");
	touch("2/G0000000000004712");
	touch("2/S00000000407CE49200");
	touch("F/S00000000407CE49F05");
	static const char *const others[] = {
		"3/G0000000000004711", /* in a folder where nobody would look */
		"3/S00000000407CE49200",
		"1/G000000000000471",
		"1/G00000000000047111",
		"1/g0000000000004711",
		"A/G000000000000471a",
		"0/G0000000000000000",
		"1/G0000000000004711.done",
		"0/S00000000407CE492",
		"0/README",
		"0/.hidden",
	};
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
		touch(others[i]);
	is_int(cdb_list(base, count, NULL), 0, "a list of some");
	ok(list_count == 4 && list_segs == 0x4711 + 0x4712 &&
		   list_tas == 0x407CE49200 + 0x407CE49F05,
	   "segments and own files, nothing else");
	list_count = 0;
	is_int(cdb_list(base, count, &stop), 43, "it stops when it is told to");
	snprintf(path, sizeof path, "%s3", base);
	char away[CDB_PATH_MAX + 8];
	snprintf(away, sizeof away, "%sgone", base);
	list_count = 0;
	ok(rename(path, away) == 0 && cdb_list(base, count, NULL) == 0 && list_count == 4,
	   "a folder that is not there yet");
	is_int(cdb_list("/nonexistent", count, NULL), -ENOENT, "no folder at all");
}

/* What start-up finds: the file alone, no reference. */
static void test_check_file(void)
{
	const uint64_t ta = 0x407CE49400;
	char path[CDB_PATH_MAX], head[CDB_HEAD], body[3000];
	struct cdb_head h = { .ta = ta, .content_bytes = sizeof body, .envelope_bytes = 3 }, got;
	struct cdb_ref ref;

	is_int(cdb_check_file(base, ta, &ref, &got), -ENOENT, "no own file");
	memset(body, 'y', sizeof body);
	h.content_crc = crc32c(0, body, sizeof body);
	h.envelope_crc = crc32c(0, "env", 3);
	cdb_head_encode(&h, head);
	cdb_file_path(base, ta, path);
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	is_int(cdb_check_file(base, ta, &ref, &got), -EBADMSG, "an empty one");
	put(fd, body, sizeof body, CDB_HEAD);
	put(fd, "env", 3, CDB_HEAD + sizeof body);
	is_int(cdb_check_file(base, ta, &ref, &got), -ENOENT, "one whose head was not written");
	put(fd, head, sizeof head, 0);
	is_int(cdb_check_file(base, ta, &ref, &got), 0, "a whole one");
	ok(!ref.seg && !ref.gen && !ref.off && ref.len == CDB_HEAD + sizeof body + 3 &&
		   got.ta == ta,
	   "its reference");
	put(fd, "z", 1, CDB_HEAD + 2000);
	is_int(cdb_check_file(base, ta, &ref, &got), -EBADMSG, "one whose content is torn");
	put(fd, "y", 1, CDB_HEAD + 2000);
	put(fd, "E", 1, CDB_HEAD + sizeof body);
	is_int(cdb_check_file(base, ta, &ref, &got), -EBADMSG, "one whose envelope is torn");
	if (ftruncate(fd, CDB_HEAD + sizeof body))
		exit(99);
	is_int(cdb_check_file(base, ta, &ref, &got), -EBADMSG, "one that is too short");
	close(fd);
	unlink(path);
}

int main(void)
{
	make_folders();
	test_open();
	test_file_kinds();
	test_cache();
	test_scan();
	test_garbage();
	test_sparse();
	test_list();
	test_check_file();
	return plan_done();
}

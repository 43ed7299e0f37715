#include "queue/dsn_original.h"

#include "core/cdb_write.h"
#include "tests/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void header(const char *in, size_t n, bool raw, const char *want, const char *name)
{
	struct buf b = { 0 };

	dsn_original_header(span_of(in, n), raw, &b);
	is_mem(buf_span(&b).p, buf_len(&b), want, strlen(want), name);
	buf_release(&b);
}

static void sections(void)
{
	static const char stored[] = "A: b\r\n..c: d\r\n",
			  raw[] = "A: b\r\n.c: d\ne: f\rg: h\r\n\r\n\0i";

	header(stored, sizeof stored - 1, false, stored, "as it is stored");
	header(raw, sizeof raw - 1, true, "A: b\r\n..c: d\r\ne: f\r\ng: h\r\n?i\r\n",
	       "binary: bare CR and LF, empty lines, NUL");
	char lines[4000];
	struct buf b = { 0 };
	bool good = true;
	memset(lines, 'x', sizeof lines);
	dsn_original_header(span_of(lines, sizeof lines), false, &b);
	struct span s = buf_span(&b);
	while (s.n && good) {
		size_t n = span_find(s, SPAN("\r\n"));

		good = n <= 998 && n < s.n;
		s = span_from(s, n + 2);
	}
	ok(good && buf_len(&b) == sizeof lines + 4 * 3 + 2, "long lines are folded");
	buf_release(&b);
}

/* A record in a fresh segment. */
static struct cdb_writer *writer;
static struct cdb_ref store(uint64_t ta, struct span content, uint32_t header_bytes, uint32_t flags)
{
	struct cdb_head h = { .ta = ta,
			      .content_bytes = content.n,
			      .size_bytes = content.n,
			      .header_bytes = header_bytes,
			      .flags = flags };
	struct iovec part = { (void *)content.p, content.n };
	struct cdb_ref ref = { 0 };
	struct cdb_file f;
	int rc = cdb_append(writer, &h, &part, 1, SPAN("envelope"), &ref);

	if (rc == -EAGAIN) {
		rc = cdb_file_begin(writer, ta, &f);
		if (!rc)
			rc = cdb_file_add(&f, content);
		if (!rc)
			rc = cdb_file_finish(writer, &f, &h, SPAN("envelope"), &ref);
	}
	ok(rc == 0, "stored");
	return ref;
}

static void returned(const char *base, const struct cdb_ref *ref, uint64_t ta, uint64_t max,
		     bool want, const char *text, size_t n, bool whole, const char *name)
{
	struct buf b = { 0 };
	bool all = want;

	ok(dsn_original(base, ref, ta, max, &all, &b) == 0 && all == whole, "%s", name);
	is_mem(buf_span(&b).p, buf_len(&b), text, n, name);
	buf_release(&b);
}

/* A byte of its content. */
static void damage(const char *base, const struct cdb_ref *ref, uint64_t at, char byte)
{
	char path[CDB_PATH_MAX];

	if (ref->seg)
		cdb_seg_path(base, ref->seg, path);
	else
		cdb_file_path(base, 0x400, path);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ok(fd >= 0 && pwrite(fd, &byte, 1, (off_t)(ref->off + CDB_HEAD + at)) == 1,
	   "a byte is changed");
	close(fd);
}

static void segment(void *ctx, uint64_t seg, uint64_t gen, uint64_t end, bool sealed)
{
	(void)ctx, (void)seg, (void)gen, (void)end, (void)sealed;
}

static void records(void)
{
	static const char text[] = "A: b\r\n\r\nbody\r\n..x\r\n", *header_only = "A: b\r\n";
	char base[512], dir[530];
	int error = 0;

	snprintf(base, sizeof base, "%s/", tap_tmpdir());
	for (int i = 0; i < 16; i++) {
		snprintf(dir, sizeof dir, "%s%X", base, (unsigned)i);
		mkdir(dir, 0700);
	}
	struct cdb_writer_setup setup = { .base = base, .gid = (gid_t)-1, .segment = segment };
	writer = cdb_writer_new(&setup, &error);
	if (!ok(writer != NULL, "a content database"))
		return;
	struct cdb_ref ref = store(0x100, SPAN(text), 6, 0);
	returned(base, &ref, 0x100, 1000, true, text, sizeof text - 1, true, "the whole");
	returned(base, &ref, 0x100, 1000, false, header_only, 6, false, "the header");
	returned(base, &ref, 0x100, sizeof text - 1, true, text, sizeof text - 1, true,
		 "just as large as may be");
	returned(base, &ref, 0x100, sizeof text - 2, true, header_only, 6, false, "too large");
	ref = store(0x200, SPAN("A: b\r\n\r\nno end"), 6, 0);
	returned(base, &ref, 0x200, 1000, true, "A: b\r\n\r\nno end\r\n", 16, true,
		 "a last line without its end");
	ref = store(0x300, SPAN("A: b\r\n\r\n\0\1binary\n"), 6, CDB_RAW);
	returned(base, &ref, 0x300, 1000, true, header_only, 6, false, "binary content");

	size_t n = 1000 * 100;
	char *big = malloc(n + 1);
	for (size_t i = 0; i < n; i += 100)
		snprintf(big + i, 101, "%-98s\r\n", "X:");
	ref = store(0x400, span_of(big, n), (uint32_t)n, 0);
	struct buf b = { 0 };
	bool whole = false;
	ok(dsn_original(base, &ref, 0x400, 1 << 20, &whole, &b) == 0 &&
		   buf_len(&b) == DSN_ORIGINAL_HEADER_MAX / 100 * 100,
	   "a huge header section is cut at the end of a line");
	buf_release(&b);
	damage(base, &ref, 50000, 'Y');
	whole = true;
	b = (struct buf){ 0 };
	is_int(dsn_original(base, &ref, 0x400, 1 << 20, &whole, &b), -EBADMSG,
	       "damaged: not the whole");
	whole = false;
	is_int(dsn_original(base, &ref, 0x400, 1 << 20, &whole, &b), -EBADMSG, "nor the header");
	ok(!buf_len(&b), "nothing of it");
	damage(base, &ref, 50000, 'X');
	is_int(dsn_original(base, &ref, 0x400, 1 << 20, &whole, &b), 0, "whole again");
	buf_release(&b);
	ref.off += 64;
	whole = true;
	b = (struct buf){ 0 };
	ok(dsn_original(base, &ref, 0x400, 1 << 20, &whole, &b) < 0 && !buf_len(&b),
	   "no record there");
	buf_release(&b);
	free(big);
	cdb_writer_free(writer);
}

int main(void)
{
	sections();
	records();
	return plan_done();
}

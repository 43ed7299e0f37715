/*
 * tests/fuzz/fuzz_segment.c - any bytes as a segment of the content database and as the file of marks
 * beside it; some of the bytes say how heads of records are made, with the right CRC.
 *
 * What a scan finds lies in the file, in order, and can be opened and read.
 */
#include "core/cdb_read.h"
#include "core/crc32c.h"
#include "core/err.h"
#include "core/wire.h"
#include "queue/marks.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEG = 1, GEN = 7, IMAGE_MAX = 1 << 16, PIECE_MAX = 512 };

/* Of the first byte of a piece. */
enum { IS_HEAD = 1, LONG = 2, FITS = 4, OTHER_GEN = 8, DEAD = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char base[64];
static int seg_fd = -1, marks_fd = -1;

static void at_exit(void)
{
	char path[CDB_PATH_MAX];

	marks_remove(base, SEG);
	cdb_seg_path(base, SEG, path);
	unlink(path);
	*strrchr(path, '/') = 0;
	rmdir(path);
	rmdir(base);
}

static void begin(void)
{
	char path[CDB_PATH_MAX];

	strcpy(base, "/tmp/smx-fuzz-XXXXXX");
	if (!mkdtemp(base))
		panic("no folder");
	strcat(base, "/");
	cdb_seg_path(base, SEG, path);
	char *name = strrchr(path, '/') + 1;
	*--name = 0;
	mkdir(path, 0700);
	*name++ = '/';
	seg_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	*name = 'M';
	marks_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (seg_fd < 0 || marks_fd < 0)
		panic("no files");
	atexit(at_exit);
}

static void put(int fd, const char *p, size_t n)
{
	if (ftruncate(fd, 0) || pwrite(fd, p, n, 0) != (ssize_t)n)
		panic("cannot write");
}

/* Returns how many of the bytes that follow are its content and envelope. */
static size_t head(struct wire_r *r, uint8_t kind, char *dst)
{
	struct cdb_head h = { .gen = kind & OTHER_GEN ? 1 : GEN,
			      .flags = kind & DEAD ? CDB_DEAD : 0 };

	h.ta = wire_get_u8(r);
	h.content_bytes = kind & LONG ? wire_get_u64(r) : wire_get_u8(r);
	h.envelope_bytes = kind & LONG ? wire_get_u32(r) : wire_get_u8(r);
	size_t left = (size_t)(r->end - r->p), n = h.content_bytes + h.envelope_bytes;
	bool fits = kind & FITS && h.content_bytes < PIECE_MAX && n < PIECE_MAX && n <= left;
	if (fits) {
		h.content_crc = crc32c(0, r->p, h.content_bytes);
		h.envelope_crc = crc32c(0, r->p + h.content_bytes, h.envelope_bytes);
	}
	cdb_head_encode(&h, dst);
	return fits ? n : 0;
}

/* The size of the image. */
static size_t make(struct span s, char *dst)
{
	struct wire_r r = wire_reader(s);
	size_t at = CDB_SEG_HEAD;

	cdb_seg_head_encode(SEG, GEN, IMAGE_MAX, dst);
	while (!r.bad && r.p < r.end && at + CDB_HEAD + PIECE_MAX < IMAGE_MAX) {
		uint8_t kind = wire_get_u8(&r);
		size_t n = kind;

		if (kind & IS_HEAD) {
			n = head(&r, kind, dst + at);
			at += CDB_HEAD;
		}
		if (n > (size_t)(r.end - r.p))
			n = (size_t)(r.end - r.p);
		memcpy(dst + at, r.p, n);
		r.p += n;
		at = (at + n + CDB_STEP - 1) & ~(size_t)(CDB_STEP - 1);
	}
	return at;
}

struct found {
	struct cdb_reader *reader;
	uint64_t behind, size;
};

static int each(void *ctx, const struct cdb_ref *ref, const struct cdb_head *h)
{
	struct found *f = ctx;
	struct cdb_record rec;

	if (ref->off < f->behind || ref->off % CDB_STEP || ref->len > f->size - ref->off)
		panic("a record out of its place");
	f->behind = ref->off + ref->len;
	if (cdb_open_record(f->reader, ref, h->ta, &rec))
		panic("it cannot be opened");
	char *bytes = malloc(ref->len);
	if (bytes && (cdb_read(&rec, 0, bytes, ref->len) != (ssize_t)h->content_bytes ||
		      cdb_read_envelope(&rec, bytes) ||
		      crc32c(0, bytes, h->envelope_bytes) != h->envelope_crc))
		panic("it cannot be read");
	free(bytes);
	cdb_close_record(f->reader, &rec);
	return 0;
}

static int count(void *ctx, const struct cdb_ref *ref, const struct cdb_head *h)
{
	unsigned *n = ctx;

	(void)ref;
	(void)h;
	++*n;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char image[IMAGE_MAX];
	struct marks_list marks;
	uint64_t end;
	unsigned n = 0;

	if (seg_fd < 0)
		begin();
	memset(image, 0, sizeof image);
	struct found f = { cdb_reader_new(base, 4), CDB_SEG_HEAD,
			   make(span_of(data, size), image) };
	put(seg_fd, image, f.size);
	if (cdb_scan(base, SEG, 0, true, each, &f, &end) || end < f.behind ||
	    end > f.size + CDB_STEP)
		panic("the scan failed");
	cdb_scan(base, SEG, size, false, count, &n, &end);
	cdb_reader_free(f.reader);

	put(marks_fd, (const char *)data, size);
	if (marks_read(base, SEG, GEN, &marks))
		panic("the marks cannot be read");
	if (marks.count > size / MARKS_ENTRY)
		panic("more marks than there are");
	marks_has(&marks, size);
	marks_list_free(&marks);
	return 0;
}

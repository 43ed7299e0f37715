#include "queue/dsn_original.h"

#include "core/cdb_read.h"
#include "core/crc32c.h"

#include <errno.h>

enum { LINE_MAX_HEADER = 998, CHECK_MAX = 8 << 20 };

static int put_line(struct buf *out, struct span line, bool raw)
{
	int rc = raw && line.n && line.p[0] == '.' ? buf_add(out, ".", 1) : 0;
	size_t room = LINE_MAX_HEADER;

	/* An empty line would end the section. */
	if (!line.n)
		return 0;
	while (line.n > room && !rc) {
		rc = buf_add_span(out, span_head(line, room));
		if (!rc)
			rc = buf_add(out, "\r\n ", 3);
		line = span_from(line, room);
		room = LINE_MAX_HEADER - 1;
	}
	if (!rc)
		rc = buf_add_span(out, line);
	return rc ? rc : buf_add(out, "\r\n", 2);
}

int dsn_original_header(struct span in, bool raw, struct buf *out)
{
	uint32_t begin = out->w;
	int rc = 0;

	while (in.n && !rc) {
		size_t n = 0;

		while (n < in.n && in.p[n] != '\r' && in.p[n] != '\n')
			n++;
		rc = put_line(out, span_head(in, n), raw);
		in = span_from(in, in.n - n > 1 && in.p[n] == '\r' && in.p[n + 1] == '\n' ? n + 2
											  : n + 1);
	}
	for (uint32_t i = begin; i < out->w && !rc; i++)
		if (!out->p[i])
			out->p[i] = '?';
	return rc;
}

/* The CRC is that of all of the content. */
static int check(const struct cdb_record *rec, struct buf *space)
{
	char *to = buf_room(space, DSN_ORIGINAL_HEADER_MAX);
	uint64_t at = 0;
	uint32_t crc = 0;

	if (!to)
		return -ENOMEM;
	while (at < rec->head.content_bytes) {
		uint64_t left = rec->head.content_bytes - at;
		ssize_t n =
			cdb_read(rec, at, to,
				 left < DSN_ORIGINAL_HEADER_MAX ? left : DSN_ORIGINAL_HEADER_MAX);

		if (n <= 0)
			return n < 0 ? (int)n : -EBADMSG;
		crc = crc32c(crc, to, (size_t)n);
		at += (uint64_t)n;
	}
	return crc == rec->head.content_crc ? 0 : -EBADMSG;
}

static int read_header(const struct cdb_record *rec, struct buf *out)
{
	uint64_t want = rec->head.header_bytes;
	struct buf b = { 0 };
	bool cut = want > DSN_ORIGINAL_HEADER_MAX;

	if (cut)
		want = DSN_ORIGINAL_HEADER_MAX;
	int rc = rec->head.content_bytes <= CHECK_MAX ? check(rec, &b) : 0;
	b.r = b.w = 0;
	char *to = rc ? NULL : buf_room(&b, want + 1);
	ssize_t n = rc ? rc : to ? cdb_read(rec, 0, to, want) : -ENOMEM;
	rc = n < 0 ? (int)n : 0;
	if (n > 0) {
		struct span s = span_of(to, (size_t)n);

		/* Half a line would say something else. */
		if (cut && span_rchr(s, '\n') < s.n)
			s = span_head(s, span_rchr(s, '\n') + 1);
		rc = dsn_original_header(s, rec->head.flags & CDB_RAW, out);
	}
	buf_release(&b);
	return rc;
}

static int read_whole(const struct cdb_record *rec, struct buf *out)
{
	uint64_t want = rec->head.content_bytes;
	char *to = buf_room(out, want + 2);
	ssize_t n = to ? cdb_read(rec, 0, to, want) : -ENOMEM;

	if (n < 0)
		return (int)n;
	if ((uint64_t)n != want || crc32c(0, to, want) != rec->head.content_crc)
		return -EBADMSG;
	buf_wrote(out, (size_t)n);
	return n && to[n - 1] != '\n' ? buf_add(out, "\r\n", 2) : 0;
}

int dsn_original(const char *base, const struct cdb_ref *ref, uint64_t ta, uint64_t max_bytes,
		 bool *whole, struct buf *out)
{
	struct cdb_reader *r = cdb_reader_new(base, 1);
	uint32_t begin = out->w;
	struct cdb_record rec;
	int rc = r ? cdb_open_record(r, ref, ta, &rec) : -ENOMEM;

	if (!rc) {
		if (rec.head.content_bytes > max_bytes || rec.head.flags & CDB_RAW)
			*whole = false;
		rc = *whole ? read_whole(&rec, out) : read_header(&rec, out);
		cdb_close_record(r, &rec);
	}
	if (r)
		cdb_reader_free(r);
	if (rc)
		out->w = begin;
	return rc;
}

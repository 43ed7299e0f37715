#include "proto/smtpc_content.h"

#include "core/crc32c.h"

#include <errno.h>
#include <stdio.h>

void smtpc_content_start(struct smtpc_content *c, const struct cdb_record *rec, bool plain)
{
	*c = (struct smtpc_content){ .rec = rec, .plain = plain };
	if (rec)
		c->bytes = rec->head.content_bytes;
	if (plain)
		c->tail_known = true;
}

static int our_fault(struct smtpc_content *c, int rc)
{
	c->unreadable = rc;
	return rc;
}

/* last: the last bytes of the content, at least two unless it has fewer. */
static void set_tail(struct smtpc_content *c, struct span last)
{
	bool ends = !last.n || span_endswith(last, SPAN("\r\n"));
	struct span t = ends ? SPAN(".\r\n") : SPAN("\r\n.\r\n");

	memcpy(c->tail, t.p, t.n);
	c->tail_n = (uint8_t)t.n;
	c->tail_known = true;
}

static int find_tail(struct smtpc_content *c)
{
	char last[2];

	if (c->tail_known)
		return 0;
	if (!c->bytes) {
		set_tail(c, span_of(last, 0));
		return 0;
	}
	size_t n = c->bytes < 2 ? 1 : 2;
	ssize_t got = cdb_read(c->rec, c->bytes - n, last, n);
	if (got != (ssize_t)n)
		return our_fault(c, got < 0 ? (int)got : -EBADMSG);
	set_tail(c, span_of(last, n));
	return 0;
}

/* These bytes of the content are at `at`; what was looked at before is left out. */
static void check(struct smtpc_content *c, uint64_t at, struct span s)
{
	if (at != c->checked)
		return;
	c->crc = crc32c(c->crc, s.p, s.n);
	c->checked += s.n;
}

/* What is left of the content and the tail into block; returns its length or -errno. */
static ssize_t fill(struct smtpc_content *c, char *block)
{
	size_t n = c->at < c->bytes ? (size_t)(c->bytes - c->at) : 0;
	size_t tail_at = c->at > c->bytes ? (size_t)(c->at - c->bytes) : 0;

	if (n) {
		ssize_t got = cdb_read(c->rec, c->at, block, n);

		if (got != (ssize_t)n)
			return our_fault(c, got < 0 ? (int)got : -EBADMSG);
		check(c, c->at, span_of(block, n));
		if (c->crc != c->rec->head.content_crc)
			return our_fault(c, -EBADMSG);
		if (!c->tail_known && !c->at)
			set_tail(c, span_of(block, n));
	}
	int rc = find_tail(c);
	if (rc)
		return rc;
	memcpy(block + n, c->tail + tail_at, c->tail_n - tail_at);
	return (ssize_t)(n + c->tail_n - tail_at);
}

static int send_rest(struct smtpc_content *c, struct smtpc_io *io, char *block, bool *progress)
{
	ssize_t n = fill(c, block);

	if (n < 0)
		return (int)n;
	struct span s = span_of(block, (size_t)n);
	while (s.n) {
		ssize_t put = smtpc_io_put(io, s);

		if (put == -EAGAIN)
			return 0;
		if (put < 0)
			return (int)put;
		*progress = true;
		c->at += (uint64_t)put;
		s = span_from(s, (size_t)put);
	}
	return 1;
}

int smtpc_content_chunk(const struct cdb_record *rec, struct buf *out)
{
	size_t n = (size_t)rec->head.content_bytes;
	char head[48];
	int head_n = snprintf(head, sizeof head, "BDAT %zu LAST\r\n", n);
	char *p = buf_room(out, (size_t)head_n + n);

	if (!p)
		return -ENOMEM;
	ssize_t got = cdb_read(rec, 0, p + head_n, n);
	if (got != (ssize_t)n)
		return got < 0 ? (int)got : -EBADMSG;
	if (crc32c(0, p + head_n, n) != rec->head.content_crc)
		return -EBADMSG;
	if (rec->head.dots || !span_endswith(span_of(p + head_n, n), SPAN("\r\n")))
		return 1;
	memcpy(p, head, (size_t)head_n);
	buf_wrote(out, (size_t)head_n + n);
	return 0;
}

/* What sendfile(2) sent never came by here; it is in the cache now. */
static int check_sent(struct smtpc_content *c, char *block, size_t n)
{
	while (n) {
		size_t part = n < SMTPC_COPY_BYTES ? n : SMTPC_COPY_BYTES;
		ssize_t got = cdb_read(c->rec, c->checked, block, part);

		if (got <= 0)
			return our_fault(c, got < 0 ? (int)got : -EBADMSG);
		check(c, c->checked, span_of(block, (size_t)got));
		n -= (size_t)got;
	}
	return 0;
}

/* Some of a large content: by sendfile(2), or through block when the stream must see it. */
static ssize_t send_piece(struct smtpc_content *c, struct smtpc_io *io, char *block, size_t n)
{
	if (stream_can_send_file(&io->st)) {
		off_t at = (off_t)(c->rec->content_off + c->at);
		ssize_t put = smtpc_io_put_file(io, c->rec->fd, &at, n);

		/* Errors of the disk and of the socket look alike; a broken socket says so in each
		 * step. */
		if (!put || put == -EIO || put == -EBADF || put == -EINVAL || put == -ESPIPE)
			return our_fault(c, put ? (int)put : -EBADMSG);
		int rc = put > 0 ? check_sent(c, block, (size_t)put) : 0;
		return rc ? rc : put;
	}
	if (n > SMTPC_COPY_BYTES)
		n = SMTPC_COPY_BYTES;
	ssize_t got = cdb_read(c->rec, c->at, block, n);
	if (got <= 0)
		return our_fault(c, got < 0 ? (int)got : -EBADMSG);
	ssize_t put = smtpc_io_put(io, span_of(block, (size_t)got));
	if (put > 0)
		check(c, c->at, span_of(block, (size_t)put));
	return put;
}

int smtpc_content_send(struct smtpc_content *c, struct smtpc_io *io, char *block, bool *progress)
{
	size_t turn = SMTPC_SENDFILE_BYTES;

	while (c->at < c->bytes && c->bytes - c->at > SMTPC_COPY_BYTES) {
		uint64_t n = c->bytes - c->at - SMTPC_COPY_BYTES / 2;

		if (!turn) {
			smtpc_io_want_write(io, true);
			return 0;
		}
		ssize_t put = send_piece(c, io, block, n < turn ? (size_t)n : turn);
		if (put == -EAGAIN)
			return 0;
		if (put < 0)
			return (int)put;
		*progress = true;
		c->at += (uint64_t)put;
		turn -= (size_t)put;
	}
	return send_rest(c, io, block, progress);
}

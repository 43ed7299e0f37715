#include "proto/smtps_content.h"

#include "proto/smtps_stats.h"

#include <errno.h>

const size_t smtps_content_block_bytes[SMTPS_BLOCK_KINDS] = { 4096, 16384, 65536 };

struct smtps_block {
	struct smtps_block *next;
	uint32_t n, cap;
	unsigned kind;
	char data[];
};

void smtps_content_begin(struct smtps_content *c, uint64_t ta)
{
	*c = (struct smtps_content){ .ta = ta, .file.fd = -1 };
}

static void drop_blocks(struct smtps_host *h, struct smtps_content *c)
{
	struct smtps_block *b = c->first;

	while (b) {
		struct smtps_block *next = b->next;

		pool_put(&h->blocks[b->kind], b);
		b = next;
	}
	c->first = c->last = NULL;
	c->parts = 0;
}

void smtps_content_drop(struct smtps_host *h, struct smtps_content *c)
{
	drop_blocks(h, c);
	if (c->in_file)
		cdb_file_abort(h->cdb, &c->file);
	c->in_file = false;
}

/* What is in memory goes to a file of its own, and so does the rest. */
static int move_to_file(struct smtps_host *h, struct smtps_content *c)
{
	int rc = cdb_file_begin(h->cdb, c->ta, &c->file);

	if (rc)
		return rc;
	c->in_file = true;
	stats_add(SMTPS_ST_messages_in_files, 1);
	for (struct smtps_block *b = c->first; b && !rc; b = b->next)
		rc = cdb_file_add(&c->file, span_of(b->data, b->n));
	drop_blocks(h, c);
	return rc;
}

int smtps_content_expect(struct smtps_host *h, struct smtps_content *c, uint64_t expect_bytes)
{
	return expect_bytes > h->conf->o.segment_limit && !c->in_file ? move_to_file(h, c) : 0;
}

/* The next block: each kind once, then the largest. NULL: the pool is used up, or too many parts.
 */
static struct smtps_block *add_block(struct smtps_host *h, struct smtps_content *c, size_t want)
{
	unsigned kind = c->parts < SMTPS_BLOCK_KINDS ? c->parts : SMTPS_BLOCK_KINDS - 1;

	if (c->parts == SMTPS_PARTS_MAX)
		return NULL;
	while (kind + 1 < SMTPS_BLOCK_KINDS &&
	       want + sizeof(struct smtps_block) > smtps_content_block_bytes[kind])
		kind++;
	struct smtps_block *b = pool_get(&h->blocks[kind]);
	if (!b)
		return NULL;
	*b = (struct smtps_block){ .kind = kind,
				   .cap = (uint32_t)(smtps_content_block_bytes[kind] - sizeof *b) };
	if (c->last)
		c->last->next = b;
	else
		c->first = b;
	c->last = b;
	c->parts++;
	return b;
}

int smtps_content_add(struct smtps_host *h, struct smtps_content *c, struct span piece)
{
	int rc = 0;

	if (!c->in_file && c->bytes + piece.n > h->conf->o.segment_limit)
		rc = move_to_file(h, c);
	while (!rc && !c->in_file && piece.n) {
		struct smtps_block *b = c->last;

		if (!b || b->n == b->cap)
			b = add_block(h, c, piece.n);
		if (!b) {
			rc = move_to_file(h, c);
			break;
		}
		size_t n = piece.n < b->cap - b->n ? piece.n : b->cap - b->n;
		memcpy(b->data + b->n, piece.p, n);
		b->n += (uint32_t)n;
		c->bytes += n;
		piece = span_from(piece, n);
	}
	if (!rc && c->in_file && piece.n) {
		rc = cdb_file_add(&c->file, piece);
		c->bytes += piece.n;
	}
	return rc;
}

static int store_in_segment(struct smtps_host *h, struct smtps_content *c, struct cdb_head *head,
			    struct span envelope, struct cdb_ref *ref)
{
	unsigned n = 0;

	for (struct smtps_block *b = c->first; b; b = b->next)
		h->parts[n++] = (struct iovec){ b->data, b->n };
	return cdb_append(h->cdb, head, h->parts, n, envelope, ref);
}

int smtps_content_store(struct smtps_host *h, struct smtps_content *c, struct cdb_head *head,
			struct span envelope, struct cdb_ref *ref)
{
	int rc = -EAGAIN;

	head->ta = c->ta;
	head->content_bytes = c->bytes;
	if (!c->in_file) {
		rc = store_in_segment(h, c, head, envelope, ref);
		if (rc == -EAGAIN) {
			int moved = move_to_file(h, c);

			if (moved)
				rc = moved;
		}
	}
	if (rc == -EAGAIN && c->in_file) {
		rc = cdb_file_finish(h->cdb, &c->file, head, envelope, ref);
		c->in_file = false; /* closed, or removed */
	}
	smtps_content_drop(h, c);
	return rc;
}

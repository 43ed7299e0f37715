/*
 * proto/smtps_content.h - the content of one message until it is in the content database.
 *
 * Small content is collected in blocks and appended to a segment at the end; large content is
 * written to a file of its own as it comes.
 * Owner:  the session's loop.
 * Memory: blocks from the host's pools.
 * Limits: option segment_limit, SMTPS_PARTS_MAX blocks, the pools; over one of them the content
 *         moves to a file.
 */
#ifndef PROTO_SMTPS_CONTENT_H
#define PROTO_SMTPS_CONTENT_H
#include "proto/smtps_host.h"

struct smtps_block;

struct smtps_content {
	struct smtps_block *first, *last;
	unsigned parts;
	bool in_file;
	uint64_t ta;
	uint64_t bytes;
	struct cdb_file file;
};

extern const size_t smtps_content_block_bytes[SMTPS_BLOCK_KINDS];

/* An empty one. */
void smtps_content_begin(struct smtps_content *c, uint64_t ta);
/* The client announced so many bytes, 0: it did not. 0, or -errno of the disk; then only
 * smtps_content_drop() is left. */
int smtps_content_expect(struct smtps_host *h, struct smtps_content *c, uint64_t expect_bytes);
int smtps_content_add(struct smtps_host *h, struct smtps_content *c, struct span piece);
/* Writes the record: 0 and *ref, or -errno. The content is gone from memory in either case. */
int smtps_content_store(struct smtps_host *h, struct smtps_content *c, struct cdb_head *head,
			struct span envelope, struct cdb_ref *ref);
/* Forgets it; a file is removed. May be called again. */
void smtps_content_drop(struct smtps_host *h, struct smtps_content *c);

#endif

/*
 * proto/smtpc_content.h - sends the content of one message and the final dot.
 *
 * Owner:  the loop of the session.
 * Memory: none of its own: small content is read into a block lent by the caller, and read again
 *         when the stream takes only a part; large content goes by sendfile(2).
 * Check:  the end of a content goes out only when the CRC of all of it is right: what the disk has
 *         damaged never becomes a whole message.
 * RFC:    5321 4.1.1.4 (final dot), 3030 2 (BDAT: no dot).
 */
#ifndef PROTO_SMTPC_CONTENT_H
#define PROTO_SMTPC_CONTENT_H
#include "core/cdb_read.h"
#include "proto/smtpc_io.h"
#include "proto/smtpc_limits.h"

enum { SMTPC_BLOCK_BYTES = SMTPC_COPY_BYTES + 16 };

struct smtpc_content {
	const struct cdb_record *rec; /* NULL: only the dot */
	uint64_t at;                  /* content bytes sent */
	uint64_t checked;             /* bytes that crc covers */
	uint32_t crc;
	uint64_t bytes; /* of the content, with the dot once tail_n is known */
	bool plain;     /* BDAT: no dot */
	bool tail_known;
	uint8_t tail_n;
	int unreadable; /* -errno: it is our side that failed */
	char tail[8];   /* what comes behind the content */
};

/* rec: stays open as long as the content is sent. */
void smtpc_content_start(struct smtpc_content *c, const struct cdb_record *rec, bool plain);

/* Appends "BDAT n LAST" and the whole content to out, which goes out behind the commands there. 0;
 * 1: not as one chunk, nothing was appended (stuffed dots, no line end); -EBADMSG, -errno: it cannot
 * be read, -ENOMEM. */
int smtpc_content_chunk(const struct cdb_record *rec, struct buf *out);

/* block: SMTPC_BLOCK_BYTES of scratch. 1: all is sent; 0: call again when the socket is writable
 * (asked for), -errno: the connection, or c->unreadable, failed. progress: bytes were taken. */
int smtpc_content_send(struct smtpc_content *c, struct smtpc_io *io, char *block, bool *progress);

#endif

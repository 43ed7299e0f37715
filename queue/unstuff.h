/*
 * queue/unstuff.h - content as it is stored (CRLF lines, dots stuffed) back to what the client
 * meant.
 *
 * Pure; the pieces may be cut anywhere. Memory: appends to a buffer.
 */
#ifndef QUEUE_UNSTUFF_H
#define QUEUE_UNSTUFF_H
#include "core/buf.h"

struct unstuff {
	bool raw;      /* CDB_RAW: bytes as they are */
	bool lf;       /* CRLF becomes LF, for a terminal */
	uint8_t state; /* begins as 0 */
};

/* Appends what `in` means. 0 or -ENOMEM. */
int unstuff_add(struct unstuff *u, struct span in, struct buf *out);
/* Behind the last piece. 0 or -ENOMEM. */
int unstuff_end(struct unstuff *u, struct buf *out);

#endif

/*
 * queue/dsn_original.h - what a DSN returns of the message it is about.
 *
 * Thread: any; reads the content database.
 * Limits: the whole only up to the caller's limit, else the header section, of it at most 64 KB: a DSN
 *         about a message of any size needs no more memory than that.
 * Damage: nothing is returned of content whose CRC does not fit; the header section of content over
 *         8 MB is not checked, it would stop the loop for too long.
 */
#ifndef QUEUE_DSN_ORIGINAL_H
#define QUEUE_DSN_ORIGINAL_H
#include "core/buf.h"
#include "core/cdb.h"

enum { DSN_ORIGINAL_HEADER_MAX = 64 << 10 };

/* Appends the content in wire form, ending in CRLF. *whole: all of it is wanted; changed to false when
 * it is over max_bytes or binary (BINARYMIME has no lines), then it is the header section without
 * the empty line. Lines of a header section are made sound: CRLF alone ends them, none is over
 * 998, NUL is '?'. 0; -errno: out is unchanged, the content cannot be
 * read; -EBADMSG: it is damaged. */
int dsn_original(const char *base, const struct cdb_ref *ref, uint64_t ta, uint64_t max_bytes,
		 bool *whole, struct buf *out);

/* The second half of it, for tests: a piece of header section in wire form, or as it was sent (raw). 0
 * or -ENOMEM. */
int dsn_original_header(struct span in, bool raw, struct buf *out);

#endif

/*
 * core/cdb_read.h - find a record and hand out its bytes; used by smtpc, qmgr and cdbctl.
 *
 * Owner: one reader per loop (it caches segment descriptors, closed when idle or when the
 *        generation changed).
 */
#ifndef CORE_CDB_READ_H
#define CORE_CDB_READ_H
#include "core/cdb.h"

#include <sys/types.h>

struct cdb_reader;

struct cdb_record {
	struct cdb_head head;
	int fd;               /* of the reader: use, do not close; valid until cdb_close_record() */
	uint64_t content_off; /* in fd */
	void *slot;
};

/* base: CDB_base_directory; max_open: segment descriptors that are kept. NULL without memory. */
struct cdb_reader *cdb_reader_new(const char *base, unsigned max_open);
void cdb_reader_free(struct cdb_reader *r);
/* Opens and checks generation, id, length and head CRC. 0; -ENOENT: file or record is not there
 * (any more); -ESTALE: its writer took it back (the client was told 451 and comes again); -EBADMSG:
 * damaged; other -errno of the disk. */
int cdb_open_record(struct cdb_reader *r, const struct cdb_ref *ref, uint64_t ta,
		    struct cdb_record *out);
void cdb_close_record(struct cdb_reader *r, struct cdb_record *rec);
/* pread of content from byte `at`; returns bytes read (short only at the end), or -errno. */
ssize_t cdb_read(const struct cdb_record *rec, uint64_t at, void *dst, size_t n);
/* The encoded envelope into dst of head.envelope_bytes, CRC checked. 0 or -errno. */
int cdb_read_envelope(const struct cdb_record *rec, char *dst);

/* Walks the records of a segment from `from` (CDB_SEG_HEAD at first). each() gets only whole, valid
 * heads of the segment's generation; non-zero stops. check_content: also compare the CRC of the
 * content. Returns 0, what each() returned, or -errno. *end: behind the last record found. */
int cdb_scan(const char *base, uint64_t seg, uint64_t from, bool check_content,
	     int (*each)(void *ctx, const struct cdb_ref *ref, const struct cdb_head *h), void *ctx,
	     uint64_t *end);
/* An own file that was found: 0, its reference and head when it is whole (head, length and both
 * CRCs fit); -ENOENT: it is gone or its head was never written; -EBADMSG: damaged; other -errno of
 * the disk. */
int cdb_check_file(const char *base, uint64_t ta, struct cdb_ref *ref, struct cdb_head *head);
/* Walks all segment and own files below base. each: seg (0: own file) and id. */
int cdb_list(const char *base, int (*each)(void *ctx, uint64_t seg, uint64_t ta), void *ctx);

#endif

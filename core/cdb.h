/*
 * core/cdb.h - the content database: records in segment files, large ones in files of their own.
 *
 * Segment: CDB_SEG_HEAD bytes of header (magic, version, number, generation), then records on
 *          64-byte steps.
 * Record:  struct cdb_head, content in wire form (CRLF lines, dots stuffed, no final dot, our
 *          Received in front), the encoded envelope. A file of its own is one record at offset 0,
 *          its head written last. It counts only if generation, id, length and the CRC of its head
 *          fit.
 * Names:   segment G + 16 hex digits, own file = transaction id, in the folder of their last (id:
 *          3rd last) digit.
 */
#ifndef CORE_CDB_H
#define CORE_CDB_H
#include "core/span.h"

enum { CDB_SEG_HEAD = 4096, CDB_STEP = 64, CDB_HEAD = 128, CDB_VERSION = 1, CDB_PATH_MAX = 512 };

enum cdb_flags {
	CDB_8BIT = 1u << 0,      /* a byte over 127 was seen */
	CDB_RAW = 1u << 1,       /* BINARYMIME: no lines, leaves only by BDAT */
	CDB_DEAD = 1u << 2,      /* nobody needs it: taken back by its writer, or finished and
				  * punched; then it is as long as the whole dead run */
	CDB_LONG_LINE = 1u << 3, /* a line over 998 octets */
	CDB_MOVED = 1u << 4,     /* a copy; counts only once the database names it, or is lost */
};

struct cdb_head {
	uint64_t gen; /* of this use of the segment; 0 in an own file */
	uint64_t ta;
	uint64_t content_bytes;  /* as stored, with stuffed dots */
	uint64_t size_bytes;     /* what the client sent, unstuffed, without our Received */
	uint64_t dots;           /* stuffed dots */
	uint32_t received_bytes; /* our Received, in front */
	uint32_t header_bytes;   /* header section with our Received, without the empty line */
	uint32_t hops;           /* Received lines, without ours */
	uint32_t envelope_bytes;
	uint32_t content_crc; /* CRC-32C */
	uint32_t envelope_crc;
	uint32_t flags; /* enum cdb_flags */
};

struct cdb_ref {
	uint64_t seg; /* 0: an own file named by the id */
	uint64_t gen;
	uint64_t off;
	uint64_t len; /* head + content + envelope, without padding */
};

/* dst of CDB_HEAD bytes. */
void cdb_head_encode(const struct cdb_head *h, char *dst);
/* 0, -ENOENT (not a record: no magic), -EBADMSG (CRC), -EPROTONOSUPPORT (version). */
int cdb_head_decode(const char *src, struct cdb_head *out);

static inline uint64_t cdb_record_bytes(const struct cdb_head *h)
{
	return CDB_HEAD + h->content_bytes + h->envelope_bytes;
}

/* Path below CDB_base_directory ("" or ending in a slash). Returns the length. */
size_t cdb_seg_path(const char *base, uint64_t seg, char dst[static CDB_PATH_MAX]);
size_t cdb_file_path(const char *base, uint64_t ta, char dst[static CDB_PATH_MAX]);
/* The folder of either, for fsync. */
size_t cdb_dir_path(const char *base, uint64_t seg_or_ta_digit, char dst[static CDB_PATH_MAX]);

/* Segment header: dst of CDB_SEG_HEAD bytes. decode: 0, -EBADMSG, -EPROTONOSUPPORT. */
void cdb_seg_head_encode(uint64_t seg, uint64_t gen, uint64_t bytes, char *dst);
int cdb_seg_head_decode(const char *src, uint64_t *seg, uint64_t *gen, uint64_t *bytes);

#endif

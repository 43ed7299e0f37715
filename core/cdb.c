#include "core/cdb.h"

#include "core/crc32c.h"
#include "core/ids.h"
#include "core/wire.h"

#include <errno.h>
#include <stdio.h>

enum { RECORD_MAGIC = 0x52437358, SEG_MAGIC = 0x47437358 }; /* "XsCR", "XsCG" */
enum { HEAD_CRC_AT = CDB_HEAD - 4, SEG_CRC_AT = 60 };

/* Far beyond any file, so that sums of lengths cannot wrap around. */
static const uint64_t content_max = (uint64_t)1 << 48;

void cdb_head_encode(const struct cdb_head *h, char *dst)
{
	struct wire_w w = wire_writer(dst, CDB_HEAD);

	memset(dst, 0, CDB_HEAD);
	wire_put_u32(&w, RECORD_MAGIC);
	wire_put_u16(&w, CDB_VERSION);
	wire_put_u16(&w, 0);
	wire_put_u64(&w, h->gen);
	wire_put_u64(&w, h->ta);
	wire_put_u64(&w, h->content_bytes);
	wire_put_u64(&w, h->size_bytes);
	wire_put_u64(&w, h->dots);
	wire_put_u32(&w, h->received_bytes);
	wire_put_u32(&w, h->header_bytes);
	wire_put_u32(&w, h->hops);
	wire_put_u32(&w, h->envelope_bytes);
	wire_put_u32(&w, h->content_crc);
	wire_put_u32(&w, h->envelope_crc);
	wire_put_u32(&w, h->flags);
	uint32_t crc = crc32c(0, dst, HEAD_CRC_AT);
	memcpy(dst + HEAD_CRC_AT, &crc, 4);
}

/* 0, or why these bytes are not what begins with this magic. */
static int check(const char *src, uint32_t magic, size_t crc_at, struct wire_r *r)
{
	uint32_t crc;

	if (wire_get_u32(r) != magic)
		return -ENOENT;
	if (wire_get_u16(r) != CDB_VERSION)
		return -EPROTONOSUPPORT;
	wire_get_u16(r);
	memcpy(&crc, src + crc_at, 4);
	return crc == crc32c(0, src, crc_at) ? 0 : -EBADMSG;
}

int cdb_head_decode(const char *src, struct cdb_head *out)
{
	struct wire_r r = wire_reader(span_of(src, CDB_HEAD));
	int rc = check(src, RECORD_MAGIC, HEAD_CRC_AT, &r);
	struct cdb_head h;

	if (rc)
		return rc;
	h.gen = wire_get_u64(&r);
	h.ta = wire_get_u64(&r);
	h.content_bytes = wire_get_u64(&r);
	h.size_bytes = wire_get_u64(&r);
	h.dots = wire_get_u64(&r);
	h.received_bytes = wire_get_u32(&r);
	h.header_bytes = wire_get_u32(&r);
	h.hops = wire_get_u32(&r);
	h.envelope_bytes = wire_get_u32(&r);
	h.content_crc = wire_get_u32(&r);
	h.envelope_crc = wire_get_u32(&r);
	h.flags = wire_get_u32(&r);
	if (h.content_bytes > content_max)
		return -EBADMSG;
	*out = h;
	return 0;
}

/* base, a slash unless it has one, the digit. */
static size_t path(const char *base, uint64_t digit, const char *name, char *dst)
{
	size_t n = strlen(base);
	const char *slash = n && base[n - 1] != '/' ? "/" : "";
	int len = snprintf(dst, CDB_PATH_MAX, "%s%s%X%s%s", base, slash, (unsigned)(digit & 15),
			   name ? "/" : "", name ? name : "");

	return len < 0 || len >= CDB_PATH_MAX ? CDB_PATH_MAX - 1 : (size_t)len;
}

size_t cdb_seg_path(const char *base, uint64_t seg, char dst[static CDB_PATH_MAX])
{
	char name[24];

	snprintf(name, sizeof name, "G%016llX", (unsigned long long)seg);
	return path(base, seg, name, dst);
}

size_t cdb_file_path(const char *base, uint64_t ta, char dst[static CDB_PATH_MAX])
{
	char name[ID_TEXT_MAX];

	id_text(ta, name);
	return path(base, ta >> 8, name, dst);
}

size_t cdb_dir_path(const char *base, uint64_t seg_or_ta_digit, char dst[static CDB_PATH_MAX])
{
	return path(base, seg_or_ta_digit, NULL, dst);
}

void cdb_seg_head_encode(uint64_t seg, uint64_t gen, uint64_t bytes, char *dst)
{
	struct wire_w w = wire_writer(dst, CDB_SEG_HEAD);

	memset(dst, 0, CDB_SEG_HEAD);
	wire_put_u32(&w, SEG_MAGIC);
	wire_put_u16(&w, CDB_VERSION);
	wire_put_u16(&w, 0);
	wire_put_u64(&w, seg);
	wire_put_u64(&w, gen);
	wire_put_u64(&w, bytes);
	uint32_t crc = crc32c(0, dst, SEG_CRC_AT);
	memcpy(dst + SEG_CRC_AT, &crc, 4);
}

int cdb_seg_head_decode(const char *src, uint64_t *seg, uint64_t *gen, uint64_t *bytes)
{
	struct wire_r r = wire_reader(span_of(src, CDB_SEG_HEAD));
	int rc = check(src, SEG_MAGIC, SEG_CRC_AT, &r);

	if (rc)
		return rc == -ENOENT ? -EBADMSG : rc;
	*seg = wire_get_u64(&r);
	*gen = wire_get_u64(&r);
	*bytes = wire_get_u64(&r);
	return 0;
}

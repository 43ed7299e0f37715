#include "core/cdb.h"

#include "tests/tap.h"

#include <errno.h>

static const struct cdb_head some = {
	.gen = 0x1122334455667788,
	.ta = 0x407CE49200,
	.content_bytes = 123456,
	.size_bytes = 123000,
	.dots = 17,
	.received_bytes = 200,
	.header_bytes = 900,
	.hops = 3,
	.envelope_bytes = 321,
	.content_crc = 0xdeadbeef,
	.envelope_crc = 0xfeedf00d,
	.flags = CDB_8BIT | CDB_LONG_LINE,
};

static bool same(const struct cdb_head *a, const struct cdb_head *b)
{
	return a->gen == b->gen && a->ta == b->ta && a->content_bytes == b->content_bytes &&
	       a->size_bytes == b->size_bytes && a->dots == b->dots &&
	       a->received_bytes == b->received_bytes && a->header_bytes == b->header_bytes &&
	       a->hops == b->hops && a->envelope_bytes == b->envelope_bytes &&
	       a->content_crc == b->content_crc && a->envelope_crc == b->envelope_crc &&
	       a->flags == b->flags;
}

static void test_head(void)
{
	char bytes[CDB_HEAD];
	struct cdb_head back = { 0 };
	unsigned accepted = 0, wrong_code = 0;

	cdb_head_encode(&some, bytes);
	is_int(cdb_head_decode(bytes, &back), 0, "a record header");
	ok(same(&some, &back), "all comes back");
	is_int((int64_t)cdb_record_bytes(&back), CDB_HEAD + 123456 + 321, "length of the record");
	for (unsigned bit = 0; bit < CDB_HEAD * 8; bit++) {
		bytes[bit / 8] ^= (char)(1 << bit % 8);
		int rc = cdb_head_decode(bytes, &back);
		accepted += rc == 0;
		wrong_code += rc != (bit < 32 ? -ENOENT : bit < 48 ? -EPROTONOSUPPORT : -EBADMSG);
		bytes[bit / 8] ^= (char)(1 << bit % 8);
	}
	is_int(accepted, 0, "no header with a changed bit is accepted");
	is_int(wrong_code, 0, "each with its own error: no record, another version, damaged");
	memset(bytes, 0, sizeof bytes);
	is_int(cdb_head_decode(bytes, &back), -ENOENT, "zeros are no record");

	struct cdb_head huge = some;
	huge.content_bytes = UINT64_MAX - 100;
	cdb_head_encode(&huge, bytes);
	is_int(cdb_head_decode(bytes, &back), -EBADMSG, "a length that would wrap around");
}

static void test_segment_head(void)
{
	static char bytes[CDB_SEG_HEAD];
	uint64_t seg, gen, n;
	unsigned accepted = 0;

	cdb_seg_head_encode(0x123456789ABCDEF0, 42, 16 << 20, bytes);
	is_int(cdb_seg_head_decode(bytes, &seg, &gen, &n), 0, "a segment header");
	ok(seg == 0x123456789ABCDEF0 && gen == 42 && n == 16 << 20, "all comes back");
	for (unsigned bit = 0; bit < 64 * 8; bit++) {
		bytes[bit / 8] ^= (char)(1 << bit % 8);
		accepted += cdb_seg_head_decode(bytes, &seg, &gen, &n) == 0;
		bytes[bit / 8] ^= (char)(1 << bit % 8);
	}
	is_int(accepted, 0, "no header with a changed bit is accepted");
	bytes[4]++;
	is_int(cdb_seg_head_decode(bytes, &seg, &gen, &n), -EPROTONOSUPPORT, "another version");
	memset(bytes, 0, sizeof bytes);
	is_int(cdb_seg_head_decode(bytes, &seg, &gen, &n), -EBADMSG, "zeros");
}

static void test_paths(void)
{
	char p[CDB_PATH_MAX], base[CDB_PATH_MAX + 100];

	is_int((int64_t)cdb_seg_path("", 0xABCDEF, p), 19, "length of a path");
	is_str(p, "F/G0000000000ABCDEF", "a segment is in the folder of its last digit");
	cdb_seg_path("/spool/", 0x10, p);
	is_str(p, "/spool/0/G0000000000000010", "below the base");
	cdb_seg_path("/spool", 0x1A, p);
	is_str(p, "/spool/A/G000000000000001A", "a missing slash is put in");
	cdb_file_path("cdb/", 0x407CE49200, p);
	is_str(p, "cdb/2/S00000000407CE49200",
	       "an own file is in the folder of its counter's last digit");
	cdb_dir_path("cdb/", 0x407CE49200 >> 8, p);
	is_str(p, "cdb/2", "its folder");
	cdb_dir_path("", 0xABCDEF, p);
	is_str(p, "F", "the folder of a segment");
	memset(base, 'x', sizeof base - 1);
	base[sizeof base - 1] = 0;
	size_t n = cdb_seg_path(base, 1, p);
	is_int((int64_t)n, (int64_t)strlen(p),
	       "too long a base is cut, not written beyond the end");
}

int main(void)
{
	test_head();
	test_segment_head();
	test_paths();
	return plan_done();
}

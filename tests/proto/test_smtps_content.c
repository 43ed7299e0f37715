/*
 * tests/proto/test_smtps_content.c - where content goes: blocks and a segment, or a file of its
 * own.
 */
#include "proto/smtps_content.h"

#include "tests/proto/smtps_fake.h"
#include "tests/tap.h"

static struct fake f;

/* Adds bytes in pieces and stores them: 0 or -errno; *file: it got a file of its own. */
static int store(uint64_t ta, size_t bytes, size_t piece, uint64_t expect, bool *file)
{
	struct smtps_content c;
	struct cdb_head head = { .size_bytes = bytes };
	char *text = xmalloc(bytes + 1);
	int rc;

	for (size_t i = 0; i < bytes; i++)
		text[i] = (char)('a' + (i + ta) % 26);
	smtps_content_begin(&c, ta);
	rc = smtps_content_expect(&f.host, &c, expect);
	for (size_t at = 0; at < bytes && !rc; at += piece)
		rc = smtps_content_add(&f.host, &c,
				       span_of(text + at, bytes - at < piece ? bytes - at : piece));
	if (!rc)
		rc = smtps_content_store(&f.host, &c, &head, SPAN("envelope"), &f.ref);
	smtps_content_drop(&f.host, &c);
	f.ta = ta;
	*file = f.ref.seg == 0;
	if (!rc) {
		char *ours = NULL, *got = fake_content(&f, &head, &ours);

		ok(got && head.content_bytes == bytes && !memcmp(got, text, bytes),
		   "%zu bytes in pieces of %zu", bytes, piece);
		free(got);
		free(ours);
	}
	free(text);
	return rc;
}

static void no_blocks_left(const char *what)
{
	for (unsigned i = 0; i < SMTPS_BLOCK_KINDS; i++)
		is_int((int64_t)f.host.blocks[i].used_count, 0, what);
}

static void check_sizes(void)
{
	static const size_t sizes[] = {
		0, 1, 1000, 4072, 4073, 20000, 20480, 90000, 131071, 131072
	};
	bool file;

	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		is_int(store(0x1000 + i, sizes[i], 1000, 0, &file), 0, "stored");
		ok(!file, "%zu bytes go to a segment", sizes[i]);
		is_int(store(0x2000 + i, sizes[i], 65536, 0, &file), 0, "stored at once");
	}
	is_int(store(0x3000, 131073, 1000, 0, &file), 0, "over segment_limit");
	ok(file, "goes to a file");
	is_int(store(0x3001, 10, 10, 131073, &file), 0, "announced to be over it");
	ok(file, "goes to a file at once");
	is_int(store(0x3002, 10, 10, 131072, &file), 0, "announced to fit");
	ok(!file, "stays");
	no_blocks_left("all blocks are back");
}

static void check_pool(void)
{
	bool file;

	for (unsigned i = 0; i < SMTPS_BLOCK_KINDS; i++)
		f.host.blocks[i].max_count = 1;
	is_int(store(0x4000, 100000, 1000, 0, &file), 0, "the pools are used up");
	ok(file, "goes to a file");
	for (unsigned i = 0; i < SMTPS_BLOCK_KINDS; i++)
		f.host.blocks[i].max_count = 0;
	is_int(store(0x4001, 10, 10, 0, &file), 0, "no memory at all");
	ok(file, "goes to a file");
	for (unsigned i = 0; i < SMTPS_BLOCK_KINDS; i++)
		f.host.blocks[i].max_count = 100;
	no_blocks_left("all blocks are back");
}

/* The folder of the id is gone: the disk says no, nothing is left over. */
static void check_disk(void)
{
	char path[300];
	bool file;

	for (unsigned i = 0; i < 16; i++) {
		char to[310];

		snprintf(path, sizeof path, "%s%X", f.dir, i);
		snprintf(to, sizeof to, "%s.away", path);
		if (rename(path, to))
			panic("rename %s: %s", path, strerror(errno));
	}
	is_int(store(0x5000, 200000, 1000, 0, &file), -ENOENT, "the folder is not there");
	no_blocks_left("all blocks are back");
}

int main(void)
{
	smtps_stats_define();
	stats_thread();
	if (!fake_init(&f, tap_tmpdir(), "segment_limit = 128KB;"))
		return 1;
	check_sizes();
	check_pool();
	check_disk();
	fake_free(&f);
	return plan_done();
}

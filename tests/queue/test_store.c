#include "queue/store.h"

#include "core/wire.h"
#include "tests/tap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

static char dir[300], log_dir[300];
static struct store_setup setup;

static struct store *open_it(bool *created)
{
	char why[300] = "";
	int error;
	struct store *s = store_open(&setup, &error, why, sizeof why, created);

	if (!s)
		diag("open: %d %s", error, why);
	return s;
}

static void keys(void)
{
	struct store_key a = store_key_rcpt(5, 7), b = store_key_ta(6),
			 due = store_key_due(1000, 5, 7);
	uint64_t ta;
	uint32_t idx;
	bool is_rcpt;
	usec_t wall;

	ok(store_key_parse(store_key_span(&a), &ta, &idx, &is_rcpt) && ta == 5 && idx == 7 &&
		   is_rcpt,
	   "recipient key");
	ok(store_key_parse(store_key_span(&b), &ta, &idx, &is_rcpt) && ta == 6 && !is_rcpt,
	   "transaction key");
	ok(memcmp(a.b, b.b, 8) < 0, "recipients sort behind their transaction, before the next");
	ok(store_key_due_parse(store_key_span(&due), &wall, &ta, &idx) && wall == 1000 && ta == 5 &&
		   idx == 7,
	   "due key");
	struct store_key parked = store_key_parked(9, 5, 7), head = store_key_park(9);
	uint64_t park;
	ok(store_key_parked_parse(store_key_span(&parked), &park, &ta, &idx) && park == 9 &&
		   ta == 5 && idx == 7,
	   "parked key");
	ok(store_key_park_parse(store_key_span(&head), &park) && park == 9, "key of its head");
	struct store_key younger = store_key_parked(9, 6, 0), next = store_key_parked(10, 1, 0);
	ok(memcmp(parked.b, younger.b, 20) < 0 && memcmp(younger.b, next.b, 20) < 0,
	   "parked ones sort by destination, then by arrival");
	struct store_key suspension = store_key_suspension(9);
	ok(!store_key_park_parse(store_key_span(&suspension), &park), "another row of meta");
	ok(!store_key_parse(SPAN("short"), &ta, &idx, &is_rcpt), "a key of another length is none");
}

/* As versions before this one wrote them: format, flags (from 2 on), two times, attempts, warned,
 * stage, reply, route (from 2 on). */
static void older_records(void)
{
	char buf[100];
	struct store_deferred out;
	struct wire_w w;

	for (uint8_t format = 1; format <= 2; format++) {
		w = wire_writer(buf, sizeof buf);
		wire_put_u8(&w, format);
		if (format == 2)
			wire_put_u8(&w, 1);
		wire_put_u64(&w, 1);
		wire_put_u64(&w, 2);
		wire_put_u32(&w, 3);
		wire_put_u8(&w, 1);
		wire_put_u8(&w, 6);
		wire_put_str(&w, SPAN("later"));
		if (format == 2)
			wire_put_str(&w, SPAN("route"));
		out.park = 99;
		ok(!store_deferred_decode(span_of(buf, w.n), &out) && !out.park &&
			   out.wall_next == 1 && out.wall_last == 2 && out.attempts == 3 &&
			   out.warned == 1 && out.stage == 6 && span_eq(out.reply, SPAN("later")) &&
			   out.held == (format == 2) && out.route.n == (format == 2 ? 5u : 0u),
		   "deferred record of format %u", format);
	}
}

static void records(void)
{
	char buf[STORE_DEFERRED_MAX];
	struct store_deferred d = { .wall_next = 1,
				    .wall_last = 2,
				    .attempts = 3,
				    .warned = 1,
				    .stage = 6,
				    .reply = SPAN("450 4.2.1 x") };
	struct store_deferred out;
	struct cdb_ref ref = { 1, 2, 3, 4 }, back;
	struct span blob;
	size_t n = store_deferred_encode(&d, buf);

	is_int(store_deferred_decode(span_of(buf, n), &out), 0, "deferred record");
	ok(out.wall_next == 1 && out.attempts == 3 && out.warned == 1 &&
		   span_eq(out.reply, d.reply),
	   "comes back");
	ok(!out.park && !out.held && !out.forced && !out.route.n,
	   "neither parked nor held nor sent elsewhere");
	d.held = d.forced = true;
	d.park = 77;
	d.route = SPAN("route");
	n = store_deferred_encode(&d, buf);
	ok(!store_deferred_decode(span_of(buf, n), &out) && out.held && out.forced &&
		   out.park == 77 && span_eq(out.route, d.route),
	   "held, parked, with another route");
	older_records();
	struct store_park p = { .suspension = 3,
				.wall_next = 4,
				.failures = 5,
				.route = SPAN("r") },
			  q;
	n = store_park_encode(&p, buf);
	ok(!store_park_decode(span_of(buf, n), &q) && q.suspension == 3 && q.wall_next == 4 &&
		   q.failures == 5 && span_eq(q.route, p.route),
	   "head of a park");
	ok(store_park_decode(span_of(buf, n - 1), &q) && store_park_decode(SPAN("\2"), &q),
	   "cut, or of another format");
	n = store_deferred_encode(&d, buf);
	for (size_t i = 0; i < n; i++)
		if (store_deferred_decode(span_of(buf, i), &out) == 0)
			ok(false, "cut at %zu", i);
	store_ta_head_encode(&ref, buf);
	memcpy(buf + STORE_TA_HEAD, "blob", 4);
	is_int(store_ta_decode(span_of(buf, STORE_TA_HEAD + 4), &back, &blob), 0,
	       "transaction record");
	ok(back.off == 3 && span_eq(blob, SPAN("blob")) && !store_ta_is_again(span_of(buf, 1)),
	   "comes back");
	store_ta_set_again(buf);
	back.off = 0;
	ok(!store_ta_decode(span_of(buf, STORE_TA_HEAD + 4), &back, &blob) && back.off == 3 &&
		   store_ta_is_again(span_of(buf, STORE_TA_HEAD + 4)),
	   "one that was put again says so");
}

static void written(void)
{
	bool created;
	struct store *s = open_it(&created);
	struct store_batch *b = store_batch_new();
	struct store_key k = store_key_ta(42), w = store_key_word("x");
	char *v;
	size_t n;

	ok(s && created, "a new database");
	is_int(store_get(s, STORE_IBDB, store_key_span(&k), &v, &n), -ENOENT, "nothing there");
	store_put(s, b, STORE_IBDB, store_key_span(&k), SPAN("value"));
	store_put(s, b, STORE_META, store_key_span(&w), SPAN(""));
	is_int(store_batch_count(b), 2, "two rows in the batch");
	is_int(store_write(s, b), 0, "written");
	is_int(store_batch_count(b), 0, "the batch is empty after that");
	store_close(s);

	s = open_it(&created);
	ok(s && !created, "opened again");
	is_int(store_get(s, STORE_IBDB, store_key_span(&k), &v, &n), 0, "the row is there");
	is_mem(v, n, "value", 5, "with its value");
	free(v);
	is_int(store_reopen(s, &setup), 0, "reopened");
	is_int(store_get(s, STORE_IBDB, store_key_span(&k), &v, &n), 0,
	       "the row is there after that");
	free(v);
	store_delete_once(s, b, STORE_IBDB, store_key_span(&k));
	is_int(store_write(s, b), 0, "deleted");
	struct store_iter *it = store_iter_new(s, STORE_IBDB, SPAN(""));
	ok(!store_iter_valid(it), "nothing is left");
	is_int(store_iter_end(it), 0, "the walk ended well");
	store_batch_free(b);
	store_close(s);
}

/* The name of the newest log. */
static void newest_log(char *path, size_t cap)
{
	unsigned long number, best = 0;
	struct dirent *e;
	DIR *d = opendir(log_dir);

	while (d && (e = readdir(d)))
		if (strstr(e->d_name, ".log") && (number = strtoul(e->d_name, NULL, 10)) > best)
			best = number;
	if (d)
		closedir(d);
	snprintf(path, cap, "%s/%06lu.log", log_dir, best);
}

/* A power cut in a write: of its sectors any may be missing, not only the last ones. */
static void torn(void)
{
	struct store_key k1 = store_key_ta(101), k2 = store_key_ta(102);
	char path[400], *big = calloc(1, 20000), *v;
	struct store_batch *b = store_batch_new();
	struct stat before;
	bool created;
	size_t n;

	struct store *s = open_it(&created);
	memset(big, 'v', 20000);
	store_put(s, b, STORE_IBDB, store_key_span(&k1), SPAN("synced"));
	store_write(s, b);
	newest_log(path, sizeof path);
	stat(path, &before);
	store_put(s, b, STORE_IBDB, store_key_span(&k2), span_of(big, 20000));
	store_write(s, b);
	store_close(s);
	int fd = open(path, O_RDWR);
	memset(big, 0, 512);
	ok(pwrite(fd, big, 512, (before.st_size + 6000) / 512 * 512) == 512,
	   "a sector of the last write is missing");
	close(fd);
	s = open_it(&created);
	ok(s != NULL, "the database opens");
	is_int(s ? store_get(s, STORE_IBDB, store_key_span(&k1), &v, &n) : -1, 0,
	       "with the write before");
	free(s ? v : NULL);
	is_int(s ? store_get(s, STORE_IBDB, store_key_span(&k2), &v, &n) : -1, -ENOENT,
	       "without the torn one");
	store_batch_free(b);
	store_close(s);
	free(big);
}

/* What a power cut leaves while the database is made. */
static void half_made(void)
{
	struct store_key k = store_key_word("format"), other = store_key_ta(7);
	struct store_batch *b = store_batch_new();
	char why[300] = "", *v;
	bool created;
	int error = 0;
	size_t n;

	struct store *s = open_it(&created);
	struct store_iter *it = store_iter_new(s, STORE_IBDB, SPAN(""));
	for (; store_iter_valid(it); store_iter_next(it))
		store_delete(s, b, STORE_IBDB, store_iter_key(it));
	store_iter_end(it);
	it = store_iter_new(s, STORE_META, SPAN(""));
	for (; store_iter_valid(it); store_iter_next(it))
		store_delete(s, b, STORE_META, store_iter_key(it));
	store_iter_end(it);
	is_int(store_write(s, b), 0, "a database without rows");
	store_close(s);
	s = open_it(&created);
	ok(s && store_get(s, STORE_META, store_key_span(&k), &v, &n) == 0,
	   "opens, and has its format");
	free(s ? v : NULL);
	store_delete(s, b, STORE_META, store_key_span(&k));
	store_put(s, b, STORE_IBDB, store_key_span(&other), SPAN("x"));
	store_write(s, b);
	store_close(s);
	s = store_open(&setup, &error, why, sizeof why, &created);
	ok(!s && error == -EUCLEAN && why[0], "rows without a format are refused: %s", why);
	store_batch_free(b);
}

static void refused(void)
{
	char path[400], why[300] = "";
	int error = 0;
	bool created;
	struct store *s = open_it(&created);
	struct store *second = store_open(&setup, &error, why, sizeof why, &created);

	ok(second == NULL && error == -EBUSY, "a second program cannot open it");
	store_close(s);
	snprintf(path, sizeof path, "%s/CURRENT", dir);
	FILE *f = fopen(path, "w");
	fputs("MANIFEST-999999\n", f);
	fclose(f);
	s = store_open(&setup, &error, why, sizeof why, &created);
	ok(s == NULL && why[0], "a corrupt database is refused and says why: %s", why);
}

/* A database of the first format: four families, no `parked`. */
static void older(void)
{
	static const char *const name[] = { "default", "ibdb", "defedb", "due" };
	const rocksdb_options_t *options[4];
	rocksdb_column_family_handle_t *f[4];
	rocksdb_options_t *o = rocksdb_options_create();
	rocksdb_writeoptions_t *wo = rocksdb_writeoptions_create();
	struct store_key k = store_key_ta(7), format = store_key_word("format");
	struct store_batch *b = store_batch_new();
	char *err = NULL, *v;
	bool created;
	size_t n;

	rocksdb_options_set_create_if_missing(o, 1);
	rocksdb_options_set_create_missing_column_families(o, 1);
	rocksdb_options_set_wal_dir(o, log_dir);
	for (int i = 0; i < 4; i++)
		options[i] = o;
	rocksdb_t *db = rocksdb_open_column_families(o, dir, 4, name, options, f, &err);
	rocksdb_put_cf(db, wo, f[0], format.b, format.n, "\1", 1, &err);
	rocksdb_put_cf(db, wo, f[1], k.b, k.n, "old", 3, &err);
	for (int i = 0; i < 4; i++)
		rocksdb_column_family_handle_destroy(f[i]);
	rocksdb_close(db);
	ok(!err, "a database of the first format");
	setup.read_only = true;
	struct store *s = open_it(&created);
	ok(s && !store_get(s, STORE_IBDB, store_key_span(&k), &v, &n), "can be read as it is");
	free(s ? v : NULL);
	ok(s && store_get(s, STORE_PARKED, store_key_span(&k), &v, &n) == -ENOENT,
	   "nothing is parked in it");
	struct store_iter *it = store_iter_new(s, STORE_PARKED, SPAN(""));
	ok(!store_iter_valid(it) && !store_iter_end(it), "no row at all");
	store_close(s);
	setup.read_only = false;
	s = open_it(&created);
	ok(s && !created && !store_get(s, STORE_META, store_key_span(&format), &v, &n) && n == 1 &&
		   *v == 2,
	   "opened for writing it is of today's format");
	free(s ? v : NULL);
	store_put(s, b, STORE_PARKED, store_key_span(&k), SPAN(""));
	is_int(store_write(s, b), 0, "and has the family");
	store_put(s, b, STORE_META, store_key_span(&format), SPAN("\3"));
	store_write(s, b);
	store_close(s);
	char why[300];
	int error;
	s = store_open(&setup, &error, why, sizeof why, &created);
	ok(!s && error == -EPROTONOSUPPORT, "one of tomorrow is refused: %s", why);
	store_batch_free(b);
	rocksdb_options_destroy(o);
	rocksdb_writeoptions_destroy(wo);
}

int main(void)
{
	snprintf(dir, sizeof dir, "%s/defedb", tap_tmpdir());
	snprintf(log_dir, sizeof log_dir, "%s/ibdb", tap_tmpdir());
	mkdir(dir, 0700);
	mkdir(log_dir, 0700);
	setup = (struct store_setup){ .dir = dir,
				      .log_dir = log_dir,
				      .cache_bytes = 1 << 20,
				      .page_bytes = 4096,
				      .log_bytes = 4 << 20 };
	keys();
	records();
	written();
	torn();
	refused();
	snprintf(dir, sizeof dir, "%s/defedb2", tap_tmpdir());
	snprintf(log_dir, sizeof log_dir, "%s/ibdb2", tap_tmpdir());
	mkdir(dir, 0700);
	mkdir(log_dir, 0700);
	half_made();
	snprintf(dir, sizeof dir, "%s/defedb3", tap_tmpdir());
	snprintf(log_dir, sizeof log_dir, "%s/ibdb3", tap_tmpdir());
	mkdir(dir, 0700);
	mkdir(log_dir, 0700);
	older();
	return plan_done();
}

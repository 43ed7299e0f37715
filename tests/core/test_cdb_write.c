#include "core/cdb_write.h"

#include "core/cdb_read.h"
#include "core/log.h"
#include "core/rcu.h"
#include "core/thread.h"
#include "tests/tap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SEG_BYTES = 64 * 1024, EVENTS_MAX = 4000 };

static char base[300];
static struct loop *loop;

/* What the writer told. */
static struct {
	uint64_t seg, gen, n;
	bool sealed;
} event[EVENTS_MAX];
static unsigned event_count;

static void on_segment(void *ctx, uint64_t seg, uint64_t gen, uint64_t n, bool sealed)
{
	(void)ctx;
	if (event_count < EVENTS_MAX) {
		event[event_count].seg = seg;
		event[event_count].gen = gen;
		event[event_count].n = n;
		event[event_count++].sealed = sealed;
	}
}

static unsigned count_events(uint64_t seg, bool sealed)
{
	unsigned n = 0;

	for (unsigned i = 0; i < event_count; i++)
		n += (!seg || event[i].seg == seg) && event[i].sealed == sealed;
	return n;
}

static void make_folders(const char *name)
{
	char path[400];

	snprintf(base, sizeof base, "%s/%s", tap_tmpdir(), name);
	mkdir(base, 0755);
	for (unsigned i = 0; i < 16; i++) {
		snprintf(path, sizeof path, "%s/%X", base, i);
		mkdir(path, 0755);
	}
}

static struct {
	uint64_t seg, gen, bytes;
} kept[20];
static unsigned kept_count, let_go_count;

static void on_spare(void *ctx, uint64_t seg, uint64_t gen, uint64_t bytes)
{
	(void)ctx;
	let_go_count += !bytes;
	if (bytes && kept_count < 20) {
		kept[kept_count].seg = seg;
		kept[kept_count].gen = gen;
		kept[kept_count++].bytes = bytes;
	}
}

static unsigned punched_count;
static int punched_error;
static uint64_t punched_left;

static void on_punched(void *ctx, uint64_t seg, uint64_t gen, int error, uint64_t left)
{
	(void)ctx;
	(void)seg;
	(void)gen;
	punched_count++;
	punched_error = error;
	punched_left = left;
}

static struct cdb_writer *make_writer(int *error)
{
	struct cdb_writer_setup s = {
		.base = base,
		.segment_bytes = SEG_BYTES,
		.gid = (gid_t)-1,
		.notify = loop,
		.segment = on_segment,
		.spare = on_spare,
		.punched = on_punched,
	};

	event_count = 0;
	return cdb_writer_new(&s, error);
}

/* Content of record `ta`: bytes that follow from the id, of a length that does too. */
static size_t fill(uint64_t ta, char *dst)
{
	size_t n = (size_t)(ta * 2654435761u % 3000);

	for (size_t i = 0; i < n; i++)
		dst[i] = (char)(ta * 31 + i * 7);
	return n;
}

static size_t envelope_of(uint64_t ta, char dst[64])
{
	return (size_t)snprintf(dst, 64, "envelope of %llu", (unsigned long long)ta);
}

/* Appends record `ta` in three pieces. */
static int append(struct cdb_writer *w, uint64_t ta, struct cdb_ref *ref)
{
	char content[3000], env[64];
	size_t n = fill(ta, content);
	struct iovec v[3] = { { content, n / 3 },
			      { content + n / 3, 0 },
			      { content + n / 3, n - n / 3 } };
	struct cdb_head h = { .ta = ta, .size_bytes = n };

	return cdb_append(w, &h, v, 3, span_of(env, envelope_of(ta, env)), ref);
}

/* Appends; waits while a next segment is being made. */
static int append_wait(struct cdb_writer *w, uint64_t ta, struct cdb_ref *ref)
{
	usec_t until = clock_now() + 20 * USEC_PER_SEC;
	int rc;

	while ((rc = append(w, ta, ref)) == -EAGAIN && clock_now() < until)
		loop_turn(loop, 1000);
	return rc;
}

static bool is_whole(struct cdb_reader *r, const struct cdb_ref *ref, uint64_t ta)
{
	char content[3000], env[64], got[3000], got_env[64];
	size_t n = fill(ta, content), m = envelope_of(ta, env);
	struct cdb_record rec;

	if (cdb_open_record(r, ref, ta, &rec))
		return false;
	bool same = rec.head.content_bytes == n && rec.head.size_bytes == n &&
		    rec.head.envelope_bytes == m &&
		    cdb_read(&rec, 0, got, sizeof got) == (ssize_t)n && !memcmp(got, content, n) &&
		    cdb_read_envelope(&rec, got_env) == 0 && !memcmp(got_env, env, m);
	cdb_close_record(r, &rec);
	return same;
}

/* Turns the loop until cond. */
#define WAIT_FOR(cond)                                                                             \
	for (usec_t until_ = clock_now() + 20 * USEC_PER_SEC; !(cond) && clock_now() < until_;)    \
	loop_turn(loop, 5000)

/* ---- many threads */

enum { THREADS = 4, PER_THREAD = 1500 };

struct appender {
	struct cdb_writer *w;
	unsigned number;
	unsigned failed;
	atomic_bool done;
	struct cdb_ref ref[PER_THREAD];
};

static struct appender appender[THREADS];

static void append_many(void *arg)
{
	struct appender *a = arg;

	for (unsigned i = 0; i < PER_THREAD; i++) {
		uint64_t ta = (uint64_t)(a->number * PER_THREAD + i + 1) << 8;
		usec_t until = clock_now() + 30 * USEC_PER_SEC;
		int rc;

		while ((rc = append(a->w, ta, &a->ref[i])) == -EAGAIN && clock_now() < until)
			sched_yield();
		a->failed += rc != 0;
	}
	atomic_store(&a->done, true);
}

static bool overlaps(const struct cdb_ref *a, const struct cdb_ref *b)
{
	return a->seg == b->seg && a->off < b->off + b->len && b->off < a->off + a->len;
}

static int by_place(const void *x, const void *y)
{
	const struct cdb_ref *a = x, *b = y;

	if (a->seg != b->seg)
		return a->seg < b->seg ? -1 : 1;
	return a->off < b->off ? -1 : a->off > b->off;
}

static unsigned scanned;

static int count_one(void *ctx, const struct cdb_ref *ref, const struct cdb_head *h)
{
	(void)ctx;
	(void)ref;
	scanned += h->ta != 0;
	return 0;
}

static void check_records(void)
{
	static struct cdb_ref all[THREADS * PER_THREAD];
	struct cdb_reader *r = cdb_reader_new(base, 8);
	unsigned broken = 0, overlap = 0, odd = 0, n = 0;

	for (unsigned t = 0; t < THREADS; t++) {
		for (unsigned i = 0; i < PER_THREAD; i++) {
			broken += !is_whole(r, &appender[t].ref[i],
					    (uint64_t)(t * PER_THREAD + i + 1) << 8);
			all[n++] = appender[t].ref[i];
		}
	}
	is_int(broken, 0, "every record can be read back");
	qsort(all, n, sizeof all[0], by_place);
	for (unsigned i = 0; i < n; i++) {
		odd += all[i].off % CDB_STEP || all[i].off < CDB_SEG_HEAD ||
		       all[i].off + all[i].len > SEG_BYTES;
		overlap += i && overlaps(&all[i - 1], &all[i]);
	}
	is_int(odd + overlap, 0, "on steps of 64, inside its segment, none over another");
	cdb_reader_free(r);
	scanned = 0;
	for (unsigned i = 0; i < n; i++) {
		uint64_t end;

		if (!i || all[i].seg != all[i - 1].seg)
			cdb_scan(base, all[i].seg, 0, true, count_one, NULL, &end);
	}
	is_int(scanned, THREADS * PER_THREAD, "a scan finds them all");
}

/* Sealed means that all of it is written: the last byte in use is told. */
static void check_events(void)
{
	unsigned bad = 0, sealed = 0;

	for (unsigned i = 0; i < event_count; i++) {
		uint64_t last = CDB_SEG_HEAD;
		unsigned opened = 0;

		if (!event[i].sealed)
			continue;
		sealed++;
		for (unsigned k = 0; k < i; k++)
			opened += event[k].seg == event[i].seg && !event[k].sealed &&
				  event[k].gen == event[i].gen;
		for (unsigned t = 0; t < THREADS; t++)
			for (unsigned k = 0; k < PER_THREAD; k++)
				if (appender[t].ref[k].seg == event[i].seg &&
				    appender[t].ref[k].off + appender[t].ref[k].len > last)
					last = appender[t].ref[k].off + appender[t].ref[k].len;
		last = (last + CDB_STEP - 1) & ~(uint64_t)(CDB_STEP - 1);
		bad += opened != 1 || count_events(event[i].seg, true) != 1 || event[i].n != last;
	}
	ok(sealed > 50 && !bad, "%u segments were sealed, each told once before and once after",
	   sealed);
}

static void test_threads(void)
{
	pthread_t t[THREADS];
	int error;

	make_folders("threads");
	struct cdb_writer *w = make_writer(&error);
	ok(w != NULL, "a writer");
	for (unsigned i = 0; i < THREADS; i++) {
		appender[i].w = w;
		appender[i].number = i;
		thread_start(&t[i], "appender", THREAD_ANY_CPU, append_many, &appender[i]);
	}
	for (unsigned i = 0; i < THREADS; i++)
		WAIT_FOR(atomic_load(&appender[i].done));
	unsigned failed = 0;
	for (unsigned i = 0; i < THREADS; i++) {
		thread_join(t[i]);
		failed += appender[i].failed;
	}
	is_int(failed, 0, "every append works");
	check_records();
	/* All but the one in use and the one that is ready. */
	WAIT_FOR(count_events(0, true) + 2 >= count_events(0, false));
	check_events();
	unsigned before = event_count;
	cdb_tell_segments(w);
	bool in_use = event_count - before >= 1 && event_count - before <= 2;
	for (unsigned i = before; i < event_count; i++)
		in_use = in_use && !event[i].sealed && !count_events(event[i].seg, true) &&
			 event[i].n == SEG_BYTES;
	ok(in_use, "after a reconnect only those in use are told again: %u", event_count - before);
	cdb_writer_free(w);
}

/* ---- files on disk */

static unsigned count_segments(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < 16; i++) {
		char path[CDB_PATH_MAX];
		struct dirent *e;

		cdb_dir_path(base, i, path);
		DIR *d = opendir(path);
		while ((e = readdir(d)))
			n += e->d_name[0] == 'G';
		closedir(d);
	}
	return n;
}

static bool is_locked(uint64_t seg)
{
	char path[CDB_PATH_MAX];

	cdb_seg_path(base, seg, path);
	int fd = open(path, O_RDONLY);
	bool locked = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0;
	close(fd);
	return locked;
}

static void test_files(void)
{
	struct cdb_ref ref;
	struct stat st;
	char path[CDB_PATH_MAX];
	int error;

	make_folders("files");
	mode_t old = umask(077);
	struct cdb_writer *w = make_writer(&error);
	ok(w && append(w, 1 << 8, &ref) == 0, "a record");
	cdb_seg_path(base, ref.seg, path);
	ok(stat(path, &st) == 0 && (st.st_mode & 07777) == 0640 && st.st_size == SEG_BYTES &&
		   st.st_blocks * 512 >= SEG_BYTES,
	   "its segment: mode 0640 whatever the umask, allocated");
	umask(old);
	ok(is_locked(ref.seg), "locked while it is written");
	is_int(count_segments(), 1, "one segment is enough for little mail");

	struct iovec big = { calloc(1, SEG_BYTES / 4), SEG_BYTES / 4 };
	struct cdb_head h = { .ta = 2 << 8 };
	is_int(cdb_append(w, &h, &big, 1, SPAN(""), &ref), -EAGAIN,
	       "a record over a quarter of a segment is for a file");
	big.iov_len = SEG_BYTES / 4 - CDB_HEAD;
	is_int(cdb_append(w, &h, &big, 1, SPAN(""), &ref), 0, "a quarter is taken");
	free(big.iov_base);

	enum { PIECES = 300 };
	struct iovec many[PIECES];
	for (unsigned i = 0; i < PIECES; i++)
		many[i] = (struct iovec){ "0123456789" + i % 10, i % 10 ? 1 : 0 };
	h.ta = 3 << 8;
	is_int(cdb_append(w, &h, many, PIECES, SPAN("env"), &ref), 0,
	       "many small pieces, some empty");
	struct cdb_reader *r = cdb_reader_new(base, 1);
	struct cdb_record rec;
	char got[PIECES];
	unsigned wrong = 0;
	ok(cdb_open_record(r, &ref, 3 << 8, &rec) == 0 && cdb_read(&rec, 0, got, sizeof got) == 270,
	   "are one record");
	for (unsigned i = 0; i < 270; i++)
		wrong += got[i] != (char)('1' + i % 9);
	is_int(wrong, 0, "in their order");
	cdb_close_record(r, &rec);
	cdb_reader_free(r);

	h.ta = 4 << 8;
	is_int(cdb_append(w, &h, NULL, 0, SPAN(""), &ref), 0,
	       "a record without content and envelope");
	cdb_writer_free(w);
	ok(!is_locked(ref.seg) && count_segments() == 1, "at the end it is unlocked and stays");

	strcpy(base + strlen(base), "/missing");
	ok(!make_writer(&error) && error == -ENOENT, "no writer without folders");
}

/* ---- again and again */

/* Its first record has the id first_ta. */
static uint64_t first_ta;

static uint64_t fill_segment(struct cdb_writer *w, uint64_t *ta, struct cdb_ref *first)
{
	struct cdb_ref ref;

	first_ta = ++*ta << 8;
	if (append_wait(w, first_ta, first))
		return 0;
	do {
		if (append_wait(w, ++*ta << 8, &ref))
			return 0;
	} while (ref.seg == first->seg);
	WAIT_FOR(count_events(first->seg, true));
	return first->seg;
}

static void test_recycle(void)
{
	struct cdb_ref ref, again;
	uint64_t ta = 0, gen;
	int error;

	make_folders("recycle");
	struct cdb_writer *w = make_writer(&error);
	uint64_t seg = fill_segment(w, &ta, &ref);
	ok(seg != 0, "a segment is full");
	gen = ref.gen;
	uint64_t old_ta = first_ta;
	struct cdb_reader *r = cdb_reader_new(base, 4);
	ok(is_whole(r, &ref, old_ta), "its first record is there");
	cdb_segment_free(w, seg, gen + 5);
	cdb_segment_free(w, seg, gen);
	event_count = 0;
	unsigned rounds = 0;
	while (fill_segment(w, &ta, &again) && again.seg != seg && rounds < 20) {
		cdb_segment_free(w, again.seg, again.gen);
		rounds++;
	}
	ok(again.seg == seg && again.gen == gen + 1, "it is used again with the next generation");
	ok(is_whole(r, &again, first_ta), "and holds new records");
	struct cdb_record rec;
	is_int(cdb_open_record(r, &ref, old_ta, &rec), -ENOENT, "the old one is gone");
	cdb_reader_free(r);
	ok(count_segments() < 8, "the number of segments does not grow: %u", count_segments());
	cdb_writer_free(w);
}

/* What qmgr must know of the segments that it gave back. */
static void test_spare(void)
{
	struct cdb_ref ref;
	uint64_t ta = 0;
	int error;

	make_folders("spare");
	struct cdb_writer *w = make_writer(&error);
	uint64_t seg = fill_segment(w, &ta, &ref);
	kept_count = let_go_count = 0;
	cdb_segment_free(w, seg, ref.gen + 1);
	while (!let_go_count)
		loop_turn(loop, 10);
	ok(!kept_count, "a segment of another generation is let go");
	cdb_segment_free(w, seg, ref.gen);
	while (!kept_count)
		loop_turn(loop, 10);
	ok(kept[0].seg == seg && kept[0].gen == ref.gen + 1 && kept[0].bytes == SEG_BYTES,
	   "one that is kept is told, with its new generation");
	kept_count = event_count = 0;
	cdb_tell_segments(w);
	ok(kept_count == 1 && count_events(0, false), "and after a reconnect again");
	cdb_writer_free(w);
}

static void test_punch(void)
{
	struct cdb_ref ref;
	struct cdb_run all;
	uint64_t ta = 0;
	int error;

	make_folders("punch");
	struct cdb_writer *w = make_writer(&error);
	fill_segment(w, &ta, &ref);
	all = (struct cdb_run){ CDB_SEG_HEAD, SEG_BYTES };
	punched_count = 0;
	ok(!cdb_segment_punch(w, ref.seg, ref.gen + 1, &all, 1), "asked for another generation");
	while (!punched_count)
		loop_turn(loop, 10);
	is_int(punched_error, -ESTALE, "which is not there");
	ok(!cdb_segment_punch(w, ref.seg, ref.gen, &all, 1), "asked for this one");
	while (punched_count < 2)
		loop_turn(loop, 10);
	ok(punched_error == -EOPNOTSUPP || (!punched_error && punched_left < SEG_BYTES),
	   "punched by the helper, told in the loop");
	append(w, ++ta << 8, &ref);
	all.from = ref.off;
	ok(!cdb_segment_punch(w, ref.seg, ref.gen, &all, 1), "asked for the one in use");
	while (punched_count < 3)
		loop_turn(loop, 10);
	is_int(punched_error, -EBUSY, "refused");
	cdb_writer_free(w);
}

static void test_kill(void)
{
	struct cdb_ref a, b, other;
	struct cdb_record rec;
	int error;

	make_folders("kill");
	struct cdb_writer *w = make_writer(&error);
	append(w, 1 << 8, &a);
	append(w, 2 << 8, &b);
	other = a;
	cdb_kill(w, &other, 77 << 8);
	other.gen++;
	cdb_kill(w, &other, 1 << 8);
	cdb_kill(w, &b, 2 << 8);
	cdb_writer_free(w);
	struct cdb_reader *r = cdb_reader_new(base, 4);
	ok(is_whole(r, &a, 1 << 8), "a record that was not meant stays");
	is_int(cdb_open_record(r, &b, 2 << 8, &rec), -ESTALE, "a killed one was taken back");
	uint64_t end;
	scanned = 0;
	is_int(cdb_scan(base, a.seg, 0, true, count_one, NULL, &end), 0, "a scan");
	is_int(scanned, 1, "does not find it");
	ok(end == ((b.off + b.len + CDB_STEP - 1) & ~(uint64_t)(CDB_STEP - 1)),
	   "but knows that it is there");
	cdb_reader_free(r);
}

/* Segments that a former process left, one of them in the hands of another one. */
static void test_leftover(void)
{
	struct cdb_ref ref[3];
	uint64_t ta = 0;
	char path[CDB_PATH_MAX];
	int error;

	make_folders("left");
	struct cdb_writer *w = make_writer(&error);
	for (unsigned i = 0; i < 3; i++)
		fill_segment(w, &ta, &ref[i]);
	cdb_writer_free(w);
	w = make_writer(&error);
	struct cdb_ref now;
	uint64_t now_ta = ++ta << 8;
	append(w, now_ta, &now);
	ok(now.seg > ref[2].seg, "a new process uses a new segment");
	cdb_seg_path(base, ref[1].seg, path);
	int held = open(path, O_RDONLY);
	flock(held, LOCK_EX);
	/* In use, unknown, of another generation, held: nothing happens to any of them. */
	cdb_segment_free(w, now.seg, now.gen);
	cdb_segment_free(w, 0x4711, 1);
	cdb_segment_free(w, ref[2].seg, ref[2].gen + 1);
	cdb_segment_free(w, ref[1].seg, ref[1].gen);
	cdb_segment_free(w, ref[0].seg, ref[0].gen);
	struct cdb_ref again;
	event_count = 0;
	unsigned used_again = 0, other = 0;
	for (unsigned i = 0; i < 4 && fill_segment(w, &ta, &again); i++) {
		used_again += again.seg == ref[0].seg && again.gen == ref[0].gen + 1;
		other += again.seg == ref[1].seg || again.seg == ref[2].seg;
	}
	is_int(used_again, 1, "a segment of a former process is used again when qmgr says so");
	is_int(other, 0, "not those that are held, or meant another generation");
	struct cdb_reader *r = cdb_reader_new(base, 4);
	ok(is_whole(r, &now, now_ta), "the one in use was left alone");
	cdb_reader_free(r);
	close(held);
	cdb_writer_free(w);
}

/* A full disk, played by a limit for the size of files. */
static void test_errors(void)
{
	struct rlimit old, small;
	struct cdb_ref ref;
	uint64_t ta = 0;
	int error, rc = 0;

	make_folders("errors");
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	small = old;
	small.rlim_cur = SEG_BYTES - 4096;
	struct cdb_writer *w = make_writer(&error);
	ok(w && append(w, ++ta << 8, &ref) == 0, "a record");
	uint64_t first = ref.seg;
	setrlimit(RLIMIT_FSIZE, &small);
	usec_t until = clock_now() + 20 * USEC_PER_SEC;
	while (rc != -EFBIG && clock_now() < until)
		rc = append_wait(w, ++ta << 8, &ref);
	is_int(rc, -EFBIG,
	       "when no next segment can be made, the error of the disk is told, not -EAGAIN");
	for (unsigned i = 0; i < 100; i++)
		rc = append_wait(w, ++ta << 8, &ref) == -EFBIG ? rc : 0;
	is_int(rc, -EFBIG, "as long as it lasts");
	setrlimit(RLIMIT_FSIZE, &old);
	until = clock_now() + 20 * USEC_PER_SEC;
	while ((rc = append_wait(w, ++ta << 8, &ref)) == -EFBIG && clock_now() < until)
		loop_turn(loop, 10000);
	ok(rc == 0 && ref.seg != first, "afterwards it goes on in another segment");
	WAIT_FOR(count_events(first, true));
	is_int(count_events(first, true), 1, "and the old one is sealed");
	cdb_writer_free(w);
}

/* How often a file could not be opened for lack of descriptors. */
static atomic_uint starved;

int open(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode = 0;

	if (flags & O_CREAT) {
		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
	}
	int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
	if (fd < 0 && errno == EMFILE)
		atomic_fetch_add(&starved, 1);
	return fd;
}

/* No descriptor for the next segment: told as it is, tried again after pauses, then it goes on. */
static void test_no_descriptors(void)
{
	struct rlimit old, low;
	struct cdb_ref ref;
	uint64_t ta = 0;
	int error, rc = 0;

	make_folders("fds");
	struct cdb_writer *w = make_writer(&error);
	ok(w && append(w, ++ta << 8, &ref) == 0, "a record");
	uint64_t first = ref.seg;
	int next = dup(0);
	close(next);
	getrlimit(RLIMIT_NOFILE, &old);
	low = old;
	low.rlim_cur = (rlim_t)next;
	setrlimit(RLIMIT_NOFILE, &low);
	usec_t until = clock_now() + 20 * USEC_PER_SEC;
	while (rc != -EMFILE && clock_now() < until)
		rc = append_wait(w, ++ta << 8, &ref);
	is_int(rc, -EMFILE, "when there is no descriptor for the next segment, this is told");
	unsigned before = atomic_load(&starved);
	for (unsigned i = 0; i < 10000; i++)
		append(w, ++ta << 8, &ref);
	unsigned tries = atomic_load(&starved) - before;
	ok(tries < 50, "10000 records that find no room make %u tries", tries);
	setrlimit(RLIMIT_NOFILE, &old);
	until = clock_now() + 20 * USEC_PER_SEC;
	while ((rc = append_wait(w, ++ta << 8, &ref)) == -EMFILE && clock_now() < until)
		loop_turn(loop, 10000);
	ok(rc == 0 && ref.seg != first, "afterwards it goes on in another segment");
	cdb_writer_free(w);
}

static void test_seal(void)
{
	struct cdb_ref a, b;
	int error;

	make_folders("seal");
	struct cdb_writer *w = make_writer(&error);
	append(w, 1 << 8, &a);
	cdb_segment_seal(w, a.seg, a.gen + 1);
	cdb_segment_seal(w, a.seg, a.gen);
	WAIT_FOR(count_events(a.seg, true));
	is_int(count_events(a.seg, true), 1, "a segment that cannot be synced is sealed at once");
	ok(append_wait(w, 2 << 8, &b) == 0 && b.seg != a.seg, "the next record goes to another");
	cdb_writer_free(w);
	loop_turn(loop, 0);
	unsigned before = event_count;
	w = make_writer(&error);
	cdb_writer_free(w);
	loop_turn(loop, 0);
	ok(before > 1 && event_count == 0, "a writer that is gone tells nothing");
}

/* ---- files of their own */

static void test_own(void)
{
	struct cdb_file f, twice;
	struct cdb_ref ref;
	struct cdb_record rec;
	struct stat st;
	char path[CDB_PATH_MAX], got[32];
	uint64_t ta = 0x4711 << 8;
	int error;

	make_folders("own");
	struct cdb_writer *w = make_writer(&error);
	struct cdb_reader *r = cdb_reader_new(base, 4);
	mode_t old = umask(077);
	is_int(cdb_file_begin(w, ta, &f), 0, "begin");
	umask(old);
	cdb_file_path(base, ta, path);
	ok(stat(path, &st) == 0 && (st.st_mode & 07777) == 0640, "mode 0640 whatever the umask");
	is_int(cdb_file_begin(w, ta, &twice), -EEXIST, "an id has one file");
	is_int(cdb_file_add(&f, SPAN("Hello ")), 0, "a piece");
	is_int(cdb_file_add(&f, SPAN("")), 0, "an empty one");
	is_int(cdb_file_add(&f, SPAN("world\r\n")), 0, "another");
	ref = (struct cdb_ref){ .len = CDB_HEAD + 13 + 8 };
	is_int(cdb_open_record(r, &ref, ta, &rec), -ENOENT, "without its head it is no record");
	struct cdb_head h = { .dots = 5, .flags = CDB_8BIT };
	is_int(cdb_file_finish(w, &f, &h, SPAN("envelope"), &ref), 0, "finish");
	ok(!ref.seg && !ref.gen && !ref.off && ref.len == CDB_HEAD + 13 + 8 && f.fd == -1,
	   "its reference");
	is_int(cdb_open_record(r, &ref, ta, &rec), 0, "now it is one");
	ok(cdb_read(&rec, 0, got, sizeof got) == 13 && !memcmp(got, "Hello world\r\n", 13) &&
		   rec.head.dots == 5 && rec.head.flags == CDB_8BIT && rec.head.ta == ta,
	   "with its content");
	ok(cdb_read_envelope(&rec, got) == 0 && !memcmp(got, "envelope", 8), "and envelope");
	cdb_close_record(r, &rec);
	cdb_kill(w, &ref, ta);
	ok(stat(path, &st) && errno == ENOENT, "a killed one is removed");

	is_int(cdb_file_begin(w, ta, &f), 0, "begin again");
	cdb_file_add(&f, SPAN("x"));
	cdb_file_abort(w, &f);
	cdb_file_abort(w, &f);
	ok(f.fd == -1 && stat(path, &st) && errno == ENOENT, "an aborted one is removed");
	cdb_reader_free(r);
	cdb_writer_free(w);
}

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	bool good = fd >= 0 && write(fd, text, strlen(text)) > 0;

	if (fd >= 0)
		close(fd);
	return good;
}

/* A mount name space; for an ordinary user in a user name space where he is root. */
static bool enter_name_space(void)
{
	char uids[40], gids[40];
	uid_t uid = geteuid();

	if (!uid)
		return unshare(CLONE_NEWNS) == 0;
	snprintf(uids, sizeof uids, "0 %u 1", uid);
	snprintf(gids, sizeof gids, "0 %u 1", getegid());
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
		return false;
	return write_file("/proc/self/uid_map", uids) &&
	       write_file("/proc/self/setgroups", "deny") && write_file("/proc/self/gid_map", gids);
}

/* A real full disk: a small file system in a name space of its own. */
static int full_disk_child(void)
{
	struct cdb_ref ref;
	uint64_t ta = 0;
	int error, rc = 0;

	if (!enter_name_space())
		return 77;
	snprintf(base, sizeof base, "%s/small", tap_tmpdir());
	mkdir(base, 0755);
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", base, "tmpfs", 0, "size=400k"))
		return 77;
	make_folders("small");
	struct cdb_writer *w = make_writer(&error);
	if (!w)
		return 1;
	while (!rc && ta < 10000)
		rc = append_wait(w, ++ta << 8, &ref);
	if (rc != -ENOSPC)
		return 2;
	/* qmgr frees what was delivered, and mail is accepted again. */
	unsigned freed = 0;
	WAIT_FOR(count_events(0, true));
	for (unsigned i = 0; i < event_count; i++) {
		if (event[i].sealed) {
			cdb_segment_free(w, event[i].seg, event[i].gen);
			freed++;
		}
	}
	usec_t until = clock_now() + 20 * USEC_PER_SEC;
	while ((rc = append_wait(w, ++ta << 8, &ref)) == -ENOSPC && clock_now() < until)
		loop_turn(loop, 10000);
	cdb_writer_free(w);
	return !freed ? 3 : rc ? 4 : 0;
}

/* The first segment is used when the helper has synced it. */
static void test_first_later(void)
{
	struct cdb_writer_setup s = {
		.base = base, .segment_bytes = SEG_BYTES, .gid = (gid_t)-1, .first_later = true
	};
	struct cdb_ref ref = { 0 };
	int error = 0;

	make_folders("later");
	struct cdb_writer *w = cdb_writer_new(&s, &error);
	ok(w, "first_later: a writer");
	int early = append(w, 1, &ref);
	ok(early == 0 || early == -EAGAIN, "a record waits for the sync, or goes to a file");
	is_int(cdb_writer_wait(w), 0, "the first segment is synced");
	is_int(append(w, 2, &ref), 0, "and takes records");
	ok(ref.seg, "it is a segment");
	cdb_writer_free(w);
}

static void test_full_disk(void)
{
	int status;

	fflush(stdout);
	pid_t pid = fork();
	if (!pid) {
		thread_main_register();
		loop = loop_new();
		_exit(full_disk_child());
	}
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip("no file system can be mounted here");
	else
		is_int(status, 0, "a full disk is -ENOSPC, and goes away when segments are freed");
}

int main(void)
{
	log_open(&(struct log_setup){ .level = 0 });
	tap_tmpdir();
	test_full_disk();
	thread_main_register();
	loop = loop_new();
	test_files();
	test_threads();
	test_recycle();
	test_spare();
	test_punch();
	test_kill();
	test_leftover();
	test_errors();
	test_no_descriptors();
	test_seal();
	test_own();
	test_first_later();
	loop_free(loop);
	return plan_done();
}

#include "queue/damage.h"

#include "core/log.h"
#include "tests/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROWS = 20000, PARK = 9, PARK_AT = 8 };

static char dir[300], log_dir[300];
static struct store *store;

static void open_it(void)
{
	struct store_setup set = { .dir = dir,
				   .log_dir = log_dir,
				   .cache_bytes = 1 << 20,
				   .page_bytes = 1024,
				   .log_bytes = 64 << 20 };
	char why[600] = "";
	bool created;
	int error;

	store = store_open(&set, &error, why, sizeof why, &created);
	if (!store)
		diag("%s", why);
}

/* Between the numbers are gaps of all sizes. */
static uint64_t number(unsigned i)
{
	return 1000 + (uint64_t)i * i * i;
}

static struct store_key key_of(enum store_family f, unsigned i)
{
	return f == STORE_DUE    ? store_key_due((usec_t)number(i), 7, i & 3)
	       : f == STORE_IBDB ? store_key_ta(number(i))
				 : store_key_parked(PARK, number(i), 1);
}

static void put_row(struct store_batch *b, enum store_family f, struct store_key key)
{
	store_put(store, b, f, store_key_span(&key), SPAN("value"));
}

/* One family with rows, all of them in one file. */
static char *make(const char *name, enum store_family f)
{
	struct store_batch *b = store_batch_new();
	char pattern[400];
	static char path[400];
	glob_t g;
	struct stat st, largest = { .st_size = 0 };

	snprintf(dir, sizeof dir, "%s/%s", tap_tmpdir(), name);
	snprintf(log_dir, sizeof log_dir, "%s/%s-log", tap_tmpdir(), name);
	open_it();
	for (unsigned i = 0; i < ROWS; i++)
		put_row(b, f, key_of(f, i));
	if (f == STORE_PARKED) {
		put_row(b, f, store_key_parked(PARK - 1, 5, 0));
		put_row(b, f, store_key_parked(PARK + 1, 5, 0));
	}
	ok(!store_write(store, b), "%s: rows", name);
	store_batch_free(b);
	store_empty_log(store);
	snprintf(pattern, sizeof pattern, "%s/*.sst", dir);
	if (glob(pattern, 0, NULL, &g))
		return NULL;
	for (size_t i = 0; i < g.gl_pathc; i++)
		if (!stat(g.gl_pathv[i], &st) && st.st_size > largest.st_size) {
			largest = st;
			snprintf(path, sizeof path, "%s", g.gl_pathv[i]);
		}
	globfree(&g);
	/* Nothing of it is in the cache. */
	store_close(store);
	open_it();
	return path;
}

static void hurt(const char *path, unsigned percent)
{
	struct stat st;
	int fd = open(path, O_RDWR);
	char c;

	if (fd < 0 || fstat(fd, &st))
		return;
	off_t at = st.st_size * percent / 100;
	ok(pread(fd, &c, 1, at) == 1 && (c ^= 0x40, pwrite(fd, &c, 1, at) == 1),
	   "a bit at %u %% of the file changes", percent);
	close(fd);
}

struct walked {
	unsigned rows, gaps, largest, skipped;
	int rc;
	bool others;
};

static struct walked walk(enum store_family f, bool around)
{
	struct store_key from = f == STORE_PARKED ? store_key_parked(PARK, 0, 0)
				: f == STORE_DUE  ? store_key_due(0, 0, 0)
						  : store_key_ta(0);
	struct store_iter *it = store_iter_new(store, f, store_key_span(&from));
	unsigned at = f == STORE_PARKED ? PARK_AT : 0, next = 0, i;
	struct walked w = { .rows = 0 };

	for (; around ? damage_valid(it, &from, at, &w.skipped) : store_iter_valid(it);
	     store_iter_next(it)) {
		struct span key = store_iter_key(it);
		for (i = next; i < ROWS; i++) {
			struct store_key want = key_of(f, i);

			if (span_eq(key, store_key_span(&want)))
				break;
		}
		if (i == ROWS) {
			w.others = true;
			break;
		}
		w.gaps += i != next;
		w.largest = i - next > w.largest ? i - next : w.largest;
		next = i + 1;
		from = key_of(f, i);
		w.rows++;
	}
	w.rc = store_iter_end(it);
	return w;
}

static void family(const char *name, enum store_family f)
{
	char *path = make(name, f);
	struct walked w = walk(f, false);

	ok(w.rows == ROWS && !w.rc && w.others == (f == STORE_PARKED), "%s: all can be read", name);
	store_close(store);
	open_it();
	hurt(path, 30);
	hurt(path, 60);
	w = walk(f, false);
	ok(w.rc == -EUCLEAN && w.rows && w.rows < ROWS / 2, "%s: a walk ends at the damage", name);
	w = walk(f, true);
	ok(!w.rc && w.rows < ROWS && w.rows > ROWS * 9 / 10 && w.gaps == 2 && w.skipped == 2,
	   "%s: around it are %u of %u rows, two gaps of at most %u", name, w.rows, ROWS,
	   w.largest);
	ok(w.others == (f == STORE_PARKED), "%s: and what is behind them", name);
	ok(strstr(store_error(), "Corruption") != NULL, "%s: %s", name, store_error());
	store_close(store);
}

static void told(void)
{
	char path[400], text[20000], *at;
	unsigned lines = 0;

	snprintf(path, sizeof path, "%s/log", tap_tmpdir());
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600), was = dup(2);
	fflush(stderr);
	dup2(fd, 2);
	for (unsigned i = 0; i < 100; i++) {
		damage_tell(
			"Corruption: block checksum mismatch in /db/000077.sst offset 1 size 2");
		damage_tell(
			"Corruption: block checksum mismatch in /db/000078.sst offset 1 size 2");
	}
	for (unsigned i = 0; i < 100; i++) {
		snprintf(text, sizeof text, "Corruption: in /db/%06u.sst offset 3", 100 + i);
		damage_tell(text);
	}
	log_flush();
	dup2(was, 2);
	close(was);
	ssize_t n = pread(fd, text, sizeof text - 1, 0);
	text[n > 0 ? n : 0] = 0;
	for (at = text; (at = strstr(at, "sev=CRIT")); at++)
		lines++;
	is_int(lines, 8, "a line per file, and not more for many");
	ok(strstr(text, "000077.sst") && strstr(text, "000078.sst") &&
		   strstr(text, "cdbctl rebuild"),
	   "which says what to do");
}

int main(void)
{
	damage_tell("Corruption: at the start");
	damage_watch();
	told();
	family("due", STORE_DUE);
	family("parked", STORE_PARKED);
	family("ibdb", STORE_IBDB);
	return plan_done();
}

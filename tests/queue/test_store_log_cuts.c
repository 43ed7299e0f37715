/*
 * Everything that may happen to the folder of the log: starts with either folder, cut short before each
 * change of a name; folders moved and copied by hand; the whole spool copied while the old one stays. All
 * sequences of a few steps, and many long ones by chance (SMX_TEST_SLOW: more). What was written is never missing from a
 * database that was opened, and there is always a folder with which it opens.
 *
 * The database is a model: a row is a file beside it, or a log with the row's number in the folder. A start
 * keeps the rows of the log and begins a new log with the next row, as RocksDB does.
 */
#include "queue/store_log.h"

#include "core/log.h"
#include "tests/tap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROOTS = 3, FOLDERS = 3, STEPS_MAX = 12, CUTS = 6, RANDOM_RUNS = 400 };

/* ---- the disk */

static unsigned cut_in; /* changes until the power goes; 0: it does not */
static bool dark, synced, name_unsynced;
static unsigned unsynced;

int __real_rename(const char *from, const char *to);
int __real_unlink(const char *path);
int __real_fsync(int fd);
int __wrap_rename(const char *from, const char *to);
int __wrap_unlink(const char *path);
int __wrap_fsync(int fd);

/* From the cut on nothing changes any more, whatever the program still tries. */
static bool goes_dark(void)
{
	if (cut_in && !--cut_in)
		dark = true;
	if (dark)
		errno = EIO;
	return dark;
}

int __wrap_rename(const char *from, const char *to)
{
	if (goes_dark())
		return -1;
	unsynced += !synced || name_unsynced;
	synced = false;
	name_unsynced = true;
	return __real_rename(from, to);
}

int __wrap_unlink(const char *path)
{
	return goes_dark() ? -1 : __real_unlink(path);
}

/* What counts is that it was asked for. */
int __wrap_fsync(int fd)
{
	struct stat st;

	if (dark) {
		errno = EIO;
		return -1;
	}
	if (!fstat(fd, &st) && S_ISDIR(st.st_mode))
		name_unsynced = false;
	else
		synced = true;
	return 0;
}

/* ---- rows */

static char path[3][600];

static const char *at(int slot, unsigned root, const char *name)
{
	snprintf(path[slot], sizeof path[slot], "r%u/%s", root, name);
	return path[slot];
}

static void touch(const char *name)
{
	int fd = open(name, O_WRONLY | O_CREAT, 0600);

	if (fd >= 0)
		close(fd);
}

/* Bits of the rows in a folder, "N.log" or "N.row"; with `into` they are moved there. */
static uint64_t rows(const char *dir, const char *suffix, const char *into)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	uint64_t found = 0;
	char name[600], rest[20];
	unsigned n;

	while (d && (e = readdir(d))) {
		if (sscanf(e->d_name, "%u%19s", &n, rest) != 2 || strcmp(rest, suffix))
			continue;
		found |= UINT64_C(1) << n;
		if (into) {
			snprintf(name, sizeof name, "%.280s/%u.row", into, n);
			touch(name);
		}
	}
	if (d)
		closedir(d);
	return found;
}

static void remove_all(const char *dir, const char *suffix)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	char name[900];

	while (d && (e = readdir(d)))
		if (*e->d_name != '.' && (!suffix || strstr(e->d_name, suffix))) {
			snprintf(name, sizeof name, "%s/%s", dir, e->d_name);
			__real_unlink(name);
		}
	if (d)
		closedir(d);
}

static void copy_file(const char *from, const char *to)
{
	char text[20000];
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ssize_t n = in < 0 ? 0 : read(in, text, sizeof text);

	if (out < 0 || write(out, text, (size_t)n) != n)
		diag("cannot copy %s", from);
	close(in);
	close(out);
}

/* As it is, if there is one. */
static void copy_folder(const char *from, const char *to)
{
	DIR *d = opendir(from);
	struct dirent *e;
	char src[900], dst[900];

	if (!d)
		return;
	mkdir(to, 0700);
	while ((e = readdir(d))) {
		if (*e->d_name == '.')
			continue;
		snprintf(src, sizeof src, "%s/%s", from, e->d_name);
		snprintf(dst, sizeof dst, "%s/%s", to, e->d_name);
		copy_file(src, dst);
	}
	closedir(d);
}

/* ---- the world */

static const char *const folder[FOLDERS] = { "a", "b", "c" };

static struct {
	unsigned root;              /* where the operator works now */
	unsigned roots;             /* that there are */
	uint64_t expected[ROOTS];   /* rows of the database there */
	unsigned next;              /* row */
	const char *again;          /* the last step was a start with this, cut short */
	char story[STEPS_MAX * 40]; /* what was done */
	unsigned lost, stuck, runs, opened, refused, cut;
} w;

static void begin(void)
{
	for (unsigned r = 0; r < ROOTS; r++) {
		remove_all(at(0, r, "db"), NULL);
		for (unsigned f = 0; f < FOLDERS; f++) {
			remove_all(at(0, r, folder[f]), NULL);
			rmdir(at(0, r, folder[f]));
		}
		w.expected[r] = 0;
	}
	mkdir("r0", 0700);
	mkdir("r1", 0700);
	mkdir("r2", 0700);
	w.root = w.next = 0;
	w.roots = 1;
	w.again = NULL;
	*w.story = 0;
	w.runs++;
}

static void tell(const char *fmt, const char *a, unsigned n)
{
	size_t len = strlen(w.story);

	snprintf(w.story + len, sizeof w.story - len, fmt, a, n);
}

enum started { OPENED, REFUSED, CUT, LOST };

/* As queue/store.c does it. cut: it ends before so many changes. */
static enum started start(const char *name, unsigned cut)
{
	static struct store_log l;
	char why[10000], db[600];
	enum started result = CUT;

	snprintf(db, sizeof db, "%s", at(0, w.root, "db"));
	const char *log = at(1, w.root, name);
	if (store_log_find(&l, db, log, false, why, sizeof why))
		return REFUSED;
	if (store_log_moves(&l))
		rows(l.from, ".log", db);
	cut_in = cut;
	if (!store_log_settle(&l, why, sizeof why)) {
		uint64_t has = rows(db, ".row", NULL) | rows(log, ".log", db);
		char row[700];

		result = w.expected[w.root] & ~has ? LOST : OPENED;
		remove_all(log, ".log");
		snprintf(row, sizeof row, "%s/%u.log", log, w.next);
		touch(row);
		w.expected[w.root] |= UINT64_C(1) << w.next++;
		touch(at(2, w.root, "db/CURRENT"));
		store_log_clean(&l, false);
		unsynced += !dark && name_unsynced;
	}
	cut_in = 0;
	dark = synced = name_unsynced = false;
	return result;
}

static void do_start(unsigned f, unsigned cut)
{
	enum started s = start(folder[f], cut);

	tell(" start:%s/%u", folder[f], cut);
	tell(s == OPENED    ? "=open"
	     : s == REFUSED ? "=refused"
	     : s == CUT     ? "=cut"
			    : "=LOST%s",
	     "", 0);
	w.opened += s == OPENED;
	w.refused += s == REFUSED;
	w.cut += s == CUT;
	if (s == LOST && w.lost++ < 5)
		diag("lost:%s", w.story);
	if (s == REFUSED && w.again == folder[f] && w.stuck++ < 5)
		diag("cut short, and now refused:%s", w.story);
	w.again = s == CUT ? folder[f] : NULL;
}

static bool exists(unsigned root, unsigned f)
{
	return access(at(2, root, folder[f]), F_OK) == 0;
}

/* By hand; nothing is overwritten. */
static void do_move(unsigned from, unsigned to, bool copy)
{
	if (!exists(w.root, from) || exists(w.root, to))
		return;
	w.again = NULL;
	tell(copy ? " copy:%s-%u" : " move:%s-%u", folder[from], to);
	if (copy)
		copy_folder(at(0, w.root, folder[from]), at(1, w.root, folder[to]));
	else
		__real_rename(at(0, w.root, folder[from]), at(1, w.root, folder[to]));
}

/* The spool as a whole; the old one stays where it is. */
static void do_copy_all(void)
{
	if (w.roots == ROOTS)
		return;
	w.again = NULL;
	copy_folder(at(0, w.root, "db"), at(1, w.roots, "db"));
	for (unsigned f = 0; f < FOLDERS; f++)
		copy_folder(at(0, w.root, folder[f]), at(1, w.roots, folder[f]));
	w.expected[w.roots] = w.expected[w.root];
	w.root = w.roots++;
	tell(" spool%s%u", "", w.root);
}

/* In each spool there is a folder with which it opens, with all rows. */
static void finish(void)
{
	for (w.root = w.roots; w.root-- > 0;) {
		bool opens = !w.expected[w.root];

		for (unsigned f = 0; f < FOLDERS && !opens; f++) {
			enum started s = exists(w.root, f) ? start(folder[f], 0) : REFUSED;

			opens = s == OPENED;
			if (s == LOST && w.lost++ < 5)
				diag("lost in the end, spool %u:%s", w.root, w.story);
		}
		if (!opens && w.stuck++ < 5)
			diag("nothing opens, spool %u:%s", w.root, w.story);
	}
}

/* ---- all of it */

enum { STEPS = 2 * (CUTS + 1) + 4 + 2 + 2 + 1 };

static void step(unsigned n)
{
	static const uint8_t moves[][3] = { { 0, 1, false }, { 1, 0, false }, { 0, 2, false },
					    { 2, 0, false }, { 1, 2, false }, { 2, 1, false },
					    { 0, 1, true },  { 1, 0, true } };

	if (n < 2 * (CUTS + 1))
		do_start(n & 1, n / 2);
	else if (n < STEPS - 1)
		do_move(moves[n - 2 * (CUTS + 1)][0], moves[n - 2 * (CUTS + 1)][1],
			moves[n - 2 * (CUTS + 1)][2]);
	else
		do_copy_all();
}

static void judge(const char *what, unsigned refusals)
{
	ok(!w.lost && !w.stuck && !unsynced,
	   "%s: %u sequences, %u starts opened, %u refused, %u cut short; %u lost rows, %u that should open did not, %u changes of names not synced",
	   what, w.runs, w.opened, w.refused, w.cut, w.lost, w.stuck, unsynced);
	ok(w.opened && w.refused >= refusals && w.cut, "%s: all of it happened", what);
	memset(&w, 0, sizeof w);
	unsynced = 0;
}

static void short_ones(void)
{
	for (unsigned i = 0; i < STEPS; i++)
		for (unsigned k = 0; k < STEPS; k++) {
			begin();
			step(i);
			step(k);
			finish();
		}
	judge("from nothing", 0);
	const char *slow = getenv("SMX_TEST_SLOW");
	unsigned all = slow && *slow == '1' ? STEPS * STEPS * STEPS : STEPS * STEPS;
	for (unsigned i = 0; i < all; i++) {
		begin();
		do_start(0, 0);
		step(i % STEPS);
		step(i / STEPS % STEPS);
		if (all > STEPS * STEPS)
			step(i / STEPS / STEPS);
		finish();
	}
	judge("from a first start", 1);
}

static void long_ones(void)
{
	const char *text = getenv("SMX_TEST_SEED");
	unsigned seed = text ? (unsigned)strtoul(text, NULL, 10) : (unsigned)getpid();

	diag("SMX_TEST_SEED=%u", seed);
	srandom(seed);
	for (unsigned i = 0; i < RANDOM_RUNS; i++) {
		begin();
		do_start(0, 0);
		for (unsigned k = 0; k < STEPS_MAX - 1; k++)
			step((unsigned)random() % STEPS);
		finish();
	}
	judge("by chance", 1);
}

int main(void)
{
	char shm[] = "/dev/shm/smx-test-XXXXXX";
	const char *dir = mkdtemp(shm);

	/* Hundreds of thousands of names: memory is faster. */
	if (chdir(dir ? dir : tap_tmpdir()))
		return 1;
	log_set_level(0); /* old logs that cannot be removed */
	short_ones();
	long_ones();
	begin();
	for (unsigned r = 0; r < ROOTS; r++) {
		rmdir(at(0, r, "db"));
		rmdir(at(0, r, ""));
	}
	if (dir)
		rmdir(dir);
	return plan_done();
}

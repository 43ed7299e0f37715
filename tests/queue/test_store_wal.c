#include "queue/store_wal.h"

#include "queue/store.h"
#include "tests/tap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WRITES = 12 };

static char base[400], logs[400], newest[420];
static off_t end[WRITES + 1]; /* of the log behind each write */
static char *good;

static off_t find_newest(void)
{
	DIR *d = opendir(logs);
	struct dirent *e;
	unsigned long best = 0;
	struct stat st;

	while ((e = readdir(d)))
		if (strtoul(e->d_name, NULL, 10) > best && strstr(e->d_name, ".log"))
			best = strtoul(e->d_name, NULL, 10);
	closedir(d);
	snprintf(newest, sizeof newest, "%s/%06lu.log", logs, best);
	return stat(newest, &st) ? -1 : st.st_size;
}

static struct store *opened(int *error, char *why, size_t cap)
{
	struct store_setup setup = { .dir = base,
				     .log_dir = logs,
				     .cache_bytes = 1 << 20,
				     .page_bytes = 4096,
				     .log_bytes = 64 << 20,
				     .read_only = true };
	bool created;

	return store_open(&setup, error, why, cap, &created);
}

/* Writes of all sizes: several in a block, one over several blocks. */
static void make(void)
{
	struct store_setup setup = { .dir = base,
				     .log_dir = logs,
				     .cache_bytes = 1 << 20,
				     .page_bytes = 4096,
				     .log_bytes = 64 << 20 };
	static const size_t size[WRITES] = { 10,    100, 5000, 40000, 10,  70000,
					     30000, 10,  10,   200,   100, 100000 };
	struct store_batch *b = store_batch_new();
	char *value = malloc(100000), why[600];
	bool created;
	int error;

	for (size_t i = 0; i < 100000; i++)
		value[i] = (char)(i * 2654435761u >> 11);
	struct store *s = store_open(&setup, &error, why, sizeof why, &created);
	end[0] = find_newest();
	for (int i = 0; i < WRITES; i++) {
		struct store_key k = store_key_ta((uint64_t)i);

		store_put(s, b, STORE_IBDB, store_key_span(&k), span_of(value, size[i]));
		store_write(s, b);
		end[i + 1] = find_newest();
	}
	store_batch_free(b);
	free(value);
	/* Not closed: nothing else is to be written. */
	good = malloc((size_t)end[WRITES]);
	int fd = open(newest, O_RDONLY);
	ok(s && read(fd, good, (size_t)end[WRITES]) == end[WRITES], "a log");
	close(fd);
	store_close(s);
}

/* The log with n bytes at `at` changed and cut at `len`; *opens: what RocksDB and we make of it. */
static int check(off_t at, size_t n, int byte, off_t len, bool *opens)
{
	char *p = malloc((size_t)end[WRITES]), what[600] = "", why[600] = "";
	int error = 0;

	memcpy(p, good, (size_t)end[WRITES]);
	for (size_t i = 0; i < n && at + (off_t)i < end[WRITES]; i++)
		p[at + (off_t)i] = byte < 0 ? (char)~p[at + (off_t)i] : (char)byte;
	int fd = open(newest, O_WRONLY | O_TRUNC);
	ok(write(fd, p, (size_t)len) == len, "written");
	close(fd);
	free(p);
	int rc = store_wal_check(logs, what, sizeof what);
	struct store *s = opened(&error, why, sizeof why);
	*opens = s != NULL;
	if (s)
		store_close(s);
	else if (!strstr(why, ".log is damaged at byte"))
		diag("%s", why);
	if (rc && !what[0])
		diag("no words for it");
	return rc;
}

int main(void)
{
	bool opens;

	snprintf(base, sizeof base, "%s/db", tap_tmpdir());
	snprintf(logs, sizeof logs, "%s/log", tap_tmpdir());
	mkdir(base, 0700);
	mkdir(logs, 0700);
	make();
	is_int(check(0, 0, 0, end[WRITES], &opens), STORE_WAL_GOOD, "as it was written");
	ok(opens, "opens");
	is_int(check(end[WRITES - 1] + 40000, 512, 0, end[WRITES], &opens), STORE_WAL_TORN,
	       "a sector of the last write is missing");
	ok(opens, "opens");
	is_int(check(end[WRITES - 1], 40000, 0, end[WRITES], &opens), STORE_WAL_TORN,
	       "its begin is missing");
	ok(opens, "opens");
	is_int(check(end[WRITES - 1] + 65536, 34000, 0, end[WRITES], &opens), STORE_WAL_TORN,
	       "its end is missing");
	ok(opens, "opens");
	is_int(check(0, 0, 0, end[WRITES] - 5000, &opens), STORE_WAL_TORN, "it was cut");
	ok(opens, "opens");
	is_int(check(0, 0, 0, end[WRITES - 2] + 3, &opens), STORE_WAL_TORN, "cut in a head");
	ok(opens, "opens");
	is_int(check(0, 0, 0, end[4], &opens), STORE_WAL_GOOD, "cut between two writes");
	ok(opens, "opens");
	for (int i = 0; i < WRITES - 1; i++) {
		is_int(check(end[i] + (end[i + 1] - end[i]) / 2, 1, -1, end[WRITES], &opens),
		       STORE_WAL_DAMAGED, "a bit of a write in the middle");
		ok(!opens, "is refused");
		is_int(check(end[i] + 4, 2, -1, end[WRITES], &opens), STORE_WAL_DAMAGED,
		       "a length");
		ok(!opens, "is refused");
		is_int(check(end[i], (size_t)(end[i + 1] - end[i]), 0, end[WRITES], &opens),
		       STORE_WAL_DAMAGED, "a whole write");
		ok(!opens, "is refused");
	}
	return plan_done();
}

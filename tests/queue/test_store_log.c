#include "queue/store_log.h"

#include "queue/store.h"
#include "tests/tap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char base[400], logs[400], other[400], why[600];
static bool keep;

static void sh(const char *fmt, const char *a, const char *b)
{
	char cmd[1200];

	snprintf(cmd, sizeof cmd, fmt, a, b);
	if (system(cmd))
		diag("failed: %s", cmd);
}

/* A fresh folder for each case. */
static void begin(const char *name)
{
	snprintf(base, sizeof base, "%s/%s/db", tap_tmpdir(), name);
	snprintf(logs, sizeof logs, "%s/%s/log", tap_tmpdir(), name);
	snprintf(other, sizeof other, "%s/%s/other", tap_tmpdir(), name);
	sh("mkdir -p %s %s", base, logs);
	keep = false;
	diag("%s", name);
}

static struct store *opened(const char *log_dir, bool read_only, int *error)
{
	struct store_setup setup = { .dir = base,
				     .log_dir = log_dir,
				     .cache_bytes = 1 << 20,
				     .page_bytes = 4096,
				     .log_bytes = 4 << 20,
				     .keep_logs = keep,
				     .read_only = read_only };
	bool created;

	*error = 0;
	why[0] = 0;
	return store_open(&setup, error, why, sizeof why, &created);
}

static int put(const char *log_dir, uint64_t id)
{
	int error;
	struct store *s = opened(log_dir, false, &error);
	struct store_batch *b = store_batch_new();
	struct store_key k = store_key_ta(id);

	if (!s)
		return 1;
	store_put(s, b, STORE_IBDB, store_key_span(&k), SPAN("value"));
	return store_write(s, b) != 0;
}

/* By a process that ends without closing anything, as kill -9 does: what it wrote is in the log only. */
static void put_and_die(const char *log_dir, uint64_t id)
{
	char number[24];
	int status = -1;

	snprintf(number, sizeof number, "%llu", (unsigned long long)id);
	pid_t pid = fork();
	if (!pid) {
		execl("/proc/self/exe", "put", base, log_dir, number, keep ? "keep" : "", NULL);
		_exit(1);
	}
	waitpid(pid, &status, 0);
	ok(status == 0, "a row is in the log in %s", strrchr(log_dir, '/') + 1);
}

static bool has(const char *log_dir, bool read_only, uint64_t from, uint64_t to)
{
	int error;
	struct store *s = opened(log_dir, read_only, &error);
	bool all = s != NULL;

	for (uint64_t id = from; id <= to && all; id++) {
		struct store_key k = store_key_ta(id);
		size_t n;
		char *v;

		all = !store_get(s, STORE_IBDB, store_key_span(&k), &v, &n);
		if (all)
			free(v);
	}
	if (!s)
		diag("%d %s", error, why);
	store_close(s);
	return all;
}

static void refused(const char *log_dir, int want, const char *part, const char *name)
{
	int error;
	struct store *s = opened(log_dir, false, &error);

	ok(!s && error == want && strstr(why, part), "%s: %s", name, why);
	store_close(s);
}

static unsigned count(const char *dir, const char *suffix)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	unsigned n = 0;

	while (d && (e = readdir(d))) {
		size_t len = strlen(e->d_name), k = strlen(suffix);

		n += len > k && !strcmp(e->d_name + len - k, suffix);
	}
	if (d)
		closedir(d);
	return n;
}

static void changed(void)
{
	begin("changed");
	put_and_die(logs, 1);
	put_and_die(logs, 2);
	ok(has(other, true, 1, 2) && access(other, F_OK),
	   "a tool finds the log where it is, and changes nothing");
	put_and_die(other, 3);
	ok(count(logs, ".log") == 0 && access(logs, F_OK) == 0,
	   "nothing is left in the old folder");
	ok(has(other, false, 1, 3), "all rows are there");
	put_and_die(logs, 4);
	ok(has(logs, false, 1, 4), "and back again");
	refused("/dev/null/x", -ENOTDIR, "DEFEDB.log_directory", "a folder that cannot be");
	ok(has(logs, false, 1, 4), "which changes nothing");
	keep = true;
	put_and_die(logs, 5);
	ok(has(other, false, 1, 5) && !count(logs, ".log"), "logs that are kept");
	snprintf(why, sizeof why, "%s/archive", logs);
	ok(count(why, ".log") > 0, "are in the archive of the old folder");
}

/* Killed between the steps of a change. */
static void killed(void)
{
	struct store_log *l = calloc(1, sizeof *l);
	char mark[500];

	begin("killed");
	put_and_die(logs, 1);
	sh("mkdir %s && cp %s/log_of .", other, logs);
	snprintf(mark, sizeof mark, "%s/log_of", other);
	ok(store_log_find(l, base, other, false, why, sizeof why) == 0 && store_log_moves(l),
	   "it is to move");
	FILE *f = fopen(mark, "w");
	fprintf(f, "%s %llu\n", l->id, (unsigned long long)l->number + 1);
	fclose(f);
	sh("rm -f log_of%s%s", "", "");
	put_and_die(logs, 2);
	ok(has(logs, false, 1, 2), "after the mark, and back to the old one");
	put_and_die(logs, 3);
	ok(has(other, false, 1, 3), "after the mark, and on");
	put_and_die(other, 4);
	/* After the record: the old logs are there still. */
	sh("mkdir -p %s && cp -a %s/. .old", logs, other);
	int error;
	struct store *s = opened(other, false, &error);
	store_close(s);
	memset(l, 0, sizeof *l);
	ok(store_log_find(l, base, logs, false, why, sizeof why) == 0 && store_log_moves(l),
	   "it moves back");
	/* It was flushed when it was closed last, as the change does it. */
	ok(store_log_settle(l, why, sizeof why) == 0, "recorded");
	ok(count(other, ".log") > 0, "old logs are left");
	put_and_die(logs, 5);
	ok(count(other, ".log") == 0, "they are removed at the next start");
	ok(has(logs, false, 5, 5), "and the new rows are there");
	sh("rm -rf .old%s%s", "", "");
	free(l);
}

static void gone(void)
{
	char away[420];

	begin("gone");
	put_and_die(logs, 1);
	snprintf(away, sizeof away, "%s.away", logs);
	rename(logs, away);
	refused(other, -ENOENT, "the old folder with mail is gone", "the old folder is gone");
	mkdir(logs, 0700);
	refused(other, -EUCLEAN, "not in the old folder any more", "or empty");
	refused(logs, -EUCLEAN, "not mounted?", "the folder is empty and was not changed");
	rmdir(logs);
	rename(away, logs);
	if (geteuid()) {
		chmod(logs, 0);
		refused(other, -EACCES, "cannot be read", "the old folder cannot be read");
		chmod(logs, 0700);
	}
	ok(has(logs, false, 1, 1), "it is there again: nothing is lost");
	put_and_die(logs, 2);
	rename(logs, other);
	ok(has(other, false, 1, 2), "moved by hand it is known by its mark");
	put_and_die(other, 3);
	/* A copy that stayed behind. */
	sh("cp -a %s %s", other, logs);
	snprintf(away, sizeof away, "%s2", other);
	rename(other, away);
	ok(has(away, false, 1, 3), "moved again");
	put_and_die(away, 4);
	refused(logs, -EUCLEAN, "other logs", "an old copy is no log of ours");
	ok(has(away, false, 1, 4), "nothing is lost");
	sh("rm -rf %s; cp -a %s .copy", logs, away);
	put_and_die(away, 5);
	sh("rm -rf %s; mv .copy %s", away, other);
	refused(other, -ENOENT, "is gone", "a copy of before the last start is no log either");
}

/* log is a link; it comes to point to another file system. */
static void links(void)
{
	char shm[] = "/dev/shm/smx-test-XXXXXX", link[420];

	begin("links");
	snprintf(link, sizeof link, "%s.link", logs);
	if (symlink(logs, link) || !mkdtemp(shm)) {
		skip("no second file system");
		return;
	}
	put_and_die(link, 1);
	unlink(link);
	ok(symlink(shm, link) == 0, "the link points elsewhere");
	put_and_die(link, 2);
	ok(has(link, false, 1, 2) && !count(logs, ".log"), "the log moved with it");
	ok(has(shm, false, 1, 2), "by its own name it is the same");
	sh("rm -rf %s%s", shm, "");
}

static void missing(void)
{
	begin("made");
	sh("rmdir %s %s", base, logs);
	put_and_die(logs, 1);
	ok(has(logs, false, 1, 1), "both folders are made");
	sh("rm -rf %s && echo > %s", base, base);
	refused(logs, -ENOTDIR, "", "a folder that is none");
	begin("missing");
	put_and_die(logs, 1);
	sh("rm -f %s/CURRENT%s", base, "");
	refused(logs, -EUCLEAN, "the database is missing", "the log without the database");
	sh("rm -f %s/*.log%s", logs, "");
	int error;
	struct store *s = opened(logs, false, &error);
	ok(s != NULL, "without either it is a new one");
	store_close(s);
	begin("unknown");
	put_and_die(logs, 1);
	sh("rm %s/log_directory %s/log_of", base, logs);
	ok(has(logs, false, 1, 1), "a database without a record gets one");
	ok(has(other, false, 1, 1), "and moves");
}

int main(int argc, char **argv)
{
	if (argc == 5) {
		snprintf(base, sizeof base, "%s", argv[1]);
		keep = argv[4][0];
		_exit(put(argv[2], strtoull(argv[3], NULL, 10)));
	}
	if (chdir(tap_tmpdir()))
		return 1;
	changed();
	killed();
	gone();
	links();
	missing();
	return plan_done();
}

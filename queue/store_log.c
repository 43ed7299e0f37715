#include "queue/store_log.h"

#include "core/log.h"
#include "core/span.h"
#include "core/syncdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORD "log_directory"
#define MARK   "log_of"
#define OF     "of "

enum { FILE_MAX_BYTES = 32 << 10 };

static void join(char *dst, size_t cap, const char *dir, const char *name)
{
	size_t n = strlen(dir);

	snprintf(dst, cap, "%s%s%s", dir, n && dir[n - 1] == '/' ? "" : "/", name);
}

/* ---- small files */

/* NULL: *error. The caller frees. */
static char *read_file(const char *dir, const char *name, int *error)
{
	char path[STORE_LOG_PATH + 32], *text = malloc(FILE_MAX_BYTES + 1);
	size_t n = 0;

	join(path, sizeof path, dir, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	*error = fd < 0 ? -errno : text ? 0 : -ENOMEM;
	while (!*error && n < FILE_MAX_BYTES) {
		ssize_t got = read(fd, text + n, FILE_MAX_BYTES - n);

		if (got < 0 && errno != EINTR)
			*error = -errno;
		if (got == 0)
			break;
		n += got > 0 ? (size_t)got : 0;
	}
	if (fd >= 0)
		close(fd);
	if (*error) {
		free(text);
		return NULL;
	}
	text[n] = 0;
	return text;
}

/* Replaces the file as a whole. */
static int write_file(const char *dir, const char *name, const char *text)
{
	char path[STORE_LOG_PATH + 32], tmp[STORE_LOG_PATH + 40];
	size_t n = strlen(text);
	int rc = 0;

	join(path, sizeof path, dir, name);
	snprintf(tmp, sizeof tmp, "%s.new", path);
	int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	ssize_t put = write(fd, text, n);
	if (put != (ssize_t)n || fsync(fd))
		rc = put >= 0 && put < (ssize_t)n ? -ENOSPC : -errno;
	close(fd);
	if (!rc && rename(tmp, path))
		rc = -errno;
	if (rc)
		unlink(tmp);
	return rc ? rc : syncdir(dir);
}

/* ---- record and mark */

static char *line_of(char **rest)
{
	char *line = *rest, *nl = line ? strchr(line, '\n') : NULL;

	if (!nl)
		return NULL;
	*nl = 0;
	*rest = nl + 1;
	return line;
}

/* "ID NUMBER" or "ID NUMBER NEXT", the folder, "of DATABASE", old folders: a line each. */
static bool parse_record(struct store_log *l, char *text)
{
	char *rest = text, *head = line_of(&rest), *path = line_of(&rest), *line;

	if (!head || !path ||
	    sscanf(head, "%39s %" SCNu64 " %" SCNu64, l->id, &l->number, &l->next) < 2 ||
	    strlen(path) >= sizeof l->from)
		return false;
	snprintf(l->from, sizeof l->from, "%s", path);
	while ((line = line_of(&rest)) && strlen(line) < sizeof l->of) {
		if (!strncmp(line, OF, strlen(OF)))
			snprintf(l->of, sizeof l->of, "%s", line + strlen(OF));
		else if (l->old_count < STORE_LOG_OLD_MAX)
			snprintf(l->old[l->old_count++], sizeof l->old[0], "%s", line);
	}
	return true;
}

static int put_record(const struct store_log *l, const char *dir)
{
	size_t cap = (STORE_LOG_OLD_MAX + 3) * (STORE_LOG_PATH + 1), n;
	char *text = malloc(cap), next[24] = "";

	if (!text)
		return -ENOMEM;
	if (l->next)
		snprintf(next, sizeof next, " %" PRIu64, l->next);
	n = (size_t)snprintf(text, cap, "%s %" PRIu64 "%s\n%s\n%s%s\n", l->id, l->number, next,
			     l->to, OF, l->dir);
	for (unsigned i = 0; i < l->old_count; i++)
		n += (size_t)snprintf(text + n, cap - n, "%s\n", l->old[i]);
	int rc = write_file(dir, RECORD, text);
	free(text);
	return rc;
}

/* Is, or was, this a folder of our log? 1: *number is what it has; 0 (another one's, or nobody's),
 * -errno. */
static int read_mark(const struct store_log *l, const char *log_dir, uint64_t *number)
{
	char id[40] = "";
	int error;
	char *text = read_file(log_dir, MARK, &error);

	if (!text)
		return error == -ENOENT ? 0 : error;
	bool ours = sscanf(text, "%39s %" SCNu64, id, number) == 2 && !strcmp(id, l->id);
	free(text);
	return ours;
}

/* Is this the folder that belongs to the record? 1: then l->number is what it has; 0, -errno. */
static int has_mark(struct store_log *l, const char *log_dir)
{
	uint64_t number = 0;
	int ours = read_mark(l, log_dir, &number);

	if (ours <= 0)
		return ours;
	if (number != l->number && (!l->next || number != l->next))
		return 0;
	l->number = number;
	return 1;
}

static int put_mark(const struct store_log *l, uint64_t number)
{
	char text[80];

	snprintf(text, sizeof text, "%s %" PRIu64 "\n", l->id, number);
	return write_file(l->to, MARK, text);
}

/* ---- what is in a folder */

static bool ends(const char *name, const char *suffix)
{
	size_t n = strlen(name), k = strlen(suffix);

	return n > k && ascii_isdigit(name[0]) && !strcmp(name + n - k, suffix);
}

/* How many files like 000012.log; -errno. */
static int count_files(const char *dir, const char *suffix)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	int n = 0;

	if (!d)
		return -errno;
	while ((e = readdir(d)))
		n += ends(e->d_name, suffix);
	closedir(d);
	return n;
}

/* The mark goes last: a folder without it was cleaned, or is not ours any more. */
static int clean_one(const struct store_log *l, const char *dir, bool keep)
{
	char path[STORE_LOG_PATH + 300], into[STORE_LOG_PATH + 300];
	uint64_t number;
	int ours = read_mark(l, dir, &number);

	if (ours <= 0)
		return ours;
	DIR *d = opendir(dir);
	struct dirent *e;
	int rc = 0;

	if (!d)
		return errno == ENOENT ? 0 : -errno;
	join(into, sizeof into, dir, "archive");
	if (keep && mkdir(into, 0700) && errno != EEXIST)
		rc = -errno;
	while (!rc && (e = readdir(d))) {
		if (!ends(e->d_name, ".log"))
			continue;
		join(path, sizeof path, dir, e->d_name);
		snprintf(into, sizeof into, "%.*s/archive/%s", STORE_LOG_PATH, dir, e->d_name);
		if (keep ? rename(path, into) : unlink(path))
			rc = -errno;
	}
	closedir(d);
	join(path, sizeof path, dir, MARK);
	if (!rc && unlink(path) && errno != ENOENT)
		rc = -errno;
	return rc ? rc : syncdir(dir);
}

/* ---- the decision */

static int make_dir(const char *option, const char *dir, char *why, size_t cap)
{
	if (!mkdir(dir, 0700) || errno == EEXIST)
		return 0;
	int rc = -errno;
	snprintf(why, cap, "%s: cannot make '%s': %s", option, dir, strerror(-rc));
	return rc;
}

/* Absolute, without links: paths are compared. */
static int resolve(const char *option, const char *dir, char *dst, char *why, size_t cap)
{
	char real[PATH_MAX];

	if (realpath(dir, real) && strlen(real) < STORE_LOG_PATH)
		return snprintf(dst, STORE_LOG_PATH, "%s", real), 0;
	int rc = errno ? -errno : -ENAMETOOLONG;
	snprintf(why, cap, "%s: '%s': %s", option, dir, strerror(-rc));
	return rc;
}

static int folders(struct store_log *l, const char *dir, const char *log_dir, bool read_only,
		   char *why, size_t cap)
{
	static const char base_option[] = "DEFEDB.base_directory",
			  log_option[] = "DEFEDB.log_directory";
	int rc = read_only ? 0 : make_dir(base_option, dir, why, cap);

	if (!rc)
		rc = resolve(base_option, dir, l->dir, why, cap);
	if (!rc && !read_only)
		rc = make_dir(log_option, log_dir, why, cap);
	if (!rc)
		rc = resolve(log_option, log_dir, l->to, why, cap);
	return rc;
}

static int complain(int rc, char *why, size_t cap, const char *what, const char *path)
{
	snprintf(why, cap, "DEFEDB.log_directory: %s '%s'%s%s", what, path, rc ? ": " : "",
		 rc ? strerror(-rc) : "");
	return rc ? rc : -EUCLEAN;
}

static int random_number(uint64_t *number)
{
	do {
		if (getrandom(number, sizeof *number, 0) != (ssize_t)sizeof *number)
			return -EIO;
	} while (!*number);
	return 0;
}

/* No record, or no database: a new database, or one of a version without records. */
static int first_time(struct store_log *l, char *why, size_t cap)
{
	int logs = count_files(l->to, ".log"), tables = l->is_new ? count_files(l->dir, ".sst") : 0;
	uint64_t random[2];

	if (logs < 0)
		return complain(logs, why, cap, "cannot read", l->to);
	if (l->is_new && tables > 0) {
		snprintf(why, cap, "Corruption: CURRENT is missing");
		return -EUCLEAN;
	}
	if (l->is_new && logs > 0) {
		snprintf(
			why, cap,
			"Corruption: the database is missing in DEFEDB.base_directory, but DEFEDB.log_directory '%s' has its log",
			l->to);
		return -EUCLEAN;
	}
	if (random_number(&random[0]) || random_number(&random[1]))
		return complain(-EIO, why, cap, "no random number for", l->to);
	snprintf(l->id, sizeof l->id, "%016" PRIx64 "%016" PRIx64, random[0], random[1]);
	l->number = l->next = 0;
	l->old_count = 0;
	memcpy(l->from, l->to, sizeof l->from);
	return 0;
}

/* Left by a change that was cut short. */
static int clean_target(struct store_log *l, char *why, size_t cap)
{
	for (unsigned i = 0; i < l->old_count; i++) {
		int rc = strcmp(l->old[i], l->to) ? 0 : clean_one(l, l->to, false);

		if (rc)
			return complain(rc, why, cap, "cannot remove old logs in", l->to);
	}
	return 0;
}

/* The configured folder is another one than the recorded one. */
static int another(struct store_log *l, bool read_only, char *why, size_t cap)
{
	int from = has_mark(l, l->from), logs;

	if (from < 0)
		return complain(
			from, why, cap,
			"it was changed, and the old folder with mail cannot be read:", l->from);
	if (!from && access(l->from, F_OK))
		return complain(-errno, why, cap,
				"it was changed, and the old folder with mail is gone:", l->from);
	if (!from)
		return complain(
			0, why, cap,
			"it was changed, and the log is not in the old folder any more:", l->from);
	/* The old folder may be that of the database that this one is a copy of. */
	if (strcmp(l->of, l->dir))
		return complain(
			0, why, cap,
			"it was changed, and the database too came from another place; start once with its log as it was in",
			l->from);
	if (read_only)
		return 0;
	int rc = clean_target(l, why, cap);
	if (rc)
		return rc;
	logs = count_files(l->to, ".log");
	if (logs < 0)
		return complain(logs, why, cap, "cannot read", l->to);
	if (logs > 0)
		return complain(0, why, cap, "it was changed to a folder with other logs:", l->to);
	return 0;
}

/* There is a record, and a database. */
static int recorded(struct store_log *l, bool read_only, char *why, size_t cap)
{
	int mark = has_mark(l, l->to);

	/* Of another place: what is old there is not ours to be removed. */
	if (!*l->of)
		memcpy(l->of, l->dir, sizeof l->of);
	if (strcmp(l->of, l->dir))
		l->old_count = 0;
	if (mark < 0)
		return complain(mark, why, cap, "cannot read", l->to);
	if (mark) {
		/* Moved by hand, or seen by another way. */
		memcpy(l->from, l->to, sizeof l->from);
		return 0;
	}
	if (!strcmp(l->from, l->to))
		return complain(0, why, cap,
				"the log of the database is not there (not mounted?):", l->to);
	return another(l, read_only, why, cap);
}

int store_log_find(struct store_log *l, const char *dir, const char *log_dir, bool read_only,
		   char *why, size_t cap)
{
	char path[STORE_LOG_PATH + 32];
	int rc, found;

	memset(l, 0, sizeof *l);
	found = folders(l, dir, log_dir, read_only, why, cap);
	if (found && (!read_only || !*l->dir))
		return found;
	join(path, sizeof path, dir, "CURRENT");
	l->is_new = access(path, F_OK) != 0;
	char *text = read_file(dir, RECORD, &rc);
	if (!text && rc != -ENOENT)
		return complain(rc, why, cap, "cannot read what is recorded in", dir);
	bool has_record = text && parse_record(l, text);
	free(text);
	if (found && !has_record)
		return found;
	/* Who only reads need not know the new folder. */
	if (found)
		memcpy(l->to, l->from, sizeof l->to);
	return has_record && !l->is_new ? recorded(l, read_only, why, cap)
					: first_time(l, why, cap);
}

int store_log_settle(struct store_log *l, char *why, size_t cap)
{
	bool moves = store_log_moves(l);
	unsigned keep = 0;
	int rc = random_number(&l->next);

	for (unsigned i = 0; i < l->old_count; i++)
		if (strcmp(l->old[i], l->to) && strcmp(l->old[i], l->from))
			memmove(l->old[keep++], l->old[i], sizeof l->old[0]);
	l->old_count = keep;
	/* Until it is marked anew it is known by its number of now. A folder to which the log moves
	 * must not be known before all is there, and one of a new database is empty. */
	if (!rc && !moves && l->number)
		rc = put_record(l, l->dir);
	if (!rc)
		rc = put_mark(l, l->next);
	if (rc)
		return complain(rc, why, cap, "cannot write to", l->to);
	l->number = l->next;
	l->next = 0;
	if (moves && l->old_count < STORE_LOG_OLD_MAX)
		snprintf(l->old[l->old_count++], sizeof l->old[0], "%s", l->from);
	rc = put_record(l, l->dir);
	if (rc)
		snprintf(why, cap, "cannot write %s: %s", RECORD, strerror(-rc));
	memcpy(l->from, l->to, sizeof l->from);
	return rc;
}

void store_log_clean(struct store_log *l, bool keep)
{
	unsigned left = 0;

	if (!l->old_count)
		return;
	for (unsigned i = 0; i < l->old_count; i++) {
		int rc = strcmp(l->old[i], l->to) ? clean_one(l, l->old[i], keep) : 0;

		if (!rc)
			continue;
		log_event(LOG_LV_ERROR, LOG_SEV_WARN, "store",
			  "dir=%s, stat=old log not removed, error=%s", l->old[i], strerror(-rc));
		memmove(l->old[left++], l->old[i], sizeof l->old[0]);
	}
	l->old_count = left;
	put_record(l, l->dir);
}

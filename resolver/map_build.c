#include "resolver/map_build.h"

#include "core/map.h"
#include "resolver/map_text.h"

#include "core/arena.h"
#include "core/err.h"
#include "core/syncdir.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PUTS_PER_COMMIT = 50000, ROW_OVERHEAD_BYTES = 64, MAP_SIZE_STEP = 1 << 20 };

struct row {
	struct span key;
	struct span value;
	unsigned line;
};

struct map_build {
	struct arena *arena;
	struct row *rows;
	size_t count, cap;
	uint64_t bytes;
	bool keep_case;
	map_build_check_fn *check;
};

/* The temporary file, for map_build_abort(). */
static char *volatile temp_path;

struct map_build *map_build_new(bool keep_case)
{
	struct map_build *b = xcalloc(1, sizeof *b);

	b->arena = arena_new();
	b->keep_case = keep_case;
	if (!b->arena)
		panic("out of memory");
	return b;
}

void map_build_free(struct map_build *b)
{
	if (!b)
		return;
	arena_free(b->arena);
	free(b->rows);
	free(b);
}

void map_build_check(struct map_build *b, map_build_check_fn *fn)
{
	b->check = fn;
}

static int add(struct map_build *b, const struct map_entry *e)
{
	if (b->count == b->cap) {
		size_t cap = b->cap ? 2 * b->cap : 256;
		struct row *rows = reallocarray(b->rows, cap, sizeof *rows);

		if (!rows)
			return -ENOMEM;
		b->rows = rows;
		b->cap = cap;
	}
	struct row *row = &b->rows[b->count];
	char *p = arena_alloc(b->arena, e->key.n + e->value.n);
	if (!p)
		return -ENOMEM;
	for (size_t i = 0; i < e->key.n; i++)
		p[i] = b->keep_case ? e->key.p[i] : ascii_lower(e->key.p[i]);
	memcpy(p + e->key.n, e->value.p, e->value.n);
	*row = (struct row){ span_of(p, e->key.n), span_of(p + e->key.n, e->value.n), e->line };
	b->bytes += e->key.n + e->value.n + ROW_OVERHEAD_BYTES;
	b->count++;
	return 0;
}

/* The order of LMDB: bytes, then length. */
static int key_cmp(const struct row *a, const struct row *b)
{
	size_t n = a->key.n < b->key.n ? a->key.n : b->key.n;
	int c = memcmp(a->key.p, b->key.p, n);

	if (c)
		return c;
	return a->key.n < b->key.n ? -1 : a->key.n > b->key.n;
}

static int row_cmp(const void *va, const void *vb)
{
	const struct row *a = va, *b = vb;
	int c = key_cmp(a, b);

	if (c)
		return c;
	return a->line < b->line ? -1 : a->line > b->line;
}

static void find_duplicates(const struct map_build *b, const char *name, struct report *r)
{
	char token[REPORT_TOKEN_MAX];
	size_t first = 0;

	for (size_t i = 1; i < b->count; i++) {
		if (key_cmp(&b->rows[first], &b->rows[i])) {
			first = i;
			continue;
		}
		report_error(r, name, b->rows[i].line, "duplicate key \"%s\", first in line %u",
			     report_token(b->rows[i].key, token), b->rows[first].line);
	}
}

int map_build_text(struct map_build *b, const char *name, struct span text, struct report *r)
{
	unsigned before = r->error_count;
	struct map_text t;
	struct map_entry e;
	const char *why = NULL;
	int rc;

	map_text_init(&t, text);
	while ((rc = map_text_next(&t, &e, &why)) != 0) {
		if (rc == 1 && b->check && b->check(e.key, e.value, &why))
			rc = -EINVAL;
		if (rc == 1)
			rc = add(b, &e);
		else if (rc == -EINVAL)
			report_error(r, name, e.line, "%s", why);
		if (rc == -ENOMEM)
			break;
	}
	map_text_free(&t);
	if (rc)
		return rc;
	if (b->count)
		qsort(b->rows, b->count, sizeof *b->rows, row_cmp);
	find_duplicates(b, name, r);
	return r->error_count == before ? 0 : -EINVAL;
}

static int put(MDB_txn *txn, MDB_dbi dbi, struct span key, struct span value)
{
	MDB_val k = { key.n, (void *)key.p }, v = { value.n, (void *)value.p };

	return mdb_put(txn, dbi, &k, &v, MDB_APPEND);
}

static int put_all(const struct map_build *b, MDB_env *env)
{
	MDB_txn *txn = NULL;
	MDB_dbi dbi;
	int rc = mdb_txn_begin(env, NULL, 0, &txn);

	if (rc)
		return rc;
	rc = mdb_dbi_open(txn, NULL, 0, &dbi);
	if (!rc)
		rc = put(txn, dbi, MAP_MARK_KEY, b->keep_case ? MAP_MARK_CASE : MAP_MARK_NOCASE);
	for (size_t i = 0; i < b->count && !rc; i++) {
		rc = put(txn, dbi, b->rows[i].key, b->rows[i].value);
		if (!rc && i % PUTS_PER_COMMIT == PUTS_PER_COMMIT - 1) {
			rc = mdb_txn_commit(txn);
			txn = NULL;
			if (!rc)
				rc = mdb_txn_begin(env, NULL, 0, &txn);
		}
	}
	if (!rc) {
		rc = mdb_txn_commit(txn);
		txn = NULL;
	}
	if (txn)
		mdb_txn_abort(txn);
	return rc;
}

/* Fills the empty file at path. 0, or what LMDB says. */
static int fill(const struct map_build *b, const char *path)
{
	uint64_t size = (b->bytes * 2 / MAP_SIZE_STEP + 1) * MAP_SIZE_STEP;

	for (;; size *= 2) {
		MDB_env *env;
		int rc = mdb_env_create(&env);

		if (rc)
			return rc;
		rc = mdb_env_set_mapsize(env, size);
		if (!rc)
			rc = mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC, 0600);
		if (!rc)
			rc = put_all(b, env);
		if (!rc)
			rc = mdb_env_sync(env, 1);
		mdb_env_close(env);
		if (rc != MDB_MAP_FULL)
			return rc;
		/* Begin again with more room. */
		if (truncate(path, 0))
			return errno;
	}
}

/* Mode and owner of the file that goes, or those of a new file. */
static int set_mode(int fd, const char *path)
{
	struct stat st;
	mode_t mask = umask(0);

	umask(mask);
	if (stat(path, &st))
		return errno != ENOENT ? -errno : fchmod(fd, 0644 & ~mask) ? -errno : 0;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode))
		return -EEXIST;
	if (geteuid() == 0 && fchown(fd, st.st_uid, st.st_gid))
		return -errno;
	return fchmod(fd, st.st_mode & 0777) ? -errno : 0;
}

static int sync_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");

	if (!dir)
		return -ENOMEM;
	int rc = syncdir(dir);
	free(dir);
	return rc;
}

void map_build_abort(void)
{
	char *p = temp_path;

	if (p)
		unlink(p);
}

int map_build_write(struct map_build *b, const char *path, struct report *r)
{
	char *temp;
	int fd = -1;

	if (asprintf(&temp, "%s.XXXXXX", path) < 0)
		return -ENOMEM;
	fd = mkostemp(temp, O_CLOEXEC);
	int rc = fd < 0 ? -errno : 0;
	if (rc) {
		report_error(r, path, 0, "cannot create a file beside it: %s", strerror(-rc));
		free(temp);
		return rc;
	}
	temp_path = temp;
	rc = set_mode(fd, path);
	if (!rc) {
		int e = fill(b, temp);

		if (e) {
			report_error(r, path, 0, "cannot write the new map: %s", mdb_strerror(e));
			rc = e > 0 ? -e : -EIO;
		}
	} else {
		report_error(r, path, 0, "cannot replace: %s", strerror(-rc));
	}
	if (!rc && (fsync(fd) || rename(temp, path))) {
		rc = -errno;
		report_error(r, path, 0, "cannot replace: %s", strerror(-rc));
	}
	if (rc)
		unlink(temp);
	temp_path = NULL;
	close(fd);
	free(temp);
	if (!rc && (rc = sync_folder(path)))
		report_error(r, path, 0, "cannot sync its folder: %s", strerror(-rc));
	return rc;
}

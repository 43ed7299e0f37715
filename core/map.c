#include "core/map.h"

#include "core/err.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pwd.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

enum map_kind { KIND_HASH = 0, KIND_SEQUENCE, KIND_PASSWD };
enum { PASSWD_BUF_MAX = 65536 };

struct map {
	atomic_uint refs;
	enum map_kind kind;
	bool keep_case;
	char *name;
	char *file;
	/* hash */
	MDB_env *env; /* NULL: the file is absent */
	MDB_dbi dbi;
	MDB_txn **txn; /* one per slot */
	unsigned slots;
	bool empty;
	/* sequence */
	struct map **maps;
	unsigned count;
};

static unsigned slot_count = 1;
static _Thread_local unsigned slot_mine;

void map_slots(unsigned count)
{
	slot_count = count ? count : 1;
}

void map_use_slot(unsigned slot)
{
	slot_mine = slot;
}

static struct map *new_map(enum map_kind kind, const char *name)
{
	struct map *m = xcalloc(1, sizeof *m);

	m->kind = kind;
	m->name = xstrdup(name);
	atomic_init(&m->refs, 1);
	return m;
}

static void close_hash(struct map *m)
{
	for (unsigned i = 0; i < m->slots; i++)
		if (m->txn[i])
			mdb_txn_abort(m->txn[i]);
	free(m->txn);
	if (m->env)
		mdb_env_close(m->env);
}

struct map *map_get_ref(struct map *m)
{
	atomic_fetch_add(&m->refs, 1);
	return m;
}

void map_put_ref(struct map *m)
{
	if (!m || atomic_fetch_sub(&m->refs, 1) != 1)
		return;
	close_hash(m);
	for (unsigned i = 0; i < m->count; i++)
		map_put_ref(m->maps[i]);
	free(m->maps);
	free(m->file);
	free(m->name);
	free(m);
}

/* LMDB maps what it reads: if somebody cuts or rewrites the file in place instead of replacing it,
 * the next lookup would be a SIGBUS, or nonsense. So the map is a copy in memory. fd: of the file;
 * 0 and the copy in *copy, or what explain() knows. */
static int copy_file(int fd, int *copy)
{
	struct stat st, after;
	off_t done = 0;

	if (fstat(fd, &st))
		return errno;
	if (!S_ISREG(st.st_mode) || !st.st_size)
		return MDB_INVALID;
	*copy = memfd_create("map", MFD_CLOEXEC);
	if (*copy < 0)
		return errno;
	while (done < st.st_size) {
		ssize_t n = sendfile(*copy, fd, NULL, (size_t)(st.st_size - done));

		if (n < 0)
			return errno;
		if (n == 0)
			return EAGAIN;
		done += n;
	}
	if (fstat(fd, &after))
		return errno;
	return after.st_size == st.st_size && after.st_mtim.tv_sec == st.st_mtim.tv_sec &&
			       after.st_mtim.tv_nsec == st.st_mtim.tv_nsec
		       ? 0
		       : EAGAIN;
}

/* All pages that the map knows of are in the file. */
static int check_size(MDB_env *env, int fd)
{
	MDB_envinfo info;
	MDB_stat ms;
	struct stat st;

	if (fstat(fd, &st))
		return errno;
	mdb_env_info(env, &info);
	mdb_env_stat(env, &ms);
	return (uint64_t)st.st_size / ms.ms_psize > info.me_last_pgno ? 0 : MDB_CORRUPTED;
}

/* 0, or what explain() knows. */
static int open_env(struct map *m, int fd)
{
	char path[64];
	int copy = -1;
	int rc = copy_file(fd, &copy);

	if (!rc)
		rc = mdb_env_create(&m->env);
	if (!rc) {
		snprintf(path, sizeof path, "/proc/self/fd/%d", copy);
		rc = mdb_env_open(m->env, path, MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK | MDB_NOTLS,
				  0);
	}
	if (!rc)
		rc = check_size(m->env, copy);
	if (copy >= 0)
		close(copy);
	return rc;
}

static int open_txns(struct map *m)
{
	m->slots = slot_count;
	m->txn = xcalloc(slot_count, sizeof *m->txn);
	for (unsigned i = 0; i < slot_count; i++) {
		int rc = mdb_txn_begin(m->env, NULL, MDB_RDONLY, &m->txn[i]);

		if (!rc && i == 0)
			rc = mdb_dbi_open(m->txn[0], NULL, 0, &m->dbi);
		if (rc)
			return rc;
	}
	return 0;
}

/* What createmap wrote about the map; a file of another program has no mark and is taken as it is.
 */
static int read_mark(struct map *m)
{
	MDB_val k = { MAP_MARK_KEY.n, (void *)MAP_MARK_KEY.p }, v;
	MDB_stat ms;
	int rc = mdb_stat(m->txn[0], m->dbi, &ms);

	if (rc)
		return rc;
	rc = mdb_get(m->txn[0], m->dbi, &k, &v);
	if (rc && rc != MDB_NOTFOUND)
		return rc;
	m->empty = ms.ms_entries == (rc ? 0 : 1);
	if (rc)
		return 0;
	struct span mark = span_of(v.mv_data, v.mv_size);
	m->keep_case = span_eq(mark, MAP_MARK_CASE);
	return m->keep_case || span_eq(mark, MAP_MARK_NOCASE) ? 0 : MDB_VERSION_MISMATCH;
}

static const char *explain(int rc)
{
	switch (rc) {
	case MDB_INVALID:
	case MDB_VERSION_MISMATCH:
		return "not a map that createmap wrote, or of another version";
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
		return "the file is damaged or cut";
	case EAGAIN:
		return "somebody writes into the file";
	default:
		return mdb_strerror(rc);
	}
}

struct map *map_open_hash(const char *name, const char *path, struct report *r)
{
	struct map *m = new_map(KIND_HASH, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int rc = fd < 0 ? errno : 0;

	m->file = xstrdup(path);
	if (rc == ENOENT) {
		report_warning(r, path, 0, "does not exist, the map is empty");
		m->empty = true;
		return m;
	}
	if (!rc)
		rc = open_env(m, fd);
	if (!rc)
		rc = open_txns(m);
	if (!rc)
		rc = read_mark(m);
	if (fd >= 0)
		close(fd);
	if (!rc)
		return m;
	report_error(r, path, 0, "cannot read the map: %s", explain(rc));
	map_put_ref(m);
	return NULL;
}

struct map *map_new_sequence(const char *name, struct map *const *maps, unsigned count)
{
	struct map *m = new_map(KIND_SEQUENCE, name);

	m->maps = xcalloc(count, sizeof *m->maps);
	m->count = count;
	for (unsigned i = 0; i < count; i++)
		m->maps[i] = map_get_ref(maps[i]);
	return m;
}

struct map *map_new_passwd(const char *name)
{
	return new_map(KIND_PASSWD, name);
}

const char *map_name(const struct map *m)
{
	return m->name;
}

const char *map_file(const struct map *m)
{
	return m->file ? m->file : m->name;
}

bool map_blocks(const struct map *m)
{
	for (unsigned i = 0; i < m->count; i++)
		if (map_blocks(m->maps[i]))
			return true;
	return m->kind == KIND_PASSWD;
}

bool map_is_empty(const struct map *m)
{
	for (unsigned i = 0; i < m->count; i++)
		if (!map_is_empty(m->maps[i]))
			return false;
	return m->kind == KIND_SEQUENCE || m->empty;
}

static int hash_get(const struct map *m, struct span key, struct span *value)
{
	char low[MAP_KEY_MAX];
	MDB_val v;

	/* Only the mark begins with NUL. */
	if (m->empty || !key.n || key.n > MAP_KEY_MAX || !key.p[0])
		return -ENOENT;
	if (!m->keep_case) {
		for (size_t i = 0; i < key.n; i++)
			low[i] = ascii_lower(key.p[i]);
		key.p = low;
	}
	MDB_val k = { key.n, (void *)key.p };
	int rc = mdb_get(m->txn[slot_mine], m->dbi, &k, &v);
	if (rc)
		return rc == MDB_NOTFOUND ? -ENOENT : -EIO;
	*value = span_of(v.mv_data, v.mv_size);
	return 0;
}

static int passwd_get(struct span key, struct span *value)
{
	static _Thread_local char answer[32];
	char name[64], small[2048];
	struct passwd pw, *found = NULL;

	if (!key.n || key.n >= sizeof name || memchr(key.p, 0, key.n))
		return -ENOENT;
	span_cstr(key, name, sizeof name);
	int rc = getpwnam_r(name, &pw, small, sizeof small, &found);
	if (rc == ERANGE) {
		char *large = malloc(PASSWD_BUF_MAX);

		if (!large)
			return -ENOMEM;
		rc = getpwnam_r(name, &pw, large, PASSWD_BUF_MAX, &found);
		free(large);
	}
	/* Some name services say "not found" by one of these. */
	if (!found)
		return !rc || rc == ENOENT || rc == ESRCH || rc == EBADF || rc == EPERM ? -ENOENT
											: -rc;
	int n = snprintf(answer, sizeof answer, "%u:%u", (unsigned)pw.pw_uid, (unsigned)pw.pw_gid);
	*value = span_of(answer, (size_t)n);
	return 0;
}

int map_get(const struct map *m, struct span key, struct span *value)
{
	int rc = -ENOENT;

	if (m->kind == KIND_HASH)
		return hash_get(m, key, value);
	if (m->kind == KIND_PASSWD)
		return passwd_get(key, value);
	for (unsigned i = 0; i < m->count && rc == -ENOENT; i++)
		rc = map_get(m->maps[i], key, value);
	return rc;
}

int map_walk(const struct map *m, struct span prefix,
	     int (*fn)(void *ctx, struct span key, struct span value), void *ctx)
{
	MDB_val k = { prefix.n, (void *)prefix.p }, v;
	MDB_cursor *c;

	for (unsigned i = 0; i < m->count; i++) {
		int one = map_walk(m->maps[i], prefix, fn, ctx);

		if (one)
			return one;
	}
	if (m->kind != KIND_HASH || m->empty)
		return 0;
	if (mdb_cursor_open(m->txn[0], m->dbi, &c))
		return -ENOMEM;
	int rc = mdb_cursor_get(c, &k, &v, prefix.n ? MDB_SET_RANGE : MDB_FIRST);
	int stop = 0;
	while (!rc && !stop) {
		struct span key = span_of(k.mv_data, k.mv_size);

		if (!span_startswith(key, prefix))
			break;
		if (!span_eq(key, MAP_MARK_KEY))
			stop = fn(ctx, key, span_of(v.mv_data, v.mv_size));
		if (!stop)
			rc = mdb_cursor_get(c, &k, &v, MDB_NEXT);
	}
	mdb_cursor_close(c);
	return stop ? stop : rc && rc != MDB_NOTFOUND ? -EIO : 0;
}

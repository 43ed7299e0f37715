/*
 * tests/system/shim.c - a preload library that watches and disturbs what programs do to files.
 *
 * Watched are files and folders below SMX_SHIM_ROOT (absolute paths with colons between them).
 * Not seen: what bypasses libc's functions (mmap, stdio's own writes, io_uring), links, and
 * truncate() by path. powerloss.py proves that nothing was missed: it compares the replayed history
 * with the files. sync_file_range() counts for nothing: it promises nothing about a power cut.
 *
 *   SMX_SHIM_SHARED=FILE  struct shared, mapped by all processes: sequence, counters, switches.
 *   SMX_SHIM_LOG=DIR      The history: DIR/NAME.PID, struct record with paths and data, per change.
 *   SMX_SHIM_COUNT=DIR    At exit DIR/NAME.PID gets the lines "syncs N", "writes N", "bytes N".
 *   SMX_SHIM_SLOW_SYNC_USEC=N  A sync takes at least so long (struct shared can change it).
 *   SMX_SHIM_FS_BYTES=N  statvfs says that the file system has so many bytes: small ones have small segments.
 *   SMX_SHIM_FS_FREE=N   statvfs says that so many are free.
 *   SMX_SHIM_FAIL="RULE RULE..."  with RULE = CALL:ERRNO:WHEN[:PART[:NAME]].
 *       CALL: sync, write, open, rename, unlink, fallocate, truncate, or statvfs: no room is free.
 *       WHEN: N the Nth call, N+ from the Nth on, sK while switch K of struct shared is not 0.
 *       PART: in the path. NAME: of the program.
 *   SMX_SHIM_SKIP_SYNC="PART[:NAME] ..."  Such syncs succeed without being done.
 *
 * Threads: any. An entry of the table is written by whoever opens the descriptor.
 *
 * Order: a record has two numbers from one sequence of all processes, taken before and after the
 *        call. What began before a moment may be on disk at that moment; a sync that has ended
 *        before it covers what had ended when the sync began.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { FDS = 65536, RULES = 16, SKIPS = 8, ROOTS = 8, SWITCHES = 32, MAGIC = 0x534d5853 };

enum call {
	CALL_SYNC = 0,
	CALL_WRITE,
	CALL_OPEN,
	CALL_RENAME,
	CALL_UNLINK,
	CALL_FALLOCATE,
	CALL_TRUNCATE,
	CALL_STATVFS
};
static const char *const call_name[] = { "sync",   "write",     "open",     "rename",
					 "unlink", "fallocate", "truncate", "statvfs" };

enum op {
	OP_CREATE = 1, /* path, inode */
	OP_WRITE,      /* inode, off, data */
	OP_SYNC,       /* inode of a file or folder; mode: the error, 0 when it succeeded */
	OP_RENAME,     /* path, path2 */
	OP_UNLINK,     /* path; also of a folder */
	OP_MKDIR,      /* path, inode */
	OP_TRUNCATE,   /* inode, off: the new size */
	OP_FALLOCATE,  /* inode, off, len, mode */
};

struct record {
	uint32_t magic, bytes; /* of record, paths and data */
	uint16_t op, mode;
	uint16_t path_n, path2_n;
	uint64_t begin, end;
	uint64_t nsec; /* CLOCK_MONOTONIC at the end */
	uint64_t inode;
	int64_t off, len;
};

/* The file of SMX_SHIM_SHARED; smxtest.py makes it and knows this layout. */
struct shared {
	_Atomic uint64_t sequence;
	_Atomic uint64_t syncs, writes, bytes;
	_Atomic uint32_t slow_sync_usec;
	_Atomic uint32_t failed; /* calls that a rule made fail */
	_Atomic uint8_t on[SWITCHES];
};

struct rule {
	enum call call;
	int error;
	uint64_t nth; /* 0: by switch */
	bool and_on;
	unsigned which;
	char part[128];
	_Atomic uint64_t seen;
};

/* A descriptor of a watched file; inode 0: not watched. */
struct watched {
	uint64_t inode;
	uint32_t rules, skip; /* bits: whose part is in the path */
};

static struct watched table[FDS];
static struct rule rules[RULES];
static unsigned rule_count, skip_count, root_count;
static char skips[SKIPS][128];
static const char *roots[ROOTS];
static size_t root_n[ROOTS];
static const char *log_dir, *count_dir;
static uint64_t fs_bytes, fs_free;
static struct shared own_shared, *shared = &own_shared;
static _Atomic uint64_t sync_count, write_count, byte_count;
static int log_fd = -1;
static pthread_mutex_t log_mu = PTHREAD_MUTEX_INITIALIZER;
static bool active;

/* The functions behind ours. fdatasync is the last one found. */
/* clang-format off */
#define REALS(R) \
	R(openat) R(close) R(write) R(pwrite) R(writev) R(pwritev) R(pwritev2) R(renameat2) \
	R(unlinkat) R(mkdirat) R(ftruncate) R(fallocate) R(statvfs) R(fsync) R(fdatasync)
/* clang-format on */
static struct {
#define R(name) __typeof(name) *name;
	REALS(R)
#undef R
} real;

/* ---- start and end */

static void *need(const char *name)
{
	void *p = dlsym(RTLD_NEXT, name);

	if (!p)
		abort();
	return p;
}

static void find_real(void)
{
	if (real.fdatasync)
		return;
#define R(name) *(void **)&real.name = need(#name);
	REALS(R)
#undef R
}

static void complain(const char *what, const char *text)
{
	dprintf(STDERR_FILENO, "shim: %s: %s\n", what, text);
	abort();
}

/* The next field of a rule, cut out of it. */
static char *field(char **rest)
{
	return *rest ? strsep(rest, ":") : NULL;
}

static int error_number(const char *name)
{
	for (int e = 1; e < 134; e++)
		if (strerrorname_np(e) && strcmp(strerrorname_np(e), name) == 0)
			return e;
	complain("no such error", name);
	return 0;
}

static void add_rule(char *text)
{
	struct rule *r = &rules[rule_count];
	char *rest = text, *call = field(&rest), *error = field(&rest), *when = field(&rest);
	char *part = field(&rest), *name = field(&rest), *end;
	unsigned c = 0;

	if (!when || rule_count == RULES)
		complain("bad rule", text);
	if (name && strcmp(name, program_invocation_short_name))
		return;
	while (c < sizeof call_name / sizeof call_name[0] && strcmp(call, call_name[c]))
		c++;
	if (c == sizeof call_name / sizeof call_name[0])
		complain("no such call", call);
	r->call = (enum call)c;
	r->error = error_number(error);
	bool by_switch = *when == 's';
	unsigned long v = strtoul(by_switch ? when + 1 : when, &end, 10);
	if (by_switch)
		r->which = (unsigned)v % SWITCHES;
	else
		r->nth = v;
	r->and_on = *end == '+';
	snprintf(r->part, sizeof r->part, "%s", part ? part : "");
	rule_count++;
}

static void add_skip(char *text)
{
	char *rest = text, *part = field(&rest), *name = field(&rest);

	if (skip_count == SKIPS)
		complain("too many", text);
	if (!name || strcmp(name, program_invocation_short_name) == 0)
		snprintf(skips[skip_count++], sizeof skips[0], "%s", part);
}

static void each_word(const char *variable, const char *separators, void (*fn)(char *))
{
	const char *v = getenv(variable);
	char *copy = v ? strdup(v) : NULL, *rest = copy, *word;

	while (rest && (word = strsep(&rest, separators)))
		if (*word)
			fn(word);
	free(copy);
}

static void add_root(char *text)
{
	if (root_count == ROOTS || *text != '/')
		complain("root", text);
	roots[root_count] = strdup(text);
	root_n[root_count] = strlen(text);
	root_count++;
}

static void map_shared(void)
{
	const char *path = getenv("SMX_SHIM_SHARED");

	if (!path)
		return;
	int fd = real.openat(AT_FDCWD, path, O_RDWR | O_CLOEXEC);
	void *p = fd < 0 ? MAP_FAILED
			 : mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		complain(path, strerror(errno));
	shared = p;
	real.close(fd);
}

static void __attribute__((constructor)) begin(void)
{
	const char *slow = getenv("SMX_SHIM_SLOW_SYNC_USEC");
	const char *small = getenv("SMX_SHIM_FS_BYTES"), *left = getenv("SMX_SHIM_FS_FREE");

	find_real();
	each_word("SMX_SHIM_ROOT", ":", add_root);
	if (!root_count)
		return;
	each_word("SMX_SHIM_FAIL", " ", add_rule);
	each_word("SMX_SHIM_SKIP_SYNC", " ", add_skip);
	map_shared();
	log_dir = getenv("SMX_SHIM_LOG");
	count_dir = getenv("SMX_SHIM_COUNT");
	if (small)
		fs_bytes = strtoull(small, NULL, 10);
	if (left)
		fs_free = strtoull(left, NULL, 10);
	if (slow)
		atomic_store(&shared->slow_sync_usec, (uint32_t)atoi(slow));
	active = true;
}

static void __attribute__((destructor)) finish(void)
{
	char path[PATH_MAX];

	if (!active || !count_dir)
		return;
	snprintf(path, sizeof path, "%s/%s.%d", count_dir, program_invocation_short_name,
		 (int)getpid());
	int fd = real.openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return;
	dprintf(fd, "syncs %ju\nwrites %ju\nbytes %ju\n", (uintmax_t)atomic_load(&sync_count),
		(uintmax_t)atomic_load(&write_count), (uintmax_t)atomic_load(&byte_count));
	real.close(fd);
}

/* ---- paths and descriptors */

static bool below_root(const char *path)
{
	for (unsigned i = 0; i < root_count; i++)
		if (strncmp(path, roots[i], root_n[i]) == 0 &&
		    (path[root_n[i]] == '/' || !path[root_n[i]]))
			return true;
	return false;
}

/* The absolute path of path below dirfd, not normalized. False: it cannot be told or is not
 * watched. */
static bool absolute(int dirfd, const char *path, char dst[static PATH_MAX])
{
	char link[64] = "/proc/self/cwd";
	size_t n = 0;

	if (*path != '/') {
		if (dirfd != AT_FDCWD)
			snprintf(link, sizeof link, "/proc/self/fd/%d", dirfd);
		ssize_t k = readlink(link, dst, PATH_MAX - 1);
		if (k <= 0)
			return false;
		n = (size_t)k;
		dst[n++] = '/';
	}
	if (n + strlen(path) >= PATH_MAX)
		return false;
	strcpy(dst + n, path);
	return below_root(dst);
}

static void watch(int fd, const char *path, uint64_t inode)
{
	struct watched w = { .inode = inode };

	for (unsigned i = 0; i < rule_count; i++)
		if (strstr(path, rules[i].part))
			w.rules |= 1u << i;
	for (unsigned i = 0; i < skip_count; i++)
		if (strstr(path, skips[i]))
			w.skip = 1;
	table[fd] = w;
}

/* NULL: not watched. A descriptor that was closed behind our back may be something else by now. */
static struct watched *watched(int fd)
{
	struct stat st;

	if (!active || fd < 0 || fd >= FDS || !table[fd].inode)
		return NULL;
	if (fstat(fd, &st) == 0 && st.st_ino == table[fd].inode &&
	    (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
		return &table[fd];
	table[fd].inode = 0;
	return NULL;
}

/* ---- what is to go wrong */

/* 0, or the error that a rule wants now. mask: rules whose part is in the path. */
static int fault(enum call call, uint32_t mask)
{
	for (unsigned i = 0; i < rule_count; i++) {
		struct rule *r = &rules[i];

		if (r->call != call || !(mask & 1u << i))
			continue;
		uint64_t n = atomic_fetch_add(&r->seen, 1) + 1;
		bool now = r->nth ? n == r->nth || (r->and_on && n > r->nth)
				  : atomic_load(&shared->on[r->which]);
		if (now) {
			atomic_fetch_add(&shared->failed, 1);
			return r->error;
		}
	}
	return 0;
}

static int fault_path(enum call call, const char *path)
{
	uint32_t mask = 0;

	for (unsigned i = 0; i < rule_count; i++)
		if (strstr(path, rules[i].part))
			mask |= 1u << i;
	return fault(call, mask);
}

/* ---- history */

static uint64_t tick(void)
{
	return atomic_fetch_add(&shared->sequence, 1);
}

static int open_log(void)
{
	char path[PATH_MAX];

	pthread_mutex_lock(&log_mu);
	if (log_fd < 0) {
		snprintf(path, sizeof path, "%s/%s.%d", log_dir, program_invocation_short_name,
			 (int)getpid());
		int fd = real.openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
				     0644);
		if (fd < 0)
			complain(path, strerror(errno));
		log_fd = fd;
	}
	pthread_mutex_unlock(&log_mu);
	return log_fd;
}

/* Completes r and appends it in one write. errno stays. */
static void put(struct record r, const char *path, const char *path2, const struct iovec *data,
		int count)
{
	struct iovec v[IOV_MAX];
	struct timespec ts;
	int error = errno, n = 3;
	size_t left = r.op == OP_WRITE ? (size_t)r.len : 0;

	if (!log_dir)
		return;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	r.magic = MAGIC;
	r.end = tick();
	r.nsec = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
	r.path_n = path ? (uint16_t)strlen(path) : 0;
	r.path2_n = path2 ? (uint16_t)strlen(path2) : 0;
	r.bytes = (uint32_t)(sizeof r + r.path_n + r.path2_n + left);
	v[0] = (struct iovec){ &r, sizeof r };
	v[1] = (struct iovec){ (void *)path, r.path_n };
	v[2] = (struct iovec){ (void *)path2, r.path2_n };
	for (int i = 0; i < count && left && n < IOV_MAX; i++) {
		v[n] = data[i];
		if (v[n].iov_len > left)
			v[n].iov_len = left;
		left -= v[n++].iov_len;
	}
	if (left || real.writev(log_fd < 0 ? open_log() : log_fd, v, n) != (ssize_t)r.bytes)
		complain("history", strerror(errno));
	errno = error;
}

static void put_inode(enum op op, uint64_t from, uint64_t inode, off_t off, off_t len)
{
	put((struct record){ .op = op, .begin = from, .inode = inode, .off = off, .len = len },
	    NULL, NULL, NULL, 0);
}

static void put_names(enum op op, uint64_t from, uint64_t inode, const char *a, const char *b)
{
	put((struct record){ .op = op, .begin = from, .inode = inode }, a, b, NULL, 0);
}

/* The result of a call that a rule made fail. */
static int failed(int error)
{
	errno = error;
	return -1;
}

/* 0: there is nothing, or something like a socket. */
static uint64_t inode_at(int dirfd, const char *path)
{
	struct stat st;

	if (fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW))
		return 0;
	return S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) ? st.st_ino : 0;
}

/* ---- files: open, close, write */

static void opened(int fd, int flags, bool existed, uint64_t from)
{
	char real_path[PATH_MAX], link[64];
	struct stat st;

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, real_path, sizeof real_path - 1);
	if (n <= 0)
		return;
	real_path[n] = 0;
	if (!below_root(real_path) || fstat(fd, &st) ||
	    !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
		return;
	watch(fd, real_path, st.st_ino);
	if (!existed)
		put_names(OP_CREATE, from, st.st_ino, real_path, NULL);
	else if (flags & O_TRUNC)
		put_inode(OP_TRUNCATE, from, st.st_ino, 0, 0);
}

static int do_open(int dirfd, const char *path, int flags, mode_t mode)
{
	char full[PATH_MAX];
	struct stat st;
	int error;

	find_real();
	if (!active)
		return real.openat(dirfd, path, flags, mode);
	if (rule_count && absolute(dirfd, path, full) && (error = fault_path(CALL_OPEN, full)))
		return failed(error);
	bool existed =
		!(flags & O_CREAT) || (!(flags & O_EXCL) && fstatat(dirfd, path, &st, 0) == 0);
	uint64_t from = existed && !(flags & O_TRUNC) ? 0 : tick();
	int fd = real.openat(dirfd, path, flags, mode);
	if (fd >= 0 && fd < FDS) {
		error = errno;
		table[fd].inode = 0;
		opened(fd, flags, existed, from);
		errno = error;
	}
	return fd;
}

#define MODE_ARG(flags)                                                                            \
	mode_t mode = 0;                                                                           \
	if ((flags) & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) {                                    \
		va_list ap;                                                                        \
		va_start(ap, flags);                                                               \
		mode = va_arg(ap, mode_t);                                                         \
		va_end(ap);                                                                        \
	}

int open(const char *path, int flags, ...)
{
	MODE_ARG(flags)
	return do_open(AT_FDCWD, path, flags, mode);
}

int openat(int dirfd, const char *path, int flags, ...)
{
	MODE_ARG(flags)
	return do_open(dirfd, path, flags, mode);
}

int creat(const char *path, mode_t mode)
{
	return do_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}

/* What _FORTIFY_SOURCE makes of open without a mode. */
int __open_2(const char *path, int flags);
int __openat_2(int dirfd, const char *path, int flags);

int __open_2(const char *path, int flags)
{
	return do_open(AT_FDCWD, path, flags, 0);
}

int __openat_2(int dirfd, const char *path, int flags)
{
	return do_open(dirfd, path, flags, 0);
}

int close(int fd)
{
	find_real();
	if (fd >= 0 && fd < FDS)
		table[fd].inode = 0;
	return real.close(fd);
}

/* What all writes have in common. at: -1 for the file's own position. */
static ssize_t do_write(int fd, const struct iovec *v, int count, off_t at, int flags)
{
	find_real();
	struct watched *w = watched(fd);
	if (!w) {
		if (at < 0)
			return count == 1 ? real.write(fd, v->iov_base, v->iov_len)
					  : real.writev(fd, v, count);
		return flags ? real.pwritev2(fd, v, count, at, flags)
			     : real.pwritev(fd, v, count, at);
	}
	int error = fault(CALL_WRITE, w->rules);
	if (error)
		return failed(error);
	uint64_t inode = w->inode, from = tick();
	ssize_t n = at < 0 ? real.writev(fd, v, count) : real.pwritev2(fd, v, count, at, flags);
	if (n <= 0)
		return n;
	atomic_fetch_add(&write_count, 1);
	atomic_fetch_add(&byte_count, (uint64_t)n);
	atomic_fetch_add(&shared->writes, 1);
	atomic_fetch_add(&shared->bytes, (uint64_t)n);
	if (log_dir) {
		off_t off = at < 0 ? lseek(fd, 0, SEEK_CUR) - n : at;

		put((struct record){ .op = OP_WRITE,
				     .begin = from,
				     .inode = inode,
				     .off = off,
				     .len = n },
		    NULL, NULL, v, count);
	}
	return n;
}

ssize_t write(int fd, const void *p, size_t n)
{
	return do_write(fd, &(struct iovec){ (void *)p, n }, 1, -1, 0);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
	return do_write(fd, &(struct iovec){ (void *)p, n }, 1, at, 0);
}

ssize_t writev(int fd, const struct iovec *v, int count)
{
	return do_write(fd, v, count, -1, 0);
}

ssize_t pwritev(int fd, const struct iovec *v, int count, off_t at)
{
	return do_write(fd, v, count, at, 0);
}

ssize_t pwritev2(int fd, const struct iovec *v, int count, off_t at, int flags)
{
	return do_write(fd, v, count, at, flags);
}

/* ---- size and space */

int ftruncate(int fd, off_t size)
{
	find_real();
	struct watched *w = watched(fd);
	if (!w)
		return real.ftruncate(fd, size);
	int error = fault(CALL_TRUNCATE, w->rules);
	if (error)
		return failed(error);
	uint64_t inode = w->inode, from = tick();
	int rc = real.ftruncate(fd, size);
	if (rc == 0)
		put_inode(OP_TRUNCATE, from, inode, size, 0);
	return rc;
}

int fallocate(int fd, int mode, off_t off, off_t len)
{
	find_real();
	struct watched *w = watched(fd);
	if (!w)
		return real.fallocate(fd, mode, off, len);
	int error = fault(CALL_FALLOCATE, w->rules);
	if (error)
		return failed(error);
	struct record r = { .op = OP_FALLOCATE,
			    .mode = (uint16_t)mode,
			    .begin = tick(),
			    .inode = w->inode,
			    .off = off,
			    .len = len };
	int rc = real.fallocate(fd, mode, off, len);
	if (rc == 0)
		put(r, NULL, NULL, NULL, 0);
	return rc;
}

int posix_fallocate(int fd, off_t off, off_t len)
{
	int old = errno, rc = fallocate(fd, 0, off, len) ? errno : 0;

	errno = old;
	return rc;
}

int statvfs(const char *path, struct statvfs *st)
{
	char full[PATH_MAX];

	find_real();
	int rc = real.statvfs(path, st);
	if (rc || !active || !absolute(AT_FDCWD, path, full))
		return rc;
	if (fs_bytes)
		st->f_blocks = fs_bytes / st->f_frsize;
	if (fs_free)
		st->f_bavail = st->f_bfree = fs_free / st->f_frsize;
	if (fault_path(CALL_STATVFS, full))
		st->f_bavail = st->f_bfree = 0;
	return rc;
}

/* ---- syncs */

static void be_slow(const struct timespec *since)
{
	int64_t want = (int64_t)atomic_load(&shared->slow_sync_usec) * 1000;
	struct timespec now;

	if (!want)
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	int64_t left = want - ((now.tv_sec - since->tv_sec) * (int64_t)1000000000 + now.tv_nsec -
			       since->tv_nsec);
	if (left > 0)
		nanosleep(&(struct timespec){ left / 1000000000, left % 1000000000 }, NULL);
}

static int do_sync(int fd, int (*fn)(int))
{
	struct watched *w = watched(fd);
	struct timespec since;

	if (!w)
		return fn(fd);
	if (w->skip)
		return 0;
	clock_gettime(CLOCK_MONOTONIC, &since);
	struct record r = { .op = OP_SYNC, .begin = tick(), .inode = w->inode };
	int error = fault(CALL_SYNC, w->rules);
	if (!error && fn(fd))
		error = errno;
	be_slow(&since);
	atomic_fetch_add(&sync_count, 1);
	atomic_fetch_add(&shared->syncs, 1);
	r.mode = (uint16_t)error;
	put(r, NULL, NULL, NULL, 0);
	return error ? failed(error) : 0;
}

int fsync(int fd)
{
	find_real();
	return do_sync(fd, real.fsync);
}

int fdatasync(int fd)
{
	find_real();
	return do_sync(fd, real.fdatasync);
}

/* ---- names */

static int do_rename(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	char a[PATH_MAX], b[PATH_MAX];
	int error;

	find_real();
	if (!active || !absolute(from_dir, from, a) || !absolute(to_dir, to, b))
		return real.renameat2(from_dir, from, to_dir, to, flags);
	if ((error = fault_path(CALL_RENAME, a)))
		return failed(error);
	uint64_t inode = inode_at(from_dir, from), since = tick();
	int rc = real.renameat2(from_dir, from, to_dir, to, flags);
	if (rc == 0 && inode)
		put_names(OP_RENAME, since, inode, a, b);
	return rc;
}

int rename(const char *from, const char *to)
{
	return do_rename(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	return do_rename(from_dir, from, to_dir, to, 0);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	return do_rename(from_dir, from, to_dir, to, flags);
}

static int do_unlink(int dirfd, const char *path, int flags)
{
	char full[PATH_MAX];
	int error;

	find_real();
	if (!active || !absolute(dirfd, path, full))
		return real.unlinkat(dirfd, path, flags);
	if ((error = fault_path(CALL_UNLINK, full)))
		return failed(error);
	uint64_t inode = inode_at(dirfd, path), since = tick();
	int rc = real.unlinkat(dirfd, path, flags);
	if (rc == 0 && inode)
		put_names(OP_UNLINK, since, inode, full, NULL);
	return rc;
}

int unlink(const char *path)
{
	return do_unlink(AT_FDCWD, path, 0);
}

int unlinkat(int dirfd, const char *path, int flags)
{
	return do_unlink(dirfd, path, flags);
}

int rmdir(const char *path)
{
	return do_unlink(AT_FDCWD, path, AT_REMOVEDIR);
}

int mkdirat(int dirfd, const char *path, mode_t mode)
{
	char full[PATH_MAX];

	find_real();
	if (!active || !absolute(dirfd, path, full))
		return real.mkdirat(dirfd, path, mode);
	uint64_t since = tick();
	int rc = real.mkdirat(dirfd, path, mode);
	if (rc == 0)
		put_names(OP_MKDIR, since, inode_at(dirfd, path), full, NULL);
	return rc;
}

int mkdir(const char *path, mode_t mode)
{
	return mkdirat(AT_FDCWD, path, mode);
}

/* ---- the same functions under the names for large files */

#define ALIAS(name, target)                                                                        \
	extern __typeof(target) name __attribute__((alias(#target), copy(target)));

ALIAS(open64, open)
ALIAS(openat64, openat)
ALIAS(creat64, creat)
ALIAS(__open64_2, __open_2)
ALIAS(__openat64_2, __openat_2)
ALIAS(pwrite64, pwrite)
ALIAS(pwritev64, pwritev)
ALIAS(pwritev64v2, pwritev2)
ALIAS(ftruncate64, ftruncate)
ALIAS(fallocate64, fallocate)
ALIAS(posix_fallocate64, posix_fallocate)

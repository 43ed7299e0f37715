/*
 * The disk of the simulation: what writes or syncs may end the process, or fail. Only calls of this
 * tree's objects come here, not those inside libraries.
 */
#include "tests/queue/sim.h"

#include <errno.h>
#include <rocksdb/c.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_uint crash_in, bad_batches, bad_syncs;
static struct sim_disk *disk;

int __real_fdatasync(int fd);
int __real_fsync(int fd);
ssize_t __real_pwrite(int fd, const void *p, size_t n, off_t at);
ssize_t __real_pwritev(int fd, const struct iovec *v, int n, off_t at);
int __real_unlink(const char *path);
void __real_rocks_write(rocksdb_t *db, const rocksdb_writeoptions_t *o, rocksdb_writebatch_t *b,
			char **err);
int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);
ssize_t __wrap_pwrite(int fd, const void *p, size_t n, off_t at);
ssize_t __wrap_pwritev(int fd, const struct iovec *v, int n, off_t at);
int __wrap_unlink(const char *path);
void __wrap_rocks_write(rocksdb_t *db, const rocksdb_writeoptions_t *o, rocksdb_writebatch_t *b,
			char **err);

void sim_crash(void)
{
	if (disk)
		atomic_store(&disk->crashed_at, sim_now());
	_exit(SIM_CRASHED);
}

void sim_crash_at_write(unsigned n)
{
	atomic_store(&crash_in, n);
}

void sim_fail_batches(unsigned n)
{
	atomic_store(&bad_batches, n);
}

void sim_fail_syncs(unsigned n)
{
	atomic_store(&bad_syncs, n);
}

void sim_watch_disk(struct sim_disk *shared)
{
	disk = shared;
}

static void failed(void)
{
	if (disk)
		atomic_store(&disk->failed_at, sim_now());
}

static void point(void)
{
	if (atomic_load(&crash_in) && atomic_fetch_sub(&crash_in, 1) == 1)
		sim_crash();
}

static bool takes(atomic_uint *left)
{
	unsigned n = atomic_load(left);

	while (n)
		if (atomic_compare_exchange_weak(left, &n, n - 1))
			return true;
	return false;
}

int __wrap_fdatasync(int fd)
{
	(void)fd;
	point();
	if (takes(&bad_syncs)) {
		failed();
		errno = EIO;
		return -1;
	}
	/* No power fails here: the kernel outlives the process. */
	return 0;
}

int __wrap_fsync(int fd)
{
	(void)fd;
	point();
	return 0;
}

ssize_t __wrap_pwrite(int fd, const void *p, size_t n, off_t at)
{
	point();
	return __real_pwrite(fd, p, n, at);
}

ssize_t __wrap_pwritev(int fd, const struct iovec *v, int n, off_t at)
{
	point();
	return __real_pwritev(fd, v, n, at);
}

int __wrap_unlink(const char *path)
{
	point();
	return __real_unlink(path);
}

/* Half of the failures are written all the same, as a sync that fails behind a write: then keys are
 * put twice. */
void __wrap_rocks_write(rocksdb_t *db, const rocksdb_writeoptions_t *o, rocksdb_writebatch_t *b,
			char **err)
{
	point();
	unsigned left = atomic_load(&bad_batches);
	bool bad = takes(&bad_batches);

	if (!bad || left % 2 == 0)
		__real_rocks_write(db, o, b, err);
	point();
	if (bad && !*err)
		*err = strdup("IO error: by order of the test");
	if (bad)
		failed();
	else if (disk && !*err)
		atomic_store(&disk->written_at, sim_now());
}

#include "core/cdb_segfile.h"

#include "core/syncdir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
	MB = 1024 * 1024,
	LARGEST_BYTES = 16 * MB,
	SMALLEST_BYTES = MB,
	ZERO_BYTES = 256 * 1024,
	FOLDERS = 16
};

uint64_t cdb_segfile_bytes(const char *base)
{
	uint64_t part = LARGEST_BYTES;
	char path[CDB_PATH_MAX];
	struct statvfs fs;

	/* Each folder may be on a disk of its own. */
	for (unsigned i = 0; i < FOLDERS; i++) {
		cdb_dir_path(base, i, path);
		if (!statvfs(path, &fs) && (uint64_t)fs.f_blocks * fs.f_frsize / 64 < part)
			part = (uint64_t)fs.f_blocks * fs.f_frsize / 64;
	}
	if (part >= LARGEST_BYTES)
		return LARGEST_BYTES;
	return part <= SMALLEST_BYTES ? SMALLEST_BYTES : part & ~(uint64_t)(CDB_SEG_HEAD - 1);
}

int cdb_segfile_pwrite(int fd, const void *p, size_t n, uint64_t at)
{
	const char *from = p;

	while (n) {
		ssize_t w = pwrite(fd, from, n, (off_t)at);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return w ? -errno : -EIO;
		from += w;
		at += (uint64_t)w;
		n -= (size_t)w;
	}
	return 0;
}

int cdb_segfile_rights(int fd, gid_t gid)
{
	if (gid != (gid_t)-1 && fchown(fd, (uid_t)-1, gid))
		return -errno;
	return fchmod(fd, 0640) ? -errno : 0;
}

static int write_zeros(int fd, uint64_t bytes)
{
	char *zeros = calloc(1, ZERO_BYTES);
	int rc = zeros ? 0 : -ENOMEM;

	for (uint64_t at = 0; at < bytes && !rc; at += ZERO_BYTES)
		rc = cdb_segfile_pwrite(fd, zeros,
					bytes - at < ZERO_BYTES ? bytes - at : ZERO_BYTES, at);
	free(zeros);
	return rc;
}

static int allocate(int fd, uint64_t bytes)
{
	int rc;

	do {
		rc = fallocate(fd, 0, 0, (off_t)bytes) ? -errno : 0;
	} while (rc == -EINTR);
	return rc == -EOPNOTSUPP || rc == -ENOSYS ? write_zeros(fd, bytes) : rc;
}

static int sync_dir(const char *base, uint64_t seg)
{
	char dir[CDB_PATH_MAX];

	cdb_dir_path(base, seg, dir);
	return syncdir(dir);
}

static int lock(int fd, int how)
{
	if (flock(fd, how | LOCK_NB))
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	return 0;
}

/* Somebody who found the file before it was locked may have unlinked it. */
static int still_there(int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	return st.st_nlink ? 0 : -ENOENT;
}

static int write_header(int fd, uint64_t seg, uint64_t gen, uint64_t bytes)
{
	char head[CDB_SEG_HEAD];

	cdb_seg_head_encode(seg, gen, bytes, head);
	return cdb_segfile_pwrite(fd, head, sizeof head, 0);
}

int cdb_segfile_renew(int fd, uint64_t seg, uint64_t gen, uint64_t bytes)
{
	struct stat st;
	int rc = fstat(fd, &st) ? -errno : 0;

	/* Its content was punched: room that it does not have would be missing in the middle of a
	 * record. */
	if (!rc && (uint64_t)st.st_blocks * 512 < bytes && fallocate(fd, 0, 0, (off_t)bytes))
		rc = -errno;
	if (!rc)
		rc = write_header(fd, seg, gen, bytes);
	if (!rc && fdatasync(fd))
		rc = -errno;
	return rc;
}

int cdb_segfile_make(const char *base, uint64_t seg, uint64_t gen, uint64_t bytes, gid_t gid)
{
	char path[CDB_PATH_MAX];

	cdb_seg_path(base, seg, path);
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	int rc = lock(fd, LOCK_EX);
	if (rc) {
		close(fd);
		return rc;
	}
	rc = cdb_segfile_rights(fd, gid);
	if (!rc)
		rc = allocate(fd, bytes);
	if (!rc)
		rc = write_header(fd, seg, gen, bytes);
	if (rc) {
		unlink(path);
		close(fd);
		return rc;
	}
	return fd;
}

int cdb_segfile_sync(int fd, const char *base, uint64_t seg)
{
	int rc = fsync(fd) ? -errno : sync_dir(base, seg);

	return rc ? rc : still_there(fd);
}

int cdb_segfile_create(const char *base, uint64_t seg, uint64_t gen, uint64_t bytes, gid_t gid)
{
	int fd = cdb_segfile_make(base, seg, gen, bytes, gid);
	int rc = fd < 0 ? 0 : cdb_segfile_sync(fd, base, seg);

	if (!rc)
		return fd;
	cdb_segfile_remove(base, seg);
	close(fd);
	return rc;
}

static int check_header(int fd, uint64_t seg, uint64_t gen, uint64_t *bytes)
{
	char head[CDB_SEG_HEAD];
	uint64_t its_seg, its_gen;
	struct stat st;
	ssize_t n = pread(fd, head, sizeof head, 0);

	if (n < 0)
		return -errno;
	if (n != sizeof head)
		return -EBADMSG;
	int rc = cdb_seg_head_decode(head, &its_seg, &its_gen, bytes);
	if (rc)
		return rc;
	if (its_seg != seg || its_gen != gen)
		return -ESTALE;
	if (fstat(fd, &st))
		return -errno;
	return S_ISREG(st.st_mode) && (uint64_t)st.st_size >= *bytes ? 0 : -EBADMSG;
}

static int open_locked(const char *base, uint64_t seg, uint64_t gen, uint64_t *bytes, int how)
{
	char path[CDB_PATH_MAX];

	cdb_seg_path(base, seg, path);
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	int rc = lock(fd, how);
	if (!rc)
		rc = still_there(fd);
	if (!rc)
		rc = check_header(fd, seg, gen, bytes);
	if (rc) {
		close(fd);
		return rc;
	}
	return fd;
}

int cdb_segfile_take(const char *base, uint64_t seg, uint64_t gen, uint64_t *bytes)
{
	return open_locked(base, seg, gen, bytes, LOCK_EX);
}

int cdb_segfile_share(const char *base, uint64_t seg, uint64_t gen, uint64_t *bytes)
{
	return open_locked(base, seg, gen, bytes, LOCK_SH);
}

void cdb_segfile_remove(const char *base, uint64_t seg)
{
	char path[CDB_PATH_MAX];

	cdb_seg_path(base, seg, path);
	unlink(path);
}

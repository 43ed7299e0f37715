#include "queue/idfile.h"

#include "core/crc32c.h"
#include "core/span.h"
#include "core/syncdir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define MAGIC "smXids1\n"

enum { PATH_BYTES = 4300, MANIFEST_BYTES = 40 };

struct content {
	char magic[8];
	uint64_t reserved;
	char manifest[MANIFEST_BYTES]; /* what CURRENT says */
	uint32_t zero, crc;
};

static int path_of(const char *dir, const char *name, char path[static PATH_BYTES])
{
	int n = snprintf(path, PATH_BYTES, "%s/%s", dir, name);

	return n < PATH_BYTES ? 0 : -ENAMETOOLONG;
}

/* The first bytes of a file; how many, or -errno. */
static ssize_t read_start(const char *path, void *to, size_t cap)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return -errno;
	ssize_t n = pread(fd, to, cap, 0);
	if (n < 0)
		n = -errno;
	close(fd);
	return n;
}

static int read_manifest(const char *dir, char manifest[static MANIFEST_BYTES])
{
	char path[PATH_BYTES];
	int rc = path_of(dir, "CURRENT", path);

	memset(manifest, 0, MANIFEST_BYTES);
	ssize_t n = rc ? rc : read_start(path, manifest, MANIFEST_BYTES);
	if (n < 0)
		return (int)n;
	return n && n < MANIFEST_BYTES ? 0 : -EBADMSG;
}

static uint32_t crc_of(const struct content *c)
{
	return crc32c(0, c, offsetof(struct content, crc));
}

int idfile_read(const char *dir, uint64_t *reserved)
{
	char path[PATH_BYTES], manifest[MANIFEST_BYTES];
	struct content c;
	int rc = path_of(dir, "ids", path);

	*reserved = 0;
	ssize_t n = rc ? rc : read_start(path, &c, sizeof c);
	if (n < 0)
		return (int)n;
	if (n != sizeof c || memcmp(c.magic, MAGIC, sizeof c.magic) || c.crc != crc_of(&c) ||
	    c.reserved >> 56)
		return -EBADMSG;
	*reserved = c.reserved;
	rc = read_manifest(dir, manifest);
	if (rc)
		return rc == -ENOENT ? -ESTALE : rc;
	return memcmp(c.manifest, manifest, MANIFEST_BYTES) ? -ESTALE : 0;
}

static int put(int fd, const struct content *c)
{
	ssize_t n = pwrite(fd, c, sizeof *c, 0);

	if (n != sizeof *c)
		return n < 0 ? -errno : -ENOSPC;
	return fdatasync(fd) ? -errno : 0;
}

static int write_new(const char *path, const struct content *c, bool *is_new)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 && errno == ENOENT) {
		*is_new = true;
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	}
	if (fd < 0)
		return -errno;
	int rc = put(fd, c);
	close(fd);
	return rc;
}

int idfile_write(const char *dir, uint64_t reserved)
{
	struct content c = { .magic = MAGIC, .reserved = reserved };
	char path[PATH_BYTES];
	bool is_new = false;
	int rc = path_of(dir, "ids", path);

	if (rc)
		return rc;
	rc = read_manifest(dir, c.manifest);
	c.crc = crc_of(&c);
	if (!rc)
		rc = write_new(path, &c, &is_new);
	if (!rc && is_new)
		rc = syncdir(dir);
	/* What may say less than is in use must not be read again. */
	if (rc && !unlink(path))
		syncdir(dir);
	return rc;
}

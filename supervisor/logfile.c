#include "supervisor/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

int logfile_path(const char *dir, const char *name, int id, char *dst, size_t cap)
{
	char number[16] = "";

	if (id >= 0)
		snprintf(number, sizeof(number), "%d", id);
	int n = snprintf(dst, cap, "%s/%s%s.log", dir, name, number);
	return n < 0 || (size_t)n >= cap ? -ENAMETOOLONG : 0;
}

/* A log folder may be writable for others, so root must not open there what the account cannot. */
static int open_as(const char *path, const struct account *a)
{
	enum { FLAGS = O_WRONLY | O_APPEND | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK | O_CLOEXEC };
	uid_t uid = geteuid();
	gid_t gid = getegid();

	if (uid == 0) {
		setfsgid(a->gid);
		setfsuid(a->uid);
	}
	int fd = open(path, FLAGS);
	int error = errno;
	if (uid == 0) {
		setfsuid(uid);
		setfsgid(gid);
	}
	return fd < 0 ? -error : fd;
}

static int create(const char *path, const struct account *a)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOCTTY | O_CLOEXEC,
		      LOGFILE_MODE);

	if (fd < 0)
		return -errno;
	if ((geteuid() == 0 && fchown(fd, a->uid, a->gid)) || fchmod(fd, LOGFILE_MODE)) {
		int rc = -errno;

		close(fd);
		unlink(path);
		return rc;
	}
	return fd;
}

int logfile_open(const char *path, const struct account *a)
{
	struct stat st;
	int fd = open_as(path, a);

	if (fd == -ENOENT) {
		fd = create(path, a);
		return fd == -EEXIST ? open_as(path, a) : fd;
	}
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		close(fd);
		return -EINVAL;
	}
	return fd;
}

#include "core/syncdir.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int syncdir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	int rc = fsync(fd) ? -errno : 0;
	close(fd);
	return rc;
}

#include "core/sock.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int unix_addr(const char *path, struct sockaddr_un *un)
{
	size_t n = strlen(path);

	memset(un, 0, sizeof *un);
	un->sun_family = AF_UNIX;
	if (n >= sizeof un->sun_path)
		return -ENAMETOOLONG;
	memcpy(un->sun_path, path, n + 1);
	return 0;
}

static int fail_close(int fd)
{
	int e = -errno;

	close(fd);
	return e;
}

int sock_connect_unix(const char *path)
{
	struct sockaddr_un un;
	int rc = unix_addr(path, &un);

	if (rc)
		return rc;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&un, sizeof un))
		return fail_close(fd);
	return fd;
}

/* A socket that nobody listens on any more; anything else at path is not ours to remove. */
static bool is_dead_socket(const char *path)
{
	struct stat st;

	if (lstat(path, &st) || !S_ISSOCK(st.st_mode))
		return false;
	int fd = sock_connect_unix(path);
	if (fd >= 0)
		close(fd);
	return fd == -ECONNREFUSED;
}

int sock_listen_unix(const char *path, mode_t mode)
{
	struct sockaddr_un un;
	int rc = unix_addr(path, &un);

	if (rc)
		return rc;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&un, sizeof un)) {
		if (errno != EADDRINUSE)
			return fail_close(fd);
		if (!is_dead_socket(path)) {
			close(fd);
			return -EADDRINUSE;
		}
		if (unlink(path) || bind(fd, (struct sockaddr *)&un, sizeof un))
			return fail_close(fd);
	}
	if (chmod(path, mode) || listen(fd, 1024))
		return fail_close(fd);
	return fd;
}

static int tcp_socket(const struct addr *a)
{
	int fd = socket(a->family == ADDR_IPV6 ? AF_INET6 : AF_INET,
			SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? -errno : fd;
}

int sock_connect(const struct addr *to)
{
	struct sockaddr_storage ss;
	socklen_t n = addr_to_sockaddr(to, &ss);
	int fd = tcp_socket(to);

	if (fd < 0)
		return fd;
	sock_nodelay(fd);
	if (connect(fd, (struct sockaddr *)&ss, n) && errno != EINPROGRESS)
		return fail_close(fd);
	return fd;
}

int sock_listen(const struct addr *at, int backlog)
{
	struct sockaddr_storage ss;
	socklen_t n = addr_to_sockaddr(at, &ss);
	int fd = tcp_socket(at), on = 1;

	if (fd < 0)
		return fd;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (at->family == ADDR_IPV6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&ss, n) || listen(fd, backlog))
		return fail_close(fd);
	return fd;
}

int sock_local(int fd, struct addr *out)
{
	struct sockaddr_storage ss;
	socklen_t n = sizeof ss;

	if (getsockname(fd, (struct sockaddr *)&ss, &n))
		return -errno;
	addr_from_sockaddr((struct sockaddr *)&ss, out);
	return 0;
}

int sock_error(int fd)
{
	int e = 0;
	socklen_t n = sizeof e;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &n))
		return -errno;
	return -e;
}

int sock_peer(int fd, uid_t *uid, gid_t *gid, pid_t *pid)
{
	struct ucred c;
	socklen_t n = sizeof c;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &n))
		return -errno;
	*uid = c.uid;
	*gid = c.gid;
	*pid = c.pid;
	return 0;
}

bool sock_is_shortage(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

void sock_nodelay(int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

#include "supervisor/listen.h"

#include "core/addr.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* A burst of clients waits here while the component restarts. */
enum { LISTEN_BACKLOG = 4096 };

static int explain(char *why, const char *what, const char *where, int error)
{
	snprintf(why, LISTEN_WHY_BYTES, "%s %s: %s%s", what, where, strerror(error),
		 error == EADDRINUSE ? " (another program listens there)" : "");
	return -error;
}

/* ---- unix */

/* Is there a socket without a listener at this path? Then it may be replaced. */
static int remove_dead(const struct sockaddr_un *un)
{
	struct stat st;

	if (lstat(un->sun_path, &st))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	int rc = connect(fd, (const struct sockaddr *)un, sizeof(*un)) ? -errno : 0;
	close(fd);
	if (rc == -ECONNREFUSED)
		return unlink(un->sun_path) ? -errno : 0;
	return -EADDRINUSE;
}

/* The folder may belong to an untrusted account that swaps the file behind our back, so owner and
 * mode are given to the very socket file that was made, found again by what only it can be. */
static int set_rights(const struct listen_spec *spec)
{
	char self[32];
	struct stat st;
	int rc = 0, fd = open(spec->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (fstat(fd, &st))
		rc = -errno;
	else if (!S_ISSOCK(st.st_mode) || st.st_uid != geteuid() || st.st_nlink != 1)
		rc = -EPERM;
	else if (fchownat(fd, "", spec->uid, spec->gid, AT_EMPTY_PATH))
		rc = -errno;
	else if (chmod(self, spec->mode))
		rc = -errno;
	close(fd);
	return rc;
}

int listen_unix(const struct listen_spec *spec, char why[static LISTEN_WHY_BYTES])
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	if (strlen(spec->path) >= sizeof(un.sun_path))
		return explain(why, "socket", spec->path, ENAMETOOLONG);
	memcpy(un.sun_path, spec->path, strlen(spec->path) + 1);
	int rc = remove_dead(&un);
	if (rc)
		return explain(why, "socket", spec->path, -rc);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return explain(why, "socket", spec->path, errno);
	mode_t old = umask(0177);
	rc = bind(fd, (struct sockaddr *)&un, sizeof(un)) ? -errno : 0;
	umask(old);
	if (!rc) {
		rc = set_rights(spec);
		if (!rc && listen(fd, LISTEN_BACKLOG))
			rc = -errno;
		if (rc)
			unlink(spec->path);
	}
	if (rc) {
		close(fd);
		return explain(why, "socket", spec->path, -rc);
	}
	return fd;
}

/* ---- TCP */

static int open_tcp(const struct addr *at, char *why)
{
	struct sockaddr_storage ss;
	socklen_t n = addr_to_sockaddr(at, &ss);
	char ip[ADDR_TEXT_MAX], where[ADDR_TEXT_MAX + 16];
	int on = 1, rc = 0;

	addr_text(at, ip);
	snprintf(where, sizeof(where), "%s port %u", ip, at->port);
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return explain(why, "cannot listen on", where, errno);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)))
		rc = -errno;
	else if (at->family == ADDR_IPV6 &&
		 setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)))
		rc = -errno;
	else if (bind(fd, (struct sockaddr *)&ss, n) || listen(fd, LISTEN_BACKLOG))
		rc = -errno;
	if (rc) {
		close(fd);
		return explain(why, "cannot listen on", where, -rc);
	}
	return fd;
}

static int add(struct fdpass *set, int fd, char *why)
{
	if (fd < 0)
		return fd;
	if (set->count == FDPASS_MAX) {
		close(fd);
		snprintf(why, LISTEN_WHY_BYTES, "more than %d listening sockets", FDPASS_MAX);
		return -E2BIG;
	}
	set->fd[set->count++] = fd;
	return 0;
}

static int add_tcp(const struct listen_spec *spec, struct fdpass *set, char *why)
{
	struct addr at;

	if (spec->address) {
		if (addr_parse(span_str(spec->address), &at))
			return explain(why, "address", spec->address, EINVAL);
		at.port = spec->port;
		return add(set, open_tcp(&at, why), why);
	}
	at = (struct addr){ .family = ADDR_IPV4, .port = spec->port };
	int rc = add(set, open_tcp(&at, why), why);
	if (rc)
		return rc;
	at.family = ADDR_IPV6;
	rc = add(set, open_tcp(&at, why), why);
	return rc == -EAFNOSUPPORT || rc == -EADDRNOTAVAIL ? 0 : rc;
}

static int set_blocking(const struct fdpass *set, char *why)
{
	for (unsigned i = 0; i < set->count; i++) {
		int flags = fcntl(set->fd[i], F_GETFL);

		if (flags < 0 || fcntl(set->fd[i], F_SETFL, flags & ~O_NONBLOCK))
			return explain(why, "fcntl", "", errno);
	}
	return 0;
}

int listen_open(const struct listen_spec *spec, unsigned count, bool blocking, struct fdpass *out,
		char why[static LISTEN_WHY_BYTES])
{
	struct fdpass set = { .count = 0 };
	unsigned made = 0;
	int rc = 0;

	for (; made < count; made++) {
		if (spec[made].path)
			rc = add(&set, listen_unix(&spec[made], why), why);
		else
			rc = add_tcp(&spec[made], &set, why);
		if (rc)
			break;
	}
	if (!rc && blocking)
		rc = set_blocking(&set, why);
	if (rc)
		listen_close(spec, made, &set);
	else
		*out = set;
	return rc;
}

void listen_close(const struct listen_spec *spec, unsigned count, struct fdpass *set)
{
	fdpass_close(set);
	for (unsigned i = 0; i < count; i++)
		if (spec[i].path)
			unlink(spec[i].path);
}

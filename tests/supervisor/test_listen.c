#include "supervisor/listen.h"

#include "tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* A port of 127.0.0.1 that the system has picked; the socket that holds it is in *fd. */
static uint16_t hold_port(int *fd)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(in);

	*fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*fd < 0 || bind(*fd, (struct sockaddr *)&in, sizeof(in)) || listen(*fd, 1) ||
	    getsockname(*fd, (struct sockaddr *)&in, &n))
		diag("no port: %s", strerror(errno));
	return ntohs(in.sin_port);
}

static int connect_unix(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	int rc = connect(fd, (struct sockaddr *)&un, sizeof(un)) ? -errno : 0;
	close(fd);
	return rc;
}

static struct listen_spec unix_spec(const char *path, mode_t mode)
{
	return (struct listen_spec){
		.path = path, .mode = mode, .uid = (uid_t)-1, .gid = (gid_t)-1
	};
}

static void test_tcp(void)
{
	struct fdpass set = { .count = 0 };
	char why[LISTEN_WHY_BYTES] = "";
	int holder, flags;
	uint16_t port = hold_port(&holder);
	struct listen_spec spec = { .address = "127.0.0.1", .port = port };

	is_int(listen_open(&spec, 1, false, &set, why), -EADDRINUSE, "a port that is taken");
	ok(strstr(why, "127.0.0.1 port") && strstr(why, "another program"), "... says so: %s", why);
	is_int(set.count, 0, "... and leaves nothing");
	close(holder);

	is_int(listen_open(&spec, 1, false, &set, why), 0, "a free port");
	flags = fcntl(set.fd[0], F_GETFL);
	ok(set.count == 1 && (flags & O_NONBLOCK) && fcntl(set.fd[0], F_GETFD) == FD_CLOEXEC,
	   "... one socket, non-blocking, close-on-exec");
	listen_close(&spec, 1, &set);
	is_int(listen_open(&spec, 1, true, &set, why), 0, "the port again");
	ok(!(fcntl(set.fd[0], F_GETFL) & O_NONBLOCK), "... for a program that blocks");
	listen_close(&spec, 1, &set);

	spec.address = "nonsense";
	is_int(listen_open(&spec, 1, false, &set, why), -EINVAL, "no address at all");
}

static void test_unix(const char *dir)
{
	char path[90], why[LISTEN_WHY_BYTES] = "", lng[200];
	struct stat st;

	snprintf(path, sizeof(path), "%s/sock", dir);
	struct listen_spec spec = unix_spec(path, 0612);
	mode_t old = umask(077);
	int fd = listen_unix(&spec, why);
	umask(old);
	ok(fd >= 0, "a unix socket: %s", why);
	ok(!stat(path, &st) && (st.st_mode & 07777) == 0612, "... mode as wanted");
	is_int(connect_unix(path), 0, "... listens");
	is_int(listen_unix(&spec, why), -EADDRINUSE, "the same again");
	is_int(connect_unix(path), 0, "... did not harm the first");
	close(fd);
	fd = listen_unix(&spec, why);
	ok(fd >= 0, "a dead socket is replaced");
	close(fd);
	unlink(path);

	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	is_int(listen_unix(&spec, why), -EEXIST, "a file stands there");
	ok(!stat(path, &st) && S_ISREG(st.st_mode), "... and stays");
	unlink(path);
	if (symlink("elsewhere", path))
		diag("symlink: %s", strerror(errno));
	is_int(listen_unix(&spec, why), -EEXIST, "a link stands there");
	unlink(path);

	memset(lng, 'x', sizeof(lng) - 1);
	lng[sizeof(lng) - 1] = '\0';
	spec.path = lng;
	is_int(listen_unix(&spec, why), -ENAMETOOLONG, "path too long");
}

/* All or none: what was made before the failure is gone. */
static void test_all_or_none(const char *dir)
{
	char path[90], why[LISTEN_WHY_BYTES] = "";
	struct fdpass set = { .count = 0 };
	struct stat st;
	int holder;
	struct listen_spec spec[FDPASS_MAX + 1];

	snprintf(path, sizeof(path), "%s/first", dir);
	spec[0] = unix_spec(path, 0600);
	spec[1] = (struct listen_spec){ .address = "127.0.0.1", .port = hold_port(&holder) };
	is_int(listen_open(spec, 2, false, &set, why), -EADDRINUSE, "the second of two fails");
	ok(!set.count && stat(path, &st) && errno == ENOENT, "... the first is gone");
	close(holder);
	is_int(listen_open(spec, 2, false, &set, why), 0, "both");
	is_int(set.count, 2, "... two sockets");
	listen_close(spec, 2, &set);
	ok(!set.count && stat(path, &st) && errno == ENOENT, "... closed, the file is gone");

	char names[FDPASS_MAX + 1][100];
	for (int i = 0; i <= FDPASS_MAX; i++) {
		snprintf(names[i], sizeof(names[i]), "%s/s%d", dir, i);
		spec[i] = unix_spec(names[i], 0600);
	}
	is_int(listen_open(spec, FDPASS_MAX, false, &set, why), 0, "as many as there may be");
	listen_close(spec, FDPASS_MAX, &set);
	is_int(listen_open(spec, FDPASS_MAX + 1, false, &set, why), -E2BIG, "one more");
	ok(stat(names[0], &st) && errno == ENOENT, "... none is left");
}

int main(void)
{
	const char *dir = tap_tmpdir();

	test_tcp();
	test_unix(dir);
	test_all_or_none(dir);
	return plan_done();
}

#include "core/sock.h"

#include "tests/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_nonblocking_cloexec(int fd)
{
	return (fcntl(fd, F_GETFL) & O_NONBLOCK) && (fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

static void test_tcp(const char *text)
{
	struct addr at, local;

	addr_parse(span_str(text), &at);
	int l = sock_listen(&at, 8);
	if (l == -EADDRNOTAVAIL || l == -EAFNOSUPPORT) {
		skip("%s is not there", text);
		return;
	}
	ok(l >= 0 && is_nonblocking_cloexec(l), "listen at %s", text);
	is_int(sock_local(l, &local), 0, "its own address");
	ok(addr_ip_eq(&at, &local) && local.port, "is where it listens, port %u", local.port);
	is_int(sock_listen(&local, 8), -EADDRINUSE, "twice does not work");
	int c = sock_connect(&local);
	ok(c >= 0 && is_nonblocking_cloexec(c), "connect");
	struct pollfd p = { .fd = c, .events = POLLOUT };
	ok(poll(&p, 1, 10000) == 1 && sock_error(c) == 0, "is connected");
	close(l);
	close(c);
	c = sock_connect(&local);
	if (c >= 0) {
		p.fd = c;
		poll(&p, 1, 10000);
		is_int(sock_error(c), -ECONNREFUSED, "nobody listens any more");
		close(c);
	} else {
		is_int(c, -ECONNREFUSED, "nobody listens any more");
	}
}

static void test_unix(void)
{
	char path[300], file[300];
	struct stat st;
	uid_t uid;
	gid_t gid;
	pid_t pid;

	snprintf(path, sizeof path, "%s/s", tap_tmpdir());
	snprintf(file, sizeof file, "%s/file", tap_tmpdir());
	is_int(sock_connect_unix(path), -ENOENT, "no socket there");
	int l = sock_listen_unix(path, 0660);
	ok(l >= 0 && is_nonblocking_cloexec(l), "listen");
	ok(stat(path, &st) == 0 && (st.st_mode & 07777) == 0660, "with the mode that was wanted");
	is_int(sock_listen_unix(path, 0660), -EADDRINUSE, "a live socket is not replaced");
	int c = sock_connect_unix(path);
	ok(c >= 0 && is_nonblocking_cloexec(c), "connect");
	ok(sock_peer(c, &uid, &gid, &pid) == 0 && uid == geteuid() && pid == getpid(),
	   "the peer is known");
	close(c);
	close(l);
	is_int(sock_connect_unix(path), -ECONNREFUSED, "the file of a dead socket stays");
	l = sock_listen_unix(path, 0600);
	ok(l >= 0 && stat(path, &st) == 0 && (st.st_mode & 07777) == 0600, "and is replaced");
	close(l);

	FILE *f = fopen(file, "w");
	fputs("precious\n", f);
	fclose(f);
	is_int(sock_listen_unix(file, 0660), -EADDRINUSE,
	       "a file that is no socket is not replaced");
	ok(stat(file, &st) == 0 && st.st_size == 9, "it is still there");
	char longer[200];
	memset(longer, 'x', sizeof longer - 1);
	longer[sizeof longer - 1] = 0;
	is_int(sock_listen_unix(longer, 0660), -ENAMETOOLONG, "too long a path to listen");
	is_int(sock_connect_unix(longer), -ENAMETOOLONG, "or to connect");
	snprintf(path, sizeof path, "%s/no/s", tap_tmpdir());
	is_int(sock_listen_unix(path, 0660), -ENOENT, "a missing folder");
}

int main(void)
{
	test_tcp("127.0.0.1");
	test_tcp("::1");
	test_unix();
	return plan_done();
}

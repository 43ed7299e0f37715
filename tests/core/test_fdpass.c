#include "core/fdpass.h"

#include "core/clock.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* A server that answers one connection in the way a case asks for. */
struct server {
	int listener;
	void (*answer)(int conn, const int *fd);
	int fd[FDPASS_MAX + 1];
};

static int listen_at(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&un, sizeof(un)) || listen(fd, 4))
		return -1;
	return fd;
}

static void *serve(void *arg)
{
	struct server *s = arg;
	int conn = accept(s->listener, NULL, NULL);

	if (conn >= 0) {
		s->answer(conn, s->fd);
		close(conn);
	}
	return NULL;
}

static void send_raw(int conn, const void *head, size_t n, const int *fd, unsigned count)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * (FDPASS_MAX + 1))];
	} control;
	struct iovec iov = { .iov_base = (void *)head, .iov_len = n };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	memset(&control, 0, sizeof(control));
	if (count) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * count);
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * count);
		memcpy(CMSG_DATA(c), fd, sizeof(int) * count);
	}
	if (sendmsg(conn, &msg, MSG_NOSIGNAL) < 0)
		diag("sendmsg: %s", strerror(errno));
}

static void answer_one(int conn, const int *fd)
{
	fdpass_send(conn, fd, 1);
}

static void answer_all(int conn, const int *fd)
{
	fdpass_send(conn, fd, FDPASS_MAX);
}

static void answer_in_pieces(int conn, const int *fd)
{
	send_raw(conn, "SMX", 3, fd, 2);
	send_raw(conn, "F\0\1\0\2", 5, NULL, 0);
}

static void answer_closes(int conn, const int *fd)
{
	(void)conn;
	(void)fd;
}

static void answer_half(int conn, const int *fd)
{
	send_raw(conn, "SMXF", 4, fd, 1);
}

static void answer_magic(int conn, const int *fd)
{
	send_raw(conn, "HTTP\0\1\0\1", 8, fd, 1);
}

static void answer_version(int conn, const int *fd)
{
	send_raw(conn, "SMXF\0\2\0\1", 8, fd, 1);
}

static void answer_fewer(int conn, const int *fd)
{
	send_raw(conn, "SMXF\0\1\0\2", 8, fd, 1);
}

static void answer_none(int conn, const int *fd)
{
	(void)fd;
	send_raw(conn, "SMXF\0\1\0\0", 8, NULL, 0);
}

static void answer_too_many(int conn, const int *fd)
{
	send_raw(conn, "SMXF\0\1\0\21", 8, fd, FDPASS_MAX + 1);
}

static const struct {
	const char *name;
	void (*answer)(int conn, const int *fd);
	int rc;
	unsigned count;
} cases[] = {
	{ "one descriptor", answer_one, 0, 1 },
	{ "as many as there may be", answer_all, 0, FDPASS_MAX },
	{ "header in two pieces", answer_in_pieces, 0, 2 },
	{ "closed without an answer", answer_closes, -ECONNRESET, 0 },
	{ "closed within the header", answer_half, -ECONNRESET, 0 },
	{ "another protocol", answer_magic, -EPROTO, 0 },
	{ "another version", answer_version, -EPROTO, 0 },
	{ "fewer descriptors than announced", answer_fewer, -EPROTO, 0 },
	{ "no descriptor", answer_none, -EPROTO, 0 },
	{ "more descriptors than allowed", answer_too_many, -EPROTO, 0 },
};

static unsigned open_count(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void run_case(unsigned i, const char *path)
{
	struct server s = { .listener = listen_at(path), .answer = cases[i].answer };
	struct fdpass got = { .count = 99 };
	pthread_t t;

	for (int k = 0; k <= FDPASS_MAX; k++)
		s.fd[k] = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	unsigned before = open_count();

	pthread_create(&t, NULL, serve, &s);
	int rc = fdpass_receive(path, 10000, &got);
	pthread_join(t, NULL);

	is_int(rc, cases[i].rc, cases[i].name);
	if (rc) {
		is_int(got.count, 99, "... leaves the result alone");
	} else {
		char c = 1;
		bool good = got.count == cases[i].count;

		for (unsigned k = 0; good && k < got.count; k++)
			good = read(got.fd[k], &c, 1) == 1 && c == 0 &&
			       fcntl(got.fd[k], F_GETFD) == FD_CLOEXEC;
		ok(good, "... %u descriptors work and are close-on-exec", cases[i].count);
		fdpass_close(&got);
	}
	is_int(open_count(), before, "... no descriptor leaks");
	for (int k = 0; k <= FDPASS_MAX; k++)
		close(s.fd[k]);
	close(s.listener);
}

int main(void)
{
	char path[90], lng[200];
	struct fdpass got;

	snprintf(path, sizeof(path), "%s/sock", tap_tmpdir());
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		run_case(i, path);

	unlink(path);
	is_int(fdpass_receive(path, 1000, &got), -ENOENT, "nobody there");
	memset(lng, 'a', sizeof(lng) - 1);
	lng[sizeof(lng) - 1] = '\0';
	is_int(fdpass_receive(lng, 1000, &got), -ENAMETOOLONG, "path too long");

	int l = listen_at(path);
	usec_t begin = clock_now();
	is_int(fdpass_receive(path, 100, &got), -ETIMEDOUT, "no answer in time");
	ok(clock_now() - begin >= 100 * USEC_PER_MSEC, "... and not before");
	close(l);
	is_int(fdpass_receive(path, 1000, &got), -ECONNREFUSED, "stale socket");

	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		return 1;
	is_int(fdpass_send(pair[0], pair, 0), -EINVAL, "sending none");
	is_int(fdpass_send(pair[0], pair, FDPASS_MAX + 1), -EINVAL, "sending too many");
	close(pair[1]);
	is_int(fdpass_send(pair[0], pair, 1), -EPIPE, "the other side is gone");
	close(pair[0]);
	return plan_done();
}

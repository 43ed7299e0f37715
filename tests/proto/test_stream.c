#include "proto/stream.h"

#include "tests/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static void pair(struct stream *st, int *other)
{
	int fd[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd))
		exit(1);
	stream_init(st, fd[0]);
	*other = fd[1];
}

static void check_bytes(void)
{
	struct stream st;
	struct iovec v[2] = { { "abc", 3 }, { "def", 3 } };
	char got[16];
	int other;

	pair(&st, &other);
	is_int(stream_read(&st, got, sizeof got), -EAGAIN, "nothing to read");
	is_int(st.want, EPOLLIN, "waits for input");
	is_int(stream_writev(&st, v, 2, false), 6, "two parts");
	is_int(stream_write(&st, SPAN("ghi")), 3, "one part");
	is_int(read(other, got, sizeof got), 9, "arrive");
	is_mem(got, 9, "abcdefghi", 9, "in order");
	is_int(write(other, "xyz", 3), 3, "the other side writes");
	is_int(stream_read(&st, got, 2), 2, "part of it");
	is_int(stream_read(&st, got, 2), 1, "the rest");
	is_int(stream_shut(&st), 0, "shut");
	is_int(read(other, got, sizeof got), 0, "the other side sees the end");
	is_int(write(other, "q", 1), 1, "and can still write");
	is_int(stream_read(&st, got, sizeof got), 1, "which arrives");
	close(other);
	is_int(stream_read(&st, got, sizeof got), 0, "end");
	stream_close(&st);
	stream_close(&st);
	is_int(st.fd, -1, "closed, twice");
}

static void check_full(void)
{
	struct stream st;
	char *big = calloc(1, 1 << 20);
	int other;
	ssize_t n;

	pair(&st, &other);
	while ((n = stream_write(&st, span_of(big, 1 << 20))) > 0)
		;
	is_int(n, -EAGAIN, "full");
	is_int(st.want, EPOLLOUT, "waits for room");
	close(other);
	is_int(stream_write(&st, SPAN("x")), -EPIPE, "gone, without a signal");
	stream_close(&st);
	free(big);
}

static void check_file(void)
{
	struct stream st;
	char path[300], got[16];
	off_t at = 2;
	int other;

	snprintf(path, sizeof path, "%s/file", tap_tmpdir());
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	is_int(write(fd, "0123456789", 10), 10, "file");
	pair(&st, &other);
	ok(stream_can_send_file(&st), "files can be sent");
	is_int(stream_send_file(&st, fd, &at, 5), 5, "five bytes");
	is_int(at, 7, "moves on");
	is_int(read(other, got, sizeof got), 5, "arrive");
	is_mem(got, 5, "23456", 5, "the right ones");
	stream_close(&st);
	close(other);
	close(fd);
}

int main(void)
{
	check_bytes();
	check_full();
	check_file();
	return plan_done();
}

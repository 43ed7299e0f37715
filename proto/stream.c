#include "proto/stream.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

static ssize_t again(struct stream *st, uint32_t want)
{
	int e = errno;

	if (e == EAGAIN || e == EWOULDBLOCK) {
		st->want = want;
		return -EAGAIN;
	}
	return -e;
}

static ssize_t clear_read(struct stream *st, void *dst, size_t n)
{
	ssize_t got;

	do
		got = recv(st->fd, dst, n, 0);
	while (got < 0 && errno == EINTR);
	return got < 0 ? again(st, EPOLLIN) : got;
}

static ssize_t clear_writev(struct stream *st, const struct iovec *v, int count, bool more)
{
	struct msghdr m = { .msg_iov = (struct iovec *)v, .msg_iovlen = (size_t)count };
	ssize_t put;

	int flags = MSG_NOSIGNAL | (more ? MSG_MORE : 0);

	do
		put = count == 1 ? send(st->fd, v->iov_base, v->iov_len, flags)
				 : sendmsg(st->fd, &m, flags);
	while (put < 0 && errno == EINTR);
	return put < 0 ? again(st, EPOLLOUT) : put;
}

static ssize_t clear_send_file(struct stream *st, int fd, off_t *at, size_t n)
{
	ssize_t put;

	do
		put = sendfile(st->fd, fd, at, n);
	while (put < 0 && errno == EINTR);
	return put < 0 ? again(st, EPOLLOUT) : put;
}

static int clear_shut(struct stream *st)
{
	return shutdown(st->fd, SHUT_WR) ? -errno : 0;
}

static void clear_close(struct stream *st)
{
	close(st->fd);
}

static const struct stream_ops clear_ops = { .read = clear_read,
					     .writev = clear_writev,
					     .send_file = clear_send_file,
					     .shut = clear_shut,
					     .close = clear_close };

void stream_init(struct stream *st, int own_fd)
{
	*st = (struct stream){ .ops = &clear_ops, .fd = own_fd };
}

ssize_t stream_write(struct stream *st, struct span s)
{
	struct iovec v = { (char *)s.p, s.n };

	return stream_writev(st, &v, 1, false);
}

void stream_close(struct stream *st)
{
	if (!st->ops)
		return;
	st->ops->close(st);
	st->ops = NULL;
	st->fd = -1;
}

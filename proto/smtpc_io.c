#include "proto/smtpc_io.h"

#include <errno.h>
#include <sys/socket.h>

int smtpc_io_open(struct smtpc_io *io, struct loop *l, int own_fd,
		  void (*fn)(struct loop_io *, uint32_t))
{
	io->loop = l;
	io->ev.fn = fn;
	io->wait = (struct buf){ 0 };
	stream_init(&io->st, own_fd);
	int rc = loop_io_add(l, &io->ev, own_fd, EPOLLIN);
	if (rc)
		stream_close(&io->st);
	return rc;
}

void smtpc_io_close(struct smtpc_io *io)
{
	loop_io_del(io->loop, &io->ev);
	stream_close(&io->st);
	buf_release(&io->wait);
}

ssize_t smtpc_io_read(struct smtpc_io *io, void *dst, size_t n)
{
	return stream_read(&io->st, dst, n);
}

void smtpc_io_want_write(struct smtpc_io *io, bool on)
{
	/* When this fails, the time limit of the step ends the session. */
	loop_io_mod(io->loop, &io->ev, on ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

int smtpc_io_write(struct smtpc_io *io, struct span s, bool more)
{
	while (s.n && !buf_len(&io->wait)) {
		struct iovec v = { (char *)s.p, s.n };
		ssize_t n = stream_writev(&io->st, &v, 1, more);

		if (n == -EAGAIN)
			break;
		if (n < 0)
			return (int)n;
		s = span_from(s, (size_t)n);
	}
	if (!s.n)
		return 0;
	int rc = buf_add_span(&io->wait, s);
	if (!rc)
		smtpc_io_want_write(io, true);
	return rc;
}

int smtpc_io_flush(struct smtpc_io *io)
{
	while (buf_len(&io->wait)) {
		ssize_t n = stream_write(&io->st, buf_span(&io->wait));

		if (n < 0)
			return (int)n;
		buf_eat(&io->wait, (size_t)n);
	}
	buf_release(&io->wait);
	smtpc_io_want_write(io, false);
	return 0;
}

/* Content goes behind all commands. */
static bool must_wait(struct smtpc_io *io)
{
	if (!buf_len(&io->wait))
		return false;
	smtpc_io_want_write(io, true);
	return true;
}

ssize_t smtpc_io_put(struct smtpc_io *io, struct span s)
{
	if (must_wait(io))
		return -EAGAIN;
	ssize_t n = stream_write(&io->st, s);
	if (n == -EAGAIN || (n >= 0 && (size_t)n < s.n))
		smtpc_io_want_write(io, true);
	return n;
}

ssize_t smtpc_io_put_file(struct smtpc_io *io, int fd, off_t *at, size_t n)
{
	if (must_wait(io))
		return -EAGAIN;
	ssize_t sent = stream_send_file(&io->st, fd, at, n);
	if (sent == -EAGAIN || (sent > 0 && (size_t)sent < n))
		smtpc_io_want_write(io, true);
	return sent;
}

bool smtpc_io_connected(const struct smtpc_io *io)
{
	struct sockaddr_storage ss;
	socklen_t n = sizeof ss;

	return !getpeername(io->st.fd, (struct sockaddr *)&ss, &n);
}

/*
 * proto/stream.h - the byte stream under an SMTP session: clear TCP or unix socket now, TLS in the
 * same place.
 *
 * Owner:  the loop of its session. Nothing here blocks.
 * Memory: embedded in its user; a layer that needs more keeps it behind `state` and frees it in
 *         close().
 * Errors: all return bytes or -errno; -EAGAIN: try again when `want` is ready.
 */
#ifndef PROTO_STREAM_H
#define PROTO_STREAM_H
#include "core/span.h"

#include <sys/types.h>
#include <sys/uio.h>

struct stream;

struct stream_ops {
	ssize_t (*read)(struct stream *st, void *dst, size_t n);
	/* more: further bytes follow at once, a partial segment may wait for them. */
	ssize_t (*writev)(struct stream *st, const struct iovec *v, int count, bool more);
	/* NULL: the layer must see the bytes, read and write them instead. */
	ssize_t (*send_file)(struct stream *st, int fd, off_t *at, size_t n);
	int (*shut)(struct stream *st);
	void (*close)(struct stream *st);
};

struct stream {
	const struct stream_ops *ops; /* NULL: closed */
	void *state;
	int fd;
	uint32_t want; /* EPOLLIN or EPOLLOUT: what the last -EAGAIN waits for */
	bool pending;  /* bytes wait inside the layer, the socket will not say so */
};

/* A clear stream over a connected, non-blocking socket, which belongs to it from now on. */
void stream_init(struct stream *st, int own_fd);

/* Reads up to n bytes: how many, 0 at the end of the stream, or -errno. */
static inline ssize_t stream_read(struct stream *st, void *dst, size_t n)
{
	return st->ops->read(st, dst, n);
}

/* Writes what fits: how many bytes, or -errno. Never raises SIGPIPE. */
static inline ssize_t stream_writev(struct stream *st, const struct iovec *v, int count, bool more)
{
	return st->ops->writev(st, v, count, more);
}

/* The same for one span. */
ssize_t stream_write(struct stream *st, struct span s);

static inline bool stream_can_send_file(const struct stream *st)
{
	return st->ops->send_file != NULL;
}

/* As sendfile(2): *at moves on. Only when stream_can_send_file(). */
static inline ssize_t stream_send_file(struct stream *st, int fd, off_t *at, size_t n)
{
	return st->ops->send_file(st, fd, at, n);
}

/* No more bytes will be written: the peer sees the end. 0 or -errno. */
static inline int stream_shut(struct stream *st)
{
	return st->ops->shut(st);
}

/* Closes; may be called again. */
void stream_close(struct stream *st);

#endif

/*
 * proto/smtpc_io.h - the stream of one outgoing session in its loop.
 *
 * Owner:  the loop of the session. Nothing here blocks.
 * Memory: nothing while the stream took everything; the rest of a group of commands, with the
 *         small content behind them, waits in a buffer of the session (other content does not
 *         wait: it is read again from its file).
 * Limits: SMTPC_COMMANDS_BYTES and SMTPC_CHUNK_BYTES wait at most.
 */
#ifndef PROTO_SMTPC_IO_H
#define PROTO_SMTPC_IO_H
#include "core/buf.h"
#include "core/loop.h"
#include "proto/stream.h"

struct smtpc_io {
	struct loop_io ev; /* ev.fn is the session's */
	struct loop *loop;
	struct stream st;
	struct buf wait; /* commands that the stream did not take */
};

/* Watch own_fd for input; it is closed by smtpc_io_close(), or here when this fails. 0 or -errno.
 */
int smtpc_io_open(struct smtpc_io *io, struct loop *l, int own_fd,
		  void (*fn)(struct loop_io *, uint32_t));
/* May be called again. */
void smtpc_io_close(struct smtpc_io *io);

/* Bytes read, 0: the peer has closed, -EAGAIN, -errno. */
ssize_t smtpc_io_read(struct smtpc_io *io, void *dst, size_t n);
/* Sends all of s, now or when the stream takes it. more: content follows at once. 0 or -errno. */
int smtpc_io_write(struct smtpc_io *io, struct span s, bool more);
/* The socket is writable: goes on with what waits. 0: nothing waits any more, -EAGAIN, -errno. */
int smtpc_io_flush(struct smtpc_io *io);
/* Content: sends what the stream takes now, remembers nothing. Bytes, -EAGAIN, -errno. */
ssize_t smtpc_io_put(struct smtpc_io *io, struct span s);
/* The same from a file; *at moves on. 0: the file ended early. Only when stream_can_send_file(). */
ssize_t smtpc_io_put_file(struct smtpc_io *io, int fd, off_t *at, size_t n);
/* Bytes of smtpc_io_write() wait. */
static inline bool smtpc_io_waits(const struct smtpc_io *io)
{
	return buf_len(&io->wait) > 0;
}
/* Ask for EPOLLOUT, or not. */
void smtpc_io_want_write(struct smtpc_io *io, bool on);
/* A connection in progress is established. */
bool smtpc_io_connected(const struct smtpc_io *io);

#endif

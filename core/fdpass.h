/*
 * core/fdpass.h - listening sockets handed from mcp to a component over a unix socket.
 *
 * mcp listens on the component's pass_fd_socket; the component connects and gets one message: eight
 * bytes (magic, version, count) and the descriptors with SCM_RIGHTS. Nothing is sent back.
 *
 * Owner:  any thread; no state.
 * Memory: none. The receiver owns the descriptors, all of them are close-on-exec.
 * Limits: FDPASS_MAX descriptors.
 */
#ifndef CORE_FDPASS_H
#define CORE_FDPASS_H
#include <sys/types.h>

enum { FDPASS_MAX = 16 };

struct fdpass {
	unsigned count;
	int fd[FDPASS_MAX];
};

/*
 * fdpass_receive - connect to path and take what mcp hands out. Blocks up to timeout_msec: for
 * start-up only. The other side must be root or the caller's own user. Returns 0 and fills out, or
 * a negative errno and leaves it: -ETIMEDOUT, -EPERM (somebody else listens there), -EPROTO (not
 * this protocol, or another version), -ECONNRESET (mcp closed without an answer), -ENAMETOOLONG,
 * errors of connect(2).
 */
int fdpass_receive(const char *path, int timeout_msec, struct fdpass *out);

/*
 * fdpass_send - send count descriptors, 1 to FDPASS_MAX, over the connected socket sock. They stay
 * the caller's. Never blocks. Returns 0, -EINVAL, or an error of sendmsg(2).
 */
int fdpass_send(int sock, const int *fd, unsigned count);

/* Close all descriptors in set and empty it. */
void fdpass_close(struct fdpass *set);

#endif

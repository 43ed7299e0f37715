#include "core/fdpass.h"

#include "core/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { FDPASS_VERSION = 1, FDPASS_HEADER_BYTES = 8 };

static const char fdpass_magic[4] = { 'S', 'M', 'X', 'F' };

/* A longer list than this arrives cut, with MSG_CTRUNC. */
union fdpass_control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int) * FDPASS_MAX)];
};

void fdpass_close(struct fdpass *set)
{
	for (unsigned i = 0; i < set->count; i++)
		close(set->fd[i]);
	set->count = 0;
}

int fdpass_send(int sock, const int *fd, unsigned count)
{
	unsigned char head[FDPASS_HEADER_BYTES];
	union fdpass_control control;
	struct iovec iov = { .iov_base = head, .iov_len = sizeof(head) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (count < 1 || count > FDPASS_MAX)
		return -EINVAL;
	memcpy(head, fdpass_magic, sizeof(fdpass_magic));
	head[4] = 0;
	head[5] = FDPASS_VERSION;
	head[6] = 0;
	head[7] = (unsigned char)count;

	memset(&control, 0, sizeof(control));
	msg.msg_control = control.bytes;
	msg.msg_controllen = CMSG_SPACE(sizeof(int) * count);
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * count);
	memcpy(CMSG_DATA(c), fd, sizeof(int) * count);

	ssize_t n = sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0)
		return -errno;
	return n == (ssize_t)sizeof(head) ? 0 : -EIO;
}

/* The descriptors of one recvmsg() are added to set; those that do not fit are closed. */
static bool take_descriptors(struct msghdr *msg, struct fdpass *set)
{
	bool fits = !(msg->msg_flags & MSG_CTRUNC);

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (set->count < FDPASS_MAX) {
				set->fd[set->count++] = fd;
			} else {
				close(fd);
				fits = false;
			}
		}
	}
	return fits;
}

static int check_header(const unsigned char *head, const struct fdpass *set)
{
	unsigned version = (unsigned)head[4] << 8 | head[5];
	unsigned count = (unsigned)head[6] << 8 | head[7];

	if (memcmp(head, fdpass_magic, sizeof(fdpass_magic)) != 0 || version != FDPASS_VERSION)
		return -EPROTO;
	return count >= 1 && count == set->count ? 0 : -EPROTO;
}

static int wait_readable(int sock, usec_t deadline_usec)
{
	for (;;) {
		struct pollfd p = { .fd = sock, .events = POLLIN };
		usec_t left = deadline_usec - clock_now();
		int rc = poll(&p, 1, left <= 0 ? 0 : (int)((left + 999) / USEC_PER_MSEC));

		if (rc > 0)
			return 0;
		if (rc < 0 && errno != EINTR)
			return -errno;
		if (rc == 0 && clock_now() >= deadline_usec)
			return -ETIMEDOUT;
	}
}

static int read_message(int sock, usec_t deadline_usec, struct fdpass *set)
{
	unsigned char head[FDPASS_HEADER_BYTES];
	size_t have = 0;

	while (have < sizeof(head)) {
		union fdpass_control control;
		struct iovec iov = { .iov_base = head + have, .iov_len = sizeof(head) - have };
		struct msghdr msg = { .msg_iov = &iov,
				      .msg_iovlen = 1,
				      .msg_control = control.bytes,
				      .msg_controllen = sizeof(control.bytes) };
		int rc = wait_readable(sock, deadline_usec);

		if (rc)
			return rc;
		ssize_t n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
		if (n == 0)
			return -ECONNRESET;
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n < 0)
			return -errno;
		if (!take_descriptors(&msg, set))
			return -EPROTO;
		have += (size_t)n;
	}
	return check_header(head, set);
}

static int connect_to(int sock, const char *path, int timeout_msec)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct timeval tv = { .tv_sec = timeout_msec / 1000,
			      .tv_usec = timeout_msec % 1000 * USEC_PER_MSEC };
	struct ucred peer;
	socklen_t n = sizeof(peer);

	if (strlen(path) >= sizeof(un.sun_path))
		return -ENAMETOOLONG;
	memcpy(un.sun_path, path, strlen(path) + 1);
	/* A full backlog makes connect() wait; this bounds it. */
	if (tv.tv_sec == 0 && tv.tv_usec == 0)
		tv.tv_usec = 1;
	if (setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)))
		return -errno;
	if (connect(sock, (struct sockaddr *)&un, sizeof(un)))
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &n))
		return -errno;
	return peer.uid == 0 || peer.uid == geteuid() ? 0 : -EPERM;
}

int fdpass_receive(const char *path, int timeout_msec, struct fdpass *out)
{
	usec_t deadline_usec = clock_now() + (usec_t)timeout_msec * USEC_PER_MSEC;
	struct fdpass set = { .count = 0 };
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (sock < 0)
		return -errno;
	int rc = connect_to(sock, path, timeout_msec);
	if (!rc)
		rc = read_message(sock, deadline_usec, &set);
	close(sock);
	if (rc)
		fdpass_close(&set);
	else
		*out = set;
	return rc;
}

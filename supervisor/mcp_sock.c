#include "supervisor/mcp_sock.h"

#include "supervisor/mcp_log.h"
#include "supervisor/mcp_proc.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Pause after an accept() or bind() that failed for want of something. */
enum { SOCK_REST_SEC = 1, SOCK_ACCEPTS_AT_ONCE = 32 };

static bool is_blocking(const struct mcp_unit *u)
{
	return u->conf->common.start_action == CONF_START_NOSTARTACCEPT;
}

int mcp_sock_open(struct mcp_unit *u)
{
	char why[LISTEN_WHY_BYTES];

	if (u->sockets_open || !u->conf->listen_count)
		return 0;
	int rc = listen_open(u->conf->listen, u->conf->listen_count, is_blocking(u), &u->sockets,
			     why);
	if (rc) {
		mcp_log("ERR", "func=listen, component=%s, %s", u->conf->name, why);
		return rc;
	}
	u->sockets_open = true;
	mcp_log("INFO", "func=listen, component=%s, sockets=%u", u->conf->name, u->sockets.count);
	return 0;
}

void mcp_sock_close(struct mcp_unit *u)
{
	if (!u->sockets_open)
		return;
	listen_close(u->conf->listen, u->conf->listen_count, &u->sockets);
	u->sockets_open = false;
	mcp_log("INFO", "func=close, component=%s, it does not listen any more", u->conf->name);
}

static int open_pass(struct mcp_unit *u, char why[static LISTEN_WHY_BYTES])
{
	struct listen_spec spec = { .path = u->conf->common.pass_fd_socket,
				    .mode = 0600,
				    .uid = u->conf->account.uid,
				    .gid = u->conf->account.gid };
	int fd = u->pass_fd;

	if (!spec.path || fd >= 0)
		return 0;
	fd = listen_unix(&spec, why);
	if (fd < 0)
		return fd;
	u->pass_fd = fd;
	return 0;
}

int mcp_sock_open_all(struct mcp *m, FILE *out)
{
	char why[LISTEN_WHY_BYTES] = "";

	for (unsigned i = 0; i < m->conf.count; i++) {
		struct mcp_unit *u = &m->unit[i];
		int rc = u->conf->listen_count ? listen_open(u->conf->listen, u->conf->listen_count,
							     is_blocking(u), &u->sockets, why)
					       : 0;

		if (!rc) {
			u->sockets_open = u->conf->listen_count > 0;
			rc = open_pass(u, why);
		}
		if (rc) {
			fprintf(out, "mcp: %s: %s\n", u->conf->name, why);
			mcp_sock_close_all(m);
			return rc;
		}
	}
	return 0;
}

void mcp_sock_close_all(struct mcp *m)
{
	for (unsigned i = 0; i < m->conf.count; i++) {
		struct mcp_unit *u = &m->unit[i];

		if (!u->conf) /* it did not come so far */
			continue;
		if (u->sockets_open)
			listen_close(u->conf->listen, u->conf->listen_count, &u->sockets);
		u->sockets_open = false;
		if (u->pass_fd >= 0) {
			close(u->pass_fd);
			unlink(u->conf->common.pass_fd_socket);
		}
		u->pass_fd = -1;
	}
}

/* ---- pass */

/* The slot of the process at the other end: it, or a member of its group (a wrapper's child). */
static struct mcp_slot *find_peer(struct mcp_unit *u, int conn, struct ucred *peer)
{
	socklen_t n = sizeof(*peer);

	if (getsockopt(conn, SOL_SOCKET, SO_PEERCRED, peer, &n) || peer->pid <= 0 ||
	    peer->uid != u->conf->account.uid)
		return NULL;
	pid_t group = getpgid(peer->pid);
	for (unsigned i = 0; i < u->slot_count; i++)
		if (u->slot[i].pid && (u->slot[i].pid == peer->pid || u->slot[i].pid == group))
			return &u->slot[i];
	return NULL;
}

static void pass_to(struct mcp_unit *u, int conn)
{
	struct ucred peer = { .pid = 0 };
	struct mcp_slot *s = find_peer(u, conn, &peer);

	if (!s) {
		mcp_log("WARN", "func=pass, component=%s, pid=%d, uid=%d, refused", u->conf->name,
			(int)peer.pid, (int)peer.uid);
		return;
	}
	/* What was closed because nobody came is bound again. */
	if (mcp_sock_open(u))
		return;
	int rc = fdpass_send(conn, u->sockets.fd, u->sockets.count);
	if (rc) {
		mcp_log("ERR", "func=pass, component=%s, pid=%d, error=%s", u->conf->name,
			(int)s->pid, strerror(-rc));
		return;
	}
	s->up = true;
	u->not_up_since_usec = 0;
	mcp_log("INFO", "func=pass, component=%s, pid=%d, sockets=%u", u->conf->name, (int)s->pid,
		u->sockets.count);
}

void mcp_sock_pass(struct mcp *m, struct mcp_unit *u)
{
	for (int i = 0; i < SOCK_ACCEPTS_AT_ONCE; i++) {
		int conn = accept4(u->pass_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (conn < 0)
			return;
		if (mcp_unit_may_start(m, u))
			pass_to(u, conn);
		close(conn);
	}
}

/* ---- accept, nostartaccept */

static struct mcp_slot *empty_slot(struct mcp_unit *u, unsigned *slot)
{
	for (*slot = 0; *slot < u->slot_count; ++*slot)
		if (!u->slot[*slot].pid)
			return &u->slot[*slot];
	return NULL;
}

bool mcp_sock_is_watched(const struct mcp *m, const struct mcp_unit *u, unsigned i, usec_t now_usec)
{
	if (!u->sockets_open || !mcp_unit_may_start(m, u) || u->rest_usec > now_usec)
		return false;
	switch (u->conf->common.start_action) {
	case CONF_START_NOSTARTACCEPT:
		return !u->slot[i].pid && u->slot[i].due_usec <= now_usec;
	case CONF_START_ACCEPT:
		for (unsigned k = 0; k < u->slot_count; k++)
			if (!u->slot[k].pid)
				return true;
		return false;
	default:
		return false;
	}
}

void mcp_sock_accept(struct mcp *m, struct mcp_unit *u, unsigned i)
{
	unsigned slot = 0;

	if (u->conf->common.start_action == CONF_START_NOSTARTACCEPT) {
		mcp_proc_start(m, u, i, u->sockets.fd[i], false);
		return;
	}
	while (empty_slot(u, &slot)) {
		int conn = accept4(u->sockets.fd[i], NULL, NULL, SOCK_CLOEXEC);

		if (conn < 0 && (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR))
			return;
		if (conn >= 0) {
			int rc = mcp_proc_start(m, u, slot, conn, true);

			close(conn);
			if (!rc)
				continue;
		} else {
			mcp_log("ERR", "func=accept, component=%s, error=%s", u->conf->name,
				strerror(errno));
		}
		u->rest_usec = clock_now() + (usec_t)SOCK_REST_SEC * USEC_PER_SEC;
		return;
	}
}
